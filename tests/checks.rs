//! The checks against real services. Each test reads the address of its service from the environment
//! (`HEALER_TEST_POSTGRES`, `HEALER_TEST_POSTGRES_TLS`, `HEALER_TEST_REDIS`, `HEALER_TEST_DOCKER`) and says so where it is
//! skipped.

// Clippy knows the test functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use globset::{Glob, GlobSetBuilder};
use healer::config::{
    Alerts, Allow, Backups, CheckSpec, CountQuery, DockerProbe, Engine, Levels, Limits, Mode, PostgresProbe, Probe,
    QueueProbe, Redactor, RedisProbe, Secret,
};
use healer::host::docker::{Docker, DockerError, LogQuery, LogStream};
use healer::model::{CheckResult, Container, ContainerHealth, ContainerState, Status};
use healer::observe::{Samples, run};
use jiff::{SignedDuration, Timestamp};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{require_env, skip};

const LONG: Duration = Duration::from_secs(30);

/// An entry of a container's log.
type Entry = (LogStream, String);

fn engine(timeout: Duration, probe: Probe) -> Engine {
    Engine {
        source: None,
        mode: Mode::Suggest,
        confidence_threshold: 85,
        state_dir: "/nonexistent".into(),
        knowledge_base: "/nonexistent/kb".into(),
        check_interval: Duration::from_secs(300),
        allow: Allow::default(),
        checks: vec![CheckSpec { name: "service".into(), timeout, depends_on: Vec::new(), container: None, probe }],
        logs: Vec::new(),
        signatures: Vec::new(),
        rules: Vec::new(),
        limits: Limits::default(),
        maintenance: Vec::new(),
        alerts: Alerts {
            on: Vec::new(),
            repeat: LONG,
            webhooks: Vec::new(),
            commands: Vec::new(),
            email: None,
            heartbeat: None,
        },
        backups: Backups { keep_last: 1, keep_within: LONG },
        redactor: Redactor::default(),
        keep: Default::default(),
        learning: healer::config::Learning { half_life: LONG },
        serve: healer::config::Serve::default(),
        textfile: None,
        written: Default::default(),
        warnings: Default::default(),
    }
}

fn look(timeout: Duration, probe: Probe) -> CheckResult {
    run(&engine(timeout, probe), &[], &Samples::default(), Timestamp::now()).0.pop().unwrap()
}

fn levels(warning: f64, critical: f64) -> Levels {
    Levels { warning: Some(warning), critical: Some(critical) }
}

fn query(name: &str, sql: &str) -> CountQuery {
    CountQuery {
        name: name.into(),
        sql: sql.into(),
        warning_below: None,
        critical_below: None,
        warning_above: None,
        critical_above: None,
    }
}

fn postgres(url: &str, queries: Vec<CountQuery>) -> PostgresProbe {
    PostgresProbe {
        url: Secret::new(url),
        connections_percent: levels(80.0, 95.0),
        query_ms: levels(10_000.0, 20_000.0),
        queries,
    }
}

