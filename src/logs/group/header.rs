//! What stands before the message of a log line: service, host, program, timestamps, levels, threads, process ids.
//!
//! Pure. The formats: syslog, journalctl, compose, log4j and logback, Python, Ruby, Apache, nginx, PostgreSQL, glog,
//! logcat, and the columns of machines (`- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond[2915]: `).

/// A header's columns are looked for in so many first bytes.
const HEAD: usize = 200;
/// Columns before the last timestamp at most.
const MAX_COLUMNS: usize = 10;
/// A bracket longer than this belongs to the message.
const MAX_BRACKET: usize = 100;

const LEVELS: [&[u8]; 26] = [
    b"TRACE",
    b"DEBUG",
    b"INFO",
    b"INFORMATION",
    b"NOTICE",
    b"WARNING",
    b"WARN",
    b"ERROR",
    b"CRITICAL",
    b"FATAL",
    b"SEVERE",
    b"ERR",
    b"trace",
    b"debug",
    b"info",
    b"notice",
    b"warning",
    b"warn",
    b"error",
    b"critical",
    b"fatal",
    b"crit",
    b"alert",
    b"emerg",
    b"PANIC",
    b"LOG",
];
/// Levels where a timestamp stands before them; else they are words.
const TITLE_LEVELS: [&[u8]; 7] = [b"Info", b"Error", b"Warning", b"Warn", b"Debug", b"Fatal", b"Critical"];
const MONTHS: [[u8; 3]; 12] =
    [*b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct", *b"Nov", *b"Dec"];
const WEEKDAYS: [[u8; 4]; 7] = [*b"Mon ", *b"Tue ", *b"Wed ", *b"Thu ", *b"Fri ", *b"Sat ", *b"Sun "];
/// `9` is a digit, `-` one of `-/.`, `T` one of `T _-`, `M` a month.
const STAMPS: [&[u8]; 9] = [
    b"9999-99-99T99:99:99",
    b"9999-99-99-99.99.99",
    b"9999-99-99",
    b"99-99-99 99:99:99",
    b"99-M-9999:99:99:99",
    b"99-99 99:99:99",
    b"999999 999999",
    b"99999999-99:99:99",
    b"99:99:99",
];

/// The message of a line; the line where nothing would be left.
pub fn message(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    let found = after_header(line).trim_ascii();
    if found.is_empty() { line } else { found }
}

fn after_header(line: &[u8]) -> &[u8] {
    let line = after_service(line);
    if let Some(rest) = after_glog(line) {
        return rest;
    }
    // `I, [2025-01-02T03:04:05.5 #12]  INFO -- : ` of Ruby.
    let line = match line {
        [b'A'..=b'Z', b',', b' ', rest @ ..] if rest.first() == Some(&b'[') => rest,
        _ => line,
    };
    let (rest, stamp) = after_columns(line);
    let rest = rest.get(skip(rest, b" :,|")..).unwrap_or_default();
    let mut parts = Parts { dated: stamp != Stamp::None, numbered: false };
    let mut rest = after_program(rest, stamp);
    while let Some(next) = parts.after_next(rest.trim_ascii_start()) {
        rest = next;
    }
    rest
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stamp {
    None,
    /// `Nov  9 12:01:01`: a host and a program follow.
    Syslog,
    Other,
}

fn skip(text: &[u8], any: &[u8]) -> usize {
    text.iter().take_while(|b| any.contains(b)).count()
}

fn is_name(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || *b == b'_'
}

fn first_word(text: &[u8]) -> &[u8] {
    text.split(u8::is_ascii_whitespace).next().unwrap_or_default()
}

/// `web-1  | ` of compose.
fn after_service(line: &[u8]) -> &[u8] {
    let name = line.iter().take_while(|b| is_name(b) || b"-.".contains(b)).count();
    let rest = line.get(name..).unwrap_or_default().trim_ascii_start();
    match rest {
        [b'|', b' ', after @ ..] if (1..=80).contains(&name) => after,
        _ => line,
    }
}

/// `E0102 03:04:05.123456   12345 server.go:123] `.
fn after_glog(line: &[u8]) -> Option<&[u8]> {
    let ([b'I' | b'W' | b'E' | b'F', ..], Some(rest)) = (line, line.get(1..)) else { return None };
    let length = shape(rest, b"9999 99:99:99")?;
    let end = memchr::memchr(b']', rest.get(length..rest.len().min(HEAD))?)?;
    rest.get(length + end + 1..)
}

/// Whether a word can be a column of a machine's: no word of a sentence.
fn is_column(word: &[u8]) -> bool {
    word == b"-"
        || word.iter().any(u8::is_ascii_digit)
        || word.windows(3).any(|w| matches!(w, [a, b, c] if is_name(a) && b"._@/-".contains(b) && is_name(c)))
}

/// What follows the last timestamp that only columns stand before.
fn after_columns(line: &[u8]) -> (&[u8], Stamp) {
    let head = line.get(..line.len().min(HEAD)).unwrap_or_default();
    let (mut at, mut end, mut found) = (0, 0, Stamp::None);
    for _ in 0..MAX_COLUMNS {
        let rest = head.get(at..).unwrap_or_default();
        at += rest.len() - rest.trim_ascii_start().len();
        let rest = rest.trim_ascii_start();
        let bracket = usize::from(rest.first() == Some(&b'['));
        if let Some((length, stamp)) = stamp_length(rest.get(bracket..).unwrap_or_default()) {
            at += length + 2 * bracket;
            if bracket == 1 && head.get(at - 1) != Some(&b']') {
                break;
            }
            (end, found) = (at, if bracket == 1 { Stamp::Other } else { stamp });
            continue;
        }
        let word = first_word(rest);
        // The user of an access log.
        let is_user =
            at > 0 && rest.get(word.len()..).is_some_and(|r| r.starts_with(b" [") && shape(r, b" [99/M/").is_some());
        if bracket == 1 || word.is_empty() || !(is_column(word) || is_user) {
            break;
        }
        at += word.len();
    }
    if found == Stamp::None
        && let Some(length) = numbered_columns(head)
    {
        (end, found) = (length, Stamp::Other);
    }
    (line.get(end..).unwrap_or_default(), found)
}

/// `134681 node-246 unix.hw state_change 1077804742 `: a number, a node, up to three words, the time.
fn numbered_columns(head: &[u8]) -> Option<usize> {
    let mut words = head.split(|b| *b == b' ');
    let number = words.next().filter(|w| !w.is_empty() && w.iter().all(u8::is_ascii_digit))?;
    let node = words.next().filter(|w| is_column(w) && w.iter().any(u8::is_ascii_alphabetic))?;
    let mut length = number.len() + node.len() + 2;
    for word in words.take(4) {
        length += word.len() + 1;
        if epoch_length(word) == Some(word.len()) {
            return (length <= head.len()).then_some(length);
        }
        if !word.iter().all(|b| is_name(b) || *b == b'.') {
            return None;
        }
    }
    None
}

/// Length of a text's start that has this shape.
fn shape(text: &[u8], shape: &[u8]) -> Option<usize> {
    let mut at = 0;
    for want in shape {
        let rest = text.get(at..)?;
        let byte = *rest.first()?;
        let step = match want {
            b'9' => usize::from(byte.is_ascii_digit()),
            b'-' => usize::from(b"-/.".contains(&byte)),
            b'T' => usize::from(b"T _-".contains(&byte)),
            b'M' => rest.first_chunk().filter(|m| MONTHS.contains(m)).map_or(0, |m| m.len()),
            literal => usize::from(byte == *literal),
        };
        if step == 0 {
            return None;
        }
        at += step;
    }
    Some(at)
}

/// `1077804742`, `1700000000.123`, `1700000000123`.
fn epoch_length(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take(14).take_while(|b| b.is_ascii_digit()).count();
    (text.first() == Some(&b'1') && (digits == 10 || digits == 13)).then_some(digits)
}

/// `Nov  9 12:01:01`, also with a weekday before and a year after it.
fn syslog_length(text: &[u8]) -> Option<(usize, Stamp)> {
    let weekday = text.first_chunk().filter(|day| WEEKDAYS.contains(day)).map_or(0, |day| day.len());
    let mut at = weekday + shape(text.get(weekday..)?, b"M ")?;
    at += skip(text.get(at..)?, b" ");
    at += text.get(at..)?.iter().take(2).take_while(|b| b.is_ascii_digit()).count();
    at += shape(text.get(at..)?, b" 99:99:99")?;
    at += fraction(text.get(at..)?);
    let year = shape(text.get(at..)?, b" 9999").filter(|n| !text.get(at + n).is_some_and(u8::is_ascii_alphanumeric));
    let stamp = if weekday == 0 && year.is_none() { Stamp::Syslog } else { Stamp::Other };
    Some((at + year.unwrap_or(0), stamp))
}

fn fraction(text: &[u8]) -> usize {
    match text {
        [b'.' | b',' | b':', digits @ ..] if digits.first().is_some_and(u8::is_ascii_digit) => {
            1 + digits.iter().take_while(|b| b.is_ascii_digit()).count()
        }
        _ => 0,
    }
}

fn zone(text: &[u8]) -> usize {
    let space = usize::from(text.first() == Some(&b' '));
    let rest = text.get(space..).unwrap_or_default();
    if rest.starts_with(b"UTC") || rest.starts_with(b"GMT") {
        return space + 3;
    }
    match rest {
        [b'Z', ..] if space == 0 => 1,
        [b'+' | b'-', offset @ ..] => {
            let length = shape(offset, b"99:99").or_else(|| shape(offset, b"9999"));
            length.map_or(0, |n| space + 1 + n)
        }
        _ => 0,
    }
}

fn stamp_length(text: &[u8]) -> Option<(usize, Stamp)> {
    let first = *text.first()?;
    let (length, stamp) = if first.is_ascii_uppercase() {
        syslog_length(text)?
    } else if first.is_ascii_digit() {
        let whole = |pattern: &&[u8]| {
            let mut at = shape(text, pattern)?;
            at += fraction(text.get(at..)?);
            at += zone(text.get(at..)?);
            ends(text, at).then_some(at)
        };
        let epoch = || epoch_length(text).map(|n| n + fraction(text.get(n..).unwrap_or_default()));
        (STAMPS.iter().find_map(whole).or_else(epoch)?, Stamp::Other)
    } else {
        return None;
    };
    ends(text, length).then_some((length, stamp))
}

fn ends(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|b| b.is_ascii_whitespace() || b"]|,:".contains(b))
}

/// Strips `host prog[12]: `, `prog[12]: `, and after a syslog timestamp `host prog: ` and a host alone.
fn after_program(text: &[u8], stamp: Stamp) -> &[u8] {
    let first = first_word(text);
    let rest = text.get(first.len()..).unwrap_or_default().trim_ascii_start();
    if program(first) == Some(true) {
        return rest;
    }
    if stamp == Stamp::None || level(first).is_some() {
        return text;
    }
    let second = first_word(rest);
    match program(second) {
        Some(has_pid) if has_pid || stamp == Stamp::Syslog && level(second).is_none() => {
            rest.get(second.len()..).unwrap_or_default()
        }
        _ if stamp == Stamp::Syslog && is_column(first) && !rest.is_empty() => rest,
        _ => text,
    }
}

/// Whether `prog:` or `prog(unit)[12]:` has a process id; none when it is no such thing.
fn program(word: &[u8]) -> Option<bool> {
    let name = word.strip_suffix(b":")?;
    let (name, has_pid) = match name.strip_suffix(b"]").and_then(|n| Some((n, memchr::memrchr(b'[', n)?))) {
        Some((inner, open)) => {
            let pid = inner.get(open + 1..)?;
            (inner.get(..open)?, !pid.is_empty() && pid.iter().all(u8::is_ascii_digit))
        }
        None => (name, false),
    };
    let name = match (name.strip_suffix(b")"), memchr::memchr(b'(', name)) {
        (Some(_), Some(open)) => name.get(..open)?,
        _ => name,
    };
    let is_program = !name.is_empty() && name.iter().all(|b| is_name(b) || b".@/+-".contains(b));
    is_program.then_some(has_pid)
}

/// Length of the level that a text starts with.
fn level(text: &[u8]) -> Option<usize> {
    let word = letters(text);
    let is_end = text.get(word.len()).is_none_or(|b| b" :]|\t-".contains(b));
    (is_end && LEVELS.contains(&word)).then_some(word.len())
}

/// The letters that a text starts with.
fn letters(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|b| !b.is_ascii_alphabetic()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Length of a balanced bracket.
fn bracket(text: &[u8], most: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.iter().enumerate().take(most) {
        match byte {
            b'[' => depth += 1,
            b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// What has been seen of a header.
struct Parts {
    dated: bool,
    numbered: bool,
}

impl Parts {
    /// What follows the part of a header that the text starts with.
    fn after_next<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let first = *text.first()?;
        if self.dated && matches!(text, [b'-' | b'|' | b':', b' ', ..]) {
            return text.get(2..);
        }
        // `1 --- [main] logger : ` of Spring.
        if self.dated
            && let Some(rest) = text.strip_prefix(b"--- ")
        {
            return Some(after_thread(rest));
        }
        if first.is_ascii_alphabetic()
            && let Some(rest) = self.after_level(text)
        {
            self.dated = true;
            return Some(after_thread(rest));
        }
        if first == b'[' {
            return after_bracket(text);
        }
        if self.dated
            && let Some(rest) = self.after_column(text)
        {
            return Some(rest);
        }
        let (length, _) = stamp_length(text)?;
        let rest = text.get(length..)?;
        self.dated |= !rest.trim_ascii().is_empty();
        (!rest.trim_ascii().is_empty()).then_some(rest)
    }

    fn after_level<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let titled = || {
            let word = letters(text);
            let is_end = text.get(word.len()).is_some_and(|b| b" :,\t".contains(b));
            (is_end && TITLE_LEVELS.contains(&word)).then_some(word.len())
        };
        let length = match level(text) {
            // `error reading x` is a sentence where no timestamp precedes it.
            Some(n) if !self.dated && text.first()?.is_ascii_lowercase() && text.get(n) == Some(&b' ') => return None,
            Some(n) => n,
            None if self.dated => titled()?,
            None => return None,
        };
        let rest = text.get(length..)?;
        rest.get(skip(rest, b" :|\t-,")..)
    }

    /// A lone number (process, thread), the letter of logcat, the logger before a level.
    fn after_column<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let word = first_word(text);
        let rest = text.get(word.len()..)?.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let number = word.strip_suffix(b":").unwrap_or(word);
        if word.len() <= 16 && number.iter().all(|b| b.is_ascii_digit() || *b == b'#') && is_column(number) {
            self.numbered = true;
            return Some(rest);
        }
        if self.numbered
            && matches!(word, [b'V' | b'D' | b'I' | b'W' | b'E' | b'F'])
            && first_word(rest).ends_with(b":")
        {
            return Some(rest);
        }
        let after = rest.strip_prefix(b"- ").unwrap_or(rest);
        let name = word.strip_suffix(b":").unwrap_or(word);
        let is_logger = name.iter().all(|b| is_name(b) || b".@/$-".contains(b));
        let leveled = after.first().is_some_and(u8::is_ascii_uppercase) && level(after).is_some();
        (is_logger && leveled).then_some(after)
    }
}

/// `[main] ` after a level is a thread, whatever is in it.
fn after_thread(text: &[u8]) -> &[u8] {
    let rest = bracket(text, HEAD).and_then(|n| text.get(n..)).filter(|_| text.first() == Some(&b'['));
    match rest {
        Some(rest) if !rest.trim_ascii().is_empty() => rest.get(skip(rest, b": ")..).unwrap_or_default(),
        _ => text,
    }
}

/// A bracket with a number or a level in it, or before a level.
fn after_bracket(text: &[u8]) -> Option<&[u8]> {
    let length = bracket(text, MAX_BRACKET)?;
    let inside = text.get(1..length - 1)?.trim_ascii();
    let rest = text.get(length..)?;
    let rest = rest.get(skip(rest, b": ")..)?;
    let is_header = inside.iter().any(u8::is_ascii_digit) || LEVELS.contains(&inside) || level(rest).is_some();
    (is_header && !rest.trim_ascii().is_empty()).then_some(rest)
}
