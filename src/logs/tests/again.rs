//! Lines that are counted without a closer look, since one like them was: nothing in a report tells that they were.

use super::signature;
use crate::config::builtin_signatures;
use crate::logs::collect::{Collector, Counter, Counting, Origin};
use crate::logs::event::{RawEvent, Region, Seen, Sink};
use crate::logs::events::Assembler;
use crate::logs::scan::Scan;
use crate::logs::stack;
use crate::logs::{LogState, SignatureSet, signature_set};
use proptest::prelude::*;

/// Takes lone lines, or leaves them to be looked at.
struct Counted<'c, 'a> {
    counter: Counter<'c, 'a>,
    takes: bool,
    taken: usize,
}

impl Sink for Counted<'_, '_> {
    fn event(&mut self, event: &RawEvent<'_>) -> Option<u32> {
        self.counter.event(event)
    }

    fn expect(&self, shape: u64) {
        self.counter.expect(shape);
    }

    fn again(&mut self, event: &Seen<'_>) -> bool {
        let taken = self.takes && self.counter.again(event);
        self.taken += usize::from(taken);
        taken
    }

    fn after(&mut self, number: u32, lines: Vec<String>) {
        self.counter.after(number, lines);
    }

    fn settle(&mut self, region: &Region<'_>) {
        self.counter.settle(region);
    }
}

/// Everything that is told of logs, each as long as the others, read in regions of so many lines, and how many of their lines
/// were taken so. A log may be read more than once, as its rotated files are.
fn told(set: &SignatureSet, (logs, lines): (&[&str], &[String]), region: usize, takes: bool) -> (String, usize) {
    let mut state = LogState::default();
    let now = "2025-06-15T12:00:00Z".parse().unwrap();
    let mut collector = Collector::new(set, &mut state, now, Counting::Whole(3600));
    let mut all_taken = 0;
    for (source, lines) in logs.iter().zip(lines.chunks(lines.len().div_ceil(logs.len()))) {
        let mut scan = Scan::new(set, Assembler::default());
        let counter = Counter::new(&mut collector, Origin { source, path: None });
        let mut sink = Counted { counter, takes, taken: 0 };
        let mut offset = 0;
        for part in lines.chunks(region) {
            let text = part.concat();
            scan.region(text.as_bytes(), &|at| ((offset + at) as u64, None), &mut sink);
            offset += text.len();
        }
        let _ = scan.assembler.suspend(set, true, &mut sink);
        all_taken += sink.taken;
        collector.scanned(&scan, source, offset as u64);
    }
    let report = collector.finish();
    (format!("{report:#?}\n{}", serde_json::to_string(&state).unwrap()), all_taken)
}

/// How many lines of one log are taken so.
fn check(set: &SignatureSet, lines: &[String], region: usize) -> usize {
    let [taken, _] = [["file:x"].as_slice(), &["file:x", "file:y", "file:x"]].map(|logs| {
        let (with, taken) = told(set, (logs, lines), region, true);
        let (without, none) = told(set, (logs, lines), region, false);
        assert_alike(&without, &with);
        assert_eq!(none, 0);
        taken
    });
    taken
}

fn assert_alike(expected: &str, told: &str) {
    let first = expected.lines().zip(told.lines()).find(|(a, b)| a != b);
    assert_eq!(first, None);
    assert_eq!(expected, told);
}

fn lines(text: &str) -> Vec<String> {
    text.split_inclusive('\n').map(str::to_owned).collect()
}

#[test]
fn a_line_like_one_before_is_counted_without_a_closer_look() {
    let set = signature_set(&builtin_signatures());
    let one = |second: u32, id: u32| format!("2025-06-15 11:00:{second:02} ERROR db DatabaseError: {id} failed\n");
    // The first one waits for the lines after it.
    let taken = |text: &str| check(&set, &lines(&format!("{}ok\nok\nok\n{text}", one(0, 100))), 1000);
    assert_eq!(taken(&(1..50).map(|n| one(n, 100 + n) + "all is well\n").collect::<String>()), 49);
    assert_eq!(
        taken(&(1..50).map(|n| one(n, 100 + n)).collect::<String>()),
        48,
        "what comes after the last is not known"
    );
    assert_eq!(
        taken(&(one(1, 200) + "Traceback (most recent call last):\n  File \"a\"\nKeyError: 1\n")),
        0,
        "it heads"
    );
    assert_eq!(taken(&(one(1, 200) + "    at a.b(c.js:1)\n")), 0, "it has a frame");
    assert_eq!(taken(&(one(1, 1000) + "ok\n")), 0, "a digit more");
}

