//! `[allow]`, `[logs]`, `[limits]`, `[alerts]`, `[backups]`. May not live here: checks, signatures, rules.

use super::checks::{Checks, headers};
use super::context::Cx;
use super::values;
use crate::config::at::{At, Table};
use crate::config::raw::*;
use crate::config::{
    AlertKind, Alerts, Allow, Backups, Learning, Limits, LogKind, LogSpec, Probe, Secret, Webhook, WebhookFormat,
};
use std::path::PathBuf;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What may be changed. Nothing written allows nothing.
pub fn allow(cx: Cx<'_>, raw: Section<RawAllow>, checks: &Checks) -> Option<Allow> {
    let raw = raw.map(|r| r.value).unwrap_or_default();
    let (file_patterns, files) = values::glob_set(cx, raw.files, true);
    let (_, containers) = values::glob_set(cx, raw.containers, false);
    let (_, units) = values::glob_set(cx, raw.units, false);
    let commands = raw.commands.map(|list| list.value).unwrap_or_default();
    let commands = commands.into_iter().filter_map(|argv| super::acts::argv(cx, argv)).collect();
    let (postgres, redis) = (checks.require_all(cx, raw.postgres), checks.require_all(cx, raw.redis));
    Some(Allow { file_patterns, files, containers, units, commands, postgres, redis })
}

/// Nothing at all is allowed.
pub fn allows_nothing(allow: &Allow) -> bool {
    let patterns = [&allow.files, &allow.containers, &allow.units];
    let names = [&allow.postgres, &allow.redis];
    patterns.iter().all(|set| set.is_empty()) && names.iter().all(|list| list.is_empty()) && allow.commands.is_empty()
}

/// The log sources as written; the containers' logs where nothing at all is written.
pub fn logs(cx: Cx<'_>, raw: Section<RawLogs>, checks: &Checks, nothing_written: bool) -> Vec<LogSpec> {
    let mut specs = Vec::new();
    let docker = || LogSpec { kind: LogKind::Docker { check: "docker".into() } };
    let has_docker = checks.get("docker").is_some_and(|c| matches!(c.probe, Probe::Docker(_)));
    let Some(raw) = raw.map(|r| r.value) else {
        specs.extend(nothing_written.then(docker));
        return specs;
    };
    if let Some(section) = raw.docker.filter(|d| d.value.enabled.as_ref().is_none_or(|e| e.value)) {
        if has_docker {
            specs.push(docker());
        } else {
            let help = "take `enabled = false` out of [checks.docker], or take this section out";
            cx.error_help(&section.span, "there is no Docker check to read the logs of", help);
        }
    }
    for (name, Table { value: raw, span }) in raw.files {
        values::name(cx, &name);
        let Some(path) = cx.required(&span, "path", raw.path) else { continue };
        if values::absolute(cx, &path) && values::glob(cx, &path, true).is_some() {
            specs.push(LogSpec { kind: LogKind::Files { name: name.value, pattern: path.value } });
        }
    }
    for (name, Table { value: raw, span }) in raw.journal {
        values::name(cx, &name);
        let Some(unit) = cx.required(&span, "unit", raw.unit) else { continue };
        if !is_unit(&unit.value) {
            cx.error(&unit.span, "this is no name of a systemd unit");
            continue;
        }
        specs.push(LogSpec { kind: LogKind::Journal { name: name.value, unit: unit.value } });
    }
    specs
}

/// Characters of systemd.unit(5); never an option.
pub fn is_unit(name: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    !name.is_empty() && name.len() < 256 && !name.starts_with('-') && name.chars().all(sound)
}

pub fn limits(cx: Cx<'_>, raw: Section<RawLimits>) -> Limits {
    let raw = raw.map(|r| r.value).unwrap_or_default();
    let default = Limits::default();
    Limits {
        fixes_per_hour: values::count(cx, raw.fixes_per_hour, default.fixes_per_hour, 0, "fixes_per_hour"),
        fixes_per_day: values::count(cx, raw.fixes_per_day, default.fixes_per_day, 0, "fixes_per_day"),
        fixes_per_target: values::count(cx, raw.fixes_per_target, default.fixes_per_target, 0, "fixes_per_target"),
        circuit_failures: values::count(cx, raw.circuit_failures, default.circuit_failures, 1, "circuit_failures"),
        circuit_wait: values::positive(cx, raw.circuit_wait, default.circuit_wait),
        min_duration: values::duration(raw.min_duration, default.min_duration),
        start_grace: values::duration(raw.start_grace, default.start_grace),
        human_grace: values::duration(raw.human_grace, default.human_grace),
        storm_percent: values::number(cx, raw.storm_percent, default.storm_percent, 0.0..=100.0, "storm_percent"),
    }
}

/// What history is worth.
pub fn learning(cx: Cx<'_>, raw: Section<RawLearning>) -> Learning {
    let raw = raw.map(|r| r.value).unwrap_or_default();
    Learning { half_life: values::positive(cx, raw.half_life, 90 * DAY) }
}

/// What is told, to whom. Without the section: everything, to nobody but stderr and the journal.
pub fn alerts(cx: Cx<'_>, raw: Section<RawAlerts>) -> Alerts {
    use AlertKind::*;
    let raw = raw.map(|r| r.value).unwrap_or_default();
    let everything =
        vec![Held, Healed, Unproven, RolledBack, RollbackFailed, Recurred, Critical, Resolved, Storm, CircuitOpen];
    Alerts {
        on: raw.on.unwrap_or(everything),
        repeat: values::positive(cx, raw.repeat, 4 * HOUR),
        webhooks: raw.webhook.into_iter().filter_map(|w| webhook(cx, w)).collect(),
        heartbeat: raw.heartbeat.and_then(|url| address(cx, &url)),
        commands: raw.command.into_iter().filter_map(|c| values::argv(cx, c)).collect(),
        email: raw.email.and_then(|e| super::mail::email(cx, e)),
    }
}

fn webhook(cx: Cx<'_>, Table { value: raw, span }: Table<RawWebhook>) -> Option<Webhook> {
    let url = cx.required(&span, "url", raw.url).and_then(|u| address(cx, &u));
    let headers = headers(cx, raw.headers);
    Some(Webhook { url: url?, format: raw.format.map_or(WebhookFormat::Json, |f| f.value), headers })
}

/// Whoever knows the address of a web hook or a heartbeat may post to it: the path is a secret.
fn address(cx: Cx<'_>, url: &At<String>) -> Option<Secret> {
    let url = values::url(cx, url, &["http", "https"])?;
    let path = url.reveal().split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
    cx.hide(path.filter(|p| p.len() >= 16).map(str::to_owned));
    Some(url)
}

/// Where the figures of a pass go.
pub fn textfile(cx: Cx<'_>, raw: Section<RawMetrics>) -> Option<PathBuf> {
    let Table { value: raw, span } = raw?;
    let file = cx.required(&span, "textfile", raw.textfile)?;
    if !file.value.ends_with(".prom") {
        cx.error(&file.span, "the name must end with `.prom`: node_exporter reads no other files");
        return None;
    }
    values::path(cx, Some(file))
}

pub fn backups(cx: Cx<'_>, raw: Section<RawBackups>) -> Backups {
    let raw = raw.map(|r| r.value).unwrap_or_default();
    Backups {
        keep_last: values::count(cx, raw.keep_last, 20, 1, "keep_last") as usize,
        keep_within: values::duration(raw.keep_within, 30 * DAY),
    }
}
