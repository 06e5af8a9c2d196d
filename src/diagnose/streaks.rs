//! How long something has been so: counted over passes, because one bad sample is no trend.

use crate::config::{Engine, When};
use crate::model::{CheckResult, Container, ContainerHealth, ContainerState, Moment, Status};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    let mut next = Streaks::default();
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
