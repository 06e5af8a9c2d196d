//! A log that is written, rotated and read in passes, and the law that each of its lines is counted once or lies inside
//! of a reported gap. Shared by the property test `tests/rotation_laws.rs` and the fuzz target `tests/fuzz/targets/cursor.rs`;
//! may not name either's crates.
//!
//! A line carries a time of its own: its second tells, in the counts by second, which lines were counted how often.

use healer::config::{Engine, SystemSecrets, compile};
use healer::logs::{LogState, read_new};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// What can happen to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// So many lines.
    Append(u8),
    /// A line without its end, which comes with the next writing.
    Half,
    /// Rename and create; the writer notices after so many lines.
    Rename(u8),
    /// The same under a name that is never shifted.
    Dated,
    /// The same, with the date before the extension.
    DatedBefore,
    /// Rename, a pass, then create; the writer notices after so many lines.
    RenameAround(u8),
    /// The same under a name with the date before the extension.
    DatedAround,
    CopyTruncate,
    Unlink,
    Truncate,
    /// Of a writer that still has a rotated file open, the newest one or one so many before it: so many lines.
    LateAppend(u8, u8),
    /// A rotated file is packed.
    Pack(u8),
    /// A rotated file is removed.
    Remove(u8),
    RemoveOldest,
    /// Rename, and three passes while its writer goes on there with so many lines each and there is no log.
    Away(u8),
    Pass,
    /// A pass that is killed before its state is saved.
    LostPass,
}

/// Passes see the world at this time, plus a tick for everything that happened.
const BEGIN: i64 = 1_750_000_000;
const LINES: usize = 2_000;

#[derive(Default)]
struct Line {
    written: usize,
    destroyed: Option<usize>,
    /// Nothing can tell of its loss: a pass saw its file empty before, or none saw it at all.
    unseen: bool,
    /// Rotated before its log was first seen.
    is_older: bool,
}

struct File {
    path: PathBuf,
    lines: Vec<usize>,
    /// A saved pass saw it.
    seen: bool,
    /// A saved pass saw it rotated and whole.
    seen_rotated: bool,
    /// Nobody writes to it.
    is_copy: bool,
    /// It was written to after it was rotated, and no saved pass saw it beside its log since.
    is_late: bool,
}

impl File {
    fn new(path: PathBuf, lines: Vec<usize>) -> File {
        File { path, lines, seen: false, seen_rotated: false, is_copy: false, is_late: false }
    }
}

/// What a rotated file is called.
enum Name {
    /// `app.log.1`, which every later rotation shifts.
    Shifted,
    Dated,
    DatedBefore,
}

pub struct Model {
    dir: tempfile::TempDir,
    engine: Engine,
    state: LogState,
    lines: Vec<Line>,
    /// The log first, then rotated files, the newest first.
    files: Vec<File>,
    /// What a half-written line still lacks.
    rest: String,
    /// The line that it is of, when its beginning is in the same file.
    half: Option<usize>,
    clock: i64,
    /// Saved passes: when, and whether a gap was reported.
    passes: Vec<(usize, bool)>,
    counts: BTreeMap<usize, u64>,
    step: usize,
    named: u32,
    may_have_gap: bool,
    log_is_empty: bool,
}

impl Model {
    /// A log that one pass has seen; `pattern` is what the source reads, `app.log` or `app*`.
    pub fn new(pattern: &str) -> Model {
        Model::beside(pattern, &[])
    }

    /// The same beside older rotated files, the newest first: how many lines each has, and whether it is packed.
    pub fn beside(pattern: &str, older: &[(u8, bool)]) -> Model {
        let mut model = Model::without_log(pattern);
        for (at, (lines, is_packed)) in older.iter().enumerate().rev() {
            let path = model.path(&format!("app.log.{}", at + 1));
            model.files.insert(1, File::new(path, Vec::new()));
            let text = model.whole_lines(1, *lines);
            model.lines.iter_mut().for_each(|line| line.is_older = pattern == "app.log");
            model.write(1, &text);
            if *is_packed {
                model.pack(1);
            }
        }
        model.append(2);
        model.pass(true);
        model
    }

