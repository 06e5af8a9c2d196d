//! What is learned from which lines.

use super::*;
use crate::model::Record;

fn read_text(text: &[u8]) -> Knowledge {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    read(file.path(), None).unwrap()
}

fn python_line(success: bool) -> String {
    format!(
        r#"{{"timestamp": "2025-10-19T17:00:00.123456", "issue_type": "rate_limiting", "fix_type": "increase_delay", "original_confidence": 95, "result_status": "success", "validation_status": "passed", "success": {success}, "error_count_after": 0}}"#
    )
}

fn record(result: Outcome, success: bool) -> Record {
    Record {
        timestamp: "2026-01-02T03:04:05Z".parse().unwrap(),
        issue_type: "rate_limiting".into(),
        fix_type: "increase_delay".into(),
        original_confidence: 88.0,
        result_status: result.word().into(),
        validation_status: "passed".into(),
        success,
        error_count_after: 0,
        v: Some(RECORD_VERSION),
        id: Some("fix_1".into()),
        rule: Some("r".into()),
        target: Some("/a.py#call f".into()),
        confidence: Some(88),
        error_count_before: Some(5),
        backup_id: None,
        duration_ms: Some(1),
        judged_on: None,
        chance_of_luck: None,
        detect_ms: None,
        diagnose_ms: None,
        apply_ms: None,
        validate_ms: None,
    }
}

#[test]
fn the_python_systems_lines_are_read_as_they_are() {
    let knowledge = read_text([python_line(true), python_line(false)].join("\n").as_bytes());
    assert_eq!((knowledge.fixes, knowledge.skipped), (2, 0));
    assert_eq!(knowledge.tries("rate_limiting", "increase_delay", "any").tries, Tries { total: 2, successes: 1 });
    assert_eq!(knowledge.last_updated.unwrap().to_string(), "2025-10-19T17:00:00.123456Z");
}

#[test]
fn the_newest_time_is_known_in_whatever_forms_times_are_written() {
    let check = |times: &[&str], expected: &str| {
        let lines: Vec<String> =
            times.iter().map(|time| python_line(true).replace("2025-10-19T17:00:00.123456", time)).collect();
        let newest = read_text(lines.join("\n").as_bytes()).last_updated;
        assert_eq!(newest.map(|t| t.to_string()).as_deref().unwrap_or("none"), expected, "{times:?}");
    };
    check(&["2025-01-02T03:04:05Z", "2025-01-02T03:04:06Z", "2024-12-31T23:59:59Z"], "2025-01-02T03:04:06Z");
    check(&["2025-01-02T03:04:05Z", "2025-01-02T03:04:05.5Z", "2025-01-02T03:04:05.25Z"], "2025-01-02T03:04:05.5Z");
    check(&["2025-01-02T03:04:05Z", "2025-01-02T03:04:05-02:00"], "2025-01-02T05:04:05Z");
    check(&["2025-01-02T03:04:05", "2025-13-02T03:04:05Z", "no time"], "2025-01-02T03:04:05Z");
    check(&["2025-01-02T03:04:05Z", "2025-01-02T99:04:05Z", "2025-01-02Tx3:04:05Z"], "2025-01-02T03:04:05Z");
    check(&["no time"], "none");
}

#[test]
fn a_line_is_counted_or_skipped_but_never_fatal() {
    let ours = to_line(&record(Outcome::Healed, true)).unwrap();
    let undecided = to_line(&record(Outcome::Unproven, false)).unwrap();
    let interrupted =
        Record { validation_status: VerdictKind::Interrupted.word().into(), ..record(Outcome::RolledBack, false) };
    let interrupted = to_line(&interrupted).unwrap();
    let check = |line: &[u8], fixes: u64, decided: u64, skipped: u64| {
        let knowledge = read_text(line);
        let shown = String::from_utf8_lossy(line.get(..80).unwrap_or(line)).into_owned();
        assert_eq!((knowledge.fixes, knowledge.decided.total, knowledge.skipped), (fixes, decided, skipped), "{shown}");
    };
    check(b"", 0, 0, 0);
    check(b"\n \n", 0, 0, 0);
    check(ours.as_bytes(), 1, 1, 0);
    check(undecided.as_bytes(), 1, 0, 0);
    check(interrupted.as_bytes(), 1, 0, 0);
    check(ours.replace("healed", "failed").as_bytes(), 0, 0, 1);
    check(ours.get(..60).unwrap().as_bytes(), 0, 0, 1);
    check(b"[1,2]", 0, 0, 1);
    check(b"{\"other\":\"program\"}", 0, 0, 1);
    check(b"\xff\xfe{", 0, 0, 1);
    check(&vec![b'a'; 200_000], 0, 0, 1);
    check(br#"{"kind":"verdict","id":"fix_1","verdict":"durable"}"#, 0, 0, 0);
}

#[test]
fn a_large_file_is_folded_in_halves_to_the_same_sum() {
    let line = python_line(true);
    let lines: Vec<String> = (0..(LARGE as usize * 2 / line.len()))
        .map(|n| match n % 7 {
            0 => python_line(false),
            3 => String::new(),
            5 if n > 1000 => format!("torn {}", "x".repeat(n % 50)),
            _ => line.clone(),
        })
        .collect();
    let text = lines.join("\n");
    assert!(text.len() as u64 > LARGE);
    let whole = read_text(text.as_bytes());
    let count = |wanted: &dyn Fn(&String) -> bool| lines.iter().filter(|l| wanted(l)).count() as u64;
    assert_eq!(whole.fixes, count(&|l| l.starts_with('{')));
    assert_eq!(whole.skipped, count(&|l| l.starts_with("torn")));
    let first = lines.iter().position(|l| l.starts_with("torn")).unwrap() as u64 + 1;
    assert_eq!(whole.first_skipped.as_ref().unwrap().0, first);
    assert_eq!(whole.decided.successes, count(&|l| *l == line));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &text).unwrap();
    for cut in [1, 100, text.len() as u64 / 3, text.len() as u64 - 1] {
        let reading = Reading { since: None, aging: None, verdicts: &Verdicts::default() };
        let part = |from, to| fold_part(file.path(), from, to, &reading).unwrap();
        let halves = part(0, cut).and(part(cut, u64::MAX));
        assert_eq!((halves.fixes, halves.skipped, halves.lines), (whole.fixes, whole.skipped, whole.lines), "{cut}");
    }
}

