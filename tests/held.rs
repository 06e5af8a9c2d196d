//! Nothing is done although something is wrong: each reason to hold, in its words, with exit code 10 and an untouched
//! file; and what a dry run and an operator's approval do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::process::Command;
use std::time::Duration;
use support::{PROGRAM_PATH, Parts, Scene, fix, healer, is_root, skip};

/// With errors in the log, this configuration and these preparations a pass must hold with this word and these texts.
#[track_caller]
fn check(change: impl FnOnce(&mut Parts), prepare: impl FnOnce(&Scene), word: &str, reason: &[&str]) {
    let scene = Scene::new(change);
    prepare(&scene);
    check_held(&scene, word, reason);
}

#[track_caller]
fn check_held(scene: &Scene, word: &str, reason: &[&str]) {
    let before = support::Tree::of(&scene.root.path("worker"));
    scene.log_errors(20);
    let asked = healer(&scene.root, &["diagnose", "slow-down", "--json"]).expect_code(0).data();
    let pass = scene.heal_json(&[], 10);
    let diagnosis = &pass["diagnoses"][0];
    assert_eq!((&diagnosis["decision"], &diagnosis["hold"]), (&"hold".into(), &word.into()), "{diagnosis:#}");
    // Asked for the rule, the first condition that is not met is the gate's reason.
    let conditions = asked["rule"]["conditions"].as_array().unwrap();
    let unmet = conditions.iter().find(|condition| condition["met"] == false).unwrap();
    assert_eq!(unmet["name"], word, "{conditions:#?}");
    for text in reason {
        let given = diagnosis["hold_reason"].as_str().unwrap();
        assert!(given.contains(text), "{text:?} is not in {given:?}");
    }
    before.assert_unchanged(&support::Tree::of(&scene.root.path("worker")));
    assert!(scene.backups().is_empty() && scene.records().is_empty() && !scene.is_open());
    assert!(scene.event_kinds().contains(&"alert".to_owned()), "{:?}", scene.event_kinds());
}

fn write_program(text: &str) -> impl FnOnce(&Scene) {
    move |scene| drop(scene.root.write(PROGRAM_PATH, text))
}

#[test]
fn a_literal_that_is_not_exactly_one_number_below_its_bound_is_left_alone() {
    let check = |text: &str, change: &str, word: &str, reason: &[&str]| {
        check(|p| p.fixes = fix("delay", change), write_program(text), word, reason);
    };
    let usual = r#"at = "call asyncio.sleep", multiply = 1.5, max = 5.0"#;
    check("x = 1\n", usual, "unusable_target", &["client.py at `call asyncio.sleep`: "]);
    check("asyncio.sleep(1)\nasyncio.sleep(2)\n", usual, "unusable_target", &["client.py", "line"]);
    check("asyncio.sleep(pause)\n", usual, "unusable_target", &["client.py at `call asyncio.sleep`: "]);
    check("asyncio.sleep('soon')\n", usual, "unusable_target", &["client.py at `call asyncio.sleep`: "]);
    check("asyncio.sleep(5.0)\n", usual, "at_bound", &["every fix of the rule is used up", "max"]);
    check("def broken(:\n  asyncio.sleep(0.8)\n", usual, "unusable_target", &["client.py"]);
}

#[test]
fn a_file_that_cannot_be_replaced_whole_is_left_alone() {
    let unusable = |prepare: &dyn Fn(&Scene), reason: &[&str]| check(|_| {}, prepare, "unusable_target", reason);
    unusable(&|s| std::fs::remove_file(s.root.path(PROGRAM_PATH)).unwrap(), &["client.py does not exist"]);
    unusable(
        &|s| std::fs::hard_link(s.root.path(PROGRAM_PATH), s.root.path("worker/second")).unwrap(),
        &["has 2 hard links"],
    );
    unusable(
        &|s| {
            std::fs::remove_file(s.root.path(PROGRAM_PATH)).unwrap();
            std::fs::create_dir(s.root.path(PROGRAM_PATH)).unwrap();
        },
        &["is not a regular file"],
    );
    unusable(&|s| drop(s.root.write(PROGRAM_PATH, "# ".repeat(600_000))), &["is larger than 1 MiB"]);
}

/// Runs a program that must succeed; it is undone when the guard is dropped.
struct Undo(Vec<String>);

impl Undo {
    fn after(argv: &[&str], undo: &[&str]) -> Undo {
        let done = Command::new(argv[0]).args(&argv[1..]).status().unwrap();
        assert!(done.success(), "{argv:?}: {done}");
        Undo(undo.iter().map(|a| (*a).to_owned()).collect())
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = Command::new(&self.0[0]).args(&self.0[1..]).status();
    }
}

