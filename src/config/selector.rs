//! The `at` of an edit: which literal of a file is meant. Syntax only; finding it is `fix::edit`'s.

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

impl Format {
    /// The format of a file by its name.
    pub fn of(path: &Path) -> Option<Format> {
        let _ = path;
        None
    }
}

impl Selector {
    /// Reads a selector as it is written in a rule.
    ///
    /// # Errors
    /// With a sentence that says what is wrong and shows the syntax that is meant.
    pub fn parse(text: &str, format: Format) -> Result<Selector, String> {
        let _ = (text, format);
        Err("not written yet".into())
    }
}
