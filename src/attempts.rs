//! What was tried, and what is held: the durable memory that limits stand on (`attempts.jsonl` in the state directory).
//!
//! Lives here: the lines of that file and the questions the gate asks of them. A fix is charged before it acts, so that
//! a crash loop cannot fix for ever. May not live here: whether a fix works (that is the knowledge base's).

use crate::host::files;
use crate::model::Outcome;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;

/// One line of `attempts.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// Written before the first step of a fix.
    Charge {
        t: Timestamp,
        fix: String,
        rule: String,
        fix_type: String,
        target: String,
        component: String,
        /// SHA-256 of every content this fix may leave in a file: before and after.
        #[serde(default)]
        hashes: Vec<String>,
    },
    /// Written after its record.
    End {
        t: Timestamp,
        fix: String,
        outcome: Outcome,
    },
    /// From now on no fix of this rule touches this target, until a human resets it.
    Hold {
        t: Timestamp,
        rule: String,
        target: String,
        reason: String,
    },
    Release {
        t: Timestamp,
        target: String,
    },
}

/// One charged fix.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub fix: String,
    pub rule: String,
    pub fix_type: String,
    pub target: String,
    pub component: String,
    pub started: Timestamp,
    pub ended: Option<(Timestamp, Outcome)>,
}

impl Attempt {
    /// When it last did something: its end, or its start while it has none.
    pub fn last_moment(&self) -> Timestamp {
        self.ended.map_or(self.started, |(t, _)| t)
    }
}

/// A target that no fix of this rule may touch.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub rule: String,
    pub target: String,
    pub reason: String,
    pub since: Timestamp,
}

/// The file, folded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempts {
    pub fixes: Vec<Attempt>,
    pub held: Vec<Held>,
    /// SHA-256 of contents that we wrote, or put back.
    pub hashes: HashSet<String>,
    /// Lines that could not be read.
    pub skipped: u64,
}

/// Reads the file; a missing one is empty, a line that cannot be read is counted.
///
/// # Errors
/// When the file is there and cannot be read: limits that are not known must not be taken for unused.
pub fn read(path: &Path) -> Result<Attempts> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Attempts::default()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut attempts = Attempts::default();
    for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(line) => attempts.take(line),
            Err(_) => attempts.skipped += 1,
        }
    }
    Ok(attempts)
}

/// Appends one line and syncs it.
///
/// # Errors
/// When it cannot be written.
pub fn append(path: &Path, line: &Line) -> Result<()> {
    let text = serde_json::to_string(line).context("cannot write an attempt as JSON")?;
    files::append_line(path, &text, 0o640).context("cannot write down the attempt")
}

impl Attempts {
    fn take(&mut self, line: Line) {
        match line {
            Line::Charge { t, fix, rule, fix_type, target, component, hashes } => {
                self.hashes.extend(hashes);
                self.fixes.push(Attempt { fix, rule, fix_type, target, component, started: t, ended: None });
            }
            Line::End { t, fix, outcome } => {
                if let Some(attempt) = self.fixes.iter_mut().rev().find(|a| a.fix == fix) {
                    attempt.ended = Some((t, outcome));
                }
            }
            Line::Hold { t, rule, target, reason } => self.held.push(Held { rule, target, reason, since: t }),
            Line::Release { target, .. } => self.held.retain(|h| h.target != target),
        }
    }

    /// Fixes started after `since`.
    pub fn started_after(&self, since: Timestamp) -> impl Iterator<Item = &Attempt> {
        self.fixes.iter().filter(move |a| a.started > since)
    }

    /// The last time anything was done to this target, by whatever rule.
    pub fn last_on_target(&self, target: &str) -> Option<&Attempt> {
        self.fixes.iter().rev().find(|a| a.target == target)
    }

    /// The last moment of a fix for this component: what was seen before it is no fresh evidence.
    pub fn last_for_component(&self, component: &str) -> Option<Timestamp> {
        self.fixes.iter().filter(|a| a.component == component).map(Attempt::last_moment).max()
    }

    /// Whether this rung of a rule's ladder failed or was rolled back after `since`.
    pub fn gave_up(&self, rule: &str, fix_type: &str, target: &str, since: Timestamp) -> bool {
        let last = self.fixes.iter().rev().find(|a| a.rule == rule && a.fix_type == fix_type && a.target == target);
        last.and_then(|a| a.ended).is_some_and(|(t, outcome)| {
            t > since && matches!(outcome, Outcome::RolledBack | Outcome::Failed | Outcome::RollbackFailed)
        })
    }

    /// Why this rule may not touch this target, when a human has to release it first.
    pub fn hold(&self, rule: &str, target: &str) -> Option<&Held> {
        self.held.iter().find(|h| h.rule == rule && h.target == target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn charge(second: i64, fix: &str) -> Line {
        Line::Charge {
            t: at(second),
            fix: fix.into(),
            rule: "r".into(),
            fix_type: "increase_delay".into(),
            target: "/a#x".into(),
            component: "container:a".into(),
            hashes: Vec::new(),
        }
    }

    #[test]
    fn what_was_tried_and_held_survives_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attempts.jsonl");
        append(&path, &charge(100, "fix_1")).unwrap();
        append(&path, &Line::End { t: at(220), fix: "fix_1".into(), outcome: Outcome::RolledBack }).unwrap();
        let hold = Line::Hold { t: at(230), rule: "r".into(), target: "/a#x".into(), reason: "operator".into() };
        append(&path, &hold).unwrap();
        std::fs::write(&path, [std::fs::read(&path).unwrap(), b"{\"kind\":\"cha".to_vec()].concat()).unwrap();
        append(&path, &charge(300, "fix_2")).unwrap();

        let attempts = read(&path).unwrap();
        assert_eq!((attempts.fixes.len(), attempts.skipped), (2, 1));
        assert!(attempts.hold("r", "/a#x").is_some() && attempts.hold("other", "/a#x").is_none());
        assert_eq!(attempts.last_for_component("container:a"), Some(at(300)));
        assert_eq!(attempts.started_after(at(100)).count(), 1);

        append(&path, &Line::Release { t: at(400), target: "/a#x".into() }).unwrap();
        assert!(read(&path).unwrap().held.is_empty());
    }

    #[test]
    fn a_rung_is_given_up_by_its_last_outcome() {
        let mut attempts = Attempts::default();
        attempts.take(charge(100, "fix_1"));
        assert!(!attempts.gave_up("r", "increase_delay", "/a#x", at(0)));
        attempts.take(Line::End { t: at(200), fix: "fix_1".into(), outcome: Outcome::RolledBack });
        assert!(attempts.gave_up("r", "increase_delay", "/a#x", at(0)));
        assert!(!attempts.gave_up("r", "increase_delay", "/a#x", at(200)));
        attempts.take(charge(300, "fix_2"));
        attempts.take(Line::End { t: at(400), fix: "fix_2".into(), outcome: Outcome::Healed });
        assert!(!attempts.gave_up("r", "increase_delay", "/a#x", at(0)));
    }
}
