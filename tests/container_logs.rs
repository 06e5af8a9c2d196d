//! Logs of real containers that cannot be read as files come through the engine: another log driver, files that the
//! process may not read, an engine behind TCP. Each line is counted once, whatever the container's streams are.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use support::{Container, Docker, Ran, Relay, Root, healer, is_root, skip, spawn_command};

const RATE_LIMITED: &str = "ERROR worker request failed: 429 Client Error: Too Many Requests";
/// Any user but root.
const NOBODY: u32 = 65534;

/// A container that prints nothing by itself.
fn silent(docker: &Docker, options: &[&str]) -> Container {
    docker.run(&Docker::unique_name("logs"), options, &["/bin/sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"])
}

/// Prints on a stream of the container's first process (1: standard output, 2: standard error).
#[track_caller]
fn print(container: &Container, stream: u8, text: &str) {
    let to = format!("printf %s \"$1\" >/proc/1/fd/{stream}");
    container.docker.cli(&["exec", &container.name, "sh", "-c", &to, "sh", text]);
}

fn configure(root: &Root, socket: &str, container: &Container) {
    root.config(&format!(
        "[checks.host]\nenabled = false\n[checks.docker]\nsocket = \"{socket}\"\ninclude = [\"{}\"]\n[logs.docker]\n",
        container.name
    ));
}

/// Passes over a container's log: what was printed since the last one is counted, and nothing else. `pass` runs one.
/// With `cut` there is a line that the engine cuts into several entries.
#[track_caller]
fn check_each_line_once(root: &Root, container: &Container, cut: bool, pass: &dyn Fn() -> Ran) {
    let line = |n: usize| format!("{RATE_LIMITED} for url: http://x/{n}\n");
    let mut printed = 0;
    let mut expect = |new: usize| {
        printed += new;
        container.wait_for_lines(printed, "429 Client Error");
        expect_new(pass(), new);
    };
    expect(0);
    print(container, 1, &(line(1) + "INFO worker request done\n" + &line(2)));
    print(container, 2, &line(3));
    expect(3);
    expect(0);
    if cut {
        print(container, 1, &format!("{RATE_LIMITED} {}\n{}", "x".repeat(50_000), line(4)));
        expect(2);
        expect(0);
    }
    // In the very second of the last pass, more often than not.
    for n in 0..5 {
        print(container, 1 + (n % 2) as u8, &line(n));
        expect(1);
    }
    container.restart();
    print(container, 1, &line(9));
    expect(1);
    expect(0);
    check_came_through_the_engine(root);
}

/// So many lines were counted, and all could be read.
#[track_caller]
fn expect_new(pass: Ran, lines: usize) {
    let report = pass.data()["logs"].take();
    assert_eq!(report["by_signature"]["rate_limit"].as_u64().unwrap_or(0), lines as u64, "{report:#}");
    assert_eq!((&report["problems"], &report["gaps"]), (&[(); 0][..].into(), &[(); 0][..].into()), "{report:#}");
}

#[track_caller]
fn check_came_through_the_engine(root: &Root) {
    let cursors: serde_json::Value = serde_json::from_str(&root.read_text("state/cursors.json")).unwrap();
    for cursor in cursors["containers"].as_object().unwrap().values() {
        assert_eq!(cursor["files"], serde_json::json!([]), "{cursors:#}");
        assert!(cursor["api"]["taken"]["times"][0].is_array(), "{cursors:#}");
    }
}

#[test]
fn the_local_driver_keeps_no_file_that_can_be_read() {
    let Some(docker) = Docker::require() else { return };
    // Of a terminal, engine 20.10 leaves out the newline after a line that it cut: nothing tells where the next begins.
    for (options, cut) in [(&["--log-driver", "local"][..], true), (&["--log-driver", "local", "--tty"], false)] {
        let (root, container) = (Root::new(), silent(&docker, options));
        configure(&root, &docker.socket, &container);
        check_each_line_once(&root, &container, cut, &|| support::healer(&root, &["heal", "--json"]));
    }
}

#[test]
fn files_of_an_engine_behind_tcp_are_not_looked_for_here() {
    let Some(docker) = Docker::require() else { return };
    let relay = Relay::to(&docker.socket);
    let (root, container) = (Root::new(), silent(&docker, &["--log-driver", "json-file"]));
    configure(&root, &relay.address(), &container);
    check_each_line_once(&root, &container, true, &|| support::healer(&root, &["heal", "--json"]));

    // The engine tells what cgroup files would, about a second after the container's start.
    let look = || support::healer(&root, &["check", "--json"]).expect_code(0).data()["checks"]["docker"].take();
    let seen = std::iter::repeat_with(look).take(20).find(|seen| seen["containers"][0]["memory_bytes"].is_u64());
    assert_eq!(seen.unwrap()["containers"][0]["state"], "running");
    drop(relay);
    let down = support::healer(&root, &["check", "--json"]).expect_code(2).data();
    assert_eq!(down["checks"]["docker"]["status"], "critical", "{down:#}");
}

