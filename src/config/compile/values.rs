//! Single values: numbers in a range, durations, paths, names, globs, URLs, levels. May not live here: sections.

use super::context::Cx;
use crate::config::at::{At, Dur, Table};
use crate::config::raw::{Key, RawLatency, RawLevels, Texts};
use crate::config::{Levels, Secret};
use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// A number in a range, or the default.
pub fn number(cx: Cx<'_>, value: Key<f64>, default: f64, range: RangeInclusive<f64>, key: &str) -> f64 {
    let Some(value) = value else { return default };
    if !range.contains(&value.value) {
        cx.error(&value.span, format!("`{key}` must be from {} to {}", range.start(), range.end()));
        return default;
    }
    value.value
}

/// A number that is one.
pub fn finite(cx: Cx<'_>, value: &Key<f64>, key: &str) -> Option<f64> {
    let value = value.as_ref()?;
    if !value.value.is_finite() {
        cx.error(&value.span, format!("`{key}` must be a finite number"));
        return None;
    }
    Some(value.value)
}

/// A count of at least `least`, or the default.
pub fn count(cx: Cx<'_>, value: Key<i64>, default: u32, least: u32, key: &str) -> u32 {
    let Some(value) = value else { return default };
    match u32::try_from(value.value) {
        Ok(n) if n >= least => n,
        Err(_) if value.value > 0 => {
            cx.error(&value.span, format!("`{key}` must be at most {}", u32::MAX));
            default
        }
        _ => {
            cx.error(&value.span, format!("`{key}` must be {least} or more"));
            default
        }
    }
}

/// A duration longer than nothing, or the default.
pub fn positive(cx: Cx<'_>, value: Key<Dur>, default: Duration) -> Duration {
    match value {
        Some(v) if v.value.0.is_zero() => {
            cx.error(&v.span, "this duration must be longer than nothing");
            default
        }
        Some(v) => v.value.0,
        None => default,
    }
}

/// A duration, or the default.
pub fn duration(value: Key<Dur>, default: Duration) -> Duration {
    value.map_or(default, |v| v.value.0)
}

/// An absolute path without `..`.
pub fn path(cx: Cx<'_>, value: Key<String>) -> Option<PathBuf> {
    let value = value?;
    absolute(cx, &value).then(|| PathBuf::from(&value.value))
}

/// Whether a path or a pattern of paths starts at the root and goes nowhere back.
pub fn absolute(cx: Cx<'_>, value: &At<String>) -> bool {
    let message = if !value.value.starts_with('/') {
        "this path must be absolute: begin it with `/`"
    } else if value.value.split('/').any(|part| part == "..") {
        "this path must not go up with `..`"
    } else if value.value.contains(char::is_control) {
        "this path must not hold control characters"
    } else {
        return true;
    };
    cx.error(&value.span, message);
    false
}

/// A name by which something is referred to: shown in tables, used in `kind:name`.
pub fn name(cx: Cx<'_>, value: &At<String>) -> bool {
    let text = value.value.as_str();
    let message = if text.is_empty() {
        "a name must not be empty"
    } else if text.contains(char::is_control) {
        "a name must not hold control characters"
    } else if text.contains(['/', ':']) {
        "a name must not hold `/` or `:`"
    } else if text.trim() != text {
        "a name must not begin or end with a space"
    } else if text.len() > 100 {
        "a name must not be longer than 100 bytes"
    } else {
        return true;
    };
    cx.error(&value.span, message);
    false
}

/// A word for people and records: not empty, no control characters.
pub fn word(cx: Cx<'_>, value: At<String>, key: &str) -> Option<String> {
    if value.value.trim().is_empty() || value.value.contains(char::is_control) {
        cx.error(&value.span, format!("`{key}` must be a text without control characters"));
        return None;
    }
    Some(value.value)
}

/// A glob, or its error on one line.
pub fn glob(cx: Cx<'_>, value: &At<String>, paths: bool) -> Option<Glob> {
    if value.value.is_empty() {
        cx.error(&value.span, "this pattern is empty");
        return None;
    }
    match GlobBuilder::new(&value.value).literal_separator(paths).build() {
        Ok(glob) => Some(glob),
        Err(e) => {
            cx.error(&value.span, format!("this pattern is not sound: {}", e.kind()));
            None
        }
    }
}

/// A set of globs and the texts it was made of. Nothing written matches nothing.
pub fn glob_set(cx: Cx<'_>, values: Texts, paths: bool) -> (Vec<String>, GlobSet) {
    let (mut texts, mut set) = (Vec::new(), GlobSetBuilder::new());
    let list = values.map(|v| (v.value, v.span));
    let Some((values, span)) = list else { return (texts, GlobSet::empty()) };
    for value in values {
        if paths && !absolute(cx, &value) {
            continue;
        }
        if let Some(glob) = glob(cx, &value, paths) {
            set.add(glob);
            texts.push(value.value);
        }
    }
    let set = set.build().unwrap_or_else(|e| {
        cx.error(&span, format!("these patterns are too much together: {}", e.kind()));
        GlobSet::empty()
    });
    (texts, set)
}

