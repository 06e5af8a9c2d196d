//! The files of one source over time: which are new, which went on, where a rotated one has gone.
//!
//! Rename-and-create, copytruncate, unlink-and-create on the same inode, several rotations between two passes and
//! compression are told apart by identity and content, never by names. What cannot be found any more is a gap.

use super::collect::Collector;
use super::cursor::{FileCursor, Identity};
use super::files::{self, End, Source, is_packed, read_on, read_packed, tail_of};
use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A half-written line that has not grown since the pass before is taken when it is at least this old.
const SETTLED_NS: i128 = 2_000_000_000;
/// Files looked at beside a rotated one.
const MAX_SIBLINGS: usize = 1000;

/// A file that is there.
#[derive(Debug, Clone)]
struct Present {
    path: PathBuf,
    id: Identity,
}

/// Reads what is new in the files of one source and moves their cursors.
pub fn read_source(
    collector: &mut Collector<'_>,
    source: Source<'_>,
    paths: Vec<PathBuf>,
    cursors: Vec<FileCursor>,
) -> Vec<FileCursor> {
    let mut round = Round { collector, source, kept: Vec::new() };
    let present = round.look(paths);
    let (mut fresh, displaced) = round.go_on(present, cursors);
    fresh.sort_by_key(|file| file.0.id.mtime);
    let mut replaced = Vec::new();
    for cursor in displaced {
        replaced.push(cursor.path.clone());
        round.resolve(cursor);
    }
    for (file, replaces) in fresh {
        if !round.is_kept(file.id) {
            let successor = replaces || replaced.contains(&file.path);
            round.start(file, successor);
        }
    }
    round.kept
}

struct Round<'r, 'c> {
    collector: &'r mut Collector<'c>,
    source: Source<'r>,
    kept: Vec<FileCursor>,
}

