//! `[[rule]]`: triggers, evidence, validation, limits, tests. May not live here: the steps of a fix.

use super::checks::Checks;
use super::context::Cx;
use super::signatures::{self, Signatures};
use super::{evidence, steps, values};
use crate::config::at::{At, Span, Table};
use crate::config::raw::*;
use crate::config::*;
use crate::model::{ErrorsAllowed, Status};
use std::time::Duration;

/// What rules may refer to.
pub struct World<'a> {
    pub checks: &'a Checks,
    pub logs: &'a [LogSpec],
    pub allow: Option<&'a Allow>,
}

const MINUTE: Duration = Duration::from_secs(60);

/// What may stand in braces in a rule's `cause`.
const PLACEHOLDERS: [&str; 8] = ["log", "count", "within", "check", "container", "state", "metric", "value"];

/// Every rule, each with the number of its source. Internal signatures are added to the list.
pub fn rules(cx: Cx<'_>, raw: Vec<(usize, Table<RawRule>)>, world: &World<'_>, all: &mut Signatures) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut places: Vec<(String, String)> = Vec::new();
    for (source, table) in raw {
        let cx = cx.in_source(source);
        if let Some(name) = table.value.name.clone() {
            match places.iter().find(|(n, _)| *n == name.value) {
                Some((_, first)) => {
                    let help = format!("the first is at {first}");
                    cx.error_help(&name.span, format!("a second rule is called `{}`", name.value), help);
                }
                None => places.push((name.value.clone(), cx.place(&name.span))),
            }
        }
        rules.extend(rule(cx, table, world, all));
    }
    rules
}

fn rule(
    cx: Cx<'_>,
    Table { value: raw, span }: Table<RawRule>,
    world: &World<'_>,
    all: &mut Signatures,
) -> Option<Rule> {
    let name = cx.required(&span, "name", raw.name).filter(|n| values::name(cx, n)).map(|n| n.value);
    let issue_type = cx.required(&span, "issue_type", raw.issue_type);
    let issue_type = issue_type.and_then(|i| values::word(cx, i, "issue_type"));
    let shown = name.as_deref().unwrap_or("?");
    let when = cx.required(&span, "when", raw.when);
    let when = when.and_then(|w| trigger(cx, w, shown, issue_type.as_deref().unwrap_or("?"), world, all));
    let confidence = cx.required(&span, "confidence", raw.confidence.map(Some));
    let confidence = confidence.map(|c| values::number(cx, c, 0.0, 0.0..=100.0, "confidence"));
    if let Some(cause) = &raw.cause {
        placeholders(cx, cause);
    }
    let kinds = (shown, issue_type.as_deref().unwrap_or("?"));
    let require = evidence::require(cx, raw.require, when.as_ref(), kinds, world, all);
    let evidence = evidence::evidence(cx, raw.evidence, kinds, world, all);
    let mut fixes: Vec<FixSpec> = Vec::new();
    for table in raw.fix {
        fixes.extend(steps::fix(cx, table, when.as_ref(), shown, world.allow, world.checks));
    }
    let of_log = when.as_ref().is_none_or(|w| matches!(w, When::Log(_)));
    let validate = self::validate(cx, raw.validate, of_log, world.checks);
    let limits = rule_limits(cx, raw.limits);
    let tests = raw.test.into_iter().filter_map(|t| test(cx, t, world.checks)).collect();
    let issue_type = issue_type?;
    Some(Rule {
        name: name?,
        when: when?,
        cause: raw.cause.map_or_else(|| issue_type.clone(), |c| c.value),
        issue_type,
        confidence: confidence?,
        mode: raw.mode.map(|m| m.value),
        require,
        evidence,
        fixes,
        validate,
        limits,
        tests,
    })
}

/// Refuses a `{word}` that would never be filled in.
fn placeholders(cx: Cx<'_>, cause: &At<String>) {
    for part in cause.value.split('{').skip(1) {
        let Some((word, _)) = part.split_once('}') else { continue };
        let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if is_word && !PLACEHOLDERS.contains(&word) {
            cx.unknown(&At { value: format!("{{{word}}}"), span: cause.span.clone() }, "placeholder", &braced());
        }
    }
}

fn braced() -> [&'static str; 8] {
    ["{log}", "{count}", "{within}", "{check}", "{container}", "{state}", "{metric}", "{value}"]
}

/// The kinds of triggers: the key that tells which, and the keys that may go with it.
pub(in crate::config) const TRIGGERS: [(&str, &[&str]); 4] = [
    ("log", &["signature", "match", "ignore", "count", "within"]),
    ("container", &["state", "for"]),
    ("metric", &["check", "above", "below", "passes"]),
    ("check", &["is", "passes"]),
];

