//! The state directory: where everything lives, and what one pass leaves for the next.
//!
//! Lives here: paths, `state.json`, the samples for trends. May not live here: cursors (logs), attempts, the knowledge
//! base, backups, the journal and the event log, which have modules of their own.

use crate::config::{Engine, Redactor};
use crate::diagnose::streaks::Streaks;
use crate::follow_up::FollowUps;
use crate::host::files::{self, Snapshot};
use crate::matches::Matches;
use crate::model::{CheckResult, Closed, Incident, Moment, Outcome, Status};
use crate::observe::Samples;
use crate::unaided::Unaided;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Paths of one state directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
    knowledge_base: PathBuf,
}

impl StateDir {
    /// The directory of this configuration; nothing is created yet.
    pub fn of(engine: &Engine) -> Self {
        StateDir { root: engine.state_dir.clone(), knowledge_base: engine.knowledge_base.clone() }
    }

    /// Creates what is missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn prepare(&self) -> Result<()> {
        // Made last. Where it is missing, the pass that made the others may have been killed before it had synced them.
        let is_new = !self.journal().is_dir();
        files::ensure_dir(&self.root, 0o750)
            .and_then(|()| if is_new { files::sync_dir(&self.root) } else { Ok(()) })
            .and_then(|()| files::ensure_dir(&self.backups(), 0o700))
            .and_then(|()| files::ensure_dir(&self.journal(), 0o700))
            .with_context(|| {
                format!(
                    "cannot use the state directory {}: run as root, or name another with --state-dir or `state_dir`",
                    self.root.display()
                )
            })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub fn cursors(&self) -> PathBuf {
        self.root.join("cursors.json")
    }

    pub fn attempts(&self) -> PathBuf {
        self.root.join("attempts.jsonl")
    }

    pub fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    /// What the last pass saw and concluded, for those who look: `serve`.
    pub fn last_pass(&self) -> PathBuf {
        self.root.join("last_pass.json")
    }

    /// The list of backups, for those who may not read the backups themselves.
    pub fn backup_index(&self) -> PathBuf {
        self.root.join("backups.json")
    }

    /// What came of the requests that `serve` had left, one file each.
    pub fn answers(&self) -> PathBuf {
        self.root.join("answers")
    }

    /// Incidents that an operator has seen: replaced whole by `healer ack`, also while a pass is at work.
    pub fn acks(&self) -> PathBuf {
        self.root.join("acks.json")
    }

    /// Alerts that could not be told yet; not there while there are none.
    pub fn alerts(&self) -> PathBuf {
        self.root.join("alerts.jsonl")
    }

    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    pub fn backups(&self) -> PathBuf {
        self.root.join("backups")
    }

    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Replaced whole by `healer pause` and `healer resume`, also while a pass is at work.
    pub fn pauses(&self) -> PathBuf {
        self.root.join("pause.json")
    }

    /// Held, for a moment, by who replaces pauses or acknowledgements: what two ask for at once must not be lost.
    pub fn small_lock(&self) -> PathBuf {
        self.root.join("pause.lock")
    }

    /// Left by `healer rollback` for the pass that is validating that very fix.
    pub fn rollback_request(&self) -> PathBuf {
        self.root.join("rollback_requested")
    }

    pub fn knowledge_base(&self) -> &Path {
        &self.knowledge_base
    }

    fn memory(&self) -> PathBuf {
        self.root.join("state.json")
    }
}

/// What one pass leaves for the next. Losing it costs streaks and repeated alerts, never a fix or a limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    #[serde(default)]
    pub incidents: Vec<Incident>,
    /// Those that ended lately.
    #[serde(default)]
    pub closed: Vec<Closed>,
    #[serde(default)]
    pub streaks: Streaks,
    #[serde(default)]
    pub samples: Samples,
    pub last_pass: Option<LastPass>,
    /// Fixes that are looked at again; made anew from the attempts where it is lost.
    #[serde(default)]
    pub follow_ups: FollowUps,
    /// Losing it costs what was seen of problems that clear by themselves.
    #[serde(default)]
    pub unaided: Unaided,
    /// When what goes on from pass to pass, and is no incident, was last told.
    #[serde(default)]
    pub told: BTreeMap<String, Timestamp>,
    /// When each rule last matched.
    #[serde(default)]
    pub matches: Matches,
    #[serde(default)]
    pub totals: Totals,
    /// Targets whose modification time lies in the future: content (SHA-256), and when it was first seen.
    #[serde(default)]
    pub dated_ahead: BTreeMap<PathBuf, (String, Moment)>,
}

