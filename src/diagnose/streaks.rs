//! How long something has been so: counted over passes, because one bad sample is no trend.

use crate::config::{Engine, When};
use crate::diagnose::symptoms::{self, component_of};
use crate::model::{Analysis, CheckResult, Container, ContainerHealth, ContainerState, Moment, Status};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Kept from pass to pass.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Streaks {
    /// By check name.
    #[serde(default)]
    pub checks: BTreeMap<String, CheckStreak>,
    /// By rule name, for rules on a metric: passes in a row beyond the level.
    #[serde(default)]
    pub metrics: BTreeMap<String, u32>,
    /// By container name: the state it is in and since when it was seen in it.
    #[serde(default)]
    pub containers: BTreeMap<String, ContainerStreak>,
    /// By component (a check's name, `container:NAME`).
    #[serde(default)]
    pub onsets: BTreeMap<String, Onset>,
    /// By component that is, or lately was, a symptom.
    #[serde(default)]
    pub explained: BTreeMap<String, Explained>,
    /// Fingerprints of incidents that come and go.
    #[serde(default)]
    pub flapping: BTreeSet<String>,
}

/// Since when a component is bad, and when it was last seen well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Onset {
    pub red_since: Option<Moment>,
    pub critical_since: Option<Moment>,
    pub healthy_at: Option<Moment>,
}

/// What a component was a symptom of: what it logged until that was over is no evidence of anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    pub root: String,
    /// When it was last seen as a symptom.
    pub last: Moment,
    /// When the root was first seen to be critical no more.
    #[serde(default)]
    pub over: Option<Moment>,
}

/// Passes in a row, this one included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStreak {
    /// At least warning.
    pub red: u32,
    pub critical: u32,
    pub healthy: u32,
    pub unknown: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerStreak {
    pub word: String,
    pub since: Moment,
}

impl CheckStreak {
    /// Passes in a row that the check has been (at least) this.
    pub fn passes(self, status: Status) -> u32 {
        match status {
            Status::Healthy => self.healthy,
            Status::Unknown => self.unknown,
            Status::Warning => self.red,
            Status::Critical => self.critical,
        }
    }
}

/// The streaks after this pass's checks.
pub fn update(engine: &Engine, previous: &Streaks, checks: &[CheckResult], now: &Moment) -> Streaks {
    let mut next = Streaks { flapping: previous.flapping.clone(), ..Streaks::default() };
    for check in checks {
        let old = previous.checks.get(&check.name).copied().unwrap_or_default();
        let count = |holds: bool, passes: u32| if holds { passes.saturating_add(1) } else { 0 };
        let streak = CheckStreak {
            red: count(check.status.is_red(), old.red),
            critical: count(check.status == Status::Critical, old.critical),
            healthy: count(check.status == Status::Healthy, old.healthy),
            unknown: count(check.status == Status::Unknown, old.unknown),
        };
        next.checks.insert(check.name.clone(), streak);
        for container in &check.containers {
            let word = state_word(container);
            let before = previous.containers.get(&container.name).filter(|s| s.word == word);
            let since = before.map_or_else(|| now.clone(), |s| s.since.clone());
            next.containers.insert(container.name.clone(), ContainerStreak { word, since });
        }
    }
    next.onsets = onsets(&previous.onsets, checks, now);
    next.explained = explained(&previous.explained, checks, now);
    for rule in &engine.rules {
        if let When::Metric { check, metric, above, below, .. } = &rule.when {
            let value = checks.iter().find(|c| c.name == *check).and_then(|c| c.metric(metric));
            let old = previous.metrics.get(&rule.name).copied().unwrap_or(0);
            let beyond = value.is_some_and(|v| beyond(v, *above, *below));
            next.metrics.insert(rule.name.clone(), if beyond { old.saturating_add(1) } else { 0 });
        }
    }
    next
}

/// A check that takes longer than this sees its component as it is when it ends; of the others a pass sees all at once.
const SLOW: Duration = Duration::from_secs(1);
/// How long it is remembered that a component was a symptom.
const REMEMBERED: Duration = Duration::from_secs(7 * 86_400);

fn onsets(previous: &BTreeMap<String, Onset>, checks: &[CheckResult], now: &Moment) -> BTreeMap<String, Onset> {
    let mut next = BTreeMap::new();
    for check in checks {
        let took = Duration::try_from_secs_f64(check.duration_ms / 1000.0).unwrap_or_default();
        let at = if took < SLOW { now.clone() } else { later(now, took) };
        let mut see = |component: String, status| {
            let old = previous.get(&component).cloned().unwrap_or_default();
            next.insert(component, old.then(status, &at));
        };
        see(check.name.clone(), symptoms::own_status(check));
        check.containers.iter().for_each(|c| see(component_of(&c.name), c.status));
    }
    if !symptoms::sees_containers(checks) {
        let unseen = previous.iter().filter(|(component, _)| component.starts_with("container:"));
        next.extend(unseen.map(|(component, onset)| (component.clone(), onset.clone())));
    }
    next
}

fn later(moment: &Moment, by: Duration) -> Moment {
    let t = jiff::SignedDuration::try_from(by).ok().and_then(|by| moment.t.checked_add(by).ok()).unwrap_or(moment.t);
    Moment { t, boot: moment.boot.clone(), up: moment.up + by.as_secs_f64() }
}

impl Onset {
    /// After one more look.
    fn then(self, status: Status, at: &Moment) -> Onset {
        let since = |old: Option<Moment>| old.or_else(|| Some(at.clone()));
        match status {
            Status::Healthy => Onset { healthy_at: Some(at.clone()), ..Onset::default() },
            // Nothing was seen: what was known before still stands.
            Status::Unknown => self,
            Status::Warning => Onset { red_since: since(self.red_since), critical_since: None, ..self },
            Status::Critical => Onset {
                red_since: since(self.red_since),
                critical_since: since(self.critical_since),
                healthy_at: self.healthy_at,
            },
        }
    }

