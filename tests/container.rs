//! A real container whose Python worker is really rate limited: healed because its program was changed and the container
//! restarted, and rolled back and restarted again where nothing helps.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::time::Duration;
use support::{Docker, RateLimitedServer, RateLimitedWorker, Root, healer};

/// A configuration that raises the worker's pause by half and restarts its container.
fn configure(root: &Root, docker: &Docker, name: &str, more: &str) {
    root.config(&format!(
        r#"
[allow]
files = ["{{root}}/worker/*.py"]
containers = ["{name}"]
[checks.host]
enabled = false
[checks.docker]
socket = "{socket}"
include = ["{name}"]
[logs.docker]
[limits]
human_grace = "0s"
start_grace = "0s"
[[rule]]
name = "slow-down"
when = {{ log = "container:{name}", signature = "rate_limit", count = 5, within = "10m" }}
issue_type = "rate_limiting"
confidence = 90
[[rule.fix]]
fix_type = "increase_delay"
steps = [
  {{ edit = "{{root}}/worker/client.py", at = "call asyncio.sleep", multiply = 1.5, max = 5.0 }},
  {{ restart = "container:{name}" }},
]
[rule.validate]
settle = "1s"
window = "4s"
{more}
"#,
        socket = docker.socket
    ));
}

#[test]
fn a_rate_limited_worker_recovers_because_its_program_was_changed_and_it_was_restarted() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let server = RateLimitedServer::start(Duration::from_millis(200));
    let worker = RateLimitedWorker::start(&docker, &root, "healed", "0.16", &server.url());
    let name = worker.container.name.clone();
    // Start-up and a busy machine may make single requests bunch up.
    configure(&root, &docker, &name, "max_errors = 2");
    worker.container.wait_for_lines(10, " 429 Client Error");
    let started = worker.container.inspect("{{.State.StartedAt}}");
    let ran = healer(&root, &["heal"]).expect_code(0);
    assert!(root.read_text("worker/client.py").contains("asyncio.sleep(0.24)"), "{}", ran.output());
    let restarted = worker.container.inspect("{{.State.StartedAt}}");
    assert_ne!(started, restarted, "the container was not restarted");
    worker.container.wait_for_lines_since(&restarted, 10, " INFO worker request ");
    assert!(ran.stderr.contains(&format!("restart   container:{name}")), "{}", ran.stderr);
    assert_eq!(root.state_lines("fix_knowledge_base.jsonl")[0]["result_status"], "healed");
    assert!(std::fs::read_dir(root.path("state/journal")).unwrap().next().is_none());
}

#[test]
fn where_nothing_helps_the_old_program_is_put_back_and_the_container_restarted_again() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let server = RateLimitedServer::always_limited();
    let worker = RateLimitedWorker::start(&docker, &root, "hopeless", "0.1", &server.url());
    let name = worker.container.name.clone();
    configure(&root, &docker, &name, "");
    let before = root.read("worker/client.py");
    worker.container.wait_for_lines(20, " 429 Client Error");
    let ran = healer(&root, &["heal"]).expect_code(12);
    assert_eq!(root.read("worker/client.py"), before);
    assert_eq!(ran.stderr.matches(&format!("restart   container:{name}")).count(), 2, "{}", ran.stderr);
    // It runs with the old pause again.
    let restarted = worker.container.inspect("{{.State.StartedAt}}");
    worker.container.wait_for_lines_since(&restarted, 3, " 429 Client Error");
    assert_eq!(root.state_lines("fix_knowledge_base.jsonl")[0]["result_status"], "rolled_back");

    let json = healer(&root, &["check", "--json"]).expect_code(0).data();
    assert_eq!(json["checks"]["docker"]["containers_running"], 1, "{json:#}");
}

#[test]
fn a_container_that_exited_is_restarted_and_watched() {
    let Some(docker) = Docker::require() else { return };
    let check = |script: &str, code: i32, outcome: &str| {
        let root = Root::new();
        let name = Docker::unique_name("exited");
        let container = docker.run(&name, &[], &["/bin/sh", "-c", script]);
        docker.cli(&["wait", &name]);
        root.config(&format!(
            "[allow]\ncontainers = [\"{name}\"]\n[checks.host]\nenabled = false\n\
             [checks.docker]\nsocket = \"{}\"\ninclude = [\"{name}\"]\n[logs.docker]\nenabled = false\n\
             [limits]\nstart_grace = \"0s\"\nstorm_percent = 100\n[[rule]]\nname = \"up-again\"\n\
             when = {{ container = \"{name}\", state = \"exited\" }}\nissue_type = \"container_crash\"\nconfidence = 95\n\
             [[rule.fix]]\nfix_type = \"restart\"\nsteps = [{{ restart = \"container:{{container}}\" }}]\n\
             [rule.validate]\nsettle = \"500ms\"\nwindow = \"2s\"\n",
            docker.socket
        ));
        let pass = healer(&root, &["heal", "--json"]).expect_code(code).data();
        assert_eq!(pass["fix"]["outcome"], outcome, "{:#}", pass["fix"]);
        drop(container);
    };
    let second_time = "[ -e /tmp/again ] && exec sleep 600; touch /tmp/again; exit 3";
    check(second_time, 0, "healed");
    check("exit 3", 12, "failed");
}

