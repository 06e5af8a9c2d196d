//! The dashboard: one page, drawn here from what passes have left, with a style sheet and a script beside it. Without
//! JavaScript it is the same page; with it, it keeps itself up to date, and its buttons work.
//!
//! Pure: a [`View`] in, HTML out. Whatever a log, a name or an error says is text: it becomes markup nowhere. May not live
//! here: reading files, HTTP.

use crate::past::{Past, Samples};
use crate::show::status::Status;
use jiff::Timestamp;
use serde_json::Value;

/// Everything that the page shows.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub now: Timestamp,
    pub status: &'a Status,
    /// `last_pass.json`, where there is one.
    pub last_pass: Option<&'a Value>,
    pub past: &'a Past,
    pub samples: &'a Samples,
    /// Buttons do something: actions are on.
    pub may_act: bool,
    /// Who asks may read log text, diffs and events: he gave the token, or none is set.
    pub may_read: bool,
}

/// The whole page.
pub fn page(view: &View) -> String {
    format!("<!doctype html><title>healer</title><main>{}</main>", main(view))
}

/// What is inside its `<main>`: what the script fetches again when something has happened.
pub fn main(view: &View) -> String {
    format!("{}", view.status.mode())
}

/// The style sheet and the script.
pub const STYLE: &str = "";
pub const SCRIPT: &str = "";

/// The page of who may be told nothing yet: it asks for the token.
pub fn locked() -> String {
    String::new()
}
