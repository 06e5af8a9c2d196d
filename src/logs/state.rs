//! What is remembered between passes: cursors, recent counts, known groups. One file, written whole, so that what was
//! read and what was counted never differ.

use super::container::ContainerCursor;
use super::cursor::FileCursor;
use super::group::Groups;
use super::journal::JournalCursor;
use crate::config::Redactor;
use crate::host::files;
use crate::model::Tally;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Counts older than this, in seconds, are kept per minute.
const FINE: i64 = 3600;

/// The content of `cursors.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogState {
    pub(super) v: u32,
    /// By source.
    pub(super) files: BTreeMap<String, Vec<FileCursor>>,
    /// By container id.
    pub(super) containers: BTreeMap<String, ContainerCursor>,
    /// By source.
    pub(super) journals: BTreeMap<String, JournalCursor>,
    /// By source, then signature.
    pub(super) tallies: BTreeMap<String, BTreeMap<String, Tally>>,
    pub(super) known_groups: Groups,
}

impl LogState {
    /// Reads the state. A missing file is an empty state; a damaged one too, with a warning.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn load(path: &Path) -> Result<(LogState, Option<String>)> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((LogState::default(), None)),
            Err(e) => return Err(e).with_context(|| format!("cannot read the log cursors in {}", path.display())),
        };
        Ok(match serde_json::from_slice(&text) {
            Ok(state) => (state, None),
            Err(e) => {
                let warning = format!(
                    "the log cursors in {} are damaged ({e}): every log is read from its last 16 MiB, as at first sight, \
                     and counts of earlier passes are lost",
                    path.display()
                );
                (LogState::default(), Some(warning))
            }
        })
    }

    /// Writes the state so that a crash leaves either the old one or the new one. A state that is there already is not
    /// written again: a pass with nothing new costs the disk nothing. A log line may repeat a secret of the
    /// configuration: it is not kept.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path, redactor: &Redactor) -> Result<()> {
        let text = serde_json::to_string(self).context("cannot write the log cursors as JSON")?;
        let text = redactor.redact(&text);
        if std::fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
        files::write_atomic(path, text.as_bytes(), 0o640).context("cannot save the log cursors")
    }

    /// Adds counts of a signature by second, in Unix time, and the title of the newest of these events.
    pub(super) fn tally(
        &mut self,
        source: &str,
        signature: &str,
        counts: impl IntoIterator<Item = (i64, u64)>,
        example: String,
    ) {
        let by_signature = self.tallies.entry(source.to_owned()).or_default();
        let tally = by_signature.entry(signature.to_owned()).or_insert_with(|| Tally {
            source: source.to_owned(),
            signature: signature.to_owned(),
            buckets: BTreeMap::new(),
            example: String::new(),
        });
        for (second, count) in counts {
            *tally.buckets.entry(second).or_default() += count;
        }
        tally.example = example;
    }

    /// Forgets counts older than `horizon` seconds and makes those older than an hour coarse.
    pub(super) fn prune(&mut self, now: Timestamp, horizon: i64) {
        let now = now.as_second();
        for by_signature in self.tallies.values_mut() {
            for tally in by_signature.values_mut() {
                tally.buckets = tally.buckets.split_off(&(now - horizon));
                coarsen(&mut tally.buckets, now - FINE);
            }
            by_signature.retain(|_, tally| !tally.buckets.is_empty());
        }
        self.tallies.retain(|_, by_signature| !by_signature.is_empty());
    }

    /// All recent counts.
    pub fn all_tallies(&self) -> Vec<Tally> {
        self.tallies.values().flat_map(BTreeMap::values).cloned().collect()
    }
}

/// Joins the seconds before `until` to the last second of their minute.
fn coarsen(buckets: &mut BTreeMap<i64, u64>, until: i64) {
    let fine = buckets.split_off(&until);
    let old = std::mem::replace(buckets, fine);
    for (second, count) in old {
        let minute = (second.div_euclid(60) * 60 + 59).min(until - 1).max(second);
        *buckets.entry(minute).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn counts_outlive_a_save_and_only_the_old_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursors.json");
        let mut state = LogState::default();
        for second in [100_000, 199_000, 199_001, 200_000] {
            state.tally("file:x", "rate_limit", [(second, 1)], "429".into());
        }
        state.prune(at(200_000), 86_400);
        state.save(&path, &Redactor::default()).unwrap();
        let (loaded, warning) = LogState::load(&path).unwrap();
        assert!(warning.is_none());
        assert_eq!(loaded.all_tallies()[0].buckets, BTreeMap::from([(199_000, 1), (199_001, 1), (200_000, 1)]));
    }

    #[test]
    fn old_counts_become_coarse_but_none_is_lost() {
        let mut state = LogState::default();
        for second in 150_000..150_600 {
            state.tally("file:x", "s", [(second, 1)], String::new());
        }
        state.prune(at(200_000), 86_400);
        let tally = &state.all_tallies()[0];
        assert_eq!(tally.count(0, 200_000), 600);
        assert!(tally.buckets.len() <= 11);
    }

    #[test]
    fn a_missing_file_is_empty_and_a_damaged_one_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursors.json");
        assert!(LogState::load(&path).unwrap().1.is_none());
        std::fs::write(&path, b"{\"files\":").unwrap();
        assert!(LogState::load(&path).unwrap().1.unwrap().contains("16 MiB"));
    }
}
