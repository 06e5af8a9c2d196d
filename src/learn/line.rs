//! One line of the knowledge base: its form, its checksum, reading and appending it.
//!
//! May not live here: what the lines say together.

use crate::host::files;
use crate::model::Record;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// A longer line is foreign: counted, skipped, and never held whole.
pub(super) const LONGEST_LINE: usize = 64 * 1024;

/// Text borrowed from its line where it holds no escapes (serde borrows a `Cow` in an `Option` never).
#[derive(Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// The lines of a stream. One that lies in its buffer whole is not copied.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    /// A line that does not.
    line: Vec<u8>,
    /// What the line given last takes of the buffer.
    used: usize,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(stream: R) -> Lines<R> {
        Lines { reader: BufReader::with_capacity(64 * 1024, stream), line: Vec::new(), used: 0 }
    }

    /// The next line without its end, cut at [`LONGEST_LINE`] (it is then no JSON and is skipped as such), and its whole
    /// length in bytes, end included. `None` at the end of the stream.
    pub(super) fn next(&mut self) -> std::io::Result<Option<(&[u8], u64)>> {
        self.reader.consume(std::mem::take(&mut self.used));
        if let Some(end) = memchr::memchr(b'\n', self.reader.fill_buf()?) {
            self.used = end + 1;
            return Ok(self.reader.buffer().get(..end).map(|line| (line, end as u64 + 1)));
        }
        let length = self.gather()?;
        Ok((length > 0).then_some((&self.line, length)))
    }

    /// A line that goes on after the buffer.
    fn gather(&mut self) -> std::io::Result<u64> {
        self.line.clear();
        let mut length = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = memchr::memchr(b'\n', buffer);
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
            let used = end.map_or(buffer.len(), |e| e + 1);
            self.reader.consume(used);
            length += used as u64;
            if end.is_some() || used == 0 {
                return Ok(length);
            }
        }
    }
}

const CRC_KEY: &[u8] = b",\"crc\":\"";

/// A line for the knowledge base: the record as JSON whose last key is `crc`, the CRC-32 (IEEE) in hex of the same JSON
/// without that key.
///
/// # Errors
/// When the record cannot be written as JSON.
pub fn to_line(record: &impl serde::Serialize) -> Result<String> {
    let mut text = serde_json::to_string(record).context("cannot write a record as JSON")?;
    let crc = crc32fast::hash(text.as_bytes());
    text.pop();
    text.push_str(&format!(",\"crc\":\"{crc:08x}\"}}"));
    Ok(text)
}

/// A line that names a checksum must have the right one; one without is another program's and is taken as it is.
///
/// # Errors
/// When the checksum does not fit.
pub fn check_line(line: &[u8]) -> Result<(), String> {
    let line = line.trim_ascii_end();
    let Some(at) = line.len().checked_sub(CRC_KEY.len() + 10) else { return Ok(()) };
    let (record, tail) = line.split_at(at);
    let Some(tail) = tail.strip_prefix(CRC_KEY) else { return Ok(()) };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(record);
    hasher.update(b"}");
    let digits = tail.strip_suffix(b"\"}").and_then(|digits| std::str::from_utf8(digits).ok());
    let named = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    if named == Some(hasher.finalize()) { Ok(()) } else { Err("its checksum does not fit: the line is damaged".into()) }
}

/// Appends a fix's terminal record.
///
/// # Errors
/// When it cannot be written and synced.
pub fn append(path: &Path, record: &Record) -> Result<()> {
    files::append_line(path, &to_line(record)?, 0o640).context("cannot write the knowledge base")
}

/// A later word on a fix that is already recorded; never counted as a fix.
#[derive(Debug, Clone, serde::Serialize)]
pub struct VerdictLine<'a> {
    pub kind: &'static str,
    pub timestamp: jiff::Timestamp,
    pub id: &'a str,
    pub verdict: &'a str,
}

/// Appends a later verdict on a fix.
///
/// # Errors
/// When it cannot be written and synced.
pub fn append_verdict(path: &Path, timestamp: jiff::Timestamp, id: &str, verdict: &str) -> Result<()> {
    let line = to_line(&VerdictLine { kind: "verdict", timestamp, id, verdict })?;
    files::append_line(path, &line, 0o640).context("cannot write the knowledge base")
}

/// Whether the knowledge base already holds the terminal record of this fix: looked up by recovery, so that a crash
/// between writing the record and closing the transaction never makes two.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn has_record(path: &Path, id: &str) -> Result<bool> {
    any_line(path, id, |line| line.kind.is_none())
}

/// Whether this verdict on this fix is already there.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn has_verdict(path: &Path, id: &str, verdict: &str) -> Result<bool> {
    any_line(path, id, |line| line.kind.is_some() && line.verdict.as_ref().is_some_and(|v| v.0 == verdict))
}

/// Whether this verdict on this fix is among the last lines: enough to go on after a crash, and a large file is not read.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn has_late_verdict(path: &Path, id: &str, verdict: &str) -> Result<bool> {
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    let wanted = |line: &Identity| line.kind.is_some() && line.verdict.as_ref().is_some_and(|v| v.0 == verdict);
    any_line_from(path, size.saturating_sub(LATE), id, wanted)
}

/// Bytes.
const LATE: u64 = 1 << 20;

#[derive(Deserialize)]
struct Identity<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    verdict: Option<Text<'a>>,
}

fn any_line(path: &Path, id: &str, wanted: impl Fn(&Identity) -> bool) -> Result<bool> {
    any_line_from(path, 0, id, wanted)
}

fn any_line_from(path: &Path, from: u64, id: &str, wanted: impl Fn(&Identity) -> bool) -> Result<bool> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    file.seek(SeekFrom::Start(from)).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = Lines::new(file);
    while let Some((line, _)) = lines.next()? {
        if memchr::memmem::find(line, id.as_bytes()).is_none() || check_line(line).is_err() {
            continue;
        }
        if serde_json::from_slice::<Identity>(line)
            .is_ok_and(|l| l.id.as_ref().is_some_and(|i| i.0 == id) && wanted(&l))
        {
            return Ok(true);
        }
    }
    Ok(false)
}
