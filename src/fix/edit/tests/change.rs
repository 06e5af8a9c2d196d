//! Arithmetic within bounds.

use super::*;

fn literal(raw: &str) -> Literal {
    let file = format!("f({raw})\n");
    locate(file.as_bytes(), Format::Python, &selector("call f", Format::Python)).unwrap().literal
}

fn set(number: &str) -> Change {
    Change::Set(SetValue::Number(number.into()))
}

/// What a literal becomes, with `!bound` behind it where one held it back; or a part of the refusal.
fn next(raw: &str, change: Change, min: Option<f64>, max: Option<f64>, factor: f64, expected: Expected) {
    let result = next_literal(&literal(raw), &change, min, max, factor);
    let shown = match &result {
        Ok(next) => next.raw.clone() + &next.limited_by.map_or(String::new(), |b| format!(" !{b}")),
        Err(error) => error.to_string(),
    };
    match expected {
        Ok(text) => assert_eq!(shown, text, "{raw} {change:?} {min:?} {max:?} {factor}"),
        Err(part) => assert!(result.is_err() && shown.contains(part), "{raw} {change:?}: {shown}"),
    }
}

#[test]
fn arithmetic_is_decimal_and_keeps_the_type() {
    let add = Change::Add;
    let table: &[(&str, Change, Expected)] = &[
        ("0.8", multiply(1.5), Ok("1.2")),
        ("0.1", add(0.2), Ok("0.3")),
        ("1.1", multiply(1.1), Ok("1.21")),
        ("0.7", multiply(3.0), Ok("2.1")),
        ("0.80", multiply(1.5), Ok("1.2")),
        ("3", multiply(1.5), Ok("4")),
        ("3", multiply(0.9), Err("too small a change")),
        ("10", multiply(0.75), Ok("8")),
        ("10", multiply(1.25), Ok("12")),
        ("-10", multiply(1.25), Ok("-12")),
        ("-10", multiply(0.75), Ok("-8")),
        ("1", multiply(1.5), Err("too small a change")),
        ("1", add(0.0), Err("it is 1 already")),
        ("5", multiply(1.0), Err("it is 5 already")),
        ("10.0", multiply(1.0 / 3.0), Ok("3.333334")),
        ("0.0001", multiply(1.0 / 3.0), Ok("0.0000333334")),
        ("1.123456789", multiply(2.0), Ok("2.246913578")),
        ("2", add(3.0), Ok("5")),
        ("2", add(-1.0), Ok("1")),
        ("2", add(0.5), Err("too small a change")),
        ("2.5", add(-0.5), Ok("2.0")),
        ("'5s'", add(1.0), Ok("'6s'")),
        ("'+5'", add(1.0), Ok("'+6'")),
        ("'5 MB'", multiply(1.5), Ok("'7 MB'")),
        ("'1.5Gi'", multiply(2.0), Ok("'3.0Gi'")),
        ("'50%'", multiply(1.5), Ok("'75%'")),
        ("'5e'", multiply(2.0), Ok("'10e'")),
        ("'0x10'", multiply(2.0), Err("hexadecimal")),
        ("'007'", multiply(2.0), Err("leading zeros")),
        ("'abc'", multiply(2.0), Err("no number")),
        ("''", multiply(2.0), Err("no number")),
        ("'1.2.3'", multiply(2.0), Err("no number")),
        ("'10-20'", multiply(2.0), Err("no number")),
        ("'5 m 3'", multiply(2.0), Err("no number")),
        ("'-'", multiply(2.0), Err("no number")),
        ("True", multiply(2.0), Err("cannot be calculated with")),
        ("1e16", multiply(2.0), Err("exponent beyond 15")),
        ("1.5e-3", multiply(2.0), Ok("3e-3")),
        ("1234567890123456789", multiply(2.0), Err("too many digits")),
        ("123456789012345678", multiply(2.0), Ok("246913578024691356")),
        ("5", multiply(f64::NAN), Err("not a number that exact")),
        ("5", add(f64::INFINITY), Err("not a number that exact")),
        ("5", add(1e300), Err("not a number that exact")),
        ("0.0", multiply(2.0), Err("already")),
        ("0", add(1.0), Err("give a min or max")),
    ];
    for (raw, change, expected) in table {
        next(raw, change.clone(), None, None, 10.0, *expected);
    }
}

