//! The validation window: settling, sampling, and ending early when that is called for.

use crate::host::clock;
use crate::logs::LogState;
use crate::model::{Outcome, ValidationSpec, Verdict};
use crate::observe::Samples;
use crate::transaction::eye::{Counted, Eye};
use crate::transaction::journal::{Intent, Journal, Phase};
use crate::transaction::phase::{self, Live, Next};
use crate::transaction::{Ground, acts, before, steps};
use crate::validate::{self, Judgement, Sample};
use anyhow::Result;
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

/// A container that was resized and is down in so many samples in a row does not come up again by itself.
const DOWN_FOR_GOOD: u32 = 3;

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
    let mut eye = Eye::new(intent, samples, logs, ground);
    if let Some(ended) = settle(spec, &mut eye, intent, ground) {
        return Ok(ended);
    }
    journal.reached(eye.begin(ground))?;
    journal.reached(Phase::Validating { at: clock::moment() })?;
    ground.tell.event("validating", serde_json::json!({ "fix_id": intent.fix_id, "seconds": spec.window_seconds }));
    let begin = clock::since_boot();
    let tick = Duration::from_secs_f64(spec.window_seconds / 24.0).clamp(SHORTEST_TICK, LONGEST_TICK);
    let mut seen: Vec<Sample> = Vec::new();
    let mut until = spec.window_seconds;
    let mut down = 0;
    loop {
        let at = (clock::since_boot().saturating_sub(begin)).as_secs_f64();
        let left = Duration::from_secs_f64((until - at).max(0.0));
        if let Some(ended) = pause(tick.min(left.max(SHORTEST_TICK)), intent, ground) {
            return Ok(ended);
        }
        let at = (clock::since_boot().saturating_sub(begin)).as_secs_f64();
        seen.push(eye.look(at, ground, Counted::New));
        if let Some(next) = changed_by_somebody(intent).or_else(|| acts::changed_by_somebody(intent, ground)) {
            return Ok(Watched::Next(next, None));
        }
        let fallen = acts::fallen(&intent.plan, ground);
        down = if fallen.is_some() { down + 1 } else { 0 };
        if let Some(why) = fallen.clone().filter(|_| down >= DOWN_FOR_GOOD) {
            let verdict = acts::fallen_verdict(why, &seen);
            return Ok(Watched::Next(phase::after_verdict(&verdict, intent.plan.is_undoable()), Some(verdict)));
        }
        match validate::judge(spec, before(intent), &seen) {
            Judgement::Done(verdict) => {
                let verdict = acts::unless_fallen(verdict, fallen);
                let next = phase::after_verdict(&verdict, intent.plan.is_undoable());
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
    eye.look(0.0, ground, Counted::None);
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
