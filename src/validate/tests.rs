//! What a fix is judged on, as tables.

use super::*;

fn spec(watched: Watched, allowed: ErrorsAllowed, checks: &[&str]) -> ValidationSpec {
    ValidationSpec {
        settle_seconds: 10.0,
        window_seconds: 120.0,
        max_window_seconds: 600.0,
        errors_allowed: allowed,
        checks: checks.iter().map(|c| (*c).to_owned()).collect(),
        watched,
    }
}

fn log(rate: f64) -> Watched {
    Watched::Log { source: "container:a".into(), signature: "rate_limit".into(), rate_per_second: rate }
}

fn sample(at: f64, errors: u64) -> Sample {
    Sample { at, errors, ..Sample::default() }
}

fn verdict(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Wait { until, .. } if until > 120.0 => "extend",
        Judgement::Wait { .. } => "wait",
        Judgement::Done(v) => match v.kind {
            VerdictKind::Success => "success",
            VerdictKind::Failure => "failure",
            VerdictKind::NotEnough => "not enough",
            VerdictKind::Interrupted => "interrupted",
        },
    }
}

#[test]
fn errors_are_judged_against_what_was_to_be_expected() {
    let check = |rate, allowed, at, errors, expected| {
        let judged = judge(&spec(log(rate), allowed, &[]), Before::default(), &[sample(at, errors)]);
        assert_eq!(verdict(judged), expected, "rate {rate}, {errors} errors at {at}");
    };
    let none = ErrorsAllowed::AtMost(0);
    check(0.1, none, 60.0, 0, "wait");
    check(0.1, none, 120.0, 0, "success");
    check(0.1, none, 120.0, 1, "failure");
    check(0.1, ErrorsAllowed::AtMost(1), 120.0, 1, "success");
    check(0.01, none, 120.0, 0, "extend");
    check(0.01, none, 300.0, 0, "success");
    check(0.001, none, 600.0, 0, "not enough");
    check(0.001, none, 600.0, 1, "failure");
    check(0.5, ErrorsAllowed::ReduceTo(0.2), 120.0, 12, "success");
    check(0.5, ErrorsAllowed::ReduceTo(0.2), 120.0, 13, "failure");
    check(3.5, ErrorsAllowed::ReduceTo(0.5), 0.4, 5, "wait");
    check(3.5, ErrorsAllowed::ReduceTo(0.5), 0.4, 8, "failure");
    check(0.1, none, 20.0, 5, "failure");
    check(0.1, none, 20.0, 2, "wait");
    check(0.1, none, 40.0, 8, "wait");
}

#[test]
fn a_check_needs_three_good_samples_and_a_good_end() {
    let check = |gone: &[bool], at: f64, expected| {
        let step = at / gone.len() as f64;
        let samples: Vec<Sample> = gone
            .iter()
            .enumerate()
            .map(|(i, g)| Sample { trigger_gone: Some(*g), ..sample(step * (i + 1) as f64, 0) })
            .collect();
        let watched = Watched::Check { name: "api".into() };
        let judged = judge(&spec(watched, ErrorsAllowed::AtMost(0), &[]), Before::default(), &samples);
        assert_eq!(verdict(judged), expected, "{gone:?}");
    };
    check(&[true, true, true], 120.0, "success");
    check(&[false, true, true, true], 120.0, "success");
    check(&[true, true, false], 120.0, "failure");
    check(&[false, true, true], 120.0, "extend");
    check(&[false, true, true], 600.0, "not enough");
    check(&[true, true, true], 60.0, "wait");
}

#[test]
fn nothing_healthy_may_have_become_critical_and_named_checks_must_be_healthy() {
    use Status::{Critical, Healthy, Warning};
    let check = |named: &[&str], before: Status, seen: &[Status], at: f64, expected| {
        let step = at / seen.len() as f64;
        let samples: Vec<Sample> = seen
            .iter()
            .enumerate()
            .map(|(i, s)| Sample {
                statuses: BTreeMap::from([("api".to_owned(), *s)]),
                ..sample(step * (i + 1) as f64, 0)
            })
            .collect();
        let before = BTreeMap::from([("api".to_owned(), before)]);
        let known = Before { statuses: Some(&before), ..Before::default() };
        let judged = judge(&spec(log(0.1), ErrorsAllowed::AtMost(0), named), known, &samples);
        assert_eq!(verdict(judged), expected, "{named:?} {before:?} {seen:?}");
    };
    check(&[], Healthy, &[Healthy, Critical, Critical], 120.0, "failure");
    check(&[], Healthy, &[Critical, Critical, Healthy], 120.0, "success");
    check(&[], Healthy, &[Healthy, Healthy, Critical], 120.0, "success");
    check(&[], Critical, &[Critical, Critical, Critical], 120.0, "success");
    check(&[], Healthy, &[Critical, Critical], 120.0, "success");
    check(&["api"], Warning, &[Warning, Warning, Warning], 120.0, "failure");
    check(&["api"], Warning, &[Warning, Warning, Healthy], 120.0, "success");
    check(&["api"], Healthy, &[Critical, Critical, Critical], 30.0, "failure");
    check(&["api"], Critical, &[Critical, Critical, Critical], 30.0, "wait");
}

