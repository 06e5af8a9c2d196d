//! `[checks]`: one function per kind. May not live here: running them.

use super::Surroundings;
use super::context::Cx;
use super::values::{self, Worse, crossing, levels};
use crate::config::at::{At, Dur, Span, Table};
use crate::config::raw::*;
use crate::config::{
    CheckSpec, CountQuery, DockerProbe, HostProbe, HttpProbe, Levels, PostgresProbe, Probe, QueueProbe, RedisProbe,
    Secret,
};
use crate::model::{CheckKind, DockerTls, TlsIdentity};
use std::collections::BTreeMap;
use std::time::Duration;

/// The checks and how they may be referred to.
pub struct Checks {
    pub specs: Vec<CheckSpec>,
    /// Written, but with `enabled = false`.
    switched_off: Vec<String>,
}

impl Checks {
    /// Whether a check of this name is there; otherwise that is an error at this place.
    pub fn require(&self, cx: Cx<'_>, name: &At<String>) -> bool {
        if self.specs.iter().any(|s| s.name == name.value) {
            return true;
        }
        if self.switched_off.contains(&name.value) {
            let help = "take `enabled = false` or this name out";
            cx.error_help(&name.span, format!("the check `{}` is switched off", name.value), help);
        } else {
            let names: Vec<&str> = self.specs.iter().map(|s| s.name.as_str()).collect();
            cx.unknown(name, "check", &names);
        }
        false
    }

    /// The names of a list that are there.
    pub fn require_all(&self, cx: Cx<'_>, names: Texts) -> Vec<String> {
        let names = names.map(|n| n.value).unwrap_or_default();
        names.into_iter().filter(|n| self.require(cx, n)).map(|n| n.value).collect()
    }

    pub fn get(&self, name: &str) -> Option<&CheckSpec> {
        self.specs.iter().find(|s| s.name == name)
    }
}

/// What every check has, taken out of its raw type.
struct Common {
    name: At<String>,
    enabled: Key<bool>,
    timeout: Key<Dur>,
    depends_on: Texts,
    container: Key<String>,
}

/// Names and dependencies while the checks are put together.
struct Builder<'a> {
    cx: Cx<'a>,
    specs: Vec<CheckSpec>,
    switched_off: Vec<String>,
    seen: BTreeMap<String, Span>,
    depends_on: Vec<(String, Texts)>,
    /// Where a check names its container.
    containers: Vec<Span>,
}

/// The time-outs of the specification, in seconds.
fn default_timeout(kind: CheckKind) -> Duration {
    Duration::from_secs(match kind {
        CheckKind::Docker | CheckKind::Http | CheckKind::Host => 10,
        CheckKind::Postgres => 5,
        CheckKind::Redis | CheckKind::Tcp => 3,
        CheckKind::Command => 30,
    })
}

/// Why there may be a Docker check that is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritten {
    /// Something else that is written stands on it: it is missed when the engine is gone.
    Needed,
    /// It is there if the engine is.
    Discovered,
    Absent,
}

/// Every check of the configuration, and those that are there without being written.
pub fn checks(cx: Cx<'_>, raw: Section<RawChecks>, around: &Surroundings, docker: Unwritten) -> Checks {
    let raw = raw.map(|r| r.value).unwrap_or_default();
    let (specs, switched_off, depends_on, containers) = Default::default();
    let mut b = Builder { cx, specs, switched_off, seen: BTreeMap::new(), depends_on, containers };
    match raw.docker {
        Some(t) => b.docker(t, around),
        None if docker == Unwritten::Absent => {}
        None => b.unwritten_docker(around, docker == Unwritten::Discovered),
    }
    for (name, t) in in_order(raw.postgres) {
        let v = &t.value;
        let common = common(name, v.enabled.clone(), v.timeout.clone(), v.depends_on.clone(), v.container.clone());
        b.add(CheckKind::Postgres, common, || postgres(cx, t));
    }
    for (name, t) in in_order(raw.redis) {
        let v = &t.value;
        let common = common(name, v.enabled.clone(), v.timeout.clone(), v.depends_on.clone(), v.container.clone());
        b.add(CheckKind::Redis, common, || redis(cx, t));
    }
    for (name, t) in in_order(raw.http) {
        let v = &t.value;
        let common = common(name, v.enabled.clone(), v.timeout.clone(), v.depends_on.clone(), v.container.clone());
        b.add(CheckKind::Http, common, || http(cx, t));
    }
    for (name, t) in in_order(raw.tcp) {
        let v = &t.value;
        let common = common(name, v.enabled.clone(), v.timeout.clone(), v.depends_on.clone(), v.container.clone());
        b.add(CheckKind::Tcp, common, || tcp(cx, t));
    }
    for (name, t) in in_order(raw.command) {
        let v = &t.value;
        let common = common(name, v.enabled.clone(), v.timeout.clone(), v.depends_on.clone(), v.container.clone());
        b.add(CheckKind::Command, common, || command(cx, t));
    }
    b.host(raw.host);
    b.finish()
}

