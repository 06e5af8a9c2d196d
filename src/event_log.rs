//! The event log (`events.jsonl`): everything that happened, one JSON object per line, appended by passes and commands and
//! read by `serve` while they write.
//!
//! Lives here: appending, expiring and reading on from a [`Position`]. May not live here: what an event means (`past`).
//!
//! A place in the log is its generation and an offset that counts from its very beginning, also once old lines have
//! expired: what is left begins with a line of kind [`EXPIRED`] that says both.

use crate::host::files;
use crate::state::StateDir;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Kind of the line that stands for those that have expired.
pub const EXPIRED: &str = "expired";
/// A line that is longer is not read: none of ours is.
const LONGEST_LINE: usize = 8 << 20;
/// Read at once at most.
const CHUNK: usize = 64 << 10;
const DAY: Duration = Duration::from_secs(86_400);

/// A place between two lines: `GENERATION-OFFSET`, as event streams and `Last-Event-ID` write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Of the log as a whole, from its first line on; another one when the state directory is new.
    pub generation: u32,
    /// Bytes since the beginning of the log.
    pub offset: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{}", self.generation, self.offset)
    }
}

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (generation, offset) = text.split_once('-').ok_or(())?;
        let plain = generation.len() == 8 && offset.len() <= 20 && offset.bytes().all(|b| b.is_ascii_digit());
        let generation = u32::from_str_radix(generation, 16).ok().filter(|_| plain).ok_or(())?;
        Ok(Position { generation, offset: offset.parse().map_err(|_| ())? })
    }
}

/// Appends one thing that happened; `data` is a JSON object. Not synced: what must survive a power cut has a file of its
/// own.
///
/// # Errors
/// When it cannot be written.
pub fn append(dir: &StateDir, now: Timestamp, kind: &str, data: serde_json::Value) -> Result<()> {
    let mut event = serde_json::Map::new();
    event.insert("t".into(), now.to_string().into());
    event.insert("kind".into(), kind.into());
    if let serde_json::Value::Object(data) = data {
        event.extend(data);
    }
    let line = serde_json::Value::Object(event).to_string();
    files::append_unsynced(&dir.events(), &line, 0o640).context("cannot write the event log")
}

/// Drops the lines older than `keep`. The file is rewritten only when its oldest line is a day over, so at most once a
/// day.
///
/// # Errors
/// When it cannot be read or written; it is then as it was.
pub fn expire(path: &Path, keep: Duration, now: Timestamp) -> Result<()> {
    let cut = |span: Duration| jiff::SignedDuration::try_from(span).ok().and_then(|s| now.checked_sub(s).ok());
    let (Some(limit), Some(overdue)) = (cut(keep), cut(keep + DAY)) else { return Ok(()) };
    let Some(mut log) = Open::of(path)? else { return Ok(()) };
    if log.oldest.is_none_or(|oldest| oldest >= overdue) {
        return Ok(());
    }
    let mut first_kept = None;
    loop {
        let begin = log.at;
        let Some(line) = log.next_line()? else { break };
        if time_of(&line).is_some_and(|t| t >= limit) {
            first_kept = Some((begin, time_of(&line).unwrap_or(limit)));
            break;
        }
    }
    let (begin, t) = first_kept.unwrap_or((log.at, now));
    let header = serde_json::json!({
        "t": t.to_string(), "kind": EXPIRED, "generation": format!("{:08x}", log.generation),
        "offset": log.absolute(begin),
    });
    let mut kept = format!("{header}\n").into_bytes();
    log.file
        .seek(SeekFrom::Start(begin))
        .and_then(|_| log.file.read_to_end(&mut kept))
        .context("cannot read the event log")?;
    files::write_atomic(path, &kept, 0o640).with_context(|| format!("cannot expire {}", path.display()))
}

#[derive(Deserialize)]
struct Head {
    t: Option<Timestamp>,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    generation: String,
    #[serde(default)]
    offset: u64,
}

