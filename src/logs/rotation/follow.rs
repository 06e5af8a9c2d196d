//! Reading on in files whose cursor is known, under their names of today.
//!
//! Not here: files without a cursor (`rotation`), and contents that are elsewhere by now (`lost`).

use super::{Round, SETTLED_NS};
use crate::logs::beside::{Present, is_rotation_of, open};
use crate::logs::cursor::{FileCursor, Identity};
use crate::logs::envelope::begins_later;
use crate::logs::files::{self, End, Format, is_packed};
use std::fs::File;
use std::path::Path;

/// What is left to be done after the files that have a cursor were read on in.
#[derive(Default)]
pub(super) struct Found {
    /// Files without a cursor.
    pub(super) fresh: Vec<Present>,
    /// Cursors without their content.
    pub(super) displaced: Vec<FileCursor>,
    /// Those whose file moved while it was looked at.
    pub(super) moved: Vec<FileCursor>,
}

impl Found {
    /// Takes what came of a cursor. Whether its file holds another content, which has no cursor yet.
    fn take(&mut self, followed: Followed) -> bool {
        match followed {
            Followed::Kept => false,
            Followed::Moved(cursor) => {
                self.moved.push(cursor);
                false
            }
            Followed::Displaced(cursor) => {
                self.displaced.push(cursor);
                true
            }
        }
    }
}

/// What came of a cursor in a file of its inode.
pub(super) enum Followed {
    Kept,
    /// The file holds another content now.
    Displaced(FileCursor),
    /// Another file has that name now.
    Moved(FileCursor),
}

impl Round<'_, '_> {
    /// Reads on in files whose identity holds.
    pub(super) fn go_on(&mut self, present: Vec<Present>) -> Found {
        let mut found = Found::default();
        let mut cursors = std::mem::take(&mut self.waiting);
        for file in present {
            if self.is_kept(file.id) || self.is_same_copy(&file) {
                continue;
            }
            let known = cursors.iter().position(|c| c.is_same_inode(file.id)).map(|at| cursors.swap_remove(at));
            match known {
                Some(cursor) if !cursor.is_left_unread() => {
                    if found.take(self.follow(cursor, &file)) {
                        self.anew.push(file.id);
                        found.fresh.push(file);
                    }
                }
                Some(left) => {
                    self.bases.extend(left.log().cloned());
                    found.fresh.push(file);
                }
                None => found.fresh.push(file),
            }
        }
        // Rotated files that no glob names are followed where they were left: their writer may still hold them.
        self.look_at_copies(&mut found.fresh);
        let mut gone = Vec::new();
        for cursor in cursors {
            let there = match std::fs::metadata(&cursor.path) {
                Ok(meta) => Some(Identity::of(&meta)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                Err(why) => {
                    self.cannot_look(&cursor.path, &why);
                    self.kept.push(cursor);
                    continue;
                }
            };
            match there.filter(|id| cursor.is_same_inode(*id)) {
                Some(id) if cursor.is_left_unread() => {
                    self.leave_to_start(&cursor, Present { path: cursor.path.clone(), id });
                }
                Some(id) => {
                    let file = Present { path: cursor.path.clone(), id };
                    found.take(self.follow(cursor, &file));
                }
                None => gone.push(cursor),
            }
        }
        found.displaced.append(&mut gone);
        found
    }

    /// What an earlier reading saw and could not look at is read as what is new, of the log that it was.
    pub(super) fn leave_to_start(&mut self, cursor: &FileCursor, file: Present) {
        self.bases.extend(cursor.log().cloned());
        self.left.push(file);
    }

    /// Reads on in a file of the same inode.
    pub(super) fn follow(&mut self, mut cursor: FileCursor, file: &Present) -> Followed {
        let settled = cursor.is_unchanged(file.id) && self.now_ns() - file.id.mtime >= SETTLED_NS;
        let waits = cursor.pending > 0 || cursor.open.has_untold();
        if cursor.is_unchanged(file.id) && !(settled && waits) || cursor.binary {
            self.rename(&mut cursor, &file.path);
            self.kept.push(cursor);
            return Followed::Kept;
        }
        // It was empty: that it was truncated since cannot be seen in it.
        if cursor.offset == 0 && !cursor.rotated {
            cursor.generation = self.generation + u64::from(cursor.path == file.path);
            self.bases.push(file.path.clone());
        }
        let opened = match open(file) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Followed::Moved(cursor),
            Err(error) => {
                self.collector.problem(self.source.name, format!("{error:#}"));
                self.kept.push(cursor);
                return Followed::Kept;
            }
        };
        if is_packed(&file.path) {
            return self.follow_packed(cursor, file, opened);
        }
        if is_packed(&cursor.path) || file.id.size < cursor.size || !cursor.verify(&opened) {
            return Followed::Displaced(cursor);
        }
        self.rename(&mut cursor, &file.path);
        if cursor.emptied && self.source.format == Format::DockerJson {
            let again =
                if file.id.size == 0 { file.id.mtime > cursor.mtime } else { begins_later(&opened, cursor.mtime) };
            self.cut_short.extend(again.then(|| cursor.path.clone()));
        }
        self.read(cursor, (opened, file.id.size), if settled { End::Taken } else { End::Waits })
    }

    /// Follows a file to its name of today. What gets the name of a log back may be written again.
    fn rename(&mut self, cursor: &mut FileCursor, path: &Path) {
        if path == cursor.path {
            return;
        }
        if !cursor.rotated {
            self.bases.push(cursor.path.clone());
            cursor.rotated_from = Some(cursor.path.clone());
        }
        let is_rotated = cursor.rotated || is_rotation_of(path, &cursor.path);
        cursor.rotated = is_rotated && cursor.rotated_from.as_deref() != Some(path);
        cursor.superseded &= cursor.rotated;
        cursor.path = path.to_owned();
    }

    /// Packed files do not change; one that did is another.
    fn follow_packed(&mut self, mut cursor: FileCursor, file: &Present, opened: File) -> Followed {
        let same = cursor.is_unchanged(file.id)
            || is_packed(&cursor.path) && cursor.verify_stream(&mut files::unpacked(opened)).unwrap_or(false);
        if !same {
            return Followed::Displaced(cursor);
        }
        self.rename(&mut cursor, &file.path);
        (cursor.size, cursor.mtime) = (file.id.size, file.id.mtime);
        self.kept.push(cursor);
        Followed::Kept
    }
}
