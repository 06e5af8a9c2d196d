//! How things stand: the last pass, what is open, what is held.

use crate::ack::Ack;
use crate::attempts::Held;
use crate::backup::Metadata;
use crate::breaker::Tripped;
use crate::config::MaintenanceWindow;
use crate::diagnose::rules::shown;
use crate::host::clock;
use crate::learn::Knowledge;
use crate::model::{Incident, Moment};
use crate::pause::Pause;
use crate::show::{Output, json};
use crate::state::LastPass;
use crate::text::clean;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// What is shown.
pub struct Status {
    pub now: Moment,
    pub suggest: bool,
    /// The `STOP` file, where there is one.
    pub stop: Option<String>,
    pub check_interval: Duration,
    /// Who is at work on this state directory now.
    pub running: Option<String>,
    /// The open transaction, in a sentence.
    pub open: Option<String>,
    pub last_pass: Option<LastPass>,
    pub incidents: Vec<Incident>,
    pub acks: Vec<Ack>,
    pub held: Vec<Held>,
    pub pauses: Vec<Pause>,
    /// Those that are on.
    pub maintenance: Vec<MaintenanceWindow>,
    pub tripped: Vec<Tripped>,
    /// What could not be read, a sentence each: how things stand may be otherwise.
    pub unreadable: Vec<String>,
    /// The pauses are among it: no fix is made until they can be read.
    pub pauses_unreadable: bool,
    /// Rules that match no more, a sentence each.
    pub silent: Vec<String>,
    pub recent_backups: Vec<Metadata>,
    pub knowledge: Knowledge,
}

impl Status {
    /// No pass for two intervals since the last one ended. One that is running now is never overdue.
    pub fn overdue(&self) -> bool {
        // One that ends in the future was dated by another clock: nothing is known of how long ago it was.
        let late = |pass: &LastPass| {
            clock::between(pass.ended(), self.now.t) > self.check_interval * 2
                || clock::between(self.now.t, pass.ended()) > self.check_interval
        };
        self.running.is_none() && self.last_pass.as_ref().is_none_or(late)
    }

    pub fn mode(&self) -> &'static str {
        let paused = self.pauses_unreadable
            || self.stop.is_some()
            || self.pauses.iter().any(|p| p.rule.is_none())
            || self.maintenance_of_all().is_some();
        match (paused, self.suggest) {
            (true, _) => "paused",
            (false, true) => "suggest",
            (false, false) => "enabled",
        }
    }

    /// The maintenance window of all rules, where one is on.
    pub fn maintenance_of_all(&self) -> Option<&MaintenanceWindow> {
        self.maintenance.iter().find(|window| window.rules.is_empty())
    }

    /// Why nothing is done about an incident: as the last pass said it, where what it named has not been ended since.
    pub fn hold_of<'i>(&self, incident: &'i Incident) -> Option<&'i str> {
        let over = match incident.hold_kind.as_deref() {
            Some("stop") => self.stop.is_none(),
            Some("paused") => self.paused().next().is_none(),
            Some("maintenance") => self.maintenance.is_empty(),
            Some("held_for_human") => self.held.is_empty(),
            Some("circuit_open") => self.tripped.is_empty(),
            _ => false,
        };
        incident.hold.as_deref().filter(|_| !over)
    }

    /// Who has seen an incident, where somebody has.
    pub fn ack_of(&self, incident: &Incident) -> Option<&Ack> {
        self.acks.iter().find(|ack| ack.incident == incident.id)
    }

    /// Each pause with what is left of it.
    pub fn paused(&self) -> impl Iterator<Item = (&Pause, Duration)> {
        self.pauses.iter().filter_map(|p| Some((p, p.left(&self.now)?)))
    }
}

