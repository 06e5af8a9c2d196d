//! Signatures, compiled: which of them a line matches. Stems first, the exact pattern only where a stem was seen.
//!
//! Pure. Not here: lines, files, events.

use super::{access, literals};
use crate::config::Signature;
use crate::model::Severity;
use aho_corasick::{AhoCorasick, MatchKind, packed};
use regex::bytes::{Regex, RegexBuilder};
use std::cell::OnceCell;

/// A compiled pattern may not need more than this, in bytes.
const SIZE_LIMIT: usize = 4 << 20;
/// The lazy automaton of one pattern, in bytes; a pattern that needs more is searched without it, still in linear time.
const DFA_LIMIT: usize = 512 << 10;

/// Index of a signature in its set.
pub type SigId = u16;

/// All signatures of a configuration, ready to search.
#[derive(Debug)]
pub struct SignatureSet {
    signatures: Vec<Compiled>,
    /// Stems at which the scanner must stop besides.
    extra: Vec<String>,
    // Built when there is something to search: a pass with nothing new costs nothing.
    index: OnceCell<Index>,
}

/// What finds the signatures that a line may match.
#[derive(Debug)]
struct Index {
    /// All stems, by index; the automaton finds overlapping ones. `None` where every line is tried.
    stems: Option<AhoCorasick>,
    /// Which signatures a stem belongs to, by its index.
    owners: Vec<Vec<SigId>>,
    /// Signatures without stems: tried on every line.
    always: Vec<SigId>,
    /// Finds lines worth a look in a whole buffer: stems of signatures, openers of stack traces, access log lines.
    hits: Hits,
}

#[derive(Debug)]
enum Hits {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
    /// Every line is worth a look.
    EveryLine,
}

#[derive(Debug)]
struct Compiled {
    name: String,
    category: String,
    severity: Severity,
    pattern: String,
    ignore: Option<String>,
    // Compiled when first needed: most signatures never are in a pass.
    regex: OnceCell<Option<Regex>>,
    ignore_regex: OnceCell<Option<Regex>>,
}

fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).dfa_size_limit(DFA_LIMIT).build().ok()
}

impl Compiled {
    fn matches(&self, text: &[u8]) -> bool {
        let hit = |cell: &OnceCell<Option<Regex>>, pattern: &str| {
            cell.get_or_init(|| compile(pattern)).as_ref().is_some_and(|r| r.is_match(text))
        };
        hit(&self.regex, &self.pattern) && !self.ignore.as_ref().is_some_and(|p| hit(&self.ignore_regex, p))
    }
}

impl SignatureSet {
    /// Takes the signatures of a configuration; `extra` are stems at which the scanner must stop besides.
    pub fn new(signatures: &[Signature], extra: &[&str]) -> SignatureSet {
        SignatureSet {
            signatures: signatures.iter().map(Compiled::from).collect(),
            extra: extra.iter().map(|s| (*s).to_owned()).collect(),
            index: OnceCell::new(),
        }
    }

    fn index(&self) -> &Index {
        let every_line = || Index {
            stems: None,
            owners: Vec::new(),
            always: (0..SigId::MAX).zip(&self.signatures).map(|(id, _)| id).collect(),
            hits: Hits::EveryLine,
        };
        self.index.get_or_init(|| Index::new(&self.signatures, &self.extra).unwrap_or_else(|_| every_line()))
    }

    /// Where the next line worth a look is hit, at or after `from`.
    pub fn next_hit(&self, text: &[u8], from: usize) -> Option<usize> {
        let span = aho_corasick::Span::from(from..text.len());
        match &self.index().hits {
            Hits::Packed(searcher) => searcher.find_in(text, span).map(|m| m.start()),
            Hits::EveryLine => (from < text.len()).then_some(from),
            Hits::Automaton(automaton) => automaton.find(aho_corasick::Input::new(text).span(span)).map(|m| m.start()),
        }
    }

    /// Whether every line must be looked at, because a signature has no stem.
    pub fn needs_every_line(&self) -> bool {
        !self.index().always.is_empty()
    }

    /// Names of signatures that are tried on every line because their pattern holds no literal to search for.
    pub fn without_stems(&self) -> impl Iterator<Item = &str> {
        self.index().always.iter().map(|id| self.name(*id))
    }

