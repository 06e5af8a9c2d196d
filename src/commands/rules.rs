//! `healer rules`: what is in force, and what one pattern matches in a log. Read-only.

use crate::attempts::{self, Attempt, Attempts};
use crate::breaker::{self, Tripped};
use crate::cli::RulesAction;
use crate::commands::{Usage, rule_show, rule_test};
use crate::config::{self, Engine, LogKind, LogTrigger, Mode, Rule, Signature, SignatureOrigin, When};
use crate::host::clock;
use crate::logs::trial::{self, Trial};
use crate::logs::{LogState, signature_set};
use crate::matches;
use crate::model::{Severity, Tally};
use crate::show::rules::{self, Chosen, RuleRow, SignatureRow};
use crate::show::{Output, json};
use crate::state::{Memory, StateDir};
use anyhow::{Result, anyhow};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

pub fn run(engine: &Engine, action: &RulesAction, out: &Output) -> Result<u8> {
    match action {
        RulesAction::List => list(engine, out),
        RulesAction::Show { name } => rule_show::run(engine, name, out),
        RulesAction::Test { name, junit } => rule_test::run(engine, name.as_deref(), junit.as_deref(), out),
        RulesAction::Try { what, log, missed } => try_on(engine, what, log, *missed, out),
    }
}

fn list(engine: &Engine, out: &Output) -> Result<u8> {
    let past = Past::load(engine)?;
    let rules: Vec<RuleRow<'_>> = engine.rules.iter().map(|rule| past.of(engine, rule)).collect();
    let set = signature_set(&engine.signatures);
    let slow: Vec<&str> = set.without_stems().collect();
    let row = |signature| SignatureRow { signature, every_line: slow.contains(&signature.name.as_str()) };
    let signatures: Vec<SignatureRow<'_>> = engine.signatures.iter().map(row).collect();
    out.document(|| json::success(rules::list_json(&rules, &signatures)));
    out.text(&rules::list_text(&rules, &signatures, clock::now(), out));
    past.warnings.iter().for_each(|w| out.note(&format!("healer: {w}")));
    Ok(0)
}

/// What is known of the past of the rules.
pub(super) struct Past {
    memory: Memory,
    tallies: Vec<Tally>,
    attempts: Attempts,
    tripped: Vec<Tripped>,
    pub(super) warnings: Vec<String>,
}

impl Past {
    pub(super) fn load(engine: &Engine) -> Result<Past> {
        let dir = StateDir::of(engine);
        let (memory, first) = Memory::load(&dir);
        let (logs, second) = LogState::load(&dir.cursors())?;
        let (tallies, attempts) = (logs.all_tallies(), attempts::read(&dir.attempts())?);
        let tripped = breaker::open_targets(&attempts, &clock::moment(), &engine.limits);
        Ok(Past { memory, tallies, attempts, tripped, warnings: first.into_iter().chain(second).collect() })
    }

    pub(super) fn of<'a>(&'a self, engine: &Engine, rule: &'a Rule) -> RuleRow<'a> {
        let counted = if let When::Log(when) = &rule.when { matches::newest(when, &self.tallies) } else { None };
        let mut made = BTreeMap::new();
        for fix in self.fixes(rule) {
            *made.entry(fix.ended.as_ref().map_or("open", |(_, outcome)| outcome.word())).or_default() += 1;
        }
        RuleRow {
            rule,
            made,
            tripped: self.tripped.iter().filter(|t| t.rule == rule.name).collect(),
            mode: if engine.mode == Mode::Suggest { Mode::Suggest } else { rule.mode.unwrap_or(Mode::Auto) },
            last_matched: self.memory.matches.get(&rule.name).and_then(|m| m.last).max(counted),
            last_fix: self.fixes(rule).next(),
        }
    }

    /// The newest first.
    pub(super) fn fixes<'a>(&'a self, rule: &'a Rule) -> impl Iterator<Item = &'a Attempt> {
        self.attempts.fixes.iter().rev().filter(|a| a.rule == rule.name)
    }
}

fn try_on(engine: &Engine, what: &str, log: &Path, missed: bool, out: &Output) -> Result<u8> {
    let chosen = choose(engine, what)?;
    let mut reader = open(log)?;
    hints(engine, what, &chosen, out);
    let trigger = chosen.rule.map(|(_, trigger)| trigger);
    let trial = Trial {
        signature: &chosen.signature,
        in_force: &engine.signatures,
        missed,
        count: trigger.map_or(1, |t| t.count),
        within: trigger.map_or(Duration::from_secs(600), |t| t.within),
    };
    let name = if is_stdin(log) { "standard input".to_owned() } else { log.display().to_string() };
    let mut show = rules::TryShow::begin(&chosen, &name, missed, out);
    let tried = trial::try_log(&trial, &mut reader, clock::now(), &mut |line| show.line(line));
    let tried = tried.map_err(|e| e.context(format!("cannot try it on {name}")));
    let failed = match &tried {
        Ok(tried) => tried.problem.as_ref().map(|why| format!("cannot read {name} to its end: {why}")),
        Err(error) => Some(format!("{error:#}")),
    };
    show.end(&tried.unwrap_or_default(), failed.as_deref());
    failed.iter().for_each(|why| out.note(&format!("healer: {why}")));
    Ok(u8::from(failed.is_some()))
}

