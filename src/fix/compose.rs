//! Compose services by the labels of their containers, and making one anew. May not live here: the order of restarts.

use crate::host::docker::Docker;
use crate::host::process;
use crate::model::{ComposeContainer, DockerTls, Recreation};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

const PLUGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// An image may have to be fetched, and a container gets ten seconds to stop.
const RECREATE_TIMEOUT: Duration = Duration::from_secs(300);

/// The containers of a project, without those of `docker compose run`.
///
/// # Errors
/// When the engine does not answer.
pub fn containers(project: &str, docker: &Docker) -> Result<Vec<ComposeContainer>> {
    let listed = docker.list()?;
    Ok(listed.iter().filter_map(|c| of_labels(c.name(), &c.labels, project)).collect())
}

fn of_labels(name: &str, labels: &HashMap<String, String>, project: &str) -> Option<ComposeContainer> {
    let label = |key: &str| labels.get(&format!("com.docker.compose.{key}")).map(String::as_str);
    let list = |key: &str| {
        let paths = label(key).unwrap_or_default().split(',').filter(|path| !path.is_empty());
        paths.map(PathBuf::from).collect::<Vec<_>>()
    };
    let one_off = label("oneoff").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if label("project") != Some(project) || one_off {
        return None;
    }
    let dependency = |text: &str| {
        let mut parts = text.split(':');
        let service = parts.next().filter(|service| !service.is_empty())?;
        Some((service.to_owned(), parts.next().unwrap_or("service_started").to_owned()))
    };
    Some(ComposeContainer {
        name: name.to_owned(),
        service: label("service")?.to_owned(),
        number: label("container-number").and_then(|n| n.parse().ok()).unwrap_or(1),
        depends_on: label("depends_on").unwrap_or_default().split(',').filter_map(dependency).collect(),
        files: list("project.config_files"),
        env_files: list("project.environment_file"),
        directory: label("project.working_dir").map(PathBuf::from),
    })
}

/// Whether a service could be made anew now.
///
/// # Errors
/// With what is missing: the plugin, a file.
pub fn check(service: &Recreation, docker: &Docker) -> Result<()> {
    if service.files.is_empty() {
        bail!("its containers have no label that names the compose files");
    }
    for path in service.files.iter().chain(&service.env_files) {
        std::fs::metadata(path).with_context(|| format!("cannot read the compose file {}", path.display()))?;
    }
    let argv = command(docker, &["version"]);
    let done = process::run(&argv, None, PLUGIN_TIMEOUT, 4096).context("docker compose is needed for that")?;
    if done.code != Some(0) {
        let said = String::from_utf8_lossy(&done.stderr);
        let said = said.lines().next().unwrap_or("no answer").trim();
        bail!("the compose plugin of the docker command is not installed ({said})");
    }
    Ok(())
}

/// Makes a service anew and returns when compose says that it has been started.
///
/// # Errors
/// With what compose said.
pub fn recreate(service: &Recreation, docker: Option<&Docker>) -> Result<()> {
    let docker = docker.ok_or_else(|| anyhow!("no Docker check is configured, so no service can be recreated"))?;
    let argv = command(docker, &arguments(service).iter().map(String::as_str).collect::<Vec<_>>());
    let done = process::run(&argv, None, RECREATE_TIMEOUT, 4096)?;
    if done.code != Some(0) {
        let said = String::from_utf8_lossy(&done.stderr);
        let end = if done.timed_out { "no end in time" } else { said.trim() };
        bail!("cannot recreate compose:{}/{}: {end}", service.project, service.service);
    }
    Ok(())
}

fn command(docker: &Docker, args: &[&str]) -> Vec<String> {
    let mut argv = vec!["docker".to_owned(), "--host".to_owned(), docker.socket().to_owned()];
    argv.extend(docker.tls().map(tls_options).unwrap_or_default());
    argv.push("compose".to_owned());
    argv.extend(args.iter().map(|word| (*word).to_owned()));
    argv
}

