//! Every line of a log is counted exactly once, however the log is rotated between two passes, or is inside of a gap.

mod copies;
mod moving;

use crate::logs::collect::{Collector, Counting};
use crate::logs::files::{Format, Source, expand};
use crate::logs::tests::signature;
use crate::logs::{LogState, read_files, rotation, signature_set};
use crate::model::LogReport;
use jiff::Timestamp;
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A log in a directory of its own, read in passes.
struct Log {
    dir: tempfile::TempDir,
    pattern: String,
    state: LogState,
    format: Format,
    written: u64,
    counted: u64,
    clock: i64,
    gaps: usize,
}

impl Log {
    fn new(pattern: &str) -> Log {
        let dir = tempfile::tempdir().unwrap();
        let pattern = dir.path().join(pattern).display().to_string();
        let state = LogState::default();
        Log { dir, pattern, state, format: Format::Plain, written: 0, counted: 0, clock: 1_000, gaps: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Later things have later times, whatever the clock of the machine does.
    fn stamp(&mut self, path: &Path) {
        self.clock += 10;
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(self.clock as u64);
        fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn append(&mut self, name: &str, text: &str) {
        let path = self.path(name);
        fs::File::options().create(true).append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        self.stamp(&path);
    }

    /// Appends numbered lines.
    fn write(&mut self, name: &str, lines: u64) {
        let mut text = String::new();
        for _ in 0..lines {
            self.written += 1;
            let line = format!("line {:06} ERR", self.written);
            text += &match self.format {
                Format::Plain => format!("{line}\n"),
                Format::DockerJson => {
                    let time = Timestamp::from_second(self.clock).unwrap();
                    format!("{{\"log\":\"{line}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n")
                }
            };
        }
        self.append(name, &text);
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// As gzip does: the packed file keeps the time of the original.
    fn pack(&self, name: &str) {
        let path = self.path(name);
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let packed = fs::File::create(self.path(&format!("{name}.gz"))).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        encoder.write_all(&fs::read(&path).unwrap()).unwrap();
        encoder.finish().unwrap().set_modified(time).unwrap();
        fs::remove_file(path).unwrap();
    }

    fn pass(&mut self) -> LogReport {
        self.pass_at(self.clock + 1)
    }

    fn pass_at(&mut self, now: i64) -> LogReport {
        self.pass_while(now, |_, _| {})
    }

    /// A pass, with what happens before each of its looks at the files: the first is look 1.
    fn pass_while(&mut self, now: i64, meanwhile: impl Fn(&mut Log, u32)) -> LogReport {
        let report = self.pass_with_problems(now, meanwhile);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        report
    }

    fn pass_with_problems(&mut self, now: i64, meanwhile: impl Fn(&mut Log, u32)) -> LogReport {
        // What a pass remembers goes through its file.
        let file = self.path("cursors.json");
        self.state.save(&file, &crate::config::Redactor::default()).unwrap();
        let mut state = LogState::load(&file).unwrap().0;
        fs::remove_file(file).unwrap();
        let set = signature_set(&[signature("err", "ERR")]);
        let cursors = state.files.remove("file:x").unwrap_or_default();
        let mut collector =
            Collector::new(&set, &mut state, Timestamp::from_second(now).unwrap(), Counting::Recent(3600));
        let source = Source { chunk: 1000, ..Source::new("file:x", self.format) };
        let pattern = self.pattern.clone();
        let (log, look) = (RefCell::new(&mut *self), Cell::new(0));
        let list = || {
            look.set(look.get() + 1);
            meanwhile(&mut log.borrow_mut(), look.get());
            expand(&pattern).unwrap()
        };
        let kept = rotation::read_source(&mut collector, source, &list, cursors);
        collector.state.files.insert("file:x".to_owned(), kept);
        let report = collector.finish();
        self.state = state;
        self.counted += report.events;
        self.gaps += report.gaps.len();
        report
    }

    /// Everything written has been counted once.
    fn check(&mut self) {
        self.pass();
        assert_eq!((self.counted, self.gaps), (self.written, 0));
        let again = self.pass_at(self.clock + 100);
        assert_eq!((again.events, again.bytes), (0, 0), "a pass with nothing new reads nothing");
    }
}

/// Runs a scene with a glob of the log alone, and one that matches the rotated files too, plain and as Docker writes.
fn scenes(scene: impl Fn(&mut Log)) {
    for pattern in ["app.log", "app.log*"] {
        scenes_of(pattern, &scene);
    }
}

fn scenes_of(pattern: &str, scene: impl Fn(&mut Log)) {
    for format in [Format::Plain, Format::DockerJson] {
        let mut log = Log::new(pattern);
        log.format = format;
        log.write("app.log", 100);
        log.pass();
        scene(&mut log);
        log.check();
    }
}

#[test]
fn only_what_is_new_is_read() {
    scenes(|log| {
        log.write("app.log", 5);
        assert_eq!(log.pass().events, 5);
    });
}

#[test]
fn rename_and_create_loses_nothing() {
    scenes(|log| {
        log.write("app.log", 7);
        log.rename("app.log", "app.log.1");
        log.write("app.log", 300);
    });
}

#[test]
fn a_writer_that_still_holds_the_renamed_file_is_followed() {
    scenes(|log| {
        log.rename("app.log", "app.log.1");
        log.write("app.log", 3);
        log.pass();
        log.write("app.log.1", 4);
        log.pass();
        log.rename("app.log.1", "app.log.2");
        log.write("app.log.2", 2);
    });
}

#[test]
fn several_rotations_between_two_passes_are_all_read() {
    scenes(|log| {
        log.write("app.log", 7);
        for _ in 0..3 {
            for n in (1..5).rev() {
                if log.path(&format!("app.log.{n}")).exists() {
                    log.rename(&format!("app.log.{n}"), &format!("app.log.{}", n + 1));
                }
            }
            log.rename("app.log", "app.log.1");
            log.write("app.log", 11);
        }
    });
}

#[test]
fn a_rotated_file_that_was_packed_meanwhile_is_finished() {
    scenes(|log| {
        log.write("app.log", 7);
        log.rename("app.log", "app.log.1");
        log.pack("app.log.1");
        log.write("app.log", 9);
    });
}

#[test]
fn packing_what_was_read_counts_nothing_again() {
    scenes(|log| {
        log.rename("app.log", "app.log.1");
        log.write("app.log", 9);
        log.pass();
        log.rename("app.log.1", "app.log.2");
        log.pack("app.log.2");
    });
}

/// The engine packs a log while the next one is written: the packed file may be the later one.
#[test]
fn a_file_that_was_packed_after_the_next_was_begun_and_read_is_no_gap_when_it_goes() {
    scenes(|log| {
        log.rename("app.log", "app.log.1");
        log.write("app.log", 7);
        log.pack("app.log.1");
        let packed = log.path("app.log.1.gz");
        log.stamp(&packed);
        log.pass();
        fs::remove_file(packed).unwrap();
        log.rename("app.log", "app.log.1");
        log.write("app.log", 9);
    });
}

#[test]
fn what_was_read_before_a_later_file_of_its_log_may_go_though_the_log_was_not_there_at_the_last_look() {
    for pattern in ["app.log", "app*.log"] {
        for seen_beside_its_log in [true, false] {
            let mut log = Log::new(pattern);
            log.write("app.log", 100);
            log.pass();
            log.rename("app.log", "app-20250101.log");
            log.write("app.log", 5);
            if seen_beside_its_log {
                log.pass();
            }
            log.rename("app.log", "app-20250102.log");
            log.pass();
            fs::remove_file(log.path("app-20250101.log")).unwrap();
            log.write("app.log", 3);
            log.check();
        }
    }
}

#[test]
fn what_was_read_and_may_have_been_written_again_since_is_a_gap_when_it_goes() {
    let unseen_successor = |log: &mut Log| {
        log.rename("app.log", "app.log.1");
        log.pass();
        log.append("app.log.1", "late ERR\n");
        fs::remove_file(log.path("app.log.1")).unwrap();
    };
    let got_its_name_back = |log: &mut Log| {
        log.rename("app.log", "app.log.1");
        log.write("app.log", 5);
        log.pass();
        log.rename("app.log", "app.log.2");
        log.rename("app.log.1", "app.log");
        log.pass();
        log.append("app.log", "late ERR\n");
        fs::remove_file(log.path("app.log")).unwrap();
    };
    for scene in [&unseen_successor as &dyn Fn(&mut Log), &got_its_name_back] {
        let mut log = Log::new("app.log");
        log.write("app.log", 100);
        log.pass();
        scene(&mut log);
        log.write("app.log", 3);
        log.pass();
        assert_eq!((log.counted, log.gaps), (log.written, 1));
    }
}

#[test]
fn unlink_and_create_is_a_gap_and_the_new_file_is_read_whole() {
    let mut log = Log::new("app.log");
    log.write("app.log", 100);
    log.pass();
    fs::remove_file(log.path("app.log")).unwrap();
    log.write("app.log", 200);
    log.pass();
    assert_eq!((log.counted, log.gaps), (300, 1));
    log.pass();
    assert_eq!((log.counted, log.gaps), (300, 1));
}

/// As a writer does that reserves room in its file before it writes.
#[test]
fn zeros_after_the_last_line_are_no_half_written_one() {
    let mut log = Log::new("app.log");
    log.append("app.log", &("line ERR\n".repeat(2000) + &"\0".repeat(500)));
    log.pass();
    let mut file = fs::File::options().write(true).open(log.path("app.log")).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(18_000)).unwrap();
    file.write_all(b"line ERR\n").unwrap();
    let path = log.path("app.log");
    log.stamp(&path);
    log.pass();
    assert_eq!((log.counted, log.gaps), (2001, 0));
}

#[test]
fn a_log_written_anew_with_the_same_first_line_is_told_apart_by_its_half_written_one() {
    let mut log = Log::new("app.log");
    log.append("app.log", "ready for the work of today\nline 1");
    log.pass();
    fs::File::create(log.path("app.log")).unwrap();
    log.append("app.log", "ready for the work of today\nother ERR, and more than there was before\n");
    assert_eq!((log.pass().events, log.gaps), (1, 1));
}

/// A log of Docker that was read and then truncated, with the number of gaps that a pass told which came so late (s).
fn truncated_log_of_docker(late: i64) -> (Log, usize) {
    let mut log = Log::new("app.log");
    log.format = Format::DockerJson;
    log.write("app.log", 100);
    log.pass();
    fs::File::create(log.path("app.log")).unwrap();
    log.append("app.log", "");
    log.pass_at(log.clock + late);
    let told = log.gaps;
    (log, told)
}

#[test]
fn a_log_that_docker_truncated_again_while_it_was_empty_is_a_gap() {
    for (lines, empty) in [(0, false), (5, false), (5, true)] {
        let (mut log, told) = truncated_log_of_docker(1);
        if lines > 0 {
            log.write("app.log", lines);
            log.written -= lines;
            fs::File::create(log.path("app.log")).unwrap();
            log.append("app.log", "");
        }
        if empty {
            log.pass();
        }
        log.write("app.log", 7);
        log.pass();
        log.pass();
        assert_eq!((log.counted, log.gaps - told), (log.written, usize::from(lines > 0)), "{lines} {empty}");
    }
}

#[test]
fn a_log_of_docker_that_somebody_else_emptied_is_one_gap_whenever_it_goes_on() {
    let (mut log, told) = truncated_log_of_docker(100);
    log.clock += 3600;
    log.write("app.log", 7);
    log.pass();
    assert_eq!((log.counted, told, log.gaps), (107, 1, 1));
}

#[test]
fn a_log_that_cannot_be_looked_at_is_told_and_not_taken_for_gone() {
    for pattern in ["logs/app.log", "*/app.log"] {
        let mut log = Log::new(pattern);
        fs::create_dir(log.path("logs")).unwrap();
        log.write("logs/app.log", 10);
        log.pass();
        log.write("logs/app.log", 5);
        // As when a directory may not be entered any more.
        log.rename("logs", "elsewhere");
        std::os::unix::fs::symlink("logs", log.path("logs")).unwrap();
        // No wildcard finds it there.
        log.rename("elsewhere/app.log", "elsewhere/kept");
        for _ in 0..2 {
            let problems = log.pass_with_problems(log.clock + 1, |_, _| {}).problems;
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].message.contains("cannot look at"), "{problems:?}");
        }
        fs::remove_file(log.path("logs")).unwrap();
        log.rename("elsewhere/kept", "elsewhere/app.log");
        log.rename("elsewhere", "logs");
        log.check();
    }
}

#[test]
fn a_half_written_line_waits_but_not_for_ever() {
    let mut log = Log::new("app.log");
    log.append("app.log", "one ERR\ntwo E");
    assert_eq!(log.pass().events, 1);
    log.append("app.log", "RR\nthree ERR");
    assert_eq!(log.pass().events, 1);
    assert_eq!(log.pass_at(log.clock + 1).events, 0, "it may be being written just now");
    assert_eq!(log.pass_at(log.clock + 60).events, 1);
    assert_eq!(log.pass_at(log.clock + 120).events, 0);
    log.append("app.log", " and its rest ERR\nfour ERR\n");
    assert_eq!(log.pass().events, 1, "the rest of a line that was taken is skipped");
}

#[test]
fn the_first_sight_of_a_huge_log_reads_its_end_and_says_so() {
    let mut log = Log::new("app.log");
    let line = format!("{} ERR\n", "x".repeat(1019));
    log.append("app.log", &line.repeat(20 << 10));
    let report = log.pass();
    assert_eq!(report.gaps[0].bytes, Some(4 << 20));
    assert_eq!(report.events, (16 << 10) - 1, "the line that the tail begins in is not looked at");
}

/// Packed when its log was written already, or written last in the same tick.
#[test]
fn what_was_rotated_before_its_log_was_first_seen_is_not_read_when_it_is_rotated_again() {
    for (packed, later) in [(true, 0), (true, 10), (false, 0), (false, 10)] {
        let mut log = Log::new("app.log");
        log.write("app.log.1", 2);
        if packed {
            log.pack("app.log.1");
        }
        log.write("app.log", 3);
        let rotated = |n: u32| format!("app.log.{n}{}", if packed { ".gz" } else { "" });
        let written = fs::metadata(log.path("app.log")).unwrap().modified().unwrap();
        let older = fs::File::options().append(true).open(log.path(&rotated(1))).unwrap();
        older.set_modified(written + std::time::Duration::from_secs(later)).unwrap();
        log.pass();
        log.rename(&rotated(1), &rotated(2));
        log.rename("app.log", "app.log.1");
        log.write("app.log", 5);
        log.pass();
        assert_eq!((log.counted, log.gaps), (8, 0), "packed: {packed}, {later} s later");
    }
}

#[test]
fn what_is_written_late_to_what_was_rotated_before_its_log_was_first_seen_is_read_and_no_more_of_it() {
    for (half, first) in [("", 0), ("", 7), ("a line of bef", 0)] {
        for pattern in ["app.log", "app.*g"] {
            let mut log = Log::new(pattern);
            log.format = Format::Plain;
            log.append("app.log.1", &format!("an old one ERR\n{half}"));
            log.write("app.log", 3);
            if first > 0 {
                log.append("app.log.1", &"an old one ERR\n".repeat(first));
            }
            log.pass();
            assert_eq!(log.counted, 3, "{half:?}, {first}, {pattern}");
            if !half.is_empty() {
                log.append("app.log.1", "ore ERR\n");
            }
            log.write("app.log.1", 2);
            log.rename("app.log.1", "app.log.2");
            log.rename("app.log", "app.log.1");
            log.write("app.log", 1);
            log.write("app.log.2", 1);
            log.pass();
            log.pack("app.log.2");
            log.write("app.log.1", 1);
            log.pass();
            assert_eq!((log.counted, log.gaps), (8, 0), "{half:?}, {first}, {pattern}");
            fs::remove_file(log.path("app.log.2.gz")).unwrap();
            log.check();
        }
    }
}

#[test]
fn a_binary_file_and_a_missing_one_are_told() {
    let mut log = Log::new("app.log");
    fs::write(log.path("app.log"), b"ERR\n\0\0ERR\n").unwrap();
    let set = signature_set(&[signature("err", "ERR")]);
    let mut collector = Collector::new(&set, &mut log.state, Timestamp::UNIX_EPOCH, Counting::Recent(3600));
    read_files(&mut collector, "file:x", &log.pattern);
    read_files(&mut collector, "file:y", "/nonexistent/*.log");
    let report = collector.finish();
    let messages: Vec<&str> = report.problems.iter().map(|p| p.message.as_str()).collect();
    assert!(messages[0].contains("binary") && messages[1].contains("no file matches"), "{messages:?}");
    assert_eq!(report.events, 0);
}
