//! Doing and undoing: files by exchange, then the other steps, then restarts through the engine that owns them.

use crate::backup::{self, Purpose, ToSave};
use crate::config::{Format, Selector};
use crate::fix::{edit, restart};
use crate::host::clock;
use crate::host::files::{self, FileError};
use crate::host::replace::{self, Replaced};
use crate::model::{EditStep, Outcome, RestartTarget};
use crate::transaction::journal::{FileChange, Intent, Journal, Phase, Run};
use crate::transaction::phase::{self, Live, Next};
use crate::transaction::{Ground, acts};
use anyhow::{Result, anyhow, bail};
use std::path::Path;

/// How an undoing ended when no file operation failed.
pub enum Undone {
    Done,
    /// This file holds neither our content nor the old one; or what another step changes has neither value.
    Conflict(String),
    /// Every file is back; a service could not be restarted.
    NotRestarted(anyhow::Error),
    /// The rest is back; this could not be.
    Refused(String),
}

/// Brings every file to its new content and restarts what has to be. On any failure, says what to do next.
pub fn apply(intent: &Intent, journal: &mut Journal, ground: &mut Ground) -> std::result::Result<(), Next> {
    let undo = |error: anyhow::Error| Next::Undo {
        outcome: Outcome::RolledBack,
        why: format!("it could not be applied: {error:#}"),
    };
    for change in &intent.files {
        let edits: Vec<&EditStep> = intent.plan.edits().filter(|e| e.path == change.path).collect();
        match edit_file(change, &edits, intent, ground) {
            Ok(Replaced::Done) => {}
            Ok(Replaced::Conflict) => {
                return Err(Next::Undo {
                    outcome: Outcome::Conflict,
                    why: format!("{} was changed by somebody else meanwhile: theirs stays", change.path.display()),
                });
            }
            Err(error) => return Err(undo(error)),
        }
        for edit in edits {
            ground.tell.line(&format!("edit      {}:{} {} -> {}", edit.path.display(), edit.line, edit.old, edit.new));
            ground.tell.event("edited", serde_json::json!({ "fix_id": intent.fix_id, "edit": edit }));
        }
    }
    // Without files nothing was changed yet, and other steps say by themselves when they begin.
    if !intent.files.is_empty() || intent.plan.acts().next().is_none() {
        journal.reached(Phase::Edited { t: clock::now() }).map_err(undo)?;
    }
    acts::apply(intent, journal, ground)?;
    let all: Vec<RestartTarget> = intent.restarts.iter().map(|r| r.target.clone()).collect();
    restart(&all, journal, ground).map_err(undo)?;
    if !all.is_empty() {
        journal.reached(Phase::Restarted { t: clock::now() }).map_err(undo)?;
    }
    Ok(())
}

fn edit_file(change: &FileChange, edits: &[&EditStep], intent: &Intent, ground: &mut Ground) -> Result<Replaced> {
    let now = files::snapshot(&change.path)?;
    if now.sha256 != change.before {
        return Ok(Replaced::Conflict);
    }
    let format = Format::of(&change.path).ok_or_else(|| anyhow!("{}: unknown format", change.path.display()))?;
    let mut bytes = now.bytes;
    for edit in edits {
        let selector = Selector::parse(&edit.at, format).map_err(|e| anyhow!("`{}`: {e}", edit.at))?;
        bytes = edit::apply(&bytes, format, &selector, &edit.new)
            .map_err(|e| anyhow!("{} at `{}`: {e}", change.path.display(), edit.at))?;
    }
    if files::sha256(&bytes) != change.after {
        bail!("{}: the edit gives another result than the plan showed", change.path.display());
    }
    replace(change, &change.before, &bytes, intent, ground)
}

/// Replaces a file of a transaction; a version that loses its place to somebody else's edit becomes a backup.
fn replace(change: &FileChange, expected: &str, new: &[u8], intent: &Intent, ground: &mut Ground) -> Result<Replaced> {
    let path = &change.path;
    replace::replace(path, expected, new, &intent.fix_id, &mut |bytes| keep(path, bytes, intent, ground))
}

