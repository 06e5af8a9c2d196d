//! Act, or hold with the reason.
//!
//! Pure: plan, history and limits in, decision out. It alone can make a [`Permit`], and the transaction accepts nothing
//! else, so nothing reaches a disk around it.

use crate::attempts::{Attempt, Attempts, Held};
use crate::config::{Engine, Mode, Rule};
use crate::diagnose::rules::shown;
use crate::model::{CheckResult, Diagnosis, EditStep, Moment, Plan, RestartTarget, Status, Step};
use crate::plan::{self, Proposal, Refusal, Services, TargetFiles};
use std::time::Duration;

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
    Symptom {
        of: String,
    },
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
    Suggest,
    NotAllowed(String),
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
    HostLimit {
        max: u32,
    },
    HumanGrace {
        path: String,
        age: Duration,
    },
    StartGrace {
        service: String,
        age: Duration,
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
            HoldReason::Symptom { .. } => "symptom",
            HoldReason::Storm { .. } => "storm",
            HoldReason::NoPlan(Refusal::NoFix) => "no_fix",
            HoldReason::NoPlan(Refusal::LadderSpent(_)) => "at_bound",
            HoldReason::NoPlan(Refusal::Unusable(_)) => "unusable_target",
            HoldReason::Uncorroborated(_) => "uncorroborated",
            HoldReason::LowConfidence { .. } => "low_confidence",
            HoldReason::Suggest => "suggest",
            HoldReason::NotAllowed(_) => "not_allowed",
            HoldReason::Released { .. } => "held_for_human",
            HoldReason::Cooldown { .. } => "cooldown",
            HoldReason::RuleLimit { .. } | HoldReason::HostLimit { .. } => "limit",
            HoldReason::HumanGrace { .. } => "human_grace",
            HoldReason::StartGrace { .. } => "start_grace",
        }
    }
}

impl std::fmt::Display for HoldReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HoldReason::Stop(file) => write!(f, "{file} is there: nothing is changed until it is removed"),
            HoldReason::Symptom { of } => write!(f, "a symptom of {of}: mend that first"),
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
            HoldReason::Suggest => f.write_str("mode is suggest: a human decides"),
            HoldReason::NotAllowed(what) => write!(f, "{what} is not in [allow]"),
            HoldReason::Released { reason, target } => {
                write!(f, "{target} is held since {reason}: `healer reset` releases it")
            }
            HoldReason::Cooldown { target, left } => {
                write!(f, "{target} was changed lately: cooldown, {} left", shown(*left))
            }
            HoldReason::RuleLimit { rule, max, per } => {
                write!(f, "rule {rule} has had its {max} fixes within {}", shown(*per))
            }
            HoldReason::HostLimit { max } => write!(f, "this host has had its {max} fixes within an hour"),
            HoldReason::HumanGrace { path, age } => {
                write!(f, "{path} was changed {} ago, and not by healer: left alone for now", shown(*age))
            }
            HoldReason::StartGrace { service, age } => {
                write!(f, "{service} was started {} ago: not judged yet", shown(*age))
            }
        }
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
    pub files: &'a TargetFiles,
    pub services: &'a Services,
    pub attempts: &'a Attempts,
    pub now: &'a Moment,
    /// The `STOP` file, where there is one.
    pub stop: Option<&'a str>,
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
        .or_else(|| diagnosis.symptom_of.clone().map(|of| HoldReason::Symptom { of }))
        .or_else(|| refusal.map(|refusal| of_refusal(given, diagnosis, rule, refusal)))
        .or_else(|| not_corroborated(diagnosis))
        .or_else(|| plan.as_ref().and_then(|plan| of_plan(given, rule, plan)));
    match (reason, plan) {
        (None, Some(plan)) => Decision::Act(Box::new(Permit { plan })),
        (reason, plan) => {
            Decision::Hold { reason: reason.unwrap_or(HoldReason::NoPlan(Refusal::NoFix)), plan: plan.map(Box::new) }
        }
    }
}

fn whole_host(given: Given) -> Option<HoldReason> {
    given.stop.map(|file| HoldReason::Stop(file.to_owned())).or_else(|| storm(given))
}

