//! Doing and undoing the steps that change no file and merely restart nothing. That one begins is written down before it
//! does; what can be looked up is looked up, and of the rest only the journal knows how far it came.

use crate::fix::act::{self, Applied, Means, Refused};
use crate::host::clock;
use crate::model::{Act, Live, Outcome, Plan, Verdict, VerdictKind};
use crate::transaction::Ground;
use crate::transaction::journal::{Intent, Journal, Kind, Phase};
use crate::transaction::phase::Next;
use crate::validate::Sample;
use anyhow::{Context, Result};

/// What was brought back, as far as it could be.
#[derive(Debug, Default)]
pub struct Undone {
    /// Somebody else has changed this meanwhile: theirs stays.
    pub conflict: Option<String>,
    /// This could not be brought back, and to try again would not help.
    pub refused: Option<String>,
}

fn means<'a>(ground: &Ground<'a>) -> Means<'a> {
    Means { engine: ground.engine, docker: ground.docker }
}

/// Where each such step of the transaction stands, in their order.
///
/// # Errors
/// When one could not be looked up: it can be tried again.
pub fn live(intent: &Intent, phases: &[Phase], ground: &Ground) -> Result<Vec<Live>> {
    intent.plan.acts().map(|(n, act)| live_of(n, act, intent.kind, phases, ground)).collect()
}

fn live_of(n: usize, act: &Act, kind: Kind, phases: &[Phase], ground: &Ground) -> Result<Live> {
    let looked =
        act::look(act, means(ground)).with_context(|| format!("cannot tell how it stands: {}", act.words()))?;
    Ok(looked.unwrap_or_else(|| known(n, kind, phases)))
}

/// What the journal alone says of a step that nobody can look up. One that has begun may have been done: a fix is undone
/// as if it had been, and an operator's rollback does it again.
fn known(n: usize, kind: Kind, phases: &[Phase]) -> Live {
    let any = |wanted: fn(&Phase) -> Option<usize>| phases.iter().any(|phase| wanted(phase) == Some(n));
    let begun = any(|p| if let Phase::Acting { step, .. } = p { Some(*step) } else { None });
    let done = any(|p| if let Phase::Acted { step, .. } = p { Some(*step) } else { None });
    let reverted = any(|p| if let Phase::Reverted { step, .. } = p { Some(*step) } else { None });
    let after = match kind {
        Kind::Fix => begun && !reverted,
        Kind::Rollback => done,
    };
    if after { Live::After } else { Live::Before }
}

/// What putting back a fix's steps would do now, the last first: each with the value that is there, which with `force`
/// may be anybody's. `ended` is how the fix has ended; without an end it may be in place.
///
/// # Errors
/// With the step that somebody else has changed since; or when one cannot be looked up.
pub fn to_put_back(
    steps: &[Act],
    ended: Option<Outcome>,
    force: bool,
    means: Means,
) -> Result<std::result::Result<Vec<Act>, String>> {
    let mut owed = Vec::new();
    for inverse in steps.iter().rev().filter_map(Act::inverse) {
        let undone = matches!(ended, Some(Outcome::RolledBack | Outcome::RolledBackByOperator));
        let known = if undone { Live::After } else { Live::Before };
        match act::look(&inverse, means)?.unwrap_or(known) {
            Live::After => {}
            Live::Before => owed.push(inverse),
            Live::Foreign if force => owed.push(act::from_now(inverse, means)?),
            Live::Foreign => return Ok(Err(inverse.words())),
        }
    }
    Ok(Ok(owed))
}

/// The reason not to begin, where one is not as the plan saw it.
///
/// # Errors
/// When it cannot be looked up: nothing was changed.
pub fn changed_since(plan: &Plan, ground: &Ground) -> Result<Option<String>> {
    for (_, act) in plan.acts() {
        if act::look(act, means(ground))?.is_some_and(|live| live != Live::Before) {
            return Ok(Some(format!("not as it was when the plan was made: {}: nothing was changed", act.words())));
        }
    }
    Ok(None)
}

/// Carries them out in order. On any failure, says what to do next.
pub fn apply(intent: &Intent, journal: &mut Journal, ground: &mut Ground) -> std::result::Result<(), Next> {
    let undo = |error: anyhow::Error| Next::Undo {
        outcome: Outcome::RolledBack,
        why: format!("it could not be applied: {error:#}"),
    };
    for (n, act) in intent.plan.acts() {
        match carry_out(n, act, intent, journal, ground) {
            Ok(Applied::Done(_)) => {}
            Ok(Applied::Foreign) => {
                let why = format!("changed by somebody else meanwhile: {}: theirs stays", act.words());
                return Err(Next::Undo { outcome: Outcome::Conflict, why });
            }
            Err(error) => return Err(undo(error)),
        }
    }
    Ok(())
}

fn carry_out(n: usize, act: &Act, intent: &Intent, journal: &mut Journal, ground: &mut Ground) -> Result<Applied> {
    journal.reached(Phase::Acting { t: clock::now(), step: n })?;
    ground.tell.line(&line(act));
    let applied = match intent.kind {
        Kind::Fix => act::apply(act, means(ground))?,
        Kind::Rollback => act::undo(act, means(ground))?,
    };
    if let Applied::Done(said) = &applied {
        journal.reached(Phase::Acted { t: clock::now(), step: n })?;
        told("acted", act, said, &intent.fix_id, ground);
    }
    Ok(applied)
}

