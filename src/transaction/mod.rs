//! A fix as a transaction: charged, backed up, journaled, applied, watched, then kept or undone, and recorded once.
//!
//! Lives here: carrying out what `phase::next` says, in the order that survives a crash at any point. May not live
//! here: deciding whether to fix at all (only the gate makes a [`Permit`]).

pub mod journal;
pub mod phase;
mod record;
mod recover;
mod steps;
mod watch;

pub use recover::{close_rollback, recover, report_open};
pub use steps::roll_back;
pub use watch::{Progress, trigger_gone};

use crate::attempts::{self, Line};
use crate::backup::{self, Purpose, ToSave};
use crate::config::Engine;
use crate::gate::Permit;
use crate::host::docker::Docker;
use crate::host::signals::Interrupt;
use crate::host::{clock, files};
use crate::logs::LogState;
use crate::model::{CheckKind, CheckResult, Outcome, Plan, Status, Verdict};
use crate::observe::Samples;
use crate::state::StateDir;
use anyhow::{Context, Result};
use jiff::Timestamp;
use journal::{FileChange, Intent, Journal, Kind, Phase};
use phase::Next;
use std::collections::BTreeMap;

/// Where a transaction tells what it does: the event log, the terminal.
pub trait Tell {
    /// Something happened, for `events.jsonl`; `data` is a JSON object.
    fn event(&mut self, kind: &str, data: serde_json::Value);
    /// One line for people.
    fn line(&mut self, text: &str);
    /// The state of the wait, to be shown while it lasts.
    fn progress(&mut self, progress: &Progress);
}

/// What a transaction needs of the world.
pub struct Ground<'a> {
    pub engine: &'a Engine,
    pub dir: &'a StateDir,
    pub docker: Option<&'a Docker>,
    pub interrupt: &'a Interrupt,
    pub tell: &'a mut dyn Tell,
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    pub fix_id: String,
    pub plan: Plan,
    pub outcome: Outcome,
    pub verdict: Option<Verdict>,
    pub backup_id: Option<String>,
    /// One sentence: why it ended so.
    pub why: String,
}

/// An ending, or the transaction left open for the next pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    Closed(Ending),
    /// A signal came during the wait: the next pass judges it.
    Interrupted(Plan),
    /// It could not be undone now; the next pass tries again.
    StillOpen(Ending),
}

/// Carries out a permitted plan, from the charge to the record.
///
/// # Errors
/// When it could not begin: nothing was changed then.
pub fn carry_out(
    permit: &Permit,
    checks: &[CheckResult],
    logs: &mut LogState,
    samples: &mut Samples,
    ground: &mut Ground,
) -> Result<Ended> {
    let plan = permit.plan();
    let now = clock::now();
    let fix_id = format!("fix_{}_{}", now.strftime("%Y%m%d_%H%M%S"), plan.id.trim_start_matches("plan_"));
    let saved = match contents_to_save(plan)? {
        Ok(saved) => saved,
        Err(why) => return Ok(Ended::Closed(not_begun(plan, fix_id, why))),
    };
    charge(plan, &fix_id, now, ground)?;
    let backup_id = back_up(plan, &fix_id, &saved, now, ground)?;
    let intent = intent(plan, fix_id, backup_id, checks, now);
    let journal = journal::begin(&ground.dir.journal(), &intent)?;
    let next = match steps::apply(&intent, &journal, ground) {
        Ok(()) => match watch::judge(&intent, &journal, logs, samples, ground)? {
            watch::Watched::Interrupted => return Ok(Ended::Interrupted(intent.plan)),
            watch::Watched::Next(next, verdict) => return finish(next, verdict, intent, journal, ground),
        },
        Err(next) => next,
    };
    finish(next, None, intent, journal, ground)
}

fn charge(plan: &Plan, fix_id: &str, now: Timestamp, ground: &Ground) -> Result<()> {
    let line = Line::Charge {
        t: now,
        fix: fix_id.to_owned(),
        rule: plan.rule.clone(),
        fix_type: plan.fix_type.clone(),
        target: plan.target.clone(),
        component: plan.component.clone(),
        hashes: plan.edits().flat_map(|e| [e.before.clone(), e.after.clone()]).collect(),
    };
    attempts::append(&ground.dir.attempts(), &line).context("nothing was changed")
}

/// Each file of the plan as it is now; the reason not to begin when one is not as the plan saw it.
fn contents_to_save(plan: &Plan) -> Result<std::result::Result<Vec<ToSave>, String>> {
    let mut saved = Vec::new();
    for change in changes(plan) {
        let now = files::snapshot(&change.path)?;
        if now.sha256 != change.before {
            let path = change.path.display();
            return Ok(Err(format!("{path} was changed since the plan was made: nothing was changed")));
        }
        saved.push(ToSave { path: change.path, bytes: now.bytes, replaced_by: change.after });
    }
    Ok(Ok(saved))
}

/// A fix that was not even charged: the next pass makes a new plan.
fn not_begun(plan: &Plan, fix_id: String, why: String) -> Ending {
    Ending { fix_id, plan: plan.clone(), outcome: Outcome::Held, verdict: None, backup_id: None, why }
}

