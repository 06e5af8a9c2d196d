//! One whole pass, as a table of contents: lock, recover, observe, analyse, diagnose, plan, gate, transact, record,
//! alert. The only place that knows all stages; they never call each other.

pub mod judging;
mod report;
mod world;

pub use report::{Judged, Report, worth_telling};
pub use world::{History, Sight, World, judge};

use crate::alert::{self, Alert};
use crate::backup;
use crate::config::Engine;
use crate::diagnose::streaks;
use crate::gate::Permit;
use crate::host::clock;
use crate::host::lock::{self, Holder};
use crate::host::signals::Interrupt;
use crate::incidents;
use crate::model::{Plan, Watched};
use crate::observe;
use crate::pause;
use crate::state::{self, LastPass, StateDir};
use crate::tell::{self, PassTell};
use crate::transaction::{self, Ended};
use anyhow::{Context, Result};
use std::time::Duration;

/// What was asked of a pass.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Nothing at all is written: the pass ends at the gate.
    pub dry_run: bool,
    /// Only this rule may act.
    pub only: Option<String>,
    /// An operator approved this plan.
    pub approve: Option<String>,
}

/// Another pass holds the lock (exit 11).
#[derive(Debug)]
pub struct Busy(pub Holder);

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is at work on this state directory; nothing was done", self.0)
    }
}

impl std::error::Error for Busy {}

/// Between two looks at a trouble that may be a blip.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Built-in causes and findings look at errors of at least this span.
const RECENT: Duration = Duration::from_secs(600);

/// Runs one pass.
///
/// # Errors
/// [`Busy`], or when the pass itself could not be completed.
pub fn run(engine: &Engine, options: &Options, tell: &mut dyn PassTell) -> Result<Report> {
    let started = clock::now();
    let begin = clock::since_boot();
    let dir = StateDir::of(engine);
    let _lock = if options.dry_run { None } else { Some(take_lock(&dir)?) };
    let interrupt = Interrupt::install()?;
    let mut world = World::load(engine, dir);

    let (recovered, blocked) = match stop_file(engine) {
        _ if options.dry_run => (None, None),
        Some(stop) => {
            if let Some(open) = transaction::report_open(&world.dir)? {
                let why = format!("{open}; {stop} is there, so it is left as it is");
                tell.as_tell().line(&why);
                let alerts = vec![tell::of_blocked(world.engine, &why, clock::now())];
                tell_once(&mut world, "stopped", alerts, tell);
            }
            (None, None)
        }
        None => recover(&mut world, &interrupt, tell),
    };
    let sight = world.look(RECENT);
    world.memory.streaks = streaks::update(engine, &world.memory.streaks, &sight.checks, &sight.now);
    let history = History::read(&world, &sight)?;
    let analysis = world.diagnose(&sight, &history);
    let (judged, around) = judge(&mut world, &sight, &analysis, &history, options);

    let mut report = Report {
        started,
        duration: Duration::ZERO,
        checks: sight.checks,
        logs: sight.logs,
        analysis,
        judged,
        recovered,
        ended: None,
        recovered_by_itself: None,
        problems: Vec::new(),
        dry_run: options.dry_run,
        interrupted: false,
        approve_missed: false,
        blocked,
    };
    report.approve_missed = options.approve.as_ref().is_some_and(|id| !report.plans().any(|p| p.id == *id));
    if !options.dry_run {
        let acted = act(&mut world, &mut report, options, &interrupt, tell);
        let remembered = remember(&mut world, &mut report, options, begin);
        acted.and(remembered)?;
    }
    report.duration = clock::since_boot().saturating_sub(begin);
    report.problems.append(&mut world.problems);
    Ok(report)
}

fn take_lock(dir: &StateDir) -> Result<lock::Lock> {
    dir.prepare()?;
    lock::try_lock(&dir.lock())?.map_err(|holder| Busy(holder).into())
}

/// Ends what an earlier pass left open. The second value says why not, where it could not even be read.
fn recover(world: &mut World, interrupt: &Interrupt, tell: &mut dyn PassTell) -> (Option<Ended>, Option<String>) {
    let mut log_state = std::mem::take(&mut world.log_state);
    let mut samples = std::mem::take(&mut world.memory.samples);
    let mut ground = world.ground(interrupt, tell.as_tell());
    let recovered = transaction::recover(&mut log_state, &mut samples, &mut ground);
    world.log_state = log_state;
    world.memory.samples = samples;
    let recovered = match recovered {
        Ok(recovered) => recovered,
        Err(error) => {
            let why = format!("an earlier pass left a fix open that cannot be read: {error:#}");
            tell.as_tell().line(&why);
            let alerts = vec![tell::of_blocked(world.engine, &why, clock::now())];
            tell_once(world, "blocked", alerts, tell);
            return (None, Some(why));
        }
    };
    match &recovered {
        Some(ended @ Ended::StillOpen(open)) => {
            let key = format!("open {}", open.fix_id);
            tell_once(world, &key, tell::of_ended(world.engine, ended, clock::now()), tell);
        }
        Some(ended) => send(world, tell::of_ended(world.engine, ended, clock::now()), tell),
        None => world.memory.told.clear(),
    }
    if let Some(ended) = &recovered {
        tell.ended(ended);
    }
    (recovered, None)
}

/// Tells what goes on from pass to pass, but not again before `repeat`.
fn tell_once(world: &mut World, key: &str, alerts: Vec<Alert>, tell: &mut dyn PassTell) {
    let now = clock::now();
    if world.memory.told.get(key).is_some_and(|told| !incidents::is_over(*told, world.engine.alerts.repeat, now)) {
        return;
    }
    world.memory.told.insert(key.to_owned(), now);
    send(world, alerts, tell);
}

