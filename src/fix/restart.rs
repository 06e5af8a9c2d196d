//! Looking at and restarting the services that a fix names.

use super::compose;
use crate::host::clock;
use crate::host::docker::Docker;
use crate::host::process;
use crate::model::{ContainerHealth, ContainerState, RestartTarget, Service};
use anyhow::{Context, Result, anyhow, bail};
use std::time::Duration;

/// How long a container gets to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// systemd's own default start and stop time-outs are 90 s each.
const UNIT_TIMEOUT: Duration = Duration::from_secs(200);
const UNIT_PROPERTIES: &str = "--property=LoadState,ActiveState,InvocationID,ActiveEnterTimestampMonotonic";
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What a service is doing now; asked before a restart is planned, and after one that may have happened.
///
/// # Errors
/// When it could not be restarted: it is not there, or whoever runs it does not answer.
pub fn look(target: &RestartTarget, docker: Option<&Docker>) -> Result<Service> {
    match target {
        RestartTarget::Container(name) => {
            let docker = of_containers(docker)?;
            let detail = docker.inspect(name)?;
            let Some(started) = detail.started_at.filter(|_| detail.state == ContainerState::Running) else {
                return Ok(Service::default());
            };
            let by_process = detail.pid.filter(|_| docker.is_local()).and_then(process::age);
            let by_wall = || clock::now().duration_since(started).try_into().ok();
            let starting = detail.health == Some(ContainerHealth::Starting);
            Ok(Service { run: Some(format!("{} {started}", detail.id)), age: by_process.or_else(by_wall), starting })
        }
        RestartTarget::Unit(name) => {
            let said = systemctl(&["show", UNIT_PROPERTIES, "--", name], LOOK_TIMEOUT)?;
            let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            match value("LoadState") {
                Some("loaded") => {}
                Some(state) => bail!("systemd has no unit {name} that it could start ({state})"),
                None => bail!("systemd says nothing of the unit {name}"),
            }
            let run = value("InvocationID").filter(|id| !id.is_empty() && value("ActiveState") != Some("failed"));
            // Microseconds of the monotonic clock, which stands still while the host sleeps: the age is never too long.
            let entered = value("ActiveEnterTimestampMonotonic").and_then(|us| us.parse().ok()).filter(|us| *us > 0);
            let age = entered.filter(|_| value("ActiveState") == Some("active"));
            let age = age.map(|us| clock::awake().saturating_sub(Duration::from_micros(us)));
            let starting = value("ActiveState") == Some("activating");
            Ok(Service { run: run.map(str::to_owned), age, starting })
        }
        RestartTarget::Recreate(service) => {
            let docker = of_containers(docker)?;
            compose::check(service, docker)?;
            let containers = compose::containers(&service.project, docker)?;
            let names = containers.into_iter().filter(|c| c.service == service.service).map(|c| c.name);
            let looked = names.map(|name| look(&RestartTarget::Container(name), Some(docker)));
            let all: Vec<Service> = looked.collect::<Result<_>>()?;
            // One that is down makes the whole service so.
            let runs: Option<Vec<String>> = all.iter().map(|s| s.run.clone()).collect();
            let run = runs.filter(|runs| !runs.is_empty()).map(|runs| runs.join(", "));
            let starting = all.iter().any(|s| s.starting);
            Ok(Service { run, age: all.iter().filter_map(|s| s.age).min(), starting })
        }
    }
}

/// Restarts a container or a systemd unit, and returns when it has been started.
///
/// # Errors
/// When it cannot be restarted, with what the Docker Engine or systemd said.
pub fn restart(target: &RestartTarget, docker: Option<&Docker>) -> Result<()> {
    match target {
        RestartTarget::Container(name) => of_containers(docker)?
            .restart(name, STOP_TIMEOUT)
            .with_context(|| format!("cannot restart container {name}")),
        RestartTarget::Unit(name) => systemctl(&["restart", "--", name], UNIT_TIMEOUT).map(drop),
        RestartTarget::Recreate(service) => compose::recreate(service, docker),
    }
}

fn of_containers(docker: Option<&Docker>) -> Result<&Docker> {
    docker.ok_or_else(|| anyhow!("no Docker check is configured, so no container can be restarted"))
}

fn systemctl(args: &[&str], timeout: Duration) -> Result<String> {
    let argv: Vec<String> = std::iter::once("systemctl").chain(args.iter().copied()).map(str::to_owned).collect();
    let done = process::run(&argv, None, timeout, 4096)?;
    if done.code != Some(0) {
        let said = String::from_utf8_lossy(&done.stderr);
        let said = if done.timed_out { format!("no end after {}s", timeout.as_secs()) } else { said.trim().to_owned() };
        bail!("`{}` failed: {said}", argv.join(" "));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
