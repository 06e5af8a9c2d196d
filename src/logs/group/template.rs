//! The first stage of grouping: a title with its header stripped and its variable parts masked by their form.
//!
//! Pure: one title at a time. Not here: what is learned from many titles.

use super::fingerprint::MAX_TITLE;
use super::{header, mask, token};
use crate::logs::escapes;
use memchr::memmem;
use std::borrow::Cow;

/// A quoted text longer than this is no quoted text.
const MAX_QUOTED: usize = 200;
/// A key of JSON longer than this is a quoted text.
const MAX_KEY: usize = 40;
/// A list's entries have at most so many words.
const MAX_PERIOD: usize = 4;

/// The template of a title: header stripped, numbers, ids, addresses, hosts, paths, quoted texts and durations masked,
/// lists of masked words cut to one entry.
pub fn of_title(title: &str) -> String {
    let plain = without_escapes(cut(title));
    let text = header::message(plain.as_bytes());
    let mut words = Words::with_room(text.len() + 16);
    let mut at = 0;
    // Where a quoted text ends that is read as text.
    let mut quote_end = None;
    while let Some(first) = text.get(at).copied() {
        let rest = text.get(at..).unwrap_or_default();
        at += match first {
            b if b.is_ascii_whitespace() => {
                words.end();
                1
            }
            _ if quote_end == Some(at) => {
                words.out.push(first);
                1
            }
            b'\'' | b'"' | b'`' => match quoted(rest, text.get(..at).unwrap_or_default()) {
                Quoted::Value(length) => {
                    words.out.extend_from_slice(b"<str>");
                    length
                }
                Quoted::Request(method, length) => {
                    words.out.extend_from_slice(b"\"");
                    words.out.extend_from_slice(method);
                    words.end();
                    words.out.extend_from_slice(b"<path>\"");
                    length
                }
                Quoted::Key(length) => {
                    words.out.extend_from_slice(rest.get(..length).unwrap_or_default());
                    length
                }
                Quoted::Said(length) => {
                    quote_end = Some(at + length - 1);
                    words.out.push(first);
                    1
                }
                Quoted::No => {
                    words.out.push(first);
                    1
                }
            },
            b if is_delimiter(b) => {
                words.out.push(first);
                1
            }
            _ => word(rest, &mut words.out),
        };
    }
    words.into_text()
}

/// The part that is looked at; no word is cut in two.
fn cut(title: &str) -> &str {
    if title.len() <= MAX_TITLE {
        return title;
    }
    let kept = title.get(..title.floor_char_boundary(MAX_TITLE)).unwrap_or(title);
    kept.rfind(char::is_whitespace).and_then(|space| kept.get(..space)).filter(|k| !k.is_empty()).unwrap_or(kept)
}

/// Without the terminal's colour codes, quotes without what escapes them.
fn without_escapes(text: &str) -> Cow<'_, str> {
    let mut plain = match escapes::without(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    };
    if memchr::memchr(b'\\', plain.as_bytes()).is_some() {
        // What syslog makes of a quote, and JSON.
        plain = Cow::Owned(plain.replace("\\042", "\"").replace("\\\"", "\""));
    }
    plain
}

fn is_delimiter(b: u8) -> bool {
    b.is_ascii_whitespace() || b"()[]{}<>,;=|".contains(&b)
}

/// Words with one space between them.
struct Words {
    out: Vec<u8>,
    /// Where each begins, the one being written too.
    starts: Vec<usize>,
}

impl Words {
    fn with_room(bytes: usize) -> Words {
        Words { out: Vec::with_capacity(bytes), starts: vec![0] }
    }

    /// Ends the word being written, if one has begun.
    fn end(&mut self) {
        if self.starts.last().is_some_and(|start| *start == self.out.len()) {
            return;
        }
        self.join_unit();
        while self.drop_repeated() {}
        self.out.push(b' ');
        self.starts.push(self.out.len());
    }

    /// A number and its unit are one amount, as they are when no space stands between them.
    fn join_unit(&mut self) {
        let Some(last) = self.starts.len().checked_sub(1).filter(|last| *last > 0) else { return };
        // What the number may stand behind: a bracket, a key.
        let number = self.range(last - 1);
        let Some(before) = self.word(last - 1).strip_suffix(b"<num>").map(<[u8]>::len) else { return };
        let word = self.word(last);
        let end = word.iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |at| at + 1);
        let (unit, tail) = word.split_at(end);
        let Some(amount) = mask::with_unit(unit) else { return };
        let tail = tail.to_vec();
        self.out.truncate(number.start + before);
        self.out.extend_from_slice(amount.as_bytes());
        self.out.extend_from_slice(&tail);
        self.starts.truncate(last);
    }

    /// Drops the last words where they say what the words before them say, one more entry of a list of masked words.
    fn drop_repeated(&mut self) -> bool {
        let count = self.starts.len();
        for period in 1..=MAX_PERIOD.min(count / 2) {
            let words = count - period..count;
            let same = |at: usize| bare(self.word(at)) == bare(self.word(at - period));
            if words.clone().rev().all(same) && words.clone().any(|at| self.word(at).contains(&b'<')) {
                let (last, kept) = (self.range(count - 1), self.range(count - 1 - period).start);
                let end = kept + last.len();
                self.out.copy_within(last, kept);
                self.out.truncate(end);
                self.starts.truncate(count - period);
                return true;
            }
        }
        false
    }

    fn range(&self, at: usize) -> std::ops::Range<usize> {
        let start = self.starts.get(at).copied().unwrap_or(self.out.len());
        start..self.starts.get(at + 1).map_or(self.out.len(), |next| next - 1)
    }

    fn word(&self, at: usize) -> &[u8] {
        self.out.get(self.range(at)).unwrap_or_default()
    }

    fn into_text(mut self) -> String {
        self.end();
        let kept = self.out.trim_ascii_end().len();
        self.out.truncate(kept);
        match String::from_utf8(self.out) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        }
    }
}

