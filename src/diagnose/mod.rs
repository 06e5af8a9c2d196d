//! From findings and history to a diagnosis: which rules fire, which causes fit, which of them is the root, and how sure
//! that is, addend by addend.
//!
//! Pure: no I/O, no clock; `now` is a value. May not live here: what to do about it.

pub mod causes;
mod compete;
pub mod confidence;
pub mod rules;
pub mod shape;
pub mod signals;
pub mod streaks;
pub mod symptoms;

use crate::attempts::Attempts;
use crate::config::{Engine, Rule, SignatureOrigin, StepSpec, When};
use crate::learn::Knowledge;
use crate::model::{
    Addend, Analysis, CheckResult, Diagnosis, Finding, FixCategory, LogReport, Moment, NotFired, RestartTarget,
    Severity, Signal, SignalRole, Status, Tally,
};
use crate::plan;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use symptoms::{Graph, component_of};

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
    /// The second after which events of this kind say something about now.
    fn fresh_since(&self, engine: &Engine, tally: &Tally, attempts: &Attempts) -> i64 {
        let since = self.since.as_second();
        self.accounted_until(engine, tally, attempts).map_or(since, |t| since.max(t.as_second()))
    }

    /// Until when such events are accounted for: those from before the end of the source's last fix were mended or judged
    /// with it, and those from while it was only a symptom with the end of that.
    fn accounted_until(&self, engine: &Engine, tally: &Tally, attempts: &Attempts) -> Option<Timestamp> {
        let last_fix = attempts.last_for_component(&tally.source);
        let with_root = self.streaks.explained.get(&tally.source).and_then(|explained| {
            let over = explained.over.as_ref()?.t;
            let mended = attempts.last_for_component(&explained.root);
            // What goes on after a fix of the root is not because of it any more.
            Some(mended.filter(|end| (explained.last.t..=over).contains(end)).unwrap_or(over))
        });
        let with_root = with_root.filter(|_| graph(engine, self).may_explain(&tally.source, shape_of(engine, tally)));
        // A moment in the future means that the clock was set back since: it cannot be compared with.
        [last_fix, with_root].into_iter().flatten().filter(|t| *t <= self.now.t).max()
    }

    /// What errors in a log are a symptom of. They began before something when `enough` of them had come by then.
    fn root_of_errors(
        &self,
        engine: &Engine,
        tally: &Tally,
        (after, enough): (i64, u64),
        by_rule: bool,
    ) -> Option<String> {
        let graph = Graph::new(engine, self.checks, &self.streaks.onsets);
        let before = |moment: &Moment| tally.count(after, moment.t.as_second()) >= enough;
        graph.root_of_errors(&tally.source, shape_of(engine, tally), by_rule, &before)
    }
}

/// A signature that is gone says nothing.
fn shape_of(engine: &Engine, tally: &Tally) -> shape::Shape {
    let signature = engine.signatures.iter().find(|s| s.name == tally.signature);
    signature.map_or(shape::Shape::Other, |s| shape::of(s, &tally.example))
}

