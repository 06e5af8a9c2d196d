//! Doing and undoing: files by exchange, restarts through the engine that owns them.

use crate::backup::{self, Metadata};
use crate::config::{Format, Selector};
use crate::fix::{edit, restart};
use crate::host::clock;
use crate::host::files::{self, FileError, Replaced};
use crate::model::{EditStep, Outcome};
use crate::transaction::Ground;
use crate::transaction::journal::{FileChange, Intent, Journal, Phase};
use crate::transaction::phase::{self, Live, Next};
use anyhow::{Context, Result, anyhow, bail};
use std::path::Path;

/// How an undoing ended when no file operation failed.
pub enum Undone {
    Done,
    /// This file holds neither our content nor the old one.
    Conflict(String),
    /// Every file is back; a service could not be restarted.
    NotRestarted(anyhow::Error),
}

/// Brings every file to its new content and restarts what has to be. On any failure, says what to do next.
pub fn apply(intent: &Intent, journal: &Journal, ground: &mut Ground) -> std::result::Result<(), Next> {
    let undo = |error: anyhow::Error| Next::Undo {
        outcome: if intent.files.is_empty() { Outcome::Failed } else { Outcome::RolledBack },
        why: format!("it could not be applied: {error:#}"),
    };
    for change in &intent.files {
        let edits: Vec<&EditStep> = intent.plan.edits().filter(|e| e.path == change.path).collect();
        match edit_file(change, &edits, &intent.fix_id) {
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
    journal.reached(&Phase::Edited { t: clock::now() }).map_err(undo)?;
    restarts(intent, journal, ground).map_err(undo)
}

fn edit_file(change: &FileChange, edits: &[&EditStep], tag: &str) -> Result<Replaced> {
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
    Ok(files::replace(&change.path, &change.before, &bytes, tag)?)
}

fn restarts(intent: &Intent, journal: &Journal, ground: &mut Ground) -> Result<()> {
    if intent.restarts.is_empty() {
        return Ok(());
    }
    journal.reached(&Phase::Restarting { t: clock::now() })?;
    for target in &intent.restarts {
        ground.tell.line(&format!("restart   {target}"));
        restart::restart(target, ground.docker)?;
        ground.tell.event("restarted", serde_json::json!({ "fix_id": intent.fix_id, "target": target.to_string() }));
    }
    journal.reached(&Phase::Restarted { t: clock::now() })
}

/// What the file of a change holds now.
pub fn live(change: &FileChange) -> Result<Live> {
    match files::snapshot(&change.path) {
        Ok(now) => Ok(phase::live(change, Some(&now.sha256))),
        Err(FileError::Absent(_) | FileError::Refused { .. }) => Ok(Live::Foreign),
        Err(error) => Err(error.into()),
    }
}

/// Brings every file back, in reverse order, then repeats the restarts. A file that somebody else has changed stays as
/// it is; the others are brought back all the same.
///
/// # Errors
/// When a file cannot be read or written: nothing is lost, the undoing can be tried again.
pub fn undo(intent: &Intent, journal: &Journal, ground: &mut Ground) -> Result<Undone> {
    let mut conflict = None;
    let mut changed = intent.files.is_empty();
    for change in intent.files.iter().rev() {
        files::remove_temporary(&change.path, &intent.fix_id)?;
        match live(change)? {
            Live::Before => {}
            Live::Foreign => conflict = Some(change.path.display().to_string()),
            Live::After => {
                let old = saved(ground.dir.backups().as_path(), intent.backup_id.as_deref(), &change.path)?;
                match files::replace(&change.path, &change.after, &old, &intent.fix_id)? {
                    Replaced::Done => {
                        changed = true;
                        ground.tell.line(&format!("restore   {}", change.path.display()));
                    }
                    Replaced::Conflict => conflict = Some(change.path.display().to_string()),
                }
            }
        }
    }
    if let Some(path) = conflict {
        return Ok(Undone::Conflict(path));
    }
    // A fix that only restarts has nothing to undo: repeating its restart would be a second try, not a way back.
    if !intent.files.is_empty() && (changed || restart_may_have_happened(intent, ground)?) {
        for target in &intent.restarts {
            ground.tell.line(&format!("restart   {target}"));
            if let Err(error) = restart::restart(target, ground.docker) {
                return Ok(Undone::NotRestarted(error));
            }
        }
    }
    journal.reached(&Phase::Undone { t: clock::now() })?;
    Ok(Undone::Done)
}

/// Whether the service may already run with the new content although the file is old again.
fn restart_may_have_happened(intent: &Intent, ground: &Ground) -> Result<bool> {
    let open = super::journal::open(&ground.dir.journal())?;
    Ok(open.is_some_and(|o| {
        o.intent.fix_id == intent.fix_id && o.phases.iter().any(|p| matches!(p, Phase::Restarting { .. }))
    }))
}

fn saved(backups: &Path, backup_id: Option<&str>, path: &Path) -> Result<Vec<u8>> {
    let id = backup_id.ok_or_else(|| anyhow!("the journal names no backup for {}", path.display()))?;
    let metadata = backup::load(backups, id)?;
    let file = metadata
        .files
        .iter()
        .find(|f| f.path == path)
        .ok_or_else(|| anyhow!("{id} does not hold {}", path.display()))?;
    backup::content(backups, &metadata, file)
}

/// Puts back what a backup holds, forward: an operator's rollback. A file that is already as wanted stays untouched.
///
/// # Errors
/// When something cannot be written or restarted; the journal stays open and the next pass goes on.
pub fn roll_back(intent: &Intent, restores: &Metadata, journal: &Journal, ground: &mut Ground) -> Result<Replaced> {
    for change in intent.files.iter().rev() {
        files::remove_temporary(&change.path, &intent.fix_id)?;
        match live(change)? {
            Live::After => {}
            Live::Foreign => return Ok(Replaced::Conflict),
            Live::Before => {
                let backups = ground.dir.backups();
                let old = saved(&backups, Some(&restores.backup_id), &change.path)?;
                if files::replace(&change.path, &change.before, &old, &intent.fix_id)? == Replaced::Conflict {
                    return Ok(Replaced::Conflict);
                }
                ground.tell.line(&format!("restore   {}", change.path.display()));
            }
        }
    }
    journal.reached(&Phase::Edited { t: clock::now() })?;
    restarts(intent, journal, ground).context("the files are back, but a restart failed")?;
    if intent.restarts.is_empty() {
        journal.reached(&Phase::Restarted { t: clock::now() })?;
    }
    Ok(Replaced::Done)
}
