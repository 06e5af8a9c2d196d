//! `evidence` and `require` of a rule: signals beside its trigger. May not live here: the trigger itself.

use super::context::Cx;
use super::rules::{World, container_trigger, log_trigger, metric_trigger, trigger_kind};
use super::signatures::Signatures;
use super::values;
use crate::config::at::{At, NameOr, Span, Table};
use crate::config::raw::{Key, RawEvidence, RawRule, RawWhen};
use crate::config::{Evidence, LogTrigger, Probe, SignalSpec, When};
use crate::model::Status;

/// The rule's name and its issue type: what the internal signature of a `match` is made of.
type Kinds<'a> = (&'a str, &'a str);

/// Signals for and against.
pub fn evidence(
    cx: Cx<'_>,
    raw: Vec<Table<RawEvidence>>,
    kinds: Kinds<'_>,
    world: &World<'_>,
    all: &mut Signatures,
) -> Vec<Evidence> {
    let mut list = Vec::new();
    for Table { value: raw, span } in raw {
        let add = cx.required(&span, "add", raw.add.clone());
        let add = add.map(|a| values::number(cx, Some(a), 0.0, -100.0..=100.0, "add"));
        let signal = signal(cx, raw, &span, ("this evidence", None), kinds, world, all);
        list.extend(signal.zip(add).map(|(signal, add)| Evidence { signal, add }));
    }
    list
}

/// Signals that must be there: names of checks, and tables. None may be what the trigger sees already.
pub fn require(
    cx: Cx<'_>,
    raw: Option<At<Vec<At<NameOr<RawEvidence>>>>>,
    when: Option<&When>,
    kinds: Kinds<'_>,
    world: &World<'_>,
    all: &mut Signatures,
) -> Vec<SignalSpec> {
    let mut list = Vec::new();
    for At { value: item, span } in raw.map(|r| r.value).unwrap_or_default() {
        let signal = match item {
            NameOr::Name(check) => {
                let name = At { value: check, span: span.clone() };
                world.checks.require(cx, &name).then_some(SignalSpec::Check { check: name.value, is: Status::Warning })
            }
            NameOr::Table(raw) => {
                if let Some(add) = &raw.add {
                    cx.error(&add.span, "`add` does not go with `require`: what is required is no addend");
                }
                let what = ("this requirement", Some(Status::Warning));
                signal(cx, raw, &span, what, kinds, world, all)
            }
        };
        let Some(signal) = signal else { continue };
        if when.is_some_and(|when| is_trigger(when, &signal, world, all)) {
            let help = "name another check, log, container or metric, or leave this out";
            cx.error_help(&span, "this is what the trigger sees already: no second kind of evidence", help);
            continue;
        }
        list.push(signal);
    }
    list
}

fn signal(
    cx: Cx<'_>,
    raw: RawEvidence,
    span: &Span,
    (what, is_default): (&str, Option<Status>),
    (rule, issue_type): Kinds<'_>,
    world: &World<'_>,
    all: &mut Signatures,
) -> Option<SignalSpec> {
    let RawEvidence {
        check, is, log, signature, pattern, count, within, container, state, metric, above, below, ..
    } = raw;
    let raw = RawWhen {
        check,
        is,
        log,
        signature,
        pattern,
        count,
        within,
        container,
        state,
        metric,
        above,
        below,
        ..RawWhen::default()
    };
    match trigger_kind(cx, &raw, span, what)? {
        "log" => {
            // A rule's name holds no colon, so this is no other rule's signature.
            let own = format!("{rule}:{}", all.list.len());
            match log_trigger(cx, raw, span, &own, issue_type, world, all)? {
                When::Log(trigger) => Some(SignalSpec::Log(trigger)),
                _ => None,
            }
        }
        "container" => match container_trigger(cx, raw, span)? {
            When::Container { glob, pattern, state, .. } => Some(SignalSpec::Container { glob, pattern, state }),
            _ => None,
        },
        "metric" => match metric_trigger(cx, raw, span, world.checks)? {
            When::Metric { check, metric, above, below, .. } => {
                Some(SignalSpec::Metric { check, metric, above, below })
            }
            _ => None,
        },
        _ => {
            let check = raw.check.filter(|c| world.checks.require(cx, c));
            let is = match (raw.is, is_default) {
                (Some(is), _) => Some(is.value),
                (None, Some(default)) if !cx.was_removed(span, "is") => Some(default),
                (None, _) => cx.required(span, "is", None::<At<Status>>).map(|is| is.value),
            };
            Some(SignalSpec::Check { check: check?.value, is: is? })
        }
    }
}

/// Whether a signal is the one that the trigger looks at: asking it twice proves nothing.
fn is_trigger(when: &When, signal: &SignalSpec, world: &World<'_>, all: &Signatures) -> bool {
    let is_docker = |name: &str| world.checks.get(name).is_some_and(|c| matches!(c.probe, Probe::Docker(_)));
    match (when, signal) {
        (
            When::Check { check, .. } | When::Metric { check, .. },
            SignalSpec::Check { check: other, .. } | SignalSpec::Metric { check: other, .. },
        ) => check == other,
        (When::Check { check, .. }, SignalSpec::Container { .. }) => is_docker(check),
        (When::Container { .. }, SignalSpec::Check { check, .. } | SignalSpec::Metric { check, .. }) => {
            is_docker(check)
        }
        (When::Container { glob, pattern, .. }, SignalSpec::Container { glob: other_glob, pattern: other, .. }) => {
            pattern == other || glob.is_match(other) || other_glob.is_match(pattern)
        }
        (When::Log(trigger), SignalSpec::Log(other)) => same_log(trigger, other, all),
        _ => false,
    }
}

/// The same source and the same kind of event.
fn same_log(trigger: &LogTrigger, other: &LogTrigger, all: &Signatures) -> bool {
    let pattern = |name: &str| all.list.iter().find(|s| s.name == name).map(|s| s.pattern.as_str());
    let source =
        trigger.log == other.log || trigger.sources.is_match(&other.log) || other.sources.is_match(&trigger.log);
    source && pattern(&trigger.signature) == pattern(&other.signature)
}

/// Whether the evidence or the requirements look at the Docker check, or at a container.
pub fn names_docker(rule: &RawRule) -> bool {
    fn looks(check: &Key<String>, container: &Key<String>) -> bool {
        container.is_some() || check.as_ref().is_some_and(|c| c.value == "docker")
    }
    let required = rule.require.iter().flat_map(|r| &r.value);
    rule.evidence.iter().any(|e| looks(&e.value.check, &e.value.container))
        || required.into_iter().any(|item| match &item.value {
            NameOr::Name(name) => name == "docker",
            NameOr::Table(table) => looks(&table.check, &table.container),
        })
}
