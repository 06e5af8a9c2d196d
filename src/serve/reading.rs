//! What is read for answers: documents that are made anew only when what they were made of has changed, the checks at most
//! once in five seconds, and the past, which is read on from where it was left.
//!
//! May not live here: who may have what, HTTP.

use crate::config::Engine;
use crate::documents;
use crate::event_log::{From, Tail};
use crate::host::{clock, lock};
use crate::hush::hush_json;
use crate::model::CheckResult;
use crate::observe;
use crate::past::{Past, Samples};
use crate::serve::page::{self, View};
use crate::show::status::Status;
use crate::show::{json, prometheus};
use crate::state::{Memory, StateDir};
use crate::text::inert_json;
use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// All callers of `health` share what was seen within this time.
const HEALTH_FOR: Duration = Duration::from_secs(5);
/// What also depends on the time, or on more than its files, is made anew after this.
const STATUS_FOR: Duration = Duration::from_secs(1);
const STATS_FOR: Duration = Duration::from_secs(30);
/// What is remembered of the past.
const REMEMBERED: Duration = Duration::from_secs(7 * 86_400);
/// Read of the past in one go, in bytes.
const AT_ONCE: usize = 1 << 20;

/// How a file was: device, inode, size, time of the last change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamps(paths: &[&Path]) -> Vec<Stamp> {
    let of = |path: &&Path| {
        let m = std::fs::metadata(path).ok()?;
        Some((m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec()))
    };
    paths.iter().map(of).collect()
}

/// A value that is made by one caller for all.
struct Shared<T> {
    kept: Rc<RefCell<Option<Kept<T>>>>,
    making: Arc<tokio::sync::Mutex<()>>,
}

/// What it was made of, when, and the value.
type Kept<T> = (Vec<Stamp>, Instant, Arc<T>);

impl<T: Send + Sync + 'static> Shared<T> {
    fn new() -> Self {
        Shared { kept: Rc::default(), making: Arc::default() }
    }

    fn fresh(&self, stamps: &[Stamp], for_: Duration) -> Option<Arc<T>> {
        let kept = self.kept.borrow();
        let (made_of, made, value) = kept.as_ref()?;
        (made_of == stamps && made.elapsed() < for_).then(|| Arc::clone(value))
    }

    async fn get(
        &self,
        stamps: Vec<Stamp>,
        for_: Duration,
        make: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<Arc<T>> {
        if let Some(value) = self.fresh(&stamps, for_) {
            return Ok(value);
        }
        let making = Arc::clone(&self.making).lock_owned().await;
        if let Some(value) = self.fresh(&stamps, for_) {
            return Ok(value);
        }
        let kept = Rc::clone(&self.kept);
        // A task of its own: a caller that goes away must not have it begun once more by the next one.
        let made = tokio::task::spawn_local(async move {
            let _making = making;
            let value = Arc::new(blocking(make).await?);
            // From its end on: those who have waited for it get it too, however long it took.
            *kept.borrow_mut() = Some((stamps, Instant::now(), Arc::clone(&value)));
            Ok(value)
        });
        made.await.unwrap_or_else(|_| Err(anyhow!("the work was broken off")))
    }
}

/// Off the thread that all connections share.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(anyhow!("the work was broken off")))
}

/// The past as far as it was read.
struct Reader {
    events: Tail,
    metrics: Tail,
    past: Past,
    samples: Samples,
}

impl Reader {
    fn new(dir: &StateDir) -> Self {
        let since = jiff::SignedDuration::try_from(REMEMBERED).ok().and_then(|s| clock::now().checked_sub(s).ok());
        let from = From::Time(since.unwrap_or_default());
        Reader {
            events: Tail::new(dir.events(), from),
            metrics: Tail::new(dir.metrics(), from),
            past: Past::default(),
            samples: Samples::default(),
        }
    }

    /// Reads what has come since. What is read from its beginning once more replaces what was known.
    fn catch_up(&mut self) -> Result<()> {
        loop {
            let news = self.events.read(AT_ONCE)?;
            if news.gap {
                self.past = Past::default();
            }
            news.events.iter().for_each(|event| self.past.take(&event.line));
            if !news.more {
                break;
            }
        }
        loop {
            let news = self.metrics.read(AT_ONCE)?;
            if news.gap {
                self.samples = Samples::default();
            }
            news.events.iter().for_each(|event| self.samples.take(&event.line));
            if !news.more {
                break;
            }
        }
        let limit = jiff::SignedDuration::try_from(REMEMBERED).ok().and_then(|s| clock::now().checked_sub(s).ok());
        if let Some(limit) = limit {
            self.past.forget_before(limit);
            self.samples.forget_before(limit);
        }
        Ok(())
    }
}

/// Reads everything that is answered.
pub struct Reading {
    engine: Arc<Engine>,
    dir: StateDir,
    /// Whether checks can be run here.
    checks: bool,
    health: Shared<String>,
    stats: Shared<Vec<u8>>,
    status: Shared<(Status, String)>,
    backups: Shared<String>,
    past: Arc<Mutex<Reader>>,
}

