//! Later verdicts on fixes, found before the records are folded: a verdict comes after its record, and a million records
//! cannot be kept until then.
//!
//! Verdict lines are few. The file is searched for them in whole buffers, and of each only a hash of the fix's id and what
//! was said of it are kept.

use super::line::{LONGEST_LINE, Text, check_line};
use crate::model::{LaterVerdict, Outcome};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What was said of one fix later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Later {
    pub durable: bool,
    pub recurred: bool,
    /// By an operator.
    pub rolled_back: bool,
}

impl Later {
    /// Whether it worked, as far as later verdicts tell. A fix that lasted a day and came back later did not.
    pub fn works(self) -> Option<bool> {
        if self.recurred || self.rolled_back { Some(false) } else { self.durable.then_some(true) }
    }
}

/// Later verdicts by fix.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdicts(HashMap<u64, Later>);

#[derive(Deserialize)]
struct VerdictLine<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    verdict: Text<'a>,
}

const CHUNK: usize = 256 * 1024;

impl Verdicts {
    /// Those in the bytes `from..to`. Lines that lie across an end are looked at whole where they begin near it: what is
    /// seen twice counts once.
    pub fn read(path: &Path, from: u64, to: u64) -> std::io::Result<Verdicts> {
        let mut file = File::open(path)?;
        let begin = from.saturating_sub(LONGEST_LINE as u64);
        file.seek(SeekFrom::Start(begin))?;
        let mut file = file.take(to.saturating_add(LONGEST_LINE as u64).saturating_sub(begin));
        let finder = memchr::memmem::Finder::new(b"\"verdict\"");
        let mut verdicts = Verdicts::default();
        let mut buffer = vec![0; CHUNK + LONGEST_LINE];
        let mut held = 0;
        loop {
            let room = buffer.get_mut(held..).unwrap_or_default();
            let read = file.read(room)?;
            let all = buffer.get(..held + read).unwrap_or_default();
            let whole = if read == 0 { all.len() } else { memchr::memrchr(b'\n', all).map_or(0, |end| end + 1) };
            verdicts.search(all.get(..whole).unwrap_or_default(), &finder);
            if read == 0 {
                return Ok(verdicts);
            }
            // A longer line than any of ours has no beginning worth keeping.
            let rest = all.len() - whole;
            let keep = if rest > LONGEST_LINE { 0 } else { rest };
            let end = held + read;
            buffer.copy_within(end - keep..end, 0);
            held = keep;
        }
    }

    fn search(&mut self, text: &[u8], finder: &memchr::memmem::Finder) {
        let mut from = 0;
        while let Some(found) = text.get(from..).and_then(|rest| finder.find(rest)) {
            let at = from + found;
            let start = text.get(..at).and_then(|t| memchr::memrchr(b'\n', t)).map_or(0, |n| n + 1);
            let end = text.get(at..).and_then(|t| memchr::memchr(b'\n', t)).map_or(text.len(), |n| at + n);
            self.take(text.get(start..end).unwrap_or_default());
            from = end;
        }
    }

    fn take(&mut self, line: &[u8]) {
        if check_line(line).is_err() {
            return;
        }
        let Ok(line) = serde_json::from_slice::<VerdictLine>(line) else { return };
        if line.kind.0 != "verdict" {
            return;
        }
        let later = self.0.entry(hash(&line.id.0)).or_default();
        later.durable |= line.verdict.0 == LaterVerdict::Durable.word();
        later.recurred |= line.verdict.0 == LaterVerdict::Recurred.word();
        later.rolled_back |= line.verdict.0 == Outcome::RolledBackByOperator.word();
    }

    /// Together with those of another part of the file.
    pub fn and(mut self, other: Verdicts) -> Verdicts {
        for (id, of_other) in other.0 {
            let later = self.0.entry(id).or_default();
            later.durable |= of_other.durable;
            later.recurred |= of_other.recurred;
            later.rolled_back |= of_other.rolled_back;
        }
        self
    }

    /// What was said of this fix.
    pub fn of(&self, id: &str) -> Option<Later> {
        if self.0.is_empty() { None } else { self.0.get(&hash(id)).copied() }
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
