//! An operator takes a fix back: byte for byte, itself backed up, never over somebody else's change unless forced, and
//! also while a pass is watching that very fix.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::os::unix::fs::MetadataExt;
use support::{PROGRAM, PROGRAM_PATH, Scene, healer, spawn};

/// A scene whose program was healed, and the backup's id.
fn healed() -> (Scene, String) {
    let scene = Scene::new(|_| {});
    scene.log_errors(20);
    scene.heal().expect_code(0);
    scene.assert_program("1.2");
    let [backup] = scene.backups().try_into().unwrap();
    (scene, backup)
}

fn target(scene: &Scene) -> String {
    format!("{}#call asyncio.sleep", scene.root.path(PROGRAM_PATH).display())
}

#[test]
fn a_rollback_restores_every_byte_and_is_itself_backed_up() {
    for by_name in [true, false] {
        let (scene, backup) = healed();
        let mode = std::fs::metadata(scene.root.path(PROGRAM_PATH)).unwrap().mode();
        let id = if by_name { backup.as_str() } else { "latest" };
        let ran = healer(&scene.root, &["rollback", id]).expect_code(0);
        assert_eq!(scene.program(), PROGRAM);
        assert_eq!(std::fs::metadata(scene.root.path(PROGRAM_PATH)).unwrap().mode(), mode);
        assert!(ran.stdout.contains(&format!("healer reset '{}'", target(&scene))), "{}", ran.stdout);
        assert!(!scene.is_open());

        let [_, own] = scene.backups().try_into().unwrap();
        assert_eq!(scene.root.read_text(format!("state/backups/{own}/files/0")), PROGRAM.replace("0.8", "1.2"));
        healer(&scene.root, &["backups", "verify"]).expect_code(0);
        assert!(scene.event_kinds().contains(&"rolled_back_by_operator".to_owned()), "{:?}", scene.event_kinds());
        // A later word on the same fix, and no second fix.
        assert_eq!(scene.records().len(), 1);
        let last = scene.root.state_lines("fix_knowledge_base.jsonl").pop().unwrap();
        assert_eq!((&last["kind"], &last["verdict"]), (&"verdict".into(), &"rolled_back_by_operator".into()));
        assert_eq!(last["id"], scene.records()[0]["id"]);

        healer(&scene.root, &["rollback", "latest"]).expect_code(14);
        let again = healer(&scene.root, &["rollback", &backup]).expect_code(0);
        assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
        // The rollback can be taken back too.
        healer(&scene.root, &["rollback", &own]).expect_code(0);
        scene.assert_program("1.2");
    }
}

#[test]
fn what_was_edited_since_its_fix_is_put_back_only_by_force_whichever_way_it_is_named() {
    for by_name in [true, false] {
        let (scene, backup) = healed();
        let id = if by_name { backup.as_str() } else { "latest" };
        let edited = scene.program() + "# by hand\n";
        scene.root.write(PROGRAM_PATH, &edited);
        healer(&scene.root, &["rollback", id]).expect_code(13);
        assert_eq!(scene.program(), edited);
        healer(&scene.root, &["rollback", id, "--force"]).expect_code(0);
        assert_eq!(scene.program(), PROGRAM);
    }
}

