//! A pass as it happens: what it concludes on stdout, what it does on stderr, everything in `events.jsonl`.

use crate::alert::Alert;
use crate::event_log;
use crate::host::{clock, files};
use crate::hush::hush_json;
use crate::model::{Outcome, Plan, Status};
use crate::pass::{self, Report};
use crate::show::{Output, checks, count, diagnosis, last_pass};
use crate::state::{self, StateDir};
use crate::tell::{APPROVE, PassTell};
use crate::text::clean;
use crate::transaction::{Ended, Progress, Tell};
use std::io::Write;
use std::time::Duration;

/// Tells a pass to a terminal, a log, and the event log.
pub struct Live {
    out: Output,
    /// `None` where nothing may be written (dry run).
    events: Option<StateDir>,
    /// The last progress line where there is no terminal: boot-clock time, and whether it was about settling.
    last_line: Option<(Duration, bool)>,
    /// A rewritten line is on the screen.
    line_open: bool,
    /// The event log failed once: said once, not with every event.
    failed: bool,
    /// In every event, so that who started this pass knows its own.
    run: String,
    /// The last wait that was written to the event log: boot-clock time, errors, and whether it was about settling.
    last_event: Option<(Duration, u64, bool)>,
}

/// Names the run that `serve` has started: its id.
pub const RUN_VARIABLE: &str = "HEALER_RUN_ID";

/// Whether a text is the id of a run.
pub fn is_run_id(text: &str) -> bool {
    let rest = text.strip_prefix("run_").unwrap_or_default();
    (1..=60).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn run_id() -> String {
    let given = std::env::var(RUN_VARIABLE).ok().filter(|id| is_run_id(id));
    given.unwrap_or_else(|| format!("run_{}_{}", clock::now().strftime("%Y%m%d_%H%M%S"), std::process::id()))
}

/// Without a terminal the wait is told this often.
const QUIET_EVERY: Duration = Duration::from_secs(60);
/// It is written to the event log this often, and whenever an error has come.
const EVENT_EVERY: Duration = Duration::from_secs(10);

impl Live {
    pub fn new(out: Output, events: Option<StateDir>) -> Self {
        Live { out, events, last_line: None, line_open: false, failed: false, run: run_id(), last_event: None }
    }

    /// The pass is over, or has failed.
    pub fn pass_ended(&mut self, ended: Result<&Report, &anyhow::Error>) {
        match ended {
            Ok(report) => self.event(
                "pass_ended",
                serde_json::json!({
                    "exit_code": report.exit_code(), "problems": report.problems,
                    "duration_ms": u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX),
                }),
            ),
            Err(error) => self.event("pass_failed", serde_json::json!({ "why": format!("{error:#}") })),
        }
    }

    /// A wait is an event now and then: whoever watches counts down by himself.
    fn progress_event(&mut self, progress: &Progress) {
        let now = clock::since_boot();
        let due = |(told, errors, settling): (Duration, u64, bool)| {
            settling != progress.settling || errors != progress.errors || now.saturating_sub(told) >= EVENT_EVERY
        };
        if self.last_event.is_none_or(due) {
            self.last_event = Some((now, progress.errors, progress.settling));
            self.event(
                "progress",
                serde_json::json!({
                    "watched": progress.watched, "errors": progress.errors, "settling": progress.settling,
                    "left_s": progress.left.as_secs_f64().ceil() as u64,
                }),
            );
        }
    }

    /// What was seen and concluded, for those who look in from outside.
    fn leave_last_pass(&mut self, report: &Report, plan: Option<&Plan>) {
        let Some(dir) = &self.events else { return };
        let text = hush_json(last_pass::document(report, plan)).to_string();
        let text = self.out.redactor.redact(&text);
        if let Err(error) = files::write_exchanged(&dir.last_pass(), text.as_bytes(), 0o640) {
            self.out.note(&format!("healer: {error}; the pass goes on"));
        }
    }

    fn end_line(&mut self) {
        if self.line_open {
            self.line_open = false;
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
        }
    }
}

impl Tell for Live {
    fn event(&mut self, kind: &str, data: serde_json::Value) {
        let Some(dir) = &self.events else { return };
        let text = hush_json(data).to_string();
        let mut data: serde_json::Value = serde_json::from_str(&self.out.redactor.redact(&text)).unwrap_or_default();
        if let Some(data) = data.as_object_mut() {
            data.insert("run".into(), self.run.as_str().into());
        }
        if let Err(error) = event_log::append(dir, clock::now(), kind, data)
            && !self.failed
        {
            self.failed = true;
            self.end_line();
            self.out.note(&format!("healer: {error:#}; the pass goes on"));
        }
    }

    fn line(&mut self, text: &str) {
        self.end_line();
        if !self.out.quiet {
            self.out.note(&clean(text));
        }
    }

