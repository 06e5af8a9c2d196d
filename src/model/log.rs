//! What the logs said.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How bad one log event is. Ordered from mild to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Warning,
    Error,
    Critical,
}

impl Severity {
    /// The word used in every output.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }
}

/// One error event: a line that a signature matched, or a whole traceback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEvent {
    /// `container:NAME`, `file:NAME` or `journal:NAME`.
    pub source: String,
    /// The file it was read from, for files.
    pub path: Option<String>,
    /// Byte offset of its first line in what was read.
    pub offset: u64,
    /// Its own timestamp where the line has one, else when it was read.
    pub time: Timestamp,
    /// The line that says what happened: for a traceback its last line.
    pub title: String,
    /// All its lines, at most a bounded number and length.
    pub lines: Vec<String>,
    pub before: Vec<String>,
    pub after: Vec<String>,
    /// Names of every signature that matched, never empty.
    pub signatures: Vec<String>,
    pub category: String,
    pub severity: Severity,
    /// Id of the error group it belongs to.
    pub group: String,
}

/// Events that differ only in their variable parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorGroup {
    pub id: String,
    /// The title with its variable parts masked: `<num>`, `<ip>`, ... by their form, `<*>` because many different words
    /// were seen there.
    pub template: String,
    pub category: String,
    pub severity: Severity,
    pub signatures: Vec<String>,
    pub sources: Vec<String>,
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub example: LogEvent,
    /// Never seen before on this host.
    pub new: bool,
    /// Ids it was told by before; groups that turned out to be one go on under the oldest id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<String>,
}

/// Events of one signature in one source over time, enough to answer 'how many within the last N'.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub source: String,
    pub signature: String,
    /// Count per second (Unix time), oldest first.
    pub buckets: BTreeMap<i64, u64>,
    /// Title of the newest event.
    pub example: String,
}

impl Tally {
    /// Events in the half-open span `(after, until]`, both in Unix seconds.
    pub fn count(&self, after: i64, until: i64) -> u64 {
        if after >= until {
            return 0;
        }
        self.buckets.range(after.saturating_add(1)..=until).map(|(_, n)| *n).sum()
    }

    /// Second of the oldest event after `after`.
    pub fn first_after(&self, after: i64) -> Option<i64> {
        self.buckets.range(after.saturating_add(1)..).next().map(|(t, _)| *t)
    }
}

/// Bytes that could not be read any more: rotated away, truncated, or beyond the first-sight tail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogGap {
    pub source: String,
    pub reason: String,
    /// Size where it is known.
    pub bytes: Option<u64>,
}

/// A source that could not be read; the pass goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogProblem {
    pub source: String,
    pub message: String,
}

/// What one reading of the logs found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LogReport {
    /// Worst first, then most frequent.
    pub groups: Vec<ErrorGroup>,
    /// Events read now, by signature name.
    pub by_signature: BTreeMap<String, u64>,
    /// The same by source, then by signature name.
    #[serde(default)]
    pub by_source: BTreeMap<String, BTreeMap<String, u64>>,
    /// Lines read now that a signature matched, lines inside of stack traces included: what `grep -c` counts.
    #[serde(default)]
    pub matched_lines: BTreeMap<String, u64>,
    /// New events, each counted once however many signatures it matched.
    pub events: u64,
    pub bytes: u64,
    /// The same by source.
    #[serde(default)]
    pub read: BTreeMap<String, u64>,
    /// Recent events by source and signature, earlier passes included.
    pub tallies: Vec<Tally>,
    pub gaps: Vec<LogGap>,
    pub problems: Vec<LogProblem>,
}
