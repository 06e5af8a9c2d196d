//! What `init` finds, as plain data. May not live here: looking, and what is proposed from it.

use crate::config::Secret;
use crate::model::{ContainerState, Labels};
use std::path::PathBuf;

/// Everything that was found, each list in the order in which it is written.
#[derive(Debug, Default)]
pub struct Found {
    pub docker: Engine,
    pub containers: Vec<Container>,
    pub servers: Vec<Server>,
    /// Ports of this host that containers have at which nothing is to be looked.
    pub left_ports: Vec<u16>,
    pub host: Option<Answer>,
    pub logs: Vec<LogFiles>,
    pub units: Vec<Unit>,
    /// Why no journal is read, where it cannot be.
    pub journal: Option<String>,
    pub environments: Vec<PathBuf>,
    pub literals: Vec<Literal>,
    /// What was left out for lack of time or because there is too much of it.
    pub left_out: Vec<String>,
}

/// The Docker Engine.
#[derive(Debug, Default)]
pub struct Engine {
    pub socket: String,
    /// It is where a configuration that names none looks.
    pub is_usual: bool,
    /// Why there is none; `None` where it answers.
    pub silent: Option<String>,
    /// What the check of it said.
    pub answer: Option<Answer>,
}

/// A container that may be looked at.
#[derive(Debug)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub state: ContainerState,
    pub project: Option<String>,
    pub service: Option<String>,
    /// Compose services of the same project.
    pub depends_on: Vec<String>,
    pub labels: Labels,
    pub has_health_check: bool,
    pub restart_policy: String,
    /// Paths of this host that it mounts.
    pub binds: Vec<PathBuf>,
}

/// What a check said when it was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: crate::model::Status,
    pub message: String,
    pub ms: f64,
    /// Of HTTP.
    pub status_code: Option<u16>,
}

/// What kind of server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    Redis,
    Http,
}

impl Kind {
    /// Its section in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Postgres => "postgres",
            Kind::Redis => "redis",
            Kind::Http => "http",
        }
    }
}

/// A password that was found, and the file that it goes to.
#[derive(Debug, Clone)]
pub struct Credential {
    pub file: PathBuf,
    pub value: Secret,
}

/// A server, with the addresses at which it may answer.
#[derive(Debug)]
pub struct Server {
    pub kind: Kind,
    /// The check's name.
    pub name: String,
    /// Where it was found: `container shop-db (postgres:16)`, `port 5432 of this host`.
    pub from: String,
    pub container: Option<String>,
    /// The check cannot see by itself which container it is.
    pub names_container: bool,
    pub urls: Vec<String>,
    pub credential: Option<Credential>,
    /// Why no address can be tried.
    pub unreachable: Option<String>,
    /// Of each address that was tried, in their order.
    pub tried: Vec<(String, Answer)>,
    pub depends_on: Vec<String>,
}

impl Server {
    /// The address that works.
    pub fn working(&self) -> Option<&(String, Answer)> {
        let fits = |answer: &Answer| match self.kind {
            Kind::Http => answer.status_code.is_some_and(|code| (200..400).contains(&code)),
            Kind::Postgres | Kind::Redis => answer.status != crate::model::Status::Critical,
        };
        self.tried.iter().find(|(_, answer)| fits(answer))
    }

    /// The password that the address that works takes.
    pub fn used_credential(&self) -> Option<&Credential> {
        let (url, _) = self.working()?;
        self.credential.as_ref().filter(|_| url.contains("${file:"))
    }

    /// Why none works.
    pub fn why_not(&self) -> String {
        let tried = self.tried.iter().map(|(_, answer)| answer.message.as_str());
        let mut reasons: Vec<&str> = self.unreachable.as_deref().into_iter().chain(tried).collect();
        reasons.dedup();
        if reasons.is_empty() { "no address of it could be tried".to_owned() } else { reasons.join("; ") }
    }
}

