//! Causes compete, one incident at a time: a root and everything that is its symptom. May not live here: which causes there
//! are.

use crate::config::{Engine, Rule, When};
use crate::diagnose::symptoms::Graph;
use crate::model::{Analysis, Candidate, Diagnosis, Status, Symptom, Trigger};
use std::cmp::Reverse;

/// Where a rule has named the cause of errors in a log, a built-in one that sees the same from elsewhere is its symptom: that
/// of a check which looks at the log's container, and that of the same words in the log of a server that is well.
pub fn explain(engine: &Engine, graph: &Graph<'_>, candidates: &mut [Diagnosis]) {
    let is_of_log = |d: &&Diagnosis| {
        let rule = d.rule.as_deref().and_then(|name| engine.rule(name));
        d.symptom_of.is_none() && rule.is_some_and(|rule| matches!(rule.when, When::Log(_)))
    };
    let named: Vec<Trigger> = candidates.iter().filter(is_of_log).map(|d| d.trigger.clone()).collect();
    for candidate in candidates.iter_mut().filter(|d| d.rule.is_none() && d.symptom_of.is_none()) {
        let own = &candidate.trigger;
        let check_of = graph.container_that_answers(&own.component);
        let is_server = graph.is_well_server(&own.component);
        let sees_the_same = |named: &&Trigger| {
            named.component != own.component
                && (check_of.as_ref() == Some(&named.component) || is_server && tells_of(own, named))
        };
        candidate.symptom_of = named.iter().find(sees_the_same).map(|named| named.component.clone());
    }
}

/// Shorter words are in too many lines.
const FEWEST_WORDS: usize = 12;

/// Whether a server's line tells what a client's line says it was answered.
fn tells_of(server: &Trigger, client: &Trigger) -> bool {
    let words =
        |line: &str| ["ERROR:", "FATAL:"].iter().find_map(|mark| Some(line.rsplit_once(mark)?.1.trim().to_owned()));
    let said = server.example.as_deref().and_then(words).filter(|said| said.len() >= FEWEST_WORDS);
    said.zip(client.example.as_ref()).is_some_and(|(said, heard)| heard.contains(&said))
}

/// Chooses one diagnosis per incident and one per symptom of it, and shows with each root all that were in the running.
pub fn compete(engine: &Engine, mut candidates: Vec<Diagnosis>, analysis: &mut Analysis) {
    candidates.sort_by_cached_key(|c| rank(engine, c));
    for candidate in candidates {
        let same =
            |d: &Diagnosis| d.trigger.component == candidate.trigger.component && d.symptom_of == candidate.symptom_of;
        if analysis.diagnoses.iter().any(same) {
            analysis.competing.push(candidate);
        } else {
            analysis.diagnoses.push(candidate);
        }
    }
    analysis.diagnoses.sort_by_key(order);
    let of_root: Vec<_> =
        analysis.diagnoses.iter().map(|d| (in_the_running(d, analysis), symptoms(d, analysis))).collect();
    for (diagnosis, (candidates, symptoms)) in analysis.diagnoses.iter_mut().zip(of_root) {
        diagnosis.candidates = candidates;
        diagnosis.symptoms = symptoms;
    }
}

/// Root before symptom, critical before warning, oldest first; what is as old by confidence.
fn order(d: &Diagnosis) -> (bool, Reverse<Status>, i64, Reverse<u8>) {
    let began = d.began.map_or(i64::MAX, |t| t.as_second());
    (d.symptom_of.is_some(), Reverse(d.severity), began, Reverse(d.confidence))
}

/// Within one component: the operator's rules before built-in causes, then the most confident, then the most specific.
/// Of built-in causes the most severe first: a crash is not hidden behind what the crashed one had logged.
fn rank(engine: &Engine, d: &Diagnosis) -> (bool, Reverse<Status>, Reverse<u8>, Reverse<u8>, String) {
    let severity = if d.rule.is_none() { d.severity } else { Status::Healthy };
    let specific = d.rule.as_deref().and_then(|name| engine.rule(name)).map_or(0, specificity);
    let name = d.rule.clone().unwrap_or_default();
    (d.rule.is_none(), Reverse(severity), Reverse(d.confidence), Reverse(specific), name)
}

/// How specific a trigger is: one named place is more than a pattern, a number more than a colour.
fn specificity(rule: &Rule) -> u8 {
    let named = |pattern: &str| if pattern.contains(['*', '?', '[', '{']) { 1 } else { 2 };
    match &rule.when {
        When::Log(trigger) => named(&trigger.log),
        When::Container { pattern, .. } => named(pattern),
        When::Metric { .. } => 2,
        When::Check { .. } => 1,
    }
}

/// Every candidate of the incident whose root this is, itself first, those about symptoms last.
fn in_the_running(root: &Diagnosis, analysis: &Analysis) -> Vec<Candidate> {
    if root.symptom_of.is_some() {
        return Vec::new();
    }
    let component = &root.trigger.component;
    let own = analysis.competing.iter().filter(|c| c.symptom_of.is_none() && c.trigger.component == *component);
    let everything = analysis.diagnoses.iter().chain(&analysis.competing);
    let of_symptoms = everything.filter(|c| c.symptom_of.as_ref() == Some(component));
    std::iter::once(root).chain(own).chain(of_symptoms).map(candidate).collect()
}

