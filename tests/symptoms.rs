//! Causes and their symptoms, told by the real binary: one incident for one cause, whatever else it takes down; what
//! stands by itself is left in peace; what outlives its cause is mended next; what comes and goes is told once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use serde_json::Value;
use support::{Docker, RATE_LIMITED, Ran, Root, healer};

/// What an API logs while its database is down.
const POOL_TIMEOUT: &str = "ERROR orders httpx.PoolTimeout: no connection from the pool within 5 s\n";
const SERVER_ERROR: &str = "ERROR orders GET /orders HTTP 500 Internal Server Error\n";

/// A host whose checks say what the test says: `database`, and `api` which depends on it.
struct Host {
    root: Root,
}

impl Host {
    /// `more` is configuration: rules, alerts.
    fn new(more: &str) -> Host {
        let host = Host { root: Root::new() };
        let check = |name: &str, keys: &str| {
            format!("[checks.command.{name}]\ncommand = [\"/bin/sh\", \"-c\", \". {{root}}/{name}\"]\n{keys}\n")
        };
        host.root.config(&format!(
            "[allow]\nfiles = [\"{{root}}/pause.toml\"]\n[checks.docker]\nenabled = false\n[checks.host]\nenabled = false\n{}{}\
             [logs.files.app]\npath = \"{{root}}/app.log\"\n[limits]\nhuman_grace = \"0s\"\n\
             [alerts]\ncommand = [[\"/bin/sh\", \"-c\", \"cat >> {{root}}/alerts; echo >> {{root}}/alerts\"]]\n{more}",
            check("database", ""),
            check("api", "depends_on = [\"database\"]"),
        ));
        host.root.write("app.log", "");
        host.root.write("pause.toml", "pause = 1.0\n");
        host.be(0, 0);
        host
    }

    /// Exit codes of the checks from now on: 0 healthy, 1 warning, 2 critical, 3 unknown.
    fn be(&self, database: u8, api: u8) {
        self.root.write("database", format!("exit {database}"));
        self.root.write("api", format!("exit {api}"));
    }

    fn log(&self, line: &str, count: usize) {
        self.root.append("app.log", line.repeat(count));
    }

    /// One pass. The checks of the next one are in another second.
    fn pass(&self) -> Value {
        let pass = healer(&self.root, &["heal", "--json"]).data();
        support::next_second();
        pass
    }

    /// What was told since the last time that this was asked.
    fn told(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.root.path("alerts")).unwrap_or_default();
        let _ = std::fs::remove_file(self.root.path("alerts"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn told_kinds(&self) -> Vec<String> {
        let of =
            |alert: &Value| format!("{} {}", alert["kind"].as_str().unwrap(), alert["component"].as_str().unwrap());
        self.told().iter().map(of).collect()
    }
}

/// A rule that changes `pause.toml` when `when` is met.
fn rule(name: &str, when: &str, more: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nwhen = {when}\nissue_type = \"{name}\"\nconfidence = 90\n{more}\n[[rule.fix]]\nfix_type = \"f\"\n\
         steps = [{{ edit = \"{{root}}/pause.toml\", at = \"pause\", multiply = 1.5, max = 5.0 }}]\n\
         [rule.validate]\nsettle = \"0s\"\nwindow = \"300ms\"\nmax_window = \"300ms\"\n[rule.limits]\ncooldown = \"0s\"\n"
    )
}

fn pool_rule() -> String {
    rule("pool", r#"{ log = "file:app", signature = "timeout", count = 5, within = "10m" }"#, "")
}

/// `component`, or `component<root` of a symptom, of each diagnosis.
fn diagnosed(pass: &Value) -> Vec<String> {
    let name = |d: &Value| {
        let root = d["symptom_of"].as_str().map(|root| format!("<{root}")).unwrap_or_default();
        format!("{}{root}", d["trigger"]["component"].as_str().unwrap())
    };
    pass["diagnoses"].as_array().unwrap().iter().map(name).collect()
}

fn of_component<'a>(pass: &'a Value, component: &str) -> &'a Value {
    let all = pass["diagnoses"].as_array().unwrap();
    all.iter().find(|d| d["trigger"]["component"] == component).unwrap_or_else(|| panic!("{pass:#}"))
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect()
}

