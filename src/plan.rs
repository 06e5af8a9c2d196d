//! From a diagnosis and the literals as they stand to the exact steps of one fix.
//!
//! Pure: the files were read before and are values here. May not live here: whether the plan may be carried out.

mod acts;

pub use acts::Present;

use crate::attempts::Attempts;
use crate::breaker::{self, Tried};
use crate::config::{EditSpec, Engine, FixSpec, Format, Rule, Selector, StepSpec, When};
use crate::diagnose::{confidence, fill_container};
use crate::fix::edit;
use crate::learn::Knowledge;
use crate::model::{
    Addend, CheckResult, Diagnosis, EditStep, Moment, Plan, RestartTarget, Service, Step, TargetFile, ValidationSpec,
    Watched,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The files that a rule's fixes name, by the path as written; why not, where one cannot be a target.
pub type TargetFiles = BTreeMap<PathBuf, Result<TargetFile, String>>;

/// The services that a rule's fixes would restart, as they are now; why not, where one cannot be restarted.
pub type Services = BTreeMap<RestartTarget, Result<Service, String>>;

/// Containers that mount a file by itself, by that file. They go on seeing the old one when it is replaced.
pub type FileMounts = BTreeMap<PathBuf, Vec<String>>;

/// A plan with the confidence of its own fix, which is another than the diagnosis' where the ladder went on.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    pub plan: Plan,
    pub addends: Vec<Addend>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The rule diagnoses only.
    NoFix,
    /// Every fix of the ladder is at its bound or was given up; each with its reason.
    LadderSpent(Vec<String>),
    /// The file, the place in it, or the value cannot be worked with.
    Unusable(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::NoFix => f.write_str("the rule has no fix: a human is needed"),
            Refusal::LadderSpent(reasons) => {
                write!(f, "every fix of the rule is used up ({}): a human is needed", reasons.join("; "))
            }
            Refusal::Unusable(why) => f.write_str(why),
        }
    }
}

/// What limits, cooldown and history of a fix count by: its first step's literal, or what that restarts.
pub fn target(fix: &FixSpec, container: Option<&str>) -> String {
    match fix.steps.first() {
        Some(StepSpec::Edit(edit)) => format!("{}#{}", edit.path.display(), edit.at),
        Some(StepSpec::Restart(target)) => fill_container(target, container).to_string(),
        Some(step) => acts::target(step, container),
        None => String::new(),
    }
}

/// The rung of the ladder that goes first, as far as what was tried tells.
pub fn first_rung(
    rule: &Rule,
    component: &str,
    container: Option<&str>,
    attempts: &Attempts,
    now: &Moment,
) -> Option<usize> {
    let tried = |rung: &usize| tried(rule, *rung, component, container, attempts, now);
    let mut rungs = 0..rule.fixes.len();
    let again = || (0..rule.fixes.len()).find(|rung| matches!(tried(rung), Tried::InVain | Tried::CameBack));
    rungs.find(|rung| tried(rung) == Tried::No).or_else(again)
}

fn tried(
    rule: &Rule,
    rung: usize,
    component: &str,
    container: Option<&str>,
    attempts: &Attempts,
    now: &Moment,
) -> Tried {
    let Some(fix) = rule.fixes.get(rung) else { return Tried::No };
    let last = attempts.last_try(&rule.name, &fix.fix_type, &target(fix, container));
    breaker::tried(last, component, now, rule.limits.per)
}

/// Every file that a rule's fixes would edit, as written.
pub fn files_of(rule: &Rule) -> impl Iterator<Item = &PathBuf> {
    rule.fixes.iter().flat_map(|f| &f.steps).filter_map(|s| match s {
        StepSpec::Edit(edit) => Some(&edit.path),
        _ => None,
    })
}

/// Every service that a rule's fixes may restart: those it names, and the containers that mount a file of its by itself.
pub fn restarts_of(
    rule: &Rule,
    container: Option<&str>,
    mounts: &FileMounts,
    present: &Present,
) -> BTreeSet<RestartTarget> {
    let named = rule.fixes.iter().flat_map(|f| &f.steps).flat_map(|s| match s {
        StepSpec::Restart(target) => vec![fill_container(target, container)],
        step => acts::restarts_of(step, present),
    });
    named.chain(mounts.values().flatten().cloned().map(RestartTarget::Container)).collect()
}

