//! Logs of containers: the files of the `json-file` driver read directly where they can be, through the engine where
//! not (asking the engine makes it decode the whole file each time).

mod taken;

use super::collect::Collector;
use super::cursor::FileCursor;
use super::events::Suspended;
use super::files::{Format, Source};
use super::handover;
use super::rotation::read_source;
use super::stamped::StampedLines;
use crate::host::docker::{Docker, LogQuery, LogStream};
use crate::model::Container;
use jiff::{SignedDuration, Timestamp};
use rustix::fs::Access;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use taken::Taken;

/// Entries asked of the engine at most, in one reading.
const MAX_ENTRIES: u64 = 50_000;

/// The engine cuts a longer line into entries of at least so many bytes. A shorter one without a newline is the end of
/// its line all the same: the `local` driver of engine 20.10 leaves the newline after the last piece out.
const MIN_CUT: usize = 16 << 10;

/// What was taken before a reading may be so much later than its beginning: both clocks are one.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(1);

/// What is known of one container's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerCursor {
    pub name: String,
    pub driver: String,
    /// The file of the `json-file` driver.
    pub path: Option<PathBuf>,
    pub tty: bool,
    #[serde(default)]
    pub files: Vec<FileCursor>,
    #[serde(default)]
    pub api: ApiCursor,
}

/// Where a log read through the engine was left.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiCursor {
    pub taken: Taken,
    /// Entries taken after the last one of the newest time, which are earlier all the same: each stream has times of its own,
    /// and clocks go back.
    pub behind: u64,
    pub bytes: u64,
    /// The next entry of stdout, stderr goes on with a line whose beginning was taken.
    pub continued: [bool; 2],
    pub open: Suspended,
    /// None of the entries taken was there any more, nor any other, and that was told.
    pub emptied: bool,
    /// The clock is behind what was taken, and that was told.
    pub set_back: bool,
}

/// Reads what is new in the log of one container.
pub fn read(collector: &mut Collector<'_>, container: &Container, docker: Option<&Docker>) {
    let source = format!("container:{}", container.name);
    let mut cursor = match collector.state.containers.remove(&container.id) {
        Some(cursor) => cursor,
        None => match first_look(container, docker) {
            Ok(cursor) => cursor,
            Err(message) => return collector.problem(&source, message),
        },
    };
    cursor.name.clone_from(&container.name);
    match readable(&cursor, docker) {
        Some(path) => {
            let files = match std::mem::take(&mut cursor.files) {
                files if files.is_empty() => handover::resume(&path, &cursor.api),
                files => files,
            };
            if files.is_empty() && cursor.api.taken.newest().is_some() {
                through_engine(collector, &source, container, &mut cursor, docker);
            } else {
                cursor.api = ApiCursor::default();
                let format = Source::new(&source, Format::DockerJson);
                cursor.files = read_source(collector, format, &|| vec![path.clone()], files);
            }
        }
        None => through_engine(collector, &source, container, &mut cursor, docker),
    }
    collector.state.containers.insert(container.id.clone(), cursor);
}

fn first_look(container: &Container, docker: Option<&Docker>) -> Result<ContainerCursor, String> {
    let docker = docker.ok_or("Docker does not answer: the place of its log is not known")?;
    let detail = docker.inspect(&container.id).map_err(|e| format!("cannot inspect the container: {e}"))?;
    Ok(ContainerCursor {
        name: container.name.clone(),
        driver: detail.log_driver,
        path: detail.log_path,
        tty: detail.tty,
        files: Vec::new(),
        api: ApiCursor::default(),
    })
}

/// The log's file, where it is on this host and may be read. It may not be there yet, or not for a moment while it is
/// rotated; its directory is, unless the engine's files are elsewhere. A log that was read as a file stays one: the engine
/// would tell all of it again.
fn readable(cursor: &ContainerCursor, docker: Option<&Docker>) -> Option<PathBuf> {
    let path = cursor.path.as_ref().filter(|_| cursor.driver == "json-file")?;
    if docker.is_some_and(|d| !d.is_local()) {
        return None;
    }
    (!cursor.files.is_empty() || may_be_read(path)).then(|| path.clone())
}

/// Whether a file may be read, or would be if it were there.
fn may_be_read(path: &Path) -> bool {
    let may = |path: &Path, access: Access| rustix::fs::access(path, access);
    match may(path, Access::READ_OK) {
        Err(Errno::NOENT) => path.parent().is_some_and(|dir| may(dir, Access::READ_OK | Access::EXEC_OK).is_ok()),
        answer => answer.is_ok(),
    }
}

fn through_engine(
    collector: &mut Collector<'_>,
    source: &str,
    container: &Container,
    cursor: &mut ContainerCursor,
    docker: Option<&Docker>,
) {
    if cursor.driver == "none" {
        return collector.problem(source, "its log driver is `none`: there is nothing to read");
    }
    let Some(docker) = docker else { return collector.problem(source, "Docker does not answer") };
    if docker.is_local() {
        tell_clock(collector, source, &mut cursor.api);
    }
    let mut reading = Reading::begin(collector, source, &mut cursor.api, cursor.tty);
    let query = LogQuery { since: reading.known.since(), until: None, tail: Some(MAX_ENTRIES), tty: cursor.tty };
    let answer = docker.logs(&container.id, query, &mut |chunk| {
        let stream = usize::from(chunk.stream == LogStream::Stderr);
        reading.take(collector, &mut cursor.api, stream, chunk.bytes);
    });
    let is_whole = answer.is_ok();
    if let Err(error) = answer {
        collector.problem(source, format!("cannot read its log through Docker: {error}"));
    }
    reading.end(collector, &mut cursor.api, is_whole);
}

