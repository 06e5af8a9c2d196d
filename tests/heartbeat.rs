//! Somebody else is told that passes run: a URL at their beginning and end, figures for Prometheus after each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Answer, HttpServer, Parts, Scene, healer, skip};

fn beating(url: &str) -> impl FnOnce(&mut Parts) {
    let rest = format!("[alerts]\nheartbeat = \"{url}\"\n");
    move |p| p.rest = rest
}

fn paths(server: &HttpServer) -> Vec<String> {
    server.requests().into_iter().map(|r| r.path).collect()
}

#[test]
fn a_pass_is_told_when_it_begins_and_with_its_exit_code_when_it_ends() {
    let server = HttpServer::ok();
    let scene = Scene::new(beating(&server.url("/ping/0123-4567")));
    scene.heal().expect_code(0);
    assert_eq!(paths(&server), ["/ping/0123-4567/start", "/ping/0123-4567/0"]);
    scene.configure_confidence("60");
    scene.log_errors(20);
    scene.heal().expect_code(10);
    assert_eq!(paths(&server)[2..], ["/ping/0123-4567/start", "/ping/0123-4567/10"]);
    let count = paths(&server).len();
    healer(&scene.root, &["heal", "-n"]).expect_code(10);
    healer(&scene.root, &["diagnose"]).expect_code(0);
    assert_eq!(paths(&server).len(), count, "a dry run tells nobody");
}

trait Reconfigure {
    fn configure_confidence(&self, confidence: &str);
}

impl Reconfigure for Scene {
    fn configure_confidence(&self, confidence: &str) {
        let text = self.root.read_text("healer.toml").replace("confidence = 90", &format!("confidence = {confidence}"));
        self.root.write("healer.toml", text);
    }
}

#[test]
fn the_beginning_is_told_before_the_fix_and_a_pass_that_finds_another_one_tells_nothing() {
    let server = HttpServer::ok();
    let scene = Scene::new(|p| {
        beating(&server.url("/p"))(p);
        p.validate = "settle = \"0s\"\nwindow = \"40s\"".into();
    });
    scene.log_errors(20);
    let pass = scene.spawn_into_window();
    server.wait_for_requests(1);
    assert_eq!(paths(&server), ["/p/start"]);
    scene.heal().expect_code(11);
    assert_eq!(paths(&server), ["/p/start"]);
    pass.signal(rustix::process::Signal::TERM);
    assert_eq!(pass.wait().code, Some(130));
    assert_eq!(paths(&server), ["/p/start", "/p/130"]);
}

#[test]
fn a_monitor_that_is_silent_or_refuses_is_told_and_costs_seconds_at_most() {
    let check = |url: &str, problem: &str| {
        let scene = Scene::new(beating(url));
        let begin = Instant::now();
        let ran = scene.heal().expect_code(0);
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?} for a heartbeat", begin.elapsed());
        assert!(ran.stderr.contains(problem), "{problem:?} is not in\n{}", ran.stderr);
        assert!(!ran.stderr.contains("0123456789abcdef"), "the path is a secret:\n{}", ran.stderr);
    };
    let refusing = format!("http://127.0.0.1:{}/0123456789abcdef", support::free_port());
    check(&refusing, "heartbeat http://127.0.0.1:");
    let unhappy = HttpServer::start([], Answer::new(404, "no"));
    check(&unhappy.url("/0123456789abcdef"), "could not be told: HTTP 404");
    let hanging = HttpServer::start([], Answer::held());
    check(&hanging.url("/0123456789abcdef"), "could not be told: no answer in time");
    assert_eq!(hanging.requests().len(), 1, "it is not waited for twice");
}

fn figures(scene: &Scene) -> String {
    scene.root.read_text("figures/healer.prom")
}

fn measured(p: &mut Parts) {
    p.rest.push_str("[metrics]\ntextfile = \"{root}/figures/healer.prom\"\n");
    p.checks = "[checks.command.\"load\"]\ncommand = [\"/bin/sh\", \"-c\", \"echo WARNING; exit 1\"]".into();
}

#[test]
fn every_pass_leaves_its_figures() {
    let scene = Scene::new(measured);
    scene.root.write("figures/keep", "");
    scene.heal();
    let text = figures(&scene);
    for line in [
        "# TYPE healer_last_pass_timestamp_seconds gauge",
        "healer_last_pass_exit_code 10",
        "healer_check_status{check=\"load\",kind=\"command\"} 1",
        "healer_incidents_open 1",
        "healer_passes_total 1",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("healer_fixes_total"), "{text}");
    scene.log_errors(20);
    let before = figures(&scene);
    healer(&scene.root, &["heal", "-n"]).expect_code(10);
    assert_eq!(figures(&scene), before, "a dry run writes nothing");
    scene.heal();
    let text = figures(&scene);
    for line in [
        "healer_passes_total 2",
        "healer_fixes_total{fix_type=\"increase_delay\",outcome=\"healed\"} 1",
        "healer_errors_total{signature=\"rate_limit\"} 20",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert_eq!(std::fs::read_dir(scene.root.path("figures")).unwrap().count(), 2, "nothing is left beside it");
}

#[test]
fn figures_that_cannot_be_left_are_told_and_end_no_pass() {
    let scene = Scene::new(|p| p.rest = "[metrics]\ntextfile = \"{root}/no/such/directory/healer.prom\"\n".into());
    let ran = scene.heal().expect_code(0);
    assert!(ran.stderr.contains("cannot write the figures of this pass"), "{}", ran.stderr);
}

#[test]
fn promtool_finds_nothing_to_say_about_the_figures() {
    let scene = Scene::new(measured);
    scene.root.write("figures/keep", "");
    scene.log_errors(20);
    scene.heal();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match promtool.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return skip("promtool is not installed (Debian: prometheus)");
        }
        child => child.unwrap(),
    };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), figures(&scene).as_bytes()).unwrap();
    let ran = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.trim().is_empty(), "{said}\n{}", figures(&scene));
}
