//! What finds the group of most titles without a look at their words: titles that differ in digits alone are one group.
//!
//! Pure.

use super::mask;
use crate::logs::escapes::ESC;
use crate::logs::shape::{Shapes, folded_product};
use crate::logs::wide::{any_block, highest_bits, padded, wide};
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Bytes of a title that are looked at.
pub const MAX_TITLE: usize = 512;
/// A power of two with room for what a title is folded to.
const ROOM: usize = 2 * MAX_TITLE;
/// A quoted number is no longer.
const MAX_QUOTED: usize = 40;
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

/// A number for a title: titles that share one have one template, and it is found much faster. They are as long as each
/// other, and differ in the values of digits and in what stands in hexadecimal numbers alone.
pub fn shape(shapes: &Shapes, title: &[u8]) -> u64 {
    if is_plain(title) { shapes.of(title) } else { shape_of_mixed(shapes, title) }
}

/// The same for a title that is not plain.
pub fn shape_of_mixed(shapes: &Shapes, title: &[u8]) -> u64 {
    if let Some((before, behind)) = around_quoted(title) {
        let length = title.len() - before.len() - behind.len();
        return shapes.after(!of_words(shapes, before) ^ length as u64, behind);
    }
    of_words(shapes, title)
}

/// Whether the shape of a title is that of its text; the same for all texts of one shape.
pub fn is_plain(title: &[u8]) -> bool {
    title.len() > MAX_TITLE || !is_mixed(title)
}

/// The same for a text without quoted numbers.
fn of_words(shapes: &Shapes, text: &[u8]) -> u64 {
    let (mut shape, mut rest) = (0, 0);
    each_hex(text, |number| {
        shape = !shapes.after(shape, text.get(rest..number.start).unwrap_or_default()) ^ number.len() as u64;
        rest = number.end;
    });
    shapes.after(shape, text.get(rest..).unwrap_or_default())
}

/// Tells the words that are hexadecimal numbers, in their order.
fn each_hex(text: &[u8], mut tell: impl FnMut(Range<usize>)) {
    // A place at the end of a block is in the next one too: so many bytes are looked at together.
    for from in (0..text.len()).step_by(BLOCK - RUN + 1) {
        let rest = text.get(from..).unwrap_or_default();
        let digits = rest.first_chunk().map_or_else(|| hex_digits(&padded(rest)), hex_digits);
        let two = digits & digits >> 1;
        let four = two & two >> 2;
        let mut starts = four & four >> 4 & !(digits << 1);
        while starts != 0 {
            hex_at(text, from + starts.trailing_zeros() as usize).into_iter().for_each(&mut tell);
            starts &= starts - 1;
        }
    }
}

/// Bytes of a title that are looked at at once.
const BLOCK: usize = 128;
/// A run of so many is looked for by doubling what is known of its length.
const RUN: usize = 8;
const _: () = assert!(RUN == mask::MIN_HEX);

wide! {
    /// Where digits and the letters a to f are: a bit for each byte.
    fn hex_digits(block: &[u8; BLOCK]) -> u128 {
        let is_digit = |byte: u8| byte.wrapping_sub(b'0') < 10 || byte.wrapping_sub(b'a') < 6;
        highest_bits(&block.map(|byte| u8::from(is_digit(byte)) << 7))
    }
}

/// The word that is a hexadecimal number and begins there.
fn hex_at(text: &[u8], start: usize) -> Option<Range<usize>> {
    let is_hex = |byte: &&u8| kind(**byte) & (DIGIT | HEX_LETTER) != 0;
    let is_edge = |at: usize| text.get(at).is_none_or(|byte| kind(*byte) == EDGE);
    let length = text.get(start..)?.iter().take_while(is_hex).count();
    let word = start..start + length;
    let is_word = start.checked_sub(1).is_none_or(is_edge) && is_edge(word.end);
    (is_word && mask::is_hex_part(text.get(word.clone())?)).then_some(word)
}

/// What stands around the only quoted text of a title, where that is digits and the letters a to f: then it is a value,
/// whatever it says.
fn around_quoted(title: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut quotes = memchr::memchr3_iter(b'\'', b'"', b'`', title);
    let (open, close) = (quotes.next()?, quotes.next()?);
    let (before, behind) = (title.get(..=open)?, title.get(close..)?);
    let inner = title.get(open + 1..close)?;
    let is_value = before.last() == behind.first()
        && inner.len() <= MAX_QUOTED
        && inner.iter().all(|byte| kind(*byte) & (DIGIT | HEX_LETTER) != 0)
        && inner.iter().any(u8::is_ascii_digit)
        && behind.get(1) != Some(&b':')
        // `code='1a'` may be what happened.
        && title.get(..open).is_some_and(|before| before.trim_ascii_end().last() != Some(&b'='))
        && quotes.next().is_none()
        && !open.checked_sub(1).and_then(|last| title.get(last)).is_some_and(u8::is_ascii_alphanumeric)
        && memchr::memchr2(b'\\', ESC, title).is_none();
    is_value.then_some((before, behind))
}

