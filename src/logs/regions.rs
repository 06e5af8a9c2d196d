//! Regions of whole lines, cut out of bytes that are read piece by piece, with bounded memory.
//!
//! Not here: what is in the lines (`scan`), and where the bytes come from.

use super::scan::MAX_LINE;
use memchr::{memchr, memrchr};
use std::io::Read;

/// Bytes read at once.
pub const BUFFER: usize = 256 << 10;

/// How lines are cut out of a stream of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Cutting {
    /// Bytes read at once.
    pub chunk: usize,
    /// Bytes kept of one line.
    pub max_line: usize,
    /// Also the last line, when it lacks its newline.
    pub take_last: bool,
}

impl Default for Cutting {
    fn default() -> Self {
        Cutting { chunk: BUFFER, max_line: MAX_LINE, take_last: false }
    }
}

/// Where a reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Offset of the first byte that was not taken.
    pub offset: u64,
    /// Bytes of a half-written line behind it.
    pub pending: u64,
    /// The offset is inside of a line whose beginning was taken: the rest of it is skipped.
    pub mid_line: bool,
}

/// Bytes that are read on from a place.
pub trait Bytes {
    /// Leaves so many of the bytes that were given last, and gives the others with more behind them; at the end without.
    fn more(&mut self, taken: usize) -> std::io::Result<&[u8]>;
}

/// What a reader reads, copied into a buffer.
pub struct Copied<R> {
    reader: R,
    buffer: Vec<u8>,
    filled: usize,
}

impl<R: Read> Copied<R> {
    pub fn new(reader: R, cutting: Cutting) -> Copied<R> {
        Copied { reader, buffer: vec![0; cutting.chunk + cutting.max_line], filled: 0 }
    }

    /// With bytes that were read before and not taken: at most a line that is kept.
    pub fn after(mut self, left: &[u8]) -> Copied<R> {
        if let Some(room) = self.buffer.get_mut(..left.len()) {
            room.copy_from_slice(left);
            self.filled = left.len();
        }
        self
    }
}

impl<R: Read> Bytes for Copied<R> {
    fn more(&mut self, taken: usize) -> std::io::Result<&[u8]> {
        self.buffer.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        self.filled += loop {
            match self.reader.read(room) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        Ok(self.buffer.get(..self.filled).unwrap_or_default())
    }
}

/// Reads to the end, handing over regions of whole lines with their offset. An error ends it early; what was handed
/// over stays so, and the end says up to where that is.
pub fn read_regions(
    bytes: &mut dyn Bytes,
    start: Ended,
    cutting: Cutting,
    region: &mut dyn FnMut(&[u8], u64),
) -> (Ended, Option<std::io::Error>) {
    let Ended { mut offset, mid_line: mut skipping, .. } = start;
    let (mut taken, mut left) = (0, 0);
    let error = loop {
        let text = match bytes.more(taken) {
            Ok(text) if text.len() > left => text,
            Ok(text) => {
                if cutting.take_last && left > 0 {
                    region(text, offset);
                    (offset, left, skipping) = (offset + left as u64, 0, true);
                }
                break None;
            }
            Err(error) => break Some(error),
        };
        let from = if skipping { memchr(b'\n', text).map(|nl| nl + 1) } else { Some(0) };
        let lines = from.and_then(|from| text.get(from..)).unwrap_or_default();
        let whole = memrchr(b'\n', lines).map_or(0, |nl| nl + 1);
        let begin = offset + from.unwrap_or(text.len()) as u64;
        if whole > 0 {
            region(lines.get(..whole).unwrap_or_default(), begin);
        }
        let rest = lines.get(whole..).unwrap_or_default();
        skipping = from.is_none() || rest.len() > cutting.max_line;
        if skipping && !rest.is_empty() {
            region(rest.get(..cutting.max_line).unwrap_or_default(), begin + whole as u64);
        }
        left = if skipping { 0 } else { rest.len() };
        taken = text.len() - left;
        offset += taken as u64;
    };
    (Ended { offset, pending: left as u64, mid_line: skipping }, error)
}
