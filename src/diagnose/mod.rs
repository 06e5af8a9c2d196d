//! From findings and history to a diagnosis: which rules fire, which causes fit, which of them is the root, and how sure
//! that is, addend by addend.
//!
//! Pure: no I/O, no clock; `now` is a value. May not live here: what to do about it.

pub mod causes;
pub mod confidence;
pub mod rules;
pub mod streaks;
pub mod symptoms;

use crate::attempts::Attempts;
use crate::config::{Engine, Rule, SignatureOrigin, StepSpec, When};
use crate::learn::Knowledge;
use crate::model::{
    Analysis, CheckResult, Diagnosis, Finding, FixCategory, LogReport, Moment, NotFired, RestartTarget, Severity,
    Status,
};
use crate::plan;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Everything one pass saw.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    pub checks: &'a [CheckResult],
    pub logs: &'a LogReport,
    /// This pass included.
    pub streaks: &'a streaks::Streaks,
    /// Built-in causes and findings look at log events after this moment.
    pub since: Timestamp,
    pub now: &'a Moment,
}

impl Observed<'_> {
    /// The second after which events of this source say something about now: those from before the end of its last
    /// fix were mended or judged with it.
    fn fresh_since(&self, source: &str, attempts: &Attempts) -> i64 {
        let since = self.since.as_second();
        // A fix in the future means that the clock was set back since: it cannot be compared with.
        attempts.last_for_component(source).filter(|t| *t <= self.now.t).map_or(since, |t| since.max(t.as_second()))
    }
}

/// Concludes from what was seen.
pub fn diagnose(engine: &Engine, seen: &Observed, knowledge: &Knowledge, attempts: &Attempts) -> Analysis {
    let mut analysis = Analysis { findings: findings(engine, seen, attempts), ..Analysis::default() };
    let mut candidates = Vec::new();
    for rule in &engine.rules {
        match rules::evaluate(rule, seen, attempts) {
            Ok(fired) => {
                candidates.extend(fired.into_iter().map(|f| of_rule(engine, rule, f, seen, knowledge, attempts)))
            }
            Err(reason) => analysis.not_fired.push(NotFired { rule: rule.name.clone(), reason }),
        }
    }
    candidates.extend(causes::evaluate(engine, seen, attempts).into_iter().map(|c| of_cause(engine, c, seen)));
    candidates.sort_by_cached_key(|c| rank_candidate(engine, c));
    for candidate in candidates {
        let taken = analysis.diagnoses.iter().any(|d| d.trigger.component == candidate.trigger.component);
        if taken { analysis.competing.push(candidate) } else { analysis.diagnoses.push(candidate) }
    }
    analysis.diagnoses.sort_by_key(|d| (d.symptom_of.is_some(), Reverse(d.severity), Reverse(d.confidence)));
    for diagnosis in &mut analysis.diagnoses {
        diagnosis.affected = affected(&diagnosis.trigger.component, seen.checks);
    }
    analysis
}

/// Within one component: the operator's rules before built-in causes, then the most confident, then the most specific.
/// Of built-in causes the most severe first: a crash is not hidden behind what the crashed one had logged.
fn rank_candidate(engine: &Engine, d: &Diagnosis) -> (bool, Reverse<Status>, Reverse<u8>, Reverse<u8>, String) {
    let severity = if d.rule.is_none() { d.severity } else { Status::Healthy };
    let specific = d.rule.as_deref().and_then(|name| engine.rule(name)).map_or(0, specificity);
    let name = d.rule.clone().unwrap_or_default();
    (d.rule.is_none(), Reverse(severity), Reverse(d.confidence), Reverse(specific), name)
}

/// How specific a trigger is: one named place is more than a pattern, a number more than a colour.
fn specificity(rule: &Rule) -> u8 {
    let named = |pattern: &str| if pattern.contains(['*', '?', '[', '{']) { 1 } else { 2 };
    match &rule.when {
        When::Log(trigger) => named(&trigger.log),
        When::Container { pattern, .. } => named(pattern),
        When::Metric { .. } => 2,
        When::Check { .. } => 1,
    }
}

fn of_rule(
    engine: &Engine,
    rule: &Rule,
    fired: rules::Fired,
    seen: &Observed,
    knowledge: &Knowledge,
    attempts: &Attempts,
) -> Diagnosis {
    let rung = plan::first_rung(rule, &fired.trigger.component, fired.container.as_deref(), attempts, seen.now);
    let fix = rung.and_then(|n| rule.fixes.get(n));
    let tries = fix.map_or_else(Default::default, |fix| {
        knowledge.tries(&rule.issue_type, &fix.fix_type, &plan::target(fix, fired.container.as_deref()))
    });
    let confidence = confidence::of_rule(rule, seen.checks, tries);
    let signature = match &rule.when {
        When::Log(trigger) => Some(trigger.signature.as_str()),
        _ => None,
    };
    let uncorroborated = rule
        .require
        .iter()
        .filter(|name| !seen.checks.iter().any(|c| c.name == **name && c.status.is_red()))
        .cloned()
        .collect();
    Diagnosis {
        rule: Some(rule.name.clone()),
        issue_type: rule.issue_type.clone(),
        cause: rules::sentence(&rule.cause, &fired.words),
        severity: fired.severity,
        symptom_of: causes::root(engine, &fired.trigger.component, signature, seen.checks).map(str::to_owned),
        fingerprint: fingerprint(&rule.issue_type, &fired.trigger.component),
        affected: Vec::new(),
        addends: confidence.addends,
        original_confidence: confidence.original,
        confidence: confidence.rounded,
        uncorroborated,
        category: fix.map(|f| category(&f.steps)),
        estimated_seconds: fix.map(|f| estimated_seconds(rule, &f.steps)),
        trigger: fired.trigger,
    }
}

