//! Open problems from pass to pass.
//!
//! Pure: the incidents of the pass before and this pass's diagnoses in, the open and the resolved ones out. May not live
//! here: telling anybody.

use crate::model::{Diagnosis, Incident};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The incidents after this pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changed {
    pub open: Vec<Incident>,
    /// Fingerprints of those that were not open before.
    pub opened: Vec<String>,
    pub resolved: Vec<Incident>,
}

/// Opens, goes on with and resolves incidents. A symptom is no incident of its own.
pub fn update(previous: &[Incident], diagnoses: &[Diagnosis], now: Timestamp) -> Changed {
    let mut changed = Changed::default();
    for diagnosis in diagnoses.iter().filter(|d| d.symptom_of.is_none()) {
        let known = previous.iter().find(|i| i.fingerprint == diagnosis.fingerprint);
        if known.is_none() {
            changed.opened.push(diagnosis.fingerprint.clone());
        }
        changed.open.push(Incident {
            id: known.map_or_else(|| id(now, changed.opened.len()), |i| i.id.clone()),
            fingerprint: diagnosis.fingerprint.clone(),
            issue_type: diagnosis.issue_type.clone(),
            component: diagnosis.trigger.component.clone(),
            severity: diagnosis.severity,
            cause: diagnosis.cause.clone(),
            opened: known.map_or(now, |i| i.opened),
            last_seen: now,
            hold: None,
            alerted: known.map_or_else(BTreeMap::new, |i| i.alerted.clone()),
        });
    }
    changed.resolved =
        previous.iter().filter(|i| !changed.open.iter().any(|o| o.fingerprint == i.fingerprint)).cloned().collect();
    changed
}

fn id(now: Timestamp, number: usize) -> String {
    format!("inc_{}_{number}", now.strftime("%Y%m%d_%H%M%S"))
}

/// Whether this kind of alert is due for an incident: never told, or told at least `repeat` ago. A moment in the future
/// (the clock was set back) is no reason to be silent.
pub fn is_due(incident: &Incident, kind: &str, repeat: std::time::Duration, now: Timestamp) -> bool {
    incident.alerted.get(kind).is_none_or(|told| is_over(*told, repeat, now))
}

/// Whether `repeat` has passed since something was told, or its moment lies in the future.
pub fn is_over(told: Timestamp, repeat: std::time::Duration, now: Timestamp) -> bool {
    told > now || now.duration_since(told).unsigned_abs() >= repeat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Status, Trigger};
    use std::time::Duration;

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
            original_confidence: 80.0,
            confidence: 80,
            uncorroborated: Vec::new(),
            symptom_of: symptom_of.map(str::to_owned),
            category: None,
            estimated_seconds: None,
            fingerprint: crate::diagnose::fingerprint("container_crash", component),
        }
    }

    #[test]
    fn an_incident_keeps_its_id_until_it_is_over() {
        let (t1, t2): (Timestamp, Timestamp) =
            (Timestamp::from_second(100).unwrap(), Timestamp::from_second(400).unwrap());
        let first = update(&[], &[diagnosis("container:a", None), diagnosis("container:b", Some("db"))], t1);
        assert_eq!((first.open.len(), first.opened.len()), (1, 1));
        let second = update(&first.open, &[diagnosis("container:a", None)], t2);
        assert_eq!((&second.open[0].id, second.open[0].opened), (&first.open[0].id, t1));
        assert!(second.opened.is_empty());
        let third = update(&second.open, &[], t2);
        assert_eq!((third.open.len(), third.resolved.len()), (0, 1));
    }

    #[test]
    fn the_same_trouble_is_not_told_again_before_its_time() {
        let check = |told: Option<i64>, now: i64, due: bool| {
            let mut incident = update(&[], &[diagnosis("container:a", None)], Timestamp::UNIX_EPOCH).open.remove(0);
            incident.alerted.extend(told.map(|t| ("held".to_owned(), Timestamp::from_second(t).unwrap())));
            let now = Timestamp::from_second(now).unwrap();
            assert_eq!(is_due(&incident, "held", Duration::from_secs(3600), now), due);
        };
        check(None, 100, true);
        check(Some(100), 200, false);
        check(Some(100), 3700, true);
        check(Some(9_000), 200, true);
    }
}
