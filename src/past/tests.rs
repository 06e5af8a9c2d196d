use super::*;
use serde_json::json;

/// A log that a test writes line by line, one second after the other.
#[derive(Default)]
struct Log {
    past: Past,
    second: i64,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_760_000_000 + second).unwrap()
}

impl Log {
    fn say(&mut self, run: &str, kind: &str, data: Value) -> &mut Log {
        let mut event = data;
        event["t"] = at(self.second).to_string().into();
        event["kind"] = kind.into();
        event["run"] = run.into();
        self.second += 1;
        self.past.take(&event.to_string());
        self
    }

    fn fix(&self) -> &Fix {
        self.past.fix.as_ref().unwrap()
    }

    /// A pass up to its window: second 6.
    fn watched() -> Log {
        let mut log = Log::default();
        log.say("run_1", "pass", json!({ "acting": "plan_1" }))
            .say("run_1", "fixing", json!({ "plan_id": "plan_1", "diagnosis": diagnosis() }))
            .say("run_1", "backup", json!({ "backup_id": "backup_1", "fix_id": "fix_1" }))
            .say("run_1", "begun", json!({ "plan_id": "plan_1", "backup_id": "backup_1", "fix_id": "fix_1" }))
            .say(
                "run_1",
                "edited",
                json!({ "fix_id": "fix_1", "edit": { "path": "/a.py", "line": 5, "old": "0.8", "new": "1.2" } }),
            )
            .say("run_1", "restarted", json!({ "fix_id": "fix_1", "target": "container:a" }))
            .say("run_1", "validating", json!({ "fix_id": "fix_1", "seconds": 119.2 }));
        log
    }
}

fn diagnosis() -> Value {
    json!({
        "cause": "a was rate limited", "diff": "-0.8\n+1.2", "steps": ["edit /a.py:5: 0.8 -> 1.2"],
        "addends": [{ "label": "rule slow-down", "points": 90.0 }],
        "signals": [{ "held": true, "seen": "20 x rate_limit" }, { "held": false, "seen": "nothing of this" }],
        "trigger": { "example": "HTTP 429 <b>" },
    })
}

fn outcome() -> Value {
    json!({
        "fix_id": "fix_1", "backup_id": "backup_1", "fix_type": "increase_delay", "component": "a", "rule": "slow-down",
        "confidence": 90, "why": "0 errors in 120s", "verdict": { "kind": "success", "errors_after": 0 },
        "plan": { "id": "plan_1", "cause": "a was rate limited" },
    })
}

#[test]
fn a_fix_is_told_in_its_steps_with_what_is_left_to_wait() {
    let mut log = Log::watched();
    let told: Vec<(&str, &str)> = log.fix().told.iter().map(|t| (t.kind.as_str(), t.text.as_str())).collect();
    assert_eq!(
        told,
        [
            ("backup", "backup backup_1"),
            ("edited", "edited /a.py:5: 0.8 -> 1.2"),
            ("restarted", "restarted container:a"),
            ("validating", "watching for 120s"),
        ]
    );
    let fix = log.fix();
    assert_eq!(
        (fix.plan_id.as_str(), fix.fix_id.as_deref(), fix.backup_id.as_deref()),
        ("plan_1", Some("fix_1"), Some("backup_1"))
    );
    assert_eq!((fix.run.as_deref(), fix.began, fix.left_open), (Some("run_1"), at(1), false));
    assert_eq!(fix.diagnosis, diagnosis());
    let wait = fix.wait.as_ref().unwrap();
    assert_eq!((wait.left_s, wait.errors, wait.settling), (120, 0, false));

    log.say(
        "run_1",
        "progress",
        json!({ "watched": "rate_limit in a", "errors": 3, "settling": false, "left_s": 110 }),
    );
    let wait = log.fix().wait.clone().unwrap();
    assert_eq!((wait.left_s, wait.errors, wait.watched.as_str(), wait.t), (110, 3, "rate_limit in a", at(7)));
    assert_eq!(
        [wait.left_at(at(7)), wait.left_at(at(67)), wait.left_at(at(500)), wait.left_at(at(0))],
        [110, 50, 0, 110]
    );
    assert!(log.past.items.is_empty(), "nothing has ended");
}

