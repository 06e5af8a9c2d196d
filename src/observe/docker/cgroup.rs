//! CPU and memory of a container: from the kernel's cgroup files (version 2 or 1), or from the engine's statistics.

use crate::observe::samples::{CpuSample, CpuSource};
use serde::Deserialize;
use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a container uses.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Usage {
    pub cpu: CpuSample,
    /// Without the page cache that can be given back at once, as `docker stats` counts.
    pub memory_bytes: Option<u64>,
    /// `None` where there is no limit.
    pub memory_limit: Option<u64>,
}

/// The cgroup file systems of this host.
pub(super) struct Files {
    root: PathBuf,
    proc: PathBuf,
    version_2: bool,
    /// Whether the last container found lay where the `cgroupfs` driver puts it; all of an engine use one driver.
    by_cgroupfs: Cell<bool>,
}

/// A limit from here on is version 1's way to say none.
const NO_LIMIT: u64 = 1 << 60;

impl Files {
    pub fn of_this_host() -> Files {
        Files::at("/sys/fs/cgroup".into(), "/proc".into())
    }

    fn at(root: PathBuf, proc: PathBuf) -> Files {
        let version_2 = root.join("cgroup.controllers").exists();
        Files { root, proc, version_2, by_cgroupfs: Cell::new(false) }
    }

    /// Use of a running container; `None` where its files are not here or not readable. `at_usec` is the time since
    /// boot.
    pub fn usage(&self, id: &str, pid: Option<u32>, at_usec: u64) -> Option<Usage> {
        if self.version_2 { self.version_2(id, pid, at_usec) } else { self.version_1(id, pid, at_usec) }
    }

    fn version_2(&self, id: &str, pid: Option<u32>, at_usec: u64) -> Option<Usage> {
        let (dir, stat) = self.first_readable("", id, pid, "cpu.stat")?;
        let cpu = CpuSample { usec: keyed(&stat, "usage_usec")?, at_usec, source: CpuSource::Cgroup };
        let memory = number(&dir.join("memory.current"));
        let stat = read_small(&dir.join("memory.stat")).unwrap_or_default();
        let cache = keyed(&stat, "inactive_file").unwrap_or(0);
        Some(Usage {
            cpu,
            memory_bytes: memory.map(|m| m.saturating_sub(cache)),
            memory_limit: number(&dir.join("memory.max")),
        })
    }

    fn version_1(&self, id: &str, pid: Option<u32>, at_usec: u64) -> Option<Usage> {
        let (_, nanoseconds) = self.first_readable("cpuacct", id, pid, "cpuacct.usage")?;
        let usec = nanoseconds.trim().parse::<u64>().ok()? / 1000;
        let memory = self.first_readable("memory", id, pid, "memory.usage_in_bytes");
        let (memory_bytes, memory_limit) = match memory {
            Some((dir, used)) => {
                let stat = read_small(&dir.join("memory.stat")).unwrap_or_default();
                let cache = keyed(&stat, "total_inactive_file").unwrap_or(0);
                let used = used.trim().parse::<u64>().ok().map(|m| m.saturating_sub(cache));
                (used, number(&dir.join("memory.limit_in_bytes")).filter(|l| *l < NO_LIMIT))
            }
            None => (None, None),
        };
        Some(Usage { cpu: CpuSample { usec, at_usec, source: CpuSource::Cgroup }, memory_bytes, memory_limit })
    }

    /// The container's directory in a hierarchy and the content of one file there: at the two places where the engine
    /// puts it by itself, else where its first process says.
    fn first_readable(&self, controller: &str, id: &str, pid: Option<u32>, file: &str) -> Option<(PathBuf, String)> {
        let base = self.root.join(controller);
        let by_systemd = base.join("system.slice").join(format!("docker-{id}.scope"));
        let by_cgroupfs = base.join("docker").join(id);
        let mut usual = [(false, by_systemd), (true, by_cgroupfs)];
        if self.by_cgroupfs.get() {
            usual.reverse();
        }
        let read = |dir: PathBuf| read_small(&dir.join(file)).map(|text| (dir, text));
        let at_usual_place = usual.into_iter().find_map(|(by_cgroupfs, dir)| {
            let found = read(dir)?;
            self.by_cgroupfs.set(by_cgroupfs);
            Some(found)
        });
        at_usual_place.or_else(|| {
            let listed = read_small(&self.proc.join(pid?.to_string()).join("cgroup"))?;
            let path = path_in(&listed, controller)?;
            // Only a path that names this container: the process id may be another's by now.
            path.contains(id).then(|| read(base.join(path.trim_start_matches('/')))).flatten()
        })
    }
}

/// A process's path in a hierarchy, from `/proc/PID/cgroup` (`4:memory:/docker/ID`; version 2: `0::/docker/ID`).
fn path_in<'a>(listed: &'a str, controller: &str) -> Option<&'a str> {
    listed.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|c| c == controller).then_some(path)
    })
}

/// The value of `key value` lines.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// A file of the kernel, which gives such small ones whole at the first read: hundreds of them are read in a pass.
fn read_small(path: &Path) -> Option<String> {
    let mut buffer = [0; 8192];
    let count = File::open(path).ok()?.read(&mut buffer).ok()?;
    std::str::from_utf8(buffer.get(..count)?).ok().map(str::to_owned)
}

