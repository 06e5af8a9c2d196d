//! Signatures: built in, the operator's, and the rules' own patterns. May not live here: matching log lines.

use super::builtin::builtin_signatures;
use super::context::Cx;
use super::values;
use crate::config::at::{At, Span, Table};
use crate::config::raw::{RawSignature, RawSignatures, Section};
use crate::config::report::{ConfigError, Source};
use crate::config::{Signature, SignatureOrigin};
use crate::model::Severity;
use regex::RegexBuilder;
use std::borrow::Cow;

/// Bytes that one compiled pattern may take.
const LARGEST_PATTERN: usize = 1 << 20;

/// All signatures so far, and what is known of those that are not among them.
pub struct Signatures {
    pub list: Vec<Signature>,
    switched_off: Vec<String>,
    /// Where the operator's are written.
    places: Vec<(String, String)>,
}

impl Signatures {
    /// The signature of this name; otherwise that is an error at this place.
    pub fn require(&self, cx: Cx<'_>, name: &At<String>) -> Option<&Signature> {
        let visible = || self.list.iter().filter(|s| s.origin != SignatureOrigin::Rule);
        let found = visible().find(|s| s.name == name.value);
        if found.is_none() && self.switched_off.contains(&name.value) {
            let help = "see `[signatures]`: `builtin` and `disable`";
            cx.error_help(&name.span, format!("the signature `{}` is switched off", name.value), help);
        } else if found.is_none() {
            cx.unknown(name, "signature", &visible().map(|s| s.name.as_str()).collect::<Vec<_>>());
        }
        found
    }
}

/// The built-in signatures without those that are switched off.
pub fn builtin(cx: Cx<'_>, switches: Section<RawSignatures>) -> Signatures {
    let all = builtin_signatures();
    let raw = switches.map(|s| s.value).unwrap_or_default();
    let keep_any = raw.builtin.is_none_or(|b| b.value);
    let mut disabled = Vec::new();
    for name in raw.disable.map(|d| d.value).unwrap_or_default() {
        if all.iter().any(|s| s.name == name.value) {
            disabled.push(name.value);
        } else {
            cx.unknown(&name, "built-in signature", &all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>());
        }
    }
    let (list, off): (Vec<_>, Vec<_>) = all.into_iter().partition(|s| keep_any && !disabled.contains(&s.name));
    Signatures { list, switched_off: off.into_iter().map(|s| s.name).collect(), places: Vec::new() }
}

/// Adds the operator's signatures, each with the number of its source.
pub fn add_written(cx: Cx<'_>, all: &mut Signatures, written: Vec<(usize, Table<RawSignature>)>) {
    for (source, table) in written {
        let cx = cx.in_source(source);
        let name = table.value.name.as_ref().map(|n| n.span.clone());
        let Some(signature) = operators(cx, table) else { continue };
        let span = name.unwrap_or_default();
        if all.list.iter().any(|s| s.name == signature.name && s.origin == SignatureOrigin::BuiltIn) {
            let help =
                format!("choose another name, or switch that one off: [signatures] disable = [\"{}\"]", signature.name);
            cx.error_help(&span, format!("a built-in signature is called `{}`", signature.name), help);
            continue;
        }
        if let Some((_, first)) = all.places.iter().find(|(name, _)| *name == signature.name) {
            let message = format!("a second signature is called `{}`", signature.name);
            cx.error_help(&span, message, format!("the first is at {first}"));
            continue;
        }
        all.places.push((signature.name.clone(), cx.place(&span)));
        all.list.push(signature);
    }
}

