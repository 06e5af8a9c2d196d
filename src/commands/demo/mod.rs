//! `healer demo`: two whole passes on small workers of its own, with nothing but this binary and `/bin/sh`.
//!
//! What is shown is not a film: each command that is printed is run as a child, exactly as an operator would type it,
//! on a configuration, workers and logs in a temporary directory that is gone afterwards.

mod worker;

use crate::commands::Usage;
use crate::host::signals::Interrupt;
use crate::show::Output;
use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use worker::Worker;

/// The demonstration's own directory; removed when dropped.
struct Stage {
    root: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// How long a worker may need for its first errors.
const PATIENCE: Duration = Duration::from_secs(15);
/// Errors that the rules of the demonstration ask for, and one more.
const ERRORS: usize = 6;

pub fn run(out: &Output) -> Result<u8> {
    if out.json {
        bail!(Usage("the demonstration is for people: it has no --json".to_owned()));
    }
    let interrupt = Interrupt::install()?;
    let stage = set_up()?;
    say(out, "A worker sends a request every 200 ms; its upstream allows one every 250 ms.");
    let first = Worker::start(&stage.root, "sender", Some(250))?;
    first.wait_for_errors(ERRORS, PATIENCE, &interrupt)?;
    say(out, "Its log fills with 429. What does healer see, and what would it do?");
    let shown = [show(&stage, &["check"], out, &interrupt)?, show(&stage, &["diagnose"], out, &interrupt)?];
    say(out, "Now the same pass for real: backup, edit, 6 seconds of watching, verdict.");
    let healed = show(&stage, &["heal"], out, &interrupt)?;
    drop(first);

    say(out, "A second worker is limited whatever its pace: the same fix will not help.");
    let second = Worker::start(&stage.root, "importer", None)?;
    second.wait_for_errors(ERRORS, PATIENCE, &interrupt)?;
    let rolled_back = show(&stage, &["heal"], out, &interrupt)?;
    drop(second);
    say(out, "What is remembered, and what could still be undone:");
    show(&stage, &["stats"], out, &interrupt)?;
    show(&stage, &["backups"], out, &interrupt)?;
    drop(stage);

    // check: healthy; diagnose: done; then the one fix kept, the other rolled back.
    if (shown, healed, rolled_back) != ([0, 0], 0, 12) {
        bail!(
            "the demonstration did not go as it should (exit codes {shown:?}, {healed}, {rolled_back}): on a very busy \
             machine try again, else please report it"
        );
    }
    say(out, "The first fix was kept, the second one undone byte for byte. Nothing is left behind.");
    Ok(0)
}

fn set_up() -> Result<Stage> {
    let root = std::env::temp_dir().join(format!("healer-demo-{}", std::process::id()));
    let make = || -> std::io::Result<Stage> {
        std::fs::create_dir(&root)?;
        let stage = Stage { root: std::fs::canonicalize(&root)? };
        let config = include_str!("healer.toml").replace("@ROOT@", &stage.root.display().to_string());
        std::fs::write(stage.root.join("healer.toml"), config)?;
        for name in ["sender", "importer"] {
            std::fs::write(file_of(&stage.root, name, "log"), "")?;
        }
        Ok(stage)
    };
    make().with_context(|| format!("cannot set up the demonstration in {}", root.display()))
}

fn say(out: &Output, text: &str) {
    out.text("");
    out.text(&out.bold(&format!("# {text}")));
}

/// Runs this very binary with these arguments, its output going where ours goes; returns its exit code.
fn show(stage: &Stage, args: &[&str], out: &Output, interrupt: &Interrupt) -> Result<u8> {
    if interrupt.asked() {
        bail!("interrupted");
    }
    out.text("");
    out.text(&out.bold(&format!("$ healer {}", args.join(" "))));
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let status = Command::new(&program)
        .args(args)
        .arg("--config")
        .arg(stage.root.join("healer.toml"))
        .args(["--color", if out.color { "always" } else { "never" }])
        .env_remove("HEALER_CONFIG")
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let code = status.code().ok_or_else(|| anyhow!("`healer {}` was ended by a signal", args.join(" ")))?;
    u8::try_from(code).map_err(|_| anyhow!("`healer {}` ended with {code}", args.join(" ")))
}

/// The path of a worker's file.
fn file_of(root: &Path, name: &str, extension: &str) -> PathBuf {
    root.join(format!("{name}.{extension}"))
}
