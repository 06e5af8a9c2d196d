//! `healer config`: what it remarks on a sound configuration (`config/warned.txt`), its exit codes and documents, the schema;
//! and what else is made from the definition of the command line. Broken configurations: `src/config/tests/broken.txt`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Docker, HttpServer, Root, healer, skip, spawn_command};

/// Cases in one file: `=== law`, a configuration, `--- file NAME MODE` and a text, `--- link NAME TARGET`, `--- mode NAME MODE`,
/// `--- told`, the words.
const WARNED: &str = include_str!("config/warned.txt");

#[test]
fn every_warning_is_told_in_these_words() {
    let mut checked = 0;
    for case in WARNED.split("=== ").skip(1) {
        let (law, rest) = case.split_once('\n').unwrap();
        let (text, expected) = rest.split_once("--- told\n").unwrap();
        let root = Root::new();
        set_up(&root, text);
        let code = if expected.trim().is_empty() { 0 } else { 10 };
        let ran = healer(&root, &["config", "check", "--offline", "--strict", "--quiet"]).expect_code(code);
        let told = ran.stdout.replace(root.dir().to_str().unwrap(), "{root}");
        assert_eq!(carets(&told), carets(expected), "{law}");
        assert_eq!(ran.stderr, "", "{law}");
        checked += 1;
    }
    assert!(checked >= 25, "the table was not read whole: {checked}");
}

