//! Act, or hold with the reason.
//!
//! Pure: plan, history and limits in, decision out. It alone can make a [`Permit`], and the transaction accepts nothing
//! else, so nothing reaches a disk around it.

pub mod conditions;
mod labels;
mod limits;

use crate::attempts::{Attempt, Attempts, Held};
use crate::breaker::{self, Circuit};
use crate::config::{Allow, Engine, Mode, Rule};
use crate::diagnose::rules::shown;
use crate::model::{Act, CheckResult, Diagnosis, EditStep, Labelling, Moment, Plan, RestartTarget, Step};
use crate::pause::{self, Pause};
use crate::plan::{self, Proposal, Refusal, Services, TargetFiles};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Leave to carry out one plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Permit {
    plan: Plan,
}

impl Permit {
    /// The plan that may be carried out.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Why nothing is done although something is wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum HoldReason {
    /// A `STOP` file lies beside the configuration.
    Stop(String),
    Paused {
        left: Duration,
        reason: String,
        by: String,
        rule: Option<String>,
    },
    /// A maintenance window, by its name.
    Maintenance(String),
    Symptom {
        of: String,
    },
    /// The component whose trouble comes and goes.
    Flapping(String),
    Storm {
        critical: usize,
        checks: usize,
        percent: f64,
    },
    NoPlan(Refusal),
    Uncorroborated(Vec<String>),
    LowConfidence {
        confidence: u8,
        threshold: u8,
    },
    /// Below the threshold by what such fixes came to alone; one try is let through after a while.
    History {
        confidence: u8,
        threshold: u8,
        left: Duration,
    },
    CircuitOpen {
        rule: String,
        target: String,
        failures: u32,
        left: Duration,
    },
    Suggest,
    /// A label of a container asks for a human; in a sentence.
    SuggestedByLabel(String),
    NotAllowed(String),
    /// A label of a container forbids it; in a sentence.
    ForbiddenByLabel(String),
    Released {
        reason: String,
        target: String,
    },
    Cooldown {
        target: String,
        left: Duration,
    },
    RuleLimit {
        rule: String,
        max: u32,
        per: Duration,
    },
    TargetLimit {
        target: String,
        max: u32,
    },
    HostLimit {
        max: u32,
        per: Duration,
    },
    HumanGrace {
        path: String,
        age: Duration,
    },
    StartGrace {
        service: String,
        age: Duration,
    },
    Starting {
        service: String,
    },
}

impl HoldReason {
    fn of_held(held: &Held) -> HoldReason {
        HoldReason::Released { reason: held.reason.clone(), target: held.target.clone() }
    }

    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            HoldReason::Stop(_) => "stop",
            HoldReason::Paused { .. } => "paused",
            HoldReason::Maintenance(_) => "maintenance",
            HoldReason::Symptom { .. } => "symptom",
            HoldReason::Flapping(_) => "flapping",
            HoldReason::Storm { .. } => "storm",
            HoldReason::NoPlan(Refusal::NoFix) => "no_fix",
            HoldReason::NoPlan(Refusal::LadderSpent(_)) => "at_bound",
            HoldReason::NoPlan(Refusal::Unusable(_)) => "unusable_target",
            HoldReason::Uncorroborated(_) => "uncorroborated",
            HoldReason::LowConfidence { .. } | HoldReason::History { .. } => "low_confidence",
            HoldReason::CircuitOpen { .. } => "circuit_open",
            HoldReason::Suggest | HoldReason::SuggestedByLabel(_) => "suggest",
            HoldReason::NotAllowed(_) | HoldReason::ForbiddenByLabel(_) => "not_allowed",
            HoldReason::Released { .. } => "held_for_human",
            HoldReason::Cooldown { .. } => "cooldown",
            HoldReason::RuleLimit { .. } | HoldReason::TargetLimit { .. } | HoldReason::HostLimit { .. } => "limit",
            HoldReason::HumanGrace { .. } => "human_grace",
            HoldReason::StartGrace { .. } | HoldReason::Starting { .. } => "start_grace",
        }
    }
}

