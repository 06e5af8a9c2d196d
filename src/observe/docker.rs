//! Docker: state, health, restarts of every included container, and the CPU and memory of those that run.
//!
//! One list call per pass; what the list does not tell (restart count, OOM) is asked only of containers that may have
//! changed since the pass before, and use is read from the kernel's own files where they are here.

mod cgroup;
mod judge;
mod listing;

use super::samples::{ContainerSample, DockerSample, Sample, since_boot_usec};
use super::{Check, Moment, Seen, WATCH, clean};
use crate::config::DockerProbe;
use crate::host::clock::boot_id;
use crate::host::docker::{ContainerDetail, Docker, DockerError, ListedContainer};
use crate::model::{Container, ContainerState, Labels, Metric, Status, Unit};
use cgroup::Usage;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct DockerCheck(pub DockerProbe);

impl Check for DockerCheck {
    fn target(&self) -> String {
        format!("Docker at {}", self.0.socket)
    }

    fn look(&self, moment: &Moment) -> Option<Seen> {
        match self.ask(moment) {
            Ok(seen) => Some(seen),
            // Nobody said that there is an engine, or that we may talk to it.
            Err(DockerError::Unreachable(_) | DockerError::Denied(_)) if self.0.discovered => None,
            Err(DockerError::Timeout(_)) => Some(moment.silent(&self.target())),
            Err(error @ DockerError::Denied(_)) => Some(Seen::new(Status::Critical, error.to_string(), Some(false))),
            Err(error) => Some(Seen::down(error.to_string())),
        }
    }
}

impl DockerCheck {
    fn ask(&self, moment: &Moment) -> Result<Seen, DockerError> {
        let docker = Docker::connect(&self.0.socket, self.0.tls.as_ref(), moment.timeout)?;
        let listed: Vec<ListedContainer> = docker.list()?.into_iter().filter(|c| self.includes(c)).collect();
        let boot = boot_id();
        let previous = moment.previous.docker.as_ref().filter(|p| p.socket == self.0.socket && p.boot_id == boot);
        let mut samples = recall(&docker, &listed, previous, moment);
        let mut usage = measure(&docker, &listed, &samples, moment);
        // Nothing is known from before: use is watched as the host's is.
        let mut first = BTreeMap::new();
        if previous.is_none() && !usage.is_empty() {
            std::thread::sleep(WATCH.min(moment.left() / 2));
            first = std::mem::replace(&mut usage, measure(&docker, &listed, &samples, moment));
        }
        let host_memory = cgroup::host_memory();

        let mut containers = Vec::with_capacity(listed.len());
        for listed in &listed {
            let earlier = previous.and_then(|p| p.containers.get(&listed.id));
            let used = usage.remove(&listed.id);
            if let Some(sample) = samples.get_mut(&listed.id) {
                sample.cpu = used.as_ref().map(|u| u.cpu);
                sample.ports = ports(listed, sample, earlier);
            }
            let mut container = describe(listed, samples.get(&listed.id), earlier, used.as_ref(), host_memory);
            if let Some((now, before)) = used.as_ref().zip(first.get(&listed.id)) {
                container.cpu_percent = now.cpu.percent_since(&before.cpu);
            }
            containers.push(self.judged(container, listed, moment.now));
        }
        let taken_at = moment.now;
        let sample = DockerSample { socket: self.0.socket.clone(), taken_at, boot_id: boot, containers: samples };
        Ok(self.summary(containers, sample))
    }

    fn includes(&self, listed: &ListedContainer) -> bool {
        let has = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => listed.labels.get(key).is_some_and(|v| v == value),
            None => listed.labels.contains_key(wanted),
        };
        let enable = Labels::read(&listed.labels).enable;
        let asked_for = self.0.include.as_ref().is_none_or(|names| names.is_empty() || names.is_match(listed.name()))
            && (self.0.labels.is_empty() || self.0.labels.iter().any(|label| has(label)));
        enable.unwrap_or(asked_for)
    }

    fn judged(&self, mut container: Container, listed: &ListedContainer, now: Timestamp) -> Container {
        let limits = judge::Limits { cpu: self.0.cpu_percent, memory: self.0.memory_percent };
        let same = ContainerState::from_word(&listed.state) == container.state;
        let words = if same { listed.status.as_str() } else { "changing just now" };
        let judged = judge::judge(&container, words, limits, now);
        let is_well = !judged.0.is_red();
        let labels = Labels::read(&listed.labels);
        let (status, message) = judge::with_labels(judged, &labels, &self.0.labels);
        container.mislabelled = is_well && status.is_red();
        container.status = status;
        container.message = clean(&message);
        container
    }

    /// The check is as bad as its worst container.
    fn summary(&self, containers: Vec<Container>, sample: DockerSample) -> Seen {
        let running = containers.iter().filter(|c| c.state == ContainerState::Running).count();
        let filtered = !self.0.labels.is_empty() || self.0.include.as_ref().is_some_and(|names| !names.is_empty());
        let worst = containers.iter().map(|c| c.status).max().unwrap_or(Status::Healthy);
        let (status, message) = match worst {
            _ if containers.is_empty() && filtered => {
                (Status::Warning, "no container is what `include` asks for".into())
            }
            Status::Healthy => (worst, format!("{running} of {} containers running", containers.len())),
            _ => (worst, judge::worst_first(&containers)),
        };
        let mut seen = Seen::new(status, message, Some(true));
        seen.metrics.push(Metric::new("containers_running", running as f64, Unit::Count));
        seen.metrics.push(Metric::new("containers_total", containers.len() as f64, Unit::Count));
        seen.containers = containers;
        seen.sample = Some(Sample::Docker(sample));
        seen
    }
}

