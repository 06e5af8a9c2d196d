//! The body of Prometheus Alertmanager's webhook, version 4, for whoever already receives those.
//! Format: <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>.
//!
//! What identifies an alert is what is wrong and where, never how it stands: so the alert that says it is over has the
//! labels and the fingerprint of the one that said it began.

use crate::alert::Alert;
use crate::alert::format::cut;
use crate::config::AlertKind;
use crate::host::files;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What Go's `time.Time` has for no time.
const NO_END: &str = "0001-01-01T00:00:00Z";
/// Of one annotation, in characters.
const LONGEST: usize = 8000;

pub fn body(alert: &Alert) -> Value {
    let (identity, labels, annotations) = (identity(alert), labels(alert), annotations(alert));
    let status = status(alert.kind);
    let ends = if status == "resolved" { alert.time.as_str() } else { NO_END };
    json!({
        "version": "4",
        "groupKey": group_key(&identity),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "healer",
        "groupLabels": identity,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        // What `healer serve` shows is for this host alone, so there is no URL that a receiver could open.
        "externalURL": "",
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": alert.since.as_ref().unwrap_or(&alert.time),
            "endsAt": ends,
            "generatorURL": "",
            "fingerprint": fingerprint(&identity),
        }],
    })
}

fn status(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Healed | AlertKind::Resolved => "resolved",
        AlertKind::Held
        | AlertKind::Unproven
        | AlertKind::RolledBack
        | AlertKind::RollbackFailed
        | AlertKind::Recurred
        | AlertKind::Critical
        | AlertKind::Storm
        | AlertKind::CircuitOpen
        | AlertKind::Test => "firing",
    }
}

/// What is wrong and where.
fn identity(alert: &Alert) -> BTreeMap<&'static str, String> {
    let name = alert.issue_type.clone().unwrap_or_else(|| format!("healer_{}", alert.kind.word()));
    let component = alert.component.clone();
    BTreeMap::from([
        ("alertname", name),
        ("component", component),
        ("instance", alert.host.clone()),
        ("job", "healer".into()),
    ])
}

fn labels(alert: &Alert) -> BTreeMap<&'static str, String> {
    let mut labels = identity(alert);
    labels.insert("severity", alert.severity.word().to_owned());
    labels.extend(alert.issue_type.iter().map(|issue_type| ("issue_type", issue_type.clone())));
    labels.extend(alert.incident.iter().map(|incident| ("incident", incident.clone())));
    labels
}

/// What is said of it; what is empty is left out.
fn annotations(alert: &Alert) -> Map<String, Value> {
    let lines = |list: &[String]| (!list.is_empty()).then(|| list.join("\n"));
    let all = [
        ("summary", Some(alert.title.clone())),
        ("description", Some(alert.text())),
        ("kind", Some(alert.kind.word().to_owned())),
        ("cause", alert.cause.clone()),
        ("why", alert.why.clone()),
        ("evidence", lines(&alert.evidence)),
        ("actions", lines(&alert.actions)),
        ("diff", alert.diff.clone()),
        ("next", lines(&alert.next)),
        ("delayed", alert.delayed.clone()),
    ];
    let told = all.into_iter().filter_map(|(name, text)| Some((name.to_owned(), cut(&text?, LONGEST, |_| 1).into())));
    told.collect()
}

fn group_key(identity: &BTreeMap<&'static str, String>) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let labels: Vec<String> = identity.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    format!("{{}}:{{{}}}", labels.join(", "))
}

/// Sixteen hexadecimal digits, as Alertmanager's own.
fn fingerprint(identity: &BTreeMap<&'static str, String>) -> String {
    let text: String = identity.iter().map(|(name, value)| format!("{name}\u{ff}{value}\u{ff}")).collect();
    files::sha256(text.as_bytes()).chars().take(16).collect()
}
