//! The knowledge base as tables.

use crate::learn::Knowledge;
use crate::model::Tries;
use crate::show::Output;
use crate::show::checks::number;

fn rate(tries: Tries) -> String {
    tries.success_rate().map_or("-".to_owned(), |r| format!("{} %", number(r * 100.0)))
}

/// Outcomes by fix type, how fixes ended, and confidence against what came of it.
pub fn text(knowledge: &Knowledge, out: &Output) -> String {
    if knowledge.fixes == 0 {
        return "no fix is recorded yet".to_owned();
    }
    let mut parts = vec![format!(
        "fixes: {}; of {} decided ones {} worked ({})",
        knowledge.fixes,
        knowledge.decided.total,
        knowledge.decided.successes,
        rate(knowledge.decided)
    )];
    let mut by_type = out.table(&["fix type", "decided", "worked", "success rate"]);
    for (name, tries) in &knowledge.by_type {
        by_type.add_row(vec![
            crate::text::clean(name),
            tries.total.to_string(),
            tries.successes.to_string(),
            rate(*tries),
        ]);
    }
    let mut results = out.table(&["outcome", "fixes"]);
    for (name, count) in &knowledge.by_result {
        results.add_row(vec![crate::text::clean(name), count.to_string()]);
    }
    let mut reliability = out.table(&["confidence", "decided", "worked", "success rate"]);
    for (low, tries) in &knowledge.reliability {
        let to = if *low == 95 { 100 } else { low + 4 };
        reliability.add_row(vec![
            format!("{low} to {to}"),
            tries.total.to_string(),
            tries.successes.to_string(),
            rate(*tries),
        ]);
    }
    parts.extend([out.rendered(&by_type), out.rendered(&results), out.rendered(&reliability)]);
    parts.join("\n\n")
}
