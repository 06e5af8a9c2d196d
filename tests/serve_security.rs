//! Who gets nothing from `healer serve`: strangers, other sites' pages, peers that hold on to connections; and what nobody
//! gets: secrets, and log text as anything but data.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Got, HttpServer, Root, SERVING, Scene, Server, TOKEN, bearer, healer, skip};

fn scene() -> Scene {
    Scene::new(|p| p.rest = SERVING.into())
}

const TRIGGER: &str = "/api/monitoring/trigger-check";
const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn who_does_not_belong_gets_nothing_and_moves_nothing() {
    let scene = scene();
    let server = Server::start(&scene.root);
    let (own, port) = (server.address.to_string(), server.address.port());
    let check = |method: &str, path: &str, headers: &str, body: &str, status: u16| -> Got {
        server.ask(method, path, headers, body).expect(status)
    };
    let (right, wrong) = (bearer(TOKEN), bearer(&TOKEN.replace('0', "1")));
    // The token: wrong ones are refused whatever is asked for.
    for path in ["/", "/api/monitoring/status", "/api/monitoring/incidents", "/openapi.json"] {
        check("GET", path, &wrong, "", 401);
    }
    for headers in ["", &wrong, &right.repeat(2), "Authorization: Basic eDp4\r\n", &bearer("")] {
        check("POST", TRIGGER, headers, "", 401);
        check("POST", &format!("{TRIGGER}?token={TOKEN}"), headers, "", 401);
    }
    for call in ["incidents", "history", "events", "runs/run_1"] {
        check("GET", &format!("/api/monitoring/{call}"), "", "", 401);
    }
    for path in ["/", "/metrics", "/api/monitoring/status"] {
        check("GET", path, "", "", 200);
    }
    // Pages of other sites.
    for origin in ["http://evil.example", "null", &format!("http://localhost:{port}"), "http://127.0.0.1"] {
        check("POST", TRIGGER, &format!("{right}Origin: {origin}\r\n"), "", 403);
        check("GET", "/api/monitoring/status", &format!("Origin: {origin}\r\n"), "", 403);
    }
    for site in ["cross-site", "same-site"] {
        check("POST", TRIGGER, &format!("{right}Origin: http://{own}\r\nSec-Fetch-Site: {site}\r\n"), "", 403);
    }
    // Names of others: also with the token.
    for host in ["evil.example", &format!("127.0.0.1.evil.example:{port}"), "127.0.0.2", "[::1"] {
        server.send(format!("POST {TRIGGER} HTTP/1.1\r\nHost: {host}\r\n{right}\r\n")).expect(421);
    }
    server.send(format!("GET / HTTP/1.1\r\nHost: {own}\r\nHost: {own}\r\n\r\n")).expect(421);
    server.send("GET / HTTP/1.0\r\n\r\n").expect(421);
    server.send(format!("GET http://evil.example/ HTTP/1.1\r\nHost: {own}\r\n\r\n")).expect(421);
    // Bodies and heads.
    check("POST", TRIGGER, &format!("{right}Content-Type: text/plain\r\n"), "{}", 415);
    check("POST", TRIGGER, &right, "{}", 415);
    check("POST", TRIGGER, &format!("{right}{JSON}"), &" ".repeat(65_537), 413);
    let chunk = format!("{:x}\r\n{}\r\n", 40_000, " ".repeat(40_000));
    let chunked = format!("Transfer-Encoding: chunked\r\n{right}{JSON}");
    let head = format!("POST {TRIGGER} HTTP/1.1\r\nHost: {own}\r\n{chunked}\r\n");
    server.send(format!("{head}{chunk}{chunk}0\r\n\r\n")).expect(413);
    server.send(format!("{head}nonsense")).expect(400);
    check("GET", "/", &format!("X: {}\r\n", "a".repeat(17_000)), "", 431);
    check("GET", &format!("/?{}", "a".repeat(17_000)), "", "", 431);
    // Methods.
    for (method, path, allowed) in [
        ("GET", TRIGGER, "POST"),
        ("HEAD", "/api/monitoring/pause", "POST"),
        ("OPTIONS", TRIGGER, "POST"),
        ("DELETE", "/api/monitoring/backups", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
        ("PUT", "/", "GET, HEAD"),
    ] {
        assert_eq!(check(method, path, &right, "", 405).header("allow"), Some(allowed), "{method} {path}");
    }
    assert!(!scene.root.state_dir().exists(), "nothing of all this began anything");
    check("POST", TRIGGER, &format!("{right}Origin: http://{own}\r\nSec-Fetch-Site: same-origin\r\n"), "", 200);
}

#[test]
fn without_actions_nothing_is_done_whoever_asks() {
    let scene = scene();
    let server = Server::start_with(&scene.root, &[]);
    for call in [
        "trigger-check",
        "rollback/backup_20251019_170000",
        "plans/plan_1/apply",
        "pause",
        "resume",
        "incidents/inc_1/ack",
    ] {
        let refused = server.post(call, "").expect(403);
        assert!(refused.message().contains("--enable-actions"), "{refused:#?}");
    }
    assert!(!scene.root.state_dir().exists());
}

#[test]
fn head_is_get_without_its_body() {
    let scene = scene();
    scene.heal().expect_code(0);
    let server = Server::start_with(&scene.root, &["--no-checks"]);
    for path in ["/openapi.json", "/metrics", "/app.js", "/api/monitoring/backups", "/api/monitoring/stats"] {
        let (get, head) = (server.get(path).expect(200), server.ask("HEAD", path, &bearer(TOKEN), "").expect(200));
        assert_eq!((head.header("content-length"), head.body.as_str()), (get.header("content-length"), ""), "{path}");
    }
    server.ask("HEAD", "/x", "", "").expect(404);
}

#[test]
fn it_starts_only_where_who_may_do_something_is_known() {
    let check = |serve: &str, args: &[&str], why: &str| {
        let root = Root::new();
        let quiet = "[checks.docker]\nenabled = false\n[checks.host]\nenabled = false\n";
        root.config(&format!("{quiet}[serve]\n{serve}\n"));
        let args: Vec<&str> = ["serve"].iter().chain(args).copied().collect();
        let ran = healer(&root, &args);
        assert!(!matches!(ran.code, Some(0) | None), "{ran:#?}");
        assert!(ran.stderr.contains(why), "{why:?} is not in {}", ran.stderr);
        (root, ran)
    };
    let any = ["--listen", "127.0.0.1:0"];
    check("", &["--listen", "0.0.0.0:0"], "can be reached from elsewhere, so a token is needed");
    check("", &["--listen", "[::]:0"], "can be reached from elsewhere, so a token is needed");
    check("", &["--listen", "127.0.0.1:0", "--enable-actions"], "--enable-actions needs a token");
    check("token = \"short\"", &any, "under 32 characters");
    check(&format!("token = \"{} {}\"", "a".repeat(20), "b".repeat(20)), &any, "printable ASCII");
    // What only the server needs is missed only there.
    let (root, ran) = check("token = \"${credential:healer_token}\"", &any, "healer_token");
    assert!(ran.stderr.contains("[serve]"), "{}", ran.stderr);
    healer(&root, &["status"]).expect_code(0);
    healer(&root, &["heal"]).expect_code(0);
}

#[test]
fn who_sends_his_head_slowly_or_nothing_at_all_is_let_go() {
    let scene = scene();
    let server = Server::start(&scene.root);
    let whole = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let begin = Instant::now();
    let mut all: Vec<(&str, TcpStream)> =
        ["", "GET", "GET / HTTP/1.1\r\nX: y", whole.as_str()].map(|text| (text, server.connect())).into();
    for (text, stream) in &mut all {
        stream.write_all(text.as_bytes()).unwrap();
    }
    for (text, stream) in &mut all {
        let mut rest = Vec::new();
        // Until the server closes it; a peer that goes on sending meanwhile would be reset.
        let _ = stream.read_to_end(&mut rest);
        let after = begin.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_secs(30)).contains(&after), "{text:?}: {after:?}");
        assert_eq!(String::from_utf8_lossy(&rest).contains("healer_info"), *text == whole);
    }
}

