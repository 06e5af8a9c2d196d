//! JSON, with comments and trailing commas allowed and nothing else beyond the standard.

use super::error::{LocateError, Not};
use super::literal::{Kind, Quote, Scalar};
use super::outline::{Key, Outline, What};
use crate::config::Format;
use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

/// The outline of a JSON document.
pub(super) fn outline(text: &str) -> Result<Outline<'_>, LocateError> {
    let broken = |line, message: String| LocateError::DoesNotParse { format: Format::Json, line, message };
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options)
        .map_err(|e| broken(Some(e.line_display()), e.kind().to_string()))?;
    let value = parsed.value.ok_or_else(|| broken(None, "it is empty".into()))?;
    let mut outline = Outline::new(text, Format::Json);
    add(&mut outline, None, Key::Root, value);
    Ok(outline)
}

// The parser refuses what is nested deeper than 512, which bounds this recursion.
fn add<'a>(outline: &mut Outline<'a>, parent: Option<usize>, key: Key<'a>, value: Value<'a>) {
    let range = value.range();
    let span = range.start..range.end;
    let text: &'a str = outline.text;
    let raw = text.get(span.clone()).unwrap_or_default();
    let what = match value {
        Value::Object(object) => {
            let node = outline.push(parent, key, span, What::Table);
            for property in object.properties {
                add(outline, Some(node), Key::Name(property.name.into_string().into()), property.value);
            }
            return;
        }
        Value::Array(array) => {
            let node = outline.push(parent, key, span, What::List);
            for (i, item) in array.elements.into_iter().enumerate() {
                add(outline, Some(node), Key::Index(i), item);
            }
            return;
        }
        Value::StringLit(string) => What::Scalar(Scalar::new(Kind::Text, Quote::Double, string.value)),
        Value::NumberLit(_) if raw.contains(['.', 'e', 'E']) => {
            What::Scalar(Scalar::new(Kind::Float, Quote::Plain, raw))
        }
        Value::NumberLit(_) => What::Scalar(Scalar::new(Kind::Integer, Quote::Plain, raw)),
        Value::BooleanLit(_) => What::Scalar(Scalar::new(Kind::Bool, Quote::Plain, raw)),
        Value::NullKeyword(_) => What::Not(Not::Null),
    };
    outline.push(parent, key, span, what);
}
