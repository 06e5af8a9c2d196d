//! `healer config`: hold it against itself and this host, show what is in force, print its schema. Read-only.

use crate::cli::{ConfigAction, Global};
use crate::config::{
    self, ConfigError, Document, Effective, Engine, LoadError, Options, Origin, Reference, SecretSource,
    SecretsWhereKnown, Setting, SystemSecrets,
};
use crate::review::{self, Depth};
use crate::show::{Output, count, json};
use anyhow::Result;
use serde_json::{Value, json};
use std::cell::RefCell;

pub fn run(action: &ConfigAction, options: &Options, global: &Global, out: &Output) -> Result<u8> {
    match action {
        ConfigAction::Check { offline, strict } => check(options, *offline, *strict, global, out),
        ConfigAction::Show { origin } => show(options, *origin, global, out),
        ConfigAction::Schema => {
            let schema = config::schema();
            out.document(|| json::success(schema.clone()));
            out.text(&serde_json::to_string_pretty(&schema)?);
            Ok(0)
        }
    }
}

/// The secrets of this process, and a word in the place of those that it does not know.
#[derive(Default)]
struct Remembering {
    /// As written, and why there is no value.
    unknown: RefCell<Vec<(String, String)>>,
}

impl SecretSource for Remembering {
    fn resolve(&self, reference: &Reference) -> Result<String, String> {
        let known = SystemSecrets.resolve(reference);
        if let Err(why) = &known {
            self.unknown.borrow_mut().push((reference.to_string(), why.clone()));
        }
        known.or_else(|_| SecretsWhereKnown.resolve(reference))
    }
}

fn check(options: &Options, offline: bool, strict: bool, global: &Global, out: &Output) -> Result<u8> {
    let remembering = Remembering::default();
    let secrets: &dyn SecretSource = if offline { &remembering } else { &SystemSecrets };
    let engine = match config::load_with(options, secrets) {
        Ok(engine) => engine,
        Err(error) => return Ok(refused(&error, out)),
    };
    let out = super::output(global, engine.redactor.clone());
    let mut warnings = review::review(&engine, if offline { Depth::Offline } else { Depth::Live });
    warnings.extend(unknown_secrets(&engine, &remembering));
    out.document(|| json::success(json!({ "errors": [], "warnings": objects(&warnings) })));
    warnings.iter().for_each(|warning| out.text(&fitted(&format!("{}\n", warning.as_warning()), &out)));
    if !out.quiet {
        out.prose(&summary(&engine, warnings.len()), 2);
    }
    Ok(if strict && !warnings.is_empty() { 10 } else { 0 })
}

/// All errors, and nothing more: what is not sound cannot be looked at further.
fn refused(error: &LoadError, out: &Output) -> u8 {
    out.document(|| {
        let mut body = json::error("the configuration is not sound", 78);
        if let Value::Object(body) = &mut body {
            body.insert("errors".into(), objects(error.errors()));
            body.insert("warnings".into(), json!([]));
        }
        body
    });
    out.text(&fitted(&error.to_string(), out));
    78
}

/// What is said in sentences is broken to the width; the line that is quoted, with its caret, is not.
fn fitted(text: &str, out: &Output) -> String {
    let fit = |line: &str| match line.trim_start().starts_with("= help:") {
        true => out.wrapped(line, 10),
        false if line.contains(" | ") || line.ends_with(" |") || line.contains("--> ") => line.to_owned(),
        false => out.wrapped(line, 2),
    };
    text.split('\n').map(fit).collect::<Vec<_>>().join("\n")
}

/// References that this process has no value for; passes may well have one.
fn unknown_secrets(engine: &Engine, remembering: &Remembering) -> Vec<ConfigError> {
    let document = Document::of(&engine.written);
    let mut unknown = remembering.unknown.take();
    unknown.dedup();
    let told = unknown.into_iter().map(|(reference, why)| {
        let message = format!("`{reference}` has no value here: {why}");
        let help = "passes need it: see Secrets in healer.toml(5)";
        document.holding(&reference).unwrap_or_else(|| document.root()).problem(&message, help)
    });
    told.collect()
}

fn objects(errors: &[ConfigError]) -> Value {
    let object = |e: &ConfigError| {
        let file = Some(e.file.display().to_string()).filter(|file| !file.is_empty());
        json!({ "file": file, "line": e.line, "column": e.column, "message": e.message, "help": e.help })
    };
    errors.iter().map(object).collect()
}

fn summary(engine: &Engine, warnings: usize) -> String {
    let what = match &engine.source {
        Some(path) => path.display().to_string(),
        None => "no configuration was found: the built-in defaults".to_owned(),
    };
    let holds = [
        count(engine.checks.len() as u64, "check"),
        count(engine.logs.len() as u64, "log source"),
        count(engine.rules.len() as u64, "rule"),
    ];
    let told = if warnings == 0 { "nothing to remark".to_owned() } else { count(warnings as u64, "warning") };
    format!("{what}: sound, {}; {told}", holds.join(", "))
}

fn show(options: &Options, origin: bool, global: &Global, out: &Output) -> Result<u8> {
    // What is shown of a secret is its reference.
    let engine = config::load_with(options, &SecretsWhereKnown)?;
    let out = &Output { redactor: super::output(global, engine.redactor.clone()).redactor, ..out.clone() };
    let effective = Effective::of(&engine);
    out.document(|| json::success(document(&effective)));
    out.text(&effective.text(origin));
    Ok(0)
}

fn document(effective: &Effective) -> Value {
    let of = |setting: &Setting| {
        let key = setting.key.as_ref()?;
        let value = format!("v = {}", setting.value).parse::<toml::Table>().ok()?.remove("v")?;
        let (file, line) = match &setting.origin {
            Origin::Written { file, line } => (Some(file.display().to_string()), Some(line)),
            _ => (None, None),
        };
        let origin = match &setting.origin {
            Origin::Written { .. } => "file",
            Origin::Default => "default",
            Origin::Environment(_) => "environment",
            Origin::CommandLine(_) => "command line",
        };
        Some(json!({
            "table": setting.header, "number": setting.table, "key": key, "value": value, "origin": origin, "file": file, "line": line,
        }))
    };
    let settings: Vec<Value> = effective.settings.iter().filter_map(of).collect();
    json!({ "settings": settings, "notes": effective.notes })
}