#[test]
fn luck_is_poisson() {
    let check = |seen, expected: f64, chance: f64| {
        assert!((chance_of_at_most(seen, expected) - chance).abs() < 1e-4, "{seen} of {expected}");
    };
    check(0, 3.0, 0.049_787);
    check(0, 12.0, 0.000_006);
    check(2, 3.0, 0.423_19);
    check(0, 0.0, 1.0);
}

/// Judges samples of a quiet log at ten errors a minute over two minutes, the last changed so.
fn quiet(change: impl Fn(&mut Sample), at: f64) -> Judgement {
    let before =
        BTreeMap::from([(elsewhere::ENGINE.to_owned(), Status::Healthy), ("container:b".to_owned(), Status::Healthy)]);
    let samples: Vec<Sample> = (1..=4)
        .map(|n| {
            let mut sample = Sample { statuses: before.clone(), ..sample(at / 4.0 * f64::from(n), 0) };
            if n > 2 {
                change(&mut sample);
            }
            sample
        })
        .collect();
    let known = Before { statuses: Some(&before), ..Before::default() };
    judge(&spec(log(0.1), ErrorsAllowed::AtMost(0), &[]), known, &samples)
}

#[test]
fn silence_of_what_is_dead_or_cannot_be_read_is_no_success() {
    let check = |change: &dyn Fn(&mut Sample), at, expected, why: &str| {
        let judged = quiet(change, at);
        if let Judgement::Done(verdict) = &judged {
            assert!(verdict.judged_on.contains(why), "{}", verdict.judged_on);
        }
        assert_eq!(verdict(judged), expected, "{why}");
    };
    let text = || Some("x".to_owned());
    check(&|_| {}, 120.0, "success", "0 errors");
    check(&|s| s.blind = Some("it cannot be read".into()), 120.0, "extend", "");
    check(&|s| s.blind = Some("it cannot be read".into()), 600.0, "not enough", "but it cannot be read");
    check(&|s| s.lost = Some("lines were lost".into()), 600.0, "not enough", "but lines were lost");
    check(&|s| s.dead = Some("unit:a does not run".into()), 120.0, "failure", "unit:a does not run");
    check(&|s| s.started_anew = text(), 120.0, "failure", "x");
    check(&|s| s.worse = text(), 120.0, "failure", "x");
    check(
        &|s| s.statuses.retain(|name, _| name != "container:b"),
        120.0,
        "failure",
        "container:b was healthy before and is gone",
    );
    // An engine that does not answer lists nothing.
    let silent = |s: &mut Sample| s.statuses = BTreeMap::from([(elsewhere::ENGINE.to_owned(), Status::Critical)]);
    check(&silent, 120.0, "failure", "container engine was healthy before and is critical now");
}

#[test]
fn a_service_that_stays_down_ends_the_window() {
    let check = |down: [bool; 4], expected| {
        let dead = |n: usize| down[n].then(|| "unit:a does not run".to_owned());
        let samples: Vec<Sample> = (0..4).map(|n| Sample { dead: dead(n), ..sample(n as f64, 0) }).collect();
        let judged = judge(&spec(log(0.1), ErrorsAllowed::AtMost(0), &[]), Before::default(), &samples);
        assert_eq!(verdict(judged), expected, "{down:?}");
    };
    check([false, true, true, true], "failure");
    check([true, true, true, false], "wait");
    check([true, false, true, true], "wait");
}

