//! What a pass leaves for Prometheus, in the text format that node_exporter's textfile collector reads. The names are
//! documented in healer.toml(5) and stay.

use crate::breaker::Tripped;
use crate::model::{CheckResult, Incident};
use crate::state::Totals;
use jiff::Timestamp;
use std::fmt::{Display, Write};
use std::time::Duration;

/// What is told of a pass.
pub struct Exported<'a> {
    pub ended: Timestamp,
    pub duration: Duration,
    pub exit_code: u8,
    pub checks: &'a [CheckResult],
    pub incidents: &'a [Incident],
    /// What went wrong with healer itself in this pass.
    pub problems: u64,
    /// Circuit breakers that are not closed.
    pub circuits: &'a [Tripped],
    pub totals: &'a Totals,
}

/// One sample: its labels and its value.
type Sample<'a> = (Vec<(&'static str, &'a str)>, f64);

/// The whole file.
pub fn text(of: &Exported) -> String {
    let mut text = String::new();
    let one = |value: f64| vec![(Vec::new(), value)];
    let ended = of.ended.as_millisecond() as f64 / 1000.0;
    text.push_str(&info());
    family(
        &mut text,
        "healer_last_pass_timestamp_seconds",
        "gauge",
        "When the last pass ended, in Unix time.",
        one(ended),
    );
    family(
        &mut text,
        "healer_last_pass_duration_seconds",
        "gauge",
        "How long the last pass took.",
        one(of.duration.as_secs_f64()),
    );
    family(&mut text, "healer_last_pass_exit_code", "gauge", "Exit code of the last pass.", one(of.exit_code.into()));
    family(
        &mut text,
        "healer_last_pass_problems",
        "gauge",
        "What went wrong with healer itself in the last pass.",
        one(of.problems as f64),
    );
    let status = of.checks.iter().map(|c| (labels_of(c), c.status.plugin_code().into()));
    family(&mut text, "healer_check_status", "gauge", "0 healthy, 1 warning, 2 critical, 3 unknown.", status.collect());
    let took = of.checks.iter().map(|c| (labels_of(c), c.duration_ms / 1000.0));
    family(&mut text, "healer_check_duration_seconds", "gauge", "How long the check took.", took.collect());
    let latency = of.checks.iter().filter_map(|c| Some((labels_of(c), latency_ms(c)? / 1000.0)));
    family(
        &mut text,
        "healer_check_latency_seconds",
        "gauge",
        "How long what the check asks took to answer.",
        latency.collect(),
    );
    family(&mut text, "healer_incidents_open", "gauge", "Open incidents.", one(of.incidents.len() as f64));
    let incidents = of.incidents.iter().map(|i| {
        let labels = vec![
            ("incident", i.id.as_str()),
            ("issue_type", i.issue_type.as_str()),
            ("component", i.component.as_str()),
            ("severity", i.severity.word()),
        ];
        (labels, 1.0)
    });
    family(&mut text, "healer_incident", "gauge", "Always 1; an open incident.", incidents.collect());
    let circuits = of.circuits.iter().map(|c| {
        let value = if c.left.is_zero() { 0.5 } else { 1.0 };
        (vec![("rule", c.rule.as_str()), ("target", c.target.as_str())], value)
    });
    family(
        &mut text,
        "healer_circuit_open",
        "gauge",
        "1 while no fix of this rule touches this target any more, 0.5 while one may be tried.",
        circuits.collect(),
    );
    family(&mut text, "healer_passes_total", "counter", "Passes that were completed.", one(of.totals.passes as f64));
    let fixes = of.totals.fixes.iter().flat_map(|(fix_type, ends)| {
        ends.iter()
            .map(move |(outcome, n)| (vec![("fix_type", fix_type.as_str()), ("outcome", outcome.as_str())], *n as f64))
    });
    family(&mut text, "healer_fixes_total", "counter", "Fixes that ended, by how they ended.", fixes.collect());
    let errors = of.totals.errors.iter().map(|(signature, n)| (vec![("signature", signature.as_str())], *n as f64));
    family(
        &mut text,
        "healer_errors_total",
        "counter",
        "Error events read from the logs, by signature.",
        errors.collect(),
    );
    text
}

/// What can be said before any pass.
pub fn info() -> String {
    let mut text = String::new();
    let version = vec![(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)];
    family(&mut text, "healer_info", "gauge", "Always 1; the version of healer.", version);
    text
}

/// Of checks that ask something of somebody.
fn latency_ms(check: &CheckResult) -> Option<f64> {
    ["latency_ms", "response_time_ms"].iter().find_map(|name| check.metric(name))
}

fn labels_of(check: &CheckResult) -> Vec<(&'static str, &str)> {
    vec![("check", &check.name), ("kind", check.kind.word())]
}

/// One metric family; without a sample there is none.
fn family(text: &mut String, name: &str, kind: &str, help: &str, samples: Vec<Sample>) {
    if samples.is_empty() {
        return;
    }
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let labels: Vec<String> = labels.iter().map(|(label, of)| format!("{label}=\"{}\"", Escaped(of))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
