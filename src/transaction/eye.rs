//! One look at everything that a fix is judged on: checks, all logs, and the services that it concerns.
//!
//! Used by the pass that watches its own fix and by the one that judges what a killed pass left. May not live here:
//! what a look means (`validate`), when to look.

use crate::fix::alive::{self, Alive};
use crate::host::clock;
use crate::logs::{self, LogState};
use crate::model::{
    CheckKind, CheckResult, Container, ContainerState, LogReport, Moment, RestartTarget, Status, Watched,
};
use crate::observe::{self, Samples};
use crate::transaction::journal::{Intent, Phase, Run};
use crate::transaction::{Ground, statuses};
use crate::validate::Sample;
use crate::validate::elsewhere::{self, Moments, Restarts};
use jiff::Timestamp;

/// Which errors of the watched log count.
#[derive(Debug, Clone, Copy)]
pub enum Counted<'a> {
    /// Those of start-up and of requests in flight are not the fix's.
    None,
    /// Those that are read from now on.
    New,
    /// All since then: some were read by a pass that was killed.
    Since(&'a Moment),
}

/// Takes samples.
pub struct Eye<'a> {
    intent: &'a Intent,
    samples: &'a mut Samples,
    logs: &'a mut LogState,
    services: Vec<RestartTarget>,
    /// As they were when the window began.
    runs: Vec<Run>,
    restarts: Restarts,
    begun: Timestamp,
    errors: u64,
    lost: Option<String>,
}

impl<'a> Eye<'a> {
    pub fn new(intent: &'a Intent, samples: &'a mut Samples, logs: &'a mut LogState, ground: &Ground) -> Self {
        Eye {
            intent,
            samples,
            logs,
            services: services(intent, ground),
            runs: Vec::new(),
            restarts: Restarts::new(),
            begun: clock::now(),
            errors: 0,
            lost: None,
        }
    }

    /// Goes on with a window that another pass began.
    pub fn resume(&mut self, begun: &Moment, phases: &[Phase]) {
        self.begun = begun.t;
        for phase in phases {
            if let Phase::Settled { runs, restarts, .. } = phase {
                self.runs.clone_from(runs);
                self.restarts.clone_from(restarts);
            }
        }
    }

    /// The window begins: what the services are in now is what they have to stay in.
    pub fn begin(&mut self, ground: &mut Ground) -> Phase {
        let (_, checks) = self.look_at(0.0, ground, Counted::None);
        let containers: Vec<Container> = checks.iter().flat_map(|c| c.containers.clone()).collect();
        let run = |target: &RestartTarget| Run {
            target: target.clone(),
            run: alive(target, &checks, ground).ok().and_then(|alive| alive.run),
        };
        self.runs = self.services.iter().map(run).collect();
        self.restarts = elsewhere::restarts(&containers);
        self.begun = clock::now();
        self.lost = None;
        Phase::Settled { t: self.begun, runs: self.runs.clone(), restarts: self.restarts.clone() }
    }

    /// Looks, `at` seconds after the window began.
    pub fn look(&mut self, at: f64, ground: &mut Ground, counted: Counted) -> Sample {
        self.look_at(at, ground, counted).0
    }

    fn look_at(&mut self, at: f64, ground: &mut Ground, counted: Counted) -> (Sample, Vec<CheckResult>) {
        let (checks, samples) = observe::run(ground.engine, &[], self.samples, clock::now());
        *self.samples = samples;
        let containers: Vec<Container> = checks.iter().flat_map(|c| c.containers.clone()).collect();
        let now = clock::now();
        let report = logs::read_new(ground.engine, &containers, ground.docker, None, self.logs, now);
        self.tell(&report, ground);
        let watched = self.watched();
        if let Some((source, signature)) = watched {
            self.errors = match counted {
                Counted::None => self.errors,
                Counted::New => {
                    let of_source = report.by_source.get(source);
                    self.errors + of_source.and_then(|s| s.get(signature)).copied().unwrap_or(0)
                }
                Counted::Since(since) => count(&report, source, signature, since.t, now),
            };
            let gap = report.gaps.iter().find(|gap| gap.source == source);
            self.lost =
                self.lost.take().or_else(|| gap.map(|gap| format!("lines of {source} were lost: {}", gap.reason)));
        }
        let mut sample = Sample {
            at,
            errors: self.errors,
            statuses: statuses(&checks, &self.intent.plan.validation.checks),
            trigger_gone: trigger_gone(&self.intent.plan.validation.watched, &checks),
            blind: watched.and_then(|(source, _)| unreadable(source, &report, ground)),
            lost: self.lost.clone(),
            worse: elsewhere::crashed(&self.others(), &containers).or_else(|| self.rose(&report, now)),
            ..Sample::default()
        };
        self.look_at_services(&mut sample, &checks, ground);
        (sample, checks)
    }

    fn watched(&self) -> Option<(&'a str, &'a str)> {
        match &self.intent.plan.validation.watched {
            Watched::Log { source, signature, .. } => Some((source, signature)),
            _ => None,
        }
    }

    fn rose(&self, report: &LogReport, now: Timestamp) -> Option<String> {
        let moments =
            Moments { charged: self.intent.started.t.as_second(), begun: self.begun.as_second(), now: now.as_second() };
        elsewhere::rose(&report.tallies, self.watched(), moments)
    }

