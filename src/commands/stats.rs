//! `healer stats`: what the knowledge base says.

use crate::commands::duration;
use crate::config::Engine;
use crate::host::clock;
use crate::learn;
use crate::show::{Output, json, stats};
use anyhow::Result;

pub fn run(engine: &Engine, since: Option<&str>, out: &Output) -> Result<u8> {
    let span = since.map(|text| duration(text, "--since")).transpose()?;
    let from = span.and_then(|s| clock::now().checked_sub(jiff::SignedDuration::try_from(s).ok()?).ok());
    let knowledge = learn::read(&engine.knowledge_base, from)?;
    out.document(|| json::success(json::stats(&knowledge)));
    out.text(&stats::text(&knowledge, since, out));
    if let Some((line, why)) = &knowledge.first_skipped {
        out.note(&format!(
            "{}: {} lines could not be read and were left out (the first is line {line}: {why})",
            engine.knowledge_base.display(),
            knowledge.skipped
        ));
    }
    Ok(0)
}