#[track_caller]
fn assert_in(ran: &Ran, wanted: &[&str]) {
    for text in wanted {
        assert!(ran.stdout.contains(text), "{text:?} is not in\n{}", ran.stdout);
    }
}

#[test]
fn a_dead_database_with_all_that_stands_on_it_is_one_incident_with_one_cause_and_one_alert() {
    let host = Host::new(&pool_rule());
    host.pass();
    host.be(2, 2);
    host.log(SERVER_ERROR, 9);
    host.log(POOL_TIMEOUT, 9);
    let text = healer(&host.root, &["diagnose"]);
    let pass = host.pass();
    assert_eq!(diagnosed(&pass), ["database", "api<database", "file:app<database"], "{pass:#}");
    let root = of_component(&pass, "database");
    let candidates: Vec<_> =
        root["candidates"].as_array().unwrap().iter().map(|c| (&c["component"], &c["rule"])).collect();
    assert_eq!(candidates.len(), 4, "{root:#}");
    assert_eq!(candidates[0].0, "database");
    assert!(candidates.iter().any(|(component, rule)| *component == "file:app" && *rule == "pool"), "{root:#}");
    assert!(root["candidates"][0]["confidence"].is_number());
    assert_eq!(of_component(&pass, "file:app")["hold"], "symptom");
    assert_eq!(host.root.read_text("pause.toml"), "pause = 1.0\n", "the symptom's rule holds");

    let events = host.root.state_lines("events.jsonl");
    let event = events.iter().rev().find(|e| e["kind"] == "pass").unwrap();
    assert_eq!(event["diagnoses"][0]["candidates"], root["candidates"], "history knows what was in the running");

    let [alert] = host.told().try_into().unwrap();
    assert_eq!((&alert["kind"], &alert["component"]), (&"critical".into(), &"database".into()));
    let symptoms = texts(&alert["symptoms"]).join("\n");
    for symptom in ["api is critical", "9 x api_error", "9 x timeout"] {
        assert!(symptoms.contains(symptom), "{symptoms}");
    }
    assert!(
        texts(&alert["candidates"])[0].starts_with("60 service_unavailable database (built-in cause)"),
        "{alert:#}"
    );

    assert_in(
        &text,
        &["candidates  60 service_unavailable database", "symptoms    ", "(rule pool, a symptom of database)"],
    );
    assert!(!text.stdout.contains("pool file:app\n"), "a symptom is told with its root:\n{}", text.stdout);
    let status = healer(&host.root, &["status", "--json"]).data();
    let [incident] = status["incidents"].as_array().unwrap().as_slice() else { panic!("{status:#}") };
    assert_eq!(texts(&incident["symptoms"]), ["api", "file:app"]);
}

#[test]
fn what_a_dead_database_does_not_explain_is_mended_all_the_same() {
    let when = r#"{ log = "file:app", signature = "rate_limit", count = 5, within = "10m" }"#;
    let host = Host::new(&(rule("slow-down", when, "") + &pool_rule()));
    host.be(2, 2);
    host.log(POOL_TIMEOUT, 30);
    host.log(RATE_LIMITED, 9);
    let pass = host.pass();
    assert_eq!(pass["fix"]["plan"]["rule"], "slow-down", "{pass:#}");
    assert_eq!(host.root.read_text("pause.toml"), "pause = 1.5\n");
    assert!(diagnosed(&pass).contains(&"file:app<database".to_owned()), "{:?}", diagnosed(&pass));
}