impl Reading {
    pub fn new(engine: Arc<Engine>, checks: bool) -> Self {
        let dir = StateDir::of(&engine);
        Reading {
            past: Arc::new(Mutex::new(Reader::new(&dir))),
            engine,
            dir,
            checks,
            health: Shared::new(),
            stats: Shared::new(),
            status: Shared::new(),
            backups: Shared::new(),
        }
    }

    pub fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// The text of a successful document, without anything secret.
    pub fn success(&self, data: Value) -> String {
        success(&self.engine, data)
    }

    /// Health of every component: seen now, or by the last pass where no check can be run here.
    ///
    /// # Errors
    /// When nothing was seen yet.
    pub async fn health(&self) -> Result<Arc<String>> {
        let (engine, dir) = (Arc::clone(&self.engine), self.dir.clone());
        if !self.checks {
            let make = move || health_of_last_pass(&engine, &dir);
            return self.health.get(stamps(&[&self.dir.last_pass()]), STATUS_FOR, make).await;
        }
        let make = move || {
            let (memory, _) = Memory::load(&dir);
            let (checks, _) = observe::run(&engine, &[], &memory.samples, clock::now());
            Ok(success(&engine, health(&checks, clock::now())))
        };
        self.health.get(Vec::new(), HEALTH_FOR, make).await
    }

    pub async fn stats(&self) -> Result<Arc<Vec<u8>>> {
        let made_of = stamps(&[self.dir.knowledge_base(), &self.dir.attempts(), &self.dir.root().join("state.json")]);
        let engine = Arc::clone(&self.engine);
        let make = move || {
            let all = documents::stats(&engine, None)?;
            Ok(success(&engine, documents::stats_json(&all)).into_bytes())
        };
        self.stats.get(made_of, STATS_FOR, make).await
    }

    /// How things stand, and the same as a document.
    pub async fn status(&self) -> Result<Arc<(Status, String)>> {
        let made_of = self.of_status();
        let (engine, past) = (Arc::clone(&self.engine), Arc::clone(&self.past));
        let make = move || {
            let (mut status, _) = documents::status(&engine)?;
            if !lock::is_visible() {
                let mut reader = past.lock().unwrap_or_else(PoisonError::into_inner);
                reader.catch_up()?;
                status.running = reader.past.is_running(clock::now()).then(|| "a pass".to_owned());
            }
            let text = success(&engine, crate::show::status::json(&status));
            Ok((status, text))
        };
        self.status.get(made_of, STATUS_FOR, make).await
    }

    fn of_status(&self) -> Vec<Stamp> {
        let dir = &self.dir;
        stamps(&[
            &dir.root().join("state.json"),
            &dir.attempts(),
            &dir.pauses(),
            &dir.acks(),
            &dir.journal(),
            &dir.lock(),
        ])
    }

    pub async fn backups(&self) -> Result<Arc<String>> {
        let (engine, dir) = (Arc::clone(&self.engine), self.dir.clone());
        let make = move || Ok(success(&engine, documents::backups_json(&documents::backups(&dir)?)));
        self.backups.get(stamps(&[&self.dir.backups(), &self.dir.backup_index()]), STATUS_FOR, make).await
    }

    /// Open incidents, each with what the last pass concluded about it.
    pub async fn incidents(&self) -> Result<Value> {
        let status = self.status().await?;
        let dir = self.dir.clone();
        blocking(move || {
            let last = last_pass(&dir)?;
            let mut status_json = crate::show::status::json(&status.0);
            let mut all = status_json.get_mut("incidents").map(Value::take).unwrap_or_default();
            for (body, incident) in all.as_array_mut().into_iter().flatten().zip(&status.0.incidents) {
                let diagnoses = last.as_ref().and_then(|last| last["diagnoses"].as_array()).into_iter().flatten();
                let own = diagnoses.into_iter().find(|d| d["fingerprint"] == incident.fingerprint.as_str());
                body["diagnosis"] = own.cloned().unwrap_or_default();
            }
            Ok(json!({ "incidents": all }))
        })
        .await
    }

