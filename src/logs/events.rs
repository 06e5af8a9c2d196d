//! Lines become events: a line that matched is one, a whole stack trace is one, also when the lines of other processes
//! stand between its own.
//!
//! A log record of level ERROR or worse directly before a traceback of the same process belongs to it (this is what
//! `logging.exception` prints): one failure, one event. Pure; fed line by line. Not here: which lines are fed.

use super::prefix::Prefix;
use super::signature::{SigId, SignatureSet};
use super::stack::{self, Part, Stack};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Lines of context before and after an event.
pub const CONTEXT: usize = 3;
/// Bytes kept of one line in an event.
const LINE_KEPT: usize = 1024;
/// Lines kept of one event: so many first and so many last.
const LINES_KEPT: usize = 20;
/// A stack trace of more lines than this is cut in two.
const MAX_LINES: u32 = 5000;
/// So many lines of others may stand between two lines of one event.
const MAX_FOREIGN: u16 = 24;
/// Events open at the same time.
const MAX_OPEN: usize = 16;

/// A line as it is fed.
pub struct Line<'a> {
    /// Without its newline, at most the scanner's longest.
    pub text: &'a [u8],
    /// Where it begins in what was read.
    pub offset: u64,
    /// From the envelope (Docker, journal), where there is one.
    pub time: Option<Timestamp>,
    /// What it matches.
    pub matched: Vec<SigId>,
}

/// An event, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    pub title: String,
    pub lines: Vec<String>,
    pub before: Vec<String>,
    pub after: Vec<String>,
    /// What it matched and was not counted for yet; never empty.
    pub signatures: Vec<SigId>,
    /// It was counted when the reading before this one ended; only these signatures are new.
    pub counted: bool,
    pub offset: u64,
    /// Its envelope's.
    pub time: Option<Timestamp>,
}

/// An event of which more lines may come.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Block {
    stack: Stack,
    /// Prefixes its lines may have; one when it has been seen.
    prefixes: Vec<Prefix>,
    process: Prefix,
    title: String,
    /// The title says already what went wrong.
    titled: bool,
    lines: Vec<String>,
    last: VecDeque<String>,
    before: Vec<String>,
    total: u32,
    foreign: u16,
    /// Ids while it is in memory; names while it is stored.
    #[serde(skip)]
    signatures: Vec<SigId>,
    #[serde(skip)]
    counted: Vec<SigId>,
    signature_names: Vec<String>,
    counted_names: Vec<String>,
    offset: u64,
    time: Option<Timestamp>,
}

/// What is open when a reading ends; continued by the next one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Suspended(Vec<Block>);

impl Suspended {
    /// Whether something is open that has not been told of.
    pub fn has_untold(&self) -> bool {
        self.0.iter().any(|block| !block.signature_names.is_empty())
    }
}

/// Makes events out of the lines of one log.
#[derive(Default)]
pub struct Assembler {
    open: Vec<Block>,
    /// Closed, but for the lines after them.
    waiting: Vec<RawEvent>,
    done: Vec<RawEvent>,
}

impl Assembler {
    /// Continues where an earlier reading ended.
    pub fn resume(saved: Suspended, set: &SignatureSet) -> Assembler {
        let mut open = saved.0;
        for block in &mut open {
            block.signatures = block.signature_names.iter().filter_map(|n| set.id(n)).collect();
            block.counted = block.counted_names.iter().filter_map(|n| set.id(n)).collect();
        }
        Assembler { open, ..Assembler::default() }
    }

    /// Whether the next line must be fed whatever is in it.
    pub fn wants_next(&self) -> bool {
        !self.open.is_empty() || !self.waiting.is_empty()
    }

    /// Takes what is whole.
    pub fn take(&mut self) -> Vec<RawEvent> {
        std::mem::take(&mut self.done)
    }

