//! One whole pass, as a table of contents: lock, recover, observe, analyse, diagnose, plan, gate, transact, record,
//! alert. The only place that knows all stages; they never call each other.

use crate::alert;
use crate::attempts::{self, Attempts};
use crate::backup;
use crate::config::{Engine, Rule};
use crate::diagnose::{self, Observed, streaks};
use crate::gate::{self, Decision, HoldReason, Permit};
use crate::host::docker::Docker;
use crate::host::lock::{self, Holder};
use crate::host::signals::Interrupt;
use crate::host::{clock, files};
use crate::incidents;
use crate::learn::{self, Knowledge};
use crate::logs::{self, LogState};
use crate::model::{Analysis, CheckResult, Container, Diagnosis, LogReport, Outcome, Plan, Status, TargetFile};
use crate::observe;
use crate::plan::{self, TargetFiles};
use crate::state::{self, LastPass, Memory, StateDir};
use crate::tell::{self, PassTell};
use crate::transaction::{self, Ended, Ending, Ground, Tell};
use anyhow::{Context, Result};
use jiff::Timestamp;
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

/// One diagnosis with what the gate said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub diagnosis: Diagnosis,
    /// `None` for a built-in cause, which has no fix.
    pub decision: Option<Decision>,
    /// The content of each file that the plan edits, for its diff.
    pub files: Vec<TargetFile>,
}

/// Everything a pass did and saw.
#[derive(Debug, Clone)]
pub struct Report {
    pub started: Timestamp,
    pub duration: Duration,
    pub checks: Vec<CheckResult>,
    pub logs: LogReport,
    pub analysis: Analysis,
    pub judged: Vec<Judged>,
    pub recovered: Option<Ended>,
    pub ended: Option<Ended>,
    /// Fine again before anything was done.
    pub recovered_by_itself: Option<Plan>,
    /// What went wrong with healer itself, without ending the pass.
    pub problems: Vec<String>,
    pub dry_run: bool,
    /// A signal came before the fix began: nothing was changed.
    pub interrupted: bool,
    /// `--approve` named a plan that is none of this pass's.
    pub approve_missed: bool,
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

/// What one look at the world gave.
pub struct Sight {
    pub checks: Vec<CheckResult>,
    pub logs: LogReport,
    pub now: Timestamp,
    pub since: Timestamp,
}

/// What is remembered from pass to pass, and what a pass needs to look at the world.
pub struct World<'a> {
    pub engine: &'a Engine,
    pub dir: StateDir,
    pub docker: Option<Docker>,
    pub memory: Memory,
    pub log_state: LogState,
    pub problems: Vec<String>,
}

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

    let recovered = match stop_file(engine) {
        _ if options.dry_run => None,
        Some(stop) => {
            if let Some(open) = transaction::report_open(&world.dir)? {
                tell.as_tell().line(&format!("{open}; {stop} is there, so it is left as it is"));
            }
            None
        }
        None => recover(&mut world, &interrupt, tell)?,
    };
    let sight = world.look(RECENT);
    world.memory.streaks = streaks::update(engine, &world.memory.streaks, &sight.checks, sight.now);
    let history = History::read(&world, &sight)?;
    let analysis = world.diagnose(&sight, &history);
    let judged = judge(&world, &sight, &analysis, &history, options);

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

impl<'a> World<'a> {
    /// Loads what the last pass left. What cannot be read is a problem that is told, not the end.
    pub fn load(engine: &'a Engine, dir: StateDir) -> Self {
        let mut problems = Vec::new();
        let (memory, warning) = Memory::load(&dir);
        problems.extend(warning);
        let log_state = match LogState::load(&dir.cursors()) {
            Ok((state, warning)) => {
                problems.extend(warning);
                state
            }
            Err(error) => {
                problems.push(format!("{error:#}"));
                LogState::default()
            }
        };
        let docker = engine.docker().and_then(|(check, probe)| match Docker::connect(&probe.socket, check.timeout) {
            Ok(docker) => Some(docker),
            Err(error) => {
                problems.push(format!("docker: {error}"));
                None
            }
        });
        World { engine, dir, docker, memory, log_state, problems }
    }

    /// Runs every check and reads what is new in the logs.
    pub fn look(&mut self, span: Duration) -> Sight {
        let now = clock::now();
        let (checks, samples) = observe::run(self.engine, &[], &self.memory.samples, now);
        self.memory.samples = samples;
        let containers: Vec<Container> = checks.iter().flat_map(|c| c.containers.clone()).collect();
        // Read after the checks have run: `now` is the moment up to which events count.
        let now = clock::now();
        let logs = logs::read_new(self.engine, &containers, self.docker.as_ref(), None, &mut self.log_state, now);
        let since = jiff::SignedDuration::try_from(span).ok().and_then(|s| now.checked_sub(s).ok()).unwrap_or(now);
        Sight { checks, logs, now, since }
    }

