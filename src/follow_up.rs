//! Later looks at a fix that was kept: does it hold after an hour, did it last a day, or did its problem come back?
//!
//! Pure: a small index of the fixes that are still followed, and what is to be said of one now. The index is kept in
//! `state.json` and made anew from `attempts.jsonl` whenever that has another length than the index knows: a pass that was
//! killed, a lost index and an operator's rollback need no care of their own. May not live here: writing anything.

use crate::attempts::Attempts;
use crate::model::{Analysis, LaterVerdict, Moment, Outcome};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The first look after the verdict, and the last.
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A fix that nobody has looked at for so long is not followed any more.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The fixes that are followed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowUps {
    /// Length of the `attempts.jsonl` that it was made from.
    pub made_from: u64,
    pub open: Vec<FollowUp>,
}

/// A fix that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FollowUp {
    pub fix: String,
    pub rule: String,
    pub fix_type: String,
    pub target: String,
    pub component: String,
    pub judged: Moment,
    /// The look after an hour is done.
    pub held: bool,
}

impl FollowUps {
    /// Every fix that is still to be looked at.
    pub fn of(attempts: &Attempts, made_from: u64, now: &Moment) -> FollowUps {
        let open = attempts.fixes.iter().filter_map(|attempt| {
            let (judged, _) = attempt.ended.as_ref()?;
            let kept = matches!(attempts.outcome_of(&attempt.fix), Some(Outcome::Healed | Outcome::Unproven));
            let later = attempts.later(&attempt.fix);
            let is_open = matches!(later, None | Some(LaterVerdict::Holding));
            (kept && is_open && now.since(judged) < LONGEST).then(|| FollowUp {
                fix: attempt.fix.clone(),
                rule: attempt.rule.clone(),
                fix_type: attempt.fix_type.clone(),
                target: attempt.target.clone(),
                component: attempt.component.clone(),
                judged: judged.clone(),
                held: later.is_some(),
            })
        });
        FollowUps { made_from, open: open.collect() }
    }
}

impl FollowUp {
    /// What is to be said of it now. Durable is only what held at an earlier look: a host that was off for a day has seen
    /// nothing.
    pub fn verdict(&self, analysis: &Analysis, now: &Moment) -> Option<LaterVerdict> {
        let age = now.since(&self.judged);
        match self.held {
            _ if self.is_back(analysis) => Some(LaterVerdict::Recurred),
            false if age >= HOUR => Some(LaterVerdict::Holding),
            true if age >= DAY => Some(LaterVerdict::Durable),
            _ => None,
        }
    }

    /// Its rule fired again on the same component, and not as the symptom of something else. Events from before the
    /// verdict are no fresh evidence, so the rule does not see them.
    fn is_back(&self, analysis: &Analysis) -> bool {
        analysis.diagnoses.iter().chain(&analysis.competing).any(|d| {
            d.symptom_of.is_none() && d.rule.as_ref() == Some(&self.rule) && d.trigger.component == self.component
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempts::{self, Line};

    fn at(second: u64) -> Moment {
        Moment { t: jiff::Timestamp::from_second(second as i64).unwrap(), boot: "b".into(), up: second as f64 }
    }

    fn followed(lines: &[Line], now: u64) -> Vec<FollowUp> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attempts.jsonl");
        lines.iter().for_each(|line| attempts::append(&path, line).unwrap());
        FollowUps::of(&attempts::read(&path).unwrap(), 1, &at(now)).open
    }

    fn ended(outcome: Outcome) -> Vec<Line> {
        let charge: Line = serde_json::from_value(serde_json::json!({
            "kind": "charge", "t": "1970-01-01T00:00:10Z", "boot": "b", "up": 10.0, "fix": "fix_1", "rule": "r",
            "fix_type": "restart", "target": "container:a", "component": "container:a",
        }))
        .unwrap();
        let end = Line::End { at: at(100), fix: "fix_1".into(), outcome, interrupted: false, files: Vec::new() };
        vec![charge, end]
    }

    fn later(second: u64, verdict: LaterVerdict) -> Line {
        Line::Later { at: at(second), fix: "fix_1".into(), verdict }
    }

    #[test]
    fn a_kept_fix_is_followed_until_it_is_durable_or_its_problem_is_back() {
        let check = |outcome: Outcome, more: &[Line], now: u64, open: bool| {
            let lines = [ended(outcome), more.to_vec()].concat();
            assert_eq!(followed(&lines, now).len(), usize::from(open), "{outcome:?} {more:?}");
        };
        check(Outcome::Healed, &[], 200, true);
        check(Outcome::Unproven, &[], 200, true);
        check(Outcome::RolledBack, &[], 200, false);
        check(Outcome::Failed, &[], 200, false);
        check(Outcome::Healed, &[later(4000, LaterVerdict::Holding)], 5000, true);
        check(Outcome::Healed, &[later(4000, LaterVerdict::Recurred)], 5000, false);
        check(Outcome::Healed, &[later(4000, LaterVerdict::Durable)], 5000, false);
        check(Outcome::Healed, &[], 31 * 86_400, false);
        let undone = Line::Rollback {
            at: at(300),
            fix: "fix_1".into(),
            outcome: Outcome::RolledBackByOperator,
            files: Vec::new(),
        };
        check(Outcome::Healed, &[undone], 400, false);
    }

    #[test]
    fn what_is_said_depends_on_the_time_and_on_whether_the_problem_is_back() {
        let diagnosis = |component: &str, symptom_of: Option<&str>| crate::model::Diagnosis {
            rule: Some("r".into()),
            issue_type: "container_crash".into(),
            cause: String::new(),
            severity: crate::model::Status::Critical,
            trigger: crate::model::Trigger {
                seen: String::new(),
                count: 1,
                rate_per_second: None,
                component: component.into(),
                example: None,
            },
            affected: Vec::new(),
            addends: Vec::new(),
            signals: Vec::new(),
            candidates: Vec::new(),
            symptoms: Vec::new(),
            began: None,
            flapping: false,
            original_confidence: 80.0,
            confidence: 80,
            uncorroborated: Vec::new(),
            symptom_of: symptom_of.map(str::to_owned),
            category: None,
            estimated_seconds: None,
            fingerprint: String::new(),
        };
        let check = |held: bool, age: u64, fired: Option<(&str, Option<&str>)>, said: Option<LaterVerdict>| {
            let mut follow_up = followed(&ended(Outcome::Healed), 200).remove(0);
            follow_up.held = held;
            let diagnoses = fired.map(|(component, symptom_of)| diagnosis(component, symptom_of));
            let analysis = Analysis { diagnoses: diagnoses.into_iter().collect(), ..Analysis::default() };
            assert_eq!(follow_up.verdict(&analysis, &at(100 + age)), said, "{held} after {age} s, {fired:?}");
        };
        use LaterVerdict::{Durable, Holding, Recurred};
        check(false, 3599, None, None);
        check(false, 3600, None, Some(Holding));
        check(true, 3600, None, None);
        check(true, 86_399, None, None);
        check(true, 86_400, None, Some(Durable));
        // Nobody has looked in between.
        check(false, 86_400, None, Some(Holding));
        check(false, 10, Some(("container:a", None)), Some(Recurred));
        check(true, 80_000, Some(("container:a", None)), Some(Recurred));
        check(true, 80_000, Some(("container:b", None)), None);
        check(true, 80_000, Some(("container:a", Some("database"))), None);
    }
}
