//! What a pass did and saw, and what that means for its exit code.

use crate::gate::{Decision, HoldReason, Permit};
use crate::model::{Analysis, CheckResult, Diagnosis, LogReport, Outcome, Plan, TargetFile};
use crate::pass::Options;
use crate::transaction::{Ended, Ending};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// One diagnosis with what the gate said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub diagnosis: Diagnosis,
    /// `None` for a built-in cause, which has no fix.
    pub decision: Option<Decision>,
    /// The content of each file that the plan edits, for its diff.
    pub files: Vec<TargetFile>,
}

/// Everything a pass did and saw.
#[derive(Debug, Clone)]
pub struct Report {
    pub started: Timestamp,
    pub duration: Duration,
    pub checks: Vec<CheckResult>,
    pub logs: LogReport,
    pub analysis: Analysis,
    pub judged: Vec<Judged>,
    pub recovered: Option<Ended>,
    pub ended: Option<Ended>,
    /// Fine again before anything was done.
    pub recovered_by_itself: Option<Plan>,
    /// What went wrong with healer itself, without ending the pass.
    pub problems: Vec<String>,
    pub dry_run: bool,
    /// A signal came before the fix began: nothing was changed.
    pub interrupted: bool,
    /// `--approve` named a plan that is none of this pass's.
    pub approve_missed: bool,
    /// Fingerprints of incidents that this pass does not see, and that cannot be called over yet.
    pub unsettled: BTreeSet<String>,
    /// Why what an earlier pass left open could not even be looked at: nothing may be changed before a human has.
    pub blocked: Option<String>,
}

impl Judged {
    /// What would be, or is to be, done about it.
    pub fn plan(&self) -> Option<&Plan> {
        match self.decision.as_ref()? {
            Decision::Act(permit) => Some(permit.plan()),
            Decision::Hold { plan, .. } => plan.as_deref(),
        }
    }

    /// Why nothing is done about it.
    pub fn hold(&self) -> Option<&HoldReason> {
        match &self.decision {
            Some(Decision::Hold { reason, .. }) => Some(reason),
            _ => None,
        }
    }
}

impl Report {
    /// Every plan of this pass, held or not.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.judged.iter().filter_map(Judged::plan)
    }

    /// The plan that this pass carries out, or would.
    pub fn permit(&self, options: &Options) -> Option<&Permit> {
        permit(&self.judged, may_not_act(self.blocked.as_deref(), self.recovered.as_ref()), options)
    }

    /// The exit code: 13, 1, 12, 10, 0 in this order; 130 when interrupted.
    pub fn exit_code(&self) -> u8 {
        let endings: Vec<&Ended> = self.recovered.iter().chain(&self.ended).collect();
        if self.interrupted || endings.iter().any(|e| matches!(e, Ended::Interrupted(_))) {
            return 130;
        }
        let any = |wanted: &[Outcome]| {
            endings.iter().any(|e| matches!(e, Ended::Closed(Ending { outcome, .. }) if wanted.contains(outcome)))
        };
        let still_open = |undoing| endings.iter().any(|e| matches!(e, Ended::StillOpen(o) if o.undoing == undoing));
        if any(&[Outcome::RollbackFailed, Outcome::Conflict]) || still_open(true) {
            13
        } else if self.blocked.is_some() || still_open(false) {
            1
        } else if any(&[Outcome::RolledBack, Outcome::Failed]) {
            12
        } else if any(&[Outcome::Unproven, Outcome::RolledBackByOperator]) || self.left_for_human() {
            10
        } else {
            0
        }
    }

    /// A problem that this pass saw and did not mend; with a dry run also one that it would.
    fn left_for_human(&self) -> bool {
        let mended = match &self.ended {
            Some(Ended::Closed(ending)) if ending.outcome == Outcome::Healed => Some(&ending.plan.component),
            _ => self.recovered_by_itself.as_ref().map(|p| &p.component),
        };
        self.approve_missed
            || !self.unsettled.is_empty()
            || self
                .judged
                .iter()
                .any(|j| j.diagnosis.symptom_of.is_none() && Some(&j.diagnosis.trigger.component) != mended)
    }
}

/// What an earlier pass left open must end first: there is never a second transaction. And what it ended was this pass's
/// one fix.
pub fn may_not_act(blocked: Option<&str>, recovered: Option<&Ended>) -> bool {
    let ended = |e: &Ended| !matches!(e, Ended::Closed(Ending { outcome: Outcome::Held, .. }));
    blocked.is_some() || recovered.is_some_and(ended)
}

/// The first plan that may be carried out and was asked for.
pub fn permit<'a>(judged: &'a [Judged], blocked: bool, options: &Options) -> Option<&'a Permit> {
    let wanted = |plan: &Plan| {
        options.only.as_ref().is_none_or(|rule| plan.rule == *rule)
            && options.approve.as_ref().is_none_or(|id| plan.id == *id)
    };
    judged.iter().filter(|_| !blocked).find_map(|j| match j.decision.as_ref()? {
        Decision::Act(permit) if wanted(permit.plan()) => Some(permit.as_ref()),
        _ => None,
    })
}

/// Whether a hold is worth a human's attention: a symptom goes with its root.
pub fn worth_telling(reason: &HoldReason) -> bool {
    !matches!(reason, HoldReason::Symptom { .. })
}
