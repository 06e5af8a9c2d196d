//! What an operator and a monitoring system see: `check` up and down for every kind of check, its first line and its
//! JSON; bad configuration and bad arguments; streams that are closed or full.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Answer, Docker, HttpServer, Ran, Root, free_port, healer, require_env, spawn_command};

const ONLY: &str = "[checks.host]\nenabled = false\n[checks.docker]\nenabled = false\n";

/// A root that has nothing but these checks.
fn root(checks: &str) -> Root {
    let root = Root::new();
    root.config(&format!("{ONLY}{checks}"));
    root
}

/// The exit code of `check`, a text of its first line, and that its word fits the code; returns the JSON of one check.
#[track_caller]
fn check(checks: &str, name: &str, code: i32, text: &str) -> serde_json::Value {
    let root = root(checks);
    let ran = healer(&root, &["check"]).expect_code(code);
    let first = ran.stdout.lines().next().unwrap();
    let word = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][usize::try_from(code).unwrap()];
    assert!(first.starts_with(&format!("HEALER {word} - ")) && first.contains(" | failing="), "{first}");
    assert!(first.contains(text), "{text:?} is not in {first:?}");
    let data = healer(&root, &["check", "--json"]).expect_code(code).data();
    let status = ["healthy", "warning", "critical", "unknown"][usize::try_from(code).unwrap()];
    assert_eq!((&data["overall_status"], &data["checks"][name]["status"]), (&status.into(), &status.into()));
    data["checks"][name].clone()
}

/// A server that accepts connections and never says a word.
fn mute() -> std::net::TcpListener {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap()
}

/// The port of a server that answers each request after this long, until the test's process ends.
fn slow_server(delay: Duration) -> u16 {
    use std::io::{Read, Write};
    let listener = mute();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            std::thread::park_timeout(delay);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    port
}

#[test]
fn http_is_judged_by_status_time_and_reachability() {
    let of = |url: &str, more: &str| format!("[checks.http.api]\nurl = \"{url}\"\n{more}");
    let up = HttpServer::ok();
    let json = check(&of(&up.url("/health"), ""), "api", 0, "1 of 1 healthy | failing=0;0;0;0;1 api_ms=");
    assert!(json["response_time_ms"].is_number() && json["message"].is_string(), "{json:#}");
    let slow = slow_server(Duration::from_millis(60));
    let url = format!("http://127.0.0.1:{slow}/");
    check(&of(&url, "latency = { warning = \"50ms\", critical = \"100s\" }"), "api", 1, "api: ");
    check(&of(&url, "latency = { critical = \"50ms\" }"), "api", 2, "api: ");
    let broken = HttpServer::start([], Answer::new(503, "no"));
    check(&of(&broken.url("/"), ""), "api", 2, "503");
    check(&of(&broken.url("/"), "expect_status = [503]"), "api", 0, "");
    let moved = HttpServer::start([], Answer::new(302, "").header("Location", "/other"));
    check(&of(&moved.url("/"), ""), "api", 2, "302");
    assert!(moved.requests().iter().all(|r| r.path == "/"), "a redirect is not followed");
    check(&of(&format!("http://127.0.0.1:{}/", free_port()), ""), "api", 2, "onnection refused");
}

#[test]
fn tcp_is_judged_by_whether_it_answers() {
    let server = mute();
    let port = server.local_addr().unwrap().port();
    check(&format!("[checks.tcp.smtp]\naddress = \"127.0.0.1:{port}\""), "smtp", 0, "1 of 1 healthy");
    let closed = free_port();
    check(&format!("[checks.tcp.smtp]\naddress = \"127.0.0.1:{closed}\""), "smtp", 2, "smtp: ");
}

#[test]
fn a_plugins_exit_code_and_first_line_are_taken_over() {
    let of = |script: &str| format!("[checks.command.raid]\ncommand = [\"/bin/sh\", \"-c\", '{script}']");
    let json = check(&of("echo \"RAID OK - fine | load=3;5;9\"; exit 0"), "raid", 0, "raid_load=3;5;9");
    assert_eq!(json["load"], 3, "{json:#}");
    check(&of("echo degraded; exit 1"), "raid", 1, "raid: degraded");
    check(&of("echo broken; exit 2"), "raid", 2, "raid: broken");
    check(&of("echo what; exit 3"), "raid", 3, "raid: what");
    check(&of("exit 99"), "raid", 3, "raid: ");
    check("[checks.command.raid]\ncommand = [\"/no/such/plugin\"]", "raid", 3, "/no/such/plugin");
}