fn candidate(d: &Diagnosis) -> Candidate {
    Candidate {
        rule: d.rule.clone(),
        issue_type: d.issue_type.clone(),
        component: d.trigger.component.clone(),
        cause: d.cause.clone(),
        confidence: d.confidence,
        symptom_of: d.symptom_of.clone(),
    }
}

/// What is wrong only because the root is: what was found, and what is diagnosed although it was not found.
fn symptoms(root: &Diagnosis, analysis: &Analysis) -> Vec<Symptom> {
    if root.symptom_of.is_some() {
        return Vec::new();
    }
    let is_of = |of: &Option<String>| of.as_ref() == Some(&root.trigger.component);
    let found = analysis.findings.iter().filter(|f| is_of(&f.symptom_of)).map(|f| Symptom {
        component: f.component.clone(),
        status: f.status,
        message: f.message.clone(),
    });
    let diagnosed = analysis.diagnoses.iter().filter(|d| is_of(&d.symptom_of)).map(|d| Symptom {
        component: d.trigger.component.clone(),
        status: d.severity,
        message: d.trigger.seen.clone(),
    });
    let mut symptoms: Vec<Symptom> = found.collect();
    for symptom in diagnosed {
        if !symptoms.iter().any(|s| s.component == symptom.component) {
            symptoms.push(symptom);
        }
    }
    symptoms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SystemSecrets, compile};
    use jiff::Timestamp;

    /// `COMPONENT[<ROOT] SEVERITY BEGAN CONFIDENCE`.
    fn diagnosis(text: &str) -> Diagnosis {
        let words: Vec<&str> = text.split(' ').collect();
        let (component, root) = words[0].split_once('<').map_or((words[0], None), |(c, root)| (c, Some(root)));
        Diagnosis {
            rule: None,
            issue_type: "x".into(),
            cause: text.into(),
            severity: if words[1] == "critical" { Status::Critical } else { Status::Warning },
            trigger: Trigger {
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
            began: Timestamp::from_second(words[2].parse().unwrap()).ok(),
            flapping: false,
            original_confidence: 0.0,
            confidence: words[3].parse().unwrap(),
            uncorroborated: Vec::new(),
            symptom_of: root.map(str::to_owned),
            category: None,
            estimated_seconds: None,
            fingerprint: text.into(),
        }
    }

    fn competed(candidates: &[&str]) -> Analysis {
        let engine = compile(Vec::new(), &SystemSecrets).unwrap();
        let mut analysis = Analysis::default();
        compete(&engine, candidates.iter().map(|c| diagnosis(c)).collect(), &mut analysis);
        analysis
    }

    #[test]
    fn roots_go_first_then_the_critical_then_the_oldest_then_the_surest() {
        let order = ["e critical 9 50", "d critical 10 90", "c critical 10 80", "b warning 1 99", "a<e critical 0 99"];
        let shuffled: Vec<&str> = [3, 0, 4, 2, 1].map(|n| order[n]).to_vec();
        let causes: Vec<String> = competed(&shuffled).diagnoses.into_iter().map(|d| d.cause).collect();
        assert_eq!(causes, order);
    }

    #[test]
    fn everything_that_competes_for_an_incident_is_shown_with_its_root_and_with_nothing_else() {
        let all =
            ["db critical 5 85", "db critical 5 60", "api<db critical 6 70", "api<db warning 6 60", "api warning 7 75"];
        let analysis = competed(&all);
        let of = |n: usize| analysis.diagnoses[n].candidates.iter().map(|c| c.cause.as_str()).collect::<Vec<_>>();
        assert_eq!(of(0), [all[0], all[1], all[2], all[3]], "the chosen one first, its symptoms last");
        // What is wrong with the API besides stands by itself.
        assert_eq!(of(1), [all[4]]);
        assert_eq!(of(2), Vec::<&str>::new(), "a symptom is told with its root");
        assert_eq!(analysis.diagnoses.len(), 3);
        let symptoms: Vec<_> = analysis.diagnoses[0].symptoms.iter().map(|s| s.component.as_str()).collect();
        assert_eq!(symptoms, ["api"]);
    }

    #[test]
    fn a_server_tells_what_its_clients_were_answered() {
        let check = |server: Option<&str>, client: &str, expected| {
            let line = |text: Option<&str>| Trigger {
                example: text.map(str::to_owned),
                ..diagnosis("a warning 1 80").trigger
            };
            assert_eq!(tells_of(&line(server), &line(Some(client))), expected, "{server:?} {client}");
        };
        let client = "ERROR worker batch failed: ERROR: canceling statement due to statement timeout";
        check(Some("10:00:00 UTC [33] ERROR:  canceling statement due to statement timeout"), client, true);
        check(Some("10:00:00 UTC [33] ERROR:  canceling statement due to lock timeout"), client, false);
        check(Some("10:00:00 UTC [33] LOG:  could not receive data from client"), client, false);
        check(Some("ERROR: timeout"), client, false);
        check(None, client, false);
    }
}
