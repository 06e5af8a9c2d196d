//! `healer init`: what it finds on real services is tried, written, sound, and never over another configuration; no
//! password leaves its file; and the rule that it proposes really heals.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use support::{Docker, Ran, RateLimitedServer, RateLimitedWorker, Root, require_env, skip, spawn_command};

/// Under this it must stay, whatever does not answer.
const BOUND: Duration = Duration::from_secs(10);

/// What one test starts on the engine is found by the other, and missed by it when it is gone.
static ENGINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ENGINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run with its configuration in `etc` of the root, and the engine of the tests, or another one.
fn command(root: &Root, socket: &str, args: &[&str]) -> Command {
    let mut command = root.bare_command(args);
    command.arg("--config").arg(root.path("etc/healer.toml")).arg("--state-dir").arg(root.state_dir());
    command.env("DOCKER_HOST", socket);
    command
}

fn healer(root: &Root, socket: &str, args: &[&str]) -> Ran {
    spawn_command(command(root, socket, args)).wait()
}

fn written(root: &Root) -> String {
    root.read_text("etc/healer.toml")
}

/// The lines of a section with this header, and the comments before it.
fn section<'a>(text: &'a str, header: &str) -> &'a str {
    let found = text.split("\n\n").find(|part| part.lines().any(|line| line == header));
    found.unwrap_or_else(|| panic!("there is no {header} in\n{text}"))
}

/// An image of the tests under another name, which says what it is.
fn image(docker: &Docker, name: &str) -> Docker {
    docker.cli(&["tag", &docker.image, name]);
    Docker { image: name.to_owned(), ..docker.clone() }
}

