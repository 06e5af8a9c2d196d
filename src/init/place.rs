//! Putting a new configuration into its place: whole, and never over another one.

use super::found::Credential;
use crate::host::files;
use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{AtFlags, CWD, RenameFlags};
use rustix::io::Errno;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What the package leaves where no configuration is yet: init may replace it.
pub const SHIPPED: &str = include_str!("../../examples/healer.toml");

/// Who may read what passes leave, and the configuration.
const GROUP: &str = "healer";

/// What is at the target now.
#[derive(Debug, PartialEq, Eq)]
pub enum There {
    Nothing,
    /// The package's own file, as it came.
    Shipped,
    Somebodys,
}

/// Looks.
///
/// # Errors
/// When it cannot be told.
pub fn look(path: &Path) -> Result<There> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(There::Nothing),
        Err(e) => return Err(e).with_context(|| format!("cannot look at {}: run as a user who may", path.display())),
    };
    let is_shipped = meta.is_file() && std::fs::read(path).is_ok_and(|bytes| bytes == SHIPPED.as_bytes());
    Ok(if is_shipped { There::Shipped } else { There::Somebodys })
}

/// A configuration that is written and does not have its name yet; removed when it does not get it.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    target: PathBuf,
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Draft {
    /// Writes it beside its target, synced, for the group `healer` where there is one.
    ///
    /// # Errors
    /// When it cannot be written there.
    pub fn write(target: &Path, text: &str) -> Result<Draft> {
        let parent = target.parent().unwrap_or(Path::new("/"));
        let refused = || format!("cannot write to {}: run as root, or name another file with -c", parent.display());
        files::ensure_dir(parent, 0o755).with_context(refused)?;
        let name = target.file_name().ok_or_else(|| anyhow!("{} names no file", target.display()))?.to_string_lossy();
        let path = parent.join(format!(".{name}.init-{}", std::process::id()));
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path).with_context(refused)?;
        let draft = Draft { path, target: target.to_owned() };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(refused)?;
        let _ = std::fs::set_permissions(&draft.path, PermissionsExt::from_mode(0o640));
        give_to_group(&draft.path);
        Ok(draft)
    }

    /// Where it lies until it has its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, if nobody has it. What the package shipped gives way.
    ///
    /// # Errors
    /// When there is a configuration, or it cannot be done.
    pub fn place(self) -> Result<()> {
        let taken = || exists(&self.target);
        match rustix::fs::renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => self.exchange()?,
            // A file system that cannot: a second name is never given over another file either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                match rustix::fs::linkat(CWD, &self.path, CWD, &self.target, AtFlags::empty()) {
                    Ok(()) => {}
                    Err(Errno::EXIST) => return Err(taken()),
                    Err(error) => return Err(error).with_context(|| format!("cannot write {}", self.target.display())),
                }
            }
            Err(error) => return Err(error).with_context(|| format!("cannot write {}", self.target.display())),
        }
        files::sync_dir(self.target.parent().unwrap_or(Path::new("/")))?;
        Ok(())
    }

    /// Two names change their files in one step, and what came out is looked at: only the shipped file may go.
    fn exchange(&self) -> Result<()> {
        if look(&self.target)? != There::Shipped {
            return Err(exists(&self.target));
        }
        let swap = || rustix::fs::renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::EXCHANGE);
        swap().with_context(|| format!("cannot replace {}", self.target.display()))?;
        if look(&self.path)? != There::Shipped {
            swap().with_context(|| format!("cannot put back {}", self.target.display()))?;
            return Err(exists(&self.target));
        }
        Ok(())
    }
}

/// The error of a target that is taken.
pub fn exists(path: &Path) -> anyhow::Error {
    anyhow!(
        "{} is there already, and init never overwrites: look at it with `healer {}config check`, or write another \
         file with `healer -c FILE init`",
        path.display(),
        crate::config::option(path)
    )
}

pub(super) fn give_to_group(path: &Path) {
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let of = |line: &str| {
        let mut parts = line.split(':');
        (parts.next() == Some(GROUP)).then(|| parts.nth(1)?.parse().ok()).flatten()
    };
    // A user who may not keeps the file to himself.
    if let Some(group) = text.lines().find_map(of) {
        let _ = std::os::unix::fs::chown(path, None, Some(group));
    }
}

/// A configuration that is kept becomes readable for the group that has just been made.
pub fn open_to_group(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o040 != 0 && meta.gid() == 0) {
        give_to_group(path);
    }
}

/// Writes the passwords beside the configuration, readable by their owner alone; what is there stays.
///
/// # Errors
/// When one cannot be written, or another one is there.
pub fn credentials(all: &[Credential]) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let done = write_credentials(all, &mut written);
    if done.is_err() {
        take_back(&written);
    }
    done.map(|()| written)
}

fn write_credentials(all: &[Credential], written: &mut Vec<PathBuf>) -> Result<()> {
    for credential in all {
        let directory = credential.file.parent().unwrap_or(Path::new("/"));
        files::ensure_dir(directory, 0o700)?;
        let text = format!("{}\n", credential.value.reveal());
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&credential.file);
        match opened {
            Ok(mut file) => {
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
                    .with_context(|| format!("cannot write {}", credential.file.display()))?;
                written.push(credential.file.clone());
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                if std::fs::read(&credential.file).is_ok_and(|bytes| bytes == text.as_bytes()) {
                    continue;
                }
                bail!(
                    "{} is there already and holds something else: move it away, and run init again",
                    credential.file.display()
                );
            }
            Err(e) => return Err(e).with_context(|| format!("cannot write {}", credential.file.display())),
        }
    }
    Ok(())
}

/// Takes back what was written for a configuration that did not come to be.
pub fn take_back(written: &[PathBuf]) {
    for file in written {
        let _ = std::fs::remove_file(file);
        let _ = file.parent().map(std::fs::remove_dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shipped_file_gives_way() {
        let check = |before: Option<&str>, placed: bool| {
            let dir = tempfile::tempdir().unwrap();
            let target = dir.path().join("healer.toml");
            if let Some(text) = before {
                std::fs::write(&target, text).unwrap();
            }
            let result = Draft::write(&target, "new").unwrap().place();
            assert_eq!(result.is_ok(), placed, "{before:?}: {result:?}");
            let now = std::fs::read_to_string(&target).unwrap();
            assert_eq!(now, if placed { "new" } else { before.unwrap() });
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something is left");
            assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o777, if placed { 0o640 } else { 0o644 });
        };
        check(None, true);
        check(Some(SHIPPED), true);
        check(Some(&format!("{SHIPPED}# mine\n")), false);
        check(Some(""), false);
    }
}
