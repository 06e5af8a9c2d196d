//! What programs read stays: every key of every command's document, with its type, is committed (`tests/golden/keys`) and
//! described in healer-json(7). A key that is gone or has become something else fails; a new one asks for its place.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use support::{Root, Shop, check_keys as check, committed_keys as committed, golden, healer};

/// The document of a command, wrapper included.
fn document(root: &Root, args: &[&str]) -> Value {
    healer(root, &[args, &["--json"]].concat()).json()
}

#[test]
fn what_is_read_only_keeps_its_keys() {
    let (quiet, past) = (Shop::quiet(), Shop::with_a_past());
    past.failures(3, "rate-limit-delay");
    healer(&past.root, &["pause", "2h", "--reason", "deploying"]).expect_code(0);
    let incident = past.root.state_lines("events.jsonl");
    let incident = incident.iter().rev().find_map(|e| e["alert"]["incident"].as_str()).unwrap();
    healer(&past.root, &["ack", incident]).expect_code(0);
    let both = |args: &[&str]| [document(&quiet.root, args), document(&past.root, args)];
    check("check", &both(&["check"]));
    check("diagnose", &both(&["diagnose"]));
    check("diagnose-rule", &[both(&["diagnose", "rate-limit-delay"]), both(&["diagnose", "queue-grows"])].concat());
    let log = past.root.path("worker.log").display().to_string();
    check("diagnose-log", &both(&["diagnose", "--log", &log]));
    check("status", &both(&["status"]));
    check("history", &both(&["history"]));
    past.fix_figures();
    check("stats", &both(&["stats"]));
    check("backups-list", &both(&["backups", "list"]));
    check("backups-verify", &both(&["backups", "verify"]));
    check("backups-prune", &both(&["backups", "prune", "-n", "--keep-last", "1", "--keep-within", "1s"]));
    check("rules-list", &both(&["rules", "list"]));
    check("rules-show", &both(&["rules", "show", "rate-limit-delay"]));
    check("rules-test", &both(&["rules", "test"]));
    check("rules-try", &both(&["rules", "try", "rate-limit-delay", "try.log"]));
    check("config-check", &both(&["config", "check"]));
    check("config-show", &both(&["config", "show"]));
    check("replay", &[replayed(&quiet), replayed(&past)]);
}

fn replayed(shop: &Shop) -> Value {
    healer(&shop.root, &["heal", "-n", "--record", "pass"]);
    document(&shop.root, &["replay", "pass"])
}

#[test]
fn what_acts_keeps_its_keys() {
    let quiet = document(&Shop::quiet().root, &["heal"]);
    let (helped, not_helped) = (Shop::quiet(), Shop::quiet());
    helped.helped();
    let healed = document(&helped.root, &["heal"]);
    let _burst = not_helped.not_helped();
    let rolled_back = document(&not_helped.root, &["heal"]);
    assert_eq!(
        (&healed["data"]["fix"]["outcome"], &rolled_back["data"]["fix"]["outcome"]),
        (&"healed".into(), &"rolled_back".into())
    );
    check("heal", &[quiet, healed, rolled_back]);

    check("backups-show", &[document(&helped.root, &["backups", "show", "latest"])]);
    check("rollback-dry-run", &[document(&helped.root, &["rollback", "-n", "latest"])]);
    check("rollback", &[document(&helped.root, &["rollback", "latest"])]);
    let target = format!("{}#database.pool_size", helped.root.path("worker/settings.toml").display());
    check("reset", &[document(&helped.root, &["reset", &target])]);
    let pause = ["pause", "2h", "--reason", "deploying"];
    let of_rule = [&pause[..], &["--rule", "database-pool"]].concat();
    check("pause", &[document(&helped.root, &pause), document(&helped.root, &of_rule)]);
    check("resume", &[document(&helped.root, &["resume"])]);
    let wrong = Shop::quiet();
    wrong.check("api", 2, "CRITICAL - HTTP 503");
    wrong.pass(10);
    let open = document(&wrong.root, &["status"]);
    let incident = open["data"]["incidents"][0]["id"].as_str().unwrap();
    check(
        "ack",
        &[document(&wrong.root, &["ack", incident]), document(&wrong.root, &["ack", incident, "--for", "2h"])],
    );
    let text = wrong.root.read_text("healer.toml");
    let silent = document(&wrong.root, &["notify", "test"]);
    wrong.root.write("healer.toml", format!("{text}\n[alerts]\ncommand = [[\"/bin/true\"], [\"/bin/false\"]]\n"));
    check("notify-test", &[silent, document(&wrong.root, &["notify", "test"])]);
    std::fs::create_dir(wrong.root.path("requests")).unwrap();
    check("requests", &[document(&wrong.root, &["requests", "requests"])]);
    check("completions", &[document(&wrong.root, &["completions", "bash"])]);
    check("man", &[document(&wrong.root, &["man", "pages"])]);
}

