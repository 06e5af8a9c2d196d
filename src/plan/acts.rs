//! The steps that are neither an edit nor a restart, from what is there now to the exact change; and in which order the
//! services of a compose project are restarted.

use super::{Given, NoSteps};
use crate::attempts::Attempts;
use crate::config::{BoundedChange, Change, ComposeSpec, RedisSpec, ResizeSpec, Rule, SetValue, StepSpec};
use crate::diagnose::container_name;
use crate::fix::edit::{self, BoundError};
use crate::model::{
    Act, ComposeContainer, ContainerLimits, CpuLimit, Limit, PostgresStep, Recreation, RedisStep, ResizeStep,
    RestartTarget, Session, SessionAction, Step, cpus,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What those steps of a rule's fixes would change, as it is now; why not, where that cannot be told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Present {
    /// By container.
    pub limits: BTreeMap<String, Result<ContainerLimits, String>>,
    /// By compose project.
    pub projects: BTreeMap<String, Result<Vec<ComposeContainer>, String>>,
    /// By [`Present::setting_of`].
    pub settings: BTreeMap<String, Result<String, String>>,
    /// By [`Present::sessions_of`].
    pub sessions: BTreeMap<String, Result<Vec<Session>, String>>,
}

impl Present {
    /// Names one setting of the server of a Redis check.
    pub fn setting_of(check: &str, key: &str) -> String {
        format!("{check} {key}")
    }

    /// Names the sessions that a step is about.
    pub fn sessions_of(step: &PostgresStep) -> String {
        Act::Postgres(step.clone()).words()
    }
}

impl Present {
    /// Takes in what another look has found.
    pub fn extend(&mut self, other: Present) {
        self.limits.extend(other.limits);
        self.projects.extend(other.projects);
        self.settings.extend(other.settings);
        self.sessions.extend(other.sessions);
    }

    /// Something on which each of these steps of the rule can be done: for tests of a rule, which say nothing of it.
    pub fn supposed(rule: &Rule, container: Option<&str>) -> Present {
        let mut present = Present::default();
        for step in rule.fixes.iter().flat_map(|fix| &fix.steps) {
            match step {
                StepSpec::Resize(spec) => {
                    let nano_cpus = spec.cpus.as_ref().map_or(1e9, |cpus| (supposed(cpus, 1.0) * 1e9).round()) as i64;
                    let memory = spec.memory.as_ref().map_or(1e9, |memory| supposed(memory, 1e9).round()) as i64;
                    let limits = ContainerLimits { memory, nano_cpus, ..ContainerLimits::default() };
                    present.limits.insert(container_name(&spec.container, container), Ok(limits));
                }
                StepSpec::Compose(of) | StepSpec::Recreate(of) => {
                    let service = of.service.clone().unwrap_or_else(|| "app".to_owned());
                    let name = format!("{}-{service}-1", of.project);
                    let one = ComposeContainer { name, service, number: 1, ..ComposeContainer::default() };
                    if let Ok(all) = present.projects.entry(of.project.clone()).or_insert(Ok(Vec::new())) {
                        all.push(one);
                    }
                }
                StepSpec::Redis(spec) => {
                    for (key, change) in &spec.settings {
                        let value = format!("{}", supposed(change, 1000.0).round());
                        present.settings.insert(Present::setting_of(&spec.check, key), Ok(value));
                    }
                }
                StepSpec::Postgres(step) => {
                    let session =
                        Session { pid: 1, user: "test".into(), application: "test".into(), seconds: 86_400.0 };
                    present.sessions.insert(Present::sessions_of(step), Ok(vec![session]));
                }
                StepSpec::Edit(_) | StepSpec::Restart(_) | StepSpec::Run(_) => {}
            }
        }
        present
    }
}

/// A value from which this change stays within its bounds.
fn supposed(change: &BoundedChange, usual: f64) -> f64 {
    let near = |value: f64| value.clamp(change.min.unwrap_or(f64::MIN), change.max.unwrap_or(f64::MAX));
    match &change.change {
        Change::Multiply(by) => near(near(usual) * by) / by,
        Change::Add(by) => near(near(usual) + by) - by,
        Change::Set(SetValue::Number(to)) => to.parse::<f64>().map_or(usual, |to| to * 1.5 + 1.0),
        Change::Set(_) => usual,
    }
}

