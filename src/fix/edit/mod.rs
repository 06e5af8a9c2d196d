//! Finds one literal in a file and replaces it; every other byte stays. Bytes in, bytes out.
//!
//! Lives here: one outline per format (`toml`, `yaml`, `json`, `ini`, `env`), `python`, what a literal is (`literal`,
//! `number`), and what it becomes (`change`). May not live here: I/O, and any guess: a place that is not exactly one
//! literal is refused with the reason.
//!
//! No library writes a file: a new literal is spliced into the old bytes, and the result is then read again. It counts
//! only if the same selector finds the new literal with the old type and nothing else is read otherwise.

mod change;
mod env;
mod error;
mod ini;
mod json;
mod literal;
mod number;
mod outline;
mod python;
mod python_literal;
mod quoting;
mod text;
mod toml;
mod yaml;
mod yaml_kind;

pub use change::{Bound, BoundError, Next, next_literal, next_literal_since};
pub use error::{ApplyError, LocateError, Near, Not};
pub use literal::{Kind, Literal, Quote, Value};
pub use number::{Decimal, Number};

use crate::config::{Change, Format, Selector};
use std::ops::Range;

/// Files beyond this are not edited: 1 MiB.
pub const MAX_BYTES: usize = 1 << 20;

const BOM: &str = "\u{feff}";

/// A literal and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Bytes of the literal in the file, quotes and unit suffix included.
    pub span: Range<usize>,
    /// 1-based.
    pub line: usize,
    pub literal: Literal,
}

/// A literal in the text of a file (which is the file without its byte order mark).
struct Found {
    span: Range<usize>,
    literal: Literal,
    /// Its node in the outline, where the format has one.
    node: Option<usize>,
}