/// Clears up beside every file what a killed pass left there.
///
/// # Errors
/// When that failed: it can be tried again.
pub fn settle(intent: &Intent, ground: &mut Ground) -> Result<()> {
    for FileChange { path, before, after } in &intent.files {
        let mut keep = |bytes: &[u8]| keep(path, bytes, intent, ground);
        match replace::settle(path, before, after, &intent.fix_id, &mut keep) {
            // Its directory is gone: so is whatever was beside it.
            Err(error) if matches!(error.downcast_ref(), Some(FileError::Absent(_))) => {}
            other => other?,
        }
    }
    Ok(())
}

fn keep(path: &Path, bytes: &[u8], intent: &Intent, ground: &mut Ground) -> Result<()> {
    let purpose = Purpose { reason: backup::CONFLICT, fix_id: &intent.fix_id, plan: &intent.plan, confidence: None };
    let saved = [ToSave { path: path.to_owned(), bytes: bytes.to_vec(), replaced_by: String::new() }];
    let made = backup::create(&ground.dir.backups(), &purpose, &saved, clock::now())?;
    ground.tell.line(&format!("kept      the other version of {} as {}", path.display(), made.backup_id));
    ground.tell.event("kept", serde_json::json!({ "fix_id": intent.fix_id, "backup_id": made.backup_id }));
    Ok(())
}

/// Restarts these, one after the other; their runs are written down before the first.
fn restart(targets: &[RestartTarget], journal: &mut Journal, ground: &mut Ground) -> Result<()> {
    if targets.is_empty() {
        return Ok(());
    }
    journal.reached(Phase::Restarting { t: clock::now(), runs: runs(targets, ground) })?;
    for target in targets {
        ground.tell.line(&format!("{:<9} {target}", target.verb()));
        restart::restart(target, ground.docker)?;
        ground.tell.event("restarted", serde_json::json!({ "target": target.to_string() }));
    }
    Ok(())
}

/// The present run of each service.
pub fn runs(targets: &[RestartTarget], ground: &Ground) -> Vec<Run> {
    targets.iter().map(|target| Run { target: target.clone(), run: run_now(target, ground) }).collect()
}

fn run_now(target: &RestartTarget, ground: &Ground) -> Option<String> {
    restart::look(target, ground.docker).ok().and_then(|service| service.run)
}

/// What the file of a change holds now.
pub fn live(change: &FileChange) -> Result<Live> {
    match files::snapshot(&change.path) {
        Ok(now) => Ok(phase::live(change, Some(&now.sha256))),
        Err(FileError::Absent(_) | FileError::Refused { .. }) => Ok(Live::Foreign),
        Err(error) => Err(error.into()),
    }
}

/// Brings everything back, in reverse order, then restarts what has been started with the new content. What somebody
/// else has changed stays as it is; the rest is brought back all the same.
///
/// # Errors
/// When a file cannot be read or written: nothing is lost, the undoing can be tried again.
pub fn undo(intent: &Intent, journal: &mut Journal, ground: &mut Ground) -> Result<Undone> {
    settle(intent, ground)?;
    let acts::Undone { mut conflict, refused } = acts::undo(intent, journal, ground)?;
    for change in intent.files.iter().rev() {
        match live(change)? {
            Live::Before => {}
            Live::Foreign => conflict = Some(change.path.display().to_string()),
            Live::After => {
                let old = saved(ground, intent.backup_id.as_deref(), &change.path)?;
                match replace(change, &change.after, &old, intent, ground)? {
                    Replaced::Done => ground.tell.line(&format!("restore   {}", change.path.display())),
                    Replaced::Conflict => conflict = Some(change.path.display().to_string()),
                }
            }
        }
    }
    if let Some(path) = conflict {
        return Ok(Undone::Conflict(path));
    }
    let owed = owed_by_undo(intent, journal, ground);
    if let Err(error) = restart(&owed, journal, ground) {
        return Ok(Undone::NotRestarted(error));
    }
    if let Some(why) = refused {
        return Ok(Undone::Refused(why));
    }
    journal.reached(Phase::Undone { t: clock::now() })?;
    Ok(Undone::Done)
}

