//! What counts as success: silence of the dead does not, harm elsewhere does not, luck does not, and what comes back within
//! a day was none. What clears by itself is left alone, and no fix is credited with it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Docker, PROGRAM, RATE_LIMITED, Root, Scene, Unit, healer, spawn};

/// A scene whose fix edits the program and restarts the unit that runs it; without settling.
fn with_unit(window: &str) -> Scene {
    Scene::new(|p| {
        p.allow.push_str("\nunits = [\"worker.service\"]");
        p.fixes = "[[rule.fix]]\nfix_type = \"increase_delay\"\nsteps = [\n\
                   { edit = \"{root}/worker/client.py\", at = \"call asyncio.sleep\", multiply = 1.5, max = 5.0 },\n\
                   { restart = \"unit:worker.service\" },\n]\n"
            .into();
        p.validate = format!("settle = \"0s\"\nwindow = \"{window}\"\nmax_window = \"{window}\"");
    })
}

#[test]
fn a_worker_that_dies_quietly_after_the_fix_is_no_success() {
    let scene = with_unit("60s");
    let _unit = Unit::install(&scene.root);
    scene.log_errors(20);
    let pass = scene.spawn_into_window();
    scene.root.write("unit/state", "inactive\n");
    pass.wait().expect_code(12);
    assert_eq!(scene.program(), PROGRAM);
    let [record] = scene.records().try_into().unwrap();
    assert_eq!((&record["result_status"], &record["error_count_after"]), (&json!("rolled_back"), &json!(0)));
    assert_eq!(record["judged_on"], "clearly worse: unit:worker.service does not run");
}

#[test]
fn a_worker_that_dies_while_nobody_watches_is_no_success_either() {
    let scene = with_unit("60s");
    let _unit = Unit::install(&scene.root);
    scene.log_errors(20);
    let pass = scene.spawn_into_window();
    pass.signal(Signal::KILL);
    pass.wait();
    scene.root.write("unit/state", "failed\n");
    let pass = scene.heal_json(&[], 12);
    let judged = &pass["recovered_transaction"];
    assert_eq!(judged["outcome"], "rolled_back", "{judged:#}");
    assert!(judged["why"].as_str().unwrap().contains("does not run"), "{judged:#}");
    assert_eq!(scene.program(), PROGRAM);
}

#[test]
fn a_service_that_is_started_once_more_in_the_window_is_no_success() {
    let scene = with_unit("2s");
    let _unit = Unit::install(&scene.root);
    scene.log_errors(20);
    let pass = scene.spawn_into_window();
    scene.root.write("unit/run", "77\n");
    let ran = pass.wait().expect_code(12);
    assert!(ran.stdout.contains("was started once more while it was watched"), "{}", ran.stdout);
}

#[test]
fn a_log_that_cannot_be_read_any_more_is_not_quiet() {
    let scene = Scene::new(|p| p.validate = "settle = \"0s\"\nwindow = \"1s\"\nmax_window = \"2s\"".into());
    scene.log_errors(20);
    let pass = scene.spawn_into_window();
    std::fs::remove_file(scene.root.path("worker.log")).unwrap();
    let ran = pass.wait().expect_code(10);
    scene.assert_program("1.2");
    assert!(ran.stdout.contains("but file:worker cannot be read: no file matches"), "{}", ran.stdout);
    let [record] = scene.records().try_into().unwrap();
    assert_eq!((&record["result_status"], &record["success"]), (&json!("unproven"), &json!(false)));
}

#[test]
fn a_fix_that_helps_and_breaks_another_service_is_rolled_back() {
    let scene = Scene::new(|p| {
        p.validate = "settle = \"0s\"\nwindow = \"5s\"".into();
        p.rest = "[logs.files.other]\npath = \"{root}/other.log\"".into();
    });
    scene.root.write("other.log", "");
    scene.log_errors(20);
    let pass = scene.spawn_into_window();
    support::next_second();
    scene.root.append("other.log", RATE_LIMITED.repeat(12));
    let ran = pass.wait().expect_code(12);
    assert_eq!(scene.program(), PROGRAM);
    assert!(ran.stdout.contains("in file:other since the fix, 0 in as long a time before it"), "{}", ran.stdout);

    // What was read in the window is not lost: it is told, and counts for the next pass.
    let events = scene.root.state_lines("events.jsonl");
    let told = events.iter().filter(|e| e["kind"] == "errors" && e["sources"] == json!(["file:other"]));
    assert_eq!(told.map(|e| e["count"].as_u64().unwrap()).sum::<u64>(), 12, "{events:#?}");
    let next = scene.heal_json(&["-n"], 10);
    let found = next["findings"].to_string();
    assert!(found.contains("12 x"), "{found}");
}

