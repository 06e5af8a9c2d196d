//! Bounds, refusals and orders, as tables.

use super::*;
use crate::attempts::tests::attempt;
use crate::attempts::{Attempt, Edited};
use crate::model::Outcome;

fn change(change: Change, max: Option<f64>) -> BoundedChange {
    BoundedChange { change, min: None, max, factors: Some((2.0, 4.0)) }
}

fn set(value: &str) -> BoundedChange {
    BoundedChange { change: Change::Set(SetValue::Number(value.into())), min: None, max: None, factors: None }
}

const MIB: i64 = 1 << 20;

fn resized(
    now: ContainerLimits,
    memory: Option<BoundedChange>,
    cpus: Option<BoundedChange>,
) -> Result<ResizeStep, String> {
    let mut present = Present::default();
    present.limits.insert("web".into(), Ok(now));
    let spec = ResizeSpec { container: "{container}".into(), memory, cpus };
    resize(&spec, Some("web"), &present, &Attempts::default()).map_err(|e| match e {
        NoSteps::AtBound(why) => format!("at bound: {why}"),
        NoSteps::Unusable(why) => format!("unusable: {why}"),
    })
}

#[test]
fn memory_moves_within_its_bounds_and_takes_its_swap_along() {
    let check = |memory: i64, swap: i64, by: BoundedChange, expected: Result<(i64, Option<i64>), &str>| {
        let now = ContainerLimits { memory, memory_swap: swap, ..Default::default() };
        let found = resized(now, Some(by), None).map(|s| {
            let memory = s.memory.unwrap();
            assert_eq!(memory.old, now.memory);
            (memory.new, s.swap.map(|s| s.new))
        });
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(*found, expected, "{now:?}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            _ => panic!("{found:?}, not {expected:?}"),
        }
    };
    let times = |factor, max: i64| change(Change::Multiply(factor), Some((max * MIB) as f64));
    check(100 * MIB, 200 * MIB, times(1.5, 400), Ok((150 * MIB, Some(250 * MIB))));
    check(100 * MIB, 100 * MIB, times(1.5, 400), Ok((150 * MIB, Some(150 * MIB))));
    check(100 * MIB, -1, times(1.5, 400), Ok((150 * MIB, Some(-1))));
    check(100 * MIB, 0, times(1.5, 400), Ok((150 * MIB, None)));
    check(100 * MIB, 0, times(1.5, 120), Ok((120 * MIB, None)));
    check(100 * MIB, 0, change(Change::Add((300 * MIB) as f64), Some(1e12)), Ok((200 * MIB, None)));
    check(100 * MIB, 0, times(0.5, 400), Ok((50 * MIB, None)));
    check(100 * MIB, 0, set("734003200"), Ok((700 * MIB, None)));
    check(100 * MIB, 0, times(1.5, 100), Err("at bound: container:web memory: 104857600 is at its bound already"));
    check(100 * MIB, 0, set("104857600"), Err("at bound: container:web memory: it is 104857600 already"));
    check(10 * MIB, 0, times(0.5, 100), Err("unusable: container:web: Docker takes no memory limit below 6MiB"));
    check(0, 0, times(1.5, 400), Err("unusable: container:web: it has no limit of its memory"));
}

