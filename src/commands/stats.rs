//! `healer stats`: what the knowledge base says.

use crate::commands::duration;
use crate::config::Engine;
use crate::documents;
use crate::host::clock;
use crate::show::{Output, debt, json, stats};
use anyhow::Result;

pub fn run(engine: &Engine, since: Option<&str>, out: &Output) -> Result<u8> {
    let span = since.map(|text| duration(text, "--since")).transpose()?;
    let from = span.and_then(|s| clock::now().checked_sub(jiff::SignedDuration::try_from(s).ok()?).ok());
    let all = documents::stats(engine, from)?;
    let knowledge = &all.knowledge;
    all.warning.iter().for_each(|w| out.note(&format!("healer: {w}")));
    out.document(|| json::success(documents::stats_json(&all)));
    out.prose(&stats::text(knowledge, since, out), 2);
    debt::text(&all.owed, clock::now(), out).iter().for_each(|text| out.text(&format!("\n{text}")));
    if let Some((line, why)) = &knowledge.first_skipped {
        out.note(&format!(
            "{}: {} lines could not be read and were left out (the first is line {line}: {why})",
            engine.knowledge_base.display(),
            knowledge.skipped
        ));
    }
    Ok(0)
}
