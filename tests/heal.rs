//! A whole pass through the real binary: a fix that helps is kept, one that does not is undone, and everything that was
//! done can be read afterwards.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use support::{PROGRAM, PROGRAM_PATH, Scene, fix, healer};

/// The kinds of events in order, repeated ones once.
#[track_caller]
fn check_events(scene: &Scene, expected: &[&str]) {
    let mut kinds = scene.event_kinds();
    // How often a wait is told is a matter of time.
    kinds.retain(|kind| kind != "progress");
    kinds.dedup();
    assert_eq!(kinds, expected);
}

fn crc_is_right(line: &str) -> bool {
    let (record, crc) = line.split_once(",\"crc\":\"").unwrap();
    format!("{:08x}\"}}", crc32fast::hash(format!("{record}}}").as_bytes())) == crc
}

#[test]
fn a_fix_that_helps_is_kept_and_every_other_byte_with_it() {
    let scene = Scene::new(|_| {});
    let worker = scene.mendable_worker().after(10);
    let before = std::fs::metadata(scene.root.path(PROGRAM_PATH)).unwrap();
    let ran = scene.heal().expect_code(0);
    drop(worker);
    scene.assert_program("1.2");
    let after = std::fs::metadata(scene.root.path(PROGRAM_PATH)).unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_eq!(std::fs::read_dir(scene.root.path("worker")).unwrap().count(), 1, "something lies beside the program");
    assert!(!scene.is_open());
    check_events(
        &scene,
        &["pass", "errors", "fixing", "backup", "begun", "edited", "validating", "healed", "alert", "pass_ended"],
    );
    for text in
        ["confidence 90", "-\tawait asyncio.sleep(0.8)", "+\tawait asyncio.sleep(1.2)", "healed: increase_delay"]
    {
        let plain = ran.output().replace("    | ", "");
        assert!(plain.contains(text), "{text:?} is not in\n{}", ran.output());
    }

    let [backup] = scene.backups().try_into().unwrap();
    let dir = format!("state/backups/{backup}");
    assert_eq!(scene.root.read(format!("{dir}/files/0")), PROGRAM.as_bytes());
    let metadata: Value = serde_json::from_slice(&scene.root.read(format!("{dir}/metadata.json"))).unwrap();
    assert_eq!(metadata["reason"], "rate_limiting");
    healer(&scene.root, &["backups", "verify"]).expect_code(0);
    assert!(ran.stdout.contains(&format!("healer rollback {backup}")), "{}", ran.stdout);
}

