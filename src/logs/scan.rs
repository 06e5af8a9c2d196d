//! The scanner: whole buffers are searched for stems; lines are only cut out around a hit.
//!
//! An event like one before, that is plainly whole where it was found, is told as such (`Sink::again`); all others go through
//! the assembler. Lives here: from bytes to events, with bounded memory. Not here: where the bytes come from, what is counted.

use super::block;
use super::escapes::{self, ESC};
use super::event::{Known, Region, Seen, Sink};
use super::events::{Assembler, Line};
use super::matcher::{Looked, Matcher, append};
use super::signature::{SigId, SignatureSet};
use super::stack::{self, Part, Stack};
use super::stems::Hit;
use super::wide::fetch;
use jiff::Timestamp;
use memchr::{memchr, memchr2, memrchr, memrchr2};
use std::borrow::Cow;
use std::collections::VecDeque;

/// Bytes of a line that are looked at; the rest is counted and skipped.
pub const MAX_LINE: usize = 16 << 10;

/// Bytes of tracebacks that are chained: fewer than the lines at which a stack trace is cut.
const MAX_CHAINED: usize = 4 << 10;

/// Bytes that are brought near at once.
const CACHE_LINE: usize = 64;

/// Where a line came from: its offset in what was read, and the time of its envelope.
pub type Place = (u64, Option<Timestamp>);

/// Scans one log from its current place on.
pub struct Scan<'s> {
    set: &'s SignatureSet,
    matcher: Matcher<'s>,
    pub assembler: Assembler,
    /// The last lines of the region before.
    recent: VecDeque<String>,
    /// Lines that matched, by signature.
    pub matched: Vec<u64>,
    // Kept for their memory.
    hits: Vec<Hit>,
    found: Vec<SigId>,
    of_line: Vec<SigId>,
    of_others: Vec<SigId>,
}

impl<'s> Scan<'s> {
    /// A scan that continues with the events that an earlier one left open.
    pub fn new(set: &'s SignatureSet, assembler: Assembler) -> Scan<'s> {
        let matched = vec![0; set.len()];
        let (hits, found, of_line, of_others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let matcher = Matcher::new(set);
        Scan { set, matcher, assembler, recent: VecDeque::new(), matched, hits, found, of_line, of_others }
    }

    /// Scans whole lines. The last one may lack its newline when it is taken as it is.
    pub fn region(&mut self, text: &[u8], place: &dyn Fn(usize) -> Place, sink: &mut dyn Sink) {
        let recent = std::mem::take(&mut self.recent);
        let region = Region { text, recent: &recent, place };
        let mut all = std::mem::take(&mut self.hits);
        self.set.hits(text, &mut all);
        let every = self.set.needs_every_line();
        let mut hits = all.as_slice();
        let mut at = 0;
        while at < text.len() {
            let next_hit = hits.first().map_or(text.len(), |hit| hit.at as usize);
            let (end, plain) = if every {
                line_end(text, at)
            } else if self.assembler.wants_next() {
                at = self.assembler.skim(at, next_hit, &region);
                if at >= text.len() {
                    break;
                }
                line_end(text, at)
            } else if hits.is_empty() {
                break;
            } else {
                let (begin, end, plain) = line_around(text, at, next_hit);
                at = begin;
                (end, plain)
            };
            let on_line = hits.iter().take_while(|hit| (hit.at as usize) < end).count();
            let (here, rest) = hits.split_at_checked(on_line).unwrap_or_default();
            expect_line(text, rest);
            let raw = text.get(at..end.min(at + MAX_LINE)).unwrap_or_default();
            let seen = if plain { Cow::Borrowed(raw) } else { escapes::without(raw) };
            let plain = matches!(seen, Cow::Borrowed(_));
            let line = Line { text: &seen, at, plain, matched: &[], may_open: false };
            let after = self.line(line, here, Next { at: end + 1, hits: rest }, &region, sink);
            (hits, at) = (after.hits, after.at);
        }
        self.assembler.settle(&region);
        sink.settle(&region);
        self.recent = region.lines_before(text.len()).into();
        self.hits = all;
    }

    /// Takes a line, and says what follows it and what was taken with it.
    fn line<'h>(
        &mut self,
        line: Line<'_>,
        hits: &[Hit],
        next: Next<'h>,
        region: &Region<'_>,
        sink: &mut dyn Sink,
    ) -> Next<'h> {
        if hits.is_empty() && !self.set.needs_every_line() {
            self.assembler.feed(&line, region, sink);
            return next;
        }
        let mut found = std::mem::take(&mut self.found);
        let may_open = !line.plain || self.set.may_open(hits);
        found.clear();
        let only_opens = line.plain && stack::is_python(line.text) && self.set.only_open(hits);
        let shape = Some(()).filter(|()| line.plain && !only_opens).map(|()| self.expect(line.text, sink));
        // Found meanwhile: a line that opens nothing is mostly an event by itself.
        let following = if may_open { None } else { next.line(region) };
        let looked = if only_opens { None } else { self.matches_of(&line, shape, hits, &mut found) };
        self.count(&found);
        let after = if self.assembler.wants_next() || !line.plain {
            None
        } else if may_open {
            self.traceback_again(&line, false, &mut found, next, region, sink)
        } else {
            let both = looked.zip(following);
            both.and_then(|both| self.lone_again(&line, both, &mut found, next, region, sink))
        };
        if after.is_none() {
            self.assembler.feed(&Line { matched: &found, may_open, ..line }, region, sink);
        }
        self.found = found;
        after.unwrap_or(next)
    }

