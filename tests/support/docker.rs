//! Real containers on the engine of `tests/run`: a busybox, and the Python worker that is rate limited.

use super::{DEADLINE, Root, TIME_ZONE, require_env};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// The engine that `tests/run` started.
#[derive(Debug, Clone)]
pub struct Docker {
    /// `unix:///path`
    pub socket: String,
    pub image: String,
}

impl Docker {
    /// `None`, recorded as a skip, where there is no engine.
    pub fn require() -> Option<Docker> {
        Some(Docker { socket: require_env("HEALER_TEST_DOCKER")?, image: require_env("HEALER_TEST_IMAGE")? })
    }

    /// The engine's command line program with these arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(&self.socket).args(args);
        command
    }

    /// Runs the engine's command line program; its standard output, and standard error after it.
    #[track_caller]
    pub fn cli(&self, args: &[&str]) -> String {
        let done = self.command(args).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "docker {args:?} failed: {text}");
        text
    }

    /// A name that no other test uses: `LABEL-PID-NUMBER`.
    pub fn unique_name(label: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("{label}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts a container with the host's network and the test's time zone. `options` are those of `docker run`.
    #[track_caller]
    pub fn run(&self, name: &str, options: &[&str], argv: &[&str]) -> Container {
        let zone = format!("TZ={TIME_ZONE}");
        let mut args = vec!["run", "--detach", "--name", name, "--network", "host", "--env", &zone];
        args.extend(options);
        args.push(&self.image);
        args.extend(argv);
        self.cli(&args);
        Container { docker: self.clone(), name: name.to_owned() }
    }

    /// As [`Docker::run`], with the host's `/usr` in it and so `/usr/bin/python3`.
    #[track_caller]
    pub fn run_with_host_programs(&self, name: &str, options: &[&str], argv: &[&str]) -> Container {
        let mut all = vec!["--volume=/usr:/usr:ro", "--volume=/lib:/lib:ro"];
        if Path::new("/lib64").exists() {
            all.push("--volume=/lib64:/lib64:ro");
        }
        all.extend(options);
        self.run(name, &all, argv)
    }
}

/// A container of a test; removed when dropped.
pub struct Container {
    pub docker: Docker,
    pub name: String,
}

impl Container {
    /// One field of `docker inspect`, as a Go template: `{{.State.StartedAt}}`.
    #[track_caller]
    pub fn inspect(&self, template: &str) -> String {
        self.docker.cli(&["inspect", "--format", template, &self.name]).trim().to_owned()
    }

    /// Everything it printed so far, both streams.
    #[track_caller]
    pub fn logs(&self) -> String {
        self.docker.cli(&["logs", &self.name])
    }

    /// Restarts it; returns when its new process started (RFC 3339).
    #[track_caller]
    pub fn restart(&self) -> String {
        self.docker.cli(&["restart", "--time", "10", &self.name]);
        self.inspect("{{.State.StartedAt}}")
    }

    /// Follows its output until `count` lines hold `text`, counted from its first line.
    #[track_caller]
    pub fn wait_for_lines(&self, count: usize, text: &str) {
        self.wait_for_lines_since("0", count, text);
    }

    /// As [`Container::wait_for_lines`], counted from a moment (RFC 3339).
    #[track_caller]
    pub fn wait_for_lines_since(&self, since: &str, count: usize, text: &str) {
        follow(self.docker.command(&["logs", "--follow", "--since", since, &self.name]), count, text);
    }
}

/// Runs a program that prints without end, on either stream, until `text` has come `count` times.
#[track_caller]
pub fn follow(mut program: Command, count: usize, text: &str) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = program.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    // It holds the writing ends.
    drop(program);
    let lines = BufReader::new(reader).lines();
    let (sender, receiver) = channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let (until, mut found, mut seen) = (Instant::now() + DEADLINE, 0, Vec::new());
    while found < count {
        let Ok(line) = receiver.recv_timeout(until.saturating_duration_since(Instant::now())) else { break };
        found += line.matches(text).count();
        seen.push(line);
    }
    let _ = child.kill();
    let _ = child.wait();
    assert!(found >= count, "{found} times {text:?}, not {count}:\n{}", seen.join("\n"));
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.docker.command(&["rm", "--force", &self.name]).output();
    }
}

/// The HTTP server of `ratelimited/server.py`; ends with this value.
pub struct RateLimitedServer {
    child: Child,
    port: u16,
}

impl RateLimitedServer {
    /// Answers 429 when a request comes less than `interval` after the one before.
    pub fn start(interval: Duration) -> RateLimitedServer {
        RateLimitedServer::with(&[&interval.as_secs_f64().to_string()])
    }

    /// Answers 429 whatever the client does: no fix helps.
    pub fn always_limited() -> RateLimitedServer {
        RateLimitedServer::with(&["0", "--always", "429"])
    }

    fn with(args: &[&str]) -> RateLimitedServer {
        let mut child = Command::new("/usr/bin/python3")
            .arg(ratelimited("server.py"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening on ").and_then(|port| port.parse().ok());
        RateLimitedServer { port: port.unwrap_or_else(|| panic!("server.py said {line:?}")), child }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

impl Drop for RateLimitedServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The worker of `ratelimited/client.py` in a container; its program lies in the test's root and can be healed there.
pub struct RateLimitedWorker {
    pub container: Container,
    /// The program on the host, bind-mounted through its directory.
    pub program: PathBuf,
}

impl RateLimitedWorker {
    /// `pause` is written into the program as the literal of its one `asyncio.sleep(...)`; `label` begins the name.
    #[track_caller]
    pub fn start(docker: &Docker, root: &Root, label: &str, pause: &str, url: &str) -> RateLimitedWorker {
        let source = std::fs::read_to_string(ratelimited("client.py")).unwrap();
        let (old, new) = ("await asyncio.sleep(0.8)", format!("await asyncio.sleep({pause})"));
        assert_eq!(source.matches(old).count(), 1, "client.py must hold `{old}` once");
        let program = root.write("worker/client.py", source.replace(old, &new));
        let volume = format!("--volume={}:/srv:ro", program.parent().unwrap().display());
        let argv = ["/usr/bin/python3", "-B", "/srv/client.py", url];
        let container = docker.run_with_host_programs(&Docker::unique_name(label), &[&volume], &argv);
        RateLimitedWorker { container, program }
    }
}

fn ratelimited(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/ratelimited").join(name)
}
