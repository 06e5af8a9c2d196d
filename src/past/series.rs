//! Samples of passes (`metrics.jsonl`) as series, for trends.

use crate::model::Status;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// Passes kept at most: a week of one a minute.
const MOST: usize = 10_080;

/// What passes measured, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    pub all: VecDeque<Sampled>,
}

/// What one pass measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    pub t: Timestamp,
    pub errors: u64,
    /// By check.
    pub checks: BTreeMap<String, Point>,
}

/// One check in one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub status: Status,
    /// Latency in milliseconds, where the check measures one.
    pub latency_ms: Option<f32>,
    /// Percent, of the host check.
    pub cpu: Option<f32>,
    pub memory: Option<f32>,
    pub disk: Option<f32>,
    /// Containers that were not healthy; the others were.
    pub containers: BTreeMap<String, Status>,
}

#[derive(Deserialize)]
struct Line {
    t: Timestamp,
    #[serde(default)]
    errors: u64,
    #[serde(default)]
    checks: BTreeMap<String, Value>,
}

impl Samples {
    /// Takes in one more line.
    pub fn take(&mut self, line: &str) {
        let Ok(line) = serde_json::from_str::<Line>(line) else { return };
        let checks = line.checks.into_iter().filter_map(|(name, values)| Some((name, point(&values)?)));
        self.all.push_back(Sampled { t: line.t, errors: line.errors, checks: checks.collect() });
        while self.all.len() > MOST {
            self.all.pop_front();
        }
    }

    /// Forgets what is older.
    pub fn forget_before(&mut self, limit: Timestamp) {
        while self.all.front().is_some_and(|sample| sample.t < limit) {
            self.all.pop_front();
        }
    }

    /// Every check of the newest sample, and of earlier ones.
    pub fn checks(&self) -> std::collections::BTreeSet<&str> {
        self.all.iter().flat_map(|sample| sample.checks.keys()).map(String::as_str).collect()
    }

    /// One value of one check over time.
    pub fn of(&self, check: &str, value: impl Fn(&Point) -> Option<f32>) -> Vec<(Timestamp, f32)> {
        let one = |sample: &Sampled| Some((sample.t, value(sample.checks.get(check)?)?));
        self.all.iter().filter_map(one).collect()
    }

    /// The same of a container that a check looks at.
    pub fn strip_of_container(
        &self,
        (check, container): (&str, &str),
        from: Timestamp,
        to: Timestamp,
        parts: usize,
    ) -> Vec<Option<Status>> {
        self.strip_by(from, to, parts, |sample| {
            let unwell = &sample.checks.get(check)?.containers;
            Some(unwell.get(container).copied().unwrap_or(Status::Healthy))
        })
    }

    /// The worst status of one check in each of `parts` equal parts of the time from `from` to `to`.
    pub fn strip(&self, check: &str, from: Timestamp, to: Timestamp, parts: usize) -> Vec<Option<Status>> {
        self.strip_by(from, to, parts, |sample| Some(sample.checks.get(check)?.status))
    }

    fn strip_by(
        &self,
        from: Timestamp,
        to: Timestamp,
        parts: usize,
        status: impl Fn(&Sampled) -> Option<Status>,
    ) -> Vec<Option<Status>> {
        let mut strip = vec![None; parts];
        let span = (to.as_second() - from.as_second()).max(1);
        for sample in &self.all {
            let at = sample.t.as_second() - from.as_second();
            let part = usize::try_from(at * i64::try_from(parts).unwrap_or(1) / span).ok().filter(|_| at >= 0);
            let slot = part.and_then(|part| strip.get_mut(part.min(parts.saturating_sub(1))));
            if let (Some(slot), Some(status)) = (slot, status(sample)) {
                *slot = (*slot).max(Some(status));
            }
        }
        strip
    }
}

/// Names under which checks measure how long an answer took.
const LATENCIES: [&str; 4] = ["latency_ms", "response_time_ms", "connect_ms", "ping_ms"];

fn point(values: &Value) -> Option<Point> {
    let number = |key: &str| values[key].as_f64().map(|v| v as f32);
    // A host has several disks: the fullest.
    let disks = values.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with("disk"));
    let disk = disks
        .filter_map(|(_, value)| value.as_f64())
        .fold(None, |worst: Option<f64>, v| Some(worst.map_or(v, |w| w.max(v))));
    Some(Point {
        status: Status::deserialize(&values["status"]).ok()?,
        latency_ms: LATENCIES.iter().find_map(|key| number(key)),
        cpu: number("cpu_percent"),
        memory: number("memory_percent"),
        disk: disk.map(|v| v as f32),
        containers: BTreeMap::deserialize(&values["containers"]).unwrap_or_default(),
    })
}
