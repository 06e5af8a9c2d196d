//! Reading one log file from where it was left, plain or packed.
//!
//! Lives here: one open file. Not here: which files there are and how they are rotated (`rotation`).

use super::collect::{Collector, Counter, Origin};
use super::cursor::{FileCursor, Guarded, HEAD, Identity, TAIL, Truncated};
use super::envelope::{MAX_RAW, Unpacked};
use super::events::Assembler;
use super::mapped::Mapped;
use super::regions::{BUFFER, Bytes, Copied, Cutting, Ended, read_regions};
use super::scan::{MAX_LINE, Scan};
use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use memchr::memchr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The first sight of a log reads so many last bytes.
pub const FIRST_SIGHT: u64 = 16 << 20;
/// Directories below the first that `**` goes down.
const MAX_DEPTH: usize = 8;
/// Files of one source.
const MAX_FILES: usize = 10_000;
/// Bytes of a mapped file that are looked at at once: what is at the end of each costs a copy.
const MAPPED: usize = 512 << 10;
/// Bytes in which a NUL says that a file is no text.
pub const SNIFFED: usize = 8 << 10;
/// Bytes that tell the format of a file.
pub const MARKED: usize = 16;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Plain,
    /// Lines in the envelope of Docker's `json-file` driver.
    DockerJson,
}

/// How a reading treats one source.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub name: &'a str,
    pub format: Format,
    /// Bytes read at once.
    pub chunk: usize,
}

impl<'a> Source<'a> {
    pub fn new(name: &'a str, format: Format) -> Source<'a> {
        Source { name, format, chunk: BUFFER }
    }

    fn cutting(&self, take_last: bool) -> Cutting {
        let max_line = if self.format == Format::Plain { MAX_LINE } else { MAX_RAW };
        Cutting { chunk: self.chunk, max_line, take_last }
    }
}

/// When what a file's end holds is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A half-written line and an unfinished stack trace wait.
    Waits,
    /// Nothing more will come, or nothing came for a while.
    Taken,
}

pub fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "gz")
}

/// Scans a stream from the cursor's place on and moves the cursor's content state; identity is the caller's.
pub fn scan_stream(
    collector: &mut Collector<'_>,
    source: Source<'_>,
    cursor: &mut FileCursor,
    reader: &mut dyn Read,
    end: End,
) -> Ended {
    let mut bytes = Copied::new(reader, source.cutting(end == End::Taken));
    scan_bytes(collector, source, cursor, &mut bytes, end).0
}

/// Also whether the file was truncated meanwhile.
fn scan_bytes(
    collector: &mut Collector<'_>,
    source: Source<'_>,
    cursor: &mut FileCursor,
    bytes: &mut dyn Bytes,
    end: End,
) -> (Ended, bool) {
    let set = collector.set;
    let assembler = Assembler::resume(std::mem::take(&mut cursor.open), set);
    let mut scan = Scan::new(set, assembler);
    let start = Ended { offset: cursor.offset, pending: 0, mid_line: cursor.mid_line };
    let path = cursor.path.clone();
    let origin = Origin { source: source.name, path: (source.format == Format::Plain).then_some(path.as_path()) };
    let mut counter = Counter::new(collector, origin);
    let mut unpacked = Unpacked::default();
    let continued = &mut cursor.continued;
    let cutting = source.cutting(end == End::Taken);
    let (ended, error) = read_regions(bytes, start, cutting, &mut |text, offset| match source.format {
        Format::Plain => scan.region(text, &|at| (offset + at as u64, None), &mut counter),
        Format::DockerJson => {
            unpacked.fill(text, offset, continued);
            scan.region(&unpacked.text, &|at| unpacked.place(at), &mut counter);
        }
    });
    cursor.open = scan.assembler.suspend(set, end == End::Taken, &mut counter);
    let is_truncated = error.as_ref().is_some_and(is_truncation);
    if let Some(error) = error.filter(|_| !is_truncated) {
        collector.problem(source.name, format!("cannot read {} to its end: {error}", path.display()));
    }
    collector.scanned(&scan, source.name, ended.offset - start.offset);
    (ended, is_truncated)
}

fn is_truncation(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Truncated>())
}

/// How a reading of a plain file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Read,
    /// The same, and less was there than before: it was cut back to what had been read.
    CutShort,
    /// Truncated meanwhile: the cursor says how far its content was read, and that content is elsewhere or gone.
    Displaced,
}

