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
    /// `None` in the instant between locking and writing it down.
    pub pid: Option<u32>,
    pub command: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid} (`{}`)", self.command),
            None => f.write_str("a process that has just started"),
        }
    }
}

/// Takes the lock at `path`, or says at once who holds it.
///
/// # Errors
/// When the file cannot be opened or written.
pub fn try_lock(path: &Path) -> Result<Result<Lock, Holder>> {
    let mut file = open(path)?;
    match file.try_lock() {
        Ok(()) => {
            sign(&mut file).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(Ok(Lock { _file: file }))
        }
        Err(TryLockError::WouldBlock) => Ok(Err(holder(&mut file))),
        Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Waits for the lock, however long its holder needs.
///
/// # Errors
/// When the file cannot be opened, locked or written.
pub fn wait_for_lock(path: &Path) -> Result<Lock> {
    let mut file = open(path)?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    sign(&mut file).with_context(|| format!("cannot write {}", path.display()))?;
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

/// Not emptied first: giving a file's block back and taking another at once makes the file system write it out.
fn sign(file: &mut File) -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().take(8).collect();
    let text = format!("{} {}\n", std::process::id(), args.join(" "));
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
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
        assert_eq!(
            text,
            format!("{} {}\n", std::process::id(), holder.command),
            "the line of the holder before is gone"
        );
        drop(first);
        assert!(try_lock(&path).unwrap().is_ok());
        assert!(path.exists());
    }
}
