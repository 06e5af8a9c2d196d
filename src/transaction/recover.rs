//! Finishing or undoing what an earlier pass left open, from the journal and the files alone.

use crate::backup;
use crate::host::clock;
use crate::host::files::{self, Replaced};
use crate::logs::LogState;
use crate::model::{Outcome, ValidationSpec, Verdict, VerdictKind, Watched};
use crate::observe::{self, Samples};
use crate::transaction::journal::{self, Intent, Journal, Kind, Open, Phase};
use crate::transaction::phase::{self, Next};
use crate::transaction::watch::trigger_gone;
use crate::transaction::{Ended, Ground, close, finish, statuses, steps};
use crate::validate::{self, Judgement, Sample};
use anyhow::Result;
use std::time::Duration;

/// Looks for an open transaction and ends it. `None` when there was none.
///
/// # Errors
/// When the journal cannot be read or written.
pub fn recover(logs: &mut LogState, samples: &mut Samples, ground: &mut Ground) -> Result<Option<Ended>> {
    let Some(open) = journal::open(&ground.dir.journal())? else { return Ok(None) };
    let journal = Journal::resume(&ground.dir.journal(), &open);
    ground.tell.line(&format!("recover   {}: an earlier pass ended in the middle of it", open.intent.fix_id));
    ground.tell.event("recovering", serde_json::json!({ "fix_id": open.intent.fix_id, "phases": open.phases }));
    for change in &open.intent.files {
        files::remove_temporary(&change.path, &open.intent.fix_id)?;
    }
    let live = open.intent.files.iter().map(steps::live).collect::<Result<Vec<_>>>()?;
    let next = phase::next(open.intent.kind, open.last(), phase::disk(&live));
    let verdict = open.phases.iter().rev().find_map(|p| match p {
        Phase::Kept { verdict, .. } => Some(verdict.clone()),
        Phase::Undoing { verdict, .. } => verdict.clone(),
        _ => None,
    });
    let (next, verdict) = match next {
        Next::Judge => judge(&open, logs, samples, ground),
        next => (next, verdict),
    };
    end(next, verdict, open, journal, ground).map(Some)
}

fn end(next: Next, verdict: Option<Verdict>, open: Open, journal: Journal, ground: &mut Ground) -> Result<Ended> {
    let intent = open.intent;
    match next {
        Next::Forget => {
            let ending =
                super::ending(intent, Outcome::Held, None, "it was interrupted before it changed anything".into());
            journal.close()?;
            Ok(Ended::Closed(ending))
        }
        Next::Apply => roll_forward(intent, journal, ground),
        Next::Record { outcome } if matches!(open.phases.last(), Some(Phase::Undone { .. })) => {
            let (outcome, why) = undoing_of(&open.phases).unwrap_or((outcome, String::new()));
            close(outcome, why, verdict, intent, journal, ground)
        }
        next => finish(next, verdict, intent, journal, ground),
    }
}

/// The outcome that an undoing was begun for.
fn undoing_of(phases: &[Phase]) -> Option<(Outcome, String)> {
    phases.iter().rev().find_map(|p| match p {
        Phase::Undoing { outcome, why, .. } => Some((*outcome, why.clone())),
        _ => None,
    })
}

fn roll_forward(intent: Intent, journal: Journal, ground: &mut Ground) -> Result<Ended> {
    debug_assert_eq!(intent.kind, Kind::Rollback);
    let id = intent.restores.clone().unwrap_or_default();
    let restores = backup::load(&ground.dir.backups(), &id)?;
    match steps::roll_back(&intent, &restores, &journal, ground)? {
        Replaced::Done => {
            let why = "an operator asked for it".to_owned();
            close_rollback(Outcome::RolledBackByOperator, why, intent, journal, ground)
        }
        Replaced::Conflict => {
            let why = "a file was changed by somebody else during the rollback: theirs stays".to_owned();
            close_rollback(Outcome::Conflict, why, intent, journal, ground)
        }
    }
}

/// Ends an operator's rollback: a later word on a fix, which has its terminal record already.
pub fn close_rollback(
    outcome: Outcome,
    why: String,
    intent: Intent,
    journal: Journal,
    ground: &mut Ground,
) -> Result<Ended> {
    super::record::write_rollback(outcome, &why, &intent, ground)?;
    journal.close()?;
    Ok(Ended::Closed(super::ending(intent, outcome, None, why)))
}

/// Judges a fix whose pass was killed in the window: from the logs since then and three looks at the checks now. What
/// cannot be judged so is undone.
fn judge(open: &Open, logs: &mut LogState, samples: &mut Samples, ground: &mut Ground) -> (Next, Option<Verdict>) {
    let undo = |why: &str| Next::Undo { outcome: Outcome::RolledBack, why: why.to_owned() };
    let since = open.validating_since().unwrap_or(open.intent.started);
    let spec = ValidationSpec { window_seconds: 0.0, max_window_seconds: 0.0, ..open.intent.plan.validation.clone() };
    let mut seen = Vec::new();
    for _ in 0..validate::ENOUGH_SAMPLES {
        if ground.interrupt.wait(Duration::from_secs(1)) {
            return (undo("it was interrupted, and again while it was judged"), None);
        }
        seen.push(look(&spec, since, logs, samples, ground));
    }
    match validate::judge(&spec, &open.intent.before, &seen) {
        Judgement::Done(verdict) if verdict.kind == VerdictKind::NotEnough => {
            let why = format!("it was interrupted and cannot be judged any more: {}", verdict.judged_on);
            (undo(&why), Some(verdict))
        }
        Judgement::Done(verdict) => (phase::after_verdict(&verdict, !open.intent.files.is_empty()), Some(verdict)),
        Judgement::Wait { .. } => (undo("it was interrupted and cannot be judged any more"), None),
    }
}

fn look(
    spec: &ValidationSpec,
    since: jiff::Timestamp,
    logs: &mut LogState,
    samples: &mut Samples,
    ground: &Ground,
) -> Sample {
    let now = clock::now();
    let (checks, after) = observe::run(ground.engine, &[], samples, now);
    *samples = after;
    let containers: Vec<_> = checks.iter().flat_map(|c| c.containers.clone()).collect();
    let report = crate::logs::read_new(ground.engine, &containers, ground.docker, None, logs, now);
    let errors = match &spec.watched {
        Watched::Log { source, signature, .. } => report
            .tallies
            .iter()
            .filter(|t| t.source == *source && t.signature == *signature)
            .map(|t| t.count(since.as_second(), now.as_second()))
            .sum(),
        _ => 0,
    };
    Sample {
        at: clock::between(since, now).as_secs_f64(),
        errors,
        trigger_gone: trigger_gone(&spec.watched, &checks),
        statuses: statuses(&checks, &spec.checks),
    }
}

/// A sentence on the transaction now open, for commands that change nothing.
///
/// # Errors
/// When the journal cannot be read.
pub fn report_open(dir: &crate::state::StateDir) -> Result<Option<String>> {
    Ok(journal::open(&dir.journal())?.map(|open| {
        let phase = match open.last() {
            None => "nothing applied yet",
            Some(Phase::Edited { .. } | Phase::Restarting { .. } | Phase::Restarted { .. }) => "being applied",
            Some(Phase::Validating { .. }) => "being validated",
            Some(Phase::Undoing { .. }) => "being rolled back",
            Some(Phase::Kept { .. } | Phase::Undone { .. } | Phase::Stuck { .. }) => "being recorded",
        };
        format!("{} of rule {} is open: {phase}", open.intent.fix_id, open.intent.plan.rule)
    }))
}
