//! Writes a text in the quoting that a literal already has; what that cannot hold is refused, never restyled.

use super::literal::{Kind, Literal, Quote};
use super::yaml_kind;
use crate::config::Format;
use std::fmt::Write;

/// The literal with another text, in its own quotes.
///
/// # Errors
/// With what the style cannot hold.
pub(super) fn spell_text(old: &Literal, text: &str) -> Result<String, String> {
    let refused = match (old.format, old.quote) {
        (_, Quote::PartOfPlain | Quote::PartOfQuoted) => part_of_item(text),
        (Format::Json, _) => return Ok(escaped(text, '"', |c| format!("\\u{:04x}", c as u32))),
        (Format::Toml, Quote::Single) => holds(text, |c| c == '\'' || c.is_control() && c != '\t'),
        (Format::Toml, _) => return Ok(escaped(text, '"', |c| format!("\\u{:04X}", c as u32))),
        (Format::Python, quote) => {
            let quote = if quote == Quote::Single { '\'' } else { '"' };
            return Ok(escaped(text, quote, |c| format!("\\x{:02x}", c as u32)));
        }
        (Format::Yaml, Quote::Double) => {
            return Ok(escaped(text, '"', |c| match c as u32 {
                code @ 0..=0xff => format!("\\x{code:02x}"),
                code => format!("\\u{code:04x}"),
            }));
        }
        (Format::Yaml, Quote::Single) => match holds(text, is_yaml_unprintable) {
            None => return Ok(format!("'{}'", text.replace('\'', "''"))),
            refused => refused,
        },
        (Format::Yaml, quote) => yaml_plain(text, quote, (old.kind, old.legacy)),
        (Format::Ini, Quote::Plain) => ini_plain(text),
        (Format::Ini, quote) => holds(text, |c| c == quote_char(quote) || c == '\\' || c.is_control()),
        (Format::Env, Quote::Plain) => holds(text, |c| !is_plain_in_env(c)),
        (Format::Env, Quote::Single) => holds(text, |c| c == '\'' || c == '\\' || c.is_control()),
        (Format::Env, _) => holds(text, |c| matches!(c, '"' | '\\' | '$' | '`') || c.is_control()),
    };
    match refused {
        None => Ok(old.wrap(text)),
        Some(what) => Err(format!(
            "{what} cannot be written there in {} as the literal is quoted now; change its quotes by hand, or set \
             another text",
            old.format.word()
        )),
    }
}

fn quote_char(quote: Quote) -> char {
    if quote == Quote::Single { '\'' } else { '"' }
}

/// Between quotes, with the escapes that JSON, TOML, YAML and Python share; other control characters by `other`.
fn escaped(text: &str, quote: char, other: impl Fn(char) -> String) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() || is_yaml_unprintable(c) => {
                // Writing to a String cannot fail. Python's \x holds two digits only, so beyond that the
                // four-digit form is used, which all of them know.
                let _ =
                    if (c as u32) > 0xff { write!(out, "\\u{:04x}", c as u32) } else { write!(out, "{}", other(c)) };
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// The first character that is not allowed, described.
fn holds(text: &str, refused: impl Fn(char) -> bool) -> Option<String> {
    text.chars().find(|c| refused(*c)).map(|c| format!("the character {c:?}"))
}

/// Control characters, and what YAML 1.1 reads as a line break or YAML 1.2 as a byte order mark.
fn is_yaml_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// What is safe whatever delimits the item and whatever reads it.
fn part_of_item(text: &str) -> Option<String> {
    if text.trim() != text {
        return Some("a blank at an end".into());
    }
    if text.contains(" #") || text.contains(": ") || text.ends_with(':') {
        return Some("what begins a comment or a mapping".into());
    }
    holds(text, |c| matches!(c, '"' | '\'' | '\\' | '$' | '`' | ',' | '[' | ']' | '{' | '}') || is_yaml_unprintable(c))
}

fn yaml_plain(text: &str, quote: Quote, kinds: (Kind, Kind)) -> Option<String> {
    if yaml_kind::kinds(text) != kinds {
        return Some(format!("`{}` (another type to a YAML reader)", text.escape_debug()));
    }
    if text.is_empty() || text.trim() != text {
        return Some("an empty text, or one with a blank at an end,".into());
    }
    let mut chars = text.chars();
    let first = chars.next().unwrap_or(' ');
    let second_is_blank = chars.next().is_none_or(|c| c.is_whitespace());
    let indicator =
        matches!(first, ',' | '[' | ']' | '{' | '}' | '#' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`')
            || matches!(first, '-' | '?' | ':') && second_is_blank;
    if indicator || text.starts_with("---") || text.starts_with("...") {
        return Some(format!("a text that begins with {first:?}"));
    }
    if text.contains(": ") || text.contains(" #") || text.contains('\t') || text.ends_with(':') {
        return Some("what begins a comment or a mapping".into());
    }
    let in_flow = quote == Quote::PlainInFlow;
    holds(text, |c| is_yaml_unprintable(c) || in_flow && matches!(c, ',' | '[' | ']' | '{' | '}'))
}

fn ini_plain(text: &str) -> Option<String> {
    if text.is_empty() || text.trim() != text {
        return Some("an empty text, or one with a blank at an end,".into());
    }
    // `%` and `$` interpolate in configparser's two styles.
    holds(text, |c| matches!(c, '#' | ';' | '"' | '\'' | '\\' | '%' | '$') || c.is_control())
}

/// Means itself to a shell, to Docker and to every dotenv reader.
fn is_plain_in_env(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '@' | '%' | '+' | ',' | '=' | '-')
}
