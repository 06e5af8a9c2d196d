//! The scanner: each line matches as each pattern alone says, wherever the buffer is cut, with linear work.

use super::{allocated, patterns, signature};
use healer::config::{SystemSecrets, compile};
use healer::logs::{scan_files, scan_lines};
use jiff::Timestamp;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Bytes that a file is read in, as far as the cut of a buffer goes.
const BUFFER: usize = 256 << 10;
/// Bytes of a line that are looked at.
const MAX_LINE: usize = 16 << 10;
/// Bytes allocated at most: once, and for each byte of the input.
const BUDGET: (u64, u64) = (32 << 20, 2_000);

thread_local!(static BUILTIN: OnceCell<Vec<healer::config::Signature>> = const { OnceCell::new() });

/// Asserts it of an input.
pub fn law(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    if mode % 4 == 0 {
        return builtin(data);
    }
    let mut bytes = data.iter().copied();
    let patterns = patterns(&mut bytes);
    let text: Vec<u8> = bytes.collect();
    // Escape sequences are taken out before a line is matched; the oracle does not know how.
    if text.contains(&0x1b) {
        return;
    }
    let signatures: Vec<_> = patterns.iter().enumerate().map(|(n, p)| signature(&format!("s{n}"), p)).collect();
    let (report, bytes) = allocated(|| scan_lines(&signatures, "file:x", &text, Timestamp::UNIX_EPOCH));
    check_work(text.len(), bytes);
    assert_eq!(report.matched_lines, expected(&patterns, &text), "{patterns:?}");
    if mode % 16 == 1 {
        cut(&signatures, &text, &report);
    }
}

/// What each pattern matches, line by line.
fn expected(patterns: &[String], text: &[u8]) -> BTreeMap<String, u64> {
    let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let count = |pattern: &String| {
        let regex = regex::bytes::Regex::new(pattern).unwrap();
        lines.iter().filter(|line| regex.is_match(&line[..line.len().min(MAX_LINE)])).count() as u64
    };
    let counts = patterns.iter().enumerate().map(|(n, pattern)| (format!("s{n}"), count(pattern)));
    counts.filter(|(_, n)| *n > 0).collect()
}

/// The same text as the end of a file, cut by a buffer somewhere inside of it.
fn cut(signatures: &[healer::config::Signature], text: &[u8], whole: &healer::model::LogReport) {
    // What stands before it must be no line of a signature of its own.
    let filler = b"\n".repeat(BUFFER - text.len().min(BUFFER) / 2);
    let blank = scan_lines(signatures, "file:x", b"\n", Timestamp::UNIX_EPOCH);
    if !blank.matched_lines.is_empty() {
        return;
    }
    let file = tempfile::NamedTempFile::new_in("/dev/shm").or_else(|_| tempfile::NamedTempFile::new()).unwrap();
    // A file's format is told by its first bytes, and it is no text with a NUL among them.
    std::fs::write(file.path(), [&filler, text].concat()).unwrap();
    let report = scan_files(signatures, &[file.path().to_owned()], Timestamp::UNIX_EPOCH);
    assert_eq!(report.matched_lines, whole.matched_lines);
    assert_eq!((report.events, &report.by_signature), (whole.events, &whole.by_signature));
}

fn builtin(text: &[u8]) {
    BUILTIN.with(|cell| {
        let signatures = cell
            .get_or_init(|| compile(Vec::new(), &SystemSecrets).map(|engine| engine.signatures).unwrap_or_default());
        assert!(!signatures.is_empty());
        let (report, bytes) = allocated(|| scan_lines(signatures, "file:x", text, Timestamp::UNIX_EPOCH));
        check_work(text.len(), bytes);
        let lines = text.split_inclusive(|b| *b == b'\n').count() as u64;
        assert!(report.events <= lines);
        let of_events: u64 = report.by_signature.values().copied().max().unwrap_or(0);
        assert!(of_events <= report.events);
    });
}

fn check_work(length: usize, bytes: u64) {
    let most = BUDGET.0 + BUDGET.1 * length as u64;
    assert!(bytes <= most, "{bytes} bytes allocated for {length} bytes of input, at most {most} are meant");
}
