//! Every built-in signature matches its samples and none of its near misses.

use super::{builtin, signature};
use crate::logs::{scan_lines, signature_set};
use jiff::Timestamp;

fn names_on(line: &str) -> Vec<String> {
    let set = signature_set(&builtin());
    set.matches(line.as_bytes()).into_iter().map(|id| set.name(id).to_owned()).collect()
}

#[test]
fn every_sample_matches_its_signature_and_no_near_miss_does() {
    let signatures = builtin();
    let set = signature_set(&signatures);
    let mut wrong = Vec::new();
    for (id, s) in (0..).zip(&signatures) {
        assert!(s.matches.len() >= 2 && s.ignores.len() >= 2, "{}: too few samples", s.name);
        regex::bytes::Regex::new(&s.pattern).unwrap_or_else(|e| panic!("{}: {e}", s.name));
        wrong.extend(
            s.matches
                .iter()
                .filter(|l| !set.matches(l.as_bytes()).contains(&id))
                .map(|l| format!("{} misses {l}", s.name)),
        );
        wrong.extend(
            s.ignores
                .iter()
                .filter(|l| set.matches(l.as_bytes()).contains(&id))
                .map(|l| format!("{} takes {l}", s.name)),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scanner_finds_every_sample_in_a_buffer_that_holds_other_lines() {
    let signatures = builtin();
    for s in &signatures {
        for line in &s.matches {
            let text = format!("nothing here\n{line}\nnothing there\n");
            let report = scan_lines(&signatures, "file:x", text.as_bytes(), Timestamp::UNIX_EPOCH);
            assert!(report.matched_lines.contains_key(&s.name), "{}: {line}", s.name);
            assert_eq!(report.events, 1, "{line}");
            assert!(report.by_signature.values().all(|n| *n == 1), "{line}: {:?}", report.by_signature);
        }
    }
}

#[test]
fn built_in_signatures_have_stems() {
    let set = signature_set(&builtin());
    assert_eq!(set.without_stems().collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn healthy_lines_match_nothing() {
    for line in [
        "2025-01-02 03:04:05 INFO done: 0 errors, error_rate=0",
        "errors: 0, warnings: 0",
        "no error",
        "10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /error HTTP/1.1\" 200 5 \"-\" \"ErrorBot/1.0 Error: x\"",
        "10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /Traceback (most recent call last): HTTP/1.1\" 404 5 \"-\" \"-\"",
        "timeout=30 max_retries=5",
        "",
    ] {
        assert_eq!(names_on(line), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn a_pattern_without_literals_is_tried_on_every_line() {
    let set = [signature("digits", r"^\d+$")];
    let report = scan_lines(&set, "file:x", b"a\n12\nb\n345\n", Timestamp::UNIX_EPOCH);
    assert_eq!((report.events, report.lines), (2, 4));
}

#[test]
fn an_overlapping_literal_of_another_signature_hides_nothing() {
    let set = [signature("a", "OperationalError"), signature("b", "Error: x"), signature("c", "alErr")];
    let report = scan_lines(&set, "file:x", b"OperationalError: x\n", Timestamp::UNIX_EPOCH);
    assert_eq!(report.by_signature.values().sum::<u64>(), 3);
}