#[test]
fn a_traceback_like_one_before_is_counted_without_a_closer_look() {
    let set = signature_set(&builtin_signatures());
    let one = |line: u32, title: &str| {
        format!("Traceback (most recent call last):\n  File \"a.py\", line {line}, in f\n    f()\n{title}\n")
    };
    let taken = |text: &str| check(&set, &lines(&format!("{}ok\nok\nok\nok\n{text}", one(5, "KeyError: 'k1'"))), 1000);
    assert_eq!(taken(&(one(7, "KeyError: 'k2'") + "ok\n")), 1);
    assert_eq!(taken(&(1..50).map(|n| one(n, &format!("KeyError: 'k{}'", n % 10))).collect::<String>()), 48);
    assert_eq!(taken(&(one(7, "KeyError: 'k2'") + "\nok\n")), 0, "another may be chained to it");
    let chained = |words: &str, title: &str| one(6, "ValueError: 1") + "\n" + words + "\n\n" + &one(7, title) + "ok\n";
    for words in stack::CHAINING {
        let of = |words: &str| chained(words, "KeyError: 'k3'");
        assert_eq!(taken(&of(words)), 1, "{words}");
        assert_eq!(taken(&of("other words")), 0, "it may go on");
        assert_eq!(taken(&of(words).replace("\n\n", "\n")), 0, "not as Python chains them");
    }
    // Cut at 5,000 lines.
    let part = |n| format!("Traceback (most recent call last):\n{}KeyError: 'k{n}'\n", " \n".repeat(900));
    let parts: Vec<String> = (0..8).map(part).collect();
    assert_eq!(taken(&(parts.join(&format!("\n{}\n\n", stack::CHAINING[0])) + "ok\n")), 0, "too long for that");
    assert_eq!(taken(&(one(7, "KeyError: 'k2'") + "  more of it\n")), 0, "its message goes on");
    assert_eq!(taken(&("INFO ok\nERROR job failed\n".to_owned() + &one(7, "KeyError: 'k2'") + "ok\n")), 1);
    assert_eq!(
        taken(&("ERROR job: KeyError: 5\n".to_owned() + &one(7, "KeyError: 'k2'") + "ok\n")),
        1,
        "with its record"
    );
    assert_eq!(taken(&(one(7, "ValueError: bad") + "ok\n")), 0, "another one");
}

#[test]
fn more_kinds_of_lines_than_are_counted_apart_are_counted() {
    let set = signature_set(&builtin_signatures());
    let one = |n: usize| format!("DatabaseError: {} {}\n", "1".repeat(1 + n / 70), "2".repeat(1 + n % 70));
    let kinds: Vec<String> = (0..4900).flat_map(|n| [one(n), "ok\n".to_owned()]).collect();
    let taken = check(&set, &[kinds.as_slice(), &kinds[8400..], &kinds[..10]].concat(), 1000);
    assert!((650..=700).contains(&taken), "{taken}");
}

#[test]
fn groups_that_turn_out_to_be_one_count_all_their_events_where_there_is_room_for_no_other_group() {
    let set = signature_set(&builtin_signatures());
    let tenant = |name: &str| format!("DatabaseError: tenant {name} lives inside region seven\n");
    let signs = |n: usize| (0..9).map(|bit| [" !", " ?"][n >> bit & 1]).collect::<String>();
    let names = ["alpha", "bravo", "delta", "gamma", "kappa", "lambda", "omega"];
    let first = names[..5].iter().map(|name| tenant(name));
    let others = (0..495).map(|n| format!("DatabaseError: stop{}\n", signs(n)));
    let again = names[5..].iter().chain([&names[0]; 50]).map(|name| tenant(name));
    let lines: Vec<String> = first.chain(others).chain(again).flat_map(|line| [line, "ok\n".to_owned()]).collect();
    assert!(check(&set, &lines, 1000) >= 50);
    let (told, _) = told(&set, (&["file:x"], &lines), 1000, true);
    assert!(told.contains("count: 57,"), "none is left out");
}

