//! The circuit breaker of a rule and its target: after several fixes in a row that failed, or whose problem came back, it
//! is open; after a wait that doubles with each further one it lets one try through.
//!
//! Pure: attempts in, its state out, so that no file of its own can be lost. May not live here: what is held for a human.

use crate::attempts::{Attempt, Attempts};
use crate::config::Limits;
use crate::model::{Moment, Outcome};
use std::time::Duration;

/// A fix whose rule fires again on the same component within this time has not mended it.
pub const CAME_BACK_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// The longest that a breaker is open before it lets a try through.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    Closed,
    /// Nothing is tried for so long.
    Open {
        failures: u32,
        left: Duration,
    },
    /// The wait is over: one try.
    HalfOpen {
        failures: u32,
    },
}

/// The breaker of a rule and a target, at a moment at which the rule fires on the component.
pub fn circuit(
    attempts: &Attempts,
    rule: &str,
    target: &str,
    component: &str,
    now: &Moment,
    limits: &Limits,
) -> Circuit {
    let (failures, last) = failures(attempts, rule, target, component, now, limits);
    let Some(last) = last.filter(|_| failures >= limits.circuit_failures) else { return Circuit::Closed };
    let wait = growing_wait(limits.circuit_wait, failures - limits.circuit_failures);
    let left = wait.saturating_sub(now.since(last));
    if left.is_zero() { Circuit::HalfOpen { failures } } else { Circuit::Open { failures, left } }
}

/// Twice as long with every further failure.
pub fn growing_wait(first: Duration, further: u32) -> Duration {
    first.saturating_mul(1 << further.min(20)).min(LONGEST_WAIT.max(first))
}

/// Fixes in a row, up to the last, that failed or whose problem came back, and when the last one ended.
pub fn failures<'a>(
    attempts: &'a Attempts,
    rule: &str,
    target: &str,
    component: &str,
    now: &Moment,
    limits: &Limits,
) -> (u32, Option<&'a Moment>) {
    let of_rule: Vec<&Attempt> =
        attempts.fixes.iter().filter(|a| a.rule == rule && a.component == component && !a.released).collect();
    let mut failures: u32 = 0;
    let mut last = None;
    for (at, attempt) in of_rule.iter().enumerate().filter(|(_, a)| a.target == target) {
        let next = of_rule.get(at + 1).map_or(now, |next| &next.started);
        // What the open breaker itself kept from being tried again has not stayed away.
        let beyond = (failures + 1).checked_sub(limits.circuit_failures);
        let kept = beyond.map_or(Duration::ZERO, |beyond| growing_wait(limits.circuit_wait, beyond));
        match bad(attempt, next, CAME_BACK_WITHIN + kept) {
            Some(true) => (failures, last) = (failures + 1, Some(attempt.last_moment())),
            Some(false) => (failures, last) = (0, None),
            None => {}
        }
    }
    (failures, last)
}

/// Whether a fix did not mend it; `next` is when its rule fired again. `None` where that says nothing of the fix.
fn bad(attempt: &Attempt, next: &Moment, within: Duration) -> Option<bool> {
    let (ended, outcome) = attempt.ended.as_ref().filter(|_| !attempt.interrupted)?;
    match outcome {
        Outcome::RolledBack | Outcome::Failed | Outcome::RollbackFailed => Some(true),
        Outcome::Healed | Outcome::Unproven => Some(next.since(ended) < within),
        _ => None,
    }
}

/// A breaker that is not closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripped {
    pub rule: String,
    pub target: String,
    pub failures: u32,
    /// Until it lets a try through; zero where it would now.
    pub left: Duration,
}

/// Every breaker that would not be closed if its rule fired again now.
pub fn open_targets(attempts: &Attempts, now: &Moment, limits: &Limits) -> Vec<Tripped> {
    let mut tripped: Vec<Tripped> = Vec::new();
    for a in &attempts.fixes {
        if tripped.iter().any(|t| t.rule == a.rule && t.target == a.target) {
            continue;
        }
        let (failures, left) = match circuit(attempts, &a.rule, &a.target, &a.component, now, limits) {
            Circuit::Closed => continue,
            Circuit::Open { failures, left } => (failures, left),
            Circuit::HalfOpen { failures } => (failures, Duration::ZERO),
        };
        tripped.push(Tripped { rule: a.rule.clone(), target: a.target.clone(), failures, left });
    }
    tripped
}

/// What the last try of a rung of a ladder says of trying it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// Not lately, or with success.
    No,
    /// It did not help, and had nothing to undo: the next rung goes first.
    InVain,
    /// Its problem came back: the same.
    CameBack,
    /// It had to be rolled back: not again for a while.
    RolledBack,
}

