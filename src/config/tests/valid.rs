//! Sound configurations and what they become.

use super::{FixedSecrets, compiled};
use crate::config::compile::{compile, compile_with};
use crate::config::*;
use crate::model::{ErrorsAllowed, RestartTarget, Severity, Status};
use std::time::Duration;

/// The example of the documentation, without what this version cannot do yet.
pub const EXAMPLE: &str = include_str!("example.toml");

fn warnings(engine: &Engine) -> Vec<String> {
    engine.warnings.iter().map(ConfigError::in_one_line).collect()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn the_example_is_compiled_whole() {
    let engine = compiled(EXAMPLE, &[]).unwrap_or_else(|e| panic!("{}", LoadError::new(e)));
    let names: Vec<_> = engine.checks.iter().map(|c| (c.name.as_str(), c.timeout.as_secs())).collect();
    assert_eq!(
        names,
        [("docker", 10), ("database", 3), ("redis", 3), ("api", 10), ("smtp", 3), ("raid", 30), ("host", 10)]
    );
    assert_eq!(engine.check("api").unwrap().depends_on, ["database", "redis"]);
    assert_eq!((engine.mode, engine.confidence_threshold, engine.check_interval), (Mode::Auto, 85, seconds(300)));
    assert_eq!(engine.knowledge_base.to_str(), Some("/var/lib/healer/fix_knowledge_base.jsonl"));
    assert!(
        engine.allow.files.is_match("/srv/shop/worker/a.py") && !engine.allow.files.is_match("/srv/shop/worker/b/a.py")
    );
    assert!(engine.allow.files.is_match("/srv/shop/a/b/c.toml") && engine.allow.containers.is_match("shop-worker"));
    assert_eq!(engine.logs.len(), 3);
    let own = engine.signatures.iter().find(|s| s.name == "vendor_error").unwrap();
    assert_eq!((own.severity, own.origin), (Severity::Warning, SignatureOrigin::Operator));
    assert_eq!(engine.alerts.on.len(), 9);
    let email = engine.alerts.email.as_ref().unwrap();
    assert_eq!((email.to.as_slice(), &email.from), (["ops@example.org".to_owned()].as_slice(), &None));
    let Smtp { host, port, security, login } = &email.smtp;
    assert_eq!((host.as_str(), *port, *security), ("mail.example.org", 587, SmtpSecurity::Starttls));
    assert_eq!(login.as_ref().map(|(user, password)| (user.reveal(), password.reveal())), Some(("healer", "p@ss")));
    assert_eq!(engine.alerts.webhooks[0].url.reveal(), "https://hooks.example.org/T0/B0/slackpath-0");
    assert_eq!(
        (engine.backups.keep_last, engine.backups.keep_within, engine.keep),
        (20, seconds(30 * 86400), seconds(90 * 86400))
    );
    assert_eq!(warnings(&engine), Vec::<String>::new());
}

#[test]
fn secrets_are_expanded_and_hidden() {
    let engine = compiled(EXAMPLE, &[]).unwrap();
    let Probe::Postgres(postgres) = &engine.check("database").unwrap().probe else { panic!("no PostgreSQL check") };
    assert_eq!(postgres.url.reveal(), "postgres://monitor:s3cr%2Fet%40pg@127.0.0.1/shop");
    let shown = engine.redactor.redact("s3cr/et@pg s3cr%2Fet%40pg T0/B0/slackpath-0 api-token-value");
    assert_eq!(shown, "*** *** *** ***");
    let debug = format!("{engine:?}");
    assert!(!debug.contains("s3cr") && !debug.contains("slackpath") && !debug.contains("api-token"), "{debug}");
}

#[test]
fn a_rule_is_carried_whole() {
    let engine = compiled(EXAMPLE, &[]).unwrap();
    let rule = engine.rule("rate-limit-delay").unwrap();
    let When::Log(log) = &rule.when else { panic!("no log trigger") };
    assert_eq!((log.signature.as_str(), log.count, log.within), ("rate_limit", 5, seconds(600)));
    assert!(log.sources.is_match("container:shop-worker") && !log.sources.is_match("container:shop-worker2"));
    let SignalSpec::Check { check, is } = &rule.evidence[1].signal else { panic!("no check") };
    assert_eq!((rule.evidence.len(), rule.evidence[1].add), (2, -40.0));
    assert_eq!((check.as_str(), *is), ("database", Status::Critical));
    let StepSpec::Edit(edit) = &rule.fixes[0].steps[0] else { panic!("no edit") };
    assert_eq!((&edit.change, edit.min, edit.max, edit.max_factor), (&Change::Multiply(1.5), None, Some(5.0), 2.0));
    let StepSpec::Restart(target) = &rule.fixes[0].steps[1] else { panic!("no restart") };
    assert_eq!(target, &RestartTarget::Container("shop-worker".into()));
    assert_eq!(rule.validate.errors_allowed, ErrorsAllowed::AtMost(0));
    assert_eq!(
        (rule.validate.settle, rule.validate.window, rule.validate.max_window),
        (seconds(10), seconds(120), seconds(600))
    );
    assert_eq!((rule.limits.cooldown, rule.limits.max_fixes, rule.limits.per), (seconds(1800), 3, seconds(86400)));
    assert_eq!((rule.tests[0].repeat, rule.tests[0].expect.value.as_deref()), (5, Some("1.2")));
}

#[test]
fn a_rules_own_pattern_becomes_a_signature_of_its_name() {
    let engine = compiled(EXAMPLE, &[]).unwrap();
    let own = |name: &str| engine.signatures.iter().find(|s| s.name == name).unwrap();
    let matched = own("rule:own-pattern");
    assert_eq!((matched.pattern.as_str(), matched.ignore.as_deref()), ("pool timeout", Some("test pool")));
    assert_eq!((matched.origin, matched.category.as_str()), (SignatureOrigin::Rule, "database_connection"));
    let (named, narrowed) = (own("rate_limit"), own("rule:narrowed"));
    assert_eq!((&narrowed.pattern, &narrowed.category), (&named.pattern, &named.category));
    let both = narrowed.ignore.as_deref().unwrap();
    assert!(both.contains("status page") && named.ignore.as_deref().is_none_or(|first| both.contains(first)), "{both}");
}

#[test]
fn without_anything_written_there_are_defaults_that_allow_nothing() {
    let engine = compile(vec![], &FixedSecrets).unwrap();
    let names: Vec<_> = engine.checks.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["docker", "host"]);
    let (_, docker) = engine.docker().unwrap();
    assert!(docker.discovered && docker.socket == "unix:///var/run/docker.sock" && docker.include.is_none());
    let Probe::Host(host) = &engine.check("host").unwrap().probe else { panic!("no host check") };
    let critical = [host.cpu_percent, host.memory_percent, host.disk_percent].map(|l| (l.warning, l.critical));
    assert_eq!(critical, [(None, Some(90.0)), (None, Some(90.0)), (None, Some(95.0))]);
    assert!(matches!(engine.logs.as_slice(), [LogSpec { kind: LogKind::Docker { check } }] if check == "docker"));
    assert!(engine.allow.files.is_empty() && engine.allow.containers.is_empty() && engine.allow.units.is_empty());
    assert!(engine.rules.is_empty() && !engine.signatures.is_empty() && engine.source.is_none());
}

