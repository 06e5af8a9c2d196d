//! The `at` of an edit: which literal of a file is meant. Syntax only; finding it is `fix::edit`'s.
//!
//! Paths (TOML, YAML, JSON, INI, .env): segments split by `.`; `"a.b"` is one segment (inside, `\"` and `\\` are a
//! quote and a backslash); `[2]` is the third item of a list (counted from 0); `[KEY=]`, last only, is the value of a
//! `KEY=value` item of a list. INI: `key` before the first section, else `section.key`. .env: `KEY`.
//!
//! Python: `call NAME [arg N]` (N from 1), `keyword K of NAME`, `assign NAME`, each optionally `in CLASS.FUNCTION`, or
//! `in <module>` for what is in no class and no function. NAME and CLASS.FUNCTION are dotted names.

use std::fmt;
use std::path::Path;

/// File formats whose literals can be edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Toml,
    Yaml,
    /// JSON, with comments and trailing commas allowed.
    Json,
    Ini,
    Env,
    Python,
}

/// One segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Key(String),
    /// From 0.
    Index(usize),
    /// `[KEY=]`: the value of a `KEY=value` item of a list.
    KeyItem(String),
}

/// Which literal is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    Path(Vec<Segment>),
    /// `call NAME [arg N]`: argument N (from 1) of the only call of NAME.
    Call {
        name: String,
        arg: usize,
        within: Option<String>,
    },
    /// `keyword K of NAME`.
    Keyword {
        keyword: String,
        call: String,
        within: Option<String>,
    },
    /// `assign NAME`.
    Assign {
        name: String,
        within: Option<String>,
    },
}

/// The `in` that means: in no class and in no function.
pub const MODULE_SCOPE: &str = "<module>";

/// Segments of one path at most; no file that is edited nests deeper.
const MAX_SEGMENTS: usize = 64;

const PATH_SYNTAX: &str = "write a path such as `worker.batch_size`, `servers[0].port`, `\"a.b\".c` or \
                           `services.web.environment[KEY=]`";
const PYTHON_SYNTAX: &str = "write `call NAME`, `call NAME arg 2`, `keyword K of NAME` or `assign NAME`, each with \
                             `in CLASS.FUNCTION` at the end if needed";

impl Format {
    /// The format of a file by its name (`.conf` is taken for INI; locating refuses one that is not).
    pub fn of(path: &Path) -> Option<Format> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        if name == ".env" || name.starts_with(".env.") {
            return Some(Format::Env);
        }
        let (stem, extension) = name.rsplit_once('.')?;
        if stem.is_empty() {
            return None;
        }
        match extension {
            "toml" => Some(Format::Toml),
            "yaml" | "yml" => Some(Format::Yaml),
            "json" | "jsonc" => Some(Format::Json),
            "ini" | "cfg" | "conf" => Some(Format::Ini),
            "env" => Some(Format::Env),
            "py" => Some(Format::Python),
            _ => None,
        }
    }

    /// The name used in messages.
    pub fn word(self) -> &'static str {
        match self {
            Format::Toml => "TOML",
            Format::Yaml => "YAML",
            Format::Json => "JSON",
            Format::Ini => "INI",
            Format::Env => ".env",
            Format::Python => "Python",
        }
    }
}

impl Selector {
    /// Reads a selector as it is written in a rule.
    ///
    /// # Errors
    /// With a sentence that says what is wrong and shows the syntax that is meant.
    pub fn parse(text: &str, format: Format) -> Result<Selector, String> {
        let text = text.trim();
        if format == Format::Python {
            return parse_python(text).map_err(|what| format!("{what}; {PYTHON_SYNTAX}"));
        }
        let path = PathReader { rest: text }.read().map_err(|what| format!("{what}; {PATH_SYNTAX}"))?;
        fits_format(&path, format)?;
        Ok(Selector::Path(path))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = match self {
            Selector::Path(segments) => {
                return segments.iter().enumerate().try_for_each(|(i, segment)| write_segment(f, segment, i > 0));
            }
            Selector::Call { name, arg, within } => {
                write!(f, "call {name}")?;
                if *arg != 1 {
                    write!(f, " arg {arg}")?;
                }
                within
            }
            Selector::Keyword { keyword, call, within } => {
                write!(f, "keyword {keyword} of {call}")?;
                within
            }
            Selector::Assign { name, within } => {
                write!(f, "assign {name}")?;
                within
            }
        };
        within.as_ref().map_or(Ok(()), |scope| write!(f, " in {scope}"))
    }
}

fn write_segment(f: &mut fmt::Formatter<'_>, segment: &Segment, dot: bool) -> fmt::Result {
    match segment {
        Segment::Index(i) => write!(f, "[{i}]"),
        Segment::KeyItem(key) => write!(f, "[{key}=]"),
        Segment::Key(key) => {
            let dot = if dot { "." } else { "" };
            if !key.is_empty() && key.trim() == key && !key.contains(is_special) {
                write!(f, "{dot}{key}")
            } else {
                write!(f, "{dot}\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
            }
        }
    }
}

/// Characters that an unquoted segment cannot hold.
fn is_special(c: char) -> bool {
    matches!(c, '.' | '[' | ']' | '"' | '\\') || c.is_control()
}

struct PathReader<'a> {
    rest: &'a str,
}

