//! What is shown as in force, and the schema: made from the types, so that neither can miss a key or tell another default.

use super::{FixedSecrets, compiled};
use crate::config::compile::{Surroundings, compile_in};
use crate::config::expand::{Reference, SecretSource};
use crate::config::*;
use std::collections::BTreeSet;

/// One table of every type, with nothing written in it that may be left out.
const BARE: &str = r#"
[checks.docker]
[checks.postgres.db]
url = "postgres://u@127.0.0.1/d"
queries = [{ name = "n", sql = "select 1", warning_below = 1 }]
[checks.redis.cache]
url = "redis://127.0.0.1/0"
queues = [{ key = "q", warning = 1 }]
[checks.http.api]
url = "http://127.0.0.1/"
[checks.tcp.smtp]
address = "127.0.0.1:25"
[checks.command.raid]
command = ["/bin/true"]
[logs.docker]
[logs.files.app]
path = "/var/log/app.log"
[logs.journal.shop]
unit = "shop.service"
[metrics]
textfile = "/var/lib/x.prom"
[[maintenance]]
name = "night"
from = "02:00"
to = "03:00"
[alerts]
webhook = [{ url = "https://hooks.example.org/x" }]
[[signature]]
name = "s"
category = "c"
pattern = "boom"
[[rule]]
name = "log"
when = { log = "container:web", signature = "s" }
issue_type = "x"
confidence = 90
require = ["db", { container = "web", state = "exited" }]
evidence = [{ log = "file:app", match = "bang", add = 1 }, { check = "db", is = "critical", add = 2 }]
[[rule.fix]]
fix_type = "f"
steps = [
  { edit = "/srv/a.toml", at = "a.b", multiply = 1.5, max = 10 },
  { edit = "/srv/a.toml", at = "a.c", set = "text" },
  { resize = "container:web", memory = { multiply = 1.5, max = "2g" }, cpus = 2 },
  { run = ["/bin/up"], undo = ["/bin/down"] },
  { postgres = "db", cancel_queries_over = "5m" },
  { redis = "cache", config_set = { timeout = 300, maxmemory = { multiply = 1.5, max = "1g", max_factor = 8 } } },
  { recreate = "compose:shop/api" },
  { restart = "unit:shop.service" },
]
[[rule.test]]
name = "t"
expect = { fires = false }
[[rule]]
name = "check"
when = { check = "host", is = "critical" }
issue_type = "x"
confidence = 90
validate = { window = "20m" }
[[rule]]
name = "metric"
when = { check = "host", metric = "cpu_percent", above = 90 }
issue_type = "x"
confidence = 90
[[rule]]
name = "container"
when = { container = "web", state = "exited" }
issue_type = "x"
confidence = 90
"#;

/// A URL in the place of every secret.
struct AnySecret;

impl SecretSource for AnySecret {
    fn resolve(&self, _: &Reference) -> Result<String, String> {
        Ok("https://example.org/hooks/0123456789abcdef".to_owned())
    }
}

fn engine(text: &str, secrets: &dyn SecretSource) -> Engine {
    let path = std::path::PathBuf::from("healer.toml");
    let surroundings = Surroundings::default();
    let engine = compile_in(vec![(path.clone(), text.to_owned())], secrets, &surroundings);
    let engine = engine.unwrap_or_else(|e| panic!("{}\n{text}", LoadError::new(e)));
    Engine { written: Written { sources: vec![(path, Secret::new(text))], surroundings }, ..engine }
}

/// What is done, without where it is written.
fn meaning(engine: &Engine) -> String {
    format!("{:#?}", Engine { written: Written::default(), warnings: Vec::new(), ..engine.clone() })
}

/// Sound configurations: of the tests, and the examples.
fn sound() -> Vec<(String, String)> {
    let mut found = vec![
        ("bare".to_owned(), BARE.to_owned()),
        ("empty".to_owned(), String::new()),
        // A password that is written as it is is not shown.
        ("example.toml".to_owned(), super::valid::EXAMPLE.replace("p%40ss", "${credential:smtp}")),
    ];
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(examples).unwrap() {
        let file = entry.unwrap().path().join("healer.toml");
        if let Ok(text) = std::fs::read_to_string(&file) {
            found.push((file.display().to_string(), text));
        }
    }
    assert!(found.len() >= 7);
    found
}

#[test]
fn what_is_shown_means_the_same_when_it_is_read_back() {
    for (name, text) in sound() {
        let before = engine(&text, &AnySecret);
        for with_origin in [false, true] {
            let shown = Effective::of(&before).text(with_origin);
            let after = engine(&shown, &AnySecret);
            let (before, after) = (meaning(&before), meaning(&after));
            let first = before.lines().zip(after.lines()).find(|(a, b)| a != b);
            assert!(before == after, "{name}: {first:?}\n{shown}");
        }
    }
}

#[test]
fn each_value_says_where_it_came_from() {
    let text = "confidence_threshold = 90\n[allow]\nunits = [\"a.service\"]\n";
    let mut engine = engine(text, &FixedSecrets);
    let origin = |engine: &Engine, key: &str| {
        let found = Effective::of(engine).settings.into_iter().find(|s| s.key.as_deref() == Some(key)).unwrap();
        (found.value, found.origin.to_string())
    };
    let check = |engine: &Engine, key: &str, value: &str, from: &str| {
        assert_eq!(origin(engine, key), (value.to_owned(), from.to_owned()), "{key}");
    };
    check(&engine, "confidence_threshold", "90", "healer.toml:1");
    check(&engine, "units", "[\"a.service\"]", "healer.toml:3");
    check(&engine, "mode", "\"auto\"", "default");
    check(&engine, "state_dir", "\"/var/lib/healer\"", "default");
    engine.written.surroundings.state_dir_wanted = Some("/tmp/x".into());
    engine.state_dir = "/tmp/x".into();
    check(&engine, "state_dir", "\"/tmp/x\"", "command line --state-dir");
}

