//! Backups: a copy of every file a fix changes and the old values of its other steps, with what is needed to put them
//! back.
//!
//! Lives here: making, listing, verifying, pruning and reading them. A backup is complete and synced before it has its
//! name; its content files are numbered, so no path of the host is ever joined to ours. May not live here: putting a
//! file back (that is the transaction's).

use crate::host::files;
use crate::model::{Act, Plan, RestartTarget};
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Content of `metadata.json`, one line whose last key is the checksum of the rest (as in the knowledge base).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    pub backup_id: String,
    /// `YYYYMMDD_HHMMSS`, UTC.
    pub timestamp: String,
    pub created: Timestamp,
    /// Issue type of the fix; [`ROLLBACK`] or [`CONFLICT`] for backups that are no fix's.
    pub reason: String,
    pub fix_id: String,
    pub rule: String,
    pub fix_type: String,
    pub target: String,
    pub component: String,
    pub confidence: Option<u8>,
    pub files: Vec<SavedFile>,
    /// What has to be restarted for a change of these files to take effect.
    pub restarts: Vec<RestartTarget>,
    /// What the fix did beside files and restarts, with the old values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Act>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFile {
    /// Where it belongs: absolute, links resolved.
    pub path: PathBuf,
    /// Number of its content under `files/`.
    pub number: usize,
    pub size: u64,
    /// SHA-256 of the saved content, in hex.
    pub sha256: String,
    /// SHA-256 of what took its place: the rollback is refused when something else is there. Empty: always.
    pub replaced_by: String,
}

/// What is saved: where, the content, and the hash of what takes its place.
pub struct ToSave {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    pub replaced_by: String,
}

/// What a backup is made for.
pub struct Purpose<'a> {
    pub reason: &'a str,
    pub fix_id: &'a str,
    pub plan: &'a Plan,
    pub confidence: Option<u8>,
}

/// Reason of the backup that a rollback makes of what it replaces.
pub const ROLLBACK: &str = "rollback";
/// Reason of the backup of a version that lost its place to somebody else's edit.
pub const CONFLICT: &str = "conflict";

/// Whether a text is a backup's id: `backup_`, digits and underscores. Nothing else ever becomes a path.
pub fn is_id(text: &str) -> bool {
    let rest = text.strip_prefix("backup_").unwrap_or_default();
    (15..=25).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// Saves the files, synced, and returns what was written.
///
/// # Errors
/// When anything could not be written: there is then no backup, and nothing may be changed.
pub fn create(backups: &Path, purpose: &Purpose, saved: &[ToSave], now: Timestamp) -> Result<Metadata> {
    let timestamp = now.strftime("%Y%m%d_%H%M%S").to_string();
    let backup_id = free_id(backups, &timestamp);
    let metadata = Metadata {
        timestamp,
        created: now,
        reason: purpose.reason.to_owned(),
        fix_id: purpose.fix_id.to_owned(),
        rule: purpose.plan.rule.clone(),
        fix_type: purpose.plan.fix_type.clone(),
        target: purpose.plan.target.clone(),
        component: purpose.plan.component.clone(),
        confidence: purpose.confidence,
        files: saved
            .iter()
            .enumerate()
            .map(|(number, file)| SavedFile {
                path: file.path.clone(),
                number,
                size: file.bytes.len() as u64,
                sha256: files::sha256(&file.bytes),
                replaced_by: file.replaced_by.clone(),
            })
            .collect(),
        restarts: if saved.is_empty() && !purpose.plan.restarts_read_it() {
            Vec::new()
        } else {
            purpose.plan.restarts().cloned().collect()
        },
        // A version that lost its place is a file, whatever else the fix did.
        steps: if purpose.reason == CONFLICT {
            Vec::new()
        } else {
            purpose.plan.acts().map(|(_, act)| act.clone()).collect()
        },
        backup_id: backup_id.clone(),
    };
    let unfinished = backups.join(UNFINISHED);
    let write = || -> Result<()> {
        remove_dir(&unfinished)?;
        files::ensure_dir(&unfinished.join("files"), 0o700)?;
        for (number, file) in saved.iter().enumerate() {
            files::write_atomic(&unfinished.join("files").join(number.to_string()), &file.bytes, 0o600)?;
        }
        let line = crate::learn::to_line(&metadata)? + "\n";
        files::write_atomic(&unfinished.join("metadata.json"), line.as_bytes(), 0o600)?;
        std::fs::rename(&unfinished, backups.join(&backup_id))?;
        files::sync_dir(&backups.join(&backup_id))?;
        Ok(())
    };
    write().map_err(|e| {
        let _ = remove_dir(&unfinished);
        e.context(format!("cannot make a backup in {}: nothing was changed", backups.display()))
    })?;
    Ok(metadata)
}

fn remove_dir(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn free_id(backups: &Path, timestamp: &str) -> String {
    let plain = format!("backup_{timestamp}");
    let numbered = (2u32..).map(|n| format!("{plain}_{n}"));
    std::iter::once(plain.clone()).chain(numbered).find(|id| !backups.join(id).exists()).unwrap_or(plain)
}

/// A backup as it was found on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub id: String,
    pub metadata: std::result::Result<Metadata, String>,
}

/// Every backup, newest first; one whose metadata cannot be read is listed with the reason.
///
/// # Errors
/// When the directory is there and cannot be read.
pub fn list(backups: &Path) -> Result<Vec<Listed>> {
    let entries = match std::fs::read_dir(backups) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", backups.display())),
    };
    let mut listed: Vec<Listed> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_id(name))
        .map(|id| Listed { metadata: load(backups, &id).map_err(|e| format!("{e:#}")), id })
        .collect();
    listed.sort_by_key(|l| std::cmp::Reverse(order(&l.id)));
    Ok(listed)
}