#[test]
fn cpus_move_by_the_way_they_are_bounded() {
    let check = |nano: i64, quota: i64, by: f64, expected: Result<(i64, Option<i64>), &str>| {
        let now = ContainerLimits { nano_cpus: nano, cpu_quota: quota, cpu_period: 100_000, ..Default::default() };
        let found = resized(now, None, Some(change(Change::Multiply(by), Some(8.0))));
        match (found, expected) {
            (Ok(step), Ok(expected)) => assert_eq!(step.cpus.map(|c| (c.new, c.period)), Some(expected)),
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    };
    check(1_000_000_000, 0, 1.5, Ok((1_500_000_000, None)));
    check(500_000_000, 0, 0.5, Ok((250_000_000, None)));
    check(0, 50_000, 1.5, Ok((750_000_000, Some(100_000))));
    // A third is rounded to whole microseconds of the quota.
    check(0, 33_333, 1.1, Ok((366_660_000, Some(100_000))));
    check(8_000_000_000, 0, 1.5, Err("at bound"));
    check(0, 0, 1.5, Err("it has no limit of its CPUs"));
    check(0, -1, 1.5, Err("it has no limit of its CPUs"));
}

#[test]
fn what_could_not_be_read_is_told_and_nothing_is_guessed() {
    let mut present = Present::default();
    let spec = ResizeSpec { container: "web".into(), memory: Some(set("1")), cpus: None };
    let why = |result: Result<ResizeStep, NoSteps>| match result {
        Err(NoSteps::Unusable(why)) => why,
        _ => panic!("it was planned"),
    };
    assert_eq!(why(resize(&spec, None, &present, &Attempts::default())), "container:web: its limits were not read");
    present.limits.insert("web".into(), Err("no such container: web".into()));
    assert_eq!(why(resize(&spec, None, &present, &Attempts::default())), "container:web: no such container: web");
}

#[test]
fn a_setting_of_redis_says_what_it_may_cost() {
    let check = |key: &str, now: &str, by: BoundedChange, expected: Result<&str, &str>, evicts: bool| {
        let mut present = Present::default();
        present.settings.insert(Present::setting_of("cache", key), Ok(now.into()));
        let spec = RedisSpec { check: "cache".into(), settings: vec![(key.into(), by)] };
        let mut notes = Vec::new();
        let found =
            redis(&spec, &present, &Attempts::default(), &mut notes).map(|steps| steps[0].new.clone()).map_err(|e| {
                match e {
                    NoSteps::AtBound(why) | NoSteps::Unusable(why) => why,
                }
            });
        match (&found, expected) {
            (Ok(new), Ok(expected)) => assert_eq!(new, expected),
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            _ => panic!("{found:?}, not {expected:?}"),
        }
        assert_eq!(notes.iter().any(|n| n.contains("evict")), evicts, "{key} {now}: {notes:?}");
    };
    let word = |text: &str| BoundedChange { change: Change::Set(SetValue::Text(text.into())), ..set("") };
    check("maxmemory", "100", change(Change::Multiply(1.5), Some(1e9)), Ok("150"), false);
    check("maxmemory", "100", change(Change::Multiply(0.5), Some(1e9)), Ok("50"), true);
    check("maxmemory", "0", set("100"), Ok("100"), true);
    check("maxmemory", "100", set("0"), Ok("0"), false);
    check("maxmemory", "0", change(Change::Multiply(1.5), Some(1e9)), Err("it is 0 already"), false);
    check("maxmemory-policy", "noeviction", word("allkeys-lru"), Ok("allkeys-lru"), true);
    check("maxmemory-policy", "allkeys-lru", word("noeviction"), Ok("noeviction"), false);
    check("maxmemory-policy", "noeviction", word("noeviction"), Err("already"), false);
    check("timeout", "0", set("300"), Ok("300"), false);
    check("maxclients", "100", change(Change::Multiply(2.0), Some(100.0)), Err("at its bound"), false);
}

#[test]
fn all_fixes_together_stay_near_what_a_human_has_set() {
    let check = |before: &[(&str, &str, Outcome)], now: &str, expected: Result<&str, &str>| {
        let fix = |(old, new, outcome): &(&str, &str, Outcome)| {
            let edited =
                Edited { path: "redis:cache".into(), at: "maxmemory".into(), old: (*old).into(), new: (*new).into() };
            Attempt { edits: vec![edited], ..attempt("fix", 1, 2, *outcome) }
        };
        let mut attempts = Attempts::default();
        attempts.fixes = before.iter().map(fix).collect();
        let found = next(now, &change(Change::Multiply(2.0), Some(1e9)), "redis:cache", "maxmemory", &attempts);
        match (found, expected) {
            (Ok(new), Ok(expected)) => assert_eq!(new, expected),
            (Err(NoSteps::AtBound(why)), Err(part)) => assert!(why.contains(part), "{why}"),
            _ => panic!("from {now} not {expected:?}"),
        }
    };
    use Outcome::{Healed, RolledBack};
    check(&[], "100", Ok("200"));
    check(&[("100", "200", Healed)], "200", Ok("400"));
    check(&[("100", "200", Healed), ("200", "300", Healed)], "300", Ok("400"));
    check(&[("100", "200", Healed), ("200", "400", Healed)], "400", Err("redis:cache maxmemory: "));
    check(&[("100", "200", Healed), ("200", "400", RolledBack)], "200", Ok("400"));
    // A human has made it theirs.
    check(&[("100", "200", Healed), ("200", "400", Healed)], "500", Ok("1000"));
}

fn container(service: &str, number: u32, on: &[&str]) -> ComposeContainer {
    let dependency = |text: &&str| {
        let (service, condition) = text.split_once(':').unwrap_or((text, "service_started"));
        (service.to_owned(), condition.to_owned())
    };
    ComposeContainer {
        name: format!("shop-{service}-{number}"),
        service: service.into(),
        number,
        depends_on: on.iter().map(dependency).collect(),
        ..Default::default()
    }
}

#[test]
fn a_service_is_restarted_after_what_it_depends_on() {
    let check = |containers: &[ComposeContainer], service: Option<&str>, expected: Result<&str, &str>| {
        let mut present = Present::default();
        present.projects.insert("shop".into(), Ok(containers.to_vec()));
        let spec = ComposeSpec { project: "shop".into(), service: service.map(str::to_owned) };
        let found = restarts(&spec, &present).map(|(names, _)| names.join(" "));
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    };
    let web = || container("a-web", 1, &["db", "cache:service_healthy", "setup:service_completed_successfully"]);
    let all = [
        web(),
        container("db", 2, &[]),
        container("db", 1, &[]),
        container("cache", 1, &["db"]),
        container("setup", 1, &["db"]),
    ];
    check(&all, None, Ok("shop-db-1 shop-db-2 shop-cache-1 shop-a-web-1"));
    check(&all, Some("db"), Ok("shop-db-1 shop-db-2"));
    check(&all, Some("queue"), Err("Docker has no container of the compose service compose:shop/queue"));
    check(&[], None, Err("Docker has no container of a compose project `shop`"));
    check(&[container("a", 1, &["gone"])], None, Ok("shop-a-1"));
    let circle = [container("a", 1, &["b"]), container("b", 1, &["a"])];
    check(&circle, None, Err("compose:shop: a depends on itself"));
}

#[test]
fn sessions_are_shown_and_none_is_nothing_to_do() {
    let step = PostgresStep {
        check: "db".into(),
        action: SessionAction::TerminateIdleInTransaction,
        over_seconds: 300,
        max: 2,
        users: Vec::new(),
    };
    let mut present = Present::default();
    present.sessions.insert(Present::sessions_of(&step), Ok(Vec::new()));
    let mut notes = Vec::new();
    assert!(matches!(postgres(&step, &present, &mut notes), Err(NoSteps::AtBound(why)) if why.contains("no session")));
    let session = Session { pid: 7, user: "app".into(), application: "web".into(), seconds: 400.4 };
    present.sessions.insert(Present::sessions_of(&step), Ok(vec![session]));
    assert!(postgres(&step, &present, &mut notes).is_ok());
    assert_eq!(notes, ["now idle in a transaction: 7 of app (web, 400s)"]);
}
