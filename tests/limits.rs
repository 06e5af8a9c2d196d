//! How often, how far and when: pauses, maintenance windows, the limits of a target and of the day, the circuit breaker, the
//! bound of all fixes together, and what shows too shortly to act on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::time::Duration;
use support::{Answer, HttpServer, PROGRAM_PATH, Parts, Scene, healer, next_second};

/// What a dry run says of the one rule that fires.
fn decision(scene: &Scene) -> Value {
    scene.log_errors(20);
    scene.heal_json(&["-n"], 10)["diagnoses"][0].clone()
}

#[track_caller]
fn check_held(scene: &Scene, word: &str, reason: &str) {
    let diagnosis = decision(scene);
    assert_eq!(diagnosis["hold"], word, "{diagnosis:#}");
    let given = diagnosis["hold_reason"].as_str().unwrap();
    assert!(given.contains(reason), "{reason:?} is not in {given:?}");
}

#[track_caller]
fn check_acts(scene: &Scene) {
    let diagnosis = decision(scene);
    assert_eq!(diagnosis["decision"], "act", "{diagnosis:#}");
}

#[test]
fn a_pause_holds_fixes_until_it_is_over_or_ended() {
    let scene = Scene::new(|_| {});
    let pause = |args: &[&str], code: i32| healer(&scene.root, args).expect_code(code);
    pause(&["pause", "2h", "--reason", "deploy of shop 7"], 0);
    check_held(&scene, "paused", "deploy of shop 7");
    let held = scene.heal_json(&[], 10);
    assert_eq!(held["diagnoses"][0]["hold"], "paused");
    scene.assert_program("0.8");
    assert!(scene.event_kinds().contains(&"alert".to_owned()), "alerts go on");
    let status = healer(&scene.root, &["status"]).expect_code(0).stdout;
    assert!(status.contains("deploy of shop 7") && status.contains("paused"), "{status}");

    pause(&["resume"], 0);
    check_acts(&scene);
    pause(&["pause", "1h", "--reason", "x", "--rule", "slow-down"], 0);
    check_held(&scene, "paused", "fixes of rule slow-down");
    pause(&["resume"], 0);
    pause(&["pause", "1h", "--reason", "x", "--rule", "slow-dwon"], 2);
    pause(&["pause", "1h", "--reason", " "], 2);
    pause(&["pause", "soon", "--reason", "x"], 2);
    pause(&["pause", "0s", "--reason", "x"], 2);
    check_acts(&scene);

    // Over by itself: begun two hours ago.
    pause(&["pause", "1h", "--reason", "x"], 0);
    let mut pauses: Value = serde_json::from_slice(&scene.root.read("state/pause.json")).unwrap();
    pauses[0]["up"] = (pauses[0]["since"]["up"].as_f64().unwrap() - 7200.0).into();
    let up = pauses[0]["since"]["up"].as_f64().unwrap() - 7200.0;
    pauses[0]["since"]["up"] = up.into();
    scene.root.write("state/pause.json", pauses.to_string());
    check_acts(&scene);

    scene.root.write("state/pause.json", "{ torn");
    check_held(&scene, "paused", "damaged");
    pause(&["resume"], 0);
    check_acts(&scene);
}

#[test]
fn a_pause_that_comes_while_a_pass_looks_is_obeyed() {
    // The pass is made to look again for two seconds: long enough for a pause.
    let server = HttpServer::start([], Answer::new(500, ""));
    let scene = Scene::new(|p| {
        p.checks = format!("[checks.http.api]\nurl = \"{}\"", server.url("/"));
        p.when = r#"{ check = "api", is = "critical" }"#.into();
        p.limits = "human_grace = \"0s\"\nstart_grace = \"0s\"\nmin_duration = \"3s\"".into();
    });
    let pass = support::spawn(&scene.root, &["heal"]);
    server.wait_for_requests(2);
    healer(&scene.root, &["pause", "1h", "--reason", "hands off"]).expect_code(0);
    let ran = pass.wait().expect_code(10);
    assert!(ran.output().contains("hands off"), "{}", ran.output());
    scene.assert_program("0.8");
    assert!(scene.backups().is_empty());
}

#[test]
fn a_blip_is_no_trouble() {
    let blip = |queue: Vec<Answer>, code: i32, literal: &str| {
        let server = HttpServer::start(queue, Answer::new(200, "ok"));
        let scene = Scene::new(|p| {
            p.checks = format!("[checks.http.api]\nurl = \"{}\"", server.url("/"));
            p.when = r#"{ check = "api", is = "critical" }"#.into();
            p.limits = "human_grace = \"0s\"\nstart_grace = \"0s\"\nmin_duration = \"2s\"".into();
        });
        scene.heal().expect_code(code);
        scene.assert_program(literal);
    };
    let red = || Answer::new(500, "");
    blip(vec![red()], 0, "0.8");
    blip(vec![red(), red()], 0, "0.8");
    // Longer than that is one; it is over as soon as the fix is made.
    blip(vec![red(), red(), red(), red()], 0, "1.2");
}

