//! What is learned from the knowledge base: success rates, and the history addend of a confidence.
//!
//! Lives here: folding the file's lines. The lines themselves are in `line`, later verdicts on fixes in `verdicts`, what
//! history is worth in `history`. May not live here: what to do with a confidence.

mod history;
mod line;
mod spread;
mod verdicts;

#[cfg(test)]
mod tests;

pub use history::{Aging, Group, History, history_addend, self_recovery_addend};
pub use line::{append, append_verdict, check_line, has_late_verdict, has_record, has_verdict, to_line};
pub use spread::{Spread, wilson};

use crate::model::{Cleared, Outcome, Tries, VerdictKind};
use anyhow::{Context, Result};
use line::{Lines, Text};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use verdicts::{Later, Verdicts};

/// Version of the lines written here.
pub const RECORD_VERSION: u32 = 1;

/// Success rates folded from the knowledge base.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Knowledge {
    /// Every fix, also those whose outcome says nothing about success.
    pub fixes: u64,
    /// Decided outcomes.
    pub decided: Tries,
    pub by_type: BTreeMap<String, Tries>,
    /// Fixes by how they ended.
    pub by_result: BTreeMap<String, u64>,
    /// By [`key`] of issue type and fix type, and of these and the target.
    by_issue: HashMap<String, History>,
    by_target: HashMap<String, History>,
    /// Confidence bins of 5 points (lower edge) against what came of them.
    pub reliability: BTreeMap<u8, Tries>,
    /// Fixes that proved durable, whose problem came back, that an operator rolled back later.
    pub durable: u64,
    pub recurred: u64,
    pub rolled_back_later: u64,
    /// Fixes that are unproven to this day, and the newest of them.
    pub unproven: u64,
    pub newest_unproven: VecDeque<Unproven>,
    pub timings: Timings,
    /// Problems that were not acted on, by issue type; not from this file.
    pub self_recovery: BTreeMap<String, Cleared>,
    pub last_updated: Option<jiff::Timestamp>,
    /// Lines that could not be read: torn, damaged, or another program's.
    pub skipped: u64,
    /// The first of them, by number from 1, and why.
    pub first_skipped: Option<(u64, String)>,
    /// Lines read, of whatever kind.
    lines: u64,
    /// The newest of the times that were not parsed.
    newest: String,
    scratch: String,
}

/// A fix of which nobody knows whether it helped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproven {
    pub timestamp: String,
    pub id: String,
    pub fix_type: String,
    pub target: String,
}

/// How many unproven fixes are named.
const MAX_UNPROVEN: usize = 20;

/// How long each part took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    pub detect: Spread,
    pub diagnose: Spread,
    pub apply: Spread,
    pub validate: Spread,
}

/// What is needed of a line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    issue_type: Option<Text<'a>>,
    #[serde(borrow)]
    fix_type: Option<Text<'a>>,
    original_confidence: Option<f64>,
    confidence: Option<f64>,
    #[serde(borrow)]
    result_status: Option<Text<'a>>,
    #[serde(borrow)]
    validation_status: Option<Text<'a>>,
    success: Option<bool>,
    #[serde(borrow)]
    target: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    detect_ms: Option<u64>,
    diagnose_ms: Option<u64>,
    apply_ms: Option<u64>,
    validate_ms: Option<u64>,
}

/// How the file is read.
struct Reading<'r> {
    since: Option<jiff::Timestamp>,
    aging: Option<Aging>,
    verdicts: &'r Verdicts,
}

/// Outcomes that say nothing about whether such a fix works.
fn is_decided(result_status: &str) -> bool {
    ![
        Outcome::Unproven,
        Outcome::Conflict,
        Outcome::Recovered,
        Outcome::RolledBackByOperator,
        Outcome::Held,
        Outcome::DryRun,
    ]
    .iter()
    .any(|o| o.word() == result_status)
}

/// From this size on a file is folded in two halves at the same time (bytes).
const LARGE: u64 = 4 * 1024 * 1024;

/// Reads the knowledge base; `since` leaves older records out. A missing file is an empty one. A line that cannot be
/// read is counted in `skipped`, never an error. Every outcome counts the same, however old.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read(path: &Path, since: Option<jiff::Timestamp>) -> Result<Knowledge> {
    read_with(path, since, None)
}

