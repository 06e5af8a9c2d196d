//! Whatever a log, a name or an error says stays text, wherever it is put.

use super::super::page;
use super::example::{Example, before};
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const HOSTILE: [&str; 9] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg/onload=alert(1)>",
    "</details></main></title></pre><b>",
    "javascript:alert(1)",
    "a\u{202e}b\u{200b}c\u{2066}d",
    "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m",
    "<!--\n--><![CDATA[ ]]>&lt;b&gt;",
    "x\0y\r\nSet-Cookie: z\t` onclick=alert(1) style=color:red",
];

/// Every text of a document becomes this one, but for the words on which its meaning hangs.
fn poison(value: &mut Value, with: &str) {
    const KEPT: [&str; 12] = [
        "status",
        "severity",
        "kind",
        "hold",
        "decision",
        "role",
        "t",
        "unit",
        "plan_id",
        "run",
        "fingerprint",
        "group",
    ];
    match value {
        Value::String(text) => *text = with.to_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, with)),
        Value::Object(map) => {
            map.iter_mut().filter(|(key, _)| !KEPT.contains(&key.as_str())).for_each(|(_, v)| poison(v, with));
            for key in ["check", "container"] {
                if let Some(inner) = map.remove(key) {
                    map.insert(with.to_owned(), inner);
                }
            }
        }
        _ => {}
    }
}

/// Every name and every text of a busy installation is this one.
pub fn hostile(with: &str) -> Example {
    let mut e = Example::busy();
    let mut pass = e.last_pass.take().unwrap();
    pass["diagnoses"][0]["hold"] = "low_confidence".into();
    poison(&mut pass, with);
    for key in ["kind", "status", "severity", "fingerprint"] {
        pass["diagnoses"][0][key] = with.into();
    }
    let checks = pass["health"]["checks"].as_object_mut().unwrap();
    for (number, (name, mut check)) in std::mem::take(checks).into_iter().enumerate() {
        check["kind"] = with.into();
        checks.insert(if number == 0 { with.to_owned() } else { format!("{name}{with}") }, check);
    }
    pass["blocked"] = with.into();
    e.last_pass = Some(pass);
    for kind in ["critical", "held", with] {
        let mut alert = json!({ "kind": kind, "title": "", "component": "", "why": "", "incident": "", "actions": [""], "evidence": [""] });
        poison(&mut alert, with);
        e.event("alert", before(60), json!({ "alert": alert }));
    }
    let mut diagnosis = super::example::held_diagnosis("suggest");
    poison(&mut diagnosis, with);
    let body = |d: &Value| json!({ "plan_id": "p", "run": with, "diagnosis": d });
    e.event("fixing", before(50), body(&diagnosis));
    let outcome = json!({ "fix_id": with, "backup_id": with, "rule": with, "component": with, "fix_type": with, "incident": with,
        "plan": { "id": "p", "cause": with }, "why": with, "verdict": { "kind": with, "judged_on": with, "errors_after": with }});
    e.event("healed", before(49), outcome);
    e.event("fixing", before(40), body(&diagnosis));
    e.event("begun", before(40), json!({ "fix_id": with, "backup_id": with }));
    e.event("acting", before(39), json!({ "said": with }));
    e.event("edited", before(39), json!({ "edit": { "path": with, "line": 1, "old": with, "new": with }}));
    e.event("progress", before(30), json!({ "watched": with, "errors": 1, "settling": false, "left_s": 50 }));
    for kind in ["paused", "resumed", "reset", "acknowledged", "pass_failed", "durable"] {
        e.event(
            kind,
            before(20),
            json!({ "by": with, "reason": with, "target": with, "incident": with, "why": with, "fix_type": with }),
        );
    }
    e.event("errors", before(10), json!({ "group": with, "count": 900, "template": with, "example": with }));
    let sample = json!({ "t": before(5).to_string(), "checks": { with: { "status": "critical", "latency_ms": 3.0, "cpu_percent": 5.0 }}});
    e.samples.take(&sample.to_string());
    poison_status(&mut e, with);
    e
}

