//! The JSON Schema of healer.toml: shape from the types of `raw`, ranges, defaults and descriptions from healer.toml(5).

use crate::config::at::{At, Dur, NameOr, OneOrMany, RawScalar, RawSetting, Table};
use crate::config::duration::DURATION_PATTERN;
use crate::config::manual::{self, EVERY_CHECK, Entry, MANUAL_SECTIONS, Section};
use crate::config::raw::{RawBound, RawConfig};
use crate::model::{Severity, Status};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The schema, of draft 2020-12.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let mut schema = settings.into_generator().into_root_schema_for::<RawConfig>().to_value();
    as_of_toml(&mut schema);
    let manual = manual::sections();
    describe(&mut schema, "RawConfig", &manual);
    if let Some(types) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        types.iter_mut().for_each(|(name, one)| describe(one, name, &manual));
    }
    renamed(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "healer.toml".into());
        root.insert("description".into(), "Configuration of healer; see healer.toml(5)".into());
    }
    schema
}

/// TOML has no null, an optional key is one that may be left out; and `double` is a format of Rust's.
fn as_of_toml(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(kinds)) = object.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [one] = kinds.as_slice() {
                    let one = one.clone();
                    object.insert("type".into(), one);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("enum") {
                choices.retain(|choice| !choice.is_null());
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type") != Some(&json!("null")));
                if let [Value::Object(one)] = choices.as_slice() {
                    let one = one.clone();
                    object.remove("anyOf");
                    object.extend(one);
                }
            }
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            if object.get("default") == Some(&Value::Null) {
                object.remove("default");
            }
            object.values_mut().for_each(as_of_toml);
        }
        Value::Array(items) => items.iter_mut().for_each(as_of_toml),
        _ => {}
    }
}

/// What the manual says of the keys of a type.
fn describe(schema: &mut Value, name: &str, manual: &BTreeMap<String, Section>) {
    let Some((_, section)) = MANUAL_SECTIONS.iter().find(|(of, _)| *of == name) else { return };
    let Some(object) = schema.as_object_mut() else { return };
    object.insert("title".into(), (*section).into());
    let mut required = Vec::new();
    if let Some(keys) = object.get_mut("properties").and_then(Value::as_object_mut) {
        for (key, value) in keys {
            let of = |section: &str| manual.get(section)?.iter().find(|(k, _)| k == key).map(|(_, entry)| entry);
            let Some(entry) = of(section).or_else(|| of(EVERY_CHECK)) else { continue };
            if entry.is_required {
                required.push(Value::from(key.as_str()));
            }
            if let Some(value) = value.as_object_mut() {
                annotate(value, entry);
            }
        }
    }
    // A signal that is required has no `add`.
    if !required.is_empty() && name != "RawEvidence" {
        object.insert("required".into(), required.into());
    }
}

fn annotate(schema: &mut Map<String, Value>, entry: &Entry) {
    let what = [entry.holds.as_str(), entry.text.as_str()];
    let what: Vec<&str> = what.into_iter().filter(|part| !part.is_empty()).collect();
    schema.insert("description".into(), what.join(". ").into());
    if let Some(default) = entry.default.as_deref().and_then(|text| default_of(schema, text)) {
        schema.insert("default".into(), default);
    }
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "number" | "integer" => numbers(schema, &entry.holds),
        "string" => texts(schema, &entry.holds),
        _ if schema.contains_key("$ref") => texts(schema, &entry.holds),
        _ => {}
    }
}

/// A default as the page writes it, where it is a value.
fn default_of(schema: &Map<String, Value>, text: &str) -> Option<Value> {
    if text == "none" {
        return None;
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean" | "number" | "integer") => serde_json::from_str(text).ok(),
        Some("array") => serde_json::from_str(text).ok(),
        Some("string") if !text.contains(' ') => Some(text.into()),
        None if schema.contains_key("$ref") && !text.contains(' ') => Some(text.into()),
        // Levels: `warning 80, critical 90`.
        None if schema.contains_key("$ref") => {
            let level = |part: &str| {
                let (key, value) = part.split_once(' ')?;
                let value = value
                    .parse::<f64>()
                    .map_or_else(|_| value.into(), |_| serde_json::from_str(value).unwrap_or_default());
                ["warning", "critical"].contains(&key).then(|| (key.to_owned(), value))
            };
            let levels: Option<Map<String, Value>> = text.split(", ").map(level).collect();
            levels.map(Value::Object)
        }
        _ => None,
    }
}