#[test]
fn what_had_begun_before_its_supposed_root_is_mended_by_itself() {
    let check = |errors_before: usize, acts: bool| {
        let host = Host::new(&pool_rule());
        host.root.write("STOP", "");
        host.log(POOL_TIMEOUT, errors_before);
        host.pass();
        // The last look that saw the database well is in a later second than these errors.
        host.pass();
        std::fs::remove_file(host.root.path("STOP")).unwrap();
        host.be(2, 0);
        host.log(POOL_TIMEOUT, 9);
        let pass = host.pass();
        assert_eq!(pass["fix"]["plan"]["rule"].as_str(), acts.then_some("pool"), "{pass:#}");
    };
    check(6, true);
    // A few of them are no beginning.
    check(1, false);
    check(0, false);

    let host = Host::new("");
    host.be(0, 2);
    host.pass();
    host.be(2, 2);
    assert_eq!(diagnosed(&host.pass()), ["api", "database"]);
}

#[test]
fn an_incident_that_became_a_symptom_is_told_as_nothing_until_it_has_outlived_its_root() {
    let host = Host::new("");
    let told = |database: u8, api: u8| {
        host.be(database, api);
        host.pass();
        host.told_kinds()
    };
    assert_eq!(told(1, 2), ["critical api"]);
    // Nobody has seen the database well: it may have been the cause all along.
    assert_eq!(told(2, 2), ["critical database"]);
    let status = healer(&host.root, &["status", "--json"]).data();
    let of_api = status["incidents"].as_array().unwrap().iter().find(|i| i["component"] == "api").unwrap();
    assert_eq!(of_api["symptom_of"], "database", "{status:#}");
    assert_eq!(told(0, 2), ["resolved database"], "the incident of the API goes on and has been told");
    assert_eq!(told(0, 0), ["resolved api"]);

    let host = Host::new("");
    let told = |database: u8, api: u8| {
        host.be(database, api);
        host.pass();
        host.told_kinds()
    };
    assert_eq!(told(2, 2), ["critical database"]);
    assert_eq!(told(0, 2), ["resolved database", "critical api"], "a symptom that outlived its root");
    assert_eq!(told(0, 0), ["resolved api"]);
}

#[test]
fn what_was_logged_while_its_root_was_down_fires_no_rule_afterwards_unless_it_goes_on() {
    let host = Host::new(&pool_rule());
    host.be(2, 0);
    host.log(POOL_TIMEOUT, 20);
    assert!(host.pass()["fix"].is_null());
    // The last errors before it was up again.
    host.log(POOL_TIMEOUT, 20);
    host.be(0, 0);
    let pass = host.pass();
    assert!(pass["fix"].is_null() && pass["diagnoses"].as_array().unwrap().is_empty(), "{pass:#}");
    host.log(POOL_TIMEOUT, 4);
    assert!(host.pass()["fix"].is_null(), "four are not five");
    host.log(POOL_TIMEOUT, 1);
    assert_eq!(host.pass()["fix"]["plan"]["rule"], "pool", "it goes on");
}

#[test]
fn what_the_root_did_not_explain_counts_after_it_as_before() {
    let when = r#"{ log = "file:app", signature = "rate_limit", count = 5, within = "10m" }"#;
    let host = Host::new(&(rule("slow-down", when, "") + &pool_rule()));
    host.be(2, 0);
    host.log(POOL_TIMEOUT, 9);
    host.log(RATE_LIMITED, 9);
    host.root.write("STOP", "");
    assert!(host.pass()["fix"].is_null());
    std::fs::remove_file(host.root.path("STOP")).unwrap();
    host.be(0, 0);
    assert_eq!(host.pass()["fix"]["plan"]["rule"], "slow-down");
}

#[test]
fn what_goes_on_after_the_fix_of_its_root_is_mended_next() {
    let check = |errors_after: usize, acts: bool| {
        let when = r#"{ check = "database", is = "critical" }"#;
        let host = Host::new(&(rule("database", when, "").replace("300ms", "2s") + &pool_rule()));
        host.log(POOL_TIMEOUT, 20);
        // Mended by the first fix.
        host.root.write("database", format!("grep -q 1.5 {}/pause.toml || exit 2", host.root.dir().display()));
        let first = host.pass();
        assert_eq!(
            (&first["fix"]["plan"]["rule"], &first["fix"]["outcome"]),
            (&"database".into(), &"healed".into()),
            "{first:#}"
        );
        let [alert] = host.told().try_into().unwrap();
        assert_eq!(alert["kind"], "healed");
        assert!(texts(&alert["symptoms"])[0].contains("20 x timeout"), "{alert:#}");
        host.log(POOL_TIMEOUT, errors_after);
        let next = host.pass();
        assert_eq!(next["fix"]["plan"]["rule"].as_str(), acts.then_some("pool"), "{next:#}");
    };
    check(0, false);
    check(5, true);
}

