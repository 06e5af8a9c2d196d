//! Who comes from the Python system: its knowledge base (`fixtures/fix_knowledge_base.jsonl`) is read as it is, counts for
//! what is decided, and is only ever added to; dashboards find the same paths and the same keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::{RATE_LIMITED, SERVING, Scene, Server, bearer, healer};

/// 15 fixes, 14 of which worked; between them a torn line, an empty one and one with a `NaN` in it.
const OF_PYTHON: &str = include_str!("fixtures/fix_knowledge_base.jsonl");

const FILE: &str = "state/fix_knowledge_base.jsonl";

fn scene() -> Scene {
    let scene = Scene::new(|p| p.rest = SERVING.into());
    scene.root.write(FILE, OF_PYTHON);
    scene
}

#[test]
fn its_records_are_counted_and_what_is_no_record_is_told() {
    let scene = scene();
    let ran = healer(&scene.root, &["stats", "--json"]).expect_code(0);
    let stats = ran.data();
    let of = |total: u64, successes: u64, rate: Value| json!({ "total": total, "successes": successes, "success_rate": rate });
    assert_eq!((&stats["total_fixes"], &stats["success_rate"]), (&15.into(), &0.93.into()), "{stats:#}");
    let by_type = json!({
        "increase_delay": of(10, 9, 0.9.into()), "increase_timeout": of(2, 2, 1.into()), "restart_container": of(3, 3, 1.into()),
    });
    assert_eq!(stats["by_type"], by_type);
    assert_eq!(stats["last_updated"], "2025-10-19T17:00:00Z");
    assert_eq!(stats["skipped_lines"], 2);
    assert!(
        ran.stderr.contains("2 lines could not be read and were left out (the first is line 6: "),
        "{}",
        ran.stderr
    );
    let text = healer(&scene.root, &["stats"]).expect_code(0).stdout;
    assert!(text.starts_with("fixes: 15; of 15 decided ones 14 worked (93.33 %)"), "{text}");
    assert_eq!(scene.root.read_text(FILE), OF_PYTHON, "reading changes nothing");
}

#[test]
fn its_past_weighs_in_the_confidence_and_is_added_to_byte_for_byte() {
    let scene = scene();
    scene.log_errors(20);
    let history = |data: &Value| {
        let addends = data["diagnoses"][0]["addends"].as_array().unwrap().clone();
        addends.into_iter().find(|a| a["label"].as_str().unwrap().starts_with("history: ")).unwrap()
    };
    let planned = scene.heal_json(&["-n"], 10);
    let before = history(&planned);
    assert_eq!(before["label"], "history: 9 of 10 such fixes worked");
    // Old tries weigh little, but never against it.
    assert!(before["points"].as_f64().unwrap() >= 0.0, "{before}");

    let healed = scene.heal_json(&[], 0);
    assert_eq!(healed["fix"]["outcome"], "healed", "{healed:#}");
    let text = scene.root.read_text(FILE);
    let added = text.strip_prefix(OF_PYTHON).expect("what was there is changed");
    assert_eq!(added.lines().count(), 1, "{added}");
    let record: Value = serde_json::from_str(added).unwrap();
    for (key, value) in
        [("issue_type", "rate_limiting"), ("fix_type", "increase_delay"), ("validation_status", "passed")]
    {
        assert_eq!(record[key], value, "{record:#}");
    }
    assert!(record["success"] == true && record["original_confidence"] == 90.0, "{record:#}");
    assert_eq!(healer(&scene.root, &["stats", "--json"]).data()["total_fixes"], 16);
}

#[test]
fn a_file_that_ends_in_the_middle_of_a_line_is_added_to_on_a_line_of_its_own() {
    let scene = scene();
    let torn = format!("{OF_PYTHON}{{\"timestamp\": \"2025-10-19T17:05:00\", \"issue_ty");
    scene.root.write(FILE, &torn);
    scene.log_errors(20);
    scene.heal().expect_code(0);
    let text = scene.root.read_text(FILE);
    assert!(text.starts_with(&format!("{torn}\n{{")), "{text}");
    assert_eq!(healer(&scene.root, &["stats", "--json"]).data()["skipped_lines"], 3);
}

