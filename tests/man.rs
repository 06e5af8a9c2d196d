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

/// Every page of `man/`, by its file's name.
fn pages() -> Vec<String> {
    let dir = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("man")).unwrap();
    let mut names: Vec<String> = dir.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_pages_are_those_that_the_binary_writes() {
    let root = Root::new();
    let made = root.path("man");
    spawn_command(root.bare_command(&["man", made.to_str().unwrap()])).wait().expect_code(0);
    let mut names: Vec<String> =
        std::fs::read_dir(&made).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(pages(), names, "`cargo run -- man man` writes what is missing");
    for name in names {
        let [ours, its] = [page(&name), made.join(&name)].map(|path| std::fs::read_to_string(path).unwrap());
        assert!(ours == its, "man/{name} is not current: `cargo run -- man man` renews it");
    }
}

/// The texts between `.EX` and `.EE` of a section of a page, as they are shown.
fn examples(name: &str, section: &str) -> Vec<String> {
    let text = std::fs::read_to_string(page(name)).unwrap();
    let heading = format!(".SH {section}\n");
    let of_section = text.split(&heading).nth(1).unwrap().split("\n.SH ").next().unwrap();
    let blocks = of_section.split(".EX\n").skip(1).map(|rest| rest.split(".EE").next().unwrap());
    blocks.map(|block| block.replace("\\-", "-").replace("\\e", "\\")).collect()
}

/// The `data` of a command that must succeed with a configuration.
#[track_caller]
fn answer(configuration: &str, args: &[&str]) -> serde_json::Value {
    let root = Root::new();
    let path = root.write("written.toml", configuration);
    let arguments = [args, &["--json", "-c", path.to_str().unwrap()]].concat();
    let ran = spawn_command(root.bare_command(&arguments)).wait();
    assert_eq!(ran.code, Some(0), "{configuration}\n{}", ran.output());
    ran.data()
}

#[test]
fn the_examples_of_healer_rules_7_are_one_configuration_whose_tests_pass() {
    let configuration = examples("healer-rules.7", "EXAMPLES").concat();
    let tested = answer(&configuration, &["rules", "test"]);
    let tests = tested["tests"].as_array().unwrap();
    assert_eq!(
        tests.len(),
        configuration.matches("[[rule.test]]").count() + 2,
        "and two lines of a signature: {tested:#}"
    );
    assert!(tests.iter().all(|test| test["differences"].as_array().unwrap().is_empty()), "{tested:#}");
    assert_eq!(tested["untested"].as_array().map(Vec::len), Some(0), "{tested:#}");
}

#[test]
fn what_healer_rules_7_shows_of_a_rule_is_taken_as_it_stands() {
    const HOST: &str = r#"
[allow]
files = ["/srv/shop/**"]
containers = ["shop-*"]
units = ["shop.service"]
commands = [["/usr/local/bin/spool", "--pause"], ["/usr/local/bin/spool", "--resume"]]
postgres = ["database"]
redis = ["redis"]
[checks.docker]
[checks.http.api]
url = "http://127.0.0.1:8000/"
[checks.postgres.database]
url = "postgres://healer@127.0.0.1/shop"
[checks.redis.redis]
url = "redis://127.0.0.1/"
queues = [{ key = "celery", warning = 1000 }]
[logs.docker]
[logs.journal.shop]
unit = "shop.service"
[[rule]]
name = "shown"
issue_type = "rate_limiting"
confidence = 88
"#;
    const WHEN: &str = "when = { log = \"container:shop-worker\", signature = \"rate_limit\", count = 5 }\n";
    const FIX: &str = "[[rule.fix]]\nfix_type = \"increase_delay\"\n\
                       steps = [{ edit = \"/srv/shop/worker.py\", at = \"call asyncio.sleep\", multiply = 1.5, max = 5 }]\n";
    let check = |section: &str, rules: &dyn Fn(&str) -> Vec<String>, least: usize| {
        let written: Vec<String> = examples("healer-rules.7", section).iter().flat_map(|block| rules(block)).collect();
        assert!(written.len() >= least, "{section}: {written:?}");
        for rule in written {
            answer(&format!("{HOST}{rule}"), &["config", "show"]);
            if rule.contains("[[rule.test]]") {
                answer(&format!("{HOST}{rule}"), &["rules", "test"]);
            }
        }
    };
    let lines = |block: &str| block.lines().map(str::to_owned).collect::<Vec<_>>();
    check("WHEN", &lines, 5);
    check("EVIDENCE", &|block| vec![format!("{WHEN}{block}")], 1);
    let alone = |step: String| format!("{WHEN}[[rule.fix]]\nfix_type = \"x\"\nsteps = [{step}]\n");
    check("FIXES", &|block| lines(block).into_iter().map(alone).collect(), 10);
    check("VALIDATE", &|block| vec![format!("{WHEN}{FIX}{block}")], 1);
    check("LIMITS", &|block| vec![format!("{WHEN}{FIX}{block}")], 1);
    let against = "evidence = [{ check = \"database\", is = \"critical\", add = -40 }]\n";
    check("TESTS", &|block| vec![format!("{WHEN}{against}{FIX}{block}")], 1);
}

#[test]
fn healer_rules_7_names_every_reason_to_hold() {
    let gate = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gate.rs")).unwrap();
    let words = gate.split("pub fn word(").nth(1).unwrap().split("\n    }\n").next().unwrap().split('"');
    let words: BTreeSet<&str> = words.skip(1).step_by(2).collect();
    assert!(words.len() > 15, "{words:?}");
    let text = std::fs::read_to_string(page("healer-rules.7")).unwrap();
    let list = text.split("first of these reasons:\n").nth(1).unwrap().split(".\nOne that").next().unwrap();
    let named = list.split([' ', '\n', '"', ',']).filter(|word| !word.is_empty() && !word.starts_with('.'));
    assert_eq!(named.collect::<BTreeSet<_>>(), words);
}

#[test]
fn mandoc_has_nothing_to_say_of_the_pages() {
    for name in pages() {
        let ran = match Command::new("mandoc").args(["-Tlint", "-W", "warning"]).arg(page(&name)).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return skip("mandoc is not installed"),
            ran => ran.unwrap(),
        };
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "", "{name}");
    }
}

#[test]
fn man_shows_the_pages_without_a_warning() {
    for name in pages() {
        let least = if name.contains("healer-") && name.ends_with(".1") { 10 } else { 100 };
        let name = name.as_str();
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
        assert!(String::from_utf8_lossy(&ran.stdout).lines().count() > least, "{name}");
    }
}
