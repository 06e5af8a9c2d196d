//! A host with a past, for those who look: some fixes, a rollback, what is open and held. It was made by real passes
//! whose traces are then aged, so that all of it is what a host would have.

use super::{Root, healer, next_second};
use regex::{Captures, Regex};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CONFIG: &str = include_str!("past.toml");

const LIMITED: &str = "ERROR worker request failed: 429 Client Error: Too Many Requests for url: http://x/\n";
const POOL: &str = "ERROR sqlalchemy.exc.OperationalError: FATAL: remaining connection slots are reserved\n";

const TRIED: &str = "\
2025-10-19T17:00:01Z INFO worker started
2025-10-19T17:00:02Z ERROR worker request failed: 429 Client Error: Too Many Requests for url: http://x/
2025-10-19T17:00:03Z ERROR worker request failed: 429 Client Error: Too Many Requests for url: http://x/ and then a \
good deal more that nobody has asked for and that is longer than any terminal is wide, so that it is cut
2025-10-19T17:00:04Z WARN a retry in 5 s
";

const CLIENT: &str = "import asyncio\n\nasync def work():\n    await asyncio.sleep(0.8)  # seconds\n";
const SETTINGS: &str = "[database]\npool_size = 10\nurl = \"postgres://127.0.0.1/shop\"\n";

/// The host; its directory's name is of the same length wherever temporary files live.
pub struct Shop {
    pub root: Root,
    made: Instant,
}

impl Shop {
    /// Nothing has happened yet, and no check complains.
    pub fn quiet() -> Shop {
        let root = Root::in_tmp();
        root.config(CONFIG);
        root.write("worker/client.py", CLIENT);
        root.write("worker/settings.toml", SETTINGS);
        root.write("worker.log", "");
        root.write("try.log", TRIED);
        let shop = Shop { root, made: Instant::now() };
        shop.check("database", 0, "OK - 12 connections | connections=12;80;100");
        shop.check("api", 0, "OK - HTTP 200");
        shop.check("queue", 0, "OK - 40 jobs | jobs=40;100;500");
        shop.check("backup", 0, "OK - the last backup is 2 h old");
        shop
    }

    /// Six hours of it: a fix that did not help, one that did and was undone by hand, and what is open now.
    pub fn with_a_past() -> Shop {
        let mut shop = Shop::quiet();
        shop.fix_that_does_not_help();
        shop.age(3 * 3600);
        // A backup is called by its second.
        next_second();
        shop.fix_that_helps();
        shop.age(2 * 3600);
        next_second();
        healer(&shop.root, &["rollback", "latest"]).expect_code(0);
        shop.age(3600);

        shop.check("api", 2, "CRITICAL - HTTP 503 from the upstream");
        shop.check("backup", 1, "WARNING - the last backup is 26 h old");
        shop.pass(10);
        shop.age(290);
        shop.root.append("worker.log", LIMITED.repeat(20));
        shop.pass(10);
        shop.age(270);
        shop.fix_figures();
        shop.made = Instant::now();
        shop
    }

    /// All is as long ago as it was when the past was made, however long that is ago itself.
    pub fn as_made(&self) {
        self.age(-i64::try_from(self.made.elapsed().as_secs()).unwrap());
    }

    /// The worker is rate limited, and still is once its delay is longer.
    pub fn fix_that_does_not_help(&self) {
        let _burst = self.not_helped();
        self.pass(12);
    }

    /// The same, before its pass.
    pub fn not_helped(&self) -> Burst {
        self.root.append("worker.log", LIMITED.repeat(20));
        Burst::once_watched(
            self.root.state_dir().join("events.jsonl"),
            self.root.path("worker.log"),
            LIMITED.repeat(60),
        )
    }

    /// The worker finds no connection free, until the pool is larger.
    pub fn fix_that_helps(&self) {
        self.helped();
        self.pass(0);
    }

    /// The same, before its pass.
    pub fn helped(&self) {
        self.root.append("worker.log", POOL.repeat(20));
    }

