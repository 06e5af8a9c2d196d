//! Differences between two texts, as people know them.

use crate::show::Output;
use similar::{ChangeTag, TextDiff};

/// A unified diff with three lines of context; empty when nothing differs. Control characters are shown, not obeyed.
pub fn unified(old: &[u8], new: &[u8], name: &str, out: &Output) -> String {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let diff = TextDiff::from_lines(old.as_ref(), new.as_ref());
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        if text.is_empty() {
            text.push_str(&format!("--- {name}\n+++ {name}\n"));
        }
        text.push_str(&format!("{}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let line: String = change.value().trim_end_matches(['\n', '\r']).chars().map(shown).collect();
            text.push_str(&match change.tag() {
                ChangeTag::Delete => paint(out, 31, &format!("-{line}")),
                ChangeTag::Insert => paint(out, 32, &format!("+{line}")),
                ChangeTag::Equal => format!(" {line}"),
            });
            text.push('\n');
        }
    }
    text.trim_end_matches('\n').to_owned()
}

fn shown(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}

fn paint(out: &Output, code: u8, line: &str) -> String {
    if out.color { format!("\u{1b}[{code}m{line}\u{1b}[0m") } else { line.to_owned() }
}
