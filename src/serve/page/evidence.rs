//! What a conclusion stands on: signals, log lines, the sum of its confidence, the difference it makes.

use super::View;
use super::format;
use super::html::Html;
use serde_json::Value;

/// Whether who asks may read log text and differences; says so where not.
pub fn may_be_shown(h: &mut Html, view: &View) -> bool {
    if !view.may_read {
        h.el("p", &[("class", "note")], "Log text and diffs need the token.");
    }
    view.may_read
}

/// Everything that a diagnosis stands on, to be opened.
pub fn details(h: &mut Html, view: &View, d: &Value, key: &str) {
    h.tag("details", &[("data-key", key)], |h| {
        let and = if format::text(d, "diff").is_empty() {
            "Evidence and confidence"
        } else {
            "Evidence, confidence, difference"
        };
        h.el("summary", &[], and);
        let shown = may_be_shown(h, view);
        if shown {
            signals(h, d);
            log(h, "Log", d.pointer("/trigger/example").and_then(Value::as_str).into_iter());
        }
        addends(h, format::list(d, "addends"), d["confidence"].as_u64());
        if shown {
            diff(h, format::text(d, "diff"));
        }
        candidates(h, d);
    });
}

/// What was looked for, and whether it was there.
fn signals(h: &mut Html, d: &Value) {
    if format::list(d, "signals").next().is_none() {
        return;
    }
    h.el("h4", &[], "Evidence");
    h.tag("ul", &[("class", "plain")], |h| {
        for signal in format::list(d, "signals") {
            h.tag("li", &[], |h| one_signal(h, signal));
        }
    });
}

fn one_signal(h: &mut Html, signal: &Value) {
    let held = signal["held"] == true;
    // Neither good nor bad: what is seen may speak against it.
    let (shape, word) = if held { ("●", "seen") } else { ("○", "absent") };
    h.tag("span", &[("class", "tag info")], |h| {
        h.el("span", &[("class", "m info"), ("aria-hidden", "true")], shape);
        h.text(" ");
        h.text(word);
    });
    h.text(" ");
    let (asked, seen) = (format::text(signal, "asked"), format::text(signal, "seen"));
    h.text(if held { seen } else { asked });
    if !held && !seen.is_empty() {
        h.el("span", &[("class", "meta")], &format!(" ({seen})"));
    }
    let weight = match (format::text(signal, "role"), signal["weight"].as_f64()) {
        ("required", _) => " required".to_owned(),
        (_, Some(weight)) if weight != 0.0 => format!(" {}", format::signed(weight)),
        _ => return,
    };
    h.el("span", &[("class", "num")], &weight);
}

/// Log lines as they were.
pub fn log<'a>(h: &mut Html, label: &str, lines: impl Iterator<Item = &'a str>) {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return;
    }
    h.el("h4", &[], label);
    h.tag("pre", &[("tabindex", "0")], |h| {
        for (number, line) in lines.enumerate() {
            if number > 0 {
                h.lines("\n");
            }
            h.lines(line);
        }
    });
}

/// The parts of a confidence and their sum.
pub fn addends<'a>(h: &mut Html, addends: impl Iterator<Item = &'a Value>, sum: Option<u64>) {
    let mut addends = addends.peekable();
    if addends.peek().is_none() {
        return;
    }
    h.tag("table", &[("class", "sum")], |h| {
        h.el("caption", &[], "Confidence");
        h.tag("tbody", &[], |h| {
            for addend in addends {
                row(h, format::text(addend, "label"), &format::signed(addend["points"].as_f64().unwrap_or(0.0)));
            }
        });
        if let Some(sum) = sum {
            h.tag("tfoot", &[], |h| row(h, "confidence, of 100", &sum.to_string()));
        }
    });
}

fn row(h: &mut Html, label: &str, value: &str) {
    h.tag("tr", &[], |h| {
        h.el("th", &[("scope", "row")], label);
        h.el("td", &[], value);
    });
}

/// A unified diff; what is added and taken away is told by its sign, too.
pub fn diff(h: &mut Html, diff: &str) {
    if diff.is_empty() {
        return;
    }
    h.el("h4", &[], "Difference");
    h.tag("pre", &[("class", "diff"), ("tabindex", "0")], |h| {
        for (number, line) in diff.lines().take(200).enumerate() {
            if number > 0 {
                h.lines("\n");
            }
            let name = match line.as_bytes() {
                [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => "b",
                [b'+', ..] => "ins",
                [b'-', ..] => "del",
                [b'@', ..] => "i",
                _ => {
                    h.line(line);
                    continue;
                }
            };
            h.tag(name, &[], |h| h.line(line));
        }
    });
}

/// What is done, in its order.
pub fn steps(h: &mut Html, label: &str, steps: &[&str]) {
    if steps.is_empty() {
        return;
    }
    h.el("h4", &[], label);
    h.tag("ol", &[("class", "steps")], |h| steps.iter().for_each(|step| h.el("li", &[], step)));
}

/// The causes that lost against the one that was chosen.
fn candidates(h: &mut Html, d: &Value) {
    let others: Vec<&Value> = format::list(d, "candidates").skip(1).collect();
    if others.is_empty() {
        return;
    }
    h.el("h4", &[], "Also possible");
    h.tag("ul", &[("class", "plain")], |h| {
        for other in others {
            let by = other["rule"].as_str().map_or("built-in cause".to_owned(), |rule| format!("rule {rule}"));
            let confidence = other["confidence"].as_u64().unwrap_or(0);
            let (issue, cause) = (format::text(other, "issue_type"), format::text(other, "cause"));
            h.el("li", &[], &format!("{confidence}: {issue} ({by}): {cause}"));
        }
    });
}
