//! Events that are like one before: told by what is alike in them, noted as they come, and added up many at a time.
//!
//! What adding one up touches is all over the memory; of many at a time, none waits for the one before it. Pure.

use super::event::Kept;
use super::group::Handle;
use super::shape::Memo;
use super::signature::SigId;
use super::time::Place;
use jiff::Timestamp;

/// Kinds of events that are counted apart from their groups at a time.
const MOST: usize = 4096;
/// Events that are noted before they are added up.
const NOTED: usize = 256;

/// Counts of events by what is alike in them.
#[derive(Default)]
pub struct Tallies {
    known: Memo<Alike>,
    tallies: Vec<Tally>,
    /// Sets of signatures, each kept once: few.
    sets: Vec<Vec<SigId>>,
    noted: Vec<Noted>,
}

/// What is the same for events that are alike.
#[derive(Debug, Clone, Copy)]
pub struct Alike {
    /// The index of their tally.
    tally: u32,
    /// Where the line has its timestamp; a traceback has none of its own.
    pub time: Place,
}

/// Events that are alike, which their group is not told of yet.
struct Tally {
    /// The group of the first one, which has told of its signatures; it may be part of another one by now.
    group: Handle,
    /// The index of the set of what they count for.
    set: u32,
    events: u64,
    first: Timestamp,
    last: Timestamp,
}

/// An event that is not added up yet.
struct Noted {
    tally: u32,
    time: Timestamp,
    /// Where its title stands in the region.
    title: (u32, u32),
}

impl Tallies {
    /// Has what is known of events with titles of a shape brought near meanwhile.
    pub fn expect(&self, shape: u64) {
        self.known.expect(shape);
    }

    /// What is known of events with titles of a shape that are alike in this too.
    pub fn get(&mut self, shape: u64, key: u64) -> Option<Alike> {
        self.known.get_in(shape, key)
    }

    /// Whether all must be told before another kind is learned.
    pub fn is_full(&self) -> bool {
        self.tallies.len() >= MOST
    }

    /// Forgets all that was told: memory is bounded, whatever matches.
    pub fn clear(&mut self) {
        self.tallies.clear();
        self.sets.clear();
        self.known = Memo::default();
    }

    /// Learns what events are that are alike in this: of which group, and what they count for.
    pub fn learn(&mut self, (shape, key): (u64, u64), group: Handle, signatures: &[SigId], time: Place) {
        let set = self.sets.iter().position(|set| set == signatures).unwrap_or_else(|| {
            self.sets.push(signatures.to_vec());
            self.sets.len() - 1
        });
        let (Ok(tally), Ok(set)) = (u32::try_from(self.tallies.len()), u32::try_from(set)) else { return };
        self.tallies.push(Tally { group, set, events: 0, first: Timestamp::MAX, last: Timestamp::MIN });
        self.known.put_in(shape, key, Alike { tally, time });
    }

    /// Notes an event with the place of its title in the region. True when those that are noted are to be added up.
    pub fn note(&mut self, alike: Alike, time: Timestamp, title: (u32, u32)) -> bool {
        self.noted.push(Noted { tally: alike.tally, time, title });
        self.noted.len() >= NOTED
    }

    /// Adds up what was noted, and tells of each event what it counts for, in their order.
    pub fn add_up(&mut self, mut count: impl FnMut(&[SigId], Timestamp, Kept)) {
        for Noted { tally, time, title: (from, to) } in self.noted.drain(..) {
            let Some(tally) = self.tallies.get_mut(tally as usize) else { continue };
            tally.events += 1;
            (tally.first, tally.last) = (tally.first.min(time), tally.last.max(time));
            let signatures = self.sets.get(tally.set as usize).map_or(&[][..], Vec::as_slice);
            count(signatures, time, Kept::Here(from, to));
        }
    }

    /// Tells of the events that were added up since they were told: their group, how many, and the first and the last time.
    pub fn tell(&mut self, mut tell: impl FnMut(Handle, u64, (Timestamp, Timestamp))) {
        for tally in self.tallies.iter_mut().filter(|tally| tally.events > 0) {
            tell(tally.group, tally.events, (tally.first, tally.last));
            (tally.events, tally.first, tally.last) = (0, Timestamp::MAX, Timestamp::MIN);
        }
    }
}