impl PathReader<'_> {
    fn read(&mut self) -> Result<Vec<Segment>, String> {
        if self.rest.is_empty() {
            return Err("an empty path means nothing".into());
        }
        let mut path = Vec::new();
        while !self.rest.is_empty() {
            if path.len() == MAX_SEGMENTS {
                return Err(format!("a path has at most {MAX_SEGMENTS} segments"));
            }
            if matches!(path.last(), Some(Segment::KeyItem(_))) {
                return Err("nothing can follow `[KEY=]`".into());
            }
            if let Some(rest) = self.rest.strip_prefix('[') {
                self.rest = rest;
                path.push(self.bracket()?);
                continue;
            }
            if !path.is_empty() {
                let Some(rest) = self.rest.strip_prefix('.') else {
                    return Err(format!("expected `.` or `[` before `{}`", shown(self.rest)));
                };
                self.rest = rest;
            }
            path.push(Segment::Key(match self.rest.strip_prefix('"') {
                Some(rest) => {
                    self.rest = rest;
                    self.quoted()?
                }
                None => self.bare()?,
            }));
        }
        Ok(path)
    }

    fn bare(&mut self) -> Result<String, String> {
        let end = self.rest.find(is_special).unwrap_or(self.rest.len());
        let (key, rest) = self.rest.split_at(end);
        self.rest = rest;
        if key.is_empty() {
            return Err(format!("a segment is empty before `{}`", shown(rest)));
        }
        if key.trim() != key {
            return Err(format!("segment `{}` has blanks at its ends: quote it", shown(key)));
        }
        Ok(key.to_string())
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut key = String::new();
        let mut chars = self.rest.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    self.rest = chars.as_str();
                    return Ok(key);
                }
                '\\' => match chars.next() {
                    Some(escaped @ ('"' | '\\')) => key.push(escaped),
                    _ => return Err("only `\\\"` and `\\\\` are escapes in a quoted segment".into()),
                },
                c => key.push(c),
            }
        }
        Err("a quote is not closed".into())
    }

    /// After the opening bracket.
    fn bracket(&mut self) -> Result<Segment, String> {
        let (inner, rest) = self.rest.split_once(']').ok_or("a `[` is not closed")?;
        self.rest = rest;
        if !inner.is_empty() && inner.len() <= 9 && inner.bytes().all(|b| b.is_ascii_digit()) {
            return inner.parse().map(Segment::Index).map_err(|e| format!("`[{inner}]`: {e}"));
        }
        match inner.strip_suffix('=') {
            Some(key) if !key.is_empty() && !key.contains(['=', '[', '"']) && !key.contains(char::is_control) => {
                Ok(Segment::KeyItem(key.to_string()))
            }
            _ => Err(format!("`[{}]` is neither an index nor `[KEY=]`", shown(inner))),
        }
    }
}

/// At most 40 characters, without control characters.
fn shown(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn fits_format(path: &[Segment], format: Format) -> Result<(), String> {
    let keys_only = path.iter().all(|s| matches!(s, Segment::Key(_)));
    match format {
        Format::Env if !keys_only || path.len() != 1 => {
            Err("in a .env file a path is one name, such as `BATCH_SIZE` (quote a name that holds a dot)".into())
        }
        Format::Ini if !keys_only || path.len() > 2 => {
            Err("in an INI file a path is `section.key`, or `key` before the first section (quote a name that holds \
                 a dot: `\"a.b\".key`)"
                .into())
        }
        _ => Ok(()),
    }
}

fn parse_python(text: &str) -> Result<Selector, String> {
    let words: Vec<&str> = text.split_whitespace().take(9).collect();
    let (words, within) = match words.as_slice() {
        [head @ .., "in", scope] if !head.is_empty() => {
            if *scope != MODULE_SCOPE && !is_dotted_name(scope) {
                return Err(format!("`{}` is no name of a class or function", shown(scope)));
            }
            (head, Some((*scope).to_string()))
        }
        all => (all, None),
    };
    match words {
        ["call", name] => Ok(Selector::Call { name: dotted(name)?, arg: 1, within }),
        ["call", name, "arg", n] => match n.parse() {
            Ok(arg @ 1..=255) => Ok(Selector::Call { name: dotted(name)?, arg, within }),
            _ => Err(format!("`arg {}`: arguments are counted from 1 to 255", shown(n))),
        },
        ["keyword", keyword, "of", call] => {
            if keyword.contains('.') {
                return Err(format!("`{}` is no keyword", shown(keyword)));
            }
            Ok(Selector::Keyword { keyword: dotted(keyword)?, call: dotted(call)?, within })
        }
        ["assign", name] => Ok(Selector::Assign { name: dotted(name)?, within }),
        _ => Err(format!("cannot read `{}`", shown(text))),
    }
}

fn dotted(name: &str) -> Result<String, String> {
    if is_dotted_name(name) { Ok(name.to_string()) } else { Err(format!("`{}` is no dotted name", shown(name))) }
}

fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|part| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;