#[test]
fn history_moves_confidence_by_at_most_ten_points() {
    let check = |total, successes, points: f64| {
        let addend = history_addend(Tries { total, successes });
        assert_eq!(addend.map_or(0.0, |a| a.points), points, "{successes} of {total}");
    };
    check(0, 0, 0.0);
    check(1, 1, 2.0);
    check(1, 0, -2.0);
    check(4, 2, 0.0);
    check(5, 5, 10.0);
    check(100, 0, -10.0);
    check(10, 9, 8.0);
}

#[test]
fn a_target_with_tries_of_its_own_is_judged_by_them_alone() {
    let mut lines = vec![python_line(true); 3];
    lines.push(to_line(&record(Outcome::RolledBack, false)).unwrap());
    let knowledge = read_text(lines.join("\n").as_bytes());
    assert_eq!(
        knowledge.tries("rate_limiting", "increase_delay", "/a.py#call f").tries,
        Tries { total: 1, successes: 0 }
    );
    assert_eq!(knowledge.tries("rate_limiting", "increase_delay", "/b.py").tries, Tries { total: 4, successes: 3 });
}

#[test]
fn a_record_is_found_again_by_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kb.jsonl");
    assert!(!has_record(&path, "fix_1").unwrap());
    append(&path, &record(Outcome::Healed, true)).unwrap();
    append_verdict(&path, "2026-01-02T03:04:05Z".parse().unwrap(), "fix_2", "durable").unwrap();
    assert!(has_record(&path, "fix_1").unwrap());
    assert!(!has_record(&path, "fix_2").unwrap());
}

fn line(id: &str, result: Outcome, timestamp: &str) -> String {
    let record = Record {
        id: Some(id.into()),
        timestamp: timestamp.parse().unwrap(),
        ..record(result, result == Outcome::Healed)
    };
    to_line(&record).unwrap()
}

fn verdict(id: &str, verdict: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    append_verdict(&path, "2026-01-03T00:00:00Z".parse().unwrap(), id, verdict).unwrap();
    std::fs::read_to_string(&path).unwrap().trim_end().to_owned()
}

#[test]
fn a_later_verdict_counts_instead_of_how_the_fix_ended() {
    let check = |result: Outcome, verdicts: &[&str], expected: Option<bool>| {
        let mut lines = vec![line("fix_1", result, "2026-01-02T00:00:00Z")];
        lines.extend(verdicts.iter().map(|v| verdict("fix_1", v)));
        lines.push(verdict("fix_2", "recurred"));
        let knowledge = read_text(lines.join("\n").as_bytes());
        assert_eq!((knowledge.fixes, knowledge.skipped), (1, 0));
        let Tries { total, successes } = knowledge.decided;
        assert_eq!((total > 0).then_some(successes > 0), expected, "{result:?} {verdicts:?}");
        assert_eq!(knowledge.unproven, u64::from(result == Outcome::Unproven && expected.is_none()));
    };
    use Outcome::{Healed, RolledBack, Unproven};
    check(Healed, &[], Some(true));
    check(Healed, &["holding"], Some(true));
    check(Healed, &["holding", "durable"], Some(true));
    check(Healed, &["holding", "recurred"], Some(false));
    check(Healed, &["durable", "durable", "rolled_back_by_operator"], Some(false));
    check(Unproven, &[], None);
    check(Unproven, &["holding"], None);
    check(Unproven, &["durable"], Some(true));
    check(Unproven, &["recurred"], Some(false));
    check(RolledBack, &["durable"], Some(false));
}

