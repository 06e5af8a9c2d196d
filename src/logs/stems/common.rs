//! How common grams are in logs like a sample.
//!
//! Pure. Not here: which of them are chosen.

use crate::logs::spread::spread;

/// Bytes that are counted as one.
pub(super) const GRAM: usize = 4;
/// Bytes of each anchor from which the vector search tells whether it may be there: with one more it takes a third longer.
pub(super) const LOOKED_AT: usize = 3;
/// Bytes of a sample that are looked at.
pub(super) const SAMPLE: usize = 256 << 10;
const COUNTERS: usize = 1 << 16;
/// What was counted weighs so many powers of two more than what is known of bytes.
pub(super) const COUNTED: u32 = 40;
/// So many grams tell that what is not among them is rare.
const TELLING: usize = 1 << 14;

/// How often grams stand in logs: counted in a sample, and where that says nothing by their bytes.
pub(super) struct Commonness {
    counted: Vec<u16>,
    /// By byte.
    bytes: [u32; 256],
    /// Grams that were counted.
    pub(super) grams: usize,
}

impl Commonness {
    pub(super) fn of(sample: &[u8]) -> Commonness {
        let grams = sample.get(..SAMPLE).unwrap_or(sample).as_chunks::<GRAM>().0;
        let mut common = Commonness { counted: vec![0; COUNTERS], bytes: [0; 256], grams: grams.len() };
        for gram in grams {
            let [first, ..] = gram.map(usize::from);
            common.bytes.get_mut(first).into_iter().for_each(|count| *count += 1);
            for counter in [Commonness::counter(*gram), Commonness::counter(started(gram))] {
                if let Some(count) = common.counted.get_mut(counter) {
                    *count = count.saturating_add(1);
                }
            }
        }
        common
    }

    fn counter(gram: [u8; GRAM]) -> usize {
        (spread(u64::from(u32::from_le_bytes(gram))) >> 48) as usize
    }

    /// How often a gram was counted.
    pub(super) fn counted(&self, gram: [u8; GRAM]) -> usize {
        self.counted.get(Commonness::counter(gram)).copied().map_or(0, usize::from)
    }

    pub(super) fn gram(&self, gram: [u8; GRAM]) -> u64 {
        ((self.counted(gram) as u64) << COUNTED) + (1 << (gram.iter().map(|b| Commonness::byte(*b)).sum::<u32>() - 8))
    }

    /// The same for what the vector search sees of a text.
    pub(super) fn start(&self, text: &[u8]) -> u64 {
        self.gram(started(text))
    }

    /// Where in a text the bytes begin that are rarest, and how common those are.
    pub(super) fn rarest(&self, text: &[u8]) -> (usize, u64) {
        let last = text.len().saturating_sub(LOOKED_AT);
        let starts = (0..=last).map(|at| (at, self.start(text.get(at..).unwrap_or_default())));
        starts.min_by_key(|(_, common)| *common).unwrap_or_default()
    }

    /// Whether a sample that is large enough to tell holds none of what the vector search sees of a text.
    pub(super) fn is_unseen(&self, text: &[u8]) -> bool {
        let seen = self.counted.get(Commonness::counter(started(text))).copied().unwrap_or(0);
        seen == 0 && self.grams >= TELLING
    }

    /// The part of all bytes that a byte is.
    pub(super) fn share(&self, byte: u8) -> f32 {
        let known = (1 << (Commonness::byte(byte) - 8)) as f32;
        let counted = self.bytes.get(usize::from(byte)).copied().unwrap_or(0) as f32;
        (counted + known / 1024.0) / (self.grams as f32 + 1.0)
    }

    /// Roughly, on a logarithmic scale.
    fn byte(byte: u8) -> u32 {
        match byte {
            b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b'0' | b'1' => 12,
            b'l' | b'd' | b'c' | b'u' | b'm' | b'p' | b'f' | b'2'..=b'9' | b':' | b'.' | b'-' | b'/' => 11,
            b'g' | b'h' | b'b' | b'y' | b'w' | b'v' | b'k' | b'_' | b'=' | b'[' | b']' | b'(' | b')' | b',' => 10,
            b'A'..=b'Z' => 9,
            _ => 8,
        }
    }
}

/// What the vector search sees of a text, as a gram.
fn started(text: &[u8]) -> [u8; GRAM] {
    let mut gram = [0; GRAM];
    gram.iter_mut().zip(text.iter().take(LOOKED_AT)).for_each(|(to, from)| *to = *from);
    gram
}
