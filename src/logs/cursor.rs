//! Where a file was left, and whether a file is still the one that was left: device and inode, a hash of its first
//! bytes and one of the bytes before the offset. An inode alone proves nothing: it is reused at once.

use super::events::Suspended;
use super::files::is_packed;
use super::regions::Ended;
use memchr::memchr;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

/// First bytes that are hashed.
pub const HEAD: usize = 1024;
/// So many of the first bytes are hashed too, where they are there: a file with less than the head is compared by them.
const PREFIXES: [usize; 5] = [32, 64, 128, 256, 512];
/// So many first bytes tell one content from another.
const RECOGNISABLE: usize = 16;
/// Bytes before the offset that are hashed.
pub const TAIL: usize = 64;

/// Where one file was left.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FileCursor {
    pub path: PathBuf,
    pub dev: u64,
    pub ino: u64,
    /// When the inode was made (ns); 0 where the file system does not tell.
    pub born: i128,
    /// Greater than that of what was known when its content was first seen. Who writes to a rotated file late gives it a later
    /// time than what came after it has.
    pub generation: u64,
    /// Bytes of the beginning that `head` is the hash of.
    pub head_len: usize,
    pub head: String,
    /// Hashes of the shorter beginnings, in the order of `PREFIXES`.
    pub prefixes: Vec<String>,
    /// First byte that was not taken (of the unpacked content, for compressed files).
    pub offset: u64,
    pub tail_len: usize,
    pub tail: String,
    /// Size and modification time (ns) at the last look.
    pub size: u64,
    pub mtime: i128,
    /// Bytes of a half-written line after the offset, and a hash of its first ones.
    pub pending: u64,
    pub half_len: usize,
    pub half: String,
    pub mid_line: bool,
    /// Docker: the next entry of stdout, stderr continues a line whose beginning was taken.
    pub continued: [bool; 2],
    /// Renamed or copied away: finished, and watched only until it is gone.
    pub rotated: bool,
    /// The path of the log that it was, before it was rotated.
    pub rotated_from: Option<PathBuf>,
    /// Read to its end when a later file of the same log was there: nothing is lost when it is removed.
    pub superseded: bool,
    /// A copy of what was read under another name, whole or being made: not read as long as that is there.
    pub copied: bool,
    /// Empty since it was truncated: the next truncation cannot be seen in it.
    pub emptied: bool,
    /// Not a text; not read.
    pub binary: bool,
    pub open: Suspended,
}

/// What a look at a file's metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub dev: u64,
    pub ino: u64,
    pub born: i128,
    pub size: u64,
    pub mtime: i128,
}

impl Identity {
    pub fn of(meta: &Metadata) -> Identity {
        let mtime = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let since_epoch = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).ok();
        let born = meta.created().ok().and_then(since_epoch).and_then(|d| i128::try_from(d.as_nanos()).ok());
        Identity { dev: meta.dev(), ino: meta.ino(), born: born.unwrap_or(0), size: meta.size(), mtime }
    }

    /// Whether both are of one file.
    pub fn is_same_file(self, other: Identity) -> bool {
        (self.dev, self.ino, self.born) == (other.dev, other.ino, other.born)
    }
}

impl FileCursor {
    /// A cursor at the beginning of a file.
    pub fn start(path: PathBuf, id: Identity) -> FileCursor {
        FileCursor { path, dev: id.dev, ino: id.ino, born: id.born, ..FileCursor::default() }
    }

    /// The same inode, and not one that was freed and used again, as far as the file system tells.
    pub fn is_same_inode(&self, id: Identity) -> bool {
        (self.dev, self.ino) == (id.dev, id.ino) && (self.born == id.born || self.born == 0 || id.born == 0)
    }

    /// The file as it was at the last look.
    pub fn identity(&self) -> Identity {
        Identity { dev: self.dev, ino: self.ino, born: self.born, size: self.size, mtime: self.mtime }
    }

    /// The path of the log that it is or was, where that is known.
    pub fn log(&self) -> Option<&PathBuf> {
        if self.rotated { self.rotated_from.as_ref() } else { Some(&self.path) }
    }

    /// Whether something may be lost when its content is nowhere any more.
    pub fn is_missed(&self) -> bool {
        !self.superseded && !self.binary
    }

    /// A rotated file that was seen and could not be looked at: whether it is to be read is not known yet.
    pub fn is_left_unread(&self) -> bool {
        (self.rotated || is_packed(&self.path)) && self.offset == 0 && self.size == 0
    }

    /// Nothing has happened to the file since the last look.
    pub fn is_unchanged(&self, id: Identity) -> bool {
        self.is_same_inode(id) && (self.size, self.mtime) == (id.size, id.mtime)
    }

    /// Whether an open file holds what was read up to the offset.
    pub fn verify(&self, file: &File) -> bool {
        let size = file.metadata().map_or(0, |m| m.len());
        size >= self.offset
            && self.has_head(file)
            && self.has_half(file, size)
            && (self.tail_len == 0
                || hash_at(file, self.offset.saturating_sub(self.tail_len as u64), self.tail_len)
                    .is_some_and(|h| h == self.tail))
    }

    /// Whether an open file begins as what was read, as far as that is known.
    pub fn has_head(&self, file: &File) -> bool {
        self.head_len == 0 || hash_at(file, 0, self.head_len).is_some_and(|h| h == self.head)
    }

