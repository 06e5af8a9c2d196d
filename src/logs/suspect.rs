//! Lines that look like errors to a reader who knows no signature: words and level fields.
//!
//! Pure. Not here: what is an error (the signatures decide); this only proposes what they may have missed.

use regex::bytes::Regex;
use std::ops::Range;
use std::sync::OnceLock;

/// Words of trouble, on their own or at the end of a name (`login_failed`, `ValueError`), and levels written as numbers:
/// those of bunyan and pino, of syslog and the journal, of klog.
const SUSPICIOUS: &str = r#"(?x-u)
    (?i: (?:^|[^a-z0-9]) ( errors? | err | fail(?:s|ed|ure|ures|ing)? | exceptions? | fatal | panic(?:s|ked)? | traceback
        | critical | crit | emerg | crash(?:ed|es)? | abort(?:ed)? ) (?:[^a-z0-9_]|$) )
  | \b ( [A-Za-z0-9_.]* [A-Za-z0-9] (?:Error|Exception|Failure) ) \b
  | ( "(?:level|lvl|severity)" \s* : \s* (?:50|60) \b )
  | ( ^ <[0-3]> | \b PRIORITY=[0-3] \b )
  | ( ^ [EF] \d{4} ) \x20 \d\d:
"#;

/// The same words where they say that nothing is wrong.
const HARMLESS: &str = r#"(?ix-u)
    \b (?: no | 0 | zero | without | without\ any ) \s+ (?: errors? | failures? | exceptions? | failed )
  | \b (?: errors? | err | fail(?:ures?|ed) | exceptions? ) ["']? \s* [:=] \s*
    (?: 0 (?:[^.\d]|$) | none\b | null\b | nil\b | false\b | <nil> | \[\] | "" )
"#;

/// What in a line looks like an error.
pub fn suspicious(line: &[u8]) -> Option<Range<usize>> {
    static BOTH: OnceLock<Option<(Regex, Regex)>> = OnceLock::new();
    let compiled = || Some((Regex::new(SUSPICIOUS).ok()?, Regex::new(HARMLESS).ok()?));
    let (suspicious, harmless) = BOTH.get_or_init(compiled).as_ref()?;
    let mut from = 0;
    while let Some(found) = suspicious.captures_at(line, from) {
        let word = found.iter().skip(1).flatten().next()?;
        let excused =
            |harmless: regex::bytes::Match<'_>| harmless.start() <= word.start() && word.end() <= harmless.end();
        if !harmless.find_iter(line).any(excused) {
            return Some(word.range());
        }
        // The byte behind a word may be the one before the next.
        from = word.end();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<&str>) {
        let found = suspicious(line.as_bytes()).map(|span| &line[span]);
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn words_and_levels_of_trouble_are_seen() {
        check("2025-01-02 ERROR no such order", Some("ERROR"));
        check("level=error msg=\"x\"", Some("error"));
        check(r#"{"severity":"CRITICAL","m":1}"#, Some("CRITICAL"));
        check(r#"{"level":50,"msg":"job gave up"}"#, Some("\"level\":50"));
        check("<3>usb 1-1: device not accepting address", Some("<3>"));
        check("E0102 03:04:05.000000 1 main.go:7] lost lease", Some("E0102"));
        check("event=login_failed user=7", Some("failed"));
        check("app.ValueError raised", Some("app.ValueError"));
        check("javax.jms.JMSException", Some("javax.jms.JMSException"));
        check("backup failed", Some("failed"));
        check("kernel: BUG: Panic", Some("Panic"));
        check("errors: 0, failures: 3", Some("failures"));
        check("error,error", Some("error"));
    }

    #[test]
    fn counts_of_none_and_names_are_not() {
        for line in [
            "done: 0 errors, error_rate=0",
            "errors: 0, failed=0",
            "finished without errors",
            "no failures",
            "error=null",
            r#"{"level":30,"error":null}"#,
            "error_count is a metric",
            "terror and mirrors",
            "failover finished",
            "<6>usb 1-1: new device",
            "",
        ] {
            check(line, None);
        }
        check("10 errors", Some("errors"));
        check("errors: 0.5", Some("errors"));
    }
}
