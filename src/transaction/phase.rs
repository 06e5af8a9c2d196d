//! What comes next: one pure function for the live run and for recovery.

use crate::model::{Outcome, Verdict, VerdictKind};
use crate::transaction::journal::{FileChange, Kind, Phase};

pub use crate::model::Live;

/// All files of a transaction together, and what its other steps change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    AllBefore,
    AllAfter,
    /// Some before, some after: it was killed between two files.
    Mixed,
    Foreign,
}

/// What to do with a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Nothing was changed: close without a record.
    Forget,
    /// Bring every file to `after`, then restart.
    Apply,
    /// Look whether it helped.
    Judge,
    /// Bring every file back to `before`, repeat the restarts.
    Undo { outcome: Outcome, why: String },
    /// Write the terminal record and close.
    Record { outcome: Outcome },
    /// Touch nothing, hold the target, call a human.
    Stuck { outcome: Outcome, why: String },
}

/// What one content is to a transaction.
pub fn live(change: &FileChange, sha256: Option<&str>) -> Live {
    match sha256 {
        // A literal set to what it was already is both: nothing is left to do.
        Some(sha) if sha == change.after => Live::After,
        Some(sha) if sha == change.before => Live::Before,
        _ => Live::Foreign,
    }
}

/// What all contents together are.
pub fn disk(files: &[Live]) -> Disk {
    let any = |kind| files.contains(&kind);
    match (any(Live::Foreign), any(Live::Before), any(Live::After)) {
        (true, _, _) => Disk::Foreign,
        (false, true, true) => Disk::Mixed,
        (false, true, false) => Disk::AllBefore,
        (false, false, _) => Disk::AllAfter,
    }
}

/// The step that follows the last phase that was reached, with the files as they are. `None` is the intent alone.
pub fn next(kind: Kind, last: Option<&Phase>, disk: Disk) -> Next {
    let conflict = || Next::Stuck {
        outcome: Outcome::Conflict,
        why: "what it changes was changed by somebody else during the fix: theirs stays".to_owned(),
    };
    match (kind, last, disk) {
        (_, Some(Phase::Stuck { outcome, .. }), _) => Next::Record { outcome: *outcome },
        (_, Some(Phase::Undone { .. }), _) => Next::Record { outcome: Outcome::RolledBack },
        // Judged before the file changed hands: what came later is no part of this fix.
        (_, Some(Phase::Kept { outcome, .. }), _) => Next::Record { outcome: *outcome },
        (_, _, Disk::Foreign) => conflict(),
        (Kind::Rollback, Some(Phase::Restarted { .. }), _) => Next::Record { outcome: Outcome::RolledBackByOperator },
        (Kind::Rollback, _, _) => Next::Apply,
        (Kind::Fix, Some(Phase::Undoing { outcome, why, .. }), _) => Next::Undo { outcome: *outcome, why: why.clone() },
        (Kind::Fix, None, Disk::AllBefore) => Next::Forget,
        (Kind::Fix, Some(Phase::Validating { .. }), Disk::AllAfter) => Next::Judge,
        (Kind::Fix, _, _) => {
            Next::Undo { outcome: Outcome::RolledBack, why: "it was interrupted before it could be watched".to_owned() }
        }
    }
}

/// What a verdict means for the fix.
pub fn after_verdict(verdict: &Verdict, undoable: bool) -> Next {
    match verdict.kind {
        VerdictKind::Success => Next::Record { outcome: Outcome::Healed },
        VerdictKind::NotEnough => Next::Record { outcome: Outcome::Unproven },
        VerdictKind::Interrupted => Next::Undo { outcome: Outcome::RolledBack, why: verdict.judged_on.clone() },
        VerdictKind::Failure if undoable => Next::Undo { outcome: Outcome::RolledBack, why: verdict.judged_on.clone() },
        VerdictKind::Failure => Next::Record { outcome: Outcome::Failed },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn t() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn word(next: &Next) -> &'static str {
        match next {
            Next::Forget => "forget",
            Next::Apply => "apply",
            Next::Judge => "judge",
            Next::Undo { .. } => "undo",
            Next::Record { outcome } | Next::Stuck { outcome, .. } => outcome.word(),
        }
    }

    #[test]
    fn every_place_a_fix_can_be_killed_in_has_one_way_on() {
        let verdict =
            Verdict { kind: VerdictKind::Success, judged_on: String::new(), errors_after: 0, chance_of_luck: None };
        let undoing =
            || Some(Phase::Undoing { t: t(), outcome: Outcome::RolledBack, verdict: None, why: String::new() });
        let kept = || Some(Phase::Kept { t: t(), outcome: Outcome::Healed, verdict: verdict.clone() });
        let check = |last: Option<Phase>, before, mixed, after, foreign| {
            let seen = [Disk::AllBefore, Disk::Mixed, Disk::AllAfter, Disk::Foreign]
                .map(|disk| word(&next(Kind::Fix, last.as_ref(), disk)).to_owned());
            assert_eq!(seen, [before, mixed, after, foreign], "{last:?}");
        };
        check(None, "forget", "undo", "undo", "conflict");
        check(Some(Phase::Edited { t: t() }), "undo", "undo", "undo", "conflict");
        check(Some(Phase::Acting { t: t(), step: 0 }), "undo", "undo", "undo", "conflict");
        check(Some(Phase::Acted { t: t(), step: 0 }), "undo", "undo", "undo", "conflict");
        check(Some(Phase::Restarting { t: t(), runs: Vec::new() }), "undo", "undo", "undo", "conflict");
        check(Some(Phase::Restarted { t: t() }), "undo", "undo", "undo", "conflict");
        check(Some(Phase::Validating { at: crate::model::Moment::of_wall(t()) }), "undo", "undo", "judge", "conflict");
        check(undoing(), "undo", "undo", "undo", "conflict");
        check(kept(), "healed", "healed", "healed", "healed");
        check(Some(Phase::Undone { t: t() }), "rolled_back", "rolled_back", "rolled_back", "rolled_back");
    }

    #[test]
    fn an_operators_rollback_is_finished_forward() {
        let check = |last: Option<Phase>, disk, expected| {
            assert_eq!(word(&next(Kind::Rollback, last.as_ref(), disk)), expected, "{last:?} {disk:?}");
        };
        check(None, Disk::AllBefore, "apply");
        check(None, Disk::Mixed, "apply");
        check(Some(Phase::Edited { t: t() }), Disk::AllAfter, "apply");
        check(Some(Phase::Acting { t: t(), step: 1 }), Disk::Mixed, "apply");
        check(Some(Phase::Restarted { t: t() }), Disk::AllAfter, "rolled_back_by_operator");
        check(None, Disk::Foreign, "conflict");
    }

    #[test]
    fn one_foreign_file_makes_all_foreign() {
        let check = |files: &[Live], expected| assert_eq!(disk(files), expected);
        check(&[], Disk::AllAfter);
        check(&[Live::Before], Disk::AllBefore);
        check(&[Live::After, Live::After], Disk::AllAfter);
        check(&[Live::After, Live::Before], Disk::Mixed);
        check(&[Live::After, Live::Foreign], Disk::Foreign);
    }
}
