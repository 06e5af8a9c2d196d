//! `healer reset`: a human has looked; fixes may touch this target again.

use crate::attempts::{self, Line};
use crate::breaker;
use crate::commands::{Usage, open_fix, unknown};
use crate::config::Engine;
use crate::host::{clock, lock};
use crate::pass::Busy;
use crate::show::{Output, json};
use crate::state::StateDir;
use anyhow::{Result, bail};

pub fn run(engine: &Engine, target: &str, out: &Output) -> Result<u8> {
    let dir = StateDir::of(engine);
    let attempts = attempts::read(&dir.attempts())?;
    let held: Vec<&str> = attempts.held.iter().map(|h| h.target.as_str()).collect();
    let open = breaker::open_targets(&attempts, &clock::moment(), &engine.limits);
    let all: Vec<&str> = held.into_iter().chain(open.iter().map(|o| o.target.as_str())).collect();
    if all.is_empty() {
        bail!(Usage(format!("there is no held target `{}`; nothing is held", target.escape_debug())));
    }
    if !all.contains(&target) {
        bail!(Usage(unknown("held target", target, all.iter().copied())));
    }
    dir.prepare()?;
    let _lock = lock::try_lock(&dir.lock())?.map_err(Busy)?;
    open_fix::end(engine, &dir, out)?;
    attempts::append(&dir.attempts(), &Line::Release { at: clock::moment(), target: target.to_owned() })?;
    crate::event_log::append(&dir, clock::now(), "reset", serde_json::json!({ "target": target }))?;
    out.document(|| json::success(serde_json::json!({ "target": target })));
    out.prose(&format!("{target} is released"), 2);
    Ok(0)
}
