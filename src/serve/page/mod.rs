//! The dashboard: one page, drawn here from what passes have left, with a style sheet and a script beside it. Without
//! JavaScript it is the same page; with it, it keeps itself up to date, and its buttons work.
//!
//! Pure: a [`View`] in, HTML out. Whatever a log, a name or an error says is text: it becomes markup nowhere. May not live
//! here: reading files, HTTP.

mod checks;
mod evidence;
mod format;
mod happened;
mod html;
mod needs;
mod progress;
mod svg;
mod trends;
mod verdict;

#[cfg(test)]
mod tests;

use crate::past::{Fix, Past, Samples};
use crate::show::status::Status;
use format::Mark;
use html::Html;
use jiff::Timestamp;
use serde_json::Value;

/// What `/app.js` answers.
pub const SCRIPT: &str = include_str!("app.js");
/// What `/style.css` answers.
pub const STYLE: &str = include_str!("style.css");

/// The icon is part of the page: a browser asks for nothing more.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect \
                    width='16' height='16' rx='4' fill='%23157f5b'/%3E%3Cpath d='M2 8.5h3l1.5-4 3 8 1.5-4h3' fill='none' \
                    stroke='%23fff' stroke-width='1.6'/%3E%3C/svg%3E";

/// Everything that the page shows.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub now: Timestamp,
    pub status: &'a Status,
    /// `last_pass.json`, where there is one.
    pub last_pass: Option<&'a Value>,
    /// What could not be read for this page, a sentence each.
    pub unreadable: &'a [String],
    pub past: &'a Past,
    pub samples: &'a Samples,
    /// Buttons do something: actions are on.
    pub may_act: bool,
    /// Who asks may read log text, diffs and events: he gave the token, or none is set.
    pub may_read: bool,
}

impl View<'_> {
    /// Whether a fix has lost its pass: it was stopped, or killed, and the next one ends the fix.
    fn is_left(&self, fix: &Fix) -> bool {
        fix.left_open || self.status.running.is_none()
    }
}

/// The whole page.
pub fn page(view: &View) -> String {
    document(&verdict::of(view).sentence(), |h| sections(h, view))
}

/// The page of who may be told nothing yet: it asks for the token.
pub fn locked() -> String {
    document("Token needed", |h| {
        h.tag("section", &[("id", "locked"), ("class", "verdict dunno"), ("aria-labelledby", "locked-h")], |h| {
            h.tag("div", &[("class", "big")], |h| {
                Mark::Unknown.draw(h);
                h.el("h1", &[("id", "locked-h")], "This page needs the token");
            });
            let text = "It is the one of [serve] in the configuration. Without JavaScript it cannot be given here.";
            h.el("p", &[("class", "note")], text);
            h.tag("p", &[("class", "acts")], |h| {
                button(h, &Button { act: "token", id: "", label: "Enter the token", ask: "", strong: true });
            });
        });
    })
}

fn document(title: &str, inside: impl FnOnce(&mut Html)) -> String {
    let mut h = Html::document();
    h.tag("html", &[("lang", "en")], |h| {
        h.tag("head", &[], |h| {
            h.void("meta", &[("charset", "utf-8")]);
            h.void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
            h.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
            h.el("title", &[], &format!("{title} · healer"));
            h.void("link", &[("rel", "icon"), ("href", ICON)]);
            h.void("link", &[("rel", "stylesheet"), ("href", "/style.css")]);
            h.tag("script", &[("src", "/app.js"), ("defer", "")], |_| {});
        });
        h.tag("body", &[], |h| {
            h.el("a", &[("class", "skip"), ("href", "#main")], "Skip to the content");
            h.tag("header", &[], header);
            h.tag("p", &[("id", "line"), ("role", "status")], |_| {});
            h.tag("main", &[("id", "main"), ("tabindex", "-1")], inside);
            dialogs(h);
        });
    });
    h.into_string()
}

/// What is inside its `<main>`: what the script fetches again when something has happened.
pub fn main(view: &View) -> String {
    let mut h = Html::new();
    sections(&mut h, view);
    h.into_string()
}

