//! The lock of one state directory: `flock` on a file that is never removed, free the moment its holder dies.

use anyhow::{Context, Result};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// Held until dropped; not inherited by children (the descriptor closes on exec).
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who holds a lock that could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// `None` in the instant between locking and writing it down, and where the disk was too full for that.
    pub pid: Option<u32>,
    pub command: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid} (`{}`)", self.command),
            None => f.write_str("another process, which could not write its id down (yet),"),
        }
    }
}

/// Takes the lock at `path`, or says at once who holds it.
///
/// # Errors
/// When the file cannot be opened or locked.
pub fn try_lock(path: &Path) -> Result<Result<Lock, Holder>> {
    let mut file = open(path)?;
    match file.try_lock() {
        Ok(()) => {
            sign(&mut file);
            Ok(Ok(Lock { _file: file }))
        }
        Err(TryLockError::WouldBlock) => Ok(Err(holder(&mut file))),
        Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Who holds the lock at `path`, without touching it: the kernel's list of locks says so.
pub fn holder_of(path: &Path) -> Option<Holder> {
    use std::os::unix::fs::MetadataExt;
    let mut file = File::open(path).ok()?;
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // proc_locks(5): `1: FLOCK  ADVISORY  WRITE 3256 08:01:1234 0 EOF`.
    let held = locks
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|words| words.get(1) == Some(&"FLOCK") && words.get(5).is_some_and(|device| device.ends_with(&inode)));
    held.then(|| holder(&mut file))
}

/// Whether [`holder_of`] can see who holds a lock: not where a sandbox hides the kernel's list.
pub fn is_visible() -> bool {
    std::fs::metadata("/proc/locks").is_ok()
}

/// Waits for the lock, however long its holder needs.
///
/// # Errors
/// When the file cannot be opened or locked.
pub fn wait_for_lock(path: &Path) -> Result<Lock> {
    let mut file = open(path)?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    sign(&mut file);
    Ok(Lock { _file: file })
}

/// The same for a moment's work: who holds it is not written down, as nobody will ask.
///
/// # Errors
/// When the file cannot be opened or locked.
pub fn wait_briefly(path: &Path) -> Result<Lock> {
    let file = open(path)?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(Lock { _file: file })
}

fn open(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(path)
        .with_context(|| format!("cannot open the lock {}", path.display()))
}

/// Writes down who holds the lock. It is held without that too: a full disk must not keep a pass from telling of it.
/// Not emptied first: giving a file's block back and taking another at once makes the file system write it out.
fn sign(file: &mut File) {
    let args: Vec<String> = std::env::args_os().take(8).map(|a| a.to_string_lossy().into_owned()).collect();
    let line = format!("{} {}\n", std::process::id(), args.join(" "));
    let written = file.rewind().and_then(|()| file.write_all(line.as_bytes()));
    let _ = written.and_then(|()| file.set_len(line.len() as u64));
}

fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file.take(4096).read_to_string(&mut text);
    // What follows may be the rest of a longer line of the holder before.
    let line = text.lines().next().unwrap_or_default();
    let (pid, command) = line.split_once(' ').unwrap_or((line, ""));
    Holder { pid: pid.parse().ok(), command: command.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_and_the_other_is_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, format!("1 {}\nmore\n", "long ".repeat(1000))).unwrap();
        let first = try_lock(&path).unwrap().unwrap();
        let holder = try_lock(&path).unwrap().unwrap_err();
        assert_eq!(holder.pid, Some(std::process::id()));
        let text = std::fs::read_to_string(&path).unwrap();
        let line = format!("{} {}\n", std::process::id(), holder.command);
        assert_eq!(text, line, "the line of the holder before is gone");
        assert_eq!(holder_of(&path), Some(holder));
        drop(first);
        assert_eq!(holder_of(&path), None);
        assert!(try_lock(&path).unwrap().is_ok());
        assert!(path.exists());
    }
}