/// The same, with every outcome weighed by its age: what history is worth now.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read_aged(path: &Path, aging: Aging) -> Result<Knowledge> {
    read_with(path, None, Some(aging))
}

fn read_with(path: &Path, since: Option<jiff::Timestamp>, aging: Option<Aging>) -> Result<Knowledge> {
    let cannot = || format!("cannot read the knowledge base {}", path.display());
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Knowledge::default()),
        Err(e) => return Err(e).with_context(cannot),
    };
    if size < LARGE {
        let verdicts = Verdicts::read(path, 0, u64::MAX).with_context(cannot)?;
        return fold_part(path, 0, u64::MAX, &Reading { since, aging, verdicts: &verdicts }).with_context(cannot);
    }
    let (first, second) = in_halves(|from, to| Verdicts::read(path, from, to), size);
    let verdicts = first.with_context(cannot)?.and(second.with_context(cannot)?);
    let reading = Reading { since, aging, verdicts: &verdicts };
    let (first, second) = in_halves(|from, to| fold_part(path, from, to, &reading), size);
    Ok(first.with_context(cannot)?.and(second.with_context(cannot)?))
}

/// Does the same with both halves of a file, at the same time where a thread can be had.
fn in_halves<T: Send>(
    part: impl Fn(u64, u64) -> std::io::Result<T> + Sync,
    size: u64,
) -> (std::io::Result<T>, std::io::Result<T>) {
    let half = || part(size / 2, u64::MAX);
    std::thread::scope(|scope| {
        let second = std::thread::Builder::new().spawn_scoped(scope, half);
        let first = part(0, size / 2);
        let broke_off = |_| Err(std::io::Error::other("a thread of the reading broke off"));
        (first, second.map_or_else(|_| half(), |thread| thread.join().unwrap_or_else(broke_off)))
    })
}

/// Folds the lines that begin at a byte in `from..to`.
fn fold_part(path: &Path, from: u64, to: u64, reading: &Reading) -> std::io::Result<Knowledge> {
    let mut knowledge = Knowledge::default();
    let mut file = File::open(path)?;
    // The line that the byte before `from` belongs to is the other half's.
    let mut at = from.saturating_sub(1);
    file.seek(SeekFrom::Start(at))?;
    let mut lines = Lines::new(file);
    if from > 0 {
        at += lines.next()?.map_or(0, |(_, length)| length);
    }
    while at < to {
        let Some((line, length)) = lines.next()? else { break };
        at += length;
        knowledge.lines += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if let Err(why) = knowledge.take(line, reading) {
            knowledge.skipped += 1;
            knowledge.first_skipped.get_or_insert((knowledge.lines, why));
        }
    }
    knowledge.settle();
    Ok(knowledge)
}

impl Knowledge {
    /// Takes one line more: the fold's step.
    ///
    /// # Errors
    /// When it is none of ours, or damaged.
    pub fn take_line(&mut self, line: &[u8]) -> Result<(), String> {
        let taken = self.take(line, &Reading { since: None, aging: None, verdicts: &Verdicts::default() });
        self.settle();
        taken
    }

    fn take(&mut self, bytes: &[u8], reading: &Reading) -> Result<(), String> {
        check_line(bytes)?;
        let text = std::str::from_utf8(bytes).map_err(|e| format!("it is not UTF-8: {e}"))?;
        let line: Line = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if line.kind.as_ref().is_some_and(|k| k.0 == "verdict") {
            return Ok(());
        }
        let (Some(issue), Some(fix), Some(success)) = (&line.issue_type, &line.fix_type, line.success) else {
            return Err("no issue_type, fix_type and success in it".into());
        };
        if !self.is_within(line.timestamp.as_ref().map(|t| t.0.as_ref()), reading.since) {
            return Ok(());
        }
        self.fixes += 1;
        let result = line.result_status.as_ref().map_or(if success { "healed" } else { "failed" }, |r| r.0.as_ref());
        count(&mut self.by_result, result, |n| *n += 1);
        self.timings.take(&line);
        let later = line.id.as_ref().and_then(|id| reading.verdicts.of(&id.0)).unwrap_or_default();
        let Some(success) = self.worked(&line, result, success, later) else { return Ok(()) };
        self.decided.add(success);
        count(&mut self.by_type, &fix.0, |t| t.add(success));
        if let Some(confidence) = line.confidence.or(line.original_confidence) {
            let bin = (confidence.clamp(0.0, 99.9) / 5.0).floor() as u8 * 5;
            self.reliability.entry(bin).or_default().add(success);
        }
        let time = || line.timestamp.as_ref().and_then(|t| parse_time(&t.0));
        let weight = reading.aging.map_or(1.0, |aging| aging.weight(time()));
        key(&mut self.scratch, &[&issue.0, &fix.0]);
        add(&mut self.by_issue, &self.scratch, success, weight);
        if let Some(target) = &line.target {
            part(&mut self.scratch, &target.0);
            add(&mut self.by_target, &self.scratch, success, weight);
        }
        Ok(())
    }

