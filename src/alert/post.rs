//! The post office of a pass: every notifier at its own pace, beside the pass and beside each other.
//!
//! What is to be told is spooled first. A notifier that fails is tried again with growing pauses; one that stays silent
//! costs the pass a moment before a fix and [`BUDGET`] at its end, never more, and the others nothing. What is left goes
//! with the next pass.

use crate::ack;
use crate::alert::notifier::{self, Failure, Named, Notifier};
use crate::alert::spool::Spool;
use crate::alert::{Alert, journald};
use crate::config::{AlertKind, Engine, Redactor};
use crate::diagnose::rules::shown;
use crate::host::clock;
use crate::state::StateDir;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long after the last alert a pass still waits for it to be taken.
const BUDGET: Duration = Duration::from_secs(10);
/// For one try.
const ATTEMPT: Duration = Duration::from_secs(8);
/// What a pass waits before it goes on: time enough for a notifier that is well.
const MOMENT: Duration = Duration::from_secs(1);
/// Between the tries of one alert.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// An alert that comes later than this says so.
const LATE: Duration = Duration::from_secs(60);

/// Where a pass hands in what is to be told.
pub struct Post {
    shared: Arc<Shared>,
    notifiers: Vec<Named>,
    on: Vec<AlertKind>,
    redactor: Redactor,
    started: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    spool: Spool,
    /// Until when tries may last.
    until: Instant,
    /// Those who have something to do or are at it.
    busy: BTreeSet<String>,
    /// What went wrong last, by notifier; nothing once it works.
    failed: BTreeMap<String, String>,
    problems: Vec<String>,
    /// Counts what was handed in: who has given up looks again.
    round: u64,
}

impl Post {
    /// Everybody who is to be told, and what an earlier pass could not tell them.
    pub fn open(engine: &Engine, dir: &StateDir) -> Post {
        let notifiers = notifier::all(&engine.alerts);
        let (mut spool, problems) = Spool::load(dir.alerts(), &names(&notifiers), clock::now());
        // Acknowledgements that cannot be read silence nothing; the pass tells that by itself.
        spool.forget_seen(&ack::read(&dir.acks(), &clock::moment()).unwrap_or_default());
        let state =
            State { spool, until: Instant::now(), busy: BTreeSet::new(), failed: BTreeMap::new(), problems, round: 0 };
        Post {
            shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }),
            notifiers,
            on: engine.alerts.on.clone(),
            redactor: engine.redactor.clone(),
            started: false,
        }
    }

    /// Tells the journal, and everybody else what waits and what is new; returns once it was taken, or after a moment.
    pub fn send(&mut self, alerts: &[Alert]) {
        alerts.iter().for_each(journald::tell);
        let wanted: Vec<&Alert> = alerts.iter().filter(|a| self.on.contains(&a.kind)).collect();
        let names = names(&self.notifiers);
        let mut state = self.shared.lock();
        if !wanted.is_empty() && !names.is_empty() {
            let given_up = state.spool.add(&wanted, &names, clock::now());
            state.problems.extend(given_up);
        }
        if !wanted.is_empty() && !names.is_empty() || state.spool.is_changed() {
            state.save(true);
        }
        state.busy = names.into_iter().filter(|name| state.spool.count_of(name) > 0).collect();
        if state.busy.is_empty() {
            return;
        }
        state.until = Instant::now() + BUDGET;
        state.round += 1;
        drop(state);
        self.start();
        self.shared.changed.notify_all();
        self.shared.wait_until_idle(Instant::now() + MOMENT);
    }

    /// Waits for what was handed in, as long as the budget lasts; says what was not told.
    pub fn finish(self) -> Vec<String> {
        // A try that began within the budget ends with it; what hangs for longer is left alone.
        let until = self.shared.lock().until + Duration::from_millis(500);
        self.shared.wait_until_idle(until);
        let mut state = self.shared.lock();
        let mut problems = std::mem::take(&mut state.problems);
        for (name, _) in &self.notifiers {
            let count = state.spool.count_of(name);
            if count > 0 {
                let why = state.failed.get(name).map_or("no answer in time", String::as_str);
                let what = if count == 1 { "the alert waits".to_owned() } else { format!("{count} alerts wait") };
                problems.push(format!("{name} could not be told: {why} ({what} for the next pass)"));
            }
        }
        problems.iter().map(|problem| self.redactor.redact(problem).into_owned()).collect()
    }

    /// One thread for each, never waited for: one that hangs must not keep the process.
    fn start(&mut self) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        for (name, notifier) in &self.notifiers {
            let (shared, own, notifier) = (Arc::clone(&self.shared), name.clone(), Arc::clone(notifier));
            let work = move || serve(&shared, &own, notifier.as_ref());
            if let Err(error) = std::thread::Builder::new().name("notifier".into()).spawn(work) {
                let mut state = self.shared.lock();
                state.failed.insert(name.clone(), format!("no thread can be started: {error}"));
                state.busy.remove(name);
            }
        }
    }
}

