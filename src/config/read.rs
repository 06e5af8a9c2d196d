//! From text to the raw types, with every error of shape and not only the first. May not live here: meaning.
//!
//! The parser recovers from syntax errors by itself. serde stops at the first key that it does not like: that entry is
//! remembered, taken out of the table, and the rest is read again.

use crate::config::at::Span;
use crate::config::manual;
use crate::config::report::{ConfigError, Source, suggest};
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

/// What reading one file gave.
pub struct Reading<T> {
    /// `None` when it does not parse.
    pub raw: Option<T>,
    pub errors: Vec<ConfigError>,
    /// Entries that were taken out; that they are missing is no error of its own.
    pub removed: Vec<Removed>,
}

/// An entry that was refused: the key in the table at this place; an empty key for an item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    pub parent: Span,
    pub key: String,
}

/// More errors than anybody reads at once.
const MOST_ERRORS: usize = 100;

/// Reads one file. The parser bounds nesting (dotted keys too), so that nothing here overflows the stack.
pub fn read<T: DeserializeOwned + Default>(source: &mut Source) -> Reading<T> {
    let text = source.text.clone();
    let (mut table, syntax) = DeTable::parse_recoverable(&text);
    if !syntax.is_empty() {
        return Reading { raw: None, errors: syntax_errors(source, &syntax), removed: Vec::new() };
    }
    source.parsed(table.get_ref());
    let (mut errors, mut removed) = (Vec::new(), Vec::new());
    loop {
        let error = match T::deserialize(Deserializer::from(table.clone())) {
            Ok(raw) => return Reading { raw: Some(raw), errors, removed },
            Err(error) => error,
        };
        let root = table.span();
        let found = error.span().and_then(|span| remove(table.get_mut(), &root, &span));
        let key = found.as_ref().map_or("", |f| f.shown.as_str());
        let written = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        let (message, help) = explain(error.message(), key, written);
        // A list of strings for a list of lists is one mistake, whatever its length.
        let of_same_list = found.as_ref().is_some_and(|found| removed.last() == Some(&found.removed));
        if !(of_same_list && message.ends_with(" must be a list, not a string")) {
            errors.push(ConfigError::at(source, &error.span().unwrap_or_default(), &message, help));
        }
        match found {
            Some(found) if removed.len() + 1 < MOST_ERRORS => removed.push(found.removed),
            _ => return Reading { raw: None, errors, removed },
        }
    }
}

/// One per line: the parser stumbles again and again over the rest of a broken one.
fn syntax_errors(source: &Source, found: &[Error]) -> Vec<ConfigError> {
    let mut errors: Vec<ConfigError> = Vec::new();
    let mut last: Option<usize> = None;
    for error in found {
        let span = error.span().unwrap_or(source.text.len()..source.text.len());
        let between = |last: usize| source.text.get(last.min(span.start)..last.max(span.start));
        let same_line = last.and_then(between).is_some_and(|text| !text.contains('\n'));
        if same_line {
            continue;
        }
        last = Some(span.start);
        let twice = error.message().contains("duplicate key");
        let help = twice.then(|| "a table or a key stands in a file once: write the two as one".to_owned());
        errors.push(ConfigError::at(source, &span, &format!("this is no TOML: {}", error.message()), help));
        if errors.len() >= MOST_ERRORS {
            break;
        }
    }
    errors
}

struct Found {
    removed: Removed,
    /// How the entry is called in a message.
    shown: String,
}

/// Takes out the entry whose key or value stands at this span.
fn remove(table: &mut DeTable<'_>, parent: &Span, span: &Span) -> Option<Found> {
    if let Some(key) = table.iter().find(|(k, v)| k.span() == *span || v.span() == *span).map(|(k, _)| k.clone()) {
        table.remove(&key);
        let name = key.into_inner().into_owned();
        return Some(Found { shown: format!("`{name}`"), removed: Removed { parent: parent.clone(), key: name } });
    }
    table.iter_mut().find_map(|(key, value)| {
        let at = value.span();
        remove_from_value(value.get_mut(), key.get_ref(), &at, span)
    })
}