impl std::fmt::Display for HoldReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HoldReason::Stop(file) => write!(f, "{file} is there: nothing is changed until it is removed"),
            HoldReason::Paused { left, reason, by, rule } => {
                let of = rule.as_ref().map(|rule| format!(" of rule {rule}")).unwrap_or_default();
                write!(f, "fixes{of} are paused by {by} ({reason}), {} left: `healer resume` ends it", shown(*left))
            }
            HoldReason::Maintenance(name) => write!(f, "maintenance window {name}: nothing is changed"),
            HoldReason::Symptom { of } => write!(f, "a symptom of {of}: mend that first"),
            HoldReason::Flapping(component) => {
                write!(
                    f,
                    "{component} is flapping: its trouble went and came back three times within an hour, whatever was \
                     done; a human is needed"
                )
            }
            HoldReason::Storm { critical, checks, percent } => {
                write!(
                    f,
                    "{critical} of {checks} checks are critical at once (storm_percent = {percent}): a human is needed"
                )
            }
            HoldReason::NoPlan(refusal) => write!(f, "{refusal}"),
            HoldReason::Uncorroborated(checks) => {
                write!(f, "the rule requires corroboration, and not red now: {}", checks.join(", "))
            }
            HoldReason::LowConfidence { confidence, threshold } => {
                write!(f, "confidence {confidence} is below the threshold of {threshold}")
            }
            HoldReason::History { confidence, threshold, left } => {
                write!(
                    f,
                    "confidence {confidence} is below the threshold of {threshold} by what such fixes came to: one \
                     more try in {}",
                    shown(*left)
                )
            }
            HoldReason::CircuitOpen { rule, target, failures, left } => {
                write!(
                    f,
                    "the circuit breaker of rule {rule} and {target} is open: {failures} fixes in a row failed or \
                     their problem came back; one more try in {}, or after `healer reset '{target}'`",
                    shown(*left)
                )
            }
            HoldReason::Suggest => f.write_str("mode is suggest: a human decides"),
            HoldReason::SuggestedByLabel(why) | HoldReason::ForbiddenByLabel(why) => f.write_str(why),
            HoldReason::NotAllowed(what) => write!(f, "{what} is not in [allow]"),
            HoldReason::Released { reason, target } => {
                let reason = held_in_words(reason);
                write!(f, "{target} is held since {reason}: `healer reset '{target}'` releases it")
            }
            HoldReason::Cooldown { target, left } => {
                write!(f, "{target} was changed lately: cooldown, {} left", shown(*left))
            }
            HoldReason::RuleLimit { rule, max, per } => {
                write!(f, "rule {rule} has had its {max} fixes within {}", shown(*per))
            }
            HoldReason::TargetLimit { target, max } => {
                write!(f, "{target} has had its {max} fixes within {}", shown(DAY))
            }
            HoldReason::HostLimit { max, per } => {
                write!(f, "this host has had its {max} fixes within {}", shown(*per))
            }
            HoldReason::HumanGrace { path, age } => {
                write!(f, "{path} was changed {} ago, and not by healer: left alone for now", shown(*age))
            }
            HoldReason::StartGrace { service, age } => {
                write!(f, "{service} was started {} ago: not judged yet", shown(*age))
            }
            HoldReason::Starting { service } => write!(f, "{service} is still starting: not judged yet"),
        }
    }
}

/// Why a target is held, which is written down as `OUTCOME of FIX`, for people.
pub fn held_in_words(reason: &str) -> String {
    match reason.split_once(" of ") {
        Some(("rolled_back_by_operator", fix)) => format!("an operator rolled back {fix}"),
        Some(("rollback_failed", fix)) => format!("{fix} could not be undone"),
        Some(("conflict", fix)) => format!("{fix} was not undone: its target was changed by somebody else"),
        _ => reason.to_owned(),
    }
}

/// The gate's word on one diagnosis.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Act(Box<Permit>),
    Hold { reason: HoldReason, plan: Option<Box<Plan>> },
}

/// What the gate looks at besides the plan.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub engine: &'a Engine,
    pub checks: &'a [CheckResult],
    /// The critical checks and containers that are nobody's symptom.
    pub roots: &'a [String],
    pub files: &'a TargetFiles,
    pub services: &'a Services,
    pub labels: &'a Labelling,
    pub attempts: &'a Attempts,
    pub now: &'a Moment,
    /// The `STOP` file, where there is one.
    pub stop: Option<&'a str>,
    pub pauses: &'a [Pause],
    /// The time of day on this host.
    pub local: jiff::civil::DateTime,
    /// An operator approved this very plan: it passes the confidence and the mode gate, and no other.
    pub approved: Option<&'a str>,
}