fn operators(cx: Cx<'_>, Table { value: raw, span }: Table<RawSignature>) -> Option<Signature> {
    let name = cx.required(&span, "name", raw.name).filter(|n| values::name(cx, n));
    let category = cx.required(&span, "category", raw.category).and_then(|c| values::word(cx, c, "category"));
    let pattern = cx.required(&span, "pattern", raw.pattern).filter(|p| pattern(cx, p));
    let ignore = raw.ignore.filter(|i| self::pattern(cx, i));
    Some(Signature {
        name: name?.value,
        category: category?,
        severity: raw.severity.map_or(Severity::Error, |s| s.value),
        pattern: pattern?.value,
        ignore: ignore.map(|i| i.value),
        origin: SignatureOrigin::Operator,
        matches: samples(raw.matches),
        ignores: samples(raw.ignores),
    })
}

fn samples(lines: Vec<String>) -> Vec<Cow<'static, str>> {
    lines.into_iter().map(Cow::Owned).collect()
}

/// Whether a regex compiles, is not too large and does not match just everything.
pub fn pattern(cx: Cx<'_>, text: &At<String>) -> bool {
    match RegexBuilder::new(&text.value).size_limit(LARGEST_PATTERN).build() {
        Ok(regex) if regex.is_match("") => {
            cx.error(&text.span, "this pattern matches the empty text, and so every line");
            false
        }
        Ok(_) => true,
        Err(e) => {
            cx.error(&text.span, format!("this pattern is not sound: {}", one_line(&e)));
            false
        }
    }
}

/// A pattern of the command line, held to what the configuration asks of one.
///
/// # Errors
/// When it is not sound; the caret is at the place in the pattern, and `called` stands where a file would.
pub fn typed_pattern(called: &str, text: &str) -> Result<(), ConfigError> {
    let refuse = |span, message: &str, help: Option<&str>| {
        let source = Source::unparsed(called.into(), text.to_owned());
        Err(ConfigError::at(&source, &span, message, help.map(str::to_owned)))
    };
    match RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build() {
        Ok(regex) if regex.is_match("") => {
            refuse(0..text.len(), "this pattern matches the empty text, and so every line", None)
        }
        Ok(_) => Ok(()),
        Err(error) => {
            let help = "the syntax is that of the Rust crate `regex`: a literal `(`, `[`, `{`, `*`, `+`, `?` or `|` needs a `\\` before it";
            let help = matches!(error, regex::Error::Syntax(_)).then_some(help);
            refuse(
                fault(text).unwrap_or(0..text.len()),
                &format!("this pattern is not sound: {}", one_line(&error)),
                help,
            )
        }
    }
}

/// Where the syntax of a pattern is wrong.
fn fault(text: &str) -> Option<Span> {
    let span = match regex_syntax::Parser::new().parse(text).err()? {
        regex_syntax::Error::Parse(error) => *error.span(),
        regex_syntax::Error::Translate(error) => *error.span(),
        _ => return None,
    };
    Some(span.start.offset..span.end.offset)
}

/// The sentence of a regex error; its picture spans several lines and quotes the whole pattern.
fn one_line(error: &regex::Error) -> String {
    if let regex::Error::CompiledTooBig(limit) = error {
        return format!("compiled it would take more than {} KiB", limit / 1024);
    }
    let text = error.to_string();
    let last = text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}

/// The internal signature of a rule that has a pattern of its own.
pub fn internal(rule: &str, category: &str, pattern: String, ignore: Option<String>) -> Signature {
    Signature {
        name: format!("rule:{rule}"),
        category: category.to_owned(),
        severity: Severity::Error,
        pattern,
        ignore,
        origin: SignatureOrigin::Rule,
        matches: Vec::new(),
        ignores: Vec::new(),
    }
}

/// What a rule's own `ignore` adds to a named signature.
pub fn narrowed(rule: &str, signature: &Signature, ignore: &str) -> Signature {
    let ignore = match &signature.ignore {
        Some(first) => format!("(?:{first})|(?:{ignore})"),
        None => ignore.to_owned(),
    };
    Signature {
        name: format!("rule:{rule}"),
        ignore: Some(ignore),
        origin: SignatureOrigin::Rule,
        matches: Vec::new(),
        ignores: Vec::new(),
        ..signature.clone()
    }
}
