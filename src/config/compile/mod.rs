//! From what was written to what will be done, or every error at once. May not live here: I/O; what the surroundings
//! offer is handed in.

mod acts;
mod builtin;
mod checks;
mod context;
mod evidence;
pub(super) mod mail;
mod maintenance;
mod rules;
mod sections;
mod serve;
mod signatures;
mod steps;
mod values;

use crate::config::at::Span;
use crate::config::expand::SecretSource;
use crate::config::raw::{RawConfig, RawRule, RawRulesFile};
use crate::config::read::{Reading, read};
use crate::config::report::{ConfigError, Source};
use crate::config::{Engine, LogSpec, Mode, Redactor};
use context::{Cx, Shared};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use builtin::builtin_signatures;
pub use context::AtCheck;
pub(in crate::config) use rules::{ONLY_OF_TRIGGERS, TRIGGERS};
pub use signatures::typed_pattern;
pub(in crate::config) use steps::KINDS as STEP_KINDS;

/// What the host offers where the configuration is silent.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Surroundings {
    pub state_dir: PathBuf,
    /// Wins over what the configuration says (`--state-dir`).
    pub state_dir_wanted: Option<PathBuf>,
    /// Address of the Docker daemon where the configuration names none.
    pub docker_socket: String,
    /// The daemon is there: it is watched although the configuration does not mention it.
    pub docker_found: bool,
}

impl Default for Surroundings {
    fn default() -> Self {
        Surroundings {
            state_dir: "/var/lib/healer".into(),
            state_dir_wanted: None,
            docker_socket: "unix:///var/run/docker.sock".into(),
            docker_found: false,
        }
    }
}

/// Compiles a configuration: the first source is the main file, the others come from `rules.d`. No source at all gives
/// the built-in defaults.
///
/// # Errors
/// Everything that is wrong, in the order of the files.
pub fn compile(sources: Vec<(PathBuf, String)>, secrets: &dyn SecretSource) -> Result<Engine, Vec<ConfigError>> {
    compile_in(sources, secrets, &Surroundings::default())
}

/// The same in given surroundings.
///
/// # Errors
/// Everything that is wrong, in the order of the files.
pub fn compile_in(
    sources: Vec<(PathBuf, String)>,
    secrets: &dyn SecretSource,
    surroundings: &Surroundings,
) -> Result<Engine, Vec<ConfigError>> {
    compile_with(sources, secrets, surroundings, steps::check_at)
}

/// The same with another judge of selectors: for tests.
pub(in crate::config) fn compile_with(
    sources: Vec<(PathBuf, String)>,
    secrets: &dyn SecretSource,
    surroundings: &Surroundings,
    check_at: AtCheck,
) -> Result<Engine, Vec<ConfigError>> {
    let nothing_written = sources.is_empty();
    let mut sources: Vec<Source> = sources.into_iter().map(|(path, text)| Source::unparsed(path, text)).collect();
    let (mut main, mut files, mut errors, mut removed) = (RawConfig::default(), Vec::new(), Vec::new(), Vec::new());
    let mut whole = true;
    for (i, source) in sources.iter_mut().enumerate() {
        if i == 0 {
            let reading = read::<RawConfig>(source);
            whole &= reading.raw.is_some();
            main = take(reading, i, &mut errors, &mut removed).unwrap_or_default();
            let signature = std::mem::take(&mut main.signature);
            files.push(RawRulesFile { signature, rule: std::mem::take(&mut main.rule) });
        } else {
            let reading = read::<RawRulesFile>(source);
            whole &= reading.raw.is_some();
            files.push(take(reading, i, &mut errors, &mut removed).unwrap_or_default());
        }
    }
    // A file that could not be read at all would make everything that refers to it look wrong.
    if !whole {
        return Err(errors);
    }
    let shared = Shared::new(&sources, secrets, check_at, removed);
    let engine = engine(Cx::new(&shared, 0), main, files, surroundings, nothing_written);
    finish(engine, errors, shared, &sources)
}

fn take<T>(
    reading: Reading<T>,
    source: usize,
    errors: &mut Vec<ConfigError>,
    removed: &mut Vec<(usize, crate::config::read::Removed)>,
) -> Option<T> {
    errors.extend(reading.errors);
    removed.extend(reading.removed.into_iter().map(|r| (source, r)));
    reading.raw
}

/// The engine with its warnings and its redactor, or the errors in the order in which people read the files.
fn finish(
    engine: Option<Engine>,
    mut errors: Vec<ConfigError>,
    shared: Shared<'_>,
    sources: &[Source],
) -> Result<Engine, Vec<ConfigError>> {
    let order = |path: &Path| sources.iter().position(|s| s.path == path);
    let (found, warnings, hidden) = shared.into_parts();
    errors.extend(found);
    errors.sort_by_key(|e| (order(&e.file), e.line, e.column));
    errors.dedup();
    match engine {
        Some(engine) if errors.is_empty() => Ok(Engine { warnings, redactor: Redactor::new(hidden), ..engine }),
        _ => Err(errors),
    }
}

