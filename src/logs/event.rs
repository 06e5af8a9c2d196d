//! An event as the assembler hands it over: whole, but with its lines still in the text that was read, so that an event
//! of a known group costs no copy.
//!
//! Pure. Not here: which lines are one event (`events`), what is counted (`collect`).

use super::lines::Lines;
use super::scan::Place;
use super::signature::SigId;
use memchr::memrchr;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;

/// Lines of context before and after an event.
pub const CONTEXT: usize = 3;
/// Bytes kept of one line in an event.
const LINE_KEPT: usize = 1024;

/// What is being read: whole lines, and how to tell where they came from.
#[derive(Clone, Copy)]
pub struct Region<'a> {
    pub text: &'a [u8],
    /// The last lines of the region before.
    pub recent: &'a VecDeque<String>,
    /// By the position of a line.
    pub place: &'a dyn Fn(usize) -> Place,
}

impl Region<'_> {
    /// The lines before a position, where a line begins: nearest first, at most as many as are context.
    pub fn before(&self, at: usize) -> impl Iterator<Item = &[u8]> {
        let mut text = self.text.get(..at).unwrap_or_default();
        let mut recent = self.recent.iter().rev();
        let mut left = CONTEXT;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            if text.is_empty() {
                return recent.next().map(String::as_bytes);
            }
            let lines = text.strip_suffix(b"\n").unwrap_or(text);
            let (before, line) = lines.split_at_checked(memrchr(b'\n', lines).map_or(0, |newline| newline + 1))?;
            text = before;
            Some(line)
        })
    }

    /// The same, copied, in their order.
    pub fn lines_before(&self, at: usize) -> Vec<String> {
        let mut lines: Vec<String> = self.before(at).map(shown).collect();
        lines.reverse();
        lines
    }
}

/// A line, or the end of one, of an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Kept {
    /// In the region that is being read.
    Here(u32, u32),
    Owned(String),
}

impl Kept {
    /// A text that stands at a position of the region.
    pub fn here(at: usize, text: &[u8]) -> Kept {
        let end = u32::try_from(at + text.len());
        match (u32::try_from(at), end) {
            (Ok(from), Ok(to)) => Kept::Here(from, to),
            _ => Kept::Owned(shown(text)),
        }
    }

    /// Its text, as it is shown.
    pub fn shown<'a>(&'a self, region: &Region<'a>) -> Cow<'a, str> {
        match self {
            Kept::Here(from, to) => {
                Cow::Owned(shown(region.text.get(*from as usize..*to as usize).unwrap_or_default()))
            }
            Kept::Owned(text) => Cow::Borrowed(text),
        }
    }

    /// Its bytes.
    pub fn bytes<'a>(&'a self, region: &Region<'a>) -> &'a [u8] {
        match self {
            Kept::Here(from, to) => region.text.get(*from as usize..*to as usize).unwrap_or_default(),
            Kept::Owned(text) => text.as_bytes(),
        }
    }

    /// Copies what the region is about to take with it.
    pub fn settle(&mut self, region: &Region<'_>) {
        if let Kept::Here(..) = self {
            *self = Kept::Owned(self.shown(region).into_owned());
        }
    }
}

impl Default for Kept {
    fn default() -> Kept {
        Kept::Owned(String::new())
    }
}

impl From<String> for Kept {
    fn from(text: String) -> Kept {
        Kept::Owned(text)
    }
}

impl From<Kept> for String {
    fn from(kept: Kept) -> String {
        match kept {
            // Lines are settled before they are stored.
            Kept::Here(..) => String::new(),
            Kept::Owned(text) => text,
        }
    }
}

/// Whose frames the lines of an event are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    Python,
    JavaOrNode,
    /// None, or such as nobody takes for those of another language.
    Other,
}