/// What was told wrongly once, each log with what it is an example of.
#[test]
fn what_only_looks_alike_is_looked_at() {
    let ok = "ok\nok\nok\nok\n";
    let alike =
        |line: &dyn Fn(&str) -> String, one: &str, other: &str| format!("{}\n{ok}{}\nok\n", line(one), line(other));
    let long = "f1".repeat(32);
    let said = |value: &str| format!("KeyError: x code='{value}'");
    let revision = |value: &str| format!("DatabaseError: revision {value} broken since 2025-06-15 11:00:00");
    let pool = |value: &str| {
        format!("TypeError: no such pool in here '{value}' 2025-06-15 11:00:00 2025-06-14 10:00:00 at a1")
    };
    let process = |value: &str| format!("web-app-frontend-{value} | java.lang.IllegalStateException: x");
    let cause = "db-1 | ok\nweb-app-frontend-1a2b3c4d | Caused by: java.io.IOException: y\nok\n";
    let bracket = |value: &str| format!("[{}'{value}'] Error: boom", "p ".repeat(30));
    let own: Vec<_> = [r"\d+", "Error:", r"\nERROR"].iter().map(|pattern| signature(pattern, pattern)).collect();
    for set in [signature_set(&builtin_signatures()), signature_set(&own), signature_set(&own[1..])] {
        check(&set, &lines(&alike(&said, "d3e4", "c61b")), 1000);
        check(&set, &lines(&alike(&revision, &long, "a1b2c3d4")), 1000);
        check(&set, &lines(&alike(&pool, &"1".repeat(22), "1a")), 1000);
        check(&set, &lines(&(alike(&process, &long, "1a2b3c4d").replace("ok\nweb", "web") + cause)), 1000);
        check(&set, &lines(&alike(&bracket, "1a", &"1a".repeat(20))), 1000);
        let traceback = "Traceback (most recent call last):\n  File \"a.py\", line 7\nKeyError: 'k'\n";
        check(&set, &lines(&format!("{traceback}{ok}{traceback}ok\nERROR x\n")), 1000);
    }
}

