//! `healer rollback`: put back what a backup holds; asks the running pass when it is validating that very fix.

use crate::attempts;
use crate::backup::{self, Metadata, NoSuchBackup};
use crate::cli::Global;
use crate::commands::backups::differences;
use crate::commands::{Conflict, confirmed, open_fix};
use crate::config::Engine;
use crate::fix::act::Means;
use crate::host::lock::{self, Lock};
use crate::host::{clock, files};
use crate::model::{Act, Outcome};
use crate::show::{Output, json};
use crate::state::StateDir;
use crate::transaction::journal;
use crate::transaction::{self, Ended};
use anyhow::{Context, Result, anyhow, bail};
use std::time::Duration;

pub fn run(engine: &Engine, id: &str, dry_run: bool, force: bool, global: &Global, out: &Output) -> Result<u8> {
    let dir = StateDir::of(engine);
    let metadata = find(&dir, id, force)?;
    let id = metadata.backup_id.clone();
    let diffs = differences(&dir, &metadata, out)?;
    for (_, diff) in diffs.iter().filter(|(_, d)| !d.is_empty()) {
        out.text(diff);
    }
    let steps = steps_owed(engine, &dir, &metadata, force)?;
    for step in metadata.steps.iter().filter(|step| step.inverse().is_none()) {
        out.prose(&format!("not put back: {}", step.words()), 2);
    }
    steps.iter().for_each(|step| out.text(&step.words()));
    let restart_owed = restart_owed(&dir, &metadata)?;
    if diffs.iter().all(|(_, d)| d.is_empty()) && steps.is_empty() && !restart_owed {
        out.prose(&format!("everything is already as in {id}: nothing to do"), 2);
        out.document(|| serde_json::json!({ "status": "success", "message": format!("Already as in backup {id}") }));
        return Ok(0);
    }
    if restart_owed {
        metadata.restarts.iter().for_each(|r| out.text(&format!("restart {r}: it failed when {id} was put back")));
    }
    if dry_run {
        out.prose(&format!("dry run: {id} would be put back"), 2);
        out.document(|| json::success(serde_json::json!({ "backup_id": id, "dry_run": true })));
        return Ok(10);
    }
    if !confirmed(&format!("Roll back to {id}?"), global, out) {
        out.note("nothing was done");
        return Ok(0);
    }
    dir.prepare()?;
    let (_lock, asked) = take_lock(&dir, &metadata, out)?;
    match asked.then(|| outcome_of(&dir, &metadata)).transpose()?.flatten() {
        Some(Outcome::RolledBackByOperator) => {}
        Some(outcome @ (Outcome::RollbackFailed | Outcome::Conflict)) => bail!(Conflict(format!(
            "the pass that watched this fix ended it as {}: `healer diagnose` and its own output say why",
            outcome.word()
        ))),
        // It was asked too late, or was killed.
        _ => roll_back(engine, &dir, &metadata, force, out)?,
    }
    let until = format!("its rule is held for this target until `healer reset '{}'`", metadata.target);
    out.prose(&format!("rolled back to {id}; {until}"), 2);
    out.document(|| {
        serde_json::json!({ "status": "success", "message": format!("Rolled back to backup {id}"), "backup_id": id })
    });
    Ok(0)
}

fn outcome_of(dir: &StateDir, metadata: &Metadata) -> Result<Option<Outcome>> {
    Ok(attempts::read(&dir.attempts())?.outcome_of(&metadata.fix_id))
}

/// Whether the files are back and a service could not be restarted then.
fn restart_owed(dir: &StateDir, metadata: &Metadata) -> Result<bool> {
    Ok(!metadata.restarts.is_empty() && outcome_of(dir, metadata)? == Some(Outcome::RollbackFailed))
}

/// What is left to put back beside the files and restarts.
fn steps_owed(engine: &Engine, dir: &StateDir, metadata: &Metadata, force: bool) -> Result<Vec<Act>> {
    if metadata.steps.is_empty() {
        return Ok(Vec::new());
    }
    let docker = open_fix::docker(engine);
    let means = Means { engine, docker: docker.as_ref() };
    transaction::to_put_back(&metadata.steps, outcome_of(dir, metadata)?, force, means)?.map_err(|what| {
        let id = &metadata.backup_id;
        anyhow!(Conflict(format!(
            "changed since this fix, and not by it: {what}: nothing was rolled back; `healer rollback {id} --force` sets \
             it all the same"
        )))
    })
}

