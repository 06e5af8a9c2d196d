//! The steps that are neither an edit nor a restart by name, on real services: what each changes, what is left alone, how
//! it is undone, and that a pass killed at any point leaves nothing that the next one does not put right.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use support::{Docker, RATE_LIMITED, Ran, Root, Running, healer, require_env, spawn};

/// A rule that fires on a log of rate limiting and whose only fix has these steps.
struct Fix<'a> {
    allow: &'a str,
    checks: &'a str,
    steps: &'a str,
    window: &'a str,
}

const NO_DOCKER: &str = "[checks.docker]\nenabled = false\n";

impl Fix<'_> {
    fn root(&self) -> Root {
        let root = Root::new();
        self.configure(&root);
        root.append("worker.log", RATE_LIMITED.repeat(20));
        root
    }

    fn configure(&self, root: &Root) {
        let Fix { allow, checks, steps, window } = self;
        root.config(&format!(
            "[allow]\n{allow}\n[checks.host]\nenabled = false\n{checks}\n[logs.files.worker]\npath = \"{{root}}/worker.log\"\n\
             [limits]\nhuman_grace = \"0s\"\nstart_grace = \"0s\"\nmin_duration = \"0s\"\nstorm_percent = 100\n[[rule]]\nname = \"mend\"\n\
             when = {{ log = \"file:worker\", signature = \"rate_limit\", count = 5, within = \"10m\" }}\n\
             issue_type = \"trouble\"\nconfidence = 90\n[[rule.fix]]\nfix_type = \"step\"\nsteps = [{steps}]\n\
             [rule.validate]\nsettle = \"0s\"\nwindow = \"{window}\"\n"
        ));
    }
}

/// A whole pass as JSON, whatever its exit code.
fn heal(root: &Root) -> Value {
    healer(root, &["heal", "--json"]).data()
}

fn outcome(pass: &Value) -> &str {
    pass["fix"]["outcome"].as_str().unwrap_or_else(|| panic!("no fix was made: {:#}", pass["diagnoses"]))
}

fn recovered(pass: &Value) -> &str {
    pass["recovered_transaction"]["outcome"].as_str().unwrap_or_else(|| panic!("nothing was recovered: {pass:#}"))
}

fn into_window(root: &Root) -> Running {
    let mut pass = spawn(root, &["heal"]);
    pass.wait_for("watching");
    pass
}

/// Kills a pass in its window.
fn killed_in_window(root: &Root) {
    let pass = into_window(root);
    pass.signal(Signal::KILL);
    assert_eq!(pass.wait().code, None);
}

/// More errors, of a later second than the fix.
fn errors_go_on(root: &Root) {
    support::next_second();
    root.append("worker.log", RATE_LIMITED.repeat(15));
}

fn backup_of(root: &Root) -> String {
    let listed = healer(root, &["backups", "--json"]).expect_code(0).data();
    listed["backups"][0]["backup_id"].as_str().unwrap_or_else(|| panic!("no backup: {listed:#}")).to_owned()
}

/// The dry run's text, with the exit code that says that a change is pending.
fn dry(root: &Root) -> Ran {
    let before = root.snapshot();
    let ran = healer(root, &["heal", "-n"]).expect_code(10);
    before.assert_unchanged(&root.snapshot());
    ran
}

fn assert_closed(root: &Root) {
    assert_eq!(std::fs::read_dir(root.path("state/journal")).unwrap().count(), 0, "a transaction is open");
}

// --- resize -----------------------------------------------------------------------------------------------------------

const MIB: u64 = 1 << 20;

struct Resized {
    container: support::Container,
    root: Root,
}

impl Resized {
    fn start(docker: &Docker, label: &str, script: &str, window: &str) -> Resized {
        let name = Docker::unique_name(label);
        let options = ["--memory=64m", "--memory-swap=96m", "--cpus=0.5"];
        let container = docker.run(&name, &options, &["/bin/sh", "-c", script]);
        let root = Fix {
            allow: &format!("containers = [\"{name}\"]"),
            checks: &format!("[checks.docker]\nsocket = \"{}\"\ninclude = [\"none\"]\n", docker.socket),
            steps: &format!(
                "{{ resize = \"container:{name}\", memory = {{ multiply = 1.5, max = \"128m\" }}, \
                 cpus = {{ multiply = 1.5, max = 2 }} }}"
            ),
            window,
        }
        .root();
        Resized { container, root }
    }