/// What a plan is made from.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub engine: &'a Engine,
    pub checks: &'a [CheckResult],
    pub files: &'a TargetFiles,
    pub services: &'a Services,
    pub mounts: &'a FileMounts,
    pub present: &'a Present,
    pub knowledge: &'a Knowledge,
    pub attempts: &'a Attempts,
    pub now: &'a Moment,
}

/// The plan of the first fix of the rule's ladder that was neither tried in vain lately nor is at its bound. Where there
/// is none, one that did not help, or not for long, may be tried again, up to its circuit breaker; not one that had to be
/// rolled back.
///
/// # Errors
/// With the reason for a human when there is none.
pub fn propose(given: Given, diagnosis: &Diagnosis, rule: &Rule) -> Result<Proposal, Refusal> {
    let container = diagnosis.container();
    let component = &diagnosis.trigger.component;
    let tried = |rung| tried(rule, rung, component, container, given.attempts, given.now);
    let rungs: Vec<_> = rule.fixes.iter().enumerate().map(|(rung, fix)| (rung, fix, tried(rung))).collect();
    let fresh = rungs.iter().filter(|(.., tried)| *tried == Tried::No);
    let again = rungs.iter().filter(|(.., tried)| matches!(tried, Tried::InVain | Tried::CameBack));
    let mut used_up = Vec::new();
    for (rung, fix, _) in fresh.chain(again) {
        match steps(fix, container, given) {
            Ok((steps, notes)) => return Ok(proposal(given, diagnosis, rule, *rung, fix, steps, notes)),
            Err(NoSteps::AtBound(why)) => used_up.push(format!("{}: {why}", fix.fix_type)),
            Err(NoSteps::Unusable(why)) => return Err(Refusal::Unusable(why)),
        }
    }
    let rolled_back = rungs.iter().filter(|(.., tried)| *tried == Tried::RolledBack);
    used_up.extend(rolled_back.map(|(_, fix, _)| format!("{} did not help lately", fix.fix_type)));
    Err(if rule.fixes.is_empty() { Refusal::NoFix } else { Refusal::LadderSpent(used_up) })
}

enum NoSteps {
    AtBound(String),
    Unusable(String),
}

/// The steps of a fix, and what is to be said with them.
fn steps(fix: &FixSpec, container: Option<&str>, given: Given) -> Result<(Vec<Step>, Vec<String>), NoSteps> {
    // Several edits of one file build on each other.
    let mut contents: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut steps = Vec::with_capacity(fix.steps.len());
    let mut notes = Vec::new();
    for step in &fix.steps {
        match step {
            StepSpec::Restart(target) => steps.push(Step::Restart(fill_container(target, container))),
            StepSpec::Edit(spec) => steps.push(Step::Edit(edit_step(spec, given, &mut contents)?)),
            step => {
                let more = acts::steps(step, container, given, &mut notes)?;
                steps.extend(more.into_iter().filter(|step| !steps.contains(step)).collect::<Vec<_>>());
            }
        }
    }
    if steps.iter().any(|s| matches!(s, Step::Act(_))) {
        // Shown as it will be done: edits, these steps as written, restarts.
        steps.sort_by_key(|s| match s {
            Step::Edit(_) => 0,
            Step::Act(_) => 1,
            Step::Restart(_) => 2,
        });
    }
    for (file, name) in
        contents.keys().flat_map(|file| given.mounts.get(file).into_iter().flatten().map(move |n| (file, n)))
    {
        let restart = Step::Restart(RestartTarget::Container(name.clone()));
        if !steps.contains(&restart) {
            notes.push(format!(
                "container:{name} mounts {} by itself and sees the new content only after a restart",
                file.display()
            ));
            steps.push(restart);
        }
    }
    if !contents.is_empty() && !steps.iter().any(|s| matches!(s, Step::Restart(_))) {
        notes.push("nothing is restarted: the service has to re-read the file by itself".to_owned());
    }
    let unusable = steps.iter().find_map(|step| match step {
        Step::Restart(target) => match given.services.get(target) {
            Some(Err(why)) => Some(format!("{target} cannot be {}: {why}", done(target))),
            _ => None,
        },
        Step::Edit(_) | Step::Act(_) => None,
    });
    unusable.map_or(Ok((steps, notes)), |why| Err(NoSteps::Unusable(why)))
}

fn done(target: &RestartTarget) -> &'static str {
    if matches!(target, RestartTarget::Recreate(_)) { "recreated" } else { "restarted" }
}