#[test]
fn a_relapse_within_the_window_does_not_pass() {
    let check = |gone: &[Option<bool>], at: f64, expected| {
        let step = at / gone.len() as f64;
        let looks = gone.iter().enumerate();
        let samples: Vec<Sample> =
            looks.map(|(i, g)| Sample { trigger_gone: *g, ..sample(step * (i + 1) as f64, 0) }).collect();
        let watched = Watched::Container { name: "a".into() };
        let judged = judge(&spec(watched, ErrorsAllowed::AtMost(0), &[]), Before::default(), &samples);
        assert_eq!(verdict(judged), expected, "{gone:?} at {at}");
    };
    const GOOD: Option<bool> = Some(true);
    const BAD: Option<bool> = Some(false);
    check(&[GOOD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD], 120.0, "extend");
    // Good for a whole window since.
    check(&[GOOD, BAD, GOOD, GOOD, GOOD], 300.0, "success");
    check(&[GOOD, GOOD, GOOD, GOOD, GOOD, BAD, GOOD], 600.0, "not enough");
    // A crash loop whose last sample is good.
    check(&[GOOD, BAD, GOOD, BAD, GOOD, GOOD, GOOD], 120.0, "failure");
    // Nothing can be said now: no failure, and no success.
    check(&[GOOD, GOOD, GOOD, None], 120.0, "extend");
    check(&[GOOD, GOOD, GOOD, None], 600.0, "not enough");
}

#[test]
fn a_named_check_that_says_nothing_is_no_failure_and_no_success() {
    let check = |status: Option<Status>, at, expected| {
        let statuses = status.map(|s| ("api".to_owned(), s)).into_iter().collect();
        let judged = judge(
            &spec(log(0.1), ErrorsAllowed::AtMost(0), &["api"]),
            Before::default(),
            &[Sample { statuses, ..sample(at, 0) }],
        );
        assert_eq!(verdict(judged), expected, "{status:?}");
    };
    check(Some(Status::Healthy), 120.0, "success");
    check(Some(Status::Warning), 120.0, "failure");
    check(Some(Status::Unknown), 120.0, "extend");
    check(Some(Status::Unknown), 600.0, "not enough");
    check(None, 600.0, "not enough");
}

#[test]
fn one_burst_before_the_fix_proves_nothing_of_a_quiet_window() {
    let check = |bursts: Option<f64>, at, expected, chance: f64| {
        let before = Before { bursts_per_second: bursts, ..Before::default() };
        let judged = judge(&spec(log(5.0), ErrorsAllowed::AtMost(0), &[]), before, &[sample(at, 0)]);
        if let Judgement::Done(verdict) = &judged {
            let luck = verdict.chance_of_luck.unwrap();
            assert!((luck - chance).abs() < 0.01, "{luck} is not {chance}: {}", verdict.judged_on);
            assert!(verdict.judged_on.contains("3000.0 were") || at < 600.0, "the earlier rate is shown as it is");
        }
        assert_eq!(verdict(judged), expected, "{bursts:?} at {at}");
    };
    check(None, 120.0, "success", 0.0);
    check(Some(0.1), 120.0, "success", 0.0);
    check(Some(1.0 / 300.0), 120.0, "extend", 0.0);
    check(Some(1.0 / 300.0), 600.0, "not enough", (-2.0f64).exp());
}

mod luck_of_quiet {
    use crate::model::Tally;
    use crate::validate::luck::*;

    fn tally(buckets: &[(i64, u64)]) -> Tally {
        let buckets = buckets.iter().copied().collect();
        Tally { source: "file:a".into(), signature: "s".into(), buckets, example: String::new() }
    }

    #[test]
    fn errors_are_reckoned_as_bursts_where_they_were_seen_long_enough() {
        let check = |buckets: &[(i64, u64)], previous: Option<i64>, window: f64, expected: Option<f64>| {
            let span = Span { after: 0, within: 0, previous, now: 1000 };
            let found = bursts_per_second(&tally(buckets), span, window);
            assert!(
                found.zip(expected).map_or(found == expected, |(f, e)| (f - e).abs() < 0.004),
                "{buckets:?} {previous:?} {window}: {found:?}, not {expected:?}"
            );
        };
        let stream: Vec<(i64, u64)> = (700..998).map(|second| (second, 5)).collect();
        check(&[], None, 120.0, None);
        // Seen for too short a time.
        check(&[(998, 5)], None, 120.0, None);
        check(&[(998, 5)], Some(990), 120.0, None);
        // One burst since a pass five minutes ago; a stream of as long; one error a minute.
        check(&[(998, 5)], Some(700), 120.0, Some(1.0 / 300.0));
        check(&stream, Some(400), 120.0, Some(30.0 / 600.0));
        check(&stream, None, 120.0, Some(0.1));
        check(&[(700, 1), (760, 1), (820, 1), (880, 1), (940, 1)], None, 120.0, Some(5.0 / 300.0));
        // Lines without a time of their own, read now: anywhere since the pass before.
        check(&[(1000, 100)], Some(700), 120.0, Some(0.1));
        check(&[(1000, 3)], Some(700), 120.0, Some(0.01));
        // A short window has short slots, and the shortest has none.
        check(&stream, None, 12.0, Some(298.0 / 300.0));
        check(&stream, None, 2.0, None);
    }

