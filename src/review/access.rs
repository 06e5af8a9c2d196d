//! Who may read and write what the configuration names: secrets, the files themselves, the state, the server.

use crate::config::{ConfigError, Document, Engine, Place, Tree};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub fn review(engine: &Engine, document: &Document) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for file in document.files() {
        found.extend(configuration(file));
        secret_files(file, &mut found);
    }
    let root = document.root();
    found.extend(directory(&engine.state_dir, "what passes leave", root.child("state_dir")));
    if let Some(parent) = engine.textfile.as_deref().and_then(Path::parent) {
        found.extend(directory(parent, "the figures of a pass", root.child("metrics").child("textfile")));
    }
    found.extend(server(engine, root));
    found
}

/// The file itself: whoever writes it says what root does, and whoever reads it reads the secrets in it.
fn configuration(file: Place<'_>) -> Vec<ConfigError> {
    let Some(path) = file.path() else { return Vec::new() };
    let Ok(meta) = std::fs::metadata(path) else { return Vec::new() };
    let mode = meta.mode() & 0o777;
    let mut found = Vec::new();
    if let Some(owner) = stranger(&meta) {
        let message = format!("this file belongs to user {owner}, who so decides what {} does", who_runs());
        found.push(ConfigError::whole_file(path, message, Some(format!("chown root {}", path.display()))));
    }
    let strangers = if meta.uid() == 0 && meta.gid() != 0 { 0o022 } else { 0o002 };
    if mode & strangers != 0 {
        let message = format!("others may write this file (mode {mode:04o}), and so decide what healer does");
        found.push(ConfigError::whole_file(path, message, Some(format!("chmod go-w {}", path.display()))));
    }
    if mode & 0o004 != 0
        && let Some(secret) = literal_secret(file, "")
    {
        let message = format!("this holds a secret in clear, and everybody may read the file (mode {mode:04o})");
        let help =
            format!("write `${{file:/path}}` or `${{credential:NAME}}` instead, or chmod 640 {}", path.display());
        found.push(secret.problem(&message, &help));
    }
    found
}

/// The owner, where that is neither root nor who asks. Whoever owns a file may change its mode, and so write it.
fn stranger(meta: &std::fs::Metadata) -> Option<u32> {
    let us = rustix::process::geteuid().as_raw();
    Some(meta.uid()).filter(|owner| ![0, us].contains(owner))
}

fn who_runs() -> &'static str {
    if rustix::process::geteuid().is_root() { "root" } else { "healer" }
}

/// The first value in which something would be hidden.
fn literal_secret<'a>(place: Place<'a>, key: &str) -> Option<Place<'a>> {
    match &place.node()?.value {
        Tree::Table(entries) => entries.iter().find_map(|(key, _)| literal_secret(place.get(key)?, key)),
        Tree::List(items) => (0..items.len()).find_map(|n| literal_secret(place.item(n), key)),
        Tree::Text(_) => place.node().filter(|node| node.hides(key)).map(|_| place),
        Tree::Word(_) => None,
    }
}

/// Files that `${file:...}` names and that everybody may read.
fn secret_files(place: Place<'_>, found: &mut Vec<ConfigError>) {
    let Some(node) = place.node() else { return };
    match &node.value {
        Tree::Table(entries) => {
            entries.iter().filter_map(|(key, _)| place.get(key)).for_each(|child| secret_files(child, found));
        }
        Tree::List(items) => (0..items.len()).for_each(|n| secret_files(place.item(n), found)),
        Tree::Text(text) => {
            for path in text.split("${file:").skip(1).filter_map(|rest| rest.split_once('}').map(|(path, _)| path)) {
                let Ok(meta) = std::fs::metadata(path) else { continue };
                if let Some(owner) = stranger(&meta) {
                    let message = format!("this secret belongs to user {owner}, who may read and change it: {path}");
                    found.push(place.problem(&message, &format!("chown root {path}")));
                }
                let mode = meta.mode() & 0o777;
                if mode & 0o007 != 0 {
                    let message = format!("everybody may read this secret: {path} has mode {mode:04o}");
                    found.push(place.problem(&message, &format!("chmod 600 {path}")));
                }
            }
        }
        Tree::Word(_) => {}
    }
}

/// A directory that must be there, or can be made, and be written to.
fn directory(wanted: &Path, what: &str, place: Place<'_>) -> Option<ConfigError> {
    let there = wanted.ancestors().find(|dir| std::fs::symlink_metadata(dir).is_ok())?;
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    let error = if !there.is_dir() {
        "it is no directory".to_owned()
    } else {
        let answer = rustix::fs::accessat(rustix::fs::CWD, there, access, rustix::fs::AtFlags::EACCESS);
        match answer {
            Ok(()) => return None,
            Err(error) => std::io::Error::from(error).to_string(),
        }
    };
    let shown = |path: &Path| PathBuf::from(path).display().to_string();
    let message = if there == wanted {
        format!("{what} cannot be written to {}: {error}", shown(wanted))
    } else {
        format!("{} cannot be made for {what}: {}: {error}", shown(wanted), shown(there))
    };
    let help = if rustix::process::geteuid().is_root() {
        "name another directory, or change its owner or mode"
    } else {
        "passes of healer.service run as root: run `healer config check` as root to see what they see"
    };
    Some(place.problem(&message, help))
}

/// A server that others reach needs a token.
fn server(engine: &Engine, root: Place<'_>) -> Option<ConfigError> {
    let serve = &engine.serve;
    let section = root.get("serve")?;
    match &serve.token {
        // Only the unit has its credentials.
        Some(Err(why)) if !why.contains("CREDENTIALS_DIRECTORY") => {
            let message = format!("`healer serve` will not start: {why}");
            return Some(section.child("token").problem(&message, "only `healer serve` needs it"));
        }
        Some(_) => return None,
        None => {}
    }
    let help = "set `token` in [serve], of at least 32 characters: `openssl rand -hex 32` makes one";
    if !serve.listen.ip().is_loopback() {
        let message = format!(
            "`healer serve` will not start: {} can be reached from elsewhere, and there is no token",
            serve.listen
        );
        return Some(section.child("listen").problem(&message, help));
    }
    let hosts = section.get("hosts").filter(|_| !serve.hosts.is_empty())?;
    let message = "a name other than localhost suggests a proxy before `healer serve`, and there is no token: whoever \
                   reaches it reads everything but log text and diffs";
    Some(hosts.problem(message, help))
}