    /// The shape of a line that may say what happened. What is known of it is brought near meanwhile.
    fn expect(&self, line: &[u8], sink: &dyn Sink) -> u64 {
        let shape = self.matcher.expect(line);
        sink.expect(shape);
        shape
    }

    fn matches_of(
        &mut self,
        line: &Line<'_>,
        shape: Option<u64>,
        hits: &[Hit],
        found: &mut Vec<SigId>,
    ) -> Option<Looked> {
        let Some(shape) = shape else {
            *found = self.set.matches(line.text);
            return None;
        };
        let within = hits.iter().take_while(|hit| (hit.at as usize) < line.at + line.text.len()).count();
        Some(self.matcher.matches_of((line.text, shape), (line.at, hits.get(..within).unwrap_or_default()), found))
    }

    fn count(&mut self, found: &[SigId]) {
        for id in found {
            if let Some(count) = self.matched.get_mut(usize::from(*id)) {
                *count += 1;
            }
        }
    }

    /// Takes a line that is an event by itself, or the record that heads a traceback, like one before. None where it may be more,
    /// or none was.
    fn lone_again<'h>(
        &mut self,
        line: &Line<'_>,
        (looked, following): (Looked, &[u8]),
        found: &mut Vec<SigId>,
        next: Next<'h>,
        region: &Region<'_>,
        sink: &mut dyn Sink,
    ) -> Option<Next<'h>> {
        if found.is_empty() || !block::is_frameless(line.text, following) {
            return None;
        }
        let end = next.at + following.len();
        let on_line = next.hits.iter().take_while(|hit| (hit.at as usize) < end).count();
        if self.set.may_open(next.hits.get(..on_line).unwrap_or_default()) {
            let is_headed = stack::is_python(following) && block::heads_traceback(line.text)?;
            return if is_headed { self.traceback_again(line, true, found, next, region, sink) } else { None };
        }
        let seen = Seen {
            region: *region,
            known: Known::Line,
            at: line.at,
            record: None,
            title_at: line.at,
            title: line.text,
            shape: looked.title_shape,
            signatures: found,
        };
        sink.again(&seen).then_some(next)
    }

    /// Takes a Python traceback, with those that are chained to it, like one before: it opens on this line, or on the next one
    /// and this is the record that heads it.
    fn traceback_again<'h>(
        &mut self,
        line: &Line<'_>,
        is_record: bool,
        found: &mut Vec<SigId>,
        next: Next<'h>,
        region: &Region<'_>,
        sink: &mut dyn Sink,
    ) -> Option<Next<'h>> {
        // A signature may be tried on every frame.
        if !(is_record || stack::is_python(line.text)) || self.set.needs_every_line() {
            return None;
        }
        let of_first = found.len();
        let mut of_others = std::mem::take(&mut self.of_others);
        of_others.clear();
        let frames = if is_record { self.opened(next, region, found, &mut of_others) } else { Some(next) };
        let whole = frames.and_then(|frames| self.whole_traceback(frames, region, found, &mut of_others, sink));
        let record = is_record.then_some(line.text);
        let after = whole.filter(|(title, ..)| {
            let seen = Seen {
                region: *region,
                known: Known::Traceback,
                at: line.at,
                record,
                title_at: title.at,
                title: title.text,
                shape: title.shape,
                signatures: found,
            };
            !found.is_empty() && sink.again(&seen)
        });
        match after {
            Some(_) => self.count(&of_others),
            None => found.truncate(of_first),
        }
        self.of_others = of_others;
        Some(after?.1)
    }

    /// What follows the line that opens a traceback; what it matches is the event's.
    fn opened<'h>(
        &mut self,
        opener: Next<'h>,
        region: &Region<'_>,
        found: &mut Vec<SigId>,
        of_others: &mut Vec<SigId>,
    ) -> Option<Next<'h>> {
        let (line, here, frames) = opener.taken(region)?;
        self.opens(line, (opener.at, here), of_others);
        join(found, &self.of_line);
        Some(frames)
    }

    /// What the line that opens a Python traceback matches.
    fn opens(&mut self, line: &[u8], (at, hits): (usize, &[Hit]), of_others: &mut Vec<SigId>) {
        self.of_line.clear();
        if !self.set.only_open(hits) {
            let shape = self.matcher.expect(line);
            self.matcher.matches_of((line, shape), (at, hits), &mut self.of_line);
            append(of_others, &self.of_line);
        }
    }

    /// The title of a traceback whose frames begin there, and what follows it: the last one of those that are chained. Adds
    /// what their titles match to `found`, and what each of their lines does to `of_others`. None where that takes a closer look.
    fn whole_traceback<'t, 'h>(
        &mut self,
        mut next: Next<'h>,
        region: &Region<'t>,
        found: &mut Vec<SigId>,
        of_others: &mut Vec<SigId>,
        sink: &dyn Sink,
    ) -> Option<(Title<'t>, Next<'h>)> {
        let first = next.at;
        loop {
            let at = block::title_of_traceback(region.text, next.at, next.hits.first()?.at as usize)?;
            let (text, here, after) = Next { at, ..next }.taken(region)?;
            if after.at - first > MAX_CHAINED {
                return None;
            }
            let shape = self.expect(text, sink);
            let following = after.line(region)?;
            let looked = self.matcher.matches_of((text, shape), (at, here), &mut self.of_line);
            if !looked.exception {
                return None;
            }
            append(of_others, &self.of_line);
            join(found, &self.of_line);
            if Stack::PythonMessage(0).offer(following) == Part::Foreign {
                return Some((Title { at, text, shape: looked.title_shape }, after));
            }
            let opener = after.chained(region)?;
            let (text, here, frames) = opener.taken(region)?;
            self.opens(text, (opener.at, here), of_others);
            next = frames;
        }
    }
}