/// What limits and history of such a step count by.
pub(super) fn target(step: &StepSpec, container: Option<&str>) -> String {
    match step {
        StepSpec::Resize(spec) => format!("container:{}", container_name(&spec.container, container)),
        StepSpec::Compose(service) | StepSpec::Recreate(service) => service.to_string(),
        StepSpec::Run(step) => format!("run:{}", step.argv.join(" ")),
        StepSpec::Postgres(step) => format!("postgres:{}", step.check),
        StepSpec::Redis(spec) => {
            let first = spec.settings.first().map(|(key, _)| format!("#{key}")).unwrap_or_default();
            format!("redis:{}{first}", spec.check)
        }
        StepSpec::Edit(_) | StepSpec::Restart(_) => String::new(),
    }
}

/// The exact steps, and what is to be said with them.
pub(super) fn steps(
    step: &StepSpec,
    container: Option<&str>,
    given: Given,
    notes: &mut Vec<String>,
) -> Result<Vec<Step>, NoSteps> {
    let present = given.present;
    let act = |act| vec![Step::Act(act)];
    Ok(match step {
        StepSpec::Resize(spec) => act(Act::Resize(resize(spec, container, present, given.attempts)?)),
        StepSpec::Run(step) => act(Act::Run(step.clone())),
        StepSpec::Postgres(step) => act(Act::Postgres(postgres(step, present, notes)?)),
        StepSpec::Redis(spec) => {
            redis(spec, present, given.attempts, notes)?.into_iter().map(Act::Redis).map(Step::Act).collect()
        }
        StepSpec::Compose(service) => {
            let (names, left_out) = restarts(service, present).map_err(NoSteps::Unusable)?;
            notes.extend(left_out.map(|names| format!("not restarted, because it does its work once: {names}")));
            names.into_iter().map(|name| Step::Restart(RestartTarget::Container(name))).collect()
        }
        StepSpec::Recreate(service) => {
            vec![Step::Restart(RestartTarget::Recreate(recreation(service, present).map_err(NoSteps::Unusable)?))]
        }
        StepSpec::Edit(_) | StepSpec::Restart(_) => Vec::new(),
    })
}

