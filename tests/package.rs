//! The Debian package on a machine with systemd: what is there after it was installed, upgraded, removed and purged, and
//! that the service heals by its timer as it was installed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use support::shop::{self, SETTINGS, configuration, slow_down};
use support::{Machine, Package, Root};

/// What a container needs beside what an operator types: it cannot make another user namespace.
const IN_A_CONTAINER: &str = "[Service]\nPrivateUsers=no\n";
/// What is left to see does not need minutes.
const SOON: &str = "[Timer]\nOnBootSec=\nOnBootSec=1s\nOnUnitInactiveSec=1s\nRandomizedDelaySec=0\n";
const OPEN: &str = "[Service]\nReadWritePaths=/srv/shop\n";
const CONFIGURATION: &str = "/etc/healer/healer.toml";

/// A machine on which the package was just installed.
fn installed(root: &Root) -> Option<(Machine, Package)> {
    root.write("srv/shop/worker.sh", shop::WORKER);
    root.write("srv/shop/shop.env", SETTINGS);
    let package = Package::build(root)?;
    let machine = Machine::clean(root)?;
    machine.output(&["dpkg", "--install", &package.path()]);
    Some((machine, package))
}

/// shop.service is rate limited already, and a rule says what to do about it; `open` opens its settings to healer.
fn limited_shop(machine: &Machine, window: &str, open: bool) {
    machine.write(CONFIGURATION, &configuration("shop.service", &slow_down(window)));
    machine.unit("shop.service", shop::UNIT);
    if open {
        machine.unit("healer.service.d/allow.conf", OPEN);
    }
    machine.output(&["systemctl", "start", "shop.service"]);
    machine.wait_for_journal("shop.service", 10, " 429 ");
}

fn enabled(machine: &Machine) -> Vec<String> {
    let units = ["healer.timer", "healer-serve.socket", "healer-requests.path"];
    let is = |verb: &str, unit: &str| machine.run(&["systemctl", verb, unit]).stdout.trim().to_owned();
    units.iter().map(|unit| format!("{} {}", is("is-enabled", unit), is("is-active", unit))).collect()
}