#[test]
fn an_error_keeps_its_keys_whatever_it_is() {
    let shop = Shop::quiet();
    let unknown = document(&shop.root, &["diagnose", "nothing"]);
    let no_backup = document(&shop.root, &["backups", "show", "backup_20250101_000000"]);
    let misused = document(&shop.root, &["stats", "--bogus"]);
    check("error", &[unknown, no_backup, misused]);
    shop.root.write("healer.toml", "mode = 1\n");
    check("config-check-error", &[document(&shop.root, &["config", "check"])]);
}

/// Where the objects are that healer-json(7) describes: its section, a document, a path in it, and keys that are not of the
/// object itself.
const DESCRIBED: &[(&str, &str, &str, &[&str])] = &[
    ("check", "check", "data", &[]),
    ("a check", "check", "data.checks.*", &["connections", "jobs"]),
    ("a metric", "check", "data.checks.*.metrics[]", &[]),
    ("heal", "heal", "data", &[]),
    ("diagnose", "diagnose-rule", "data", &["of heal"]),
    ("a rule that was asked for", "diagnose-rule", "data.rule", &[]),
    ("a condition", "diagnose-rule", "data.rule.conditions[]", &[]),
    ("logs", "heal", "data.logs", &[]),
    ("an error group", "heal", "data.logs.groups[]", &[]),
    ("a diagnosis", "heal", "data.diagnoses[]", &[]),
    ("a signal", "heal", "data.diagnoses[].signals[]", &[]),
    ("a plan", "heal", "data.fix.plan", &[]),
    ("a fix", "heal", "data.fix", &[]),
    ("status", "status", "data", &[]),
    ("an incident", "status", "data.incidents[]", &[]),
    ("a pause", "status", "data.pauses[]", &[]),
    ("a circuit", "status", "data.circuits[]", &[]),
    ("history", "history", "data", &[]),
    ("an item of history", "history", "data.items[]", &[]),
    ("stats", "stats", "data", &[]),
    ("backups list", "backups-list", "data", &[]),
    ("a backup", "backups-list", "data.backups[]", &[]),
    ("backups show", "backups-show", "data", &["of a backup"]),
    ("backups verify", "backups-verify", "data", &[]),
    ("backups prune", "backups-prune", "data", &[]),
    ("rollback", "rollback", "", &[]),
    ("init", "init", "data", &[]),
    ("what init found", "init", "data.found", &[]),
    ("rules list", "rules-list", "data", &[]),
    ("a rule", "rules-list", "data.rules[]", &[]),
    ("rules show", "rules-show", "data", &[]),
    ("rules test", "rules-test", "data", &[]),
    ("rules try", "rules-try", "data", &[]),
    ("config check", "config-check", "data", &[]),
    ("config show", "config-show", "data", &[]),
    ("pause", "pause", "data", &[]),
    ("resume", "resume", "data", &[]),
    ("ack", "ack", "data", &[]),
    ("reset", "reset", "data", &[]),
    ("notify test", "notify-test", "data", &[]),
    ("replay", "replay", "data", &[]),
    ("requests", "requests", "data", &[]),
    ("completions", "completions", "data", &[]),
    ("man", "man", "data", &[]),
];

/// The keys of an object, of those that are committed.
fn keys_of(document: &str, path: &str) -> BTreeSet<String> {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    let keys = committed(document);
    let below = keys.keys().filter_map(|key| key.strip_prefix(&prefix));
    below.filter(|rest| !rest.contains(['.', '['])).map(str::to_owned).collect()
}

/// The tags of each section of the page.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("man/healer-json.7");
    let text = std::fs::read_to_string(page).unwrap();
    let sections = text.split("\n.SS ").skip(1).map(|section| section.split("\n.SH ").next().unwrap());
    let tags = |section: &str| {
        let (title, body) = section.split_once('\n').unwrap();
        let keys = body.split(".TP\n.B ").skip(1).map(|tag| tag.lines().next().unwrap().to_owned()).collect();
        (title.trim_matches('"').to_owned(), keys)
    };
    sections.map(tags).collect()
}

#[test]
fn the_page_describes_every_key_and_no_other() {
    let page = described();
    let sections: BTreeSet<&str> = page.keys().map(String::as_str).filter(|s| *s != "every document").collect();
    assert_eq!(
        sections,
        DESCRIBED.iter().map(|(section, ..)| *section).collect(),
        "a section without an object, or the other way round"
    );
    for (section, document, path, others) in DESCRIBED {
        let mut keys = keys_of(document, path);
        for other in *others {
            match other.strip_prefix("of ") {
                Some(elsewhere) => keys.retain(|key| !page[elsewhere].contains(key)),
                None => drop(keys.remove(*other)),
            }
        }
        assert_eq!(page[*section], keys, "{section}");
    }
    // Each document that is committed is described.
    let of_errors = ["error", "config-check-error", "diagnose", "diagnose-log", "rollback-dry-run"];
    for file in std::fs::read_dir(golden("keys")).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(of_errors.contains(&name.as_str()) || DESCRIBED.iter().any(|(_, of, ..)| *of == name), "{name}");
    }
}