/// As they are written in the file, not by the alphabet.
fn in_order<T>(named: Named<T>) -> Vec<(At<String>, Table<T>)> {
    let mut list: Vec<_> = named.into_iter().collect();
    list.sort_by_key(|(name, _)| name.span.start);
    list
}

fn common(
    name: At<String>,
    enabled: Key<bool>,
    timeout: Key<Dur>,
    depends_on: Texts,
    container: Key<String>,
) -> Common {
    Common { name, enabled, timeout, depends_on, container }
}

impl Builder<'_> {
    /// Adds a check unless it is switched off: a check that is not run needs no secrets.
    fn add(&mut self, kind: CheckKind, common: Common, probe: impl FnOnce() -> Option<Probe>) {
        let (cx, name) = (self.cx, common.name);
        let reserved = ["docker", "host"].contains(&name.value.as_str()) && name.value != kind.word();
        if reserved {
            let help = "names are unique over all kinds of checks";
            cx.error_help(&name.span, format!("the name `{0}` belongs to the {0} check", name.value), help);
        } else if values::name(cx, &name)
            && let Some(first) = self.seen.insert(name.value.clone(), name.span.clone())
        {
            let help = format!("the first is at {}; names are unique over all kinds of checks", cx.place(&first));
            cx.error_help(&name.span, format!("a second check is called `{}`", name.value), help);
        }
        let timeout = values::positive(cx, common.timeout, default_timeout(kind));
        if common.enabled.is_some_and(|e| !e.value) {
            self.switched_off.push(name.value);
            return;
        }
        let probe = probe();
        self.depends_on.push((name.value.clone(), common.depends_on));
        // A check with an error in it is still there for those that refer to it.
        let probe = probe.unwrap_or(Probe::Tcp { address: String::new() });
        let container = common.container.filter(|c| values::name(cx, c));
        self.containers.extend(container.iter().map(|c| c.span.clone()));
        let container = container.map(|c| c.value);
        self.specs.push(CheckSpec { name: name.value, timeout, depends_on: Vec::new(), container, probe });
    }

    fn docker(&mut self, table: Table<RawDocker>, around: &Surroundings) {
        let (cx, raw, span) = (self.cx, table.value, table.span);
        let name = At { value: "docker".to_owned(), span };
        let common = common(name, raw.enabled, raw.timeout, raw.depends_on, None);
        let spoken =
            [&raw.tls_ca, &raw.tls_cert, &raw.tls_key].into_iter().flatten().next().map(|key| key.span.clone());
        let socket = raw.socket.map_or(around.docker_socket.clone(), |socket| {
            if !is_docker_socket(&socket.value) {
                cx.error(&socket.span, "this must be `unix:///path` or `tcp://host:port`");
            }
            socket.value
        });
        if let Some(span) = spoken.filter(|_| !socket.starts_with("tcp://")) {
            cx.error(&span, format!("TLS is for an engine at `tcp://host:port`, and `socket` is `{socket}`"));
        }
        let tls = docker_tls(cx, raw.tls_ca, raw.tls_cert, raw.tls_key);
        let include = raw.include.filter(|i| !i.value.is_empty()).map(|i| values::glob_set(cx, Some(i), false).1);
        let labels = raw.labels.map(|l| l.value).unwrap_or_default();
        for label in labels.iter().filter(|l| l.value.is_empty() || l.value.starts_with('=')) {
            cx.error(&label.span, "a label is `key` or `key=value`");
        }
        let probe = DockerProbe {
            socket,
            tls,
            include,
            labels: labels.into_iter().map(|l| l.value).collect(),
            cpu_percent: levels(cx, raw.cpu_percent, Levels::default(), 0.0..=f64::INFINITY, Worse::Above),
            memory_percent: levels(cx, raw.memory_percent, Levels::default(), 0.0..=100.0, Worse::Above),
            discovered: false,
        };
        self.add(CheckKind::Docker, common, || Some(Probe::Docker(probe)));
    }

    fn unwritten_docker(&mut self, around: &Surroundings, discovered: bool) {
        let probe = DockerProbe {
            socket: around.docker_socket.clone(),
            tls: None,
            include: None,
            labels: Vec::new(),
            cpu_percent: Levels::default(),
            memory_percent: Levels::default(),
            discovered,
        };
        let name = At { value: "docker".to_owned(), span: 0..0 };
        self.add(CheckKind::Docker, common(name, None, None, None, None), || Some(Probe::Docker(probe)));
    }

    fn host(&mut self, table: Section<RawHost>) {
        let cx = self.cx;
        let (raw, span) = table.map_or((RawHost::default(), 0..0), |t| (t.value, t.span));
        let name = At { value: "host".to_owned(), span };
        let common = common(name, raw.enabled, raw.timeout, raw.depends_on, None);
        let critical = |level| Levels { warning: None, critical: Some(level) };
        let probe = HostProbe {
            cpu_percent: levels(cx, raw.cpu_percent, critical(90.0), 0.0..=100.0, Worse::Above),
            memory_percent: levels(cx, raw.memory_percent, critical(90.0), 0.0..=100.0, Worse::Above),
            disk_percent: levels(cx, raw.disk_percent, critical(95.0), 0.0..=100.0, Worse::Above),
        };
        self.add(CheckKind::Host, common, || Some(Probe::Host(probe)));
    }

    /// Resolves the dependencies once every name is known.
    fn finish(self) -> Checks {
        let cx = self.cx;
        let mut checks = Checks { specs: self.specs, switched_off: self.switched_off };
        let mut edges: Vec<(String, At<String>)> = Vec::new();
        for (name, targets) in self.depends_on {
            for target in targets.map(|t| t.value).unwrap_or_default() {
                if checks.require(cx, &target) {
                    edges.push((name.clone(), target));
                }
            }
        }
        report_cycles(cx, &edges);
        let sees_containers = checks.specs.iter().any(|s| matches!(s.probe, Probe::Docker(_)));
        for span in self.containers.iter().filter(|_| !sees_containers) {
            let help = "take `enabled = false` out of [checks.docker], or this key out";
            cx.error_help(span, "there is no Docker check that would see this container", help);
        }
        for (name, target) in edges {
            if let Some(spec) = checks.specs.iter_mut().find(|s| s.name == name) {
                spec.depends_on.push(target.value);
            }
        }
        checks
    }
}

