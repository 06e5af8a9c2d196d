//! Signatures, compiled: which of them a line matches. Stems first, the exact pattern only where a stem was seen.
//!
//! Pure. Not here: lines, files, events.

use super::access;
use super::literals::{self, Digits, Required};
use super::stems::{Hit, Stems};
use crate::config::{Signature, SignatureOrigin};
use crate::model::Severity;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::Hir;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

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
    /// Stems at which a stack trace may begin.
    openers: Vec<String>,
    // Built when there is something to search: a pass with nothing new costs nothing.
    index: OnceCell<Index>,
}

/// What finds the signatures that a line may match.
#[derive(Debug)]
struct Index {
    /// Stems of signatures, openers of stack traces, statuses of access logs. `None` where every line is tried.
    stems: Option<Stems>,
    /// By stem.
    meanings: Vec<Meaning>,
    /// Signatures without stems: tried on every line.
    always: Vec<SigId>,
    /// Signatures to which the values of digits matter on every line.
    digital: Vec<SigId>,
    /// By signature.
    exact: Vec<bool>,
}

/// What a stem says of the line it stands on.
#[derive(Debug, Default)]
struct Meaning {
    /// These signatures may match.
    owners: Vec<SigId>,
    /// These match wherever it stands.
    exact: bool,
    /// The values of digits matter to these.
    digital: Vec<SigId>,
    /// A stack trace may begin there.
    opens: bool,
}

#[derive(Debug)]
struct Compiled {
    name: String,
    category: String,
    severity: Severity,
    pattern: String,
    ignore: Option<String>,
    /// Its pattern is ASCII, and of an access log line it sees the status spelled out.
    built_in: bool,
    // Compiled when first needed: most signatures never are in a pass.
    regex: OnceCell<Option<Regex>>,
    ignore_regex: OnceCell<Option<Regex>>,
}

/// Compiles a pattern. The classes of Unicode make it many times slower to compile, and slower to search with.
///
/// # Errors
/// When it is no pattern, or too large.
pub fn compile(pattern: &str, unicode: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(unicode).size_limit(SIZE_LIMIT).dfa_size_limit(DFA_LIMIT).build()
}

/// What of a line a signature matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matched {
    /// This part, whatever else is in the line.
    Part(Range<usize>),
    /// The line as it is.
    Line,
}

impl Compiled {
    fn matches(&self, text: &[u8]) -> bool {
        let is_match = |regex: &Regex| regex.is_match(text);
        let regex = self.compiled(&self.regex, &self.pattern);
        regex.is_some_and(is_match)
            && !self.ignore.as_ref().and_then(|p| self.compiled(&self.ignore_regex, p)).is_some_and(is_match)
    }

    fn compiled<'c>(&self, cell: &'c OnceCell<Option<Regex>>, pattern: &str) -> Option<&'c Regex> {
        cell.get_or_init(|| compile(pattern, !self.built_in).ok()).as_ref()
    }

    /// What its pattern requires, and on which lines the values of digits matter to it.
    fn literals(&self) -> (Option<Required>, Digits) {
        let syntax = |pattern: &String| literals::syntax(pattern, !self.built_in);
        let Some(pattern) = syntax(&self.pattern) else { return (None, Digits::Matter) };
        let required = literals::required(&pattern).map(|r| Required { exact: r.exact && self.ignore.is_none(), ..r });
        let of = |syntax: Option<Hir>| syntax.map_or(Digits::Matter, |hir| literals::digits(&hir));
        let ignored = self.ignore.as_ref().map_or(Digits::With(Vec::new()), |pattern| of(syntax(pattern)));
        let digits = match (literals::digits(&pattern), ignored) {
            (Digits::With(mut stems), Digits::With(more)) => {
                stems.extend(more);
                Digits::With(stems)
            }
            _ => Digits::Matter,
        };
        (required, digits)
    }
}

impl SignatureSet {
    /// Takes the signatures of a configuration; at one of the `openers` a stack trace may begin.
    pub fn new(signatures: &[Signature], openers: &[&str]) -> SignatureSet {
        SignatureSet {
            signatures: signatures.iter().map(Compiled::from).collect(),
            openers: openers.iter().map(|s| (*s).to_owned()).collect(),
            index: OnceCell::new(),
        }
    }

