//! The judging of a pass: from everything that was seen and remembered to the gate's word on every diagnosis.
//!
//! Pure, and the same code for a live pass, for a recorded one (`recording`) and for the test of a rule: whatever a
//! decision depends on is a value of [`Given`] or [`Around`]. A new input is one more field of one of them.

use crate::config::Engine;
use crate::diagnose::streaks::Streaks;
use crate::diagnose::{self, Observed};
use crate::gate;
use crate::model::{Analysis, Diagnosis, Labelling};
use crate::pass::{History, Judged, Options, Sight};
use crate::pause::Pause;
use crate::plan::{self, FileMounts, Present, Services, TargetFiles};

/// What causes are concluded from.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub engine: &'a Engine,
    pub sight: &'a Sight,
    /// This pass included.
    pub streaks: &'a Streaks,
    pub history: &'a History,
}

/// What is looked at once the causes are known, and decides what may be done about them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Around {
    /// Of all rules that fired.
    pub files: TargetFiles,
    pub services: Services,
    pub mounts: FileMounts,
    pub present: Present,
    /// What the labels of containers say.
    pub labels: Labelling,
    /// The `STOP` file, where there is one.
    pub stop: Option<String>,
    /// Those in force.
    pub pauses: Vec<Pause>,
    /// The time of day, for maintenance windows.
    pub local: jiff::civil::DateTime,
    /// An earlier pass left a fix open that could not be ended: nothing may be carried out.
    pub blocked: bool,
}

/// Concludes from what was seen.
pub fn diagnose(given: Given) -> Analysis {
    let seen = Observed {
        checks: &given.sight.checks,
        logs: &given.sight.logs,
        streaks: given.streaks,
        since: given.sight.since,
        now: &given.sight.now,
    };
    diagnose::diagnose(given.engine, &seen, &given.history.knowledge, &given.history.attempts)
}

/// The gate's word on every diagnosis, in their order.
pub fn judge(given: Given, analysis: &Analysis, around: &Around, options: &Options) -> Vec<Judged> {
    analysis.diagnoses.iter().map(|diagnosis| judge_one(given, analysis, diagnosis, around, options)).collect()
}

fn judge_one(given: Given, analysis: &Analysis, diagnosis: &Diagnosis, around: &Around, options: &Options) -> Judged {
    let Given { engine, sight, history, .. } = given;
    let Some(rule) = diagnosis.rule.as_deref().and_then(|name| engine.rule(name)) else {
        return Judged { diagnosis: diagnosis.clone(), decision: None, files: Vec::new() };
    };
    let material = plan::Given {
        engine,
        checks: &sight.checks,
        files: &around.files,
        services: &around.services,
        mounts: &around.mounts,
        present: &around.present,
        knowledge: &history.knowledge,
        attempts: &history.attempts,
        now: &sight.now,
    };
    let proposal = plan::propose(material, diagnosis, rule);
    let mut diagnosis = diagnosis.clone();
    if let Ok(proposal) = &proposal {
        diagnosis.confidence = proposal.plan.confidence;
        diagnosis.candidates.iter_mut().take(1).for_each(|own| own.confidence = proposal.plan.confidence);
        diagnosis.addends.clone_from(&proposal.addends);
    }
    let gate = gate::Given {
        engine,
        checks: &sight.checks,
        roots: &analysis.roots,
        files: &around.files,
        services: &around.services,
        labels: &around.labels,
        attempts: &history.attempts,
        now: &sight.now,
        stop: around.stop.as_deref(),
        pauses: &around.pauses,
        local: around.local,
        approved: options.approve.as_deref(),
    };
    let decision = gate::decide(gate, &diagnosis, rule, proposal);
    let mut paths: Vec<_> = plan::files_of(rule).collect();
    paths.sort();
    paths.dedup();
    let files = paths.into_iter().filter_map(|path| around.files.get(path)?.as_ref().ok().cloned()).collect();
    Judged { diagnosis, decision: Some(decision), files }
}
