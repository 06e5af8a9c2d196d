//! On a machine with systemd: the dashboard behind its socket, without rights or a network of its own, sees what passes
//! leave, and what it is asked for is carried out by the unit that has the rights.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use support::{Machine, Root};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What the unit tells operators to write, but for the credential: a container cannot mount the place of credentials.
const ACTIONS: &str = "[Service]\nEnvironment=HEALER_TOKEN=0123456789abcdef0123456789abcdef\nExecStart=\n\
                       ExecStart=/usr/bin/healer serve --no-checks --requests /run/healer-requests --enable-actions\n";

/// `fixed` is a check that is critical until /srv/fixed is there; the password of `api` is known to passes only.
const CONFIGURATION: &str = "[checks.docker]\nenabled = false\n[checks.host]\nenabled = false\n\
    [checks.command.fixed]\ncommand = [\"/bin/sh\", \"-c\", \"test -e /srv/fixed || exit 2\"]\n\
    [checks.http.api]\nurl = \"http://monitor:${API_PASSWORD}@127.0.0.1:9/\"\n\
    [serve]\ntoken = \"${HEALER_TOKEN}\"\n";
const PASSWORD: &str = "[Service]\nEnvironment=API_PASSWORD=hunter2hunter2\n";

fn machine(root: &Root, actions: bool) -> Option<Machine> {
    root.write("etc-healer/healer.toml", CONFIGURATION);
    root.write("srv/empty", "");
    let machine = Machine::boot(root)?;
    machine.output(&["sh", "-c", "chown root:healer /etc/healer/healer.toml; chmod 640 /etc/healer/healer.toml"]);
    // A container without rights over user namespaces cannot make another one.
    machine.unit("healer-serve.service.d/container.conf", "[Service]\nPrivateUsers=no\n");
    machine.unit("healer.service.d/password.conf", PASSWORD);
    machine.unit("healer-requests.service.d/password.conf", PASSWORD);
    if actions {
        machine.unit("healer-serve.service.d/actions.conf", ACTIONS);
    } else {
        // Without a token configured.
        root.write("etc-healer/healer.toml", CONFIGURATION.split("[serve]").next().unwrap());
        machine.output(&["chown", "root:healer", "/etc/healer/healer.toml"]);
    }
    machine.output(&["systemctl", "enable", "--now", "healer-serve.socket", "healer-requests.path"]);
    Some(machine)
}

