//! The text of the configuration. Pure.

use super::found::{Answer, Found, Kind, Literal, Server, literal_pattern};
use super::propose::{Proposed, may_restart};
use crate::config::{bare, quoted};
use crate::model::Status;
use crate::text::clean;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The whole file. `today` is a date, `option` what commands need to work with the file.
pub fn text(found: &Found, rules: &[Proposed], today: &str, option: &str) -> String {
    let mut text = String::new();
    text += &head(today, option);
    text += &allow(found, option);
    text += &checks(found, today);
    text += &logs(found);
    text += &of_rules(found, rules);
    text
}

fn head(today: &str, option: &str) -> String {
    format!(
        "# Written by `healer init` on {today}, from what it found here. It is yours now: init never writes it again.\n\
         #\n\
         # Look first, without changing anything:   healer {option}check; healer {option}diagnose; \
         healer {option}heal -n\n\
         # What each key means:                     man healer.toml\n\n\
         mode = \"suggest\"                 # a fix is proposed and waits for you; \"auto\" lets healer act by itself\n\n"
    )
}

fn heading(text: &str) -> String {
    format!("# --- {text} {}\n\n", "-".repeat(110_usize.saturating_sub(text.len() + 7)))
}

fn allow(found: &Found, option: &str) -> String {
    let files: BTreeSet<String> = proposable(found).map(|l| literal_pattern(&l.path.to_string_lossy())).collect();
    let containers = found.containers.iter().filter(|c| may_restart(c)).map(|c| c.name.clone());
    let line = |key: &str, values: Vec<String>| {
        let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        if values.is_empty() { String::new() } else { format!("# {key} = [{}]\n", values.join(", ")) }
    };
    let mut text = heading("What may be changed: nothing, until you say so");
    text += &format!(
        "# Nothing outside these lists is ever changed, whatever a rule says. Found here: remove the `# ` before what\n\
         # healer may touch, and the entries that it may not. After a change of `files`: healer {option}init --systemd\n\n\
         [allow]\n"
    );
    text += &line("files", files.into_iter().collect());
    text += &line("containers", containers.collect());
    text += &line("units", found.units.iter().filter(|u| !u.is_job).map(|u| literal_pattern(&u.unit)).collect());
    text + "\n"
}

/// Literals that a rule may change.
fn proposable(found: &Found) -> impl Iterator<Item = &Literal> {
    let may = |l: &&Literal| found.containers.iter().any(|c| c.name == l.container && may_restart(c));
    found.literals.iter().filter(may)
}

fn tried(today: &str, answer: &Answer) -> String {
    let said = match answer.status {
        Status::Healthy => String::new(),
        _ => format!(": {}", clean(&answer.message)),
    };
    format!("# tried on {today}: {}{said}, {:.0} ms\n", answer.status, answer.ms)
}

fn checks(found: &Found, today: &str) -> String {
    let mut text = heading("What is looked at");
    text += &docker(found, today);
    for server in &found.servers {
        text += &of_server(server, today);
    }
    for unit in &found.units {
        text += &unit.answer.as_ref().map(|answer| tried(today, answer)).unwrap_or_default();
        let command = unit.command().map(quoted).join(", ");
        let _ = write!(text, "[checks.command.{}]\ncommand = [{command}]\n\n", bare(&unit.name));
    }
    if let Some(answer) = &found.host {
        text += &tried(today, answer);
    }
    text + "[checks.host]                    # CPU, memory and disks\n\n"
}

fn docker(found: &Found, today: &str) -> String {
    let docker = &found.docker;
    let socket = if docker.is_usual { String::new() } else { format!("socket = {}\n", quoted(&docker.socket)) };
    if let Some(why) = &docker.silent {
        let socket: String = socket.lines().map(|line| format!("# {line}\n")).collect();
        return format!("# Docker, left out: {}\n# [checks.docker]\n{socket}\n", clean(why));
    }
    let mut text = String::from(
        "# Every container: state, health, restarts. Labels of a container go before this: see man healer.toml.\n",
    );
    for container in &found.containers {
        let labels = &container.labels;
        let mut notes = Vec::new();
        notes.extend((labels.enable == Some(false)).then_some("healer.enable=false: left out"));
        notes.extend(labels.suggest.then_some("healer.mode=suggest: always held for a human"));
        notes.extend(labels.no_restart.then_some("healer.restart=false: never restarted"));
        notes.extend(labels.unclear.iter().map(String::as_str));
        if !notes.is_empty() {
            let _ = writeln!(text, "#   {}: {}", clean(&container.name), clean(&notes.join("; ")));
        }
    }
    text += &docker.answer.as_ref().map(|answer| tried(today, answer)).unwrap_or_default();
    format!("{text}[checks.docker]\n{socket}\n")
}

fn of_server(server: &Server, today: &str) -> String {
    let mut text = format!("# {}\n", clean(&server.from));
    let name = format!("[checks.{}.{}]", server.kind.word(), bare(&server.name));
    let Some((url, answer)) = server.working() else {
        let why = server.why_not();
        let url = server.urls.first().map(|url| format!("# url = {}\n", quoted(url))).unwrap_or_default();
        return format!("{text}# left out, tried on {today}: {}\n# {name}\n{url}\n", clean(&why));
    };
    text += &tried(today, answer);
    let _ = write!(text, "{name}\nurl = {}\n", quoted(url));
    if let Some(code) = answer.status_code.filter(|code| *code != 200) {
        let _ = writeln!(text, "expect_status = [{code}]");
    }
    if let Some(container) = server.container.as_ref().filter(|_| server.names_container) {
        let _ = writeln!(text, "container = {}", quoted(container));
    }
    if server.kind == Kind::Http && !server.depends_on.is_empty() {
        let names: Vec<String> = server.depends_on.iter().map(|name| quoted(name)).collect();
        let _ = writeln!(text, "depends_on = [{}]", names.join(", "));
    }
    text + "\n"
}

fn logs(found: &Found) -> String {
    let mut text = heading("Logs that are read for errors");
    if found.docker.silent.is_none() {
        text += "[logs.docker]                    # of every container that is looked at\n\n";
    }
    for log in &found.logs {
        let more = if log.count > 1 { format!(" and {} more", log.count - 1) } else { String::new() };
        let example = clean(&log.example.to_string_lossy());
        let _ = write!(
            text,
            "# {example}{more}, written within a day\n[logs.files.{}]\npath = {}\n\n",
            bare(&log.name),
            quoted(&log.pattern)
        );
    }
    for unit in &found.units {
        let section = format!("[logs.journal.{}]\nunit = {}\n\n", bare(&unit.name), quoted(&unit.unit));
        text += &match &found.journal {
            None => section,
            Some(why) => {
                let lines: String = section.trim_end().lines().map(|line| format!("# {line}\n")).collect();
                format!("# left out: {}\n{lines}\n", clean(why))
            }
        };
    }
    text
}

fn of_rules(found: &Found, rules: &[Proposed]) -> String {
    let mut text = heading("What would be done: suggestions");
    text += "# Each selector was tried and finds exactly one literal today. `healer rules test` runs the tests.\n\n";
    if rules.is_empty() {
        text += "# Nothing was found that a rule could mend. How one is written: man healer.toml, and the examples.\n";
    }
    for rule in rules {
        text += &rule.text;
        text.push('\n');
    }
    if !found.environments.is_empty() {
        text += "# Virtual environments found beside the programs; nothing in them is looked at or changed:\n";
        for environment in &found.environments {
            let _ = writeln!(text, "#   {}", clean(&environment.to_string_lossy()));
        }
    }
    text
}
