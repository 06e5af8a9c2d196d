//! Stack traces: which lines continue one. One small state machine per language, fed with lines whose prefix is gone.
//!
//! Pure. Not here: prefixes, interleaving, what becomes an event.

use super::wide::{any_block, wide};
use memchr::memmem;
use serde::{Deserialize, Serialize};

/// The line that opens a Python traceback, without a prefix.
const PYTHON: &[u8; 34] = b"Traceback (most recent call last):";
const TRACEBACK: &str = "Traceback (most recent call last):";
/// Texts at which the scanner must stop, because a stack trace may begin there.
pub const OPENERS: [&str; 4] = [TRACEBACK, "' panicked at", "panic: ", "fatal error: "];
/// The lines that chain another Python traceback to one.
pub const CHAINING: [&str; 2] = [
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
];
/// A frame begins within so many first bytes of its line.
const FRAME_WITHIN: usize = 240;
/// Most lines of text that may follow the last line of a Python exception as part of its message.
const MAX_MESSAGE_LINES: u16 = 20;

/// Where in a stack trace we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stack {
    /// One line, so far: the next one may turn out to be a frame of Java or Node.
    Line,
    PythonFrames,
    /// After the exception's own line: more of its message, or the words that chain another traceback to it.
    PythonMessage(u16),
    /// After those words.
    PythonChained,
    /// An exception group, until the rule that ends it.
    PythonGroup,
    /// Java and Node frames, causes, and the properties that Node prints.
    Frames,
    Go,
    GoRoutines,
    /// The message of a Rust panic comes on the next line.
    RustMessage,
    RustTail,
}

/// What a line is to a stack trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A frame, source text, blank: part of it, says nothing about what went wrong.
    Detail(Stack),
    /// Part of it and says what went wrong; it may carry signatures.
    Cause(Stack),
    /// Says what went wrong, and is the title from now on.
    Title(Stack),
    /// Not part of it.
    Foreign,
}

/// A stack trace that begins on a line.
pub struct Opening {
    /// Length of what stands before it on the line.
    pub prefix: usize,
    pub stack: Stack,
}

/// The stack trace that a line opens by itself.
pub fn opening(line: &[u8]) -> Option<Opening> {
    let line = line.trim_ascii_end();
    let head = line.get(..line.len().min(400)).unwrap_or_default();
    if let Some(text) = line.strip_suffix(PYTHON) {
        return Some(match text.strip_suffix(b"+ Exception Group ") {
            Some(before) => Opening { prefix: before.trim_ascii_end().len(), stack: Stack::PythonGroup },
            None => Opening { prefix: text.len(), stack: Stack::PythonFrames },
        });
    }
    if let (Some(prefix), Some(at)) = (memmem::find(head, b"thread '"), memmem::find(head, b"' panicked at")) {
        let stack = if line.ends_with(b":") { Stack::RustMessage } else { Stack::RustTail };
        return (prefix < at).then_some(Opening { prefix, stack });
    }
    for opener in [b"panic: ".as_slice(), b"fatal error: "] {
        if let Some(prefix) = memmem::find(head, opener) {
            let process = super::prefix::Prefix::of_process(head);
            let starts = prefix == 0 || process.strip(head).is_some_and(|body| body.starts_with(opener));
            return starts.then_some(Opening { prefix, stack: Stack::Go });
        }
    }
    None
}

/// Whether a line may be a Java or Node frame or cause.
pub fn may_be_frame(line: &[u8]) -> bool {
    may_hold_frame(line.get(..FRAME_WITHIN).unwrap_or(line))
}

/// Length of what stands before a Java or Node frame or cause, where the line is one.
pub fn frame_prefix(line: &[u8]) -> Option<usize> {
    let head = line.get(..FRAME_WITHIN).unwrap_or(line);
    if may_hold_frame(head) { frame_in(head) } else { None }
}

fn frame_in(head: &[u8]) -> Option<usize> {
    let begins = |at: usize| {
        let (space, rest) = head.split_at_checked(at)?;
        let is_frame = match rest.first()? {
            b'a' => rest.starts_with(b"at ") && is_apart(space) && rest.iter().any(|b| b"(:<".contains(b)),
            b'.' => rest.starts_with(b"... ") && is_apart(space),
            b'C' => rest.starts_with(b"Caused by: "),
            _ => false,
        };
        is_frame.then(|| space.trim_ascii_end().len())
    };
    let words = memchr::memchr2_iter(b' ', b'\t', head).map(|space| space + 1);
    std::iter::once(0).chain(words).find_map(begins)
}

