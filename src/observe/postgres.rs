//! PostgreSQL: does it answer, how fast, how many connections are left, what the operator's own queries count.

use super::{Check, Moment, Seen, grade, high, metric, milliseconds, verdict};
use crate::config::{CountQuery, Levels, PostgresProbe};
use crate::host::http::shown_url;
use crate::host::tls::{PostgresTls, Roots, Trust, client_config};
use crate::model::{Metric, Status, Unit};
use anyhow::{Result, anyhow};
use std::time::{Duration, Instant};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

pub(super) struct PostgresCheck(pub PostgresProbe);

impl Check for PostgresCheck {
    fn target(&self) -> String {
        shown_url(self.0.url.reveal())
    }

    fn look(&self, moment: &Moment) -> Option<Seen> {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
            Ok(runtime) => runtime,
            Err(e) => return Some(Seen::new(Status::Unknown, format!("cannot start a runtime: {e}"), None)),
        };
        let seen = runtime.block_on(async {
            match tokio::time::timeout(moment.left(), self.ask(moment)).await {
                Ok(Ok(seen)) => seen,
                Ok(Err(e)) => self.explain(&e),
                Err(_) => moment.silent(&self.target()),
            }
        });
        // A name that is still being resolved must not hold us.
        runtime.shutdown_background();
        Some(seen)
    }
}

/// Connections in use by clients, and how many there may be without the reserved ones. A user without `pg_monitor`
/// does not see the kind of other users' backends, but that they have a user and a database.
const CONNECTIONS: &str = "select (select count(*) from pg_stat_activity \
       where coalesce(backend_type = 'client backend', usesysid is not null and datid is not null)), \
     current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int \
     - coalesce(current_setting('reserved_connections', true), '0')::int";

impl PostgresCheck {
    async fn ask(&self, moment: &Moment) -> Result<Seen> {
        let client = connect(self.0.url.reveal(), moment.timeout).await?;
        let start = Instant::now();
        number(&client, "select 1").await?;
        let latency = milliseconds(start.elapsed());
        let mut metrics = vec![metric("latency_ms", latency, Unit::Milliseconds, self.0.query_ms)];
        let mut parts = vec![(high(latency, self.0.query_ms), format!("a trivial query took {latency:.0} ms"))];

        let row = first_row(&client, CONNECTIONS).await?;
        if let [Some(used), Some(most)] = row.as_slice()
            && *most > 0.0
        {
            let percent = used * 100.0 / most;
            parts.push((
                high(percent, self.0.connections_percent),
                format!("{used:.0} of {most:.0} connections used ({percent:.0} %)"),
            ));
            metrics.push(Metric::new("connections", *used, Unit::Count));
            metrics.push(metric("connections_percent", percent, Unit::Percent, self.0.connections_percent));
        }
        for query in &self.0.queries {
            match number(&client, &query.sql).await {
                Ok(count) => {
                    parts.push(judge_count(query, count));
                    metrics.push(count_metric(query, count));
                }
                Err(e) => parts.push((Status::Unknown, format!("query {} failed: {}", query.name, words(&e)))),
            }
        }
        let (status, message) = verdict(parts, format!("answers in {latency:.1} ms"));
        Ok(Seen { metrics, ..Seen::new(status, message, Some(true)) })
    }

    fn explain(&self, error: &anyhow::Error) -> Seen {
        let target = self.target();
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            if let Some(db) = error.as_db_error() {
                return Seen::new(Status::Critical, format!("{} at {target}", db.message()), Some(true));
            }
            if io_kind(error) == Some(std::io::ErrorKind::ConnectionRefused) {
                return Seen::down(format!("connection refused at {target}"));
            }
        }
        Seen::down(format!("cannot talk to {target}: {}", words(error)))
    }
}

/// A read-only session in which no statement outlives the check by much.
async fn connect(url: &str, timeout: Duration) -> Result<Client> {
    let (mut config, trust) = read_url(url)?;
    let ours = format!("-c statement_timeout={} -c default_transaction_read_only=on", timeout.as_millis().max(1));
    let options = config.get_options().map_or(ours.clone(), |theirs| format!("{theirs} {ours}"));
    config.options(options).application_name("healer");
    let client = if config.get_ssl_mode() == SslMode::Disable || !config.get_hosts().iter().any(is_tcp) {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        client
    } else {
        let (client, connection) = config.connect(PostgresTls(client_config(&trust)?)).await?;
        tokio::spawn(connection);
        client
    };
    Ok(client)
}

fn is_tcp(host: &tokio_postgres::config::Host) -> bool {
    matches!(host, tokio_postgres::config::Host::Tcp(_))
}

