//! JSON bodies: what `--json` prints is what the API gives, wrapper included. Keys are only ever added.

use crate::backup::Metadata;
use crate::gate::Decision;
use crate::learn::{Knowledge, Spread, wilson};
use crate::model::{CheckKind, CheckResult, LogReport, Tries};
use crate::pass::{Judged, Report};
use crate::state;
use crate::transaction::{Ended, Ending};
use serde_json::{Map, Value, json};

/// `{"status":"success","data":...}`.
pub fn success(data: Value) -> Value {
    json!({ "status": "success", "data": data })
}

/// `{"status":"error","message":...,"code":N}`.
pub fn error(message: &str, code: u8) -> Value {
    json!({ "status": "error", "message": message, "code": code })
}

/// `overall_status` and one entry per check by name, its metrics as keys of their own.
pub fn health(checks: &[CheckResult]) -> Value {
    let by_name: Map<String, Value> = checks.iter().map(|c| (c.name.clone(), check(c))).collect();
    json!({ "overall_status": state::overall(checks).word(), "checks": by_name })
}

fn check(check: &CheckResult) -> Value {
    let mut body = Map::new();
    body.insert("status".into(), check.status.word().into());
    body.insert("kind".into(), check.kind.word().into());
    body.insert("message".into(), check.message.clone().into());
    body.insert("duration_ms".into(), rounded(check.duration_ms));
    body.insert("depends_on".into(), check.depends_on.clone().into());
    body.insert("connected".into(), check.connected.into());
    for metric in &check.metrics {
        body.entry(metric.name.clone()).or_insert_with(|| rounded(metric.value));
    }
    body.insert("metrics".into(), serde_json::to_value(&check.metrics).unwrap_or_default());
    if check.kind == CheckKind::Docker {
        body.insert("containers".into(), serde_json::to_value(&check.containers).unwrap_or_default());
    }
    body.into()
}

/// Whole numbers stay whole; others keep two decimals.
pub(super) fn rounded(value: f64) -> Value {
    let value = (value * 100.0).round() / 100.0;
    if value.fract() == 0.0 && value.abs() < 9e15 { Value::from(value as i64) } else { Value::from(value) }
}

/// What given files said, and the causes behind it.
pub fn files(mut report: LogReport, causes: &[Judged]) -> Value {
    // Hundreds of long examples need not be there twice.
    let groups = std::mem::take(&mut report.groups);
    let mut body = logs(&report);
    if let Value::Object(body) = &mut body {
        let group = |group| serde_json::to_value(group).unwrap_or_default();
        body.insert("groups".into(), groups.into_iter().map(group).collect());
        body.insert("diagnoses".into(), causes.iter().map(judged).collect());
    }
    body
}

/// What the logs said.
pub fn logs(logs: &LogReport) -> Value {
    json!({
        "events": logs.events,
        "bytes": logs.bytes,
        "by_signature": logs.matched_lines,
        "events_by_signature": logs.by_signature,
        "groups": logs.groups,
        "gaps": logs.gaps,
        "problems": logs.problems,
    })
}

/// One diagnosis with the gate's word on it.
pub fn judged(judged: &Judged) -> Value {
    let (decision, reason, hold, plan) = match &judged.decision {
        None => ("no_rule", Value::Null, Value::Null, Value::Null),
        Some(Decision::Act(permit)) => {
            ("act", Value::Null, Value::Null, serde_json::to_value(permit.plan()).unwrap_or_default())
        }
        Some(Decision::Hold { reason, plan }) => {
            ("hold", reason.to_string().into(), reason.word().into(), serde_json::to_value(plan).unwrap_or_default())
        }
    };
    let mut body = serde_json::to_value(&judged.diagnosis).unwrap_or_default();
    if let Value::Object(body) = &mut body {
        body.insert("decision".into(), decision.into());
        body.insert("hold".into(), hold);
        body.insert("hold_reason".into(), reason);
        body.insert("plan".into(), plan);
    }
    body
}

/// One whole pass: the shape of `trigger-check`, and everything else.
pub fn pass(report: &Report) -> Value {
    json!({
        "status": state::overall(&report.checks).word(),
        "issues": report.analysis.findings.len(),
        "timestamp": crate::host::clock::to_second(report.started).to_string(),
        "duration_ms": u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX),
        "dry_run": report.dry_run,
        "health": health(&report.checks),
        "logs": logs(&report.logs),
        "findings": report.analysis.findings,
        "diagnoses": report.judged.iter().map(judged).collect::<Vec<_>>(),
        "competing": report.analysis.competing,
        "not_fired": report.analysis.not_fired,
        "fix": report.ended.as_ref().map(ended),
        "recovered_transaction": report.recovered.as_ref().map(ended),
        "recovered": report.recovered_by_itself.as_ref().map(|p| p.component.clone()),
        "blocked": report.blocked,
        "problems": report.problems,
    })
}