/// From the first `before` to the last `after` of each file.
fn changes(plan: &Plan) -> Vec<FileChange> {
    let mut changes: Vec<FileChange> = Vec::new();
    for edit in plan.edits() {
        match changes.iter_mut().find(|c| c.path == edit.path) {
            Some(change) => change.after.clone_from(&edit.after),
            None => changes.push(FileChange {
                path: edit.path.clone(),
                before: edit.before.clone(),
                after: edit.after.clone(),
            }),
        }
    }
    changes
}

fn back_up(plan: &Plan, fix_id: &str, saved: &[ToSave], now: Timestamp, ground: &mut Ground) -> Result<Option<String>> {
    if saved.is_empty() {
        return Ok(None);
    }
    let purpose = Purpose { reason: &plan.issue_type, fix_id, plan, confidence: Some(plan.confidence) };
    let made = backup::create(&ground.dir.backups(), &purpose, saved, now)?;
    ground.tell.line(&format!("backup    {}", made.backup_id));
    ground.tell.event("backup", serde_json::json!({ "fix_id": fix_id, "backup_id": made.backup_id }));
    Ok(Some(made.backup_id))
}

fn intent(plan: &Plan, fix_id: String, backup_id: Option<String>, checks: &[CheckResult], now: Timestamp) -> Intent {
    Intent {
        v: 1,
        kind: Kind::Fix,
        fix_id,
        started: now,
        backup_id,
        restores: None,
        files: changes(plan),
        restarts: plan.restarts().cloned().collect(),
        before: statuses(checks, &plan.validation.checks),
        reason: plan.issue_type.clone(),
        plan: plan.clone(),
    }
}

/// Status of every check and of every container, for comparison. Host metrics count only where the rule names them, and
/// the Docker check is the sum of its containers.
pub fn statuses(checks: &[CheckResult], named: &[String]) -> BTreeMap<String, Status> {
    let mut all = BTreeMap::new();
    for check in checks {
        let compared = match check.kind {
            CheckKind::Host => false,
            CheckKind::Docker => check.containers.is_empty(),
            _ => true,
        };
        if compared || named.contains(&check.name) {
            all.insert(check.name.clone(), check.status);
        }
        all.extend(check.containers.iter().map(|c| (format!("container:{}", c.name), c.status)));
    }
    all
}

/// Does what is next until the transaction is closed, or cannot be.
fn finish(
    next: Next,
    verdict: Option<Verdict>,
    intent: Intent,
    journal: Journal,
    ground: &mut Ground,
) -> Result<Ended> {
    let (outcome, why) = match next {
        Next::Undo { outcome, why } => {
            let phase = Phase::Undoing { t: clock::now(), outcome, verdict: verdict.clone(), why: why.clone() };
            journal.reached(&phase)?;
            ground.tell.event("rolling_back", serde_json::json!({ "fix_id": intent.fix_id, "why": why }));
            match steps::undo(&intent, &journal, ground) {
                Ok(steps::Undone::Done) => (outcome, why),
                Ok(steps::Undone::Conflict(path)) => {
                    (Outcome::Conflict, format!("{path} was changed by somebody else meanwhile: theirs stays"))
                }
                Ok(steps::Undone::NotRestarted(error)) => {
                    let why = format!("{why}; the files are as before, but a restart failed: {error:#}");
                    (if intent.files.is_empty() { Outcome::Failed } else { Outcome::RollbackFailed }, why)
                }
                Err(error) => {
                    let why = format!("{why}; undoing it failed: {error:#}; the next pass tries again");
                    return Ok(Ended::StillOpen(ending(intent, Outcome::RollbackFailed, verdict, why)));
                }
            }
        }
        Next::Stuck { outcome, why } => (outcome, why),
        Next::Record { outcome } => (outcome, verdict.as_ref().map(|v| v.judged_on.clone()).unwrap_or_default()),
        Next::Forget | Next::Apply | Next::Judge => {
            (Outcome::Failed, "an impossible next step: please report this".to_owned())
        }
    };
    close(outcome, why, verdict, intent, journal, ground)
}

fn close(
    outcome: Outcome,
    why: String,
    verdict: Option<Verdict>,
    intent: Intent,
    journal: Journal,
    ground: &mut Ground,
) -> Result<Ended> {
    match outcome {
        Outcome::Healed | Outcome::Unproven => {
            if let Some(verdict) = verdict.clone() {
                journal.reached(&Phase::Kept { t: clock::now(), outcome, verdict })?;
            }
        }
        Outcome::Conflict | Outcome::RollbackFailed => {
            journal.reached(&Phase::Stuck { t: clock::now(), outcome, why: why.clone() })?;
        }
        _ => {}
    }
    record::write(outcome, &why, verdict.as_ref(), &intent, ground)?;
    journal.close()?;
    Ok(Ended::Closed(ending(intent, outcome, verdict, why)))
}

fn ending(intent: Intent, outcome: Outcome, verdict: Option<Verdict>, why: String) -> Ending {
    Ending { fix_id: intent.fix_id, plan: intent.plan, outcome, verdict, backup_id: intent.backup_id, why }
}
