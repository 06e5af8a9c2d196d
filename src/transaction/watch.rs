//! The validation window: settling, sampling, and ending early when that is called for.

use crate::host::clock;
use crate::logs;
use crate::logs::LogState;
use crate::model::{CheckResult, Container, Outcome, ValidationSpec, Verdict, Watched as WatchedTrigger};
use crate::observe::{self, Samples};
use crate::transaction::journal::{Intent, Journal, Phase};
use crate::transaction::phase::{self, Live, Next};
use crate::transaction::{Ground, statuses, steps};
use crate::validate::{self, Judgement, Sample};
use anyhow::Result;
use globset::{Glob, GlobMatcher};
use std::time::Duration;

/// The wait as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is watched, in words.
    pub watched: String,
    pub errors: u64,
    pub settling: bool,
    pub left: Duration,
}

/// How the wait ended.
pub enum Watched {
    Next(Next, Option<Verdict>),
    Interrupted,
}

/// Samples are at least this far apart, so that watching costs next to nothing.
const LONGEST_TICK: Duration = Duration::from_secs(5);
const SHORTEST_TICK: Duration = Duration::from_millis(200);

/// Watches an applied fix and says what is next.
///
/// # Errors
/// When the journal cannot be written.
pub fn judge(
    intent: &Intent,
    journal: &mut Journal,
    logs: &mut LogState,
    samples: &mut Samples,
    ground: &mut Ground,
) -> Result<Watched> {
    let spec = &intent.plan.validation;
    let mut eye = Eye::new(spec, samples, logs);
    if let Some(ended) = settle(spec, &mut eye, intent, ground) {
        return Ok(ended);
    }
    eye.look(0.0, ground, false);
    journal.reached(Phase::Validating { at: clock::moment() })?;
    ground.tell.event("validating", serde_json::json!({ "fix_id": intent.fix_id, "seconds": spec.window_seconds }));
    let begin = clock::since_boot();
    let tick = Duration::from_secs_f64(spec.window_seconds / 24.0).clamp(SHORTEST_TICK, LONGEST_TICK);
    let mut seen: Vec<Sample> = Vec::new();
    let mut until = spec.window_seconds;
    loop {
        let at = (clock::since_boot().saturating_sub(begin)).as_secs_f64();
        let left = Duration::from_secs_f64((until - at).max(0.0));
        if let Some(ended) = pause(tick.min(left.max(SHORTEST_TICK)), intent, ground) {
            return Ok(ended);
        }
        let at = (clock::since_boot().saturating_sub(begin)).as_secs_f64();
        seen.push(eye.look(at, ground, true));
        if let Some(next) = changed_by_somebody(intent) {
            return Ok(Watched::Next(next, None));
        }
        match validate::judge(spec, &intent.before, &seen) {
            Judgement::Done(verdict) => {
                let next = phase::after_verdict(&verdict, !intent.files.is_empty());
                return Ok(Watched::Next(next, Some(verdict)));
            }
            Judgement::Wait { until: later, errors } => {
                until = later;
                let left = Duration::from_secs_f64((until - at).max(0.0));
                let watched = validate::shown_watched(&spec.watched);
                ground.tell.progress(&Progress { watched, errors, settling: false, left });
            }
        }
    }
}

/// What is next when a file of the fix does not hold our content any more. What cannot be read now is looked at again
/// with the next sample.
fn changed_by_somebody(intent: &Intent) -> Option<Next> {
    intent.files.iter().find_map(|change| {
        let path = change.path.display();
        match steps::live(change).ok()? {
            Live::After => None,
            Live::Before => {
                let why = format!("{path} was put back by somebody else while the fix was watched");
                Some(Next::Stuck { outcome: Outcome::Conflict, why })
            }
            Live::Foreign => {
                let why = format!("{path} was changed by somebody else while the fix was watched");
                Some(Next::Undo { outcome: Outcome::Conflict, why })
            }
        }
    })
}