/// One error per cycle, at the edge that is written last in it.
fn report_cycles(cx: Cx<'_>, edges: &[(String, At<String>)]) {
    let mut told: Vec<Vec<String>> = Vec::new();
    for (from, target) in edges.iter().rev() {
        let Some(mut path) = way(edges, &target.value, from) else { continue };
        let mut members = path.clone();
        members.sort();
        if told.contains(&members) {
            continue;
        }
        told.push(members);
        path.insert(0, from.clone());
        cx.error(&target.span, format!("checks depend on each other in a circle: {}", path.join(" -> ")));
    }
}

/// A shortest way along the edges, both ends included.
fn way(edges: &[(String, At<String>)], from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = vec![from.to_owned()];
    let mut next = 0;
    while let Some(path) = ways.get(next).cloned() {
        next += 1;
        let end = path.last().cloned().unwrap_or_default();
        if end == to {
            return Some(path);
        }
        for (_, target) in edges.iter().filter(|(name, _)| *name == end) {
            if !seen.contains(&target.value) {
                seen.push(target.value.clone());
                ways.push(path.iter().cloned().chain([target.value.clone()]).collect());
            }
        }
    }
    None
}

fn docker_tls(cx: Cx<'_>, ca: Key<String>, certificate: Key<String>, key: Key<String>) -> Option<DockerTls> {
    let spoken = [&ca, &certificate, &key].into_iter().any(Option::is_some);
    if let (Some(one), None, name) | (None, Some(one), name) =
        (&certificate, &key, if key.is_none() { "tls_key" } else { "tls_cert" })
    {
        cx.error(&one.span, format!("a certificate and its key go together: `{name}` is missing"));
    }
    let ca = values::path(cx, ca);
    let identity = values::path(cx, certificate).zip(values::path(cx, key));
    let identity = identity.map(|(certificate, key)| TlsIdentity { certificate, key });
    spoken.then_some(DockerTls { ca, identity })
}

