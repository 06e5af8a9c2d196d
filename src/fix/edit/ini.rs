//! INI files and their kin (`.cfg`, flat `.conf`), by a line scanner: `[section]`, `key = value` or `key: value`,
//! comments with `#` or `;`, quotes around a whole value.
//!
//! Names mean what is written in the file, case included; names that differ only in case count as the same when they
//! are looked at for duplicates, because many readers fold them. Readers differ over continuation lines, over comments
//! behind a value, and over repeated sections: what depends on that is refused.

use super::error::{LocateError, Not};
use super::literal::{Kind, Quote, Scalar, read_text_number};
use super::outline::{Key, Outline, What};
use super::text::{line_at, lines_with_offsets};
use crate::config::Format;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

struct Scanner<'a> {
    outline: Outline<'a>,
    section: usize,
    /// Node and indentation of the last key: what an indented line may continue.
    last: Option<(usize, usize)>,
    /// Sections by folded name, keys by section and folded name.
    sections: HashMap<String, usize>,
    keys: HashMap<(usize, String), usize>,
    repeated: HashSet<usize>,
}

/// The outline of an INI file: keys before the first section, then one table for each section.
pub(super) fn outline(text: &str) -> Result<Outline<'_>, LocateError> {
    let mut outline = Outline::new(text, Format::Ini);
    let root = outline.push(None, Key::Root, 0..text.len(), What::Table);
    let mut scanner = Scanner {
        outline,
        section: root,
        last: None,
        sections: HashMap::new(),
        keys: HashMap::new(),
        repeated: HashSet::new(),
    };
    for (start, line) in lines_with_offsets(text) {
        scanner.line(root, start, line).map_err(|message| LocateError::DoesNotParse {
            format: Format::Ini,
            line: Some(line_at(text, start)),
            message: message.to_string(),
        })?;
    }
    scanner.refuse_repeated_sections();
    Ok(scanner.outline)
}

impl<'a> Scanner<'a> {
    fn line(&mut self, root: usize, start: usize, line: &'a str) -> Result<(), &'static str> {
        let content = line.trim();
        let indent = line.len() - line.trim_start().len();
        if content.is_empty() || content.starts_with(['#', ';']) {
            return Ok(());
        }
        let continues = self.last.filter(|(_, last_indent)| indent > *last_indent);
        if let Some((node, _)) = continues {
            self.refuse(node, Not::Continued);
            // Other readers take it for a key of its own: kept so that it is refused rather than not found.
            if let Some((name, _)) = split_key(content) {
                let at = start + indent;
                self.add_key(name, at..at, What::Not(Not::OddIndent));
            }
            return Ok(());
        }
        if content.starts_with('[') {
            return self.begin_section(root, start, content);
        }
        self.key(start + indent, content, indent)
    }

    fn begin_section(&mut self, root: usize, start: usize, content: &'a str) -> Result<(), &'static str> {
        let (name, rest) = content.get(1..).and_then(|c| c.split_once(']')).ok_or("a `[` is not closed")?;
        if !(rest.trim().is_empty() || rest.trim_start().starts_with(['#', ';'])) {
            return Err("something follows a section's `]`");
        }
        self.last = None;
        self.section = self.outline.push(Some(root), Key::Name(name.into()), start..start, What::Table);
        if let Some(before) = self.sections.insert(name.to_lowercase(), self.section) {
            self.repeated.extend([before, self.section]);
        }
        Ok(())
    }

    /// Sections that come again: neither they nor any key in them have one meaning.
    fn refuse_repeated_sections(&mut self) {
        for i in 0..self.outline.nodes.len() {
            let in_repeated =
                self.outline.nodes.get(i).and_then(|n| n.parent).is_some_and(|p| self.repeated.contains(&p));
            if in_repeated || self.repeated.contains(&i) {
                self.refuse(i, Not::Duplicate);
            }
        }
    }

    fn key(&mut self, start: usize, content: &'a str, indent: usize) -> Result<(), &'static str> {
        let Some((name, delimiter)) = split_key(content) else {
            return Err("expected `[section]`, `key = value` or a comment");
        };
        let node = match delimiter {
            None => self.add_key(name, start..start, What::Not(Not::NoValue)),
            Some(at) => {
                let value = content.get(at + 1..).unwrap_or_default();
                let trimmed = value.trim_start();
                let (span, what) = read_value(start + content.len() - trimmed.len(), trimmed);
                self.add_key(name, span, what)
            }
        };
        self.last = Some((node, indent));
        Ok(())
    }

    fn add_key(&mut self, name: &'a str, span: Range<usize>, what: What<'a>) -> usize {
        let folded = (self.section, name.to_lowercase());
        let before = self.keys.get(&folded).copied();
        let what = if before.is_some() { What::Not(Not::Duplicate) } else { what };
        if let Some(first) = before {
            self.refuse(first, Not::Duplicate);
        }
        let node = self.outline.push(Some(self.section), Key::Name(name.into()), span, what);
        self.keys.insert(folded, node);
        node
    }

    fn refuse(&mut self, node: usize, why: Not) {
        if let Some(node) = self.outline.nodes.get_mut(node) {
            node.what = What::Not(why);
        }
    }
}

/// The name of a key and where its delimiter is; one word alone is a key without a value. `None`: this is no key.
fn split_key(content: &str) -> Option<(&str, Option<usize>)> {
    let delimiter = content.find(['=', ':']);
    let name = content.get(..delimiter.unwrap_or(content.len()))?.trim_end();
    let odd = |c: char| matches!(c, '{' | '}' | '"' | '\'' | '<' | '>' | '(' | ')' | ';' | '#') || c.is_control();
    let words = name.split_whitespace().count();
    let sound = !name.is_empty() && !name.contains(odd) && (delimiter.is_some() || words == 1);
    sound.then_some((name, delimiter))
}

fn read_value(start: usize, trimmed: &str) -> (Range<usize>, What<'_>) {
    if let Some(quote @ ('"' | '\'')) = trimmed.chars().next()
        && let Some(close) = trimmed.get(1..).and_then(|rest| rest.find(quote))
    {
        let inner = trimmed.get(1..close + 1).unwrap_or_default();
        let after = trimmed.get(close + 2..).unwrap_or_default();
        if after.is_empty() || after.starts_with([' ', '\t']) && after.trim_start().starts_with(['#', ';']) {
            let style = if quote == '"' { Quote::Double } else { Quote::Single };
            let what = if inner.ends_with('\\') {
                What::Not(Not::ShellQuoting)
            } else {
                What::Scalar(Scalar::new(Kind::Text, style, inner))
            };
            return (start..start + close + 2, what);
        }
    }
    let comment = trimmed
        .char_indices()
        .find(|(i, c)| {
            matches!(c, '#' | ';') && trimmed.get(..*i).is_none_or(|b| b.is_empty() || b.ends_with([' ', '\t']))
        })
        .map(|(i, _)| i);
    let value = trimmed.get(..comment.unwrap_or(trimmed.len())).unwrap_or_default().trim_end();
    let simple = read_text_number(value).ok().flatten().is_some()
        || ["true", "false", "yes", "no", "on", "off"].iter().any(|w| value.eq_ignore_ascii_case(w));
    let what = if trimmed.ends_with('\\') {
        What::Not(Not::Continued)
    } else if comment.is_some() && !simple {
        What::Not(Not::Comment)
    } else if value.contains(['"', '\'']) {
        What::Not(Not::ShellQuoting)
    } else {
        What::Scalar(Scalar::new(Kind::Text, Quote::Plain, value))
    };
    (start..start + value.len(), what)
}
