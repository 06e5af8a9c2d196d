//! A notifier that is down, slow, silent or broken: tried again, told by the next pass, in order and once; nobody else
//! waits for it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use support::{Answer, HttpServer, Manners, Parts, Ran, Request, Scene, SmtpServer, healer, spawn};

/// A command that keeps what it is given: one JSON document a line.
const KEEP: &str = "command = [[\"/bin/sh\", \"-c\", \"cat >> {root}/alerts; echo >> {root}/alerts\"]]";

/// A hook beside the command that keeps.
fn hooked(server: &HttpServer) -> impl FnOnce(&mut Parts) {
    let hook = format!("[alerts]\n{KEEP}\nwebhook = [{{ url = \"{}\" }}]", server.url("/hook"));
    move |p| p.rest = hook
}

/// One check that is critical until somebody listens.
struct Down {
    scene: Scene,
    port: u16,
}

impl Down {
    fn new(change: impl FnOnce(&mut Parts)) -> Down {
        let port = support::free_port();
        let scene = Scene::new(|p| {
            p.checks = format!("[checks.tcp.api]\naddress = \"127.0.0.1:{port}\"");
            change(p);
        });
        Down { scene, port }
    }

    /// A pass while it is down.
    fn down(&self) -> Ran {
        self.scene.heal().expect_code(10)
    }

    /// A pass while it is up.
    fn up(&self) -> Ran {
        let _listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        self.scene.heal().expect_code(0)
    }

    fn waiting(&self) -> Vec<Value> {
        self.scene.root.state_lines("alerts.jsonl")
    }

    /// Kinds that the command was told.
    fn kept(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.scene.root.path("alerts")).unwrap_or_default();
        text.lines().map(|line| kind(&serde_json::from_str(line).unwrap())).collect()
    }

    /// Makes what waits look as old as that.
    fn age(&self, age: Duration) {
        let t = jiff::Timestamp::now() - age;
        let lines: Vec<String> = self
            .waiting()
            .into_iter()
            .map(|mut line| {
                line["t"] = t.to_string().into();
                line.to_string() + "\n"
            })
            .collect();
        self.scene.root.write("state/alerts.jsonl", lines.concat());
    }
}

fn kind(alert: &Value) -> String {
    alert["kind"].as_str().unwrap().to_owned()
}

fn kinds(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|r| kind(&r.json())).collect()
}

fn not_found() -> Answer {
    Answer::new(404, "not here")
}

#[test]
fn a_stumble_is_tried_again_within_the_pass_and_is_no_problem() {
    let server = HttpServer::start([Answer::new(500, "no"), Answer::new(503, "no")], Answer::new(200, "ok"));
    let down = Down::new(hooked(&server));
    let ran = down.down();
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|r| r.body == requests[0].body));
    assert!(!ran.stderr.contains("could not be told"), "{}", ran.stderr);
    assert!(down.waiting().is_empty() && !down.scene.root.path("state/alerts.jsonl").exists());
    assert_eq!(down.kept(), ["critical"]);
}

#[test]
fn what_could_not_be_told_goes_with_the_next_pass_in_order_and_once_to_each() {
    let server = HttpServer::start([not_found(), not_found()], Answer::new(200, "ok"));
    let down = Down::new(hooked(&server));
    let ran = down.down();
    let problem = format!("webhook {} could not be told: HTTP 404 (the alert waits for the next pass)", server.url(""));
    assert!(ran.stderr.contains(&problem), "{problem:?} is not in\n{}", ran.stderr);
    let mode = std::fs::metadata(down.scene.root.path("state/alerts.jsonl")).unwrap().permissions().mode();
    assert_eq!((mode & 0o777, down.waiting().len()), (0o640, 1));
    // It fails once more: what is new stands behind what is old.
    let ran = down.up();
    assert!(ran.stderr.contains("HTTP 404 (2 alerts wait for the next pass)"), "{}", ran.stderr);
    assert_eq!(kinds(&server.requests()), ["critical", "critical"]);
    let ran = down.up();
    assert!(!ran.stderr.contains("could not be told"), "{}", ran.stderr);
    assert_eq!(kinds(&server.requests()[2..]), ["critical", "resolved"]);
    assert!(!down.scene.root.path("state/alerts.jsonl").exists());
    down.up();
    assert_eq!(server.requests().len(), 4, "nothing is told twice");
    assert_eq!(down.kept(), ["critical", "resolved"], "who had it does not get it again");
}

