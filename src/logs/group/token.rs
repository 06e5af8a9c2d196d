//! The words of a template, and which of them may turn out to be variables.
//!
//! Pure. What a word is by its form is `mask`'s.

use std::collections::HashSet;
use std::sync::LazyLock;

/// What a word can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Punctuation.
    Fixed,
    /// `<num>` and the like: a variable, whatever else is seen there.
    Mask,
    /// `<*>`: learned to be a variable.
    Wild,
    /// Letters with digits: `eth<num>`, `task_<num>_a`.
    Id,
    /// Letters with other signs or humps: `app.jobs`, `max_size`, `fetchMail`.
    Name,
    Word,
}

/// One word, and where it stands in the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub at: usize,
    pub kind: Kind,
}

pub const WILD: &str = "<*>";
const MASKS: [&str; 13] = [
    WILD,
    "<num>",
    "<ip>",
    "<hex>",
    "<duration>",
    "<size>",
    "<version>",
    "<id>",
    "<str>",
    "<path>",
    "<url>",
    "<email>",
    "<host>",
];
/// Keys whose value says what happened.
const SAYING: [&str; 18] = [
    "msg",
    "message",
    "error",
    "err",
    "reason",
    "cause",
    "exception",
    "status",
    "state",
    "level",
    "lvl",
    "severity",
    "event",
    "code",
    "errno",
    "result",
    "type",
    "kind",
];
/// Words that say what happened.
static MEANING: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("meaning.txt").lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).collect()
});

/// Whether the value of this key says what happened.
pub fn is_saying(key: &[u8]) -> bool {
    SAYING.iter().any(|k| key.eq_ignore_ascii_case(k.as_bytes()))
}

/// Length of the mask that a text starts with.
fn mask_length(text: &str) -> Option<usize> {
    MASKS.iter().find(|m| text.starts_with(**m)).map(|m| m.len())
}

/// The words of a template: split at spaces and `=`, punctuation around them apart, brackets inside of them kept.
pub fn of(template: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::with_capacity(16);
    let mut at = 0;
    for piece in template.split(' ') {
        let (lead, end) = core(piece);
        fixed(&mut tokens, piece.get(..lead), at);
        let mut start = lead;
        for (n, part) in piece.get(lead..end).unwrap_or_default().split('=').enumerate() {
            if n > 0 {
                fixed(&mut tokens, Some("="), at + start - 1);
            }
            if !part.is_empty() {
                tokens.push(Token { text: part, at: at + start, kind: kind(part) });
            }
            start += part.len() + 1;
        }
        fixed(&mut tokens, piece.get(end..), at + end);
        at += piece.len() + 1;
    }
    tokens
}

fn fixed<'a>(tokens: &mut Vec<Token<'a>>, text: Option<&'a str>, at: usize) {
    if let Some(text) = text.filter(|t| !t.is_empty()) {
        tokens.push(Token { text, at, kind: Kind::Fixed });
    }
}

/// Where the word inside of its punctuation begins and ends.
fn core(piece: &str) -> (usize, usize) {
    let bytes = piece.as_bytes();
    let mut lead = 0;
    while let Some(b) = bytes.get(lead)
        && b"([{<\"'`,;|=".contains(b)
        && piece.get(lead..).and_then(mask_length).is_none()
    {
        lead += 1;
    }
    let open = [b'(', b'[', b'{'].map(|o| count(bytes.get(lead..), o));
    let mut close = [b')', b']', b'}'].map(|c| count(bytes.get(lead..), c));
    let mut end = bytes.len();
    while let Some(b) = end.checked_sub(1).filter(|last| *last >= lead).and_then(|last| bytes.get(last)) {
        let pair = b")]}".iter().position(|c| c == b);
        let balanced = pair.is_some_and(|p| close.get(p) <= open.get(p));
        let masked = *b == b'>' && piece.get(lead..end).is_some_and(|core| MASKS.iter().any(|m| core.ends_with(m)));
        if balanced || masked || !b")]}>,;:.!?\"'`|=".contains(b) {
            break;
        }
        if let Some(n) = pair.and_then(|p| close.get_mut(p)) {
            *n -= 1;
        }
        end -= 1;
    }
    (lead, end)
}

fn count(bytes: Option<&[u8]>, byte: u8) -> usize {
    bytes.unwrap_or_default().iter().filter(|b| **b == byte).count()
}