/// The same trust for the `docker` program, whose defaults are files below the home directory.
fn tls_options(tls: &DockerTls) -> Vec<String> {
    let identity = tls.identity.as_ref();
    let files = [
        ("--tlscacert", tls.ca.as_ref()),
        ("--tlscert", identity.map(|i| &i.certificate)),
        ("--tlskey", identity.map(|i| &i.key)),
    ];
    let given = files
        .into_iter()
        .map(|(option, file)| format!("{option}={}", file.map_or(String::new(), |f| f.display().to_string())));
    std::iter::once("--tlsverify".to_owned()).chain(given).collect()
}

/// A service keeps its number of containers, which the files alone need not say.
fn arguments(service: &Recreation) -> Vec<String> {
    let path = |option: &str, path: &PathBuf| [option.to_owned(), path.display().to_string()];
    let mut argv = vec!["-p".to_owned(), service.project.clone()];
    argv.extend(service.directory.iter().flat_map(|d| path("--project-directory", d)));
    argv.extend(service.env_files.iter().flat_map(|f| path("--env-file", f)));
    argv.extend(service.files.iter().flat_map(|f| path("-f", f)));
    argv.extend(["up", "-d", "--no-deps", "--no-build", "--force-recreate"].map(str::to_owned));
    if service.containers.len() > 1 {
        argv.extend(["--scale".to_owned(), format!("{}={}", service.service, service.containers.len())]);
    }
    argv.push(service.service.clone());
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docker_program_is_given_the_same_trust_and_none_of_its_own() {
        let tls = DockerTls { ca: Some("/ca.pem".into()), identity: None };
        let docker = Docker::connect("tcp://engine.example:2376", None, PLUGIN_TIMEOUT).unwrap();
        assert_eq!(
            command(&docker, &["version"]),
            ["docker", "--host", "tcp://engine.example:2376", "compose", "version"]
        );
        assert_eq!(tls_options(&tls), ["--tlsverify", "--tlscacert=/ca.pem", "--tlscert=", "--tlskey="]);
    }

    #[test]
    fn containers_are_known_by_their_labels() {
        type Expected<'a> = Option<(&'a str, u32, &'a [(&'a str, &'a str)])>;
        let check = |labels: &[(&str, &str)], expected: Expected| {
            let labels = labels.iter().map(|(k, v)| (format!("com.docker.compose.{k}"), (*v).to_owned())).collect();
            let found = of_labels("shop-web-1", &labels, "shop");
            let expected = expected.map(|(service, number, on)| {
                let on = on.iter().map(|(s, c)| ((*s).to_owned(), (*c).to_owned())).collect();
                (service.to_owned(), number, on)
            });
            assert_eq!(found.map(|c| (c.service, c.number, c.depends_on)), expected, "{labels:?}");
        };
        let on = "db:service_healthy:true,cache:service_started:false,old";
        let known = [("db", "service_healthy"), ("cache", "service_started"), ("old", "service_started")];
        check(&[("project", "shop"), ("service", "web"), ("depends_on", on)], Some(("web", 1, &known)));
        check(
            &[("project", "shop"), ("service", "web"), ("container-number", "3"), ("depends_on", "")],
            Some(("web", 3, &[])),
        );
        check(&[("project", "shop"), ("service", "web"), ("oneoff", "True")], None);
        check(&[("project", "other"), ("service", "web")], None);
        check(&[("project", "shop")], None);
        check(&[], None);
    }

    #[test]
    fn compose_is_told_what_the_labels_say() {
        let mut service = Recreation {
            project: "shop".into(),
            service: "web".into(),
            files: vec!["/srv/a.yaml".into(), "/srv/b.yaml".into()],
            env_files: vec!["/srv/x.env".into()],
            directory: Some("/srv".into()),
            containers: vec!["shop-web-1".into()],
        };
        let expected = "-p shop --project-directory /srv --env-file /srv/x.env -f /srv/a.yaml -f /srv/b.yaml up -d \
                        --no-deps --no-build --force-recreate web";
        assert_eq!(arguments(&service).join(" "), expected);
        service.containers.push("shop-web-2".into());
        assert!(arguments(&service).join(" ").ends_with("--force-recreate --scale web=2 web"));
    }
}
