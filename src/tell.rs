//! What a pass has to say to humans: which alerts are due after the analysis and after an ending.
//!
//! Lives here: composing alerts from a report. May not live here: sending them (`alert`), drawing them (`show`).

use crate::alert::Alert;
use crate::config::{AlertKind, Engine, LogKind};
use crate::diagnose::rules::shown;
use crate::follow_up::FollowUp;
use crate::gate::{self, Decision, HoldReason, Permit};
use crate::host::clock;
use crate::hush::hush;
use crate::incidents::{self, Changed};
use crate::model::{Candidate, Diagnosis, Incident, Outcome, Plan, Signal, SignalRole, Status, Step};
use crate::pass::{Judged, Report, worth_telling};
use crate::show::{Output, diagnosis};
use crate::transaction::{Ended, Ending, StillOpen, Tell};
use jiff::Timestamp;

/// Where a pass tells what it concludes and does.
pub trait PassTell: Tell {
    /// The analysis is done; `plan` is what will be carried out now.
    fn analysis(&mut self, report: &Report, plan: Option<&Plan>);
    fn alerts(&mut self, alerts: &[Alert]);
    fn ended(&mut self, ended: &Ended);
    fn as_tell(&mut self) -> &mut dyn Tell;
}

/// The name of this host, for alerts.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn blank(kind: AlertKind, title: String, component: String, now: Timestamp) -> Alert {
    Alert {
        kind,
        title,
        component,
        severity: severity_of(kind),
        issue_type: None,
        incident: None,
        since: None,
        cause: None,
        confidence: None,
        evidence: Vec::new(),
        candidates: Vec::new(),
        symptoms: Vec::new(),
        actions: Vec::new(),
        diff: None,
        why: None,
        next: Vec::new(),
        delayed: None,
        host: host(),
        time: clock::to_second(now).to_string(),
    }
}

/// Where the trouble itself is not known to be worse.
fn severity_of(kind: AlertKind) -> Status {
    match kind {
        AlertKind::RollbackFailed | AlertKind::Critical | AlertKind::Storm => Status::Critical,
        AlertKind::Test => Status::Unknown,
        _ => Status::Warning,
    }
}

/// What and since when an alert of an incident is about.
fn of_incident(incident: &Incident, alert: Alert) -> Alert {
    Alert {
        issue_type: Some(incident.issue_type.clone()),
        incident: Some(incident.id.clone()),
        since: Some(clock::to_second(incident.opened).to_string()),
        severity: incident.severity,
        ..alert
    }
}

/// An alert that says of itself that nothing happened.
pub fn of_test(now: Timestamp) -> Alert {
    Alert {
        why: Some("somebody typed `healer notify test`; nothing has happened".to_owned()),
        next: vec!["nothing".to_owned()],
        ..blank(AlertKind::Test, "alerts reach you".to_owned(), "healer".to_owned(), now)
    }
}

/// The alerts that are due once the pass knows what is wrong; marks them as told in `open`.
pub fn of_analysis(
    engine: &Engine,
    report: &Report,
    permit: Option<&Permit>,
    changed: &Changed,
    open: &mut [Incident],
    now: Timestamp,
) -> Vec<Alert> {
    let told = changed.resolved.iter().filter(|i| !i.alerted.is_empty());
    let mut alerts: Vec<Alert> = told.map(|i| resolved(engine, i, now)).collect();
    let storm = gate::storm(engine, &report.analysis.roots, &report.checks);
    alerts.extend(storm.as_ref().and_then(|storm| of_storm(engine, report, storm, open, now)));
    for judged in report.judged.iter().filter(|j| j.diagnosis.symptom_of.is_none()) {
        let Some(incident) = open.iter_mut().find(|i| i.fingerprint == judged.diagnosis.fingerprint) else { continue };
        incident.hold = judged.hold().map(ToString::to_string);
        incident.hold_kind = judged.hold().map(|hold| hold.word().to_owned());
        let acting = permit.is_some_and(|p| p.plan().component == judged.diagnosis.trigger.component);
        let Some(kind) = kind_of(judged, acting) else { continue };
        if storm.is_some() && matches!(kind, AlertKind::Storm | AlertKind::Critical) {
            continue;
        }
        // What comes and goes is told once, whatever it is each time.
        let told_as = if incident.flapping { "flapping" } else { kind.word() };
        if incidents::is_due(incident, told_as, engine.alerts.repeat, now) {
            incident.alerted.insert(told_as.to_owned(), now);
            alerts.push(of_judged(kind, judged, incident, now));
        }
    }
    alerts.into_iter().map(|alert| redacted(engine, alert)).collect()
}

