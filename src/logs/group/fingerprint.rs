//! What finds the group of most titles without a look at their words: titles that differ in digits alone are one group.
//!
//! Pure.

use super::mask;
use crate::logs::shape::{Shapes, folded_product};
use std::hash::{BuildHasher, RandomState};

/// Bytes of a title that are looked at.
pub const MAX_TITLE: usize = 512;
/// A power of two with room for what a title is folded to.
const ROOM: usize = 2 * MAX_TITLE;
/// What stands for any number of digits: no title holds it, since it is no UTF-8.
const DIGITS: u8 = 0xFF;
/// What stands for a hexadecimal number that the mask knows as one: the same.
const HEX: u8 = 0xFE;

/// What the bytes of a word are, one bit each.
const DIGIT: u8 = 1;
const HEX_LETTER: u8 = 2;
const OTHER: u8 = 4;
/// A word may begin or end there.
const EDGE: u8 = 8;

static KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut table = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::indexing_slicing)] // in a constant: checked by the compiler
        {
            table[byte] = match byte as u8 {
                b'0'..=b'9' => DIGIT,
                b'a'..=b'f' => HEX_LETTER,
                b' ' | b'=' | b',' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'_' | b'-' => EDGE,
                _ => OTHER,
            };
        }
        byte += 1;
    }
    table
}

/// Makes fingerprints; two of them make different ones, so that nobody can write titles that only look alike.
#[derive(Debug, Clone)]
pub struct Fingerprints {
    seed: [u64; 2],
    buffer: Box<[u8; ROOM]>,
}

impl Default for Fingerprints {
    fn default() -> Fingerprints {
        let random = RandomState::new();
        Fingerprints { seed: [random.hash_one(0), random.hash_one(1)], buffer: Box::new([0; ROOM]) }
    }
}

impl Fingerprints {
    /// The fingerprint of a title.
    pub fn of(&mut self, title: &str) -> u64 {
        let bytes = title.as_bytes().get(..MAX_TITLE).unwrap_or(title.as_bytes());
        let buffer = &mut *self.buffer;
        let used = fold_digits(bytes, buffer).unwrap_or_else(|| fold_numbers(bytes, buffer));
        let [first, second] = self.seed;
        let mut state = first ^ (used as u64) ^ u64::from(title.len() > MAX_TITLE) << 32;
        let text = buffer.get_mut(..used + 16).unwrap_or_default();
        if let Some(rest) = text.get_mut(used..) {
            rest.fill(0);
        }
        for pair in text.chunks_exact(16) {
            let (Some(low), Some(high)) = (pair.first_chunk::<8>(), pair.last_chunk::<8>()) else { break };
            state = folded_product(u64::from_le_bytes(*low) ^ second, u64::from_le_bytes(*high) ^ state);
        }
        state
    }
}

/// A number for a title: titles that share one share their fingerprint, and it is found much faster. Those that differ in
/// how many digits their numbers have share none.
pub fn shape(shapes: &Shapes, title: &[u8]) -> u64 {
    if title.len() > MAX_TITLE || !is_mixed(title) {
        return shapes.of(title);
    }
    // Behind the last hexadecimal number, and where the next word begins.
    let (mut rest, mut at) = (0, 0);
    let mut shape = 0;
    for word in title.split(|byte| kind(*byte) == EDGE) {
        if mask::is_hex_part(word) {
            shape = !shapes.after(shape, title.get(rest..at).unwrap_or_default());
            rest = at + word.len();
        }
        at += word.len() + 1;
    }
    shapes.after(shape, title.get(rest..).unwrap_or_default())
}

/// Whether a digit stands beside one of the letters a to f, as it does in every hexadecimal number.
fn is_mixed(title: &[u8]) -> bool {
    let is_digit = |byte: u8| u8::from(byte.wrapping_sub(b'0') < 10);
    let is_letter = |byte: u8| u8::from(byte.wrapping_sub(b'a') < 6);
    let beside = |(a, b): (&u8, &u8)| is_digit(*a) & is_letter(*b) | is_letter(*a) & is_digit(*b);
    // Without a branch, so that many bytes are looked at in one instruction.
    title.iter().zip(title.iter().skip(1)).map(beside).fold(0, |any, one| any | one) != 0
}

fn kind(byte: u8) -> u8 {
    KINDS.get(usize::from(byte)).copied().unwrap_or(OTHER)
}

/// Folds a title in which no digit stands beside one of the letters a to f; none for another one. No branch depends on
/// its text. Returns the length.
fn fold_digits(bytes: &[u8], buffer: &mut [u8; ROOM]) -> Option<usize> {
    let (mut used, mut last, mut mixed) = (0_usize, 0_u8, false);
    for byte in bytes {
        let kind = kind(*byte);
        mixed |= kind | last == DIGIT | HEX_LETTER;
        used = put(buffer, used, *byte, kind, last);
        last = kind;
    }
    (!mixed).then_some(used)
}

