//! Any monitoring plugin: its exit code, the first line it prints, its performance data.
//!
//! The format is that of the Monitoring Plugins Development Guidelines: `text | 'label'=value[UOM];warn;crit;min;max`.

use super::{Check, Moment, Seen};
use crate::host::process;
use crate::model::{Metric, Status, Unit};

pub(super) struct CommandCheck {
    pub argv: Vec<String>,
}

/// Output of a plugin that is looked at.
const MAX_OUTPUT: usize = 64 << 10;

impl Check for CommandCheck {
    /// Arguments may hold passwords: the program's name alone is shown.
    fn target(&self) -> String {
        self.argv.first().cloned().unwrap_or_default()
    }

    fn look(&self, moment: &Moment) -> Option<Seen> {
        let done = match process::run(&self.argv, None, moment.left(), MAX_OUTPUT) {
            Ok(done) => done,
            Err(e) => return Some(Seen::new(Status::Unknown, format!("{e:#}"), None)),
        };
        if done.timed_out {
            let message = format!("`{}` did not end within {:?} and was killed", self.target(), moment.timeout);
            return Some(Seen::new(Status::Critical, message, None));
        }
        let stdout = String::from_utf8_lossy(&done.stdout);
        let stderr = String::from_utf8_lossy(&done.stderr);
        let status = match done.code {
            Some(0) => Status::Healthy,
            Some(1) => Status::Warning,
            Some(2) => Status::Critical,
            _ => Status::Unknown,
        };
        let text = first_text(&stdout).or_else(|| first_text(&stderr));
        let message = match (text, done.code) {
            (Some(text), Some(0..=3)) => text.to_owned(),
            (text, Some(code)) => format!("`{}` exited with {code}: {}", self.target(), text.unwrap_or("no output")),
            (text, None) => format!("`{}` was ended by a signal: {}", self.target(), text.unwrap_or("no output")),
        };
        let mut seen = Seen::new(status, message, None);
        seen.metrics = performance_data(&stdout);
        Some(seen)
    }
}

/// The first line's text, without its performance data.
fn first_text(output: &str) -> Option<&str> {
    let line = output.lines().next()?;
    let text = line.split_once('|').map_or(line, |(text, _)| text).trim();
    (!text.is_empty()).then_some(text)
}

/// Every metric after a `|`: of the first line, and of all lines after a second one in the long text.
fn performance_data(output: &str) -> Vec<Metric> {
    let (first, rest) = output.split_once('\n').unwrap_or((output, ""));
    let of_first = first.split_once('|').map_or("", |(_, data)| data);
    let of_rest = rest.split_once('|').map_or("", |(_, data)| data);
    let mut metrics = Vec::new();
    for line in std::iter::once(of_first).chain(of_rest.lines()) {
        let mut rest = line.trim_start();
        while let Some((metric, after)) = next_metric(rest) {
            metrics.extend(metric);
            rest = after.trim_start();
        }
    }
    metrics
}

/// The next item and what follows it; `Some(None)` for one that cannot be read. `None` at the end.
fn next_metric(text: &str) -> Option<(Option<Metric>, &str)> {
    if text.is_empty() {
        return None;
    }
    let (label, rest) = match text.strip_prefix('\'') {
        Some(quoted) => quoted_label(quoted)?,
        None => {
            let end = text.find(['=', ' '])?;
            let (label, rest) = text.split_at(end);
            (label.to_owned(), rest)
        }
    };
    let end = rest.find(' ').unwrap_or(rest.len());
    let (value, after) = rest.split_at(end);
    let metric = value.strip_prefix('=').filter(|_| is_label(&label)).and_then(|value| read_metric(&label, value));
    // A lone word: go on behind it.
    Some((metric, if value.is_empty() { after.trim_start() } else { after }))
}

/// What a plugin means as a label; random bytes are none.
fn is_label(label: &str) -> bool {
    !label.is_empty() && !label.contains(char::is_control)
}

/// A label up to its closing quote; two quotes stand for one.
fn quoted_label(text: &str) -> Option<(String, &str)> {
    let mut label = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('\'')?;
        label.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None => return Some((label, after)),
        }
    }
}