/// One alert for all that is critical at once; due when one of them was not told of yet, or not for long.
fn of_storm(
    engine: &Engine,
    report: &Report,
    storm: &HoldReason,
    open: &mut [Incident],
    now: Timestamp,
) -> Option<Alert> {
    let kind = AlertKind::Storm;
    let mut critical: Vec<&mut Incident> =
        open.iter_mut().filter(|i| i.severity == Status::Critical && i.symptom_of.is_none()).collect();
    if !critical.iter().any(|i| incidents::is_due(i, kind.word(), engine.alerts.repeat, now)) {
        return None;
    }
    for incident in &mut critical {
        incident.alerted.insert(kind.word().to_owned(), now);
    }
    Some(Alert {
        evidence: critical.iter().map(|i| i.cause.clone()).collect(),
        why: Some(storm.to_string()),
        next: vec!["healer diagnose".to_owned()],
        ..blank(kind, format!("{} root causes at once", report.analysis.roots.len()), "host".to_owned(), now)
    })
}

/// What to tell of one diagnosis; nothing while it is being mended, and nothing for a mere warning without a rule.
fn kind_of(judged: &Judged, acting: bool) -> Option<AlertKind> {
    match &judged.decision {
        _ if acting => None,
        Some(Decision::Hold { reason: HoldReason::Storm { .. }, .. }) => Some(AlertKind::Storm),
        Some(Decision::Hold { reason: HoldReason::CircuitOpen { .. }, .. }) => Some(AlertKind::CircuitOpen),
        Some(Decision::Hold { reason, .. }) => worth_telling(reason).then_some(AlertKind::Held),
        // Another one goes first: this one's turn comes with the next pass.
        Some(Decision::Act(_)) => None,
        None => (judged.diagnosis.severity == Status::Critical).then_some(AlertKind::Critical),
    }
}

/// What was taken out of the configuration has not come right: nobody looks at it.
fn resolved(engine: &Engine, incident: &Incident, now: Timestamp) -> Alert {
    let title = match is_looked_at(engine, &incident.component) {
        true => {
            let lasted = clock::between(incident.opened, now);
            format!("{} (over after {})", incident.cause, shown(crate::text::coarse(lasted)))
        }
        false => format!("{} ({} is no longer looked at)", incident.cause, incident.component),
    };
    of_incident(incident, blank(AlertKind::Resolved, title, incident.component.clone(), now))
}

/// Whether a check or a log source of this name is configured.
fn is_looked_at(engine: &Engine, component: &str) -> bool {
    let has_log = |wanted: &dyn Fn(&LogKind) -> bool| engine.logs.iter().any(|log| wanted(&log.kind));
    match component.split_once(':') {
        None => engine.check(component).is_some(),
        Some(("container", _)) => engine.docker().is_some(),
        Some(("file", file)) => has_log(&|kind| matches!(kind, LogKind::Files { name, .. } if name == file)),
        Some(("journal", journal)) => has_log(&|kind| matches!(kind, LogKind::Journal { name, .. } if name == journal)),
        Some(_) => true,
    }
}

