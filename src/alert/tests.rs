//! What an alert says, and how it is cut to what a receiver takes.

use super::format::{cut, discord, ntfy, slack};
use super::*;

fn alert() -> Alert {
    let lines = |of: &[&str]| of.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    Alert {
        kind: AlertKind::Held,
        title: "file:worker was rate limited 20 times".into(),
        component: "file:worker".into(),
        severity: Status::Warning,
        issue_type: Some("rate_limiting".into()),
        incident: Some("inc_1".into()),
        since: None,
        cause: Some("file:worker was rate limited 20 times".into()),
        confidence: Some(60),
        evidence: lines(&[
            "rate limited 20 times",
            "20 rate_limit in file:worker within 10m",
            "ERROR 429",
            "for +10: a",
            "for +5: b",
        ]),
        candidates: lines(&[
            "60 rate_limiting file:worker (rule slow-down): x",
            "50 x file:worker (built-in cause): y",
        ]),
        symptoms: lines(&["api is critical: refused"]),
        actions: lines(&["proposed: /srv/a.py:5 `call sleep`: 0.8 -> 1.2"]),
        diff: Some("--- /srv/a.py\n+++ /srv/a.py\n@@ -1 +1 @@\n-sleep(0.8)\n+sleep(1.2)".into()),
        why: Some("confidence 60 is below the threshold of 85".into()),
        next: lines(&["healer heal --approve plan_1"]),
        delayed: None,
        host: "shop1".into(),
        time: "2026-11-25T03:00:00Z".into(),
    }
}

#[test]
fn what_to_do_stands_before_what_may_be_missed_and_nothing_is_said_twice() {
    let expected = "\
held on shop1: file:worker was rate limited 20 times
  seen: 20 rate_limit in file:worker within 10m
  seen: ERROR 429
  seen: for +10: a
  proposed: /srv/a.py:5 `call sleep`: 0.8 -> 1.2
  why: confidence 60 is below the threshold of 85
  next: healer heal --approve plan_1
  --- /srv/a.py
  +++ /srv/a.py
  @@ -1 +1 @@
  -sleep(0.8)
  +sleep(1.2)
  seen: for +5: b
  symptom: api is critical: refused
  also possible: 50 x file:worker (built-in cause): y";
    assert_eq!(alert().text(), expected);
    let late = Alert { delayed: Some("2h".into()), cause: Some("another".into()), ..alert() };
    let text = late.text();
    let lines: Vec<&str> = text.lines().skip(1).take(2).collect();
    assert_eq!(lines, ["  delayed by 2h: it could not be sent before", "  cause: another"]);
}

/// Longer than any receiver takes, all of it escaped.
fn huge(c: char) -> Alert {
    let long = c.to_string().repeat(399);
    Alert { title: long.clone(), evidence: vec![long.clone(); 40], diff: Some(vec![long; 60].join("\n")), ..alert() }
}

#[test]
fn no_receiver_gets_more_than_it_takes_and_what_is_cut_says_so() {
    for c in ['x', '&', '<', '`', '*', 'ä', '\u{1f600}'] {
        let text = slack(&huge(c))["text"].as_str().unwrap().to_owned();
        assert!(
            text.encode_utf16().count() <= 4000 && text.contains("(cut: ") && text.ends_with("\n```"),
            "{c}: {text}"
        );
        let body = discord(&huge(c));
        let content = body["content"].as_str().unwrap();
        let embedded = body["embeds"][0]["description"].as_str().unwrap();
        assert!(content.encode_utf16().count() <= 2000, "{c}");
        assert!(embedded.encode_utf16().count() <= 4096 && embedded.contains("(cut: ") && embedded.ends_with("\n```"));
        let text = ntfy(&huge(c));
        assert!(text.len() <= 4096 && text.lines().last().unwrap().contains("(cut: "), "{c}: {}", text.len());
    }
    assert!(!ntfy(&alert()).contains("(cut"));
}

#[test]
fn a_text_is_cut_between_lines_and_a_line_between_characters() {
    let check = |text: &str, most: usize, expected: &str| assert_eq!(cut(text, most, |_| 1), expected);
    let mark = |left: usize| format!("\u{2026} (cut: {left} more lines; `healer status` has it all)");
    check("a\nb\nc", 5, "a\nb\nc");
    let lines = vec!["0123456789"; 20].join("\n");
    check(&lines, 100, &format!("{}{}", "0123456789\n".repeat(4), mark(16)));
    check(&"ä".repeat(200), 100, &format!("{}\u{2026}", "ä".repeat(99)));
    let only = cut(&format!("{}\nb", "x".repeat(200)), 100, |_| 1);
    assert!(only.ends_with("one more line; `healer status` has it all)") && only.chars().count() <= 100, "{only}");
}

#[test]
fn no_kind_shares_its_message_id_and_the_manual_lists_them_all() {
    use AlertKind::*;
    let manual = include_str!("../../man/healer.toml.5");
    let kinds =
        [Held, Healed, Unproven, RolledBack, RollbackFailed, Recurred, Critical, Resolved, Storm, CircuitOpen, Test];
    let mut ids: Vec<&str> = kinds.iter().map(|kind| journald::message_id(*kind)).collect();
    for (kind, id) in kinds.iter().zip(&ids) {
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()), "{id}");
        assert!(manual.contains(&format!("\n.B {}\n{id}\n", kind.word())), "{}", kind.word());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), kinds.len());
}