wide! {
    /// Whether a digit stands beside one of the letters a to f, as it does in every hexadecimal number.
    pub fn is_mixed(title: &[u8]) -> bool {
        let is_digit = |byte: u8| u8::from(byte.wrapping_sub(b'0') < 10);
        let is_letter = |byte: u8| u8::from(byte.wrapping_sub(b'a') < 6);
        let beside = |(a, b): (&u8, &u8)| is_digit(*a) & is_letter(*b) | is_letter(*a) & is_digit(*b);
        // Without a branch, so that many bytes are looked at in one instruction.
        any_block::<33>(title, 1, |block| block.iter().zip(block.iter().skip(1)).map(beside).fold(0, |a, b| a | b) != 0)
    }
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

    fn have_one_template(a: &str, b: &str) -> bool {
        super::super::template(a) == super::super::template(b)
    }

    /// All that `each_hex` tells.
    fn all_hex(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        each_hex(text.as_bytes(), |number| found.push(&text[number]));
        found
    }

    /// The same, by a look at every word.
    fn hex_words(text: &str) -> Vec<&str> {
        text.split(|c| kind(c as u8) == EDGE).filter(|word| mask::is_hex_part(word.as_bytes())).collect()
    }

    #[test]
    fn hexadecimal_numbers_are_one_where_the_mask_makes_them_one() {
        let (mut of, shapes) = (Fingerprints::default(), Shapes::default());
        let mut check = |a: &str, b: &str, same: bool| {
            assert_eq!(of.of(a) == of.of(b), same, "{a} and {b}");
            let one_shape = shape(&shapes, a.as_bytes()) == shape(&shapes, b.as_bytes());
            assert_eq!(one_shape, same && a.len() == b.len(), "{a} and {b}");
            assert!(!same || have_one_template(a, b), "{a} and {b}");
        };
        check("req=1a2b3c4d x", "req=ffffffff0123 x", true);
        check("req=1a2b3c4d5e6f x", "req=ffffffff0123 x", true);
        check("id=req_1a2b3c4d x", "id=req_0f0f0f0f x", true);
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

    #[test]
    fn hexadecimal_numbers_are_the_words_that_are_some() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!((all_hex(text), hex_words(text)), (expected.to_vec(), expected.to_vec()), "{text}");
        };
        check("1a2b3c4d", &["1a2b3c4d"]);
        check("x1a2b3c4d 1a2b3c4d-deadbeef7 1a2b3c4", &["1a2b3c4d", "deadbeef7"]);
        check("a 1a2b3c4d,0f0f0f0f0f0f0f0f=1", &["1a2b3c4d", "0f0f0f0f0f0f0f0f"]);
        check("1a2b3c4dg 12345678 deadbeef", &[]);
        check("\u{00e9}1a2b3c4d", &[]);
        check("", &[]);
    }

    #[test]
    fn a_quoted_number_is_one_shape_where_it_is_a_value() {
        let shapes = Shapes::default();
        let check = |a: &str, b: &str, same: bool| {
            assert_eq!(shape(&shapes, a.as_bytes()) == shape(&shapes, b.as_bytes()), same, "{a} and {b}");
            assert!(!same || have_one_template(a, b), "{a} and {b}");
        };
        check("base 10: 'd3e4'", "base 10: 'c61b'", true);
        check("base 10: 'd3e4'", "base 10: '1f'", false);
        check("bad code='d3e4'", "bad code='c61b'", false);
        check("base 10: 'd3e4' of 5", "base 10: 'c61b' of 7", true);
        check("base 10: 'd3e4' of 5", "base 10: 'c61b' of 17", false);
        check("base 10: 'd3e4'", "base 10: \"c61b\"", false);
        check("base 10: 'd3e4' and 'x'", "base 10: 'c61b' and 'x'", false);
        check("'d3e4': 1", "'c61b': 1", false);
        check("base 10: 'd3g4'", "base 10: 'c61h'", false);
        check("it'd3e4'", "it'c61b'", false);
    }

    proptest::proptest! {
        // Of keys alone, no colon behind them: those that differ in digits are taken for one.
        #[test]
        fn titles_of_one_shape_have_one_template(
            start in "[ a-z0-9=:\\[\\]('\"]{0,20}", end in "([ a-z0-9=\\])'\"][ a-z0-9=:\\])'\"]{0,11})?",
            key in "|code=|error= |state=|x=|type: ", values in "[0-9a-f]{12}", length in 1..7_usize, quote in "['\"`]",
        ) {
            let title = |value: &str| format!("{start}{key}{quote}{value}{quote}{end}");
            let (one, two) = (title(&values[..length]), title(&values[12 - length..]));
            let shapes = Shapes::default();
            if shape(&shapes, one.as_bytes()) == shape(&shapes, two.as_bytes()) {
                let template = |title: &str| super::super::template(title);
                proptest::prop_assert_eq!(template(&one), template(&two), "{} and {}", one, two);
            }
        }

        #[test]
        fn any_word_that_is_a_hexadecimal_number_is_found(text in "([0-9a-f]{1,9}|[ _gx:-]){0,70}") {
            proptest::prop_assert_eq!(all_hex(&text), hex_words(&text));
        }

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
            let one_shape = shape(&shapes, one.as_bytes()) == shape(&shapes, two.as_bytes());
            if one_shape || of.of(&one) == of.of(&two) {
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
