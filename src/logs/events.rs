//! Lines become events: a line that matched is one, a whole stack trace is one, also when the lines of other processes
//! stand between its own.
//!
//! A log record of level ERROR or worse directly before a traceback of the same process belongs to it (this is what
//! `logging.exception` prints): one failure, one event. Pure; fed line by line. Not here: which lines are fed.

use super::block::Block;
use super::event::{CONTEXT, Kept, Region, Sink, shown};
use super::signature::{SigId, SignatureSet};
use super::stack::{self, Opening};
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
            _ => Kept::Owned(shown(self.text.get(self.text.len() - length..).unwrap_or_default())),
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
    /// The open events, in the order in which they began; behind them ended ones, for their memory.
    blocks: Vec<Block>,
    /// How many are open.
    open: usize,
    /// Lines after events that are wanted.
    waiting: Vec<(u32, Vec<String>)>,
}

impl Assembler {
    /// Continues where an earlier reading ended.
    pub fn resume(saved: Suspended, set: &SignatureSet) -> Assembler {
        let mut blocks = saved.0;
        blocks.iter_mut().for_each(|block| block.resume(set));
        Assembler { open: blocks.len(), blocks, waiting: Vec::new() }
    }

    /// Whether the next line must be fed whatever is in it.
    pub fn wants_next(&self) -> bool {
        self.open > 0 || !self.waiting.is_empty()
    }

    /// Takes lines from `at` on that need no closer look, as most lines of a stack trace do, up to `until`, before which
    /// nothing is hit. Returns where the next line begins.
    pub fn skim(&mut self, at: usize, until: usize, region: &Region<'_>) -> usize {
        let waiting = !self.waiting.is_empty();
        match self.open_blocks() {
            [block] if !waiting => block.skim(at, until, region),
            _ => at,
        }
    }

    /// Feeds one line.
    pub fn feed(&mut self, line: &Line<'_>, region: &Region<'_>, sink: &mut dyn Sink) {
        self.add_context(line.text, sink);
        if self.open_blocks().iter_mut().rev().any(|block| block.offer(line, region)) {
            return;
        }
        let opening = if line.may_open { stack::opening(line.text) } else { None };
        let headed = self.close_refused(line, opening.as_ref(), region, sink);
        if opening.is_none() && line.matched.is_empty() {
            return;
        }
        if !headed {
            self.begin(line, region, sink);
        }
        if let (Some(opening), Some(block)) = (&opening, self.open_blocks().last_mut()) {
            block.open(line, opening, region);
        }
    }

    /// Ends a region: what is open is copied out of it.
    pub fn settle(&mut self, region: &Region<'_>) {
        self.open_blocks().iter_mut().for_each(|block| block.settle(region));
    }

    /// Ends a reading, after the last region. Events that can be told already are told, all of them with `tell_all`;
    /// what may go on is kept.
    pub fn suspend(&mut self, set: &SignatureSet, tell_all: bool, sink: &mut dyn Sink) -> Suspended {
        let nothing = Region { text: &[], recent: &std::collections::VecDeque::new(), place: &|_| (0, None) };
        for (number, lines) in std::mem::take(&mut self.waiting) {
            sink.after(number, lines);
        }
        let mut kept = std::mem::take(&mut self.blocks);
        kept.truncate(std::mem::take(&mut self.open));
        for block in &mut kept {
            if tell_all || block.is_titled() {
                let _ = block.event(&nothing).and_then(|event| sink.event(&event));
                block.count();
            }
            block.suspend(set);
        }
        Suspended(kept)
    }

    fn open_blocks(&mut self) -> &mut [Block] {
        self.blocks.get_mut(..self.open).unwrap_or_default()
    }

    fn add_context(&mut self, text: &[u8], sink: &mut dyn Sink) {
        self.waiting.retain_mut(|(number, lines)| {
            lines.push(shown(text));
            let whole = lines.len() >= CONTEXT;
            if whole {
                sink.after(*number, std::mem::take(lines));
            }
            !whole
        });
    }

    /// Closes the events that this line, which none of them took, ends. The record that heads the stack trace which the
    /// line opens stays open, as the last one; returns whether there is such a record.
    fn close_refused(
        &mut self,
        line: &Line<'_>,
        opening: Option<&Opening>,
        region: &Region<'_>,
        sink: &mut dyn Sink,
    ) -> bool {
        let mut header = None;
        let mut at = 0;
        while let Some(block) = self.open_blocks().get_mut(at) {
            let (own, over) = block.refused(line.text);
            let heads = |opening| block.heads(line.text, opening, region);
            if own && header.is_none() && opening.is_some_and(heads) {
                header = Some(at);
                at += 1;
            } else if over {
                self.finish(at, Some(line.text), region, sink);
            } else {
                at += 1;
            }
        }
        let behind = header.and_then(|at| self.open_blocks().get_mut(at..));
        behind.into_iter().for_each(|blocks| blocks.rotate_left(1));
        header.is_some()
    }

    fn begin(&mut self, line: &Line<'_>, region: &Region<'_>, sink: &mut dyn Sink) {
        if self.open >= MAX_OPEN {
            self.finish(0, None, region, sink);
        }
        if self.blocks.len() == self.open {
            self.blocks.push(Block::default());
        }
        self.blocks.get_mut(self.open).into_iter().for_each(|block| block.begin(line, region));
        self.open += 1;
    }

    /// Ends an event.
    fn finish(&mut self, at: usize, after: Option<&[u8]>, region: &Region<'_>, sink: &mut dyn Sink) {
        self.open_blocks().get_mut(at..).into_iter().for_each(|blocks| blocks.rotate_left(1));
        self.open = self.open.saturating_sub(1);
        let wanted =
            self.blocks.get(self.open).and_then(|block| block.event(region)).and_then(|event| sink.event(&event));
        if let (Some(number), Some(text)) = (wanted, after) {
            self.waiting.push((number, vec![shown(text)]));
        }
    }
}
