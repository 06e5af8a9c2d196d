//! What will be done: the configuration once it is sound. Every regex compiles, every name exists, every bound holds.
//!
//! Lives here: the compiled types that the stages are handed. May not live here: parsing, I/O, secrets in clear
//! outside [`Secret`].

use crate::config::{Evidence, Learning, Limits, MaintenanceWindow, RuleLimits, RuleTest, Secret, Serve, SignalSpec};
use crate::model::{CheckKind, DockerTls, PostgresStep, RestartTarget, RunStep, Severity, Status};
use globset::{GlobMatcher, GlobSet};
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

/// The whole configuration, sound.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The file it came from; `None` for the built-in defaults.
    pub source: Option<PathBuf>,
    pub mode: Mode,
    /// 0 to 100; a fix needs at least this.
    pub confidence_threshold: u8,
    pub state_dir: PathBuf,
    pub knowledge_base: PathBuf,
    pub check_interval: Duration,
    pub allow: Allow,
    pub checks: Vec<CheckSpec>,
    pub logs: Vec<LogSpec>,
    /// Built-in and the operator's, then the internal ones of the rules' own patterns.
    pub signatures: Vec<Signature>,
    pub rules: Vec<Rule>,
    pub limits: Limits,
    pub maintenance: Vec<MaintenanceWindow>,
    pub learning: Learning,
    pub alerts: Alerts,
    pub backups: Backups,
    /// How long events and metrics are kept (`[state] keep`).
    pub keep: Duration,
    /// Where every pass leaves its figures for Prometheus (`[metrics] textfile`).
    pub textfile: Option<PathBuf>,
    pub serve: Serve,
    /// What is allowed but probably not meant.
    pub warnings: Vec<crate::config::ConfigError>,
    /// Hides the values of `${...}` in everything that is shown or stored.
    pub redactor: crate::config::Redactor,
    /// What it was compiled from, for a recording.
    pub written: crate::config::Written,
}

/// Whether healer acts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Auto,
    Suggest,
}

/// Nothing outside these lists is ever changed.
#[derive(Debug, Clone, Default)]
pub struct Allow {
    /// The globs as written, for messages.
    pub file_patterns: Vec<String>,
    /// Matched against the absolute path with links resolved; `*` does not cross `/`.
    pub files: GlobSet,
    pub containers: GlobSet,
    pub units: GlobSet,
    /// Argument lists that may be run, each exactly so.
    pub commands: Vec<Vec<String>>,
    /// PostgreSQL checks whose servers may be acted on.
    pub postgres: Vec<String>,
    /// Redis checks whose servers may be acted on.
    pub redis: Vec<String>,
}

/// One configured check.
#[derive(Debug, Clone)]
pub struct CheckSpec {
    /// Unique over all kinds.
    pub name: String,
    pub timeout: Duration,
    pub depends_on: Vec<String>,
    /// The container that it looks at, as written.
    pub container: Option<String>,
    pub probe: Probe,
}

/// Levels at which a value becomes a warning or critical; at or above the level (below for `warning_below`).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Levels {
    pub warning: Option<f64>,
    pub critical: Option<f64>,
}

/// What a check looks at.
#[derive(Debug, Clone)]
pub enum Probe {
    Docker(DockerProbe),
    Postgres(PostgresProbe),
    Redis(RedisProbe),
    Http(HttpProbe),
    Tcp { address: String },
    Command { argv: Vec<String> },
    Host(HostProbe),
}

impl Probe {
    /// The kind of check.
    pub fn kind(&self) -> CheckKind {
        match self {
            Probe::Docker(_) => CheckKind::Docker,
            Probe::Postgres(_) => CheckKind::Postgres,
            Probe::Redis(_) => CheckKind::Redis,
            Probe::Http(_) => CheckKind::Http,
            Probe::Tcp { .. } => CheckKind::Tcp,
            Probe::Command { .. } => CheckKind::Command,
            Probe::Host(_) => CheckKind::Host,
        }
    }
}

#[derive(Debug, Clone)]
pub struct DockerProbe {
    /// `unix:///path` or `tcp://host:port`.
    pub socket: String,
    pub tls: Option<DockerTls>,
    /// Container names; empty means every container.
    pub include: Option<GlobSet>,
    /// `key` or `key=value`; a container needs one of them. Empty means no condition.
    pub labels: Vec<String>,
    pub cpu_percent: Levels,
    pub memory_percent: Levels,
    /// Default only: a socket that is not there is then no finding.
    pub discovered: bool,
}

