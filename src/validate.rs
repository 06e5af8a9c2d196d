//! Did it help? What was expected, what was seen, the verdict, and how likely that verdict is luck.
//!
//! Silence is no success: a log that cannot be read, lines that were lost and a service that does not run any more are
//! told apart from quiet, and nothing else on the host may have become worse.
//!
//! Pure: samples in, judgement out. May not live here: taking samples, waiting, undoing.

pub mod elsewhere;
pub mod luck;

#[cfg(test)]
mod tests;

use crate::diagnose::rules::shown;
use crate::model::{ErrorsAllowed, Status, ValidationSpec, Verdict, VerdictKind, Watched};
use luck::{chance_of_at_least, chance_of_at_most};
use std::collections::BTreeMap;
use std::time::Duration;

/// Had nothing changed, at least this many errors were to be expected: fewer, and quiet proves nothing.
pub const ENOUGH_EXPECTED: f64 = 3.0;
/// A burst right at the begin of a window that the earlier rate explains so seldom is none of that rate.
const HARDLY_CHANCE: f64 = 0.01;
/// Good samples of a check, container or metric.
pub const ENOUGH_SAMPLES: usize = 3;

/// What was known before the window.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before<'a> {
    /// Status of every check and container just before the first step.
    pub statuses: Option<&'a BTreeMap<String, Status>>,
    /// Bursts of errors per second, where they were seen for long enough to tell a burst from a stream.
    pub bursts_per_second: Option<f64>,
}

/// One look during the window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Seconds since the window began.
    pub at: f64,
    /// Errors of the rule's own signature since the window began.
    pub errors: u64,
    /// Status of every check and container (`container:NAME`).
    pub statuses: BTreeMap<String, Status>,
    /// Whether what fired is gone now; `None` for log triggers, whose errors are counted, and where nothing can be said.
    pub trigger_gone: Option<bool>,
    /// Why this look says nothing of what is watched: its log, or whether its service runs, cannot be read now.
    pub blind: Option<String>,
    /// Lines of the watched log that were lost since the window began.
    pub lost: Option<String>,
    /// A service of the fix that does not run.
    pub dead: Option<String>,
    /// A service of the fix that was started once more since the window began.
    pub started_anew: Option<String>,
    /// What became worse beside the fix, other than a status: errors of other kinds or elsewhere, a container that crashed.
    pub worse: Option<String>,
}

/// What to do after a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// Not yet. Seconds from the window's begin until it ends as things stand.
    Wait {
        until: f64,
        errors: u64,
    },
    Done(Verdict),
}

/// Judges the samples so far.
pub fn judge(spec: &ValidationSpec, before: Before, samples: &[Sample]) -> Judgement {
    let Some(last) = samples.last() else {
        return Judgement::Wait { until: spec.window_seconds, errors: 0 };
    };
    let done = |kind, judged_on| {
        let chance_of_luck = luck_of(spec, before, samples);
        Judgement::Done(Verdict { kind, judged_on, errors_after: last.errors, chance_of_luck })
    };
    if let Some(why) = clearly_worse(spec, before, samples) {
        return done(VerdictKind::Failure, why);
    }
    if last.at < spec.window_seconds {
        return Judgement::Wait { until: spec.window_seconds, errors: last.errors };
    }
    if let Some(why) = failed(spec, before, samples) {
        return done(VerdictKind::Failure, why);
    }
    let (enough, seen) = enough(spec, before, samples);
    if enough {
        return done(VerdictKind::Success, seen);
    }
    if last.at < spec.max_window_seconds {
        return Judgement::Wait { until: spec.max_window_seconds, errors: last.errors };
    }
    done(VerdictKind::NotEnough, seen)
}

/// What luck is reckoned with: events that were to be expected, and how many came. Bursts are counted instead of errors
/// where they were seen before the fix: five errors of one moment are one event, and say nothing of the next minutes.
fn reckoned(spec: &ValidationSpec, before: Before, samples: &[Sample]) -> Option<(f64, u64)> {
    let Watched::Log { rate_per_second, .. } = &spec.watched else { return None };
    let last = samples.last()?;
    Some(match before.bursts_per_second {
        Some(rate) => (rate.min(*rate_per_second) * last.at, bursts(spec, samples).min(last.errors)),
        None => (rate_per_second * last.at, last.errors),
    })
}

