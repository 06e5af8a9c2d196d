//! What is learned from the knowledge base: success rates, and the history addend of a confidence.
//!
//! Lives here: folding the file's lines. The lines themselves are in `line`. May not live here: what to do with a
//! confidence.

mod line;

pub use line::{append, append_verdict, check_line, has_record, has_verdict, to_line};

use crate::model::{Addend, Outcome, Tries, VerdictKind};
use anyhow::{Context, Result};
use line::{Text, read_line};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

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
    by_issue: HashMap<String, Tries>,
    by_target: HashMap<String, Tries>,
    /// Confidence bins of 5 points (lower edge) against what came of them.
    pub reliability: BTreeMap<u8, Tries>,
    pub last_updated: Option<jiff::Timestamp>,
    /// Lines that could not be read: torn, damaged, or another program's.
    pub skipped: u64,
    /// The first of them, by number from 1, and why.
    pub first_skipped: Option<(u64, String)>,
    /// Lines read, of whatever kind.
    lines: u64,
    /// `last_updated` as it was written.
    newest: String,
    scratch: String,
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
/// read is counted in `skipped`, never an error.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read(path: &Path, since: Option<jiff::Timestamp>) -> Result<Knowledge> {
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Knowledge::default()),
        Err(e) => return Err(e).with_context(|| format!("cannot read the knowledge base {}", path.display())),
    };
    let fold = |from: u64, to: u64| {
        fold_part(path, from, to, since).with_context(|| format!("cannot read the knowledge base {}", path.display()))
    };
    if size < LARGE {
        return fold(0, u64::MAX);
    }
    let half = || fold(size / 2, u64::MAX);
    let (first, second) = std::thread::scope(|scope| {
        let second = std::thread::Builder::new().spawn_scoped(scope, half);
        let first = fold(0, size / 2);
        (first, second.map_or_else(|_| Ok(half()), |thread| thread.join()))
    });
    let second = second.map_err(|_| anyhow::anyhow!("reading the knowledge base {} broke off", path.display()))?;
    Ok(first?.and(second?))
}

/// Folds the lines that begin at a byte in `from..to`.
fn fold_part(path: &Path, from: u64, to: u64, since: Option<jiff::Timestamp>) -> Result<Knowledge> {
    let mut knowledge = Knowledge::default();
    let mut file = File::open(path)?;
    // The line that the byte before `from` belongs to is the other half's.
    let mut at = from.saturating_sub(1);
    file.seek(SeekFrom::Start(at))?;
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let mut line = Vec::new();
    if from > 0 {
        at += read_line(&mut reader, &mut line)?;
    }
    while at < to {
        let length = read_line(&mut reader, &mut line)?;
        if length == 0 {
            break;
        }
        at += length;
        knowledge.lines += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if let Err(why) = knowledge.take(&line, since) {
            knowledge.skipped += 1;
            knowledge.first_skipped.get_or_insert((knowledge.lines, why));
        }
    }
    Ok(knowledge)
}

impl Knowledge {
    /// Takes one line more: the fold's step.
    ///
    /// # Errors
    /// When it is none of ours, or damaged.
    pub fn take_line(&mut self, line: &[u8]) -> Result<(), String> {
        self.take(line, None)
    }

