//! What is remembered from pass to pass, one look at the world, and the gate's word on what it showed.

use crate::alert::Post;
use crate::attempts::{self, Attempts};
use crate::config::{Engine, Rule};
use crate::fix::act::Means;
use crate::fix::{present, restart};
use crate::host::docker::Docker;
use crate::host::signals::Interrupt;
use crate::host::{clock, files};
use crate::incidents;
use crate::learn::{self, Aging, Knowledge};
use crate::logs::{self, LogState};
use crate::model::{Analysis, CheckResult, Container, Labelling, LogReport, Moment, RestartTarget, Status, TargetFile};
use crate::observe;
use crate::pass::judging::{self, Around, Given};
use crate::pass::{Judged, Options, stop_file};
use crate::pause::{self, Pause};
use crate::plan::{self, FileMounts, Present, Services, TargetFiles};
use crate::state::{self, Memory, StateDir};
use crate::transaction::{Ground, Tell};
use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// What one look at the world gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sight {
    pub checks: Vec<CheckResult>,
    pub logs: LogReport,
    pub now: Moment,
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
    /// Opened with the first alert, or to send on what an earlier pass could not.
    pub post: Option<Post>,
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
        let docker = engine.docker().and_then(|(check, probe)| {
            match Docker::connect(&probe.socket, probe.tls.as_ref(), check.timeout) {
                Ok(docker) => Some(docker),
                Err(error) => {
                    problems.push(format!("docker: {error}"));
                    None
                }
            }
        });
        World { engine, dir, docker, memory, log_state, problems, post: None }
    }

    /// Runs every check and reads what is new in the logs.
    pub fn look(&mut self, span: Duration) -> Sight {
        let now = clock::now();
        let (checks, samples) = observe::run(self.engine, &[], &self.memory.samples, now);
        self.memory.samples = samples;
        let containers: Vec<Container> = checks.iter().flat_map(|c| c.containers.clone()).collect();
        // Read after the checks have run: `now` is the moment up to which events count.
        let now = clock::moment();
        let Memory { incidents, closed, streaks, .. } = &mut self.memory;
        streaks.flapping = incidents::flapping(incidents, closed, &now);
        let logs = logs::read_new(self.engine, &containers, self.docker.as_ref(), None, &mut self.log_state, now.t);
        let since = jiff::SignedDuration::try_from(span).ok().and_then(|s| now.t.checked_sub(s).ok()).unwrap_or(now.t);
        Sight { checks, logs, now, since }
    }

    /// Concludes from one look.
    pub fn diagnose(&self, sight: &Sight, history: &History) -> Analysis {
        judging::diagnose(Given { engine: self.engine, sight, streaks: &self.memory.streaks, history })
    }

    /// The pauses in force. One that cannot be read holds everything: it must not be taken for none.
    pub(super) fn pauses(&mut self, now: &Moment) -> Vec<Pause> {
        pause::read(&self.dir.pauses(), now).unwrap_or_else(|error| {
            let unreadable = Pause {
                since: now.clone(),
                seconds: u64::MAX,
                reason: format!("{error:#}"),
                by: "healer".to_owned(),
                rule: None,
            };
            vec![unreadable]
        })
    }

    /// What the labels of containers say now.
    pub(super) fn labels(&self) -> Labelling {
        match self.docker.as_ref().map(Docker::labelled) {
            None => Labelling::default(),
            Some(Ok(mut containers)) => {
                let resolved = |path: &PathBuf| std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                for container in &mut containers {
                    container.binds = container.binds.iter().map(resolved).collect();
                }
                Labelling { containers, unread: None }
            }
            Some(Err(error)) => Labelling { containers: Vec::new(), unread: Some(error.to_string()) },
        }
    }

    pub(super) fn ground<'g>(&'g self, interrupt: &'g Interrupt, tell: &'g mut dyn Tell) -> Ground<'g> {
        Ground { engine: self.engine, dir: &self.dir, docker: self.docker.as_ref(), interrupt, tell }
    }
}

/// What was tried before, and what came of it.
#[derive(Default)]
pub struct History {
    pub knowledge: Knowledge,
    pub attempts: Attempts,
    /// What `attempts` was folded from.
    pub attempts_text: Vec<u8>,
}

