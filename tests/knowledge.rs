//! The knowledge base and the state directory under bad input: foreign lines are skipped, counted and told; a full disk
//! stops a fix before anything is changed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::process::Command;
use support::{Scene, healer, is_root, skip};

const PYTHON: &str = r#"{"timestamp": "2025-10-19T17:00:00.123456", "issue_type": "rate_limiting", "fix_type": "increase_delay", "original_confidence": 95, "result_status": "success", "validation_status": "passed", "success": true, "error_count_after": 0}"#;

fn knowledge_base(lines: &[&[u8]]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

#[test]
fn foreign_torn_and_binary_lines_are_skipped_counted_and_told() {
    let scene = Scene::new(|_| {});
    let long = vec![b'x'; 300_000];
    let recent = PYTHON.replace("2025-10-19", &jiff::Timestamp::now().strftime("%Y-%m-%d").to_string());
    let lines: &[&[u8]] = &[
        recent.as_bytes(),
        b"{\"timestamp\": \"2025-10-19T17:00",
        b"\x00\xff\xfe binary",
        b"[]",
        b"{\"other\": \"program\"}",
        &long,
        recent.as_bytes(),
    ];
    let text = knowledge_base(lines);
    scene.root.write("state/fix_knowledge_base.jsonl", &text);
    let ran = healer(&scene.root, &["stats"]).expect_code(0);
    assert!(ran.stderr.contains("5 lines could not be read"), "{}", ran.stderr);
    assert!(ran.stderr.contains("the first is line 2"), "{}", ran.stderr);
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!((&stats["total_fixes"], &stats["skipped_lines"]), (&2.into(), &5.into()), "{stats:#}");

    // They count for confidence, and a new record comes after them without rewriting a byte.
    scene.log_errors(20);
    let pass = scene.heal_json(&[], 0);
    assert_eq!(pass["fix"]["plan"]["confidence"], 94, "{:#}", pass["fix"]);
    let after = scene.root.read("state/fix_knowledge_base.jsonl");
    assert!(after.starts_with(&text) && after.ends_with(b"\"}\n"));
}

#[test]
fn a_torn_last_line_spoils_nothing_but_itself() {
    let scene = Scene::new(|_| {});
    scene.root.write("state/fix_knowledge_base.jsonl", format!("{PYTHON}\n{{\"timestamp\": \"2025-"));
    scene.log_errors(20);
    scene.heal().expect_code(0);
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!((&stats["total_fixes"], &stats["skipped_lines"]), (&2.into(), &1.into()), "{stats:#}");
}

#[test]
fn stats_have_the_shape_of_the_api() {
    let scene = Scene::new(|_| {});
    let empty = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    assert_eq!((&empty["total_fixes"], &empty["success_rate"]), (&0.into(), &serde_json::Value::Null));
    assert_eq!((&empty["by_type"], &empty["last_updated"]), (&serde_json::json!({}), &serde_json::Value::Null));
    let failed = PYTHON.replace("\"success\": true", "\"success\": false").replace("2025-10", "2025-11");
    let lines: Vec<&[u8]> = [PYTHON, PYTHON, PYTHON, &failed].into_iter().map(str::as_bytes).collect();
    scene.root.write("state/fix_knowledge_base.jsonl", knowledge_base(&lines));
    let stats = healer(&scene.root, &["stats", "--json"]).expect_code(0).data();
    let of_type = serde_json::json!({ "total": 4, "successes": 3, "success_rate": 0.75 });
    assert_eq!(stats["by_type"], serde_json::json!({ "increase_delay": of_type }));
    assert_eq!((&stats["total_fixes"], &stats["success_rate"]), (&4.into(), &0.75.into()));
    assert_eq!(stats["last_updated"], "2025-11-19T17:00:00Z");
    let recent = healer(&scene.root, &["stats", "--json", "--since", "1d"]).expect_code(0).data();
    assert_eq!(recent["total_fixes"], 0);
    healer(&scene.root, &["stats", "--since", "soon"]).expect_code(2);
}

#[test]
fn damaged_state_is_told_and_the_pass_goes_on() {
    let check = |name: &str, text: &[u8]| {
        let scene = Scene::new(|_| {});
        scene.root.write(format!("state/{name}"), text);
        scene.log_errors(20);
        let ran = scene.heal().expect_code(0);
        assert!(ran.stderr.contains(name), "{name} is not told:\n{}", ran.stderr);
        scene.assert_program("1.2");
    };
    check("state.json", b"{\"incidents\": 7}");
    check("cursors.json", b"\xff\xff");
}

#[test]
fn with_a_damaged_journal_nothing_is_changed() {
    let scene = Scene::new(|_| {});
    scene.root.write("state/journal/fix_x.jsonl", "{\"v\":");
    scene.log_errors(20);
    let ran = scene.heal().expect_code(1);
    assert!(ran.stderr.contains("fix_x.jsonl is damaged"), "{}", ran.stderr);
    scene.assert_program("0.8");
}

#[test]
fn an_unreadable_state_directory_is_named_with_what_to_do() {
    let scene = Scene::new(|_| {});
    scene.root.write("state", "a file is in the way");
    scene.log_errors(20);
    let ran = scene.heal().expect_code(1);
    assert!(
        ran.stderr.contains("cannot use the state directory") && ran.stderr.contains("--state-dir"),
        "{}",
        ran.stderr
    );
    scene.assert_program("0.8");
}

/// A small file system of the test's own, unmounted when dropped.
struct Tmpfs(String);

impl Tmpfs {
    fn mount(path: &std::path::Path, size: &str) -> Option<Tmpfs> {
        std::fs::create_dir_all(path).unwrap();
        let path = path.display().to_string();
        let options = format!("size={size}");
        let args = ["-t", "tmpfs", "-o", &options, "healer-test", &path];
        let mounted = Command::new("mount").args(args).status().is_ok_and(|s| s.success());
        mounted.then_some(Tmpfs(path))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", &self.0]).status();
    }
}

#[test]
fn a_disk_that_is_full_while_backing_up_changes_nothing() {
    if !is_root() {
        return skip("mounting needs root");
    }
    let scene = Scene::new(|_| {});
    // The program needs more room for its backup than is left, the small state files do not.
    scene.root.write(support::PROGRAM_PATH, format!("{}\r\n# {}", support::PROGRAM, "x".repeat(400_000)));
    let Some(_mounted) = Tmpfs::mount(&scene.root.state_dir(), "512k") else { return skip("no tmpfs can be mounted") };
    scene.root.write("state/ballast", vec![0; 250_000]);
    let before = support::Tree::of(&scene.root.path("worker"));
    scene.log_errors(20);
    let ran = scene.heal().expect_code(1);
    for text in ["cannot make a backup", "nothing was changed", "No space left on device"] {
        assert!(ran.stderr.contains(text), "{text:?} is not in\n{}", ran.stderr);
    }
    before.assert_unchanged(&support::Tree::of(&scene.root.path("worker")));
    assert!(scene.backups().is_empty() && scene.records().is_empty() && !scene.is_open());

    // Nothing was done, so no limit counts it and nothing that was seen is stale.
    std::fs::remove_file(scene.root.path("state/ballast")).unwrap();
    assert_eq!(scene.heal_json(&[], 0)["fix"]["outcome"], "healed");
}

#[test]
fn a_full_disk_keeps_no_pass_from_telling_what_is_wrong() {
    if !is_root() {
        return skip("mounting needs root");
    }
    let scene = Scene::new(|p| p.fixes = String::new());
    let Some(_mounted) = Tmpfs::mount(&scene.root.state_dir(), "64k") else { return skip("no tmpfs can be mounted") };
    std::fs::create_dir_all(scene.root.path("state/journal")).unwrap();
    std::fs::create_dir_all(scene.root.path("state/backups")).unwrap();
    scene.root.write("state/lock", "");
    // Writes what fits and fails.
    let _ = std::fs::write(scene.root.path("state/ballast"), vec![0; 100_000]);
    scene.log_errors(20);
    let ran = scene.heal().expect_code(1);
    assert!(ran.stdout.contains("rate_limiting file:worker"), "{}", ran.output());
    assert!(ran.stderr.contains("alert     held: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
}

#[test]
fn where_there_is_nothing_to_count_one_sentence_says_so_and_what_to_do() {
    let scene = Scene::new(|_| {});
    let check = |arguments: &[&str], first: &str, headers: &[&str]| {
        let text = healer(&scene.root, arguments).expect_code(0).stdout;
        assert!(text.starts_with(first), "{text}");
        let found: Vec<&str> = text.split("\n\n").skip(1).map(|table| table.split("  ").next().unwrap()).collect();
        assert_eq!(found, headers, "{text}");
    };
    check(&["stats"], "no fix is recorded yet: `healer heal -n` shows", &[]);
    let unproven = PYTHON.replace(": \"success\"", ": \"unproven\"").replace("true", "false");
    scene.root.append("state/fix_knowledge_base.jsonl", format!("{unproven}\n"));
    check(&["stats"], "fixes: 1; none of them says yet", &["OUTCOME", "UNPROVEN"]);
    check(&["stats", "--since", "1d"], "no fix is recorded in the last 1d: `healer stats` without --since", &[]);
    scene.root.append("state/fix_knowledge_base.jsonl", format!("{PYTHON}\n"));
    check(&["stats"], "fixes: 2; of 1 decided ones 1 worked", &["FIX TYPE", "OUTCOME", "CONFIDENCE", "UNPROVEN"]);
}
