//! Services that a fix restarts: nothing is begun where one cannot be restarted, a restart that may have happened is
//! looked up, and one that is owed is not forgotten.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use rustix::process::Signal;
use support::{PROGRAM, PROGRAM_PATH, Scene, Unit, healer};

/// A scene whose fix edits the program and restarts the unit that runs it.
fn scene(window: &str) -> Scene {
    Scene::new(|p| {
        p.allow.push_str("\nunits = [\"worker.service\"]");
        p.fixes = "[[rule.fix]]\nfix_type = \"increase_delay\"\nsteps = [\n\
                   { edit = \"{root}/worker/client.py\", at = \"call asyncio.sleep\", multiply = 1.5, max = 5.0 },\n\
                   { restart = \"unit:worker.service\" },\n]\n"
            .into();
        p.validate = format!("settle = \"0s\"\nwindow = \"{window}\"\nmax_window = \"{window}\"");
    })
}

const SHORT: &str = "500ms";
const LONG: &str = "40s";

fn target(scene: &Scene) -> String {
    format!("{}#call asyncio.sleep", scene.root.path(PROGRAM_PATH).display())
}

#[track_caller]
fn assert_held_for_human(scene: &Scene) {
    support::next_second();
    scene.log_errors(20);
    let pass = scene.heal_json(&[], 10);
    assert_eq!(pass["diagnoses"][0]["hold"], "held_for_human", "{:#}", pass["diagnoses"][0]);
}

#[test]
fn a_fix_restarts_the_unit_once_and_its_rollback_once_more() {
    let scene = scene(SHORT);
    let unit = Unit::install(&scene.root);
    scene.log_errors(20);
    scene.heal().expect_code(0);
    assert_eq!(unit.starts(), ["1.2"]);
    healer(&scene.root, &["rollback", "latest"]).expect_code(0);
    assert_eq!(unit.starts(), ["1.2", "0.8"]);
}

#[test]
fn a_fix_whose_service_cannot_be_restarted_is_not_begun() {
    let check = |prepare: &dyn Fn(&Scene), reason: &str| {
        let scene = scene(SHORT);
        prepare(&scene);
        scene.log_errors(20);
        let pass = scene.heal_json(&[], 10);
        let diagnosis = &pass["diagnoses"][0];
        assert_eq!(diagnosis["hold"], "unusable_target", "{diagnosis:#}");
        let given = diagnosis["hold_reason"].as_str().unwrap();
        assert!(given.contains("unit:worker.service cannot be restarted") && given.contains(reason), "{given}");
        assert_eq!(scene.program(), PROGRAM);
        assert!(scene.backups().is_empty() && scene.records().is_empty() && !scene.is_open());
    };
    check(&|s| Unit::install(&s.root).be("absent"), "no unit worker.service that it could start (not-found)");
    check(&|s| drop(s.root.write("bin/systemctl", "no program")), "systemctl");
}

#[test]
fn a_restart_that_fails_undoes_the_edit_and_what_is_owed_then_is_done_by_rollback() {
    let scene = scene(SHORT);
    let unit = Unit::install(&scene.root);
    unit.be("fail");
    scene.log_errors(20);
    let pass = scene.heal_json(&[], 13);
    assert_eq!(pass["fix"]["outcome"], "rollback_failed", "{:#}", pass["fix"]);
    let [backup] = scene.backups().try_into().unwrap();
    let why = pass["fix"]["why"].as_str().unwrap();
    assert!(
        why.contains("a restart failed") && why.contains(&format!("`healer rollback {backup}` repeats it")),
        "{why}"
    );
    assert_eq!(scene.program(), PROGRAM);
    assert!(!scene.is_open());
    assert_held_for_human(&scene);

    // Still not mended.
    let refused = healer(&scene.root, &["rollback", &backup]).expect_code(13);
    assert!(refused.stderr.contains("the files are back, but a restart failed"), "{}", refused.stderr);
    assert!(!scene.is_open());
    assert_held_for_human(&scene);

    unit.no_longer("fail");
    let dry = healer(&scene.root, &["rollback", "-n", &backup]).expect_code(10);
    assert!(dry.stdout.contains("restart unit:worker.service: it failed when"), "{}", dry.stdout);
    healer(&scene.root, &["rollback", &backup]).expect_code(0);
    assert_eq!(unit.starts(), ["0.8"]);
    let again = healer(&scene.root, &["rollback", &backup]).expect_code(0);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    healer(&scene.root, &["reset", &target(&scene)]).expect_code(0);
}