/// Folds any title; the same for those without hexadecimal numbers. Returns the length.
fn fold_numbers(bytes: &[u8], buffer: &mut [u8; ROOM]) -> usize {
    // The word being read begins at `start`, and at `begin` in what is made.
    let (mut used, mut start, mut begin, mut seen, mut last) = (0_usize, 0, 0, 0_u8, 0_u8);
    for (at, byte) in bytes.iter().chain(b" ").enumerate() {
        let kind = kind(*byte);
        if kind == EDGE {
            let word = bytes.get(start..at).unwrap_or_default();
            if seen == DIGIT | HEX_LETTER && mask::is_hex_part(word) {
                used = put(buffer, begin, HEX, OTHER, OTHER);
            }
            (start, begin, seen) = (at + 1, used + 1, 0);
        } else {
            seen |= kind;
        }
        if at < bytes.len() {
            used = put(buffer, used, *byte, kind, last);
        }
        last = kind;
    }
    used
}

/// Writes a byte; a digit after a digit is written where the next one will be. Returns where that is.
#[inline]
fn put(buffer: &mut [u8; ROOM], at: usize, byte: u8, kind: u8, last: u8) -> usize {
    if let Some(place) = buffer.get_mut(at & (ROOM - 1)) {
        *place = if kind == DIGIT { DIGITS } else { byte };
    }
    at + usize::from(kind & last & DIGIT == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_numbers_are_one_where_the_mask_makes_them_one() {
        let (mut of, shapes) = (Fingerprints::default(), Shapes::default());
        let mut check = |a: &str, b: &str, same: bool| {
            assert_eq!(of.of(a) == of.of(b), same, "{a} and {b}");
            assert_eq!(shape(&shapes, a.as_bytes()) == shape(&shapes, b.as_bytes()), same, "{a} and {b}");
            if same {
                let template = |title| super::super::template(title);
                assert_eq!(template(a), template(b));
            }
        };
        check("req=1a2b3c4d x", "req=ffffffff0123 x", true);
        check("id 1a2b3c4d", "id deadbeef7", true);
        check("id=req_1a2b3c4d x", "id=req_0f0f0f0f0f x", true);
        check("id 1a2b3c4d-0a0a0a0a", "id deadbeef7-1b1b1b1b", true);
        check("a-1a2b3c4d-b", "a-1a2b3c4d9-b", true);
        check("id 1a2b3c4d", "id 12345678", false);
        check("id 1234567e8", "id 1a2b3c4d", false);
        check("id 1a2b3c4", "id 1a2b3d4", false);
        check("base 10: '1a2", "base 10: 'f0", false);
        check("it's1a2b3c4d here", "it's1a2b3c4e here", false);
        check("id x1a2b3c4d", "id x1a2b3c4e", false);
        check("id deadbeef", "id feedbeef", false);
        check("id 1a2b3c4dg", "id 1a2b3c4dh", false);
    }

    proptest::proptest! {
        #[test]
        fn titles_of_one_fingerprint_have_one_template(
            words in proptest::collection::vec(("[ =,;('\"_-]", "[a-f0-9]{1,12}|[a-z]{1,6}|[0-9]{1,4}|[0-9a-f]{1,3}x", "[a-f0-9]{8,12}"), 1..8),
        ) {
            // The second title has another number wherever one stands.
            let title = |other: bool| -> String {
                let word = |(edge, word, number): &(String, String, String)| {
                    let are_numbers = [word, number].iter().all(|part| mask::is_hex_part(part.as_bytes()));
                    format!("{edge}{}", if other && are_numbers { number } else { word })
                };
                words.iter().map(word).collect()
            };
            let (one, two) = (title(false), title(true));
            let mut of = Fingerprints::default();
            let shapes = Shapes::default();
            if shape(&shapes, one.as_bytes()) == shape(&shapes, two.as_bytes()) {
                proptest::prop_assert_eq!(of.of(&one), of.of(&two), "{} and {}", one, two);
            }
            if of.of(&one) == of.of(&two) {
                let template = |title: &str| super::super::template(title);
                proptest::prop_assert_eq!(template(&one), template(&two), "{} and {}", one, two);
            }
        }
    }

    #[test]
    fn titles_that_differ_in_digits_alone_have_one_fingerprint_and_no_others() {
        let mut of = Fingerprints::default();
        let same = ["a 1 b 22", "a 999 b 0", "a 12345678901 b 1"];
        assert!(same.iter().all(|title| of.of(title) == of.of("a 5 b 5")));
        let long = "x".repeat(MAX_TITLE);
        let mut seen: Vec<u64> =
            ["", "a", "a ", "a 1", "a 1 ", "a 1 b", "a b", "a1 b", "1", "1a", "\u{ff}", &long, &format!("{long}x")]
                .iter()
                .map(|title| of.of(title))
                .collect();
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