#[test]
fn verdicts_are_found_wherever_they_stand_in_a_large_file() {
    let filler = line("other", Outcome::Healed, "2026-01-02T00:00:00Z");
    let count = LARGE as usize * 2 / filler.len();
    for at in [0, 1, count / 2 - 1, count / 2, count / 2 + 1, count - 1] {
        let mut lines = vec![filler.clone(); count];
        lines.insert(0, line("fix_1", Outcome::Healed, "2026-01-02T00:00:00Z"));
        lines.insert(at + 1, verdict("fix_1", "recurred"));
        lines.insert(count / 3, "x".repeat(300_000));
        let knowledge = read_text(lines.join("\n").as_bytes());
        assert_eq!((knowledge.recurred, knowledge.skipped), (1, 1), "verdict at line {at} of {count}");
        assert_eq!(knowledge.decided.total - knowledge.decided.successes, 1);
    }
}

#[test]
fn a_damaged_verdict_says_nothing() {
    let healed = line("fix_1", Outcome::Healed, "2026-01-02T00:00:00Z");
    let torn = verdict("fix_1", "recurred").replace("recurred", "recuRRed");
    let knowledge = read_text(format!("{healed}\n{torn}\n").as_bytes());
    assert_eq!((knowledge.decided.successes, knowledge.recurred, knowledge.skipped), (1, 0, 1));
}

#[test]
fn what_is_old_counts_less_and_is_counted_all_the_same() {
    let check = |ages: &[(i64, bool)], points: f64, total: u64| {
        let now: jiff::Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let at = |days: i64| (now - jiff::SignedDuration::from_hours(days * 24)).to_string();
        let outcome = |works| if works { Outcome::Healed } else { Outcome::RolledBack };
        let lines: Vec<String> = ages
            .iter()
            .enumerate()
            .map(|(n, (days, works))| line(&format!("f{n}"), outcome(*works), &at(*days)))
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        let aging = Aging { now, half_life: std::time::Duration::from_secs(90 * 86_400) };
        let history = read_aged(file.path(), aging).unwrap().tries("rate_limiting", "increase_delay", "/a.py#call f");
        let addend = history_addend(history);
        let found = addend.as_ref().map_or(0.0, |a| a.points);
        assert!((found - points).abs() < 0.01, "{ages:?}: {found}, not {points}");
        assert_eq!(history.tries.total, total);
    };
    check(&[], 0.0, 0);
    check(&[(0, true)], 2.0, 1);
    check(&[(90, true)], 1.0, 1);
    check(&[(90, false); 10], -10.0, 10);
    check(&[(180, true), (180, true), (180, true), (180, true)], 2.0, 4);
    // Two old failures weigh as much as one fresh success.
    check(&[(90, false), (90, false), (0, true)], 0.0, 3);
}

#[test]
fn where_target_and_issue_type_have_no_tries_the_fix_type_has() {
    let knowledge = read_text(line("f", Outcome::Healed, "2026-01-02T00:00:00Z").as_bytes());
    let check = |issue: &str, fix: &str, target: &str, label: Option<&str>| {
        let addend = history_addend(knowledge.tries(issue, fix, target));
        assert_eq!(addend.map(|a| a.label).as_deref(), label, "{issue} {fix} {target}");
    };
    let such = Some("history: 1 of 1 such fixes worked");
    check("rate_limiting", "increase_delay", "/a.py#call f", such);
    check("rate_limiting", "increase_delay", "/b.py", such);
    check("api_timeout", "increase_delay", "/b.py", Some("history: 1 of 1 fixes of this type worked"));
    check("api_timeout", "raise_timeout", "/b.py", None);
}

#[test]
fn what_clears_by_itself_takes_back_what_success_has_added() {
    let check = |total, successes, seen, cleared, points: Option<f64>| {
        let history = History { cleared: Cleared { seen, cleared }, ..Tries { total, successes }.into() };
        let found = self_recovery_addend(history).map(|a| a.points);
        assert_eq!(found, points, "{successes} of {total}, {cleared} of {seen}");
    };
    check(5, 5, 0, 0, None);
    check(5, 5, 4, 0, None);
    check(5, 5, 10, 10, Some(-10.0));
    check(5, 5, 10, 5, Some(-5.0));
    check(5, 5, 1, 1, Some(-2.0));
    check(5, 0, 10, 10, Some(0.0));
    check(0, 0, 10, 10, None);
}

#[test]
fn durations_are_known_to_a_hundredth_and_shares_within_an_interval() {
    let mut spread = Spread::default();
    assert_eq!(spread.quantile(0.5), None);
    (1..=1000).for_each(|n| spread.add(n * 100));
    for (share, exact) in [(0.5, 50_000.0), (0.9, 90_000.0), (1.0, 100_000.0)] {
        let found = spread.quantile(share).unwrap() as f64;
        assert!((found / exact - 1.0).abs() < 0.011, "{share}: {found}");
    }
    let (low, high) = wilson(8, 10).unwrap();
    assert!((low - 0.490).abs() < 0.001 && (high - 0.943).abs() < 0.001, "{low} {high}");
    assert_eq!(wilson(0, 0), None);
    assert_eq!(wilson(0, 10).unwrap().0, 0.0);
}
