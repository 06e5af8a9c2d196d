//! What systemd says of a unit.

use crate::host::process;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
const MOST: usize = 64 << 10;

/// Properties of a unit, each as it is printed; `None` where there is no systemd, or no such unit.
pub fn show(unit: &str, properties: &[&str]) -> Option<Vec<(String, String)>> {
    let said = ask(unit, properties)?;
    said.iter().any(|(key, value)| key == "LoadState" && value == "loaded").then_some(said)
}

/// Whether systemd knows this unit; `None` where there is no systemd to ask.
pub fn knows(unit: &str) -> Option<bool> {
    let said = ask(unit, &["LoadState"])?;
    said.iter().find(|(key, _)| key == "LoadState").map(|(_, value)| value != "not-found")
}

fn ask(unit: &str, properties: &[&str]) -> Option<Vec<(String, String)>> {
    let wanted = format!("--property={}", properties.join(","));
    let argv = ["systemctl", "show", &wanted, "--", unit].map(str::to_owned);
    let done = process::run(&argv, None, TIMEOUT, MOST).ok().filter(|done| done.code == Some(0))?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Some(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}
