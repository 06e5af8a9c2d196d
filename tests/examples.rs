//! The configurations of `examples/` are complete: the real binary loads each without an error or a warning, and every
//! edit finds its literal in the sample file beside the example and changes it within its bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use healer::attempts::Attempts;
use healer::config::{self, Engine, Reference, Rule, SecretSource, StepSpec};
use healer::learn::Knowledge;
use healer::model::{
    ComposeContainer, ContainerLimits, Diagnosis, Moment, PostgresStep, Session, SessionAction, Step, TargetFile,
    Trigger,
};
use healer::plan::{self, Present, TargetFiles};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Ran, Root, spawn_command};

/// Every directory of `examples/` with a configuration in it.
fn examples() -> Vec<PathBuf> {
    let all = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap();
    let mut found: Vec<PathBuf> = all.map(|e| e.unwrap().path()).filter(|p| p.join("healer.toml").is_file()).collect();
    found.sort();
    found
}

fn name(example: &Path) -> String {
    example.file_name().unwrap().to_string_lossy().into_owned()
}

/// The value of every `${...}`: a URL, so that it fits wherever an example uses one.
const SECRET: &str = "https://example.org/hooks/0123456789abcdef";

struct AnySecret;

impl SecretSource for AnySecret {
    fn resolve(&self, _: &Reference) -> Result<String, String> {
        Ok(SECRET.to_owned())
    }
}

/// The names of an example's `${NAME}` and `${credential:NAME}`.
fn references(text: &str) -> Vec<&str> {
    let code = text.lines().map(|line| line.split_once("  #").map_or(line, |(code, _)| code));
    code.flat_map(|line| line.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))).collect()
}

#[test]
fn the_binary_loads_every_example_without_an_error_or_a_warning() {
    let examples = examples();
    assert_eq!(
        examples.iter().map(|e| name(e)).collect::<Vec<_>>(),
        ["compose-web", "live-services", "monitoring-plugins", "systemd-service", "worker"]
    );
    for example in examples {
        let root = Root::new();
        let text = std::fs::read_to_string(example.join("healer.toml")).unwrap();
        assert!(text.starts_with("#:schema ../healer.schema.json\n"), "{}: an editor finds no schema", name(&example));
        let ran = run(&example, &["backups"], &root, &text).expect_code(0);
        assert_eq!(ran.stderr, "", "{}", name(&example));
    }
}

/// By a validator of JSON Schema that is none of ours.
#[test]
fn every_example_fits_the_schema_that_it_names_and_what_is_wrong_does_not() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = repository.join("target/serve-venv/bin/python");
    if !python.exists() {
        return support::skip("no validator of JSON Schema: tests/serve/venv installs one");
    }
    let against = |files: &[PathBuf]| {
        let mut command = std::process::Command::new(&python);
        command.arg("-B").arg(repository.join("tests/config/fits_schema.py"));
        command.arg(repository.join("examples/healer.schema.json")).args(files);
        let said = command.output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    };
    let mut files: Vec<PathBuf> = examples().iter().map(|example| example.join("healer.toml")).collect();
    files.push(repository.join("examples/healer.toml"));
    assert_eq!(against(&files), "");
    let root = Root::new();
    let check = |text: &str, expected: &str| {
        let said = against(&[root.write("wrong.toml", text)]);
        assert!(said.contains(expected), "{expected:?} is not in {said:?}");
    };
    check("mode = 1\n", "mode: 1 is not one of");
    check("[limits]\nstorm = 1\n", "limits: Additional properties are not allowed ('storm' was unexpected)");
    check("[checks.http.a]\ntimeout = \"3s\"\n", "\"url\" is a required property");
}

/// The binary with an example's configuration, and something for each of its references.
fn run(example: &Path, args: &[&str], root: &Root, text: &str) -> Ran {
    let mut command = root.bare_command(args);
    command.arg("--config").arg(example.join("healer.toml")).arg("--state-dir").arg(root.state_dir());
    command.env("CREDENTIALS_DIRECTORY", root.path("credentials"));
    for reference in references(text) {
        match reference.strip_prefix("credential:") {
            Some(credential) => drop(root.write(Path::new("credentials").join(credential), SECRET)),
            None => drop(command.env(reference, SECRET)),
        }
    }
    spawn_command(command).wait()
}

#[test]
fn every_rule_and_signature_of_an_example_has_tests_and_they_pass() {
    for example in examples() {
        let root = Root::new();
        let text = std::fs::read_to_string(example.join("healer.toml")).unwrap();
        let ran = run(&example, &["rules", "test", "--json"], &root, &text).expect_code(0).data();
        let name = name(&example);
        assert_eq!((&ran["failed"], &ran["untested"]), (&0.into(), &serde_json::json!([])), "{name}: {ran:#}");
        assert!(ran["passed"].as_u64().unwrap() >= 4, "{name}: {ran:#}");
    }
}

#[test]
fn config_check_remarks_nothing_on_an_example_but_that_its_files_are_not_here() {
    for example in examples() {
        let root = Root::new();
        let text = std::fs::read_to_string(example.join("healer.toml")).unwrap();
        let data = run(&example, &["config", "check", "--offline", "--json"], &root, &text).expect_code(0).data();
        let edited = engine(&example).rules.iter().flat_map(plan::files_of).filter(|path| !path.exists()).count();
        let told: Vec<&str> =
            data["warnings"].as_array().unwrap().iter().map(|w| w["message"].as_str().unwrap()).collect();
        let missing = |m: &&str| m.contains("cannot edit its file") && m.ends_with("does not exist");
        assert!(told.iter().all(missing), "{}: {told:#?}", name(&example));
        assert_eq!(told.len(), edited, "{}: {told:#?}", name(&example));
    }
}

