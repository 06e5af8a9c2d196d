//! Runs: what `serve` has asked for, each a command of its own. Started as a child of this process, or, where this process
//! has no right to do anything, left as a request that another unit picks up (`healer requests`).
//!
//! A run outlives `serve`: a child is in a process group of its own and writes into memory that it shares with nobody who
//! could go away. May not live here: HTTP.

use crate::host::{clock, files};
use crate::serve::verb::Verb;
use crate::show::live::{RUN_VARIABLE, is_run_id};
use crate::state::StateDir;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use rustix::fs::{MemfdFlags, OFlags};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Whom a command is told to act for.
pub const BY_VARIABLE: &str = "HEALER_BY";

/// How commands are carried out.
#[derive(Debug, Clone)]
pub enum Means {
    Child(Program),
    /// Left in this directory.
    Request(PathBuf),
}

/// This program, with the options that choose its configuration.
#[derive(Debug, Clone)]
pub struct Program {
    pub options: Vec<String>,
}

/// A request as it is left for `healer requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub run_id: String,
    pub by: String,
    pub ask: Verb,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub exit_code: u8,
    /// What it printed with `--json`.
    pub document: Value,
}

/// One run, as `runs` tells it.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub run_id: String,
    pub verb: &'static str,
    pub started: Timestamp,
    #[serde(flatten)]
    pub finished: Option<Finished>,
}

/// Runs of this process, the newest and those that go on.
#[derive(Debug)]
pub struct Runs {
    means: Means,
    answers: PathBuf,
    known: RefCell<BTreeMap<String, Run>>,
    count: RefCell<u64>,
}

/// Remembered at most.
const MOST: usize = 200;
/// At the same time: the lock lets one of them do anything.
const MOST_AT_ONCE: usize = 8;
/// A document is kept up to this size, in bytes.
const LONGEST_DOCUMENT: u64 = 16 << 20;
/// A request that nobody has picked up for so long is taken back.
const PICKED_UP_WITHIN: Duration = Duration::from_secs(10);
/// What was picked up ends within: the longest window, and what comes before and after it.
const LONGEST_RUN: Duration = Duration::from_secs(3_600);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why nothing was begun.
#[derive(Debug)]
pub enum NotBegun {
    TooMany,
    Failed(anyhow::Error),
}

impl Runs {
    pub fn new(means: Means, dir: &StateDir) -> Self {
        Runs { means, answers: dir.answers(), known: RefCell::default(), count: RefCell::default() }
    }

    /// Begins it, and says under which id; the receiver is told how it ended.
    ///
    /// # Errors
    /// When it could not be begun.
    pub fn begin(self: &Rc<Self>, verb: &Verb, by: &str) -> Result<(String, oneshot::Receiver<Finished>), NotBegun> {
        let going_on = self.known.borrow().values().filter(|run| run.finished.is_none()).count();
        if going_on >= MOST_AT_ONCE {
            return Err(NotBegun::TooMany);
        }
        let run_id = self.next_id();
        let finished = match &self.means {
            Means::Child(program) => child(program, verb, &run_id, by),
            Means::Request(dir) => {
                leave(dir, &Request { run_id: run_id.clone(), by: by.to_owned(), ask: verb.clone() })
                    .map(|()| answer_of(dir.clone(), self.answers.clone(), run_id.clone()))
            }
        };
        let finished = finished.map_err(NotBegun::Failed)?;
        let run = Run { run_id: run_id.clone(), verb: verb.word(), started: clock::now(), finished: None };
        self.remember(run);
        let (tell, told) = oneshot::channel();
        let (runs, id) = (Rc::clone(self), run_id.clone());
        tokio::task::spawn_local(async move {
            let ended = finished.await.unwrap_or_else(|_| failed("it was not seen how it ended"));
            if let Some(run) = runs.known.borrow_mut().get_mut(&id) {
                run.finished = Some(ended.clone());
            }
            let _ = tell.send(ended);
        });
        Ok((run_id, told))
    }

    fn next_id(&self) -> String {
        *self.count.borrow_mut() += 1;
        let count = *self.count.borrow();
        format!("run_{}_{}_{count}", clock::now().strftime("%Y%m%d_%H%M%S"), std::process::id())
    }

    fn remember(&self, run: Run) {
        let mut known = self.known.borrow_mut();
        known.insert(run.run_id.clone(), run);
        while known.len() > MOST {
            let oldest = known.iter().filter(|(_, run)| run.finished.is_some()).min_by_key(|(_, run)| run.started);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            known.remove(&oldest);
        }
    }

    pub fn get(&self, id: &str) -> Option<Run> {
        self.known.borrow().get(id).cloned()
    }
}

fn failed(message: &str) -> Finished {
    Finished { exit_code: 1, document: crate::show::json::error(message, 1) }
}