#[test]
fn the_record_of_a_fix_holds_what_the_specification_names_and_its_checksum_fits() {
    let scene = Scene::new(|_| {});
    let worker = scene.mendable_worker().after(10);
    let ended = scene.heal_json(&[], 0);
    drop(worker);
    let text = scene.root.read_text("state/fix_knowledge_base.jsonl");
    let line = text.strip_suffix('\n').unwrap();
    assert!(crc_is_right(line) && !line.contains('\n'), "{line}");
    let record: Value = serde_json::from_str(line).unwrap();
    let expected = json!({
        "issue_type": "rate_limiting", "fix_type": "increase_delay", "original_confidence": 90.0, "confidence": 90,
        "result_status": "healed", "validation_status": "passed", "success": true, "error_count_after": 0, "v": 1,
        "rule": "slow-down", "backup_id": scene.backups()[0], "id": ended["fix"]["fix_id"],
        "target": format!("{}#call asyncio.sleep", scene.root.path(PROGRAM_PATH).display()),
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(record.get(key), Some(value), "{key} of {line}");
    }
    assert!(record["error_count_before"].as_u64().unwrap() >= 10, "{line}");
    assert!(record["duration_ms"].as_u64().unwrap() >= 600, "{line}");
    let time = record["timestamp"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() == 20, "{time}");
    assert_eq!((ended["fix"]["outcome"].as_str(), ended["fix"]["open"].as_bool()), (Some("healed"), Some(false)));
}

#[test]
fn a_fix_that_does_not_help_is_rolled_back_byte_for_byte_and_not_tried_again_at_once() {
    let scene = Scene::new(|_| {});
    // A high rate before: the errors that go on are not 'clearly worse', the whole window is watched.
    scene.log_errors(300);
    let worker = scene.hopeless_worker();
    scene.heal().expect_code(12);
    scene.assert_program("0.8");
    assert!(!scene.is_open());
    check_events(
        &scene,
        &[
            "pass",
            "errors",
            "fixing",
            "backup",
            "begun",
            "edited",
            "validating",
            "rolling_back",
            "rolled_back",
            "alert",
            "pass_ended",
        ],
    );
    let [record] = scene.records().try_into().unwrap();
    assert_eq!((&record["result_status"], &record["success"]), (&json!("rolled_back"), &json!(false)));
    assert_eq!(record["validation_status"], "failed");
    assert!(record["error_count_after"].as_u64().unwrap() > 0);

    support::next_second();
    let worker = worker.more(50);
    let next = scene.heal_json(&[], 10);
    drop(worker);
    scene.assert_program("0.8");
    let diagnosis = &next["diagnoses"][0];
    assert_eq!(diagnosis["decision"], "hold", "{diagnosis:#}");
    assert!(["cooldown", "at_bound"].contains(&diagnosis["hold"].as_str().unwrap()), "{diagnosis:#}");
    assert_eq!(scene.records().len(), 1);
}

#[test]
fn what_failed_lowers_the_confidence_of_the_next_try() {
    let mut scene = Scene::new(|_| {});
    scene.log_errors(300);
    let worker = scene.hopeless_worker();
    scene.heal().expect_code(12);
    // Another day: the rule's own memory of the failure is over, the knowledge base's is not.
    scene.configure(|p| p.rule_limits = "cooldown = \"0s\"\nper = \"1ms\"".into());
    support::next_second();
    let worker = worker.more(50);
    let next = scene.heal_json(&["-n"], 10);
    drop(worker);
    let diagnosis = &next["diagnoses"][0];
    assert_eq!(diagnosis["confidence"], 88, "{diagnosis:#}");
    assert_eq!(diagnosis["original_confidence"], 90.0);
    let addends = diagnosis["addends"].to_string();
    assert!(addends.contains("history: 0 of 1 such fixes worked"), "{addends}");
}

#[test]
fn clearly_worse_is_rolled_back_before_the_window_ends() {
    let scene = Scene::new(|p| p.validate = "settle = \"0s\"\nwindow = \"150s\"".into());
    scene.log_errors(6);
    let worker = scene.worker(|pause| if pause > 1.0 { 5 } else { 0 });
    scene.heal().expect_code(12);
    drop(worker);
    scene.assert_program("0.8");
    let [record] = scene.records().try_into().unwrap();
    assert!(record["judged_on"].as_str().unwrap().starts_with("clearly worse: "), "{record}");
    assert!(record["duration_ms"].as_u64().unwrap() < 100_000, "{record}");
}

#[test]
fn too_little_to_see_is_unproven_and_kept_and_no_success() {
    // One error a second was to be expected: within one second, quiet proves nothing.
    let scene = Scene::new(|p| {
        p.when = r#"{ log = "file:worker", signature = "rate_limit", count = 1, within = "10m" }"#.into();
    });
    scene.log_errors(1);
    let ended = scene.heal_json(&[], 10);
    scene.assert_program("1.2");
    assert_eq!(ended["fix"]["outcome"], "unproven", "{:#}", ended["fix"]);
    assert_eq!(ended["fix"]["verdict"]["errors_after"], 0);
    let [record] = scene.records().try_into().unwrap();
    assert_eq!((&record["result_status"], &record["success"]), (&json!("unproven"), &json!(false)));
    assert_eq!(record["validation_status"], "not_enough");
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!(
        (&stats["total_fixes"], &stats["decided"], &stats["success_rate"]),
        (&json!(1), &json!(0), &json!(null))
    );
}

#[test]
fn a_check_that_breaks_during_the_window_condemns_the_fix() {
    // The service's check reads the literal: it breaks when the fix is in place.
    let scene = Scene::new(|p| {
        p.validate = "settle = \"0s\"\nwindow = \"3s\"".into();
        p.checks =
            "[checks.command.api]\ncommand = [\"/bin/sh\", \"{root}/probe\", \"{root}/worker/client.py\"]".into();
    });
    scene.root.write("probe", "grep -q 'sleep(0.8)' \"$1\" || exit 2\n");
    scene.log_errors(20);
    let ended = scene.heal_json(&[], 12);
    scene.assert_program("0.8");
    let why = ended["fix"]["why"].as_str().unwrap();
    assert!(why.contains("api was healthy before and is critical now"), "{why}");
}

#[test]
fn the_ladder_goes_to_its_next_fix_after_a_rollback_and_at_a_bound() {
    let ladder = |first: &str| {
        let second = r#"at = "call asyncio.sleep", add = 0.1, max = 9.0"#;
        fix("first", first) + &fix("second", second)
    };
    let check = |first: &str, prepared: &dyn Fn(&Scene), literal: &str| {
        let scene = Scene::new(|p| {
            p.fixes = ladder(first);
            p.rule_limits = "cooldown = \"0s\"\nmax_fixes = 10".into();
        });
        prepared(&scene);
        support::next_second();
        scene.log_errors(300);
        let done = scene.heal_json(&[], 0);
        scene.assert_program(literal);
        assert_eq!(done["fix"]["plan"]["fix_type"], "second");
        assert_eq!(done["fix"]["plan"]["rung"], 1);
    };
    let rolled_back = |scene: &Scene| {
        scene.log_errors(300);
        let worker = scene.hopeless_worker();
        scene.heal().expect_code(12);
        drop(worker);
        scene.assert_program("0.8");
    };
    check(r#"at = "call asyncio.sleep", multiply = 1.5, max = 5.0"#, &rolled_back, "0.9");
    check(r#"at = "call asyncio.sleep", multiply = 1.5, max = 0.8"#, &|_| {}, "0.9");
}

#[test]
fn one_pass_makes_one_fix_and_leaves_the_other_for_the_next() {
    let scene = Scene::new(|p| {
        p.rest = "[logs.files.other]\npath = \"{root}/other.log\"\n[[rule]]\nname = \"other\"\n\
                  when = { log = \"file:other\", signature = \"rate_limit\", count = 5, within = \"10m\" }\n\
                  issue_type = \"rate_limiting\"\nconfidence = 95\n[[rule.fix]]\nfix_type = \"other\"\n\
                  steps = [{ edit = \"{root}/worker/other.toml\", at = \"pause\", multiply = 1.5, max = 5.0 }]\n\
                  [rule.validate]\nsettle = \"0s\"\nwindow = \"1s\""
            .into();
    });
    scene.root.write("worker/other.toml", "pause = 1.0\n");
    scene.log_errors(20);
    scene.root.append("other.log", support::RATE_LIMITED.repeat(20));
    scene.heal().expect_code(10);
    let (one, other) = (scene.program() != PROGRAM, scene.root.read_text("worker/other.toml") != "pause = 1.0\n");
    assert!(one != other, "exactly one of the two is fixed in one pass");
    scene.heal().expect_code(0);
    scene.assert_program("1.2");
    assert_eq!(scene.root.read_text("worker/other.toml"), "pause = 1.5\n");
    assert_eq!(scene.records().len(), 2);
}

#[test]
fn every_format_is_healed_in_place() {
    let check = |name: &str, at: &str, old: &str, new: &str| {
        let scene = Scene::new(|p| {
            p.fixes = format!(
                "[[rule.fix]]\nfix_type = \"change\"\nsteps = [{{ edit = \"{{root}}/worker/{name}\", at = '{at}', multiply = 2, max = 64 }}]"
            );
        });
        scene.root.write(format!("worker/{name}"), old);
        scene.log_errors(20);
        scene.heal().expect_code(0);
        assert_eq!(scene.root.read_text(format!("worker/{name}")), new, "{name}");
    };
    check("a.toml", "pool.size", "[pool]\r\nsize = 8 # ok", "[pool]\r\nsize = 16 # ok");
    check("a.yaml", "pool.size", "pool:\n  size: '8' # ok\n", "pool:\n  size: '16' # ok\n");
    check("a.json", "pool[1]", "{\"pool\": [1,\n 8 ]}", "{\"pool\": [1,\n 16 ]}");
    check("a.ini", "pool.size", "[pool]\nsize = 8 ; ok\n", "[pool]\nsize = 16 ; ok\n");
    check(".env", "POOL", "\u{feff}A=1\nexport POOL=\"8\"\n", "\u{feff}A=1\nexport POOL=\"16\"\n");
    check("a.py", "keyword size of Pool", "p = Pool(url, size=8)\n", "p = Pool(url, size=16)\n");
}