fn edit_step(spec: &EditSpec, given: Given, contents: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<EditStep, NoSteps> {
    let place =
        |why: &dyn std::fmt::Display| NoSteps::Unusable(format!("{} at `{}`: {why}", spec.path.display(), spec.at));
    let file = match given.files.get(&spec.path) {
        Some(Ok(file)) => file,
        Some(Err(why)) => return Err(NoSteps::Unusable(why.clone())),
        None => return Err(place(&"the file was not read")),
    };
    let format = Format::of(&spec.path).ok_or_else(|| place(&"healer does not know this file's format"))?;
    let selector = Selector::parse(&spec.at, format).map_err(|e| place(&e))?;
    let bytes = contents.entry(file.path.clone()).or_insert_with(|| file.bytes.clone());
    let located = edit::locate(bytes, format, &selector).map_err(|e| place(&e))?;
    let old = String::from_utf8_lossy(bytes.get(located.span.clone()).unwrap_or_default()).into_owned();
    // Earlier fixes may have moved it: all of them together are bounded too.
    let human = given.attempts.human_value(&file.path, &spec.at, &old);
    let human = human.and_then(|human| {
        let as_it_was = edit::apply(bytes, format, &selector, &human).ok()?;
        edit::locate(&as_it_was, format, &selector).ok()
    });
    let human = human.as_ref().map_or(&located.literal, |then| &then.literal);
    let bounds = (spec.min, spec.max, spec.max_factor);
    let next = edit::next_literal_since(&located.literal, human, spec.max_total_factor, &spec.change, bounds);
    let next = next.map_err(|e| match e {
        edit::BoundError::AtBound { .. } => NoSteps::AtBound(format!("{} at `{}`: {e}", spec.path.display(), spec.at)),
        e => place(&e),
    })?;
    let before = hex(bytes);
    let after = edit::apply(bytes, format, &selector, &next.raw).map_err(|e| place(&e))?;
    *bytes = after;
    Ok(EditStep {
        path: file.path.clone(),
        at: spec.at.clone(),
        old,
        new: next.raw,
        line: located.line,
        before,
        after: hex(bytes),
    })
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn proposal(
    given: Given,
    diagnosis: &Diagnosis,
    rule: &Rule,
    rung: usize,
    fix: &FixSpec,
    steps: Vec<Step>,
    notes: Vec<String>,
) -> Proposal {
    let container = diagnosis.container();
    let target = target(fix, container);
    let tries = given.knowledge.tries(&rule.issue_type, &fix.fix_type, &target);
    let confidence = confidence::of_rule(rule, &diagnosis.signals, tries);
    let plan = Plan {
        id: id(&rule.name, &diagnosis.trigger.component, &steps),
        rule: rule.name.clone(),
        issue_type: rule.issue_type.clone(),
        fix_type: fix.fix_type.clone(),
        target,
        rung,
        cause: diagnosis.cause.clone(),
        component: diagnosis.trigger.component.clone(),
        original_confidence: confidence.original,
        confidence: confidence.rounded,
        validation: validation(rule, diagnosis),
        error_count_before: if diagnosis.trigger.rate_per_second.is_some() { diagnosis.trigger.count } else { 0 },
        steps,
        notes,
    };
    Proposal { plan, addends: confidence.addends }
}

/// `plan_` and 12 hex digits: another plan has another id.
fn id(rule: &str, component: &str, steps: &[Step]) -> String {
    let text = serde_json::to_string(&(rule, component, steps)).unwrap_or_default();
    format!("plan_{}", hex(text.as_bytes()).get(..12).unwrap_or_default())
}

fn validation(rule: &Rule, diagnosis: &Diagnosis) -> ValidationSpec {
    let component = diagnosis.trigger.component.clone();
    let watched = match &rule.when {
        When::Log(trigger) => Watched::Log {
            source: component,
            signature: trigger.signature.clone(),
            rate_per_second: diagnosis.trigger.rate_per_second.unwrap_or(0.0),
        },
        When::Check { check, .. } => Watched::Check { name: check.clone() },
        When::Container { .. } => {
            Watched::Container { name: component.strip_prefix("container:").unwrap_or(&component).to_owned() }
        }
        When::Metric { check, metric, above, below, .. } => {
            Watched::Metric { check: check.clone(), metric: metric.clone(), above: *above, below: *below }
        }
    };
    ValidationSpec {
        settle_seconds: rule.validate.settle.as_secs_f64(),
        window_seconds: rule.validate.window.as_secs_f64(),
        max_window_seconds: rule.validate.max_window.as_secs_f64(),
        errors_allowed: rule.validate.errors_allowed,
        checks: rule.validate.checks.clone(),
        watched,
    }
}
