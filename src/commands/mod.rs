//! One file per verb: load, call the stages, hand the result to `show`. May not live here: deciding.

mod ack;
mod backups;
mod check;
mod config;
mod demo;
mod diagnose;
mod heal;
mod history;
mod init;
mod notify;
mod open_fix;
mod pause;
mod reference;
mod replay;
mod reset;
mod rollback;
mod rule_show;
mod rule_test;
mod rules;
mod serve;
mod stats;
mod status;

use crate::backup::NoSuchBackup;
use crate::cli::{Cli, ColorChoice, Command, Global, Misuse, NotifyAction, RulesAction};
use crate::config::{self as configuration, ConfigError, Engine, LoadError, Redactor};
use crate::documents;
use crate::pass::{self, Busy};
use crate::show::{self, Output};
use crate::text::clean;
use crate::transaction::ChangedSince;
use anyhow::{Result, anyhow};
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

/// Wrong use of the command line that clap cannot see (exit 2).
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Changed by somebody else since, or a rollback that failed (exit 13).
#[derive(Debug)]
pub struct Conflict(pub String);

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Conflict {}

/// There is no open incident of this id (exit 14).
#[derive(Debug)]
pub struct NoSuchIncident(pub String);

impl std::fmt::Display for NoSuchIncident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoSuchIncident {}

/// Runs what was typed and returns the exit code.
pub fn run(cli: &Cli) -> u8 {
    let is_check = matches!(cli.command, Command::Check { .. });
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => report(cli, &error, is_check),
    }
}

/// Says what was wrong with what was typed and returns the exit code: `check` has the monitoring plugins' own word and
/// line for it, `--json` its document.
pub fn misused(misuse: &Misuse) -> u8 {
    let code = match (misuse.is_answer(), misuse.is_check) {
        (true, _) => 0,
        (false, true) => 3,
        (false, false) => 2,
    };
    let out = Output { json: misuse.json, ..output(&Global::default(), Redactor::default()) };
    if code != 0 {
        out.document(|| show::json::error(&misuse.message(), code));
    }
    if code == 3 {
        out.text(&unknown_line(&misuse.message()));
    }
    misuse.print();
    code
}

fn dispatch(cli: &Cli) -> Result<u8> {
    if matches!(cli.command, Command::Demo) {
        return demo::run(&output(&cli.global, Redactor::default()));
    }
    if let Command::Replay { file } = &cli.command {
        return replay::run(file, &output(&cli.global, Redactor::default()));
    }
    match &cli.command {
        Command::Completions { shell } => {
            return reference::completions(*shell, &output(&cli.global, Redactor::default()));
        }
        Command::Man { dir } => return reference::man(dir, &output(&cli.global, Redactor::default())),
        _ => {}
    }
    let options = configuration::Options { config: cli.global.config.clone(), state_dir: cli.global.state_dir.clone() };
    if let Command::Config { action } = &cli.command {
        return config::run(action, &options, &cli.global, &output(&cli.global, Redactor::default()));
    }
    if let Command::Init { systemd } = &cli.command {
        return init::run(&options, *systemd, &output(&cli.global, Redactor::default()));
    }
    let engine = match &cli.command {
        // Tested like code, also where nobody knows the secrets.
        Command::Rules { action: RulesAction::Test { .. } } => {
            configuration::load_with(&options, &configuration::SecretsWhereKnown)?
        }
        // It connects to nothing, and is not meant to know what passes know.
        Command::Serve(args) if args.no_checks => {
            configuration::load_with(&options, &configuration::SecretsWhereKnown)?
        }
        _ => configuration::load(&options)?,
    };
    let out = output(&cli.global, engine.redactor.clone());
    if !out.quiet {
        remark(&engine.warnings, &out);
    }
    let state_dir = engine.state_dir.clone();
    with_engine(cli, engine, &out).map_err(|error| who_may(error, &cli.command, &state_dir))
}

/// What passes leave is not for everybody: where it was refused, says who is let in.
fn who_may(error: anyhow::Error, command: &Command, state_dir: &Path) -> anyhow::Error {
    let is_of_state = || format!("{error:#}").contains(&*state_dir.to_string_lossy());
    if !documents::is_denied(&error) || !is_of_state() {
        return error;
    }
    let reads = matches!(
        command,
        Command::Status
            | Command::History { .. }
            | Command::Stats { .. }
            | Command::Diagnose { .. }
            | Command::Check { .. }
            | Command::Rules { .. }
    );
    error.context(if reads { "run it as root, or as a member of the group `healer`" } else { "run it as root" })
}

