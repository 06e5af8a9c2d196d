//! Reading on in a file that others may truncate at any moment.
//!
//! Lives here: whether what is read still belongs to what was read before, and whether it must be copied for it. Not here: where
//! a reading begins (`cursor`), what is made of it (`files`).

use super::cursor::{FileCursor, HEAD, RECOGNISABLE, TAIL, hash};
use super::scan::{Bytes, Ended};
use crate::host::unchanging::Unchanging;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

/// Reads on in a file that may be truncated, and written anew, at any moment: what was read is handed on only when the
/// bytes before it are still the same, and so came from the same content.
pub struct Guarded<'f> {
    file: &'f File,
    at: u64,
    end: u64,
    /// The first bytes of the file, up to `at`.
    head: Vec<u8>,
    /// The last bytes before `at`.
    before: Vec<u8>,
    /// It ended before `end`.
    short: bool,
    lending: Lending<'f>,
}

/// Bytes that are shown at once where they lie. Where less is left to read, it is not worth finding out whether that can be.
pub const WINDOW: usize = 1 << 20;

/// Whether the bytes of a file can be shown where they lie.
enum Lending<'f> {
    Untried,
    Possible(Unchanging<'f>),
    Impossible,
}

/// The file was truncated while it was read.
#[derive(Debug)]
pub struct Truncated;

impl std::fmt::Display for Truncated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it was truncated while it was read")
    }
}

impl std::error::Error for Truncated {}

impl<'f> Guarded<'f> {
    /// From `at` to `end`.
    pub fn new(file: &'f File, at: u64, end: u64) -> std::io::Result<Guarded<'f>> {
        let mut before = vec![0; usize::try_from(at).unwrap_or(TAIL).min(TAIL)];
        let from = at - before.len() as u64;
        file.read_exact_at(&mut before, from)?;
        let mut head = vec![0; usize::try_from(at).unwrap_or(HEAD).min(HEAD)];
        file.read_exact_at(&mut head, 0)?;
        Ok(Guarded { file, at, end, head, before, short: false, lending: Lending::Untried })
    }

    /// Moves a cursor to where its content was read to before the file was truncated. What is left to recognise that
    /// content by is what was read of it, and where next to nothing was taken what was read of a half line too. A read may
    /// see the size of before a truncation and bytes of after it: no more is known to have been there than was taken.
    pub fn leave(&self, cursor: &mut FileCursor, ended: Ended) {
        (cursor.offset, cursor.mid_line, cursor.pending) = (ended.offset, ended.mid_line, 0);
        cursor.half_len = 0;
        cursor.size = ended.offset;
        let taken = self.head.get(..usize::try_from(ended.offset).unwrap_or(HEAD).min(HEAD));
        let head = taken.filter(|head| head.len() >= RECOGNISABLE).unwrap_or(&self.head);
        cursor.set_head(head);
        // A half-written line lies behind it.
        let behind = usize::try_from(self.at.saturating_sub(ended.offset)).unwrap_or(TAIL);
        let tail = self.before.get(..self.before.len().saturating_sub(behind)).unwrap_or_default();
        (cursor.tail_len, cursor.tail) = (tail.len(), hash(tail));
    }

    /// The first byte that was not read.
    pub fn place(&self) -> u64 {
        self.at
    }

    /// Whether it ended before the end that it was made for: cut back to what had been read.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// Whether the beginning and what was read last are still there.
    pub fn holds(&self) -> bool {
        let is_at = |bytes: &[u8], from: u64| {
            let mut there = vec![0; bytes.len()];
            self.file.read_exact_at(&mut there, from).is_ok() && there == bytes
        };
        is_at(&self.before, self.at - self.before.len() as u64) && is_at(&self.head, 0)
    }

    /// Whether what is before its place is what a cursor remembers.
    pub fn follows(&self, cursor: &FileCursor) -> bool {
        let head = self.head.get(..cursor.head_len.min(self.head.len())).unwrap_or_default();
        let tail = self.before.get(self.before.len().saturating_sub(cursor.tail_len)..).unwrap_or_default();
        // Of a half line that nothing was taken of, nothing is compared.
        (head.len() < cursor.head_len || cursor.head_len == 0 || hash(head) == cursor.head)
            && (cursor.tail_len == 0 || hash(tail) == cursor.tail)
    }
}

impl<'f> Guarded<'f> {
    /// One read, and whether it came from the content that was read before.
    fn read_once(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(buffer.len());
        let room = buffer.get_mut(..most).unwrap_or_default();
        let read = self.file.read_at(room, self.at)?;
        if !self.holds() {
            return Err(std::io::Error::other(Truncated));
        }
        self.short |= read == 0 && most > 0;
        self.passed(room.get(..read).unwrap_or_default());
        Ok(read)
    }

    /// Moves behind these bytes.
    fn passed(&mut self, new: &[u8]) {
        let missing = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(new.get(..missing.min(new.len())).unwrap_or_default());
        self.before.extend_from_slice(new.get(new.len().saturating_sub(TAIL)..).unwrap_or_default());
        self.before.drain(..self.before.len().saturating_sub(TAIL));
        self.at += new.len() as u64;
    }

    /// The file, where nobody can write to it. Whether it can is found out once, and what was read before must be there still.
    fn unchanging(&mut self) -> Option<Unchanging<'f>> {
        match std::mem::replace(&mut self.lending, Lending::Impossible) {
            Lending::Untried => Unchanging::of(self.file).filter(|_| self.holds()),
            Lending::Possible(unchanging) => Some(unchanging),
            Lending::Impossible => None,
        }
    }
}

impl Bytes for Guarded<'_> {
    fn lend(&mut self, take: &mut dyn FnMut(&[u8]) -> usize) -> Option<usize> {
        if self.end.saturating_sub(self.at) < WINDOW as u64 {
            return None;
        }
        let unchanging = self.unchanging()?;
        let taken = unchanging.show(self.at, WINDOW, |text| {
            let taken = take(text);
            self.passed(text.get(..taken).unwrap_or_default());
            taken
        })?;
        self.lending = Lending::Possible(unchanging);
        Some(taken)
    }
}

impl Read for Guarded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.head.is_empty() {
            return self.read_once(buffer);
        }
        // Until its beginning is known, nothing would tell that a read began in one content and ended in another.
        let (first, rest) = buffer.split_at_mut(buffer.len().min(HEAD));
        let read = self.read_once(first)?;
        // What fails after it fails again at the next read.
        Ok(read + if read < first.len() { 0 } else { self.read_once(rest).unwrap_or(0) })
    }
}
