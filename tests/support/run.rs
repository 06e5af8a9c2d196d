//! Running the binary: to its end, or beside the test with its lines on stderr as events.

use super::{DEADLINE, Root};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What a whole run of the binary may take: a pass with a short window, on a busy machine.
const RUN_DEADLINE: Duration = Duration::from_secs(180);

/// How a run of the binary ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// `None`: ended by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Fails, showing both streams, unless it ended with this exit code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Ran {
        assert!(
            self.code == Some(code),
            "exit code {:?}, not {code}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The one JSON document on stdout, wrapper included.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| {
            panic!("stdout is not one JSON document: {e}\n{}\n--- stderr\n{}", self.stdout, self.stderr)
        })
    }

    /// `data` of a `--json` answer; fails unless its `status` is `success`.
    #[track_caller]
    pub fn data(&self) -> serde_json::Value {
        let mut json = self.json();
        assert_eq!(json["status"], "success", "{json:#}");
        json["data"].take()
    }

    /// Both streams, for tests that say that a text appears nowhere.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs the binary with the root's configuration and state directory to its end.
#[track_caller]
pub fn healer(root: &Root, args: &[&str]) -> Ran {
    spawn(root, args).wait()
}

/// Starts the binary beside the test.
#[track_caller]
pub fn spawn(root: &Root, args: &[&str]) -> Running {
    spawn_command(root.command(args))
}

/// Starts a command made by [`Root::command`] and changed by the test (more environment, another directory).
#[track_caller]
pub fn spawn_command(mut command: Command) -> Running {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let stdout = collect(child.stdout.take().unwrap());
    let lines = read_lines(child.stderr.take().unwrap());
    Running { child: Some(child), stdout, lines, seen: Vec::new() }
}

/// A run of the binary that goes on while the test does something else; killed when the test ends before it.
pub struct Running {
    child: Option<Child>,
    stdout: Receiver<Vec<u8>>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The next line on stderr that the condition holds for; earlier lines were seen and are skipped.
    #[track_caller]
    pub fn wait_for_line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no such line in {DEADLINE:?}:\n{}", self.seen.join("\n")),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without such a line:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// The next line on stderr that holds this text.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_line(|line| line.contains(text))
    }

    /// Sends a signal (`rustix::process::Signal::TERM`).
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Waits for the end of this process alone: those that it has started may still hold its streams.
    pub fn code(mut self) -> Option<i32> {
        self.child.take().unwrap().wait().unwrap().code()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Ran {
        let until = Instant::now() + RUN_DEADLINE;
        let left = || until.saturating_duration_since(Instant::now());
        // Both streams end with the process (and with whatever it left behind that holds them).
        let stdout = self.stdout.recv_timeout(left());
        while let Ok(line) = self.lines.recv_timeout(left()) {
            self.seen.push(line);
        }
        let mut child = self.child.take().unwrap();
        let Ok(stdout) = stdout else {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("still running after {RUN_DEADLINE:?}; stderr so far:\n{}", self.seen.join("\n"));
        };
        let mut stderr = self.seen.join("\n");
        if !stderr.is_empty() {
            stderr.push('\n');
        }
        let code = child.wait().unwrap().code();
        Ran { code, stdout: String::from_utf8(stdout).unwrap(), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Everything a stream gives, once it has ended.
fn collect(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let _ = sender.send(all);
    });
    receiver
}

fn read_lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
