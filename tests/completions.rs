//! What is made from the definition of the command line: completions of shells, and a manual page for each command.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::PathBuf;
use std::process::Command;
use support::{Root, skip, spawn_command};

/// The completions of a shell, in a file.
fn completions(root: &Root, shell: &str) -> PathBuf {
    let script = spawn_command(root.bare_command(&["completions", shell])).wait().expect_code(0).stdout;
    assert!(script.contains("rollback") && script.contains("dry-run"), "{shell}");
    root.write(format!("completions.{shell}"), script)
}

#[test]
fn bash_completes_commands_options_and_words() {
    let root = Root::new();
    let script = completions(&root, "bash");
    let check = |words: &[&str], expected: &[&str]| {
        let typed = words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(" ");
        let last = words.len() - 1;
        let program = format!(
            "source '{}'; COMP_WORDS=({typed}); COMP_CWORD={last}; _healer healer '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words[last],
            words[last - 1]
        );
        let ran = Command::new("bash").args(["--norc", "-c", &program]).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let words = String::from_utf8(ran.stdout).unwrap();
        let found: Vec<&str> = words.split_whitespace().collect();
        assert!(expected.iter().all(|word| found.contains(word)), "{typed}: {found:?}");
    };
    let syntax = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(syntax.status.success(), "{}", String::from_utf8_lossy(&syntax.stderr));
    check(&["healer", "ro"], &["rollback"]);
    check(&["healer", "config", ""], &["check", "show", "schema"]);
    check(&["healer", "config", "check", "--o"], &["--offline"]);
    check(&["healer", "completions", "f"], &["fish"]);
}

#[test]
fn zsh_and_fish_take_their_completions() {
    let root = Root::new();
    for (shell, option) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = completions(&root, shell);
        match Command::new(shell).arg(option).arg(script).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => skip(&format!("{shell} is not installed")),
            ran => {
                let ran = ran.unwrap();
                assert!(ran.status.success(), "{shell}: {}", String::from_utf8_lossy(&ran.stderr));
            }
        }
    }
}

#[test]
fn every_command_has_a_manual_page_that_man_takes() {
    let root = Root::new();
    let dir = root.path("pages/man1");
    let args = ["man", dir.to_str().unwrap(), "--json"];
    let data = spawn_command(root.bare_command(&args)).wait().expect_code(0).data();
    let pages: Vec<&str> = data["pages"].as_array().unwrap().iter().map(|page| page.as_str().unwrap()).collect();
    for page in [
        "healer.1",
        "healer.toml.5",
        "healer-json.7",
        "healer-heal.1",
        "healer-config.1",
        "healer-config-check.1",
        "healer-rules-test.1",
    ] {
        assert!(pages.contains(&page), "{pages:?}");
    }
    for page in pages {
        let text = std::fs::read_to_string(dir.join(page)).unwrap();
        assert!(text.lines().any(|line| line.starts_with(".TH ")), "{page}");
        let mut man = Command::new("man");
        man.args(["--warnings", "--encoding=UTF-8", "-l"])
            .arg(dir.join(page))
            .env("MANWIDTH", "100")
            .env("LC_ALL", "C.UTF-8");
        let ran = match man.output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return skip("man is not installed"),
            ran => ran.unwrap(),
        };
        assert_eq!((ran.status.success(), &*String::from_utf8_lossy(&ran.stderr)), (true, ""), "{page}");
    }
}