fn remove_from_value(value: &mut DeValue<'_>, key: &str, at: &Span, span: &Span) -> Option<Found> {
    match value {
        DeValue::Table(table) => remove(table, at, span),
        DeValue::Array(items) => {
            if let Some(i) = items.iter().position(|item| item.span() == *span) {
                let kept = items.iter().enumerate().filter(|(n, _)| *n != i).map(|(_, item)| item.clone());
                *items = kept.collect();
                let removed = Removed { parent: at.clone(), key: String::new() };
                return Some(Found { shown: format!("every item of `{key}`"), removed });
            }
            items.iter_mut().find_map(|item| {
                let at = item.span();
                remove_from_value(item.get_mut(), key, &at, span)
            })
        }
        _ => None,
    }
}

/// serde's message in plain words, without the value that it quotes: that may be a secret.
fn explain(message: &str, key: &str, written: &str) -> (String, Option<String>) {
    let key = if key.is_empty() { "this" } else { key };
    let word = || message.split('`').nth(1).unwrap_or_default();
    let choices = || -> Vec<&str> {
        let list = message.split_once("expected ").map_or("", |(_, list)| list);
        list.split('`').skip(1).step_by(2).collect()
    };
    if message.starts_with("unknown field") {
        let (name, known) = (key.trim_matches('`'), choices());
        let help = belongs(name, &known).unwrap_or_else(|| suggest(name, &known, "keys known here"));
        return (format!("unknown key {key}"), Some(help));
    }
    if message.starts_with("unknown variant") {
        let key = key.replace("every item of", "an item of");
        return (format!("{key} cannot be `{}`", word()), Some(suggest(word(), &choices(), "one of")));
    }
    if let Some((found, expected)) = message.strip_prefix("invalid ").and_then(|m| m.rsplit_once(", expected ")) {
        let found = found.split_once(": ").map_or(found, |(_, found)| found);
        let found = found.split([' ', '`', '"']).next().unwrap_or_default();
        return (
            format!("{key} must be {}, not {}", kind(expected), kind(found)),
            proposal(key, kind(expected), written),
        );
    }
    match message {
        "wanted string or table" => (format!("{key} must be a string"), None),
        m if m.starts_with("wanted exactly") => (format!("{key} must be a string, not a table"), None),
        m => (m.to_owned(), None),
    }
}

/// Where a key belongs that is known, and not where it stands: TOML takes every line after a header for the header's own.
fn belongs(key: &str, known_here: &[&str]) -> Option<String> {
    let sections = manual::sections();
    let has = |name: &str| sections.get(name).is_some_and(|keys| keys.iter().any(|(k, _)| k == key));
    if !known_here.contains(&"limits") {
        let is_rules_file = known_here == ["signature", "rule"];
        return (!is_rules_file && has("top level"))
            .then(|| "it belongs to the top, before the first [section]".into());
    }
    let mut homes = sections.keys().filter(|name| name.starts_with('[') && has(name));
    let home = homes.next()?;
    homes.next().is_none().then(|| format!("it belongs into {home}"))
}

/// How such a value is written, where that is not plain from its type.
fn proposal(key: &str, expected: &str, written: &str) -> Option<String> {
    let is_program = ["`run`", "`command`", "`undo`"].contains(&key);
    let is_one_of_programs = ["every item of `command`", "every item of `commands`"].contains(&key);
    match expected {
        "a list" if is_one_of_programs => {
            Some("each program in brackets of its own: [[\"/path/of/program\", \"argument\"]]".to_owned())
        }
        "a list" if is_program => Some("each word by itself: [\"/path/of/program\", \"argument\"]".to_owned()),
        "a list" if written.starts_with('{') => Some("in brackets, as there may be several: [{ ... }]".to_owned()),
        "a list" if written.starts_with('[') => {
            Some(format!("in double brackets, as there may be several: [{written}]"))
        }
        "a list" => Some("in brackets: [\"...\"]".to_owned()),
        _ => None,
    }
}

/// A type of serde's in the words of TOML.
fn kind(word: &str) -> &str {
    match word {
        "integer" | "i64" => "a whole number",
        "floating" | "f64" => "a number",
        "boolean" | "a boolean" => "true or false",
        "string" => "a string",
        "sequence" | "a sequence" => "a list",
        "map" | "a map" => "a table",
        other => other,
    }
}
