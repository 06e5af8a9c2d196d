//! Local times as points in time: most days have one offset all day long, and need no look at the rules of their zone but the
//! first.
//!
//! Pure but for what is remembered.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::cell::Cell;

/// Days that are remembered, each in its slot: a power of two.
const DAYS: usize = 512;

/// A time zone.
pub struct Local {
    zone: TimeZone,
    days: Box<[Cell<Option<Day>>; DAYS]>,
}

#[derive(Clone, Copy)]
struct Day {
    date: Date,
    /// Its midnight, in Unix time. None when the offset changes on it, or near it.
    begin: Option<i64>,
}

impl Local {
    pub fn new(zone: TimeZone) -> Local {
        Local { zone, days: Box::new([const { Cell::new(None) }; DAYS]) }
    }

    /// When it is that time there. Of two such times it is the first; one that is left out is as much later.
    pub fn timestamp(&self, date: Date, time: Time) -> Option<Timestamp> {
        // So that the days of a year have slots of their own.
        let slot = (usize::from(date.year().unsigned_abs()) * 12 + date.month() as usize) * 31 + date.day() as usize;
        let cell = self.days.get(slot & (DAYS - 1))?;
        let day = cell.get().filter(|day| day.date == date).unwrap_or_else(|| self.day(date));
        cell.set(Some(day));
        let Some(begin) = day.begin else { return self.by_the_rules(date, time) };
        let seconds = (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
        Timestamp::new(begin + seconds, time.subsec_nanosecond()).ok()
    }

    fn by_the_rules(&self, date: Date, time: Time) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(DateTime::from_parts(date, time)).compatible().ok()
    }

    fn day(&self, date: Date) -> Day {
        let begin =
            self.by_the_rules(date, Time::midnight()).filter(|begin| !self.changes_near(*begin).unwrap_or(true));
        Day { date, begin: begin.map(Timestamp::as_second) }
    }

    fn changes_near(&self, time: Timestamp) -> Result<bool, jiff::Error> {
        const AROUND: SignedDuration = SignedDuration::from_hours(48);
        let (before, behind) = (time.checked_sub(AROUND)?, time.checked_add(AROUND)?);
        Ok(self.zone.following(before).next().is_some_and(|next| next.timestamp() <= behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_the_rules_say(
            times in prop::collection::vec((1970..2200_i16, 1..=12_i8, 1..=31_i8, 0..24_i8, 0..60_i8, 0..60_i8), 1..400),
            of_changes in prop::collection::vec((2000..2040_i16, prop::sample::select(vec![3_i8, 11]), 1..=14_i8, 0..4_i8), 1..100),
        ) {
            let zones = [
                TimeZone::UTC,
                TimeZone::fixed(Offset::from_seconds(-5400).unwrap()),
                TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap(),
            ];
            let changes = of_changes.into_iter().map(|(year, month, day, hour)| (year, month, day, hour, 30, 0));
            let times: Vec<_> = times.into_iter().chain(changes).collect();
            for zone in zones {
                let local = Local::new(zone.clone());
                for (year, month, day, hour, minute, second) in &times {
                    let Ok(date) = Date::new(*year, *month, *day) else { continue };
                    let time = Time::new(*hour, *minute, *second, 7).unwrap();
                    prop_assert_eq!(local.timestamp(date, time), local.by_the_rules(date, time));
                }
            }
        }
    }
}
