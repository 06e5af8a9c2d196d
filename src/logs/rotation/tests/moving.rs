//! Logs that are rotated while a pass looks at them: what moved is looked for again, and what went is told.

use super::copies::{counted, present};
use super::{Log, scenes_of};
use crate::logs::cursor::FileCursor;
use crate::logs::files::{End, expand};
use crate::logs::rotation::{Followed, Found, Round};
use std::cell::Cell;
use std::fs;
use std::io::Write;

/// A pass that looks a second time, because a packed file is not whole at its first look, and what happens in between
/// and, should it look on, before its fourth look.
fn pass_that_looks_twice(log: &mut Log, second: impl Fn(&mut Log), fourth: impl Fn(&mut Log)) {
    log.append("app.log.9.gz", "half");
    let looks = Cell::new(0);
    log.pass_while(log.clock + 1, |log, look| {
        looks.set(look);
        if look == 2 {
            fs::remove_file(log.path("app.log.9.gz")).unwrap();
            second(log);
        } else if look == 4 {
            fourth(log);
        }
    });
    assert!(looks.get() >= 2, "the pass looked once: nothing was tried");
}

#[test]
fn what_was_written_since_an_earlier_look_of_the_same_pass_and_went_is_a_gap_told_with_what_came_after_it() {
    for pattern in ["app.{log,log.9.gz}", "app.log*"] {
        let mut log = Log::new(pattern);
        log.write("app.log", 100);
        log.pass();
        let before = (log.counted, log.written);
        pass_that_looks_twice(
            &mut log,
            |log| {
                log.write("app.log", 5);
                fs::remove_file(log.path("app.log")).unwrap();
                log.write("app.log", 7);
            },
            |_| {},
        );
        assert_eq!((log.counted - before.0, log.gaps), (log.written - before.1 - 5, 1), "{pattern}");
        log.pass();
        assert_eq!((log.counted, log.gaps), (107, 1), "{pattern}: it is told once");
    }
}

#[test]
fn what_was_seen_empty_and_then_written_and_packed_in_the_same_pass_is_no_gap_in_the_next() {
    scenes_of("app.log*", |log| {
        log.rename("app.log", "app.log.2");
        log.append("app.log", "");
        log.pass();
        let rotate = |log: &mut Log| {
            log.write("app.log", 30);
            log.rename("app.log", "app.log.1");
            log.pack("app.log.1");
            log.write("app.log", 4);
        };
        pass_that_looks_twice(log, rotate, |_| {});
    });
}

#[test]
fn what_was_seen_empty_is_read_when_it_is_packed_though_what_came_after_it_was_seen_already() {
    scenes_of("app.{log,log.9.gz}", |log| {
        log.rename("app.log", "app.log.2");
        log.append("app.log", "");
        log.pass();
        let rotate = |log: &mut Log| {
            log.rename("app.log", "app.log.1");
            log.write("app.log.1", 3);
            log.write("app.log", 4);
        };
        pass_that_looks_twice(log, rotate, |_| {});
        log.pack("app.log.1");
    });
}

/// Where all files were renamed since they were looked at, none can be opened to compare a fresh one with it.
#[test]
fn a_fresh_file_that_can_be_no_copy_is_read_at_the_first_look_that_finds_it() {
    let shorter_than_a_rotated_one = (5, 7);
    let begins_otherwise_than_the_log = (100, 70);
    for (log_lines, fresh_lines) in [shorter_than_a_rotated_one, begins_otherwise_than_the_log] {
        scenes_of("app.log*", |log| {
            log.rename("app.log", "app.log.1");
            log.write("app.log", log_lines);
            log.pass();
            let rotate = |log: &mut Log| {
                log.rename("app.log.1", "app.log.3");
                log.rename("app.log", "app.log.2");
                log.write("app.log", fresh_lines);
                log.rename("app.log", "app.log.1");
                log.write("app.log", 4);
            };
            pass_that_looks_twice(log, rotate, |log| fs::remove_file(log.path("app.log.1")).unwrap());
        });
    }
}

/// Renamed once more right when it was looked for, and found then by its name.
#[test]
fn a_log_that_moved_while_it_was_looked_for_is_not_read_from_its_beginning() {
    for read in [0, 10] {
        let mut log = Log::new("app.log");
        log.write("app.log", 5);
        log.pass();
        log.rename("app.log", "app.log.2");
        log.append("app.log", "");
        log.write("app.log", read);
        log.pass();
        log.write("app.log", 20);
        log.rename("app.log", "app.log.1");
        log.write("app.log", 3);
        let (base, names) = (log.path("app.log"), log.pattern.clone());
        let (count, gaps) = counted(&mut log, |round| {
            let moved = round.waiting.iter().position(|cursor| cursor.path == base).unwrap();
            round.lost.push(round.waiting.swap_remove(moved));
            round.bases.push(base);
            assert!(round.start_all(Vec::new(), true));
            let mut lost = std::mem::take(&mut round.lost);
            round.waiting.append(&mut lost);
            assert!(round.look(expand(&names).unwrap(), false));
        });
        assert_eq!((count, gaps), (23, 0), "{read} lines were read before");
        assert_eq!(log.pass().events, 0, "{read} lines were read before");
    }
}