#[test]
fn an_operators_rollback_whose_restart_fails_says_so_and_blocks_no_later_pass() {
    let scene = scene(SHORT);
    let unit = Unit::install(&scene.root);
    scene.log_errors(20);
    scene.heal().expect_code(0);
    unit.be("fail");
    let backup = scene.backups().remove(0);
    let failed = healer(&scene.root, &["rollback", &backup]).expect_code(13);
    assert!(
        failed.stderr.contains("a restart failed: `systemctl restart -- worker.service` failed"),
        "{}",
        failed.stderr
    );
    assert_eq!(scene.program(), PROGRAM);
    assert!(!scene.is_open());
    assert_held_for_human(&scene);
    // One fix, one terminal record: what an operator does later is another line.
    assert_eq!(scene.records().len(), 1);

    unit.no_longer("fail");
    healer(&scene.root, &["rollback", &backup]).expect_code(0);
    assert_eq!(unit.starts(), ["1.2", "0.8"]);
    assert_eq!(scene.records().len(), 1);
}

#[test]
fn a_rollback_of_the_fix_being_watched_succeeds_only_when_the_service_runs_again() {
    let scene = scene(LONG);
    let unit = Unit::install(&scene.root);
    scene.log_errors(20);
    let pass = scene.spawn_into_window();
    unit.be("fail");
    let asked = healer(&scene.root, &["rollback", "latest"]).expect_code(13);
    assert!(asked.stderr.contains("ended it as rollback_failed"), "{}", asked.stderr);
    pass.wait().expect_code(13);
    assert_eq!(scene.program(), PROGRAM);
}

#[test]
fn a_restart_that_may_have_happened_is_looked_up_before_it_is_repeated() {
    let check = |at: &str, starts: &[&str]| {
        let scene = scene(SHORT);
        let unit = Unit::install(&scene.root);
        unit.be(at);
        scene.log_errors(20);
        assert_eq!(scene.heal().code, None, "the stand-in kills the pass");
        scene.assert_program("1.2");
        let pass = scene.heal_json(&[], 12);
        assert_eq!(pass["recovered_transaction"]["outcome"], "rolled_back");
        assert_eq!(scene.program(), PROGRAM);
        assert_eq!(unit.starts(), starts, "{at}");
    };
    // The unit never ran with the new content: no restart is needed to take it back.
    check("kill-before", &[]);
    check("kill-after", &["1.2", "0.8"]);
}

#[test]
fn a_fix_that_only_restarts_has_nothing_to_undo_when_its_pass_was_killed() {
    let mut scene = scene(SHORT);
    scene.configure(|p| {
        p.fixes = "[[rule.fix]]\nfix_type = \"restart\"\nsteps = [{ restart = \"unit:worker.service\" }]\n".into();
    });
    let unit = Unit::install(&scene.root);
    unit.be("kill-after");
    scene.log_errors(20);
    assert_eq!(scene.heal().code, None);
    let pass = scene.heal_json(&[], 12);
    assert_eq!(pass["recovered_transaction"]["outcome"], "failed", "{:#}", pass["recovered_transaction"]);
    assert_eq!(unit.starts().len(), 1, "a second restart would be a second try");
    assert_eq!(scene.records()[0]["validation_status"], "interrupted", "nothing is learned from it");
}

