//! `healer diagnose`: what is wrong and why, read-only. The same stages as a pass, up to the gate.

use crate::attempts::Attempts;
use crate::commands::{Usage, duration, known_rule};
use crate::config::{Engine, Rule};
use crate::diagnose::streaks::Streaks;
use crate::diagnose::{self, Observed};
use crate::host::clock;
use crate::learn::Knowledge;
use crate::logs;
use crate::model::LogReport;
use crate::pass::{self, Judged, Report};
use crate::show::live::analysis_text;
use crate::show::{self, Output, diagnosis, explained, json};
use anyhow::{Result, anyhow};
use jiff::Timestamp;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

pub fn run(engine: &Engine, since: &str, files: &[PathBuf], rule: Option<&str>, out: &Output) -> Result<u8> {
    let span = duration(since, "--since")?;
    let rule = rule.map(|name| known_rule(engine, name)).transpose()?;
    match (files.is_empty(), rule) {
        (true, _) => {}
        (false, None) => return analyse(engine, files, out),
        (false, Some(rule)) => {
            let why = format!("--log: a rule looks at the logs that it names, so `{rule}` cannot be asked about files");
            return Err(anyhow!(Usage(why)));
        }
    }
    let rule = rule.and_then(|name| engine.rule(name));
    let report = match rule {
        Some(rule) => one_rule(engine, span, rule, out)?,
        None => all_rules(engine, span, out)?,
    };
    report.problems.iter().for_each(|p| out.note(&format!("healer: {p}")));
    Ok(0)
}

/// What is wrong, and every rule in short.
fn all_rules(engine: &Engine, span: Duration, out: &Output) -> Result<Report> {
    let report = pass::look_once(engine, span)?;
    out.document(|| document(&report, None));
    if !out.json {
        analysis_text(&report, out);
        // With -v those that did not fire have been told.
        let rules = explained::summary(&engine.rules, &report, out).filter(|_| !out.verbose && !out.quiet);
        rules.iter().for_each(|text| out.text(&format!("\n{text}")));
    }
    Ok(report)
}

/// Why one rule does what it does now.
fn one_rule(engine: &Engine, span: Duration, rule: &Rule, out: &Output) -> Result<Report> {
    let (mut report, explained) = pass::look_closely(engine, span, rule)?;
    only(&mut report, &rule.name);
    out.document(|| document(&report, Some(explained::json(rule, &explained, &report))));
    out.text(&explained::text(rule, &explained, &report, out));
    diagnosis::log_notes(&report.logs).iter().for_each(|note| out.prose(note, 2));
    Ok(report)
}

/// The document of a pass, with what was asked of one rule.
fn document(report: &Report, rule: Option<Value>) -> Value {
    let mut body = json::pass(report);
    if let Value::Object(body) = &mut body {
        body.insert("rule".into(), rule.unwrap_or_default());
    }
    json::success(body)
}

/// Keeps what concerns one rule. Where another cause goes before it, what would be done about that is not shown.
fn only(report: &mut Report, rule: &str) {
    let analysis = &mut report.analysis;
    analysis.diagnoses.retain(|d| d.rule.as_deref() == Some(rule));
    analysis.competing.retain(|d| d.rule.as_deref() == Some(rule));
    analysis.not_fired.retain(|n| n.rule == rule);
    report.judged.retain(|j| j.diagnosis.rule.as_deref() == Some(rule));
}

/// `--log`: the same path over given files, whole and whatever the age of their lines, without cursors.
fn analyse(engine: &Engine, files: &[PathBuf], out: &Output) -> Result<u8> {
    if let Some(missing) = files.iter().find(|f| !f.exists()) {
        return Err(anyhow!(Usage(format!("--log {}: there is no such file", missing.display()))));
    }
    let begin = clock::since_boot();
    let report: LogReport = logs::analyse_files(engine, files, clock::now());
    let took = clock::since_boot().saturating_sub(begin);
    let causes = causes(engine, &report);
    if out.json {
        out.document(|| json::success(json::files(report, &causes)));
        return Ok(0);
    }
    out.text(&summary(&report, took));
    if let Some(groups) = diagnosis::groups(&report, out) {
        out.text("");
        out.text(&groups);
    }
    diagnosis::log_notes(&report).iter().for_each(|n| out.text(n));
    for cause in &causes {
        out.text("");
        out.text(&diagnosis::judged(cause, out));
    }
    Ok(0)
}

/// What lies behind the errors of files alone: no check was run and no history counts.
fn causes(engine: &Engine, report: &LogReport) -> Vec<Judged> {
    let (streaks, now) = (Streaks::default(), clock::moment());
    let seen = Observed { checks: &[], logs: report, streaks: &streaks, since: Timestamp::MIN, now: &now };
    let analysis = diagnose::diagnose(engine, &seen, &Knowledge::default(), &Attempts::default());
    let judged = |diagnosis| Judged { diagnosis, decision: None, files: Vec::new() };
    analysis.diagnoses.into_iter().filter(|d| d.rule.is_none()).map(judged).collect()
}

fn summary(report: &LogReport, took: Duration) -> String {
    let by_signature: Vec<String> = report.by_signature.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let by_signature = if by_signature.is_empty() { String::new() } else { format!(": {}", by_signature.join(", ")) };
    format!(
        "{} in {} bytes, {} ms{by_signature}",
        show::count(report.events, "error event"),
        report.bytes,
        took.as_millis()
    )
}
