//! What a node of a Python syntax tree is as a literal, or why it is none.

use super::error::Not;
use super::literal::{Kind, Literal, Quote, Scalar};
use crate::config::Format;
use std::ops::Range;
use tree_sitter::Node;

/// The literal that an expression is. Parentheses around it do not matter, a sign directly before a number belongs to
/// it.
pub(super) fn read(mut node: Node<'_>, text: &str) -> Result<(Range<usize>, Literal), Not> {
    while node.kind() == "parenthesized_expression" {
        node = inner(node).ok_or(Not::Expression)?;
    }
    let span = node.byte_range();
    let raw = text.get(span.clone()).unwrap_or_default();
    let scalar = match node.kind() {
        "integer" | "float" => number(node, raw),
        "unary_operator" => signed(node, raw).ok_or(Not::Expression)?,
        "true" | "false" => Scalar::new(Kind::Bool, Quote::Plain, raw),
        "none" => return Err(Not::Null),
        "string" => string(node, raw)?,
        "concatenated_string" => return Err(Not::Concatenation),
        _ => return Err(Not::Expression),
    };
    Ok((span, Literal::read(&scalar, raw, Format::Python)))
}

/// The only expression in parentheses.
fn inner(node: Node<'_>) -> Option<Node<'_>> {
    let mut cursor = node.walk();
    let mut children = node.named_children(&mut cursor).filter(|n| !n.is_extra());
    let only = children.next()?;
    children.next().is_none().then_some(only)
}

fn number<'a>(node: Node<'_>, raw: &'a str) -> Scalar<'a> {
    let kind = if node.kind() == "integer" { Kind::Integer } else { Kind::Float };
    Scalar::new(kind, Quote::Plain, raw)
}

/// `-0.5`: the sign and the number touch.
fn signed<'a>(node: Node<'_>, raw: &'a str) -> Option<Scalar<'a>> {
    let operand = node.child_by_field_name("argument")?;
    let adjacent = operand.start_byte() == node.start_byte() + 1 && raw.starts_with(['-', '+']);
    (adjacent && matches!(operand.kind(), "integer" | "float")).then(|| number(operand, raw))
}

/// A string of one line in single or double quotes without a prefix.
fn string<'a>(node: Node<'_>, raw: &'a str) -> Result<Scalar<'a>, Not> {
    let mut cursor = node.walk();
    if node.named_children(&mut cursor).any(|n| n.kind() == "interpolation") {
        return Err(Not::FString);
    }
    let quote = match raw.chars().next() {
        Some('\'') => Quote::Single,
        Some('"') => Quote::Double,
        Some('f' | 'F' | 't' | 'T') => return Err(Not::FString),
        _ => return Err(Not::PrefixedString),
    };
    if raw.starts_with("'''") || raw.starts_with("\"\"\"") || raw.contains(['\n', '\r']) {
        return Err(Not::MultiLine);
    }
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Ok(Scalar::new(Kind::Text, quote, inner));
    }
    unescape(inner).map(|text| Scalar::new(Kind::Text, quote, text)).ok_or(Not::OddEscape)
}

/// The escapes that are read; octal ones and those by name are not.
fn unescape(inner: &str) -> Option<String> {
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            c @ ('\\' | '\'' | '"') => out.push(c),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'x' => out.push(by_code(&mut chars, 2)?),
            'u' => out.push(by_code(&mut chars, 4)?),
            'U' => out.push(by_code(&mut chars, 8)?),
            'a' | 'b' | 'f' | 'v' | 'N' | '0'..='7' => return None,
            // Python keeps the backslash of what is no escape.
            c => out.extend(['\\', c]),
        }
    }
    Some(out)
}

fn by_code(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let code: String = chars.by_ref().take(digits).collect();
    let sound = code.len() == digits && code.bytes().all(|b| b.is_ascii_hexdigit());
    char::from_u32(u32::from_str_radix(sound.then_some(code.as_str())?, 16).ok()?)
}
