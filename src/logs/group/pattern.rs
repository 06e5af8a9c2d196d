//! The second stage of grouping: when a place in otherwise equal templates is a variable.
//!
//! Pure. A template becomes a [`Pattern`]: one number per word. Templates that are equal but for one word share the
//! [`Pattern::context`] of that word; what was seen in its place is a [`Slot`], and the slot decides. Words that say what
//! happened are never variables, and what is seen there has to be many, the more so the less around it stays the same.

use super::token::{self, Kind, Token};
use std::hash::{DefaultHasher, Hasher};

/// Words of a template that may be variables.
const MAX_OPEN: usize = 16;
/// Words of a template that are kept one by one; the rest is one more.
const MAX_WORDS: usize = 64;

/// The words of a template as numbers. All masks are one number: what kind of value stands there tells no failures
/// apart.
#[derive(Debug, Clone)]
pub struct Pattern {
    words: Box<[u64]>,
    /// Of the whole.
    pub key: u64,
    /// Of punctuation and length alone.
    pub shape: u64,
    pub open: Vec<Open>,
    /// The places of all that is open, one bit each.
    varying: u64,
    pub wild: bool,
}

/// A word that may be a variable, in all the places where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    /// The first of them.
    place: u16,
    /// All of them, one bit each.
    places: u64,
    kind: Kind,
    need: Need,
}

#[derive(Debug, Clone, Copy)]
struct Need {
    /// Words around it that stay the same.
    fixed: u16,
    /// It stands in brackets or behind `=`.
    parameter: bool,
    first: bool,
}

/// A value seen in a slot.
#[derive(Debug, Clone, Copy)]
pub struct Value {
    word: u64,
    kind: Kind,
    /// Whose template it is of.
    pub owner: u32,
}

/// What was seen in one place of otherwise equal templates.
#[derive(Debug, Clone, Default)]
pub enum Slot {
    #[default]
    Empty,
    /// Most slots hold one value for ever, and there are very many of them.
    One(Value),
    Many(Box<Values>),
}

/// Behind one pointer, so that a slot is no larger than one value.
#[derive(Debug, Clone)]
pub struct Values(Vec<Value>);

const MASK: u64 = 1;
const WILD: u64 = 2;

impl Pattern {
    pub fn of(template: &str) -> Pattern {
        let tokens = token::of(template);
        let mut words: Vec<u64> = tokens.iter().map(number).collect();
        let shape = tokens.iter().zip(&words).map(|(t, w)| if t.kind == Kind::Fixed { *w } else { 0 });
        let shape = sum(shape).wrapping_add(mixed(words.len(), 0));
        let rest = words.split_off(words.len().min(MAX_WORDS));
        if !rest.is_empty() {
            words.push(sum(rest.into_iter()));
        }
        let open = open_words(&tokens, &words);
        Pattern {
            key: sum(words.iter().copied()),
            shape,
            wild: words.contains(&WILD),
            varying: open.iter().fold(0, |places, open| places | open.places),
            open,
            words: words.into(),
        }
    }

    /// Without what only learning from it needs.
    pub fn learned(&self) -> Pattern {
        Pattern { words: self.words.clone(), open: Vec::new(), ..*self }
    }

    /// What is left when a word is open, and where it stood: other places may be open already.
    pub fn context(&self, open: Open) -> u64 {
        let differs = |place: usize| mixed(place, WILD).wrapping_sub(mixed(place, self.word(open)));
        let key = self.key.wrapping_add(mixed(MAX_WORDS, open.places));
        open.each_place().fold(key, |key, place| key.wrapping_add(differs(place)))
    }

    fn word(&self, open: Open) -> u64 {
        self.words.get(usize::from(open.place)).copied().unwrap_or_default()
    }

    pub fn value(&self, open: Open, owner: u32) -> Value {
        Value { word: self.word(open), kind: open.kind, owner }
    }

    /// Whether this pattern's variables take what `other` has in their places, and the rest is equal.
    pub fn takes(&self, other: &Pattern) -> bool {
        let may_vary = |place: usize| place < MAX_WORDS && other.varying >> place & 1 == 1;
        self.shape == other.shape
            && self.words.len() == other.words.len()
            && self
                .words
                .iter()
                .zip(&other.words)
                .enumerate()
                .all(|(place, (own, its))| own == its || *own == WILD && may_vary(place))
    }
}

impl Open {
    fn each_place(self) -> impl Iterator<Item = usize> {
        (0..MAX_WORDS).filter(move |place| self.places >> place & 1 == 1)
    }
}

