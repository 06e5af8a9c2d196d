//! The README's first command: a whole demonstration in well under a minute, of which nothing is left.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::{Duration, Instant};
use support::{Ran, Root, spawn_command};

/// The demonstration with the root's `tmp` as the temporary directory.
fn demo(root: &Root) -> support::Running {
    std::fs::create_dir(root.path("tmp")).unwrap();
    let mut command = root.bare_command(&["demo"]);
    command.env("TMPDIR", root.path("tmp"));
    spawn_command(command)
}

/// No file in the temporary directory, and no process that knows of it.
#[track_caller]
fn assert_nothing_left(root: &Root) {
    let files: Vec<_> = std::fs::read_dir(root.path("tmp")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files, [] as [std::path::PathBuf; 0]);
    let own = root.dir().to_str().unwrap().to_owned();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let command = std::fs::read(entry.unwrap().path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        command.contains(&own).then_some(command)
    });
    assert_eq!(processes.collect::<Vec<_>>(), [] as [String; 0]);
}

/// These texts, in this order.
#[track_caller]
fn assert_shows(ran: &Ran, texts: &[&str]) {
    let mut rest = ran.stdout.as_str();
    for text in texts {
        let at = rest.find(text).unwrap_or_else(|| panic!("{text:?} does not come (any more):\n{}", ran.output()));
        rest = &rest[at + text.len()..];
    }
}

#[test]
fn the_demonstration_shows_a_fix_that_helps_and_one_that_does_not_and_leaves_nothing_behind() {
    let root = Root::new();
    let begin = Instant::now();
    let ran = demo(&root).wait().expect_code(0);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(40), "it took {took:?}");
    assert_shows(
        &ran,
        &[
            "# A worker sends a request every 200 ms",
            "$ healer check",
            "HEALER OK - ",
            "$ healer diagnose",
            "rule",
            "confidence",
            "pause_ms",
            "$ healer heal",
            "# A second worker is limited whatever its pace",
            "$ healer heal",
            "# What is remembered",
            "$ healer stats",
            "$ healer backups",
            "backup_",
            "# The first fix was kept, the second one undone byte for byte.",
        ],
    );
    for (line, count) in
        [("\nbackup    backup_", 2), ("\nhealed: ", 1), ("\nrolled_back: ", 1), ("\n    | +pause_ms = 300\n", 3)]
    {
        let found = ran.output().matches(line).count();
        assert!(found >= count, "{line:?} comes {found} times, not {count}:\n{}", ran.output());
    }
    assert_nothing_left(&root);
}

#[test]
fn an_interrupted_demonstration_leaves_nothing_behind_either() {
    let root = Root::new();
    let mut running = demo(&root);
    running.wait_for("watching");
    running.signal(rustix::process::Signal::INT);
    let ran = running.wait();
    assert_ne!(ran.code, Some(0), "{}", ran.output());
    assert_nothing_left(&root);
}
