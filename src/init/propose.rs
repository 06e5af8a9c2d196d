//! Rules for what was found, as suggestions: their text, each with a test. Pure.

use super::found::{Container, Found, Kind, Literal, Purpose, Unit, free_name};
use super::sample;
use crate::config::{Change, Format, Selector, quoted};
use crate::fix::edit;
use crate::model::ContainerState;
use std::collections::BTreeMap;

/// A rule as it will be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    pub name: String,
    pub text: String,
}

/// All of them, each under a name of its own.
pub fn rules(found: &Found, mut taken: Vec<String>) -> Vec<Proposed> {
    let mut groups: BTreeMap<(&str, Purpose), Vec<&Literal>> = BTreeMap::new();
    for literal in &found.literals {
        groups.entry((&literal.container, literal.purpose)).or_default().push(literal);
    }
    let mut rules: Vec<Proposed> = groups.values().filter_map(|g| of_literals(found, g, &mut taken)).collect();
    rules.extend(of_containers(found, &mut taken));
    rules.extend(found.units.iter().filter(|unit| !unit.is_job).map(|unit| of_unit(unit, &mut taken)));
    rules
}

/// What such a number is changed for, and how.
struct Remedy {
    word: &'static str,
    issue_type: &'static str,
    fix_type: &'static str,
    confidence: u8,
    factor: f64,
    why: &'static str,
}

fn remedy(purpose: Purpose) -> Remedy {
    match purpose {
        Purpose::Delay => Remedy {
            word: "slow-down",
            issue_type: "rate_limiting",
            fix_type: "increase_delay",
            confidence: 88,
            factor: 1.5,
            why: "Rate limited: wait longer between requests.",
        },
        Purpose::Timeout => Remedy {
            word: "wait-longer",
            issue_type: "api_timeout",
            fix_type: "raise_timeout",
            confidence: 82,
            factor: 1.5,
            why: "Time-outs: give an answer longer to come.",
        },
        Purpose::Pool => Remedy {
            word: "larger-pool",
            issue_type: "database_connection",
            fix_type: "raise_pool",
            confidence: 82,
            factor: 1.5,
            why: "The pool of connections is used up: more of them. The server must have room for these.",
        },
        Purpose::Batch => Remedy {
            word: "smaller-batches",
            issue_type: "resource_overload",
            fix_type: "reduce_batch",
            confidence: 90,
            factor: 0.5,
            why: "Killed for lack of memory: take less at a time.",
        },
    }
}

/// One rule for the numbers of a container that serve the same purpose: a ladder, the first found first.
fn of_literals(found: &Found, literals: &[&Literal], taken: &mut Vec<String>) -> Option<Proposed> {
    let first = literals.first()?;
    let container = found.containers.iter().find(|c| c.name == first.container).filter(|c| may_restart(c))?;
    let Remedy { word, issue_type, fix_type, confidence, why, .. } = remedy(first.purpose);
    let (c, restart) = (&container.name, quoted(&format!("container:{}", container.name)));
    let rungs: Vec<Rung> = literals.iter().filter_map(|literal| rung(literal)).collect();
    let Rung { file, next, .. } = rungs.first()?;
    let steps = |rung: &Rung| {
        format!(
            "[[rule.fix]]                     # today {}, on line {}\nfix_type = \"{fix_type}\"\nsteps = [\n  {},\n  \
             {{ restart = {restart} }},\n]\n",
            rung.now, rung.line, rung.edit
        )
    };
    let (when, cause, test) = match first.purpose {
        Purpose::Delay => log(c, "rate_limit", "was rate limited", "HTTP 429 Client Error: Too Many Requests"),
        Purpose::Timeout => log(c, "timeout", "ran into time-outs", "upstream: Read timed out. (read timeout=10)"),
        Purpose::Pool => {
            let of = log(c, "", "found its pool of connections used up", "the connection pool is exhausted");
            let pattern = "match = '(?i)QueuePool limit|pool (is |was )?exhausted|PoolTimeout'";
            (of.0.replace("signature = \"\"", pattern), of.1, of.2)
        }
        Purpose::Batch => (
            format!("{{ container = {}, state = \"oom_killed\" }}", quoted(c)),
            "{container} was killed for lack of memory".to_owned(),
            format!("containers = {{ {} = \"oom_killed\" }}", quoted(c)),
        ),
    };
    let name = free_name(&format!("{c}-{word}"), taken);
    let text = format!(
        "# {why}\n[[rule]]\nname       = {}\nwhen       = {when}\nissue_type = \"{issue_type}\"\ncause      = {}\n\
         confidence = {confidence}{}\n{}{}[[rule.test]]\nname   = \"it is changed and the container is restarted\"\n{test}\n\
         file   = {}\nexpect = {{ fix_type = \"{fix_type}\", value = {} }}\n",
        quoted(&name),
        quoted(&cause),
        // The default of `confidence_threshold`, which is not written.
        if confidence < 85 { "                  # below confidence_threshold: it always waits for you" } else { "" },
        rungs.iter().map(steps).collect::<String>(),
        validate(found, c),
        quoted(file),
        quoted(next),
    );
    Some(Proposed { name, text })
}

/// One step of the ladder.
struct Rung {
    edit: String,
    now: String,
    line: usize,
    /// A file that its selector fits, and what the number in it becomes.
    file: String,
    next: String,
}

