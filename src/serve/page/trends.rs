//! Figures over time: each as a chart, and the same numbers as a table.

use super::checks::day;
use super::format;
use super::html::Html;
use super::{View, svg};
use crate::past::{OTHER_GROUPS, Sampled};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Charts of latency at most; the API has them all.
const MOST_CHARTS: usize = 12;
/// Groups that are told apart; the rest is one series.
const TOP_GROUPS: usize = 6;
const HOURS: usize = 24;

/// One value in each half hour of the day.
struct Series {
    name: String,
    unit: &'static str,
    values: Vec<Option<f32>>,
}

impl Series {
    /// The highest of each half hour, so that no peak is lost.
    fn of(name: &str, unit: &'static str, samples: &[(Timestamp, f32)], now: Timestamp) -> Option<Series> {
        let (from, _) = day(now);
        let mut values: Vec<Option<f32>> = vec![None; svg::PARTS];
        for (t, value) in samples.iter().filter(|(_, value)| value.is_finite()) {
            let at = usize::try_from((t.as_second() - from.as_second()).div_euclid(1_800)).ok();
            if let Some(slot) = at.and_then(|at| values.get_mut(at)) {
                *slot = Some(slot.map_or(*value, |highest| highest.max(*value)));
            }
        }
        values.iter().any(Option::is_some).then(|| Series { name: name.to_owned(), unit, values })
    }

    fn highest(&self) -> f32 {
        self.values.iter().flatten().copied().fold(0.0, f32::max)
    }

    fn last(&self) -> Option<f32> {
        self.values.iter().rev().find_map(|value| *value)
    }

    fn shown(&self, value: f32) -> String {
        format::figure(value.into(), self.unit)
    }

    fn chart(&self, h: &mut Html) {
        let last = self.last().map(|value| self.shown(value)).unwrap_or_default();
        let highest = self.shown(self.highest());
        let top = if self.unit == "percent" { 100.0 } else { self.highest() * 1.1 };
        h.tag("figure", &[], |h| {
            h.tag("figcaption", &[], |h| {
                h.el("span", &[("class", "what")], &self.name);
                h.el("b", &[("class", "num")], &last);
            });
            let label = format!("{}, 24 hours: last {last}, highest {highest}", self.name);
            svg::line(h, &self.values, top, &label);
            h.tag("p", &[("class", "axis"), ("aria-hidden", "true")], |h| {
                h.el("span", &[], "24 h ago");
                h.el("span", &[], &format!("highest {highest}"));
                h.el("span", &[], "now");
            });
        });
    }
}

/// The section.
pub fn section(h: &mut Html, view: &View) {
    h.tag("section", &[("id", "trends"), ("aria-labelledby", "trends-h")], |h| {
        h.tag("h2", &[("id", "trends-h")], |h| {
            h.text("Trends ");
            h.el("span", &[("class", "count")], "24 hours");
        });
        let (latency, more) = latency(view);
        charts(h, view, "Latency", &latency);
        if more > 0 {
            let text = format!("and {more} more: /api/monitoring/trends has them all");
            h.el("p", &[("class", "meta")], &text);
        }
        let host = host(view);
        charts(h, view, "Host", &host);
        errors(h, view);
        fixes(h, view);
        let measured = !latency.is_empty() || !host.is_empty();
        if !measured && view.past.errors.is_empty() && view.status.knowledge.by_type.is_empty() {
            h.el("p", &[("class", "meta")], "Nothing was measured yet.");
        }
    });
}

/// Of the checks that measure one, and how many more there are.
fn latency(view: &View) -> (Vec<Series>, usize) {
    let of = |check: &str| {
        let samples = view.samples.of(check, |point| point.latency_ms);
        Series::of(check, "milliseconds", &samples, view.now)
    };
    let mut all: Vec<Series> = view.samples.checks().into_iter().filter_map(of).collect();
    let more = all.len().saturating_sub(MOST_CHARTS);
    all.truncate(MOST_CHARTS);
    (all, more)
}

