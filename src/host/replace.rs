//! Replacing a target file whole, so that at every instant it is old or new and nobody's edit is lost.
//!
//! Lives here: the exchange of two names and the clearing up after a crash in the middle of it. May not live here:
//! whether to replace, and what becomes of somebody else's version (the caller keeps it).
//!
//! Two names beside the target belong to a transaction. `.NAME.healer-TAG.new` is ours while it is being written; it
//! becomes `.NAME.healer-TAG` when it is whole and synced. So what stands under the second name is either our version,
//! not yet exchanged, or what the exchange displaced, and its hash says which.

use super::files::{FileError, check_kind, open_parent, sha256};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RawMode, RenameFlags, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How a replacement ended when it was not an error.
#[derive(Debug, PartialEq, Eq)]
pub enum Replaced {
    Done,
    /// Somebody else had changed the file, or was writing to it: theirs is in place. The versions that are not were
    /// kept.
    Conflict,
}

/// Takes a version that is going to lose its name; it is removed only when this has succeeded.
pub type Keep<'a> = dyn FnMut(&[u8]) -> anyhow::Result<()> + 'a;

/// The two names, and the directory that they and the target are in.
struct Place<'a> {
    path: &'a Path,
    dir: OwnedFd,
    name: OsString,
    beside: OsString,
    unfinished: OsString,
}

/// What stands beside the target.
struct Version {
    /// `None`: somebody has put a link, a directory or the like in the target's place.
    content: Option<Vec<u8>>,
    /// Of the content, in hex; empty without one.
    sha256: String,
    /// Somebody has it open for writing.
    being_written: bool,
}

/// How long an editor that has the displaced file open for writing is waited for.
const WRITERS_TIMEOUT: Duration = Duration::from_secs(2);
const WRITERS_POLL: Duration = Duration::from_millis(5);
/// A larger version of somebody else's is not kept by us (64 MiB): it stays where it is, and a human is told.
const MAX_KEPT_BYTES: u64 = 64 << 20;
/// Exchanges before an editor that saves without end is left the last word.
const MOST_EXCHANGES: usize = 8;

/// Replaces the file at `path` (absolute, resolved) whole, keeping owner, mode and extended attributes (ACLs among
/// them). Our version is written and synced beside it, the two names are exchanged in one step, and what came out is
/// looked at: when it is not `expected` (SHA-256 in hex), or somebody has it open for writing, the two are exchanged
/// back. What then comes out must be ours, else it is a still newer edit and goes back into its place; `keep` takes
/// every version that stays without a name.
///
/// # Errors
/// Whatever failed. The target is whole, old or new; [`settle`] clears up what is left beside it.
pub fn replace(path: &Path, expected: &str, new: &[u8], tag: &str, keep: &mut Keep) -> anyhow::Result<Replaced> {
    let place = Place::of(path, tag)?;
    place.remove(&place.unfinished)?;
    let old = place.open(&place.name)?;
    let stat = rustix::fs::fstat(&old).map_err(|e| place.error(e))?;
    check_kind(path, &place.dir, &stat)?;
    let written = place.write(new, &old, &stat);
    drop(old);
    if let Err(error) = written {
        let _ = place.remove(&place.unfinished);
        return Err(error.into());
    }
    place.swap()?;
    let came_out = place.displaced()?;
    if came_out.sha256 == expected && !came_out.being_written {
        place.remove(&place.beside)?;
        place.sync()?;
        return Ok(Replaced::Done);
    }
    place.give_back(sha256(new), came_out, keep)?;
    Ok(Replaced::Conflict)
}