    /// Whether a fix worked: what later passes and operators said of one that was kept, else how it ended. `None` where
    /// that says nothing.
    fn worked(&mut self, line: &Line, result: &str, success: bool, later: Later) -> Option<bool> {
        let unproven = result == Outcome::Unproven.word();
        if unproven || result == Outcome::Healed.word() {
            self.durable += u64::from(later.durable);
            self.recurred += u64::from(later.recurred);
            self.rolled_back_later += u64::from(later.rolled_back);
            if let Some(works) = later.works() {
                return Some(works);
            }
        }
        if unproven {
            self.unproven += 1;
            self.name_unproven(line);
        }
        let interrupted = line.validation_status.as_ref().is_some_and(|v| v.0 == VerdictKind::Interrupted.word());
        (!interrupted && is_decided(result)).then_some(success)
    }

    fn name_unproven(&mut self, line: &Line) {
        let text = |text: &Option<Text>| text.as_ref().map(|t| t.0.as_ref().to_owned()).unwrap_or_default();
        if self.newest_unproven.len() == MAX_UNPROVEN {
            self.newest_unproven.pop_front();
        }
        self.newest_unproven.push_back(Unproven {
            timestamp: text(&line.timestamp),
            id: text(&line.id),
            fix_type: text(&line.fix_type),
            target: text(&line.target),
        });
    }

    /// Together with what was folded from later lines of the same file.
    fn and(mut self, later: Knowledge) -> Knowledge {
        self.fixes += later.fixes;
        self.decided.join(later.decided);
        for (name, tries) in later.by_type {
            self.by_type.entry(name).or_default().join(tries);
        }
        for (name, n) in later.by_result {
            *self.by_result.entry(name).or_default() += n;
        }
        for (mine, theirs) in [(&mut self.by_issue, later.by_issue), (&mut self.by_target, later.by_target)] {
            for (key, history) in theirs {
                mine.entry(key).or_default().join(history);
            }
        }
        self.durable += later.durable;
        self.recurred += later.recurred;
        self.rolled_back_later += later.rolled_back_later;
        self.unproven += later.unproven;
        self.newest_unproven.extend(later.newest_unproven);
        let over = self.newest_unproven.len().saturating_sub(MAX_UNPROVEN);
        self.newest_unproven.drain(..over);
        self.timings.join(&later.timings);
        for (bin, tries) in later.reliability {
            self.reliability.entry(bin).or_default().join(tries);
        }
        self.last_updated = self.last_updated.max(later.last_updated);
        self.skipped += later.skipped;
        let shifted = later.first_skipped.map(|(number, why)| (self.lines + number, why));
        self.first_skipped = self.first_skipped.or(shifted);
        self.lines += later.lines;
        self
    }

    /// Whether a record is not older than `since`; keeps the newest time. Times of one form sort as they are written: only
    /// the newest of them is parsed.
    fn is_within(&mut self, text: Option<&str>, since: Option<jiff::Timestamp>) -> bool {
        let Some(text) = text else { return since.is_none() };
        let same_form = self.newest.is_empty() || self.newest.len() == text.len();
        if since.is_none() && same_form && is_utc(text) {
            if *text > *self.newest {
                text.clone_into(&mut self.newest);
            }
            return true;
        }
        let time = parse_time(text);
        self.last_updated = self.last_updated.max(time);
        since.is_none_or(|since| time.is_some_and(|t| t >= since))
    }

    fn settle(&mut self) {
        self.last_updated = self.last_updated.max(parse_time(&std::mem::take(&mut self.newest)));
    }