/// Which of a configuration's words want the Docker check, so that it is there, and missed, without its engine.
#[test]
fn who_names_the_docker_check_wants_it_whether_its_engine_is_there_or_not() {
    let check = |text: &str, wanted: bool| {
        for docker_found in [true, false] {
            let around = Surroundings { docker_found, ..Surroundings::default() };
            let sources = vec![("healer.toml".into(), text.to_owned())];
            let engine = compile_with(sources, &FixedSecrets, &around, |_, _| Ok(()))
                .unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
            let missed = engine.docker().map(|(_, probe)| !probe.discovered);
            let expected = if wanted { Some(true) } else { docker_found.then_some(false) };
            assert_eq!(missed, expected, "the engine is there: {docker_found}; {text}");
        }
    };
    let rule = "[[rule]]\nname = \"r\"\nissue_type = \"x\"\nconfidence = 90\n";
    let host = "when = { check = \"host\", is = \"critical\" }\n";
    check("", false);
    check(&format!("{rule}{host}"), false);
    check("[logs.docker]\n", true);
    check(&format!("{rule}when = {{ check = \"docker\", is = \"critical\" }}\n"), true);
    check(&format!("{rule}when = {{ check = \"docker\", metric = \"containers_running\", below = 1 }}\n"), true);
    check(&format!("{rule}when = {{ container = \"a\", state = \"exited\" }}\n"), true);
    check(&format!("{rule}{host}require = [\"docker\"]\n"), true);
    check(&format!("{rule}{host}evidence = [{{ check = \"docker\", is = \"critical\", add = 4 }}]\n"), true);
    check(&format!("{rule}{host}[rule.validate]\nchecks = [\"docker\"]\n"), true);
    check(
        &format!(
            "{rule}{host}[[rule.test]]\nname = \"t\"\nchecks = {{ docker = \"critical\" }}\nexpect = {{ issue_type = \"x\" }}\n"
        ),
        true,
    );
    for kind in [
        "[checks.host]",
        "[checks.tcp.a]\naddress = \"127.0.0.1:1\"",
        "[checks.http.a]\nurl = \"http://127.0.0.1/\"",
        "[checks.redis.a]\nurl = \"redis://127.0.0.1/0\"",
        "[checks.postgres.a]\nurl = \"postgres://u@127.0.0.1/d\"",
        "[checks.command.a]\ncommand = [\"/bin/true\"]",
    ] {
        check(&format!("{kind}\ndepends_on = [\"docker\"]\n"), true);
        check(&format!("{kind}\ndepends_on = [\"docker\"]\nenabled = false\n"), false);
    }
}

