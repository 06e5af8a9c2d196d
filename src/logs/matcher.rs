//! Which signatures the lines of a log match, one after the other: most lines that are hit differ from one seen before in
//! the values of digits alone, and what that one matched is remembered.
//!
//! Pure. Not here: what a signature is and matches (`signature`).

use super::access;
use super::shape::{Memo, Shapes};
use super::signature::{SigId, SignatureSet};
use super::stems::Hit;

/// Different sets of signatures that are remembered.
const MAX_SETS: usize = 1 << 10;

/// Matches lines.
pub struct Matcher<'s> {
    set: &'s SignatureSet,
    shapes: Shapes,
    known: Memo<Known>,
    sets: Sets,
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
}

impl<'s> Matcher<'s> {
    pub fn new(set: &'s SignatureSet) -> Matcher<'s> {
        let (shapes, known, sets) = (Shapes::default(), Memo::default(), Sets::default());
        Matcher { set, shapes, known, sets, digital: Vec::new() }
    }

    /// The signatures that a line with these hits matches, in their order.
    pub fn matches_of(&mut self, line: &[u8], hits: &[Hit], found: &mut Vec<SigId>) {
        if let Some(judged) = access::judged(line) {
            self.set.candidates(hits, found);
            self.set.matches_of_judged(&judged, found);
        } else if self.set.are_exact(hits) {
            self.set.candidates(hits, found);
        } else {
            self.matches_of_shape(line, hits, found);
        }
    }

    fn matches_of_shape(&mut self, line: &[u8], hits: &[Hit], found: &mut Vec<SigId>) {
        self.set.digital(hits, &mut self.digital);
        let (set, digital) = (self.set, &self.digital);
        let shape = self.shapes.of(line);
        if let Some(Known { matched, unsure }) = self.known.get(shape) {
            let (matched, unsure) = (self.sets.get(matched), self.sets.get(unsure));
            if unsure.is_empty() && digital.is_empty() {
                found.clear();
                found.extend_from_slice(matched);
                return;
            }
            set.candidates(hits, found);
            found.retain(|id| {
                if unsure.contains(id) || digital.contains(id) { set.is_match(*id, line) } else { matched.contains(id) }
            });
            return;
        }
        set.candidates(hits, found);
        let unsure = self.sets.id(found.iter().filter(|id| digital.contains(id)));
        found.retain(|id| set.is_match(*id, line));
        let matched = self.sets.id(found.iter().filter(|id| !digital.contains(id)));
        if let (Some(matched), Some(unsure)) = (matched, unsure) {
            self.known.put(shape, Known { matched, unsure });
        }
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