/// A connection of which the near end is another loopback address.
fn from(address: [u8; 4], server: &Server) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &std::net::SocketAddr::from((address, 0))).unwrap();
    connect(&socket, &server.address).unwrap();
    TcpStream::from(socket)
}

#[test]
fn a_peer_with_more_connections_than_there_are_keeps_nobody_else_out() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile).maximum;
    if limit.is_some_and(|limit| limit < 4_000) {
        return skip("fewer than 4000 descriptors are allowed here");
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    let scene = scene();
    let server = Server::start(&scene.root);
    let slow: Vec<TcpStream> = (0..2_000).map(|_| from([127, 0, 0, 2], &server)).collect();
    for mut stream in &slow {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n");
    }
    let begin = Instant::now();
    server.get("/metrics").expect(200);
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "not only because the slow ones were let go: {:?}",
        begin.elapsed()
    );
    drop(slow);
}

/// Everything that can be read: each call, the page, the figures, the events so far.
fn everything(server: &Server, since: &str) -> Vec<(String, String)> {
    let paths = [
        "/",
        "/dashboard",
        "/metrics",
        "/openapi.json",
        "/app.js",
        "/style.css",
        "/api/monitoring/health",
        "/api/monitoring/status",
        "/api/monitoring/backups",
        "/api/monitoring/stats",
        "/api/monitoring/incidents",
        "/api/monitoring/history",
        "/api/monitoring/trends",
    ];
    let mut all: Vec<_> = paths.map(|path| (path.to_owned(), server.get(path).expect(200).body)).into();
    let mut events = server.events(Some(since));
    events.until("end");
    all.push(("events".to_owned(), events.raw));
    all
}

