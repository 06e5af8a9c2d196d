//! Right before acting: what is known of the trouble, and whether it is still there.

use crate::config::{Levels, When};
use crate::host::clock;
use crate::host::signals::Interrupt;
use crate::logs;
use crate::model::{Container, Moment, Onset, Plan, Status, Tally, Watched};
use crate::observe;
use crate::pass::{BETWEEN_LOOKS, Options, Report, World};
use crate::transaction;
use crate::validate::luck::{self, Span};
use globset::Glob;
use std::time::Duration;

/// What was seen of the trouble until now, and how long that took.
pub fn onset(world: &World, report: &Report, plan: &Plan, looked: &Moment) -> Onset {
    let ms = |time: Duration| u64::try_from(time.as_millis()).ok();
    let previous = world.memory.last_pass.as_ref().map(|pass| pass.started);
    let (mut bursts_per_second, mut detected) = (None, None);
    match &plan.validation.watched {
        Watched::Log { source, signature, .. } => {
            let tally = report.logs.tallies.iter().find(|t| t.source == *source && t.signature == *signature);
            let after = counted_after(plan, looked);
            let now = looked.t.as_second();
            let within = now.saturating_sub(within(world, plan));
            let span = Span { after, within, previous: previous.map(|t| t.as_second()), now };
            let window = plan.validation.window_seconds;
            bursts_per_second = tally.and_then(|tally| luck::bursts_per_second(tally, span, window));
            let first = tally.and_then(|tally| tally.first_after(after));
            let first = first.and_then(|first| jiff::Timestamp::from_second(first).ok());
            detected = first.map(|first| clock::between(first, looked.t));
        }
        Watched::Container { name } => {
            let streak = world.memory.streaks.containers.get(name);
            detected = streak.map(|streak| looked.since(&streak.since));
        }
        // At some time since the pass before, which saw it healthy.
        Watched::Check { name } => {
            let streak = world.memory.streaks.checks.get(name).copied().unwrap_or_default();
            let new = streak.passes(Status::Warning) == 1;
            detected = previous.filter(|_| new).map(|previous| clock::between(previous, looked.t));
        }
        Watched::Metric { .. } => {}
    }
    let diagnosed = clock::moment().since(looked);
    Onset { bursts_per_second, detect_ms: detected.and_then(ms), diagnose_ms: ms(diagnosed) }
}

/// For how many seconds errors count for the plan's rule.
fn within(world: &World, plan: &Plan) -> i64 {
    let seconds = world.engine.rule(&plan.rule).map(|rule| match &rule.when {
        When::Log(trigger) => trigger.within.as_secs(),
        _ => 0,
    });
    i64::try_from(seconds.unwrap_or(0)).unwrap_or(i64::MAX)
}

/// The second after which the errors that made the rule fire came: as many as the plan counts, at the rate it was made
/// from.
fn counted_after(plan: &Plan, looked: &Moment) -> i64 {
    let Watched::Log { rate_per_second, .. } = &plan.validation.watched else { return 0 };
    let seconds = plan.error_count_before as f64 / rate_per_second.max(f64::MIN_POSITIVE);
    looked.t.as_second().saturating_sub((seconds.ceil() as i64).saturating_add(1))
}

/// Two readings of a counter are a rate when they are at least so far apart.
const RATE_APART: Duration = Duration::from_secs(1);

