//! What can be asked for, as the command that does it: `serve` itself changes nothing.
//!
//! Pure. What a request names is held against a fixed alphabet here, once, also where another process carries it out.

use crate::backup;
use crate::config::parse_duration;
use crate::text::clean;
use serde::{Deserialize, Serialize};

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verb {
    /// A whole pass. With braces, so that a field too many is refused here too.
    Heal {},
    /// A whole pass that applies this held plan.
    Apply {
        plan: String,
    },
    Rollback {
        backup: String,
    },
    Pause {
        time: String,
        reason: String,
        #[serde(default)]
        rule: Option<String>,
    },
    Resume {},
    Ack {
        incident: String,
        #[serde(default)]
        time: Option<String>,
    },
}

/// Characters of a reason.
const LONGEST_REASON: usize = 200;

impl Verb {
    /// The word for people and for `runs`.
    pub fn word(&self) -> &'static str {
        match self {
            Verb::Heal {} => "heal",
            Verb::Apply { .. } => "apply",
            Verb::Rollback { .. } => "rollback",
            Verb::Pause { .. } => "pause",
            Verb::Resume {} => "resume",
            Verb::Ack { .. } => "ack",
        }
    }

    /// Whether everything in it is what it should be.
    ///
    /// # Errors
    /// A sentence.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Verb::Heal {} | Verb::Resume {} => Ok(()),
            Verb::Apply { plan } => named(is_plan_id(plan), "this is no plan's id"),
            Verb::Rollback { backup } => named(backup::is_id(backup), "this is no backup's id"),
            Verb::Ack { incident, time } => {
                named(is_incident_id(incident), "this is no incident's id")?;
                time.as_deref().map_or(Ok(()), duration)
            }
            Verb::Pause { time, reason, rule } => {
                duration(time)?;
                let plain = |text: &str| clean(text) == text.trim() && !text.trim_start().starts_with('-');
                let sound = !reason.trim().is_empty() && reason.chars().count() <= LONGEST_REASON && plain(reason);
                named(sound, "`reason` must be a line of at most 200 characters that says why")?;
                let sound = rule.as_deref().is_none_or(|rule| plain(rule) && !rule.is_empty() && rule.len() <= 100);
                named(sound, "`rule` must be the name of a rule")
            }
        }
    }

    /// The arguments of `healer`. No text of a request can become an option.
    pub fn arguments(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        match self {
            Verb::Heal {} => words(&["heal"]),
            Verb::Apply { plan } => vec!["heal".into(), format!("--approve={plan}")],
            Verb::Rollback { backup } => words(&["rollback", "--", backup]),
            Verb::Resume {} => words(&["resume"]),
            Verb::Pause { time, reason, rule } => {
                let mut all = vec!["pause".into(), format!("--reason={reason}")];
                all.extend(rule.as_ref().map(|rule| format!("--rule={rule}")));
                all.extend(["--".to_owned(), time.clone()]);
                all
            }
            Verb::Ack { incident, time } => {
                let mut all = vec!["ack".to_owned()];
                all.extend(time.as_ref().map(|time| format!("--for={time}")));
                all.extend(["--".to_owned(), incident.clone()]);
                all
            }
        }
    }
}

fn named(sound: bool, otherwise: &str) -> Result<(), String> {
    if sound { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn duration(text: &str) -> Result<(), String> {
    parse_duration(text).map(|_| ()).map_err(|why| format!("this is no duration: {why}"))
}

fn is_plan_id(text: &str) -> bool {
    let rest = text.strip_prefix("plan_").unwrap_or_default();
    (1..=64).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'_')
}

fn is_incident_id(text: &str) -> bool {
    let rest = text.strip_prefix("inc_").unwrap_or_default();
    (1..=64).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_what_it_should_be_becomes_an_argument() {
        let check = |verb: Verb, arguments: Option<&[&str]>| {
            let found = verb.check().ok().map(|()| verb.arguments());
            assert_eq!(
                found.as_deref().map(|a| a.iter().map(String::as_str).collect::<Vec<_>>()).as_deref(),
                arguments,
                "{verb:?}"
            );
        };
        check(Verb::Heal {}, Some(&["heal"]));
        check(Verb::Apply { plan: "plan_0a1b".into() }, Some(&["heal", "--approve=plan_0a1b"]));
        check(
            Verb::Rollback { backup: "backup_20251019_170000".into() },
            Some(&["rollback", "--", "backup_20251019_170000"]),
        );
        for bad in ["", "latest", "backup_../../etc", "backup_20251019_17000a", "--force", "backup_"] {
            check(Verb::Rollback { backup: bad.into() }, None);
        }
        for bad in ["", "plan_", "plan_A", "plan_a b", "plan_/", "-n"] {
            check(Verb::Apply { plan: bad.into() }, None);
        }
        for bad in ["", "inc_", "inc_a;b", "1"] {
            check(Verb::Ack { incident: bad.into(), time: None }, None);
        }
        let pause = |time: &str, reason: &str| Verb::Pause { time: time.into(), reason: reason.into(), rule: None };
        check(pause("1h", "deploy: v2"), Some(&["pause", "--reason=deploy: v2", "--", "1h"]));
        for (time, reason) in
            [("", "x"), ("1 hour-ish", "x"), ("-1h", "x"), ("1h", ""), ("1h", " "), ("1h", "a\nb"), ("1h", "--rule=x")]
        {
            check(pause(time, reason), None);
        }
        check(pause("1h", &"x".repeat(201)), None);
    }
}
