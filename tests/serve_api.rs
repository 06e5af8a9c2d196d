//! The API of `healer serve` over real sockets: what each call answers, and with which status it refuses.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::{HttpServer, PROGRAM_PATH, Parts, Root, SERVING, Scene, Server, require_env};

/// A scene whose configuration has a token.
fn scene(change: impl FnOnce(&mut Parts)) -> Scene {
    Scene::new(|p| {
        p.rest = SERVING.into();
        change(p);
    })
}

/// A check that counts its runs, and takes as long as a file is there.
fn counted(p: &mut Parts) {
    let script = "echo x >> {root}/runs; while test -e {root}/hold; do sleep 0.05; done; echo fine";
    p.checks = format!("[checks.command.counted]\ncommand = [\"/bin/sh\", \"-c\", \"{script}\"]\n");
}

fn runs(root: &Root) -> usize {
    std::fs::read_to_string(root.path("runs")).unwrap_or_default().lines().count()
}

#[track_caller]
fn assert_keys(found: &Value, path: &str, wanted: &[&str]) {
    let at = found.pointer(path).unwrap_or_else(|| panic!("{path} is not in {found:#}"));
    wanted.iter().for_each(|key| assert!(at.get(key).is_some(), "{path}/{key} is not in {found:#}"));
}

#[test]
fn health_tells_every_component_with_the_figure_that_belongs_to_its_kind() {
    let api = HttpServer::ok();
    let mut checks = format!("[checks.http.api]\nurl = \"{}\"\n", api.url("/health"));
    let mut wanted = vec![("api", "response_time_ms")];
    let postgres = require_env("HEALER_TEST_POSTGRES");
    if let Some(url) = &postgres {
        checks += &format!("[checks.postgres.database]\nurl = \"{url}\"\n");
        wanted.push(("database", "latency_ms"));
    }
    if let Some(url) = require_env("HEALER_TEST_REDIS") {
        checks += &format!("[checks.redis.redis]\nurl = \"{url}\"\n");
        wanted.push(("redis", "connected"));
    }
    checks += "[checks.command.raid]\ncommand = [\"/bin/echo\", \"fine\"]\n";
    let scene = scene(|p| p.checks = checks);
    let server = Server::start(&scene.root);
    let health = server.data("health");
    assert_eq!(health["overall_status"], "healthy", "{health:#}");
    for (name, figure) in wanted {
        let check = &health["checks"][name];
        assert_eq!(check["status"], "healthy", "{health:#}");
        assert!(check[figure].is_number() || check[figure] == true, "{name}/{figure} is not in {check:#}");
    }
    assert_eq!(health["checks"]["raid"]["status"], "healthy");
    assert!(health["age_s"].is_u64() && health["seen"].is_string());
    if postgres.is_some() {
        assert!(!health.to_string().contains("secret-of-the-tests"));
    }
}

#[test]
fn health_of_docker_counts_the_containers_that_run() {
    let Some(socket) = require_env("HEALER_TEST_DOCKER") else { return };
    let docker = format!("[checks.docker]\nsocket = \"{socket}\"\ninclude = [\"no-such-container-*\"]\n");
    let scene = scene(|_| {});
    let text = scene.root.read_text("healer.toml").replace("[checks.docker]\nenabled = false\n", &docker);
    scene.root.config(&text);
    let health = Server::start(&scene.root).data("health");
    assert_eq!(health["checks"]["docker"]["containers_running"], 0, "{health:#}");
}

