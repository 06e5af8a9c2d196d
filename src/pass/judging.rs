//! The judging of a pass: from everything that was seen and remembered to the gate's word on every diagnosis.
//!
//! Pure, and the same code for a live pass, for a recorded one (`recording`) and for the test of a rule: whatever a
//! decision depends on is a value of [`Given`] or [`Around`]. A new input is one more field of one of them.

use crate::config::{Engine, Rule};
use crate::diagnose::streaks::Streaks;
use crate::diagnose::{self, Observed, signals};
use crate::gate;
use crate::gate::conditions::{self, Condition};
use crate::model::{Analysis, Diagnosis, Labelling, Signal};
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
    diagnose::diagnose(given.engine, &observed(given), &given.history.knowledge, &given.history.attempts)
}

fn observed(given: Given<'_>) -> Observed<'_> {
    Observed {
        checks: &given.sight.checks,
        logs: &given.sight.logs,
        streaks: given.streaks,
        since: given.sight.since,
        now: &given.sight.now,
    }
}

/// The gate's word on every diagnosis, in their order.
pub fn judge(given: Given, analysis: &Analysis, around: &Around, options: &Options) -> Vec<Judged> {
    analysis.diagnoses.iter().map(|diagnosis| judge_one(given, analysis, diagnosis, around, options)).collect()
}

/// Why a rule does what it does now.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// Its trigger, evidence and requirements.
    pub signals: Vec<Signal>,
    /// The gate's questions, as far as there is something to ask about.
    pub conditions: Vec<Condition>,
    /// What it fired on.
    pub diagnosis: Option<Diagnosis>,
    /// Another cause of the same trouble goes before it.
    pub beaten_by: Option<String>,
}

/// Every condition of one rule, met or not.
pub fn explain(given: Given, analysis: &Analysis, rule: &Rule, around: &Around) -> Explained {
    let Given { engine, history, .. } = given;
    let own = |d: &&Diagnosis| d.rule.as_ref() == Some(&rule.name);
    let won = analysis.diagnoses.iter().find(own);
    let diagnosis = won.or_else(|| analysis.competing.iter().find(own));
    let nothing_asked = Options::default();
    let gate = gate_given(given, analysis, around, &nothing_asked);
    let mut conditions = conditions::of_rule(gate, rule);
    let Some(diagnosis) = diagnosis else {
        let reason = analysis.not_fired.iter().find(|n| n.rule == rule.name);
        let reason = reason.map_or("it did not fire", |n| n.reason.as_str());
        let signals = signals::of_silent(engine, rule, reason, &observed(given), &history.attempts);
        return Explained { signals, conditions, diagnosis: None, beaten_by: None };
    };
    // What a beaten one would touch was not even looked at.
    if won.is_some() {
        let proposal = plan::propose(material(given, around), diagnosis, rule);
        conditions.extend(conditions::of_diagnosis(gate, diagnosis, rule, &proposal));
    }
    let beaten_by = won.is_none().then(|| winner_over(&rule.name, analysis));
    Explained { signals: diagnosis.signals.clone(), conditions, diagnosis: Some(diagnosis.clone()), beaten_by }
}

/// The cause that goes before a rule's.
fn winner_over(rule: &str, analysis: &Analysis) -> String {
    let competes = |d: &&Diagnosis| d.candidates.iter().any(|c| c.rule.as_deref() == Some(rule));
    match analysis.diagnoses.iter().find(competes).map(|d| (&d.rule, &d.issue_type)) {
        Some((Some(rule), _)) => format!("rule {rule}"),
        Some((None, issue)) => format!("the built-in cause {issue}"),
        None => "another cause".to_owned(),
    }
}

fn material<'a>(given: Given<'a>, around: &'a Around) -> plan::Given<'a> {
    let Given { engine, sight, history, .. } = given;
    plan::Given {
        engine,
        checks: &sight.checks,
        files: &around.files,
        services: &around.services,
        mounts: &around.mounts,
        present: &around.present,
        knowledge: &history.knowledge,
        attempts: &history.attempts,
        now: &sight.now,
    }
}

fn gate_given<'a>(
    given: Given<'a>,
    analysis: &'a Analysis,
    around: &'a Around,
    options: &'a Options,
) -> gate::Given<'a> {
    let Given { engine, sight, history, .. } = given;
    gate::Given {
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
    }
}

fn judge_one(given: Given, analysis: &Analysis, diagnosis: &Diagnosis, around: &Around, options: &Options) -> Judged {
    let engine = given.engine;
    let Some(rule) = diagnosis.rule.as_deref().and_then(|name| engine.rule(name)) else {
        return Judged { diagnosis: diagnosis.clone(), decision: None, files: Vec::new() };
    };
    let proposal = plan::propose(material(given, around), diagnosis, rule);
    let mut diagnosis = diagnosis.clone();
    if let Ok(proposal) = &proposal {
        diagnosis.confidence = proposal.plan.confidence;
        diagnosis.candidates.iter_mut().take(1).for_each(|own| own.confidence = proposal.plan.confidence);
        diagnosis.addends.clone_from(&proposal.addends);
    }
    let decision = gate::decide(gate_given(given, analysis, around, options), &diagnosis, rule, proposal);
    let mut paths: Vec<_> = plan::files_of(rule).collect();
    paths.sort();
    paths.dedup();
    let files = paths.into_iter().filter_map(|path| around.files.get(path)?.as_ref().ok().cloned()).collect();
    Judged { diagnosis, decision: Some(decision), files }
}