fn number(path: &Path) -> Option<u64> {
    read_small(path)?.trim().parse().ok()
}

/// Memory of this host in bytes.
pub(super) fn host_memory() -> Option<u64> {
    let text = read_small(Path::new("/proc/meminfo"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Reads one answer of the engine's statistics. `None` when it has not measured anything: it then says year 1 and
/// zeroes, which must not be taken for an idle container.
pub(super) fn from_engine(body: &[u8]) -> Option<Usage> {
    let stats: Stats = serde_json::from_slice(body).ok()?;
    let at_usec =
        u64::try_from(stats.read.parse::<jiff::Timestamp>().ok()?.as_microsecond()).ok().filter(|t| *t > 0)?;
    let memory = stats.memory_stats;
    let cache = memory.stats.total_inactive_file.or(memory.stats.inactive_file).unwrap_or(0);
    Some(Usage {
        cpu: CpuSample { usec: stats.cpu_stats.cpu_usage.total_usage / 1000, at_usec, source: CpuSource::Engine },
        memory_bytes: memory.usage.map(|used| used.saturating_sub(cache)),
        memory_limit: memory.limit.filter(|l| (1..NO_LIMIT).contains(l)),
    })
}

#[derive(Deserialize)]
struct Stats {
    read: String,
    cpu_stats: CpuStats,
    #[serde(default)]
    memory_stats: MemoryStats,
}

#[derive(Deserialize)]
struct CpuStats {
    cpu_usage: CpuUsage,
}

#[derive(Deserialize)]
struct CpuUsage {
    /// Nanoseconds.
    total_usage: u64,
}

#[derive(Deserialize, Default)]
struct MemoryStats {
    usage: Option<u64>,
    limit: Option<u64>,
    #[serde(default)]
    stats: MemoryDetail,
}

#[derive(Deserialize, Default)]
struct MemoryDetail {
    inactive_file: Option<u64>,
    total_inactive_file: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn usage(files: &[(&str, &str)]) -> Option<Usage> {
        let dir = tree(files);
        Files::at(dir.path().join("cgroup"), dir.path().join("proc")).usage("abc", Some(7), 5)
    }

    fn expected(memory_limit: Option<u64>) -> Option<Usage> {
        let cpu = CpuSample { usec: 1500, at_usec: 5, source: CpuSource::Cgroup };
        Some(Usage { cpu, memory_bytes: Some(700), memory_limit })
    }

    #[test]
    fn version_2_is_read_at_each_of_its_places() {
        for dir in ["cgroup/system.slice/docker-abc.scope", "cgroup/docker/abc", "cgroup/my.slice/docker-abc.scope"] {
            for (max, limit) in [("max", None), ("2000", Some(2000))] {
                let path = |file: &str| format!("{dir}/{file}");
                let found = usage(&[
                    ("cgroup/cgroup.controllers", "cpu memory"),
                    ("proc/7/cgroup", "0::/my.slice/docker-abc.scope\n"),
                    (&path("cpu.stat"), "usage_usec 1500\nuser_usec 1\n"),
                    (&path("memory.current"), "1000\n"),
                    (&path("memory.stat"), "anon 5\ninactive_file 300\n"),
                    (&path("memory.max"), max),
                ]);
                assert_eq!(found, expected(limit), "{dir} {max}");
            }
        }
    }

    #[test]
    fn version_1_is_read_at_each_of_its_places() {
        for dir in ["docker/abc", "system.slice/docker-abc.scope", "custom/abc"] {
            let found = usage(&[
                ("proc/7/cgroup", "5:cpuacct,cpu:/custom/abc\n4:memory:/custom/abc\n"),
                (&format!("cgroup/cpuacct/{dir}/cpuacct.usage"), "1500000\n"),
                (&format!("cgroup/memory/{dir}/memory.usage_in_bytes"), "1000\n"),
                (&format!("cgroup/memory/{dir}/memory.stat"), "inactive_file 1\ntotal_inactive_file 300\n"),
                (&format!("cgroup/memory/{dir}/memory.limit_in_bytes"), "9223372036854771712\n"),
            ]);
            assert_eq!(found, expected(None), "{dir}");
        }
    }

    #[test]
    fn files_of_another_process_are_not_taken() {
        let found = usage(&[
            ("cgroup/cgroup.controllers", ""),
            ("proc/7/cgroup", "0::/other\n"),
            ("cgroup/other/cpu.stat", "usage_usec 1500\n"),
        ]);
        assert_eq!(found, None);
        assert_eq!(usage(&[]), None);
    }

    #[test]
    fn an_engine_that_has_not_measured_is_unknown_and_never_zero() {
        let measured = br#"{"read":"2026-01-01T00:00:00.5Z","cpu_stats":{"cpu_usage":{"total_usage":1500000}},
            "memory_stats":{"usage":1000,"limit":2000,"stats":{"inactive_file":300}}}"#;
        let usage = from_engine(measured).unwrap();
        assert_eq!((usage.cpu.usec, usage.memory_bytes, usage.memory_limit), (1500, Some(700), Some(2000)));
        assert_eq!(usage.cpu.source, CpuSource::Engine);
        let not_yet =
            br#"{"read":"0001-01-01T00:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":0}},"memory_stats":{}}"#;
        assert_eq!(from_engine(not_yet), None);
        assert_eq!(from_engine(b"{}"), None);
    }
}
