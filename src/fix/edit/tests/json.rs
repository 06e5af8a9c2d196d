//! JSON and JSONC.

use super::*;

#[test]
fn literals_are_found_where_they_stand() {
    check(
        Format::Json,
        &[
            ("{\"a\": 1}", "a", Ok("1 @1")),
            ("\u{feff}{\"a\":\r\n1}", "a", Ok("1 @2")),
            ("[1, [2, {\"x\": -3.5}]]", "[1][1].x", Ok("-3.5 @1")),
            ("{\"a\": 1.5E+3}", "a", Ok("1.5E+3 @1")),
            ("// c\n{/* x */\"a\": /* y */ \"v\", }\n", "a", Ok("\"v\" @2")),
            ("{\"a.b\": {\"c\\u0064\": true}}", "\"a.b\".cd", Ok("true @1")),
            ("{\"a\": \"\\\"//\"} // \"", "a", Ok("\"\\\"//\" @1")),
            ("{\"ü\": \"é\", \"b\": 2}", "b", Ok("2 @1")),
            ("{\"env\": [\"K=1\", \"L=\"]}", "env[L=]", Ok(" @1")),
            ("{\"a\": {\"b\": 1}, \"b\": 2}", "b", Ok("2 @1")),
        ],
    );
}

#[test]
fn what_is_no_single_literal_is_refused() {
    check(
        Format::Json,
        &[
            ("", "a", Err("it is empty")),
            ("{\"a\": 1,, }", "a", Err("not sound JSON")),
            ("{'a': 1}", "a", Err("not sound JSON")),
            ("{a: 1}", "a", Err("not sound JSON")),
            ("{\"a\": 0x10}", "a", Err("not sound JSON")),
            ("{\"a\": +1}", "a", Err("not sound JSON")),
            ("{\"a\": .5}", "a", Err("not sound JSON")),
            ("{\"a\": NaN}", "a", Err("not sound JSON")),
            ("{\"a\": 1} x", "a", Err("not sound JSON")),
            ("{\"a\": 1 \"b\": 2}", "b", Err("not sound JSON")),
            ("{\"a\": null}", "a", Err("is null")),
            ("{\"a\": {}}", "a", Err("is a table")),
            ("{\"a\": []}", "a", Err("is a list")),
            ("{\"a\": 1,\n\"a\": 2}", "a", Err("2 times (lines 1, 2)")),
            ("{\"a\": {\"b\": 1},\n\"a\": {\"c\": 2}}", "a.c", Err("2 times (lines 1, 2)")),
            ("[1]", "a", Err("is not in the file")),
            ("{\"0\": 1}", "[0]", Err("is not in the file")),
        ],
    );
}

#[test]
fn edits_keep_quotes_style_and_every_other_byte() {
    check_edits(
        Format::Json,
        &[
            ("{\"a\": 10, // ten\r\n}", "a", multiply(1.25), Ok("{\"a\": 12, // ten\r\n}")),
            ("{\"a\": \"10s\"}", "a", multiply(0.5), Ok("{\"a\": \"5s\"}")),
            ("{\"a\": 1.5E+3}", "a", multiply(2.0), Ok("{\"a\": 3E+3}")),
            ("{\"a\": \"x\"}", "a", text("y\"\u{7}"), Ok("{\"a\": \"y\\\"\\u0007\"}")),
            ("{\"a\": \"true\"}", "a", bool(false), Ok("{\"a\": \"false\"}")),
            ("{\"a\": -1.5}", "a", multiply(3.0), Ok("{\"a\": -4.5}")),
            ("{\"a\": 123456789012345678901234567890}", "a", multiply(2.0), Err("too many digits")),
        ],
    );
}
