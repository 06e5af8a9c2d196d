//! The helpers of the integration tests keep what they promise: a tree sees every write, a server remembers, a worker in a
//! real container is limited and recovers when its file is changed.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;
use support::{Answer, Docker, HttpServer, RateLimitedServer, RateLimitedWorker, Root, Tree, spawn_command};

/// The tree must name exactly `expected` (beginnings of lines) after `change`.
#[track_caller]
fn check_tree(change: impl Fn(&Root), expected: &[&str]) {
    let root = Root::new();
    root.write("dir/file", "old");
    let before = root.snapshot();
    change(&root);
    let found = before.differences(&root.snapshot());
    for line in expected {
        assert!(found.iter().any(|f| f.starts_with(line)), "{line:?} is not in {found:?}");
    }
    assert_eq!(expected.is_empty(), found.is_empty(), "{found:?}");
}

#[test]
fn a_tree_sees_every_kind_of_write_and_no_read() {
    check_tree(|root| drop(root.read("dir/file")), &[]);
    check_tree(|root| drop(root.write("dir/file", "new")), &["dir/file: \"old\" became \"new\""]);
    check_tree(|root| drop(root.write("dir/more", "")), &["dir/more: added", "dir: modification time"]);
    check_tree(|root| std::fs::remove_file(root.path("dir/file")).unwrap(), &["dir/file: removed"]);
    check_tree(|root| root.set_age("dir/file", Duration::from_secs(60)), &["dir/file: modification time"]);
    check_tree(
        |root| std::fs::set_permissions(root.path("dir/file"), PermissionsExt::from_mode(0o600)).unwrap(),
        &["dir/file: mode 100644 became 100600"],
    );
    let replace = |root: &Root| {
        let new = root.write("dir/new", "old");
        std::fs::rename(new, root.path("dir/file")).unwrap();
    };
    check_tree(replace, &["dir/file: inode"]);
}

#[test]
fn a_file_written_anew_with_the_same_bytes_is_the_same_content() {
    let root = Root::new();
    root.write("file", "bytes");
    let before = root.snapshot();
    root.write("other", "bytes");
    std::fs::rename(root.path("other"), root.path("file")).unwrap();
    before.assert_same_content(&root.snapshot());
    assert!(before != root.snapshot());
    assert_eq!(Tree::of(&root.dir()).bytes("file"), Some(&b"bytes"[..]));
}

#[test]
fn the_root_in_a_configuration_is_its_path() {
    let root = Root::new();
    root.config("state_dir = \"{root}/state\"\n");
    assert_eq!(root.read_text("healer.toml"), format!("state_dir = \"{}\"\n", root.state_dir().display()));
}

#[test]
fn a_running_program_gives_its_lines_as_they_come_and_its_end() {
    let script = r#"
        trap 'kill $child; echo late >&2; echo "{\"status\":\"success\",\"data\":7}"; exit 3' TERM
        sleep 600 >/dev/null 2>&1 & child=$!
        echo one >&2; echo ready >&2; wait"#;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    let mut running = spawn_command(command);
    assert_eq!(running.wait_for("read"), "ready");
    running.signal(rustix::process::Signal::TERM);
    let ran = running.wait().expect_code(3);
    assert_eq!((ran.stderr.as_str(), ran.data()), ("one\nready\nlate\n", serde_json::json!(7)));
}

fn get(url: &str) -> String {
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "POST /hook HTTP/1.1\r\nX-Name: v\r\nContent-Length: 2\r\n\r\n{{}}").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_server_answers_from_its_queue_then_as_otherwise_and_remembers_requests() {
    let server = HttpServer::start([Answer::new(503, "busy").header("Retry-After", "1")], Answer::new(200, "fine"));
    let (first, second) = (get(&server.url("/hook")), get(&server.url("/hook")));
    assert!(first.starts_with("HTTP/1.1 503 ") && first.contains("Retry-After: 1\r\n") && first.ends_with("busy"));
    assert!(second.starts_with("HTTP/1.1 200 ") && second.ends_with("fine"));
    let requests = server.wait_for_requests(2);
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("POST", "/hook"));
    assert_eq!((requests[0].header("x-name"), requests[0].json()), (Some("v"), serde_json::json!({})));
}

#[test]
fn a_held_request_is_answered_once_released() {
    let server = HttpServer::start([Answer::held()], Answer::new(200, ""));
    let url = server.url("/hook");
    let client = std::thread::spawn(move || get(&url));
    server.wait_for_requests(1);
    assert!(!client.is_finished());
    server.release();
    assert!(client.join().unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_worker_in_a_container_is_rate_limited_until_its_pause_is_raised_and_it_is_restarted() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let server = RateLimitedServer::start(Duration::from_millis(100));
    let worker = RateLimitedWorker::start(&docker, &root, "limited", "0.04", &server.url());
    worker.container.wait_for_lines(10, "ERROR worker request failed: 429 Client Error: Too Many Requests for url: ");
    let healed = root.read_text("worker/client.py").replace("sleep(0.04)", "sleep(0.12)");
    std::fs::write(&worker.program, healed).unwrap();
    let started = worker.container.restart();
    worker.container.wait_for_lines_since(&started, 10, "INFO worker request ");
    let since = docker.cli(&["logs", "--since", &started, &worker.container.name]);
    assert!(since.matches(" 429 ").count() <= 1, "only the first request may come too soon:\n{since}");
}

#[test]
fn no_fix_helps_against_a_server_that_always_limits() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let server = RateLimitedServer::always_limited();
    let worker = RateLimitedWorker::start(&docker, &root, "always", "0.05", &server.url());
    worker.container.wait_for_lines(5, " 429 Client Error");
    assert!(!worker.container.logs().contains(" INFO "));
}
