//! The fix that is being made, step by step.

use super::format::{self, Mark};
use super::html::Html;
use super::{View, evidence, needs};
use crate::past::Fix;

/// The section; nothing while none is made.
pub fn section(h: &mut Html, view: &View) {
    let Some(fix) = &view.past.fix else { return };
    let is_left = view.is_left(fix);
    h.tag("section", &[("id", "progress"), ("aria-labelledby", "progress-h")], |h| {
        h.el("h2", &[("id", "progress-h")], if is_left { "A fix that was left open" } else { "Fix in progress" });
        let mark = if is_left { Mark::Warn } else { Mark::Busy };
        h.tag("article", &[("class", &["card ", mark.class()].concat())], |h| card(h, view, fix, mark));
    });
}

fn card(h: &mut Html, view: &View, fix: &Fix, mark: Mark) {
    let d = &fix.diagnosis;
    h.tag("h3", &[], |h| {
        mark.say(h, if view.is_left(fix) { "left open" } else { "at work" });
        h.text(" ");
        h.text(d["cause"].as_str().unwrap_or("a fix"));
    });
    h.tag("p", &[("class", "meta")], |h| {
        h.text(&format!("{}, {}, began ", needs::about(d), fix.fix_id.as_deref().unwrap_or(&fix.plan_id)));
        format::ago(h, fix.began, view.now);
        if let Some(backup) = &fix.backup_id {
            h.text(&format!(", {backup}"));
        }
    });
    if view.is_left(fix) {
        h.el("p", &[("class", "why")], "Its pass was stopped. The next one judges it, and undoes it where it cannot.");
    }
    wait(h, view, fix);
    if fix.told.is_empty() {
        evidence::steps(h, "Will do", &format::texts(d, "steps"));
    } else {
        h.tag("ol", &[("class", "told")], |h| {
            for told in &fix.told {
                h.tag("li", &[], |h| {
                    format::clock(h, told.t);
                    h.text(" ");
                    h.text(&told.text);
                });
            }
        });
    }
    evidence::details(h, view, d, "progress");
}

fn wait(h: &mut Html, view: &View, fix: &Fix) {
    let Some(wait) = fix.wait.as_ref().filter(|_| !view.is_left(fix)) else { return };
    h.tag("p", &[("class", "wait")], |h| {
        h.tag("b", &[("class", "num")], |h| format::until(h, wait.left_at(view.now), view.now));
        h.text(if wait.settling { " left to settle: nothing counts yet" } else { " left of the window: " });
        if !wait.settling {
            h.text(&format!("{} so far", format::count(wait.errors, "error")));
        }
        if !wait.watched.is_empty() {
            h.el("span", &[("class", "meta")], &format!(", watching {}", wait.watched));
        }
    });
}