    /// The signatures that a line matches, in their order.
    pub fn matches(&self, line: &[u8]) -> Vec<SigId> {
        let judged = access::judged(line);
        let text = judged.as_deref().unwrap_or(line);
        let index = self.index();
        let mut found = index.always.clone();
        for hit in index.stems.iter().flat_map(|stems| stems.find_overlapping_iter(text)) {
            if let Some(owners) = index.owners.get(hit.pattern().as_usize()) {
                found.extend(owners.iter().filter(|id| !found.contains(id)).copied().collect::<Vec<_>>());
            }
            if found.len() == self.signatures.len() {
                break;
            }
        }
        found.retain(|id| self.get(*id).is_some_and(|s| s.matches(text)));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.signatures.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }

    /// The name of a signature; empty for an id of another set.
    pub fn name(&self, id: SigId) -> &str {
        self.get(id).map_or("", |s| &s.name)
    }

    /// The id of a name.
    pub fn id(&self, name: &str) -> Option<SigId> {
        (0..).zip(&self.signatures).find(|(_, s)| s.name == name).map(|(id, _)| id)
    }

    /// Category and severity of an event that matched these: those of the worst, the first of equals.
    pub fn verdict(&self, ids: &[SigId]) -> (String, Severity) {
        let mut worst: Option<&Compiled> = None;
        for signature in ids.iter().filter_map(|id| self.get(*id)) {
            if worst.is_none_or(|w| signature.severity > w.severity) {
                worst = Some(signature);
            }
        }
        worst.map_or((String::new(), Severity::Warning), |w| (w.category.clone(), w.severity))
    }

    fn get(&self, id: SigId) -> Option<&Compiled> {
        self.signatures.get(usize::from(id))
    }
}

impl Index {
    /// # Errors
    /// When there are so many stems that their automaton cannot be built.
    fn new(signatures: &[Compiled], extra: &[String]) -> anyhow::Result<Index> {
        let mut stems: Vec<Vec<u8>> = Vec::new();
        let mut owners: Vec<Vec<SigId>> = Vec::new();
        let mut always = Vec::new();
        for (id, signature) in (0..SigId::MAX).zip(signatures) {
            let Some(required) = literals::required(&signature.pattern) else {
                always.push(id);
                continue;
            };
            for stem in required {
                match stems.iter().position(|s| *s == stem).and_then(|at| owners.get_mut(at)) {
                    Some(of) if of.last() == Some(&id) => {}
                    Some(of) => of.push(id),
                    None => {
                        stems.push(stem);
                        owners.push(vec![id]);
                    }
                }
            }
        }
        let stop: Vec<&[u8]> = stems
            .iter()
            .map(Vec::as_slice)
            .chain(extra.iter().map(String::as_bytes))
            .chain(access::STEMS.iter().map(|s| s.as_bytes()))
            .collect();
        Ok(Index {
            hits: Hits::new(&stop)?,
            stems: Some(AhoCorasick::builder().match_kind(MatchKind::Standard).build(&stems)?),
            owners,
            always,
        })
    }
}

impl From<&Signature> for Compiled {
    fn from(s: &Signature) -> Compiled {
        Compiled {
            name: s.name.clone(),
            category: s.category.clone(),
            severity: s.severity,
            pattern: s.pattern.clone(),
            ignore: s.ignore.clone(),
            regex: OnceCell::new(),
            ignore_regex: OnceCell::new(),
        }
    }
}

impl Hits {
    fn new(stems: &[&[u8]]) -> anyhow::Result<Hits> {
        // A stem inside of another one finds all that the longer one would.
        let contained = |a: &[u8], b: &[u8]| a.len() < b.len() && memchr::memmem::find(b, a).is_some();
        let mut minimal: Vec<&[u8]> =
            stems.iter().copied().filter(|s| !stems.iter().any(|other| contained(other, s))).collect();
        minimal.sort_unstable();
        minimal.dedup();
        let packed = packed::Config::new().builder().extend(&minimal).build();
        Ok(match packed {
            Some(searcher) => Hits::Packed(searcher),
            None => Hits::Automaton(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostFirst)
                    .kind(Some(aho_corasick::AhoCorasickKind::DFA))
                    .build(&minimal)?,
            ),
        })
    }
}
