//! Logs as they are found on hosts: gone, unreadable, binary, one endless line, truncated under the reader. The pass goes
//! on, says what it could not read, and counts every event once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::Write;
use support::{RATE_LIMITED, Scene, healer};

fn count_rule(scene: &Scene, code: i32) -> serde_json::Value {
    scene.heal_json(&["--only", "slow-down"], code)
}

/// Why the rule did not fire.
fn not_fired(pass: &serde_json::Value) -> String {
    pass["not_fired"][0]["reason"].as_str().unwrap_or_else(|| panic!("it fired: {pass:#}")).to_owned()
}

/// A rule that only watches: its firing changes nothing.
fn watching() -> Scene {
    Scene::new(|p| p.fixes = String::new())
}

#[test]
fn what_cannot_be_read_is_told_and_the_pass_goes_on() {
    let check = |prepare: &dyn Fn(&Scene), told: &str| {
        let mut scene = watching();
        scene.configure(|p| p.rest = "[logs.files.second]\npath = \"{root}/second.log\"".into());
        prepare(&scene);
        scene.log_errors(20);
        let ran = healer(&scene.root, &["heal", "--json"]).expect_code(10);
        let pass = ran.data();
        assert_eq!(pass["diagnoses"][0]["trigger"]["count"], 20, "the other log is read all the same");
        let text = format!("{}{}", pass["logs"]["problems"], pass["logs"]["gaps"]);
        assert!(text.contains(told), "{told:?} is not in {text}");
    };
    check(&|_| {}, "");
    check(&|s| std::fs::create_dir(s.root.path("second.log")).unwrap(), "");
    let link = |s: &Scene| std::os::unix::fs::symlink("second.log", s.root.path("second.log")).unwrap();
    check(&link, "second.log");
    check(&|s| drop(std::os::unix::net::UnixListener::bind(s.root.path("second.log")).unwrap()), "");
    check(&|s| drop(s.root.write("second.log", [0, 255, 254, 10].repeat(10_000))), "second.log is binary");
}

#[test]
fn errors_between_binary_and_invalid_text_are_found() {
    let scene = watching();
    let noise = b"\x00\xff\xfe\x80 \xc3\x28 \x1b[31m\r\n";
    // A file that begins with NUL bytes is taken for binary and told as such: this one turns bad later.
    scene.root.append("worker.log", "all is well\n".repeat(2000));
    for _ in 0..6 {
        scene.root.append("worker.log", noise);
        scene.root.append("worker.log", [b"\xff\xfe \x1b[31m", RATE_LIMITED.as_bytes()].concat());
    }
    let ran = healer(&scene.root, &["heal"]).expect_code(10);
    assert!(!ran.output().contains('\u{1b}') && !ran.output().contains('\0'), "{:?}", ran.output());
    assert!(ran.stdout.contains("6 x rate_limit in file:worker"), "{}", ran.stdout);
}

#[test]
fn counts_span_passes_and_nothing_is_counted_twice() {
    let scene = watching();
    scene.log_errors(3);
    assert_eq!(not_fired(&count_rule(&scene, 10)), "3 of 5 rate_limit in file:worker within 10m");
    assert_eq!(not_fired(&count_rule(&scene, 10)), "3 of 5 rate_limit in file:worker within 10m");
    scene.log_errors(2);
    let pass = count_rule(&scene, 10);
    assert_eq!((&pass["diagnoses"][0]["trigger"]["count"], &pass["logs"]["events"]), (&5.into(), &2.into()));
    let pass = count_rule(&scene, 10);
    assert_eq!((&pass["diagnoses"][0]["trigger"]["count"], &pass["logs"]["events"]), (&5.into(), &0.into()));
}

#[test]
fn events_older_than_the_span_do_not_count() {
    let scene = watching();
    let at = |seconds| jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
    for seconds in [5000, 4000, 3000, 30, 20] {
        scene.root.append("worker.log", format!("{} {RATE_LIMITED}", at(seconds)));
    }
    assert_eq!(not_fired(&count_rule(&scene, 0)), "2 of 5 rate_limit in file:worker within 10m");
}

#[test]
fn a_log_that_is_rotated_or_truncated_between_passes_loses_and_repeats_nothing() {
    let check = |rotate: &dyn Fn(&Scene), expected: u64| {
        let scene = watching();
        scene.root.append("worker.log", "quiet\n".repeat(100));
        scene.log_errors(3);
        healer(&scene.root, &["heal"]);
        rotate(&scene);
        scene.log_errors(2);
        let pass = scene.heal_json(&[], 10);
        assert_eq!(pass["diagnoses"][0]["trigger"]["count"], expected, "{:#}", pass["logs"]);
        assert_eq!(pass["logs"]["events"], expected - 3);
    };
    // copytruncate: the same file begins anew.
    check(&|s| drop(std::fs::File::create(s.root.path("worker.log")).unwrap()), 5);
    // Renamed with errors written after the last pass: both files are read.
    let rename = |s: &Scene| {
        s.log_errors(4);
        std::fs::rename(s.root.path("worker.log"), s.root.path("worker.log.1")).unwrap();
    };
    check(&rename, 9);
}

/// What a line of 200 MiB may take beside what six short ones do.
const MORE_KIB: u64 = 4_096;

