//! What a rule looks for beside its trigger: each signal as it was asked for, what was there, and whether that is it.

use crate::attempts::Attempts;
use crate::config::{Engine, LogTrigger, Rule, SignalSpec, TriggerState, When};
use crate::diagnose::confidence::at_least;
use crate::diagnose::rules::{Fired, count_in, is_in, shown, shown_signature, state_word};
use crate::diagnose::{Observed, streaks};
use crate::model::{CheckResult, Signal, SignalKind, SignalRole, Status};

/// One look.
struct Look {
    kind: SignalKind,
    asked: String,
    /// What is there, or what is there instead.
    seen: String,
    held: bool,
}

/// Every signal of a rule that fired: its trigger, its evidence, its requirements.
pub fn of_rule(engine: &Engine, rule: &Rule, fired: &Fired, seen: &Observed, attempts: &Attempts) -> Vec<Signal> {
    let (kind, asked) = asked_by(&rule.when);
    let trigger = Signal {
        kind,
        role: SignalRole::Trigger,
        asked,
        seen: fired.trigger.seen.clone(),
        weight: Some(rule.confidence),
        held: true,
    };
    std::iter::once(trigger).chain(beside(engine, rule, seen, attempts)).collect()
}

/// Every signal of a rule that does not fire, and what keeps it from that.
pub fn of_silent(engine: &Engine, rule: &Rule, reason: &str, seen: &Observed, attempts: &Attempts) -> Vec<Signal> {
    let (kind, asked) = asked_by(&rule.when);
    let weight = Some(rule.confidence);
    let before = match &rule.when {
        When::Log(trigger) => accounted_for(engine, trigger, seen, attempts),
        _ => 0,
    };
    let by = "accounted for already: by the last fix, or by what they were a symptom of";
    let seen_text = if before > 0 { format!("{reason}; {before} more are {by}") } else { reason.to_owned() };
    let trigger = Signal { kind, role: SignalRole::Trigger, asked, seen: seen_text, weight, held: false };
    std::iter::once(trigger).chain(beside(engine, rule, seen, attempts)).collect()
}

/// Events of the window that say nothing any more.
fn accounted_for(engine: &Engine, trigger: &LogTrigger, seen: &Observed, attempts: &Attempts) -> u64 {
    let now = seen.now.t.as_second();
    let begin = now.saturating_sub(i64::try_from(trigger.within.as_secs()).unwrap_or(i64::MAX));
    let matching = |t: &&crate::model::Tally| t.signature == trigger.signature && trigger.sources.is_match(&t.source);
    let tallies = seen.logs.tallies.iter().filter(matching);
    tallies.map(|t| t.count(begin, now).saturating_sub(count_in(engine, trigger, t, seen, attempts))).sum()
}

/// What is looked for beside the trigger.
fn beside(engine: &Engine, rule: &Rule, seen: &Observed, attempts: &Attempts) -> Vec<Signal> {
    let of = |role, weight, spec: &SignalSpec| {
        let Look { kind, asked, seen, held } = look(engine, spec, seen, attempts);
        Signal { kind, role, asked, seen, weight, held }
    };
    let evidence = rule.evidence.iter().map(|e| of(SignalRole::Evidence, Some(e.add), &e.signal));
    let required = rule.require.iter().map(|spec| of(SignalRole::Required, None, spec));
    evidence.chain(required).collect()
}

/// What a signal asks for, in words.
pub fn asked(spec: &SignalSpec) -> String {
    match spec {
        SignalSpec::Check { check, is } => format!("{check} is {}", asked_status(*is)),
        SignalSpec::Log(trigger) => asked_of_log(trigger),
        SignalSpec::Container { pattern, state, .. } => asked_of_container(pattern, *state),
        SignalSpec::Metric { check, metric, above, below } => asked_of_metric(check, metric, *above, *below),
    }
}

/// What a rule requires and is not there, in words.
pub fn uncorroborated(rule: &Rule, signals: &[Signal]) -> Vec<String> {
    let required = signals.iter().filter(|s| s.role == SignalRole::Required);
    let missing = rule.require.iter().zip(required).filter(|(_, signal)| !signal.held);
    missing
        .map(|(spec, signal)| match spec {
            SignalSpec::Check { check, .. } => check.clone(),
            _ => format!("{} ({})", signal.asked, signal.seen),
        })
        .collect()
}

