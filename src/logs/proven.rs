//! Signatures that match a line because they matched another one: the same text stands there, with the same bytes around it.
//!
//! What a pattern asks of the text around a match (a beginning, an end, that of a word) does not go beyond one character. So
//! what matched there matches here, whatever else is in the line. Only of signatures that have a stem, by which the place is
//! found, and nothing that they ignore, which could be anywhere. Pure.

use super::shape::{Memo, Shapes};
use super::signature::{Matched, SigId, SignatureSet};
use super::stems::Hit;

/// Bytes of the longest character.
const AROUND: usize = 4;

/// What was matched before.
#[derive(Default)]
pub struct Proven {
    shapes: Shapes,
    /// By signature and stem: where what was matched last begins and ends, from where the stem begins.
    parts: Memo<(i32, i32)>,
    /// What was matched, and stood around it.
    texts: Memo<()>,
}

impl Proven {
    /// Whether a line, which is none of an access log, matches a signature that it may match. It begins at a position of the
    /// text in which these are its hits.
    pub fn is_match(&mut self, set: &SignatureSet, id: SigId, line: &[u8], (at, hits): (usize, &[Hit])) -> bool {
        if set.is_exact(id) {
            return true;
        }
        let hit =
            set.hit_of(id, hits).and_then(|hit| Some((hit, i32::try_from((hit.at as usize).checked_sub(at)?).ok()?)));
        let Some((hit, stem_at)) = hit else { return set.find(id, line).is_some() };
        let key = (u64::from(id) << u16::BITS | u64::from(hit.stem)) << 1;
        let text = |(before, behind): (i32, i32)| {
            let (from, to) = (usize::try_from(stem_at + before).ok()?, usize::try_from(stem_at + behind).ok()?);
            let (first, last) = (from.saturating_sub(AROUND), line.len().min(to + AROUND));
            // How far the line goes on says whether it begins or ends there.
            let place = (from - first) * (AROUND + 1) + last.checked_sub(to)?;
            Some(self.shapes.exactly(key << u8::BITS | place as u64, line.get(first..last)?))
        };
        if self.parts.get(key).and_then(text).is_some_and(|text| self.texts.get(text).is_some()) {
            return true;
        }
        let found = set.find(id, line);
        if let Some(Matched::Part(part)) = &found
            && let (Ok(from), Ok(to)) = (i32::try_from(part.start), i32::try_from(part.end))
            && let Some(text) = text((from - stem_at, to - stem_at))
        {
            self.parts.put(key, (from - stem_at, to - stem_at));
            self.texts.put(text, ());
        }
        found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Signature, SignatureOrigin};
    use proptest::prelude::*;

    fn set(patterns: &[(&str, Option<&str>)]) -> SignatureSet {
        let signature = |(pattern, ignore): &(&str, Option<&str>)| Signature {
            name: (*pattern).to_owned(),
            pattern: (*pattern).to_owned(),
            ignore: ignore.map(str::to_owned),
            origin: SignatureOrigin::Operator,
            ..crate::config::builtin_signatures().remove(0)
        };
        SignatureSet::new(&patterns.iter().map(signature).collect::<Vec<_>>(), &[])
    }

    proptest! {
        #[test]
        fn what_was_proven_of_a_line_is_so_of_another_one(
            lines in prop::collection::vec("([12]{3}[a1 ]{0,3}|\\PC{0,2})(err 1[123]|err |Err1)([12 ]{0,4}|\\PC{0,2})", 1..60),
        ) {
            let patterns = [
                (r"\berr 1", None), (r"\b1+[^1]*err", None), ("err 1[12]$", None), ("^2.*err.?1", None), (r"err 1?2\b", Some("11")),
                (r"(err|Err).*?\b1", None), (r"err \B", None), (r"(?-u:\b)err.$", None), (r"(?m)err.?$", None), (r"err.{0,2}1{1,2}(\b|2)", None),
            ];
            let set = set(&patterns);
            let (mut proven, mut hits) = (Proven::default(), Vec::new());
            let text = lines.join("\n");
            let mut at = 0;
            for line in lines.iter().map(|line| line.as_bytes()) {
                set.hits(&text.as_bytes()[at..at + line.len()], &mut hits);
                hits.iter_mut().for_each(|hit| hit.at += at as u32);
                for id in (0..patterns.len() as SigId).filter(|id| set.hit_of(*id, &hits).is_some()) {
                    prop_assert_eq!(proven.is_match(&set, id, line, (at, &hits)), set.is_match(id, line), "{} in {}", set.name(id), String::from_utf8_lossy(line));
                }
                at += line.len() + 1;
            }
        }
    }
}
