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

fn copytruncate(log: &mut Log) {
    let copy = log.path("app.log.1");
    fs::copy(log.path("app.log"), &copy).unwrap();
    log.stamp(&copy);
    fs::File::options().write(true).open(log.path("app.log")).unwrap().set_len(0).unwrap();
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
        let copy = log.path("app.log.1");
        fs::copy(log.path("app.log"), &copy).unwrap();
        log.stamp(&copy);
        log.pass();
        fs::File::options().write(true).open(log.path("app.log")).unwrap().set_len(0).unwrap();
        log.write("app.log", 5);
    });
}

#[test]
fn a_copy_that_was_made_before_the_last_lines_were_read_is_counted_once_and_what_came_later_is_a_gap() {
    for pattern in ["app.log", "app.log*"] {
        let mut log = Log::new(pattern);
        log.write("app.log", 100);
        log.pass();
        log.write("app.log", 50);
        // Copied now, but not there yet when the pass lists the files.
        let copied = fs::read(log.path("app.log")).unwrap();
        let time = fs::metadata(log.path("app.log")).unwrap().modified().unwrap();
        log.write("app.log", 7);
        log.pass();
        fs::write(log.path("app.log.1"), copied).unwrap();
        fs::File::options().append(true).open(log.path("app.log.1")).unwrap().set_modified(time).unwrap();
        fs::File::options().write(true).open(log.path("app.log")).unwrap().set_len(0).unwrap();
        log.write("app.log", 5);
        log.pass();
        assert_eq!((log.counted, log.gaps), (log.written, 1), "{pattern}");
        log.gaps = 0;
        log.rename("app.log.1", "app.log.2");
        log.pack("app.log.2");
        log.check();
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
        fs::copy(log.path("app.log"), log.path("app.log.1")).unwrap();
        let copy = log.path("app.log.1");
        log.stamp(&copy);
        fs::File::create(log.path("app.log")).unwrap();
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

/// Bytes of a half line.
const HALF: usize = 40;

/// A log without a cursor is copied and truncated when so many of its bytes were read, after it and its copy were listed.
fn check_cut_off_after(bytes: u64) {
    for pattern in ["app.log", "app.log*"] {
        let mut log = Log::new(pattern);
        log.append("app.log", &"-".repeat(HALF));
        log.write("app.log", 100);
        let path = log.path("app.log");
        let opened = fs::File::open(&path).unwrap();
        let listed = Identity::of(&opened.metadata().unwrap());
        let set = signature_set(&[signature("err", "ERR")]);
        let mut collector = Collector::new(&set, &mut log.state, Timestamp::UNIX_EPOCH, Counting::Recent(3600));
        let source = Source::new("file:x", Format::Plain);
        let mut cursor = FileCursor::start(path.clone(), listed);
        let mut reader = Guarded::new(&opened, 0, listed.size).unwrap();
        let ended = scan_stream(&mut collector, source, &mut cursor, &mut (&mut reader).take(bytes), End::Waits);
        fs::copy(&path, path.with_extension("log.1")).unwrap();
        fs::write(&path, "something ERR else\n").unwrap();
        assert_eq!(leave(&reader, &mut cursor, &opened, listed, ended), Content::Displaced);
        let mut round = Round::begin(&mut collector, source, Vec::new());
        round.waiting.push(cursor);
        let copy = path.with_extension("log.1");
        let id = Identity::of(&fs::metadata(&copy).unwrap());
        assert!(!round.start_all(vec![Present { path: copy, id }], false), "it is to be looked at again");
        assert!(round.look(expand(&log.pattern).unwrap(), false), "what was cut off goes on in the copy");
        let kept = round.end();
        collector.state.files.insert("file:x".to_owned(), kept);
        let report = collector.finish();
        let case = format!("{pattern}, {bytes} bytes were read");
        assert_eq!((report.events, report.gaps.len()), (101, 0), "{case}");
        assert_eq!(log.pass().events, 0, "{case}");
    }
}

#[test]
fn what_is_cut_off_while_it_is_read_goes_on_in_its_copy_and_is_not_read_from_its_beginning_there() {
    for bytes in [HALF as u64, 1000] {
        check_cut_off_after(bytes);
    }
}