#[test]
fn what_is_found_is_tried_and_written_and_no_password_leaves_its_file() {
    let Some(docker) = Docker::require() else { return };
    let _engine = alone();
    let Some(postgres) = require_env("HEALER_TEST_POSTGRES") else { return };
    if !Path::new("/usr/bin/redis-server").exists() {
        return skip("there is no /usr/bin/redis-server");
    }
    let root = Root::new();
    let (login, rest) = postgres.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    let port = address.rsplit(':').next().unwrap();
    let (redis_port, http_port) = (support::free_port().to_string(), support::free_port().to_string());
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port().to_string();
    let project = Docker::unique_name("found");
    let names = ["db", "cache", "api", "mute", "off"].map(|part| format!("{project}-{part}"));
    let [db, cache, api, mute, off] = names.each_ref().map(String::as_str);
    let compose = |service: &str| {
        [
            format!("--label=com.docker.compose.project={project}"),
            format!("--label=com.docker.compose.service={service}"),
        ]
    };
    let run = |docker: &Docker, name: &str, service: &str, more: &[&str], argv: &[&str]| {
        let labels = compose(service);
        let options: Vec<&str> = labels.iter().map(String::as_str).chain(more.iter().copied()).collect();
        docker.run(name, &options, argv)
    };
    let environment = [format!("PGPORT={port}"), format!("POSTGRES_USER={user}"), format!("POSTGRES_DB={database}")];
    let secret = format!("POSTGRES_PASSWORD={password}");
    let mut options: Vec<&str> = environment.iter().flat_map(|e| ["--env", e.as_str()]).collect();
    options.extend(["--env", &secret]);
    let (as_postgres, as_redis) = (image(&docker, "healer-init/postgres:16"), image(&docker, "healer-init/redis:7"));
    root.write("worker/settings.yaml", "http:\n  timeout: 10\nworker:\n  batch_size: 200\n");
    root.write("worker/venv/pyvenv.cfg", "home = /usr/bin\n");
    root.write("worker/venv/lib/timeout.py", "TIMEOUT = 10\n");
    root.write("worker/logs/app.log", "a line\n");
    let volume = format!("--volume={}:/srv", root.path("worker").display());
    let serve = format!("mkdir /www; echo ok > /www/healthz; exec httpd -f -p 127.0.0.1:{http_port} -h /www");
    let redis =
        ["/usr/bin/redis-server", "--port", &redis_port, "--bind", "127.0.0.1", "--requirepass", "cache-secret-4711"];
    let containers = [
        run(&as_postgres, db, "db", &options, &["/bin/sleep", "600"]),
        as_redis.run_with_host_programs(cache, &[], &redis),
        run(
            &docker,
            api,
            "api",
            &[
                "--expose",
                &http_port,
                &volume,
                "--restart=unless-stopped",
                "--health-cmd=true",
                "--label=com.docker.compose.depends_on=db:service_started:false,other:service_started:false",
            ],
            &["/bin/sh", "-c", &serve],
        ),
        run(
            &docker,
            mute,
            "mute",
            &["--expose", &silent_port, "--label=healer.restart=false", "--restart=always"],
            &["/bin/sleep", "600"],
        ),
        docker.run(
            off,
            &["--label=healer.enable=false", "--env", "POSTGRES_PASSWORD=never-looked-at", "--expose", "5432"],
            &["/bin/sleep", "600"],
        ),
    ];
    containers[1].wait_for_lines(1, "eady to accept connections");
    wait_for_port(&http_port);

    let begin = Instant::now();
    let ran = healer(&root, &docker.socket, &["init"]).expect_code(0);
    assert!(begin.elapsed() < BOUND, "{:?}", begin.elapsed());
    let text = written(&root);

    // Checks, each with what it said.
    let directory = root.path("etc/credentials");
    let tried = "# tried on 20";
    let of_db = section(&text, "[checks.postgres.db]");
    let url = format!("url = \"postgres://{user}:${{file:{}/db}}@127.0.0.1:{port}/{database}\"", directory.display());
    assert!(of_db.contains(&url) && of_db.contains(tried) && of_db.contains(": healthy, "), "{of_db}");
    assert!(of_db.contains(&format!("container = \"{db}\"")), "{of_db}");
    let of_cache = section(&text, &format!("[checks.redis.{cache}]"));
    assert!(
        of_cache.contains(&format!("@127.0.0.1:{redis_port}/0\"")) && of_cache.contains(": healthy, "),
        "{of_cache}"
    );
    let of_api = section(&text, "[checks.http.api]");
    assert!(of_api.contains(&format!("url = \"http://127.0.0.1:{http_port}/healthz\"\n")), "{of_api}");
    assert!(of_api.ends_with("depends_on = [\"db\"]") && !of_api.contains("expect_status"), "{of_api}");
    let of_mute = section(&text, "# [checks.http.mute]");
    assert!(of_mute.contains("# left out, tried on 20") && of_mute.contains("no answer within 3s"), "{of_mute}");
    assert!(text.contains(&format!("#   {off}: healer.enable=false: left out\n")), "{text}");
    assert!(text.contains(&format!("#   {mute}: healer.restart=false: never restarted\n")), "{text}");
    // Logs, numbers, nothing of the virtual environment.
    assert!(text.contains(&format!("path = \"{}/*.log\"", root.path("worker/logs").display())), "{text}");
    assert!(text.contains("at = \"http.timeout\", multiply = 1.5, max = 40 }"), "{text}");
    assert!(text.contains("at = \"worker.batch_size\", multiply = 0.5, min = 50 }"), "{text}");
    assert!(!text.contains("timeout.py") && text.contains(&format!("#   {}\n", root.path("worker/venv").display())));
    // Nothing is allowed, and what may never be restarted is not even proposed.
    let allow = section(&text, "[allow]");
    assert!(allow.lines().all(|line| line.starts_with('#') || line == "[allow]"), "{allow}");
    assert!(allow.contains(&format!("\"{api}\"")) && !allow.contains(mute) && !allow.contains(off), "{allow}");
    assert!(!text.contains(&format!("container:{mute}\"")) && text.contains("\nmode = \"suggest\""), "{text}");

    // No password outside of its file.
    let said = format!("{text}{}", ran.output());
    for (name, secret) in [("db", password), (cache, "cache-secret-4711")] {
        assert!(!said.contains(secret), "{said}");
        assert_eq!(root.read_text(format!("etc/credentials/{name}")), format!("{secret}\n"));
    }
    assert!(!said.contains("never-looked-at"));
    let mode = |path: &str| std::fs::metadata(root.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("etc/credentials"), mode("etc/credentials/db"), mode("etc/healer.toml")), (0o700, 0o600, 0o640));

    // The product's own judgement.
    healer(&root, &docker.socket, &["config", "check", "--offline"]).expect_code(0);
    healer(&root, &docker.socket, &["config", "check"]).expect_code(0);
    let tests = healer(&root, &docker.socket, &["rules", "test"]).expect_code(0).stdout;
    assert!(tests.contains("restart-unhealthy") && tests.contains("smaller-batches") && tests.contains("wait-longer"));
    let checked = healer(&root, &docker.socket, &["check", "--json", "db", cache, "api"]).json();
    for name in ["db", cache, "api"] {
        assert_eq!(checked["data"]["checks"][name]["status"], "healthy", "{checked:#}");
    }

    // For people and for programs.
    for word in ["FOUND", "Written:", "Next:", "config check", "heal -n", "[allow]", project.as_str()] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    std::fs::remove_dir_all(root.path("etc")).unwrap();
    let mut document = healer(&root, &docker.socket, &["init", "--json"]).expect_code(0).json();
    // Whether systemd runs, and what, is this host's.
    document["data"]["found"]["units"] = serde_json::json!([]);
    document["data"]["cron"] = Value::Null;
    support::check_keys("init", std::slice::from_ref(&document));
    let data = document["data"].clone();
    assert_eq!(data["config"], root.path("etc/healer.toml").to_str().unwrap());
    let server =
        |name: &str| data["found"]["servers"].as_array().unwrap().iter().find(|s| s["name"] == name).unwrap().clone();
    assert_eq!((&server("db")["works"], &server("mute")["works"]), (&Value::Bool(true), &Value::Bool(false)));
    assert!(data["written"].as_array().unwrap().len() >= 3 && data["kept"] == false, "{data:#}");
    assert!(!data.to_string().contains(password) && !data.to_string().contains("cache-secret-4711"));
}

