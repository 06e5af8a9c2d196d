//! A sound configuration held against itself and against this host: what is allowed, but will not do what was meant. Each
//! finding has its place in the files and says what to do.
//!
//! Read-only. May not live here: what is an error; that is `config`'s.

mod access;
mod edits;
mod egress;
mod live;
mod reach;
mod schedule;
mod systemd;

use crate::config::{ConfigError, Document, Engine};

/// How far a review goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The configuration and the files that it names.
    Offline,
    /// Every check is tried once, every log source, every container and unit that is named.
    Live,
}

/// Everything that is to be said, in the order of the files.
pub fn review(engine: &Engine, depth: Depth) -> Vec<ConfigError> {
    let document = Document::of(&engine.written);
    let mut found = engine.warnings.clone();
    found.extend(reach::review(engine, &document));
    found.extend(schedule::windows(engine, &document));
    found.extend(schedule::forgotten(engine, &document));
    found.extend(edits::review(engine, &document));
    found.extend(access::review(engine, &document));
    if depth == Depth::Live {
        found.extend(schedule::timer(engine, &document));
        found.extend(edits::sandbox(engine, &document));
        found.extend(egress::review(engine, &document));
        found.extend(live::review(engine, &document));
    }
    let files = &engine.written.sources;
    let order = |error: &ConfigError| files.iter().position(|(path, _)| *path == error.file);
    found.sort_by_key(|e| (order(e).unwrap_or(usize::MAX), e.line, e.column));
    found.dedup();
    found
}