#[test]
fn postgres_is_judged_up_and_down() {
    let of = |url: &str| format!("[checks.postgres.database]\nurl = \"{url}\"");
    let down = check(&of(&format!("postgres://u:hunter2@127.0.0.1:{}/x", free_port())), "database", 2, "database: ");
    assert!(!down.to_string().contains("hunter2"), "{down:#}");
    let Some(url) = require_env("HEALER_TEST_POSTGRES") else { return };
    let up = check(&of(&url), "database", 0, "database_ms=");
    assert!(up["latency_ms"].is_number() && up["connections"].as_u64().unwrap() >= 1, "{up:#}");
    let few = "\nqueries = [{ name = \"few\", sql = \"select 1\", warning_below = 5 }]";
    check(&format!("{}{few}", of(&url)), "database", 1, "query few returns 1");
    check(&format!("{}{few}", of(&url)), "database", 1, "database_query_few=1;5:");
}

#[test]
fn redis_is_judged_up_and_down() {
    let of = |url: &str| format!("[checks.redis.redis]\nurl = \"{url}\"");
    let down = check(&of(&format!("redis://127.0.0.1:{}/0", free_port())), "redis", 2, "redis: ");
    assert_eq!(down["connected"], false);
    let Some(url) = require_env("HEALER_TEST_REDIS") else { return };
    let up = check(&of(&url), "redis", 0, "1 of 1 healthy");
    assert_eq!(up["connected"], true);
}

#[test]
fn docker_is_judged_up_and_down() {
    let socket = |socket: &str, more: &str| {
        format!("[checks.host]\nenabled = false\n[checks.docker]\nsocket = \"{socket}\"\n{more}")
    };
    let root = Root::new();
    root.config(&socket("unix:///no/such/socket", ""));
    let down = healer(&root, &["check"]).expect_code(2);
    assert!(down.stdout.starts_with("HEALER CRITICAL - docker: "), "{}", down.stdout);
    let Some(docker) = Docker::require() else { return };
    let name = Docker::unique_name("checked");
    let container = docker.run(&name, &[], &["/bin/sleep", "600"]);
    root.config(&socket(&docker.socket, &format!("include = [\"{name}\"]")));
    let up = healer(&root, &["check", "--json"]).expect_code(0).data();
    assert_eq!(up["checks"]["docker"]["containers_running"], 1, "{up:#}");
    docker.cli(&["kill", &name]);
    let ran = healer(&root, &["check"]);
    assert!([Some(1), Some(2)].contains(&ran.code) && ran.stdout.contains(&name), "{ran:?}");
    drop(container);
}

#[test]
fn what_hangs_delays_no_longer_than_its_timeout_and_nobody_else() {
    let (server, port) = {
        let s = mute();
        let p = s.local_addr().unwrap().port();
        (s, p)
    };
    let up = HttpServer::ok();
    let root = root(&format!(
        "[checks.http.api]\nurl = \"http://127.0.0.1:{port}/\"\ntimeout = \"1s\"\n\
         [checks.postgres.database]\nurl = \"postgres://u@127.0.0.1:{port}/x\"\ntimeout = \"1s\"\n\
         [checks.redis.redis]\nurl = \"redis://127.0.0.1:{port}/0\"\ntimeout = \"1s\"\n\
         [checks.command.slow]\ncommand = [\"/bin/sleep\", \"600\"]\ntimeout = \"1s\"\n\
         [checks.http.fine]\nurl = \"{}\"\n",
        up.url("/")
    ));
    let begin = Instant::now();
    let data = healer(&root, &["check", "--json"]).expect_code(2).data();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}: they waited for each other", begin.elapsed());
    for name in ["api", "database", "redis"] {
        assert_eq!(data["checks"][name]["status"], "critical", "{:#}", data["checks"][name]);
    }
    assert_ne!(data["checks"]["slow"]["status"], "healthy");
    assert_eq!(data["checks"]["fine"]["status"], "healthy");
    drop(server);
}

#[test]
fn only_the_named_checks_run_and_an_unknown_name_is_unknown() {
    let up = HttpServer::ok();
    let text = format!(
        "[checks.http.api]\nurl = \"{}\"\n[checks.tcp.smtp]\naddress = \"127.0.0.1:{}\"",
        up.url("/"),
        free_port()
    );
    let root = root(&text);
    assert!(healer(&root, &["check", "api"]).expect_code(0).stdout.contains("1 of 1 healthy"));
    let ran = healer(&root, &["check", "apu"]).expect_code(3);
    assert!(ran.stdout.starts_with("HEALER UNKNOWN - ") && ran.stderr.contains("did you mean `api`?"), "{ran:?}");
    let far = healer(&root, &["check", "tap"]).expect_code(3);
    assert!(far.stdout.contains("there are: ") && !far.stdout.contains("did you mean"), "{far:?}");
    healer(&root, &["check", "--no-such-option"]).expect_code(3);
    healer(&root, &["heal", "--no-such-option"]).expect_code(2);
    let unknown = healer(&root, &["heal", "--only", "nothing"]).expect_code(2);
    assert!(unknown.stderr.contains("there is no rule `nothing`"), "{}", unknown.stderr);
}

