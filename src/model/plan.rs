//! What would be done: a plan is plain data, printed by a dry run and stored in the journal.

use super::step::{Act, Recreation};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a restart restarts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestartTarget {
    Container(String),
    /// A systemd unit.
    Unit(String),
    /// A compose service, made anew: what a restart does not re-read.
    Recreate(Recreation),
}

impl RestartTarget {
    /// What is done to it.
    pub fn verb(&self) -> &'static str {
        if matches!(self, RestartTarget::Recreate(_)) { "recreate" } else { "restart" }
    }
}

impl std::fmt::Display for RestartTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RestartTarget::Container(name) => write!(f, "container:{name}"),
            RestartTarget::Unit(name) => write!(f, "unit:{name}"),
            RestartTarget::Recreate(r) => write!(f, "compose:{}/{}", r.project, r.service),
        }
    }
}

/// A content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHash {
    /// Absolute, links resolved.
    pub path: PathBuf,
    /// In hex.
    pub sha256: String,
}

/// A service that a fix would restart, as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Names its present run: another one after every start. `None` while it is down, or where nothing says so.
    pub run: Option<String>,
    /// How long it has been running; `None` while it does not run, or where that is not known.
    pub age: Option<std::time::Duration>,
    /// It runs, and its health check has not said anything yet.
    pub starting: bool,
}

/// The exact change of one literal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditStep {
    /// Absolute, links resolved.
    pub path: PathBuf,
    /// The selector as the rule wrote it (`call asyncio.sleep`, `worker.batch_size`).
    pub at: String,
    /// The literals as they stand in the file, quotes and unit suffix included.
    pub old: String,
    pub new: String,
    /// 1-based line of the literal.
    pub line: usize,
    /// SHA-256 of the file before and after this step, in hex.
    pub before: String,
    pub after: String,
}

/// One bounded change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    Edit(EditStep),
    Restart(RestartTarget),
    #[serde(untagged)]
    Act(Act),
}

impl Step {
    /// One line for people, with old and new values.
    pub fn words(&self) -> String {
        match self {
            Step::Edit(e) => format!("edit {}:{} `{}`: {} -> {}", e.path.display(), e.line, e.at, e.old, e.new),
            Step::Restart(target) => format!("{} {target}", target.verb()),
            Step::Act(act) => act.words(),
        }
    }
}

/// How the fix will be judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationSpec {
    pub settle_seconds: f64,
    pub window_seconds: f64,
    pub max_window_seconds: f64,
    pub errors_allowed: ErrorsAllowed,
    /// Checks that must be healthy at the end.
    pub checks: Vec<String>,
    /// What fired: decides what 'enough to see' means.
    pub watched: Watched,
}

/// How many errors of the rule's own signature a window may hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorsAllowed {
    AtMost(u64),
    /// A share (0 to 1) of the earlier rate.
    ReduceTo(f64),
}

/// The trigger seen again during the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Watched {
    /// Events of a signature in the sources that match.
    Log { source: String, signature: String, rate_per_second: f64 },
    /// A check by name.
    Check { name: String },
    /// A container by name.
    Container { name: String },
    /// A metric of a check by name.
    Metric { check: String, metric: String, above: Option<f64>, below: Option<f64> },
}

/// A file that a fix may edit, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Absolute, links resolved.
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// In hex.
    pub sha256: String,
    /// Since it was last changed.
    pub age: std::time::Duration,
}

/// The exact steps of one fix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `plan_` and 12 hex digits of the hash of rule, steps and literals: another plan has another id.
    pub id: String,
    pub rule: String,
    pub issue_type: String,
    pub fix_type: String,
    /// What limits and history count by: the first step's file and literal, or what is restarted.
    pub target: String,
    /// 0 for the first fix of the rule's ladder.
    pub rung: usize,
    pub cause: String,
    pub component: String,
    pub original_confidence: f64,
    pub confidence: u8,
    pub steps: Vec<Step>,
    pub validation: ValidationSpec,
    pub error_count_before: u64,
    /// Said with the plan: what it does that is not obvious.
    pub notes: Vec<String>,
}

impl Plan {
    /// The edits, in order.
    pub fn edits(&self) -> impl Iterator<Item = &EditStep> {
        self.steps.iter().filter_map(|s| match s {
            Step::Edit(e) => Some(e),
            Step::Restart(_) | Step::Act(_) => None,
        })
    }

    /// Everything that it changes: `PATH#AT` of each literal, then each service that it restarts.
    pub fn touches(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for step in &self.steps {
            let what = match step {
                Step::Edit(edit) => format!("{}#{}", edit.path.display(), edit.at),
                Step::Restart(target) => target.to_string(),
                Step::Act(act) => act.touches(),
            };
            if !all.contains(&what) {
                all.push(what);
            }
        }
        all
    }

    /// The restarts, in order.
    pub fn restarts(&self) -> impl Iterator<Item = &RestartTarget> {
        self.steps.iter().filter_map(|s| match s {
            Step::Restart(r) => Some(r),
            Step::Edit(_) | Step::Act(_) => None,
        })
    }

    /// The other steps, in order, each with its place among all steps.
    pub fn acts(&self) -> impl DoubleEndedIterator<Item = (usize, &Act)> {
        self.steps.iter().enumerate().filter_map(|(n, s)| match s {
            Step::Act(act) => Some((n, act)),
            Step::Edit(_) | Step::Restart(_) => None,
        })
    }

    /// Whether there is something that can be put back.
    pub fn is_undoable(&self) -> bool {
        self.edits().next().is_some() || self.acts().any(|(_, act)| act.inverse().is_some())
    }

    /// Whether what was restarted must be so again when the rest is undone: it may have read what was changed. Limits
    /// and settings take effect by themselves.
    pub fn restarts_read_it(&self) -> bool {
        let run = |(_, act): (usize, &Act)| matches!(act, Act::Run(_)) && act.inverse().is_some();
        self.edits().next().is_some() || self.acts().any(run)
    }
}
