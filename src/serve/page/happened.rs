//! What happened in the last days, newest first.

use super::format::{self, Mark};
use super::html::Html;
use super::{Button, View, button, evidence};
use crate::past::Item;

const DAYS: u64 = 7;
const MOST: usize = 100;

/// The section.
pub fn section(h: &mut Html, view: &View) {
    let recent = |item: &&Item| format::seconds(item.t, view.now) < DAYS * 86_400;
    let items: Vec<&Item> = view.past.items.iter().rev().filter(recent).take(MOST).collect();
    h.tag("section", &[("id", "happened"), ("aria-labelledby", "happened-h")], |h| {
        h.tag("h2", &[("id", "happened-h")], |h| {
            h.text("What happened ");
            h.el("span", &[("class", "count")], "7 days");
        });
        if items.is_empty() {
            return h.el("p", &[("class", "meta")], "Nothing worth telling.");
        }
        h.tag("ul", &[("class", "events")], |h| {
            for item in &items {
                let class = if mark(&item.kind).is_fine() { "find fine" } else { "find" };
                h.tag("li", &[("class", class)], |h| one(h, view, item));
            }
        });
        h.el("p", &[("class", "none meta")], "Nothing here matches the filter.");
        if items.len() == MOST {
            h.tag("p", &[("class", "meta")], |h| {
                h.text("Older ones: ");
                h.el("code", &[], "healer history");
            });
        }
    });
}

/// The shape of a kind of event.
fn mark(kind: &str) -> Mark {
    match kind {
        "healed" | "recovered" | "durable" | "resolved" => Mark::Good,
        "paused" | "resumed" | "reset" | "acknowledged" => Mark::Info,
        "critical" | "rollback_failed" | "conflict" | "storm" | "circuit_open" | "pass_failed" => Mark::Bad,
        _ => Mark::Warn,
    }
}

fn one(h: &mut Html, view: &View, item: &Item) {
    if !opens(item) {
        return h.tag("div", &[("class", "line")], |h| line(h, view, item));
    }
    let key = format!("happened-{}-{}", item.t.as_millisecond(), item.kind);
    h.tag("details", &[("data-key", &key)], |h| {
        h.tag("summary", &[("class", "line")], |h| line(h, view, item));
        h.tag("div", &[("class", "open")], |h| body(h, view, item));
    });
}

fn opens(item: &Item) -> bool {
    item.why.is_some()
        || !item.steps.is_empty()
        || !item.evidence.is_empty()
        || !item.addends.is_empty()
        || item.diff.is_some()
        || item.validation.is_some()
        || item.backup_id.is_some()
}

fn line(h: &mut Html, view: &View, item: &Item) {
    mark(&item.kind).say(h, &item.kind.replace('_', " "));
    h.text(" ");
    h.el("span", &[("class", "what")], &item.title);
    h.text(" ");
    format::ago(h, item.t, view.now);
}

/// Everything that is known of it.
pub fn body(h: &mut Html, view: &View, item: &Item) {
    let about = [
        item.component.clone(),
        item.rule.as_ref().map(|rule| format!("rule {rule}")),
        item.fix_type.clone(),
        item.confidence.map(|c| format!("confidence {c}")),
        item.incident.clone(),
        item.fix_id.clone(),
    ];
    let about = about.into_iter().flatten().collect::<Vec<_>>().join(", ");
    h.tag("p", &[("class", "meta")], |h| {
        h.text(&format::exact(item.t));
        if !about.is_empty() {
            h.text(", ");
            h.text(&about);
        }
    });
    if let Some(why) = &item.why {
        h.el("p", &[("class", "why")], why);
    }
    evidence::steps(h, "Steps", &item.steps.iter().map(String::as_str).collect::<Vec<_>>());
    let secret = !item.evidence.is_empty() || item.diff.is_some();
    if secret && evidence::may_be_shown(h, view) {
        evidence::log(h, "Evidence", item.evidence.iter().map(String::as_str));
        evidence::diff(h, item.diff.as_deref().unwrap_or_default());
    }
    evidence::addends(h, item.addends.iter(), item.confidence);
    validation(h, item);
    backup(h, view, item);
}

fn validation(h: &mut Html, item: &Item) {
    let Some(verdict) = &item.validation else { return };
    let text = |key: &str| match &verdict[key] {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(n) => n.as_f64().map(format::number),
        _ => None,
    };
    let luck = verdict["chance_of_luck"].as_f64().map(|p| format!("{} %", format::number(p * 100.0)));
    let rows = [
        ("Verdict", text("kind").map(|kind| kind.replace('_', " "))),
        ("Judged on", text("judged_on")),
        ("Errors after", text("errors_after")),
        ("Chance that this was luck", luck),
    ];
    h.tag("table", &[("class", "sum said")], |h| {
        h.el("caption", &[], "Validation");
        for (label, value) in rows.iter().filter_map(|(label, value)| Some((label, value.as_ref()?))) {
            h.tag("tr", &[], |h| {
                h.el("th", &[("scope", "row")], label);
                h.el("td", &[], value);
            });
        }
    });
}

fn backup(h: &mut Html, view: &View, item: &Item) {
    let Some(backup) = &item.backup_id else { return };
    h.tag("p", &[("class", "acts")], |h| {
        h.el("code", &[], backup);
        let stands = matches!(item.kind.as_str(), "healed" | "unproven") && !view.past.is_undone(item);
        if let Some(id) = format::id(backup).filter(|_| view.may_act && stands) {
            let ask = format!("Roll back to {id}? Its files are put back as they were and its restarts are run again.");
            h.text(" ");
            button(h, &Button { act: "rollback", id, label: "Roll back", ask: &ask, strong: false });
        }
    });
}
