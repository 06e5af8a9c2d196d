//! What happened, for people.

use crate::past::{Fix, Item};
use crate::show::{self, Output};
use crate::text::clean;
use jiff::Timestamp;

/// Columns of how long ago.
const WHEN: usize = 11;

/// One line each, with what explains it below.
pub fn text(items: &[&Item], fix: Option<&Fix>, since: &str, now: Timestamp, out: &Output) -> String {
    let kinds = items.iter().map(|item| kind(&item.kind).chars().count());
    let column = kinds.chain(fix.map(|_| BEING_FIXED.len())).max().unwrap_or(0);
    let indent = WHEN + column + 4;
    let line = |when: &str, kind: &str, text: &str| {
        // Padded before it is painted: escape sequences take no columns.
        let kind = if kind == BEING_FIXED { out.bold(&format!("{kind:<column$}")) } else { format!("{kind:<column$}") };
        out.wrapped(format!("{when:>WHEN$}  {kind}  {}", clean(text)).trim_end(), indent)
    };
    let mut lines = Vec::new();
    if let Some(fix) = fix {
        let what = fix.diagnosis.get("cause").and_then(|cause| cause.as_str()).unwrap_or("?");
        lines.push(line("now", BEING_FIXED, what));
    }
    for item in items {
        lines.push(line(&show::ago(item.t, now), kind(&item.kind), &item.title));
        let backup = item.backup_id.iter().map(|id| format!("backup {id}"));
        let below = item.steps.iter().cloned().chain(item.why.clone()).chain(backup);
        lines.extend(below.map(|text| line("", "", &text)));
    }
    if lines.is_empty() {
        lines.push(format!("nothing has happened in the last {since}"));
    }
    lines.join("\n")
}

const BEING_FIXED: &str = "being fixed";

/// What happened, in few words.
fn kind(word: &str) -> &str {
    match word {
        "rolled_back" => "rolled back",
        "rolled_back_by_operator" => "undone",
        "rollback_failed" => "not undone",
        "circuit_open" => "circuit",
        "pass_failed" => "pass failed",
        "acknowledged" => "seen",
        other => other,
    }
}