#[test]
fn what_was_seen_and_went_before_it_was_read_is_a_gap() {
    for pattern in ["app.log", "app.log*"] {
        let mut log = Log::new(pattern);
        log.write("app.log", 100);
        log.pass();
        log.rename("app.log", "app.log.2");
        log.write("app.log", 7);
        log.rename("app.log", "app.log.1");
        log.write("app.log", 3);
        let (path, names) = (log.path("app.log.1"), log.pattern.clone());
        let gone = present(path.clone());
        let (count, gaps) = counted(&mut log, |round| {
            fs::remove_file(&path).unwrap();
            assert!(!round.start_all(vec![gone], false));
            assert!(round.look(expand(&names).unwrap(), false));
        });
        assert_eq!((count, gaps), (3, 1), "{pattern}");
        let report = log.pass();
        assert_eq!((report.events, report.gaps.len()), (0, 0), "{pattern}");
    }
}

#[test]
fn what_was_truncated_after_it_was_listed_and_before_it_was_read_is_a_gap_unless_a_copy_of_it_was_read() {
    for (first, copied) in [("app.log", false), ("app.log", true), ("app.log.1", false)] {
        let mut log = Log::new("app.log");
        log.write("app.log", 100);
        log.pass();
        log.append("app.log", "");
        let mut listed = present(log.path("app.log"));
        if first == "app.log.1" {
            log.rename("app.log", "app.log.1");
            log.write("app.log", 3);
            log.pass();
            fs::remove_file(log.path("app.log.1")).unwrap();
            log.append("app.log.1", "line ERR\n");
            listed = present(log.path("app.log.1"));
        }
        let copy = copied.then(|| {
            log.write("app.log", 5);
            fs::copy(log.path("app.log"), log.path("app.log.1")).unwrap();
            present(log.path("app.log.1"))
        });
        listed.id.size += 1000;
        let (_, gaps) = counted(&mut log, |round| {
            round.waiting.clear();
            let opened = fs::File::open(&listed.path).unwrap();
            round.started.push(listed.path.clone());
            let cursor = round.cursor_of(&listed);
            assert!(matches!(round.read(cursor, (opened, listed.id.size), End::Waits), Followed::Kept));
            round.started.extend(copy.map(|copy| copy.path));
            round.give_up(&[], true);
        });
        assert_eq!(gaps, usize::from(!copied), "{first}");
    }
}

#[test]
fn a_log_that_moved_at_every_look_is_no_new_one_for_the_next_pass() {
    for pattern in ["app.log", "app.log*"] {
        let mut log = Log::new(pattern);
        log.write("app.log", 100);
        log.pass();
        fs::remove_file(log.path("app.log")).unwrap();
        log.append("app.log", "");
        let stale = present(log.path("app.log"));
        fs::remove_file(log.path("app.log")).unwrap();
        let (count, gaps) = counted(&mut log, |round| {
            let displaced = std::mem::take(&mut round.waiting);
            assert!(round.settle(Found { fresh: vec![stale], displaced, moved: Vec::new() }, true));
        });
        assert_eq!((count, gaps), (0, 1), "{pattern}");
        log.write("app.log", 7);
        log.rename("app.log", "app.log.1");
        log.write("app.log", 3);
        for expected in [(10, 0), (0, 0)] {
            let report = log.pass();
            assert_eq!((report.events, report.gaps.len()), expected, "{pattern}");
        }
    }
}

/// It may have been renamed once more while it was looked at.
#[test]
fn a_file_that_moves_still_after_the_last_look_is_not_lost() {
    let mut log = Log::new("app.log");
    log.write("app.log", 100);
    log.pass();
    log.write("app.log", 5);
    log.rename("app.log", "app.log.1");
    log.write("app.log", 3);
    let (count, gaps) = counted(&mut log, |round| {
        let moved = std::mem::take(&mut round.waiting);
        round.lost = moved;
        let moving: Vec<_> = round.lost.iter().map(FileCursor::identity).collect();
        round.give_up(&moving, false);
    });
    assert_eq!((count, gaps), (0, 0));
    let report = log.pass();
    assert_eq!((report.events, report.gaps.len()), (8, 0));
}

