//! How things stand: the last pass, what is open, what is held.

use crate::ack::Ack;
use crate::attempts::Held;
use crate::backup::Metadata;
use crate::breaker::Tripped;
use crate::config::MaintenanceWindow;
use crate::diagnose::rules::shown;
use crate::gate;
use crate::host::clock;
use crate::learn::Knowledge;
use crate::model::{Incident, Moment};
use crate::pause::Pause;
use crate::show::{self, Output, ago, json};
use crate::state::LastPass;
use crate::tell::APPROVE;
use crate::text::clean;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
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
    /// The ids of the plans that the last pass held, by the fingerprint of their incident.
    pub plans: BTreeMap<String, String>,
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

    /// The plan of an incident that waits for nothing but to be approved.
    pub fn plan_to_approve(&self, incident: &Incident) -> Option<&String> {
        let waits = matches!(incident.hold_kind.as_deref(), Some("suggest" | "low_confidence"));
        self.plans.get(&incident.fingerprint).filter(|_| waits && self.hold_of(incident).is_some())
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
            "until": seconds(end_of(left, status.now.t)),
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
            "plan_to_approve": status.plan_to_approve(i),
            "symptom_of": i.symptom_of, "symptoms": i.symptoms, "flapping": i.flapping,
            "acknowledged_by": status.ack_of(i).map(|ack| &ack.by),
        })).collect::<Vec<_>>(),
        "held": status.held.iter().map(|h| json!({
            "rule": h.rule, "target": h.target, "reason": h.reason, "since": seconds(h.since.t),
        })).collect::<Vec<_>>(),
    })
}

/// Columns of what a line is about.
const LABEL: usize = 11;

/// For people: the most urgent first.
pub fn text(status: &Status, out: &Output) -> String {
    let mut lines = vec![row("last pass:", &last_pass(status, out))];
    lines.extend(status.running.iter().map(|who| row("running:", &clean(who))));
    lines.push(match &status.stop {
        Some(file) => row("mode:", &clean(&format!("stopped: nothing is changed until {file} is removed"))),
        None => row("mode:", mode_text(status)),
    });
    for window in &status.maintenance {
        let of = if window.rules.is_empty() { String::new() } else { format!(" of {}", window.rules.join(", ")) };
        lines.push(row("", &clean(&format!("maintenance window {}{of}", window.name))));
    }
    lines.extend(status.paused().map(|(pause, left)| row("paused:", &clean(&pause_text(pause, left, status.now.t)))));
    lines.extend(status.open.iter().map(|open| row("open fix:", &clean(&format!("{open}; a pass ends it")))));
    lines.extend(status.incidents.iter().flat_map(|incident| incident_lines(status, incident, out)));
    if !status.incidents.is_empty() {
        lines.push(row("more:", "`healer diagnose` shows the evidence, and what would be done"));
    } else if status.last_pass.is_some() {
        lines.push(row("incidents:", "none open"));
    }
    for held in &status.held {
        let since = ago(held.since.t, status.now.t);
        let reason = gate::held_in_words(&held.reason);
        lines.push(row("held:", &clean(&format!("`{}`, rule {}, {since}: {reason}", held.target, held.rule))));
        lines.push(row("", &clean(&format!("to release it: `healer reset '{}'`", held.target))));
    }
    for tripped in &status.tripped {
        let text = format!(
            "`{}`, rule {}: {} fixes in a row failed or their problem came back; {}",
            tripped.target,
            tripped.rule,
            tripped.failures,
            next_try(tripped)
        );
        lines.push(row("circuit:", &clean(&text)));
        lines.push(row("", &clean(&format!("to close it now: `healer reset '{}'`", tripped.target))));
    }
    lines.extend(status.silent.iter().map(|why| row("silent:", &clean(why))));
    out.wrapped(&lines.join("\n"), LABEL)
}

fn row(label: &str, text: &str) -> String {
    format!("{label:<LABEL$}{text}")
}

fn last_pass(status: &Status, out: &Output) -> String {
    let Some(pass) = &status.last_pass else { return "none yet; `healer heal` runs one".to_owned() };
    let overdue = if status.overdue() { "; OVERDUE: is the timer running?" } else { "" };
    let issues = show::count(pass.issues, "issue");
    format!("{}, {}, {issues}{overdue}", ago(pass.started, status.now.t), out.status(pass.status))
}

fn mode_text(status: &Status) -> &'static str {
    match status.mode() {
        "paused" => "paused: problems are told, nothing is changed",
        "suggest" => "suggest: plans are told, and carried out only when approved",
        other => other,
    }
}

/// Who, why, and until when: by the clock on the wall too, for who reads it next.
pub fn pause_text(pause: &Pause, left: Duration, now: Timestamp) -> String {
    let of = pause.rule.as_ref().map(|rule| format!("rule {rule} ")).unwrap_or_default();
    format!("{of}by {}: {}; {}; `healer resume` ends it", pause.by, pause.reason, until(left, now))
}

/// `until 14:05 (1h52m left)`; with its day where that is not within a day.
pub fn until(left: Duration, now: Timestamp) -> String {
    let at = clock::local(end_of(left, now));
    let format = if left < Duration::from_secs(86_400) { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    format!("until {} ({} left)", at.strftime(format), shown(show::coarse(left)))
}

/// When what is left is over.
pub fn end_of(left: Duration, now: Timestamp) -> Timestamp {
    jiff::SignedDuration::try_from(left).ok().and_then(|left| now.checked_add(left).ok()).unwrap_or(Timestamp::MAX)
}

/// When the breaker lets the next fix through.
pub fn next_try(tripped: &Tripped) -> String {
    match tripped.left.is_zero() {
        true => "one try is let through".to_owned(),
        false => format!("one more try in {}", shown(show::coarse(tripped.left))),
    }
}

fn incident_lines(status: &Status, incident: &Incident, out: &Output) -> Vec<String> {
    let lasted = match show::coarse(clock::between(incident.opened, status.now.t)) {
        span if span.is_zero() => "since just now".to_owned(),
        span => format!("for {}", shown(span)),
    };
    let flapping = if incident.flapping { "; flapping: it comes and goes" } else { "" };
    let severity = out.status(incident.severity);
    let cause = clean(&incident.cause);
    let mut lines = vec![row("incident:", &format!("{cause}, {severity}, {lasted}{flapping} ({})", incident.id))];
    lines.extend(status.ack_of(incident).map(|ack| row("", &clean(&seen_by(ack)))));
    lines.extend(incident.symptom_of.iter().map(|root| row("", &clean(&format!("a symptom of {root} now")))));
    if !incident.symptoms.is_empty() {
        lines.push(row("", &clean(&format!("its symptoms: {}", incident.symptoms.join(", ")))));
    }
    lines.extend(status.hold_of(incident).map(|why| row("", &clean(&format!("held: {why}")))));
    let approve = |plan| row("", &clean(&format!("to approve it: `{APPROVE} {plan}`")));
    lines.extend(status.plan_to_approve(incident).map(approve));
    lines
}

fn seen_by(ack: &Ack) -> String {
    format!("seen by {}: no alerts for it", ack.by)
}