/// `resize    container:web: memory 512MiB -> 768MiB`.
fn line(act: &Act) -> String {
    let words = act.words();
    words.split_once(' ').map_or_else(|| words.clone(), |(verb, rest)| format!("{verb:<9} {rest}"))
}

fn told(kind: &str, act: &Act, said: &str, fix_id: &str, ground: &mut Ground) {
    for text in said.lines() {
        ground.tell.line(&format!("          {text}"));
    }
    ground.tell.event(kind, serde_json::json!({ "fix_id": fix_id, "step": act, "said": said }));
}

/// Brings them back, in reverse order, as far as each has an undo. What somebody else has changed stays as it is; the
/// others are brought back all the same.
///
/// # Errors
/// When one cannot be looked up or its service does not answer: the undoing can be tried again.
pub fn undo(intent: &Intent, journal: &mut Journal, ground: &mut Ground) -> Result<Undone> {
    let mut undone = Undone::default();
    for (n, act) in intent.plan.acts().rev() {
        let Some(inverse) = act.inverse() else { continue };
        match live_of(n, act, intent.kind, journal.phases(), ground)? {
            Live::Before => continue,
            Live::Foreign => {
                undone.conflict = Some(act.words());
                continue;
            }
            Live::After => {}
        }
        ground.tell.line(&line(&inverse));
        match act::undo(&inverse, means(ground)) {
            Ok(Applied::Done(said)) => {
                journal.reached(Phase::Reverted { t: clock::now(), step: n })?;
                told("reverted", &inverse, &said, &intent.fix_id, ground);
            }
            Ok(Applied::Foreign) => undone.conflict = Some(act.words()),
            Err(error) if error.is::<Refused>() => undone.refused = Some(format!("{error:#}")),
            Err(error) => return Err(error),
        }
    }
    Ok(undone)
}

/// Carries out those of an operator's rollback that are not done yet.
///
/// # Errors
/// When one cannot be looked up or its service does not answer: the next pass goes on.
pub fn put_back(intent: &Intent, journal: &mut Journal, ground: &mut Ground) -> Result<Undone> {
    let mut undone = Undone::default();
    for (n, act) in intent.plan.acts() {
        match live_of(n, act, intent.kind, journal.phases(), ground)? {
            Live::After => continue,
            Live::Foreign => {
                undone.conflict = Some(act.words());
                break;
            }
            Live::Before => {}
        }
        match carry_out(n, act, intent, journal, ground) {
            Ok(Applied::Done(_)) => {}
            Ok(Applied::Foreign) => {
                undone.conflict = Some(act.words());
                break;
            }
            Err(error) if error.is::<Refused>() => undone.refused = Some(format!("{error:#}")),
            Err(error) => return Err(error),
        }
    }
    Ok(undone)
}

/// What is next when the value of a step does not hold any more while the fix is watched. What cannot be looked up now
/// is looked at again with the next sample.
pub fn changed_by_somebody(intent: &Intent, ground: &Ground) -> Option<Next> {
    intent.plan.acts().find_map(|(_, act)| {
        let words = act.words();
        match act::look(act, means(ground)).ok().flatten()? {
            Live::After => None,
            Live::Before => {
                let why = format!("put back by somebody else while the fix was watched: {words}");
                Some(Next::Stuck { outcome: Outcome::Conflict, why })
            }
            Live::Foreign => {
                let why = format!("changed by somebody else while the fix was watched: {words}");
                Some(Next::Undo { outcome: Outcome::Conflict, why })
            }
        }
    })
}

/// Why a container that a step has changed does not run now; `None` where each does, or nobody can tell.
pub fn fallen(plan: &Plan, ground: &Ground) -> Option<String> {
    plan.acts().find_map(|(_, act)| act::fallen(act, means(ground)).ok().flatten())
}

/// The verdict of a fix after which a container does not run.
pub fn fallen_verdict(why: String, seen: &[Sample]) -> Verdict {
    let errors_after = seen.last().map_or(0, |sample| sample.errors);
    Verdict { kind: VerdictKind::Failure, judged_on: why, errors_after, chance_of_luck: None }
}

/// No fix has helped after which a container does not run.
pub fn unless_fallen(verdict: Verdict, fallen: Option<String>) -> Verdict {
    match fallen {
        Some(why) => Verdict { kind: VerdictKind::Failure, judged_on: why, ..verdict },
        None => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn what_nobody_can_look_up_the_journal_knows() {
        let t = Timestamp::UNIX_EPOCH;
        let check = |phases: &[Phase], fix: Live, rollback: Live| {
            assert_eq!(known(1, Kind::Fix, phases), fix, "{phases:?}");
            assert_eq!(known(1, Kind::Rollback, phases), rollback, "{phases:?}");
        };
        let (acting, acted, reverted) =
            (Phase::Acting { t, step: 1 }, Phase::Acted { t, step: 1 }, Phase::Reverted { t, step: 1 });
        check(&[], Live::Before, Live::Before);
        check(&[Phase::Acting { t, step: 0 }, Phase::Acted { t, step: 0 }], Live::Before, Live::Before);
        check(std::slice::from_ref(&acting), Live::After, Live::Before);
        check(&[acting.clone(), acted.clone()], Live::After, Live::After);
        check(&[acting, acted, reverted], Live::Before, Live::After);
    }
}
