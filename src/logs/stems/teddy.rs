//! Any number of stems on a processor that looks up 64 bytes at once (AVX-512 VBMI): where one of their grams may begin,
//! a closer look is due.
//!
//! The way is that of Teddy (Hyperscan; `aho_corasick::packed`): grams are put into buckets, and for each byte of a gram a
//! table says in which buckets one has it there. Tables are by the lower six bits of a byte, so that one instruction looks
//! up 64 of them. Unlike there, the places are first gathered without a branch, since in a log with many errors one is due
//! every few hundred bytes. Pure. Not here: which grams (`grams`).

#[cfg(target_arch = "x86_64")]
mod vbmi;
#[cfg(not(target_arch = "x86_64"))]
mod vbmi {
    //! No other architecture has them.

    /// None of it.
    #[derive(Debug, Clone, Copy)]
    pub enum Vbmi {}

    impl Vbmi {
        pub fn detect() -> Option<Vbmi> {
            None
        }

        pub fn find(self, _: &super::Filter, _: &[u8], _: &mut impl FnMut(usize)) {
            match self {}
        }
    }
}

use super::common::{Commonness, GRAM};
use super::grams::{self, Gram, OF_ONE_SET, OF_TWO_SETS, SHORT};
use super::{Found, Part, Spot, Spots};
use vbmi::Vbmi;

/// A search for stems by their grams.
#[derive(Debug)]
pub(super) struct Teddy {
    processor: Vbmi,
    filter: Filter,
    index: Index,
}

impl Teddy {
    /// None where the processor lacks what it takes.
    pub(super) fn new(parts: &[Part], stems: &[Vec<u8>], common: &Commonness) -> Option<Teddy> {
        let processor = Vbmi::detect()?;
        let grams = grams::choose(parts, common);
        let filter = Filter::new(&grams, common);
        let entries = grams.into_iter().map(|(gram, spots)| (gram, Spots::new(spots, stems))).collect();
        Some(Teddy { processor, filter, index: Index::new(entries) })
    }

    pub(super) fn find(&self, text: &[u8], found: &mut Found<'_>) {
        self.processor.find(&self.filter, text, &mut |at| self.index.look(text, at, found));
    }
}

/// Size of the index, as a power of two: small enough for the first cache.
const BITS: u32 = 12;

/// The stems in which grams stand.
#[derive(Debug)]
struct Index {
    /// By the place of a gram: where its entries begin.
    starts: Box<[u16]>,
    /// Those of one place one behind the other.
    entries: Vec<(u32, Spots)>,
    any_short: bool,
}

impl Index {
    fn new(grams: Vec<(Gram, Spots)>) -> Index {
        let any_short = grams.iter().any(|(gram, _)| gram.short);
        let number = |(gram, spots): (Gram, Spots)| (u32::from_le_bytes(gram.bytes), spots);
        let mut entries: Vec<_> = grams.into_iter().map(number).collect();
        entries.sort_by_key(|(gram, _)| place(*gram));
        let mut starts = vec![u16::MAX; 1 << BITS].into_boxed_slice();
        for (start, (gram, _)) in (0..u16::MAX).zip(&entries).rev() {
            starts.get_mut(place(*gram)).into_iter().for_each(|first| *first = start);
        }
        Index { starts, entries, any_short }
    }

    /// Compares the stems of which a gram stands at a place of a text.
    #[inline]
    fn look(&self, text: &[u8], at: usize, found: &mut Found<'_>) {
        let rest = text.get(at..).unwrap_or_default();
        if let Some(gram) = rest.first_chunk::<GRAM>() {
            self.look_of(u32::from_le_bytes(*gram), at, found);
        }
        if self.any_short
            && let Some([a, b, c]) = rest.first_chunk::<SHORT>()
        {
            self.look_of(u32::from_le_bytes([*a, *b, *c, 0]), at, found);
        }
    }

    #[inline]
    fn look_of(&self, gram: u32, at: usize, found: &mut Found<'_>) {
        let place = place(gram);
        let start = self.starts.get(place).copied().unwrap_or(u16::MAX);
        if start == u16::MAX {
            return;
        }
        let behind = self.entries.get(usize::from(start)..).unwrap_or_default();
        let here = behind.iter().take_while(|(other, _)| self::place(*other) == place);
        for (_, spots) in here.filter(|(other, _)| *other == gram) {
            found.check_all(at, spots);
        }
    }
}