fn records(machine: &Machine) -> Vec<Value> {
    let text = machine.output(&["cat", "/var/lib/healer/fix_knowledge_base.jsonl"]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The body of an answer of the dashboard's server.
fn ask(machine: &Machine, path: &str) -> Value {
    let script = "exec 3<>/dev/tcp/127.0.0.1/8787 && printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' \
                  \"$1\" >&3 && timeout 60 cat <&3";
    let ran = machine.run(&["bash", "-c", script, "bash", path]);
    let body = ran.stdout.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{}", ran.output())).1;
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{}", ran.output()))
}

#[test]
fn what_is_installed_acts_only_when_it_is_told_to_and_goes_away_whole() {
    let root = Root::new();
    let Some((machine, package)) = installed(&root) else { return };
    assert_eq!(enabled(&machine), ["disabled inactive"; 3], "nothing begins by itself");
    let modes = ["stat", "--format", "%n %a %U:%G", "/var/lib/healer", CONFIGURATION];
    assert_eq!(machine.output(&modes), "/var/lib/healer 2750 root:healer\n/etc/healer/healer.toml 640 root:healer\n");
    let examples = examples();
    assert!(examples.len() > 10, "{examples:?}");
    for example in examples {
        machine.output(&["test", "-s", &format!("/usr/share/doc/healer/examples/{example}")]);
    }
    let units = ["healer.service", "healer.timer", "healer-serve.socket", "healer-serve.service"];
    let units = [&units[..], &["healer-requests.path", "healer-requests.service"]].concat();
    let verified = machine.run(&[&["systemd-analyze", "verify", "--man=no"], &units[..]].concat());
    assert_eq!(verified.expect_code(0).output(), "");
    let checked = machine.run(&["healer", "config", "check"]).expect_code(0).output();
    assert!(checked.contains("/etc/healer/healer.toml: sound"), "{checked}");
    for file in [
        "man/man1/healer.1.gz",
        "man/man1/healer-config-check.1.gz",
        "man/man5/healer.toml.5.gz",
        "man/man7/healer-rules.7.gz",
        "bash-completion/completions/healer",
        "zsh/vendor-completions/_healer",
        "fish/vendor_completions.d/healer.fish",
    ] {
        machine.output(&["test", "-s", &format!("/usr/share/{file}")]);
    }

    machine.output(&["systemctl", "enable", "--now", "healer.timer", "healer-serve.socket", "healer-requests.path"]);
    machine.output(&["systemctl", "start", "healer.service"]);
    assert_eq!(enabled(&machine), ["enabled active"; 3]);
    machine.output(&["dpkg", "--remove", "healer"]);
    let left = machine.run(&["systemctl", "list-units", "--all", "--plain", "--no-legend", "healer*"]).stdout;
    assert_eq!(left, "", "no unit is left");
    let stays = ["/etc/healer", CONFIGURATION, "/var/lib/healer", "/var/lib/healer/state.json"];
    let added = machine.added("healer");
    assert!(stays.iter().all(|path| added.iter().any(|a| a == path)), "{added:?}");
    let elsewhere = |path: &&String| !path.starts_with("/var/lib/healer") && !path.starts_with("/etc/healer");
    let of_dpkg = ["/var/lib/dpkg/info/healer.list", "/var/lib/dpkg/info/healer.postrm"];
    let is_kept = |path: &&String| elsewhere(path) && !path.contains("/deb-systemd-helper-enabled/");
    assert_eq!(added.iter().filter(is_kept).collect::<Vec<_>>(), of_dpkg.iter().collect::<Vec<_>>());

    // Installed again it does not begin where it was left.
    machine.output(&["dpkg", "--install", &package.path()]);
    assert_eq!(enabled(&machine), ["disabled inactive"; 3]);
    machine.write("/etc/healer/token", "of the operator");
    // As `healer init` writes them, and as somebody else may.
    machine.write("/etc/healer/credentials/database", "secret");
    machine.unit("healer.service.d/allow.conf", &format!("# Written by `healer init --systemd`.\n{OPEN}"));
    machine.unit("healer-requests.service.d/allow.conf", OPEN);
    machine.output(&["dpkg", "--purge", "healer"]);
    let others = [
        "/etc/healer",
        "/etc/healer/token",
        "/etc/systemd/system/healer-requests.service.d",
        "/etc/systemd/system/healer-requests.service.d/allow.conf",
    ];
    assert_eq!(machine.added("healer"), others, "only what somebody else wrote");
    assert!(machine.output(&["cat", "/etc/group"]).contains("healer:"), "files may belong to the group");
}

/// Every file below `examples/` that an operator has a use for.
fn examples() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let below = |dir: &Path| -> Vec<PathBuf> { std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect() };
    let (dirs, files): (Vec<PathBuf>, Vec<PathBuf>) = below(&dir).into_iter().partition(|path| path.is_dir());
    let all = dirs.iter().flat_map(|dir| below(dir)).chain(files);
    let names = all.map(|path| path.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned());
    // The default configuration is in /etc.
    names.filter(|name| !name.ends_with(".png") && !name.ends_with(".rs") && name != "healer.toml").collect()
}

#[test]
fn what_a_pass_by_hand_leaves_is_the_dashboards_to_read() {
    let root = Root::new();
    let Some((machine, _)) = installed(&root) else { return };
    machine.write(CONFIGURATION, "[checks.host]\nenabled = false\n[checks.docker]\nenabled = false\n");
    machine.unit("healer-serve.service.d/container.conf", IN_A_CONTAINER);
    machine.output(&["systemctl", "enable", "--now", "healer-serve.socket"]);
    machine.output(&["healer", "heal"]);
    machine.output(&["healer", "pause", "1h", "--reason", "deploy"]);
    let check = |path: &str| {
        let answer = ask(&machine, path);
        assert_eq!(answer["status"], "success", "{path}: {answer:#}");
        answer
    };
    check("/api/monitoring/health");
    check("/api/monitoring/history");
    assert_eq!(check("/api/monitoring/status")["data"]["pauses"][0]["reason"], "deploy");
    machine.output(&["systemctl", "start", "healer.service"]);
    machine.output(&["healer", "resume"]);
    assert_eq!(check("/api/monitoring/status")["data"]["pauses"], serde_json::json!([]));
}

#[test]
fn an_upgrade_keeps_what_the_operator_wrote_and_ends_no_pass() {
    let root = Root::new();
    let Some((machine, package)) = installed(&root) else { return };
    limited_shop(&machine, "8s", true);
    machine.unit("healer-serve.service.d/container.conf", IN_A_CONTAINER);
    let [later, changed] = [package.later("0.1.0", ""), package.later("0.1.1", "# new\n")];
    machine.output(&["systemctl", "enable", "--now", "healer-serve.socket", "healer.timer"]);
    ask(&machine, "/api/monitoring/status");
    let served_by = machine.property("healer-serve.service", "MainPID");
    machine.output(&["systemctl", "start", "--no-block", "healer.service"]);
    machine.wait_for_journal("healer.service", 1, "watching");
    let passed_by = machine.property("healer.service", "MainPID");

    // What is shipped did not change: nothing is asked. Where it did, dpkg asks; the answer that keeps it is its default.
    machine.output(&["dpkg", "--install", &later]);
    machine.output(&["dpkg", "--force-confdef", "--install", &changed]);
    assert_eq!(machine.output(&["dpkg-query", "--show", "healer"]), "healer\t0.1.1\n");
    assert_eq!(machine.output(&["cat", CONFIGURATION]), configuration("shop.service", &slow_down("8s")));
    assert_eq!(machine.output(&["stat", "--format", "%a %U:%G", CONFIGURATION]), "640 root:healer\n");
    assert!(machine.output(&["cat", "/etc/healer/healer.toml.dpkg-dist"]).ends_with("# new\n"));
    assert_eq!(machine.property("healer.service", "MainPID"), passed_by, "the pass goes on");
    assert_ne!(machine.property("healer-serve.service", "MainPID"), served_by, "the dashboard runs the new program");
    assert_eq!(enabled(&machine), ["enabled active", "enabled active", "disabled inactive"]);
    ask(&machine, "/api/monitoring/status");

    machine.wait_for_journal("healer.service", 1, "healed: ");
    assert_eq!(records(&machine)[0]["result_status"], "healed", "{}", machine.journal("healer.service"));
    assert_eq!(root.read_text("srv/shop/shop.env"), SETTINGS.replace("200", "300"));
}

#[test]
fn removal_waits_for_the_pass_and_tells_what_stays_changed() {
    let root = Root::new();
    let Some((machine, _)) = installed(&root) else { return };
    limited_shop(&machine, "4s", true);
    machine.output(&["systemctl", "start", "--no-block", "healer.service"]);
    machine.wait_for_journal("healer.service", 1, "watching");
    let told = machine.run(&["dpkg", "--remove", "healer"]).expect_code(0).output();
    assert!(told.contains("a pass is at work and is waited for"), "{told}");
    assert!(told.contains("mitigation debt") && told.contains("/srv/shop/shop.env"), "{told}");
    assert_eq!(records(&machine)[0]["result_status"], "healed");
}

#[test]
fn a_fix_that_was_never_judged_outlives_even_a_purge() {
    let root = Root::new();
    let Some((machine, package)) = installed(&root) else { return };
    limited_shop(&machine, "20s", true);
    machine.output(&["systemctl", "start", "--no-block", "healer.service"]);
    machine.wait_for_journal("healer.service", 1, "watching");
    machine.output(&["systemctl", "kill", "--signal=KILL", "healer.service"]);
    let told = machine.run(&["dpkg", "--remove", "healer"]).expect_code(0).output();
    assert!(told.contains("a fix is open and will not be judged"), "{told}");
    let told = machine.run(&["dpkg", "--purge", "healer"]).expect_code(0).output();
    assert!(told.contains("/var/lib/healer stays"), "{told}");
    machine.output(&["dpkg", "--install", &package.path()]);
    machine.write(CONFIGURATION, &configuration("shop.service", &slow_down("20s")));
    let judged = machine.run(&["healer", "heal"]);
    assert_eq!(records(&machine)[0]["result_status"], "healed", "{}", judged.output());
    machine.output(&["dpkg", "--purge", "healer"]);
    assert_eq!(machine.added("/var/lib/healer"), [""; 0]);
}

#[test]
fn the_timer_heals_within_the_sandbox_and_an_operator_takes_it_back() {
    let root = Root::new();
    let Some((machine, _)) = installed(&root) else { return };
    // Not opened yet: it is held with the reason, and nothing is written.
    limited_shop(&machine, "2s", false);
    machine.unit("healer.timer.d/soon.conf", SOON);
    machine.unit("healer-serve.service.d/container.conf", IN_A_CONTAINER);
    machine.output(&["systemctl", "enable", "--now", "healer.timer", "healer-serve.socket"]);
    machine.wait_for_journal("healer.service", 1, "read-only");
    let status = machine.run(&["healer", "status", "--json"]).data();
    let held = &status["incidents"][0]["hold_reason"];
    assert!(held.as_str().is_some_and(|why| why.contains("/srv/shop")), "{status:#}");
    assert_eq!(root.read_text("srv/shop/shop.env"), SETTINGS);

    machine.unit("healer.service.d/allow.conf", OPEN);
    machine.wait_for_journal("healer.service", 1, "healed: ");
    assert_eq!(root.read_text("srv/shop/shop.env"), SETTINGS.replace("200", "300"));
    let history = ask(&machine, "/api/monitoring/history");
    let kinds: Vec<&str> =
        history["data"]["items"].as_array().unwrap().iter().filter_map(|i| i["kind"].as_str()).collect();
    assert!(kinds.contains(&"healed") && kinds.contains(&"held"), "{kinds:?}");

    // What is refused while a pass is at work is not what is looked at.
    machine.output(&["systemctl", "stop", "healer.timer"]);
    machine.run(&["systemctl", "start", "healer.service"]);
    let back = machine.run(&["healer", "--no-input", "rollback", "latest"]).expect_code(0);
    assert_eq!(root.read_text("srv/shop/shop.env"), SETTINGS, "{}", back.output());
}

#[test]
fn what_a_step_runs_writes_nowhere_else_either() {
    let root = Root::new();
    let Some((machine, _)) = installed(&root) else { return };
    limited_shop(&machine, "2s", true);
    let program = r#"["/bin/sh", "-c", "echo changed >/etc/shop.conf"]"#;
    let [before, after] = ["[allow]\n", &format!("[allow]\ncommands = [{program}]\n")].map(str::to_owned);
    let runs = configuration("shop.service", &slow_down("2s")).replace(&before, &after);
    let steps = runs.find("steps = ").unwrap()..runs.find("[rule.validate]").unwrap();
    let runs = [&runs[..steps.start], &format!("steps = [{{ run = {program} }}]\n"), &runs[steps.end..]].concat();
    machine.write(CONFIGURATION, &runs);
    machine.run(&["systemctl", "start", "healer.service"]);
    let journal = machine.journal("healer.service");
    assert!(journal.contains("/etc/shop.conf: Read-only file system"), "{journal}");
    assert_eq!(machine.run(&["cat", "/etc/shop.conf"]).code, Some(1), "nothing is written");
    assert_eq!(records(&machine)[0]["result_status"], "failed", "{journal}");
}
