//! Files: looking at a target, replacing it whole, and writing our own state so that a crash leaves old or new.
//!
//! Lives here: every write of healer to a disk. Directories are walked by handle without following links, so that
//! swapping one for a link during a pass leads nowhere. May not live here: what to write.

use crate::host::clock;
use jiff::Timestamp;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RawMode, RenameFlags, StatxAttributes, StatxFlags, Uid, XattrFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

/// Files larger than this are never edited (1 MiB).
pub const MAX_TARGET_BYTES: u64 = 1024 * 1024;

/// Why a file cannot be a target.
#[derive(Debug)]
pub enum FileError {
    Absent(PathBuf),
    Denied(PathBuf),
    Refused { path: PathBuf, why: String },
    Io { path: PathBuf, error: std::io::Error },
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FileError::Absent(path) => write!(f, "{} does not exist", path.display()),
            FileError::Denied(path) => {
                write!(
                    f,
                    "{}: permission denied; healer needs to read it and to write in its directory",
                    path.display()
                )
            }
            FileError::Refused { path, why } => write!(f, "{} {why}", path.display()),
            FileError::Io { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for FileError {}

impl FileError {
    fn of(path: &Path, error: impl Into<std::io::Error>) -> Self {
        let error = error.into();
        match error.kind() {
            std::io::ErrorKind::NotFound => FileError::Absent(path.into()),
            std::io::ErrorKind::PermissionDenied => FileError::Denied(path.into()),
            _ => FileError::Io { path: path.into(), error },
        }
    }

    fn refused(path: &Path, why: impl Into<String>) -> Self {
        FileError::Refused { path: path.into(), why: why.into() }
    }
}

/// A target file as it is now.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Absolute, every link resolved.
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// SHA-256 of `bytes`, in hex.
    pub sha256: String,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: Option<Timestamp>,
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Reads a target: a regular file with one name, at most [`MAX_TARGET_BYTES`], that can be replaced where it is.
///
/// # Errors
/// When it is absent, not readable, no regular file, has several hard links, is a mount point, or is too large.
pub fn snapshot(path: &Path) -> Result<Snapshot, FileError> {
    let resolved = std::fs::canonicalize(path).map_err(|e| FileError::of(path, e))?;
    let (dir, name) = open_parent(&resolved)?;
    let file = rustix::fs::openat(
        &dir,
        &name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| FileError::of(&resolved, e))?;
    let stat = rustix::fs::fstat(&file).map_err(|e| FileError::of(&resolved, e))?;
    check_kind(&resolved, &dir, &stat)?;
    let mut bytes = Vec::with_capacity(stat.st_size.try_into().unwrap_or(0));
    File::from(file).take(MAX_TARGET_BYTES + 1).read_to_end(&mut bytes).map_err(|e| FileError::of(&resolved, e))?;
    if bytes.len() as u64 > MAX_TARGET_BYTES {
        return Err(FileError::refused(&resolved, "is larger than 1 MiB; files of this size are not edited"));
    }
    Ok(Snapshot {
        sha256: sha256(&bytes),
        path: resolved,
        bytes,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        modified: Timestamp::from_second(stat.st_mtime as i64).ok(),
    })
}

fn check_kind(path: &Path, dir: &OwnedFd, stat: &rustix::fs::Stat) -> Result<(), FileError> {
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(FileError::refused(path, "is not a regular file"));
    }
    if stat.st_nlink > 1 {
        return Err(FileError::refused(
            path,
            format!("has {} hard links; replacing one name would split them", stat.st_nlink),
        ));
    }
    let parent = rustix::fs::fstat(dir).map_err(|e| FileError::of(path, e))?;
    if parent.st_dev != stat.st_dev {
        return Err(FileError::refused(
            path,
            "is a mount point of its own and cannot be replaced; mount its directory instead",
        ));
    }
    Ok(())
}

/// Whether a target could be replaced where it is: its directory can be written to, and neither is write-protected.
/// Asked before a fix is planned, so that it is held rather than begun and undone.
///
/// # Errors
/// With what is in the way.
pub fn check_replaceable(path: &Path) -> Result<(), FileError> {
    let (dir, name) = open_parent(path)?;
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    match rustix::fs::accessat(&dir, ".", access, AtFlags::EACCESS) {
        Err(Errno::ROFS) => return Err(FileError::refused(path, "is on a read-only file system")),
        other => other.map_err(|e| FileError::of(path, e))?,
    }
    for (name, flags) in [(name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW), (OsStr::new("."), AtFlags::empty())] {
        let stat = rustix::fs::statx(&dir, name, flags, StatxFlags::BASIC_STATS).map_err(|e| FileError::of(path, e))?;
        if stat.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
            let why = "or its directory is write-protected (`chattr +i` or `+a`); nobody can replace it";
            return Err(FileError::refused(path, why));
        }
    }
    Ok(())
}

/// Opens the directory of an absolute path, walking from the root without following a single link.
fn open_parent(path: &Path) -> Result<(OwnedFd, OsString), FileError> {
    let name = path.file_name().ok_or_else(|| FileError::refused(path, "names no file"))?.to_owned();
    let parent = path.parent().ok_or_else(|| FileError::refused(path, "has no directory"))?;
    Ok((open_dir(parent)?, name))
}