#[test]
fn the_built_in_signatures_are_sound() {
    let engine = compile(vec![], &FixedSecrets).unwrap();
    for s in &engine.signatures {
        let limit = |text: &str| regex::RegexBuilder::new(text).size_limit(1 << 20).build();
        let pattern = limit(&s.pattern).unwrap_or_else(|e| panic!("{}: {e}", s.name));
        assert!(!pattern.is_match(""), "{} matches everything", s.name);
        s.ignore.iter().for_each(|i| drop(limit(i).unwrap_or_else(|e| panic!("{}: {e}", s.name))));
        assert!(!s.name.contains([':', '/']) && !s.matches.is_empty() && !s.ignores.is_empty(), "{}", s.name);
        assert_eq!(engine.signatures.iter().filter(|o| o.name == s.name).count(), 1, "{} is there twice", s.name);
    }
}

#[test]
fn built_in_signatures_can_be_switched_off_and_replaced() {
    let none = compiled("[signatures]\nbuiltin = false\n", &[]).unwrap();
    assert!(none.signatures.is_empty());
    let own = "[signatures]\ndisable = [\"rate_limit\"]\n[[signature]]\nname = \"rate_limit\"\ncategory = \"c\"\npattern = \"mine\"\n";
    let replaced = compiled(own, &[]).unwrap();
    let found: Vec<_> =
        replaced.signatures.iter().filter(|s| s.name == "rate_limit").map(|s| s.pattern.as_str()).collect();
    assert_eq!(found, ["mine"]);
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let text = "[[rule]]\nname = \"r\"\nwhen = { check = \"host\", is = \"critical\" }\nissue_type = \"x\"\nconfidence = 90\n\
                [[rule.fix]]\nfix_type = \"f\"\nsteps = [{ edit = \"/srv/a.py\", at = \"assign N\", add = 1 },\n\
                { restart = \"unit:shop.service\" }]\n";
    assert_eq!(
        warnings(&compiled(text, &[]).unwrap()),
        [
            "healer.toml:8: this change has no `max`: repeated fixes may raise the value without end",
            "healer.toml:8: rule `r` would change /srv/a.py, which `files` in [allow] does not cover: it will be held",
            "healer.toml:9: rule `r` would change unit shop.service, which `units` in [allow] does not cover: it will be held",
        ]
    );
}