/// A matcher of exactly this text.
pub fn literal_glob(text: &str) -> Option<GlobMatcher> {
    Glob::new(&globset::escape(text)).ok().map(|g| g.compile_matcher())
}

/// An argument list.
pub fn argv(cx: Cx<'_>, value: At<Vec<At<String>>>) -> Option<Vec<String>> {
    let Some(program) = value.value.first() else {
        if !cx.was_removed(&value.span, "") {
            cx.error(&value.span, "a command must name a program");
        }
        return None;
    };
    if program.value.is_empty() || (program.value.contains('/') && !program.value.starts_with('/')) {
        cx.error_help(&program.span, "the program must be an absolute path", "no shell is used: one item per argument");
        return None;
    }
    if program.value.contains(' ') && value.value.len() == 1 {
        cx.error_help(&program.span, "this is a command line, not a program", r#"write ["program", "argument", ...]"#);
        return None;
    }
    Some(value.value.into_iter().map(|v| v.value).collect())
}

/// A URL of one of these schemes, its references resolved.
pub fn url(cx: Cx<'_>, value: &At<String>, schemes: &[&str]) -> Option<Secret> {
    let secret = cx.expand(value)?;
    let rest = schemes.iter().find_map(|s| secret.reveal().strip_prefix(s)?.strip_prefix("://"));
    let Some(rest) = rest else {
        let list: Vec<String> = schemes.iter().map(|s| format!("`{s}://`")).collect();
        cx.error(&value.span, format!("this URL must begin with {}", list.join(" or ")));
        return None;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let local = schemes.iter().any(|s| s.ends_with("unix")) && rest.starts_with('/');
    if (host.is_empty() || host.starts_with(':')) && !local {
        cx.error(&value.span, "this URL names no host");
        return None;
    }
    if secret.reveal().contains(|c: char| c.is_control() || c.is_whitespace()) {
        cx.error(&value.span, "this URL holds spaces or control characters");
        return None;
    }
    Some(secret)
}

/// Which way a value gets worse.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Worse {
    Above,
    Below,
}

/// Warning and critical levels in a range; what is not written is the default's as a whole.
pub fn levels(
    cx: Cx<'_>,
    raw: Option<Table<RawLevels>>,
    default: Levels,
    range: RangeInclusive<f64>,
    worse: Worse,
) -> Levels {
    let Some(Table { value: raw, span }) = raw else { return default };
    for (key, level) in [("warning", &raw.warning), ("critical", &raw.critical)] {
        if let Some(level) = level
            && !range.contains(&level.value)
        {
            let text = match range.end() {
                end if end.is_finite() => format!("`{key}` must be from {} to {end}", range.start()),
                _ => format!("`{key}` must be {} or more", range.start()),
            };
            cx.error(&level.span, text);
        }
    }
    let refused = ["warning", "critical"].iter().any(|key| cx.was_removed(&span, key));
    if raw.warning.is_none() && raw.critical.is_none() && !refused {
        cx.error(&span, "levels need `warning`, `critical` or both");
    }
    crossing(cx, raw.warning.as_ref(), raw.critical.as_ref(), worse);
    Levels { warning: raw.warning.map(|v| v.value), critical: raw.critical.map(|v| v.value) }
}

/// Refuses a critical level that is reached before the warning.
pub fn crossing(cx: Cx<'_>, warning: Option<&At<f64>>, critical: Option<&At<f64>>, worse: Worse) {
    let (Some(warning), Some(critical)) = (warning, critical) else { return };
    let (w, c) = (warning.value, critical.value);
    if worse == Worse::Above && w > c {
        cx.error(&warning.span, format!("the warning level {w} is above the critical level {c}"));
    } else if worse == Worse::Below && w < c {
        cx.error(&warning.span, format!("the warning level {w} is below the critical level {c}"));
    }
}

/// Levels of a duration, in milliseconds.
pub fn latency(cx: Cx<'_>, raw: Option<Table<RawLatency>>, default: Levels) -> Levels {
    let Some(Table { value: raw, span }) = raw else { return default };
    let ms = |d: Key<Dur>| d.map(|d| At { value: d.value.0.as_secs_f64() * 1000.0, span: d.span });
    let raw = RawLevels { warning: ms(raw.warning), critical: ms(raw.critical) };
    levels(cx, Some(Table { value: raw, span }), default, 0.0..=f64::INFINITY, Worse::Above)
}