fn ended(ended: &Ended) -> Value {
    match ended {
        Ended::Closed(e) => ending(e),
        Ended::StillOpen(e) => json!({
            "outcome": "still_open",
            "fix_id": e.fix_id,
            "backup_id": e.backup_id,
            "why": e.why,
            "verdict": null,
            "plan": e.plan,
            "open": true,
        }),
        Ended::Interrupted(plan) => json!({ "outcome": "interrupted", "plan": plan, "open": true }),
    }
}

fn ending(ending: &Ending) -> Value {
    json!({
        "outcome": ending.outcome.word(),
        "fix_id": ending.fix_id,
        "backup_id": ending.backup_id,
        "why": ending.why,
        "verdict": ending.verdict,
        "plan": ending.plan,
        "open": false,
    })
}

/// One backup as the API lists it.
pub fn backup(metadata: &Metadata) -> Value {
    json!({
        "backup_id": metadata.backup_id,
        "timestamp": metadata.timestamp,
        "files": metadata.files.iter().map(|f| f.path.display().to_string()).collect::<Vec<_>>(),
        "metadata": {
            "reason": metadata.reason,
            "confidence": metadata.confidence,
            "rule": metadata.rule,
            "fix_type": metadata.fix_type,
            "fix_id": metadata.fix_id,
            "target": metadata.target,
            "component": metadata.component,
            "created": metadata.created.to_string(),
            "restarts": metadata.restarts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "steps": metadata.steps.iter().map(|step| step.words()).collect::<Vec<_>>(),
        },
    })
}

fn rate(tries: Tries) -> Value {
    tries.success_rate().map_or(Value::Null, rounded)
}

/// The knowledge base in figures.
pub fn stats(knowledge: &Knowledge) -> Value {
    let tries = |t: &Tries| json!({ "total": t.total, "successes": t.successes, "success_rate": rate(*t) });
    let by_type: Map<String, Value> = knowledge.by_type.iter().map(|(name, t)| (name.clone(), tries(t))).collect();
    let reliability: Vec<Value> = knowledge
        .reliability
        .iter()
        .map(|(low, t)| {
            json!({ "from": low, "to": low + 5, "total": t.total, "successes": t.successes, "success_rate": rate(*t),
            "interval": wilson(t.successes, t.total).map(|(low, high)| [rounded(low), rounded(high)]) })
        })
        .collect();
    let spread = |s: &Spread| json!({ "count": s.count, "median_ms": s.quantile(0.5), "p90_ms": s.quantile(0.9) });
    let unproven = knowledge
        .newest_unproven
        .iter()
        .rev()
        .map(|u| json!({ "id": u.id, "timestamp": u.timestamp, "fix_type": u.fix_type, "target": u.target }));
    let self_recovery: Map<String, Value> = knowledge
        .self_recovery
        .iter()
        .map(|(name, c)| {
            let rate = c.rate().map_or(Value::Null, rounded);
            (name.clone(), json!({ "seen": c.seen, "cleared": c.cleared, "rate": rate }))
        })
        .collect();
    json!({
        "total_fixes": knowledge.fixes,
        "decided": knowledge.decided.total,
        "success_rate": rate(knowledge.decided),
        "by_type": by_type,
        "by_result": knowledge.by_result,
        "reliability": reliability,
        "timings": {
            "detect": spread(&knowledge.timings.detect),
            "diagnose": spread(&knowledge.timings.diagnose),
            "apply": spread(&knowledge.timings.apply),
            "validate": spread(&knowledge.timings.validate),
        },
        "durable": knowledge.durable,
        "recurred": knowledge.recurred,
        "rolled_back_later": knowledge.rolled_back_later,
        "unproven": knowledge.unproven,
        "newest_unproven": unproven.collect::<Vec<_>>(),
        "self_recovery": self_recovery,
        "last_updated": knowledge.last_updated.map(|t| crate::host::clock::to_second(t).to_string()),
        "skipped_lines": knowledge.skipped,
    })
}
