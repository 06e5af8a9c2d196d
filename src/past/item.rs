//! One thing that happened, with what is needed to understand it.

use crate::past::is_ending;
use crate::text::clean;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// An entry of `history`. Text is as it was logged: whoever shows it makes it fit for where it is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Item {
    pub t: Timestamp,
    /// The outcome of a fix (`healed`, `rolled_back`, ...), the kind of an alert (`held`, `critical`, `resolved`, ...),
    /// `durable`, `recurred`, `paused`, `resumed`, `reset`, `acknowledged`, `pass_failed`.
    pub kind: String,
    /// One line.
    pub title: String,
    pub component: Option<String>,
    /// What a fix was to mend; with the component it tells which incident.
    #[serde(skip)]
    pub issue_type: Option<String>,
    pub incident: Option<String>,
    pub rule: Option<String>,
    pub fix_type: Option<String>,
    pub fix_id: Option<String>,
    pub backup_id: Option<String>,
    pub plan_id: Option<String>,
    pub confidence: Option<u64>,
    /// Why it ended so, or is held.
    pub why: Option<String>,
    /// What was done or is proposed, one line each.
    pub steps: Vec<String>,
    /// What was seen, one line each; log lines among them.
    pub evidence: Vec<String>,
    /// Named parts of the confidence: `label`, `points`.
    pub addends: Vec<Value>,
    pub diff: Option<String>,
    /// `kind`, `judged_on`, `errors_after`, `chance_of_luck`.
    pub validation: Option<Value>,
}

/// Alerts that say what an outcome has said already.
const OF_OUTCOMES: [&str; 5] = ["healed", "unproven", "rolled_back", "rollback_failed", "recurred"];

impl Item {
    /// What an event says of the past, if it says anything; `diagnosis` knows what a plan was made for.
    pub(super) fn of<'d>(
        t: Timestamp,
        kind: &str,
        event: &Value,
        diagnosis: impl Fn(&str) -> Option<&'d Value>,
    ) -> Option<Item> {
        let item = match kind {
            "alert" => of_alert(&event["alert"])?,
            _ if is_ending(kind) => of_outcome(kind, event, &diagnosis),
            "durable" | "recurred" => Item {
                title: match kind {
                    "durable" => format!("{} has held for a day", word(event, "fix_type")),
                    _ => format!("the problem that {} was to mend is back", word(event, "fix_type")),
                },
                component: text(event, "component"),
                rule: text(event, "rule"),
                fix_type: text(event, "fix_type"),
                fix_id: text(event, "fix_id"),
                ..Item::default()
            },
            "paused" => Item {
                title: match text(event, "rule") {
                    Some(rule) => format!("fixes of rule {rule} paused by {}", word(event, "by")),
                    None => format!("fixes paused by {}", word(event, "by")),
                },
                rule: text(event, "rule"),
                why: text(event, "reason"),
                ..Item::default()
            },
            "resumed" => Item { title: format!("pauses ended by {}", word(event, "by")), ..Item::default() },
            "reset" => Item {
                title: format!("{} released", word(event, "target")),
                component: text(event, "target"),
                ..Item::default()
            },
            "acknowledged" => Item {
                title: format!("incident {} seen by {}", word(event, "incident"), word(event, "by")),
                incident: text(event, "incident"),
                ..Item::default()
            },
            "pass_failed" => {
                Item { title: "a pass could not be completed".to_owned(), why: text(event, "why"), ..Item::default() }
            }
            _ => return None,
        };
        Some(Item { t, kind: if item.kind.is_empty() { kind.to_owned() } else { item.kind.clone() }, ..item })
    }
}

fn text(event: &Value, key: &str) -> Option<String> {
    event[key].as_str().map(str::to_owned)
}

fn word<'e>(event: &'e Value, key: &str) -> &'e str {
    event[key].as_str().unwrap_or("?")
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| Some(v.as_str()?.to_owned())).collect()
}

fn of_alert(alert: &Value) -> Option<Item> {
    let kind = alert["kind"].as_str().filter(|kind| !OF_OUTCOMES.contains(kind))?;
    Some(Item {
        kind: kind.to_owned(),
        title: text(alert, "title").unwrap_or_default(),
        component: text(alert, "component"),
        incident: text(alert, "incident"),
        confidence: alert["confidence"].as_u64(),
        why: text(alert, "why"),
        steps: texts(&alert["actions"]),
        evidence: [texts(&alert["evidence"]), texts(&alert["symptoms"])].concat(),
        ..Item::default()
    })
}

fn of_outcome<'d>(kind: &str, event: &Value, diagnosis: &impl Fn(&str) -> Option<&'d Value>) -> Item {
    let plan = &event["plan"];
    let known = plan["id"].as_str().and_then(diagnosis);
    let of = |key: &str| known.map_or(&Value::Null, |d| &d[key]);
    let cause = plan["cause"].as_str().or_else(|| of("cause").as_str());
    let signals = of("signals").as_array().into_iter().flatten().filter(|s| s["held"] == true);
    let seen = signals.filter_map(|s| Some(s["seen"].as_str()?.to_owned()));
    let example = of("trigger")["example"].as_str().map(str::to_owned);
    let component = text(event, "component");
    let what = text(event, "fix_type").unwrap_or_else(|| "fix".to_owned());
    Item {
        title: match cause {
            Some(cause) => clean(cause),
            None => format!("{what} of {}", component.as_deref().unwrap_or("?")),
        },
        component,
        issue_type: text(event, "issue_type"),
        rule: text(event, "rule"),
        fix_type: text(event, "fix_type"),
        fix_id: text(event, "fix_id"),
        backup_id: text(event, "backup_id"),
        plan_id: text(plan, "id"),
        incident: text(event, "incident"),
        confidence: event["confidence"].as_u64(),
        why: text(event, "why"),
        steps: texts(of("steps")),
        evidence: seen.chain(example).collect(),
        addends: of("addends").as_array().cloned().unwrap_or_default(),
        diff: of("diff").as_str().filter(|diff| !diff.is_empty()).map(str::to_owned),
        validation: Some(event["verdict"].clone()).filter(|v| !v.is_null()),
        kind: kind.to_owned(),
        ..Item::default()
    }
}
