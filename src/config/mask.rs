//! Which parts of a configuration line may be shown. Works on text, because a line that does not parse is shown too.
//! May not live here: the values of references; a reference itself (`${NAME}`) is no secret.

use crate::config::at::Span;

/// What stands for a hidden part.
pub const MASK: &str = "***";

/// A path segment of a URL that is this long is taken for a token (Slack, Discord, health check services).
const TOKEN_LENGTH: usize = 20;

/// Whether a key's value is likely to be a secret.
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    // How often a trigger must hold.
    if key == "passes" {
        return false;
    }
    ["pass", "secret", "token", "auth", "cookie", "credential", "headers", "heartbeat"].iter().any(|w| key.contains(w))
        || ["api", "private", "access", "tls", "x"].iter().any(|w| key.contains(&format!("{w}_key")))
        || key.contains("apikey")
}

/// Byte ranges of the line that must not be shown, in order, without overlap. `known` are ranges (in the same
/// coordinates) that the parser has already found to be secret values.
pub fn secret_spans(line: &str, known: &[Span]) -> Vec<Span> {
    let mut spans: Vec<Span> = known.to_vec();
    spans.extend(values_of_secret_keys(line));
    spans.extend(url_secrets(line));
    let spans: Vec<Span> = spans.into_iter().flat_map(|span| without_references(line, span)).collect();
    merge(spans)
}

/// The parts of a span that are no `${...}`.
fn without_references(line: &str, span: Span) -> Vec<Span> {
    let Some(text) = line.get(span.clone()) else { return Vec::new() };
    let (mut parts, mut at) = (Vec::new(), 0);
    while let Some((open, close)) = next_reference(text, at) {
        parts.push(at..open);
        at = close;
    }
    parts.push(at..text.len());
    parts.into_iter().filter(|p| !p.is_empty()).map(|p| span.start + p.start..span.start + p.end).collect()
}

/// Where the next `${...}` at or after `from` begins and ends.
fn next_reference(text: &str, from: usize) -> Option<(usize, usize)> {
    let open = from + text.get(from..)?.find("${")?;
    let close = open + text.get(open..)?.find('}')? + 1;
    Some((open, close))
}

/// Values behind `KEY =` where the key's name says secret.
fn values_of_secret_keys(line: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    for (equals, _) in line.match_indices('=') {
        let before = line.get(..equals).unwrap_or_default().trim_end();
        let is_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'');
        let key = before.rsplit(|c: char| !is_key(c)).next().unwrap_or_default();
        if is_secret_key(key) {
            spans.push(value_span(line, equals + 1));
        }
    }
    spans
}

/// The inside of the string, list or table that begins after `from`; to the end of the line where it is not closed.
fn value_span(line: &str, from: usize) -> Span {
    let rest = line.get(from..).unwrap_or_default();
    let start = from + (rest.len() - rest.trim_start().len());
    let rest = line.get(start..).unwrap_or_default();
    let Some(first) = rest.chars().next() else { return start..start };
    let close = match first {
        '"' => closing_quote(rest),
        '\'' => rest.get(1..).and_then(|r| r.find('\'')).map(|i| i + 1),
        '{' => rest.rfind('}'),
        '[' => rest.rfind(']'),
        _ => return start..start + rest.find([',', ' ', '}', '#']).unwrap_or(rest.len()),
    };
    start + first.len_utf8()..start + close.unwrap_or(rest.len()).max(first.len_utf8())
}

/// Offset of the quote that closes the string at the start of the text; none for a multi-line string.
fn closing_quote(text: &str) -> Option<usize> {
    if text.starts_with("\"\"\"") {
        return None;
    }
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(i, c)| {
        let found = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        found.then_some(i)
    })
}

/// Passwords, query values and token-like path segments of URLs.
fn url_secrets(line: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    for (colon, _) in line.match_indices("://") {
        let start = colon + 3;
        let rest = line.get(start..).unwrap_or_default();
        let end = start + rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(rest.len());
        // References may hold '/', ':' and '@' of their own: looked at as one letter each.
        let text = blank_references(line.get(start..end).unwrap_or_default());
        let mut path_from = 0;
        if let Some(at) = text.rfind('@') {
            let user = text.get(..at).unwrap_or_default();
            match user.find(':') {
                Some(colon) => spans.push(start + colon + 1..start + at),
                None if user.len() >= TOKEN_LENGTH => spans.push(start..start + at),
                None => {}
            }
            path_from = at;
        }
        let query = text.find(['?', '#']).unwrap_or(text.len());
        if query < text.len() {
            spans.push(start + query + 1..end);
        }
        let mut at = path_from;
        for segment in text.get(path_from..query).unwrap_or_default().split('/') {
            if at > path_from && segment.len() >= TOKEN_LENGTH {
                spans.push(start + at..start + at + segment.len());
            }
            at += segment.len() + 1;
        }
    }
    spans
}

/// The text with every reference replaced by as many `x`.
fn blank_references(text: &str) -> String {
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    while let Some((open, close)) = next_reference(text, at) {
        out.push_str(text.get(at..open).unwrap_or_default());
        out.push_str(&"x".repeat(close - open));
        at = close;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|s| (s.start, s.end));
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(line: &str) -> String {
        let mut out = line.to_owned();
        for span in secret_spans(line, &[]).into_iter().rev() {
            out.replace_range(span, MASK);
        }
        out
    }

    #[test]
    fn what_may_hold_a_secret_is_hidden_and_references_are_not() {
        for (line, shown) in [
            (
                r#"url = "postgres://monitor:hunter2@127.0.0.1/shop""#,
                r#"url = "postgres://monitor:***@127.0.0.1/shop""#,
            ),
            (r#"url = "postgres://m:a/b@c@127.0.0.1/shop""#, r#"url = "postgres://m:***@127.0.0.1/shop""#),
            (r#"url = "postgres://m:${file:/etc/a@b}@h/shop""#, r#"url = "postgres://m:${file:/etc/a@b}@h/shop""#),
            (r#"url = "postgres://m:pre${P}post@h/shop""#, r#"url = "postgres://m:***${P}***@h/shop""#),
            (r#"url = "redis://:hunter2@h:1"#, r#"url = "redis://:***@h:1"#),
            (r#"url = "https://h/x?key=abc""#, r#"url = "https://h/x?***""#),
            (
                r#"url = "https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXXXXXXXXXXXXXX""#,
                r#"url = "https://hooks.slack.com/services/T000/B000/***""#,
            ),
            (r#"tokn = 1, token = "a\"b" # c"#, r#"tokn = 1, token = "***" # c"#),
            (r#"api-key = 'abc"#, r#"api-key = '***"#),
            (r#"headers = { A = "x", B = "y" }"#, r#"headers = {***}"#),
            (r#""X-Api-Key" = "abc""#, r#""X-Api-Key" = "***""#),
            (r#"Authorization = "Bearer ${T}""#, r#"Authorization = "***${T}""#),
            (r#"token = "${T}""#, r#"token = "${T}""#),
            ("password = 12345", "password = ***"),
            ("when = { passes = 2 }", "when = { passes = 2 }"),
            (r#"key = "celery""#, r#"key = "celery""#),
            (r#"url = "http://127.0.0.1:8000/health""#, r#"url = "http://127.0.0.1:8000/health""#),
        ] {
            assert_eq!(masked(line), shown, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line in r#"[a-z"'=:/@${}\[\]{}\\ é?#]{0,60}"#) {
            masked(&line);
        }
    }
}
