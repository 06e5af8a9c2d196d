//! Service units of systemd that are not the distribution's own.

use super::found::{Unit, free_name};
use crate::host::process;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);
const MOST_OUTPUT: usize = 1 << 20;
const MOST: usize = 20;
/// Where an operator's own units lie.
const OWN: &str = "/etc/systemd/system/";
/// Services that are worth a look although their units came with the distribution.
const KNOWN: [&str; 14] = [
    "apache2",
    "caddy",
    "gunicorn",
    "haproxy",
    "httpd",
    "mariadb",
    "memcached",
    "mongod",
    "mysql",
    "nginx",
    "postgresql",
    "rabbitmq-server",
    "redis-server",
    "uwsgi",
];

/// The units, failed ones first. Nothing where systemd does not run.
pub fn look(taken: &mut Vec<String>, left_out: &mut Vec<String>) -> Vec<Unit> {
    let properties = "--property=Id,LoadState,ActiveState,FragmentPath,UnitFileState,Type,RemainAfterExit";
    let said = ask(&["systemctl", "show", properties, "--", "*.service"]);
    let mut units: Vec<Unit> = said.iter().flat_map(|text| text.split("\n\n")).filter_map(unit).collect();
    units.sort_by_key(|unit| (!unit.failed, unit.unit.clone()));
    if units.len() > MOST {
        left_out.push(format!("{} units beyond the first {MOST}", units.len() - MOST));
    }
    units.truncate(MOST);
    for unit in &mut units {
        unit.name = free_name(unit.unit.trim_end_matches(".service"), taken);
    }
    units
}

/// Why no journal can be read; `None` where it can.
pub fn journal_problem() -> Option<String> {
    let argv = ["journalctl", "--lines", "1", "--quiet", "--no-pager", "--output", "json"].map(str::to_owned);
    match process::run(&argv, None, PATIENCE, 64 << 10) {
        Ok(done) if done.code == Some(0) => None,
        Ok(done) if done.timed_out => Some("journalctl gave no answer in time".to_owned()),
        Ok(done) => Some(crate::text::clean(&String::from_utf8_lossy(&done.stderr))),
        Err(_) => Some("there is no journalctl".to_owned()),
    }
}

fn ask(argv: &[&str]) -> Option<String> {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let done = process::run(&argv, None, PATIENCE, MOST_OUTPUT).ok().filter(|done| done.code == Some(0))?;
    Some(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn unit(block: &str) -> Option<Unit> {
    let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("");
    let unit = value("Id");
    let stem = unit.strip_suffix(".service")?;
    let is_ours = stem == "healer" || stem.starts_with("healer-");
    if is_ours || value("LoadState") != "loaded" || stem.ends_with('@') {
        return None;
    }
    let known = KNOWN.contains(&stem.split('@').next().unwrap_or(stem));
    let (active, failed) = (value("ActiveState") == "active", value("ActiveState") == "failed");
    let enabled = value("UnitFileState").starts_with("enabled");
    let own = value("FragmentPath").starts_with(OWN);
    let is_wanted = failed || ((own || known) && (active || enabled));
    let is_job = value("Type") == "oneshot" && value("RemainAfterExit") != "yes";
    // Of a job that ended well there is nothing to see.
    let is_over = is_job && value("ActiveState") == "inactive";
    (is_wanted && !is_over).then(|| Unit {
        unit: unit.to_owned(),
        name: String::new(),
        failed,
        active,
        is_job,
        answer: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_known_and_failed_units_are_found_and_no_other() {
        let check = |id: &str, state: &str, path: &str, file: &str, found: Option<(bool, bool)>| {
            let text =
                format!("Id={id}\nLoadState=loaded\nActiveState={state}\nFragmentPath={path}\nUnitFileState={file}");
            assert_eq!(unit(&text).map(|u| (u.active, u.failed)), found, "{text}");
        };
        let (own, base) = ("/etc/systemd/system/x.service", "/usr/lib/systemd/system/x.service");
        check("shop.service", "active", own, "enabled", Some((true, false)));
        check("shop.service", "inactive", own, "enabled", Some((false, false)));
        check("shop.service", "inactive", own, "static", None);
        check("cron.service", "active", base, "enabled", None);
        check("cron.service", "failed", base, "enabled", Some((false, true)));
        check("nginx.service", "active", base, "enabled", Some((true, false)));
        check("postgresql@15-main.service", "active", base, "enabled-runtime", Some((true, false)));
        check("healer.service", "failed", own, "static", None);
        check("healer-serve.service", "failed", own, "static", None);
        check("shop.timer", "failed", own, "enabled", None);
    }

    #[test]
    fn a_job_is_asked_whether_it_failed_and_left_out_where_it_ended_well() {
        let check = |kind: &str, remains: &str, state: &str, found: Option<(bool, &str)>| {
            let text = format!(
                "Id=backup.service\nLoadState=loaded\nActiveState={state}\nFragmentPath={OWN}backup.service\n\
                 UnitFileState=enabled\nType={kind}\nRemainAfterExit={remains}"
            );
            let unit = unit(&text);
            assert_eq!(unit.as_ref().map(|u| (u.is_job, u.command()[2])), found, "{text}");
        };
        let (runs, failed) = (r#"systemctl is-active "$0" || exit 2"#, r#"! systemctl is-failed "$0" || exit 2"#);
        check("oneshot", "no", "inactive", None);
        check("oneshot", "no", "failed", Some((true, failed)));
        check("oneshot", "no", "activating", Some((true, failed)));
        check("oneshot", "yes", "inactive", Some((false, runs)));
        check("simple", "no", "inactive", Some((false, runs)));
    }
}