fn names(notifiers: &[Named]) -> BTreeSet<String> {
    notifiers.iter().map(|(name, _)| name.clone()).collect()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_idle(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let busy = |state: &mut State| !state.busy.is_empty();
        drop(self.changed.wait_timeout_while(self.lock(), left, busy));
    }
}

impl State {
    fn save(&mut self, synced: bool) {
        if let Err(error) = self.spool.save(synced) {
            let problem = format!("{error:#}");
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }
}

/// One notifier's thread: in each round everything that waits for it, in order, until it fails for good.
fn serve(shared: &Shared, name: &str, notifier: &dyn Notifier) {
    let mut seen = 0;
    loop {
        let state = shared.lock();
        let Ok(state) = shared.changed.wait_while(state, |state| state.round == seen) else { return };
        seen = state.round;
        drop(state);
        tell_all(shared, name, notifier);
        let mut state = shared.lock();
        // What was handed in meanwhile is of the next round.
        if state.round == seen {
            state.busy.remove(name);
            shared.changed.notify_all();
        }
    }
}

fn tell_all(shared: &Shared, name: &str, notifier: &dyn Notifier) {
    let mut refused = BTreeSet::new();
    loop {
        let next = shared.lock().spool.next_of(name, &refused).cloned();
        let Some(waiting) = next else { return };
        let late = clock::between(waiting.t, clock::now());
        let alert = Alert { delayed: (late > LATE).then(|| shown(late)), ..waiting.alert };
        match tell_one(shared, notifier, &alert) {
            Ok(()) => {
                let mut state = shared.lock();
                state.spool.delivered(name, waiting.id);
                state.failed.remove(name);
                state.save(false);
            }
            Err(failure) => {
                shared.lock().failed.insert(name.to_owned(), failure.why().to_owned());
                if !matches!(failure, Failure::Refused(_)) {
                    return;
                }
                refused.insert(waiting.id);
            }
        }
    }
}

/// Tries until it is taken, is refused, or the time is over.
fn tell_one(shared: &Shared, notifier: &dyn Notifier, alert: &Alert) -> Result<(), Failure> {
    let left = || shared.lock().until.saturating_duration_since(Instant::now());
    let mut pauses = PAUSES.into_iter();
    loop {
        let within = left().min(ATTEMPT);
        if within.is_zero() {
            return Err(Failure::Later("no time was left".to_owned()));
        }
        let failure = match notifier.send(alert, within) {
            Err(Failure::Soon(why)) => Failure::Soon(why),
            other => return other,
        };
        match pauses.next() {
            Some(pause) if pause < left() => std::thread::sleep(pause),
            _ => return Err(failure),
        }
    }
}

/// How one notifier took a test.
#[derive(Debug, Clone)]
pub struct Tested {
    pub name: String,
    pub took: Duration,
    /// Why it was not taken.
    pub why: Option<String>,
}

/// Sends an alert to everybody, once, all at the same time, whatever `on` says. Nothing is spooled.
pub fn test(engine: &Engine, alert: &Alert) -> Vec<Tested> {
    journald::tell(alert);
    let begin = Instant::now();
    let sent: Vec<_> = notifier::all(&engine.alerts)
        .into_iter()
        .map(|(name, notifier)| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let alert = alert.clone();
            let work = move || {
                let begin = Instant::now();
                let _ = sender.send((notifier.send(&alert, ATTEMPT), begin.elapsed()));
            };
            let started = std::thread::Builder::new().name("notifier".into()).spawn(work);
            (name, started.map(|_| receiver))
        })
        .collect();
    let until = begin + BUDGET;
    let wait = |name: String, started: std::io::Result<std::sync::mpsc::Receiver<(Result<(), Failure>, Duration)>>| {
        let (result, took) = match started {
            Ok(receiver) => receiver
                .recv_timeout(until.saturating_duration_since(Instant::now()))
                .unwrap_or_else(|_| (Err(Failure::Later("no answer in time".to_owned())), begin.elapsed())),
            Err(error) => (Err(Failure::Later(format!("no thread can be started: {error}"))), Duration::ZERO),
        };
        let why = result.err().map(|failure| engine.redactor.redact(failure.why()).into_owned());
        Tested { name: engine.redactor.redact(&name).into_owned(), took, why }
    };
    sent.into_iter().map(|(name, started)| wait(name, started)).collect()
}
