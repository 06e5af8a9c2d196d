//! Which four bytes of each stem are searched for: rare ones, and the same for as many stems as hold them.
//!
//! Pure. Not here: searching.

use super::common::{COUNTED, Commonness, GRAM};
use super::{Part, Spot, moved};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A stem of three bytes has any byte for its fourth.
pub(super) const SHORT: usize = GRAM - 1;
/// What one more gram costs the search, in grams of a sample at which it stops for nothing.
const ONE_MORE: u64 = 5 << COUNTED;
/// What a stop costs, in stems that are compared there.
const STOP: u64 = 16;

/// Grams that one set of tables is for.
pub(super) const OF_ONE_SET: usize = 12;
/// Those that two are for.
pub(super) const OF_TWO_SETS: usize = 32;
/// What a second set costs the search, in grams of a sample at which it stops for nothing.
const SECOND_SET: u64 = 65 << COUNTED;

/// What is searched for instead of a stem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gram {
    /// Of a stem of three bytes, the last one is zero.
    pub bytes: [u8; GRAM],
    /// The last one may be any.
    pub short: bool,
}

impl Gram {
    /// All grams of a stem, by where they stand in it.
    fn of(stem: &[u8]) -> impl Iterator<Item = Gram> {
        let short = stem.first_chunk::<SHORT>().filter(|_| stem.len() == SHORT);
        let short = short.map(|[a, b, c]| Gram { bytes: [*a, *b, *c, 0], short: true });
        let whole = stem.windows(GRAM).filter_map(<[u8]>::first_chunk);
        whole.map(|bytes| Gram { bytes: *bytes, short: false }).chain(short)
    }
}

/// A gram and a part that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    gram: Gram,
    part: usize,
    /// Where it begins in the part.
    at: usize,
}

/// What is chosen, and the stems in which it stands.
type Chosen = Vec<(Gram, Vec<Spot>)>;

/// Grams such that every part holds one of them, each with the stems in which it stands.
pub(super) fn choose(parts: &[Part], common: &Commonness) -> Chosen {
    let cheap = at_price(parts, common, ONE_MORE);
    if !(OF_ONE_SET + 1..=OF_TWO_SETS).contains(&cheap.len()) {
        return cheap;
    }
    // Fewer that are more common may be better than a second set.
    let stops = |chosen: &Chosen| -> u64 {
        let of = |(gram, spots): &(Gram, Vec<Spot>)| {
            let stops = common.gram(gram.bytes);
            stops.saturating_add((stops / STOP).saturating_mul(spots.len() as u64))
        };
        chosen.iter().map(of).fold(0, u64::saturating_add)
    };
    let mut dearer = (1..8).map(|times| at_price(parts, common, ONE_MORE << times));
    let fewer = dearer.find(|chosen| chosen.len() <= OF_ONE_SET);
    fewer.filter(|fewer| stops(fewer) < stops(&cheap).saturating_add(SECOND_SET)).unwrap_or(cheap)
}

/// The same, where so much is paid for one more gram.
fn at_price(parts: &[Part], common: &Commonness, one_more: u64) -> Chosen {
    let of = |(part, text): (usize, &Part)| {
        Gram::of(&text.text).enumerate().map(move |(at, gram)| Holder { gram, part, at }).collect::<Vec<_>>()
    };
    let mut holders: Vec<Holder> = parts.iter().enumerate().flat_map(of).collect();
    holders.sort_unstable();
    holders.dedup_by_key(|holder| (holder.gram, holder.part));
    let groups: Vec<&[Holder]> = holders.chunk_by(|a, b| a.gram == b.gram).collect();
    let mut left: Vec<Option<&Part>> = parts.iter().map(Some).collect();
    // The fewer stems are left of those that hold a gram, the more it costs for each: what was looked at last need not be
    // looked at before its turn.
    let cost = |group: &[Holder], held: usize| {
        let stops = group.first().map_or(0, |holder| common.gram(holder.gram.bytes));
        (stops + one_more) / held as u64 + stops / STOP
    };
    let turn = |(number, group): (usize, &&[Holder])| Reverse((cost(group, group.len()), number, group.len()));
    let mut turns: BinaryHeap<_> = groups.iter().enumerate().map(turn).collect();
    let mut chosen = Vec::new();
    while let Some(Reverse((_, number, held))) = turns.pop() {
        let Some(group) = groups.get(number) else { continue };
        let still = group.iter().filter(|holder| left.get(holder.part).is_some_and(Option::is_some)).count();
        if still == held {
            let taken = group.iter().filter_map(|holder| Some((left.get_mut(holder.part)?.take()?, holder.at)));
            let spots = taken.flat_map(|(part, at)| moved(&part.spots, at)).collect();
            chosen.extend(group.first().map(|holder| (holder.gram, spots)));
        } else if still > 0 {
            turns.push(Reverse((cost(group, still), number, still)));
        }
    }
    chosen
}
