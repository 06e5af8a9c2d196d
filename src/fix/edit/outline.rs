//! A parsed file as a flat list of nodes with byte spans: what the path formats (TOML, YAML, JSON, INI, .env) become,
//! so that one search and one comparison serve them all. Flat, so that no nesting can overflow the stack.

use super::error::{LocateError, Near};
use super::literal::{Literal, Quote, Scalar};
use super::text::line_at;
use super::{Found, Not};
use crate::config::{Format, Segment, Selector};
use std::borrow::Cow;
use std::ops::Range;

/// One value of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node<'a> {
    pub parent: Option<usize>,
    pub key: Key<'a>,
    /// Of a scalar its literal, quotes included; of others at least where it starts.
    pub span: Range<usize>,
    pub what: What<'a>,
}

/// How a node is reached from its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key<'a> {
    /// A document.
    Root,
    Name(Cow<'a, str>),
    Index(usize),
    /// A YAML merge key (`<<`).
    Merge,
    /// A key, or below one, that no path can name.
    Unnamed,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What<'a> {
    Table,
    List,
    Scalar(Scalar<'a>),
    /// Cannot be edited or passed.
    Not(Not),
}

#[derive(Debug)]
pub(super) struct Outline<'a> {
    pub text: &'a str,
    pub format: Format,
    pub nodes: Vec<Node<'a>>,
}

/// Where a search went, and what stood in its way.
struct Search {
    at: Vec<usize>,
    blocked: Option<(usize, Not)>,
}

impl<'a> Outline<'a> {
    pub fn new(text: &'a str, format: Format) -> Self {
        Outline { text, format, nodes: Vec::new() }
    }

    /// Adds a node and returns its number.
    pub fn push(&mut self, parent: Option<usize>, key: Key<'a>, span: Range<usize>, what: What<'a>) -> usize {
        self.nodes.push(Node { parent, key, span, what });
        self.nodes.len() - 1
    }

    /// The one literal that the path means.
    pub fn find(&self, path: &[Segment]) -> Result<Found, LocateError> {
        let selector = || Selector::Path(path.to_vec()).to_string();
        let roots = self.nodes.iter().enumerate().filter(|(_, n)| n.parent.is_none()).map(|(i, _)| i);
        let mut search = Search { at: roots.collect(), blocked: None };
        let (item, steps) = match path.split_last() {
            Some((Segment::KeyItem(key), steps)) => (Some(key.as_str()), steps),
            _ => (None, path),
        };
        for segment in steps {
            self.step(&mut search, segment).map_err(|same| self.several(selector(), &same))?;
        }
        if let Some(key) = item {
            search.at = self.items(&search.at, key);
        }
        match (search.at.as_slice(), search.blocked) {
            ([one], _) => self.literal_at(*one, item, selector()),
            ([], Some((at, why))) => Err(self.not_literal(selector(), at, why)),
            ([], None) => Err(LocateError::NotFound { near: self.near(&selector(), steps), at: selector() }),
            (many, _) => Err(self.several(selector(), many)),
        }
    }

    /// One segment further. `Err`: the same key several times in one table.
    fn step(&self, search: &mut Search, segment: &Segment) -> Result<(), Vec<usize>> {
        let children = self.children(&search.at);
        let mut next: Vec<usize> = Vec::new();
        let mut passed = Vec::new();
        for (parent, child) in &children {
            match self.nodes.get(*child) {
                Some(node) if node.key.is(segment) => {
                    if passed.last() == Some(parent) {
                        let same = |(p, c): &(usize, usize)| {
                            p == parent && self.nodes.get(*c).is_some_and(|n| n.key.is(segment))
                        };
                        return Err(children.iter().filter(|pair| same(pair)).map(|(_, c)| *c).collect());
                    }
                    next.push(*child);
                    passed.push(*parent);
                }
                Some(node) if node.key == Key::Merge && search.blocked.is_none() => {
                    search.blocked = Some((*child, Not::BehindMergeKey));
                }
                _ => {}
            }
        }
        for from in &search.at {
            if let (Some(What::Not(why)), None) = (self.nodes.get(*from).map(|n| &n.what), search.blocked) {
                search.blocked = Some((*from, *why));
            }
        }
        search.at = next;
        Ok(())
    }

