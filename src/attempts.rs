//! What was tried, and what is held: the durable memory that limits stand on (`attempts.jsonl` in the state directory).
//!
//! Lives here: the lines of that file and the questions the gate asks of them. A fix is charged before it acts, so that
//! a crash loop cannot fix for ever. May not live here: whether a fix works (that is the knowledge base's).

use crate::host::files;
use crate::model::{FileHash, LaterVerdict, Moment, Outcome};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// One line of `attempts.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// Written before the first step of a fix.
    Charge {
        #[serde(flatten)]
        at: Moment,
        fix: String,
        rule: String,
        fix_type: String,
        target: String,
        component: String,
        /// What this fix will leave in each file.
        #[serde(default)]
        files: Vec<FileHash>,
        /// Every literal, service or other thing that it changes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        touches: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        edits: Vec<Edited>,
    },
    /// Written after its record.
    End {
        #[serde(flatten)]
        at: Moment,
        fix: String,
        outcome: Outcome,
        /// Undone because its pass was killed: says nothing about the fix.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        interrupted: bool,
        /// What it left in each file, where that is another content than it was charged with.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<FileHash>,
    },
    /// An operator's rollback of a fix, done or failed.
    Rollback {
        #[serde(flatten)]
        at: Moment,
        fix: String,
        outcome: Outcome,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<FileHash>,
    },
    /// What a later pass said of a fix that was kept.
    Later {
        #[serde(flatten)]
        at: Moment,
        fix: String,
        verdict: LaterVerdict,
    },
    /// From now on no fix of this rule touches this target, until a human resets it.
    Hold {
        #[serde(flatten)]
        at: Moment,
        rule: String,
        target: String,
        reason: String,
    },
    Release {
        #[serde(flatten)]
        at: Moment,
        target: String,
    },
}

/// A literal that a fix changes, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// Absolute, links resolved.
    pub path: PathBuf,
    /// The selector as the rule wrote it.
    pub at: String,
    pub old: String,
    pub new: String,
}

/// A literal that differs from the value that a human last set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debt {
    pub path: PathBuf,
    pub at: String,
    /// The human's value, as it stood in the file.
    pub human: String,
    /// What the last fix left there.
    pub now: String,
    /// When the first fix since then began.
    pub since: jiff::Timestamp,
    /// Of the fixes that are still in place.
    pub rules: Vec<String>,
}

/// One charged fix.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub fix: String,
    pub rule: String,
    pub fix_type: String,
    pub target: String,
    pub component: String,
    pub started: Moment,
    pub ended: Option<(Moment, Outcome)>,
    pub interrupted: bool,
    pub touches: Vec<String>,
    pub edits: Vec<Edited>,
    /// A human has looked at its target since and released it: its failure says nothing any more.
    pub released: bool,
}

impl Attempt {
    /// When it last did something: its end, or its start while it has none.
    pub fn last_moment(&self) -> &Moment {
        self.ended.as_ref().map_or(&self.started, |(at, _)| at)
    }

    /// Whether it did anything: one that was called off before its first step counts for no limit.
    fn counts(&self) -> bool {
        !matches!(self.ended, Some((_, Outcome::Held)))
    }

    /// Whether it changed this, as [`Plan::touches`](crate::model::Plan::touches) names it.
    pub fn touched(&self, what: &str) -> bool {
        self.target == what || self.touches.iter().any(|t| t == what)
    }

    /// Whether what it wrote stands, as far as it knows.
    fn is_kept(&self) -> bool {
        let undone = [Outcome::RolledBack, Outcome::RollbackFailed, Outcome::RolledBackByOperator, Outcome::Failed];
        self.ended.as_ref().is_none_or(|(_, outcome)| !undone.contains(outcome))
    }
}

/// A target that no fix of this rule may touch.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub rule: String,
    pub target: String,
    pub reason: String,
    pub since: Moment,
}

