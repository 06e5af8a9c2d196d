//! The type of a plain YAML scalar, to a reader of YAML 1.2 (core schema) and to one of YAML 1.1 (PyYAML's rules).

use super::literal::Kind;

/// The types to a reader of YAML 1.2 and of YAML 1.1. They differ for `yes`, `0o17`, `1:30`, `1_000`, `1e3`, dates.
pub(super) fn kinds(text: &str) -> (Kind, Kind) {
    (core(text), legacy(text))
}

/// <https://yaml.org/spec/1.2.2/#1032-tag-resolution>
fn core(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Kind::Bool,
        ".nan" | ".NaN" | ".NAN" => return Kind::Float,
        _ => {}
    }
    let all = |digits: &str, ok: fn(&u8) -> bool| !digits.is_empty() && digits.as_bytes().iter().all(ok);
    if text.strip_prefix("0o").is_some_and(|d| all(d, |b| (b'0'..=b'7').contains(b)))
        || text.strip_prefix("0x").is_some_and(|d| all(d, u8::is_ascii_hexdigit))
    {
        return Kind::Integer;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if all(unsigned, u8::is_ascii_digit) {
        return Kind::Integer;
    }
    if is_infinity(unsigned) || is_float(unsigned, false) { Kind::Float } else { Kind::Text }
}

/// <https://yaml.org/type/>, as PyYAML resolves: an exponent needs a point and a sign.
fn legacy(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        ".nan" | ".NaN" | ".NAN" => return Kind::Float,
        _ => {}
    }
    let words = ["yes", "no", "true", "false", "on", "off"];
    let lower = text.to_ascii_lowercase();
    let capitalised = text.get(1..).is_some_and(|rest| lower.get(1..) == Some(rest)) || lower.to_uppercase() == text;
    if words.contains(&lower.as_str()) && capitalised {
        return Kind::Bool;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if is_legacy_integer(unsigned) {
        return Kind::Integer;
    }
    if is_infinity(unsigned) || is_float(unsigned, true) || is_sexagesimal(unsigned, true) {
        return Kind::Float;
    }
    if is_date(text) { Kind::Date } else { Kind::Text }
}

fn is_infinity(unsigned: &str) -> bool {
    matches!(unsigned, ".inf" | ".Inf" | ".INF")
}

/// A float without its sign. `legacy`: digits may hold `_`, a point is needed, an exponent needs its sign.
fn is_float(text: &str, legacy: bool) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digit = |b: u8| b.is_ascii_digit() || legacy && b == b'_';
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.bytes().chain(fraction.bytes());
    let mantissa_ok = digits.clone().all(digit)
        && digits.clone().any(|b| b.is_ascii_digit())
        && (mantissa.contains('.') || !legacy)
        && !(legacy && (whole.starts_with('_') || whole.is_empty() && fraction.starts_with('_')));
    let exponent_ok = exponent.is_none_or(|e| {
        let signed = e.starts_with(['-', '+']);
        let digits = e.strip_prefix(['-', '+']).unwrap_or(e);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (signed || !legacy)
    });
    mantissa_ok && exponent_ok && (mantissa.contains('.') || exponent.is_some())
}

fn is_legacy_integer(unsigned: &str) -> bool {
    let all = |digits: &str, ok: fn(u8) -> bool| !digits.is_empty() && digits.bytes().all(|b| b == b'_' || ok(b));
    if let Some(digits) = unsigned.strip_prefix("0b") {
        return all(digits, |b| matches!(b, b'0' | b'1'));
    }
    if let Some(digits) = unsigned.strip_prefix("0x") {
        return all(digits, |b| b.is_ascii_hexdigit());
    }
    match unsigned.as_bytes() {
        [b'0'] => true,
        [b'0', ..] => all(unsigned, |b| (b'0'..=b'7').contains(&b)),
        [b'1'..=b'9', ..] => all(unsigned, |b| b.is_ascii_digit()) || is_sexagesimal(unsigned, false),
        _ => false,
    }
}

/// `1:30`, `1:30:00.5`: base 60.
fn is_sexagesimal(unsigned: &str, float: bool) -> bool {
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) if float => (whole, fraction),
        None if !float => (unsigned, ""),
        _ => return false,
    };
    let digit = |b: u8| b.is_ascii_digit() || b == b'_';
    let mut parts = whole.split(':');
    let head = parts.next().unwrap_or_default();
    let mut tail = parts.peekable();
    head.starts_with(|c: char| c.is_ascii_digit())
        && head.bytes().all(digit)
        && tail.peek().is_some()
        && tail.all(|p| match p.as_bytes() {
            [b] => b.is_ascii_digit(),
            [b'0'..=b'5', b] => b.is_ascii_digit(),
            _ => false,
        })
        && fraction.bytes().all(digit)
}

/// `2024-01-31`, alone or before a time.
fn is_date(text: &str) -> bool {
    let date = text.split(['T', 't', ' ', '\t']).next().unwrap_or_default();
    let mut parts = date.split('-');
    let lengths =
        [parts.next(), parts.next(), parts.next()].map(|p| p.filter(|p| p.bytes().all(|b| b.is_ascii_digit())));
    matches!(lengths.map(|p| p.map_or(0, str::len)), [4, 1 | 2, 1 | 2]) && parts.next().is_none()
}
