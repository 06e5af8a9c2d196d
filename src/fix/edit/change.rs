//! What a literal becomes: decimal arithmetic within bounds. Decides the new text; writes nothing.
//!
//! A number is clamped to `[min, max]` and to within a factor of its old value, whatever asked for it. An integer
//! stays one and a float stays one. Everything is rounded towards the old value: to whole numbers for an integer,
//! else to six decimals (six after the leading zeros for what is below one), or as many as the old one has.

use super::literal::{Kind, Literal, Value, read_text_number};
use super::number::{Decimal, Number, NumberSyntax};
use super::quoting;
use crate::config::{Change, SetValue};
use std::fmt;

/// The literal that shall replace the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// As it will stand in the file, quotes and unit suffix included.
    pub raw: String,
    /// The bound that held it back, if one did.
    pub limited_by: Option<Bound>,
}

/// A bound of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Min,
    Max,
    Factor,
    /// Of all fixes together, counted from the value that a human last set.
    Total,
}

/// Why there is no next literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundError {
    /// It is at its bound already, or beyond it.
    AtBound { bound: Bound, limit: String, old: String },
    /// No value that the factor allows lies within the bounds.
    OutOfReach { old: String, nearest: String, bounds: String },
    /// Rounded towards the old value it is the old value.
    TooSmall { old: String, wanted: String },
    /// It has that value already.
    NoChange { old: String },
    /// The change does not fit the literal's type, or its style cannot hold the value.
    Mismatch(String),
    /// Bounds or operands that no number can satisfy.
    BadRequest(String),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bound::Min => "min",
            Bound::Max => "max",
            Bound::Factor => "max_factor",
            Bound::Total => "max_total_factor",
        })
    }
}