/// Starts the command as a child that outlives this process.
fn child(program: &Program, verb: &Verb, run_id: &str, by: &str) -> Result<oneshot::Receiver<Finished>> {
    let (tell, told) = oneshot::channel();
    let mut started = Started::new(program, verb, run_id, by)?;
    std::thread::Builder::new()
        .name("run".into())
        .spawn(move || _ = tell.send(started.wait()))
        .context("cannot start a thread to wait for the command")?;
    Ok(told)
}

/// A command that runs.
struct Started {
    child: std::process::Child,
    output: File,
}

impl Started {
    fn new(program: &Program, verb: &Verb, run_id: &str, by: &str) -> Result<Started> {
        let output =
            rustix::fs::memfd_create("healer-run", MemfdFlags::CLOEXEC).context("cannot make room for the output")?;
        let output = File::from(output);
        let stdout = output.try_clone().context("cannot make room for the output")?;
        let child = Command::new("/proc/self/exe")
            .arg0("healer")
            .args(&program.options)
            .args(["--json", "--no-input", "--color=never"])
            .args(verb.arguments())
            .env(RUN_VARIABLE, run_id)
            .env(BY_VARIABLE, by)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::inherit())
            .process_group(0)
            .spawn()
            .context("cannot start the command")?;
        Ok(Started { child, output })
    }

    fn wait(&mut self) -> Finished {
        let code = match self.child.wait() {
            Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()),
            Err(error) => return failed(&format!("cannot wait for the command: {error}")),
        };
        let mut text = Vec::new();
        let read = self
            .output
            .seek(SeekFrom::Start(0))
            .and_then(|_| (&self.output).take(LONGEST_DOCUMENT).read_to_end(&mut text));
        match (code, read.ok().and_then(|_| serde_json::from_slice(&text).ok())) {
            (Some(exit_code), Some(document)) => Finished { exit_code, document },
            (Some(code), None) => failed(&format!("the command ended with {code} and no document")),
            (None, _) => failed("the command was killed: the next pass ends what it left open"),
        }
    }
}

/// Leaves a request, whole or not at all.
fn leave(dir: &Path, request: &Request) -> Result<()> {
    let text = serde_json::to_string(request).context("cannot write the request as JSON")?;
    let path = dir.join(format!("{}.json", request.run_id));
    // Hidden until it is whole: the unit that carries it out is started by what shows.
    let unfinished = dir.join(format!(".{}", request.run_id));
    let left = files::write_unsynced(&unfinished, text.as_bytes(), 0o640)
        .map_err(anyhow::Error::from)
        .and_then(|()| std::fs::rename(&unfinished, &path).map_err(anyhow::Error::from));
    left.with_context(|| format!("cannot leave a request in {}", dir.display()))
}

/// Waits for the answer to a request.
fn answer_of(dir: PathBuf, answers: PathBuf, run_id: String) -> oneshot::Receiver<Finished> {
    let (tell, told) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let begin = Instant::now();
        let (request, answer) = (dir.join(format!("{run_id}.json")), answers.join(format!("{run_id}.json")));
        let ended = loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let read = std::fs::read(&answer);
            if read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
                break failed(
                    "it was carried out, and its answer may not be read here: healer-requests.service needs Group=healer",
                );
            }
            if let Some(finished) = read.ok().and_then(|text| serde_json::from_slice(&text).ok()) {
                break finished;
            }
            // Taking it back is what decides: who removes it first has it.
            if begin.elapsed() > PICKED_UP_WITHIN && std::fs::remove_file(&request).is_ok() {
                break failed("nobody picks requests up: is healer-requests.path active?");
            }
            if begin.elapsed() > LONGEST_RUN {
                break failed("no answer came");
            }
        };
        let _ = tell.send(ended);
    });
    told
}

/// A request may have this many bytes.
const LONGEST_REQUEST: u64 = 64 << 10;
/// Answers are kept for this long.
const ANSWERS_KEPT: Duration = Duration::from_secs(86_400);

/// Carries out every request that was left in `dir`, the oldest name first, and leaves the answers in the state directory;
/// returns how many there were. Whoever may write into `dir` may ask for what a [`Verb`] can name, and for nothing else.
/// A request waits for no other one: a pause is there for the pass that goes on.
///
/// # Errors
/// When the directory cannot be read.
pub fn carry_out(dir: &Path, state: &StateDir, program: &Program) -> Result<usize> {
    state.prepare()?;
    files::ensure_dir(&state.answers(), 0o750)?;
    let (tell, ended) = std::sync::mpsc::channel();
    let (mut count, mut going_on) = (0, 0);
    loop {
        while going_on < MOST_AT_ONCE
            && let Some(path) = next_request(dir)?
        {
            count += 1;
            going_on += usize::from(begin_left(&path, state, program, &tell)?);
        }
        if going_on == 0 {
            break;
        }
        // What comes meanwhile is this one's too.
        if ended.recv_timeout(LOOK_EVERY).is_ok() {
            going_on -= 1;
        }
    }
    forget_answers(&state.answers());
    Ok(count)
}