#[test]
fn where_nothing_is_allowed_and_all_is_suggested_that_is_told_once() {
    let check = |head: &str, expected: &[&str]| {
        let text = format!(
            "{head}[[rule]]\nname = \"r\"\nwhen = {{ check = \"host\", is = \"critical\" }}\nissue_type = \"x\"\n\
             confidence = 90\n[[rule.fix]]\nfix_type = \"f\"\nsteps = [{{ restart = \"unit:a.service\" }},\n\
             {{ restart = \"unit:b.service\" }}]\n"
        );
        assert_eq!(warnings(&compiled(&text, &[]).unwrap()), expected, "{head}");
    };
    let not = |line: usize, unit: &str| {
        format!(
            "healer.toml:{line}: rule `r` would change unit {unit}.service, which `units` in [allow] does not cover: it \
             will be held"
        )
    };
    check("mode = \"suggest\"\n", &["healer.toml:1: [allow] is empty: every fix is held"]);
    check("mode = \"suggest\"\n[allow]\n", &["healer.toml:2: [allow] is empty: every fix is held"]);
    check("mode = \"suggest\"\n[allow]\nunits = [\"a.service\"]\n", &[&not(12, "b")]);
    check("mode = \"auto\"\n[allow]\n", &[&not(10, "a"), &not(11, "b")]);
    assert_eq!(compiled("mode = \"suggest\"\n", &[]).unwrap().warnings.len(), 0);
}

/// The step of a rule on a container, beside a PostgreSQL and a Redis check; everything in `[allow]`.
fn step(step: &str) -> StepSpec {
    let text = format!(
        "[allow]\ncontainers = [\"*\"]\nfiles = [\"/**\"]\npostgres = [\"db\"]\nredis = [\"cache\"]\n\
         commands = [[\"/bin/up\", \"a b\"], [\"/bin/down\"]]\n\
         [checks.docker]\n[checks.postgres.db]\nurl = \"postgres://u@127.0.0.1/d\"\n\
         [checks.redis.cache]\nurl = \"redis://127.0.0.1/0\"\n[[rule]]\nname = \"r\"\n\
         when = {{ container = \"web\", state = \"oom_killed\" }}\nissue_type = \"x\"\nconfidence = 90\n[[rule.fix]]\n\
         fix_type = \"f\"\nsteps = [{{ {step} }}]\n"
    );
    let engine = compiled(&text, &[]).unwrap_or_else(|e| panic!("{step}: {}", LoadError::new(e)));
    assert_eq!(warnings(&engine), Vec::<String>::new(), "{step}");
    engine.rules[0].fixes[0].steps[0].clone()
}

#[test]
fn a_value_is_set_as_it_is_and_a_change_is_bounded() {
    let number = |text: &str| Change::Set(SetValue::Number(text.into()));
    let check = |memory: &str, change: Change, bounds: (Option<f64>, Option<f64>, Option<(f64, f64)>)| {
        let resize = step(&format!("resize = \"container:{{container}}\", memory = {memory}"));
        let StepSpec::Resize(spec) = resize else { panic!("{memory}") };
        assert_eq!((spec.container.as_str(), spec.cpus), ("{container}", None));
        let (min, max, factors) = bounds;
        assert_eq!(spec.memory, Some(BoundedChange { change, min, max, factors }), "{memory}");
    };
    let gib = 1_073_741_824.0;
    check("\"1.5g\"", number("1610612736"), (None, None, None));
    check("{ set = \"2GiB\" }", number("2147483648"), (None, None, Some((2.0, 4.0))));
    check("{ multiply = 1.5, max = \"1g\" }", Change::Multiply(1.5), (None, Some(gib), Some((2.0, 4.0))));
    check(
        "{ multiply = 0.25, min = 10000000, max_factor = 4, max_total_factor = 9 }",
        Change::Multiply(0.25),
        (Some(1e7), None, Some((4.0, 9.0))),
    );
    check("{ add = \"512m\", max = \"1g\" }", Change::Add(gib / 2.0), (None, Some(gib), Some((2.0, 4.0))));
}

