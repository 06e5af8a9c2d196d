//! The manual pages say everything that is there and nothing that is not: commands and options as `--help` knows them,
//! configuration keys as the types of the configuration have them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use healer::config::{EVERY_CHECK, MANUAL_SECTIONS};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Root, skip, spawn_command};

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(name)
}

/// The lines of a page by subsection (`.SS`), a section's (`.SH`) own lines under the section's name; `\-` and fonts are gone.
fn sections(name: &str) -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(page(name)).unwrap().replace("\\-", "-").replace("\\fI", "").replace("\\fR", "");
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        let heading = line.strip_prefix(".SS ").or(line.strip_prefix(".SH "));
        match heading {
            Some(heading) => current = heading.trim_matches('"').to_owned(),
            None => found.entry(current.clone()).or_default().push(line.to_owned()),
        }
    }
    found
}

/// The words of the tags of a section: the line behind each `.TP`, up to a ` = `.
fn tags(lines: &[String]) -> BTreeSet<String> {
    let behind = lines.windows(2).filter(|pair| pair[0] == ".TP").map(|pair| pair[1].as_str());
    let words = behind.flat_map(|tag| {
        let keys = tag.split_once(" \" = ").map_or_else(|| tag.split(" = ").next().unwrap(), |(keys, _)| keys);
        keys.split_whitespace().skip(1).map(|word| word.trim_matches(['"', ',', '.']).to_owned()).collect::<Vec<_>>()
    });
    words.filter(|word| !word.is_empty()).collect()
}

fn help(command: &[&str]) -> String {
    let root = Root::new();
    let mut arguments = command.to_vec();
    arguments.push("--help");
    spawn_command(root.bare_command(&arguments)).wait().expect_code(0).stdout
}

/// Names below `Commands:`.
fn commands_of(help: &str) -> Vec<String> {
    let below = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let entries = below.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    entries.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// `--name` of every option that has a line of its own.
fn long_options(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', ',']).filter(|w| w.starts_with("--")).take(1));
    words.map(str::to_owned).collect()
}

/// `--name` at the beginning of a tag.
fn documented_options(lines: &[String]) -> BTreeSet<String> {
    tags(lines).into_iter().filter(|tag| tag.starts_with("--")).collect()
}

#[test]
fn every_command_has_a_section_with_exactly_its_own_options() {
    let page = sections("healer.1");
    let top = help(&[]);
    let global = long_options(&top);
    assert_eq!(documented_options(&page["OPTIONS"]), global);
    let mut commands: Vec<Vec<String>> = Vec::new();
    for name in commands_of(&top) {
        let below = if name == "help" { Vec::new() } else { commands_of(&help(&[&name])) };
        commands.extend(below.into_iter().filter(|n| n != "help").map(|n| vec![name.clone(), n]));
        commands.push(vec![name]);
    }
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let name = command.join(" ");
        let section = page.get(&name).unwrap_or_else(|| panic!("healer.1 has no section for `{name}`"));
        if name != "help" {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            let own: BTreeSet<String> = long_options(&help(&words)).difference(&global).cloned().collect();
            assert_eq!(documented_options(section), own, "{name}");
        }
    }
}

/// Keys of the configuration by the section that documents them, from the source of its types.
fn keys_of_the_types() -> BTreeMap<String, BTreeSet<String>> {
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/raw.rs")).unwrap();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut place, mut renamed, mut of_check) = (String::new(), None, false);
    for line in source.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.split_whitespace().next()) {
            let known = MANUAL_SECTIONS.iter().find(|(of, _)| *of == name);
            place = known.unwrap_or_else(|| panic!("say here where {name} is documented")).1.to_owned();
            of_check = place.starts_with("[checks.");
        } else if let Some(rest) = line.strip_prefix("#[serde(rename = \"") {
            renamed = rest.split('"').next().map(str::to_owned);
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": ")) {
            let key = renamed.take().unwrap_or_else(|| field.to_owned());
            let shared = of_check && ["enabled", "timeout", "depends_on", "container"].contains(&key.as_str());
            let section = if shared { EVERY_CHECK } else { &place };
            found.entry(section.to_owned()).or_default().insert(key);
        }
    }
    found
}

#[test]
fn every_configuration_key_is_documented_in_its_section_and_no_other_is() {
    let page = sections("healer.toml.5");
    let types = keys_of_the_types();
    assert!(types.values().map(BTreeSet::len).sum::<usize>() > 100, "{types:?}");
    for (section, keys) in types {
        let lines = page.get(&section).unwrap_or_else(|| panic!("healer.toml.5 has no section {section}"));
        assert_eq!(tags(lines), keys, "{section}");
    }
}

#[test]
fn man_shows_the_pages_without_a_warning() {
    for name in ["healer.1", "healer.toml.5"] {
        let mut command = Command::new("man");
        command
            .args(["--warnings", "--encoding=UTF-8", "-l"])
            .arg(page(name))
            .env("MANWIDTH", "100")
            .env("LC_ALL", "C.UTF-8");
        let ran = match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return skip("man is not installed"),
            ran => ran.unwrap(),
        };
        assert!(ran.status.success());
        assert_eq!(String::from_utf8_lossy(&ran.stderr), "", "{name}");
        assert!(String::from_utf8_lossy(&ran.stdout).lines().count() > 100, "{name}");
    }
}
