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
    pub answer: Option<Answer>,
}

impl Unit {
    /// The check that says whether it runs: a monitoring plugin's exit codes.
    pub fn command(&self) -> [String; 3] {
        ["/bin/sh", "-c", &format!("systemctl is-active {} || exit 2", self.unit)].map(str::to_owned)
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
