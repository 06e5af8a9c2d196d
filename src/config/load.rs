//! Where the configuration is, and reading it. May not live here: what it means.

use crate::config::compile::{Surroundings, compile_in};
use crate::config::expand::{SecretSource, SystemSecrets};
use crate::config::report::{ConfigError, LoadError};
use crate::config::{Engine, Secret, Written};
use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `-c FILE`.
    pub config: Option<PathBuf>,
    /// `--state-dir DIR`; wins over the configuration.
    pub state_dir: Option<PathBuf>,
}

/// A configuration is a page or two; more is a wrong file.
const LARGEST_FILE: u64 = 1 << 20;

const SYSTEM_FILE: &str = "/etc/healer/healer.toml";
const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// Finds, reads and compiles the configuration of this process.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(options: &Options) -> Result<Engine, LoadError> {
    load_with(options, &SystemSecrets)
}

/// The same with secrets from elsewhere.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_with(options: &Options, secrets: &dyn SecretSource) -> Result<Engine, LoadError> {
    load_as(options, &this_process(), secrets)
}

/// The file that a new configuration is written to: the one that was named, else the first of the usual ones.
pub fn target(options: &Options) -> PathBuf {
    let process = this_process();
    let named = process.named_file(options).map(|(path, _)| path);
    let path = named.or_else(|| process.usual_files().into_iter().next()).unwrap_or_else(|| SYSTEM_FILE.into());
    std::path::absolute(&path).unwrap_or(path)
}

/// The names of the rules in `rules.d` beside this file, of files that can be read as TOML.
pub fn more_rules(main: &Path) -> Vec<String> {
    let texts = more_files(main).unwrap_or_default().into_iter().filter_map(|path| read_text(&path).ok());
    let mut names = Vec::new();
    for table in texts.filter_map(|text| text.parse::<toml::Table>().ok()) {
        let rules = table.get("rule").and_then(toml::Value::as_array).into_iter().flatten();
        names.extend(rules.filter_map(|rule| rule.get("name")?.as_str().map(str::to_owned)));
    }
    names
}

/// Whether this is where every command looks by itself.
pub fn is_usual(path: &Path) -> bool {
    path == Path::new(SYSTEM_FILE)
}

/// What a command needs to work with this file: `-c FILE ` as a shell reads it, and nothing for the usual one.
pub fn option(path: &Path) -> String {
    if is_usual(path) { String::new() } else { format!("-c {} ", crate::text::shell_word(&path.to_string_lossy())) }
}

/// The Docker daemon's address where a configuration names none, and what is to be said of a `DOCKER_HOST` that cannot be
/// used.
pub fn usual_socket() -> (String, Option<String>) {
    docker_socket((this_process().variable)("DOCKER_HOST"))
}

fn this_process<'a>() -> Process<'a> {
    Process {
        root: rustix::process::geteuid().is_root(),
        variable: &|name| std::env::var_os(name).filter(|v| !v.is_empty()),
        system_file: Path::new(SYSTEM_FILE),
    }
}

/// What of the process decides where things are.
struct Process<'a> {
    root: bool,
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    system_file: &'a Path,
}

impl Process<'_> {
    fn directory(&self, variable: &str, in_home: &str) -> Option<PathBuf> {
        // The XDG specification: a relative path in these variables is to be ignored.
        let set = (self.variable)(variable).map(PathBuf::from).filter(|p| p.is_absolute());
        set.or_else(|| Some(PathBuf::from((self.variable)("HOME")?).join(in_home)))
    }

    fn state_dir(&self) -> PathBuf {
        let of_user = || self.directory("XDG_STATE_HOME", ".local/state").map(|d| d.join("healer"));
        let of_user = if self.root { None } else { of_user() };
        of_user.unwrap_or_else(|| "/var/lib/healer".into())
    }

    /// The file that must be there, where somebody named one.
    fn named_file(&self, options: &Options) -> Option<(PathBuf, &'static str)> {
        let by_option = options.config.clone().map(|path| (path, "-c"));
        by_option.or_else(|| Some(((self.variable)("HEALER_CONFIG")?.into(), "$HEALER_CONFIG")))
    }

    /// Files that are taken if they are there.
    fn usual_files(&self) -> Vec<PathBuf> {
        let of_user = if self.root { None } else { self.directory("XDG_CONFIG_HOME", ".config") };
        of_user.map(|d| d.join("healer/healer.toml")).into_iter().chain([self.system_file.to_owned()]).collect()
    }
}

