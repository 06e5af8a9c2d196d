//! The knowledge base as tables.

use crate::learn::Knowledge;
use crate::model::Tries;
use crate::show::Output;
use crate::show::checks::number;

fn rate(tries: Tries) -> String {
    tries.success_rate().map_or("-".to_owned(), |r| format!("{} %", number(r * 100.0)))
}

/// Outcomes by fix type, how fixes ended, and confidence against what came of it. `since` is the time asked for.
pub fn text(knowledge: &Knowledge, since: Option<&str>, out: &Output) -> String {
    match (knowledge.fixes, since) {
        (0, None) => {
            return "no fix is recorded yet: `healer heal -n` shows what would be done now, `healer heal` does it"
                .to_owned();
        }
        (0, Some(since)) => {
            return format!("no fix is recorded in the last {since}: `healer stats` without --since counts all");
        }
        _ => {}
    }
    let head = match knowledge.decided.total {
        0 => format!(
            "fixes: {}; none of them says yet whether such a fix works: it takes one that is kept, or rolled back by \
             healer itself",
            knowledge.fixes
        ),
        total => format!(
            "fixes: {}; of {total} decided ones {} worked ({})",
            knowledge.fixes,
            knowledge.decided.successes,
            rate(knowledge.decided)
        ),
    };
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
    let tables = [by_type, results, reliability];
    let tables = tables.iter().filter(|table| !table.is_empty()).map(|table| out.rendered(table));
    std::iter::once(head).chain(tables).collect::<Vec<_>>().join("\n\n")
}
