//! The heartbeat: a URL that is called with `/start` when a pass begins and with `/<exit code>` when it ends, so that
//! somebody else notices when none does.

use crate::config::{Engine, Secret};
use crate::host::http;
use std::thread::JoinHandle;
use std::time::Duration;

/// A monitor that does not answer costs a pass at most this, once at its end.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A pass whose beginning is being told.
pub struct Beat<'a> {
    url: &'a Secret,
    /// Told beside the pass, which does not wait for it.
    start: Option<JoinHandle<Option<String>>>,
    problems: Vec<String>,
    engine: &'a Engine,
}

impl<'a> Beat<'a> {
    /// Tells that a pass begins, where a heartbeat is configured.
    pub fn begin(engine: &'a Engine) -> Option<Beat<'a>> {
        let url = engine.alerts.heartbeat.as_ref()?;
        let of_start = at(url.reveal(), "start");
        let start = std::thread::Builder::new().name("heartbeat".into()).spawn(move || ping(&of_start));
        let mut beat = Beat { url, start: None, problems: Vec::new(), engine };
        match start {
            Ok(thread) => beat.start = Some(thread),
            Err(error) => beat.problems.push(format!("heartbeat: no thread can be started: {error}")),
        }
        Some(beat)
    }

    /// Tells how the pass ended; returns what could not be told.
    pub fn end(mut self, code: u8) -> Vec<String> {
        // In their order: the end must not be overtaken by the beginning.
        if let Some(start) = self.start.take() {
            self.problems.extend(start.join().unwrap_or_else(|_| Some("heartbeat: it panicked".into())));
        }
        // A monitor that has just been silent for its whole time is not waited for a second time.
        if self.problems.is_empty() {
            self.problems.extend(ping(&at(self.url.reveal(), &code.to_string())));
        }
        self.problems.iter().map(|problem| self.engine.redactor.redact(problem).into_owned()).collect()
    }
}

/// The URL with one more segment of its path; a query stays behind it.
fn at(url: &str, segment: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (path, query) = url.split_at(end);
    format!("{}/{segment}{query}", path.trim_end_matches('/'))
}

fn ping(url: &str) -> Option<String> {
    let request = http::HttpRequest { method: "GET", url, headers: &[], body: &[], timeout: TIMEOUT, max_body: 1024 };
    // The path of such a URL is its password.
    let host = http::shown_url(url).split('/').take(3).collect::<Vec<_>>().join("/");
    let told = http::request(&request).map_err(|error| error.to_string());
    let why = match told.map(|answer| answer.status) {
        Ok(200..300) => return None,
        Ok(status) => format!("HTTP {status}"),
        Err(error) => error,
    };
    Some(format!("heartbeat {host} could not be told: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_goes_behind_the_path() {
        for (url, expected) in [
            ("https://h/ping/uuid", "https://h/ping/uuid/start"),
            ("https://h/ping/uuid/", "https://h/ping/uuid/start"),
            ("https://h/ping?create=1", "https://h/ping/start?create=1"),
            ("http://h", "http://h/start"),
        ] {
            assert_eq!(at(url, "start"), expected);
        }
    }
}