#[test]
fn a_line_without_end_is_read_in_bounded_memory() {
    let scene = watching();
    let peak = |args: &[&str]| {
        // The shell's `ulimit` counts address space; what is really used stands in /proc until the process is waited for.
        let mut command = std::process::Command::new("/usr/bin/python3");
        let script = "import os,sys\npid=os.spawnv(os.P_NOWAIT,sys.argv[1],sys.argv[1:])\n\
                      print(os.wait4(pid,0)[2].ru_maxrss,file=sys.stderr)";
        command.args(["-c", script, env!("CARGO_BIN_EXE_healer")]).args(args);
        command.arg("--config").arg(scene.root.config_path()).arg("--state-dir").arg(scene.root.state_dir());
        let ran = support::spawn_command(command).wait().expect_code(0);
        (ran.stderr.lines().last().unwrap().parse::<u64>().unwrap(), ran.stdout)
    };
    // What the binary itself takes, which differs with how it was built.
    scene.root.append("worker.log", RATE_LIMITED.repeat(6));
    let (own, _) = peak(&["diagnose", "--log", scene.root.path("worker.log").to_str().unwrap()]);
    let most = own + MORE_KIB;
    let mut file = std::fs::File::create(scene.root.path("worker.log")).unwrap();
    let block = vec![b'a'; 1 << 20];
    for _ in 0..200 {
        file.write_all(&block).unwrap();
    }
    drop(file);
    scene.root.append("worker.log", format!("\n{}", RATE_LIMITED.repeat(6)));
    let (first, stdout) = peak(&["heal"]);
    assert!(stdout.contains("6 x rate_limit"), "{stdout}");
    assert!(first < most, "{first} KiB for a first sight, {own} for six lines");
    // Now everything is new: the whole 200 MiB come between two passes.
    let mut file = std::fs::OpenOptions::new().append(true).open(scene.root.path("worker.log")).unwrap();
    for _ in 0..200 {
        file.write_all(&block).unwrap();
    }
    let (second, _) = peak(&["heal"]);
    assert!(second < most, "{second} KiB for 200 MiB of one line, {own} for six lines");
    let (whole, stdout) = peak(&["diagnose", "--log", scene.root.path("worker.log").to_str().unwrap()]);
    assert!(whole < most, "{whole} KiB, {own} for six lines");
    assert!(stdout.contains("rate_limit 6"), "{stdout}");
}

#[test]
fn given_files_are_analysed_without_state() {
    let scene = watching();
    let log = scene.root.write("given.log", format!("all is well\n{}", RATE_LIMITED.repeat(7)));
    let old = scene.root.write("old.log", "2001-02-03T04:05:06Z ERROR HTTP 429 Too Many Requests\n".repeat(3));
    let before = scene.root.snapshot();
    let data = healer(&scene.root, &["diagnose", "--json", "--log", log.to_str().unwrap()]).expect_code(0).data();
    assert_eq!(data["by_signature"]["rate_limit"], 7);
    let cause = &data["diagnoses"][0];
    assert_eq!((&cause["issue_type"], &cause["decision"]), (&"rate_limiting".into(), &"no_rule".into()), "{data:#}");
    let text = healer(&scene.root, &["diagnose", "--log", old.to_str().unwrap()]).expect_code(0).stdout;
    assert!(text.starts_with("3 error events in 162 bytes") && text.contains("rate_limiting file:"), "{text}");
    let rule = healer(&scene.root, &["diagnose", "slow-down", "--log", old.to_str().unwrap()]).expect_code(2);
    assert!(rule.stderr.contains("cannot be asked about files"), "{}", rule.stderr);
    let missing = healer(&scene.root, &["diagnose", "--log", "/no/such/file"]).expect_code(2);
    assert!(missing.stderr.contains("/no/such/file: there is no such file"), "{}", missing.stderr);
    before.assert_unchanged(&scene.root.snapshot());
}

#[test]
fn a_pipe_is_analysed_as_a_file_is() {
    let scene = watching();
    let log = scene.root.write("given.log", RATE_LIMITED.repeat(3000));
    let binary = scene.root.write("binary.log", "a\0b");
    let through_pipe = |path: &std::path::Path| {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "cat \"$1\" | \"$0\" diagnose --json --log /dev/stdin --config \"$2\" --state-dir \"$3\""]);
        command.arg(env!("CARGO_BIN_EXE_healer")).arg(path).arg(scene.root.config_path()).arg(scene.root.state_dir());
        support::spawn_command(command).wait().expect_code(0).data()
    };
    assert_eq!(through_pipe(&log)["by_signature"]["rate_limit"], 3000);
    let problem = &through_pipe(&binary)["problems"][0]["message"];
    assert!(problem.as_str().unwrap().contains("is binary, not text"), "{problem}");
}

#[test]
fn an_unreadable_log_is_told_where_the_reader_is_not_root() {
    if support::is_root() {
        // Root reads everything: run the binary as nobody, where that is possible.
        return nobody();
    }
    let scene = watching();
    scene.root.write("worker.log", RATE_LIMITED);
    std::fs::set_permissions(scene.root.path("worker.log"), std::os::unix::fs::PermissionsExt::from_mode(0o000))
        .unwrap();
    let pass = scene.heal_json(&[], 0);
    assert!(pass["logs"]["problems"].to_string().contains("worker.log"), "{:#}", pass["logs"]);
}

fn nobody() {
    use std::os::unix::fs::PermissionsExt;
    let scene = watching();
    scene.root.write("worker.log", RATE_LIMITED);
    std::fs::set_permissions(scene.root.path("worker.log"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(scene.root.dir(), PermissionsExt::from_mode(0o777)).unwrap();
    let binary = scene.root.copy_binary();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary).args(["heal", "--json"]);
    command.arg("--config").arg(scene.root.config_path()).arg("--state-dir").arg(scene.root.state_dir());
    let pass = support::spawn_command(command).wait().expect_code(0).data();
    let problems = pass["logs"]["problems"].to_string();
    assert!(problems.contains("file:worker") && problems.contains("ermission denied"), "{problems}");
}
