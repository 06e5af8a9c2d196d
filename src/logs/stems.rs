//! Stems: literals that are searched for in whole buffers, many at once.
//!
//! Where a processor can look up 64 bytes at once, four bytes of each stem are looked for that way (`teddy`). Elsewhere few
//! stems are found by their rarest parts with the vector search of `aho_corasick::packed` (`anchors`). Many would overwhelm
//! it: then only the short ones go that way, and the long ones through a sieve. Linear time on every input. Pure. Not here:
//! what a stem means.

mod anchors;
mod common;
mod grams;
mod sieve;
mod teddy;

use super::wide::begins_with;
use anchors::Anchors;
use common::Commonness;
use sieve::Sieve;
use std::collections::HashMap;
use teddy::Teddy;

/// A stem found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Where it begins.
    pub at: u32,
    /// Its index.
    pub stem: u16,
}

/// Stems, ready to search for.
#[derive(Debug)]
pub struct Stems {
    stems: Vec<Vec<u8>>,
    search: Search,
}

#[derive(Debug)]
enum Search {
    Teddy(Box<Teddy>),
    Portable { anchors: Option<Anchors>, sieve: Option<Box<Sieve>> },
}

/// A stem of which a part was seen: it begins so many bytes before.
#[derive(Debug, Clone, Copy)]
struct Spot {
    stem: u16,
    before: u16,
    head: Head,
}

/// Bytes of a stem that are compared first.
const HEAD: usize = 8;

/// The first bytes of a stem, or all of a shorter one: most texts differ there, and comparing them is one
/// instruction.
#[derive(Debug, Clone, Copy)]
struct Head {
    bytes: u64,
    mask: u64,
}

impl Head {
    fn of(stem: &[u8]) -> Head {
        let mut bytes = [0; HEAD];
        let mut mask = [0; HEAD];
        for ((byte, bit), from) in bytes.iter_mut().zip(&mut mask).zip(stem) {
            (*byte, *bit) = (*from, u8::MAX);
        }
        Head { bytes: u64::from_le_bytes(bytes), mask: u64::from_le_bytes(mask) }
    }

    #[inline]
    fn may_begin(self, text: &[u8]) -> bool {
        text.first_chunk().is_none_or(|first| u64::from_le_bytes(*first) & self.mask == self.bytes)
    }
}

impl Stems {
    /// Prepares the search for stems, each of three bytes at least, in texts like this sample: what is common there is
    /// no good mark. The sample changes the speed, never what is found.
    ///
    /// # Errors
    /// When there are more than 65,535, or so many that no search can be built for them.
    pub fn new(stems: Vec<Vec<u8>>, sample: &[u8]) -> anyhow::Result<Stems> {
        Stems::with(stems, sample, Search::new)
    }

    fn with(stems: Vec<Vec<u8>>, sample: &[u8], search: SearchOf) -> anyhow::Result<Stems> {
        anyhow::ensure!(stems.len() < usize::from(u16::MAX), "{} literals to search for are too many", stems.len());
        let spot = |stem, text: &[u8]| vec![Spot { stem, before: 0, head: Head::of(text) }];
        let all = (0..).zip(&stems).map(|(stem, text)| Part { text: text.clone(), spots: spot(stem, text) }).collect();
        let search = search(minimal(all), &stems, &Commonness::of(sample))?;
        Ok(Stems { stems, search })
    }

    /// All stems in a text, in order of where they begin.
    pub fn find(&self, text: &[u8], hits: &mut Vec<Hit>) {
        hits.clear();
        let mut found = Found { stems: &self.stems, text, hits, first: 0 };
        match &self.search {
            Search::Teddy(teddy) => teddy.find(text, &mut found),
            Search::Portable { anchors, sieve } => {
                anchors.iter().for_each(|anchors| anchors.find(text, &mut found));
                if let Some(sieve) = sieve {
                    found.first = found.hits.len();
                    sieve.find(text, &mut found);
                    // Two lists that are in order.
                    found.hits.sort();
                }
            }
        }
        hits.dedup();
    }
}

