//! The configuration in force, every default filled in, each value with where it came from. Made from the schema and from
//! what was written; the few defaults that depend on something else are asked of the [`Engine`]. May not live here: a list
//! of keys.

use crate::config::compile::{ONLY_OF_TRIGGERS, STEP_KINDS, TRIGGERS};
use crate::config::document::{bare, quoted};
use crate::config::manual::{self, MANUAL_SECTIONS};
use crate::config::{Document, Engine, LogKind, Node, Place, Probe, Tree, When, schema};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Everything in force.
#[derive(Debug, Default)]
pub struct Effective {
    pub settings: Vec<Setting>,
    /// What cannot be written as a setting.
    pub notes: Vec<String>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The header of its table: `[limits]`, `[[rule]]`; empty at top level.
    pub header: String,
    /// Two tables of one header are two tables.
    pub table: usize,
    /// `None` where only the header is there.
    pub key: Option<String>,
    /// As TOML.
    pub value: String,
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Written { file: PathBuf, line: usize },
    Default,
    Environment(&'static str),
    CommandLine(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Written { file, line } => write!(f, "{}:{line}", file.display()),
            Origin::Default => f.write_str("default"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::CommandLine(option) => write!(f, "command line {option}"),
        }
    }
}

/// What a table is about, for the defaults that depend on that.
#[derive(Clone, Copy, Default)]
struct About<'a> {
    rule: Option<usize>,
    check: Option<&'a str>,
}