    /// What finds signatures; built for texts like the first one that is searched.
    fn index(&self, text: &[u8]) -> &Index {
        self.index.get_or_init(|| Index::new(&self.signatures, &self.openers, text))
    }

    /// Where lines worth a look are hit in a text.
    pub fn hits(&self, text: &[u8], hits: &mut Vec<Hit>) {
        match &self.index(text).stems {
            Some(stems) => stems.find(text, hits),
            None => hits.clear(),
        }
    }

    /// Whether every line must be looked at, because a signature has no stem.
    pub fn needs_every_line(&self) -> bool {
        !self.index(&[]).always.is_empty()
    }

    /// Whether a stack trace may begin on a line with these hits.
    pub fn may_open(&self, hits: &[Hit]) -> bool {
        let index = self.index(&[]);
        index.stems.is_none() || hits.iter().any(|hit| index.meaning(*hit).is_some_and(|m| m.opens))
    }

    /// Whether a line with these hits, which is none of an access log, matches nothing: all they say is that a stack trace may
    /// begin on it.
    pub fn only_open(&self, hits: &[Hit]) -> bool {
        let index = self.index(&[]);
        let only_opens = |hit: &Hit| index.meaning(*hit).is_some_and(|m| m.opens && m.owners.is_empty());
        index.stems.is_some() && index.always.is_empty() && hits.iter().all(only_opens)
    }

    /// Names of signatures that are tried on every line because their pattern holds no literal to search for.
    pub fn without_stems(&self) -> impl Iterator<Item = &str> {
        self.index(&[]).always.iter().map(|id| self.name(*id))
    }

    /// The signatures that a line matches, in their order.
    pub fn matches(&self, line: &[u8]) -> Vec<SigId> {
        let (mut hits, mut found) = (Vec::new(), Vec::new());
        self.hits(line, &mut hits);
        self.matches_of(line, &hits, &mut found);
        found
    }

    /// The same for a line whose hits are known.
    pub fn matches_of(&self, line: &[u8], hits: &[Hit], found: &mut Vec<SigId>) {
        self.candidates(hits, found);
        match access::judged(line) {
            _ if hits.is_empty() && found.is_empty() => {}
            Some(judged) => self.matches_of_judged(&judged, found),
            None => found.retain(|id| self.is_match(*id, line)),
        }
    }

    /// The signatures that a line with these hits may match, in their order.
    pub fn candidates(&self, hits: &[Hit], found: &mut Vec<SigId>) {
        let index = self.index(&[]);
        found.clear();
        found.extend_from_slice(&index.always);
        index.collect(hits, |meaning| &meaning.owners, found);
        found.sort_unstable();
    }

    /// Whether a line with these hits matches all that it may match.
    pub fn are_exact(&self, hits: &[Hit]) -> bool {
        let index = self.index(&[]);
        index.always.is_empty() && hits.iter().all(|hit| index.meaning(*hit).is_none_or(|meaning| meaning.exact))
    }

    /// Whether the values of the digits matter to any signature in a line with these hits.
    pub fn is_any_digital(&self, hits: &[Hit]) -> bool {
        let index = self.index(&[]);
        let is_digital = |hit: &Hit| index.meaning(*hit).is_some_and(|meaning| !meaning.digital.is_empty());
        !index.digital.is_empty() || hits.iter().any(is_digital)
    }

    /// The signatures to which the values of the digits matter in a line with these hits.
    pub fn digital(&self, hits: &[Hit], found: &mut Vec<SigId>) {
        let index = self.index(&[]);
        found.clear();
        found.extend_from_slice(&index.digital);
        index.collect(hits, |meaning| &meaning.digital, found);
    }

    /// The first of these hits that makes a signature a candidate.
    pub fn hit_of(&self, id: SigId, hits: &[Hit]) -> Option<Hit> {
        let index = self.index(&[]);
        hits.iter().copied().find(|hit| index.meaning(*hit).is_some_and(|meaning| meaning.owners.contains(&id)))
    }

