//! What people and programs read: tables, diffs, live lines, the plugin line, JSON bodies.
//!
//! The only place that names comfy-table and similar. Nothing here can panic on a closed pipe or a full disk. May not
//! live here: deciding anything.

pub mod backups;
pub mod checks;
pub mod debt;
pub mod decision;
pub mod diagnosis;
pub mod diff;
pub mod explained;
pub mod history;
pub mod init;
pub mod json;
pub mod junit;
pub mod last_pass;
pub mod live;
pub mod prometheus;
pub mod rule_show;
pub mod rule_tests;
pub mod rules;
pub mod stats;
pub mod status;
pub mod wrap;

use comfy_table::{ContentArrangement, Table, presets};
use std::io::{IsTerminal, Write};

use crate::config::Redactor;
use crate::diagnose::rules::shown;
use crate::host::clock;
use crate::hush::hush_json;
use crate::model::Status;
pub use crate::text::coarse;

/// Where and how output goes.
#[derive(Debug, Clone)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
    pub verbose: bool,
    pub color: bool,
    /// Columns of stdout.
    pub width: u16,
    /// Columns of stderr; where it is no terminal a sentence stays one line, as journals and pipes want it.
    pub note_width: u16,
    /// A person is at the other end of stderr: live lines may be rewritten.
    pub live: bool,
    pub redactor: Redactor,
}

impl Output {
    /// Text for no terminal: no colour, nothing live.
    pub fn plain() -> Output {
        Output {
            json: false,
            quiet: false,
            verbose: false,
            color: false,
            width: 100,
            note_width: u16::MAX,
            live: false,
            redactor: Redactor::default(),
        }
    }

    /// Writes one line to stdout. A reader that has gone away is no error of ours.
    pub fn line(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "{}", self.redactor.redact(text));
    }

    /// Writes one line to stdout; whether somebody is still there to read it.
    pub fn reached(&self, text: &str) -> bool {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", self.redactor.redact(text)).is_ok()
    }

    /// Writes one line to stderr.
    pub fn note(&self, text: &str) {
        let text = self.redactor.redact(text);
        // What has lines of its own, an error with its caret or a diff, keeps them.
        let text = if text.contains('\n') { text } else { wrap::wrap(&text, self.note_width.into(), 2).into() };
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "{text}");
    }

    /// Writes to stdout in text mode only.
    pub fn text(&self, text: &str) {
        if !self.json {
            self.line(text);
        }
    }

    /// Writes sentences to stdout in text mode only, broken to its width; what follows a break stands so many columns in.
    pub fn prose(&self, text: &str, indent: usize) {
        self.text(&self.wrapped(text, indent));
    }

    /// The text broken to the width of stdout.
    pub fn wrapped(&self, text: &str, indent: usize) -> String {
        wrap::wrap(text, self.width.into(), indent)
    }

    /// Writes the one JSON document of `--json`; without it nothing is made.
    pub fn document(&self, make: impl FnOnce() -> serde_json::Value) {
        if self.json {
            // The value is gone before its text is looked through, and perhaps copied.
            let text = hush_json(make()).to_string();
            self.line(&crate::text::inert_json(&text));
        }
    }

    /// Text in bold, where colour is on.
    pub fn bold(&self, text: &str) -> String {
        if self.color { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A status word in its colour, where colour is on; the word itself always says it.
    pub fn status(&self, status: Status) -> String {
        let code = match status {
            Status::Healthy => 32,
            Status::Warning => 33,
            Status::Critical => 31,
            Status::Unknown => 35,
        };
        if self.color { format!("\u{1b}[{code}m{status}\u{1b}[0m") } else { status.to_string() }
    }

    /// A table without borders, as wide as the terminal at most.
    pub fn table(&self, header: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(self.width);
        table.set_header(header.iter().map(|h| h.to_uppercase()));
        table
    }

    /// A table as text, without the spaces that pad its lines; the words under `STATUS` in their colours.
    pub fn rendered(&self, table: &Table) -> String {
        let lines: Vec<String> =
            table.lines().map(|l| l.trim_end().strip_prefix(' ').unwrap_or(l.trim_end()).to_owned()).collect();
        let column = lines.first().and_then(|header| header.find("STATUS")).filter(|_| self.color);
        let painted = lines.iter().enumerate().map(|(n, line)| match column {
            Some(_) if n == 0 => self.bold(line),
            Some(at) => self.paint_word(line, at),
            None => line.clone(),
        });
        painted.collect::<Vec<_>>().join("\n")
    }

    /// The status word that begins at this column, counted in characters, in its colour.
    fn paint_word(&self, line: &str, column: usize) -> String {
        let Some(at) = line.char_indices().nth(column).map(|(at, _)| at) else { return line.to_owned() };
        let (head, tail) = line.split_at(at);
        for status in [Status::Healthy, Status::Warning, Status::Critical, Status::Unknown] {
            if let Some(rest) = tail.strip_prefix(status.word()) {
                return format!("{head}{}{rest}", self.status(status));
            }
        }
        line.to_owned()
    }
}

/// `1 check`, `2 checks`.
pub fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// How long ago, as people say it: the seconds of the last minute, the minutes of the last hour, then hours and days.
pub fn ago(t: jiff::Timestamp, now: jiff::Timestamp) -> String {
    match coarse(clock::between(t, now)) {
        span if span.is_zero() => "just now".to_owned(),
        span => format!("{} ago", shown(span)),
    }
}

/// Columns of stdout: as `COLUMNS` says, else as wide as its terminal is, else 80.
pub fn terminal_width() -> u16 {
    let size = || rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|s| s.ws_col).filter(|c| *c > 0);
    columns_variable().or_else(size).unwrap_or(80).max(NARROWEST)
}

/// Columns of stderr, where it is a terminal or `COLUMNS` says them.
pub fn note_width() -> u16 {
    let size = || rustix::termios::tcgetwinsize(std::io::stderr()).ok().map(|s| s.ws_col).filter(|c| *c > 0);
    columns_variable().or_else(size).map_or(u16::MAX, |width| width.max(NARROWEST))
}

/// On less nothing is readable.
const NARROWEST: u16 = 40;

fn columns_variable() -> Option<u16> {
    std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0)
}

/// Whether colour is wanted: `NO_COLOR`, `TERM=dumb` and a missing terminal switch it off.
pub fn wants_color() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    std::io::stdout().is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}
