//! healer.toml(5) as a table: what each key holds, its default, its description. The page is the one place where keys are
//! described; the JSON Schema and `healer config show` take that from here. May not live here: types.

use std::collections::BTreeMap;

/// The page.
pub const HEALER_TOML_5: &str = include_str!("../../man/healer.toml.5");

/// Which section of the page describes the keys of each type of `raw`.
pub const MANUAL_SECTIONS: [(&str, &str); 41] = [
    ("RawConfig", "top level"),
    ("RawRulesFile", "top level"),
    ("RawSignatures", "[signatures]"),
    ("RawAllow", "[allow]"),
    ("RawChecks", "[checks]"),
    ("RawDocker", "[checks.docker]"),
    ("RawHost", "[checks.host]"),
    ("RawPostgres", "[checks.postgres.NAME]"),
    ("RawQuery", "queries of [checks.postgres.NAME]"),
    ("RawRedis", "[checks.redis.NAME]"),
    ("RawQueue", "queues of [checks.redis.NAME]"),
    ("RawHttp", "[checks.http.NAME]"),
    ("RawTcp", "[checks.tcp.NAME]"),
    ("RawCommand", "[checks.command.NAME]"),
    ("RawLevels", "levels"),
    ("RawLatency", "latency of [checks.http.NAME]"),
    ("RawLogs", "[logs]"),
    ("RawLogsDocker", "[logs.docker]"),
    ("RawLogFile", "[logs.files.NAME]"),
    ("RawLogJournal", "[logs.journal.NAME]"),
    ("RawSignature", "[[signature]]"),
    ("RawRule", "[[rule]]"),
    ("RawWhen", "when"),
    ("RawEvidence", "evidence"),
    ("RawFix", "[[rule.fix]]"),
    ("RawStep", "steps"),
    ("RawBound", "changes of memory, cpus and config_set"),
    ("RawValidate", "[rule.validate]"),
    ("RawRuleLimits", "[rule.limits]"),
    ("RawTest", "[[rule.test]]"),
    ("RawExpect", "expect"),
    ("RawLimits", "[limits]"),
    ("RawMaintenance", "[[maintenance]]"),
    ("RawLearning", "[learning]"),
    ("RawAlerts", "[alerts]"),
    ("RawWebhook", "webhook of [alerts]"),
    ("RawEmail", "email of [alerts]"),
    ("RawBackups", "[backups]"),
    ("RawState", "[state]"),
    ("RawMetrics", "[metrics]"),
    ("RawServe", "[serve]"),
];

/// The section that describes a key that every kind of check has.
pub const EVERY_CHECK: &str = "keys of every check";

/// What the page says of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// What it holds: `duration above 0`.
    pub holds: String,
    pub default: Option<String>,
    pub is_required: bool,
    pub text: String,
}

/// A section: its keys in the page's order.
pub type Section = Vec<(String, Entry)>;

/// Every section of the page.
pub fn sections() -> BTreeMap<String, Section> {
    let mut found: BTreeMap<String, Section> = BTreeMap::new();
    let mut heading = String::new();
    let mut lines = HEALER_TOML_5.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix(".SS ").or(line.strip_prefix(".SH ")) {
            heading = name.trim_matches('"').to_owned();
        } else if line == ".TP" {
            let Some(tag) = lines.next() else { break };
            let mut text = Vec::new();
            let ends = |line: &str| [".TP", ".SS", ".SH", ".PP", ".EX"].iter().any(|m| line.starts_with(m));
            while let Some(line) = lines.next_if(|line| !ends(line)) {
                text.push(plain(line));
            }
            let (keys, entry) = entry(&plain(tag), text.join(" "));
            let section = found.entry(heading.clone()).or_default();
            section.extend(keys.into_iter().map(|key| (key, entry.clone())));
        }
    }
    found
}

/// `warning, critical = number; required`.
fn entry(tag: &str, text: String) -> (Vec<String>, Entry) {
    let (keys, rest) = tag.split_once(" = ").unwrap_or((tag, ""));
    let mut parts = rest.split("; ");
    let mut entry = Entry { holds: parts.next().unwrap_or_default().to_owned(), text, ..Entry::default() };
    for part in parts {
        entry.is_required |= part == "required";
        entry.default = part.strip_prefix("default ").map(str::to_owned).or(entry.default);
    }
    (keys.split(", ").map(str::to_owned).collect(), entry)
}

/// A line of the page without its fonts: of a macro its arguments, those of `.BR` and its like without spaces between.
fn plain(line: &str) -> String {
    let line = line.replace("\\-", "-").replace("\\fI", "").replace("\\fR", "").replace("\\(dq", "\"");
    let Some(call) = line.strip_prefix('.') else { return line };
    let (name, rest) = call.split_once(' ').unwrap_or((call, ""));
    let glue = if name.len() == 2 { "" } else { " " };
    arguments(rest).join(glue)
}

fn arguments(text: &str) -> Vec<String> {
    let (mut found, mut word, mut quoted, mut is_any) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            '"' => (quoted, is_any) = (!quoted, true),
            ' ' if !quoted => {
                if is_any {
                    found.push(std::mem::take(&mut word));
                }
                is_any = false;
            }
            c => {
                word.push(c);
                is_any = true;
            }
        }
    }
    if is_any {
        found.push(word);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_with_all_its_parts() {
        let sections = sections();
        let check = |section: &str, key: &str, holds: &str, default: Option<&str>, is_required: bool| {
            let found = sections[section].iter().find(|(k, _)| k == key).map(|(_, e)| e).unwrap();
            let seen = (found.holds.as_str(), found.default.as_deref(), found.is_required);
            assert_eq!(seen, (holds, default, is_required), "{section} {key}");
            assert!(!found.text.contains(".B") && !found.text.contains('\\'), "{}", found.text);
        };
        check("top level", "mode", "auto | suggest", Some("auto"), false);
        check("[checks.host]", "disk_percent", "levels, 0 to 100", Some("critical 95"), false);
        check("queries of [checks.postgres.NAME]", "critical_below", "number", None, false);
        check("[[rule]]", "name", "text", None, true);
        check("when", "state", "exited | unhealthy | restarting | oom_killed", None, false);
        let mode = &sections["top level"].iter().find(|(k, _)| k == "mode").unwrap().1;
        assert!(mode.text.ends_with("It holds every rule, whatever its own mode says."), "{}", mode.text);
    }
}