/// What the Python system's API answers; nothing of it may be missing, whatever is added. A string stands for any string.
fn answers() -> Vec<(&'static str, &'static str, Value)> {
    let stats = json!({
        "total_fixes": 16, "success_rate": 0.94, "last_updated": "time",
        "by_type": { "increase_delay": { "total": 11, "successes": 10, "success_rate": 0.91 } },
    });
    let backup = json!({
        "backup_id": "id", "timestamp": "time", "files": ["path"], "metadata": { "reason": "rate_limiting", "confidence": 92 },
    });
    let health = json!({ "overall_status": "healthy", "checks": { "api": { "status": "healthy" } } });
    let status = json!({
        "autonomous_mode": "enabled", "last_check": "time", "fix_statistics": stats, "recent_backups": [backup],
        "check_interval_minutes": 5,
    });
    vec![
        ("GET", "health", json!({ "status": "success", "data": health })),
        ("GET", "status", json!({ "status": "success", "data": status })),
        ("GET", "backups", json!({ "status": "success", "data": { "backups": [backup], "total": 1 } })),
        ("GET", "stats", json!({ "status": "success", "data": stats })),
        (
            "POST",
            "trigger-check?wait=true",
            json!({ "status": "success", "data": { "status": "healthy", "issues": 0, "timestamp": "time" } }),
        ),
    ]
}

/// Everything that is wanted is there, of the same type, and a word, a figure or a status is the same.
fn assert_holds(found: &Value, wanted: &Value, path: &str) {
    const ANY: [&str; 3] = ["time", "id", "path"];
    match wanted {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let there = found.get(key).unwrap_or_else(|| panic!("{path}/{key} is not in {found:#}"));
            assert_holds(there, value, &format!("{path}/{key}"));
        }),
        Value::Array(items) => {
            assert_eq!(found.as_array().unwrap().len(), items.len(), "{path}: {found:#}");
            items.iter().zip(found.as_array().unwrap()).for_each(|(item, there)| assert_holds(there, item, path));
        }
        Value::String(text) if ANY.contains(&text.as_str()) => assert!(found.is_string(), "{path}: {found}"),
        // How much of a history is forgotten depends on the day; how much is wrong now is not what this is about.
        Value::Number(_) if path.ends_with("confidence") || path.ends_with("issues") => {
            assert!(found.is_u64(), "{path}: {found}");
        }
        _ => assert_eq!(found, wanted, "{path}"),
    }
}

#[test]
fn its_dashboards_find_the_same_paths_and_keys() {
    let scene = Scene::new(|p| {
        p.rest = SERVING.into();
        p.checks = "[checks.command.api]\ncommand = [\"/bin/echo\", \"fine\"]\n".into();
    });
    scene.root.write(FILE, OF_PYTHON);
    scene.root.append("worker.log", RATE_LIMITED.repeat(20));
    scene.heal().expect_code(0);
    let server = Server::start_with(&scene.root, &["--enable-actions"]);
    for (method, call, wanted) in answers() {
        let path = format!("/api/monitoring/{call}");
        let got = match method {
            "GET" => server.get(&path).expect(200).json(),
            _ => server.post(call, "").expect(200).json(),
        };
        assert_holds(&got, &wanted, call);
    }
    let id = scene.backups().remove(0);
    let rolled_back = server.post(&format!("rollback/{id}"), "").expect(200).json();
    assert_holds(
        &rolled_back,
        &json!({ "status": "success", "message": format!("Rolled back to backup {id}") }),
        "rollback",
    );
    let none = server.ask("POST", "/api/monitoring/rollback/backup_20200101_000000", &bearer(support::TOKEN), "");
    assert_eq!(none.expect(404).json()["status"], "error");
}
