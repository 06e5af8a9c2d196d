//! The envelope of Docker's `json-file` driver: `{"log":"text\n","stream":"stderr","time":"..."}` around every line.
//!
//! Lives here: unpacking a region of such lines to plain text, with the way back to offsets and times. No full JSON
//! parser: the driver always writes these keys in this order; what looks different is taken as it stands.

use super::scan::{MAX_LINE, Place};
use jiff::Timestamp;
use memchr::{memchr, memchr2, memmem};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Longest line of such a file that is looked at: 16 KiB of text, six bytes for each that is escaped, and the rest.
pub const MAX_RAW: usize = 6 * MAX_LINE + 512;

/// Times of files may be so much behind the clock: a tick of the slowest kernels, and some more.
const CLOCK_TICK_NS: i128 = 20_000_000;

/// A region unpacked.
#[derive(Default)]
pub struct Unpacked {
    pub text: Vec<u8>,
    marks: Vec<Mark>,
    /// The times as written, one after the other: only those of events are ever parsed.
    times: Vec<u8>,
}

struct Mark {
    /// Where the line begins in the unpacked text.
    at: usize,
    /// And in the file.
    offset: u64,
    /// Place and length of its time in `times`.
    time: Option<(u32, u8)>,
}

impl Unpacked {
    /// Unpacks whole lines that begin at `offset` of the file. `continued`: the next entry of stdout, stderr goes on
    /// with a line whose beginning (16 KiB) was taken, and is skipped.
    pub fn fill(&mut self, raw: &[u8], offset: u64, continued: &mut [bool; 2]) {
        self.text.clear();
        self.marks.clear();
        self.times.clear();
        let mut at = 0;
        while let Some(rest) = raw.get(at..).filter(|r| !r.is_empty()) {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            self.entry(rest.get(..end).unwrap_or_default(), offset + at as u64, continued);
            at += end + 1;
        }
    }

    /// Where the line at a position of `text` came from.
    pub fn place(&self, at: usize) -> Place {
        let mark = self.marks.partition_point(|m| m.at <= at).checked_sub(1).and_then(|i| self.marks.get(i));
        let Some(Mark { offset, time, .. }) = mark else { return (0, None) };
        let written =
            time.and_then(|(from, length)| self.times.get(from as usize..from as usize + usize::from(length)));
        let parse = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<Timestamp>().ok();
        (*offset, written.and_then(parse))
    }

    fn entry(&mut self, line: &[u8], offset: u64, continued: &mut [bool; 2]) {
        let start = self.text.len();
        let Some(body) = line.strip_prefix(b"{\"log\":\"") else {
            self.text.extend_from_slice(line);
            self.text.push(b'\n');
            self.marks.push(Mark { at: start, offset, time: None });
            return;
        };
        let rest = self.unescape(body);
        let stream = usize::from(memmem::find(rest, b"\"stream\":\"stderr\"").is_some());
        let ends = self.text.last() == Some(&b'\n') && self.text.len() > start;
        let goes_on = continued.get_mut(stream).is_some_and(|c| std::mem::replace(c, !ends));
        if goes_on {
            self.text.truncate(start);
            return;
        }
        if !ends {
            self.text.push(b'\n');
        }
        let time = memmem::find(rest, b"\"time\":\"").and_then(|key| {
            let value = rest.get(key + 8..)?;
            let value = value.get(..memchr(b'"', value)?)?;
            let from = u32::try_from(self.times.len()).ok()?;
            self.times.extend_from_slice(value);
            Some((from, u8::try_from(value.len()).ok()?))
        });
        self.marks.push(Mark { at: start, offset, time });
    }

    /// Appends the JSON string that `body` begins with; returns what follows it.
    fn unescape<'b>(&mut self, mut body: &'b [u8]) -> &'b [u8] {
        loop {
            let Some(stop) = memchr2(b'"', b'\\', body) else {
                self.text.extend_from_slice(body);
                return &[];
            };
            let (plain, rest) = body.split_at(stop);
            self.text.extend_from_slice(plain);
            match rest {
                [b'\\', b'u', ..] => {
                    let (character, used) = unicode(rest);
                    let mut utf8 = [0; 4];
                    self.text.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                    body = rest.get(used..).unwrap_or_default();
                }
                [b'\\', escaped, after @ ..] => {
                    self.text.push(match escaped {
                        b'n' => b'\n',
                        b't' => b'\t',
                        b'r' => b'\r',
                        b'b' => 8,
                        b'f' => 12,
                        other => *other,
                    });
                    body = after;
                }
                [_, after @ ..] => return after,
                [] => return &[],
            }
        }
    }
}

/// Whether the first entry of a file is later than when the engine truncated it (ns since the epoch). It does that to write
/// the entry that it has, so an earlier one was there and is gone.
pub fn begins_later(file: &File, truncated: i128) -> bool {
    let mut first = vec![0; MAX_RAW];
    let read = file.read_at(&mut first, 0).unwrap_or(0);
    let end = memchr(b'\n', first.get(..read).unwrap_or_default());
    let mut unpacked = Unpacked::default();
    unpacked.fill(first.get(..end.unwrap_or(0)).unwrap_or_default(), 0, &mut [false; 2]);
    unpacked.place(0).1.is_some_and(|time| time.as_nanosecond() > truncated + CLOCK_TICK_NS)
}

/// The character of `\uXXXX`, or of a pair of surrogates, and how many bytes it took.
fn unicode(text: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let hex = text.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
        u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
    };
    match (unit(0), unit(6)) {
        (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) => {
            let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        (Some(code), _) => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
        (None, _) => (char::REPLACEMENT_CHARACTER, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_offset_and_time_come_out_as_they_went_in() {
        let raw = concat!(
            "{\"log\":\"a \\\"b\\\" \\u003cc\\u003e \\ud83d\\ude00\\t\\\\\\n\",\"stream\":\"stdout\",\"time\":\"2025-01-02T03:04:05.5Z\"}\n",
            "not an envelope\n",
            "{\"log\":\"\\n\",\"stream\":\"stderr\",\"time\":\"2025-01-02T03:04:06Z\"}\n",
        );
        let mut unpacked = Unpacked::default();
        unpacked.fill(raw.as_bytes(), 1000, &mut [false; 2]);
        assert_eq!(String::from_utf8_lossy(&unpacked.text), "a \"b\" <c> \u{1F600}\t\\\nnot an envelope\n\n");
        let time = |t: &str| Some(t.parse().unwrap());
        assert_eq!(unpacked.place(3), (1000, time("2025-01-02T03:04:05.5Z")));
        let third = unpacked.text.len() - 1;
        let offset = 1000 + raw.match_indices('\n').nth(1).unwrap().0 as u64 + 1;
        assert_eq!(unpacked.place(third), (offset, time("2025-01-02T03:04:06Z")));
    }

    #[test]
    fn a_line_split_by_docker_is_one_line_per_stream() {
        let entry =
            |text: &str, stream: &str| format!("{{\"log\":\"{text}\",\"stream\":\"{stream}\",\"time\":\"\"}}\n");
        let raw = [
            entry("first part", "stdout"),
            entry("other\\n", "stderr"),
            entry("second", "stdout"),
            entry("last\\n", "stdout"),
            entry("new\\n", "stdout"),
        ];
        let (mut continued, mut all) = ([false; 2], String::new());
        let mut unpacked = Unpacked::default();
        for entry in raw {
            unpacked.fill(entry.as_bytes(), 0, &mut continued);
            all.push_str(&String::from_utf8_lossy(&unpacked.text));
        }
        assert_eq!(all, "first part\nother\nnew\n");
    }
}
