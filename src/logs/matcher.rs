//! Which signatures the lines of a log match, one after the other: most lines that are hit differ from one seen before in
//! the values of digits alone, and what that one matched is remembered.
//!
//! Pure. Not here: what a signature is and matches (`signature`).

use super::access::{self, Judged};
use super::event;
use super::group;
use super::proven::Proven;
use super::shape::{Memo, Shapes};
use super::signature::{SigId, SignatureSet};
use super::stack::{Part, Stack};
use super::stems::Hit;
use memchr::memchr;

/// Different sets of signatures that are remembered.
const MAX_SETS: usize = 1 << 10;
/// Of so many lines with hexadecimal numbers one is remembered: most have a shape that never comes again, and what learning it
/// costs is more than it spares.
const LEARNED_OF_MIXED: u32 = 8;

/// Matches lines.
pub struct Matcher<'s> {
    set: &'s SignatureSet,
    shapes: Shapes,
    known: Memo<Known>,
    sets: Sets,
    proven: Proven,
    /// Lines with hexadecimal numbers, of a shape that was not known.
    mixed: u32,
    // Kept for its memory.
    digital: Vec<SigId>,
}

/// What one line said of all that have its shape. A signature that is in neither set matches none of them, wherever the
/// values of digits do not matter to it.
#[derive(Debug, Clone, Copy)]
struct Known {
    matched: SetId,
    /// The values of digits mattered to these.
    unsure: SetId,
    traits: Traits,
}

/// What is the same for all lines of one shape.
#[derive(Debug, Clone, Copy)]
struct Traits {
    /// It may be one of an access log.
    quoted: bool,
    /// It is kept as it stands, and its shape as a title is that of its text.
    plain: bool,
    /// It says what went wrong, behind the frames of a Python traceback.
    exception: bool,
}

impl Traits {
    fn of(line: &[u8]) -> Traits {
        let plain = event::kept(line).len() == line.len() && group::is_plain(line);
        Traits { quoted: memchr(b'"', line).is_some(), plain, exception: is_exception(line) }
    }
}

fn is_exception(line: &[u8]) -> bool {
    Stack::PythonFrames.offer(line) == Part::Title(Stack::PythonMessage(0))
}

/// What was seen of a line besides its signatures.
#[derive(Debug, Clone, Copy)]
pub struct Looked {
    /// The shape that it has as the title of an event. None where that takes a closer look.
    pub title_shape: Option<u64>,
    /// It says what went wrong, behind the frames of a Python traceback without a prefix.
    pub exception: bool,
}

