//! Every line of a container is counted exactly once, whenever what the engine told goes on in its files.

use super::*;
use crate::logs::collect::Counting;
use crate::logs::tests::signature;
use crate::logs::{LogState, signature_set};
use std::fs;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

const LOG: &str = "x-json.log";

/// A log of the `json-file` driver, with all that was written to it as the engine tells it.
struct Log {
    dir: tempfile::TempDir,
    entries: Vec<(usize, Timestamp, String)>,
    state: LogState,
    /// When the next entry is written (s), as its stamp and the times of the files say.
    clock: i64,
    newest: i64,
    lines: u64,
    counted: u64,
    gaps: usize,
    tty: bool,
}

impl Log {
    fn new() -> Log {
        let dir = tempfile::tempdir().unwrap();
        let state = LogState::default();
        let mut log =
            Log { dir, entries: Vec::new(), state, clock: 1_000, newest: 0, lines: 0, counted: 0, gaps: 0, tty: false };
        let cursor = ContainerCursor {
            name: "web".into(),
            driver: "json-file".into(),
            path: Some(log.path(LOG)),
            tty: false,
            files: Vec::new(),
            api: ApiCursor::default(),
        };
        log.state.containers.insert(Container::example("web").id, cursor);
        log
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&mut self, name: &str, stream: usize, text: &str) {
        let time = Timestamp::from_second(self.clock).unwrap();
        self.entries.push((stream, time, text.to_owned()));
        let (text, stream) = (text.replace('\n', "\\n"), ["stdout", "stderr"][stream]);
        let path = self.path(name);
        let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{{\"log\":\"{text}\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}").unwrap();
        self.touch(name);
    }

    /// Files are written one after the other, also when the stamps of two streams are not.
    fn touch(&mut self, name: &str) {
        self.newest = self.newest.max(self.clock);
        let time = UNIX_EPOCH + Duration::from_secs(self.newest as u64);
        fs::File::options().append(true).open(self.path(name)).unwrap().set_modified(time).unwrap();
    }

    /// Lines on these streams, so much later than the one before each.
    fn write(&mut self, lines: &[(usize, i64)]) {
        for (stream, later) in lines {
            self.clock += later;
            self.lines += 1;
            self.append(LOG, *stream, &format!("line {} ERR\n", self.lines));
        }
    }

    fn rotate(&self) {
        for n in (0..9).rev() {
            for packed in ["", ".gz"] {
                let name = |n: i32| if n == 0 { LOG.to_owned() } else { format!("{LOG}.{n}{packed}") };
                if self.path(&name(n)).exists() && (n > 0 || packed.is_empty()) {
                    fs::rename(self.path(&name(n)), self.path(&name(n + 1))).unwrap();
                }
            }
        }
    }

    /// As the engine does: the packed file is as old as its packing.
    fn pack(&mut self) {
        let (from, to) = (format!("{LOG}.1"), format!("{LOG}.1.gz"));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&fs::read(self.path(&from)).unwrap()).unwrap();
        fs::write(self.path(&to), encoder.finish().unwrap()).unwrap();
        fs::remove_file(self.path(&from)).unwrap();
        self.touch(&to);
    }

