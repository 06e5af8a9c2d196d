//! Texts that are equal but for the values of their digits, told by one number, in a few nanoseconds: most errors have
//! been seen before, and only the numbers in them were others.
//!
//! Pure.

use super::spread::spread;
use super::wide::{fetch, halves, without_values};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

const BLOCK: usize = 16;
const PAIR: usize = 2 * BLOCK;

/// Makes shapes: the same ones in a whole process, others in the next one, so that nobody can write texts that only look
/// alike.
#[derive(Debug, Clone)]
pub struct Shapes {
    seed: [u64; 2],
}

impl Default for Shapes {
    fn default() -> Shapes {
        static SEED: LazyLock<[u64; 2]> = LazyLock::new(|| {
            let random = RandomState::new();
            [random.hash_one(0), random.hash_one(1)]
        });
        Shapes { seed: *SEED }
    }
}

impl Shapes {
    /// The shape of a text: the same for all that differ from it in the values of digits alone, and by no more than chance
    /// for any other.
    pub fn of(&self, text: &[u8]) -> u64 {
        self.after(0, text)
    }

    /// The shape of something and a text behind it.
    pub fn after(&self, shape: u64, text: &[u8]) -> u64 {
        self.folded(shape, text, without_values)
    }

    /// A number for something and a text behind it: another one, but for chance, for any other text.
    pub fn exactly(&self, of: u64, text: &[u8]) -> u64 {
        self.folded(of, text, halves)
    }

    #[inline]
    fn folded(&self, of: u64, text: &[u8], seen: impl Fn(&[u8; BLOCK]) -> [u64; 2]) -> u64 {
        let [first, second] = self.seed;
        let mixed = |state: u64, block: &[u8; BLOCK]| {
            let [low, high] = seen(block);
            folded_product(low ^ second, high ^ state)
        };
        // Mixed, so that no byte of the text cancels out what differs in them.
        let start = folded_product(of ^ first, text.len() as u64 ^ second);
        // The last blocks overlap those before them.
        if let Some(last) = text.last_chunk::<PAIR>() {
            // Two states, so that one need not wait for the other.
            let both = |(one, other): (u64, u64), pair: &[u8; PAIR]| match pair.as_chunks().0 {
                [left, right] => (mixed(one, left), mixed(other, right)),
                _ => (one, other),
            };
            let (one, other) = both(text.as_chunks().0.iter().fold((start, !start), both), last);
            return folded_product(one ^ second, other ^ first);
        }
        if let (Some(head), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            return mixed(mixed(start, head), last);
        }
        let mut short = [0; BLOCK];
        short.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        mixed(start, &short)
    }
}

