//! A command that gets the alert as JSON on its standard input.

use crate::alert::{Alert, Notifier};
use crate::host::process;
use anyhow::{Context, Result, bail};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

pub struct Command<'a> {
    argv: &'a [String],
}

impl<'a> Command<'a> {
    pub fn new(argv: &'a [String]) -> Self {
        Command { argv }
    }
}

impl Notifier for Command<'_> {
    fn name(&self) -> String {
        format!("command {}", self.argv.first().map_or("", String::as_str))
    }

    fn send(&self, alert: &Alert) -> Result<()> {
        let body = serde_json::to_vec(alert).context("cannot write the alert as JSON")?;
        let done = process::run(self.argv, Some(&body), TIMEOUT, 4096)?;
        match (done.timed_out, done.code) {
            (true, _) => bail!("no end after {}s", TIMEOUT.as_secs()),
            (_, Some(0)) => Ok(()),
            (_, code) => {
                let code = code.map_or("a signal".to_owned(), |c| format!("exit {c}"));
                bail!("{code}: {}", String::from_utf8_lossy(&done.stderr).trim())
            }
        }
    }
}
