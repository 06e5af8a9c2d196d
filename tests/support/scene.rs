//! A service of a test's own: a program with one literal, a log, and a worker thread that reads the literal and logs
//! errors accordingly; with a configuration that heals it. What a test wants different is a field of [`Parts`].

use super::{Ran, Root, Running, healer, spawn};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The program that is healed: CRLF, a tab, characters beyond ASCII, no final newline, so that a kept byte is seen.
pub const PROGRAM: &str = "import asyncio\r\n\r\n# pause: nicht zu schnell \u{2013} sonst 429\r\nasync def work():\r\n\tawait asyncio.sleep(0.8)  # seconds";

/// Where the program lies below the root.
pub const PROGRAM_PATH: &str = "worker/client.py";

/// A line that the built-in signature `rate_limit` matches.
pub const RATE_LIMITED: &str = "ERROR worker request failed: 429 Client Error: Too Many Requests for url: http://x/\n";

/// The parts of the configuration; `{root}` becomes the root's path.
pub struct Parts {
    /// Keys before the first section.
    pub top: String,
    pub allow: String,
    pub checks: String,
    pub when: String,
    pub confidence: String,
    /// More keys of the rule, one a line.
    pub rule: String,
    /// The `[[rule.fix]]` tables.
    pub fixes: String,
    pub validate: String,
    pub rule_limits: String,
    pub limits: String,
    /// Whatever else: `[alerts]`, further rules.
    pub rest: String,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts {
            top: String::new(),
            allow: "files = [\"{root}/worker/**\"]".into(),
            checks: String::new(),
            when: r#"{ log = "file:worker", signature = "rate_limit", count = 5, within = "10m" }"#.into(),
            confidence: "90".into(),
            rule: String::new(),
            fixes: fix("increase_delay", r#"at = "call asyncio.sleep", multiply = 1.5, max = 5.0"#),
            validate: "settle = \"100ms\"\nwindow = \"500ms\"\nmax_window = \"1s\"".into(),
            rule_limits: "cooldown = \"30m\"".into(),
            limits: "human_grace = \"0s\"\nstart_grace = \"0s\"\nmin_duration = \"0s\"".into(),
            rest: String::new(),
        }
    }
}

/// A fix with one edit of the program.
pub fn fix(fix_type: &str, change: &str) -> String {
    format!("[[rule.fix]]\nfix_type = \"{fix_type}\"\nsteps = [{{ edit = \"{{root}}/{PROGRAM_PATH}\", {change} }}]\n")
}

impl Parts {
    fn toml(&self) -> String {
        let Parts { top, allow, checks, when, confidence, rule, fixes, validate, rule_limits, limits, rest } = self;
        format!(
            "{top}\n[allow]\n{allow}\n[checks.docker]\nenabled = false\n[checks.host]\nenabled = false\n{checks}\n\
             [logs.files.worker]\npath = \"{{root}}/worker.log\"\n[limits]\n{limits}\n\
             [[rule]]\nname = \"slow-down\"\nwhen = {when}\nissue_type = \"rate_limiting\"\n\
             cause = \"{{log}} was rate limited {{count}} times\"\nconfidence = {confidence}\n{rule}\n{fixes}\n\
             [rule.validate]\n{validate}\n[rule.limits]\n{rule_limits}\n{rest}\n"
        )
    }
}

/// A root with the program (mode 640), an empty log and the configuration.
pub struct Scene {
    pub root: Root,
    pub parts: Parts,
}

impl Scene {
    /// The usual parts, changed by the test.
    pub fn new(change: impl FnOnce(&mut Parts)) -> Scene {
        let mut scene = Scene { root: Root::new(), parts: Parts::default() };
        change(&mut scene.parts);
        scene.root.write(PROGRAM_PATH, PROGRAM);
        std::fs::set_permissions(scene.root.path(PROGRAM_PATH), PermissionsExt::from_mode(0o640)).unwrap();
        scene.root.write("worker.log", "");
        scene.configure(|_| {});
        scene
    }

    /// Changes the configuration.
    pub fn configure(&mut self, change: impl FnOnce(&mut Parts)) {
        change(&mut self.parts);
        self.root.config(&self.parts.toml());
    }

    /// Logs this many errors at once.
    pub fn log_errors(&self, count: usize) {
        self.root.append("worker.log", RATE_LIMITED.repeat(count));
    }