    fn assert_limits(&self, memory: u64, nano_cpus: u64) {
        let seen = self.container.inspect("{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}");
        assert_eq!(seen, format!("{} {nano_cpus}", memory * MIB));
    }
}

#[test]
fn a_container_gets_more_memory_and_cpus_while_it_runs_and_a_rollback_takes_them_back() {
    let Some(docker) = Docker::require() else { return };
    let it = Resized::start(&docker, "resize", "exec sleep 600", "1s");
    let started = it.container.inspect("{{.State.StartedAt}}");
    let plan = dry(&it.root);
    let words = format!("resize container:{}: memory 64MiB -> 96MiB, cpus 0.5 -> 0.75", it.container.name);
    assert!(plan.stdout.contains(&words), "{}", plan.stdout);
    it.assert_limits(64, 500_000_000);

    let pass = heal(&it.root);
    assert_eq!(outcome(&pass), "healed", "{pass:#}");
    it.assert_limits(96, 750_000_000);
    assert_eq!(it.container.inspect("{{.State.StartedAt}}"), started, "it was not restarted");

    let debt = || healer(&it.root, &["stats", "--json"]).expect_code(0).data()["mitigation_debt"].take();
    let [memory, cpus] = [&debt()[0], &debt()[1]].map(|d| format!("{} {} {}", d["at"], d["human"], d["now"]));
    assert_eq!([cpus, memory], ["\"cpus\" \"0.5\" \"0.75\"", "\"memory\" \"67108864\" \"100663296\""]);

    let id = backup_of(&it.root);
    let shown = healer(&it.root, &["backups", "show", &id]).expect_code(0).stdout;
    assert!(shown.contains(&words) && shown.contains("96MiB -> 64MiB"), "{shown}");
    assert!(healer(&it.root, &["backups", "list"]).stdout.contains("memory 64MiB"));
    healer(&it.root, &["backups", "verify", &id]).expect_code(0);
    let dry = healer(&it.root, &["rollback", "latest", "-n"]).expect_code(10);
    assert!(dry.stdout.contains("96MiB -> 64MiB"), "{}", dry.stdout);
    it.assert_limits(96, 750_000_000);
    healer(&it.root, &["rollback", "latest"]).expect_code(0);
    it.assert_limits(64, 500_000_000);
    assert_closed(&it.root);
    assert_eq!(debt(), serde_json::json!([]));
    let again = healer(&it.root, &["rollback", &id]).expect_code(0);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    healer(&it.root, &["rollback", "latest"]).expect_code(14);
}

#[test]
fn a_resize_that_did_not_help_or_whose_pass_was_killed_is_taken_back() {
    let Some(docker) = Docker::require() else { return };
    let it = Resized::start(&docker, "killed", "exec sleep 600", "60s");
    killed_in_window(&it.root);
    it.assert_limits(96, 750_000_000);
    errors_go_on(&it.root);
    let pass = heal(&it.root);
    assert_eq!(recovered(&pass), "rolled_back", "{:#}", pass["recovered_transaction"]);
    it.assert_limits(64, 500_000_000);
    assert_closed(&it.root);
}

#[test]
fn memory_that_is_in_use_by_now_is_taken_back_too() {
    let Some(docker) = Docker::require() else { return };
    let it = Resized::start(&docker, "in-use", "exec sleep 600", "4s");
    let started = it.container.inspect("{{.State.StartedAt}}");
    let pass = into_window(&it.root);
    // It holds the whole block while it waits for a reader.
    let use_it = "(dd if=/dev/zero bs=75M count=1 | sleep 600) & \
                  until grep -q 'VmRSS:.* 7[0-9]\\{4\\} kB' /proc/$(pidof dd)/status; do sleep 0.1; done";
    docker.cli(&["exec", &it.container.name, "sh", "-c", use_it]);
    errors_go_on(&it.root);
    pass.wait().expect_code(12);
    it.assert_limits(64, 500_000_000);
    assert_eq!(it.container.inspect("{{.State.Running}}"), "true");
    assert_ne!(it.container.inspect("{{.State.StartedAt}}"), started, "only a restart frees what is in use");
}

