//! On a terminal, what cannot be taken back lightly is asked first: no changes nothing, yes does it, and who said so
//! beforehand is not asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use support::{Scene, Terminal};

/// What a command asks about.
struct Asked {
    scene: Scene,
    args: Vec<String>,
    /// The question, without `[y/N]`.
    question: String,
}

/// A fix in place that can be rolled back.
fn rollback() -> Asked {
    let scene = Scene::new(|_| {});
    scene.log_errors(20);
    scene.heal().expect_code(0);
    let [id] = scene.backups().try_into().unwrap();
    let args = ["rollback", &id].map(str::to_owned).to_vec();
    Asked { scene, args, question: format!("Roll back to {id}?") }
}

/// A backup that is not to be kept.
fn prune() -> Asked {
    let Asked { scene, .. } = rollback();
    let args = ["backups", "prune", "--keep-last", "0", "--keep-within", "0s"].map(str::to_owned).to_vec();
    Asked { scene, args, question: "Remove 1 backup?".to_owned() }
}

/// A plan held for low confidence.
fn approve() -> Asked {
    let scene = Scene::new(|p| p.confidence = "60".into());
    scene.log_errors(20);
    let held = scene.heal_json(&[], 10);
    let id = held["diagnoses"][0]["plan"]["id"].as_str().unwrap().to_owned();
    let question = format!("Apply plan {id}, if it is still the same?");
    Asked { scene, args: vec!["heal".to_owned(), "--approve".to_owned(), id], question }
}

/// What a command would change.
fn state(scene: &Scene) -> (String, Vec<String>, usize) {
    (scene.program(), scene.backups(), scene.records().len())
}

/// Runs the command on a terminal with these keys typed at the question (`None`: no question may come); whether anything
/// changed.
#[track_caller]
fn check(asked: &Asked, more: &[&str], keys: Option<&str>, changes: bool) -> String {
    let args: Vec<&str> = asked.args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let before = state(&asked.scene);
    let mut terminal = Terminal::run(&asked.scene.root, &args);
    if let Some(keys) = keys {
        terminal.wait_for(&format!("{} [y/N]", asked.question));
        assert_eq!(state(&asked.scene), before, "nothing is done before the answer");
        terminal.enter(keys);
    }
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(0), "{args:?} {keys:?}: {screen}");
    assert_eq!(screen.contains("[y/N]"), keys.is_some(), "{args:?} {keys:?}: {screen}");
    assert_eq!(state(&asked.scene) != before, changes, "{args:?} {keys:?}: {screen}");
    screen
}

#[test]
fn each_question_takes_no_for_an_answer_and_only_yes_for_a_yes() {
    for make in [rollback, prune, approve] {
        let asked = make();
        for no in ["n\n", "\n", "\u{4}", "maybe\n", "yesterday\n"] {
            let screen = check(&asked, &[], Some(no), false);
            assert!(screen.contains("nothing was done"), "{screen}");
        }
        check(&asked, &[], Some("y\n"), true);
    }
}

#[test]
fn who_said_so_beforehand_is_not_asked() {
    for make in [rollback, prune, approve] {
        for said in ["--yes", "--no-input"] {
            check(&make(), &[said], None, true);
        }
    }
}

#[test]
fn a_question_that_nobody_answers_holds_up_no_pass() {
    for make in [rollback, prune, approve] {
        let asked = make();
        let args: Vec<&str> = asked.args.iter().map(String::as_str).collect();
        let mut terminal = Terminal::run(&asked.scene.root, &args);
        terminal.wait_for("[y/N]");
        let code = asked.scene.heal().code;
        assert!(matches!(code, Some(0 | 10)), "{args:?}: a pass ends with {code:?} meanwhile");
        terminal.enter("n\n");
        assert_eq!(terminal.end().0, Some(0));
    }
}

#[test]
fn a_window_is_shown_in_one_live_line() {
    let asked = approve();
    let screen = check(&asked, &["--yes"], None, true);
    // Each state is written over the one before.
    let states = |word: &str| screen.matches(&format!("\r\u{1b}[2K{word}")).count();
    assert!(states("settling") >= 1 && states("watching") >= 1, "{screen:?}");
}
