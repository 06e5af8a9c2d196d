//! Text from outside made fit to be shown: one line, bounded, no escape sequences.

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
}
