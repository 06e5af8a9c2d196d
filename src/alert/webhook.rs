//! A webhook: the alert as JSON, or in the shape that Slack, Discord or ntfy read.

use crate::alert::{Alert, Notifier};
use crate::config::{Webhook, WebhookFormat};
use crate::host::http;
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Discord refuses longer messages.
const LONGEST_DISCORD: usize = 1900;

pub struct Hook<'a> {
    hook: &'a Webhook,
}

impl<'a> Hook<'a> {
    pub fn new(hook: &'a Webhook) -> Self {
        Hook { hook }
    }
}

impl Notifier for Hook<'_> {
    fn name(&self) -> String {
        // The path of a webhook is often its password.
        let shown = http::shown_url(self.hook.url.reveal());
        let host = shown.split('/').take(3).collect::<Vec<_>>().join("/");
        format!("webhook {host}")
    }

    fn send(&self, alert: &Alert) -> Result<()> {
        let (content_type, body) = body(self.hook.format, alert)?;
        let mut headers = vec![("Content-Type", content_type)];
        headers.extend(self.hook.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())));
        let request = http::HttpRequest {
            method: "POST",
            url: self.hook.url.reveal(),
            headers: &headers,
            body: &body,
            timeout: TIMEOUT,
            max_body: 1024,
        };
        let status = http::request(&request)?.status;
        if !(200..300).contains(&status) {
            bail!("HTTP {status}");
        }
        Ok(())
    }
}

fn body(format: WebhookFormat, alert: &Alert) -> Result<(&'static str, Vec<u8>)> {
    let json = |value: &serde_json::Value| serde_json::to_vec(value).context("cannot write the alert as JSON");
    Ok(match format {
        WebhookFormat::Json => {
            ("application/json", serde_json::to_vec(alert).context("cannot write the alert as JSON")?)
        }
        WebhookFormat::Slack => ("application/json", json(&json!({ "text": alert.text() }))?),
        WebhookFormat::Discord => {
            let text: String = alert.text().chars().take(LONGEST_DISCORD).collect();
            ("application/json", json(&json!({ "content": text, "allowed_mentions": { "parse": [] } }))?)
        }
        WebhookFormat::Ntfy => ("text/plain; charset=utf-8", alert.text().into_bytes()),
    })
}
