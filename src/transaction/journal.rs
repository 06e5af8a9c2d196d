//! The journal of the one open transaction: `journal/FIX_ID.jsonl` in the state directory.
//!
//! The first line is the intent, everything needed to finish or undo without the configuration; each further line is a
//! phase that was reached. A line is synced before the effect that follows it. The file is gone when nothing is open.

use crate::host::files;
use crate::model::{FileHash, Moment, Onset, Outcome, Plan, RestartTarget, Status, Verdict};
use crate::validate::elsewhere::Restarts;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What kind of change is journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Fix,
    /// An operator's rollback: finished forward, never undone.
    Rollback,
}

/// One file that changes: from `before` to `after`, both SHA-256 in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    pub path: PathBuf,
    pub before: String,
    pub after: String,
}

/// A service and the run it was in; `None` where that could not be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub target: RestartTarget,
    pub run: Option<String>,
}

/// Everything needed to finish or undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    pub v: u32,
    pub kind: Kind,
    pub fix_id: String,
    pub started: Moment,
    pub plan: Plan,
    /// The backup that holds `before` of every file; `None` when no file changes.
    pub backup_id: Option<String>,
    /// For a rollback: the backup whose contents are put back.
    pub restores: Option<String>,
    pub files: Vec<FileChange>,
    /// What is restarted, with the run that each was in before the first step.
    pub restarts: Vec<Run>,
    /// Status of every check and container before the first step.
    pub before: BTreeMap<String, Status>,
    /// Of a fix: its issue type. Of a rollback: the id of the fix that it undoes.
    pub reason: String,
    /// What was known of the trouble when the fix began.
    #[serde(default)]
    pub onset: Onset,
}

/// What was reached, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// Every file is as intended.
    Edited {
        t: Timestamp,
    },
    /// About to carry out the step at this place in the plan, neither an edit nor a restart: from here on it may have
    /// happened.
    Acting {
        t: Timestamp,
        step: usize,
    },
    Acted {
        t: Timestamp,
        step: usize,
    },
    /// That step was undone.
    Reverted {
        t: Timestamp,
        step: usize,
    },
    /// About to restart: from here on it may have happened, and has where a service is in another run than this.
    Restarting {
        t: Timestamp,
        runs: Vec<Run>,
    },
    Restarted {
        t: Timestamp,
    },
    /// Settled: the services of the fix, and how often every container was started again by its engine.
    Settled {
        t: Timestamp,
        runs: Vec<Run>,
        restarts: Restarts,
    },
    /// The validation window has begun.
    Validating {
        #[serde(flatten)]
        at: Moment,
    },
    /// Judged and kept.
    Kept {
        t: Timestamp,
        outcome: Outcome,
        verdict: Verdict,
    },
    /// To be undone; the outcome it will have when that succeeds.
    Undoing {
        t: Timestamp,
        outcome: Outcome,
        verdict: Option<Verdict>,
        why: String,
    },
    /// Every file is as it was before, and restarts were repeated.
    Undone {
        t: Timestamp,
    },
    /// The undoing failed, or somebody else changed a file: a human is needed.
    Stuck {
        t: Timestamp,
        outcome: Outcome,
        why: String,
    },
}

/// The open transaction, as it was left.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    pub intent: Intent,
    pub phases: Vec<Phase>,
}

impl Intent {
    /// What the transaction leaves in each file when it is carried out, or (`undone`) when it is not.
    pub fn leaves(&self, undone: bool) -> Vec<FileHash> {
        let content = |c: &FileChange| if undone { c.before.clone() } else { c.after.clone() };
        self.files.iter().map(|c| FileHash { path: c.path.clone(), sha256: content(c) }).collect()
    }
}

/// The journal of one transaction, and the phases that it has reached.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    phases: Vec<Phase>,
}

fn path_of(dir: &Path, fix_id: &str) -> PathBuf {
    dir.join(format!("{fix_id}.jsonl"))
}

/// Begins a transaction: the intent is on the disk when this returns.
///
/// # Errors
/// When it cannot be written and synced: nothing may be changed then.
pub fn begin(dir: &Path, intent: &Intent) -> Result<Journal> {
    let path = path_of(dir, &intent.fix_id);
    let line = serde_json::to_string(intent).context("cannot write the intent as JSON")? + "\n";
    files::write_atomic(&path, line.as_bytes(), 0o600).context("cannot write the journal: nothing was changed")?;
    Ok(Journal { path, phases: Vec::new() })
}

impl Journal {
    /// Goes on with a transaction that was left open.
    pub fn resume(dir: &Path, open: &Open) -> Journal {
        Journal { path: path_of(dir, &open.intent.fix_id), phases: open.phases.clone() }
    }

    /// What was read of it was in memory; whether it is on the disk only this says. Called before anything is done that
    /// only the journal can explain.
    ///
    /// # Errors
    /// When it cannot be synced.
    pub fn secure(&self) -> Result<()> {
        files::sync(&self.path).and_then(|()| files::sync_dir(&self.path)).context("cannot sync the journal")
    }