#[test]
fn an_end_is_an_entry_with_all_that_is_needed_to_understand_it() {
    let mut log = Log::watched();
    log.say("run_1", "healed", outcome()).say("run_1", "pass_ended", json!({ "exit_code": 0 }));
    assert!(log.past.fix.is_none());
    let [item]: [Item; 1] = Vec::from(log.past.items).try_into().unwrap();
    let expected = Item {
        t: at(7),
        kind: "healed".into(),
        title: "a was rate limited".into(),
        component: Some("a".into()),
        issue_type: None,
        rule: Some("slow-down".into()),
        fix_type: Some("increase_delay".into()),
        fix_id: Some("fix_1".into()),
        backup_id: Some("backup_1".into()),
        plan_id: Some("plan_1".into()),
        confidence: Some(90),
        why: Some("0 errors in 120s".into()),
        steps: vec!["edit /a.py:5: 0.8 -> 1.2".into()],
        evidence: vec!["20 x rate_limit".into(), "HTTP 429 <b>".into()],
        addends: vec![json!({ "label": "rule slow-down", "points": 90.0 })],
        diff: Some("-0.8\n+1.2".into()),
        validation: Some(json!({ "kind": "success", "errors_after": 0 })),
        incident: None,
    };
    assert_eq!(item, expected);
    assert_eq!((log.past.looked, log.past.ended), (Some(at(0)), Some(at(8))));
}

#[test]
fn every_end_ends_a_fix_and_no_other_event_does() {
    let check = |kind: &str, data: Value, ends: bool| {
        let mut log = Log::watched();
        log.say("run_1", kind, data);
        assert_eq!(log.past.fix.is_none(), ends, "{kind}");
    };
    for kind in [
        "healed",
        "recovered",
        "rolled_back",
        "failed",
        "rollback_failed",
        "conflict",
        "unproven",
        "rolled_back_by_operator",
    ] {
        check(kind, outcome(), true);
    }
    check("called_off", json!({ "plan_id": "plan_1" }), true);
    check("called_off", json!({ "plan_id": "plan_2" }), false);
    check("recovered", json!({ "component": "a" }), true);
    let of_another = |kind: &str| (kind.to_owned(), json!({ "fix_id": "fix_0", "backup_id": "backup_0" }));
    for (kind, data) in ["healed", "rolled_back_by_operator", "rolled_back"].map(of_another) {
        check(&kind, data, false);
    }
    for kind in ["kept", "rolling_back", "alert", "durable", "paused", "errors", "pass", "what_is_to_come"] {
        check(kind, json!({ "why": "x" }), false);
    }
}

#[test]
fn a_rollback_ends_the_wait_before_it_ends_the_fix() {
    let mut log = Log::watched();
    log.say("run_1", "rolling_back", json!({ "fix_id": "fix_1", "why": "3 errors" }));
    assert_eq!(
        (log.fix().wait.as_ref(), log.fix().told.last().unwrap().text.as_str()),
        (None, "rolling back: 3 errors")
    );
}

#[test]
fn what_a_killed_pass_has_left_open_is_so_until_another_one_takes_it_up() {
    let mut log = Log::watched();
    // Killed: another pass looks, takes it up and is stopped in its turn.
    log.say("run_2", "recovering", json!({ "fix_id": "fix_1", "phases": ["validating"] }));
    assert!(!log.fix().left_open);
    log.say("run_2", "pass_ended", json!({ "exit_code": 12 }));
    assert!(log.fix().left_open, "its pass ended and said nothing of its end");
    log.say("run_3", "recovering", json!({ "fix_id": "fix_1" }));
    assert!(!log.fix().left_open);
    log.say("run_3", "healed", outcome()).say("run_3", "pass_ended", json!({}));
    assert!(log.past.fix.is_none());
    assert_eq!(log.past.items.len(), 1);

    // Stopped by a signal: its own pass ends first.
    let mut log = Log::watched();
    log.say("run_1", "pass_failed", json!({ "why": "no space" }));
    assert!(log.fix().left_open);
    assert_eq!(
        log.past.items.back().map(|i| (i.kind.as_str(), i.why.as_deref())),
        Some(("pass_failed", Some("no space")))
    );

    // Nothing was begun: there is nothing left.
    let mut log = Log::default();
    log.say("run_1", "fixing", json!({ "plan_id": "plan_1", "diagnosis": {} })).say("run_1", "pass_ended", json!({}));
    assert!(log.past.fix.is_none());
}

