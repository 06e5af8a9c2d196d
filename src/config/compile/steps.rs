//! `[[rule.fix]]`: the steps and their bounds. May not live here: reading or changing the files that are named.

use super::acts;
use super::checks::Checks;
use super::context::Cx;
use super::sections::is_unit;
use super::values;
use crate::config::at::{At, RawScalar, Span, Table};
use crate::config::raw::*;
use crate::config::{Allow, Change, ComposeSpec, EditSpec, FixSpec, Format, Selector, SetValue, StepSpec, When};
use crate::model::RestartTarget;
use std::path::{Path, PathBuf};

/// In place of a name: the container that the trigger saw.
pub const THE_CONTAINER: &str = "{container}";

/// Steps of one fix: more would be no small fix.
const MOST_STEPS: usize = 20;

/// Judges a selector by the format of the file that it is for.
///
/// # Errors
/// With a sentence that says what is wrong.
pub fn check_at(path: &Path, at: &str) -> Result<(), String> {
    let known = "known by their names: .toml, .yaml, .yml, .json, .ini, .env and .py";
    let format = Format::of(path).ok_or_else(|| format!("files of this kind cannot be edited; {known}"))?;
    Selector::parse(at, format).map(drop)
}

/// One rung of a rule's ladder.
pub fn fix(
    cx: Cx<'_>,
    Table { value: raw, span }: Table<RawFix>,
    when: Option<&When>,
    rule: &str,
    allow: Option<&Allow>,
    checks: &Checks,
) -> Option<FixSpec> {
    let fix_type = cx.required(&span, "fix_type", raw.fix_type).and_then(|f| values::word(cx, f, "fix_type"));
    let list = cx.required(&span, "steps", raw.steps)?;
    if list.value.is_empty() && !cx.was_removed(&list.span, "") {
        cx.error(&list.span, "`steps` is empty: a fix does something, and a rule that only tells has no fix");
    }
    if list.value.len() > MOST_STEPS {
        cx.error(&list.span, format!("a fix has at most {MOST_STEPS} steps"));
    }
    let mut steps = Vec::new();
    for table in list.value {
        let span = table.span.clone();
        let Some(step) = step(cx, table, when, checks) else { continue };
        if let StepSpec::Edit(edit) = &step
            && steps.iter().any(|s| matches!(s, StepSpec::Edit(e) if e.path == edit.path && e.at == edit.at))
        {
            cx.error(&span, "this fix edits the same place twice");
        }
        if let Some(allow) = allow {
            warn_if_not_allowed(cx, &span, &step, rule, allow);
        }
        steps.push(step);
    }
    Some(FixSpec { fix_type: fix_type?, steps })
}

/// The kinds of steps: the key that tells which, and the keys that may go with it.
pub(in crate::config) const KINDS: [(&str, &[&str]); 7] = [
    ("edit", &["at", "multiply", "add", "set", "min", "max", "max_factor", "max_total_factor"]),
    ("restart", &[]),
    ("recreate", &[]),
    ("resize", &["memory", "cpus"]),
    ("run", &["undo", "timeout"]),
    ("postgres", &["terminate_idle_in_transaction", "cancel_queries_over", "max", "users"]),
    ("redis", &["config_set"]),
];

fn step(
    cx: Cx<'_>,
    Table { value: raw, span }: Table<RawStep>,
    when: Option<&When>,
    checks: &Checks,
) -> Option<StepSpec> {
    let kind = kind(cx, &raw, &span)?;
    match kind {
        "edit" => edit(cx, raw.edit.clone()?, raw, &span),
        "restart" => restart(cx, &raw.restart?, when),
        "recreate" => recreate(cx, &raw.recreate?),
        "resize" => acts::resize(cx, raw, &span, when),
        "run" => acts::run(cx, raw),
        "postgres" => acts::postgres(cx, raw, &span, checks),
        _ => acts::redis(cx, raw, &span, checks),
    }
}

