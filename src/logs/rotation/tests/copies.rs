//! Logs that are copied and truncated: every line is counted once, in the log or in its copy.

use super::{Log, scenes};
use crate::logs::beside::Present;
use crate::logs::collect::{Collector, Counting};
use crate::logs::cursor::{FileCursor, Guarded, Identity};
use crate::logs::files::{Content, End, Format, Source, expand, leave, scan_stream};
use crate::logs::rotation::Round;
use crate::logs::signature_set;
use crate::logs::tests::signature;
use jiff::Timestamp;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

impl Log {
    fn copy(&mut self) {
        let copy = self.path("app.log.1");
        fs::copy(self.path("app.log"), &copy).unwrap();
        self.stamp(&copy);
    }

    fn truncate(&self) {
        fs::File::options().write(true).open(self.path("app.log")).unwrap().set_len(0).unwrap();
    }
}

fn copytruncate(log: &mut Log) {
    log.copy();
    log.truncate();
}

#[test]
fn copytruncate_loses_nothing_when_the_file_is_smaller_and_when_it_has_regrown() {
    for lines in [0, 3, 1000] {
        scenes(|log| {
            log.write("app.log", 7);
            copytruncate(log);
            log.write("app.log", lines);
        });
    }
}

#[test]
fn a_pass_between_copy_and_truncation_counts_nothing_twice() {
    scenes(|log| {
        log.copy();
        log.pass();
        log.truncate();
        log.write("app.log", 5);
    });
}

/// A copy holds so many of the lines that were read, and what was written after it is truncated away.
fn check_made_early(read: u64, copied: u64) {
    for pattern in ["app.log", "app.log*"] {
        let mut log = Log::new(pattern);
        log.write("app.log", read);
        log.pass();
        log.write("app.log", copied - read);
        // Copied now, but not there yet when the pass lists the files.
        let copy = fs::read(log.path("app.log")).unwrap();
        let time = fs::metadata(log.path("app.log")).unwrap().modified().unwrap();
        log.write("app.log", 7);
        log.pass();
        fs::write(log.path("app.log.1"), copy).unwrap();
        fs::File::options().append(true).open(log.path("app.log.1")).unwrap().set_modified(time).unwrap();
        log.truncate();
        log.write("app.log", 5);
        log.pass();
        assert_eq!((log.counted, log.gaps), (log.written, 1), "{pattern}, {copied} lines were copied");
        log.gaps = 0;
        log.rename("app.log.1", "app.log.2");
        log.pack("app.log.2");
        log.check();
    }
}

#[test]
fn a_copy_that_was_made_before_the_last_lines_were_read_is_counted_once_and_what_came_later_is_a_gap() {
    for (read, copied) in [(100, 150), (60, 62), (3, 5), (2, 3)] {
        check_made_early(read, copied);
    }
}

#[test]
fn what_was_copied_and_written_on_before_it_was_read_at_all_is_counted_once() {
    for copied in [3, 50, 100] {
        for pattern in ["app.log", "app.log*"] {
            let mut log = Log::new(pattern);
            log.write("app.log", 100);
            log.pass();
            copytruncate(&mut log);
            // All of it new, and not truncated yet: the copy is older than what was written last.
            log.rename("app.log.1", "app.log.2");
            log.write("app.log", copied);
            log.copy();
            log.write("app.log", 7);
            log.check();
            log.truncate();
            log.write("app.log", 5);
            log.pass();
            assert_eq!((log.counted, log.gaps), (log.written, 1), "{pattern}, {copied} lines were copied");
            log.gaps = 0;
            log.rename("app.log.1", "app.log.3");
            log.pack("app.log.3");
            log.check();
        }
    }
}

#[test]
fn a_copy_that_was_seen_before_it_held_anything_is_looked_at_again() {
    scenes(|log| {
        log.rename("app.log", "app.log.2");
        log.append("app.log", "");
        log.append("app.log.1", "");
        log.pass();
        // Written, copied and truncated before the next pass.
        log.write("app.log", 30);
        copytruncate(log);
        log.write("app.log", 3);
    });
}

#[test]
fn truncation_without_a_copy_is_a_gap() {
    let mut log = Log::new("app.log");
    log.write("app.log", 100);
    log.pass();
    fs::write(log.path("app.log"), "").unwrap();
    log.write("app.log", 300);
    log.pass();
    assert_eq!((log.counted, log.gaps), (400, 1));
}

