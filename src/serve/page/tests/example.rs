//! Installations as the tests need them: made the way that passes leave them.

use super::super::View;
use crate::attempts::Held;
use crate::breaker::Tripped;
use crate::learn::Knowledge;
use crate::model::{Incident, Moment, Status as Health, Tries};
use crate::past::{Past, Samples};
use crate::pause::Pause;
use crate::show::status::Status;
use crate::state::LastPass;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

/// What a [`View`] borrows.
pub struct Example {
    pub now: Timestamp,
    pub status: Status,
    pub last_pass: Option<Value>,
    pub past: Past,
    pub samples: Samples,
    pub may_act: bool,
    pub may_read: bool,
}

pub const NOW: &str = "2025-10-19T17:05:00Z";

/// So many seconds before now.
pub fn before(seconds: i64) -> Timestamp {
    NOW.parse::<Timestamp>().unwrap().checked_sub(SignedDuration::from_secs(seconds)).unwrap()
}

impl Example {
    /// Set up, and no pass yet.
    pub fn new() -> Example {
        let now = before(0);
        let status = Status {
            now: Moment::of_wall(now),
            suggest: false,
            stop: None,
            check_interval: Duration::from_secs(300),
            running: None,
            open: None,
            last_pass: None,
            incidents: Vec::new(),
            plans: Default::default(),
            acks: Vec::new(),
            held: Vec::new(),
            pauses: Vec::new(),
            unreadable: Vec::new(),
            pauses_unreadable: false,
            maintenance: Vec::new(),
            tripped: Vec::new(),
            silent: Vec::new(),
            recent_backups: Vec::new(),
            knowledge: Knowledge::default(),
        };
        Example {
            now,
            status,
            last_pass: None,
            past: Past::default(),
            samples: Samples::default(),
            may_act: true,
            may_read: true,
        }
    }

    /// All is well, and a quiet week lies behind.
    pub fn quiet() -> Example {
        let mut e = Example::new();
        e.passed(102);
        e.last_pass = Some(json!({ "health": { "overall_status": "healthy", "checks": {
            "api": check("http", "healthy", "200 OK in 118 ms", &[("response_time_ms", 118.0, "milliseconds")]),
            "database": check("postgres", "healthy", "answers; 12 of 100 connections", &[("latency_ms", 15.2, "milliseconds")]),
            "redis": check("redis", "healthy", "answers", &[("latency_ms", 0.4, "milliseconds")]),
            "host": check("host", "healthy", "cpu 12 %, memory 48 %, disk 61 %", &[
                ("cpu_percent", 12.4, "percent"), ("memory_percent", 48.0, "percent"), ("disk_percent", 61.2, "percent")]),
            "docker": docker("healthy", &[("shop-api", "healthy"), ("shop-db", "healthy"), ("shop-worker", "healthy")]),
        }}, "diagnoses": [], "blocked": null }));
        e.sampled(|_, _| "healthy");
        e.status.knowledge.by_type.insert("increase_delay".into(), Tries { total: 10, successes: 9 });
        e.status.knowledge.by_type.insert("restart_container".into(), Tries { total: 5, successes: 5 });
        e
    }

