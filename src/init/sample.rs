//! The smallest file in which a selector finds a literal: what the test of a proposed rule reads. Pure.

use crate::config::{Format, Segment, Selector, bare, quoted};
use crate::fix::edit;

/// A file with this literal at this place; `None` where none can be made.
pub fn of(format: Format, at: &str, raw: &str) -> Option<String> {
    let selector = Selector::parse(at, format).ok()?;
    let text = match &selector {
        Selector::Path(path) => of_path(format, &keys(path)?, raw)?,
        Selector::Call { name, .. } => format!("{name}({raw})\n"),
        Selector::Keyword { keyword, call, .. } => format!("{call}({keyword}={raw})\n"),
        Selector::Assign { name, .. } => format!("{name} = {raw}\n"),
    };
    let located = edit::locate(text.as_bytes(), format, &selector).ok()?;
    (located.literal.raw == raw).then_some(text)
}

fn keys(path: &[Segment]) -> Option<Vec<&str>> {
    path.iter().map(|segment| if let Segment::Key(key) = segment { Some(key.as_str()) } else { None }).collect()
}

fn of_path(format: Format, keys: &[&str], raw: &str) -> Option<String> {
    let (last, tables) = keys.split_last()?;
    Some(match format {
        Format::Toml => format!("{} = {raw}\n", keys.iter().map(|key| bare(key)).collect::<Vec<_>>().join(".")),
        Format::Yaml => {
            let line = |(depth, key): (usize, &&str)| format!("{}{}:\n", "  ".repeat(depth), bare(key));
            let above: String = tables.iter().enumerate().map(line).collect();
            format!("{above}{}{}: {raw}\n", "  ".repeat(tables.len()), bare(last))
        }
        Format::Json => {
            let open: String = tables.iter().map(|key| format!("{{{}: ", quoted(key))).collect();
            format!("{open}{{{}: {raw}}}{}\n", quoted(last), "}".repeat(tables.len()))
        }
        Format::Ini => match tables {
            [] => format!("{last} = {raw}\n"),
            [section] => format!("[{section}]\n{last} = {raw}\n"),
            _ => return None,
        },
        Format::Env => format!("{last}={raw}\n"),
        Format::Python => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_a_file_that_its_selector_finds() {
        let check = |format, at: &str, raw: &str, text: Option<&str>| assert_eq!(of(format, at, raw).as_deref(), text);
        check(Format::Python, "call asyncio.sleep", "0.8", Some("asyncio.sleep(0.8)\n"));
        check(Format::Python, "keyword timeout of requests.get", "10", Some("requests.get(timeout=10)\n"));
        check(Format::Python, "assign BATCH_SIZE", "500", Some("BATCH_SIZE = 500\n"));
        check(Format::Toml, "http.client.timeout", "5", Some("http.client.timeout = 5\n"));
        check(Format::Yaml, "worker.batch_size", "100", Some("worker:\n  batch_size: 100\n"));
        check(Format::Json, "a.delay", "1.5", Some("{\"a\": {\"delay\": 1.5}}\n"));
        check(Format::Ini, "http.timeout", "5", Some("[http]\ntimeout = 5\n"));
        check(Format::Env, "API_TIMEOUT", "30s", Some("API_TIMEOUT=30s\n"));
        check(Format::Yaml, "list[0]", "1", None);
        check(Format::Env, "API_TIMEOUT", "30 # x", None);
    }
}
