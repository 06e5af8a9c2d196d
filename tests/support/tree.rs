//! A directory tree as a value: every path with its bytes, mode, owner, time of change and inode.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Everything below a directory at one moment. Equal trees: nothing was written, not even the same bytes again.
#[derive(Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, Entry>);

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    content: Content,
    mode: u32,
    owner: (u32, u32),
    /// Seconds and nanoseconds; the change time sees what a restored modification time hides.
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

#[derive(Clone, PartialEq, Eq)]
enum Content {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
    Other,
}

impl Tree {
    /// The directory itself and all below it; links are not followed.
    pub fn of(dir: &Path) -> Tree {
        let mut tree = Tree(BTreeMap::new());
        tree.add(dir, Path::new(""));
        tree
    }

    fn add(&mut self, path: &Path, relative: &Path) {
        let meta = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("cannot look at {}: {e}", path.display()));
        let content = match meta.file_type() {
            kind if kind.is_dir() => Content::Directory,
            kind if kind.is_file() => Content::File(fs::read(path).unwrap()),
            kind if kind.is_symlink() => Content::Link(fs::read_link(path).unwrap()),
            _ => Content::Other,
        };
        let is_directory = content == Content::Directory;
        let entry = Entry {
            content,
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
        };
        self.0.insert(relative.to_owned(), entry);
        if is_directory {
            for child in fs::read_dir(path).unwrap() {
                let name = child.unwrap().file_name();
                self.add(&path.join(&name), &relative.join(&name));
            }
        }
    }

    /// Every path of the tree, relative to its directory.
    pub fn paths(&self) -> Vec<&Path> {
        self.0.keys().map(PathBuf::as_path).collect()
    }

    /// The bytes of a regular file of the tree.
    pub fn bytes(&self, relative: impl AsRef<Path>) -> Option<&[u8]> {
        match &self.0.get(relative.as_ref())?.content {
            Content::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// One line for each path that differs between this tree and a later one.
    pub fn differences(&self, later: &Tree) -> Vec<String> {
        let mut all = Vec::new();
        for (path, old) in &self.0 {
            match later.0.get(path) {
                None => all.push(format!("{}: removed", path.display())),
                Some(new) => all.extend(old.differences(new).map(|what| format!("{}: {what}", path.display()))),
            }
        }
        all.extend(
            later.0.keys().filter(|path| !self.0.contains_key(*path)).map(|path| format!("{}: added", path.display())),
        );
        all
    }

    /// Fails, naming what differs, unless the later tree is the same in every respect.
    #[track_caller]
    pub fn assert_unchanged(&self, later: &Tree) {
        let differences = self.differences(later);
        assert!(differences.is_empty(), "something was written:\n{}", differences.join("\n"));
    }

    /// As [`Tree::assert_unchanged`], but files may have been written anew: paths, kinds, bytes, modes and owners count.
    #[track_caller]
    pub fn assert_same_content(&self, later: &Tree) {
        let plain = |tree: &Tree| {
            let mut plain = tree.clone();
            for entry in plain.0.values_mut() {
                (entry.modified, entry.changed, entry.inode) = ((0, 0), (0, 0), 0);
            }
            plain
        };
        plain(self).assert_unchanged(&plain(later));
    }
}

impl Entry {
    fn differences(&self, new: &Entry) -> impl Iterator<Item = String> {
        let facts = [
            (self.content != new.content).then(|| format!("{} became {}", self.content, new.content)),
            (self.mode != new.mode).then(|| format!("mode {:o} became {:o}", self.mode, new.mode)),
            (self.owner != new.owner).then(|| format!("owner {:?} became {:?}", self.owner, new.owner)),
            (self.modified != new.modified).then(|| "modification time".to_owned()),
            (self.changed != new.changed).then(|| "change time".to_owned()),
            (self.inode != new.inode).then(|| "inode (another file in its place)".to_owned()),
        ];
        facts.into_iter().flatten()
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Directory => f.write_str("a directory"),
            Content::File(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Content::Link(target) => write!(f, "a link to {}", target.display()),
            Content::Other => f.write_str("a special file"),
        }
    }
}
