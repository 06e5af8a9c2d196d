//! What needs a human: held plans, rules that gave up, fixes that could not be undone, problems without a rule.

use super::format::{self, Mark};
use super::html::Html;
use super::{Button, View, button, evidence, happened, verdict};
use crate::attempts::Held;
use crate::breaker::Tripped;
use crate::model::{Incident, Status};
use crate::past::Item;
use serde_json::Value;

/// One thing that a human is asked for.
pub enum Need<'a> {
    /// A pass cannot act at all, and says why.
    Blocked(&'a str),
    /// Something that could not be read: what is shown may not be so.
    Unreadable(&'a str),
    /// A diagnosis that was held, with its incident where one is open.
    Diagnosis(&'a Value, Option<&'a Incident>),
    /// No rule mends it; with what was diagnosed, where something was.
    Incident(&'a Incident, Option<&'a Value>),
    Held(&'a Held),
    Tripped(&'a Tripped),
    Silent(&'a str),
}

impl Need<'_> {
    pub fn mark(&self) -> Mark {
        match self {
            Need::Blocked(_) | Need::Unreadable(_) => Mark::Bad,
            Need::Diagnosis(d, _) => Mark::of(format::status(&d["severity"])),
            Need::Incident(incident, _) => Mark::of(incident.severity),
            Need::Held(held) if is_broken(held) => Mark::Bad,
            Need::Held(_) | Need::Tripped(_) | Need::Silent(_) => Mark::Warn,
        }
    }
}

/// Neither done nor undone.
fn is_broken(held: &Held) -> bool {
    held.reason.contains("rollback_failed")
}

/// All of them, the worst first.
pub fn of<'a>(view: &View<'a>) -> Vec<Need<'a>> {
    let incidents = &view.status.incidents;
    let all = || view.last_pass.into_iter().flat_map(|pass| format::list(pass, "diagnoses"));
    let diagnoses: Vec<&Value> = all().filter(|d| d["needs_human"] == true).collect();
    let of_incident = |d: &Value| incidents.iter().find(|i| d["fingerprint"].as_str() == Some(&i.fingerprint));
    let told = |rule: &str, target: &str, word: &str| {
        let same = |d: &&Value| d["hold"] == word && format::text(&d["plan"], "target") == target && d["rule"] == rule;
        diagnoses.iter().any(same)
    };
    let fixing = view.past.fix.as_ref().map(|fix| format::text(&fix.diagnosis, "fingerprint"));
    let diagnosed = |i: &Incident| all().find(|d| d["fingerprint"].as_str() == Some(&i.fingerprint));
    let unaided = |i: &&Incident| {
        let in_hand = |d: &Value| d["needs_human"] == true || d["decision"] == "act";
        let is_root = i.severity == Status::Critical && i.symptom_of.is_none();
        let is_left = fixing != Some(&i.fingerprint) && !verdict::is_mended(view, i);
        is_root && is_left && !diagnosed(i).is_some_and(in_hand)
    };
    let mut needs: Vec<Need> =
        view.last_pass.and_then(|pass| pass["blocked"].as_str()).map(Need::Blocked).into_iter().collect();
    let unreadable = view.status.unreadable.iter().chain(view.unreadable);
    needs.extend(unreadable.map(|why| Need::Unreadable(why)));
    needs.extend(diagnoses.iter().map(|d| Need::Diagnosis(d, of_incident(d))));
    needs.extend(incidents.iter().filter(unaided).map(|i| Need::Incident(i, diagnosed(i))));
    let status = view.status;
    needs.extend(status.held.iter().filter(|h| !told(&h.rule, &h.target, "held_for_human")).map(Need::Held));
    needs.extend(status.tripped.iter().filter(|t| !told(&t.rule, &t.target, "circuit_open")).map(Need::Tripped));
    needs.extend(status.silent.iter().map(|why| Need::Silent(why)));
    needs.sort_by_key(|need| std::cmp::Reverse(need.mark()));
    needs
}

/// The section; nothing where nobody is needed.
pub fn section(h: &mut Html, view: &View) {
    let needs = of(view);
    if needs.is_empty() {
        return;
    }
    h.tag("section", &[("id", "needs"), ("aria-labelledby", "needs-h")], |h| {
        h.tag("h2", &[("id", "needs-h")], |h| {
            h.text("Needs you ");
            h.el("span", &[("class", "count")], &needs.len().to_string());
        });
        for need in &needs {
            let class = ["card ", need.mark().class()].concat();
            h.tag("article", &[("class", &class)], |h| card(h, view, need));
        }
    });
}

fn card(h: &mut Html, view: &View, need: &Need) {
    match need {
        Need::Blocked(why) => {
            title(h, need.mark(), "blocked", "Nothing can be fixed");
            h.el("p", &[], why);
        }
        Need::Unreadable(why) => {
            title(h, need.mark(), "unreadable", "Not everything could be read: what is shown may not be so");
            h.el("p", &[], why);
        }
        Need::Diagnosis(d, incident) => diagnosis(h, view, d, *incident),
        Need::Incident(incident, d) => without_rule(h, view, incident, *d),
        Need::Held(held) => left_alone(h, view, held),
        Need::Tripped(tripped) => gave_up(h, view, tripped),
        Need::Silent(why) => {
            title(h, need.mark(), "silent", "A rule matches no more");
            h.el("p", &[], why);
        }
    }
}

fn without_rule(h: &mut Html, view: &View, incident: &Incident, d: Option<&Value>) {
    title(h, Mark::of(incident.severity), incident.severity.word(), &incident.cause);
    h.tag("p", &[("class", "meta")], |h| {
        h.text(&format!("{}, {}, opened ", incident.component, incident.issue_type));
        format::ago(h, incident.opened, view.now);
    });
    h.el("p", &[], incident.hold.as_deref().unwrap_or("No rule has a fix for this."));
    if let Some(d) = d {
        evidence::details(h, view, d, &format!("need-{}", incident.fingerprint));
    }
    h.tag("p", &[("class", "acts")], |h| acknowledge(h, view, incident));
}

fn left_alone(h: &mut Html, view: &View, held: &Held) {
    let (mark, word, what) = if is_broken(held) {
        (Mark::Bad, "rollback failed", "A fix could neither be kept nor undone")
    } else {
        (Mark::Warn, "held", "Left alone until you release it")
    };
    title(h, mark, word, &format!("{what}: {}", held.target));
    h.tag("p", &[("class", "meta")], |h| {
        h.text(&format!("rule {}, {}, ", held.rule, held.reason));
        format::ago(h, held.since.t, view.now);
    });
    let of_fix = |item: &&Item| item.fix_id.as_deref().is_some_and(|id| held.reason.contains(id));
    let item = view.past.items.iter().rev().find(of_fix);
    behind(h, view, item, is_broken(held));
    reset(h, &held.target, "releases it");
}

/// The fix that is behind it: what was seen and done, how it was judged, and what can be done about it from here.
fn behind(h: &mut Html, view: &View, item: Option<&Item>, is_broken: bool) {
    if let Some(item) = item {
        let key = format!("behind-{}", item.t.as_millisecond());
        h.tag("details", &[("data-key", &key)], |h| {
            h.el("summary", &[], "Evidence, steps, difference");
            happened::body(h, view, item);
        });
    }
    if !view.may_act {
        return;
    }
    h.tag("p", &[("class", "acts")], |h| {
        let backup = item.and_then(|item| item.backup_id.as_deref()).and_then(format::id).filter(|_| is_broken);
        if let Some(id) = backup {
            let ask = format!("Roll back to {id}? Its files are put back as they were and its restarts are run again.");
            button(h, &Button { act: "rollback", id, label: "Roll back", ask: &ask, strong: true });
        }
        if view.status.pauses.is_empty() {
            let ask = "Make no fix for one hour? Checks and alerts go on.";
            button(h, &Button { act: "pause", id: "", label: "Pause 1 h", ask, strong: false });
        }
    });
}

fn gave_up(h: &mut Html, view: &View, tripped: &Tripped) {
    let text = format!("Rule {} gave up on {}", tripped.rule, tripped.target);
    title(h, Mark::Warn, "circuit open", &text);
    h.tag("p", &[("class", "meta")], |h| {
        let fixes = if tripped.failures == 1 { "fix" } else { "fixes" };
        h.text(&format!("{} {fixes} in a row failed or their problem came back; ", tripped.failures));
        if tripped.left.is_zero() {
            return h.text("one try is let through");
        }
        h.text("one more try in ");
        format::until(h, tripped.left.as_secs(), view.now);
    });
    let of_rule = |item: &&Item| item.fix_id.is_some() && item.rule.as_ref() == Some(&tripped.rule);
    behind(h, view, view.past.items.iter().rev().find(of_rule), false);
    reset(h, &tripped.target, "closes it");
}

fn title(h: &mut Html, mark: Mark, word: &str, text: &str) {
    h.tag("h3", &[], |h| {
        mark.say(h, word);
        h.text(" ");
        h.text(text);
    });
}

fn reset(h: &mut Html, target: &str, what: &str) {
    h.tag("p", &[], |h| {
        h.el("code", &[], &format!("healer reset '{target}'"));
        h.text(" ");
        h.text(what);
    });
}

fn diagnosis(h: &mut Html, view: &View, d: &Value, incident: Option<&Incident>) {
    let mark = Mark::of(format::status(&d["severity"]));
    title(h, mark, format::text(d, "severity"), format::text(d, "cause"));
    h.tag("p", &[("class", "meta")], |h| {
        h.text(&about(d));
        if let Some(incident) = incident {
            h.text(", opened ");
            format::ago(h, incident.opened, view.now);
        }
    });
    h.tag("p", &[("class", "why")], |h| {
        h.el("b", &[], "Held: ");
        h.text(format::text(d, "hold_reason"));
    });
    evidence::steps(h, "Would do", &format::texts(d, "steps"));
    evidence::details(h, view, d, &format!("need-{}", format::text(d, "fingerprint")));
    h.tag("p", &[("class", "acts")], |h| acts(h, view, d, incident));
}

/// Component, kind, who says so, how sure.
pub fn about(d: &Value) -> String {
    let by = d["rule"].as_str().map_or("built-in cause".to_owned(), |rule| format!("rule {rule}"));
    let confidence = d["confidence"].as_u64().map(|c| format!(", confidence {c}")).unwrap_or_default();
    let (component, issue) = (format::text(&d["trigger"], "component"), format::text(d, "issue_type"));
    format!("{component}, {issue}, {by}{confidence}")
}

fn acts(h: &mut Html, view: &View, d: &Value, incident: Option<&Incident>) {
    let plan = format::id(format::text(&d["plan"], "id"));
    let may_be_approved = matches!(format::text(d, "hold"), "low_confidence" | "suggest");
    if let Some(plan) = plan.filter(|_| view.may_act && may_be_approved) {
        let ask = format!(
            "Apply {plan} now? {}. It is watched, and rolled back if it does not help.",
            format::texts(d, "steps").join("; ")
        );
        button(h, &Button { act: "apply", id: plan, label: "Apply now", ask: &ask, strong: true });
    }
    if let Some(incident) = incident {
        acknowledge(h, view, incident);
    }
    if view.may_act && view.status.pauses.is_empty() {
        let ask = "Make no fix for one hour? Checks and alerts go on.";
        let id = format::id(format::text(d, "fingerprint")).unwrap_or_default();
        button(h, &Button { act: "pause", id, label: "Pause 1 h", ask, strong: false });
    }
}

fn acknowledge(h: &mut Html, view: &View, incident: &Incident) {
    if let Some(ack) = view.status.ack_of(incident) {
        return h.el("span", &[("class", "meta")], &format!("Seen by {}: no alerts for it.", ack.by));
    }
    if let Some(id) = format::id(&incident.id).filter(|_| view.may_act) {
        let ask = format!("Acknowledge {id}? No more alerts are sent for it; checks and fixes go on.");
        button(h, &Button { act: "ack", id, label: "Acknowledge", ask: &ask, strong: false });
    }
}
