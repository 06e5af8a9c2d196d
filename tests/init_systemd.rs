//! `healer init --systemd`: systemd itself runs what it installs, and only its own files are written again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::time::{Duration, Instant};
use support::{Machine, Root};

/// Under this it must stay, whatever does not answer.
const BOUND: Duration = Duration::from_secs(10);

/// The lines of a section with this header, and the comments before it.
fn section<'a>(text: &'a str, header: &str) -> &'a str {
    let found = text.split("\n\n").find(|part| part.lines().any(|line| line == header));
    found.unwrap_or_else(|| panic!("there is no {header} in\n{text}"))
}

/// What a container on no host of ours says: a worker's settings with a password, and units.
const CONFIGURATION: &str = "mode = \"auto\"\n[allow]\nfiles = [\"/srv/shop/*.env\"]\n[checks.docker]\nenabled = false\n\
                             [checks.host]\nenabled = false\n[checks.redis.cache]\n\
                             url = \"redis://:${file:/etc/healer/credentials/cache}@127.0.0.1:6379/0\"\n";

#[test]
fn systemd_runs_what_init_installs_and_only_its_own_files_are_written_again() {
    let root = Root::new();
    root.write("etc-healer/nothing", "");
    root.write("srv/shop/shop.env", "PAUSE_MS=200\n");
    let Some(machine) = Machine::boot_without_units(&root) else { return };
    machine.unit("shop.service", "[Service]\nExecStart=/bin/sh -c 'exit 3'\n");
    machine.run(&["systemctl", "start", "shop.service"]);
    machine.wait_for_journal("shop.service", 1, "Failed with result");
    machine.unit("backup.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
    machine.run(&["systemctl", "start", "backup.service"]);
    let files = || machine.output(&["sh", "-c", "cd /etc/systemd/system; cat healer* healer*.d/* | cksum"]);

    let begin = Instant::now();
    let first = machine.run(&["healer", "init", "--systemd"]).expect_code(0);
    assert!(begin.elapsed() < BOUND * 2, "{:?}", begin.elapsed());
    for text in [
        "/etc/healer/healer.toml",
        "wrote /etc/systemd/system/healer.service",
        "enabled and started healer.timer",
        "passes may write nowhere but their own state",
    ] {
        assert!(first.stdout.contains(text), "{text}: {}", first.output());
    }
    assert_eq!(machine.property("healer.timer", "ActiveState"), "active");
    assert_eq!(machine.property("healer.timer", "UnitFileState"), "enabled");
    let text = root.read_text("etc-healer/healer.toml");
    let check = section(&text, "[checks.command.shop]");
    assert!(check.starts_with("# tried on 20") && check.contains(": critical: failed"), "{check}");
    assert!(section(&text, "[logs.journal.shop]").ends_with("unit = \"shop.service\""), "{text}");
    assert!(section(&text, "name       = \"restart-shop\"").contains("{ restart = \"unit:shop.service\" }"), "{text}");
    // A job that failed is not started again.
    let check = section(&text, "[checks.command.backup]");
    assert!(check.contains(": critical: failed") && check.contains("is-failed"), "{check}");
    assert!(!text.contains("unit:backup.service"), "{text}");
    assert!(section(&text, "[allow]").contains("# units = [\"shop.service\"]"), "{text}");
    assert!(!text.contains("systemd-"), "what is the distribution's own is none of ours: {text}");
    machine.run(&["healer", "rules", "test"]).expect_code(0);
    let owner = machine.output(&["stat", "-c", "%U:%G %a", "/etc/healer/healer.toml"]);
    assert_eq!(owner, "root:healer 640\n");
    machine.output(&["systemctl", "start", "healer.service"]);
    assert_eq!(machine.property("healer.service", "Result"), "success");

    // Kept, and nothing to do.
    let (config, before) =
        (root.read("etc-healer/healer.toml"), machine.output(&["sh", "-c", "ls /etc/systemd/system/"]));
    let again = machine.run(&["healer", "init", "--systemd"]).expect_code(0);
    assert!(
        again.stdout.contains("is kept as it is") && again.stdout.contains("nothing had to be changed"),
        "{}",
        again.stdout
    );
    assert_eq!(root.read("etc-healer/healer.toml"), config);
    assert_eq!(machine.output(&["sh", "-c", "ls /etc/systemd/system/"]), before);
    machine.run(&["healer", "init"]).expect_code(1);

    // What [allow] names is opened, and only that; the check says so before.
    root.write("etc-healer/healer.toml", CONFIGURATION);
    root.write("etc-healer/credentials/cache", "a-secret-that-nobody-sees\n");
    let warned = machine.run(&["healer", "config", "check"]).expect_code(0).stdout;
    assert!(
        warned.contains("may not write in /srv/shop, which this allows") && warned.contains("healer init --systemd"),
        "{warned}"
    );
    let opened = machine.run(&["healer", "init", "--systemd", "--json"]).expect_code(0).data();
    assert_eq!(
        (&opened["kept"], &opened["systemd"]["open"][0]),
        (&Value::Bool(true), &"/srv/shop".into()),
        "{opened:#}"
    );
    for unit in ["healer.service", "healer-requests.service"] {
        assert!(machine.property(unit, "ReadWritePaths").contains("/srv/shop"), "{unit}");
    }
    let quiet = machine.run(&["healer", "config", "check"]).expect_code(0).stdout;
    assert!(!quiet.contains("may not write in"), "{quiet}");
    // The sandbox of the unit, around something else.
    let try_to_write = |path: &str| {
        let copy = format!(
            "cd /etc/systemd/system && sed 's|^ExecStart=.*|ExecStart=/usr/bin/touch {path}|' healer.service >try.service \
             && mkdir -p try.service.d && cp healer.service.d/allow.conf try.service.d/ && systemctl daemon-reload"
        );
        machine.output(&["sh", "-c", &copy]);
        machine.run(&["systemctl", "start", "try.service"]).code
    };
    assert_eq!((try_to_write("/srv/shop/new"), try_to_write("/srv/new")), (Some(0), Some(1)));

    // The dashboard has no rights, and starts though it may not read the password.
    machine.output(&["sh", "-c", "chmod 700 /etc/healer/credentials; chmod 600 /etc/healer/credentials/cache"]);
    // A container without rights over user namespaces cannot make another one.
    machine.unit("healer-serve.service.d/container.conf", "[Service]\nPrivateUsers=no\n");
    machine.output(&["systemctl", "start", "healer-serve.socket", "healer-serve.service"]);
    let state = machine.property("healer-serve.service", "ActiveState");
    assert_eq!(state, "active", "{}", machine.journal("healer-serve.service"));

    // A drop-in of an operator's own stays.
    let ours = files();
    machine.unit("healer.service.d/allow.conf", "[Service]\nReadWritePaths=-/srv/mine\n");
    let left = machine.run(&["healer", "init", "--systemd"]).expect_code(0).stdout;
    assert!(left.contains("left /etc/systemd/system/healer.service.d/allow.conf as it is"), "{left}");
    assert!(machine.property("healer.service", "ReadWritePaths").contains("/srv/mine"));
    machine.output(&["rm", "/etc/systemd/system/healer.service.d/allow.conf"]);
    machine.run(&["healer", "init", "--systemd"]).expect_code(0);
    assert_eq!(files(), ours);
    // So is where passes leave something, and only then it can be written; commands name the file that they are about.
    let elsewhere = "state_dir = \"/srv/kept/state\"\n[metrics]\ntextfile = \"/srv/kept/h.prom\"\n[checks.host]\n";
    root.write("etc-healer/healer.toml", elsewhere);
    root.write("etc-healer/it's.toml", elsewhere);
    let warned = machine.run(&["healer", "-c", "/etc/healer/it's.toml", "config", "check"]).expect_code(0).stdout;
    let again = r"`healer -c '/etc/healer/it'\''s.toml' init --systemd`";
    assert!(warned.contains("may not write in /srv/kept") && warned.contains(again), "{warned}");
    machine.run(&["healer", "init", "--systemd"]).expect_code(0);
    let quiet = machine.run(&["healer", "config", "check"]).expect_code(0).stdout;
    assert!(!quiet.contains("may not write in"), "{quiet}");
    machine.output(&["systemctl", "start", "healer.service"]);
    assert_eq!(machine.property("healer.service", "Result"), "success");
    assert!(root.path("srv/kept/h.prom").exists() && root.path("srv/kept/state").exists());
    // Nothing allowed any more: nothing open.
    root.write("etc-healer/healer.toml", CONFIGURATION.replace("files = [\"/srv/shop/*.env\"]\n", ""));
    let closed = machine.run(&["healer", "init", "--systemd"]).expect_code(0).stdout;
    assert!(closed.contains("removed /etc/systemd/system/healer.service.d/allow.conf"), "{closed}");
    assert!(!machine.property("healer.service", "ReadWritePaths").contains("/srv/shop"));
}
