//! What a container's own labels say of healer. They only ever tighten what the configuration says.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The labels of ours that mean something.
const ENABLE: &str = "healer.enable";
const MODE: &str = "healer.mode";
const RESTART: &str = "healer.restart";
const OURS: &str = "healer.";

/// What one container's labels say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Labels {
    /// `healer.enable`: `false` leaves it out of everything, `true` is as if `include` named it.
    pub enable: Option<bool>,
    /// `healer.mode=suggest`: what touches it is held for a human.
    pub suggest: bool,
    /// `healer.restart=false`: it is never restarted nor made anew.
    pub no_restart: bool,
    /// Values that mean nothing, each as a sentence. What touches the container is held until they are mended: somebody
    /// meant to forbid something.
    pub unclear: Vec<String>,
    /// Labels that begin as ours do and are none, as written.
    pub unknown: Vec<String>,
}

/// A container that says something of healer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labelled {
    pub name: String,
    pub labels: Labels,
    /// Paths of this host that it mounts.
    pub binds: Vec<PathBuf>,
    /// Ports of this host that it publishes.
    pub ports: Vec<u16>,
}

/// Every container with such labels, whether it is looked at or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Labelling {
    pub containers: Vec<Labelled>,
    /// Why they are not known, where the engine could not be asked.
    pub unread: Option<String>,
}

impl Labels {
    /// Reads those of ours among a container's labels.
    pub fn read<'a>(all: impl IntoIterator<Item = (&'a String, &'a String)>) -> Labels {
        let mut ours: Vec<_> = all.into_iter().filter(|(key, _)| key.starts_with(OURS)).collect();
        ours.sort();
        let mut labels = Labels::default();
        for (key, value) in ours {
            let unclear = |allowed: &str| format!("label {key}={value} means nothing: write {allowed}");
            match (key.as_str(), value.as_str()) {
                (ENABLE, "true") => labels.enable = Some(true),
                (ENABLE, "false") => labels.enable = Some(false),
                (MODE, "suggest") => labels.suggest = true,
                (RESTART, "false") => labels.no_restart = true,
                (MODE, "auto") | (RESTART, "true") => {}
                (ENABLE | RESTART, _) => labels.unclear.push(unclear("true or false")),
                (MODE, _) => labels.unclear.push(unclear("suggest or auto")),
                _ => labels.unknown.push(key.clone()),
            }
        }
        labels
    }

    /// Whether there are none of ours.
    pub fn is_empty(&self) -> bool {
        *self == Labels::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_explicit_values_mean_something_and_every_other_is_told() {
        let check = |label: &str, expected: Labels| {
            let (key, value) = label.split_once('=').unwrap();
            let read = Labels::read([(&key.to_owned(), &value.to_owned())]);
            assert_eq!(read, expected, "{label}");
        };
        let none = Labels::default;
        check("healer.enable=true", Labels { enable: Some(true), ..none() });
        check("healer.enable=false", Labels { enable: Some(false), ..none() });
        check("healer.mode=suggest", Labels { suggest: true, ..none() });
        check("healer.mode=auto", none());
        check("healer.restart=false", Labels { no_restart: true, ..none() });
        check("healer.restart=true", none());
        check("com.example.healer.restart=false", none());
        for (label, allowed) in [
            ("healer.enable=no", "true or false"),
            ("healer.enable=False", "true or false"),
            ("healer.restart=", "true or false"),
            ("healer.mode=dry-run", "suggest or auto"),
        ] {
            let unclear = vec![format!("label {label} means nothing: write {allowed}")];
            check(label, Labels { unclear, ..none() });
        }
        check("healer.restrat=false", Labels { unknown: vec!["healer.restrat".into()], ..none() });
    }
}
