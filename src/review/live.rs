//! Everything that is named, tried once: checks, log sources, containers, units.

use super::systemd;
use crate::config::{CheckSpec, ConfigError, DockerProbe, Document, Engine, LogKind, Place, StepSpec, When, closest};
use crate::host::docker::{ContainerDetail, Docker, ListedContainer};
use crate::host::{clock, process};
use crate::logs;
use crate::model::{CheckKind, CheckResult, Labels, RestartTarget, Status};
use crate::observe;
use crate::state::{Memory, StateDir};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

pub fn review(engine: &Engine, document: &Document) -> Vec<ConfigError> {
    let (memory, _) = Memory::load(&StateDir::of(engine));
    let (results, _) = observe::run(engine, &[], &memory.samples, clock::now());
    let mut found: Vec<ConfigError> = results.iter().filter_map(|result| check(engine, document, result)).collect();
    let docker = engine
        .docker()
        .and_then(|(check, probe)| Docker::connect(&probe.socket, probe.tls.as_ref(), check.timeout).ok());
    let listed = docker.as_ref().and_then(|docker| docker.list().ok());
    for spec in &engine.logs {
        match &spec.kind {
            LogKind::Docker { .. } => found.extend(docker.iter().flat_map(|docker| {
                let place = document.root().child("logs").child("docker");
                container_logs(docker, &results, place)
            })),
            LogKind::Files { name, pattern } => {
                let place = document.root().child("logs").child("files").child(name).child("path");
                found.extend(log_files(pattern, place));
            }
            LogKind::Journal { name, unit } => {
                let place = document.root().child("logs").child("journal").child(name).child("unit");
                found.extend(journal(unit, place));
            }
        }
    }
    if let Some(listed) = &listed {
        found.extend(containers(engine, document, listed));
    }
    found.extend(units(engine, document));
    found
}

/// Where a check is written.
fn place_of<'a>(document: &'a Document, spec: &CheckSpec) -> Place<'a> {
    let kind = document.root().child("checks").child(spec.probe.kind().word());
    kind.get(&spec.name).unwrap_or(kind)
}

/// A check that is not well. What the host is busy with now is nothing of the configuration.
fn check(engine: &Engine, document: &Document, result: &CheckResult) -> Option<ConfigError> {
    let spec = engine.check(&result.name)?;
    if result.status == Status::Healthy || (result.kind == CheckKind::Host && result.status != Status::Unknown) {
        return None;
    }
    let message = format!("the check `{}` is {} now: {}", result.name, result.status, result.message);
    Some(
        place_of(document, spec)
            .problem(&message, &format!("mend it, or this section; `healer check {}` tries it again", result.name)),
    )
}

fn log_files(pattern: &str, place: Place<'_>) -> Vec<ConfigError> {
    let paths = match logs::files_of(pattern) {
        Ok(paths) => paths,
        Err(error) => {
            return vec![
                place.problem(&format!("this log cannot be read: {error:#}"), "run as a user who may list it"),
            ];
        }
    };
    if paths.is_empty() {
        let help = "correct the path, or ignore this where the log is still to come";
        return vec![place.problem(&format!("no file matches {pattern}"), help)];
    }
    let denied = paths.iter().filter_map(|path| File::open(path).err().map(|error| (path, error)));
    let told = denied.map(|(path, error)| {
        let missing = missing_permission(path).unwrap_or_else(|| error.to_string());
        place.problem(&format!("{} cannot be read: {missing}", path.display()), RIGHTS)
    });
    told.take(5).collect()
}

const RIGHTS: &str =
    "run as root or with the capability CAP_DAC_READ_SEARCH, as healer.service does, or grant the permission";

