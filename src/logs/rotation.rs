//! The files of one source over time: which are new, which went on, where a rotated one has gone.
//!
//! Rename-and-create, copytruncate, unlink-and-create on the same inode, several rotations between two passes and
//! compression are told apart by identity and content, never by names alone. What cannot be found any more is a gap.
//! Files are rotated while they are looked at: what does not fit together is looked at again.

mod copies;
mod follow;
mod lost;
#[cfg(test)]
mod tests;

use super::beside::{LastWritten, Present, is_beside, is_rotation_of, open, siblings};
use super::collect::Collector;
use super::cursor::{FileCursor, Identity};
use super::files::{Content, End, Source, end_of, is_packed, read_on, read_packed, tail_of};
use super::regions::Ended;
use follow::{Followed, Found};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A half-written line that has not grown since the pass before is taken when it is at least this old.
const SETTLED_NS: i128 = 2_000_000_000;
/// Looks before a file that cannot be found counts as gone, and the pause after the first; each is twice as long.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(2);
/// What is written to a log after it was copied and before it is truncated is written within so long.
const COPYING_NS: i128 = 60_000_000_000;
/// A packed file that cannot be unpacked is taken for damaged when it has not grown for so long.
const BEING_PACKED_NS: i128 = 60_000_000_000;

/// Reads what is new in the files of one source and moves their cursors. `list` names those that are there.
pub fn read_source(
    collector: &mut Collector<'_>,
    source: Source<'_>,
    list: &dyn Fn() -> Vec<PathBuf>,
    cursors: Vec<FileCursor>,
) -> Vec<FileCursor> {
    let mut round = Round::begin(collector, source, cursors);
    let mut pause = PAUSE;
    for look in 1..=LOOKS {
        if round.look(list(), look == LOOKS) {
            break;
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
    round.end()
}

/// Whoever truncates a log to write on writes at once. A log that is left empty would not show its next truncation.
fn await_first_bytes(log: &File) {
    let mut pause = PAUSE;
    for _ in 1..LOOKS {
        if log.metadata().map_or(true, |meta| meta.len() > 0) {
            return;
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
}

/// Follows a copy to its name of today. False where it is gone.
fn find_again(copy: &mut FileCursor) -> bool {
    if std::fs::metadata(&copy.path).is_ok_and(|meta| copy.is_same_inode(Identity::of(&meta))) {
        return true;
    }
    let there = siblings(&copy.path).into_iter().find(|file| copy.is_same_inode(file.id));
    there.map(|file| copy.path = file.path).is_some()
}

/// Whether more may be written there.
fn is_live(cursor: &FileCursor) -> bool {
    !cursor.rotated && !cursor.binary && !is_packed(&cursor.path)
}

struct Round<'r, 'c> {
    collector: &'r mut Collector<'c>,
    source: Source<'r>,
    /// Of what is first seen in this reading; a log's is later than that of what was rotated.
    generation: u64,
    /// Rotated files that were empty when the last reading ended, which are begun anew, and their generations.
    empty: Vec<(Identity, u64)>,
    /// As the cursors say when the reading begins.
    known: LastWritten,
    /// Those of the cursors of which too little was read to find their content by it.
    unfound: LastWritten,
    /// Done with, for this reading.
    kept: Vec<FileCursor>,
    /// Copies of what was read under another name.
    copies: Vec<FileCursor>,
    /// Cursors not done with.
    waiting: Vec<FileCursor>,
    /// Those of them whose content was not found in this look.
    lost: Vec<FileCursor>,
    /// Files that were cut back before it was read what they held: lost, unless a copy of it was read.
    cut_short: Vec<PathBuf>,
    /// Files that hold, in this look, another content than their cursor knows: when they were listed it may have been that.
    anew: Vec<Identity>,
    /// Logs of which later contents may have been rotated away before they were seen.
    bases: Vec<PathBuf>,
    /// Files that were read from their beginning.
    started: Vec<PathBuf>,
    /// Files that were found without a cursor: those that go before they are read are lost.
    seen: Vec<Present>,
    /// Files that an earlier reading saw and could not look at.
    left: Vec<Present>,
    /// Rotated files that lay beside a log when it was first seen.
    older: Vec<Present>,
    /// Logs that were rotated after the last look had read them: what has their name by now is for the next reading.
    moved_away: Vec<Identity>,
    /// Files that cannot be looked at.
    hidden: Vec<PathBuf>,
}

impl<'r, 'c> Round<'r, 'c> {
    fn begin(collector: &'r mut Collector<'c>, source: Source<'r>, cursors: Vec<FileCursor>) -> Round<'r, 'c> {
        let mut known = LastWritten::default();
        cursors.iter().for_each(|cursor| known.add(&cursor.path, cursor.mtime));
        let generation = cursors.iter().map(|cursor| cursor.generation).max().unwrap_or(0) + 1;
        let is_empty = |cursor: &&FileCursor| cursor.rotated && cursor.size == 0;
        let empty = cursors.iter().filter(is_empty).map(|cursor| (cursor.identity(), cursor.generation)).collect();
        let (copies, waiting) = cursors.into_iter().partition(|cursor| cursor.copied);
        Round {
            collector,
            source,
            generation,
            empty,
            known,
            unfound: LastWritten::default(),
            kept: Vec::new(),
            copies,
            waiting,
            lost: Vec::new(),
            cut_short: Vec::new(),
            anew: Vec::new(),
            bases: Vec::new(),
            started: Vec::new(),
            seen: Vec::new(),
            left: Vec::new(),
            older: Vec::new(),
            moved_away: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// One look at all files. False when they changed meanwhile, so that it is to be done again, unless it is the last.
    fn look(&mut self, paths: Vec<PathBuf>, last: bool) -> bool {
        self.follow_again();
        self.anew.clear();
        let present = self.present(paths);
        let found = self.go_on(present);
        self.settle(found, last)
    }

    /// Reads what is fresh and finds out where the rest has gone.
    fn settle(&mut self, Found { fresh, displaced, moved }: Found, last: bool) -> bool {
        let mut still = moved.is_empty();
        let moving: Vec<Identity> = moved.iter().map(FileCursor::identity).collect();
        self.lost = moved;
        for cursor in displaced {
            self.bases.extend(cursor.log().cloned());
            if let Some(cursor) = self.resolve(cursor) {
                if !cursor.is_recognisable() && cursor.is_missed() {
                    self.unfound.add(&cursor.path, cursor.mtime);
                }
                // Of an empty file there is nothing to be found again.
                still &= !cursor.is_missed() || cursor.size == 0;
                self.lost.push(cursor);
            }
        }
        let started = (still || last) && self.start_all(fresh, last);
        if !started && !last {
            self.waiting.append(&mut self.lost);
            return false;
        }
        self.leave_unread();
        self.give_up(&moving, started);
        true
    }

    /// Logs that an earlier look read are read on before what came after them, which this look may find.
    fn follow_again(&mut self) {
        let (mut live, kept) = std::mem::take(&mut self.kept).into_iter().partition(is_live);
        self.kept = kept;
        self.waiting.append(&mut live);
    }

    fn present(&mut self, paths: Vec<PathBuf>) -> Vec<Present> {
        let mut present = Vec::new();
        for path in paths {
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_file() => present.push(Present { path, id: Identity::of(&meta) }),
                Ok(_) => {}
                // Gone since it was listed: its cursor finds out.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => self.cannot_look(&path, &e),
            }
        }
        present
    }

    /// Tells once what keeps a file from being looked at: nothing says that it is gone.
    fn cannot_look(&mut self, path: &Path, why: &std::io::Error) {
        if !self.hidden.iter().any(|hidden| hidden == path) {
            self.collector.problem(self.source.name, format!("cannot look at {}: {why}", path.display()));
            self.hidden.push(path.to_owned());
        }
    }

    /// Reads the files that have no cursor, and what came after a known content and has been rotated away as well.
    /// False when one of them moved meanwhile.
    fn start_all(&mut self, fresh: Vec<Present>, last: bool) -> bool {
        let live = fresh.iter().map(|file| file.path.clone()).filter(|path| !is_packed(path));
        self.bases.extend(live);
        self.bases.extend(self.logs_not_there());
        self.bases.sort();
        self.bases.dedup();
        let (mut files, mut tried, mut still) = (fresh, Vec::new(), true);
        // What is left of the logs read here comes before what was rotated since: that is for the next look, if there is one.
        for _ in 0..if last { LOOKS } else { 1 } {
            files.extend(self.rotated_since_but(&tried));
            self.seen.extend_from_slice(&files);
            if !self.finish_moved_logs(&files, last) {
                return false;
            }
            self.seen.extend_from_slice(&self.left);
            files.append(&mut self.left);
            if files.is_empty() {
                break;
            }
            // What is copied or packed is known by its original, so logs come first and packed ones last.
            let is_rotated = |file: &Present| self.bases.iter().any(|base| is_rotation_of(&file.path, base));
            files.sort_by_key(|file| (is_packed(&file.path), is_rotated(file), file.id.mtime));
            for file in &files {
                still &= self.start(file.clone(), last);
            }
            tried.append(&mut files);
        }
        // What was truncated before it was read here is in a copy that may not have been there yet.
        still && self.rotated_since_but(&tried).is_empty()
    }

    /// A log that was rotated since this look read it comes before what was rotated after it, which may be among these files:
    /// that is for the next look. In the last one, reads what is left of it, or takes it for lost. False when it is to be
    /// looked at again.
    fn finish_moved_logs(&mut self, files: &[Present], last: bool) -> bool {
        let has_moved = |cursor: &FileCursor| match std::fs::metadata(&cursor.path) {
            Ok(meta) => !cursor.is_same_inode(Identity::of(&meta)),
            Err(e) => e.kind() == std::io::ErrorKind::NotFound,
        };
        let comes_first = |cursor: &FileCursor| {
            is_live(cursor) && files.iter().any(|file| is_rotation_of(&file.path, &cursor.path)) && has_moved(cursor)
        };
        let (moved, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.kept).into_iter().partition(comes_first);
        self.kept = kept;
        if !last {
            let is_level = moved.is_empty();
            self.kept.extend(moved);
            return is_level;
        }
        for cursor in moved {
            self.bases.extend(cursor.log().cloned());
            self.moved_away.push(cursor.identity());
            let lost = self.resolve(cursor);
            self.lost.extend(lost);
        }
        true
    }

    /// Logs of which there are only rotated files: what the next of these was has no cursor that leads to it.
    fn logs_not_there(&self) -> Vec<PathBuf> {
        let there: BTreeSet<&PathBuf> = self.kept.iter().map(|cursor| &cursor.path).collect();
        self.kept.iter().filter_map(FileCursor::log).filter(|log| !there.contains(log)).cloned().collect()
    }

    /// The files without a cursor that a log became while nobody looked, but for those that were tried by these names.
    fn rotated_since_but(&self, tried: &[Present]) -> Vec<Present> {
        let mut files: Vec<Present> = self.bases.iter().flat_map(|base| self.unread_of(base, siblings(base))).collect();
        files.retain(|file| !tried.iter().any(|t| t.id.is_same_file(file.id) && t.path == file.path));
        files
    }

    /// Those of the files beside a log that it became since the last reading and that were not read.
    fn unread_of(&self, base: &Path, mut files: Vec<Present>) -> Vec<Present> {
        let Some(since) = self.since(base) else { return Vec::new() };
        files.retain(|file| {
            let is_known = self.is_kept(file.id) || self.is_known_copy(file.id);
            !is_known && file.path != base && is_rotation_of(&file.path, base) && file.id.mtime >= since
        });
        files
    }

    /// When the log of this path, or a rotated one of it, was last written as far as the last reading knew. What cannot
    /// be found by its content may have been written before what came after it, and was seen, was.
    fn since(&self, path: &Path) -> Option<i128> {
        self.unfound.of(path).min().or_else(|| self.known.of(path).max())
    }

    /// Reads a file that has no cursor: all of it when it follows a log we know, else its last 16 MiB. False when it
    /// moved meanwhile.
    fn start(&mut self, file: Present, last: bool) -> bool {
        if self.is_kept(file.id) || self.is_known_copy(file.id) {
            return true;
        }
        if self.is_of_lost(&file) {
            return true;
        }
        // A copy that has grown may hold more than the log it was made of: that may have been truncated since.
        self.copies.retain(|copy| !copy.is_same_inode(file.id));
        let opened = match open(&file) {
            Ok(Some(opened)) => opened,
            Ok(None) => return false,
            Err(error) => {
                self.collector.problem(self.source.name, format!("{error:#}"));
                return true;
            }
        };
        if self.is_awaited(&file, &opened) {
            return false;
        }
        self.start_opened(file, opened, last)
    }

    fn start_opened(&mut self, file: Present, opened: File, last: bool) -> bool {
        let mut cursor = self.cursor_of(&file);
        if self.lost.iter().any(|cursor| cursor.is_same_inode(file.id)) {
            await_first_bytes(&opened);
            // One that was emptied a while ago was not emptied to write on.
            cursor.emptied = self.now_ns() - file.id.mtime < SETTLED_NS;
        }
        let successor = self.since(&file.path).is_some();
        match self.is_copy(&file, &opened) {
            Some(true) => {
                cursor.copied = true;
                (cursor.size, cursor.mtime) = (file.id.size, file.id.mtime);
                self.copies.push(cursor);
                return true;
            }
            None if !last => return false,
            _ => {}
        }
        if is_packed(&file.path) {
            return self.start_packed(cursor, &file, &opened, successor);
        }
        self.started.push(file.path.clone());
        if !successor {
            let beside = siblings(&file.path).into_iter();
            self.older.extend(beside.filter(|other| is_rotation_of(&other.path, &file.path)));
            tail_of(self.collector, self.source.name, &mut cursor, file.id.size);
        }
        let is_anew = self.anew.iter().any(|id| id.is_same_file(file.id));
        match self.read(cursor, (opened, if is_anew { 0 } else { file.id.size }), End::Waits) {
            Followed::Kept => true,
            Followed::Displaced(cursor) | Followed::Moved(cursor) => {
                self.waiting.push(cursor);
                false
            }
        }
    }

    /// A cursor at the beginning of a file.
    fn cursor_of(&self, file: &Present) -> FileCursor {
        let mut cursor = FileCursor::start(file.path.clone(), file.id);
        let live = self.kept.iter().filter(|kept| !kept.rotated).map(|kept| &kept.path);
        let logs = live.chain(&self.bases).filter(|log| is_rotation_of(&file.path, log));
        // Rotated files are among the bases where a glob matches them: the log itself has the shortest name.
        cursor.rotated_from = logs.min_by_key(|log| log.as_os_str().len()).cloned();
        cursor.rotated = cursor.rotated_from.is_some();
        cursor.generation = if cursor.rotated {
            let known = self.empty.iter().find(|(id, _)| id.is_same_file(file.id));
            known.map_or(self.generation, |(_, generation)| *generation)
        } else {
            self.generation + 1
        };
        cursor
    }

    fn start_packed(&mut self, mut cursor: FileCursor, file: &Present, opened: &File, successor: bool) -> bool {
        // Its original is there: it is still being packed. The name must still be its own for that to mean anything.
        if file.path.with_extension("").exists() {
            return matches!(open(file), Ok(Some(_)));
        }
        if let Err(error) = read_packed(self.collector, self.source, &mut cursor, opened, !successor) {
            if self.now_ns() - file.id.mtime < BEING_PACKED_NS {
                return false;
            }
            self.collector.problem(self.source.name, format!("{error:#}"));
            cursor.note(file.id, Ended { offset: cursor.offset, pending: 0, mid_line: false });
        }
        self.started.push(file.path.clone());
        self.kept.push(cursor);
        true
    }

    fn read(&mut self, mut cursor: FileCursor, (mut file, listed): (File, u64), end: End) -> Followed {
        cursor.superseded = false;
        match read_on(self.collector, self.source, &mut cursor, (&mut file, listed), end) {
            Ok(Content::Displaced) => return Followed::Displaced(cursor),
            Ok(Content::Read) => {}
            Ok(Content::CutShort) => {
                // Its time may be of before that.
                cursor.emptied = false;
                self.cut_short.push(cursor.path.clone());
            }
            Err(error) => self.collector.problem(self.source.name, format!("{error:#}")),
        }
        cursor.emptied &= cursor.size == 0;
        self.kept.push(cursor);
        Followed::Kept
    }

    /// The cursors for the next reading.
    fn end(mut self) -> Vec<FileCursor> {
        // What was packed, and read so, while it was looked at: the next reading would not find it.
        let is_packed = |c: &FileCursor| self.was_read_since(c, false) && !is_beside(c);
        let superseded: Vec<bool> = self.kept.iter().map(|c| self.is_superseded(c) || is_packed(c)).collect();
        for (cursor, superseded) in self.kept.iter_mut().zip(superseded) {
            cursor.superseded |= superseded;
        }
        self.note_older();
        self.copies.retain_mut(find_again);
        self.kept.append(&mut self.copies);
        // Truncated while it was read in the last look: found by the next reading.
        self.kept.append(&mut self.waiting);
        self.kept
    }

    /// What was rotated before its log was first seen is not read, though it may have a later time: it was packed since, or its
    /// writer still has it open. What is written to it from now on is.
    fn note_older(&mut self) {
        for file in std::mem::take(&mut self.older) {
            if self.is_kept(file.id) || self.is_known_copy(file.id) {
                continue;
            }
            let mut cursor = self.cursor_of(&file);
            // With a number before the extension it may be the log of another instance, which is written too.
            let is_sure = cursor.log().is_some_and(|log| {
                file.path.as_os_str().as_encoded_bytes().starts_with(log.as_os_str().as_encoded_bytes())
            });
            if let Some(opened) = open(&file).ok().flatten().filter(|_| is_sure && !is_packed(&file.path)) {
                cursor.advance(&opened, file.id, end_of(&opened, file.id.size));
                cursor.superseded = true;
                self.kept.push(cursor);
                continue;
            }
            let is_of = |log: &&FileCursor| is_live(log) && is_rotation_of(&file.path, &log.path);
            if self.kept.iter().find(is_of).is_some_and(|log| file.id.mtime >= log.mtime) {
                let (size, mtime) = (file.id.size, file.id.mtime);
                self.copies.push(FileCursor { copied: true, size, mtime, ..cursor });
            }
        }
    }

    /// Whether a file was read to its end and nobody writes to it any more: it is packed, or a later one of the same log is
    /// there: the log itself, or another of its rotated files when the log is not there yet.
    fn is_superseded(&self, cursor: &FileCursor) -> bool {
        if is_packed(&cursor.path) {
            return true;
        }
        let read = cursor.offset >= cursor.size;
        let log = cursor.rotated_from.as_ref().filter(|_| cursor.rotated);
        let follows = |path: &Path| {
            is_rotation_of(&cursor.path, path) || log.is_some_and(|log| path == *log || is_rotation_of(path, log))
        };
        let is_later =
            |c: &FileCursor| (c.generation, c.mtime) >= (cursor.generation, cursor.mtime) || log == Some(&c.path);
        read && self.kept.iter().any(|c| c.path != cursor.path && is_later(c) && follows(&c.path))
    }

    fn is_kept(&self, id: Identity) -> bool {
        self.kept.iter().any(|c| c.is_same_inode(id))
    }

    fn is_known_copy(&self, id: Identity) -> bool {
        self.copies.iter().any(|copy| copy.is_unchanged(id))
    }

    fn now_ns(&self) -> i128 {
        self.collector.now.as_nanosecond()
    }
}
