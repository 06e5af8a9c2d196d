//! The gate's questions one by one: what each asks for and what is there, also where nothing holds. The answers are those
//! that [`decide`](super::decide) goes by, in its order. May not live here: a question that the gate does not ask.

use super::{Given, HoldReason, labels, limits};
use crate::breaker;
use crate::config::Rule;
use crate::diagnose::rules::shown;
use crate::model::{Diagnosis, Plan};
use crate::plan::{Proposal, Refusal};
use crate::text::coarse;

/// One question of the gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The word of the reason that it holds for.
    pub name: &'static str,
    pub asked: String,
    pub seen: String,
    pub met: bool,
}

/// `seen` is said where nothing holds it, else the reason says itself what it saw.
fn condition(name: &'static str, asked: &str, seen: &str, reason: Option<HoldReason>) -> Condition {
    let met = reason.is_none();
    let seen = reason.map_or_else(|| seen.to_owned(), |reason| reason.to_string());
    Condition { name, asked: asked.to_owned(), seen, met }
}

/// Those that concern the whole host and the rule as such, whether it fires or not.
pub fn of_rule(given: Given, rule: &Rule) -> Vec<Condition> {
    let stop = given.stop.map(|file| HoldReason::Stop(file.to_owned()));
    let roots = given.roots.len();
    let storm = super::storm(given.engine, given.roots, given.checks);
    let paused = super::off_duty(given, &rule.name);
    let (paused, window) = match paused {
        Some(reason @ HoldReason::Maintenance(_)) => (None, Some(reason)),
        paused => (paused, None),
    };
    let critical = format!("{roots} critical");
    let mut all = vec![
        condition("stop", "no STOP file", "there is none", stop),
        condition("storm", "fewer than 3 root causes at once", &critical, storm),
        condition("paused", "not paused", "no pause", paused),
    ];
    if !given.engine.maintenance.is_empty() {
        all.push(condition("maintenance", "no maintenance window", "none is on", window));
    }
    all
}

/// Those that concern what it fired on, and what would be done about it.
pub fn of_diagnosis(
    given: Given,
    diagnosis: &Diagnosis,
    rule: &Rule,
    proposal: &Result<Proposal, Refusal>,
) -> Vec<Condition> {
    let symptom = diagnosis.symptom_of.clone().map(|of| HoldReason::Symptom { of });
    let flapping = diagnosis.flapping.then(|| HoldReason::Flapping(diagnosis.trigger.component.clone()));
    let mut all = vec![
        condition("symptom", "a root, no symptom", "a root", symptom),
        condition("flapping", "does not come and go", "it does not", flapping),
    ];
    match proposal {
        Err(refusal) => {
            let reason = super::of_refusal(given, diagnosis, rule, refusal.clone());
            all.push(condition(reason.word(), "a fix that can be made", "", Some(reason)));
        }
        Ok(proposal) => {
            let plan = &proposal.plan;
            all.push(condition("no_fix", "a fix that can be made", &format!("{} ({})", plan.fix_type, plan.id), None));
        }
    }
    if !rule.require.is_empty() {
        let missing = super::not_corroborated(diagnosis);
        all.push(condition("uncorroborated", "all that the rule requires", "it is there", missing));
    }
    all.extend(proposal.iter().flat_map(|proposal| of_plan(given, diagnosis, rule, &proposal.plan)));
    all
}

fn of_plan(given: Given, diagnosis: &Diagnosis, rule: &Rule, plan: &Plan) -> Vec<Condition> {
    let limits = &given.engine.limits;
    let held = given.attempts.hold(&rule.name, &plan.target).map(HoldReason::of_held);
    let (failures, _) = breaker::failures(given.attempts, &plan.rule, &plan.target, &plan.component, given.now, limits);
    let mut all = vec![
        condition("not_allowed", "all that it changes is in [allow]", "it is", super::not_allowed(given.engine, plan)),
        condition(
            "not_allowed",
            "no label of a container forbids it",
            "none does",
            labels::forbidden(given.engine, given.labels, plan),
        ),
        condition("held_for_human", "not held for a human", "it is not", held),
        condition(
            "circuit_open",
            &format!("fewer than {} failures in a row", limits.circuit_failures),
            &failures.to_string(),
            super::circuit_open(given, plan),
        ),
        condition(
            "low_confidence",
            &format!("confidence of {} or more", given.engine.confidence_threshold),
            &plan.confidence.to_string(),
            super::low_confidence(given, plan),
        ),
        condition(
            "cooldown",
            &format!("untouched for {}", shown(rule.limits.cooldown)),
            &touched(given, plan),
            limits::cooldown(given, rule, plan),
        ),
    ];
    all.extend(limits::counts(given, rule, plan).iter().map(|count| {
        let asked = format!("fewer than {} fixes {} in {}", count.max, count.what, shown(count.per));
        condition("limit", &asked, &count.made.to_string(), count.reason())
    }));
    let grace = plan.edits().find_map(|edit| super::human_grace(given, edit));
    let starting = super::judged_services(diagnosis, plan).find_map(|target| super::start_grace(given, &target));
    let mode = if super::only_suggests(given, rule) { "suggest" } else { "auto" };
    let asked = format!("files left alone by others for {}", shown(limits.human_grace));
    all.push(condition("human_grace", &asked, "they are", grace));
    all.push(condition("start_grace", &format!("services up for {}", shown(limits.start_grace)), "they are", starting));
    all.push(condition("suggest", "mode auto", mode, (mode == "suggest").then_some(HoldReason::Suggest)));
    let suggested = labels::suggested(given.engine, given.labels, plan);
    all.push(condition("suggest", "no label leaves it to a human", "none does", suggested));
    all
}

/// How long ago a fix last touched anything that this one would.
fn touched(given: Given, plan: &Plan) -> String {
    let last = plan.touches().iter().filter_map(|target| limits::since_last(given, target)).min();
    last.map_or_else(|| "never touched".to_owned(), |last| format!("for {}", shown(coarse(last))))
}
