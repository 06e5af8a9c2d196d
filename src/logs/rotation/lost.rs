//! Cursors whose file holds another content now, or is gone: where their content went, and what is said when it is nowhere.
//!
//! Not here: in which order files are looked at (`rotation`).

use super::{COPYING_NS, Followed, Round};
use crate::logs::beside::{Present, is_beside, is_rotation_of, open, siblings};
use crate::logs::cursor::{FileCursor, Identity};
use crate::logs::files::{End, begins_alike, is_packed, read_packed};
use std::fs::File;
use std::path::PathBuf;

impl Round<'_, '_> {
    /// Finds out where the content of a cursor has gone and finishes it there; gives it back when it is nowhere.
    pub(super) fn resolve(&mut self, mut cursor: FileCursor) -> Option<FileCursor> {
        let (same, others): (Vec<_>, Vec<_>) =
            siblings(&cursor.path).into_iter().partition(|file| cursor.is_same_inode(file.id));
        if let Some(log) = cursor.log() {
            let later = self.unread_of(log, others.clone());
            self.seen.extend(later);
        }
        for file in same {
            if cursor.is_left_unread() {
                self.leave_to_start(&cursor, file);
                return None;
            }
            match self.follow(cursor, &file) {
                Followed::Kept => {
                    if let Some(kept) = self.kept.last_mut() {
                        kept.rotated = true;
                    }
                    return None;
                }
                Followed::Displaced(back) | Followed::Moved(back) => cursor = back,
            }
        }
        let found = others.iter().any(|file| self.finish_in(&cursor, file));
        if !found {
            others.iter().for_each(|file| self.keep_part(&cursor, file));
        }
        if found { None } else { Some(cursor) }
    }

    /// Reads the rest of a cursor's content in this file, if it is there.
    pub(super) fn finish_in(&mut self, cursor: &FileCursor, file: &Present) -> bool {
        if self.is_kept(file.id)
            || !cursor.is_recognisable()
            // A copy is made, and a packed file has its time, after the last reading or little before its end.
            || file.id.mtime + COPYING_NS < cursor.mtime
            || !(cursor.rotated || is_rotation_of(&file.path, &cursor.path))
        {
            return false;
        }
        let Ok(Some(opened)) = open(file) else { return false };
        let mut found = FileCursor { path: file.path.clone(), rotated: true, ..cursor.clone() };
        found.rotated_from = cursor.log().cloned();
        (found.dev, found.ino, found.born) = (file.id.dev, file.id.ino, file.id.born);
        let finished = if is_packed(&file.path) {
            begins_alike(&found, &opened, file.id.size, true)
                && read_packed(self.collector, self.source, &mut found, &opened, false)
                    .map(|()| self.kept.push(found))
                    .is_ok()
        } else {
            found.verify(&opened) && matches!(self.read(found, (opened, file.id.size), End::Taken), Followed::Kept)
        };
        if finished {
            self.copies.retain(|copy| !copy.is_same_inode(file.id));
        }
        finished
    }

    /// Reads on with a cursor whose content is in this file and was not found there, because files moved meanwhile.
    pub(super) fn is_of_lost(&mut self, file: &Present) -> bool {
        for mut cursor in std::mem::take(&mut self.lost) {
            if !self.is_kept(file.id) {
                if !cursor.is_same_inode(file.id) {
                    if self.finish_in(&cursor, file) {
                        continue;
                    }
                } else {
                    cursor = match self.follow(cursor, file) {
                        Followed::Kept => continue,
                        Followed::Displaced(back) | Followed::Moved(back) => back,
                    };
                }
            }
            self.lost.push(cursor);
        }
        self.is_kept(file.id)
    }

    /// Tells of what is lost, after the last look. A file that moves still is found by the next reading. So are those
    /// that this one saw and could not read, as long as it knows when their log was last read.
    pub(super) fn give_up(&mut self, moving: &[Identity], started: bool) {
        for log in std::mem::take(&mut self.cut_short) {
            if !self.started.iter().any(|path| *path != log && is_rotation_of(path, &log)) {
                let reason = format!("{} was truncated before what it held could be read", log.display());
                self.collector.gap(self.source.name, reason, None);
            }
        }
        for mut cursor in std::mem::take(&mut self.lost) {
            if moving.iter().any(|id| cursor.is_same_inode(*id)) {
                self.waiting.push(cursor);
                continue;
            }
            if cursor.is_missed() {
                self.report_lost(&cursor);
            }
            let is_known = self.kept.iter().chain(&self.waiting).any(|other| other.log() == cursor.log());
            let has_moved = self.moved_away.iter().any(|id| cursor.is_same_inode(*id));
            if has_moved || !started && !is_known {
                cursor.superseded = true;
                self.waiting.push(cursor);
            }
        }
    }

    fn report_lost(&mut self, cursor: &FileCursor) {
        let is_packed_since = || siblings(&cursor.path).iter().any(|file| holds(file, cursor.mtime));
        if self.was_read_since(cursor, is_beside(cursor)) || cursor.is_left_unread() && is_packed_since() {
            return;
        }
        let reason = format!(
            "{} was replaced, truncated or removed, and its old content is nowhere beside it: what was written after \
             the last reading is gone",
            cursor.path.display()
        );
        self.collector.gap(self.source.name, reason, None);
    }

    /// Whether a file was empty when it was looked at, and what was copied or packed from its place since was read whole.
    pub(super) fn was_read_since(&self, cursor: &FileCursor, is_there: bool) -> bool {
        let holds_it = |path: &PathBuf| (is_there || is_packed(path)) && is_rotation_of(path, &cursor.path);
        cursor.size == 0 && self.started.iter().any(holds_it)
    }

    /// What was seen and not read is left to the next reading, which finds it by its inode. What went before it was read
    /// is told: a log is rotated faster than it is read.
    pub(super) fn leave_unread(&mut self) {
        let mut done: Vec<Identity> = Vec::new();
        for Present { path, id } in std::mem::take(&mut self.seen) {
            let is_known = [&self.kept, &self.copies, &self.waiting, &self.lost]
                .iter()
                .any(|cursors| cursors.iter().any(|cursor| cursor.is_same_inode(id)));
            if is_known || id.size == 0 || done.iter().any(|other| other.is_same_file(id)) {
                continue;
            }
            let beside = siblings(&path);
            if let Some(there) = beside.iter().find(|file| id.is_same_file(file.id)) {
                let is_copy = |opened: File| self.is_copy(there, &opened) == Some(true);
                if open(there).ok().flatten().is_some_and(is_copy) {
                    let (size, mtime) = (there.id.size, there.id.mtime);
                    self.copies.push(FileCursor { copied: true, size, mtime, ..self.cursor_of(there) });
                    continue;
                }
                // Of a log that was never read the next reading is the first one.
                if self.since(&path).is_some() {
                    // What is packed was most likely read before it was.
                    let superseded = is_packed(&path);
                    let cursor = FileCursor { mtime: id.mtime, superseded, ..self.cursor_of(there) };
                    self.waiting.push(cursor);
                }
                continue;
            }
            done.push(id);
            // One that was being packed may have been given up.
            if !is_packed(&path) && !beside.iter().any(|file| holds(file, id.mtime)) {
                let reason = format!("{} was removed before it could be read", path.display());
                self.collector.gap(self.source.name, reason, Some(id.size));
            }
        }
    }
}

/// Whether a file may hold what was last written at this time and packed since: it is read there, now or by the next
/// reading.
fn holds(file: &Present, mtime: i128) -> bool {
    is_packed(&file.path) && file.id.mtime >= mtime
}
