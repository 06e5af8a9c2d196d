//! A sound configuration as it was written, as a tree in which every value knows its place. May not live here: what the
//! values mean.

use crate::config::Written;
use crate::config::at::Span;
use crate::config::mask::{MASK, is_secret_key, secret_spans};
use crate::config::report::{ConfigError, Source};
use std::path::PathBuf;
use toml::de::{DeTable, DeValue};

/// The main file and those of `rules.d`.
#[derive(Debug, Default)]
pub struct Document {
    files: Vec<(Source, Node)>,
}

/// A value.
#[derive(Debug)]
pub struct Node {
    span: Span,
    pub value: Tree,
}

#[derive(Debug)]
pub enum Tree {
    /// In the order of the file.
    Table(Vec<(String, Node)>),
    List(Vec<Node>),
    Text(String),
    /// A number or a boolean, as TOML writes it.
    Word(String),
}

/// A value in its file, or the nearest thing around it that is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    at: Option<(&'a Source, &'a Node)>,
    /// It is the file as a whole.
    is_root: bool,
}

impl Document {
    /// The configuration that an engine was compiled from.
    pub fn of(written: &Written) -> Document {
        let sources = written.sources.iter().map(|(path, text)| (path.clone(), text.reveal().to_owned()));
        Document { files: sources.filter_map(file).collect() }
    }

    /// The main file.
    pub fn root(&self) -> Place<'_> {
        Place { at: self.files.first().map(|(source, node)| (source, node)), is_root: true }
    }

    /// Every file as a whole.
    pub fn files(&self) -> impl Iterator<Item = Place<'_>> {
        self.files.iter().map(|(source, node)| Place { at: Some((source, node)), is_root: true })
    }

    /// The tables `[[KEY]]` of every file, in their order.
    pub fn all(&self, key: &str) -> Vec<Place<'_>> {
        let mut found = Vec::new();
        for (source, node) in &self.files {
            let items = node.get(key).map_or(&[][..], Node::items);
            found.extend(items.iter().map(|item| Place { at: Some((source, item)), is_root: false }));
        }
        found
    }

    /// The first text that holds these words.
    pub fn holding(&self, words: &str) -> Option<Place<'_>> {
        self.files().find_map(|file| file.holding(words))
    }

    /// The rule of this number, as the engine counts them.
    pub fn rule(&self, number: usize) -> Place<'_> {
        self.all("rule").get(number).copied().unwrap_or_else(|| self.root())
    }
}

fn file((path, text): (PathBuf, String)) -> Option<(Source, Node)> {
    let mut source = Source::unparsed(path, text.clone());
    let table = DeTable::parse(&text).ok()?;
    source.parsed(table.get_ref());
    let node = Node { span: 0..0, value: table_of(table.get_ref()) };
    Some((source, node))
}

fn table_of(table: &DeTable<'_>) -> Tree {
    let mut entries: Vec<(usize, String, Node)> = table
        .iter()
        .map(|(key, value)| (key.span().start, key.get_ref().to_string(), node(value.get_ref(), value.span())))
        .collect();
    entries.sort_by_key(|(start, ..)| *start);
    Tree::Table(entries.into_iter().map(|(_, key, node)| (key, node)).collect())
}