fn of_judged(kind: AlertKind, judged: &Judged, incident: &Incident, now: Timestamp) -> Alert {
    let diagnosis = &judged.diagnosis;
    let (actions, why, next) = match &judged.decision {
        Some(Decision::Hold { reason, plan }) => {
            let actions = plan.as_ref().map_or_else(Vec::new, |p| actions(p, "proposed"));
            (actions, Some(reason.to_string()), next_for_hold(reason, plan.as_deref()))
        }
        _ => (Vec::new(), None, vec!["healer diagnose".to_owned()]),
    };
    let alert = Alert {
        diff: judged.plan().and_then(|plan| diff(plan, judged)),
        cause: Some(diagnosis.cause.clone()),
        confidence: Some(diagnosis.confidence),
        evidence: evidence(diagnosis),
        candidates: candidates(diagnosis),
        symptoms: symptoms(diagnosis),
        actions,
        why,
        next,
        ..blank(kind, title(diagnosis, incident), diagnosis.trigger.component.clone(), now)
    };
    of_incident(incident, alert)
}

/// Of a diff, in bytes.
const LONGEST_DIFF: usize = 4000;

/// The edits of a plan, as they are shown.
fn diff(plan: &Plan, judged: &Judged) -> Option<String> {
    let whole = diagnosis::diffs(plan, &judged.files, &Output::plain());
    if whole.len() <= LONGEST_DIFF {
        return (!whole.is_empty()).then_some(whole);
    }
    let mut size = 0;
    let fits = |line: &&str| {
        size += line.len() + 1;
        size <= LONGEST_DIFF
    };
    let kept: Vec<&str> = whole.lines().take_while(fits).collect();
    Some(format!("{}\n... ({} more lines)", kept.join("\n"), whole.lines().count() - kept.len()))
}

fn title(diagnosis: &Diagnosis, incident: &Incident) -> String {
    match incident.flapping {
        true => {
            format!("{} (flapping: closed and back {} times within an hour)", diagnosis.cause, incident.reopened.len())
        }
        false => diagnosis.cause.clone(),
    }
}

fn evidence(diagnosis: &Diagnosis) -> Vec<String> {
    let example = diagnosis.trigger.example.iter().filter(|e| !diagnosis.trigger.seen.contains(e.as_str())).cloned();
    let beside = diagnosis.signals.iter().filter(|s| s.role != SignalRole::Trigger).map(signal);
    std::iter::once(diagnosis.trigger.seen.clone()).chain(example).chain(beside).collect()
}

/// One line each; the only one needs none.
fn candidates(diagnosis: &Diagnosis) -> Vec<String> {
    let all = &diagnosis.candidates;
    if all.len() > 1 { all.iter().map(candidate).collect() } else { Vec::new() }
}

fn symptoms(diagnosis: &Diagnosis) -> Vec<String> {
    diagnosis.symptoms.iter().map(|s| format!("{} is {}: {}", s.component, s.status, s.message)).collect()
}

/// A signal beside the trigger in one line: whether it is for or against, there or absent, and what it weighs.
pub fn signal(signal: &Signal) -> String {
    let side = match (signal.role, signal.weight) {
        (SignalRole::Required, _) => "required",
        (_, Some(weight)) if weight < 0.0 => "against",
        _ => "for",
    };
    let weight = signal.weight.map(|w| format!(" {w:+}")).unwrap_or_default();
    match signal.held {
        true => format!("{side}{weight}: {}", signal.seen),
        false => format!("{side}{weight}, absent: {} ({})", signal.asked, signal.seen),
    }
}

/// A candidate in one line: its score, who says so, what it says.
pub fn candidate(candidate: &Candidate) -> String {
    let by = candidate.rule.as_ref().map_or("built-in cause".to_owned(), |rule| format!("rule {rule}"));
    let root = candidate.symptom_of.as_ref().map(|root| format!(", a symptom of {root}")).unwrap_or_default();
    format!(
        "{} {} {} ({by}{root}): {}",
        candidate.confidence, candidate.issue_type, candidate.component, candidate.cause
    )
}

/// One line per step.
pub fn actions(plan: &Plan, verb: &str) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| match step {
            Step::Edit(e) => format!("{verb}: {}:{} `{}`: {} -> {}", e.path.display(), e.line, e.at, e.old, e.new),
            Step::Restart(target) => format!("{verb}: {} {target}", target.verb()),
            Step::Act(act) => format!("{verb}: {}", act.words()),
        })
        .collect()
}