#[test]
fn what_was_rotated_after_the_end_of_a_log_that_this_look_read_comes_after_it() {
    for (last, is_beside) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut log = Log::new("app.log");
        log.write("app.log", 100);
        log.pass();
        log.rename("app.log", "app.log.1");
        log.write("app.log", 10);
        log.pass();
        log.write("app.log", 5);
        for (name, lines) in [("end", 7), ("next.1", 20), ("next", 3)] {
            log.write(name, lines);
        }
        let [live, rotated, older] = ["app.log", "app.log.1", "app.log.2"].map(|name| log.path(name));
        let [end, next_rotated, next] = ["end", "next.1", "next"].map(|name| log.path(name));
        fs::remove_file(&rotated).unwrap();
        let names = log.pattern.clone();
        let (count, gaps) = counted(&mut log, |round| {
            let found = round.go_on(vec![present(live.clone())]);
            let end = fs::read(end).unwrap();
            fs::File::options().append(true).open(&live).unwrap().write_all(&end).unwrap();
            fs::rename(&live, &older).unwrap();
            if !is_beside {
                fs::remove_file(older).unwrap();
            }
            fs::rename(next_rotated, rotated).unwrap();
            fs::rename(next, live).unwrap();
            assert_eq!(round.settle(found, last), last);
            if !last {
                assert!(round.look(expand(&names).unwrap(), true));
            }
        });
        let (read, lost) = if is_beside { (7, 0) } else { (0, 1) };
        assert_eq!(gaps, lost, "last look: {last}, beside: {is_beside}");
        let report = log.pass();
        assert_eq!((count + report.events, report.gaps.len()), (5 + read + 20 + 3, 0), "{last}, {is_beside}");
    }
}

/// Its log has been written on and read since, so that it is no longer told by its time.
#[test]
fn what_was_seen_and_not_read_is_read_by_the_next_pass() {
    for (pattern, packed) in [("app.log", false), ("app.log*", false), ("app.log", true), ("app.log*", true)] {
        let mut log = Log::new(pattern);
        log.write("app.log", 100);
        log.pass();
        log.rename("app.log", "app.log.3");
        log.write("app.log", 7);
        log.rename("app.log", "app.log.2");
        if packed {
            log.pack("app.log.2");
        }
        log.write("app.log", 3);
        let name = log.path(if packed { "app.log.2.gz" } else { "app.log.2" });
        let elsewhere = tempfile::tempdir_in(log.path(".")).unwrap();
        let (hidden, live) = (elsewhere.path().join("hidden"), log.path("app.log"));
        let (count, gaps) = counted(&mut log, |round| {
            let unread = present(name.clone());
            fs::rename(&name, &hidden).unwrap();
            let displaced = std::mem::take(&mut round.waiting);
            assert!(round.settle(Found { fresh: vec![present(live)], displaced, moved: Vec::new() }, true));
            fs::rename(&hidden, &name).unwrap();
            round.seen.push(unread);
            round.leave_unread();
        });
        assert_eq!((count, gaps), (3, 0), "{pattern}, packed: {packed}");
        for expected in [(7, 0), (0, 0)] {
            let report = log.pass();
            assert_eq!((report.events, report.gaps.len()), expected, "{pattern}, packed: {packed}");
        }
    }
}

/// A pass that saw this file beside a log that it read, and could not look at it.
fn pass_that_left_unread(log: &mut Log, name: &str) {
    let (path, names) = (log.path(name), log.pattern.clone());
    let (_, gaps) = counted(log, |round| {
        let unread = present(path.clone());
        let hidden = path.with_extension("hidden");
        fs::rename(&path, &hidden).unwrap();
        assert!(round.look(expand(&names).unwrap(), true));
        fs::rename(&hidden, &path).unwrap();
        round.seen.push(unread);
        round.leave_unread();
    });
    assert_eq!(gaps, 0);
}

#[test]
fn a_copy_that_was_seen_and_not_looked_at_is_not_read_whatever_becomes_of_it() {
    let check = |name: &str, becomes: &dyn Fn(&Log)| {
        let mut log = Log::new("app.log");
        log.write("app.log", 100);
        log.pass();
        fs::copy(log.path("app.log"), log.path("app.log.1")).unwrap();
        log.stamp(&log.path("app.log.1"));
        if name.ends_with(".gz") {
            log.pack("app.log.1");
        }
        pass_that_left_unread(&mut log, name);
        becomes(&log);
        let report = log.pass();
        assert_eq!((report.events, report.gaps.len()), (0, 0), "{name}");
    };
    check("app.log.1", &|_| {});
    check("app.log.1", &|log| log.pack("app.log.1"));
    check("app.log.1", &|log| log.rename("app.log.1", "app.log.2"));
    check("app.log.1", &|log| fs::remove_file(log.path("app.log.1")).unwrap());
    check("app.log.1.gz", &|_| {});
    check("app.log.1.gz", &|log| fs::remove_file(log.path("app.log.1.gz")).unwrap());
}