impl History {
    /// Reads it, if there is anything to judge at all: a healthy pass does not read a large knowledge base.
    ///
    /// # Errors
    /// When limits or history are there and cannot be read: without them nothing may be done.
    pub fn read(world: &World, sight: &Sight) -> Result<Self> {
        let trouble = state::overall(&sight.checks) != Status::Healthy || !sight.logs.tallies.is_empty();
        if !trouble {
            return Ok(History::default());
        }
        let attempts_text = attempts::read_text(&world.dir.attempts())?;
        let aging = Aging { now: sight.now.t, half_life: world.engine.learning.half_life };
        let knowledge = learn::read_aged(world.dir.knowledge_base(), aging)?;
        Ok(History {
            knowledge: knowledge.with_self_recovery(world.memory.unaided.by_issue.clone()),
            attempts: attempts::fold(&attempts_text),
            attempts_text,
        })
    }
}

/// The gate's word on every diagnosis, in their order.
pub fn judge(
    world: &mut World,
    sight: &Sight,
    analysis: &Analysis,
    history: &History,
    options: &Options,
) -> (Vec<Judged>, Around) {
    let around = look_around(world, sight, analysis);
    let given = Given { engine: world.engine, sight, streaks: &world.memory.streaks, history };
    (judging::judge(given, analysis, &around, options), around)
}

/// Looks at everything that the fixes of the rules which fired would touch.
fn look_around(world: &mut World, sight: &Sight, analysis: &Analysis) -> Around {
    let mut around = Around {
        stop: stop_file(world.engine),
        pauses: world.pauses(&sight.now),
        local: local_time(world.engine, sight.now.t),
        ..Around::default()
    };
    if analysis.diagnoses.iter().any(|diagnosis| diagnosis.rule.is_some()) {
        around.labels = world.labels();
    }
    for diagnosis in &analysis.diagnoses {
        let Some(rule) = diagnosis.rule.as_deref().and_then(|name| world.engine.rule(name)) else { continue };
        let targets = read_targets(rule, world, &sight.now);
        let mounts = file_mounts(world, &targets);
        let means = Means { engine: world.engine, docker: world.docker.as_ref() };
        let present = present::look(rule, diagnosis.container(), means);
        around.services.extend(look_at_services(world, rule, diagnosis.container(), &mounts, &present));
        around.present.extend(present);
        around.files.extend(targets);
        around.mounts.extend(mounts);
    }
    around
}

/// The time of day, where a maintenance window asks for it: finding the time zone can mean reading a whole database.
fn local_time(engine: &Engine, now: Timestamp) -> jiff::civil::DateTime {
    if engine.maintenance.is_empty() { jiff::civil::DateTime::default() } else { clock::local(now) }
}

fn read_targets(rule: &Rule, world: &mut World, now: &Moment) -> TargetFiles {
    plan::files_of(rule)
        .map(|path| {
            let target = files::snapshot(path).and_then(|s| {
                files::check_replaceable(&s.path)?;
                let age = world.memory.age_of(&s, now);
                Ok(TargetFile { path: s.path, bytes: s.bytes, sha256: s.sha256, age })
            });
            (path.clone(), target.map_err(|e| e.to_string()))
        })
        .collect()
}

/// Which running containers mount a target by itself. An engine that does not answer is a finding of its own check.
fn file_mounts(world: &World, targets: &TargetFiles) -> FileMounts {
    let Some(docker) = world.docker.as_ref().filter(|d| d.is_local() && !targets.is_empty()) else {
        return FileMounts::new();
    };
    let mut mounts = FileMounts::new();
    for (container, source) in docker.bind_mounts().unwrap_or_default() {
        let source = std::fs::canonicalize(&source).unwrap_or(source);
        if targets.values().flatten().any(|target| target.path == source) {
            mounts.entry(source).or_default().push(container);
        }
    }
    mounts
}

/// Every service that a fix of the rule would restart, and the container that the trouble was seen in, as it is now.
fn look_at_services(
    world: &World,
    rule: &Rule,
    container: Option<&str>,
    mounts: &FileMounts,
    present: &Present,
) -> Services {
    let seen_in = container.map(|name| RestartTarget::Container(name.to_owned()));
    let restarts = plan::restarts_of(rule, container, mounts, present);
    let all: BTreeSet<RestartTarget> = restarts.into_iter().chain(seen_in).collect();
    all.into_iter()
        .map(|target| {
            let service = restart::look(&target, world.docker.as_ref()).map_err(|e| format!("{e:#}"));
            (target, service)
        })
        .collect()
}
