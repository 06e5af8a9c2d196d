//! What the steps of a rule's fixes would change, as it is now: looked at before a plan is made.

use super::act::Means;
use super::{compose, postgres, redis, resize};
use crate::config::{Rule, StepSpec};
use crate::diagnose::container_name;
use crate::model::{ContainerLimits, cpus};
use crate::plan::Present;
use anyhow::{Result, anyhow};

/// The value now of what a step has moved ([`crate::model::Moved`]); `None` for what is no such place.
pub fn value_of(place: &str, at: &str, means: Means) -> Option<Result<String>> {
    let of = |limits: ContainerLimits| if at == "cpus" { cpus(limits.cpus()) } else { limits.memory.to_string() };
    match place.split_once(':')? {
        ("container", name) => Some(resize::limits(name, means.docker).map(of)),
        ("redis", check) => Some(redis::setting(check, at, means)),
        _ => None,
    }
}

/// Looks at everything that the rule's fixes name, of other steps than edits and restarts by name.
pub fn look(rule: &Rule, container: Option<&str>, means: Means) -> Present {
    let mut present = Present::default();
    for step in rule.fixes.iter().flat_map(|f| &f.steps) {
        match step {
            StepSpec::Edit(_) | StepSpec::Restart(_) | StepSpec::Run(_) => {}
            StepSpec::Resize(spec) => {
                let name = container_name(&spec.container, container);
                let limits = resize::limits(&name, means.docker).map_err(|e| format!("{e:#}"));
                present.limits.insert(name, limits);
            }
            StepSpec::Compose(service) | StepSpec::Recreate(service) => {
                let docker = means.docker.ok_or_else(|| anyhow!("no Docker check is configured"));
                let containers = docker.and_then(|docker| compose::containers(&service.project, docker));
                present.projects.insert(service.project.clone(), containers.map_err(|e| format!("{e:#}")));
            }
            StepSpec::Redis(spec) => {
                for (key, _) in &spec.settings {
                    let value = redis::setting(&spec.check, key, means).map_err(|e| format!("{e:#}"));
                    present.settings.insert(Present::setting_of(&spec.check, key), value);
                }
            }
            StepSpec::Postgres(step) => {
                let sessions = postgres::sessions(step, means).map_err(|e| format!("{e:#}"));
                present.sessions.insert(Present::sessions_of(step), sessions);
            }
        }
    }
    present
}
