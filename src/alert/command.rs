//! A command that gets the alert as JSON on its standard input.

use crate::alert::Alert;
use crate::alert::notifier::{Failure, Notifier};
use crate::host::process;
use std::time::Duration;

pub struct Command {
    argv: Vec<String>,
}

impl Command {
    pub fn new(argv: &[String]) -> Self {
        Command { argv: argv.to_vec() }
    }
}

impl Notifier for Command {
    fn name(&self) -> String {
        format!("command {}", self.argv.first().map_or("", String::as_str))
    }

    fn send(&self, alert: &Alert, within: Duration) -> Result<(), Failure> {
        let body = serde_json::to_vec(alert).map_err(|error| Failure::Refused(error.to_string()))?;
        let ran = process::run(&self.argv, Some(&body), within, 4096);
        let done = ran.map_err(|error| Failure::Later(format!("{error:#}")))?;
        match (done.timed_out, done.code) {
            // Where it hangs it does so again: another try would only cost the same time.
            (true, _) => Err(Failure::Later(format!("no end after {}s", within.as_secs_f64().round()))),
            (_, Some(0)) => Ok(()),
            (_, code) => {
                let code = code.map_or("a signal".to_owned(), |c| format!("exit {c}"));
                let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                Err(Failure::Soon(if said.is_empty() { code } else { format!("{code}: {said}") }))
            }
        }
    }
}
