//! When each rule last matched. A rule that goes silent while its log goes on may have been left behind by a new format
//! of the log: that is told, once.
//!
//! Pure: what was remembered and what a pass read in, what is remembered next out.

use crate::config::{Engine, LogTrigger, Rule, When};
use crate::model::{Analysis, LogReport, Tally};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is remembered of one rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Matched {
    /// A log trigger: the newest event of its signature, whether or not they were enough; else when it last fired.
    pub last: Option<Timestamp>,
    /// When its log was last seen to grow.
    pub log_grew: Option<Timestamp>,
    /// Its silence has been told.
    pub told: bool,
}

/// By rule.
pub type Matches = BTreeMap<String, Matched>;

/// A rule is silent when its log still grew so long after its last match.
const SILENT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The newest event of a log trigger's signature that is still counted.
pub fn newest(trigger: &LogTrigger, tallies: &[Tally]) -> Option<Timestamp> {
    let own = tallies.iter().filter(|t| t.signature == trigger.signature && trigger.sources.is_match(&t.source));
    let newest = own.filter_map(|t| t.buckets.last_key_value().map(|(second, _)| *second)).max();
    newest.and_then(|second| Timestamp::from_second(second).ok())
}

/// What is remembered after a pass; rules that are configured no more are forgotten.
pub fn update(engine: &Engine, matches: &mut Matches, logs: &LogReport, analysis: &Analysis, now: Timestamp) {
    matches.retain(|name, _| engine.rule(name).is_some());
    for rule in &engine.rules {
        let matched = matches.entry(rule.name.clone()).or_default();
        let seen = match &rule.when {
            When::Log(trigger) => {
                let grows = logs.read.iter().any(|(source, bytes)| *bytes > 0 && trigger.sources.is_match(source));
                matched.log_grew = if grows { Some(now) } else { matched.log_grew };
                newest(trigger, &logs.tallies)
            }
            _ => fired(rule, analysis).then_some(now),
        };
        // What lies in the future (the clock was set back) would outlast every later match.
        let last = matched.last.max(seen).map(|t| t.min(now));
        if last > matched.last {
            matched.told = false;
        }
        matched.last = last;
    }
}

fn fired(rule: &Rule, analysis: &Analysis) -> bool {
    analysis.diagnoses.iter().chain(&analysis.competing).any(|d| d.rule.as_deref() == Some(&rule.name))
}

/// Rules that matched once and are silent although their log is still written, each with a sentence.
pub fn silent<'a>(engine: &'a Engine, matches: &Matches) -> Vec<(&'a str, String)> {
    let silent = |rule: &'a Rule| {
        let When::Log(trigger) = &rule.when else { return None };
        let matched = matches.get(&rule.name)?;
        let (last, grew) = (matched.last?, matched.log_grew?);
        let since = crate::host::clock::to_second(last);
        (grew.duration_since(last) >= SILENT).then(|| {
            let name = &rule.name;
            let why = format!(
                "rule {name} has not matched since {since}, and {} is still written: its log may have changed its format",
                trigger.log
            );
            (name.as_str(), why)
        })
    };
    engine.rules.iter().filter_map(silent).collect()
}

/// Those whose silence was not told yet; it is from now on.
pub fn to_tell(engine: &Engine, matches: &mut Matches) -> Vec<String> {
    let mut new = Vec::new();
    for (name, why) in silent(engine, matches) {
        if let Some(matched) = matches.get_mut(name).filter(|m| !m.told) {
            matched.told = true;
            new.push(why);
        }
    }
    new
}