fn rung(literal: &Literal) -> Option<Rung> {
    let factor = remedy(literal.purpose).factor;
    let format = Format::of(&literal.path)?;
    let file = sample::of(format, &literal.at, &literal.raw)?;
    let bound = if factor > 1.0 { literal.value * 4.0 } else { (literal.value / 4.0).max(1.0).ceil() };
    let bound = (bound * 1e6).round() / 1e6;
    let (key, min, max) = if factor > 1.0 { ("max", None, Some(bound)) } else { ("min", Some(bound), None) };
    let selector = Selector::parse(&literal.at, format).ok()?;
    let located = edit::locate(file.as_bytes(), format, &selector).ok()?;
    let next = edit::next_literal(&located.literal, &Change::Multiply(factor), min, max, 2.0).ok()?.raw;
    let (path, at) = (quoted(&literal.path.to_string_lossy()), quoted(&literal.at));
    Some(Rung {
        edit: format!("{{ edit = {path}, at = {at}, multiply = {factor}, {key} = {bound} }}"),
        now: crate::text::clean(&literal.raw),
        line: literal.line,
        file,
        next: next.trim_matches(['"', '\'']).to_owned(),
    })
}

/// A trigger in a container's log, what it means, and lines that pull it.
fn log(container: &str, signature: &str, what: &str, line: &str) -> (String, String, String) {
    let source = quoted(&format!("container:{container}"));
    let when = format!("{{ log = {source}, signature = \"{signature}\", count = 5, within = \"10m\" }}");
    (
        when,
        format!("{{log}} {what} {{count}} times in {{within}}"),
        format!("log    = [{}]\nrepeat = 5", quoted(&format!("ERROR {line}"))),
    )
}

/// The check of the same container, which must be well after a fix.
fn validate(found: &Found, container: &str) -> String {
    let of = |s: &&super::found::Server| s.kind == Kind::Http && s.container.as_deref() == Some(container);
    let check = found.servers.iter().filter(|s| s.working().is_some()).find(of);
    check.map_or_else(String::new, |check| format!("[rule.validate]\nchecks = [{}]\n", quoted(&check.name)))
}

/// Labels that forbid it, or mean nothing, keep a container from being named in a restart.
pub fn may_restart(container: &Container) -> bool {
    let labels = &container.labels;
    labels.enable != Some(false) && !labels.no_restart && labels.unclear.is_empty()
}

/// One rule for all that have a health check, and one for all that are to run always.
fn of_containers(found: &Found, taken: &mut Vec<String>) -> Vec<Proposed> {
    let may = || found.containers.iter().filter(|c| may_restart(c));
    let names = |of: Vec<&Container>| of.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    let unhealthy = names(may().filter(|c| c.has_health_check).collect());
    let always = |c: &&Container| matches!(c.restart_policy.as_str(), "always" | "unless-stopped" | "on-failure");
    let exited = names(may().filter(always).filter(|c| c.state != ContainerState::Created).collect());
    let why_unhealthy = "Its own health check fails: start it again.";
    let why_exited = "It is to run always and has exited: start it again.";
    [("restart-unhealthy", "unhealthy", why_unhealthy, unhealthy), ("restart-exited", "exited", why_exited, exited)]
        .into_iter()
        .filter_map(|(name, state, why, names)| of_state(name, state, why, &names, taken))
        .collect()
}

fn of_state(name: &str, state: &str, why: &str, names: &[String], taken: &mut Vec<String>) -> Option<Proposed> {
    let first = quoted(names.first()?);
    let name = free_name(name, taken);
    let pattern = if names.len() == 1 { names.join("") } else { format!("{{{}}}", names.join(",")) };
    let text = format!(
        "# {why}\n[[rule]]\nname       = \"{name}\"\nwhen       = {{ container = {}, state = \"{state}\", for = \"2m\" }}\n\
         issue_type = \"container_crash\"\ncause      = \"{{container}} is {{state}}\"\nconfidence = 88\n[[rule.fix]]\n\
         fix_type = \"restart\"\nsteps    = [{{ restart = \"container:{{container}}\" }}]\n[[rule.test]]\n\
         name       = \"it is restarted\"\ncontainers = {{ {first} = \"{state}\" }}\n\
         expect     = {{ fix_type = \"restart\" }}\n",
        quoted(&pattern)
    );
    Some(Proposed { name, text })
}

fn of_unit(unit: &Unit, taken: &mut Vec<String>) -> Proposed {
    let name = free_name(&format!("restart-{}", unit.name), taken);
    let (check, restart) = (quoted(&unit.name), quoted(&format!("unit:{}", unit.unit)));
    let text = format!(
        "# It does not run: start it again.\n[[rule]]\nname       = {}\nwhen       = {{ check = {check}, is = \"critical\", \
         passes = 2 }}\nissue_type = \"service_down\"\ncause      = {}\nconfidence = 88\n[[rule.fix]]\nfix_type = \
         \"restart\"\nsteps    = [{{ restart = {restart} }}]\n[[rule.test]]\nname   = \"it is restarted\"\n\
         checks = {{ {check} = \"critical\" }}\nexpect = {{ fix_type = \"restart\" }}\n",
        quoted(&name),
        quoted(&format!("{} does not run", unit.unit)),
    );
    Proposed { name, text }
}
