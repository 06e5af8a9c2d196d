//! `healer rules`: what is in force is listed as it is; what is tried on a log is told line by line, with the same
//! verdict that a pass would come to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use support::{Ran, Root, healer, spawn_command};

const ONLY: &str = "[checks.host]\nenabled = false\n[checks.docker]\nenabled = false\n";
const VENDOR: &str = r#"
[logs.files.app]
path = "{root}/app.log"
[[signature]]
name = "vendor"
category = "api_error"
severity = "warning"
pattern = 'Vendor (\w+ )?error'
ignore = 'retried|status=404'
"#;

fn root(config: &str) -> Root {
    let root = Root::new();
    root.config(&format!("{ONLY}{config}"));
    root
}

/// A rule of the vendor's errors with these additions to `when`.
fn rule(when: &str) -> String {
    format!(
        "{VENDOR}[[rule]]\nname = \"vendor-down\"\nissue_type = \"vendor\"\nconfidence = 50\n\
         when = {{ log = \"file:app\", {when} }}\n"
    )
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

/// The entries that Docker's `json-file` driver makes of lines; it splits long ones.
fn docker_log(text: &str) -> String {
    let entry = |text: &str| json!({ "log": text, "stream": "stderr", "time": "2025-01-02T03:04:05.5Z" });
    // The driver's own order of keys.
    let written = |entry: Value| {
        format!("{{\"log\":{},\"stream\":{},\"time\":{}}}\n", entry["log"], entry["stream"], entry["time"])
    };
    text.split_inclusive('\n').map(|line| written(entry(line))).collect()
}

/// Runs `rules try` with this on standard input.
fn try_stdin(root: &Root, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = root.command(&[&["rules", "try"], arguments].concat());
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn every_rule_and_every_signature_in_force_is_listed_with_how_it_is_searched() {
    let root = root(&format!(
        "[signatures]\ndisable = [\"timeout\"]\n{}[[rule]]\nname = \"own\"\nmode = \"suggest\"\nissue_type = \"x\"\n\
         confidence = 90\nwhen = {{ log = \"file:app\", match = '\\d\\d:\\d\\d' }}\n\
         [[rule.fix]]\nfix_type = \"again\"\nsteps = [{{ restart = \"unit:shop.service\" }}]\n\
         [[rule]]\nname = \"down\"\nissue_type = \"x\"\nconfidence = 90\n\
         when = {{ container = \"shop-*\", state = \"exited\", for = \"5m\" }}\n",
        rule("signature = \"vendor\", count = 3, within = \"90s\"")
    ));
    let data = healer(&root, &["rules", "list", "--json"]).expect_code(0).data();
    let rules = data["rules"].as_array().unwrap();
    let seen: Vec<_> =
        rules.iter().map(|r| (&r["name"], &r["mode"], &r["when"], &r["fixes"], &r["signature"])).collect();
    let rule = |name: &str, mode: &str, when: &str, fixes: &[&str], signature: Value| {
        (json!(name), json!(mode), json!(when), json!(fixes), signature)
    };
    let expected = [
        rule("vendor-down", "auto", "3 x vendor in file:app within 1m30s", &[], json!("vendor")),
        rule("own", "suggest", "1 x its own pattern in file:app within 10m", &["again"], json!("rule:own")),
        rule("down", "auto", "container shop-* is exited for 5m", &[], Value::Null),
    ];
    assert_eq!(seen, expected.iter().map(|(a, b, c, d, e)| (a, b, c, d, e)).collect::<Vec<_>>());
    assert!(rules.iter().all(|r| r["last_matched"].is_null() && r["last_fix"].is_null()), "{rules:#?}");

    let signatures = data["signatures"].as_array().unwrap();
    let of = |name: &str| signatures.iter().find(|s| s["name"] == name).map(|s| (&s["origin"], &s["searched"]));
    assert_eq!(of("rate_limit"), Some((&json!("built-in"), &json!("literals"))));
    assert_eq!(of("vendor"), Some((&json!("operator"), &json!("literals"))));
    assert_eq!(of("rule:own"), Some((&json!("rule"), &json!("every_line"))));
    assert_eq!(of("timeout"), None, "it is switched off");

    let text = healer(&root, &["rules", "list"]).expect_code(0).stdout;
    let row = |words: &[&str]| {
        let found = text
            .lines()
            .any(|line| line.split("  ").map(str::trim).filter(|w| !w.is_empty()).eq(words.iter().copied()));
        assert!(found, "{words:?} is no row of\n{text}");
    };
    row(&["vendor-down", "auto", "-", "closed", "no fix: it only tells"]);
    row(&["3 x vendor in file:app within 1m30s"]);
    row(&["vendor", "api_error", "warning", "operator", "by literals"]);
    row(&["of rule own", "x", "error", "rule", "every line"]);
}

#[test]
fn a_list_without_a_rule_says_so_and_suggest_at_the_top_holds_all() {
    let text = healer(&root(""), &["rules", "list"]).expect_code(0).stdout;
    assert!(text.starts_with("no rule is configured: "), "{text}");
    let none = healer(&root("[signatures]\nbuiltin = false\n"), &["rules", "list"]).expect_code(0).stdout;
    assert!(none.contains("no signature is in force: "), "{none}");
    let root = Root::new();
    root.config(&format!("mode = \"suggest\"\n{ONLY}{}", rule("signature = \"vendor\"")));
    assert_eq!(healer(&root, &["rules", "list", "--json"]).data()["rules"][0]["mode"], "suggest");
}

#[test]
fn what_passes_have_left_is_listed_with_the_rule() {
    let root = root(&rule("signature = \"vendor\", count = 9"));
    root.append("app.log", "Vendor error\n");
    healer(&root, &["heal"]).expect_code(0);
    let at = |t: &str| json!({ "t": t, "boot": "b", "up": 1.0 });
    let mut charge = json!({ "kind": "charge", "fix": "fix_1", "rule": "vendor-down", "fix_type": "f", "target": "t", "component": "c" });
    let mut end = json!({ "kind": "end", "fix": "fix_1", "outcome": "rolled_back" });
    for (line, time) in [(&mut charge, "2025-01-02T03:04:05Z"), (&mut end, "2025-01-02T03:06:05Z")] {
        line.as_object_mut().unwrap().extend(at(time).as_object().unwrap().clone());
        root.append("state/attempts.jsonl", format!("{line}\n"));
    }
    let before = root.snapshot();
    let data = healer(&root, &["rules", "list", "--json"]).expect_code(0).data();
    let row = &data["rules"][0];
    assert!(row["last_matched"].as_str().unwrap().ends_with('Z'), "{row:#}");
    assert_eq!((&row["last_fix"], &row["last_outcome"]), (&json!("2025-01-02T03:06:05Z"), &json!("rolled_back")));
    assert_eq!(row["fixes_made"], json!({ "rolled_back": 1 }), "{row:#}");
    assert!(healer(&root, &["rules", "list"]).stdout.contains("1 rolled back, last "));
    before.assert_unchanged(&root.snapshot());
}

/// The lines told of, as `LINE VERDICT MATCHED`, with ` because of ...` for what suppressed it.
#[track_caller]
fn check(what: &str, more: &[&str], log: &str, expected: &[&str]) -> Value {
    let root = root(&rule("signature = \"vendor\", ignore = 'sandbox', count = 2, within = \"1m\""));
    root.write("tried.log", log);
    let arguments = [&["rules", "try", what, "tried.log", "--json"], more].concat();
    let data = healer(&root, &arguments).expect_code(0).data();
    let told: Vec<String> = data["lines"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(told, expected, "{what}: {log}");
    data
}

fn told(line: &Value) -> String {
    let word = |key: &str| line[key].as_str().unwrap().to_owned();
    let span = line["start"].as_u64().unwrap() as usize..line["end"].as_u64().unwrap() as usize;
    let judged = if line["verdict"] == "not_judged" { None } else { line["judged"].as_str() };
    assert_eq!(judged.unwrap_or(&word("text"))[span], word("matched"), "{line:#}");
    let by = line["ignored_by"].as_str().map(|by| format!(" because of {by}")).unwrap_or_default();
    format!("{} {} {}{by}", line["line"], word("verdict"), word("matched"))
}

#[test]
fn each_line_is_told_with_what_matched_and_what_suppressed_it() {
    let log = "ok\nVendor API error status=503\nVendor error status=404\nsandbox: Vendor error\n";
    check(
        "vendor",
        &[],
        log,
        &["2 matched Vendor API error", "3 ignored Vendor error because of status=404", "4 matched Vendor error"],
    );
    check(
        "vendor-down",
        &[],
        log,
        &[
            "2 matched Vendor API error",
            "3 ignored Vendor error because of status=404",
            "4 ignored Vendor error because of sandbox",
        ],
    );
    check("status=[45]03", &[], log, &["2 matched status=503"]);
    check(
        "vendor",
        &[],
        "ümlaut Vendor error\r\n\x1b[31mVendor error\x1b[0m",
        &["1 matched Vendor error", "2 matched Vendor error"],
    );
    let access = |request: &str, status: u16| {
        format!("1.1.1.1 - - [10/Oct/2000:13:55:36 -0700] \"GET {request} HTTP/1.1\" {status} 5 \"-\" \"-\"\n")
    };
    let log = access("/429-Too-Many-Requests", 200) + &access("/", 429);
    check("Too.Many.Requests", &[], &log, &["1 not_judged Too-Many-Requests"]);
    check("rate_limit", &[], &log, &["2 matched 429 5 \"\" \"\" 429 Client Error: Too Many Requests"]);
    let data = check("rate_limit", &[], "HTTP 429 Client Error: Too Many Requests\n", &["1 matched HTTP 429"]);
    assert_eq!(data["lines"][0]["also"], json!(["api_error"]));
    check("nothing like it", &[], &log, &[]);
    check("vendor", &[], "", &[]);
}

#[test]
fn a_person_sees_the_place_in_the_line_and_why() {
    let root = root(&rule("signature = \"vendor\", ignore = 'sandbox', count = 2, within = \"1m\""));
    root.write(
        "app.log",
        format!("{}Vendor error{}\nsandbox Vendor error \x1b]0;x\x07\u{202e}\n", "a".repeat(500), "b".repeat(500)),
    );
    let mut command = root.command(&["rules", "try", "vendor-down", "app.log"]);
    command.env("COLUMNS", "110");
    let text = spawn_command(command).wait().expect_code(0).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "rule vendor-down: 2 x its own pattern in file:app within 1m");
    assert!(
        lines[1].starts_with("reads file:app (/") && lines[1].ends_with("/app.log); this log stands for it"),
        "{text}"
    );
    assert_eq!(lines[2], "signature of rule vendor-down (api_error, warning, rule), searched by literals");
    assert!(lines[3].starts_with("     1 | ...aaa") && lines[3].ends_with("bbb..."), "{text}");
    assert!(lines[3].len() <= 110, "{text}");
    let caret = lines[4].find('^').unwrap();
    assert_eq!(&lines[3][caret..caret + 12], "Vendor error");
    assert_eq!(&lines[4][caret..], "^^^^^^^^^^^^ vendor-down; also vendor");
    assert_eq!(lines[5], "     2 | sandbox Vendor error \u{fffd}");
    assert!(lines[6].ends_with("^^^ vendor-down, suppressed: `ignore` matches `sandbox`; also vendor"), "{text}");
    assert_eq!(
        &lines[7..],
        [
            "1 of 2 lines matched: 1 event; 1 suppressed by `ignore`",
            "without a time of its own, counted as read now: 1 event",
            lines[9],
        ]
    );
    assert!(
        lines[9].starts_with("the rule would not fire: at most 1 event within 1m, and it asks for 2; the most at 20")
    );
    let quiet = healer(&root, &["rules", "try", "vendor-down", "app.log", "-q"]).expect_code(0).stdout;
    assert_eq!(quiet.lines().count(), 3, "{quiet}");
}

#[test]
fn a_rule_is_told_whether_its_count_would_be_reached() {
    let at = |seconds: &[u32]| -> String {
        let line = |s: &u32| format!("2025-01-02T03:{:02}:{:02}Z Vendor error\n", s / 60, s % 60);
        seconds.iter().map(line).collect()
    };
    let check = |seconds: &[u32], fires: bool, most: u64, at_second: Option<&str>| {
        let root = root(&rule("signature = \"vendor\", count = 3, within = \"1m\""));
        root.write("tried.log", at(seconds));
        let data = healer(&root, &["rules", "try", "vendor-down", "tried.log", "--json"]).expect_code(0).data();
        let summary = &data["summary"];
        assert_eq!(
            (&summary["fires"], &summary["most_within"]),
            (&json!(fires), &json!(most)),
            "{seconds:?}: {summary:#}"
        );
        assert_eq!(summary["fires_at"].as_str(), at_second, "{seconds:?}");
    };
    check(&[], false, 0, None);
    check(&[1, 2], false, 2, None);
    check(&[1, 2, 60], true, 3, Some("2025-01-02T03:01:00Z"));
    check(&[1, 2, 61], false, 2, None);
    check(&[1, 1, 1], true, 3, Some("2025-01-02T03:00:01Z"));
    check(&[1, 200, 201, 202, 203, 400], true, 4, Some("2025-01-02T03:03:22Z"));
    check(&[203, 202, 201], true, 3, Some("2025-01-02T03:03:23Z"));
}

#[test]
fn a_whole_stack_trace_is_one_event() {
    let log = "2025-01-02 ERROR Vendor error\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    \
               raise E('Vendor error')\napp.E: Vendor error\nVendor error\n";
    let lines =
        ["1 matched Vendor error", "4 matched Vendor error", "5 matched Vendor error", "6 matched Vendor error"];
    let data = check("vendor", &[], log, &lines);
    assert_eq!((&data["summary"]["matched"], &data["summary"]["events"]), (&json!(4), &json!(2)));
}

#[test]
fn lines_that_look_like_errors_and_match_nothing_are_missed() {
    let log = "INFO ok\nERROR odd thing\n{\"level\":50,\"msg\":\"gave up\"}\nVendor error\nVendor error: retried\n\
               HTTP 429 Client Error: Too Many Requests\n    at error.handler\n0 errors\nlogin_failed user=5\n";
    let missed = ["2 missed ERROR", "3 missed \"level\":50", "9 missed failed"];
    for what in ["vendor", "vendor-down", "rate_limit"] {
        let also: &[&str] = if what == "rate_limit" { &["5 missed error"] } else { &[] };
        let mut expected = [&missed, also].concat();
        expected.sort_unstable();
        let data = check(what, &["--missed"], log, &expected);
        assert_eq!(data["summary"]["missed"], json!(expected.len()), "{what}");
    }
    check("login_failed", &["--missed"], "login_failed user=5\n", &[]);
    assert_eq!(check("vendor", &[], "ERROR odd\n", &[])["summary"]["missed"], Value::Null);
    let access = "1.1.1.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /error HTTP/1.1\" 200 5 \"-\" \"error\"\n";
    check("vendor", &["--missed"], access, &[]);
}

/// The verdicts are those of the scanner: for each signature the events are as many as `diagnose --log` counts.
#[test]
fn the_counts_are_those_of_diagnose() {
    let log = include_str!("../src/config/compile/builtin.rs");
    let root = root("");
    root.write("plain.log", log);
    root.write("packed.log.gz", gzip(log.as_bytes()));
    root.write("docker.log", docker_log(log));
    let signatures = healer(&root, &["rules", "list", "--json"]).data()["signatures"].clone();
    for file in ["plain.log", "packed.log.gz", "docker.log"] {
        let report = healer(&root, &["diagnose", "--log", file, "--json"]).expect_code(0).data();
        let by_signature = report["events_by_signature"].as_object().unwrap();
        assert!(by_signature.len() > 10, "{by_signature:?}");
        let names = signatures.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap());
        let all = file == "plain.log";
        for name in names.filter(|name| all || ["rate_limit", "python_exception"].contains(name)) {
            let data = healer(&root, &["rules", "try", name, file, "--json"]).expect_code(0).data();
            let expected = by_signature.get(name).cloned().unwrap_or(json!(0));
            assert_eq!(data["summary"]["events"], expected, "{name} in {file}");
            assert_eq!(data["summary"]["lines"], json!(log.lines().count()), "{file}");
        }
    }
}

#[test]
fn a_log_may_be_plain_packed_of_docker_or_standard_input() {
    let log = "ok\nVendor error\nlast line without an end: Vendor error";
    let root = root(VENDOR);
    root.write("plain.log", log);
    root.write("packed.log.gz", gzip(log.as_bytes()));
    root.write("docker.log", docker_log(log));
    let expected = ["2 matched Vendor error", "3 matched Vendor error"];
    for file in ["plain.log", "packed.log.gz", "docker.log"] {
        let bytes = root.read(file);
        for data in [
            healer(&root, &["rules", "try", "vendor", file, "--json"]).expect_code(0).data(),
            try_stdin(&root, &["vendor", "-", "--json"], &bytes).expect_code(0).data(),
        ] {
            assert_eq!(data["lines"].as_array().unwrap().iter().map(told).collect::<Vec<_>>(), expected, "{file}");
        }
    }
}

#[test]
fn what_cannot_be_tried_is_refused_with_the_reason() {
    let root = root(&format!(
        "{VENDOR}[[rule]]\nname = \"down\"\nissue_type = \"x\"\nconfidence = 90\nwhen = {{ container = \"a\", state = \"exited\" }}\n"
    ));
    root.write("app.log", "Vendor error\n");
    root.write("binary.log", b"\x7fELF\x02\0\0\0Vendor error\n");
    let packed = gzip("Vendor error\n".repeat(2000).as_bytes());
    root.write("torn.log.gz", &packed[..packed.len() - 12]);
    let check = |what: &str, log: &str, code: i32, text: &str| {
        let ran = healer(&root, &["rules", "try", what, log]).expect_code(code);
        assert!(ran.stderr.contains(text), "{text:?} is not in {:?}", ran.stderr);
        let json = healer(&root, &["rules", "try", what, log, "--json"]).expect_code(code).json();
        assert_eq!((&json["status"], &json["code"]), (&json!("error"), &json!(code)));
        assert!(json["message"].as_str().unwrap().contains(text), "{json:#}");
    };
    check("vendor", "none.log", 2, "none.log: there is no such file");
    check("vendor", ".", 2, ". is a directory");
    check("vendor", "binary.log", 1, "it is binary, not text");
    check("vendor", "torn.log.gz", 1, "cannot read torn.log.gz to its end: ");
    check("down", "app.log", 2, "looks at no log: it fires when container a is exited");
    check(
        "a(b",
        "app.log",
        2,
        "error: this pattern is not sound: unclosed group\n --> REGEX:1:2\n  |\n1 | a(b\n  |  ^\n",
    );
    check("käse [a-", "app.log", 2, "1 | käse [a-\n  |      ^");
    check(r"x{9999}{9999}", "app.log", 2, "compiled it would take more than 1024 KiB");
    check("x*", "app.log", 2, "this pattern matches the empty text");
}

#[test]
fn a_hint_comes_with_what_may_not_be_meant() {
    let root = root(VENDOR);
    root.write("app.log", "x\n");
    let check = |what: &str, hint: &str| {
        let ran = healer(&root, &["rules", "try", what, "app.log"]).expect_code(0);
        assert_eq!(
            (ran.stderr.contains(hint), ran.stderr.is_empty()),
            (true, hint.is_empty()),
            "{what}: {}",
            ran.stderr
        );
    };
    check("vendor", "");
    check("Vendor error", "");
    check("vendro", "so it is tried as a regex; did you mean `vendor`?");
    check(r"\d+", "slow to search: it holds no text of three characters or more");
    let data = healer(&root, &["rules", "try", r"\d+", "app.log", "--json"]).data();
    assert_eq!((&data["tried"]["kind"], &data["tried"]["searched"]), (&json!("regex"), &json!("every_line")));
}

#[test]
fn a_line_is_looked_at_as_far_as_the_scanner_does() {
    let filled = |before: usize| format!("{}Vendor error\n", "x".repeat(before));
    let end = (16 << 10) - "Vendor error".len();
    let log = filled(end) + &filled(end + 1) + "Vendor error\n";
    let data = check("vendor", &[], &log, &["1 matched Vendor error", "3 matched Vendor error"]);
    assert_eq!((&data["lines"][0]["cut"], &data["summary"]["events"]), (&json!(false), &json!(2)));
    let long = format!("Vendor error{}\n", "x".repeat(20 << 10));
    assert_eq!(check("vendor", &[], &long, &["1 matched Vendor error"])["lines"][0]["cut"], true);
}

/// The highest resident memory of a process so far, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_the_log_and_no_event_is_lost_in_it() {
    let root = root(VENDOR);
    let check = |text: &str, summary: &str| {
        let mut command = root.command(&["rules", "try", "vendor", "-", "-q"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut peaks = Vec::new();
        // A pipe holds less than one write: all before the last one has been taken.
        for megabytes in [4, 16] {
            (0..megabytes * 8).for_each(|_| stdin.write_all(text.as_bytes()).unwrap());
            peaks.push(peak_memory(child.id()));
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(peaks[1] < peaks[0] + 4096, "{peaks:?} KiB");
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().next(), Some(summary));
    };
    let line = format!("2025-01-02T03:04:05Z Vendor error {}\n", "x".repeat(988));
    check(&line.repeat(128), "20480 of 20480 lines matched: 20480 events");
    check(&"Vendor error 429 ".repeat(8 << 10), "1 of 1 line matched: 1 event");
}

#[test]
fn it_ends_when_nobody_reads_what_it_tells() {
    let root = root(VENDOR);
    let mut command = root.command(&["rules", "try", "vendor", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    stdin.write_all(b"Vendor error\n").unwrap();
    stdout.read_exact(&mut [0; 40]).unwrap();
    drop(stdout);
    let refused = (0..100_000).any(|_| stdin.write_all("Vendor error\n".repeat(100).as_bytes()).is_err());
    assert!(refused, "it went on reading");
    child.wait().unwrap();
}