#[test]
fn limits_that_a_human_set_meanwhile_stay() {
    let Some(docker) = Docker::require() else { return };
    let it = Resized::start(&docker, "human", "exec sleep 600", "60s");
    let mut pass = into_window(&it.root);
    docker.cli(&["update", "--memory=80m", "--memory-swap=96m", &it.container.name]);
    pass.wait_for("alert");
    pass.wait().expect_code(13);
    it.assert_limits(80, 750_000_000);
    assert_eq!(it.root.state_lines("fix_knowledge_base.jsonl")[0]["result_status"], "conflict");
    let refused = healer(&it.root, &["rollback", &backup_of(&it.root)]).expect_code(13);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    it.assert_limits(80, 750_000_000);
    healer(&it.root, &["rollback", &backup_of(&it.root), "--force"]).expect_code(0);
    it.assert_limits(64, 500_000_000);
}

#[test]
fn no_resize_has_helped_after_which_the_container_is_down() {
    let Some(docker) = Docker::require() else { return };
    let it = Resized::start(&docker, "down", "exec sleep 600", "30s");
    let pass = into_window(&it.root);
    docker.cli(&["kill", &it.container.name]);
    let ran = pass.wait().expect_code(12);
    assert!(ran.output().contains("does not run with its new limits"), "{}", ran.output());
    it.assert_limits(64, 500_000_000);
}

#[test]
fn what_docker_could_not_take_back_is_not_begun() {
    let Some(docker) = Docker::require() else { return };
    let name = Docker::unique_name("unlimited");
    let _container = docker.run(&name, &[], &["sleep", "600"]);
    let check = |memory: &str, words: &str| {
        let root = Fix {
            allow: "containers = [\"*\"]",
            checks: &format!("[checks.docker]\nsocket = \"{}\"\ninclude = [\"none\"]\n", docker.socket),
            steps: &format!("{{ resize = \"container:{name}\", memory = {memory} }}"),
            window: "1s",
        }
        .root();
        let diagnosis = heal(&root)["diagnoses"][0].take();
        assert_eq!(diagnosis["hold"], "unusable_target", "{diagnosis:#}");
        assert!(diagnosis["hold_reason"].as_str().unwrap().contains(words), "{diagnosis:#}");
    };
    check("\"64m\"", "has no limit of its memory");
    check("{ multiply = 1.5, max = \"1g\" }", "has no limit of its memory");
}

// --- compose ----------------------------------------------------------------------------------------------------------

/// A container as compose would have made it.
fn compose_container(docker: &Docker, project: &str, service: &str, labels: &[(&str, &str)]) -> support::Container {
    let name = format!("{project}-{service}-1");
    let mut options = vec!["--stop-timeout=0".to_owned()];
    let own = [("project", project), ("service", service), ("container-number", "1"), ("oneoff", "False")];
    options.extend(own.iter().chain(labels).map(|(k, v)| format!("--label=com.docker.compose.{k}={v}")));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    docker.run(&name, &options, &["sleep", "600"])
}

fn started(container: &support::Container) -> String {
    container.inspect("{{.State.StartedAt}}")
}

#[test]
fn the_services_of_a_project_are_restarted_in_the_order_of_their_dependencies() {
    let Some(docker) = Docker::require() else { return };
    let project = Docker::unique_name("shop");
    // By name it would be the other way round.
    let app = compose_container(&docker, &project, "app", &[("depends_on", "cache:service_started:false")]);
    let cache = compose_container(&docker, &project, "cache", &[("depends_on", "store:service_healthy:true")]);
    let store = compose_container(&docker, &project, "store", &[]);
    let other = compose_container(&docker, &format!("{project}x"), "app", &[]);
    let [app0, cache0, other0] = [&app, &cache, &other].map(started);
    let fix = |steps: &str| {
        Fix {
            allow: &format!("containers = [\"{project}-*\"]"),
            checks: &format!("[checks.docker]\nsocket = \"{}\"\ninclude = [\"none\"]\n", docker.socket),
            steps,
            window: "1s",
        }
        .root()
    };
    let root = fix(&format!("{{ restart = \"compose:{project}\" }}"));
    let pass = heal(&root);
    assert_eq!(outcome(&pass), "healed", "{pass:#}");
    let [app1, cache1, store1, other1] = [&app, &cache, &store, &other].map(started);
    assert!(store1 < cache1 && cache1 < app1, "{store1} {cache1} {app1}");
    assert!(app1 > app0 && cache1 > cache0 && other1 == other0, "another project is left alone");

    let root = fix(&format!("{{ restart = \"compose:{project}/cache\" }}"));
    assert_eq!(outcome(&heal(&root)), "healed");
    assert_eq!([&app, &store].map(started), [app1, store1], "only this service");
    assert!(started(&cache) > cache1);

    let root = fix(&format!("{{ restart = \"compose:{project}x\" }}"));
    assert_eq!(heal(&root)["diagnoses"][0]["hold"], "not_allowed");
}

