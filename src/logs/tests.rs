//! The whole way of a log: built-in signatures on their samples, events, passes.

mod again;
mod events;
mod guarded;
mod journal;

mod signatures;

use crate::config::{Signature, SignatureOrigin};
use crate::model::Severity;

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
