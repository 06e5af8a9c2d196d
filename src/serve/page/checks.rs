//! Every check and container, failing first, by compose project.

use super::format::{self, Mark};
use super::html::Html;
use super::{View, svg};
use crate::model::Status;
use jiff::Timestamp;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;

const ELSEWHERE: &str = "Host and services";
const LOOSE: &str = "Containers";

/// One line of the table.
struct Row<'a> {
    name: &'a str,
    kind: &'a str,
    status: Status,
    message: &'a str,
    value: String,
    strip: Vec<Option<Status>>,
}

/// The section.
pub fn section(h: &mut Html, view: &View) {
    h.tag("section", &[("id", "checks"), ("aria-labelledby", "checks-h")], |h| {
        let groups = groups(view);
        let rows = || groups.iter().flat_map(|(_, rows)| rows);
        h.tag("h2", &[("id", "checks-h")], |h| {
            h.text("Checks ");
            let fine = rows().filter(|row| row.status == Status::Healthy).count();
            h.el("span", &[("class", "count")], &format!("{fine} of {} healthy", rows().count()));
        });
        if groups.is_empty() {
            let why =
                if view.last_pass.is_some() { "No check is set up." } else { "No pass has looked at anything yet." };
            return h.el("p", &[("class", "meta")], why);
        }
        h.tag("table", &[("class", "checks")], |h| {
            h.tag("thead", &[], |h| {
                h.tag("tr", &[], |h| {
                    for label in ["Status", "Name", "Last value", "What it said", "24 hours"] {
                        h.el("th", &[("scope", "col")], label);
                    }
                });
            });
            groups.iter().for_each(|(name, rows)| group(h, name, rows));
        });
        h.el("p", &[("class", "none meta")], "Nothing here matches the filter.");
    });
}

fn group(h: &mut Html, name: &str, rows: &[Row]) {
    h.tag("tbody", &[], |h| {
        h.tag("tr", &[("class", "group")], |h| {
            h.el("th", &[("scope", "rowgroup"), ("colspan", "5")], name);
        });
        for row in rows {
            let mark = Mark::of(row.status);
            h.tag("tr", &[("class", if mark.is_fine() { "find fine" } else { "find" })], |h| {
                h.tag("td", &[("class", "c-status")], |h| mark.say(h, row.status.word()));
                h.tag("th", &[("scope", "row"), ("class", "c-name")], |h| {
                    h.text(row.name);
                    h.text(" ");
                    h.el("span", &[("class", "meta")], row.kind);
                });
                h.el("td", &[("class", "c-value num")], &row.value);
                h.el("td", &[("class", "c-said")], row.message);
                h.tag("td", &[("class", "c-strip")], |h| svg::strip(h, &row.strip));
            });
        }
    });
}

/// Rows by group: the group with the worst row first, and in each the worst row.
fn groups<'a>(view: &View<'a>) -> Vec<(&'a str, Vec<Row<'a>>)> {
    let mut groups: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    let checks = view.last_pass.and_then(|pass| pass.pointer("/health/checks")?.as_object());
    for (name, check) in checks.into_iter().flatten() {
        groups.entry(ELSEWHERE).or_default().push(of_check(view, name, check));
        for container in format::list(check, "containers") {
            let project = container["compose_project"].as_str().unwrap_or(LOOSE);
            groups.entry(project).or_default().push(of_container(view, name, container));
        }
    }
    let mut groups: Vec<(&str, Vec<Row>)> = groups.into_iter().collect();
    for (_, rows) in &mut groups {
        rows.sort_by_key(|row| (Reverse(row.status), row.name));
    }
    groups.sort_by_key(|(name, rows)| (Reverse(rows.iter().map(|row| row.status).max()), *name != ELSEWHERE, *name));
    groups
}

fn of_check<'a>(view: &View, name: &'a str, check: &'a Value) -> Row<'a> {
    let (from, to) = day(view.now);
    Row {
        name,
        kind: format::text(check, "kind"),
        status: format::status(&check["status"]),
        message: format::text(check, "message"),
        value: value_of(check),
        strip: view.samples.strip(name, from, to, svg::PARTS),
    }
}

fn of_container<'a>(view: &View, check: &str, container: &'a Value) -> Row<'a> {
    let (from, to) = day(view.now);
    let name = format::text(container, "name");
    let cpu = container["cpu_percent"].as_f64().map(|cpu| format!("{} % cpu", format::number(cpu)));
    let memory = container["memory_bytes"].as_f64().map(|bytes| format::figure(bytes, "bytes"));
    Row {
        name,
        kind: "container",
        status: format::status(&container["status"]),
        message: format::text(container, "message"),
        value: [cpu, memory].into_iter().flatten().collect::<Vec<_>>().join(", "),
        strip: view.samples.strip_of_container((check, name), from, to, svg::PARTS),
    }
}

/// The day that ends with the half hour of `now`, so that nothing moves from one look to the next.
pub fn day(now: Timestamp) -> (Timestamp, Timestamp) {
    let end = (now.as_second().div_euclid(1_800) + 1) * 1_800;
    let at = |second| Timestamp::from_second(second).unwrap_or(now);
    (at(end - 86_400), at(end))
}

/// The figure that says most: how long an answer took, else the host's percentages, else the first metric.
fn value_of(check: &Value) -> String {
    let metric = |name: &str| format::list(check, "metrics").find(|m| m["name"] == name);
    let shown = |m: &Value| Some(format::figure(m["value"].as_f64()?, format::text(m, "unit")));
    let latency = ["latency_ms", "response_time_ms", "connect_ms", "ping_ms"].into_iter().find_map(metric);
    if let Some(latency) = latency.and_then(shown) {
        return latency;
    }
    let host = [("cpu_percent", "cpu"), ("memory_percent", "mem"), ("disk_percent", "disk")].into_iter();
    let host: Vec<String> =
        host.filter_map(|(name, short)| Some(format!("{short} {}", shown(metric(name)?)?))).collect();
    if !host.is_empty() {
        return host.join(", ");
    }
    if let Some(running) = metric("containers_running").and_then(shown) {
        let of = metric("containers_total").and_then(shown).map(|all| format!(" of {all}")).unwrap_or_default();
        return format!("{running}{of} running");
    }
    let first = format::list(check, "metrics").next();
    first.and_then(|m| Some(format!("{} {}", format::text(m, "name"), shown(m)?))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_value_of_a_check_is_the_one_that_says_most() {
        let check = |metrics: Value, expected: &str| {
            assert_eq!(value_of(&json!({ "metrics": metrics })), expected);
        };
        let metric = |name: &str, value: f64, unit: &str| json!({ "name": name, "value": value, "unit": unit });
        check(json!([metric("connections", 3.0, "count"), metric("latency_ms", 15.0, "milliseconds")]), "15 ms");
        let host = json!([metric("cpu_percent", 12.5, "percent"), metric("disk_percent", 61.0, "percent")]);
        check(host, "cpu 12.5 %, disk 61 %");
        check(
            json!([metric("containers_running", 5.0, "count"), metric("containers_total", 6.0, "count")]),
            "5 of 6 running",
        );
        check(json!([metric("queue", 7.0, "count")]), "queue 7");
        check(json!([]), "");
        check(json!("nonsense"), "");
    }
}