/// Bursts of errors in the window.
fn bursts(spec: &ValidationSpec, samples: &[Sample]) -> u64 {
    let length = luck::slot(spec.window_seconds) as f64;
    let mut errors = 0;
    let mut slots: Vec<u64> = Vec::new();
    for sample in samples {
        let slot = (sample.at / length) as u64;
        if sample.errors > errors && slots.last() != Some(&slot) {
            slots.push(slot);
        }
        errors = sample.errors;
    }
    slots.len() as u64
}

fn luck_of(spec: &ValidationSpec, before: Before, samples: &[Sample]) -> Option<f64> {
    reckoned(spec, before, samples).map(|(expected, seen)| chance_of_at_most(seen, expected))
}

/// Over what is allowed, by at least three, and above twice the earlier rate (not by chance, where a share of it is
/// allowed); or a named check newly critical, or a service of the fix down, for three samples.
fn clearly_worse(spec: &ValidationSpec, before: Before, samples: &[Sample]) -> Option<String> {
    let last = samples.last()?;
    if let Watched::Log { rate_per_second, .. } = &spec.watched {
        let expected = rate_per_second * last.at;
        let allowed = allowed(spec, *rate_per_second, last.at);
        // Over a number there is no way back; over a share of the rate there is, unless it has become another rate.
        let is_for_good = matches!(spec.errors_allowed, ErrorsAllowed::AtMost(_))
            || chance_of_at_least(last.errors, expected) < HARDLY_CHANCE;
        if is_for_good && last.errors >= allowed.saturating_add(3) && last.errors as f64 > 2.0 * expected.max(1.0) {
            return Some(format!(
                "clearly worse: {} errors in {} where {expected:.1} were to be expected",
                last.errors,
                shown_seconds(last.at)
            ));
        }
    }
    let tail = samples.len().checked_sub(3).and_then(|from| samples.get(from..))?;
    if let Some(dead) = last.dead.as_ref().filter(|_| tail.iter().all(|s| s.dead.is_some())) {
        return Some(format!("clearly worse: {dead}"));
    }
    spec.checks.iter().find_map(|name| {
        let was = before.statuses.and_then(|statuses| statuses.get(name));
        let newly = was.is_none_or(|s| *s != Status::Critical);
        let critical = tail.iter().all(|s| s.statuses.get(name) == Some(&Status::Critical));
        (newly && critical).then(|| format!("clearly worse: {name} has become critical"))
    })
}

/// Errors that a window of this length may hold.
fn allowed(spec: &ValidationSpec, rate: f64, seconds: f64) -> u64 {
    match spec.errors_allowed {
        ErrorsAllowed::AtMost(n) => n,
        ErrorsAllowed::ReduceTo(share) => (share * rate * seconds).floor() as u64,
    }
}

fn failed(spec: &ValidationSpec, before: Before, samples: &[Sample]) -> Option<String> {
    let last = samples.last()?;
    if let Watched::Log { rate_per_second, .. } = &spec.watched {
        let allowed = allowed(spec, *rate_per_second, last.at);
        if last.errors > allowed {
            return Some(format!(
                "{} errors in {} where {allowed} are allowed ({:.1} were to be expected)",
                last.errors,
                shown_seconds(last.at),
                rate_per_second * last.at
            ));
        }
    }
    if last.trigger_gone == Some(false) {
        return Some(format!("{} is still as it was when the rule fired", shown_watched(&spec.watched)));
    }
    let relapses = relapses(samples);
    if relapses > 1 {
        let watched = shown_watched(&spec.watched);
        return Some(format!("{watched} was good and bad again {relapses} times within {}", shown_seconds(last.at)));
    }
    let known = |name: &&String| last.statuses.get(*name).is_some_and(|s| *s != Status::Unknown);
    let unhealthy = spec.checks.iter().filter(known).find(|name| last.statuses.get(*name) != Some(&Status::Healthy));
    if let Some(name) = unhealthy {
        let status = last.statuses.get(name).map_or("not known", |s| s.word());
        return Some(format!("{name} is {status} at the end of the window, not healthy"));
    }
    let of_fix = last.dead.clone().or_else(|| last.started_anew.clone());
    of_fix.or_else(|| regression(before, samples)).or_else(|| last.worse.clone())
}

