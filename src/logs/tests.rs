//! The whole way of a log: built-in signatures on their samples, events, rotation, passes.

mod events;
mod guarded;
mod rotation;
mod signatures;

use crate::config::{Signature, SignatureOrigin};
use crate::model::Severity;

/// The built-in signatures.
pub fn builtin() -> Vec<Signature> {
    #[derive(serde::Deserialize)]
    struct File {
        signature: Vec<Raw>,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        name: String,
        category: String,
        severity: Severity,
        pattern: String,
        ignore: Option<String>,
        matches: Vec<String>,
        ignores: Vec<String>,
    }
    let file: File = toml::from_str(super::BUILTIN_SIGNATURES).unwrap();
    let sound = |raw: Raw| Signature {
        name: raw.name,
        category: raw.category,
        severity: raw.severity,
        pattern: raw.pattern,
        ignore: raw.ignore,
        origin: SignatureOrigin::BuiltIn,
        matches: raw.matches,
        ignores: raw.ignores,
    };
    file.signature.into_iter().map(sound).collect()
}

/// A signature with only a pattern.
pub fn signature(name: &str, pattern: &str) -> Signature {
    Signature {
        name: name.to_owned(),
        category: name.to_owned(),
        severity: Severity::Error,
        pattern: pattern.to_owned(),
        ignore: None,
        origin: SignatureOrigin::Operator,
        matches: Vec::new(),
        ignores: Vec::new(),
    }
}
