//! What finds the group of most titles without a look at their words: titles that differ in digits alone are one group.
//!
//! Pure.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// Bytes of a title that are looked at.
pub const MAX_TITLE: usize = 512;
/// What stands for any number of digits: no title holds it, since it is no UTF-8.
const DIGITS: u8 = 0xFF;

/// Every byte as it counts.
static FOLDED: [u8; 256] = folded();

const fn folded() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let is_digit = byte >= b'0' as usize && byte <= b'9' as usize;
        #[allow(clippy::indexing_slicing)] // in a constant: checked by the compiler
        {
            table[byte] = if is_digit { DIGITS } else { byte as u8 };
        }
        byte += 1;
    }
    table
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
        let (mut used, mut last) = (0_usize, 0_u8);
        for byte in bytes.iter().take(MAX_TITLE) {
            let byte = FOLDED.get(usize::from(*byte)).copied().unwrap_or_default();
            // A digit after a digit is written over by what follows.
            used += usize::from(byte != DIGITS || last != DIGITS);
            if let Some(place) = self.buffer.get_mut(used) {
                *place = byte;
            }
            last = byte;
        }
        used += 1;
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

/// A map by fingerprints, which are spread already.
pub type ByFingerprint<T> = std::collections::HashMap<u64, T, BuildHasherDefault<Same>>;

/// Hashes a number to itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