/// Reads what is new in an open file, which had so many bytes when it was looked for and whose cursor has been verified or
/// is new.
pub fn read_on(
    collector: &mut Collector<'_>,
    source: Source<'_>,
    cursor: &mut FileCursor,
    (file, listed): (&mut File, u64),
    end: End,
) -> Result<Content> {
    let id = Identity::of(&file.metadata()?);
    if cursor.offset == 0 && is_binary(file)? {
        collector.problem(source.name, told_binary(cursor));
        cursor.binary = true;
        cursor.note(id, Ended { offset: 0, pending: 0, mid_line: false });
        return Ok(Content::Read);
    }
    cursor.binary = false;
    if id.size < cursor.offset {
        return Ok(Content::Displaced);
    }
    // What is written from now on is for the next pass: a fast writer must not hold this one for ever.
    let mut reader = Guarded::new(file, cursor.offset, id.size.max(listed))?;
    if !reader.follows(cursor) {
        return Ok(Content::Displaced);
    }
    let ended = scan_stream(collector, source, cursor, &mut reader, end);
    Ok(leave(&reader, cursor, file, id, ended))
}

/// Reads a whole file, without a copy of it where it can be mapped.
pub fn read_whole(
    collector: &mut Collector<'_>,
    source: Source<'_>,
    cursor: &mut FileCursor,
    file: &mut File,
) -> Result<()> {
    let same = file.try_clone()?;
    let whole = Source { chunk: MAPPED, ..source };
    let is_truncated = match Mapped::of(&same, whole.cutting(true)).filter(|_| !is_binary(file).unwrap_or(true)) {
        Some(mut mapped) => scan_bytes(collector, source, cursor, &mut mapped, End::Taken).1 || mapped.is_truncated(),
        None => read_on(collector, source, cursor, (file, 0), End::Taken)? != Content::Read,
    };
    if is_truncated {
        let told = format!(
            "{} was truncated while it was read, and what was counted there may be wrong: run this again",
            cursor.path.display()
        );
        collector.problem(source.name, told);
    }
    Ok(())
}

/// Reads a stream of which the first bytes were read already.
pub fn read_stream(
    collector: &mut Collector<'_>,
    source: Source<'_>,
    cursor: &mut FileCursor,
    (start, rest): (&[u8], &File),
) {
    if holds_nul(start) {
        collector.problem(source.name, told_binary(cursor));
        return;
    }
    scan_stream(collector, source, cursor, &mut start.chain(rest), End::Taken);
}

fn told_binary(cursor: &FileCursor) -> String {
    format!("{} is binary, not text: it is not scanned", cursor.path.display())
}

/// Moves the cursor to where a guarded reading ended.
pub fn leave(reader: &Guarded<'_>, cursor: &mut FileCursor, file: &File, mut id: Identity, ended: Ended) -> Content {
    // Truncated before its first byte was read, it is shorter than it was.
    id.size = id.size.min(reader.place());
    cursor.advance(file, id, ended);
    if reader.holds() {
        return if reader.is_short() { Content::CutShort } else { Content::Read };
    }
    reader.leave(cursor, ended);
    Content::Displaced
}

/// A NUL among the first bytes; those that a truncated file begins with (its writer went on at its old place) do not
/// count.
fn is_binary(file: &mut File) -> Result<bool> {
    let mut first = Vec::with_capacity(SNIFFED);
    file.seek(SeekFrom::Start(0))?;
    (&mut *file).take(SNIFFED as u64).read_to_end(&mut first)?;
    Ok(holds_nul(&first))
}

fn holds_nul(first: &[u8]) -> bool {
    let text = first.get(first.iter().take_while(|b| **b == 0).count()..).unwrap_or_default();
    memchr(0, text).is_some()
}

/// Moves a new cursor to the last 16 MiB of a file of this size, and says so.
pub fn tail_of(collector: &mut Collector<'_>, source: &str, cursor: &mut FileCursor, size: u64) {
    if size <= FIRST_SIGHT {
        return;
    }
    cursor.offset = size - FIRST_SIGHT;
    cursor.mid_line = true;
    let reason = format!("first sight of {}: only its last 16 MiB are read", cursor.path.display());
    collector.gap(source, reason, Some(cursor.offset));
}

/// Behind all of an open file of this size. A line that is not whole yet is left out with its beginning.
pub fn end_of(file: &File, size: u64) -> Ended {
    let mut last = [b'\n'];
    let is_read = size > 0 && file.read_exact_at(&mut last, size - 1).is_ok();
    Ended { offset: size, pending: 0, mid_line: is_read && last != *b"\n" }
}

/// Reads a compressed file, all of it from the cursor on; at first sight its last 16 MiB. It is read to its end before
/// anything of it is taken: one that is still being packed gives nothing.
pub fn read_packed(
    collector: &mut Collector<'_>,
    source: Source<'_>,
    cursor: &mut FileCursor,
    file: &File,
    first_sight: bool,
) -> Result<()> {
    let unpack = || format!("cannot unpack {}", cursor.path.display());
    let id = Identity::of(&file.metadata()?);
    let whole = rewound(file).and_then(|file| Surveyed::of(&mut unpacked(file))).with_context(unpack)?;
    let mut decoder = unpacked(rewound(file)?);
    if first_sight {
        tail_of(collector, source.name, cursor, whole.size);
    }
    std::io::copy(&mut (&mut decoder).take(cursor.offset), &mut std::io::sink())?;
    let ended = scan_stream(collector, source, cursor, &mut decoder, End::Taken);
    cursor.note(id, ended);
    cursor.recognise_by(&whole.head, &whole.tail);
    Ok(())
}

