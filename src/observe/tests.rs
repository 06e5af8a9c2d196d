//! All checks through [`run`], against sockets of the test's own. Real services: `tests/checks.rs`.

use super::*;
use crate::config::{
    Alerts, Allow, Backups, DockerProbe, HostProbe, HttpProbe, Limits, Mode, PostgresProbe, Redactor, RedisProbe,
    Secret,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

/// Long enough for a loaded machine; no test waits for it unless it is about to fail.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(400);

fn engine(checks: Vec<(&str, Duration, Probe)>, secrets: &[&str]) -> Engine {
    let checks = checks.into_iter().map(|(name, timeout, probe)| CheckSpec {
        name: name.into(),
        timeout,
        depends_on: Vec::new(),
        container: None,
        probe,
    });
    Engine {
        source: None,
        mode: Mode::Suggest,
        confidence_threshold: 85,
        state_dir: "/nonexistent".into(),
        knowledge_base: "/nonexistent/kb".into(),
        check_interval: Duration::from_secs(300),
        allow: Allow::default(),
        checks: checks.collect(),
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
        redactor: Redactor::new(secrets.iter().map(|s| (*s).to_owned())),
        keep: std::time::Duration::ZERO,
        textfile: None,
        written: Default::default(),
        learning: crate::config::Learning { half_life: LONG },
        serve: crate::config::Serve::default(),
        warnings: Vec::new(),
    }
}

fn look(checks: Vec<(&str, Duration, Probe)>) -> Vec<CheckResult> {
    run(&engine(checks, &["hunter2"]), &[], &Samples::default(), Timestamp::now()).0
}

fn look_once(probe: Probe) -> CheckResult {
    look(vec![("one", LONG, probe)]).pop().unwrap()
}

fn http(url: String) -> HttpProbe {
    HttpProbe {
        url: Secret::new(url),
        method: "GET".into(),
        headers: Vec::new(),
        expect_status: vec![200],
        expect_body: None,
        latency_ms: Levels { warning: Some(5000.0), critical: None },
        certificate_days: Levels::default(),
    }
}

fn postgres(address: SocketAddr) -> Probe {
    Probe::Postgres(PostgresProbe {
        url: Secret::new(format!("postgres://monitor:hunter2@{address}/shop?sslmode=disable")),
        connections_percent: Levels::default(),
        query_ms: Levels::default(),
        queries: Vec::new(),
    })
}

fn redis(address: SocketAddr) -> Probe {
    Probe::Redis(RedisProbe {
        url: Secret::new(format!("redis://:hunter2@{address}/0")),
        memory_percent: Levels::default(),
        queues: Vec::new(),
    })
}

fn docker(socket: String, discovered: bool) -> Probe {
    Probe::Docker(DockerProbe {
        tls: None,
        socket,
        include: None,
        labels: Vec::new(),
        cpu_percent: Levels::default(),
        memory_percent: Levels::default(),
        discovered,
    })
}

fn command(script: &str) -> Probe {
    Probe::Command { argv: vec!["/bin/sh".into(), "-c".into(), script.into()] }
}

/// A listener that accepts, if only by its backlog, and never says anything.
fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port at which nobody listens.
fn refused() -> SocketAddr {
    silent().1
}

/// A server that gives every connection the same answer after a first piece of request.
fn server(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let (listener, address) = silent();
    let answer = answer.into();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&answer);
        }
    });
    address
}

#[test]
fn what_hangs_is_critical_at_its_own_timeout_and_delays_nobody() {
    let (_listener, address) = silent();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let _engine = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let start = Instant::now();
    let results = look(vec![
        ("postgres", SHORT, postgres(address)),
        ("redis", SHORT, redis(address)),
        ("http", SHORT, Probe::Http(http(format!("http://{address}/health")))),
        ("https", SHORT, Probe::Http(http(format!("https://{address}/health")))),
        ("docker", SHORT, docker(format!("unix://{}", path.display()), true)),
        ("command", SHORT, command("sleep 60")),
        ("quick", LONG, command("echo fine")),
    ]);
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    let names: Vec<&str> = results.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["postgres", "redis", "http", "https", "docker", "command", "quick"]);
    let (quick, hanging) = results.split_last().unwrap();
    assert_eq!((quick.status, quick.message.as_str()), (Status::Healthy, "fine"));
    for result in hanging {
        assert_eq!(result.status, Status::Critical, "{result:?}");
        assert!(result.message.contains("within 400ms"), "{result:?}");
        assert!(!result.message.contains("hunter2"), "{result:?}");
    }
}