#[test]
fn what_is_no_command_says_so_in_the_form_that_was_asked_for() {
    use std::os::unix::ffi::OsStrExt;
    let root = root("");
    let not_unicode = std::ffi::OsStr::from_bytes(b"\xff");
    let check = |args: &[&str], code: i32, start: &str| {
        let mut command = root.command(&[]);
        let args = args.iter().map(|a| if *a == "<ff>" { not_unicode } else { a.as_ref() });
        let ran = spawn_command({
            command.args(args);
            command
        })
        .wait()
        .expect_code(code);
        let first = ran.stdout.lines().next().unwrap_or_default();
        assert!(first.starts_with(start) && (start.is_empty() == first.is_empty()), "{ran:?}");
        assert!(ran.stderr.contains("error:") || ran.stderr.contains("Usage:"), "{ran:?}");
        ran
    };
    let unknown = "HEALER UNKNOWN - unexpected argument '--bogus' found";
    check(&["check", "--bogus"], 3, unknown);
    check(&["--color", "never", "check", "--bogus"], 3, unknown);
    check(&["--color", "ever", "check"], 3, "HEALER UNKNOWN - invalid value 'ever'");
    // Its own name elsewhere makes no other command a monitoring plugin.
    check(&["rollback", "check", "--bogus"], 2, "");
    check(&["check", "<ff>"], 3, "HEALER UNKNOWN - ");
    check(&["<ff>"], 2, "");
    check(&["stats", "--json", "<ff>"], 2, "{");
    check(&[], 2, "");
    for (args, code) in [
        (&["--json"][..], 2),
        (&["--json", "rollback"], 2),
        (&["backups", "prune", "--keep-last", "x", "--json"], 2),
        (&["check", "--json", "--bogus"], 3),
    ] {
        let json = check(args, code, "{").json();
        assert_eq!((&json["status"], &json["code"]), (&"error".into(), &code.into()));
        assert!(!json["message"].as_str().unwrap().starts_with("error"), "{json:#}");
    }
    let help = healer(&root, &["check", "--help", "--json"]).expect_code(0);
    assert!(help.stdout.contains("Usage:"), "{help:?}");
}

#[test]
fn a_bad_configuration_runs_nothing_and_shows_all_errors() {
    let root = Root::new();
    root.config("mode = \"atuo\"\nno_such_key = 1\n[checks.http.api]\nurll = \"x\"\n[limits]\nstorm_percent = 200\n");
    let before = root.snapshot();
    let all = |ran: &Ran| {
        for text in
            ["atuo", "no_such_key", "urll", "storm_percent", "healer.toml:1", "healer.toml:2", "healer.toml:4", "^"]
        {
            assert!(ran.stderr.contains(text), "{text:?} is not in\n{}", ran.stderr);
        }
    };
    all(&healer(&root, &["heal"]).expect_code(78));
    all(&healer(&root, &["stats"]).expect_code(78));
    let check = healer(&root, &["check"]).expect_code(3);
    all(&check);
    let first = check.stdout.lines().next().unwrap();
    assert!(first.starts_with("HEALER UNKNOWN - configuration: ") && first.contains("healer.toml:1: "), "{first}");
    assert!(first.ends_with("; and 4 more"), "{first}");
    let json = healer(&root, &["heal", "--json"]).expect_code(78).json();
    assert_eq!((&json["status"], &json["code"]), (&"error".into(), &78.into()));
    before.assert_unchanged(&root.snapshot());
}

#[test]
fn a_closed_or_full_stdout_panics_nobody() {
    let up = HttpServer::ok();
    let root = root(&format!("[checks.http.api]\nurl = \"{}\"", up.url("/")));
    for args in [&["check"][..], &["check", "--json"], &["diagnose"], &["heal"], &["stats"], &["backups"], &["--help"]]
    {
        let mut closed = root.command(args);
        // The reader is gone before the first byte.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        check_quiet_end(closed.stdout(writer).stderr(Stdio::piped()), args);
        let full = File::options().write(true).open("/dev/full").unwrap();
        check_quiet_end(root.command(args).stdout(full).stderr(Stdio::piped()), args);
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let code = root.command(args).stdout(full()).stderr(full()).status().unwrap().code();
        assert_eq!(code, Some(0), "{args:?} with both streams full");
    }
}

#[track_caller]
fn check_quiet_end(command: &mut Command, args: &[&str]) {
    let done = command.stdin(Stdio::null()).spawn().unwrap().wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(!stderr.contains("panicked") && done.status.code() == Some(0), "{args:?}: {:?}\n{stderr}", done.status);
}
