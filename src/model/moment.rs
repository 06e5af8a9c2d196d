//! Points in time that can be compared although a wall clock jumps.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A point in time on both clocks: the wall's, and the one that counts from boot (suspend included) and that nobody
/// can set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    pub t: Timestamp,
    /// Which boot `up` counts from; empty where the kernel does not say.
    #[serde(default)]
    pub boot: String,
    /// Seconds since that boot.
    #[serde(default)]
    pub up: f64,
}

/// Over a reboot the wall clock is believed up to this much; beyond it, it has been set.
pub const LONGEST_BELIEVED: Duration = Duration::from_secs(365 * 86_400);

impl Moment {
    /// A moment of which only the wall clock's time is known.
    pub fn of_wall(t: Timestamp) -> Moment {
        Moment { t, boot: String::new(), up: 0.0 }
    }

    /// Time from `earlier` to `self`. Within one boot by the boot clock. Over a reboot by the wall clock where that can
    /// be true (not backwards, under a year), else the time since boot: what is certain at least, so nothing comes
    /// early, and what a hold needs to end.
    pub fn since(&self, earlier: &Moment) -> Duration {
        if self.boot == earlier.boot && !self.boot.is_empty() {
            return seconds(self.up - earlier.up);
        }
        let wall = Duration::try_from(self.t.duration_since(earlier.t)).ok().filter(|wall| *wall < LONGEST_BELIEVED);
        match wall {
            Some(wall) if earlier.boot.is_empty() || self.boot.is_empty() => wall,
            wall => wall.unwrap_or_default().max(seconds(self.up)),
        }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_makes_nothing_early_and_nothing_eternal() {
        const YEAR: i64 = 365 * 86_400;
        let at = |t: i64, boot: &str, up: f64| Moment {
            t: Timestamp::from_second(1_700_000_000 + t).unwrap(),
            boot: boot.into(),
            up,
        };
        let check = |earlier: Moment, now: Moment, seconds: u64| {
            assert_eq!(now.since(&earlier), Duration::from_secs(seconds), "{earlier:?} -> {now:?}");
        };
        check(at(0, "a", 50.0), at(60, "a", 110.0), 60);
        // The wall clock jumps within a boot.
        check(at(0, "a", 50.0), at(10 * YEAR, "a", 110.0), 60);
        check(at(0, "a", 50.0), at(-10 * YEAR, "a", 110.0), 60);
        // A suspend of an hour: the boot clock goes on.
        check(at(0, "a", 50.0), at(3600, "a", 3650.0), 3600);
        // A reboot, with a clock that goes on, goes back, and is years ahead.
        check(at(0, "a", 50.0), at(600, "b", 20.0), 600);
        check(at(0, "a", 50.0), at(5, "b", 20.0), 20);
        check(at(0, "a", 50.0), at(-10 * YEAR, "b", 20.0), 20);
        check(at(0, "a", 50.0), at(10 * YEAR, "b", 20.0), 20);
        // Where a sandbox hides which boot it is, the wall clock is all there is.
        check(at(0, "a", 50.0), at(60, "", 500_000.0), 60);
        // Of a file or an older version: only the wall clock's time is known.
        check(Moment::of_wall(at(0, "", 0.0).t), at(90, "b", 20.0), 90);
    }
}
