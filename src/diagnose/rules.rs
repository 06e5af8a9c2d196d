//! Which of the operator's rules fire on what was seen, and for those that do not, why.

use crate::attempts::Attempts;
use crate::config::{Engine, LogTrigger, Rule, TriggerState, When};
use crate::diagnose::confidence::at_least;
use crate::diagnose::{Observed, streaks};
use crate::model::{Container, ContainerHealth, ContainerState, LONGEST_BELIEVED, Moment, Status, Tally, Trigger};
use jiff::Timestamp;
use std::time::Duration;

/// A trigger that fired, with what fills in the rule's sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    pub trigger: Trigger,
    /// `{name}` in the rule's `cause` and the value that goes there.
    pub words: Vec<(&'static str, String)>,
    /// The container it fired on, for `restart = "container:{container}"`.
    pub container: Option<String>,
    pub severity: Status,
}

/// Every place where the rule fires, or the reason why it does not.
pub fn evaluate(engine: &Engine, rule: &Rule, seen: &Observed, attempts: &Attempts) -> Result<Vec<Fired>, String> {
    match &rule.when {
        When::Log(trigger) => on_log(engine, trigger, seen, attempts),
        When::Check { check, is, passes } => on_check(check, *is, *passes, seen),
        When::Container { glob, pattern, state, held_for } => {
            let all = seen.checks.iter().flat_map(|c| &c.containers);
            let fired: Vec<Fired> = all
                .filter(|c| glob.is_match(&c.name))
                .filter_map(|c| on_container(c, *state, *held_for, seen))
                .collect();
            if fired.is_empty() {
                Err(format!("no container `{pattern}` is {}", state_word(*state)))
            } else {
                Ok(fired)
            }
        }
        When::Metric { check, metric, above, below, passes } => {
            on_metric(rule, (check, metric), (*above, *below), *passes, seen)
        }
    }
}

fn on_log(engine: &Engine, when: &LogTrigger, seen: &Observed, attempts: &Attempts) -> Result<Vec<Fired>, String> {
    let within = shown(when.within);
    let mut fired = Vec::new();
    let mut best: Option<(u64, &str)> = None;
    for tally in seen.logs.tallies.iter().filter(|t| t.signature == when.signature && when.sources.is_match(&t.source))
    {
        let after = fresh_for(engine, when, tally, seen, attempts);
        let count = tally.count(after, seen.now.t.as_second());
        if count < when.count {
            best = best.max(Some((count, &tally.source)));
            continue;
        }
        let since_first = tally.first_after(after).map_or(0, |first| seen.now.t.as_second().saturating_sub(first));
        let seconds = when.within.as_secs_f64().min(since_first as f64).max(1.0);
        let name = shown_signature(&when.signature);
        fired.push(Fired {
            trigger: Trigger {
                seen: format!("{count} x {name} in {} within {within} (rule asks for {})", tally.source, when.count),
                count,
                rate_per_second: Some(count as f64 / seconds),
                component: tally.source.clone(),
                example: Some(tally.example.clone()),
            },
            words: vec![
                ("log", tally.source.clone()),
                ("count", count.to_string()),
                ("within", within.clone()),
                ("signature", name.to_owned()),
            ],
            container: tally.source.strip_prefix("container:").map(str::to_owned),
            severity: Status::Warning,
        });
    }
    let name = shown_signature(&when.signature);
    match (fired.is_empty(), best) {
        (false, _) => Ok(fired),
        (true, Some((count @ 1.., source))) => {
            Err(format!("{count} of {} {name} in {source} within {within}", when.count))
        }
        (true, _) => Err(format!("no {name} in {} within {within}", when.log)),
    }
}

/// The second after which events of a trigger's kind in one source count.
pub fn fresh_for(engine: &Engine, when: &LogTrigger, tally: &Tally, seen: &Observed, attempts: &Attempts) -> i64 {
    fresh_after(when.within, seen.accounted_until(engine, tally, attempts), seen.now.t)
}