/// What is to be said of a rung, at a moment at which its rule fires on the component. A failure counts for `per`.
pub fn tried(last: Option<&Attempt>, component: &str, now: &Moment, per: Duration) -> Tried {
    let Some((ended, outcome)) = last.and_then(|a| a.ended.as_ref()) else { return Tried::No };
    let since = now.since(ended);
    match outcome {
        Outcome::RolledBack | Outcome::RollbackFailed if since < per => Tried::RolledBack,
        Outcome::Failed if since < per => Tried::InVain,
        Outcome::Healed | Outcome::Unproven
            if since < CAME_BACK_WITHIN && last.is_some_and(|a| a.component == component) =>
        {
            Tried::CameBack
        }
        _ => Tried::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempts::tests::{at, attempt};

    #[test]
    fn a_rung_is_judged_by_its_last_try() {
        let check = |outcome, component, passed: i64, expected| {
            let last = attempt("fix", 100, 200, outcome);
            let found = tried(Some(&last), component, &at(200 + passed), Duration::from_secs(60));
            assert_eq!(found, expected, "{outcome:?} {component} after {passed} s");
        };
        assert_eq!(tried(None, "container:a", &at(0), Duration::from_secs(60)), Tried::No);
        check(Outcome::RolledBack, "container:a", 59, Tried::RolledBack);
        check(Outcome::RolledBack, "container:a", 60, Tried::No);
        check(Outcome::Failed, "container:a", 59, Tried::InVain);
        check(Outcome::Failed, "container:a", 60, Tried::No);
        check(Outcome::Healed, "container:a", 86_399, Tried::CameBack);
        check(Outcome::Unproven, "container:a", 10, Tried::CameBack);
        check(Outcome::Healed, "container:a", 86_400, Tried::No);
        check(Outcome::Healed, "container:b", 10, Tried::No);
        check(Outcome::Conflict, "container:a", 10, Tried::No);
    }

    const HOUR: i64 = 3600;

    fn limits() -> Limits {
        Limits { circuit_failures: 3, circuit_wait: Duration::from_secs(3600), ..crate::config::Limits::default() }
    }

    /// Fixes that ended so, at these hours; the breaker at an hour.
    fn check(ended: &[(i64, Outcome)], hour: i64, expected: Circuit) {
        let mut attempts = Attempts::default();
        for (n, (end, outcome)) in ended.iter().enumerate() {
            attempts.fixes.push(attempt(&format!("fix_{n}"), *end * HOUR - 60, *end * HOUR, *outcome));
        }
        let found = circuit(&attempts, "r", "/a#x", "container:a", &at(hour * HOUR), &limits());
        assert_eq!(found, expected, "{ended:?} at {hour} h");
    }

    fn open(failures: u32, hours: u64) -> Circuit {
        Circuit::Open { failures, left: Duration::from_secs(hours * 3600) }
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_a_success_that_lasts_closes_it() {
        use Outcome::{Failed, Healed, RolledBack, Unproven};
        check(&[], 100, Circuit::Closed);
        check(&[(100, Failed), (101, RolledBack)], 101, Circuit::Closed);
        check(&[(100, Failed), (101, RolledBack), (102, Failed)], 102, open(3, 1));
        check(&[(100, Failed), (101, RolledBack), (102, Failed)], 103, Circuit::HalfOpen { failures: 3 });
        check(&[(100, Failed), (101, RolledBack), (102, Failed), (103, Failed)], 103, open(4, 2));
        // What was mended and came back was not mended.
        check(&[(100, Healed), (101, Unproven), (102, Healed)], 102, open(3, 1));
        check(&[(100, Healed), (200, Healed), (300, Healed)], 302, Circuit::Closed);
        check(&[(100, Failed), (101, Failed), (102, Healed), (200, Failed)], 200, Circuit::Closed);
        // It came back at once each time; only the breaker's own wait lies between.
        let waits = [(100, Healed), (101, Healed), (102, Healed), (104, Healed), (107, Healed), (112, Healed)];
        let longer = [&waits[..], &[(121, Healed), (138, Healed), (171, Healed)]].concat();
        check(&longer, 171, open(9, 64));
    }

    #[test]
    fn the_wait_doubles_up_to_a_week() {
        let check = |further, hours: u64| {
            assert_eq!(growing_wait(Duration::from_secs(3600), further), Duration::from_secs(hours * 3600));
        };
        check(0, 1);
        check(1, 2);
        check(3, 8);
        check(10, 168);
        check(u32::MAX, 168);
    }
}
