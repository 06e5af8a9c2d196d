//! Error groups: a title with its variable parts masked is a template; equal templates are one group.
//!
//! Pure, one setting for all logs. Not here: counting.

use super::prefix::Prefix;
use memchr::memmem;
use sha2::{Digest, Sha256};

/// Bytes of a title that are looked at.
const MAX_TITLE: usize = 1024;
/// A quoted text longer than this is no quoted text.
const MAX_QUOTED: usize = 200;

/// Id of a template: 12 hex digits.
pub fn id(template: &str) -> String {
    Sha256::digest(template.as_bytes()).iter().take(6).map(|b| format!("{b:02x}")).collect()
}

/// The template of a title: header stripped, numbers, ids, addresses, paths, quoted texts and durations masked.
pub fn template(title: &str) -> String {
    let plain = without_escapes(title);
    let bytes = plain.as_bytes();
    let text = message(bytes.get(..MAX_TITLE).unwrap_or(bytes));
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first().copied() {
        let length = match first {
            b'\'' | b'"' | b'`' => quoted(rest, text.len() - rest.len(), text, &mut out),
            b if is_delimiter(b) => {
                push(&mut out, rest.get(..1).unwrap_or_default());
                1
            }
            _ => word(rest, &mut out),
        };
        rest = rest.get(length.max(1)..).unwrap_or_default();
    }
    let mut template = String::with_capacity(out.len());
    for part in out.split_whitespace() {
        if !template.is_empty() {
            template.push(' ');
        }
        template.push_str(part);
    }
    template
}

/// Without the terminal's colour codes.
fn without_escapes(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('\u{1b}');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let code = part.strip_prefix('[').unwrap_or(part);
        out.push_str(code.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').get(1..).unwrap_or_default());
    }
    out.into()
}

fn push(out: &mut String, bytes: &[u8]) {
    out.push_str(&String::from_utf8_lossy(bytes));
}

fn is_delimiter(b: u8) -> bool {
    b.is_ascii_whitespace() || b"()[]{}<>,;=|".contains(&b)
}

/// What follows the header: process prefix, timestamps, pid or thread in brackets, level.
fn message(line: &[u8]) -> &[u8] {
    let mut rest = Prefix::of_process(line).strip(line).unwrap_or(line);
    while let Some(next) = header_part(rest.trim_ascii_start()) {
        rest = next;
    }
    let rest = rest.trim_ascii();
    if rest.is_empty() { line.trim_ascii() } else { rest }
}

fn header_part(text: &[u8]) -> Option<&[u8]> {
    const LEVELS: [&[u8]; 15] = [
        b"TRACE",
        b"DEBUG",
        b"INFO",
        b"NOTICE",
        b"WARNING",
        b"WARN",
        b"ERROR",
        b"CRITICAL",
        b"FATAL",
        b"ERR",
        b"error",
        b"warn",
        b"notice",
        b"info",
        b"fatal",
    ];
    const ENDS: &[u8] = b" :]|\t-";
    if let [b'[', inner @ ..] = text {
        let close = memchr::memchr(b']', inner.get(..inner.len().min(60))?)?;
        let inside = inner.get(..close)?;
        let rest = inner.get(close + 1..)?;
        let is_header = inside.iter().any(u8::is_ascii_digit) || LEVELS.contains(&inside.trim_ascii());
        return is_header.then(|| rest.strip_prefix(b":").unwrap_or(rest));
    }
    for level in LEVELS {
        if let Some(rest) = text.strip_prefix(level)
            && rest.first().is_none_or(|b| ENDS.contains(b))
        {
            return Some(after_level(rest));
        }
    }
    let end = text.iter().position(u8::is_ascii_whitespace)?;
    let token = text.get(..end)?;
    let separators = token.iter().filter(|b| b":-/.".contains(b)).count();
    let is_stamp = token.first()?.is_ascii_digit()
        && separators >= 2
        && token.iter().all(|b| b.is_ascii_digit() || b":-/.,TZ+".contains(b));
    is_stamp.then(|| text.get(end..).unwrap_or_default())
}

/// Strips what stands between a level and the text.
fn after_level(text: &[u8]) -> &[u8] {
    let skip = text.iter().take_while(|b| b" :|\t".contains(b)).count();
    text.get(skip..).unwrap_or_default()
}

/// Masks a quoted text; an apostrophe inside of a word is none.
fn quoted(rest: &[u8], at: usize, text: &[u8], out: &mut String) -> usize {
    let quote = rest.first().copied().unwrap_or_default();
    let in_word = at > 0 && text.get(at - 1).is_some_and(u8::is_ascii_alphanumeric);
    let window = rest.get(1..rest.len().min(MAX_QUOTED)).unwrap_or_default();
    match memchr::memchr(quote, window) {
        Some(length) if !in_word => {
            out.push_str("<str>");
            length + 2
        }
        _ => {
            push(out, &[quote]);
            1
        }
    }
}

