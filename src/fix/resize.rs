//! Other limits for a container, through Docker's update call.

use super::act::{Applied, Means, Refused};
use crate::host::docker::{Docker, DockerError, NewLimits};
use crate::model::{ContainerLimits, ContainerState, CpuLimit, Limit, Live, ResizeStep};
use anyhow::{Result, anyhow, bail};
use std::time::Duration;

/// How long a container gets to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of a container now.
///
/// # Errors
/// When there is no such container, or the engine does not answer.
pub fn limits(name: &str, docker: Option<&Docker>) -> Result<ContainerLimits> {
    Ok(of(docker)?.inspect(name)?.limits)
}

/// A container that is gone is somebody else's change.
pub fn look(step: &ResizeStep, means: Means) -> Result<Live> {
    match of(means.docker)?.inspect(&step.container) {
        Ok(now) => Ok(step.live(&now.limits)),
        Err(DockerError::Absent { .. }) => Ok(Live::Foreign),
        Err(error) => Err(error.into()),
    }
}

/// The same limits from those that are there now.
///
/// # Errors
/// When there is no such container, or the engine does not answer.
pub fn from_now(step: ResizeStep, means: Means) -> Result<ResizeStep> {
    let now = limits(&step.container, means.docker)?;
    let memory = step.memory.map(|m| Limit { old: now.memory, ..m });
    let cpus = step.cpus.map(|c| CpuLimit { old: now.cpus(), ..c });
    Ok(ResizeStep { memory, cpus, ..step })
}

pub fn apply(step: &ResizeStep, means: Means) -> Result<Applied> {
    match look(step, means)? {
        Live::After => return Ok(Applied::Done("it is so already".to_owned())),
        Live::Foreign => return Ok(Applied::Foreign),
        Live::Before => {}
    }
    match of(means.docker)?.update(&step.container, &wanted(step)) {
        Ok(()) => {}
        Err(DockerError::Other(why)) => bail!(Refused(format!("cannot resize container {}: {why}", step.container))),
        Err(error) => return Err(error.into()),
    }
    match look(step, means)? {
        Live::After => Ok(Applied::Done(String::new())),
        _ => bail!(Refused(format!("Docker has not set the limits of container {} as asked", step.container))),
    }
}

/// Brings the old limits back. Memory that is in use by now cannot be taken away from a container that runs: it is restarted
/// first, which frees it, and is never left stopped.
pub fn undo(inverse: &ResizeStep, means: Means) -> Result<Applied> {
    match apply(inverse, means) {
        Err(error) if error.is::<Refused>() && inverse.memory.is_some_and(|m| m.new < m.old) => {
            of(means.docker)?.restart(&inverse.container, STOP_TIMEOUT)?;
            match apply(inverse, means)? {
                Applied::Done(_) => Ok(Applied::Done("restarted, for its memory was in use".to_owned())),
                Applied::Foreign => Ok(Applied::Foreign),
            }
        }
        other => other,
    }
}

/// Docker refuses a memory limit above that of memory and swap, and CPUs where a quota was set: each goes with its own.
fn wanted(step: &ResizeStep) -> NewLimits {
    let quota = |c: CpuLimit| {
        let period = c.period?;
        let micros = i128::from(c.new) * i128::from(period) / 1_000_000_000;
        Some((i64::try_from(micros).ok()?, period))
    };
    let by_quota = step.cpus.and_then(quota);
    NewLimits {
        memory: step.memory.map(|m| m.new),
        memory_swap: step.swap.map(|s| s.new),
        nano_cpus: step.cpus.filter(|c| c.period.is_none()).map(|c| c.new),
        cpu_quota: by_quota.map(|(quota, _)| quota),
        cpu_period: by_quota.map(|(_, period)| period),
    }
}

pub fn fallen(step: &ResizeStep, means: Means) -> Result<Option<String>> {
    let name = &step.container;
    Ok(match of(means.docker)?.inspect(name) {
        Ok(now) if now.state == ContainerState::Running => None,
        Ok(now) => Some(format!("container {name} does not run with its new limits (it is {:?})", now.state)),
        Err(DockerError::Absent { .. }) => Some(format!("container {name} is gone")),
        Err(error) => return Err(error.into()),
    })
}

fn of(docker: Option<&Docker>) -> Result<&Docker> {
    docker.ok_or_else(|| anyhow!("no Docker check is configured, so no container can be resized"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_goes_with_what_docker_wants_beside_it() {
        let check = |memory: Option<i64>, swap: Option<i64>, cpus: Option<(i64, Option<i64>)>, wanted: NewLimits| {
            let limit = |new| Limit { old: 1, new };
            let step = ResizeStep {
                container: "web".into(),
                memory: memory.map(limit),
                swap: swap.map(limit),
                cpus: cpus.map(|(new, period)| CpuLimit { old: 1, new, period }),
            };
            assert_eq!(super::wanted(&step), wanted, "{step:?}");
        };
        let none = NewLimits::default;
        check(Some(512), Some(1024), None, NewLimits { memory: Some(512), memory_swap: Some(1024), ..none() });
        check(Some(512), None, None, NewLimits { memory: Some(512), ..none() });
        check(None, None, Some((1_500_000_000, None)), NewLimits { nano_cpus: Some(1_500_000_000), ..none() });
        let quota = NewLimits { cpu_quota: Some(75_000), cpu_period: Some(50_000), ..none() };
        check(None, None, Some((1_500_000_000, Some(50_000))), quota);
    }
}
