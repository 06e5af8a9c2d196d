//! Clocks. The pass reads them once and hands the moment on as a value; waiting uses the boot clock.

use crate::model::Moment;
use jiff::Timestamp;
use std::sync::OnceLock;
use std::time::Duration;

/// The wall clock.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Both clocks.
pub fn moment() -> Moment {
    Moment { t: now(), boot: boot_id(), up: since_boot().as_secs_f64() }
}

/// Time since boot, suspend included: durations within a boot that a changed wall clock cannot bend.
pub fn since_boot() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(t.tv_sec.try_into().unwrap_or(0), t.tv_nsec.try_into().unwrap_or(0))
}

/// Time since boot without the time that the host slept: the clock of systemd's monotonic timestamps.
pub fn awake() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(t.tv_sec.try_into().unwrap_or(0), t.tv_nsec.try_into().unwrap_or(0))
}

/// The time of day on this host.
pub fn local(now: Timestamp) -> jiff::civil::DateTime {
    jiff::tz::TimeZone::system().to_datetime(now)
}

/// Which boot this is: counters of another one mean nothing. Empty where the kernel does not say.
pub fn boot_id() -> String {
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    BOOT.get_or_init(|| read().map(|id| id.trim().to_owned()).unwrap_or_default()).clone()
}

/// From `earlier` to `later`; zero when the clock was set back in between.
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    later.duration_since(earlier).try_into().unwrap_or(Duration::ZERO)
}

/// `2025-10-19T17:00:00Z`: to the second, as in every output.
pub fn to_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
