//! Copies of a log: of `copytruncate`, and of packing. What a copy holds is not read twice.
//!
//! Not here: what becomes of a log whose content moved (`rotation`).

use super::Round;
use crate::logs::beside::{Present, is_rotation_of, open};
use crate::logs::cursor::{FileCursor, Identity};
use crate::logs::files::{begins_alike, holds_all, is_packed};
use crate::logs::regions::Ended;
use std::fs::File;

impl Round<'_, '_> {
    /// Takes a file for read that holds nothing else: a copy of a log that was made before the last lines were read, which
    /// were truncated away since.
    pub(super) fn keep_part(&mut self, cursor: &FileCursor, file: &Present) {
        let may_be = !cursor.rotated && is_rotation_of(&file.path, &cursor.path) && file.id.mtime <= cursor.mtime;
        if !may_be || is_packed(&file.path) || self.is_kept(file.id) {
            return;
        }
        let Ok(Some(opened)) = open(file) else { return };
        if file.id.size < cursor.offset && cursor.begins(&opened, file.id.size) == Some(true) {
            let mut part = FileCursor::start(file.path.clone(), file.id);
            part.generation = cursor.generation;
            (part.rotated, part.rotated_from) = (true, Some(cursor.path.clone()));
            part.advance(&opened, file.id, Ended { offset: file.id.size, pending: 0, mid_line: false });
            self.copies.retain(|copy| !copy.is_same_inode(file.id));
            self.kept.push(part);
        }
    }

    /// Whether the file is a copy of a log that was read: made but not truncated yet, or packed but not removed yet, or
    /// still being made. The log holds all that its copy does. Where it moved meanwhile, the beginning decides: should
    /// the file hold more, the next reading will look for that log and finish it there. `None` when not even that is
    /// there to be compared: what was listed has grown by now, or is no copy.
    pub(super) fn is_copy(&self, file: &Present, opened: &File) -> Option<bool> {
        let mut unsure = false;
        // What is rotated already is packed, never copied.
        let may_be_of = |k: &&FileCursor| !k.rotated || is_packed(&file.path);
        let origins = self.kept.iter().filter(|k| is_rotation_of(&file.path, &k.path) && !is_packed(&k.path));
        for kept in origins.filter(may_be_of) {
            // An empty one that is being written will be looked at again.
            if file.id.size == 0 {
                return Some(true);
            }
            if !begins_alike(kept, opened, file.id.size, is_packed(&file.path)) {
                continue;
            }
            let is_copy = match open(&Present { path: kept.path.clone(), id: kept.identity() }) {
                Ok(Some(original)) if kept.verify(&original) => {
                    holds_all(&original, opened, file.id.size, is_packed(&file.path)).unwrap_or(false)
                }
                _ if is_packed(&file.path) || file.id.size >= kept.offset => true,
                _ => {
                    let is_compared = kept.begins(opened, file.id.size).is_some();
                    unsure |= !is_compared;
                    is_compared
                }
            };
            if is_copy {
                return Some(true);
            }
        }
        if unsure { None } else { Some(false) }
    }

    /// Whether a log that was truncated while this look read it may go on in this file.
    pub(super) fn is_awaited(&self, file: &Present, opened: &File) -> bool {
        self.waiting.iter().any(|cursor| {
            is_rotation_of(&file.path, &cursor.path)
                && cursor.is_recognisable()
                && begins_alike(cursor, opened, file.id.size, is_packed(&file.path))
        })
    }

    /// Adds copies that are more than that by now: an empty file is one too, until its writer goes on. It may be packed by then.
    pub(super) fn look_at_copies(&mut self, fresh: &mut Vec<Present>) {
        for copy in &self.copies {
            match std::fs::metadata(&copy.path).map(|meta| Identity::of(&meta)) {
                Ok(id) if copy.is_unchanged(id) => {}
                // Nobody writes there any more.
                Ok(_) if copy.size > 0 && is_packed(&copy.path) => {}
                Ok(id) if copy.is_same_inode(id) => fresh.push(Present { path: copy.path.clone(), id }),
                _ if copy.size == 0 => self.bases.extend(copy.log().cloned()),
                _ => {}
            }
        }
    }

    /// A copy that has not changed since it was recognised.
    pub(super) fn is_same_copy(&mut self, file: &Present) -> bool {
        let Some(at) = self.copies.iter().position(|copy| copy.is_same_inode(file.id)) else { return false };
        match self.copies.get_mut(at).filter(|copy| copy.is_unchanged(file.id)) {
            Some(copy) => copy.path.clone_from(&file.path),
            None => drop(self.copies.swap_remove(at)),
        }
        self.copies.get(at).is_some_and(|copy| copy.is_same_inode(file.id))
    }
}
