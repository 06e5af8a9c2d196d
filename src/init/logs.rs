//! Log files that are being written: below /var/log, and in directories that containers mount.

use super::found::{LogFiles, can_be_named, free_name, literal_pattern};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

const DEEPEST: usize = 3;
const MOST_ENTRIES: usize = 3000;
const MOST: usize = 15;
const PATIENCE: Duration = Duration::from_millis(1500);
/// A log that nobody wrote to for longer is none that tells of today.
const FRESH: Duration = Duration::from_secs(24 * 3600);
/// What the distribution itself writes there.
const BASE: [&str; 15] = [
    "alternatives",
    "apt",
    "auth",
    "boot",
    "bootstrap",
    "cron",
    "daemon",
    "dpkg",
    "fontconfig",
    "installer",
    "journal",
    "kern",
    "mail",
    "unattended-upgrades",
    "user",
];
const SYSTEM: &str = "/var/log";

/// Looks below these directories and /var/log. `odd` gets the paths that no configuration can name.
pub fn look(mounts: &[PathBuf], left_out: &mut Vec<String>, odd: &mut Vec<PathBuf>) -> Vec<LogFiles> {
    let mut taken = Vec::new();
    let until = Instant::now() + PATIENCE;
    let mut seen = 0;
    let mut by_directory: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for root in std::iter::once(Path::new(SYSTEM)).chain(mounts.iter().map(PathBuf::as_path)) {
        walk(root, DEEPEST, until, &mut seen, &mut |file| {
            if !can_be_named(file) {
                return odd.push(file.to_owned());
            }
            let directory = file.parent().unwrap_or(root).to_owned();
            let known = by_directory.entry(directory).or_default();
            if !known.iter().any(|f| f == file) {
                known.push(file.to_owned());
            }
        });
    }
    if seen >= MOST_ENTRIES || Instant::now() >= until {
        left_out.push("log files: there were too many to look at all of them".to_owned());
    }
    let mut all: Vec<LogFiles> = Vec::new();
    for (directory, mut files) in by_directory {
        files.sort();
        if directory == Path::new(SYSTEM) {
            // Not all of them: most are the distribution's own.
            all.extend(files.iter().map(|file| of(file.clone(), std::slice::from_ref(file), &mut taken)));
        } else {
            all.push(of(directory.join("*.log"), &files, &mut taken));
        }
    }
    if all.len() > MOST {
        left_out.push(format!("{} directories of logs beyond the first {MOST}", all.len() - MOST));
    }
    all.truncate(MOST);
    all
}

fn of(pattern: PathBuf, files: &[PathBuf], taken: &mut Vec<String>) -> LogFiles {
    let is_pattern = pattern.file_name().is_some_and(|name| name == "*.log");
    // A directory that is called logs is known by what it is in.
    let is_plain = |path: &&Path| path.file_name().is_some_and(|name| name == "log" || name == "logs");
    let parent = pattern.ancestors().skip(1).find(|path| !is_plain(path)).and_then(Path::file_name);
    let stem = if is_pattern { parent } else { pattern.file_stem() };
    let name = stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    LogFiles {
        name: free_name(&name, taken),
        pattern: escaped(&pattern, is_pattern),
        example: files.first().cloned().unwrap_or_default(),
        count: files.len(),
    }
}

/// As a glob: signs of the directory's own name mean themselves.
fn escaped(pattern: &Path, is_pattern: bool) -> String {
    let text = pattern.to_string_lossy();
    match text.strip_suffix("/*.log").filter(|_| is_pattern) {
        Some(directory) => format!("{}/*.log", literal_pattern(directory)),
        None => literal_pattern(&text),
    }
}

fn walk(directory: &Path, depth: usize, until: Instant, seen: &mut usize, take: &mut dyn FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        *seen += 1;
        if *seen >= MOST_ENTRIES || Instant::now() >= until {
            return;
        }
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = name.split('.').next().unwrap_or_default();
        if (directory == Path::new(SYSTEM) && BASE.contains(&stem)) || super::mounts::is_skipped(&name) {
            continue;
        }
        if kind.is_dir() && !can_be_named(&path) {
            take(&path);
        } else if kind.is_dir() && depth > 1 {
            walk(&path, depth - 1, until, seen, take);
        } else if kind.is_file() && name.ends_with(".log") && is_live_text(&path) {
            take(&path);
        }
    }
}

/// Written lately, and text.
fn is_live_text(path: &Path) -> bool {
    let Ok(meta) = std::fs::metadata(path) else { return false };
    let fresh = meta.modified().ok().map(|at| SystemTime::now().duration_since(at).unwrap_or_default() < FRESH);
    if meta.len() == 0 || fresh != Some(true) {
        return false;
    }
    let mut head = [0; 4096];
    let Ok(read) = File::open(path).and_then(|mut file| file.read(&mut head)) else { return false };
    !head.get(..read).unwrap_or_default().contains(&0)
}