    fn collect(&mut self, with: impl FnOnce(&mut Collector<'_>, &Log)) {
        // What a pass remembers goes through its file.
        let file = self.path("cursors.json");
        self.state.save(&file, &crate::config::Redactor::default()).unwrap();
        let mut state = LogState::load(&file).unwrap().0;
        fs::remove_file(file).unwrap();
        let set = signature_set(&[signature("err", "ERR")]);
        let now = Timestamp::from_second(self.clock + 100).unwrap();
        let mut collector = Collector::new(&set, &mut state, now, Counting::Recent(3600));
        with(&mut collector, self);
        let report = collector.finish();
        self.counted += report.events;
        self.gaps += report.gaps.len();
        self.state = state;
    }

    /// A pass that asks the engine, as `through_engine` does.
    fn ask(&mut self) {
        self.collect(|collector, log| {
            let id = Container::example("web").id;
            let mut cursor = collector.state.containers.remove(&id).unwrap();
            let mut reading = Reading::begin(collector, "x", &mut cursor.api, log.tty);
            let since = reading.known.since();
            // It takes whole seconds.
            let is_told = |time: &Timestamp| since.is_none_or(|since| time.as_second() >= since.as_second());
            let told = log.entries.iter().filter(|(_, time, _)| is_told(time));
            for (stream, time, text) in told {
                reading.take(collector, &mut cursor.api, *stream, format!("{time} {text}").as_bytes());
            }
            reading.end(collector, &mut cursor.api, true);
            collector.state.containers.insert(id, cursor);
        });
    }

    /// A pass that may read the files.
    fn read(&mut self) {
        self.collect(|collector, _| read(collector, &Container::example("web"), None));
    }

    fn is_read_as_a_file(&self) -> bool {
        self.state.containers.values().all(|cursor| !cursor.files.is_empty())
    }

    #[track_caller]
    fn check(&mut self) {
        self.read();
        assert!(self.is_read_as_a_file());
        assert_eq!((self.counted, self.gaps), (self.lines, 0));
        self.clock += 1;
        self.write(&[(0, 1), (1, 1)]);
        self.rotate();
        self.clock += 1;
        self.write(&[(0, 1)]);
        self.read();
        self.read();
        assert_eq!((self.counted, self.gaps), (self.lines, 0));
    }
}

/// A line that the engine cuts, and tells in one piece of a terminal.
fn write_long(log: &mut Log) {
    log.clock += 1;
    log.lines += 1;
    log.append(LOG, 0, &format!("ERR {}", "x".repeat(16 << 10)));
    log.append(LOG, 0, "and its rest ERR\n");
    log.clock += 1;
}

#[test]
fn what_the_engine_told_goes_on_in_the_log_or_in_what_it_was_rotated_to() {
    for rotations in 0..3 {
        let mut log = Log::new();
        log.write(&[(0, 1), (0, 1), (1, 0)]);
        log.ask();
        log.write(&[(0, 0), (1, 1)]);
        for _ in 0..rotations {
            log.rotate();
            log.write(&[(0, 1)]);
        }
        log.check();
    }
}

#[test]
fn entries_that_are_earlier_than_the_last_one_of_a_rotated_file() {
    let mut log = Log::new();
    log.write(&[(0, 1), (0, 5)]);
    log.rotate();
    log.write(&[(1, -1)]);
    log.ask();
    log.write(&[(0, 3)]);
    log.check();
}

#[test]
fn what_the_engine_told_of_older_files_is_not_read_there_whatever_their_times() {
    for (packed, rotated) in [(false, true), (true, true), (true, false)] {
        let mut log = Log::new();
        log.write(&[(0, 1), (0, 5)]);
        log.rotate();
        log.write(&[(0, i64::from(packed)), (0, i64::from(packed))]);
        if packed {
            log.clock += 1;
            log.pack();
        }
        log.ask();
        if rotated {
            log.rotate();
            log.write(&[(0, 3)]);
        }
        log.check();
    }
}

#[test]
fn what_is_written_after_an_entry_with_a_later_stamp_is_told_by_the_engine() {
    let mut log = Log::new();
    log.write(&[(0, 1), (0, 2), (1, -1)]);
    for lines in [&[(1, -1), (0, 0), (1, 1)][..], &[(0, 0)], &[(1, -2)], &[(0, 3), (0, 0)], &[(1, -1)]] {
        log.ask();
        log.write(lines);
    }
    log.ask();
    log.ask();
    assert_eq!((log.counted, log.gaps), (log.lines, 0));
    log.check();
}

#[test]
fn what_the_engine_dropped_before_it_was_asked_is_a_gap_told_once() {
    for (dropped, written, gaps) in [(1, 2, 0), (3, 2, 1), (5, 0, 1), (3, 0, 1)] {
        let mut log = Log::new();
        log.write(&[(0, 1), (0, 1), (0, 1)]);
        log.ask();
        log.write(&[(0, 1); 2][..written]);
        log.entries.drain(..dropped.min(log.entries.len()));
        log.ask();
        log.ask();
        log.write(&[(0, 1)]);
        log.ask();
        assert_eq!((log.counted, log.gaps), (log.lines, gaps), "{dropped} dropped, {written} written");
    }
}

/// Entries that are written so many milliseconds after a moment, by its clock.
fn write_at(log: &mut Log, stamps: impl Iterator<Item = i64>) {
    for after in stamps {
        log.lines += 1;
        let time = Timestamp::from_millisecond(1_000_000 + after).unwrap();
        log.entries.push((0, time, format!("line {} ERR\n", log.lines)));
    }
}

#[test]
fn entries_that_are_stamped_earlier_than_all_that_are_known_are_counted_once() {
    for late in [200..300, 50..51] {
        let mut log = Log::new();
        write_at(&mut log, -5_000..-4_999);
        log.ask();
        write_at(&mut log, (100..600).chain(late));
        (0..3).for_each(|_| log.ask());
        assert_eq!((log.counted, log.gaps), (log.lines, 0));
    }
}

#[test]
fn a_clock_that_went_back_hides_what_is_written_before_all_that_are_known_and_that_is_told_once() {
    for (entries, behind, gaps) in [(300, 0, 0), (300, -100, 0), (300, -500, 1), (100, -500, 0)] {
        let mut log = Log::new();
        write_at(&mut log, 0..entries);
        log.ask();
        log.clock += behind;
        for _ in 0..2 {
            log.collect(|collector, _| {
                let id = Container::example("web").id;
                let mut cursor = collector.state.containers.remove(&id).unwrap();
                tell_clock(collector, "x", &mut cursor.api);
                collector.state.containers.insert(id, cursor);
            });
        }
        assert_eq!(log.gaps, gaps, "{entries} {behind}");
    }
}

#[test]
fn the_rest_of_a_line_that_a_terminal_told_whole_is_no_line() {
    for tty in [false, true] {
        let mut log = Log::new();
        log.tty = tty;
        write_long(&mut log);
        log.ask();
        log.check();
    }
}

#[test]
fn any_order_of_lines_rotations_and_passes() {
    for seed in 0..100u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut below = |most: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % most
        };
        let mut log = Log::new();
        log.tty = below(4) == 0;
        log.write(&[(0, 1)]);
        log.ask();
        // No entry has the time of one that was packed.
        let (mut floor, mut told) = (log.clock, format!("{seed} tty {}", log.tty));
        for _ in 0..below(30) {
            let step = below(9);
            told += &format!(" {step}");
            match step {
                0..3 => {
                    for _ in 0..=below(3) {
                        let later = [0, 0, 1, 3, -1][below(5) as usize].max(floor - log.clock);
                        let stream = if log.tty { 0 } else { below(2) as usize };
                        log.write(&[(stream, later)]);
                    }
                }
                3 => {
                    log.clock = log.newest.max(log.clock);
                    write_long(&mut log);
                }
                4 | 5 => log.rotate(),
                // The engine packs each log before it rotates the next one.
                6 if log.path("x-json.log.1").exists() && !log.path("x-json.log.2").exists() => {
                    log.clock = log.newest + 1;
                    log.pack();
                    log.clock += 1;
                    floor = log.clock;
                }
                7 if !log.is_read_as_a_file() => log.ask(),
                8 if log.is_read_as_a_file() || below(4) == 0 => log.read(),
                _ => {}
            }
        }
        log.clock = log.newest + 1;
        log.write(&[(0, 1), (0, 1)]);
        if !log.is_read_as_a_file() {
            log.ask();
        }
        log.read();
        log.read();
        assert!(log.is_read_as_a_file(), "{told}");
        assert_eq!((log.counted, log.gaps), (log.lines, 0), "{told}");
        log.check();
    }
}