/// Takes a request away and begins what it asks for; false where that is nothing. `tell` is told when it has ended.
fn begin_left(path: &Path, state: &StateDir, program: &Program, tell: &std::sync::mpsc::Sender<()>) -> Result<bool> {
    let taken = take(path);
    match remove(path) {
        // Whoever left it has taken it back.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        removed => removed.with_context(|| format!("cannot take {}", path.display()))?,
    }
    let request = match taken {
        Ok(request) => request,
        Err(error) => {
            note(&format!("healer: {}: {error:#}; it was dropped", path.display()));
            return Ok(false);
        }
    };
    let started = Started::new(program, &request.ask, &request.run_id, &request.by);
    let (answers, tell) = (state.answers(), tell.clone());
    let carry = move || {
        let finished = match started {
            Ok(mut started) => started.wait(),
            Err(error) => failed(&format!("{error:#}")),
        };
        if let Err(error) = leave_answer(&answers, &request.run_id, &finished) {
            note(&format!("healer: {error:#}"));
        }
        let _ = tell.send(());
    };
    std::thread::Builder::new()
        .name("run".into())
        .spawn(carry)
        .context("cannot start a thread to wait for the command")?;
    Ok(true)
}

fn leave_answer(answers: &Path, run_id: &str, finished: &Finished) -> Result<()> {
    let text = serde_json::to_string(finished).context("cannot write the answer as JSON")?;
    files::write_unsynced(&answers.join(format!("{run_id}.json")), text.as_bytes(), 0o640)?;
    Ok(())
}

fn note(text: &str) {
    crate::show::Output::plain().note(text);
}

/// Whatever its name makes a request, so that nothing is left that would start the unit again and again.
fn next_request(dir: &Path) -> Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    let is_request = |name: &OsString| name.as_bytes().starts_with(b"run_") && name.as_bytes().ends_with(b".json");
    Ok(names.filter(is_request).min().map(|name| dir.join(name)))
}

/// Takes what lies there away, whatever it is.
fn remove(path: &Path) -> std::io::Result<()> {
    if std::fs::symlink_metadata(path)?.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}

/// Reads a request that somebody without rights has written: a plain file, bounded, and nothing that it points to.
fn take(path: &Path) -> Result<Request> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).context("cannot open it")?;
    let file = File::from(file);
    if !file.metadata().context("cannot look at it")?.is_file() {
        bail!("it is no plain file");
    }
    let mut text = Vec::new();
    file.take(LONGEST_REQUEST + 1).read_to_end(&mut text).context("cannot read it")?;
    if text.len() as u64 > LONGEST_REQUEST {
        bail!("it is too large for a request");
    }
    let request: Request = serde_json::from_slice(&text).context("it is no request")?;
    let named = path.file_stem().and_then(|stem| stem.to_str()) == Some(request.run_id.as_str());
    if !named || !is_run_id(&request.run_id) || request.by.len() > 100 || request.by.contains(char::is_control) {
        bail!("it is no request of `healer serve`");
    }
    request.ask.check().map_err(|why| anyhow::anyhow!(why))?;
    Ok(request)
}

fn forget_answers(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|m| m.elapsed().ok());
        if age.is_some_and(|age| age > ANSWERS_KEPT) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_small_request_under_its_own_name_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let check = |name: &str, text: &str, taken: bool| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            assert_eq!(take(&path).is_ok(), taken, "{name} {text}: {:?}", take(&path));
        };
        let request = |id: &str, ask: &str| format!(r#"{{"run_id":"{id}","by":"dashboard","ask":{ask}}}"#);
        check("run_1.json", &request("run_1", r#"{"verb":"heal"}"#), true);
        check("run_1.json", &request("run_1", r#"{"verb":"rollback","backup":"backup_20251019_170000"}"#), true);
        check("run_1.json", &request("run_2", r#"{"verb":"heal"}"#), false);
        check("run_1.json", &request("run_1", r#"{"verb":"heal","x":1}"#), false);
        check("run_1.json", &request("run_1", r#"{"verb":"rollback","backup":"../../etc"}"#), false);
        check("run_1.json", &request("run_1", r#"{"verb":"shell","command":"id"}"#), false);
        check("run_1.json", &format!("{}{}", request("run_1", r#"{"verb":"heal"}"#), " ".repeat(70_000)), false);
        let link = dir.path().join("run_3.json");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(take(&link).is_err());
        std::fs::create_dir(dir.path().join("run_4.json")).unwrap();
        assert!(take(&dir.path().join("run_4.json")).is_err());
    }
}