#[test]
fn a_silent_postgres_is_given_one_connection_for_all_looks() {
    let (listener, address) = silent();
    let look = || look(vec![("postgres", SHORT, postgres(address))]).pop().unwrap().message;
    for _ in 0..3 {
        let message = look();
        assert!(message.contains("no answer within 400ms"), "{message}");
    }
    let connection = listener.accept().unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);

    // Once the connection has ended, the next look is a real one again.
    drop((listener, connection));
    let until = Instant::now() + LONG;
    while !look().contains("connection refused") {
        assert!(Instant::now() < until);
    }
}

#[test]
fn what_refuses_is_critical_and_says_where() {
    let address = refused();
    let results = look(vec![
        ("postgres", LONG, postgres(address)),
        ("redis", LONG, redis(address)),
        ("http", LONG, Probe::Http(http(format!("http://user:hunter2@{address}/health?key=hunter2")))),
        ("tcp", LONG, Probe::Tcp { address: address.to_string() }),
        ("docker", LONG, docker(format!("tcp://{address}"), false)),
    ]);
    assert_eq!(results.len(), 5);
    for result in results {
        assert_eq!((result.status, result.connected), (Status::Critical, Some(false)), "{result:?}");
        assert!(result.message.starts_with("connection refused at "), "{result:?}");
        assert!(result.message.contains(&address.to_string()), "{result:?}");
        assert!(!result.message.contains("hunter2"), "{result:?}");
    }
}

#[test]
fn an_engine_that_was_only_looked_for_is_no_finding() {
    assert_eq!(look(vec![("docker", LONG, docker("unix:///nonexistent/docker.sock".into(), true))]), []);
    let configured = look_once(docker("unix:///nonexistent/docker.sock".into(), false));
    assert_eq!(configured.status, Status::Critical);
    assert!(configured.message.contains("/nonexistent/docker.sock"), "{}", configured.message);
}

#[test]
fn http_answers_are_judged() {
    let check = |answer: &str, change: fn(&mut HttpProbe), status: Status, words: &str| {
        let mut probe = http(format!("http://{}/health", server(answer)));
        change(&mut probe);
        let result = look_once(Probe::Http(probe));
        assert_eq!(result.status, status, "{result:?}");
        assert!(result.message.contains(words), "{result:?}");
        result
    };
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let result = check(ok, |_| (), Status::Healthy, "HTTP 200 in ");
    assert_eq!((result.connected, result.metric("status_code")), (Some(true), Some(200.0)));
    assert!(result.metric("response_time_ms").is_some_and(|ms| ms > 0.0));
    check(ok, |p| p.expect_body = Some("ell".into()), Status::Healthy, "HTTP 200");
    check(ok, |p| p.expect_body = Some("bye".into()), Status::Critical, "not the text expected");
    check(ok, |p| p.expect_status = vec![201, 204], Status::Critical, "ms, expected 201 or 204");
    check(ok, |p| p.latency_ms.warning = Some(0.0), Status::Warning, "only after");
    check("HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n", |_| (), Status::Critical, "HTTP 503 in ");
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    check(redirect, |_| (), Status::Critical, "HTTP 302 in ");
    check(redirect, |p| p.expect_status = vec![302], Status::Healthy, "HTTP 302 in ");
    check("", |_| (), Status::Critical, "at http://127.0.0.1");
    check("SSH-2.0-x\r\n\r\n", |_| (), Status::Critical, "at http://127.0.0.1");
    let endless = format!("HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n{}", "x".repeat(2 << 20));
    check(&endless, |p| p.expect_body = Some("y".into()), Status::Critical, "not the text expected");
}

#[test]
fn plugins_are_judged_by_their_exit_code() {
    let check = |script: &str, status: Status, message: &str| {
        let result = look_once(command(script));
        assert_eq!((result.status, result.message.as_str()), (status, message), "{script}");
        result
    };
    let result = check("echo 'RAID OK | t=1;2;3'; exit 0", Status::Healthy, "RAID OK");
    assert_eq!(result.metrics.len(), 1);
    check("echo degraded; echo more; exit 1", Status::Warning, "degraded");
    check("echo broken; exit 2", Status::Critical, "broken");
    check("echo dunno >&2; exit 3", Status::Unknown, "dunno");
    check("echo odd; exit 77", Status::Unknown, "`/bin/sh` exited with 77: odd");
    check("kill -9 $$", Status::Unknown, "`/bin/sh` was ended by a signal: no output");
    check("printf 'a\\033[31mb'; exit 0", Status::Healthy, "a\\u{1b}[31mb");
    check("echo pass hunter2; exit 1", Status::Warning, "pass ***");
    let missing = look_once(Probe::Command { argv: vec!["/no/such/plugin".into()] });
    assert_eq!(missing.status, Status::Unknown);
    assert!(missing.message.contains("/no/such/plugin"));
}