proptest! {
    #[test]
    fn lines_counted_without_a_closer_look_are_counted_as_with_one(
        picked in prop::collection::vec((0..36_usize, "[0-9]{8}", "[a-f0-9]{8}"), 1..60), region in 1..40_usize, own in 0..4_usize, long in 0..60_usize,
    ) {
        let patterns = [
            "[45]0[0-9] Server Error", "Error:", "Database(Error|Fault)", "1[0-5] of [0-9]+ failed", "boom", "another exception", r"line [0-9]+|\nERROR", r"\d7",
        ];
        let set = match own {
            0 => signature_set(&builtin_signatures()),
            // The last one is tried on every line.
            own => signature_set(&patterns[..5 + own % 2 + own % 3 / 2 * 3].iter().map(|p| signature(p, p)).collect::<Vec<_>>()),
        };
        let line = |(kind, digits, hex): &(usize, String, String)| {
            let [a, b, c, d] = *digits.as_bytes().as_chunks::<2>().0 else { unreachable!() };
            let [a, b, c, d] = [a, b, c, d].map(|two| String::from_utf8_lossy(&two).into_owned());
            match kind {
                0 => format!("2025-06-15 {a}:{b}:{c},{d}0 ERROR db DatabaseError: {digits} (server closed the connection)\n"),
                1 => format!("2025-{a}-{b} 11:{c}:{d} ERROR db DatabaseError: {digits} (server closed the connection)\n"),
                2 => format!("{digits} 2025-06-15 11:{c}:{d} ERROR app: 50{} Server Error\n", &d[..1]),
                3 => format!("Jun 15 1{}:{b}:{c} host app[{digits}]: ValueError: {digits}\n", &a[..1]),
                4 => format!("web-1  | ERROR 50{} Server Error: boom {digits}\n", &d[..1]),
                5 => format!("ValueError: invalid literal: '{hex}'\n"),
                6 => format!("ValueError: invalid literal: '{hex}'\r\n"),
                7 => "Traceback (most recent call last):\n".to_owned(),
                8 => format!("  File \"/a.py\", line {a}, in f\n"),
                9 => format!("KeyError: {digits}\n"),
                10 => format!("    at com.example.A.b(A.java:{a})\n"),
                11 => format!("{a} at com.example.A.b(A.java:{a})\n"),
                12 => format!("Caused by: java.io.IOException: {digits}\n"),
                13 => format!("2025-06-15T11:{b}:{c}Z healthy {digits}\n"),
                14 => "\n".to_owned(),
                15 => format!("\x1b[31mERROR\x1b[0m db DatabaseError: {digits}\n"),
                16 => format!("1.1.1.1 - - [15/Jun/2025:11:{b}:{c} +0000] \"GET /{digits} HTTP/1.1\" 50{} 12\n", &d[..1]),
                17 => format!("{a} of {digits} failed: Error: boom\n"),
                18 => format!("{{\"ts\":17{digits},\"level\":\"error\",\"msg\":\"Error: boom {hex}\"}}\n"),
                19 => format!("thread 'main' panicked at a.rs:{a}:{b}: boom\n"),
                26 => format!("DatabaseError: {}{hex} at 2025-06-15 11:{b}:{c} gone\n", hex.repeat(long / 8)),
                27 => format!("web-app-{}{hex} | java.lang.IllegalStateException: {a}\n", hex.repeat(long / 6)),
                28 => format!("TypeError: no pool '{}' 2025-06-15 11:{b}:{c} 2025-06-14 10:{b}:{c} at a1\n", &digits.repeat(6)[..long % 48]),
                29 => format!("KeyError: x code='{}'\n", &hex[..4]),
                30 => format!("[{}'{}'] Error: boom\n", "p ".repeat(long), &hex[..long % 8]),
                31 | 32 => {
                    let words = [stack::CHAINING[usize::from(digits < hex)], "During handling"][usize::from(hex.starts_with('0'))];
                    let one = |title: &str| format!("Traceback (most recent call last):\n  File \"/a.py\", line {a}, in f\n{title}: {digits}\n");
                    one(if d.starts_with('1') { "boom" } else { "KeyError" }) + "\n" + words + "\n\n" + &one("DatabaseError")
                }
                33 => format!("\n{}\n\n", stack::CHAINING[0]),
                34 => format!("{}\n", stack::CHAINING[1]),
                20 => format!("Traceback (most recent call last):\n  File \"/a.py\", line {a}, in f\n    f({b})\nValueError: base 10: '{}'\n", &hex[..4]),
                21 => format!("Traceback (most recent call last):\n  File \"/a.py\", line {a}, in f\n    f({b})\nKeyError: 'user_{digits}'\n\n"),
                22 => format!("Traceback (most recent call last):\nDatabaseError: {digits}\n  [SQL: {a}]\n"),
                23 => format!("Traceback (most recent call last):\n  File \"/a.py\", line {a}, in f\nKeyError: {digits}\r\n"),
                24 => format!("Traceback (most recent call last):\n  File \"/a.py\", line {a}, in f\nTypeError: {digits}\n    at b.js:{a}\n"),
                _ => format!("Traceback (most recent call last):\n  File \"/a.py\", line {a}, in f\nKeyError: {digits}\n"),
            }
        };
        check(&set, &picked.iter().map(line).collect::<Vec<_>>(), region);
    }

    #[test]
    fn a_log_of_few_kinds_of_lines_is_told_the_same(
        picked in prop::collection::vec((0..4_usize, "[0-9]{4}"), 1..200), region in 1..100_usize,
    ) {
        let set = signature_set(&builtin_signatures());
        let line = |(kind, digits): &(usize, String)| match kind {
            0 | 1 => format!("2025-06-15 11:{}:{},123 ERROR db DatabaseError: {digits} (server closed)\n", &digits[..2], &digits[2..]),
            2 => format!("OSError: [Errno {digits}] no space left on device\n"),
            _ => format!("2025-06-15 11:{}:{} INFO ok\n", &digits[..2], &digits[2..]),
        };
        check(&set, &picked.iter().map(line).collect::<Vec<_>>(), region);
    }
}