/// Start-up errors and requests in flight are not the fix's: what is logged now is read and not counted.
fn settle(spec: &ValidationSpec, eye: &mut Eye, intent: &Intent, ground: &mut Ground) -> Option<Watched> {
    let begin = clock::since_boot();
    let settle = Duration::from_secs_f64(spec.settle_seconds);
    loop {
        let left = settle.saturating_sub(clock::since_boot().saturating_sub(begin));
        if left.is_zero() {
            break;
        }
        let watched = validate::shown_watched(&spec.watched);
        ground.tell.progress(&Progress { watched, errors: 0, settling: true, left });
        if let Some(ended) = pause(left.min(Duration::from_secs(1)), intent, ground) {
            return Some(ended);
        }
    }
    eye.look(0.0, ground, false);
    None
}

/// An operator who asked for a rollback waits no longer than this for the watch to notice.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// Waits; ends the watch on a signal, or when an operator has asked for this very fix to be undone.
fn pause(time: Duration, intent: &Intent, ground: &mut Ground) -> Option<Watched> {
    let end = clock::since_boot() + time;
    loop {
        let left = end.saturating_sub(clock::since_boot());
        if ground.interrupt.wait(left.min(LONGEST_NAP)) {
            return Some(Watched::Interrupted);
        }
        let request = std::fs::read_to_string(ground.dir.rollback_request()).unwrap_or_default();
        if intent.backup_id.as_deref() == Some(request.trim()) {
            let why = "an operator asked for it".to_owned();
            return Some(Watched::Next(Next::Undo { outcome: Outcome::RolledBackByOperator, why }, None));
        }
        if left <= LONGEST_NAP {
            return None;
        }
    }
}

/// Takes samples.
struct Eye<'a> {
    spec: &'a ValidationSpec,
    only: Option<GlobMatcher>,
    samples: &'a mut Samples,
    logs: &'a mut LogState,
    errors: u64,
}

impl<'a> Eye<'a> {
    fn new(spec: &'a ValidationSpec, samples: &'a mut Samples, logs: &'a mut LogState) -> Self {
        let only = match &spec.watched {
            WatchedTrigger::Log { source, .. } => Glob::new(&globset::escape(source)).ok().map(|g| g.compile_matcher()),
            _ => None,
        };
        Eye { spec, only, samples, logs, errors: 0 }
    }

    /// Runs the checks and reads the watched log; its new errors count only when `counted`.
    fn look(&mut self, at: f64, ground: &Ground, counted: bool) -> Sample {
        let now = clock::now();
        let (checks, samples) = observe::run(ground.engine, &[], self.samples, now);
        *self.samples = samples;
        if let WatchedTrigger::Log { signature, .. } = &self.spec.watched {
            let containers: Vec<Container> = checks.iter().flat_map(|c| c.containers.clone()).collect();
            let report = logs::read_new(ground.engine, &containers, ground.docker, self.only.as_ref(), self.logs, now);
            if counted {
                self.errors += report.by_signature.get(signature).copied().unwrap_or(0);
            }
        }
        Sample {
            at,
            errors: self.errors,
            trigger_gone: trigger_gone(&self.spec.watched, &checks),
            statuses: statuses(&checks, &self.spec.checks),
        }
    }
}

/// Whether what fired is gone; `None` for logs.
pub fn trigger_gone(watched: &WatchedTrigger, checks: &[CheckResult]) -> Option<bool> {
    let check = |name: &str| checks.iter().find(|c| c.name == name);
    match watched {
        WatchedTrigger::Log { .. } => None,
        WatchedTrigger::Check { name } => Some(check(name).is_some_and(|c| c.status == crate::model::Status::Healthy)),
        WatchedTrigger::Container { name } => {
            let container = checks.iter().flat_map(|c| &c.containers).find(|c| c.name == *name);
            Some(container.is_some_and(|c| c.status == crate::model::Status::Healthy && is_up(c)))
        }
        WatchedTrigger::Metric { check: name, metric, above, below } => {
            let value = check(name).and_then(|c| c.metric(metric));
            Some(value.is_some_and(|v| !crate::diagnose::streaks::beyond(v, *above, *below)))
        }
    }
}

/// Running, and not merely waiting for its own health check.
fn is_up(container: &Container) -> bool {
    container.state == crate::model::ContainerState::Running
        && container.health != Some(crate::model::ContainerHealth::Starting)
}