/// The command that carries out a plan that a human has looked at.
pub const APPROVE: &str = "healer heal --approve";

/// What an operator types to have a held plan carried out, where approving it is all that it waits for.
pub fn approval(reason: &HoldReason, plan: &Plan) -> Option<String> {
    let waits = matches!(
        reason,
        HoldReason::LowConfidence { .. }
            | HoldReason::History { .. }
            | HoldReason::Suggest
            | HoldReason::SuggestedByLabel(_)
    );
    waits.then(|| format!("{APPROVE} {}", plan.id))
}

fn next_for_hold(reason: &HoldReason, plan: Option<&Plan>) -> Vec<String> {
    if let Some(approval) = plan.and_then(|plan| approval(reason, plan)) {
        return vec![approval];
    }
    match (reason, plan) {
        (HoldReason::Paused { .. }, _) => vec!["healer resume   (ends the pause)".to_owned()],
        (HoldReason::Released { target, .. } | HoldReason::CircuitOpen { target, .. }, _) => {
            vec![format!("healer reset '{target}'")]
        }
        _ => vec!["healer diagnose".to_owned()],
    }
}

/// The alerts of a transaction that was ended, or could not be.
pub fn of_ended(engine: &Engine, ended: &Ended, now: Timestamp) -> Vec<Alert> {
    let alert = match ended {
        Ended::Closed(ending) => of_ending(ending, now),
        Ended::StillOpen(open) => Some(of_still_open(open, now)),
        Ended::Interrupted(_) => None,
    };
    alert.into_iter().map(|alert| redacted(engine, alert)).collect()
}

/// The same of a fix of this pass: with what competed, and with what is expected to go with it.
pub fn of_fix(engine: &Engine, ended: &Ended, report: &Report, open: &[Incident], now: Timestamp) -> Vec<Alert> {
    let with_cause = |alert: Alert| {
        let is_own = |i: &&Incident| i.component == alert.component && Some(&i.issue_type) == alert.issue_type.as_ref();
        let alert = match open.iter().find(is_own) {
            Some(incident) => of_incident(incident, alert),
            None => alert,
        };
        let own = report.judged.iter().find(|j| j.plan().is_some_and(|plan| Some(&plan.id) == plan_of(ended)));
        let diff = own.and_then(|judged| diff(judged.plan()?, judged));
        let alert = redacted(engine, Alert { diff, ..alert });
        let is_root = |d: &&Diagnosis| d.symptom_of.is_none() && d.trigger.component == alert.component;
        let Some(root) = report.judged.iter().map(|j| &j.diagnosis).find(is_root) else { return alert };
        redacted(engine, Alert { candidates: candidates(root), symptoms: symptoms(root), ..alert })
    };
    of_ended(engine, ended, now).into_iter().map(with_cause).collect()
}

fn plan_of(ended: &Ended) -> Option<&String> {
    match ended {
        Ended::Closed(ending) => Some(&ending.plan.id),
        Ended::StillOpen(open) => Some(&open.plan.id),
        Ended::Interrupted(_) => None,
    }
}

/// What came of a fix, in the words of who reads it at night.
fn came_of_it(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Healed => "helped and is kept",
        Outcome::Unproven => "is kept, but too little was seen to say whether it helped",
        Outcome::RolledBack => "did not help and was undone",
        Outcome::Failed => "did not help and cannot be undone",
        Outcome::RolledBackByOperator => "was undone by an operator",
        Outcome::RollbackFailed => "could not be undone",
        Outcome::Conflict => "was not undone: somebody else has changed its target since",
        Outcome::Recovered | Outcome::Held | Outcome::DryRun => "was not made",
    }
}