#[test]
fn a_service_is_made_anew_by_compose_from_the_files_that_its_labels_name() {
    let Some(docker) = Docker::require() else { return };
    let project = Docker::unique_name("anew");
    let root = Root::new();
    let file = root.write("compose.yaml", "services: {}\n").display().to_string();
    let container = compose_container(&docker, &project, "web", &[("project.config_files", &file)]);
    let fix = Fix {
        allow: &format!("containers = [\"{project}-*\"]"),
        checks: &format!("[checks.docker]\nsocket = \"{}\"\ninclude = [\"none\"]\n", docker.socket),
        steps: &format!("{{ recreate = \"compose:{project}/web\" }}"),
        window: "1s",
    };
    fix.configure(&root);
    root.append("worker.log", RATE_LIMITED.repeat(20));
    let stand_in = |script: &str| {
        let path = root.write("bin/docker", format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    stand_in("echo \"docker: 'compose' is not a docker command.\" >&2; exit 1");
    let held = heal(&root)["diagnoses"][0].take();
    let reason = held["hold_reason"].as_str().unwrap();
    assert!(reason.contains("the compose plugin of the docker command is not installed"), "{held:#}");
    let before = container.inspect("{{.Id}}");

    // Compose itself, as far as one container goes: a new one of the same name and labels.
    stand_in(&format!(
        "echo \"$@\" >> {calls}\ncase \"$*\" in *' up '*) ;; *) exit 0 ;; esac\n\
         real() {{ /usr/bin/docker --host {socket} \"$@\"; }}\n\
         real rm -f {name} >/dev/null\n\
         exec /usr/bin/docker --host {socket} run -d --name {name} --network host --label com.docker.compose.project={project} \
         --label com.docker.compose.service=web --label com.docker.compose.project.config_files={file} {image} sleep 600",
        calls = root.path("calls").display(),
        socket = docker.socket,
        name = container.name,
        image = docker.image,
    ));
    let pass = heal(&root);
    assert_eq!(outcome(&pass), "healed", "{pass:#}");
    assert_ne!(container.inspect("{{.Id}}"), before);
    let calls = root.read_text("calls");
    let wanted = format!("compose -p {project} -f {file} up -d --no-deps --no-build --force-recreate web");
    assert!(calls.lines().any(|call| call.ends_with(&wanted)), "{calls}");
}

// --- PostgreSQL -------------------------------------------------------------------------------------------------------

struct Role {
    admin: postgres::Client,
    name: String,
    url: String,
}

impl Role {
    /// A role that is no superuser, for sessions of this test alone.
    fn new(url: &str, label: &str) -> Role {
        let mut admin = postgres::Client::connect(url, postgres::NoTls).unwrap();
        let name = Docker::unique_name(label).replace('-', "_");
        admin.batch_execute(&format!("create role {name} login password 'x'")).unwrap();
        let (_, host) = url.rsplit_once('@').unwrap();
        Role { admin, url: format!("postgres://{name}:x@{host}"), name }
    }

    /// A session that has begun a transaction and does nothing.
    fn idle_in_transaction(&self) -> postgres::Client {
        let mut session = postgres::Client::connect(&self.url, postgres::NoTls).unwrap();
        session.batch_execute("begin; select 1").unwrap();
        session
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.admin.batch_execute(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{0}'; drop role {0}",
            self.name
        ));
    }
}

#[test]
fn the_oldest_sessions_idle_in_a_transaction_are_ended_and_all_others_live_on() {
    let Some(url) = require_env("HEALER_TEST_POSTGRES") else { return };
    let mut role = Role::new(&url, "app");
    let mut oldest = role.idle_in_transaction();
    let mut second = role.idle_in_transaction();
    let mut dump =
        postgres::Client::connect(&format!("{}?application_name=pg_dump", role.url), postgres::NoTls).unwrap();
    dump.batch_execute("begin; select 1").unwrap();
    let mut superuser = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    superuser.batch_execute("begin; select 1").unwrap();
    role.admin.batch_execute("select pg_sleep(10.5)").unwrap();
    let mut young = role.idle_in_transaction();

    let root = Fix {
        allow: "postgres = [\"db\"]",
        checks: &format!("{NO_DOCKER}[checks.postgres.db]\nurl = \"{url}\"\n"),
        steps: &format!(
            "{{ postgres = \"db\", terminate_idle_in_transaction = \"10s\", max = 1, users = [\"{}\"] }}",
            role.name
        ),
        window: "1s",
    }
    .root();
    let plan = dry(&root);
    assert!(
        plan.stdout.contains("cannot be undone") && plan.stdout.contains("now idle in a transaction: "),
        "{}",
        plan.stdout
    );
    let pass = heal(&root);
    assert_eq!(outcome(&pass), "healed", "{pass:#}");
    assert_eq!(pass["fix"]["backup_id"], Value::Null);
    assert!(oldest.batch_execute("select 1").is_err(), "the oldest is ended");
    for (name, session) in
        [("second", &mut second), ("pg_dump", &mut dump), ("superuser", &mut superuser), ("young", &mut young)]
    {
        session.batch_execute("select 1").unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let acted = root.state_lines("events.jsonl").into_iter().find(|e| e["kind"] == "acted").unwrap();
    assert!(acted["said"].as_str().unwrap().contains(&format!("of {} (", role.name)), "{acted}");
}

#[test]
fn queries_are_cancelled_of_roles_that_are_no_superusers_and_a_failure_says_that_it_stays_so() {
    let Some(url) = require_env("HEALER_TEST_POSTGRES") else { return };
    let mut role = Role::new(&url, "slow");
    let mut client = postgres::Client::connect(&role.url, postgres::NoTls).unwrap();
    let slow = std::thread::spawn(move || client.batch_execute("select pg_sleep(300)"));
    role.admin.batch_execute("select pg_sleep(10.5)").unwrap();
    let root = Fix {
        allow: "postgres = [\"db\"]",
        checks: &format!("{NO_DOCKER}[checks.postgres.db]\nurl = \"{url}\"\n"),
        steps: "{ postgres = \"db\", cancel_queries_over = \"10s\", max = 100 }",
        window: "60s",
    }
    .root();
    killed_in_window(&root);
    let error = slow.join().unwrap().unwrap_err();
    assert_eq!(error.code(), Some(&postgres::error::SqlState::QUERY_CANCELED), "{error}");
    errors_go_on(&root);
    let pass = heal(&root);
    assert_eq!(recovered(&pass), "failed", "{pass:#}");
    assert_closed(&root);
    errors_go_on(&root);
    assert_eq!(heal(&root)["fix"], Value::Null, "there is nothing to cancel, or the cooldown holds");
}

// --- Redis ------------------------------------------------------------------------------------------------------------

struct RedisScene {
    root: Root,
    url: String,
    key: &'static str,
}

impl RedisScene {
    /// The tests share the server, so each has a setting of its own.
    fn new(key: &'static str, value: &str, change: &str, window: &str) -> Option<RedisScene> {
        let url = require_env("HEALER_TEST_REDIS")?;
        let root = Fix {
            allow: "redis = [\"cache\"]",
            checks: &format!("{NO_DOCKER}[checks.redis.cache]\nurl = \"{url}\"\n"),
            steps: &format!("{{ redis = \"cache\", config_set = {{ {key} = {change} }} }}"),
            window,
        }
        .root();
        let scene = RedisScene { root, url, key };
        scene.set(value);
        Some(scene)
    }

    fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url.as_str()).unwrap().get_connection().unwrap()
    }

    fn set(&self, value: &str) {
        redis::cmd("CONFIG").arg("SET").arg(self.key).arg(value).query::<()>(&mut self.connection()).unwrap();
    }

    fn value(&self) -> String {
        let pair: Vec<String> = redis::cmd("CONFIG").arg("GET").arg(self.key).query(&mut self.connection()).unwrap();
        pair[1].clone()
    }
}

