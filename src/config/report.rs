//! Errors of the configuration: what is told, where, and how it looks. May not live here: what is an error.

use crate::config::at::Span;
use crate::config::mask::{MASK, is_secret_key, secret_spans};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// One thing wrong in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub file: PathBuf,
    /// From 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    /// One sentence, no full stop.
    pub message: String,
    /// What to do, where there is something to say.
    pub help: Option<String>,
    excerpt: Option<Box<Excerpt>>,
}

/// The line that is meant, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    text: String,
    /// In characters of `text`.
    caret: usize,
    width: usize,
}

/// All errors of a configuration, as people read them.
#[derive(Debug, Clone)]
pub struct LoadError {
    errors: Vec<ConfigError>,
}

/// The text of one file and the places in it that hold secrets.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
    secrets: Vec<Span>,
    /// False when it could not be parsed: `secrets` may then be too few.
    whole: bool,
}

/// How a proposal begins.
const MEANT: &str = "did you mean";

/// A longer line is cut around the caret.
const LONGEST_LINE: usize = 160;

impl LoadError {
    pub fn new(errors: Vec<ConfigError>) -> Self {
        LoadError { errors }
    }

    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// The first error with its place and what was probably meant, and how many more there are.
    pub fn in_one_line(&self) -> String {
        let Some(first) = self.errors.first() else { return self.to_string() };
        let more = match self.errors.len() - 1 {
            0 => String::new(),
            n => format!("; and {n} more"),
        };
        let line = first.line.map_or_else(String::new, |line| format!(":{line}"));
        let meant = first.help.as_deref().filter(|help| help.starts_with(MEANT));
        let meant = meant.map_or_else(String::new, |meant| format!(" ({meant})"));
        format!("configuration: {}{line}: {}{meant}{more}", printable(&first.file.display().to_string()), first.message)
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for error in &self.errors {
            writeln!(f, "{error}\n")?;
        }
        match self.errors.len() {
            1 => write!(f, "the configuration has an error; nothing was run"),
            n => write!(f, "the configuration has {n} errors; nothing was run"),
        }
    }
}

impl std::error::Error for LoadError {}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.told_as("error", f)
    }
}

impl ConfigError {
    /// With its place and the line that is meant, as something that is allowed.
    pub fn as_warning(&self) -> String {
        struct Warning<'a>(&'a ConfigError);
        impl std::fmt::Display for Warning<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.told_as("warning", f)
            }
        }
        Warning(self).to_string()
    }

    /// `FILE:LINE: message`.
    pub fn in_one_line(&self) -> String {
        let file = printable(&self.file.display().to_string());
        match self.line {
            Some(line) => format!("{file}:{line}: {}", self.message),
            None if file.is_empty() => self.message.clone(),
            None => format!("{file}: {}", self.message),
        }
    }

    fn told_as(&self, word: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{word}: {}", self.message)?;
        let gutter = self.line.map_or(1, |line| line.to_string().len());
        let file = printable(&self.file.display().to_string());
        if !file.is_empty() {
            write!(f, "\n{:gutter$}--> {file}", "")?;
        }
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
            if let Some(e) = &self.excerpt {
                write!(f, "\n{:gutter$} |\n{line} | {}", "", e.text)?;
                write!(f, "\n{:gutter$} | {:caret$}{}", "", "", "^".repeat(e.width), caret = e.caret)?;
            }
        }
        match &self.help {
            Some(help) => write!(f, "\n{:gutter$} = help: {help}", ""),
            None => Ok(()),
        }
    }
}

impl ConfigError {
    /// An error about a file as a whole.
    pub fn whole_file(file: &Path, message: impl Into<String>, help: Option<String>) -> Self {
        let message = printable(&message.into());
        ConfigError { file: file.into(), line: None, column: None, message, help, excerpt: None }
    }

    /// An error at a place of a source. Any span is coped with.
    pub fn at(source: &Source, span: &Span, message: &str, help: Option<String>) -> Self {
        let text = source.text.as_str();
        let at = floor_boundary(text, span.start);
        let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = after.split('\n').next().map_or("", |rest| text.get(start..at + rest.len()).unwrap_or_default());
        let line = line.strip_suffix('\r').unwrap_or(line);
        let end = span.end.clamp(at, (start + line.len()).max(at));
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        ConfigError {
            file: source.path.clone(),
            line: Some(before.matches('\n').count() + 1),
            column: Some(column),
            message: printable(message),
            help: help.map(|h| printable(&h)),
            excerpt: Some(Box::new(excerpt(line, at - start..end - start, &source.secrets_of_line(start, line)))),
        }
    }
}

impl Source {
    /// A file before it is parsed: every multi-line string counts as secret.
    pub fn unparsed(path: PathBuf, text: String) -> Self {
        Source { path, text, secrets: Vec::new(), whole: false }
    }

    /// Remembers where secrets stand.
    pub fn parsed(&mut self, table: &DeTable<'_>) {
        self.secrets = Vec::new();
        collect_secrets(table, false, &mut self.secrets);
        self.whole = true;
    }

    /// Ranges of this line (in its own coordinates) that are known to be secret.
    fn secrets_of_line(&self, start: usize, line: &str) -> Vec<Span> {
        let end = start + line.len();
        if !self.whole {
            let before = self.text.get(..start).unwrap_or_default();
            let open = |quotes: &str| before.matches(quotes).count() % 2 == 1;
            return if open("\"\"\"") || open("'''") { std::iter::once(0..line.len()).collect() } else { Vec::new() };
        }
        let inside = |s: &&Span| s.start < end && s.end > start;
        self.secrets.iter().filter(inside).map(|s| s.start.max(start) - start..s.end.min(end) - start).collect()
    }
}

