//! What the Docker Engine tells of a container, reduced to what the program reads.

use crate::model::{ContainerHealth, ContainerLimits, ContainerState, Labelled, Labels};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::PathBuf;

/// One line of the container list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedContainer {
    pub id: String,
    #[serde(default)]
    names: Vec<String>,
    /// The engine's own word (`running`); see [`ContainerState`].
    #[serde(default)]
    pub state: String,
    /// For people: `Up 3 hours (healthy)`, `Exited (1) 5 minutes ago`.
    #[serde(default)]
    pub status: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub labels: HashMap<String, String>,
    /// Only while it runs.
    #[serde(default, deserialize_with = "null_as_default")]
    ports: Vec<ListedPort>,
}

/// A port of a container, published or not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedPort {
    #[serde(rename = "IP", default)]
    ip: Option<String>,
    #[serde(default)]
    public_port: Option<u16>,
    #[serde(rename = "Type", default)]
    kind: Option<String>,
}

/// All that is known of one container.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerDetail {
    /// Whole id, 64 hex digits.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    pub state: ContainerState,
    pub health: Option<ContainerHealth>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub restart_count: u64,
    pub oom_killed: bool,
    pub exit_code: Option<i64>,
    pub image: String,
    pub labels: HashMap<String, String>,
    pub mounts: Vec<Mount>,
    /// `json-file`, `local`, `journald`, ...
    pub log_driver: String,
    /// The file of the `json-file` driver.
    pub log_path: Option<PathBuf>,
    /// Its output is one raw stream, as a terminal would get it.
    pub tty: bool,
    /// Of its first process, while it runs.
    pub pid: Option<u32>,
    /// TCP ports of this host that it is set to publish, running or not.
    pub ports: Vec<u16>,
    pub limits: ContainerLimits,
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, ...
    pub kind: String,
    /// Path on the host.
    pub source: PathBuf,
    /// Path in the container.
    pub destination: PathBuf,
    pub rw: bool,
}

fn null_as_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

impl ListedContainer {
    /// Its own name without the slash; names with a further slash are links of other containers.
    pub fn name(&self) -> &str {
        let own = self.names.iter().map(|n| n.trim_start_matches('/')).find(|n| !n.contains('/'));
        own.unwrap_or(&self.id)
    }

    /// TCP ports of this host that it publishes now.
    pub fn published(&self) -> Vec<u16> {
        let tcp = self.ports.iter().filter(|p| p.kind.as_deref().is_none_or(|kind| kind == "tcp"));
        sorted(tcp.filter(|p| reaches_this_host(p.ip.as_deref())).filter_map(|p| p.public_port))
    }
}

/// Whether a port that is published at this address answers at the addresses of this host itself.
pub(super) fn reaches_this_host(ip: Option<&str>) -> bool {
    let address = ip.unwrap_or_default().parse::<std::net::IpAddr>();
    address.map_or(true, |a| a.is_unspecified() || a.is_loopback())
}

fn sorted(ports: impl Iterator<Item = u16>) -> Vec<u16> {
    let ports: std::collections::BTreeSet<u16> = ports.filter(|p| *p > 0).collect();
    ports.into_iter().collect()
}

/// Ports that are written into the container's settings; one that the engine chooses anew at every start is not.
fn bound(bindings: bollard::models::PortMap) -> Vec<u16> {
    let tcp = bindings.into_iter().filter(|(port, _)| !port.contains('/') || port.ends_with("/tcp"));
    let bindings = tcp.flat_map(|(_, bindings)| bindings.unwrap_or_default());
    let here = bindings.filter(|b| reaches_this_host(b.host_ip.as_deref()));
    sorted(here.filter_map(|b| b.host_port?.parse().ok()))
}

/// One line of the container list, with its mounts.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedWithMounts {
    #[serde(flatten)]
    container: ListedContainer,
    #[serde(default, deserialize_with = "null_as_default")]
    mounts: Vec<ListedMount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedMount {
    #[serde(rename = "Type", default)]
    kind: String,
    #[serde(default)]
    source: PathBuf,
}

impl ListedWithMounts {
    fn binds(&self) -> impl Iterator<Item = PathBuf> {
        self.mounts.iter().filter(|m| m.kind == "bind").map(|m| m.source.clone())
    }
}

/// The bind mounts in a container list: the container's name, and the path on the host.
pub(super) fn bind_mounts(list: &[u8]) -> Result<Vec<(String, PathBuf)>, serde_json::Error> {
    let listed: Vec<ListedWithMounts> = serde_json::from_slice(list)?;
    let of = |l: &ListedWithMounts| {
        let name = l.container.name().to_owned();
        l.binds().map(|source| (name.clone(), source)).collect::<Vec<_>>()
    };
    Ok(listed.iter().flat_map(of).collect())
}