/// Tells once what a clock that went back, which stamps the entries, hides.
fn tell_clock(collector: &mut Collector<'_>, source: &str, api: &mut ApiCursor) {
    let hidden = api.taken.floor().filter(|floor| *floor > collector.now + CLOCK_SLACK);
    if let Some(floor) = hidden.filter(|_| !api.set_back) {
        let reason =
            format!("the clock went back: what is written before it is {floor} again is not read through Docker");
        collector.gap(source, reason, None);
    }
    api.set_back = hidden.is_some();
}

/// One answer of the engine on its way to lines.
struct Reading<'s> {
    source: &'s str,
    lines: StampedLines<'s>,
    tty: bool,
    /// What was taken before this answer and may be in it.
    known: Taken,
    is_first: bool,
    entries: u64,
    /// The answer began behind what was taken.
    missed: bool,
    /// Of a terminal's stream: a line not whole yet.
    part: Vec<u8>,
}

impl<'s> Reading<'s> {
    fn begin(collector: &Collector<'s>, source: &'s str, api: &mut ApiCursor, tty: bool) -> Reading<'s> {
        let lines = StampedLines::new(collector.set, source, std::mem::take(&mut api.open), api.bytes);
        let (known, is_first) = (api.taken.clone(), api.taken.newest().is_none());
        Reading { source, lines, tty, known, is_first, entries: 0, missed: false, part: Vec::new() }
    }

    fn take(&mut self, collector: &mut Collector<'_>, api: &mut ApiCursor, stream: usize, bytes: &[u8]) {
        if !self.tty {
            return self.entry(collector, api, stream, bytes);
        }
        self.part.extend_from_slice(bytes);
        let part = std::mem::take(&mut self.part);
        let mut rest = part.as_slice();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            self.entry(collector, api, stream, line);
            rest = after;
        }
        // A terminal may never end its line: what is longer than any line that is looked at is dropped.
        self.part = rest.get(..super::scan::MAX_LINE * 2).unwrap_or(rest).to_vec();
    }

    /// `2025-01-02T03:04:05.123456789Z text\n`.
    fn entry(&mut self, collector: &mut Collector<'_>, api: &mut ApiCursor, stream: usize, bytes: &[u8]) {
        self.entries += 1;
        let Some((time, text)) = split_time(bytes) else { return };
        if self.known.remove(time) {
            return;
        }
        self.missed |= self.entries == 1 && !self.is_first;
        let is_behind = api.taken.newest().is_some_and(|(newest, _)| time < newest);
        api.behind = if is_behind { api.behind + 1 } else { 0 };
        api.taken.add(time);
        let whole = text.strip_suffix(b"\n");
        let cut = whole.is_none() && text.len() >= MIN_CUT;
        let goes_on = api.continued.get_mut(stream).is_some_and(|c| std::mem::replace(c, cut));
        if !goes_on {
            self.lines.push(collector, whole.unwrap_or(text), time);
        }
    }

    /// Tells what the answer left out, and scans what is left of it.
    fn end(self, collector: &mut Collector<'_>, api: &mut ApiCursor, is_whole: bool) {
        let is_empty = is_whole && self.entries == 0 && !self.is_first;
        if self.entries >= MAX_ENTRIES && (self.is_first || self.missed) {
            collector.gap(self.source, format!("only the last {MAX_ENTRIES} entries are read through Docker"), None);
        } else if (self.missed || is_empty) && !api.emptied {
            let reason = "its log was rotated or emptied: what was written after the last reading may be gone";
            collector.gap(self.source, reason, None);
        }
        api.emptied = is_empty || !is_whole && api.emptied;
        let nothing_new = self.lines.bytes() == 0;
        (api.open, api.bytes) = self.lines.finish(collector, nothing_new);
    }
}

fn split_time(entry: &[u8]) -> Option<(Timestamp, &[u8])> {
    let space = memchr::memchr(b' ', entry.get(..entry.len().min(64))?)?;
    let time = std::str::from_utf8(entry.get(..space)?).ok()?.parse().ok()?;
    Some((time, entry.get(space + 1..)?))
}

#[cfg(test)]
mod handover_laws;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a log of this driver at this path, with these cursors, is read as a file.
    fn check(driver: &str, path: &Path, files: &[&str], expected: bool) {
        let files = files.iter().map(|path| FileCursor { path: path.into(), rotated: true, ..FileCursor::default() });
        let cursor = ContainerCursor {
            name: "web".into(),
            driver: driver.into(),
            path: Some(path.to_owned()),
            tty: false,
            files: files.collect(),
            api: ApiCursor::default(),
        };
        assert_eq!(readable(&cursor, None).as_deref(), expected.then_some(path), "{driver} {cursor:?}");
    }

    #[test]
    fn a_log_that_is_not_there_for_a_moment_is_a_file_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (log, elsewhere) = (dir.path().join("x-json.log"), dir.path().join("nowhere/x-json.log"));
        check("json-file", &log, &[], true);
        check("json-file", &log, &["x-json.log.1"], true);
        std::fs::write(&log, "{}\n").unwrap();
        check("json-file", &log, &[], true);
        check("local", &log, &[], false);
        // Of an engine in a machine of its own, of which only the socket is here.
        check("json-file", &elsewhere, &[], false);
        check("json-file", &elsewhere, &["x-json.log.1"], true);
    }
}
