//! Events of one signature in one source, counted by the second.
//!
//! Pure.

use super::event::{Kept, Region};
use super::spread::spread;
use std::collections::HashMap;

/// Seconds whose events are counted without looking for their bucket.
const NEWEST: usize = 1024;
/// Bits of a count; a second has those above them, enough for all that a timestamp can be.
const COUNT_BITS: u32 = 24;
const MAX_COUNT: u64 = (1 << COUNT_BITS) - 1;

/// The counts, and the title of the newest event.
#[derive(Clone, Default)]
pub struct Recent {
    /// By second, in Unix time.
    buckets: HashMap<i64, u64>,
    /// Seconds with events that are not in the buckets yet, each with its count below it: in half the memory, since which one is
    /// needed next is not foretold. None before the first event, else a power of two.
    newest: Vec<u64>,
    example: Kept,
}

impl Recent {
    /// Counts an event. They come in bursts: those of one second are counted before their bucket is looked for.
    pub fn count(&mut self, second: i64, title: Kept) {
        if self.newest.is_empty() {
            self.newest = vec![0; NEWEST];
        }
        let slot = spread(second.cast_unsigned()) >> (u64::BITS - NEWEST.ilog2());
        let none = second.cast_unsigned() << COUNT_BITS;
        if let Some(newest) = self.newest.get_mut(slot as usize) {
            if *newest ^ none >= MAX_COUNT {
                settle(&mut self.buckets, std::mem::replace(newest, none));
            }
            *newest += 1;
        }
        self.example = title;
    }

    /// Copies what the region is about to take with it.
    pub fn settle(&mut self, region: &Region<'_>) {
        self.example.settle(region);
    }

    /// Takes all that was counted, by second, and the title of the newest event.
    pub fn take(&mut self) -> (HashMap<i64, u64>, String) {
        let Recent { mut buckets, newest, example } = std::mem::take(self);
        newest.into_iter().for_each(|newest| settle(&mut buckets, newest));
        (buckets, example.into())
    }
}

fn settle(buckets: &mut HashMap<i64, u64>, newest: u64) {
    if newest & MAX_COUNT > 0 {
        *buckets.entry(newest.cast_signed() >> COUNT_BITS).or_default() += newest & MAX_COUNT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: i64 = -377_705_023_201;
    const MAX: i64 = 253_402_207_200;

    #[test]
    fn a_second_has_room_for_all_timestamps() {
        assert_eq!([MIN, MAX], [jiff::Timestamp::MIN, jiff::Timestamp::MAX].map(jiff::Timestamp::as_second));
    }

    #[test]
    fn more_events_than_a_place_has_room_for_are_counted() {
        let mut recent = Recent::default();
        (0..MAX_COUNT * 2 + 3).for_each(|_| recent.count(-7, Kept::default()));
        assert_eq!(recent.take().0, HashMap::from([(-7, MAX_COUNT * 2 + 3)]));
    }

    #[test]
    fn every_event_is_counted_in_its_second_whatever_order_they_come_in() {
        let mut recent = Recent::default();
        let seconds = (0..10_000).map(|n| n * 7919 % 3001).chain([MIN, MAX, -1, 0, MAX, -1]).chain([5; 100]);
        let mut expected: HashMap<i64, u64> = HashMap::new();
        for second in seconds {
            recent.count(second, format!("at {second}").into());
            *expected.entry(second).or_default() += 1;
        }
        assert_eq!(recent.take(), (expected, "at 5".to_owned()));
        assert_eq!(recent.take(), (HashMap::new(), String::new()), "taken");
    }
}