    /// `(parent, child)` of every child of these (ascending) nodes, grouped by parent.
    fn children(&self, of: &[usize]) -> Vec<(usize, usize)> {
        let pair = |(i, n): (usize, &Node<'_>)| n.parent.filter(|p| of.binary_search(p).is_ok()).map(|p| (p, i));
        let mut pairs: Vec<(usize, usize)> = self.nodes.iter().enumerate().filter_map(pair).collect();
        pairs.sort_unstable();
        pairs
    }

    /// The items `key=...` of the lists.
    fn items(&self, lists: &[usize], key: &str) -> Vec<usize> {
        let is_item = |i: &usize| match self.nodes.get(*i) {
            Some(Node { key: Key::Index(_), what: What::Scalar(scalar), .. }) => {
                scalar.text.strip_prefix(key).is_some_and(|rest| rest.starts_with('='))
            }
            _ => false,
        };
        self.children(lists).into_iter().map(|(_, child)| child).filter(is_item).collect()
    }

    fn literal_at(&self, at: usize, item: Option<&str>, selector: String) -> Result<Found, LocateError> {
        let Some(node) = self.nodes.get(at) else {
            return Err(LocateError::NotFound { at: selector, near: Vec::new() });
        };
        let scalar = match &node.what {
            What::Scalar(scalar) => scalar,
            What::Table => return Err(self.not_literal(selector, at, Not::Table)),
            What::List => return Err(self.not_literal(selector, at, Not::List)),
            What::Not(why) => return Err(self.not_literal(selector, at, *why)),
        };
        let raw = self.text.get(node.span.clone()).unwrap_or_default();
        let Some(key) = item else {
            let literal = Literal::read(scalar, raw, self.format);
            return Ok(Found { span: node.span.clone(), literal, node: Some(at) });
        };
        let (part, inner) =
            part_of_item(scalar, raw, key).ok_or_else(|| self.not_literal(selector, at, Not::EscapedItem))?;
        let start = node.span.start + part.start;
        let span = start..start + part.len();
        let literal = Literal::read(&inner, self.text.get(span.clone()).unwrap_or_default(), self.format);
        Ok(Found { span, literal, node: Some(at) })
    }

    fn several(&self, at: String, nodes: &[usize]) -> LocateError {
        let lines = nodes.iter().map(|n| self.line(*n)).collect();
        LocateError::Several { at, lines }
    }

    fn not_literal(&self, at: String, node: usize, why: Not) -> LocateError {
        LocateError::NotLiteral { at, line: self.line(node), why }
    }

    fn line(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(1, |n| line_at(self.text, n.span.start))
    }

    /// The path of a node; `None` where no path can name it.
    fn path(&self, node: &Node<'_>) -> Option<Vec<Segment>> {
        let mut path = Vec::new();
        let mut node = Some(node);
        while let Some(n) = node {
            match &n.key {
                Key::Root => {}
                Key::Name(name) => path.push(Segment::Key(name.to_string())),
                Key::Index(i) => path.push(Segment::Index(*i)),
                Key::Merge | Key::Unnamed => return None,
            }
            node = n.parent.and_then(|p| self.nodes.get(p));
        }
        path.reverse();
        Some(path)
    }

    /// The path of every scalar that one can name.
    pub fn paths(&self) -> Vec<String> {
        let scalars = self.nodes.iter().filter(|n| matches!(n.what, What::Scalar(_)));
        scalars.filter_map(|node| Some(Selector::Path(self.path(node)?).to_string())).collect()
    }

    /// Paths that look like the wanted one, or end as it does.
    fn near(&self, wanted: &str, steps: &[Segment]) -> Vec<Near> {
        let scalars = self.nodes.iter().filter(|n| matches!(n.what, What::Scalar(_) | What::Not(_)));
        let candidates = scalars.take(super::error::MAX_CANDIDATES).filter_map(|node| {
            let path = self.path(node)?;
            let same_end = path.last().is_some_and(|last| Some(last) == steps.last());
            Some((Selector::Path(path).to_string(), node.span.start, same_end))
        });
        super::error::nearest(wanted, candidates, self.text)
    }

    /// The first node, other than the edited one, that another edition of the file has otherwise: by structure, key,
    /// type, value or place (moved by `grown` bytes behind the edit). `None`: they agree.
    pub fn first_difference(&self, other: &Outline<'_>, edited: &Found, grown: isize) -> Option<usize> {
        let moved = |p: usize| if p >= edited.span.end { p.saturating_add_signed(grown) } else { p };
        let differs = |(i, (a, b)): (usize, (&Node<'_>, &Node<'_>))| {
            let same_name = a.parent == b.parent && a.key == b.key;
            let same = if edited.node == Some(i) {
                // It starts where it was, even if it was empty: an insertion there does not move it.
                same_name && a.span.start == b.span.start && same_type(a, b)
            } else {
                let span = moved(a.span.start)..moved(a.span.end);
                same_name && span == b.span && a.what == b.what
            };
            (!same).then_some(a.span.start)
        };
        if let Some(at) = self.nodes.iter().zip(&other.nodes).enumerate().find_map(differs) {
            return Some(at);
        }
        (self.nodes.len() != other.nodes.len()).then(|| self.nodes.last().map_or(0, |n| n.span.start))
    }
}

fn same_type(a: &Node<'_>, b: &Node<'_>) -> bool {
    match (&a.what, &b.what) {
        (What::Scalar(a), What::Scalar(b)) => (a.kind, a.legacy, a.quote) == (b.kind, b.legacy, b.quote),
        _ => false,
    }
}

/// The part of `raw` behind `key=`, and what it is read as: text, as in an environment.
fn part_of_item<'a>(scalar: &Scalar<'a>, raw: &str, key: &str) -> Option<(Range<usize>, Scalar<'a>)> {
    let (quote, skipped) = match scalar.quote {
        Quote::Plain | Quote::PlainInFlow => (Quote::PartOfPlain, 0),
        _ => (Quote::PartOfQuoted, 1),
    };
    let inner = raw.get(skipped..raw.len().checked_sub(skipped)?)?;
    if inner != scalar.text {
        return None;
    }
    let before = key.len() + 1;
    let text = inner.get(before..)?;
    let start = skipped + before;
    Some((start..start + text.len(), Scalar::new(super::literal::Kind::Text, quote, text.to_string())))
}

impl Key<'_> {
    fn is(&self, segment: &Segment) -> bool {
        match (self, segment) {
            (Key::Name(name), Segment::Key(key)) => name == key,
            (Key::Index(i), Segment::Index(j)) => i == j,
            _ => false,
        }
    }
}
