//! Decimal numbers: exact arithmetic, and the way a number is spelled. No binary floats in any result.

use std::cmp::Ordering;
use std::fmt;

/// An exact decimal number: `digits / 10^scale`, without trailing zeros after the point.
///
/// What is read has at most 18 digits, those on both sides of its point together; operations that would leave
/// 128 bits give `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    digits: i128,
    scale: u32,
}

/// Digits of a number that is read. A product of two then fits.
pub const MAX_DIGITS: usize = 18;
/// Largest scale that any operation leaves.
const MAX_SCALE: u32 = 36;
/// Decimals after the last leading zero that a rounded result keeps.
const KEPT_DECIMALS: u32 = 6;
/// Decimals that a quotient is computed to beyond those of its dividend.
const QUOTIENT_DECIMALS: u32 = 9;

impl Decimal {
    pub const ZERO: Decimal = Decimal { digits: 0, scale: 0 };

    fn new(digits: i128, scale: u32) -> Option<Decimal> {
        let (mut digits, mut scale) = (digits, scale);
        while scale > 0 && digits % 10 == 0 {
            digits /= 10;
            scale -= 1;
        }
        (scale <= MAX_SCALE).then_some(Decimal { digits, scale })
    }

    /// Reads `-12.5`, `.5` or `5.`: digits with at most one point and a sign, nothing else.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = fraction.trim_end_matches('0');
        let all = || whole.bytes().chain(fraction.bytes());
        if text.trim_matches('.').is_empty() || !all().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let whole_digits = whole.trim_start_matches('0').len();
        if whole_digits + fraction.len() > MAX_DIGITS {
            return None;
        }
        let digits = all().fold(0i128, |sum, b| sum * 10 + i128::from(b - b'0'));
        Decimal::new(if negative { -digits } else { digits }, u32::try_from(fraction.len()).ok()?)
    }

    /// The shortest decimal that reads back as this float; `None` for what is not finite or has too many digits.
    pub fn from_f64(value: f64) -> Option<Decimal> {
        if !value.is_finite() {
            return None;
        }
        Decimal::parse(&value.to_string())
    }

    pub fn plus(self, other: Decimal) -> Option<Decimal> {
        let scale = self.scale.max(other.scale);
        Decimal::new(self.at_scale(scale)?.checked_add(other.at_scale(scale)?)?, scale)
    }

    pub fn times(self, other: Decimal) -> Option<Decimal> {
        Decimal::new(self.digits.checked_mul(other.digits)?, self.scale + other.scale)
    }

    /// The quotient, cut or rounded to a bounded number of decimals so that it is never farther from `toward`.
    pub fn div_toward(self, other: Decimal, toward: Decimal) -> Option<Decimal> {
        let numerator = self.digits.checked_mul(power(QUOTIENT_DECIMALS.checked_add(other.scale)?)?)?;
        let scale = self.scale.checked_add(QUOTIENT_DECIMALS)?;
        let floor = numerator.checked_div_euclid(other.digits)?;
        let exact = numerator.checked_rem_euclid(other.digits)? == 0;
        // With a positive divisor the Euclidean quotient is the floor.
        let quotient = Decimal::new(floor, scale)?;
        if exact || other.digits < 0 || quotient.cmp(&toward) != Ordering::Less {
            return Some(quotient);
        }
        Decimal::new(floor.checked_add(1)?, scale)
    }

    /// Times ten to the power of `exponent`.
    pub fn shift(self, exponent: i32) -> Option<Decimal> {
        let places = exponent.unsigned_abs();
        if exponent >= 0 {
            Decimal::new(self.digits.checked_mul(power(places)?)?, self.scale)
        } else {
            Decimal::new(self.digits, self.scale.checked_add(places)?)
        }
    }

    /// With at most `places` decimals, rounded towards another number.
    pub fn round_toward(self, toward: Decimal, places: u32) -> Option<Decimal> {
        if self.scale <= places {
            return Some(self);
        }
        let unit = power(self.scale - places)?;
        let floor = self.digits.div_euclid(unit);
        Decimal::new(if self > toward { floor } else { floor.checked_add(1)? }, places)
    }

    /// Decimals that a result of this size keeps: six, counted from the first that is not zero where it is below one.
    pub fn kept_places(self) -> u32 {
        let mut zeros = 0;
        if let Some(one) = power(self.scale) {
            let mut digits = self.digits.unsigned_abs().saturating_mul(10);
            while digits != 0 && digits < one.unsigned_abs() {
                digits = digits.saturating_mul(10);
                zeros += 1;
            }
        }
        zeros + KEPT_DECIMALS
    }

    pub fn is_zero(self) -> bool {
        self.digits == 0
    }

    pub fn is_negative(self) -> bool {
        self.digits < 0
    }

    /// Number of decimals.
    pub fn scale(self) -> u32 {
        self.scale
    }

    fn at_scale(self, scale: u32) -> Option<i128> {
        self.digits.checked_mul(power(scale.checked_sub(self.scale)?)?)
    }
}

