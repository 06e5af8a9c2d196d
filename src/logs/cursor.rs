//! Where a file was left, and whether a file is still the one that was left: device and inode, a hash of its first
//! bytes and one of the bytes before the offset. An inode alone proves nothing: it is reused at once.

use super::events::Suspended;
use super::scan::Ended;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

/// First bytes that are hashed.
const HEAD: usize = 1024;
/// Bytes before the offset that are hashed.
const TAIL: usize = 64;

/// Where one file was left.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FileCursor {
    pub path: PathBuf,
    pub dev: u64,
    pub ino: u64,
    /// Bytes of the beginning that `head` is the hash of.
    pub head_len: usize,
    pub head: String,
    /// First byte that was not taken (of the unpacked content, for compressed files).
    pub offset: u64,
    pub tail_len: usize,
    pub tail: String,
    /// Size and modification time (ns) at the last look.
    pub size: u64,
    pub mtime: i128,
    /// Bytes of a half-written line after the offset.
    pub pending: u64,
    pub mid_line: bool,
    /// Docker: the next entry of stdout, stderr continues a line whose beginning was taken.
    pub continued: [bool; 2],
    /// Renamed or copied away: finished, and watched only until it is gone.
    pub rotated: bool,
    /// Not a text; not read.
    pub binary: bool,
    pub open: Suspended,
}

/// What a look at a file's metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub dev: u64,
    pub ino: u64,
    pub size: u64,
    pub mtime: i128,
}

impl Identity {
    pub fn of(meta: &Metadata) -> Identity {
        let mtime = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Identity { dev: meta.dev(), ino: meta.ino(), size: meta.size(), mtime }
    }
}

impl FileCursor {
    /// A cursor at the beginning of a file.
    pub fn start(path: PathBuf, id: Identity) -> FileCursor {
        FileCursor { path, dev: id.dev, ino: id.ino, ..FileCursor::default() }
    }

    pub fn is_same_inode(&self, id: Identity) -> bool {
        (self.dev, self.ino) == (id.dev, id.ino)
    }

    /// Nothing has happened to the file since the last look.
    pub fn is_unchanged(&self, id: Identity) -> bool {
        self.is_same_inode(id) && (self.size, self.mtime) == (id.size, id.mtime)
    }

    /// Whether an open file holds what was read up to the offset.
    pub fn verify(&self, file: &File) -> bool {
        let size = file.metadata().map_or(0, |m| m.len());
        size >= self.offset
            && hash_at(file, 0, self.head_len).is_some_and(|h| h == self.head)
            && hash_at(file, self.offset.saturating_sub(self.tail_len as u64), self.tail_len)
                .is_some_and(|h| h == self.tail)
    }

    /// Skips what was read of an unpacked stream; false when it is not the same content.
    pub fn skip_verified(&self, reader: &mut dyn Read) -> std::io::Result<bool> {
        let (mut head, mut tail, mut at) = (Vec::new(), Vec::new(), 0u64);
        let mut buffer = vec![0; 64 << 10];
        let tail_from = self.offset.saturating_sub(self.tail_len as u64);
        while at < self.offset.max(self.head_len as u64) {
            // Never past the offset: what follows is for the caller. The head is inside, or the whole file was read.
            let want = usize::try_from(self.offset - at.min(self.offset)).unwrap_or(usize::MAX).min(buffer.len());
            let Some(room) = buffer.get_mut(..want).filter(|r| !r.is_empty()) else { break };
            let read = reader.read(room)?;
            if read == 0 {
                return Ok(false);
            }
            let part = room.get(..read).unwrap_or_default();
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
        Ok(hash(&tail) == self.tail)
    }

    /// Whether enough is known of the content to find it again under another inode.
    pub fn is_recognisable(&self) -> bool {
        self.head_len >= 16 && self.offset >= self.head_len as u64
    }

    /// Whether this is the same content under another inode, read at least as far.
    pub fn is_copy_of(&self, other: &FileCursor) -> bool {
        self.is_recognisable()
            && (self.dev, self.ino) != (other.dev, other.ino)
            && (self.head_len, &self.head) == (other.head_len, &other.head)
            && self.offset >= other.offset
    }

    /// Moves to where a reading ended.
    pub fn advance(&mut self, file: &File, id: Identity, ended: Ended) {
        self.note(id, ended);
        // The head lies before the offset, so that the same bytes can be found again in a copy.
        let head_len = usize::try_from(ended.offset.min(id.size)).unwrap_or(HEAD).min(HEAD);
        if let Some(head) = hash_at(file, 0, head_len) {
            (self.head_len, self.head) = (head_len, head);
        }
        let tail_len = usize::try_from(ended.offset).unwrap_or(TAIL).min(TAIL);
        if let Some(tail) = hash_at(file, ended.offset - tail_len as u64, tail_len) {
            (self.tail_len, self.tail) = (tail_len, tail);
        }
    }

    /// The same without the hashes: for compressed files, which never change.
    pub fn note(&mut self, id: Identity, ended: Ended) {
        (self.dev, self.ino, self.size, self.mtime) = (id.dev, id.ino, id.size, id.mtime);
        (self.offset, self.pending, self.mid_line) = (ended.offset, ended.pending, ended.mid_line);
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// Hash of `length` bytes at an offset; `None` when they are not there.
fn hash_at(file: &File, offset: u64, length: usize) -> Option<String> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(hash(&bytes))
}
