//! `healer status`: how things stand, from what passes have left; no check is run and nothing is written.

use crate::attempts;
use crate::backup;
use crate::breaker;
use crate::config::{Engine, Mode};
use crate::host::{clock, lock};
use crate::learn;
use crate::matches;
use crate::pass;
use crate::pause;
use crate::show::status::{self, Status};
use crate::show::{Output, json};
use crate::state::{Memory, StateDir};
use crate::transaction;
use anyhow::Result;

pub fn run(engine: &Engine, out: &Output) -> Result<u8> {
    let dir = StateDir::of(engine);
    let (memory, warning) = Memory::load(&dir);
    let backups = backup::list(&dir.backups())?;
    let now = clock::moment();
    let attempts = attempts::read(&dir.attempts())?;
    let local = if engine.maintenance.is_empty() { Default::default() } else { clock::local(now.t) };
    let (pauses, unreadable) = match pause::read(&dir.pauses(), &now) {
        Ok(pauses) => (pauses, None),
        Err(error) => (Vec::new(), Some(format!("{error:#}; until then no fix is made"))),
    };
    let status = Status {
        now: now.clone(),
        suggest: engine.mode == Mode::Suggest,
        stop: pass::stop_file(engine),
        check_interval: engine.check_interval,
        running: lock::holder_of(&dir.lock()).map(|holder| holder.to_string()),
        open: transaction::report_open(&dir).unwrap_or_else(|error| Some(format!("{error:#}"))),
        silent: matches::silent(engine, &memory.matches).into_iter().map(|(_, why)| why).collect(),
        last_pass: memory.last_pass,
        incidents: memory.incidents,
        tripped: breaker::open_targets(&attempts, &now, &engine.limits),
        held: attempts.held,
        pauses,
        maintenance: pause::window_of_all(&engine.maintenance, local).map(|w| w.name.clone()),
        recent_backups: backups.into_iter().filter_map(|b| b.metadata.ok()).take(5).collect(),
        knowledge: learn::read(dir.knowledge_base(), None)?.with_self_recovery(memory.unaided.by_issue),
    };
    out.document(|| json::success(status::json(&status)));
    out.text(&status::text(&status, out));
    warning.iter().chain(&unreadable).for_each(|w| out.note(&format!("healer: {w}")));
    Ok(0)
}