/// Exactly one kind, and no key that belongs to another.
fn kind(cx: Cx<'_>, raw: &RawStep, span: &Span) -> Option<&'static str> {
    let written = written_keys(raw);
    let at = |key: &str| written.iter().find(|(k, _)| *k == key).map(|(_, at)| at.clone());
    let kinds: Vec<(&str, Span)> = KINDS.iter().filter_map(|(kind, _)| Some((*kind, at(kind)?))).collect();
    let kind = match kinds.as_slice() {
        [(kind, _)] => *kind,
        [] => {
            if !KINDS.iter().any(|(kind, _)| cx.was_removed(span, kind)) {
                let all: Vec<String> = KINDS.iter().map(|(kind, _)| format!("`{kind}`")).collect();
                cx.error(span, format!("this step does nothing: it needs one of {}", all.join(", ")));
            }
            return None;
        }
        [(first, _), (second, at), ..] => {
            cx.error_help(at, format!("a step is `{first}` or `{second}`, not both"), "write two steps");
            return None;
        }
    };
    let allowed = KINDS.iter().find(|(k, _)| *k == kind).map_or(&[][..], |(_, keys)| keys);
    for (key, at) in written.iter().filter(|(key, _)| *key != kind && !allowed.contains(key)) {
        cx.error(at, format!("`{key}` does not go with `{kind}`"));
    }
    Some(kind)
}

fn written_keys(raw: &RawStep) -> Vec<(&'static str, Span)> {
    fn span<T>(key: &Key<T>) -> Option<Span> {
        key.as_ref().map(|k| k.span.clone())
    }
    [
        ("edit", span(&raw.edit)),
        ("at", span(&raw.at)),
        ("multiply", span(&raw.multiply)),
        ("add", span(&raw.add)),
        ("set", span(&raw.set)),
        ("min", span(&raw.min)),
        ("max", span(&raw.max)),
        ("max_factor", span(&raw.max_factor)),
        ("max_total_factor", span(&raw.max_total_factor)),
        ("restart", span(&raw.restart)),
        ("recreate", span(&raw.recreate)),
        ("resize", span(&raw.resize)),
        ("memory", span(&raw.memory)),
        ("cpus", span(&raw.cpus)),
        ("run", span(&raw.run)),
        ("undo", span(&raw.undo)),
        ("timeout", span(&raw.timeout)),
        ("postgres", span(&raw.postgres)),
        ("terminate_idle_in_transaction", span(&raw.terminate_idle_in_transaction)),
        ("cancel_queries_over", span(&raw.cancel_queries_over)),
        ("users", span(&raw.users)),
        ("redis", span(&raw.redis)),
        ("config_set", span(&raw.config_set)),
    ]
    .into_iter()
    .filter_map(|(key, span)| Some((key, span?)))
    .collect()
}

fn edit(cx: Cx<'_>, path: At<String>, raw: RawStep, span: &Span) -> Option<StepSpec> {
    let path_is_sound = values::absolute(cx, &path);
    let at = cx.required(span, "at", raw.at);
    if let Some(at) = &at
        && let Err(reason) = (cx.shared.check_at)(Path::new(&path.value), &at.value)
    {
        cx.error(&at.span, format!("this place in the file cannot be meant: {reason}"));
    }
    let (min, max) = (values::finite(cx, &raw.min, "min"), values::finite(cx, &raw.max, "max"));
    if let (Some(low), Some(high), Some(place)) = (min, max, &raw.max)
        && low > high
    {
        cx.error(&place.span, format!("`max` {high} is below `min` {low}"));
    }
    let max_factor = values::finite(cx, &raw.max_factor, "max_factor").unwrap_or(2.0);
    if let Some(place) = raw.max_factor.as_ref().filter(|f| f.value < 1.0) {
        cx.error(&place.span, "`max_factor` must be 1 or more: it bounds a change either way");
    }
    let max_total_factor = values::finite(cx, &raw.max_total_factor, "max_total_factor");
    let max_total_factor = max_total_factor.unwrap_or(max_factor.max(4.0));
    if let Some(place) = raw.max_total_factor.as_ref().filter(|f| f.value < max_factor) {
        cx.error(&place.span, "`max_total_factor` must not be below `max_factor`: it bounds all fixes together");
    }
    let change = change(cx, span, raw.multiply, raw.add, raw.set, &Bounds { min, max, max_factor })?;
    let at = at?.value;
    path_is_sound.then(|| {
        StepSpec::Edit(EditSpec { path: PathBuf::from(path.value), at, change, min, max, max_factor, max_total_factor })
    })
}

pub(super) struct Bounds {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub max_factor: f64,
}

/// Exactly one change, and one that its own bounds let through.
fn change(
    cx: Cx<'_>,
    span: &Span,
    multiply: Key<f64>,
    add: Key<f64>,
    set: Key<RawScalar>,
    bounds: &Bounds,
) -> Option<Change> {
    match (multiply, add, set) {
        (Some(by), None, None) => self::multiply(cx, &by, bounds),
        (None, Some(by), None) => {
            let number = values::finite(cx, &Some(by.clone()), "add")?;
            if number == 0.0 {
                cx.error(&by.span, "`add` 0 changes nothing");
            }
            open_ended(cx, &by.span, number > 0.0, bounds);
            Some(Change::Add(number))
        }
        (None, None, Some(to)) => self::set(cx, to, bounds).map(Change::Set),
        (None, None, None) => {
            if !["multiply", "add", "set"].iter().any(|key| cx.was_removed(span, key)) {
                cx.error(span, "an edit needs one of `multiply`, `add` and `set`");
            }
            None
        }
        _ => {
            cx.error(span, "an edit takes only one of `multiply`, `add` and `set`");
            None
        }
    }
}

pub(super) fn multiply(cx: Cx<'_>, by: &At<f64>, bounds: &Bounds) -> Option<Change> {
    let factor = values::finite(cx, &Some(by.clone()), "multiply")?;
    // Decimal fractions such as 0.1 and 10 are no exact reciprocals in binary.
    let slack = 1.0 + 1e-9;
    if factor <= 0.0 {
        cx.error(&by.span, "`multiply` must be above 0");
        return None;
    }
    if factor == 1.0 {
        cx.error(&by.span, "`multiply` by 1 changes nothing");
    }
    if bounds.max_factor >= 1.0 && factor.max(1.0 / factor) > bounds.max_factor * slack {
        let message = format!("`multiply` {factor} changes more than `max_factor` {} allows", bounds.max_factor);
        cx.error_help(&by.span, message, "raise `max_factor` in this step (2 where it is not written)");
    }
    open_ended(cx, &by.span, factor > 1.0, bounds);
    Some(Change::Multiply(factor))
}

/// A change that could go on for ever, one fix at a time.
pub(super) fn open_ended(cx: Cx<'_>, span: &Span, upwards: bool, bounds: &Bounds) {
    if upwards && bounds.max.is_none() {
        let help = "write the highest value that you would accept: `max = ...`";
        cx.warn(span, "this change has no `max`: repeated fixes may raise the value without end", help);
    } else if !upwards && bounds.min.is_none() {
        let help = "write the lowest value that you would accept: `min = ...`";
        cx.warn(span, "this change has no `min`: repeated fixes may lower the value without end", help);
    }
}

fn set(cx: Cx<'_>, to: At<RawScalar>, bounds: &Bounds) -> Option<SetValue> {
    let number = match to.value {
        RawScalar::Number(number) => number,
        RawScalar::Text(_) | RawScalar::Bool(_) if bounds.min.or(bounds.max).is_some() => {
            cx.error(&to.span, "`min` and `max` bound a number, and `set` is none");
            return None;
        }
        RawScalar::Text(text) if text.contains(['\n', '\r', '\0']) => {
            cx.error(&to.span, "`set` must be one line");
            return None;
        }
        RawScalar::Text(text) => return Some(SetValue::Text(text)),
        RawScalar::Bool(value) => return Some(SetValue::Bool(value)),
    };
    if !number.is_finite() {
        cx.error(&to.span, "`set` must be a finite number");
        return None;
    }
    if bounds.min.is_some_and(|min| number < min) || bounds.max.is_some_and(|max| number > max) {
        cx.error(&to.span, "`set` is outside its own `min` and `max`");
    }
    let written = cx.written(&to.span);
    let plain = written.trim_start_matches('+').replace('_', "");
    // Hexadecimal, octal and binary are TOML's; the edited file may not know them.
    let decimal = !["0x", "0o", "0b"].iter().any(|p| plain.starts_with(p));
    Some(SetValue::Number(if decimal && !plain.is_empty() { plain } else { format!("{number}") }))
}

fn restart(cx: Cx<'_>, target: &At<String>, when: Option<&When>) -> Option<StepSpec> {
    let syntax = "write `container:NAME`, `compose:PROJECT/SERVICE`, `compose:PROJECT` or `unit:NAME`";
    match target.value.split_once(':') {
        Some(("container", name)) => {
            container(cx, name, &target.span, when).map(|name| StepSpec::Restart(RestartTarget::Container(name)))
        }
        Some(("unit", name)) if is_unit(name) => Some(StepSpec::Restart(RestartTarget::Unit(name.to_owned()))),
        Some(("unit", _)) => {
            cx.error(&target.span, "this is no name of a systemd unit");
            None
        }
        Some(("compose", name)) => compose(cx, name, &target.span).map(StepSpec::Compose),
        _ => {
            cx.error_help(&target.span, "it is not clear what to restart", syntax);
            None
        }
    }
}

fn recreate(cx: Cx<'_>, target: &At<String>) -> Option<StepSpec> {
    let name = target.value.strip_prefix("compose:");
    match name.and_then(|name| compose(cx, name, &target.span)) {
        Some(service) if service.service.is_some() => Some(StepSpec::Recreate(service)),
        None if name.is_some() => None,
        _ => {
            cx.error_help(&target.span, "it is not clear what to recreate", "write `compose:PROJECT/SERVICE`");
            None
        }
    }
}

/// A container by name, or the one that the trigger saw.
pub(super) fn container(cx: Cx<'_>, name: &str, span: &Span, when: Option<&When>) -> Option<String> {
    if name == THE_CONTAINER {
        let sees_one = when.is_none_or(|w| match w {
            When::Container { .. } => true,
            When::Log(log) => log.log.starts_with("container:"),
            When::Check { .. } | When::Metric { .. } => false,
        });
        if !sees_one {
            cx.error_help(span, "this rule's trigger sees no container", "name the container");
        }
    } else if !is_container(name) {
        cx.error_help(span, "this is no name of a container", "one name, or `{container}`; no pattern");
        return None;
    }
    Some(name.to_owned())
}

/// `PROJECT` or `PROJECT/SERVICE`.
fn compose(cx: Cx<'_>, name: &str, span: &Span) -> Option<ComposeSpec> {
    let (project, service) = name.split_once('/').map_or((name, None), |(p, s)| (p, Some(s)));
    if !is_container(project) || !service.is_none_or(is_container) {
        cx.error_help(span, "this names no compose service", "one project and one service; no pattern");
        return None;
    }
    Some(ComposeSpec { project: project.to_owned(), service: service.map(str::to_owned) })
}

/// The names that Docker itself allows.
fn is_container(name: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() < 256 && name.chars().all(sound)
}

/// `[allow]` may be kept narrow on purpose: such a fix is held each time, so that is told but no error.
fn warn_if_not_allowed(cx: Cx<'_>, span: &Span, step: &StepSpec, rule: &str, allow: &Allow) {
    let of_container = |name: &String| {
        (name == THE_CONTAINER || allow.containers.is_match(name), format!("container {name}"), "containers")
    };
    let (covered, what, list) = match step {
        StepSpec::Edit(e) => (allow.files.is_match(&e.path), e.path.display().to_string(), "files"),
        StepSpec::Restart(RestartTarget::Container(name)) => of_container(name),
        StepSpec::Resize(spec) => of_container(&spec.container),
        StepSpec::Restart(RestartTarget::Unit(name)) => (allow.units.is_match(name), format!("unit {name}"), "units"),
        StepSpec::Run(step) => {
            let argv = std::iter::once(&step.argv).chain(&step.undo).find(|argv| !allow.commands.contains(argv));
            (argv.is_none(), format!("whatever {:?} does", argv.unwrap_or(&step.argv)), "commands")
        }
        StepSpec::Postgres(step) => {
            (allow.postgres.contains(&step.check), format!("server {}", step.check), "postgres")
        }
        StepSpec::Redis(spec) => (allow.redis.contains(&spec.check), format!("server {}", spec.check), "redis"),
        // Which containers those are, only Docker knows.
        StepSpec::Compose(_) | StepSpec::Recreate(_) | StepSpec::Restart(RestartTarget::Recreate(_)) => return,
    };
    if !covered {
        let message =
            format!("rule `{rule}` would change {what}, which `{list}` in [allow] does not cover: it will be held");
        cx.warn(span, &message, &format!("add it to `{list}` in [allow], if you mean it"));
    }
}