#[test]
fn a_setting_of_redis_is_changed_within_its_bounds_and_a_rollback_restores_it() {
    let Some(it) = RedisScene::new("slowlog-max-len", "128", "{ multiply = 2, max = 200 }", "1s") else { return };
    assert!(dry(&it.root).stdout.contains("redis cache: slowlog-max-len 128 -> 200"));
    assert_eq!(it.value(), "128");
    let pass = heal(&it.root);
    assert_eq!(outcome(&pass), "healed", "{pass:#}");
    assert_eq!(it.value(), "200");
    healer(&it.root, &["rollback", "latest"]).expect_code(0);
    assert_eq!(it.value(), "128");
    errors_go_on(&it.root);
    assert_eq!(heal(&it.root)["diagnoses"][0]["hold"], "held_for_human");
}

#[test]
fn a_setting_that_did_not_help_is_put_back_and_one_that_a_human_changed_stays() {
    let Some(it) = RedisScene::new("maxmemory-samples", "5", "10", "60s") else { return };
    let check = |human: &str, code: i32, stays: &str| {
        let mut pass = into_window(&it.root);
        assert_eq!(it.value(), "10");
        match human {
            "" => drop(it.root.append("worker.log", RATE_LIMITED.repeat(5_000))),
            value => it.set(value),
        }
        pass.wait_for("alert");
        pass.wait().expect_code(code);
        assert_eq!(it.value(), stays);
        assert_closed(&it.root);
        it.set("5");
    };
    check("7", 13, "7");
    drop(healer(&it.root, &["reset", "redis:cache#maxmemory-samples"]));
    // A state directory of its own for each: limits and holds are no part of this test.
    std::fs::remove_dir_all(it.root.state_dir()).unwrap();
    check("5", 13, "5");
    std::fs::remove_dir_all(it.root.state_dir()).unwrap();
    check("", 12, "5");
}

