//! The body that each receiver gets, read as the receiver reads it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde::Deserialize;
use std::collections::BTreeMap;
use support::{HttpServer, Parts, Request, Scene};

fn hooked(server: &HttpServer, format: &str) -> impl FnOnce(&mut Parts) {
    let hook = format!("[alerts]\nwebhook = [{{ url = \"{}\", format = \"{format}\" }}]", server.url("/hook"));
    move |p| p.rest = hook
}

/// What Prometheus documents of the body; nothing else may be in it, and all of it must.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    version: String,
    group_key: String,
    truncated_alerts: u64,
    status: String,
    receiver: String,
    group_labels: BTreeMap<String, String>,
    common_labels: BTreeMap<String, String>,
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    alerts: Vec<One>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct One {
    status: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: jiff::Timestamp,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

fn body(request: &Request) -> (Body, One) {
    assert_eq!(request.header("content-type"), Some("application/json"));
    let mut body: Body = serde_json::from_str(&request.body).unwrap();
    let [one] = std::mem::take(&mut body.alerts).try_into().unwrap();
    assert_eq!((body.version.as_str(), body.truncated_alerts, body.receiver.as_str()), ("4", 0, "healer"));
    assert_eq!(
        (&body.status, &body.common_labels, &body.common_annotations),
        (&one.status, &one.labels, &one.annotations)
    );
    assert!(body.group_labels.iter().all(|(name, value)| one.labels[name] == *value), "{body:?}");
    assert!(body.group_key.starts_with("{}:{alertname=\""), "{body:?}");
    assert_eq!((body.external_url.as_str(), one.generator_url.as_str()), ("", ""));
    assert_eq!(one.fingerprint.len(), 16);
    (body, one)
}

#[test]
fn what_is_over_resolves_the_alert_that_said_it_began() {
    let server = HttpServer::ok();
    let port = support::free_port();
    let scene = Scene::new(|p| {
        hooked(&server, "alertmanager")(p);
        p.checks = format!("[checks.tcp.api]\naddress = \"127.0.0.1:{port}\"");
    });
    scene.heal().expect_code(10);
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    scene.heal().expect_code(0);
    drop(listener);
    let [began, over] = server.wait_for_requests(2).try_into().unwrap();
    let ((began_body, began), (over_body, over)) = (body(&began), body(&over));
    assert_eq!((began.status.as_str(), over.status.as_str()), ("firing", "resolved"));
    assert_eq!((&began.labels, &began.fingerprint), (&over.labels, &over.fingerprint));
    assert_eq!((began_body.group_key, began.starts_at), (over_body.group_key, over.starts_at));
    assert_eq!(began.ends_at, "0001-01-01T00:00:00Z");
    assert!(over.ends_at.parse::<jiff::Timestamp>().unwrap() >= over.starts_at, "{over:?}");
    let labels = ["alertname", "component", "incident", "instance", "issue_type", "job", "severity"];
    assert_eq!(began.labels.keys().collect::<Vec<_>>(), labels);
    assert_eq!((began.labels["component"].as_str(), began.labels["severity"].as_str()), ("api", "critical"));
    assert!(began.annotations["summary"].contains("refused"), "{began:?}");
    assert!(began.annotations["description"].contains("next: healer diagnose"), "{began:?}");
}

#[test]
fn a_fix_that_helped_is_resolved_and_tells_its_diff() {
    let server = HttpServer::ok();
    let scene = Scene::new(hooked(&server, "alertmanager"));
    scene.log_errors(20);
    scene.heal().expect_code(0);
    let (_, one) = body(&server.wait_for_requests(1)[0]);
    assert_eq!((one.status.as_str(), one.labels["alertname"].as_str()), ("resolved", "rate_limiting"));
    let diff = &one.annotations["diff"];
    assert!(diff.contains("-\tawait asyncio.sleep(0.8)  # seconds\n+\tawait asyncio.sleep(1.2)  # seconds"), "{diff}");
    assert!(one.annotations["next"].starts_with("healer rollback "), "{one:?}");
}

/// A log line that means something to each of the receivers.
const HOSTILE: &str =
    "ERROR 429 Client Error: Too Many Requests <!channel> <http://x|here> & @everyone *b* ``` `c` [l](http://y)\n";

#[test]
fn what_logs_say_is_neither_markup_nor_a_call_to_everybody() {
    let check = |format: &str, expected: &dyn Fn(&Request)| {
        let server = HttpServer::ok();
        let scene = Scene::new(|p| {
            hooked(&server, format)(p);
            p.confidence = "60".into();
        });
        scene.root.append("worker.log", HOSTILE.repeat(20));
        scene.heal().expect_code(10);
        let [request] = server.wait_for_requests(1).try_into().unwrap();
        expected(&request);
    };
    check("slack", &|r| {
        let text = r.json()["text"].as_str().unwrap().to_owned();
        let (head, rest) = text.split_once("\n```\n").unwrap();
        assert!(head.starts_with("held on "), "{text}");
        let inside = rest.strip_suffix("\n```").unwrap();
        assert!(inside.contains("&lt;!channel&gt; &lt;http://x|here&gt; &amp; @everyone"), "{text}");
        assert!(!inside.contains("```") && !text.contains('<') && !text.contains('>'), "{text}");
        assert!(inside.contains("+\tawait asyncio.sleep(1.2)"), "{text}");
    });
    check("discord", &|r| {
        let body = r.json();
        assert_eq!(body["allowed_mentions"], serde_json::json!({ "parse": [] }));
        assert!(body["content"].as_str().unwrap().starts_with("held on "), "{body}");
        let text = body["embeds"][0]["description"].as_str().unwrap();
        let inside = text.strip_prefix("```\n").unwrap().strip_suffix("\n```").unwrap();
        assert!(inside.contains("@everyone *b*") && !inside.contains("```"), "{text}");
    });
    check("ntfy", &|r| {
        assert_eq!(r.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(r.body.starts_with("held on ") && r.body.contains("<!channel>"), "{}", r.body);
    });
    check("json", &|r| {
        let body = r.json();
        assert_eq!(
            (&body["kind"], &body["severity"], &body["delayed"]),
            (&"held".into(), &"warning".into(), &().into())
        );
        assert!(body["diff"].as_str().unwrap().contains("-\tawait asyncio.sleep(0.8)"), "{body:#}");
    });
}

#[test]
fn a_fix_that_did_not_help_is_told_as_undone() {
    let server = HttpServer::ok();
    let scene = Scene::new(hooked(&server, "json"));
    let _worker = scene.hopeless_worker().after(20);
    scene.heal().expect_code(12);
    let alert = server.wait_for_requests(1)[0].json();
    assert_eq!(alert["kind"], "rolled_back");
    assert_eq!(alert["title"], "increase_delay of file:worker did not help and was undone");
    let action = alert["actions"][0].as_str().unwrap();
    assert!(action.starts_with("undone: ") && action.contains("0.8 -> 1.2"), "{alert:#}");
    assert!(alert["incident"].is_string() && alert["since"].is_string(), "{alert:#}");
}
