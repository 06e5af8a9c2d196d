//! The files that rules edit, as they are now: whether each is there, may be replaced, holds the place, and has room.

use super::systemd as units;
use crate::attempts;
use crate::config::{self, ConfigError, Document, EditSpec, Engine, Format, Place, Selector, StepSpec};
use crate::fix::edit;
use crate::host::files::{self, FileError};
use crate::init::systemd;
use crate::state::StateDir;
use std::path::{Path, PathBuf};

/// Every edit of every rule with its place.
fn edits<'a>(engine: &'a Engine, document: &'a Document) -> Vec<(&'a str, &'a EditSpec, Place<'a>)> {
    let mut found = Vec::new();
    for (number, rule) in engine.rules.iter().enumerate() {
        for (rung, fix) in rule.fixes.iter().enumerate() {
            for (step, spec) in fix.steps.iter().enumerate() {
                let StepSpec::Edit(edit) = spec else { continue };
                let place = document.rule(number).child("fix").item(rung).child("steps").item(step);
                found.push((rule.name.as_str(), edit, place));
            }
        }
    }
    found
}

pub fn review(engine: &Engine, document: &Document) -> Vec<ConfigError> {
    let attempts = attempts::read(&StateDir::of(engine).attempts()).unwrap_or_default();
    edits(engine, document)
        .into_iter()
        .filter_map(|(rule, edit, place)| one(engine, &attempts, rule, edit, place))
        .collect()
}

fn one(
    engine: &Engine,
    attempts: &attempts::Attempts,
    rule: &str,
    spec: &EditSpec,
    place: Place<'_>,
) -> Option<ConfigError> {
    let file = match files::snapshot(&spec.path).and_then(|s| files::check_replaceable(&s.path).map(|()| s)) {
        Ok(file) => file,
        Err(error) => return Some(unusable(rule, &error, place)),
    };
    if engine.allow.files.is_match(&spec.path) && !engine.allow.files.is_match(&file.path) {
        let message = format!(
            "{} leads to {}, which `files` in [allow] does not cover: rule `{rule}` will be held",
            spec.path.display(),
            file.path.display()
        );
        return Some(
            place.child("edit").problem(&message, "patterns are matched against the path with links resolved"),
        );
    }
    let format = Format::of(&spec.path)?;
    let selector = Selector::parse(&spec.at, format).ok()?;
    let located = match edit::locate(&file.bytes, format, &selector) {
        Ok(located) => located,
        Err(error) => {
            let message = format!("rule `{rule}` finds no place in {} today: {error}", spec.path.display());
            let help = "correct `at`: it must mean exactly one literal, else the rule is held";
            return Some(place.child("at").problem(&message, help));
        }
    };
    let old = file.bytes.get(located.span.clone()).map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
    let human = attempts.human_value(&file.path, &spec.at, &old).and_then(|human| {
        let as_it_was = edit::apply(&file.bytes, format, &selector, &human).ok()?;
        edit::locate(&as_it_was, format, &selector).ok()
    });
    let human = human.as_ref().map_or(&located.literal, |then| &then.literal);
    let bounds = (spec.min, spec.max, spec.max_factor);
    let error = edit::next_literal_since(&located.literal, human, spec.max_total_factor, &spec.change, bounds).err()?;
    let (what, help) = match error {
        edit::BoundError::Mismatch(_) | edit::BoundError::BadRequest(_) => {
            ("cannot change what is there today", "correct the change, or the place")
        }
        _ => ("has no room for a step today", "widen the bounds of this step, or change the value in the file"),
    };
    let message = format!("rule `{rule}` {what}, {}:{} at `{}`: {error}", spec.path.display(), located.line, spec.at);
    let change = ["multiply", "add", "set"].into_iter().find_map(|key| place.get(key)).unwrap_or(place);
    Some(change.problem(&message, help))
}

fn unusable(rule: &str, error: &FileError, place: Place<'_>) -> ConfigError {
    let help = match error {
        FileError::Absent(_) => "correct the path; until the file is there the rule is held",
        FileError::Denied(_) if !rustix::process::geteuid().is_root() => {
            "passes of healer.service run as root: run `healer config check` as root to see what they see"
        }
        FileError::Denied(_) => "change owner or mode; until then the rule is held",
        FileError::Refused { .. } | FileError::Io { .. } => "until this is changed the rule is held",
    };
    place.child("edit").problem(&format!("rule `{rule}` cannot edit its file: {error}"), help)
}

/// What the sandbox of the installed unit keeps from being written.
pub fn sandbox(engine: &Engine, document: &Document) -> Vec<ConfigError> {
    let Some(said) = units::show("healer.service", &["LoadState", "ProtectSystem", "ReadWritePaths"]) else {
        return Vec::new();
    };
    let value = |key: &str| said.iter().find(|(k, _)| k == key).map_or("", |(_, value)| value.as_str());
    if value("ProtectSystem") != "strict" {
        return Vec::new();
    }
    let open: Vec<PathBuf> = value("ReadWritePaths").split_whitespace().map(writable).collect();
    let is_open = |directory: &Path| open.iter().any(|open| directory.starts_with(open));
    let help = how_to_open(engine, "what [allow] names");
    let mut told: Vec<PathBuf> = Vec::new();
    let mut found = Vec::new();
    for (key, directory) in systemd::left_by_passes(engine) {
        if !is_open(&directory) {
            let place = key.iter().fold(document.root(), |place, key| place.child(key));
            let message = format!("healer.service may not write in {}, where passes leave this", directory.display());
            found.push(place.problem(&message, &how_to_open(engine, "this directory")));
        }
    }
    for (rule, edit, place) in edits(engine, document) {
        let path = std::fs::canonicalize(&edit.path).unwrap_or_else(|_| edit.path.clone());
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        if !is_open(&directory) {
            let message =
                format!("healer.service may not write in {}: rule `{rule}` will be held", directory.display());
            found.push(place.child("edit").problem(&message, &help));
            told.push(directory);
        }
    }
    let files = document.root().child("allow").child("files");
    for (number, pattern) in engine.allow.file_patterns.iter().enumerate() {
        let Some(directory) = systemd::directory(pattern).filter(|directory| directory.is_dir()) else {
            continue;
        };
        if !is_open(&directory) && !told.iter().any(|other| other.starts_with(&directory)) {
            let message = format!("healer.service may not write in {}, which this allows", directory.display());
            found.push(files.item(number).problem(&message, &help));
        }
    }
    found
}

/// What to do about it.
fn how_to_open(engine: &Engine, what: &str) -> String {
    let option = engine.source.as_deref().map(config::option).unwrap_or_default();
    format!("`healer {option}init --systemd` opens to the units {what}")
}

/// A path as it stands in `ReadWritePaths=`: `-` allows it to be missing, `+` is of another root.
fn writable(word: &str) -> PathBuf {
    let path = Path::new(word.trim_start_matches(['-', '+']));
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
