//! How much, how often and when: limits of a rule and of the host, maintenance windows, what history is worth. May not live
//! here: holding anything against them; that is the gate's.

use std::time::Duration;

#[derive(Debug, Clone)]
pub struct RuleLimits {
    pub cooldown: Duration,
    pub max_fixes: u32,
    pub per: Duration,
}

/// What history is worth.
#[derive(Debug, Clone, Copy)]
pub struct Learning {
    /// An outcome this old counts half.
    pub half_life: Duration,
}

/// For the whole host; a rule's own limits come on top.
#[derive(Debug, Clone)]
pub struct Limits {
    pub fixes_per_hour: u32,
    pub fixes_per_day: u32,
    /// Within 24 hours, by whatever rule.
    pub fixes_per_target: u32,
    /// So many fixes of one rule and target in a row that failed, or whose problem came back, open its circuit breaker.
    pub circuit_failures: u32,
    /// How long it is open the first time; twice as long after each further failure.
    pub circuit_wait: Duration,
    /// What shows for a shorter time is a blip.
    pub min_duration: Duration,
    pub start_grace: Duration,
    pub human_grace: Duration,
    /// 0 to 100.
    pub storm_percent: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        const HOUR: Duration = Duration::from_secs(3600);
        Limits {
            fixes_per_hour: 6,
            fixes_per_day: 24,
            fixes_per_target: 6,
            circuit_failures: 3,
            circuit_wait: HOUR,
            min_duration: Duration::from_secs(5),
            start_grace: HOUR / 60,
            human_grace: HOUR / 4,
            storm_percent: 50.0,
        }
    }
}

/// A time of the week in which nothing is changed.
#[derive(Debug, Clone, PartialEq)]
pub struct MaintenanceWindow {
    pub name: String,
    /// On which it begins; empty means every day.
    pub days: Vec<Weekday>,
    /// Local time of day.
    pub from: jiff::civil::Time,
    /// On the next day where it is not after `from`.
    pub to: jiff::civil::Time,
    /// Only these rules; empty means all.
    pub rules: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}