/// Decides. The first reason to hold is the one given: from what concerns the whole host to what concerns one file.
pub fn decide(given: Given, diagnosis: &Diagnosis, rule: &Rule, proposal: Result<Proposal, Refusal>) -> Decision {
    let (plan, refusal) = match proposal {
        Ok(proposal) => (Some(proposal.plan), None),
        Err(refusal) => (None, Some(refusal)),
    };
    let reason = whole_host(given)
        .or_else(|| off_duty(given, &rule.name))
        .or_else(|| diagnosis.symptom_of.clone().map(|of| HoldReason::Symptom { of }))
        .or_else(|| diagnosis.flapping.then(|| HoldReason::Flapping(diagnosis.trigger.component.clone())))
        .or_else(|| refusal.map(|refusal| of_refusal(given, diagnosis, rule, refusal)))
        .or_else(|| not_corroborated(diagnosis))
        .or_else(|| plan.as_ref().and_then(|plan| of_plan(given, diagnosis, rule, plan)));
    match (reason, plan) {
        (None, Some(plan)) => Decision::Act(Box::new(Permit { plan })),
        (reason, plan) => {
            Decision::Hold { reason: reason.unwrap_or(HoldReason::NoPlan(Refusal::NoFix)), plan: plan.map(Box::new) }
        }
    }
}

fn whole_host(given: Given) -> Option<HoldReason> {
    given.stop.map(|file| HoldReason::Stop(file.to_owned())).or_else(|| storm(given.engine, given.roots, given.checks))
}

/// A pause or a maintenance window.
fn off_duty(given: Given, rule: &str) -> Option<HoldReason> {
    let paused = pause::of_rule(given.pauses, rule, given.now).map(|(pause, left)| HoldReason::Paused {
        left,
        reason: pause.reason.clone(),
        by: pause.by.clone(),
        rule: pause.rule.clone(),
    });
    let window = || pause::window_of(&given.engine.maintenance, rule, given.local);
    paused.or_else(|| window().map(|w| HoldReason::Maintenance(w.name.clone())))
}

/// Three or more root causes critical, symptoms not counted, and more than `storm_percent` of the checks. Each
/// container counts as one check, together with the check that looks at it.
pub fn storm(engine: &Engine, roots: &[String], checks: &[CheckResult]) -> Option<HoldReason> {
    let all = crate::diagnose::symptoms::components(engine, checks);
    let critical = roots.len();
    let percent = engine.limits.storm_percent;
    let share = critical as f64 * 100.0 / all.max(1) as f64;
    (critical >= 3 && share > percent).then_some(HoldReason::Storm { critical, checks: all, percent })
}

/// What labels say against a plan that the gate has let through: they are looked at once more right before acting.
pub fn held_by_labels(engine: &Engine, labels: &Labelling, plan: &Plan, approved: bool) -> Option<HoldReason> {
    let suggested = || labels::suggested(engine, labels, plan).filter(|_| !approved);
    labels::forbidden(engine, labels, plan).or_else(suggested)
}

/// A rung that a human has to release says more than that the ladder is spent.
fn of_refusal(given: Given, diagnosis: &Diagnosis, rule: &Rule, refusal: Refusal) -> HoldReason {
    let held = |fix| given.attempts.hold(&rule.name, &plan::target(fix, diagnosis.container()));
    rule.fixes.iter().find_map(held).map_or(HoldReason::NoPlan(refusal), HoldReason::of_held)
}

fn not_corroborated(diagnosis: &Diagnosis) -> Option<HoldReason> {
    (!diagnosis.uncorroborated.is_empty()).then(|| HoldReason::Uncorroborated(diagnosis.uncorroborated.clone()))
}

fn of_plan(given: Given, diagnosis: &Diagnosis, rule: &Rule, plan: &Plan) -> Option<HoldReason> {
    let approved = given.approved == Some(plan.id.as_str());
    not_allowed(given.engine, plan)
        .or_else(|| labels::forbidden(given.engine, given.labels, plan))
        .or_else(|| given.attempts.hold(&rule.name, &plan.target).map(HoldReason::of_held))
        .or_else(|| circuit_open(given, plan))
        .or_else(|| low_confidence(given, plan).filter(|_| !approved))
        .or_else(|| limits::limits(given, rule, plan))
        .or_else(|| plan.edits().find_map(|edit| human_grace(given, edit)))
        .or_else(|| judged_services(diagnosis, plan).find_map(|target| start_grace(given, &target)))
        .or_else(|| (!approved && only_suggests(given, rule)).then_some(HoldReason::Suggest))
        .or_else(|| labels::suggested(given.engine, given.labels, plan).filter(|_| !approved))
}