/// The line of a traceback that says what went wrong.
struct Title<'t> {
    at: usize,
    text: &'t [u8],
    shape: Option<u64>,
}

/// Adds what is not there.
fn join(found: &mut Vec<SigId>, more: &[SigId]) {
    for id in more {
        if !found.contains(id) {
            found.push(*id);
        }
    }
}

/// What follows a line.
#[derive(Clone, Copy)]
struct Next<'a> {
    /// Where the next line begins.
    at: usize,
    /// Hits on it and behind it.
    hits: &'a [Hit],
}

impl<'a> Next<'a> {
    /// The next line, the hits on it, and what follows it. None where `line` is.
    fn taken<'t>(&self, region: &Region<'t>) -> Option<(&'t [u8], &'a [Hit], Next<'a>)> {
        let line = self.line(region)?;
        let on_line = self.hits.iter().take_while(|hit| (hit.at as usize) < self.at + line.len()).count();
        let (here, hits) = self.hits.split_at_checked(on_line)?;
        Some((line, here, Next { at: self.at + line.len() + 1, hits }))
    }

    /// The opener of another traceback, where the next lines chain it to one as Python does: a blank line, the words, a blank
    /// line, none of them hit.
    fn chained(&self, region: &Region<'_>) -> Option<Next<'a>> {
        let mut next = *self;
        for is_expected in [<[u8]>::is_empty, stack::is_chaining, <[u8]>::is_empty] {
            let (line, here, after) = next.taken(region)?;
            next = Some(after).filter(|_| is_expected(line) && here.is_empty())?;
        }
        stack::is_python(next.line(region)?).then_some(next)
    }

    /// The next line. None at the end of the region, and where what is seen of it is not all of it, as it stands there.
    fn line<'t>(&self, region: &Region<'t>) -> Option<&'t [u8]> {
        let (end, plain) = line_end(region.text, self.at);
        let line = region.text.get(self.at..end)?;
        (plain && self.at < region.text.len() && line.len() <= MAX_LINE).then_some(line)
    }
}

/// Has the text around the next hit brought near meanwhile.
fn expect_line(text: &[u8], hits: &[Hit]) {
    let Some(hit) = hits.first() else { return };
    let at = hit.at as usize;
    for soon in [at.saturating_sub(CACHE_LINE), at, at + CACHE_LINE] {
        text.get(soon).into_iter().for_each(fetch);
    }
}

/// From where to where the line goes on which the next hit is, one that begins at `from` or behind it, and whether no escape
/// sequence is in it.
fn line_around(text: &[u8], from: usize, hit: usize) -> (usize, usize, bool) {
    // A literal that begins with a line's end is hit before the line.
    let hit = hit.max(from);
    let before = text.get(from..hit).unwrap_or_default();
    let (end, plain) = line_end(text, hit);
    match memrchr2(b'\n', ESC, before) {
        Some(stop) if before.get(stop) == Some(&ESC) => {
            (from + memrchr(b'\n', before).map_or(0, |newline| newline + 1), end, false)
        }
        stop => (from + stop.map_or(0, |newline| newline + 1), end, plain),
    }
}

/// Where the line at a position ends, and whether no escape sequence is in it.
fn line_end(text: &[u8], at: usize) -> (usize, bool) {
    let rest = text.get(at..).unwrap_or_default();
    match memchr2(b'\n', ESC, rest) {
        Some(stop) if rest.get(stop) == Some(&ESC) => (at + memchr(b'\n', rest).unwrap_or(rest.len()), false),
        stop => (at + stop.unwrap_or(rest.len()), true),
    }
}
