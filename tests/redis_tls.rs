//! A Redis that speaks TLS, seen by the real binary: whom it believes, and how it says that it does not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};
use support::{Root, free_port, require_env, spawn_command};

/// `healer check` of this URL, with these root certificates; its exit code, status and message.
fn look(url: &str, roots: &str) -> (Option<i32>, String, String) {
    let root = Root::new();
    root.config(&format!(
        "[checks.docker]\nenabled = false\n[checks.host]\nenabled = false\n\
         [checks.redis.cache]\nurl = \"{url}\"\ntimeout = \"2s\"\n"
    ));
    let mut command = root.command(&["check", "--json"]);
    command.env("SSL_CERT_FILE", format!("{}/tests/fixtures/tls/{roots}", env!("CARGO_MANIFEST_DIR")));
    let ran = spawn_command(command).wait();
    assert!(!ran.output().contains("hunter2"), "the password is shown: {}", ran.output());
    let check = ran.data()["checks"]["cache"].take();
    let word = |key: &str| check[key].as_str().unwrap().to_owned();
    (ran.code, word("status"), word("message"))
}

#[track_caller]
fn check(url: &str, roots: &str, code: i32, status: &str, words: &[&str]) {
    let seen = look(url, roots);
    assert_eq!((seen.0, &*seen.1), (Some(code), status), "{url} {roots}: {seen:?}");
    for word in words {
        assert!(seen.2.contains(word), "{url} {roots}: {word:?} is not in {seen:?}");
    }
}

#[test]
fn redis_over_tls_believes_whom_it_should() {
    let Some(url) = require_env("HEALER_TEST_REDIS_TLS") else { return };
    let Some(plain) = require_env("HEALER_TEST_REDIS") else { return };
    check(&url, "ca.pem", 0, "healthy", &["answers in"]);
    check(&url.replace("127.0.0.1", "localhost"), "ca.pem", 0, "healthy", &["answers in"]);
    // Signed by an authority that is not known here.
    check(&url, "utctime.pem", 2, "critical", &["certificate"]);
    // Made out to another name.
    check(&url.replace("127.0.0.1", "127.0.0.2"), "ca.pem", 2, "critical", &["certificate", "127.0.0.2"]);
    check(&url, "no_such_file.pem", 2, "critical", &["no_such_file.pem", "No such file"]);
    // A password that it does not want.
    let with_password = url.replace("rediss://", "rediss://nobody_here:hunter2@");
    check(&with_password, "ca.pem", 2, "critical", &["wrong user or password"]);
    // TLS to one that does not speak it and waits for the end of a line, and the other way round.
    check(&plain.replace("redis://", "rediss://"), "ca.pem", 2, "critical", &["no answer within 2s from rediss://"]);
    check(&url.replace("rediss://", "redis://"), "ca.pem", 2, "critical", &["redis://127.0.0.1"]);
}

#[test]
fn a_redis_over_tls_that_is_down_or_silent_is_critical_in_time() {
    check(&format!("rediss://127.0.0.1:{}", free_port()), "ca.pem", 2, "critical", &["connection refused"]);
    // It accepts, and never says a word of the handshake.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let begin = Instant::now();
    let url = format!("rediss://127.0.0.1:{}", silent.local_addr().unwrap().port());
    check(&url, "ca.pem", 2, "critical", &["no answer", "2"]);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}
