//! `healer pause` and `healer resume`: no fix is made for a while. They take no lock, so that they work while a pass does.

use crate::commands::{Usage, duration, known_rule};
use crate::config::Engine;
use crate::event_log;
use crate::host::{clock, lock};
use crate::pause::{self, Pause};
use crate::show::status::{end_of, until};
use crate::show::{Output, json};
use crate::state::StateDir;
use anyhow::{Result, bail};

pub fn pause(engine: &Engine, time: &str, reason: &str, rule: Option<&str>, out: &Output) -> Result<u8> {
    let rule = rule.map(|name| known_rule(engine, name)).transpose()?;
    let length = duration(time, "pause")?;
    if length.is_zero() {
        bail!(Usage("a pause of no time is none: `healer resume` ends one".to_owned()));
    }
    if reason.trim().is_empty() {
        bail!(Usage("--reason is empty: whoever finds fixes paused at night will ask why".to_owned()));
    }
    let dir = StateDir::of(engine);
    dir.prepare()?;
    let now = clock::moment();
    let new = Pause {
        since: now.clone(),
        seconds: length.as_secs().max(1),
        reason: engine.redactor.redact(reason.trim()).into_owned(),
        by: who(),
        rule: rule.map(str::to_owned),
    };
    let _lock = lock::wait_briefly(&dir.small_lock())?;
    let mut pauses = pause::read(&dir.pauses(), &now)?;
    pauses.retain(|p| p.rule != new.rule);
    pauses.push(new.clone());
    pause::write(&dir.pauses(), &pauses)?;
    let ends = clock::to_second(end_of(length, now.t)).to_string();
    let data = serde_json::json!({
        "seconds": new.seconds, "until": ends, "reason": new.reason, "by": new.by, "rule": new.rule,
    });
    event_log::append(&dir, now.t, "paused", data.clone())?;
    out.document(|| json::success(data));
    let of = rule.map(|rule| format!(" of rule {rule}")).unwrap_or_default();
    out.prose(
        &format!("fixes{of} are paused {}; checks and alerts go on; `healer resume` ends it", until(length, now.t)),
        2,
    );
    Ok(0)
}

pub fn resume(engine: &Engine, out: &Output) -> Result<u8> {
    let dir = StateDir::of(engine);
    dir.prepare()?;
    let _lock = lock::wait_briefly(&dir.small_lock())?;
    let was = dir.pauses().exists();
    pause::write(&dir.pauses(), &[])?;
    if was {
        event_log::append(&dir, clock::now(), "resumed", serde_json::json!({ "by": who() }))?;
    }
    out.document(|| json::success(serde_json::json!({ "was_paused": was })));
    out.prose(if was { "fixes are made again" } else { "fixes were not paused" }, 2);
    Ok(0)
}

/// Who typed it: behind `sudo` the one who called it.
pub(super) fn who() -> String {
    let named =
        [crate::serve::BY_VARIABLE, "SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