/// One request over the loopback of the machine; the body of an answer with a status below 300, else the whole answer.
fn ask(machine: &Machine, post: Option<&str>, path: &str) -> Result<Value, String> {
    let head = match post {
        None => format!("GET {path} HTTP/1.1\r\n"),
        Some(body) => format!(
            "POST {path} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ),
    };
    let request = format!("{head}Host: 127.0.0.1:8787\r\nConnection: close\r\n\r\n{}", post.unwrap_or_default());
    let script = "exec 3<>/dev/tcp/127.0.0.1/8787 && printf %s \"$1\" >&3 && timeout 60 cat <&3";
    let ran = machine.run(&["bash", "-c", script, "bash", &request]);
    let (head, body) = ran.stdout.split_once("\r\n\r\n").ok_or_else(|| ran.output())?;
    let good = head.starts_with("HTTP/1.1 20");
    if good { Ok(serde_json::from_str(body).unwrap()) } else { Err(ran.stdout.clone()) }
}

#[test]
fn a_server_without_rights_shows_what_passes_have_left() {
    let root = Root::new();
    let Some(machine) = machine(&root, false) else { return };
    let none = ask(&machine, None, "/api/monitoring/health").unwrap_err();
    assert!(none.contains("503"), "no pass has looked yet: {none}");
    machine.run(&["systemctl", "start", "healer.service"]);
    let health = ask(&machine, None, "/api/monitoring/health").unwrap();
    assert_eq!(
        health["data"]["checks"]["fixed"]["status"],
        "critical",
        "{health:#}\n{}",
        machine.journal("healer-serve.service")
    );
    assert!(health["data"]["age_s"].as_u64().unwrap() < 60, "{health:#}");
    let status = ask(&machine, None, "/api/monitoring/status").unwrap();
    assert_eq!(status["data"]["overdue"], false, "{status:#}");
    let history = ask(&machine, None, "/api/monitoring/history").unwrap();
    assert_eq!(history["data"]["items"][0]["kind"], "critical", "{history:#}");
    let refused = ask(&machine, Some("{}"), "/api/monitoring/trigger-check").unwrap_err();
    assert!(refused.contains("401") || refused.contains("403"), "actions are off: {refused}");

    // It is what its unit says: nobody, with nothing.
    let pid = machine.property("healer-serve.service", "MainPID");
    let of_process = machine.output(&["cat", &format!("/proc/{pid}/status")]);
    let line = |key: &str| {
        of_process.lines().find(|l| l.starts_with(key)).unwrap().split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_ne!(line("Uid:"), "0");
    assert_eq!(u64::from_str_radix(&line("CapEff:"), 16), Ok(0));
    let sockets = |of: &str| machine.output(&["cat", &format!("/proc/{of}/net/tcp")]);
    assert!(sockets("1").contains(":2253"), "8787 is listened on");
    assert!(!sockets(&pid).contains(":2253"), "and it has a network of its own");
    let verified = [
        "systemd-analyze",
        "verify",
        "--man=no",
        "healer-serve.socket",
        "healer-serve.service",
        "healer-requests.path",
        "healer-requests.service",
    ];
    assert_eq!(machine.run(&verified).expect_code(0).output(), "");
    // In tenths, as systemd-analyze counts exposure.
    for (unit, at_most) in [("healer.service", "25"), ("healer-requests.service", "25"), ("healer-serve.service", "5")]
    {
        // As it is in the repository: under another name it has no drop-ins.
        let path = format!("/run/shipped-{unit}");
        machine.output(&["cp", &format!("/etc/systemd/system/{unit}"), &path]);
        let threshold = format!("--threshold={at_most}");
        machine.run(&["systemd-analyze", "security", "--offline=true", "--no-pager", &threshold, &path]).expect_code(0);
    }
}

#[test]
fn what_it_is_asked_for_is_carried_out_by_the_unit_that_has_the_rights() {
    let root = Root::new();
    let Some(machine) = machine(&root, true) else { return };
    let checked = ask(&machine, Some("{}"), "/api/monitoring/trigger-check").unwrap_or_else(|why| {
        panic!("{why}\n{}\n{}", machine.journal("healer-serve.service"), machine.journal("healer-requests.service"))
    });
    assert!(checked["data"]["issues"].as_u64().unwrap() >= 1, "{checked:#}");
    assert_eq!(checked["data"]["health"]["checks"]["fixed"]["status"], "critical", "{checked:#}");
    let paused = ask(&machine, Some(r#"{"duration":"1h","reason":"deploy"}"#), "/api/monitoring/pause").unwrap();
    assert_eq!(paused["status"], "success", "{paused:#}");
    let status = ask(&machine, None, "/api/monitoring/status").unwrap();
    assert_eq!(status["data"]["autonomous_mode"], "paused", "{status:#}");
    assert_eq!(status["data"]["pauses"][0]["reason"], "deploy", "{status:#}");
    let unknown = ask(&machine, Some("{}"), "/api/monitoring/rollback/backup_20200101_000000").unwrap_err();
    assert!(unknown.contains("404"), "{unknown}");
    // Stopped and started at any time, behind its socket.
    machine.output(&["systemctl", "kill", "--signal=KILL", "healer-serve.service"]);
    let resumed = ask(&machine, Some("{}"), "/api/monitoring/resume").unwrap();
    assert_eq!(resumed["data"]["was_paused"], true, "{resumed:#}");
}
