//! Markup that cannot be forged: the one writer through which everything on the page goes.
//!
//! Names of tags and attributes are literals of this program; whatever else is written is text or the value of an
//! attribute, and made harmless here. May not live here: what the page says.

use std::fmt::Write;

/// Longest line of running text, in characters.
const MAX_TEXT: usize = 400;
/// Longest line of a log or a diff, in characters, and the most lines of one.
const MAX_LINE: usize = 500;
const MAX_LINES: usize = 200;

/// Attributes: the name is ours, the value anybody's.
pub type Attrs<'a> = [(&'static str, &'a str)];

/// Markup in the making. Elements nest by construction.
#[derive(Default)]
pub struct Html(String);

impl Html {
    pub fn new() -> Html {
        Html::default()
    }

    /// A whole document begins so.
    pub fn document() -> Html {
        Html("<!doctype html>\n".to_owned())
    }

    pub fn into_string(self) -> String {
        self.0
    }

    /// An element around what the closure writes.
    pub fn tag(&mut self, name: &'static str, attrs: &Attrs, inner: impl FnOnce(&mut Html)) {
        self.void(name, attrs);
        inner(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// An element that holds one piece of text.
    pub fn el(&mut self, name: &'static str, attrs: &Attrs, text: &str) {
        self.tag(name, attrs, |h| h.text(text));
    }

    /// An element without an end (`meta`, `input`).
    pub fn void(&mut self, name: &'static str, attrs: &Attrs) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attrs {
            let _ = write!(self.0, " {name}=\"");
            value.chars().for_each(|c| self.put(one_line(c)));
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Text as one line of bounded length.
    pub fn text(&mut self, text: &str) {
        for (count, c) in text.chars().enumerate() {
            if count == MAX_TEXT {
                self.0.push('…');
                return;
            }
            self.put(one_line(c));
        }
    }

    /// Text that keeps its lines and tabs: a log line, a diff.
    pub fn lines(&mut self, text: &str) {
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.0.push('\n');
            }
            if number == MAX_LINES {
                self.0.push('…');
                return;
            }
            self.line(line);
        }
    }

    /// One line of it.
    pub fn line(&mut self, line: &str) {
        for (count, c) in line.trim_end_matches('\r').chars().enumerate() {
            if count == MAX_LINE {
                self.0.push('…');
                return;
            }
            self.put(c);
        }
    }

    fn put(&mut self, c: char) {
        match c {
            '&' => self.0.push_str("&amp;"),
            '<' => self.0.push_str("&lt;"),
            '>' => self.0.push_str("&gt;"),
            '"' => self.0.push_str("&quot;"),
            '\'' => self.0.push_str("&#39;"),
            '\t' => self.0.push('\t'),
            c if c.is_control() || is_invisible(c) => self.0.extend(c.escape_unicode()),
            c => self.0.push(c),
        }
    }
}

fn one_line(c: char) -> char {
    if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }
}

/// Marks that turn the direction of writing, end a line or take no room: they can make a text read as another one.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup_and_moves_nothing() {
        let check = |text: &str, expected: &str| {
            let mut h = Html::new();
            h.text(text);
            assert_eq!(h.into_string(), expected, "{text:?}");
        };
        check("plain ünï", "plain ünï");
        check("<b>&\"'", "&lt;b&gt;&amp;&quot;&#39;");
        check("a\nb\r\tc", "a b  c");
        check("\x1b[31m\u{7}\u{9b}", "\\u{1b}[31m\\u{7}\\u{9b}");
        check("a\u{202e}b\u{200b}\u{feff}\u{2066}", "a\\u{202e}b\\u{200b}\\u{feff}\\u{2066}");
        check("a\u{0}b", "a\\u{0}b");
        let mut h = Html::new();
        h.text(&"<".repeat(5_000));
        assert_eq!(h.into_string(), "&lt;".repeat(MAX_TEXT) + "…");
    }

    #[test]
    fn a_value_stays_within_its_attribute() {
        let mut h = Html::new();
        h.el("p", &[("title", "\"><img src=x onerror=alert(1)>'\n`")], "x");
        assert_eq!(h.into_string(), "<p title=\"&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&#39; `\">x</p>");
    }

    #[test]
    fn lines_stay_lines_and_are_bounded() {
        let check = |text: &str, expected: &str| {
            let mut h = Html::new();
            h.lines(text);
            assert_eq!(h.into_string(), expected, "{text:?}");
        };
        check("-\tsleep(0.8)\r\n+\tsleep(1.2)", "-\tsleep(0.8)\n+\tsleep(1.2)");
        check("</pre>\n\x1b[2J", "&lt;/pre&gt;\n\\u{1b}[2J");
        check(&"x\n".repeat(1_000), &("x\n".repeat(MAX_LINES) + "…"));
        check(&"x".repeat(1_000), &("x".repeat(MAX_LINE) + "…"));
    }
}