fn is_stdin(log: &Path) -> bool {
    log == Path::new("-")
}

fn open(log: &Path) -> Result<Box<dyn Read>> {
    if is_stdin(log) {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let shown = log.display();
    let file = std::fs::File::open(log).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => anyhow!(Usage(format!("{shown}: there is no such file"))),
        _ => anyhow!("cannot open {shown}: {e}"),
    })?;
    let metadata = file.metadata().map_err(|e| anyhow!("cannot look at {shown}: {e}"))?;
    if metadata.is_dir() {
        return Err(anyhow!(Usage(format!("{shown} is a directory; name a file of it"))));
    }
    // What is written from now on is left out: a fast writer must not hold us for ever. Files of /proc tell no size.
    Ok(match metadata.len() {
        size @ 1.. if metadata.is_file() => Box::new(file.take(size)),
        _ => Box::new(file),
    })
}

/// What was typed: a rule, else a signature, else a regex.
fn choose<'a>(engine: &'a Engine, what: &str) -> Result<Chosen<'a>> {
    if let Some(rule) = engine.rule(what) {
        let When::Log(trigger) = &rule.when else {
            let when = rules::when(&rule.when);
            let why = format!("rule `{what}` looks at no log: it fires when {when}. `healer diagnose {what}` says why");
            return Err(anyhow!(Usage(why)));
        };
        let signature = engine.signatures.iter().find(|s| s.name == trigger.signature);
        let signature = signature.ok_or_else(|| anyhow!("rule `{what}` has no signature"))?;
        return Ok(chosen(engine, Some((rule, trigger)), Cow::Borrowed(signature)));
    }
    if let Some(signature) = engine.signatures.iter().find(|s| s.name == what) {
        return Ok(chosen(engine, None, Cow::Borrowed(signature)));
    }
    config::typed_pattern("REGEX", what).map_err(|error| anyhow!(Usage(error.to_string())))?;
    let signature = Signature {
        name: rules::TYPED.to_owned(),
        category: "other".to_owned(),
        severity: Severity::Error,
        pattern: what.to_owned(),
        ignore: None,
        origin: SignatureOrigin::Operator,
        matches: Vec::new(),
        ignores: Vec::new(),
    };
    Ok(chosen(engine, None, Cow::Owned(signature)))
}

fn chosen<'a>(engine: &Engine, rule: Option<(&'a Rule, &'a LogTrigger)>, signature: Cow<'a, Signature>) -> Chosen<'a> {
    let set = signature_set(std::slice::from_ref(signature.as_ref()));
    let every_line = set.without_stems().next().is_some();
    let sources = rule.map(|(_, trigger)| sources(engine, trigger)).unwrap_or_default();
    Chosen { rule, signature, every_line, sources }
}

/// Where the logs that a rule reads come from.
fn sources(engine: &Engine, trigger: &LogTrigger) -> Vec<String> {
    let of = |spec: &config::LogSpec| match &spec.kind {
        LogKind::Docker { .. } => {
            trigger.log.starts_with("container:").then(|| "logs of the included containers".to_owned())
        }
        LogKind::Files { name, pattern } => trigger.sources.is_match(format!("file:{name}")).then(|| pattern.clone()),
        LogKind::Journal { name, unit } => {
            trigger.sources.is_match(format!("journal:{name}")).then(|| format!("journal of {unit}"))
        }
    };
    engine.logs.iter().filter_map(of).collect()
}

/// What the operator may not have meant, or may not want.
fn hints(engine: &Engine, what: &str, chosen: &Chosen<'_>, out: &Output) {
    let is_name = what.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if chosen.is_typed() && is_name {
        let names = engine.rules.iter().map(|r| &r.name).chain(engine.signatures.iter().map(|s| &s.name));
        if let Some(near) = config::closest(what, names.map(String::as_str)) {
            out.note(&format!(
                "note: no rule or signature is called `{what}`, so it is tried as a regex; did you mean `{near}`?"
            ));
        }
    }
    if chosen.every_line {
        out.note(
            "warning: this pattern is slow to search: it holds no text of three characters or more that every match \
             contains, so every line of every log is tried",
        );
    }
}