fn is_docker_socket(text: &str) -> bool {
    text.strip_prefix("unix://").is_some_and(|p| p.starts_with('/') && p.len() > 1)
        || text.strip_prefix("tcp://").is_some_and(is_address)
}

/// `host:port`.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let named = !host.is_empty() && !host.contains(|c: char| c == ':' || c == '/' || c == '@' || c.is_whitespace());
    (bracketed || named) && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
}

fn postgres(cx: Cx<'_>, Table { value: raw, span }: Table<RawPostgres>) -> Option<Probe> {
    let url = cx.required(&span, "url", raw.url).and_then(|u| values::url(cx, &u, &["postgres", "postgresql"]));
    let connections_percent = levels(cx, raw.connections_percent, Levels::default(), 0.0..=100.0, Worse::Above);
    let query_ms = levels(cx, raw.query_ms, Levels::default(), 0.0..=f64::INFINITY, Worse::Above);
    let mut queries: Vec<CountQuery> = Vec::new();
    for table in raw.queries {
        let span = table.span.clone();
        let Some(query) = count_query(cx, table) else { continue };
        if queries.iter().any(|q| q.name == query.name) {
            cx.error(&span, format!("a second query is called `{}`", query.name));
        }
        queries.push(query);
    }
    Some(Probe::Postgres(PostgresProbe { url: url?, connections_percent, query_ms, queries }))
}

fn count_query(cx: Cx<'_>, Table { value: raw, span }: Table<RawQuery>) -> Option<CountQuery> {
    let name = cx.required(&span, "name", raw.name).filter(|n| values::name(cx, n));
    let sql = cx.required(&span, "sql", raw.sql);
    if let Some(sql) = sql.as_ref().filter(|s| s.value.trim().is_empty()) {
        cx.error(&sql.span, "`sql` is empty");
    }
    crossing(cx, raw.warning_below.as_ref(), raw.critical_below.as_ref(), Worse::Below);
    crossing(cx, raw.warning_above.as_ref(), raw.critical_above.as_ref(), Worse::Above);
    let below = [("warning_below", &raw.warning_below), ("critical_below", &raw.critical_below)];
    let above = [("warning_above", &raw.warning_above), ("critical_above", &raw.critical_above)];
    let mut given = 0;
    for (key, level) in below.into_iter().chain(above) {
        given += usize::from(level.is_some() || cx.was_removed(&span, key));
        values::finite(cx, level, key);
    }
    if given == 0 {
        cx.error(
            &span,
            "a query needs a level: `warning_below`, `critical_below`, `warning_above` or `critical_above`",
        );
    }
    let value = |v: Key<f64>| v.map(|v| v.value);
    Some(CountQuery {
        name: name?.value,
        sql: sql?.value,
        warning_below: value(raw.warning_below),
        critical_below: value(raw.critical_below),
        warning_above: value(raw.warning_above),
        critical_above: value(raw.critical_above),
    })
}