fn open_words(tokens: &[Token<'_>], words: &[u64]) -> Vec<Open> {
    let fixed = tokens.iter().filter(|t| is_word(t.kind)).count();
    let mut open: Vec<Open> = Vec::new();
    let mut taken = 0_u64;
    for (place, token) in tokens.iter().enumerate().take(MAX_WORDS) {
        if open.len() == MAX_OPEN {
            break;
        }
        if taken >> place & 1 == 1 || !may_vary(tokens, place) {
            continue;
        }
        // Masks are all alike, but not the same.
        let is_same = |at: &usize| *at == place || is_word(token.kind) && words.get(*at) == words.get(place);
        let places: u64 = (place..tokens.len().min(MAX_WORDS))
            .filter(|at| is_same(at) && may_vary(tokens, *at))
            .fold(0, |places, at| places | 1 << at);
        taken |= places;
        let own = if is_word(token.kind) { places.count_ones() as usize } else { 0 };
        let before = place.checked_sub(1).and_then(|n| tokens.get(n)).map_or("", |t| t.text);
        let need = Need {
            fixed: u16::try_from(fixed.saturating_sub(own)).unwrap_or(u16::MAX),
            parameter: before.ends_with(['=', '(', '[', '{']),
            first: place == 0,
        };
        open.push(Open { place: u16::try_from(place).unwrap_or(u16::MAX), places, kind: token.kind, need });
    }
    open
}

/// A template with a word made a variable.
pub fn widened(template: &str, open: Open) -> Option<String> {
    let tokens = token::of(template);
    let (mut wide, mut end) = (String::with_capacity(template.len()), 0);
    for token in open.each_place().filter_map(|place| tokens.get(place)) {
        wide.push_str(template.get(end..token.at)?);
        wide.push_str(token::WILD);
        end = token.at + token.text.len();
    }
    wide.push_str(template.get(end..)?);
    Some(wide)
}

impl Slot {
    /// Takes a value. Returns whether it is new here.
    pub fn add(&mut self, value: Value) -> bool {
        let new = !self.values().iter().any(|seen| seen.word == value.word);
        if new {
            match self {
                Slot::Empty => *self = Slot::One(value),
                Slot::One(first) => *self = Slot::Many(Box::new(Values(vec![*first, value]))),
                Slot::Many(values) => values.0.push(value),
            }
        }
        new
    }

    pub fn values(&self) -> &[Value] {
        match self {
            Slot::Empty => &[],
            Slot::One(value) => std::slice::from_ref(value),
            Slot::Many(values) => &values.0,
        }
    }

    /// Whether the place is a variable.
    ///
    /// An identifier counts two, a plain word one. With one word around it that stays the same twelve are needed (twelve
    /// words or six identifiers), with four or more words six; in brackets and behind `=` five. Where a masked value was
    /// seen too, two identifiers are enough, or in a sentence of three words two plain ones. The first word of a
    /// message is what it is about, so that twelve are always needed.
    pub fn is_variable(&self, open: Open) -> bool {
        let values = self.values();
        let has = |kind: Kind| values.iter().any(|v| v.kind == kind);
        let score: usize = values.iter().map(|v| if v.kind == Kind::Word { 1 } else { 2 }).sum();
        let Need { fixed, parameter, first } = open.need;
        let mut need = match fixed {
            0 => return false,
            1 => 12,
            2 => 10,
            3 => 8,
            _ => 6,
        };
        if parameter {
            need = need.min(if fixed < 3 { 6 } else { 5 });
        }
        if has(Kind::Mask) && (fixed >= 3 || !has(Kind::Word)) {
            need = 4;
        }
        if first && (has(Kind::Word) || has(Kind::Name)) {
            need = 12;
        }
        values.len() > 1 && score >= need
    }
}

fn is_word(kind: Kind) -> bool {
    matches!(kind, Kind::Id | Kind::Name | Kind::Word)
}

fn may_vary(tokens: &[Token<'_>], place: usize) -> bool {
    tokens.get(place).is_some_and(|token| match token.kind {
        Kind::Mask => true,
        Kind::Fixed | Kind::Wild => false,
        Kind::Id | Kind::Name | Kind::Word => !token::is_meaning(token.text) && !token::is_said(tokens, place),
    })
}

fn number(token: &Token<'_>) -> u64 {
    match token.kind {
        Kind::Mask => MASK,
        Kind::Wild => WILD,
        Kind::Id => hash(&token::without_kinds(token.text)),
        Kind::Fixed | Kind::Name | Kind::Word => hash(token.text),
    }
}

pub fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

fn sum(words: impl Iterator<Item = u64>) -> u64 {
    words.enumerate().fold(0, |sum: u64, (place, word)| sum.wrapping_add(mixed(place, word)))
}

/// Spreads a word over all bits by its place, so that sums of them are as good as hashes.
fn mixed(place: usize, word: u64) -> u64 {
    let mut x = word.wrapping_add((place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