impl Round<'_, '_> {
    fn look(&mut self, paths: Vec<PathBuf>) -> Vec<Present> {
        let mut present = Vec::new();
        for path in paths {
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_file() => present.push(Present { path, id: Identity::of(&meta) }),
                Ok(_) => {}
                // Gone since it was listed: its cursor finds out.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => self.collector.problem(self.source.name, format!("cannot look at {}: {e}", path.display())),
            }
        }
        present
    }

    /// Reads on in files whose identity holds. Returns the files without a cursor (with whether they replaced the
    /// content of an inode we knew), and the cursors without a file.
    fn go_on(
        &mut self,
        present: Vec<Present>,
        mut cursors: Vec<FileCursor>,
    ) -> (Vec<(Present, bool)>, Vec<FileCursor>) {
        let (mut fresh, mut displaced) = (Vec::new(), Vec::new());
        for file in present {
            if self.is_kept(file.id) {
                continue;
            }
            let Some(at) = cursors.iter().position(|c| c.is_same_inode(file.id)) else {
                fresh.push((file, false));
                continue;
            };
            let cursor = cursors.swap_remove(at);
            if let Some(lost) = self.follow(cursor, &file) {
                fresh.push((file, true));
                displaced.push(lost);
            }
        }
        // Rotated files that no glob names are followed where they were left: their writer may still hold them.
        for cursor in cursors {
            let there = std::fs::metadata(&cursor.path).ok().map(|m| Identity::of(&m));
            match there.filter(|id| cursor.is_same_inode(*id)) {
                Some(id) => {
                    let file = Present { path: cursor.path.clone(), id };
                    displaced.extend(self.follow(cursor, &file));
                }
                None => displaced.push(cursor),
            }
        }
        (fresh, displaced)
    }

    /// Reads on in a file of the same inode; gives the cursor back when the content is another.
    fn follow(&mut self, mut cursor: FileCursor, file: &Present) -> Option<FileCursor> {
        let settled = cursor.is_unchanged(file.id) && self.now_ns() - file.id.mtime >= SETTLED_NS;
        let waits = cursor.pending > 0 || cursor.open.has_untold();
        if cursor.is_unchanged(file.id) && !(settled && waits) || cursor.binary || is_packed(&file.path) {
            cursor.path.clone_from(&file.path);
            self.kept.push(cursor);
            return None;
        }
        let mut opened = match open(&file.path) {
            Ok(opened) => opened,
            Err(error) => {
                self.collector.problem(self.source.name, format!("{error:#}"));
                self.kept.push(cursor);
                return None;
            }
        };
        if !cursor.verify(&opened) {
            return Some(cursor);
        }
        cursor.path.clone_from(&file.path);
        self.read(cursor, &mut opened, if settled { End::Taken } else { End::Waits });
        None
    }

    /// Finds out where the content of a cursor has gone, finishes it there, and reads what came after it and has been
    /// rotated away as well.
    fn resolve(&mut self, cursor: FileCursor) {
        if self.kept.iter().any(|kept| kept.is_copy_of(&cursor)) {
            return;
        }
        let siblings = siblings(&cursor.path);
        let found = siblings.iter().find(|s| self.finish_in(&cursor, s)).cloned();
        if cursor.rotated {
            return;
        }
        if found.is_none() {
            let reason = format!(
                "{} was replaced, truncated or removed, and its old content is nowhere beside it: what was written \
                 after the last reading is gone",
                cursor.path.display()
            );
            self.collector.gap(self.source.name, reason, None);
        }
        let since = found.map_or(cursor.mtime, |f| f.id.mtime.max(cursor.mtime));
        let mut between: Vec<&Present> = siblings
            .iter()
            .filter(|s| s.path != cursor.path && is_rotation_of(&s.path, &cursor.path))
            .filter(|s| s.id.mtime > since && !self.is_kept(s.id))
            .collect();
        between.sort_by_key(|s| s.id.mtime);
        for file in between {
            self.start(file.clone(), true);
            if let Some(kept) = self.kept.last_mut().filter(|c| c.is_same_inode(file.id)) {
                kept.rotated = true;
            }
        }
    }

    /// Reads the rest of a cursor's content in this file, if it is there.
    fn finish_in(&mut self, cursor: &FileCursor, file: &Present) -> bool {
        let same_inode = cursor.is_same_inode(file.id);
        if self.is_kept(file.id) || (!same_inode && !cursor.is_recognisable()) {
            return false;
        }
        if !same_inode && !is_rotation_of(&file.path, &cursor.path) && !cursor.rotated {
            return false;
        }
        let mut cursor = FileCursor { path: file.path.clone(), rotated: true, ..cursor.clone() };
        if is_packed(&file.path) {
            return self.finish_packed(cursor);
        }
        let Ok(mut opened) = open(&file.path) else { return false };
        if !cursor.verify(&opened) {
            return false;
        }
        (cursor.dev, cursor.ino) = (file.id.dev, file.id.ino);
        self.read(cursor, &mut opened, if same_inode { End::Waits } else { End::Taken });
        true
    }

    fn finish_packed(&mut self, mut cursor: FileCursor) -> bool {
        let Ok(file) = open(&cursor.path) else { return false };
        match cursor.skip_verified(&mut files::unpacked(file)) {
            Ok(true) => {
                if let Err(error) = read_packed(self.collector, self.source, &mut cursor, false) {
                    self.collector.problem(self.source.name, format!("{error:#}"));
                }
                self.kept.push(cursor);
                true
            }
            _ => false,
        }
    }

    /// Reads a file that has no cursor: all of it when it follows a log we know, else its last 16 MiB.
    fn start(&mut self, file: Present, successor: bool) {
        if self.adopt_copy(&file) {
            return;
        }
        let mut cursor = FileCursor::start(file.path.clone(), file.id);
        if is_packed(&file.path) {
            if let Err(error) = read_packed(self.collector, self.source, &mut cursor, !successor) {
                self.collector.problem(self.source.name, format!("{error:#}"));
                cursor.note(file.id, super::scan::Ended { offset: cursor.offset, pending: 0, mid_line: false });
            }
            self.kept.push(cursor);
            return;
        }
        let mut opened = match open(&file.path) {
            Ok(opened) => opened,
            Err(error) => return self.collector.problem(self.source.name, format!("{error:#}")),
        };
        if !successor {
            tail_of(self.collector, self.source.name, &mut cursor, file.id.size);
        }
        self.read(cursor, &mut opened, End::Waits);
    }

    /// A copy of a log we read, made but not truncated yet, or packed but not removed yet, is not read again.
    fn adopt_copy(&mut self, file: &Present) -> bool {
        let holds = |kept: &&FileCursor| {
            if !kept.is_recognisable() || !is_rotation_of(&file.path, &kept.path) {
                return false;
            }
            let Ok(opened) = open(&file.path) else { return false };
            if is_packed(&file.path) {
                return kept.skip_verified(&mut files::unpacked(opened)).unwrap_or(false);
            }
            kept.verify(&opened)
        };
        let Some(original) = self.kept.iter().find(holds).cloned() else { return false };
        let mut copy = FileCursor { path: file.path.clone(), rotated: true, open: Default::default(), ..original };
        (copy.dev, copy.ino, copy.size, copy.mtime) = (file.id.dev, file.id.ino, file.id.size, file.id.mtime);
        copy.pending = 0;
        self.kept.push(copy);
        true
    }

    fn read(&mut self, mut cursor: FileCursor, file: &mut File, end: End) {
        if let Err(error) = read_on(self.collector, self.source, &mut cursor, file, end) {
            self.collector.problem(self.source.name, format!("{error:#}"));
        }
        self.kept.push(cursor);
    }

    fn is_kept(&self, id: Identity) -> bool {
        self.kept.iter().any(|c| c.is_same_inode(id))
    }

    fn now_ns(&self) -> i128 {
        self.collector.now.as_nanosecond()
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot open {}: it needs to be readable for healer", path.display()))
}

/// The other files of its directory and itself, those that look like its rotations first.
fn siblings(path: &Path) -> Vec<Present> {
    let Some(entries) = path.parent().and_then(|dir| std::fs::read_dir(dir).ok()) else { return Vec::new() };
    let mut files: Vec<Present> = entries
        .flatten()
        .take(MAX_SIBLINGS)
        .filter_map(|entry| {
            let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some(Present { path: entry.path(), id: Identity::of(&meta) })
        })
        .collect();
    files.sort_by_key(|f| (!is_rotation_of(&f.path, path), std::cmp::Reverse(f.id.mtime)));
    files
}

/// `app.log.1`, `app.log-20250101.gz`, `app-20250101.log`, `app.1.log` of `app.log`; also of `app.log.1` itself.
fn is_rotation_of(path: &Path, of: &Path) -> bool {
    let (name, of) = (file_name(path), file_name(of));
    let base = of.trim_end_matches(".gz").trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let (stem, extension) = base.rsplit_once('.').unwrap_or((base, ""));
    let counts = |mark: &str| {
        !mark.is_empty()
            && mark.starts_with(['.', '-', '_'])
            && mark.bytes().all(|b| b.is_ascii_digit() || b".-_T".contains(&b))
    };
    let name = name.trim_end_matches(".gz");
    let dated =
        name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)).map(|rest| rest.trim_end_matches('.'));
    !stem.is_empty() && (name.strip_prefix(base).is_some_and(counts) || dated.is_some_and(counts))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