#[test]
fn a_container_that_mounts_the_edited_file_by_itself_is_restarted_too() {
    let Some(docker) = Docker::require() else { return };
    let check = |allowed: bool, code: i32| {
        let root = Root::new();
        root.write("worker/settings.toml", "pause = 1.0\n");
        root.append("worker.log", support::RATE_LIMITED.repeat(20));
        let name = Docker::unique_name("mounts");
        let mount = format!("--volume={}:/settings.toml:ro", root.path("worker/settings.toml").display());
        let container = docker.run(&name, &[&mount], &["/bin/sh", "-c", "cat /settings.toml; exec sleep 600"]);
        container.wait_for_lines(1, "pause = 1.0");
        root.config(&format!(
            "[allow]\nfiles = [\"{{root}}/worker/*\"]\ncontainers = [\"{allowed}\"]\n[checks.host]\nenabled = false\n\
             [checks.docker]\nsocket = \"{socket}\"\ninclude = [\"{name}\"]\n[logs.files.worker]\npath = \"{{root}}/worker.log\"\n\
             [limits]\nstart_grace = \"0s\"\nhuman_grace = \"0s\"\nmin_duration = \"0s\"\n[[rule]]\nname = \"slow-down\"\n\
             when = {{ log = \"file:worker\", signature = \"rate_limit\", count = 5, within = \"10m\" }}\n\
             issue_type = \"rate_limiting\"\nconfidence = 90\n[[rule.fix]]\nfix_type = \"increase_delay\"\n\
             steps = [{{ edit = \"{{root}}/worker/settings.toml\", at = \"pause\", multiply = 1.5, max = 5.0 }}]\n\
             [rule.validate]\nsettle = \"200ms\"\nwindow = \"1s\"\n",
            allowed = if allowed { &name } else { "none" },
            socket = docker.socket,
        ));
        let pass = healer(&root, &["heal", "--json"]).expect_code(code).data();
        let diagnosis = &pass["diagnoses"][0];
        let note = diagnosis["plan"]["notes"][0].as_str().unwrap();
        assert!(
            note.starts_with(&format!("container:{name} mounts ")) && note.contains("only after a restart"),
            "{note}"
        );
        if allowed {
            container.wait_for_lines(1, "pause = 1.5");
        } else {
            assert_eq!(diagnosis["hold_reason"], format!("container:{name} is not in [allow]"));
            assert_eq!(root.read_text("worker/settings.toml"), "pause = 1.0\n");
        }
    };
    check(true, 0);
    check(false, 10);
}

#[test]
fn a_container_that_is_gone_holds_the_fix_before_its_edit() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let server = RateLimitedServer::always_limited();
    let worker = RateLimitedWorker::start(&docker, &root, "gone", "0.1", &server.url());
    let name = worker.container.name.clone();
    configure(&root, &docker, &name, "");
    let text = root
        .read_text("healer.toml")
        .replace(&format!("restart = \"container:{name}\""), "restart = \"container:none\"");
    root.write("healer.toml", text.replace("containers = [", "containers = [\"none\", "));
    let before = root.read("worker/client.py");
    worker.container.wait_for_lines(20, " 429 Client Error");
    let pass = healer(&root, &["heal", "--json"]).expect_code(10).data();
    let diagnosis = &pass["diagnoses"][0];
    assert_eq!(diagnosis["hold"], "unusable_target", "{diagnosis:#}");
    assert_eq!(diagnosis["hold_reason"], "container:none cannot be restarted: no such container: none");
    assert_eq!(root.read("worker/client.py"), before);
}