#[test]
fn all_callers_share_one_look_also_when_some_of_them_go_away() {
    let scene = scene(counted);
    scene.root.write("hold", "");
    let server = Server::start(&scene.root);
    let ask = |count: usize| {
        let head = format!("GET /api/monitoring/health HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
        let server = &server;
        (0..count).map(move |_| {
            let mut stream = server.connect();
            std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
            stream
        })
    };
    // The one who began it is gone before it ends, and so are others.
    let first: Vec<_> = ask(1).collect();
    wait_until(|| runs(&scene.root) == 1);
    let gone: Vec<_> = ask(3).collect();
    drop((first, gone));
    // Answered after they were read: their end was seen by then.
    server.get("/api/monitoring/status").expect(200);
    let callers: Vec<_> = ask(10).collect();
    server.get("/api/monitoring/status").expect(200);
    std::fs::remove_file(scene.root.path("hold")).unwrap();
    let seen = callers.into_iter().map(|c| support::answer_on(c).expect(200).json()["data"]["seen"].to_string());
    let seen: BTreeSet<String> = seen.collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(runs(&scene.root), 1, "the check ran once for fourteen callers");
}

#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + support::DEADLINE;
    while !is_so() {
        assert!(std::time::Instant::now() < until, "it does not come to this");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
}

#[test]
fn where_no_check_can_be_run_health_is_what_the_last_pass_saw() {
    let scene = scene(counted);
    let server = Server::start_with(&scene.root, &["--no-checks"]);
    let before = server.get("/api/monitoring/health").expect(503);
    assert!(before.message().contains("no pass has looked yet"), "{before:#?}");
    scene.heal().expect_code(0);
    support::next_second();
    let health = server.data("health");
    assert_eq!((&health["overall_status"], runs(&scene.root)), (&"healthy".into(), 1), "{health:#}");
    assert_eq!(health["checks"]["counted"]["message"], "fine");
    assert!(health["age_s"].as_u64().unwrap() >= 1, "{health:#}");
}

#[test]
fn the_calls_answer_in_the_shapes_that_are_promised() {
    let scene = scene(|_| {});
    scene.log_errors(20);
    let server = Server::start(&scene.root);
    let pass = server.post("trigger-check?wait=true", "").expect(200).json();
    assert_keys(&pass, "/data", &["status", "issues", "timestamp", "health", "fix", "run_id", "exit_code"]);
    assert_eq!((&pass["data"]["fix"]["outcome"], &pass["data"]["issues"]), (&"healed".into(), &1.into()));

    let status = server.data("status");
    assert_keys(&status, "", &["autonomous_mode", "last_check", "fix_statistics", "recent_backups", "incidents"]);
    assert_eq!((&status["autonomous_mode"], &status["check_interval_minutes"]), (&"enabled".into(), &5.into()));
    let tries = json!({ "total": 1, "successes": 1, "success_rate": 1 });
    assert_eq!(status["fix_statistics"]["by_type"]["increase_delay"], tries);
    assert_eq!(status["fix_statistics"]["total_fixes"], 1);

    let stats = server.data("stats");
    assert_eq!((&stats["total_fixes"], &stats["success_rate"]), (&1.into(), &1.into()));
    assert_eq!(stats["by_type"], json!({ "increase_delay": tries }));
    assert!(stats["last_updated"].as_str().is_some_and(|t| t.len() == 20 && t.ends_with('Z')), "{stats:#}");

    let backups = server.data("backups");
    let id = scene.backups()[0].clone();
    assert_eq!((&backups["total"], &backups["backups"][0]["backup_id"]), (&1.into(), &id.clone().into()));
    let backup = &backups["backups"][0];
    assert_eq!(backup["timestamp"], id.trim_start_matches("backup_"));
    assert_eq!(backup["files"], json!([scene.root.path(PROGRAM_PATH)]));
    assert_eq!(
        (&backup["metadata"]["reason"], &backup["metadata"]["confidence"]),
        (&"rate_limiting".into(), &90.into())
    );
    assert_eq!(status["recent_backups"][0], *backup);

    let history = server.data("history");
    assert_eq!((&history["total"], &history["items"][0]["kind"]), (&1.into(), &"healed".into()), "{history:#}");
    assert!(history["items"][0]["diff"].as_str().unwrap().contains("+\tawait asyncio.sleep(1.2)"), "{history:#}");
    assert_keys(&history, "/items/0", &["addends", "evidence", "validation", "backup_id", "steps", "why"]);
    let trends = server.data("trends");
    assert_keys(&trends, "", &["checks", "host", "errors", "fixes"]);
    assert_eq!(trends["fixes"]["increase_delay"], tries);
    assert_eq!(trends["errors"]["hours"][0]["groups"].as_object().unwrap().values().next().unwrap(), 20);

    let rolled_back = server.post(&format!("rollback/{id}"), "").expect(200).json();
    assert_eq!(rolled_back["message"], format!("Rolled back to backup {id}"));
    assert_eq!(rolled_back["status"], "success");
    scene.assert_program("0.8");
    assert_eq!(server.data("history")["items"][0]["kind"], "rolled_back_by_operator");
}

#[test]
fn what_a_command_prints_as_json_is_what_the_call_answers() {
    let scene = scene(|p| p.confidence = "60".into());
    scene.log_errors(20);
    scene.heal().expect_code(10);
    let server = Server::start(&scene.root);
    for call in ["status", "stats", "backups"] {
        let printed = support::healer(&scene.root, &[call, "--json"]).expect_code(0).data();
        assert_eq!(server.data(call), printed, "{call}");
    }
}

#[test]
fn a_pass_that_goes_on_to_a_fix_is_told_when_it_has_looked_and_again_when_it_has_ended() {
    let scene = scene(|p| p.validate = "settle = \"0s\"\nwindow = \"2s\"\nmax_window = \"4s\"".into());
    let server = Server::start(&scene.root);
    let quiet = server.post("trigger-check", "").expect(200).json();
    assert_eq!((&quiet["data"]["issues"], &quiet["data"]["fix"]), (&0.into(), &Value::Null));
    support::next_second();
    scene.log_errors(20);
    let begun = server.post("trigger-check", "").expect(202).json();
    assert_eq!((&begun["data"]["issues"], &begun["status"]), (&1.into(), &"success".into()), "{begun:#}");
    let id = begun["data"]["run_id"].as_str().unwrap();
    assert_eq!(begun["data"]["location"], format!("/api/monitoring/runs/{id}"));
    let going_on = server.data(&format!("runs/{id}"));
    assert!(going_on["document"].is_null() && going_on["exit_code"].is_null(), "{going_on:#}");

    // It holds the lock; what takes none goes on.
    let locked = server.post("trigger-check", "").expect(423);
    assert!(locked.message().contains("process"), "{locked:#?}");
    server.post("pause", r#"{"duration":"1h","reason":"deploy"}"#).expect(200);
    server.post("resume", "").expect(200);
    let pid = server.data("status")["running"].as_str().unwrap().to_owned();
    assert!(pid.starts_with("process "), "{pid}");

    let ended = server.ended_run(id);
    assert_eq!((&ended["verb"], &ended["exit_code"]), (&"heal".into(), &0.into()), "{ended:#}");
    assert_eq!(ended["document"]["data"]["fix"]["outcome"], "healed");
    scene.assert_program("1.2");
}

#[test]
fn the_first_pass_of_all_is_answered_as_soon_as_any_other() {
    let scene = scene(|p| p.validate = "settle = \"0s\"\nwindow = \"2s\"\nmax_window = \"4s\"".into());
    scene.log_errors(20);
    let server = Server::start(&scene.root);
    let begun = server.post("trigger-check", "").expect(202).json();
    server.ended_run(begun["data"]["run_id"].as_str().unwrap());
}

#[test]
fn a_held_plan_is_applied_when_it_is_asked_for_and_no_other() {
    let scene = scene(|p| p.top = "mode = \"suggest\"".into());
    scene.log_errors(20);
    let server = Server::start(&scene.root);
    server.post("trigger-check?wait=true", "").expect(200);
    scene.assert_program("0.8");
    let incidents = server.data("incidents");
    let diagnosis = &incidents["incidents"][0]["diagnosis"];
    assert_eq!((&diagnosis["hold"], &diagnosis["needs_human"]), (&"suggest".into(), &true.into()), "{incidents:#}");
    assert!(diagnosis["diff"].as_str().unwrap().contains("asyncio.sleep(1.2)"));
    let plan = diagnosis["plan"]["id"].as_str().unwrap();
    for other in ["plan_0123456789ab", "plan_A", "x"] {
        server.post(&format!("plans/{other}/apply?wait=true"), "").expect(404);
    }
    scene.root.write("STOP", "");
    let stopped = server.post(&format!("plans/{plan}/apply?wait=true"), "").expect(409);
    assert!(stopped.message().contains("STOP"), "{stopped:#?}");
    scene.assert_program("0.8");
    std::fs::remove_file(scene.root.path("STOP")).unwrap();
    let applied = server.post(&format!("plans/{plan}/apply?wait=true"), "").expect(200).json();
    assert_eq!(applied["data"]["fix"]["outcome"], "healed", "{applied:#}");
    scene.assert_program("1.2");
    assert_eq!(server.data("status")["autonomous_mode"], "suggest");
}

#[test]
fn a_rollback_is_refused_when_a_human_has_changed_the_file_since() {
    let scene = scene(|_| {});
    scene.log_errors(20);
    scene.heal().expect_code(0);
    let changed = scene.program().replace("1.2", "3.5");
    scene.root.write(PROGRAM_PATH, &changed);
    let server = Server::start(&scene.root);
    let refused = server.post(&format!("rollback/{}", scene.backups()[0]), "").expect(409);
    assert!(refused.message().contains("changed since"), "{refused:#?}");
    assert_eq!(scene.program(), changed);
}

#[test]
fn what_is_not_there_is_not_found() {
    let scene = scene(|_| {});
    scene.heal().expect_code(0);
    let server = Server::start(&scene.root);
    for call in [
        "rollback/backup_20251019_170000",
        "rollback/latest",
        "rollback/..%2f..%2fetc",
        "rollback/",
        "incidents/inc_1/ack",
        "incidents/--for=1h/ack",
        "plans/plan_1/apply",
    ] {
        server.post(call, "").expect(404);
    }
    server.post("pause", r#"{"duration":"1h","reason":"x","rule":"no-such-rule"}"#).expect(404);
    for path in ["/x", "/api/monitoring/runs/run_1", "/api/monitoring/", "/api/monitoring/health/", "//", "/%2e%2e/"] {
        server.get(path).expect(404);
    }
}

#[test]
fn a_body_that_is_not_what_a_call_takes_is_refused() {
    let scene = scene(|_| {});
    let server = Server::start(&scene.root);
    for body in [
        "",
        "{}",
        "nonsense",
        "null",
        r#"["1h","x",null]"#,
        r#"{"duration":"1h"}"#,
        r#"{"duration":"1h","reason":""}"#,
        r#"{"duration":"soon","reason":"x"}"#,
        r#"{"duration":"0s","reason":"x"}"#,
        r#"{"duration":"1h","reason":"--rule=slow-down"}"#,
        r#"{"duration":"1h","reason":"a\nb"}"#,
        r#"{"duration":"1h","reason":"x","force":true}"#,
        r#"{"duration":3600,"reason":"x"}"#,
    ] {
        server.post("pause", body).expect(400);
    }
    assert_eq!(server.data("status")["autonomous_mode"], "enabled");
    server.post("incidents/inc_1/ack", "[null]").expect(400);
    server.post("trigger-check?wait=yes", "").expect(400);
}

#[test]
fn a_pause_holds_fixes_until_it_is_ended() {
    let scene = scene(|_| {});
    let server = Server::start(&scene.root);
    let paused = server.post("pause", r#"{"duration":"1h","reason":"deploy"}"#).expect(200).json();
    assert_eq!((&paused["data"]["seconds"], &paused["data"]["reason"]), (&3600.into(), &"deploy".into()));
    assert_eq!(server.data("status")["autonomous_mode"], "paused");
    scene.log_errors(20);
    server.post("trigger-check?wait=true", "").expect(200);
    scene.assert_program("0.8");
    assert_eq!(server.post("resume", "").expect(200).json()["data"]["was_paused"], true);
    assert_eq!(server.data("status")["autonomous_mode"], "enabled");
    support::next_second();
    scene.log_errors(20);
    server.post("trigger-check?wait=true", "").expect(200);
    scene.assert_program("1.2");
    let of_rule = r#"{"duration":"1h","reason":"deploy","rule":"slow-down"}"#;
    server.post("pause", of_rule).expect(200);
    assert_eq!(server.data("status")["pauses"][0]["rule"], "slow-down");
}

#[test]
fn an_incident_that_was_seen_is_not_told_of_again() {
    let alerts = "[alerts]\nrepeat = \"1ms\"\ncommand = [[\"/bin/sh\", \"-c\", \"cat >> {root}/alerts; echo >> {root}/alerts\"]]\n";
    let scene = scene(|p| {
        p.confidence = "60".into();
        p.rest = format!("{alerts}{SERVING}");
    });
    let told = || std::fs::read_to_string(scene.root.path("alerts")).unwrap_or_default().lines().count();
    let server = Server::start(&scene.root);
    let pass = || {
        scene.log_errors(20);
        server.post("trigger-check?wait=true", "").expect(200);
        told()
    };
    assert_eq!((pass(), pass()), (1, 2), "it is told every time");
    let id = server.data("incidents")["incidents"][0]["id"].as_str().unwrap().to_owned();
    server.post(&format!("incidents/{id}/ack"), r#"{"duration":"1h"}"#).expect(200);
    assert!(server.data("status")["incidents"][0]["acknowledged_by"].is_string());
    assert_eq!(pass(), 2);
    assert_eq!(server.data("history")["items"][0]["kind"], "acknowledged");
}

#[test]
fn openapi_describes_every_route_and_nothing_else() {
    let scene = scene(|_| {});
    let server = Server::start(&scene.root);
    let openapi = server.get("/openapi.json").expect(200).json();
    assert_eq!(openapi["info"]["version"], env!("CARGO_PKG_VERSION"));
    for (path, operations) in openapi["paths"].as_object().unwrap() {
        let concrete = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
        let path = concrete.collect::<Vec<_>>().join("/");
        let methods: Vec<String> = operations.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect();
        // Of a method that is not described, it says what is: so no path is here that is not there.
        let allowed = server.ask("DELETE", &path, &support::bearer(support::TOKEN), "").expect(405);
        let allowed: Vec<&str> = allowed.header("allow").unwrap().split(", ").filter(|m| *m != "HEAD").collect();
        assert_eq!(methods, allowed, "{path}");
    }
}