#[test]
fn what_comes_late_says_so_and_what_is_too_old_is_dropped_and_told() {
    let server = HttpServer::start([not_found()], Answer::new(200, "ok"));
    let down = Down::new(hooked(&server));
    down.down();
    down.age(Duration::from_secs(2 * 3600));
    down.down();
    let alert = server.requests()[1].json();
    assert!(alert["delayed"].as_str().unwrap().starts_with("2h"), "{alert:#}");

    let server = HttpServer::start([not_found()], Answer::new(200, "ok"));
    let down = Down::new(hooked(&server));
    down.down();
    down.age(Duration::from_secs(25 * 3600));
    let ran = down.down();
    assert!(ran.stderr.contains("was dropped (older than a day), the oldest: critical on "), "{}", ran.stderr);
    assert_eq!(server.requests().len(), 1);
    assert!(!down.scene.root.path("state/alerts.jsonl").exists());
}

#[test]
fn the_newest_two_hundred_wait_and_what_cannot_be_read_is_told() {
    let server = HttpServer::start([not_found(), not_found()], Answer::new(200, "ok"));
    let down = Down::new(hooked(&server));
    down.down();
    let one = down.waiting()[0].to_string() + "\n";
    down.scene.root.write("state/alerts.jsonl", one.repeat(205) + "{\"t\":\"torn\n");
    let ran = down.up();
    assert!(ran.stderr.contains("an alert cannot be read and is not sent"), "{}", ran.stderr);
    assert!(ran.stderr.contains("6 alerts could not be told to "), "{}", ran.stderr);
    assert!(ran.stderr.contains("(more than 200 wait)"), "{}", ran.stderr);
    let waiting = down.waiting();
    assert_eq!((waiting.len(), &waiting[199]["alert"]["kind"]), (200, &"resolved".into()));
}

#[test]
fn an_alert_that_is_refused_holds_up_no_other() {
    let server = HttpServer::start([Answer::new(400, "no"), Answer::new(400, "no")], Answer::new(200, "ok"));
    let down = Down::new(hooked(&server));
    down.down();
    down.up();
    assert_eq!(kinds(&server.requests()), ["critical", "critical", "resolved"]);
    let waiting = down.waiting();
    assert_eq!((waiting.len(), &waiting[0]["alert"]["kind"]), (1, &"critical".into()));
}

#[test]
fn who_is_silent_costs_the_pass_its_budget_and_the_others_nothing() {
    let server = HttpServer::start([], Answer::held());
    let down = Down::new(hooked(&server));
    let begin = Instant::now();
    let mut pass = spawn(&down.scene.root, &["heal"]);
    server.wait_for_requests(1);
    pass.wait_for("alert     critical");
    let until = Instant::now() + Duration::from_secs(5);
    while down.kept().is_empty() {
        assert!(Instant::now() < until, "the command waits for the hook");
        std::thread::yield_now();
    }
    let ran = pass.wait().expect_code(10);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert!(ran.stderr.contains("could not be told: no answer in time (the alert waits"), "{}", ran.stderr);
    assert_eq!(server.requests().len(), 1, "it may have been taken: it is not told again at once");
    let waiting = down.waiting();
    assert_eq!(waiting[0]["missing"].as_array().unwrap().len(), 1, "{waiting:?}");
}

#[test]
fn no_fix_waits_for_who_is_silent() {
    let server = HttpServer::start([], Answer::held());
    let down = Down::new(|p| {
        hooked(&server)(p);
        p.limits.push_str("\nstorm_percent = 100");
        p.validate = "settle = \"0s\"\nwindow = \"40s\"".into();
    });
    down.scene.log_errors(20);
    let begin = Instant::now();
    let pass = down.scene.spawn_into_window();
    assert!(begin.elapsed() < Duration::from_secs(7), "{:?} before the fix", begin.elapsed());
    assert_eq!(kinds(&server.requests()), ["critical"], "it was told before");
    down.scene.assert_program("1.2");
    pass.signal(rustix::process::Signal::TERM);
    assert_eq!(pass.wait().code, Some(130));
}

#[test]
fn a_pass_that_is_killed_while_it_tells_loses_nothing() {
    let server = HttpServer::start([Answer::held()], Answer::new(200, "ok"));
    let down = Down::new(hooked(&server));
    let pass = spawn(&down.scene.root, &["heal"]);
    server.wait_for_requests(1);
    pass.signal(rustix::process::Signal::KILL);
    assert_eq!(pass.wait().code, None);
    down.up();
    assert_eq!(kinds(&server.requests())[..2], ["critical", "critical"]);
    assert!(!down.scene.root.path("state/alerts.jsonl").exists());
}

#[test]
fn a_dry_run_sends_nothing_on() {
    let server = HttpServer::start([not_found()], Answer::new(200, "ok"));
    let down = Down::new(hooked(&server));
    down.down();
    let before = down.scene.root.snapshot();
    healer(&down.scene.root, &["heal", "-n"]);
    assert_eq!(server.requests().len(), 1);
    before.assert_unchanged(&down.scene.root.snapshot());
}

