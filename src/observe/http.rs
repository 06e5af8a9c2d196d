//! HTTP: status, response time, a text in the body, the days the certificate still has.

use super::{Check, Moment, Seen, high, low, metric, milliseconds, verdict};
use crate::config::{HttpProbe, Levels, Secret};
use crate::host::http::{HttpAnswer, HttpError, HttpRequest, request, shown_url};
use crate::host::tls::certificate_end;
use crate::model::{Metric, Status, Unit};
use jiff::Timestamp;

pub(super) struct HttpCheck(pub HttpProbe);

/// Part of a body that is searched for the expected text.
const MAX_BODY: usize = 1 << 20;

impl Check for HttpCheck {
    fn target(&self) -> String {
        shown_url(self.0.url.reveal())
    }

    fn look(&self, moment: &Moment) -> Option<Seen> {
        let headers: Vec<(&str, &str)> =
            self.0.headers.iter().map(|(name, value): &(String, Secret)| (name.as_str(), value.reveal())).collect();
        let answer = request(&HttpRequest {
            method: &self.0.method,
            url: self.0.url.reveal(),
            headers: &headers,
            body: b"",
            timeout: moment.left(),
            max_body: if self.0.expect_body.is_some() { MAX_BODY } else { 0 },
        });
        Some(match answer {
            Ok(answer) => judge(&self.0, &answer, moment.now),
            Err(HttpError::Timeout) => moment.silent(&self.target()),
            Err(HttpError::Failed(why)) => Seen::down(format!("{why} at {}", self.target())),
        })
    }
}

fn judge(probe: &HttpProbe, answer: &HttpAnswer, now: Timestamp) -> Seen {
    let took = milliseconds(answer.response_time);
    let mut parts = vec![(high(took, probe.latency_ms), format!("HTTP {} only after {took:.0} ms", answer.status))];
    let mut metrics = vec![
        metric("response_time_ms", took, Unit::Milliseconds, probe.latency_ms),
        Metric::new("status_code", f64::from(answer.status), Unit::Count),
    ];
    if !probe.expect_status.contains(&answer.status) {
        let expected: Vec<String> = probe.expect_status.iter().map(ToString::to_string).collect();
        let words = format!("HTTP {} in {took:.0} ms, expected {}", answer.status, expected.join(" or "));
        parts.push((Status::Critical, words));
    } else if let Some(text) = probe.expect_body.as_deref()
        && !contains(&answer.body, text.as_bytes())
    {
        parts.push((Status::Critical, format!("HTTP {} in {took:.0} ms, but not the text expected", answer.status)));
    }
    if let Some(end) = answer.certificate.as_deref().and_then(certificate_end) {
        let days = (end.as_second() - now.as_second()).div_euclid(86_400);
        let words = format!("the certificate ends in {days} days");
        parts.push((low(days as f64, probe.certificate_days), words));
        let Levels { warning, critical } = probe.certificate_days;
        metrics.push(Metric {
            warning_below: warning,
            critical_below: critical,
            ..Metric::new("certificate_days", days as f64, Unit::Count)
        });
    }
    let (status, message) = verdict(parts, format!("HTTP {} in {took:.0} ms", answer.status));
    Seen { metrics, ..Seen::new(status, message, Some(true)) }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(body, text).is_some()
}
