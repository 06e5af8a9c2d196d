//! `healer check`: health of every component, read-only, for people, scripts and monitoring systems.

use crate::commands::{Usage, unknown};
use crate::config::Engine;
use crate::host::clock;
use crate::model::Status;
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
    // That nothing is known is no health.
    let status = if results.is_empty() { Status::Unknown } else { state::overall(&results) };
    out.document(|| {
        let mut body = json::health(&results);
        if let Some(body) = body.as_object_mut() {
            body.insert("overall_status".into(), status.word().into());
        }
        json::success(body)
    });
    out.text(&checks::plugin_line(&results));
    if !out.quiet && !results.is_empty() {
        out.text(&checks::plain(&checks::table(&results, out)));
    }
    Ok(status.plugin_code())
}
