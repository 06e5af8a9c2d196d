//! One fix as it is made: the steps that were told so far.

use crate::past::is_ending;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// A fix whose end has not been told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fix {
    pub began: Timestamp,
    pub plan_id: String,
    /// `None` until it is charged and journaled.
    pub fix_id: Option<String>,
    pub backup_id: Option<String>,
    pub run: Option<String>,
    /// What is mended, and the plan: the body of a diagnosis, with `diff` and `steps`.
    pub diagnosis: Value,
    /// In their order.
    pub told: Vec<Told>,
    pub wait: Option<Wait>,
    /// Its pass was stopped or killed: the next one judges it.
    pub left_open: bool,
}

/// One thing that was told of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    pub t: Timestamp,
    /// `backup`, `edited`, `restarted`, `validating`, ...
    pub kind: String,
    /// One line for people.
    pub text: String,
}

/// How the watching stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wait {
    pub t: Timestamp,
    pub watched: String,
    pub errors: u64,
    /// Before the window: nothing counts yet.
    pub settling: bool,
    /// Seconds left at `t`.
    pub left_s: u64,
}

impl Wait {
    /// What is left at this time.
    pub fn left_at(&self, now: Timestamp) -> u64 {
        let since = now.as_second().saturating_sub(self.t.as_second());
        self.left_s.saturating_sub(u64::try_from(since).unwrap_or(0))
    }
}

/// More are not kept: a fix has a handful of steps.
const MOST_TOLD: usize = 100;

impl Fix {
    pub(super) fn new(t: Timestamp, plan: &str, event: &Value) -> Fix {
        Fix {
            began: t,
            plan_id: plan.to_owned(),
            fix_id: None,
            backup_id: None,
            run: event["run"].as_str().map(str::to_owned),
            diagnosis: event["diagnosis"].clone(),
            told: Vec::new(),
            wait: None,
            left_open: false,
        }
    }

    /// Takes in what was told since; true when that was its end.
    pub(super) fn take(&mut self, t: Timestamp, kind: &str, event: &Value) -> bool {
        let text = |key: &str| event[key].as_str().unwrap_or_default();
        let said = match kind {
            "begun" => {
                self.fix_id = event["fix_id"].as_str().map(str::to_owned);
                self.backup_id = event["backup_id"].as_str().map(str::to_owned);
                return false;
            }
            "progress" => {
                self.wait = Some(Wait {
                    t,
                    watched: text("watched").to_owned(),
                    errors: event["errors"].as_u64().unwrap_or(0),
                    settling: event["settling"].as_bool().unwrap_or(false),
                    left_s: event["left_s"].as_u64().unwrap_or(0),
                });
                return false;
            }
            "validating" => {
                let seconds = event["seconds"].as_f64().unwrap_or(0.0).ceil() as u64;
                let watched = self.wait.take().map(|w| w.watched).unwrap_or_default();
                self.wait = Some(Wait { t, watched, errors: 0, settling: false, left_s: seconds });
                format!("watching for {seconds}s")
            }
            "backup" => format!("backup {}", text("backup_id")),
            "edited" => {
                let edit = &event["edit"];
                let text = |key: &str| edit[key].as_str().unwrap_or_default();
                let line = edit["line"].as_u64().unwrap_or(0);
                format!("edited {}:{line}: {} -> {}", text("path"), text("old"), text("new"))
            }
            "restarted" => format!("restarted {}", text("target")),
            "acting" | "acted" | "undone" | "not_undone" => text("said").to_owned(),
            "kept" => "kept".to_owned(),
            "rolling_back" => {
                self.wait = None;
                format!("rolling back: {}", text("why"))
            }
            "recovering" => {
                self.left_open = false;
                "taken up again by another pass".to_owned()
            }
            "called_off" => return event["plan_id"].as_str() == Some(&self.plan_id),
            // One that had not begun to change anything when its pass was killed is closed as held.
            _ => return (is_ending(kind) || kind == "held") && self.is_mine(event),
        };
        if self.told.len() < MOST_TOLD {
            self.told.push(Told { t, kind: kind.to_owned(), text: said });
        }
        false
    }

    /// `recovered` comes before there is an id.
    fn is_mine(&self, event: &Value) -> bool {
        let id = event["fix_id"].as_str();
        id.is_none() || self.fix_id.is_none() || id == self.fix_id.as_deref()
    }

    /// What is left of it when a pass has ended: one that had begun goes on with the next.
    pub(super) fn after_pass(mut self, event: &Value) -> Option<Fix> {
        let other =
            self.run.is_some() && event["run"].as_str().is_some() && event["run"].as_str() != self.run.as_deref();
        if self.fix_id.is_none() && !other {
            return None;
        }
        self.left_open = true;
        Some(self)
    }
}