/// Looks again: the world may have changed since the pass looked, and what shows for less than `min_duration` is a blip.
/// Why nothing needs to be done, where that is so.
pub fn recovered(
    world: &mut World,
    report: &Report,
    plan: &Plan,
    looked: &Moment,
    options: &Options,
    interrupt: &Interrupt,
) -> Option<String> {
    let check = match &plan.validation.watched {
        // An operator who approved this very plan has judged the errors that there were.
        Watched::Log { .. } if options.approve.is_some() => return None,
        Watched::Log { source, signature, .. } => {
            let after = counted_after(plan, looked);
            let quiet = quiet_for(world, report, (source, signature), after, interrupt)?;
            return Some(format!("no error for {quiet}s, where at least three were to be expected if they went on"));
        }
        Watched::Check { name } | Watched::Metric { check: name, .. } => name.clone(),
        Watched::Container { .. } => world.engine.docker()?.0.name.clone(),
    };
    // What the look before has just read is too near to tell a rate from: it would seem that nothing uses a CPU now.
    let is_rate = world
        .engine
        .docker()
        .is_some_and(|(spec, docker)| spec.name == check && docker.cpu_percent != Levels::default());
    if is_rate && interrupt.wait(RATE_APART) {
        return None;
    }
    let begin = clock::since_boot();
    let unproven = world.engine.limits.min_duration.saturating_sub(seen_for(world, plan));
    loop {
        let names = std::slice::from_ref(&check);
        let (checks, _) = observe::run(world.engine, names, &world.memory.samples, clock::now());
        if transaction::trigger_gone(&plan.validation.watched, &checks) == Some(true) {
            return Some("it is fine again".to_owned());
        }
        let left = unproven.saturating_sub(clock::since_boot().saturating_sub(begin));
        if left.is_zero() || interrupt.wait(left.min(BETWEEN_LOOKS)) {
            return None;
        }
    }
}

/// How long the trouble has been seen for. Passes in a row count as long enough.
fn seen_for(world: &World, plan: &Plan) -> Duration {
    let streaks = &world.memory.streaks;
    let by_passes = |passes: Option<u32>| if passes.unwrap_or(0) > 1 { Duration::MAX } else { Duration::ZERO };
    match &plan.validation.watched {
        Watched::Log { .. } => Duration::MAX,
        Watched::Check { name } => by_passes(streaks.checks.get(name).map(|s| s.red.max(s.unknown))),
        Watched::Metric { .. } => by_passes(streaks.metrics.get(&plan.rule).copied()),
        Watched::Container { name } => {
            streaks.containers.get(name).map_or(Duration::ZERO, |streak| clock::moment().since(&streak.since))
        }
    }
}

/// How many seconds the watched log has been quiet for, where that shows that its errors are over. Errors that came so lately
/// that nothing can be told yet are waited for, a little longer than `min_duration`, and only where that can tell: a
/// stream goes on at once, and of rare errors nothing is learned in seconds.
fn quiet_for(
    world: &mut World,
    report: &Report,
    (source, signature): (&str, &str),
    after: i64,
    interrupt: &Interrupt,
) -> Option<i64> {
    let patience = world.engine.limits.min_duration;
    let patience = if patience.is_zero() { patience } else { patience + Duration::from_secs(2) };
    let begin = clock::since_boot();
    let mut first = None;
    loop {
        let tally = read_again(world, report, source, signature)?;
        let now = clock::now().as_second();
        let came = tally.count(after, now);
        if let Some(quiet) = luck::over_since(&tally, after, now) {
            return Some(quiet);
        }
        let left = patience.saturating_sub(clock::since_boot().saturating_sub(begin));
        let could_tell = luck::over_since(&tally, after, now.saturating_add(left.as_secs() as i64)).is_some();
        if *first.get_or_insert(came) < came || !could_tell || interrupt.wait(left.min(BETWEEN_LOOKS)) {
            return None;
        }
    }
}

/// The counts of the watched log after one more reading of it alone. `None` where it cannot be read: nothing is said then.
fn read_again(world: &mut World, report: &Report, source: &str, signature: &str) -> Option<Tally> {
    let only = Glob::new(&globset::escape(source)).ok()?.compile_matcher();
    let containers: Vec<Container> = report.checks.iter().flat_map(|c| c.containers.clone()).collect();
    let (docker, now) = (world.docker.as_ref(), clock::now());
    let read = logs::read_new(world.engine, &containers, docker, Some(&only), &mut world.log_state, now);
    if read.problems.iter().any(|p| p.source == source) || read.gaps.iter().any(|g| g.source == source) {
        return None;
    }
    read.tallies.into_iter().find(|t| t.source == source && t.signature == signature)
}