fn with_engine(cli: &Cli, engine: Engine, out: &Output) -> Result<u8> {
    match &cli.command {
        Command::Check { names } => check::run(&engine, names, out),
        Command::Diagnose { since, log, rule } => diagnose::run(&engine, since, log, rule.as_deref(), out),
        Command::Heal { dry_run, only, approve, record } => {
            let (only, approve, record) = (only.clone(), approve.clone(), record.clone());
            let options = pass::Options { dry_run: *dry_run, only, approve, record };
            heal::run(&engine, options, &cli.global, out)
        }
        Command::Backups { action } => backups::run(&engine, action.as_ref(), &cli.global, out),
        Command::Rollback { id, dry_run, force } => rollback::run(&engine, id, *dry_run, *force, &cli.global, out),
        Command::Status => status::run(&engine, out),
        Command::History { since } => history::run(&engine, since, out),
        Command::Stats { since } => stats::run(&engine, since.as_deref(), out),
        Command::Rules { action } => rules::run(&engine, action, out),
        Command::Pause { time, reason, rule } => pause::pause(&engine, time, reason, rule.as_deref(), out),
        Command::Ack { incident, time } => ack::run(&engine, incident, time.as_deref(), out),
        Command::Resume => pause::resume(&engine, out),
        Command::Notify { action: NotifyAction::Test } => notify::test(&engine, out),
        Command::Reset { target } => reset::run(&engine, target, out),
        Command::Serve(args) => serve::run(engine, args, &cli.global, out),
        Command::Requests { dir } => serve::requests(&engine, dir, &cli.global, out),
        Command::Demo
        | Command::Replay { .. }
        | Command::Config { .. }
        | Command::Init { .. }
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(0),
    }
}

/// A few remarks on the configuration are told whole. Many would bury what the command says, in the journal every five
/// minutes.
fn remark(warnings: &[ConfigError], out: &Output) {
    const FEW: usize = 2;
    if warnings.len() > FEW {
        let told =
            format!("warning: the configuration has {} warnings: `healer config check` shows them", warnings.len());
        return out.note(&told);
    }
    warnings.iter().for_each(|warning| out.note(&format!("warning: {}", warning.in_one_line())));
}

fn output(global: &Global, redactor: Redactor) -> Output {
    Output {
        json: global.json,
        quiet: global.quiet,
        verbose: global.verbose,
        color: match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => show::wants_color(),
        },
        width: show::terminal_width(),
        note_width: show::note_width(),
        live: std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb"),
        redactor,
    }
}

/// Says what went wrong and returns its code. For `check` every such thing is 'unknown'.
fn report(cli: &Cli, error: &anyhow::Error, is_check: bool) -> u8 {
    let code = if is_check { 3 } else { code_of(error) };
    let out = output(&cli.global, Redactor::default());
    let message = format!("{error:#}");
    if cli.global.json {
        out.document(|| show::json::error(&message, code));
    } else if is_check {
        let short = error.downcast_ref::<LoadError>().map_or_else(|| message.clone(), LoadError::in_one_line);
        out.line(&unknown_line(&short));
    }
    // Some that run plugins read both streams as one.
    let message = if is_check { show::checks::plain(&message) } else { message };
    out.note(&format!("healer: {message}"));
    code
}

/// The one line of a monitoring plugin that could not look at all. What follows a `|` would be read as figures.
fn unknown_line(message: &str) -> String {
    format!("HEALER UNKNOWN - {}", show::checks::plain(&clean(message.lines().next().unwrap_or_default())))
}

fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() {
        2
    } else if error.is::<Busy>() {
        11
    } else if error.is::<Conflict>() || error.is::<ChangedSince>() {
        13
    } else if error.is::<NoSuchBackup>() || error.is::<NoSuchIncident>() {
        14
    } else if error.is::<LoadError>() {
        78
    } else {
        1
    }
}

/// A duration of the command line.
fn duration(text: &str, option: &str) -> Result<Duration> {
    configuration::parse_duration(text).map_err(|why| anyhow!(Usage(format!("{option} {text}: {why}"))))
}

/// Asks on a terminal; elsewhere, and with `--yes` or `--no-input`, does what was typed.
fn confirmed(question: &str, global: &Global, out: &Output) -> bool {
    if global.yes || global.no_input || out.json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal()
    {
        return true;
    }
    out.note(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// The name of a rule that was typed, or an error that names the nearest.
fn known_rule<'a>(engine: &'a Engine, name: &'a str) -> Result<&'a str> {
    if engine.rule(name).is_some() {
        return Ok(name);
    }
    let names = engine.rules.iter().map(|r| r.name.as_str());
    Err(anyhow!(Usage(unknown("rule", name, names))))
}

/// `there is no rule X; did you mean Y?`
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let help = match (configuration::closest(name, known.iter().copied()), known.is_empty()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, true) => "none is configured".to_owned(),
        (None, false) => format!("there are: {}", known.join(", ")),
    };
    format!("there is no {what} `{}`; {help}", name.escape_debug())
}
