//! `healer init`: a first configuration from what is here, and the units that run it.

use crate::config::{self, Engine, Options, Redactor};
use crate::init::{self, Written, systemd};
use crate::show::init::{self as shown, Done};
use crate::show::{Output, json};
use anyhow::{Context, Result};
use std::path::Path;

pub fn run(options: &Options, with_units: bool, out: &Output) -> Result<u8> {
    let target = config::target(options);
    let with_units = with_units && prepared(out);
    let mut installed = systemd::Installed::default();
    // With the units there is something to do beside a configuration that is kept.
    let keeps = with_units && init::is_written(&target)?;
    if !keeps {
        init::check_free(&target)?;
    }
    if with_units {
        systemd::make_group(&mut installed)?;
    }
    let written = if keeps { None } else { Some(init::run(&target, options)?) };
    if with_units {
        match &written {
            Some(written) => systemd::install(&written.engine, &target, &mut installed).with_context(|| {
                let option = config::option(&target);
                format!(
                    "{} is written, but not all units are: run `healer {option}init --systemd` again",
                    target.display()
                )
            })?,
            None => {
                init::open_to_group(&target);
                systemd::install(&kept(&target, options)?, &target, &mut installed)?;
            }
        }
    }
    let is_root = rustix::process::geteuid().is_root();
    let done = Done {
        config: &target,
        written: written.as_ref(),
        installed: with_units.then_some(&installed),
        systemd_runs: systemd::runs(),
        cron: systemd::cron_line(&target, is_root),
        is_root,
    };
    let out = &Output { redactor: redactor(written.as_ref()), ..out.clone() };
    out.document(|| json::success(shown::document(&done)));
    out.text(&shown::text(&done, out));
    Ok(0)
}

/// Without systemd there are no units; that is said, and the rest is done.
fn prepared(out: &Output) -> bool {
    let runs = systemd::runs();
    if !runs {
        out.note("systemd does not run this host (/run/systemd/system is not there): no unit is installed");
    }
    runs
}

fn kept(target: &Path, options: &Options) -> Result<Engine> {
    let options = Options { config: Some(target.to_owned()), ..options.clone() };
    Ok(config::load_with(&options, &config::SecretsWhereKnown)?)
}

fn redactor(written: Option<&Written>) -> Redactor {
    written.map(|w| w.engine.redactor.clone()).unwrap_or_default()
}
