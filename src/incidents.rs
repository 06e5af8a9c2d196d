//! Open problems from pass to pass.
//!
//! Pure: the incidents of the pass before and this pass's diagnoses in, the open and the resolved ones out. May not live
//! here: telling anybody.

use crate::attempts::Attempts;
use crate::config::{Engine, Rule, When};
use crate::model::{Closed, Diagnosis, Incident, Moment, Outcome, Symptom};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The incidents after this pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changed {
    pub open: Vec<Incident>,
    /// Fingerprints of those that were not open before.
    pub opened: Vec<String>,
    /// What is over and to be told so.
    pub resolved: Vec<Incident>,
    /// What is over and may come back.
    pub closed: Vec<Closed>,
}

/// An incident that is over is remembered for this long.
const HOUR: Duration = Duration::from_secs(3600);
/// One that came back so often within that time is flapping.
const FLAPPING: usize = 3;
/// So many of those that are over are remembered.
const MOST_CLOSED: usize = 200;

/// Fingerprints of incidents that cannot be called over yet. What was seen before the end of a fix is no evidence any more,
/// so after one that did not help a rule on a log sees nothing at first: silence says something when it has lasted as long
/// as the rule looks back.
pub fn unsettled(open: &[Incident], engine: &Engine, attempts: &Attempts, now: &Moment) -> BTreeSet<String> {
    let is_unsettled = |incident: &&Incident| {
        let looks_back = |rule: &Rule| match &rule.when {
            When::Log(trigger) if rule.issue_type == incident.issue_type => Some(trigger.within),
            _ => None,
        };
        let of_component = attempts.fixes.iter().filter(|a| a.component == incident.component);
        let tried = of_component.filter_map(|a| Some((a, looks_back(engine.rule(&a.rule)?)?)));
        let last = tried.max_by_key(|(attempt, _)| attempt.last_moment().t);
        last.is_some_and(|(attempt, within)| {
            let helped = attempts.outcome_of(&attempt.fix) == Some(Outcome::Healed);
            !helped && now.since(attempt.last_moment()) < within
        })
    };
    open.iter().filter(is_unsettled).map(|incident| incident.fingerprint.clone()).collect()
}

/// Opens, goes on with and resolves incidents, but for those that are `unsettled`. A symptom is no incident of its own, but an incident that has become one
/// goes on, and is neither told as resolved nor as anything else until it is over or has outlived its root.
pub fn update(
    previous: &[Incident],
    closed: &[Closed],
    diagnoses: &[Diagnosis],
    unsettled: &BTreeSet<String>,
    now: &Moment,
) -> Changed {
    let mut changed = Changed::default();
    let roots_first = |symptoms: bool| diagnoses.iter().filter(move |d| d.symptom_of.is_some() == symptoms);
    for diagnosis in roots_first(false).chain(roots_first(true)) {
        let same = |i: &&Incident| i.fingerprint == diagnosis.fingerprint;
        let known = previous.iter().find(same);
        let is_new_symptom = diagnosis.symptom_of.is_some() && known.is_none();
        if is_new_symptom || changed.open.iter().any(|i| same(&i)) {
            continue;
        }
        if known.is_none() {
            changed.opened.push(diagnosis.fingerprint.clone());
        }
        let number = changed.opened.len();
        changed.open.push(going_on(diagnosis, known, came_back(diagnosis, closed, now), number, now));
    }
    let unseen = |i: &&Incident| !changed.open.iter().any(|o| o.fingerprint == i.fingerprint);
    let waits: Vec<Incident> =
        previous.iter().filter(unseen).filter(|i| unsettled.contains(&i.fingerprint)).map(waiting).collect();
    changed.open.extend(waits);
    let is_open = |i: &Incident| changed.open.iter().any(|o| o.fingerprint == i.fingerprint);
    let over: Vec<Incident> = previous.iter().filter(|i| !is_open(i)).cloned().collect();
    let (kept, forgotten): (Vec<&Closed>, Vec<&Closed>) =
        closed.iter().filter(|c| !is_open(&c.incident)).partition(|c| now.since(&c.at) < HOUR);
    // What comes and goes is over when it has stayed away for as long as it is remembered.
    let stayed_away = forgotten.into_iter().map(|c| &c.incident).filter(|i| i.flapping);
    changed.resolved = over.iter().filter(|i| !i.flapping).chain(stayed_away).cloned().collect();
    let newly = over.into_iter().map(|incident| Closed { incident, at: now.clone() });
    changed.closed = newly.chain(kept.into_iter().cloned()).take(MOST_CLOSED).collect();
    changed
}

