//! `healer init --systemd`: the units, and the drop-in that opens to them what `[allow]` names. Run again after `[allow]`
//! has changed.

use crate::config::{self, Engine};
use crate::host::{files, process};
use crate::text::shell_word;
use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files that carry it are ours to write again.
const MARK: &str = "# Written by `healer init --systemd`.";
const TARGET: &str = "/etc/systemd/system";
/// Where packages put theirs.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];
const PROGRAM: &str = "/usr/bin/healer";
/// What `StateDirectory=` opens.
const OWN_STATE: &str = "/var/lib/healer";
const PATIENCE: Duration = Duration::from_secs(60);

const UNITS: [(&str, &str); 6] = [
    ("healer.service", include_str!("../../systemd/healer.service")),
    ("healer.timer", include_str!("../../systemd/healer.timer")),
    ("healer-serve.service", include_str!("../../systemd/healer-serve.service")),
    ("healer-serve.socket", include_str!("../../systemd/healer-serve.socket")),
    ("healer-requests.path", include_str!("../../systemd/healer-requests.path")),
    ("healer-requests.service", include_str!("../../systemd/healer-requests.service")),
];
const SYSUSERS: &str = include_str!("../../systemd/healer.sysusers.conf");
const TMPFILES: &str = include_str!("../../systemd/healer.tmpfiles.conf");

/// What was done, each in a sentence.
#[derive(Debug, Default)]
pub struct Installed {
    pub done: Vec<String>,
    /// Directories that are open to the units.
    pub open: Vec<PathBuf>,
}

/// Whether systemd runs this host.
pub fn runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// This program, as it was started.
pub fn program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PROGRAM.into())
}

/// The line of cron that starts a pass every five minutes: of /etc/cron.d for root, else of one's own crontab, which names
/// no user. One that starts while another is at work ends at once.
pub fn cron_line(config: &Path, is_root: bool) -> String {
    let config = if config::is_usual(config) { String::new() } else { format!(" --config {}", in_cron(config)) };
    let user = if is_root { "root " } else { "" };
    format!("*/5 * * * * {user}{}{config} --no-input --quiet heal >/dev/null 2>&1", in_cron(&program()))
}

/// A percent sign ends the line of a crontab.
fn in_cron(path: &Path) -> String {
    shell_word(&path.to_string_lossy()).replace('%', r"\%")
}

/// The group that may read what passes leave; before the configuration is written, which it may read too.
///
/// # Errors
/// When it cannot be made.
pub fn make_group(installed: &mut Installed) -> Result<()> {
    let packaged = ["/usr/lib/sysusers.d/healer.conf", "/lib/sysusers.d/healer.conf"];
    if !packaged.iter().any(|path| Path::new(path).exists()) {
        put(Path::new("/etc/sysusers.d/healer.conf"), SYSUSERS, installed)?;
    }
    let packaged = ["/usr/lib/tmpfiles.d/healer.conf", "/lib/tmpfiles.d/healer.conf"];
    if !packaged.iter().any(|path| Path::new(path).exists()) {
        put(Path::new("/etc/tmpfiles.d/healer.conf"), TMPFILES, installed)?;
    }
    // A host without it has another way to make groups.
    call(&["systemd-sysusers"]).or_else(|error| {
        call(&["groupadd", "--system", "--force", "healer"]).map_err(|_| error.context("the group healer was not made"))
    })?;
    // The units make the state directory too.
    let _ = call(&["systemd-tmpfiles", "--create", "healer.conf"]);
    Ok(())
}

/// Installs the units, opens to them what `[allow]` names, and starts the timer.
///
/// # Errors
/// When something cannot be written, or systemd refuses it.
pub fn install(engine: &Engine, config: &Path, installed: &mut Installed) -> Result<()> {
    for (name, text) in UNITS {
        if PACKAGED.iter().any(|directory| Path::new(directory).join(name).exists()) {
            continue;
        }
        put(&Path::new(TARGET).join(name), text, installed)?;
    }
    let of_passes: Vec<PathBuf> = left_by_passes(engine).into_iter().map(|(_, directory)| directory).collect();
    for (_, directory) in
        left_by_passes(engine).iter().filter(|(key, directory)| key.first() != Some(&"metrics") && !directory.exists())
    {
        // One that is not there when a pass starts is not open to it. What reads figures makes its own.
        files::ensure_dir(directory, 0o2750)?;
        super::place::give_to_group(directory);
        installed.done.push(format!("made {}", directory.display()));
    }
    installed.open = outermost(directories(&engine.allow.file_patterns).into_iter().chain(of_passes).collect());
    let (program, config) = (program(), if config::is_usual(config) { None } else { Some(config) });
    for (unit, rest) in [
        ("healer.service", "--no-input heal"),
        ("healer-requests.service", "--no-input requests /run/healer-requests"),
        ("healer-serve.service", "serve --no-checks --requests /run/healer-requests"),
    ] {
        let open = if unit == "healer-serve.service" { &[] } else { installed.open.as_slice() };
        let text = drop_in(open, &program, config, rest);
        let path = Path::new(TARGET).join(format!("{unit}.d/allow.conf"));
        match text {
            Some(text) => put(&path, &text, installed)?,
            None => remove(&path, installed)?,
        }
    }
    call(&["systemctl", "daemon-reload"])?;
    let was_enabled = call(&["systemctl", "is-enabled", "--quiet", "healer.timer"]).is_ok();
    call(&["systemctl", "enable", "--now", "healer.timer"])?;
    if !was_enabled {
        installed.done.push("enabled and started healer.timer: a pass every five minutes".to_owned());
    }
    Ok(())
}