/// Log files that are being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFiles {
    pub name: String,
    pub pattern: String,
    /// One of them, and how many there are.
    pub example: PathBuf,
    pub count: usize,
}

/// A service unit that is not the distribution's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    pub unit: String,
    pub name: String,
    pub failed: bool,
    pub active: bool,
    /// It does its work and ends: that it is inactive is as it should be.
    pub is_job: bool,
    pub answer: Option<Answer>,
}

impl Unit {
    /// The check that says whether it runs, and of a job whether it failed: a monitoring plugin's exit codes. The name is
    /// no part of the script: `\x2d` in it would be the shell's.
    pub fn command(&self) -> [&str; 4] {
        let ask = if self.is_job {
            r#"! systemctl is-failed "$0" || exit 2"#
        } else {
            r#"systemctl is-active "$0" || exit 2"#
        };
        ["/bin/sh", "-c", ask, &self.unit]
    }

    /// systemd's word for how it is.
    pub fn state(&self) -> &'static str {
        match (self.failed, self.active) {
            (true, _) => "failed",
            (false, true) => "active",
            (false, false) => "inactive",
        }
    }
}

/// What a number in a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Delay,
    Timeout,
    Pool,
    Batch,
}

/// A literal that a selector finds exactly once.
#[derive(Debug, Clone)]
pub struct Literal {
    pub container: String,
    pub path: PathBuf,
    pub at: String,
    pub purpose: Purpose,
    /// As it stands in the file.
    pub raw: String,
    pub value: f64,
    pub line: usize,
}

/// Whether a configuration can name it: text on one line.
pub fn can_be_named(path: &std::path::Path) -> bool {
    path.to_str().is_some_and(|text| !text.contains(char::is_control))
}

/// A pattern that matches this text alone.
pub fn literal_pattern(text: &str) -> String {
    globset::escape(&text.replace('\\', r"\\"))
}

/// A name for a check, a log or a rule.
pub fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let slug: String = text.chars().map(plain).collect();
    let words: Vec<&str> = slug.split('-').filter(|word| !word.is_empty()).collect();
    let slug: String = words.join("-").chars().take(50).collect();
    if slug.is_empty() { "found".to_owned() } else { slug }
}

/// The same, and another one where it is taken.
pub fn free_name(wanted: &str, taken: &mut Vec<String>) -> String {
    let wanted = slug(wanted);
    let numbered = (2..).map(|n| format!("{wanted}-{n}"));
    let free = std::iter::once(wanted.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(wanted);
    taken.push(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_pattern_matches_its_text_alone() {
        let check = |text: &str, other: &str| {
            let glob = globset::Glob::new(&literal_pattern(text)).unwrap().compile_matcher();
            assert!(glob.is_match(text) && !glob.is_match(other), "{text}: {glob:?}");
        };
        check("/srv/[a]/{b}/*?.py", "/srv/a/b/x1.py");
        check(r"systemd-fsck@dev-disk-by\x2duuid-1.service", "systemd-fsck@dev-disk-byx2duuid-1.service");
    }

    #[test]
    fn the_name_of_a_unit_reaches_the_command_as_it_is() {
        let unit = Unit {
            unit: r"systemd-fsck@dev-disk-by\x2duuid-1.service".to_owned(),
            name: String::new(),
            failed: true,
            active: false,
            is_job: false,
            answer: None,
        };
        let directory = tempfile::tempdir().unwrap();
        let systemctl = directory.path().join("systemctl");
        std::fs::write(&systemctl, "#!/bin/sh\nprintf '%s\\n' \"$@\"; exit 3\n").unwrap();
        std::fs::set_permissions(&systemctl, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let [program, rest @ ..] = unit.command();
        let ran = std::process::Command::new(program).args(rest).env("PATH", directory.path()).output().unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        assert_eq!((said, ran.status.code()), (format!("is-active\n{}\n", unit.unit), Some(2)));
    }
}