    /// Feeds one line; `before` gives the lines before it when they are needed.
    pub fn feed(&mut self, line: Line<'_>, before: &dyn Fn() -> Vec<String>) {
        self.add_context(line.text);
        if self.offer(&line) {
            return;
        }
        let header = self.close_refused(line.text);
        if let Some(opening) = stack::opening(line.text) {
            let block = Block::opened(&line, &opening, header, before);
            self.start(block);
        } else {
            if let Some(header) = header {
                self.finish(header, Some(line.text));
            }
            if !line.matched.is_empty() {
                self.start(Block::single(&line, before()));
            }
        }
    }

    /// Ends a reading. Events that can be told already are told, all of them with `tell_all`; what may go on is kept.
    pub fn suspend(&mut self, set: &SignatureSet, tell_all: bool) -> Suspended {
        self.done.append(&mut self.waiting);
        let mut kept = Vec::new();
        for mut block in std::mem::take(&mut self.open) {
            if tell_all || block.titled {
                self.done.extend(block.event());
                block.counted.extend_from_slice(&block.signatures);
                block.signatures.clear();
            }
            let names = |ids: &[SigId]| ids.iter().map(|id| set.name(*id).to_owned()).collect();
            block.signature_names = names(&block.signatures);
            block.counted_names = names(&block.counted);
            kept.push(block);
        }
        Suspended(kept)
    }

    fn add_context(&mut self, text: &[u8]) {
        for event in &mut self.waiting {
            event.after.push(shown(text));
        }
        let done = &mut self.done;
        self.waiting.retain_mut(|event| {
            let whole = event.after.len() >= CONTEXT;
            if whole {
                done.push(std::mem::replace(event, RawEvent::empty()));
            }
            !whole
        });
    }

    /// Whether an open event takes the line.
    fn offer(&mut self, line: &Line<'_>) -> bool {
        self.open.iter_mut().rev().any(|block| block.offer(line))
    }

    /// Closes the events that this line, which none of them took, ends. Returns instead of closing it the record that
    /// heads a traceback, if the line opens one.
    fn close_refused(&mut self, text: &[u8]) -> Option<Block> {
        let mut header = None;
        for mut block in std::mem::take(&mut self.open) {
            let own = block.is_own(text);
            block.foreign += 1;
            let patience = block.patience(own);
            if own && header.is_none() && block.heads(text) {
                header = Some(block);
            } else if block.foreign > patience {
                self.finish(block, Some(text));
            } else {
                self.open.push(block);
            }
        }
        header
    }

    fn start(&mut self, block: Block) {
        if self.open.len() >= MAX_OPEN {
            let oldest = self.open.remove(0);
            self.finish(oldest, None);
        }
        self.open.push(block);
    }

    fn finish(&mut self, block: Block, after: Option<&[u8]>) {
        let Some(mut event) = block.event() else { return };
        match after {
            Some(text) => {
                event.after.push(shown(text));
                self.waiting.push(event);
            }
            None => self.done.push(event),
        }
    }
}

impl Block {
    fn single(line: &Line<'_>, before: Vec<String>) -> Block {
        Block {
            stack: Stack::Line,
            prefixes: Vec::new(),
            process: Prefix::of_process(line.text),
            title: shown(line.text),
            titled: true,
            lines: vec![shown(line.text)],
            last: VecDeque::new(),
            before,
            total: 1,
            foreign: 0,
            signatures: line.matched.clone(),
            counted: Vec::new(),
            signature_names: Vec::new(),
            counted_names: Vec::new(),
            offset: line.offset,
            time: line.time,
        }
    }

    fn opened(
        line: &Line<'_>,
        opening: &stack::Opening,
        header: Option<Block>,
        before: &dyn Fn() -> Vec<String>,
    ) -> Block {
        let head = line.text.get(..opening.prefix).unwrap_or_default();
        let mut prefixes = vec![Prefix::of(head)];
        let process = Prefix::of_process(line.text);
        if !prefixes.contains(&process) {
            prefixes.push(process.clone());
        }
        let mut block = match header {
            Some(mut header) => {
                header.push(line.text);
                header.add(&line.matched);
                header
            }
            None => Block::single(line, before()),
        };
        block.title = shown(line.text.get(opening.prefix..).unwrap_or_default());
        block.titled = matches!(opening.stack, Stack::RustTail | Stack::Go);
        block.stack = opening.stack;
        block.prefixes = prefixes;
        block.process = process;
        block
    }