fn sections(h: &mut Html, view: &View) {
    let now = view.now.as_second().to_string();
    let read = if view.may_read { "yes" } else { "no" };
    h.tag("div", &[("id", "clock"), ("data-now", &now), ("data-read", read), ("hidden", "")], |_| {});
    verdict::section(h, view);
    needs::section(h, view);
    progress::section(h, view);
    checks::section(h, view);
    happened::section(h, view);
    trends::section(h, view);
}

fn header(h: &mut Html) {
    h.tag("p", &[("class", "brand")], |h| h.text("healer"));
    h.tag("noscript", &[], |h| {
        h.text("Without JavaScript this page does not update by itself, and it has no buttons.")
    });
    h.tag("div", &[("class", "tools"), ("role", "search")], |h| {
        h.tag("label", &[("class", "vh"), ("for", "search")], |h| h.text("Search checks and happenings"));
        h.void("input", &[("id", "search"), ("type", "search"), ("placeholder", "Search"), ("autocomplete", "off")]);
        h.tag("label", &[("class", "toggle")], |h| {
            h.void("input", &[("id", "failing"), ("type", "checkbox")]);
            h.text(" Failing only");
        });
        button(h, &Button { act: "token", id: "open", label: "Token", ask: "", strong: false });
    });
}

/// What the script fills and opens.
fn dialogs(h: &mut Html) {
    h.tag("div", &[("id", "said"), ("hidden", "")], |h| {
        h.tag("p", &[("role", "status"), ("aria-live", "assertive")], |_| {});
        h.tag("button", &[("type", "button"), ("class", "btn"), ("data-act", "close")], |h| h.text("Close"));
    });
    h.tag("p", &[("id", "heard"), ("class", "vh"), ("aria-live", "polite")], |_| {});
    h.tag("dialog", &[("id", "ask"), ("aria-labelledby", "ask-h"), ("aria-describedby", "ask-p")], |h| {
        h.tag("form", &[("method", "dialog")], |h| {
            h.tag("h2", &[("id", "ask-h")], |_| {});
            h.tag("p", &[("id", "ask-p")], |_| {});
            h.tag("label", &[("id", "ask-l"), ("hidden", "")], |h| {
                h.text("Reason");
                h.void("input", &[("id", "reason"), ("maxlength", "200"), ("autocomplete", "off")]);
            });
            choices(h, "Do it");
        });
    });
    h.tag("dialog", &[("id", "token"), ("aria-labelledby", "token-h"), ("aria-describedby", "token-p")], |h| {
        h.tag("form", &[("method", "dialog")], |h| {
            h.el("h2", &[("id", "token-h")], "Token");
            h.el("p", &[("id", "token-p")], "Log text, diffs and buttons need it. It is kept for this tab only.");
            h.tag("label", &[], |h| {
                h.text("Token");
                h.void("input", &[("id", "secret"), ("type", "password"), ("autocomplete", "off")]);
            });
            h.tag("p", &[("class", "acts")], |h| {
                h.el("button", &[("type", "submit"), ("class", "btn strong"), ("value", "yes")], "Use it");
                h.el("button", &[("type", "button"), ("class", "btn"), ("data-act", "forget")], "Forget token");
                h.el("button", &[("type", "button"), ("class", "btn"), ("data-act", "cancel")], "Cancel");
            });
        });
    });
}

fn choices(h: &mut Html, yes: &str) {
    h.tag("p", &[("class", "acts")], |h| {
        h.el("button", &[("type", "submit"), ("class", "btn strong"), ("id", "yes")], yes);
        h.el("button", &[("type", "button"), ("class", "btn"), ("data-act", "cancel")], "Cancel");
    });
}

/// A button of which the script knows what to do.
struct Button<'a> {
    act: &'a str,
    /// What it is about: an id of ours, or nothing.
    id: &'a str,
    label: &'a str,
    /// The sentence that is asked first.
    ask: &'a str,
    strong: bool,
}

fn button(h: &mut Html, b: &Button) {
    let key = format!("{}-{}", b.act, b.id);
    let attrs = [
        ("type", "button"),
        ("class", if b.strong { "btn strong" } else { "btn" }),
        ("data-act", b.act),
        ("data-id", b.id),
        ("data-ask", b.ask),
        ("data-key", &key),
    ];
    h.el("button", &attrs, b.label);
}