#[test]
fn tcp_that_accepts_is_healthy() {
    let (_listener, address) = silent();
    let result = look_once(Probe::Tcp { address: address.to_string() });
    assert_eq!((result.status, result.connected), (Status::Healthy, Some(true)), "{result:?}");
    assert!(result.metric("latency_ms").is_some());
}

#[test]
fn the_host_is_measured_and_the_next_pass_need_not_wait() {
    let full = Levels { warning: None, critical: Some(101.0) };
    let host = || Probe::Host(HostProbe { cpu_percent: full, memory_percent: full, disk_percent: full });
    let engine = engine(vec![("host", LONG, host())], &[]);
    let (first, samples) = run(&engine, &[], &Samples::default(), Timestamp::now());
    assert_eq!(first[0].status, Status::Healthy, "{first:?}");
    for name in ["cpu_percent", "memory_percent"] {
        assert!(first[0].metric(name).is_some_and(|p| (0.0..=100.0).contains(&p)), "{name}: {first:?}");
    }
    let mut earlier = samples.clone();
    let host = earlier.host.as_mut().unwrap();
    host.total -= 1000;
    host.idle -= 500;
    let start = Instant::now();
    let (second, _) = run(&engine, &[], &earlier, Timestamp::now());
    assert!(second[0].metric("cpu_percent").is_some_and(|p| p >= 25.0), "{second:?}");
    assert!(second[0].duration_ms < 1000.0 || start.elapsed() > LONG, "{second:?}");
}

#[test]
fn only_the_named_checks_run_and_the_samples_of_the_others_stay() {
    let engine = engine(vec![("a", LONG, command("echo a")), ("b", LONG, command("echo b"))], &[]);
    let previous = Samples { host: Some(HostSample { boot_id: "x".into(), cpus: 1, total: 2, idle: 1 }), docker: None };
    let (results, samples) = run(&engine, &["b".into()], &previous, Timestamp::now());
    assert_eq!(results.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(samples, previous);
}

#[test]
fn levels_are_reached_at_their_value() {
    let levels = Levels { warning: Some(80.0), critical: Some(95.0) };
    for (value, status) in [(79.9, Status::Healthy), (80.0, Status::Warning), (95.0, Status::Critical)] {
        assert_eq!(high(value, levels), status, "{value}");
    }
    let days = Levels { warning: Some(14.0), critical: Some(3.0) };
    for (value, status) in [(15.0, Status::Healthy), (14.0, Status::Warning), (-1.0, Status::Critical)] {
        assert_eq!(low(value, days), status, "{value}");
    }
    assert_eq!(high(1e9, Levels::default()), Status::Healthy);
}

#[test]
fn a_check_that_panics_is_unknown_and_the_others_go_on() {
    struct Broken;
    impl Check for Broken {
        fn target(&self) -> String {
            String::new()
        }
        fn look(&self, _: &Moment) -> Option<Seen> {
            panic!("broken on purpose")
        }
    }
    let engine = engine(vec![("broken", LONG, command("true"))], &[]);
    let (sender, receiver) = channel();
    let spec = &engine.checks[0];
    let mut running =
        vec![start(0, spec, (CheckKind::Command, Box::new(Broken)), sender, Arc::default(), Timestamp::now())];
    await_all(&mut running, &receiver);
    let result = running.pop().unwrap().result(&mut Samples::default(), &engine).unwrap();
    assert_eq!(result.status, Status::Unknown);
    assert!(result.message.contains("broken on purpose"), "{result:?}");
}

#[test]
fn what_a_check_measures_is_what_it_is_known_to_measure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let levels = Levels { warning: None, critical: None };
    let host = HostProbe { cpu_percent: levels, memory_percent: levels, disk_percent: levels };
    let checks = vec![("smtp", LONG, Probe::Tcp { address }), ("host", LONG, Probe::Host(host))];
    for (name, _, probe) in checks {
        let known = metrics_of(&probe).unwrap();
        let results = look(vec![(name, LONG, probe)]);
        let metrics = &results[0].metrics;
        assert!(!metrics.is_empty(), "{name}");
        for metric in metrics {
            let is_known = known.iter().any(|k| *k == metric.name || (k.ends_with(':') && metric.name.starts_with(k)));
            assert!(is_known, "{name}: {}", metric.name);
        }
    }
}