#[derive(Debug, Clone)]
pub struct PostgresProbe {
    /// `postgres://` URL, secrets expanded.
    pub url: Secret,
    /// Of `max_connections`.
    pub connections_percent: Levels,
    pub query_ms: Levels,
    pub queries: Vec<CountQuery>,
}

/// An operator's query that returns one number.
#[derive(Debug, Clone)]
pub struct CountQuery {
    pub name: String,
    pub sql: String,
    pub warning_below: Option<f64>,
    pub critical_below: Option<f64>,
    pub warning_above: Option<f64>,
    pub critical_above: Option<f64>,
}

#[derive(Debug, Clone)]
pub struct RedisProbe {
    /// `redis://` or `rediss://` URL, secrets expanded.
    pub url: Secret,
    /// Of `maxmemory`, where one is set.
    pub memory_percent: Levels,
    pub queues: Vec<QueueProbe>,
}

/// A list whose length is a queue's size.
#[derive(Debug, Clone)]
pub struct QueueProbe {
    pub key: String,
    pub length: Levels,
}

#[derive(Debug, Clone)]
pub struct HttpProbe {
    pub url: Secret,
    pub method: String,
    pub headers: Vec<(String, Secret)>,
    pub expect_status: Vec<u16>,
    /// A text the body must contain.
    pub expect_body: Option<String>,
    /// Response time in milliseconds.
    pub latency_ms: Levels,
    /// Days until the certificate ends.
    pub certificate_days: Levels,
}

#[derive(Debug, Clone)]
pub struct HostProbe {
    pub cpu_percent: Levels,
    pub memory_percent: Levels,
    pub disk_percent: Levels,
}

/// One configured log source.
#[derive(Debug, Clone)]
pub struct LogSpec {
    /// `container:*` for the Docker source, `file:NAME`, `journal:NAME`.
    pub kind: LogKind,
}

#[derive(Debug, Clone)]
pub enum LogKind {
    /// Every container the named Docker check includes.
    Docker {
        check: String,
    },
    Files {
        name: String,
        pattern: String,
    },
    Journal {
        name: String,
        unit: String,
    },
}

/// What an error of one category looks like.
#[derive(Debug, Clone)]
pub struct Signature {
    /// `rule:NAME` for the internal signature of a rule's own `match` or `ignore`.
    pub name: String,
    pub category: String,
    pub severity: Severity,
    /// A regex in the syntax of the `regex` crate; it has been compiled once and is sound.
    pub pattern: String,
    /// An event that matches this is none.
    pub ignore: Option<String>,
    pub origin: SignatureOrigin,
    /// Lines it must match, and must not (`rules test`).
    pub matches: Vec<Cow<'static, str>>,
    pub ignores: Vec<Cow<'static, str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureOrigin {
    BuiltIn,
    Operator,
    Rule,
}

/// An operator's rule, sound.
#[derive(Debug, Clone)]
pub struct Rule {
    pub name: String,
    pub when: When,
    pub issue_type: String,
    /// May hold `{log}`, `{count}`, `{within}`, `{check}`, `{container}`, `{state}`, `{metric}`, `{value}`.
    pub cause: String,
    /// 0 to 100.
    pub confidence: f64,
    pub mode: Option<Mode>,
    /// Signals that must be there too, each of another kind than the trigger, else held.
    pub require: Vec<SignalSpec>,
    pub evidence: Vec<Evidence>,
    /// The ladder; empty: diagnose and alert only.
    pub fixes: Vec<FixSpec>,
    pub validate: Validate,
    pub limits: RuleLimits,
    pub tests: Vec<RuleTest>,
}

/// A rule's trigger.
#[derive(Debug, Clone)]
pub enum When {
    Log(LogTrigger),
    Check { check: String, is: Status, passes: u32 },
    Container { glob: GlobMatcher, pattern: String, state: TriggerState, held_for: Duration },
    Metric { check: String, metric: String, above: Option<f64>, below: Option<f64>, passes: u32 },
}

#[derive(Debug, Clone)]
pub struct LogTrigger {
    /// As written: `container:GLOB`, `file:NAME` or `journal:NAME`.
    pub log: String,
    /// Matched against a source's full name (`container:shop-worker`).
    pub sources: GlobMatcher,
    /// Name in [`Engine::signatures`].
    pub signature: String,
    pub count: u64,
    pub within: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriggerState {
    Exited,
    Unhealthy,
    Restarting,
    OomKilled,
}

/// One fix of a rule's ladder.
#[derive(Debug, Clone)]
pub struct FixSpec {
    pub fix_type: String,
    pub steps: Vec<StepSpec>,
}

#[derive(Debug, Clone)]
pub enum StepSpec {
    Edit(EditSpec),
    /// A container's name may be `{container}`: the one that the trigger saw.
    Restart(RestartTarget),
    /// Restart the containers of a compose project or service.
    Compose(ComposeSpec),
    /// Make a compose service anew.
    Recreate(ComposeSpec),
    Resize(ResizeSpec),
    Run(RunStep),
    Postgres(PostgresStep),
    Redis(RedisSpec),
}

/// A compose project, or one service of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeSpec {
    pub project: String,
    pub service: Option<String>,
}