fn send(world: &mut World, alerts: Vec<Alert>, tell: &mut dyn PassTell) {
    tell.alerts(&alerts);
    world.problems.extend(alert::send(world.engine, &alerts));
}

/// A `STOP` file beside the configuration: an operator's hand on the switch that needs no tool.
pub fn stop_file(engine: &Engine) -> Option<String> {
    let config = std::path::absolute(engine.source.as_ref()?).ok()?;
    let file = config.parent()?.join("STOP");
    file.exists().then(|| file.display().to_string())
}

/// Tells what is to be told, then carries out the one plan that may be, and tells how it went.
fn act(
    world: &mut World,
    report: &mut Report,
    options: &Options,
    interrupt: &Interrupt,
    tell: &mut dyn PassTell,
) -> Result<()> {
    let now = clock::now();
    let changed = incidents::update(&world.memory.incidents, &report.analysis.diagnoses, now);
    let permit = report.permit(options).cloned();
    world.memory.incidents = changed.open.clone();
    tell.analysis(report, permit.as_ref().map(Permit::plan));
    // After what was read has been recorded: a pass that is killed in between has it read again.
    let saved = save_cursors(world);
    let alerts = tell::of_analysis(world.engine, report, permit.as_ref(), &changed, &mut world.memory.incidents, now);
    send(world, alerts, tell);
    saved?;
    let Some(permit) = permit else { return Ok(()) };

    if let Some(plan) = recovered_by_itself(world, &permit, interrupt) {
        tell.as_tell().line(&format!("{} is fine again: nothing was done", plan.component));
        tell.as_tell().event("recovered", serde_json::json!({ "rule": plan.rule, "component": plan.component }));
        report.recovered_by_itself = Some(plan);
        return Ok(());
    }
    if let Some(why) = called_off(world, &permit) {
        tell.as_tell().line(&format!("{why}: nothing was changed"));
        return Ok(());
    }
    if interrupt.asked() {
        tell.as_tell().line("interrupted before the fix began: nothing was changed");
        report.interrupted = true;
        return Ok(());
    }
    let mut log_state = std::mem::take(&mut world.log_state);
    let mut samples = std::mem::take(&mut world.memory.samples);
    let mut ground = world.ground(interrupt, tell.as_tell());
    let ended = transaction::carry_out(&permit, &report.checks, &mut log_state, &mut samples, &mut ground);
    world.log_state = log_state;
    world.memory.samples = samples;
    let ended = ended
        .with_context(|| format!("the fix `{}` of rule {} was not made", permit.plan().fix_type, permit.plan().rule))?;
    send(world, tell::of_ended(world.engine, &ended, clock::now()), tell);
    tell.ended(&ended);
    if matches!(ended, Ended::Closed(_))
        && let Err(error) = backup::prune(&world.dir.backups(), &world.engine.backups, &[], clock::now())
    {
        world.problems.push(format!("old backups were not removed: {error:#}"));
    }
    report.ended = Some(ended);
    Ok(())
}

fn save_cursors(world: &World) -> Result<()> {
    let saved = world.log_state.save(&world.dir.cursors(), &world.engine.redactor);
    saved.context("cannot keep where the logs were left")
}

/// A `STOP` file or a pause that has come since the gate decided.
fn called_off(world: &mut World, permit: &Permit) -> Option<String> {
    let now = clock::moment();
    let pauses = world.pauses(&now);
    let paused = || pause::of_rule(&pauses, &permit.plan().rule, &now).map(|(pause, _)| pause);
    let stop = stop_file(world.engine).map(|file| format!("{file} is there"));
    stop.or_else(|| paused().map(|p| format!("fixes have just been paused by {} ({})", p.by, p.reason)))
}

/// Looks again, right before acting: the world may have changed since the pass looked, and what shows for less than
/// `min_duration` is a blip.
fn recovered_by_itself(world: &mut World, permit: &Permit, interrupt: &Interrupt) -> Option<Plan> {
    let plan = permit.plan();
    let check = match &plan.validation.watched {
        Watched::Log { .. } => return None,
        Watched::Check { name } | Watched::Metric { check: name, .. } => name.clone(),
        Watched::Container { .. } => world.engine.docker()?.0.name.clone(),
    };
    let begin = clock::since_boot();
    let unproven = world.engine.limits.min_duration.saturating_sub(seen_for(world, plan));
    loop {
        let names = std::slice::from_ref(&check);
        let (checks, _) = observe::run(world.engine, names, &world.memory.samples, clock::now());
        if transaction::trigger_gone(&plan.validation.watched, &checks)? {
            return Some(plan.clone());
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

/// Leaves what the next pass needs.
fn remember(world: &mut World, report: &mut Report, options: &Options, begin: Duration) -> Result<()> {
    // Without a fix nothing was read since `act` has saved.
    if report.permit(options).is_some() && !matches!(report.ended, Some(Ended::Interrupted(_))) {
        save_cursors(world)?;
    }
    let now = clock::now();
    world.memory.last_pass = Some(LastPass {
        started: report.started,
        duration_ms: u64::try_from(clock::since_boot().saturating_sub(begin).as_millis()).unwrap_or(u64::MAX),
        status: state::overall(&report.checks),
        issues: report.analysis.findings.len() as u64,
    });
    world.memory.save(&world.dir, &world.engine.redactor)?;
    for path in [world.dir.events(), world.dir.metrics()] {
        if let Err(error) = state::expire(&path, world.engine.keep, now) {
            world.problems.push(format!("{error:#}"));
        }
    }
    state::append_metrics(&world.dir, now, &report.checks, report.logs.events)
}
