//! One rule as it is understood: what it waits for, what it would do and within which limits, and how it stands now.

use crate::attempts::Attempt;
use crate::config::{BoundedChange, Change, EditSpec, Evidence, FixSpec, Rule, SetValue, SignalSpec, StepSpec};
use crate::diagnose::rules::shown;
use crate::diagnose::signals;
use crate::host::clock;
use crate::model::{Act, Diagnosis, ErrorsAllowed, Status};
use crate::pass::Judged;
use crate::show::rules::{RuleRow, mode_word, when};
use crate::show::status::next_try;
use crate::show::{self, Output, checks::number, diagnosis, json};
use crate::text::clean;
use jiff::Timestamp;
use serde_json::{Value, json};

/// What is shown.
pub struct Shown<'a> {
    pub row: RuleRow<'a>,
    /// The newest first.
    pub fixes: Vec<&'a Attempt>,
    pub now: Now<'a>,
}

/// What it would do if a pass ran now.
pub enum Now<'a> {
    Judged(&'a Judged),
    /// It fires, and another cause goes before it.
    Beaten(&'a Diagnosis),
    /// It does not fire: why.
    Silent(&'a str),
}

/// For people.
pub fn text(of: &Shown, now: Timestamp, out: &Output) -> String {
    let rule = of.row.rule;
    let row = |label: &str, text: &str| out.wrapped(&format!("  {label:<13}{}", clean(text)), 15);
    let ago = |t: Timestamp| format!("{} ({})", show::ago(t, now), clock::to_second(t));
    let mut lines = vec![out.bold(&format!("rule {} ({})", rule.name, mode_word(of.row.mode)))];
    lines.push(row("when", &when(&rule.when)));
    lines.push(row("issue type", &rule.issue_type));
    lines.push(row("cause", &rule.cause));
    lines.push(row("confidence", &confidence(rule)));
    if !rule.require.is_empty() {
        let required: Vec<String> = rule.require.iter().map(signals::asked).collect();
        lines.push(row("requires", &required.join(", ")));
    }
    if rule.fixes.is_empty() {
        lines.push(row("fix", "none: it diagnoses and alerts"));
    }
    for (n, fix) in rule.fixes.iter().enumerate() {
        lines.push(row(&format!("fix {}", n + 1), &fix.fix_type));
        lines.extend(steps(fix).iter().map(|step| row("", step)));
    }
    lines.push(row("validation", &validation(rule)));
    let l = &rule.limits;
    lines.push(row(
        "limits",
        &format!("cooldown {}, at most {} within {}", shown(l.cooldown), fixes(l.max_fixes), shown(l.per)),
    ));
    lines.push(row("tests", &if rule.tests.is_empty() { "none".to_owned() } else { rule.tests.len().to_string() }));
    lines.push(row("last matched", &of.row.last_matched.map_or("never, as far as is known".to_owned(), ago)));
    for fix in &of.fixes {
        let ending = fix.ended.as_ref().map_or("open", |(_, outcome)| outcome.word());
        let ending = ending.replace('_', " ");
        let text = format!("{} of `{}`: {ending}, {}", fix.fix_type, fix.target, ago(fix.last_moment().t));
        lines.push(row("fix made", &text));
    }
    for tripped in &of.row.tripped {
        let text =
            format!("open for `{}`: {} failures in a row; {}", tripped.target, tripped.failures, next_try(tripped));
        lines.push(row("breaker", &text));
    }
    match &of.now {
        Now::Silent(reason) => lines.push(row("now", &format!("does not fire: {reason}"))),
        Now::Beaten(d) => {
            let text =
                format!("fires ({}), and another cause goes before it for {}", d.trigger.seen, d.trigger.component);
            lines.push(row("now", &text));
        }
        Now::Judged(judged) => {
            lines.push(row(
                "now",
                if judged.hold().is_some() { "fires, and is held" } else { "fires, and a pass would act" },
            ));
            let inner = Output { width: out.width.saturating_sub(4), ..out.clone() };
            lines.extend(diagnosis::judged(judged, &inner).lines().map(|line| format!("    {line}")));
        }
    }
    lines.join("\n")
}

/// A check by its keys; any signal in words.
fn evidence_json(evidence: &Evidence) -> Value {
    let (check, is) = match &evidence.signal {
        SignalSpec::Check { check, is } => (Some(check), Some(is)),
        _ => (None, None),
    };
    json!({ "check": check, "is": is, "add": evidence.add, "signal": signals::asked(&evidence.signal) })
}

/// A check that must be red by its name; any other signal in words.
fn required(signal: &SignalSpec) -> String {
    match signal {
        SignalSpec::Check { check, is: Status::Warning } => check.clone(),
        _ => signals::asked(signal),
    }
}

fn fixes(n: u32) -> String {
    if n == 1 { "1 fix".to_owned() } else { format!("{n} fixes") }
}

fn confidence(rule: &Rule) -> String {
    let evidence = rule.evidence.iter().map(|e| {
        format!("{}{} where {}", if e.add < 0.0 { "-" } else { "+" }, number(e.add.abs()), signals::asked(&e.signal))
    });
    std::iter::once(number(rule.confidence)).chain(evidence).collect::<Vec<_>>().join(", ")
}

fn steps(fix: &FixSpec) -> Vec<String> {
    let step = |step: &StepSpec| match step {
        StepSpec::Edit(edit) => edit_text(edit),
        StepSpec::Restart(target) => format!("restart {target}"),
        StepSpec::Compose(service) => format!("restart {service}"),
        StepSpec::Recreate(service) => format!("recreate {service}"),
        StepSpec::Resize(spec) => {
            let changes = [("memory", &spec.memory), ("cpus", &spec.cpus)];
            let changes = changes.iter().filter_map(|(key, by)| Some(bounded_text(key, by.as_ref()?)));
            format!("resize container:{}: {}", spec.container, changes.collect::<Vec<_>>().join("; "))
        }
        StepSpec::Redis(spec) => {
            let changes = spec.settings.iter().map(|(key, by)| bounded_text(key, by));
            format!("redis {}: {}", spec.check, changes.collect::<Vec<_>>().join("; "))
        }
        StepSpec::Run(step) => Act::Run(step.clone()).words(),
        StepSpec::Postgres(step) => Act::Postgres(step.clone()).words(),
    };
    fix.steps.iter().map(step).collect()
}

fn change_text(change: &Change) -> String {
    match change {
        Change::Multiply(factor) => format!("multiply by {}", number(*factor)),
        Change::Add(term) => format!("add {}", number(*term)),
        Change::Set(SetValue::Number(text)) => format!("set to {text}"),
        Change::Set(SetValue::Text(text)) => format!("set to \"{text}\""),
        Change::Set(SetValue::Bool(value)) => format!("set to {value}"),
    }
}

fn bounded_text(key: &str, by: &BoundedChange) -> String {
    let bound = |name: &str, bound: Option<f64>| bound.map(|b| format!(", {name} {}", number(b))).unwrap_or_default();
    let factor = by.factors.map(|(factor, _)| format!(", by at most the factor {}", number(factor)));
    let change = change_text(&by.change);
    format!("{key} {change}{}{}{}", bound("min", by.min), bound("max", by.max), factor.unwrap_or_default())
}

fn edit_text(edit: &EditSpec) -> String {
    let change = change_text(&edit.change);
    let bound = |name: &str, bound: Option<f64>| bound.map(|b| format!(", {name} {}", number(b))).unwrap_or_default();
    format!(
        "edit {} at `{}`: {change}{}{}, by at most the factor {}",
        edit.path.display(),
        edit.at,
        bound("min", edit.min),
        bound("max", edit.max),
        number(edit.max_factor)
    )
}

fn validation(rule: &Rule) -> String {
    let v = &rule.validate;
    let errors = match v.errors_allowed {
        ErrorsAllowed::AtMost(0) => "no error".to_owned(),
        ErrorsAllowed::AtMost(n) => format!("at most {}", crate::show::count(n, "error")),
        ErrorsAllowed::ReduceTo(share) => format!("at most {} % of the earlier errors", number(share * 100.0)),
    };
    let checks =
        if v.checks.is_empty() { String::new() } else { format!(", healthy at the end: {}", v.checks.join(", ")) };
    format!("settle {}, watch {} (at most {}), {errors}{checks}", shown(v.settle), shown(v.window), shown(v.max_window))
}

/// For programs.
pub fn json(of: &Shown) -> Value {
    let rule = of.row.rule;
    let second = |t: Timestamp| clock::to_second(t).to_string();
    let (now, reason, judged) = match &of.now {
        Now::Silent(reason) => ("silent", Value::from(*reason), Value::Null),
        Now::Beaten(d) => ("beaten", Value::from(d.trigger.seen.as_str()), Value::Null),
        Now::Judged(j) => {
            let why = j.hold().map_or(Value::Null, |reason| reason.to_string().into());
            (if j.hold().is_some() { "hold" } else { "act" }, why, json::judged(j))
        }
    };
    json!({
        "name": rule.name,
        "mode": mode_word(of.row.mode),
        "when": when(&rule.when),
        "issue_type": rule.issue_type,
        "cause": rule.cause,
        "confidence": rule.confidence,
        "evidence": rule.evidence.iter().map(evidence_json).collect::<Vec<_>>(),
        "require": rule.require.iter().map(required).collect::<Vec<_>>(),
        "fixes": rule.fixes.iter().map(|f| json!({ "fix_type": f.fix_type, "steps": steps(f) })).collect::<Vec<_>>(),
        "validation": validation(rule),
        "limits": {
            "cooldown_seconds": rule.limits.cooldown.as_secs(),
            "max_fixes": rule.limits.max_fixes,
            "per_seconds": rule.limits.per.as_secs(),
        },
        "tests": rule.tests.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
        "last_matched": of.row.last_matched.map(second),
        "last_fixes": of.fixes.iter().map(|f| json!({
            "fix_id": f.fix,
            "fix_type": f.fix_type,
            "target": f.target,
            "time": second(f.last_moment().t),
            "outcome": f.ended.as_ref().map(|(_, outcome)| outcome.word()),
        })).collect::<Vec<_>>(),
        "now": now,
        "reason": reason,
        "diagnosis": judged,
    })
}