/// The URL with something else between `://` and `@`.
fn with_user(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    format!("{scheme}://{user}@{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host))
}

#[test]
fn postgres_that_answers_is_measured() {
    let Some(url) = require_env("HEALER_TEST_POSTGRES") else { return };
    let few = CountQuery { warning_below: Some(5.0), ..query("few", "select 3") };
    let sum = query("sum", "select sum(n) from generate_series(1, 4) n");
    let result = look(LONG, Probe::Postgres(postgres(&url, vec![few, sum])));
    assert_eq!((result.status, result.message.as_str()), (Status::Warning, "query few returns 3, below 5"));
    assert_eq!(result.connected, Some(true));
    assert_eq!((result.metric("query_few"), result.metric("query_sum")), (Some(3.0), Some(10.0)));
    assert!(result.metric("latency_ms").is_some_and(|ms| ms > 0.0));
    assert!(result.metric("connections").is_some_and(|n| n >= 1.0));
    assert!(result.metric("connections_percent").is_some_and(|p| p > 0.0 && p <= 100.0));
}

#[test]
fn postgres_levels_name_the_figures() {
    let Some(url) = require_env("HEALER_TEST_POSTGRES") else { return };
    let mut probe = postgres(&url, Vec::new());
    probe.connections_percent = levels(0.0, 1000.0);
    let result = look(LONG, Probe::Postgres(probe));
    assert_eq!(result.status, Status::Warning);
    assert!(result.message.contains(" connections used ("), "{}", result.message);
}

#[test]
fn postgres_refusals_say_why_and_never_the_password() {
    let Some(url) = require_env("HEALER_TEST_POSTGRES") else { return };
    let url = with_user(&url, "nobody_here:hunter2");
    let result = look(LONG, Probe::Postgres(postgres(&url, Vec::new())));
    assert_eq!((result.status, result.connected), (Status::Critical, Some(true)), "{result:?}");
    assert!(result.message.contains("nobody_here") && !result.message.contains("hunter2"), "{}", result.message);
}

#[test]
fn postgres_queries_write_nothing_and_end_in_time() {
    let Some(url) = require_env("HEALER_TEST_POSTGRES") else { return };
    let write = query("write", "create table healer_check_was_here (n int)");
    let result = look(LONG, Probe::Postgres(postgres(&url, vec![write])));
    assert_eq!(result.status, Status::Unknown);
    assert!(result.message.contains("read-only transaction"), "{}", result.message);

    let start = Instant::now();
    let queries = vec![query("slow", "select pg_sleep(60)")];
    let result = look(Duration::from_secs(4), Probe::Postgres(postgres(&url, queries)));
    assert!(start.elapsed() < LONG);
    // The server is there: it is the query that is slow.
    assert_eq!((result.status, result.connected), (Status::Critical, Some(true)), "{result:?}");
    assert_eq!(result.message, "query slow was cancelled: it did not end in time");
    assert!(result.metric("connections").is_some(), "{result:?}");
}

#[test]
fn postgres_queries_that_fail_say_why() {
    let Some(url) = require_env("HEALER_TEST_POSTGRES") else { return };
    let missing = query("missing", "select count(*) from no_such_table");
    let result = look(LONG, Probe::Postgres(postgres(&url, vec![missing])));
    assert_eq!(result.status, Status::Unknown);
    assert!(result.message.contains("\"no_such_table\" does not exist"), "{}", result.message);
    for value in ["'nan'::float8", "'infinity'::float8", "'many'", "null", "1 where false"] {
        let result = look(LONG, Probe::Postgres(postgres(&url, vec![query("odd", &format!("select {value}"))])));
        assert_eq!((result.status, result.metric("query_odd")), (Status::Unknown, None), "{value}: {result:?}");
        assert!(result.message.starts_with("query odd failed: it returns no "), "{}", result.message);
    }
}

#[test]
fn a_user_without_rights_counts_the_connections_of_others() {
    let Some(url) = require_env("HEALER_TEST_POSTGRES") else {
        return;
    };
    let mut others: Vec<postgres::Client> =
        (0..3).map(|_| postgres::Client::connect(&url, postgres::NoTls).unwrap()).collect();
    let role = "drop role if exists healer_low; create role healer_low login password 'low-pw'";
    others[0].batch_execute(role).unwrap();
    let result = look(LONG, Probe::Postgres(postgres(&with_user(&url, "healer_low:low-pw"), Vec::new())));
    assert!(result.metric("connections").is_some_and(|n| n >= 4.0), "{result:?}");
}

/// The server shows `tests/fixtures/tls/server.pem`, which `ca.pem` signed for `localhost` and 127.0.0.1.
#[test]
fn postgres_over_tls_believes_whom_it_should() {
    let Some(url) = require_env("HEALER_TEST_POSTGRES_TLS") else { return };
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
    let encrypted = || query("tls", "select ssl::int from pg_stat_ssl where pid = pg_backend_pid()");
    for (options, tls) in [
        // On the loopback nobody listens in.
        (String::new(), Some(0.0)),
        ("sslmode=disable".to_owned(), Some(0.0)),
        ("sslmode=prefer".to_owned(), Some(1.0)),
        ("sslmode=require".to_owned(), Some(1.0)),
        (format!("sslmode=verify-ca&sslrootcert={fixtures}/ca.pem"), Some(1.0)),
        (format!("sslmode=verify-full&sslrootcert={fixtures}/ca.pem"), Some(1.0)),
        (format!("sslmode=verify-ca&sslrootcert={fixtures}/utctime.pem"), None),
        (format!("sslmode=require&sslrootcert={fixtures}/utctime.pem"), None),
    ] {
        let result = look(LONG, Probe::Postgres(postgres(&format!("{url}?{options}"), vec![encrypted()])));
        assert_eq!(result.metric("query_tls"), tls, "{options}: {result:?}");
        assert_eq!(result.status, if tls.is_some() { Status::Healthy } else { Status::Critical }, "{result:?}");
        assert!(tls.is_some() || result.message.contains("certificate"), "{result:?}");
    }
}

/// `tests/support/services.sh` lets `healer_tls` in through TLS alone.
#[test]
fn a_server_that_takes_only_tls_is_reached_through_it_and_that_is_said() {
    let Some(url) = require_env("HEALER_TEST_POSTGRES_TLS") else { return };
    let mut admin = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    admin.batch_execute("drop role if exists healer_tls; create role healer_tls login password 'tls-pw'").unwrap();
    let url = with_user(&url, "healer_tls:tls-pw");
    let check = |url: &str, status: Status, message: &str| {
        let result = look(LONG, Probe::Postgres(postgres(url, Vec::new())));
        assert_eq!(result.status, status, "{result:?}");
        assert!(result.message.contains(message), "{result:?}");
    };
    check(&url, Status::Healthy, "it takes only TLS, so write sslmode=require into the URL");
    check(&format!("{url}?sslmode=disable"), Status::Critical, "rejects connection");
    let result = look(LONG, Probe::Postgres(postgres(&format!("{url}?sslmode=require"), Vec::new())));
    assert_eq!((result.status, result.message.contains("TLS")), (Status::Healthy, false), "{result:?}");
}

fn redis_call(url: &str, words: &[&str]) {
    let mut connection = redis::Client::open(url).unwrap().get_connection_with_timeout(LONG).unwrap();
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query::<redis::Value>(&mut connection).unwrap();
}

#[test]
fn redis_memory_and_queues_are_measured() {
    let Some(url) = require_env("HEALER_TEST_REDIS") else { return };
    redis_call(&url, &["DEL", "healer:list", "healer:stream", "healer:zset", "healer:text"]);
    redis_call(&url, &["RPUSH", "healer:list", "a", "b", "c"]);
    redis_call(&url, &["XADD", "healer:stream", "*", "k", "v"]);
    redis_call(&url, &["ZADD", "healer:zset", "1", "a", "2", "b"]);
    redis_call(&url, &["SET", "healer:text", "x"]);
    redis_call(&url, &["CONFIG", "SET", "maxmemory", "1gb"]);
    let queue = |key: &str| QueueProbe { key: key.into(), length: levels(3.0, 10.0) };
    let keys = ["healer:list", "healer:stream", "healer:zset", "healer:none"];
    let probe = |queues| RedisProbe { url: Secret::new(&*url), memory_percent: levels(80.0, 95.0), queues };
    let result = look(LONG, Probe::Redis(probe(keys.map(queue).to_vec())));
    assert_eq!(
        (result.status, result.message.as_str()),
        (Status::Warning, "queue healer:list holds 3 entries"),
        "{result:?}"
    );
    let lengths = keys.map(|key| result.metric(&format!("queue_{key}")));
    assert_eq!(lengths, [Some(3.0), Some(1.0), Some(2.0), Some(0.0)]);
    assert!(result.metric("latency_ms").is_some_and(|ms| ms > 0.0));
    assert!(result.metric("memory_percent").is_some_and(|p| p > 0.0 && p < 80.0), "{result:?}");

    let result = look(LONG, Probe::Redis(probe(vec![queue("healer:text")])));
    assert_eq!((result.status, result.message.as_str()), (Status::Unknown, "key healer:text is a string, no queue"));

    redis_call(&url, &["CONFIG", "SET", "maxmemory", "0"]);
    let result = look(LONG, Probe::Redis(probe(Vec::new())));
    assert_eq!((result.status, result.metric("memory_percent")), (Status::Healthy, None), "{result:?}");
}

#[test]
fn redis_refusals_say_why_and_never_the_password() {
    let Some(url) = require_env("HEALER_TEST_REDIS") else { return };
    let url = Secret::new(with_user(&url, "nobody_here:hunter2"));
    let result = look(LONG, Probe::Redis(RedisProbe { url, memory_percent: Levels::default(), queues: Vec::new() }));
    assert_eq!((result.status, result.connected), (Status::Critical, Some(true)), "{result:?}");
    assert!(
        result.message.contains("wrong user or password") && !result.message.contains("hunter2"),
        "{}",
        result.message
    );
}

/// Containers of one test on a real engine, removed with it.
struct Containers {
    socket: String,
    image: String,
    prefix: String,
}

impl Containers {
    /// `None`, recorded as a skip, where there is no engine.
    fn require(test: &str) -> Option<Containers> {
        let support::Docker { socket, image } = support::Docker::require()?;
        Some(Containers { socket, image, prefix: format!("healer-{test}-{}-", std::process::id()) })
    }

    fn docker(&self, args: &[&str]) -> (bool, String) {
        let done = Command::new("docker").args(["-H", &self.socket]).args(args).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Starts a container that runs this script.
    fn start(&self, name: &str, options: &[&str], script: &str) {
        let name = self.name(name);
        let mut args = vec!["run", "-d", "--network", "none", "--name", &name];
        args.extend(options);
        args.extend([self.image.as_str(), "/bin/sh", "-c", script]);
        assert!(self.docker(&args).0, "{name}");
    }

    fn probe(&self) -> DockerProbe {
        let glob = Glob::new(&format!("{}*", self.prefix)).unwrap();
        DockerProbe {
            tls: None,
            socket: self.socket.clone(),
            include: Some(GlobSetBuilder::new().add(glob).build().unwrap()),
            labels: Vec::new(),
            cpu_percent: levels(1e6, 1e7),
            memory_percent: levels(1e6, 1e7),
            discovered: false,
        }
    }

    /// Looks again and again until a container is as expected.
    fn until(&self, name: &str, expected: impl Fn(&Container) -> bool) -> Container {
        let until = Instant::now() + 2 * LONG;
        loop {
            let result = look(LONG, Probe::Docker(self.probe()));
            let container = result.containers.iter().find(|c| c.name == self.name(name)).cloned();
            match container {
                Some(container) if expected(&container) => return container,
                other => assert!(Instant::now() < until, "{name} is still {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        let filter = format!("name=^/{}", self.prefix);
        let (_, ids) = self.docker(&["ps", "-aq", "--filter", &filter]);
        for id in ids.lines() {
            self.docker(&["rm", "-f", id]);
        }
    }
}

#[test]
fn containers_are_judged_by_their_real_state() {
    let Some(all) = Containers::require("state") else { return };
    all.start("up", &[], "exec busybox sleep 600");
    all.start("done", &[], "exit 0");
    all.start("failed", &[], "exit 3");
    all.start("loop", &["--restart", "always"], "exit 4");
    all.start("off", &["--label", "healer.enable=false"], "exit 5");
    all.start(
        "sick",
        &["--health-cmd", "exit 1", "--health-interval", "1s", "--health-retries", "1"],
        "exec busybox sleep 600",
    );
    all.start("paused", &[], "exec busybox sleep 600");
    all.docker(&["pause", &all.name("paused")]);
    all.docker(&["create", "--name", &all.name("new"), &all.image, "/bin/sh"]);

    let check = |name: &str, state: ContainerState, status: Status, words: &str| {
        let container = all.until(name, |c| c.state == state && c.status == status);
        assert!(container.message.contains(words), "{container:?}");
        container
    };
    let up = check("up", ContainerState::Running, Status::Healthy, "Up ");
    assert!(up.started_at.is_some() && !up.oom_killed && up.memory_bytes.is_some(), "{up:?}");
    assert_eq!(check("done", ContainerState::Exited, Status::Healthy, "exited 0").exit_code, Some(0));
    assert_eq!(check("failed", ContainerState::Exited, Status::Critical, "exited with code 3").exit_code, Some(3));
    check("loop", ContainerState::Restarting, Status::Critical, "restarting after exit code 4");
    let sick = all.until("sick", |c| c.health == Some(ContainerHealth::Unhealthy));
    assert_eq!((sick.status, sick.message.as_str()), (Status::Critical, "its health check fails"));
    check("paused", ContainerState::Paused, Status::Warning, "paused");
    check("new", ContainerState::Created, Status::Warning, "never started");

    let result = look(LONG, Probe::Docker(all.probe()));
    assert_eq!((result.status, result.containers.len()), (Status::Critical, 7), "{result:?}");
    assert_eq!(result.metric("containers_total"), Some(7.0));
    assert!(result.containers.iter().all(|c| c.name != all.name("off")));
}

fn check_use(all: &Containers, results: &[CheckResult], over: &str) {
    let use_of = |name: &str| results[0].containers.iter().find(|c| c.name == all.name(name)).unwrap().cpu_percent;
    assert!(use_of("busy").is_some_and(|percent| percent > 10.0), "{over}: {results:?}");
    assert!(use_of("idle").is_some_and(|percent| percent < 10.0), "{over}: {results:?}");
}

#[test]
fn every_look_knows_use_and_the_next_one_restarts() {
    let Some(all) = Containers::require("next") else { return };
    all.start("busy", &[], "while :; do :; done");
    all.start("idle", &[], "exec busybox sleep 600");
    all.start("flaky", &["--restart", "always"], "busybox sleep 11; exit 1");
    all.until("flaky", |c| c.state == ContainerState::Running);
    let engine = engine(LONG, Probe::Docker(all.probe()));
    let now = Timestamp::now();
    let (first, samples) = run(&engine, &[], &Samples::default(), now);
    assert!(first[0].containers.iter().all(|c| c.restarts_since_last.is_none()), "{first:?}");
    check_use(&all, &first, "over one second, as nothing is known from before");
    // Samples are stored between passes.
    let samples: Samples = serde_json::from_str(&serde_json::to_string(&samples).unwrap()).unwrap();

    all.until("flaky", |c| c.restart_count >= 1 && c.state == ContainerState::Running);
    let (second, _) = run(&engine, &[], &samples, Timestamp::now());
    let find = |name: &str| second[0].containers.iter().find(|c| c.name == all.name(name)).unwrap();
    check_use(&all, &second, "since the first look");
    assert_eq!(find("idle").restarts_since_last, Some(0));
    let flaky = find("flaky");
    assert!(flaky.restarts_since_last.unwrap() >= 1, "{flaky:?}");
    assert!(flaky.message.contains("since the last pass") || flaky.state != ContainerState::Running, "{flaky:?}");
}

#[test]
fn what_is_remembered_is_what_would_be_asked() {
    let Some(all) = Containers::require("memory") else { return };
    all.start("up", &[], "exec busybox sleep 600");
    let engine = engine(LONG, Probe::Docker(all.probe()));
    all.until("up", |c| c.state == ContainerState::Running);
    let (asked, mut samples) = run(&engine, &[], &Samples::default(), Timestamp::now());
    // A look in the future of this one's start is proved by nothing: the container is asked again.
    let docker = samples.docker.as_mut().unwrap();
    docker.taken_at = Timestamp::now() + SignedDuration::from_secs(60);
    let sample = docker.containers.values_mut().next().unwrap();
    let really = sample.restart_count;
    sample.restart_count = 40;
    let (again, samples) = run(&engine, &[], &samples, Timestamp::now());
    assert_eq!(again[0].containers[0].restart_count, really);
    assert_eq!(again[0].containers[0].started_at, asked[0].containers[0].started_at);
    assert_eq!(samples.docker.unwrap().containers.len(), 1);
}

#[test]
fn a_container_out_of_memory_is_seen() {
    let Some(all) = Containers::require("oom") else { return };
    // The engine begins to watch for the kill after the start, and may hear of the exit first: it is given time for both.
    let attempt = |seconds: u32| {
        let name = format!("oom{seconds}");
        let script = format!("busybox sleep {seconds}; busybox tail /dev/zero; busybox sleep {seconds}; exit 137");
        all.start(&name, &["--memory", "8m", "--memory-swap", "8m"], &script);
        all.until(&name, |c| c.state == ContainerState::Exited)
    };
    let Some(ended) = [1, 2, 4].into_iter().map(attempt).find(|ended| ended.oom_killed) else {
        // Some sandboxed kernels do not enforce the limit, so the engine never sees it reached.
        let (_, limited) = all.docker(&["inspect", "-f", "{{.State.OOMKilled}}", &all.name("oom4")]);
        assert_eq!(limited, "false");
        skip("this engine did not report the kill");
        return;
    };
    assert_eq!(ended.status, Status::Critical);
    assert!(ended.message.contains("lack of memory"), "{ended:?}");
}

#[test]
fn an_include_that_finds_nothing_is_told() {
    let Some(all) = Containers::require("nothing") else { return };
    assert_eq!(look(LONG, Probe::Docker(all.probe())).status, Status::Warning);
}

#[test]
fn the_docker_face_inspects_reads_logs_and_restarts() {
    let Some(all) = Containers::require("face") else { return };
    let mount = tempfile::tempdir().unwrap();
    let bind = format!("{}:/mnt:ro", mount.path().display());
    let script = "echo out; echo err >&2; exec busybox sleep 600";
    all.start("plain", &["-v", &bind, "--label", "a=b"], script);
    all.start("tty", &["-t"], "echo out; busybox printf 'no newline'; exec busybox sleep 600");
    let docker = Docker::connect(&all.socket, None, LONG).unwrap();

    let detail = docker.inspect(&all.name("plain")).unwrap();
    assert_eq!(
        (detail.state.clone(), detail.tty, detail.log_driver.as_str()),
        (ContainerState::Running, false, "json-file")
    );
    assert_eq!(detail.labels.get("a").map(String::as_str), Some("b"));
    assert_eq!((detail.mounts.len(), detail.mounts[0].rw), (1, false));
    assert_eq!(detail.mounts[0].source, mount.path());
    assert!(detail.log_path.is_some() && detail.pid.is_some() && detail.id.len() == 64, "{detail:?}");
    assert!(docker.inspect(&all.name("tty")).unwrap().tty);

    let read = |name: &str, query: LogQuery, done: &dyn Fn(&[Entry]) -> bool| {
        let until = Instant::now() + LONG;
        loop {
            let mut seen = Vec::new();
            let mut take = |c: healer::host::docker::LogChunk<'_>| {
                seen.push((c.stream, String::from_utf8_lossy(c.bytes).into_owned()));
            };
            docker.logs(&all.name(name), query, &mut take).unwrap();
            if done(&seen) || Instant::now() > until {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let entries = read("plain", LogQuery::default(), &|seen| seen.len() == 2);
    let said = |stream, end: &str| entries.iter().any(|(s, text)| *s == stream && text.ends_with(end));
    assert!(said(LogStream::Stdout, "Z out\n") && said(LogStream::Stderr, "Z err\n"), "{entries:?}");
    assert_eq!(read("plain", LogQuery { tail: Some(1), ..LogQuery::default() }, &|_| true).len(), 1);
    let later = Some(Timestamp::now() + SignedDuration::from_hours(1));
    assert_eq!(read("plain", LogQuery { since: later, ..LogQuery::default() }, &|_| true), []);
    let terminal = read("tty", LogQuery { tty: true, ..LogQuery::default() }, &|seen| {
        seen.iter().map(|(_, text)| text.as_str()).collect::<String>().ends_with("no newline")
    });
    assert!(terminal.iter().map(|(_, text)| text.as_str()).collect::<String>().contains("out\r\n"), "{terminal:?}");

    docker.restart(&all.name("plain"), Duration::ZERO).unwrap();
    let restarted = docker.inspect(&detail.id).unwrap();
    assert_eq!(restarted.state, ContainerState::Running);
    assert!(restarted.started_at > detail.started_at && restarted.restart_count == 0);

    let absent = all.name("absent");
    let expected = DockerError::Absent { container: absent.clone() };
    assert_eq!(docker.inspect(&absent), Err(expected.clone()));
    assert_eq!(docker.restart(&absent, Duration::ZERO), Err(expected.clone()));
    assert_eq!(docker.logs(&absent, LogQuery::default(), &mut |_| ()), Err(expected));
}
