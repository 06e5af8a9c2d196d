//! What stands before the text on every line of one process: timestamps, compose and syslog prefixes.
//!
//! Two lines belong together when their prefixes are equal but for the timestamps in them. Pure.

use memchr::memchr;
use serde::{Deserialize, Serialize};

/// A prefix is looked for in so many first bytes of a line.
const HEAD: usize = 160;

/// The start of a line; timestamps in it stand for any timestamp.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prefix(Vec<u8>);

/// The next piece of a prefix.
enum Piece<'a> {
    Text(&'a [u8]),
    /// Digits with separators: a date, a time, a point in time.
    Stamp,
}

impl Prefix {
    /// Reads a prefix.
    pub fn of(text: &[u8]) -> Prefix {
        Prefix(text.to_vec())
    }

    /// The part of a line's start that names its process: `web-1 | ` of compose, `Jan  2 03:04:05 host prog[12]: ` of
    /// syslog and journalctl; empty where neither is there.
    pub fn of_process(line: &[u8]) -> Prefix {
        let head = line.get(..line.len().min(HEAD)).unwrap_or_default();
        Prefix::of(head.get(..process_length(head)).unwrap_or_default())
    }

    /// Whether it is empty: every line begins with it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What follows the prefix, where the line begins with it.
    pub fn strip<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let (mut rest, mut left) = (line, self.0.as_slice());
        while !left.is_empty() {
            let (piece, after) = piece(left);
            rest = match piece {
                Piece::Text(text) => rest.strip_prefix(text)?,
                Piece::Stamp => match stamp_length(rest) {
                    0 => return None,
                    n => rest.get(n..)?,
                },
            };
            left = after;
        }
        Some(rest)
    }
}

/// Prefixes are equal when they are but for their timestamps.
impl PartialEq for Prefix {
    fn eq(&self, other: &Prefix) -> bool {
        let (mut a, mut b) = (self.0.as_slice(), other.0.as_slice());
        while !a.is_empty() && !b.is_empty() {
            let ((one, after_a), (two, after_b)) = (piece(a), piece(b));
            match (one, two) {
                (Piece::Stamp, Piece::Stamp) => {}
                (Piece::Text(one), Piece::Text(two)) if one == two => {}
                _ => return false,
            }
            (a, b) = (after_a, after_b);
        }
        a.is_empty() && b.is_empty()
    }
}

impl Eq for Prefix {}

/// The first piece of a text that is not empty, and the rest.
fn piece(text: &[u8]) -> (Piece<'_>, &[u8]) {
    let length = stamp_length(text);
    let separators = text.iter().take(length).filter(|b| b":-/.".contains(b)).count();
    if separators >= 2 {
        return (Piece::Stamp, text.get(length..).unwrap_or_default());
    }
    let (text, rest) = text.split_at(length.clamp(1, text.len()));
    (Piece::Text(text), rest)
}

/// Length of the run of digits and the separators of dates and times that a text starts with; 0 when it does not start
/// with a digit. A trailing separator is not part of it.
fn stamp_length(text: &[u8]) -> usize {
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    let run = text.iter().take(48).take_while(|b| b.is_ascii_digit() || b":-/.,T+Z".contains(b)).count();
    let run = text.get(..run).unwrap_or_default();
    run.iter().rposition(|b| b.is_ascii_digit() || *b == b'Z').map_or(0, |last| last + 1)
}

fn process_length(head: &[u8]) -> usize {
    // Most lines have neither.
    let Some(first) = memchr::memchr2(b'|', b']', head) else { return 0 };
    if let Some(bar) = find_pair(head, first, [b'|', b' ']) {
        let name = head.get(..bar).unwrap_or_default().trim_ascii_end();
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
        if !name.is_empty() && name.len() <= 80 && name.iter().all(is_name) {
            return bar + 2;
        }
    }
    // `prog[12]: `, with nothing but a time and a host before it.
    if let Some(end) = find_pair(head, first, [b']', b':']).filter(|at| head.get(at + 2) == Some(&b' ')) {
        let before = head.get(..end).unwrap_or_default();
        if let Some(open) = memchr::memrchr(b'[', before) {
            let pid = before.get(open + 1..).unwrap_or_default();
            let spaces = before.iter().filter(|b| **b == b' ').count();
            if !pid.is_empty() && pid.iter().all(u8::is_ascii_digit) && spaces <= 5 && memchr(b'"', before).is_none() {
                return end + 3;
            }
        }
    }
    0
}

/// Where two bytes stand one behind the other, from a place on.
fn find_pair(text: &[u8], from: usize, pair: [u8; 2]) -> Option<usize> {
    let [first, second] = pair;
    let behind = text.get(from..).unwrap_or_default();
    memchr::memchr_iter(first, behind).map(|at| from + at).find(|at| text.get(at + 1) == Some(&second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prefix: &str, line: &str, body: Option<&str>) {
        let found =
            Prefix::of(prefix.as_bytes()).strip(line.as_bytes()).map(|b| String::from_utf8_lossy(b).into_owned());
        assert_eq!(found.as_deref(), body, "{prefix:?} on {line:?}");
    }

    #[test]
    fn prefixes_are_equal_but_for_their_timestamps() {
        check("web-1  | ", "web-1  |   File", Some("  File"));
        check("web-1  | ", "web-2  |   File", None);
        check("2025-01-02T03:04:05.123456789Z stderr F ", "2025-01-02T03:04:06.1Z stderr F   at", Some("  at"));
        check("2025-01-02 03:04:05,123 ERROR ", "2025-01-02 03:04:06,9 ERROR x", Some("x"));
        check("Jan  2 03:04:05 h app[12]: ", "Jan  2 03:05:00 h app[12]: x", Some("x"));
        check("Jan  2 03:04:05 h app[12]: ", "Jan  2 03:05:00 h app[13]: x", None);
        check("", "x", Some("x"));
    }

    #[test]
    fn the_process_part_is_found() {
        let check = |line: &str, body: &str| {
            assert_eq!(Prefix::of_process(line.as_bytes()).strip(line.as_bytes()), Some(body.as_bytes()), "{line}");
        };
        check("web-1  | ERROR x", "ERROR x");
        check("Jan  2 03:04:05 h app[12]: ERROR x", "ERROR x");
        check("2025-01-02 03:04:05 ERROR x | y", "2025-01-02 03:04:05 ERROR x | y");
        check("", "");
    }
}
