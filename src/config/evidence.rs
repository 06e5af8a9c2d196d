//! What a rule looks for beside its trigger, once it is sound. May not live here: whether it is there.

use crate::config::{LogTrigger, Rule, TriggerState, When};
use crate::model::Status;
use globset::GlobMatcher;

/// A signal for or against a rule.
#[derive(Debug, Clone)]
pub struct Evidence {
    pub signal: SignalSpec,
    pub add: f64,
}

/// Something that is looked for beside a rule's trigger.
#[derive(Debug, Clone)]
pub enum SignalSpec {
    Check { check: String, is: Status },
    Log(LogTrigger),
    Container { glob: GlobMatcher, pattern: String, state: TriggerState },
    Metric { check: String, metric: String, above: Option<f64>, below: Option<f64> },
}

impl Rule {
    /// Every count of log events that it asks for: its trigger's, and those of its evidence and requirements.
    pub fn log_triggers(&self) -> impl Iterator<Item = &LogTrigger> {
        let when = match &self.when {
            When::Log(trigger) => Some(trigger),
            _ => None,
        };
        let beside = self.evidence.iter().map(|e| &e.signal).chain(&self.require);
        when.into_iter().chain(beside.filter_map(|signal| match signal {
            SignalSpec::Log(trigger) => Some(trigger),
            _ => None,
        }))
    }
}
