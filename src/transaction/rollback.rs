//! An operator's rollback: a transaction of its own that is finished forward, never undone.

use crate::attempts;
use crate::backup::{self, Metadata, Purpose, ToSave};
use crate::fix::act::Means;
use crate::host::clock;
use crate::host::files;
use crate::model::{ErrorsAllowed, Outcome, Plan, Step, ValidationSpec, Watched};
use crate::transaction::journal::{self, FileChange, Intent, Journal, Kind};
use crate::transaction::steps::{self, Undone};
use crate::transaction::{Ended, Ground, acts, close};
use anyhow::{Context, Result, bail};

/// A file was changed since the fix, and not by it: nothing was rolled back.
#[derive(Debug)]
pub struct ChangedSince(String);

impl std::fmt::Display for ChangedSince {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ChangedSince {}

/// Puts back every file of a backup and every step that has an undo, after saving what is there now, and restarts what
/// its fix restarted. With `force` also over what somebody else has changed since.
///
/// # Errors
/// [`ChangedSince`]; or when it could not begin: nothing was changed then.
pub fn roll_back(metadata: &Metadata, force: bool, ground: &mut Ground) -> Result<Ended> {
    let (changes, saved) = changes(metadata, force)?;
    let now = clock::moment();
    let plan = plan_of(metadata, force, ground)?;
    let fix_id = format!("rollback_{}", now.t.strftime("%Y%m%d_%H%M%S"));
    let purpose = Purpose { reason: backup::ROLLBACK, fix_id: &fix_id, plan: &plan, confidence: None };
    let own = if saved.is_empty() && !plan.is_undoable() {
        None
    } else {
        let own = backup::create(&ground.dir.backups(), &purpose, &saved, now.t)?;
        ground.tell.line(&format!("backup    {} (of what is rolled back)", own.backup_id));
        Some(own.backup_id)
    };
    let intent = Intent {
        v: 1,
        kind: Kind::Rollback,
        fix_id,
        started: now,
        plan,
        backup_id: own,
        restores: Some(metadata.backup_id.clone()),
        files: changes,
        restarts: steps::runs(&metadata.restarts, ground),
        before: Default::default(),
        reason: metadata.fix_id.clone(),
        onset: Default::default(),
    };
    let mut journal = journal::begin(&ground.dir.journal(), &intent)?;
    Ok(super::or_still_open(&intent.clone(), true, carry_on(intent, &mut journal, ground)))
}

/// Goes on with a rollback, from wherever it is.
///
/// # Errors
/// When a file or the record cannot be written: the journal stays open.
pub fn carry_on(intent: Intent, journal: &mut Journal, ground: &mut Ground) -> Result<Ended> {
    let (outcome, why) = match steps::put_back(&intent, journal, ground)? {
        Undone::Done => (Outcome::RolledBackByOperator, "an operator asked for it".to_owned()),
        Undone::Conflict(path) => {
            let why = format!("{path} was changed by somebody else during the rollback: theirs stays");
            (Outcome::Conflict, why)
        }
        Undone::NotRestarted(error) => {
            let id = intent.restores.as_deref().unwrap_or(backup::LATEST);
            let why = format!(
                "the files are back, but a restart failed: {error:#}; mend that, then `healer rollback {id}` repeats it"
            );
            (Outcome::RollbackFailed, why)
        }
        Undone::Refused(error) => {
            let id = intent.restores.as_deref().unwrap_or(backup::LATEST);
            let why =
                format!("not everything could be put back: {error}; mend that, then `healer rollback {id}` repeats it");
            (Outcome::RollbackFailed, why)
        }
    };
    close(outcome, why, None, intent, journal, ground)
}

/// From what is there now to what was saved. A file that is neither was changed by somebody else: refused without force.
fn changes(metadata: &Metadata, force: bool) -> Result<(Vec<FileChange>, Vec<ToSave>)> {
    let mut changes = Vec::new();
    let mut saved = Vec::new();
    for file in &metadata.files {
        let live =
            files::snapshot(&file.path).with_context(|| format!("{} cannot be rolled back", file.path.display()))?;
        if live.sha256 == file.sha256 {
            continue;
        }
        if live.sha256 != file.replaced_by && !force {
            bail!(ChangedSince(format!(
                "{} was changed since this fix, and not by it: nothing was rolled back; look at \
                 `healer backups show {}`, and use --force to put the backup over it",
                file.path.display(),
                metadata.backup_id
            )));
        }
        changes.push(FileChange { path: file.path.clone(), before: live.sha256, after: file.sha256.clone() });
        saved.push(ToSave { path: file.path.clone(), bytes: live.bytes, replaced_by: file.sha256.clone() });
    }
    Ok((changes, saved))
}

/// A stand-in that carries the names of the fix that is rolled back.
fn plan_of(metadata: &Metadata, force: bool, ground: &Ground) -> Result<Plan> {
    let attempts = attempts::read(&ground.dir.attempts())?;
    let ended = attempts.outcome_of(&metadata.fix_id);
    let means = Means { engine: ground.engine, docker: ground.docker };
    let acts = match acts::to_put_back(&metadata.steps, ended, force, means)? {
        Ok(acts) => acts,
        Err(what) => bail!(ChangedSince(format!(
            "changed since this fix, and not by it: {what}: nothing was rolled back; --force sets it all the same"
        ))),
    };
    let restarts = metadata.restarts.iter().cloned().map(Step::Restart);
    let attempt = attempts.fixes.iter().rev().find(|a| a.fix == metadata.fix_id);
    Ok(Plan {
        id: String::new(),
        rule: metadata.rule.clone(),
        issue_type: metadata.reason.clone(),
        fix_type: metadata.fix_type.clone(),
        target: metadata.target.clone(),
        rung: 0,
        cause: "an operator asked for it".to_owned(),
        component: attempt.map_or_else(|| metadata.component.clone(), |a| a.component.clone()),
        original_confidence: 0.0,
        confidence: 0,
        steps: acts.into_iter().map(Step::Act).chain(restarts).collect(),
        validation: ValidationSpec {
            settle_seconds: 0.0,
            window_seconds: 0.0,
            max_window_seconds: 0.0,
            errors_allowed: ErrorsAllowed::AtMost(0),
            checks: Vec::new(),
            watched: Watched::Check { name: String::new() },
        },
        error_count_before: 0,
        notes: Vec::new(),
    })
}
