//! What can tell a human, and the one table of all that do. Adding one: one file, one line of the table.

use crate::alert::Alert;
use crate::alert::{command, email, webhook};
use crate::config::Alerts;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Why an alert was not taken, and what that means for the next try. Each says it in the rest of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may work in a moment: refused connections, `503`.
    Soon(String),
    /// Not in this pass: wrong credentials, no answer in time.
    Later(String),
    /// Of this alert only; others may be taken.
    Refused(String),
}

impl Failure {
    pub fn why(&self) -> &str {
        match self {
            Failure::Soon(why) | Failure::Later(why) | Failure::Refused(why) => why,
        }
    }
}

/// Something that can tell a human.
pub trait Notifier: Send + Sync {
    /// What it is, without secrets: for messages, and to know it again in the next pass.
    fn name(&self) -> String;
    /// Tells one alert within this time; once.
    fn send(&self, alert: &Alert, within: Duration) -> Result<(), Failure>;
}

/// A notifier under a name that no other one has.
pub type Named = (String, Arc<dyn Notifier>);

/// Every notifier of this configuration.
pub fn all(alerts: &Alerts) -> Vec<Named> {
    let mut found: Vec<Arc<dyn Notifier>> = Vec::new();
    found.extend(alerts.commands.iter().map(|argv| Arc::new(command::Command::new(argv)) as Arc<dyn Notifier>));
    found.extend(alerts.webhooks.iter().map(|hook| Arc::new(webhook::Hook::new(hook)) as Arc<dyn Notifier>));
    // Each recipient by itself: one that the server refuses keeps nothing from the others.
    let recipients = alerts.email.iter().flat_map(|email| email.to.iter().map(move |to| (email, to)));
    found.extend(recipients.map(|(email, to)| Arc::new(email::Recipient::new(email, to)) as Arc<dyn Notifier>));
    named(found)
}

/// The second of one name is `NAME #2`: a name is shown and stored, so it must not be made of a secret URL.
fn named(found: Vec<Arc<dyn Notifier>>) -> Vec<Named> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut name = |name: String| {
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{name} #{count}") }
    };
    found.into_iter().map(|notifier| (name(notifier.name()), notifier)).collect()
}
