//! A pass that is stopped or killed in the window leaves its fix applied and its transaction open; the next one judges it
//! by what the logs said meanwhile. The lock is free the moment its holder is gone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use rustix::process::Signal;
use support::{PROGRAM, PROGRAM_PATH, Scene, healer};

/// A scene with a window so long that only a signal ends it; 20 errors a second were seen before.
fn scene() -> Scene {
    let scene = Scene::new(|p| p.validate = "settle = \"0s\"\nwindow = \"40s\"".into());
    scene.log_errors(20);
    scene
}

/// Starts a pass, ends it in its window with this signal, and sees that everything was left for the next.
fn stopped_in_window(signal: Signal) -> Scene {
    let scene = scene();
    let pass = scene.spawn_into_window();
    pass.signal(signal);
    let ran = pass.wait();
    if signal == Signal::KILL {
        assert_eq!(ran.code, None);
    } else {
        let ran = ran.expect_code(130);
        assert!(ran.stdout.contains("stays applied and is judged by the next pass"), "{}", ran.stdout);
    }
    scene.assert_program("1.2");
    assert!(scene.is_open() && scene.records().is_empty());
    scene
}

#[test]
fn the_next_pass_keeps_a_fix_that_was_seen_to_help() {
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let scene = stopped_in_window(signal);
        let before = scene.root.snapshot();
        let dry = healer(&scene.root, &["heal", "-n"]);
        assert!(dry.stderr.contains("is open: being validated"), "{}", dry.stderr);
        before.assert_unchanged(&scene.root.snapshot());

        let pass = scene.heal_json(&[], 0);
        let judged = &pass["recovered_transaction"];
        assert_eq!((&judged["outcome"], &judged["open"]), (&"healed".into(), &false.into()), "{judged:#}");
        scene.assert_program("1.2");
        assert!(!scene.is_open());
        let [record] = scene.records().try_into().unwrap();
        assert_eq!((&record["result_status"], &record["success"]), (&"healed".into(), &true.into()));
        assert_eq!(scene.heal().expect_code(0).code, Some(0), "nothing is left to do");
        assert_eq!(scene.records().len(), 1);
    }
}

#[test]
fn the_next_pass_undoes_a_fix_that_was_seen_not_to_help() {
    for signal in [Signal::TERM, Signal::KILL] {
        let scene = stopped_in_window(signal);
        support::next_second();
        scene.log_errors(15);
        let pass = scene.heal_json(&[], 12);
        assert_eq!(pass["recovered_transaction"]["outcome"], "rolled_back", "{:#}", pass["recovered_transaction"]);
        assert_eq!(scene.program(), PROGRAM);
        assert!(!scene.is_open());
        let [record] = scene.records().try_into().unwrap();
        assert_eq!(record["result_status"], "rolled_back");
        assert!(record["error_count_after"].as_u64().unwrap() >= 15, "{record}");
    }
}

#[test]
fn under_stop_an_open_fix_is_left_as_it_is_and_told() {
    let scene = stopped_in_window(Signal::KILL);
    support::next_second();
    scene.log_errors(15);
    scene.root.write("STOP", "");
    let ran = scene.heal();
    assert!(ran.stderr.contains("is there, so it is left as it is"), "{}", ran.stderr);
    scene.assert_program("1.2");
    assert!(scene.is_open() && scene.records().is_empty());

    std::fs::remove_file(scene.root.path("STOP")).unwrap();
    let pass = scene.heal_json(&[], 12);
    assert_eq!(pass["recovered_transaction"]["outcome"], "rolled_back");
    assert_eq!(scene.program(), PROGRAM);
}

#[test]
fn what_cannot_be_judged_any_more_is_undone_and_nothing_is_learned_from_it() {
    let scene = Scene::new(|p| {
        p.rule_limits = "cooldown = \"0s\"".into();
        p.when = r#"{ log = "file:worker", signature = "rate_limit", count = 1, within = "10m" }"#.into();
        p.validate = "settle = \"0s\"\nwindow = \"40s\"".into();
    });
    // One error in the ten seconds before: in the few seconds until the next pass none is to be expected.
    let earlier = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(300);
    scene.root.append("worker.log", format!("{earlier} {}", support::RATE_LIMITED));
    let pass = scene.spawn_into_window();
    pass.signal(Signal::KILL);
    pass.wait();
    let pass = scene.heal_json(&[], 12);
    let why = pass["recovered_transaction"]["why"].as_str().unwrap();
    assert!(why.contains("cannot be judged any more"), "{why}");
    assert_eq!(scene.program(), PROGRAM);
    let [record] = scene.records().try_into().unwrap();
    assert_eq!(
        (&record["result_status"], &record["validation_status"]),
        (&"rolled_back".into(), &"interrupted".into())
    );
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!((&stats["total_fixes"], &stats["decided"]), (&1.into(), &0.into()), "{stats:#}");
    // The same fix may be tried again.
    support::next_second();
    scene.log_errors(20);
    assert_eq!(scene.heal_json(&["-n"], 10)["diagnoses"][0]["decision"], "act");
}