#[test]
fn what_comes_and_goes_is_told_once() {
    let host = Host::new("");
    let told = |api: u8| {
        host.be(0, api);
        let pass = host.pass();
        let flapping = pass["diagnoses"].as_array().unwrap().first().map(|d| d["flapping"].as_bool().unwrap());
        (host.told_kinds(), flapping)
    };
    let (critical, resolved) = (|| vec!["critical api".to_owned()], || vec!["resolved api".to_owned()]);
    for _ in 0..3 {
        assert_eq!(told(2), (critical(), Some(false)));
        assert_eq!(told(0), (resolved(), None));
    }
    host.be(0, 2);
    let pass = host.pass();
    assert_eq!(of_component(&pass, "api")["flapping"], true);
    let [alert] = host.told().try_into().unwrap();
    assert!(alert["title"].as_str().unwrap().contains("flapping: closed and back 3 times within an hour"), "{alert:#}");
    let status = healer(&host.root, &["status"]);
    assert_in(&status, &["flapping: it comes and goes"]);
    for _ in 0..2 {
        assert_eq!(told(0), (vec![], None));
        assert_eq!(told(2), (vec![], Some(true)));
    }
}

#[test]
fn a_diagnosis_names_its_signals_for_and_against_whether_they_are_there_or_not() {
    let more = r#"
evidence = [
  { check = "api", is = "warning", add = 4 },
  { check = "database", is = "critical", add = -40 },
  { log = "file:app", signature = "timeout", count = 3, add = 3 },
  { log = "file:app", match = "no such thing", add = 2 },
]
require = ["api", { log = "file:app", signature = "timeout", count = 50 }]"#;
    let when = r#"{ log = "file:app", signature = "rate_limit", count = 5, within = "10m" }"#;
    let host = Host::new(&rule("slow-down", when, more));
    host.be(0, 2);
    host.log(RATE_LIMITED, 9);
    host.log(POOL_TIMEOUT, 7);
    let text = healer(&host.root, &["diagnose"]);
    assert_in(
        &text,
        &[
            "confidence  97 = +90 rule slow-down, +4 api is critical, +3 7 x timeout in file:app within 10m",
            "for +4: api is critical",
            "against -40, absent: database is critical (database is healthy)",
            "for +3: 7 x timeout in file:app within 10m",
            "for +2, absent: 1 x matching event in file:app within 10m (0 x matching event in file:app within 10m)",
            "required: api is critical",
            "required, absent: 50 x timeout in file:app within 10m (7 x timeout in file:app within 10m)",
        ],
    );
    let pass = host.pass();
    let diagnosis = of_component(&pass, "file:app");
    assert_eq!((&diagnosis["hold"], &diagnosis["original_confidence"]), (&"uncorroborated".into(), &97.0.into()));
    let signal = |n: usize| {
        let s = &diagnosis["signals"][n];
        (s["kind"].as_str().unwrap(), s["role"].as_str().unwrap(), s["weight"].as_f64(), s["held"].as_bool().unwrap())
    };
    assert_eq!(signal(0), ("log", "trigger", Some(90.0), true));
    assert_eq!(signal(1), ("check", "evidence", Some(4.0), true));
    assert_eq!(signal(2), ("check", "evidence", Some(-40.0), false));
    assert_eq!(signal(3), ("log", "evidence", Some(3.0), true));
    assert_eq!(signal(6), ("log", "required", None, false));
    host.log(POOL_TIMEOUT, 43);
    assert_eq!(host.pass()["fix"]["plan"]["rule"], "slow-down", "corroborated by another kind of event");
}

