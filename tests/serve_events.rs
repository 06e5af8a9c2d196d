//! The event stream of `healer serve`: a fix told while it is made, nothing lost and nothing twice whatever happens to the
//! log, to the server or to the reader in between; and runs that outlive the server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::{Event, Parts, Root, SERVING, Scene, Server, spawn};

fn scene(change: impl FnOnce(&mut Parts)) -> Scene {
    Scene::new(|p| {
        p.rest = SERVING.into();
        change(p);
    })
}

/// One more event, as every command writes it.
fn say(root: &Root, n: usize) {
    let event = json!({ "t": jiff::Timestamp::now().to_string(), "kind": "said", "n": n });
    root.append("state/events.jsonl", format!("{event}\n"));
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().filter(|e| e.kind == "said").map(|e| e.data["n"].as_u64().unwrap()).collect()
}

/// Reads on to the event of this number.
#[track_caller]
fn read_to(events: &mut support::Events, n: u64) -> Event {
    loop {
        let event = events.next();
        if event.data["n"] == n {
            return event;
        }
    }
}

#[test]
fn a_stream_begins_now_and_tells_a_fix_step_by_step_to_its_end() {
    let scene = scene(|p| {
        p.validate = "settle = \"100ms\"\nwindow = \"2s\"\nmax_window = \"4s\"".into();
    });
    scene.heal().expect_code(0);
    let server = Server::start(&scene.root);
    let mut events = server.events(None);
    support::next_second();
    scene.log_errors(20);
    let begun = server.post("trigger-check", "").expect(202).json();
    let run = begun["data"]["run_id"].clone();
    let ended = events.until("pass_ended");
    let mut kinds = events.kinds();
    kinds.dedup();
    let wanted = [
        "pass",
        "errors",
        "fixing",
        "backup",
        "begun",
        "edited",
        "progress",
        "validating",
        "progress",
        "healed",
        "alert",
        "pass_ended",
    ];
    let told: Vec<&str> = kinds.into_iter().filter(|kind| wanted.contains(kind)).collect();
    assert_eq!(told, wanted, "{:#?}", events.seen);
    assert!(events.seen.iter().all(|event| event.data["run"] == run), "nothing of earlier passes, all of this one");
    assert_eq!(ended.data["exit_code"], 0);
    let of = |kind: &str| events.seen.iter().find(|e| e.kind == kind).unwrap().data.clone();
    assert_eq!((&of("edited")["edit"]["old"], &of("edited")["edit"]["new"]), (&"0.8".into(), &"1.2".into()));
    assert!(of("fixing")["diagnosis"]["diff"].as_str().unwrap().contains("+\tawait asyncio.sleep(1.2)"));
    let waits: Vec<Value> = events.seen.iter().filter(|e| e.kind == "progress").map(|e| e.data.clone()).collect();
    assert_eq!((&waits[0]["settling"], &waits[1]["settling"]), (&true.into(), &false.into()), "{waits:#?}");
    assert!(waits.iter().all(|w| w["errors"] == 0 && w["left_s"].as_u64().is_some_and(|s| s <= 2)), "{waits:#?}");
}

#[test]
fn errors_in_the_window_are_counted_as_they_come_and_the_rollback_is_told() {
    let scene = scene(|p| p.validate = "settle = \"0s\"\nwindow = \"20s\"\nmax_errors = 250".into());
    let _worker = scene.hopeless_worker().after(20);
    let server = Server::start(&scene.root);
    let mut events = server.events(None);
    server.post("trigger-check", "").expect(202);
    events.until("pass_ended");
    let errors: Vec<u64> =
        events.seen.iter().filter(|e| e.kind == "progress").map(|e| e.data["errors"].as_u64().unwrap()).collect();
    let distinct = errors.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(errors.is_sorted() && distinct >= 2, "as they come, not only at the end: {errors:?}");
    let kinds = events.kinds();
    let place = |kind: &str| kinds.iter().position(|k| *k == kind).unwrap_or_else(|| panic!("{kind}: {kinds:?}"));
    assert!(place("validating") < place("rolling_back") && place("rolling_back") < place("rolled_back"), "{kinds:?}");
}

#[test]
fn who_resumes_loses_nothing_and_reads_nothing_twice_over_an_expiry_and_a_killed_server() {
    let scene = scene(|p| p.rest = format!("[state]\nkeep = \"24h\"\n{SERVING}"));
    // Lines of days ago, which the first pass expires; each is younger than the one before.
    scene.heal().expect_code(0);
    let now = jiff::Timestamp::now();
    let old = (0..400).map(|n| {
        let t = now - jiff::SignedDuration::from_hours(24 * 4) + jiff::SignedDuration::from_secs(n);
        format!("{}\n", json!({ "t": t.to_string(), "kind": "said", "n": 10_000 + n }))
    });
    scene.root.write("state/events.jsonl", old.collect::<String>());
    say(&scene.root, 1);

    let server = Server::start(&scene.root);
    let mut live = server.events(None);
    say(&scene.root, 2);
    let second = read_to(&mut live, 2);
    let before = scene.root.read("state/events.jsonl").len();
    scene.heal().expect_code(0);
    assert!(scene.root.read("state/events.jsonl").len() < before, "the old lines have expired");
    say(&scene.root, 3);
    let third = read_to(&mut live, 3);
    assert_eq!(numbers(&live.seen), [2, 3], "who reads on over the rewrite: {:#?}", live.seen);

    let mut resumed = server.events(Some(&second.id));
    assert_eq!(read_to(&mut resumed, 3).id, third.id, "an event keeps its id");
    let own = |events: &[Event]| -> Vec<Event> { events.iter().filter(|e| e.kind != "gap").cloned().collect() };
    assert_eq!(own(&resumed.seen), live.seen[1..], "who comes again after it");
    assert!(!resumed.kinds().contains(&"gap"));

    server.kill();
    say(&scene.root, 4);
    let server = Server::start(&scene.root);
    let mut again = server.events(Some(&third.id));
    say(&scene.root, 5);
    read_to(&mut again, 5);
    assert_eq!(numbers(&again.seen), [4, 5], "over a killed server");
    assert!(!again.kinds().contains(&"gap"));
}

