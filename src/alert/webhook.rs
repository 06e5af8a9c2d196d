//! A webhook: one POST of the alert, in the shape that its receiver reads.

use crate::alert::notifier::{Failure, Notifier};
use crate::alert::{Alert, alertmanager, format};
use crate::config::{Webhook, WebhookFormat};
use crate::host::http::{self, HttpError};
use std::time::Duration;

pub struct Hook {
    hook: Webhook,
}

impl Hook {
    pub fn new(hook: &Webhook) -> Self {
        Hook { hook: hook.clone() }
    }
}

impl Notifier for Hook {
    fn name(&self) -> String {
        // The path of a webhook is often its password.
        let shown = http::shown_url(self.hook.url.reveal());
        let host = shown.split('/').take(3).collect::<Vec<_>>().join("/");
        format!("webhook {host}")
    }

    fn send(&self, alert: &Alert, within: Duration) -> Result<(), Failure> {
        let (content_type, body) = body(self.hook.format, alert).map_err(|e| Failure::Refused(e.to_string()))?;
        let mut headers = vec![("Content-Type", content_type)];
        headers.extend(self.hook.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())));
        let request = http::HttpRequest {
            method: "POST",
            url: self.hook.url.reveal(),
            headers: &headers,
            body: &body,
            timeout: within,
            max_body: 1024,
        };
        match http::request(&request) {
            Ok(answer) => judged(answer.status),
            // It may have been taken all the same: another try at once would only tell it twice.
            Err(error @ HttpError::Timeout) => Err(Failure::Later(error.to_string())),
            Err(error) => Err(Failure::Soon(error.to_string())),
        }
    }
}

/// What a status means for the next try.
fn judged(status: u16) -> Result<(), Failure> {
    let why = format!("HTTP {status}");
    match status {
        200..300 => Ok(()),
        // The body is not to its liking.
        400 | 413 | 415 | 422 => Err(Failure::Refused(why)),
        408 | 425 | 429 | 500.. => Err(Failure::Soon(why)),
        _ => Err(Failure::Later(why)),
    }
}

fn body(format: WebhookFormat, alert: &Alert) -> serde_json::Result<(&'static str, Vec<u8>)> {
    let json = |value: &serde_json::Value| Ok(("application/json", serde_json::to_vec(value)?));
    match format {
        WebhookFormat::Json => Ok(("application/json", serde_json::to_vec(alert)?)),
        WebhookFormat::Slack => json(&format::slack(alert)),
        WebhookFormat::Discord => json(&format::discord(alert)),
        WebhookFormat::Ntfy => Ok(("text/plain; charset=utf-8", format::ntfy(alert).into_bytes())),
        WebhookFormat::Alertmanager => json(&alertmanager::body(alert)),
    }
}
