//! Text from outside made fit to be shown: one line, bounded, no escape sequences.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

/// Longest message, in characters.
const MAX_CHARS: usize = 400;

/// The text as one line of at most 400 characters in which nothing moves a cursor, changes a colour or turns the
/// direction of writing: line ends and tabs become spaces, other control characters are escaped.
pub fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_CHARS));
    for (count, c) in text.trim().chars().enumerate() {
        if count == MAX_CHARS {
            line.push('…');
            break;
        }
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if c.is_control() || is_invisible(c) => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
    line
}

/// One word of a command, as a shell reads it.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if is_plain { Cow::Borrowed(text) } else { Cow::Owned(format!("'{}'", text.replace('\'', r"'\''"))) }
}

/// A span without what says nothing beside the rest of it.
pub fn coarse(span: Duration) -> Duration {
    let seconds = span.as_secs();
    let unit = match seconds {
        0..60 => 1,
        60..86_400 => 60,
        86_400.. => 3600,
    };
    Duration::from_secs(seconds / unit * unit)
}

/// A JSON text in which nothing acts on whoever prints it: characters that JSON lets through and a terminal obeys, or that
/// turn the direction of writing, are escaped. It says the same: they can only be inside its strings.
pub fn inert_json(json: &str) -> Cow<'_, str> {
    let acts = |c: char| c >= '\u{7f}' && (c.is_control() || is_invisible(c));
    if !json.contains(acts) {
        return Cow::Borrowed(json);
    }
    let mut inert = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if acts(c) {
            // All of them are of four digits.
            let _ = write!(inert, "\\u{:04x}", u32::from(c));
        } else {
            inert.push(c);
        }
    }
    Cow::Owned(inert)
}

/// A part of a line around one place in it, fit to be shown: one column for each character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub text: String,
    /// Where the place begins in `text`, in characters.
    pub at: usize,
    /// How much of the place is in `text`, in characters; at least 1.
    pub width: usize,
}

/// At most `most` characters around a place of a line (in bytes of it), and `...` where something is left out.
pub fn window(line: &str, place: Range<usize>, most: usize) -> Window {
    let before = |byte: usize| line.char_indices().take_while(|(at, _)| *at < byte).count();
    let (from, to, all) = (before(place.start), before(place.end), line.chars().count());
    let context = most.saturating_sub(to - from.min(to)) / 2;
    let first = if all <= most { 0 } else { from.saturating_sub(context.min(most / 3)).min(all - most) };
    let last = (first + most).min(all);
    let shown = line.chars().skip(first).take(last - first).map(|c| match c {
        '\t' => ' ',
        c if c.is_control() || is_invisible(c) => '\u{fffd}',
        c => c,
    });
    let (left, right) = (if first > 0 { "..." } else { "" }, if last < all { "..." } else { "" });
    let text = format!("{left}{}{right}", shown.collect::<String>());
    Window { text, at: from - first + left.len(), width: to.min(last).saturating_sub(from).max(1) }
}

/// Marks of writing direction and line separators: they can make a line read as another one.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_reaches_a_terminal_raw() {
        for (text, shown) in [
            ("plain ünï", "plain ünï"),
            (" two\nlines\r\n", "two lines"),
            ("\x1b[31mred\x07", "\\u{1b}[31mred\\u{7}"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("\u{9b}2J", "\\u{9b}2J"),
        ] {
            assert_eq!(clean(text), shown);
        }
        assert_eq!(clean(&"x".repeat(5000)).chars().count(), MAX_CHARS + 1);
    }

    #[test]
    fn a_window_shows_the_place_and_stays_within_its_bounds() {
        let check = |line: &str, place: Range<usize>, most: usize, expected: &str, marked: &str| {
            let window = window(line, place, most);
            let found: String = window.text.chars().skip(window.at).take(window.width).collect();
            assert_eq!((window.text.as_str(), found.as_str()), (expected, marked), "{line}");
        };
        check("abc", 1..2, 10, "abc", "b");
        check("a\tb\x1b\u{202e}c", 1..2, 10, "a b\u{fffd}\u{fffd}c", " ");
        check("äöü", 2..4, 10, "äöü", "ö");
        check("0123456789", 5..6, 6, "...345678...", "5");
        check("0123456789", 0..1, 6, "012345...", "0");
        check("0123456789", 9..10, 6, "...456789", "9");
        check("0123456789", 2..10, 6, "...234567...", "234567");
        assert_eq!(window("", 0..0, 5), Window { text: String::new(), at: 0, width: 1 });
    }

    #[test]
    fn inert_json_says_the_same_and_moves_no_terminal() {
        let check = |text: &str, expected: &str| {
            let json = serde_json::Value::from(text).to_string();
            assert_eq!(inert_json(&json), expected);
            assert_eq!(serde_json::from_str::<String>(expected).unwrap(), text);
        };
        check("plain \u{e4} \u{1f600}", "\"plain \u{e4} \u{1f600}\"");
        check("\u{1b}[31m", r#""\u001b[31m""#);
        check("\u{9b}31m\u{7f}\u{85}", r#""\u009b31m\u007f\u0085""#);
        check("a\u{202e}b\u{2066}\u{2028}", r#""a\u202eb\u2066\u2028""#);
        check("\\\u{9b}", r#""\\\u009b""#);
    }
}