#[test]
fn no_secret_is_shown() {
    let text = "[checks.postgres.db]\nurl = \"postgres://u:hunter2hunter2@h/d\"\n[checks.http.a]\nurl = \"http://h/\"\n\
                headers = { Authorization = \"Bearer hunter2hunter2\", X-Api-Key = \"${API_TOKEN}\" }\n\
                [alerts]\nheartbeat = \"https://h/hunter2hunter2\"\n[serve]\ntoken = \"hunter2hunter2hunter2hunter2hunter2\"\n";
    let shown = Effective::of(&engine(text, &FixedSecrets)).text(true);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("X-Api-Key = \"${API_TOKEN}\"") && shown.contains("url = \"postgres://u:***@h/d\""),
        "{shown}"
    );
}

/// Keys of the types by type, from the source; without those that this version refuses.
fn keys_of_the_types() -> BTreeSet<(String, String)> {
    let source =
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/raw.rs")).unwrap();
    let (mut found, mut of, mut renamed) = (BTreeSet::new(), String::new(), None);
    for line in source.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("pub struct ") {
            of = name.split_whitespace().next().unwrap().trim_start_matches("Raw").to_owned();
        } else if let Some(name) = line.strip_prefix("#[serde(rename = \"") {
            renamed = name.split('"').next().map(str::to_owned);
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": ")) {
            let key = renamed.take().unwrap_or_else(|| field.to_owned());
            if of != "RulesFile" {
                found.insert((of.clone(), key));
            }
        }
    }
    found
}

fn keys_of_the_schema() -> BTreeSet<(String, String)> {
    let schema = schema();
    let of = |name: &str, one: &serde_json::Value| {
        let keys = one["properties"].as_object().into_iter().flatten();
        keys.map(|(key, _)| (name.to_owned(), key.clone())).collect::<Vec<_>>()
    };
    let types = schema["$defs"].as_object().unwrap().iter().flat_map(|(name, one)| of(name, one));
    types.chain(of("Config", &schema)).collect()
}

#[test]
fn the_schema_has_exactly_the_keys_of_the_types_each_with_its_description() {
    assert_eq!(keys_of_the_schema(), keys_of_the_types());
    let schema = schema();
    let types = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for (key, value) in types.flat_map(|one| one["properties"].as_object().into_iter().flatten()) {
        assert!(value["description"].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
}

/// Defaults that the manual tells in words, because they depend on something or are a list of everything.
const IN_WORDS: [&str; 18] = [
    "container",
    "containers",
    "checks",
    "cause",
    "days",
    "depends_on",
    "from",
    "include",
    "knowledge_base",
    "labels",
    "max_total_factor",
    "max_window",
    "mode",
    "on",
    "rules",
    "socket",
    "timeout",
    "users",
];

#[test]
fn a_default_of_the_manual_is_one_of_the_schema() {
    let schema = schema();
    let (sections, mut told) = (super::super::manual::sections(), 0);
    for (name, section) in MANUAL_SECTIONS {
        let name = name.trim_start_matches("Raw");
        let of = if name == "Config" { Some(&schema) } else { schema["$defs"].get(name) };
        for (key, entry) in sections[section].iter().chain(&sections[EVERY_CHECK]) {
            let Some(property) = of.and_then(|of| of["properties"].get(key)) else { continue };
            let has = entry.default.as_deref().is_some_and(|d| d != "none") && !IN_WORDS.contains(&key.as_str());
            told += usize::from(has);
            assert!(!has || property.get("default").is_some(), "{name}.{key}: {entry:?}");
        }
    }
    assert!(told > 40, "{told}");
}

#[test]
fn the_enumerations_are_those_that_are_read() {
    let schema = schema();
    for (pointer, template) in [
        ("/$defs/Mode/enum", "mode = \"WORD\"\n"),
        ("/$defs/AlertKind/enum", "[alerts]\non = [\"WORD\"]\n"),
        (
            "/$defs/Signature/properties/severity/enum",
            "[[signature]]\nname = \"s\"\ncategory = \"c\"\npattern = \"x\"\nseverity = \"WORD\"\n",
        ),
        (
            "/$defs/When/properties/is/enum",
            "[[rule]]\nname = \"r\"\nissue_type = \"x\"\nconfidence = 90\nwhen = { check = \"host\", is = \"WORD\" }\n",
        ),
        (
            "/$defs/When/properties/state/enum",
            "[checks.docker]\n[[rule]]\nname = \"r\"\nissue_type = \"x\"\nconfidence = 90\nwhen = { container = \"a\", state = \"WORD\" }\n",
        ),
    ] {
        let words =
            schema.pointer(pointer).and_then(serde_json::Value::as_array).unwrap_or_else(|| panic!("{pointer}"));
        for word in words {
            let text = template.replace("WORD", word.as_str().unwrap());
            assert!(compiled(&text, &[]).is_ok(), "{pointer}: {word}");
        }
        // Serde's own list: what it proposes for a word that is none.
        let told = super::told(&template.replace("WORD", "zzzzzzzz"), &[]);
        let all: Vec<&str> = told.split_once("one of: ").unwrap().1.lines().next().unwrap().split(", ").collect();
        assert!(words.iter().all(|w| all.contains(&w.as_str().unwrap())), "{pointer}: {all:?}");
        assert!(all.len() - words.len() <= usize::from(pointer.contains("/is/")), "{pointer}: {all:?}");
    }
}
