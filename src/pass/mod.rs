//! One whole pass, as a table of contents: lock, recover, observe, analyse, diagnose, plan, gate, transact, record,
//! alert. The only place that knows all stages; they never call each other.

mod again;
mod follow;
pub mod judging;
pub mod recording;
mod report;
mod world;

pub use report::{Judged, Report, permit, worth_telling};
pub use world::{History, Sight, World, judge};

use crate::ack;
use crate::alert::{self, Alert, Post};
use crate::attempts;
use crate::backup;
use crate::breaker;
use crate::config::{Engine, Rule};
use crate::diagnose::symptoms::Graph;
use crate::diagnose::{fingerprint, streaks};
use crate::event_log;
use crate::gate::{self, Permit};
use crate::host::lock::{self, Holder};
use crate::host::signals::Interrupt;
use crate::host::{clock, files};
use crate::incidents::{self, Changed};
use crate::matches;
use crate::model::{Analysis, Moment, Outcome, Plan, Watched};
use crate::observe;
use crate::pass::judging::{Around, Explained, Given};
use crate::pause;
use crate::show::{decision, prometheus};
use crate::state::{self, LastPass, StateDir, Totals};
use crate::tell::{self, PassTell};
use crate::transaction::{self, Ended};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
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
    /// Everything that decides is written there, for `replay`.
    pub record: Option<PathBuf>,
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
pub const RECENT: Duration = Duration::from_secs(600);

/// Runs one pass.
///
/// # Errors
/// [`Busy`], or when the pass itself could not be completed.
pub fn run(engine: &Engine, options: &Options, tell: &mut dyn PassTell) -> Result<Report> {
    let dir = StateDir::of(engine);
    if options.dry_run {
        return run_alone(engine, dir, options, tell);
    }
    let _lock = take_lock(&dir)?;
    let beat = alert::Beat::begin(engine);
    let mut passed = run_alone(engine, dir, options, tell);
    let code = passed.as_ref().map_or(1, Report::exit_code);
    let untold = beat.map_or_else(Vec::new, |beat| beat.end(code));
    match &mut passed {
        Ok(report) => report.problems.extend(untold),
        Err(_) => untold.iter().for_each(|problem| tell.as_tell().line(problem)),
    }
    passed
}

/// A pass up to its decision, read-only; errors count as far back as `span`.
///
/// # Errors
/// When limits or history are there and cannot be read.
pub fn look_once(engine: &Engine, span: Duration) -> Result<Report> {
    Ok(look_for(engine, span, None)?.0)
}

/// The same, and every condition of one rule.
///
/// # Errors
/// When limits or history are there and cannot be read.
pub fn look_closely(engine: &Engine, span: Duration, rule: &Rule) -> Result<(Report, Explained)> {
    let (report, explained) = look_for(engine, span, Some(rule))?;
    Ok((report, explained.context("no rule was explained")?))
}

fn look_for(engine: &Engine, span: Duration, rule: Option<&Rule>) -> Result<(Report, Option<Explained>)> {
    let (begin, started) = (clock::since_boot(), clock::now());
    let mut world = World::load(engine, StateDir::of(engine));
    let sight = world.look(span);
    world.memory.streaks = streaks::update(engine, &world.memory.streaks, &sight.checks, &sight.now);
    let history = History::read(&world, &sight)?;
    let analysis = world.diagnose(&sight, &history);
    let (judged, around) = judge(&mut world, &sight, &analysis, &history, &Options::default());
    let given = Given { engine, sight: &sight, streaks: &world.memory.streaks, history: &history };
    let explained = rule.map(|rule| judging::explain(given, &analysis, rule, &around));
    let report = Report {
        started,
        duration: clock::since_boot().saturating_sub(begin),
        checks: sight.checks,
        logs: sight.logs,
        analysis,
        judged,
        recovered: None,
        ended: None,
        recovered_by_itself: None,
        problems: world.problems,
        dry_run: true,
        interrupted: false,
        approve_missed: false,
        unsettled: Default::default(),
        blocked: None,
    };
    Ok((report, explained))
}

