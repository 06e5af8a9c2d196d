//! The sentence of the verdict, and what each section says.

use super::super::{main, verdict};
use super::example::{Example, before, held_diagnosis, incident};
use crate::ack::Ack;
use crate::model::Status;
use serde_json::json;

fn verdict_is(expected: &str, change: impl FnOnce(&mut Example)) {
    let mut example = Example::quiet();
    change(&mut example);
    let verdict = verdict::of(&example.view());
    assert_eq!(format!("{} {}", verdict.mark.shape(), verdict.sentence()), expected);
}

fn open(e: &mut Example, severity: Status) {
    let fingerprint = format!("database_connection/{}", e.status.incidents.len());
    e.status.incidents.push(incident("inc_20251019_164500_1", &fingerprint, "database", severity));
}

#[test]
fn the_verdict_says_how_things_stand() {
    verdict_is("● All is well", |_| {});
    verdict_is("● All is well, but fixes are paused", |e| e.pause(None));
    verdict_is("● All is well", |e| e.pause(Some("one-rule")));
    verdict_is("? No pass yet", |e| e.status.last_pass = None);
    verdict_is("● All is well", |e| e.passed(600));
    verdict_is("■ No pass for 17 minutes: is the timer running?", |e| e.passed(1_020));
    verdict_is("■ No pass for 17 minutes: is the timer running? 1 problem was open.", |e| {
        e.passed(1_020);
        open(e, Status::Warning);
    });
    verdict_is("● All is well", |e| {
        e.passed(1_020);
        e.status.running = Some("healer heal".into());
    });
    verdict_is("▲ 1 problem, nothing for you to do yet", |e| open(e, Status::Warning));
    verdict_is("■ 1 problem needs you", |e| open(e, Status::Critical));
    verdict_is("■ 2 problems, 1 needs you", |e| {
        open(e, Status::Critical);
        open(e, Status::Warning);
    });
    verdict_is("■ 2 problems need you", |e| {
        open(e, Status::Critical);
        open(e, Status::Critical);
    });
    verdict_is("■ 1 problem, 2 things need you", |e| {
        open(e, Status::Critical);
        e.trip();
    });
    verdict_is("▲ No open problem, but 1 thing needs you", Example::trip);
    verdict_is("■ No open problem, but 1 thing needs you", |e| e.hold("rollback_failed"));
    verdict_is("▲ 1 check is on warning", |e| {
        e.last_pass.as_mut().unwrap()["health"]["checks"]["api"]["status"] = "warning".into();
    });
    verdict_is("? 1 check is unknown", |e| {
        e.last_pass.as_mut().unwrap()["health"]["checks"]["api"]["status"] = "no word of ours".into();
    });
}

#[test]
fn the_verdict_follows_a_fix_from_step_to_step() {
    verdict_is("◐ 1 problem, being fixed: applying", Example::fixing);
    verdict_is("◐ 1 problem, being fixed: settling, 0:05 left", |e| {
        e.fixing();
        e.progress(3, 8, true);
    });
    verdict_is("◐ 1 problem, being fixed: validating, 1:12 left", |e| {
        e.fixing();
        e.progress(4, 76, false);
    });
    verdict_is("◐ 2 problems, 1 being fixed: validating, 1:12 left; 1 needs you", |e| {
        open(e, Status::Critical);
        open(e, Status::Warning);
        e.fixing();
        e.progress(4, 76, false);
    });
    verdict_is("◐ 1 problem, being fixed: rolling back", |e| {
        e.fixing();
        e.progress(4, 76, false);
        e.event("rolling_back", before(1), json!({ "why": "9 errors" }));
    });
    verdict_is("▲ 1 problem, a fix was left open: the next pass ends it", |e| {
        e.fixing();
        e.event("pass_ended", before(1), json!({ "run": "run_2" }));
    });
    verdict_is("▲ 1 problem, a fix was left open: the next pass ends it", |e| {
        e.fixing();
        e.progress(4, 76, false);
        e.status.running = None;
    });
    verdict_is("◐ 1 problem, being fixed: applying", |e| {
        e.fixing();
        e.status.last_pass = None;
    });
    verdict_is("■ 1 thing needs you, as not everything can be read", |e| {
        e.status.unreadable = vec!["pause.json is damaged".into()];
        e.status.pauses_unreadable = true;
    });
    verdict_is("■ The last pass is dated in the future: was the clock set back?", |e| e.passed(-86_400));
    verdict_is("● All is well", |e| {
        e.fixing();
        e.event("healed", before(1), json!({ "fix_id": "fix_20251019_170416" }));
    });
}