/// A list's entry without what separates it from the next.
fn bare(word: &[u8]) -> &[u8] {
    let end = word.iter().rposition(|b| !b",;".contains(b)).map_or(0, |last| last + 1);
    word.get(..end).unwrap_or_default()
}

/// What a quote begins; with the length of the whole.
enum Quoted<'a> {
    /// A variable.
    Value(usize),
    /// `"user":` of JSON.
    Key(usize),
    /// `"GET /v1/items HTTP/1.1"`, whose method this is.
    Request(&'a [u8], usize),
    /// What happened: `msg="read timeout"`. It is read like any text.
    Said(usize),
    /// An apostrophe inside of a word, an inch, half a pair.
    No,
}

fn quoted<'a>(rest: &'a [u8], before: &[u8]) -> Quoted<'a> {
    let quote = rest.first().copied().unwrap_or_default();
    let window = rest.get(1..rest.len().min(MAX_QUOTED)).unwrap_or_default();
    let in_word = before.last().is_some_and(u8::is_ascii_alphanumeric);
    let Some(inner) = memchr::memchr(quote, window).filter(|_| !in_word).and_then(|n| window.get(..n)) else {
        // A long message of a JSON line.
        return if !in_word && is_said(before, rest) { Quoted::Said(rest.len() + 1) } else { Quoted::No };
    };
    let length = inner.len() + 2;
    let is_key = |b: &u8| b.is_ascii_alphanumeric() || b"_.@-".contains(b);
    if rest.get(length) == Some(&b':') && !inner.is_empty() && inner.len() <= MAX_KEY && inner.iter().all(is_key) {
        return Quoted::Key(length);
    }
    if let Some(method) = request_method(inner) {
        return Quoted::Request(method, length);
    }
    if is_said(before, inner) { Quoted::Said(length) } else { Quoted::Value(length) }
}

fn request_method(inner: &[u8]) -> Option<&[u8]> {
    const METHODS: [&[u8]; 7] = [b"GET", b"POST", b"PUT", b"PATCH", b"HEAD", b"OPTIONS", b"DELETE"];
    let method = inner.split(|b| *b == b' ').next()?;
    (METHODS.contains(&method) && inner.len() > method.len()).then_some(method)
}

/// Whether a quoted text is what happened: a word that says so (`'inactive'`), a sentence that ends as one, or what the
/// text before it names as such (`msg=`, `"error":`, `error: ` before a sentence).
fn is_said(before: &[u8], inner: &[u8]) -> bool {
    let spaces = inner.iter().filter(|b| **b == b' ').count();
    let is_sentence = spaces >= 2 && inner.ends_with(b".") && inner.first().is_some_and(u8::is_ascii_uppercase);
    let is_word = inner.len() <= 16 && inner.iter().all(u8::is_ascii_alphabetic);
    if is_sentence || is_word && std::str::from_utf8(inner).is_ok_and(token::says) {
        return true;
    }
    let Some((separator, key)) = before.trim_ascii_end().split_last() else { return false };
    let is_json = key.last() == Some(&b'"');
    if !(*separator == b'=' || *separator == b':' && (is_json || inner.contains(&b' '))) {
        return false;
    }
    let key = key.strip_suffix(b"\"").unwrap_or(key);
    let start = key.iter().rposition(|b| !b.is_ascii_alphabetic()).map_or(0, |at| at + 1);
    token::is_saying(key.get(start..).unwrap_or_default())
}

/// Masks one word; returns how much of the text it was.
fn word(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let until = |stop: fn(&u8) -> bool| rest.iter().position(stop).unwrap_or(rest.len());
    let mut end = until(|b| is_delimiter(*b) || b"'\"`".contains(b));
    if memmem::find(rest.get(..end).unwrap_or_default(), b"://").is_some() {
        end = until(|b| b.is_ascii_whitespace() || b"'\"`<>)]}".contains(b));
    }
    let whole = rest.get(..end).unwrap_or_default();
    // What a colon joins to a key without a space: `"ts":1700000000`.
    let colons = whole.iter().take_while(|b| **b == b':').count();
    let (lead, whole) = whole.split_at(colons);
    out.extend_from_slice(lead);
    let core_end = whole.iter().rposition(|b| !b".:!?".contains(b)).map_or(0, |last| last + 1);
    let (core, tail) = whole.split_at(core_end);
    match mask::of_word(core) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => mask::digits(core, out),
    }
    out.extend_from_slice(tail);
    end.max(1)
}
