//! Who is whose symptom, case by case.

use super::*;
use crate::config::{SystemSecrets, compile};
use crate::diagnose::streaks::{self, Streaks};
use crate::model::CheckKind::{Docker, Http, Postgres, Redis, Tcp};
use crate::model::Status::{Critical, Healthy, Unknown, Warning};
use jiff::Timestamp;

const CONFIG: &str = r#"
[checks.docker]
[checks.postgres.database]
url = "postgres://u@127.0.0.1:5432/shop"
[checks.redis.queue]
url = "redis://127.0.0.1:6379/0"
[checks.http.api]
url = "http://127.0.0.1:8000/"
depends_on = ["database"]
container = "api"
[checks.tcp.web]
address = "127.0.0.1:80"
depends_on = ["api"]
[checks.tcp.smtp]
address = "mail:25"
[checks.tcp.registry]
address = "127.0.0.1:5000"
depends_on = ["docker"]
"#;

/// Containers, the port that each publishes, and whether it runs.
const CONTAINERS: [(&str, u16, bool); 5] =
    [("db", 5432, true), ("db-old", 5432, false), ("api", 0, true), ("worker", 0, true), ("cache", 6379, true)];

fn result(name: &str, kind: CheckKind, status: Status) -> CheckResult {
    let depends_on: &[&str] = match name {
        "api" => &["database"],
        "web" => &["api"],
        "registry" => &["docker"],
        _ => &[],
    };
    CheckResult {
        name: name.into(),
        kind,
        status,
        message: format!("{name} is {status}"),
        connected: Some(status != Critical),
        metrics: Vec::new(),
        duration_ms: 1.0,
        containers: Vec::new(),
        depends_on: depends_on.iter().map(|d| (*d).to_owned()).collect(),
    }
}

fn container((name, port, runs): (&str, u16, bool), status: Status) -> Container {
    Container {
        id: name.into(),
        status,
        state: if runs && status != Critical { ContainerState::Running } else { ContainerState::Exited },
        finished_at: (!runs).then_some(Timestamp::UNIX_EPOCH).or(Timestamp::from_second(9).ok()),
        ports: if port > 0 { vec![port] } else { Vec::new() },
        ..Container::example(name)
    }
}

/// What a pass saw: everything well but these. `docker` is the engine itself.
fn pass(red: &[(&str, Status)]) -> Vec<CheckResult> {
    let status = |name: &str| red.iter().find(|(n, _)| *n == name).map_or(Healthy, |(_, status)| *status);
    let named =
        [("database", Postgres), ("queue", Redis), ("api", Http), ("web", Tcp), ("smtp", Tcp), ("registry", Tcp)];
    let mut checks: Vec<CheckResult> = named.iter().map(|(name, kind)| result(name, *kind, status(name))).collect();
    let mut docker = result("docker", Docker, status("docker"));
    if docker.status != Critical {
        docker.containers = CONTAINERS.iter().map(|c| container(*c, status(&component_of(c.0)))).collect();
        // The check is as bad as its worst container.
        docker.status = docker.containers.iter().map(|c| c.status).max().unwrap();
    }
    checks.insert(0, docker);
    checks
}

fn engine() -> Engine {
    compile(vec![("healer.toml".into(), CONFIG.into())], &SystemSecrets).unwrap()
}

fn at(second: u64) -> Moment {
    Moment { t: Timestamp::from_second(second as i64).unwrap(), boot: "b".into(), up: second as f64 }
}

/// Streaks after these passes, one every 300 seconds.
fn after(passes: &[Vec<CheckResult>]) -> Streaks {
    let one = |streaks: Streaks, (n, checks): (usize, &Vec<CheckResult>)| {
        streaks::update(&engine(), &streaks, checks, &at(300 * n as u64))
    };
    passes.iter().enumerate().fold(Streaks::default(), one)
}

const DOWN: Status = Critical;

/// After these passes the roots are these, and each other critical thing is a symptom of the first of them unless it is
/// named with another.
#[track_caller]
fn check(passes: &[&[(&str, Status)]], roots: &[&str], symptoms: &[(&str, &str)]) {
    let passes: Vec<_> = passes.iter().map(|red| pass(red)).collect();
    let (engine, streaks, now) = (engine(), after(&passes), passes.last().unwrap());
    let graph = Graph::new(&engine, now, &streaks.onsets);
    assert_eq!(graph.roots(), roots, "{passes:?}");
    let of: Vec<_> = symptoms.iter().map(|(name, _)| (*name, graph.root_of(name))).collect();
    let expected: Vec<_> = symptoms.iter().map(|(name, root)| (*name, Some((*root).to_owned()))).collect();
    assert_eq!(of, expected, "{passes:?}");
}

