//! Differences between two texts, as people know them.

use crate::show::Output;
use crate::text::window;
use similar::{ChangeTag, TextDiff};
use std::ops::Range;

/// People see at most so many characters of a line that is longer; a program is given it whole.
const LONGEST_LINE: usize = 240;

/// A unified diff with three lines of context; empty when nothing differs. Control characters are shown, not obeyed. Of
/// very long lines people see what stands around the change.
pub fn unified(old: &[u8], new: &[u8], name: &str, out: &Output) -> String {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let diff = TextDiff::from_lines(old.as_ref(), new.as_ref());
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        if text.is_empty() {
            text.push_str(&format!("--- {name}\n+++ {name}\n"));
        }
        text.push_str(&format!("{}\n", hunk.header()));
        let changes: Vec<(ChangeTag, &str)> =
            hunk.iter_changes().map(|c| (c.tag(), c.value().trim_end_matches(['\n', '\r']))).collect();
        for (at, (tag, line)) in changes.iter().enumerate() {
            let line = match out.json {
                true => line.chars().map(shown).collect(),
                false => bounded(line, counterpart(&changes, at)),
            };
            text.push_str(&match tag {
                ChangeTag::Delete => paint(out, 31, &format!("-{line}")),
                ChangeTag::Insert => paint(out, 32, &format!("+{line}")),
                ChangeTag::Equal => format!(" {line}"),
            });
            text.push('\n');
        }
    }
    text.trim_end_matches('\n').to_owned()
}

/// The line that a changed one was before, or became: that of the same number in the block of the other side.
fn counterpart<'a>(changes: &[(ChangeTag, &'a str)], at: usize) -> Option<&'a str> {
    let (own, _) = changes.get(at)?;
    let other = match own {
        ChangeTag::Equal => return None,
        ChangeTag::Delete => ChangeTag::Insert,
        ChangeTag::Insert => ChangeTag::Delete,
    };
    let is = |i: usize, tag: ChangeTag| changes.get(i).is_some_and(|(t, _)| *t == tag);
    let start = (0..at).rev().take_while(|i| is(*i, *own)).last().unwrap_or(at);
    let first = match other {
        ChangeTag::Insert => (at..changes.len()).find(|i| !is(*i, *own))?,
        _ => (0..start).rev().take_while(|i| is(*i, other)).last()?,
    };
    let found = first + (at - start);
    (first..=found).all(|i| is(i, other)).then(|| changes.get(found).map(|(_, line)| *line)).flatten()
}

/// The line, or where it is very long the part of it around what differs from its counterpart.
fn bounded(line: &str, other: Option<&str>) -> String {
    if line.chars().nth(LONGEST_LINE).is_none() {
        return line.chars().map(shown).collect();
    }
    let place = other.map_or(0..0, |other| difference(line, other));
    window(line, place, LONGEST_LINE).text
}

/// The bytes of a line between what it begins and ends with as another one does.
fn difference(line: &str, other: &str) -> Range<usize> {
    let same = |(a, b): &(char, char)| a == b;
    let length = |pairs: &mut dyn Iterator<Item = (char, char)>| pairs.map(|(a, _)| a.len_utf8()).sum::<usize>();
    let start = length(&mut line.chars().zip(other.chars()).take_while(same));
    let (rest, of_other) = (line.get(start..).unwrap_or_default(), other.get(start..).unwrap_or_default());
    let end = length(&mut rest.chars().rev().zip(of_other.chars().rev()).take_while(same));
    start..line.len() - end
}

fn shown(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}

fn paint(out: &Output, code: u8, line: &str) -> String {
    if out.color { format!("\u{1b}[{code}m{line}\u{1b}[0m") } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Redactor;

    fn output(json: bool) -> Output {
        let redactor = Redactor::default();
        Output { json, redactor, ..Output::plain() }
    }

    /// A diff for people without its three first lines.
    fn diff(old: &str, new: &str) -> Vec<String> {
        let text = unified(old.as_bytes(), new.as_bytes(), "f", &output(false));
        text.lines().skip(3).map(str::to_owned).collect()
    }

    #[test]
    fn of_a_very_long_line_people_see_what_changed_and_programs_see_all() {
        let line =
            |value: &str| format!("{{{}\"limit\":{value},{}}}", "\"a\":1,".repeat(9000), "\"z\":2,".repeat(9000));
        let (old, new) = (line("7"), line("12"));
        let lines = diff(&old, &new);
        let [before, after] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(before.starts_with("-...") && before.contains("\"limit\":7,") && before.ends_with("..."), "{before}");
        assert!(after.starts_with("+...") && after.contains("\"limit\":12,") && after.ends_with("..."), "{after}");
        assert!(lines.iter().all(|l| l.chars().count() <= LONGEST_LINE + 7), "{lines:?}");
        let whole = unified(old.as_bytes(), new.as_bytes(), "f", &output(true));
        assert!(whole.contains(&format!("-{old}\n")) && whole.ends_with(&format!("+{new}")));
    }

    #[test]
    fn each_long_line_is_held_against_the_one_it_became() {
        let line = |mark: &str| format!("{}{mark}{}", "a".repeat(1000), "b".repeat(1000));
        let (old, new) = (format!("{}\n{}\n", line("1"), line("2")), format!("{}\n{}\nadded\n", line("3"), line("4")));
        let marks: Vec<String> = diff(&old, &new).iter().map(|l| l.replace(['a', 'b', '.'], "")).collect();
        assert_eq!(marks, ["-1", "-2", "+3", "+4", "+dded"]);
    }

    #[test]
    fn a_long_line_without_a_counterpart_is_shown_from_its_beginning() {
        let long = format!("begin{}", "x".repeat(5000));
        let lines = diff("one\n", &format!("one\n{long}\n"));
        assert!(lines[1].starts_with("+beginxxx") && lines[1].ends_with("x..."), "{lines:?}");
        let lines = diff(&format!("{long}\none\n"), &format!("{long}\ntwo\n"));
        assert!(lines[0].starts_with(" beginxxx") && lines[0].chars().count() <= LONGEST_LINE + 4, "{lines:?}");
    }

    #[test]
    fn short_lines_are_shown_as_they_are() {
        assert_eq!(diff("a\tb\n", "a\tc\u{1b}\n"), ["-a\tb", "+a\tc\u{fffd}"]);
        assert_eq!(unified(b"a", b"a", "f", &output(false)), "");
    }

    #[test]
    fn the_difference_is_what_neither_end_has_in_common() {
        let check = |line: &str, other: &str, expected: &str| assert_eq!(&line[difference(line, other)], expected);
        check("abXcd", "abYYcd", "X");
        check("abcd", "abXcd", "");
        check("aaaa", "aa", "aa");
        check("äöü", "äxü", "ö");
        check("", "x", "");
    }
}