/// Counted from the first pass on; lost with this file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    pub passes: u64,
    /// Events by signature.
    pub errors: BTreeMap<String, u64>,
    /// Fixes by type, and how they ended.
    pub fixes: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Totals {
    /// Counts one fix that ended.
    pub fn add_fix(&mut self, fix_type: &str, outcome: Outcome) {
        *self.fixes.entry(fix_type.to_owned()).or_default().entry(outcome.word().to_owned()).or_default() += 1;
    }
}

/// The last pass in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastPass {
    pub started: Timestamp,
    pub duration_ms: u64,
    pub status: Status,
    /// Findings of this pass.
    pub issues: u64,
    #[serde(default)]
    pub exit_code: u8,
    /// What went wrong with healer itself.
    #[serde(default)]
    pub problems: u64,
}

impl LastPass {
    /// When it ended.
    pub fn ended(&self) -> Timestamp {
        let took = jiff::SignedDuration::from_millis(i64::try_from(self.duration_ms).unwrap_or(i64::MAX));
        self.started.checked_add(took).unwrap_or(self.started)
    }
}

impl Memory {
    /// What the last pass left. Where that cannot be read, with a warning, what the pass before it left, which has been on
    /// the disk for long when a power cut harms the newer one; else empty.
    pub fn load(dir: &StateDir) -> (Self, Option<String>) {
        let path = dir.memory();
        let why = match Memory::read(&path) {
            Ok(memory) => return (memory.unwrap_or_default(), None),
            Err(why) => why,
        };
        match Memory::read(&files::spare_of(&path)) {
            Ok(Some(memory)) => (memory, Some(format!("{why}; what the pass before had left is used"))),
            _ => (Memory::default(), Some(format!("{why}; open incidents are forgotten"))),
        }
    }

    /// Nothing where there is no such file; else its content, or what is wrong with it.
    fn read(path: &Path) -> Result<Option<Self>, String> {
        match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(format!("cannot read {}: {e}", path.display())),
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|e| format!("{} is damaged ({e})", path.display()))
            }
        }
    }

    /// How long a target has been as it is. A modification time in the future (the clock was wrong, then or now) says
    /// nothing, so then since this content was first seen.
    pub fn age_of(&mut self, target: &Snapshot, now: &Moment) -> Duration {
        let age = target.modified.map(|m| Duration::try_from(now.t.duration_since(m)));
        match age {
            None => Duration::MAX,
            Some(Ok(age)) => {
                self.dated_ahead.remove(&target.path);
                age
            }
            Some(Err(_)) => {
                let seen = self.dated_ahead.entry(target.path.clone());
                let seen = seen.or_insert_with(|| (target.sha256.clone(), now.clone()));
                if seen.0 != target.sha256 {
                    *seen = (target.sha256.clone(), now.clone());
                }
                now.since(&seen.1)
            }
        }
    }

    /// Leaves it for the next pass. Whole or not at all, but not synced: it is not worth a disk's latency per pass.
    /// The message of a check may repeat a secret of the configuration: it is not kept.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, dir: &StateDir, redactor: &Redactor) -> Result<()> {
        let text = serde_json::to_string(self).context("cannot write the state as JSON")?;
        let text = redactor.redact(&text);
        files::write_exchanged(&dir.memory(), text.as_bytes(), 0o640).context("cannot keep the state for the next pass")
    }
}

/// Appends this pass's sample for trends.
///
/// # Errors
/// When it cannot be written.
pub fn append_metrics(dir: &StateDir, now: Timestamp, checks: &[CheckResult], errors: u64) -> Result<()> {
    let values: serde_json::Map<String, serde_json::Value> = checks
        .iter()
        .map(|c| {
            let mut entry = serde_json::Map::new();
            entry.insert("status".into(), c.status.word().into());
            entry.extend(c.metrics.iter().map(|m| (m.name.clone(), round(m.value).into())));
            // Those that are well are not named: a hundred of them in every sample would be most of the file.
            let unwell = c.containers.iter().filter(|container| container.status != Status::Healthy);
            let unwell: serde_json::Map<String, serde_json::Value> =
                unwell.map(|container| (container.name.clone(), container.status.word().into())).collect();
            if !unwell.is_empty() {
                entry.insert("containers".into(), unwell.into());
            }
            (c.name.clone(), entry.into())
        })
        .collect();
    let line = serde_json::json!({ "t": now.to_string(), "errors": errors, "checks": values }).to_string();
    files::append_unsynced(&dir.metrics(), &line, 0o640).context("cannot write the metrics of this pass")
}

