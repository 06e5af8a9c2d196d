//! The files beside a log: which there are, and which of them its rotations may be by their names.
//!
//! Lives here: names and directories. Not here: what is in the files.

use super::cursor::{FileCursor, Identity};
use super::files::is_packed;
use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Files looked at in one directory.
const MAX_SIBLINGS: usize = 1000;
/// Listings of a directory that changes, at most.
const LISTINGS: u32 = 5;

/// A file that is there.
#[derive(Debug, Clone)]
pub struct Present {
    pub path: PathBuf,
    pub id: Identity,
}

/// When files were last written (ns), by their paths.
#[derive(Default)]
pub struct LastWritten(Vec<(PathBuf, i128)>);

impl LastWritten {
    pub fn add(&mut self, path: &Path, mtime: i128) {
        self.0.push((path.to_owned(), mtime));
    }

    /// The times of a log and of its rotated files.
    pub fn of(&self, path: &Path) -> impl Iterator<Item = i128> {
        let same = move |other: &Path| other == path || is_rotation_of(other, path) || is_rotation_of(path, other);
        self.0.iter().filter(move |(other, _)| same(other)).map(|(_, mtime)| *mtime)
    }
}

/// Opens a file that was seen; `None` when another one, or none, has its name now.
pub fn open(file: &Present) -> Result<Option<File>> {
    let path = &file.path;
    match File::open(path) {
        Ok(opened) => {
            let id = Identity::of(&opened.metadata()?);
            Ok(Some(opened).filter(|_| id.is_same_file(file.id)))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot open {}: it needs to be readable for healer", path.display())),
    }
}

/// The other files of its directory and itself, those that look like its rotations first. Files that are renamed while a
/// directory is listed can be missed: it is listed until it is the same twice.
pub fn siblings(path: &Path) -> Vec<Present> {
    let list = || -> Vec<Present> {
        let Some(entries) = path.parent().and_then(|dir| std::fs::read_dir(dir).ok()) else { return Vec::new() };
        let look = |entry: std::fs::DirEntry| {
            let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some(Present { path: entry.path(), id: Identity::of(&meta) })
        };
        let mut files: Vec<Present> = entries.flatten().take(MAX_SIBLINGS).filter_map(look).collect();
        files.sort_by_key(|f| (!is_rotation_of(&f.path, path), is_packed(&f.path), std::cmp::Reverse(f.id.mtime)));
        files
    };
    let names = |files: &[Present]| -> Vec<(PathBuf, u64)> {
        let mut names: Vec<_> = files.iter().map(|f| (f.path.clone(), f.id.ino)).collect();
        names.sort();
        names
    };
    let mut files = list();
    for _ in 1..LISTINGS {
        let again = list();
        let same = names(&again) == names(&files);
        files = again;
        if same {
            break;
        }
    }
    files
}

/// Whether the file of a cursor is still in its directory, under any name.
pub fn is_beside(cursor: &FileCursor) -> bool {
    siblings(&cursor.path).iter().any(|file| cursor.is_same_inode(file.id))
}

/// `app.log.1`, `app.log-20250101.gz`, `app-20250101.log`, `app.1.log` of `app.log`; also of `app.log.1` itself.
pub fn is_rotation_of(path: &Path, of: &Path) -> bool {
    let (packed, of) = (file_name(path), file_name(of));
    let base = of.trim_end_matches(".gz").trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let (stem, extension) = base.rsplit_once('.').unwrap_or((base, ""));
    let counts = |mark: &str| {
        !mark.is_empty()
            && mark.starts_with(['.', '-', '_'])
            && mark.bytes().all(|b| b.is_ascii_digit() || b".-_T".contains(&b))
    };
    let name = packed.trim_end_matches(".gz");
    if name == of && packed != of {
        return true;
    }
    let dated =
        name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)).map(|rest| rest.trim_end_matches('.'));
    !stem.is_empty() && (name.strip_prefix(base).is_some_and(counts) || dated.is_some_and(counts))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
