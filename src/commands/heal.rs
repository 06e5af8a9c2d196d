//! `healer heal`: one whole pass; exactly what the timer runs.

use crate::cli::Global;
use crate::commands::{Usage, confirmed, known_rule};
use crate::config::Engine;
use crate::pass::{self, Options, recording};
use crate::show::live::{Live, analysis_text};
use crate::show::{Output, json};
use crate::state::StateDir;
use crate::transaction;
use anyhow::{Result, anyhow, bail};
use std::path::Path;

pub fn run(engine: &Engine, options: Options, global: &Global, out: &Output) -> Result<u8> {
    let dry_run = options.dry_run;
    if let Some(rule) = &options.only {
        known_rule(engine, rule)?;
    }
    if let Some(file) = &options.record {
        can_be_recorded(file)?;
    }
    if let Some(id) = options.approve.as_deref().filter(|_| !dry_run) {
        if !id.starts_with("plan_") {
            bail!(Usage(format!("`{}` is no plan's id: `healer heal -n` shows them", id.escape_debug())));
        }
        if !confirmed(&format!("Apply plan {id}, if it is still the same?"), global, out) {
            out.note("nothing was done");
            return Ok(0);
        }
    }
    let dir = StateDir::of(engine);
    if dry_run && let Some(open) = transaction::report_open(&dir)? {
        out.note(&format!("{open}; a pass that may write ends it first"));
    }
    let mut live = Live::new(out.clone(), (!dry_run).then_some(dir));
    let passed = pass::run(engine, &options, &mut live);
    if passed.as_ref().err().is_none_or(|error| !error.is::<pass::Busy>()) {
        live.pass_ended(passed.as_ref());
    }
    let report = passed?;
    if dry_run {
        analysis_text(&report, out);
        let plan = report.permit(&options);
        if !report.judged.is_empty() {
            out.text("");
        }
        out.text(&plan.map_or("dry run: nothing would be changed".to_owned(), |p| {
            format!("dry run: {} would be carried out", p.plan().id)
        }));
    }
    if let Some(id) = options.approve.as_ref().filter(|_| report.approve_missed) {
        out.note(&format!(
            "plan {id} is none of this pass's any more: nothing was applied; `healer heal -n` shows what is"
        ));
    }
    let unapplied = !dry_run && !report.approve_missed && !report.interrupted && report.ended.is_none();
    if let Some(id) = options.approve.as_ref().filter(|_| unapplied) {
        out.note(&format!("plan {id} was not applied: its decision says why; nothing else was applied either"));
    }
    report.problems.iter().for_each(|p| out.note(&format!("healer: {p}")));
    out.document(|| json::success(json::pass(&report)));
    Ok(report.exit_code())
}

/// Before the pass: another file than a recording is not overwritten by a slip, and a directory that is missing is told.
fn can_be_recorded(file: &Path) -> Result<()> {
    let refuse = |why: &str| Err(anyhow!(Usage(format!("--record {}: {why}", file.display()))));
    let directory = file.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.is_dir() {
        return refuse("its directory does not exist");
    }
    match std::fs::metadata(file) {
        Err(_) => Ok(()),
        Ok(there) if there.is_file() && (there.len() == 0 || recording::read(file).is_ok()) => Ok(()),
        Ok(_) => refuse("it is there already and no recording; name another file"),
    }
}
