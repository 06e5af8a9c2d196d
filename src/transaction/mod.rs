//! A fix as a transaction: charged, backed up, journaled, applied, watched, then kept or undone, and recorded once.
//!
//! Lives here: carrying out what `phase::next` says, in the order that survives a crash at any point. May not live
//! here: deciding whether to fix at all (only the gate makes a [`Permit`]).

mod acts;
mod close;
mod eye;
pub mod journal;
pub mod phase;
mod record;
mod recover;
mod rollback;
mod steps;
mod watch;

pub use acts::to_put_back;
pub use close::{Ended, Ending, StillOpen};
pub use eye::trigger_gone;
pub use recover::{recover, report_open};
pub use rollback::{ChangedSince, roll_back};
pub use watch::Progress;

use crate::attempts::{self, Attempts, Edited, Line};
use crate::backup::{self, Purpose, ToSave};
use crate::config::Engine;
use crate::gate::Permit;
use crate::host::docker::Docker;
use crate::host::signals::Interrupt;
use crate::host::{clock, files};
use crate::logs::LogState;
use crate::model::{
    CheckKind, CheckResult, EditStep, FileHash, Moment, Moved, Onset, Outcome, Plan, RestartTarget, Status, Verdict,
};
use crate::observe::Samples;
use crate::state::StateDir;
use crate::validate::{Before, elsewhere};
use anyhow::{Context, Result};
use close::{close, finish, or_still_open};
use journal::{FileChange, Intent, Journal, Kind};
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

/// Carries out a permitted plan, from the charge to the record.
///
/// # Errors
/// When it could not begin: nothing was changed then.
pub fn carry_out(
    permit: &Permit,
    onset: Onset,
    checks: &[CheckResult],
    logs: &mut LogState,
    samples: &mut Samples,
    ground: &mut Ground,
) -> Result<Ended> {
    let plan = permit.plan();
    let now = clock::moment();
    let fix_id = free_id(plan, &now, &attempts::read(&ground.dir.attempts())?);
    let saved = match contents_to_save(plan)? {
        Ok(saved) => saved,
        Err(why) => return Ok(Ended::Closed(not_begun(plan, fix_id, why))),
    };
    if let Some(why) = acts::changed_since(plan, ground).context("nothing was changed")? {
        return Ok(Ended::Closed(not_begun(plan, fix_id, why)));
    }
    charge(plan, &fix_id, &now, ground)?;
    let (intent, mut journal) = match begin(plan, onset, &fix_id, &saved, checks, now, ground) {
        Ok(begun) => begun,
        Err(error) => {
            call_off(fix_id, ground);
            return Err(error);
        }
    };
    if let Err(next) = steps::apply(&intent, &mut journal, ground) {
        return Ok(finish(next, None, intent, &mut journal, ground));
    }
    Ok(match watch::judge(&intent, &mut journal, logs, samples, ground) {
        Ok(watch::Watched::Interrupted) => Ended::Interrupted(intent.plan),
        Ok(watch::Watched::Next(next, verdict)) => finish(next, verdict, intent, &mut journal, ground),
        Err(error) => {
            let why = format!("it could not be watched: {error:#}");
            let verdict = Verdict::interrupted(&why);
            let next = Next::Undo { outcome: Outcome::RolledBack, why };
            finish(next, Some(verdict), intent, &mut journal, ground)
        }
    })
}

/// Of the second and the plan; numbered where the same plan was tried in the same second.
fn free_id(plan: &Plan, now: &Moment, attempts: &Attempts) -> String {
    let plain = format!("fix_{}_{}", now.t.strftime("%Y%m%d_%H%M%S"), plan.id.trim_start_matches("plan_"));
    let numbered = (2u32..).map(|n| format!("{plain}_{n}"));
    let is_free = |id: &String| !attempts.is_known(id);
    std::iter::once(plain.clone()).chain(numbered).find(is_free).unwrap_or(plain)
}

fn charge(plan: &Plan, fix_id: &str, now: &Moment, ground: &Ground) -> Result<()> {
    let line = Line::Charge {
        at: now.clone(),
        fix: fix_id.to_owned(),
        rule: plan.rule.clone(),
        fix_type: plan.fix_type.clone(),
        target: plan.target.clone(),
        component: plan.component.clone(),
        files: changes(plan).into_iter().map(|c| FileHash { path: c.path, sha256: c.after }).collect(),
        touches: plan.touches(),
        edits: plan.edits().map(edited).chain(plan.acts().flat_map(|(_, act)| act.moves()).map(moved)).collect(),
    };
    attempts::append(&ground.dir.attempts(), &line).context("nothing was changed")
}

fn edited(edit: &EditStep) -> Edited {
    Edited { path: edit.path.clone(), at: edit.at.clone(), old: edit.old.clone(), new: edit.new.clone() }
}

fn moved(by: Moved) -> Edited {
    Edited { path: by.place.into(), at: by.at, old: by.old, new: by.new }
}

/// Nothing was changed, so no limit is to count it. Where even that cannot be written down, it counts.
fn call_off(fix: String, ground: &Ground) {
    let line = Line::End { at: clock::moment(), fix, outcome: Outcome::Held, interrupted: false, files: Vec::new() };
    let _ = attempts::append(&ground.dir.attempts(), &line);
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

/// The backup, and the journal with the intent that names it.
fn begin(
    plan: &Plan,
    onset: Onset,
    fix_id: &str,
    saved: &[ToSave],
    checks: &[CheckResult],
    now: Moment,
    ground: &mut Ground,
) -> Result<(Intent, Journal)> {
    let backup_id = if !plan.is_undoable() {
        None
    } else {
        let purpose = Purpose { reason: &plan.issue_type, fix_id, plan, confidence: Some(plan.confidence) };
        let made = backup::create(&ground.dir.backups(), &purpose, saved, now.t)?;
        ground.tell.line(&format!("backup    {}", made.backup_id));
        ground.tell.event("backup", serde_json::json!({ "fix_id": fix_id, "backup_id": made.backup_id }));
        Some(made.backup_id)
    };
    let restarts: Vec<RestartTarget> = plan.restarts().cloned().collect();
    let intent = Intent {
        v: 1,
        kind: Kind::Fix,
        fix_id: fix_id.to_owned(),
        started: now,
        backup_id,
        restores: None,
        files: changes(plan),
        restarts: steps::runs(&restarts, ground),
        before: statuses(checks, &plan.validation.checks),
        reason: plan.issue_type.clone(),
        plan: plan.clone(),
        onset,
    };
    let journal = journal::begin(&ground.dir.journal(), &intent)?;
    ground
        .tell
        .event("begun", serde_json::json!({ "fix_id": fix_id, "backup_id": intent.backup_id, "plan_id": plan.id }));
    Ok((intent, journal))
}

/// What was known before the first step.
fn before(intent: &Intent) -> Before<'_> {
    Before { statuses: Some(&intent.before), bursts_per_second: intent.onset.bursts_per_second }
}

/// Status of every check and of every container, for comparison. Host metrics count only where the rule names them, and
/// the Docker check is the sum of its containers.
pub fn statuses(checks: &[CheckResult], named: &[String]) -> BTreeMap<String, Status> {
    let mut all = BTreeMap::new();
    for check in checks {
        if check.kind == CheckKind::Docker {
            let status = if check.connected == Some(false) { Status::Critical } else { Status::Healthy };
            all.insert(elsewhere::ENGINE.to_owned(), status);
        }
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