#[test]
fn the_record_says_how_likely_luck_was_and_how_long_each_part_took() {
    let scene = Scene::new(|_| {});
    let worker = scene.mendable_worker().after(10);
    scene.heal().expect_code(0);
    drop(worker);
    let [record] = scene.records().try_into().unwrap();
    assert!(record["chance_of_luck"].as_f64().unwrap() < 0.05, "{record:#}");
    for part in ["detect_ms", "diagnose_ms", "apply_ms", "validate_ms"] {
        assert!(record[part].is_u64(), "{part} of {record:#}");
    }
    assert!(record["validate_ms"].as_u64().unwrap() >= 600, "{record:#}");
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    let validate = &stats["timings"]["validate"];
    assert_eq!(validate["count"], 1, "{stats:#}");
    assert!(validate["median_ms"].as_u64().unwrap() >= 590, "{stats:#}");
    assert!(stats["reliability"][0]["interval"][0].as_f64().unwrap() > 0.2, "{stats:#}");
    let text = healer(&scene.root, &["stats"]).expect_code(0).stdout;
    assert!(text.contains("TIME TO") && text.contains("95 % INTERVAL"), "{text}");
}

/// Changes what the last pass left in `state.json`.
fn change_memory(scene: &Scene, change: impl Fn(&mut Value)) {
    let mut memory: Value = serde_json::from_slice(&scene.root.read("state/state.json")).unwrap();
    change(&mut memory);
    scene.root.write("state/state.json", memory.to_string());
}

#[test]
fn errors_that_may_have_been_one_burst_prove_nothing_in_a_short_quiet() {
    let scene = Scene::new(|p| p.validate = "settle = \"0s\"\nwindow = \"6s\"\nmax_window = \"6s\"".into());
    scene.heal().expect_code(0);
    change_memory(&scene, |m| m["last_pass"]["started"] = ago(300).to_string().into());
    scene.log_errors(20);
    let pass = scene.heal_json(&[], 10);
    let fix = &pass["fix"];
    assert_eq!(fix["outcome"], "unproven", "{fix:#}");
    assert!(fix["verdict"]["chance_of_luck"].as_f64().unwrap() > 0.5, "{fix:#}");
    assert!(fix["why"].as_str().unwrap().contains("bursts"), "{fix:#}");
}

fn ago(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds)
}

#[test]
fn errors_that_have_stopped_by_themselves_are_no_reason_to_act() {
    let scene = Scene::new(|_| {});
    let line = format!("{} {RATE_LIMITED}", ago(90).strftime("%Y-%m-%dT%H:%M:%SZ"));
    scene.root.append("worker.log", line.repeat(20));
    for _ in 0..2 {
        let pass = scene.heal_json(&[], 0);
        assert_eq!((&pass["recovered"], &pass["fix"]), (&json!("file:worker"), &json!(null)), "{pass:#}");
    }
    assert_eq!(scene.program(), PROGRAM);
    assert!(scene.records().is_empty() && scene.backups().is_empty());
    let events = scene.root.state_lines("events.jsonl");
    let event = events.iter().find(|e| e["kind"] == "recovered").unwrap();
    assert_eq!((&event["rule"], &event["issue_type"]), (&json!("slow-down"), &json!("rate_limiting")), "{event:#}");
    assert!(event["why"].as_str().unwrap().contains("no error for") && event["incident"].is_string(), "{event:#}");
    // One problem, however many passes saw it.
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!(stats["self_recovery"], json!({ "rate_limiting": { "seen": 1, "cleared": 1, "rate": 1 } }));

    // They go on: now it is.
    scene.log_errors(20);
    assert_eq!(scene.heal_json(&[], 10)["fix"]["outcome"], "unproven");
    scene.assert_program("1.2");
}

#[test]
fn a_held_problem_that_clears_takes_back_what_history_has_added() {
    let mut scene = Scene::new(|p| p.top = "mode = \"suggest\"".into());
    let record = json!({ "timestamp": ago(60).to_string(), "issue_type": "rate_limiting", "fix_type": "increase_delay",
        "result_status": "healed", "success": true, "validation_status": "passed", "original_confidence": 90 });
    scene.root.write("state/fix_knowledge_base.jsonl", format!("{record}\n").repeat(5));
    scene.log_errors(20);
    assert_eq!(scene.heal_json(&[], 10)["diagnoses"][0]["confidence"], 100);
    forget_errors(&scene);
    scene.heal_json(&[], 0);
    scene.configure(|p| p.top = String::new());
    scene.log_errors(20);
    let pass = scene.heal_json(&["-n"], 10);
    let addend = &pass["diagnoses"][0]["addends"][2];
    assert_eq!(addend["label"], "1 of 1 such problems cleared by themselves");
    assert!((addend["points"].as_f64().unwrap() + 2.0).abs() < 0.01, "{addend}");
    assert_eq!(pass["diagnoses"][0]["confidence"], 98);
}