impl std::fmt::Display for ComposeSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.service {
            Some(service) => write!(f, "compose:{}/{service}", self.project),
            None => write!(f, "compose:{}", self.project),
        }
    }
}

/// Other limits for a container, whose name may be `{container}`. Memory in bytes.
#[derive(Debug, Clone)]
pub struct ResizeSpec {
    pub container: String,
    pub memory: Option<BoundedChange>,
    pub cpus: Option<BoundedChange>,
}

/// Other settings for the Redis server of a check.
#[derive(Debug, Clone)]
pub struct RedisSpec {
    pub check: String,
    pub settings: Vec<(String, BoundedChange)>,
}

/// A bounded change of one value that stands in no file.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundedChange {
    pub change: Change,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// In one fix, and in all together, as in an edit; `None`: exactly this one value, from whatever it is.
    pub factors: Option<(f64, f64)>,
}

/// A bounded change of one literal.
#[derive(Debug, Clone)]
pub struct EditSpec {
    pub path: PathBuf,
    /// The selector, as written; its syntax has been checked for the file's format.
    pub at: String,
    pub change: Change,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// At most this factor in one fix, either way; at least 1.
    pub max_factor: f64,
    /// At most this factor by all fixes together, counted from the value that a human last set; at least 1.
    pub max_total_factor: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Multiply(f64),
    Add(f64),
    Set(SetValue),
}

#[derive(Debug, Clone, PartialEq)]
pub enum SetValue {
    /// A number as written (`1.20` stays `1.20`), without a unit suffix.
    Number(String),
    Text(String),
    Bool(bool),
}

#[derive(Debug, Clone)]
pub struct Validate {
    pub settle: Duration,
    pub window: Duration,
    pub max_window: Duration,
    pub errors_allowed: crate::model::ErrorsAllowed,
    pub checks: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Alerts {
    pub on: Vec<AlertKind>,
    pub repeat: Duration,
    pub webhooks: Vec<Webhook>,
    pub commands: Vec<Vec<String>>,
    pub email: Option<Email>,
    /// Called when a pass begins and ends.
    pub heartbeat: Option<Secret>,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    Held,
    Healed,
    Unproven,
    RolledBack,
    RollbackFailed,
    Recurred,
    Critical,
    Resolved,
    Storm,
    CircuitOpen,
    // Asked for by `healer notify test`; no pass tells it.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    Test,
}

#[derive(Debug, Clone)]
pub struct Webhook {
    pub url: Secret,
    pub format: WebhookFormat,
    pub headers: Vec<(String, Secret)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookFormat {
    Json,
    Slack,
    Discord,
    Ntfy,
    Alertmanager,
}

/// Who gets mail, and through which server.
#[derive(Debug, Clone)]
pub struct Email {
    /// At least one; each looks like an address.
    pub to: Vec<String>,
    /// `healer@` and the name of this host where there is none.
    pub from: Option<String>,
    pub smtp: Smtp,
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct Smtp {
    pub host: String,
    pub port: u16,
    pub security: SmtpSecurity,
    /// User and password.
    pub login: Option<(Secret, Secret)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// `smtp://`
    None,
    /// `smtp+starttls://`: encrypted before anything is told, or not at all.
    Starttls,
    /// `smtps://`: from the first byte on.
    Tls,
}

/// Retention of backups; one is kept while either says so.
#[derive(Debug, Clone)]
pub struct Backups {
    pub keep_last: usize,
    pub keep_within: Duration,
}

impl Engine {
    /// The check of this name.
    pub fn check(&self, name: &str) -> Option<&CheckSpec> {
        self.checks.iter().find(|c| c.name == name)
    }

    /// The rule of this name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|r| r.name == name)
    }

    /// The Docker check, where there is one.
    pub fn docker(&self) -> Option<(&CheckSpec, &DockerProbe)> {
        self.checks.iter().find_map(|c| match &c.probe {
            Probe::Docker(p) => Some((c, p)),
            _ => None,
        })
    }
}