    /// Things happened, something is held, the worker is being fixed.
    pub fn busy() -> Example {
        let mut e = Example::quiet();
        e.last_pass = Some(json!({ "health": { "overall_status": "critical", "checks": {
            "api": check("http", "warning", "200 OK in 5412 ms, over 5 s", &[("response_time_ms", 5412.0, "milliseconds")]),
            "database": check("postgres", "critical", "96 of 100 connections are taken (critical: 95)", &[("latency_ms", 812.0, "milliseconds")]),
            "redis": check("redis", "healthy", "answers", &[("latency_ms", 0.4, "milliseconds")]),
            "raid": check("command", "unknown", "check_raid did not end within 30s", &[]),
            "host": check("host", "healthy", "cpu 31 %, memory 71 %, disk 61 %", &[
                ("cpu_percent", 31.0, "percent"), ("memory_percent", 71.0, "percent"), ("disk_percent", 61.2, "percent")]),
            "docker": docker("critical", &[("shop-api", "healthy"), ("shop-db", "healthy"), ("shop-worker", "critical")]),
        }}, "diagnoses": [held_diagnosis("low_confidence")], "blocked": null }));
        e.sampled(|check, half_hour| match (check, half_hour) {
            ("database", 0..3) | ("docker", 20..22) => "critical",
            ("api", 0..4) | ("database", 3..6) => "warning",
            ("raid", 0..10) => "unknown",
            _ => "healthy",
        });
        e.status.incidents = vec![
            incident("inc_20251019_164500_1", "database_connection/database", "database", Health::Critical),
            incident(
                "inc_20251019_165500_1",
                "rate_limiting/container:shop-worker",
                "container:shop-worker",
                Health::Warning,
            ),
        ];
        e.status.running = Some("healer heal (pid 4711), since 3m".into());
        e.errors();
        e.history();
        e.fixing();
        e.progress(20, 52, false);
        e
    }

    /// A pass that ended so many seconds ago.
    pub fn passed(&mut self, ago: i64) {
        let started = before(ago + 2);
        self.status.last_pass = Some(LastPass {
            started,
            duration_ms: 2_000,
            status: Health::Healthy,
            issues: 0,
            exit_code: 0,
            problems: 0,
        });
    }

    /// Passes of a day, one each half hour; `status` is asked for check and half hours ago.
    fn sampled(&mut self, status: impl Fn(&str, i64) -> &'static str) {
        for ago in (0..48).rev() {
            let wave =
                |period: f64, height: f64| (f64::from(i32::try_from(ago).unwrap()) / period).sin() * height + height;
            self.samples.take(
                &json!({ "t": before(ago * 1_800).to_string(), "errors": 0, "checks": {
                    "api": { "status": status("api", ago), "response_time_ms": 110.0 + wave(3.1, 40.0) },
                    "database": { "status": status("database", ago), "latency_ms": 12.0 + wave(5.0, 6.0) },
                    "redis": { "status": status("redis", ago), "latency_ms": 0.4 + wave(2.0, 0.2) },
                    "docker": { "status": status("docker", ago) },
                    "host": { "status": "healthy", "cpu_percent": 12.0 + wave(4.0, 20.0), "memory_percent": 48.0 + wave(9.0, 8.0), "disk_percent": 61.2 },
                }})
                .to_string(),
            );
        }
    }

    fn errors(&mut self) {
        let groups =
            ["HTTP NUM Client Error: Too Many Requests", "connection to server at ADDR failed", "Traceback in task ID"];
        for hour in 0..24_i64 {
            for (at, template) in groups.iter().enumerate().filter(|(at, _)| (hour + *at as i64) % 3 != 0) {
                let count = (hour * 7 + at as i64 * 5) % 23 + 1;
                self.event("errors", before(hour * 3_600), json!({ "group": format!("g{at}"), "count": count,
                    "template": template, "example": template, "severity": "warning", "signatures": ["rate_limit"], "sources": ["file:app"] }));
            }
        }
    }

    /// A fix that healed, one that was rolled back, and what goes with them.
    fn history(&mut self) {
        let told = [(400_000, "healed"), (200_000, "rolled_back"), (90_000, "unproven"), (30_000, "healed")];
        for (number, (ago, outcome)) in told.into_iter().enumerate() {
            let plan = format!("plan_00000000000{number}");
            let body = json!({ "plan_id": plan, "run": "run_1", "diagnosis": worker() });
            self.event("fixing", before(ago + 130), body);
            let backup = format!("backup_20251018_17000{number}");
            self.event("begun", before(ago + 129), json!({ "fix_id": "fix_1", "backup_id": backup }));
            self.event(outcome, before(ago), json!({
                "fix_id": "fix_1", "backup_id": backup, "rule": "rate-limit-delay", "component": "container:shop-worker",
                "fix_type": "increase_delay", "confidence": 92, "plan": { "id": plan, "cause": worker()["cause"] },
                "why": if outcome == "healed" { Value::Null } else { "14 errors in 2m, 0 allowed".into() },
                "verdict": { "kind": outcome, "judged_on": "0 errors in 2m where 14 were expected", "errors_after": 0, "chance_of_luck": 0.0001 },
            }));
        }
        self.event("alert", before(86_000), json!({ "alert": { "kind": "critical", "title": "database is critical: connection refused",
            "component": "database", "why": "no rule has a fix for this", "evidence": ["connection to server at 127.0.0.1 failed"] }}));
        self.event(
            "alert",
            before(84_000),
            json!({ "alert": { "kind": "resolved", "title": "database is healthy again", "component": "database" }}),
        );
        self.event("paused", before(50_000), json!({ "by": "ops", "reason": "deploy" }));
        self.event("resumed", before(48_000), json!({ "by": "ops" }));
    }