/// The place of a gram, by the multiplicative hash of Knuth.
#[inline]
fn place(gram: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B1) >> (u32::BITS - BITS)) as usize
}

/// One bit of a byte for each.
const BUCKETS: usize = 8;
/// What a byte is looked up by: its lower six bits.
const CLASSES: usize = 64;

/// Eight buckets: by byte of a gram and by class, in which of them a gram has such a byte.
type Tables = [[u8; CLASSES]; GRAM];

/// How often a closer look is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Places {
    Rare,
    Frequent,
}

/// Bytes of a sample for each place, from which on places are rare.
const APART: usize = 2 << 10;

/// So many buckets as it takes for little else than grams to pass.
#[derive(Debug)]
enum Filter {
    /// For up to `OF_ONE_SET` grams.
    Few(Box<[Tables; 1]>, Places),
    /// For up to `OF_TWO_SETS`.
    Some(Box<[Tables; 2]>, Places),
    Many(Box<[Tables; 4]>),
}

impl Filter {
    fn new(grams: &[(Gram, Vec<Spot>)], common: &Commonness) -> Filter {
        let seen = grams.iter().map(|(gram, _)| common.counted(gram.bytes)).sum::<usize>();
        let places = if seen * APART > common.grams { Places::Frequent } else { Places::Rare };
        let grams = grams.iter().map(|(gram, _)| *gram);
        match grams.len() {
            count if count <= OF_ONE_SET => Filter::Few(Box::new(tables(grams, common)), places),
            count if count <= OF_TWO_SETS => Filter::Some(Box::new(tables(grams, common)), places),
            _ => Filter::Many(Box::new(tables(grams, common))),
        }
    }
}

/// The grams of one bucket.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// By byte of a gram: the classes that it has there, one bit each, and the part of all bytes that is of them.
    seen: [(u64, f32); GRAM],
}

impl Bucket {
    /// With one more gram.
    fn with(mut self, gram: Gram, share: &[f32; CLASSES]) -> Bucket {
        for (at, ((classes, passing), byte)) in self.seen.iter_mut().zip(gram.bytes).enumerate() {
            let class = class(byte);
            if gram.short && at >= SHORT {
                (*classes, *passing) = (u64::MAX, 1.0);
            } else if *classes >> class & 1 == 0 {
                *classes |= 1 << class;
                *passing += share.get(class).copied().unwrap_or(0.0);
            }
        }
        self
    }

    /// The part of all texts of a gram's length that pass, as far as bytes do not depend on each other.
    fn passing(&self) -> f32 {
        self.seen.iter().map(|(_, passing)| passing).product()
    }
}

fn class(byte: u8) -> usize {
    usize::from(byte) % CLASSES
}

/// Buckets by which as little else as can be passes in texts of this kind.
fn tables<const SETS: usize>(grams: impl Iterator<Item = Gram>, common: &Commonness) -> [Tables; SETS] {
    let mut share = [0.0; CLASSES];
    for byte in 0..=u8::MAX {
        share.get_mut(class(byte)).into_iter().for_each(|share| *share += common.share(byte));
    }
    let mut buckets = [[Bucket::default(); BUCKETS]; SETS];
    for gram in grams {
        let more = |bucket: &Bucket| bucket.with(gram, &share).passing() - bucket.passing();
        let least = buckets.as_flattened_mut().iter_mut().min_by(|a, b| more(a).total_cmp(&more(b)));
        least.into_iter().for_each(|bucket| *bucket = bucket.with(gram, &share));
    }
    buckets.map(|buckets| {
        let mut tables = [[0; CLASSES]; GRAM];
        for (number, bucket) in buckets.iter().enumerate() {
            for (table, (classes, _)) in tables.iter_mut().zip(bucket.seen) {
                table.iter_mut().enumerate().for_each(|(class, set)| *set |= ((classes >> class & 1) as u8) << number);
            }
        }
        tables
    })
}
