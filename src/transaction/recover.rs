//! Finishing or undoing what an earlier pass left open, from the journal and the files alone.

use crate::backup;
use crate::host::clock;
use crate::logs::LogState;
use crate::model::{Outcome, ValidationSpec, Verdict, VerdictKind};
use crate::observe::Samples;
use crate::transaction::close::{close, ending, finish, or_still_open};
use crate::transaction::eye::{Counted, Eye};
use crate::transaction::journal::{self, Journal, Kind, Open, Phase};
use crate::transaction::phase::{self, Next};
use crate::transaction::{Ended, Ground, acts, before, rollback, steps};
use crate::validate::{self, Judgement};
use anyhow::Result;
use std::time::Duration;

/// Looks for an open transaction and ends it, or leaves it open where that fails. `None` when there was none.
///
/// # Errors
/// When the journal cannot be read.
pub fn recover(logs: &mut LogState, samples: &mut Samples, ground: &mut Ground) -> Result<Option<Ended>> {
    journal::sweep(&ground.dir.journal())?;
    if let Err(error) = backup::sweep(&ground.dir.backups()) {
        ground.tell.line(&format!("cannot clear up: {error:#}"));
    }
    let Some(open) = journal::open(&ground.dir.journal())? else { return Ok(None) };
    let mut journal = Journal::resume(&ground.dir.journal(), &open);
    ground.tell.line(&format!("recover   {}: an earlier pass ended in the middle of it", open.intent.fix_id));
    ground.tell.event("recovering", serde_json::json!({ "fix_id": open.intent.fix_id, "phases": open.phases }));
    let seen = journal
        .secure()
        .and_then(|()| steps::settle(&open.intent, ground))
        .and_then(|()| open.intent.files.iter().map(steps::live).collect::<Result<Vec<_>>>())
        .and_then(|files| Ok([files, acts::live(&open.intent, &open.phases, ground)?].concat()));
    let intent = open.intent.clone();
    let ended = match seen {
        Ok(live) => {
            let next = phase::next(intent.kind, open.last(), phase::disk(&live));
            end(next, open, &mut journal, logs, samples, ground)
        }
        Err(error) => or_still_open(&intent, true, Err(error)),
    };
    Ok(Some(ended))
}

fn end(
    next: Next,
    open: Open,
    journal: &mut Journal,
    logs: &mut LogState,
    samples: &mut Samples,
    ground: &mut Ground,
) -> Ended {
    match (next, open.last().cloned()) {
        (Next::Forget, _) => {
            let why = "it was interrupted before it changed anything".to_owned();
            ground.tell.event("held", serde_json::json!({ "fix_id": open.intent.fix_id, "why": why }));
            let closed = journal.close().map(|()| Ended::Closed(ending(open.intent.clone(), Outcome::Held, None, why)));
            or_still_open(&open.intent, false, closed)
        }
        (Next::Apply, _) => {
            debug_assert_eq!(open.intent.kind, Kind::Rollback);
            or_still_open(&open.intent.clone(), true, rollback::carry_on(open.intent, journal, ground))
        }
        (Next::Judge, _) => {
            let (next, verdict) = judge(&open, logs, samples, ground);
            finish(next, verdict, open.intent, journal, ground)
        }
        (Next::Record { .. }, Some(Phase::Undone { .. })) => {
            let (outcome, why, verdict) = undoing_of(&open.phases);
            or_still_open(&open.intent.clone(), false, close(outcome, why, verdict, open.intent, journal, ground))
        }
        (Next::Record { .. }, Some(Phase::Stuck { outcome, why, .. })) => {
            let (.., verdict) = undoing_of(&open.phases);
            or_still_open(&open.intent.clone(), false, close(outcome, why, verdict, open.intent, journal, ground))
        }
        (next @ Next::Record { .. }, Some(Phase::Kept { verdict, .. })) => {
            finish(next, Some(verdict), open.intent, journal, ground)
        }
        (next @ Next::Undo { .. }, Some(Phase::Undoing { verdict, .. })) => {
            finish(next, verdict, open.intent, journal, ground)
        }
        (Next::Undo { outcome, why }, _) => {
            let verdict = Verdict::interrupted(&why);
            finish(Next::Undo { outcome, why }, Some(verdict), open.intent, journal, ground)
        }
        (next, _) => finish(next, None, open.intent, journal, ground),
    }
}

/// What an undoing was begun for.
fn undoing_of(phases: &[Phase]) -> (Outcome, String, Option<Verdict>) {
    let begun = phases.iter().rev().find_map(|p| match p {
        Phase::Undoing { outcome, why, verdict, .. } => Some((*outcome, why.clone(), verdict.clone())),
        _ => None,
    });
    begun.unwrap_or_else(|| {
        let why = "it was interrupted before it could be watched".to_owned();
        (Outcome::RolledBack, why.clone(), Some(Verdict::interrupted(&why)))
    })
}

/// Judges a fix whose pass was killed in the window: from the logs since then and three looks at the checks now. What
/// cannot be judged so is undone.
fn judge(open: &Open, logs: &mut LogState, samples: &mut Samples, ground: &mut Ground) -> (Next, Option<Verdict>) {
    let undo =
        |why: &str| (Next::Undo { outcome: Outcome::RolledBack, why: why.to_owned() }, Some(Verdict::interrupted(why)));
    let since = open.validating_since().unwrap_or(&open.intent.started);
    let spec = ValidationSpec { window_seconds: 0.0, max_window_seconds: 0.0, ..open.intent.plan.validation.clone() };
    let mut eye = Eye::new(&open.intent, samples, logs, ground);
    eye.resume(since, &open.phases);
    let mut seen = Vec::new();
    for _ in 0..validate::ENOUGH_SAMPLES {
        if ground.interrupt.wait(Duration::from_secs(1)) {
            return undo("it was interrupted, and again while it was judged");
        }
        let at = clock::moment().since(since).as_secs_f64();
        seen.push(eye.look(at, ground, Counted::Since(since)));
    }
    match validate::judge(&spec, before(&open.intent), &seen) {
        Judgement::Done(verdict) if verdict.kind == VerdictKind::NotEnough => {
            undo(&format!("it was interrupted and cannot be judged any more: {}", verdict.judged_on))
        }
        Judgement::Done(verdict) => {
            let verdict = acts::unless_fallen(verdict, acts::fallen(&open.intent.plan, ground));
            (phase::after_verdict(&verdict, open.intent.plan.is_undoable()), Some(verdict))
        }
        Judgement::Wait { .. } => undo("it was interrupted and cannot be judged any more"),
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
            Some(
                Phase::Edited { .. }
                | Phase::Acting { .. }
                | Phase::Acted { .. }
                | Phase::Restarting { .. }
                | Phase::Restarted { .. }
                | Phase::Settled { .. },
            ) => "being applied",
            Some(Phase::Validating { .. }) => "being validated",
            Some(Phase::Undoing { .. } | Phase::Reverted { .. }) => "being rolled back",
            Some(Phase::Kept { .. } | Phase::Undone { .. } | Phase::Stuck { .. }) => "being recorded",
        };
        format!("{} of rule {} is open: {phase}", open.intent.fix_id, open.intent.plan.rule)
    }))
}