/// What is known of each container beyond the list: remembered where the list proves that nothing has happened since,
/// else asked for.
fn recall(
    docker: &Docker,
    listed: &[ListedContainer],
    previous: Option<&DockerSample>,
    moment: &Moment,
) -> BTreeMap<String, ContainerSample> {
    let since = previous.and_then(|p| Duration::try_from(moment.now.duration_since(p.taken_at)).ok());
    let mut known = BTreeMap::new();
    let mut unsure = Vec::new();
    for container in listed {
        let remembered = previous.and_then(|p| p.containers.get(&container.id)).zip(since);
        match remembered.filter(|(sample, since)| listing::is_unchanged(container, sample, *since)) {
            Some((sample, _)) => drop(known.insert(container.id.clone(), sample.clone())),
            None => unsure.push(container.id.clone()),
        }
    }
    for detail in docker.inspect_all(&unsure, moment.left()).into_iter().flatten() {
        known.insert(detail.id.clone(), sample_of(detail));
    }
    known
}

fn sample_of(detail: ContainerDetail) -> ContainerSample {
    let (ended, started) = (detail.finished_at, detail.started_at);
    let by_hand = judge::is_started_by_hand(&detail.state, detail.restart_count, ended, started);
    ContainerSample {
        state: detail.state,
        restart_count: detail.restart_count,
        oom_killed: detail.oom_killed && !by_hand,
        exit_code: detail.exit_code,
        started_at: detail.started_at,
        finished_at: detail.finished_at,
        pid: detail.pid,
        cpu: None,
        ports: detail.ports,
    }
}

/// Use of every running container: from the kernel's files, and for those whose files are not here from the engine,
/// all at once.
fn measure(
    docker: &Docker,
    listed: &[ListedContainer],
    samples: &BTreeMap<String, ContainerSample>,
    moment: &Moment,
) -> BTreeMap<String, Usage> {
    let files = docker.is_local().then(cgroup::Files::of_this_host);
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    for container in listed.iter().filter(|c| c.state == "running") {
        let pid = samples.get(&container.id).and_then(|s| s.pid);
        match files.as_ref().and_then(|files| files.usage(&container.id, pid, since_boot_usec())) {
            Some(usage) => drop(found.insert(container.id.clone(), usage)),
            None => missing.push(container.id.clone()),
        }
    }
    // A slow engine costs these figures, not the whole check.
    let answers = docker.stats(&missing, moment.left().mul_f64(0.9));
    for (id, answer) in missing.into_iter().zip(answers) {
        if let Some(usage) = answer.ok().and_then(|body| cgroup::from_engine(&body)) {
            found.insert(id, usage);
        }
    }
    found
}

/// One container with everything known of it, not yet judged.
fn describe(
    listed: &ListedContainer,
    sample: Option<&ContainerSample>,
    earlier: Option<&ContainerSample>,
    used: Option<&Usage>,
    host_memory: Option<u64>,
) -> Container {
    let memory_bytes = used.and_then(|u| u.memory_bytes);
    let limit = used.and_then(|u| u.memory_limit).into_iter().chain(host_memory).min().filter(|l| *l > 0);
    let cpu_before = earlier.filter(|e| sample.is_some_and(|s| s.started_at == e.started_at)).and_then(|e| e.cpu);
    Container {
        id: listed.id.clone(),
        name: listed.name().to_owned(),
        status: Status::Unknown,
        message: String::new(),
        // An inspection is newer than the list.
        state: sample.map_or_else(|| ContainerState::from_word(&listed.state), |s| s.state.clone()),
        health: listing::health(&listed.status),
        exit_code: listing::exit_code(&listed.status).or(sample.and_then(|s| s.exit_code)),
        oom_killed: sample.is_some_and(|s| s.oom_killed),
        restart_count: sample.map_or(0, |s| s.restart_count),
        restarts_since_last: sample
            .zip(earlier)
            .map(|(now, before)| judge::restarts_between(before.restart_count, now.restart_count)),
        started_at: sample.and_then(|s| s.started_at),
        finished_at: sample.and_then(|s| s.finished_at),
        cpu_percent: used.zip(cpu_before).and_then(|(now, before)| now.cpu.percent_since(&before)),
        memory_bytes,
        memory_percent: memory_bytes.zip(limit).map(|(used, limit)| used as f64 * 100.0 / limit as f64),
        compose_project: listed.labels.get("com.docker.compose.project").cloned(),
        ports: sample.map_or_else(|| listed.published(), |s| s.ports.clone()),
        mislabelled: false,
    }
}

/// What it publishes now, else what it is set to publish, else what it was last seen to.
fn ports(listed: &ListedContainer, sample: &ContainerSample, earlier: Option<&ContainerSample>) -> Vec<u16> {
    let known = [listed.published(), sample.ports.clone()];
    known.into_iter().find(|p| !p.is_empty()).or_else(|| earlier.map(|e| e.ports.clone())).unwrap_or_default()
}