/// An event, whole.
pub struct RawEvent<'a> {
    pub region: Region<'a>,
    pub title: &'a Kept,
    pub lines: &'a Lines,
    pub begin: &'a Begin,
    pub frames: Frames,
    /// What it matched and was not counted for yet; never empty.
    pub signatures: &'a [SigId],
    /// What it is, where that can be told of another one without a closer look.
    pub known: Option<Known>,
    /// It was counted when the reading before this one ended; only these signatures are new.
    pub counted: bool,
}

/// Where an event begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Begin {
    /// In the region that is being read, at this position.
    #[serde(skip)]
    Here(usize),
    /// In one before it, with the lines before it.
    Before { place: Place, before: Vec<String> },
}

impl Begin {
    /// Copies what the region is about to take with it.
    pub fn settle(&mut self, region: &Region<'_>) {
        if let Begin::Here(at) = *self {
            *self = Begin::Before { place: (region.place)(at), before: region.lines_before(at) };
        }
    }
}

impl<'a> RawEvent<'a> {
    /// What happened, in one line, as it stands.
    pub fn title(&self) -> &'a [u8] {
        kept(self.title.bytes(&self.region))
    }

    /// Whether the lines after it can still come.
    pub fn wants_after(&self) -> bool {
        !self.region.text.is_empty()
    }

    /// Its first line.
    pub fn first_line(&self) -> &'a [u8] {
        self.lines.head(&self.region)
    }

    /// Offset and envelope's time of its first line.
    pub fn place(&self) -> Place {
        match self.begin {
            Begin::Here(at) => (self.region.place)(*at),
            Begin::Before { place, .. } => *place,
        }
    }

    /// The first of the lines before it, nearest first, that holds what is looked for.
    pub fn find_before<T>(&self, find: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        match self.begin {
            Begin::Here(at) => self.region.before(*at).find_map(find),
            Begin::Before { before, .. } => before.iter().rev().find_map(|line| find(line.as_bytes())),
        }
    }

    /// The lines before it.
    pub fn before(&self) -> Vec<String> {
        match self.begin {
            Begin::Here(at) => self.region.lines_before(*at),
            Begin::Before { before, .. } => before.clone(),
        }
    }

    /// Its lines as they are kept.
    pub fn lines(&self) -> Vec<String> {
        self.lines.shown(&self.region)
    }
}

/// Events that need no closer look when one like it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// One line without a prefix of its process.
    Line,
    /// A Python traceback, and what belongs to it.
    Traceback,
}

/// An event that is whole where it was found.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub region: Region<'a>,
    pub known: Known,
    /// Where it begins in the region.
    pub at: usize,
    /// The log record that heads it.
    pub record: Option<&'a [u8]>,
    /// Where in the region the line begins that says what happened.
    pub title_at: usize,
    /// That line.
    pub title: &'a [u8],
    /// The shape of the title, where it is known.
    pub shape: Option<u64>,
    /// What it matched; never empty.
    pub signatures: &'a [SigId],
}

/// Takes events.
pub trait Sink {
    /// Takes an event; a number, when the lines after it are wanted.
    fn event(&mut self, event: &RawEvent<'_>) -> Option<u32>;
    /// An event with a title of this shape may come.
    fn expect(&self, shape: u64);
    /// Takes an event that is like one before, of the same signatures and with a title of the same shape. False
    /// where there was none: it was not taken.
    fn again(&mut self, event: &Seen<'_>) -> bool;
    /// Takes the lines after an event, by its number.
    fn after(&mut self, number: u32, lines: Vec<String>);
    /// Copies what the region is about to take with it.
    fn settle(&mut self, region: &Region<'_>);
}

/// What is kept of a line: so many bytes, without the carriage return.
pub fn kept(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.get(..LINE_KEPT).unwrap_or(line)
}

/// A line as it is kept: bounded, valid UTF-8, without the carriage return.
pub fn shown(line: &[u8]) -> String {
    // Copied first: the bytes of a mapped file may change after they were found to be text. Valid text is told as such many
    // times faster.
    let text = String::from_utf8(kept(line).to_vec());
    text.unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}
