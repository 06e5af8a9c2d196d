//! What goes back: a status, a body, and the headers that keep a browser from doing more with it than showing it.

use crate::serve::guard::Refusal;
use crate::text::inert_json;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The body of an answer.
#[derive(Debug)]
pub enum Content {
    Whole(Option<Bytes>),
    /// Goes on until the sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Stream(receiver) => receiver.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

/// A whole answer.
pub type Answer = Response<Content>;

const JSON: &str = "application/json";
/// No script but ours, nothing from elsewhere, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

fn answer(status: StatusCode, kind: &'static str, content: Content) -> Answer {
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A text of this kind.
pub fn text(kind: &'static str, text: impl Into<Bytes>) -> Answer {
    answer(StatusCode::OK, kind, Content::Whole(Some(text.into())))
}

/// A JSON document that is text already.
pub fn document(text: impl Into<Bytes>) -> Answer {
    self::text(JSON, text)
}

/// A JSON document with a status.
pub fn json(status: StatusCode, body: &Value) -> Answer {
    answer(status, JSON, Content::Whole(Some(inert_json(&body.to_string()).into_owned().into())))
}

/// The one shape of every error.
pub fn error(status: StatusCode, message: &str) -> Answer {
    json(status, &json!({ "status": "error", "message": message, "code": status.as_u16() }))
}

/// A stream of server-sent events.
pub fn events(receiver: mpsc::Receiver<Bytes>) -> Answer {
    let mut answer = answer(StatusCode::OK, "text/event-stream", Content::Stream(receiver));
    // A proxy that collects events before it passes them on makes a live view a dead one.
    answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}

/// 405, with what is allowed.
pub fn wrong_method(allowed: &'static str) -> Answer {
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, &format!("this takes {allowed}"));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        let mut answer = error(refusal.status, &refusal.message);
        if refusal.status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

/// Packed, where the caller takes that and it is worth it: a page of a hundred checks is a tenth of its size then. Nothing
/// secret is in a page, so its length gives none away.
pub fn packed(mut answer: Answer, accepted: Option<&HeaderValue>) -> Answer {
    use std::io::Write;
    let accepts = accepted.and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(',').any(|one| one.trim().split(';').next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")))
    });
    let Content::Whole(Some(bytes)) = answer.body() else { return answer };
    if !accepts || bytes.len() < WORTH_PACKING {
        return answer;
    }
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    if let Ok(packed) = packer.write_all(bytes).and_then(|()| packer.finish()) {
        *answer.body_mut() = Content::Whole(Some(packed.into()));
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    answer
}

/// A text that is smaller is sent as it is, in bytes.
const WORTH_PACKING: usize = 4 << 10;

/// Without its body, as HEAD asks for: the length of what GET gives is told all the same.
pub fn headless(mut answer: Answer) -> Answer {
    if let Content::Whole(bytes) = answer.body() {
        let length = bytes.as_ref().map_or(0, Bytes::len);
        answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    *answer.body_mut() = Content::Whole(None);
    answer
}
