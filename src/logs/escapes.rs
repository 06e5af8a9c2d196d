//! The terminal's escape sequences in log lines: programs that believe in a terminal colour what they write.
//!
//! Pure. A colour in front of a word would hide it from every signature that begins at a word.

use memchr::memchr;
use std::borrow::Cow;

/// What every escape sequence begins with.
pub const ESC: u8 = 0x1b;

/// The line without escape sequences.
pub fn without(line: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(ESC, line) else { return Cow::Borrowed(line) };
    let (head, mut rest) = line.split_at_checked(first).unwrap_or((line, &[]));
    let mut plain = Vec::with_capacity(line.len());
    plain.extend_from_slice(head);
    while let Some((byte, after)) = rest.split_first() {
        if *byte == ESC {
            rest = after.get(length(after)..).unwrap_or_default();
        } else {
            plain.push(*byte);
            rest = after;
        }
    }
    Cow::Owned(plain)
}

/// How many bytes behind an escape character belong to it.
fn length(after: &[u8]) -> usize {
    match after.first() {
        // Parameters up to a final byte.
        Some(b'[') => after.iter().skip(1).position(|b| (0x40..=0x7e).contains(b)).map_or(after.len(), |end| end + 2),
        // A text up to a bell or to `ESC \`, whose backslash goes with its own escape character.
        Some(b']') => match after.iter().position(|b| [0x07, ESC].contains(b)) {
            Some(end) if after.get(end) == Some(&0x07) => end + 1,
            Some(end) => end,
            None => after.len(),
        },
        Some(_) => 1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_not_show_goes() {
        for (line, plain) in [
            ("plain [31m", "plain [31m"),
            ("\x1b[31mred\x1b[0m end", "red end"),
            ("\x1b[1;38;5;196mKeyError\x1b[0m: 'x'", "KeyError: 'x'"),
            ("a\x1b]0;title\x07b\x1b]0;title\x1b\\c", "abc"),
            ("\x1b(Bx\x1b", "Bx"),
            ("cut \x1b[31", "cut "),
            ("\x1b]never ended", ""),
        ] {
            assert_eq!(without(line.as_bytes()), plain.as_bytes(), "{line:?}");
        }
    }
}