#[track_caller]
fn wait_for_port(port: &str) {
    let until = Instant::now() + support::DEADLINE;
    while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
        assert!(Instant::now() < until, "nothing listens at {port}");
        std::thread::yield_now();
    }
}

#[test]
fn the_proposed_rule_heals_once_it_is_allowed_to() {
    let Some(docker) = Docker::require() else { return };
    let _engine = alone();
    let root = Root::new();
    let server = RateLimitedServer::start(Duration::from_millis(200));
    let worker = RateLimitedWorker::start(&docker, &root, "proposed", "0.16", &server.url());
    let name = worker.container.name.clone();
    worker.container.wait_for_lines(10, " 429 Client Error");
    healer(&root, &docker.socket, &["init"]).expect_code(0);
    let text = written(&root);
    let rule = section(&text, &format!("name       = \"{name}-slow-down\""));
    assert!(rule.contains("at = \"call asyncio.sleep\", multiply = 1.5, max = 0.64"), "{rule}");

    // Held as it was written: nothing is allowed.
    root.set_age("worker/client.py", Duration::from_secs(3600));
    let only = ["heal", "--json", "--only", &format!("{name}-slow-down")];
    // Other tests' containers are on the same engine; grace and window are shortened as in every test.
    let quick = |text: &str| {
        let text = text.replace("\n[checks.docker]\n", &format!("\n[checks.docker]\ninclude = [\"{name}\"]\n"));
        let own = rule.replace(
            "[[rule.test]]",
            "[rule.validate]\nsettle = \"1s\"\nwindow = \"4s\"\nreduce_to = \"50%\"\n[[rule.test]]",
        );
        let text = text.replace(rule, &own);
        format!("{text}\n[limits]\nstart_grace = \"0s\"\nmin_duration = \"0s\"\nstorm_percent = 100\n")
    };
    let diagnosis = |pass: &Value| {
        let all = pass["diagnoses"].as_array().unwrap().clone();
        all.into_iter()
            .find(|d| d["rule"] == format!("{name}-slow-down").as_str())
            .unwrap_or_else(|| panic!("{pass:#}"))
    };
    root.write("etc/healer.toml", quick(&text));
    let held = healer(&root, &docker.socket, &only).expect_code(10).data();
    assert_eq!(diagnosis(&held)["hold"], "not_allowed", "{held:#}");
    assert!(root.read_text("worker/client.py").contains("asyncio.sleep(0.16)"));

    // As the comments say: the `# ` away, and mode.
    let allowed = text.replace("# files = [", "files = [").replace("# containers = [", "containers = [");
    root.write("etc/healer.toml", quick(&allowed));
    let suggested = healer(&root, &docker.socket, &only).expect_code(10).data();
    assert_eq!(diagnosis(&suggested)["hold"], "suggest", "{suggested:#}");
    let auto = allowed.replace("mode = \"suggest\"", "mode = \"auto\"");
    root.write("etc/healer.toml", quick(&auto));
    let healed = healer(&root, &docker.socket, &only).data();
    assert_eq!(healed["fix"]["outcome"], "healed", "{:#}", healed["fix"]);
    assert!(root.read_text("worker/client.py").contains("asyncio.sleep(0.24)"));
}

