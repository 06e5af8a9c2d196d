//! The steps that change no file: what each would change, from which value to which, as data that a journal can undo.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the live world holds of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    Before,
    After,
    /// Neither: somebody else has changed it.
    Foreign,
}

/// A value of the engine's, from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub old: i64,
    pub new: i64,
}

/// CPUs in billionths; `period` is there where the container is bounded by a quota of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuLimit {
    pub old: i64,
    pub new: i64,
    pub period: Option<i64>,
}

/// Other limits of a container, changed while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResizeStep {
    pub container: String,
    /// Bytes.
    pub memory: Option<Limit>,
    /// Memory and swap together, in bytes; moves with the memory. -1: without end.
    pub swap: Option<Limit>,
    pub cpus: Option<CpuLimit>,
}

/// The limits of a container now; 0 where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerLimits {
    pub memory: i64,
    pub memory_swap: i64,
    pub nano_cpus: i64,
    pub cpu_quota: i64,
    pub cpu_period: i64,
}

/// Another program, by an argument list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStep {
    pub argv: Vec<String>,
    /// Puts back what `argv` did, whole, half or not at all.
    pub undo: Option<Vec<String>>,
    pub timeout_seconds: u64,
}

/// What is done with sessions of a PostgreSQL server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionAction {
    TerminateIdleInTransaction,
    CancelQueries,
}

/// Ends sessions, or cancels what they do; the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresStep {
    /// The check whose server it is.
    pub check: String,
    pub action: SessionAction,
    pub over_seconds: u64,
    /// Sessions in one fix.
    pub max: u32,
    /// Only sessions of these roles; empty: of every role that is no superuser.
    pub users: Vec<String>,
}

/// A session that a [`PostgresStep`] is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub pid: i32,
    pub user: String,
    pub application: String,
    pub seconds: f64,
}

/// One setting of a Redis server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisStep {
    /// The check whose server it is.
    pub check: String,
    pub key: String,
    pub old: String,
    pub new: String,
}

/// A compose service, with what its containers' labels say of where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Recreation {
    pub project: String,
    pub service: String,
    pub files: Vec<PathBuf>,
    pub env_files: Vec<PathBuf>,
    pub directory: Option<PathBuf>,
    /// The containers that it has now.
    pub containers: Vec<String>,
}

/// A container that compose made, by its labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeContainer {
    pub name: String,
    pub service: String,
    pub number: u32,
    /// Service and condition (`service_started`, `service_healthy`, `service_completed_successfully`).
    pub depends_on: Vec<(String, String)>,
    pub files: Vec<PathBuf>,
    pub env_files: Vec<PathBuf>,
    pub directory: Option<PathBuf>,
}

impl Limit {
    fn inverse(self) -> Limit {
        Limit { old: self.new, new: self.old }
    }

    /// What a value is to this change.
    pub fn live(self, now: i64) -> Live {
        live(now == self.old, now == self.new)
    }
}

fn live(is_old: bool, is_new: bool) -> Live {
    match (is_new, is_old) {
        (true, _) => Live::After,
        (_, true) => Live::Before,
        _ => Live::Foreign,
    }
}

impl ResizeStep {
    /// What the limits now are to this change; of the memory and of the CPUs only what it changes.
    pub fn live(&self, now: &ContainerLimits) -> Live {
        let memory = self.memory.map(|m| m.live(now.memory));
        let cpus = self.cpus.map(|c| Limit { old: c.old, new: c.new }.live(now.cpus()));
        match (memory, cpus) {
            (Some(a), Some(b)) if a != b => Live::Foreign,
            (one, other) => one.or(other).unwrap_or(Live::After),
        }
    }

    fn inverse(&self) -> ResizeStep {
        let cpus = self.cpus.map(|c| CpuLimit { old: c.new, new: c.old, ..c });
        let inverse = |limit: Option<Limit>| limit.map(Limit::inverse);
        ResizeStep { container: self.container.clone(), memory: inverse(self.memory), swap: inverse(self.swap), cpus }
    }