    /// Reads on and hands over what is known of the past.
    async fn with_past<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Past, &Samples) -> T + Send + 'static,
    ) -> Result<T> {
        let past = Arc::clone(&self.past);
        blocking(move || {
            let mut reader = past.lock().unwrap_or_else(PoisonError::into_inner);
            reader.catch_up()?;
            Ok(work(&reader.past, &reader.samples))
        })
        .await
    }

    /// What happened, the newest first.
    pub async fn history(&self) -> Result<Value> {
        self.with_past(|past, _| {
            let items: Vec<_> = past.items.iter().rev().collect();
            json!({ "items": items, "total": items.len(), "fix": past.fix })
        })
        .await
    }

    /// Series for charts; what errors look like only for who may read log text.
    pub async fn trends(&self, may_read: bool) -> Result<Value> {
        let status = self.status().await?;
        self.with_past(move |past, samples| {
            let checks: serde_json::Map<String, Value> = samples
                .checks()
                .into_iter()
                .map(|name| {
                    let latency = samples.of(name, |p| p.latency_ms);
                    let state = samples.all.iter().filter_map(|s| Some((s.t, s.checks.get(name)?.status)));
                    (name.to_owned(), json!({ "latency_ms": latency, "status": state.collect::<Vec<_>>() }))
                })
                .collect();
            let host = |value: fn(&crate::past::Point) -> Option<f32>| {
                samples.checks().into_iter().map(|name| samples.of(name, value)).find(|all| !all.is_empty())
            };
            let hours: Vec<Value> = past.errors.iter().map(|(hour, groups)| json!({
                "hour": jiff::Timestamp::from_second(*hour).unwrap_or_default(), "groups": groups,
            })).collect();
            let groups: serde_json::Map<String, Value> =
                past.groups.iter().filter(|_| may_read).map(|(id, group)| (id.clone(), group.template.clone().into())).collect();
            json!({
                "checks": checks,
                "host": { "cpu_percent": host(|p| p.cpu), "memory_percent": host(|p| p.memory), "disk_percent": host(|p| p.disk) },
                "errors": { "hours": hours, "groups": groups },
                "fixes": json::stats(&status.0.knowledge).get_mut("by_type").map(Value::take),
            })
        })
        .await
    }

    /// The dashboard, whole or its inside.
    pub async fn page(&self, whole: bool, may_act: bool, may_read: bool) -> Result<String> {
        let status = self.status().await?;
        let (engine, dir) = (Arc::clone(&self.engine), self.dir.clone());
        let past = Arc::clone(&self.past);
        blocking(move || {
            let mut reader = past.lock().unwrap_or_else(PoisonError::into_inner);
            // A page that shows what there is, and says what it could not read, is worth more than none.
            let mut unreadable: Vec<String> =
                reader.catch_up().err().map(|error| format!("{error:#}")).into_iter().collect();
            let last_pass = last_pass(&dir).unwrap_or_else(|error| {
                unreadable.push(format!("{error:#}"));
                None
            });
            let (past, samples) = (&reader.past, &reader.samples);
            let view = View {
                unreadable: &unreadable,
                now: clock::now(),
                status: &status.0,
                last_pass: last_pass.as_ref(),
                past,
                samples,
                may_act,
                may_read,
            };
            let text = if whole { page::page(&view) } else { page::main(&view) };
            Ok(engine.redactor.redact(&text).into_owned())
        })
        .await
    }

    /// The figures for Prometheus.
    pub async fn metrics(&self) -> Result<String> {
        let status = self.status().await?;
        let (engine, dir) = (Arc::clone(&self.engine), self.dir.clone());
        blocking(move || {
            let (memory, _) = Memory::load(&dir);
            // One damaged file must not take every figure away.
            let checks = checks_of(last_pass(&dir).ok().flatten().as_ref());
            let Some(last) = &memory.last_pass else { return Ok(prometheus::info()) };
            let text = prometheus::text(&prometheus::Exported {
                ended: last.ended(),
                duration: Duration::from_millis(last.duration_ms),
                exit_code: last.exit_code,
                checks: &checks,
                incidents: &memory.incidents,
                problems: last.problems,
                circuits: &status.0.tripped,
                totals: &memory.totals,
            });
            Ok(engine.redactor.redact(&text).into_owned())
        })
        .await
    }
}

fn success(engine: &Engine, data: Value) -> String {
    let text = json::success(hush_json(data)).to_string();
    inert_json(&engine.redactor.redact(&text)).into_owned()
}

fn health(checks: &[CheckResult], seen: jiff::Timestamp) -> Value {
    let mut body = json::health(checks);
    if let Some(body) = body.as_object_mut() {
        let age = clock::now().as_second().saturating_sub(seen.as_second()).max(0);
        body.insert("seen".into(), clock::to_second(seen).to_string().into());
        body.insert("age_s".into(), age.into());
    }
    body
}

fn health_of_last_pass(engine: &Engine, dir: &StateDir) -> Result<String> {
    let last = last_pass(dir)?.context("no pass has looked yet: `healer heal` runs one")?;
    let seen =
        last.get("t").and_then(Value::as_str).and_then(|t| t.parse().ok()).context("last_pass.json says no time")?;
    Ok(success(engine, health(&checks_of(Some(&last)), seen)))
}

fn checks_of(last_pass: Option<&Value>) -> Vec<CheckResult> {
    last_pass.and_then(|last| Vec::deserialize(&last["checks"]).ok()).unwrap_or_default()
}

/// What the last pass left, with the health that it saw as the API gives it.
fn last_pass(dir: &StateDir) -> Result<Option<Value>> {
    let path: PathBuf = dir.last_pass();
    let text = match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut last: Value = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let health = json::health(&checks_of(Some(&last)));
    if let Some(last) = last.as_object_mut() {
        last.insert("health".into(), health);
    }
    Ok(Some(last))
}