#[test]
fn a_configuration_that_is_there_is_never_overwritten() {
    let root = Root::new();
    let shipped = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/healer.toml")).unwrap();
    let none = format!("unix://{}", root.path("none.sock").display());
    let check = |before: &str, replaced: bool| {
        root.write("etc/healer.toml", before);
        let tree = root.snapshot();
        let ran = healer(&root, &none, &["init"]);
        if replaced {
            ran.expect_code(0);
            assert!(written(&root).starts_with("# Written by `healer init` on "));
            return;
        }
        let ran = ran.expect_code(1);
        tree.assert_unchanged(&root.snapshot());
        let path = root.path("etc/healer.toml").display().to_string();
        let own_check = format!("`healer -c {path} config check`");
        for text in [path.as_str(), "is there already, and init never overwrites", &own_check, "healer -c FILE init"] {
            assert!(ran.stderr.contains(text), "{text}: {}", ran.stderr);
        }
    };
    check("", false);
    check("mode = \"auto\"\n", false);
    check(&format!("{shipped}\n# mine\n"), false);
    check(&shipped, true);
    // Also what it has written itself.
    let own = written(&root);
    check(&own, false);
    std::fs::remove_file(root.path("etc/healer.toml")).unwrap();
    std::os::unix::fs::symlink(root.path("nowhere"), root.path("etc/healer.toml")).unwrap();
    let ran = healer(&root, &none, &["init", "--json"]).expect_code(1).json();
    assert_eq!((&ran["status"], &ran["code"]), (&"error".into(), &1.into()), "{ran:#}");
}

#[test]
fn what_cannot_be_written_is_told_with_what_to_do() {
    let root = Root::new();
    root.write("etc", "a file\n");
    let before = root.snapshot();
    let ran = healer(&root, "unix:///nonexistent/docker.sock", &["init"]).expect_code(1);
    assert!(ran.stderr.contains("healer: cannot "), "{}", ran.stderr);
    before.assert_unchanged(&root.snapshot());
}