fn time_of(line: &str) -> Option<Timestamp> {
    serde_json::from_str::<Head>(line).ok()?.t
}

/// One file of the log, read from some place on.
struct Open {
    file: File,
    inode: (u64, u64),
    generation: u32,
    /// Where the first line after the header stands in the file, and in the log.
    body: (u64, u64),
    /// The next byte to be read, in the file.
    at: u64,
    /// Time of the first line.
    oldest: Option<Timestamp>,
    /// Read and not yet given out, from `at` on.
    buffer: Vec<u8>,
}

impl Open {
    /// `None` where there is no log, or not one whole line in it.
    fn of(path: &Path) -> Result<Option<Open>> {
        let tried = || -> std::io::Result<Option<Open>> {
            let file = match File::open(path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            };
            let metadata = file.metadata()?;
            let mut open = Open {
                file,
                inode: (metadata.dev(), metadata.ino()),
                generation: 0,
                body: (0, 0),
                at: 0,
                oldest: None,
                buffer: Vec::new(),
            };
            let Some(first) = open.next_line()? else { return Ok(None) };
            let head = serde_json::from_str::<Head>(&first).ok();
            open.oldest = head.as_ref().and_then(|h| h.t);
            let carried = head.filter(|h| h.kind == EXPIRED);
            match carried.and_then(|h| Some((u32::from_str_radix(&h.generation, 16).ok()?, h.offset))) {
                Some((generation, offset)) => (open.generation, open.body) = (generation, (open.at, offset)),
                None => {
                    open.generation = crc32fast::hash(first.as_bytes());
                    open.seek(0);
                }
            }
            Ok(Some(open))
        };
        tried().with_context(|| format!("cannot read {}", path.display()))
    }

    fn absolute(&self, at: u64) -> u64 {
        self.body.1 + at.saturating_sub(self.body.0)
    }

    fn seek(&mut self, at: u64) {
        self.at = at;
        self.buffer.clear();
    }

    /// The next whole line, without its end; one that is not valid text is skipped.
    fn next_line(&mut self) -> std::io::Result<Option<String>> {
        let mut searched = 0;
        loop {
            let rest = self.buffer.get(searched..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', rest) {
                let line: Vec<u8> = self.buffer.drain(..=searched + end).collect();
                self.at += line.len() as u64;
                searched = 0;
                match String::from_utf8(line) {
                    Ok(line) => return Ok(Some(line.trim_end_matches('\n').to_owned())),
                    Err(_) => continue,
                }
            }
            searched = self.buffer.len();
            if searched > LONGEST_LINE {
                self.at += searched as u64;
                self.buffer.clear();
                searched = 0;
            }
            let from = self.at + self.buffer.len() as u64;
            self.file.seek(SeekFrom::Start(from))?;
            let before = self.buffer.len();
            self.file.by_ref().take(CHUNK as u64).read_to_end(&mut self.buffer)?;
            if self.buffer.len() == before {
                // What is torn now may be whole the next time; until then it takes no memory.
                self.buffer = Vec::new();
                return Ok(None);
            }
        }
    }

    /// Goes to the first line that is as young as `since`: lines are in the order of their times, but for clocks that were
    /// set back.
    fn seek_time(&mut self, since: Timestamp) -> std::io::Result<()> {
        let (mut low, mut high) = (self.body.0, self.file.metadata()?.len());
        while high.saturating_sub(low) > CHUNK as u64 {
            let middle = low + (high - low) / 2;
            self.seek(middle);
            let _ = self.next_line()?;
            match self.next_line()?.and_then(|line| time_of(&line)) {
                Some(t) if t < since => low = middle,
                _ => high = middle,
            }
        }
        self.seek(low);
        if low > self.body.0 {
            let _ = self.next_line()?;
        }
        Ok(())
    }
}

/// One event and the place behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub after: Position,
    /// A JSON object, as it stands in the log.
    pub line: String,
}

