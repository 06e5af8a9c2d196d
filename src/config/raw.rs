//! What was written: one type per section of the configuration, every key optional, unknown keys refused. May not
//! live here: what it means, defaults, and whether it is sound; that is `compile`'s.
//!
//! Keys are optional even where they are required, so that all that are missing can be told at once.

use crate::config::at::{At, Dur, NameOr, OneOrMany, RawScalar, RawSetting, Table};
use crate::config::{AlertKind, Mode, TestState, TriggerState, WebhookFormat, Weekday};
use crate::model::{Severity, Status};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

pub type Key<T> = Option<At<T>>;
pub type Section<T> = Option<Table<T>>;
pub type Named<T> = BTreeMap<At<String>, Table<T>>;
pub type Texts = Option<At<Vec<At<String>>>>;
pub type Argv = At<Vec<At<String>>>;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    pub mode: Key<Mode>,
    pub confidence_threshold: Key<f64>,
    pub state_dir: Key<String>,
    pub knowledge_base: Key<String>,
    pub check_interval: Key<Dur>,
    pub signatures: Section<RawSignatures>,
    pub allow: Section<RawAllow>,
    pub checks: Section<RawChecks>,
    pub logs: Section<RawLogs>,
    pub signature: Vec<Table<RawSignature>>,
    pub rule: Vec<Table<RawRule>>,
    pub limits: Section<RawLimits>,
    pub learning: Section<RawLearning>,
    pub alerts: Section<RawAlerts>,
    pub backups: Section<RawBackups>,
    pub state: Section<RawState>,
    pub metrics: Section<RawMetrics>,
    pub serve: Section<RawServe>,
    pub maintenance: Vec<Table<RawMaintenance>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawServe {
    pub listen: Key<String>,
    pub token: Key<String>,
    pub hosts: Texts,
}

