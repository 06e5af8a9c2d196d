//! Pauses: an operator's word that no fix is made for a while (`pause.json` in the state directory). Set and ended by
//! commands while a pass may be at work, so the file is replaced whole and read again right before anything is changed.
//!
//! Lives here: that file and the questions the gate asks of it, and of maintenance windows. May not live here: the
//! `STOP` file.

use crate::config::{MaintenanceWindow, Weekday};
use crate::host::files;
use crate::model::Moment;
use anyhow::{Context, Result};
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// No fix is made from `since` on, for so long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    pub since: Moment,
    pub seconds: u64,
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// Only fixes of this rule; all where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

impl Pause {
    /// What is left of it; `None` when it is over.
    pub fn left(&self, now: &Moment) -> Option<Duration> {
        let left = Duration::from_secs(self.seconds).saturating_sub(now.since(&self.since));
        (!left.is_zero()).then_some(left)
    }

    fn is_for(&self, rule: &str) -> bool {
        self.rule.as_deref().is_none_or(|only| only == rule)
    }
}

/// Those that are not over.
///
/// # Errors
/// When the file is there and cannot be read: a pause that is not known must not be taken for none.
pub fn read(path: &Path, now: &Moment) -> Result<Vec<Pause>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut pauses: Vec<Pause> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged: `healer resume` removes it", path.display()))?;
    pauses.retain(|pause| pause.left(now).is_some());
    Ok(pauses)
}

/// Leaves these and no others.
///
/// # Errors
/// When the file cannot be written, or removed where none is left.
pub fn write(path: &Path, pauses: &[Pause]) -> Result<()> {
    if pauses.is_empty() {
        return match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        };
    }
    let text = serde_json::to_string(pauses).context("cannot write the pause as JSON")?;
    files::write_atomic(path, text.as_bytes(), 0o640).with_context(|| format!("cannot write {}", path.display()))
}

/// The pause that holds a rule longest.
pub fn of_rule<'a>(pauses: &'a [Pause], rule: &str, now: &Moment) -> Option<(&'a Pause, Duration)> {
    let holding = pauses.iter().filter(|p| p.is_for(rule)).filter_map(|p| Some((p, p.left(now)?)));
    holding.max_by_key(|(_, left)| *left)
}

/// The maintenance window that a rule is in at this local time.
pub fn window_of<'a>(windows: &'a [MaintenanceWindow], rule: &str, local: DateTime) -> Option<&'a MaintenanceWindow> {
    windows.iter().find(|w| (w.rules.is_empty() || w.rules.iter().any(|r| r == rule)) && holds(w, local))
}

/// The maintenance windows that are on at this local time.
pub fn windows_on(windows: &[MaintenanceWindow], local: DateTime) -> impl Iterator<Item = &MaintenanceWindow> {
    windows.iter().filter(move |w| holds(w, local))
}

fn holds(window: &MaintenanceWindow, local: DateTime) -> bool {
    let begins_on = |day: jiff::civil::Date| window.days.is_empty() || window.days.contains(&weekday(day.weekday()));
    let (time, today) = (local.time(), local.date());
    if window.from < window.to {
        return begins_on(today) && time >= window.from && time < window.to;
    }
    let since_yesterday = today.yesterday().is_ok_and(begins_on) && time < window.to;
    begins_on(today) && time >= window.from || since_yesterday
}

fn weekday(day: jiff::civil::Weekday) -> Weekday {
    match day {
        jiff::civil::Weekday::Monday => Weekday::Mon,
        jiff::civil::Weekday::Tuesday => Weekday::Tue,
        jiff::civil::Weekday::Wednesday => Weekday::Wed,
        jiff::civil::Weekday::Thursday => Weekday::Thu,
        jiff::civil::Weekday::Friday => Weekday::Fri,
        jiff::civil::Weekday::Saturday => Weekday::Sat,
        jiff::civil::Weekday::Sunday => Weekday::Sun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_of_the_day_on_which_it_begins() {
        let window = |days: &[Weekday], from: &str, to: &str| MaintenanceWindow {
            name: "w".into(),
            days: days.to_vec(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            rules: vec!["r".into()],
        };
        // 2026-01-03 is a Saturday.
        let check = |window: &MaintenanceWindow, local: &str, expected: bool| {
            let windows = std::slice::from_ref(window);
            let local: DateTime = local.parse().unwrap();
            assert_eq!(window_of(windows, "r", local).is_some(), expected, "{window:?} {local}");
            assert_eq!(window_of(windows, "other", local), None);
        };
        let day = window(&[], "02:00:00", "04:00:00");
        check(&day, "2026-01-03T01:59:59", false);
        check(&day, "2026-01-03T02:00:00", true);
        check(&day, "2026-01-03T03:59:59", true);
        check(&day, "2026-01-03T04:00:00", false);
        let night = window(&[Weekday::Sat], "22:00:00", "03:00:00");
        check(&night, "2026-01-03T21:59:00", false);
        check(&night, "2026-01-03T22:00:00", true);
        check(&night, "2026-01-04T02:59:00", true);
        check(&night, "2026-01-04T22:00:00", false);
        check(&night, "2026-01-03T02:00:00", false);
        let whole = window(&[Weekday::Sun], "00:00:00", "00:00:00");
        check(&whole, "2026-01-04T12:00:00", true);
        check(&whole, "2026-01-03T12:00:00", false);
    }

    #[test]
    fn pauses_end_by_themselves_and_the_longest_holds() {
        let at =
            |up: f64| Moment { t: jiff::Timestamp::from_second(1_000_000 + up as i64).unwrap(), boot: "b".into(), up };
        let pause = |seconds: u64, rule: Option<&str>| Pause {
            since: at(0.0),
            seconds,
            reason: "deploy".into(),
            by: "ops".into(),
            rule: rule.map(str::to_owned),
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause.json");
        assert_eq!(read(&path, &at(0.0)).unwrap(), []);
        write(&path, &[pause(60, None), pause(600, Some("r"))]).unwrap();
        let check = |up: f64, rule: &str, left: Option<u64>| {
            let pauses = read(&path, &at(up)).unwrap();
            assert_eq!(of_rule(&pauses, rule, &at(up)).map(|(_, left)| left.as_secs()), left, "{rule} at {up}");
        };
        check(10.0, "r", Some(590));
        check(10.0, "other", Some(50));
        check(60.0, "other", None);
        check(60.0, "r", Some(540));
        check(600.0, "r", None);
        write(&path, &[]).unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "{").unwrap();
        assert!(read(&path, &at(0.0)).unwrap_err().to_string().contains("healer resume"));
    }
}