    /// Concludes from one look.
    pub fn diagnose(&self, sight: &Sight, history: &History) -> Analysis {
        let seen = Observed {
            checks: &sight.checks,
            logs: &sight.logs,
            streaks: &self.memory.streaks,
            since: sight.since,
            now: sight.now,
        };
        diagnose::diagnose(self.engine, &seen, &history.knowledge, &history.attempts)
    }

    fn ground<'g>(&'g self, interrupt: &'g Interrupt, tell: &'g mut dyn Tell) -> Ground<'g> {
        Ground { engine: self.engine, dir: &self.dir, docker: self.docker.as_ref(), interrupt, tell }
    }
}

/// What was tried before, and what came of it.
pub struct History {
    pub knowledge: Knowledge,
    pub attempts: Attempts,
}

impl History {
    /// Reads it, if there is anything to judge at all: a healthy pass does not read a large knowledge base.
    ///
    /// # Errors
    /// When limits or history are there and cannot be read: without them nothing may be done.
    pub fn read(world: &World, sight: &Sight) -> Result<Self> {
        let trouble = state::overall(&sight.checks) != Status::Healthy || !sight.logs.tallies.is_empty();
        if !trouble {
            return Ok(History { knowledge: Knowledge::default(), attempts: Attempts::default() });
        }
        Ok(History {
            knowledge: learn::read(world.dir.knowledge_base(), None)?,
            attempts: attempts::read(&world.dir.attempts())?,
        })
    }
}

fn recover(world: &mut World, interrupt: &Interrupt, tell: &mut dyn PassTell) -> Result<Option<Ended>> {
    let mut log_state = std::mem::take(&mut world.log_state);
    let mut samples = std::mem::take(&mut world.memory.samples);
    let mut ground = world.ground(interrupt, tell.as_tell());
    let recovered = transaction::recover(&mut log_state, &mut samples, &mut ground);
    world.log_state = log_state;
    world.memory.samples = samples;
    let recovered =
        recovered.context("an earlier pass left a fix open, and it could be neither finished nor undone")?;
    if let Some(Ended::Closed(ending) | Ended::StillOpen(ending)) = &recovered {
        let alerts = tell::of_ending(world.engine, ending, clock::now());
        world.problems.extend(alert::send(world.engine, &alerts));
        tell.alerts(&alerts);
    }
    Ok(recovered)
}

/// The gate's word on every diagnosis, in their order.
pub fn judge(world: &World, sight: &Sight, analysis: &Analysis, history: &History, options: &Options) -> Vec<Judged> {
    let stop = stop_file(world.engine);
    analysis
        .diagnoses
        .iter()
        .map(|diagnosis| {
            let rule = diagnosis.rule.as_deref().and_then(|name| world.engine.rule(name));
            let Some(rule) = rule else {
                return Judged { diagnosis: diagnosis.clone(), decision: None, files: Vec::new() };
            };
            let targets = read_targets(rule);
            let given = plan::Given {
                engine: world.engine,
                checks: &sight.checks,
                files: &targets,
                knowledge: &history.knowledge,
                attempts: &history.attempts,
                now: sight.now,
            };
            let proposal = plan::propose(given, diagnosis, rule);
            let mut diagnosis = diagnosis.clone();
            if let Ok(proposal) = &proposal {
                diagnosis.confidence = proposal.plan.confidence;
                diagnosis.addends.clone_from(&proposal.addends);
            }
            let given = gate::Given {
                engine: world.engine,
                checks: &sight.checks,
                files: &targets,
                attempts: &history.attempts,
                now: sight.now,
                stop: stop.as_deref(),
                approved: options.approve.as_deref(),
            };
            let decision = gate::decide(given, &diagnosis, rule, proposal);
            Judged { diagnosis, decision: Some(decision), files: targets.into_values().flatten().collect() }
        })
        .collect()
}

/// A `STOP` file beside the configuration: an operator's hand on the switch that needs no tool.
fn stop_file(engine: &Engine) -> Option<String> {
    let config = std::path::absolute(engine.source.as_ref()?).ok()?;
    let file = config.parent()?.join("STOP");
    file.exists().then(|| file.display().to_string())
}

fn read_targets(rule: &Rule) -> TargetFiles {
    plan::files_of(rule)
        .map(|path| {
            let target = files::snapshot(path).and_then(|s| {
                files::check_replaceable(&s.path)?;
                Ok(TargetFile { path: s.path, bytes: s.bytes, sha256: s.sha256, modified: s.modified })
            });
            (path.clone(), target.map_err(|e| e.to_string()))
        })
        .collect()
}

