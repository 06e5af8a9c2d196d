//! Who is told what, and when not: commands and webhooks, once per trouble, never a secret, and no notifier that holds
//! up a pass.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::time::{Duration, Instant};
use support::{Answer, HttpServer, Parts, Scene, healer};

/// A command that keeps what it is given: one JSON document a line.
const KEEP: &str = "command = [[\"/bin/sh\", \"-c\", \"cat >> {root}/alerts; echo >> {root}/alerts\"]]";

fn alerting(alerts: &str) -> impl FnOnce(&mut Parts) {
    let alerts = alerts.to_owned();
    move |p| p.rest = format!("[alerts]\n{alerts}")
}

/// What the command was told so far.
fn told(scene: &Scene) -> Vec<Value> {
    let text = std::fs::read_to_string(scene.root.path("alerts")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(alerts: &[Value]) -> Vec<&str> {
    alerts.iter().map(|a| a["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_command_is_told_as_json_what_was_seen_what_was_done_and_what_comes_next() {
    let scene = Scene::new(alerting(KEEP));
    scene.log_errors(20);
    scene.heal().expect_code(0);
    let [alert] = told(&scene).try_into().unwrap();
    assert_eq!((&alert["kind"], &alert["component"]), (&"healed".into(), &"file:worker".into()));
    assert_eq!((&alert["issue_type"], &alert["confidence"]), (&"rate_limiting".into(), &90.into()));
    assert_eq!(alert["cause"], "file:worker was rate limited 20 times");
    assert!(alert["actions"][0].as_str().unwrap().contains("0.8 -> 1.2"), "{alert:#}");
    assert!(alert["next"][0].as_str().unwrap().contains(&format!("healer rollback {}", scene.backups()[0])));
    assert!(alert["time"].is_string() && alert["host"].is_string() && alert["why"].is_string(), "{alert:#}");
}

#[test]
fn the_same_trouble_is_not_told_again_before_its_time() {
    let mut scene = Scene::new(|p| {
        alerting(KEEP)(p);
        p.confidence = "60".into();
    });
    scene.log_errors(20);
    scene.heal().expect_code(10);
    assert_eq!(kinds(&told(&scene)), ["held"]);
    assert!(told(&scene)[0]["next"][0].as_str().unwrap().starts_with("healer heal --approve plan_"));
    scene.log_errors(20);
    scene.heal().expect_code(10);
    assert_eq!(kinds(&told(&scene)), ["held"], "not again before `repeat`");

    scene.configure(|p| p.rest = format!("[alerts]\nrepeat = \"1ms\"\n{KEEP}"));
    scene.log_errors(20);
    scene.heal().expect_code(10);
    assert_eq!(kinds(&told(&scene)), ["held", "held"]);
}

#[test]
fn a_check_that_goes_down_and_comes_back_is_told_both_times() {
    let port = support::free_port();
    let scene = Scene::new(|p| {
        alerting(KEEP)(p);
        p.checks = format!("[checks.tcp.api]\naddress = \"127.0.0.1:{port}\"");
    });
    scene.heal().expect_code(10);
    scene.heal().expect_code(10);
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    scene.heal().expect_code(0);
    drop(listener);
    let alerts = told(&scene);
    assert_eq!(kinds(&alerts), ["critical", "resolved"]);
    assert_eq!(alerts[0]["incident"], alerts[1]["incident"]);
}

#[test]
fn a_trouble_that_its_fix_did_not_end_is_not_told_as_over_because_no_error_has_come_for_a_moment() {
    let scene = Scene::new(|p| {
        alerting(KEEP)(p);
        // What the fix breaks is whole again when it is undone.
        p.checks = "[checks.command.own]\ncommand = [\"/bin/sh\", \"-c\", \"! grep -q 'sleep(1.2)' {root}/worker/client.py || exit 2\"]"
            .into();
        p.validate.push_str("\nchecks = [\"own\"]");
    });
    scene.log_errors(20);
    // None of them in the second in which the fix ends.
    support::next_second();
    scene.heal().expect_code(12);
    let before = told(&scene);
    let ran = scene.heal().expect_code(10);
    assert!(!ran.output().contains("resolved"), "{}", ran.output());
    assert_eq!(told(&scene), before, "there is nothing new to tell");
    let status = healer(&scene.root, &["status", "--json"]).expect_code(0).data();
    let hold = status["incidents"][0]["hold_reason"].as_str().unwrap();
    assert!(hold.contains("did not help") && hold.contains("not been quiet for long enough"), "{status:#}");
}

#[test]
fn a_check_that_was_taken_out_of_the_configuration_is_not_told_as_well() {
    let address = format!("address = \"127.0.0.1:{}\"", support::free_port());
    let mut scene = Scene::new(|p| {
        alerting(KEEP)(p);
        p.checks = format!("[checks.tcp.api]\n{address}");
    });
    scene.heal().expect_code(10);
    scene.configure(|p| p.checks = String::new());
    scene.heal().expect_code(0);
    let alerts = told(&scene);
    assert_eq!(kinds(&alerts), ["critical", "resolved"]);
    let title = alerts[1]["title"].as_str().unwrap();
    assert!(title.ends_with(" (api is no longer looked at)"), "{title}");
}

#[test]
fn what_is_not_asked_for_is_not_told() {
    let scene = Scene::new(alerting(&format!("on = [\"rolled_back\"]\n{KEEP}")));
    scene.log_errors(20);
    scene.heal().expect_code(0);
    assert!(told(&scene).is_empty());
}

#[test]
fn a_webhook_gets_each_format() {
    let check = |format: &str, expected: &dyn Fn(&support::Request)| {
        let server = HttpServer::ok();
        let hook = format!("webhook = [{{ url = \"{}\", format = \"{format}\" }}]", server.url("/hook/s3cret"));
        let scene = Scene::new(alerting(&hook));
        scene.log_errors(20);
        scene.heal().expect_code(0);
        let [request] = server.wait_for_requests(1).try_into().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook/s3cret"));
        expected(&request);
    };
    check("json", &|r| assert_eq!(r.json()["kind"], "healed"));
    check("slack", &|r| assert!(r.json()["text"].as_str().unwrap().starts_with("healed on ")));
    check("discord", &|r| assert!(r.json()["content"].as_str().unwrap().starts_with("healed on ")));
    check("ntfy", &|r| assert!(r.body.starts_with("healed on ")));
}

#[test]
fn a_notifier_that_fails_or_hangs_is_told_and_ends_no_pass() {
    let check = |alerts: &str, problem: &str| {
        let scene = Scene::new(alerting(alerts));
        scene.log_errors(20);
        let begin = Instant::now();
        let ran = scene.heal().expect_code(0);
        assert!(begin.elapsed() < Duration::from_secs(40), "{:?} for a notifier", begin.elapsed());
        assert!(ran.stderr.contains(problem), "{problem:?} is not in\n{}", ran.stderr);
        scene.assert_program("1.2");
        assert!(!scene.is_open());
    };
    check("command = [[\"/no/such/program\"]]", "command /no/such/program could not be told");
    check("command = [[\"/bin/sh\", \"-c\", \"echo broken >&2; exit 7\"]]", "exit 7: broken");
    check("command = [[\"/bin/sleep\", \"600\"]]", "no end after 8s");
    let refusing = format!("webhook = [{{ url = \"http://127.0.0.1:{}/x\" }}]", support::free_port());
    check(&refusing, "could not be told");
    let unhappy = HttpServer::start([], Answer::new(500, "no"));
    check(&format!("webhook = [{{ url = \"{}\" }}]", unhappy.url("/x")), "HTTP 500");
    let hanging = HttpServer::start([], Answer::held());
    check(&format!("webhook = [{{ url = \"{}\" }}]", hanging.url("/x")), "could not be told");
}

#[test]
fn a_secret_of_the_configuration_is_in_no_output_state_file_or_alert() {
    const SECRET: &str = "hunter2-and-more";
    let down = HttpServer::start([], Answer::new(500, &format!("bad token {SECRET}")));
    let scene = Scene::new(|p| {
        p.rest = format!("[alerts]\n{KEEP}");
        p.checks = format!(
            "[checks.http.api]\nurl = \"{}\"\nheaders = {{ Authorization = \"Bearer ${{file:{{root}}/secret}}\" }}\n\
             expect_body = \"fine\"\n\
             [checks.postgres.database]\nurl = \"postgres://u:${{file:{{root}}/secret}}@127.0.0.1:{}/x\"\n\
             [checks.command.own]\ncommand = [\"/bin/sh\", \"-c\", \"echo key is {SECRET}; exit 2\"]",
            down.url("/?key=${file:{root}/secret}"),
            support::free_port()
        );
        p.limits.push_str("\nstorm_percent = 100");
    });
    scene.root.write("secret", SECRET);
    // A log line and a literal's neighbour repeat it.
    scene.root.append("worker.log", RATE_WITH_SECRET.replace("SECRET", SECRET).repeat(20));
    let mut outputs = String::new();
    for args in [&["check"][..], &["check", "--json"], &["diagnose", "-v"], &["diagnose", "--json"], &["heal", "-n"]] {
        outputs += &healer(&scene.root, args).output();
    }
    outputs += &healer(&scene.root, &["heal", "-v"]).output();
    outputs += &healer(&scene.root, &["backups", "--json"]).output();
    assert!(!outputs.contains(SECRET), "{outputs}");
    assert!(!told(&scene).is_empty(), "something was told");
    let tree = scene.root.snapshot();
    for path in tree.paths().into_iter().filter(|p| p.starts_with("state") || p.starts_with("alerts")) {
        let text = String::from_utf8_lossy(tree.bytes(path).unwrap_or_default());
        assert!(!text.contains(SECRET), "{}: {text}", path.display());
    }
    let requests = down.requests();
    assert_eq!(
        requests[0].header("authorization"),
        Some(format!("Bearer {SECRET}").as_str()),
        "it is used all the same"
    );
}

const RATE_WITH_SECRET: &str = "ERROR 429 Client Error: Too Many Requests for url: http://x/?token=SECRET\n";
