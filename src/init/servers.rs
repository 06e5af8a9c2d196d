//! Which servers containers and ports of this host offer, at which addresses, with which passwords. Pure.

use super::found::{Credential, Kind, Server, free_name};
use crate::config::Secret;
use crate::host::docker::{ContainerDetail, Settings};
use crate::model::{ContainerState, Labels};
use std::path::Path;

/// Ports on which something else than HTTP answers by custom.
const NOT_HTTP: [u16; 16] = [21, 22, 25, 53, 110, 143, 389, 465, 587, 993, 3306, 5672, 9042, 11211, 27017, 50051];
const HTTP_PATHS: [&str; 3] = ["/health", "/healthz", "/"];

/// The servers of a container.
pub fn of_container(
    detail: &ContainerDetail,
    settings: &Settings,
    credentials: &Path,
    taken: &mut Vec<String>,
) -> Vec<Server> {
    let image = detail.image.rsplit('/').next().unwrap_or_default();
    let image = image.split([':', '@']).next().unwrap_or_default();
    let exposes = |port| settings.exposed.contains(&port);
    let is_postgres =
        ["postgres", "postgresql", "postgis", "timescaledb", "pgvector"].contains(&image) || exposes(5432);
    let is_redis = ["redis", "redis-stack", "redis-stack-server", "valkey"].contains(&image) || exposes(6379);
    if is_postgres {
        return vec![postgres(detail, settings, credentials, taken)];
    }
    if is_redis {
        return vec![redis(detail, settings, credentials, taken)];
    }
    let other = |(inner, _): &&(u16, u16)| !NOT_HTTP.contains(inner);
    let running = detail.state == ContainerState::Running;
    ports(settings)
        .iter()
        .filter(other)
        .filter(|_| running)
        .map(|(_, port)| http(detail, settings, *port, taken))
        .collect()
}

/// The ports of a container, each with the one of this host at which it answers.
pub fn ports(settings: &Settings) -> Vec<(u16, u16)> {
    let on_host = || settings.exposed.iter().map(|port| (*port, *port)).collect();
    if settings.on_host_network { on_host() } else { settings.published.clone() }
}

fn server(kind: Kind, detail: &ContainerDetail, settings: &Settings, taken: &mut Vec<String>) -> Server {
    let service = detail.labels.get("com.docker.compose.service");
    Server {
        kind,
        name: free_name(service.unwrap_or(&detail.name), taken),
        from: format!("container {} ({})", detail.name, detail.image),
        container: Some(detail.name.clone()),
        names_container: settings.on_host_network,
        urls: Vec::new(),
        credential: None,
        unreachable: None,
        tried: Vec::new(),
        depends_on: Vec::new(),
    }
}

/// The port of this host at which the container's own answers; else why there is none.
fn port(inner: u16, detail: &ContainerDetail, settings: &Settings) -> Result<u16, String> {
    if detail.state != ContainerState::Running {
        return Err("the container does not run now".to_owned());
    }
    if settings.on_host_network {
        return Ok(inner);
    }
    let published = settings.published.iter().find(|(port, _)| *port == inner).map(|(_, port)| *port);
    published.ok_or_else(|| format!("the container publishes its port {inner} on no port of this host"))
}

fn postgres(detail: &ContainerDetail, settings: &Settings, credentials: &Path, taken: &mut Vec<String>) -> Server {
    let mut server = server(Kind::Postgres, detail, settings, taken);
    let value = |names: [&str; 2]| names.iter().find_map(|name| settings.variable(name)).cloned();
    let inner = settings.variable("PGPORT").and_then(|port| port.reveal().parse().ok()).unwrap_or(5432);
    let user = value(["POSTGRES_USER", "POSTGRESQL_USERNAME"]).unwrap_or_else(|| Secret::new("postgres"));
    let database = value(["POSTGRES_DB", "POSTGRESQL_DATABASE"]).unwrap_or_else(|| user.clone());
    let password = value(["POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD"]);
    server.credential = password.map(|value| Credential { file: credentials.join(&server.name), value });
    match port(inner, detail, settings) {
        Ok(port) => {
            let (user, database) = (encoded(user.reveal()), encoded(database.reveal()));
            let login = login(&user, server.credential.as_ref());
            server.urls = vec![format!("postgres://{login}127.0.0.1:{port}/{database}")];
        }
        Err(why) => server.unreachable = Some(why),
    }
    server
}

fn redis(detail: &ContainerDetail, settings: &Settings, credentials: &Path, taken: &mut Vec<String>) -> Server {
    let mut server = server(Kind::Redis, detail, settings, taken);
    let inner = settings.option("--port").and_then(|port| port.reveal().parse().ok()).unwrap_or(6379);
    let password = settings.option("--requirepass").or_else(|| settings.variable("REDIS_PASSWORD").cloned());
    server.credential = password.map(|value| Credential { file: credentials.join(&server.name), value });
    match port(inner, detail, settings) {
        Ok(port) => {
            // A variable is the image's to use: the server may have been started without it.
            let logins = [server.credential.as_ref(), None].map(|credential| login("", credential));
            server.urls = logins.map(|login| format!("redis://{login}127.0.0.1:{port}/0")).into();
            server.urls.dedup();
        }
        Err(why) => server.unreachable = Some(why),
    }
    server
}