/// What a property of the schema is.
enum Shape<'s> {
    Value,
    Table(&'s str),
    Tables(&'s str),
    Named(&'s str),
    /// A value, or a table of this type.
    Either(&'s str),
    NamedEither(&'s str),
}

struct Walk<'a> {
    engine: &'a Engine,
    document: &'a Document,
    schema: Value,
    order: Vec<(String, Vec<String>)>,
    found: Effective,
    tables: usize,
}

impl Effective {
    /// Of a sound configuration.
    pub fn of(engine: &Engine) -> Effective {
        let document = Document::of(&engine.written);
        let sections = manual::sections();
        let order = |(name, section): &(&str, &str)| {
            let keys = sections.get(*section).into_iter().flatten();
            let shared = sections.get(manual::EVERY_CHECK).into_iter().flatten();
            let keys = keys.chain(shared).map(|(key, _)| key.clone()).collect();
            (name.trim_start_matches("Raw").to_owned(), keys)
        };
        let order = MANUAL_SECTIONS.iter().map(order).collect();
        let found = Effective::default();
        let mut walk = Walk { engine, document: &document, schema: schema(), order, found, tables: 0 };
        walk.table("Config", Some(document.root()), "", About::default(), false);
        walk.notes();
        walk.found
    }

    /// As a configuration; with the origin of each value behind it, where that is asked for.
    pub fn text(&self, with_origin: bool) -> String {
        let mut lines: Vec<String> = self.notes.iter().map(|note| format!("# {note}")).collect();
        let mut last = None;
        let width = self.settings.iter().map(|s| s.line().chars().count()).filter(|w| *w <= 60).max().unwrap_or(0);
        for setting in &self.settings {
            if last != Some((setting.table, &setting.header)) {
                if !setting.header.is_empty() {
                    lines.extend([String::new(), setting.header.clone()]);
                }
                last = Some((setting.table, &setting.header));
            }
            if setting.key.is_some() {
                let line = setting.line();
                lines.push(if with_origin { format!("{line:width$}  # {}", setting.origin) } else { line });
            }
        }
        lines.join("\n").trim_start().to_owned()
    }
}

impl Setting {
    fn line(&self) -> String {
        self.key.as_ref().map_or_else(String::new, |key| format!("{} = {}", bare(key), self.value))
    }
}

impl Walk<'_> {
    /// A table of this type: its own values first, as TOML wants it, then the tables in it.
    fn table(&mut self, kind: &str, place: Option<Place<'_>>, path: &str, about: About<'_>, is_item: bool) {
        let header = match (path.is_empty(), is_item) {
            (true, _) => String::new(),
            (false, false) => format!("[{path}]"),
            (false, true) => format!("[[{path}]]"),
        };
        self.tables += 1;
        let table = self.tables;
        let properties = self.properties(kind);
        let only_tables =
            properties.iter().all(|(_, schema)| !matches!(shape(schema), Shape::Value | Shape::Either(_)));
        if !header.is_empty() && !only_tables {
            let (key, value) = (None, String::new());
            self.found.settings.push(Setting { header: header.clone(), table, key, value, origin: Origin::Default });
        }
        let node = place.and_then(Place::node);
        for (key, schema) in &properties {
            let written = place.and_then(|place| place.get(key));
            let is_table = written.and_then(Place::node).is_some_and(|node| matches!(node.value, Tree::Table(_)));
            let is_value = match shape(schema) {
                Shape::Value => true,
                Shape::Either(_) => !is_table,
                _ => false,
            };
            let found = if is_value { self.value(kind, key, schema, written, node, about) } else { None };
            if let Some((value, origin)) = found {
                let (key, header) = (Some(key.clone()), header.clone());
                self.found.settings.push(Setting { header, table, key, value, origin });
            }
        }
        // The lists of the main table, the rules, come last.
        let (lists, rest): (Vec<_>, Vec<_>) =
            properties.iter().partition(|(_, schema)| path.is_empty() && matches!(shape(schema), Shape::Tables(_)));
        for (key, schema) in rest.into_iter().chain(lists) {
            self.inner(kind, key, schema, place, path, about);
        }
    }

    /// What stands below a key that holds tables.
    fn inner(&mut self, kind: &str, key: &str, schema: &Value, place: Option<Place<'_>>, path: &str, about: About<'_>) {
        let written = place.and_then(|place| place.get(key));
        let path = if path.is_empty() { bare(key) } else { format!("{path}.{}", bare(key)) };
        let is_table = |place: &Place<'_>| place.node().is_some_and(|node| matches!(node.value, Tree::Table(_)));
        match shape(schema) {
            Shape::Value => {}
            Shape::Table(of) => {
                if written.is_some() || self.is_there(of) {
                    let about = if kind == "Checks" { About { check: Some(key), ..about } } else { about };
                    self.table(of, written, &path, about, false);
                }
            }
            Shape::Either(of) => {
                if let Some(written) = written.filter(is_table) {
                    self.table(of, Some(written), &path, about, false);
                }
            }
            Shape::Tables(of) => self.items(of, kind, key, written, &path, about),
            Shape::Named(of) => {
                for name in names(written) {
                    let about = if kind == "Checks" { About { check: Some(&name), ..about } } else { about };
                    let path = format!("{path}.{}", bare(&name));
                    self.table(of, written.and_then(|w| w.get(&name)), &path, about, false);
                }
            }
            Shape::NamedEither(of) => self.either(of, written, &path, about),
        }
    }

    fn items(&mut self, of: &str, kind: &str, key: &str, written: Option<Place<'_>>, path: &str, about: About<'_>) {
        let document = self.document;
        // Those of `rules.d` as well.
        let items: Vec<Place<'_>> = match (kind, written) {
            ("Config", _) => document.all(key),
            (_, Some(list)) => (0..list.node().map_or(0, |node| node.items().len())).map(|n| list.item(n)).collect(),
            _ => Vec::new(),
        };
        for (number, item) in items.into_iter().enumerate() {
            let about = if of == "Rule" { About { rule: Some(number), ..about } } else { about };
            self.table(of, Some(item), path, about, true);
        }
    }

    /// A table of names, each with a value or a table.
    fn either(&mut self, of: &str, written: Option<Place<'_>>, path: &str, about: About<'_>) {
        let Some(written) = written else { return };
        self.tables += 1;
        let (table, header) = (self.tables, format!("[{path}]"));
        let mut tables = Vec::new();
        let (key, value) = (None, String::new());
        self.found.settings.push(Setting { header: header.clone(), table, key, value, origin: Origin::Default });
        for name in names(Some(written)) {
            let Some(place) = written.get(&name) else { continue };
            match place.node().map(|node| &node.value) {
                Some(Tree::Table(_)) => tables.push((name, place)),
                _ => self.found.settings.extend(place.node().map(|node| Setting {
                    header: header.clone(),
                    table,
                    value: node.shown(&name),
                    key: Some(name),
                    origin: written_at(place),
                })),
            }
        }
        for (name, place) in tables {
            self.table(of, Some(place), &format!("{path}.{}", bare(&name)), about, false);
        }
    }

    /// The keys of a type, in the order of the manual.
    fn properties(&self, kind: &str) -> Vec<(String, Value)> {
        let of = if kind == "Config" { Some(&self.schema) } else { self.schema.pointer(&format!("/$defs/{kind}")) };
        let Some(properties) = of.and_then(|of| of.get("properties")).and_then(Value::as_object) else {
            return Vec::new();
        };
        let order =
            self.order.iter().find(|(name, _)| name == kind).map(|(_, keys)| keys.as_slice()).unwrap_or_default();
        let mut found: Vec<(String, Value)> = properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        found.sort_by_key(|(key, _)| order.iter().position(|k| k == key).unwrap_or(usize::MAX));
        found
    }

    /// The value of a key and where it came from; `None` where nothing is written and nothing is the default.
    fn value(
        &self,
        kind: &str,
        key: &str,
        schema: &Value,
        written: Option<Place<'_>>,
        table: Option<&Node>,
        about: About<'_>,
    ) -> Option<(String, Origin)> {
        let given = &self.engine.written.surroundings;
        if (kind, key) == ("Config", "state_dir") && given.state_dir_wanted.is_some() {
            let value = quoted(&self.engine.state_dir.display().to_string());
            return Some((value, Origin::CommandLine("--state-dir")));
        }
        if let Some(place) = written {
            return Some((place.node()?.shown(key), written_at(place)));
        }
        let of_log = || {
            let rule = about.rule.and_then(|number| self.engine.rules.get(number));
            rule.is_some_and(|rule| matches!(rule.when, When::Log(_)))
        };
        if !belongs(kind, key, table) || ((kind, key) == ("Validate", "max_errors") && !of_log()) {
            return None;
        }
        self.computed(kind, key, table, about).or_else(|| {
            let default = schema.get("default")?;
            Some((toml_of(default), Origin::Default))
        })
    }

    /// Defaults that depend on something.
    fn computed(&self, kind: &str, key: &str, table: Option<&Node>, about: About<'_>) -> Option<(String, Origin)> {
        let engine = self.engine;
        let check = about.check.and_then(|name| engine.check(name));
        let rule = about.rule.and_then(|number| engine.rules.get(number));
        let plain = |text: String| Some((text, Origin::Default));
        match (kind, key) {
            ("Config", "state_dir") => {
                let of_user = engine.state_dir != std::path::Path::new("/var/lib/healer");
                let origin = if of_user { Origin::Environment("$XDG_STATE_HOME, $HOME") } else { Origin::Default };
                Some((quoted(&engine.state_dir.display().to_string()), origin))
            }
            ("Config", "knowledge_base") => plain(quoted(&engine.knowledge_base.display().to_string())),
            ("Allow", _) => plain("[]".to_owned()),
            (_, "timeout") => check.and_then(|check| plain(quoted(&duration(check.timeout)))),
            ("Docker", "socket") => match &check?.probe {
                Probe::Docker(probe) => {
                    let usual = "unix:///var/run/docker.sock";
                    let origin =
                        if probe.socket == usual { Origin::Default } else { Origin::Environment("$DOCKER_HOST") };
                    Some((quoted(&probe.socket), origin))
                }
                _ => None,
            },
            ("Rule", "cause") => plain(quoted(&rule?.cause)),
            ("Validate", "max_window") => plain(quoted(&duration(rule?.validate.max_window))),
            ("Step", "max") if table?.get("postgres").is_some() => plain("10".to_owned()),
            ("Step" | "Bound", "max_total_factor") => {
                let factor = match table?.get("max_factor").map(|node| &node.value) {
                    Some(Tree::Word(word)) => word.parse::<f64>().ok()?,
                    _ => 2.0,
                };
                plain(factor.max(4.0).to_string())
            }
            ("Alerts", "on") => {
                let kinds = self.schema.pointer("/$defs/Alerts/properties/on/items/$ref").and_then(Value::as_str)?;
                let kinds = self.schema.pointer(&format!("{}/enum", kinds.trim_start_matches('#')))?;
                plain(toml_of(kinds))
            }
            _ => None,
        }
    }

    /// Whether a section is in force although nobody wrote it.
    fn is_there(&self, kind: &str) -> bool {
        match kind {
            "Docker" => self.engine.docker().is_some_and(|(_, docker)| !docker.discovered),
            "LogsDocker" => self.engine.logs.iter().any(|l| matches!(l.kind, LogKind::Docker { .. })),
            "Signatures" | "Allow" | "Checks" | "Host" | "Logs" | "Limits" | "Learning" | "Alerts" | "Backups"
            | "State" | "Serve" | "Validate" | "RuleLimits" => true,
            _ => false,
        }
    }

    fn notes(&mut self) {
        if let Some((_, docker)) = self.engine.docker().filter(|(_, docker)| docker.discovered) {
            let socket = &docker.socket;
            self.found
                .notes
                .push(format!("[checks.docker] is not written: containers are looked at where {socket} answers"));
        }
        if self.engine.source.is_none() {
            self.found.notes.insert(0, "no configuration was found: these are the built-in defaults".to_owned());
        }
    }
}

/// Whether a key that is not written would have a meaning in this table: a default of another trigger or step has none.
fn belongs(kind: &str, key: &str, table: Option<&Node>) -> bool {
    let Some(table) = table else { return true };
    let has = |key: &str| table.get(key).is_some();
    let goes = |kinds: &[(&str, &[&str])]| {
        let of = kinds.iter().find(|(kind, _)| has(kind));
        of.is_none_or(|(_, keys)| keys.contains(&key))
    };
    match kind {
        "When" => goes(&TRIGGERS),
        "Evidence" => goes(&TRIGGERS) && !ONLY_OF_TRIGGERS.contains(&key),
        "Step" => goes(&STEP_KINDS),
        "Validate" => key != "max_errors" || !has("reduce_to"),
        _ => true,
    }
}

fn names(place: Option<Place<'_>>) -> Vec<String> {
    match place.and_then(Place::node).map(|node| &node.value) {
        Some(Tree::Table(entries)) => entries.iter().map(|(name, _)| name.clone()).collect(),
        _ => Vec::new(),
    }
}

fn written_at(place: Place<'_>) -> Origin {
    place.line().map_or(Origin::Default, |(file, line)| Origin::Written { file, line })
}

/// Levels are written in one line: what is written of them replaces their default as a whole.
const IN_ONE_LINE: [&str; 2] = ["Levels", "Latency"];

fn shape(schema: &Value) -> Shape<'_> {
    if let Some(one) = name(schema) {
        return Shape::Table(one);
    }
    if let Some(item) = schema.get("items") {
        return name(item).map_or(Shape::Value, Shape::Tables);
    }
    if let Some(more) = schema.get("additionalProperties") {
        return match (name(more), either(more)) {
            (Some(of), _) => Shape::Named(of),
            (_, Some(of)) => Shape::NamedEither(of),
            _ => Shape::Value,
        };
    }
    either(schema).map_or(Shape::Value, Shape::Either)
}

/// The type of tables that a schema refers to.
fn name(schema: &Value) -> Option<&str> {
    let target = schema.get("$ref")?.as_str()?.rsplit('/').next()?;
    let is_value = IS_CHOICE.contains(&target) || IN_ONE_LINE.contains(&target);
    (!is_value).then_some(target)
}

fn either(schema: &Value) -> Option<&str> {
    schema.get("anyOf")?.as_array()?.iter().find_map(name)
}

/// Types of the schema that are words, not tables.
const IS_CHOICE: [&str; 6] = ["Mode", "AlertKind", "WebhookFormat", "Weekday", "TriggerState", "TestState"];

fn toml_of(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(toml_of).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| format!("{} = {}", bare(key), toml_of(value));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// As the configuration writes it.
fn duration(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= ms {
            text.push_str(&format!("{}{unit}", rest / ms));
            rest %= ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