fn poison_status(e: &mut Example, with: &str) {
    e.pause(Some(with));
    e.pause(None);
    e.hold("rollback_failed");
    e.trip();
    let s = &mut e.status;
    for pause in &mut s.pauses {
        (pause.reason, pause.by) = (with.into(), with.into());
    }
    for held in &mut s.held {
        (held.rule, held.target, held.reason) = (with.into(), with.into(), format!("rollback_failed {with}"));
    }
    for tripped in &mut s.tripped {
        (tripped.rule, tripped.target) = (with.into(), with.into());
    }
    for i in &mut s.incidents {
        (i.id, i.component, i.cause, i.issue_type) = (with.into(), with.into(), with.into(), with.into());
        (i.fingerprint, i.hold, i.severity) =
            (format!("other {with}"), Some(with.into()), crate::model::Status::Critical);
    }
    (s.stop, s.running, s.open) = (Some(with.into()), Some(with.into()), Some(with.into()));
    s.maintenance = vec![crate::config::MaintenanceWindow {
        name: with.into(),
        days: Vec::new(),
        from: jiff::civil::Time::midnight(),
        to: jiff::civil::Time::midnight(),
        rules: vec![with.into()],
    }];
    s.silent = vec![with.into()];
    s.knowledge.by_type.insert(with.into(), crate::model::Tries { total: 3, successes: 1 });
}

/// Tags with their attributes' names, and values of those that a browser acts on.
fn skeleton(html: &str) -> BTreeSet<String> {
    let tag = Regex::new(r#"<(/?!?[A-Za-z0-9]+)((?: [A-Za-z-]+="[^"<>]*"| html)*)>"#).unwrap();
    let attribute = Regex::new(r#" ([A-Za-z-]+)="([^"<>]*)""#).unwrap();
    let rest = tag.replace_all(html, "");
    assert!(
        !rest.contains(['<', '>']),
        "not ours: {:?}",
        rest.find(['<', '>']).map(|at| &rest[at..(at + 80).min(rest.len())])
    );
    let mut seen = BTreeSet::new();
    for found in tag.captures_iter(html) {
        let mut shape = found[1].to_owned();
        for part in attribute.captures_iter(&found[2]) {
            let acts = ["src", "href", "rel", "type", "class", "method", "role"].contains(&&part[1]);
            shape.push_str(&if acts { format!(" {}={}", &part[1], &part[2]) } else { format!(" {}", &part[1]) });
        }
        seen.insert(shape);
    }
    seen
}

#[test]
fn whatever_is_said_the_page_has_no_other_markup() {
    let harmless = skeleton(&page(&hostile("harmless").view()));
    for with in HOSTILE {
        for (may_act, may_read) in [(true, true), (true, false), (false, true)] {
            let mut example = hostile(with);
            (example.may_act, example.may_read) = (may_act, may_read);
            let html = page(&example.view());
            let other: Vec<_> = skeleton(&html).difference(&harmless).cloned().collect();
            // What is hidden or has no button brings a notice of ours.
            let ours = |shape: &String| ["p class=note"].contains(&shape.as_str());
            assert!(other.iter().all(ours), "{with:?} made {other:?}");
        }
    }
}

#[test]
fn nothing_on_the_page_moves_a_cursor_or_turns_the_writing() {
    for with in HOSTILE {
        let html = page(&hostile(with).view());
        let bad = |c: char| (c.is_control() && c != '\n' && c != '\t') || "\u{202e}\u{200b}\u{2066}".contains(c);
        assert!(
            !html.contains(bad),
            "{with:?}: {:?}",
            html.find(bad).map(|at| html[at..].chars().take(40).collect::<String>())
        );
    }
}

#[test]
fn elements_end_where_they_began() {
    let tag = Regex::new(r"<(/?)([a-z0-9]+)[^>]*>").unwrap();
    for with in HOSTILE {
        let html = page(&hostile(with).view());
        let mut open = Vec::new();
        for found in tag.captures_iter(&html) {
            match (&found[1], &found[2]) {
                (_, "meta" | "link" | "input") => {}
                ("", name) => open.push(name.to_owned()),
                (_, name) => assert_eq!(open.pop().as_deref(), Some(name), "{with:?}"),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}

#[test]
fn no_id_of_others_gets_into_a_request() {
    let id = Regex::new(r#"data-id="([^"]*)""#).unwrap();
    for with in HOSTILE {
        for found in id.captures_iter(&page(&hostile(with).view())) {
            assert!(found[1].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'), "{}", &found[1]);
        }
    }
}