fn http(detail: &ContainerDetail, settings: &Settings, port: u16, taken: &mut Vec<String>) -> Server {
    let mut server = server(Kind::Http, detail, settings, taken);
    let scheme = if matches!(port, 443 | 8443) { "https" } else { "http" };
    server.urls = HTTP_PATHS.iter().map(|path| format!("{scheme}://127.0.0.1:{port}{path}")).collect();
    server.depends_on = super::docker::depends_on(&detail.labels);
    server
}

/// A server at its usual port of this host, which no container has.
pub fn of_port(kind: Kind, port: u16, taken: &mut Vec<String>) -> Server {
    let urls = match kind {
        Kind::Postgres => vec![
            format!("postgres://healer@127.0.0.1:{port}/postgres"),
            format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            "postgres://postgres@%2Fvar%2Frun%2Fpostgresql/postgres".to_owned(),
        ],
        Kind::Redis => vec![format!("redis://127.0.0.1:{port}/0")],
        Kind::Http => HTTP_PATHS.iter().map(|path| format!("http://127.0.0.1:{port}{path}")).collect(),
    };
    Server {
        kind,
        name: free_name(kind.word(), taken),
        from: format!("port {port} of this host"),
        container: None,
        names_container: false,
        urls,
        credential: None,
        unreachable: None,
        tried: Vec::new(),
        depends_on: Vec::new(),
    }
}

fn login(user: &str, credential: Option<&Credential>) -> String {
    match credential {
        Some(credential) => format!("{user}:${{file:{}}}@", credential.file.display()),
        None if user.is_empty() => String::new(),
        None => format!("{user}@"),
    }
}

/// Percent-encoded, all but letters and digits.
fn encoded(text: &str) -> String {
    let of = |byte: u8| match char::from(byte) {
        c if c.is_ascii_alphanumeric() || c == '_' || c == '-' => c.to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(of).collect()
}

/// Whether anything of this container is to be looked at.
pub fn is_wanted(labels: &Labels) -> bool {
    labels.enable != Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContainerLimits;

    fn detail(image: &str, running: bool) -> ContainerDetail {
        ContainerDetail {
            id: "1".into(),
            name: "shop-db-1".into(),
            state: if running { ContainerState::Running } else { ContainerState::Exited },
            health: None,
            started_at: None,
            finished_at: None,
            restart_count: 0,
            oom_killed: false,
            exit_code: None,
            image: image.into(),
            labels: Default::default(),
            mounts: Vec::new(),
            log_driver: String::new(),
            log_path: None,
            tty: false,
            pid: None,
            ports: Vec::new(),
            limits: ContainerLimits::default(),
        }
    }

    #[test]
    fn a_container_is_known_by_its_image_and_reached_where_it_publishes() {
        type Expected<'a> = &'a [(Kind, &'a str)];
        let check =
            |image: &str, running: bool, published: &[(u16, u16)], environment: &[(&str, &str)], expected: Expected| {
                let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v))).collect();
                let settings = Settings { published: published.to_vec(), environment, ..Settings::default() };
                let all = of_container(&detail(image, running), &settings, Path::new("/c"), &mut Vec::new());
                let first = |s: &Server| s.urls.first().cloned().or_else(|| s.unreachable.clone()).unwrap();
                let found: Vec<_> = all.iter().map(|s| (s.kind, first(s))).collect();
                let expected: Vec<_> = expected.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect();
                assert_eq!(found, expected, "{image} {published:?}");
            };
        use Kind::{Http, Postgres, Redis};
        let login = [("POSTGRES_USER", "shop"), ("POSTGRES_PASSWORD", "p"), ("POSTGRES_DB", "my shop")];
        let url = "postgres://shop:${file:/c/shop-db-1}@127.0.0.1:15432/my%20shop";
        check("registry:5000/library/postgres:16", true, &[(5432, 15432)], &login, &[(Postgres, url)]);
        check(
            "postgres@sha256:1",
            true,
            &[(5432, 5432)],
            &[],
            &[(Postgres, "postgres://postgres@127.0.0.1:5432/postgres")],
        );
        let nowhere = "the container publishes its port 5432 on no port of this host";
        check("postgres", true, &[], &login, &[(Postgres, nowhere)]);
        check("postgres", false, &[(5432, 5432)], &login, &[(Postgres, "the container does not run now")]);
        check("redis:7-alpine", true, &[(6379, 6379)], &[], &[(Redis, "redis://127.0.0.1:6379/0")]);
        let login = [("REDIS_PASSWORD", "p")];
        check("redis", true, &[(6379, 1)], &login, &[(Redis, "redis://:${file:/c/shop-db-1}@127.0.0.1:1/0")]);
        // The application knows the database's password too, and is none.
        let login = [("POSTGRES_PASSWORD", "p")];
        check("shop/api", true, &[(8000, 80)], &login, &[(Http, "http://127.0.0.1:80/health")]);
        check("shop/api", true, &[(8443, 8443)], &[], &[(Http, "https://127.0.0.1:8443/health")]);
        check("shop/api", false, &[(8000, 80)], &[], &[]);
        check("mail", true, &[(25, 25), (3306, 3306)], &[], &[]);
    }

    #[test]
    fn a_password_of_redis_is_also_left_away() {
        let environment = vec![("REDIS_PASSWORD".to_owned(), Secret::new("p"))];
        let settings = Settings { published: vec![(6379, 1)], environment, ..Settings::default() };
        let servers = of_container(&detail("redis", true), &settings, Path::new("/c"), &mut Vec::new());
        assert_eq!(servers[0].urls, ["redis://:${file:/c/shop-db-1}@127.0.0.1:1/0", "redis://127.0.0.1:1/0"]);
    }
}