fn of_ending(ending: &Ending, now: Timestamp) -> Option<Alert> {
    let kind = match ending.outcome {
        Outcome::Healed => AlertKind::Healed,
        Outcome::Unproven => AlertKind::Unproven,
        Outcome::RolledBack | Outcome::Failed | Outcome::RolledBackByOperator => AlertKind::RolledBack,
        Outcome::RollbackFailed | Outcome::Conflict => AlertKind::RollbackFailed,
        Outcome::Recovered | Outcome::Held | Outcome::DryRun => return None,
    };
    let plan = &ending.plan;
    let title = format!("{} of {} {}", plan.fix_type, plan.component, came_of_it(ending.outcome));
    let next = match (&ending.backup_id, kind) {
        (Some(id), AlertKind::Healed | AlertKind::Unproven) => vec![format!("healer rollback {id}   (to undo it)")],
        (Some(id), AlertKind::RollbackFailed) => vec![format!("healer backups show {id}")],
        _ => vec!["healer diagnose".to_owned()],
    };
    let is_undone = matches!(ending.outcome, Outcome::RolledBack | Outcome::RolledBackByOperator);
    let actions = actions(plan, if is_undone { "undone" } else { "done" });
    Some(Alert { why: Some(ending.why.clone()), actions, next, ..of_plan(kind, title, plan, now) })
}

fn of_still_open(open: &StillOpen, now: Timestamp) -> Alert {
    let (kind, what) = if open.undoing {
        (AlertKind::RollbackFailed, "is not undone yet")
    } else {
        (AlertKind::Critical, "is done and not written down yet")
    };
    let plan = &open.plan;
    let title = format!("{} of {} {what}", plan.fix_type, plan.component);
    let next = std::iter::once("healer heal   (tries again)".to_owned());
    let next = next.chain(open.backup_id.iter().map(|id| format!("healer backups show {id}"))).collect();
    Alert { why: Some(open.why.clone()), next, ..of_plan(kind, title, plan, now) }
}

fn of_plan(kind: AlertKind, title: String, plan: &Plan, now: Timestamp) -> Alert {
    Alert {
        issue_type: Some(plan.issue_type.clone()),
        cause: Some(plan.cause.clone()),
        confidence: Some(plan.confidence),
        actions: actions(plan, "done"),
        ..blank(kind, title, plan.component.clone(), now)
    }
}

/// The alert of a fix that was kept and whose problem is back.
pub fn of_recurred(engine: &Engine, follow_up: &FollowUp, issue_type: Option<String>, now: Timestamp) -> Alert {
    let title = format!("{} of {} did not last", follow_up.fix_type, follow_up.component);
    let passed = clock::between(clock::to_second(follow_up.judged.t), clock::to_second(now));
    let passed = if passed.is_zero() { "right".to_owned() } else { shown(passed) };
    let why = format!("rule {} fires again {passed} after {} was kept", follow_up.rule, follow_up.fix);
    let next = vec!["healer diagnose".to_owned(), "healer backups".to_owned()];
    let blank = blank(AlertKind::Recurred, title, follow_up.component.clone(), now);
    redacted(engine, Alert { issue_type, why: Some(why), next, ..blank })
}

/// The alert of an open transaction that cannot be read: no fix is made before a human has looked.
pub fn of_blocked(engine: &Engine, why: &str, now: Timestamp) -> Alert {
    let title = "no fix can be made".to_owned();
    let alert = Alert { why: Some(why.to_owned()), ..blank(AlertKind::Critical, title, "healer".to_owned(), now) };
    redacted(engine, alert)
}

/// Nothing secret leaves the host: a log line may repeat a password.
fn redacted(engine: &Engine, alert: Alert) -> Alert {
    let clean = |text: String| crate::text::clean(&hush(&engine.redactor.redact(&text)));
    Alert {
        title: clean(alert.title),
        component: clean(alert.component),
        cause: alert.cause.map(clean),
        evidence: alert.evidence.into_iter().map(clean).collect(),
        candidates: alert.candidates.into_iter().map(clean).collect(),
        symptoms: alert.symptoms.into_iter().map(clean).collect(),
        actions: alert.actions.into_iter().map(clean).collect(),
        diff: alert.diff.map(|diff| hush(&engine.redactor.redact(&diff)).into_owned()),
        why: alert.why.map(clean),
        next: alert.next.into_iter().map(clean).collect(),
        ..alert
    }
}
