//! What `[[rule.test]]` means. May not live here: running it.

use crate::model::Status;

/// A test of a rule, from log lines and check states to the planned value (`rules test`).
#[derive(Debug, Clone)]
pub struct RuleTest {
    pub name: String,
    pub log: Vec<String>,
    /// How often the log lines are given; at least 1.
    pub repeat: u32,
    /// States of checks by name; the others are healthy.
    pub checks: Vec<(String, Status)>,
    /// States of containers by name; the others run.
    pub containers: Vec<(String, TestState)>,
    /// Metrics by check and name.
    pub metrics: Vec<(String, String, f64)>,
    /// The text of the file that the fix edits.
    pub file: Option<String>,
    pub expect: Expectation,
}

/// What a rule's test expects; `None`: not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Whether the rule fires; with `false` nothing else is expected.
    pub fires: Option<bool>,
    pub issue_type: Option<String>,
    pub fix_type: Option<String>,
    /// The literal's new value as the file would show it.
    pub value: Option<String>,
    /// `act`, or the gate's word for its hold.
    pub decision: Option<String>,
}

/// State of a container in a test: a trigger's, or running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestState {
    Running,
    Exited,
    Unhealthy,
    Restarting,
    OomKilled,
}