/// What a look brought.
#[derive(Debug, Default, PartialEq)]
pub struct News {
    pub events: Vec<Event>,
    /// Events before these are not there any more, or it is another log.
    pub gap: bool,
    /// There may be more at once.
    pub more: bool,
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At what comes from now on.
    Now,
    /// With the first event of this time.
    Time(Timestamp),
    After(Position),
}

/// Reads the log on and on, over its expiry and over a new state directory.
pub struct Tail {
    path: PathBuf,
    from: From,
    open: Option<Open>,
    /// Behind the last event that was given out.
    last: Option<Position>,
}

impl Tail {
    pub fn new(path: PathBuf, from: From) -> Self {
        let last = match from {
            From::After(position) => Some(position),
            _ => None,
        };
        Tail { path, from, open: None, last }
    }

    /// Behind the last event that was given out, where there is a log.
    pub fn position(&self) -> Option<Position> {
        self.last
    }

    /// What is new, at most about `most` bytes of it.
    ///
    /// # Errors
    /// When the log is there and cannot be read.
    pub fn read(&mut self, most: usize) -> Result<News> {
        let mut news = News::default();
        self.follow(&mut news)?;
        let path = &self.path;
        let Some(open) = &mut self.open else { return Ok(news) };
        let mut bytes = 0;
        while let Some(line) = open.next_line().with_context(|| format!("cannot read {}", path.display()))? {
            bytes += line.len();
            let after = Position { generation: open.generation, offset: open.absolute(open.at) };
            self.last = Some(after);
            news.events.push(Event { after, line });
            if bytes >= most {
                news.more = true;
                break;
            }
        }
        Ok(news)
    }

    /// Makes sure that it is the file of that name which is read, and from the right place on.
    fn follow(&mut self, news: &mut News) -> Result<()> {
        let now = std::fs::metadata(&self.path).ok().map(|m| ((m.dev(), m.ino()), m.len()));
        let same = |open: &Open| now.is_some_and(|(inode, length)| inode == open.inode && length >= open.at);
        if self.open.as_ref().is_some_and(same) {
            return Ok(());
        }
        let Some(mut open) = Open::of(&self.path)? else {
            self.open = None;
            // What comes is new from its beginning on.
            if self.from == From::Now && self.last.is_none() {
                self.last = Some(Position::default());
            }
            return Ok(());
        };
        self.place(&mut open, news).with_context(|| format!("cannot read {}", self.path.display()))?;
        self.open = Some(open);
        Ok(())
    }

    fn place(&mut self, open: &mut Open, news: &mut News) -> std::io::Result<()> {
        let (body, start) = open.body;
        match (self.last, self.from) {
            (Some(last), _) if last.generation == open.generation => {
                let length = open.file.metadata()?.len();
                let at = body + last.offset.saturating_sub(start);
                news.gap = last.offset < start || at > length;
                open.seek(if at > length { body } else { at });
            }
            // Another log, which is all new; or there was none before.
            (Some(last), _) => {
                news.gap = last != Position::default() || start > 0;
                open.seek(body);
            }
            (None, From::Time(since)) => open.seek_time(since)?,
            (None, _) => {
                let length = open.file.metadata()?.len();
                let end = whole_until(open, length)?;
                open.seek(end);
                self.last = Some(Position { generation: open.generation, offset: open.absolute(open.at) });
            }
        }
        Ok(())
    }
}

/// Behind the last whole line.
fn whole_until(open: &mut Open, length: u64) -> std::io::Result<u64> {
    let mut until = length;
    while until > open.body.0 {
        let from = until.saturating_sub(4096).max(open.body.0);
        open.file.seek(SeekFrom::Start(from))?;
        let mut part = Vec::new();
        open.file.by_ref().take(until - from).read_to_end(&mut part)?;
        if let Some(end) = memchr::memrchr(b'\n', &part) {
            return Ok(from + end as u64 + 1);
        }
        until = from;
    }
    Ok(open.body.0)
}

#[cfg(test)]
mod tests;
