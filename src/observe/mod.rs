//! Health checks: the trait, the one table of them, and running all at the same time.
//!
//! Lives here: what all checks share. Adding a check: one file, one line in [`of`], its test. May not live here:
//! anything that changes the world, or what a finding means for a rule.

mod command;
mod docker;
mod host;
mod http;
mod pending;
mod postgres;
mod redis;
mod samples;
mod tcp;

pub use crate::text::clean;
pub use samples::{ContainerSample, DockerSample, HostSample, Samples};

use crate::config::{CheckSpec, Engine, Levels, Probe};
use crate::model::{CheckKind, CheckResult, Container, Metric, Status};
use jiff::Timestamp;
use samples::Sample;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// One kind of health check, made for one component.
trait Check: Send {
    /// Where it looks, for messages: an address or a name, nothing secret.
    fn target(&self) -> String;

    /// Looks once. Should be back within the moment's time-out; is given up soon after it. `None`: the component is not
    /// here and nobody asked for it.
    fn look(&self, moment: &Moment) -> Option<Seen>;
}

/// The table: which check looks at which probe.
fn of(probe: &Probe) -> (CheckKind, Box<dyn Check>) {
    match probe {
        Probe::Docker(p) => (CheckKind::Docker, Box::new(docker::DockerCheck(p.clone()))),
        Probe::Postgres(p) => (CheckKind::Postgres, Box::new(postgres::PostgresCheck(p.clone()))),
        Probe::Redis(p) => (CheckKind::Redis, Box::new(redis::RedisCheck(p.clone()))),
        Probe::Http(p) => (CheckKind::Http, Box::new(http::HttpCheck(p.clone()))),
        Probe::Tcp { address } => (CheckKind::Tcp, Box::new(tcp::TcpCheck { address: address.clone() })),
        Probe::Command { argv } => (CheckKind::Command, Box::new(command::CommandCheck { argv: argv.clone() })),
        Probe::Host(p) => (CheckKind::Host, Box::new(host::HostCheck(p.clone()))),
    }
}

/// When a check looks, how long it may, and what was there before.
struct Moment {
    now: Timestamp,
    started: Instant,
    timeout: Duration,
    previous: Arc<Samples>,
}

impl Moment {
    /// Time that is left of the check's time-out.
    fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.started.elapsed())
    }

    /// The finding of a component that says nothing.
    fn silent(&self, target: &str) -> Seen {
        Seen::down(no_answer(self.timeout, target))
    }
}

fn no_answer(timeout: Duration, target: &str) -> String {
    format!("no answer within {timeout:?} from {target}")
}

/// What a check saw.
#[derive(Debug)]
struct Seen {
    status: Status,
    message: String,
    connected: Option<bool>,
    metrics: Vec<Metric>,
    containers: Vec<Container>,
    sample: Option<Sample>,
}

impl Seen {
    fn new(status: Status, message: impl Into<String>, connected: Option<bool>) -> Seen {
        Seen { status, message: message.into(), connected, metrics: Vec::new(), containers: Vec::new(), sample: None }
    }

    /// A component that does not answer as it should.
    fn down(message: impl Into<String>) -> Seen {
        Seen::new(Status::Critical, message, Some(false))
    }
}

/// Looks with every check, or with those named in `only`, at the same time, each on a thread of its own. Results are in
/// the order of the configuration; the samples are what the next pass compares with. A check past its time-out is
/// critical and its thread is left behind; one that panics is unknown.
pub fn run(engine: &Engine, only: &[String], previous: &Samples, now: Timestamp) -> (Vec<CheckResult>, Samples) {
    let previous = Arc::new(previous.clone());
    let (sender, receiver) = channel();
    let wanted = engine.checks.iter().filter(|spec| only.is_empty() || only.contains(&spec.name));
    let mut running: Vec<Running<'_>> = wanted
        .enumerate()
        .map(|(index, spec)| start(index, spec, of(&spec.probe), sender.clone(), Arc::clone(&previous), now))
        .collect();
    drop(sender);
    await_all(&mut running, &receiver);

    let mut samples = (*previous).clone();
    let results = running.into_iter().filter_map(|check| check.result(&mut samples, engine)).collect();
    (results, samples)
}

/// What a check's thread sends back: its place, what it saw (`Err`: it panicked), how long it took.
type Report = (usize, Result<Option<Seen>, String>, Duration);

struct Running<'a> {
    spec: &'a CheckSpec,
    kind: CheckKind,
    target: String,
    given_up_at: Instant,
    answer: Option<(Result<Option<Seen>, String>, Duration)>,
}

/// Over how long use of the CPU is watched when nothing is known from before.
const WATCH: Duration = Duration::from_secs(1);

/// A check ends itself at its time-out with the better message; this much later it is given up.
const GRACE: Duration = Duration::from_millis(100);

/// Enough for TLS handshakes in builds without optimisation; only pages that are touched cost memory.
const STACK: usize = 512 << 10;