/// The services that may run with the new content: those in another run than before the fix, looked up. Of these, not
/// those that this very undoing has restarted already. A fix that only restarts has nothing to undo: repeating its
/// restart would be a second try, not a way back.
fn owed_by_undo(intent: &Intent, journal: &Journal, ground: &Ground) -> Vec<RestartTarget> {
    if !intent.plan.restarts_read_it() {
        return Vec::new();
    }
    // The first: a pass that goes on with an undoing begins it once more.
    let undoing = journal.phases().iter().position(|p| matches!(p, Phase::Undoing { .. }));
    let since = undoing.and_then(|n| journal.phases().get(n..)).unwrap_or_default();
    let again = last_restarting(since);
    let owed = |before: &&Run| {
        let now = run_now(&before.target, ground);
        let this_time = again.and_then(|runs| runs.iter().find(|r| r.target == before.target));
        now.is_none() || this_time.map_or(now != before.run, |r| now == r.run)
    };
    intent.restarts.iter().filter(owed).map(|r| r.target.clone()).collect()
}

fn last_restarting(phases: &[Phase]) -> Option<&[Run]> {
    phases.iter().rev().find_map(|p| match p {
        Phase::Restarting { runs, .. } => Some(runs.as_slice()),
        _ => None,
    })
}

/// Puts back what a backup holds, forward: an operator's rollback. A file that is already as wanted stays untouched.
///
/// # Errors
/// When a file cannot be written; the journal stays open and the next pass goes on.
pub fn put_back(intent: &Intent, journal: &mut Journal, ground: &mut Ground) -> Result<Undone> {
    settle(intent, ground)?;
    let acts::Undone { conflict, refused } = acts::put_back(intent, journal, ground)?;
    if let Some(what) = conflict {
        return Ok(Undone::Conflict(what));
    }
    for change in intent.files.iter().rev() {
        let replaced = match live(change)? {
            Live::After => continue,
            Live::Foreign => Replaced::Conflict,
            Live::Before => {
                let old = saved(ground, intent.restores.as_deref(), &change.path)?;
                replace(change, &change.before, &old, intent, ground)?
            }
        };
        if replaced == Replaced::Conflict {
            return Ok(Undone::Conflict(change.path.display().to_string()));
        }
        ground.tell.line(&format!("restore   {}", change.path.display()));
    }
    let begun = last_restarting(journal.phases()).map(<[Run]>::to_vec);
    if begun.is_none() {
        journal.reached(Phase::Edited { t: clock::now() })?;
    }
    let done = |target: &RestartTarget| {
        let now = run_now(target, ground);
        let was = begun.as_ref().and_then(|runs| runs.iter().find(|r| r.target == *target));
        was.is_some_and(|was| now.is_some() && now != was.run)
    };
    let owed: Vec<RestartTarget> =
        intent.restarts.iter().map(|r| r.target.clone()).filter(|target| !done(target)).collect();
    if let Err(error) = restart(&owed, journal, ground) {
        return Ok(Undone::NotRestarted(error));
    }
    if let Some(why) = refused {
        return Ok(Undone::Refused(why));
    }
    journal.reached(Phase::Restarted { t: clock::now() })?;
    Ok(Undone::Done)
}

fn saved(ground: &Ground, backup_id: Option<&str>, path: &Path) -> Result<Vec<u8>> {
    let id = backup_id.ok_or_else(|| anyhow!("the journal names no backup for {}", path.display()))?;
    let backups = ground.dir.backups();
    let metadata = backup::load(&backups, id)?;
    let file = metadata
        .files
        .iter()
        .find(|f| f.path == path)
        .ok_or_else(|| anyhow!("{id} does not hold {}", path.display()))?;
    backup::content(&backups, &metadata, file)
}
