//! How long: the one syntax of durations in the configuration and on the command line. May not live here: clocks.

use std::time::Duration;

/// What a message shows as the syntax.
pub const DURATION_SYNTAX: &str = r#"a duration such as "500ms", "30s", "2m30s", "4h" or "30d""#;

/// The same as a pattern that every reader of JSON Schema knows; of the empty text it thinks too well.
pub const DURATION_PATTERN: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

/// Units from large to small, in milliseconds. A month or a year has no fixed length and is none.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A hundred years: longer is a slip, and would overflow calendars later.
const LONGEST_MS: u64 = 36_500 * 86_400_000;

/// Reads whole numbers with units from large to small, each at most once: `2m30s`. No sign, no spaces, no fractions.
///
/// # Errors
/// With a sentence that shows the syntax.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is not {DURATION_SYNTAX}");
    let (mut rest, mut total, mut units) = (text, 0u64, UNITS.iter());
    if text.is_empty() {
        return Err(refused());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits).ok_or_else(refused)?;
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at_checked(letters).ok_or_else(refused)?;
        // The iterator is used up in order, so that a unit given twice or too late is not found any more.
        let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(refused)?;
        let number: u64 = number.parse().map_err(|_| refused())?;
        total = number.checked_mul(*factor).and_then(|ms| total.checked_add(ms)).ok_or_else(refused)?;
        rest = after;
    }
    if total > LONGEST_MS {
        return Err(format!("`{text}` is longer than a hundred years"));
    }
    Ok(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_go_from_large_to_small() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("2m30s", 150_000),
            ("5m", 300_000),
            ("1h500ms", 3_600_500),
            ("30d", 2_592_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "5",
            "m",
            "5 m",
            " 5m",
            "-5m",
            "+5m",
            "1.5h",
            "5M",
            "5min",
            "30s2m",
            "1m1m",
            "5m30",
            "٣s",
            "5µs",
            "99999999999999999999s",
            "9999999999999d",
            "1y",
            "1w",
            "5m\n",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
