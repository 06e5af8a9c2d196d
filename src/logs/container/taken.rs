//! What was taken last of a log that is read through the engine, by the times of its entries.
//!
//! The engine tells what is not earlier than a time, and entries are not in the order of their times: each stream stamps its own,
//! and one may be written after another that is stamped later. So the engine is asked for more than what is new, and what
//! was taken is told by its time and how often there is one. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Different times that are known: so far apart may two entries be that are not in order.
const MOST: usize = 128;

/// The times of the entries taken last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Taken {
    /// The newest times in their order, each with how many entries have it.
    times: Vec<(Timestamp, u64)>,
    /// The newest time that is left out there: nothing from before it is taken.
    floor: Option<Timestamp>,
}

impl Taken {
    /// The newest time, and how many entries have it.
    pub fn newest(&self) -> Option<(Timestamp, u64)> {
        self.times.last().copied()
    }

    /// Up to when what is there was taken, or is not told any more.
    pub fn floor(&self) -> Option<Timestamp> {
        self.floor
    }

    /// From when on there may be others: None where all that was taken is known.
    pub fn since(&self) -> Option<Timestamp> {
        self.floor.and(self.times.first()).map(|(time, _)| *time)
    }

    /// Adds an entry.
    pub fn add(&mut self, time: Timestamp) {
        match self.times.binary_search_by_key(&time, |(time, _)| *time) {
            Ok(at) => self.times.get_mut(at).into_iter().for_each(|(_, entries)| *entries += 1),
            Err(at) => self.times.insert(at, (time, 1)),
        }
        if self.times.len() > MOST {
            self.floor = self.floor.max(Some(self.times.remove(0).0));
        }
    }

    /// Takes an entry out. False when it is none of those that were added.
    pub fn remove(&mut self, time: Timestamp) -> bool {
        if self.floor.is_some_and(|floor| time <= floor) {
            return true;
        }
        let at = self.times.binary_search_by_key(&time, |(time, _)| *time);
        let entries = at.ok().and_then(|at| self.times.get_mut(at)).map(|(_, entries)| entries);
        entries.filter(|entries| **entries > 0).map(|entries| *entries -= 1).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_entry_is_known_as_often_as_it_was_added_and_what_is_older_than_all_of_them_is() {
        let mut taken = Taken::default();
        assert!(!taken.remove(at(1)));
        [5, 3, 5].iter().for_each(|second| taken.add(at(*second)));
        assert_eq!((taken.newest(), taken.since()), (Some((at(5), 2)), None));
        let mut known = taken.clone();
        assert_eq!(
            [5, 3, 5, 5, 3, 4, 2].map(|second| known.remove(at(second))),
            [true, true, true, false, false, false, false]
        );
        (6..6 + MOST as i64).for_each(|second| taken.add(at(second)));
        assert_eq!(taken.since(), Some(at(6)));
        assert_eq!([3, 4, 5, 6, 6].map(|second| taken.remove(at(second))), [true, true, true, true, false]);
    }
}