/// A pass that holds the lock, or writes nothing.
fn run_alone(engine: &Engine, dir: StateDir, options: &Options, tell: &mut dyn PassTell) -> Result<Report> {
    let started = clock::now();
    let begin = clock::since_boot();
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
    let mut history = History::read(&world, &sight)?;
    let mut analysis = world.diagnose(&sight, &history);
    // A problem that is back counts against its fix in this very pass.
    if !options.dry_run && follow::follow_up(&mut world, &analysis, &sight.now, tell) {
        history = History::read(&world, &sight)?;
        analysis = world.diagnose(&sight, &history);
    }
    let (judged, mut around) = judge(&mut world, &sight, &analysis, &history, options);
    around.blocked = report::may_not_act(blocked.as_deref(), recovered.as_ref());
    if let Some(path) = &options.record {
        let seen = Concluded { sight: &sight, history: &history, analysis: &analysis, judged: &judged };
        record(path, &mut world, seen, &around, options)?;
    }
    world.memory.streaks.explain(&analysis, &sight.now);

    let looked = sight.now;
    let mut unsettled = incidents::unsettled(&world.memory.incidents, engine, &history.attempts, &looked);
    analysis.diagnoses.iter().for_each(|seen| _ = unsettled.remove(&seen.fingerprint));
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
        unsettled,
        blocked,
    };
    report.approve_missed = options.approve.as_ref().is_some_and(|id| !report.plans().any(|p| p.id == *id));
    if !options.dry_run {
        let acted = act(&mut world, &mut report, options, &looked, &interrupt, tell);
        let remembered = remember(&mut world, &mut report, options, begin);
        acted.and(remembered)?;
    }
    report.duration = clock::since_boot().saturating_sub(begin);
    report.problems.append(&mut world.problems);
    if let Some(file) = engine.textfile.as_ref().filter(|_| !options.dry_run)
        && let Err(error) = leave_figures(file, &world, &report)
    {
        report.problems.push(format!("{error:#}"));
    }
    Ok(report)
}

/// The figures of a pass for Prometheus, old or new as a whole.
fn leave_figures(file: &Path, world: &World, report: &Report) -> Result<()> {
    let text = prometheus::text(&prometheus::Exported {
        ended: clock::now(),
        duration: report.duration,
        exit_code: report.exit_code(),
        checks: &report.checks,
        incidents: &world.memory.incidents,
        problems: report.problems.len() as u64,
        circuits: &breaker::open_targets(
            &attempts::read(&world.dir.attempts())?,
            &clock::moment(),
            &world.engine.limits,
        ),
        totals: &world.memory.totals,
    });
    let text = world.engine.redactor.redact(&text);
    files::write_unsynced(file, text.as_bytes(), 0o644).context("cannot write the figures of this pass")
}

/// Before anything is done: what a pass that is killed had decided is known too.
fn record(path: &Path, world: &mut World, seen: Concluded, around: &Around, options: &Options) -> Result<()> {
    let Concluded { sight, history, analysis, judged } = seen;
    let act = permit(judged, around.blocked, options).map(|p| p.plan().id.as_str());
    let decision = decision::document(analysis, judged, act);
    let given = Given { engine: world.engine, sight, streaks: &world.memory.streaks, history };
    let told = recording::write(path, recording::Live { given, around, options, decision })?;
    world.problems.extend(told);
    Ok(())
}

/// What a pass saw and made of it.
#[derive(Clone, Copy)]
struct Concluded<'a> {
    sight: &'a Sight,
    history: &'a History,
    analysis: &'a Analysis,
    judged: &'a [Judged],
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

/// Without what is told of incidents that an operator has acknowledged; that one is over is told all the same.
fn unseen(world: &mut World, alerts: Vec<Alert>) -> Vec<Alert> {
    let acks = ack::read(&world.dir.acks(), &clock::moment()).unwrap_or_else(|error| {
        world.problems.push(format!("{error:#}"));
        Vec::new()
    });
    alerts.into_iter().filter(|alert| !alert.is_seen(&acks)).collect()
}

