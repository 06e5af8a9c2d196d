//! What integration tests share: a temporary root with configuration, state and target files; the real binary, run to its
//! end or beside the test; services of `tests/run` or a recorded skip. May not live here: knowledge of one command.
//!
//! Use it with `mod support;`. Nothing here sleeps: every wait ends with an event, or with [`DEADLINE`] and a panic that
//! shows what was seen.
#![allow(dead_code, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod browser;
mod docker;
mod golden;
mod http;
mod keys;
mod machine;
mod package;
mod past;
mod relay;
mod run;
mod scene;
mod serve;
pub mod shop;
mod smtp;
mod terminal;
mod tree;
mod unit;

pub use browser::Browser;
pub use docker::{Container, Docker, RateLimitedServer, RateLimitedWorker, follow};
pub use golden::{
    Look, Mask, assert_fits, assert_golden, golden, is_renewing, looks, run_looked, shown, without_escapes,
};
pub use http::{Answer, HttpServer, Request};
pub use keys::{check_keys, committed_keys};
pub use machine::Machine;
pub use package::Package;
pub use past::{Burst, Shop};
pub use relay::Relay;
pub use run::{Ran, Running, healer, spawn, spawn_command};
pub use scene::{PROGRAM, PROGRAM_PATH, Parts, RATE_LIMITED, Scene, Worker, fix, next_second};
pub use serve::{Event, Events, Got, SERVING, Server, TOKEN, answer_on, bearer};
pub use smtp::{Mail, Manners, SmtpServer};
pub use terminal::Terminal;
pub use tree::Tree;
pub use unit::Unit;

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// How long a test waits for an event before it fails; generous, for machines that do much else at once.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The time zone that the binary and the workers of tests live in.
pub const TIME_ZONE: &str = "UTC";

/// A temporary directory with a configuration file, a state directory and whatever the test puts there; removed at the end.
pub struct Root {
    dir: tempfile::TempDir,
}

impl Root {
    /// With an empty `healer.toml`; the state directory is left for the binary to make.
    pub fn new() -> Root {
        let root = Root { dir: tempfile::Builder::new().prefix("healer-root.").tempdir().unwrap() };
        root.config("");
        root
    }

    /// The binary, where somebody may run it to whom the place that it was built in is closed. Copied by another process:
    /// a child that another test starts meanwhile would hold a file of ours open for writing, and so it cannot be run.
    pub fn copy_binary(&self) -> PathBuf {
        let binary = self.path("healer");
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_healer")).arg(&binary).status();
        assert!(copied.unwrap().success());
        binary
    }

    /// The same, with a path that is as long wherever `TMPDIR` points: what is printed of it takes as many columns.
    pub fn in_tmp() -> Root {
        let root = Root { dir: tempfile::Builder::new().prefix("healer-root.").tempdir_in("/tmp").unwrap() };
        root.config("");
        root
    }

    /// Removes it once this process is gone: what is static is never dropped.
    pub fn remove_at_exit(&self) {
        let script = "cat; rm -rf \"$1\"";
        let waiting = Command::new("sh").args(["-c", script, "sh"]).arg(self.dir.path()).stdin(Stdio::piped()).spawn();
        // Closed when this process ends, however it does.
        std::mem::forget(waiting.unwrap().stdin.take());
    }

    /// The absolute path, with links resolved (what `[allow]` is matched against).
    pub fn dir(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir().join(relative)
    }

    pub fn config_path(&self) -> PathBuf {
        self.path("healer.toml")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes `healer.toml`; `{root}` in it becomes this root's path.
    pub fn config(&self, toml: &str) -> PathBuf {
        self.write("healer.toml", toml.replace("{root}", self.dir().to_str().unwrap()))
    }

    /// Writes a file, and makes the directories above it.
    pub fn write(&self, relative: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }

    /// Adds to the end of a file (a log), making it where it is not there yet.
    pub fn append(&self, relative: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
        path
    }

    /// The same for a thread that has no root.
    pub fn append_to(path: &Path, bytes: impl AsRef<[u8]>) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    pub fn read(&self, relative: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(relative);
        std::fs::read(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
    }

    pub fn read_text(&self, relative: impl AsRef<Path>) -> String {
        String::from_utf8(self.read(relative)).unwrap()
    }

    /// The lines of a JSONL file of the state directory; none where the file is not there.
    pub fn state_lines(&self, name: &str) -> Vec<serde_json::Value> {
        let Ok(text) = std::fs::read_to_string(self.state_dir().join(name)) else { return Vec::new() };
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e}: {line}"))).collect()
    }

    /// Makes a file look as if it had last been changed `age` ago (`human_grace` looks at that).
    pub fn set_age(&self, relative: impl AsRef<Path>, age: Duration) {
        let file = std::fs::File::options().write(true).open(self.path(relative)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    /// A copy of the state directory and the target files, to come back to.
    pub fn save_state(&self) -> tempfile::TempDir {
        let saved = tempfile::tempdir().unwrap();
        for part in ["state", "worker"] {
            copy(&self.path(part), &saved.path().join(part));
        }
        saved
    }

    /// Puts it back.
    pub fn restore_state(&self, saved: &tempfile::TempDir) {
        for part in ["state", "worker"] {
            let _ = std::fs::remove_dir_all(self.path(part));
            copy(&saved.path().join(part), &self.path(part));
        }
    }

    /// Everything below the root, for tests that say 'writes nothing at all'.
    pub fn snapshot(&self) -> Tree {
        Tree::of(&self.dir())
    }

    /// The binary with this root's configuration and state directory, in an environment of nothing but these few.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare_command(args);
        command.arg("--config").arg(self.config_path()).arg("--state-dir").arg(self.state_dir());
        command
    }

    /// As [`Root::command`], but nothing is said of configuration and state: what the binary finds by itself.
    pub fn bare_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_healer"));
        command.args(args).current_dir(self.dir()).env_clear();
        let own = std::iter::once(self.path("bin"));
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        command.env("PATH", std::env::join_paths(own.chain(std::env::split_paths(&inherited))).unwrap());
        command.env("HOME", self.dir()).env("TZ", TIME_ZONE).env("LANG", "C.UTF-8").env("NO_COLOR", "1");
        // Wide: a sentence that a test looks for is not broken.
        command.env("COLUMNS", "1000");
        command
    }
}

/// A directory as it is, modes and times included; nothing where there is none.
fn copy(from: &Path, to: &Path) {
    if from.exists() {
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    }
}

impl Default for Root {
    fn default() -> Root {
        Root::new()
    }
}

/// The value of a variable that `tests/run` sets for a service it started; `None`, recorded as a skip, without it:
/// `let Some(url) = require_env("HEALER_TEST_REDIS") else { return };`
pub fn require_env(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        skip(&format!("{name} is not set (tests/run starts the service and sets it)"));
    }
    value
}

/// Records that the running test was skipped: printed, and appended to the file that `HEALER_TEST_SKIPS` names. Where
/// nothing may be skipped (`HEALER_TEST_REQUIRE_ALL=1`) it fails instead.
pub fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("skipped: {test}: {why}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("HEALER_TEST_SKIPS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
    let required = std::env::var("HEALER_TEST_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "{}", line.trim_end());
}

/// Whether the tests run as root; some laws (owner, mode) can only be seen then.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A TCP port of the loopback address on which nothing listens, and which nobody else is given while this process lives:
/// a socket stays bound to it without listening, beside which whoever sets `SO_REUSEADDR`, as servers do, can still bind.
pub fn free_port() -> u16 {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    bind(&socket, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = std::net::SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
    std::mem::forget(socket);
    address.port()
}
