//! The steps of a fix that are neither an edit nor a restart, and their bounds. May not live here: what those two are.

use super::checks::Checks;
use super::context::Cx;
use super::{steps, values};
use crate::config::at::{At, RawScalar, RawSetting, Span};
use crate::config::raw::*;
use crate::config::{BoundedChange, Change, CheckSpec, Probe, RedisSpec, ResizeSpec, SetValue, StepSpec, When};
use crate::model::{PostgresStep, RunStep, SessionAction};
use std::time::Duration;

/// How a number may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Bytes, with a suffix of powers of 1024.
    Bytes,
    Whole,
    Any,
}

pub fn resize(cx: Cx<'_>, raw: RawStep, span: &Span, when: Option<&When>) -> Option<StepSpec> {
    let target = raw.resize?;
    let container = match target.value.strip_prefix("container:") {
        Some(name) => steps::container(cx, name, &target.span, when),
        None => {
            cx.error_help(&target.span, "it is not clear what to resize", "write `container:NAME`");
            None
        }
    };
    if raw.memory.is_none() && raw.cpus.is_none() && !["memory", "cpus"].iter().any(|key| cx.was_removed(span, key)) {
        cx.error(span, "`resize` needs `memory`, `cpus` or both");
    }
    // What is written and refused must not be left out silently.
    let memory = raw.memory.map(|memory| bounded(cx, memory, Unit::Bytes));
    let cpus = raw.cpus.map(|cpus| bounded(cx, cpus, Unit::Any));
    let all_sound = memory.as_ref().is_none_or(Option::is_some) && cpus.as_ref().is_none_or(Option::is_some);
    let container = container.filter(|_| all_sound)?;
    Some(StepSpec::Resize(ResizeSpec { container, memory: memory.flatten(), cpus: cpus.flatten() }))
}

const RUN_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_RUN: Duration = Duration::from_secs(600);

pub fn run(cx: Cx<'_>, raw: RawStep) -> Option<StepSpec> {
    let argv = raw.run.and_then(|run| self::argv(cx, run));
    let undo = raw.undo.map(|undo| self::argv(cx, undo));
    let place = raw.timeout.as_ref().map(|t| t.span.clone());
    let timeout = values::positive(cx, raw.timeout, RUN_TIMEOUT);
    if let Some(place) = place.filter(|_| timeout > LONGEST_RUN || timeout.subsec_nanos() != 0) {
        cx.error(&place, "this time-out must be of whole seconds, at most 10m");
    }
    let undo_is_sound = undo.as_ref().is_none_or(Option::is_some);
    let argv = argv.filter(|_| undo_is_sound)?;
    Some(StepSpec::Run(RunStep { argv, undo: undo.flatten(), timeout_seconds: timeout.as_secs() }))
}

/// An argument list of a step or of `[allow]`: the program by its absolute path, so that it means one program.
pub fn argv(cx: Cx<'_>, list: At<Vec<At<String>>>) -> Option<Vec<String>> {
    let place = list.value.first().map_or_else(|| list.span.clone(), |program| program.span.clone());
    let argv = values::argv(cx, list)?;
    if argv.iter().any(|word| word.contains('\0')) {
        cx.error(&place, "an argument must not hold a NUL character");
        return None;
    }
    if !argv.first().is_some_and(|program| program.starts_with('/')) {
        let help = "no shell is used, and no search path";
        cx.error_help(&place, "the program must be an absolute path", help);
        return None;
    }
    Some(argv)
}

/// A session idle for less may just be between two statements.
const LEAST_SESSION_AGE: Duration = Duration::from_secs(10);
const SESSIONS: u32 = 10;
const MOST_SESSIONS: f64 = 100.0;

