//! The Docker Engine and its containers.

use super::found::{Container, Engine, Found, Server};
use super::servers;
use crate::config;
use crate::host::docker::{ContainerDetail, Docker, Settings};
use crate::model::Labels;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// For each of the two questions: which containers there are, and how they are set up.
const PATIENCE: Duration = Duration::from_millis(2500);
/// Of more, the running ones go first.
const MOST: usize = 100;

/// Looks at the engine at its usual address.
pub fn look(credentials: &Path, taken: &mut Vec<String>) -> Found {
    let mut found = Found::default();
    let (socket, unusable) = config::usual_socket();
    let is_usual = std::env::var_os("DOCKER_HOST").is_none_or(|host| host.is_empty());
    found.docker = Engine { socket: socket.clone(), is_usual, ..Engine::default() };
    if unusable.is_some() {
        // What is at the local socket is not what was named.
        found.docker.is_usual = true;
        found.docker.silent = Some("DOCKER_HOST is neither unix:///path nor tcp://host:port".to_owned());
        return found;
    }
    let all = match list(&socket, &mut found.left_out) {
        Ok(all) => all,
        Err(why) => {
            found.docker.silent = Some(why);
            return found;
        }
    };
    for (detail, settings) in &all {
        let container = container(detail, settings);
        if servers::is_wanted(&container.labels) {
            found.servers.extend(servers::of_container(detail, settings, credentials, taken));
        } else {
            found.left_ports.extend(servers::ports(settings).iter().map(|(_, port)| *port));
        }
        found.containers.push(container);
    }
    connect(&found.containers, &mut found.servers);
    found
}

fn list(socket: &str, left_out: &mut Vec<String>) -> Result<Vec<(ContainerDetail, Settings)>, String> {
    let docker = Docker::connect(socket, None, PATIENCE).map_err(|e| e.to_string())?;
    let mut listed = docker.list().map_err(|e| e.to_string())?;
    listed.sort_by_key(|c| (c.state != "running", c.name().to_owned()));
    if listed.len() > MOST {
        left_out.push(format!("{} containers beyond the first {MOST}", listed.len() - MOST));
    }
    let ids: Vec<String> = listed.into_iter().take(MOST).map(|c| c.id).collect();
    let all = docker.settings(&ids, PATIENCE);
    if all.len() < ids.len() {
        left_out.push(format!("{} containers of which Docker said nothing in time", ids.len() - all.len()));
    }
    Ok(all)
}

fn container(detail: &ContainerDetail, settings: &Settings) -> Container {
    let label = |key: &str| detail.labels.get(&format!("com.docker.compose.{key}")).cloned();
    Container {
        name: detail.name.clone(),
        image: detail.image.clone(),
        state: detail.state.clone(),
        project: label("project"),
        service: label("service"),
        depends_on: depends_on(&detail.labels),
        labels: Labels::read(&detail.labels),
        has_health_check: settings.has_health_check,
        restart_policy: settings.restart_policy.clone(),
        binds: detail.mounts.iter().filter(|m| m.kind == "bind").map(|m| m.source.clone()).collect(),
    }
}

/// Services that a container says it depends on.
pub fn depends_on(labels: &HashMap<String, String>) -> Vec<String> {
    let text = labels.get("com.docker.compose.depends_on").map(String::as_str).unwrap_or_default();
    let name = |dependency: &str| dependency.split(':').next().unwrap_or_default().to_owned();
    text.split(',').map(name).filter(|name| !name.is_empty()).collect()
}

/// Services become the names of their checks; those without one are left out.
fn connect(containers: &[Container], servers: &mut [Server]) {
    let named = |name: &Option<String>| containers.iter().find(|c| Some(&c.name) == name.as_ref());
    let known: Vec<(Option<String>, Option<String>, String)> = servers
        .iter()
        .filter_map(|s| named(&s.container).map(|c| (c.project.clone(), c.service.clone(), s.name.clone())))
        .collect();
    for server in servers {
        let Some(own) = named(&server.container) else { continue };
        let check = |service: &String| {
            let is = |(project, of, _): &&(Option<String>, Option<String>, String)| {
                *project == own.project && of.as_ref() == Some(service)
            };
            known.iter().find(is).map(|(_, _, name)| name.clone())
        };
        server.depends_on = own.depends_on.iter().filter_map(check).collect();
    }
}
