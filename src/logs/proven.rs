//! Signatures that match a line because they matched one like it: a line of the same shape with the same text where that
//! one was matched.
//!
//! The lines are equal but for the values of digits, and these are the same in what was matched. What a pattern asks of the
//! text around it (its beginning or end, that of a line, of a word) does not depend on them. Pure.

use super::shape::{Memo, Shapes, folded_product};
use super::signature::{Matched, SigId, SignatureSet};
use super::spread::spread;

/// What was matched before.
#[derive(Default)]
pub struct Proven {
    shapes: Shapes,
    /// Where a signature matched last in a line of a shape.
    parts: Memo<(u32, u32)>,
    /// What it matched there.
    texts: Memo<()>,
}

impl Proven {
    /// Whether a line of this shape, which is none of an access log, matches a signature that it may match.
    pub fn is_match(&mut self, set: &SignatureSet, id: SigId, shape: u64, line: &[u8]) -> bool {
        if set.is_exact(id) {
            return true;
        }
        let key = folded_product(shape, spread(u64::from(id) + 1));
        let text = |(from, to): (u32, u32)| {
            let part = line.get(from as usize..to as usize)?;
            Some(self.shapes.exactly(key ^ u64::from(from), part))
        };
        if self.parts.get(key).and_then(text).is_some_and(|text| self.texts.get(text).is_some()) {
            return true;
        }
        let found = set.find(id, line);
        if let Some(Matched::Part(part)) = &found
            && let (Ok(from), Ok(to)) = (part.start.try_into(), part.end.try_into())
            && let Some(text) = text((from, to))
        {
            self.parts.put(key, (from, to));
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
        fn what_was_proven_of_a_line_is_so_of_another_one(lines in prop::collection::vec("[12]{3}[a1 ]{0,3}(err 1[123]|err )[12 ]{0,4}", 1..60)) {
            let patterns = [
                ("err 1", None), (r"\b1+[^1]*err", None), ("1[12]$", None), ("^2.*(err|1).?1", None), (r"2\b", Some("11")), (r"err.*?\b1", None),
            ];
            let set = set(&patterns);
            let (mut proven, shapes) = (Proven::default(), Shapes::default());
            for line in &lines {
                let line = line.as_bytes();
                for id in 0..patterns.len() as SigId {
                    prop_assert_eq!(proven.is_match(&set, id, shapes.of(line), line), set.is_match(id, line));
                }
            }
        }
    }
}