    fn words(&self) -> String {
        let memory = self.memory.map(|m| format!("memory {} -> {}", bytes(m.old), bytes(m.new)));
        let cpus = self.cpus.map(|c| format!("cpus {} -> {}", c.old as f64 / BILLION, c.new as f64 / BILLION));
        let changes: Vec<String> = memory.into_iter().chain(cpus).collect();
        format!("resize container:{}: {}", self.container, changes.join(", "))
    }
}

impl ContainerLimits {
    /// In billionths, however they are bounded; 0 where they are not.
    pub fn cpus(&self) -> i64 {
        if self.nano_cpus != 0 || self.cpu_quota <= 0 {
            return self.nano_cpus;
        }
        let nanos = i128::from(self.cpu_quota) * BILLION as i128 / i128::from(self.period());
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }

    /// Of the quota, in microseconds: the kernel's own where none is said.
    pub fn period(&self) -> i64 {
        if self.cpu_period > 0 { self.cpu_period } else { 100_000 }
    }
}

const BILLION: f64 = 1e9;

/// `512MiB` where that is exact enough to be read, else bytes.
fn bytes(value: i64) -> String {
    let mib = value as f64 / 1_048_576.0;
    if value % 1_048_576 == 0 { format!("{mib}MiB") } else { format!("{mib:.2}MiB ({value} bytes)") }
}

impl RedisStep {
    /// What a value is to this change.
    pub fn live(&self, now: &str) -> Live {
        live(now == self.old, now == self.new)
    }
}

/// A value that stands in no file, moved by a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// `container:NAME` or `redis:CHECK`.
    pub place: String,
    pub at: String,
    pub old: String,
    pub new: String,
}

/// CPUs in billionths as a decimal number, always with a point.
pub fn cpus(billionths: i64) -> String {
    format!("{:?}", billionths as f64 / BILLION)
}

/// Said wherever such a step is shown.
pub const CANNOT_BE_UNDONE: &str = "cannot be undone";

/// A step that is neither an edit nor a restart: it changes what is live, and its change is looked up or remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    Resize(ResizeStep),
    Run(RunStep),
    Postgres(PostgresStep),
    Redis(RedisStep),
}

impl Act {
    /// The act that puts back what this one did; `None` where nothing can.
    pub fn inverse(&self) -> Option<Act> {
        match self {
            Act::Resize(step) => Some(Act::Resize(step.inverse())),
            Act::Redis(step) => {
                let (old, new) = (step.new.clone(), step.old.clone());
                Some(Act::Redis(RedisStep { old, new, ..step.clone() }))
            }
            Act::Run(step) => {
                let argv = step.undo.clone()?;
                Some(Act::Run(RunStep { argv, undo: None, timeout_seconds: step.timeout_seconds }))
            }
            Act::Postgres(_) => None,
        }
    }

    /// The values that it moves: where each stands, from what to what. What it does without values is not among them.
    pub fn moves(&self) -> Vec<Moved> {
        let moved = |place: String, at: &str, old: String, new: String| Moved { place, at: at.to_owned(), old, new };
        match self {
            Act::Resize(step) => {
                let place = || format!("container:{}", step.container);
                let memory = step.memory.map(|m| moved(place(), "memory", m.old.to_string(), m.new.to_string()));
                let cpus = step.cpus.map(|c| moved(place(), "cpus", cpus(c.old), cpus(c.new)));
                memory.into_iter().chain(cpus).collect()
            }
            Act::Redis(step) => {
                vec![moved(format!("redis:{}", step.check), &step.key, step.old.clone(), step.new.clone())]
            }
            Act::Run(_) | Act::Postgres(_) => Vec::new(),
        }
    }

    /// What it changes, as limits and history count it.
    pub fn touches(&self) -> String {
        match self {
            Act::Resize(step) => format!("container:{}", step.container),
            Act::Run(step) => format!("run:{}", step.argv.join(" ")),
            Act::Postgres(step) => format!("postgres:{}", step.check),
            Act::Redis(step) => format!("redis:{}#{}", step.check, step.key),
        }
    }