/// How many of a trigger's events there are in one source.
pub fn count_in(engine: &Engine, when: &LogTrigger, tally: &Tally, seen: &Observed, attempts: &Attempts) -> u64 {
    tally.count(fresh_for(engine, when, tally, seen, attempts), seen.now.t.as_second())
}

/// The second after which events count: the start of the window, or the end of the last fix where that is later.
fn fresh_after(within: Duration, last_fix: Option<Timestamp>, now: Timestamp) -> i64 {
    let window = now.as_second().saturating_sub(i64::try_from(within.as_secs()).unwrap_or(i64::MAX));
    // A fix in the future means that the clock was set back since: it cannot be compared with.
    last_fix.filter(|t| *t <= now).map_or(window, |t| window.max(t.as_second()))
}

/// The internal signature of a rule's own pattern has no name worth showing.
pub fn shown_signature(name: &str) -> &str {
    if name.starts_with("rule:") { "matching event" } else { name }
}

fn on_check(name: &str, is: Status, passes: u32, seen: &Observed) -> Result<Vec<Fired>, String> {
    let Some(check) = seen.checks.iter().find(|c| c.name == name) else {
        return Err(format!("check {name} did not run"));
    };
    if !at_least(check.status, is) {
        return Err(format!("{name} is {}, not {is}", check.status));
    }
    let run = seen.streaks.checks.get(name).copied().unwrap_or_default().passes(is);
    if run < passes {
        return Err(format!("{name} is {is} for {run} of {passes} {}", passes_word(passes)));
    }
    Ok(vec![Fired {
        trigger: Trigger {
            seen: format!("{name} is {} for {run} {}: {}", check.status, passes_word(run), check.message),
            count: u64::from(run),
            rate_per_second: None,
            component: name.to_owned(),
            example: Some(check.message.clone()),
        },
        words: vec![("check", name.to_owned()), ("status", check.status.word().to_owned()), ("count", run.to_string())],
        container: None,
        severity: check.status.max(Status::Warning),
    }])
}

fn passes_word(count: u32) -> &'static str {
    if count == 1 { "pass" } else { "passes" }
}

/// How long a state has lasted: since it began by the wall clock, where that is known and can be true (the clock may have
/// been set since), else since a pass first saw it.
pub fn lasted(began: Option<Timestamp>, seen_since: Option<&Moment>, now: &Moment) -> Duration {
    let by_wall = began.and_then(|began| Duration::try_from(now.t.duration_since(began)).ok());
    let seen_for = || seen_since.map_or(Duration::ZERO, |since| now.since(since));
    by_wall.filter(|wall| *wall < LONGEST_BELIEVED).unwrap_or_else(seen_for)
}

fn on_container(container: &Container, state: TriggerState, held_for: Duration, seen: &Observed) -> Option<Fired> {
    if !is_in(container, state) {
        return None;
    }
    let seen_since = seen.streaks.containers.get(&container.name).map(|s| &s.since);
    let ended = match state {
        TriggerState::Exited | TriggerState::OomKilled => container.finished_at,
        TriggerState::Unhealthy | TriggerState::Restarting => None,
    };
    let so_long = lasted(ended, seen_since, seen.now);
    if so_long < held_for {
        return None;
    }
    let component = format!("container:{}", container.name);
    Some(Fired {
        trigger: Trigger {
            seen: format!("{component} is {}: {}", state_word(state), container.message),
            count: 1,
            rate_per_second: None,
            component,
            example: Some(container.message.clone()),
        },
        words: vec![("container", container.name.clone()), ("state", state_word(state).to_owned())],
        container: Some(container.name.clone()),
        severity: Status::Critical,
    })
}

pub fn is_in(container: &Container, state: TriggerState) -> bool {
    match state {
        TriggerState::Exited => {
            matches!(container.state, ContainerState::Exited | ContainerState::Dead) && container.exit_code != Some(0)
        }
        TriggerState::Unhealthy => container.health == Some(ContainerHealth::Unhealthy),
        TriggerState::Restarting => container.state == ContainerState::Restarting,
        TriggerState::OomKilled => container.oom_killed,
    }
}