/// A file that parsed.
enum Parsed<'a> {
    Outline(outline::Outline<'a>),
    Python(python::Module<'a>),
}

/// Finds the one literal that a selector means.
///
/// # Errors
/// When the file is too large, is no UTF-8 or does not parse, and when the selector does not mean exactly one literal.
pub fn locate(bytes: &[u8], format: Format, selector: &Selector) -> Result<Located, LocateError> {
    let (bom, text) = decode(bytes)?;
    let found = Parsed::new(text, format)?.find(selector)?;
    Ok(located(&found, bom, text))
}

/// Paths of the scalars of a file, each as a selector is written; none for Python, which has no paths.
///
/// # Errors
/// When the file is too large, is no UTF-8 or does not parse.
pub fn paths(bytes: &[u8], format: Format) -> Result<Vec<String>, LocateError> {
    let (_, text) = decode(bytes)?;
    Ok(match Parsed::new(text, format)? {
        Parsed::Outline(outline) => outline.paths(),
        Parsed::Python(_) => Vec::new(),
    })
}

/// The file with a new literal in the place of the one that the selector means. `new_text` is a whole literal, quotes
/// and unit suffix included: what [`next_literal`] gave, or the old literal's `raw` to undo.
///
/// # Errors
/// When there is not exactly one literal, or when the result would not hold the new one there with the same type and
/// quoting, or would be read otherwise anywhere else. Nothing is returned then.
pub fn apply(bytes: &[u8], format: Format, selector: &Selector, new_text: &str) -> Result<Vec<u8>, ApplyError> {
    let (bom, text) = decode(bytes).map_err(ApplyError::Locate)?;
    let before = Parsed::new(text, format).map_err(ApplyError::Locate)?;
    let old = before.find(selector).map_err(ApplyError::Locate)?;

    let mut new_bytes = Vec::with_capacity(bytes.len() + new_text.len());
    new_bytes.extend_from_slice(bytes.get(..bom + old.span.start).unwrap_or_default());
    new_bytes.extend_from_slice(new_text.as_bytes());
    new_bytes.extend_from_slice(bytes.get(bom + old.span.end..).unwrap_or_default());

    let (_, changed) = decode(&new_bytes).map_err(ApplyError::Broken)?;
    let after = Parsed::new(changed, format).map_err(ApplyError::Broken)?;
    let new = after.find(selector).map_err(ApplyError::Broken)?;

    let expected = old.span.start..old.span.start + new_text.len();
    let (a, b) = (&old.literal, &new.literal);
    if new.span != expected || b.raw != new_text || (a.kind, a.legacy, a.quote) != (b.kind, b.legacy, b.quote) {
        return Err(ApplyError::OtherType { new: new_text.to_string() });
    }
    let grown = new_text.len() as isize - old.span.len() as isize;
    if let Some(at) = before.first_difference(&after, &old, grown) {
        return Err(ApplyError::OtherPlace { new: new_text.to_string(), line: text::line_at(text, at) });
    }
    Ok(new_bytes)
}

/// The next value of a number that stands in no file, within the same bounds as a literal: digits in, digits out. One
/// with a point may become any number, one without stays whole. `human` is the value that a human last set.
///
/// # Errors
/// As for [`next_literal`].
pub fn next_number(
    old: &str,
    human: &str,
    max_total_factor: f64,
    change: &Change,
    bounds: (Option<f64>, Option<f64>, f64),
) -> Result<String, BoundError> {
    let (old, human) = (bare_literal(old), bare_literal(human));
    next_literal_since(&old, &human, max_total_factor, change, bounds).map(|next| next.raw)
}

/// A number that stands in no file, as a literal.
pub fn bare_literal(text: &str) -> Literal {
    let kind = if text.contains('.') { Kind::Float } else { Kind::Integer };
    Literal::read(&literal::Scalar::new(kind, Quote::Plain, text), text, Format::Toml)
}

/// The length of the byte order mark, and the text behind it.
fn decode(bytes: &[u8]) -> Result<(usize, &str), LocateError> {
    if bytes.len() > MAX_BYTES {
        return Err(LocateError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let sound = bytes.get(..e.valid_up_to()).unwrap_or_default();
        LocateError::NotUtf8 { line: memchr::memchr_iter(b'\n', sound).count() + 1 }
    })?;
    Ok(text.strip_prefix(BOM).map_or((0, text), |rest| (BOM.len(), rest)))
}

fn located(found: &Found, bom: usize, text: &str) -> Located {
    Located {
        span: bom + found.span.start..bom + found.span.end,
        line: text::line_at(text, found.span.start),
        literal: found.literal.clone(),
    }
}

impl<'a> Parsed<'a> {
    fn new(text: &'a str, format: Format) -> Result<Parsed<'a>, LocateError> {
        Ok(match format {
            Format::Toml => Parsed::Outline(toml::outline(text)?),
            Format::Yaml => Parsed::Outline(yaml::outline(text)?),
            Format::Json => Parsed::Outline(json::outline(text)?),
            Format::Ini => Parsed::Outline(ini::outline(text)?),
            Format::Env => Parsed::Outline(env::outline(text)?),
            Format::Python => Parsed::Python(python::Module::parse(text)?),
        })
    }

    fn find(&self, selector: &Selector) -> Result<Found, LocateError> {
        let wrong = |format| LocateError::WrongSelector { at: selector.to_string(), format };
        match (self, selector) {
            (Parsed::Outline(outline), Selector::Path(path)) => outline.find(path),
            (Parsed::Outline(outline), _) => Err(wrong(outline.format)),
            (Parsed::Python(_), Selector::Path(_)) => Err(wrong(Format::Python)),
            (Parsed::Python(module), _) => module.find(selector),
        }
    }

    /// Offset of the first thing other than the edited literal that is read otherwise.
    fn first_difference(&self, other: &Parsed<'_>, edited: &Found, grown: isize) -> Option<usize> {
        match (self, other) {
            (Parsed::Outline(a), Parsed::Outline(b)) => a.first_difference(b, edited, grown),
            (Parsed::Python(a), Parsed::Python(b)) => a.first_difference(b, edited, grown),
            _ => Some(0),
        }
    }
}

#[cfg(test)]
mod tests;