fn host(view: &View) -> Vec<Series> {
    let has = |sample: &Sampled, check: &str| {
        sample.checks.get(check).is_some_and(|p| p.cpu.is_some() || p.memory.is_some() || p.disk.is_some())
    };
    let checks = view.samples.checks().into_iter();
    let of = |check: &str| {
        let cpu = view.samples.of(check, |point| point.cpu);
        let memory = view.samples.of(check, |point| point.memory);
        let disk = view.samples.of(check, |point| point.disk);
        [("cpu", cpu), ("memory", memory), ("fullest disk", disk)]
            .into_iter()
            .filter_map(|(what, samples)| Series::of(&format!("{check} {what}"), "percent", &samples, view.now))
            .collect::<Vec<_>>()
    };
    checks.filter(|check| view.samples.all.iter().any(|sample| has(sample, check))).flat_map(of).take(6).collect()
}

fn charts(h: &mut Html, view: &View, label: &str, series: &[Series]) {
    if series.is_empty() {
        return;
    }
    h.el("h3", &[], label);
    h.tag("div", &[("class", "charts")], |h| series.iter().for_each(|one| one.chart(h)));
    let (from, _) = day(view.now);
    let names: Vec<&str> = series.iter().map(|one| one.name.as_str()).collect();
    let row = |at: usize| {
        let cells: Vec<Option<f32>> = series.iter().map(|one| one.values.get(at).copied().flatten()).collect();
        let shown = |(one, value): (&Series, &Option<f32>)| value.map_or("-".to_owned(), |value| one.shown(value));
        let some = cells.iter().any(Option::is_some);
        some.then(|| (from.as_second() + at as i64 * 1_800, series.iter().zip(&cells).map(shown).collect()))
    };
    table(h, label, "highest of each half hour", &names, (0..svg::PARTS).rev().filter_map(row).collect());
}

/// The numbers of a chart, newest first.
fn table(h: &mut Html, label: &str, what: &str, names: &[&str], rows: Vec<(i64, Vec<String>)>) {
    let key = format!("table-{label}");
    h.tag("details", &[("class", "numbers"), ("data-key", &key)], |h| {
        h.el("summary", &[], &format!("{label} as a table"));
        let attrs =
            [("class", "box"), ("tabindex", "0"), ("role", "region"), ("aria-label", label), ("data-key", &key)];
        h.tag("div", &attrs, |h| {
            h.tag("table", &[], |h| {
                h.el("caption", &[], &format!("{label}, {what}, UTC"));
                h.tag("thead", &[], |h| {
                    h.tag("tr", &[], |h| {
                        h.el("th", &[("scope", "col")], "from");
                        names.iter().for_each(|name| h.el("th", &[("scope", "col")], name));
                    });
                });
                h.tag("tbody", &[], |h| {
                    for (from, cells) in &rows {
                        h.tag("tr", &[], |h| {
                            let from = Timestamp::from_second(*from).unwrap_or_default();
                            h.el("th", &[("scope", "row")], &from.strftime("%d. %H:%M").to_string());
                            cells.iter().for_each(|cell| h.el("td", &[], cell));
                        });
                    }
                });
            });
        });
    });
}

/// What errors looked like and how often they came in each hour: the most frequent groups, and the rest together.
fn by_group(view: &View) -> Vec<(String, Vec<u64>)> {
    let first = hour(view) - (HOURS as i64 - 1) * 3_600;
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    let hours = || view.past.errors.range(first..);
    for (id, count) in hours().flat_map(|(_, groups)| groups) {
        *totals.entry(id).or_default() += count;
    }
    let mut top: Vec<(&str, u64)> = totals.into_iter().filter(|(id, _)| *id != OTHER_GROUPS).collect();
    top.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
    top.truncate(TOP_GROUPS);
    let counts = |wanted: &dyn Fn(&str) -> bool| {
        let mut counts = vec![0; HOURS];
        for (at, groups) in hours() {
            let slot = usize::try_from((at - first) / 3_600).ok().and_then(|at| counts.get_mut(at));
            if let Some(slot) = slot {
                *slot += groups.iter().filter(|(id, _)| wanted(id)).map(|(_, count)| count).sum::<u64>();
            }
        }
        counts
    };
    let name = |id: &str| view.past.groups.get(id).map_or(id, |group| group.template.as_str()).to_owned();
    let mut all: Vec<(String, Vec<u64>)> =
        top.iter().map(|(id, _)| (name(id), counts(&|other| other == *id))).collect();
    let rest = counts(&|id| top.iter().all(|(known, _)| *known != id));
    if rest.iter().any(|count| *count > 0) {
        all.push(("all others".to_owned(), rest));
    }
    all
}

