//! Restarting what a fix names.

use crate::host::docker::Docker;
use crate::host::process;
use crate::model::RestartTarget;
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// How long a container gets to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// systemd's own default start and stop time-outs are 90 s each.
const UNIT_TIMEOUT: Duration = Duration::from_secs(200);

/// Restarts a container or a systemd unit, and returns when it has been started.
///
/// # Errors
/// When it cannot be restarted, with what the Docker Engine or systemd said.
pub fn restart(target: &RestartTarget, docker: Option<&Docker>) -> Result<()> {
    match target {
        RestartTarget::Container(name) => {
            let docker = docker.context("no Docker check is configured, so no container can be restarted")?;
            docker.restart(name, STOP_TIMEOUT).with_context(|| format!("cannot restart container {name}"))
        }
        RestartTarget::Unit(name) => {
            let argv: Vec<String> = ["systemctl", "restart", "--", name].map(str::to_owned).to_vec();
            let done = process::run(&argv, None, UNIT_TIMEOUT, 4096)?;
            if done.code != Some(0) {
                let said = String::from_utf8_lossy(&done.stderr);
                let said = if done.timed_out { "no end after 200s" } else { said.trim() };
                bail!("`systemctl restart {name}` failed: {said}");
            }
            Ok(())
        }
    }
}