fn asked_by(when: &When) -> (SignalKind, String) {
    match when {
        When::Log(trigger) => (SignalKind::Log, asked_of_log(trigger)),
        When::Check { check, is, .. } => (SignalKind::Check, format!("{check} is {is}")),
        When::Container { pattern, state, .. } => (SignalKind::Container, asked_of_container(pattern, *state)),
        When::Metric { check, metric, above, below, .. } => {
            (SignalKind::Metric, asked_of_metric(check, metric, *above, *below))
        }
    }
}

fn asked_of_log(trigger: &LogTrigger) -> String {
    let name = shown_signature(&trigger.signature);
    format!("{} x {name} in {} within {}", trigger.count, trigger.log, shown(trigger.within))
}

fn asked_of_container(pattern: &str, state: TriggerState) -> String {
    format!("container:{pattern} is {}", state_word(state))
}

fn asked_of_metric(check: &str, metric: &str, above: Option<f64>, below: Option<f64>) -> String {
    let level = above.map(|l| format!("above {l}")).or_else(|| below.map(|l| format!("below {l}"))).unwrap_or_default();
    format!("{check} {metric} is {level}")
}

fn look(engine: &Engine, spec: &SignalSpec, seen: &Observed, attempts: &Attempts) -> Look {
    match spec {
        SignalSpec::Check { check, is } => {
            let result = check_of(seen, check);
            Look {
                kind: SignalKind::Check,
                asked: asked(spec),
                seen: result.map_or_else(|| format!("{check} did not run"), |c| format!("{check} is {}", c.status)),
                held: result.is_some_and(|c| at_least(c.status, *is)),
            }
        }
        SignalSpec::Log(trigger) => on_log(engine, trigger, seen, attempts),
        SignalSpec::Container { glob, pattern, state } => {
            let all = || seen.checks.iter().flat_map(|c| &c.containers).filter(|c| glob.is_match(&c.name));
            let found = all().find(|c| is_in(c, *state));
            let shown = found.or_else(|| all().next());
            Look {
                kind: SignalKind::Container,
                asked: asked(spec),
                seen: shown.map_or_else(
                    || format!("there is no container {pattern}"),
                    |c| format!("container:{}: {}", c.name, c.message),
                ),
                held: found.is_some(),
            }
        }
        SignalSpec::Metric { check, metric, above, below } => {
            let value = check_of(seen, check).and_then(|c| c.metric(metric));
            Look {
                kind: SignalKind::Metric,
                asked: asked(spec),
                seen: value.map_or_else(
                    || format!("{check} has no {metric} now"),
                    |value| format!("{check} {metric} is {}", rounded(value)),
                ),
                held: value.is_some_and(|value| streaks::beyond(value, *above, *below)),
            }
        }
    }
}

/// `warning` means at least that.
fn asked_status(is: Status) -> &'static str {
    if is == Status::Warning { "red" } else { is.word() }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn check_of<'a>(seen: &Observed<'a>, name: &str) -> Option<&'a CheckResult> {
    seen.checks.iter().find(|c| c.name == name)
}

/// So many in one source, as of a trigger.
fn on_log(engine: &Engine, trigger: &LogTrigger, seen: &Observed, attempts: &Attempts) -> Look {
    let matching = |t: &&crate::model::Tally| t.signature == trigger.signature && trigger.sources.is_match(&t.source);
    let tallies = seen.logs.tallies.iter().filter(matching);
    let most = tallies.map(|t| (count_in(engine, trigger, t, seen, attempts), t.source.as_str())).max();
    let name = shown_signature(&trigger.signature);
    let (count, source) = most.filter(|(count, _)| *count > 0).unwrap_or((0, trigger.log.as_str()));
    Look {
        kind: SignalKind::Log,
        asked: asked_of_log(trigger),
        seen: format!("{count} x {name} in {source} within {}", shown(trigger.within)),
        held: count >= trigger.count,
    }
}