fn hour(view: &View) -> i64 {
    view.now.as_second().div_euclid(3_600) * 3_600
}

fn errors(h: &mut Html, view: &View) {
    let groups = by_group(view);
    if groups.is_empty() {
        return;
    }
    let total: u64 = groups.iter().flat_map(|(_, counts)| counts).sum();
    h.el("h3", &[], "Errors per hour");
    h.tag("figure", &[("class", "wide")], |h| {
        let series: Vec<Vec<u64>> = groups.iter().map(|(_, counts)| counts.clone()).collect();
        let label = format!("{} in 24 hours, by group and hour", format::count(total, "error"));
        svg::bars(h, &series, &label);
        h.tag("p", &[("class", "axis"), ("aria-hidden", "true")], |h| {
            h.el("span", &[], "24 h ago");
            h.el("span", &[], &format::count(total, "error"));
            h.el("span", &[], "now");
        });
        h.tag("ol", &[("class", "legend")], |h| {
            for (number, (name, counts)) in groups.iter().enumerate() {
                h.tag("li", &[("class", &["k", svg::series_name(number)].concat())], |h| {
                    h.el("b", &[("class", "num")], &counts.iter().sum::<u64>().to_string());
                    h.text(" ");
                    // Templates are made from log lines.
                    if view.may_read { h.el("span", &[], name) } else { h.text(&format!("group {}", number + 1)) }
                });
            }
        });
    });
    let names: Vec<String> = (1..=groups.len()).map(|number| format!("group {number}")).collect();
    let first = hour(view) - (HOURS as i64 - 1) * 3_600;
    let row = |at: usize| {
        let cells: Vec<u64> = groups.iter().filter_map(|(_, counts)| counts.get(at).copied()).collect();
        let some = cells.iter().any(|count| *count > 0);
        some.then(|| (first + at as i64 * 3_600, cells.iter().map(u64::to_string).collect()))
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    table(h, "Errors", "events in each hour that had some", &names, (0..HOURS).rev().filter_map(row).collect());
}

fn fixes(h: &mut Html, view: &View) {
    let by_type = &view.status.knowledge.by_type;
    let most = by_type.values().map(|tries| tries.total).max().unwrap_or(0);
    if most == 0 {
        return;
    }
    h.el("h3", &[], "Fixes by type, as long as is remembered");
    h.tag("table", &[("class", "fixes")], |h| {
        h.tag("thead", &[], |h| {
            h.tag("tr", &[], |h| {
                ["Fix", "Tries", "Helped", "Success"].iter().for_each(|label| h.el("th", &[("scope", "col")], label));
                h.el("td", &[], "");
            });
        });
        h.tag("tbody", &[], |h| {
            for (name, tries) in by_type.iter().filter(|(_, tries)| tries.total > 0).take(30) {
                let rate = tries.success_rate().unwrap_or(0.0);
                h.tag("tr", &[], |h| {
                    h.el("th", &[("scope", "row")], name);
                    h.el("td", &[], &tries.total.to_string());
                    h.el("td", &[], &tries.successes.to_string());
                    h.el("td", &[], &format!("{:.0} %", rate * 100.0));
                    h.tag("td", &[("class", "c-share")], |h| svg::share(h, rate, tries.total as f64 / most as f64));
                });
            }
        });
    });
}
