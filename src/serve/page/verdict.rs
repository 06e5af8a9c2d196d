//! The verdict: one sentence that says how things stand, and below it what a pass did last and what may be done.

use super::format::{self, Mark};
use super::html::Html;
use super::needs::{self, Need};
use super::{Button, View, button};
use crate::model::{Incident, Status as Health};
use crate::past::Fix;
use crate::show::status::Status;

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub mark: Mark,
    pub words: String,
    /// Seconds left of what is waited for, and what is said after them.
    pub left: Option<(u64, String)>,
}

impl Verdict {
    fn new(mark: Mark, words: impl Into<String>) -> Verdict {
        Verdict { mark, words: words.into(), left: None }
    }

    /// The whole sentence.
    pub fn sentence(&self) -> String {
        let left = self.left.as_ref().map(|(left, after)| format!("{} left{after}", format::left(*left)));
        format!("{}{}", self.words, left.unwrap_or_default())
    }
}

/// Judges what is shown.
pub fn of(view: &View) -> Verdict {
    let needs = needs::of(view);
    let problems = problems(view, &needs);
    let asked = needs.len() as u64;
    // The first pass of all has left nothing yet but what it is doing.
    let is_first = view.status.last_pass.is_none();
    if let Some(fix) = view.past.fix.as_ref().filter(|fix| is_first || !(view.is_left(fix) && view.status.overdue())) {
        return being_fixed(view, fix, problems.max(1), asked);
    }
    if view.status.overdue() {
        return overdue(view, problems);
    }
    if asked > 0 {
        let bad = needs.iter().any(|need| need.mark() == Mark::Bad);
        if problems == 0 && needs.iter().all(|need| matches!(need, Need::Unreadable(_))) {
            let verb = if asked == 1 { "thing needs" } else { "things need" };
            return Verdict::new(Mark::Bad, format!("{asked} {verb} you, as not everything can be read"));
        }
        return Verdict::new(if bad { Mark::Bad } else { Mark::Warn }, needing(problems, asked));
    }
    if problems > 0 {
        let open = view.status.incidents.iter().filter(|i| !is_mended(view, i));
        let worst = open.map(|i| Mark::of(i.severity)).max().unwrap_or(Mark::Warn);
        return Verdict::new(worst, format!("{}, nothing for you to do yet", format::count(problems, "problem")));
    }
    let bad = failing(view).filter(|verdict| verdict.mark == Mark::Bad && !has_open_incident(view));
    if let Some(bad) = bad {
        return bad;
    }
    let mended = view.status.incidents.iter().filter(|i| i.symptom_of.is_none()).count() as u64;
    if mended > 0 {
        let verb = if mended == 1 { "was" } else { "were" };
        let words = format!("{} {verb} fixed: the next pass looks again", format::count(mended, "problem"));
        return Verdict::new(Mark::Good, words);
    }
    failing(view).unwrap_or_else(|| {
        let but = if view.status.mode() == "paused" { ", but fixes are paused" } else { "" };
        Verdict::new(Mark::Good, format!("All is well{but}"))
    })
}

/// Open problems that are nobody's symptom and that no fix has just mended; what a pass has diagnosed and not opened yet as
/// well.
fn problems(view: &View, needs: &[Need]) -> u64 {
    let open = view.status.incidents.iter().filter(|i| i.symptom_of.is_none() && !is_mended(view, i)).count();
    let unopened = needs.iter().filter(|need| matches!(need, Need::Diagnosis(_, None))).count();
    (open + unopened) as u64
}

/// Whether what is red is told as an incident.
fn has_open_incident(view: &View) -> bool {
    view.status.incidents.iter().any(|i| i.severity == Health::Critical)
}

/// Whether a fix for it was kept and no pass has looked since: that one closes it.
pub fn is_mended(view: &View, incident: &Incident) -> bool {
    let mended = view.past.mended(&incident.issue_type, &incident.component);
    let looked = view.status.last_pass.as_ref().map(|pass| pass.started);
    mended.is_some_and(|mended| looked.is_none_or(|looked| looked <= mended))
}

fn overdue(view: &View, problems: u64) -> Verdict {
    let Some(pass) = &view.status.last_pass else { return Verdict::new(Mark::Unknown, "No pass yet") };
    if pass.ended() > view.now {
        let words = "The last pass is dated in the future: was the clock set back?";
        return Verdict::new(Mark::Bad, words);
    }
    let age = format::long_age(format::seconds(pass.ended(), view.now));
    let open = match problems {
        0 => String::new(),
        1 => " 1 problem was open.".to_owned(),
        n => format!(" {n} problems were open."),
    };
    Verdict::new(Mark::Bad, format!("No pass for {age}: is the timer running?{open}"))
}

fn being_fixed(view: &View, fix: &Fix, problems: u64, asked: u64) -> Verdict {
    let also = match asked {
        0 => String::new(),
        1 => "; 1 needs you".to_owned(),
        n => format!("; {n} need you"),
    };
    let some = format::count(problems, "problem");
    if view.is_left(fix) {
        return Verdict::new(Mark::Warn, format!("{some}, a fix was left open: the next pass ends it{also}"));
    }
    let which = if problems == 1 { "being fixed" } else { "1 being fixed" };
    let start = format!("{some}, {which}: ");
    match &fix.wait {
        Some(wait) => {
            let what = if wait.settling { "settling" } else { "validating" };
            let words = format!("{start}{what}, ");
            Verdict { mark: Mark::Busy, words, left: Some((wait.left_at(view.now), also)) }
        }
        None => {
            let back = fix.told.iter().any(|told| told.kind == "rolling_back");
            let what = if back { "rolling back" } else { "applying" };
            Verdict::new(Mark::Busy, format!("{start}{what}{also}"))
        }
    }
}