    fn take(&mut self, bytes: &[u8], since: Option<jiff::Timestamp>) -> Result<(), String> {
        check_line(bytes)?;
        let line: Line = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if line.kind.is_some_and(|k| k.0 == "verdict") {
            return Ok(());
        }
        let (Some(issue), Some(fix), Some(success)) = (line.issue_type, line.fix_type, line.success) else {
            return Err("no issue_type, fix_type and success in it".into());
        };
        if !self.is_within(line.timestamp.as_ref().map(|t| t.0.as_ref()), since) {
            return Ok(());
        }
        self.fixes += 1;
        let result = line.result_status.as_ref().map_or(if success { "healed" } else { "failed" }, |r| r.0.as_ref());
        count(&mut self.by_result, result, |n| *n += 1);
        let interrupted = line.validation_status.is_some_and(|v| v.0 == VerdictKind::Interrupted.word());
        if interrupted || !is_decided(result) {
            return Ok(());
        }
        self.decided.add(success);
        count(&mut self.by_type, &fix.0, |t| t.add(success));
        if let Some(confidence) = line.confidence.or(line.original_confidence) {
            let bin = (confidence.clamp(0.0, 99.9) / 5.0).floor() as u8 * 5;
            self.reliability.entry(bin).or_default().add(success);
        }
        key(&mut self.scratch, &[&issue.0, &fix.0]);
        add(&mut self.by_issue, &self.scratch, success);
        if let Some(target) = line.target {
            key(&mut self.scratch, &[&issue.0, &fix.0, &target.0]);
            add(&mut self.by_target, &self.scratch, success);
        }
        Ok(())
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
        for (key, tries) in later.by_issue {
            self.by_issue.entry(key).or_default().join(tries);
        }
        for (key, tries) in later.by_target {
            self.by_target.entry(key).or_default().join(tries);
        }
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

    /// Whether a record is not older than `since`; keeps the newest time. A time that is not newer, being of the same
    /// form and sorting before it, is not even parsed.
    fn is_within(&mut self, text: Option<&str>, since: Option<jiff::Timestamp>) -> bool {
        let Some(text) = text else { return since.is_none() };
        let same_form = text.len() == self.newest.len() && text.ends_with('Z') && self.newest.ends_with('Z');
        if since.is_none() && same_form && *text <= *self.newest {
            return true;
        }
        let time = parse_time(text);
        if time > self.last_updated {
            self.last_updated = time;
            text.clone_into(&mut self.newest);
        }
        since.is_none_or(|since| time.is_some_and(|t| t >= since))
    }

    /// Decided outcomes of this issue type, fix type and target; of the issue type and fix type where the target has
    /// none.
    pub fn tries(&self, issue_type: &str, fix_type: &str, target: &str) -> Tries {
        let (mut of_target, mut of_issue) = (String::new(), String::new());
        key(&mut of_target, &[issue_type, fix_type, target]);
        key(&mut of_issue, &[issue_type, fix_type]);
        self.by_target.get(&of_target).or_else(|| self.by_issue.get(&of_issue)).copied().unwrap_or_default()
    }
}

/// Parts joined by a byte that none of them holds.
fn key(into: &mut String, parts: &[&str]) {
    into.clear();
    for part in parts {
        into.push_str(part);
        into.push('\u{0}');
    }
}

fn add(map: &mut HashMap<String, Tries>, key: &str, success: bool) {
    match map.get_mut(key) {
        Some(tries) => tries.add(success),
        None => map.entry(key.to_owned()).or_default().add(success),
    }
}

/// Changes an entry without making its key anew each time.
fn count<V: Default>(map: &mut BTreeMap<String, V>, key: &str, change: impl FnOnce(&mut V)) {
    match map.get_mut(key) {
        Some(value) => change(value),
        None => change(map.entry(key.to_owned()).or_default()),
    }
}

impl Tries {
    fn add(&mut self, success: bool) {
        self.total += 1;
        self.successes += u64::from(success);
    }

    fn join(&mut self, other: Tries) {
        self.total += other.total;
        self.successes += other.successes;
    }
}

/// RFC 3339, or the zone-less ISO 8601 of Python's `isoformat()`, taken as UTC.
fn parse_time(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok().or_else(|| {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(local).ok()
    })
}

/// `(success_rate - 0.5) * 20 * min(n, 5) / 5` points over `n` decided outcomes: five or more tries that all worked
/// add 10, that all failed take 10; without a try there is no addend.
pub fn history_addend(tries: Tries) -> Option<Addend> {
    let rate = tries.success_rate()?;
    let points = (rate - 0.5) * 20.0 * tries.total.min(5) as f64 / 5.0;
    Some(Addend { label: format!("history: {} of {} such fixes worked", tries.successes, tries.total), points })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Record;

    fn read_text(text: &[u8]) -> Knowledge {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path(), None).unwrap()
    }

    fn python_line(success: bool) -> String {
        format!(
            r#"{{"timestamp": "2025-10-19T17:00:00.123456", "issue_type": "rate_limiting", "fix_type": "increase_delay", "original_confidence": 95, "result_status": "success", "validation_status": "passed", "success": {success}, "error_count_after": 0}}"#
        )
    }

    fn record(result: Outcome, success: bool) -> Record {
        Record {
            timestamp: "2026-01-02T03:04:05Z".parse().unwrap(),
            issue_type: "rate_limiting".into(),
            fix_type: "increase_delay".into(),
            original_confidence: 88.0,
            result_status: result.word().into(),
            validation_status: "passed".into(),
            success,
            error_count_after: 0,
            v: Some(RECORD_VERSION),
            id: Some("fix_1".into()),
            rule: Some("r".into()),
            target: Some("/a.py#call f".into()),
            confidence: Some(88),
            error_count_before: Some(5),
            backup_id: None,
            duration_ms: Some(1),
            judged_on: None,
        }
    }

    #[test]
    fn the_python_systems_lines_are_read_as_they_are() {
        let knowledge = read_text([python_line(true), python_line(false)].join("\n").as_bytes());
        assert_eq!((knowledge.fixes, knowledge.skipped), (2, 0));
        assert_eq!(knowledge.tries("rate_limiting", "increase_delay", "any"), Tries { total: 2, successes: 1 });
        assert_eq!(knowledge.last_updated.unwrap().to_string(), "2025-10-19T17:00:00.123456Z");
    }

