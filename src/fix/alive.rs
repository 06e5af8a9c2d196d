//! Whether a service that a fix concerns runs, and in which run: asked again and again while the fix is watched.

use crate::host::docker::{Docker, DockerError};
use crate::host::process;
use crate::model::{ContainerState, RestartTarget};
use anyhow::{Context, Result, bail};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// How a service is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alive {
    /// `None` where nothing says so: a unit that is done once it has been started.
    pub up: Option<bool>,
    /// Names its present run: another one after every start. `None` while it is down, or where nothing says so.
    pub run: Option<String>,
}

/// Looks.
///
/// # Errors
/// When whoever runs it does not answer.
pub fn look(target: &RestartTarget, docker: Option<&Docker>) -> Result<Alive> {
    if let RestartTarget::Container(name) = target {
        return of_container(name, docker.context("no Docker check is configured")?);
    }
    if let RestartTarget::Unit(name) = target {
        return of_unit(name);
    }
    Ok(Alive::default())
}

fn of_container(name: &str, docker: &Docker) -> Result<Alive> {
    let detail = match docker.inspect(name) {
        Ok(detail) => detail,
        Err(DockerError::Absent { .. }) => return Ok(Alive { up: Some(false), run: None }),
        Err(error) => return Err(error.into()),
    };
    let up = detail.state == ContainerState::Running;
    let run = detail.started_at.filter(|_| up).map(|started| format!("{} {started}", detail.id));
    Ok(Alive { up: Some(up), run })
}

fn of_unit(name: &str) -> Result<Alive> {
    let properties = "--property=LoadState,ActiveState,InvocationID,Type";
    let argv = ["systemctl", "show", properties, "--", name].map(str::to_owned);
    let done = process::run(&argv, None, TIMEOUT, 4096)?;
    if done.code != Some(0) {
        bail!("`systemctl show` failed: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    let said = String::from_utf8_lossy(&done.stdout);
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let up = match (value("ActiveState"), value("LoadState"), value("Type")) {
        (Some("active" | "activating" | "reloading" | "deactivating" | "refreshing"), ..) => Some(true),
        (Some("inactive"), Some("loaded"), Some("oneshot")) | (None, ..) => None,
        _ => Some(false),
    };
    let run = value("InvocationID").filter(|id| !id.is_empty() && up == Some(true));
    Ok(Alive { up, run: run.map(str::to_owned) })
}