    /// Restarts of the containers that are not the fix's own.
    fn others(&self) -> Restarts {
        let own = |name: &String| self.services.contains(&RestartTarget::Container(name.clone()));
        self.restarts.iter().filter(|(name, _)| !own(name)).map(|(name, seen)| (name.clone(), seen.clone())).collect()
    }

    fn look_at_services(&self, sample: &mut Sample, checks: &[CheckResult], ground: &Ground) {
        for target in &self.services {
            let now = match alive(target, checks, ground) {
                Ok(now) => now,
                Err(error) => {
                    sample.blind.get_or_insert(format!("whether {target} runs is not known: {error:#}"));
                    continue;
                }
            };
            let begun = self.runs.iter().find(|r| r.target == *target).and_then(|r| r.run.as_ref());
            // A job whose log is watched need not run all the time.
            let has_to_run = begun.is_some() || self.intent.restarts.iter().any(|r| r.target == *target);
            if now.up == Some(false) && has_to_run {
                sample.dead.get_or_insert(format!("{target} does not run"));
            }
            if now.run.as_ref().zip(begun).is_some_and(|(now, begun)| now != begun) {
                sample.started_anew.get_or_insert(format!("{target} was started once more while it was watched"));
            }
        }
    }

    /// What was read here is in no later report: errors of other logs are told before the cursors move past them.
    fn tell(&self, report: &LogReport, ground: &mut Ground) {
        let watched = self.watched().map(|(source, _)| source);
        let others = report.groups.iter().filter(|g| g.sources.iter().any(|s| Some(s.as_str()) != watched));
        for group in others.take(MAX_TOLD) {
            ground.tell.event(
                "errors",
                serde_json::json!({
                    "group": group.id, "template": group.template, "count": group.count, "severity": group.severity,
                    "signatures": group.signatures, "sources": group.sources, "new": group.new, "first": group.first,
                    "last": group.last, "example": group.example, "fix_id": self.intent.fix_id,
                }),
            );
        }
    }
}

/// Groups told of one look at most.
const MAX_TOLD: usize = 50;

fn count(report: &LogReport, source: &str, signature: &str, since: Timestamp, now: Timestamp) -> u64 {
    let of_watched = report.tallies.iter().filter(|t| t.source == source && t.signature == signature);
    of_watched.map(|t| t.count(since.as_second(), now.as_second())).sum()
}

/// The services whose silence would look like success: those that the fix restarts, and the one whose log is watched.
fn services(intent: &Intent, ground: &Ground) -> Vec<RestartTarget> {
    let mut services: Vec<RestartTarget> = intent.restarts.iter().map(|r| r.target.clone()).collect();
    let of_log = match &intent.plan.validation.watched {
        Watched::Log { source, .. } => match source.split_once(':') {
            Some(("container", name)) => Some(RestartTarget::Container(name.to_owned())),
            Some(("journal", name)) => logs::unit_of(ground.engine, name).map(RestartTarget::Unit),
            _ => None,
        },
        _ => None,
    };
    services.extend(of_log.filter(|target| !services.contains(target)));
    services
}

/// As the Docker check has just listed it, else asked for.
fn alive(target: &RestartTarget, checks: &[CheckResult], ground: &Ground) -> anyhow::Result<Alive> {
    if let RestartTarget::Container(name) = target
        && let Some(listed) = checks.iter().flat_map(|c| &c.containers).find(|c| c.name == *name)
    {
        let up = listed.state == ContainerState::Running;
        let run = listed.started_at.filter(|_| up).map(|started| format!("{} {started}", listed.id));
        return Ok(Alive { up: Some(up), run });
    }
    alive::look(target, ground.docker)
}

/// Why the watched log cannot be read now.
fn unreadable(source: &str, report: &LogReport, ground: &Ground) -> Option<String> {
    let problem = report.problems.iter().find(|p| p.source == source).map(|p| p.message.clone());
    let missing = || logs::missing(ground.engine, source);
    problem.or_else(missing).map(|why| format!("{source} cannot be read: {why}"))
}

/// Whether what fired is gone; `None` for logs, and where nothing can be said: a check that broke or did not run, an engine
/// that does not answer.
pub fn trigger_gone(watched: &Watched, checks: &[CheckResult]) -> Option<bool> {
    let check = |name: &str| checks.iter().find(|c| c.name == name && c.status != Status::Unknown);
    match watched {
        Watched::Log { .. } => None,
        Watched::Check { name } => Some(check(name)?.status == Status::Healthy),
        Watched::Container { name } => {
            let engine = checks.iter().find(|c| c.kind == CheckKind::Docker && c.connected != Some(false))?;
            let container = engine.containers.iter().find(|c| c.name == *name);
            Some(container.is_some_and(|c| c.status == Status::Healthy && is_up(c)))
        }
        Watched::Metric { check: name, metric, above, below } => {
            let value = check(name)?.metric(metric);
            Some(value.is_some_and(|v| !crate::diagnose::streaks::beyond(v, *above, *below)))
        }
    }
}

/// Running, and not merely waiting for its own health check.
fn is_up(container: &Container) -> bool {
    container.state == ContainerState::Running && container.health != Some(crate::model::ContainerHealth::Starting)
}
