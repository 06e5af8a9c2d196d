//! `healer serve` and `healer requests`: the server, and the unit that carries out what a server without rights has left.

use crate::cli::{Global, ServeArgs};
use crate::config::Engine;
use crate::serve::{self, Means, Options, Program};
use crate::show::{Output, json};
use crate::state::StateDir;
use anyhow::{Context, Result};
use std::path::Path;

pub fn run(engine: Engine, args: &ServeArgs, global: &Global, out: &Output) -> Result<u8> {
    let means = match &args.requests {
        Some(dir) => Means::Request(dir.clone()),
        None => Means::Child(program(&engine, global)?),
    };
    let options = Options {
        listen: args.listen.unwrap_or(engine.serve.listen),
        actions: args.enable_actions,
        checks: !args.no_checks,
        means,
    };
    serve::run(engine, options, |address| {
        out.note(&format!("healer: http://{address}/ is the dashboard"));
    })?;
    Ok(0)
}

/// Carries out what was left in a directory.
pub fn requests(engine: &Engine, dir: &Path, global: &Global, out: &Output) -> Result<u8> {
    let count = serve::carry_out(dir, &StateDir::of(engine), &program(engine, global)?)?;
    out.document(|| json::success(serde_json::json!({ "carried_out": count })));
    out.text(&crate::show::count(count as u64, "request"));
    Ok(0)
}

/// This program with the same configuration, wherever it is started.
fn program(engine: &Engine, global: &Global) -> Result<Program> {
    let mut options = Vec::new();
    if let Some(source) = &engine.source {
        let path = std::path::absolute(source).context("cannot tell where the configuration is")?;
        options.push(format!("--config={}", path.display()));
    }
    if let Some(dir) = &global.state_dir {
        let path = std::path::absolute(dir).context("cannot tell where the state directory is")?;
        options.push(format!("--state-dir={}", path.display()));
    }
    Ok(Program { options })
}
