//! What was not told yet, and to whom: `alerts.jsonl` in the state directory, in order, bounded in number and age.
//!
//! An alert is written here before it is sent and taken out once it was: a pass that is killed in between may tell it
//! twice and never loses it. Only the holder of the lock writes it.

use crate::ack::Ack;
use crate::alert::Alert;
use crate::host::{clock, files};
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// After a day an alert tells nothing that is of use.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);
/// The newest so many wait.
const MOST: usize = 200;

/// One alert that somebody has not been told yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// When it was to be told.
    pub t: Timestamp,
    /// The names of those who have not been told.
    pub missing: BTreeSet<String>,
    pub alert: Alert,
    /// Within this process; the order of the file is that of time.
    #[serde(skip)]
    pub id: u64,
}

#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    waiting: Vec<Waiting>,
    next_id: u64,
    /// Something was given up since the file was read.
    changed: bool,
}

impl Spool {
    /// What earlier passes left, and what of that is given up and why: too old, unreadable, for somebody who is not
    /// configured any more.
    pub fn load(path: PathBuf, names: &BTreeSet<String>, now: Timestamp) -> (Spool, Vec<String>) {
        let mut spool = Spool { path, waiting: Vec::new(), next_id: 0, changed: false };
        let mut given_up = Vec::new();
        let text = match std::fs::read_to_string(&spool.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (spool, given_up),
            Err(error) => {
                given_up.push(format!("cannot read {}: {error}; what waits there is not sent", spool.path.display()));
                return (spool, given_up);
            }
        };
        let (mut unreadable, mut old, mut for_nobody) = (0, Vec::new(), 0);
        for line in text.lines() {
            let Ok(mut one) = serde_json::from_str::<Waiting>(line) else {
                unreadable += 1;
                continue;
            };
            one.missing.retain(|name| names.contains(name));
            if one.missing.is_empty() {
                for_nobody += 1;
            } else if clock::between(one.t, now) > LONGEST_WAIT {
                old.push(one);
            } else {
                spool.push(one);
            }
        }
        if unreadable > 0 {
            let shown = spool.path.display();
            given_up.push(format!("{shown}: {} cannot be read and is not sent", alerts(unreadable)));
        }
        given_up.extend(dropped(&old, "older than a day"));
        if for_nobody > 0 {
            given_up.push(format!("{} waited for who is in [alerts] no more: dropped", alerts(for_nobody)));
        }
        spool.changed = !given_up.is_empty();
        (spool, given_up)
    }

    /// Nobody is told any more of what an operator has acknowledged since.
    pub fn forget_seen(&mut self, acks: &[Ack]) {
        let before = self.waiting.len();
        self.waiting.retain(|one| !one.alert.is_seen(acks));
        self.changed |= self.waiting.len() != before;
    }

    /// Whether the file holds what was given up.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    fn push(&mut self, one: Waiting) {
        self.waiting.push(Waiting { id: self.next_id, ..one });
        self.next_id += 1;
    }

    /// Adds what is to be told to all of these, and says what had to go for it.
    pub fn add(&mut self, new: &[&Alert], names: &BTreeSet<String>, now: Timestamp) -> Option<String> {
        for alert in new {
            self.push(Waiting { t: now, missing: names.clone(), alert: (*alert).clone(), id: 0 });
        }
        let over = self.waiting.len().saturating_sub(MOST);
        let gone: Vec<Waiting> = self.waiting.drain(..over).collect();
        dropped(&gone, &format!("more than {MOST} wait"))
    }

    /// The oldest one that this notifier has not been told, but for those that it was tried with already.
    pub fn next_of(&self, name: &str, tried: &BTreeSet<u64>) -> Option<&Waiting> {
        self.waiting.iter().find(|one| one.missing.contains(name) && !tried.contains(&one.id))
    }

    /// How many this notifier has not been told.
    pub fn count_of(&self, name: &str) -> usize {
        self.waiting.iter().filter(|one| one.missing.contains(name)).count()
    }

    /// This notifier was told.
    pub fn delivered(&mut self, name: &str, id: u64) {
        for one in self.waiting.iter_mut().filter(|one| one.id == id) {
            one.missing.remove(name);
        }
        self.waiting.retain(|one| !one.missing.is_empty());
    }

    /// Leaves it for the next pass: whole or not at all; no file where nothing waits.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&mut self, synced: bool) -> Result<()> {
        self.changed = false;
        let text = |one: &Waiting| serde_json::to_string(one).context("cannot write an alert as JSON");
        let mut lines = String::new();
        for one in &self.waiting {
            lines.push_str(&text(one)?);
            lines.push('\n');
        }
        let what = || "cannot keep what is still to be told";
        if self.waiting.is_empty() {
            return match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(what),
                _ => Ok(()),
            };
        }
        match synced {
            true => files::write_atomic(&self.path, lines.as_bytes(), 0o640).with_context(what),
            false => files::write_unsynced(&self.path, lines.as_bytes(), 0o640).with_context(what),
        }
    }
}

fn alerts(count: usize) -> String {
    if count == 1 { "an alert".to_owned() } else { format!("{count} alerts") }
}

/// Says what is given up untold, and to whom.
fn dropped(gone: &[Waiting], why: &str) -> Option<String> {
    let first = gone.first()?;
    let names: BTreeSet<&str> = gone.iter().flat_map(|one| one.missing.iter().map(String::as_str)).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let (what, title) = (alerts(gone.len()), first.alert.headline());
    Some(format!("{what} could not be told to {} and was dropped ({why}), the oldest: {title}", names.join(", ")))
}