    fn progress(&mut self, progress: &Progress) {
        self.progress_event(progress);
        if self.out.quiet {
            return;
        }
        let left = clock_text(progress.left);
        let watched = clean(&progress.watched);
        let text = if progress.settling {
            format!("settling  {left} left before {watched} is watched")
        } else {
            format!("watching  {watched}: {} so far, {left} left", count(progress.errors, "error"))
        };
        if self.out.live {
            // A line that is broken by the terminal could not be taken back.
            let most = usize::from(self.out.note_width).saturating_sub(1);
            let text: String = self.out.redactor.redact(&text).chars().take(most).collect();
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K{text}");
            let _ = std::io::stderr().flush();
            self.line_open = true;
            return;
        }
        let now = clock::since_boot();
        let due = |(told, settling): (Duration, bool)| {
            settling != progress.settling || now.saturating_sub(told) >= QUIET_EVERY
        };
        if self.last_line.is_none_or(due) {
            self.last_line = Some((now, progress.settling));
            self.out.note(&text);
        }
    }
}

/// `1:05`.
fn clock_text(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

impl PassTell for Live {
    fn analysis(&mut self, report: &Report, plan: Option<&Plan>) {
        self.leave_last_pass(report, plan);
        self.event(
            "pass",
            serde_json::json!({
                "acting": plan.map(|plan| &plan.id),
                "status": state::overall(&report.checks).word(),
                "issues": report.analysis.findings.len(),
                "events": report.logs.events,
                "diagnoses": report.judged.iter().map(crate::show::json::judged).collect::<Vec<_>>(),
                "gaps": report.logs.gaps,
            }),
        );
        for group in report.logs.groups.iter().take(50) {
            self.event(
                "errors",
                serde_json::json!({
                    "group": group.id, "template": group.template, "count": group.count, "severity": group.severity,
                    "signatures": group.signatures, "sources": group.sources, "new": group.new, "first": group.first,
                    "last": group.last, "example": group.example,
                }),
            );
        }
        if !self.out.json {
            analysis_text(report, &self.out);
        }
        if let Some(plan) = plan {
            let judged = report.judged.iter().find(|j| j.plan().is_some_and(|p| p.id == plan.id));
            self.event("fixing", serde_json::json!({ "plan_id": plan.id, "diagnosis": judged.map(last_pass::judged) }));
            self.line(&format!(
                "fixing    {} of {} with confidence {}",
                plan.fix_type, plan.component, plan.confidence
            ));
        }
    }

    fn alerts(&mut self, alerts: &[Alert]) {
        for alert in alerts {
            // Nested: an alert has a `kind` of its own.
            self.event("alert", serde_json::json!({ "alert": alert }));
            self.end_line();
            let why = alert.why.as_ref().map(|w| format!(" ({w})")).unwrap_or_default();
            let approval = alert.next.iter().find(|next| next.starts_with(APPROVE));
            let approval = approval.map(|command| format!(": `{command}`")).unwrap_or_default();
            self.out.note(&clean(&format!("alert     {}: {}{why}{approval}", alert.kind.word(), alert.title)));
        }
    }

    fn ended(&mut self, ended: &Ended) {
        self.end_line();
        self.out.prose(&ended_text(ended), 2);
    }

    fn as_tell(&mut self) -> &mut dyn Tell {
        self
    }
}

/// The analysis of a pass, for people. A healthy pass is one line.
pub fn analysis_text(report: &Report, out: &Output) {
    let status = state::overall(&report.checks);
    if (status != Status::Healthy || out.verbose) && !report.checks.is_empty() {
        out.text(&checks::table(&report.checks, out));
    } else if !out.quiet || !report.judged.is_empty() {
        let checks = match report.checks.len() as u64 {
            0 => "no checks".to_owned(),
            n => format!("{} {}", count(n, "check"), out.status(status)),
        };
        out.text(&format!("{checks}, {}", count(report.logs.events, "new error event")));
    }
    let parts = [diagnosis::groups(&report.logs, out), diagnosis::findings(report, out)];
    for part in parts.into_iter().flatten() {
        out.text("");
        out.text(&part);
    }
    let notes = diagnosis::log_notes(&report.logs);
    if !notes.is_empty() {
        out.text("");
        notes.iter().for_each(|note| out.prose(note, 2));
    }
    let shown = |judged: &&pass::Judged| out.verbose || !diagnosis::is_shown_with_root(&judged.diagnosis, report);
    for judged in report.judged.iter().filter(shown) {
        out.text("");
        out.text(&diagnosis::judged(judged, out));
    }
    if let Some(others) = diagnosis::others(report, out) {
        out.text("");
        out.text(&others);
    }
}

fn ended_text(ended: &Ended) -> String {
    match ended {
        Ended::Interrupted(plan) => {
            format!("interrupted: {} of {} stays applied and is judged by the next pass", plan.fix_type, plan.component)
        }
        Ended::StillOpen(e) => {
            let what = if e.undoing { "not undone yet" } else { "not written down yet" };
            clean(&format!("{what}: {} ({}): {}", e.plan.fix_type, e.plan.target, e.why))
        }
        Ended::Closed(e) => {
            let undo = match (&e.backup_id, e.outcome) {
                (Some(id), Outcome::Healed | Outcome::Unproven) => format!("\nundo it with: healer rollback {id}"),
                (Some(id), Outcome::RollbackFailed | Outcome::Conflict) => {
                    format!("\nthe old content is in backup {id}: healer backups show {id}")
                }
                _ => String::new(),
            };
            let first = e.plan.steps.first().map(|_| e.plan.target.clone()).unwrap_or_default();
            clean(&format!("{}: {} ({first}): {}", e.outcome.word(), e.plan.fix_type, e.why)) + &undo
        }
    }
}