/// Spans of the values whose key, or the table they stand in, is named like a secret.
fn collect_secrets(table: &DeTable<'_>, secret: bool, spans: &mut Vec<Span>) {
    for (key, value) in table {
        let secret = secret || is_secret_key(key.get_ref());
        collect_value(value.get_ref(), &value.span(), secret, spans);
    }
}

fn collect_value(value: &DeValue<'_>, span: &Span, secret: bool, spans: &mut Vec<Span>) {
    match value {
        DeValue::Table(table) => collect_secrets(table, secret, spans),
        DeValue::Array(items) => items.iter().for_each(|i| collect_value(i.get_ref(), &i.span(), secret, spans)),
        // A string's span has its quotes.
        DeValue::String(_) if secret => spans.push(span.start + 1..span.end.saturating_sub(1).max(span.start + 1)),
        _ if secret => spans.push(span.clone()),
        _ => {}
    }
}

/// The line with its secrets hidden, cut to a width, and the caret where it then stands.
fn excerpt(line: &str, span: Span, known: &[Span]) -> Excerpt {
    let mut shown: Vec<char> = Vec::new();
    let (mut from, mut to) = (None, None);
    let mut hidden = secret_spans(line, known).into_iter().peekable();
    let mut masked_until = 0;
    for (i, c) in line.char_indices() {
        if i >= span.start && from.is_none() {
            from = Some(shown.len());
        }
        if i >= span.end && to.is_none() {
            to = Some(shown.len());
        }
        while let Some(h) = hidden.next_if(|h| h.start <= i) {
            masked_until = h.end;
            shown.extend(MASK.chars());
        }
        if i >= masked_until {
            shown.push(if c == '\t' { ' ' } else { printable_char(c) });
        }
    }
    let from = from.unwrap_or(shown.len());
    let to = to.unwrap_or(shown.len()).max(from);
    cut(&shown, from, to)
}

/// At most [`LONGEST_LINE`] characters around the caret.
fn cut(shown: &[char], from: usize, to: usize) -> Excerpt {
    let first = if shown.len() <= LONGEST_LINE { 0 } else { from.saturating_sub(LONGEST_LINE / 2) };
    let last = (first + LONGEST_LINE).min(shown.len());
    let (left, right) = (if first > 0 { "..." } else { "" }, if last < shown.len() { "..." } else { "" });
    let text: String = shown.get(first..last).unwrap_or_default().iter().collect();
    Excerpt {
        text: format!("{left}{text}{right}").trim_end().to_owned(),
        caret: from - first + left.len(),
        width: to.min(last).saturating_sub(from).max(1),
    }
}

/// Control and direction-changing characters never reach a terminal.
fn printable_char(c: char) -> char {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { '\u{fffd}' } else { c }
}

fn printable(text: &str) -> String {
    text.chars().map(printable_char).collect()
}

fn floor_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// The candidate that is most like the word, where one is close enough to be meant.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 4);
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let near = candidates
        .iter()
        .map(|c| (strsim::osa_distance(&word, &c.to_lowercase()), *c))
        .filter(|(distance, c)| *distance <= limit && *distance < c.chars().count())
        .min()
        .map(|(_, c)| c);
    near.or_else(|| begun(&word, &candidates))
}

/// The only candidate that begins so, where the word is long enough to be no accident.
fn begun<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let mut begin_so = candidates.iter().filter(|c| c.to_lowercase().starts_with(word));
    let only = begin_so.next().filter(|_| word.chars().count() >= 3)?;
    begin_so.next().is_none().then_some(*only)
}

/// `did you mean` where a candidate is close, else what there is.
pub fn suggest(word: &str, candidates: &[&str], what_there_is: &str) -> String {
    match closest(word, candidates.iter().copied()) {
        Some(found) => format!("{MEANT} `{found}`?"),
        None if candidates.is_empty() => "none is configured: add it, or take this out".to_owned(),
        None => format!("{what_there_is}: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_close_is_proposed() {
        for (word, found) in [
            ("nmae", Some("name")),
            ("rate_limt", Some("rate_limit")),
            ("Name", Some("name")),
            ("rate", Some("rate_limit")),
            ("ra", None),
            ("zzz", None),
            ("x", None),
        ] {
            assert_eq!(closest(word, ["name", "rate_limit", "no"]), found, "{word}");
        }
    }

    #[test]
    fn one_line_is_enough_to_mend_a_slip() {
        let check = |help: &str, expected: &str| {
            let source = Source::unparsed("f".into(), "on = 1".into());
            let error = ConfigError::at(&source, &(0..2), "no", Some(help.into()));
            assert_eq!(LoadError::new(vec![error]).in_one_line(), expected);
        };
        check("did you mean `healed`?", "configuration: f:1: no (did you mean `healed`?)");
        check("one of: a, b", "configuration: f:1: no");
    }

    #[test]
    fn escape_sequences_and_long_lines_are_tamed() {
        let long = format!("{}\u{1b}[31mX{}", "a".repeat(300), "b".repeat(300));
        let error = ConfigError::at(&Source::unparsed("f".into(), long), &(305..306), "bad \u{1b} thing", None);
        let text = error.to_string();
        assert!(!text.contains('\u{1b}') && text.lines().all(|l| l.chars().count() < 180), "{text}");
        let line = text.lines().nth(3).unwrap().chars().collect::<Vec<_>>();
        let caret = text.lines().nth(4).unwrap().find('^').unwrap();
        assert_eq!(line[caret], 'X');
    }

    proptest::proptest! {
        #[test]
        fn any_span_of_any_text_can_be_shown(text in "[aé\t\n\r\"=:/@]{0,40}", a in 0usize..60, b in 0usize..60) {
            let _ = ConfigError::at(&Source::unparsed("f".into(), text), &(a..b), "m", None).to_string();
        }
    }
}
