//! Telling a human: what an alert says, and who is told.
//!
//! Lives here: the alert as data and its text; the post office of a pass, which tries again and loses nothing. Adding a
//! notifier: one file, one line of the table in `notifier`. May not live here: whether an alert is due (`incidents`).

mod alertmanager;
mod command;
mod email;
mod format;
mod heartbeat;
mod journald;
mod notifier;
mod post;
mod spool;
#[cfg(test)]
mod tests;
mod webhook;

pub use heartbeat::Beat;
pub use post::{Post, Tested, test};

use crate::ack::Ack;
use crate::config::AlertKind;
use crate::model::Status;
use serde::{Deserialize, Serialize};

/// What is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub kind: AlertKind,
    /// One line: what and where.
    pub title: String,
    pub component: String,
    /// How bad the trouble is, not how this alert stands to it.
    pub severity: Status,
    pub issue_type: Option<String>,
    pub incident: Option<String>,
    /// When the incident began (RFC 3339).
    pub since: Option<String>,
    pub cause: Option<String>,
    pub confidence: Option<u8>,
    /// Evidence, one line each.
    pub evidence: Vec<String>,
    /// Every cause that competes, the chosen one first, with its score; one line each.
    pub candidates: Vec<String>,
    /// What is wrong only because of this, one line each.
    pub symptoms: Vec<String>,
    /// What was done or is proposed, one line each.
    pub actions: Vec<String>,
    /// The edits among these as a unified diff; bounded.
    pub diff: Option<String>,
    pub why: Option<String>,
    /// What to type next.
    pub next: Vec<String>,
    /// How much later than it was due it is told, where that is worth telling.
    pub delayed: Option<String>,
    pub host: String,
    /// RFC 3339.
    pub time: String,
}

impl AlertKind {
    /// The word used in the configuration and in every output.
    pub fn word(self) -> &'static str {
        match self {
            AlertKind::Held => "held",
            AlertKind::Healed => "healed",
            AlertKind::Unproven => "unproven",
            AlertKind::RolledBack => "rolled_back",
            AlertKind::RollbackFailed => "rollback_failed",
            AlertKind::Recurred => "recurred",
            AlertKind::Critical => "critical",
            AlertKind::Resolved => "resolved",
            AlertKind::Storm => "storm",
            AlertKind::CircuitOpen => "circuit_open",
            AlertKind::Test => "test",
        }
    }
}

/// So many lines of evidence come before what to do; the others behind.
const FIRST_SEEN: usize = 3;

impl Alert {
    /// Whether an operator has acknowledged what it is about; that it is over is told all the same.
    pub fn is_seen(&self, acks: &[Ack]) -> bool {
        let is_own = |ack: &Ack| Some(&ack.incident) == self.incident.as_ref();
        self.kind != AlertKind::Resolved && acks.iter().any(is_own)
    }

    /// What, on which host, in one line.
    pub fn headline(&self) -> String {
        format!("{} on {}: {}", self.kind.word().replace('_', " "), self.host, self.title)
    }

    /// The rest, line by line: what must be read first comes first, so that what is cut off is what may be missed.
    pub fn details(&self) -> Vec<String> {
        let labelled = |label: &'static str, list: &[String]| -> Vec<String> {
            list.iter().map(|line| format!("{label}: {line}")).collect()
        };
        let is_new = |line: &&String| !self.title.contains(line.as_str());
        let seen: Vec<String> = self.evidence.iter().filter(is_new).cloned().collect();
        let (first, more) = seen.split_at(seen.len().min(FIRST_SEEN));
        // The one that was chosen has been told.
        let others = self.candidates.get(1..).unwrap_or_default();
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.delayed.iter().map(|delay| format!("delayed by {delay}: it could not be sent before")));
        lines.extend(self.cause.iter().filter(is_new).map(|cause| format!("cause: {cause}")));
        lines.extend(labelled("seen", first));
        lines.extend(self.actions.iter().cloned());
        lines.extend(self.why.iter().map(|why| format!("why: {why}")));
        lines.extend(labelled("next", &self.next));
        lines.extend(self.diff.iter().flat_map(|diff| diff.lines()).map(str::to_owned));
        lines.extend(labelled("seen", more));
        lines.extend(labelled("symptom", &self.symptoms));
        lines.extend(labelled("also possible", others));
        lines
    }

    /// The whole alert as text.
    pub fn text(&self) -> String {
        let lines = self.details().into_iter().map(|line| format!("  {line}"));
        std::iter::once(self.headline()).chain(lines).collect::<Vec<_>>().join("\n")
    }
}
