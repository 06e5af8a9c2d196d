//! Health as a table and as the first line of a monitoring plugin.

use crate::model::{CheckResult, Container, Metric, Status, Unit};
use crate::show::Output;
use crate::state;
use crate::text::clean;

/// Where there is no check at all.
const NOTHING_CHECKED: &str = "nothing is checked: write a check into [checks] of the configuration, or `healer init` \
                               proposes one";

/// `HEALER CRITICAL - api: connection refused; 4 of 5 healthy | failing=1;0;0;0;5 api_ms=12;5000`, the format of the
/// [monitoring plugins' guidelines](https://www.monitoring-plugins.org/doc/guidelines.html).
pub fn plugin_line(checks: &[CheckResult]) -> String {
    if checks.is_empty() {
        return format!("HEALER UNKNOWN - {NOTHING_CHECKED}");
    }
    let status = state::overall(checks);
    let word = if status == Status::Healthy { "OK".to_owned() } else { status.word().to_uppercase() };
    let failing: Vec<&CheckResult> = checks.iter().filter(|c| c.status != Status::Healthy).collect();
    let mut worst = failing.clone();
    worst.sort_by_key(|c| std::cmp::Reverse(c.status));
    let told: Vec<String> = worst.iter().take(3).map(|c| format!("{}: {}", c.name, plain(&c.message))).collect();
    let more = if worst.len() > 3 { format!("; {} more", worst.len() - 3) } else { String::new() };
    let told = if told.is_empty() { String::new() } else { format!("{}{more}; ", told.join("; ")) };
    let healthy = checks.len() - failing.len();
    let perfdata: Vec<String> = checks.iter().flat_map(perfdata).collect();
    format!(
        "HEALER {word} - {told}{healthy} of {} healthy | failing={};0;0;0;{}{}{}",
        checks.len(),
        failing.len(),
        checks.len(),
        if perfdata.is_empty() { "" } else { " " },
        perfdata.join(" ")
    )
}

/// A `|` would begin the performance data, in the lines after the first one too.
pub fn plain(message: &str) -> String {
    message.replace('|', "/")
}

/// One `label=value;warning;critical` per metric. A time is named after its check alone (`api_ms`).
fn perfdata(check: &CheckResult) -> Vec<String> {
    let of = |metric: &Metric| {
        let label = match metric.name.as_str() {
            "latency_ms" | "response_time_ms" => format!("{}_ms", check.name),
            name => format!("{}_{name}", check.name),
        };
        let suffix = if metric.unit == Unit::Milliseconds { "" } else { metric.unit.suffix() };
        let text = format!(
            "{}={}{suffix};{};{}",
            quoted(&label),
            number(metric.value),
            range(metric.warning_below, metric.warning),
            range(metric.critical_below, metric.critical)
        );
        text.trim_end_matches(';').to_owned()
    };
    check.metrics.iter().map(of).collect()
}

/// What is not alerted on, as the guidelines write it: `80` up to a level, `10:` from one on, `10:80` between two.
fn range(low: Option<f64>, high: Option<f64>) -> String {
    let high = high.map(number).unwrap_or_default();
    low.map_or_else(|| high.clone(), |low| format!("{}:{high}", number(low)))
}

/// Labels are keys of Redis, mount points, what plugins call them: fit to be shown, and quoted where it must be.
fn quoted(label: &str) -> String {
    let label = clean(label);
    let bare = label.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:".contains(&b));
    if bare { label } else { format!("'{}'", label.replace(['\'', '=', '|'], "_")) }
}

/// At most two decimals, none that say nothing.
pub fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Every check, and every container that is not healthy (all with `-v`).
pub fn table(checks: &[CheckResult], out: &Output) -> String {
    let mut table = out.table(&["check", "kind", "status", "time", "message"]);
    for check in checks.iter().filter(|c| !out.quiet || c.status != Status::Healthy) {
        table.add_row(vec![
            check.name.clone(),
            check.kind.word().to_owned(),
            check.status.word().to_owned(),
            format!("{:>5} ms", check.duration_ms.round()),
            check.message.clone(),
        ]);
        for container in shown_containers(check, out) {
            table.add_row(vec![
                format!("  {}", container.name),
                "container".to_owned(),
                container.status.word().to_owned(),
                String::new(),
                container_text(container),
            ]);
        }
    }
    out.rendered(&table)
}

fn shown_containers<'a>(check: &'a CheckResult, out: &Output) -> impl Iterator<Item = &'a Container> {
    let all = out.verbose;
    check.containers.iter().filter(move |c| all || c.status != Status::Healthy)
}

fn container_text(container: &Container) -> String {
    let mut text = container.message.clone();
    if let Some(cpu) = container.cpu_percent {
        text.push_str(&format!(", CPU {} %", number(cpu)));
    }
    if let Some(memory) = container.memory_percent {
        text.push_str(&format!(", memory {} %", number(memory)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckKind;

    fn api(status: Status, message: &str) -> CheckResult {
        CheckResult {
            name: "api".into(),
            kind: CheckKind::Http,
            status,
            message: message.into(),
            connected: Some(true),
            metrics: vec![Metric {
                warning: Some(5000.0),
                ..Metric::new("response_time_ms", 12.345, Unit::Milliseconds)
            }],
            duration_ms: 12.0,
            containers: Vec::new(),
            depends_on: Vec::new(),
        }
    }

    #[test]
    fn labels_cannot_end_their_place_or_reach_the_terminal() {
        let check = |label: &str, expected: &str| assert_eq!(quoted(label), expected);
        check("api_ms", "api_ms");
        check("disk_percent:/srv", "disk_percent:/srv");
        check("queue_a b", "'queue_a b'");
        check("it's=1", "'it_s_1'");
        check("a\u{1b}[31m\nb", "'a\\u{1b}[31m b'");
        check("a|b", "'a_b'");
    }

    #[test]
    fn levels_below_which_it_is_bad_are_ranges() {
        let check = |warning: (Option<f64>, Option<f64>), critical: (Option<f64>, Option<f64>), expected: &str| {
            let metric = Metric {
                warning_below: warning.0,
                warning: warning.1,
                critical_below: critical.0,
                critical: critical.1,
                ..Metric::new("rows", 7.0, Unit::Count)
            };
            let result = CheckResult { metrics: vec![metric], ..api(Status::Healthy, "") };
            assert_eq!(perfdata(&result), [expected]);
        };
        check((None, None), (None, None), "api_rows=7");
        check((None, Some(80.0)), (None, Some(90.0)), "api_rows=7;80;90");
        check((Some(10.0), None), (None, None), "api_rows=7;10:");
        check((Some(10.0), None), (Some(5.5), None), "api_rows=7;10:;5.5:");
        check((Some(10.0), Some(80.0)), (None, Some(90.0)), "api_rows=7;10:80;90");
        check((None, None), (Some(5.0), None), "api_rows=7;;5:");
    }

    #[test]
    fn the_first_line_fits_a_monitoring_plugin() {
        let check = |checks: &[CheckResult], expected: &str| assert_eq!(plugin_line(checks), expected);
        check(
            &[],
            "HEALER UNKNOWN - nothing is checked: write a check into [checks] of the configuration, or `healer init` \
             proposes one",
        );
        check(&[api(Status::Healthy, "HTTP 200")], "HEALER OK - 1 of 1 healthy | failing=0;0;0;0;1 api_ms=12.35;5000");
        check(
            &[api(Status::Critical, "refused | really")],
            "HEALER CRITICAL - api: refused / really; 0 of 1 healthy | failing=1;0;0;0;1 api_ms=12.35;5000",
        );
    }
}
