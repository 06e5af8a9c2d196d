//! What is one event: lines, stack traces of each language, interleaved, prefixed, cut anywhere.

use super::signature;
use crate::config::builtin_signatures;
use crate::logs::collect::{Collector, Counting};
use crate::logs::cursor::FileCursor;
use crate::logs::files::{End, Format, Source, scan_stream};
use crate::logs::{LogState, SignatureSet, scan_lines, signature_set};
use crate::model::LogReport;
use jiff::Timestamp;
use proptest::prelude::*;

fn titles(report: &LogReport) -> Vec<(u64, String)> {
    let mut titles: Vec<_> = report.groups.iter().map(|g| (g.count, g.example.title.clone())).collect();
    titles.sort();
    titles
}

/// The text holds exactly these events, whatever the size of the buffer it is read with.
fn check(text: &str, expected: &[&str]) {
    for chunk in [1, 7, 64, 1 << 16] {
        let report = in_passes(&[text.as_bytes()], chunk);
        let mut found: Vec<String> = titles(&report).into_iter().map(|(_, title)| title).collect();
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(found, expected, "buffer of {chunk}\n{text}");
        assert_eq!(report.events, expected.len() as u64, "buffer of {chunk}\n{text}");
    }
}

/// Reads parts of a log, one in each pass, with a buffer of this size.
fn in_passes(parts: &[&[u8]], chunk: usize) -> LogReport {
    thread_local!(static SET: &'static SignatureSet = Box::leak(Box::new(signature_set(&builtin_signatures()))));
    let set = SET.with(|set| *set);
    let mut state = LogState::default();
    let mut cursor = FileCursor::default();
    let mut sum = LogReport::default();
    for i in 0..parts.len() {
        let mut collector = Collector::new(set, &mut state, Timestamp::UNIX_EPOCH, Counting::Recent(3600));
        let source = Source { name: "file:x", format: Format::Plain, chunk };
        // As a file would: what was not taken is read again, with what came after it.
        let last = i + 1 == parts.len();
        let end = if last { End::Taken } else { End::Waits };
        let whole = parts[..=i].concat();
        let mut rest = &whole[cursor.offset as usize..];
        let ended = scan_stream(&mut collector, source, &mut cursor, &mut rest, end);
        (cursor.offset, cursor.mid_line) = (ended.offset, ended.mid_line);
        cursor = serde_json::from_str(&serde_json::to_string(&cursor).unwrap()).unwrap();
        let report = collector.finish();
        sum.events += report.events;
        sum.groups.extend(report.groups);
        for (name, n) in report.by_signature {
            *sum.by_signature.entry(name).or_default() += n;
        }
        for (name, n) in report.matched_lines {
            *sum.matched_lines.entry(name).or_default() += n;
        }
    }
    sum
}

const PYTHON: &str = "Traceback (most recent call last):\n  File \"/app/a.py\", line 5, in run\n    save(x)\n    ^^^^^^^\nValueError: bad\n";

#[test]
fn a_python_traceback_is_one_event_titled_by_its_last_line() {
    check(PYTHON, &["ValueError: bad"]);
    check(&format!("2025-01-02 03:04:05,1 ERROR app job 5 failed\n{PYTHON}after\n"), &["ValueError: bad"]);
    check(
        "Traceback (most recent call last):\n  File \"a\", line 1, in x\nKeyboardInterrupt\nnext\n",
        &["KeyboardInterrupt"],
    );
    check(
        "Traceback (most recent call last):\n  File \"a\", line 1\nsqlalchemy.exc.OperationalError: (x) failed\n\tIs the server running?\n\n[SQL: y]\n",
        &["sqlalchemy.exc.OperationalError: (x) failed"],
    );
    check(
        &format!("{PYTHON}{PYTHON}").replace("bad\nTrace", "worse\nTrace"),
        &["ValueError: bad", "ValueError: worse"],
    );
}

#[test]
fn chained_exceptions_and_groups_are_one_event() {
    for words in [
        "During handling of the above exception, another exception occurred:",
        "The above exception was the direct cause of the following exception:",
    ] {
        let second = PYTHON.replace("ValueError: bad", "app.JobError: gave up");
        check(&format!("{PYTHON}\n{words}\n\n{second}done\n"), &["app.JobError: gave up"]);
    }
    let [group, more] = ["many", "more"].map(|name| format!("  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in <module>\n  | ExceptionGroup: {name} (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | ValueError: 1\n    +---------------- 2 ----------------\n    | TypeError: 2\n    +------------------------------------\n"));
    let of = |name: &str| format!("ExceptionGroup: {name} (2 sub-exceptions)");
    check(&format!("{group}after\n"), &[&of("many")]);
    // Directly behind another traceback it is one of its own.
    check(&format!("{PYTHON}{group}after\n"), &["ValueError: bad", &of("many")]);
    check(&format!("{group}{more}{PYTHON}"), &[&of("many"), &of("more"), "ValueError: bad"]);
}

#[test]
fn a_record_of_level_error_right_before_a_traceback_belongs_to_it() {
    check(&format!("ERROR db psycopg2.OperationalError: lost\n{PYTHON}"), &["ValueError: bad"]);
    check(&format!("WARNING x: Rate limit exceeded\n{PYTHON}"), &["ValueError: bad", "WARNING x: Rate limit exceeded"]);
    check(
        &format!("ERROR db psycopg2.OperationalError: lost\nfine\n{PYTHON}"),
        &["ERROR db psycopg2.OperationalError: lost", "ValueError: bad"],
    );
}

#[test]
fn java_go_rust_and_node_stacks_are_one_event() {
    check(
        "2025-01-02 ERROR [main] c.x.Job - java.lang.IllegalStateException: boom\n\tat c.x.Job.run(Job.java:5)\n\tat c.x.Main.main(Main.java:9)\nCaused by: java.net.ConnectException: Connection refused\n\tat java.net.X.y(X.java:1)\n\t... 12 more\nnext\n",
        &["2025-01-02 ERROR [main] c.x.Job - java.lang.IllegalStateException: boom"],
    );
    check(
        "Exception in thread \"main\" java.lang.NullPointerException\n\tat c.x.Main.main(Main.java:9)\n",
        &["Exception in thread \"main\" java.lang.NullPointerException"],
    );
    check(
        "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:9 +0x1d\nexit status 2\n",
        &["panic: runtime error: index out of range [5] with length 3"],
    );
    check(
        "panic: boom\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4]\n\ngoroutine 1 [running]:\nmain.f(...)\n\t/app/main.go:9\n",
        &["panic: boom"],
    );
    check(
        "thread 'main' panicked at src/main.rs:2:5:\nconnection refused by db\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\nafter\n",
        &["thread 'main' panicked at src/main.rs:2:5: connection refused by db"],
    );
    check(
        "/app/x.js:10\n    throw e\n    ^\n\nError: connect ECONNREFUSED 127.0.0.1:5432\n    at TCP.after (node:net:1:2)\n    at f (/app/x.js:10:9) {\n  errno: -111,\n  code: 'ECONNREFUSED'\n}\nlater\n",
        &["Error: connect ECONNREFUSED 127.0.0.1:5432"],
    );
}

#[test]
fn frames_tell_whose_error_it_is() {
    let check = |text: &str, expected: &[&str]| {
        let report = in_passes(&[text.as_bytes()], 1 << 16);
        assert_eq!(report.groups[0].signatures, expected, "{text}");
        assert_eq!(report.by_signature.keys().collect::<Vec<_>>(), expected, "{text}");
    };
    check("Error: boom\n    at f (/app/x.js:10:9)\nlater\n", &["node_exception"]);
    check("TypeError: x\n    at f (/app/x.js:10:9)\nlater\n", &["node_exception"]);
    check("Traceback (most recent call last):\n  File \"a\", line 1\nTypeError: x\nlater\n", &["python_exception"]);
}

fn prefixed(prefix: &str, text: &str) -> Vec<String> {
    text.lines().map(|l| format!("{prefix}{l}\n")).collect()
}

#[test]
fn prefixes_on_every_line_and_interleaved_processes_split_nothing() {
    let java = "java.lang.RuntimeException: b\n\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)\nCaused by: java.io.IOException: c\n\t... 2 more\n";
    for (one, two) in [
        ("web-1  | ", "web-2  | "),
        ("Jan  2 03:04:05 host app[12]: ", "Jan  2 03:04:06 host app[13]: "),
        ("2025-01-02T03:04:05.123Z stderr F web ", "2025-01-02T03:04:05.456Z stderr F job "),
    ] {
        check(&prefixed(one, PYTHON).concat(), &["ValueError: bad"]);
        let other = PYTHON.replace("bad", "worse");
        let (a, b) = (prefixed(one, PYTHON), prefixed(two, &other));
        let mixed: String = a.iter().zip(&b).map(|(a, b)| format!("{a}{b}")).collect();
        check(&mixed, &["ValueError: bad", "ValueError: worse"]);
        let title = format!("{one}java.lang.RuntimeException: b");
        check(&prefixed(one, java).concat(), &[&title]);
        if one.ends_with("F web ") {
            // Nothing names the process here: the line after a single line could be anybody's.
            continue;
        }
        let (a, b) = (prefixed(one, java), prefixed(two, &other));
        let mixed: String = a.iter().zip(&b).map(|(a, b)| format!("{a}{b}")).collect();
        check(&mixed, &["ValueError: worse", &title]);
    }
}

#[test]
fn events_have_three_lines_of_context_across_buffers() {
    for chunk in [1, 64, 1 << 16] {
        let report = in_passes(&[b"a\nb\nc\nd\nTimeoutError: x\ne\nf\ng\nh\n"], chunk);
        let event = &report.groups[0].example;
        assert_eq!((event.before.join(""), event.after.join("")), ("bcd".to_owned(), "efg".to_owned()), "{chunk}");
        assert_eq!(event.offset, 8);
    }
}

#[test]
fn a_line_of_any_length_is_looked_at_up_to_16_kib() {
    let long = format!("TimeoutError: {}\nValueError: b\n", "x".repeat(3 << 20));
    let far = format!("{} TimeoutError: x\nok\n", "x".repeat(3 << 20));
    for chunk in [1 << 10, 256 << 10, 8 << 20] {
        assert_eq!(in_passes(&[long.as_bytes()], chunk).events, 2);
        assert_eq!(in_passes(&[far.as_bytes()], chunk).events, 0);
    }
}

#[test]
fn a_signature_counts_lines_as_grep_does_and_events_once() {
    let five = [signature("exc", "(Traceback|Exception|Error):"), signature("db", "(DatabaseError|OperationalError)")];
    let text = format!(
        "{PYTHON}\nDuring handling of the above exception, another exception occurred:\n\n{PYTHON}x\nOperationalError: y\n"
    );
    let report = scan_lines(&five, "file:x", text.as_bytes(), Timestamp::UNIX_EPOCH);
    assert_eq!((report.matched_lines["exc"], report.matched_lines["db"], report.events), (3, 1, 2));
    assert_eq!((report.by_signature["exc"], report.by_signature["db"]), (2, 1));
}

/// Ids, counts, templates and `new` of the groups that one reading of these users' errors finds.
fn groups_of_users(state: &mut LogState, users: &str) -> Vec<(String, u64, String, bool)> {
    let set = signature_set(&[signature("quota", "exceeded")]);
    let lines: String =
        users.split(' ').map(|user| format!("ERROR user {user} exceeded the quota of 5 GB\n")).collect();
    let mut collector = Collector::new(&set, state, Timestamp::UNIX_EPOCH, Counting::Recent(3600));
    let source = Source { name: "file:x", format: Format::Plain, chunk: 1 << 16 };
    scan_stream(&mut collector, source, &mut FileCursor::default(), &mut lines.as_bytes(), End::Taken);
    let groups = collector.finish().groups;
    assert!(groups.iter().all(|g| g.example.group == g.id));
    groups.into_iter().map(|g| (g.id, g.count, g.template, g.new)).collect()
}

#[test]
fn groups_are_told_as_they_are_at_the_end_of_a_reading_and_stay_known() {
    let mut state = LogState::default();
    let first = groups_of_users(&mut state, "alice bob alice");
    assert_eq!(first.iter().map(|g| (g.1, g.3)).collect::<Vec<_>>(), [(2, true), (1, true)]);
    let oldest = first[0].0.clone();
    let state_text = serde_json::to_string(&state).unwrap();
    let mut state = serde_json::from_str(&state_text).unwrap();
    let many = groups_of_users(&mut state, "carol dave erin frank grace heidi ivan judy mallory oscar");
    assert_eq!(many, [(oldest.clone(), 10, "user <*> exceeded the quota of <size>".to_owned(), false)]);
    let again = groups_of_users(&mut state, "bob zoe");
    assert_eq!(again, [(oldest, 2, "user <*> exceeded the quota of <size>".to_owned(), false)]);
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "Traceback (most recent call last):",
        "  File \"a\", line 5, in x",
        "    y(z)",
        "ValueError: bad",
        "KeyError",
        "",
        "During handling of the above exception, another exception occurred:",
        "\tat a.B.c(D.java:1)",
        "\t... 2 more",
        "Caused by: java.io.IOException: x",
        "java.lang.Error: y",
        "panic: x",
        "goroutine 1 [running]:",
        "main.main()",
        "thread 'main' panicked at src/x.rs:1:2:",
        "note: run",
        "ERROR failed Error: x",
        "web-1  | Traceback (most recent call last):",
        "web-1  |   File \"b\"",
        "web-1  | TypeError: no",
        "plain",
        "  + Exception Group Traceback (most recent call last):",
        "  | ",
        "    +------------------------------------",
        "INFO: ok",
        "429 Too Many Requests",
        "}",
    ]);
    prop_oneof![8 => known.prop_map(|s| s.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn buffers_change_nothing_and_passes_change_no_count(
        lines in prop::collection::vec(any_line(), 0..40),
        cuts in prop::collection::vec(0.0..1.0f64, 0..6),
        chunk in 1usize..200,
    ) {
        let text = lines.join(&b'\n');
        let whole = in_passes(&[&text], 1 << 16);
        let cut = in_passes(&[&text], chunk);
        prop_assert_eq!(&whole.groups, &cut.groups);
        prop_assert_eq!(&whole.by_signature, &cut.by_signature);
        prop_assert_eq!(&whole.matched_lines, &cut.matched_lines);
        let mut at: Vec<usize> = cuts.iter().map(|c| (c * text.len() as f64) as usize).collect();
        at.sort_unstable();
        at.push(text.len());
        let mut from = 0;
        let mut parts = Vec::new();
        for to in at {
            parts.push(&text[from..to]);
            from = to;
        }
        let passes = in_passes(&parts, chunk);
        prop_assert_eq!(whole.events, passes.events);
        // Whose exception a line is, its frames tell. What a pass has told of before they came stands: such a signature may be
        // counted beside the right one, never instead of it and never more often than its lines are.
        for name in whole.matched_lines.keys() {
            let count = |report: &LogReport| report.by_signature.get(name).copied().unwrap_or(0);
            if ["python_exception", "node_exception"].contains(&name.as_str()) {
                prop_assert!((count(&whole)..=whole.matched_lines[name]).contains(&count(&passes)), "{name}");
            } else {
                prop_assert_eq!(count(&whole), count(&passes), "{}", name);
            }
        }
        prop_assert_eq!(whole.matched_lines, passes.matched_lines);
    }
}

#[test]
fn colours_hide_no_event_and_belong_to_no_title() {
    check("\x1b[31mConnection refused\x1b[0m\n", &["Connection refused"]);
    check(
        "\x1b[2m2026-01-01T00:00:00Z\x1b[0m \x1b[31mERROR\x1b[0m \x1b[1mConnection refused\x1b[0m\n",
        &["2026-01-01T00:00:00Z ERROR Connection refused"],
    );
    check(
        "\x1b[1mTraceback (most recent call last):\x1b[0m\n  File \x1b[35m\"a.py\"\x1b[0m, line 1, in f\n    g()\n\
         \x1b[1;35mValueError\x1b[0m: \x1b[35mbad\x1b[0m\n",
        &["ValueError: bad"],
    );
}

#[test]
fn a_stack_trace_is_cut_at_5000_lines_wherever_its_frames_stand_in_the_buffers() {
    let frames = |count: usize| "  File \"a\", line 1, in x\n".repeat(count);
    let check = |text: &str, events: u64| {
        for chunk in [700, 4096, 256 << 10] {
            let report = in_passes(&[text.as_bytes()], chunk);
            assert_eq!((report.events, report.groups.len()), (events, events as usize), "buffer of {chunk}");
        }
    };
    let trace = |count: usize| format!("Traceback (most recent call last):\n{}ValueError: bad\n", frames(count));
    check(&trace(4998), 1);
    check(&trace(4999), 2);
    // Escape sequences and blank lines among them: not all can be taken at once.
    let mixed = format!("{}\n\x1b[1m  x\x1b[0m\n", frames(3));
    check(&trace(0).replace('V', &format!("{}V", mixed.repeat(900))), 1);
}

#[test]
fn the_lines_kept_of_a_long_stack_trace_are_its_first_and_its_last() {
    let frames: String = (0..100).map(|n| format!("  frame {n}\n")).collect();
    let text = format!("Traceback (most recent call last):\n{frames}ValueError: bad\n");
    for chunk in [1, 300, 1 << 16] {
        let report = in_passes(&[text.as_bytes()], chunk);
        let lines = &report.groups[0].example.lines;
        assert_eq!(lines.len(), 41, "buffer of {chunk}");
        assert_eq!((lines[1].as_str(), lines[19].as_str()), ("  frame 0", "  frame 18"), "buffer of {chunk}");
        assert_eq!(lines[20], "... 62 lines left out ...", "buffer of {chunk}");
        assert_eq!((lines[21].as_str(), lines[40].as_str()), ("  frame 81", "ValueError: bad"), "buffer of {chunk}");
    }
}