/// What makes a search for parts of stems.
type SearchOf = fn(Vec<Part>, &[Vec<u8>], &Commonness) -> anyhow::Result<Search>;

impl Search {
    fn new(parts: Vec<Part>, stems: &[Vec<u8>], common: &Commonness) -> anyhow::Result<Search> {
        match Teddy::new(&parts, stems, common) {
            Some(teddy) => Ok(Search::Teddy(Box::new(teddy))),
            None => Search::portable(parts, stems, common),
        }
    }

    /// One for every processor.
    fn portable(parts: Vec<Part>, stems: &[Vec<u8>], common: &Commonness) -> anyhow::Result<Search> {
        let anchors = anchors::choose(&parts, common);
        let (anchors, sieve) = if anchors.len() <= anchors::MANY {
            (anchors, None)
        } else {
            let (long, short): (Vec<_>, Vec<_>) = parts.into_iter().partition(|p| p.text.len() >= sieve::SIEVED);
            (anchors::choose(&short, common), Some(Box::new(Sieve::new(&long, common))))
        };
        let anchors = if anchors.is_empty() { None } else { Some(Anchors::new(anchors, stems)?) };
        Ok(Search::Portable { anchors, sieve })
    }
}

/// What is found in a text.
struct Found<'f> {
    stems: &'f [Vec<u8>],
    text: &'f [u8],
    hits: &'f mut Vec<Hit>,
    /// Hits from here on are in order.
    first: usize,
}

impl Found<'_> {
    /// Adds the stem of which a part was seen, if it is there.
    fn check(&mut self, at: usize, spot: &Spot) {
        let rest = at.checked_sub(usize::from(spot.before)).and_then(|begin| self.text.get(begin..));
        if rest.is_some_and(|rest| spot.head.may_begin(rest)) {
            self.check_whole(at, spot);
        }
    }

    /// The same, without a look at its first bytes.
    fn check_whole(&mut self, at: usize, spot: &Spot) {
        let Some(begin) = at.checked_sub(usize::from(spot.before)) else { return };
        let is_there = |stem: &Vec<u8>| self.text.get(begin..).is_some_and(|rest| begins_with(rest, stem));
        if self.stems.get(usize::from(spot.stem)).is_some_and(is_there) {
            self.add(begin, spot.stem);
        }
    }

    /// The same for all of which one part was seen.
    #[inline]
    fn check_all(&mut self, at: usize, spots: &Spots) {
        let around = Around::of(self.text, at);
        for (expected, spot) in spots.0.iter().filter(|(expected, _)| expected.may_be(around)) {
            match expected.whole {
                Some(behind) if at + behind <= self.text.len() => {
                    if let Some(begin) = at.checked_sub(usize::from(spot.before)) {
                        self.add(begin, spot.stem);
                    }
                }
                Some(_) => {}
                None => self.check_whole(at, spot),
            }
        }
    }

    /// Adds a stem that is there, in its place.
    fn add(&mut self, begin: usize, stem: u16) {
        let hit = Hit { at: u32::try_from(begin).unwrap_or(u32::MAX), stem };
        let own = self.hits.get(self.first..).unwrap_or_default();
        // Few: what begins later and was seen earlier is less than a stem away.
        match own.iter().rev().take_while(|other| **other > hit).count() {
            0 => self.hits.push(hit),
            later => self.hits.insert(self.hits.len() - later, hit),
        }
    }
}

/// A text to search for and the stems of which it is a part.
#[derive(Debug, Clone)]
struct Part {
    text: Vec<u8>,
    spots: Vec<Spot>,
}

