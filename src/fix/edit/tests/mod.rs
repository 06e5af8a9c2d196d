//! Tables of tricky files: what is found, what is refused and why, what an edit makes of them; and laws.

mod change;
mod flat;
mod json;
mod laws;
mod python;
mod toml;
mod yaml;

use super::*;
use crate::config::{Change, SetValue};

fn selector(at: &str, format: Format) -> Selector {
    Selector::parse(at, format).unwrap_or_else(|e| panic!("{at}: {e}"))
}

/// `Ok("raw literal @line")` or `Err("part of the message")`.
type Expected = Result<&'static str, &'static str>;

/// Each file and selector leads to this literal at this line, or to this refusal; never to anything else.
fn check(format: Format, table: &[(&str, &str, Expected)]) {
    for (text, at, expected) in table {
        let found = locate(text.as_bytes(), format, &selector(at, format));
        match (&found, expected) {
            (Ok(found), Ok(expected)) => {
                let shown = format!("{} @{}", found.literal.raw, found.line);
                assert_eq!(shown, *expected, "{at} in\n{text}");
                assert_eq!(&text.as_bytes()[found.span.clone()], found.literal.raw.as_bytes(), "{at} in\n{text}");
                let same = apply(text.as_bytes(), format, &selector(at, format), &found.literal.raw);
                assert_eq!(same.as_deref(), Ok(text.as_bytes()), "{at} in\n{text}");
            }
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "{at} in\n{text}\nsays: {error}\nnot:  {part}");
            }
            _ => panic!("{at} in\n{text}\ngives {found:?}\nnot {expected:?}"),
        }
    }
}

fn multiply(factor: f64) -> Change {
    Change::Multiply(factor)
}

fn text(value: &str) -> Change {
    Change::Set(SetValue::Text(value.into()))
}

fn bool(value: bool) -> Change {
    Change::Set(SetValue::Bool(value))
}

/// What a change makes of a whole file, without bounds other than a factor of 10.
fn edited(file: &str, format: Format, at: &str, change: &Change) -> Result<String, String> {
    let selector = selector(at, format);
    let found = locate(file.as_bytes(), format, &selector).map_err(|e| e.to_string())?;
    let next = next_literal(&found.literal, change, None, None, 10.0).map_err(|e| e.to_string())?;
    let new = apply(file.as_bytes(), format, &selector, &next.raw).map_err(|e| e.to_string())?;
    let undone = apply(&new, format, &selector, &found.literal.raw).map_err(|e| e.to_string())?;
    assert_eq!(undone, file.as_bytes(), "undo of {at} in\n{file}");
    Ok(String::from_utf8(new).unwrap())
}

/// Each file, changed at a place, becomes this file, or is refused with this message.
fn check_edits(format: Format, table: &[(&str, &str, Change, Expected)]) {
    for (file, at, change, expected) in table {
        let result = edited(file, format, at, change);
        match (&result, expected) {
            (Ok(new), Ok(expected)) => assert_eq!(new, expected, "{at} {change:?} in\n{file}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{at} {change:?} in\n{file}\nsays: {error}"),
            _ => panic!("{at} {change:?} in\n{file}\ngives {result:?}\nnot {expected:?}"),
        }
    }
}

#[test]
fn a_file_that_is_too_large_or_not_utf8_is_refused() {
    let at = selector("a", Format::Toml);
    let large = vec![b'#'; MAX_BYTES + 1];
    assert_eq!(locate(&large, Format::Toml, &at), Err(LocateError::TooLarge { bytes: MAX_BYTES + 1 }));
    assert_eq!(locate(b"a = 1\n# \xff", Format::Toml, &at), Err(LocateError::NotUtf8 { line: 2 }));
}

