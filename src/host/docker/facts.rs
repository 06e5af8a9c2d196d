//! What the Docker Engine tells of a container, reduced to what the program reads.

use crate::model::{ContainerHealth, ContainerState};
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
}

/// The bind mounts in a container list: the container's name, and the path on the host.
pub(super) fn bind_mounts(list: &[u8]) -> Result<Vec<(String, PathBuf)>, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Listed {
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
    let listed: Vec<Listed> = serde_json::from_slice(list)?;
    let of = |l: &Listed| {
        let name = l.container.name().to_owned();
        let binds = l.mounts.iter().filter(|m| m.kind == "bind");
        binds.map(|m| (name.clone(), m.source.clone())).collect::<Vec<_>>()
    };
    Ok(listed.iter().flat_map(of).collect())
}

/// A point in time as the engine writes it; year 1 means never.
pub(super) fn point(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok().filter(|t: &Timestamp| t.as_second() > 0)
}

pub(super) fn detail(from: bollard::models::ContainerInspectResponse) -> ContainerDetail {
    let state = from.state.unwrap_or_default();
    let config = from.config.unwrap_or_default();
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
        log_driver: from.host_config.and_then(|h| h.log_config).and_then(|l| l.typ).unwrap_or_default(),
        log_path: from.log_path.filter(|p| !p.is_empty()).map(PathBuf::from),
        tty: config.tty.unwrap_or(false),
        pid: state.pid.and_then(|p| u32::try_from(p).ok()).filter(|p| *p > 0),
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
