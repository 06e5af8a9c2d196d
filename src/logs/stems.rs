//! Stems: literals that are searched for in whole buffers, many at once.
//!
//! Few stems are found by their rarest parts with the vector search of `aho_corasick::packed`. Many would overwhelm it:
//! then only the short ones go that way, and the long ones through a sieve, which looks at every fourth byte alone. A
//! stem of seven bytes holds four bytes that begin at a multiple of four wherever it stands; one mark for each such four
//! bytes says where a closer look is due. Linear time on every input. Pure. Not here: what a stem means.

mod sieve;

use super::spread::spread;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind, Span, packed};
use sieve::Sieve;
use std::collections::{BTreeMap, HashMap};

/// So many anchors the vector search takes at full speed.
const MAX_ANCHORS: usize = 32;
/// Stems that are looked for in each other's parts, which takes quadratic time.
const MAX_SHARED: usize = 64;
/// A part that several stems share is at least so long.
const SHARED: usize = 5;
/// What one more anchor costs the vector search, in grams of a sample at which it stops for nothing.
const ONE_MORE: u64 = 2 << COUNTED;
/// Bytes of each anchor from which the vector search tells whether it may be there: with one more it takes a third longer.
const LOOKED_AT: usize = 3;
/// Bytes from which the sieve tells whether a stem may be there.
const GRAM: usize = 4;
/// A stem this long holds a whole gram at every alignment.
const SIEVED: usize = 2 * GRAM - 1;

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
    anchors: Option<Anchors>,
    sieve: Option<Box<Sieve>>,
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
        anyhow::ensure!(stems.len() < usize::from(u16::MAX), "{} literals to search for are too many", stems.len());
        let spot = |stem, text: &[u8]| vec![Spot { stem, before: 0, head: Head::of(text) }];
        let all = (0..).zip(&stems).map(|(stem, text)| Part { text: text.clone(), spots: spot(stem, text) }).collect();
        let parts = minimal(all);
        let common = Commonness::of(sample);
        let anchors = anchors(&parts, &common);
        let (anchors, sieve) = if anchors.len() <= MAX_ANCHORS {
            (anchors, None)
        } else {
            let (long, short): (Vec<_>, Vec<_>) = parts.into_iter().partition(|p| p.text.len() >= SIEVED);
            (self::anchors(&short, &common), Some(Box::new(Sieve::new(&long, &common))))
        };
        let anchors = if anchors.is_empty() { None } else { Some(Anchors::new(anchors, &stems)?) };
        Ok(Stems { stems, anchors, sieve })
    }

    /// All stems in a text, in order of where they begin.
    pub fn find(&self, text: &[u8], hits: &mut Vec<Hit>) {
        hits.clear();
        if let Some(anchors) = &self.anchors {
            anchors.find(text, &mut |at, spot| self.check(text, at, spot, 0, hits));
        }
        if let Some(sieve) = &self.sieve {
            let first = hits.len();
            sieve.find(text, &mut |at, spot| self.check(text, at, spot, first, hits));
            // Two lists that are in order.
            hits.sort();
        }
        hits.dedup();
    }

    /// Adds the stem of which a part was seen, if it is there, to the hits from `first` on, which are in order.
    fn check(&self, text: &[u8], at: usize, spot: &Spot, first: usize, hits: &mut Vec<Hit>) {
        let Some(begin) = at.checked_sub(usize::from(spot.before)) else { return };
        let Some(rest) = text.get(begin..).filter(|rest| spot.head.may_begin(rest)) else { return };
        let is_there = |stem: &Vec<u8>| (stem.len() <= HEAD && rest.len() >= HEAD) || rest.starts_with(stem);
        if self.stems.get(usize::from(spot.stem)).is_some_and(is_there) {
            let hit = Hit { at: u32::try_from(begin).unwrap_or(u32::MAX), stem: spot.stem };
            let own = hits.get(first..).unwrap_or_default();
            // Few: what begins later and was seen earlier is less than a stem away.
            let later = own.iter().rev().take_while(|other| **other > hit).count();
            hits.insert(hits.len() - later, hit);
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

/// What is searched for instead of the stems: parts that several of them share, and each from where it is rarest.
fn anchors(parts: &[Part], common: &Commonness) -> Vec<Part> {
    let mut left: Vec<Option<&Part>> = parts.iter().map(Some).collect();
    let mut anchors = Vec::new();
    if left.len() <= MAX_SHARED {
        while let Some((text, shared)) = best_shared(&left, common) {
            let mut spots = Vec::new();
            for (index, at) in shared {
                let Some(part) = left.get_mut(index).and_then(Option::take) else { continue };
                spots.extend(moved(&part.spots, at));
            }
            anchors.push(Part { text, spots });
        }
    }
    anchors.extend(left.into_iter().flatten().cloned());
    let mut anchors = minimal(anchors.into_iter().map(|part| from_rarest(part, common)).collect());
    // The shortest one decides how many bytes of each are looked at.
    let never_seen = anchors.iter_mut().filter(|part| common.is_unseen(&part.text));
    if let Some(rarest) = never_seen.min_by_key(|part| common.start(&part.text)) {
        rarest.text.truncate(LOOKED_AT);
    }
    minimal(anchors)
}

/// Parts that hold a text, by index, each with where it begins in it.
type Holders = Vec<(usize, usize)>;

/// The text that is best searched for instead of several parts that hold it. None where each is better searched for by
/// itself.
fn best_shared(left: &[Option<&Part>], common: &Commonness) -> Option<(Vec<u8>, Holders)> {
    let mut windows: BTreeMap<&[u8], Holders> = BTreeMap::new();
    for (index, part) in left.iter().enumerate() {
        for (at, window) in part.iter().flat_map(|p| p.text.windows(SHARED).enumerate()) {
            let holders = windows.entry(window).or_default();
            if holders.last().is_none_or(|(last, _)| *last != index) {
                holders.push((index, at));
            }
        }
    }
    let alone = |index: usize| left.get(index).copied().flatten().map_or(0, |part| common.cost(&part.text));
    let gain = |holders: Holders| {
        let apart: u64 = holders.iter().map(|(index, _)| alone(*index)).sum();
        let text = widened(&holders, left);
        let gain = apart.checked_sub(common.cost(&text)).filter(|gain| *gain > 0)?;
        Some((gain, text, holders))
    };
    let shared = windows.into_values().filter(|holders| holders.len() > 1).filter_map(gain);
    shared.max_by_key(|(gain, ..)| *gain).map(|(_, text, holders)| (text, holders))
}

/// The shared text, as long as all that hold it agree on what follows.
fn widened(shared: &[(usize, usize)], left: &[Option<&Part>]) -> Vec<u8> {
    let rests: Vec<&[u8]> = shared.iter().filter_map(|(index, at)| (*left.get(*index)?)?.text.get(*at..)).collect();
    let Some((first, others)) = rests.split_first() else { return Vec::new() };
    let common = |other: &&[u8]| first.iter().zip(*other).take_while(|(a, b)| a == b).count();
    first.get(..others.iter().map(common).min().unwrap_or(first.len())).unwrap_or_default().to_vec()
}

fn moved(spots: &[Spot], by: usize) -> impl Iterator<Item = Spot> {
    let by = u16::try_from(by).unwrap_or(u16::MAX);
    spots.iter().map(move |spot| Spot { before: spot.before.saturating_add(by), ..*spot })
}

/// Drops what stands before the rarest bytes: the vector search looks at the first ones.
fn from_rarest(part: Part, common: &Commonness) -> Part {
    let (at, _) = common.rarest(&part.text);
    Part { spots: moved(&part.spots, at).collect(), text: part.text.get(at..).unwrap_or_default().to_vec() }
}

/// Bytes of a sample that are looked at.
const SAMPLE: usize = 256 << 10;
const COUNTERS: usize = 1 << 16;
/// What was counted weighs so many powers of two more than what is known of bytes.
const COUNTED: u32 = 40;
/// So many grams tell that what is not among them is rare.
const TELLING: usize = 1 << 14;

/// How often grams stand in logs: counted in a sample, and where that says nothing by their bytes.
struct Commonness {
    counted: Vec<u16>,
    /// Grams that were counted.
    grams: usize,
}

impl Commonness {
    fn of(sample: &[u8]) -> Commonness {
        let grams = sample.get(..SAMPLE).unwrap_or(sample).as_chunks::<GRAM>().0;
        let mut common = Commonness { counted: vec![0; COUNTERS], grams: grams.len() };
        for gram in grams {
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

    fn gram(&self, gram: [u8; GRAM]) -> u64 {
        let counted = self.counted.get(Commonness::counter(gram)).copied().unwrap_or(0);
        (u64::from(counted) << COUNTED) + (1 << (gram.iter().map(|b| Commonness::byte(*b)).sum::<u32>() - 8))
    }

    /// The same for what the vector search sees of a text.
    fn start(&self, text: &[u8]) -> u64 {
        self.gram(started(text))
    }

    /// Where in a text the bytes begin that are rarest, and how common those are.
    fn rarest(&self, text: &[u8]) -> (usize, u64) {
        let last = text.len().saturating_sub(LOOKED_AT);
        let starts = (0..=last).map(|at| (at, self.start(text.get(at..).unwrap_or_default())));
        starts.min_by_key(|(_, common)| *common).unwrap_or_default()
    }

    /// What it costs to search for a text from its rarest bytes on.
    fn cost(&self, text: &[u8]) -> u64 {
        self.rarest(text).1 + ONE_MORE
    }

    /// Whether a sample that is large enough to tell holds none of what the vector search sees of a text.
    fn is_unseen(&self, text: &[u8]) -> bool {
        let seen = self.counted.get(Commonness::counter(started(text))).copied().unwrap_or(0);
        seen == 0 && self.grams >= TELLING
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

/// Few texts, or short ones.
#[derive(Debug)]
struct Anchors {
    search: Search,
    spots: Vec<Spots>,
}

/// The stems of which an anchor is a part. Many may share one: the byte before it tells which of them are worth a look.
#[derive(Debug)]
struct Spots {
    /// Those that begin with it.
    begin: Vec<Spot>,
    /// The others by the byte before it, in order.
    behind: Vec<(u8, Spot)>,
}

impl Spots {
    fn new(spots: Vec<Spot>, stems: &[Vec<u8>]) -> Spots {
        let byte_before = |spot: Spot| {
            let before = stems.get(usize::from(spot.stem))?.get(usize::from(spot.before).checked_sub(1)?)?;
            Some((*before, spot))
        };
        let begin = spots.iter().filter(|spot| spot.before == 0).copied().collect();
        let mut behind: Vec<_> = spots.into_iter().filter_map(byte_before).collect();
        behind.sort_by_key(|(byte, _)| *byte);
        Spots { begin, behind }
    }

    /// Those that may be where the anchor was found.
    fn at(&self, text: &[u8], at: usize) -> impl Iterator<Item = &Spot> {
        let byte = at.checked_sub(1).and_then(|before| text.get(before));
        let first = byte.map_or(self.behind.len(), |byte| self.behind.partition_point(|(b, _)| b < byte));
        let behind = self.behind.get(first..).unwrap_or_default();
        let behind = behind.iter().take_while(move |(b, _)| Some(b) == byte).map(|(_, spot)| spot);
        self.begin.iter().chain(behind)
    }
}

#[derive(Debug)]
enum Search {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
}

impl Anchors {
    fn new(parts: Vec<Part>, stems: &[Vec<u8>]) -> anyhow::Result<Anchors> {
        let texts: Vec<&[u8]> = parts.iter().map(|p| p.text.as_slice()).collect();
        let search = match packed::Config::new().builder().extend(&texts).build() {
            Some(searcher) => Search::Packed(searcher),
            None => Search::Automaton(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .kind(Some(AhoCorasickKind::DFA))
                    .build(&texts)?,
            ),
        };
        Ok(Anchors { search, spots: parts.into_iter().map(|p| Spots::new(p.spots, stems)).collect() })
    }

    fn find(&self, text: &[u8], check: &mut impl FnMut(usize, &Spot)) {
        let mut span = Span::from(0..text.len());
        loop {
            let found = match &self.search {
                Search::Packed(searcher) => searcher.find_in(text, span),
                Search::Automaton(automaton) => automaton.find(Input::new(text).span(span)),
            };
            let Some(found) = found else { return };
            let spots = self.spots.get(found.pattern().as_usize());
            spots
                .into_iter()
                .flat_map(|spots| spots.at(text, found.start()))
                .for_each(|spot| check(found.start(), spot));
            // Anchors may overlap.
            span.start = found.start() + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(stems: &[Vec<u8>], text: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        Stems::new(stems.to_vec(), b"").unwrap().find(text, &mut hits);
        // Samples decide what is searched for: those that hold the stems, and large ones that hold none of them.
        for sample in [text, &[b'x'; SAMPLE], &text.repeat(SAMPLE / text.len().max(1))] {
            let mut sampled = Vec::new();
            Stems::new(stems.to_vec(), sample).unwrap().find(text, &mut sampled);
            assert_eq!(hits, sampled);
        }
        hits
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
        let anchors = Stems::new(stems, &sample).unwrap().anchors.unwrap();
        let mut stops = 0;
        anchors.find(&sample, &mut |_, _| stops += 1);
        let known: usize = anchors.spots.iter().map(|spots| spots.begin.len() + spots.behind.len()).sum();
        assert_eq!((stops, known), (0, 6));
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