    /// Takes the line when it goes on with this event.
    fn offer(&mut self, line: &Line<'_>) -> bool {
        if self.total >= MAX_LINES {
            return false;
        }
        if self.stack == Stack::Line {
            return self.offer_frame(line);
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
                self.retitle(body);
            }
            if next == Stack::PythonChained {
                self.titled = false;
            }
            if significant {
                self.add(&line.matched);
            }
            // A blank line fits every prefix that ends in spaces; it does not say which one it is.
            if !body.trim_ascii().is_empty() {
                self.prefixes = self.prefixes.get(at).cloned().into_iter().collect();
            }
            self.stack = next;
            self.foreign = 0;
            self.push(line.text);
            return true;
        }
        false
    }

    /// A matching line followed by a frame of Java or Node is the head of a stack trace.
    fn offer_frame(&mut self, line: &Line<'_>) -> bool {
        let Some(length) = stack::frame_prefix(line.text) else { return false };
        let prefix = Prefix::of(line.text.get(..length).unwrap_or_default());
        let head = self.lines.first().map(String::as_str).unwrap_or_default();
        if !(prefix == self.process || prefix.strip(head.as_bytes()).is_some() && self.is_own(line.text)) {
            return false;
        }
        self.prefixes = vec![prefix];
        self.stack = Stack::Frames;
        self.foreign = 0;
        self.push(line.text);
        true
    }

    /// Whether the line is of the process that this event is of, as far as prefixes tell.
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
    fn heads(&self, next: &[u8]) -> bool {
        let bare = |opening: stack::Opening| {
            matches!(opening.stack, Stack::PythonFrames | Stack::PythonGroup)
                && self.process.strip(next).is_some_and(|body| {
                    body.len() + opening.prefix == next.len() || body.trim_ascii_start().starts_with(b"+ Exception")
                })
        };
        let line = self.lines.first().map(|l| l.get(..l.len().min(120)).unwrap_or(l)).unwrap_or_default();
        self.stack == Stack::Line
            && self.foreign == 1
            && ["ERROR", "CRITICAL", "FATAL", "EXCEPTION", "Error", "error"].iter().any(|level| line.contains(level))
            && stack::opening(next).is_some_and(bare)
    }

    fn retitle(&mut self, body: &[u8]) {
        let text = shown(body.trim_ascii_start().strip_prefix(b"| ").unwrap_or(body));
        self.title = match self.stack {
            Stack::RustMessage => format!("{} {}", self.title, text),
            _ => text,
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

    fn push(&mut self, text: &[u8]) {
        self.total += 1;
        if self.lines.len() < LINES_KEPT {
            self.lines.push(shown(text));
            return;
        }
        if self.last.len() >= LINES_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(shown(text));
    }

    /// The event, unless it matched nothing that has not been counted.
    fn event(&self) -> Option<RawEvent> {
        if self.signatures.is_empty() {
            return None;
        }
        let mut signatures = self.signatures.clone();
        signatures.sort_unstable();
        let mut lines = self.lines.clone();
        let left_out = (self.total as usize).saturating_sub(self.lines.len() + self.last.len());
        if left_out > 0 {
            lines.push(format!("... {left_out} lines left out ..."));
        }
        lines.extend(self.last.iter().cloned());
        Some(RawEvent {
            title: self.title.clone(),
            lines,
            before: self.before.clone(),
            after: Vec::new(),
            signatures,
            counted: !self.counted.is_empty(),
            offset: self.offset,
            time: self.time,
        })
    }
}

impl RawEvent {
    fn empty() -> RawEvent {
        RawEvent {
            title: String::new(),
            lines: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            signatures: Vec::new(),
            counted: false,
            offset: 0,
            time: None,
        }
    }
}

/// A line as it is kept: bounded, valid UTF-8, without the carriage return.
pub fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let kept = line.get(..LINE_KEPT).unwrap_or(line);
    String::from_utf8_lossy(kept).into_owned()
}
