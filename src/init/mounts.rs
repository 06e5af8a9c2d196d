//! What containers mount from this host: virtual environments, and numbers in programs and configuration files that a
//! rule could change. Every selector was proven by the product's own editing to find exactly one literal.

use super::found::{Container, Literal, Purpose, can_be_named};
use crate::config::{Format, Selector};
use crate::fix::edit::{self, Value};
use regex::Regex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DEEPEST: usize = 5;
const MOST_ENTRIES: usize = 4000;
const LARGEST: u64 = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(2);
/// Literals of one purpose in one container.
const MOST_OF_A_KIND: usize = 3;
/// Below these nothing is a service's own.
const SYSTEM: [&str; 12] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var/run"];

/// What was found in the mounts.
#[derive(Debug, Default)]
pub struct InMounts {
    pub environments: Vec<PathBuf>,
    pub literals: Vec<Literal>,
    pub cut_off: bool,
    /// Paths that no configuration can name.
    pub odd: Vec<PathBuf>,
}

/// Directories and files that containers mount and that are a service's own.
pub fn own(containers: &[Container]) -> Vec<(String, PathBuf)> {
    let mut known = BTreeSet::new();
    let of = |c: &Container| c.binds.iter().map(|bind| (c.name.clone(), bind.clone())).collect::<Vec<_>>();
    let wanted = containers.iter().filter(|c| c.labels.enable != Some(false)).flat_map(of);
    wanted.filter(|(_, path)| is_own(path) && known.insert(path.clone())).collect()
}

fn is_own(path: &Path) -> bool {
    path != Path::new("/") && !SYSTEM.iter().any(|system| path.starts_with(system)) && !path.ends_with("docker.sock")
}

/// Looks through the mounts.
pub fn look(mounts: &[(String, PathBuf)]) -> InMounts {
    let mut walk =
        Walk { until: Instant::now() + PATIENCE, seen: 0, found: InMounts::default(), known: BTreeSet::new() };
    for (container, path) in mounts {
        if !can_be_named(path) {
            walk.found.odd.push(path.clone());
        } else if path.is_file() {
            walk.file(container, path);
        } else {
            walk.directory(container, path, DEEPEST);
        }
    }
    walk.found
}

struct Walk {
    until: Instant,
    seen: usize,
    found: InMounts,
    known: BTreeSet<PathBuf>,
}

/// Names of directories that hold nothing of the service's own.
pub fn is_skipped(name: &str) -> bool {
    ["node_modules", "__pycache__", "site-packages", "vendor", "dist", "build", "target"].contains(&name)
        || (name.starts_with('.') && !name.starts_with(".env"))
}

impl Walk {
    fn directory(&mut self, container: &str, directory: &Path, depth: usize) {
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            self.seen += 1;
            if self.seen >= MOST_ENTRIES || Instant::now() >= self.until {
                self.found.cut_off = true;
                return;
            }
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if is_skipped(&entry.file_name().to_string_lossy()) {
                continue;
            }
            if !can_be_named(&path) {
                self.found.odd.push(path);
            } else if kind.is_dir() && path.join("pyvenv.cfg").is_file() {
                self.found.environments.push(path);
            } else if kind.is_dir() && depth > 1 {
                self.directory(container, &path, depth - 1);
            } else if kind.is_file() {
                self.file(container, &path);
            }
        }
    }

    fn file(&mut self, container: &str, path: &Path) {
        let Some(format) = Format::of(path) else { return };
        let is_small = std::fs::metadata(path).is_ok_and(|meta| meta.len() <= LARGEST);
        let Some(bytes) = is_small.then(|| std::fs::read(path).ok()).flatten() else { return };
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !self.known.insert(path.clone())
            || !can_be_named(&path)
            || crate::host::files::check_replaceable(&path).is_err()
        {
            return;
        }
        for (purpose, at) in candidates(&bytes, format) {
            let of_kind = |l: &&Literal| l.container == container && l.purpose == purpose;
            if self.found.literals.iter().filter(of_kind).count() >= MOST_OF_A_KIND {
                continue;
            }
            if let Some((raw, value, line)) = proven(&bytes, format, &at) {
                let container = container.to_owned();
                self.found.literals.push(Literal { container, path: path.clone(), at, purpose, raw, value, line });
            }
        }
    }
}

/// The literal, its number and its line, where the selector finds exactly one number above zero.
fn proven(bytes: &[u8], format: Format, at: &str) -> Option<(String, f64, usize)> {
    let selector = Selector::parse(at, format).ok()?;
    let located = edit::locate(bytes, format, &selector).ok()?;
    let Value::Number(_) = located.literal.value else { return None };
    let raw = located.literal.raw;
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let number: String = raw.chars().skip_while(|c| !digits(*c)).take_while(|c| digits(*c)).collect();
    let value = number.parse().ok().filter(|value: &f64| *value > 0.0)?;
    Some((raw, value, located.line))
}

