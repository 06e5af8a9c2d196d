//! The knowledge base as tables.

use crate::diagnose::rules::shown;
use crate::learn::{Knowledge, wilson};
use crate::model::Tries;
use crate::show::Output;
use crate::show::checks::number;
use comfy_table::Table;
use std::time::Duration;

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
    let mut reliability = out.table(&["confidence", "decided", "worked", "success rate", "95 % interval"]);
    for (low, tries) in &knowledge.reliability {
        let to = if *low == 95 { 100 } else { low + 4 };
        let interval = wilson(tries.successes, tries.total);
        let percent = |share: f64| number((share * 100.0).round());
        reliability.add_row(vec![
            format!("{low} to {to}"),
            tries.total.to_string(),
            tries.successes.to_string(),
            rate(*tries),
            interval.map_or("-".to_owned(), |(low, high)| format!("{} to {} %", percent(low), percent(high))),
        ]);
    }
    let rest = [timings(knowledge, out), self_recovery(knowledge, out), unproven(knowledge, out)];
    let later = [knowledge.durable, knowledge.recurred, knowledge.rolled_back_later];
    let later = (later.iter().sum::<u64>() > 0).then(|| {
        let [durable, recurred, rolled_back] = later;
        format!("later: {durable} held for a day, {recurred} came back, {rolled_back} undone by an operator")
    });
    let tables = [by_type, results, reliability].into_iter().chain(rest);
    let tables: Vec<_> = tables.filter(|table| !table.is_empty()).map(|table| out.rendered(&table)).collect();
    std::iter::once(head).chain(later).chain(tables).collect::<Vec<_>>().join("\n\n")
}

fn timings(knowledge: &Knowledge, out: &Output) -> Table {
    let mut table = out.table(&["time to", "fixes", "median", "90 % within"]);
    let parts = &knowledge.timings;
    for (name, spread) in [
        ("detect", &parts.detect),
        ("diagnose", &parts.diagnose),
        ("apply", &parts.apply),
        ("validate", &parts.validate),
    ] {
        let quantile = |share| spread.quantile(share).map_or("-".to_owned(), |ms| shown(rounded(ms)));
        if spread.count > 0 {
            table.add_row(vec![name.to_owned(), spread.count.to_string(), quantile(0.5), quantile(0.9)]);
        }
    }
    table
}

/// Whole seconds, where there are several: these are known to a hundredth of their size.
fn rounded(ms: u64) -> Duration {
    Duration::from_millis(if ms < 10_000 { ms } else { ms / 1000 * 1000 })
}

fn self_recovery(knowledge: &Knowledge, out: &Output) -> Table {
    let mut table = out.table(&["issue type", "not acted on", "cleared by itself", "share"]);
    for (name, cleared) in &knowledge.self_recovery {
        let share = cleared.rate().map_or("-".to_owned(), |r| format!("{} %", number(r * 100.0)));
        table.add_row(vec![crate::text::clean(name), cleared.seen.to_string(), cleared.cleared.to_string(), share]);
    }
    table
}

/// The newest first.
fn unproven(knowledge: &Knowledge, out: &Output) -> Table {
    let mut table = out.table(&["unproven", "since", "fix type", "target"]);
    for fix in knowledge.newest_unproven.iter().rev() {
        let row = [&fix.id, &fix.timestamp, &fix.fix_type, &fix.target];
        table.add_row(row.map(|text| crate::text::clean(text)).to_vec());
    }
    let more = knowledge.unproven.saturating_sub(knowledge.newest_unproven.len() as u64);
    if more > 0 {
        table.add_row(vec![format!("and {more} older"), String::new(), String::new(), String::new()]);
    }
    table
}
