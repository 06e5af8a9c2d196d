//! How often passes start, against how long a fix is watched and how far back a rule counts.

use super::systemd;
use crate::config::{ConfigError, Document, Engine, When};
use crate::diagnose::rules::shown;
use std::time::Duration;

/// Rules whose fix is watched for longer than it takes until the next pass.
pub fn windows(engine: &Engine, document: &Document) -> Vec<ConfigError> {
    let rules = engine.rules.iter().enumerate().filter(|(_, rule)| !rule.fixes.is_empty());
    let long = rules.filter(|(_, rule)| rule.validate.settle + rule.validate.window > engine.check_interval);
    long.map(|(number, rule)| {
        let message = format!(
            "a fix of rule `{}` is watched for {} (`settle` and `window`), and `check_interval` is {}",
            rule.name,
            shown(rule.validate.settle + rule.validate.window),
            shown(engine.check_interval)
        );
        let help = "make `check_interval` and the timer's interval longer, or `window` shorter: passes that start meanwhile \
                    do nothing and end with exit code 11";
        let place = document.rule(number);
        place.get("validate").map_or(place, |validate| validate.child("window")).problem(&message, help)
    })
    .collect()
}

/// Rules that forget, before the next pass comes, what they count.
pub fn forgotten(engine: &Engine, document: &Document) -> Vec<ConfigError> {
    let rules = engine.rules.iter().enumerate();
    let short = rules.filter_map(|(number, rule)| match &rule.when {
        When::Log(log) if log.within < engine.check_interval => Some((number, rule, log.within)),
        _ => None,
    });
    short
        .map(|(number, rule, within)| {
            let message = format!(
                "rule `{}` counts the last {} before a pass, and `check_interval` is {}: what is logged between is never counted",
                rule.name,
                shown(within),
                shown(engine.check_interval)
            );
            let help = "make `within` at least as long as `check_interval`";
            document.rule(number).child("when").child("within").problem(&message, help)
        })
        .collect()
}

/// The timer that is installed, against `check_interval`.
pub fn timer(engine: &Engine, document: &Document) -> Option<ConfigError> {
    let said = systemd::show("healer.timer", &["LoadState", "TimersMonotonic"])?;
    let interval = said.iter().filter(|(key, _)| key == "TimersMonotonic").find_map(|(_, value)| interval(value))?;
    (interval != engine.check_interval).then(|| {
        let message = format!(
            "healer.timer starts a pass every {}, and `check_interval` is {}: `status` calls passes overdue too early or too late",
            shown(interval),
            shown(engine.check_interval)
        );
        let help = format!("write `check_interval = \"{}\"`, or change the timer: systemctl edit healer.timer", shown(interval));
        document.root().child("check_interval").problem(&message, &help)
    })
}

/// Of `{ OnUnitInactiveUSec=5min ; next_elapse=... }`.
fn interval(value: &str) -> Option<Duration> {
    let (_, rest) = value.split_once("OnUnitInactiveUSec=").or_else(|| value.split_once("OnUnitActiveUSec="))?;
    span(rest.split(';').next()?)
}

/// A time span as systemd prints it: `1h 30min`.
fn span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    for word in text.split_whitespace() {
        let digits = word.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = word.split_at_checked(digits)?;
        let ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return None,
        };
        total += Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(ms)?);
    }
    (!total.is_zero()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_timer_is_read_as_systemd_prints_it() {
        for (text, seconds) in [
            ("{ OnUnitInactiveUSec=5min ; next_elapse=1h 2min 3s }", Some(300)),
            ("{ OnUnitActiveUSec=1h 30min ; next_elapse=0 }", Some(5400)),
            ("{ OnBootUSec=2min ; next_elapse=0 }", None),
            ("", None),
        ] {
            assert_eq!(interval(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
