//! `healer status` says how things stand and changes nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use rustix::process::Signal;
use support::{Scene, healer};

fn status(scene: &Scene) -> (String, serde_json::Value) {
    let before = scene.root.snapshot();
    let text = healer(&scene.root, &["status"]).expect_code(0).stdout;
    let json = healer(&scene.root, &["status", "--json"]).expect_code(0).data();
    before.assert_unchanged(&scene.root.snapshot());
    (text, json)
}

#[track_caller]
fn assert_says(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
    }
}

#[test]
fn who_may_not_read_the_state_is_told_who_may() {
    use std::os::unix::fs::PermissionsExt;
    if !support::is_root() {
        return support::skip("only root can be somebody else");
    }
    let scene = Scene::new(|_| {});
    scene.heal().expect_code(0);
    let open = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&scene.root.dir(), 0o755);
    open(&scene.root.state_dir(), 0o750);
    let binary = scene.root.copy_binary();
    let check = |args: &[&str], says: &str| {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary).args(args);
        command.arg("--config").arg(scene.root.config_path()).arg("--state-dir").arg(scene.root.state_dir());
        let ran = support::spawn_command(command).wait().expect_code(1);
        assert_says(&ran.stderr, &[says, "ermission denied"]);
    };
    check(&["status"], "healer: run it as root, or as a member of the group `healer`: cannot read ");
    check(&["history"], "healer: run it as root, or as a member of the group `healer`: cannot read ");
    check(&["stats"], "healer: run it as root, or as a member of the group `healer`: cannot read ");
    check(&["reset", "x"], "healer: run it as root: cannot read ");
}

#[test]
fn where_nothing_is_checked_nothing_is_known() {
    let scene = Scene::new(|_| {});
    let ran = healer(&scene.root, &["check"]).expect_code(3);
    assert!(ran.stdout.starts_with("HEALER UNKNOWN - nothing is checked: "), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    assert_eq!(healer(&scene.root, &["check", "--json"]).expect_code(3).data()["overall_status"], "unknown");
}

#[test]
fn before_the_first_pass_there_is_nothing_to_say() {
    let scene = Scene::new(|_| {});
    let (text, json) = status(&scene);
    assert_says(&text, &["last pass: none yet", "mode:      enabled"]);
    assert_eq!((&json["last_check"], &json["overdue"]), (&serde_json::Value::Null, &true.into()));
}

#[test]
fn a_held_problem_is_shown_with_its_reason_until_it_is_over() {
    let scene = Scene::new(|p| p.confidence = "60".into());
    scene.log_errors(20);
    scene.heal().expect_code(10);
    let (text, json) = status(&scene);
    assert_says(&text, &["last pass: ", " 1 issue", "incident:  file:worker was rate limited 20 times, warning"]);
    assert_says(&text, &["held: confidence 60 is below the threshold of 85"]);
    assert_eq!(json["incidents"][0]["hold_reason"], "confidence 60 is below the threshold of 85");
    let plan = json["incidents"][0]["plan_to_approve"].as_str().unwrap();
    assert_says(&text, &[&format!("to approve it: `healer heal --approve {plan}`")]);
    healer(&scene.root, &["heal", "--approve", plan]).expect_code(0);
    assert_eq!((&json["autonomous_mode"], &json["check_interval_minutes"]), (&"enabled".into(), &5.into()));
    assert_eq!(json["fix_statistics"]["total_fixes"], 0);
}

#[test]
fn an_open_fix_and_who_watches_it_are_shown() {
    let scene = Scene::new(|p| p.validate = "settle = \"0s\"\nwindow = \"40s\"".into());
    scene.log_errors(20);
    let pass = scene.spawn_into_window();
    let (text, json) = status(&scene);
    assert_says(&text, &[&format!("running:   process {} (`", pass.pid()), "is open: being validated"]);
    assert_eq!(json["overdue"], false, "a running pass is never overdue");
    pass.signal(Signal::KILL);
    pass.wait();
    let (text, json) = status(&scene);
    assert!(!text.contains("running:") && json["running"].is_null(), "{text}");
    assert_says(&text, &["open fix:  fix_", "is open: being validated; a pass ends it"]);
    assert!(json["open_transaction"].as_str().unwrap().contains("being validated"));
}

#[test]
fn what_a_human_has_to_release_is_shown_with_the_command() {
    let scene = Scene::new(|_| {});
    scene.log_errors(20);
    scene.heal().expect_code(0);
    healer(&scene.root, &["rollback", "latest"]).expect_code(0);
    scene.root.write("STOP", "");
    let (text, json) = status(&scene);
    assert_says(&text, &["held:      ", "an operator rolled back fix_", "`healer reset '", "mode:      stopped: "]);
    assert_eq!((&json["autonomous_mode"], &json["held"][0]["rule"]), (&"paused".into(), &"slow-down".into()));
    assert_eq!(json["recent_backups"].as_array().unwrap().len(), 2);
}

#[test]
fn a_pass_is_overdue_two_intervals_after_the_last_one_ended_however_long_that_took() {
    let scene = Scene::new(|_| {});
    scene.heal().expect_code(0);
    let last_pass = |started: u64, lasted: u64| {
        let now = std::time::SystemTime::now();
        let started = jiff::Timestamp::try_from(now - std::time::Duration::from_secs(started)).unwrap();
        let mut state: serde_json::Value = serde_json::from_str(&scene.root.read_text("state/state.json")).unwrap();
        state["last_pass"]["started"] = started.to_string().into();
        state["last_pass"]["duration_ms"] = (lasted * 1000).into();
        scene.root.write("state/state.json", state.to_string());
        let (text, json) = status(&scene);
        assert_eq!(text.contains("OVERDUE"), json["overdue"] == true);
        json["overdue"].clone()
    };
    assert_eq!(last_pass(30, 1), false);
    assert_eq!(last_pass(700, 1), true);
    assert_eq!(last_pass(3600, 3500), false, "it ended 100 s ago");
    assert_eq!(last_pass(3600, 2900), true);
}
