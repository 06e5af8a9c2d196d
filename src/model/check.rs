//! What a health check saw.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Health of one component. Ordered from best to worst; `unknown` is worse than healthy and better than a fault
/// that was really seen (the order of the monitoring-plugin convention: critical > warning > unknown > ok).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Healthy,
    Unknown,
    Warning,
    Critical,
}

impl Status {
    /// The word used in every output.
    pub fn word(self) -> &'static str {
        match self {
            Status::Healthy => "healthy",
            Status::Unknown => "unknown",
            Status::Warning => "warning",
            Status::Critical => "critical",
        }
    }

    /// A finding that counts as evidence: warning or critical.
    pub fn is_red(self) -> bool {
        matches!(self, Status::Warning | Status::Critical)
    }

    /// Exit code of the monitoring-plugin convention (0 to 3).
    pub fn plugin_code(self) -> u8 {
        match self {
            Status::Healthy => 0,
            Status::Warning => 1,
            Status::Critical => 2,
            Status::Unknown => 3,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// Which kind of component a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    Docker,
    Postgres,
    Redis,
    Http,
    Tcp,
    Command,
    Host,
}

impl CheckKind {
    /// The name of its section in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            CheckKind::Docker => "docker",
            CheckKind::Postgres => "postgres",
            CheckKind::Redis => "redis",
            CheckKind::Http => "http",
            CheckKind::Tcp => "tcp",
            CheckKind::Command => "command",
            CheckKind::Host => "host",
        }
    }
}

/// Unit of a metric; the suffixes are those of monitoring-plugin performance data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Count,
    Percent,
    Milliseconds,
    Seconds,
    Bytes,
}

impl Unit {
    /// Suffix in performance data (`5ms`, `80%`, `1024B`).
    pub fn suffix(self) -> &'static str {
        match self {
            Unit::Count => "",
            Unit::Percent => "%",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::Bytes => "B",
        }
    }
}

/// One number a check measured, with the levels it was held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Key in JSON and rules: `latency_ms`, `cpu_percent`, `queue_celery`.
    pub name: String,
    pub value: f64,
    pub unit: Unit,
    /// Bad from here on upwards.
    pub warning: Option<f64>,
    pub critical: Option<f64>,
    /// Bad below here.
    #[serde(default)]
    pub warning_below: Option<f64>,
    #[serde(default)]
    pub critical_below: Option<f64>,
}

impl Metric {
    /// A metric without levels.
    pub fn new(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Metric {
            name: name.into(),
            value,
            unit,
            warning: None,
            critical: None,
            warning_below: None,
            critical_below: None,
        }
    }
}

/// What one check saw in one pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    pub name: String,
    pub kind: CheckKind,
    pub status: Status,
    /// One line for people: why this status, with the figures that decided it.
    pub message: String,
    /// Whether the component answered at all; `None` where the question makes no sense (host).
    pub connected: Option<bool>,
    pub metrics: Vec<Metric>,
    /// Wall time of the check in milliseconds.
    pub duration_ms: f64,
    /// Filled by the Docker check only.
    pub containers: Vec<Container>,
    /// Checks that explain this one while they are critical.
    pub depends_on: Vec<String>,
}

impl CheckResult {
    /// The value of a metric by name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|m| m.name == name).map(|m| m.value)
    }
}

/// Run state of a container, as the Docker Engine names it. `Other` keeps a word this version does not know, so that
/// one strange container never hides the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
    Other(String),
}

impl ContainerState {
    /// The state of the engine's own word.
    pub fn from_word(word: &str) -> ContainerState {
        match word {
            "created" => ContainerState::Created,
            "running" => ContainerState::Running,
            "paused" => ContainerState::Paused,
            "restarting" => ContainerState::Restarting,
            "removing" => ContainerState::Removing,
            "exited" => ContainerState::Exited,
            "dead" => ContainerState::Dead,
            other => ContainerState::Other(other.to_owned()),
        }
    }
}

/// Result of the container's own health check, where its image has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerHealth {
    Starting,
    Healthy,
    Unhealthy,
}

/// One container as the Docker check saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    pub status: Status,
    /// Why this status, one line.
    pub message: String,
    pub state: ContainerState,
    pub health: Option<ContainerHealth>,
    /// Of the last exit; meaningless while it runs.
    pub exit_code: Option<i64>,
    pub oom_killed: bool,
    pub restart_count: u64,
    /// Restarts since the pass before; `None` when there was none.
    pub restarts_since_last: Option<u64>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Mean since the last pass, 100 is one whole CPU; `None` where not known yet.
    pub cpu_percent: Option<f64>,
    pub memory_bytes: Option<u64>,
    /// Of its limit, or of the host's memory where it has none.
    pub memory_percent: Option<f64>,
    pub compose_project: Option<String>,
    /// Ports of this host that it publishes, or published when it last ran.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// All that is wrong with it is what its labels say of healer.
    #[serde(default)]
    pub mislabelled: bool,
}

#[cfg(test)]
impl Container {
    /// One that runs and is well, and of which nothing more is known: what a test varies.
    pub(crate) fn example(name: &str) -> Container {
        Container {
            id: "1".into(),
            name: name.into(),
            status: Status::Healthy,
            message: String::new(),
            state: ContainerState::Running,
            health: None,
            exit_code: None,
            oom_killed: false,
            restart_count: 0,
            restarts_since_last: None,
            started_at: None,
            finished_at: None,
            cpu_percent: None,
            memory_bytes: None,
            memory_percent: None,
            compose_project: None,
            ports: Vec::new(),
            mislabelled: false,
        }
    }
}

/// How a Docker engine is reached through TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerTls {
    /// PEM file of the authorities whose signature the engine's certificate must bear; `None`: the host's own.
    pub ca: Option<PathBuf>,
    /// Who we are to the engine.
    pub identity: Option<TlsIdentity>,
}

/// Who one is in TLS: a certificate with its chain, and its key, both files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}
