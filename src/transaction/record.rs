//! The terminal record of a fix: the knowledge base, the attempt's end, the hold where a human is needed.

use crate::attempts::{self, Line};
use crate::host::{clock, files};
use crate::learn;
use crate::model::{FileHash, Outcome, Record, Verdict, VerdictKind};
use crate::transaction::Ground;
use crate::transaction::journal::{Intent, Phase};
use anyhow::Result;
use jiff::Timestamp;

/// Writes it, unless a pass that was killed here has already done so.
///
/// # Errors
/// When it cannot be written: the transaction then stays open and the next pass writes it.
pub fn write(
    outcome: Outcome,
    why: &str,
    verdict: Option<&Verdict>,
    intent: &Intent,
    phases: &[Phase],
    ground: &mut Ground,
) -> Result<()> {
    let now = clock::moment();
    let knowledge_base = ground.dir.knowledge_base();
    if learn::has_record(knowledge_base, &intent.fix_id)? {
        // It was read, so it is in memory; whether it is on the disk only this says.
        files::sync(knowledge_base)?;
    } else {
        learn::append(knowledge_base, &record(outcome, why, verdict, intent, phases, now.t))?;
    }
    if needs_human(outcome) {
        let hold = Line::Hold {
            at: now.clone(),
            rule: intent.plan.rule.clone(),
            target: intent.plan.target.clone(),
            reason: format!("{} of {}", outcome.word(), intent.fix_id),
        };
        attempts::append(&ground.dir.attempts(), &hold)?;
    }
    let end = Line::End {
        at: now,
        fix: intent.fix_id.clone(),
        outcome,
        interrupted: verdict.is_some_and(|v| v.kind == VerdictKind::Interrupted),
        files: left(outcome, intent),
    };
    attempts::append(&ground.dir.attempts(), &end)?;
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
    let now = clock::moment();
    let undone = &intent.reason;
    // A conflict leaves the fix as it was: nothing is to be said of it.
    let verdict = Outcome::RolledBackByOperator.word();
    let knowledge_base = ground.dir.knowledge_base();
    if outcome != Outcome::Conflict {
        if learn::has_verdict(knowledge_base, undone, verdict)? {
            files::sync(knowledge_base)?;
        } else {
            learn::append_verdict(knowledge_base, clock::to_second(now.t), undone, verdict)?;
        }
    }
    let hold = Line::Hold {
        at: now.clone(),
        rule: intent.plan.rule.clone(),
        target: intent.plan.target.clone(),
        reason: format!("{} of {undone}", outcome.word()),
    };
    attempts::append(&ground.dir.attempts(), &hold)?;
    let files = if outcome == Outcome::Conflict { Vec::new() } else { intent.leaves(false) };
    attempts::append(&ground.dir.attempts(), &Line::Rollback { at: now, fix: undone.clone(), outcome, files })?;
    ground.tell.event(
        outcome.word(),
        serde_json::json!({ "fix_id": undone, "rule": intent.plan.rule, "target": intent.plan.target,
            "fix_type": intent.plan.fix_type, "component": intent.plan.component, "backup_id": intent.restores, "why": why }),
    );
    Ok(())
}

/// What a fix left in its files, where that is not what it was charged with.
fn left(outcome: Outcome, intent: &Intent) -> Vec<FileHash> {
    match outcome {
        Outcome::RolledBack | Outcome::RollbackFailed | Outcome::RolledBackByOperator => intent.leaves(true),
        _ => Vec::new(),
    }
}

/// Endings after which no fix of this rule touches this target before a human has looked.
fn needs_human(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Conflict | Outcome::RollbackFailed | Outcome::RolledBackByOperator)
}

/// When the last step was done, and when it was judged. `now` where that is not written down.
fn moments(phases: &[Phase], now: Timestamp) -> (Option<Timestamp>, Timestamp) {
    let undoing = phases.iter().position(|p| matches!(p, Phase::Undoing { .. })).unwrap_or(phases.len());
    let applied = phases.iter().take(undoing).rev().find_map(|p| match p {
        Phase::Edited { t } | Phase::Restarted { t } => Some(*t),
        _ => None,
    });
    let judged = phases.iter().find_map(|p| match p {
        Phase::Kept { t, .. } | Phase::Undoing { t, .. } => Some(*t),
        _ => None,
    });
    (applied, judged.unwrap_or(now))
}

fn ms(from: Timestamp, to: Timestamp) -> Option<u64> {
    u64::try_from(clock::between(from, to).as_millis()).ok()
}

fn record(
    outcome: Outcome,
    why: &str,
    verdict: Option<&Verdict>,
    intent: &Intent,
    phases: &[Phase],
    now: Timestamp,
) -> Record {
    let plan = &intent.plan;
    let (applied, judged) = moments(phases, now);
    let watched = verdict.filter(|v| v.kind != VerdictKind::Interrupted);
    Record {
        timestamp: clock::to_second(now),
        issue_type: plan.issue_type.clone(),
        fix_type: plan.fix_type.clone(),
        original_confidence: plan.original_confidence,
        result_status: outcome.word().to_owned(),
        validation_status: verdict.map_or("not_validated", |v| v.kind.word()).to_owned(),
        success: outcome == Outcome::Healed,
        error_count_after: verdict.map_or(0, |v| v.errors_after),
        v: Some(learn::RECORD_VERSION),
        id: Some(intent.fix_id.clone()),
        rule: Some(plan.rule.clone()),
        target: Some(plan.target.clone()),
        confidence: Some(plan.confidence),
        error_count_before: Some(plan.error_count_before),
        backup_id: intent.backup_id.clone(),
        duration_ms: ms(intent.started.t, now),
        judged_on: Some(why.to_owned()),
        chance_of_luck: watched.and_then(|v| v.chance_of_luck),
        detect_ms: intent.onset.detect_ms,
        diagnose_ms: intent.onset.diagnose_ms,
        apply_ms: applied.and_then(|applied| ms(intent.started.t, applied)),
        validate_ms: watched.and(applied).and_then(|applied| ms(applied, judged)),
    }
}
