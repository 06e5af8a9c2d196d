//! How it ended, and what is remembered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How one fix, or one pass over a diagnosis, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Healed,
    /// Fine before we acted.
    Recovered,
    RolledBack,
    /// Did not help, and had nothing to undo.
    Failed,
    RollbackFailed,
    /// A human changed the file meanwhile: theirs stays.
    Conflict,
    /// Not enough to see, even in the longest window: kept.
    Unproven,
    Held,
    DryRun,
    RolledBackByOperator,
}

impl Outcome {
    /// The word used in every output and in records.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Healed => "healed",
            Outcome::Recovered => "recovered",
            Outcome::RolledBack => "rolled_back",
            Outcome::Failed => "failed",
            Outcome::RollbackFailed => "rollback_failed",
            Outcome::Conflict => "conflict",
            Outcome::Unproven => "unproven",
            Outcome::Held => "held",
            Outcome::DryRun => "dry_run",
            Outcome::RolledBackByOperator => "rolled_back_by_operator",
        }
    }
}

/// What a validation concluded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    Success,
    Failure,
    NotEnough,
    /// The pass was killed while it watched, and it is too late to judge: says nothing about the fix.
    Interrupted,
}

impl VerdictKind {
    /// The word of `validation_status` in records.
    pub fn word(&self) -> &'static str {
        match self {
            VerdictKind::Success => "passed",
            VerdictKind::Failure => "failed",
            VerdictKind::NotEnough => "not_enough",
            VerdictKind::Interrupted => "interrupted",
        }
    }
}

impl Verdict {
    /// Of a fix whose pass was killed: nobody watched.
    pub fn interrupted(why: &str) -> Verdict {
        Verdict { kind: VerdictKind::Interrupted, judged_on: why.to_owned(), errors_after: 0, chance_of_luck: None }
    }
}

/// A validation's conclusion and what it was judged on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub kind: VerdictKind,
    /// One sentence with the figures: errors seen and expected, samples, checks.
    pub judged_on: String,
    pub errors_after: u64,
    /// Chance that this quiet is luck (Poisson), for log triggers.
    pub chance_of_luck: Option<f64>,
}

/// What was known of a trouble when its fix began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Onset {
    /// Bursts of errors per second, where they were seen for long enough to tell a burst from a stream.
    pub bursts_per_second: Option<f64>,
    /// From its first event to the look that found it, where that is known.
    pub detect_ms: Option<u64>,
    /// From that look to the fix.
    pub diagnose_ms: Option<u64>,
}

/// One line of the knowledge base. The first eight keys are those of the Python system this tool continues; a line
/// with only them is read too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub timestamp: Timestamp,
    pub issue_type: String,
    pub fix_type: String,
    pub original_confidence: f64,
    pub result_status: String,
    pub validation_status: String,
    pub success: bool,
    #[serde(default)]
    pub error_count_after: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_count_before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What the verdict was judged on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_on: Option<String>,
    /// Chance that a quiet log was luck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance_of_luck: Option<f64>,
    /// From the first event to the look that found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect_ms: Option<u64>,
    /// From that look to the fix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnose_ms: Option<u64>,
    /// From the charge to the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply_ms: Option<u64>,
    /// From the last step to the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate_ms: Option<u64>,
}

/// What a later pass said of a fix that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaterVerdict {
    /// An hour later its problem had not come back.
    Holding,
    /// A day later its problem had not come back.
    Durable,
    /// Its problem came back within the day.
    Recurred,
}

impl LaterVerdict {
    /// The word used in every output and in records.
    pub fn word(self) -> &'static str {
        match self {
            LaterVerdict::Holding => "holding",
            LaterVerdict::Durable => "durable",
            LaterVerdict::Recurred => "recurred",
        }
    }
}

/// Problems of one issue type that were not acted on at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    pub seen: u64,
    /// Of these, those that cleared without a fix.
    pub cleared: u64,
}

impl Cleared {
    /// Share that cleared (0 to 1); `None` where none was seen.
    pub fn rate(self) -> Option<f64> {
        (self.seen > 0).then(|| self.cleared as f64 / self.seen as f64)
    }
}

/// Decided outcomes of one kind of fix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    pub total: u64,
    pub successes: u64,
}

impl Tries {
    /// Counts one more.
    pub fn add(&mut self, success: bool) {
        self.total += 1;
        self.successes += u64::from(success);
    }

    /// Counts those of another.
    pub fn join(&mut self, other: Tries) {
        self.total += other.total;
        self.successes += other.successes;
    }

    /// Share of successes (0 to 1); `None` without a single decided outcome.
    pub fn success_rate(self) -> Option<f64> {
        (self.total > 0).then(|| self.successes as f64 / self.total as f64)
    }
}
