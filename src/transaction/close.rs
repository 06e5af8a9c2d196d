//! The end of a transaction: kept or undone, recorded once, closed.

use crate::host::clock;
use crate::model::{Outcome, Plan, Verdict};
use crate::transaction::journal::{Intent, Journal, Kind, Phase};
use crate::transaction::phase::Next;
use crate::transaction::{Ground, record, steps};
use anyhow::Result;

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

/// A transaction that could not be ended now.
#[derive(Debug, Clone, PartialEq)]
pub struct StillOpen {
    pub fix_id: String,
    pub plan: Plan,
    pub backup_id: Option<String>,
    /// It is to be undone; otherwise it only could not be written down.
    pub undoing: bool,
    pub why: String,
}

/// An ending, or the transaction left open for the next pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    Closed(Ending),
    /// A signal came during the wait: the next pass judges it.
    Interrupted(Plan),
    /// The next pass tries again.
    StillOpen(StillOpen),
}

/// What was done, or the transaction that stays open because it could not be.
pub fn or_still_open(intent: &Intent, undoing: bool, done: Result<Ended>) -> Ended {
    done.unwrap_or_else(|error| {
        Ended::StillOpen(StillOpen {
            fix_id: intent.fix_id.clone(),
            plan: intent.plan.clone(),
            backup_id: intent.backup_id.clone(),
            undoing,
            why: format!("{error:#}; the next pass tries again"),
        })
    })
}

/// Does what is next until the transaction is closed, or cannot be.
pub fn finish(
    next: Next,
    verdict: Option<Verdict>,
    intent: Intent,
    journal: &mut Journal,
    ground: &mut Ground,
) -> Ended {
    let undoing = matches!(next, Next::Undo { .. });
    let kept = intent.clone();
    or_still_open(&kept, undoing, end(next, verdict, intent, journal, ground))
}

fn end(
    next: Next,
    verdict: Option<Verdict>,
    intent: Intent,
    journal: &mut Journal,
    ground: &mut Ground,
) -> Result<Ended> {
    let (outcome, why) = match next {
        Next::Undo { outcome, why } => {
            // Where there is nothing to undo, nothing is rolled back.
            let nothing = outcome == Outcome::RolledBack && !intent.plan.is_undoable();
            let outcome = if nothing { Outcome::Failed } else { outcome };
            undo(outcome, why, verdict.as_ref(), &intent, journal, ground)?
        }
        Next::Stuck { outcome, why } => (outcome, why),
        Next::Record { outcome } => (outcome, verdict.as_ref().map(|v| v.judged_on.clone()).unwrap_or_default()),
        Next::Forget | Next::Apply | Next::Judge => {
            (Outcome::Failed, "an impossible next step: please report this".to_owned())
        }
    };
    close(outcome, why, verdict, intent, journal, ground)
}

fn undo(
    outcome: Outcome,
    why: String,
    verdict: Option<&Verdict>,
    intent: &Intent,
    journal: &mut Journal,
    ground: &mut Ground,
) -> Result<(Outcome, String)> {
    let phase = Phase::Undoing { t: clock::now(), outcome, verdict: verdict.cloned(), why: why.clone() };
    // Undone all the same where that cannot be written down: the files say what is left to do, whoever reads the journal.
    let noted = journal.reached(phase);
    ground.tell.event("rolling_back", serde_json::json!({ "fix_id": intent.fix_id, "why": why }));
    let undone = steps::undo(intent, journal, ground)?;
    noted?;
    Ok(match undone {
        steps::Undone::Done => (outcome, why),
        steps::Undone::Conflict(path) => {
            (Outcome::Conflict, format!("{path} was changed by somebody else meanwhile: theirs stays"))
        }
        steps::Undone::NotRestarted(error) => {
            let again =
                intent.backup_id.as_ref().map(|id| format!("; mend that, then `healer rollback {id}` repeats it"));
            let why =
                format!("{why}; the files are as before, but a restart failed: {error:#}{}", again.unwrap_or_default());
            (if intent.plan.is_undoable() { Outcome::RollbackFailed } else { Outcome::Failed }, why)
        }
        steps::Undone::Refused(error) => {
            let again =
                intent.backup_id.as_ref().map(|id| format!("; mend that, then `healer rollback {id}` repeats it"));
            let why = format!("{why}; it could not be undone whole: {error}{}", again.unwrap_or_default());
            (Outcome::RollbackFailed, why)
        }
    })
}

/// Writes the terminal record, then removes the journal.
///
/// # Errors
/// When one of these fails: the journal stays, and the next pass writes what is missing.
pub fn close(
    outcome: Outcome,
    why: String,
    verdict: Option<Verdict>,
    intent: Intent,
    journal: &mut Journal,
    ground: &mut Ground,
) -> Result<Ended> {
    match outcome {
        Outcome::Healed | Outcome::Unproven => {
            if let Some(verdict) = verdict.clone() {
                journal.reached(Phase::Kept { t: clock::now(), outcome, verdict })?;
            }
        }
        Outcome::Conflict | Outcome::RollbackFailed => {
            journal.reached(Phase::Stuck { t: clock::now(), outcome, why: why.clone() })?;
        }
        _ => {}
    }
    match intent.kind {
        Kind::Fix => record::write(outcome, &why, verdict.as_ref(), &intent, journal.phases(), ground)?,
        Kind::Rollback => record::write_rollback(outcome, &why, &intent, ground)?,
    }
    journal.close()?;
    Ok(Ended::Closed(ending(intent, outcome, verdict, why)))
}

/// The ending of a transaction.
pub fn ending(intent: Intent, outcome: Outcome, verdict: Option<Verdict>, why: String) -> Ending {
    Ending { fix_id: intent.fix_id, plan: intent.plan, outcome, verdict, backup_id: intent.backup_id, why }
}