pub fn postgres(cx: Cx<'_>, raw: RawStep, span: &Span, checks: &Checks) -> Option<StepSpec> {
    let check = of_kind(cx, raw.postgres?, checks, "PostgreSQL", |c| matches!(c.probe, Probe::Postgres(_)));
    let keys = ["terminate_idle_in_transaction", "cancel_queries_over"];
    let (action, over) = match (raw.terminate_idle_in_transaction, raw.cancel_queries_over) {
        (Some(over), None) => (SessionAction::TerminateIdleInTransaction, over),
        (None, Some(over)) => (SessionAction::CancelQueries, over),
        (Some(_), Some(second)) => {
            cx.error_help(&second.span, format!("a step takes `{}` or `{}`", keys[0], keys[1]), "write two steps");
            return None;
        }
        (None, None) => {
            if !keys.iter().any(|key| cx.was_removed(span, key)) {
                cx.error(span, format!("`postgres` needs `{}` or `{}`", keys[0], keys[1]));
            }
            return None;
        }
    };
    if over.value.0 < LEAST_SESSION_AGE {
        cx.error(&over.span, "this must be at least 10s: a session may just be between two statements");
    }
    let max = match raw.max {
        Some(max) if max.value.fract() != 0.0 || !(1.0..=MOST_SESSIONS).contains(&max.value) => {
            cx.error(&max.span, "`max` sessions must be a whole number from 1 to 100");
            SESSIONS
        }
        Some(max) => max.value as u32,
        None => SESSIONS,
    };
    let users = raw.users.map(|list| list.value).unwrap_or_default();
    let users = users.into_iter().filter_map(|user| values::word(cx, user, "users")).collect();
    Some(StepSpec::Postgres(PostgresStep { check: check?, action, over_seconds: over.value.0.as_secs(), max, users }))
}

/// What a setting of Redis holds, and from where to where.
enum Holds {
    Number(Unit, f64, f64),
    OneOf(&'static [&'static str]),
}

use Holds::{Number, OneOf};

const YES_NO: &[&str] = &["yes", "no"];
const MOST: f64 = 1e15;

/// The settings that may be changed while the server runs: bounds and timing, nothing that says where data goes, who may
/// come in or what is kept.
const SETTINGS: [(&str, Holds); 18] = [
    ("maxmemory", Number(Unit::Bytes, 0.0, MOST)),
    (
        "maxmemory-policy",
        OneOf(&[
            "noeviction",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
        ]),
    ),
    ("maxmemory-samples", Number(Unit::Whole, 1.0, 64.0)),
    ("maxmemory-eviction-tenacity", Number(Unit::Whole, 0.0, 100.0)),
    ("maxclients", Number(Unit::Whole, 10.0, 1e6)),
    ("timeout", Number(Unit::Whole, 0.0, 1e6)),
    ("tcp-keepalive", Number(Unit::Whole, 0.0, 1e6)),
    ("hz", Number(Unit::Whole, 1.0, 500.0)),
    ("lfu-log-factor", Number(Unit::Whole, 0.0, 1e6)),
    ("lfu-decay-time", Number(Unit::Whole, 0.0, 1e6)),
    ("slowlog-log-slower-than", Number(Unit::Whole, -1.0, 1e12)),
    ("slowlog-max-len", Number(Unit::Whole, 0.0, 1e6)),
    ("latency-monitor-threshold", Number(Unit::Whole, 0.0, 1e9)),
    ("lua-time-limit", Number(Unit::Whole, 0.0, 1e9)),
    ("activedefrag", OneOf(YES_NO)),
    ("lazyfree-lazy-eviction", OneOf(YES_NO)),
    ("lazyfree-lazy-expire", OneOf(YES_NO)),
    ("lazyfree-lazy-user-del", OneOf(YES_NO)),
];