#[test]
fn in_a_maintenance_window_nothing_is_changed() {
    let window = |days: &str, rules: &str| {
        format!("[[maintenance]]\nname = \"nightly\"\n{days}\nfrom = \"00:00\"\nto = \"00:00\"\n{rules}\n")
    };
    let held = |days: &str, rules: &str, held: bool| {
        let scene = Scene::new(|p| p.rest = window(days, rules));
        if held { check_held(&scene, "maintenance", "nightly") } else { check_acts(&scene) }
    };
    held("", "", true);
    held("", "rules = [\"slow-down\"]", true);
    held("days = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]", "", true);
    let scene = Scene::new(|p| p.rest = window("", "rules = [\"slow-dwon\"]").replace("00:00\"\nto", "25:00\"\nto"));
    let refused = healer(&scene.root, &["check"]).expect_code(3).output();
    assert!(refused.contains("did you mean `slow-down`") && refused.contains("time of day"), "{refused}");
}

/// A scene in which fixes may follow each other at once.
fn eager(limits: &str) -> Scene {
    Scene::new(|p: &mut Parts| {
        // What comes back each time lowers it by ten points at most.
        p.confidence = "98".into();
        p.rule_limits = "cooldown = \"0s\"\nmax_fixes = 100".into();
        p.limits.push_str(&format!("\n{limits}"));
    })
}

fn heal(scene: &Scene, literal: &str) {
    next_second();
    scene.log_errors(20);
    scene.heal().expect_code(0);
    scene.assert_program(literal);
}

#[test]
fn a_target_a_rule_and_a_host_have_their_limits() {
    let check = |limits: &str, reason: &str| {
        let scene = eager(limits);
        heal(&scene, "1.2");
        next_second();
        check_held(&scene, "limit", reason);
    };
    check("fixes_per_hour = 1", "this host has had its 1 fixes within 1h");
    check("fixes_per_day = 1", "this host has had its 1 fixes within 1d");
    check("fixes_per_target = 1", "client.py#call asyncio.sleep has had its 1 fixes within 1d");
    let scene = Scene::new(|p| p.rule_limits = "cooldown = \"0s\"\nmax_fixes = 1\nper = \"12h\"".into());
    heal(&scene, "1.2");
    next_second();
    check_held(&scene, "limit", "rule slow-down has had its 1 fixes within 12h");
}

#[test]
fn all_fixes_together_stay_within_a_factor_of_what_a_human_last_set() {
    let scene = eager("circuit_failures = 100\nfixes_per_hour = 100");
    for literal in ["1.2", "1.8", "2.7", "3.2"] {
        heal(&scene, literal);
    }
    next_second();
    check_held(&scene, "at_bound", "3.2 is at its bound already: max_total_factor is 4, counted from 0.8");
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    let debt = &stats["mitigation_debt"][0];
    assert_eq!((&debt["human"], &debt["now"], &debt["factor"]), (&"0.8".into(), &"3.2".into(), &4.into()), "{debt:#}");
    let text = healer(&scene.root, &["stats"]).expect_code(0).stdout;
    assert!(text.contains("mitigation debt") && text.contains("client.py"), "{text}");

    // A human makes it theirs: it is counted from there, and owed no more.
    scene.root.write(PROGRAM_PATH, scene.program().replace("3.2", "3.0"));
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!(stats["mitigation_debt"], Value::Array(Vec::new()));
    next_second();
    check_acts(&scene);
}

#[test]
fn a_problem_that_is_back_counts_against_its_fix_in_the_very_pass_that_sees_it() {
    let mut scene = eager("");
    scene.configure(|p| p.confidence = "86".into());
    heal(&scene, "1.2");
    next_second();
    scene.log_errors(20);
    let pass = scene.heal_json(&[], 10);
    let diagnosis = &pass["diagnoses"][0];
    assert_eq!((&diagnosis["confidence"], &diagnosis["hold"]), (&84.into(), &"low_confidence".into()), "{diagnosis:#}");
    scene.assert_program("1.2");
}

#[test]
fn a_problem_that_comes_back_after_every_fix_opens_the_breaker_until_a_human_closes_it() {
    let scene = eager("circuit_wait = \"1h\"");
    for literal in ["1.2", "1.8", "2.7"] {
        heal(&scene, literal);
    }
    next_second();
    check_held(&scene, "circuit_open", "3 fixes in a row failed or their problem came back");
    scene.log_errors(20);
    scene.heal().expect_code(10);
    scene.assert_program("2.7");
    let alerts: Vec<Value> =
        scene.root.state_lines("events.jsonl").into_iter().filter(|e| e["kind"] == "alert").collect();
    assert!(alerts.iter().any(|a| a.to_string().contains("circuit_open")), "{alerts:#?}");
    let status = healer(&scene.root, &["status"]).expect_code(0).stdout;
    assert!(status.contains("circuit:") && status.contains("healer reset"), "{status}");

    let target = format!("{}#call asyncio.sleep", scene.root.path(PROGRAM_PATH).display());
    healer(&scene.root, &["reset", "no-such-target"]).expect_code(2);
    healer(&scene.root, &["reset", &target]).expect_code(0);
    check_acts(&scene);
}

#[test]
fn an_open_breaker_lets_one_try_through_after_its_wait_and_then_waits_longer() {
    let scene = eager("circuit_wait = \"2s\"\ncircuit_failures = 2");
    heal(&scene, "1.2");
    heal(&scene, "1.8");
    next_second();
    let opened = decision(&scene);
    assert_eq!(opened["hold"], "circuit_open", "{opened:#}");
    std::thread::sleep(Duration::from_secs(2));
    heal(&scene, "2.7");
    next_second();
    let again = decision(&scene);
    assert_eq!(again["hold"], "circuit_open", "{again:#}");
    assert!(again["hold_reason"].as_str().unwrap().contains("3 fixes in a row"), "{again:#}");
}
