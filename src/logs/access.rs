//! Access logs: a line is judged by its status field, not by what a client put into its quoted fields.
//!
//! Pure. Not here: what is an error (the signatures decide, on the text made here).

use memchr::{memchr, memmem};

/// Literals that every access log line with a status worth judging contains; the scanner stops at them.
pub const STEMS: [&str; 8] = [
    "\" 429",
    "\" 50",
    "\"status\":5",
    "\"status\": 5",
    "\"status\":\"5",
    "\"status\":42",
    "\"status\": 42",
    "\"status\":\"42",
];

/// What is judged instead of an access log line: nothing that a client wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    text: Vec<u8>,
    /// The status, spelled out, begins here.
    spelled: usize,
}

impl Judged {
    /// The fields that no client writes, and the status spelled out (`503 Server Error: Service Unavailable`).
    pub fn with_status(&self) -> &[u8] {
        &self.text
    }

    /// The fields that no client writes, as they stand.
    pub fn fields(&self) -> &[u8] {
        self.text.get(..self.spelled).unwrap_or_default()
    }
}

/// What is judged instead of the line, where it is one of an access log.
pub fn judged(line: &[u8]) -> Option<Judged> {
    memchr(b'"', line)?;
    let (status, mut text) = common(line).or_else(|| json(line))?;
    let spelled_at = text.len();
    if let Some(phrase) = spelled(status) {
        text.extend_from_slice(format!(" {status} {phrase}").as_bytes());
    }
    Some(Judged { text, spelled: spelled_at })
}

fn spelled(status: u16) -> Option<&'static str> {
    Some(match status {
        429 => "Client Error: Too Many Requests",
        500 => "Server Error: Internal Server Error",
        502 => "Server Error: Bad Gateway",
        503 => "Server Error: Service Unavailable",
        504 => "Server Error: Gateway Timeout",
        505..=599 | 501 => "Server Error",
        _ => return None,
    })
}

/// Common and combined log format, and what looks like them from the request on: `"GET /path HTTP/1.1" 503 ...`.
fn common(line: &[u8]) -> Option<(u16, Vec<u8>)> {
    let dated = after_date(line);
    let from = dated.unwrap_or(0);
    let open = from + memchr(b'"', line.get(from..)?)?;
    let quoted = line.get(open + 1..)?;
    // Most lines without such a date are of no access log, which is told by this much.
    if dated.is_none() && !begins_as_request(quoted) {
        return None;
    }
    let request_end = open + 1 + closing_quote(quoted)?;
    let request = line.get(open + 1..request_end)?;
    if dated.is_none() && memmem::find(request, b" HTTP/").is_none() {
        return None;
    }
    let rest = line.get(request_end + 1..)?;
    let digits = rest.strip_prefix(b" ")?.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) || rest.get(4).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((status, without_quoted(line.get(open..)?)))
}

/// Where the fields after `[10/Oct/2000:13:55:36 -0700] ` begin.
fn after_date(line: &[u8]) -> Option<usize> {
    let head = line.get(..line.len().min(400))?;
    memchr::memchr_iter(b'[', head).find_map(|open| {
        let [d1, d2, b'/', m @ b'A'..=b'Z', _, _, b'/', ..] = head.get(open + 1..)? else { return None };
        let _ = m;
        let close = open + memchr(b']', head.get(open..)?)?;
        (d1.is_ascii_digit() && d2.is_ascii_digit() && head.get(close + 1..close + 3)? == b" \"").then_some(close + 2)
    })
}

fn begins_as_request(quoted: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] =
        [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"CONNECT ", b"TRACE "];
    METHODS.iter().any(|method| quoted.starts_with(method))
}

/// Index of the quote that ends a field; a quote behind a backslash does not.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|b| {
        let ends = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        ends
    })
}

fn without_quoted(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    while let Some(open) = memchr(b'"', text) {
        out.extend_from_slice(text.get(..open).unwrap_or_default());
        out.extend_from_slice(b"\"\"");
        let quoted = text.get(open + 1..).unwrap_or_default();
        let Some(close) = closing_quote(quoted) else { return out };
        text = quoted.get(close + 1..).unwrap_or_default();
    }
    out.extend_from_slice(text);
    out
}