fn set_up(root: &Root, text: &str) {
    let mut parts = text.split("--- ");
    let mode = |name: &str, mode: &str| {
        let mode = u32::from_str_radix(mode, 8).unwrap();
        std::fs::set_permissions(root.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    root.config(parts.next().unwrap());
    mode("healer.toml", "644");
    for part in parts {
        let (head, body) = part.split_once('\n').unwrap();
        match head.split(' ').collect::<Vec<_>>()[..] {
            ["file", name, bits] => {
                root.write(name, body);
                mode(name, bits);
            }
            ["link", name, target] => symlink(root.path(target), root.path(name)).unwrap(),
            ["mode", name, bits] => mode(name, bits),
            _ => panic!("{head}"),
        }
    }
}

/// Below a line with the root in it, whose length nobody knows, one caret stands for all.
fn carets(text: &str) -> String {
    let mut lines: Vec<String> = text.trim_end().lines().map(str::to_owned).collect();
    for n in 1..lines.len() {
        if lines[n - 1].contains("{root}") && lines[n].trim_start_matches([' ', '|']).trim_matches('^').is_empty() {
            let start = lines[n].trim_end_matches('^').len();
            lines[n].truncate(start);
        }
    }
    lines.join("\n")
}

const SOUND: &str = "[allow]\nunits = [\"shop.service\"]\n";
const WARNS: &str = "[serve]\nlisten = \"0.0.0.0:8787\"\n";
const BROKEN: &str = "mode = \"atuo\"\n[limits]\nzzz = 1\n";

#[test]
fn the_exit_code_says_how_bad_it_is() {
    let check = |text: &str, args: &[&str], code: i32| {
        let root = Root::new();
        root.config(text);
        let all: Vec<&str> = ["config", "check", "--offline"].iter().chain(args).copied().collect();
        healer(&root, &all).expect_code(code);
    };
    check(SOUND, &[], 0);
    check(SOUND, &["--strict"], 0);
    check(WARNS, &[], 0);
    check(WARNS, &["--strict"], 10);
    check(BROKEN, &[], 78);
    check(BROKEN, &["--strict"], 78);
}

#[test]
fn errors_and_warnings_are_objects_for_programs() {
    let root = Root::new();
    let file = root.config_path().display().to_string();
    root.config(BROKEN);
    let body = healer(&root, &["config", "check", "--offline", "--json"]).expect_code(78).json();
    assert_eq!((&body["status"], &body["code"], &body["warnings"]), (&json!("error"), &json!(78), &json!([])));
    let first = json!({
        "file": file, "line": 1, "column": 8, "message": "`mode` cannot be `atuo`", "help": "did you mean `auto`?",
    });
    assert_eq!((&body["errors"][0], body["errors"].as_array().unwrap().len()), (&first, 2));

    root.config(WARNS);
    let data = healer(&root, &["config", "check", "--offline", "--json"]).expect_code(0).data();
    assert_eq!(data["errors"], json!([]));
    let warning = &data["warnings"][0];
    assert_eq!((&warning["file"], &warning["line"], &warning["column"]), (&json!(file), &json!(2), &json!(10)));
    assert!(warning["help"].as_str().unwrap().contains("set `token`"));
}

#[test]
fn every_error_is_told_with_its_line_and_nothing_else_is_looked_at() {
    let root = Root::new();
    root.config(BROKEN);
    let ran = healer(&root, &["config", "check"]).expect_code(78);
    assert!(ran.stdout.contains("1 | mode = \"atuo\"") && ran.stdout.contains("unknown key `zzz`"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("the configuration has 2 errors; nothing was run\n"), "{}", ran.stdout);
}

#[test]
fn without_offline_every_check_and_log_is_tried_once() {
    let root = Root::new();
    let server = HttpServer::ok();
    let closed = support::free_port();
    root.config(&format!(
        "[checks.host]\nenabled = false\n[checks.docker]\nenabled = false\n\
         [checks.http.up]\nurl = \"{}\"\n[checks.tcp.down]\naddress = \"127.0.0.1:{closed}\"\n\
         [logs.files.none]\npath = \"{{root}}/none/*.log\"\n[logs.files.there]\npath = \"{{root}}/there.log\"\n",
        server.url("/")
    ));
    root.write("there.log", "");
    let data = healer(&root, &["config", "check", "--json"]).expect_code(0).data();
    let told: Vec<(u64, &str)> = data["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| (w["line"].as_u64().unwrap(), w["message"].as_str().unwrap()))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].0 == 7 && told[0].1.starts_with("the check `down` is critical now: "), "{told:?}");
    let none = format!("no file matches {}", root.path("none/*.log").display());
    assert_eq!(told[1], (10, none.as_str()));
    let offline = healer(&root, &["config", "check", "--offline", "--json"]).expect_code(0).data();
    assert_eq!(offline["warnings"], json!([]), "nothing of that is looked at");
}

#[test]
fn a_log_that_may_not_be_read_is_told_with_the_permission_that_is_missing() {
    if !support::is_root() {
        return skip("only root can be somebody else");
    }
    let root = Root::new();
    root.config("[checks.host]\nenabled = false\n[checks.docker]\nenabled = false\n[logs.files.app]\npath = \"{root}/logs/*/app.log\"\n");
    let open = |name: &str, bits: u32| {
        std::fs::set_permissions(root.path(name), std::fs::Permissions::from_mode(bits)).unwrap();
    };
    root.write("logs/a/app.log", "");
    let told = || {
        let data = as_nobody(&root);
        let warnings = data["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{data:#}");
        warnings[0]["message"].as_str().unwrap().replace(root.dir().to_str().unwrap(), "{root}")
    };
    open("logs/a/app.log", 0o600);
    let expected = "{root}/logs/a/app.log cannot be read: the permission `r` on {root}/logs/a/app.log (mode 0600, owner 0:0) is missing";
    assert_eq!(told(), expected);
    open("logs/a/app.log", 0o644);
    open("logs/a", 0o744);
    let expected = "{root}/logs/a/app.log cannot be read: the permission `x` on the directory {root}/logs/a (mode 0744, owner 0:0) is \
                    missing";
    assert_eq!(told(), expected);
}

#[test]
fn what_belongs_to_another_user_is_told() {
    if !support::is_root() {
        return skip("only root can give files away");
    }
    let root = Root::new();
    let secret = root.write("secret", "hunter2hunter2hunter2hunter2hunter2");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    root.config(&format!("[serve]\ntoken = \"${{file:{}}}\"\n", secret.display()));
    let rules = root.write(
        "rules.d/more.toml",
        "[[signature]]\nname = \"a\"\npattern = \"a\"\ncategory = \"x\"\nseverity = \"error\"\n",
    );
    let files = [root.config_path(), rules, secret];
    let told = || {
        let data = healer(&root, &["config", "check", "--offline", "--json"]).expect_code(0).data();
        let all = data["warnings"].as_array().unwrap().iter().map(|w| w["message"].as_str().unwrap().to_owned());
        all.filter(|message| message.contains("belongs to")).collect::<Vec<_>>()
    };
    assert_eq!(told(), Vec::<String>::new());
    files.iter().for_each(|file| std::os::unix::fs::chown(file, Some(65_534), None).unwrap());
    let of_file = "this file belongs to user 65534, who so decides what root does".to_owned();
    let of_secret = format!("this secret belongs to user 65534, who may read and change it: {}", files[2].display());
    assert_eq!(told(), [of_file.clone(), of_secret, of_file]);
}

/// What `systemctl show` of the installed units, without a systemd.
const SYSTEMCTL: &str = r#"#!/bin/sh
for unit; do :; done
case $unit in
healer.service) printf 'LoadState=loaded\nProtectSystem=strict\nReadWritePaths=/srv/other -/srv/more\n'
    printf 'IPAddressDeny=::/0 0.0.0.0/0\nIPAddressAllow=127.0.0.0/8 10.0.0.0/8 ::1/128\n' ;;
healer.timer) printf 'LoadState=loaded\nTimersMonotonic={ OnUnitInactiveUSec=10min ; next_elapse=4min 2s }\n' ;;
*) echo LoadState=not-found ;;
esac
"#;

#[test]
fn the_installed_units_are_held_against_the_configuration() {
    let root = Root::new();
    let systemctl = root.write("bin/systemctl", SYSTEMCTL);
    std::fs::set_permissions(systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
    root.write("app/settings.toml", "pool = 5\n");
    root.config(
        "check_interval = \"5m\"\n[checks.host]\nenabled = false\n[checks.docker]\nenabled = false\n[allow]\nfiles = [\"{root}/app/*\"]\n\
         units = [\"shop.service\"]\n[logs.journal.shop]\nunit = \"shop.service\"\n[[rule]]\nname = \"r\"\n\
         when = { log = \"journal:shop\", signature = \"rate_limit\" }\nissue_type = \"x\"\nconfidence = 90\n[[rule.fix]]\n\
         fix_type = \"f\"\nsteps = [\n  { edit = \"{root}/app/settings.toml\", at = \"pool\", add = 1, max = 9 },\n  \
         { restart = \"unit:shop.service\" },\n]\n",
    );
    let data = healer(&root, &["config", "check", "--json"]).expect_code(0).data();
    let told = data["warnings"].as_array().unwrap().iter();
    let told: Vec<(u64, &str)> = told.map(|w| (w["line"].as_u64().unwrap(), w["message"].as_str().unwrap())).collect();
    let sandbox = format!("healer.service may not write in {}: rule `r` will be held", root.path("app").display());
    assert_eq!(
        told,
        [
            (
                1,
                "healer.timer starts a pass every 10m, and `check_interval` is 5m: `status` calls passes overdue too early or too \
                 late"
            ),
            (10, "systemd has no unit shop.service"),
            (19, sandbox.as_str()),
            (20, "systemd has no unit shop.service"),
        ]
    );
    let opens =
        format!("`healer -c {} init --systemd` opens to the units what [allow] names", root.config_path().display());
    assert_eq!(data["warnings"][2]["help"], opens.as_str());
    let offline = healer(&root, &["config", "check", "--offline", "--json"]).expect_code(0).data();
    assert_eq!(offline["warnings"], json!([]), "no program is started");
}

#[test]
fn who_is_told_of_alerts_is_held_against_what_the_unit_may_reach() {
    let root = Root::new();
    let systemctl = root.write("bin/systemctl", SYSTEMCTL);
    std::fs::set_permissions(systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
    let told = |alerts: &str| {
        root.config(&format!(
            "check_interval = \"10m\"\n[checks.host]\nenabled = false\n[checks.docker]\nenabled = false\n[alerts]\n{alerts}"
        ));
        let data = healer(&root, &["config", "check", "--json"]).expect_code(0).data();
        let all = data["warnings"].as_array().unwrap().iter().cloned();
        all.filter(|w| w["message"].as_str().unwrap().contains("may not reach")).collect::<Vec<_>>()
    };
    let check = |alerts: &str, message: &str| {
        let [warning] = told(alerts).try_into().unwrap();
        assert_eq!((warning["line"].as_u64(), warning["message"].as_str()), (Some(7), Some(message)), "{alerts}");
        let help = "`systemctl edit healer.service`: under [Service] write IPAddressAllow=203.0.113.7";
        assert_eq!(warning["help"], help);
    };
    check(
        "webhook = [{ url = \"https://203.0.113.7/hook/1\" }]\n",
        "healer.service may not reach 203.0.113.7: this receiver will not be told",
    );
    check(
        "heartbeat = \"https://203.0.113.7/ping\"\n",
        "healer.service may not reach 203.0.113.7: the heartbeat will not be called",
    );
    check(
        "email = { to = \"a@example.org\", smtp = \"smtps://203.0.113.7\" }\n",
        "healer.service may not reach 203.0.113.7: no mail will be sent",
    );
    assert_eq!(
        told("heartbeat = \"http://10.1.2.3/ping\"\nwebhook = [{ url = \"http://[::1]:9/\" }]\n"),
        [] as [Value; 0]
    );
}

#[test]
fn a_container_log_that_only_docker_may_read_is_told_with_the_permission_that_is_missing() {
    let Some(docker) = Docker::require() else { return };
    if !support::is_root() {
        return skip("only root can be somebody else");
    }
    let name = Docker::unique_name("unreadable");
    let container = docker.run(&name, &["--log-driver", "json-file"], &["sleep", "300"]);
    let address = std::env::var("HEALER_TEST_DOCKER").unwrap();
    // The engine is the tests' own: nobody may ask it.
    let socket = address.strip_prefix("unix://").unwrap();
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let root = Root::new();
    root.config(&format!(
        "[checks.host]\nenabled = false\n[checks.docker]\nsocket = \"{address}\"\ninclude = [\"{name}\"]\n[logs.docker]\n"
    ));
    let messages = |data: Value| {
        data["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w["message"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(messages(healer(&root, &["config", "check", "--json"]).expect_code(0).data()), Vec::<String>::new());
    let told = messages(as_nobody(&root));
    let log = container.inspect("{{.LogPath}}");
    let closed = told[0].split_once("the permission `x` on the directory ").map_or("", |(_, rest)| rest);
    let directory = closed.split(' ').next().unwrap();
    assert!(told.len() == 1 && told[0].starts_with(&format!("the log of {name} is read through Docker")), "{told:?}");
    assert!(
        !directory.is_empty() && log.trim().starts_with(directory) && closed.contains("owner 0:"),
        "{told:?} {log}"
    );
}

/// What `config check` says to somebody who is not root and in no group.
fn as_nobody(root: &Root) -> Value {
    root.copy_binary();
    std::fs::set_permissions(root.dir(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(root.path("healer"));
    command.args(["config", "check", "--json", "--config"]).arg(root.config_path());
    command.arg("--state-dir").arg(root.path("state"));
    spawn_command(command).wait().expect_code(0).data()
}

#[test]
fn containers_that_are_named_and_are_not_there_are_told() {
    let Some(docker) = Docker::require() else { return };
    let name = Docker::unique_name("configured");
    let _container = docker.run(&name, &[], &["sleep", "300"]);
    let root = Root::new();
    let near = format!("{name}x");
    root.config(&format!(
        "[checks.host]\nenabled = false\n[allow]\ncontainers = [\"*\"]\n[checks.docker]\nsocket = \"{}\"\n[logs.docker]\n\
         [[rule]]\nname = \"r\"\nwhen = {{ log = \"container:{name}\", signature = \"rate_limit\" }}\nissue_type = \"x\"\n\
         confidence = 90\n[[rule.fix]]\nfix_type = \"f\"\nsteps = [\n  {{ restart = \"container:{near}\" }},\n  \
         {{ restart = \"compose:nowhere/api\" }},\n]\n",
        std::env::var("HEALER_TEST_DOCKER").unwrap()
    ));
    let data = healer(&root, &["config", "check", "--json"]).expect_code(0).data();
    let told: Vec<String> =
        data["warnings"].as_array().unwrap().iter().map(|w| w["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        told,
        [
            format!("there is no container {near} on this host now"),
            "there is no compose project nowhere on this host now".to_owned()
        ]
    );
    assert_eq!(data["warnings"][0]["help"], json!(format!("did you mean `{name}`?")));
}

#[test]
fn show_prints_a_configuration_that_shows_itself_again() {
    let root = Root::new();
    root.config("[limits]\nfixes_per_hour = 3\n");
    let first = healer(&root, &["config", "show"]).expect_code(0).stdout;
    assert!(first.contains("fixes_per_hour = 3\nfixes_per_day = 24\n") && !first.contains("# default"), "{first}");
    root.config(&first);
    assert_eq!(healer(&root, &["config", "show"]).expect_code(0).stdout, first);

    let origins = healer(&root, &["config", "show", "--origin"]).expect_code(0).stdout;
    let line = origins.lines().find(|line| line.starts_with("state_dir")).unwrap();
    assert!(line.ends_with("# command line --state-dir"), "{line}");
    let data = healer(&root, &["config", "show", "--json"]).expect_code(0).data();
    let one = data["settings"].as_array().unwrap().iter().find(|s| s["key"] == "fixes_per_hour").unwrap();
    assert_eq!((&one["value"], &one["origin"], &one["table"]), (&json!(3), &json!("file"), &json!("[limits]")));
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn schema() -> Value {
    let root = Root::new();
    let printed = spawn_command(root.bare_command(&["config", "schema"])).wait().expect_code(0).stdout;
    let committed = std::fs::read_to_string(examples().join("healer.schema.json")).unwrap();
    assert!(printed == committed, "write it anew: healer config schema > examples/healer.schema.json");
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn the_schema_takes_every_example_and_no_slip_of_the_pen() {
    let schema = schema();
    let read = |text: &str| serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(examples()).unwrap() {
        let file = entry.unwrap().path().join("healer.toml");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let first = text.lines().next().unwrap();
        assert_eq!(first, "#:schema ../healer.schema.json", "{}", file.display());
        assert_eq!(faults(&schema, &schema, &read(&text), ""), Vec::<String>::new(), "{}", file.display());
        seen += 1;
    }
    assert!(seen >= 5);
    let own = include_str!("../src/config/tests/example.toml");
    assert_eq!(faults(&schema, &schema, &read(own), ""), Vec::<String>::new());
    for (text, fault) in [
        ("confidence_treshold = 90", "confidence_treshold: no such key"),
        ("confidence_threshold = 101", "confidence_threshold: above 100"),
        ("confidence_threshold = 85.5", "confidence_threshold: no integer"),
        ("mode = \"atuo\"", "mode: not one of [\"auto\",\"suggest\"]"),
        ("check_interval = \"5 minutes\"", "check_interval: does not fit"),
        ("[checks.http.a]\nurll = \"http://h/\"", "checks.http.a.urll: no such key"),
        ("[checks.http.a]\nmethod = \"GET\"", "checks.http.a: no url"),
        ("[checks.http.a]\nurl = \"http://h/\"\nmethod = \"FETCH\"", "checks.http.a.method: not one of"),
        ("[allow]\nfiles = \"/srv/a\"", "allow.files: no array"),
        (
            "[[rule]]\nname = \"r\"\nissue_type = \"x\"\nconfidence = 90\nwhen = { log = \"nginx\" }",
            "rule.0.when.log: does not fit",
        ),
        (
            "[[rule]]\nname = \"r\"\nconfidence = 90\nwhen = { check = \"a\", is = \"healthy\" }",
            "rule.0: no issue_type",
        ),
        ("[alerts]\non = [\"healled\"]", "alerts.on.0: not one of"),
    ] {
        let found = faults(&schema, &schema, &read(text), "");
        assert!(found.iter().any(|f| f.starts_with(fault)), "{text}: {found:?}");
        let root = Root::new();
        root.config(text);
        healer(&root, &["config", "check", "--offline"]).expect_code(78);
    }
}

/// What of a value a schema refuses: the keywords that ours uses, any other is a fault of the schema itself.
fn faults(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (keyword, rule) in schema.as_object().unwrap() {
        let mut fault = |is: bool, what: String| found.extend(is.then(|| format!("{path}: {what}")));
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" => {}
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap();
                found.extend(faults(root, target, value, path));
            }
            "type" => {
                let kinds = rule.as_array().map_or_else(|| vec![rule.clone()], Clone::clone);
                let fits = kinds.iter().any(|kind| is_kind(value, kind.as_str().unwrap()));
                fault(
                    !fits,
                    format!("no {}", kinds.iter().map(|k| k.as_str().unwrap()).collect::<Vec<_>>().join(" or ")),
                );
            }
            "enum" => fault(!rule.as_array().unwrap().contains(value), format!("not one of {rule}")),
            "pattern" => {
                let regex = regex::Regex::new(rule.as_str().unwrap()).unwrap();
                fault(value.as_str().is_some_and(|text| !regex.is_match(text)), format!("does not fit {rule}"));
            }
            "minLength" => {
                fault(value.as_str().is_some_and(|t| (t.len() as u64) < rule.as_u64().unwrap()), "too short".into())
            }
            "minimum" => fault(value.as_f64().is_some_and(|n| n < rule.as_f64().unwrap()), format!("below {rule}")),
            "maximum" => fault(value.as_f64().is_some_and(|n| n > rule.as_f64().unwrap()), format!("above {rule}")),
            "required" => {
                let Some(object) = value.as_object() else { continue };
                for key in rule.as_array().unwrap().iter().map(|key| key.as_str().unwrap()) {
                    fault(!object.contains_key(key), format!("no {key}"));
                }
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                found.extend(items.flat_map(|(n, item)| faults(root, rule, item, &below(&n.to_string()))));
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    found.extend(rule.get(key).into_iter().flat_map(|rule| faults(root, rule, value, &below(key))));
                }
            }
            "additionalProperties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if schema.get("properties").is_some_and(|known| known.get(key).is_some()) {
                        continue;
                    }
                    match rule {
                        Value::Bool(false) => found.push(format!("{}: no such key", below(key))),
                        rule => found.extend(faults(root, rule, value, &below(key))),
                    }
                }
            }
            "anyOf" => {
                let tried: Vec<_> = rule.as_array().unwrap().iter().map(|one| faults(root, one, value, path)).collect();
                if !tried.iter().any(Vec::is_empty) {
                    found.extend(tried.into_iter().flatten());
                }
            }
            other => panic!("{path}: this schema uses {other}"),
        }
    }
    found
}

fn is_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
        other => panic!("the schema has the type {other}"),
    }
}