/// Logs of containers that can be read only through the engine, or not at all.
fn container_logs(docker: &Docker, results: &[CheckResult], place: Place<'_>) -> Vec<ConfigError> {
    let ids: Vec<String> = results.iter().flat_map(|r| &r.containers).map(|c| c.id.clone()).collect();
    let details: Vec<ContainerDetail> =
        docker.inspect_all(&ids, Duration::from_secs(10)).into_iter().flatten().collect();
    let mut found = Vec::new();
    let silent: Vec<&str> = details.iter().filter(|d| d.log_driver == "none").map(|d| d.name.as_str()).collect();
    if !silent.is_empty() {
        let message = format!("nothing logs what {} says: its log driver is `none`", silent.join(", "));
        found.push(place.problem(&message, "choose another log driver for it, such as `local` or `json-file`"));
    }
    let denied = details.iter().filter(|d| docker.is_local() && d.log_driver == "json-file").filter_map(|d| {
        let path = d.log_path.as_deref()?;
        Some((d.name.as_str(), missing_permission(path)?))
    });
    let denied: Vec<(&str, String)> = denied.collect();
    if let Some((_, missing)) = denied.first() {
        let names: Vec<&str> = denied.iter().map(|(name, _)| *name).collect();
        let message = format!(
            "the log of {} is read through Docker, slowly and at most 50,000 entries in a pass, because its json-file cannot be \
             read: {missing}",
            names.join(", ")
        );
        found.push(place.problem(&message, RIGHTS));
    }
    found
}

/// What keeps a file from being read: the first directory that may not be entered, or the file itself.
fn missing_permission(path: &Path) -> Option<String> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let lacks = |path: &Path, access| {
        let answer = rustix::fs::accessat(rustix::fs::CWD, path, access, rustix::fs::AtFlags::EACCESS);
        answer == Err(rustix::io::Errno::ACCESS)
    };
    let told = |path: &Path, word: &str| {
        let owner = std::fs::metadata(path).map_or_else(
            |_| String::new(),
            |meta| format!(" (mode {:04o}, owner {}:{})", meta.mode() & 0o7777, meta.uid(), meta.gid()),
        );
        format!("the permission {word} {}{owner} is missing", path.display())
    };
    let closed = above.into_iter().find(|directory| lacks(directory, rustix::fs::Access::EXEC_OK));
    if let Some(directory) = closed {
        return Some(told(directory, "`x` on the directory"));
    }
    lacks(path, rustix::fs::Access::READ_OK).then(|| told(path, "`r` on"))
}

fn journal(unit: &str, place: Place<'_>) -> Option<ConfigError> {
    if systemd::knows(unit) == Some(false) {
        let help = "correct the name: `systemctl list-units` lists them";
        return Some(place.problem(&format!("systemd has no unit {unit}"), help));
    }
    let argv = ["journalctl", "--unit", unit, "--lines", "1", "--quiet", "--no-pager", "--output", "json"];
    let argv: Vec<String> = argv.map(str::to_owned).into();
    let why = match process::run(&argv, None, Duration::from_secs(10), 64 << 10) {
        Ok(done) if done.code == Some(0) => return None,
        Ok(done) => String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        Err(error) => format!("{error:#}"),
    };
    let help = "install systemd's journalctl, and run as root or in the group systemd-journal";
    Some(place.problem(&format!("the journal of {unit} cannot be read: {why}"), help))
}