fn node(value: &DeValue<'_>, span: Span) -> Node {
    let value = match value {
        DeValue::Table(table) => table_of(table),
        DeValue::Array(items) => Tree::List(items.iter().map(|i| node(i.get_ref(), i.span())).collect()),
        DeValue::String(text) => Tree::Text(text.to_string()),
        DeValue::Boolean(value) => Tree::Word(value.to_string()),
        DeValue::Integer(number) => {
            let decimal = i64::from_str_radix(number.as_str(), number.radix());
            Tree::Word(decimal.map_or_else(|_| number.as_str().to_owned(), |n| n.to_string()))
        }
        DeValue::Float(number) => Tree::Word(number.as_str().to_owned()),
        DeValue::Datetime(time) => Tree::Word(time.to_string()),
    };
    Node { span, value }
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Tree::Table(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, node)| node),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.value {
            Tree::List(items) => items,
            _ => &[],
        }
    }

    /// As one line of TOML, under this key; what is or may be a secret is `***`, a reference to one stays.
    pub fn shown(&self, key: &str) -> String {
        self.written(is_secret_key(key))
    }

    /// Whether [`Node::shown`] hides a part of it.
    pub fn hides(&self, key: &str) -> bool {
        match &self.value {
            Tree::Text(text) => masked(text, is_secret_key(key)) != *text,
            _ => false,
        }
    }

    fn written(&self, secret: bool) -> String {
        match &self.value {
            Tree::Table(entries) if entries.is_empty() => "{}".to_owned(),
            Tree::Table(entries) => {
                let entry = |(key, node): &(String, Node)| {
                    format!("{} = {}", bare(key), node.written(secret || is_secret_key(key)))
                };
                format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
            Tree::List(items) => {
                format!("[{}]", items.iter().map(|i| i.written(secret)).collect::<Vec<_>>().join(", "))
            }
            Tree::Text(text) => quoted(&masked(text, secret)),
            Tree::Word(word) if secret => quoted(&masked(word, secret)),
            Tree::Word(word) => word.clone(),
        }
    }
}

/// The text without what is a secret in it.
fn masked(text: &str, secret: bool) -> String {
    let whole = 0..text.len();
    let known = if secret { std::slice::from_ref(&whole) } else { &[] };
    let (mut shown, mut at) = (String::new(), 0);
    // How a header says what kind of secret follows is none.
    let is_scheme = |span: &Span| ["Bearer ", "Basic ", "Token "].contains(&text.get(span.clone()).unwrap_or_default());
    for span in secret_spans(text, known).into_iter().filter(|span| !is_scheme(span)) {
        shown.push_str(text.get(at..span.start).unwrap_or_default());
        shown.push_str(MASK);
        at = span.end;
    }
    shown.push_str(text.get(at..).unwrap_or_default());
    shown
}

/// A basic string of TOML.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key, in quotes where it needs them.
pub fn bare(key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if is_bare { key.to_owned() } else { quoted(key) }
}

impl<'a> Place<'a> {
    /// What is written under this key.
    pub fn get(self, key: &str) -> Option<Place<'a>> {
        let (source, node) = self.at?;
        Some(Place { at: Some((source, node.get(key)?)), is_root: false })
    }

    /// The same, or this place where nothing is.
    pub fn child(self, key: &str) -> Place<'a> {
        self.get(key).unwrap_or(self)
    }

    /// An item of this list, or this place where there is no such.
    pub fn item(self, number: usize) -> Place<'a> {
        let found = self.at.and_then(|(source, node)| Some((source, node.items().get(number)?)));
        found.map_or(self, |at| Place { at: Some(at), is_root: false })
    }

    pub fn node(self) -> Option<&'a Node> {
        self.at.map(|(_, node)| node)
    }

    /// The file that it is in.
    pub fn path(self) -> Option<&'a std::path::Path> {
        self.at.map(|(source, _)| source.path.as_path())
    }

    /// Its file and line; `None` for what is not written.
    pub fn line(self) -> Option<(PathBuf, usize)> {
        let (source, node) = self.at?;
        let line = source.text.get(..node.span.start)?.matches('\n').count() + 1;
        Some((source.path.clone(), line))
    }

    fn holding(self, words: &str) -> Option<Place<'a>> {
        match &self.node()?.value {
            Tree::Table(entries) => entries.iter().find_map(|(key, _)| self.get(key)?.holding(words)),
            Tree::List(items) => (0..items.len()).find_map(|n| self.item(n).holding(words)),
            Tree::Text(text) => text.contains(words).then_some(self),
            Tree::Word(_) => None,
        }
    }

    /// Something to be told of this place, and what to do.
    pub fn problem(self, message: &str, help: &str) -> ConfigError {
        let help = Some(help.to_owned()).filter(|help| !help.is_empty());
        match self.at {
            Some((source, node)) if !self.is_root => ConfigError::at(source, &node.span, message, help),
            at => ConfigError::whole_file(at.map_or(std::path::Path::new(""), |(s, _)| &s.path), message, help),
        }
    }
}
