//! An event of which more lines may come.
//!
//! Pure. Not here: which events are open (`events`), how a stack trace goes on (`stack`).

use super::escapes::ESC;
use super::event::{Begin, Frames, Kept, Known, RawEvent, Region};
use super::events::Line;
use super::lines::Lines;
use super::prefix::Prefix;
use super::signature::{SigId, SignatureSet};
use super::stack::{self, Part, Stack};
use super::wide::{any_block, wide};
use memchr::memmem::Finder;
use memchr::{memchr_iter, memchr2, memrchr};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// A stack trace of more lines than this is cut in two.
const MAX_LINES: u32 = 5000;
/// So many lines of others may stand between two lines of one event.
const MAX_FOREIGN: u16 = 24;
/// Bytes in which the frames of a traceback are looked for at once, so that a look without success costs little.
const SKIMMED: usize = 2 << 10;
/// Bytes of frames that are looked at at once, and the one behind them.
const BLOCK: usize = 129;
/// The level of a record stands within so many first bytes of its line.
const LEVEL_WITHIN: usize = 120;

/// An event of which more lines may come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Block {
    stack: Stack,
    /// Prefixes its lines may have; one when it has been seen.
    prefixes: Vec<Prefix>,
    process: Prefix,
    title: Kept,
    /// The title says already what went wrong.
    titled: bool,
    #[serde(flatten)]
    lines: Lines,
    begin: Begin,
    foreign: u16,
    /// Ids while it is in memory; names while it is stored.
    #[serde(skip)]
    signatures: Vec<SigId>,
    #[serde(skip)]
    counted: Vec<SigId>,
    signature_names: Vec<String>,
    counted_names: Vec<String>,
}

impl Default for Block {
    fn default() -> Block {
        Block {
            stack: Stack::Line,
            prefixes: Vec::new(),
            process: Prefix::default(),
            title: Kept::default(),
            titled: true,
            lines: Lines::default(),
            begin: Begin::Here(0),
            foreign: 0,
            signatures: Vec::new(),
            counted: Vec::new(),
            signature_names: Vec::new(),
            counted_names: Vec::new(),
        }
    }
}

impl Block {
    /// Begins anew, with one line.
    pub fn begin(&mut self, line: &Line<'_>, region: &Region<'_>) {
        self.stack = Stack::Line;
        self.prefixes.clear();
        self.process = Prefix::of_process(line.text);
        self.title = line.keep(line.text.len());
        self.titled = true;
        self.lines.clear();
        self.begin = Begin::Here(line.at);
        self.foreign = 0;
        self.signatures.clear();
        self.signatures.extend_from_slice(line.matched);
        self.counted.clear();
        self.lines.push(line, region);
    }

    /// Becomes a stack trace, which opens on this line: its own first one, or the one after its record.
    pub fn open(&mut self, line: &Line<'_>, opening: &stack::Opening, region: &Region<'_>) {
        if !matches!(self.begin, Begin::Here(at) if at == line.at) {
            self.lines.push(line, region);
            self.add(line.matched);
            self.process = Prefix::of_process(line.text);
        }
        self.prefixes.clear();
        self.prefixes.push(Prefix::of(line.text.get(..opening.prefix).unwrap_or_default()));
        if !self.prefixes.contains(&self.process) {
            self.prefixes.push(self.process.clone());
        }
        self.title = line.keep(line.text.len() - opening.prefix.min(line.text.len()));
        self.titled = matches!(opening.stack, Stack::RustTail | Stack::Go);
        self.stack = opening.stack;
    }

    /// Takes ids for the names that were stored.
    pub fn resume(&mut self, set: &SignatureSet) {
        self.signatures = self.signature_names.iter().filter_map(|n| set.id(n)).collect();
        self.counted = self.counted_names.iter().filter_map(|n| set.id(n)).collect();
    }

    /// Takes names for its ids, to be stored.
    pub fn suspend(&mut self, set: &SignatureSet) {
        let names = |ids: &[SigId]| ids.iter().map(|id| set.name(*id).to_owned()).collect();
        self.signature_names = names(&self.signatures);
        self.counted_names = names(&self.counted);
    }

    /// Whether it holds, as it was stored, what has not been told of.
    pub fn has_untold(&self) -> bool {
        !self.signature_names.is_empty()
    }

    /// Whether its title says already what went wrong.
    pub fn is_titled(&self) -> bool {
        self.titled
    }

    /// It has been told: what it matched so far is counted.
    pub fn count(&mut self) {
        self.counted.extend_from_slice(&self.signatures);
        self.signatures.clear();
    }

    /// Copies what the region is about to take with it.
    pub fn settle(&mut self, region: &Region<'_>) {
        self.begin.settle(region);
        self.title.settle(region);
        self.lines.settle(region);
    }

