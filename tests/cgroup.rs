//! What containers use, read from a real hierarchy of cgroup version 2, also on a host that mounts version 1: the binary
//! runs in a mount namespace in which version 2 lies where it is looked for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::process::Command;
use support::{Docker, Ran, Root, is_root, skip, spawn_command};

/// Mounts version 2 and becomes the program that follows.
const WITH_VERSION_2: &str = "mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";

fn with_version_2(program: &Command) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", WITH_VERSION_2, "sh"]).arg(program.get_program()).args(program.get_args());
    command
}

fn pass(root: &Root) -> Ran {
    spawn_command(with_version_2(&root.command(&["heal", "--json"]))).wait()
}

#[test]
fn a_container_is_measured_by_the_files_of_version_2() {
    let Some(docker) = Docker::require() else { return };
    if !is_root() || !with_version_2(Command::new("true").arg("")).status().is_ok_and(|status| status.success()) {
        return skip("mounting a hierarchy of version 2 needs root and a kernel that lets it");
    }
    let root = Root::new();
    let name = Docker::unique_name("busy");
    let busy = "n=0; while :; do n=$((n + 1)); [ $((n % 500000)) -gt 0 ] || echo lap; done";
    let container = docker.run(&name, &[], &["/bin/sh", "-c", busy]);
    container.wait_for_lines(1, "lap");
    root.config(&format!(
        "[checks.host]\nenabled = false\n[checks.docker]\nsocket = \"{}\"\ninclude = [\"{name}\"]\n\
         [logs.docker]\nenabled = false\n",
        docker.socket
    ));
    let id = container.inspect("{{.Id}}");
    let sample = || {
        let pass = pass(&root).expect_code(0).data();
        let state: serde_json::Value = serde_json::from_str(&root.read_text("state/state.json")).unwrap();
        let cpu = state["samples"]["docker"]["containers"][&id]["cpu"].clone();
        assert_eq!(cpu["source"], "cgroup", "{state:#}");
        (pass["health"]["checks"]["docker"]["containers"][0].clone(), cpu)
    };
    let (_, first) = sample();
    // Over too short a time no use is told.
    container.wait_for_lines(4, "lap");
    let (seen, second) = sample();
    assert!(second["usec"].as_u64().unwrap() > first["usec"].as_u64().unwrap(), "{first} {second}");
    assert!(seen["cpu_percent"].as_f64().unwrap() > 0.0, "{seen:#}");

    let list = "cd /sys/fs/cgroup && find . -path \"*$0*\" -name memory.current";
    let listed = with_version_2(Command::new("sh").args(["-c", list, &id])).output().unwrap();
    // Where version 1 has the memory controller, version 2 has no memory to tell.
    assert_eq!(seen["memory_bytes"].is_u64(), !listed.stdout.is_empty(), "{seen:#}");
}