#[test]
fn a_file_that_is_a_mount_point_is_left_alone_though_it_is_of_the_same_file_system() {
    if !is_root() {
        return skip("mounting needs root");
    }
    let scene = Scene::new(|_| {});
    let other = scene.root.write("other.py", support::PROGRAM);
    let (other, target) = (other.display().to_string(), scene.root.path(PROGRAM_PATH).display().to_string());
    let _undo = Undo::after(&["mount", "--bind", &other, &target], &["umount", &target]);
    check_held(&scene, "unusable_target", &["client.py is a mount point of its own"]);
}

#[test]
fn a_link_that_leads_out_of_the_allowed_files_is_not_followed() {
    let link = |s: &Scene, to: &str| {
        s.root.write(to, support::PROGRAM);
        std::fs::remove_file(s.root.path(PROGRAM_PATH)).unwrap();
        std::os::unix::fs::symlink(s.root.path(to), s.root.path(PROGRAM_PATH)).unwrap();
    };
    check(|_| {}, |s| link(s, "elsewhere/client.py"), "not_allowed", &["elsewhere/client.py is not in [allow]"]);

    let scene = Scene::new(|_| {});
    link(&scene, "worker/release/real.py");
    scene.log_errors(20);
    scene.heal().expect_code(0);
    assert!(scene.root.path(PROGRAM_PATH).is_symlink(), "the link stays one");
    assert!(!scene.root.path("worker/release/real.py").is_symlink());
    scene.assert_program("1.2");
}

#[test]
fn nothing_outside_the_allowed_files_is_changed() {
    let reason = ["worker/client.py is not in [allow]"];
    check(|p| p.allow = String::new(), |_| {}, "not_allowed", &reason);
    check(|p| p.allow = "files = [\"{root}/worker/*.toml\"]".into(), |_| {}, "not_allowed", &reason);
}

#[test]
fn a_fresh_change_by_a_human_is_left_alone_for_a_while() {
    let graceful = |p: &mut Parts| p.limits = "human_grace = \"15m\"\nmin_duration = \"0s\"".into();
    check(graceful, |_| {}, "human_grace", &["client.py was changed", "not by healer"]);
    let scene = Scene::new(graceful);
    scene.root.set_age(PROGRAM_PATH, Duration::from_secs(1000));
    scene.log_errors(20);
    scene.heal().expect_code(0);
    scene.assert_program("1.2");
}

#[test]
fn who_puts_the_old_content_back_by_hand_is_a_human() {
    let scene = Scene::new(|p| {
        p.limits = "human_grace = \"15m\"\nmin_duration = \"0s\"".into();
        p.rule_limits = "cooldown = \"0s\"".into();
    });
    scene.root.set_age(PROGRAM_PATH, Duration::from_secs(1000));
    scene.log_errors(20);
    scene.heal().expect_code(0);
    scene.assert_program("1.2");
    let hold_of = |scene: &Scene| {
        support::next_second();
        scene.log_errors(20);
        scene.heal_json(&["-n"], 10)["diagnoses"][0]["hold"].clone()
    };
    assert!(hold_of(&scene).is_null(), "what healer wrote itself is no human's change");
    scene.root.write(PROGRAM_PATH, support::PROGRAM);
    assert_eq!(hold_of(&scene), "human_grace");
}

/// Changes the moments of every line of `attempts.jsonl`.
fn rewrite_attempts(scene: &Scene, change: impl Fn(&mut serde_json::Value)) {
    let lines = scene.root.state_lines("attempts.jsonl");
    let text = lines.into_iter().map(|mut line| {
        change(&mut line);
        format!("{line}\n")
    });
    scene.root.write("state/attempts.jsonl", text.collect::<String>());
}