    /// Whether a half-written line goes on as it began, where that much of it is there: a copy may be older.
    fn has_half(&self, file: &File, size: u64) -> bool {
        self.half_len == 0
            || size < self.offset + self.half_len as u64
            || hash_at(file, self.offset, self.half_len).is_some_and(|h| h == self.half)
    }

    /// Whether an open file with so many bytes begins as what was read, as far as both go; `None` when too little is
    /// there to be compared.
    pub fn begins(&self, file: &File, size: u64) -> Option<bool> {
        if self.is_recognisable() && size >= self.head_len as u64 {
            return Some(self.has_head(file));
        }
        let known = PREFIXES.iter().zip(&self.prefixes).rfind(|(length, _)| **length as u64 <= size);
        known.map(|(length, expected)| hash_at(file, 0, *length).is_some_and(|h| h == *expected))
    }

    /// Whether an unpacked stream holds what was read up to the offset.
    pub fn verify_stream(&self, reader: &mut dyn Read) -> std::io::Result<bool> {
        let (mut head, mut tail, mut at) = (Vec::new(), Vec::new(), 0u64);
        let mut buffer = vec![0; 64 << 10];
        let tail_from = self.offset.saturating_sub(self.tail_len as u64);
        let until = self.offset.max(self.head_len as u64);
        while at < until {
            let want = usize::try_from(until - at).unwrap_or(usize::MAX).min(buffer.len());
            let read = reader.read(buffer.get_mut(..want).unwrap_or_default())?;
            if read == 0 {
                return Ok(false);
            }
            let part = buffer.get(..read).unwrap_or_default();
            let missing = self.head_len.saturating_sub(head.len());
            head.extend_from_slice(part.get(..missing.min(read)).unwrap_or_default());
            let from = usize::try_from(tail_from.saturating_sub(at)).unwrap_or(usize::MAX);
            tail.extend_from_slice(part.get(from..).unwrap_or_default());
            at += read as u64;
            // Checked early: a foreign archive is not unpacked to the end.
            if head.len() == self.head_len && hash(&head) != self.head {
                return Ok(false);
            }
        }
        tail.truncate(self.tail_len);
        Ok(self.tail_len == 0 || hash(&tail) == self.tail)
    }

    /// Whether enough is known of the content to find it again under another inode.
    pub fn is_recognisable(&self) -> bool {
        self.head_len >= RECOGNISABLE
    }

    /// Moves to where a reading ended.
    pub fn advance(&mut self, file: &File, id: Identity, ended: Ended) {
        self.note(id, ended);
        // The head lies before the offset, so that a copy made before the last reading holds it too; where next to
        // nothing was taken, a half line is all that there is to recognise it by.
        let known = if ended.offset < RECOGNISABLE as u64 { id.size } else { ended.offset.min(id.size) };
        let head_len = usize::try_from(known).unwrap_or(HEAD).min(HEAD);
        if let Some(head) = bytes_at(file, 0, head_len) {
            self.set_head(&head);
        }
        let tail_len = usize::try_from(ended.offset).unwrap_or(TAIL).min(TAIL);
        if let Some(tail) = hash_at(file, ended.offset - tail_len as u64, tail_len) {
            (self.tail_len, self.tail) = (tail_len, tail);
        }
        let half_len = usize::try_from(ended.pending).unwrap_or(TAIL).min(TAIL);
        if let Some(half) = bytes_at(file, ended.offset, half_len) {
            // Room that was made before it is written is written over.
            let written = half.get(..memchr(0, &half).unwrap_or(half.len())).unwrap_or_default();
            (self.half_len, self.half) = (written.len(), hash(written));
        }
    }

    /// Remembers the content that was read by its first and last bytes.
    pub fn recognise_by(&mut self, head: &[u8], tail: &[u8]) {
        self.set_head(head);
        (self.tail_len, self.tail) = (tail.len(), hash(tail));
    }

    fn set_head(&mut self, head: &[u8]) {
        (self.head_len, self.head) = (head.len(), hash(head));
        self.prefixes = PREFIXES.iter().map_while(|length| head.get(..*length).map(hash)).collect();
    }

    /// The same without the hashes.
    pub fn note(&mut self, id: Identity, ended: Ended) {
        (self.dev, self.ino, self.born, self.size, self.mtime) = (id.dev, id.ino, id.born, id.size, id.mtime);
        (self.offset, self.pending, self.mid_line) = (ended.offset, ended.pending, ended.mid_line);
        self.half_len = 0;
    }
}

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
        Ok(Guarded { file, at, end, head, before, short: false })
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

impl Guarded<'_> {
    /// One read, and whether it came from the content that was read before.
    fn read_once(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(buffer.len());
        let room = buffer.get_mut(..most).unwrap_or_default();
        let read = self.file.read_at(room, self.at)?;
        if !self.holds() {
            return Err(std::io::Error::other(Truncated));
        }
        self.short |= read == 0 && most > 0;
        let new = room.get(..read).unwrap_or_default();
        let missing = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(new.get(..missing.min(read)).unwrap_or_default());
        self.before.extend_from_slice(new.get(new.len().saturating_sub(TAIL)..).unwrap_or_default());
        self.before.drain(..self.before.len().saturating_sub(TAIL));
        self.at += read as u64;
        Ok(read)
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

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// Hash of `length` bytes at an offset; `None` when they are not there.
fn hash_at(file: &File, offset: u64, length: usize) -> Option<String> {
    bytes_at(file, offset, length).map(|bytes| hash(&bytes))
}

fn bytes_at(file: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).is_ok().then_some(bytes)
}