/// Only what holds no other part; what does is seen wherever the part in it is.
fn minimal(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by(|a, b| (a.text.len(), &a.text).cmp(&(b.text.len(), &b.text)));
    let mut kept: Vec<Part> = Vec::new();
    let mut by_start: HashMap<[u8; 3], Vec<usize>> = HashMap::new();
    for part in parts {
        let within = |(before, start): (usize, &[u8; 3])| {
            let rest = part.text.get(before..)?;
            let fits = |at: &&usize| kept.get(**at).is_some_and(|p| rest.starts_with(&p.text));
            Some((*by_start.get(start)?.iter().find(fits)?, before))
        };
        let starts = part.text.windows(3).filter_map(<[u8]>::first_chunk).enumerate();
        match starts.filter_map(within).last() {
            Some((at, before)) => kept.get_mut(at).into_iter().for_each(|p| p.spots.extend(moved(&part.spots, before))),
            None => {
                let start = part.text.first_chunk().copied().unwrap_or_default();
                by_start.entry(start).or_default().push(kept.len());
                kept.push(part);
            }
        }
    }
    kept
}

fn moved(spots: &[Spot], by: usize) -> impl Iterator<Item = Spot> {
    let by = u16::try_from(by).unwrap_or(u16::MAX);
    spots.iter().map(move |spot| Spot { before: spot.before.saturating_add(by), ..*spot })
}

/// The stems of which a text is a part. Many may share one: what stands around it tells which of them are worth a look.
#[derive(Debug)]
struct Spots(Vec<(Expected, Spot)>);

impl Spots {
    fn new(spots: Vec<Spot>, stems: &[Vec<u8>]) -> Spots {
        let expected =
            |spot: Spot| Some((Expected::of(stems.get(usize::from(spot.stem))?, usize::from(spot.before)), spot));
        Spots(spots.into_iter().filter_map(expected).collect())
    }
}

/// The bytes around a place: as many before it as from it on, and zeros where there are none.
#[derive(Debug, Clone, Copy)]
struct Around {
    before: u64,
    from: u64,
}

impl Around {
    #[inline]
    fn of(text: &[u8], at: usize) -> Around {
        let (before, from) = text.split_at_checked(at).unwrap_or_default();
        let whole = |eight: &[u8; HEAD]| u64::from_le_bytes(*eight);
        Around {
            before: before.last_chunk().map_or_else(|| gathered(before.iter().rev()).swap_bytes(), whole),
            from: from.first_chunk().map_or_else(|| gathered(from.iter()), whole),
        }
    }
}

/// Up to eight bytes, the first one lowest.
fn gathered<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    let mut eight = [0; HEAD];
    eight.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(eight)
}

/// What stands around a place of a stem.
#[derive(Debug, Clone, Copy)]
struct Expected {
    bytes: Around,
    /// Where the stem has any.
    mask: Around,
    /// How far it goes from the place on, where nothing else is in it.
    whole: Option<usize>,
}

impl Expected {
    fn of(stem: &[u8], at: usize) -> Expected {
        let behind = stem.len().saturating_sub(at);
        let whole = (at <= HEAD && behind <= HEAD).then_some(behind);
        Expected { bytes: Around::of(stem, at), mask: Around::of(&vec![u8::MAX; stem.len()], at), whole }
    }

    #[inline]
    fn may_be(&self, around: Around) -> bool {
        (around.before ^ self.bytes.before) & self.mask.before | (around.from ^ self.bytes.from) & self.mask.from == 0
    }
}

#[cfg(test)]
mod tests {
    use super::common::SAMPLE;
    use super::*;
    use proptest::prelude::*;

    fn found(stems: &[Vec<u8>], text: &[u8]) -> Vec<Hit> {
        let mut all = Vec::new();
        // Samples decide what is searched for: those that hold the stems, and large ones that hold none of them.
        for sample in [b"", text, &[b'x'; SAMPLE], &text.repeat(SAMPLE / text.len().max(1))] {
            for search in [Search::new, Search::portable] {
                let mut hits = Vec::new();
                Stems::with(stems.to_vec(), sample, search).unwrap().find(text, &mut hits);
                all.push(hits);
            }
        }
        assert!(all.windows(2).all(|two| two[0] == two[1]));
        all.pop().unwrap()
    }