/// Every section, each with all its errors; `None` when one of them has any.
fn engine(
    cx: Cx<'_>,
    raw: RawConfig,
    files: Vec<RawRulesFile>,
    surroundings: &Surroundings,
    nothing_written: bool,
) -> Option<Engine> {
    let docker = unwritten_docker(&raw, &files, surroundings.docker_found || nothing_written);
    let checks = checks::checks(cx, raw.checks, surroundings, docker);
    let logs = sections::logs(cx, raw.logs, &checks, nothing_written);
    let allow_place = raw.allow.as_ref().map(|section| section.span.clone());
    let allow = sections::allow(cx, raw.allow, &checks);
    let held = allow
        .as_ref()
        .filter(|a| sections::allows_nothing(a))
        .zip(raw.mode.as_ref().filter(|m| m.value == Mode::Suggest));
    // Step by step it is told where some of it is allowed, or where it was to be done.
    let judged = allow.as_ref().filter(|_| held.is_none());
    let (signatures, rules) = rules_and_signatures(cx, raw.signatures, files, &checks, &logs, judged);
    if let Some((_, mode)) = held.filter(|_| rules.iter().any(|rule| !rule.fixes.is_empty())) {
        let help = "name in [allow] what rules may change, once you trust what they propose";
        cx.warn(allow_place.as_ref().unwrap_or(&mode.span), "[allow] is empty: every fix is held", help);
    }
    let maintenance = maintenance::windows(cx, raw.maintenance, &rules);
    let threshold_place = raw.confidence_threshold.as_ref().map(|c| c.span.clone());
    let confidence_threshold = values::number(cx, raw.confidence_threshold, 85.0, 0.0..=100.0, "confidence_threshold");
    if let Some(fraction) = threshold_place.filter(|_| confidence_threshold.fract() != 0.0) {
        cx.error(&fraction, "`confidence_threshold` must be a whole number from 0 to 100, such as 85");
    }
    let state_dir = values::path(cx, raw.state_dir).unwrap_or_else(|| surroundings.state_dir.clone());
    let state_dir = surroundings.state_dir_wanted.clone().unwrap_or(state_dir);
    let knowledge_base = values::path(cx, raw.knowledge_base);
    Some(Engine {
        source: None,
        mode: raw.mode.map_or(Mode::Auto, |m| m.value),
        confidence_threshold: confidence_threshold.round() as u8,
        knowledge_base: knowledge_base.unwrap_or_else(|| state_dir.join("fix_knowledge_base.jsonl")),
        state_dir,
        check_interval: values::positive(cx, raw.check_interval, Duration::from_secs(300)),
        allow: allow?,
        checks: checks.specs,
        logs,
        signatures,
        rules,
        limits: sections::limits(cx, raw.limits),
        maintenance,
        learning: sections::learning(cx, raw.learning),
        alerts: sections::alerts(cx, raw.alerts),
        backups: sections::backups(cx, raw.backups),
        keep: raw.state.and_then(|s| s.value.keep).map_or(Duration::from_secs(90 * 86_400), |d| d.value.0),
        textfile: sections::textfile(cx, raw.metrics),
        serve: serve::serve(cx, raw.serve),
        warnings: Vec::new(),
        redactor: Redactor::default(),
        written: crate::config::Written::default(),
    })
}

/// Whether the configuration stands on a Docker check that it does not write: it must be as sound, and its engine as
/// much missed, when the engine is gone as it was with it.
fn unwritten_docker(raw: &RawConfig, files: &[RawRulesFile], found: bool) -> checks::Unwritten {
    let logs = raw.logs.as_ref().and_then(|l| l.value.docker.as_ref());
    let reads = logs.is_some_and(|d| d.value.enabled.as_ref().is_none_or(|e| e.value));
    let depends = raw
        .checks
        .as_ref()
        .is_some_and(|c| c.value.names_container() || c.value.dependencies().any(|name| name.value == "docker"));
    let judges = files.iter().flat_map(|f| &f.rule).any(|rule| names_docker(&rule.value));
    match (reads || depends || judges, found) {
        (true, _) => checks::Unwritten::Needed,
        (false, true) => checks::Unwritten::Discovered,
        (false, false) => checks::Unwritten::Absent,
    }
}

/// Whether a rule looks at the Docker check, or at a container, wherever in it.
fn names_docker(rule: &RawRule) -> bool {
    let when = rule.when.as_ref().map(|when| &when.value);
    let one = when.and_then(|w| w.check.as_ref()).into_iter();
    let validate = rule.validate.as_ref().and_then(|v| v.value.checks.as_ref());
    let listed = validate.into_iter().flat_map(|names| &names.value);
    let tested = rule.test.iter().flat_map(|test| test.value.checks.keys().chain(test.value.metrics.keys()));
    let of_containers = rule.test.iter().any(|test| !test.value.containers.is_empty());
    of_containers
        || when.is_some_and(|w| w.container.is_some())
        || evidence::names_docker(rule)
        || one.chain(listed).chain(tested).any(|name| name.value == "docker")
}

fn rules_and_signatures(
    cx: Cx<'_>,
    switches: crate::config::raw::Section<crate::config::raw::RawSignatures>,
    files: Vec<RawRulesFile>,
    checks: &checks::Checks,
    logs: &[LogSpec],
    allow: Option<&crate::config::Allow>,
) -> (Vec<crate::config::Signature>, Vec<crate::config::Rule>) {
    let mut signatures = signatures::builtin(cx, switches);
    let (mut written, mut rules) = (Vec::new(), Vec::new());
    for (i, file) in files.into_iter().enumerate() {
        written.extend(file.signature.into_iter().map(|s| (i, s)));
        rules.extend(file.rule.into_iter().map(|r| (i, r)));
    }
    signatures::add_written(cx, &mut signatures, written);
    let world = rules::World { checks, logs, allow };
    let rules = rules::rules(cx, rules, &world, &mut signatures);
    (signatures.list, rules)
}

/// Where a value of another file stands, for `first at`.
fn place(source: Option<&Source>, span: &Span) -> String {
    let Some(source) = source else { return "a place unknown".into() };
    let line = source.text.get(..span.start).map_or(0, |t| t.matches('\n').count()) + 1;
    format!("{}:{line}", source.path.display())
}