    fn without_log(pattern: &str) -> Model {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "[checks.host]\nenabled = false\n[checks.docker]\nenabled = false\n[signatures]\nbuiltin = false\n\
             [[signature]]\nname = \"numbered\"\ncategory = \"x\"\nseverity = \"error\"\npattern = 'numbered \\d+ of'\n\
             [logs.files.app]\npath = \"{}/{pattern}\"\n",
            dir.path().display()
        );
        let engine = compile(vec![(dir.path().join("healer.toml"), text)], &SystemSecrets);
        let engine = engine.unwrap_or_else(|errors| panic!("{}", errors[0]));
        let path = dir.path().join("app.log");
        Model {
            dir,
            engine,
            state: LogState::default(),
            lines: Vec::new(),
            files: vec![File::new(path, Vec::new())],
            rest: String::new(),
            half: None,
            clock: BEGIN,
            passes: Vec::new(),
            counts: BTreeMap::new(),
            step: 0,
            named: 0,
            may_have_gap: false,
            log_is_empty: false,
        }
    }

    pub fn apply(&mut self, op: Op) {
        self.step += 1;
        match op {
            Op::Append(lines) => self.append(lines),
            Op::Half => self.half(),
            Op::Rename(late) => self.rename(Name::Shifted, late, false),
            Op::Dated => self.rename(Name::Dated, 0, false),
            Op::DatedBefore => self.rename(Name::DatedBefore, 0, false),
            Op::RenameAround(late) => self.rename(Name::Shifted, late, true),
            Op::DatedAround => self.rename(Name::DatedBefore, 0, true),
            Op::CopyTruncate => self.copy_truncate(),
            Op::Unlink => self.unlink(),
            Op::Truncate => self.truncate(),
            Op::LateAppend(before, lines) => self.append_late(1 + usize::from(before), lines),
            Op::Pack(before) => self.pack(1 + usize::from(before)),
            Op::Remove(before) => self.remove(1 + usize::from(before)),
            Op::RemoveOldest => self.remove(self.files.len() - 1),
            Op::Away(lines) => self.away(lines),
            Op::Pass => self.pass(true),
            Op::LostPass => self.pass(false),
        }
    }

    /// Ends the story: the half line gets its end, and passes run until nothing can be open.
    pub fn check(mut self) {
        self.append(0);
        for _ in 0..3 {
            self.step += 1;
            self.clock += 100;
            self.pass(true);
        }
        for (n, line) in self.lines.iter().enumerate() {
            let times = self.counts.get(&n).copied().unwrap_or(0);
            assert!(times <= 1, "line {n} was counted {times} times");
            assert!(times == 0 || !line.is_older, "line {n} was rotated before its log was first seen");
            if times == 0 && !line.is_older {
                self.check_lost(n, line);
            }
        }
    }

    fn check_lost(&self, n: usize, line: &Line) {
        let destroyed = line.destroyed.unwrap_or_else(|| panic!("line {n} is there and was never counted"));
        let could_read = self.passes.iter().any(|(step, _)| (line.written..destroyed).contains(step));
        assert!(!could_read, "line {n} is lost, though a pass could have read it");
        let next = self.passes.iter().find(|(step, _)| *step >= destroyed);
        assert!(line.unseen || next.is_some_and(|(_, gap)| *gap), "line {n} is lost, and no gap was reported");
    }

    fn append(&mut self, lines: u8) {
        let text = self.end_of_half() + &self.whole_lines(0, lines);
        self.write(0, &text);
    }

    /// Of what is written after the file was seen rotated nothing tells once that is gone.
    fn append_late(&mut self, file: usize, lines: u8) {
        if self.files.get(file).is_none_or(|file| file.is_copy) {
            return;
        }
        let first = self.lines.len();
        let text = self.whole_lines(file, lines);
        self.lines.iter_mut().skip(first).for_each(|line| line.unseen = true);
        self.files[file].is_late = true;
        self.write(file, &text);
    }

    fn whole_lines(&mut self, file: usize, lines: u8) -> String {
        (0..lines).map(|_| self.line(file) + " many failed for good\n").collect()
    }

    fn half(&mut self) {
        let text = self.end_of_half() + &self.line(0);
        self.write(0, &text);
        // As long as more may come, no pass need take it.
        let n = self.lines.len() - 1;
        // A log that was truncated may begin with it: were it always the same, so would be what two logs hold.
        self.rest = format!(" many failed for good, after {n}\n");
        self.lines[n].written = usize::MAX;
        self.half = Some(n);
    }

    fn end_of_half(&mut self) -> String {
        if let Some(n) = self.half.take() {
            self.lines[n].written = self.step;
        }
        std::mem::take(&mut self.rest)
    }

    /// A new line of a file, up to where it matches.
    fn line(&mut self, file: usize) -> String {
        let n = self.lines.len();
        self.lines.push(Line { written: self.step, destroyed: None, unseen: self.log_is_empty, is_older: false });
        self.files[file].lines.push(n);
        let time = Timestamp::from_second(BEGIN - LINES as i64 + (n % LINES) as i64).unwrap();
        format!("{time} ERROR worker job numbered {n} of")
    }

    fn write(&mut self, file: usize, text: &str) {
        let path = self.files[file].path.clone();
        let mut file = fs::File::options().create(true).append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.stamp(&path);
    }

    /// Later things have later times, whatever the machine's clock does.
    fn stamp(&mut self, path: &Path) {
        self.clock += 1;
        let time = UNIX_EPOCH + Duration::from_secs(self.clock as u64);
        fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `.1` becomes `.2`, and so on.
    fn shift(&mut self) {
        let shifted = |path: &Path| {
            let name = path.file_name()?.to_str()?.strip_prefix("app.log.")?;
            let (number, packed) = name.split_once('.').map_or((name, ""), |(number, _)| (number, ".gz"));
            Some(format!("app.log.{}{packed}", number.parse::<u32>().ok()? + 1))
        };
        for file in self.files.iter_mut().skip(1).rev() {
            if let Some(name) = shifted(&file.path) {
                let to = self.dir.path().join(name);
                fs::rename(&file.path, &to).unwrap();
                file.path = to;
            }
        }
    }

    fn rename(&mut self, to: Name, late: u8, pass_before_create: bool) {
        let name = match to {
            Name::Shifted => {
                self.shift();
                "app.log.1".to_owned()
            }
            Name::Dated => format!("app.log-20250615-{}", self.named),
            Name::DatedBefore => format!("app-20250615-{}.log", self.named),
        };
        let to = self.path(&name);
        self.named += 1;
        let live = self.files[0].path.clone();
        fs::rename(&live, &to).unwrap();
        self.files[0].path = to;
        if pass_before_create {
            self.pass(true);
            self.step += 1;
        }
        self.append(late);
        self.files.insert(0, File::new(live, Vec::new()));
        self.log_is_empty = false;
        self.write(0, "");
    }

    fn away(&mut self, lines: u8) {
        self.shift();
        let (live, to) = (self.files[0].path.clone(), self.path("app.log.1"));
        fs::rename(&live, &to).unwrap();
        self.files[0].path = to;
        for _ in 0..3 {
            self.pass(true);
            self.step += 1;
            self.append(lines);
            self.step += 1;
        }
        self.files.insert(0, File::new(live, Vec::new()));
        self.log_is_empty = false;
        self.write(0, "");
    }

    fn copy_truncate(&mut self) {
        self.shift();
        let (live, copy) = (self.files[0].path.clone(), self.path("app.log.1"));
        fs::copy(&live, &copy).unwrap();
        self.stamp(&copy);
        let lines = std::mem::take(&mut self.files[0].lines);
        self.files.insert(1, File { is_copy: true, ..File::new(copy, lines) });
        self.empty();
    }

    fn truncate(&mut self) {
        let lines = std::mem::take(&mut self.files[0].lines);
        self.destroy(&lines, self.files[0].seen);
        self.may_have_gap = true;
        self.empty();
    }

    fn empty(&mut self) {
        self.half = None;
        let live = self.files[0].path.clone();
        fs::File::options().write(true).open(&live).unwrap().set_len(0).unwrap();
        self.files[0].seen = false;
        self.log_is_empty = false;
        self.stamp(&live);
    }

    fn unlink(&mut self) {
        let lines = std::mem::take(&mut self.files[0].lines);
        let seen = std::mem::take(&mut self.files[0].seen);
        self.destroy(&lines, seen);
        fs::remove_file(&self.files[0].path).unwrap();
        self.may_have_gap = true;
        (self.rest, self.half) = (String::new(), None);
        self.log_is_empty = false;
        self.write(0, "");
    }

    /// As gzip does: the packed file keeps the time of the original.
    fn pack(&mut self, file: usize) {
        let Some(file) = self.files.get_mut(file).filter(|f| f.path.extension().is_none_or(|e| e != "gz")) else {
            return;
        };
        let time = fs::metadata(&file.path).unwrap().modified().unwrap();
        let to = PathBuf::from(format!("{}.gz", file.path.display()));
        let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&to).unwrap(), flate2::Compression::fast());
        encoder.write_all(&fs::read(&file.path).unwrap()).unwrap();
        encoder.finish().unwrap().set_modified(time).unwrap();
        fs::remove_file(&file.path).unwrap();
        file.path = to;
        file.is_copy = true;
    }

    fn remove(&mut self, file: usize) {
        if file == 0 || file >= self.files.len() {
            return;
        }
        let file = self.files.remove(file);
        fs::remove_file(&file.path).unwrap();
        let whole = file.lines.iter().all(|n| self.lines[*n].is_older || self.counts.contains_key(n));
        self.may_have_gap |= !file.seen_rotated || !whole || file.is_late;
        self.destroy(&file.lines, file.seen);
    }

    fn destroy(&mut self, lines: &[usize], seen: bool) {
        for n in lines {
            self.lines[*n].destroyed = Some(self.step);
            self.lines[*n].unseen |= !seen;
        }
    }

    fn pass(&mut self, saved: bool) {
        let mut state = self.state.clone();
        let now = Timestamp::from_second(self.clock + 1).unwrap();
        let report = read_new(&self.engine, &[], None, None, &mut state, now);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        self.clock += 1;
        if !saved {
            return;
        }
        assert!(report.gaps.is_empty() || self.may_have_gap, "nothing was destroyed unread: {:?}", report.gaps);
        self.state = state;
        self.passes.push((self.step, !report.gaps.is_empty()));
        self.may_have_gap = false;
        let second = |second: i64| usize::try_from(second - BEGIN + LINES as i64).unwrap();
        self.counts = report
            .tallies
            .iter()
            .flat_map(|tally| tally.buckets.iter().map(|(time, times)| (second(*time), *times)))
            .collect();
        self.log_is_empty = fs::metadata(&self.files[0].path).unwrap().len() == 0;
        let is_log_there = self.files[0].path == self.path("app.log");
        for (at, file) in self.files.iter_mut().enumerate() {
            file.is_late &= !is_log_there;
            file.seen = true;
            file.seen_rotated = at > 0;
        }
    }
}