#[test]
fn the_deepest_critical_thing_is_the_root() {
    // The container exited: its check, what depends on that, and their containers are symptoms.
    check(
        &[&[("container:db", DOWN), ("database", DOWN), ("api", DOWN), ("container:api", DOWN), ("web", DOWN)]],
        &["container:db"],
        &[
            ("database", "container:db"),
            ("api", "container:db"),
            ("container:api", "container:db"),
            ("web", "container:db"),
        ],
    );
    // Its container runs, and yet it does not answer.
    check(&[&[("database", DOWN), ("api", DOWN)]], &["database"], &[("api", "database")]);
    // Nobody has looked at the database yet, but its container is down.
    check(&[&[("container:db", DOWN), ("api", DOWN)]], &["container:db"], &[("api", "container:db")]);
    // Of two containers with the port the running one has it.
    check(&[&[("container:db-old", DOWN), ("database", DOWN)]], &["database", "container:db-old"], &[]);
    // Through what is only a warning, but not through what is well.
    check(
        &[&[("database", DOWN), ("api", Warning), ("web", DOWN)]],
        &["database"],
        &[("api", "database"), ("web", "database")],
    );
    check(&[&[("database", DOWN), ("web", DOWN)]], &["database", "web"], &[]);
    // A warning explains nothing.
    check(&[&[("database", Warning), ("api", DOWN)]], &["api"], &[]);
    check(&[&[("database", Unknown), ("api", DOWN)]], &["api"], &[]);
}

#[test]
fn what_stands_on_other_things_is_a_root_of_its_own() {
    check(&[&[("database", DOWN), ("smtp", DOWN), ("queue", DOWN)]], &["database", "queue", "smtp"], &[]);
    check(
        &[&[("container:db", DOWN), ("database", DOWN), ("container:worker", DOWN)]],
        &["container:db", "container:worker"],
        &[("database", "container:db")],
    );
    // The container that a check names.
    check(&[&[("container:api", DOWN), ("api", DOWN)]], &["container:api"], &[("api", "container:api")]);
}

#[test]
fn a_check_and_its_container_are_one_thing_that_can_fail() {
    // Five containers; six checks, of which three look at one of them.
    assert_eq!(components(&engine(), &pass(&[])), 5 + 3);
    // Without the engine: itself and each check.
    assert_eq!(components(&engine(), &pass(&[("docker", DOWN)])), 1 + 6);
}

#[test]
fn what_depends_on_docker_depends_on_the_engine_and_not_on_every_container() {
    check(&[&[("docker", DOWN), ("registry", DOWN)]], &["docker"], &[("registry", "docker")]);
    check(&[&[("container:worker", DOWN), ("registry", DOWN)]], &["registry", "container:worker"], &[]);
}

#[test]
fn what_began_while_its_root_was_well_is_no_symptom() {
    let api = ("api", DOWN);
    let database = ("database", DOWN);
    check(&[&[], &[database, api]], &["database"], &[("api", "database")]);
    check(&[&[], &[database], &[database, api]], &["database"], &[("api", "database")]);
    check(&[&[], &[api], &[database, api]], &["database", "api"], &[]);
    // Never seen well: nothing says that it was.
    check(&[&[database, api]], &["database"], &[("api", "database")]);
    // A service whose check failed before its container did is one service, and what hangs on it too.
    check(
        &[&[], &[database, api], &[("container:db", DOWN), database, api]],
        &["container:db"],
        &[("database", "container:db"), ("api", "container:db")],
    );
    // A warning all along has become worse with its root.
    check(&[&[("api", Warning)], &[("api", Warning)], &[database, api]], &["database"], &[("api", "database")]);
    // A root that has recovered and fails again does not explain what stayed down meanwhile.
    check(&[&[], &[database, api], &[api], &[database, api]], &["database", "api"], &[]);
    // What was well again in between is a symptom again.
    check(&[&[], &[database, api], &[], &[database, api]], &["database"], &[("api", "database")]);
}

#[test]
fn a_look_that_ended_after_the_roots_says_nothing_of_which_came_first() {
    let fast = pass(&[("api", DOWN)]);
    let mut slow = fast.clone();
    slow.iter_mut().filter(|c| c.name == "api").for_each(|c| c.duration_ms = 10_000.0);
    let both = pass(&[("database", DOWN), ("api", DOWN)]);
    for (first, roots) in [(fast, &["database", "api"][..]), (slow, &["database"])] {
        let streaks = after(&[first, both.clone()]);
        assert_eq!(Graph::new(&engine(), &both, &streaks.onsets).roots(), roots);
    }
}