wide! {
    /// Whether a word begins as a frame or a cause does. Without a branch, so that many bytes are looked at in one instruction:
    /// most lines are none.
    fn may_hold_frame(text: &[u8]) -> bool {
        let is = |a: u8, b: u8| u8::from(a == b);
        let begins = |left: u8, blank: u8, a: u8, b: u8, c: u8| {
            let is_blank = is(blank, b' ') | is(blank, b'\t');
            let is_apart = is(blank, b'\t') | is(blank, b' ') & is(left, b' ');
            let is_frame = is(a, b'a') & is(b, b't') & is(c, b' ') | is(a, b'.') & is(b, b'.') & is(c, b'.');
            is_apart & is_frame | is_blank & is(a, b'C') & is(b, b'a') & is(c, b'u')
        };
        let is_in = |block: &[u8; 36]| {
            let blanks = block.iter().zip(block.iter().skip(1));
            let words = block.iter().skip(2).zip(block.iter().skip(3)).zip(block.iter().skip(4));
            let any = blanks.zip(words).fold(0, |any, ((left, blank), ((a, b), c))| any | begins(*left, *blank, *a, *b, *c));
            any != 0
        };
        let first = match text {
            [b'C', b'a', b'u', ..] => true,
            [blank, a, b, c, ..] => begins(0, *blank, *a, *b, *c) != 0,
            _ => false,
        };
        first || any_block(text, 4, is_in)
    }
}

/// Whether more stands before a frame than the space between two words.
fn is_apart(space: &[u8]) -> bool {
    matches!(space, [.., b'\t'] | [.., b' ', b' '])
}

impl Stack {
    /// What a line, without its prefix, is to this stack trace.
    pub fn offer(self, body: &[u8]) -> Part {
        let body = body.trim_ascii_end();
        match self {
            Stack::Line => Part::Foreign,
            Stack::PythonFrames => python_frames(body),
            Stack::PythonMessage(lines) => python_message(body, lines),
            Stack::PythonChained if body.is_empty() => Part::Detail(self),
            Stack::PythonChained if opens_group(body) => Part::Detail(Stack::PythonGroup),
            Stack::PythonChained if is_python(body) => Part::Detail(Stack::PythonFrames),
            Stack::PythonChained => Part::Foreign,
            Stack::PythonGroup => python_group(body),
            Stack::Frames => frames(body),
            Stack::Go => go(body),
            Stack::GoRoutines => go_routines(body),
            Stack::RustMessage => Part::Title(Stack::RustTail),
            Stack::RustTail => rust_tail(body),
        }
    }
}

/// Whether a line, without a prefix, opens a Python traceback.
#[inline]
pub fn is_python(line: &[u8]) -> bool {
    // Of a length that is known, it is compared in place.
    <&[u8; PYTHON.len()]>::try_from(line).is_ok_and(|line| line == PYTHON)
}

fn is_indented(body: &[u8]) -> bool {
    matches!(body, [b' ' | b'\t', ..])
}

fn python_frames(body: &[u8]) -> Part {
    if is_indented(body) || body.is_empty() {
        return Part::Detail(Stack::PythonFrames);
    }
    if is_exception(body) { Part::Title(Stack::PythonMessage(0)) } else { Part::Foreign }
}

/// `module.Name: message`, or the name alone; not `INFO: ...`.
fn is_exception(body: &[u8]) -> bool {
    const LEVELS: [&[u8]; 9] =
        [b"TRACE", b"DEBUG", b"INFO", b"NOTICE", b"WARN", b"WARNING", b"ERROR", b"CRITICAL", b"FATAL"];
    let of_name = |b: &u8| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'<' | b'>' | 0x80..);
    let end = body.iter().position(|b| !of_name(b));
    let (name, rest) = body.split_at(end.unwrap_or(body.len()));
    let starts = name.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_' || *b >= 0x80);
    starts && !LEVELS.contains(&name) && (rest.is_empty() || rest == b":" || rest.starts_with(b": "))
}

