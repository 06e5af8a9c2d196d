//! Events of one signature in one source, counted by the second.
//!
//! Pure.

use super::event::{Kept, Region};
use super::spread::spread;
use std::collections::HashMap;

/// Seconds whose events are counted without looking for their bucket.
const NEWEST: usize = 1024;

/// The counts, and the title of the newest event.
#[derive(Clone, Default)]
pub struct Recent {
    /// By second, in Unix time.
    buckets: HashMap<i64, u64>,
    /// Seconds with events that are not in the buckets yet; none before the first, else a power of two.
    newest: Vec<(i64, u64)>,
    example: Kept,
}

impl Recent {
    /// Counts an event. They come in bursts: those of one second are counted before their bucket is looked for.
    pub fn count(&mut self, second: i64, title: Kept) {
        if self.newest.is_empty() {
            self.newest = vec![(second, 0); NEWEST];
        }
        let slot = spread(second.cast_unsigned()) >> (u64::BITS - NEWEST.ilog2());
        if let Some(newest) = self.newest.get_mut(slot as usize) {
            if newest.0 != second {
                settle(&mut self.buckets, std::mem::replace(newest, (second, 0)));
            }
            newest.1 += 1;
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

fn settle(buckets: &mut HashMap<i64, u64>, (second, count): (i64, u64)) {
    if count > 0 {
        *buckets.entry(second).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_counted_in_its_second_whatever_order_they_come_in() {
        let mut recent = Recent::default();
        let seconds = (0..10_000).map(|n| n * 7919 % 3001).chain([5; 100]);
        let mut expected: HashMap<i64, u64> = HashMap::new();
        for second in seconds {
            recent.count(second, format!("at {second}").into());
            *expected.entry(second).or_default() += 1;
        }
        assert_eq!(recent.take(), (expected, "at 5".to_owned()));
        assert_eq!(recent.take(), (HashMap::new(), String::new()), "taken");
    }
}