/// The journal of a pass that was killed is cut to its first lines, as if it had been killed there, and the server holds
/// what it may hold then.
#[test]
fn wherever_a_pass_was_killed_the_setting_is_before_or_judged() {
    let check = |lines: usize, value: &str, expected: &str, left: &str| {
        let Some(it) = RedisScene::new("latency-monitor-threshold", "100", "{ multiply = 2, max = 1000 }", "60s")
        else {
            return;
        };
        killed_in_window(&it.root);
        assert_eq!(it.value(), "200");
        let journal = std::fs::read_dir(it.root.path("state/journal")).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(&journal).unwrap();
        let words: Vec<&str> = ["plan", "acting", "acted", "settled", "validating"].to_vec();
        assert!(text.lines().zip(&words).all(|(line, word)| line.contains(word)), "{text}");
        assert_eq!(text.lines().count(), words.len(), "{text}");
        std::fs::write(&journal, text.lines().take(lines).map(|l| format!("{l}\n")).collect::<String>()).unwrap();
        it.set(value);
        let pass = heal(&it.root);
        assert_eq!((recovered(&pass), it.value().as_str()), (expected, left), "{lines} {value}: {pass:#}");
        assert_closed(&it.root);
    };
    check(1, "100", "held", "100");
    check(1, "200", "rolled_back", "100");
    check(2, "100", "rolled_back", "100");
    check(2, "200", "rolled_back", "100");
    check(3, "200", "rolled_back", "100");
    check(4, "200", "rolled_back", "100");
    check(5, "200", "healed", "200");
    check(5, "100", "rolled_back", "100");
    for lines in [1, 2, 3, 4, 5] {
        check(lines, "300", "conflict", "300");
    }
}

// --- run --------------------------------------------------------------------------------------------------------------

struct Program {
    root: Root,
}