#[test]
fn a_set_number_keeps_the_type_and_what_was_written() {
    let table: &[(&str, Change, Expected)] = &[
        ("0.8", set("1.20"), Ok("1.20")),
        ("0.8", set("2"), Ok("2.0")),
        ("5", set("7.5"), Ok("7")),
        ("5", set("8"), Ok("8")),
        ("1_000", set("2000"), Ok("2_000")),
        ("1_000", set("2_000"), Ok("2_000")),
        ("1000", set("2_000"), Ok("2000")),
        ("'512m'", set("600"), Ok("'600m'")),
        ("5", set("5"), Err("it is 5 already")),
        ("5", set("5.0"), Err("it is 5 already")),
        ("5", set("0x10"), Err("hexadecimal")),
        ("5", set("nan"), Err("not a finite")),
        ("5", set("6m"), Err("not a finite")),
        ("'x'", set("5"), Err("no number")),
        ("True", set("1"), Err("cannot be calculated with")),
        ("5", set("500"), Ok("50 !max_factor")),
        ("5", set("-5"), Ok("1 !max_factor")),
        ("50", set("-5"), Ok("5 !max_factor")),
    ];
    for (raw, change, expected) in table {
        next(raw, change.clone(), None, None, 10.0, *expected);
    }
}

#[test]
fn bounds_always_hold_and_the_one_that_held_is_named() {
    next("4.0", multiply(1.5), None, Some(5.0), 2.0, Ok("5.0 !max"));
    next("4", multiply(1.5), None, Some(5.5), 2.0, Ok("5 !max"));
    next("5.0", multiply(1.5), None, Some(5.0), 2.0, Err("5 is at its bound already: max is 5"));
    next("6.0", multiply(1.5), None, Some(5.0), 2.0, Err("at its bound already: max is 5"));
    next("5", multiply(1.5), None, Some(5.9), 2.0, Err("at its bound already: max is 5.9"));
    next("10", multiply(0.5), Some(8.0), None, 2.0, Ok("8 !min"));
    next("8", multiply(0.5), Some(8.0), None, 2.0, Err("at its bound already: min is 8"));
    next("10", multiply(5.0), None, None, 2.0, Ok("20 !max_factor"));
    next("10", multiply(0.1), None, None, 2.0, Ok("5 !max_factor"));
    next("10", multiply(0.1), None, None, 3.0, Ok("4 !max_factor"));
    next("1.0", multiply(0.1), None, None, 3.0, Ok("0.333334 !max_factor"));
    next("-10", multiply(5.0), None, None, 2.0, Ok("-20 !max_factor"));
    next("-10", multiply(-1.0), None, None, 2.0, Ok("-5 !max_factor"));
    next("10", multiply(2.0), None, None, 1.0, Err("max_factor is 1"));
    next("1", Change::Add(5.0), None, None, 1.5, Err("max_factor is 1.5"));
    next("1.0", multiply(1.1), Some(5.0), None, 2.0, Err("not within min 5"));
    next("4.0", multiply(1.1), Some(5.0), None, 2.0, Ok("5.0 !min"));
    next("100.0", set("50"), None, Some(20.0), 2.0, Err("not within"));
    next("30.0", set("15"), None, Some(20.0), 2.0, Ok("15.0"));
    next("0", Change::Add(3.0), None, Some(2.0), 2.0, Ok("2 !max"));
    next("0", Change::Add(-3.0), None, Some(2.0), 2.0, Err("give a min or max"));
    next("0.0", set("0.5"), Some(0.0), Some(2.0), 2.0, Ok("0.5"));
    next("5", multiply(1.5), Some(9.0), Some(2.0), 2.0, Err("min is above max"));
    next("5", multiply(1.5), None, None, 0.5, Err("at least 1"));
    next("5", multiply(1.5), None, None, f64::NAN, Err("not a number that exact"));
    next("'512m'", multiply(1.5), Some(256.0), Some(700.0), 2.0, Ok("'700m' !max"));
}

#[test]
fn a_set_text_that_reads_as_a_number_stays_within_its_bounds_and_unit() {
    next("'512m'", text("768m"), None, None, 2.0, Ok("'768m'"));
    next("'512m'", text("2048m"), None, None, 2.0, Err("or is not 2048m"));
    next("'512m'", text("1g"), None, None, 2.0, Err("same unit"));
    next("'512m'", text("auto"), None, None, 2.0, Err("same unit"));
    next("'auto'", text("9"), None, Some(5.0), 2.0, Err("not within"));
    next("'auto'", text("5"), None, Some(5.0), 2.0, Ok("'5'"));
    next("'auto'", text("auto"), None, None, 2.0, Err("already"));
    next("'true'", text("auto"), None, None, 2.0, Ok("'auto'"));
    next("'on'", bool(false), None, None, 2.0, Ok("'off'"));
    next("'YES'", bool(false), None, None, 2.0, Ok("'NO'"));
    next("True", bool(true), None, None, 2.0, Err("already"));
    next("'x'", bool(true), None, None, 2.0, Err("cannot be set to a boolean"));
}
