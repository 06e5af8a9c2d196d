//! How likely a quiet window is luck, and whether errors are over by themselves.
//!
//! The earlier rate that is shown is the specification's: the count divided by the time since the first event. It says
//! nothing of how the errors came: five within one second before the pass make `5/s`, and 600 of them 'to be expected' in
//! two minutes, although a job that fails once an hour logs just so. So where errors could be seen for at least a minute
//! (their own timestamps, or the time since the pass before, which saw none of them), luck is reckoned with bursts
//! instead: slots of ten seconds (less for a short window) that held any, over all the time in which they could have come.
//! A steady stream fills every slot and is as sure as before; one burst in five minutes makes 0.4 to be expected in two,
//! which proves nothing.

use crate::model::Tally;

/// Errors within so many seconds are one burst, for telling whether they are over.
const SLOT: i64 = 10;
/// In a window shorter than this, in seconds, bursts cannot be told apart: errors are reckoned with.
const SHORTEST_WINDOW: f64 = 6.0;
/// Over less than this, in seconds, a burst cannot be told from a stream.
const SHORTEST: i64 = 60;
/// Quiet for less than this, in seconds, is no end of errors, however many there were.
const SHORTEST_QUIET: i64 = 5;

/// Chance of at most `seen` events where `expected` are to be expected (Poisson).
pub fn chance_of_at_most(seen: u64, expected: f64) -> f64 {
    let mut term = (-expected).exp();
    let mut sum = term;
    for k in 1..=seen.min(1_000) {
        term *= expected / k as f64;
        sum += term;
    }
    sum.clamp(0.0, 1.0)
}

/// Chance of at least `seen` events where `expected` are to be expected (Poisson).
pub fn chance_of_at_least(seen: u64, expected: f64) -> f64 {
    seen.checked_sub(1).map_or(1.0, |below| 1.0 - chance_of_at_most(below, expected))
}

/// Errors within so many seconds are one burst, where a window lasts so long: a twelfth of it, at most ten seconds.
pub fn slot(window_seconds: f64) -> i64 {
    (window_seconds / 12.0).clamp(1.0, SLOT as f64) as i64
}

/// When errors could be seen, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Events after this second count.
    pub after: i64,
    /// Earlier ones would have counted, had there been any.
    pub within: i64,
    /// When the pass before looked, where there was one.
    pub previous: Option<i64>,
    pub now: i64,
}

/// Bursts of errors per second; `None` where they were seen for too short a time to know bursts from a stream, or the
/// window is too short for it.
pub fn bursts_per_second(tally: &Tally, span: Span, window_seconds: f64) -> Option<f64> {
    let first = tally.first_after(span.after).filter(|first| *first <= span.now)?;
    let previous = span.previous.filter(|previous| *previous < span.now);
    let since = previous.map_or(first, |previous| previous.max(span.within).min(first));
    let seconds = span.now - since;
    if seconds < SHORTEST || window_seconds < SHORTEST_WINDOW {
        return None;
    }
    let slot = slot(window_seconds);
    // Lines without a time of their own have that of the reading: they may have come at any time since the one before.
    let as_read = span.now - 1;
    // Slots are counted from the first event: how errors fall on the clock must not make one burst two.
    let mut slots = 0;
    let mut last = None;
    for (second, count) in tally.buckets.range(span.after.saturating_add(1)..=span.now) {
        let number = (second - first) / slot;
        if *second >= as_read
            && let Some(previous) = previous
        {
            slots += (*count).min((span.now - previous).unsigned_abs() / slot.unsigned_abs() + 1);
        } else if last != Some(number) {
            slots += 1;
        }
        last = Some(number);
    }
    Some(slots as f64 / seconds as f64)
}

/// How long no error has come, in seconds, where at the rate of those before at least three would have: it is over
/// without a fix. Bursts that return are reckoned by how often they do; of a single one it is not known whether it does, so
/// only a minute of quiet says anything.
pub fn over_since(tally: &Tally, after: i64, now: i64) -> Option<i64> {
    let events = || tally.buckets.range(after.saturating_add(1)..=now);
    let (first, last) = (*events().next()?.0, *events().next_back()?.0);
    // Of the last second it is not known when in it.
    let quiet = now - last - 1;
    let mut slots: Vec<i64> = events().map(|(second, _)| (second - first) / SLOT).collect();
    slots.dedup();
    let lasted = (last - first).max(1) as f64;
    let (again, shortest) = match slots.len() {
        1 => (usize::try_from(tally.count(after, now)).ok()?.saturating_sub(1), SHORTEST),
        several => (several - 1, SHORTEST_QUIET),
    };
    (quiet >= shortest && again as f64 / lasted * quiet as f64 >= super::ENOUGH_EXPECTED).then_some(quiet)
}
