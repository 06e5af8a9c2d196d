//! The lines of an event: the first ones and the last ones. Those in the text that is being read are not even cut apart
//! until somebody wants to see them.
//!
//! Pure. Not here: which lines are one event (`events`, `block`).

use super::event::{Kept, Region};
use super::events::Line;
use memchr::memchr;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Lines kept of one event: so many first and so many last.
const KEPT: usize = 20;
/// Runs of lines that are not cut apart.
const MAX_RUNS: usize = 64;

/// The lines of one event.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Lines {
    #[serde(rename = "lines")]
    first: Vec<Kept>,
    last: VecDeque<Kept>,
    total: u32,
    /// What comes after those, in the region that is being read.
    #[serde(skip)]
    here: Vec<Run>,
}

/// Lines that stand one behind the other.
#[derive(Debug, Clone, Copy)]
struct Run {
    from: u32,
    /// The end of the last one, without its newline.
    to: u32,
}

impl Lines {
    /// Forgets them all.
    pub fn clear(&mut self) {
        self.first.clear();
        self.last.clear();
        self.here.clear();
        self.total = 0;
    }

    /// How many there are, kept or not.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Adds a line.
    pub fn push(&mut self, line: &Line<'_>, region: &Region<'_>) {
        match line.keep(line.text.len()) {
            Kept::Here(from, to) => self.push_run(from, to, 1, region),
            owned @ Kept::Owned(_) => {
                self.cut(region);
                self.total += 1;
                self.keep(owned);
            }
        }
    }

    /// Adds so many lines that stand one behind the other in the region; `to` is the end of the last one.
    pub fn push_run(&mut self, from: u32, to: u32, lines: u32, region: &Region<'_>) {
        self.total += lines;
        match self.here.last_mut() {
            Some(run) if run.to.checked_add(1) == Some(from) => run.to = to,
            _ => {
                if self.here.len() >= MAX_RUNS {
                    self.cut(region);
                }
                self.here.push(Run { from, to });
            }
        }
    }

    /// The first one.
    pub fn head<'a>(&'a self, region: &Region<'a>) -> &'a [u8] {
        if let Some(first) = self.first.first() {
            return first.bytes(region);
        }
        let Some(run) = self.here.first() else { return &[] };
        let text = region.text.get(run.from as usize..run.to as usize).unwrap_or_default();
        text.get(..memchr(b'\n', text).unwrap_or(text.len())).unwrap_or_default()
    }

    /// The first byte of the first one.
    pub fn first_byte(&self, region: &Region<'_>) -> Option<u8> {
        match self.first.first() {
            Some(first) => first.bytes(region).first().copied(),
            None => region.text.get(self.here.first()?.from as usize).copied(),
        }
    }

    /// Copies what the region is about to take with it.
    pub fn settle(&mut self, region: &Region<'_>) {
        self.cut(region);
        self.first.iter_mut().chain(&mut self.last).for_each(|line| line.settle(region));
    }

    /// The lines as they are shown; how many are left out is told.
    pub fn shown(&self, region: &Region<'_>) -> Vec<String> {
        let mut whole = self.clone();
        whole.settle(region);
        let left_out = (whole.total as usize).saturating_sub(whole.first.len() + whole.last.len());
        let mut lines: Vec<String> = whole.first.into_iter().map(String::from).collect();
        if left_out > 0 {
            lines.push(format!("... {left_out} lines left out ..."));
        }
        lines.extend(whole.last.into_iter().map(String::from));
        lines
    }

    /// Cuts the runs apart.
    fn cut(&mut self, region: &Region<'_>) {
        for Run { from, to } in std::mem::take(&mut self.here) {
            let text = region.text.get(from as usize..to as usize).unwrap_or_default();
            let ends = memchr::memchr_iter(b'\n', text).map(|end| from + end as u32).chain([to]);
            let mut begin = from;
            for end in ends {
                self.keep(Kept::Here(begin, end));
                begin = end.saturating_add(1);
            }
        }
    }

    fn keep(&mut self, line: Kept) {
        if self.first.len() < KEPT {
            self.first.push(line);
            return;
        }
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}