    /// With what passes have seen of problems that they did not act on.
    pub fn with_self_recovery(mut self, by_issue: BTreeMap<String, Cleared>) -> Knowledge {
        self.self_recovery = by_issue;
        self
    }

    /// Decided outcomes of this issue type, fix type and target; where the target has none, of the issue type and fix
    /// type; where these have none, of the fix type.
    pub fn tries(&self, issue_type: &str, fix_type: &str, target: &str) -> History {
        let look = |map: &HashMap<String, History>, parts: &[&str]| {
            let mut name = String::new();
            key(&mut name, parts);
            map.get(&name).copied()
        };
        let history = look(&self.by_target, &[issue_type, fix_type, target])
            .or_else(|| look(&self.by_issue, &[issue_type, fix_type]))
            .or_else(|| self.of_fix_type(fix_type))
            .unwrap_or_default();
        let cleared = self.self_recovery.get(issue_type).copied().unwrap_or_default();
        History { cleared, ..history }
    }

    /// Those of a fix type, whatever it was to mend; always summed in the same order, so that the same is decided again.
    fn of_fix_type(&self, fix_type: &str) -> Option<History> {
        let mut wanted = String::from('\u{0}');
        wanted.push_str(fix_type);
        wanted.push('\u{0}');
        let mut found: Vec<_> = self.by_issue.iter().filter(|(key, _)| key.ends_with(&wanted)).collect();
        found.sort_unstable_by_key(|(key, _)| *key);
        let of_all = found.into_iter().map(|(_, history)| *history).reduce(|mut sum, history| {
            sum.join(history);
            sum
        })?;
        Some(History { group: Group::FixType, ..of_all })
    }
}

impl Timings {
    fn take(&mut self, line: &Line) {
        for (spread, ms) in [
            (&mut self.detect, line.detect_ms),
            (&mut self.diagnose, line.diagnose_ms),
            (&mut self.apply, line.apply_ms),
            (&mut self.validate, line.validate_ms),
        ] {
            ms.into_iter().for_each(|ms| spread.add(ms));
        }
    }

    fn join(&mut self, later: &Timings) {
        self.detect.join(&later.detect);
        self.diagnose.join(&later.diagnose);
        self.apply.join(&later.apply);
        self.validate.join(&later.validate);
    }
}

/// Parts joined by a byte that none of them holds.
fn key(into: &mut String, parts: &[&str]) {
    into.clear();
    parts.iter().for_each(|text| part(into, text));
}

/// Adds one more.
fn part(key: &mut String, text: &str) {
    key.push_str(text);
    key.push('\u{0}');
}

fn add(map: &mut HashMap<String, History>, key: &str, success: bool, weight: f64) {
    match map.get_mut(key) {
        Some(history) => history.add(success, weight),
        None => map.entry(key.to_owned()).or_default().add(success, weight),
    }
}

/// Changes an entry without making its key anew each time.
fn count<V: Default>(map: &mut BTreeMap<String, V>, key: &str, change: impl FnOnce(&mut V)) {
    match map.get_mut(key) {
        Some(value) => change(value),
        None => change(map.entry(key.to_owned()).or_default()),
    }
}

/// Whether this is a time as it is written here: `2025-01-02T03:04:05Z`, also with a fraction.
fn is_utc(text: &str) -> bool {
    let Some((start, end)) = text.as_bytes().split_first_chunk::<19>() else { return false };
    let [_, _, _, _, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2] = *start else {
        return false;
    };
    let ranges = [([m1, m2], *b"01", *b"12"), ([d1, d2], *b"01", *b"31"), ([h1, h2], *b"00", *b"23")];
    let in_range = ranges.iter().all(|(two, least, most)| two >= least && two <= most)
        && [[i1, i2], [s1, s2]].iter().all(|two| *two <= *b"59");
    let digits = start.iter().filter(|b| b.is_ascii_digit()).count() == 14;
    let fraction = match end {
        [b'Z'] => true,
        [b'.', fraction @ .., b'Z'] => !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    digits && in_range && fraction
}

/// RFC 3339, or the zone-less ISO 8601 of Python's `isoformat()`, taken as UTC.
fn parse_time(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok().or_else(|| {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(local).ok()
    })
}