/// Its plan is of a pass that saw it; nothing would be done now.
fn waiting(incident: &Incident) -> Incident {
    let hold = "its last fix did not help, and it has not been quiet for long enough since to be called over";
    Incident { hold: Some(hold.into()), hold_kind: None, ..incident.clone() }
}

fn came_back<'a>(diagnosis: &Diagnosis, closed: &'a [Closed], now: &Moment) -> Option<&'a Incident> {
    let same = |c: &&Closed| c.incident.fingerprint == diagnosis.fingerprint && now.since(&c.at) < HOUR;
    closed.iter().find(same).map(|c| &c.incident)
}

/// When an incident came back within the last hour, this time included.
fn reopened(known: Option<&Incident>, back: Option<&Incident>, now: &Moment) -> Vec<Moment> {
    let earlier = known.or(back).map(|i| i.reopened.clone()).unwrap_or_default();
    let again = (known.is_none() && back.is_some()).then(|| now.clone());
    earlier.into_iter().chain(again).filter(|t| now.since(t) < HOUR).collect()
}

fn going_on(
    diagnosis: &Diagnosis,
    known: Option<&Incident>,
    back: Option<&Incident>,
    number: usize,
    now: &Moment,
) -> Incident {
    let reopened = reopened(known, back, now);
    let flapping = reopened.len() >= FLAPPING;
    // What was told as resolved and is back is told again, unless it comes and goes.
    let told = known.or(back.filter(|_| flapping));
    let same = known.or(back);
    Incident {
        id: same.map_or_else(|| id(now.t, number), |i| i.id.clone()),
        fingerprint: diagnosis.fingerprint.clone(),
        issue_type: diagnosis.issue_type.clone(),
        component: diagnosis.trigger.component.clone(),
        severity: diagnosis.severity,
        cause: diagnosis.cause.clone(),
        symptom_of: diagnosis.symptom_of.clone(),
        symptoms: components(&diagnosis.symptoms),
        flapping,
        reopened,
        opened: same.map_or(now.t, |i| i.opened),
        last_seen: now.t,
        hold: None,
        hold_kind: None,
        alerted: told.map_or_else(BTreeMap::new, |i| i.alerted.clone()),
    }
}

/// Each component once.
fn components(symptoms: &[Symptom]) -> Vec<String> {
    let mut components: Vec<String> = symptoms.iter().map(|s| s.component.clone()).collect();
    let mut seen = BTreeSet::new();
    components.retain(|c| seen.insert(c.clone()));
    components
}

/// Fingerprints of the incidents that are flapping if they are seen now.
pub fn flapping(open: &[Incident], closed: &[Closed], now: &Moment) -> BTreeSet<String> {
    let open = open.iter().map(|i| (i, reopened(Some(i), None, now)));
    let lately = closed.iter().filter(|c| now.since(&c.at) < HOUR);
    let back = lately.map(|c| (&c.incident, reopened(None, Some(&c.incident), now)));
    let flapping = open.chain(back).filter(|(_, times)| times.len() >= FLAPPING);
    flapping.map(|(incident, _)| incident.fingerprint.clone()).collect()
}

fn id(now: Timestamp, number: usize) -> String {
    format!("inc_{}_{number}", now.strftime("%Y%m%d_%H%M%S"))
}

/// Whether this kind of alert is due for an incident: never told, or told at least `repeat` ago. A moment in the future
/// (the clock was set back) is no reason to be silent.
pub fn is_due(incident: &Incident, kind: &str, repeat: Duration, now: Timestamp) -> bool {
    incident.alerted.get(kind).is_none_or(|told| is_over(*told, repeat, now))
}