#[test]
fn what_was_just_mended_is_no_problem_until_a_pass_has_looked_again() {
    let check = |expected: &str, outcome: &str, ago: i64, then: fn(&mut Example)| {
        verdict_is(expected, |e| {
            open(e, Status::Warning);
            let of =
                json!({ "fix_id": "fix_1", "issue_type": e.status.incidents[0].issue_type, "component": "database" });
            e.event(outcome, before(ago), of);
            then(e);
        });
    };
    let still = "▲ 1 problem, nothing for you to do yet";
    check("● 1 problem was fixed: the next pass looks again", "healed", 1, |_| {});
    check(still, "rolled_back", 1, |_| {});
    check(still, "unproven", 1, |_| {});
    check(still, "healed", 600, |_| {});
    check(still, "healed", 2, |e| e.event("rolled_back_by_operator", before(1), json!({ "fix_id": "fix_1" })));
    check("■ 1 problem needs you", "healed", 1, |e| {
        e.status.incidents.push(incident("inc_2", "pool/api", "api", Status::Critical));
    });
    check("● 1 problem was fixed: the next pass looks again", "healed", 1, |e| {
        e.status.incidents[0].severity = Status::Critical;
    });
    check(still, "healed", 1, |e| e.status.incidents[0].issue_type = "another".into());
}

#[test]
fn a_fix_is_rolled_back_once() {
    let mut example = Example::busy();
    let button = "data-act=\"rollback\" data-id=\"backup_20251018_170003\"";
    says(&example, &[(button, true)]);
    example.event("rolled_back_by_operator", before(1), json!({ "fix_id": "fix_1" }));
    says(&example, &[("data-act=\"rollback\"", false)]);
}

/// Which of these the page has.
fn says(example: &Example, expected: &[(&str, bool)]) {
    let html = main(&example.view());
    for (text, is) in expected {
        assert_eq!(html.contains(text), *is, "{text} in {html}");
    }
}

#[test]
fn a_held_plan_can_be_applied_only_where_that_helps() {
    let apply = "data-act=\"apply\" data-id=\"plan_89abcdef0123\"";
    for (hold, may_act, is) in [
        ("low_confidence", true, true),
        ("suggest", true, true),
        ("low_confidence", false, false),
        ("cooldown", true, false),
        ("circuit_open", true, false),
    ] {
        let mut example = Example::quiet();
        example.last_pass.as_mut().unwrap()["diagnoses"] = json!([held_diagnosis(hold)]);
        example.may_act = may_act;
        says(&example, &[(apply, is), ("id=\"needs\"", true), ("Held: ", true)]);
    }
    let mut example = Example::quiet();
    example.last_pass.as_mut().unwrap()["diagnoses"] = json!([held_diagnosis("low_confidence")]);
    example.last_pass.as_mut().unwrap()["diagnoses"][0]["plan"]["id"] = "plan_1/../../x".into();
    says(&example, &[("data-act=\"apply\"", false), ("id=\"needs\"", true)]);
}

#[test]
fn what_needs_nobody_is_not_there() {
    says(&Example::quiet(), &[("id=\"needs\"", false), ("id=\"progress\"", false), ("id=\"checks\"", true)]);
    let mut example = Example::quiet();
    example.may_act = false;
    says(&example, &[("<button", false)]);
}

