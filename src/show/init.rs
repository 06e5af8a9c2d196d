//! What `init` has found, written, and what comes next.

use crate::init::Written;
use crate::init::found::{Found, Server};
use crate::init::systemd::Installed;
use crate::show::{Output, count};
use crate::text::clean;
use serde_json::{Value, json};
use std::path::Path;

/// What was done.
pub struct Done<'a> {
    pub config: &'a Path,
    /// `None`: the configuration that was there is kept.
    pub written: Option<&'a Written>,
    /// `None`: no units were asked for, or there is no systemd.
    pub installed: Option<&'a Installed>,
    pub systemd_runs: bool,
    pub cron: String,
    pub is_root: bool,
}

/// For people.
pub fn text(done: &Done, out: &Output) -> String {
    let mut parts = Vec::new();
    if let Some(written) = done.written {
        parts.push(table(&written.found, out));
        let left_out = &written.found.left_out;
        parts.extend((!left_out.is_empty()).then(|| format!("Not looked at: {}.", left_out.join("; "))));
        let files: Vec<String> = written.files.iter().map(|file| format!("  {}", file.display())).collect();
        parts.push(format!("Written:\n{}", files.join("\n")));
    } else {
        parts.push(format!("{} is kept as it is.", done.config.display()));
    }
    if let Some(installed) = done.installed {
        parts.push(units(installed));
    }
    let next: Vec<String> = next(done).iter().enumerate().map(|(n, line)| format!("  {}. {line}", n + 1)).collect();
    parts.push(format!("Next:\n{}", next.join("\n")));
    parts.join("\n\n")
}

fn units(installed: &Installed) -> String {
    let mut lines: Vec<String> = installed.done.iter().map(|line| format!("  {line}")).collect();
    if lines.is_empty() {
        lines.push("  nothing had to be changed".to_owned());
    }
    let open: Vec<String> = installed.open.iter().map(|path| path.display().to_string()).collect();
    lines.push(match open.as_slice() {
        [] => "  passes may write nowhere but their own state: [allow] names no file".to_owned(),
        open => format!("  passes may write in {}", open.join(", ")),
    });
    format!("Units:\n{}", lines.join("\n"))
}

fn table(found: &Found, out: &Output) -> String {
    let mut table = out.table(&["found", "what", "seen"]);
    let docker = match &found.docker.silent {
        None => containers(found),
        Some(why) => format!("left out: {}", clean(why)),
    };
    table.add_row(["docker", &clean(&found.docker.socket), &docker]);
    for server in &found.servers {
        let kind = server.kind.word();
        table.add_row([kind, &format!("{}, {}", server.name, clean(&server.from)), &seen(server)]);
    }
    for log in &found.logs {
        table.add_row(["log", &clean(&log.pattern), &count(log.count as u64, "file")]);
    }
    for unit in &found.units {
        table.add_row(["unit", &clean(&unit.unit), unit.state()]);
    }
    for literal in &found.literals {
        let place = format!("{}:{} `{}`", literal.path.display(), literal.line, literal.at);
        table.add_row(["number", &clean(&place), &clean(&literal.raw)]);
    }
    for environment in &found.environments {
        table.add_row(["venv", &clean(&environment.to_string_lossy()), "left alone"]);
    }
    if let Some(host) = &found.host {
        table.add_row(["host", "CPU, memory, disks", &clean(&host.message)]);
    }
    out.rendered(&table)
}

fn containers(found: &Found) -> String {
    let projects: std::collections::BTreeSet<&str> =
        found.containers.iter().filter_map(|c| c.project.as_deref()).collect();
    let of = match projects.len() {
        0 => String::new(),
        _ => format!(", compose {}", clean(&projects.into_iter().collect::<Vec<_>>().join(", "))),
    };
    format!("{}{of}", count(found.containers.len() as u64, "container"))
}

fn seen(server: &Server) -> String {
    match server.working() {
        Some((_, answer)) => clean(&answer.message),
        None => format!("left out: {}", clean(&server.why_not())),
    }
}

fn next(done: &Done) -> Vec<String> {
    let config = done.config.display();
    let option = crate::config::option(done.config);
    let mut lines = Vec::new();
    if done.written.is_some() {
        lines.push(format!("look at {config}; `healer {option}config check` says what will not do what you mean"));
        lines.push(format!("`healer {option}heal -n` shows what would be done; it changes nothing"));
        let again =
            if done.systemd_runs { format!(", and run `healer {option}init --systemd` again") } else { String::new() };
        lines.push(format!(
            "uncomment in [allow] what healer may touch{again}; write mode = \"auto\" once you trust what it proposes"
        ));
    } else {
        lines.push(format!("`healer {option}config check` says whether what [allow] names can be written"));
    }
    match (done.installed, done.systemd_runs) {
        (Some(_), _) => lines.push("`systemctl list-timers healer.timer` says when the next pass is".to_owned()),
        (None, true) => {
            lines.push(format!("`healer {option}init --systemd` installs the units: a pass every five minutes"));
        }
        (None, false) => {
            let place = if done.is_root { "in /etc/cron.d/healer" } else { "a line for `crontab -e`" };
            lines.push(format!("a pass every five minutes, {place}:\n     {}", done.cron));
        }
    }
    lines
}

/// For programs.
pub fn document(done: &Done) -> Value {
    let found = done.written.map(|written| self::found(&written.found));
    json!({
        "config": done.config,
        "kept": done.written.is_none(),
        "written": done.written.map(|w| &w.files),
        "rules": done.written.map(|w| &w.rules),
        "warnings": done.written.map(|w| w.warnings),
        "found": found,
        "systemd": done.installed.map(|installed| json!({ "done": installed.done, "open": installed.open })),
        "cron": (!done.systemd_runs).then_some(&done.cron),
        "next": next(done),
    })
}

fn found(found: &Found) -> Value {
    let server = |s: &Server| {
        json!({
            "kind": s.kind.word(), "name": s.name, "from": s.from, "container": s.container,
            "works": s.working().is_some(), "seen": seen(s),
            "ms": s.working().map(|(_, answer)| answer.ms),
            "credential": s.used_credential().map(|c| &c.file),
        })
    };
    let container = |c: &crate::init::found::Container| {
        json!({
            "name": c.name, "image": c.image, "project": c.project, "service": c.service,
            "running": c.state == crate::model::ContainerState::Running, "labels": c.labels,
        })
    };
    json!({
        "docker": { "socket": found.docker.socket, "answers": found.docker.silent.is_none(), "why": found.docker.silent },
        "containers": found.containers.iter().map(container).collect::<Vec<_>>(),
        "servers": found.servers.iter().map(server).collect::<Vec<_>>(),
        "logs": found.logs.iter()
            .map(|l| json!({ "name": l.name, "path": l.pattern, "files": l.count })).collect::<Vec<_>>(),
        "units": found.units.iter()
            .map(|u| json!({ "unit": u.unit, "failed": u.failed, "active": u.active })).collect::<Vec<_>>(),
        "environments": found.environments,
        "literals": found.literals.iter()
            .map(|l| json!({ "container": l.container, "path": l.path, "at": l.at, "value": l.raw, "line": l.line }))
            .collect::<Vec<_>>(),
        "left_out": found.left_out,
    })
}