    /// The worker's fix has been applied and is watched.
    pub fn fixing(&mut self) {
        self.status.running = Some("process 4711".into());
        self.event(
            "fixing",
            before(45),
            json!({ "plan_id": "plan_0123456789ab", "run": "run_2", "diagnosis": worker() }),
        );
        self.event(
            "begun",
            before(44),
            json!({ "fix_id": "fix_20251019_170416", "backup_id": "backup_20251019_170416" }),
        );
        self.event("backup", before(44), json!({ "backup_id": "backup_20251019_170416" }));
        self.event(
            "edited",
            before(43),
            json!({ "edit": { "path": "/srv/shop/worker/client.py", "line": 14, "old": "0.8", "new": "1.2" }}),
        );
        self.event("restarted", before(40), json!({ "target": "container:shop-worker" }));
    }

    /// The watching said so.
    pub fn progress(&mut self, ago: i64, left_s: u64, settling: bool) {
        self.event("validating", before(ago + 10), json!({ "seconds": 120 }));
        let body = json!({ "watched": "rate_limit in container:shop-worker", "errors": 0, "settling": settling, "left_s": left_s });
        self.event("progress", before(ago), body);
    }

    pub fn event(&mut self, kind: &str, t: Timestamp, body: Value) {
        let mut event = json!({ "t": t.to_string(), "kind": kind });
        event.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        self.past.take(&event.to_string());
    }

    pub fn pause(&mut self, rule: Option<&str>) {
        let rule = rule.map(str::to_owned);
        let (reason, by) = ("deploy".into(), "ops".into());
        self.status.pauses.push(Pause { since: self.status.now.clone(), seconds: 3_600, reason, by, rule });
    }

    pub fn hold(&mut self, reason: &str) {
        let (rule, target) = ("rate-limit-delay".into(), "/srv/shop/client.py#call sleep".into());
        self.status.held.push(Held { rule, target, reason: reason.into(), since: self.status.now.clone() });
    }

    pub fn trip(&mut self) {
        let (rule, target) = ("restart-api".into(), "container:shop-api".into());
        self.status.tripped.push(Tripped { rule, target, failures: 3, left: Duration::from_secs(3_000) });
    }

    pub fn view(&self) -> View<'_> {
        View {
            now: self.now,
            status: &self.status,
            last_pass: self.last_pass.as_ref(),
            unreadable: &[],
            past: &self.past,
            samples: &self.samples,
            may_act: self.may_act,
            may_read: self.may_read,
        }
    }
}

pub fn check(kind: &str, status: &str, message: &str, metrics: &[(&str, f64, &str)]) -> Value {
    let metrics: Vec<Value> =
        metrics.iter().map(|(name, value, unit)| json!({ "name": name, "value": value, "unit": unit })).collect();
    json!({ "kind": kind, "status": status, "message": message, "metrics": metrics })
}

fn docker(status: &str, containers: &[(&str, &str)]) -> Value {
    let mut docker = check(
        "docker",
        status,
        "containers",
        &[
            ("containers_running", containers.len() as f64, "count"),
            ("containers_total", containers.len() as f64, "count"),
        ],
    );
    docker["containers"] = containers
        .iter()
        .map(|(name, status)| {
            let message =
                if *status == "healthy" { "running, healthy" } else { "restarting: 4 restarts since the last pass" };
            json!({ "name": name, "status": status, "message": message, "cpu_percent": 3.2, "memory_bytes": 251_658_240,
                    "compose_project": "shop" })
        })
        .collect();
    docker
}

