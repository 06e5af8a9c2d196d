//! Local times as points in time: most days have one offset all day long, and need no look at the rules of their zone but the
//! first.
//!
//! Pure but for what is remembered.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use std::cell::Cell;

/// Days that are remembered, each in its slot: a power of two.
const DAYS: usize = 512;

/// A day as a text says it, whether there is such a day or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    pub year: i16,
    pub month: i8,
    pub day: i8,
}

impl Day {
    /// Ranges are looked at first, since an error of the library costs a hundred times what reading costs, and many numbers in
    /// logs only look like dates.
    fn date(self) -> Option<Date> {
        let in_range = (1..=12).contains(&self.month) && (1..=31).contains(&self.day);
        in_range.then(|| Date::new(self.year, self.month, self.day).ok())?
    }
}

/// A time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfDay {
    second: i32,
    nanos: i32,
}

impl OfDay {
    /// None where there is no such time. A leap second is the one before it.
    pub fn new(hour: i8, minute: i8, second: i8, nanos: i32) -> Option<OfDay> {
        let in_range = (0..24).contains(&hour) && (0..60).contains(&minute) && second >= 0;
        let second = (i32::from(hour) * 60 + i32::from(minute)) * 60 + i32::from(second.min(59));
        in_range.then_some(OfDay { second, nanos })
    }

    fn time(self) -> Option<Time> {
        let part = |seconds: i32, of: i32| i8::try_from(self.second / seconds % of).ok();
        Time::new(part(3600, 24)?, part(60, 60)?, part(1, 60)?, self.nanos).ok()
    }
}

/// The point in time that is said of a place with this offset.
pub fn at_offset(offset: Offset, day: Day, time: OfDay) -> Option<Timestamp> {
    offset.to_timestamp(DateTime::from_parts(day.date()?, time.time()?)).ok()
}

/// A time zone.
pub struct Local {
    zone: TimeZone,
    days: Box<[Cell<Option<Known>>; DAYS]>,
}

/// A day that there is. Small, since which one is needed next is not foretold.
#[derive(Clone, Copy)]
struct Known {
    day: Day,
    /// Its midnight, in minutes of Unix time. None when the offset changes on it, or near it, or is of no whole minutes.
    begin: Option<i32>,
}

impl Local {
    pub fn new(zone: TimeZone) -> Local {
        Local { zone, days: Box::new([const { Cell::new(None) }; DAYS]) }
    }

    /// When it is that time there. Of two such times it is the first; one that is left out is as much later.
    pub fn timestamp(&self, day: Day, time: OfDay) -> Option<Timestamp> {
        // So that the days of a year have slots of their own.
        let [month, of_month] = [day.month, day.day].map(|number| usize::from(number.unsigned_abs()));
        let slot = (usize::from(day.year.unsigned_abs()) * 12 + month) * 31 + of_month;
        let cell = self.days.get(slot & (DAYS - 1))?;
        let known = match cell.get().filter(|known| known.day == day) {
            Some(known) => known,
            None => {
                let known = self.known(day)?;
                cell.set(Some(known));
                known
            }
        };
        let Some(begin) = known.begin else { return self.by_the_rules(day.date()?, time.time()?) };
        Timestamp::new(i64::from(begin) * 60 + i64::from(time.second), time.nanos).ok()
    }

    fn by_the_rules(&self, date: Date, time: Time) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(DateTime::from_parts(date, time)).compatible().ok()
    }

    fn known(&self, day: Day) -> Option<Known> {
        let begin =
            self.by_the_rules(day.date()?, Time::midnight()).filter(|begin| !self.changes_near(*begin).unwrap_or(true));
        let minutes = |second: i64| i32::try_from(second / 60).ok().filter(|_| second % 60 == 0);
        Some(Known { day, begin: begin.map(Timestamp::as_second).and_then(minutes) })
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
                TimeZone::fixed(Offset::from_seconds(1_234).unwrap()),
                TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap(),
            ];
            let changes = of_changes.into_iter().map(|(year, month, day, hour)| (year, month, day, hour, 30, 0));
            let times: Vec<_> = times.into_iter().chain(changes).collect();
            for zone in zones {
                let local = Local::new(zone.clone());
                for (year, month, day, hour, minute, second) in &times {
                    let said = Day { year: *year, month: *month, day: *day };
                    let expected = Date::new(*year, *month, *day).ok().and_then(|date| {
                        local.by_the_rules(date, Time::new(*hour, *minute, *second, 7).unwrap())
                    });
                    prop_assert_eq!(local.timestamp(said, OfDay::new(*hour, *minute, *second, 7).unwrap()), expected);
                }
            }
        }
    }
}