    /// Writes down that a phase was reached, synced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn reached(&mut self, phase: Phase) -> Result<()> {
        let line = serde_json::to_string(&phase).context("cannot write a phase as JSON")?;
        files::append_line(&self.path, &line, 0o600).context("cannot write the journal")?;
        self.phases.push(phase);
        Ok(())
    }

    /// Every phase so far, in order.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Ends the transaction. Where the removal could not be synced it may come back with a power cut: the record is
    /// there by then, so the next pass closes it again and does nothing else.
    ///
    /// # Errors
    /// When the file cannot be removed: it stays open, and the next pass closes it.
    pub fn close(&self) -> Result<()> {
        std::fs::remove_file(&self.path)
            .with_context(|| format!("cannot close the journal {}", self.path.display()))?;
        let _ = files::sync_dir(&self.path);
        Ok(())
    }
}

/// Removes what a pass left that was killed before its intent was whole.
///
/// # Errors
/// When it cannot be removed.
pub fn sweep(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().extension() == Some("new".as_ref()) {
            let path = entry.path();
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// The transaction that an earlier pass left open.
///
/// # Errors
/// When the journal cannot be read or its intent is damaged: nothing may be changed before a human has looked.
pub fn open(dir: &Path) -> Result<Option<Open>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", dir.display())),
    };
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", dir.display()))?.path();
        if path.extension() == Some("jsonl".as_ref()) {
            return read(&path).map(Some);
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Open> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = text.split('\n');
    let intent: Intent = serde_json::from_str(lines.next().unwrap_or_default()).with_context(|| {
        format!(
            "the journal {} is damaged; compare the files of the newest backup with the live ones, then remove it",
            path.display()
        )
    })?;
    // A torn last line is a phase whose effect has not begun.
    let phases = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok(Open { intent, phases })
}

impl Open {
    /// The last phase reached; `None` when only the intent is written. Restarts and single steps of an undoing are part
    /// of it: what is left of them is looked up.
    pub fn last(&self) -> Option<&Phase> {
        let undoing = || self.phases.iter().find(|p| matches!(p, Phase::Undoing { .. }));
        match self.phases.last() {
            Some(part @ (Phase::Restarting { .. } | Phase::Reverted { .. })) => undoing().or(Some(part)),
            last => last,
        }
    }

    /// When the validation window began.
    pub fn validating_since(&self) -> Option<&Moment> {
        self.phases.iter().find_map(|p| match p {
            Phase::Validating { at } => Some(at),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Act, Step};

    /// As the version before wrote it, which knew edits and restarts only.
    const OLD: &str = r#"{"v":1,"kind":"fix","fix_id":"fix_1","started":{"t":"2026-01-01T00:00:00Z","boot":"b","up":1.0},
        "plan":{"id":"plan_1","rule":"r","issue_type":"x","fix_type":"f","target":"/a#b","rung":0,"cause":"c",
        "component":"container:a","original_confidence":88.0,"confidence":88,"steps":[
        {"edit":{"path":"/a","at":"b","old":"1","new":"2","line":1,"before":"x","after":"y"}},
        {"restart":{"container":"a"}},{"restart":{"unit":"a.service"}}],
        "validation":{"settle_seconds":0.0,"window_seconds":1.0,"max_window_seconds":1.0,
        "errors_allowed":{"at_most":0},"checks":[],"watched":{"kind":"check","name":"a"}},
        "error_count_before":0,"notes":[]},"backup_id":"backup_20260101_000000","restores":null,
        "files":[{"path":"/a","before":"x","after":"y"}],"restarts":[{"target":{"container":"a"},"run":"1"}],
        "before":{},"reason":"x"}"#;

    #[test]
    fn an_open_fix_of_the_version_before_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let phase = r#"{"phase":"edited","t":"2026-01-01T00:00:01Z"}"#;
        let text = format!("{}\n{phase}\n", OLD.replace('\n', ""));
        std::fs::write(dir.path().join("fix_1.jsonl"), text).unwrap();
        let open = open(dir.path()).unwrap().unwrap();
        assert!(matches!(open.intent.plan.steps.as_slice(), [Step::Edit(_), Step::Restart(_), Step::Restart(_)]));
        assert!(matches!(open.last(), Some(Phase::Edited { .. })));
        assert!(open.intent.plan.is_undoable() && open.intent.plan.restarts_read_it());
    }

    #[test]
    fn every_step_is_read_back_as_it_was_written() {
        let redis = crate::model::RedisStep { check: "c".into(), key: "k".into(), old: "1".into(), new: "2".into() };
        let recreation = crate::model::Recreation {
            project: "p".into(),
            service: "s".into(),
            files: vec!["/f".into()],
            env_files: Vec::new(),
            directory: None,
            containers: vec!["c".into()],
        };
        for step in [
            Step::Restart(RestartTarget::Recreate(recreation)),
            Step::Restart(RestartTarget::Unit("u".into())),
            Step::Act(Act::Redis(redis)),
        ] {
            let text = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step, "{text}");
        }
    }

    #[test]
    fn single_steps_of_an_undoing_are_part_of_it() {
        let t = Timestamp::UNIX_EPOCH;
        let intent = serde_json::from_str(OLD).unwrap();
        let undoing = Phase::Undoing { t, outcome: Outcome::RolledBack, verdict: None, why: String::new() };
        let phases = vec![Phase::Acting { t, step: 0 }, undoing.clone(), Phase::Reverted { t, step: 0 }];
        assert_eq!(Open { intent, phases }.last(), Some(&undoing));
    }
}
