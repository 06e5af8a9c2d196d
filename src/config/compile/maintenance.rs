//! `[[maintenance]]`: the times of the week in which nothing is changed. May not live here: what time it is.

use super::context::Cx;
use crate::config::at::{At, Span, Table};
use crate::config::raw::*;
use crate::config::{MaintenanceWindow, Rule};
use jiff::civil::Time;

/// The windows as written.
pub fn windows(cx: Cx<'_>, raw: Vec<Table<RawMaintenance>>, rules: &[Rule]) -> Vec<MaintenanceWindow> {
    raw.into_iter().filter_map(|table| window(cx, table, rules)).collect()
}

fn window(cx: Cx<'_>, Table { value: raw, span }: Table<RawMaintenance>, rules: &[Rule]) -> Option<MaintenanceWindow> {
    let name = cx.required(&span, "name", raw.name);
    let from = time(cx, &span, "from", raw.from);
    let to = time(cx, &span, "to", raw.to);
    let names: Vec<&str> = rules.iter().map(|r| r.name.as_str()).collect();
    let mut only = Vec::new();
    for rule in raw.rules.into_iter().flat_map(|r| r.value) {
        if names.contains(&rule.value.as_str()) {
            only.push(rule.value);
        } else {
            cx.unknown(&rule, "rule", &names);
        }
    }
    let days = raw.days.into_iter().flatten().map(|d| d.value).collect();
    Some(MaintenanceWindow { name: name?.value, days, from: from?, to: to?, rules: only })
}

/// `02:30`, local time.
fn time(cx: Cx<'_>, span: &Span, key: &str, raw: Key<String>) -> Option<Time> {
    let At { value, span } = cx.required(span, key, raw)?;
    let parsed = value.split_once(':').and_then(|(hour, minute)| {
        let two = |text: &str| if text.len() == 2 { text.parse::<i8>().ok() } else { None };
        Time::new(two(hour)?, two(minute)?, 0, 0).ok()
    });
    if parsed.is_none() {
        cx.error(&span, format!("`{key}` is a time of day such as \"02:30\""));
    }
    parsed
}
