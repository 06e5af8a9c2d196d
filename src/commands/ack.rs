//! `healer ack`: an incident has been seen; no more alerts for it. Takes no lock, so that it works while a pass does.

use crate::ack::{self, Ack};
use crate::commands::{NoSuchIncident, Usage, duration, pause};
use crate::config::Engine;
use crate::diagnose::rules::shown;
use crate::event_log;
use crate::host::{clock, lock};
use crate::show::{Output, json};
use crate::state::{Memory, StateDir};
use anyhow::{Result, anyhow, bail};

pub fn run(engine: &Engine, incident: &str, time: Option<&str>, out: &Output) -> Result<u8> {
    let length = time.map(|time| duration(time, "--for")).transpose()?;
    if length.is_some_and(|length| length.is_zero()) {
        bail!(Usage("--for no time acknowledges nothing".to_owned()));
    }
    let dir = StateDir::of(engine);
    let (memory, _) = Memory::load(&dir);
    let open = memory.incidents.iter().find(|i| i.id == incident);
    let open = open.ok_or_else(|| {
        let ids = memory.incidents.iter().map(|i| i.id.as_str());
        anyhow!(NoSuchIncident(match memory.incidents.is_empty() {
            true => format!("no incident is open, so none is `{}`", incident.escape_debug()),
            false => crate::commands::unknown("open incident", incident, ids),
        }))
    })?;
    dir.prepare()?;
    let now = clock::moment();
    let new = Ack {
        incident: open.id.clone(),
        since: now.clone(),
        seconds: length.map(|length| length.as_secs().max(1)),
        by: pause::who(),
    };
    let _lock = lock::wait_briefly(&dir.small_lock())?;
    let mut acks = ack::read(&dir.acks(), &now)?;
    acks.retain(|a| a.incident != new.incident && memory.incidents.iter().any(|i| i.id == a.incident));
    acks.push(new.clone());
    ack::write(&dir.acks(), &acks)?;
    let data = serde_json::json!({ "incident": new.incident, "seconds": new.seconds, "by": new.by });
    event_log::append(&dir, now.t, "acknowledged", data.clone())?;
    out.document(|| json::success(data));
    let until = length.map_or("until it is over".to_owned(), |length| format!("for {}", shown(length)));
    out.prose(&format!("no more alerts for {} {until}; checks and fixes go on", open.id), 2);
    Ok(0)
}
