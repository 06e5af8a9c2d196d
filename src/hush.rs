//! Secrets that nobody has told us of: passwords, tokens and keys as they stand in log lines, in the output of checks and
//! around a literal that is edited. What is known to be secret is the `Redactor`'s.
//!
//! Pure. Better too much than too little, but no number and no yes or no: `max_tokens = 512` is no secret.

use regex::{Captures, Regex};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::LazyLock;

const MASK: &str = "***";

/// `KEY = value` where the name of the key says secret, quoted or not, in whatever format.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let names = "passw(?:or)?d|passwd|passphrase|pwd|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential|\
                 authorization|cookie";
    let pattern = format!(
        r#"((?i-u:[\w.-]*(?:{names})[\w.-]*\\?["']?\s*[=:]\s*\\?["']?(?:(?:bearer|basic|token)\s+)?))([^\s"',;&<>\\{{}}()\[\]]{{3,}})"#
    );
    Regex::new(&pattern).ok()
});
static BEARER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i-u)\b((?:bearer|basic)\s+)([A-Za-z0-9._~+/=-]{8,})").ok());
static IN_URL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@"'<>]*:)([^\s/@"'<>]+)@"#).ok());

/// Whether any of the patterns could match. Compiling them costs more than all else that is done with the texts of a
/// healthy pass, which hold none of these.
fn may_hold_secrets(text: &str) -> bool {
    const STEMS: [&str; 11] = [
        "passw",
        "passphrase",
        "pwd",
        "secret",
        "token",
        "key",
        "credential",
        "authorization",
        "cookie",
        "bearer",
        "basic",
    ];
    let lower = text.to_ascii_lowercase();
    STEMS.iter().any(|stem| lower.contains(stem)) || (lower.contains("://") && lower.contains('@'))
}

/// The text with whatever looks like a secret in it hidden.
pub fn hush(text: &str) -> Cow<'_, str> {
    if !may_hold_secrets(text) {
        return Cow::Borrowed(text);
    }
    let named = each(&NAMED, Cow::Borrowed(text), |found| match found.get(2).map(|value| value.as_str()) {
        Some(value) if is_plain(value) => None,
        _ => Some(format!("{}{MASK}", &found[1])),
    });
    let bearer = each(&BEARER, named, |found| Some(format!("{}{MASK}", &found[1])));
    each(&IN_URL, bearer, |found| Some(format!("{}{MASK}@", &found[1])))
}

fn each<'t>(
    pattern: &LazyLock<Option<Regex>>,
    text: Cow<'t, str>,
    hidden: impl Fn(&Captures) -> Option<String>,
) -> Cow<'t, str> {
    let Some(pattern) = pattern.as_ref().filter(|pattern| pattern.is_match(&text)) else { return text };
    let with = |found: &Captures| hidden(found).unwrap_or_else(|| found[0].to_owned());
    Cow::Owned(pattern.replace_all(&text, with).into_owned())
}

fn is_plain(value: &str) -> bool {
    let word = value.trim_end_matches('.').to_ascii_lowercase();
    value == MASK
        || value.starts_with("${")
        || value.starts_with("$")
        || word.parse::<f64>().is_ok()
        || ["true", "false", "null", "none", "yes", "no"].contains(&word.as_str())
}

/// The same in every text of a document; its keys are ours.
pub fn hush_json(mut value: Value) -> Value {
    hush_in(&mut value);
    value
}

fn hush_in(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(hushed) = hush(text) {
                *text = hushed;
            }
        }
        Value::Array(all) => all.iter_mut().for_each(hush_in),
        Value::Object(all) => all.values_mut().for_each(hush_in),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_hidden_and_nothing_else() {
        let check = |text: &str, expected: &str| assert_eq!(hush(text), expected);
        check("DB_PASSWORD = \"hunter2hunter2\"", "DB_PASSWORD = \"***\"");
        check("+API_KEY='abc123'", "+API_KEY='***'");
        check("password: hunter2", "password: ***");
        check("{\"client_secret\": \"s3cr3t\", \"n\": 1}", "{\"client_secret\": \"***\", \"n\": 1}");
        check("{\\\"token\\\":\\\"s3cr3t\\\"}", "{\\\"token\\\":\\\"***\\\"}");
        check("GET /x?token=abcdef&page=2", "GET /x?token=***&page=2");
        check("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer ***");
        check("sent Bearer abcdefghijkl to it", "sent Bearer *** to it");
        check("at postgres://app:s3cr3t@db:5432/x", "at postgres://app:***@db:5432/x");
        check("password=a1b2c3 and token=d4e5f6", "password=*** and token=***");
        for plain in [
            "max_tokens = 512",
            "token_limit: 0.8",
            "password_required = true",
            "password authentication failed for user \"app\"",
            "tokens per minute (TPM): Limit 6000, Used 5000",
            "http://127.0.0.1:8000/health",
            "token = ${credential:x}",
            "secret=<str> token=<id>",
            "Basic checks",
            "12:30:01 the token",
        ] {
            check(plain, plain);
        }
    }
}
