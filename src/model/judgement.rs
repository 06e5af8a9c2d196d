//! What was concluded: findings, diagnoses, incidents.

use crate::model::{Moment, Status};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One thing seen wrong in this pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Component: a check's name, `container:NAME`, or a log source.
    pub component: String,
    pub status: Status,
    pub message: String,
    /// The root component this is a symptom of, if any.
    pub symptom_of: Option<String>,
}

/// Where a fix is made; decides what is at stake when it is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FixCategory {
    Configuration,
    Code,
    Infrastructure,
}

impl FixCategory {
    pub fn word(self) -> &'static str {
        match self {
            FixCategory::Configuration => "configuration",
            FixCategory::Code => "code",
            FixCategory::Infrastructure => "infrastructure",
        }
    }
}

/// One named part of a confidence, in points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Addend {
    pub label: String,
    pub points: f64,
}

/// What a signal is about: two signals of different kinds corroborate each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignalKind {
    Check,
    Log,
    Container,
    Metric,
}

/// What a signal is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignalRole {
    Trigger,
    /// It moves the confidence.
    Evidence,
    /// Without it the plan is held.
    Required,
}

/// One thing that was looked for, whether it was there or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    pub kind: SignalKind,
    pub role: SignalRole,
    /// What is looked for: `api is warning`, `3 x timeout in file:api within 10m`.
    pub asked: String,
    /// What was there instead, or more exactly.
    pub seen: String,
    /// Points for (or, below 0, against) while it is there; `None` of a requirement.
    pub weight: Option<f64>,
    pub held: bool,
}

/// One of the causes that compete for an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// `None`: a built-in cause.
    pub rule: Option<String>,
    pub issue_type: String,
    pub component: String,
    pub cause: String,
    pub confidence: u8,
    /// It is about a symptom of this component.
    pub symptom_of: Option<String>,
}

/// Something that is wrong only because its root is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Symptom {
    pub component: String,
    pub status: Status,
    pub message: String,
}

/// What a rule's trigger saw when it fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// One sentence: `5 x rate_limit in container:shop-worker within 10m`.
    pub seen: String,
    /// Events, or samples, that made it fire.
    pub count: u64,
    /// Events per second before the fix, for log triggers: the count divided by the shorter of `within` and the time
    /// since the first such event, at least one second.
    pub rate_per_second: Option<f64>,
    /// The log source or check or container it fired on.
    pub component: String,
    /// A log line that shows it.
    pub example: Option<String>,
}

/// A probable root cause with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The operator's rule, or `None` for a built-in cause (which has no fix).
    pub rule: Option<String>,
    pub issue_type: String,
    /// One sentence for people.
    pub cause: String,
    pub severity: Status,
    pub trigger: Trigger,
    /// Components that suffer from it, the root first.
    pub affected: Vec<String>,
    pub addends: Vec<Addend>,
    /// What was looked for, for and against, the trigger first; also what was not there.
    #[serde(default)]
    pub signals: Vec<Signal>,
    /// Every cause that competes for this incident, the chosen one first. Of a symptom none: its root has them.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// What is wrong only because this is.
    #[serde(default)]
    pub symptoms: Vec<Symptom>,
    /// Since when, as far as was seen.
    #[serde(default)]
    pub began: Option<Timestamp>,
    /// It closed and came back again and again lately.
    #[serde(default)]
    pub flapping: bool,
    /// Rule base plus evidence, before history.
    pub original_confidence: f64,
    /// 0 to 100, rounded; what is shown and compared.
    pub confidence: u8,
    /// Required corroboration that is not there.
    pub uncorroborated: Vec<String>,
    /// The root component when this diagnosis is a symptom of another.
    pub symptom_of: Option<String>,
    pub category: Option<FixCategory>,
    /// Estimated time to apply the fix and watch it, in seconds.
    pub estimated_seconds: Option<u64>,
    /// Same trouble, same fingerprint: issue type and component.
    pub fingerprint: String,
}

impl Diagnosis {
    /// The container that it is about.
    pub fn container(&self) -> Option<&str> {
        self.trigger.component.strip_prefix("container:")
    }
}

/// A rule that did not fire, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotFired {
    pub rule: String,
    pub reason: String,
}

/// Everything the diagnosis stage concluded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    pub findings: Vec<Finding>,
    /// One per incident, the winner of each, then one per symptom: root before symptom, critical before warning, oldest
    /// first, most confident first.
    pub diagnoses: Vec<Diagnosis>,
    /// Candidates that lost to another one of the same incident.
    pub competing: Vec<Diagnosis>,
    /// The critical checks and containers that are nobody's symptom.
    #[serde(default)]
    pub roots: Vec<String>,
    pub not_fired: Vec<NotFired>,
}

/// An incident that is over, remembered for a while: it may come back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub incident: Incident,
    pub at: Moment,
}

/// An open problem, from first finding to recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub id: String,
    pub fingerprint: String,
    pub issue_type: String,
    pub component: String,
    pub severity: Status,
    pub cause: String,
    /// The root component while this is only a symptom.
    #[serde(default)]
    pub symptom_of: Option<String>,
    /// Components that are wrong only because this is.
    #[serde(default)]
    pub symptoms: Vec<String>,
    /// It closed and came back again and again lately.
    #[serde(default)]
    pub flapping: bool,
    /// When it came back within an hour of having closed, the last few times.
    #[serde(default)]
    pub reopened: Vec<Moment>,
    pub opened: Timestamp,
    pub last_seen: Timestamp,
    /// Why the last pass did nothing about it, where it held.
    #[serde(default)]
    pub hold: Option<String>,
    /// The word of that reason, as `hold` of a diagnosis has it.
    #[serde(default)]
    pub hold_kind: Option<String>,
    /// When each kind of alert was last told, so that it is not repeated before `repeat`.
    #[serde(default)]
    pub alerted: std::collections::BTreeMap<String, Timestamp>,
}
