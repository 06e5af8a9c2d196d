//! The map of `src/lib.rs` stays true: which module may name what. Imports and paths of the sources are held against
//! [`RULES`]; test modules, comments and string literals do not count.
//!
//! A path is known by its `use` or by being written out, so a name behind a glob or a macro of another crate is not seen.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

struct Rule {
    law: &'static str,
    files: Files,
    names: Names,
    /// Where the code may do it all the same: file, path, why.
    except: &'static [(&'static str, &'static str, &'static str)],
}

/// Files by their path below `src`; a directory ends with `/`.
enum Files {
    These(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// Paths, each with everything below it. `*::name` is any path that ends so.
enum Names {
    Never(&'static [&'static str]),
    /// Of other crates and of our own modules; the standard library is left to other rules.
    Only(&'static [&'static str]),
}

use Files::{AllBut, These};
use Names::{Never, Only};

const PURE: Files = These(&[
    "model/",
    "diagnose/",
    "plan.rs",
    "plan/",
    "gate.rs",
    "gate/",
    "breaker.rs",
    "validate.rs",
    "validate/",
    "incidents.rs",
    "follow_up.rs",
    "unaided.rs",
    "transaction/phase.rs",
]);

const RULES: &[Rule] = &[
    Rule {
        law: "the nouns depend on nothing but serde and jiff",
        files: These(&["model/"]),
        names: Only(&["crate::model", "serde", "jiff"]),
        except: &[],
    },
    Rule {
        law: "a pure stage touches neither files, processes, the network nor the environment, and reads no clock",
        files: PURE,
        names: Never(&[
            "std::fs",
            "std::io",
            "std::process",
            "std::net",
            "std::os",
            "std::env",
            "std::thread",
            "*::now",
            "rustix",
        ]),
        except: &[],
    },
    Rule {
        law: "judging, tests of rules and what is remembered of matches are as pure: a recording replays, a test repeats",
        files: These(&["pass/judging.rs", "rehearsal.rs", "matches.rs"]),
        names: Never(&[
            "std::fs",
            "std::io",
            "std::process",
            "std::net",
            "std::os",
            "std::env",
            "std::thread",
            "*::now",
        ]),
        except: &[],
    },
    Rule {
        law: "a pure stage knows only the nouns, the configuration, other pure stages and what history has counted",
        files: PURE,
        names: Only(&[
            "crate::model",
            "crate::config",
            "crate::diagnose",
            "crate::plan",
            "crate::gate",
            "crate::breaker",
            "crate::pause",
            "crate::validate",
            "crate::incidents",
            "crate::fix::edit",
            "crate::text",
            "crate::attempts::Attempt",
            "crate::attempts::Attempts",
            "crate::attempts::Held",
            "crate::learn::Knowledge",
            "serde",
            "jiff",
        ]),
        except: &[
            ("plan.rs", "sha2", "a plan's identity is a hash of what it does; hashing is arithmetic"),
            ("plan.rs", "serde_json::to_string", "the text that is hashed"),
            ("diagnose/confidence.rs", "crate::learn::history_addend", "arithmetic on two counts"),
            ("diagnose/confidence.rs", "crate::learn::self_recovery_addend", "arithmetic on four counts"),
            ("diagnose/confidence.rs", "crate::learn::History", "counts"),
            ("transaction/phase.rs", "crate::transaction::journal", "the entries that it reads, as values"),
        ],
    },
    Rule {
        law: "a pure stage takes the configuration as a value and never loads one",
        files: PURE,
        names: Never(&["crate::config::load", "crate::config::SystemSecrets", "crate::config::compile"]),
        except: &[],
    },
    Rule {
        law: "only what talks to the world names the crates that do",
        files: AllBut(&["host/", "observe/", "fix/", "alert/", "serve/"]),
        names: Never(&[
            "bollard",
            "tokio",
            "tokio_rustls",
            "rustls",
            "rustls_native_certs",
            "hyper",
            "hyper_util",
            "http_body_util",
            "futures_util",
            "postgres",
            "redis",
            "sysinfo",
            "ureq",
            "lettre",
        ]),
        except: &[],
    },
    Rule {
        law: "a thread that cannot be started is an error and no panic: `thread::Builder`",
        files: AllBut(&[]),
        names: Never(&["std::thread::spawn"]),
        except: &[],
    },
    Rule {
        law: "only the command line names its parser",
        files: AllBut(&["cli.rs", "cli/", "main.rs"]),
        names: Never(&["clap"]),
        except: &[],
    },
    Rule {
        law: "only what shows names the crates of showing",
        files: AllBut(&["show/"]),
        names: Never(&["comfy_table", "similar"]),
        except: &[],
    },
];

