//! Python source: calls, keywords and assignments by name, in a tree-sitter syntax tree.
//!
//! A name matches as it is written (`asyncio.sleep` is not `sleep`). Scopes: `in Worker.run` is the qualified name from
//! the module down. For `call` and `keyword` the place may be anywhere in that definition, its decorators, parameters
//! and nested functions included; for `assign` it must stand directly in that scope, where the name is bound. Every
//! call of the name counts as a place, whatever its arguments are; a keyword counts where it is given.
//!
//! tree-sitter accepts a little that Python does not; since one literal is replaced by another of its type, that does
//! no harm.

use super::error::{LocateError, Near, Not};
use super::python_literal;
use super::text::line_at;
use super::{Found, error};
use crate::config::{Format, MODULE_SCOPE, Selector};
use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use tree_sitter::{Node, ParseOptions, Parser, Tree, TreeCursor};

/// A source file that parsed without errors.
pub(super) struct Module<'a> {
    text: &'a str,
    tree: Tree,
}

/// A place that a selector means.
struct Site<'t> {
    at: usize,
    what: Result<Node<'t>, Not>,
}

impl<'a> Module<'a> {
    /// Parses; stops at the first error, as recovery from errors can take long.
    pub fn parse(text: &'a str) -> Result<Module<'a>, LocateError> {
        let broken = |line, message: &str| LocateError::DoesNotParse {
            format: Format::Python,
            line,
            message: message.to_string(),
        };
        let mut parser = Parser::new();
        parser
            .set_language(&tree_sitter_python::LANGUAGE.into())
            .map_err(|e| broken(None, &format!("the grammar cannot be used: {e}")))?;
        let mut failed_at = None;
        let mut stop = |state: &tree_sitter::ParseState| {
            if state.has_error() {
                failed_at = Some(state.current_byte_offset());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let mut chunk = |at: usize, _| text.as_bytes().get(at..).unwrap_or_default();
        let options = ParseOptions::new().progress_callback(&mut stop);
        let tree = parser.parse_with_options(&mut chunk, None, Some(options));
        let Some(tree) = tree else {
            return Err(broken(failed_at.map(|at| line_at(text, at)), "a syntax error at or before this line"));
        };
        let module = Module { text, tree };
        match module.first_error() {
            Some(at) => Err(broken(Some(line_at(text, at)), "a syntax error")),
            None => Ok(module),
        }
    }

    fn first_error(&self) -> Option<usize> {
        if !self.tree.root_node().has_error() {
            return None;
        }
        let bad = Walk::new(&self.tree).find(|(node, _)| node.is_error() || node.is_missing());
        Some(bad.map_or(0, |(node, _)| node.start_byte()))
    }

    /// The one literal that a selector means.
    pub fn find(&self, selector: &Selector) -> Result<Found, LocateError> {
        let mut search = Search { text: self.text, selector, sites: Vec::new(), others: Vec::new() };
        search.run(&self.tree);
        let at = selector.to_string();
        match search.sites.as_slice() {
            [] => Err(LocateError::NotFound { near: search.near(&at), at }),
            [Site { at: start, what }] => {
                let read = what.and_then(|node| python_literal::read(node, self.text));
                let (span, literal) =
                    read.map_err(|why| LocateError::NotLiteral { at, line: line_at(self.text, *start), why })?;
                Ok(Found { span, literal, node: None })
            }
            many => {
                let lines = many.iter().map(|site| line_at(self.text, site.at)).collect();
                Err(LocateError::Several { at, lines })
            }
        }
    }

    /// The first node outside the edited literal that another edition of the file has otherwise.
    pub fn first_difference(&self, other: &Module<'_>, edited: &Found, grown: isize) -> Option<usize> {
        let old = edited.span.clone();
        let new = old.start..old.end.saturating_add_signed(grown);
        let outside = |tree, span: Range<usize>| {
            Walk::new(tree)
                .map(|(node, _)| (node.kind_id(), node.byte_range()))
                .filter(move |(_, range)| range.start < span.start || range.end > span.end)
        };
        let moved = |p: usize| if p >= old.end { p.saturating_add_signed(grown) } else { p };
        let mut after = outside(&other.tree, new);
        for (kind, range) in outside(&self.tree, old.clone()) {
            if after.next() != Some((kind, moved(range.start)..moved(range.end))) {
                return Some(range.start);
            }
        }
        after.next().map(|_| self.text.len())
    }
}

/// Every node of a tree with its depth, parents first, without recursion.
struct Walk<'t> {
    cursor: TreeCursor<'t>,
    depth: usize,
    state: Step,
}

enum Step {
    Begin,
    On,
    End,
}

impl<'t> Walk<'t> {
    fn new(tree: &'t Tree) -> Self {
        Walk { cursor: tree.walk(), depth: 0, state: Step::Begin }
    }
}

impl<'t> Iterator for Walk<'t> {
    type Item = (Node<'t>, usize);

    fn next(&mut self) -> Option<Self::Item> {
        match self.state {
            Step::End => return None,
            Step::Begin => self.state = Step::On,
            Step::On if self.cursor.goto_first_child() => self.depth += 1,
            Step::On => {
                while !self.cursor.goto_next_sibling() {
                    if !self.cursor.goto_parent() {
                        self.state = Step::End;
                        return None;
                    }
                    self.depth -= 1;
                }
            }
        }
        Some((self.cursor.node(), self.depth))
    }
}

struct Search<'s, 't> {
    text: &'s str,
    selector: &'s Selector,
    sites: Vec<Site<'t>>,
    /// What else is called or assigned: as a selector, where, and whether its name is the wanted one.
    others: Vec<(String, usize, bool)>,
}

impl<'s, 't> Search<'s, 't> {
    fn run(&mut self, tree: &'t Tree) {
        // Depth and name of each definition around the current node.
        let mut scopes: Vec<(usize, &'s str)> = Vec::new();
        // Definitions that have been entered with their decorators, and assignments that are another's right side.
        let mut entered = HashSet::new();
        let mut chained = HashSet::new();
        for (node, depth) in Walk::new(tree) {
            while scopes.last().is_some_and(|(at, _)| *at >= depth) {
                scopes.pop();
            }
            match node.kind() {
                "decorated_definition" | "function_definition" | "class_definition" => {
                    let inner = node.child_by_field_name("definition");
                    entered.extend(inner.map(|n| n.id()));
                    if !entered.contains(&node.id())
                        && let Some(name) = inner.unwrap_or(node).child_by_field_name("name")
                    {
                        scopes.push((depth, self.text_of(name)));
                    }
                }
                "call" => self.call(node, &scopes),
                "assignment" => {
                    let right = node.child_by_field_name("right");
                    let continued = right.filter(|r| matches!(r.kind(), "assignment" | "augmented_assignment"));
                    chained.extend(continued.map(|n| n.id()));
                    let what = match right {
                        Some(_) if continued.is_some() || chained.contains(&node.id()) => Err(Not::Chained),
                        Some(right) => Ok(right),
                        None => continue,
                    };
                    self.assignment(node, what, "left", &scopes);
                }
                "augmented_assignment" => self.assignment(node, Err(Not::Augmented), "left", &scopes),
                "named_expression" => self.assignment(node, Err(Not::Expression), "name", &scopes),
                _ => {}
            }
        }
    }

    fn text_of(&self, node: Node<'_>) -> &'s str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    fn call(&mut self, node: Node<'t>, scopes: &[(usize, &str)]) {
        let (name, within) = match self.selector {
            Selector::Call { name, within, .. } => (name, within),
            Selector::Keyword { call, within, .. } => (call, within),
            _ => return,
        };
        let Some(function) = node.child_by_field_name("function") else { return };
        let written = self.text_of(function);
        if written != name || !is_within(within.as_deref(), scopes, false) {
            return self.other(written, node.start_byte(), scopes);
        }
        let arguments = node.child_by_field_name("arguments");
        let what = match self.selector {
            Selector::Keyword { keyword, .. } => match arguments.and_then(|a| self.keyword(a, keyword)) {
                Some(value) => Ok(value),
                None => return,
            },
            Selector::Call { arg, .. } => arguments.map_or(Err(Not::MissingArgument), |a| argument(a, *arg)),
            _ => return,
        };
        self.sites.push(Site { at: what.map_or(node.start_byte(), |n| n.start_byte()), what });
    }

    fn keyword(&self, arguments: Node<'t>, keyword: &str) -> Option<Node<'t>> {
        let mut cursor = arguments.walk();
        let mut given = arguments.named_children(&mut cursor).filter(|n| n.kind() == "keyword_argument");
        let wanted = given.find(|n| n.child_by_field_name("name").is_some_and(|n| self.text_of(n) == keyword))?;
        wanted.child_by_field_name("value")
    }

    fn assignment(&mut self, node: Node<'t>, what: Result<Node<'t>, Not>, field: &str, scopes: &[(usize, &str)]) {
        let Selector::Assign { name, within } = self.selector else { return };
        let Some(left) = node.child_by_field_name(field) else { return };
        let unpacked = matches!(left.kind(), "pattern_list" | "tuple_pattern" | "list_pattern");
        let means_it = if unpacked { self.unpacks(left, name) } else { self.text_of(left) == name };
        if !means_it || !is_within(within.as_deref(), scopes, true) {
            return self.other(self.text_of(left), node.start_byte(), scopes);
        }
        let what = if unpacked { Err(Not::Unpacking) } else { what };
        self.sites.push(Site { at: node.start_byte(), what });
    }

    /// Whether a pattern binds the name, at any depth within it.
    fn unpacks(&self, pattern: Node<'t>, name: &str) -> bool {
        let mut stack = vec![pattern];
        while let Some(node) = stack.pop() {
            if matches!(node.kind(), "identifier" | "attribute") {
                if self.text_of(node) == name {
                    return true;
                }
                continue;
            }
            let mut cursor = node.walk();
            stack.extend(node.named_children(&mut cursor));
        }
        false
    }

    /// Remembers a candidate for a suggestion.
    fn other(&mut self, written: &str, at: usize, scopes: &[(usize, &str)]) {
        let sound = written.len() <= 80 && written.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_'));
        if !sound || self.others.len() >= error::MAX_CANDIDATES {
            return;
        }
        let mut selector = self.selector.clone();
        let (Selector::Call { name, within, .. }
        | Selector::Keyword { call: name, within, .. }
        | Selector::Assign { name, within }) = &mut selector
        else {
            return;
        };
        let last = |name: &str| name.rsplit('.').next().map(str::to_string);
        let same = last(name) == last(written);
        *name = written.to_string();
        if within.is_some() {
            let scope = join(scopes);
            *within = Some(if scope.is_empty() { MODULE_SCOPE.to_string() } else { scope });
        }
        self.others.push((selector.to_string(), at, same));
    }

    fn near(&mut self, wanted: &str) -> Vec<Near> {
        error::nearest(wanted, std::mem::take(&mut self.others).into_iter(), self.text)
    }
}

/// Positional argument `n`, from 1.
fn argument(arguments: Node<'_>, n: usize) -> Result<Node<'_>, Not> {
    if arguments.kind() != "argument_list" {
        return Err(Not::Expression);
    }
    let mut cursor = arguments.walk();
    let positional = arguments
        .named_children(&mut cursor)
        .filter(|a| !a.is_extra() && !matches!(a.kind(), "keyword_argument" | "dictionary_splat"));
    for (i, argument) in positional.enumerate() {
        if argument.kind() == "list_splat" {
            return Err(Not::AfterSplat);
        }
        if i + 1 == n {
            return Ok(argument);
        }
    }
    Err(Not::MissingArgument)
}

fn join(scopes: &[(usize, &str)]) -> String {
    scopes.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(".")
}

/// Whether a place in these scopes is meant by `in`. `directly`: not in a definition nested in it.
fn is_within(wanted: Option<&str>, scopes: &[(usize, &str)], directly: bool) -> bool {
    let Some(wanted) = wanted else { return true };
    if wanted == MODULE_SCOPE {
        return scopes.is_empty();
    }
    let names: Vec<&str> = wanted.split('.').collect();
    let matches = scopes.len() >= names.len() && scopes.iter().zip(&names).all(|((_, scope), name)| scope == name);
    matches && (!directly || scopes.len() == names.len())
}
