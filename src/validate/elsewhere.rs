//! What became worse beside the fix: errors of other kinds or in other logs, and containers that crash.

use super::luck::chance_of_at_least;
use crate::model::{Container, Tally};
use std::collections::BTreeMap;

/// The Docker engine itself, beside the containers.
pub const ENGINE: &str = "container engine";
/// More is to be seen than could be chance once in a thousand windows.
const STRICT: f64 = 0.001;
/// And at least so many errors more than before.
const AT_LEAST_MORE: u64 = 5;
/// So long before the fix errors are looked at, in seconds.
const LONGEST_BEFORE: i64 = 3600;
/// Where none was seen before, this many may have been missed.
const UNSEEN: f64 = 0.5;

/// Moments of a fix, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moments {
    /// Before its first step.
    pub charged: i64,
    /// When its window began.
    pub begun: i64,
    pub now: i64,
}

/// The first log and signature, other than the watched one, whose errors rose clearly against the time before the fix: at
/// least five more in the window than in as long a time before, and more than chance gives once in a thousand windows
/// (Poisson) where before is reckoned high: what came in as long a time and its own spread, or the mean of an hour. A
/// rule's own pattern may be of any kind and does not count.
pub fn rose(tallies: &[Tally], watched: Option<(&str, &str)>, at: Moments) -> Option<String> {
    let length = at.now - at.begun;
    let others = tallies.iter().filter(|t| watched != Some((t.source.as_str(), t.signature.as_str())));
    others.filter(|t| !t.signature.starts_with("rule:")).find_map(|tally| {
        let after = tally.count(at.begun, at.now);
        let before = tally.count(at.charged - length, at.charged);
        let in_hour = tally.count(at.charged - LONGEST_BEFORE, at.charged);
        let mean = in_hour as f64 * length as f64 / LONGEST_BEFORE.max(length) as f64;
        let expected = (before as f64 + (before as f64).sqrt()).max(mean).max(UNSEEN);
        let rose = after >= before + AT_LEAST_MORE && chance_of_at_least(after, expected) < STRICT;
        rose.then(|| {
            let Tally { source, signature, example, .. } = tally;
            format!("{after} {signature} in {source} since the fix, {before} in as long a time before it: {example}")
        })
    })
}

/// Id and restart count of containers, by name.
pub type Restarts = BTreeMap<String, (String, u64)>;

/// The restarts of every container so far.
pub fn restarts(containers: &[Container]) -> Restarts {
    containers.iter().map(|c| (c.name.clone(), (c.id.clone(), c.restart_count))).collect()
}

/// The first container that its engine has had to start again since. One that somebody starts by hand has another count or
/// another id: that is no crash.
pub fn crashed(begun: &Restarts, now: &[Container]) -> Option<String> {
    let more = |c: &&Container| begun.get(&c.name).is_some_and(|(id, count)| *id == c.id && c.restart_count > *count);
    now.iter().find(more).map(|c| format!("container:{} has crashed and was started again since the fix", c.name))
}