/// Concludes from what was seen.
pub fn diagnose(engine: &Engine, seen: &Observed, knowledge: &Knowledge, attempts: &Attempts) -> Analysis {
    let graph = Graph::new(engine, seen.checks, &seen.streaks.onsets);
    let findings = findings(engine, seen, attempts);
    let mut analysis = Analysis { findings, roots: graph.roots(), ..Analysis::default() };
    let mut candidates = Vec::new();
    for rule in &engine.rules {
        match rules::evaluate(engine, rule, seen, attempts) {
            Ok(fired) => {
                candidates.extend(fired.into_iter().map(|f| of_rule(engine, rule, f, seen, knowledge, attempts)))
            }
            Err(reason) => analysis.not_fired.push(NotFired { rule: rule.name.clone(), reason }),
        }
    }
    let causes = causes::evaluate(engine, seen, attempts);
    candidates.extend(causes.into_iter().map(|c| of_cause(engine, c, seen, attempts)));
    compete::explain(engine, &graph, &mut candidates);
    compete::compete(engine, candidates, &mut analysis);
    for diagnosis in &mut analysis.diagnoses {
        diagnosis.flapping = seen.streaks.flapping.contains(&diagnosis.fingerprint);
        let suffering =
            analysis.findings.iter().filter(|f| f.symptom_of.as_ref() == Some(&diagnosis.trigger.component));
        diagnosis.affected = affected(&diagnosis.trigger.component, suffering, seen.checks);
    }
    analysis
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
    let signals = signals::of_rule(engine, rule, &fired, seen, attempts);
    let confidence = confidence::of_rule(rule, &signals, tries);
    let component = &fired.trigger.component;
    let (symptom_of, began) = match &rule.when {
        When::Log(trigger) => {
            let of_trigger = |t: &&Tally| t.source == *component && t.signature == trigger.signature;
            let tally = seen.logs.tallies.iter().find(of_trigger);
            let after = tally.map_or(0, |t| rules::fresh_for(engine, trigger, t, seen, attempts));
            let root = tally.and_then(|t| seen.root_of_errors(engine, t, (after, trigger.count), true));
            (root, tally.and_then(|t| first_event(t, after)))
        }
        _ => (graph(engine, seen).root_of(component), began(component, seen)),
    };
    Diagnosis {
        rule: Some(rule.name.clone()),
        issue_type: rule.issue_type.clone(),
        cause: rules::sentence(&rule.cause, &fired.words),
        severity: fired.severity,
        symptom_of,
        began,
        fingerprint: fingerprint(&rule.issue_type, component),
        uncorroborated: signals::uncorroborated(rule, &signals),
        signals,
        candidates: Vec::new(),
        symptoms: Vec::new(),
        flapping: false,
        affected: Vec::new(),
        addends: confidence.addends,
        original_confidence: confidence.original,
        confidence: confidence.rounded,
        category: fix.map(|f| category(&f.steps)),
        estimated_seconds: fix.map(|f| estimated_seconds(rule, &f.steps)),
        trigger: fired.trigger,
    }
}