/// `whole number, 0 to 100`, `number, 1 or more`, `percentage`.
fn numbers(schema: &mut Map<String, Value>, holds: &str) {
    if holds.starts_with("whole number") {
        schema.insert("type".into(), "integer".into());
    }
    let number = |text: &str| serde_json::from_str::<i64>(text.trim()).ok();
    let range = holds.rsplit(", ").next().unwrap_or_default();
    let (least, most) = match range {
        "percentage" => (Some(0), Some(100)),
        _ => match range.split_once(" to ") {
            Some((least, most)) => (number(least), number(most)),
            None => (range.strip_suffix(" or more").and_then(number), None),
        },
    };
    schema.extend(least.map(|least| ("minimum".to_owned(), least.into())));
    schema.extend(most.map(|most| ("maximum".to_owned(), most.into())));
}

/// `auto | suggest`, `container:NAME | unit:NAME`, `absolute path`.
fn texts(schema: &mut Map<String, Value>, holds: &str) {
    let words: Vec<&str> = holds.split(" | ").collect();
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    // `container:NAME`; what is written as it stands, as `host:port`, is no placeholder.
    let prefix = |word: &&str| {
        let (kind, name) = word.split_once(':').filter(|(_, name)| name.starts_with(char::is_uppercase))?;
        (is_word(&kind) && !name.is_empty()).then(|| kind.to_owned())
    };
    if words.len() > 1 && words.iter().all(is_word) {
        schema.insert("enum".into(), words.into());
    } else if let Some(mut kinds) = words.iter().map(prefix).collect::<Option<Vec<String>>>() {
        kinds.dedup();
        schema.insert("pattern".into(), format!("^({}):", kinds.join("|")).into());
    } else if holds.starts_with("absolute path") {
        schema.insert("pattern".into(), "^/".into());
    }
}

/// The types without the `Raw` that tells them from what they become.
fn renamed(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(target)) = object.get_mut("$ref") {
                *target = target.replace("/Raw", "/");
            }
            if let Some(Value::Object(types)) = object.get_mut("$defs") {
                let old = std::mem::take(types);
                types.extend(old.into_iter().map(|(name, one)| (name.trim_start_matches("Raw").to_owned(), one)));
            }
            object.values_mut().for_each(renamed);
        }
        Value::Array(items) => items.iter_mut().for_each(renamed),
        _ => {}
    }
}

/// Transparent: its place is none of the text.
macro_rules! as_its_value {
    ($wrapper:ident) => {
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }

            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }

            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    };
}

as_its_value!(At);
as_its_value!(Table);

/// One inline schema.
macro_rules! inline {
    ($type:ty, $generator:ident, $schema:expr) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

inline!(Dur, _generator, json_schema!({ "type": "string", "minLength": 2, "pattern": DURATION_PATTERN }));
inline!(RawScalar, _generator, json_schema!({ "type": ["number", "string", "boolean"] }));
inline!(
    OneOrMany,
    _generator,
    json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
);
inline!(
    RawSetting,
    generator,
    json_schema!({ "anyOf": [{ "type": ["number", "string", "boolean"] }, generator.subschema_for::<RawBound>()] })
);
inline!(Status, _generator, json_schema!({ "type": "string", "enum": ["healthy", "warning", "critical", "unknown"] }));
inline!(Severity, _generator, json_schema!({ "type": "string", "enum": ["warning", "error", "critical"] }));

impl<T: JsonSchema> JsonSchema for NameOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("NameOr_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<T>()] })
    }
}
