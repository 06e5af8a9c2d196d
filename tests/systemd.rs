//! On a machine with systemd: the journal of a unit is read with its own cursor, the units of the repository run the
//! passes, and their sandbox bounds what a fix can change.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use support::shop::{self, SETTINGS, configuration, slow_down};
use support::{Machine, Root, spawn_command};

/// Logs three rate limited requests and ends. systemd's own words about it are not for the journal: what is read first of
/// a rotated journal is an error.
const NOISY: &str = "[Service]\nType=oneshot\nLogLevelMax=warning\nExecStart=/bin/sh -c 'for i in 1 2 3; do \
                     echo \"<4>ERROR worker request failed: 429 Client Error: Too Many Requests for url: http://x/$i\"; \
                     done'\n";

const OPEN: &str = "[Service]\nReadWritePaths=/srv/shop\n";

/// A machine on which shop.service is rate limited already; its settings are open to healer where `open`.
#[track_caller]
fn limited_shop(root: &Root, window: &str, open: bool) -> Option<Machine> {
    root.write("etc-healer/healer.toml", configuration("shop.service", &slow_down(window)));
    root.write("srv/shop/worker.sh", shop::WORKER);
    root.write("srv/shop/shop.env", SETTINGS);
    let machine = Machine::boot(root)?;
    machine.unit("shop.service", shop::UNIT);
    if open {
        machine.unit("healer.service.d/open.conf", OPEN);
    }
    // The timer is far from elapsing, but it makes systemd remember how the service ended.
    machine.output(&["systemctl", "start", "shop.service", "healer.timer"]);
    machine.wait_for_journal("shop.service", 10, " 429 ");
    Some(machine)
}

/// Starts healer.service and says how it ended: the exit code, systemd's word for it, and the unit's state.
#[track_caller]
fn pass(machine: &Machine) -> [String; 3] {
    machine.run(&["systemctl", "start", "healer.service"]);
    ended(machine)
}

fn ended(machine: &Machine) -> [String; 3] {
    ["ExecMainStatus", "Result", "ActiveState"].map(|name| machine.property("healer.service", name))
}

