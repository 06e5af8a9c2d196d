//! Results of the tests of rules and signatures, for people and for programs.

use crate::rehearsal::Difference;
use crate::show::{Output, count};
use crate::text::clean;
use serde_json::{Value, json};
use std::time::Duration;

/// The tests of one rule or signature; none: it is untested, and that is said.
pub struct Suite {
    /// `rule` or `signature`.
    pub kind: &'static str,
    pub name: String,
    pub cases: Vec<Case>,
}

/// One test that was run; it passed when nothing differs.
pub struct Case {
    pub name: String,
    pub differences: Vec<Difference>,
    pub took: Duration,
}

impl Suite {
    pub(super) fn failed(&self) -> usize {
        self.cases.iter().filter(|c| !c.differences.is_empty()).count()
    }
}

/// `expected` and `got`, one below the other.
pub(super) fn difference_lines(difference: &Difference) -> [String; 2] {
    let Difference { what, expected, got } = difference;
    [format!("expected {what}: {}", clean(expected)), format!("got      {what}: {}", clean(got))]
}

/// What failed with its differences; what passed only by name.
pub fn text(suites: &[Suite], out: &Output) -> String {
    let mut lines = Vec::new();
    for suite in suites {
        if suite.cases.is_empty() {
            lines.push(format!("{} {}: no test", suite.kind, suite.name));
            continue;
        }
        if out.quiet && suite.failed() == 0 {
            continue;
        }
        lines.push(out.bold(&format!("{} {}", suite.kind, suite.name)));
        for case in suite.cases.iter().filter(|c| !(out.quiet && c.differences.is_empty())) {
            let verdict = if case.differences.is_empty() { "ok    " } else { "FAILED" };
            lines.push(format!("  {verdict} {}", clean(&case.name)));
            let found = case.differences.iter().flat_map(difference_lines);
            lines.extend(found.map(|line| format!("           {line}")));
        }
    }
    lines.push(summary(suites));
    lines.join("\n")
}

fn summary(suites: &[Suite]) -> String {
    let (all, failed) =
        (suites.iter().map(|s| s.cases.len()).sum::<usize>(), suites.iter().map(Suite::failed).sum::<usize>());
    let untested = suites.iter().filter(|s| s.cases.is_empty()).count();
    let untested = if untested > 0 { format!(", without a test: {untested}") } else { String::new() };
    format!("{} passed, {failed} failed{untested}", count((all - failed) as u64, "test"))
}

/// The same for programs.
pub fn json(suites: &[Suite]) -> Value {
    let case = |suite: &Suite, case: &Case| {
        let differences =
            case.differences.iter().map(|d| json!({ "what": d.what, "expected": d.expected, "got": d.got }));
        json!({
            "kind": suite.kind,
            "of": suite.name,
            "name": case.name,
            "passed": case.differences.is_empty(),
            "differences": differences.collect::<Vec<_>>(),
        })
    };
    let tests: Vec<Value> = suites.iter().flat_map(|s| s.cases.iter().map(move |c| case(s, c))).collect();
    let failed: usize = suites.iter().map(Suite::failed).sum();
    json!({
        "passed": tests.len() - failed,
        "failed": failed,
        "untested": suites.iter().filter(|s| s.cases.is_empty()).map(|s| json!({ "kind": s.kind, "name": s.name })).collect::<Vec<_>>(),
        "tests": tests,
    })
}