/// A check or container that was healthy before and is critical, or gone, in the last two of at least three samples.
fn regression(before: Before, samples: &[Sample]) -> Option<String> {
    if samples.len() < ENOUGH_SAMPLES {
        return None;
    }
    let tail = samples.get(samples.len() - 2..)?;
    before.statuses?.iter().filter(|(_, status)| **status == Status::Healthy).find_map(|(name, _)| {
        if tail.iter().all(|s| s.statuses.get(name) == Some(&Status::Critical)) {
            return Some(format!("{name} was healthy before and is critical now"));
        }
        let gone = name.starts_with("container:") && tail.iter().all(|s| is_gone(name, s));
        gone.then(|| format!("{name} was healthy before and is gone"))
    })
}

/// Not listed, by an engine that lists others or at least answers: one that does not answer is no missing container.
fn is_gone(container: &str, sample: &Sample) -> bool {
    let engine = sample.statuses.get(elsewhere::ENGINE);
    !sample.statuses.contains_key(container) && engine == Some(&Status::Healthy)
}

/// How often what fired was gone and came back.
fn relapses(samples: &[Sample]) -> usize {
    let known = samples.iter().filter_map(|s| s.trigger_gone);
    let mut last = false;
    known.filter(|gone| std::mem::replace(&mut last, *gone) && !*gone).count()
}

/// Whether there was enough to see, and what was seen, in words.
fn enough(spec: &ValidationSpec, before: Before, samples: &[Sample]) -> (bool, String) {
    let Some(last) = samples.last() else { return (false, "nothing was seen".into()) };
    let (enough, seen) = match &spec.watched {
        Watched::Log { rate_per_second, .. } => of_log(*rate_per_second, spec, before, samples),
        _ => of_samples(spec, samples),
    };
    let unseen = spec.checks.iter().find(|name| last.statuses.get(*name).is_none_or(|s| *s == Status::Unknown));
    let unseen = unseen.map(|name| format!("whether {name} is healthy is not known"));
    match unseen.or_else(|| last.blind.clone()).or_else(|| last.lost.clone()) {
        Some(why) => (false, format!("{seen}; but {why}")),
        None => (enough, seen),
    }
}

fn of_log(rate: f64, spec: &ValidationSpec, before: Before, samples: &[Sample]) -> (bool, String) {
    let (Some(last), Some((reckoned, seen))) = (samples.last(), reckoned(spec, before, samples)) else {
        return (false, String::new());
    };
    let expected = rate * last.at;
    // Said only where it is another number than the one above.
    let in_bursts = before.bursts_per_second.filter(|_| reckoned < expected * 0.9);
    let in_bursts = in_bursts.map(|_| format!(", in {reckoned:.1} bursts")).unwrap_or_default();
    let text = format!(
        "{} errors in {} where {expected:.1} were to be expected{in_bursts} (chance that this is luck: {})",
        last.errors,
        shown_seconds(last.at),
        percent(chance_of_at_most(seen, reckoned))
    );
    (reckoned >= ENOUGH_EXPECTED, text)
}

/// At least three good samples since the last bad one; where it was good before that, over a whole window.
fn of_samples(spec: &ValidationSpec, samples: &[Sample]) -> (bool, String) {
    let from = samples.iter().rposition(|s| s.trigger_gone != Some(true)).map_or(0, |bad| bad + 1);
    let good = samples.get(from..).unwrap_or_default();
    let span = good.first().zip(good.last()).map_or(0.0, |(first, last)| last.at - first.at);
    let relapsed = relapses(samples) > 0;
    let seen = format!(
        "{} good in {} of {} samples over {}{}",
        shown_watched(&spec.watched),
        samples.iter().filter(|s| s.trigger_gone == Some(true)).count(),
        samples.len(),
        shown_seconds(samples.last().map_or(0.0, |s| s.at)),
        if relapsed {
            format!(", bad again in between, good for the last {}", shown_seconds(span))
        } else {
            String::new()
        }
    );
    (good.len() >= ENOUGH_SAMPLES && (!relapsed || span >= spec.window_seconds), seen)
}

fn percent(chance: f64) -> String {
    if chance < 0.000_1 { "under 0.01 %".into() } else { format!("{:.2} %", chance * 100.0) }
}

fn shown_seconds(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.1}s") } else { shown(Duration::from_secs(seconds.round() as u64)) }
}

/// What is watched, in words.
pub fn shown_watched(watched: &Watched) -> String {
    match watched {
        Watched::Log { source, signature, .. } => {
            let name = if signature.starts_with("rule:") { "the rule's pattern" } else { signature };
            format!("{name} in {source}")
        }
        Watched::Check { name } => name.clone(),
        Watched::Container { name } => format!("container:{name}"),
        Watched::Metric { check, metric, .. } => format!("{check} {metric}"),
    }
}