/// Both halves of a product in one number: a hash of both factors.
pub fn folded_product(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

/// Remembers something of the shapes seen last. A shape has a place in one set of a few; what is new takes there the place of
/// something that was not asked for since something else wanted a place: what comes once does not drive out what comes often.
#[derive(Debug, Clone)]
pub struct Memo<T> {
    /// A power of two, or none before the first is remembered.
    sets: Vec<Set<T>>,
}

/// One line of the cache, where what is remembered takes eight bytes.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Set<T>([Place<T>; WAYS]);

const WAYS: usize = 4;

/// The lowest bit of a shape is not told apart: it says whether it was asked for.
type Place<T> = (u64, Option<T>);

const ASKED_FOR: u64 = 1;

impl<T> Default for Memo<T> {
    fn default() -> Memo<T> {
        Memo { sets: Vec::new() }
    }
}

impl<T: Copy> Memo<T> {
    const SETS: usize = 1 << 10;

    /// Has the set of a shape brought near meanwhile.
    pub fn expect(&self, shape: u64) {
        self.sets.get(Self::set(shape)).into_iter().for_each(fetch);
    }

    /// What was remembered of a shape, unless it has been forgotten.
    pub fn get(&mut self, shape: u64) -> Option<T> {
        self.get_in(shape, shape)
    }

    /// What was remembered of something else in the set of a shape.
    pub fn get_in(&mut self, of: u64, shape: u64) -> Option<T> {
        let set = self.sets.get_mut(Self::set(of))?;
        let way = set.way(shape)?;
        let (of, known) = set.0.get_mut(way)?;
        *of |= ASKED_FOR;
        *known
    }

    /// Remembers it.
    pub fn put(&mut self, shape: u64, known: T) {
        self.put_in(shape, shape, known);
    }

    /// Remembers it in the set of a shape.
    pub fn put_in(&mut self, of: u64, shape: u64, known: T) {
        if self.sets.is_empty() {
            self.sets = vec![Set([(0, None); WAYS]); Self::SETS];
        }
        let Some(set) = self.sets.get_mut(Self::set(of)) else { return };
        match set.way(shape).or_else(|| set.free(shape)).and_then(|way| set.0.get_mut(way)) {
            Some(place) => *place = (shape & !ASKED_FOR, Some(known)),
            None => set.0.iter_mut().for_each(|(of, _)| *of &= !ASKED_FOR),
        }
    }

    fn set(shape: u64) -> usize {
        (spread(shape) >> 32) as usize & (Self::SETS - 1)
    }
}

impl<T> Set<T> {
    /// Where a shape is. Found without a branch for each place, which would be foretold wrongly.
    #[inline]
    fn way(&self, shape: u64) -> Option<usize> {
        let is_of = |of: u64| u32::from(of | ASKED_FOR == shape | ASKED_FOR);
        let found = (0..).zip(&self.0).fold(0, |found, (way, (of, _))| found | is_of(*of) << way);
        (found != 0).then_some(found.trailing_zeros() as usize)
    }

    /// What a new shape takes the place of: nothing, or any of those that were not asked for.
    fn free(&self, shape: u64) -> Option<usize> {
        let any = (spread(shape) >> 60) as usize;
        let mut ways = (any..any + WAYS).map(|way| way % WAYS);
        let is_unasked = |way: &usize| self.0.get(*way).is_some_and(|(of, _)| of & ASKED_FOR == 0);
        self.0.iter().position(|(_, known)| known.is_none()).or_else(|| ways.find(is_unasked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_have_one_shape_when_they_differ_in_the_values_of_digits_alone(
            text in "[a-c0-9:\\x00\\PC]{0,60}", other in "[a-c0-9:]{0,60}", at in any::<prop::sample::Index>(), digits in "[0-9]{60}",
        ) {
            let shapes = Shapes::default();
            let of = |text: &str| shapes.of(text.as_bytes());
            let revalued = |text: &str, digits: &str| -> String {
                let revalue = |(c, d): (char, char)| if c.is_ascii_digit() { d } else { c };
                text.chars().zip(digits.chars()).map(revalue).collect()
            };
            prop_assert_eq!(of(&text), of(&revalued(&text, &digits)));
            let zeros = "0".repeat(60);
            prop_assert_eq!(of(&text) == of(&other), revalued(&text, &zeros) == revalued(&other, &zeros));
            let mut bytes = text.clone().into_bytes();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                for other in [b'~', 0, b'0', b'9' + 1, 0x10, 0xB0] {
                    let was = std::mem::replace(&mut bytes[at], other);
                    let alike = was == other || was.is_ascii_digit() && other.is_ascii_digit();
                    prop_assert_eq!(shapes.of(&bytes) == of(&text), alike, "{} for {}", other, was);
                    bytes[at] = was;
                }
            }
        }
    }

    #[test]
    fn what_a_text_stands_behind_and_its_length_are_not_cancelled_out_by_its_bytes() {
        let shapes = Shapes::default();
        let mut seen = std::collections::HashSet::new();
        for (behind, length) in (0..32).flat_map(|behind| [(behind, 9), (behind, 10), (behind, 11)]) {
            for byte in 0..=u8::MAX {
                let mut text = *b"12345678...";
                text[8..].copy_from_slice(&[byte, 0, 0]);
                assert!(seen.insert(shapes.exactly(behind, &text[..length])), "{behind} {length} {byte}");
            }
        }
    }

    #[test]
    fn a_memo_knows_what_it_was_told_last_of_a_shape() {
        let mut memo = Memo::default();
        assert_eq!(memo.get(0), None);
        for shape in (0..40_000_u64).step_by(2) {
            memo.put(shape, shape + 1);
        }
        memo.put(40_000, 7);
        assert_eq!(memo.get(40_000), Some(7));
        memo.put(40_000, 8);
        assert_eq!(memo.get(40_000), Some(8));
        let known: Vec<_> = (0..40_000).step_by(2).filter_map(|shape| Some((shape, memo.get(shape)?))).collect();
        // And the one that was told last.
        assert_eq!(known.len() + 1, Memo::<u64>::SETS * WAYS);
        assert!(known.iter().all(|(shape, told)| shape + 1 == *told));
    }

    #[test]
    fn what_comes_once_does_not_drive_out_of_a_memo_what_comes_often() {
        let mut memo = Memo::default();
        memo.put(0, 0);
        let (mut learned, mut rivals) = (0, 0);
        for shape in (2..200_000_u64).step_by(2) {
            if memo.get(0).is_none() {
                learned += 1;
                memo.put(0, 0);
            }
            rivals += u64::from(Memo::<u64>::set(shape) == Memo::<u64>::set(0));
            memo.put(shape, shape);
        }
        assert_eq!((learned, rivals > 10), (0, true));
        // Nor what comes as often and has its place in the same set.
        let same_set = |shape: &u64| Memo::<u64>::set(*shape) == Memo::<u64>::set(0);
        let often: Vec<u64> = (0..200_000_u64).step_by(2).filter(same_set).take(WAYS).collect();
        for shape in often.iter().cycle().take(WAYS * 9) {
            if memo.get(*shape).is_none() {
                memo.put(*shape, *shape);
            }
        }
        assert!(often.iter().all(|shape| memo.get(*shape) == Some(*shape)));
        // What is not asked for any more is forgotten for what is.
        for shape in (2..200_000).step_by(2) {
            memo.put(shape, shape);
            memo.get(shape);
        }
        assert_eq!(memo.get(0), None);
    }
}
