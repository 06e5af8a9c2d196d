//! Figures, times and states in words and shapes.

use super::html::Html;
use crate::model::Status;
use jiff::Timestamp;
use serde_json::Value;

/// How a thing stands. Never told by colour alone: each has a shape of its own, and a word stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Info,
    Good,
    Unknown,
    Busy,
    Warn,
    Bad,
}

impl Mark {
    pub fn of(status: Status) -> Mark {
        match status {
            Status::Healthy => Mark::Good,
            Status::Unknown => Mark::Unknown,
            Status::Warning => Mark::Warn,
            Status::Critical => Mark::Bad,
        }
    }

    /// The class that colours it.
    pub fn class(self) -> &'static str {
        match self {
            Mark::Info => "info",
            Mark::Good => "good",
            Mark::Unknown => "dunno",
            Mark::Busy => "busy",
            Mark::Warn => "warn",
            Mark::Bad => "bad",
        }
    }

    pub fn shape(self) -> &'static str {
        match self {
            Mark::Info => "○",
            Mark::Good => "●",
            Mark::Unknown => "?",
            Mark::Busy => "◐",
            Mark::Warn => "▲",
            Mark::Bad => "■",
        }
    }

    /// What 'failing only' hides.
    pub fn is_fine(self) -> bool {
        matches!(self, Mark::Info | Mark::Good)
    }

    /// The shape, for eyes only.
    pub fn draw(self, h: &mut Html) {
        let class = ["m ", self.class()].concat();
        h.el("span", &[("class", &class), ("aria-hidden", "true")], self.shape());
    }

    /// Shape and word.
    pub fn say(self, h: &mut Html, word: &str) {
        let class = ["tag ", self.class()].concat();
        h.tag("span", &[("class", &class)], |h| {
            self.draw(h);
            h.text(" ");
            h.text(word);
        });
    }
}

/// The status that a document says; what it does not know is unknown.
pub fn status(value: &Value) -> Status {
    match value.as_str() {
        Some("healthy") => Status::Healthy,
        Some("warning") => Status::Warning,
        Some("critical") => Status::Critical,
        _ => Status::Unknown,
    }
}

/// Seconds from `earlier` to `later`, none when a clock was set back.
pub fn seconds(earlier: Timestamp, later: Timestamp) -> u64 {
    u64::try_from(later.as_second().saturating_sub(earlier.as_second())).unwrap_or(0)
}

/// `42 s`, `17 min`, `3 h`, `2 d`. The script says it in the same words.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The same for a sentence: `17 minutes`.
pub fn long_age(seconds: u64) -> String {
    match seconds {
        0..60 => count(seconds, "second"),
        60..7_200 => count(seconds / 60, "minute"),
        7_200..172_800 => count(seconds / 3_600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
}

/// What is left: `1:12`, `1 h 5 min`. The script says it in the same words.
pub fn left(seconds: u64) -> String {
    match seconds {
        0..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1 problem`, `2 problems`.
pub fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// At most three digits that mean something.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A figure with its unit: `120 ms`, `1.5 s`, `61 %`, `240 MB`.
pub fn figure(value: f64, unit: &str) -> String {
    match unit {
        "milliseconds" if value.abs() >= 1_000.0 => format!("{} s", number(value / 1_000.0)),
        "milliseconds" => format!("{} ms", number(value)),
        "seconds" => format!("{} s", number(value)),
        "percent" => format!("{} %", number(value)),
        "bytes" => bytes(value),
        _ => number(value),
    }
}

fn bytes(value: f64) -> String {
    let (mut value, mut unit) = (value, "B");
    for next in ["kB", "MB", "GB", "TB"] {
        if value.abs() < 1_000.0 {
            break;
        }
        (value, unit) = (value / 1_000.0, next);
    }
    format!("{} {unit}", number(value))
}

/// `+4`, `-40`.
pub fn signed(points: f64) -> String {
    format!("{}{}", if points < 0.0 { "-" } else { "+" }, number(points.abs()))
}

/// `2025-10-19 17:00:00 UTC`.
pub fn exact(t: Timestamp) -> String {
    t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A time in words that the script keeps true; the exact one as its title.
pub fn ago(h: &mut Html, t: Timestamp, now: Timestamp) {
    let since = t.as_second().to_string();
    let attrs =
        [("datetime", &*t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()), ("title", &exact(t)), ("data-since", &since)];
    h.el("time", &attrs, &format!("{} ago", age(seconds(t, now))));
}

/// The time of day, the exact one as its title.
pub fn clock(h: &mut Html, t: Timestamp) {
    let datetime = t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    h.el("time", &[("datetime", &datetime), ("title", &exact(t))], &t.strftime("%H:%M:%S").to_string());
}

/// What is left until a time; the script counts it down.
pub fn until(h: &mut Html, left_s: u64, now: Timestamp) {
    let end = now.as_second().saturating_add(i64::try_from(left_s).unwrap_or(0)).to_string();
    h.el("span", &[("class", "num"), ("data-until", &end)], &left(left_s));
}

/// The text of a key; nothing where there is none.
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The texts of a list.
pub fn texts<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    list(value, key).filter_map(Value::as_str).collect()
}

/// The items of a list.
pub fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// An id that may stand in the path of a request: ours are of these characters.
pub fn id(text: &str) -> Option<&str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    ((1..=80).contains(&text.len()) && text.bytes().all(fits)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        let check = |found: String, expected: &str| assert_eq!(found, expected);
        check(age(59), "59 s");
        check(age(61), "1 min");
        check(age(7_200), "2 h");
        check(age(200_000), "2 d");
        check(long_age(1_020), "17 minutes");
        check(long_age(60), "1 minute");
        check(left(72), "1:12");
        check(left(3_900), "1 h 5 min");
        check(number(0.8), "0.8");
        check(number(100.0), "100");
        check(number(1_234.56), "1235");
        check(figure(1_530.0, "milliseconds"), "1.53 s");
        check(figure(12.0, "milliseconds"), "12 ms");
        check(figure(251_658_240.0, "bytes"), "252 MB");
        check(figure(61.0, "percent"), "61 %");
        check(signed(-40.0), "-40");
        check(exact(Timestamp::UNIX_EPOCH), "1970-01-01 00:00:00 UTC");
    }

    #[test]
    fn only_an_id_of_ours_gets_into_a_path() {
        for (text, fits) in [
            ("backup_20251019_170000_2", true),
            ("plan_0123456789ab", true),
            ("", false),
            ("../x", false),
            ("a/b", false),
            ("a?b", false),
            ("javascript:alert(1)", false),
            ("ü", false),
        ] {
            assert_eq!(id(text).is_some(), fits, "{text}");
        }
    }
}