    /// Whether it matches every line on which it is a candidate.
    pub fn is_exact(&self, id: SigId) -> bool {
        self.index(&[]).exact.get(usize::from(id)).copied().unwrap_or(false)
    }

    /// Whether a line, which is none of an access log, matches a signature that it may match.
    pub fn is_match(&self, id: SigId, line: &[u8]) -> bool {
        self.is_exact(id) || self.get(id).is_some_and(|signature| signature.matches(line))
    }

    /// What of a line, which is none of an access log, a signature matches. None where it does not.
    pub fn find(&self, id: SigId, line: &[u8]) -> Option<Matched> {
        let signature = self.get(id)?;
        if signature.ignore.is_some() {
            return signature.matches(line).then_some(Matched::Line);
        }
        let part = signature.compiled(&signature.regex, &signature.pattern)?.find(line)?;
        Some(Matched::Part(part.range()))
    }

    /// Leaves, and adds, what an access log line matches.
    pub fn matches_of_judged(&self, judged: &access::Judged, found: &mut Vec<SigId>) {
        let mut hits = Vec::new();
        self.hits(judged.with_status(), &mut hits);
        self.index(&[]).collect(&hits, |meaning| &meaning.owners, found);
        found.sort_unstable();
        found.retain(|id| match self.get(*id) {
            Some(signature) if signature.built_in => signature.matches(judged.with_status()),
            Some(signature) => signature.matches(judged.fields()),
            None => false,
        });
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
    fn new(signatures: &[Compiled], openers: &[String], sample: &[u8]) -> Index {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut meanings: Vec<Meaning> = Vec::new();
        let mut always = Vec::new();
        let mut digital = Vec::new();
        let mut exact = Vec::new();
        let mut meaning = |stem: Vec<u8>, note: &dyn Fn(&mut Meaning)| {
            let at = *known.entry(stem).or_insert_with_key(|stem| {
                texts.push(stem.clone());
                meanings.push(Meaning::default());
                texts.len() - 1
            });
            meanings.get_mut(at).into_iter().for_each(note);
        };
        for (id, signature) in (0..SigId::MAX).zip(signatures) {
            let (required, digits) = signature.literals();
            exact.push(required.as_ref().is_some_and(|r| r.exact));
            match required {
                Some(required) => required.stems.into_iter().for_each(|stem| meaning(stem, &|m| m.owners.push(id))),
                None => always.push(id),
            }
            match digits {
                Digits::With(stems) => stems.into_iter().for_each(|stem| meaning(stem, &|m| m.digital.push(id))),
                Digits::Matter => digital.push(id),
            }
        }
        openers.iter().for_each(|opener| meaning(opener.clone().into_bytes(), &|m| m.opens = true));
        if signatures.iter().any(|s| s.built_in) {
            access::STEMS.iter().for_each(|stem| meaning(stem.as_bytes().to_vec(), &|_| {}));
        }
        let stems = Stems::new(texts, sample).ok();
        if stems.is_none() {
            always = (0..SigId::MAX).zip(signatures).map(|(id, _)| id).collect();
            digital.clone_from(&always);
            exact.fill(false);
        }
        let is_exact = |id: &SigId| exact.get(usize::from(*id)).copied().unwrap_or(false);
        for meaning in &mut meanings {
            meaning.exact = meaning.owners.iter().all(is_exact);
        }
        Index { stems, meanings, always, digital, exact }
    }

    fn meaning(&self, hit: Hit) -> Option<&Meaning> {
        self.meanings.get(usize::from(hit.stem))
    }

    /// Adds what the stems of these hits mean.
    fn collect(&self, hits: &[Hit], of: impl Fn(&Meaning) -> &Vec<SigId>, found: &mut Vec<SigId>) {
        for id in hits.iter().filter_map(|hit| self.meaning(*hit)).flat_map(of) {
            if !found.contains(id) {
                found.push(*id);
            }
        }
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
            built_in: s.origin == SignatureOrigin::BuiltIn,
            regex: OnceCell::new(),
            ignore_regex: OnceCell::new(),
        }
    }
}
