//! `healer serve --requests`: a server that has no right to do anything leaves what it is asked for, and another process
//! carries it out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::{Got, Parts, SERVING, Scene, Server, answer_on, bearer, healer, spawn};

fn scene(change: impl FnOnce(&mut Parts)) -> Scene {
    let scene = Scene::new(|p| {
        p.rest = SERVING.into();
        change(p);
    });
    std::fs::create_dir(scene.root.path("requests")).unwrap();
    scene
}

fn server(scene: &Scene) -> Server {
    let dir = scene.root.path("requests").display().to_string();
    Server::start_with(&scene.root, &["--enable-actions", "--no-checks", "--requests", &dir])
}

/// The requests that lie there, whole.
fn left(scene: &Scene) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(scene.root.path("requests")).unwrap().map(|e| e.unwrap().path());
    let mut all: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
    all.sort();
    all
}

/// Sends a call and waits until its request lies there; its answer is yet to come.
#[track_caller]
fn asked(scene: &Scene, server: &Server, call: &str) -> std::net::TcpStream {
    let before = left(scene).len();
    let mut stream = server.connect();
    let (host, bearer) = (server.address, bearer(support::TOKEN));
    let head = format!("POST /api/monitoring/{call} HTTP/1.1\r\nHost: {host}\r\n{bearer}\r\n");
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    until(|| left(scene).len() > before);
    stream
}

#[track_caller]
fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + support::DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "it does not come to this");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn requests(scene: &Scene) -> support::Ran {
    healer(&scene.root, &["requests", scene.root.path("requests").to_str().unwrap()])
}

/// Carries out what a call leaves.
#[track_caller]
fn carried_out(scene: &Scene, server: &Server, call: &str) -> Got {
    let stream = asked(scene, server, call);
    assert_eq!(requests(scene).expect_code(0).stdout, "1 request\n");
    assert!(left(scene).is_empty());
    answer_on(stream)
}

#[test]
fn what_is_asked_for_is_left_carried_out_by_another_process_and_answered() {
    let scene = scene(|_| {});
    scene.log_errors(20);
    let server = server(&scene);
    let stream = asked(&scene, &server, "trigger-check?wait=true");
    assert!(!scene.root.state_dir().exists(), "the server itself writes nothing but the request");
    scene.assert_program("0.8");
    requests(&scene).expect_code(0);
    let pass = answer_on(stream).expect(200).json();
    assert_eq!((&pass["data"]["fix"]["outcome"], &pass["data"]["exit_code"]), (&"healed".into(), &0.into()));
    scene.assert_program("1.2");
    let id = scene.backups()[0].clone();
    let rolled_back = carried_out(&scene, &server, &format!("rollback/{id}")).expect(200).json();
    assert_eq!(rolled_back["message"], format!("Rolled back to backup {id}"));
    scene.assert_program("0.8");
    let refused = carried_out(&scene, &server, "rollback/backup_20251019_170000").expect(404);
    assert!(refused.message().contains("backup_20251019_170000"), "{refused:#?}");
}

#[test]
fn a_fix_is_told_while_it_is_made_and_what_needs_no_lock_does_not_wait_for_it() {
    let scene = scene(|p| p.validate = "settle = \"0s\"\nwindow = \"3s\"\nmax_window = \"6s\"".into());
    scene.log_errors(20);
    let server = server(&scene);
    let pass = asked(&scene, &server, "trigger-check");
    let carrying = spawn(&scene.root, &["requests", scene.root.path("requests").to_str().unwrap()]);
    let begun = answer_on(pass).expect(202).json();
    server.post("pause", r#"{"duration":"1h","reason":"deploy"}"#).expect(200);
    server.post("trigger-check", "").expect(423);
    let id = begun["data"]["run_id"].as_str().unwrap();
    assert!(server.data(&format!("runs/{id}"))["document"].is_null(), "it still watches");
    assert_eq!(server.ended_run(id)["document"]["data"]["fix"]["outcome"], "healed");
    assert_eq!(carrying.wait().expect_code(0).stdout, "3 requests\n");
}

#[test]
fn where_nobody_picks_requests_up_it_is_said_what_is_missing() {
    let scene = scene(|_| {});
    let server = server(&scene);
    let lost = server.post("trigger-check?wait=true", "").expect(500);
    assert!(lost.message().contains("healer-requests.path"), "{lost:#?}");
    assert!(left(&scene).is_empty(), "it was taken back");
    assert_eq!(requests(&scene).expect_code(0).stdout, "0 requests\n");
}

#[test]
fn where_nothing_can_be_left_it_is_said_why() {
    let scene = scene(|_| {});
    let server = server(&scene);
    std::fs::remove_dir(scene.root.path("requests")).unwrap();
    let refused = server.post("trigger-check", "").expect(503);
    assert!(refused.message().contains("cannot leave a request in"), "{refused:#?}");
}

#[test]
fn what_is_no_request_is_dropped_and_does_nothing() {
    let scene = scene(|_| {});
    let ask = |ask: &str, id: &str| format!(r#"{{"run_id":"{id}","by":"x","ask":{ask}}}"#);
    let dir = scene.root.path("requests");
    scene.root.write("requests/run_1.json", "nonsense");
    scene.root.write("requests/run_2.json", ask(r#"{"verb":"shell","command":["touch","owned"]}"#, "run_2"));
    scene.root.write("requests/run_3.json", ask(r#"{"verb":"rollback","backup":"../../etc"}"#, "run_3"));
    scene.root.write("requests/run_4.json", ask(r#"{"verb":"pause","time":"1h","reason":"--rule=x"}"#, "run_4"));
    scene.root.write("requests/run_5.json", ask(r#"{"verb":"heal"}"#, "run_other"));
    scene.root.write("requests/run_6.json", ask(r#"{"verb":"heal"}"#, "run_6") + &" ".repeat(70_000));
    let outside = scene.root.write("outside.json", ask(r#"{"verb":"pause","time":"1h","reason":"x"}"#, "run_7"));
    std::os::unix::fs::symlink(&outside, dir.join("run_7.json")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, dir.join("run_8.json"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    scene.root.write("requests/run_10.json/inside", "x");
    scene.root.write("requests/run_UP.json", ask(r#"{"verb":"heal"}"#, "run_UP"));
    let raw = std::os::unix::ffi::OsStrExt::from_bytes(b"run_\xff.json");
    std::fs::write(dir.join::<&std::ffi::OsStr>(raw), "x").unwrap();
    scene.root.write("requests/.run_9", ask(r#"{"verb":"heal"}"#, "run_9"));
    scene.root.write("requests/run_9.json.tmp", ask(r#"{"verb":"heal"}"#, "run_9"));
    scene.root.write("requests/../run_9.json", ask(r#"{"verb":"heal"}"#, "run_9"));
    let ran = requests(&scene).expect_code(0);
    assert_eq!(ran.stderr.matches("it was dropped").count(), 11, "{}", ran.stderr);
    assert!(left(&scene).is_empty(), "{:?}", left(&scene));
    assert!(outside.exists(), "what a link leads to is not touched");
    assert!(scene.root.state_lines("events.jsonl").is_empty(), "nothing was done");
    assert!(!scene.root.state_dir().join("pauses.json").exists());
}