/// Clears up beside a target what a killed pass left there. A version that is neither `before` nor `after` (SHA-256 in
/// hex) was displaced by the exchange and is somebody's edit: it goes back into its place when ours is there, and is
/// kept otherwise.
///
/// # Errors
/// When something is there and cannot be read, kept or removed.
pub fn settle(path: &Path, before: &str, after: &str, tag: &str, keep: &mut Keep) -> anyhow::Result<()> {
    let place = Place::of(path, tag)?;
    place.remove(&place.unfinished)?;
    if !place.exists(&place.beside)? {
        // Also when nothing is there any more: whoever removed it may have been killed before the sync.
        return Ok(place.sync()?);
    }
    let beside = place.displaced()?;
    let known = |sha: &str| sha == before || sha == after;
    if known(&beside.sha256) && !beside.being_written {
        place.remove(&place.beside)?;
        return Ok(place.sync()?);
    }
    let live = match place.version(&place.name) {
        Ok(version) => version.sha256,
        Err(FileError::Absent(_)) => String::new(),
        Err(error) => return Err(error.into()),
    };
    match Some(live).filter(|sha| known(sha)) {
        // Ours is in its place: the exchange happened, and nobody has looked at what came out.
        Some(live) => place.give_back(live, beside, keep),
        None => place.give_up(&beside, keep),
    }
}

impl<'a> Place<'a> {
    fn of(path: &'a Path, tag: &str) -> Result<Self, FileError> {
        let (dir, name) = open_parent(path)?;
        let with = |end: &str| {
            let mut temporary = OsString::from(".");
            temporary.push(&name);
            temporary.push(format!(".healer-{tag}{end}"));
            temporary
        };
        let (beside, unfinished) = (with(""), with(".new"));
        Ok(Place { path, dir, name, beside, unfinished })
    }

    fn error(&self, error: impl Into<std::io::Error>) -> FileError {
        FileError::of(self.path, error)
    }

    fn open(&self, name: &OsStr) -> Result<OwnedFd, FileError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, name, flags, Mode::empty()).map_err(|e| self.error(e))
    }

    fn exists(&self, name: &OsStr) -> Result<bool, FileError> {
        match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(self.error(e)),
        }
    }

    /// Removes a name that may be there. Looked for first: a read-only file system refuses to remove even what is not
    /// there.
    fn remove(&self, name: &OsStr) -> Result<(), FileError> {
        if self.exists(name)? {
            rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()).map_err(|e| self.error(e))?;
        }
        Ok(())
    }

    /// What a name stands for.
    fn version(&self, name: &OsStr) -> Result<Version, FileError> {
        let other = Version { content: None, sha256: String::new(), being_written: false };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NXIO) => return Ok(other),
            opened => opened.map_err(|e| self.error(e))?,
        };
        let stat = rustix::fs::fstat(&file).map_err(|e| self.error(e))?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Ok(other);
        }
        let being_written = wait_for_writers(&file);
        let mut bytes = Vec::new();
        File::from(file).take(MAX_KEPT_BYTES + 1).read_to_end(&mut bytes).map_err(|e| self.error(e))?;
        Ok(Version { sha256: sha256(&bytes), content: Some(bytes), being_written })
    }

    /// Our version, whole and synced, under the second name.
    fn write(&self, new: &[u8], old: &OwnedFd, stat: &rustix::fs::Stat) -> Result<(), FileError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, &self.unfinished, flags, Mode::from_raw_mode(0o600))
            .map_err(|e| self.error(e))?;
        let mut file = File::from(file);
        file.write_all(new).map_err(|e| self.error(e))?;
        copy_metadata(old, &file, stat).map_err(|e| self.error(e))?;
        file.sync_all().map_err(|e| self.error(e))?;
        let names = (&self.unfinished, &self.beside);
        rustix::fs::renameat_with(&self.dir, names.0, &self.dir, names.1, RenameFlags::NOREPLACE)
            .map_err(|e| self.explain(e))
    }

    fn swap(&self) -> Result<(), FileError> {
        rustix::fs::renameat_with(&self.dir, &self.beside, &self.dir, &self.name, RenameFlags::EXCHANGE)
            .map_err(|e| self.explain(e))
    }

    fn explain(&self, error: Errno) -> FileError {
        match error {
            Errno::INVAL | Errno::NOSYS => {
                let why = "is on a file system that cannot exchange two files in one step; it is not edited";
                FileError::refused(self.path, why)
            }
            error => self.error(error),
        }
    }

    /// What stands beside the target, once nobody writes to it any more. It has lost its name to the exchange, so nobody
    /// new can open it; who has it open already is waited for, for a while.
    fn displaced(&self) -> Result<Version, FileError> {
        self.version(&self.beside)
    }

    /// Puts `beside` into its place; what then comes out must be what was there (`live`, SHA-256 in hex). When it is
    /// not, somebody saved meanwhile: that is a newer edit, and it goes back in the same way.
    fn give_back(&self, live: String, beside: Version, keep: &mut Keep) -> anyhow::Result<()> {
        let (mut live, mut beside) = (live, beside);
        for _ in 0..MOST_EXCHANGES {
            self.swap()?;
            let came_out = self.displaced()?;
            let expected = came_out.sha256 == live && !came_out.being_written;
            live = std::mem::replace(&mut beside, came_out).sha256;
            if expected {
                break;
            }
        }
        self.give_up(&beside, keep)
    }

    /// Keeps the version beside the target, then removes it.
    fn give_up(&self, beside: &Version, keep: &mut Keep) -> anyhow::Result<()> {
        let content = beside.content.as_ref().filter(|bytes| bytes.len() as u64 <= MAX_KEPT_BYTES);
        let Some(content) = content else {
            let name = self.path.with_file_name(&self.beside);
            anyhow::bail!("{} is somebody else's and cannot be kept: move it away by hand", name.display());
        };
        keep(content)?;
        self.remove(&self.beside)?;
        Ok(self.sync()?)
    }

    fn sync(&self) -> Result<(), FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&self.dir, ".", flags, Mode::empty()).map_err(|e| self.error(e))?;
        rustix::fs::fsync(&dir).map_err(|e| self.error(e))
    }
}

