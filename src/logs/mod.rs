//! Logs: sources and cursors, the scanner, events, error groups, built-in signatures.
//!
//! The way of a log: bytes are read from where the cursor was left (`rotation`, `beside`, `files`, `container`, `journal`,
//! `handover`), or where the kernel keeps them (`mapped`), cut into regions of whole lines (`regions`) and searched for stems
//! (`scan`, `stems`, `signature`, `literals`, `matcher`); lines become events (`events`, `block`, `stack`, `prefix`), which stay
//! in the region (`event`, `lines`) until they are counted and grouped (`collect`, `recent`, `group`, `time`). `trial` tries one
//! signature on one log. Only the sources read; everything after them is pure. Cursors and counts are one value, [`LogState`],
//! saved as one file: a crash loses both or neither, so that every event is counted exactly once. May not live here: what a
//! count means.

mod access;
mod beside;
mod block;
mod busiest;
mod collect;
mod container;
mod cursor;
mod envelope;
mod escapes;
mod event;
mod events;
mod files;
mod gathered;
mod group;
mod handover;
mod journal;
mod lines;
mod literals;
mod local;
mod mapped;
mod matcher;
mod prefix;
mod proven;
mod recent;
mod regions;
mod rotation;
mod scan;
mod shape;
mod signature;
mod spread;
mod stack;
mod stamped;
mod state;
mod stems;
mod suspect;
mod tallies;
mod time;
pub mod trial;
mod wide;

#[cfg(test)]
mod tests;

pub use group::Titles;
pub use signature::SignatureSet;
pub use state::LogState;

use crate::config::{Engine, LogKind, Redactor, Signature};
use crate::model::{Container, LogReport};
use anyhow::Context;
use collect::{Collector, Counter, Counting, Origin};
use files::{Format, Source};
use globset::GlobMatcher;
use jiff::Timestamp;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Counts are kept at least so long, in seconds.
const MIN_HORIZON: i64 = 3600;

/// Takes signatures for searching; what that needs is built with the first text that is searched.
pub fn signature_set(signatures: &[Signature]) -> SignatureSet {
    SignatureSet::new(signatures, &stack::OPENERS)
}

/// Reads what is new since `state` from every configured source (only those whose full name matches `only`), and moves
/// the state. A source that cannot be read is a problem of the report; the others are read.
pub fn read_new(
    engine: &Engine,
    containers: &[Container],
    docker: Option<&crate::host::docker::Docker>,
    only: Option<&GlobMatcher>,
    state: &mut LogState,
    now: Timestamp,
) -> LogReport {
    let set = signature_set(&engine.signatures);
    let wanted = |name: &str| only.is_none_or(|glob| glob.is_match(name));
    let mut collector = Collector::new(&set, state, now, Counting::Recent(horizon(engine))).redacting(&engine.redactor);
    for spec in &engine.logs {
        match &spec.kind {
            LogKind::Docker { .. } => {
                for one in containers.iter().filter(|c| wanted(&format!("container:{}", c.name))) {
                    container::read(&mut collector, one, docker);
                }
                forget_containers(collector.state, containers);
            }
            LogKind::Files { name, pattern } => {
                let source = format!("file:{name}");
                if wanted(&source) {
                    read_files(&mut collector, &source, pattern);
                }
            }
            LogKind::Journal { name, unit } => {
                let source = format!("journal:{name}");
                if wanted(&source) {
                    journal::read(&mut collector, &source, unit, "journalctl");
                }
            }
        }
    }
    collector.finish()
}

/// Analyses whole files, packed ones too, without cursors.
pub fn analyse_files(engine: &Engine, files: &[PathBuf], now: Timestamp) -> LogReport {
    scan(&engine.signatures, &engine.redactor, files, now)
}

/// The same with signatures alone.
pub fn scan_files(signatures: &[Signature], files: &[PathBuf], now: Timestamp) -> LogReport {
    scan(signatures, &Redactor::default(), files, now)
}

fn scan(signatures: &[Signature], redactor: &Redactor, files: &[PathBuf], now: Timestamp) -> LogReport {
    let set = signature_set(signatures);
    let mut state = LogState::default();
    let mut collector = Collector::new(&set, &mut state, now, Counting::Whole(MIN_HORIZON)).redacting(redactor);
    for path in files {
        let name = format!("file:{}", path.display());
        if let Err(error) = analyse_file(&mut collector, &name, path) {
            collector.problem(&name, format!("{error:#}"));
        }
    }
    collector.finish()
}

