//! Keys of `--json` documents against those that are committed in `tests/golden/keys`.

use super::{golden, is_renewing};
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Maps whose keys are names: of checks, metrics, signatures, types, outcomes, targets.
const NAMED: [&str; 12] = [
    r"^data(\.health)?\.checks$",
    r"\.by_signature$",
    r"\.events_by_signature$",
    r"\.by_type$",
    r"\.by_result$",
    r"\.self_recovery$",
    r"\.fixes_made$",
    r"^data\.damaged$",
    r"\.changed$",
    r"\.labels$",
    r"\.value$",
    r"\.expect$",
];

/// The paths of a document, each with the types seen there; `[]` is any item, `*` any name.
fn paths(value: &Value, path: &str, found: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !path.is_empty() {
        found.entry(path.to_owned()).or_default().insert(kind);
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{path}[]"), found)),
        Value::Object(map) => {
            let named = NAMED.iter().any(|pattern| Regex::new(pattern).unwrap().is_match(path));
            map.iter().for_each(|(name, value)| paths(value, &below(if named { "*" } else { name }), found));
        }
        _ => {}
    }
}

/// Types by path.
pub type Keys = BTreeMap<String, BTreeSet<String>>;

fn keys(document: &Value) -> Keys {
    let mut found = BTreeMap::new();
    paths(document, "", &mut found);
    found.into_iter().map(|(path, kinds)| (path, kinds.into_iter().map(str::to_owned).collect())).collect()
}

/// Paths of a command's document as they are committed, each with its types.
pub fn committed_keys(name: &str) -> Keys {
    let text = std::fs::read_to_string(golden(&format!("keys/{name}.txt"))).unwrap_or_default();
    let line = |line: &str| {
        let (path, kinds) = line.split_once(": ").unwrap();
        (path.to_owned(), kinds.split(" or ").map(str::to_owned).collect())
    };
    text.lines().map(line).collect()
}

/// The document's keys are those that are committed. Where there is nothing to say a value may be null, but never its key
/// gone; a key of an object that is not there now cannot be seen.
#[track_caller]
pub fn check_keys(name: &str, documents: &[Value]) {
    let mut all = Keys::new();
    for document in documents {
        keys(document).into_iter().for_each(|(path, kinds)| all.entry(path).or_default().extend(kinds));
    }
    if is_renewing() {
        let line = |(path, kinds): (&String, &BTreeSet<String>)| {
            format!("{path}: {}\n", kinds.iter().cloned().collect::<Vec<_>>().join(" or "))
        };
        std::fs::create_dir_all(golden("keys")).unwrap();
        return std::fs::write(golden(&format!("keys/{name}.txt")), all.iter().map(line).collect::<String>()).unwrap();
    }
    let committed = committed_keys(name);
    let gone: Vec<&String> = committed.keys().filter(|path| !all.contains_key(*path)).collect();
    assert!(gone.is_empty(), "{name} --json has lost what programs read: {gone:#?}");
    let other: Vec<String> = committed
        .iter()
        .filter(|(path, kinds)| !all[*path].is_subset(kinds))
        .map(|(path, kinds)| format!("{path}: {kinds:?} is now {:?}", all[path]))
        .collect();
    assert!(other.is_empty(), "{name} --json says it in another type: {other:#?}");
    let new: Vec<&String> = all.keys().filter(|path| !committed.contains_key(*path)).collect();
    assert!(
        new.is_empty(),
        "{name} --json says more; HEALER_GOLDEN=write takes it in, and healer-json(7) tells of it: {new:#?}"
    );
    // The same object has the same keys, whether there is something to say or not.
    for document in documents {
        same_keys(document, "", &committed, name);
    }
}

#[track_caller]
fn same_keys(value: &Value, path: &str, committed: &Keys, name: &str) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| same_keys(item, &format!("{path}[]"), committed, name)),
        Value::Object(map) => {
            let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
            if committed.contains_key(&format!("{prefix}*")) {
                map.values().for_each(|value| same_keys(value, &format!("{prefix}*"), committed, name));
                return;
            }
            let wanted = committed.keys().filter_map(|path| path.strip_prefix(&prefix));
            let wanted: BTreeSet<&str> = wanted.filter(|rest| !rest.contains(['.', '['])).collect();
            let there: BTreeSet<&str> = map.keys().map(String::as_str).collect();
            let optional = OPTIONAL.iter().any(|pattern| Regex::new(pattern).unwrap().is_match(path));
            let missing: Vec<&&str> = wanted.difference(&there).filter(|_| !optional).collect();
            assert!(missing.is_empty(), "{name} --json: `{path}` lacks {missing:?}, which it has elsewhere");
            map.iter().for_each(|(key, value)| same_keys(value, &format!("{prefix}{key}"), committed, name));
        }
        _ => {}
    }
}

/// Objects that are of several kinds, each with keys of its own: a check with its metrics, a step, what is watched.
const OPTIONAL: [&str; 3] = [r"\.checks\.\*$", r"\.steps\[\]", r"\.watched"];