/// Waits until nobody has the file open for writing; whether somebody still has.
fn wait_for_writers(file: &OwnedFd) -> bool {
    let until = Instant::now() + WRITERS_TIMEOUT;
    while super::lease::is_open_for_writing(file) {
        if Instant::now() >= until {
            return true;
        }
        std::thread::sleep(WRITERS_POLL);
    }
    false
}

/// Owner, extended attributes, then the mode: `chown` clears the set-id bits, so the mode comes last.
fn copy_metadata(old: &OwnedFd, new: &File, stat: &rustix::fs::Stat) -> rustix::io::Result<()> {
    rustix::fs::fchown(new, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    let mut names = vec![0u8; 64 * 1024];
    let length = match rustix::fs::flistxattr(old, &mut names) {
        Err(Errno::NOTSUP) => 0,
        other => other?,
    };
    for name in names.get(..length).unwrap_or_default().split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let name = OsStr::new(std::str::from_utf8(name).unwrap_or_default());
        let mut value = vec![0u8; 64 * 1024];
        let length = rustix::fs::fgetxattr(old, name, &mut value)?;
        rustix::fs::fsetxattr(new, name, value.get(..length).unwrap_or_default(), XattrFlags::empty())?;
    }
    rustix::fs::fchmod(new, Mode::from_raw_mode((stat.st_mode & 0o7777) as RawMode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::PathBuf;

    struct Dir {
        _keep: tempfile::TempDir,
        target: PathBuf,
        kept: Vec<Vec<u8>>,
    }

    impl Dir {
        fn with(content: &str) -> Dir {
            let dir = tempfile::tempdir().unwrap();
            let target = dir.path().canonicalize().unwrap().join("a.py");
            std::fs::write(&target, content).unwrap();
            Dir { _keep: dir, target, kept: Vec::new() }
        }

        fn replace(&mut self, expected: &str, new: &str) -> Replaced {
            let kept = &mut self.kept;
            let mut keep = |bytes: &[u8]| {
                kept.push(bytes.to_vec());
                Ok(())
            };
            replace(&self.target, &sha256(expected.as_bytes()), new.as_bytes(), "t1", &mut keep).unwrap()
        }

        fn settle(&mut self, before: &str, after: &str) {
            let kept = &mut self.kept;
            let mut keep = |bytes: &[u8]| {
                kept.push(bytes.to_vec());
                Ok(())
            };
            settle(&self.target, &sha256(before.as_bytes()), &sha256(after.as_bytes()), "t1", &mut keep).unwrap();
        }

        fn beside(&self, end: &str, content: &str) {
            std::fs::write(self.target.with_file_name(format!(".a.py.healer-t1{end}")), content).unwrap();
        }

        #[track_caller]
        fn assert_holds(&self, content: &str, kept: &[&str]) {
            assert_eq!(std::fs::read_to_string(&self.target).unwrap(), content);
            assert_eq!(self.kept, kept.iter().map(|k| k.as_bytes().to_vec()).collect::<Vec<_>>());
            assert_eq!(std::fs::read_dir(self.target.parent().unwrap()).unwrap().count(), 1, "left beside the target");
        }
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_leaves_nothing_beside() {
        let mut dir = Dir::with("old");
        std::fs::set_permissions(&dir.target, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(dir.replace("old", "new"), Replaced::Done);
        dir.assert_holds("new", &[]);
        assert_eq!(std::fs::metadata(&dir.target).unwrap().mode() & 0o7777, 0o640);
    }

    #[test]
    fn an_edit_made_meanwhile_stays_and_ours_is_kept() {
        let mut dir = Dir::with("by a human");
        assert_eq!(dir.replace("old", "new"), Replaced::Conflict);
        dir.assert_holds("by a human", &["new"]);
    }

    #[test]
    fn a_link_that_somebody_put_in_the_targets_place_goes_back_there() {
        let mut dir = Dir::with("new");
        std::os::unix::fs::symlink("elsewhere", dir.target.with_file_name(".a.py.healer-t1")).unwrap();
        dir.settle("old", "new");
        assert_eq!(std::fs::read_link(&dir.target).unwrap(), PathBuf::from("elsewhere"));
        assert_eq!(dir.kept, [b"new"]);
    }

    #[test]
    fn an_editor_that_has_the_file_open_is_waited_for() {
        let mut dir = Dir::with("old");
        let mut editor = std::fs::OpenOptions::new().append(true).open(&dir.target).unwrap();
        let target = dir.target.clone();
        let saving = std::thread::spawn(move || {
            let exchanged = || std::fs::read_to_string(&target).unwrap() == "new";
            while !exchanged() {
                std::thread::yield_now();
            }
            editor.write_all(b" and more").unwrap();
        });
        assert_eq!(dir.replace("old", "new"), Replaced::Conflict);
        saving.join().unwrap();
        dir.assert_holds("old and more", &["new"]);
    }

    #[test]
    fn what_a_killed_pass_left_beside_the_target_is_cleared_up_and_no_edit_is_lost() {
        let check = |live: &str, beside: &[(&str, &str)], expected: &str, kept: &[&str]| {
            let mut dir = Dir::with(live);
            for (end, content) in beside {
                dir.beside(end, content);
            }
            dir.settle("old", "new");
            dir.assert_holds(expected, kept);
        };
        check("old", &[], "old", &[]);
        check("old", &[(".new", "ne")], "old", &[]);
        check("old", &[("", "new")], "old", &[]);
        check("new", &[("", "old")], "new", &[]);
        // Displaced by the exchange, and nobody has looked yet.
        check("new", &[("", "by a human")], "by a human", &["new"]);
        check("new", &[(".new", ""), ("", "by a human")], "by a human", &["new"]);
        // Given back already.
        check("by a human", &[("", "new")], "by a human", &[]);
        // Two edits: one displaced, one made since.
        check("by a human", &[("", "earlier by a human")], "by a human", &["earlier by a human"]);
    }

    #[test]
    fn a_version_that_cannot_be_kept_is_not_removed() {
        let dir = Dir::with("newer by a human");
        dir.beside("", "by a human");
        let mut keep = |_: &[u8]| anyhow::bail!("no room");
        assert!(settle(&dir.target, &sha256(b"old"), &sha256(b"new"), "t1", &mut keep).is_err());
        assert_eq!(std::fs::read_to_string(dir.target.with_file_name(".a.py.healer-t1")).unwrap(), "by a human");
    }
}