#[test]
fn who_is_in_the_configuration_no_more_is_waited_for_no_more() {
    let server = HttpServer::start([], not_found());
    let mut down = Down::new(hooked(&server));
    down.down();
    down.scene.configure(|p| p.rest = format!("[alerts]\n{KEEP}"));
    let ran = down.down();
    assert!(ran.stderr.contains("an alert waited for who is in [alerts] no more: dropped"), "{}", ran.stderr);
    assert!(!down.scene.root.path("state/alerts.jsonl").exists());
}

#[test]
fn what_was_acknowledged_meanwhile_is_not_told_late() {
    let server = HttpServer::start([not_found()], Answer::new(200, "ok"));
    let down = Down::new(hooked(&server));
    down.down();
    let incident = down.waiting()[0]["alert"]["incident"].as_str().unwrap().to_owned();
    healer(&down.scene.root, &["ack", &incident]).expect_code(0);
    down.down();
    assert!(!down.scene.root.path("state/alerts.jsonl").exists());
    down.up();
    assert_eq!(kinds(&server.requests()), ["critical", "resolved"]);
}

#[test]
fn secrets_of_notifiers_are_in_no_output_event_or_spool() {
    const PATH: &str = "T0/B0/canary-of-the-path-4711";
    const PASSWORD: &str = "canary-of-the-mail-4712";
    let server = HttpServer::start([], not_found());
    // It repeats what it was sent.
    let login = Some(("healer".to_owned(), "another one".to_owned()));
    let mail = SmtpServer::start(Manners { login, ..Manners::default() });
    let down = Down::new(|p| {
        p.rest = format!(
            "[alerts]\nwebhook = [{{ url = \"{}\" }}]\nemail = {{ to = \"ops@example.org\", smtp = \"smtp://healer:{PASSWORD}@127.0.0.1:{}\" }}",
            server.url(&format!("/{PATH}")),
            mail.port()
        );
    });
    let mut outputs = down.down().output();
    for args in [&["notify", "test"][..], &["notify", "test", "--json"], &["status", "--json"], &["heal", "--json"]] {
        outputs += &healer(&down.scene.root, args).output();
    }
    assert!(outputs.contains("535") && outputs.contains("HTTP 404"), "{outputs}");
    let tree = down.scene.root.snapshot();
    let files = tree.paths().into_iter().filter(|p| p.starts_with("state"));
    let texts = files.map(|p| String::from_utf8_lossy(tree.bytes(p).unwrap_or_default()).into_owned());
    for text in texts.chain([outputs]) {
        assert!(!text.contains(PASSWORD) && !text.contains("canary-of-the-path"), "{text}");
    }
    assert_eq!(down.waiting()[0]["missing"].as_array().unwrap().len(), 2);
    assert_eq!(server.requests()[0].path, format!("/{PATH}"), "it is used all the same");
}

#[test]
fn a_test_says_of_everybody_whether_it_was_taken() {
    let server = HttpServer::ok();
    let scene = Scene::new(hooked(&server));
    let ran = healer(&scene.root, &["notify", "test"]).expect_code(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    assert!(
        lines[0].starts_with("command /bin/sh: taken within ") && lines[1].starts_with("webhook http://127.0.0.1:")
    );
    assert_eq!(kinds(&server.requests()), ["test"]);
    assert!(!scene.root.path("state").exists(), "nothing is kept");

    let hook = format!("webhook = [{{ url = \"{0}\" }}, {{ url = \"{0}x\" }}]", server.url("/"));
    let scene = Scene::new(|p| p.rest = format!("[alerts]\non = []\ncommand = [[\"/bin/false\"]]\n{hook}"));
    let ran = healer(&scene.root, &["notify", "test", "--json"]).expect_code(10);
    let data = ran.data();
    let notifiers = data["notifiers"].as_array().unwrap();
    let of = |key: &str| notifiers.iter().map(|n| n[key].clone()).collect::<Vec<_>>();
    let host = format!("webhook {}", server.url(""));
    assert_eq!(of("name"), ["command /bin/false".to_owned(), host.clone(), format!("{host} #2")]);
    assert_eq!(of("taken"), [false, true, true]);
    assert_eq!(notifiers[0]["why"], "exit 1");
    assert!(of("duration_ms").iter().all(Value::is_u64));

    let scene = Scene::new(|_| {});
    let ran = healer(&scene.root, &["notify", "test"]).expect_code(10);
    assert!(ran.stdout.starts_with("nobody is told but standard error and the journal"), "{}", ran.stdout);
}
