//! A log that is truncated, and written anew, while it is read: what is handed on came from one content, and the rest of
//! that content is found in its copy.

use super::signature;
use crate::logs::collect::{Collector, Counting};
use crate::logs::cursor::{FileCursor, Guarded, HEAD, Identity};
use crate::logs::files::{Content, End, Format, Source, leave, read_on, scan_stream};
use crate::logs::{LogState, signature_set};
use jiff::Timestamp;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const LINES: usize = 400;
const CHUNK: usize = 1000;

/// Lines of one length, in files of one length.
fn content(of: &str) -> String {
    (0..LINES).map(|n| format!("ERR line {n:03} of {of:<16}\n")).collect()
}

/// Reads on in short reads, and does something right before one of them.
struct Meanwhile<'r, 'f> {
    reader: &'r mut Guarded<'f>,
    reads_before: u32,
    act: &'r dyn Fn(),
}

impl Read for Meanwhile<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.reads_before == 0 {
            (self.act)();
        }
        self.reads_before = self.reads_before.wrapping_sub(1);
        let most = buffer.len().min(CHUNK);
        self.reader.read(&mut buffer[..most])
    }
}

struct Log {
    dir: tempfile::TempDir,
    state: LogState,
}

impl Log {
    fn new() -> Log {
        let log = Log { dir: tempfile::tempdir().unwrap(), state: LogState::default() };
        fs::write(log.path("app.log"), content("old")).unwrap();
        log
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a reading with this source counts, and what else it gives.
    fn read<T>(&mut self, reading: impl FnOnce(&mut Collector<'_>, Source<'_>) -> T) -> (u64, T) {
        let set = signature_set(&[signature("err", "ERR")]);
        let mut collector = Collector::new(&set, &mut self.state, Timestamp::UNIX_EPOCH, Counting::Recent(3600));
        let given = reading(&mut collector, Source::new("file:x", Format::Plain));
        let report = collector.finish();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        (report.events, given)
    }

    /// The cursor of the log when so many lines had been written, with what that counted.
    fn cursor(&mut self, lines: usize) -> (u64, FileCursor) {
        let path = self.path("app.log");
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole.split_inclusive('\n').take(lines).collect::<String>()).unwrap();
        let mut cursor = FileCursor::start(path.clone(), Identity::of(&fs::metadata(&path).unwrap()));
        let (counted, _) = self.on(&mut cursor, "app.log");
        fs::write(&path, whole).unwrap();
        (counted, cursor)
    }

    fn on(&mut self, cursor: &mut FileCursor, name: &str) -> (u64, Content) {
        let mut file = File::open(self.path(name)).unwrap();
        self.read(|collector, source| read_on(collector, source, cursor, (&mut file, 0), End::Waits).unwrap())
    }
}

/// Reads the log from so many lines on; before the third read it is copied and then changed.
fn check(case: &str, lines: usize, change: &dyn Fn(&Path), expected: Content) {
    let mut log = Log::new();
    let (before, mut cursor) = log.cursor(lines);
    let (path, copy) = (log.path("app.log"), log.path("app.log.1"));
    let file = File::open(&path).unwrap();
    let id = Identity::of(&file.metadata().unwrap());
    let act = || {
        fs::copy(&path, &copy).unwrap();
        change(&path);
    };
    let (counted, content) = log.read(|collector, source| {
        let mut reader = Guarded::new(&file, cursor.offset, id.size).unwrap();
        let mut meanwhile = Meanwhile { reader: &mut reader, reads_before: 2, act: &act };
        let ended = scan_stream(collector, source, &mut cursor, &mut meanwhile, End::Waits);
        leave(&reader, &mut cursor, &file, id, ended)
    });
    assert_eq!(content, expected, "{case}, from line {lines}");
    let rest = match content {
        Content::Read | Content::CutShort => 0,
        Content::Displaced => {
            assert!(counted > 0 && before + counted < LINES as u64, "{before} and {counted}: nothing was cut off");
            assert!(!cursor.verify(&file), "the changed file is not what was read");
            assert!(cursor.verify(&File::open(&copy).unwrap()), "the copy is what was read");
            log.on(&mut cursor, "app.log.1").0
        }
    };
    assert_eq!(before + counted + rest, LINES as u64, "{case}, from line {lines}");
}

#[test]
fn what_is_read_comes_from_one_content_whatever_happens_to_the_file_meanwhile() {
    let append = |path: &Path| File::options().append(true).open(path).unwrap().write_all(b"ERR for later\n").unwrap();
    let truncate = |path: &Path| drop(File::create(path).unwrap());
    let write_anew = |path: &Path| fs::write(path, content("new").repeat(2)).unwrap();
    let same_beginning = |path: &Path| {
        let (old, new) = (content("old"), content("new"));
        fs::write(path, old[..HEAD].to_owned() + &new[HEAD..]).unwrap();
    };
    let other_beginning = |path: &Path| {
        let (old, new) = (content("old"), content("new"));
        fs::write(path, new[..HEAD].to_owned() + &old[HEAD..]).unwrap();
    };
    for lines in [0, 100] {
        check("unchanged", lines, &|_| {}, Content::Read);
        check("grown", lines, &append, Content::Read);
        check("truncated", lines, &truncate, Content::Displaced);
        check("written anew", lines, &write_anew, Content::Displaced);
        check("the same beginning", lines, &same_beginning, Content::Displaced);
        check("another beginning", lines, &other_beginning, Content::Displaced);
    }
}

#[test]
fn nothing_is_read_of_a_file_that_changed_after_its_cursor_was_found_to_fit() {
    for anew in [String::new(), content("new"), content("new").repeat(2)] {
        let mut log = Log::new();
        let (_, mut cursor) = log.cursor(100);
        fs::write(log.path("app.log"), anew).unwrap();
        assert_eq!(log.on(&mut cursor, "app.log"), (0, Content::Displaced));
    }
}

#[test]
fn what_was_truncated_before_its_first_byte_was_read_is_known_to_be_as_short_as_it_is_now() {
    for anew in [String::new(), content("new")[..500].to_owned()] {
        let mut log = Log::new();
        let path = log.path("app.log");
        let file = File::open(&path).unwrap();
        let id = Identity::of(&file.metadata().unwrap());
        let mut cursor = FileCursor::start(path.clone(), id);
        let (first, read) = log.read(|collector, source| {
            let mut reader = Guarded::new(&file, 0, id.size).unwrap();
            fs::write(&path, &anew).unwrap();
            let ended = scan_stream(collector, source, &mut cursor, &mut reader, End::Waits);
            leave(&reader, &mut cursor, &file, id, ended)
        });
        assert_eq!((read, cursor.size), (Content::CutShort, anew.len() as u64));
        fs::write(&path, content("new")).unwrap();
        let (rest, read) = log.on(&mut cursor, "app.log");
        assert_eq!((first + rest, read), (LINES as u64, Content::Read));
    }
}