impl<'s> Matcher<'s> {
    pub fn new(set: &'s SignatureSet) -> Matcher<'s> {
        let (shapes, known, sets) = (Shapes::default(), Memo::default(), Sets::default());
        Matcher { set, shapes, known, sets, proven: Proven::default(), mixed: 0, digital: Vec::new() }
    }

    /// The shape of a line that is to be matched. What is known of it is brought near meanwhile.
    pub fn expect(&self, line: &[u8]) -> u64 {
        let shape = self.shapes.of(line);
        self.known.expect(shape);
        shape
    }

    /// The signatures that a line of a shape matches, in their order. It begins at a position of the text in which these are its
    /// hits.
    pub fn matches_of(
        &mut self,
        (line, shape): (&[u8], u64),
        (at, hits): (usize, &[Hit]),
        found: &mut Vec<SigId>,
    ) -> Looked {
        let known = self.known.get(shape);
        let traits = match known {
            Some(known) => known.traits,
            None if self.is_worth_learning(line) => Traits::of(line),
            None => return self.matches_of_mixed(line, (at, hits), found),
        };
        if let Some(judged) = Some(line).filter(|_| traits.quoted).and_then(access::judged) {
            self.matches_of_judged(&judged, hits, found);
        } else if let Some(known) = known {
            self.matches_of_known(known, line, (at, hits), found);
        } else {
            self.learn(shape, traits, line, (at, hits), found);
        }
        Looked { title_shape: traits.plain.then_some(shape), exception: traits.exception }
    }

    fn matches_of_judged(&self, judged: &Judged, hits: &[Hit], found: &mut Vec<SigId>) {
        self.set.candidates(hits, found);
        self.set.matches_of_judged(judged, found);
    }

    fn is_worth_learning(&mut self, line: &[u8]) -> bool {
        if group::is_plain(line) {
            return true;
        }
        self.mixed = self.mixed.wrapping_add(1);
        self.mixed.is_multiple_of(LEARNED_OF_MIXED)
    }

    /// The same of a line with hexadecimal numbers, which is not remembered.
    fn matches_of_mixed(&mut self, line: &[u8], (at, hits): (usize, &[Hit]), found: &mut Vec<SigId>) -> Looked {
        let (set, proven) = (self.set, &mut self.proven);
        if let Some(judged) = access::judged(line) {
            self.matches_of_judged(&judged, hits, found);
        } else {
            set.candidates(hits, found);
            if !set.are_exact(hits) {
                found.retain(|id| proven.is_match(set, *id, line, (at, hits)));
            }
        }
        let is_kept = event::kept(line).len() == line.len();
        let title_shape = is_kept.then(|| group::shape_of_mixed(&self.shapes, line));
        Looked { title_shape, exception: is_exception(line) }
    }

    fn matches_of_known(&mut self, known: Known, line: &[u8], (at, hits): (usize, &[Hit]), found: &mut Vec<SigId>) {
        let set = self.set;
        let (matched, unsure) = (self.sets.get(known.matched), self.sets.get(known.unsure));
        if unsure.is_empty() && !set.is_any_digital(hits) {
            found.clear();
            append(found, matched);
            return;
        }
        set.candidates(hits, found);
        if set.are_exact(hits) {
            return;
        }
        set.digital(hits, &mut self.digital);
        let (digital, proven) = (&self.digital, &mut self.proven);
        found.retain(|id| match unsure.contains(id) || digital.contains(id) {
            true => proven.is_match(set, *id, line, (at, hits)),
            false => matched.contains(id),
        });
    }

    fn learn(&mut self, shape: u64, traits: Traits, line: &[u8], (at, hits): (usize, &[Hit]), found: &mut Vec<SigId>) {
        let set = self.set;
        set.digital(hits, &mut self.digital);
        let (digital, proven) = (&self.digital, &mut self.proven);
        set.candidates(hits, found);
        let unsure = self.sets.id(found.iter().filter(|id| digital.contains(id)));
        found.retain(|id| proven.is_match(set, *id, line, (at, hits)));
        let matched = self.sets.id(found.iter().filter(|id| !digital.contains(id)));
        if let (Some(matched), Some(unsure)) = (matched, unsure) {
            self.known.put(shape, Known { matched, unsure, traits });
        }
    }
}

/// Adds a few signatures: mostly it is one, and copying that by a call costs more than all the rest.
pub fn append(found: &mut Vec<SigId>, more: &[SigId]) {
    match more {
        [] => {}
        [one] => found.push(*one),
        more => found.extend_from_slice(more),
    }
}

/// Sets of signatures, each kept once.
#[derive(Debug, Default)]
struct Sets(Vec<Vec<SigId>>);

/// Index of a set.
type SetId = u16;

impl Sets {
    fn get(&self, id: SetId) -> &[SigId] {
        self.0.get(usize::from(id)).map_or(&[], Vec::as_slice)
    }

    /// None when there are too many.
    fn id<'a>(&mut self, of: impl Iterator<Item = &'a SigId> + Clone) -> Option<SetId> {
        let is_same = |set: &Vec<SigId>| set.iter().eq(of.clone());
        let at = self.0.iter().position(is_same).unwrap_or(self.0.len());
        if at == self.0.len() {
            if at >= MAX_SETS {
                return None;
            }
            self.0.push(of.copied().collect());
        }
        SetId::try_from(at).ok()
    }
}