impl fmt::Display for BoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundError::AtBound { bound, limit, old } => write!(f, "{old} is at its bound already: {bound} is {limit}"),
            BoundError::OutOfReach { old, nearest, bounds } => write!(
                f,
                "from {old} the farthest that max_factor allows is {nearest}, which is not within {bounds}; bring the \
                 value near its bounds by hand"
            ),
            BoundError::TooSmall { old, wanted } => {
                write!(f, "too small a change to matter: {wanted}, rounded towards the old value, is {old} again")
            }
            BoundError::NoChange { old } => write!(f, "it is {old} already"),
            BoundError::Mismatch(text) | BoundError::BadRequest(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for BoundError {}

/// The next value of a literal. `min` and `max` are in the literal's own unit; `max_factor` (at least 1) bounds the
/// change of a number either way. A number that is 0 has no factor: it changes only towards a bound that is given.
///
/// # Errors
/// When the change does not fit the literal, or would leave it as it is; the message says which bound or type it is.
pub fn next_literal(
    old: &Literal,
    change: &Change,
    min: Option<f64>,
    max: Option<f64>,
    max_factor: f64,
) -> Result<Next, BoundError> {
    next_within(old, change, &Limits::new(min, max, max_factor)?)
}

/// The same where earlier fixes have changed the literal already: all of them together stay within `max_total_factor` of
/// `human`, the value that a human last set. One without a factor, such as 0 or a text, has no such bound.
///
/// # Errors
/// As [`next_literal`].
pub fn next_literal_since(
    old: &Literal,
    human: &Literal,
    max_total_factor: f64,
    change: &Change,
    (min, max, max_factor): (Option<f64>, Option<f64>, f64),
) -> Result<Next, BoundError> {
    let limits = Limits::new(min, max, max_factor)?;
    let total = match (old.number(), human.number()) {
        (Some(now), Some(then)) if now.suffix == then.suffix && !then.value.is_zero() => {
            Some(Total::new(then.value, max_total_factor)?)
        }
        _ => None,
    };
    next_within(old, change, &Limits { total, ..limits })
}

fn next_within(old: &Literal, change: &Change, limits: &Limits) -> Result<Next, BoundError> {
    match change {
        Change::Set(SetValue::Bool(value)) => set_bool(old, *value),
        Change::Set(SetValue::Text(text)) => set_text(old, text, limits),
        Change::Set(SetValue::Number(text)) => set_number(old, text, limits),
        Change::Multiply(factor) => {
            let number = number_of(old)?;
            spelled(old, number, operand(*factor)?.times(number.value), limits)
        }
        Change::Add(addend) => {
            let number = number_of(old)?;
            spelled(old, number, operand(*addend)?.plus(number.value), limits)
        }
    }
}

struct Limits {
    min: Option<Decimal>,
    max: Option<Decimal>,
    factor: Decimal,
    total: Option<Total>,
}

/// How far all fixes together may go from a human's value.
struct Total {
    human: Decimal,
    factor: Decimal,
    low: Decimal,
    high: Decimal,
}

impl Total {
    fn new(human: Decimal, factor: f64) -> Result<Total, BoundError> {
        let factor = operand(factor)?;
        let far = human.times(factor).ok_or_else(too_many_digits)?;
        let near = human.div_toward(factor, human).ok_or_else(too_many_digits)?;
        let (low, high) = if human.is_negative() { (far, near) } else { (near, far) };
        Ok(Total { human, factor, low, high })
    }
}

impl Limits {
    fn new(min: Option<f64>, max: Option<f64>, factor: f64) -> Result<Limits, BoundError> {
        let limits = Limits {
            min: min.map(operand).transpose()?,
            max: max.map(operand).transpose()?,
            factor: operand(factor)?,
            total: None,
        };
        if limits.min.zip(limits.max).is_some_and(|(min, max)| min > max) {
            return Err(BoundError::BadRequest("min is above max".into()));
        }
        if factor < 1.0 {
            return Err(BoundError::BadRequest(format!("max_factor must be at least 1, not {factor}")));
        }
        Ok(limits)
    }

    fn clamp(&self, value: Decimal) -> (Decimal, Option<Bound>) {
        let (value, bound) = match (self.min, self.max) {
            (_, Some(max)) if value > max => (max, Some(Bound::Max)),
            (Some(min), _) if value < min => (min, Some(Bound::Min)),
            _ => (value, None),
        };
        match &self.total {
            Some(total) if value > total.high => (total.high, Some(Bound::Total)),
            Some(total) if value < total.low => (total.low, Some(Bound::Total)),
            _ => (value, bound),
        }
    }

    fn limit(&self, bound: Bound) -> String {
        match bound {
            Bound::Min => self.min.map_or_else(String::new, |m| m.to_string()),
            Bound::Max => self.max.map_or_else(String::new, |m| m.to_string()),
            Bound::Factor => self.factor.to_string(),
            Bound::Total => self.total.as_ref().map_or_else(String::new, |t| {
                format!("{}, counted from {}, which a human last set", t.factor, t.human)
            }),
        }
    }

    fn shown(&self) -> String {
        let show = |bound: Option<Decimal>| bound.map_or_else(|| "any".to_string(), |b| b.to_string());
        format!("min {} and max {}", show(self.min), show(self.max))
    }

    /// The wanted value, held within the factor of the old one.
    fn by_factor(&self, old: Decimal, wanted: Decimal) -> Result<(Decimal, Option<Bound>), BoundError> {
        if old.is_zero() {
            let towards_bound = if wanted > old { self.max } else { self.min };
            return match towards_bound {
                Some(_) => Ok((wanted, None)),
                None => Err(BoundError::BadRequest(
                    "the value is 0, of which no factor is a bound: give a min or max on the side it moves to".into(),
                )),
            };
        }
        let far = old.times(self.factor).ok_or_else(too_many_digits)?;
        let near = old.div_toward(self.factor, old).ok_or_else(too_many_digits)?;
        let (low, high) = if old.is_negative() { (far, near) } else { (near, far) };
        Ok(match wanted {
            w if w > high => (high, Some(Bound::Factor)),
            w if w < low => (low, Some(Bound::Factor)),
            w => (w, None),
        })
    }
}

fn operand(value: f64) -> Result<Decimal, BoundError> {
    Decimal::from_f64(value)
        .ok_or_else(|| BoundError::BadRequest(format!("{value:e} is not a number that exact arithmetic can use")))
}

fn too_many_digits() -> BoundError {
    BoundError::BadRequest("the result has too many digits for exact arithmetic".into())
}

fn number_of(old: &Literal) -> Result<&Number, BoundError> {
    match &old.value {
        Value::Number(number) => Ok(number),
        Value::Text(text) => {
            let why = read_text_number(text).err().unwrap_or("no number");
            Err(BoundError::Mismatch(format!("{} is {why}: it cannot be calculated with", old.describe())))
        }
        _ => Err(BoundError::Mismatch(format!("{} cannot be calculated with", old.describe()))),
    }
}

/// Brings a wanted value within its bounds, rounded towards the old one.
fn bounded(number: &Number, wanted: Decimal, limits: &Limits) -> Result<(Decimal, Option<Bound>), BoundError> {
    let old = number.value;
    let old_text = || format!("{old}{}", number.suffix);
    let at_bound = |bound| BoundError::AtBound { bound, limit: limits.limit(bound), old: old_text() };
    if wanted == old {
        return Err(BoundError::NoChange { old: old_text() });
    }
    let (clamped, by_clamp) = limits.clamp(wanted);
    if let Some(bound) = by_clamp
        && (clamped == old || (clamped > old) != (wanted > old))
    {
        return Err(at_bound(bound));
    }
    let (limited, by_factor) = limits.by_factor(old, clamped)?;
    let bound = by_factor.or(by_clamp);
    let places = if number.integer { 0 } else { limited.kept_places().max(old.scale()) };
    let rounded = limited.round_toward(old, places).ok_or_else(too_many_digits)?;
    // What is written must be readable as a number again.
    Decimal::parse(&rounded.to_string()).ok_or_else(too_many_digits)?;
    if rounded == old {
        return Err(match bound {
            Some(bound) => at_bound(bound),
            None => BoundError::TooSmall { old: old_text(), wanted: wanted.to_string() },
        });
    }
    if limits.clamp(rounded).1.is_some() {
        let (nearest, bounds) = (rounded.to_string(), limits.shown());
        return Err(BoundError::OutOfReach { old: old_text(), nearest, bounds });
    }
    Ok((rounded, bound))
}

fn spelled(old: &Literal, number: &Number, wanted: Option<Decimal>, limits: &Limits) -> Result<Next, BoundError> {
    let (value, limited_by) = bounded(number, wanted.ok_or_else(too_many_digits)?, limits)?;
    let text = number.spell(value).ok_or_else(too_many_digits)?;
    Ok(Next { raw: old.wrap(&text), limited_by })
}

fn set_number(old: &Literal, text: &str, limits: &Limits) -> Result<Next, BoundError> {
    let number = number_of(old)?;
    let wanted = match Number::read(text.trim(), NumberSyntax { suffix: false, grouping: true }) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => return Err(BoundError::BadRequest(format!("`set = {text}`: not a finite number"))),
        Err(style) => return Err(BoundError::BadRequest(format!("`set = {text}`: {style}"))),
    };
    let next = spelled(old, number, Some(wanted.value), limits)?;
    // The decimals that the operator wrote are kept (`1.20`) where nothing held the value back.
    let as_written = next.limited_by.is_none() && number.is_plain_float() && wanted.is_plain_float();
    Ok(if as_written { Next { raw: old.wrap(&format!("{}{}", text.trim(), number.suffix)), ..next } } else { next })
}