    /// Takes the lines from `at` up to `until` that are plainly frames of a Python traceback. Returns where the next line
    /// begins.
    pub fn skim(&mut self, at: usize, until: usize, region: &Region<'_>) -> usize {
        let bare = matches!(self.prefixes.as_slice(), [prefix] if prefix.is_empty());
        let text = region.text.get(at..until.min(at + SKIMMED)).unwrap_or_default();
        let room = MAX_LINES.saturating_sub(self.lines.total());
        if self.stack != Stack::PythonFrames || !bare || room == 0 || text.first() != Some(&b' ') {
            return at;
        }
        let mut frames = plain_frames(text);
        let mut lines = memchr_iter(b'\n', frames).count() as u32;
        if lines > room {
            let end = memchr_iter(b'\n', frames).nth(room as usize - 1).map_or(0, |end| end + 1);
            (frames, lines) = (frames.get(..end).unwrap_or_default(), room);
        }
        let (Ok(from), Ok(next)) = (u32::try_from(at), u32::try_from(at + frames.len())) else { return at };
        if lines > 0 {
            self.foreign = 0;
            self.lines.push_run(from, next - 1, lines, region);
        }
        next as usize
    }

    /// Takes the line when it goes on with this event.
    pub fn offer(&mut self, line: &Line<'_>, region: &Region<'_>) -> bool {
        if self.lines.total() >= MAX_LINES {
            return false;
        }
        if self.stack == Stack::Line {
            return self.offer_frame(line, region);
        }
        for at in 0..self.prefixes.len() {
            let Some(body) = self.prefixes.get(at).and_then(|p| p.strip(line.text)) else { continue };
            let (next, significant, title) = match self.stack.offer(body) {
                Part::Foreign => continue,
                Part::Detail(next) => (next, false, false),
                Part::Cause(next) => (next, true, false),
                Part::Title(next) => (next, true, !(self.titled && next == Stack::PythonGroup)),
            };
            if title {
                self.retitle(line, body, region);
            }
            if next == Stack::PythonChained {
                self.titled = false;
            }
            if significant {
                self.add(line.matched);
            }
            // A blank line fits every prefix that ends in spaces; it does not say which one it is.
            if !body.trim_ascii().is_empty() && self.prefixes.len() > 1 {
                self.prefixes.swap(0, at);
                self.prefixes.truncate(1);
            }
            self.stack = next;
            self.foreign = 0;
            self.lines.push(line, region);
            return true;
        }
        false
    }

    /// A matching line followed by a frame of Java or Node is the head of a stack trace.
    fn offer_frame(&mut self, line: &Line<'_>, region: &Region<'_>) -> bool {
        let may_be = !self.process.is_empty() || may_follow(self.lines.first_byte(region), line.text);
        let Some(length) = Some(()).filter(|()| may_be).and_then(|()| stack::frame_prefix(line.text)) else {
            return false;
        };
        let head = self.lines.head(region);
        let prefix = Prefix::of(line.text.get(..length).unwrap_or_default());
        if !(prefix == self.process || prefix.strip(head).is_some() && self.is_own(line.text)) {
            return false;
        }
        self.prefixes.clear();
        self.prefixes.push(prefix);
        self.stack = Stack::Frames;
        self.foreign = 0;
        self.lines.push(line, region);
        true
    }

    /// Counts a line that it did not take: whether it is of the same process, as far as prefixes tell, and whether it
    /// ends this event.
    pub fn refused(&mut self, text: &[u8]) -> (bool, bool) {
        let own = self.is_own(text);
        self.foreign += 1;
        (own, self.foreign > self.patience(own))
    }

    fn is_own(&self, text: &[u8]) -> bool {
        self.process.strip(text).is_some()
    }

    /// How many lines it may go without a line of its own.
    fn patience(&self, own: bool) -> u16 {
        match self.stack {
            Stack::Line | Stack::Frames | Stack::PythonMessage(_) | Stack::RustTail | Stack::GoRoutines if own => 0,
            Stack::PythonFrames | Stack::PythonGroup if own => 8,
            _ if own => 3,
            _ => MAX_FOREIGN,
        }
    }

    /// Whether it is a log record of level ERROR or worse that stands directly before a traceback of its process.
    pub fn heads(&self, next: &[u8], opening: &stack::Opening, region: &Region<'_>) -> bool {
        if self.stack != Stack::Line || self.foreign != 1 {
            return false;
        }
        let is_bare = matches!(opening.stack, Stack::PythonFrames | Stack::PythonGroup)
            && self.process.strip(next).is_some_and(|body| {
                body.len() + opening.prefix == next.len() || body.trim_ascii_start().starts_with(b"+ Exception")
            });
        is_bare && names_level(self.lines.head(region))
    }

    fn retitle(&mut self, line: &Line<'_>, body: &[u8], region: &Region<'_>) {
        let text = body.trim_ascii_start().strip_prefix(b"| ").unwrap_or(body);
        let said = line.keep(text.len());
        self.title = match self.stack {
            Stack::RustMessage => Kept::Owned(format!("{} {}", self.title.shown(region), said.shown(region))),
            _ => said,
        };
        self.titled = true;
    }

