//! A literal as it stands in a file: its spelling, its type in that file, and what a person reads in it.

use super::number::{Number, NumberSyntax};
use crate::config::Format;

/// The type that a value has to the readers of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Integer,
    Float,
    Bool,
    /// Quoted, or in a format that knows only text (INI, .env).
    Text,
    /// YAML only; never a literal that is edited.
    Null,
    /// YAML 1.1 only: `2024-01-31` is a date to an old reader and a string to a new one.
    Date,
}

/// How a literal is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    Plain,
    /// YAML, within `[...]` or `{...}`.
    PlainInFlow,
    Single,
    Double,
    /// The value of a `KEY=value` item: a part of a scalar that is delimited so.
    PartOfPlain,
    PartOfQuoted,
}

/// What a person reads in a literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Perhaps with a unit suffix, perhaps quoted.
    Number(Number),
    Text(String),
    Bool(bool),
    /// A number that arithmetic is refused on, and why.
    Odd(&'static str),
}

/// One literal: what is between the ends of its span, and what that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// As it stands in the file, quotes and unit suffix included.
    pub raw: String,
    pub value: Value,
    pub kind: Kind,
    pub quote: Quote,
    pub format: Format,
    /// YAML: the type to a reader of YAML 1.1 (PyYAML, Ruby); elsewhere the same as `kind`.
    pub(super) legacy: Kind,
}

/// A scalar of a file, before anything is read in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar<'a> {
    pub kind: Kind,
    pub legacy: Kind,
    pub quote: Quote,
    /// Without quotes, escapes resolved.
    pub text: std::borrow::Cow<'a, str>,
}

impl<'a> Scalar<'a> {
    pub fn new(kind: Kind, quote: Quote, text: impl Into<std::borrow::Cow<'a, str>>) -> Self {
        Scalar { kind, legacy: kind, quote, text: text.into() }
    }
}

impl Literal {
    pub(super) fn read(scalar: &Scalar<'_>, raw: &str, format: Format) -> Literal {
        let text = scalar.text.as_ref();
        let value = match scalar.kind {
            Kind::Bool => Value::Bool(bool_word(text).unwrap_or(false)),
            Kind::Integer | Kind::Float => {
                let grouping = matches!(format, Format::Toml | Format::Python);
                match Number::read(text, NumberSyntax { suffix: false, grouping }) {
                    Ok(Some(number)) => Value::Number(number),
                    Ok(None) => Value::Odd("not a finite decimal number"),
                    Err(style) => Value::Odd(style),
                }
            }
            Kind::Text | Kind::Null | Kind::Date => match (read_text_number(text), bool_word(text)) {
                (Ok(Some(number)), _) => Value::Number(number),
                (_, Some(value)) => Value::Bool(value),
                _ => Value::Text(text.to_string()),
            },
        };
        Literal { raw: raw.to_string(), value, kind: scalar.kind, quote: scalar.quote, format, legacy: scalar.legacy }
    }

    /// The number that is read in it, if any.
    pub fn number(&self) -> Option<&Number> {
        match &self.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// What it is, for messages: `the number 512m`.
    pub fn describe(&self) -> String {
        let raw: String = self.raw.chars().take(60).collect();
        match &self.value {
            Value::Number(_) => format!("the number {raw}"),
            Value::Bool(_) => format!("the boolean {raw}"),
            Value::Text(_) => format!("the text {raw}"),
            Value::Odd(what) => format!("{raw}, {what}"),
        }
    }

    /// New content between the same quotes; only for content that needs no escape.
    pub(super) fn wrap(&self, content: &str) -> String {
        match self.quote {
            Quote::Single => format!("'{content}'"),
            Quote::Double => format!("\"{content}\""),
            _ => content.to_string(),
        }
    }

    /// The other boolean in the words and the case of this one: `yes` for `no`, `True` for `False`.
    pub(super) fn spell_bool(&self, value: bool) -> Option<String> {
        let old = self.raw.trim_matches(['"', '\'']);
        let pair = BOOL_WORDS.iter().find(|(t, f)| old.eq_ignore_ascii_case(t) || old.eq_ignore_ascii_case(f))?;
        let word = if value { pair.0 } else { pair.1 };
        let mut letters = old.chars();
        let first_upper = letters.next().is_some_and(char::is_uppercase);
        let spelled = match (first_upper, letters.next().is_some_and(char::is_uppercase)) {
            (true, true) => word.to_ascii_uppercase(),
            (true, false) => {
                let (head, tail) = word.split_at_checked(1)?;
                head.to_ascii_uppercase() + tail
            }
            (false, _) => word.to_string(),
        };
        Some(self.wrap(&spelled))
    }
}

/// A number in text that its file does not type: it may have a unit suffix.
pub(super) fn read_text_number(text: &str) -> Result<Option<Number>, &'static str> {
    Number::read(text, NumberSyntax { suffix: true, grouping: false })
}

const BOOL_WORDS: [(&str, &str); 3] = [("true", "false"), ("yes", "no"), ("on", "off")];

fn bool_word(text: &str) -> Option<bool> {
    BOOL_WORDS.iter().find_map(|(yes, no)| {
        if text.eq_ignore_ascii_case(yes) { Some(true) } else { text.eq_ignore_ascii_case(no).then_some(false) }
    })
}
