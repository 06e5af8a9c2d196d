//! Counters of the pass before, from which this one makes rates: stored by the pass, meant for nobody else.

use crate::model::ContainerState;
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the checks want to be reminded of. A part whose check did not look keeps its older value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    #[serde(default)]
    pub host: Option<HostSample>,
    #[serde(default)]
    pub docker: Option<DockerSample>,
}

/// CPU counters of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostSample {
    pub boot_id: String,
    #[serde(default)]
    pub cpus: u64,
    /// Ticks since boot, all CPUs together.
    pub total: u64,
    /// Of these, idle or waiting for a disk.
    pub idle: u64,
}

/// All containers at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DockerSample {
    pub socket: String,
    pub taken_at: Timestamp,
    pub boot_id: String,
    /// By id.
    pub containers: BTreeMap<String, ContainerSample>,
}

/// What changes slowly of a container, so that it need not be asked for again, and its CPU counter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSample {
    pub state: ContainerState,
    pub restart_count: u64,
    pub oom_killed: bool,
    pub exit_code: Option<i64>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub pid: Option<u32>,
    pub cpu: Option<CpuSample>,
    /// That it publishes, or last published: the list names them only while it runs.
    #[serde(default)]
    pub ports: Vec<u16>,
}

/// A CPU counter and when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CpuSample {
    /// CPU time used so far.
    pub usec: u64,
    /// On the clock of its source.
    pub at_usec: u64,
    pub source: CpuSource,
}

/// Who counted: readings of different sources cannot be subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuSource {
    /// The kernel's files; time is that since boot.
    Cgroup,
    /// The engine's API; time is that of its answer.
    Engine,
}

impl CpuSample {
    /// Mean use between two readings; 100 is one whole CPU. `None` where they cannot be compared.
    pub fn percent_since(&self, earlier: &CpuSample) -> Option<f64> {
        let elapsed = self.at_usec.checked_sub(earlier.at_usec).filter(|e| *e >= SHORTEST_USEC)?;
        let used = self.usec.checked_sub(earlier.usec)?;
        (self.source == earlier.source).then(|| used as f64 * 100.0 / elapsed as f64)
    }
}

/// Over less than this a rate is noise.
const SHORTEST_USEC: u64 = 100_000;

/// One check's part of the samples.
#[derive(Debug)]
pub(super) enum Sample {
    Host(HostSample),
    Docker(DockerSample),
}

impl Samples {
    pub(super) fn take(&mut self, sample: Sample) {
        match sample {
            Sample::Host(host) => self.host = Some(host),
            Sample::Docker(docker) => self.docker = Some(docker),
        }
    }
}

/// Microseconds since boot, sleep included; never set by anybody.
pub(super) fn since_boot_usec() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_readings_of_one_counter() {
        let at = |usec, at_usec, source| CpuSample { usec, at_usec, source };
        let first = at(1_000_000, 10_000_000, CpuSource::Cgroup);
        for (second, percent) in [
            (at(1_500_000, 11_000_000, CpuSource::Cgroup), Some(50.0)),
            (at(1_000_000, 11_000_000, CpuSource::Cgroup), Some(0.0)),
            (at(4_000_000, 11_000_000, CpuSource::Cgroup), Some(300.0)),
            (at(900_000, 11_000_000, CpuSource::Cgroup), None), // started anew
            (at(1_500_000, 10_000_001, CpuSource::Cgroup), None), // too soon
            (at(1_500_000, 9_000_000, CpuSource::Cgroup), None), // another boot
            (at(1_500_000, 11_000_000, CpuSource::Engine), None),
        ] {
            assert_eq!(second.percent_since(&first), percent, "{second:?}");
        }
    }
}