fn load_as(options: &Options, process: &Process<'_>, secrets: &dyn SecretSource) -> Result<Engine, LoadError> {
    let main = find(options, process).map_err(|e| LoadError::new(vec![e]))?;
    let mut sources = Vec::new();
    let mut errors = Vec::new();
    if let Some((path, text)) = main {
        let more = more_files(&path).unwrap_or_else(|e| {
            errors.push(e);
            Vec::new()
        });
        sources.push((path, text));
        for path in more {
            match read_text(&path) {
                Ok(text) => sources.push((path, text)),
                Err(e) => errors.push(unreadable(&path, &e)),
            }
        }
    }
    let source = sources.first().map(|(path, _)| path.clone());
    let (docker_socket, warning) = docker_socket((process.variable)("DOCKER_HOST"));
    let docker_found = source.is_none() || answers_maybe(&docker_socket);
    let state_dir_wanted = options.state_dir.as_ref().map(|d| std::path::absolute(d).unwrap_or_else(|_| d.clone()));
    let around = Surroundings { state_dir: process.state_dir(), state_dir_wanted, docker_socket, docker_found };
    let written = sources.iter().map(|(path, text)| (path.clone(), Secret::new(text.clone()))).collect();
    match compile_in(sources, secrets, &around) {
        Ok(mut engine) if errors.is_empty() => {
            engine.written = Written { sources: written, surroundings: around };
            engine.source = source;
            engine.warnings.extend(warning.map(|text| ConfigError::whole_file(Path::new(""), text, None)));
            Ok(engine)
        }
        Ok(_) => Err(LoadError::new(errors)),
        Err(more) => Err(LoadError::new(errors.into_iter().chain(more).collect())),
    }
}

/// The main file and its text; none where nobody wrote one.
fn find(options: &Options, process: &Process<'_>) -> Result<Option<(PathBuf, String)>, ConfigError> {
    if let Some((path, by)) = process.named_file(options) {
        return match read_text(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let help = format!("correct the path, or leave {by} away to use the file in its usual place");
                Err(ConfigError::whole_file(&path, format!("there is no file here ({by} names it)"), Some(help)))
            }
            Err(e) => Err(unreadable(&path, &e)),
        };
    }
    for path in process.usual_files() {
        match read_text(&path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(e) => return Err(unreadable(&path, &e)),
        }
    }
    Ok(None)
}

