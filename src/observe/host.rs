//! The host itself: CPU, memory, disks.

use super::samples::{HostSample, Sample};
use super::{Check, Moment, Seen, WATCH, high, metric, verdict};
use crate::config::HostProbe;
use crate::host::clock::boot_id;
use crate::model::{Status, Unit};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

pub(super) struct HostCheck(pub HostProbe);

impl Check for HostCheck {
    fn target(&self) -> String {
        "the host's own counters".into()
    }

    fn look(&self, moment: &Moment) -> Option<Seen> {
        // The disks are asked while the CPU is being watched.
        let disks = Asked::all(read_mounts());
        let (cpu, sample) = cpu_percent(moment);
        let memory = memory_percent();
        let disks = disks.answers(moment.left().mul_f64(0.9));

        let mut parts = Vec::new();
        let mut metrics = Vec::new();
        match cpu {
            Some(percent) => {
                parts.push((high(percent, self.0.cpu_percent), format!("CPU {percent:.0} % busy")));
                metrics.push(metric("cpu_percent", percent, Unit::Percent, self.0.cpu_percent));
            }
            None => parts.push((Status::Unknown, "cannot read the CPU counters of /proc/stat".into())),
        }
        match memory {
            Some(percent) => {
                parts.push((high(percent, self.0.memory_percent), format!("memory {percent:.0} % used")));
                metrics.push(metric("memory_percent", percent, Unit::Percent, self.0.memory_percent));
            }
            None => parts.push((Status::Unknown, "cannot read the memory figures of /proc/meminfo".into())),
        }
        let worst = disks.iter().filter_map(|(_, percent)| *percent).max_by(f64::total_cmp);
        metrics.extend(worst.map(|percent| metric("disk_percent", percent, Unit::Percent, self.0.disk_percent)));
        for (mount, percent) in &disks {
            let shown = mount.display();
            match percent {
                Some(percent) => {
                    parts.push((high(*percent, self.0.disk_percent), format!("disk {shown} {percent:.0} % full")));
                    metrics.push(metric(format!("disk_percent:{shown}"), *percent, Unit::Percent, self.0.disk_percent));
                }
                None => parts.push((Status::Critical, format!("disk {shown} does not answer"))),
            }
        }
        let fine = summary(cpu, memory, worst);
        let (status, message) = verdict(parts, fine);
        Some(Seen { metrics, sample: sample.map(Sample::Host), ..Seen::new(status, message, None) })
    }
}

fn summary(cpu: Option<f64>, memory: Option<f64>, disk: Option<f64>) -> String {
    let words = [("CPU", cpu), ("memory", memory), ("fullest disk", disk)];
    let words: Vec<String> =
        words.into_iter().filter_map(|(name, value)| value.map(|v| format!("{name} {v:.0} %"))).collect();
    words.join(", ")
}

/// Ticks of each CPU below which a mean since the pass before would be noise (a second).
const FEWEST_TICKS: u64 = 100;

/// Mean use of all CPUs since the pass before, else over a second; and the counters for the next pass.
fn cpu_percent(moment: &Moment) -> (Option<f64>, Option<HostSample>) {
    let Some(now) = read_cpu() else { return (None, None) };
    if let Some(percent) = moment.previous.host.as_ref().and_then(|earlier| busy(earlier, &now)) {
        return (Some(percent), Some(now));
    }
    std::thread::sleep(WATCH.min(moment.left() / 2));
    let Some(later) = read_cpu() else { return (None, Some(now)) };
    let elapsed = later.total.saturating_sub(now.total);
    let percent = if elapsed == 0 { None } else { share(&now, &later) };
    (percent, Some(later))
}