/// Three or more root causes critical, symptoms not counted, and more than `storm_percent` of the checks. The Docker
/// check counts once and each of its containers as one check.
fn storm(given: Given) -> Option<HoldReason> {
    let mut all = 0;
    let mut critical = 0;
    for check in given.checks {
        let root = crate::diagnose::symptoms::root_of(&check.name, given.checks).is_none();
        if check.containers.is_empty() {
            all += 1;
            critical += usize::from(root && check.status == Status::Critical);
        }
        all += check.containers.len();
        critical += check.containers.iter().filter(|c| c.status == Status::Critical).count();
    }
    let percent = given.engine.limits.storm_percent;
    let share = critical as f64 * 100.0 / all.max(1) as f64;
    (critical >= 3 && share > percent).then_some(HoldReason::Storm { critical, checks: all, percent })
}

/// A rung that a human has to release says more than that the ladder is spent.
fn of_refusal(given: Given, diagnosis: &Diagnosis, rule: &Rule, refusal: Refusal) -> HoldReason {
    let held = |fix| given.attempts.hold(&rule.name, &plan::target(fix, diagnosis.container()));
    rule.fixes.iter().find_map(held).map_or(HoldReason::NoPlan(refusal), HoldReason::of_held)
}

fn not_corroborated(diagnosis: &Diagnosis) -> Option<HoldReason> {
    (!diagnosis.uncorroborated.is_empty()).then(|| HoldReason::Uncorroborated(diagnosis.uncorroborated.clone()))
}

fn of_plan(given: Given, rule: &Rule, plan: &Plan) -> Option<HoldReason> {
    let approved = given.approved == Some(plan.id.as_str());
    not_allowed(given.engine, plan)
        .or_else(|| given.attempts.hold(&rule.name, &plan.target).map(HoldReason::of_held))
        .or_else(|| {
            let threshold = given.engine.confidence_threshold;
            (!approved && plan.confidence < threshold)
                .then_some(HoldReason::LowConfidence { confidence: plan.confidence, threshold })
        })
        .or_else(|| limits(given, rule, plan))
        .or_else(|| plan.edits().find_map(|edit| human_grace(given, edit)))
        .or_else(|| plan.restarts().find_map(|target| start_grace(given, target)))
        .or_else(|| {
            // The host's switch holds everything; a rule's own can only hold more.
            let suggest = [Some(given.engine.mode), rule.mode].contains(&Some(Mode::Suggest));
            (!approved && suggest).then_some(HoldReason::Suggest)
        })
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
        };
        (!allowed).then_some(HoldReason::NotAllowed(what))
    })
}

fn limits(given: Given, rule: &Rule, plan: &Plan) -> Option<HoldReason> {
    if let Some(last) = given.attempts.last_on_target(&plan.target) {
        let passed = given.now.since(last.last_moment());
        if passed < rule.limits.cooldown {
            return Some(HoldReason::Cooldown { target: plan.target.clone(), left: rule.limits.cooldown - passed });
        }
    }
    let within = |attempt: &&Attempt, time: Duration| given.now.since(&attempt.started) < time;
    let of_rule = given.attempts.fixes.iter().filter(|a| a.rule == rule.name && within(a, rule.limits.per));
    if of_rule.count() >= rule.limits.max_fixes as usize {
        return Some(HoldReason::RuleLimit {
            rule: rule.name.clone(),
            max: rule.limits.max_fixes,
            per: rule.limits.per,
        });
    }
    let max = given.engine.limits.fixes_per_hour;
    let of_host = given.attempts.fixes.iter().filter(|a| within(a, Duration::from_secs(3600)));
    (of_host.count() >= max as usize).then_some(HoldReason::HostLimit { max })
}

fn human_grace(given: Given, edit: &EditStep) -> Option<HoldReason> {
    let file = given.files.values().filter_map(|f| f.as_ref().ok()).find(|f| f.path == edit.path)?;
    let ours = given.attempts.is_ours(&file.path, &file.sha256);
    (!ours && file.age < given.engine.limits.human_grace)
        .then(|| HoldReason::HumanGrace { path: edit.path.display().to_string(), age: file.age })
}

fn start_grace(given: Given, target: &RestartTarget) -> Option<HoldReason> {
    let age = given.services.get(target)?.as_ref().ok()?.age?;
    (age < given.engine.limits.start_grace).then(|| HoldReason::StartGrace { service: target.to_string(), age })
}