    /// One line for people, with old and new values.
    pub fn words(&self) -> String {
        match self {
            Act::Resize(step) => step.words(),
            Act::Redis(step) => format!("redis {}: {} {} -> {}", step.check, step.key, step.old, step.new),
            Act::Run(step) => match &step.undo {
                Some(undo) => format!("run {} (undone by {})", step.argv.join(" "), undo.join(" ")),
                None => format!("run {} ({CANNOT_BE_UNDONE})", step.argv.join(" ")),
            },
            Act::Postgres(step) => format!("postgres {}: {} ({CANNOT_BE_UNDONE})", step.check, step.words()),
        }
    }
}

impl PostgresStep {
    fn words(&self) -> String {
        let of = if self.users.is_empty() { String::new() } else { format!(" of {}", self.users.join(", ")) };
        let (max, seconds) = (self.max, self.over_seconds);
        match self.action {
            SessionAction::TerminateIdleInTransaction => {
                format!("end at most {max} sessions{of} that are idle in a transaction for {seconds}s or longer")
            }
            SessionAction::CancelQueries => {
                format!("cancel at most {max} queries{of} that run for {seconds}s or longer")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resize(memory: Option<(i64, i64)>, cpus: Option<(i64, i64)>) -> ResizeStep {
        let limit = |(old, new)| Limit { old, new };
        ResizeStep {
            container: "web".into(),
            memory: memory.map(limit),
            swap: None,
            cpus: cpus.map(|(old, new)| CpuLimit { old, new, period: None }),
        }
    }

    #[test]
    fn limits_are_before_after_or_somebody_elses_by_what_the_step_changes() {
        let check = |step: &ResizeStep, memory: i64, nano_cpus: i64, expected: Live| {
            let now = ContainerLimits { memory, nano_cpus, ..Default::default() };
            assert_eq!(step.live(&now), expected, "{step:?} {now:?}");
        };
        let memory = resize(Some((100, 150)), None);
        check(&memory, 100, 7, Live::Before);
        check(&memory, 150, 0, Live::After);
        check(&memory, 151, 0, Live::Foreign);
        check(&memory, 0, 0, Live::Foreign);
        let both = resize(Some((100, 150)), Some((10, 20)));
        check(&both, 100, 10, Live::Before);
        check(&both, 150, 20, Live::After);
        check(&both, 150, 10, Live::Foreign);
    }

    #[test]
    fn a_quota_counts_as_the_cpus_that_it_is() {
        let check = |nano_cpus, cpu_quota, cpu_period, expected| {
            let limits = ContainerLimits { nano_cpus, cpu_quota, cpu_period, ..Default::default() };
            assert_eq!(limits.cpus(), expected, "{limits:?}");
        };
        check(0, 0, 0, 0);
        check(0, -1, 0, 0);
        check(1_500_000_000, 0, 0, 1_500_000_000);
        check(0, 50_000, 100_000, 500_000_000);
        check(0, 50_000, 0, 500_000_000);
        check(0, 50_000, 25_000, 2_000_000_000);
    }

    #[test]
    fn an_undo_goes_the_same_way_back_and_what_has_none_says_so() {
        let redis = |old: &str, new: &str| {
            Act::Redis(RedisStep { check: "c".into(), key: "timeout".into(), old: old.into(), new: new.into() })
        };
        assert_eq!(redis("0", "60").inverse(), Some(redis("60", "0")));
        let step = Act::Resize(resize(Some((100, 150)), Some((1, 2))));
        assert_eq!(step.inverse().and_then(|s| s.inverse()), Some(step));
        let run = |argv: &str, undo: Option<&str>| {
            let list = |text: &str| vec![text.to_owned()];
            Act::Run(RunStep { argv: list(argv), undo: undo.map(list), timeout_seconds: 1 })
        };
        assert_eq!(run("/a", Some("/b")).inverse(), Some(run("/b", None)));
        assert_eq!(run("/a", None).inverse(), None);
        let sessions = Act::Postgres(PostgresStep {
            check: "db".into(),
            action: SessionAction::CancelQueries,
            over_seconds: 600,
            max: 3,
            users: Vec::new(),
        });
        assert_eq!(sessions.inverse(), None);
        for (act, says) in [(run("/a", Some("/b")), false), (run("/a", None), true), (sessions, true)] {
            assert_eq!(act.words().contains(CANNOT_BE_UNDONE), says, "{}", act.words());
        }
    }
}
