//! `healer replay`: decides a recorded pass again, offline; nothing but the file is read, and nothing is written.

use crate::commands::Usage;
use crate::pass::recording::{self, ReadError, Recorded};
use crate::show::{Output, decision::Document, diagnosis, diff, json};
use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use std::path::Path;

pub fn run(file: &Path, out: &Output) -> Result<u8> {
    let recorded = recording::read(file).map_err(|error| match error {
        ReadError::Foreign(why) => anyhow!(Usage(format!("{}: {why}", file.display()))),
        ReadError::Damaged(why) => anyhow!("{}: {why}", file.display()),
    })?;
    let again = recorded.decide().map_err(|e| e.context(format!("{} cannot be decided again", file.display())))?;
    let same = again == recorded.decision;
    out.document(|| json::success(data(&recorded, &again, same)));
    out.text(&diagnosis::fitted(&again.text, out));
    let of = format!("healer {} at {}", recorded.version, crate::host::clock::to_second(recorded.recorded));
    if same {
        if !out.quiet {
            out.note(&format!("the same decision as that of {of}"));
        }
        return Ok(0);
    }
    out.note(&format!("ANOTHER decision than that of {of}:"));
    out.note(&difference(&recorded.decision, &again, out));
    Ok(10)
}

/// The decision in the keys that a pass has, and how it compares.
fn data(recorded: &Recorded, again: &Document, same: bool) -> Value {
    let mut data = again.data.clone();
    if let Value::Object(data) = &mut data {
        data.insert("same".into(), same.into());
        let then = json!({
            "version": recorded.version,
            "timestamp": crate::host::clock::to_second(recorded.recorded).to_string(),
        });
        data.insert("recorded".into(), then);
        let other = if same { Value::Null } else { recorded.decision.data.clone() };
        data.insert("recorded_decision".into(), other);
    }
    data
}

/// `-` was recorded, `+` is decided now; of what the text does not show, the data.
fn difference(recorded: &Document, again: &Document, out: &Output) -> String {
    let text = diff::unified(recorded.text.as_bytes(), again.text.as_bytes(), "decision", out);
    if !text.is_empty() {
        return text;
    }
    let pretty = |data: &Value| serde_json::to_string_pretty(data).unwrap_or_default();
    diff::unified(pretty(&recorded.data).as_bytes(), pretty(&again.data).as_bytes(), "decision", out)
}
