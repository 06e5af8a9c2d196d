//! Lines become events: a line that matched is one, a whole stack trace is one, also when the lines of other processes
//! stand between its own.
//!
//! A log record of level ERROR or worse directly before a traceback of the same process belongs to it (this is what
//! `logging.exception` prints): one failure, one event. Pure; fed line by line. Not here: which lines are fed.

use super::block::Block;
use super::event::{CONTEXT, Kept, Region, Sink, shown};
use super::signature::{SigId, SignatureSet};
use super::stack;
use serde::{Deserialize, Serialize};

/// Events open at the same time.
const MAX_OPEN: usize = 16;

/// A line as it is fed.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// Without its newline and escape sequences, at most the scanner's longest.
    pub text: &'a [u8],
    /// Where it begins in the region.
    pub at: usize,
    /// `text` is what stands there, byte for byte.
    pub plain: bool,
    /// What it matches.
    pub matched: &'a [SigId],
    /// A stack trace may begin on it.
    pub may_open: bool,
}

impl Line<'_> {
    /// Its last bytes, so many, as they are kept.
    pub fn keep(&self, length: usize) -> Kept {
        let length = length.min(self.text.len());
        let end = self.at + self.text.len();
        match (self.plain, u32::try_from(end - length), u32::try_from(end)) {
            (true, Ok(from), Ok(to)) => Kept::Here(from, to),
            _ => Kept::Owned(shown(self.text.get(self.text.len() - length..).unwrap_or_default()).into_owned()),
        }
    }
}

/// What is open when a reading ends; continued by the next one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Suspended(Vec<Block>);

impl Suspended {
    /// Whether something is open that has not been told of.
    pub fn has_untold(&self) -> bool {
        self.0.iter().any(Block::has_untold)
    }
}

/// Makes events out of the lines of one log.
#[derive(Default)]
pub struct Assembler {
    open: Vec<Block>,
    /// Ended, for their memory.
    spare: Vec<Block>,
    /// Lines after events that are wanted.
    waiting: Vec<(u32, Vec<String>)>,
}

impl Assembler {
    /// Continues where an earlier reading ended.
    pub fn resume(saved: Suspended, set: &SignatureSet) -> Assembler {
        let mut open = saved.0;
        open.iter_mut().for_each(|block| block.resume(set));
        Assembler { open, ..Assembler::default() }
    }

    /// Whether the next line must be fed whatever is in it.
    pub fn wants_next(&self) -> bool {
        !self.open.is_empty() || !self.waiting.is_empty()
    }

    /// Takes a line without a hit, unless it needs a closer look: most lines of a stack trace.
    pub fn skim(&mut self, line: &Line<'_>) -> bool {
        match self.open.as_mut_slice() {
            [block] if self.waiting.is_empty() => block.skim(line),
            _ => false,
        }
    }

    /// Feeds one line.
    pub fn feed(&mut self, line: &Line<'_>, region: &Region<'_>, sink: &mut dyn Sink) {
        self.add_context(line.text, sink);
        if self.open.iter_mut().rev().any(|block| block.offer(line, region)) {
            return;
        }
        let header = self.close_refused(line, region, sink);
        let opening = if line.may_open { stack::opening(line.text) } else { None };
        if let Some(opening) = opening {
            let mut block = header.unwrap_or_else(|| self.blank(line));
            block.open(line, &opening);
            self.start(block, region, sink);
        } else {
            if let Some(header) = header {
                self.finish(header, Some(line.text), region, sink);
            }
            if !line.matched.is_empty() {
                let block = self.blank(line);
                self.start(block, region, sink);
            }
        }
    }

    /// Ends a region: what is open is copied out of it.
    pub fn settle(&mut self, region: &Region<'_>) {
        self.open.iter_mut().for_each(|block| block.settle(region));
    }

    /// Ends a reading, after the last region. Events that can be told already are told, all of them with `tell_all`;
    /// what may go on is kept.
    pub fn suspend(&mut self, set: &SignatureSet, tell_all: bool, sink: &mut dyn Sink) -> Suspended {
        let nothing = Region { text: &[], recent: &std::collections::VecDeque::new(), place: &|_| (0, None) };
        for (number, lines) in std::mem::take(&mut self.waiting) {
            sink.after(number, lines);
        }
        let mut kept = std::mem::take(&mut self.open);
        for block in &mut kept {
            if tell_all || block.is_titled() {
                let _ = block.event(&nothing).and_then(|event| sink.event(&event));
                block.count();
            }
            block.suspend(set);
        }
        Suspended(kept)
    }

    fn add_context(&mut self, text: &[u8], sink: &mut dyn Sink) {
        self.waiting.retain_mut(|(number, lines)| {
            lines.push(shown(text).into_owned());
            let whole = lines.len() >= CONTEXT;
            if whole {
                sink.after(*number, std::mem::take(lines));
            }
            !whole
        });
    }

    /// Closes the events that this line, which none of them took, ends. Returns instead of closing it the record that
    /// heads a traceback, if the line opens one.
    fn close_refused(&mut self, line: &Line<'_>, region: &Region<'_>, sink: &mut dyn Sink) -> Option<Block> {
        let mut header = None;
        let mut at = 0;
        while let Some(block) = self.open.get_mut(at) {
            let (own, over) = block.refused(line.text);
            if own && header.is_none() && line.may_open && block.heads(line.text, region) {
                header = Some(self.open.remove(at));
            } else if over {
                let block = self.open.remove(at);
                self.finish(block, Some(line.text), region, sink);
            } else {
                at += 1;
            }
        }
        header
    }

    fn blank(&mut self, line: &Line<'_>) -> Block {
        let mut block = self.spare.pop().unwrap_or_default();
        block.begin(line);
        block
    }

    fn start(&mut self, block: Block, region: &Region<'_>, sink: &mut dyn Sink) {
        if self.open.len() >= MAX_OPEN {
            let oldest = self.open.remove(0);
            self.finish(oldest, None, region, sink);
        }
        self.open.push(block);
    }

    fn finish(&mut self, block: Block, after: Option<&[u8]>, region: &Region<'_>, sink: &mut dyn Sink) {
        let wanted = block.event(region).and_then(|event| sink.event(&event));
        if let (Some(number), Some(text)) = (wanted, after) {
            self.waiting.push((number, vec![shown(text).into_owned()]));
        }
        self.spare.push(block);
    }
}