#[test]
fn a_selector_of_another_format_is_refused() {
    let python = selector("call f", Format::Python);
    let path = selector("a", Format::Toml);
    assert!(matches!(locate(b"a = 1", Format::Toml, &python), Err(LocateError::WrongSelector { .. })));
    assert!(matches!(locate(b"a = 1", Format::Python, &path), Err(LocateError::WrongSelector { .. })));
}

#[test]
fn a_new_literal_of_another_type_or_with_more_than_a_literal_is_refused() {
    let table: &[(Format, &str, &str, &str)] = &[
        (Format::Toml, "a = 40\n", "a", "40\nevil = 1"),
        (Format::Toml, "a = 40\n", "a", "4.0"),
        (Format::Toml, "a = 40\n", "a", "'40'"),
        (Format::Toml, "a = '40'\n", "a", "\"40\""),
        (Format::Toml, "a = 40\n", "a", "40 # more"),
        (Format::Toml, "a = 40\n", "a", ""),
        (Format::Yaml, "a: 40\n", "a", "40, evil=1"),
        (Format::Yaml, "a: 40\n", "a", "40 # c"),
        (Format::Yaml, "a: x\n", "a", "yes"),
        (Format::Yaml, "a: x\n", "a", "x\nb: 1"),
        (Format::Yaml, "{a: x, b: 1}\n", "a", "x, c: 1"),
        (Format::Yaml, "a: 40\n", "a", "4e1"),
        (Format::Yaml, "a: x\n", "a", "&b x"),
        (Format::Json, "{\"a\": 1}", "a", "1, \"b\": 2"),
        (Format::Json, "{\"a\": 1}", "a", "true"),
        (Format::Json, "{\"a\": 1}", "a", "01"),
        (Format::Env, "A=1\n", "A", "1\nB=2"),
        (Format::Env, "A=1\n", "A", "1 # c"),
        (Format::Env, "A='1'\n", "A", "1"),
        (Format::Ini, "a = 1\n", "a", "1\n[x]"),
        (Format::Ini, "a = 1\n", "a", " 1"),
        (Format::Python, "f(1)\n", "call f", "1, 2"),
        (Format::Python, "f(1)\n", "call f", "1 + 1"),
        (Format::Python, "f(1)\n", "call f", "1.0"),
        (Format::Python, "f('a')\n", "call f", "'a' 'b'"),
        (Format::Python, "f(1)\n", "call f", "1); g(2"),
        (Format::Python, "X = 1\n", "assign X", "1; X = 2"),
        (Format::Python, "X = 1\n", "assign X", "1\nimport os"),
        (Format::Python, "X = 1\n", "assign X", "(1)"),
    ];
    for (format, file, at, new) in table {
        let result = apply(file.as_bytes(), *format, &selector(at, *format), new);
        assert!(result.is_err(), "{file} {new} gives {:?}", result.map(String::from_utf8));
    }
}

#[test]
fn what_looks_alike_is_suggested_with_its_line() {
    let table: &[(Format, &str, &str, &str)] = &[
        (Format::Toml, "\n[worker]\nbatch_size = 1\n", "worker.batchsize", "`worker.batch_size`, line 3"),
        (Format::Toml, "[a.b.c]\nbatch_size = 1\n", "batch_size", "`a.b.c.batch_size`, line 2"),
        (Format::Env, "BATCH_SIZE=1\n", "BATCHSIZE", "`BATCH_SIZE`, line 1"),
        (Format::Yaml, "a:\n  - n: 1\n", "a[1].n", "`a[0].n`, line 2"),
        (Format::Python, "import x\nawait asyncio.sleep(1)\n", "call sleep", "`call asyncio.sleep`, line 2"),
        (Format::Python, "class A:\n  def g(self):\n    f(1)\n", "call f in B.g", "`call f in A.g`, line 3"),
    ];
    for (format, file, at, part) in table {
        let error = locate(file.as_bytes(), *format, &selector(at, *format)).unwrap_err().to_string();
        assert!(error.contains("did you mean") && error.contains(part), "{error}");
    }
}