/// An object with a status and something that only requests have.
fn json(line: &[u8]) -> Option<(u16, Vec<u8>)> {
    const OF_REQUESTS: [&str; 17] = [
        "request",
        "request_uri",
        "request_method",
        "method",
        "http_user_agent",
        "user_agent",
        "user-agent",
        "userAgent",
        "agent",
        "http_referer",
        "referer",
        "referrer",
        "remote_addr",
        "remote_ip",
        "remote_host",
        "client_ip",
        "uri",
    ];
    let line = line.get(memchr(b'{', line.get(..line.len().min(80))?)?..)?;
    memmem::find(line, b"\"status\"")?;
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line.trim_ascii()).ok()?;
    if !OF_REQUESTS.iter().any(|key| object.contains_key(*key)) {
        return None;
    }
    let status = object.get("status")?;
    let number = status.as_u64().or_else(|| status.as_str()?.parse().ok())?;
    // A client writes texts, never numbers.
    object.retain(|key, value| key == "status" || value.is_number() || value.is_boolean());
    Some((u16::try_from(number).ok()?, serde_json::to_vec(&object).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<&str>) {
        let text = judged(line.as_bytes()).map(|j| String::from_utf8_lossy(j.with_status()).into_owned());
        assert_eq!(text.as_deref(), expected, "{line}");
    }

    #[test]
    fn only_the_status_and_the_unquoted_fields_are_judged() {
        let combined = |status: &str, agent: &str| {
            format!(
                "web-1  | 10.0.0.1 - bob [10/Oct/2000:13:55:36 -0700] \"GET /429 HTTP/1.1\" {status} 5 \"http://x/500\" \"{agent}\""
            )
        };
        check(&combined("200", "429 Too Many Requests"), Some("\"\" 200 5 \"\" \"\""));
        check(&combined("200", "a \\\" 503 b"), Some("\"\" 200 5 \"\" \"\""));
        check(&combined("503", "ErrorBot"), Some("\"\" 503 5 \"\" \"\" 503 Server Error: Service Unavailable"));
        check(&combined("429", "x"), Some("\"\" 429 5 \"\" \"\" 429 Client Error: Too Many Requests"));
        check(
            "INFO:     127.0.0.1:5 - \"GET /x HTTP/1.1\" 502 Bad Gateway",
            Some("\"\" 502 Bad Gateway 502 Server Error: Bad Gateway"),
        );
        check(r#"1.1.1.1 - - [10/Oct/2000:13:55:36 +0000] "\x16\x03 error" 400 0"#, Some("\"\" 400 0"));
        check(
            r#"{"remote_addr":"1.1.1.1","request":"GET /500","status":504}"#,
            Some(r#"{"status":504} 504 Server Error: Gateway Timeout"#),
        );
        check(r#"{"uri":"/","status":"200","user_agent":"429 Too Many Requests"}"#, Some(r#"{"status":"200"}"#));
        for key in ["method", "agent", "userAgent", "user-agent", "referer", "remote_host"] {
            let line = format!(r#"{{"level":"info","status":200,"{key}":"HTTP 503"}}"#);
            check(&line, Some(r#"{"status":200}"#));
        }
    }

    #[test]
    fn the_fields_stand_without_the_spelled_status_too() {
        let fields = |line: &str| String::from_utf8_lossy(judged(line.as_bytes()).unwrap().fields()).into_owned();
        assert_eq!(fields("INFO:     127.0.0.1:5 - \"GET /x HTTP/1.1\" 502 Bad Gateway"), "\"\" 502 Bad Gateway");
        let line = r#"{"uri":"/x","status":503,"cached":false,"took_ms":12.5}"#;
        assert_eq!(fields(line), r#"{"cached":false,"status":503,"took_ms":12.5}"#);
    }

    #[test]
    fn other_lines_are_left_alone() {
        check("httpx HTTP Request: POST https://x \"HTTP/1.1 429 Too Many Requests\"", None);
        check(r#"{"msg":"job failed","status":500}"#, None);
        check("plain \" 500", None);
        check("", None);
        check("[10/Oct/2000:13:55:36 -0700] \"", None);
    }
}
