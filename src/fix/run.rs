//! Running another program as a step: an argument list, a deadline, bounded output.

use super::act::Refused;
use crate::host::process;
use crate::model::RunStep;
use anyhow::{Result, bail};
use std::time::Duration;

/// Of each stream; the rest is dropped.
const MOST_OUTPUT: usize = 4096;

/// Runs it to its end; what it printed.
pub fn apply(step: &RunStep) -> Result<String> {
    let limit = Duration::from_secs(step.timeout_seconds);
    let done = process::run(&step.argv, None, limit, MOST_OUTPUT).map_err(|e| Refused(format!("{e:#}")))?;
    let printed = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).trim().to_owned());
    let said: Vec<String> = printed.into_iter().filter(|text| !text.is_empty()).collect();
    let said = said.join("\n");
    let program = step.argv.first().map(String::as_str).unwrap_or_default();
    let end = match done.code {
        Some(0) => return Ok(said),
        _ if done.timed_out => format!("did not end within {}s and was killed", limit.as_secs()),
        Some(code) => format!("exited with {code}"),
        None => "was ended by a signal".to_owned(),
    };
    bail!(Refused(if said.is_empty() { format!("`{program}` {end}") } else { format!("`{program}` {end}: {said}") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exit_with_0_is_done_and_the_rest_says_how_it_ended() {
        let check = |script: &str, expected: Result<&str, &str>| {
            let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
            let ran = apply(&RunStep { argv, undo: None, timeout_seconds: 1 });
            match (ran, expected) {
                (Ok(said), Ok(words)) => assert_eq!(said, words, "{script}"),
                (Err(error), Err(words)) => assert_eq!(error.to_string(), words, "{script}"),
                other => panic!("{script}: {other:?}"),
            }
        };
        check("echo done; echo more >&2", Ok("done\nmore"));
        check("true", Ok(""));
        check("echo no; exit 3", Err("`/bin/sh` exited with 3: no"));
        check("kill -9 $$", Err("`/bin/sh` was ended by a signal"));
        check("exec sleep 60", Err("`/bin/sh` did not end within 1s and was killed"));
    }

    #[test]
    fn arguments_are_no_shells() {
        let argv = ["/bin/echo", "$HOME; true"].map(str::to_owned).to_vec();
        assert_eq!(apply(&RunStep { argv, undo: None, timeout_seconds: 10 }).unwrap(), "$HOME; true");
    }
}
