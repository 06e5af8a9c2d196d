//! YAML: every value with its span, from the events of the parser. The parser's spans of scalars include anchors and
//! tags and run into comments, so each scalar is lexed again from where it starts.

use super::error::{LocateError, Not};
use super::literal::{Kind, Quote, Scalar};
use super::outline::{Key, Outline, What};
use super::text::CharOffsets;
use super::yaml_kind;
use crate::config::Format;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use std::borrow::Cow;
use std::ops::Range;

/// Nesting beyond which a document is refused.
const MAX_DEPTH: usize = 128;

/// The outline of a YAML stream: one root for each document.
pub(super) fn outline(text: &str) -> Result<Outline<'_>, LocateError> {
    let mut builder = Builder {
        outline: Outline::new(text, Format::Yaml),
        offsets: CharOffsets::new(text),
        open: Vec::new(),
        in_flow: 0,
    };
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| broken(e.marker().line(), e.info()))?;
        if builder.open.len() > MAX_DEPTH {
            return Err(broken(span.start.line(), "it is nested too deep"));
        }
        builder.take(event, span);
    }
    if builder.outline.nodes.is_empty() {
        return Err(LocateError::DoesNotParse { format: Format::Yaml, line: None, message: "it is empty".into() });
    }
    Ok(builder.outline)
}

fn broken(line: usize, message: &str) -> LocateError {
    LocateError::DoesNotParse { format: Format::Yaml, line: Some(line), message: message.to_string() }
}

/// A mapping or sequence whose end has not come yet.
struct Open<'a> {
    node: usize,
    flow: bool,
    state: State<'a>,
}

enum State<'a> {
    /// The index of the next item.
    Sequence(usize),
    /// A key comes next.
    Key,
    /// The value of this key comes next.
    Value(Key<'a>),
}

struct Builder<'a> {
    outline: Outline<'a>,
    offsets: CharOffsets,
    open: Vec<Open<'a>>,
    in_flow: usize,
}

impl<'a> Builder<'a> {
    fn take(&mut self, event: Event<'a>, span: Span) {
        let start = self.offsets.byte(span.start.index());
        match event {
            Event::MappingStart(..) => self.begin(start, What::Table, State::Key),
            Event::SequenceStart(..) => self.begin(start, What::List, State::Sequence(0)),
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(open) = self.open.pop()
                    && open.flow
                {
                    self.in_flow -= 1;
                }
            }
            Event::Scalar(text, style, _, tag) => self.scalar(text, style, tag.is_some(), start),
            Event::Alias(_) => match self.next_key() {
                Some(key) => self.add(key, start..start, What::Not(Not::Alias)),
                None => self.key_is(Key::Unnamed),
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
    }

    /// How the next node is reached; `None` when it is a key itself.
    fn next_key(&mut self) -> Option<Key<'a>> {
        match self.open.last_mut().map(|o| &mut o.state) {
            None => Some(Key::Root),
            Some(State::Sequence(next)) => {
                *next += 1;
                Some(Key::Index(*next - 1))
            }
            Some(state @ State::Value(_)) => match std::mem::replace(state, State::Key) {
                State::Value(key) => Some(key),
                _ => None,
            },
            Some(State::Key) => None,
        }
    }

    fn key_is(&mut self, key: Key<'a>) {
        if let Some(open) = self.open.last_mut() {
            open.state = State::Value(key);
        }
    }

    fn add(&mut self, key: Key<'a>, span: Range<usize>, what: What<'a>) {
        let parent = self.open.last().map(|o| o.node);
        self.outline.push(parent, key, span, what);
    }

    fn begin(&mut self, start: usize, what: What<'a>, state: State<'a>) {
        // A collection as a key: no path can name it, nor the value behind it.
        let key = self.next_key().unwrap_or_else(|| {
            self.key_is(Key::Unnamed);
            Key::Unnamed
        });
        let at = skip_properties(self.outline.text, start);
        let flow = self.outline.text.get(at..).is_some_and(|t| t.starts_with(['[', '{']));
        let parent = self.open.last().map(|o| o.node);
        let node = self.outline.push(parent, key, start..start, what);
        self.in_flow += usize::from(flow);
        self.open.push(Open { node, flow, state });
    }

    fn scalar(&mut self, text: Cow<'a, str>, style: ScalarStyle, tagged: bool, start: usize) {
        let Some(key) = self.next_key() else {
            let merge = style == ScalarStyle::Plain && text == "<<";
            return self.key_is(if merge { Key::Merge } else { Key::Name(text) });
        };
        let at = skip_properties(self.outline.text, start);
        let (span, what) = match self.lex(&text, style, at) {
            _ if tagged => (at..at, What::Not(Not::Tagged)),
            Err(why) => (at..at, What::Not(why)),
            Ok((span, quote)) => {
                let (kind, legacy) = match quote {
                    Quote::Single | Quote::Double => (Kind::Text, Kind::Text),
                    _ => yaml_kind::kinds(&text),
                };
                let null = matches!(kind, Kind::Null);
                let scalar = Scalar { kind, legacy, quote, text };
                (span, if null { What::Not(Not::Null) } else { What::Scalar(scalar) })
            }
        };
        self.add(key, span, what);
    }

    /// The exact span of a scalar that starts at a byte.
    fn lex(&self, text: &str, style: ScalarStyle, at: usize) -> Result<(Range<usize>, Quote), Not> {
        let rest = self.outline.text.get(at..).unwrap_or_default();
        match style {
            ScalarStyle::Literal | ScalarStyle::Folded => Err(Not::BlockScalar),
            ScalarStyle::Plain if text.is_empty() => Err(Not::Null),
            ScalarStyle::Plain => {
                let quote = if self.in_flow > 0 { Quote::PlainInFlow } else { Quote::Plain };
                if rest.starts_with(text) { Ok((at..at + text.len(), quote)) } else { Err(Not::MultiLine) }
            }
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                let single = style == ScalarStyle::SingleQuoted;
                let len = quoted_len(rest, single).ok_or(Not::MultiLine)?;
                Ok((at..at + len, if single { Quote::Single } else { Quote::Double }))
            }
        }
    }
}

/// Length of a quoted scalar on one line, quotes included. `None`: it spans lines.
fn quoted_len(text: &str, single: bool) -> Option<usize> {
    let quote = if single { '\'' } else { '"' };
    let mut chars = text.char_indices().peekable();
    if chars.next()?.1 != quote {
        return None;
    }
    while let Some((i, c)) = chars.next() {
        match c {
            '\n' | '\r' => return None,
            '\\' if !single => match chars.next()?.1 {
                '\n' | '\r' => return None,
                _ => {}
            },
            c if c == quote => match chars.peek() {
                Some((_, '\'')) if single => {
                    chars.next();
                }
                _ => return Some(i + 1),
            },
            _ => {}
        }
    }
    None
}

/// Where the content begins behind anchors, tags, blanks, line ends and comments.
fn skip_properties(text: &str, start: usize) -> usize {
    let mut at = start;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let len = match rest.chars().next() {
            Some('&' | '!') => rest.find([' ', '\t', '\n', '\r']).unwrap_or(rest.len()),
            // Only a comment behind a property: a scalar cannot begin with `#`.
            Some('#') if at > start => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            Some(' ' | '\t' | '\n' | '\r') => {
                rest.find(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')).unwrap_or(rest.len())
            }
            _ => return at,
        };
        if len == 0 {
            return at;
        }
        at += len;
    }
}
