//! Trying one signature on one log: what it matches line by line and why not, and how many events that comes to.
//!
//! The bytes are read once and go two ways: cut into lines as the scanner cuts them, each judged here; and through the
//! scanner itself, which knows what is one event. Memory does not grow with the log. Not here: which signature is
//! tried, how it is shown.

use super::busiest::Busiest;
use super::collect::{Collector, Counting};
use super::cursor::FileCursor;
use super::envelope::{MAX_RAW, Unpacked};
use super::files::{End, Format, Source, is_docker_json, scan_stream};
use super::scan::MAX_LINE;
use super::signature::{self, SignatureSet};
use super::state::LogState;
use super::{access, escapes, signature_set, suspect};
use crate::config::{Signature, SignatureOrigin};
use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use memchr::{memchr, memrchr};
use regex::bytes::Regex;
use std::io::{BufReader, ErrorKind, Read};
use std::ops::Range;
use std::time::Duration;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// Bytes whose counts are kept second by second before they are summed up.
const PART: usize = 8 << 20;
/// Counts are kept by the second, however old.
const EVERY_SECOND: Counting = Counting::Whole(i64::MAX / 4);
/// What compressed files begin with.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// What is tried.
pub struct Trial<'a> {
    pub signature: &'a Signature,
    /// All signatures in force; the tried one may be among them.
    pub in_force: &'a [Signature],
    /// Tell of the lines that look like errors and match nothing, instead of those that match.
    pub missed: bool,
    /// Events that a rule asks for within a time.
    pub count: u64,
    pub within: Duration,
}

/// A line worth telling of.
pub struct TriedLine<'a> {
    /// From 1.
    pub number: u64,
    /// Without escape sequences, at most as long as the scanner looks.
    pub text: &'a [u8],
    /// The line is longer.
    pub cut: bool,
    /// What was judged instead of the text: an access log line's status and unquoted fields.
    pub judged: Option<&'a [u8]>,
    pub verdict: Verdict,
    /// Other signatures that it matches.
    pub also: Vec<String>,
}

/// What the signature says of a line. Spans are of the judged text, where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Matched(Range<usize>),
    /// The pattern matches, and so does `ignore`.
    Ignored {
        matched: Range<usize>,
        by: Range<usize>,
    },
    /// The pattern matches what a client wrote into an access log line; the span is of the text.
    NotJudged(Range<usize>),
    /// Looks like an error and matches no signature at all.
    Missed(Range<usize>),
}

/// All that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tried {
    pub lines: u64,
    pub bytes: u64,
    pub matched: u64,
    pub ignored: u64,
    pub not_judged: u64,
    /// Counted when they were asked for.
    pub missed: u64,
    /// Events of the signature: a whole stack trace is one.
    pub events: u64,
    /// Events whose lines bear no time: they count as read now.
    pub undated: u64,
    /// The most events within the time of the trial, and when that ended.
    pub most: u64,
    pub most_until: Option<Timestamp>,
    /// When there were first so many as asked for.
    pub reached: Option<Timestamp>,
    /// Why it was not read to its end.
    pub problem: Option<String>,
}