/// Moves everything that was tried into the past; the small index of it is made anew.
fn age_attempts(scene: &Scene, seconds: i64) {
    let lines = scene.root.state_lines("attempts.jsonl").into_iter().map(|mut line| {
        let t: jiff::Timestamp = line["t"].as_str().unwrap().parse().unwrap();
        line["t"] = (t - jiff::SignedDuration::from_secs(seconds)).to_string().into();
        line["up"] = (line["up"].as_f64().unwrap() - seconds as f64).into();
        format!("{line}\n")
    });
    scene.root.write("state/attempts.jsonl", lines.collect::<String>());
    change_memory(scene, |memory| drop(memory.as_object_mut().unwrap().remove("follow_ups")));
    // What was logged then is as old.
    forget_errors(scene);
}

/// As if every error were older than anything looks at.
fn forget_errors(scene: &Scene) {
    let mut cursors: Value = serde_json::from_slice(&scene.root.read("state/cursors.json")).unwrap();
    cursors["tallies"] = json!({});
    scene.root.write("state/cursors.json", cursors.to_string());
}

fn verdicts(scene: &Scene) -> Vec<String> {
    let lines = scene.root.state_lines("fix_knowledge_base.jsonl");
    let verdicts = lines.iter().filter(|line| line["kind"] == "verdict");
    verdicts.map(|line| line["verdict"].as_str().unwrap().to_owned()).collect()
}

fn healed() -> Scene {
    let scene = Scene::new(|_| {});
    let worker = scene.mendable_worker().after(10);
    scene.heal().expect_code(0);
    drop(worker);
    scene
}

#[test]
fn a_fix_that_holds_an_hour_and_a_day_is_durable_and_each_is_said_once() {
    let scene = healed();
    let pass = |expected: &[&str]| {
        scene.heal().expect_code(0);
        assert_eq!(verdicts(&scene), expected);
    };
    pass(&[]);
    age_attempts(&scene, 3600);
    pass(&["holding"]);
    pass(&["holding"]);
    age_attempts(&scene, 23 * 3600);
    pass(&["holding", "durable"]);
    pass(&["holding", "durable"]);

    // A pass that was killed between the two files is gone on with.
    let attempts = scene.root.read_text("state/attempts.jsonl");
    let (without, _) = attempts.trim_end().rsplit_once('\n').unwrap();
    scene.root.write("state/attempts.jsonl", format!("{without}\n"));
    pass(&["holding", "durable"]);
    assert_eq!(scene.root.read_text("state/attempts.jsonl").matches("durable").count(), 1);

    let kinds = scene.event_kinds();
    assert_eq!(kinds.iter().filter(|k| *k == "holding").count(), 1, "{kinds:?}");
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!((&stats["durable"], &stats["success_rate"]), (&json!(1), &json!(1)), "{stats:#}");
}

#[test]
fn a_host_that_was_off_for_a_day_has_seen_no_fix_last() {
    let scene = healed();
    age_attempts(&scene, 2 * 86_400);
    scene.heal().expect_code(0);
    assert_eq!(verdicts(&scene), ["holding"]);
    scene.heal().expect_code(0);
    assert_eq!(verdicts(&scene), ["holding", "durable"]);
}

#[test]
fn a_problem_that_comes_back_is_told_and_its_fix_was_no_success() {
    let scene = healed();
    support::next_second();
    scene.log_errors(20);
    for _ in 0..2 {
        scene.heal_json(&[], 10);
        assert_eq!(verdicts(&scene), ["recurred"]);
    }
    let events = scene.root.state_lines("events.jsonl");
    let alerts = events.iter().filter(|e| e["kind"] == "alert" && e["alert"]["kind"] == "recurred");
    assert_eq!(alerts.count(), 1, "{events:#?}");
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!(
        (&stats["recurred"], &stats["decided"], &stats["success_rate"], &stats["by_result"]["healed"]),
        (&json!(1), &json!(1), &json!(0), &json!(1)),
        "{stats:#}"
    );
    let next = scene.heal_json(&["-n"], 10);
    let addends = next["diagnoses"][0]["addends"].to_string();
    assert!(addends.contains("history: 0 of 1 such fixes worked"), "{addends}");
}