/// Drops lines older than `keep` from a JSONL file whose lines begin with their time. The file is rewritten only when its
/// oldest line is a day over, so at most once a day.
///
/// # Errors
/// When it cannot be read or written; it is then as it was.
pub fn expire(path: &Path, keep: Duration, now: Timestamp) -> Result<()> {
    let Ok(text) = std::fs::File::open(path).map(BufReader::new) else { return Ok(()) };
    let cut = |span: Duration| jiff::SignedDuration::try_from(span).ok().and_then(|s| now.checked_sub(s).ok());
    let (Some(limit), Some(overdue)) = (cut(keep), cut(keep + Duration::from_secs(86_400))) else { return Ok(()) };
    let mut lines = text.lines();
    let first = lines.next().and_then(std::result::Result::ok).unwrap_or_default();
    if time_of(&first).is_none_or(|t| t >= overdue) {
        return Ok(());
    }
    let mut kept = String::new();
    for line in lines {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        // A torn line has no time and goes with the old ones around it.
        if time_of(&line).is_some_and(|t| t >= limit) {
            kept.push_str(&line);
            kept.push('\n');
        }
    }
    files::write_atomic(path, kept.as_bytes(), 0o640).with_context(|| format!("cannot expire {}", path.display()))
}

fn time_of(line: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Time {
        t: Timestamp,
    }
    serde_json::from_str::<Time>(line).ok().map(|line| line.t)
}

/// Two decimals are enough for a trend.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The worst status of all checks; healthy without any.
pub fn overall(checks: &[CheckResult]) -> Status {
    checks.iter().map(|c| c.status).max().unwrap_or(Status::Healthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_what_the_last_pass_left_is_damaged_that_of_the_pass_before_is_used_and_that_is_told() {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir { root: root.path().into(), knowledge_base: root.path().join("k") };
        let check = |passes: Option<u64>, words: &str| {
            let (memory, told) = Memory::load(&dir);
            assert_eq!(memory.totals.passes, passes.unwrap_or(0));
            assert!(
                told.as_deref().unwrap_or_default().contains(words) && told.is_some() != words.is_empty(),
                "{told:?}"
            );
        };
        check(None, "");
        for passes in 1..=2 {
            let totals = Totals { passes, ..Totals::default() };
            Memory { totals, ..Memory::default() }.save(&dir, &Redactor::default()).unwrap();
        }
        check(Some(2), "");
        // A power cut leaves it empty.
        std::fs::write(dir.memory(), "").unwrap();
        check(Some(1), "is damaged");
        check(Some(1), "what the pass before had left is used");
        std::fs::write(files::spare_of(&dir.memory()), "{").unwrap();
        check(None, "open incidents are forgotten");
        std::fs::remove_file(dir.memory()).unwrap();
        check(None, "");
    }

    #[test]
    fn a_file_of_the_future_ages_from_when_it_was_first_seen() {
        let now = |up: u64| Moment {
            t: Timestamp::from_second(1_000_000 + up as i64).unwrap(),
            boot: "b".into(),
            up: up as f64,
        };
        let file = |modified: i64, sha: &str| Snapshot {
            path: "/a".into(),
            bytes: Vec::new(),
            sha256: sha.into(),
            mode: 0,
            uid: 0,
            gid: 0,
            modified: Timestamp::from_second(modified).ok(),
        };
        let mut memory = Memory::default();
        let mut check = |modified: i64, sha: &str, up: u64, age: u64| {
            assert_eq!(memory.age_of(&file(modified, sha), &now(up)), Duration::from_secs(age), "{sha} at {up}");
        };
        check(999_940, "x", 0, 60);
        check(9_000_000, "x", 10, 0);
        check(9_000_000, "x", 40, 30);
        check(9_000_001, "y", 50, 0);
        check(9_000_001, "y", 950, 900);
        check(1_000_960, "y", 970, 10);
        check(9_000_000, "y", 980, 0);
    }

    #[test]
    fn old_lines_expire_and_young_ones_stay() {
        let day = |n: i64| Timestamp::from_second(n * 86_400).unwrap();
        let check = |days: &[i64], kept: &[i64]| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("events.jsonl");
            let text = |days: &[i64]| days.iter().map(|d| format!("{{\"t\":\"{}\"}}\n", day(*d))).collect::<String>();
            std::fs::write(&path, text(days)).unwrap();
            expire(&path, Duration::from_secs(90 * 86_400), day(100)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text(kept), "{days:?}");
        };
        check(&[], &[]);
        check(&[50, 99], &[50, 99]);
        check(&[10, 50], &[10, 50]);
        check(&[1, 5, 10, 50, 99], &[10, 50, 99]);
    }
}