/// Opens an absolute directory by handle, component by component, refusing links.
pub fn open_dir(path: &Path) -> Result<OwnedFd, FileError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut dir = rustix::fs::open("/", flags, Mode::empty()).map_err(|e| FileError::of(path, e))?;
    for part in path.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(name) => {
                dir = rustix::fs::openat(&dir, name, flags, Mode::empty()).map_err(|e| match e {
                    Errno::LOOP | Errno::NOTDIR => FileError::refused(
                        path,
                        "is reached through a link that was not there a moment ago; nothing was touched",
                    ),
                    e => FileError::of(path, e),
                })?;
            }
            _ => return Err(FileError::refused(path, "is not an absolute path without `..`")),
        }
    }
    Ok(dir)
}

/// How a replacement ended when it was not an error.
#[derive(Debug, PartialEq, Eq)]
pub enum Replaced {
    Done,
    /// Somebody else had changed the file: theirs is back in place, ours is gone.
    Conflict,
}

/// The name of the temporary file beside a target; fixed by the transaction, so that recovery can find it.
fn temporary_name(name: &OsStr, tag: &str) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".healer-");
    temporary.push(tag);
    temporary
}

/// Replaces the file at `path` (absolute, resolved) whole, keeping owner, mode and extended attributes (ACLs among
/// them). The new file is written and synced beside it, the two are exchanged in one step, and what came out is looked
/// at: when that is not `expected` (SHA-256 in hex), somebody edited the file meanwhile and it is swapped back.
///
/// # Errors
/// Whatever failed; the target is then as it was, and the temporary file is gone as far as that was possible.
pub fn replace(path: &Path, expected: &str, new: &[u8], tag: &str) -> Result<Replaced, FileError> {
    let (dir, name) = open_parent(path)?;
    let temporary = temporary_name(&name, tag);
    let result = exchange(path, &dir, &name, &temporary, expected, new);
    if result.is_err() {
        let _ = rustix::fs::unlinkat(&dir, &temporary, AtFlags::empty());
    }
    result
}

fn exchange(
    path: &Path,
    dir: &OwnedFd,
    name: &OsStr,
    temporary: &OsStr,
    expected: &str,
    new: &[u8],
) -> Result<Replaced, FileError> {
    let fail = |e: Errno| FileError::of(path, e);
    let _ = rustix::fs::unlinkat(dir, temporary, AtFlags::empty());
    let old = rustix::fs::openat(dir, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(fail)?;
    let stat = rustix::fs::fstat(&old).map_err(fail)?;
    check_kind(path, dir, &stat)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, temporary, flags, Mode::from_raw_mode(0o600)).map_err(fail)?;
    let mut file = File::from(file);
    file.write_all(new).map_err(|e| FileError::of(path, e))?;
    copy_metadata(&old, &file, &stat).map_err(fail)?;
    file.sync_all().map_err(|e| FileError::of(path, e))?;
    swap(path, dir, name, temporary)?;
    let came_out = read_at(dir, temporary).map_err(|e| FileError::of(path, e))?;
    if sha256(&came_out) != expected {
        swap(path, dir, name, temporary)?;
        rustix::fs::unlinkat(dir, temporary, AtFlags::empty()).map_err(fail)?;
        sync_dir(path)?;
        return Ok(Replaced::Conflict);
    }
    rustix::fs::unlinkat(dir, temporary, AtFlags::empty()).map_err(fail)?;
    sync_dir(path)?;
    Ok(Replaced::Done)
}

fn swap(path: &Path, dir: &OwnedFd, name: &OsStr, temporary: &OsStr) -> Result<(), FileError> {
    rustix::fs::renameat_with(dir, temporary, dir, name, RenameFlags::EXCHANGE).map_err(|e| match e {
        Errno::INVAL | Errno::NOSYS => {
            FileError::refused(path, "is on a file system that cannot exchange two files in one step; it is not edited")
        }
        e => FileError::of(path, e),
    })
}

fn read_at(dir: &OwnedFd, name: &OsStr) -> std::io::Result<Vec<u8>> {
    let file = rustix::fs::openat(dir, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::new();
    File::from(file).take(MAX_TARGET_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
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

/// Removes the temporary file that a killed pass may have left beside a target. What it holds when the exchange was
/// done is the old content, of which there is a backup.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_temporary(path: &Path, tag: &str) -> Result<(), FileError> {
    let (dir, name) = open_parent(path)?;
    let temporary = temporary_name(&name, tag);
    // Looked for first: a read-only file system refuses to remove even what is not there.
    if rustix::fs::statat(&dir, &temporary, AtFlags::SYMLINK_NOFOLLOW).is_err_and(|e| e == Errno::NOENT) {
        return Ok(());
    }
    rustix::fs::unlinkat(&dir, &temporary, AtFlags::empty()).map_err(|e| FileError::of(path, e))?;
    sync_dir(path)
}

/// Syncs the directory that holds `path`.
pub fn sync_dir(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent).and_then(|d| d.sync_all()).map_err(|e| FileError::of(parent, e))
}

/// Writes a file of our own whole: temporary file, sync, rename, sync of the directory.
///
/// # Errors
/// Whatever failed; the old file is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    write_whole(path, bytes, mode, true)?;
    sync_dir(path)
}

