//! What happened, for those who look: the event log and the samples of passes folded into what `history` lists and the
//! dashboard draws.
//!
//! Pure: fed line by line, in the order in which they were written; a line that is none of ours is passed over. Bounded:
//! whatever a log holds, only so much of it is kept. May not live here: reading the files.

mod fix;
mod item;
mod series;

pub use fix::{Fix, Told, Wait};
pub use item::Item;
pub use series::{Point, Sampled, Samples};

use crate::model::Outcome;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// Kept at most, the newest.
const MOST_ITEMS: usize = 1_000;
/// Groups of errors that are told apart; what is beyond is counted together.
const MOST_GROUPS: usize = 300;
/// Fixes of which the end has not been seen yet.
const MOST_PENDING: usize = 20;
/// A pass that has not ended after so many seconds was killed.
const LONGEST_PASS_S: i64 = 20 * 60;
/// Under this name those beyond [`MOST_GROUPS`] are counted.
pub const OTHER_GROUPS: &str = "other";

/// The fold of the event log.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// The newest last.
    pub items: VecDeque<Item>,
    /// The fix that is being made or watched, or that a killed pass has left open.
    pub fix: Option<Fix>,
    /// Events by hour (Unix time of its beginning, in seconds) and error group.
    pub errors: BTreeMap<i64, BTreeMap<String, u64>>,
    /// What each group looks like, by its id.
    pub groups: BTreeMap<String, Group>,
    /// When the last pass said what it found, and when one ended.
    pub looked: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// Diagnoses with plans that passes have begun to carry out, by plan.
    pending: VecDeque<(String, Value)>,
}

/// An error group in short.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    pub template: String,
    pub example: String,
    pub severity: String,
    pub signatures: Vec<String>,
    pub sources: Vec<String>,
}

/// What every line has.
#[derive(Debug, Deserialize)]
struct Head {
    t: Timestamp,
    kind: String,
}

/// Whether an event of this kind is the ending of a fix: the word of its outcome.
fn is_ending(kind: &str) -> bool {
    use Outcome::*;
    let all = [Healed, Recovered, RolledBack, Failed, RollbackFailed, Conflict, Unproven, RolledBackByOperator];
    all.iter().any(|outcome| outcome.word() == kind)
}

impl Past {
    /// Takes in one more line of the event log.
    pub fn take(&mut self, line: &str) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        let Ok(Head { t, kind }) = Head::deserialize(&event) else { return };
        match kind.as_str() {
            "errors" => self.take_errors(t, &event),
            "pass" => self.looked = Some(t),
            "pass_ended" | "pass_failed" => {
                self.ended = Some(t);
                self.fix = self.fix.take().and_then(|fix| fix.after_pass(&event));
            }
            "fixing" => self.take_fixing(t, &event),
            _ => {}
        }
        if let Some(fix) = &mut self.fix
            && fix.take(t, &kind, &event)
        {
            self.fix = None;
        }
        if let Some(item) = Item::of(t, &kind, &event, |plan| self.diagnosis_of(plan)) {
            self.items.push_back(item);
            while self.items.len() > MOST_ITEMS {
                self.items.pop_front();
            }
        }
    }

    fn take_fixing(&mut self, t: Timestamp, event: &Value) {
        let Some(plan) = event["plan_id"].as_str() else { return };
        self.pending.retain(|(id, _)| id != plan);
        self.pending.push_back((plan.to_owned(), event["diagnosis"].clone()));
        while self.pending.len() > MOST_PENDING {
            self.pending.pop_front();
        }
        self.fix = Some(Fix::new(t, plan, event));
    }

    fn diagnosis_of(&self, plan: &str) -> Option<&Value> {
        self.pending.iter().rev().find(|(id, _)| id == plan).map(|(_, diagnosis)| diagnosis)
    }

    fn take_errors(&mut self, t: Timestamp, event: &Value) {
        let Some(id) = event["group"].as_str() else { return };
        let known = self.groups.len() < MOST_GROUPS || self.groups.contains_key(id);
        let id = if known { id } else { OTHER_GROUPS };
        if known {
            let texts = |key: &str| -> Vec<String> {
                event[key].as_array().into_iter().flatten().filter_map(|v| Some(v.as_str()?.to_owned())).collect()
            };
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            let group = Group {
                template: text("template"),
                example: text("example"),
                severity: text("severity"),
                signatures: texts("signatures"),
                sources: texts("sources"),
            };
            self.groups.insert(id.to_owned(), group);
        }
        let hour = t.as_second().div_euclid(3600) * 3600;
        let count = event["count"].as_u64().unwrap_or(0);
        *self.errors.entry(hour).or_default().entry(id.to_owned()).or_default() += count;
    }

    /// Whether a pass has looked and not ended: as far as can be told from the log of one that may have been killed.
    pub fn is_running(&self, now: Timestamp) -> bool {
        let since = self.looked.filter(|looked| self.ended.is_none_or(|ended| ended < *looked));
        since.is_some_and(|since| now.as_second().saturating_sub(since.as_second()) < LONGEST_PASS_S)
    }

    /// Whether an operator has undone this fix since.
    pub fn is_undone(&self, fix: &Item) -> bool {
        self.items.iter().any(|item| item.kind == "rolled_back_by_operator" && item.fix_id == fix.fix_id)
    }

    /// When a fix for this was kept, if that is the last that was tried for it.
    pub fn mended(&self, issue_type: &str, component: &str) -> Option<Timestamp> {
        let is_of = |item: &&Item| {
            item.issue_type.as_deref() == Some(issue_type) && item.component.as_deref() == Some(component)
        };
        let last = self.items.iter().rev().find(is_of)?;
        (last.kind == "healed" && !self.is_undone(last)).then_some(last.t)
    }

    /// Forgets what is older.
    pub fn forget_before(&mut self, limit: Timestamp) {
        self.errors = self.errors.split_off(&(limit.as_second() - 3600));
        while self.items.front().is_some_and(|item| item.t < limit) {
            self.items.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