/// Containers and compose projects that are named and are not there.
fn containers(engine: &Engine, document: &Document, listed: &[ListedContainer]) -> Vec<ConfigError> {
    let names: Vec<&str> = listed.iter().map(ListedContainer::name).collect();
    let label = |c: &ListedContainer| c.labels.get("com.docker.compose.project").cloned();
    let projects: Vec<String> = listed.iter().filter_map(label).collect();
    let mut found = Vec::new();
    let mut missing = |what: &str, name: &str, known: &[&str], place: Place<'_>| {
        if name.contains(['*', '?', '[', '{']) || known.contains(&name) {
            return;
        }
        let help = match closest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "correct the name, or ignore this where it is still to come".to_owned(),
        };
        found.push(place.problem(&format!("there is no {what} {name} on this host now"), &help));
    };
    for spec in &engine.checks {
        if let Some(name) = &spec.container {
            missing("container", name, &names, place_of(document, spec).child("container"));
        }
    }
    for (number, rule) in engine.rules.iter().enumerate() {
        let place = document.rule(number);
        match &rule.when {
            When::Container { pattern, .. } => {
                missing("container", pattern, &names, place.child("when").child("container"))
            }
            When::Log(log) => {
                if let Some(name) = log.log.strip_prefix("container:") {
                    missing("container", name, &names, place.child("when").child("log"));
                }
            }
            When::Check { .. } | When::Metric { .. } => {}
        }
        for (step, place) in steps(rule, place) {
            match step {
                StepSpec::Restart(RestartTarget::Container(name)) => {
                    missing("container", name, &names, place.child("restart"));
                }
                StepSpec::Resize(spec) => missing("container", &spec.container, &names, place.child("resize")),
                StepSpec::Compose(spec) | StepSpec::Recreate(spec) => {
                    let known: Vec<&str> = projects.iter().map(String::as_str).collect();
                    let key = if matches!(step, StepSpec::Compose(_)) { "restart" } else { "recreate" };
                    missing("compose project", &spec.project, &known, place.child(key));
                }
                _ => {}
            }
        }
    }
    found.extend(labels(engine, document, listed));
    found.extend(nothing_included(engine, document, &names));
    found
}

/// Rules whose restart a label of the container forbids.
fn labels(engine: &Engine, document: &Document, listed: &[ListedContainer]) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for (number, rule) in engine.rules.iter().enumerate() {
        for (step, place) in steps(rule, document.rule(number)) {
            let StepSpec::Restart(RestartTarget::Container(name)) = step else { continue };
            let Some(container) = listed.iter().find(|c| c.name() == name) else { continue };
            let labels = Labels::read(&container.labels);
            let label = match (labels.enable, labels.no_restart) {
                (Some(false), _) => "healer.enable=false",
                (_, true) => "healer.restart=false",
                _ => continue,
            };
            let message = format!("container {name} has the label {label}: rule `{}` will be held", rule.name);
            let help = "take the label away from the container, or this step out of the rule";
            found.push(place.child("restart").problem(&message, help));
        }
    }
    found
}

/// A pattern of `include` that fits nothing leaves nothing to watch.
fn nothing_included(engine: &Engine, document: &Document, names: &[&str]) -> Option<ConfigError> {
    let (_, DockerProbe { include: Some(include), .. }) = engine.docker()? else { return None };
    if names.iter().any(|name| include.is_match(name)) {
        return None;
    }
    let place = document.root().child("checks").child("docker").child("include");
    let there = if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
    Some(place.problem("no container of this host fits `include`", &there))
}

fn steps<'a>(rule: &'a crate::config::Rule, place: Place<'a>) -> Vec<(&'a StepSpec, Place<'a>)> {
    let of_fix = |(rung, fix): (usize, &'a crate::config::FixSpec)| {
        let list = place.child("fix").item(rung).child("steps");
        fix.steps.iter().enumerate().map(move |(n, step)| (step, list.item(n))).collect::<Vec<_>>()
    };
    rule.fixes.iter().enumerate().flat_map(of_fix).collect()
}

/// Units that would be restarted and that systemd does not have.
fn units(engine: &Engine, document: &Document) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for (number, rule) in engine.rules.iter().enumerate() {
        for (step, place) in steps(rule, document.rule(number)) {
            if let StepSpec::Restart(RestartTarget::Unit(unit)) = step
                && systemd::knows(unit) == Some(false)
            {
                let help = "correct the name: `systemctl list-units` lists them";
                found.push(place.child("restart").problem(&format!("systemd has no unit {unit}"), help));
            }
        }
    }
    found
}