#[test]
fn what_operators_and_alerts_say_is_in_the_history_and_what_an_outcome_has_said_is_not_said_twice() {
    let check = |kind: &str, data: Value, expected: Option<(&str, &str)>| {
        let mut log = Log::default();
        log.say("run_1", kind, data);
        let found = log.past.items.back().map(|item| (item.kind.as_str(), item.title.as_str()));
        assert_eq!(found, expected, "{kind}");
    };
    let alert = |kind: &str| json!({ "alert": { "kind": kind, "title": "database is down", "incident": "inc_1" } });
    check("alert", alert("critical"), Some(("critical", "database is down")));
    check("alert", alert("held"), Some(("held", "database is down")));
    check("alert", alert("resolved"), Some(("resolved", "database is down")));
    for kind in ["healed", "unproven", "rolled_back", "rollback_failed", "recurred"] {
        check("alert", alert(kind), None);
    }
    check("durable", json!({ "fix_type": "increase_delay" }), Some(("durable", "increase_delay has held for a day")));
    check("paused", json!({ "by": "ada", "rule": null }), Some(("paused", "fixes paused by ada")));
    check("paused", json!({ "by": "ada", "rule": "r" }), Some(("paused", "fixes of rule r paused by ada")));
    check("resumed", json!({ "by": "ada" }), Some(("resumed", "pauses ended by ada")));
    check(
        "acknowledged",
        json!({ "incident": "inc_1", "by": "ada" }),
        Some(("acknowledged", "incident inc_1 seen by ada")),
    );
    check("reset", json!({ "target": "a" }), Some(("reset", "a released")));
    check("pass", json!({}), None);
}

#[test]
fn errors_are_counted_by_group_and_hour() {
    let mut log = Log::default();
    let errors = |group: &str, count: u64| json!({ "group": group, "count": count, "template": "x <num>", "signatures": ["rate_limit"] });
    log.say("run_1", "errors", errors("a", 3)).say("run_1", "errors", errors("b", 1));
    log.second = 3600;
    log.say("run_2", "errors", errors("a", 4)).say("run_2", "errors", errors("a", 5));
    let counts: Vec<Vec<(&str, u64)>> =
        log.past.errors.values().map(|hour| hour.iter().map(|(id, n)| (id.as_str(), *n)).collect()).collect();
    assert_eq!(counts, [vec![("a", 3), ("b", 1)], vec![("a", 9)]]);
    assert!(log.past.errors.keys().all(|hour| hour % 3600 == 0));
    assert_eq!(
        (log.past.groups["a"].template.as_str(), &log.past.groups["a"].signatures),
        ("x <num>", &vec!["rate_limit".to_owned()])
    );
    log.past.forget_before(at(3600 + 7200));
    assert!(log.past.errors.is_empty());
}

#[test]
fn however_much_a_log_says_only_so_much_is_kept() {
    let mut log = Log::watched();
    for n in 0..2_000 {
        log.say("run_1", "acting", json!({ "said": "again" }));
        log.say("run_1", "paused", json!({ "by": n.to_string() }));
        log.say("run_1", "errors", json!({ "group": n.to_string(), "count": 1 }));
    }
    assert_eq!((log.fix().told.len(), log.past.items.len()), (100, MOST_ITEMS));
    assert_eq!(log.past.items.back().unwrap().title, "fixes paused by 1999", "the newest are kept");
    assert_eq!(log.past.groups.len(), MOST_GROUPS);
    let all: u64 = log.past.errors.values().flat_map(BTreeMap::values).sum();
    assert_eq!(all, 2_000, "none is lost: {OTHER_GROUPS} counts what is beyond");
    for n in 0..50 {
        log.say("run_1", "fixing", json!({ "plan_id": format!("plan_{n}"), "diagnosis": {} }));
    }
    assert_eq!(log.past.pending.len(), MOST_PENDING);
    log.past.forget_before(at(1_000_000));
    assert!(log.past.items.is_empty());
}