/// The text of a drop-in; `None` where nothing is to be said.
fn drop_in(open: &[PathBuf], program: &Path, config: Option<&Path>, rest: &str) -> Option<String> {
    let mut text = String::new();
    if !open.is_empty() {
        text += "# The directories of `files` in [allow], where a file is replaced by another one, and of what passes leave.\n";
    }
    for directory in open {
        // `-`: one that is not there yet keeps no pass from starting.
        text += &format!("ReadWritePaths={}\n", word(&format!("-{}", directory.display())));
    }
    if program != Path::new(PROGRAM) || config.is_some() {
        let config = config.map(|path| format!(" --config {}", word(&path.to_string_lossy()))).unwrap_or_default();
        text += &format!("ExecStart=\nExecStart={}{config} {rest}\n", word(&program.to_string_lossy()));
    }
    (!text.is_empty()).then(|| format!("[Service]\n{text}"))
}

/// One word of a unit file.
fn word(text: &str) -> String {
    let text = text.replace('%', "%%");
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+%@:".contains(c));
    if is_plain { text } else { format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")) }
}

/// The directories that the globs of `files` lead into, the outermost of each other.
pub fn directories(patterns: &[String]) -> Vec<PathBuf> {
    outermost(patterns.iter().filter_map(|pattern| directory(pattern)).collect())
}

/// Directories in which passes leave something and that are none of the unit's own, each with the key that names it.
pub fn left_by_passes(engine: &Engine) -> Vec<(&'static [&'static str], PathBuf)> {
    let parent = |file: &Path| file.parent().unwrap_or(Path::new("/")).to_owned();
    // One of the command line, or of whoever asks, is none of the units'.
    let around = &engine.written.surroundings;
    let is_written = around.state_dir_wanted.is_none() && engine.state_dir != around.state_dir;
    let state = is_written.then(|| engine.state_dir.clone());
    let of_knowledge = Some(parent(&engine.knowledge_base)).filter(|directory| *directory != engine.state_dir);
    let of_metrics = engine.textfile.as_deref().map(parent);
    let all: [(&'static [&'static str], _); 3] =
        [(&["state_dir"], state), (&["metrics", "textfile"], of_metrics), (&["knowledge_base"], of_knowledge)];
    let mut known: Vec<PathBuf> = vec![OWN_STATE.into()];
    let mut found = Vec::new();
    for (key, directory) in all {
        let Some(directory) = directory.filter(|d| d != Path::new("/") && !known.iter().any(|k| d.starts_with(k)))
        else {
            continue;
        };
        known.push(directory.clone());
        found.push((key, directory));
    }
    found
}

fn outermost(mut all: Vec<PathBuf>) -> Vec<PathBuf> {
    all.sort();
    all.dedup();
    let covered = |path: &PathBuf| all.iter().any(|other| other != path && path.starts_with(other));
    all.iter().filter(|path| !covered(path)).cloned().collect()
}

/// The directory of a pattern, as far as it is one; `None` for `/` itself, which is never opened as a whole.
pub fn directory(pattern: &str) -> Option<PathBuf> {
    let path = Path::new(pattern);
    let parent = path.parent()?;
    let directory: PathBuf =
        parent.components().map_while(|part| literal(&part.as_os_str().to_string_lossy())).collect();
    let directory = std::fs::canonicalize(&directory).unwrap_or(directory);
    (directory != Path::new("/")).then_some(directory)
}

/// What a part of a pattern matches, where that is one name: `[[]` is a bracket, `\\*` a star.
fn literal(part: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = part.chars();
    while let Some(sign) = rest.next() {
        match sign {
            '*' | '?' | '{' => return None,
            '\\' => name.push(rest.next()?),
            '[' => {
                name.push(rest.next().filter(|c| !['!', '^'].contains(c))?);
                if rest.next()? != ']' {
                    return None;
                }
            }
            sign => name.push(sign),
        }
    }
    Some(name)
}