/// Reads a log to its end, plain, packed or of Docker's `json-file` driver, and hands over each line worth telling of,
/// until `each` says that nobody listens any more.
///
/// # Errors
/// When it cannot be read at all, or is no text.
pub fn try_log(
    trial: &Trial<'_>,
    reader: &mut dyn Read,
    now: Timestamp,
    each: &mut dyn FnMut(&TriedLine<'_>) -> bool,
) -> Result<Tried> {
    let start = first_bytes(reader).context("cannot read it")?;
    let mut reader = start.as_slice().chain(reader);
    if start.starts_with(GZIP) {
        let mut unpacked = MultiGzDecoder::new(BufReader::new(reader));
        let start = first_bytes(&mut unpacked).context("cannot unpack it")?;
        return try_text(trial, &start, &mut start.as_slice().chain(unpacked), now, each);
    }
    try_text(trial, &start, &mut reader, now, each)
}

/// Enough to know what it is, and no more: a live stream is not waited for.
fn first_bytes(reader: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let (mut start, mut room) = (Vec::new(), [0; 4096]);
    while start.len() < 16 {
        match reader.read(&mut room) {
            Ok(0) => break,
            Ok(n) => start.extend_from_slice(room.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(start)
}

fn try_text(
    trial: &Trial<'_>,
    start: &[u8],
    reader: &mut dyn Read,
    now: Timestamp,
    each: &mut dyn FnMut(&TriedLine<'_>) -> bool,
) -> Result<Tried> {
    // A truncated file whose writer went on at its old place begins with NULs.
    if start.iter().skip_while(|b| **b == 0).any(|b| *b == 0) {
        bail!("it is binary, not text");
    }
    let format = if is_docker_json(start) { Format::DockerJson } else { Format::Plain };
    let mut signatures = trial.in_force.to_vec();
    if !signatures.iter().any(|s| s.name == trial.signature.name) {
        signatures.push(trial.signature.clone());
    }
    let set = signature_set(&signatures);
    let mut judge = Judge::new(trial, &set, each)?;
    let mut feed = Feed::new(reader, Lines::new(format), &mut judge);
    let mut busiest = Busiest::new(trial.within, trial.count, now);
    let mut cursor = FileCursor::default();
    let mut events = 0;
    while !feed.ended {
        let mut state = LogState::default();
        let mut collector = Collector::new(&set, &mut state, now, EVERY_SECOND);
        let ended = scan_stream(&mut collector, Source::new("tried", format), &mut cursor, &mut feed, End::Taken);
        (cursor.offset, cursor.mid_line) = (ended.offset, ended.mid_line);
        let report = collector.finish();
        events += report.by_signature.get(&trial.signature.name).copied().unwrap_or(0);
        let own = report.tallies.iter().filter(|t| t.signature == trial.signature.name);
        own.for_each(|tally| busiest.add(&tally.buckets));
    }
    feed.finish();
    let (lines, bytes, problem) = (feed.lines.number, cursor.offset, feed.problem.take());
    Ok(Tried {
        lines,
        bytes,
        events,
        undated: busiest.now_or_later,
        most: busiest.most,
        most_until: busiest.until.and_then(|s| Timestamp::from_second(s).ok()),
        reached: busiest.reached.and_then(|s| Timestamp::from_second(s).ok()),
        problem,
        ..judge.tried
    })
}

/// Judges line by line.
struct Judge<'a> {
    trial: &'a Trial<'a>,
    set: &'a SignatureSet,
    pattern: Regex,
    ignore: Option<Regex>,
    each: &'a mut dyn FnMut(&TriedLine<'_>) -> bool,
    tried: Tried,
    /// Nobody listens any more.
    stopped: bool,
}

impl<'a> Judge<'a> {
    fn new(
        trial: &'a Trial<'a>,
        set: &'a SignatureSet,
        each: &'a mut dyn FnMut(&TriedLine<'_>) -> bool,
    ) -> Result<Judge<'a>> {
        let unicode = trial.signature.origin != SignatureOrigin::BuiltIn;
        let compile = |pattern: &str| signature::compile(pattern, unicode).context("cannot compile the pattern");
        let pattern = compile(&trial.signature.pattern)?;
        let ignore = trial.signature.ignore.as_deref().map(compile).transpose()?;
        Ok(Judge { trial, set, pattern, ignore, each, tried: Tried::default(), stopped: false })
    }

    fn line(&mut self, number: u64, line: &[u8], cut: bool) {
        let text = escapes::without(line);
        let access = access::judged(&text);
        let judged = access.as_ref().map(|access| match self.trial.signature.origin {
            SignatureOrigin::BuiltIn => access.with_status(),
            SignatureOrigin::Operator | SignatureOrigin::Rule => access.fields(),
        });
        let verdict = self.verdict(&text, judged);
        let Some(verdict) = verdict.or_else(|| self.missed(&text, judged)) else { return };
        let told = matches!(verdict, Verdict::Missed(_)) == self.trial.missed;
        if self.stopped || !told {
            return;
        }
        let others = self.set.matches(&text).into_iter().map(|id| self.set.name(id));
        let also = others.filter(|name| *name != self.trial.signature.name).map(str::to_owned).collect();
        let line = TriedLine { number, text: &text, cut, judged, verdict, also };
        self.stopped = !(self.each)(&line);
    }

    fn verdict(&mut self, text: &[u8], judged: Option<&[u8]>) -> Option<Verdict> {
        let target = judged.unwrap_or(text);
        let Some(matched) = self.pattern.find(target).map(|m| m.range()) else {
            let unheard = judged.and_then(|_| self.pattern.find(text))?;
            self.tried.not_judged += 1;
            return Some(Verdict::NotJudged(unheard.range()));
        };
        if let Some(by) = self.ignore.as_ref().and_then(|ignore| ignore.find(target)) {
            self.tried.ignored += 1;
            return Some(Verdict::Ignored { matched, by: by.range() });
        }
        self.tried.matched += 1;
        Some(Verdict::Matched(matched))
    }

    /// An indented line goes on with the one before it.
    fn missed(&mut self, text: &[u8], judged: Option<&[u8]>) -> Option<Verdict> {
        if !self.trial.missed || matches!(text, [b' ' | b'\t', ..]) {
            return None;
        }
        let span = suspect::suspicious(judged.unwrap_or(text))?;
        if !self.set.matches(text).is_empty() {
            return None;
        }
        self.tried.missed += 1;
        Some(Verdict::Missed(span))
    }
}

/// Cuts lines out of a stream as the scanner does.
struct Lines {
    format: Format,
    /// The beginning of the line that goes on with the next bytes.
    begun: Vec<u8>,
    cut: bool,
    number: u64,
    unpacked: Unpacked,
    continued: [bool; 2],
}

impl Lines {
    fn new(format: Format) -> Lines {
        Lines { format, begun: Vec::new(), cut: false, number: 0, unpacked: Unpacked::default(), continued: [false; 2] }
    }

    fn push(&mut self, mut bytes: &[u8], judge: &mut Judge<'_>) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            if self.begun.is_empty() && line.len() <= MAX_LINE {
                self.whole(line, judge);
            } else {
                self.keep(line);
                self.take_begun(judge);
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
    }

    fn keep(&mut self, part: &[u8]) {
        let most = if self.format == Format::Plain { MAX_LINE } else { MAX_RAW };
        let room = most.saturating_sub(self.begun.len());
        self.cut |= part.len() > room;
        self.begun.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    fn take_begun(&mut self, judge: &mut Judge<'_>) {
        let line = std::mem::take(&mut self.begun);
        self.whole(&line, judge);
        self.begun = line;
        self.begun.clear();
        self.cut = false;
    }

    fn whole(&mut self, line: &[u8], judge: &mut Judge<'_>) {
        self.number += 1;
        if self.format == Format::Plain {
            return judge.line(self.number, line, self.cut);
        }
        let before = self.continued;
        self.unpacked.fill(line, 0, &mut self.continued);
        let goes_on = before.iter().zip(&self.continued).any(|(before, after)| !before && *after);
        let text = std::mem::take(&mut self.unpacked.text);
        // An entry that goes on with a line whose beginning was judged has no text.
        if let Some(line) = text.strip_suffix(b"\n") {
            let cut = self.cut || goes_on || line.len() > MAX_LINE;
            judge.line(self.number, line.get(..MAX_LINE).unwrap_or(line), cut);
        }
        self.unpacked.text = text;
    }
}

/// The stream on its way to the scanner; every byte is judged in passing.
struct Feed<'a, 'j> {
    reader: &'a mut dyn Read,
    lines: Lines,
    judge: &'a mut Judge<'j>,
    chunk: Vec<u8>,
    filled: usize,
    given: usize,
    /// Bytes left of this part.
    left: usize,
    /// The part ends here in the chunk: behind a line.
    pause: Option<usize>,
    ended: bool,
    problem: Option<String>,
}

impl<'a, 'j> Feed<'a, 'j> {
    fn new(reader: &'a mut dyn Read, lines: Lines, judge: &'a mut Judge<'j>) -> Feed<'a, 'j> {
        Feed {
            reader,
            lines,
            judge,
            chunk: vec![0; CHUNK],
            filled: 0,
            given: 0,
            left: PART,
            pause: None,
            ended: false,
            problem: None,
        }
    }

    /// The last line, when it lacks its newline.
    fn finish(&mut self) {
        if !self.lines.begun.is_empty() {
            self.lines.take_begun(self.judge);
        }
    }

    /// Reads the next bytes; `false` at the end, or where reading fails.
    fn refill(&mut self) -> bool {
        let read = loop {
            match self.reader.read(&mut self.chunk) {
                _ if self.judge.stopped => break 0,
                Ok(n) => break n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    self.problem = Some(e.to_string());
                    break 0;
                }
            }
        };
        self.ended = read == 0;
        (self.given, self.filled) = (0, read);
        let bytes = self.chunk.get(..read).unwrap_or_default();
        self.lines.push(bytes, self.judge);
        self.left = self.left.saturating_sub(read);
        self.pause = memrchr(b'\n', bytes).map(|at| at + 1).filter(|_| self.left == 0);
        read > 0
    }
}

impl Read for Feed<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if self.pause == Some(self.given) {
                (self.pause, self.left) = (None, PART);
                return Ok(0);
            }
            let ready = self.chunk.get(self.given..self.pause.unwrap_or(self.filled)).unwrap_or_default();
            if !ready.is_empty() {
                let count = ready.len().min(into.len());
                into.iter_mut().zip(ready).for_each(|(to, from)| *to = *from);
                self.given += count;
                return Ok(count);
            }
            if !self.refill() {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::builtin_signatures;
    use crate::logs::tests::signature;

    /// Reads a few bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let most = self.1.min(into.len());
            self.0.read(&mut into[..most])
        }
    }

    /// What is told, and the sum, reading so many bytes at a time.
    fn run(log: &[u8], at_once: usize) -> (Vec<(u64, String, Verdict)>, Tried) {
        let (own, in_force) = (signature("own", "boom"), builtin_signatures());
        let trial =
            Trial { signature: &own, in_force: &in_force, missed: false, count: 2, within: Duration::from_secs(60) };
        let mut told = Vec::new();
        let tried = try_log(&trial, &mut Trickle(log, at_once), Timestamp::UNIX_EPOCH, &mut |line| {
            told.push((line.number, String::from_utf8_lossy(line.text).into_owned(), line.verdict.clone()));
            true
        });
        (told, tried.unwrap())
    }

    #[test]
    fn how_the_bytes_arrive_changes_nothing() {
        let plain = "boom\n\nTraceback (most recent call last):\n  File \"x\"\napp.Error: boom\nno\nlast boom";
        let entry =
            |text: &str| format!("{{\"log\":\"{text}\",\"stream\":\"stderr\",\"time\":\"2025-01-02T03:04:05Z\"}}\n");
        let docker = entry("boom\\n") + &entry("split boom") + &entry("its boom\\n") + &entry("last boom\\n");
        for (log, numbers, events) in [(plain, vec![1, 5, 7], 3), (docker.as_str(), vec![1, 2, 4], 3)] {
            let (told, tried) = run(log.as_bytes(), 1 << 20);
            assert_eq!(told.iter().map(|line| line.0).collect::<Vec<_>>(), numbers, "{log}");
            assert_eq!((tried.events, tried.bytes), (events, log.len() as u64), "{log}");
            for at_once in [1, 2, 7, 16, 33] {
                assert_eq!(run(log.as_bytes(), at_once), (told.clone(), tried.clone()), "{at_once} bytes at a time");
            }
        }
    }
}