/// Scans lines in memory as one log of this name. Every event is counted by its second, however old.
pub fn scan_lines(signatures: &[Signature], source: &str, text: &[u8], now: Timestamp) -> LogReport {
    let set = signature_set(signatures);
    let mut state = LogState::default();
    let mut collector = Collector::new(&set, &mut state, now, Counting::Whole(i64::MAX / 4));
    let mut scan = scan::Scan::new(&set, events::Assembler::default());
    let mut counter = Counter::new(&mut collector, Origin { source, path: None });
    scan.region(text, &|at| (at as u64, None), &mut counter);
    let _ = scan.assembler.suspend(&set, true, &mut counter);
    collector.scanned(&scan, source, text.len() as u64);
    collector.finish()
}

fn analyse_file(collector: &mut Collector<'_>, name: &str, path: &Path) -> anyhow::Result<()> {
    let mut file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let meta = file.metadata()?;
    let mut cursor = cursor::FileCursor::start(path.to_owned(), cursor::Identity::of(&meta));
    let cannot_read = || format!("cannot read {}", path.display());
    let is_stream = !meta.is_file();
    let packed = files::is_packed(path) && !is_stream;
    let mut start = Vec::new();
    let mut reader: Box<dyn Read> = if packed { Box::new(files::unpacked(file.try_clone()?)) } else { Box::new(&file) };
    let first = if is_stream { files::SNIFFED } else { files::MARKED } as u64;
    reader.by_ref().take(first).read_to_end(&mut start).with_context(cannot_read)?;
    drop(reader);
    let format = if files::is_docker_json(&start) { Format::DockerJson } else { Format::Plain };
    let source = Source::new(name, format);
    if is_stream {
        // A pipe: what was read of it is not there any more.
        files::read_stream(collector, source, &mut cursor, (&start, &file));
        return Ok(());
    }
    if packed {
        return files::read_packed(collector, source, &mut cursor, &file, false);
    }
    files::read_whole(collector, source, &mut cursor, &mut file)
}

fn read_files(collector: &mut Collector<'_>, source: &str, pattern: &str) {
    let cursors = collector.state.files.remove(source).unwrap_or_default();
    match files::expand(pattern) {
        Ok(paths) => {
            if paths.is_empty() && cursors.is_empty() {
                collector.problem(source, format!("no file matches {pattern}"));
            }
            // A listing that fails later on is found out by the next reading.
            let list = || files::expand(pattern).unwrap_or_default();
            let kept = rotation::read_source(collector, Source::new(source, Format::Plain), &list, cursors);
            collector.state.files.insert(source.to_owned(), kept);
        }
        Err(error) => {
            collector.problem(source, format!("{error:#}"));
            collector.state.files.insert(source.to_owned(), cursors);
        }
    }
}

/// The files that a pattern names now.
///
/// # Errors
/// When their directory cannot be listed.
pub fn files_of(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    files::expand(pattern)
}

/// Why a source has nothing to read, where that can be told without reading it: a log file that is not there any more is no
/// quiet log.
pub fn missing(engine: &Engine, source: &str) -> Option<String> {
    let wanted = source.strip_prefix("file:")?;
    engine.logs.iter().find_map(|spec| match &spec.kind {
        LogKind::Files { name, pattern } if name == wanted => match files::expand(pattern) {
            Ok(paths) => paths.is_empty().then(|| format!("no file matches {pattern}")),
            Err(error) => Some(format!("{error:#}")),
        },
        _ => None,
    })
}

/// The unit of a journal source.
pub fn unit_of(engine: &Engine, journal: &str) -> Option<String> {
    engine.logs.iter().find_map(|spec| match &spec.kind {
        LogKind::Journal { name, unit } if name == journal => Some(unit.clone()),
        _ => None,
    })
}

/// Removed containers are forgotten; none at all is taken for a Docker that does not answer.
fn forget_containers(state: &mut LogState, containers: &[Container]) {
    if !containers.is_empty() {
        state.containers.retain(|id, _| containers.iter().any(|c| c.id == *id));
    }
}

/// How long counts are kept, in seconds: the longest `within` of the rules.
fn horizon(engine: &Engine) -> i64 {
    let longest = engine.rules.iter().flat_map(|rule| rule.log_triggers()).map(|trigger| trigger.within.as_secs());
    longest.max().map_or(MIN_HORIZON, |span| i64::try_from(span).unwrap_or(i64::MAX / 2).max(MIN_HORIZON))
}