/// Selectors that may find a number worth a rule, each once.
fn candidates(bytes: &[u8], format: Format) -> Vec<(Purpose, String)> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let mut all: Vec<(Purpose, String)> = match format {
        Format::Python => python(text),
        _ => {
            let paths = edit::paths(bytes, format).unwrap_or_default();
            // A place in a list moves when somebody adds to it.
            let named = paths.into_iter().filter(|path| !path.contains('[') && !path.contains(char::is_control));
            named.filter_map(|path| Some((purpose(path.rsplit('.').next()?)?, path))).collect()
        }
    };
    let mut known = BTreeSet::new();
    all.retain(|(_, at)| known.insert(at.clone()));
    all
}

fn python(text: &str) -> Vec<(Purpose, String)> {
    let mut all = Vec::new();
    let each = |pattern: &str, take: &mut dyn FnMut(&regex::Captures)| {
        if let Ok(regex) = Regex::new(pattern) {
            regex.captures_iter(text).take(50).for_each(|found| take(&found));
        }
    };
    let word = |found: &regex::Captures, n: usize| found.get(n).map_or("", |m| m.as_str()).to_owned();
    each(r"\b((?:asyncio|time|trio|anyio|gevent)\.sleep)\(\s*[0-9.]", &mut |found| {
        all.push((Purpose::Delay, format!("call {}", word(found, 1))));
    });
    each(r"\b([A-Za-z_][\w.]*)\([^()]*\b(timeout|batch_size|pool_size)\s*=\s*[0-9.]", &mut |found| {
        if let Some(purpose) = purpose(&word(found, 2)) {
            all.push((purpose, format!("keyword {} of {}", word(found, 2), word(found, 1))));
        }
    });
    each(r"(?m)^([A-Za-z_]\w*)\s*(?::\s*\w+\s*)?=\s*[0-9.]", &mut |found| {
        if let Some(purpose) = purpose(&word(found, 1)) {
            all.push((purpose, format!("assign {}", word(found, 1))));
        }
    });
    all
}

/// What a key is for, by its name.
fn purpose(key: &str) -> Option<Purpose> {
    let key = key.trim_matches('"').to_ascii_lowercase().replace('-', "_");
    let has = |words: &[&str]| words.iter().any(|word| key.contains(word));
    if has(&["timeout", "time_out"]) {
        Some(Purpose::Timeout)
    } else if has(&["batch_size", "batchsize", "chunk_size", "prefetch"]) {
        Some(Purpose::Batch)
    } else if has(&["pool_size", "poolsize", "max_pool", "pool_max"]) {
        Some(Purpose::Pool)
    } else if has(&["delay", "sleep", "request_interval", "pause"]) {
        Some(Purpose::Delay)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_that_mean_one_number_are_found() {
        let check = |name: &str, text: &str, expected: &[(Purpose, &str, f64)]| {
            let format = Format::of(Path::new(name)).unwrap();
            let mut found = Vec::new();
            for (purpose, at) in candidates(text.as_bytes(), format) {
                if let Some((_, value, _)) = proven(text.as_bytes(), format, &at) {
                    found.push((purpose, at, value));
                }
            }
            let expected: Vec<_> = expected.iter().map(|(p, at, v)| (*p, (*at).to_owned(), *v)).collect();
            assert_eq!(found, expected, "{name}: {text}");
        };
        use Purpose::{Batch, Delay, Pool, Timeout};
        check("a.py", "await asyncio.sleep(0.8)\n", &[(Delay, "call asyncio.sleep", 0.8)]);
        check("a.py", "time.sleep(1)\ntime.sleep(2)\n", &[]);
        check("a.py", "time.sleep(pause)\n", &[]);
        check("a.py", "requests.get(url, timeout=10)\n", &[(Timeout, "keyword timeout of requests.get", 10.0)]);
        check("a.py", "BATCH_SIZE = 500\nNAME = 'x'\n", &[(Batch, "assign BATCH_SIZE", 500.0)]);
        check("a.toml", "[http]\ntimeout = 5\nretries = 3\n", &[(Timeout, "http.timeout", 5.0)]);
        check("a.yaml", "worker:\n  batch_size: 100\n  delay: 0\n", &[(Batch, "worker.batch_size", 100.0)]);
        check("a.yaml", "hosts:\n  - timeout: 3\n", &[]);
        check("a.json", "{\"request_delay\": 1.5}", &[(Delay, "request_delay", 1.5)]);
        check(".env", "API_TIMEOUT=30\nAPI_KEY=4711\n", &[(Timeout, "API_TIMEOUT", 30.0)]);
        check("a.py", "create_engine(url, pool_size=5)\n", &[(Pool, "keyword pool_size of create_engine", 5.0)]);
        check("a.toml", "timeout = \n", &[]);
    }
}