#[test]
fn nothing_found_is_fine_and_what_hangs_is_not_waited_for() {
    let check = |socket: &str, reason: &str| {
        let root = Root::new();
        let begin = Instant::now();
        let ran = healer(&root, socket, &["init"]).expect_code(0);
        assert!(begin.elapsed() < BOUND, "{:?}", begin.elapsed());
        let text = written(&root);
        assert!(
            text.contains("\n[checks.host]") && text.contains(reason) && text.contains("\n# [checks.docker]\n"),
            "{text}"
        );
        assert!(ran.stdout.contains("left out: no "), "{}", ran.stdout);
        let ran = healer(&root, "unix:///nonexistent/docker.sock", &["config", "check", "--offline", "--strict"]);
        ran.expect_code(0);
    };
    check("unix:///nonexistent/docker.sock", "no Docker socket at unix:///nonexistent/docker.sock");
    let root = Root::new();
    let path = root.path("silent.sock");
    let _silent = UnixListener::bind(&path).unwrap();
    check(&format!("unix://{}", path.display()), "no answer within 2.5s from Docker");
}

#[test]
fn the_file_that_the_package_leaves_is_sound() {
    let root = Root::new();
    root.write("etc/healer.toml", include_str!("../examples/healer.toml"));
    let ran = healer(&root, "unix:///nonexistent/docker.sock", &["config", "check", "--strict"]);
    let ran = ran.expect_code(0);
    assert!(ran.stdout.contains("nothing to remark"), "{}", ran.stdout);
}

#[test]
fn without_systemd_the_line_for_cron_is_printed() {
    if Path::new("/run/systemd/system").exists() {
        return skip("systemd runs this host");
    }
    let root = Root::new();
    let line = format!(
        "*/5 * * * * root {} --config {} --no-input --quiet heal >/dev/null 2>&1",
        env!("CARGO_BIN_EXE_healer"),
        root.path("etc/healer.toml").display()
    );
    for args in [&["init"][..], &["init", "--systemd"]] {
        let _ = std::fs::remove_dir_all(root.path("etc"));
        let ran = healer(&root, "unix:///nonexistent/docker.sock", args).expect_code(0);
        assert!(ran.stdout.contains(&line), "{line}: {}", ran.stdout);
        assert_eq!(ran.stderr.contains("no unit is installed"), args.len() > 1, "{}", ran.stderr);
    }
}

/// The files that init reads of containers lie in a directory that a container mounts.
#[test]
fn no_odd_name_stops_it_and_a_suggested_file_is_covered_once_it_is_allowed() {
    let Some(docker) = Docker::require() else { return };
    let _engine = alone();
    let root = Root::new();
    root.write("worker/[a]{b}*?/settings.yaml", "http:\n  timeout: 10\n");
    root.write("worker/new\nline/settings.yaml", "http:\n  timeout: 10\n");
    root.write("worker/logs/new\nline.log", "a line\n");
    root.write("worker/logs/app.log", "a line\n");
    let volume = format!("--volume={}:/srv", root.path("worker").display());
    let name = Docker::unique_name("odd");
    let _worker = docker.run(&name, &[&volume], &["/bin/sleep", "600"]);
    root.write("etc/rules.d/mine.toml", RULE.replace("NAME", &format!("{name}-wait-longer")));

    let ran = healer(&root, &docker.socket, &["init"]).expect_code(0);
    assert!(ran.stdout.contains("Not looked at:") && ran.stdout.contains(r"new\nline"), "{}", ran.stdout);
    let text = written(&root);
    // The operator's rule has the name.
    assert!(section(&text, &format!("name       = \"{name}-wait-longer-2\"")).contains("http.timeout"), "{text}");
    assert!(text.contains("worker/logs/*.log") && !text.contains("line.log"), "{text}");
    let allowed = text.replace("# files = [", "files = [").replace("# containers = [", "containers = [");
    root.write("etc/healer.toml", allowed);
    let checked = healer(&root, &docker.socket, &["config", "check", "--offline"]).expect_code(0).stdout;
    assert!(!checked.contains("does not cover"), "{checked}");
}

const RULE: &str = "[[rule]]\nname = \"NAME\"\nwhen = { check = \"host\", is = \"critical\" }\n\
                    issue_type = \"resource_overload\"\nconfidence = 50\n";

