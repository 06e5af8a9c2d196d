//! `healer notify test`: whether those who are to be told can be.

use crate::alert::{self, Tested};
use crate::config::Engine;
use crate::host::clock;
use crate::show::{Output, json};
use crate::tell;
use crate::text::clean;
use anyhow::Result;

pub fn test(engine: &Engine, out: &Output) -> Result<u8> {
    let tested = alert::test(engine, &tell::of_test(clock::now()));
    out.document(|| json::success(serde_json::json!({ "notifiers": tested.iter().map(document).collect::<Vec<_>>() })));
    if tested.is_empty() {
        out.prose("nobody is told but standard error and the journal: [alerts] names no webhook, command or email", 2);
        return Ok(10);
    }
    tested.iter().for_each(|one| out.text(&line(one)));
    Ok(if tested.iter().all(|one| one.why.is_none()) { 0 } else { 10 })
}

fn line(tested: &Tested) -> String {
    let took = tested.took.as_millis();
    clean(&match &tested.why {
        None => format!("{}: taken within {took} ms", tested.name),
        Some(why) => format!("{}: NOT taken after {took} ms: {why}", tested.name),
    })
}

fn document(tested: &Tested) -> serde_json::Value {
    serde_json::json!({
        "name": tested.name,
        "taken": tested.why.is_none(),
        "duration_ms": u64::try_from(tested.took.as_millis()).unwrap_or(u64::MAX),
        "why": tested.why,
    })
}