/// The file, folded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempts {
    /// Those that did something, or may have.
    pub fixes: Vec<Attempt>,
    pub held: Vec<Held>,
    /// SHA-256 of what healer last left in a file: its fix, or what it put back.
    left: HashMap<PathBuf, String>,
    /// Ids that are taken.
    ids: HashSet<String>,
    /// How an operator's rollback of a fix went.
    rollbacks: HashMap<String, Outcome>,
    /// What later passes said last of a fix.
    later: HashMap<String, LaterVerdict>,
    /// Lines that could not be read.
    pub skipped: u64,
}

/// Reads the file; a missing one is empty, a line that cannot be read is counted.
///
/// # Errors
/// When the file is there and cannot be read: limits that are not known must not be taken for unused.
pub fn read(path: &Path) -> Result<Attempts> {
    Ok(fold(&read_text(path)?))
}

/// The lines as they are; a missing file is empty.
///
/// # Errors
/// As [`read`].
pub fn read_text(path: &Path) -> Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.with_context(|| format!("cannot read {}", path.display())),
    }
}

/// What the lines say together; one that cannot be read is counted.
pub fn fold(text: &[u8]) -> Attempts {
    let mut attempts = Attempts::default();
    for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(line) => attempts.take(line),
            Err(_) => attempts.skipped += 1,
        }
    }
    attempts.fixes.retain(Attempt::counts);
    attempts
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
    /// Takes one line more: the fold's step.
    pub fn take(&mut self, line: Line) {
        match line {
            Line::Charge { at, fix, rule, fix_type, target, component, files, touches, edits } => {
                self.leave(files);
                self.ids.insert(fix.clone());
                self.fixes.push(Attempt {
                    fix,
                    rule,
                    fix_type,
                    target,
                    component,
                    started: at,
                    ended: None,
                    interrupted: false,
                    touches,
                    edits,
                    released: false,
                });
            }
            Line::End { at, fix, outcome, interrupted, files } => {
                self.leave(files);
                if let Some(attempt) = self.fixes.iter_mut().rev().find(|a| a.fix == fix) {
                    attempt.ended = Some((at, outcome));
                    attempt.interrupted = interrupted;
                }
            }
            Line::Rollback { fix, outcome, files, .. } => {
                self.leave(files);
                self.rollbacks.insert(fix, outcome);
            }
            Line::Later { fix, verdict, .. } => drop(self.later.insert(fix, verdict)),
            Line::Hold { at, rule, target, reason } => self.held.push(Held { rule, target, reason, since: at }),
            Line::Release { target, .. } => {
                self.held.retain(|h| h.target != target);
                self.fixes.iter_mut().filter(|a| a.target == target).for_each(|a| a.released = true);
            }
        }
    }

    fn leave(&mut self, files: Vec<FileHash>) {
        self.left.extend(files.into_iter().map(|f| (f.path, f.sha256)));
    }

    /// Whether a fix of this id was ever charged.
    pub fn is_known(&self, fix: &str) -> bool {
        self.ids.contains(fix)
    }

    /// Whether this content of a file is what healer last left there.
    pub fn is_ours(&self, path: &Path, sha256: &str) -> bool {
        self.left.get(path).is_some_and(|left| left == sha256)
    }

    /// The last time anything was done to this, by whatever rule.
    pub fn last_on(&self, what: &str) -> Option<&Attempt> {
        self.fixes.iter().rev().find(|a| a.touched(what))
    }

    /// Every literal that fixes have moved away from a human's value, as far as attempts tell: whether a human has set it
    /// since, only the file says.
    pub fn debts(&self) -> Vec<Debt> {
        let mut debts: Vec<Debt> = Vec::new();
        for attempt in &self.fixes {
            let kept = attempt.is_kept() && !self.rollbacks.contains_key(&attempt.fix);
            for edit in attempt.edits.iter().filter(|_| kept) {
                let known = debts.iter().position(|d| d.path == edit.path && d.at == edit.at);
                // Not what the last fix left: a human has set it in between.
                let known = known.filter(|at| debts.get(*at).is_some_and(|d| d.now == edit.old));
                match known.and_then(|at| debts.get_mut(at)) {
                    Some(debt) => {
                        debt.now.clone_from(&edit.new);
                        debt.rules.push(attempt.rule.clone());
                    }
                    None => {
                        debts.retain(|d| d.path != edit.path || d.at != edit.at);
                        debts.push(Debt {
                            path: edit.path.clone(),
                            at: edit.at.clone(),
                            human: edit.old.clone(),
                            now: edit.new.clone(),
                            since: attempt.started.t,
                            rules: vec![attempt.rule.clone()],
                        });
                    }
                }
            }
        }
        debts.retain(|d| d.human != d.now);
        debts
    }

    /// The value that a human last set in a place where `now` stands; `None` where that is what stands there.
    pub fn human_value(&self, path: &Path, at: &str, now: &str) -> Option<String> {
        let debt = self.debts().into_iter().find(|d| d.path == path && d.at == at && d.now == now);
        debt.map(|d| d.human)
    }

    /// The last moment of a fix for this component: what was seen before it is no fresh evidence.
    pub fn last_for_component(&self, component: &str) -> Option<jiff::Timestamp> {
        self.fixes.iter().filter(|a| a.component == component).map(|a| a.last_moment().t).max()
    }

    /// The last try of this rung of a rule's ladder. An interruption is none, and neither is one that a human has reset.
    pub fn last_try(&self, rule: &str, fix_type: &str, target: &str) -> Option<&Attempt> {
        let last = self.fixes.iter().rev().find(|a| a.rule == rule && a.fix_type == fix_type && a.target == target);
        last.filter(|a| !a.interrupted && !a.released)
    }

    /// Why this rule may not touch this target, when a human has to release it first.
    pub fn hold(&self, rule: &str, target: &str) -> Option<&Held> {
        self.held.iter().find(|h| h.rule == rule && h.target == target)
    }

    /// What later passes said last of a fix that was kept.
    pub fn later(&self, fix: &str) -> Option<LaterVerdict> {
        self.later.get(fix).copied()
    }

    /// How a fix stands: its end, or what an operator's rollback made of it later.
    pub fn outcome_of(&self, fix: &str) -> Option<Outcome> {
        let end = || self.fixes.iter().rev().find(|a| a.fix == fix)?.ended.as_ref().map(|(_, outcome)| *outcome);
        self.rollbacks.get(fix).copied().or_else(end)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A fix of the rule `r` for `container:a`.
    pub(crate) fn attempt(fix: &str, started: i64, ended: i64, outcome: Outcome) -> Attempt {
        Attempt {
            fix: fix.into(),
            rule: "r".into(),
            fix_type: "increase_delay".into(),
            target: "/a#x".into(),
            component: "container:a".into(),
            started: at(started),
            ended: Some((at(ended), outcome)),
            interrupted: false,
            touches: vec!["/a#x".into(), "container:a".into()],
            edits: Vec::new(),
            released: false,
        }
    }

    pub(crate) fn at(second: i64) -> Moment {
        Moment { t: jiff::Timestamp::from_second(second).unwrap(), boot: "b".into(), up: second as f64 }
    }

    fn end(second: i64, fix: &str, outcome: Outcome, interrupted: bool) -> Line {
        Line::End { at: at(second), fix: fix.into(), outcome, interrupted, files: Vec::new() }
    }

    fn charge(second: i64, fix: &str) -> Line {
        Line::Charge {
            at: at(second),
            fix: fix.into(),
            rule: "r".into(),
            fix_type: "increase_delay".into(),
            target: "/a#x".into(),
            component: "container:a".into(),
            files: vec![FileHash { path: "/a".into(), sha256: format!("of {fix}") }],
            touches: Vec::new(),
            edits: Vec::new(),
        }
    }

    #[test]
    fn what_was_tried_and_held_survives_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attempts.jsonl");
        append(&path, &charge(100, "fix_1")).unwrap();
        append(&path, &end(220, "fix_1", Outcome::RolledBack, false)).unwrap();
        let hold = Line::Hold { at: at(230), rule: "r".into(), target: "/a#x".into(), reason: "operator".into() };
        append(&path, &hold).unwrap();
        std::fs::write(&path, [std::fs::read(&path).unwrap(), b"{\"kind\":\"cha".to_vec()].concat()).unwrap();
        append(&path, &charge(300, "fix_2")).unwrap();

        let attempts = read(&path).unwrap();
        assert_eq!((attempts.fixes.len(), attempts.skipped), (2, 1));
        assert!(attempts.hold("r", "/a#x").is_some() && attempts.hold("other", "/a#x").is_none());
        assert_eq!(attempts.last_for_component("container:a"), Some(at(300).t));

        append(&path, &Line::Release { at: at(400), target: "/a#x".into() }).unwrap();
        assert!(read(&path).unwrap().held.is_empty());
    }

    #[test]
    fn a_fix_that_was_called_off_before_its_first_step_counts_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attempts.jsonl");
        append(&path, &charge(100, "fix_1")).unwrap();
        assert_eq!(read(&path).unwrap().fixes.len(), 1, "it may have done something");
        append(&path, &end(101, "fix_1", Outcome::Held, false)).unwrap();
        let attempts = read(&path).unwrap();
        assert!(attempts.fixes.is_empty() && attempts.is_known("fix_1") && !attempts.is_known("fix_2"));
    }

    #[test]
    fn a_debt_is_counted_from_the_value_that_a_human_last_set() {
        let moved = |fix: &str, old: &str, new: &str, outcome: Outcome| Attempt {
            edits: vec![Edited { path: "/a".into(), at: "x".into(), old: old.into(), new: new.into() }],
            ..attempt(fix, 100, 200, outcome)
        };
        let check = |fixes: &[(&str, &str, Outcome)], now: &str, human: Option<&str>| {
            let fixes = fixes.iter().map(|(old, new, outcome)| moved("f", old, new, *outcome)).collect();
            let attempts = Attempts { fixes, ..Attempts::default() };
            let shown = attempts.human_value(Path::new("/a"), "x", now);
            assert_eq!(shown.as_deref(), human, "{:?}", attempts.fixes);
            assert_eq!(attempts.human_value(Path::new("/a"), "y", now), None);
        };
        use Outcome::{Healed, RolledBack, Unproven};
        check(&[], "0.8", None);
        check(&[("0.8", "1.2", Healed)], "1.2", Some("0.8"));
        check(&[("0.8", "1.2", Healed), ("1.2", "1.8", Unproven)], "1.8", Some("0.8"));
        check(&[("0.8", "1.2", RolledBack)], "0.8", None);
        check(&[("0.8", "1.2", Healed), ("1.2", "1.8", RolledBack)], "1.2", Some("0.8"));
        // A human has set it since, or in between.
        check(&[("0.8", "1.2", Healed)], "3.0", None);
        check(&[("0.8", "1.2", Healed), ("2.0", "3.0", Healed)], "3.0", Some("2.0"));
        // Back at the human's value by fixes alone.
        check(&[("0.8", "1.2", Healed), ("1.2", "0.8", Healed)], "0.8", None);
    }

    #[test]
    fn ours_is_only_what_was_left_last() {
        let file = |sha: &str| vec![FileHash { path: "/a".into(), sha256: sha.into() }];
        let mut attempts = Attempts::default();
        let check = |attempts: &Attempts, ours: &str| {
            for sha in ["old", "of fix_1"] {
                assert_eq!(attempts.is_ours(Path::new("/a"), sha), sha == ours, "{sha}");
            }
        };
        check(&attempts, "");
        attempts.take(charge(100, "fix_1"));
        // Who puts the old content back by hand is a human.
        check(&attempts, "of fix_1");
        attempts.take(Line::End {
            at: at(200),
            fix: "fix_1".into(),
            outcome: Outcome::RolledBack,
            interrupted: false,
            files: file("old"),
        });
        check(&attempts, "old");
        attempts.take(Line::Rollback {
            at: at(300),
            fix: "fix_1".into(),
            outcome: Outcome::RolledBackByOperator,
            files: file("of fix_1"),
        });
        check(&attempts, "of fix_1");
        assert_eq!(attempts.outcome_of("fix_1"), Some(Outcome::RolledBackByOperator));
    }
}