impl Program {
    /// `up` and `down` are shell scripts; the rule runs them by their paths.
    fn new(up: &str, down: Option<&str>, window: &str) -> Program {
        let root = Root::new();
        let dir = root.dir().display().to_string();
        for (name, script) in [("up", Some(up)), ("down", down)] {
            let Some(script) = script else { continue };
            let path = root.write(name, format!("#!/bin/sh\ncd {dir}\n{script}\n"));
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let undo = down.map_or("", |_| ", undo = [\"{root}/down\"]");
        let fix = Fix {
            allow: "commands = [[\"{root}/up\", \"--level\", \"2\"], [\"{root}/down\"]]",
            checks: NO_DOCKER,
            steps: &format!("{{ run = [\"{{root}}/up\", \"--level\", \"2\"]{undo} }}"),
            window,
        };
        fix.configure(&root);
        root.append("worker.log", RATE_LIMITED.repeat(20));
        Program { root }
    }

    fn is_up(&self) -> bool {
        self.root.path("is-up").exists()
    }
}

const UP: &str = "touch is-up; echo \"level $2\"";
const DOWN: &str = "rm -f is-up; echo down >> undone";

#[test]
fn a_command_is_run_and_undone_by_its_own_undo() {
    let it = Program::new(UP, Some(DOWN), "1s");
    assert!(dry(&it.root).stdout.contains("/up --level 2 (undone by "));
    let pass = heal(&it.root);
    assert_eq!(outcome(&pass), "healed", "{pass:#}");
    assert!(it.is_up());
    let acted = it.root.state_lines("events.jsonl").into_iter().find(|e| e["kind"] == "acted").unwrap();
    assert_eq!(acted["said"], "level 2");
    healer(&it.root, &["rollback", "latest"]).expect_code(0);
    assert!(!it.is_up());
    let again = healer(&it.root, &["rollback", &backup_of(&it.root)]).expect_code(0);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    assert_eq!(it.root.read_text("undone"), "down\n", "once");
}

#[test]
fn a_command_that_fails_is_undone_and_without_an_undo_it_has_failed() {
    let check = |down: Option<&str>, code: i32, expected: &str, words: &str| {
        let it = Program::new("touch is-up; echo no >&2; exit 3", down, "1s");
        let ran = healer(&it.root, &["heal", "--json"]).expect_code(code);
        let pass = ran.data();
        assert_eq!(outcome(&pass), expected, "{pass:#}");
        let why = pass["fix"]["why"].as_str().unwrap();
        assert!(why.contains("exited with 3: no") && why.contains(words), "{why}");
        assert_eq!(it.is_up(), down != Some(DOWN));
        assert_closed(&it.root);
    };
    check(Some(DOWN), 12, "rolled_back", "");
    check(None, 12, "failed", "");
    check(Some("echo broken >&2; exit 4"), 13, "rollback_failed", "exited with 4: broken");
}

#[test]
fn a_pass_killed_while_its_command_runs_undoes_it_the_next_time() {
    let it =
        Program::new("touch is-up; while [ -e is-up ] && [ ! -e release ]; do sleep 0.05; done", Some(DOWN), "60s");
    let pass = spawn(&it.root, &["heal"]);
    let until = std::time::Instant::now() + support::DEADLINE;
    while !it.is_up() {
        assert!(std::time::Instant::now() < until, "the command never ran");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    pass.signal(Signal::KILL);
    // Its streams are held by the command until that ends.
    it.root.write("release", "");
    pass.wait();
    let pass = heal(&it.root);
    assert_eq!(recovered(&pass), "rolled_back", "{pass:#}");
    assert!(!it.is_up());
    assert_closed(&it.root);
}

#[test]
fn nothing_is_run_or_set_that_is_not_allowed_exactly() {
    let check = |allow: &str| {
        let it = Program::new(UP, Some(DOWN), "1s");
        Fix {
            allow,
            checks: NO_DOCKER,
            steps: "{ run = [\"{root}/up\", \"--level\", \"2\"], undo = [\"{root}/down\"] }",
            window: "1s",
        }
        .configure(&it.root);
        assert_eq!(heal(&it.root)["diagnoses"][0]["hold"], "not_allowed", "{allow}");
        assert!(!it.is_up());
    };
    check("");
    check("commands = [[\"{root}/up\"], [\"{root}/down\"]]");
    check("commands = [[\"{root}/up\", \"--level\", \"2\", \"x\"], [\"{root}/down\"]]");
    check("commands = [[\"{root}/up\", \"--level\", \"2\"]]");
    if let Some(it) = RedisScene::new("lua-time-limit", "5000", "6000", "1s") {
        Fix {
            allow: "",
            checks: &format!("{NO_DOCKER}[checks.redis.cache]\nurl = \"{}\"\n", it.url),
            steps: "{ redis = \"cache\", config_set = { lua-time-limit = 6000 } }",
            window: "1s",
        }
        .configure(&it.root);
        assert_eq!(heal(&it.root)["diagnoses"][0]["hold"], "not_allowed");
        assert_eq!(it.value(), "5000");
    }
}