fn send(world: &mut World, alerts: Vec<Alert>, tell: &mut dyn PassTell) {
    tell.alerts(&alerts);
    let (engine, dir) = (world.engine, &world.dir);
    world.post.get_or_insert_with(|| Post::open(engine, dir)).send(&alerts);
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
    looked: &Moment,
    interrupt: &Interrupt,
    tell: &mut dyn PassTell,
) -> Result<()> {
    let now = clock::now();
    let memory = &world.memory;
    let (seen, unsettled) = (&report.analysis.diagnoses, &report.unsettled);
    let changed = incidents::update(&memory.incidents, &memory.closed, seen, unsettled, &clock::moment());
    let permit = report.permit(options).cloned();
    world.memory.incidents = changed.open.clone();
    world.memory.closed = changed.closed.clone();
    count_held(world, report, &changed);
    tell.analysis(report, permit.as_ref().map(Permit::plan));
    // After what was read has been recorded: a pass that is killed in between has it read again.
    let saved = save_cursors(world);
    let alerts = tell::of_analysis(world.engine, report, permit.as_ref(), &changed, &mut world.memory.incidents, now);
    let alerts = unseen(world, alerts);
    send(world, alerts, tell);
    let Some(permit) = permit else { return saved };
    saved.context("nothing was changed")?;

    if let Some(why) = again::recovered(world, report, permit.plan(), looked, options, interrupt) {
        recovered(world, report, permit.plan(), &why, tell);
        return Ok(());
    }
    if let Some(why) = called_off(world, &permit, options) {
        tell.as_tell().line(&format!("{why}: nothing was changed"));
        tell.as_tell().event("called_off", serde_json::json!({ "plan_id": permit.plan().id, "why": why }));
        return Ok(());
    }
    let onset = again::onset(world, report, permit.plan(), looked);
    if interrupt.asked() {
        tell.as_tell().line("interrupted before the fix began: nothing was changed");
        report.interrupted = true;
        return Ok(());
    }
    let mut log_state = std::mem::take(&mut world.log_state);
    let mut samples = std::mem::take(&mut world.memory.samples);
    let mut ground = world.ground(interrupt, tell.as_tell());
    let ended = transaction::carry_out(&permit, onset, &report.checks, &mut log_state, &mut samples, &mut ground);
    world.log_state = log_state;
    world.memory.samples = samples;
    let ended = ended
        .with_context(|| format!("the fix `{}` of rule {} was not made", permit.plan().fix_type, permit.plan().rule))?;
    let plan = permit.plan();
    world.memory.unaided.fixed(&fingerprint(&plan.issue_type, &plan.component));
    send(world, tell::of_fix(world.engine, &ended, report, &world.memory.incidents, clock::now()), tell);
    told_of(world, &ended);
    tell.ended(&ended);
    if matches!(ended, Ended::Closed(_))
        && let Err(error) = backup::prune(&world.dir.backups(), &world.engine.backups, &[], clock::now())
    {
        world.problems.push(format!("old backups were not removed: {error:#}"));
    }
    report.ended = Some(ended);
    Ok(())
}

/// Who was told that a fix did not help is to be told when its trouble is over.
fn told_of(world: &mut World, ended: &Ended) {
    let Ended::Closed(ending) = ended else { return };
    if ending.outcome == Outcome::Healed {
        return;
    }
    let print = fingerprint(&ending.plan.issue_type, &ending.plan.component);
    let incident = world.memory.incidents.iter_mut().find(|i| i.fingerprint == print);
    incident.into_iter().for_each(|i| _ = i.alerted.insert(ending.outcome.word().to_owned(), clock::now()));
}

fn save_cursors(world: &World) -> Result<()> {
    let saved = world.log_state.save(&world.dir.cursors(), &world.engine.redactor);
    saved.context("cannot keep where the logs were left")
}

