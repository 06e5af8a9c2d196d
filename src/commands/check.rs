//! `healer check`: health of every component, read-only, for people, scripts and monitoring systems.

use crate::commands::{Usage, unknown};
use crate::config::Engine;
use crate::host::clock;
use crate::observe;
use crate::show::{Output, checks, json};
use crate::state::{self, Memory, StateDir};
use anyhow::{Result, bail};

pub fn run(engine: &Engine, names: &[String], out: &Output) -> Result<u8> {
    for name in names {
        if engine.check(name).is_none() {
            bail!(Usage(unknown("check", name, engine.checks.iter().map(|c| c.name.as_str()))));
        }
    }
    let (memory, _) = Memory::load(&StateDir::of(engine));
    let (results, _) = observe::run(engine, names, &memory.samples, clock::now());
    out.document(|| json::success(json::health(&results)));
    out.text(&checks::plugin_line(&results));
    if !out.quiet {
        out.text(&checks::plain(&checks::table(&results, out)));
    }
    Ok(state::overall(&results).plugin_code())
}
