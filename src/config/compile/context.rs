//! What every part of the compiler is handed: where errors go and where secrets come from. May not live here: any
//! meaning of a section.

use crate::config::Secret;
use crate::config::at::{At, Span};
use crate::config::expand::{SecretSource, SystemSecrets, expand};
use crate::config::read::Removed;
use crate::config::report::{ConfigError, Source, suggest};
use std::cell::RefCell;
use std::path::Path;

/// Judges the `at` of an edit of a file; the error is a sentence.
pub type AtCheck = fn(&Path, &str) -> Result<(), String>;

/// What all sources have in common.
pub struct Shared<'a> {
    sources: &'a [Source],
    secrets: &'a dyn SecretSource,
    pub check_at: AtCheck,
    removed: Vec<(usize, Removed)>,
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<ConfigError>>,
    hidden: RefCell<Vec<String>>,
}

impl<'a> Shared<'a> {
    pub fn new(
        sources: &'a [Source],
        secrets: &'a dyn SecretSource,
        check_at: AtCheck,
        removed: Vec<(usize, Removed)>,
    ) -> Self {
        let (errors, warnings, hidden) = Default::default();
        Shared { sources, secrets, check_at, removed, errors, warnings, hidden }
    }

    /// Errors, warnings, and what must never be shown.
    pub fn into_parts(self) -> (Vec<ConfigError>, Vec<ConfigError>, Vec<String>) {
        (self.errors.into_inner(), self.warnings.into_inner(), self.hidden.into_inner())
    }
}

/// One source of many: where spans point into.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    pub shared: &'a Shared<'a>,
    source: usize,
}

impl<'a> Cx<'a> {
    pub fn new(shared: &'a Shared<'a>, source: usize) -> Self {
        Cx { shared, source }
    }

    /// The same compiler at another file.
    pub fn in_source(self, source: usize) -> Self {
        Cx { source, ..self }
    }

    pub fn error(self, span: &Span, message: impl AsRef<str>) {
        self.push(span, message.as_ref(), None);
    }

    pub fn error_help(self, span: &Span, message: impl AsRef<str>, help: impl Into<String>) {
        self.push(span, message.as_ref(), Some(help.into()));
    }

    fn push(self, span: &Span, message: &str, help: Option<String>) {
        if let Some(source) = self.shared.sources.get(self.source) {
            self.shared.errors.borrow_mut().push(ConfigError::at(source, span, message, help));
        }
    }

    /// A word that names nothing that is there.
    pub fn unknown(self, word: &At<String>, what: &str, candidates: &[&str]) {
        let mut candidates = candidates.to_vec();
        candidates.sort_unstable();
        candidates.dedup();
        let help = suggest(&word.value, &candidates, "there are");
        self.error_help(&word.span, format!("there is no {what} `{}`", word.value), help);
    }

    pub fn warn(self, span: &Span, message: &str, help: &str) {
        if let Some(source) = self.shared.sources.get(self.source) {
            let warning = ConfigError::at(source, span, message, Some(help.to_owned()));
            self.shared.warnings.borrow_mut().push(warning);
        }
    }

    /// `FILE:LINE`.
    pub fn place(self, span: &Span) -> String {
        super::place(self.shared.sources.get(self.source), span)
    }

    /// The text as it is written in the file.
    pub fn written(self, span: &Span) -> &'a str {
        self.shared.sources.get(self.source).and_then(|s| s.text.get(span.clone())).unwrap_or_default()
    }

    /// A key that must be there. Where it was there but of the wrong type, that has been told already.
    pub fn required<T>(self, parent: &Span, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.was_removed(parent, key) {
            self.error(parent, format!("`{key}` is missing"));
        }
        value
    }

    /// Whether an entry of this table (of this list: an empty key) has been refused already.
    pub fn was_removed(self, parent: &Span, key: &str) -> bool {
        self.shared.removed.iter().any(|(source, r)| *source == self.source && r.parent == *parent && r.key == key)
    }

    /// A URL or header with its references resolved; what it hides is remembered.
    pub fn expand(self, value: &At<String>) -> Option<Secret> {
        match expand(&value.value, self.shared.secrets) {
            Ok(expanded) => {
                self.hide(expanded.hidden);
                Some(Secret::new(expanded.text))
            }
            Err(errors) => {
                errors.iter().for_each(|e| self.error(&value.span, e));
                None
            }
        }
    }

    /// The same for what only one command needs: that it cannot be resolved is an error of that command alone.
    pub fn expand_later(self, value: &At<String>) -> Result<Secret, String> {
        // Never a stand-in: it would let everybody in who knows that.
        let expanded = expand(&value.value, &SystemSecrets).map_err(|errors| errors.join("; "))?;
        self.hide(expanded.hidden);
        self.hide([expanded.text.clone()]);
        Ok(Secret::new(expanded.text))
    }

    /// Values that must never be shown.
    pub fn hide(self, values: impl IntoIterator<Item = String>) {
        self.shared.hidden.borrow_mut().extend(values);
    }
}