fn of_cause(engine: &Engine, cause: causes::Cause, seen: &Observed, attempts: &Attempts) -> Diagnosis {
    let addends: Vec<Addend> = cause.seen.iter().map(|(_, addend)| addend.clone()).collect();
    let confidence = confidence::of(addends, crate::model::Tries::default());
    let component = &cause.trigger.component;
    let (symptom_of, began) = match cause.signature {
        Some(signature) => {
            let of_cause = |t: &&Tally| t.source == *component && t.signature == signature;
            let tally = seen.logs.tallies.iter().find(of_cause);
            let after = tally.map_or(0, |t| seen.fresh_since(engine, t, attempts));
            let root = tally.and_then(|t| seen.root_of_errors(engine, t, (after, causes::ENOUGH_EVENTS), false));
            (root, tally.and_then(|t| first_event(t, after)))
        }
        None => (graph(engine, seen).root_of(component), began(component, seen)),
    };
    Diagnosis {
        rule: None,
        issue_type: cause.issue_type.to_owned(),
        cause: cause.cause,
        severity: cause.severity,
        symptom_of,
        began,
        fingerprint: fingerprint(cause.issue_type, component),
        signals: signals_of(&cause.seen),
        candidates: Vec::new(),
        symptoms: Vec::new(),
        flapping: false,
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

fn graph<'a>(engine: &'a Engine, seen: &Observed<'a>) -> Graph<'a> {
    Graph::new(engine, seen.checks, &seen.streaks.onsets)
}

/// What a built-in cause has seen, the first of it its trigger.
fn signals_of(seen: &[(crate::model::SignalKind, Addend)]) -> Vec<Signal> {
    let signal = |(n, (kind, addend)): (usize, &(crate::model::SignalKind, Addend))| Signal {
        kind: *kind,
        role: if n == 0 { SignalRole::Trigger } else { SignalRole::Evidence },
        asked: addend.label.clone(),
        seen: addend.label.clone(),
        weight: Some(addend.points),
        held: true,
    };
    seen.iter().enumerate().map(signal).collect()
}

fn first_event(tally: &Tally, after: i64) -> Option<Timestamp> {
    Timestamp::from_second(tally.first_after(after)?).ok()
}

/// Since when a check or a container is bad: of a container that ended since then, else since it was first seen so.
fn began(component: &str, seen: &Observed) -> Option<Timestamp> {
    let onset = seen.streaks.onsets.get(component).and_then(|o| o.red_since.as_ref());
    let container = container_of(component)
        .and_then(|name| seen.checks.iter().flat_map(|c| &c.containers).find(|c| c.name == name))
        .filter(|c| c.state != crate::model::ContainerState::Running);
    let lasted = rules::lasted(container.and_then(|c| c.finished_at), onset, seen.now);
    onset?;
    jiff::SignedDuration::try_from(lasted).ok().and_then(|lasted| seen.now.t.checked_sub(lasted).ok())
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
    let acting: u64 = steps
        .iter()
        .map(|s| match s {
            StepSpec::Restart(_) | StepSpec::Compose(_) | StepSpec::Recreate(_) => 10,
            _ => 1,
        })
        .sum();
    acting + (rule.validate.settle + rule.validate.window).as_secs()
}

/// The root component, then what is its symptom, then every red check that (directly or not) depends on one of them.
fn affected<'a>(component: &str, suffering: impl Iterator<Item = &'a Finding>, checks: &[CheckResult]) -> Vec<String> {
    let mut affected = vec![component.to_owned()];
    affected.extend(suffering.map(|f| f.component.clone()));
    let mut seen = std::collections::BTreeSet::new();
    affected.retain(|c| seen.insert(c.clone()));
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
    let graph = graph(engine, seen);
    for check in seen.checks.iter().filter(|c| c.status != Status::Healthy) {
        let sick: Vec<_> = check.containers.iter().filter(|c| c.status != Status::Healthy).collect();
        findings.extend(sick.iter().map(|c| Finding {
            component: component_of(&c.name),
            status: c.status,
            message: c.message.clone(),
            symptom_of: graph.root_of(&component_of(&c.name)),
        }));
        if sick.is_empty() {
            findings.push(Finding {
                component: check.name.clone(),
                status: check.status,
                message: check.message.clone(),
                symptom_of: graph.root_of(&check.name),
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
type SeenAs<'a> = (Vec<&'a str>, Severity, Vec<Option<String>>);

/// One finding per source and kind of event: an event that several signatures match is one thing seen wrong.
fn in_logs(engine: &Engine, seen: &Observed, attempts: &Attempts) -> Vec<Finding> {
    let mut found: BTreeMap<EventKind, SeenAs> = BTreeMap::new();
    for tally in &seen.logs.tallies {
        let after = seen.fresh_since(engine, tally, attempts);
        let count = tally.count(after, seen.now.t.as_second());
        let Some(signature) = engine.signatures.iter().find(|s| s.name == tally.signature) else { continue };
        if count == 0 || signature.origin == SignatureOrigin::Rule {
            continue;
        }
        let root = seen.root_of_errors(engine, tally, (after, causes::ENOUGH_EVENTS), false);
        let entry =
            found.entry((&tally.source, &tally.example, count)).or_insert((Vec::new(), Severity::Warning, Vec::new()));
        entry.0.push(&tally.signature);
        entry.1 = entry.1.max(signature.severity);
        entry.2.push(root);
    }
    let finding = |((source, example, count), (signatures, severity, roots)): (EventKind, SeenAs)| Finding {
        component: source.to_owned(),
        status: if severity >= Severity::Critical { Status::Critical } else { Status::Warning },
        message: format!("{count} x {}: {example}", signatures.join(", ")),
        // Of an event that several signatures match, one that nothing explains is enough.
        symptom_of: roots.into_iter().reduce(|a, b| a.and_then(|a| b.map(|_| a))).flatten(),
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
        (RestartTarget::Container(name), Some(_)) => RestartTarget::Container(container_name(name, container)),
        _ => target.clone(),
    }
}

/// A container's name with `{container}` filled in.
pub fn container_name(name: &str, container: Option<&str>) -> String {
    container.map_or_else(|| name.to_owned(), |container| name.replace("{container}", container))
}
