//! TOML: every value with its span, by the parser's own spans.

use super::error::{LocateError, Not};
use super::literal::{Kind, Quote, Scalar};
use super::outline::{Key, Outline, What};
use super::text::line_at;
use crate::config::Format;
use std::borrow::Cow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The outline of a TOML document.
pub(super) fn outline(text: &str) -> Result<Outline<'_>, LocateError> {
    let table = DeTable::parse(text).map_err(|e| LocateError::DoesNotParse {
        format: Format::Toml,
        line: e.span().map(|s| line_at(text, s.start)),
        message: e.message().to_string(),
    })?;
    let mut outline = Outline::new(text, Format::Toml);
    let root = outline.push(None, Key::Root, 0..text.len(), What::Table);
    add_table(&mut outline, root, table.into_inner());
    Ok(outline)
}

// The parser refuses what is nested deeper than 80, which bounds this recursion.
fn add_table<'a>(outline: &mut Outline<'a>, parent: usize, table: DeTable<'a>) {
    for (key, value) in table {
        add(outline, parent, Key::Name(key.into_inner()), value);
    }
}

fn add<'a>(outline: &mut Outline<'a>, parent: usize, key: Key<'a>, value: Spanned<DeValue<'a>>) {
    let span = value.span();
    let text: &'a str = outline.text;
    let raw = text.get(span.clone()).unwrap_or_default();
    let scalar = |kind, quote, text: Cow<'a, str>| What::Scalar(Scalar::new(kind, quote, text));
    let what = match value.into_inner() {
        DeValue::Table(table) => {
            let node = outline.push(Some(parent), key, span, What::Table);
            return add_table(outline, node, table);
        }
        DeValue::Array(items) => {
            let node = outline.push(Some(parent), key, span, What::List);
            for (i, item) in items.into_iter().enumerate() {
                add(outline, node, Key::Index(i), item);
            }
            return;
        }
        DeValue::String(_) if raw.starts_with("\"\"\"") || raw.starts_with("'''") => What::Not(Not::MultiLine),
        DeValue::String(s) if raw.starts_with('\'') => scalar(Kind::Text, Quote::Single, s),
        DeValue::String(s) => scalar(Kind::Text, Quote::Double, s),
        DeValue::Integer(_) => scalar(Kind::Integer, Quote::Plain, raw.into()),
        DeValue::Float(_) => scalar(Kind::Float, Quote::Plain, raw.into()),
        DeValue::Boolean(_) => scalar(Kind::Bool, Quote::Plain, raw.into()),
        DeValue::Datetime(_) => What::Not(Not::Date),
    };
    outline.push(Some(parent), key, span, what);
}