#[test]
fn a_rollback_that_is_killed_in_its_restart_restarts_once() {
    let check = |at: &str| {
        let scene = scene(SHORT);
        let unit = Unit::install(&scene.root);
        scene.log_errors(20);
        scene.heal().expect_code(0);
        unit.be(at);
        assert_eq!(healer(&scene.root, &["rollback", "latest"]).code, None);
        assert!(scene.is_open());
        let pass = scene.heal_json(&[], 10);
        assert_eq!(pass["recovered_transaction"]["outcome"], "rolled_back_by_operator", "{at}");
        assert_eq!(scene.program(), PROGRAM);
        assert_eq!(unit.starts(), ["1.2", "0.8"], "{at}");
        assert_eq!(scene.records().len(), 1, "a rollback is no fix");
    };
    check("kill-before");
    check("kill-after");
}

#[test]
fn a_human_who_edits_during_a_rollback_that_was_killed_keeps_the_file_and_no_fix_is_recorded() {
    let scene = scene(SHORT);
    let unit = Unit::install(&scene.root);
    scene.log_errors(20);
    scene.heal().expect_code(0);
    unit.be("kill-before");
    assert_eq!(healer(&scene.root, &["rollback", "latest"]).code, None);
    let theirs = scene.program() + "\n# by a human\n";
    scene.root.write(PROGRAM_PATH, &theirs);
    let pass = scene.heal_json(&[], 13);
    assert_eq!(pass["recovered_transaction"]["outcome"], "conflict");
    assert_eq!(scene.program(), theirs);
    assert!(!scene.is_open());
    let [record] = scene.records().try_into().unwrap();
    assert_eq!(record["result_status"], "healed", "the fix's own record stays the only one");
}

#[test]
fn a_fix_that_stays_open_is_told_once_and_not_with_every_pass() {
    let mut scene = scene(LONG);
    Unit::install(&scene.root);
    scene.configure(|p| {
        p.rest = "[alerts]\ncommand = [[\"/bin/sh\", \"-c\", \"cat >> {root}/alerts; echo >> {root}/alerts\"]]".into()
    });
    scene.log_errors(20);
    let pass = scene.spawn_into_window();
    pass.signal(Signal::KILL);
    pass.wait();
    // It does not help, and what would undo it is gone.
    let [backup] = scene.backups().try_into().unwrap();
    let saved = scene.root.path(format!("state/backups/{backup}"));
    std::fs::rename(&saved, scene.root.path("elsewhere")).unwrap();
    support::next_second();
    scene.log_errors(20);
    for _ in 0..3 {
        let pass = scene.heal_json(&[], 13);
        let open = &pass["recovered_transaction"];
        assert_eq!((&open["outcome"], &open["open"]), (&"still_open".into(), &true.into()), "{open:#}");
        assert!(open["why"].as_str().unwrap().contains("the next pass tries again"), "{open:#}");
        assert!(!pass["health"].is_null() && scene.is_open(), "the pass goes on without acting");
    }
    let told = scene.root.read_text("alerts");
    assert_eq!(told.lines().filter(|l| l.contains("rollback_failed")).count(), 1, "{told}");

    std::fs::rename(scene.root.path("elsewhere"), &saved).unwrap();
    assert_eq!(scene.heal_json(&[], 12)["recovered_transaction"]["outcome"], "rolled_back");
    assert_eq!(scene.program(), PROGRAM);
    assert!(!scene.is_open());
}

#[test]
fn a_journal_that_cannot_be_read_stops_fixes_and_nothing_else() {
    let scene = scene(SHORT);
    Unit::install(&scene.root);
    scene.root.write("state/journal/fix_20260101_000000_0.jsonl", "{\"v\":1,\"kind\":\n");
    scene.log_errors(20);
    let pass = scene.heal_json(&[], 1);
    assert!(pass["blocked"].as_str().unwrap().contains("is damaged"), "{:#}", pass["blocked"]);
    assert_eq!(pass["diagnoses"][0]["issue_type"], "rate_limiting");
    assert_eq!(scene.program(), PROGRAM);
}