/// The host's switch holds everything; a rule's own can only hold more.
fn only_suggests(given: Given, rule: &Rule) -> bool {
    [Some(given.engine.mode), rule.mode].contains(&Some(Mode::Suggest))
}

fn not_allowed(engine: &Engine, plan: &Plan) -> Option<HoldReason> {
    plan.steps.iter().find_map(|step| {
        let (allowed, what) = match step {
            Step::Edit(edit) => (engine.allow.files.is_match(&edit.path), edit.path.display().to_string()),
            Step::Restart(target @ RestartTarget::Container(name)) => {
                (engine.allow.containers.is_match(name), target.to_string())
            }
            Step::Restart(target @ RestartTarget::Unit(name)) => {
                (engine.allow.units.is_match(name), target.to_string())
            }
            Step::Restart(target @ RestartTarget::Recreate(service)) => {
                (service.containers.iter().all(|c| engine.allow.containers.is_match(c)), target.to_string())
            }
            Step::Act(act) => (act_is_allowed(&engine.allow, act), act.words()),
        };
        (!allowed).then_some(HoldReason::NotAllowed(what))
    })
}

/// A command and its undo are each allowed as exactly these arguments.
fn act_is_allowed(allow: &Allow, act: &Act) -> bool {
    match act {
        Act::Resize(step) => allow.containers.is_match(&step.container),
        Act::Run(step) => std::iter::once(&step.argv).chain(&step.undo).all(|argv| allow.commands.contains(argv)),
        Act::Postgres(step) => allow.postgres.contains(&step.check),
        Act::Redis(step) => allow.redis.contains(&step.check),
    }
}

fn circuit_open(given: Given, plan: &Plan) -> Option<HoldReason> {
    let limits = &given.engine.limits;
    match breaker::circuit(given.attempts, &plan.rule, &plan.target, &plan.component, given.now, limits) {
        Circuit::Open { failures, left } => {
            let (rule, target) = (plan.rule.clone(), plan.target.clone());
            Some(HoldReason::CircuitOpen { rule, target, failures, left })
        }
        Circuit::Closed | Circuit::HalfOpen { .. } => None,
    }
}

/// A rule that its history alone holds back gets one try again, after a wait that grows with each further failure: else
/// it could never show that the world has changed.
fn low_confidence(given: Given, plan: &Plan) -> Option<HoldReason> {
    let threshold = given.engine.confidence_threshold;
    let confidence = plan.confidence;
    if confidence >= threshold {
        return None;
    }
    if plan.original_confidence.round() < f64::from(threshold) {
        return Some(HoldReason::LowConfidence { confidence, threshold });
    }
    let of_kind = |a: &&Attempt| a.rule == plan.rule && a.fix_type == plan.fix_type && !a.released;
    let last = given.attempts.fixes.iter().rev().find(of_kind)?;
    let (failures, _) =
        breaker::failures(given.attempts, &plan.rule, &plan.target, &plan.component, given.now, &given.engine.limits);
    let wait = breaker::growing_wait(given.engine.limits.circuit_wait, failures.saturating_sub(1));
    let left = wait.saturating_sub(given.now.since(last.last_moment()));
    (!left.is_zero()).then_some(HoldReason::History { confidence, threshold, left })
}

fn human_grace(given: Given, edit: &EditStep) -> Option<HoldReason> {
    let file = given.files.values().filter_map(|f| f.as_ref().ok()).find(|f| f.path == edit.path)?;
    let ours = given.attempts.is_ours(&file.path, &file.sha256);
    (!ours && file.age < given.engine.limits.human_grace)
        .then(|| HoldReason::HumanGrace { path: edit.path.display().to_string(), age: file.age })
}

/// What is to be restarted, and the container that the trouble was seen in.
fn judged_services(diagnosis: &Diagnosis, plan: &Plan) -> impl Iterator<Item = RestartTarget> {
    let seen_in = diagnosis.container().map(|name| RestartTarget::Container(name.to_owned()));
    plan.restarts().cloned().chain(seen_in)
}

fn start_grace(given: Given, target: &RestartTarget) -> Option<HoldReason> {
    let service = given.services.get(target)?.as_ref().ok()?;
    let grace = given.engine.limits.start_grace;
    if service.starting && !grace.is_zero() {
        return Some(HoldReason::Starting { service: target.to_string() });
    }
    let age = service.age.filter(|age| *age < grace)?;
    Some(HoldReason::StartGrace { service: target.to_string(), age })
}