/// Marks the end of the log for [`everything`]; returns the id of its beginning.
fn mark_end(scene: &Scene) {
    scene.root.append("state/events.jsonl", "{\"t\":\"2026-01-01T00:00:00Z\",\"kind\":\"end\"}\n");
}

#[test]
fn no_secret_comes_out_of_anything() {
    let secrets = ["canary-url-5f1c", "canary-header-7d2e", "canary-webhook-9a3b", TOKEN];
    assert!(secrets.iter().all(|secret| secret.starts_with("canary")), "so that also a part of one is found");
    let closed = support::free_port();
    let hook = HttpServer::ok();
    let scene = Scene::new(|p| {
        p.checks = format!(
            "[checks.http.api]\nurl = \"http://u:${{file:{{root}}/url}}@127.0.0.1:{closed}/?k=${{file:{{root}}/url}}\"\n\
             headers = {{ X-Key = \"${{file:{{root}}/header}}\" }}\n"
        );
        let told = "command = [[\"/bin/sh\", \"-c\", \"cat >> {root}/alerts\"]]";
        let hook = hook.url("/${file:{root}/hook}");
        p.rest = format!("[alerts]\nwebhook = [{{ url = \"{hook}\", format = \"json\" }}]\n{told}\n{SERVING}");
    });
    for (name, secret) in ["url", "header", "hook"].iter().zip(&secrets) {
        scene.root.write(name, secret);
    }
    // What is secret stands in the log too, and in what is asked for.
    let line = support::RATE_LIMITED.replace("http://x/", &secrets.join(" "));
    scene.root.append("worker.log", line.repeat(20));
    let server = Server::start(&scene.root);
    let pass = server.post("trigger-check?wait=true", "").expect(200);
    assert!(pass.body.contains("\"outcome\":\"healed\""), "{pass:#?}");
    let pause = format!(r#"{{"duration":"1h","reason":"because of {}"}}"#, secrets[0]);
    let paused = server.post("pause", &pause).expect(200);
    let rolled_back = server.post(&format!("rollback/{}", scene.backups()[0]), "").expect(200);
    let refused = server.post(&format!("rollback/{}", secrets[0]), "").expect(404);
    mark_end(&scene);
    let mut all = everything(&server, "00000000-0");
    all.extend(
        [("pass", pass), ("pause", paused), ("rollback", rolled_back), ("refused", refused)]
            .map(|(n, g)| (n.into(), g.body)),
    );
    let run = server.get(&format!(
        "/api/monitoring/runs/{}",
        all[all.len() - 4].1.split("\"run_id\":\"").nth(1).unwrap().split('"').next().unwrap()
    ));
    all.push(("run".into(), run.expect(200).body));
    all.push(("alerts".into(), scene.root.read_text("alerts")));
    all.push(("webhook".into(), hook.wait_for_requests(1).iter().map(|r| r.body.clone()).collect()));
    all.push(("state".into(), scene.state_text()));
    for (place, text) in &all {
        if let Some(at) = text.find("canary") {
            panic!("a secret is in {place}: {}", text[at..].chars().take(60).collect::<String>());
        }
    }
    assert!(all.iter().any(|(place, text)| place == "events" && text.contains("***")), "the log line was there");
}

#[test]
fn what_a_log_says_is_data_and_nothing_else() {
    let hostile = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)> \u{1b}[31m\u{1b}]0;owned\u{7} \u{9b}31m \u{7f} \u{202e}desrever\u{2066} \
                   \u{2028} {{7*7}} ${jndi:ldap://x} id: 1";
    let scene = Scene::new(|p| {
        p.rest = SERVING.into();
        p.confidence = "60".into();
        p.checks = "[checks.command.\"<b>x<b>\"]\ncommand = [\"/bin/cat\", \"{root}/said\"]\n".into();
    });
    scene.root.write("said", format!("{hostile}\n"));
    scene.root.append("worker.log", support::RATE_LIMITED.replace("http://x/", hostile).repeat(20));
    let server = Server::start(&scene.root);
    let pass = server.post("trigger-check?wait=true", "").expect(200);
    mark_end(&scene);
    let mut all = everything(&server, "00000000-0");
    all.push(("pass".to_owned(), pass.body));
    let is_control = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for (place, text) in &all {
        let is_api = place.starts_with("/api/") || place == "pass";
        let strange: Vec<char> =
            text.chars().filter(|c| is_control(*c) && (is_api || !"\r\n\t".contains(*c))).collect();
        assert!(strange.is_empty(), "{strange:?} in {place}: {text}");
        if is_api {
            serde_json::from_str::<serde_json::Value>(text).unwrap();
        } else if !["events", "/metrics"].contains(&place.as_str()) {
            for markup in ["<script>alert", "<img src=x", "<b>x"] {
                assert!(!text.contains(markup), "{markup} in {place}: {text}");
            }
        }
    }
    let incidents = server.data("incidents");
    assert!(incidents.to_string().contains("<script>alert(1)</script>"), "as data it is there: {incidents:#}");
}

/// Names of the families in a text of Prometheus' format.
fn families(text: &str) -> std::collections::BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

#[test]
fn the_figures_are_what_prometheus_reads_and_the_same_as_in_the_textfile() {
    if Command::new("promtool").arg("--version").output().is_err() {
        return skip("promtool is not installed (package prometheus)");
    }
    let name = "a \\\"b\\\\ <c> {d} \u{e4}";
    let scene = Scene::new(|p| {
        p.checks = format!("[checks.tcp.\"{name}\"]\naddress = \"127.0.0.1:{}\"\n", support::free_port());
        p.rest = format!("[metrics]\ntextfile = \"{{root}}/healer.prom\"\n{SERVING}");
        p.limits += "\ncircuit_failures = 1";
        p.validate = "settle = \"0s\"\nwindow = \"300ms\"\nmax_window = \"1s\"".into();
    });
    let server = Server::start(&scene.root);
    let check = |families_wanted: &[&str]| {
        let text = server.get("/metrics").expect(200).body;
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap();
        let said = [said.stdout, said.stderr].map(|s| String::from_utf8(s).unwrap()).concat();
        assert_eq!(said, "", "of\n{text}");
        for family in families_wanted {
            assert!(families(&text).contains(family), "{family} is not in\n{text}");
        }
        text
    };
    check(&["healer_info"]);
    let worker = scene.hopeless_worker().after(20);
    let pass = server.post("trigger-check?wait=true", "").expect(200);
    assert!(pass.body.contains("rolled_back"), "{pass:#?}");
    drop(worker);
    let text = check(&["healer_check_status", "healer_incident", "healer_fixes_total", "healer_errors_total"]);
    assert_eq!(families(&text), families(&scene.root.read_text("healer.prom")));
    assert!(text.contains(r#"check="a \"b\\ <c> {d} ä""#), "{text}");
    assert!(text.contains("healer_circuit_open{"), "{text}");
}