#[test]
fn a_file_that_a_human_changes_in_the_window_ends_it_at_once_and_stays_theirs() {
    let check = |theirs: &str| {
        let scene = scene();
        let mut pass = scene.spawn_into_window();
        scene.root.write(PROGRAM_PATH, theirs);
        pass.wait_for("alert");
        pass.wait().expect_code(13);
        assert_eq!(scene.program(), theirs);
        assert!(!scene.is_open());
        assert_eq!(scene.records()[0]["result_status"], "conflict");
    };
    check(&(PROGRAM.replace("0.8", "1.2") + "\n# by a human\n"));
    check(PROGRAM);
}

#[test]
fn a_file_that_a_human_changed_meanwhile_stays_theirs() {
    let scene = stopped_in_window(Signal::KILL);
    let theirs = scene.program() + "\n# by a human\n";
    scene.root.write(PROGRAM_PATH, &theirs);
    let pass = scene.heal_json(&[], 13);
    assert_eq!(pass["recovered_transaction"]["outcome"], "conflict");
    assert_eq!(scene.program(), theirs);
    assert!(!scene.is_open());
    support::next_second();
    scene.log_errors(20);
    assert_eq!(scene.heal_json(&[], 10)["diagnoses"][0]["hold"], "held_for_human");
    assert_eq!(scene.program(), theirs);
}

#[test]
fn an_operators_rollback_also_ends_what_a_killed_pass_left_open() {
    let scene = stopped_in_window(Signal::KILL);
    let backup = scene.backups().remove(0);
    healer(&scene.root, &["rollback", &backup]).expect_code(0);
    assert_eq!(scene.program(), PROGRAM);
    assert!(!scene.is_open());
}

#[test]
fn every_command_that_writes_ends_what_is_open_first() {
    let scene = stopped_in_window(Signal::KILL);
    support::next_second();
    scene.log_errors(15);
    let pruned = healer(&scene.root, &["backups", "prune"]).expect_code(0);
    assert!(pruned.stderr.contains("recover   fix_") && pruned.stderr.contains("rolled_back: "), "{}", pruned.stderr);
    assert_eq!(scene.program(), PROGRAM);
    assert!(!scene.is_open());
    assert_eq!(scene.records()[0]["result_status"], "rolled_back");
}

#[test]
fn a_second_pass_is_refused_at_once_and_names_the_first() {
    let scene = scene();
    let pass = scene.spawn_into_window();
    let begin = std::time::Instant::now();
    let refused = healer(&scene.root, &["heal"]).expect_code(11);
    assert!(begin.elapsed() < std::time::Duration::from_secs(30), "it waited for the first pass");
    let wanted = format!("process {} (`", pass.pid());
    assert!(refused.stderr.contains(&wanted) && refused.stderr.contains("nothing was done"), "{}", refused.stderr);
    let json = healer(&scene.root, &["heal", "--json"]).expect_code(11).json();
    assert_eq!((&json["status"], &json["code"]), (&"error".into(), &11.into()));
    pass.signal(Signal::KILL);
    pass.wait();
    assert_ne!(healer(&scene.root, &["heal"]).code, Some(11), "the lock is free with its holder's death");
}

#[test]
fn a_signal_while_the_pass_looks_begins_no_fix() {
    // A slow check gives the time.
    let scene = Scene::new(|p| {
        p.checks =
            "[checks.command.slow]\ncommand = [\"/bin/sh\", \"-c\", \"echo x > {root}/looking; sleep 1\"]".into();
        p.validate = "settle = \"0s\"\nwindow = \"40s\"".into();
    });
    scene.log_errors(20);
    let pass = support::spawn(&scene.root, &["heal"]);
    let until = std::time::Instant::now() + support::DEADLINE;
    while !scene.root.path("looking").exists() {
        assert!(std::time::Instant::now() < until, "the check never ran");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    pass.signal(Signal::TERM);
    pass.wait().expect_code(130);
    assert_eq!(scene.program(), PROGRAM);
}