/// The body of `GET /api/monitoring/status`.
pub fn json(status: &Status) -> Value {
    let seconds = |t: Timestamp| clock::to_second(t).to_string();
    json!({
        "autonomous_mode": status.mode(),
        "stop": status.stop,
        "maintenance": status.maintenance_of_all().map(|window| &window.name),
        "maintenance_windows": status.maintenance.iter().map(|window| json!({
            "name": window.name, "rules": window.rules,
        })).collect::<Vec<_>>(),
        "pauses": status.paused().map(|(p, left)| json!({
            "rule": p.rule, "reason": p.reason, "by": p.by, "since": seconds(p.since.t), "left_s": left.as_secs(),
        })).collect::<Vec<_>>(),
        "circuits": status.tripped.iter().map(|t| json!({
            "rule": t.rule, "target": t.target, "failures": t.failures, "left_s": t.left.as_secs(),
            "state": if t.left.is_zero() { "half_open" } else { "open" },
        })).collect::<Vec<_>>(),
        "last_check": status.last_pass.as_ref().map(|p| seconds(p.started)),
        "last_pass": status.last_pass.as_ref().map(|p| json!({
            "started": seconds(p.started), "duration_ms": p.duration_ms, "status": p.status, "issues": p.issues,
        })),
        "overdue": status.overdue(),
        "running": status.running,
        "open_transaction": status.open,
        "check_interval_minutes": json::rounded(status.check_interval.as_secs_f64() / 60.0),
        "fix_statistics": json::stats(&status.knowledge),
        "silent_rules": status.silent,
        "unreadable": status.unreadable,
        "recent_backups": status.recent_backups.iter().map(json::backup).collect::<Vec<_>>(),
        "incidents": status.incidents.iter().map(|i| json!({
            "id": i.id, "issue_type": i.issue_type, "component": i.component, "severity": i.severity,
            "cause": i.cause, "opened": seconds(i.opened), "last_seen": seconds(i.last_seen), "hold_reason": status.hold_of(i),
            "symptom_of": i.symptom_of, "symptoms": i.symptoms, "flapping": i.flapping,
            "acknowledged_by": status.ack_of(i).map(|ack| &ack.by),
        })).collect::<Vec<_>>(),
        "held": status.held.iter().map(|h| json!({
            "rule": h.rule, "target": h.target, "reason": h.reason, "since": seconds(h.since.t),
        })).collect::<Vec<_>>(),
    })
}

/// For people: the most urgent first.
pub fn text(status: &Status, out: &Output) -> String {
    let ago = |t: Timestamp| format!("{} ago", shown(clock::between(t, status.now.t)));
    let row = |label: &str, text: &str| format!("{label:<11}{}", clean(text));
    let mut lines = vec![match &status.last_pass {
        None => row("last pass:", "none yet; `healer heal` runs one"),
        Some(pass) => {
            let issues = if pass.issues == 1 { "1 issue".to_owned() } else { format!("{} issues", pass.issues) };
            let overdue = if status.overdue() { "; OVERDUE: is the timer running?" } else { "" };
            format!("last pass: {}, {}, {issues}{overdue}", ago(pass.started), out.status(pass.status))
        }
    }];
    lines.extend(status.running.iter().map(|who| row("running:", who)));
    lines.push(match &status.stop {
        Some(file) => row("mode:", &format!("stopped: nothing is changed until {file} is removed")),
        None => row("mode:", status.mode()),
    });
    for window in &status.maintenance {
        let of = if window.rules.is_empty() { String::new() } else { format!(" of {}", window.rules.join(", ")) };
        lines.push(row("", &format!("maintenance window {}{of}", window.name)));
    }
    for (pause, left) in status.paused() {
        let of = pause.rule.as_ref().map(|rule| format!("rule {rule} ")).unwrap_or_default();
        let text = format!("{of}by {}: {}; {} left, `healer resume` ends it", pause.by, pause.reason, shown(left));
        lines.push(row("paused:", &text));
    }
    lines.extend(status.open.iter().map(|open| row("open fix:", &format!("{open}; a pass ends it"))));
    for incident in &status.incidents {
        let text = format!("{}, {}, since {}", incident.cause, incident.severity, ago(incident.opened));
        let flapping = if incident.flapping { "; flapping: it comes and goes" } else { "" };
        lines.push(row("incident:", &format!("{text}{flapping} ({})", incident.id)));
        lines.extend(status.ack_of(incident).map(|ack| row("", &format!("seen by {}: no alerts for it", ack.by))));
        lines.extend(incident.symptom_of.iter().map(|root| row("", &format!("a symptom of {root} now"))));
        if !incident.symptoms.is_empty() {
            lines.push(row("", &format!("its symptoms: {}", incident.symptoms.join(", "))));
        }
        lines.extend(status.hold_of(incident).map(|why| row("", &format!("held: {why}"))));
    }
    if status.incidents.is_empty() && status.last_pass.is_some() {
        lines.push(row("incidents:", "none open"));
    }
    for held in &status.held {
        let text = format!("{}, rule {}, {}: {}", held.target, held.rule, ago(held.since.t), held.reason);
        lines.push(row("held:", &text));
        lines.push(row("", &format!("`healer reset '{}'` releases it", held.target)));
    }
    for tripped in &status.tripped {
        let left = if tripped.left.is_zero() {
            "one try is let through".to_owned()
        } else {
            format!("one more try in {}", shown(tripped.left))
        };
        let text = format!(
            "{}, rule {}: {} fixes in a row failed or their problem came back; {left}",
            tripped.target, tripped.rule, tripped.failures
        );
        lines.push(row("circuit:", &text));
        lines.push(row("", &format!("`healer reset '{}'` closes it", tripped.target)));
    }
    lines.extend(status.silent.iter().map(|why| row("silent:", why)));
    lines.join("\n")
}