/// What a step would restart, as far as that can be told.
pub(super) fn restarts_of(step: &StepSpec, present: &Present) -> Vec<RestartTarget> {
    match step {
        StepSpec::Compose(service) => {
            let names = restarts(service, present).map(|(names, _)| names).unwrap_or_default();
            names.into_iter().map(RestartTarget::Container).collect()
        }
        StepSpec::Recreate(service) => recreation(service, present).map(RestartTarget::Recreate).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Docker takes no less.
const LEAST_MEMORY: i64 = 6 << 20;

fn resize(
    spec: &ResizeSpec,
    container: Option<&str>,
    present: &Present,
    attempts: &Attempts,
) -> Result<ResizeStep, NoSteps> {
    let name = container_name(&spec.container, container);
    let unusable = |why: &dyn std::fmt::Display| NoSteps::Unusable(format!("container:{name}: {why}"));
    let now = match present.limits.get(&name) {
        Some(Ok(limits)) => limits,
        Some(Err(why)) => return Err(unusable(why)),
        None => return Err(unusable(&"its limits were not read")),
    };
    let unlimited = |what: &str| {
        unusable(&format!(
            "it has no limit of its {what}, and Docker could not take a new one away again: set one first"
        ))
    };
    let target = format!("container:{name}");
    let next = |old: &str, change: &BoundedChange, at: &str| next(old, change, &target, at, attempts);
    let memory = match &spec.memory {
        None => None,
        Some(_) if now.memory <= 0 => return Err(unlimited("memory")),
        Some(change) => {
            let new = whole(&next(&now.memory.to_string(), change, "memory")?)
                .ok_or_else(|| unusable(&"the new memory limit is no number of bytes"))?;
            if new < LEAST_MEMORY {
                return Err(unusable(&"Docker takes no memory limit below 6MiB"));
            }
            Some(Limit { old: now.memory, new })
        }
    };
    // The room for swap stays as it is.
    let swap = memory.filter(|_| now.memory_swap != 0).map(|m| {
        let new = if now.memory_swap < 0 { now.memory_swap } else { now.memory_swap - m.old + m.new };
        Limit { old: now.memory_swap, new }
    });
    let by_cpus = match &spec.cpus {
        None => None,
        Some(_) if now.cpus() <= 0 => return Err(unlimited("CPUs")),
        Some(change) => {
            let new: f64 = next(&cpus(now.cpus()), change, "cpus")?.parse().unwrap_or(0.0);
            let by_quota = (now.nano_cpus == 0).then(|| now.period());
            let new = nanos(new, by_quota).ok_or_else(|| unusable(&"Docker takes no such number of CPUs"))?;
            Some(CpuLimit { old: now.cpus(), new, period: by_quota })
        }
    };
    Ok(ResizeStep { container: name.clone(), memory, swap, cpus: by_cpus })
}

/// CPUs in billionths, as a quota of whole microseconds gives them.
fn nanos(cpus: f64, period: Option<i64>) -> Option<i64> {
    let nanos = (cpus * 1e9).round();
    if !(1e7..1e13).contains(&nanos) {
        return None;
    }
    let nanos = nanos as i128;
    let exact = match period.map(i128::from) {
        Some(period) => (nanos * period / 1_000_000_000) * 1_000_000_000 / period,
        None => nanos,
    };
    i64::try_from(exact).ok()
}

fn whole(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// The next value of a number, or of a text where it is set to one.
fn next(old: &str, change: &BoundedChange, target: &str, at: &str, attempts: &Attempts) -> Result<String, NoSteps> {
    let place = format!("{target} {at}");
    let unusable = |why: &dyn std::fmt::Display| NoSteps::Unusable(format!("{place}: {why}"));
    let exact = |value: &str| match value == old {
        true => Err(NoSteps::AtBound(format!("{place}: it is {old} already"))),
        false => Ok(value.to_owned()),
    };
    let (factor, total) = match (&change.change, change.factors) {
        (Change::Set(SetValue::Number(value) | SetValue::Text(value)), None) => return exact(value),
        (_, factors) => factors.unwrap_or((2.0, 4.0)),
    };
    // Earlier fixes may have moved it: all of them together are bounded too.
    let human = attempts.human_value(Path::new(target), at, old);
    let human = human.as_deref().unwrap_or(old);
    match edit::next_number(old, human, total, &change.change, (change.min, change.max, factor)) {
        Ok(next) => Ok(next),
        Err(e @ (BoundError::AtBound { .. } | BoundError::NoChange { .. })) => {
            Err(NoSteps::AtBound(format!("{place}: {e}")))
        }
        Err(e) => Err(unusable(&e)),
    }
}

fn redis(
    spec: &RedisSpec,
    present: &Present,
    attempts: &Attempts,
    notes: &mut Vec<String>,
) -> Result<Vec<RedisStep>, NoSteps> {
    let mut steps = Vec::new();
    for (key, change) in &spec.settings {
        let place = format!("redis:{} {key}", spec.check);
        let old = match present.settings.get(&Present::setting_of(&spec.check, key)) {
            Some(Ok(value)) => value,
            Some(Err(why)) => return Err(NoSteps::Unusable(why.clone())),
            None => return Err(NoSteps::Unusable(format!("{place}: it was not read"))),
        };
        let new = next(old, change, &format!("redis:{}", spec.check), key, attempts)?;
        let evicts = match key.as_str() {
            "maxmemory" => whole(&new).zip(whole(old)).is_some_and(|(new, old)| new != 0 && (old == 0 || new < old)),
            "maxmemory-policy" => new != "noeviction",
            _ => false,
        };
        if evicts {
            notes.push(format!("{key} = {new} may make Redis evict keys: those cannot be brought back"));
        }
        steps.push(RedisStep { check: spec.check.clone(), key: key.clone(), old: old.clone(), new });
    }
    notes.push("Redis keeps it until its next start: it is not written into its configuration file".to_owned());
    Ok(steps)
}

fn postgres(step: &PostgresStep, present: &Present, notes: &mut Vec<String>) -> Result<PostgresStep, NoSteps> {
    let what = match step.action {
        SessionAction::TerminateIdleInTransaction => "idle in a transaction",
        SessionAction::CancelQueries => "in one query",
    };
    match present.sessions.get(&Present::sessions_of(step)) {
        Some(Ok(sessions)) if sessions.is_empty() => Err(NoSteps::AtBound(format!(
            "postgres:{}: no session that may be touched is {what} for {}s (a role without pg_read_all_stats sees only \
             its own)",
            step.check, step.over_seconds
        ))),
        Some(Ok(sessions)) => {
            let shown = |s: &Session| format!("{} of {} ({}, {:.0}s)", s.pid, s.user, s.application, s.seconds);
            let shown: Vec<String> = sessions.iter().map(shown).collect();
            notes.push(format!("now {what}: {}", shown.join(", ")));
            Ok(step.clone())
        }
        Some(Err(why)) => Err(NoSteps::Unusable(why.clone())),
        None => Err(NoSteps::Unusable(format!("postgres:{}: its sessions were not read", step.check))),
    }
}

fn of_project<'a>(service: &ComposeSpec, present: &'a Present) -> Result<&'a [ComposeContainer], String> {
    match present.projects.get(&service.project) {
        Some(Ok(containers)) if containers.is_empty() => {
            Err(format!("Docker has no container of a compose project `{}`", service.project))
        }
        Some(Ok(containers)) => Ok(containers),
        Some(Err(why)) => Err(format!("{service}: {why}")),
        None => Err(format!("{service}: its containers were not read")),
    }
}

/// The containers to restart, dependencies first, and what is left out.
fn restarts(service: &ComposeSpec, present: &Present) -> Result<(Vec<String>, Option<String>), String> {
    let containers = of_project(service, present)?;
    let names_of = |name: &str| {
        let mut of: Vec<&ComposeContainer> = containers.iter().filter(|c| c.service == name).collect();
        of.sort_by_key(|c| (c.number, &c.name));
        of.into_iter().map(|c| c.name.clone()).collect::<Vec<_>>()
    };
    if let Some(name) = &service.service {
        let names = names_of(name);
        return if names.is_empty() {
            Err(format!("Docker has no container of the compose service {service}"))
        } else {
            Ok((names, None))
        };
    }
    let once: BTreeSet<&str> = containers
        .iter()
        .flat_map(|c| &c.depends_on)
        .filter(|(_, condition)| condition == "service_completed_successfully")
        .map(|(service, _)| service.as_str())
        .collect();
    let order = in_order(containers).map_err(|name| format!("{service}: {name} depends on itself"))?;
    let names = order.iter().filter(|name| !once.contains(**name)).flat_map(|name| names_of(name)).collect();
    let left_out: Vec<String> = once.iter().flat_map(|name| names_of(name)).collect();
    Ok((names, (!left_out.is_empty()).then(|| left_out.join(", "))))
}

/// The services of a project, each after those that it depends on, else by name.
///
/// # Errors
/// The name of one that depends on itself in the end.
pub(super) fn in_order(containers: &[ComposeContainer]) -> Result<Vec<&str>, String> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in containers {
        let on = container.depends_on.iter().map(|(service, _)| service.as_str());
        needs.entry(&container.service).or_default().extend(on);
    }
    let mut order: Vec<&str> = Vec::new();
    while order.len() < needs.len() {
        let done = |name: &&str| order.contains(name) || !needs.contains_key(*name);
        let ready = needs.iter().find(|(name, on)| !order.contains(name) && on.iter().all(&done));
        match ready {
            Some((name, _)) => order.push(name),
            None => {
                let stuck = needs.keys().find(|name| !order.contains(name));
                return Err(stuck.map_or_else(String::new, |name| (*name).to_owned()));
            }
        }
    }
    Ok(order)
}

fn recreation(service: &ComposeSpec, present: &Present) -> Result<Recreation, String> {
    let name = service.service.clone().unwrap_or_default();
    let mut of: Vec<&ComposeContainer> =
        of_project(service, present)?.iter().filter(|container| container.service == name).collect();
    of.sort_by_key(|c| (c.number, &c.name));
    let first = of.first().ok_or_else(|| format!("Docker has no container of the compose service {service}"))?;
    Ok(Recreation {
        project: service.project.clone(),
        service: name,
        files: first.files.clone(),
        env_files: first.env_files.clone(),
        directory: first.directory.clone(),
        containers: of.iter().map(|c| c.name.clone()).collect(),
    })
}

#[cfg(test)]
mod tests;
