//! `healer status`: how things stand, from what passes have left; no check is run and nothing is written.

use crate::config::Engine;
use crate::documents;
use crate::show::{Output, json, status};
use anyhow::Result;

pub fn run(engine: &Engine, out: &Output) -> Result<u8> {
    let (status, warnings) = documents::status(engine)?;
    out.document(|| json::success(status::json(&status)));
    out.text(&status::text(&status, out));
    warnings.iter().for_each(|w| out.note(&format!("healer: {w}")));
    Ok(0)
}