/// What has come since the gate decided: a `STOP` file, a pause, a label, a storm, a root of which this is a symptom only.
fn called_off(world: &mut World, permit: &Permit, options: &Options) -> Option<String> {
    let now = clock::moment();
    let plan = permit.plan();
    if let Some(file) = stop_file(world.engine) {
        return Some(format!("{file} is there"));
    }
    let pauses = world.pauses(&now);
    if let Some((pause, _)) = pause::of_rule(&pauses, &plan.rule, &now) {
        return Some(format!("fixes have just been paused by {} ({})", pause.by, pause.reason));
    }
    let (checks, _) = observe::run(world.engine, &[], &world.memory.samples, now.t);
    let approved = options.approve.as_ref() == Some(&plan.id);
    if let Some(hold) = gate::held_by_labels(world.engine, &world.labels(), plan, approved) {
        return Some(hold.to_string());
    }
    let graph = Graph::new(world.engine, &checks, &world.memory.streaks.onsets);
    if let Some(storm) = gate::storm(world.engine, &graph.roots(), &checks) {
        return Some(storm.to_string());
    }
    let is_log = matches!(plan.validation.watched, Watched::Log { .. });
    let root = graph.root_of(&plan.component).filter(|_| !is_log)?;
    Some(format!("{} is a symptom of {root}, which has just become critical", plan.component))
}

/// Nothing is done about what is fine again: told, and written down as what it is.
fn recovered(world: &mut World, report: &mut Report, plan: &Plan, why: &str, tell: &mut dyn PassTell) {
    let fingerprint = fingerprint(&plan.issue_type, &plan.component);
    tell.as_tell().line(&format!("{} recovered: {why}; nothing was done", plan.component));
    let incident = world.memory.incidents.iter_mut().find(|i| i.fingerprint == fingerprint);
    let id = incident.map(|incident| {
        incident.hold = Some(format!("{}: {why}", Outcome::Recovered.word()));
        incident.id.clone()
    });
    tell.as_tell().event(
        Outcome::Recovered.word(),
        serde_json::json!({
            "rule": plan.rule, "issue_type": plan.issue_type, "fix_type": plan.fix_type, "component": plan.component,
            "target": plan.target, "incident": id, "why": why,
        }),
    );
    world.memory.unaided.recovered(&fingerprint, &plan.issue_type);
    report.recovered_by_itself = Some(plan.clone());
}

/// Problems that are held may clear by themselves: counted, by issue type.
fn count_held(world: &mut World, report: &Report, changed: &Changed) {
    let unaided = &mut world.memory.unaided;
    for judged in report.judged.iter().filter(|j| j.hold().is_some_and(worth_telling)) {
        unaided.held(&judged.diagnosis.fingerprint, &judged.diagnosis.issue_type);
    }
    changed.resolved.iter().for_each(|incident| unaided.resolved(&incident.fingerprint));
}

fn count(totals: &mut Totals, report: &Report) {
    totals.passes += 1;
    for (signature, events) in &report.logs.by_signature {
        *totals.errors.entry(signature.clone()).or_default() += events;
    }
    for ended in report.recovered.iter().chain(&report.ended) {
        if let Ended::Closed(ending) = ended {
            totals.add_fix(&ending.plan.fix_type, ending.outcome);
        }
    }
}

/// Leaves what the next pass needs.
fn remember(world: &mut World, report: &mut Report, options: &Options, begin: Duration) -> Result<()> {
    // Without a fix nothing was read since `act` has saved.
    if report.permit(options).is_some() && !matches!(report.ended, Some(Ended::Interrupted(_))) {
        save_cursors(world)?;
    }
    world.problems.extend(world.post.take().map_or_else(Vec::new, Post::finish));
    let now = clock::now();
    matches::update(world.engine, &mut world.memory.matches, &report.logs, &report.analysis, now);
    world.problems.extend(matches::to_tell(world.engine, &mut world.memory.matches));
    count(&mut world.memory.totals, report);
    world.memory.last_pass = Some(LastPass {
        started: report.started,
        duration_ms: u64::try_from(clock::since_boot().saturating_sub(begin).as_millis()).unwrap_or(u64::MAX),
        status: state::overall(&report.checks),
        issues: report.analysis.findings.len() as u64,
        exit_code: report.exit_code(),
        problems: (report.problems.len() + world.problems.len()) as u64,
    });
    world.memory.save(&world.dir, &world.engine.redactor)?;
    if let Err(error) = backup::leave_index(&world.dir.backups(), &world.dir.backup_index()) {
        world.problems.push(format!("{error:#}"));
    }
    let keep = world.engine.keep;
    let expired = [event_log::expire(&world.dir.events(), keep, now), state::expire(&world.dir.metrics(), keep, now)];
    world.problems.extend(expired.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")));
    state::append_metrics(&world.dir, now, &report.checks, report.logs.events)
}
