//! `healer rules test` and `rules show`: rules are tested by the stages of a pass, and what differs is shown.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::process::Command;
use support::{Parts, Ran, Scene, healer, skip};

const FILE: &str = "file = 'asyncio.sleep(0.8)'";
const LINES: &str = "log = [\"ERROR 429 Client Error: Too Many Requests\"]\nrepeat = 5";

/// A scene whose rule has these tests.
fn tested(tests: &str) -> Scene {
    let tests = tests.to_owned();
    Scene::new(move |p| p.rest = tests)
}

fn test(scene: &Scene, args: &[&str], code: i32) -> Ran {
    let before = scene.root.snapshot();
    let arguments: Vec<&str> = ["rules", "test"].iter().chain(args).copied().collect();
    let ran = healer(&scene.root, &arguments).expect_code(code);
    before.assert_unchanged(&scene.root.snapshot());
    ran
}

/// A rule with these changes and one test; `wanted` are what differs, as `what: expected | got`.
#[track_caller]
fn check(change: impl FnOnce(&mut Parts), test_body: &str, wanted: &[&str]) {
    let body = format!("[[rule.test]]\nname = \"it\"\n{test_body}\n");
    let scene = Scene::new(|p| {
        change(p);
        p.rest.push_str(&body);
    });
    let data = test(&scene, &["--json"], if wanted.is_empty() { 0 } else { 10 }).data();
    let found: Vec<String> = data["tests"][0]["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            let text = |key: &str| d[key].as_str().unwrap().to_owned();
            format!("{}: {} | {}", text("what"), text("expected"), text("got"))
        })
        .collect();
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "{wanted:?} is not the beginning of {found:?}");
    }
}