fn start<'a>(
    index: usize,
    spec: &'a CheckSpec,
    (kind, check): (CheckKind, Box<dyn Check>),
    sender: Sender<Report>,
    previous: Arc<Samples>,
    now: Timestamp,
) -> Running<'a> {
    let target = check.target();
    let started = Instant::now();
    let moment = Moment { now, started, timeout: spec.timeout, previous };
    let look = move || {
        let seen = catch_unwind(AssertUnwindSafe(|| check.look(&moment))).map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
        });
        // Nobody listens any more when this check was given up.
        let _ = sender.send((index, seen, started.elapsed()));
    };
    let thread = std::thread::Builder::new().name(format!("check {}", spec.name)).stack_size(STACK).spawn(look);
    let answer = thread.err().map(|e| (Err(format!("cannot start a thread: {e}")), Duration::ZERO));
    Running { spec, kind, target, given_up_at: started + spec.timeout + GRACE, answer }
}

/// Takes in reports until every check has answered or been given up.
fn await_all(running: &mut [Running<'_>], receiver: &Receiver<Report>) {
    while let Some(until) = running.iter().filter(|c| c.answer.is_none()).map(|c| c.given_up_at).max() {
        let left = until.saturating_duration_since(Instant::now());
        let Ok((index, seen, took)) = receiver.recv_timeout(left) else { return };
        // Too late is no answer, even where another check is still being waited for.
        if let Some(check) = running.get_mut(index).filter(|c| took <= c.spec.timeout + GRACE) {
            check.answer = Some((seen, took));
        }
    }
}

impl Running<'_> {
    fn result(self, samples: &mut Samples, engine: &Engine) -> Option<CheckResult> {
        let (seen, took) = match self.answer {
            Some((Ok(seen), took)) => (seen?, took),
            Some((Err(panic), took)) => {
                (Seen::new(Status::Unknown, format!("the check itself broke: {panic}"), None), took)
            }
            None => (Seen::down(no_answer(self.spec.timeout, &self.target)), self.spec.timeout),
        };
        if let Some(sample) = seen.sample {
            samples.take(sample);
        }
        Some(CheckResult {
            name: self.spec.name.clone(),
            kind: self.kind,
            status: seen.status,
            message: clean(&engine.redactor.redact(&seen.message)),
            connected: seen.connected,
            metrics: seen.metrics,
            duration_ms: milliseconds(took),
            containers: seen.containers,
            depends_on: self.spec.depends_on.clone(),
        })
    }
}

/// Milliseconds, to a thousandth.
fn milliseconds(of: Duration) -> f64 {
    (of.as_secs_f64() * 1e6).round() / 1e3
}

/// The status of a value that is bad when it is high: at or above a level.
fn high(value: f64, levels: Levels) -> Status {
    grade(levels, |level| value >= level)
}

/// The status of a value that is bad when it is low: at or below a level.
fn low(value: f64, levels: Levels) -> Status {
    grade(levels, |level| value <= level)
}

fn grade(levels: Levels, reached: impl Fn(f64) -> bool) -> Status {
    if levels.critical.is_some_and(&reached) {
        Status::Critical
    } else if levels.warning.is_some_and(&reached) {
        Status::Warning
    } else {
        Status::Healthy
    }
}

/// A metric with the levels it was held against.
/// What a check can measure; a name that ends with `:` stands for all that begin so. `None` where only it knows.
pub fn metrics_of(probe: &Probe) -> Option<Vec<String>> {
    let words = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    Some(match probe {
        Probe::Docker(_) => words(&["containers_running", "containers_total"]),
        Probe::Host(_) => words(&["cpu_percent", "memory_percent", "disk_percent", "disk_percent:"]),
        Probe::Postgres(probe) => {
            let queries = probe.queries.iter().map(|q| format!("query_{}", q.name));
            words(&["latency_ms", "connections", "connections_percent"]).into_iter().chain(queries).collect()
        }
        Probe::Redis(probe) => {
            let queues = probe.queues.iter().map(|q| format!("queue_{}", q.key));
            words(&["latency_ms", "memory_percent"]).into_iter().chain(queues).collect()
        }
        Probe::Http(probe) if probe.url.reveal().starts_with("https:") => {
            words(&["response_time_ms", "status_code", "certificate_days"])
        }
        Probe::Http(_) => words(&["response_time_ms", "status_code"]),
        Probe::Tcp { .. } => words(&["latency_ms"]),
        Probe::Command { .. } => return None,
    })
}

fn metric(name: impl Into<String>, value: f64, unit: crate::model::Unit, levels: Levels) -> Metric {
    Metric { warning: levels.warning, critical: levels.critical, ..Metric::new(name, value, unit) }
}

/// The worst of several verdicts, and the words of every one that is as bad; `fine` where none is red.
fn verdict(parts: Vec<(Status, String)>, fine: String) -> (Status, String) {
    let worst = parts.iter().map(|(status, _)| *status).max().unwrap_or(Status::Healthy);
    if worst == Status::Healthy {
        return (worst, fine);
    }
    let words: Vec<String> = parts.into_iter().filter(|(status, _)| *status == worst).map(|(_, words)| words).collect();
    (worst, words.join("; "))
}

#[cfg(test)]
mod tests;