pub fn redis(cx: Cx<'_>, raw: RawStep, span: &Span, checks: &Checks) -> Option<StepSpec> {
    let check = of_kind(cx, raw.redis?, checks, "Redis", |c| matches!(c.probe, Probe::Redis(_)));
    let written = cx.required(span, "config_set", raw.config_set)?;
    if written.value.is_empty() && !cx.was_removed(&written.span, "") {
        cx.error(&written.span, "`config_set` sets nothing");
    }
    let mut settings = Vec::new();
    let mut sound = true;
    for (key, value) in written.value {
        match setting(cx, &key, value) {
            Some(change) => settings.push((key.value, change)),
            None => sound = false,
        }
    }
    let check = check.filter(|_| sound && !settings.is_empty())?;
    Some(StepSpec::Redis(RedisSpec { check, settings }))
}

fn setting(cx: Cx<'_>, key: &At<String>, value: At<RawSetting>) -> Option<BoundedChange> {
    let Some((name, holds)) = SETTINGS.iter().find(|(name, _)| *name == key.value) else {
        let known: Vec<&str> = SETTINGS.iter().map(|(name, _)| *name).collect();
        cx.error_help(
            &key.span,
            format!("the setting `{}` of Redis is not one that a fix may change", key.value),
            format!("those that may be changed: {}", known.join(", ")),
        );
        return None;
    };
    match holds {
        Number(unit, least, most) => {
            let span = value.span.clone();
            let mut change = bounded(cx, value, *unit)?;
            // What Redis would round to its own bounds, it must not be asked for.
            change.min = Some(change.min.map_or(*least, |min| min.max(*least)));
            change.max = Some(change.max.map_or(*most, |max| max.min(*most)));
            let set = match &change.change {
                Change::Set(SetValue::Number(text)) => text.parse::<f64>().ok(),
                _ => None,
            };
            if set.is_some_and(|set| !(*least..=*most).contains(&set)) {
                cx.error(&span, format!("`{name}` goes from {least} to {most}"));
                return None;
            }
            Some(change)
        }
        OneOf(words) => {
            let word = match &value.value {
                RawSetting::Value(RawScalar::Text(text)) => text.clone(),
                RawSetting::Value(RawScalar::Bool(value)) => if *value { "yes" } else { "no" }.to_owned(),
                _ => String::new(),
            };
            if !words.contains(&word.as_str()) {
                cx.error(&value.span, format!("`{name}` is one of {}", words.join(", ")));
                return None;
            }
            Some(BoundedChange { change: Change::Set(SetValue::Text(word)), min: None, max: None, factors: None })
        }
    }
}

/// The name of a check of this kind.
fn of_kind(
    cx: Cx<'_>,
    name: At<String>,
    checks: &Checks,
    kind: &str,
    is: impl Fn(&CheckSpec) -> bool,
) -> Option<String> {
    if !checks.require(cx, &name) {
        return None;
    }
    if !checks.get(&name.value).is_some_and(is) {
        cx.error(&name.span, format!("`{}` is no {kind} check", name.value));
        return None;
    }
    Some(name.value)
}