    pub fn heal(&self) -> Ran {
        healer(&self.root, &["heal"])
    }

    /// A pass, its JSON.
    pub fn heal_json(&self, args: &[&str], code: i32) -> serde_json::Value {
        let args: Vec<&str> = ["heal", "--json"].iter().chain(args).copied().collect();
        healer(&self.root, &args).expect_code(code).data()
    }

    /// Starts a pass and returns once its window has begun. The configuration must not settle.
    pub fn spawn_into_window(&self) -> Running {
        let mut pass = spawn(&self.root, &["heal"]);
        pass.wait_for("watching");
        pass
    }

    pub fn program(&self) -> String {
        self.root.read_text(PROGRAM_PATH)
    }

    #[track_caller]
    pub fn assert_program(&self, literal: &str) {
        assert_eq!(self.program(), PROGRAM.replace("0.8", literal));
    }

    /// Knowledge base records that are fixes.
    pub fn records(&self) -> Vec<serde_json::Value> {
        let mut all = self.root.state_lines("fix_knowledge_base.jsonl");
        all.retain(|line| line.get("kind").is_none());
        all
    }

    /// The `kind` of every event so far.
    pub fn event_kinds(&self) -> Vec<String> {
        self.root.state_lines("events.jsonl").iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// Ids of all backups, oldest first.
    pub fn backups(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root.state_dir().join("backups")) else { return Vec::new() };
        let mut ids: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        ids.sort();
        ids
    }

    /// Whether a transaction is open.
    pub fn is_open(&self) -> bool {
        std::fs::read_dir(self.root.state_dir().join("journal")).is_ok_and(|entries| entries.count() > 0)
    }

    /// A worker that logs `errors(literal)` lines every 20 ms.
    pub fn worker(&self, errors: impl Fn(f64) -> usize + Send + 'static) -> Worker {
        Worker::start(self.root.path(PROGRAM_PATH), self.root.path("worker.log"), errors)
    }

    /// A worker that is rate limited while its pause is shorter than a second: one fix mends it.
    pub fn mendable_worker(&self) -> Worker {
        self.worker(|pause| usize::from(pause < 1.0))
    }

    /// A worker whose errors come at the same rate whatever its pause is.
    pub fn hopeless_worker(&self) -> Worker {
        self.worker(|_| 1)
    }
}

/// The thread of [`Scene::worker`]; ends when dropped.
pub struct Worker {
    stop: Arc<AtomicBool>,
    logged: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

const TICK: Duration = Duration::from_millis(20);

impl Worker {
    fn start(program: PathBuf, log: PathBuf, errors: impl Fn(f64) -> usize + Send + 'static) -> Worker {
        let (stop, logged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, logged) = (Arc::clone(&stop), Arc::clone(&logged));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let text = std::fs::read_to_string(&program).unwrap();
                    let pause = text.split("sleep(").nth(1).and_then(|t| t.split(')').next()).unwrap();
                    let count = errors(pause.parse().unwrap());
                    append(&log, &RATE_LIMITED.repeat(count));
                    logged.fetch_add(count as u64, Ordering::Relaxed);
                    std::thread::park_timeout(TICK);
                }
            }
        });
        Worker { stop, logged, thread: Some(thread) }
    }

    /// Waits until it has logged this many errors more; returns itself.
    #[track_caller]
    pub fn more(self, errors: u64) -> Worker {
        let logged = self.logged.load(Ordering::Relaxed);
        self.after(logged + errors)
    }

    /// Waits until it has logged this many errors since its start; returns itself.
    #[track_caller]
    pub fn after(self, errors: u64) -> Worker {
        let until = Instant::now() + super::DEADLINE;
        while self.logged.load(Ordering::Relaxed) < errors {
            assert!(Instant::now() < until, "the worker logs nothing");
            std::thread::park_timeout(TICK);
        }
        self
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Waits for the clock's next second: events of the very second in which a fix ended are counted as before it.
pub fn next_second() {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let second = now().as_secs();
    while now().as_secs() == second {
        std::thread::park_timeout(
            Duration::from_secs(1).saturating_sub(Duration::from_nanos(now().subsec_nanos().into())),
        );
    }
}

fn append(log: &std::path::Path, text: &str) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
