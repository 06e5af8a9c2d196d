//! Configurations as operators break them, and what `healer config check` says of each, word for word
//! (`tests/config/broken`; the laws of the compiler one by one are in `src/config/tests/broken.txt`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::{Path, PathBuf};
use support::{Look, Mask, Root, assert_fits, assert_golden, healer, run_looked, without_escapes};

/// Every broken configuration, by its name.
fn broken() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/broken");
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    found.sort();
    found
}

#[test]
fn each_is_refused_in_these_words_with_its_place() {
    let all = broken();
    assert!(all.len() >= 20, "{all:#?}");
    for path in all {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let root = Root::in_tmp();
        root.config(&std::fs::read_to_string(&path).unwrap());
        let before = root.snapshot();
        let ran = run_looked(&root, &["config", "check"], Look { width: 80, color: false }).expect_code(78);
        assert_eq!(ran.stderr, "", "{name}");
        assert_fits(&ran, 80);
        let text = Mask::new(&root).of(&ran.stdout);
        // Each error has its line, the line itself and a caret below it.
        let errors = text.lines().filter(|line| line.starts_with("error: ")).count();
        for part in ["healer.toml:", "^"] {
            let found = text.lines().filter(|line| line.contains(part)).count();
            assert!(errors > 0 && found >= errors, "{name}: {part}\n{text}");
        }
        assert!(!text.contains("hunter2"), "{name}: {text}");
        assert_golden(&format!("../config/broken/{name}.txt"), &text);

        // Whatever is typed, nothing is run, and the same is said.
        let heal = healer(&root, &["heal"]).expect_code(78);
        let said = Mask::new(&root).of(&without_escapes(&heal.stderr));
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&said).ends_with(&words(&text)), "{name}: {said}");
        before.assert_unchanged(&root.snapshot());
    }
}
