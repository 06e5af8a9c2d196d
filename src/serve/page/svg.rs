//! Charts: the 24 hour strip, a line over time, stacked bars. Each says in words what it shows, and no figure is to be
//! had from it alone: the same numbers stand in a table.

use super::format::Mark;
use super::html::Html;
use crate::model::Status;
use std::fmt::Write;

/// Half hours of a day.
pub const PARTS: usize = 48;

const WIDTH: f64 = 288.0;
const HEIGHT: f64 = 56.0;

/// The worst status of each half hour, as ticks: the worse, the taller.
pub fn strip(h: &mut Html, parts: &[Option<Status>]) {
    let label = strip_words(parts);
    h.tag(
        "svg",
        &[
            ("class", "strip"),
            ("viewBox", "0 0 48 16"),
            ("preserveAspectRatio", "none"),
            ("role", "img"),
            ("aria-label", &label),
        ],
        |h| {
            h.tag("title", &[], |h| h.text(&label));
            let (mut at, mut rest) = (0, parts);
            while let Some(first) = rest.first() {
                let run = rest.iter().take_while(|part| *part == first).count();
                let class = first.map_or("blank", |status| Mark::of(status).class());
                let top = match first {
                    None => 15,
                    Some(Status::Healthy) => 9,
                    Some(Status::Unknown) => 6,
                    Some(Status::Warning) => 4,
                    Some(Status::Critical) => 0,
                };
                // One line as thick as a tick is tall; its dashes are the ticks.
                let (middle, tall) = (f64::from(16 + top) / 2.0, (16 - top).to_string());
                let d = format!("M{at} {middle}h{run}");
                h.tag("path", &[("class", class), ("d", &d), ("stroke-width", &tall)], |_| {});
                at += run;
                rest = rest.get(run..).unwrap_or_default();
            }
        },
    );
}

/// `healthy in 46 of 48 half hours, critical in 2`.
fn strip_words(parts: &[Option<Status>]) -> String {
    let all = parts.len();
    let words =
        [Status::Critical, Status::Warning, Status::Unknown, Status::Healthy].into_iter().filter_map(|status| {
            let n = parts.iter().filter(|part| **part == Some(status)).count();
            (n > 0).then(|| format!("{} in {n}", status.word()))
        });
    let words = words.collect::<Vec<_>>().join(", ");
    if words.is_empty() { "no samples in 24 hours".to_owned() } else { format!("{words} of {all} half hours") }
}

/// One value over time. Where nothing was measured there is a gap.
pub fn line(h: &mut Html, values: &[Option<f32>], top: f32, label: &str) {
    let d = line_path(values, top, false);
    let area = line_path(values, top, true);
    chart(h, label, |h| {
        h.tag("path", &[("class", "area"), ("d", &area)], |_| {});
        h.tag("path", &[("class", "curve"), ("d", &d)], |_| {});
    });
}

fn chart(h: &mut Html, label: &str, inner: impl FnOnce(&mut Html)) {
    let view = format!("0 0 {WIDTH} {HEIGHT}");
    let attrs = [
        ("class", "chart"),
        ("viewBox", view.as_str()),
        ("preserveAspectRatio", "none"),
        ("role", "img"),
        ("aria-label", label),
    ];
    h.tag("svg", &attrs, |h| {
        h.tag("path", &[("class", "grid"), ("d", "M0 .5h288M0 28h288M0 55.5h288")], |_| {});
        inner(h);
    });
}

/// Half of the height is `top / 2`; a lone sample is a short stroke.
fn line_path(values: &[Option<f32>], top: f32, closed: bool) -> String {
    let step = WIDTH / values.len().max(1) as f64;
    let y = |value: f32| {
        let share = if top > 0.0 { f64::from(value / top).clamp(0.0, 1.0) } else { 0.0 };
        (HEIGHT - 2.0) - share * (HEIGHT - 4.0)
    };
    let mut d = String::new();
    for run in values.iter().enumerate().collect::<Vec<_>>().split(|(_, value)| value.is_none()) {
        let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { continue };
        let (from, to) = (*first as f64 * step, (*last as f64 + 1.0) * step);
        for (place, (at, value)) in run.iter().enumerate() {
            let x = (*at as f64 + 0.5) * step;
            let y = y(value.unwrap_or_default());
            let _ = match (place, closed) {
                (0, true) => write!(d, "M{} {HEIGHT}V{}L{} {}", short(from), short(y), short(x), short(y)),
                (0, false) => write!(d, "M{} {}L{} {}", short(from), short(y), short(x), short(y)),
                _ => write!(d, " {} {}", short(x), short(y)),
            };
        }
        let _ = write!(d, "H{}", short(to));
        if closed {
            let _ = write!(d, "V{HEIGHT}z");
        }
    }
    d
}

