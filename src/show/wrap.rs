//! Lines that fit the terminal: broken between words and never inside `a command`, so that what is to be copied stays in
//! one piece. May not live here: which text is broken.

/// Columns that are left for the text at least, however deep it is indented.
const NARROWEST: usize = 20;

/// The text with lines that are longer than `width` broken; what follows a break stands `indent` columns in. What cannot
/// be broken, a path or a command, is longer where it has to be.
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let indent = indent.min(width.saturating_sub(NARROWEST));
    let lines: Vec<String> = text.lines().map(|line| wrap_line(line, width, indent)).collect();
    lines.join("\n")
}

fn wrap_line(line: &str, width: usize, indent: usize) -> String {
    if columns(line) <= width {
        return line.to_owned();
    }
    let mut wrapped = String::with_capacity(line.len() + 2 * indent);
    // Columns of the line so far, and whether a word stands on it behind its indentation.
    let (mut used, mut begun) = (0, false);
    for (gap, word) in words(line) {
        if begun && used > indent && used + columns(gap) + columns(word) > width {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            wrapped.push_str(word);
            used = indent + columns(word);
        } else {
            wrapped.push_str(gap);
            wrapped.push_str(word);
            used += columns(gap) + columns(word);
        }
        begun = true;
    }
    wrapped
}

/// Each word with the blanks before it; what stands between backticks is one word, with what is written on to it.
fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let begin = rest.find(|c: char| c != ' ')?;
        let (gap, tail) = rest.split_at(begin);
        let (word, left) = tail.split_at(end_of_word(tail));
        rest = left;
        Some((gap, word))
    })
}

fn end_of_word(text: &str) -> usize {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            // One that is never closed quotes nothing.
            '`' => quoted = !quoted && text.get(at + 1..).is_some_and(|rest| rest.contains('`')),
            ' ' if !quoted && !is_between(text, at) => return at,
            _ => {}
        }
    }
    text.len()
}

/// Whether this blank stands in `OLD -> NEW`, which is read as one thing.
fn is_between(text: &str, at: usize) -> bool {
    text.get(at..).is_some_and(|rest| rest.starts_with(" -> "))
        || text.get(..at).is_some_and(|head| head.ends_with(" ->"))
}

/// Columns that a text takes on a terminal: escape sequences take none.
pub fn columns(text: &str) -> usize {
    let (mut columns, mut escape) = (0, false);
    for c in text.chars() {
        match c {
            '\u{1b}' => escape = true,
            'm' if escape => escape = false,
            _ if escape => {}
            _ => columns += 1,
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_go_on_below_their_text() {
        let check = |text: &str, indent: usize, expected: &str| assert_eq!(wrap(text, 30, indent), expected);
        check("short", 4, "short");
        check("", 4, "");
        check("label: one two three four five six seven", 7, "label: one two three four five\n       six seven");
        check("one\ntwo", 4, "one\ntwo");
        check(
            "say `healer reset 'a long target'` to release it",
            2,
            "say\n  `healer reset 'a long target'`\n  to release it",
        );
        check("a tick ` that nobody closes, and more words", 0, "a tick ` that nobody closes,\nand more words");
        check(
            "edit /srv/a/very/long/path/that/cannot/be/broken now",
            5,
            "edit /srv/a/very/long/path/that/cannot/be/broken\n     now",
        );
        check(
            "\u{1b}[31mcritical\u{1b}[0m and this is then 30.",
            0,
            "\u{1b}[31mcritical\u{1b}[0m and this is then 30.",
        );
        check("äöü äöü äöü äöü äöü äöü äöü äöü", 0, "äöü äöü äöü äöü äöü äöü äöü\näöü");
        check("changes the number of it: 10 -> 15", 2, "changes the number of it:\n  10 -> 15");
        check("deep indentation leaves room for words", 28, "deep indentation leaves room\n          for words");
    }

    #[test]
    fn a_first_word_that_is_too_long_makes_no_empty_line() {
        assert_eq!(wrap(&"x".repeat(40), 30, 4), "x".repeat(40));
        assert_eq!(wrap(&format!("    {}", "x".repeat(40)), 30, 6), format!("    {}", "x".repeat(40)));
    }
}