    /// Whether this began before that was last seen well: then it is not because of that.
    pub fn is_before(&self, root: &Onset) -> bool {
        // What was a warning all along and is critical now has got worse: that is what wants an explanation.
        let began = self.critical_since.as_ref().or(self.red_since.as_ref());
        let (Some(began), Some(well)) = (began, &root.healthy_at) else { return false };
        if began.boot == well.boot && !began.boot.is_empty() { began.up <= well.up } else { began.t <= well.t }
    }
}

fn explained(
    previous: &BTreeMap<String, Explained>,
    checks: &[CheckResult],
    now: &Moment,
) -> BTreeMap<String, Explained> {
    let remembered = |e: &Explained| e.over.as_ref().is_none_or(|over| now.since(over) < REMEMBERED);
    let mut next: BTreeMap<String, Explained> = previous.clone();
    next.retain(|_, e| remembered(e));
    for explained in next.values_mut().filter(|e| e.over.is_none()) {
        if is_over(&explained.root, checks) {
            explained.over = Some(now.clone());
        }
    }
    next
}

/// Whether a root is critical no more. One that could not be looked at is not known to be.
fn is_over(root: &str, checks: &[CheckResult]) -> bool {
    match symptoms::status_of(root, checks) {
        Some(status) => matches!(status, Status::Healthy | Status::Warning),
        None => root.starts_with("container:") && symptoms::sees_containers(checks),
    }
}

impl Streaks {
    /// Remembers what this pass took for symptoms.
    pub fn explain(&mut self, analysis: &Analysis, now: &Moment) {
        let diagnoses = analysis.diagnoses.iter().map(|d| (&d.trigger.component, &d.symptom_of));
        let findings = analysis.findings.iter().map(|f| (&f.component, &f.symptom_of));
        for (component, root) in diagnoses.chain(findings) {
            let Some(root) = root.clone() else { continue };
            self.explained.insert(component.clone(), Explained { root, last: now.clone(), over: None });
        }
    }
}

/// Whether a value is above or below its level.
pub fn beyond(value: f64, above: Option<f64>, below: Option<f64>) -> bool {
    above.is_some_and(|level| value > level) || below.is_some_and(|level| value < level)
}

fn state_word(container: &Container) -> String {
    match (&container.state, container.health) {
        (ContainerState::Running, Some(ContainerHealth::Unhealthy)) => "unhealthy".into(),
        (state, _) => format!("{state:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckKind;
    use Status::{Critical, Healthy, Unknown, Warning};
    use jiff::Timestamp;

    fn at(second: u64) -> Moment {
        Moment { t: Timestamp::from_second(second as i64).unwrap(), boot: "b".into(), up: second as f64 }
    }

    fn check(status: Status) -> CheckResult {
        CheckResult {
            name: "database".into(),
            kind: CheckKind::Tcp,
            status,
            message: String::new(),
            connected: None,
            metrics: Vec::new(),
            duration_ms: 1.0,
            containers: Vec::new(),
            depends_on: Vec::new(),
        }
    }

    #[test]
    fn an_onset_lasts_until_its_component_is_seen_well() {
        let seen = |statuses: &[Status]| {
            let one = |old: BTreeMap<String, Onset>, (n, status): (usize, &Status)| {
                onsets(&old, &[check(*status)], &at(n as u64))
            };
            let onset = statuses.iter().enumerate().fold(BTreeMap::new(), one).remove("database").unwrap();
            let second = |m: Option<Moment>| m.map(|m| m.t.as_second());
            (second(onset.red_since), second(onset.critical_since), second(onset.healthy_at))
        };
        assert_eq!(seen(&[Healthy]), (None, None, Some(0)));
        assert_eq!(seen(&[Healthy, Warning, Critical, Critical]), (Some(1), Some(2), Some(0)));
        assert_eq!(seen(&[Healthy, Critical, Warning]), (Some(1), None, Some(0)));
        assert_eq!(seen(&[Healthy, Critical, Unknown, Critical]), (Some(1), Some(1), Some(0)), "not seen is not well");
        assert_eq!(seen(&[Critical, Healthy, Critical]), (Some(2), Some(2), Some(1)));
    }

    #[test]
    fn what_was_a_symptom_is_so_until_its_root_is_seen_to_be_critical_no_more() {
        let after = |statuses: &[Option<Status>]| {
            let start = Explained { root: "database".into(), last: at(0), over: None };
            let one = |old: BTreeMap<String, Explained>, (n, status): (usize, &Option<Status>)| {
                explained(&old, &status.map(check).into_iter().collect::<Vec<_>>(), &at(1 + n as u64))
            };
            let start = BTreeMap::from([("file:app".to_owned(), start)]);
            statuses
                .iter()
                .enumerate()
                .fold(start, one)
                .get("file:app")
                .map(|e| e.over.as_ref().map(|o| o.t.as_second()))
        };
        assert_eq!(after(&[Some(Critical)]), Some(None));
        assert_eq!(after(&[Some(Unknown), None]), Some(None), "not looked at is not over");
        assert_eq!(after(&[Some(Healthy)]), Some(Some(1)));
        assert_eq!(after(&[Some(Critical), Some(Warning), Some(Critical)]), Some(Some(2)), "of another time");
        let long_ago = Explained { root: "database".into(), last: at(0), over: Some(at(0)) };
        let old = BTreeMap::from([("file:app".to_owned(), long_ago)]);
        assert_eq!(explained(&old, &[], &at(REMEMBERED.as_secs())), BTreeMap::new());
    }
}