fn of_cause(engine: &Engine, cause: causes::Cause, seen: &Observed) -> Diagnosis {
    let confidence = confidence::of(cause.addends, crate::model::Tries::default());
    Diagnosis {
        rule: None,
        issue_type: cause.issue_type.to_owned(),
        cause: cause.cause,
        severity: cause.severity,
        symptom_of: causes::root(engine, &cause.trigger.component, cause.signature, seen.checks).map(str::to_owned),
        fingerprint: fingerprint(cause.issue_type, &cause.trigger.component),
        affected: Vec::new(),
        addends: confidence.addends,
        original_confidence: confidence.original,
        confidence: confidence.rounded,
        uncorroborated: Vec::new(),
        category: Some(cause.category),
        estimated_seconds: Some(cause.estimated_seconds),
        trigger: cause.trigger,
    }
}

/// The same trouble has the same fingerprint in every pass.
pub fn fingerprint(issue_type: &str, component: &str) -> String {
    format!("{issue_type}@{component}")
}

/// Code where a source file is edited, configuration where another file is, else infrastructure.
fn category(steps: &[StepSpec]) -> FixCategory {
    let edits = |python: bool| {
        steps.iter().any(|s| matches!(s, StepSpec::Edit(e) if (e.path.extension() == Some("py".as_ref())) == python))
    };
    match (edits(true), edits(false)) {
        (true, _) => FixCategory::Code,
        (false, true) => FixCategory::Configuration,
        (false, false) => FixCategory::Infrastructure,
    }
}

/// A restart is reckoned with ten seconds, an edit with one.
fn estimated_seconds(rule: &Rule, steps: &[StepSpec]) -> u64 {
    let acting: u64 = steps.iter().map(|s| if matches!(s, StepSpec::Restart(_)) { 10 } else { 1 }).sum();
    acting + (rule.validate.settle + rule.validate.window).as_secs()
}

/// The root component, then every red check that (directly or not) depends on it.
fn affected(component: &str, checks: &[CheckResult]) -> Vec<String> {
    let mut affected = vec![component.to_owned()];
    let mut next = 0;
    while let Some(cause) = affected.get(next).cloned() {
        for check in checks.iter().filter(|c| c.status.is_red() && c.depends_on.contains(&cause)) {
            if !affected.contains(&check.name) {
                affected.push(check.name.clone());
            }
        }
        next += 1;
    }
    affected
}

fn findings(engine: &Engine, seen: &Observed, attempts: &Attempts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in seen.checks.iter().filter(|c| c.status != Status::Healthy) {
        let sick: Vec<_> = check.containers.iter().filter(|c| c.status != Status::Healthy).collect();
        findings.extend(sick.iter().map(|c| Finding {
            component: format!("container:{}", c.name),
            status: c.status,
            message: c.message.clone(),
            symptom_of: None,
        }));
        if sick.is_empty() {
            findings.push(Finding {
                component: check.name.clone(),
                status: check.status,
                message: check.message.clone(),
                symptom_of: symptoms::root_of(&check.name, seen.checks).map(str::to_owned),
            });
        }
    }
    findings.extend(in_logs(engine, seen, attempts));
    findings.sort_by_key(|f| (f.symptom_of.is_some(), Reverse(f.status)));
    findings
}

/// Source, example and count.
type EventKind<'a> = (&'a str, &'a str, u64);
/// The signatures that matched, the worst severity, the root component.
type SeenAs<'a> = (Vec<&'a str>, Severity, Option<&'a str>);

/// One finding per source and kind of event: an event that several signatures match is one thing seen wrong.
fn in_logs(engine: &Engine, seen: &Observed, attempts: &Attempts) -> Vec<Finding> {
    let mut found: BTreeMap<EventKind, SeenAs> = BTreeMap::new();
    for tally in &seen.logs.tallies {
        let count = tally.count(seen.fresh_since(&tally.source, attempts), seen.now.t.as_second());
        let Some(signature) = engine.signatures.iter().find(|s| s.name == tally.signature) else { continue };
        if count == 0 || signature.origin == SignatureOrigin::Rule {
            continue;
        }
        let root = symptoms::root_of_errors(&signature.category, seen.checks);
        let entry =
            found.entry((&tally.source, &tally.example, count)).or_insert((Vec::new(), Severity::Warning, None));
        entry.0.push(&tally.signature);
        entry.1 = entry.1.max(signature.severity);
        entry.2 = entry.2.or(root);
    }
    let finding = |((source, example, count), (signatures, severity, root)): (EventKind, SeenAs)| Finding {
        component: source.to_owned(),
        status: if severity >= Severity::Critical { Status::Critical } else { Status::Warning },
        message: format!("{count} x {}: {example}", signatures.join(", ")),
        symptom_of: root.map(str::to_owned),
    };
    found.into_iter().map(finding).collect()
}

/// The container that a component names, if it names one.
pub fn container_of(component: &str) -> Option<&str> {
    component.strip_prefix("container:")
}

/// A restart target with `{container}` filled in.
pub fn fill_container(target: &RestartTarget, container: Option<&str>) -> RestartTarget {
    match (target, container) {
        (RestartTarget::Container(name), Some(container)) => {
            RestartTarget::Container(name.replace("{container}", container))
        }
        _ => target.clone(),
    }
}
