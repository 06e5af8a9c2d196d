//! Logs that are copied and truncated: every line is counted once, in the log or in its copy.

use super::{Log, scenes};
use std::fs;

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