/// Part of a pass of its own: what is done with the files in one order, and what that counts.
pub(super) fn counted(log: &mut Log, part: impl FnOnce(&mut Round<'_, '_>)) -> (u64, usize) {
    let set = signature_set(&[signature("err", "ERR")]);
    let mut collector = Collector::new(&set, &mut log.state, Timestamp::UNIX_EPOCH, Counting::Recent(3600));
    let cursors = collector.state.files.remove("file:x").unwrap_or_default();
    let mut round = Round::begin(&mut collector, Source::new("file:x", Format::Plain), cursors);
    part(&mut round);
    let kept = round.end();
    collector.state.files.insert("file:x".to_owned(), kept);
    let report = collector.finish();
    (report.events, report.gaps.len())
}

pub(super) fn present(path: PathBuf) -> Present {
    Present { id: Identity::of(&fs::metadata(&path).unwrap()), path }
}

#[test]
fn a_copy_with_less_than_was_read_is_known_though_its_log_was_truncated_since() {
    for (written, copied) in [(100, 90), (100, 10), (5, 4), (3, 2)] {
        let mut log = Log::new("app.log*");
        log.write("app.log", copied);
        log.copy();
        log.write("app.log", written - copied);
        let path = log.path("app.log");
        let listed = present(path.clone());
        let read = counted(&mut log, |round| {
            assert!(round.start_all(vec![listed], false));
            fs::write(&path, "something ERR else\n").unwrap();
            assert!(round.start(present(path.with_extension("log.1")), false), "it need not be looked at again");
        });
        assert_eq!(read, (written, 0), "{copied} of {written} lines were copied");
        let report = log.pass();
        assert_eq!((report.events, report.gaps.len()), (1, 1), "{copied} of {written} lines were copied");
    }
}

/// Bytes of a half line.
const HALF: usize = 40;

/// A log without a cursor is copied, written on, and truncated when so many of its bytes were read.
fn check_cut_off(bytes: u64, after_copy: u64) {
    for pattern in ["app.log", "app.log*"] {
        let mut log = Log::new(pattern);
        log.append("app.log", &"-".repeat(HALF));
        log.write("app.log", 100);
        log.copy();
        log.write("app.log", after_copy);
        let path = log.path("app.log");
        let opened = fs::File::open(&path).unwrap();
        let listed = present(path.clone()).id;
        let names = log.pattern.clone();
        let read = counted(&mut log, |round| {
            let mut cursor = FileCursor::start(path.clone(), listed);
            let mut reader = Guarded::new(&opened, 0, listed.size).unwrap();
            let mut part = (&mut reader).take(bytes);
            let ended = scan_stream(round.collector, round.source, &mut cursor, &mut part, End::Waits);
            fs::write(&path, "something ERR else\n").unwrap();
            assert_eq!(leave(&reader, &mut cursor, &opened, listed, ended), Content::Displaced);
            round.waiting.push(cursor);
            let copy = present(path.with_extension("log.1"));
            assert!(!round.start_all(vec![copy], false), "it is to be looked at again");
            assert!(round.look(expand(&names).unwrap(), false), "what was cut off goes on in the copy");
        });
        assert_eq!(read, (101, 0), "{pattern}, {bytes} bytes were read, {after_copy} lines written after the copy");
        assert_eq!(
            log.pass().events,
            0,
            "{pattern}, {bytes} bytes were read, {after_copy} lines written after the copy"
        );
    }
}

#[test]
fn what_is_cut_off_while_it_is_read_goes_on_in_its_copy_and_is_not_read_from_its_beginning_there() {
    for bytes in [HALF as u64, 1000] {
        for after_copy in [0, 7] {
            check_cut_off(bytes, after_copy);
        }
    }
}

/// A read may see the size of before a truncation and the bytes of after it, with nothing behind them.
#[test]
fn what_was_taken_of_a_log_that_is_still_there_goes_on_there_though_more_was_seen_behind_it() {
    let mut log = Log::new("app.log");
    log.write("app.log", 30);
    let path = log.path("app.log");
    let opened = fs::File::options().read(true).write(true).open(&path).unwrap();
    let whole = opened.metadata().unwrap().len();
    opened.set_len(5000).unwrap();
    let listed = present(path.clone()).id;
    let names = log.pattern.clone();
    let read = counted(&mut log, |round| {
        let mut cursor = FileCursor::start(path.clone(), listed);
        let mut reader = Guarded::new(&opened, 0, listed.size).unwrap();
        let ended = scan_stream(round.collector, round.source, &mut cursor, &mut reader, End::Waits);
        opened.set_len(whole).unwrap();
        assert_eq!(leave(&reader, &mut cursor, &opened, listed, ended), Content::Displaced);
        round.waiting.push(cursor);
        assert!(round.look(expand(&names).unwrap(), false), "it is where it was");
    });
    assert_eq!(read, (30, 0));
    log.write("app.log", 5);
    assert_eq!(log.pass().events, 5);
}
