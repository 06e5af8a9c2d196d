//! Ending what an earlier pass left open: the first thing that every command does that writes. `heal` does it as part of
//! its pass.

use crate::alert::Post;
use crate::config::Engine;
use crate::host::clock;
use crate::host::signals::Interrupt;
use crate::logs::LogState;
use crate::pass;
use crate::show::Output;
use crate::show::live::Live;
use crate::state::{Memory, StateDir};
use crate::tell::{self, PassTell};
use crate::transaction::{self, Ended, Ground};
use anyhow::Result;

pub use crate::documents::docker;

/// Runs `act` on the ground of a transaction, under the lock that the caller holds.
pub fn on_ground<T>(
    engine: &Engine,
    dir: &StateDir,
    out: &Output,
    act: impl FnOnce(&mut Ground) -> Result<T>,
) -> Result<T> {
    let interrupt = Interrupt::install()?;
    let docker = docker(engine);
    let mut live = Live::new(out.clone(), Some(dir.clone()));
    act(&mut Ground { engine, dir, docker: docker.as_ref(), interrupt: &interrupt, tell: &mut live })
}

/// Ends it, tells how, and returns that; `None` when nothing was open. Beside a `STOP` file it stays as it is.
///
/// # Errors
/// When the journal cannot be read.
pub fn end(engine: &Engine, dir: &StateDir, out: &Output) -> Result<Option<Ended>> {
    if let (Some(open), Some(stop)) = (transaction::report_open(dir)?, pass::stop_file(engine)) {
        out.note(&format!("{open}; {stop} is there, so it is left as it is"));
        return Ok(None);
    }
    let (mut memory, _) = Memory::load(dir);
    let (mut logs, _): (LogState, _) = LogState::load(&dir.cursors())?;
    let ended = on_ground(engine, dir, out, |ground| transaction::recover(&mut logs, &mut memory.samples, ground))?;
    if let Some(ended) = &ended {
        logs.save(&dir.cursors(), &engine.redactor)?;
        let alerts = tell::of_ended(engine, ended, clock::now());
        Live::new(out.clone(), Some(dir.clone())).alerts(&alerts);
        let mut post = Post::open(engine, dir);
        post.send(&alerts);
        post.finish().iter().for_each(|problem| out.note(&format!("healer: {problem}")));
    }
    Ok(ended)
}
