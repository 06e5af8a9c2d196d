//! Files: looking at a target, and writing our own state so that a crash leaves old or new.
//!
//! Directories are walked by handle without following links, so that swapping one for a link during a pass leads
//! nowhere. May not live here: replacing a target (`replace`), and what to write.

use jiff::Timestamp;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags};
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
    pub(super) fn of(path: &Path, error: impl Into<std::io::Error>) -> Self {
        let error = error.into();
        match error.kind() {
            std::io::ErrorKind::NotFound => FileError::Absent(path.into()),
            std::io::ErrorKind::PermissionDenied => FileError::Denied(path.into()),
            _ => FileError::Io { path: path.into(), error },
        }
    }

    pub(super) fn refused(path: &Path, why: impl Into<String>) -> Self {
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

/// As a unit of ours sees what is not opened to it.
const READ_ONLY: &str = "is on a read-only file system; where the unit's sandbox makes it one, `healer init --systemd` opens what [allow] names";
const MOUNT_POINT: &str = "is a mount point of its own and cannot be replaced; mount its directory instead";

pub(super) fn check_kind(path: &Path, dir: &OwnedFd, stat: &rustix::fs::Stat) -> Result<(), FileError> {
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
        return Err(FileError::refused(path, MOUNT_POINT));
    }
    Ok(())
}

/// Whether a target could be replaced where it is: somebody may write to it, its directory can be written to, and neither
/// is write-protected.
/// Asked before a fix is planned, so that it is held rather than begun and undone.
///
/// # Errors
/// With what is in the way.
pub fn check_replaceable(path: &Path) -> Result<(), FileError> {
    let (dir, name) = open_parent(path)?;
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    match rustix::fs::accessat(&dir, ".", access, AtFlags::EACCESS) {
        Err(Errno::ROFS) => return Err(FileError::refused(path, READ_ONLY)),
        other => other.map_err(|e| FileError::of(path, e))?,
    }
    for (name, flags) in [(name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW), (OsStr::new("."), AtFlags::empty())] {
        let stat = rustix::fs::statx(&dir, name, flags, StatxFlags::BASIC_STATS).map_err(|e| FileError::of(path, e))?;
        // A directory may be one: what is mounted there is replaced inside of it.
        if name != "." && stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            return Err(FileError::refused(path, MOUNT_POINT));
        }
        if name != "." && stat.stx_mode & 0o222 == 0 {
            let why = format!("is read-only (mode {:04o}): nobody is to write to it", stat.stx_mode & 0o7777);
            return Err(FileError::refused(path, why));
        }
        if stat.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
            let why = "or its directory is write-protected (`chattr +i` or `+a`); nobody can replace it";
            return Err(FileError::refused(path, why));
        }
    }
    Ok(())
}

/// Opens the directory of an absolute path, walking from the root without following a single link.
pub(super) fn open_parent(path: &Path) -> Result<(OwnedFd, OsString), FileError> {
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

/// Syncs the directory that holds `path`.
pub fn sync_dir(path: &Path) -> Result<(), FileError> {
    let parent = match path.parent() {
        // A bare name lies in the directory that we are in.
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent.unwrap_or(Path::new("/")),
    };
    File::open(parent).and_then(|d| d.sync_all()).map_err(|e| FileError::of(parent, e))
}

/// Syncs a file that is there.
///
/// # Errors
/// When it cannot be: what was read from it may not be on the disk.
pub fn sync(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| FileError::of(path, e))
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

/// Like [`write_unsynced`] for what every pass replaces: the file of the time before stays beside it as `NAME.old`, takes
/// the new content and then changes places with it. A rename over a file makes ext4 write the new one out at once
/// (`auto_da_alloc`) and looks for a free inode, which is a twentieth of the CPU of a healthy pass.
///
/// # Errors
/// Whatever failed; the old file is then as it was.
pub fn write_exchanged(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let old = spare_of(path);
    let write = || -> std::io::Result<()> {
        let mut file = open_for_writing(&old, mode, false)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        match rustix::fs::renameat_with(CWD, &old, CWD, path, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            // The first one, or a file system that cannot exchange.
            Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => std::fs::rename(&old, path),
            Err(e) => Err(e.into()),
        }
    };
    write().map_err(|e| FileError::of(path, e))
}

/// Where [`write_exchanged`] leaves the content of the time before.
pub fn spare_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}

fn write_whole(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> Result<(), FileError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let write = || -> std::io::Result<()> {
        let mut file = open_for_writing(&temporary, mode, true)?;
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

fn open_for_writing(path: &Path, mode: u32, truncate: bool) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create(true).truncate(truncate).mode(mode).open(path)
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
        let mut file = std::fs::OpenOptions::new().read(true).append(true).create(true).mode(mode).open(path)?;
        let end = file.seek(SeekFrom::End(0))?;
        // Before its first line, so that a name is on the disk wherever a line is: the pass that made the file may have
        // been killed before it could see to that.
        if end == 0 && sync {
            File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
        }
        let torn = end > 0 && last_byte(&mut file)? != b'\n';
        let text = format!("{}{line}\n", if torn { "\n" } else { "" });
        let written = file.write_all(text.as_bytes()).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        if written.is_err() {
            let _ = file.set_len(end);
        }
        written
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

/// Creates a directory with this mode unless it is there, and those above it that are missing, and syncs the parent of
/// each.
///
/// # Errors
/// When it cannot be created.
pub fn ensure_dir(path: &Path, mode: u32) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        ensure_dir(parent, mode)?;
    }
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|e| FileError::of(path, e))?;
    sync_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        (dir, path)
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
    fn what_every_pass_replaces_is_the_new_content_and_beside_it_that_of_the_time_before() {
        let (_keep, root) = root();
        let path = root.join("state.json");
        let read = |path: &Path| std::fs::read_to_string(path).ok();
        let check = |new: &str, before: Option<&str>| {
            write_exchanged(&path, new.as_bytes(), 0o640).unwrap();
            assert_eq!(read(&path).as_deref(), Some(new));
            assert_eq!(read(&spare_of(&path)).as_deref(), before);
        };
        check("the first, which is long", None);
        check("2", Some("the first, which is long"));
        check("the third", Some("2"));
        std::fs::remove_file(&path).unwrap();
        check("the fourth", None);
        // What cannot be written leaves the file as it was.
        std::fs::create_dir(spare_of(&path)).unwrap();
        write_exchanged(&path, b"5", 0o640).unwrap_err();
        assert_eq!(read(&path).as_deref(), Some("the fourth"));
    }

    #[test]
    fn a_link_is_resolved_and_a_directory_swapped_for_a_link_is_refused() {
        let (_keep, root) = root();
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/a"), "x").unwrap();
        symlink(root.join("real"), root.join("link")).unwrap();
        assert_eq!(snapshot(&root.join("link/a")).unwrap().path, root.join("real/a"));
        assert!(matches!(open_parent(&root.join("link/a")), Err(FileError::Refused { .. })));
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