#[test]
fn errors_are_symptoms_of_what_their_source_stands_on_or_else_of_what_they_speak_of() {
    let down = |names: &[&'static str]| names.iter().map(|n| (*n, DOWN)).collect::<Vec<_>>();
    let engine = engine();
    let check = |red: &[&'static str], source: &str, shape: Shape, root: Option<&str>| {
        let checks = pass(&down(red));
        let onsets = BTreeMap::new();
        let found = Graph::new(&engine, &checks, &onsets).root_of_errors(source, shape, true, &|_| false);
        assert_eq!(found.as_deref(), root, "{red:?} {source} {shape:?}");
    };
    use Shape::{Dependency, Other, Own};
    let any = Dependency(None);
    let database = ["container:db", "database"];
    // Known to stand on the database: whatever it logs but its own troubles.
    check(&database, "container:api", any, Some("container:db"));
    check(&database, "container:api", Other, Some("container:db"));
    check(&database, "container:api", Own, None);
    // Known to stand on the database and on nothing else.
    check(&["queue"], "container:api", any, None);
    // Nothing is known: what speaks of a dependency.
    check(&database, "container:worker", any, Some("container:db"));
    check(&database, "file:app", Dependency(Some(Postgres)), Some("container:db"));
    check(&database, "file:app", Dependency(Some(Redis)), None);
    check(&["queue", "database"], "file:app", Dependency(Some(Redis)), Some("queue"));
    check(&["queue", "database"], "file:app", Dependency(Some(Postgres)), Some("database"));
    check(&database, "journal:app", Other, None);
    check(&database, "file:app", Own, None);
    // A check that another one depends on; not one that nothing does.
    check(&["api"], "file:app", any, Some("api"));
    check(&["smtp"], "file:app", any, None);
    check(&[], "file:app", any, None);
    // The service's own log: a rule for it stands by itself, what is merely seen goes with its check.
    check(&["database"], "container:db", Dependency(Some(Postgres)), None);
    let (checks, onsets) = (pass(&down(&["database"])), BTreeMap::new());
    let graph = Graph::new(&engine, &checks, &onsets);
    let seen = graph.root_of_errors("container:db", Dependency(Some(Postgres)), false, &|_| false);
    assert_eq!(seen.as_deref(), Some("database"));
}

#[test]
fn errors_that_had_begun_while_the_root_was_well_are_no_symptom() {
    let passes = [pass(&[]), pass(&[("database", DOWN)])];
    let (engine, streaks) = (engine(), after(&passes));
    let check = |source: &str, began: u64, root: Option<&str>| {
        let graph = Graph::new(&engine, &passes[1], &streaks.onsets);
        let before = |moment: &Moment| at(began).t < moment.t;
        let found = graph.root_of_errors(source, Shape::Dependency(None), true, &before);
        assert_eq!(found.as_deref(), root, "{source} since {began}");
    };
    // The database was last seen well at second 0.
    check("container:api", 100, Some("database"));
    check("file:app", 100, Some("database"));
    let passes = [pass(&[]), pass(&[]), pass(&[("database", DOWN)])];
    let streaks = after(&passes);
    let graph = Graph::new(&engine, &passes[2], &streaks.onsets);
    for source in ["container:api", "file:app"] {
        let root = |began| graph.root_of_errors(source, Shape::Dependency(None), true, &|m| at(began).t < m.t);
        assert_eq!((root(200), root(400).as_deref()), (None, Some("database")), "{source}");
    }
}

#[test]
fn what_stands_on_each_other_in_a_circle_is_each_its_own_root() {
    let text = "[checks.docker]\n[checks.tcp.a]\naddress = \"h:1\"\ncontainer = \"db\"\ndepends_on = [\"b\"]\n\
                [checks.tcp.b]\naddress = \"h:1\"\ncontainer = \"api\"\n[checks.tcp.c]\naddress = \"h:1\"\n\
                container = \"api\"\ndepends_on = [\"d\"]\n[checks.tcp.d]\naddress = \"h:1\"\ncontainer = \"db\"\n";
    let engine = compile(vec![("healer.toml".into(), text.into())], &SystemSecrets).unwrap();
    let mut checks = pass(&[("container:db", DOWN), ("container:api", DOWN)]);
    checks.truncate(1);
    for spec in &engine.checks[1..] {
        let mut check = result(&spec.name, Tcp, DOWN);
        check.depends_on.clone_from(&spec.depends_on);
        checks.push(check);
    }
    let onsets = BTreeMap::new();
    let graph = Graph::new(&engine, &checks, &onsets);
    assert_ne!(graph.roots(), Vec::<String>::new());
    for root in graph.roots() {
        assert_eq!(graph.root_of(&root), None);
    }
}

#[test]
fn a_servers_log_and_a_check_that_answers_are_told_from_the_others() {
    let (engine, onsets) = (engine(), BTreeMap::new());
    let mut checks = pass(&[("api", Critical), ("queue", Critical)]);
    let graph = Graph::new(&engine, &checks, &onsets);
    let wells = ["container:db", "container:cache", "container:api", "database"].map(|c| graph.is_well_server(c));
    assert_eq!(wells, [true, false, false, false]);
    assert_eq!(graph.container_that_answers("api"), None);
    checks.iter_mut().for_each(|check| check.connected = Some(true));
    let graph = Graph::new(&engine, &checks, &onsets);
    assert_eq!(graph.container_that_answers("api").as_deref(), Some("container:api"));
    assert_eq!(graph.container_that_answers("container:api"), None);
    assert_eq!(graph.container_that_answers("smtp"), None);
}
