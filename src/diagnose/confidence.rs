//! Confidence, addend by addend.

use crate::config::Rule;
use crate::learn::{History, history_addend, self_recovery_addend};
use crate::model::{Addend, Signal, SignalRole, Status};

/// A confidence with everything it was added up from.
#[derive(Debug, Clone, PartialEq)]
pub struct Confidence {
    pub addends: Vec<Addend>,
    /// Rule base plus evidence.
    pub original: f64,
    /// With history, clamped to 50..100 and rounded: what is shown and compared.
    pub rounded: u8,
}

/// The rule's base, plus the evidence that is there, plus the history of its fix.
pub fn of_rule(rule: &Rule, signals: &[Signal], tries: impl Into<History>) -> Confidence {
    let mut addends = vec![Addend { label: format!("rule {}", rule.name), points: rule.confidence }];
    let evidence = signals.iter().filter(|s| s.role == SignalRole::Evidence && s.held);
    addends.extend(evidence.map(|s| Addend { label: s.seen.clone(), points: s.weight.unwrap_or(0.0) }));
    of(addends, tries)
}

/// Adds history to what has been added up so far.
pub fn of(mut addends: Vec<Addend>, tries: impl Into<History>) -> Confidence {
    let history = tries.into();
    let original: f64 = addends.iter().map(|a| a.points).sum();
    addends.extend(history_addend(history));
    addends.extend(self_recovery_addend(history));
    let sum: f64 = addends.iter().map(|a| a.points).sum();
    Confidence { addends, original, rounded: sum.clamp(50.0, 100.0).round() as u8 }
}

/// Whether a status is what a rule asks for: `warning` and `critical` mean 'at least', the others exactly that.
pub fn at_least(status: Status, asked: Status) -> bool {
    if asked.is_red() { status >= asked } else { status == asked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tries;

    #[test]
    fn addends_add_up_and_the_sum_is_clamped() {
        let check = |base: f64, evidence: f64, total: u64, successes: u64, original: f64, rounded: u8| {
            let addends = vec![
                Addend { label: "rule".into(), points: base },
                Addend { label: "evidence".into(), points: evidence },
            ];
            let confidence = of(addends, Tries { total, successes });
            assert_eq!((confidence.original, confidence.rounded), (original, rounded));
            assert_eq!(confidence.addends.len(), if total > 0 { 3 } else { 2 });
        };
        check(88.0, 4.0, 0, 0, 92.0, 92);
        check(88.0, -40.0, 0, 0, 48.0, 50);
        check(98.0, 4.0, 10, 10, 102.0, 100);
        check(88.0, 0.0, 10, 0, 88.0, 78);
        check(84.6, 0.0, 0, 0, 84.6, 85);
        check(84.4, 0.0, 0, 0, 84.4, 84);
    }

    #[test]
    fn a_worse_status_is_no_weaker_evidence() {
        let check = |status, asked, expected| assert_eq!(at_least(status, asked), expected, "{status} for {asked}");
        check(Status::Critical, Status::Warning, true);
        check(Status::Warning, Status::Critical, false);
        check(Status::Unknown, Status::Warning, false);
        check(Status::Critical, Status::Healthy, false);
        check(Status::Unknown, Status::Unknown, true);
    }
}