/// Keys that evidence does not have.
pub(in crate::config) const ONLY_OF_TRIGGERS: [&str; 3] = ["ignore", "for", "passes"];

fn trigger(
    cx: Cx<'_>,
    Table { value: raw, span }: Table<RawWhen>,
    rule: &str,
    issue_type: &str,
    world: &World<'_>,
    all: &mut Signatures,
) -> Option<When> {
    let kind = trigger_kind(cx, &raw, &span, "`when`")?;
    match kind {
        "log" => log_trigger(cx, raw, &span, rule, issue_type, world, all),
        "container" => container_trigger(cx, raw, &span),
        "metric" => metric_trigger(cx, raw, &span, world.checks),
        _ => check_trigger(cx, raw, &span, world.checks),
    }
}

/// Exactly one trigger, and no key that belongs to another.
pub(super) fn trigger_kind(cx: Cx<'_>, raw: &RawWhen, span: &Span, what: &str) -> Option<&'static str> {
    let written = written_keys(raw);
    let has = |key: &str| written.iter().any(|(k, _)| *k == key);
    let kinds: Vec<&str> = TRIGGERS
        .iter()
        .map(|(kind, _)| *kind)
        .filter(|kind| has(kind) && !(*kind == "check" && has("metric")))
        .collect();
    let help = format!(
        "{what} takes one of: log with signature or match; check with is; container with state; check with metric"
    );
    let kind = match kinds.as_slice() {
        [one] => *one,
        [] => {
            if !TRIGGERS.iter().any(|(kind, _)| cx.was_removed(span, kind)) {
                let lacks = if what == "`when`" { "trigger" } else { "signal" };
                cx.error_help(span, format!("{what} has no {lacks}"), help);
            }
            return None;
        }
        [first, second, ..] => {
            let has = if what == "`when`" { "triggers" } else { "signals" };
            cx.error_help(span, format!("{what} has two {has}: `{first}` and `{second}`"), help);
            return None;
        }
    };
    let allowed = TRIGGERS.iter().find(|(k, _)| *k == kind).map_or(&[][..], |(_, keys)| keys);
    for (key, at) in written.iter().filter(|(key, _)| *key != kind && !allowed.contains(key)) {
        let goes = |key: &&&str| what == "`when`" || !ONLY_OF_TRIGGERS.contains(*key);
        let allowed: Vec<&str> = allowed.iter().filter(goes).copied().collect();
        let help = format!("with `{kind}` go: {}", allowed.join(", "));
        cx.error_help(at, format!("`{key}` does not go with `{kind}`"), help);
    }
    Some(kind)
}

fn written_keys(raw: &RawWhen) -> Vec<(&'static str, Span)> {
    fn span<T>(key: &Key<T>) -> Option<Span> {
        key.as_ref().map(|k| k.span.clone())
    }
    [
        ("log", span(&raw.log)),
        ("signature", span(&raw.signature)),
        ("match", span(&raw.pattern)),
        ("ignore", span(&raw.ignore)),
        ("count", span(&raw.count)),
        ("within", span(&raw.within)),
        ("check", span(&raw.check)),
        ("is", span(&raw.is)),
        ("passes", span(&raw.passes)),
        ("container", span(&raw.container)),
        ("state", span(&raw.state)),
        ("for", span(&raw.held_for)),
        ("metric", span(&raw.metric)),
        ("above", span(&raw.above)),
        ("below", span(&raw.below)),
    ]
    .into_iter()
    .filter_map(|(key, span)| Some((key, span?)))
    .collect()
}

pub(super) fn log_trigger(
    cx: Cx<'_>,
    raw: RawWhen,
    span: &Span,
    rule: &str,
    issue_type: &str,
    world: &World<'_>,
    all: &mut Signatures,
) -> Option<When> {
    let log = raw.log?;
    let sources = log_sources(cx, &log, world.logs);
    let count = values::count(cx, raw.count, 1, 1, "count");
    let within = values::positive(cx, raw.within, 10 * MINUTE);
    let ignore = raw.ignore.filter(|i| signatures::pattern(cx, i));
    let signature = match (raw.signature, raw.pattern) {
        (Some(name), None) => {
            let found = all.require(cx, &name)?;
            match ignore {
                Some(ignore) => {
                    let own = signatures::narrowed(rule, found, &ignore.value);
                    let both = At { value: own.ignore.clone().unwrap_or_default(), span: ignore.span };
                    signatures::pattern(cx, &both).then(|| add(all, own))
                }
                None => Some(name.value),
            }
        }
        (None, Some(pattern)) => signatures::pattern(cx, &pattern).then(|| {
            let ignore = ignore.map(|i| i.value);
            add(all, signatures::internal(rule, issue_type, pattern.value, ignore))
        }),
        (Some(name), Some(_)) => {
            cx.error(&name.span, "a trigger takes `signature` or `match`, not both");
            None
        }
        (None, None) => {
            if !cx.was_removed(span, "signature") && !cx.was_removed(span, "match") {
                cx.error(span, "a log trigger needs `signature` or `match`");
            }
            None
        }
    };
    let trigger = LogTrigger { log: log.value, sources: sources?, signature: signature?, count: count.into(), within };
    Some(When::Log(trigger))
}

fn add(all: &mut Signatures, signature: Signature) -> String {
    let name = signature.name.clone();
    all.list.push(signature);
    name
}

/// What a trigger's `log` stands for; `file:` and `journal:` must be configured.
fn log_sources(cx: Cx<'_>, log: &At<String>, logs: &[LogSpec]) -> Option<globset::GlobMatcher> {
    let named = |kind: &str, name: &str| {
        logs.iter().any(|l| match &l.kind {
            LogKind::Files { name: n, .. } => kind == "file" && n == name,
            LogKind::Journal { name: n, .. } => kind == "journal" && n == name,
            LogKind::Docker { .. } => false,
        })
    };
    match log.value.split_once(':') {
        Some(("container", pattern)) => {
            if !logs.iter().any(|l| matches!(l.kind, LogKind::Docker { .. })) {
                let help = "add a section [logs.docker]";
                cx.error_help(&log.span, "the logs of containers are not read", help);
                return None;
            }
            if pattern.is_empty() {
                cx.error(&log.span, "this names no container");
                return None;
            }
            values::glob(cx, log, false).map(|g| g.compile_matcher())
        }
        Some((kind @ ("file" | "journal"), name)) => {
            if !named(kind, name) {
                let what = if kind == "file" { "log file" } else { "journal log" };
                cx.unknown(log, what, &log_names(logs, kind).iter().map(String::as_str).collect::<Vec<_>>());
                return None;
            }
            values::literal_glob(&log.value)
        }
        _ => {
            let meant = ["file", "journal"].iter().find(|kind| named(kind, &log.value));
            let what = "`log` is `container:GLOB`, `file:NAME` or `journal:NAME`";
            match meant {
                Some(kind) => cx.error_help(&log.span, what, format!("did you mean `{kind}:{}`?", log.value)),
                None => cx.error(&log.span, what),
            }
            None
        }
    }
}

fn log_names(logs: &[LogSpec], kind: &str) -> Vec<String> {
    let full = |l: &LogSpec| match &l.kind {
        LogKind::Files { name, .. } if kind == "file" => Some(format!("file:{name}")),
        LogKind::Journal { name, .. } if kind == "journal" => Some(format!("journal:{name}")),
        _ => None,
    };
    logs.iter().filter_map(full).collect()
}

pub(super) fn container_trigger(cx: Cx<'_>, raw: RawWhen, span: &Span) -> Option<When> {
    let pattern = raw.container?;
    let glob = values::glob(cx, &pattern, false).map(|g| g.compile_matcher());
    let state = cx.required(span, "state", raw.state)?.value;
    let held_for = values::duration(raw.held_for, Duration::ZERO);
    Some(When::Container { glob: glob?, pattern: pattern.value, state, held_for })
}

pub(super) fn metric_trigger(cx: Cx<'_>, raw: RawWhen, span: &Span, checks: &Checks) -> Option<When> {
    let check = cx.required(span, "check", raw.check).filter(|c| checks.require(cx, c));
    let metric = values::word(cx, raw.metric?, "metric");
    let passes = values::count(cx, raw.passes, 1, 1, "passes");
    let (above, below) = (values::finite(cx, &raw.above, "above"), values::finite(cx, &raw.below, "below"));
    let given = [(&raw.above, "above"), (&raw.below, "below")];
    match given.iter().filter(|(v, key)| v.is_some() || cx.was_removed(span, key)).count() {
        1 => {}
        0 => cx.error(span, "a metric trigger needs `above` or `below`"),
        _ => cx.error(span, "a metric trigger takes `above` or `below`, not both"),
    }
    Some(When::Metric { check: check?.value, metric: metric?, above, below, passes })
}

fn check_trigger(cx: Cx<'_>, raw: RawWhen, span: &Span, checks: &Checks) -> Option<When> {
    let check = raw.check.filter(|c| checks.require(cx, c));
    let is = cx.required(span, "is", raw.is)?;
    if is.value == Status::Healthy {
        cx.error(&is.span, "a check that is healthy is nothing to mend");
    }
    let passes = values::count(cx, raw.passes, 1, 1, "passes");
    Some(When::Check { check: check?.value, is: is.value, passes })
}

fn validate(cx: Cx<'_>, raw: Section<RawValidate>, of_log: bool, checks: &Checks) -> Validate {
    let raw = raw.map(|r| r.value).unwrap_or_default();
    let place = raw.window.as_ref().or(raw.max_window.as_ref()).map(|w| w.span.clone());
    let longest_is_written = raw.max_window.is_some();
    let window = values::positive(cx, raw.window, 2 * MINUTE);
    let mut max_window = values::positive(cx, raw.max_window, 10 * MINUTE);
    if window > max_window {
        match place {
            Some(place) if longest_is_written => cx.error(&place, "`window` is longer than `max_window`"),
            _ => max_window = window,
        }
    }
    for (key, span) in [
        ("max_errors", raw.max_errors.as_ref().map(|v| &v.span)),
        ("reduce_to", raw.reduce_to.as_ref().map(|v| &v.span)),
    ] {
        if let Some(span) = span.filter(|_| !of_log) {
            cx.error(span, format!("`{key}` counts log events, and this rule's trigger is none of a log"));
        }
    }
    Validate {
        settle: values::duration(raw.settle, Duration::from_secs(10)),
        window,
        max_window,
        errors_allowed: errors_allowed(cx, raw.max_errors, raw.reduce_to),
        checks: checks.require_all(cx, raw.checks),
    }
}

fn errors_allowed(cx: Cx<'_>, max_errors: Key<i64>, reduce_to: Key<String>) -> ErrorsAllowed {
    let Some(share) = reduce_to else {
        return ErrorsAllowed::AtMost(values::count(cx, max_errors, 0, 0, "max_errors").into());
    };
    if max_errors.is_some() {
        cx.error(&share.span, "take `max_errors` or `reduce_to`, not both");
    }
    let percent = share.value.strip_suffix('%').and_then(|n| n.parse::<f64>().ok());
    match percent.filter(|p| (0.0..100.0).contains(p)) {
        Some(percent) => ErrorsAllowed::ReduceTo(percent / 100.0),
        None => {
            cx.error(&share.span, "`reduce_to` is a share below 100 %, such as \"20%\"");
            ErrorsAllowed::AtMost(0)
        }
    }
}

fn rule_limits(cx: Cx<'_>, raw: Section<RawRuleLimits>) -> RuleLimits {
    let raw = raw.map(|r| r.value).unwrap_or_default();
    RuleLimits {
        cooldown: values::duration(raw.cooldown, 30 * MINUTE),
        max_fixes: values::count(cx, raw.max_fixes, 3, 1, "max_fixes"),
        per: values::positive(cx, raw.per, 24 * 60 * MINUTE),
    }
}

fn test(cx: Cx<'_>, Table { value: raw, span }: Table<RawTest>, checks: &Checks) -> Option<RuleTest> {
    let name = cx.required(&span, "name", raw.name);
    let expect = cx.required(&span, "expect", raw.expect);
    let repeat = values::count(cx, raw.repeat, 1, 1, "repeat");
    let states: Vec<(String, Status)> =
        raw.checks.into_iter().filter(|(n, _)| checks.require(cx, n)).map(|(n, s)| (n.value, s.value)).collect();
    let mut metrics = Vec::new();
    for (check, values) in raw.metrics.into_iter().filter(|(check, _)| checks.require(cx, check)) {
        for (metric, value) in values {
            let value = values::finite(cx, &Some(value), &metric.value)?;
            metrics.push((check.value.clone(), metric.value, value));
        }
    }
    Some(RuleTest {
        name: name?.value,
        log: raw.log,
        repeat,
        checks: states,
        containers: raw.containers.into_iter().map(|(name, state)| (name.value, state.value)).collect(),
        metrics,
        file: raw.file.map(|f| f.value),
        expect: expectation(cx, expect?),
    })
}

fn expectation(cx: Cx<'_>, Table { value: raw, span }: Table<RawExpect>) -> Expectation {
    let text = |key: Key<String>| key.map(|k| k.value);
    let expect = Expectation {
        fires: raw.fires.map(|f| f.value),
        issue_type: text(raw.issue_type),
        fix_type: text(raw.fix_type),
        value: text(raw.value),
        decision: text(raw.decision),
    };
    if expect == Expectation::default() {
        cx.error(&span, "this test expects nothing and could not fail");
    }
    if expect.fires == Some(false) && expect != (Expectation { fires: Some(false), ..Expectation::default() }) {
        cx.error(&span, "of a rule that does not fire nothing else can be expected");
    }
    expect
}
