//! Did it help? What was expected, what was seen, the verdict, and how likely that verdict is luck.
//!
//! Pure: samples in, judgement out. May not live here: taking samples, waiting, undoing.

use crate::diagnose::rules::shown;
use crate::model::{ErrorsAllowed, Status, ValidationSpec, Verdict, VerdictKind, Watched};
use std::collections::BTreeMap;
use std::time::Duration;

/// Had nothing changed, at least this many errors were to be expected: fewer, and quiet proves nothing.
pub const ENOUGH_EXPECTED: f64 = 3.0;
/// Good samples of a check, container or metric.
pub const ENOUGH_SAMPLES: usize = 3;

/// One look during the window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Seconds since the window began.
    pub at: f64,
    /// Errors of the rule's own signature since the window began.
    pub errors: u64,
    /// Status of every check and container (`container:NAME`).
    pub statuses: BTreeMap<String, Status>,
    /// Whether what fired is gone now; `None` for log triggers, whose errors are counted.
    pub trigger_gone: Option<bool>,
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

/// Judges the samples so far. `before` are the statuses just before the first step.
pub fn judge(spec: &ValidationSpec, before: &BTreeMap<String, Status>, samples: &[Sample]) -> Judgement {
    let Some(last) = samples.last() else {
        return Judgement::Wait { until: spec.window_seconds, errors: 0 };
    };
    if let Some(why) = clearly_worse(spec, before, samples) {
        return done(VerdictKind::Failure, why, spec, last);
    }
    if last.at < spec.window_seconds {
        return Judgement::Wait { until: spec.window_seconds, errors: last.errors };
    }
    if let Some(why) = failed(spec, before, samples) {
        return done(VerdictKind::Failure, why, spec, last);
    }
    let (enough, seen) = enough(spec, samples);
    if enough {
        return done(VerdictKind::Success, seen, spec, last);
    }
    if last.at < spec.max_window_seconds {
        return Judgement::Wait { until: spec.max_window_seconds, errors: last.errors };
    }
    done(VerdictKind::NotEnough, seen, spec, last)
}

fn done(kind: VerdictKind, judged_on: String, spec: &ValidationSpec, last: &Sample) -> Judgement {
    let chance_of_luck = match &spec.watched {
        Watched::Log { rate_per_second, .. } => Some(chance_of_at_most(last.errors, rate_per_second * last.at)),
        _ => None,
    };
    Judgement::Done(Verdict { kind, judged_on, errors_after: last.errors, chance_of_luck })
}

/// Chance of at most `seen` events where `expected` are to be expected (Poisson).
pub fn chance_of_at_most(seen: u64, expected: f64) -> f64 {
    let mut term = (-expected).exp();
    let mut sum = term;
    for k in 1..=seen.min(1_000) {
        term *= expected / k as f64;
        sum += term;
    }
    sum.clamp(0.0, 1.0)
}