/// The containers of a list whose labels say something of healer.
pub(super) fn labelled(list: &[u8]) -> Result<Vec<Labelled>, serde_json::Error> {
    let listed: Vec<ListedWithMounts> = serde_json::from_slice(list)?;
    let of = |l: &ListedWithMounts| {
        let labels = Labels::read(&l.container.labels);
        let name = l.container.name().to_owned();
        let of =
            || Labelled { name, binds: l.binds().collect(), ports: l.container.published(), labels: labels.clone() };
        (!labels.is_empty()).then(of)
    };
    Ok(listed.iter().filter_map(of).collect())
}

/// A point in time as the engine writes it; year 1 means never.
pub(super) fn point(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok().filter(|t: &Timestamp| t.as_second() > 0)
}

pub(super) fn detail(from: bollard::models::ContainerInspectResponse) -> ContainerDetail {
    let state = from.state.unwrap_or_default();
    let config = from.config.unwrap_or_default();
    let mut host = from.host_config.unwrap_or_default();
    let health = state.health.as_ref().and_then(|h| h.status).and_then(|word| match word.as_ref() {
        "starting" => Some(ContainerHealth::Starting),
        "healthy" => Some(ContainerHealth::Healthy),
        "unhealthy" => Some(ContainerHealth::Unhealthy),
        _ => None,
    });
    ContainerDetail {
        id: from.id.unwrap_or_default(),
        name: from.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        state: ContainerState::from_word(state.status.map_or(String::new(), |s| s.to_string()).as_str()),
        health,
        started_at: point(state.started_at.as_deref()),
        finished_at: point(state.finished_at.as_deref()),
        restart_count: from.restart_count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        oom_killed: state.oom_killed.unwrap_or(false),
        exit_code: state.exit_code,
        image: config.image.or(from.image).unwrap_or_default(),
        labels: config.labels.unwrap_or_default(),
        mounts: from.mounts.unwrap_or_default().into_iter().map(mount).collect(),
        log_driver: host.log_config.take().and_then(|l| l.typ).unwrap_or_default(),
        ports: host.port_bindings.map(bound).unwrap_or_default(),
        log_path: from.log_path.filter(|p| !p.is_empty()).map(PathBuf::from),
        tty: config.tty.unwrap_or(false),
        pid: state.pid.and_then(|p| u32::try_from(p).ok()).filter(|p| *p > 0),
        limits: ContainerLimits {
            memory: host.memory.unwrap_or(0),
            memory_swap: host.memory_swap.unwrap_or(0),
            nano_cpus: host.nano_cpus.unwrap_or(0),
            cpu_quota: host.cpu_quota.unwrap_or(0),
            cpu_period: host.cpu_period.unwrap_or(0),
        },
    }
}

fn mount(from: bollard::models::MountPoint) -> Mount {
    Mount {
        kind: from.typ.map(|t| t.to_string()).unwrap_or_default(),
        source: from.source.unwrap_or_default().into(),
        destination: from.destination.unwrap_or_default().into(),
        rw: from.rw.unwrap_or(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tcp_port_that_answers_on_this_host_is_published_here() {
        let check = |ports: serde_json::Value, published: &[u16]| {
            let listed = serde_json::json!({ "Id": "1", "Ports": ports });
            let listed: ListedContainer = serde_json::from_value(listed).unwrap();
            assert_eq!(listed.published(), published, "{listed:?}");
        };
        let port = |ip: &str, public: u16, kind: &str| serde_json::json!({ "IP": ip, "PrivatePort": 1, "PublicPort": public, "Type": kind });
        check(serde_json::json!([port("0.0.0.0", 5432, "tcp"), port("::", 5432, "tcp")]), &[5432]);
        check(serde_json::json!([port("127.0.0.1", 8000, "tcp"), port("192.0.2.1", 8001, "tcp")]), &[8000]);
        check(serde_json::json!([port("0.0.0.0", 53, "udp")]), &[]);
        check(serde_json::json!([{ "PrivatePort": 5432, "Type": "tcp" }]), &[]);
        check(serde_json::json!(null), &[]);
    }

    #[test]
    fn a_container_that_is_down_still_says_which_ports_it_is_set_to_publish() {
        let settings = serde_json::json!({ "Id": "1", "HostConfig": { "PortBindings": {
            "5432/tcp": [{ "HostIp": "", "HostPort": "15432" }, { "HostIp": "192.0.2.1", "HostPort": "15433" }],
            "53/udp": [{ "HostIp": "", "HostPort": "53" }],
            "80/tcp": [{ "HostIp": "", "HostPort": "" }],
            "81/tcp": null,
        } } });
        assert_eq!(detail(serde_json::from_value(settings).unwrap()).ports, [15432]);
    }
}