/// The same open file, at its beginning. Its name may be another's by now.
fn rewound(file: &File) -> std::io::Result<File> {
    let mut file = file.try_clone()?;
    file.rewind()?;
    Ok(file)
}

/// What a whole stream is recognised by: its size, its first and its last bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Surveyed {
    pub size: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Surveyed {
    /// The first `size` bytes of a file.
    fn of_file(file: &File, size: u64) -> std::io::Result<Surveyed> {
        let part = |at: u64, most: usize| {
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(most).min(most)];
            file.read_exact_at(&mut bytes, at).map(|()| bytes)
        };
        Ok(Surveyed { size, head: part(0, HEAD)?, tail: part(size.saturating_sub(TAIL as u64), TAIL)? })
    }

    pub fn of(reader: &mut dyn Read) -> std::io::Result<Surveyed> {
        let mut whole = Surveyed { size: 0, head: Vec::new(), tail: Vec::new() };
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = reader.read(&mut buffer)?;
            let part = buffer.get(..read).filter(|part| !part.is_empty());
            let Some(part) = part else { return Ok(whole) };
            let missing = HEAD.saturating_sub(whole.head.len());
            whole.head.extend_from_slice(part.get(..missing.min(read)).unwrap_or_default());
            whole.tail.extend_from_slice(part.get(read.saturating_sub(TAIL)..).unwrap_or_default());
            whole.tail.drain(..whole.tail.len().saturating_sub(TAIL));
            whole.size += read as u64;
        }
    }
}

/// Whether a file of so many bytes begins as what was read of a log, as far as both go.
pub fn begins_alike(kept: &FileCursor, file: &File, size: u64, packed: bool) -> bool {
    if packed {
        let read = rewound(file).and_then(|file| kept.verify_stream(&mut unpacked(file)));
        return kept.is_recognisable() && read.unwrap_or(false);
    }
    if size < kept.offset {
        return kept.begins(file, size).unwrap_or(true);
    }
    kept.is_recognisable() && kept.verify(file)
}

/// Whether a log holds, from its beginning, all that a file of so many bytes does: the size, the first and the last bytes
/// of its content are compared.
pub fn holds_all(original: &File, copy: &File, size: u64, packed: bool) -> std::io::Result<bool> {
    let copy = if packed { Surveyed::of(&mut unpacked(rewound(copy)?))? } else { Surveyed::of_file(copy, size)? };
    Ok(original.metadata()?.len() >= copy.size && copy == Surveyed::of_file(original, copy.size)?)
}

/// The content of a compressed file.
pub fn unpacked(file: File) -> MultiGzDecoder<std::io::BufReader<File>> {
    MultiGzDecoder::new(std::io::BufReader::new(file))
}

/// Whether a stream begins like a log of Docker's `json-file` driver.
pub fn is_docker_json(start: &[u8]) -> bool {
    start.starts_with(b"{\"log\":\"")
}

/// The files that a pattern names, in order of their names. A pattern without wildcards names itself, also where it cannot
/// be told whether that is there.
///
/// # Errors
/// When it is no glob, or the directory it begins with cannot be listed.
pub fn expand(pattern: &str) -> Result<Vec<PathBuf>> {
    if !pattern.contains(['*', '?', '[', '{']) {
        let gone = std::fs::symlink_metadata(pattern).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        return Ok(if gone { Vec::new() } else { vec![PathBuf::from(pattern)] });
    }
    let glob = globset::GlobBuilder::new(pattern).literal_separator(true).build()?.compile_matcher();
    let plain = pattern.split(['*', '?', '[', '{']).next().unwrap_or_default();
    let root = Path::new(plain.rsplit_once('/').map_or(".", |(dir, _)| if dir.is_empty() { "/" } else { dir }));
    let depth =
        if pattern.contains("**") { MAX_DEPTH } else { pattern.matches('/').count() - plain.matches('/').count() };
    let mut found = Vec::new();
    match walk(root, depth, &glob, &mut found) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot list {}", root.display())),
    }
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, depth: usize, glob: &globset::GlobMatcher, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)?.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            // A directory below that may not be listed hides only what is in it.
            let _ = walk(&path, depth - 1, glob, found);
        } else if !kind.is_dir() && found.len() < MAX_FILES && glob.is_match(&path) {
            found.push(path);
        }
    }
    Ok(())
}