#[test]
fn log_text_and_diffs_are_for_those_who_may_read() {
    let secrets = ["FATAL:", "Too Many Requests", "size = 40", "asyncio.sleep(0.8)", "at ADDR failed"];
    for may_read in [true, false] {
        let mut example = Example::busy();
        example.may_read = may_read;
        says(&example, &secrets.map(|secret| (secret, may_read)));
        says(&example, &[("need the token", !may_read), ("data-read=\"no\"", !may_read)]);
    }
}

#[test]
fn each_thing_that_needs_a_human_is_told_once() {
    let held = |plan: serde_json::Value, hold: &str| {
        let mut diagnosis = held_diagnosis(hold);
        diagnosis["plan"] = plan;
        diagnosis["rule"] = "rate-limit-delay".into();
        json!([diagnosis])
    };
    let mut example = Example::quiet();
    example.hold("rolled_back_by_operator");
    let target = json!({ "id": "plan_1", "target": "/srv/shop/client.py#call sleep" });
    says(&example, &[("Left alone until you release it", true), ("Needs you <span class=\"count\">1<", true)]);
    example.last_pass.as_mut().unwrap()["diagnoses"] = held(target, "held_for_human");
    says(&example, &[("Left alone until you release it", false), ("Needs you <span class=\"count\">1<", true)]);
}

#[test]
fn a_critical_incident_needs_a_human_unless_something_is_done_about_it() {
    let check = |decision: &str, needs_human: bool, asked: bool, with_evidence: bool| {
        let mut example = Example::quiet();
        open(&mut example, Status::Critical);
        let mut diagnosis = held_diagnosis("cooldown");
        diagnosis["fingerprint"] = "database_connection/0".into();
        (diagnosis["decision"], diagnosis["needs_human"]) = (decision.into(), needs_human.into());
        example.last_pass.as_mut().unwrap()["diagnoses"] = json!([diagnosis]);
        says(
            &example,
            &[("No rule has a fix", asked && !needs_human), ("id=\"needs\"", asked), ("FATAL:", with_evidence)],
        );
    };
    check("no_rule", false, true, true);
    check("hold", true, true, true);
    check("act", false, false, false);
}

#[test]
fn an_incident_that_was_seen_cannot_be_acknowledged_again() {
    let mut example = Example::quiet();
    open(&mut example, Status::Critical);
    let button = "data-act=\"ack\" data-id=\"inc_20251019_164500_1\"";
    says(&example, &[(button, true), ("Seen by", false)]);
    let since = example.status.now.clone();
    let incident = "inc_20251019_164500_1".to_owned();
    example.status.acks.push(Ack { incident, since, seconds: None, by: "ops".into() });
    says(&example, &[(button, false), ("Seen by ops", true)]);
}

#[test]
fn a_fix_in_place_can_be_rolled_back() {
    let example = Example::busy();
    let html = main(&example.view());
    assert_eq!(
        html.matches("data-act=\"rollback\"").count(),
        3,
        "two healed, one unproven, none of the one rolled back"
    );
    says(&example, &[("backup_20251018_170001</code>", true), ("data-id=\"backup_20251018_170001\"", false)]);
}

#[test]
fn failing_checks_come_first_and_by_project() {
    let main = main(&Example::busy().view());
    let html = main.split_once("id=\"checks\"").unwrap().1;
    let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("no {text}"));
    let order = [
        "Host and services",
        ">database ",
        ">docker ",
        ">api ",
        ">raid ",
        ">host ",
        ">shop<",
        "shop-worker ",
        "shop-api ",
    ];
    let places: Vec<usize> = order.iter().map(|text| place(&text.replace("shop-api ", ">shop-api "))).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(html.contains("critical in 3, warning in 3, healthy in 42 of 48 half hours"));
}