#[test]
fn a_clock_that_is_set_neither_ends_nor_prolongs_a_cooldown() {
    let scene = Scene::new(|_| {});
    scene.log_errors(20);
    scene.heal().expect_code(0);
    let attempts = scene.root.read("state/attempts.jsonl");
    let check = |change: &dyn Fn(&mut serde_json::Value), hold: serde_json::Value| {
        scene.root.write("state/attempts.jsonl", &attempts);
        rewrite_attempts(&scene, change);
        scene.log_errors(20);
        let pass = scene.heal_json(&["-n"], 10);
        assert_eq!(pass["diagnoses"][0]["hold"], hold, "{:#}", pass["diagnoses"][0]);
    };
    support::next_second();
    let year = |line: &mut serde_json::Value, year: &str| {
        let t = line["t"].as_str().unwrap().to_owned();
        line["t"] = format!("{year}{}", &t[4..]).into();
    };
    let sooner =
        |line: &mut serde_json::Value, seconds: f64| line["up"] = (line["up"].as_f64().unwrap() - seconds).into();
    let held = || serde_json::Value::from("cooldown");
    check(&|_| {}, held());
    // The clock was years behind or ahead when the fix was made, or is now.
    check(&|line| year(line, "1999"), held());
    check(&|line| year(line, "2099"), held());
    // The cooldown of 30 minutes has passed, whatever the wall clock says.
    check(&|line| sooner(line, 1801.0), serde_json::Value::Null);
    check(
        &|line| {
            year(line, "2099");
            sooner(line, 1801.0);
        },
        serde_json::Value::Null,
    );
    // In another boot, with a clock that was ahead: from the present boot on.
    let up = clock_up();
    let other_boot = |line: &mut serde_json::Value| {
        year(line, "2099");
        line["boot"] = "another".into();
    };
    check(&other_boot, if up < 1800.0 { held() } else { serde_json::Value::Null });
}

fn clock_up() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn an_operators_switches_hold_everything() {
    let stop = |s: &Scene| drop(s.root.write("STOP", ""));
    check(|_| {}, stop, "stop", &["STOP is there: nothing is changed until it is removed"]);
    check(|p| p.top = "mode = \"suggest\"".into(), |_| {}, "suggest", &["a human decides"]);
    check(|p| p.rule = "mode = \"suggest\"".into(), |_| {}, "suggest", &["a human decides"]);
    check(|p| p.fixes = String::new(), |_| {}, "no_fix", &["the rule has no fix: a human is needed"]);
    check(|p| p.limits.push_str("\nfixes_per_hour = 0"), |_| {}, "limit", &["this host has had its 0 fixes within 1h"]);
}

#[test]
fn a_rule_without_its_second_kind_of_evidence_holds() {
    let checks = "[checks.tcp.database]\naddress = \"127.0.0.1:{port}\"";
    let server = support::HttpServer::ok();
    let up = checks.replace("{port}", &server.port().to_string());
    let required =
        |checks: String| move |p: &mut Parts| (p.checks, p.rule) = (checks, "require = [\"database\"]".into());
    check(required(up), |_| {}, "uncorroborated", &["not red now: database"]);

    let down = checks.replace("{port}", &support::free_port().to_string());
    let scene = Scene::new(required(down));
    scene.log_errors(20);
    let pass = scene.heal_json(&["-n"], 10);
    let decided = pass["diagnoses"].as_array().unwrap().iter().find(|d| d["rule"] == "slow-down").unwrap().clone();
    assert_eq!(decided["decision"], "act", "{decided:#}");
}

