//! How things stand, read from what passes have left: what the commands print and `serve` answers is the same document.
//!
//! Read-only, and also for a user who may read the state directory but neither the backups nor the journal in it: what these
//! hold is then taken from the index of backups and, of an open fix, from the event log. May not live here: drawing.

use crate::ack;
use crate::attempts::{self, Debt};
use crate::backup::{self, Listed};
use crate::breaker;
use crate::config::{Engine, Format, Mode, Selector};
use crate::fix::act::Means;
use crate::fix::{edit, present};
use crate::host::docker::Docker;
use crate::host::{clock, files, lock};
use crate::hush::hush;
use crate::learn::{self, Knowledge};
use crate::matches;
use crate::model::Incident;
use crate::pass;
use crate::pause;
use crate::show::debt::{self, Owed};
use crate::show::json;
use crate::show::status::Status;
use crate::state::{Memory, StateDir};
use crate::transaction;
use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// The engine of the configured Docker check.
pub fn docker(engine: &Engine) -> Option<Docker> {
    engine.docker().and_then(|(check, probe)| Docker::connect(&probe.socket, probe.tls.as_ref(), check.timeout).ok())
}

/// How things stand, and what could not be read.
///
/// # Errors
/// When attempts or the knowledge base are there and cannot be read.
pub fn status(engine: &Engine) -> Result<(Status, Vec<String>)> {
    let dir = StateDir::of(engine);
    let (memory, warning) = Memory::load(&dir);
    let mut warnings: Vec<String> = warning.into_iter().collect();
    let now = clock::moment();
    let attempts = attempts::read(&dir.attempts())?;
    let local = if engine.maintenance.is_empty() { Default::default() } else { clock::local(now.t) };
    let mut pauses_unreadable = false;
    let pauses = pause::read(&dir.pauses(), &now).unwrap_or_else(|error| {
        pauses_unreadable = true;
        warnings.push(format!("{error:#}; until then no fix is made"));
        Vec::new()
    });
    let acks = ack::read(&dir.acks(), &now).unwrap_or_else(|error| {
        warnings.push(format!("{error:#}"));
        Vec::new()
    });
    let open =
        transaction::report_open(&dir).unwrap_or_else(|error| (!is_denied(&error)).then(|| format!("{error:#}")));
    let status = Status {
        now: now.clone(),
        suggest: engine.mode == Mode::Suggest,
        stop: pass::stop_file(engine),
        check_interval: engine.check_interval,
        running: lock::holder_of(&dir.lock()).map(|holder| holder.to_string()),
        open,
        silent: matches::silent(engine, &memory.matches).into_iter().map(|(_, why)| why).collect(),
        last_pass: memory.last_pass,
        plans: held_plans(&dir),
        incidents: memory.incidents.into_iter().map(hushed).collect(),
        unreadable: warnings.clone(),
        pauses_unreadable,
        acks,
        tripped: breaker::open_targets(&attempts, &now, &engine.limits),
        held: attempts.held,
        pauses,
        maintenance: pause::windows_on(&engine.maintenance, local).cloned().collect(),
        recent_backups: backups(&dir)?.into_iter().filter_map(|b| b.metadata.ok()).take(5).collect(),
        knowledge: learn::read(dir.knowledge_base(), None)?.with_self_recovery(memory.unaided.by_issue),
    };
    Ok((status, warnings))
}

/// The plans that the last pass held, by fingerprint; none where what it left cannot be read, which is then told by what
/// shows it.
fn held_plans(dir: &StateDir) -> BTreeMap<String, String> {
    let last: Option<Value> = std::fs::read(dir.last_pass()).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let diagnoses = last.as_ref().and_then(|last| last.get("diagnoses")?.as_array()).into_iter().flatten();
    let held = diagnoses.filter(|d| d.get("decision").is_some_and(|decision| decision == "hold"));
    let text = |d: &Value, pointer: &str| d.pointer(pointer)?.as_str().map(str::to_owned);
    held.filter_map(|d| Some((text(d, "/fingerprint")?, text(d, "/plan/id")?))).collect()
}

