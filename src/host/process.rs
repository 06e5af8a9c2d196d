//! Running other programs: an argument list (never a shell), a deadline, bounded output, nothing left behind.

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it or it ran past its deadline.
    pub code: Option<i32>,
    /// At most the asked number of bytes; what came after was read and dropped.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub timed_out: bool,
}

/// How long output may still arrive after the program itself has ended (a grandchild may hold the pipe).
const AFTER_EXIT: Duration = Duration::from_millis(200);

/// Runs `argv` in a process group of its own, feeds it `stdin`, and waits until it ends or `timeout` has passed; then
/// the whole group is killed. Each stream is kept up to `max_output` bytes.
///
/// # Errors
/// When the list is empty or the program cannot be started.
pub fn run(argv: &[String], stdin: Option<&[u8]>, timeout: Duration, max_output: usize) -> Result<Finished> {
    let Some((program, args)) = argv.split_first() else { bail!("cannot run an empty command") };
    let deadline = Instant::now() + timeout;
    let mut child = Command::new(program)
        .args(args)
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start `{program}`"))?;
    let pid = Pid::from_child(&child);
    let watched = watch(&mut child, stdin, deadline, max_output);
    if !watched.as_ref().is_ok_and(|w| !w.timed_out) {
        // The leader has not been waited for, so the group id cannot have been given to somebody else.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{program}`"))?;
    let watched = watched.with_context(|| format!("cannot watch `{program}`: it was killed"))?;
    let until = Instant::now() + AFTER_EXIT;
    Ok(Finished {
        code: if watched.timed_out { None } else { status.code() },
        stdout: received(watched.stdout, until),
        stderr: received(watched.stderr, until),
        timed_out: watched.timed_out,
    })
}

/// What arrives of a program's output, and whether it ran past its deadline.
struct Watched {
    stdout: Option<mpsc::Receiver<Vec<u8>>>,
    stderr: Option<mpsc::Receiver<Vec<u8>>>,
    timed_out: bool,
}

/// Feeds a program and watches it until it ends or the deadline has come.
fn watch(child: &mut Child, stdin: Option<&[u8]>, deadline: Instant, max_output: usize) -> Result<Watched> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    if let (Some(mut pipe), Some(data)) = (child.stdin.take(), stdin.map(<[u8]>::to_vec)) {
        // A program that does not read its input ends the write with EPIPE: its own exit code says more.
        std::thread::Builder::new().spawn(move || drop(pipe.write_all(&data)))?;
    }
    let stdout = child.stdout.take().map(|pipe| collect(pipe, max_output)).transpose()?;
    let stderr = child.stderr.take().map(|pipe| collect(pipe, max_output)).transpose()?;
    Ok(Watched { stdout, stderr, timed_out: !ends_before(&pidfd, deadline)? })
}

/// How long a process has been running, by the boot clock; `None` where it is none of this host's.
pub fn age(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc(5): field 22 is the start in clock ticks since boot; the name, field 2, may hold spaces and brackets.
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let started = Duration::from_millis(ticks.checked_mul(1000)? / rustix::param::clock_ticks_per_second().max(1));
    Some(super::clock::since_boot().saturating_sub(started))
}

/// Whether the process behind the descriptor ends before the deadline.
fn ends_before(pidfd: &rustix::fd::OwnedFd, deadline: Instant) -> Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for the started program"),
        }
    }
}

/// Reads a stream to its end on a thread of its own, keeping the first `keep` bytes.
fn collect(mut pipe: impl Read + Send + 'static, keep: usize) -> std::io::Result<mpsc::Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new().spawn(move || {
        let mut kept = 0;
        let mut buffer = [0; 8192];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            let part = buffer.get(..n.min(keep - kept)).unwrap_or_default();
            kept += part.len();
            if sender.send(part.to_vec()).is_err() {
                break;
            }
        }
    })?;
    Ok(receiver)
}

/// What has arrived until the stream ended or the moment came.
fn received(receiver: Option<mpsc::Receiver<Vec<u8>>>, until: Instant) -> Vec<u8> {
    let mut all = Vec::new();
    let Some(receiver) = receiver else { return all };
    while let Ok(part) = receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
        all.extend(part);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, stdin: Option<&[u8]>, timeout: Duration) -> Finished {
        run(&["/bin/sh".into(), "-c".into(), script.into()], stdin, timeout, 64).unwrap()
    }

    #[test]
    fn output_code_and_input_pass_through() {
        let done = sh("cat; echo err >&2; exit 3", Some(b"hello"), Duration::from_secs(10));
        assert_eq!(
            (done.code, done.stdout.as_slice(), done.stderr.as_slice()),
            (Some(3), &b"hello"[..], &b"err\n"[..])
        );
    }

    #[test]
    fn a_hanging_program_and_its_children_are_killed_at_the_deadline() {
        let start = Instant::now();
        let done = sh("sleep 60 & sleep 60", None, Duration::from_millis(200));
        assert!(done.timed_out && done.code.is_none());
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn output_is_bounded() {
        let done =
            sh("i=0; while [ $i -lt 10000 ]; do echo 0123456789; i=$((i+1)); done", None, Duration::from_secs(30));
        assert_eq!((done.code, done.stdout.len()), (Some(0), 64));
    }

    #[test]
    fn a_process_has_an_age_and_one_that_is_gone_has_none() {
        let age = age(std::process::id()).unwrap();
        assert!(age < Duration::from_secs(86_400) && super::super::clock::since_boot() >= age);
        assert_eq!(super::age(u32::MAX), None);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&["/no/such/program".into()], None, Duration::from_secs(1), 1).unwrap_err();
        assert!(format!("{error:#}").contains("/no/such/program"));
    }
}
