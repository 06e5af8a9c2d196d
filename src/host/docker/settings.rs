//! How a container is set up: what it was started with, and how it reaches this host. Its environment and its command
//! hold secrets.

use crate::config::Secret;
use bollard::models::ContainerInspectResponse;

/// What a container was started with.
#[derive(Debug, Default)]
pub struct Settings {
    pub environment: Vec<(String, Secret)>,
    /// Entry point and command, word by word.
    pub command: Vec<Secret>,
    /// The engine's own word: `no`, `always`, `unless-stopped`, `on-failure`.
    pub restart_policy: String,
    /// The image or the container has a health check.
    pub has_health_check: bool,
    /// It has the network of this host.
    pub on_host_network: bool,
    /// TCP ports that the image or the container exposes.
    pub exposed: Vec<u16>,
    /// Port of the container, and port of this host.
    pub published: Vec<(u16, u16)>,
}

impl Settings {
    /// The value of an environment variable.
    pub fn variable(&self, name: &str) -> Option<&Secret> {
        self.environment.iter().find(|(key, value)| key == name && !value.reveal().is_empty()).map(|(_, value)| value)
    }

    /// The word behind an option in the command: `--port 6380`, also within a shell's one argument.
    pub fn option(&self, name: &str) -> Option<Secret> {
        let words: Vec<&str> = self.command.iter().flat_map(|word| word.reveal().split_whitespace()).collect();
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).map(|word| Secret::new(word.trim_matches(['"', '\''])))
    }
}

pub(super) fn of(from: ContainerInspectResponse) -> Settings {
    let config = from.config.unwrap_or_default();
    let host = from.host_config.unwrap_or_default();
    let variable = |text: String| text.split_once('=').map(|(key, value)| (key.to_owned(), Secret::new(value)));
    let test = config.healthcheck.and_then(|check| check.test).unwrap_or_default();
    let words = config.entrypoint.into_iter().chain(config.cmd).flatten();
    let tcp = |port: &str| port.split('/').next().filter(|_| !port.ends_with("/udp")).and_then(|p| p.parse().ok());
    let ports = from.network_settings.and_then(|network| network.ports).unwrap_or_default();
    let mut published: Vec<(u16, u16)> = Vec::new();
    for (port, bindings) in &ports {
        let here = bindings.iter().flatten().filter(|b| super::facts::reaches_this_host(b.host_ip.as_deref()));
        let of_host = here.filter_map(|b| b.host_port.as_ref()?.parse().ok());
        published.extend(tcp(port).into_iter().flat_map(|inner| of_host.clone().map(move |outer| (inner, outer))));
    }
    published.sort_unstable();
    published.dedup();
    let mut exposed: Vec<u16> = config.exposed_ports.iter().flatten().filter_map(|port| tcp(port)).collect();
    exposed.sort_unstable();
    Settings {
        environment: config.env.unwrap_or_default().into_iter().filter_map(variable).collect(),
        command: words.map(Secret::new).collect(),
        restart_policy: host.restart_policy.and_then(|p| p.name).map(|n| n.to_string()).unwrap_or_default(),
        has_health_check: test.first().is_some_and(|word| word != "NONE"),
        on_host_network: host.network_mode.as_deref() == Some("host"),
        exposed,
        published,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_this_host_and_what_it_was_started_with_is_read() {
        let answer = serde_json::json!({
            "Id": "1",
            "Config": {
                "Env": ["A=b=c", "EMPTY=", "odd"], "Entrypoint": ["/bin/sh", "-c"],
                "Cmd": ["exec redis-server --requirepass 'x y' --port 6380"],
                "ExposedPorts": { "6379/tcp": {}, "53/udp": {} }, "Healthcheck": { "Test": ["NONE"] },
            },
            "HostConfig": { "NetworkMode": "bridge", "RestartPolicy": { "Name": "always" } },
            "NetworkSettings": { "Ports": {
                "6379/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "16379" }, { "HostIp": "::", "HostPort": "16379" }],
                "80/tcp": [{ "HostIp": "192.0.2.1", "HostPort": "8080" }],
                "81/tcp": null,
            } },
        });
        let settings = of(serde_json::from_value(answer).unwrap());
        assert_eq!(settings.published, [(6379, 16379)]);
        assert_eq!(settings.exposed, [6379]);
        assert_eq!((settings.restart_policy.as_str(), settings.has_health_check), ("always", false));
        assert_eq!(settings.variable("A").map(Secret::reveal), Some("b=c"));
        assert!(settings.variable("EMPTY").is_none() && settings.variable("odd").is_none());
        assert_eq!(settings.option("--port"), Some(Secret::new("6380")));
        assert!(!format!("{settings:?}").contains("requirepass"), "{settings:?}");
    }
}