#[test]
fn lines_that_are_none_of_ours_are_passed_over() {
    let mut past = Past::default();
    for line in [
        "",
        "nonsense",
        "null",
        "[]",
        "{}",
        r#"{"kind":"healed"}"#,
        r#"{"t":"yesterday","kind":"healed"}"#,
        r#"{"t":"2026-01-01T00:00:00Z","kind":7}"#,
        r#"{"t":"2026-01-01T00:00:00Z","kind":"heal"#,
        r#"{"t":"2026-01-01T00:00:00Z","kind":"fixing","plan_id":7}"#,
        r#"{"t":"2026-01-01T00:00:00Z","kind":"alert","alert":"x"}"#,
        r#"{"t":"2026-01-01T00:00:00Z","kind":"alert"}"#,
        r#"{"t":"2026-01-01T00:00:00Z","kind":"errors","group":null,"count":-1}"#,
        r#"{"t":"2026-01-01T00:00:00Z","kind":"begun","fix_id":"fix_1"}"#,
        r#"{"t":"2026-01-01T00:00:00Z","kind":"progress","left_s":"soon"}"#,
    ] {
        past.take(line);
    }
    assert!(
        past.items.is_empty() && past.fix.is_none() && past.errors.is_empty() && past.groups.is_empty(),
        "{past:?}"
    );
    // Of the right kind and with nothing in it: said with what is there.
    past.take(
        r#"{"t":"2026-01-01T00:00:00Z","kind":"healed","plan":[1],"verdict":"x","confidence":"high","fix_type":{}}"#,
    );
    assert_eq!((past.items[0].title.as_str(), past.items[0].confidence), ("fix of ?", None));
    past.take(r#"{"t":"2026-01-01T00:00:00Z","kind":"fixing","plan_id":"p"}"#);
    for kind in ["edited", "validating", "restarted", "acted", "rolling_back", "progress"] {
        past.take(&format!(r#"{{"t":"2026-01-01T00:00:00Z","kind":"{kind}","edit":[],"seconds":-1e300}}"#));
    }
    assert_eq!(past.fix.unwrap().told.len(), 5);
}

#[test]
fn a_title_is_one_line_whatever_a_cause_holds() {
    let mut log = Log::default();
    let mut end = outcome();
    end["plan"]["cause"] = "two\nlines \u{1b}[31m".into();
    log.say("run_1", "healed", end);
    assert_eq!(log.past.items[0].title, "two lines \\u{1b}[31m");
}

mod series {
    use super::at;
    use crate::model::Status;
    use crate::past::Samples;

    fn samples() -> Samples {
        let mut samples = Samples::default();
        for (second, status, latency) in
            [(0, "healthy", 3), (50, "critical", 900), (55, "warning", 20), (99, "healthy", 4)]
        {
            samples.take(&format!(
                r#"{{"t":"{}","errors":1,"checks":{{"api":{{"status":"{status}","response_time_ms":{latency}}},
                    "host":{{"status":"healthy","cpu_percent":7,"disk_percent:/":40,"disk_percent:/var":60}}}}}}"#,
                at(second)
            ));
        }
        samples
    }

    #[test]
    fn values_are_a_series_and_a_strip_shows_the_worst_of_each_part() {
        let samples = samples();
        assert_eq!(samples.checks().into_iter().collect::<Vec<_>>(), ["api", "host"]);
        let latency: Vec<f32> = samples.of("api", |p| p.latency_ms).into_iter().map(|(_, v)| v).collect();
        assert_eq!(latency, [3.0, 900.0, 20.0, 4.0]);
        assert_eq!(samples.of("host", |p| p.disk)[0].1, 60.0, "the fullest disk");
        assert!(samples.of("api", |p| p.cpu).is_empty() && samples.of("x", |p| p.latency_ms).is_empty());
        let strip = samples.strip("api", at(0), at(100), 4);
        assert_eq!(strip, [Some(Status::Healthy), None, Some(Status::Critical), Some(Status::Healthy)]);
        assert_eq!(samples.strip("api", at(51), at(100), 1), [Some(Status::Warning)], "what is earlier is not in it");
        assert!(samples.strip("api", at(0), at(100), 0).is_empty());
    }

    #[test]
    fn what_is_no_sample_is_passed_over_and_what_is_old_is_forgotten() {
        let mut samples = samples();
        for line in ["", "{}", r#"{"t":"x"}"#, r#"{"t":"2026-01-01T00:00:00Z","checks":[]}"#] {
            samples.take(line);
        }
        samples.take(&format!(r#"{{"t":"{}","checks":{{"api":{{"status":"purple"}},"b":7}}}}"#, at(100)));
        assert_eq!((samples.all.len(), samples.all.back().unwrap().checks.len()), (5, 0));
        samples.forget_before(at(55));
        assert_eq!(samples.all.len(), 3);
        for n in 0..10_100 {
            samples.take(&format!(r#"{{"t":"{}"}}"#, at(200 + n)));
        }
        assert_eq!(samples.all.len(), 10_080);
    }
}

#[test]
fn a_fix_that_was_closed_before_it_began_is_over() {
    let mut log = Log::watched();
    log.say("run_2", "recovering", json!({ "fix_id": "fix_1" }));
    log.say("run_2", "held", json!({ "fix_id": "fix_1", "why": "it was interrupted before it changed anything" }));
    assert!(log.past.fix.is_none());
}
