//! `healer rollback`: put back what a backup holds; asks the running pass when it is validating that very fix.

use crate::attempts;
use crate::backup::{self, Metadata, NoSuchBackup, Purpose, ToSave};
use crate::cli::Global;
use crate::commands::backups::differences;
use crate::commands::{Conflict, confirmed};
use crate::config::Engine;
use crate::host::clock;
use crate::host::docker::Docker;
use crate::host::files::{self, Replaced};
use crate::host::lock::{self, Lock};
use crate::host::signals::Interrupt;
use crate::logs::LogState;
use crate::model::{Outcome, Plan};
use crate::show::live::Live;
use crate::show::{Output, json};
use crate::state::{Memory, StateDir};
use crate::transaction::journal::{self, FileChange, Intent, Kind};
use crate::transaction::{self, Ended, Ground};
use anyhow::{Context, Result, anyhow, bail};

pub fn run(engine: &Engine, id: &str, dry_run: bool, force: bool, global: &Global, out: &Output) -> Result<u8> {
    let dir = StateDir::of(engine);
    let metadata = find(&dir, id)?;
    let id = metadata.backup_id.clone();
    let diffs = differences(&dir, &metadata, out)?;
    for (_, diff) in diffs.iter().filter(|(_, d)| !d.is_empty()) {
        out.text(diff);
    }
    if diffs.iter().all(|(_, d)| d.is_empty()) {
        out.text(&format!("every file is already as in {id}: nothing to do"));
        out.document(|| serde_json::json!({ "status": "success", "message": format!("Already as in backup {id}") }));
        return Ok(0);
    }
    if dry_run {
        out.text(&format!("dry run: {id} would be put back"));
        out.document(|| json::success(serde_json::json!({ "backup_id": id, "dry_run": true })));
        return Ok(10);
    }
    if !confirmed(&format!("Roll back to {id}?"), global, out) {
        out.note("nothing was done");
        return Ok(0);
    }
    dir.prepare()?;
    let (_lock, done) = take_lock(&dir, &metadata, out)?;
    if !done {
        let ended = roll_back(engine, &dir, &metadata, force, out)?;
        if let Some(Ended::Closed(ending)) = &ended
            && ending.outcome == Outcome::Conflict
        {
            bail!(Conflict(ending.why.clone()));
        }
    }
    out.text(&format!(
        "rolled back to {id}; its rule is held for this target until `healer reset '{}'`",
        metadata.target
    ));
    out.document(|| {
        serde_json::json!({ "status": "success", "message": format!("Rolled back to backup {id}"), "backup_id": id })
    });
    Ok(0)
}

/// The backup that was meant. `latest` is the one of the newest fix still in place.
fn find(dir: &StateDir, id: &str) -> Result<Metadata> {
    if id != backup::LATEST {
        return backup::load(&dir.backups(), id);
    }
    backup::list(&dir.backups())?
        .into_iter()
        .filter_map(|listed| listed.metadata.ok())
        .find(|m| m.reason != ROLLBACK && in_place(m))
        .ok_or_else(|| anyhow!(NoSuchBackup::latest()))
}

const ROLLBACK: &str = "rollback";

fn in_place(metadata: &Metadata) -> bool {
    metadata.files.iter().all(|f| files::snapshot(&f.path).is_ok_and(|s| s.sha256 == f.replaced_by))
}

fn already_back(metadata: &Metadata) -> bool {
    metadata.files.iter().all(|f| files::snapshot(&f.path).is_ok_and(|s| s.sha256 == f.sha256))
}

/// Takes the lock. When a pass holds it that is validating this very fix, asks it to undo the fix and waits for its end;
/// the second value then says that this is done.
fn take_lock(dir: &StateDir, metadata: &Metadata, out: &Output) -> Result<(Lock, bool)> {
    let holder = match lock::try_lock(&dir.lock())? {
        Ok(lock) => return Ok((lock, false)),
        Err(holder) => holder,
    };
    let open = journal::open(&dir.journal())?;
    if open.and_then(|o| o.intent.backup_id).as_deref() != Some(&metadata.backup_id) {
        bail!(crate::pass::Busy(holder));
    }
    out.note(&format!("{holder} is watching this fix: asking it to undo it"));
    files::write_atomic(&dir.rollback_request(), metadata.backup_id.as_bytes(), 0o640)?;
    let lock = lock::wait_for_lock(&dir.lock())?;
    forget_request(dir)?;
    Ok((lock, already_back(metadata)))
}

fn forget_request(dir: &StateDir) -> Result<()> {
    match std::fs::remove_file(dir.rollback_request()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context("cannot remove the request to roll back"),
        _ => Ok(()),
    }
}

fn roll_back(engine: &Engine, dir: &StateDir, metadata: &Metadata, force: bool, out: &Output) -> Result<Option<Ended>> {
    let interrupt = Interrupt::install()?;
    let docker = engine.docker().and_then(|(check, probe)| Docker::connect(&probe.socket, check.timeout).ok());
    let mut live = Live::new(out.clone(), Some(dir.clone()));
    let mut ground = Ground { engine, dir, docker: docker.as_ref(), interrupt: &interrupt, tell: &mut live };
    let (mut memory, _) = Memory::load(dir);
    let (mut logs, _): (LogState, _) = LogState::load(&dir.cursors())?;
    transaction::recover(&mut logs, &mut memory.samples, &mut ground)?;
    logs.save(&dir.cursors(), &engine.redactor)?;
    if already_back(metadata) {
        return Ok(None);
    }
    let (changes, saved) = changes(metadata, force)?;
    let now = clock::now();
    let plan = plan_of(dir, metadata)?;
    let fix_id = format!("rollback_{}", now.strftime("%Y%m%d_%H%M%S"));
    let purpose = Purpose { reason: ROLLBACK, fix_id: &fix_id, plan: &plan, confidence: None };
    let own = backup::create(&dir.backups(), &purpose, &saved, now)?;
    ground.tell.line(&format!("backup    {} (of what is rolled back)", own.backup_id));
    let intent = Intent {
        v: 1,
        kind: Kind::Rollback,
        fix_id,
        started: now,
        plan,
        backup_id: Some(own.backup_id),
        restores: Some(metadata.backup_id.clone()),
        files: changes,
        restarts: metadata.restarts.clone(),
        before: Default::default(),
        reason: metadata.fix_id.clone(),
    };
    let journal = journal::begin(&dir.journal(), &intent)?;
    let replaced = transaction::roll_back(&intent, metadata, &journal, &mut ground)?;
    let (outcome, why) = match replaced {
        Replaced::Done => (Outcome::RolledBackByOperator, "an operator asked for it".to_owned()),
        Replaced::Conflict => {
            (Outcome::Conflict, "a file was changed by somebody else meanwhile: theirs stays".to_owned())
        }
    };
    transaction::close_rollback(outcome, why, intent, journal, &mut ground).map(Some)
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
            bail!(Conflict(format!(
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
fn plan_of(dir: &StateDir, metadata: &Metadata) -> Result<Plan> {
    use crate::model::{ErrorsAllowed, ValidationSpec, Watched};
    let attempts = attempts::read(&dir.attempts())?;
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
        steps: metadata.restarts.iter().cloned().map(crate::model::Step::Restart).collect(),
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
