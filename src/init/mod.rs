//! `healer init`: looks at what is here, tries what it would watch, and writes a configuration of it.
//!
//! Lives here: looking (`docker`, `logs`, `mounts`, `units`, `attempt`), the text that is made of it (`servers`,
//! `propose`, `sample`, `write`, all pure), putting it into its place (`place`), and the units of systemd (`systemd`).
//! May not live here: what a check sees and what a selector means; both are the product's own.

mod attempt;
mod docker;
pub mod found;
mod logs;
mod mounts;
mod place;
mod propose;
mod sample;
mod servers;
pub mod systemd;
mod units;
mod write;

pub use place::open_to_group;

use crate::config::{self, Engine, LoadError};
use crate::host::clock;
use crate::rehearsal;
use crate::review::{self, Depth};
use anyhow::{Result, anyhow};
use attempt::Planned;
use found::{Credential, Found, Kind};
use place::{Draft, There};
use propose::Proposed;
use std::path::{Path, PathBuf};

/// What a run has found and written.
#[derive(Debug)]
pub struct Written {
    pub found: Found,
    pub config: PathBuf,
    /// Every file, the configuration first.
    pub files: Vec<PathBuf>,
    pub rules: Vec<String>,
    /// What `healer config check --offline` remarks.
    pub warnings: usize,
    /// As it was written, for what comes next.
    pub engine: Engine,
}

/// Whether a configuration can be written there.
///
/// # Errors
/// When there is one that is not the package's own.
pub fn check_free(target: &Path) -> Result<()> {
    match place::look(target)? {
        There::Nothing | There::Shipped => Ok(()),
        There::Somebodys => Err(place::exists(target)),
    }
}

/// Whether there is a configuration that is to be kept.
///
/// # Errors
/// When it cannot be told.
pub fn is_written(target: &Path) -> Result<bool> {
    Ok(place::look(target)? == There::Somebodys)
}

/// Looks, tries, writes.
///
/// # Errors
/// When nothing could be written: everything is then as it was.
pub fn run(target: &Path, options: &config::Options) -> Result<Written> {
    check_free(target)?;
    let credentials = target.parent().unwrap_or(Path::new("/")).join("credentials");
    let found = look(&credentials)?;
    let planned = Planned::of(&found.servers);
    let today = clock::now().strftime("%Y-%m-%d").to_string();
    let (draft, engine, rules) = draft(target, options, &found, &planned, &today)?;
    let warnings = review::review(&engine, Depth::Offline).len();
    let all: Vec<Credential> = found.servers.iter().filter_map(|s| s.used_credential().cloned()).collect();
    let written = place::credentials(&all)?;
    if let Err(error) = draft.place() {
        place::take_back(&written);
        return Err(error);
    }
    let files = std::iter::once(target.to_owned()).chain(written).collect();
    Ok(Written { found, config: target.to_owned(), files, rules, warnings, engine })
}