pub fn incident(id: &str, fingerprint: &str, component: &str, severity: Health) -> Incident {
    Incident {
        id: id.into(),
        fingerprint: fingerprint.into(),
        issue_type: "database_connection".into(),
        component: component.into(),
        severity,
        cause: format!("{component} is in trouble"),
        symptom_of: None,
        symptoms: Vec::new(),
        flapping: false,
        reopened: Vec::new(),
        opened: before(1_200),
        last_seen: before(100),
        hold: None,
        hold_kind: None,
        alerted: std::collections::BTreeMap::new(),
    }
}

/// A diagnosis that waits for a human.
pub fn held_diagnosis(hold: &str) -> Value {
    json!({
        "rule": "idle-transactions", "issue_type": "database_connection", "severity": "critical",
        "cause": "the database runs out of connections: 71 of 96 are idle in a transaction",
        "trigger": { "component": "database", "seen": "database connections_percent is 96, above 95",
                     "example": "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute" },
        "fingerprint": "database_connection/database", "confidence": 78, "needs_human": true, "decision": "hold", "hold": hold,
        "hold_reason": "confidence 78 is below the threshold of 85",
        "signals": [
            { "kind": "metric", "role": "trigger", "asked": "database connections_percent above 95", "seen": "database connections_percent is 96", "weight": 0.0, "held": true },
            { "kind": "log", "role": "evidence", "asked": "3 x database_error in container:shop-api within 10m", "seen": "12 x database_error in container:shop-api within 10m", "weight": 6.0, "held": true },
            { "kind": "check", "role": "evidence", "asked": "redis is critical", "seen": "redis is healthy", "weight": -20.0, "held": false }],
        "addends": [{ "label": "rule idle-transactions", "points": 80.0 }, { "label": "evidence: database_error", "points": 6.0 },
                    { "label": "history: 1 of 4 helped", "points": -8.0 }],
        "candidates": [{ "rule": "idle-transactions" }, { "rule": null, "issue_type": "resource_overload", "confidence": 55,
                         "component": "host", "cause": "the host is short of memory" }],
        "plan": { "id": "plan_89abcdef0123", "target": "postgres:database" },
        "steps": ["terminate sessions of database that are idle in a transaction for over 5m", "edit /srv/shop/api/settings.toml:9 `pool.size`: 40 -> 20"],
        "diff": "--- /srv/shop/api/settings.toml\n+++ /srv/shop/api/settings.toml\n@@ -7,5 +7,5 @@\n [pool]\n timeout = 30\n-size = 40\n+size = 20\n recycle = 1800",
    })
}

fn worker() -> Value {
    json!({
        "rule": "rate-limit-delay", "issue_type": "rate_limiting", "severity": "warning", "confidence": 92,
        "cause": "container:shop-worker was rate limited 14 times in 10m: requests are sent too fast",
        "trigger": { "component": "container:shop-worker", "seen": "14 x rate_limit in container:shop-worker within 10m",
                     "example": "HTTP 429 Client Error: Too Many Requests for url: https://api.example.org/v1/items" },
        "fingerprint": "rate_limiting/container:shop-worker",
        "signals": [{ "kind": "log", "role": "trigger", "asked": "5 x rate_limit", "seen": "14 x rate_limit in container:shop-worker within 10m", "weight": 0.0, "held": true }],
        "addends": [{ "label": "rule rate-limit-delay", "points": 88.0 }, { "label": "evidence: api is warning", "points": 4.0 }],
        "steps": ["edit /srv/shop/worker/client.py:14 `call asyncio.sleep`: 0.8 -> 1.2", "restart container:shop-worker"],
        "diff": "--- /srv/shop/worker/client.py\n+++ /srv/shop/worker/client.py\n@@ -12,4 +12,4 @@\n     async def fetch(self):\n-        await asyncio.sleep(0.8)\n+        await asyncio.sleep(1.2)\n         return await self.get()",
    })
}
