//! Many stems at once: every fourth byte of a text is looked at, and a table says where a closer look is due. A stem of
//! seven bytes holds four bytes that begin at a multiple of four wherever it stands; one mark for each such four bytes
//! says where.
//!
//! Pure. Not here: which stems go this way (`stems`).

use super::common::{Commonness, GRAM};
use super::{Found, Part, Spot, moved};

/// A text this long holds a whole gram at every alignment.
pub(super) const SIEVED: usize = 2 * GRAM - 1;

/// Size of the sieve, as a power of two: so large that few texts pass it by chance, and small enough for the second cache.
const BITS: u32 = 17;
const MARKS: usize = 1 << BITS;

/// Bytes that are looked at at once.
const BLOCK: usize = 16;
/// Grams in them.
const GRAMS: usize = BLOCK / GRAM;
/// Blocks after which those that need a closer look get it: a power of two.
const DUE: usize = 1 << 10;

/// Many texts of seven bytes or more.
pub(super) struct Sieve {
    /// By the hash of a gram: which bytes may follow it where it was asked for, one bit for each eighth of them.
    marks: [u8; MARKS],
    /// By the same: where its spots begin.
    starts: Vec<u32>,
    /// Those of one place one behind the other.
    spots: Vec<(usize, Spot)>,
}

impl std::fmt::Debug for Sieve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sieve").field("spots", &self.spots).finish_non_exhaustive()
    }
}

impl Sieve {
    pub(super) fn new(parts: &[Part], common: &Commonness) -> Sieve {
        let mut sieve = Sieve { marks: [0; MARKS], starts: vec![0; MARKS], spots: Vec::new() };
        for part in parts {
            let grams: Vec<[u8; GRAM]> =
                part.text.windows(GRAM).filter_map(|gram| gram.first_chunk().copied()).collect();
            let cost = |run: &(usize, &[[u8; GRAM]])| run.1.iter().map(|gram| common.gram(*gram)).sum::<u64>();
            // So many that one of them begins at a multiple of four.
            let Some((from, run)) = grams.windows(GRAM).enumerate().min_by_key(cost) else { continue };
            for (at, gram) in (from..).zip(run) {
                let place = place(u32::from_le_bytes(*gram));
                if let Some(mark) = sieve.marks.get_mut(place) {
                    *mark |= part.text.get(at + GRAM).map_or(u8::MAX, |next| eighth(*next));
                }
                sieve.spots.extend(moved(&part.spots, at).map(|spot| (place, spot)));
            }
        }
        sieve.spots.sort_by_key(|(place, _)| *place);
        for (start, (place, _)) in (0..u32::MAX).zip(&sieve.spots).rev() {
            if let Some(first) = sieve.starts.get_mut(*place) {
                *first = start;
            }
        }
        sieve
    }

    /// Not zero where a gram may be one that was asked for.
    #[inline]
    fn may_hold(&self, gram: u32) -> u8 {
        self.marks.get(place(gram)).copied().unwrap_or(0)
    }

    pub(super) fn find(&self, text: &[u8], found: &mut Found<'_>) {
        let (blocks, tail) = text.as_chunks::<BLOCK>();
        let mut due = [0_u16; DUE];
        let mut places = [0_u16; DUE * GRAMS];
        for (number, some) in blocks.chunks(DUE).enumerate() {
            // What is due is noted without a branch, which would be foretold wrongly at most of it: first blocks, then
            // grams in them.
            let mut count = 0_usize;
            for (index, block) in (0_u16..).zip(some) {
                let grams = block.as_chunks::<GRAM>().0;
                let any = grams.iter().fold(0, |any, gram| any | self.may_hold(u32::from_le_bytes(*gram)));
                // Never more than there are: the mask only spares a check.
                if let Some(next) = due.get_mut(count & (DUE - 1)) {
                    *next = index;
                }
                count += usize::from(any != 0);
            }
            let begin = number * DUE * BLOCK;
            let mut grams = 0_usize;
            for index in due.get(..count).unwrap_or_default() {
                for place in (0..GRAMS as u16).map(|gram| index * GRAMS as u16 + gram) {
                    if let Some(next) = places.get_mut(grams & (DUE * GRAMS - 1)) {
                        *next = place;
                    }
                    grams += usize::from(self.may_begin(text, begin + usize::from(place) * GRAM));
                }
            }
            for place in places.get(..grams).unwrap_or_default() {
                self.look(text, begin + usize::from(*place) * GRAM, found);
            }
        }
        for at in (text.len() - tail.len()..text.len()).step_by(GRAM).filter(|at| self.may_begin(text, *at)) {
            self.look(text, at, found);
        }
    }

    /// Whether a gram that was asked for may be there, by the byte behind it too.
    #[inline]
    fn may_begin(&self, text: &[u8], at: usize) -> bool {
        let next = text.get(at + GRAM).map_or(u8::MAX, |next| eighth(*next));
        let gram = text.get(at..).and_then(<[u8]>::first_chunk);
        gram.is_some_and(|gram| self.may_hold(u32::from_le_bytes(*gram)) & next != 0)
    }

    /// Looks for what a gram is a part of.
    fn look(&self, text: &[u8], at: usize, found: &mut Found<'_>) {
        if let Some(gram) = text.get(at..).and_then(<[u8]>::first_chunk) {
            self.spots_of(place(u32::from_le_bytes(*gram))).for_each(|spot| found.check(at, spot));
        }
    }

    fn spots_of(&self, place: usize) -> impl Iterator<Item = &Spot> {
        let start = self.starts.get(place).copied().unwrap_or(u32::MAX);
        let behind = self.spots.get(start as usize..).unwrap_or_default();
        behind.iter().take_while(move |(of, _)| *of == place).map(|(_, spot)| spot)
    }
}

/// The bit of the eighth of all bytes that a byte is in.
#[inline]
fn eighth(byte: u8) -> u8 {
    1 << (byte & 7)
}

/// The place of a gram, by the multiplicative hash of Knuth.
#[inline]
fn place(gram: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize
}
