//! A worker of the demonstration: a shell loop that is rate limited.

use crate::commands::demo::file_of;
use crate::host::signals::Interrupt;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Killed, with its children, when dropped.
pub struct Worker {
    child: Child,
    log: PathBuf,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The leader has not been waited for, so its group id is still its own.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Worker {
    /// Starts one with a pause of 200 ms; `allowed_ms` is the shortest that its upstream takes, `None` takes none.
    pub fn start(root: &Path, name: &str, allowed_ms: Option<u32>) -> Result<Worker> {
        let settings = file_of(root, name, "toml");
        let log = file_of(root, name, "log");
        let text = "[upstream]\n# Time between two requests.\npause_ms = 200\n";
        std::fs::write(&settings, text).with_context(|| format!("cannot write {}", settings.display()))?;
        let child = Command::new("/bin/sh")
            .arg("-c")
            .arg(include_str!("worker.sh"))
            .arg(name)
            .args([&settings, &log])
            .args(allowed_ms.map(|ms| ms.to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start /bin/sh for the demonstration")?;
        Ok(Worker { child, log })
    }

    /// Returns when the log holds this many errors.
    pub fn wait_for_errors(&self, wanted: usize, patience: Duration, interrupt: &Interrupt) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            if text.matches(" 429 ").count() >= wanted {
                return Ok(());
            }
            if interrupt.wait(Duration::from_millis(100)) {
                bail!("interrupted");
            }
            if Instant::now() > deadline {
                bail!(
                    "the worker of the demonstration wrote no errors within {}s; its log: {text:?}",
                    patience.as_secs()
                );
            }
        }
    }
}