#[test]
fn every_kind_of_step_is_known() {
    let StepSpec::Compose(service) = step("restart = \"compose:shop\"") else { panic!("compose project") };
    assert_eq!(service.to_string(), "compose:shop");
    let StepSpec::Compose(service) = step("restart = \"compose:shop/web\"") else { panic!("compose service") };
    assert_eq!(service.to_string(), "compose:shop/web");
    let StepSpec::Recreate(service) = step("recreate = \"compose:shop/web\"") else { panic!("recreate") };
    assert_eq!(service.service.as_deref(), Some("web"));
    let StepSpec::Run(run) = step("run = [\"/bin/up\", \"a b\"], undo = [\"/bin/down\"], timeout = \"2m\"") else {
        panic!("run")
    };
    assert_eq!(
        (run.argv, run.undo, run.timeout_seconds),
        (vec!["/bin/up".into(), "a b".into()], Some(vec!["/bin/down".into()]), 120)
    );
    let postgres = "postgres = \"db\", terminate_idle_in_transaction = \"5m\", max = 3, users = [\"app\"]";
    let StepSpec::Postgres(sessions) = step(postgres) else { panic!("postgres") };
    assert_eq!((sessions.over_seconds, sessions.max, sessions.users), (300, 3, vec!["app".to_owned()]));
    let StepSpec::Postgres(queries) = step("postgres = \"db\", cancel_queries_over = \"10m\"") else {
        panic!("postgres")
    };
    assert_eq!((queries.action, queries.max), (crate::model::SessionAction::CancelQueries, 10));
    let redis = "redis = \"cache\", config_set = { maxmemory = { multiply = 2, max = \"1g\" }, maxmemory-policy = \"allkeys-lru\", activedefrag = true, timeout = 300 }";
    let StepSpec::Redis(redis) = step(redis) else { panic!("redis") };
    let changes: Vec<_> = redis.settings.iter().map(|(key, c)| (key.as_str(), c.change.clone())).collect();
    let text = |word: &str| Change::Set(SetValue::Text(word.into()));
    assert_eq!(
        changes,
        [
            ("activedefrag", text("yes")),
            ("maxmemory", Change::Multiply(2.0)),
            ("maxmemory-policy", text("allkeys-lru")),
            ("timeout", Change::Set(SetValue::Number("300".into()))),
        ]
    );
}

#[test]
fn a_number_to_set_keeps_its_digits() {
    for (written, kept) in [("1.20", "1.20"), ("1_000", "1000"), ("+5", "5"), ("0x10", "16"), ("-3", "-3")] {
        let text = format!(
            "[[rule]]\nname = \"r\"\nwhen = {{ check = \"host\", is = \"critical\" }}\nissue_type = \"x\"\nconfidence = 90\n\
             [[rule.fix]]\nfix_type = \"f\"\nsteps = [{{ edit = \"/srv/a.py\", at = \"assign N\", set = {written} }}]\n"
        );
        let engine = compiled(&text, &[]).unwrap();
        let StepSpec::Edit(edit) = &engine.rules[0].fixes[0].steps[0] else { panic!("no edit") };
        assert_eq!(edit.change, Change::Set(SetValue::Number(kept.into())), "{written}");
    }
}