/// Masks one word; returns how much of the text it was.
fn word(rest: &[u8], out: &mut String) -> usize {
    let until = |stop: fn(&u8) -> bool| rest.iter().position(stop).unwrap_or(rest.len());
    let mut end = until(|b| is_delimiter(*b) || b"'\"`".contains(b));
    if memmem::find(rest.get(..end).unwrap_or_default(), b"://").is_some() {
        end = until(|b| b.is_ascii_whitespace() || b"'\"`<>)]}".contains(b));
    }
    let whole = rest.get(..end).unwrap_or_default();
    let core_end = whole.iter().rposition(|b| !b".:!?".contains(b)).map_or(0, |last| last + 1);
    let (core, tail) = whole.split_at(core_end);
    match mask(core) {
        Some(name) => out.push_str(name),
        None => masked_digits(core, out),
    }
    push(out, tail);
    end
}

fn mask(word: &[u8]) -> Option<&'static str> {
    let digits = word.iter().filter(|b| b.is_ascii_digit()).count();
    let slashes = word.iter().filter(|b| **b == b'/').count();
    if memmem::find(word, b"://").is_some() {
        return Some("<url>");
    }
    if word.contains(&b'@') && word.contains(&b'.') && slashes == 0 {
        return Some("<email>");
    }
    if word.len() > 2 && (matches!(word, [b'/' | b'~', ..]) && slashes >= 1 || word.starts_with(b"./") || slashes >= 3)
    {
        return Some("<path>");
    }
    if matches!(word, [b'A'..=b'Z' | b'a'..=b'z', b':', b'\\', ..]) {
        return Some("<path>");
    }
    if digits == 0 {
        return None;
    }
    if is_number(word) {
        return Some("<num>");
    }
    if is_address(word) {
        return Some("<ip>");
    }
    if is_hex(word) {
        return Some("<hex>");
    }
    if is_duration(word) {
        return Some("<duration>");
    }
    let runs = word.split(|b| !b.is_ascii_digit()).filter(|run| !run.is_empty()).count();
    (runs > 3).then_some("<id>")
}

fn is_number(word: &[u8]) -> bool {
    let body = word.strip_prefix(b"-").or_else(|| word.strip_prefix(b"+")).unwrap_or(word);
    let body = body.strip_prefix(b"#").unwrap_or(body);
    let body = body.strip_suffix(b"%").unwrap_or(body);
    !body.is_empty() && body.iter().all(|b| b.is_ascii_digit() || b".:/-_".contains(b)) && !is_address(word)
}

/// IPv4 with an optional port, IPv6, uuid-free.
fn is_address(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"/").unwrap_or(word);
    let host = word.split(|b| b":/".contains(b)).next().unwrap_or_default();
    let is_v4 = host.split(|b| *b == b'.').count() == 4
        && host.split(|b| *b == b'.').all(|p| !p.is_empty() && p.len() <= 3 && p.iter().all(u8::is_ascii_digit));
    let is_v6 = || {
        word.iter().filter(|b| **b == b':').count() >= 3
            && word.iter().all(|b| b.is_ascii_hexdigit() || *b == b':' || *b == b'.')
    };
    is_v4 || is_v6()
}

/// `0x1f`, eight or more hex digits, also in groups (uuids).
fn is_hex(word: &[u8]) -> bool {
    if let Some(digits) = word.strip_prefix(b"0x") {
        return !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    }
    let digits = word.iter().filter(|b| b.is_ascii_hexdigit()).count();
    digits >= 8 && word.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-')
}

fn is_duration(word: &[u8]) -> bool {
    const UNITS: [&[u8]; 17] = [
        b"ns",
        b"us",
        "µs".as_bytes(),
        b"ms",
        b"s",
        b"m",
        b"h",
        b"d",
        b"sec",
        b"secs",
        b"min",
        b"B",
        b"KB",
        b"MB",
        b"GB",
        b"KiB",
        b"MiB",
    ];
    let number = word.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    number > 0 && word.get(number..).is_some_and(|unit| UNITS.contains(&unit))
}

/// Every run of digits becomes one mark; the rest of the word stays.
fn masked_digits(word: &[u8], out: &mut String) {
    for part in word.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        if part.first().is_some_and(u8::is_ascii_digit) {
            out.push_str("<num>");
        } else if part.ends_with(b"_-") {
            // The sign of an id: `blk_-160` and `blk_160` are alike.
            push(out, part.get(..part.len() - 1).unwrap_or_default());
        } else {
            push(out, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(title: &str, expected: &str) {
        assert_eq!(template(title), expected, "{title}");
    }

    #[test]
    fn variable_parts_are_masked_and_headers_stripped() {
        check("2025-01-02 03:04:05,123 ERROR db conn 12 lost", "db conn <num> lost");
        check("web-1  | ERROR: job 5 failed", "job <num> failed");
        check("Jan  2 03:04:05 h app[12]: user 'bob' at 10.0.0.1:80 denied", "user <str> at <ip> denied");
        check("[2025-01-02 03:04:05] [error] can't open /srv/a b.txt", "can't open <path> b.txt");
        check("id 550e8400-e29b-41d4-a716-446655440000 0xff12 took 12ms", "id <hex> <hex> took <duration>");
        check("KeyError: 'user_5'", "KeyError: <str>");
        check("req_9 of blk_-160 failed: 503.", "req_<num> of blk_<num> failed: <num>.");
        check("GET https://api.x.com/v1?x=1 failed", "GET <url> failed");
        check("\u{1b}[31mERROR\u{1b}[0m boom", "boom");
        check("ERROR", "ERROR");
        check("", "");
    }
}
