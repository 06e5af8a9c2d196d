//! The event stream: `events.jsonl` as server-sent events (WHATWG HTML, 9.2), from now on or from `Last-Event-ID`.

use crate::config::Redactor;
use crate::event_log::{Event, From, Tail};
use crate::text::inert_json;
use hyper::body::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The log is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A peer that is gone is noticed by what cannot be sent to it; proxies close what is silent.
const SOMETHING_EVERY: Duration = Duration::from_secs(15);
/// Sent in one go, in bytes; no more is read until that is taken.
const AT_ONCE: usize = 64 << 10;
/// A reader that is gone comes again after this, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// Where a stream begins: after the event whose id this is, else at what comes from now on.
///
/// # Errors
/// When it is no id of ours.
pub fn from(last_event_id: Option<&str>) -> Result<From, ()> {
    match last_event_id.map(str::trim).filter(|id| !id.is_empty()) {
        None => Ok(From::Now),
        Some(id) => id.parse().map(From::After),
    }
}

/// Begins a stream; it ends when nobody takes from it any more.
pub fn stream(path: PathBuf, from: From, redactor: Redactor) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::task::spawn_local(async move {
        let mut tail = Tail::new(path, from);
        let mut sent = Instant::now();
        // The place is known before anything happens: what comes from here on is not missed.
        let mut text = format!("retry: {RETRY_MS}\n\n");
        loop {
            let news = tail.read(AT_ONCE);
            let more = match news {
                Ok(news) => {
                    if news.gap {
                        text.push_str(
                            "event: gap\ndata: {\"message\":\"events before these are not there any more\"}\n\n",
                        );
                    }
                    news.events.iter().for_each(|event| text.push_str(&written(event, &redactor)));
                    news.more
                }
                // It is there again, or readable again, the next time.
                Err(_) => false,
            };
            if text.is_empty() && sent.elapsed() >= SOMETHING_EVERY {
                text.push_str(":\n\n");
            }
            if !text.is_empty() {
                sent = Instant::now();
                if sender.send(std::mem::take(&mut text).into()).await.is_err() {
                    return;
                }
            }
            if !more {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            if sender.is_closed() {
                return;
            }
        }
    });
    receiver
}

/// One event as text; nothing where the line is none of ours.
fn written(Event { after, line }: &Event, redactor: &Redactor) -> String {
    #[derive(Deserialize)]
    struct Head {
        kind: String,
        #[serde(flatten)]
        _rest: std::collections::BTreeMap<String, IgnoredAny>,
    }
    let Ok(head) = serde_json::from_str::<Head>(line) else { return String::new() };
    let word = head.kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let kind = if word { head.kind.as_str() } else { "message" };
    format!("id: {after}\nevent: {kind}\ndata: {}\n\n", inert_json(&redactor.redact(line)))
}

/// The id of the last event that a reader has seen: of the header, or of a query for those who cannot send one.
pub fn last_event_id<'r>(header: Option<&'r str>, query: Option<&'r str>) -> Option<&'r str> {
    let of_query = || query?.split('&').find_map(|pair| pair.strip_prefix("last_event_id="));
    header.or_else(of_query)
}

/// For those who read on by themselves.
pub fn now(path: PathBuf) -> Tail {
    let mut tail = Tail::new(path, From::Now);
    let _ = tail.read(0);
    tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_log::Position;

    #[test]
    fn a_line_becomes_one_event_whatever_is_in_it() {
        let check = |line: &str, expected: &str| {
            let event = Event { after: Position { generation: 1, offset: 7 }, line: line.to_owned() };
            assert_eq!(written(&event, &Redactor::new(["hunter22".to_owned()])), expected);
        };
        check(r#"{"kind":"pass","n":1}"#, "id: 00000001-7\nevent: pass\ndata: {\"kind\":\"pass\",\"n\":1}\n\n");
        check(
            r#"{"kind":"x\nid: 9","n":1}"#,
            "id: 00000001-7\nevent: message\ndata: {\"kind\":\"x\\nid: 9\",\"n\":1}\n\n",
        );
        check(r#"{"kind":"a","p":"hunter22"}"#, "id: 00000001-7\nevent: a\ndata: {\"kind\":\"a\",\"p\":\"***\"}\n\n");
        check("torn {", "");
        check("{\"n\":1}", "");
    }
}