impl Files {
    fn hold(&self, file: &str) -> bool {
        let among = |list: &[&str]| list.iter().any(|f| file == *f || (f.ends_with('/') && file.starts_with(f)));
        match self {
            These(list) => among(list),
            AllBut(list) => !among(list),
        }
    }
}

impl Names {
    fn forbid(&self, path: &str) -> bool {
        match self {
            Never(list) => list.iter().any(|name| is_below(path, name)),
            Only(list) => !is_below(path, "std") && !list.iter().any(|name| is_below(path, name)),
        }
    }
}

fn is_below(path: &str, name: &str) -> bool {
    match name.strip_prefix('*') {
        Some(end) => path.ends_with(end),
        None => path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")),
    }
}

/// What a source breaks, as `path: law`, and the exceptions it uses, as positions in the table.
fn judge(file: &str, source: &str, crates: &BTreeSet<String>) -> (Vec<String>, BTreeSet<(usize, usize)>) {
    let (mut broken, mut used) = (Vec::new(), BTreeSet::new());
    let named = named_paths(file, source, crates);
    for (number, rule) in RULES.iter().enumerate().filter(|(_, rule)| rule.files.hold(file)) {
        for path in named.iter().filter(|path| rule.names.forbid(path)) {
            match rule.except.iter().position(|(place, name, _)| *place == file && is_below(path, name)) {
                Some(exception) => drop(used.insert((number, exception))),
                None => broken.push(format!("{path}: {}", rule.law)),
            }
        }
    }
    (broken, used)
}

/// The paths that a source names outside its tests, of the standard library, of these crates and of our own (`crate::`).
fn named_paths(file: &str, source: &str, crates: &BTreeSet<String>) -> BTreeSet<String> {
    let code = without_tests(&without_text(source));
    let uses = Regex::new(r"(?s)\b(?:use|extern crate)\s+([^;]+);").unwrap();
    let mut imported = BTreeMap::new();
    for tree in uses.captures_iter(&code) {
        expand("", &tree[1], &mut |path, name| drop(imported.insert(name, absolute(file, &path))));
    }
    let written = Regex::new(r"\b[A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)+").unwrap();
    let rest = uses.replace_all(&code, "");
    let written = written.find_iter(&rest).map(|path| {
        let path: String = path.as_str().split_whitespace().collect();
        let (first, tail) = path.split_once("::").unwrap();
        imported.get(first).map_or_else(|| absolute(file, &path), |full| format!("{full}::{tail}"))
    });
    let all = written.chain(imported.values().cloned());
    let root = |path: &str| path.split("::").next().unwrap_or_default().to_owned();
    all.filter(|path| matches!(&*root(path), "std" | "crate") || crates.contains(&root(path))).collect()
}

/// Calls back with each path of a `use` tree and the name it is known by here.
fn expand(prefix: &str, tree: &str, each: &mut dyn FnMut(String, String)) {
    let tree = tree.trim().trim_start_matches("::");
    if let Some((head, group)) = tree.split_once('{') {
        let prefix = format!("{prefix}{}", head.trim());
        let (mut depth, mut start) = (0, 0);
        let group = group.trim_end().strip_suffix('}').unwrap();
        for (at, sign) in group.char_indices().chain([(group.len(), ',')]) {
            match sign {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&prefix, &group[start..at], each);
                    start = at + 1;
                }
                _ => {}
            }
        }
    } else if !tree.is_empty() {
        let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim())));
        let path = format!("{prefix}{}", path.trim());
        let path = path.trim_end_matches("::*").trim_end_matches("::self").to_owned();
        let name = alias.unwrap_or_else(|| path.rsplit("::").next().unwrap()).to_owned();
        each(path, name);
    }
}

/// `self` and `super` resolved; the binary's name for our library is `crate` as well.
fn absolute(file: &str, path: &str) -> String {
    let mut module: Vec<&str> = file.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
    let mut parts = path.split("::").peekable();
    match parts.peek() {
        Some(&"healer") => format!("crate{}", path.trim_start_matches("healer")),
        Some(&("self" | "super")) => {
            while let Some(part) = parts.next_if(|part| matches!(*part, "self" | "super")) {
                if part == "super" {
                    module.pop();
                }
            }
            ["crate"].into_iter().chain(module).chain(parts).collect::<Vec<_>>().join("::")
        }
        _ => path.to_owned(),
    }
}