/// Exactly one change, and one that its own bounds let through. A value by itself is set, whatever was there.
fn bounded(cx: Cx<'_>, setting: At<RawSetting>, unit: Unit) -> Option<BoundedChange> {
    let span = setting.span;
    let raw = match setting.value {
        RawSetting::Value(scalar) => {
            let value = number(cx, &At { value: scalar, span }, "this value", unit)?;
            let change = Change::Set(SetValue::Number(decimal(value)));
            return Some(BoundedChange { change, min: None, max: None, factors: None });
        }
        RawSetting::Change(raw) => *raw,
    };
    let bound = |value: &Key<RawScalar>, key: &str| value.as_ref().map(|v| number(cx, v, key, unit));
    let (min, max) = (bound(&raw.min, "`min`"), bound(&raw.max, "`max`"));
    let (set, add) = (bound(&raw.set, "`set`"), bound(&raw.add, "`add`"));
    // One that was refused has been told.
    if [&min, &max, &set, &add].iter().any(|value| **value == Some(None)) {
        return None;
    }
    let (min, max, set, add) = (min.flatten(), max.flatten(), set.flatten(), add.flatten());
    let max_factor = values::finite(cx, &raw.max_factor, "max_factor").unwrap_or(2.0);
    if let Some(place) = raw.max_factor.as_ref().filter(|f| f.value < 1.0) {
        cx.error(&place.span, "`max_factor` must be 1 or more: it bounds a change either way");
    }
    let max_total_factor = values::finite(cx, &raw.max_total_factor, "max_total_factor");
    let max_total_factor = max_total_factor.unwrap_or(max_factor.max(4.0));
    if let Some(place) = raw.max_total_factor.as_ref().filter(|f| f.value < max_factor) {
        cx.error(&place.span, "`max_total_factor` must not be below `max_factor`: it bounds all fixes together");
    }
    if let (Some(low), Some(high), Some(place)) = (min, max, &raw.max)
        && low > high
    {
        cx.error(&place.span, format!("`max` {high} is below `min` {low}"));
    }
    let bounds = steps::Bounds { min, max, max_factor };
    let change = match (&raw.multiply, add, set) {
        (Some(by), None, None) => steps::multiply(cx, by, &bounds)?,
        (None, Some(by), None) => {
            let place = raw.add.as_ref().map_or(&span, |add| &add.span);
            if by == 0.0 {
                cx.error(place, "`add` 0 changes nothing");
            }
            steps::open_ended(cx, place, by > 0.0, &bounds);
            Change::Add(by)
        }
        (None, None, Some(to)) => {
            if min.is_some_and(|min| to < min) || max.is_some_and(|max| to > max) {
                let place = raw.set.as_ref().map_or(&span, |set| &set.span);
                cx.error(place, "`set` is outside its own `min` and `max`");
            }
            Change::Set(SetValue::Number(decimal(to)))
        }
        (None, None, None) => {
            if !["multiply", "add", "set"].iter().any(|key| cx.was_removed(&span, key)) {
                cx.error(&span, "a change needs one of `multiply`, `add` and `set`");
            }
            return None;
        }
        _ => {
            cx.error(&span, "a change takes only one of `multiply`, `add` and `set`");
            return None;
        }
    };
    Some(BoundedChange { change, min, max, factors: Some((max_factor, max_total_factor)) })
}

fn number(cx: Cx<'_>, value: &At<RawScalar>, key: &str, unit: Unit) -> Option<f64> {
    let number = match &value.value {
        RawScalar::Number(number) => Some(*number),
        RawScalar::Text(text) if unit == Unit::Bytes => size(text),
        RawScalar::Text(_) | RawScalar::Bool(_) => None,
    };
    let number = number.filter(|n| n.is_finite() && (unit == Unit::Any || n.fract() == 0.0));
    if number.is_none() {
        let wanted = match unit {
            Unit::Bytes => "a number of bytes, perhaps with k, m, g or t (powers of 1024)",
            Unit::Whole => "a whole number",
            Unit::Any => "a number",
        };
        cx.error(&value.span, format!("{key} must be {wanted}"));
    }
    number
}

/// `512m`, `1.5g`, `2GiB`, `100` in bytes.
fn size(text: &str) -> Option<f64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match lower.get(digits.len()..)? {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1_048_576.0,
        "g" | "gb" | "gib" => 1_073_741_824.0,
        "t" | "tb" | "tib" => 1_099_511_627_776.0,
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * factor)
}

fn decimal(value: f64) -> String {
    format!("{value}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_powers_of_1024_and_nothing_is_guessed() {
        for (text, bytes) in [
            ("100", Some(100.0)),
            ("512m", Some(536_870_912.0)),
            ("1.5g", Some(1_610_612_736.0)),
            ("2GiB", Some(2_147_483_648.0)),
            ("64kb", Some(65_536.0)),
            ("", None),
            ("m", None),
            ("5 m b", None),
            ("5x", None),
            ("5%", None),
        ] {
            assert_eq!(super::size(text), bytes, "{text}");
        }
    }
}