#[test]
fn a_rolled_back_rule_is_held_until_an_operator_resets_it() {
    let (scene, backup) = healed();
    healer(&scene.root, &["rollback", &backup]).expect_code(0);
    support::next_second();
    scene.log_errors(20);
    let held = scene.heal_json(&[], 10);
    assert_eq!(held["diagnoses"][0]["hold"], "held_for_human", "{:#}", held["diagnoses"][0]);
    let held_target = target(&scene);
    let reason = held["diagnoses"][0]["hold_reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("{held_target} is held since an operator rolled back fix_")), "{reason}");
    assert!(reason.ends_with(&format!(": `healer reset '{held_target}'` releases it")), "{reason}");
    scene.assert_program("0.8");

    let unknown = healer(&scene.root, &["reset", "nothing"]).expect_code(2);
    assert!(unknown.stderr.contains("there is no held target `nothing`"), "{}", unknown.stderr);
    healer(&scene.root, &["reset", &target(&scene)]).expect_code(0);
    let after = scene.heal_json(&["-n"], 10);
    // The cooldown of the fix itself goes on.
    assert_eq!(after["diagnoses"][0]["hold"], "cooldown", "{:#}", after["diagnoses"][0]);
}

#[test]
fn a_file_that_somebody_has_changed_since_is_not_overwritten_unless_forced() {
    let (scene, backup) = healed();
    let theirs = PROGRAM.replace("0.8", "1.2") + "\r\n# by a human\r\n";
    scene.root.write(PROGRAM_PATH, &theirs);
    let refused = healer(&scene.root, &["rollback", &backup]).expect_code(13);
    assert!(refused.stderr.contains("client.py was changed since this fix"), "{}", refused.stderr);
    assert_eq!(scene.program(), theirs);
    assert_eq!(scene.backups().len(), 1);
    let json = healer(&scene.root, &["rollback", &backup, "--json"]).expect_code(13).json();
    assert_eq!((&json["status"], &json["code"]), (&"error".into(), &13.into()));

    healer(&scene.root, &["rollback", &backup, "--force"]).expect_code(0);
    assert_eq!(scene.program(), PROGRAM);
    let [_, own] = scene.backups().try_into().unwrap();
    assert_eq!(scene.root.read_text(format!("state/backups/{own}/files/0")), theirs, "nothing of theirs is lost");
}

#[test]
fn an_id_that_is_none_is_told_so() {
    let (scene, _) = healed();
    let before = scene.root.snapshot();
    for id in ["backup_20200101_000000", "nonsense", "../../etc", "", "backup_"] {
        let ran = healer(&scene.root, &["rollback", "--json", id]).expect_code(14);
        assert_eq!(ran.json()["code"], 14);
    }
    healer(&scene.root, &["backups", "show", "backup_20200101_000000"]).expect_code(14);
    healer(&scene.root, &["backups", "verify", "backup_20200101_000000"]).expect_code(14);
    before.assert_unchanged(&scene.root.snapshot());
}

#[test]
fn a_damaged_backup_is_refused() {
    let check = |damage: &dyn Fn(&Scene, &str)| {
        let (scene, backup) = healed();
        damage(&scene, &format!("state/backups/{backup}"));
        let verify = healer(&scene.root, &["backups", "verify"]).expect_code(10);
        assert!(verify.stdout.contains("DAMAGED"), "{}", verify.stdout);
        let ran = healer(&scene.root, &["rollback", &backup]).expect_code(1);
        assert!(ran.stderr.contains(&backup), "{}", ran.stderr);
        scene.assert_program("1.2");
    };
    check(&|s, dir| drop(s.root.write(format!("{dir}/files/0"), PROGRAM.replace("0.8", "0.1"))));
    check(&|s, dir| drop(s.root.write(format!("{dir}/files/0"), "")));
    check(&|s, dir| std::fs::remove_file(s.root.path(format!("{dir}/files/0"))).unwrap());
    check(&|s, dir| {
        let text = s.root.read_text(format!("{dir}/metadata.json"));
        s.root.write(format!("{dir}/metadata.json"), text.replace("slow-down", "slow-dawn"));
    });
    check(&|s, dir| drop(s.root.write(format!("{dir}/metadata.json"), "{}")));
}

#[test]
fn a_dry_rollback_shows_the_difference_and_writes_nothing() {
    let (scene, backup) = healed();
    let before = scene.root.snapshot();
    let ran = healer(&scene.root, &["rollback", "-n", &backup]).expect_code(10);
    before.assert_unchanged(&scene.root.snapshot());
    let lines = ["-\tawait asyncio.sleep(1.2)", "+\tawait asyncio.sleep(0.8)", "would be put back"];
    assert!(lines.iter().all(|l| ran.stdout.contains(l)), "{}", ran.stdout);

    let shown = healer(&scene.root, &["backups", "show", &backup]).expect_code(0);
    assert_eq!(healer(&scene.root, &["backups", "show", "latest"]).expect_code(0).stdout, shown.stdout);
    assert!(lines[..2].iter().all(|l| shown.stdout.contains(l)), "{}", shown.stdout);
    let listed = healer(&scene.root, &["backups", "--json"]).expect_code(0).data();
    assert_eq!((&listed["total"], &listed["backups"][0]["backup_id"]), (&1.into(), &backup.as_str().into()));
    let one = &listed["backups"][0];
    assert_eq!((&one["metadata"]["reason"], &one["metadata"]["confidence"]), (&"rate_limiting".into(), &90.into()));
    assert!(one["timestamp"].is_string() && one["files"].is_array(), "{one:#}");
    before.assert_unchanged(&scene.root.snapshot());
}

fn long_window(rest: &str) -> Scene {
    let scene = Scene::new(|p| {
        p.validate = "settle = \"0s\"\nwindow = \"40s\"".into();
        p.rest = rest.into();
    });
    scene.log_errors(20);
    scene
}

#[test]
fn the_fix_that_is_being_watched_is_undone_by_its_own_pass_on_request() {
    for id in ["latest", "its id"] {
        let scene = long_window("");
        let pass = scene.spawn_into_window();
        scene.assert_program("1.2");
        let backup = scene.backups().remove(0);
        let ran = healer(&scene.root, &["rollback", if id == "latest" { id } else { &backup }]).expect_code(0);
        assert_eq!(scene.program(), PROGRAM);
        assert!(ran.stderr.contains(&format!("process {}", pass.pid())), "{}", ran.stderr);
        let ended = pass.wait().expect_code(10);
        assert!(ended.stdout.contains("rolled_back_by_operator"), "{}", ended.stdout);
        assert!(!scene.is_open() && !scene.root.state_dir().join("rollback_requested").exists());
        let [record] = scene.records().try_into().unwrap();
        assert_eq!(record["result_status"], "rolled_back_by_operator");
        support::next_second();
        scene.log_errors(20);
        assert_eq!(scene.heal_json(&[], 10)["diagnoses"][0]["hold"], "held_for_human");
    }
}

#[test]
fn a_pass_that_makes_no_fix_is_waited_for() {
    let (scene, backup) = healed();
    let lock = std::fs::File::open(scene.root.path("state/lock")).unwrap();
    lock.lock().unwrap();
    let mut rollback = spawn(&scene.root, &["rollback", &backup]);
    rollback.wait_for("is at work: waiting for its end");
    scene.assert_program("1.2");
    lock.unlock().unwrap();
    rollback.wait().expect_code(0);
    scene.assert_program("0.8");
}

#[test]
fn another_fix_is_not_rolled_back_while_a_pass_is_at_work() {
    let (mut scene, backup) = healed();
    scene.configure(|p| {
        p.rest = "[logs.files.other]\npath = \"{root}/other.log\"\n[[rule]]\nname = \"other\"\n\
                  when = { log = \"file:other\", signature = \"rate_limit\", count = 5, within = \"10m\" }\n\
                  issue_type = \"rate_limiting\"\nconfidence = 95\n[[rule.fix]]\nfix_type = \"other\"\n\
                  steps = [{ edit = \"{root}/worker/other.toml\", at = \"pause\", multiply = 1.5, max = 5.0 }]\n\
                  [rule.validate]\nsettle = \"0s\"\nwindow = \"40s\""
            .into();
    });
    scene.root.write("worker/other.toml", "pause = 1.0\n");
    scene.root.append("other.log", support::RATE_LIMITED.repeat(20));
    let pass = scene.spawn_into_window();
    for args in [&["rollback", backup.as_str()][..], &["backups", "prune"], &["heal"]] {
        let refused = spawn(&scene.root, args).wait().expect_code(11);
        assert!(refused.stderr.contains(&format!("process {} ", pass.pid())), "{}", refused.stderr);
    }
    scene.assert_program("1.2");
    // What only reads is not refused.
    for args in [&["check"][..], &["stats"], &["backups"], &["diagnose"], &["rollback", "-n", &backup]] {
        assert_ne!(healer(&scene.root, args).code, Some(11), "{args:?}");
    }
    drop(pass);
}

#[test]
fn old_backups_go_by_number_and_age_and_the_one_in_use_stays() {
    let (scene, first) = healed();
    healer(&scene.root, &["rollback", &first]).expect_code(0);
    let [_, second] = scene.backups().try_into().unwrap();
    let dry =
        healer(&scene.root, &["backups", "prune", "-n", "--keep-last", "1", "--keep-within", "0s"]).expect_code(10);
    assert!(dry.stdout.contains(&format!("{first}  would be removed")), "{}", dry.stdout);
    assert_eq!(scene.backups().len(), 2);
    healer(&scene.root, &["backups", "prune"]).expect_code(0);
    assert_eq!(scene.backups().len(), 2, "both are younger than `keep_within`");
    healer(&scene.root, &["backups", "prune", "--keep-last", "1", "--keep-within", "0s"]).expect_code(0);
    assert_eq!(scene.backups(), [second]);
}
