//! A recorded pass is decided again, offline, by the same code: the same document, byte for byte, without a secret in it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use support::{PROGRAM, PROGRAM_PATH, Parts, Ran, Root, Scene, healer, spawn_command};

/// Replays in an empty directory without a configuration: nothing but the recording can be read.
fn replay(recording: &str, args: &[&str]) -> Ran {
    let elsewhere = Root::new();
    elsewhere.write("recording", recording);
    let arguments: Vec<&str> = ["replay", "recording"].iter().chain(args).copied().collect();
    let before = elsewhere.snapshot();
    let ran = spawn_command(elsewhere.bare_command(&arguments)).wait();
    before.assert_unchanged(&elsewhere.snapshot());
    ran
}

/// Records a pass and returns the recording, which is decided again in the same way.
#[track_caller]
fn check_recorded(scene: &Scene, args: &[&str], code: i32) -> (Value, String) {
    let arguments: Vec<&str> = ["heal", "--json", "--record", "recording"].iter().chain(args).copied().collect();
    let pass = healer(&scene.root, &arguments).expect_code(code).data();
    let recording = scene.root.read_text("recording");
    let mode = std::fs::metadata(scene.root.path("recording")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = replay(&recording, &[]).expect_code(0);
    let recorded: Value = serde_json::from_str(&recording).unwrap();
    assert_eq!(again.stdout, format!("{}\n", recorded["decision"]["text"].as_str().unwrap()));
    assert!(again.stderr.contains("the same decision"), "{}", again.stderr);
    let data = replay(&recording, &["--json"]).expect_code(0).data();
    for key in ["diagnoses", "competing", "not_fired", "findings"] {
        assert_eq!(data[key].to_string(), pass[key].to_string(), "{key}");
    }
    assert_eq!(data["same"], true);
    (data, recording)
}

#[test]
fn a_dry_run_writes_the_recording_and_nothing_else() {
    let scene = Scene::new(|_| {});
    scene.log_errors(20);
    let before = scene.root.snapshot();
    let (data, _) = check_recorded(&scene, &["-n"], 10);
    assert_eq!(data["diagnoses"][0]["decision"], "act");
    assert_eq!(data["act"], data["diagnoses"][0]["plan"]["id"]);
    std::fs::remove_file(scene.root.path("recording")).unwrap();
    before.assert_same_content(&scene.root.snapshot());
}

#[test]
fn a_pass_that_acts_is_decided_again_though_everything_has_changed_since() {
    let scene = Scene::new(|_| {});
    scene.log_errors(20);
    let (data, recording) = check_recorded(&scene, &[], 0);
    scene.assert_program("1.2");
    assert_eq!(data["diagnoses"][0]["plan"]["steps"][0]["edit"]["new"], "1.2");
    // The next pass is held by what the first one did: attempts and cooldown are in its recording.
    support::next_second();
    scene.log_errors(20);
    let (held, second) = check_recorded(&scene, &["-n"], 10);
    assert_eq!((&held["diagnoses"][0]["hold"], &held["act"]), (&"cooldown".into(), &Value::Null));
    assert_ne!(recording, second);
}

#[test]
fn checks_streaks_and_numbers_are_recorded_as_they_were() {
    let scene = Scene::new(|p| {
        p.checks =
            "[checks.command.load]\ncommand = [\"/bin/sh\", \"-c\", \"echo 'OK | load5=0.1234567890123;;'\"]".into();
        p.when = r#"{ check = "load", metric = "load5", above = 0.12, passes = 2 }"#.into();
    });
    scene.heal().expect_code(0);
    let (data, _) = check_recorded(&scene, &["-n"], 10);
    let seen = data["diagnoses"][0]["trigger"]["seen"].as_str().unwrap();
    assert!(seen.contains("0.1234567890123") && seen.contains("for 2 passes"), "{seen}");
}

#[test]
fn history_approval_and_a_stop_are_part_of_what_decided() {
    let scene = Scene::new(|p| p.confidence = "84".into());
    scene.log_errors(20);
    let held = scene.heal_json(&["-n"], 10);
    let plan = held["diagnoses"][0]["plan"]["id"].as_str().unwrap().to_owned();
    check_recorded(&scene, &["-n", "--approve", &plan], 10);
    // Of today: what is old counts less.
    let record = serde_json::json!({
        "timestamp": jiff::Timestamp::now().to_string(), "issue_type": "rate_limiting", "fix_type": "increase_delay",
        "original_confidence": 84, "result_status": "healed", "validation_status": "passed", "success": true,
    });
    scene.root.write("state/fix_knowledge_base.jsonl", format!("{record}\n").repeat(5));
    let (data, _) = check_recorded(&scene, &["-n"], 10);
    assert_eq!(data["diagnoses"][0]["confidence"], 94);
    scene.root.write("STOP", "");
    let (data, _) = check_recorded(&scene, &["-n"], 10);
    assert_eq!(data["diagnoses"][0]["hold"], "stop");
}

#[test]
fn services_that_cannot_be_restarted_and_files_that_are_not_there_are_recorded_too() {
    let scene = Scene::new(|p| {
        p.allow.push_str("\nunits = [\"*\"]");
        p.fixes =
            "[[rule.fix]]\nfix_type = \"restart\"\nsteps = [{ restart = \"unit:healer-no-such.service\" }]\n".into();
    });
    scene.log_errors(20);
    let (data, _) = check_recorded(&scene, &["-n"], 10);
    assert_eq!(data["diagnoses"][0]["hold"], "unusable_target");
    let scene = Scene::new(|_| {});
    std::fs::remove_file(scene.root.path(PROGRAM_PATH)).unwrap();
    scene.log_errors(20);
    let (data, _) = check_recorded(&scene, &["-n"], 10);
    assert_eq!(data["diagnoses"][0]["hold"], "unusable_target");
}

#[test]
fn a_pause_is_part_of_what_decided() {
    let scene = Scene::new(|_| {});
    healer(&scene.root, &["pause", "2h", "--reason", "we move house"]).expect_code(0);
    scene.log_errors(20);
    let (data, _) = check_recorded(&scene, &["-n"], 10);
    assert!(data["diagnoses"][0]["hold_reason"].as_str().unwrap().contains("we move house"), "{data:#}");
}

#[test]
fn a_recording_that_is_changed_decides_otherwise_and_the_difference_is_shown() {
    let scene = Scene::new(|_| {});
    scene.log_errors(20);
    let (_, recording) = check_recorded(&scene, &["-n"], 10);
    let changed = recording.replace("confidence = 90", "confidence = 70");
    assert_ne!(changed, recording);
    let ran = replay(&changed, &[]).expect_code(10);
    for line in
        ["ANOTHER decision", "-  decision    act", "+  decision    hold: confidence 70 is below the threshold of 85"]
    {
        assert!(ran.stderr.contains(line), "{line:?} is not in\n{}", ran.stderr);
    }
    let data = replay(&changed, &["--json"]).expect_code(10).data();
    assert_eq!((&data["same"], &data["diagnoses"][0]["hold"]), (&false.into(), &"low_confidence".into()));
    assert_eq!(data["recorded_decision"]["diagnoses"][0]["decision"], "act");
}

#[test]
fn no_secret_of_the_configuration_is_in_it_and_the_decision_is_the_same() {
    const SECRET: &str = "hunter2-and-more";
    let down = support::free_port();
    let secretive = |p: &mut Parts| {
        p.checks = format!(
            "[checks.http.api]\nurl = \"http://monitor:${{file:{{root}}/secret}}@127.0.0.1:{down}/\"\n\
             headers = {{ Authorization = \"Bearer ${{file:{{root}}/secret}}\" }}\n\
             [checks.http.whole]\nurl = \"${{file:{{root}}/url}}\"\n\
             [checks.postgres.db]\nurl = \"postgres://m:in-clear-{SECRET}@127.0.0.1:{down}/x\""
        );
        p.limits.push_str("\nstorm_percent = 100");
        p.rule = "evidence = [{ check = \"api\", is = \"critical\", add = 5 }]".into();
    };
    let root = Root::new();
    root.write("secret", SECRET);
    let mut scene = Scene { root, parts: Parts::default() };
    secretive(&mut scene.parts);
    scene.root.write("url", format!("http://127.0.0.1:{down}/{SECRET}"));
    scene.root.write("worker.log", "");
    // The file that is edited holds the password too: its hashes are those of the real one all the same.
    scene.root.write(PROGRAM_PATH, format!("PASSWORD = '{SECRET}'\r\n{PROGRAM}"));
    scene.configure(|_| {});
    scene.log_errors(20);
    scene.root.append("worker.log", format!("ERROR 429 Too Many Requests token={SECRET}\n"));
    let pass = scene.heal_json(&["-n"], 10);
    let plan = pass["diagnoses"].as_array().unwrap().iter().find_map(|d| d["plan"]["id"].as_str()).unwrap().to_owned();
    for args in [&["-n"][..], &["-n", "--approve", &plan]] {
        let (data, recording) = check_recorded(&scene, args, 10);
        assert!(!recording.contains(SECRET), "a secret was recorded");
        assert!(data["act"].as_str().is_some_and(|act| act == plan), "{data:#}");
    }
}

#[test]
fn what_is_no_recording_is_refused_in_words() {
    let scene = Scene::new(|_| {});
    scene.log_errors(20);
    let (_, recording) = check_recorded(&scene, &["-n"], 10);
    let check = |text: &str, code: i32, why: &str| {
        let ran = replay(text, &[]).expect_code(code);
        assert!(ran.stderr.contains(why) && ran.stdout.is_empty(), "{why:?} is not in\n{}", ran.stderr);
    };
    check("", 2, "recording: it is no file that `healer heal --record` wrote");
    check("{}", 2, "it is no file that `healer heal --record` wrote");
    check("[1]", 2, "it is no file that `healer heal --record` wrote");
    check("\u{0}\u{1}\u{2}", 2, "it is no file that `healer heal --record` wrote");
    check(&recording.replace("\"healer_recording\":1", "\"healer_recording\":99"), 2, "a recording of form 99");
    for at in [recording.len() / 3, recording.len() / 2, recording.len() - 3] {
        check(&recording[..at], if recording[..at].contains("healer_recording") { 1 } else { 2 }, "recording: it is ");
    }
    check(&recording.replace("\"sight\":", "\"sights\":"), 1, "it is damaged: missing field `sight`");
    check(
        &recording.replace("confidence = 90", "confidence = 900"),
        1,
        "its configuration is not sound to this version",
    );
    let missing = spawn_command(scene.root.bare_command(&["replay", "no-such-file"])).wait().expect_code(2);
    assert!(missing.stderr.contains("no-such-file: it cannot be read"), "{}", missing.stderr);
}

#[test]
fn another_file_is_not_overwritten_by_a_recording() {
    let scene = Scene::new(|_| {});
    let precious = scene.root.write("precious", "mine").display().to_string();
    let before = scene.root.snapshot();
    for file in [precious.as_str(), "/no/such/directory/recording"] {
        healer(&scene.root, &["heal", "--record", file]).expect_code(2);
    }
    before.assert_unchanged(&scene.root.snapshot());
}