    /// What a pass took is what the machine's load was: the same for every run.
    pub fn fix_figures(&self) {
        let path = self.root.state_dir().join("fix_knowledge_base.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        let took = Regex::new(r#""(detect|diagnose|apply|validate|duration)_ms":\d+"#).unwrap();
        let lines = text.lines().map(|line| with_checksum(&took.replace_all(line, "\"${1}_ms\":1500")));
        std::fs::write(&path, lines.collect::<String>()).unwrap();
    }

    /// So many more fixes of a rule that failed, one every ten minutes, the last a minute and a half ago.
    pub fn failures(&self, count: i64, rule: &str) {
        let now = jiff::Timestamp::now();
        let target = format!("{}#call asyncio.sleep", self.root.path("worker/client.py").display());
        for n in (0..count).rev() {
            let at = (now - jiff::SignedDuration::from_secs(90 + n * 600)).to_string();
            let of = |kind: &str, more: serde_json::Value| {
                let mut line =
                    serde_json::json!({ "kind": kind, "t": at, "boot": "", "up": 0.0, "fix": format!("fix_{n}") });
                line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                self.root.append("state/attempts.jsonl", format!("{line}\n"));
            };
            let fix = serde_json::json!({
                "rule": rule, "fix_type": "increase_delay", "target": target, "component": "file:worker",
            });
            of("charge", fix);
            of("end", serde_json::json!({ "outcome": "rolled_back" }));
        }
    }

    /// What a check says from now on.
    pub fn check(&self, name: &str, code: u8, line: &str) {
        self.root.write(format!("bin/{name}"), format!("#!/bin/sh\necho '{line}'\nexit {code}\n"));
        let path = self.root.path(format!("bin/{name}"));
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[track_caller]
    pub fn pass(&self, code: i32) {
        healer(&self.root, &["heal"]).expect_code(code);
    }

    /// All that has happened so far is so many seconds further ago.
    pub fn age(&self, seconds: i64) {
        let now = jiff::Timestamp::now().as_second();
        let shift = |text: &str| {
            let time = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap();
            let text = time.replace_all(text, |found: &Captures| {
                let time: jiff::Timestamp = found[0].parse().unwrap();
                (time - jiff::SignedDuration::from_secs(seconds)).to_string()
            });
            let up = Regex::new(r#""up":([0-9.]+)"#).unwrap();
            let text = up.replace_all(&text, |found: &Captures| {
                format!("\"up\":{}", found[1].parse::<f64>().unwrap() - seconds as f64)
            });
            let epoch = Regex::new(r"\b\d{10}\b").unwrap();
            let text = epoch.replace_all(&text, |found: &Captures| {
                let then: i64 = found[0].parse().unwrap();
                if (now - then).abs() < 86_400 { (then - seconds).to_string() } else { found[0].to_owned() }
            });
            text.into_owned()
        };
        let state = self.root.state_dir();
        let files = ["attempts.jsonl", "events.jsonl", "state.json", "cursors.json", "pause.json", "acks.json"];
        let backups = std::fs::read_dir(state.join("backups")).into_iter().flatten();
        let backups = backups.map(|entry| entry.unwrap().path().join("metadata.json"));
        for path in files.map(|name| state.join(name)).into_iter().chain(backups).filter(|path| path.exists()) {
            let text = shift(&std::fs::read_to_string(&path).unwrap());
            let text = if path.ends_with("metadata.json") { with_checksum(&text) } else { text };
            std::fs::write(&path, text).unwrap();
        }
    }
}

/// A line whose last key is the checksum of the rest, made to fit again.
fn with_checksum(line: &str) -> String {
    let (rest, _) = line.rsplit_once(",\"crc\":\"").unwrap();
    format!("{rest},\"crc\":\"{:08x}\"}}\n", crc32fast::hash(format!("{rest}}}").as_bytes()))
}

/// A thread that logs once, when a pass watches its fix; ends when dropped.
pub struct Burst {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Burst {
    fn once_watched(events: PathBuf, log: PathBuf, text: String) -> Burst {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if std::fs::read_to_string(&events).is_ok_and(|events| events.contains("\"validating\"")) {
                        return Root::append_to(&log, &text);
                    }
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
        });
        Burst { stop, thread: Some(thread) }
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
