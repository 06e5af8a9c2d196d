//! The busiest span of a given length in counts by second, whatever parts the counts come in.
//!
//! Pure. Not here: where counts come from.

use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The busiest time of a given length.
pub struct Busiest {
    now: i64,
    within: i64,
    wanted: u64,
    /// Counts by second that a later one may still be within the time of.
    recent: BTreeMap<i64, u64>,
    /// Events of now, or later.
    pub now_or_later: u64,
    /// The most events within one span.
    pub most: u64,
    /// The second in which that span ends.
    pub until: Option<i64>,
    /// The first second at which there were as many as wanted.
    pub reached: Option<i64>,
}

impl Busiest {
    /// Of spans as long as `within`; `wanted` is the count whose first time is told.
    pub fn new(within: Duration, wanted: u64, now: Timestamp) -> Busiest {
        Busiest {
            now: now.as_second(),
            within: i64::try_from(within.as_secs()).unwrap_or(i64::MAX).max(1),
            wanted,
            recent: BTreeMap::new(),
            now_or_later: 0,
            most: 0,
            until: None,
            reached: None,
        }
    }

    /// Takes counts by second; earlier ones may come later, as far as they can still count.
    pub fn add(&mut self, buckets: &BTreeMap<i64, u64>) {
        for (second, count) in buckets {
            *self.recent.entry(*second).or_default() += count;
        }
        self.now_or_later += buckets.range(self.now..).map(|(_, n)| n).sum::<u64>();
        let (mut sum, mut first) = (0, self.recent.iter().peekable());
        for (second, count) in &self.recent {
            sum += count;
            while let Some((_, gone)) = first.next_if(|(t, _)| **t <= second.saturating_sub(self.within)) {
                sum -= gone;
            }
            if sum > self.most {
                (self.most, self.until) = (sum, Some(*second));
            }
            if sum >= self.wanted && self.reached.is_none_or(|t| *second < t) {
                self.reached = Some(*second);
            }
        }
        // Events without a time count as of now; that makes nothing of the log itself old.
        let dated = self.recent.range(..self.now).next_back().map_or(self.now, |(second, _)| *second);
        let oldest = dated.saturating_sub(self.within);
        self.recent = self.recent.split_off(&oldest.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_time_is_found_wherever_the_counts_are_cut() {
        let check = |parts: &[&[(i64, u64)]], most: u64, until: i64, reached: Option<i64>| {
            let now = Timestamp::from_second(1000).unwrap();
            let mut busiest = Busiest::new(Duration::from_secs(10), 4, now);
            parts.iter().for_each(|part| busiest.add(&part.iter().copied().collect()));
            assert_eq!((busiest.most, busiest.until, busiest.reached), (most, Some(until), reached), "{parts:?}");
            assert!(busiest.recent.len() <= 11, "no more is kept than can still count");
        };
        check(&[&[(1, 3)]], 3, 1, None);
        check(&[&[(1, 3), (10, 1)]], 4, 10, Some(10));
        check(&[&[(1, 3), (11, 1)]], 3, 1, None);
        check(&[&[(1, 3)], &[(10, 1)]], 4, 10, Some(10));
        check(&[&[(1, 2), (2, 2)], &[(50, 1), (59, 4), (60, 1)]], 5, 59, Some(2));
        check(&[&[(100, 1)], &[(99, 3)]], 4, 100, Some(100));
        check(&[&[(100, 3), (1000, 1)], &[(101, 1)]], 4, 101, Some(101));
        check(&[&[(1000, 3)], &[(1001, 1)]], 4, 1001, Some(1001));
        check(&[&(1..100).map(|t| (t, 1)).collect::<Vec<_>>()], 10, 10, Some(4));
    }
}
