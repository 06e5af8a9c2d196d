//! Values that must never be shown: the type that carries them and the filter that takes them out of text.

use std::borrow::Cow;
use std::sync::Arc;

/// A string that may hold a password. `Debug` shows asterisks and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself: for the client that needs it, never for output.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"***\"")
    }
}

/// Takes secret values out of text before it is shown or stored.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a secret that contains another one goes whole.
    values: Arc<[String]>,
}

/// Shorter values would blot out ordinary words.
const SHORTEST_SECRET: usize = 4;

impl Redactor {
    /// A filter for these values; those under four bytes are left out.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|v| v.len() >= SHORTEST_SECRET).collect();
        // As they look inside a JSON string.
        let escaped: Vec<String> = values.iter().map(|v| in_json(v)).collect();
        values.extend(escaped);
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Redactor { values: values.into() }
    }

    /// Whether it takes nothing out.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The text with every secret value replaced by `***`.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut redacted = Cow::Borrowed(text);
        for secret in self.values.iter() {
            if redacted.contains(secret.as_str()) {
                redacted = Cow::Owned(redacted.replace(secret.as_str(), "***"));
            }
        }
        redacted
    }
}

fn in_json(value: &str) -> String {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    quoted.strip_prefix('"').unwrap_or_default().strip_suffix('"').unwrap_or_default().to_owned()
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} values)", self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_reach_text() {
        let redactor = Redactor::new(["hunter2".into(), "hunter2hunter2".into(), "ab".into()]);
        assert_eq!(redactor.redact("postgres://u:hunter2hunter2@h ab"), "postgres://u:***@h ab");
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "\"***\"");
        let quoted = Redactor::new(["pass\"w\\rd".into()]);
        assert_eq!(quoted.redact(&serde_json::json!({ "a": "x pass\"w\\rd" }).to_string()), r#"{"a":"x ***"}"#);
    }
}