/// The word of the configuration.
pub fn state_word(state: TriggerState) -> &'static str {
    match state {
        TriggerState::Exited => "exited",
        TriggerState::Unhealthy => "unhealthy",
        TriggerState::Restarting => "restarting",
        TriggerState::OomKilled => "oom_killed",
    }
}

fn on_metric(
    rule: &Rule,
    (check, metric): (&str, &str),
    (above, below): (Option<f64>, Option<f64>),
    passes: u32,
    seen: &Observed,
) -> Result<Vec<Fired>, String> {
    let result = seen.checks.iter().find(|c| c.name == check).ok_or_else(|| format!("check {check} did not run"))?;
    let value = result.metric(metric).ok_or_else(|| format!("{check} has no {metric} now ({})", result.message))?;
    let level = above.map(|l| format!("above {l}")).or(below.map(|l| format!("below {l}"))).unwrap_or_default();
    if !streaks::beyond(value, above, below) {
        return Err(format!("{check} {metric} is {value}, not {level}"));
    }
    let run = seen.streaks.metrics.get(&rule.name).copied().unwrap_or(0);
    if run < passes {
        return Err(format!("{check} {metric} is {level} for {run} of {passes} passes"));
    }
    Ok(vec![Fired {
        trigger: Trigger {
            seen: format!("{check} {metric} is {value}, {level} for {run} passes"),
            count: u64::from(run),
            rate_per_second: None,
            component: check.to_owned(),
            example: None,
        },
        words: vec![
            ("check", check.to_owned()),
            ("metric", metric.to_owned()),
            ("value", value.to_string()),
            ("count", run.to_string()),
        ],
        container: None,
        severity: result.status.max(Status::Warning),
    }])
}

/// The rule's sentence with its words filled in; a word it does not know stays as written.
pub fn sentence(template: &str, words: &[(&'static str, String)]) -> String {
    words.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// A duration as people write it: `10m`, `1h30m`, `45s`.
pub fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{}ms", duration.as_millis());
    }
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        let check = |seconds, expected| assert_eq!(shown(Duration::from_secs(seconds)), expected);
        check(600, "10m");
        check(5400, "1h30m");
        check(45, "45s");
        check(86_400, "1d");
        assert_eq!(shown(Duration::from_millis(250)), "250ms");
    }

    #[test]
    fn a_clock_that_is_set_makes_no_state_last_longer_or_shorter() {
        let second = |s: i64| Timestamp::from_second(1_700_000_000 + s).unwrap();
        let at = |t: i64, up: f64| Moment { t: second(t), boot: "a".into(), up };
        let first_seen = at(30, 130.0);
        let check = |began: Option<i64>, now: Moment, seconds: u64| {
            let found = lasted(began.map(second), Some(&first_seen), &now);
            assert_eq!(found, Duration::from_secs(seconds), "{began:?} {now:?}");
        };
        check(Some(0), at(90, 190.0), 90);
        check(None, at(90, 190.0), 60);
        let years = 10 * 365 * 86_400;
        check(Some(0), at(years, 190.0), 60);
        check(Some(0), at(-years, 190.0), 60);
        check(None, at(years, 190.0), 60);
        assert_eq!(lasted(None, None, &at(90, 190.0)), Duration::ZERO);
    }

    #[test]
    fn what_was_logged_before_the_last_fix_is_no_fresh_evidence() {
        let now = Timestamp::from_second(10_000).unwrap();
        let check = |last: Option<i64>, expected| {
            let last = last.map(|s| Timestamp::from_second(s).unwrap());
            assert_eq!(fresh_after(Duration::from_secs(600), last, now), expected);
        };
        check(None, 9_400);
        check(Some(9_000), 9_400);
        check(Some(9_900), 9_900);
        check(Some(20_000), 9_400);
    }
}