#[test]
fn what_is_not_there_any_more_is_told_as_a_gap() {
    let scene = scene(|_| {});
    scene.heal().expect_code(0);
    say(&scene.root, 1);
    let server = Server::start(&scene.root);
    let mut live = server.events(None);
    say(&scene.root, 2);
    let last = read_to(&mut live, 2);
    server.post("pause", r#"{"duration":"1h","reason":"deploy"}"#).expect(200);
    assert_eq!(server.data("history")["total"], 1);
    // A new state directory, while one reader stays.
    std::fs::remove_dir_all(scene.root.state_dir()).unwrap();
    scene.heal().expect_code(0);
    say(&scene.root, 3);
    read_to(&mut live, 3);
    assert!(live.kinds().contains(&"gap"), "{:#?}", live.seen);
    assert_eq!(numbers(&live.seen), [2, 3]);
    let mut resumed = server.events(Some(&last.id));
    read_to(&mut resumed, 3);
    assert_eq!(resumed.kinds()[0], "gap", "{:#?}", resumed.seen);
    let history = server.data("history");
    assert_eq!(history["total"], 0, "what is drawn is of the new one: {history:#}");
}

#[test]
fn only_an_id_of_an_event_is_one() {
    let scene = scene(|_| {});
    scene.heal().expect_code(0);
    let server = Server::start(&scene.root);
    let check = |headers: &str, query: &str, status: u16| {
        let bearer = support::bearer(support::TOKEN);
        server.ask("HEAD", &format!("/api/monitoring/events{query}"), &format!("{bearer}{headers}"), "").expect(status);
    };
    check("", "", 200);
    check("Last-Event-ID: 00000abc-12\r\n", "", 200);
    check("", "?last_event_id=00000abc-12", 200);
    for bad in ["x", "00000abc", "00000abc--1", "00000abc-99999999999999999999"] {
        check(&format!("Last-Event-ID: {bad}\r\n"), "", 400);
        check("", &format!("?last_event_id={bad}"), 400);
    }
}

#[test]
fn the_passes_of_a_timer_are_told_like_its_own() {
    let scene = scene(|p| p.validate = "settle = \"0s\"\nwindow = \"2s\"\nmax_window = \"4s\"".into());
    scene.log_errors(20);
    let server = Server::start(&scene.root);
    let mut events = server.events(None);
    let pass = spawn(&scene.root, &["heal"]);
    events.until("validating");
    let history = server.data("history");
    let fix = &history["fix"];
    assert_eq!(fix["diagnosis"]["plan"]["fix_type"], "increase_delay", "{history:#}");
    let steps: Vec<&str> = fix["told"].as_array().unwrap().iter().map(|t| t["kind"].as_str().unwrap()).collect();
    assert_eq!(steps, ["backup", "edited", "validating"], "{history:#}");
    assert!(fix["wait"]["left_s"].as_u64().is_some_and(|s| s <= 2), "{history:#}");
    server.post("trigger-check", "").expect(423);
    let id = fix["backup_id"].as_str().unwrap();
    assert_eq!(scene.backups(), [id]);
    events.until("healed");
    pass.wait().expect_code(0);
    let history = server.data("history");
    assert!(history["fix"].is_null() && history["items"][0]["kind"] == "healed", "{history:#}");
    server.post("trigger-check", "").expect(200);
}

#[test]
fn a_fix_outlives_the_server_that_was_asked_for_it_and_the_next_one_shows_it() {
    let scene = scene(|p| p.validate = "settle = \"0s\"\nwindow = \"4s\"\nmax_window = \"8s\"".into());
    scene.log_errors(20);
    let server = Server::start(&scene.root);
    let mut events = server.events(None);
    server.post("trigger-check", "").expect(202);
    let seen = events.until("validating");
    server.kill();

    let server = Server::start(&scene.root);
    let history = server.data("history");
    assert_eq!(history["fix"]["told"].as_array().unwrap().last().unwrap()["kind"], "validating", "{history:#}");
    assert!(server.data("status")["open_transaction"].as_str().unwrap().contains("being validated"));
    let mut events = server.events(Some(&seen.id));
    assert_eq!(events.until("pass_ended").data["exit_code"], 0);
    let kinds = events.kinds();
    assert!(kinds.contains(&"healed") && !kinds.contains(&"validating") && !kinds.contains(&"gap"), "{kinds:?}");
    scene.assert_program("1.2");
    assert!(!scene.is_open());
    assert_eq!(server.data("history")["items"][0]["kind"], "healed");
}

#[test]
fn a_server_that_is_told_to_stop_does_so_beside_streams_and_lets_a_fix_go_on() {
    let scene = scene(|p| p.validate = "settle = \"0s\"\nwindow = \"2s\"\nmax_window = \"4s\"".into());
    scene.log_errors(20);
    let server = Server::start(&scene.root);
    let mut events = server.events(None);
    server.post("trigger-check", "").expect(202);
    events.until("validating");
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(&scene.root);
    let mut events = server.events(Some(&events.seen.last().unwrap().id));
    events.until("healed");
    scene.assert_program("1.2");
}