    #[test]
    fn errors_are_over_when_at_least_three_more_would_have_come() {
        let check = |buckets: &[(i64, u64)], now: i64, over: bool| {
            assert_eq!(over_since(&tally(buckets), 0, now).is_some(), over, "{buckets:?} at {now}");
        };
        check(&[], 1000, false);
        // A single error has no rate.
        check(&[(500, 1)], 1000, false);
        check(&[(500, 5)], 502, false);
        // Whether a single burst returns is not known before a minute.
        check(&[(500, 5)], 506, false);
        check(&[(500, 5)], 560, false);
        check(&[(500, 5)], 561, true);
        check(&[(500, 5)], 800, true);
        // One burst is one wherever it falls on the clock.
        for begin in 500..510 {
            check(&[(begin, 4), (begin + 1, 1)], begin + 20, false);
        }
        // One a minute.
        check(&[(500, 1), (560, 1), (620, 1), (680, 1)], 740, false);
        check(&[(500, 1), (560, 1), (620, 1), (680, 1)], 870, true);
        // A job that fails every minute with five errors.
        let job: Vec<(i64, u64)> = (0..10).map(|n| (500 + 60 * n, 5)).collect();
        check(&job, 1095, false);
        check(&job, 1240, true);
    }

    #[test]
    fn luck_has_two_ends() {
        let check = |seen, expected: f64, chance: f64| {
            assert!((chance_of_at_least(seen, expected) - chance).abs() < 1e-4, "{seen} of {expected}");
        };
        check(0, 3.0, 1.0);
        check(1, 3.0, 0.950_213);
        check(5, 0.5, 0.000_172);
    }
}

mod elsewhere_on_the_host {
    use crate::model::{Container, Tally};
    use crate::validate::elsewhere::*;
    use std::collections::BTreeMap;

    #[test]
    fn only_a_clear_rise_of_other_errors_is_a_regression() {
        let check = |source: &str, signature: &str, before: u64, earlier: u64, after: u64, rose_: bool| {
            let tally = Tally {
                source: source.into(),
                signature: signature.into(),
                buckets: BTreeMap::from([(5000, earlier), (9950, before), (10_060, after)]),
                example: "boom".into(),
            };
            let at = Moments { charged: 10_000, begun: 10_010, now: 10_130 };
            let found = rose(&[tally], Some(("file:a", "rate_limit")), at);
            assert_eq!(found.is_some(), rose_, "{before} + {earlier} -> {after} {signature} in {source}: {found:?}");
        };
        check("file:b", "api_error", 0, 0, 5, true);
        check("file:b", "api_error", 0, 0, 4, false);
        check("file:b", "rate_limit", 0, 0, 5, true);
        check("file:a", "api_error", 0, 0, 5, true);
        // The watched one is judged by itself; a rule's pattern may be anything.
        check("file:a", "rate_limit", 0, 0, 500, false);
        check("file:b", "rule:x", 0, 0, 500, false);
        // What was there before, just now or on average.
        check("file:b", "api_error", 10, 0, 15, false);
        check("file:b", "api_error", 10, 0, 40, true);
        check("file:b", "api_error", 1000, 0, 1005, false);
        // Beyond the hour nothing counts; within it the mean does.
        check("file:b", "api_error", 0, 6000, 10, true);
        let hour = Tally {
            source: "file:b".into(),
            signature: "s".into(),
            buckets: BTreeMap::from([(7000, 300), (10_060, 12)]),
            example: String::new(),
        };
        assert_eq!(rose(&[hour], None, Moments { charged: 10_000, begun: 10_010, now: 10_130 }), None);
    }

    fn container(id: &str, restart_count: u64) -> Container {
        Container { id: id.into(), restart_count, ..Container::example("b") }
    }

    #[test]
    fn a_container_that_its_engine_starts_again_has_crashed() {
        let check = |before: Container, now: Container, expected: bool| {
            assert_eq!(crashed(&restarts(&[before]), std::slice::from_ref(&now)).is_some(), expected, "{now:?}");
        };
        check(container("x", 2), container("x", 2), false);
        check(container("x", 2), container("x", 3), true);
        // Started by hand, or made anew.
        check(container("x", 2), container("x", 0), false);
        check(container("x", 2), container("y", 3), false);
    }
}