/// Makes all that a pass needs this user's; the command is such a pass, by that user.
fn pass_of_nobody(root: &Root, docker: &Docker) -> impl Fn() -> Ran {
    let socket = std::fs::metadata(docker.socket.trim_start_matches("unix://")).unwrap();
    root.copy_binary();
    for path in [root.dir(), root.path("healer"), root.config_path()] {
        std::os::unix::fs::chown(path, Some(NOBODY), None).unwrap();
    }
    let (binary, config, state) = (root.path("healer"), root.config_path(), root.state_dir());
    move || {
        let mut command = Command::new(&binary);
        command.args(["heal", "--json", "--config"]).arg(&config);
        command.arg("--state-dir").arg(&state).uid(NOBODY).gid(socket.gid());
        spawn_command(command).wait()
    }
}

/// Recorded as a skip where nobody else can use the engine's socket.
fn may_become_nobody(docker: &Docker) -> bool {
    let socket = std::fs::metadata(docker.socket.trim_start_matches("unix://")).unwrap();
    let may = is_root() && socket.gid() != 0;
    if !may {
        skip("it takes root to become another user, and a group that the engine's socket belongs to");
    }
    may
}

#[test]
fn a_user_who_may_only_use_the_socket_reads_logs_too() {
    let Some(docker) = Docker::require().filter(may_become_nobody) else { return };
    for options in [&["--log-driver", "json-file"][..], &["--log-driver", "json-file", "--tty"]] {
        let (root, container) = (Root::new(), silent(&docker, options));
        configure(&root, &docker.socket, &container);
        check_each_line_once(&root, &container, true, &pass_of_nobody(&root, &docker));
    }
}

#[test]
fn a_log_goes_on_in_its_file_once_that_may_be_read() {
    let Some(docker) = Docker::require().filter(may_become_nobody) else { return };
    // The first pass that may read it finds something new, or nothing.
    for meanwhile in [0, 2] {
        let (root, container) = (Root::new(), silent(&docker, &["--log-driver", "json-file"]));
        configure(&root, &docker.socket, &container);
        let (nobody, root_user) = (pass_of_nobody(&root, &docker), || healer(&root, &["heal", "--json"]));
        let mut printed = 0;
        let mut expect = |new: usize, pass: &dyn Fn() -> Ran| {
            let text: String =
                (0..new).map(|n| format!("{RATE_LIMITED} for url: http://x/{}\n", printed + n)).collect();
            print(&container, 1, &text);
            printed += new;
            container.wait_for_lines(printed, "429 Client Error");
            expect_new(pass(), new);
        };
        expect(3, &nobody);
        expect(1, &nobody);
        check_came_through_the_engine(&root);
        expect(meanwhile, &root_user);
        expect(2, &root_user);
        expect(0, &root_user);
        let cursors: serde_json::Value = serde_json::from_str(&root.read_text("state/cursors.json")).unwrap();
        let cursor = cursors["containers"].as_object().unwrap().values().next().unwrap();
        assert_eq!(cursor["files"].as_array().unwrap().len(), 1, "{cursor:#}");
    }
}

#[test]
fn a_crash_is_not_hidden_behind_what_the_crashed_one_had_logged() {
    let Some(docker) = Docker::require() else { return };
    let script =
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do printf '\\033[31m429 Too Many Requests\\033[0m\\n'; done; exit 3";
    let container = docker.run(&Docker::unique_name("crashed"), &[], &["/bin/sh", "-c", script]);
    container.wait_for_lines(12, "429");
    // It ends only after its last line.
    docker.cli(&["wait", &container.name]);
    let root = Root::new();
    configure(&root, &docker.socket, &container);
    let pass = healer(&root, &["heal", "-n", "--json"]).expect_code(10).data();
    // A colour in front of its first word hides no line.
    assert_eq!(pass["logs"]["by_signature"]["rate_limit"], 12, "{:#}", pass["logs"]);
    let diagnoses = pass["diagnoses"].as_array().unwrap();
    let told: Vec<_> = diagnoses.iter().map(|d| (d["issue_type"].as_str(), d["severity"].as_str())).collect();
    assert_eq!(told, [(Some("container_crash"), Some("critical"))], "{pass:#}");
    assert_eq!(pass["competing"][0]["issue_type"], "rate_limiting", "{:#}", pass["competing"]);
}