fn read_cpu() -> Option<HostSample> {
    parse_cpu(&std::fs::read_to_string("/proc/stat").ok()?, boot_id())
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guests are part of user.
fn parse_cpu(stat: &str, boot_id: String) -> Option<HostSample> {
    let ticks: Vec<u64> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_ascii_whitespace()
        .take(8)
        .map_while(|t| t.parse().ok())
        .collect();
    let [_, _, _, idle, rest @ ..] = ticks.as_slice() else { return None };
    let idle = idle + rest.first().unwrap_or(&0);
    let cpus = stat.lines().skip(1).take_while(|l| l.starts_with("cpu")).count() as u64;
    Some(HostSample { boot_id, cpus, total: ticks.iter().sum(), idle })
}

/// Busy share between two readings, where they are of the same boot and far enough apart.
fn busy(earlier: &HostSample, later: &HostSample) -> Option<f64> {
    let apart = later.total.checked_sub(earlier.total)? >= FEWEST_TICKS * later.cpus.max(1);
    if apart && earlier.boot_id == later.boot_id { share(earlier, later) } else { None }
}

fn share(earlier: &HostSample, later: &HostSample) -> Option<f64> {
    let total = later.total.checked_sub(earlier.total).filter(|t| *t > 0)? as f64;
    // The idle counters of the kernel may step back a little.
    let idle = later.idle.saturating_sub(earlier.idle) as f64;
    Some((100.0 - idle * 100.0 / total).clamp(0.0, 100.0))
}

/// Memory that new programs could not have, of all.
fn memory_percent() -> Option<f64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    let (total, available) = (system.total_memory(), system.available_memory());
    (total > 0).then(|| total.saturating_sub(available) as f64 * 100.0 / total as f64)
}

/// A mounted disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    path: PathBuf,
    /// May hang for as long as its server is gone.
    remote: bool,
}

fn read_mounts() -> Vec<Mount> {
    parse_mounts(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

const LOCAL: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "zfs", "f2fs", "jfs", "reiserfs", "vfat", "exfat", "ntfs",
    "ntfs3", "fuseblk", "nilfs2", "ubifs",
];
const REMOTE: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "fuse.rclone",
    "9p",
    "virtiofs",
    "gfs2",
    "ocfs2",
    "lustre",
    "afs",
];

/// The disks of `/proc/self/mountinfo` that somebody can write to, each device once (by its shortest path): what a bind
/// mount shows again, memory file systems and read-only images cannot fill up.
fn parse_mounts(mountinfo: &str) -> Vec<Mount> {
    let mut by_device: BTreeMap<&str, Mount> = BTreeMap::new();
    for line in mountinfo.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let before: Vec<&str> = before.split(' ').collect();
        let after: Vec<&str> = after.split(' ').collect();
        let (&[_, _, device, _, path, ..], &[kind, _, super_options, ..]) = (before.as_slice(), after.as_slice())
        else {
            continue;
        };
        let remote = REMOTE.contains(&kind);
        // In a container the root is what the container can fill.
        let is_disk = remote || LOCAL.contains(&kind) || (path == "/" && kind == "overlay");
        // Of the disk, not of this mount: in a sandbox (systemd's `ProtectSystem=strict`) every mount is read-only.
        let read_only = super_options.split(',').any(|option| option == "ro");
        if !is_disk || read_only {
            continue;
        }
        let mount = Mount { path: unescaped(path).into(), remote };
        let known = by_device.entry(device).or_insert_with(|| mount.clone());
        if mount.path.as_os_str().len() < known.path.as_os_str().len() {
            *known = mount;
        }
    }
    let mut mounts: Vec<Mount> = by_device.into_values().collect();
    mounts.sort_by(|a, b| a.path.cmp(&b.path));
    mounts
}

/// The kernel writes blanks, tabs, newlines and backslashes of a path as octal.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (code, plain)| path.replace(code, plain))
}

/// Disks that have been asked, the remote ones each on a thread of its own, because one of them may never answer.
struct Asked {
    mounts: Vec<Mount>,
    answers: std::sync::mpsc::Receiver<(PathBuf, Option<f64>)>,
}

impl Asked {
    fn all(mounts: Vec<Mount>) -> Asked {
        let (sender, answers) = channel();
        for mount in &mounts {
            let (sender, path) = (sender.clone(), mount.path.clone());
            let ask = move || drop(sender.send((path.clone(), used_percent(&path))));
            if mount.remote {
                let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(ask);
            } else {
                ask();
            }
        }
        Asked { mounts, answers }
    }