    fn add(&mut self, matched: &[SigId]) {
        for id in matched {
            if !self.signatures.contains(id) && !self.counted.contains(id) {
                self.signatures.push(*id);
            }
        }
    }

    fn known(&self) -> Option<Known> {
        match self.stack {
            Stack::Line if self.process.is_empty() && self.lines.total() == 1 => Some(Known::Line),
            Stack::PythonMessage(_) => Some(Known::Traceback),
            _ => None,
        }
    }

    /// The event, unless it matched nothing that has not been counted.
    pub fn event<'a>(&'a self, region: &Region<'a>) -> Option<RawEvent<'a>> {
        if self.signatures.is_empty() {
            return None;
        }
        Some(RawEvent {
            region: *region,
            title: &self.title,
            lines: &self.lines,
            begin: &self.begin,
            frames: match self.stack {
                Stack::Frames => Frames::JavaOrNode,
                Stack::PythonFrames | Stack::PythonMessage(_) | Stack::PythonChained | Stack::PythonGroup => {
                    Frames::Python
                }
                _ => Frames::Other,
            },
            signatures: &self.signatures,
            known: self.known(),
            counted: !self.counted.is_empty(),
        })
    }
}

/// Whether a line says of itself that it is an error or worse.
fn names_level(line: &[u8]) -> bool {
    // Made once: that takes longer than searching.
    static LEVELS: LazyLock<[Finder<'static>; 6]> =
        LazyLock::new(|| ["ERROR", "CRITICAL", "FATAL", "EXCEPTION", "Error", "error"].map(Finder::new));
    let start = line.get(..LEVEL_WITHIN).unwrap_or(line);
    LEVELS.iter().any(|level| level.find(start).is_some())
}

/// Whether a line heads the Python traceback without a prefix that opens on the next one. None where that takes a closer look.
pub fn heads_traceback(line: &[u8]) -> Option<bool> {
    Prefix::of_process(line).is_empty().then(|| names_level(line))
}

/// Whether a line may be a frame of the event that a line without a prefix of its process is, by its first byte: what stands
/// before a frame is nothing but space, or stands before the head too.
fn may_follow(head: Option<u8>, next: &[u8]) -> bool {
    match (head, next.first()) {
        (_, Some(b' ' | b'\t')) => true,
        (Some(head), Some(next)) => head == *next || head.is_ascii_digit() && next.is_ascii_digit(),
        _ => false,
    }
}

/// Whether a line without a prefix of its process has no frames behind it. False where that takes a closer look.
pub fn is_frameless(line: &[u8], next: &[u8]) -> bool {
    !may_follow(line.first().copied(), next) || !stack::may_be_frame(next)
}

/// Where the line begins that says what went wrong, in a Python traceback without a prefix whose frames begin at `at` and
/// which is hit at `hit` next. None where that takes a closer look.
pub fn title_of_traceback(text: &[u8], at: usize, hit: usize) -> Option<usize> {
    let until = memrchr(b'\n', text.get(..hit)?)? + 1;
    let frames = text.get(at..until).filter(|frames| frames.len() < SKIMMED)?;
    let indented = frames.first().is_none_or(|first| *first == b' ');
    (indented && frames.split_last().is_none_or(|(_, lines)| are_plain(lines))).then_some(until)
}

/// The whole lines at the start of a text that are indented and hold no escape sequence.
fn plain_frames(text: &[u8]) -> &[u8] {
    let whole = text.get(..memrchr(b'\n', text).map_or(0, |end| end + 1)).unwrap_or_default();
    // Mostly all lines are such.
    if whole.split_last().is_none_or(|(_, lines)| are_plain(lines)) {
        return whole;
    }
    let mut end = 0;
    while let Some(rest @ [b' ', ..]) = whole.get(end..)
        && let Some(stop) = memchr2(b'\n', ESC, rest).filter(|stop| rest.get(*stop) == Some(&b'\n'))
    {
        end += stop + 1;
    }
    whole.get(..end).unwrap_or_default()
}

wide! {
    /// Whether no line of these but the first begins with anything but a space, and none holds an escape sequence.
    fn are_plain(lines: &[u8]) -> bool {
        let ends = |(byte, next): (&u8, &u8)| {
            u8::from(*next == ESC) | u8::from(*byte == b'\n') & u8::from(*next != b' ')
        };
        // Without a branch, so that many bytes are looked at in one instruction.
        let any_ends = |text: &[u8]| text.iter().zip(text.iter().skip(1)).map(ends).fold(0, |any, one| any | one) != 0;
        if lines.len() < BLOCK {
            return !any_ends(lines);
        }
        !any_block::<BLOCK>(lines, 1, |block| any_ends(block))
    }
}