fn kind(word: &str) -> Kind {
    if word == WILD {
        return Kind::Wild;
    }
    let (mut rest, mut masked, mut letters, mut signs, mut humps) = (word, false, 0, false, false);
    let mut was_lower = false;
    while let Some(first) = rest.chars().next() {
        if first == '<'
            && let Some(length) = mask_length(rest)
        {
            masked = true;
            was_lower = false;
            rest = rest.get(length..).unwrap_or_default();
            continue;
        }
        // Letters beyond ASCII too.
        if first.is_alphabetic() {
            letters += 1;
            humps |= was_lower && first.is_uppercase();
        } else {
            signs = true;
        }
        was_lower = first.is_lowercase();
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    match (letters, masked) {
        (0, true) => Kind::Mask,
        (0, false) => Kind::Fixed,
        (_, true) => Kind::Id,
        (1, false) => Kind::Name,
        _ if signs || humps => Kind::Name,
        _ => Kind::Word,
    }
}

/// Whether a word says what happened, or is an error's name: never a variable.
pub fn is_meaning(word: &str) -> bool {
    const ERRORS: [&str; 6] = ["Error", "Exception", "Warning", "Failure", "Timeout", "Violation"];
    let is_error = |name: &str| {
        word.match_indices(name)
            .any(|(at, _)| !word.as_bytes().get(at + name.len()).is_some_and(u8::is_ascii_lowercase))
    };
    let is_errno = |prefix: &str, least: usize| {
        word.strip_prefix(prefix).is_some_and(|r| r.len() >= least && r.bytes().all(|b| b.is_ascii_uppercase()))
    };
    let has_capital = word.bytes().any(|b| b.is_ascii_uppercase());
    if has_capital && (is_errno("E", 3) || is_errno("SIG", 3) || ERRORS.iter().any(|name| is_error(name))) {
        return true;
    }
    // Of a compound its last word says what it is: `read_timeout` is a timeout, `load_orders` are orders.
    let is_compound = !word.bytes().all(|b| b.is_ascii_alphabetic());
    parts(word).last().is_some_and(|part| part.len() > if is_compound { 3 } else { 1 } && says(part))
}

/// Whether a word says what happened.
pub fn says(part: &str) -> bool {
    let lower = part.to_ascii_lowercase();
    MEANING.contains(lower.as_str())
}

/// The words that a name is made of: `fetchMail`, `read_timeout`.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    word.split(|c: char| !c.is_ascii_alphabetic()).flat_map(humps).filter(|p| !p.is_empty())
}

fn humps(word: &str) -> impl Iterator<Item = &str> {
    let bytes = word.as_bytes();
    let starts = |at: usize| {
        let is = |n: usize, f: fn(&u8) -> bool| bytes.get(n).is_some_and(f);
        is(at, u8::is_ascii_uppercase) && (is(at - 1, u8::is_ascii_lowercase) || is(at + 1, u8::is_ascii_lowercase))
    };
    let mut from = 0;
    let mut ends = (1..word.len()).filter(move |at| starts(*at)).chain([word.len()]);
    std::iter::from_fn(move || {
        let end = ends.next()?;
        let part = word.get(from..end);
        from = end;
        part
    })
}

/// Whether the word at a place is named as what happened: `reason=quota`, `"level":"error"`, or is the name of an error
/// at the start: `DeadlockDetected: ...`.
pub fn is_said(tokens: &[Token<'_>], place: usize) -> bool {
    let text = |n: Option<usize>| n.and_then(|n| tokens.get(n)).map_or("", |t| t.text);
    let before = text(place.checked_sub(1));
    if place == 0 {
        let name = text(Some(0)).rsplit(['.', ':', '$']).next().unwrap_or_default();
        let is_class =
            name.starts_with(|c: char| c.is_ascii_uppercase()) && name.bytes().all(|b| b.is_ascii_alphabetic());
        return is_class && text(Some(1)).starts_with(':');
    }
    let separated = before.starts_with(['=', ':', '"']) && !before.contains(char::is_alphabetic);
    separated && is_saying(text(place.checked_sub(2)).trim_matches('"').as_bytes())
}

/// A word with all its masks alike.
pub fn without_kinds(word: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(word.len()), word);
    while let Some(open) = rest.find('<') {
        let (before, masked) = rest.split_at(open);
        out.push_str(before);
        let length = mask_length(masked).unwrap_or(1);
        out.push_str(if length > 1 { "<>" } else { "<" });
        rest = masked.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}