/// Whether a line opens the traceback of a group of exceptions.
fn opens_group(body: &[u8]) -> bool {
    body.ends_with(b"Exception Group Traceback (most recent call last):")
}

/// Whether a line chains another Python traceback to one.
pub fn is_chaining(line: &[u8]) -> bool {
    CHAINING.iter().any(|words| line == words.as_bytes())
}

fn python_message(body: &[u8], lines: u16) -> Part {
    if is_chaining(body) {
        return Part::Detail(Stack::PythonChained);
    }
    if body.is_empty() && lines < MAX_MESSAGE_LINES {
        // A blank line stands before those words; it is not part of the message.
        return Part::Detail(Stack::PythonMessage(MAX_MESSAGE_LINES));
    }
    if is_indented(body) && !opens_group(body) && lines < MAX_MESSAGE_LINES {
        return Part::Detail(Stack::PythonMessage(lines + 1));
    }
    Part::Foreign
}

fn python_group(body: &[u8]) -> Part {
    let inner = body.trim_ascii_start();
    if is_indented(body) && inner.starts_with(b"+---") && inner.iter().skip(1).all(|b| *b == b'-') {
        return Part::Detail(Stack::PythonMessage(0));
    }
    match inner.strip_prefix(b"| ") {
        Some(text) if is_exception(text) && memmem::find(text, b"ExceptionGroup: ").is_some() => {
            // Groups may hold groups: the outermost one, which comes first, is the title.
            Part::Title(Stack::PythonGroup)
        }
        Some(text) if is_exception(text) => Part::Cause(Stack::PythonGroup),
        _ if matches!(inner, [b'|' | b'+', ..]) => Part::Detail(Stack::PythonGroup),
        _ => Part::Foreign,
    }
}

fn frames(body: &[u8]) -> Part {
    let text = body.trim_ascii_start();
    if text.starts_with(b"Caused by: ") || text.starts_with(b"Suppressed: ") || text.starts_with(b"[cause]: ") {
        return Part::Cause(Stack::Frames);
    }
    if (is_indented(body) && !text.is_empty()) || text == b"}" || text.starts_with(b"at ") {
        return Part::Detail(Stack::Frames);
    }
    Part::Foreign
}

fn go(body: &[u8]) -> Part {
    if body.starts_with(b"goroutine ") || body.starts_with(b"runtime stack:") {
        return Part::Detail(Stack::GoRoutines);
    }
    if body.starts_with(b"[signal ") || body.trim_ascii_start().starts_with(b"panic: ") {
        return Part::Cause(Stack::Go);
    }
    if body.is_empty() || is_indented(body) { Part::Detail(Stack::Go) } else { Part::Foreign }
}

fn go_routines(body: &[u8]) -> Part {
    let is_call = body.ends_with(b")") && !body.split(|b| *b == b'(').next().unwrap_or_default().contains(&b' ');
    let is_register = memmem::find(body, b" 0x").is_some() && body.len() < 40;
    let part = body.is_empty()
        || body.starts_with(b"\t")
        || body.starts_with(b"goroutine ")
        || body.starts_with(b"created by ")
        || body.starts_with(b"exit status ")
        || body == b"...additional frames elided..."
        || is_call
        || is_register;
    if part { Part::Detail(Stack::GoRoutines) } else { Part::Foreign }
}

fn rust_tail(body: &[u8]) -> Part {
    let text = body.trim_ascii_start();
    let numbered = text.split(|b| *b == b':').next().is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit));
    let part = text.starts_with(b"note: ")
        || text == b"stack backtrace:"
        || (is_indented(body) && (numbered || text.starts_with(b"at ")));
    if part { Part::Detail(Stack::RustTail) } else { Part::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_scanner_stops_at_what_opens_a_python_traceback() {
        assert_eq!(TRACEBACK.as_bytes(), PYTHON);
    }

    proptest! {
        #[test]
        fn no_frame_is_passed_over(
            words in prop::collection::vec("( |  |\t)?(at|at |\\.\\.\\. |Caused by: |attempt|x\\(|[a-z.]{1,30})", 0..12),
        ) {
            let line = words.concat();
            prop_assert_eq!(frame_prefix(line.as_bytes()), frame_in(line.as_bytes()), "{}", line);
        }
    }
}