/// Whether `repeat` has passed since something was told, or its moment lies in the future.
pub fn is_over(told: Timestamp, repeat: Duration, now: Timestamp) -> bool {
    told > now || now.duration_since(told).unsigned_abs() >= repeat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempts::tests::attempt;
    use crate::config::tests::compiled;
    use crate::model::{Status, Trigger};

    fn diagnosis(component: &str, symptom_of: Option<&str>) -> Diagnosis {
        Diagnosis {
            rule: None,
            issue_type: "container_crash".into(),
            cause: "it crashed".into(),
            severity: Status::Critical,
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
            began: None,
            flapping: false,
            original_confidence: 80.0,
            confidence: 80,
            uncorroborated: Vec::new(),
            symptom_of: symptom_of.map(str::to_owned),
            category: None,
            estimated_seconds: None,
            fingerprint: crate::diagnose::fingerprint("container_crash", component),
        }
    }

    fn at(second: u64) -> Moment {
        Moment { t: Timestamp::from_second(second as i64).unwrap(), boot: "b".into(), up: second as f64 }
    }

    /// A history: what was red in each pass (`name`, or `name<root` for a symptom) at each second.
    fn after(passes: &[(u64, &[&str])]) -> Changed {
        passes.iter().fold(Changed::default(), |before, (second, red)| {
            let red: Vec<Diagnosis> = red
                .iter()
                .map(|d| {
                    d.split_once('<').map_or_else(|| diagnosis(d, None), |(name, root)| diagnosis(name, Some(root)))
                })
                .collect();
            update(&before.open, &before.closed, &red, &BTreeSet::new(), &at(*second))
        })
    }

    fn names(incidents: &[Incident]) -> Vec<String> {
        let name = |i: &Incident| {
            let root = i.symptom_of.as_ref().map(|root| format!("<{root}")).unwrap_or_default();
            format!("{}{root}{}", i.component, if i.flapping { " flapping" } else { "" })
        };
        incidents.iter().map(name).collect()
    }

    #[test]
    fn an_incident_keeps_its_id_until_it_is_over() {
        let first = after(&[(100, &["a", "b<db"])]);
        assert_eq!((names(&first.open), first.opened.len()), (vec!["a".to_owned()], 1));
        let second = update(&first.open, &[], &[diagnosis("a", None)], &BTreeSet::new(), &at(400));
        assert_eq!((&second.open[0].id, second.open[0].opened), (&first.open[0].id, at(100).t));
        assert!(second.opened.is_empty());
        let third = update(&second.open, &[], &[], &BTreeSet::new(), &at(400));
        assert_eq!((third.open.len(), third.resolved.len()), (0, 1));
    }

    #[test]
    fn after_a_fix_that_did_not_help_silence_says_something_once_it_has_lasted() {
        let rule = "[[rule]]\nname = \"r\"\nissue_type = \"container_crash\"\nconfidence = 90\n";
        let log = "when = { log = \"container:a\", signature = \"timeout\", count = 5, within = \"10m\" }\n";
        let state = "when = { container = \"a\", state = \"exited\" }\n";
        let docker = "[checks.docker]\n[logs.docker]\n";
        let check = |when: &str, outcome: Outcome, now: u64, over: bool| {
            let engine = compiled(&format!("{docker}{rule}{when}"), &[]).unwrap();
            let mut attempts = Attempts::default();
            attempts.fixes.push(attempt("f", 0, 100, outcome));
            let before = after(&[(50, &["container:a", "container:b"])]);
            let waits = unsettled(&before.open, &engine, &attempts, &at(now));
            let changed = update(&before.open, &[], &[], &waits, &at(now));
            let open: &[&str] = if over { &[] } else { &["container:a"] };
            assert_eq!(names(&changed.open), open, "{when} {outcome:?} {now}");
            assert_eq!(changed.resolved.len(), 2 - open.len());
        };
        check(log, Outcome::RolledBack, 110, false);
        check(log, Outcome::RolledBack, 699, false);
        check(log, Outcome::RolledBack, 700, true);
        check(log, Outcome::Failed, 110, false);
        check(log, Outcome::Unproven, 110, false);
        check(log, Outcome::Healed, 110, true);
        // What is seen as it is needs no waiting.
        check(state, Outcome::Failed, 110, true);
    }

    #[test]
    fn a_symptom_is_no_incident_but_an_incident_that_became_one_goes_on() {
        let check = |passes: &[(u64, &[&str])], open: &[&str], resolved: &[&str]| {
            let changed = after(passes);
            assert_eq!((names(&changed.open), names(&changed.resolved)), (owned(open), owned(resolved)), "{passes:?}");
        };
        fn owned(names: &[&str]) -> Vec<String> {
            names.iter().map(|n| (*n).to_owned()).collect()
        }
        check(&[(0, &["db", "api<db"])], &["db"], &[]);
        check(&[(0, &["api"]), (300, &["db", "api<db"])], &["db", "api<db"], &[]);
        check(&[(0, &["api"]), (300, &["db", "api<db"]), (600, &["api"])], &["api"], &["db"]);
        check(&[(0, &["api"]), (300, &["db", "api<db"]), (600, &[])], &[], &["db", "api<db"]);
        // What was never an incident becomes one when it outlives its root.
        check(&[(0, &["db", "api<db"]), (300, &["api"])], &["api"], &["db"]);
    }

    #[test]
    fn what_comes_and_goes_is_one_incident_told_once() {
        let up = |second| (second, &[][..]);
        let down = |second| (second, &["a"][..]);
        let check = |passes: &[(u64, &[&str])], open: &[&str], resolved: usize| {
            let changed = after(passes);
            assert_eq!(
                (names(&changed.open), changed.resolved.len()),
                (open.iter().map(|o| (*o).to_owned()).collect(), resolved)
            );
            changed
        };
        let twice = [down(0), up(300), down(600), up(900), down(1200)];
        check(&twice, &["a"], 0);
        check(&[&twice[..], &[up(1500)]].concat(), &[], 1);
        let thrice = [&twice[..], &[up(1500), down(1800)]].concat();
        let first = check(&thrice[..1], &["a"], 0);
        let third = check(&thrice, &["a flapping"], 0);
        assert_eq!((&third.open[0].id, third.open[0].opened), (&first.open[0].id, at(0).t));
        // Not told as over before it has stayed away, and no more flapping once it has stayed.
        check(&[&thrice[..], &[up(2100)]].concat(), &[], 0);
        check(&[&thrice[..], &[up(2100), up(5600)]].concat(), &[], 0);
        check(&[&thrice[..], &[up(2100), up(5700)]].concat(), &[], 1);
        check(&[&thrice[..], &[down(5500)]].concat(), &["a"], 0);
        // So slowly that each time is another trouble.
        let slow = [down(0), up(300), down(3900), up(4200), down(7800), up(8100), down(11_700)];
        check(&slow, &["a"], 0);
        assert!(after(&slow).open[0].reopened.is_empty());
    }

    #[test]
    fn it_is_known_beforehand_which_will_be_flapping_when_it_is_seen_again() {
        let passes: [(u64, &[&str]); 6] = [(0, &["a", "b"]), (1, &[]), (2, &["a"]), (3, &[]), (4, &["a"]), (5, &[])];
        let before = after(&passes);
        assert_eq!(flapping(&before.open, &before.closed, &at(6)), BTreeSet::from(["container_crash@a".to_owned()]));
        assert_eq!(flapping(&before.open, &before.closed, &at(3700)), BTreeSet::new());
        let open = update(&before.open, &before.closed, &[diagnosis("a", None)], &BTreeSet::new(), &at(6));
        assert_eq!(flapping(&open.open, &open.closed, &at(7)).len(), 1);
    }

    #[test]
    fn the_same_trouble_is_not_told_again_before_its_time() {
        let check = |told: Option<i64>, now: i64, due: bool| {
            let mut incident = after(&[(0, &["a"])]).open.remove(0);
            incident.alerted.extend(told.map(|t| ("held".to_owned(), Timestamp::from_second(t).unwrap())));
            let now = Timestamp::from_second(now).unwrap();
            assert_eq!(is_due(&incident, "held", Duration::from_secs(3600), now), due);
        };
        check(None, 100, true);
        check(Some(100), 200, false);
        check(Some(100), 3700, true);
        check(Some(9_000), 200, true);
    }

    #[test]
    fn an_incident_of_an_older_version_is_read() {
        let old = r#"{"id":"inc_1","fingerprint":"x@a","issue_type":"x","component":"a","severity":"critical","cause":"c",
            "opened":"2026-01-01T00:00:00Z","last_seen":"2026-01-01T00:00:00Z","hold":null,"alerted":{}}"#;
        let incident: Incident = serde_json::from_str(old).unwrap();
        assert!(!incident.flapping && incident.symptom_of.is_none() && incident.reopened.is_empty());
    }
}