/// The backup that was meant. `latest` is the one of the newest fix still in place; where none is, with `force` that of the
/// newest one that was kept and edited since.
pub(super) fn find(dir: &StateDir, id: &str, force: bool) -> Result<Metadata> {
    if id != backup::LATEST {
        return backup::load(&dir.backups(), id);
    }
    let all: Vec<Metadata> = backup::list(&dir.backups())?.into_iter().filter_map(|l| l.metadata.ok()).collect();
    let mut fixes = all.iter().filter(|m| ![backup::ROLLBACK, backup::CONFLICT].contains(&m.reason.as_str()));
    if let Some(standing) = fixes.clone().find(|m| in_place(dir, m)) {
        return Ok(standing.clone());
    }
    // One that was kept and stands no more was edited by somebody else.
    let kept = |m: &&Metadata| matches!(outcome_of(dir, m), Ok(Some(Outcome::Healed | Outcome::Unproven)));
    match fixes.find(kept) {
        None => bail!(NoSuchBackup::latest()),
        Some(metadata) if force => Ok(metadata.clone()),
        Some(Metadata { backup_id: id, .. }) => bail!(Conflict(format!(
            "what the newest fix wrote was changed since, and not by healer: `healer rollback -n {id}` shows the \
             difference, `healer rollback {id} --force` puts back what was before the fix all the same"
        ))),
    }
}

/// Of a fix that changed no file, how it has ended says so.
fn in_place(dir: &StateDir, metadata: &Metadata) -> bool {
    let kept = || match outcome_of(dir, metadata) {
        Ok(Some(outcome)) => matches!(outcome, Outcome::Healed | Outcome::Unproven),
        _ => true,
    };
    if metadata.files.is_empty() && (metadata.steps.is_empty() || !kept()) {
        return false;
    }
    metadata.files.iter().all(|f| files::snapshot(&f.path).is_ok_and(|s| s.sha256 == f.replaced_by))
}

/// A pass that makes no fix is over by then.
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Takes the lock, waiting for a pass that only looks. When one holds it that is validating this very fix, asks it to undo
/// the fix and waits for its end; the second value then says so.
fn take_lock(dir: &StateDir, metadata: &Metadata, out: &Output) -> Result<(Lock, bool)> {
    let until = clock::since_boot() + PATIENCE;
    let mut waits = false;
    let holder = loop {
        let holder = match lock::try_lock(&dir.lock())? {
            Ok(lock) => return Ok((lock, false)),
            Err(holder) => holder,
        };
        match journal::open(&dir.journal())? {
            Some(open) if open.intent.backup_id.as_ref() == Some(&metadata.backup_id) => break holder,
            None if clock::since_boot() < until => {}
            _ => bail!(crate::pass::Busy(holder)),
        }
        if !waits {
            out.note(&format!("{holder} is at work: waiting for its end"));
        }
        waits = true;
        std::thread::sleep(BETWEEN_TRIES);
    };
    out.note(&format!("{holder} is watching this fix: asking it to undo it"));
    files::write_atomic(&dir.rollback_request(), metadata.backup_id.as_bytes(), 0o640)?;
    let lock = lock::wait_for_lock(&dir.lock())?;
    forget_request(dir)?;
    Ok((lock, true))
}

fn forget_request(dir: &StateDir) -> Result<()> {
    match std::fs::remove_file(dir.rollback_request()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context("cannot remove the request to roll back"),
        _ => Ok(()),
    }
}

/// Ends what an earlier pass left open, which may be this very fix, then rolls back.
fn roll_back(engine: &Engine, dir: &StateDir, metadata: &Metadata, force: bool, out: &Output) -> Result<()> {
    if let Some(Ended::StillOpen(open)) = open_fix::end(engine, dir, out)? {
        bail!(Conflict(format!("{} is still open: {}; nothing was rolled back", open.fix_id, open.why)));
    }
    let back = metadata.files.iter().all(|f| files::snapshot(&f.path).is_ok_and(|s| s.sha256 == f.sha256));
    if back && steps_owed(engine, dir, metadata, force)?.is_empty() && !restart_owed(dir, metadata)? {
        return Ok(());
    }
    match open_fix::on_ground(engine, dir, out, |ground| transaction::roll_back(metadata, force, ground))? {
        Ended::Closed(ending) if ending.outcome == Outcome::RolledBackByOperator => Ok(()),
        Ended::Closed(ending) => bail!(Conflict(ending.why)),
        Ended::StillOpen(open) => bail!(Conflict(open.why)),
        Ended::Interrupted(_) => Ok(()),
    }
}