fn redis(cx: Cx<'_>, Table { value: raw, span }: Table<RawRedis>) -> Option<Probe> {
    let url = cx.required(&span, "url", raw.url).and_then(|u| values::url(cx, &u, &["redis", "rediss"]));
    let memory_percent = levels(cx, raw.memory_percent, Levels::default(), 0.0..=100.0, Worse::Above);
    let queue = |Table { value: raw, span }: Table<RawQueue>| {
        let key = cx.required(&span, "key", raw.key);
        let written = RawLevels { warning: raw.warning, critical: raw.critical };
        let written = Some(Table { value: written, span });
        let length = levels(cx, written, Levels::default(), 0.0..=f64::INFINITY, Worse::Above);
        Some(QueueProbe { key: key?.value, length })
    };
    let queues = raw.queues.into_iter().filter_map(queue).collect();
    Some(Probe::Redis(RedisProbe { url: url?, memory_percent, queues }))
}

fn http(cx: Cx<'_>, Table { value: raw, span }: Table<RawHttp>) -> Option<Probe> {
    let url = cx.required(&span, "url", raw.url).and_then(|u| values::url(cx, &u, &["http", "https"]));
    let method = raw.method.map_or_else(
        || "GET".to_owned(),
        |m| {
            if !["GET", "HEAD", "POST", "PUT", "OPTIONS"].contains(&m.value.as_str()) {
                cx.error(&m.span, "`method` must be GET, HEAD, POST, PUT or OPTIONS");
            }
            m.value
        },
    );
    let statuses = raw.expect_status.map_or(vec![200], |list| {
        if list.value.is_empty() && !cx.was_removed(&list.span, "") {
            cx.error(&list.span, "`expect_status` is empty: no answer would be right");
        }
        list.value.iter().filter_map(|s| status_code(cx, s)).collect()
    });
    let slow = Levels { warning: Some(5000.0), critical: None };
    let latency_ms = values::latency(cx, raw.latency, slow);
    let days = 0.0..=f64::INFINITY;
    let certificate_days = levels(cx, raw.certificate_days, Levels::default(), days, Worse::Below);
    let headers = headers(cx, raw.headers);
    let expect_body = raw.expect_body.map(|b| b.value);
    Some(Probe::Http(HttpProbe {
        url: url?,
        method,
        headers,
        expect_status: statuses,
        expect_body,
        latency_ms,
        certificate_days,
    }))
}

fn status_code(cx: Cx<'_>, status: &At<i64>) -> Option<u16> {
    let code = u16::try_from(status.value).ok().filter(|c| (100..600).contains(c));
    if code.is_none() {
        cx.error(&status.span, "an HTTP status is from 100 to 599");
    }
    code
}

/// Headers, their references resolved.
pub fn headers(cx: Cx<'_>, raw: BTreeMap<At<String>, At<String>>) -> Vec<(String, Secret)> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let mut headers = Vec::new();
    for (name, value) in raw {
        if name.value.is_empty() || !name.value.chars().all(token) {
            cx.error(&name.span, "this is no name of an HTTP header");
        }
        let Some(secret) = cx.expand(&value) else { continue };
        if secret.reveal().contains(char::is_control) {
            cx.error(&value.span, "a header must not hold control characters");
        }
        if crate::config::mask::is_secret_key(&name.value) {
            cx.hide([secret.reveal().to_owned()]);
            // `Bearer abc`: the token alone is a secret too.
            cx.hide(secret.reveal().split_once(' ').map(|(_, token)| token.to_owned()));
        }
        headers.push((name.value, secret));
    }
    headers
}

fn tcp(cx: Cx<'_>, Table { value: raw, span }: Table<RawTcp>) -> Option<Probe> {
    let address = cx.required(&span, "address", raw.address)?;
    if !is_address(&address.value) {
        cx.error(&address.span, "this must be `host:port`, with an IPv6 address in brackets");
        return None;
    }
    Some(Probe::Tcp { address: address.value })
}

fn command(cx: Cx<'_>, Table { value: raw, span }: Table<RawCommand>) -> Option<Probe> {
    let argv = values::argv(cx, cx.required(&span, "command", raw.command)?)?;
    Some(Probe::Command { argv })
}
