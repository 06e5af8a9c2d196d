//! Telling a human: what an alert says, and the one table of who is told.
//!
//! Lives here: the alert as data and its text. Adding a notifier: one file, one line of the table. May not live here:
//! whether an alert is due (`incidents`).

mod command;
mod heartbeat;
mod journald;
mod webhook;

pub use heartbeat::Beat;

use crate::config::{AlertKind, Engine};
use serde::Serialize;

/// What is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    pub kind: AlertKind,
    /// One line: what and where.
    pub title: String,
    pub component: String,
    pub issue_type: Option<String>,
    pub incident: Option<String>,
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
    pub why: Option<String>,
    /// What to type next.
    pub next: Vec<String>,
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
        }
    }

    /// Syslog priority: 2 critical, 4 warning, 5 notice.
    fn priority(self) -> u8 {
        match self {
            AlertKind::RollbackFailed | AlertKind::Critical | AlertKind::Storm => 2,
            AlertKind::Held
            | AlertKind::RolledBack
            | AlertKind::Unproven
            | AlertKind::Recurred
            | AlertKind::CircuitOpen => 4,
            AlertKind::Healed | AlertKind::Resolved => 5,
        }
    }
}

impl Alert {
    /// The whole alert as text.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("{} on {}: {}", self.kind.word(), self.host, self.title)];
        lines.extend(self.cause.iter().map(|c| format!("  cause: {c}")));
        lines.extend(self.evidence.iter().map(|e| format!("  seen: {e}")));
        lines.extend(self.symptoms.iter().map(|s| format!("  symptom: {s}")));
        lines.extend(self.candidates.iter().map(|c| format!("  candidate: {c}")));
        lines.extend(self.actions.iter().map(|a| format!("  {a}")));
        lines.extend(self.why.iter().map(|w| format!("  why: {w}")));
        lines.extend(self.next.iter().map(|n| format!("  next: {n}")));
        lines.join("\n")
    }
}

/// Something that can tell a human.
trait Notifier: Sync {
    /// What it is, without secrets: for the message when it fails.
    fn name(&self) -> String;
    /// Tells; within its own time limit.
    fn send(&self, alert: &Alert) -> anyhow::Result<()>;
}

/// Every notifier of this configuration.
fn notifiers(engine: &Engine) -> Vec<Box<dyn Notifier + '_>> {
    let commands =
        engine.alerts.commands.iter().map(|argv| Box::new(command::Command::new(argv)) as Box<dyn Notifier + '_>);
    let webhooks =
        engine.alerts.webhooks.iter().map(|hook| Box::new(webhook::Hook::new(hook)) as Box<dyn Notifier + '_>);
    commands.chain(webhooks).collect()
}

/// Tells everybody, all at the same time; returns what went wrong. The journal is always told.
pub fn send(engine: &Engine, alerts: &[Alert]) -> Vec<String> {
    for alert in alerts {
        journald::tell(alert);
    }
    let wanted: Vec<&Alert> = alerts.iter().filter(|a| engine.alerts.on.contains(&a.kind)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let notifiers = notifiers(engine);
    std::thread::scope(|scope| {
        let told: Vec<_> = notifiers
            .iter()
            .map(|notifier| {
                let tell = || tell_all(notifier.as_ref(), &wanted);
                (notifier, std::thread::Builder::new().spawn_scoped(scope, tell))
            })
            .collect();
        told.into_iter()
            .filter_map(|(notifier, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|_| Some(format!("{}: it panicked", notifier.name()))),
                Err(error) => Some(format!("{}: no thread can be started: {error}", notifier.name())),
            })
            .map(|problem| engine.redactor.redact(&problem).into_owned())
            .collect()
    })
}

/// Tells one notifier everything, until it fails: one that hangs costs its time limit once, not once per alert.
fn tell_all(notifier: &dyn Notifier, alerts: &[&Alert]) -> Option<String> {
    for (told, alert) in alerts.iter().enumerate() {
        if let Err(error) = notifier.send(alert) {
            let rest = alerts.len() - told;
            let untold = if rest > 1 { format!(" ({rest} alerts were not told)") } else { String::new() };
            return Some(format!("{} could not be told: {error:#}{untold}", notifier.name()));
        }
    }
    None
}