/// Like [`write_atomic`] without the syncs: old or new after a crash of the process, anything after a power cut.
///
/// # Errors
/// Whatever failed; the old file is then as it was.
pub fn write_unsynced(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    write_whole(path, bytes, mode, false)
}

fn write_whole(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> Result<(), FileError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let write = || -> std::io::Result<()> {
        let mut file = open_for_writing(&temporary, mode)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        FileError::of(path, e)
    })
}

fn open_for_writing(path: &Path, mode: u32) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)
}

/// Appends one line to a JSONL file in one write and syncs it. A torn last line, left by a crash, is ended first, so
/// that it spoils nothing but itself.
///
/// # Errors
/// Whatever failed; a half-written line is cut off again as far as that was possible.
pub fn append_line(path: &Path, line: &str, mode: u32) -> Result<(), FileError> {
    append(path, line, mode, true)
}

/// Like [`append_line`] without the sync.
///
/// # Errors
/// Whatever failed.
pub fn append_unsynced(path: &Path, line: &str, mode: u32) -> Result<(), FileError> {
    append(path, line, mode, false)
}

fn append(path: &Path, line: &str, mode: u32, sync: bool) -> Result<(), FileError> {
    use std::os::unix::fs::OpenOptionsExt;
    let append = || -> std::io::Result<()> {
        let new = !path.exists();
        let mut file = std::fs::OpenOptions::new().read(true).append(true).create(true).mode(mode).open(path)?;
        let end = file.seek(SeekFrom::End(0))?;
        let torn = end > 0 && last_byte(&mut file)? != b'\n';
        let text = format!("{}{line}\n", if torn { "\n" } else { "" });
        let written = file.write_all(text.as_bytes()).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        if let Err(e) = written {
            let _ = file.set_len(end);
            return Err(e);
        }
        if new && sync { File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all() } else { Ok(()) }
    };
    append().map_err(|e| FileError::of(path, e))
}

fn last_byte(file: &mut File) -> std::io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    let [byte] = last;
    Ok(byte)
}

/// Creates a directory with this mode unless it is there, and syncs its parent.
///
/// # Errors
/// When it cannot be created.
pub fn ensure_dir(path: &Path, mode: u32) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|e| FileError::of(path, e))?;
    sync_dir(path)
}

/// Age of a modification time at `now`; a time in the future counts as just now.
pub fn age(modified: Option<Timestamp>, now: Timestamp) -> std::time::Duration {
    modified.map_or(std::time::Duration::MAX, |m| clock::between(m, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn root() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        (dir, path)
    }

    #[test]
    fn a_replaced_file_keeps_mode_and_leaves_nothing_beside() {
        let (_keep, root) = root();
        let target = root.join("a.py");
        std::fs::write(&target, "old").unwrap();
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(replace(&target, &sha256(b"old"), b"new", "t1").unwrap(), Replaced::Done);
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1);
    }

    #[test]
    fn an_edit_made_meanwhile_stays() {
        let (_keep, root) = root();
        let target = root.join("a.py");
        std::fs::write(&target, "by a human").unwrap();
        assert_eq!(replace(&target, &sha256(b"old"), b"new", "t1").unwrap(), Replaced::Conflict);
        assert_eq!(std::fs::read(&target).unwrap(), b"by a human");
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_safely_is_no_target() {
        let (_keep, root) = root();
        let check = |make: &dyn Fn(&Path), why: &str| {
            let target = root.join("target");
            make(&target);
            let error = snapshot(&target).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            let _ = std::fs::remove_file(&target).or_else(|_| std::fs::remove_dir(&target));
        };
        check(&|_| {}, "does not exist");
        check(&|t| std::fs::create_dir(t).unwrap(), "not a regular file");
        check(&|t| std::fs::write(t, vec![0; 1024 * 1024 + 1]).unwrap(), "larger than 1 MiB");
        check(
            &|t| {
                std::fs::write(t, "x").unwrap();
                std::fs::hard_link(t, root.join("other")).unwrap();
            },
            "2 hard links",
        );
    }

    #[test]
    fn a_link_is_resolved_and_a_directory_swapped_for_a_link_is_refused() {
        let (_keep, root) = root();
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/a"), "x").unwrap();
        symlink(root.join("real"), root.join("link")).unwrap();
        assert_eq!(snapshot(&root.join("link/a")).unwrap().path, root.join("real/a"));
        assert!(matches!(replace(&root.join("link/a"), &sha256(b"x"), b"y", "t"), Err(FileError::Refused { .. })));
    }

    #[test]
    fn a_torn_line_spoils_only_itself() {
        let (_keep, root) = root();
        let log = root.join("a.jsonl");
        std::fs::write(&log, "{\"a\":1}\n{\"torn").unwrap();
        append_line(&log, "{\"b\":2}", 0o640).unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "{\"a\":1}\n{\"torn\n{\"b\":2}\n");
    }
}
