//! Why a literal could not be found or replaced, in sentences for people. Never quotes the file beyond names of keys.

use super::text::line_at;
use crate::config::Format;
use std::fmt;

/// Why a selector did not lead to one literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocateError {
    TooLarge {
        bytes: usize,
    },
    NotUtf8 {
        line: usize,
    },
    /// The selector is one of another format.
    WrongSelector {
        at: String,
        format: Format,
    },
    DoesNotParse {
        format: Format,
        line: Option<usize>,
        message: String,
    },
    NotFound {
        at: String,
        near: Vec<Near>,
    },
    /// 1-based lines of every place that is meant.
    Several {
        at: String,
        lines: Vec<usize>,
    },
    NotLiteral {
        at: String,
        line: usize,
        why: Not,
    },
}

/// Something with a similar name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Near {
    pub at: String,
    pub line: usize,
}

/// What stands where a literal was expected, or on the way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Not {
    Table,
    List,
    Null,
    NoValue,
    Date,
    Expression,
    FString,
    PrefixedString,
    Concatenation,
    MultiLine,
    BlockScalar,
    Alias,
    BehindMergeKey,
    Tagged,
    Duplicate,
    EscapedItem,
    Chained,
    Augmented,
    Unpacking,
    MissingArgument,
    AfterSplat,
    Continued,
    OddIndent,
    Comment,
    Interpolation,
    ShellQuoting,
    OddEscape,
}

impl Not {
    fn sentence(self) -> &'static str {
        match self {
            Not::Table => "is a table, not a literal: name a key in it",
            Not::List => "is a list, not a literal: name an item of it, such as `[0]` or `[KEY=]`",
            Not::Null => "is null or empty, not a literal",
            Not::NoValue => "has no value",
            Not::Date => "is a date or time, which is not edited",
            Not::Expression => "is an expression, not a literal",
            Not::FString => "is an f-string, not a literal",
            Not::PrefixedString => "is a string with a prefix (r, b, u), which is not edited",
            Not::Concatenation => "is put together of several strings, not one literal",
            Not::MultiLine => "spans several lines, which is not edited",
            Not::BlockScalar => "is a block of text, which is not edited",
            Not::Alias => "is an alias (`*name`): edit the place of its anchor (`&name`) instead",
            Not::BehindMergeKey => {
                "may come from a merge key (`<<`): edit the place that it merges, or write the key there"
            }
            Not::Tagged => "carries a tag (`!name`), which is not edited",
            Not::Duplicate => "is there several times (also in other case), of which readers choose differently",
            Not::EscapedItem => "is an item with escapes or quotes in it, which is not edited in part",
            Not::Chained => "is assigned to several names at once",
            Not::Augmented => "is an augmented assignment (such as `+=`), not a plain one",
            Not::Unpacking => "is unpacked from a tuple, not assigned a literal",
            Not::MissingArgument => "has no such positional argument",
            Not::AfterSplat => "comes after a `*` argument, so that its number is not known",
            Not::Continued => "goes on in the next line, which is not edited",
            Not::OddIndent => "is indented deeper than the line before: some readers take it for its continuation",
            Not::Comment => "is followed by what some readers take for a comment and some for a part of the text",
            Not::Interpolation => "refers to other variables, so it is an expression",
            Not::ShellQuoting => "holds quotes, backslashes or backticks that readers take differently",
            Not::OddEscape => "holds an escape that is not edited (octal, by name, or a bad one)",
        }
    }
}

impl fmt::Display for LocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LocateError::TooLarge { bytes } => {
                write!(f, "the file has {bytes} bytes; files over {} are not edited", super::MAX_BYTES)
            }
            LocateError::NotUtf8 { line } => write!(f, "line {line} is not UTF-8; only UTF-8 files are edited"),
            LocateError::WrongSelector { at, format } => {
                write!(f, "`{at}` is no selector for a {} file", format.word())
            }
            LocateError::DoesNotParse { format, line, message } => {
                write!(f, "the file is not sound {}", format.word())?;
                if let Some(line) = line {
                    write!(f, ", line {line}")?;
                }
                write!(f, ": {message}")
            }
            LocateError::NotFound { at, near } => {
                write!(f, "`{at}` is not in the file")?;
                let near: Vec<String> = near.iter().map(|n| format!("`{}`, line {}", n.at, n.line)).collect();
                if near.is_empty() { Ok(()) } else { write!(f, "; did you mean {}?", near.join(", or ")) }
            }
            LocateError::Several { at, lines } => {
                let shown: Vec<String> = lines.iter().take(10).map(ToString::to_string).collect();
                let more = if lines.len() > 10 { ", ..." } else { "" };
                write!(
                    f,
                    "`{at}` is there {} times (lines {}{more}); it must mean exactly one place",
                    lines.len(),
                    shown.join(", ")
                )
            }
            LocateError::NotLiteral { at, line, why } => write!(f, "`{at}` (line {line}) {}", why.sentence()),
        }
    }
}

impl std::error::Error for LocateError {}

/// Why a literal was not replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyError {
    /// In the file as it is.
    Locate(LocateError),
    /// In the file as it would be: the selector no longer leads to the new literal.
    Broken(LocateError),
    /// The new text is read as something else than one literal of the old type and quoting.
    OtherType { new: String },
    /// Something else in the file would change (1-based line).
    OtherPlace { new: String, line: usize },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::Locate(e) => e.fmt(f),
            ApplyError::Broken(e) => write!(f, "nothing was changed: with the new literal, {e}"),
            ApplyError::OtherType { new } => write!(
                f,
                "nothing was changed: `{}` is not a literal of the same type and quoting as the one it would replace",
                new.escape_debug()
            ),
            ApplyError::OtherPlace { new, line } => {
                write!(f, "nothing was changed: `{}` would change what is read at line {line} too", new.escape_debug())
            }
        }
    }
}

impl std::error::Error for ApplyError {}

/// Names looked at for a suggestion, at most.
pub(super) const MAX_CANDIDATES: usize = 20_000;
const MAX_SUGGESTIONS: usize = 3;
/// Jaro-Winkler similarity from which a name is close.
const CLOSE: f64 = 0.85;

/// The names closest to the wanted one, of `(name, offset, ends in the same way)`.
pub(super) fn nearest(wanted: &str, candidates: impl Iterator<Item = (String, usize, bool)>, text: &str) -> Vec<Near> {
    let mut close: Vec<(f64, String, usize)> = candidates
        .filter(|(name, ..)| name != wanted)
        .filter_map(|(name, offset, same_end)| {
            let score = strsim::jaro_winkler(&name.to_lowercase(), &wanted.to_lowercase());
            let score = if same_end { score.max(CLOSE) } else { score };
            (score >= CLOSE).then_some((score, name, offset))
        })
        .collect();
    close.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
    close.dedup_by(|a, b| a.1 == b.1);
    close.into_iter().take(MAX_SUGGESTIONS).map(|(_, at, offset)| Near { at, line: line_at(text, offset) }).collect()
}
