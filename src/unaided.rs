//! Problems that clear by themselves: how often, by issue type. A fix that works no better than waiting has no merit.
//!
//! Pure. What counts is a problem that was held at least once, by the mode or by the gate, and so had time to clear: one
//! that is mended at once says nothing. One that a human mends meanwhile looks as if it had cleared; nobody tells.

use crate::model::Cleared;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kept from pass to pass.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unaided {
    /// By issue type.
    pub by_issue: BTreeMap<String, Cleared>,
    /// By the incident's fingerprint.
    open: BTreeMap<String, Open>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    issue_type: String,
    /// It is counted already.
    counted: bool,
}

impl Unaided {
    /// A problem is held.
    pub fn held(&mut self, fingerprint: &str, issue_type: &str) {
        self.open(fingerprint, issue_type);
    }

    /// It was found to be over right before a fix.
    pub fn recovered(&mut self, fingerprint: &str, issue_type: &str) {
        self.open(fingerprint, issue_type);
        self.count(fingerprint, true);
    }

    /// A fix was tried on it.
    pub fn fixed(&mut self, fingerprint: &str) {
        self.count(fingerprint, false);
    }

    /// It is over.
    pub fn resolved(&mut self, fingerprint: &str) {
        self.count(fingerprint, true);
        self.open.remove(fingerprint);
    }

    fn open(&mut self, fingerprint: &str, issue_type: &str) {
        let open = || Open { issue_type: issue_type.to_owned(), counted: false };
        self.open.entry(fingerprint.to_owned()).or_insert_with(open);
    }

    fn count(&mut self, fingerprint: &str, cleared: bool) {
        let Some(open) = self.open.get_mut(fingerprint).filter(|open| !open.counted) else { return };
        open.counted = true;
        let of_issue = self.by_issue.entry(open.issue_type.clone()).or_default();
        of_issue.seen += 1;
        of_issue.cleared += u64::from(cleared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_counts_once_and_as_cleared_only_when_no_fix_was_tried() {
        let check = |steps: &[&str], seen, cleared| {
            let mut unaided = Unaided::default();
            for step in steps {
                match *step {
                    "held" => unaided.held("a@b", "a"),
                    "recovered" => unaided.recovered("a@b", "a"),
                    "fixed" => unaided.fixed("a@b"),
                    _ => unaided.resolved("a@b"),
                }
            }
            let found = unaided.by_issue.get("a").copied().unwrap_or_default();
            assert_eq!(found, Cleared { seen, cleared }, "{steps:?}");
        };
        check(&["held", "held", "resolved"], 1, 1);
        check(&["held", "fixed", "resolved"], 1, 0);
        // Mended at once, or never over: nothing is known.
        check(&["fixed", "resolved"], 0, 0);
        check(&["held"], 0, 0);
        check(&["recovered", "recovered", "resolved"], 1, 1);
        check(&["held", "recovered", "fixed", "resolved"], 1, 1);
        check(&["held", "resolved", "held", "fixed", "resolved"], 2, 1);
    }
}
