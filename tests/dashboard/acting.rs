//! Fixes, seen while they are made; and what is done by buttons.

use super::{ENTER, Page, VERDICT, healthy_checks, scene};
use crate::support::PROGRAM;
use serde_json::Value;

/// From now on the page remembers everything that it shows of verdict and fix.
fn watch(page: &Page) {
    page.browser.run(&format!(
        "window.seen = [];
         const look = () => {{
             const now = {VERDICT} + ' | ' + (document.querySelector('#progress')?.innerText ?? '');
             if (seen.at(-1) !== now) seen.push(now);
         }};
         const what = {{ subtree: true, childList: true, characterData: true, attributes: true }};
         new MutationObserver(look).observe(document.body, what);
         look();"
    ));
}

/// All of it, in order.
fn seen(page: &Page) -> Vec<String> {
    let Value::Array(seen) = page.browser.js("seen") else { panic!("nothing was watched") };
    seen.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Fails unless the verdicts begin so, in this order, whatever is between them.
#[track_caller]
fn assert_order(seen: &[String], starts: &[&str]) {
    let mut rest = seen.iter();
    for start in starts {
        assert!(rest.any(|text| text.starts_with(start)), "{start} is not there in its turn: {seen:#?}");
    }
}

/// Opens the newest happening of a kind; returns all that it says.
#[track_caller]
fn opened(page: &Page, kind: &str) -> String {
    page.until_says("#happened", kind);
    let of_kind = format!("[...document.querySelectorAll('#happened li')].find(e => e.innerText.includes('{kind}'))");
    page.browser.run(&format!("({of_kind}).querySelector('summary').click()"));
    page.browser.text(&format!("({of_kind}).innerText"))
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn a_fix_is_watched_live_from_start_to_kept() {
    let scene = scene(|p| {
        healthy_checks(p);
        p.validate = "settle = \"2s\"\nwindow = \"4s\"\nmax_window = \"8s\"".into();
    });
    scene.heal().expect_code(0);
    let Some(page) = Page::unlocked(&scene) else { return };
    page.prefers("dark");
    page.screen(1280, 1000);
    page.until_verdict("All is well");
    watch(&page);
    let _worker = scene.mendable_worker().after(20);
    let asked = page.press_and_confirm("#verdict [data-act=check]");
    assert_says(&asked, &["Check now?", "It may apply a fix."]);
    page.until_says("#progress", " left of the window: 0 errors so far");
    page.picture("fixing-dark.png");
    page.until_says("#happened", "healed");
    page.browser.until("!document.querySelector('#progress')");

    let seen = seen(&page);
    let start = "1 problem, being fixed: ";
    let (settling, validating) = (format!("{start}settling, 0:0"), format!("{start}validating, 0:0"));
    assert_order(&seen, &["All is well", &settling, &validating, "1 problem was fixed"]);
    let last = seen.iter().rfind(|text| text.contains("so far")).unwrap();
    assert_says(
        last,
        &["was rate limited", "backup backup_", "edited ", "0.8 -> 1.2", "watching for 4s", "0 errors so far"],
    );
    let mut left: Vec<&str> =
        seen.iter().filter_map(|text| text.strip_prefix(&*validating)?.split(' ').next()).collect();
    left.dedup();
    assert!(left.len() >= 3 && left.iter().rev().is_sorted(), "it counts down: {left:?}");

    let told = opened(&page, "healed");
    assert_says(
        &told,
        &[
            "rule slow-down, increase_delay, confidence 90",
            "-\tawait asyncio.sleep(0.8)",
            "+\tawait asyncio.sleep(1.2)",
            "429 Client Error: Too Many Requests",
            "+90",
            "confidence, of 100\t90",
            "Errors after\t0",
            "Chance that this was luck",
            "Roll back",
        ],
    );
    scene.assert_program("1.2");
    assert_eq!(page.browser.console(), [""; 0]);
}

#[test]
fn a_fix_that_does_not_help_is_seen_being_rolled_back() {
    let scene = scene(|p| {
        p.validate = "settle = \"0s\"\nwindow = \"4s\"\nmax_window = \"4s\"\nmax_errors = 100".into();
    });
    scene.heal().expect_code(0);
    let Some(page) = Page::unlocked(&scene) else { return };
    watch(&page);
    let _worker = scene.hopeless_worker().after(20);
    page.press_and_confirm("#verdict [data-act=check]");
    page.until_says("#happened", "rolled back");
    page.browser.until("!document.querySelector('#progress')");
    let seen = seen(&page);
    assert_order(&seen, &["1 problem, being fixed: validating, 0:0", "1 problem"]);
    let counts = regex::Regex::new(r"([1-9]\d*) errors? so far").unwrap();
    assert!(seen.iter().any(|text| counts.is_match(text)), "errors are counted as they come: {seen:#?}");
    let told = opened(&page, "rolled back");
    assert_says(&told, &["+\tawait asyncio.sleep(1.2)", "Verdict\t", "Errors after\t"]);
    assert!(!told.contains("Roll back"), "nothing is left to roll back: {told}");
    assert!(!page.browser.text(VERDICT).contains("fixed"), "{}", page.browser.text(VERDICT));
    assert_eq!(scene.program(), PROGRAM);
}

#[test]
fn what_is_held_for_a_human_is_applied_by_its_button() {
    let scene = scene(|p| p.top = "mode = \"suggest\"".into());
    scene.heal().expect_code(0);
    let _worker = scene.mendable_worker().after(20);
    scene.heal().expect_code(10);
    let Some(page) = Page::unlocked(&scene) else { return };
    page.until_verdict("1 problem needs you");
    assert_says(&page.shown("#verdict"), &["suggest: a human decides"]);
    page.browser.click("#needs summary");
    assert_says(
        &page.shown("#needs"),
        &[
            "was rate limited",
            "Held: ",
            "Would do",
            "0.8 -> 1.2",
            "+90",
            "+\tawait asyncio.sleep(1.2)",
            "Apply now",
            "Pause 1 h",
        ],
    );
    assert_eq!(scene.program(), PROGRAM);
    let asked = page.press_and_confirm("#needs [data-act=apply]");
    assert_says(&asked, &["Apply now?", "Apply plan_", "0.8 -> 1.2", "rolled back if it does not help"]);
    page.until_says("#happened", "healed");
    page.browser.until("!document.querySelector('#needs')");
    scene.assert_program("1.2");
}

#[test]
fn a_kept_fix_is_rolled_back_by_its_button_byte_for_byte() {
    let scene = scene(|_| {});
    scene.heal().expect_code(0);
    let worker = scene.mendable_worker().after(20);
    scene.heal().expect_code(0);
    drop(worker);
    scene.assert_program("1.2");
    let Some(page) = Page::unlocked(&scene) else { return };
    opened(&page, "healed");
    let [backup] = &scene.backups()[..] else { panic!("one fix, one backup: {:?}", scene.backups()) };
    let asked = page.press_and_confirm("#happened [data-act=rollback]");
    assert_says(&asked, &["Roll back?", "Roll back to backup_", "Its files are put back as they were"]);
    page.until_says("#said", &format!("Rolled back to backup {backup}"));
    assert_eq!(scene.program(), PROGRAM);
    page.until_says("#happened", "rolled back by operator");
    page.until_says("#needs", "Left alone until you release it");
    assert_eq!(
        page.browser.js("document.querySelectorAll('#happened [data-act=rollback]').length"),
        0,
        "once is enough"
    );
}

#[test]
fn fixes_are_paused_and_resumed_by_buttons() {
    let scene = scene(|_| {});
    scene.heal().expect_code(0);
    let Some(page) = Page::unlocked(&scene) else { return };
    page.until_verdict("All is well");
    assert_says(&page.shown("#verdict"), &["enabled: fixes are made"]);
    page.browser.click("#verdict [data-act=pause]");
    page.browser.until("document.querySelector('#ask').open");
    assert_says(&page.shown("#ask"), &["Pause 1 h?", "Checks and alerts go on", "Reason"]);
    page.browser.run("document.querySelector('#reason').select()");
    page.browser.press(&format!("deploy of release 7{ENTER}"));
    page.until_verdict("All is well, but fixes are paused");
    assert_says(&page.shown("#verdict"), &["paused: nothing is changed", "deploy of release 7", "59:", " left"]);
    scene.log_errors(20);
    scene.heal().expect_code(10);
    assert_eq!(scene.program(), PROGRAM, "it is true");

    page.press_and_confirm("#verdict [data-act=resume]");
    page.until_says("#verdict", "enabled: fixes are made");
    assert!(!page.shown("#verdict").contains("deploy of release 7"));
    page.until_says("#happened", "resumed");
}