/// Looks at everything at the same time, then tries what may be watched.
fn look(credentials: &Path) -> Result<Found> {
    let cannot = |e: std::io::Error| anyhow!("cannot start a thread: {e}");
    let mut taken = vec!["docker".to_owned(), "host".to_owned()];
    let mut journal = None;
    let (mut unit_names, mut too_many) = (taken.clone(), Vec::new());
    let mut found = std::thread::scope(|scope| {
        let units = std::thread::Builder::new().spawn_scoped(scope, || {
            journal = units::journal_problem();
            units::look(&mut unit_names, &mut too_many)
        });
        let mut found = docker::look(credentials, &mut taken);
        found.units = units.map_err(cannot)?.join().unwrap_or_default();
        Ok::<_, anyhow::Error>(found)
    })?;
    found.journal = journal;
    found.left_out.extend(too_many);
    // A unit that is named as a container's check is.
    for unit in &mut found.units {
        unit.name = found::free_name(&unit.name, &mut taken);
    }
    for (kind, port) in [(Kind::Postgres, 5432), (Kind::Redis, 6379)] {
        let is_there = |server: &found::Server| server.urls.iter().any(|url| url.contains(&format!(":{port}/")));
        let is_left = found.left_ports.contains(&port);
        if !is_left && !found.servers.iter().any(is_there) && attempt::listens(port) {
            found.servers.push(servers::of_port(kind, port, &mut taken));
        }
    }
    let mounted = mounts::own(&found.containers);
    let directories: Vec<PathBuf> = mounted
        .iter()
        .map(|(_, path)| path.clone())
        .filter(|path| path.is_dir() && found::can_be_named(path))
        .collect();
    let (mut left_out, mut odd) = (Vec::new(), Vec::new());
    let (in_mounts, log_files) = std::thread::scope(|scope| {
        let in_mounts = std::thread::Builder::new().spawn_scoped(scope, || mounts::look(&mounted));
        let log_files =
            std::thread::Builder::new().spawn_scoped(scope, || logs::look(&directories, &mut left_out, &mut odd));
        attempt::all(&mut found);
        let in_mounts = in_mounts.map_err(cannot)?.join().unwrap_or_default();
        Ok::<_, anyhow::Error>((in_mounts, log_files.map_err(cannot)?.join().unwrap_or_default()))
    })?;
    if in_mounts.cut_off {
        left_out.push("files that containers mount: there were too many to look at all of them".to_owned());
    }
    odd.extend(in_mounts.odd);
    odd.sort();
    odd.dedup();
    left_out.extend((!odd.is_empty()).then(|| unnameable(&odd)));
    (found.logs, found.literals, found.environments) = (log_files, in_mounts.literals, in_mounts.environments);
    found.left_out.extend(left_out);
    only_written(&mut found);
    Ok(found)
}

fn unnameable(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().take(3).map(|path| crate::text::clean(&format!("{path:?}"))).collect();
    let more = if paths.len() > 3 { format!(" and {} more", paths.len() - 3) } else { String::new() };
    format!("paths that no configuration can name: {}{more}", shown.join(", "))
}

/// A check depends only on such as are written.
fn only_written(found: &mut Found) {
    let works = |s: &&found::Server| s.working().is_some();
    let written: Vec<String> = found.servers.iter().filter(works).map(|s| s.name.clone()).collect();
    found.servers.iter_mut().for_each(|server| server.depends_on.retain(|name| written.contains(name)));
}

/// The configuration, beside its place, sound and with tests that pass: a rule whose test does not is left out.
fn draft(
    target: &Path,
    options: &config::Options,
    found: &Found,
    secrets: &Planned,
    today: &str,
) -> Result<(Draft, Engine, Vec<String>)> {
    let mut rules = propose::rules(found, config::more_rules(target));
    let option = config::option(target);
    loop {
        let draft = Draft::write(target, &write::text(found, &rules, today, &option))?;
        let options = config::Options { config: Some(draft.path().to_owned()), ..options.clone() };
        let engine = config::load_with(&options, secrets).map_err(|e| unsound(e, draft.path()))?;
        let failing: Vec<&str> = rules.iter().map(|r| r.name.as_str()).filter(|name| fails(&engine, name)).collect();
        if failing.is_empty() {
            return Ok((draft, engine, rules.into_iter().map(|rule| rule.name).collect()));
        }
        let kept = |rule: &&Proposed| !failing.contains(&rule.name.as_str());
        rules = rules.iter().filter(kept).cloned().collect();
    }
}

/// Files of `rules.d` are the operator's, who can mend them.
fn unsound(error: LoadError, draft: &Path) -> anyhow::Error {
    let theirs: Vec<_> = error.errors().iter().filter(|e| e.file != draft).cloned().collect();
    if theirs.is_empty() {
        return anyhow!("what init would write is not sound, so nothing was written; please report this: {error}");
    }
    anyhow!(
        "a file that is here already is not sound, so nothing was written: mend it, or move it away, and run init again\n\
         {}",
        LoadError::new(theirs)
    )
}

fn fails(engine: &Engine, rule: &str) -> bool {
    let Some(rule) = engine.rule(rule) else { return true };
    rule.tests.iter().any(|test| !rehearsal::of_rule(engine, rule, test, clock::now()).is_empty())
}
