//! Why a rule does what it does now: what it looks for and what the gate asks, each against what is there.

use crate::config::Rule;
use crate::diagnose::signals;
use crate::gate::conditions::Condition;
use crate::model::{Signal, SignalRole};
use crate::pass::judging::Explained;
use crate::pass::{Judged, Report};
use crate::show::checks::number;
use crate::show::rules::{mode_word, when};
use crate::show::{Output, diagnosis};
use crate::text::clean;
use serde_json::{Value, json};

/// What a rule does now, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Silent,
    Beaten,
    Held,
    Acts,
}

impl Stand {
    fn word(self) -> &'static str {
        match self {
            Stand::Silent => "silent",
            Stand::Beaten => "beaten",
            Stand::Held => "hold",
            Stand::Acts => "act",
        }
    }
}

fn stand(judged: Option<&Judged>, is_beaten: bool) -> Stand {
    match judged {
        Some(judged) if judged.hold().is_none() => Stand::Acts,
        Some(_) => Stand::Held,
        None if is_beaten => Stand::Beaten,
        None => Stand::Silent,
    }
}

fn judged_of<'a>(report: &'a Report, rule: &str) -> Option<&'a Judged> {
    report.judged.iter().find(|j| j.diagnosis.rule.as_deref() == Some(rule))
}

/// Every rule in a line: what it does now, and why.
pub fn summary(rules: &[Rule], report: &Report, out: &Output) -> Option<String> {
    if rules.is_empty() {
        return None;
    }
    let mut table = out.table(&["rule", "now", "why"]);
    for rule in rules {
        let judged = judged_of(report, &rule.name);
        let beaten = report.analysis.competing.iter().find(|d| d.rule.as_ref() == Some(&rule.name));
        let silent = report.analysis.not_fired.iter().find(|n| n.rule == rule.name);
        let why = match (judged, beaten) {
            (Some(judged), _) => match judged.hold() {
                Some(reason) => reason.to_string(),
                None => judged.diagnosis.trigger.seen.clone(),
            },
            (None, Some(_)) => "it fires, and another cause goes before it".to_owned(),
            (None, None) => silent.map_or_else(|| "it did not fire".to_owned(), |n| n.reason.clone()),
        };
        let word = stand(judged, beaten.is_some()).word();
        table.add_row(vec![rule.name.clone(), word.to_owned(), clean(&why)]);
    }
    Some(format!("{}\n(`healer diagnose RULE` shows every condition of one)", out.rendered(&table)))
}

/// One rule in full.
pub fn text(rule: &Rule, explained: &Explained, report: &Report, out: &Output) -> String {
    let judged = judged_of(report, &rule.name);
    let mut table = out.table(&["met", "condition", "asked", "seen"]);
    for signal in &explained.signals {
        // Of the trigger in full: for how many passes too.
        let asked = if signal.role == SignalRole::Trigger { when(&rule.when) } else { signal.asked.clone() };
        table.add_row(vec![mark(signal).to_owned(), name(signal), clean(&asked), clean(&signal.seen)]);
    }
    for c in &explained.conditions {
        let mark = if c.met { "yes" } else { "NO" };
        table.add_row(vec![mark.to_owned(), c.name.to_owned(), c.asked.clone(), clean(&c.seen)]);
    }
    let head = out.bold(&clean(&sentence(rule, explained, judged)));
    let judged = judged.map(|judged| format!("\n{}", diagnosis::judged(judged, out)));
    let parts = [Some(out.wrapped(&head, 2)), Some(String::new()), Some(out.rendered(&table)), judged];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn sentence(rule: &Rule, explained: &Explained, judged: Option<&Judged>) -> String {
    let name = &rule.name;
    let Some(diagnosis) = &explained.diagnosis else { return format!("rule {name} does not fire now") };
    let component = &diagnosis.trigger.component;
    match stand(judged, explained.beaten_by.is_some()) {
        Stand::Acts => format!("rule {name} fires on {component}, and a pass would act"),
        Stand::Held => format!("rule {name} fires on {component}, and is held"),
        Stand::Beaten | Stand::Silent => {
            let by = explained.beaten_by.as_deref().unwrap_or("another cause");
            format!("rule {name} fires on {component}, and {by} goes before it")
        }
    }
}

/// Evidence is never missing: it weighs, or it does not.
fn mark(signal: &Signal) -> &'static str {
    match (signal.role, signal.held) {
        (_, true) => "yes",
        (SignalRole::Evidence, false) => "-",
        (_, false) => "NO",
    }
}

fn name(signal: &Signal) -> String {
    match (signal.role, signal.weight) {
        (SignalRole::Trigger, _) => "trigger".to_owned(),
        (SignalRole::Required, _) => "require".to_owned(),
        (SignalRole::Evidence, weight) => {
            let weight = weight.unwrap_or_default();
            format!("evidence {}{}", if weight < 0.0 { "-" } else { "+" }, number(weight.abs()))
        }
    }
}

/// For programs.
pub fn json(rule: &Rule, explained: &Explained, report: &Report) -> Value {
    let judged = judged_of(report, &rule.name);
    let of = |c: &Condition| json!({ "name": c.name, "asked": c.asked, "seen": c.seen, "met": c.met });
    json!({
        "name": rule.name,
        "mode": rule.mode.map(mode_word),
        "when": when(&rule.when),
        "require": rule.require.iter().map(signals::asked).collect::<Vec<_>>(),
        "fires": explained.diagnosis.is_some(),
        "now": stand(judged, explained.beaten_by.is_some()).word(),
        "component": explained.diagnosis.as_ref().map(|d| &d.trigger.component),
        "beaten_by": explained.beaten_by,
        "signals": explained.signals,
        "conditions": explained.conditions.iter().map(of).collect::<Vec<_>>(),
    })
}
