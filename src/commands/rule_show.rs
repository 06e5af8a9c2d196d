//! `healer rules show`: one rule as it is understood, its past, and what it would do now. Read-only.

use crate::commands::known_rule;
use crate::commands::rules::Past;
use crate::config::Engine;
use crate::host::clock;
use crate::pass;
use crate::show::rule_show::{self, Now, Shown};
use crate::show::{Output, json};
use anyhow::{Result, anyhow};

/// Fixes that are shown.
const FEW: usize = 5;

pub fn run(engine: &Engine, name: &str, out: &Output) -> Result<u8> {
    let name = known_rule(engine, name)?;
    let rule = engine.rule(name).ok_or_else(|| anyhow!("rule `{name}` is gone"))?;
    let past = Past::load(engine)?;
    let report = pass::look_once(engine, pass::RECENT)?;
    let own = |n: &Option<String>| n.as_deref() == Some(name);
    let now = match report.judged.iter().find(|j| own(&j.diagnosis.rule)) {
        Some(judged) => Now::Judged(judged),
        None => match report.analysis.competing.iter().find(|d| own(&d.rule)) {
            Some(beaten) => Now::Beaten(beaten),
            None => {
                let reason = report.analysis.not_fired.iter().find(|n| n.rule == name);
                Now::Silent(reason.map_or("it did not fire", |n| n.reason.as_str()))
            }
        },
    };
    let shown = Shown { row: past.of(engine, rule), fixes: past.fixes(rule).take(FEW).collect(), now };
    out.document(|| json::success(rule_show::json(&shown)));
    out.text(&rule_show::text(&shown, clock::now(), out));
    report.problems.iter().for_each(|p| out.note(&format!("healer: {p}")));
    Ok(0)
}