/// Nothing said of which log it is a part when it was left.
#[test]
fn a_packed_file_that_was_left_unread_is_read_whole() {
    let mut log = Log::new("app.{log,log.1.gz}");
    log.write("app.log", 100);
    log.pass();
    log.write("app.log.1", 7);
    log.pack("app.log.1");
    let packed = present(log.path("app.log.1.gz"));
    let (count, _) = counted(&mut log, |round| {
        let cursor = FileCursor { mtime: packed.id.mtime, ..FileCursor::start(packed.path, packed.id) };
        round.waiting.push(cursor);
    });
    assert_eq!(count, 0);
    for expected in [(7, 0), (0, 0)] {
        let report = log.pass();
        assert_eq!((report.events, report.gaps.len()), expected);
    }
}

/// A look at the files that a log's pattern names now, with `meanwhile` after what is known was read on in, and those after it.
fn looks_with(round: &mut Round<'_, '_>, names: &str, first_is_last: bool, meanwhile: impl FnOnce()) {
    let listed = round.present(expand(names).unwrap());
    let found = round.go_on(listed);
    meanwhile();
    let done = round.settle(found, first_is_last);
    assert!(done || (2..=5).any(|look| round.look(expand(names).unwrap(), look == 5)));
}

#[test]
fn what_was_left_unread_is_read_though_its_log_is_rotated_meanwhile() {
    let mut log = Log::new("app.log");
    log.write("app.log", 100);
    log.pass();
    log.rename("app.log", "app.log.3");
    log.write("app.log", 7);
    log.rename("app.log", "app.log.2");
    log.write("app.log", 3);
    let [unread, rotated, live] = ["app.log.2", "app.log.1", "app.log"].map(|name| log.path(name));
    pass_that_left_unread(&mut log, "app.log.2");
    log.write("app.log", 4);
    log.write("next", 2);
    let (next, names) = (log.path("next"), log.pattern.clone());
    let (count, gaps) = counted(&mut log, |round| {
        looks_with(round, &names, false, || {
            fs::rename(&live, rotated).unwrap();
            fs::rename(next, &live).unwrap();
        });
    });
    assert_eq!((count, gaps), (11, 0));
    fs::remove_file(unread).unwrap();
    let report = log.pass();
    assert_eq!((report.events, report.gaps.len()), (2, 0));
}

#[test]
fn a_log_that_is_rotated_meanwhile_holds_up_no_other() {
    let mut log = Log::new("*.log");
    log.write("busy.log", 100);
    log.pass();
    log.write("other.log", 4);
    log.write("next", 3);
    let [live, rotated, next, other] = ["busy.log", "busy.log.1", "next", "other.log"].map(|name| log.path(name));
    let names = log.pattern.clone();
    let (count, gaps) = counted(&mut log, |round| {
        let listed = round.present(expand(&names).unwrap());
        let found = round.go_on(listed);
        fs::rename(&live, rotated).unwrap();
        fs::rename(next, &live).unwrap();
        assert!(round.settle(found, false));
        fs::remove_file(other).unwrap();
    });
    assert_eq!((count, gaps), (4, 0));
    assert_eq!(log.pass().events, 3);
}

/// Removed, or truncated, written anew and renamed.
#[test]
fn a_log_that_goes_after_the_last_look_has_read_it_stays_known() {
    for is_written_anew in [false, true] {
        for other in [None, Some("app.log.5"), Some("other.log")] {
            let mut log = Log::new("{app,other}.log");
            log.write("app.log", 100);
            log.pass();
            log.write("app.log", 5);
            log.write("anew", 9);
            log.write("next", 3);
            other.into_iter().for_each(|name| log.write(name, 1));
            let [live, rotated, anew, next] = ["app.log", "app.log.1", "anew", "next"].map(|name| log.path(name));
            let names = log.pattern.clone();
            let (count, gaps) = counted(&mut log, |round| {
                looks_with(round, &names, true, || {
                    if is_written_anew {
                        fs::write(&live, fs::read(anew).unwrap()).unwrap();
                        fs::rename(&live, rotated).unwrap();
                    } else {
                        fs::remove_file(&live).unwrap();
                    }
                    fs::rename(next, &live).unwrap();
                });
            });
            log.write("app.log", 2);
            log.rename("app.log", "app.log.2");
            log.write("app.log", 6);
            let report = log.pass();
            let told = (count + report.events, gaps + report.gaps.len());
            let written = 5 + 3 + 2 + 6 + u64::from(other.is_some()) + if is_written_anew { 9 } else { 0 };
            assert_eq!(told, (written, 1), "written anew: {is_written_anew}, beside {other:?}");
            let report = log.pass();
            assert_eq!((report.events, report.gaps.len()), (0, 0));
        }
    }
}