/// Leaves the list of backups where it can be read by who may not read them; not again while they are the same.
///
/// # Errors
/// When they cannot be listed or the index not be written.
pub fn leave_index(backups: &Path, index: &Path) -> Result<()> {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let (Some(of_backups), of_index) = (changed(backups), changed(index)) else { return Ok(()) };
    if of_index.is_some_and(|index| index > of_backups) {
        return Ok(());
    }
    let all: Vec<Metadata> = list(backups)?.into_iter().filter_map(|listed| listed.metadata.ok()).collect();
    let text = serde_json::to_string(&all).context("cannot write the index of backups as JSON")?;
    files::write_unsynced(index, text.as_bytes(), 0o640).context("cannot leave the index of backups")
}

/// What [`leave_index`] has left; nothing where there is none yet.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read_index(index: &Path) -> Result<Vec<Listed>> {
    let text = match std::fs::read(index) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read {}", index.display()))?,
    };
    let all: Vec<Metadata> =
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", index.display()))?;
    Ok(all.into_iter().map(|metadata| Listed { id: metadata.backup_id.clone(), metadata: Ok(metadata) }).collect())
}

/// Ids in the order they were made: `_10` after `_9`.
fn order(id: &str) -> (String, u32) {
    let rest = id.strip_prefix("backup_").unwrap_or(id);
    let (stamp, number) = rest.split_at_checked(15).unwrap_or((rest, ""));
    (stamp.to_owned(), number.strip_prefix('_').and_then(|n| n.parse().ok()).unwrap_or(1))
}

/// Reads a backup's metadata and checks its checksum.
///
/// # Errors
/// When there is no such backup, or its metadata is damaged.
pub fn load(backups: &Path, id: &str) -> Result<Metadata> {
    if !is_id(id) || !backups.join(id).is_dir() {
        bail!(NoSuchBackup(id.to_owned()));
    }
    let path = backups.join(id).join("metadata.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    crate::learn::check_line(&text).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    let metadata: Metadata = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    if metadata.backup_id != id {
        bail!("{} is of {}, not of {id}", path.display(), metadata.backup_id);
    }
    Ok(metadata)
}

/// There is no backup of this id (exit 14).
#[derive(Debug)]
pub struct NoSuchBackup(pub String);

/// The word for the newest fix still in place.
pub const LATEST: &str = "latest";

impl NoSuchBackup {
    /// `latest` was asked for, and no fix is in place.
    pub fn latest() -> Self {
        NoSuchBackup(LATEST.to_owned())
    }
}

impl std::fmt::Display for NoSuchBackup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == LATEST {
            return f.write_str(
                "no fix is in place now, so there is nothing to roll back: `healer backups` lists what there was",
            );
        }
        write!(f, "there is no backup `{}`: `healer backups` lists them", self.0.escape_debug())
    }
}

impl std::error::Error for NoSuchBackup {}

/// The saved content of one file, checked.
///
/// # Errors
/// When it cannot be read or its checksum does not fit: it must not be put back.
pub fn content(backups: &Path, metadata: &Metadata, file: &SavedFile) -> Result<Vec<u8>> {
    let path = backups.join(&metadata.backup_id).join("files").join(file.number.to_string());
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if files::sha256(&bytes) != file.sha256 {
        bail!("{} is damaged: its checksum does not fit, so it is not put back", path.display());
    }
    Ok(bytes)
}