/// `rules.d/*.toml` beside the main file, by name.
fn more_files(main: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let directory = main.parent().unwrap_or(Path::new(".")).join("rules.d");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(unreadable(&directory, &e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| unreadable(&directory, &e))?.path();
        let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|e| e == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    // A pipe or a device could hang or never end.
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("this is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(std::io::Error::other("larger than 1 MiB: this cannot be a configuration"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = 1 + e.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count();
        std::io::Error::other(format!("line {line} is no UTF-8"))
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let help = match error.kind() {
        ErrorKind::PermissionDenied => Some("run as a user who may read it, or change its owner or mode".to_owned()),
        _ => None,
    };
    ConfigError::whole_file(path, format!("this cannot be read: {error}"), help)
}

/// The daemon's address, and what is to be said of a `DOCKER_HOST` that cannot be used.
fn docker_socket(docker_host: Option<OsString>) -> (String, Option<String>) {
    let Some(host) = docker_host.map(|h| h.to_string_lossy().into_owned()) else {
        return (DEFAULT_SOCKET.into(), None);
    };
    if host.starts_with("unix:///") || host.starts_with("tcp://") {
        return (host, None);
    }
    let warning = "DOCKER_HOST is neither unix:///path nor tcp://host:port: the local socket is used instead";
    (DEFAULT_SOCKET.into(), Some(warning.into()))
}

/// Whether it is worth asking: a socket file is there, or the address was given by hand.
fn answers_maybe(socket: &str) -> bool {
    socket.strip_prefix("unix://").is_none_or(|path| Path::new(path).exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A directory with files, and an environment that lies in it.
    struct Host {
        root: tempfile::TempDir,
        variables: BTreeMap<&'static str, String>,
    }

    impl Host {
        fn new(files: &[(&str, &[u8])], variables: &[(&'static str, &str)]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = root.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            let here = |v: &str| v.replace("ROOT", root.path().to_str().unwrap());
            let variables = variables.iter().map(|(k, v)| (*k, here(v))).collect();
            Host { root, variables }
        }

        fn load(&self, root: bool, config: Option<&str>) -> Result<Engine, String> {
            let variable = |name: &str| self.variables.get(name).map(OsString::from);
            let system_file = self.root.path().join("etc/healer.toml");
            let process = Process { root, variable: &variable, system_file: &system_file };
            let options = Options { config: config.map(|c| self.root.path().join(c)), state_dir: None };
            let here = format!("{}/", self.root.path().display());
            load_as(&options, &process, &SystemSecrets).map_err(|e| e.to_string().replace(&here, ""))
        }
    }

    #[test]
    fn the_first_file_of_the_search_order_is_taken() {
        let threshold = |n: u8| format!("confidence_threshold = {n}\n").into_bytes();
        let (a, b, c, d) = (threshold(1), threshold(2), threshold(3), threshold(4));
        let files: &[(&str, &[u8])] =
            &[("a.toml", &a), ("b.toml", &b), ("xdg/healer/healer.toml", &c), ("etc/healer.toml", &d)];
        let named: &[(&str, &str)] = &[("HEALER_CONFIG", "ROOT/b.toml"), ("XDG_CONFIG_HOME", "ROOT/xdg")];
        let user: &[(&str, &str)] = &[("XDG_CONFIG_HOME", "ROOT/xdg")];
        let other: &[(&str, &str)] = &[("HOME", "ROOT/nobody")];
        for (variables, root, config, expected) in [
            (named, false, Some("a.toml"), 1),
            (named, true, None, 2),
            (user, false, None, 3),
            (user, true, None, 4),
            (other, false, None, 4),
        ] {
            let engine = Host::new(files, variables).load(root, config).unwrap();
            assert_eq!(engine.confidence_threshold, expected, "{variables:?} {root} {config:?}");
        }
    }

    #[test]
    fn nothing_found_is_no_error_and_a_named_file_that_is_missing_is_one() {
        let engine = Host::new(&[], &[("HOME", "ROOT")]).load(false, None).unwrap();
        assert!(engine.source.is_none() && engine.docker().is_some());
        let error = Host::new(&[], &[]).load(true, Some("no.toml")).unwrap_err();
        assert_eq!(
            error,
            "error: there is no file here (-c names it)\n --> no.toml\n  = help: correct the path, or leave -c away to \
             use the file in its usual place\n\nthe configuration has an error; nothing was run"
        );
        let error = Host::new(&[], &[("HEALER_CONFIG", "ROOT/x.toml")]).load(true, None).unwrap_err();
        assert!(error.contains("($HEALER_CONFIG names it)"), "{error}");
    }

    #[test]
    fn rules_d_is_read_by_name_and_nothing_else_in_it() {
        let rule = |name: &str| {
            let when = r#"{ check = "host", is = "critical" }"#;
            format!("[[rule]]\nname = \"{name}\"\nissue_type = \"x\"\nconfidence = 1\nwhen = {when}\n").into_bytes()
        };
        let (main, a, b) = (rule("main"), rule("a"), rule("b"));
        let files: &[(&str, &[u8])] = &[
            ("etc/healer.toml", &main),
            ("etc/rules.d/20.toml", &b),
            ("etc/rules.d/10.toml", &a),
            ("etc/rules.d/.30.toml", b"broken"),
            ("etc/rules.d/40.toml~", b"broken"),
        ];
        let engine = Host::new(files, &[]).load(true, None).unwrap();
        assert_eq!(engine.rules.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["main", "a", "b"]);
        assert!(engine.source.unwrap().ends_with("etc/healer.toml"));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let large = vec![b'#'; (LARGEST_FILE + 1) as usize];
        for (file, text, reason) in [
            ("a.toml", &b"mode = \"auto\"\n\xff"[..], "this cannot be read: line 2 is no UTF-8\n --> a.toml"),
            ("a.toml", &large, "this cannot be read: larger than 1 MiB"),
            ("a.toml/x", b"", "this cannot be read: this is no regular file\n --> a.toml"),
        ] {
            let error = Host::new(&[(file, text)], &[]).load(true, Some("a.toml")).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn the_state_directory_follows_the_user_and_docker_its_environment() {
        let host = Host::new(&[], &[("HOME", "/home/u"), ("DOCKER_HOST", "tcp://127.0.0.1:1")]);
        assert_eq!(host.load(false, None).unwrap().state_dir, Path::new("/home/u/.local/state/healer"));
        let engine = host.load(true, None).unwrap();
        assert_eq!(engine.state_dir, Path::new("/var/lib/healer"));
        assert_eq!(engine.docker().unwrap().1.socket, "tcp://127.0.0.1:1");
        let ssh = Host::new(&[], &[("DOCKER_HOST", "ssh://h")]).load(true, None).unwrap();
        assert_eq!((ssh.docker().unwrap().1.socket.as_str(), ssh.warnings.len()), (DEFAULT_SOCKET, 1));
    }

    #[test]
    fn docker_is_discovered_beside_a_configuration_only_where_its_socket_is() {
        let files: &[(&str, &[u8])] = &[("etc/healer.toml", b""), ("docker.sock", b"")];
        for (socket, found) in [("unix://ROOT/docker.sock", true), ("unix://ROOT/none.sock", false)] {
            let engine = Host::new(files, &[("DOCKER_HOST", socket)]).load(true, None).unwrap();
            assert_eq!(engine.docker().is_some_and(|(_, d)| d.discovered), found, "{socket}");
        }
    }

    #[test]
    fn a_configuration_that_stands_on_docker_is_sound_without_its_socket_and_misses_it() {
        let rule = |when: &str| format!("[[rule]]\nname = \"r\"\nwhen = {when}\nissue_type = \"x\"\nconfidence = 50\n");
        for text in [
            "[logs.docker]\n".to_owned(),
            rule("{ container = \"shop-*\", state = \"exited\" }"),
            rule("{ check = \"docker\", is = \"critical\" }"),
        ] {
            for socket in ["unix://ROOT/docker.sock", "unix://ROOT/none.sock"] {
                let files: &[(&str, &[u8])] = &[("etc/healer.toml", text.as_bytes()), ("docker.sock", b"")];
                let engine = Host::new(files, &[("DOCKER_HOST", socket)]).load(true, None).unwrap();
                assert!(engine.docker().is_some_and(|(_, d)| !d.discovered), "{socket}: {text}");
            }
        }
    }
}