#[test]
fn a_broken_file_of_rules_is_blamed_by_its_own_name() {
    let check = |text: &str, said: &str| {
        let root = Root::new();
        root.write("etc/rules.d/mine.toml", text);
        let ran = healer(&root, "unix:///nonexistent/docker.sock", &["init"]).expect_code(1);
        assert!(ran.stderr.contains("rules.d/mine.toml:") && ran.stderr.contains(said), "{}", ran.stderr);
        assert!(!ran.stderr.contains("please report"), "{}", ran.stderr);
        let left: Vec<_> = std::fs::read_dir(root.path("etc")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["rules.d"]);
    };
    check("[[rule\n", "rules.d/mine.toml:1");
    check(&RULE.replace("\"host\"", "\"nowhere\"").replace("NAME", "r"), "nowhere");
}

#[test]
fn what_is_left_out_is_not_found_by_its_port_and_only_passwords_that_work_are_written() {
    let Some(docker) = Docker::require() else { return };
    let _engine = alone();
    if !Path::new("/usr/bin/redis-server").exists() {
        return skip("there is no /usr/bin/redis-server");
    }
    let Ok(usual) = std::net::TcpListener::bind("127.0.0.1:6379") else {
        return skip("something has the port 6379 of this host");
    };
    let root = Root::new();
    let as_redis = image(&docker, "healer-init/redis:7");
    let [off, open, broken] = ["off", "open", "broken"].map(Docker::unique_name);
    let port = support::free_port().to_string();
    let redis = ["/usr/bin/redis-server", "--port", &port, "--bind", "127.0.0.1"];
    let elsewhere = format!("sleep 600 # --port {}", support::free_port());
    let _containers = [
        docker.run(&off, &["--label=healer.enable=false", "--expose", "6379"], &["/bin/sleep", "600"]),
        as_redis.run_with_host_programs(&open, &["--env", "REDIS_PASSWORD=unused-secret-4711"], &redis),
        as_redis.run(&broken, &["--env", "REDIS_PASSWORD=two\nlines-4711"], &["/bin/sh", "-c", &elsewhere]),
    ];
    wait_for_port(&port);
    let ran = healer(&root, &docker.socket, &["init"]).expect_code(0);
    let text = written(&root);
    assert!(!text.contains("port 6379 of this host"), "{text}");
    let of_open = section(&text, &format!("[checks.redis.{open}]"));
    assert!(of_open.contains(&format!("url = \"redis://127.0.0.1:{port}/0\"")), "{of_open}");
    let of_broken = section(&text, &format!("# [checks.redis.{broken}]"));
    assert!(of_broken.contains("line") && !of_broken.contains("could be tried"), "{of_broken}");
    assert!(!ran.stdout.contains("not tried") && !format!("{text}{}", ran.output()).contains("4711"), "{text}");
    assert!(!root.path("etc/credentials").exists(), "a password that nothing uses was written");
    drop(usual);
}

#[test]
fn an_engine_that_cannot_be_reached_so_is_told() {
    let root = Root::new();
    let ran = healer(&root, "ssh://somebody@elsewhere", &["init"]).expect_code(0);
    let told = "left out: DOCKER_HOST is neither unix:///path nor tcp://host:port";
    assert!(ran.stdout.contains(told) && written(&root).contains(told), "{}", ran.stdout);
}

#[test]
fn commands_that_are_told_name_a_file_that_is_not_the_usual_one() {
    let root = Root::new();
    let config = root.path("it's here/healer.toml");
    let mut init = root.bare_command(&["init", "--config"]);
    init.arg(&config).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let ran = spawn_command(init).wait().expect_code(0);
    let option = format!("-c '{}'", config.display().to_string().replace('\'', r"'\''"));
    let text = std::fs::read_to_string(&config).unwrap();
    for said in [format!("healer {option} init --systemd\n"), format!("healer {option} diagnose;")] {
        assert!(text.contains(&said), "{said}: {text}");
    }
    for said in [format!("`healer {option} config check`"), format!("`healer {option} heal -n`")] {
        assert!(ran.stdout.contains(&said), "{said}: {}", ran.stdout);
    }
}