fn set_bool(old: &Literal, value: bool) -> Result<Next, BoundError> {
    match old.value {
        Value::Bool(is) if is == value => Err(BoundError::NoChange { old: old.raw.clone() }),
        Value::Bool(_) => old
            .spell_bool(value)
            .map(|raw| Next { raw, limited_by: None })
            .ok_or_else(|| BoundError::Mismatch(format!("{} has no opposite", old.describe()))),
        _ => Err(BoundError::Mismatch(format!("{} cannot be set to a boolean", old.describe()))),
    }
}

fn set_text(old: &Literal, text: &str, limits: &Limits) -> Result<Next, BoundError> {
    if old.kind != Kind::Text {
        return Err(BoundError::Mismatch(format!("{} cannot be set to a text: its type would change", old.describe())));
    }
    let new_number = read_text_number(text).ok().flatten();
    match (&old.value, &new_number) {
        (Value::Number(before), Some(after)) if before.suffix == after.suffix => {
            let (value, _) = bounded(before, after.value, limits)?;
            if value != after.value {
                return Err(BoundError::OutOfReach {
                    old: old.raw.clone(),
                    nearest: value.to_string(),
                    bounds: format!("{}, or is not {text}", limits.shown()),
                });
            }
        }
        (Value::Number(_), _) => {
            return Err(BoundError::Mismatch(format!(
                "{} can be set only to a number with the same unit, not to `{}`",
                old.describe(),
                text.escape_debug()
            )));
        }
        (_, Some(after)) if limits.clamp(after.value).1.is_some() => {
            return Err(BoundError::BadRequest(format!("`{text}` is not within {}", limits.shown())));
        }
        (Value::Text(before), _) if before == text => return Err(BoundError::NoChange { old: old.raw.clone() }),
        _ => {}
    }
    let raw = quoting::spell_text(old, text).map_err(BoundError::Mismatch)?;
    if raw == old.raw {
        return Err(BoundError::NoChange { old: old.raw.clone() });
    }
    Ok(Next { raw, limited_by: None })
}
