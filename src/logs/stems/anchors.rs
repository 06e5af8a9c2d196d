//! Few stems: the rarest part of each, or one that several of them share, through the vector search of
//! `aho_corasick::packed`.
//!
//! Pure. Not here: whether this search is taken (`stems`).

use super::common::{COUNTED, Commonness, LOOKED_AT};
use super::{Found, Part, Spots, minimal, moved};
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind, Span, packed};
use std::collections::BTreeMap;

/// More than so many anchors are too many for the vector search.
pub(super) const MANY: usize = 32;
/// Stems that are looked for in each other's parts, which takes quadratic time.
const MAX_SHARED: usize = 64;
/// A part that several stems share is at least so long.
const SHARED: usize = 5;
/// What one more anchor costs the vector search, in grams of a sample at which it stops for nothing.
const ONE_MORE: u64 = 2 << COUNTED;

/// What is searched for instead of the stems: parts that several of them share, and each from where it is rarest.
pub(super) fn choose(parts: &[Part], common: &Commonness) -> Vec<Part> {
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
    let alone = |index: usize| left.get(index).copied().flatten().map_or(0, |part| cost(&part.text, common));
    let gain = |holders: Holders| {
        let apart: u64 = holders.iter().map(|(index, _)| alone(*index)).sum();
        let text = widened(&holders, left);
        let gain = apart.checked_sub(cost(&text, common)).filter(|gain| *gain > 0)?;
        Some((gain, text, holders))
    };
    let shared = windows.into_values().filter(|holders| holders.len() > 1).filter_map(gain);
    shared.max_by_key(|(gain, ..)| *gain).map(|(_, text, holders)| (text, holders))
}

/// What it costs to search for a text from its rarest bytes on.
fn cost(text: &[u8], common: &Commonness) -> u64 {
    common.rarest(text).1 + ONE_MORE
}

/// The shared text, as long as all that hold it agree on what follows.
fn widened(shared: &[(usize, usize)], left: &[Option<&Part>]) -> Vec<u8> {
    let rests: Vec<&[u8]> = shared.iter().filter_map(|(index, at)| (*left.get(*index)?)?.text.get(*at..)).collect();
    let Some((first, others)) = rests.split_first() else { return Vec::new() };
    let common = |other: &&[u8]| first.iter().zip(*other).take_while(|(a, b)| a == b).count();
    first.get(..others.iter().map(common).min().unwrap_or(first.len())).unwrap_or_default().to_vec()
}

/// Drops what stands before the rarest bytes: the vector search looks at the first ones.
fn from_rarest(part: Part, common: &Commonness) -> Part {
    let (at, _) = common.rarest(&part.text);
    Part { spots: moved(&part.spots, at).collect(), text: part.text.get(at..).unwrap_or_default().to_vec() }
}

/// Few texts, or short ones.
#[derive(Debug)]
pub(super) struct Anchors {
    search: Search,
    pub(super) spots: Vec<Spots>,
}

#[derive(Debug)]
enum Search {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
}

impl Anchors {
    pub(super) fn new(parts: Vec<Part>, stems: &[Vec<u8>]) -> anyhow::Result<Anchors> {
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

    pub(super) fn find(&self, text: &[u8], found: &mut Found<'_>) {
        for (at, spots) in self.stops(text) {
            found.check_all(at, spots);
        }
    }

    /// Where an anchor stands, and whose it is.
    pub(super) fn stops(&self, text: &[u8]) -> impl Iterator<Item = (usize, &Spots)> {
        let mut span = Span::from(0..text.len());
        std::iter::from_fn(move || {
            let found = match &self.search {
                Search::Packed(searcher) => searcher.find_in(text, span)?,
                Search::Automaton(automaton) => automaton.find(Input::new(text).span(span))?,
            };
            // Anchors may overlap.
            span.start = found.start() + 1;
            Some((found.start(), self.spots.get(found.pattern().as_usize())?))
        })
    }
}
