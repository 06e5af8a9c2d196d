//! `healer status`: how things stand, from what passes have left; no check is run and nothing is written.

use crate::attempts;
use crate::backup;
use crate::config::{Engine, Mode};
use crate::host::{clock, lock};
use crate::learn;
use crate::pass;
use crate::show::status::{self, Status};
use crate::show::{Output, json};
use crate::state::{Memory, StateDir};
use crate::transaction;
use anyhow::Result;

pub fn run(engine: &Engine, out: &Output) -> Result<u8> {
    let dir = StateDir::of(engine);
    let (memory, warning) = Memory::load(&dir);
    let backups = backup::list(&dir.backups())?;
    let status = Status {
        now: clock::now(),
        suggest: engine.mode == Mode::Suggest,
        stop: pass::stop_file(engine),
        check_interval: engine.check_interval,
        running: lock::holder_of(&dir.lock()).map(|holder| holder.to_string()),
        open: transaction::report_open(&dir).unwrap_or_else(|error| Some(format!("{error:#}"))),
        last_pass: memory.last_pass,
        incidents: memory.incidents,
        held: attempts::read(&dir.attempts())?.held,
        recent_backups: backups.into_iter().filter_map(|b| b.metadata.ok()).take(5).collect(),
        knowledge: learn::read(dir.knowledge_base(), None)?,
    };
    out.document(|| json::success(status::json(&status)));
    out.text(&status::text(&status, out));
    warning.iter().for_each(|w| out.note(&format!("healer: {w}")));
    Ok(0)
}