    #[test]
    fn a_line_is_counted_or_skipped_but_never_fatal() {
        let ours = to_line(&record(Outcome::Healed, true)).unwrap();
        let undecided = to_line(&record(Outcome::Unproven, false)).unwrap();
        let interrupted =
            Record { validation_status: VerdictKind::Interrupted.word().into(), ..record(Outcome::RolledBack, false) };
        let interrupted = to_line(&interrupted).unwrap();
        let check = |line: &[u8], fixes: u64, decided: u64, skipped: u64| {
            let knowledge = read_text(line);
            let shown = String::from_utf8_lossy(line.get(..80).unwrap_or(line)).into_owned();
            assert_eq!(
                (knowledge.fixes, knowledge.decided.total, knowledge.skipped),
                (fixes, decided, skipped),
                "{shown}"
            );
        };
        check(b"", 0, 0, 0);
        check(b"\n \n", 0, 0, 0);
        check(ours.as_bytes(), 1, 1, 0);
        check(undecided.as_bytes(), 1, 0, 0);
        check(interrupted.as_bytes(), 1, 0, 0);
        check(ours.replace("healed", "failed").as_bytes(), 0, 0, 1);
        check(ours.get(..60).unwrap().as_bytes(), 0, 0, 1);
        check(b"[1,2]", 0, 0, 1);
        check(b"{\"other\":\"program\"}", 0, 0, 1);
        check(b"\xff\xfe{", 0, 0, 1);
        check(&vec![b'a'; 200_000], 0, 0, 1);
        check(br#"{"kind":"verdict","id":"fix_1","verdict":"durable"}"#, 0, 0, 0);
    }

    #[test]
    fn a_large_file_is_folded_in_halves_to_the_same_sum() {
        let line = python_line(true);
        let lines: Vec<String> = (0..(LARGE as usize * 2 / line.len()))
            .map(|n| match n % 7 {
                0 => python_line(false),
                3 => String::new(),
                5 if n > 1000 => format!("torn {}", "x".repeat(n % 50)),
                _ => line.clone(),
            })
            .collect();
        let text = lines.join("\n");
        assert!(text.len() as u64 > LARGE);
        let whole = read_text(text.as_bytes());
        let count = |wanted: &dyn Fn(&String) -> bool| lines.iter().filter(|l| wanted(l)).count() as u64;
        assert_eq!(whole.fixes, count(&|l| l.starts_with('{')));
        assert_eq!(whole.skipped, count(&|l| l.starts_with("torn")));
        let first = lines.iter().position(|l| l.starts_with("torn")).unwrap() as u64 + 1;
        assert_eq!(whole.first_skipped.as_ref().unwrap().0, first);
        assert_eq!(whole.decided.successes, count(&|l| *l == line));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        for cut in [1, 100, text.len() as u64 / 3, text.len() as u64 - 1] {
            let halves =
                fold_part(file.path(), 0, cut, None).unwrap().and(fold_part(file.path(), cut, u64::MAX, None).unwrap());
            assert_eq!(
                (halves.fixes, halves.skipped, halves.lines),
                (whole.fixes, whole.skipped, whole.lines),
                "{cut}"
            );
        }
    }

    #[test]
    fn history_moves_confidence_by_at_most_ten_points() {
        let check = |total, successes, points: f64| {
            let addend = history_addend(Tries { total, successes });
            assert_eq!(addend.map_or(0.0, |a| a.points), points, "{successes} of {total}");
        };
        check(0, 0, 0.0);
        check(1, 1, 2.0);
        check(1, 0, -2.0);
        check(4, 2, 0.0);
        check(5, 5, 10.0);
        check(100, 0, -10.0);
        check(10, 9, 8.0);
    }

    #[test]
    fn a_target_with_tries_of_its_own_is_judged_by_them_alone() {
        let mut lines = vec![python_line(true); 3];
        lines.push(to_line(&record(Outcome::RolledBack, false)).unwrap());
        let knowledge = read_text(lines.join("\n").as_bytes());
        assert_eq!(
            knowledge.tries("rate_limiting", "increase_delay", "/a.py#call f"),
            Tries { total: 1, successes: 0 }
        );
        assert_eq!(knowledge.tries("rate_limiting", "increase_delay", "/b.py"), Tries { total: 4, successes: 3 });
    }

    #[test]
    fn a_record_is_found_again_by_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kb.jsonl");
        assert!(!has_record(&path, "fix_1").unwrap());
        append(&path, &record(Outcome::Healed, true)).unwrap();
        append_verdict(&path, "2026-01-02T03:04:05Z".parse().unwrap(), "fix_2", "durable").unwrap();
        assert!(has_record(&path, "fix_1").unwrap());
        assert!(!has_record(&path, "fix_2").unwrap());
    }
}