    /// How full each is; `None` for one that has not answered in `wait`. One that is no disk after all is left out.
    fn answers(self, wait: Duration) -> Vec<(PathBuf, Option<f64>)> {
        let until = Instant::now() + wait;
        let mut found: BTreeMap<PathBuf, Option<f64>> = BTreeMap::new();
        while let Ok((path, percent)) = self.answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
            found.insert(path, percent);
        }
        let each = self.mounts.into_iter().filter_map(|mount| match found.get(&mount.path) {
            Some(None) => None,
            Some(percent) => Some((mount.path, *percent)),
            None => Some((mount.path, None)),
        });
        each.collect()
    }
}

/// As `df` counts: of what an ordinary user can have. `None` where there are no blocks or no access.
fn used_percent(path: &Path) -> Option<f64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    let all = used + stat.f_bavail;
    (all > 0).then(|| used as f64 * 100.0 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_the_mean_between_two_readings_of_one_boot() {
        let first = parse_cpu("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2\n", "a".into()).unwrap();
        assert_eq!((first.total, first.idle, first.cpus), (1000, 800, 1));
        let later = |total, idle, boot: &str| HostSample { boot_id: boot.into(), cpus: 1, total, idle };
        for (second, percent) in [
            (later(1100, 850, "a"), Some(50.0)),
            (later(1100, 900, "a"), Some(0.0)),
            (later(1100, 800, "a"), Some(100.0)),
            (later(1100, 790, "a"), Some(100.0)),
            (later(1099, 850, "a"), None),
            (later(1100, 850, "b"), None),
            (later(900, 700, "a"), None),
        ] {
            assert_eq!(busy(&first, &second), percent, "{second:?}");
        }
        assert_eq!(parse_cpu("intr 1 2 3", "a".into()), None);
    }

    #[test]
    fn only_real_writable_disks_count_and_each_once() {
        let mountinfo = "\
            22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            23 22 8:1 /srv /mnt/bind rw - ext4 /dev/sda1 rw\n\
            24 22 0:5 / /proc rw - proc proc rw\n\
            25 22 0:6 / /run rw - tmpfs tmpfs rw\n\
            26 22 7:1 / /snap/x/1 ro - squashfs /dev/loop1 ro\n\
            27 22 8:2 / /media/disk\\040one rw - xfs /dev/sda2 rw\n\
            28 22 8:3 / /archive ro,relatime - ext4 /dev/sda3 rw\n\
            29 22 8:4 / /frozen rw - ext4 /dev/sda4 ro,errors=remount-ro\n\
            30 22 0:40 / /nfs rw - nfs4 srv:/x rw\n\
            31 22 0:50 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n\
            broken line\n";
        let found: Vec<(String, bool)> =
            parse_mounts(mountinfo).into_iter().map(|m| (m.path.display().to_string(), m.remote)).collect();
        let expected = [("/", false), ("/archive", false), ("/media/disk one", false), ("/nfs", true)];
        assert_eq!(found, expected.map(|(path, remote)| (path.to_owned(), remote)));
    }

    #[test]
    fn a_read_only_sandbox_hides_no_disk() {
        // What a service with ProtectSystem=strict, ReadWritePaths=/var/lib/healer and PrivateTmp=yes sees.
        let mountinfo = "\
            512 420 254:1 / / ro,relatime shared:300 master:1 - ext4 /dev/vda1 rw,errors=remount-ro\n\
            513 512 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:301 - proc proc rw\n\
            514 512 254:16 / /data ro,noatime shared:302 master:31 - xfs /dev/vdb rw,attr2,noquota\n\
            515 512 254:32 / /boot/image ro,relatime shared:303 master:32 - ext4 /dev/vdc ro\n\
            516 512 254:1 /var/lib/healer /var/lib/healer rw,relatime shared:304 master:1 - ext4 /dev/vda1 rw\n\
            517 512 254:1 /var/tmp/systemd-private-x/tmp /tmp rw,relatime shared:305 - ext4 /dev/vda1 rw\n";
        let paths: Vec<PathBuf> = parse_mounts(mountinfo).into_iter().map(|m| m.path).collect();
        assert_eq!(paths, [Path::new("/"), Path::new("/data")]);
    }

    #[test]
    fn this_host_can_be_read() {
        assert!(read_cpu().is_some());
        assert!(memory_percent().is_some_and(|p| (0.0..=100.0).contains(&p)));
    }
}