#[test]
fn evidence_and_requirements_are_signals_of_any_kind() {
    let text = r#"
[checks.docker]
[checks.redis.queue]
url = "redis://127.0.0.1/0"
[checks.http.api]
url = "http://127.0.0.1:8000/"
container = "shop-api"
[logs.docker]
[[rule]]
name = "slow"
when = { check = "api", is = "critical" }
issue_type = "api_timeout"
confidence = 80
evidence = [
  { check = "queue", is = "healthy", add = 1 },
  { log = "container:shop-api", signature = "timeout", count = 3, within = "2h", add = 2 },
  { log = "container:shop-*", match = "pool exhausted", add = 3 },
  { container = "shop-api", state = "unhealthy", add = 4 },
  { check = "queue", metric = "memory_percent", above = 80, add = -5 },
]
require = ["queue", { check = "queue" }, { log = "container:shop-api", match = "pool", count = 2 }, { container = "shop-db", state = "exited" }]
"#;
    let engine = compiled(text, &[]).unwrap_or_else(|e| panic!("{}", LoadError::new(e)));
    assert_eq!(engine.check("api").unwrap().container.as_deref(), Some("shop-api"));
    let rule = engine.rule("slow").unwrap();
    let kind = |signal: &SignalSpec| match signal {
        SignalSpec::Check { check, is } => format!("{check} {is}"),
        SignalSpec::Log(t) => format!("{} {} {}", t.count, t.signature, t.within.as_secs()),
        SignalSpec::Container { pattern, state, .. } => format!("{pattern} {state:?}"),
        SignalSpec::Metric { check, metric, above, below } => format!("{check} {metric} {above:?} {below:?}"),
    };
    let evidence: Vec<_> = rule.evidence.iter().map(|e| (kind(&e.signal), e.add)).collect();
    let own = |n: usize| engine.signatures.iter().filter(|s| s.origin == SignatureOrigin::Rule).nth(n).unwrap();
    // What a rule requires is compiled before its evidence.
    assert_eq!((own(0).pattern.as_str(), own(1).pattern.as_str()), ("pool", "pool exhausted"));
    assert_ne!(own(0).name, own(1).name);
    assert_eq!(
        evidence,
        [
            ("queue healthy".into(), 1.0),
            ("3 timeout 7200".into(), 2.0),
            (format!("1 {} 600", own(1).name), 3.0),
            ("shop-api Unhealthy".into(), 4.0),
            ("queue memory_percent Some(80.0) None".into(), -5.0),
        ]
    );
    let required: Vec<_> = rule.require.iter().map(kind).collect();
    assert_eq!(
        required,
        ["queue warning".into(), "queue warning".into(), format!("2 {} 600", own(0).name), "shop-db Exited".to_owned()]
    );
    assert_eq!(rule.log_triggers().map(|t| t.within.as_secs()).max(), Some(7200));
}

#[test]
fn a_requirement_that_the_trigger_sees_already_is_none() {
    let check = |when: &str, require: &str, sound: bool| {
        let text = format!(
            "[checks.docker]\n[checks.http.api]\nurl = \"http://h/\"\n[checks.http.web]\nurl = \"http://h/\"\n[logs.docker]\n\
             [[rule]]\nname = \"r\"\nwhen = {when}\nissue_type = \"x\"\nconfidence = 90\nrequire = [{require}]\n"
        );
        let refused = compiled(&text, &[]).err().map(LoadError::new);
        let told = refused.map(|e| e.to_string());
        assert_eq!(told.is_none(), sound, "{when} {require}: {told:?}");
        assert!(told.is_none_or(|t| t.contains("no second kind of evidence")), "{when} {require}");
    };
    let api = r#"{ check = "api", is = "critical" }"#;
    check(api, r#""api""#, false);
    check(api, r#"{ check = "api", is = "warning" }"#, false);
    check(api, r#"{ check = "api", metric = "response_time_ms", above = 5 }"#, false);
    check(api, r#""web""#, true);
    check(api, r#"{ log = "container:api", signature = "timeout" }"#, true);
    check(api, r#"{ container = "api", state = "unhealthy" }"#, true);
    let metric = r#"{ check = "api", metric = "response_time_ms", above = 5 }"#;
    check(metric, r#""api""#, false);
    let container = r#"{ container = "api", state = "exited" }"#;
    check(container, r#""docker""#, false);
    check(container, r#"{ check = "docker", metric = "containers_running", below = 1 }"#, false);
    check(container, r#"{ container = "api", state = "unhealthy" }"#, false);
    check(container, r#"{ container = "a*", state = "unhealthy" }"#, false);
    check(container, r#"{ container = "db", state = "exited" }"#, true);
    check(container, r#""api""#, true);
    check(container, r#"{ log = "container:api", signature = "timeout" }"#, true);
    check(r#"{ check = "docker", is = "critical" }"#, container, false);
    let log = r#"{ log = "container:api", signature = "timeout" }"#;
    check(log, log, false);
    check(log, r#"{ log = "container:*", signature = "timeout", count = 9 }"#, false);
    check(log, r#"{ log = "container:api", signature = "rate_limit" }"#, true);
    check(log, r#"{ log = "container:db", signature = "timeout" }"#, true);
    check(r#"{ log = "container:api", match = "boom" }"#, r#"{ log = "container:api", match = "boom" }"#, false);
    check(log, r#""docker""#, true);
}