/// Over what is allowed, by at least three, and above twice the earlier rate; or a named check newly critical for three
/// samples.
fn clearly_worse(spec: &ValidationSpec, before: &BTreeMap<String, Status>, samples: &[Sample]) -> Option<String> {
    let last = samples.last()?;
    if let Watched::Log { rate_per_second, .. } = &spec.watched {
        let expected = rate_per_second * last.at;
        let allowed = allowed(spec, *rate_per_second, last.at);
        if last.errors >= allowed.saturating_add(3) && last.errors as f64 > 2.0 * expected.max(1.0) {
            return Some(format!(
                "clearly worse: {} errors in {} where {expected:.1} were to be expected",
                last.errors,
                shown_seconds(last.at)
            ));
        }
    }
    let tail = samples.len().checked_sub(3).and_then(|from| samples.get(from..))?;
    spec.checks.iter().find_map(|name| {
        let newly = before.get(name).is_none_or(|s| *s != Status::Critical);
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

fn failed(spec: &ValidationSpec, before: &BTreeMap<String, Status>, samples: &[Sample]) -> Option<String> {
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
    let unhealthy = spec.checks.iter().find(|name| last.statuses.get(*name) != Some(&Status::Healthy));
    if let Some(name) = unhealthy {
        let status = last.statuses.get(name).map_or("not known", |s| s.word());
        return Some(format!("{name} is {status} at the end of the window, not healthy"));
    }
    regression(before, samples)
}

/// A check or container that was healthy before and is critical in the last two of at least three samples.
fn regression(before: &BTreeMap<String, Status>, samples: &[Sample]) -> Option<String> {
    if samples.len() < ENOUGH_SAMPLES {
        return None;
    }
    let tail = samples.get(samples.len() - 2..)?;
    before.iter().filter(|(_, status)| **status == Status::Healthy).find_map(|(name, _)| {
        tail.iter()
            .all(|s| s.statuses.get(name) == Some(&Status::Critical))
            .then(|| format!("{name} was healthy before and is critical now"))
    })
}

/// Whether there was enough to see, and what was seen, in words.
fn enough(spec: &ValidationSpec, samples: &[Sample]) -> (bool, String) {
    let Some(last) = samples.last() else { return (false, "nothing was seen".into()) };
    match &spec.watched {
        Watched::Log { rate_per_second, .. } => {
            let expected = rate_per_second * last.at;
            let luck = chance_of_at_most(last.errors, expected);
            let seen = format!(
                "{} errors in {} where {expected:.1} were to be expected (chance that this is luck: {})",
                last.errors,
                shown_seconds(last.at),
                percent(luck)
            );
            (expected >= ENOUGH_EXPECTED, seen)
        }
        watched => {
            let good = samples.iter().filter(|s| s.trigger_gone == Some(true)).count();
            let seen = format!(
                "{} good in {good} of {} samples over {}",
                shown_watched(watched),
                samples.len(),
                shown_seconds(last.at)
            );
            (good >= ENOUGH_SAMPLES, seen)
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(watched: Watched, allowed: ErrorsAllowed, checks: &[&str]) -> ValidationSpec {
        ValidationSpec {
            settle_seconds: 10.0,
            window_seconds: 120.0,
            max_window_seconds: 600.0,
            errors_allowed: allowed,
            checks: checks.iter().map(|c| (*c).to_owned()).collect(),
            watched,
        }
    }

    fn log(rate: f64) -> Watched {
        Watched::Log { source: "container:a".into(), signature: "rate_limit".into(), rate_per_second: rate }
    }

    fn sample(at: f64, errors: u64) -> Sample {
        Sample { at, errors, ..Sample::default() }
    }

    fn verdict(judgement: Judgement) -> &'static str {
        match judgement {
            Judgement::Wait { until, .. } if until > 120.0 => "extend",
            Judgement::Wait { .. } => "wait",
            Judgement::Done(v) => match v.kind {
                VerdictKind::Success => "success",
                VerdictKind::Failure => "failure",
                VerdictKind::NotEnough => "not enough",
                VerdictKind::Interrupted => "interrupted",
            },
        }
    }

    #[test]
    fn errors_are_judged_against_what_was_to_be_expected() {
        let check = |rate, allowed, at, errors, expected| {
            let judged = judge(&spec(log(rate), allowed, &[]), &BTreeMap::new(), &[sample(at, errors)]);
            assert_eq!(verdict(judged), expected, "rate {rate}, {errors} errors at {at}");
        };
        let none = ErrorsAllowed::AtMost(0);
        check(0.1, none, 60.0, 0, "wait");
        check(0.1, none, 120.0, 0, "success");
        check(0.1, none, 120.0, 1, "failure");
        check(0.1, ErrorsAllowed::AtMost(1), 120.0, 1, "success");
        check(0.01, none, 120.0, 0, "extend");
        check(0.01, none, 300.0, 0, "success");
        check(0.001, none, 600.0, 0, "not enough");
        check(0.001, none, 600.0, 1, "failure");
        check(0.5, ErrorsAllowed::ReduceTo(0.2), 120.0, 12, "success");
        check(0.5, ErrorsAllowed::ReduceTo(0.2), 120.0, 13, "failure");
        check(0.1, none, 20.0, 5, "failure");
        check(0.1, none, 20.0, 2, "wait");
        check(0.1, none, 40.0, 8, "wait");
    }

    #[test]
    fn a_check_needs_three_good_samples_and_a_good_end() {
        let check = |gone: &[bool], at: f64, expected| {
            let step = at / gone.len() as f64;
            let samples: Vec<Sample> = gone
                .iter()
                .enumerate()
                .map(|(i, g)| Sample { trigger_gone: Some(*g), ..sample(step * (i + 1) as f64, 0) })
                .collect();
            let watched = Watched::Check { name: "api".into() };
            let judged = judge(&spec(watched, ErrorsAllowed::AtMost(0), &[]), &BTreeMap::new(), &samples);
            assert_eq!(verdict(judged), expected, "{gone:?}");
        };
        check(&[true, true, true], 120.0, "success");
        check(&[false, true, true, true], 120.0, "success");
        check(&[true, true, false], 120.0, "failure");
        check(&[false, true, true], 120.0, "extend");
        check(&[false, true, true], 600.0, "not enough");
        check(&[true, true, true], 60.0, "wait");
    }

    #[test]
    fn nothing_healthy_may_have_become_critical_and_named_checks_must_be_healthy() {
        use Status::{Critical, Healthy, Warning};
        let check = |named: &[&str], before: Status, seen: &[Status], at: f64, expected| {
            let step = at / seen.len() as f64;
            let samples: Vec<Sample> = seen
                .iter()
                .enumerate()
                .map(|(i, s)| Sample {
                    statuses: BTreeMap::from([("api".to_owned(), *s)]),
                    ..sample(step * (i + 1) as f64, 0)
                })
                .collect();
            let before = BTreeMap::from([("api".to_owned(), before)]);
            let judged = judge(&spec(log(0.1), ErrorsAllowed::AtMost(0), named), &before, &samples);
            assert_eq!(verdict(judged), expected, "{named:?} {before:?} {seen:?}");
        };
        check(&[], Healthy, &[Healthy, Critical, Critical], 120.0, "failure");
        check(&[], Healthy, &[Critical, Critical, Healthy], 120.0, "success");
        check(&[], Healthy, &[Healthy, Healthy, Critical], 120.0, "success");
        check(&[], Critical, &[Critical, Critical, Critical], 120.0, "success");
        check(&[], Healthy, &[Critical, Critical], 120.0, "success");
        check(&["api"], Warning, &[Warning, Warning, Warning], 120.0, "failure");
        check(&["api"], Warning, &[Warning, Warning, Healthy], 120.0, "success");
        check(&["api"], Healthy, &[Critical, Critical, Critical], 30.0, "failure");
        check(&["api"], Critical, &[Critical, Critical, Critical], 30.0, "wait");
    }

    #[test]
    fn luck_is_poisson() {
        let check = |seen, expected: f64, chance: f64| {
            assert!((chance_of_at_most(seen, expected) - chance).abs() < 1e-4, "{seen} of {expected}");
        };
        check(0, 3.0, 0.049_787);
        check(0, 12.0, 0.000_006);
        check(2, 3.0, 0.423_19);
        check(0, 0.0, 1.0);
    }
}