fn engine(example: &Path) -> Engine {
    let file = example.join("healer.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    config::compile(vec![(file, text)], &AnySecret).unwrap_or_else(|e| panic!("{e:#?}"))
}

/// The sample beside the example for every file that the rule edits.
fn samples(example: &Path, rule: &Rule) -> TargetFiles {
    let sample = |path: &PathBuf| {
        let beside = example.join(path.file_name().unwrap());
        let bytes = std::fs::read(&beside).unwrap_or_else(|e| panic!("{}: {e}", beside.display()));
        (path.clone(), Ok(TargetFile { path: path.clone(), bytes, sha256: String::new(), age: Duration::MAX }))
    };
    plan::files_of(rule).map(sample).collect()
}

/// The rule fired, on a container where it watches containers.
fn diagnosis(rule: &Rule) -> Diagnosis {
    Diagnosis {
        rule: Some(rule.name.clone()),
        issue_type: rule.issue_type.clone(),
        cause: rule.cause.clone(),
        severity: healer::model::Status::Critical,
        trigger: Trigger {
            seen: String::new(),
            count: 5,
            rate_per_second: Some(0.1),
            component: "container:shop-1".into(),
            example: None,
        },
        affected: Vec::new(),
        addends: Vec::new(),
        original_confidence: rule.confidence,
        confidence: 90,
        uncorroborated: Vec::new(),
        symptom_of: None,
        signals: Vec::new(),
        candidates: Vec::new(),
        symptoms: Vec::new(),
        began: None,
        flapping: false,
        category: None,
        estimated_seconds: None,
        fingerprint: String::new(),
    }
}

/// What the services of the examples may show when a rule fires.
fn present() -> Present {
    let mut present = Present::default();
    let limits = ContainerLimits { memory: 256 << 20, memory_swap: 512 << 20, ..Default::default() };
    present.limits.insert("shop-1".into(), Ok(limits));
    let api = ComposeContainer { name: "shop-api-1".into(), service: "api".into(), number: 1, ..Default::default() };
    present.projects.insert("shop".into(), Ok(vec![api]));
    present.settings.insert(Present::setting_of("redis", "maxmemory"), Ok("104857600".into()));
    let step = PostgresStep {
        check: "database".into(),
        action: SessionAction::TerminateIdleInTransaction,
        over_seconds: 300,
        max: 5,
        users: vec!["shop".into()],
    };
    let session = Session { pid: 1, user: "shop".into(), application: "api".into(), seconds: 400.0 };
    present.sessions.insert(Present::sessions_of(&step), Ok(vec![session]));
    present
}

/// What each rung of the rule's ladder would write, by `FILE_NAME AT`.
fn edits(example: &Path, engine: &Engine, rule: &Rule) -> Vec<(String, String, String)> {
    let (files, knowledge, attempts) = (samples(example, rule), Knowledge::default(), Attempts::default());
    let mut found = Vec::new();
    for fix in &rule.fixes {
        let rung = Rule { fixes: vec![fix.clone()], ..rule.clone() };
        let given = plan::Given {
            engine,
            checks: &[],
            files: &files,
            services: &plan::Services::new(),
            mounts: &plan::FileMounts::new(),
            present: &present(),
            knowledge: &knowledge,
            attempts: &attempts,
            now: &Moment::of_wall("2026-01-01T00:00:00Z".parse().unwrap()),
        };
        let proposal = plan::propose(given, &diagnosis(rule), &rung)
            .unwrap_or_else(|refusal| panic!("{}, rule {}: {refusal}", name(example), rule.name));
        assert_eq!(proposal.plan.steps.len(), fix.steps.len());
        for step in proposal.plan.steps {
            let Step::Edit(edit) = step else { continue };
            let file = edit.path.file_name().unwrap().to_string_lossy().into_owned();
            found.push((format!("{file} {}", edit.at), edit.old, edit.new));
        }
    }
    found
}

#[test]
fn every_edit_of_an_example_changes_its_literal_in_the_sample_beside_it() {
    let mut seen = BTreeMap::new();
    for example in examples() {
        let engine = engine(&example);
        assert!(!engine.rules.is_empty());
        for rule in &engine.rules {
            let edits = edits(&example, &engine, rule);
            let written = rule.fixes.iter().flat_map(|f| &f.steps).filter(|s| matches!(s, StepSpec::Edit(_)));
            assert_eq!(edits.len(), written.count(), "{}, rule {}", name(&example), rule.name);
            seen.extend(edits.into_iter().map(|(place, old, new)| (place, (old, new))));
        }
    }
    let expected = [
        (".env API_WORKERS", "4", "5"),
        ("client.py assign CONCURRENT_REQUESTS", "4", "3"),
        ("client.py call asyncio.sleep", "0.8", "1.2"),
        ("config.yaml upstream.timeout", "10", "15"),
        ("report.env REPORT_WORKERS", "16", "12"),
        ("settings.toml database.pool_size", "10", "15"),
        ("spooler.ini queue.max_jobs", "8", "6"),
        ("worker.yaml worker.concurrency", "4", "5"),
        ("worker.yaml worker.delay_seconds", "0.5", "0.75"),
    ];
    let expected = expected.map(|(place, old, new)| (place.to_owned(), (old.to_owned(), new.to_owned())));
    assert_eq!(seen, BTreeMap::from(expected));
}
