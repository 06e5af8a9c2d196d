//! `.env` files, by a line scanner: `[export] NAME=value`, comments, quotes. What shells, Docker and dotenv libraries
//! read differently (interpolation, inner quotes, a text with ` #` behind it, repeated names) is refused, not guessed.

use super::error::{LocateError, Not};
use super::literal::{Kind, Quote, Scalar, read_text_number};
use super::outline::{Key, Outline, What};
use super::text::{line_at, lines_with_offsets};
use crate::config::Format;
use std::ops::Range;

/// The outline of a `.env` file: one table.
pub(super) fn outline(text: &str) -> Result<Outline<'_>, LocateError> {
    let mut outline = Outline::new(text, Format::Env);
    let root = outline.push(None, Key::Root, 0..text.len(), What::Table);
    let mut skip_until = 0;
    for (start, line) in lines_with_offsets(text) {
        let content = line.trim();
        if start < skip_until || content.is_empty() || content.starts_with('#') {
            continue;
        }
        let broken = |message: &str| LocateError::DoesNotParse {
            format: Format::Env,
            line: Some(line_at(text, start)),
            message: message.to_string(),
        };
        let begin = start + (line.len() - line.trim_start().len());
        let (name, equals) = name_of(content).ok_or_else(|| broken("expected `NAME=value`"))?;
        let Some(equals) = equals else {
            outline.push(Some(root), Key::Name(name.into()), begin..begin, What::Not(Not::NoValue));
            continue;
        };
        let (span, what) = value(text, begin + equals + 1, start + line.len())
            .ok_or_else(|| broken("a quote is opened and never closed"))?;
        skip_until = span.end;
        outline.push(Some(root), Key::Name(name.into()), span, what);
    }
    Ok(outline)
}

/// The name, and where its `=` is. `None`: this is no variable.
fn name_of(content: &str) -> Option<(&str, Option<usize>)> {
    let unexported = match content.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => content,
    };
    let equals = unexported.find('=');
    let name = unexported.get(..equals.unwrap_or(unexported.len()))?.trim_end();
    let mut chars = name.chars();
    let sound = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    sound.then(|| (name, equals.map(|e| e + content.len() - unexported.len())))
}

/// The value between `from` and the end of its line. `None`: an open quote.
fn value(text: &str, from: usize, line_end: usize) -> Option<(Range<usize>, What<'_>)> {
    let rest = text.get(from..line_end).unwrap_or_default();
    let trimmed = rest.trim_start();
    let start = from + rest.len() - trimmed.len();
    match trimmed.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(text, start, line_end, quote),
        _ => Some(plain(start, trimmed)),
    }
}

fn quoted(text: &str, start: usize, line_end: usize, quote: char) -> Option<(Range<usize>, What<'_>)> {
    let body = text.get(start + 1..)?;
    let mut escaped = false;
    let close = body.find(|c| {
        let closes = c == quote && !escaped;
        escaped = quote == '"' && c == '\\' && !escaped;
        closes
    })?;
    let end = start + 1 + close + 1;
    if end > line_end {
        return Some((start..end, What::Not(Not::MultiLine)));
    }
    let after = text.get(end..line_end)?;
    let inner = body.get(..close)?;
    let comment = after.starts_with([' ', '\t']) && after.trim().starts_with('#');
    let ends_there = after.trim().is_empty() || comment;
    let what = if !ends_there || quote == '"' && inner.contains(['\\', '`']) {
        What::Not(Not::ShellQuoting)
    } else if quote == '"' && inner.contains('$') {
        What::Not(Not::Interpolation)
    } else {
        let quote = if quote == '"' { Quote::Double } else { Quote::Single };
        What::Scalar(Scalar::new(Kind::Text, quote, inner))
    };
    Some((start..end, what))
}

fn plain(start: usize, trimmed: &str) -> (Range<usize>, What<'_>) {
    let comment = trimmed
        .match_indices('#')
        .map(|(i, _)| i)
        .find(|i| trimmed.get(..*i).is_none_or(|before| before.is_empty() || before.ends_with([' ', '\t'])));
    let value = trimmed.get(..comment.unwrap_or(trimmed.len())).unwrap_or_default().trim_end();
    let simple = read_text_number(value).ok().flatten().is_some()
        || ["true", "false", "yes", "no", "on", "off"].iter().any(|w| value.eq_ignore_ascii_case(w));
    let what = if value.contains(['"', '\'', '\\', '`']) {
        What::Not(Not::ShellQuoting)
    } else if value.contains('$') {
        What::Not(Not::Interpolation)
    } else if comment.is_some() && !simple {
        What::Not(Not::Comment)
    } else {
        What::Scalar(Scalar::new(Kind::Text, Quote::Plain, value))
    };
    (start..start + value.len(), what)
}
