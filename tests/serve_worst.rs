//! `healer serve` on a bad day: peers that take nothing, secrets where nobody expects them, files that cannot be read, a
//! pass that was killed, and everybody asking at once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::{PROGRAM_PATH, Root, SERVING, Scene, Server, TOKEN, answer_on, bearer, healer};

fn scene() -> Scene {
    Scene::new(|p| p.rest = SERVING.into())
}

/// Sends a POST with the token, and does not wait.
fn ask(server: &Server, call: &str, body: &str) -> TcpStream {
    let mut stream = server.connect();
    let head = format!("POST /api/monitoring/{call} HTTP/1.1\r\nHost: {}\r\n{}", server.address, bearer(TOKEN));
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let request = format!("{head}{kind}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[test]
fn a_peer_that_takes_nothing_of_its_answers_is_let_go() {
    let scene = scene();
    let server = Server::start(&scene.root);
    let request = format!("GET /openapi.json HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let mut greedy = server.connect();
    greedy.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    // Until it is not read from any more: its answers fill every buffer on the way.
    let wrote = |greedy: &mut TcpStream| greedy.write_all(request.repeat(50).as_bytes());
    let begin = Instant::now();
    let ended = loop {
        match wrote(&mut greedy) {
            Err(error) if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                break error;
            }
            _ => assert!(begin.elapsed() < Duration::from_secs(60), "it is still there"),
        }
    };
    assert!(begin.elapsed() > Duration::from_secs(5), "not at the first moment: {ended}");
    server.get("/api/monitoring/status").expect(200);
}

#[test]
fn secrets_around_an_edit_in_logs_and_in_what_checks_say_come_out_of_nothing() {
    const CANARIES: [&str; 6] = ["CANARYfile1", "CANARYfile2", "CANARYlog1", "CANARYlog2", "CANARYlog3", "CANARYcheck"];
    let scene = Scene::new(|p| {
        p.checks = "[checks.command.said]\ncommand = [\"/bin/sh\", \"-c\", \"echo 'no login with password=CANARYcheck'; exit 1\"]".into();
        p.rest = format!("{SERVING}[alerts]\ncommand = [[\"/bin/sh\", \"-c\", \"cat >> {{root}}/alerts\"]]\n");
    });
    let program =
        "DB_PASSWORD = \"CANARYfile1\"\nURL = \"postgres://app:CANARYfile2@db/x\"\nawait asyncio.sleep(0.8)\n";
    scene.root.write(
        PROGRAM_PATH,
        format!(
            "import asyncio\nasync def work():\n    pass\n{}",
            program.replace("await", "asyncio.run(").replace(")\n", "))\n")
        ),
    );
    let server = Server::start(&scene.root);
    let mut events = server.events(None);
    for _ in 0..9 {
        let line = "ERROR 429 Client Error: Too Many Requests password=CANARYlog1 Authorization: Bearer CANARYlog2 at https://u:CANARYlog3@x/\n";
        scene.root.append("worker.log", line);
    }
    let done = server.post("trigger-check?wait=true", "").expect(200);
    assert_eq!(done.json()["data"]["fix"]["outcome"], "healed", "{done:#?}");
    let seen = events.until("pass_ended");
    let mut all = vec![("trigger-check".to_owned(), done.body.clone()), ("last event".to_owned(), format!("{seen:?}"))];
    for path in ["/", "/dashboard", "/metrics"] {
        all.push((path.to_owned(), server.ask("GET", path, &bearer(TOKEN), "").body));
    }
    for call in ["health", "status", "incidents", "history", "trends", "backups", "stats"] {
        let path = format!("/api/monitoring/{call}");
        all.push((path.clone(), server.ask("GET", &path, &bearer(TOKEN), "").body));
    }
    for file in ["state/events.jsonl", "state/last_pass.json", "alerts"] {
        all.push((file.to_owned(), scene.root.read_text(file)));
    }
    assert!(all.iter().any(|(_, text)| text.contains("sleep(1.2)")), "the difference is shown");
    for (place, text) in &all {
        let found: Vec<_> = CANARIES.iter().filter(|canary| text.contains(**canary)).collect();
        assert!(found.is_empty(), "{found:?} in {place}: {text}");
    }
}

#[test]
fn what_errors_look_like_is_for_who_may_read_logs() {
    let scene = scene();
    scene.log_errors(3);
    scene.heal();
    let server = Server::start(&scene.root);
    let groups = |headers: &str| {
        let trends = server.ask("GET", "/api/monitoring/trends", headers, "").expect(200).json();
        assert_eq!(trends["data"]["errors"]["hours"][0]["groups"].as_object().unwrap().len(), 1, "{trends:#}");
        trends["data"]["errors"]["groups"].as_object().unwrap().len()
    };
    assert_eq!((groups(""), groups(&bearer(TOKEN))), (0, 1));
}

#[test]
fn everybody_who_pauses_or_acknowledges_at_once_is_heard() {
    let scene = Scene::new(|p| {
        p.checks = "[checks.command.down]\ncommand = [\"/bin/false\"]\n[checks.command.dead]\ncommand = [\"/bin/sh\", \"-c\", \"exit 2\"]".into();
        p.rest = SERVING.into();
    });
    scene.heal();
    let server = Server::start(&scene.root);
    let incidents = server.data("status")["incidents"].clone();
    let ids: Vec<&str> = incidents.as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap()).collect();
    assert!(!ids.is_empty(), "{incidents:#}");
    let (all, rule) = (r#"{"duration":"1h","reason":"a"}"#, r#"{"duration":"2h","reason":"b","rule":"slow-down"}"#);
    for _ in 0..3 {
        let pauses = [all, rule, all, rule].map(|body| ("pause".to_owned(), body));
        let acks = ids.iter().map(|id| (format!("incidents/{id}/ack"), ""));
        // All are sent before any answer is waited for.
        let asked: Vec<TcpStream> =
            pauses.into_iter().chain(acks).map(|(call, body)| ask(&server, &call, body)).collect();
        for stream in asked {
            answer_on(stream).expect(200);
        }
        let status = server.data("status");
        assert_eq!(status["pauses"].as_array().unwrap().len(), 2, "{status:#}");
        let seen = status["incidents"].as_array().unwrap().iter().filter(|i| !i["acknowledged_by"].is_null()).count();
        assert_eq!(seen, ids.len(), "{status:#}");
        server.post("resume", "").expect(200);
    }
}

#[test]
fn a_page_says_what_could_not_be_read_and_shows_the_rest() {
    let check = |file: &str, damage: &dyn Fn(&Root), words: &str| {
        let scene = scene();
        scene.heal().expect_code(0);
        damage(&scene.root);
        let server = Server::start_with(&scene.root, &[]);
        let page = server.ask("GET", "/", &bearer(TOKEN), "").expect(200);
        assert!(page.body.contains("could be read") && page.body.contains(words), "{file}: {}", page.body);
        server.get("/metrics").expect(200);
    };
    let garbage = |file: &'static str| move |root: &Root| _ = root.write(format!("state/{file}"), "{ no json");
    check("last_pass.json", &garbage("last_pass.json"), "last_pass.json is damaged");
    check("state.json", &garbage("state.json"), "state.json is damaged");
    check("pause.json", &garbage("pause.json"), "pause.json is damaged");
    let a_directory = |root: &Root| {
        std::fs::remove_file(root.path("state/events.jsonl")).unwrap();
        std::fs::create_dir(root.path("state/events.jsonl")).unwrap();
    };
    check("events.jsonl", &a_directory, "events.jsonl");

    // No fix is made while it cannot be read, and that is what is said.
    let scene = scene();
    scene.heal().expect_code(0);
    scene.root.write("state/pause.json", "{ no json");
    let status = healer(&scene.root, &["status", "--json"]).data();
    assert_eq!(status["autonomous_mode"], "paused", "{status:#}");
    assert!(status["unreadable"][0].as_str().unwrap().contains("pause.json"), "{status:#}");
}

#[test]
fn a_fix_whose_pass_was_killed_is_said_to_be_left_open() {
    let scene = Scene::new(|p| {
        p.validate = "settle = \"0s\"\nwindow = \"60s\"\nmax_window = \"60s\"".into();
        p.rest = SERVING.into();
    });
    scene.log_errors(9);
    let server = Server::start(&scene.root);
    let pass = scene.spawn_into_window();
    let page = |words: &str| {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let page = server.ask("GET", "/", &bearer(TOKEN), "").expect(200).body;
            if page.contains(words) {
                return;
            }
            assert!(Instant::now() < until, "{words:?} is not in {page}");
            std::thread::yield_now();
        }
    };
    page("being fixed: validating");
    drop(pass);
    page("a fix was left open");
}

#[test]
fn a_large_page_is_packed_for_who_takes_that() {
    let scene = Scene::new(|p| {
        let check = |n: u32| format!("[checks.command.check-{n}]\ncommand = [\"/bin/true\"]\n");
        p.checks = (0..100).map(check).collect();
        p.rest = SERVING.into();
    });
    scene.heal().expect_code(0);
    let server = Server::start_with(&scene.root, &[]);
    let plain = server.get("/").expect(200);
    assert!(plain.header("content-encoding").is_none() && plain.body.contains("check-99"));
    let mut sizes = 0;
    for path in ["/", "/app.js", "/style.css"] {
        let packed = server.ask("HEAD", path, "Accept-Encoding: br, gzip;q=0.8\r\n", "").expect(200);
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        sizes += packed.header("content-length").unwrap().parse::<usize>().unwrap();
    }
    assert!(sizes < 80_000, "{sizes} bytes with a hundred checks");
}