#[test]
fn a_container_that_has_just_started_is_left_alone_for_a_while() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let name = Docker::unique_name("young");
    // Fails until it is started a second time.
    let script = "[ -e /tmp/again ] && say='INFO fine' || say='ERROR failed: 429 Client Error: Too Many Requests'; \
                  touch /tmp/again; n=0; while :; do n=$((n + 1)); echo \"$say\"; echo \"tick $n.\"; sleep 0.5; done";
    let container = docker.run(&name, &["--stop-timeout", "0"], &["/bin/sh", "-c", script]);
    root.config(&format!(
        "[allow]\ncontainers = [\"{name}\"]\n[checks.host]\nenabled = false\n\
         [checks.docker]\nsocket = \"{}\"\ninclude = [\"{name}\"]\n[logs.docker]\n\
         [limits]\nstart_grace = \"8s\"\n[[rule]]\nname = \"again\"\n\
         when = {{ log = \"container:{name}\", signature = \"rate_limit\", count = 1, within = \"10m\" }}\n\
         issue_type = \"rate_limiting\"\nconfidence = 95\n[[rule.fix]]\nfix_type = \"restart\"\n\
         steps = [{{ restart = \"container:{name}\" }}]\n[rule.validate]\nsettle = \"500ms\"\nwindow = \"3s\"\n",
        docker.socket
    ));
    container.wait_for_lines(1, " 429 ");
    let started = container.inspect("{{.State.StartedAt}}");
    let pass = healer(&root, &["heal", "--json"]).expect_code(10).data();
    let diagnosis = &pass["diagnoses"][0];
    assert_eq!(diagnosis["hold"], "start_grace", "{diagnosis:#}");
    let reason = diagnosis["hold_reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("container:{name} was started ")), "{reason}");
    assert_eq!(container.inspect("{{.State.StartedAt}}"), started, "nothing is restarted");

    // Ten of its seconds later.
    container.wait_for_lines(1, "tick 20.");
    let pass = healer(&root, &["heal", "--json"]).expect_code(0).data();
    assert_eq!(pass["fix"]["outcome"], "healed", "{pass:#}");
    assert_ne!(container.inspect("{{.State.StartedAt}}"), started);
}

/// A configuration that restarts this container when it is in a state.
fn restarting(docker: &Docker, name: &str, state: &str, limits: &str, rule_limits: &str) -> String {
    format!(
        "[allow]\ncontainers = [\"{name}\"]\n[checks.host]\nenabled = false\n\
         [checks.docker]\nsocket = \"{}\"\ninclude = [\"{name}\"]\n[logs.docker]\n\
         [limits]\nmin_duration = \"0s\"\nstorm_percent = 100\n{limits}\n[[rule]]\nname = \"up-again\"\n\
         when = {{ {state} }}\nissue_type = \"container_crash\"\nconfidence = 98\n\
         [[rule.fix]]\nfix_type = \"restart\"\nsteps = [{{ restart = \"container:{name}\" }}]\n\
         [rule.validate]\nsettle = \"200ms\"\nwindow = \"1s\"\n[rule.limits]\n{rule_limits}\n",
        docker.socket
    )
}

#[test]
fn a_crash_loop_that_no_restart_mends_opens_the_breaker() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let name = Docker::unique_name("loop");
    let container = docker.run(&name, &[], &["/bin/sh", "-c", "echo started; exit 3"]);
    docker.cli(&["wait", &name]);
    let state = format!("container = \"{name}\", state = \"exited\"");
    let limits = "start_grace = \"0s\"\nfixes_per_hour = 100";
    root.config(&restarting(&docker, &name, &state, limits, "cooldown = \"0s\"\nmax_fixes = 100"));
    for _ in 0..3 {
        healer(&root, &["heal"]).expect_code(12);
    }
    let started = container.inspect("{{.State.StartedAt}}");
    let pass = healer(&root, &["heal", "--json"]).expect_code(10).data();
    assert_eq!(pass["diagnoses"][0]["hold"], "circuit_open", "{:#}", pass["diagnoses"][0]);
    assert_eq!(container.inspect("{{.State.StartedAt}}"), started, "nothing is restarted any more");
}

#[test]
fn a_container_that_is_still_starting_is_not_judged() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let name = Docker::unique_name("starting");
    let healthy_at_last = "--health-cmd=test -e /tmp/ready";
    let options = [healthy_at_last, "--health-interval=1s", "--health-start-period=10m", "--stop-timeout=0"];
    let script = "while :; do echo 'ERROR failed: 429 Client Error: Too Many Requests'; sleep 1; done";
    let container = docker.run(&name, &options, &["/bin/sh", "-c", script]);
    let state = format!("log = \"container:{name}\", signature = \"rate_limit\", count = 1, within = \"10m\"");
    // It is older than the grace, and says itself that it is not ready.
    root.config(&restarting(&docker, &name, &state, "start_grace = \"1ms\"", ""));
    container.wait_for_lines(1, " 429 ");
    let held = healer(&root, &["heal", "-n", "--json"]).expect_code(10).data();
    assert_eq!(held["diagnoses"][0]["hold"], "start_grace", "{:#}", held["diagnoses"][0]);
    assert!(held["diagnoses"][0]["hold_reason"].as_str().unwrap().contains("still starting"));
    docker.cli(&["exec", &name, "touch", "/tmp/ready"]);
    let healthy = ["events", "--since", "10m", "--filter", &format!("container={name}")];
    support::follow(docker.command(&healthy), 1, "health_status: healthy");
    let acts = healer(&root, &["heal", "-n", "--json"]).expect_code(10).data();
    assert_eq!(acts["diagnoses"][0]["decision"], "act", "{:#}", acts["diagnoses"][0]);
}