#[test]
fn a_rule_is_tested_from_the_log_line_to_the_planned_value() {
    let expect = |expect: &str| format!("{LINES}\n{FILE}\nexpect = {{ {expect} }}");
    let whole =
        r#"issue_type = "rate_limiting", fix_type = "increase_delay", value = "1.2", decision = "act", fires = true"#;
    check(|_| {}, &expect(whole), &[]);
    check(|_| {}, &expect(r#"value = "1.3""#), &["value: 1.3 | 1.2"]);
    check(
        |_| {},
        &expect(r#"issue_type = "x", fix_type = "y""#),
        &["issue_type: x | rate_limiting", "fix_type: y | increase_delay"],
    );
    check(|_| {}, &expect("fires = false"), &["fires: no | yes: 5 x rate_limit in file:worker within 10m"]);
    check(
        |_| {},
        &format!("log = [\"all is well\"]\nexpect = {{ {whole} }}"),
        &["fires: yes | no: no rate_limit in file:worker"],
    );
    let four = format!("{}\nexpect = {{ fires = false }}", LINES.replace('5', "4"));
    check(|_| {}, &four, &[]);
}

#[test]
fn the_gate_has_its_word_as_in_a_pass() {
    let decision = |word: &str| format!("{LINES}\n{FILE}\nexpect = {{ decision = \"{word}\", value = \"1.2\" }}");
    check(|p| p.confidence = "60".into(), &decision("low_confidence"), &[]);
    check(
        |p| p.confidence = "60".into(),
        &decision("act"),
        &["decision: act | low_confidence: confidence 60 is below the threshold of 85"],
    );
    check(|p| p.allow = String::new(), &decision("not_allowed"), &[]);
    check(|p| p.rule = "mode = \"suggest\"".into(), &decision("suggest"), &[]);
    let api = "[checks.tcp.api]\naddress = \"127.0.0.1:1\"";
    let required = |p: &mut Parts| {
        p.checks = api.into();
        p.rule = "require = [\"api\"]".into();
    };
    check(required, &decision("uncorroborated"), &[]);
    check(required, &format!("checks = {{ api = \"critical\" }}\n{}", decision("act")), &[]);
    let at_bound = format!("{LINES}\nfile = 'asyncio.sleep(5.0)'\nexpect = {{ decision = \"act\" }}");
    check(|_| {}, &at_bound, &["decision: act | at_bound: every fix of the rule is used up"]);
    let no_file = format!("{LINES}\nexpect = {{ value = \"1.2\" }}");
    check(|_| {}, &no_file, &["value: 1.2 | none: the test gives no `file` for "]);
}

#[test]
fn checks_metrics_and_containers_are_given_by_the_test() {
    let redis = "[checks.redis.redis]\nurl = \"redis://127.0.0.1:1\"";
    let metric = |p: &mut Parts| {
        p.checks = redis.into();
        p.when = r#"{ check = "redis", metric = "queue_celery", above = 10, passes = 3 }"#.into();
    };
    check(
        metric,
        &format!("metrics = {{ redis = {{ queue_celery = 11 }} }}\n{FILE}\nexpect = {{ value = \"1.2\" }}"),
        &[],
    );
    check(
        metric,
        "metrics = { redis = { queue_celery = 10 } }\nexpect = { fires = true }",
        &["fires: yes | no: redis queue_celery is 10, not above 10"],
    );
    let status = |p: &mut Parts| {
        p.checks = redis.into();
        p.when = r#"{ check = "redis", is = "critical", passes = 4 }"#.into();
    };
    check(status, "checks = { redis = \"critical\" }\nexpect = { fires = true }", &[]);
    check(status, "checks = { redis = \"warning\" }\nexpect = { fires = false }", &[]);
    for (state, other) in
        [("exited", "unhealthy"), ("unhealthy", "restarting"), ("restarting", "exited"), ("oom_killed", "running")]
    {
        let body = |given: &str, fires: bool| {
            format!("containers = {{ shop-1 = \"{given}\" }}\nexpect = {{ fires = {fires} }}")
        };
        let docker = |p: &mut Parts| {
            p.when = format!("{{ container = \"shop-*\", state = \"{state}\", for = \"36h\" }}");
        };
        let scene = |given: &str, fires: bool| {
            let mut scene = Scene::new(docker);
            let tests = format!("[[rule.test]]\nname = \"it\"\n{}\n", body(given, fires));
            scene.parts.rest = tests;
            scene.configure(|_| {});
            let text = scene.root.read_text("healer.toml").replace("[checks.docker]\nenabled = false\n", "");
            scene.root.write("healer.toml", text);
            scene
        };
        test(&scene(state, true), &[], 0);
        test(&scene(other, false), &[], 0);
    }
}

#[test]
fn another_rule_that_goes_first_is_named() {
    let other = |p: &mut Parts| {
        p.rest = "[[rule]]\nname = \"surer\"\nwhen = { log = \"file:worker\", signature = \"rate_limit\" }\nissue_type = \"x\"\nconfidence = 99\n".into();
    };
    let mut scene = Scene::new(other);
    let rule = format!(
        "[[rule.test]]\nname = \"it\"\n{LINES}\n{FILE}\nexpect = {{ issue_type = \"rate_limiting\", value = \"1.2\" }}\n"
    );
    scene.configure(|p| p.rest = format!("{rule}{}", p.rest));
    let ran = test(&scene, &["slow-down"], 10);
    assert!(ran.stdout.contains("got      value: none: rule surer goes before it for file:worker"), "{}", ran.stdout);
}

#[test]
fn signatures_keep_their_promises() {
    let signature = |matches: &str, ignores: &str| {
        tested(&format!(
            "[[signature]]\nname = \"vendor\"\ncategory = \"x\"\npattern = 'Vendor error'\nmatches = [{matches}]\nignores = [{ignores}]\n"
        ))
    };
    let good = signature("\"Vendor error 1\"", "\"Vendor ok\"");
    assert!(test(&good, &["vendor"], 0).stdout.contains("2 tests passed, 0 failed"));
    let bad = signature("\"Vendor error 1\", \"vendor error\"", "\"a Vendor error\"");
    let ran = test(&bad, &[], 10);
    for line in [
        "rule slow-down: no test",
        "  ok     matches Vendor error 1",
        "  FAILED matches vendor error",
        "expected matches: vendor error\n           got      matches: no match",
        "  FAILED ignores a Vendor error",
        "1 test passed, 2 failed, without a test: 1",
    ] {
        assert!(ran.stdout.contains(line), "{line:?} is not in\n{}", ran.stdout);
    }
    test(&bad, &["slow-down"], 0);
    let ran = test(&bad, &["vendr"], 2);
    assert!(ran.stderr.contains("did you mean `vendor`?"), "{}", ran.stderr);
}

#[test]
fn the_results_are_junit_xml_whatever_names_and_lines_hold() {
    let nasty = "[[rule.test]]\nname = \"<&\\\"'> \\u0007 \\u001b[31m \\uFFFE\"\nlog = [\"\\u0001 ]]> &amp;\"]\nexpect = { value = \"<1>\" }\n\
                 [[rule.test]]\nname = \"fine\"\nexpect = { fires = false }\n\
                 [[signature]]\nname = \"vendor\"\ncategory = \"x\"\npattern = 'Vendor error'\n";
    let scene = tested(nasty);
    healer(&scene.root, &["rules", "test", "--junit", "junit.xml"]).expect_code(10);
    let script = "import sys, xml.dom.minidom as m\nd = m.parse(sys.argv[1]).documentElement\n\
                  assert d.tagName == 'testsuites' and d.getAttribute('tests') == '3' and d.getAttribute('failures') == '1', d.toxml()\n\
                  count = lambda name: len(d.getElementsByTagName(name))\n\
                  assert (count('testsuite'), count('testcase'), count('failure'), count('skipped')) == (2, 3, 1, 1)\n\
                  assert 'expected' in d.getElementsByTagName('failure')[0].firstChild.data\n";
    let mut python = Command::new("python3");
    python.arg("-c").arg(script).arg(scene.root.path("junit.xml"));
    match python.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => skip("python3 is not installed"),
        ran => {
            let ran = ran.unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        }
    }
    healer(&scene.root, &["rules", "test", "--junit", "no/such/directory/junit.xml"]).expect_code(1);
}

#[test]
fn a_rule_is_shown_with_its_past_and_what_it_would_do_now() {
    let show = |scene: &Scene| {
        let before = scene.root.snapshot();
        let text = healer(&scene.root, &["rules", "show", "slow-down"]).expect_code(0).stdout;
        let json = healer(&scene.root, &["rules", "show", "slow-down", "--json"]).expect_code(0).data();
        before.assert_unchanged(&scene.root.snapshot());
        (text, json)
    };
    let says = |text: &str, wanted: &[&str]| {
        for wanted in wanted {
            assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
        }
    };
    let scene = Scene::new(|_| {});
    let (text, json) = show(&scene);
    says(
        &text,
        &[
            "rule slow-down (auto)",
            "when         5 x rate_limit in file:worker within 10m",
            "fix 1        increase_delay",
            "edit ",
            "at `call asyncio.sleep`: multiply by 1.5, max 5, by at most the factor 2",
            "limits       cooldown 30m, at most 3 fixes within 1d",
            "last matched never",
            "now          does not fire: no rate_limit in file:worker within 10m",
        ],
    );
    assert_eq!((&json["now"], &json["last_matched"]), (&"silent".into(), &serde_json::Value::Null));
    scene.log_errors(20);
    let (text, json) = show(&scene);
    says(&text, &["now          fires, and a pass would act", "0.8 -> 1.2"]);
    assert_eq!((&json["now"], &json["diagnosis"]["plan"]["fix_type"]), (&"act".into(), &"increase_delay".into()));
    scene.heal().expect_code(0);
    support::next_second();
    scene.log_errors(20);
    let (text, json) = show(&scene);
    says(&text, &["fix made     increase_delay of `", ": healed, ", "fires, and is held", "cooldown"]);
    assert_eq!((&json["now"], &json["last_fixes"][0]["outcome"]), (&"hold".into(), &"healed".into()));
    assert!(json["last_matched"].is_string() && json["reason"].as_str().unwrap().contains("cooldown"), "{json:#}");
    let ran = healer(&scene.root, &["rules", "show", "slow-dawn"]).expect_code(2);
    assert!(ran.stderr.contains("did you mean `slow-down`?"), "{}", ran.stderr);
}

#[test]
fn when_a_rule_last_matched_outlives_the_counts_and_its_silence_is_told_once() {
    let scene = Scene::new(|p| p.confidence = "60".into());
    scene.log_errors(20);
    scene.heal().expect_code(10);
    let last = |scene: &Scene| {
        healer(&scene.root, &["rules", "list", "--json"]).expect_code(0).data()["rules"][0]["last_matched"].clone()
    };
    let matched = last(&scene);
    assert!(matched.is_string());
    std::fs::remove_file(scene.root.path("state/cursors.json")).unwrap();
    scene.root.write("worker.log", "");
    scene.heal().expect_code(0);
    assert_eq!(last(&scene), matched, "it is remembered apart from the counts");

    // A month ago, and the log is still written.
    let mut state: serde_json::Value = serde_json::from_str(&scene.root.read_text("state/state.json")).unwrap();
    for key in ["last", "log_grew"] {
        state["matches"]["slow-down"][key] = "2025-01-01T00:00:00Z".into();
    }
    scene.root.write("state/state.json", state.to_string());
    let silent = "rule slow-down has not matched since 2025-01-01T00:00:00Z, and file:worker is still written: its log may have changed its format";
    assert!(!scene.heal().expect_code(0).stderr.contains("has not matched"), "the log did not grow");
    scene.root.append("worker.log", "all is well\n");
    assert!(scene.heal().expect_code(0).stderr.contains(silent));
    scene.root.append("worker.log", "all is well\n");
    assert!(!scene.heal().expect_code(0).stderr.contains("has not matched"), "it is told once");
    let status = healer(&scene.root, &["status"]).expect_code(0).stdout;
    assert!(status.contains(silent), "{status}");
    scene.log_errors(1);
    scene.heal();
    let status = healer(&scene.root, &["status", "--json"]).expect_code(0).data();
    assert_eq!(status["silent_rules"], serde_json::json!([]));
}

#[test]
fn tests_run_where_nobody_knows_the_secrets() {
    let check = "[checks.http.api]\nurl = \"${URL_OF_API}\"\nheaders = { Authorization = \"Bearer ${credential:token}\" }\n\
                 [checks.postgres.db]\nurl = \"postgres://m:${file:/no/such/file}@127.0.0.1/x\"";
    let scene = Scene::new(|p| {
        p.checks = check.into();
        p.rest = format!("[[rule.test]]\nname = \"it\"\n{LINES}\n{FILE}\nexpect = {{ value = \"1.2\" }}\n");
    });
    test(&scene, &[], 0);
    healer(&scene.root, &["rules", "list"]).expect_code(78);
}