    /// By looking for each stem at each place.
    fn naive(stems: &[Vec<u8>], text: &[u8]) -> Vec<Hit> {
        let at = |at: usize| {
            (0..).zip(stems).filter(move |(_, s)| text[at..].starts_with(s)).map(move |(stem, _)| (at, stem))
        };
        (0..text.len()).flat_map(at).map(|(at, stem)| Hit { at: at as u32, stem }).collect()
    }

    fn check(stems: &[&str], text: &str) {
        let stems: Vec<Vec<u8>> = stems.iter().map(|s| s.as_bytes().to_vec()).collect();
        assert_eq!(found(&stems, text.as_bytes()), naive(&stems, text.as_bytes()), "{stems:?} in {text:?}");
    }

    #[test]
    fn every_stem_is_found_wherever_it_stands() {
        check(&["abc"], "abcabc xabc");
        check(&["abc", "abcdef", "bcd"], "abcdef");
        check(&["429 Client Error", "503 Client Error", "503 Server Error"], "x 503 Client Error 503 Server Error");
        check(&["Error", "ValueError", "Errors"], "ValueErrors");
        check(&["aaa", "aaaa"], "aaaaaaa");
        check(&["abcdef", "abcxyz", "zabcd"], "zabcdef abcxyz zabcxyz");
        check(&["abc", "abxy", "xyzabcd"], "ab abc");
        check(&["abc\0", "xyz"], "abc\0 xyz\0");
        check(&["abc"], "ab");
        check(&[], "abc");
    }

    #[test]
    fn many_stems_are_found_wherever_they_stand_in_a_long_text() {
        let stems: Vec<Vec<u8>> = (0..60).map(|n| format!("a stem, the {n:02}th").into_bytes()).collect();
        let mut text = Vec::new();
        // At every place of a block, and across the ends of what is looked at in one go.
        for (gap, stem) in (1..).zip(stems.iter().cycle().take(3000)) {
            text.resize(text.len() + gap % 37, b'.');
            text.extend_from_slice(stem);
        }
        assert_eq!(found(&stems, &text), naive(&stems, &text));
    }

    #[test]
    fn a_part_that_is_common_stands_for_no_literal_that_has_a_rare_one() {
        let sample = [b"all is well\n".repeat(200).as_slice(), b"an error\n"].concat().repeat(SAMPLE / 2000);
        let stems =
            ["429 Client Error", "503 Client Error", "Error:", "DatabaseError", "Groq API error", "fatal error "];
        let stems: Vec<Vec<u8>> = stems.iter().map(|s| s.as_bytes().to_vec()).collect();
        let Search::Portable { anchors: Some(anchors), .. } =
            Stems::with(stems, &sample, Search::portable).unwrap().search
        else {
            panic!("no anchors")
        };
        let known: usize = anchors.spots.iter().map(|spots| spots.0.len()).sum();
        assert_eq!((anchors.stops(&sample).count(), known), (0, 6));
    }

    #[test]
    fn a_processor_that_looks_up_many_bytes_at_once_does() {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let stems = Stems::new(vec![b"abc".to_vec()], b"").unwrap();
        assert_eq!(matches!(stems.search, Search::Teddy(_)), flags.contains(" avx512vbmi "));
    }

    proptest! {
        #[test]
        fn the_search_finds_what_a_naive_one_finds(
            stems in prop::collection::btree_set("[ab]{3,6}|[abc]{7,12}", 0..80),
            parts in prop::collection::vec("[abc]{0,9}", 0..40),
            picked in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let stems: Vec<Vec<u8>> = stems.into_iter().map(String::into_bytes).collect();
            let mut text = Vec::new();
            for (part, pick) in parts.iter().zip(&picked) {
                text.extend_from_slice(part.as_bytes());
                if !stems.is_empty() {
                    text.extend_from_slice(&stems[pick.index(stems.len())]);
                }
            }
            prop_assert_eq!(found(&stems, &text), naive(&stems, &text));
        }
    }
}