/// The records of the knowledge base in the unit's state directory.
fn records(machine: &Machine) -> Vec<serde_json::Value> {
    let text = machine.output(&["cat", "/var/lib/healer/fix_knowledge_base.jsonl"]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_error_in_the_journal_is_counted_once_over_passes_and_rotations() {
    let root = Root::new();
    let watched = "[[rule]]\nname = \"never\"\n\
                   when = { log = \"journal:shop\", signature = \"rate_limit\", count = 1000, within = \"1h\" }\n\
                   issue_type = \"rate_limiting\"\nconfidence = 90\n";
    root.write("etc-healer/healer.toml", configuration("noisy.service", watched));
    root.write("srv/empty", "");
    let Some(machine) = Machine::boot(&root) else { return };
    machine.unit("noisy.service", NOISY);
    let log_three = || machine.output(&["systemctl", "start", "noisy.service"]);
    let check = |prepare: &dyn Fn(), new: u64, in_all: u64, gaps: usize| {
        prepare();
        machine.output(&["journalctl", "--sync"]);
        let pass = machine.run(&["healer", "heal", "--json"]).data();
        assert_eq!(pass["logs"]["by_signature"]["rate_limit"].as_u64().unwrap_or(0), new, "{:#}", pass["logs"]);
        assert_eq!(pass["logs"]["problems"].as_array().unwrap().len(), 0, "{:#}", pass["logs"]);
        assert_eq!(pass["logs"]["gaps"].as_array().unwrap().len(), gaps, "{:#}", pass["logs"]);
        let reason = pass["not_fired"][0]["reason"].as_str().unwrap();
        let counted = format!("{in_all} of 1000 rate_limit in journal:shop");
        assert!(reason.contains(&counted) || in_all == 0, "{counted:?} is not in {reason:?}");
    };
    let rotate = |more: &[&str]| {
        machine.output(&[&["journalctl", "--rotate"], more].concat());
    };
    check(&|| {}, 0, 0, 0);
    check(&|| drop(log_three()), 3, 3, 0);
    check(&|| {}, 0, 3, 0);
    check(&|| drop((log_three(), rotate(&[]), log_three())), 6, 9, 0);
    check(&|| rotate(&[]), 0, 9, 0);
    // The entry where it was left is gone.
    check(&|| drop((log_three(), rotate(&["--vacuum-files=1"]), log_three())), 3, 12, 1);
    check(&|| {}, 0, 12, 0);
    // Another journal daemon, with numbers of its own.
    check(&|| drop((machine.output(&["systemctl", "restart", "systemd-journald"]), log_three())), 3, 15, 0);
    check(&|| {}, 0, 15, 0);
}

#[test]
fn the_service_heals_a_unit_by_its_journal_its_settings_and_a_restart() {
    let root = Root::new();
    let Some(machine) = limited_shop(&root, "2s", true) else { return };
    let patient = configuration("shop.service", &slow_down("2s")).replace("\"1ms\"", "\"1h\"");
    let young = root.write("etc-healer/patient.toml", patient);
    let young = format!("/etc/healer/{}", young.file_name().unwrap().display());
    let held = machine.run(&["healer", "-c", &young, "heal", "-n", "--json"]).expect_code(10).data();
    let reason = held["diagnoses"][0]["hold_reason"].as_str().unwrap();
    assert!(reason.starts_with("unit:shop.service was started "), "{reason}");
    let before = machine.property("shop.service", "MainPID");
    assert_eq!(pass(&machine), ["0", "success", "inactive"], "{}", machine.journal("healer.service"));
    assert_eq!(root.read_text("srv/shop/shop.env"), SETTINGS.replace("200", "300"));
    assert_ne!(machine.property("shop.service", "MainPID"), before, "the unit was not restarted");
    assert_eq!(machine.property("shop.service", "ActiveState"), "active");
    let [record] = &records(&machine)[..] else { unreachable!("one fix, one record") };
    assert_eq!((&record["result_status"], &record["error_count_after"]), (&"healed".into(), &0.into()), "{record:#}");

    let told = ["journalctl", "--quiet", "--no-pager", "--output", "cat", "HEALER_KIND=healed"];
    assert_eq!(machine.output(&told).matches("healed on ").count(), 1, "the journal is told");
    assert_eq!(machine.output(&["stat", "--format", "%a %U", "/var/lib/healer"]), "2750 root\n");
}

#[test]
fn what_the_sandbox_does_not_open_is_held_and_no_fault_of_the_unit() {
    let root = Root::new();
    let Some(machine) = limited_shop(&root, "2s", false) else { return };
    let before = machine.property("shop.service", "MainPID");
    assert_eq!(pass(&machine), ["10", "success", "inactive"], "{}", machine.journal("healer.service"));
    assert_eq!(root.read_text("srv/shop/shop.env"), SETTINGS);
    assert_eq!(machine.property("shop.service", "MainPID"), before, "nothing is restarted");
    let journal = machine.journal("healer.service");
    assert!(journal.contains("/srv/shop/shop.env") && journal.contains("read-only"), "{journal}");
}

#[test]
fn a_pass_that_finds_another_one_at_work_is_no_fault_of_the_unit() {
    let root = Root::new();
    let Some(machine) = limited_shop(&root, "20s", true) else { return };
    let mut first = spawn_command(machine.command(&["healer", "heal"]));
    first.wait_for("watching");
    assert_eq!(pass(&machine), ["11", "success", "inactive"], "{}", machine.journal("healer.service"));
    // A fault is still one.
    root.write("etc-healer/healer.toml", "no_such_key = 1\n");
    assert_eq!(pass(&machine), ["78", "exit-code", "failed"]);
}

#[test]
fn a_service_that_is_stopped_leaves_its_fix_to_the_next_pass() {
    let root = Root::new();
    let Some(machine) = limited_shop(&root, "20s", true) else { return };
    machine.output(&["systemctl", "start", "--no-block", "healer.service"]);
    machine.wait_for_journal("healer.service", 1, "watching");
    machine.output(&["systemctl", "stop", "healer.service"]);
    assert_eq!(ended(&machine), ["130", "success", "inactive"], "{}", machine.journal("healer.service"));
    assert_eq!(pass(&machine), ["0", "success", "inactive"], "{}", machine.journal("healer.service"));
    assert_eq!(root.read_text("srv/shop/shop.env"), SETTINGS.replace("200", "300"));
    assert_eq!(records(&machine)[0]["result_status"], "healed");
}

#[test]
fn the_timer_starts_the_service_again_and_again() {
    let root = Root::new();
    root.write("etc-healer/healer.toml", configuration("noisy.service", ""));
    root.write("srv/empty", "");
    let Some(machine) = Machine::boot(&root) else { return };
    let times = machine.property("healer.timer", "TimersMonotonic");
    for wanted in ["OnBootUSec=2min", "OnUnitInactiveUSec=5min"] {
        assert!(times.contains(wanted), "{wanted} is not in {times}");
    }
    let verified = machine.run(&["systemd-analyze", "verify", "--man=no", "healer.service", "healer.timer"]);
    assert_eq!(verified.expect_code(0).output(), "", "systemd has nothing to say of the units");

    // What is left to see does not need two minutes.
    let soon = "OnBootSec=\nOnBootSec=1s\nOnUnitInactiveSec=1s\nRandomizedDelaySec=0\n";
    machine.unit("healer.timer.d/soon.conf", &format!("[Timer]\n{soon}"));
    machine.output(&["systemctl", "enable", "--now", "healer.timer"]);
    machine.wait_for_journal("healer.service", 2, "Finished healer.service");
    assert_eq!(machine.output(&["systemctl", "is-enabled", "healer.timer"]), "enabled\n");
    let enabled = machine.output(&["ls", "/etc/systemd/system/timers.target.wants"]);
    assert_eq!(enabled, "healer.timer\n", "it starts with the machine");
}

#[test]
fn the_journal_has_each_alert_with_its_fields_under_the_id_of_its_kind() {
    const CRITICAL: &str = "3a7d5845853f4d22ab22cab837c9b4e2";
    let root = Root::new();
    let check = "[checks.tcp.api]\naddress = \"127.0.0.1:1\"\n";
    root.write("etc-healer/healer.toml", configuration("noisy.service", check));
    root.write("srv/empty", "");
    let Some(machine) = Machine::boot(&root) else { return };
    // It makes systemd remember how the service ended.
    machine.output(&["systemctl", "start", "healer.timer"]);
    assert_eq!(pass(&machine)[0], "10");
    machine.output(&["journalctl", "--sync"]);
    let found = machine.output(&["journalctl", "--output", "json", &format!("MESSAGE_ID={CRITICAL}")]);
    let [entry] = found
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let field = |name: &str| entry[name].as_str().unwrap_or_else(|| panic!("{name} in {entry:#}")).to_owned();
    assert!(field("MESSAGE").starts_with("critical on ") && field("MESSAGE").contains("\n  next: healer diagnose"));
    for (name, value) in [
        ("PRIORITY", "2"),
        ("SYSLOG_IDENTIFIER", "healer"),
        ("HEALER_KIND", "critical"),
        ("HEALER_COMPONENT", "api"),
        ("HEALER_SEVERITY", "critical"),
        ("HEALER_NEXT", "healer diagnose"),
        ("_SYSTEMD_UNIT", "healer.service"),
    ] {
        assert_eq!(field(name), value, "{name}");
    }
    assert!(field("HEALER_INCIDENT").starts_with("inc"), "{entry:#}");
    assert!(!field("HEALER_ISSUE_TYPE").is_empty() && !field("HEALER_CAUSE").is_empty());
}