fn needing(problems: u64, asked: u64) -> String {
    match (problems, asked) {
        (0, 1) => "No open problem, but 1 thing needs you".to_owned(),
        (0, n) => format!("No open problem, but {n} things need you"),
        (1, 1) => "1 problem needs you".to_owned(),
        (p, n) if n == p => format!("{p} problems need you"),
        (p, n) if n > p => format!("{p} problem{}, {n} things need you", if p == 1 { "" } else { "s" }),
        (p, 1) => format!("{p} problems, 1 needs you"),
        (p, n) => format!("{p} problems, {n} need you"),
    }
}

/// Checks that are not healthy although no incident is open.
fn failing(view: &View) -> Option<Verdict> {
    let checks = view.last_pass?.pointer("/health/checks")?.as_object()?;
    let statuses = || checks.values().map(|check| format::status(&check["status"]));
    let worst = statuses().max().filter(|status| *status != Health::Healthy)?;
    let n = statuses().filter(|status| *status == worst).count() as u64;
    let verb = if n == 1 { "is" } else { "are" };
    let on = if worst == Health::Warning { "on warning" } else { worst.word() };
    Some(Verdict::new(Mark::of(worst), format!("{} {verb} {on}", format::count(n, "check"))))
}

/// The section.
pub fn section(h: &mut Html, view: &View) {
    let verdict = of(view);
    let class = ["verdict ", verdict.mark.class()].concat();
    h.tag("section", &[("id", "verdict"), ("class", &class), ("aria-labelledby", "verdict-h")], |h| {
        h.tag("div", &[("class", "big")], |h| {
            verdict.mark.draw(h);
            h.tag("h1", &[("id", "verdict-h")], |h| {
                h.text(&verdict.words);
                if let Some((left, after)) = &verdict.left {
                    format::until(h, *left, view.now);
                    h.text(&format!(" left{after}"));
                }
            });
        });
        facts(h, view);
        if view.may_act {
            h.tag("p", &[("class", "acts")], |h| buttons(h, view.status));
        }
        if !view.may_read {
            h.tag("p", &[("class", "note")], |h| {
                h.text("Log text, evidence and diffs are hidden: they need the token. ");
                button(h, &Button { act: "token", id: "", label: "Enter the token", ask: "", strong: false });
            });
        }
    });
}

fn facts(h: &mut Html, view: &View) {
    let status = view.status;
    h.tag("dl", &[("class", "facts")], |h| {
        fact(h, "Last pass", |h| match &status.last_pass {
            None => h.text("none yet; `healer heal` runs one"),
            Some(pass) => {
                format::ago(h, pass.started, view.now);
                h.text(&format!(", took {}", format::figure(pass.duration_ms as f64, "milliseconds")));
                if pass.problems > 0 {
                    h.text(&format!("; healer itself had {}", format::count(pass.problems, "problem")));
                }
            }
        });
        fact(h, "Next pass", |h| next(h, view));
        fact(h, "Mode", |h| mode(h, status));
        if let Some(who) = &status.running {
            fact(h, "At work", |h| h.text(who));
        }
        if let Some(open) = status.open.as_ref().filter(|_| view.past.fix.is_none()) {
            fact(h, "Open fix", |h| h.text(open));
        }
        for (pause, left) in status.paused() {
            fact(h, "Paused", |h| {
                let of = pause.rule.as_ref().map(|rule| format!("rule {rule}, ")).unwrap_or_default();
                h.text(&format!("{of}by {}: {}, ", pause.by, pause.reason));
                format::until(h, left.as_secs(), view.now);
                h.text(" left");
            });
        }
    });
}

fn fact(h: &mut Html, label: &str, inner: impl FnOnce(&mut Html)) {
    h.tag("div", &[], |h| {
        h.el("dt", &[], label);
        h.tag("dd", &[], inner);
    });
}

fn next(h: &mut Html, view: &View) {
    let Some(pass) = &view.status.last_pass else { return h.text("not known") };
    let every = view.status.check_interval.as_secs();
    let due = every.saturating_sub(format::seconds(pass.started, view.now));
    match (view.status.overdue(), due) {
        (true, _) => h.text("overdue"),
        (false, 0) => h.text("due now"),
        (false, due) => {
            h.text("in ");
            format::until(h, due, view.now);
        }
    }
}

fn mode(h: &mut Html, status: &Status) {
    let words = match status.mode() {
        "enabled" => "enabled: fixes are made",
        "suggest" => "suggest: a human decides",
        _ => "paused: nothing is changed",
    };
    h.text(words);
    if let Some(file) = &status.stop {
        h.text(&format!(" until {file} is removed"));
    }
    for window in &status.maintenance {
        let of = if window.rules.is_empty() { String::new() } else { format!(" of {}", window.rules.join(", ")) };
        h.text(&format!("; maintenance window {}{of}", window.name));
    }
}

fn buttons(h: &mut Html, status: &Status) {
    let ask = "Run a whole pass now, as the timer does? It may apply a fix.";
    button(h, &Button { act: "check", id: "", label: "Check now", ask, strong: true });
    let (act, label, ask) = if status.pauses.is_empty() {
        ("pause", "Pause 1 h", "Make no fix for one hour? Checks and alerts go on.")
    } else {
        ("resume", "Resume", "End every pause now, so that fixes are made again?")
    };
    button(h, &Button { act, id: "", label, ask, strong: false });
}
