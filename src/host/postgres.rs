//! A connection to a PostgreSQL server, by a URL with libpq's meaning. May not live here: what is asked there.

use super::tls::{PostgresTls, Roots, Trust};
use anyhow::{Result, anyhow};
use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};
use std::time::Duration;

/// A read-only session in which no statement outlives the check by much. A server that accepts and then says nothing is
/// not bounded by this: the handshake has no time-out of its own.
pub fn connect(url: &str, left: Duration) -> Result<Client> {
    let (mut config, trust) = read_url(url)?;
    // The kernel and the server count whole milliseconds, and keepalives whole seconds; 0 would mean 'without end'.
    let left = left.max(Duration::from_millis(1));
    let ours = format!("-c statement_timeout={} -c default_transaction_read_only=on", left.as_millis());
    let options = config.get_options().map_or(ours.clone(), |theirs| format!("{theirs} {ours}"));
    let connect_timeout = config.get_connect_timeout().map_or(left, |theirs| left.min(*theirs));
    config.options(&options).application_name("healer").connect_timeout(connect_timeout).tcp_user_timeout(left);
    // A peer that is gone ends what was left behind.
    let second = Duration::from_secs(1);
    config.keepalives(true).keepalives_idle(left.max(second)).keepalives_interval(second).keepalives_retries(3);
    let client = if config.get_ssl_mode() == SslMode::Disable || !config.get_hosts().iter().any(is_tcp) {
        config.connect(NoTls)?
    } else {
        config.connect(PostgresTls::new(&trust)?)?
    };
    Ok(client)
}

fn is_tcp(host: &Host) -> bool {
    matches!(host, Host::Tcp(_))
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

/// The innermost reason; the outer ones say only 'db error' and the like.
pub fn words(error: &anyhow::Error) -> String {
    if let Some(db) = error.downcast_ref::<postgres::Error>().and_then(|e| e.as_db_error()) {
        return db.message().to_owned();
    }
    error.root_cause().to_string()
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
}