/// Reads a URL with libpq's meaning of `sslmode` and `sslrootcert`, of which the client knows only three modes and no
/// file: `require` believes any certificate unless a root file is given, `verify-ca` looks at its chain, `verify-full`
/// at its name too.
fn read_url(url: &str) -> Result<(Config, Trust)> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut mode = "prefer";
    let mut roots = None;
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = value,
            Some(("sslrootcert", value)) => roots = Some(decoded(value)),
            _ => rest.push(pair),
        }
    }
    let file = roots.filter(|r| r != "system").map(|path| Roots::File(path.into()));
    let (ssl_mode, trust) = match (mode, file) {
        ("disable", _) => (SslMode::Disable, Trust::Nobody),
        ("allow" | "prefer", _) => (SslMode::Prefer, Trust::Nobody),
        ("require", None) => (SslMode::Require, Trust::Nobody),
        ("require", Some(file)) => (SslMode::Require, Trust::ChainOnly(file)),
        ("verify-ca", file) => (SslMode::Require, Trust::ChainOnly(file.unwrap_or(Roots::Native))),
        ("verify-full", file) => (SslMode::Require, Trust::Full(file.unwrap_or(Roots::Native))),
        (other, _) => return Err(anyhow!("unknown sslmode `{other}` in the URL")),
    };
    let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    // The client's own words may repeat part of the URL.
    let mut config: Config = url.parse().map_err(|_| anyhow!("the URL is no PostgreSQL URL"))?;
    config.ssl_mode(ssl_mode);
    Ok((config, trust))
}

/// A value of a query string with its `%xx` undone.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let digits = rest.clone().take(2).map(|b| char::from(b).to_digit(16)).collect::<Option<Vec<_>>>();
        match (byte, digits.as_deref()) {
            (b'%', Some(&[high, low])) => {
                bytes.push((high * 16 + low) as u8);
                rest.nth(1);
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The columns of the first row as numbers; whatever their type, their text is read.
async fn first_row(client: &Client, sql: &str) -> Result<Vec<Option<f64>>> {
    // The simple protocol gives text, so that counts, sums and averages need no type of their own here.
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            return Ok((0..row.len()).map(|i| row.try_get(i).ok().flatten().and_then(|t| t.parse().ok())).collect());
        }
    }
    Err(anyhow!("it returns no row"))
}

async fn number(client: &Client, sql: &str) -> Result<f64> {
    first_row(client, sql).await?.first().copied().flatten().ok_or_else(|| anyhow!("it returns no number"))
}

fn judge_count(query: &CountQuery, count: f64) -> (Status, String) {
    let above = Levels { warning: query.warning_above, critical: query.critical_above };
    let below = Levels { warning: query.warning_below, critical: query.critical_below };
    let too_high = grade(above, |level| count > level);
    let too_low = grade(below, |level| count < level);
    let status = too_high.max(too_low);
    let (levels, side) = if too_high > too_low { (above, "above") } else { (below, "below") };
    let level = if status == Status::Critical { levels.critical } else { levels.warning };
    let words = match level {
        Some(level) => format!("query {} returns {count}, {side} {level}", query.name),
        None => format!("query {} returns {count}", query.name),
    };
    (status, words)
}

fn count_metric(query: &CountQuery, count: f64) -> Metric {
    Metric {
        warning: query.warning_above.or(query.warning_below),
        critical: query.critical_above.or(query.critical_below),
        ..Metric::new(format!("query_{}", query.name), count, Unit::Count)
    }
}

/// The innermost reason; the outer ones say only 'db error' and the like.
fn words(error: &anyhow::Error) -> String {
    if let Some(db) = error.downcast_ref::<tokio_postgres::Error>().and_then(|e| e.as_db_error()) {
        return db.message().to_owned();
    }
    error.root_cause().to_string()
}

fn io_kind(error: &tokio_postgres::Error) -> Option<std::io::ErrorKind> {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        at = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssl_modes_mean_what_they_mean_in_libpq() {
        let file = || Roots::File("/a b.pem".into());
        let cases = [
            ("", SslMode::Prefer, Trust::Nobody),
            ("?sslmode=disable", SslMode::Disable, Trust::Nobody),
            ("?sslmode=require", SslMode::Require, Trust::Nobody),
            ("?sslmode=require&sslrootcert=/a%20b.pem", SslMode::Require, Trust::ChainOnly(file())),
            ("?sslmode=verify-ca", SslMode::Require, Trust::ChainOnly(Roots::Native)),
            ("?connect_timeout=3&sslmode=verify-full", SslMode::Require, Trust::Full(Roots::Native)),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require, Trust::Full(Roots::Native)),
            ("?sslrootcert=/a%20b.pem&sslmode=verify-full", SslMode::Require, Trust::Full(file())),
        ];
        for (query, mode, trust) in cases {
            let (config, found) = read_url(&format!("postgres://u:p@h/d{query}")).unwrap();
            assert_eq!((config.get_ssl_mode(), found), (mode, trust), "{query}");
        }
        let error = read_url("postgres://u:hunter2@h/d?sslmode=maybe").unwrap_err().to_string();
        assert!(error.contains("maybe") && !error.contains("hunter2"));
        let error = read_url("postgres://u:hunter2@h:port/d").unwrap_err().to_string();
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn counts_are_held_against_both_sides() {
        let query = CountQuery {
            name: "n".into(),
            sql: String::new(),
            warning_below: Some(10.0),
            critical_below: Some(5.0),
            warning_above: Some(100.0),
            critical_above: None,
        };
        for (count, status, words) in [
            (50.0, Status::Healthy, "query n returns 50"),
            (10.0, Status::Healthy, "query n returns 10"),
            (9.0, Status::Warning, "query n returns 9, below 10"),
            (4.0, Status::Critical, "query n returns 4, below 5"),
            (100.5, Status::Warning, "query n returns 100.5, above 100"),
        ] {
            let (found, said) = judge_count(&query, count);
            assert_eq!(found, status, "{count}");
            assert!(status == Status::Healthy || said == words, "{said}");
        }
    }
}
