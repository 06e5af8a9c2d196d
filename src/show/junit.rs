//! Test results as JUnit XML, the form that CI systems read.

use crate::show::rule_tests::{Case, Suite, difference_lines};
use std::fmt::Write;

/// One test suite per rule or signature. An untested one is a skipped test.
pub fn xml(suites: &[Suite]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let tests: usize = suites.iter().map(|s| s.cases.len().max(1)).sum();
    let failures: usize = suites.iter().map(Suite::failed).sum();
    let _ = writeln!(
        text,
        "<testsuites name=\"healer rules test\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">"
    );
    for suite in suites {
        let name = escaped(&format!("{} {}", suite.kind, suite.name));
        let skipped = usize::from(suite.cases.is_empty());
        let took: f64 = suite.cases.iter().map(|c| c.took.as_secs_f64()).sum();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{skipped}\" time=\"{took:.3}\">",
            suite.cases.len().max(1),
            suite.failed(),
        );
        if suite.cases.is_empty() {
            let _ = writeln!(
                text,
                "    <testcase classname=\"{name}\" name=\"(no test)\" time=\"0\"><skipped message=\"no test\"/></testcase>"
            );
        }
        suite.cases.iter().for_each(|case| add_case(&mut text, &name, case));
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn add_case(text: &mut String, class: &str, case: &Case) {
    let head = format!(
        "    <testcase classname=\"{class}\" name=\"{}\" time=\"{:.3}\"",
        escaped(&case.name),
        case.took.as_secs_f64()
    );
    let Some(first) = case.differences.first() else {
        let _ = writeln!(text, "{head}/>");
        return;
    };
    let message = escaped(&format!("{}: expected {}, got {}", first.what, first.expected, first.got));
    let all: Vec<String> = case.differences.iter().flat_map(difference_lines).collect();
    let _ = writeln!(
        text,
        "{head}>\n      <failure type=\"difference\" message=\"{message}\">{}</failure>\n    </testcase>",
        escaped(&all.join("\n"))
    );
}

/// As text or attribute of XML 1.0, which has no place for control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
