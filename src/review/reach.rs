//! Rules that can never fire, or never act, whatever happens. Pure.

use crate::config::{ConfigError, DockerProbe, Document, Engine, Evidence, Mode, Place, Probe, Rule, SignalSpec, When};
use crate::observe::metrics_of;

/// What history may add to a confidence, at most.
const BEST_HISTORY: f64 = 10.0;

pub fn review(engine: &Engine, document: &Document) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for (number, rule) in engine.rules.iter().enumerate() {
        let place = document.rule(number);
        found.extend(never_fires(engine, rule, place));
        found.extend(never_holds(engine, rule, place));
        found.extend(never_sure(engine, rule, place));
    }
    found
}

/// Of the trigger: a container that is never looked at, a metric that is never measured, a value that it never has.
fn never_fires(engine: &Engine, rule: &Rule, place: Place<'_>) -> Option<ConfigError> {
    let when = place.child("when");
    let (key, why, help) = match &rule.when {
        When::Log(log) => ("log", unseen(engine, log.log.strip_prefix("container:")?)?, INCLUDE.to_owned()),
        When::Container { pattern, .. } => ("container", unseen(engine, pattern)?, INCLUDE.to_owned()),
        When::Metric { check, metric, above, below, .. } => out_of_reach(engine, check, metric, *above, *below)?,
        When::Check { .. } => return None,
    };
    Some(when.child(key).problem(&format!("rule `{}` can never fire: {why}", rule.name), &help))
}

const INCLUDE: &str = "add it to `include` of [checks.docker], or correct the name";

/// A container of which neither state nor log is looked at.
fn unseen(engine: &Engine, pattern: &str) -> Option<String> {
    let (_, DockerProbe { include: Some(include), .. }) = engine.docker()? else { return None };
    let is_name = !pattern.contains(['*', '?', '[', '{']);
    (is_name && !include.is_match(pattern))
        .then(|| format!("`include` of [checks.docker] leaves the container {pattern} out"))
}

/// Which key is wrong of a metric's condition, why, and what to do.
fn out_of_reach(
    engine: &Engine,
    check: &str,
    metric: &str,
    above: Option<f64>,
    below: Option<f64>,
) -> Option<(&'static str, String, String)> {
    let probe = &engine.check(check)?.probe;
    if let Some(known) = metrics_of(probe)
        && !known.iter().any(|name| name == metric || (name.ends_with(':') && metric.starts_with(name.as_str())))
    {
        let near = crate::config::closest(metric, known.iter().map(String::as_str));
        let help = near.map_or_else(|| format!("it measures {}", known.join(", ")), |n| format!("did you mean `{n}`?"));
        return Some(("metric", format!("the check `{check}` measures no `{metric}`"), help));
    }
    let of_command = matches!(probe, Probe::Command { .. });
    let is_share = metric.split(':').next().is_some_and(|m| m.ends_with("_percent")) && !of_command;
    if is_share && above.is_some_and(|above| above >= 100.0) {
        return Some(("above", format!("`{metric}` is never above 100"), "write a lower level".to_owned()));
    }
    let is_count = is_share || metric.starts_with("queue_") || metric.ends_with("_ms") || metric == "connections";
    if is_count && !of_command && below.is_some_and(|below| below <= 0.0) {
        return Some(("below", format!("`{metric}` is never below 0"), "write a higher level".to_owned()));
    }
    None
}

/// Of `require` and `evidence`: signals that are never there.
fn never_holds(engine: &Engine, rule: &Rule, place: Place<'_>) -> Vec<ConfigError> {
    let mut found = Vec::new();
    let required = rule.require.iter().enumerate().map(|(n, signal)| ("require", n, signal, "every plan is held"));
    let for_it = |e: &&Evidence| e.add > 0.0;
    let evidence = rule.evidence.iter().enumerate().filter(|(_, e)| for_it(e));
    let evidence = evidence.map(|(n, e)| ("evidence", n, &e.signal, "it never adds anything"));
    for (list, number, signal, so) in required.chain(evidence) {
        let at = place.child(list).item(number);
        let (key, why, help) = match signal {
            SignalSpec::Container { pattern, .. } => match unseen(engine, pattern) {
                Some(why) => ("container", why, INCLUDE.to_owned()),
                None => continue,
            },
            SignalSpec::Metric { check, metric, above, below } => {
                let Some(wrong) = out_of_reach(engine, check, metric, *above, *below) else { continue };
                wrong
            }
            SignalSpec::Log(log) => match log.log.strip_prefix("container:").and_then(|name| unseen(engine, name)) {
                Some(why) => ("log", why, INCLUDE.to_owned()),
                None => continue,
            },
            SignalSpec::Check { .. } => continue,
        };
        found.push(at.child(key).problem(&format!("this signal is never there, so {so}: {why}"), &help));
    }
    found
}

/// A confidence that stays below the threshold whatever speaks for it.
fn never_sure(engine: &Engine, rule: &Rule, place: Place<'_>) -> Option<ConfigError> {
    let asks = engine.mode == Mode::Suggest || rule.mode == Some(Mode::Suggest);
    if rule.fixes.is_empty() || asks {
        return None;
    }
    let evidence: f64 = rule.evidence.iter().map(|e| e.add.max(0.0)).sum();
    let most = (rule.confidence + evidence + BEST_HISTORY).clamp(50.0, 100.0).round();
    let threshold = f64::from(engine.confidence_threshold);
    (most < threshold).then(|| {
        let message = format!(
            "rule `{}` can never act by itself: with all its evidence and the best history its confidence is {most}, below \
             `confidence_threshold` {threshold}",
            rule.name
        );
        place.child("confidence").problem(&message, "raise `confidence`, or write `mode = \"suggest\"` in this rule")
    })
}
