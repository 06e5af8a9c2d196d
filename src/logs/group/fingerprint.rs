//! What finds the group of most titles without a look at their words: titles that differ in digits alone are one group.
//!
//! Pure.

use std::hash::{BuildHasher, RandomState};

/// Bytes of a title that are looked at.
pub const MAX_TITLE: usize = 512;
/// What stands for any number of digits: no title holds it, since it is no UTF-8.
const DIGITS: u8 = 0xFF;
/// What stands for a hexadecimal number that the mask knows as one: the same.
const HEX: u8 = 0xFE;
/// Of a hexadecimal number, at least.
const HEX_LENGTH: usize = 8;
const HEX_LETTERS: usize = 2;

/// What a byte is to a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digit,
    HexLetter,
    /// A word may begin or end there.
    Edge,
    Other,
}

static KINDS: [Kind; 256] = kinds();

const fn kinds() -> [Kind; 256] {
    let mut table = [Kind::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::indexing_slicing)] // in a constant: checked by the compiler
        {
            table[byte] = match byte as u8 {
                b'0'..=b'9' => Kind::Digit,
                b'a'..=b'f' => Kind::HexLetter,
                b' ' | b'=' | b',' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}' => Kind::Edge,
                _ => Kind::Other,
            };
        }
        byte += 1;
    }
    table
}

/// The word being read.
#[derive(Clone, Copy)]
struct Word {
    /// Where it begins in what is made.
    begin: usize,
    digits: usize,
    letters: usize,
    hex: bool,
}

impl Word {
    fn at(begin: usize) -> Word {
        Word { begin, digits: 0, letters: 0, hex: true }
    }

    /// A number with an exponent has one letter.
    fn is_hex(&self) -> bool {
        self.hex && self.digits > 0 && self.letters >= HEX_LETTERS && self.digits + self.letters >= HEX_LENGTH
    }
}

/// Makes fingerprints; two of them make different ones, so that nobody can write titles that only look alike.
#[derive(Debug, Clone)]
pub struct Fingerprints {
    seed: [u64; 2],
    buffer: Box<[u8; MAX_TITLE + 32]>,
}

impl Default for Fingerprints {
    fn default() -> Fingerprints {
        let random = RandomState::new();
        Fingerprints { seed: [random.hash_one(0), random.hash_one(1)], buffer: Box::new([0; MAX_TITLE + 32]) }
    }
}

impl Fingerprints {
    /// The fingerprint of a title.
    pub fn of(&mut self, title: &str) -> u64 {
        let bytes = title.as_bytes();
        let mut used = 0_usize;
        let mut put = |at: usize, byte: u8| {
            if let Some(place) = self.buffer.get_mut(at) {
                *place = byte;
            }
        };
        let mut word = Word::at(0);
        let mut after_digit = false;
        for byte in bytes.iter().take(MAX_TITLE) {
            let kind = KINDS.get(usize::from(*byte)).copied().unwrap_or(Kind::Other);
            if kind == Kind::Digit {
                word.digits += 1;
                if !after_digit {
                    put(used, DIGITS);
                    used += 1;
                }
                after_digit = true;
                continue;
            }
            after_digit = false;
            match kind {
                Kind::HexLetter => word.letters += 1,
                Kind::Edge => {
                    if word.is_hex() {
                        put(word.begin, HEX);
                        used = word.begin + 1;
                    }
                    word = Word::at(used + 1);
                }
                _ => word.hex = false,
            }
            put(used, *byte);
            used += 1;
        }
        if word.is_hex() && bytes.len() <= MAX_TITLE {
            put(word.begin, HEX);
            used = word.begin + 1;
        }
        let [first, second] = self.seed;
        let mut state = first ^ (used as u64) ^ u64::from(bytes.len() > MAX_TITLE) << 32;
        let text = self.buffer.get_mut(..used + 16).unwrap_or_default();
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

fn folded_product(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_numbers_are_one_where_the_mask_makes_them_one() {
        let mut of = Fingerprints::default();
        let mut check = |a: &str, b: &str, same: bool| {
            assert_eq!(of.of(a) == of.of(b), same, "{a} and {b}");
            if same {
                let template = |title| super::super::template(title);
                assert_eq!(template(a), template(b));
            }
        };
        check("req=1a2b3c4d x", "req=ffffffff0123 x", true);
        check("id 1a2b3c4d", "id deadbeef7", true);
        check("id 1a2b3c4d", "id 12345678", false);
        check("id 1234567e8", "id 1a2b3c4d", false);
        check("id 1a2b3c4", "id 1a2b3d4", false);
        check("id x1a2b3c4d", "id x1a2b3c4e", false);
        check("id deadbeef", "id feedbeef", false);
        check("id 1a2b3c4dg", "id 1a2b3c4dh", false);
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