fn power(n: u32) -> Option<i128> {
    10i128.checked_pow(n)
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    /// Compares whole parts, then fractions, so that no alignment of scales can overflow.
    fn cmp(&self, other: &Decimal) -> Ordering {
        let parts = |d: &Decimal| {
            let unit = power(d.scale).unwrap_or(i128::MAX);
            let fraction = d.digits.rem_euclid(unit);
            (d.digits.div_euclid(unit), fraction.saturating_mul(power(MAX_SCALE - d.scale).unwrap_or(1)))
        };
        parts(self).cmp(&parts(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.digits < 0 { "-" } else { "" };
        let width = self.scale as usize + 1;
        let digits = format!("{:0width$}", self.digits.unsigned_abs());
        let (whole, fraction) = digits.split_at_checked(digits.len() - self.scale as usize).unwrap_or((&digits, ""));
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

/// A number as it is spelled in a file: its value, its unit suffix, and the style that a new value keeps.
///
/// Kept: a leading `+`, thousands grouped by `_`, a point without a digit before it, an exponent as written (`1.5E+3`
/// times 1.5 is `2.25E+3`), and whether it is an integer: a float stays one (`0.5` doubled is `1.0`). Refused: other
/// bases, leading zeros (octal to some, an identifier to others), other groupings, exponents beyond 15, numbers of
/// more than 18 digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    pub value: Decimal,
    /// As written, with a blank before it where there is one; empty where there is none.
    pub suffix: String,
    /// Neither a point nor an exponent.
    pub integer: bool,
    plus: bool,
    grouped: bool,
    bare_point: bool,
    /// `E+3` and its value.
    exponent: Option<(String, i32)>,
}

/// What belongs to a number in the place where it stands.
#[derive(Debug, Clone, Copy)]
pub struct NumberSyntax {
    /// Text that is a number to its reader may have a unit suffix.
    pub suffix: bool,
    /// `1_000`.
    pub grouping: bool,
}

impl Number {
    /// Reads a number. `Ok(None)`: this is none.
    ///
    /// # Errors
    /// It is a number whose style cannot be kept; the text says which (`in hexadecimal, octal or binary`).
    pub fn read(text: &str, syntax: NumberSyntax) -> Result<Option<Number>, &'static str> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        if is_other_base(unsigned) {
            return Err("a number in hexadecimal, octal or binary");
        }
        let is_digit = |c: char| c.is_ascii_digit() || (syntax.grouping && c == '_');
        let (whole, rest) = split_while(unsigned, is_digit);
        let (fraction, rest, point) = match rest.strip_prefix('.') {
            Some(after) => {
                let (fraction, rest) = split_while(after, is_digit);
                (fraction, rest, true)
            }
            None => ("", rest, false),
        };
        if !whole.bytes().chain(fraction.bytes()).any(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        let (exponent, suffix) = split_exponent(rest);
        if !(suffix.is_empty() || syntax.suffix && is_suffix(suffix)) {
            return Ok(None);
        }
        let grouped = whole.contains('_');
        if fraction.contains('_') || grouped && !is_grouped_by_thousands(whole) {
            return Err("a number with an unusual grouping of its digits");
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return Err("a number with leading zeros (octal to some readers, an identifier to others)");
        }
        let exponent = match exponent {
            "" => None,
            e => match e.get(1..).and_then(|n| n.parse().ok()) {
                Some(n @ -15..=15) => Some((e.to_string(), n)),
                _ => return Err("a number with an exponent beyond 15"),
            },
        };
        let negative = if text.starts_with('-') { "-" } else { "" };
        let mantissa = Decimal::parse(&format!("{negative}{}.{fraction}", whole.replace('_', "")));
        let value = mantissa.and_then(|m| m.shift(exponent.as_ref().map_or(0, |(_, n)| *n)));
        Ok(Some(Number {
            value: value.ok_or("a number of too many digits for exact arithmetic")?,
            suffix: suffix.to_string(),
            integer: !point && exponent.is_none(),
            plus: text.starts_with('+'),
            grouped,
            bare_point: whole.is_empty(),
            exponent,
        }))
    }

    /// Digits on both sides of a point and nothing else but a minus and a unit.
    pub(super) fn is_plain_float(&self) -> bool {
        !(self.integer || self.plus || self.grouped || self.bare_point) && self.exponent.is_none()
    }

    /// Another value in the style of this number. `None` when it has too many digits: more than can be read again.
    pub fn spell(&self, value: Decimal) -> Option<String> {
        let mantissa = match &self.exponent {
            Some((_, n)) => value.shift(-n)?,
            None => value,
        };
        let plain = mantissa.to_string();
        let (sign, unsigned) = match plain.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => (if self.plus { "+" } else { "" }, plain.as_str()),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let whole = if self.grouped { group_by_thousands(whole) } else { whole.to_string() };
        let whole = if self.bare_point && whole == "0" && !fraction.is_empty() { String::new() } else { whole };
        let fraction = match (fraction, self.integer || self.exponent.is_some()) {
            ("", true) => String::new(),
            ("", false) => ".0".to_string(),
            (digits, _) => format!(".{digits}"),
        };
        let exponent = self.exponent.as_ref().map_or("", |(text, _)| text);
        let text = format!("{sign}{whole}{fraction}{exponent}{}", self.suffix);
        let again = Number::read(&text, NumberSyntax { suffix: true, grouping: true }).ok().flatten();
        again.is_some_and(|number| number.value == value).then_some(text)
    }
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// `e`, an optional sign and digits at the start; an `e` without digits is the beginning of a suffix.
fn split_exponent(text: &str) -> (&str, &str) {
    let Some(after) = text.strip_prefix(['e', 'E']) else { return ("", text) };
    let digits = after.strip_prefix(['+', '-']).unwrap_or(after);
    let (number, rest) = split_while(digits, |c| c.is_ascii_digit());
    if number.is_empty() { ("", text) } else { text.split_at_checked(text.len() - rest.len()).unwrap_or(("", text)) }
}

/// Letters or `%`, at most twelve, perhaps after one blank: `m`, `MiB`, `%`, ` seconds`.
fn is_suffix(text: &str) -> bool {
    let unit = text.strip_prefix(' ').unwrap_or(text);
    (1..=12).contains(&unit.len()) && unit.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '%' | 'µ' | 'μ'))
}

fn is_other_base(text: &str) -> bool {
    let digits = match text.as_bytes() {
        [b'0', b'x' | b'X', digits @ ..] => digits,
        [b'0', b'o' | b'O' | b'b' | b'B', digits @ ..] if digits.iter().all(|b| b.is_ascii_digit() || *b == b'_') => {
            digits
        }
        _ => return false,
    };
    !digits.is_empty() && digits.iter().all(|b| b.is_ascii_hexdigit() || *b == b'_')
}

fn is_grouped_by_thousands(text: &str) -> bool {
    let mut groups = text.split('_');
    groups.next().is_some_and(|g| (1..=3).contains(&g.len())) && groups.all(|g| g.len() == 3)
}

fn group_by_thousands(digits: &str) -> String {
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('_');
        }
        out.push(c);
    }
    out
}