#[test]
fn what_an_operator_rolls_back_was_no_success_and_is_not_followed() {
    let scene = healed();
    healer(&scene.root, &["rollback", "latest"]).expect_code(0);
    age_attempts(&scene, 2 * 86_400);
    scene.heal();
    assert_eq!(verdicts(&scene), ["rolled_back_by_operator"]);
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!((&stats["rolled_back_later"], &stats["success_rate"]), (&json!(1), &json!(0)), "{stats:#}");
}

#[test]
fn an_unproven_fix_that_lasts_counts_and_until_then_is_listed() {
    let scene = Scene::new(|p| {
        p.when = r#"{ log = "file:worker", signature = "rate_limit", count = 1, within = "10m" }"#.into();
    });
    scene.log_errors(1);
    scene.heal().expect_code(10);
    let stats = || healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!(
        (&stats()["unproven"], &stats()["newest_unproven"][0]["fix_type"]),
        (&json!(1), &json!("increase_delay"))
    );
    assert!(healer(&scene.root, &["stats"]).expect_code(0).stdout.contains("UNPROVEN"));
    for seconds in [3600, 24 * 3600] {
        age_attempts(&scene, seconds);
        scene.heal().expect_code(0);
    }
    assert_eq!(verdicts(&scene), ["holding", "durable"]);
    assert_eq!(
        (&stats()["unproven"], &stats()["decided"], &stats()["success_rate"]),
        (&json!(0), &json!(1), &json!(1))
    );
}

#[test]
fn the_half_life_of_what_was_learned_can_be_set() {
    let confidence = |rest: &str| {
        let scene = Scene::new(|p| p.rest = rest.into());
        let record = json!({ "timestamp": ago(90 * 86_400).to_string(), "issue_type": "rate_limiting",
            "fix_type": "increase_delay", "result_status": "failed", "success": false, "original_confidence": 90 });
        scene.root.write("state/fix_knowledge_base.jsonl", format!("{record}\n").repeat(2));
        scene.log_errors(20);
        scene.heal_json(&["-n"], 10)["diagnoses"][0]["confidence"].clone()
    };
    assert_eq!(confidence(""), 88);
    assert_eq!(confidence("[learning]\nhalf_life = \"9000d\""), 86);
    assert_eq!(confidence("[learning]\nhalf_life = \"1d\""), 90);
}

#[test]
fn a_container_that_is_gone_after_the_fix_was_harmed_and_an_engine_start_is_a_crash() {
    let Some(docker) = Docker::require() else { return };
    let check = |harm: &dyn Fn(&Docker, &str), why: &str| {
        let name = Docker::unique_name("bystander");
        let _bystander = docker.run(&name, &["--restart", "always"], &["sleep", "1000"]);
        let root = Root::new();
        root.write(support::PROGRAM_PATH, PROGRAM);
        root.write("worker.log", RATE_LIMITED.repeat(20));
        root.config(&format!(
            "[allow]\nfiles = [\"{{root}}/worker/*\"]\n[checks.host]\nenabled = false\n[checks.docker]\nsocket = \"{}\"\n\
             include = [\"{name}\"]\n[logs.files.worker]\npath = \"{{root}}/worker.log\"\n[limits]\nhuman_grace = \"0s\"\nmin_duration = \"0s\"\n\
             [[rule]]\nname = \"slow-down\"\nconfidence = 90\nissue_type = \"rate_limiting\"\n\
             when = {{ log = \"file:worker\", signature = \"rate_limit\", count = 5, within = \"10m\" }}\n\
             {}[rule.validate]\nsettle = \"0s\"\nwindow = \"6s\"\n",
            docker.socket,
            support::fix("increase_delay", r#"at = "call asyncio.sleep", multiply = 1.5, max = 5.0"#),
        ));
        let mut pass = spawn(&root, &["heal"]);
        pass.wait_for("watching");
        harm(&docker, &name);
        let ran = pass.wait().expect_code(12);
        assert!(ran.stdout.contains(&format!("container:{name} {why}")), "{}", ran.output());
        assert_eq!(root.read_text(support::PROGRAM_PATH), PROGRAM);
    };
    check(&|docker, name| drop(docker.cli(&["rm", "--force", name])), "was healthy before and is gone");
    let crash = |docker: &Docker, name: &str| {
        let pid = docker.cli(&["inspect", "--format", "{{.State.Pid}}", name]);
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    };
    check(&crash, "has crashed and was started again since the fix");
}