#[test]
fn in_a_storm_nothing_is_changed() {
    let port = support::free_port();
    let checks = |n: usize| (0..n).map(|i| format!("[checks.tcp.t{i}]\naddress = \"127.0.0.1:{port}\"\n")).collect();
    let held = |n: usize| {
        let scene = Scene::new(|p| p.checks = checks(n));
        scene.log_errors(20);
        let pass = scene.heal_json(&["-n"], 10);
        let all = pass["diagnoses"].as_array().unwrap().clone();
        let of_rule = all.into_iter().find(|d| d["rule"] == "slow-down").unwrap();
        (of_rule["hold"].as_str().map(str::to_owned), of_rule["hold_reason"].as_str().map(str::to_owned))
    };
    assert_eq!(held(2), (None, None), "two of two are no storm");
    let (word, reason) = held(3);
    assert_eq!(word.as_deref(), Some("storm"));
    assert!(reason.unwrap().contains("3 of 3 checks are critical at once"));
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing_at_all() {
    let scene = Scene::new(|_| {});
    scene.log_errors(20);
    let before = scene.root.snapshot();
    let ran = healer(&scene.root, &["heal", "-n"]).expect_code(10);
    before.assert_unchanged(&scene.root.snapshot());
    assert!(!scene.root.state_dir().exists());
    for text in ["0.8 -> 1.2", "decision    act", "dry run: plan_", "then watch rate_limit in file:worker for 0.5s"] {
        assert!(ran.stdout.contains(text), "{text:?} is not in\n{}", ran.stdout);
    }
    for args in [
        &["diagnose"][..],
        &["check"],
        &["stats"],
        &["backups"],
        &["heal", "-n", "--json"],
        &["backups", "prune", "-n"],
    ] {
        healer(&scene.root, args);
        before.assert_unchanged(&scene.root.snapshot());
    }
    // The state of earlier passes is not touched either.
    scene.heal().expect_code(0);
    support::next_second();
    scene.log_errors(20);
    let before = scene.root.snapshot();
    healer(&scene.root, &["heal", "-n"]).expect_code(10);
    before.assert_unchanged(&scene.root.snapshot());
}

#[test]
fn low_confidence_is_held_until_an_operator_approves_that_very_plan() {
    let scene = Scene::new(|p| p.confidence = "60".into());
    check_held(&scene, "low_confidence", &["confidence 60 is below the threshold of 85"]);
    let shown = scene.heal_json(&["-n"], 10);
    let plan = shown["diagnoses"][0]["plan"]["id"].as_str().unwrap().to_owned();
    assert!(healer(&scene.root, &["heal"]).expect_code(10).output().contains(&plan), "the plan's id is shown");

    // Somebody else has changed the literal: the plan would do another thing than what was approved.
    scene.root.write(PROGRAM_PATH, support::PROGRAM.replace("0.8", "1.6"));
    let ran = healer(&scene.root, &["heal", "--approve", &plan]).expect_code(10);
    assert!(ran.stderr.contains(&format!("plan {plan} is none of this pass's any more")), "{}", ran.stderr);
    scene.assert_program("1.6");
    scene.root.write(PROGRAM_PATH, support::PROGRAM);

    healer(&scene.root, &["heal", "--approve", "nonsense"]).expect_code(2);
    healer(&scene.root, &["heal", "--approve", &plan]).expect_code(0);
    scene.assert_program("1.2");
    assert_eq!(scene.records()[0]["confidence"], 60);
}

#[test]
fn an_approval_passes_no_other_gate() {
    let scene = Scene::new(|p| p.confidence = "60".into());
    scene.log_errors(20);
    let shown = scene.heal_json(&["-n"], 10);
    let plan = shown["diagnoses"][0]["plan"]["id"].as_str().unwrap();
    scene.root.write("STOP", "");
    let pass = scene.heal_json(&["--approve", plan], 10);
    assert_eq!(pass["diagnoses"][0]["hold"], "stop");
    scene.assert_program("0.8");
}

#[test]
fn evidence_moves_confidence_by_what_the_rule_says() {
    let server = support::HttpServer::ok();
    let scene = Scene::new(|p| {
        p.checks = format!("[checks.tcp.api]\naddress = \"127.0.0.1:{}\"", server.port());
        p.rule = "evidence = [{ check = \"api\", is = \"healthy\", add = -40 }]".into();
    });
    scene.log_errors(20);
    let pass = scene.heal_json(&[], 10);
    let diagnosis = &pass["diagnoses"][0];
    assert_eq!((&diagnosis["confidence"], &diagnosis["hold"]), (&50.into(), &"low_confidence".into()), "{diagnosis:#}");
    let text = diagnosis["addends"].to_string();
    assert!(text.contains("-40") && text.contains("api"), "{text}");
}

/// Runs a system program; `false` where it is missing or refuses.
fn system(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|done| done.status.success())
}

#[test]
fn a_read_only_file_system_is_no_target() {
    if !is_root() {
        return skip("mounting needs root");
    }
    let scene = Scene::new(|_| {});
    let dir = scene.root.path("worker").display().to_string();
    if !(system("mount", &["--bind", &dir, &dir]) && system("mount", &["-o", "remount,bind,ro", &dir])) {
        return skip("this machine does not let root mount");
    }
    let outcome = std::panic::catch_unwind(|| {
        check_held(&scene, "unusable_target", &["client.py", "read-only"]);
    });
    assert!(system("umount", &[&dir]));
    outcome.unwrap();
}

/// Also to root, who could write to it all the same.
#[test]
fn a_file_that_nobody_may_write_to_is_no_target() {
    let scene = Scene::new(|_| {});
    let file = scene.root.path(PROGRAM_PATH);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    check_held(&scene, "unusable_target", &["client.py", "read-only (mode 0444)"]);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(scene.heal_json(&["-n"], 10)["diagnoses"][0]["decision"], "act");
}

#[test]
fn an_immutable_file_is_no_target() {
    if !is_root() {
        return skip("chattr needs root");
    }
    let scene = Scene::new(|_| {});
    let file = scene.root.path(PROGRAM_PATH).display().to_string();
    if !system("chattr", &["+i", &file]) {
        return skip("this file system has no immutable files");
    }
    let outcome = std::panic::catch_unwind(|| {
        check_held(&scene, "unusable_target", &["client.py", "write-protected"]);
    });
    assert!(system("chattr", &["-i", &file]));
    outcome.unwrap();
}