/// A file of `rules.d`, and the file of the built-in signatures.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRulesFile {
    pub signature: Vec<Table<RawSignature>>,
    pub rule: Vec<Table<RawRule>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSignatures {
    pub builtin: Key<bool>,
    pub disable: Texts,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawAllow {
    pub files: Texts,
    pub containers: Texts,
    pub units: Texts,
    pub commands: Key<Vec<Argv>>,
    pub postgres: Texts,
    pub redis: Texts,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawChecks {
    pub docker: Section<RawDocker>,
    pub host: Section<RawHost>,
    pub postgres: Named<RawPostgres>,
    pub redis: Named<RawRedis>,
    pub http: Named<RawHttp>,
    pub tcp: Named<RawTcp>,
    pub command: Named<RawCommand>,
}

impl RawChecks {
    /// The checks that those which are not switched off depend on, as written.
    pub fn dependencies(&self) -> impl Iterator<Item = &At<String>> {
        fn of<'a>(enabled: &Key<bool>, names: &'a Texts) -> &'a [At<String>] {
            let off = enabled.as_ref().is_some_and(|e| !e.value);
            names.as_ref().filter(|_| !off).map_or(&[], |n| n.value.as_slice())
        }
        let host = self.host.iter().map(|c| of(&c.value.enabled, &c.value.depends_on));
        let postgres = self.postgres.values().map(|c| of(&c.value.enabled, &c.value.depends_on));
        let redis = self.redis.values().map(|c| of(&c.value.enabled, &c.value.depends_on));
        let http = self.http.values().map(|c| of(&c.value.enabled, &c.value.depends_on));
        let tcp = self.tcp.values().map(|c| of(&c.value.enabled, &c.value.depends_on));
        let command = self.command.values().map(|c| of(&c.value.enabled, &c.value.depends_on));
        host.chain(postgres).chain(redis).chain(http).chain(tcp).chain(command).flatten()
    }

    /// Whether a check that is not switched off names the container that it looks at.
    pub fn names_container(&self) -> bool {
        fn does(enabled: &Key<bool>, container: &Key<String>) -> bool {
            container.is_some() && enabled.as_ref().is_none_or(|e| e.value)
        }
        self.postgres.values().any(|c| does(&c.value.enabled, &c.value.container))
            || self.redis.values().any(|c| does(&c.value.enabled, &c.value.container))
            || self.http.values().any(|c| does(&c.value.enabled, &c.value.container))
            || self.tcp.values().any(|c| does(&c.value.enabled, &c.value.container))
            || self.command.values().any(|c| does(&c.value.enabled, &c.value.container))
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawDocker {
    pub enabled: Key<bool>,
    pub timeout: Key<Dur>,
    pub depends_on: Texts,
    pub socket: Key<String>,
    pub include: Texts,
    pub labels: Texts,
    pub cpu_percent: Section<RawLevels>,
    pub memory_percent: Section<RawLevels>,
    pub tls_ca: Key<String>,
    pub tls_cert: Key<String>,
    pub tls_key: Key<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawHost {
    pub enabled: Key<bool>,
    pub timeout: Key<Dur>,
    pub depends_on: Texts,
    pub cpu_percent: Section<RawLevels>,
    pub memory_percent: Section<RawLevels>,
    pub disk_percent: Section<RawLevels>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawPostgres {
    pub enabled: Key<bool>,
    pub timeout: Key<Dur>,
    pub depends_on: Texts,
    pub container: Key<String>,
    pub url: Key<String>,
    pub connections_percent: Section<RawLevels>,
    pub query_ms: Section<RawLevels>,
    pub queries: Vec<Table<RawQuery>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawQuery {
    pub name: Key<String>,
    pub sql: Key<String>,
    pub warning_below: Key<f64>,
    pub critical_below: Key<f64>,
    pub warning_above: Key<f64>,
    pub critical_above: Key<f64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRedis {
    pub enabled: Key<bool>,
    pub timeout: Key<Dur>,
    pub depends_on: Texts,
    pub container: Key<String>,
    pub url: Key<String>,
    pub memory_percent: Section<RawLevels>,
    pub queues: Vec<Table<RawQueue>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawQueue {
    pub key: Key<String>,
    pub warning: Key<f64>,
    pub critical: Key<f64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawHttp {
    pub enabled: Key<bool>,
    pub timeout: Key<Dur>,
    pub depends_on: Texts,
    pub container: Key<String>,
    pub url: Key<String>,
    pub method: Key<String>,
    pub headers: BTreeMap<At<String>, At<String>>,
    pub expect_status: Option<At<Vec<At<i64>>>>,
    pub expect_body: Key<String>,
    pub latency: Section<RawLatency>,
    pub certificate_days: Section<RawLevels>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawTcp {
    pub enabled: Key<bool>,
    pub timeout: Key<Dur>,
    pub depends_on: Texts,
    pub container: Key<String>,
    pub address: Key<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawCommand {
    pub enabled: Key<bool>,
    pub timeout: Key<Dur>,
    pub depends_on: Texts,
    pub container: Key<String>,
    pub command: Texts,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLevels {
    pub warning: Key<f64>,
    pub critical: Key<f64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLatency {
    pub warning: Key<Dur>,
    pub critical: Key<Dur>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLogs {
    pub docker: Section<RawLogsDocker>,
    pub files: Named<RawLogFile>,
    pub journal: Named<RawLogJournal>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLogsDocker {
    pub enabled: Key<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLogFile {
    pub path: Key<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLogJournal {
    pub unit: Key<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSignature {
    pub name: Key<String>,
    pub category: Key<String>,
    pub severity: Key<Severity>,
    pub pattern: Key<String>,
    pub ignore: Key<String>,
    pub matches: Vec<String>,
    pub ignores: Vec<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRule {
    pub name: Key<String>,
    pub when: Section<RawWhen>,
    pub issue_type: Key<String>,
    pub cause: Key<String>,
    pub confidence: Key<f64>,
    pub mode: Key<Mode>,
    pub require: Option<At<Vec<At<NameOr<RawEvidence>>>>>,
    pub evidence: Vec<Table<RawEvidence>>,
    pub fix: Vec<Table<RawFix>>,
    pub validate: Section<RawValidate>,
    pub limits: Section<RawRuleLimits>,
    pub test: Vec<Table<RawTest>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawWhen {
    pub log: Key<String>,
    pub signature: Key<String>,
    #[serde(rename = "match")]
    pub pattern: Key<String>,
    pub ignore: Key<String>,
    pub count: Key<i64>,
    pub within: Key<Dur>,
    pub check: Key<String>,
    pub is: Key<Status>,
    pub passes: Key<i64>,
    pub container: Key<String>,
    pub state: Key<TriggerState>,
    #[serde(rename = "for")]
    pub held_for: Key<Dur>,
    pub metric: Key<String>,
    pub above: Key<f64>,
    pub below: Key<f64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawEvidence {
    pub check: Key<String>,
    pub is: Key<Status>,
    pub log: Key<String>,
    pub signature: Key<String>,
    #[serde(rename = "match")]
    pub pattern: Key<String>,
    pub count: Key<i64>,
    pub within: Key<Dur>,
    pub container: Key<String>,
    pub state: Key<TriggerState>,
    pub metric: Key<String>,
    pub above: Key<f64>,
    pub below: Key<f64>,
    pub add: Key<f64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawFix {
    pub fix_type: Key<String>,
    pub steps: Option<At<Vec<Table<RawStep>>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawStep {
    pub edit: Key<String>,
    pub at: Key<String>,
    pub multiply: Key<f64>,
    pub add: Key<f64>,
    pub set: Key<RawScalar>,
    pub min: Key<f64>,
    pub max: Key<f64>,
    pub max_factor: Key<f64>,
    pub max_total_factor: Key<f64>,
    pub restart: Key<String>,
    pub recreate: Key<String>,
    pub resize: Key<String>,
    pub memory: Key<RawSetting>,
    pub cpus: Key<RawSetting>,
    pub run: Option<Argv>,
    pub undo: Option<Argv>,
    pub timeout: Key<Dur>,
    pub postgres: Key<String>,
    pub terminate_idle_in_transaction: Key<Dur>,
    pub cancel_queries_over: Key<Dur>,
    pub users: Texts,
    pub redis: Key<String>,
    pub config_set: Option<At<BTreeMap<At<String>, At<RawSetting>>>>,
}

/// A bounded change of a value that stands in no file; numbers may have a unit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawBound {
    pub multiply: Key<f64>,
    pub add: Key<RawScalar>,
    pub set: Key<RawScalar>,
    pub min: Key<RawScalar>,
    pub max: Key<RawScalar>,
    pub max_factor: Key<f64>,
    pub max_total_factor: Key<f64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawValidate {
    pub settle: Key<Dur>,
    pub window: Key<Dur>,
    pub max_window: Key<Dur>,
    pub max_errors: Key<i64>,
    pub reduce_to: Key<String>,
    pub checks: Texts,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRuleLimits {
    pub cooldown: Key<Dur>,
    pub max_fixes: Key<i64>,
    pub per: Key<Dur>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawTest {
    pub name: Key<String>,
    pub log: Vec<String>,
    pub repeat: Key<i64>,
    pub checks: BTreeMap<At<String>, At<Status>>,
    pub containers: BTreeMap<At<String>, At<TestState>>,
    pub metrics: BTreeMap<At<String>, BTreeMap<At<String>, At<f64>>>,
    pub file: Key<String>,
    pub expect: Section<RawExpect>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawExpect {
    pub fires: Key<bool>,
    pub issue_type: Key<String>,
    pub fix_type: Key<String>,
    pub value: Key<String>,
    pub decision: Key<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLearning {
    pub half_life: Key<Dur>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    pub fixes_per_hour: Key<i64>,
    pub fixes_per_day: Key<i64>,
    pub fixes_per_target: Key<i64>,
    pub circuit_failures: Key<i64>,
    pub circuit_wait: Key<Dur>,
    pub min_duration: Key<Dur>,
    pub start_grace: Key<Dur>,
    pub human_grace: Key<Dur>,
    pub storm_percent: Key<f64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawMaintenance {
    pub name: Key<String>,
    pub days: Option<Vec<At<Weekday>>>,
    pub from: Key<String>,
    pub to: Key<String>,
    pub rules: Texts,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawAlerts {
    pub on: Option<Vec<AlertKind>>,
    pub repeat: Key<Dur>,
    pub webhook: Vec<Table<RawWebhook>>,
    pub command: Vec<At<Vec<At<String>>>>,
    pub email: Section<RawEmail>,
    pub heartbeat: Key<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawWebhook {
    pub url: Key<String>,
    pub format: Key<WebhookFormat>,
    pub headers: BTreeMap<At<String>, At<String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawEmail {
    pub to: Key<OneOrMany>,
    pub from: Key<String>,
    pub smtp: Key<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawBackups {
    pub keep_last: Key<i64>,
    pub keep_within: Key<Dur>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawMetrics {
    pub textfile: Key<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawState {
    pub keep: Key<Dur>,
}
