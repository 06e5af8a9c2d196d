//! The terminal record of a fix: the knowledge base, the attempt's end, the hold where a human is needed.

use crate::attempts::{self, Line};
use crate::host::clock;
use crate::learn;
use crate::model::{Outcome, Record, Verdict, VerdictKind};
use crate::transaction::Ground;
use crate::transaction::journal::Intent;
use anyhow::Result;

/// Writes it, unless a pass that was killed here has already done so.
///
/// # Errors
/// When it cannot be written: the transaction then stays open and the next pass writes it.
pub fn write(
    outcome: Outcome,
    why: &str,
    verdict: Option<&Verdict>,
    intent: &Intent,
    ground: &mut Ground,
) -> Result<()> {
    let now = clock::now();
    let knowledge_base = ground.dir.knowledge_base();
    if !learn::has_record(knowledge_base, &intent.fix_id)? {
        learn::append(knowledge_base, &record(outcome, why, verdict, intent, now))?;
    }
    if needs_human(outcome) {
        let hold = Line::Hold {
            t: now,
            rule: intent.plan.rule.clone(),
            target: intent.plan.target.clone(),
            reason: format!("{} of {}", outcome.word(), intent.fix_id),
        };
        attempts::append(&ground.dir.attempts(), &hold)?;
    }
    attempts::append(&ground.dir.attempts(), &Line::End { t: now, fix: intent.fix_id.clone(), outcome })?;
    ground.tell.event(
        outcome.word(),
        serde_json::json!({
            "fix_id": intent.fix_id,
            "rule": intent.plan.rule,
            "issue_type": intent.plan.issue_type,
            "fix_type": intent.plan.fix_type,
            "component": intent.plan.component,
            "target": intent.plan.target,
            "confidence": intent.plan.confidence,
            "backup_id": intent.backup_id,
            "plan": intent.plan,
            "verdict": verdict,
            "why": why,
        }),
    );
    Ok(())
}

/// Writes down that an operator undid a fix: a verdict on it, a hold on its target, the end of the rollback.
///
/// # Errors
/// When it cannot be written: the rollback then stays open and the next pass writes it.
pub fn write_rollback(outcome: Outcome, why: &str, intent: &Intent, ground: &mut Ground) -> Result<()> {
    let now = clock::now();
    let undone = &intent.reason;
    if !learn::has_verdict(ground.dir.knowledge_base(), undone, outcome.word())? {
        learn::append_verdict(ground.dir.knowledge_base(), clock::to_second(now), undone, outcome.word())?;
    }
    let hold = Line::Hold {
        t: now,
        rule: intent.plan.rule.clone(),
        target: intent.plan.target.clone(),
        reason: format!("{} of {undone}", outcome.word()),
    };
    attempts::append(&ground.dir.attempts(), &hold)?;
    ground.tell.event(
        outcome.word(),
        serde_json::json!({ "fix_id": undone, "rule": intent.plan.rule, "target": intent.plan.target,
            "component": intent.plan.component, "backup_id": intent.restores, "why": why }),
    );
    Ok(())
}

/// Endings after which no fix of this rule touches this target before a human has looked.
fn needs_human(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Conflict | Outcome::RollbackFailed | Outcome::RolledBackByOperator)
}

fn record(outcome: Outcome, why: &str, verdict: Option<&Verdict>, intent: &Intent, now: jiff::Timestamp) -> Record {
    let plan = &intent.plan;
    let judged = verdict.map_or("not_validated", |v| match v.kind {
        VerdictKind::Success => "passed",
        VerdictKind::Failure => "failed",
        VerdictKind::NotEnough => "not_enough",
    });
    Record {
        timestamp: clock::to_second(now),
        issue_type: plan.issue_type.clone(),
        fix_type: plan.fix_type.clone(),
        original_confidence: plan.original_confidence,
        result_status: outcome.word().to_owned(),
        validation_status: judged.to_owned(),
        success: outcome == Outcome::Healed,
        error_count_after: verdict.map_or(0, |v| v.errors_after),
        v: Some(learn::RECORD_VERSION),
        id: Some(intent.fix_id.clone()),
        rule: Some(plan.rule.clone()),
        target: Some(plan.target.clone()),
        confidence: Some(plan.confidence),
        error_count_before: Some(plan.error_count_before),
        backup_id: intent.backup_id.clone(),
        duration_ms: u64::try_from(clock::between(intent.started, now).as_millis()).ok(),
        judged_on: Some(why.to_owned()),
    }
}
