//! Acknowledgements: an operator's word that an incident has been seen (`acks.json` in the state directory). No alerts are
//! sent for it until it is over, or for as long as he said; checks and fixes go on.
//!
//! Lives here: that file. Set by a command while a pass may be at work, so it is replaced whole.

use crate::host::files;
use crate::model::Moment;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// One incident that was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    pub incident: String,
    pub since: Moment,
    /// For so long; until the incident is over where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    pub by: String,
}

impl Ack {
    /// Whether it still stands.
    pub fn holds(&self, now: &Moment) -> bool {
        self.seconds.is_none_or(|seconds| now.since(&self.since) < Duration::from_secs(seconds))
    }
}

/// Those that still stand.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read(path: &Path, now: &Moment) -> Result<Vec<Ack>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut acks: Vec<Ack> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged: remove it, every incident then counts as not seen", path.display()))?;
    acks.retain(|ack| ack.holds(now));
    Ok(acks)
}

/// Leaves these and no others.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, acks: &[Ack]) -> Result<()> {
    let text = serde_json::to_string(acks).context("cannot write the acknowledgements as JSON")?;
    files::write_atomic(path, text.as_bytes(), 0o640).with_context(|| format!("cannot write {}", path.display()))
}
