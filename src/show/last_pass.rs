//! What the last pass saw and concluded (`last_pass.json` in the state directory): what `serve` shows where it may not, or
//! need not, look for itself.

use crate::host::clock;
use crate::model::Plan;
use crate::pass::{Judged, Report, worth_telling};
use crate::show::{Output, diagnosis, json};
use serde_json::{Value, json};

/// The whole document; written when the pass has concluded and before it acts.
pub fn document(report: &Report, acting: Option<&Plan>) -> Value {
    json!({
        "t": clock::to_second(report.started).to_string(),
        "acting": acting.map(|plan| &plan.id),
        "checks": report.checks,
        "logs": json::logs(&report.logs),
        "findings": report.analysis.findings,
        "diagnoses": report.judged.iter().map(judged).collect::<Vec<_>>(),
        "not_fired": report.analysis.not_fired,
        "blocked": report.blocked,
    })
}

/// One diagnosis with the gate's word on it, the difference that its plan makes, and whether a human is asked for.
pub fn judged(judged: &Judged) -> Value {
    let mut body = json::judged(judged);
    if let Some(body) = body.as_object_mut() {
        let diff = judged.plan().map(|plan| diagnosis::diffs(plan, &judged.files, &Output::plain()));
        let steps = judged.plan().map(|plan| plan.steps.iter().map(|step| step.words()).collect::<Vec<_>>());
        body.insert("diff".into(), diff.into());
        body.insert("steps".into(), steps.into());
        body.insert("needs_human".into(), judged.hold().is_some_and(worth_telling).into());
    }
    body
}
