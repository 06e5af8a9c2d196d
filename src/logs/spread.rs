//! Maps by numbers that are spread over all their bits already: nothing is hashed once more.
//!
//! Pure. Only for numbers that nobody outside can choose, or whose collisions cost nothing.

use std::hash::{BuildHasherDefault, Hasher};

/// A map by such numbers.
pub type BySpread<T> = std::collections::HashMap<u64, T, BuildHasherDefault<Same>>;

/// A number spread by the multiplicative hash of Knuth; two numbers are never spread to one.
pub fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

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
