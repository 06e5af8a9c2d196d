//! Snapshots: what a command prints, held byte for byte against a file of `tests/golden`. May not live here: which
//! commands, and on what.

use super::{Ran, Root, spawn_command};
use regex::Regex;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Widths at which every text is seen.
pub const WIDTHS: [usize; 2] = [80, 120];

/// Renews what is committed instead of holding against it.
pub fn is_renewing() -> bool {
    std::env::var("HEALER_GOLDEN").is_ok_and(|value| value == "write")
}

/// A file of `tests/golden`.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Holds a text against the committed one, or renews that.
#[track_caller]
pub fn assert_golden(name: &str, text: &str) {
    let path = golden(name);
    if is_renewing() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        return std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if committed != text {
        let difference = similar::TextDiff::from_lines(&committed, text);
        let difference = difference.unified_diff().header(&format!("tests/golden/{name}"), "now").to_string();
        panic!("the text is another one; if it is meant, HEALER_GOLDEN=write renews it\n{difference}");
    }
}

/// One way to look at a command.
#[derive(Clone, Copy)]
pub struct Look {
    pub width: usize,
    pub color: bool,
}

/// At both widths, without and with colour.
pub fn looks() -> impl Iterator<Item = Look> {
    [false, true].into_iter().flat_map(|color| WIDTHS.map(|width| Look { width, color }))
}

/// Runs a command as on a terminal of that width.
#[track_caller]
pub fn run_looked(root: &Root, args: &[&str], look: Look) -> Ran {
    let mut command = root.command(args);
    command.env("COLUMNS", look.width.to_string()).env("USER", "anna").env_remove("NO_COLOR");
    command.args(["--color", if look.color { "always" } else { "never" }]);
    spawn_command(command).wait()
}

/// What one look shows: what was typed, both streams, the exit code.
pub fn shown(args: &[&str], look: Look, ran: &Ran, mask: &Mask) -> String {
    let color = if look.color { ", coloured" } else { "" };
    let mut text = format!("=== {} columns{color}\n$ healer {}\n", look.width, mask.of(&args.join(" ")));
    let visible = |stream: &str| mask.of(stream).replace('\u{1b}', "\\e");
    text.push_str(&visible(&ran.stdout));
    if !ran.stderr.is_empty() {
        write!(text, "--- stderr\n{}", visible(&ran.stderr)).unwrap();
    }
    writeln!(text, "--- exit {}\n", ran.code.unwrap()).unwrap();
    text
}

/// No line is longer than the terminal is wide, but for what must not be broken: the line of a monitoring plugin, lines of
/// a diff and of a quoted file, and a word (a path, a command) that is too long for any line.
#[track_caller]
pub fn assert_fits(ran: &Ran, width: usize) {
    let quoted = Regex::new(r"^\s*(\d+ )?[|>] |^ *-->|^[a-z_]+ = ").unwrap();
    let command = Regex::new("`[^`]*`").unwrap();
    for line in ran.stdout.lines().chain(ran.stderr.lines()) {
        let line = without_escapes(line);
        let is_whole = line.starts_with("HEALER ") || line.trim_start().starts_with(['|', '+', '-', '@']);
        let is_quoted = quoted.is_match(&line);
        let is_one_word = !command.replace_all(line.trim(), "x").contains(' ');
        let fits = line.chars().count() <= width;
        assert!(fits || is_whole || is_quoted || is_one_word, "longer than {width}:\n{line}");
    }
}

/// A text without what colours it.
pub fn without_escapes(text: &str) -> String {
    Regex::new("\u{1b}\\[[0-9;]*m").unwrap().replace_all(text, "").into_owned()
}

/// What varies from run to run and what stands there instead, of the same width: tables keep their columns.
pub struct Mask {
    root: String,
    replacements: Vec<(Regex, &'static str)>,
}

impl Mask {
    pub fn new(root: &Root) -> Mask {
        let replacements = [
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "YYYY-MM-DDTHH:MM:SSZ"),
            (r"_\d{8}_\d{6}", "_YYYYMMDD_HHMMSS"),
            (r"plan_[0-9a-f]{12}", "plan_XXXXXXXXXXXX"),
            (r"fix_YYYYMMDD_HHMMSS_[0-9a-f]{12}", "fix_YYYYMMDD_HHMMSS_XXXXXXXXXXXX"),
            (r"until \d\d:\d\d", "until HH:MM"),
            // Of the column of times, five wide, and of a sentence.
            (r"(?: {4}\d| {3}\d\d| {2}\d{3}| \d{4}|\d{5}) ms\b", "    N ms"),
            (r"((?:after|within)\s+)\d+( ms)", "${1}N$2"),
            (r"(\dh\d\dm)\d\ds left", "${1}NNs left"),
            (r"process \d+", "process PID"),
            (r"(errors\s+in\s+)\d\.\ds", "${1}N.Ns"),
            (r"(where\s+)\d\d\.\d", "${1}NN.N"),
            (r"(where\s+)\d\.\d", "${1}N.N"),
            (r"127\.0\.0\.1:\d{5}", "127.0.0.1:PORT5"),
        ];
        Mask {
            root: root.dir().to_str().unwrap().to_owned(),
            replacements: replacements.map(|(from, to)| (Regex::new(from).unwrap(), to)).into(),
        }
    }

    /// One more, for what only one command prints.
    pub fn with(mut self, from: &str, to: &'static str) -> Mask {
        self.replacements.push((Regex::new(from).unwrap(), to));
        self
    }

    pub fn of(&self, text: &str) -> String {
        let text = text.replace(&self.root, "/tmp/healer-root.XXXXXX");
        self.replacements.iter().fold(text, |text, (from, to)| from.replace_all(&text, *to).into_owned())
    }
}
