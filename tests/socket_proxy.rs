//! Docker behind a proxy. That of `examples/socket-proxy.cfg`: a pass looks, reads logs and restarts what it names through it,
//! and nothing else passes. And one that speaks TLS and wants to know who asks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Docker, Root, healer};

const EXAMPLE: &str = include_str!("../examples/socket-proxy.cfg");

/// HAProxy with the example's configuration, for these containers.
struct Proxy {
    child: Child,
    socket: String,
}

impl Proxy {
    fn start(root: &Root, docker: &Docker, containers: &str) -> Option<Proxy> {
        let socket = root.path("proxy.sock").display().to_string();
        let mut config = EXAMPLE.to_owned();
        for (written, meant) in [
            ("/run/healer-docker.sock user root", socket.as_str()),
            ("/var/run/docker.sock", docker.socket.strip_prefix("unix://").unwrap()),
            ("shop-worker|shop-api", containers),
        ] {
            assert!(config.contains(written), "the example has no {written:?} any more");
            config = config.replace(written, meant);
        }
        Proxy::run(root, config, format!("unix://{socket}"), &|| UnixStream::connect(&socket).is_ok())
    }

    /// TLS with the certificate of the fixtures, for whoever shows a certificate that `believed` has signed.
    fn start_tls(root: &Root, docker: &Docker, believed: &Path) -> Option<Proxy> {
        let fixture = |name: &str| std::fs::read_to_string(fixtures().join(name)).unwrap();
        let own = root.write("own.pem", fixture("server.pem") + &fixture("server.key"));
        let port = support::free_port();
        let config = format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 1m\n timeout server 1m\nlisten docker\n \
             bind 127.0.0.1:{port} ssl crt {} ca-file {} verify required\n server engine unix@{}\n",
            own.display(),
            believed.display(),
            docker.socket.strip_prefix("unix://").unwrap()
        );
        let listens = move || TcpStream::connect(("127.0.0.1", port)).is_ok();
        Proxy::run(root, config, format!("tcp://localhost:{port}"), &listens)
    }

    fn run(root: &Root, config: String, socket: String, listens: &dyn Fn() -> bool) -> Option<Proxy> {
        if Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_err() {
            support::skip("haproxy is not installed");
            return None;
        }
        let file = root.write("haproxy.cfg", config);
        let child = Command::new("haproxy").arg("-db").arg("-f").arg(file).spawn().unwrap();
        let proxy = Proxy { child, socket };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !listens() {
            assert!(Instant::now() < deadline, "haproxy does not listen on {}", proxy.socket);
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_pass_heals_through_the_proxy_what_it_names_and_nothing_else_passes() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let (named, other) = (Docker::unique_name("proxied"), Docker::unique_name("other"));
    let Some(proxy) = Proxy::start(&root, &docker, &named) else { return };
    let fails_at_first = "[ -e /again ] || { touch /again; echo 'ERROR connection refused'; exit 3; }; exec sleep 600";
    let container = docker.run(&named, &[], &["/bin/sh", "-c", fails_at_first]);
    let bystander = docker.run(&other, &[], &["/bin/sh", "-c", fails_at_first]);
    docker.cli(&["wait", &named, &other]);
    let rule = |name: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\nwhen = {{ container = \"{name}\", state = \"exited\" }}\nissue_type = \"{name}\"\n\
             confidence = 95\n[[rule.fix]]\nfix_type = \"restart\"\nsteps = [{{ restart = \"container:{name}\" }}]\n\
             [rule.validate]\nsettle = \"1s\"\nwindow = \"2s\"\nmax_window = \"20s\"\n"
        )
    };
    root.config(&format!(
        "[allow]\ncontainers = [\"{named}\", \"{other}\"]\n[checks.host]\nenabled = false\n\
         [checks.docker]\nsocket = \"{}\"\ninclude = [\"{named}\", \"{other}\"]\n[logs.docker]\n\
         [limits]\nstart_grace = \"0s\"\n{}{}",
        proxy.socket,
        rule(&named),
        rule(&other),
    ));
    let pass = |rule: &str, code: i32| healer(&root, &["heal", "--json", "--only", rule]).expect_code(code).data();

    let healed = pass(&named, 10);
    assert_eq!(healed["fix"]["outcome"], "healed", "{healed:#}");
    assert_eq!(container.inspect("{{.State.Running}}"), "true");

    // The proxy refuses what its list does not hold, whatever healer's own says.
    let refused = pass(&other, 12);
    let why = refused["fix"]["why"].as_str().unwrap();
    assert!(why.ends_with("refuses: the socket proxy lets this not through"), "{why}");
    assert_eq!(bystander.inspect("{{.State.Running}}"), "false");
    let of_proxy = Docker { socket: proxy.socket.clone(), image: docker.image.clone() };
    for args in [&["exec", &named, "true"][..], &["kill", &named], &["rm", "-f", &named], &["run", &docker.image]] {
        assert!(!of_proxy.command(args).output().unwrap().status.success(), "docker {args:?} has passed");
    }
    assert_eq!(container.inspect("{{.State.Running}}"), "true");
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls")
}

#[test]
fn an_engine_behind_tls_is_believed_by_its_certificate_and_told_who_asks() {
    let Some(docker) = Docker::require() else { return };
    let root = Root::new();
    let (certificate, key) = (root.path("client.pem"), root.path("client.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=healer"])
        .args(["-days", "2", "-out"])
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let Some(proxy) = Proxy::start_tls(&root, &docker, &certificate) else { return };
    let name = Docker::unique_name("tls");
    let container = docker.run(&name, &[], &["sleep", "600"]);
    let (ours, other) = (fixtures().join("ca.pem"), fixtures().join("utctime.pem"));
    let ca = |file: &Path| format!("tls_ca = \"{}\"\n", file.display());
    let identity = format!("tls_cert = \"{}\"\ntls_key = \"{}\"\n", certificate.display(), key.display());
    let check = |tls: &str, code: i32, text: &str| {
        root.config(&format!(
            "[checks.host]\nenabled = false\n[checks.docker]\ninclude = [\"{name}\"]\nsocket = \"{}\"\n{tls}",
            proxy.socket
        ));
        let ran = healer(&root, &["check"]).expect_code(code);
        assert!(ran.stdout.contains(text), "{text:?} is not in\n{}", ran.stdout);
    };
    check(&format!("{}{identity}", ca(&ours)), 0, "1 container");
    check(&ca(&ours), 2, "CertificateRequired");
    check(&format!("{}{identity}", ca(&other)), 2, "UnknownIssuer");
    check(&format!("{}{identity}", ca(&root.path("none.pem"))), 2, "none.pem");
    check("", 2, "connection closed");
    drop(container);
}
