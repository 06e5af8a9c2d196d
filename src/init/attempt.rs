//! Trying every check that may be written, once, all at the same time, with the code that passes use.

use super::found::{Answer, Found, Kind, Server};
use crate::config::{self, Reference, SecretSource, SystemSecrets, quoted};
use crate::host::clock;
use crate::model::{CheckResult, Labels};
use crate::observe::{self, Samples};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

const TIMEOUT: &str = "3s";
/// Of more, the first.
const MOST: usize = 90;
const CONNECT: Duration = Duration::from_millis(300);

/// The passwords that will be written, at the files they will be in; else those of this process.
#[derive(Debug, Default)]
pub struct Planned(pub BTreeMap<PathBuf, config::Secret>);

impl Planned {
    /// Of these servers.
    pub fn of(servers: &[Server]) -> Planned {
        let credentials = servers.iter().filter_map(|s| s.credential.as_ref());
        Planned(credentials.map(|c| (c.file.clone(), c.value.clone())).collect())
    }
}

impl SecretSource for Planned {
    fn resolve(&self, reference: &Reference) -> Result<String, String> {
        match reference {
            Reference::File(path) if self.0.contains_key(path) => {
                Ok(self.0.get(path).map(|s| s.reveal().to_owned()).unwrap_or_default())
            }
            other => SystemSecrets.resolve(other),
        }
    }
}

/// Whether anything listens at a port of this host.
pub fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), CONNECT).is_ok()
}

/// Tries all of them.
pub fn all(found: &mut Found) {
    let secrets = Planned::of(&found.servers);
    let mut text = String::new();
    let mut tries: Vec<(String, usize, String)> = Vec::new();
    for (number, server) in found.servers.iter_mut().enumerate() {
        for url in &server.urls {
            let name = format!("try-{}", tries.len());
            let section = section(server.kind, &name, url);
            if tries.len() >= MOST {
                break;
            }
            match sound(&section, &secrets) {
                Ok(_) => {
                    text += &section;
                    tries.push((name, number, url.clone()));
                }
                // One that is not sound would keep all others from being tried.
                Err(errors) => server.unreachable = errors.into_iter().next().map(|e| e.message),
            }
        }
    }
    for (number, unit) in found.units.iter().enumerate() {
        let command = unit.command().map(quoted).join(", ");
        text += &format!("[checks.command.unit-{number}]\ncommand = [{command}]\ntimeout = \"{TIMEOUT}\"\n");
    }
    if found.docker.silent.is_none() {
        text += &format!("[checks.docker]\nsocket = {}\ntimeout = \"{TIMEOUT}\"\n", quoted(&found.docker.socket));
    }
    let Ok(engine) = sound(&text, &secrets) else { return };
    let (results, _) = observe::run(&engine, &[], &Samples::default(), clock::now());
    let result = |name: &str| results.iter().find(|r| r.name == name);
    for (name, number, url) in tries {
        if let (Some(result), Some(server)) = (result(&name), found.servers.get_mut(number)) {
            server.tried.push((url, answer(result)));
        }
    }
    for (number, unit) in found.units.iter_mut().enumerate() {
        unit.answer = result(&format!("unit-{number}")).map(answer);
    }
    found.host = result("host").map(answer);
    found.docker.answer = result("docker").map(answer);
    let unclear = |labels: &Labels| !labels.unclear.is_empty();
    let odd = found.containers.iter().filter(|c| unclear(&c.labels)).map(|c| c.name.clone()).collect::<Vec<_>>();
    if !odd.is_empty() {
        found.left_out.push(format!("labels healer.* that mean nothing, of {}", odd.join(", ")));
    }
}

fn section(kind: Kind, name: &str, url: &str) -> String {
    let more = match kind {
        Kind::Http => "expect_status = [200, 201, 202, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308]\n",
        Kind::Postgres | Kind::Redis => "",
    };
    format!("[checks.{}.{name}]\nurl = {}\ntimeout = \"{TIMEOUT}\"\n{more}", kind.word(), quoted(url))
}

fn sound(text: &str, secrets: &Planned) -> Result<config::Engine, Vec<config::ConfigError>> {
    config::compile(vec![(Path::new("init").to_owned(), text.to_owned())], secrets)
}

fn answer(result: &CheckResult) -> Answer {
    Answer {
        status: result.status,
        message: result.message.clone(),
        ms: result.duration_ms,
        status_code: result.metric("status_code").map(|code| code as u16),
    }
}