/// Every damage of one backup; empty when it is whole.
pub fn verify(backups: &Path, id: &str) -> Vec<String> {
    match load(backups, id) {
        Err(e) => vec![format!("{e:#}")],
        Ok(metadata) => metadata
            .files
            .iter()
            .filter_map(|file| content(backups, &metadata, file).err())
            .map(|e| format!("{e:#}"))
            .collect(),
    }
}

/// What retention says of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub id: String,
    /// Why it is kept; `None` when it goes.
    pub because: Option<String>,
}

/// Which backups stay, and why: the newest `keep_last`, those younger than `keep_within`, the one an open transaction
/// needs, and every damaged one (a human should look at it).
pub fn retention(
    listed: &[Listed],
    keep_last: usize,
    keep_within: std::time::Duration,
    needed: &[String],
    now: Timestamp,
) -> Vec<Kept> {
    listed
        .iter()
        .enumerate()
        .map(|(n, backup)| {
            let young = |m: &Metadata| now.duration_since(m.created).unsigned_abs() < keep_within;
            let because = if n < keep_last {
                Some(format!("one of the newest {keep_last}"))
            } else if needed.contains(&backup.id) {
                Some("an open transaction needs it".to_owned())
            } else {
                match &backup.metadata {
                    Err(_) => Some("damaged: look at it first".to_owned()),
                    Ok(m) if young(m) => Some(format!("younger than {}", crate::diagnose::rules::shown(keep_within))),
                    Ok(_) => None,
                }
            };
            Kept { id: backup.id.clone(), because }
        })
        .collect()
}

/// Removes what retention lets go; returns the ids.
///
/// # Errors
/// When backups cannot be listed or removed.
pub fn prune(
    backups: &Path,
    policy: &crate::config::Backups,
    needed: &[String],
    now: Timestamp,
) -> Result<Vec<String>> {
    let kept = retention(&list(backups)?, policy.keep_last, policy.keep_within, needed, now);
    let doomed: Vec<String> = kept.into_iter().filter(|k| k.because.is_none()).map(|k| k.id).collect();
    doomed.iter().try_for_each(|id| remove(backups, id))?;
    Ok(doomed)
}

/// Removes what was left of a backup that was being made or removed when its process was killed.
///
/// # Errors
/// When it cannot be removed.
pub fn sweep(backups: &Path) -> Result<()> {
    remove_dir(&backups.join(UNFINISHED))?;
    remove_dir(&backups.join(DOOMED))
}

/// A backup that is not whole yet, and one that has lost its name.
const UNFINISHED: &str = ".unfinished";
const DOOMED: &str = ".doomed";

