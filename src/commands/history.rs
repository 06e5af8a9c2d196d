//! `healer history`: what happened, the newest first.

use crate::commands::duration;
use crate::config::Engine;
use crate::event_log::{From, Tail};
use crate::host::clock;
use crate::past::Past;
use crate::show::{Output, history, json};
use crate::state::StateDir;
use anyhow::Result;

/// Read at once, in bytes.
const AT_ONCE: usize = 1 << 20;

pub fn run(engine: &Engine, since: &str, out: &Output) -> Result<u8> {
    let span = duration(since, "--since")?;
    let now = clock::now();
    let from = jiff::SignedDuration::try_from(span).ok().and_then(|s| now.checked_sub(s).ok()).unwrap_or_default();
    let mut tail = Tail::new(StateDir::of(engine).events(), From::Time(from));
    let mut past = Past::default();
    loop {
        let news = tail.read(AT_ONCE)?;
        news.events.iter().for_each(|event| past.take(&event.line));
        if !news.more {
            break;
        }
    }
    past.forget_before(from);
    let items: Vec<_> = past.items.iter().rev().collect();
    out.document(|| json::success(serde_json::json!({ "items": items, "total": items.len(), "fix": past.fix })));
    out.text(&history::text(&items, past.fix.as_ref(), since, now, out));
    Ok(0)
}