/// Columns of one series upon another; `series` from the bottom up, each with as many values.
pub fn bars(h: &mut Html, series: &[Vec<u64>], label: &str) {
    let columns = series.iter().map(Vec::len).max().unwrap_or(0);
    let total = |at: usize| series.iter().filter_map(|s| s.get(at)).sum::<u64>();
    let top = (0..columns).map(total).max().unwrap_or(0).max(1) as f64;
    let step = WIDTH / columns.max(1) as f64;
    let mut below = vec![0_u64; columns];
    chart(h, label, |h| {
        for (number, values) in series.iter().enumerate() {
            let mut d = String::new();
            for (at, (value, below)) in values.iter().zip(&mut below).enumerate().filter(|(_, (value, _))| **value > 0)
            {
                let tall = *value as f64 / top * (HEIGHT - 4.0);
                let foot = HEIGHT - *below as f64 / top * (HEIGHT - 4.0);
                let (x, wide) = (at as f64 * step + 1.0, step - 2.0);
                let _ = write!(d, "M{} {}v-{}h{}v{}z", short(x), short(foot), short(tall), short(wide), short(tall));
                *below += value;
            }
            if !d.is_empty() {
                let class = ["s", series_name(number)].concat();
                h.tag("path", &[("class", &class), ("d", &d)], |_| {});
            }
        }
    });
}

/// A share (0 to 1) of a whole as a horizontal bar.
pub fn share(h: &mut Html, of: f64, widest: f64) {
    let attrs =
        [("class", "share"), ("viewBox", "0 0 100 8"), ("preserveAspectRatio", "none"), ("aria-hidden", "true")];
    h.tag("svg", &attrs, |h| {
        let rect = |h: &mut Html, class, wide: f64| {
            let d = format!("M0 0h{}v8h-{}z", short(wide), short(wide));
            h.tag("path", &[("class", class), ("d", &d)], |_| {});
        };
        let widest = widest.clamp(0.0, 1.0) * 100.0;
        rect(h, "all", widest);
        rect(h, "part", widest * of.clamp(0.0, 1.0));
    });
}

/// The name under which the style sheet knows the colour of a series.
pub fn series_name(number: usize) -> &'static str {
    ["1", "2", "3", "4", "5", "6", "7"].get(number).copied().unwrap_or("7")
}

fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_says_in_words_what_it_shows() {
        let (good, bad) = (Some(Status::Healthy), Some(Status::Critical));
        for (parts, expected) in [
            (vec![None; 48], "no samples in 24 hours"),
            (vec![good; 48], "healthy in 48 of 48 half hours"),
            (vec![bad, good, good, bad], "critical in 2, healthy in 2 of 4 half hours"),
        ] {
            assert_eq!(strip_words(&parts), expected);
        }
    }

    #[test]
    fn a_strip_of_a_quiet_day_is_one_stroke() {
        let mut h = Html::new();
        strip(&mut h, &[Some(Status::Healthy); 48]);
        assert_eq!(h.into_string().matches("<path").count(), 1);
    }

    #[test]
    fn a_line_has_gaps_where_nothing_was_measured() {
        let check = |values: &[Option<f32>], expected: &str| assert_eq!(line_path(values, 10.0, false), expected);
        check(&[], "");
        check(&[None, None], "");
        check(&[Some(0.0), Some(10.0)], "M0 54L72 54 216 2H288");
        check(&[Some(10.0), None, Some(20.0)], "M0 2L48 2H96M192 2L240 2H288");
    }
}