fn read_metric(label: &str, text: &str) -> Option<Metric> {
    let mut fields = text.split(';');
    let value = fields.next()?;
    let unit_at = value.find(|c: char| !(c.is_ascii_digit() || "+-.,eE".contains(c))).unwrap_or(value.len());
    let (number, unit) = value.split_at(unit_at);
    let number: f64 = number.replace(',', ".").parse().ok()?;
    let (unit, factor) = unit_of(unit);
    let mut range = || {
        let (low, high) = fields.next().map_or((None, None), bounds);
        (low.map(|level| level * factor), high.map(|level| level * factor))
    };
    let ((warning_below, warning), (critical_below, critical)) = (range(), range());
    let metric = Metric::new(label, number * factor, unit);
    Some(Metric { warning, critical, warning_below, critical_below, ..metric })
}

/// Our unit for a plugin's, and the factor to it.
fn unit_of(suffix: &str) -> (Unit, f64) {
    match suffix {
        "%" => (Unit::Percent, 1.0),
        "s" => (Unit::Seconds, 1.0),
        "ms" => (Unit::Milliseconds, 1.0),
        "us" => (Unit::Milliseconds, 1e-3),
        "B" => (Unit::Bytes, 1.0),
        "KB" => (Unit::Bytes, 1e3),
        "MB" => (Unit::Bytes, 1e6),
        "GB" => (Unit::Bytes, 1e9),
        "TB" => (Unit::Bytes, 1e12),
        "KiB" => (Unit::Bytes, 1024.0),
        "MiB" => (Unit::Bytes, 1_048_576.0),
        "GiB" => (Unit::Bytes, 1_073_741_824.0),
        _ => (Unit::Count, 1.0),
    }
}

/// Both ends of a range (`80`, `20:`, `10:80`, `~:80`); one that is bad inside (`@5:9`) has no levels like ours.
fn bounds(range: &str) -> (Option<f64>, Option<f64>) {
    if range.starts_with('@') {
        return (None, None);
    }
    let (low, high) = range.split_once(':').unwrap_or(("", range));
    (low.parse().ok(), high.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, value: f64, unit: Unit, warning: Option<f64>, critical: Option<f64>) -> Metric {
        Metric { warning, critical, ..Metric::new(name, value, unit) }
    }

    #[test]
    fn performance_data_is_read() {
        let check = |output: &str, expected: &[Metric]| assert_eq!(performance_data(output), expected, "{output}");
        check("OK", &[]);
        check("OK | ", &[]);
        check("OK | rta=0.5ms;100;500;0", &[metric("rta", 0.5, Unit::Milliseconds, Some(100.0), Some(500.0))]);
        let low = metric("free space", 12.0, Unit::Percent, None, None);
        let low = Metric { warning_below: Some(80.0), ..low };
        check("OK|'free space'=12%;80:;@90:95 b=3", &[low, metric("b", 3.0, Unit::Count, None, None)]);
        let both = Metric { warning_below: Some(2e3), ..metric("a", 5e3, Unit::Bytes, Some(8e3), Some(9e3)) };
        check("OK | a=5KB;2:8;~:9", &[both]);
        check("OK | 'it''s'=1B;;7", &[metric("it's", 1.0, Unit::Bytes, None, Some(7.0))]);
        check("OK | a=U b=1KB;1;2", &[metric("b", 1000.0, Unit::Bytes, Some(1000.0), Some(2000.0))]);
        check("OK | junk a=1 'open", &[metric("a", 1.0, Unit::Count, None, None)]);
        check(
            "OK | a=1\nlong text\nmore | b=2\nc=3c",
            &[
                metric("a", 1.0, Unit::Count, None, None),
                metric("b", 2.0, Unit::Count, None, None),
                metric("c", 3.0, Unit::Count, None, None),
            ],
        );
        check("OK | \u{1b}[31ma=1 'b\u{7}'=2 c=3", &[metric("c", 3.0, Unit::Count, None, None)]);
        check("OK | time=-1,5e1s", &[metric("time", -15.0, Unit::Seconds, None, None)]);
    }

    #[test]
    fn text_ends_at_the_bar() {
        assert_eq!(first_text("DISK OK - 5 GB | a=1\nmore"), Some("DISK OK - 5 GB"));
        assert_eq!(first_text(" | a=1"), None);
        assert_eq!(first_text(""), None);
    }
}