/// A database container that is up at its second start, and an API container that answers from its second start on.
#[test]
fn the_root_is_restarted_first_and_then_what_has_not_recovered_with_it() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let (db, api) = (Docker::unique_name("db"), Docker::unique_name("api"));
    let (db_port, api_port) = (support::free_port(), support::free_port());
    let serve = |port: u16| format!("mkdir -p /www; exec busybox httpd -f -p 127.0.0.1:{port} -h /www");
    let down_at_first = format!("[ -e /again ] || {{ touch /again; exit 3; }}; {}", serve(db_port));
    let broken_at_first = format!(
        "mkdir -p /www; if [ -e /again ]; then echo ok >/www/health; else \
         for i in 1 2 3 4 5 6 7 8 9; do printf '{}{}'; done; touch /again; fi; {}",
        SERVER_ERROR.replace('\n', "\\n"),
        POOL_TIMEOUT.replace('\n', "\\n"),
        serve(api_port)
    );
    // In the host's network the port is not published anew, but it stands in the container's settings.
    let publish = format!("--publish={db_port}:{db_port}");
    let _db = docker.run(&db, &[&publish], &["/bin/sh", "-c", &down_at_first]);
    docker.cli(&["wait", &db]);
    let api_container = docker.run(&api, &[], &["/bin/sh", "-c", &broken_at_first]);
    api_container.wait_for_lines(9, "PoolTimeout");
    let restart = |name: &str, when: &str, what: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\nwhen = {when}\nissue_type = \"{name}\"\nconfidence = 95\n[[rule.fix]]\nfix_type = \"restart\"\n\
             steps = [{{ restart = \"container:{what}\" }}]\n[rule.validate]\nsettle = \"1s\"\nwindow = \"2s\"\nmax_window = \"20s\"\n"
        )
    };
    root.config(&format!(
        "[allow]\ncontainers = [\"{db}\", \"{api}\"]\n[checks.host]\nenabled = false\n\
         [checks.docker]\nsocket = \"{socket}\"\ninclude = [\"{db}\", \"{api}\"]\n[logs.docker]\n\
         [checks.tcp.database]\naddress = \"127.0.0.1:{db_port}\"\n\
         [checks.http.api]\nurl = \"http://127.0.0.1:{api_port}/health\"\ncontainer = \"{api}\"\ndepends_on = [\"database\"]\n\
         [limits]\nstart_grace = \"0s\"\n{}{}{}",
        restart("pool", &format!("{{ log = \"container:{api}\", signature = \"timeout\", count = 5 }}"), &api),
        restart("api-up", "{ check = \"api\", is = \"critical\" }", &api),
        restart("db-up", &format!("{{ container = \"{db}\", state = \"exited\" }}"), "{container}"),
        socket = docker.socket,
    ));
    let (of_db, of_api) = (format!("container:{db}"), format!("container:{api}"));
    let first = healer(&root, &["heal", "--json"]).expect_code(0).data();
    // Three of four are critical, and that is no storm: they have one cause.
    assert_eq!(
        (&first["fix"]["plan"]["rule"], &first["fix"]["outcome"]),
        (&"db-up".into(), &"healed".into()),
        "{first:#}"
    );
    let mut symptoms = diagnosed(&first);
    symptoms.sort();
    let mut expected =
        [of_db.clone(), format!("database<{of_db}"), format!("api<{of_db}"), format!("{of_api}<{of_db}")];
    expected.sort();
    assert_eq!(symptoms, expected, "{first:#}");

    support::next_second();
    let second = healer(&root, &["heal", "--json"]).expect_code(0).data();
    assert_eq!(diagnosed(&second), ["api"], "what it logged while the database was down is no evidence: {second:#}");
    assert_eq!((&second["fix"]["plan"]["rule"], &second["fix"]["outcome"]), (&"api-up".into(), &"healed".into()));

    let third = healer(&root, &["heal", "--json"]).expect_code(0).data();
    assert_eq!(diagnosed(&third), Vec::<String>::new(), "{third:#}");
}
