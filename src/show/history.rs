//! What happened, for people.

use crate::diagnose::rules::shown;
use crate::host::clock;
use crate::past::{Fix, Item};
use crate::show::Output;
use crate::text::clean;
use jiff::Timestamp;
use std::time::Duration;

/// One line each, with what explains it below.
pub fn text(items: &[&Item], fix: Option<&Fix>, since: &str, now: Timestamp, out: &Output) -> String {
    let mut lines = Vec::new();
    if let Some(fix) = fix {
        let what = fix.diagnosis.get("cause").and_then(|cause| cause.as_str()).unwrap_or("?");
        lines.push(format!("{:>8}  {:<22} {}", "now", out.bold("being fixed"), clean(what)));
    }
    for item in items {
        let ago = clock::between(item.t, now);
        let ago = Duration::from_secs(rounded(ago.as_secs()));
        lines.push(format!("{:>8}  {:<22} {}", shown(ago), item.kind, clean(&item.title)));
        let mut below = |label: &str, text: &str| lines.push(format!("{:>8}  {label:<22} {}", "", clean(text)));
        item.steps.iter().for_each(|step| below("", step));
        item.why.iter().for_each(|why| below("", why));
        item.backup_id.iter().for_each(|id| below("", &format!("backup {id}")));
    }
    if lines.is_empty() {
        lines.push(format!("nothing has happened in the last {since}"));
    }
    lines.join("\n")
}

/// Of what is long ago, seconds say nothing.
fn rounded(seconds: u64) -> u64 {
    match seconds {
        0..=599 => seconds,
        600..=86_399 => seconds / 60 * 60,
        _ => seconds / 3_600 * 3_600,
    }
}