/// Writes one of our files. One that is there and is not ours stays.
fn put(path: &Path, text: &str, installed: &mut Installed) -> Result<()> {
    let text = format!("{MARK} It is written again by it: put changes of your own into another drop-in.\n{text}");
    let shown = path.display();
    match std::fs::read_to_string(path) {
        Ok(old) if old == text => return Ok(()),
        Ok(old) if !old.starts_with(MARK) => {
            installed.done.push(format!("left {shown} as it is: init did not write it"));
            return Ok(());
        }
        Ok(_) => installed.done.push(format!("changed {shown}")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => installed.done.push(format!("wrote {shown}")),
        Err(e) => return Err(e).with_context(|| format!("cannot read {shown}")),
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    files::ensure_dir(parent, 0o755)?;
    files::write_atomic(path, text.as_bytes(), 0o644).with_context(|| format!("cannot write {shown}: run as root"))
}

/// Removes one of our files, where it is there and ours.
fn remove(path: &Path, installed: &mut Installed) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|text| text.starts_with(MARK)) {
        std::fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        installed.done.push(format!("removed {}", path.display()));
    }
    Ok(())
}

fn call(argv: &[&str]) -> Result<()> {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let shown = argv.join(" ");
    let done = process::run(&argv, None, PATIENCE, 4096).with_context(|| format!("cannot run `{shown}`"))?;
    match done.code {
        Some(0) => Ok(()),
        _ if done.timed_out => bail!("`{shown}` gave no answer within {}s", PATIENCE.as_secs()),
        _ => Err(anyhow!("`{shown}` failed: {}", crate::text::clean(&String::from_utf8_lossy(&done.stderr)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_pattern_is_what_is_before_its_first_sign() {
        let check = |patterns: &[&str], expected: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(directories(&patterns), expected, "{patterns:?}");
        };
        check(&["/srv/none/worker/client.py"], &["/srv/none/worker"]);
        check(&["/srv/none/worker/*.py", "/srv/none/worker/a.toml"], &["/srv/none/worker"]);
        check(&["/srv/none/**/*.toml", "/srv/none/a/b.py"], &["/srv/none"]);
        check(&["/srv/none/{a,b}/x.py"], &["/srv/none"]);
        check(&["/srv/none/[[]a]/[*]/{b}/x.py"], &["/srv/none/[a]/*"]);
        check(&["/srv/none/[ab]/x.py", r"/srv/none/a\*/[!]]/x.py"], &["/srv/none"]);
        check(&["/**", "/*.py"], &[]);
    }

    #[test]
    fn a_drop_in_says_only_what_differs_from_the_unit() {
        let check = |open: &[&str], program: &str, config: Option<&str>, expected: Option<&str>| {
            let open: Vec<PathBuf> = open.iter().map(PathBuf::from).collect();
            let text = drop_in(&open, Path::new(program), config.map(Path::new), "heal");
            let text = text.map(|text| text.lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join("\n"));
            assert_eq!(text.as_deref(), expected);
        };
        check(&[], PROGRAM, None, None);
        check(
            &["/srv/a", "/srv/b c"],
            PROGRAM,
            None,
            Some("[Service]\nReadWritePaths=-/srv/a\nReadWritePaths=\"-/srv/b c\""),
        );
        check(&[], "/opt/healer", None, Some("[Service]\nExecStart=\nExecStart=/opt/healer heal"));
        check(
            &[],
            PROGRAM,
            Some("/srv/100%.toml"),
            Some("[Service]\nExecStart=\nExecStart=/usr/bin/healer --config /srv/100%%.toml heal"),
        );
    }

    #[test]
    fn what_passes_leave_elsewhere_is_opened() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let sources = vec![("healer.toml".into(), text.to_owned())];
            let engine = config::compile(sources, &config::SecretsWhereKnown).unwrap();
            let found: Vec<_> = left_by_passes(&engine).into_iter().map(|(key, d)| (key.join("."), d)).collect();
            let expected: Vec<_> = expected.iter().map(|(k, d)| ((*k).to_owned(), PathBuf::from(d))).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("", &[]);
        check("state_dir = \"/var/lib/healer/b\"\n", &[]);
        check("state_dir = \"/srv/state\"\n", &[("state_dir", "/srv/state")]);
        check("[metrics]\ntextfile = \"/var/lib/x/h.prom\"\n", &[("metrics.textfile", "/var/lib/x")]);
        check("knowledge_base = \"/srv/kb/f.jsonl\"\n", &[("knowledge_base", "/srv/kb")]);
    }

    #[test]
    fn the_line_of_cron_is_whole() {
        let line = cron_line(Path::new("/srv/it's 5%.toml"), true);
        assert!(line.contains(r"--config '/srv/it'\''s 5\%.toml' --no-input --quiet heal >/dev/null"), "{line}");
        let of_root = cron_line(Path::new("/etc/healer/healer.toml"), true);
        assert!(of_root.starts_with("*/5 * * * * root /") && !of_root.contains("--config"), "{of_root}");
        let of_user = cron_line(Path::new("/etc/healer/healer.toml"), false);
        assert!(of_user.starts_with("*/5 * * * * /"), "{of_user}");
    }
}