/// Comments away, and string literals empty.
fn without_text(source: &str) -> String {
    let text = r##"(?s)//[^\n]*|/\*.*?\*/|b?r#+".*?"#+|b?r"[^"]*"|b?"(?:\\.|[^"\\])*"|b?'(?:\\.|[^'\\])'"##;
    Regex::new(text).unwrap().replace_all(source, "\"\"").into_owned()
}

/// Without the inline test module, which ends a file in this project.
fn without_tests(code: &str) -> String {
    let tests = Regex::new(r"#\[cfg\(test\)\]\s*mod\s+tests\s*\{").unwrap();
    tests.find(code).map_or(code, |found| &code[..found.start()]).to_owned()
}

fn sources(below: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name == "tests" || name.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(path);
        }
    }
}

/// The crates of `[dependencies]`, as code names them.
fn dependencies() -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().map(|name| name.replace('-', "_")).collect()
}

#[test]
fn the_sources_keep_the_rules_and_need_every_exception() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let crates = dependencies();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (mut broken, mut used) = (Vec::new(), BTreeSet::new());
    for path in &files {
        let file = path.strip_prefix(&root).unwrap().to_str().unwrap();
        let (here, exceptions) = judge(file, &std::fs::read_to_string(path).unwrap(), &crates);
        broken.extend(here.into_iter().map(|what| format!("src/{file} names {what}")));
        used.extend(exceptions);
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for (number, rule) in RULES.iter().enumerate() {
        for (exception, what) in rule.except.iter().enumerate() {
            assert!(used.contains(&(number, exception)), "nothing needs the exception {what:?} of `{}`", rule.law);
        }
        if let These(list) = rule.files {
            assert!(list.iter().all(|file| root.join(file).exists()), "`{}` is about files that are not", rule.law);
        }
    }
}

#[test]
fn a_rule_that_is_broken_is_seen_however_it_is_written() {
    let crates = dependencies();
    let check = |file: &str, source: &str, expected: &[&str]| {
        let (broken, _) = judge(file, source, &crates);
        let found: BTreeSet<&str> = broken.iter().map(|what| what.split(": ").next().unwrap()).collect();
        assert_eq!(found, expected.iter().copied().collect(), "{file}: {source}");
    };
    check("gate.rs", "use std::fs;", &["std::fs"]);
    check("gate.rs", "use std::{collections::BTreeMap, fs::{self, File}};", &["std::fs", "std::fs::File"]);
    check("gate.rs", "fn f() { std::process::exit(1) }", &["std::process::exit"]);
    check("gate.rs", "use jiff::Timestamp;\nfn f() { Timestamp::now(); }", &["jiff::Timestamp::now"]);
    check("gate.rs", "use std::time as t;\nfn f() { t::Instant::now(); }", &["std::time::Instant::now"]);
    check("validate.rs", "use crate::{host::files, model::Plan};", &["crate::host::files"]);
    check("diagnose/rules.rs", "use super::super::observe;", &["crate::observe"]);
    check("transaction/phase.rs", "fn f() { super::apply::apply(); }", &["crate::transaction::apply::apply"]);
    check("plan.rs", "use crate::logs::collect;", &["crate::logs::collect"]);
    check("plan.rs", "use sha2::Sha256;", &[]);
    check("gate.rs", "use sha2::Sha256;", &["sha2::Sha256"]);
    check("model/plan.rs", "#[derive(clap::ValueEnum)] enum E {}", &["clap::ValueEnum"]);
    check("model/plan.rs", "use crate::config::Engine;", &["crate::config::Engine"]);
    check("pass.rs", "use postgres::Client;\nuse tokio as t;", &["postgres::Client", "tokio"]);
    check("observe/postgres.rs", "use postgres::Client;", &[]);
    check("commands/stats.rs", "pub(crate) use comfy_table::*;", &["comfy_table"]);
    check("tell.rs", "use similar::TextDiff;", &["similar::TextDiff"]);
    check("main.rs", "use clap::Parser;\nuse healer::cli;", &[]);
    check("gate.rs", "// std::fs\nconst A: &str = \"std::fs\"; /* std::net::x */", &[]);
    check("gate.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}", &[]);
    check(
        "gate.rs",
        "const QUOTE: char = '\"';\nfn f() { std::fs::read(); }\nconst END: char = '\"';",
        &["std::fs::read"],
    );
}