impl Report {
    /// Every plan of this pass, held or not.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.judged.iter().filter_map(|j| match j.decision.as_ref()? {
            Decision::Act(permit) => Some(permit.plan()),
            Decision::Hold { plan, .. } => plan.as_deref(),
        })
    }

    /// The plan that this pass carries out, or would.
    pub fn permit(&self, options: &Options) -> Option<&Permit> {
        let wanted = |plan: &Plan| {
            options.only.as_ref().is_none_or(|rule| plan.rule == *rule)
                && options.approve.as_ref().is_none_or(|id| plan.id == *id)
        };
        // What an earlier pass left open must end first: there is never a second transaction.
        if matches!(self.recovered, Some(Ended::StillOpen(_))) {
            return None;
        }
        self.judged.iter().find_map(|j| match j.decision.as_ref()? {
            Decision::Act(permit) if wanted(permit.plan()) => Some(permit.as_ref()),
            _ => None,
        })
    }

    /// The exit code: 13, 1, 12, 10, 0 in this order; 130 when interrupted.
    pub fn exit_code(&self) -> u8 {
        let endings: Vec<&Ended> = self.recovered.iter().chain(&self.ended).collect();
        if self.interrupted || endings.iter().any(|e| matches!(e, Ended::Interrupted(_))) {
            return 130;
        }
        let outcomes: Vec<Outcome> = endings.iter().filter_map(|e| e.outcome()).collect();
        let any = |wanted: &[Outcome]| outcomes.iter().any(|o| wanted.contains(o));
        if any(&[Outcome::RollbackFailed, Outcome::Conflict]) {
            13
        } else if any(&[Outcome::RolledBack, Outcome::Failed]) {
            12
        } else if any(&[Outcome::Unproven, Outcome::RolledBackByOperator]) || self.left_for_human() {
            10
        } else {
            0
        }
    }

    /// A problem that this pass saw and did not mend; with a dry run also one that it would.
    fn left_for_human(&self) -> bool {
        let mended = match &self.ended {
            Some(Ended::Closed(ending)) if ending.outcome == Outcome::Healed => Some(&ending.plan.component),
            _ => self.recovered_by_itself.as_ref().map(|p| &p.component),
        };
        self.approve_missed
            || self
                .judged
                .iter()
                .any(|j| j.diagnosis.symptom_of.is_none() && Some(&j.diagnosis.trigger.component) != mended)
    }
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
    world
        .log_state
        .save(&world.dir.cursors(), &world.engine.redactor)
        .context("cannot keep where the logs were left")?;
    let changed = incidents::update(&world.memory.incidents, &report.analysis.diagnoses, now);
    let permit = report.permit(options).cloned();
    world.memory.incidents = changed.open.clone();
    tell.analysis(report, permit.as_ref().map(Permit::plan));
    let alerts = tell::of_analysis(world.engine, report, permit.as_ref(), &changed, &mut world.memory.incidents, now);
    tell.alerts(&alerts);
    world.problems.extend(alert::send(world.engine, &alerts));
    let Some(permit) = permit else { return Ok(()) };

    if let Some(plan) = recovered_by_itself(world, &permit) {
        tell.as_tell().line(&format!("{} is fine again: nothing was done", plan.component));
        tell.as_tell().event("recovered", serde_json::json!({ "rule": plan.rule, "component": plan.component }));
        report.recovered_by_itself = Some(plan);
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
    if let Ended::Closed(ending) | Ended::StillOpen(ending) = &ended {
        let alerts = tell::of_ending(world.engine, ending, clock::now());
        tell.alerts(&alerts);
        world.problems.extend(alert::send(world.engine, &alerts));
    }
    tell.ended(&ended);
    if matches!(ended, Ended::Closed(_))
        && let Err(error) = backup::prune(&world.dir.backups(), &world.engine.backups, &[], clock::now())
    {
        world.problems.push(format!("old backups were not removed: {error:#}"));
    }
    report.ended = Some(ended);
    Ok(())
}

/// Looks once more, right before acting: the world may have changed since the pass looked.
fn recovered_by_itself(world: &mut World, permit: &Permit) -> Option<Plan> {
    use crate::model::Watched;
    let plan = permit.plan();
    let check = match &plan.validation.watched {
        Watched::Log { .. } => return None,
        Watched::Check { name } | Watched::Metric { check: name, .. } => name.clone(),
        Watched::Container { .. } => world.engine.docker()?.0.name.clone(),
    };
    let (checks, _) = observe::run(world.engine, &[check], &world.memory.samples, clock::now());
    transaction::trigger_gone(&plan.validation.watched, &checks)?.then(|| plan.clone())
}

/// Leaves what the next pass needs.
fn remember(world: &mut World, report: &mut Report, options: &Options, begin: Duration) -> Result<()> {
    // Without a fix nothing was read since `act` has saved.
    if report.permit(options).is_some() && !matches!(report.ended, Some(Ended::Interrupted(_))) {
        world
            .log_state
            .save(&world.dir.cursors(), &world.engine.redactor)
            .context("cannot keep where the logs were left")?;
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

impl Ended {
    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Ended::Closed(Ending { outcome, .. }) | Ended::StillOpen(Ending { outcome, .. }) => Some(*outcome),
            Ended::Interrupted(_) => None,
        }
    }
}

/// Whether a hold is worth a human's attention: a symptom goes with its root.
pub fn worth_telling(reason: &HoldReason) -> bool {
    !matches!(reason, HoldReason::Symptom { .. })
}