/// A cause may repeat what a check or a log has said.
fn hushed(incident: Incident) -> Incident {
    Incident { cause: hush(&incident.cause).into_owned(), ..incident }
}

/// Whether it is a permission that is missing.
pub fn is_denied(error: &anyhow::Error) -> bool {
    let denied = |e: &std::io::Error| e.kind() == std::io::ErrorKind::PermissionDenied;
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(denied)
            || cause.downcast_ref::<files::FileError>().is_some_and(|e| matches!(e, files::FileError::Denied(_)))
    })
}

/// Every backup, the newest first.
///
/// # Errors
/// When neither they nor their index can be read.
pub fn backups(dir: &StateDir) -> Result<Vec<Listed>> {
    match backup::list(&dir.backups()) {
        Err(error) if is_denied(&error) => backup::read_index(&dir.backup_index()),
        listed => listed,
    }
}

/// The body of `backups`.
pub fn backups_json(listed: &[Listed]) -> Value {
    let bodies: Vec<_> = listed.iter().filter_map(|l| l.metadata.as_ref().ok()).map(json::backup).collect();
    let damaged: Vec<_> = listed.iter().filter(|l| l.metadata.is_err()).map(|l| &l.id).collect();
    serde_json::json!({ "backups": bodies, "total": bodies.len(), "damaged": damaged })
}

/// The knowledge base in figures, of fixes from `from` on, with what is owed.
pub struct Stats {
    pub knowledge: Knowledge,
    pub owed: Vec<Owed>,
    pub warning: Option<String>,
}

/// What the knowledge base says.
///
/// # Errors
/// When it, or the attempts, are there and cannot be read.
pub fn stats(engine: &Engine, from: Option<Timestamp>) -> Result<Stats> {
    let (memory, warning) = Memory::load(&StateDir::of(engine));
    let knowledge = learn::read(&engine.knowledge_base, from)?.with_self_recovery(memory.unaided.by_issue);
    Ok(Stats { knowledge, owed: owed(engine)?, warning })
}

/// The body of `stats`.
pub fn stats_json(stats: &Stats) -> Value {
    let mut body = json::stats(&stats.knowledge);
    if let Some(body) = body.as_object_mut() {
        body.insert("mitigation_debt".into(), debt::json(&stats.owed));
    }
    body
}

/// The literals and values that still stand as the last fix left them; one that a human has set since is owed no more.
fn owed(engine: &Engine) -> Result<Vec<Owed>> {
    let debts = attempts::read(&StateDir::of(engine).attempts())?.debts();
    let docker = docker(engine);
    let means = Means { engine, docker: docker.as_ref() };
    Ok(debts.into_iter().filter_map(|debt| still_owed(debt, means)).collect())
}

fn still_owed(debt: Debt, means: Means) -> Option<Owed> {
    if let Some(now) = debt.path.to_str().and_then(|place| present::value_of(place, &debt.at, means)) {
        // What cannot be looked up now stands as the last fix left it, as far as is known.
        let changed = now.is_ok_and(|now| now != debt.now);
        let literals = Some((edit::bare_literal(&debt.human), edit::bare_literal(&debt.now)));
        return (!changed).then_some(Owed { debt, literals });
    }
    let found = || {
        let format = Format::of(&debt.path)?;
        let selector = Selector::parse(&debt.at, format).ok()?;
        let bytes = files::snapshot(&debt.path).ok()?.bytes;
        let now = edit::locate(&bytes, format, &selector).ok()?.literal;
        let before = edit::apply(&bytes, format, &selector, &debt.human).ok()?;
        Some((edit::locate(&before, format, &selector).ok()?.literal, now))
    };
    match found() {
        Some((_, now)) if now.raw != debt.now => None,
        literals => Some(Owed { debt, literals }),
    }
}
