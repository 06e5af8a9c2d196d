//! Every built-in signature matches its samples and none of its near misses.

use super::signature;
use crate::config::builtin_signatures;
use crate::logs::{scan_lines, signature_set};
use jiff::Timestamp;

fn names_on(line: &str) -> Vec<String> {
    let set = signature_set(&builtin_signatures());
    set.matches(line.as_bytes()).into_iter().map(|id| set.name(id).to_owned()).collect()
}

#[test]
fn every_sample_matches_its_signature_and_no_near_miss_does() {
    let signatures = builtin_signatures();
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
    let signatures = builtin_signatures();
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
fn an_exception_is_that_of_one_language() {
    let check = |line: &str, expected: &[&str]| {
        let mut names = names_on(line);
        names.retain(|name| name.ends_with("_exception"));
        assert_eq!(names, expected, "{line}");
    };
    for line in [
        "java.lang.RuntimeException: b",
        "2025-01-02 03:04:05,123 ERROR [main] java.lang.IllegalStateException: boom",
        "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space",
        "Caused by: java.sql.SQLException: x",
        "org.hibernate.exception.JDBCConnectionException: x",
        "com.example.shop.OrderError: x",
        "ERROR kotlin.KotlinNullPointerException: x",
        "scala.MatchError: 5 (of class java.lang.Integer)",
    ] {
        check(line, &["java_exception"]);
    }
    for line in [
        "TypeError: Cannot read properties of undefined (reading 'id')",
        "TypeError: app.run is not a function",
        "2025-01-02T03:04:05Z ERROR TypeError: Cannot read properties of null (reading 'id')",
        "AxiosError: Network Error",
        "MongoServerError: bad auth : Authentication failed.",
        "ReferenceError: x is not defined",
        "RangeError: Maximum call stack size exceeded",
        "SyntaxError: Unexpected token } in JSON at position 5",
        "Error: connect ECONNREFUSED 127.0.0.1:5432",
        "Error: ENOENT: no such file or directory, open 'x'",
        "Error: Cannot find module './config'",
        "(node:12) UnhandledPromiseRejectionWarning: Error: boom",
        "Uncaught TypeError: x is not iterable",
        "TypeError [ERR_INVALID_ARG_TYPE]: The \"path\" argument must be of type string",
    ] {
        check(line, &["node_exception"]);
    }
    for line in [
        "ValueError: invalid literal for int() with base 10: 'x'",
        "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
        "TypeError: 'NoneType' object is not subscriptable",
        "TypeError: run() missing 1 required positional argument: 'job'",
        "TypeError: can only concatenate str (not \"int\") to str",
        "TypeError: sequence item 0: expected str instance, int found",
        "SyntaxError: invalid syntax",
        "selenium.common.exceptions.WebDriverException: Message: unknown error: net::x",
        "app.errors.RetryableException: job 5 gave up",
        "requests.exceptions.HTTPError: 500",
        "ERROR celery RuntimeError: x",
    ] {
        check(line, &["python_exception"]);
    }
    // What a line alone does not tell.
    check("ReferenceError: weakly-referenced object no longer exists", &["python_exception", "node_exception"]);
    check("io.github.ClientError: x", &["python_exception", "java_exception"]);
    check("TypeError: x", &["python_exception", "node_exception"]);
    check("Error: boom", &["python_exception", "node_exception"]);
}

#[test]
fn built_in_signatures_have_stems() {
    let set = signature_set(&builtin_signatures());
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
    assert_eq!(report.events, 2);
}

#[test]
fn an_overlapping_literal_of_another_signature_hides_nothing() {
    let set = [signature("a", "OperationalError"), signature("b", "Error: x"), signature("c", "alErr")];
    let report = scan_lines(&set, "file:x", b"OperationalError: x\n", Timestamp::UNIX_EPOCH);
    assert_eq!(report.by_signature.values().sum::<u64>(), 3);
}
