//! What history adds to a confidence.

use crate::model::{Addend, Cleared, Tries};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How fast the past fades.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aging {
    pub now: jiff::Timestamp,
    /// An outcome this old counts half.
    pub half_life: Duration,
}

impl Aging {
    /// What an outcome of this time counts; one of the future counts whole.
    pub fn weight(self, time: Option<jiff::Timestamp>) -> f64 {
        let Some(time) = time else { return 1.0 };
        let age = self.now.duration_since(time).as_secs_f64().max(0.0);
        0.5f64.powf(age / self.half_life.as_secs_f64().max(1.0))
    }
}

/// Which fixes a history is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Group {
    /// Of the same issue type, fix type and target, or of the first two.
    #[default]
    Such,
    /// Of the same fix type alone.
    FixType,
}

/// Decided outcomes of one kind of fix, and what they count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    pub tries: Tries,
    /// As `tries`, each weighed by its age.
    pub weight: f64,
    pub successes: f64,
    pub group: Group,
    /// Problems of this issue type that were not acted on.
    pub cleared: Cleared,
}

impl From<Tries> for History {
    fn from(tries: Tries) -> History {
        History { tries, weight: tries.total as f64, successes: tries.successes as f64, ..History::default() }
    }
}

impl History {
    pub(super) fn add(&mut self, success: bool, weight: f64) {
        self.tries.add(success);
        self.weight += weight;
        self.successes += if success { weight } else { 0.0 };
    }

    pub(super) fn join(&mut self, other: History) {
        self.tries.join(other.tries);
        self.weight += other.weight;
        self.successes += other.successes;
    }

    fn points(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| rounded((self.successes / self.weight - 0.5) * 20.0 * self.weight.min(5.0) / 5.0))
    }
}

/// `(success_rate - 0.5) * 20 * min(n, 5) / 5` points over `n` decided outcomes, each weighed by its age: five or more
/// fresh tries that all worked add 10, that all failed take 10; without a try there is no addend. What is said are the
/// counts themselves.
pub fn history_addend(history: impl Into<History>) -> Option<Addend> {
    let history = history.into();
    let points = history.points()?;
    let Tries { total, successes } = history.tries;
    let label = match history.group {
        Group::Such => format!("history: {successes} of {total} such fixes worked"),
        Group::FixType => format!("history: {successes} of {total} fixes of this type worked"),
    };
    Some(Addend { label, points })
}

/// Where `c` of `m` such problems that were not acted on cleared by themselves, success is in part not the fix's: what
/// history added is taken back by `c / m * min(m, 5) / 5` of it. A history that took points is left as it is: 0 points.
pub fn self_recovery_addend(history: impl Into<History>) -> Option<Addend> {
    let history = history.into();
    let Cleared { seen, cleared } = history.cleared;
    let added = history.points()?.max(0.0);
    let share = history.cleared.rate().filter(|_| cleared > 0)?;
    let points = -added * share * seen.min(5) as f64 / 5.0;
    Some(Addend {
        label: format!("{cleared} of {seen} such problems cleared by themselves"),
        points: rounded(points) + 0.0,
    })
}

/// To a ten thousandth: what is written down and read again decides the same.
fn rounded(points: f64) -> f64 {
    (points * 10_000.0).round() / 10_000.0
}
