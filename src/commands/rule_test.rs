//! `healer rules test`: runs the tests of rules and signatures; nothing of the host is looked at.

use crate::commands::{Usage, unknown};
use crate::config::{Engine, Rule, Signature, SignatureOrigin};
use crate::host::{clock, files};
use crate::rehearsal;
use crate::show::rule_tests::{self, Case, Suite};
use crate::show::{Output, json, junit};
use anyhow::{Context, Result, anyhow};
use std::path::Path;
use std::time::Duration;

pub fn run(engine: &Engine, name: Option<&str>, junit: Option<&Path>, out: &Output) -> Result<u8> {
    let suites = suites(engine, name)?;
    out.document(|| json::success(rule_tests::json(&suites)));
    out.text(&rule_tests::text(&suites, out));
    if let Some(file) = junit {
        let text = junit::xml(&suites);
        let written = files::write_unsynced(file, out.redactor.redact(&text).as_bytes(), 0o644);
        written.with_context(|| format!("cannot write the results to {}", file.display()))?;
    }
    let failed = suites.iter().flat_map(|s| &s.cases).any(|case| !case.differences.is_empty());
    Ok(if failed { 10 } else { 0 })
}

/// The tests of every rule and of the operator's signatures, or of the one that was named.
fn suites(engine: &Engine, name: Option<&str>) -> Result<Vec<Suite>> {
    let is = |n: &str| name.is_none_or(|wanted| wanted == n);
    let rules = engine.rules.iter().filter(|rule| is(&rule.name)).map(|rule| of_rule(engine, rule));
    let wanted = |s: &&Signature| match name {
        Some(name) => s.name == name && s.origin != SignatureOrigin::Rule,
        None => s.origin == SignatureOrigin::Operator,
    };
    let signatures = engine.signatures.iter().filter(wanted).map(|signature| of_signature(engine, signature));
    let suites: Vec<Suite> = rules.chain(signatures).collect();
    match name.filter(|_| suites.is_empty()) {
        None => Ok(suites),
        Some(name) => {
            let visible = engine.signatures.iter().filter(|s| s.origin == SignatureOrigin::Operator);
            let known = engine.rules.iter().map(|r| r.name.as_str()).chain(visible.map(|s| s.name.as_str()));
            Err(anyhow!(Usage(unknown("rule or signature", name, known))))
        }
    }
}

fn of_rule(engine: &Engine, rule: &Rule) -> Suite {
    let case = |test: &crate::config::RuleTest| {
        let (differences, took) = timed(|| rehearsal::of_rule(engine, rule, test, clock::now()));
        Case { name: test.name.clone(), differences, took }
    };
    Suite { kind: "rule", name: rule.name.clone(), cases: rule.tests.iter().map(case).collect() }
}

fn of_signature(engine: &Engine, signature: &Signature) -> Suite {
    let (found, took) = timed(|| rehearsal::of_signature(engine, signature, clock::now()));
    let each = took / u32::try_from(found.len()).unwrap_or(1).max(1);
    let case = |(name, wrong): (String, Option<rehearsal::Difference>)| Case {
        name,
        differences: wrong.into_iter().collect(),
        took: each,
    };
    Suite { kind: "signature", name: signature.name.clone(), cases: found.into_iter().map(case).collect() }
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let begin = clock::since_boot();
    let result = run();
    (result, clock::since_boot().saturating_sub(begin))
}