/// Removes one backup: it loses its name first, so that a crash leaves no half of it listed.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(backups: &Path, id: &str) -> Result<()> {
    if !is_id(id) {
        bail!(NoSuchBackup(id.to_owned()));
    }
    let doomed = backups.join(DOOMED);
    remove_dir(&doomed)?;
    std::fs::rename(backups.join(id), &doomed).with_context(|| format!("cannot remove {id}"))?;
    files::sync_dir(&doomed)?;
    remove_dir(&doomed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ErrorsAllowed, ValidationSpec, Watched};
    use std::time::Duration;

    fn plan() -> Plan {
        Plan {
            id: "plan_1".into(),
            rule: "r".into(),
            issue_type: "rate_limiting".into(),
            fix_type: "increase_delay".into(),
            target: "/a#x".into(),
            rung: 0,
            cause: String::new(),
            component: "container:a".into(),
            original_confidence: 88.0,
            confidence: 88,
            steps: Vec::new(),
            validation: ValidationSpec {
                settle_seconds: 0.0,
                window_seconds: 1.0,
                max_window_seconds: 1.0,
                errors_allowed: ErrorsAllowed::AtMost(0),
                checks: Vec::new(),
                watched: Watched::Check { name: "a".into() },
            },
            error_count_before: 0,
            notes: Vec::new(),
        }
    }

    fn save(dir: &Path, now: &str) -> Metadata {
        let plan = plan();
        let purpose = Purpose { reason: "rate_limiting", fix_id: "fix_1", plan: &plan, confidence: Some(88) };
        let saved = [ToSave { path: "/srv/a.py".into(), bytes: b"old".to_vec(), replaced_by: files::sha256(b"new") }];
        create(dir, &purpose, &saved, now.parse().unwrap()).unwrap()
    }

    #[test]
    fn ids_are_of_one_alphabet_and_never_taken_twice() {
        let dir = tempfile::tempdir().unwrap();
        let ids: Vec<String> = (0..11).map(|_| save(dir.path(), "2025-10-19T17:00:00Z").backup_id).collect();
        assert_eq!(ids.first().unwrap(), "backup_20251019_170000");
        assert_eq!(ids.get(1).unwrap(), "backup_20251019_170000_2");
        let listed: Vec<String> = list(dir.path()).unwrap().into_iter().map(|l| l.id).collect();
        assert_eq!(listed.first().unwrap(), "backup_20251019_170000_11");
        for bad in
            ["", "latest", "backup_", "backup_../../etc/pa", "backup_20251019_170000/..", "backup_20251019_17000a"]
        {
            assert!(!is_id(bad), "{bad}");
            assert!(load(dir.path(), bad).unwrap_err().is::<NoSuchBackup>(), "{bad}");
        }
    }

    #[test]
    fn what_the_version_before_has_saved_is_read_and_steps_are_kept_without_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let id = save(dir.path(), "2025-10-19T17:00:00Z").backup_id;
        let text = std::fs::read_to_string(dir.path().join(&id).join("metadata.json")).unwrap();
        assert!(!text.contains("steps"), "{text}");
        assert_eq!(load(dir.path(), &id).unwrap().steps, []);

        let redis = crate::model::RedisStep { check: "c".into(), key: "k".into(), old: "1".into(), new: "2".into() };
        let restart = crate::model::Step::Restart(RestartTarget::Container("c".into()));
        let plan = Plan { steps: vec![crate::model::Step::Act(Act::Redis(redis.clone())), restart], ..plan() };
        let kept = |reason: &str| {
            let purpose = Purpose { reason, fix_id: "fix_2", plan: &plan, confidence: None };
            let id = create(dir.path(), &purpose, &[], "2025-10-20T17:00:00Z".parse().unwrap()).unwrap().backup_id;
            assert_eq!(verify(dir.path(), &id), Vec::<String>::new());
            load(dir.path(), &id).unwrap()
        };
        assert_eq!(kept("x").steps, [Act::Redis(redis)]);
        assert_eq!(kept("x").restarts, [], "a setting takes effect by itself");
        assert_eq!(kept(CONFLICT).steps, []);
    }

    #[test]
    fn any_damage_is_seen_and_nothing_damaged_is_given_back() {
        let check = |damage: &dyn Fn(&Path), whole: bool| {
            let dir = tempfile::tempdir().unwrap();
            let metadata = save(dir.path(), "2025-10-19T17:00:00Z");
            damage(&dir.path().join(&metadata.backup_id));
            assert_eq!(verify(dir.path(), &metadata.backup_id).is_empty(), whole);
        };
        let edit = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("old", "odd").replace("/srv/a.py", "/srv/b.py")).unwrap();
        };
        check(&|_| {}, true);
        check(&|d| edit(d.join("files/0")), false);
        check(&|d| edit(d.join("metadata.json")), false);
        check(&|d| std::fs::remove_file(d.join("files/0")).unwrap(), false);
        check(&|d| std::fs::write(d.join("metadata.json"), "").unwrap(), false);
    }

    #[test]
    fn retention_keeps_by_number_age_and_need() {
        let dir = tempfile::tempdir().unwrap();
        for now in ["2025-10-01T00:00:00Z", "2025-10-02T00:00:00Z", "2025-10-18T00:00:00Z", "2025-10-19T00:00:00Z"] {
            save(dir.path(), now);
        }
        let listed = list(dir.path()).unwrap();
        let now = "2025-10-19T12:00:00Z".parse().unwrap();
        let check = |last: usize, days: u64, needed: &[String], expected: &[bool]| {
            let kept = retention(&listed, last, Duration::from_secs(days * 86_400), needed, now);
            assert_eq!(kept.iter().map(|k| k.because.is_some()).collect::<Vec<_>>(), expected);
        };
        check(1, 0, &[], &[true, false, false, false]);
        check(0, 2, &[], &[true, true, false, false]);
        check(1, 0, &["backup_20251001_000000".into()], &[true, false, false, true]);
        remove(dir.path(), "backup_20251001_000000").unwrap();
        assert_eq!(list(dir.path()).unwrap().len(), 3);
    }

    #[test]
    fn what_a_removal_that_was_cut_short_left_is_swept_up() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), "2025-10-01T00:00:00Z");
        std::fs::rename(dir.path().join("backup_20251001_000000"), dir.path().join(DOOMED)).unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
