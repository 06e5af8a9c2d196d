//! A connection to a PostgreSQL server, by a URL with libpq's meaning. May not live here: what is asked there.

use super::tls::{PostgresTls, Roots, Trust};
use anyhow::{Result, anyhow};
use postgres::config::{Host, SslMode};
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};
use std::net::IpAddr;
use std::time::Duration;

/// A session, and how it came about.
pub struct Connected {
    pub client: Client,
    /// A session without TLS was asked for first, and the server takes none.
    pub only_tls: bool,
}

/// How a connection is protected.
#[derive(Debug, PartialEq, Eq)]
enum Protection {
    /// The URL does not say.
    Unsaid,
    Said(SslMode, Trust),
}

/// A read-only session in which no statement outlives the check by much. A server that accepts and then says nothing is
/// not bounded by this: the handshake has no time-out of its own.
///
/// On this host's loopback TLS protects nobody and is a good part of what a check costs both sides: there, unless the URL
/// names a mode, it is used only with a server that takes nothing else.
pub fn connect(url: &str, left: Duration) -> Result<Connected> {
    let (mut config, protection) = read_url(url)?;
    // The kernel and the server count whole milliseconds, and keepalives whole seconds; 0 would mean 'without end'.
    let left = left.max(Duration::from_millis(1));
    let ours = format!("-c statement_timeout={} -c default_transaction_read_only=on", left.as_millis());
    let options = config.get_options().map_or(ours.clone(), |theirs| format!("{theirs} {ours}"));
    let connect_timeout = config.get_connect_timeout().map_or(left, |theirs| left.min(*theirs));
    config.options(&options).application_name("healer").connect_timeout(connect_timeout).tcp_user_timeout(left);
    // A peer that is gone ends what was left behind.
    let second = Duration::from_secs(1);
    config.keepalives(true).keepalives_idle(left.max(second)).keepalives_interval(second).keepalives_retries(3);
    match protection {
        Protection::Said(mode, trust) => {
            open(&mut config, mode, &trust).map(|client| Connected { client, only_tls: false })
        }
        Protection::Unsaid if is_on_loopback(&config) => match config.ssl_mode(SslMode::Disable).connect(NoTls) {
            Err(error) if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                let client = open(&mut config, SslMode::Require, &Trust::Nobody)?;
                Ok(Connected { client, only_tls: true })
            }
            tried => Ok(Connected { client: tried?, only_tls: false }),
        },
        Protection::Unsaid => {
            let client = open(&mut config, SslMode::Prefer, &Trust::Nobody)?;
            Ok(Connected { client, only_tls: false })
        }
    }
}

fn open(config: &mut Config, mode: SslMode, trust: &Trust) -> Result<Client> {
    config.ssl_mode(mode);
    let is_tcp = |host: &Host| matches!(host, Host::Tcp(_));
    if mode == SslMode::Disable || !config.get_hosts().iter().any(is_tcp) {
        return Ok(config.connect(NoTls)?);
    }
    Ok(config.connect(PostgresTls::new(trust)?)?)
}

fn is_on_loopback(config: &Config) -> bool {
    let by_name = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(by_name) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Reads a URL with libpq's meaning of `sslmode` and `sslrootcert`, of which the client knows only three modes and no
/// file: `require` believes any certificate unless a root file is given, `verify-ca` looks at its chain, `verify-full`
/// at its name too.
fn read_url(url: &str) -> Result<(Config, Protection)> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut mode = "";
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
    let protection = match (mode, file) {
        ("", _) => Protection::Unsaid,
        ("disable", _) => Protection::Said(SslMode::Disable, Trust::Nobody),
        ("allow" | "prefer", _) => Protection::Said(SslMode::Prefer, Trust::Nobody),
        ("require", None) => Protection::Said(SslMode::Require, Trust::Nobody),
        ("require", Some(file)) => Protection::Said(SslMode::Require, Trust::ChainOnly(file)),
        ("verify-ca", file) => Protection::Said(SslMode::Require, Trust::ChainOnly(file.unwrap_or(Roots::Native))),
        ("verify-full", file) => Protection::Said(SslMode::Require, Trust::Full(file.unwrap_or(Roots::Native))),
        (other, _) => return Err(anyhow!("unknown sslmode `{other}` in the URL")),
    };
    let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    // The client's own words may repeat part of the URL.
    let config: Config = url.parse().map_err(|_| anyhow!("the URL is no PostgreSQL URL"))?;
    Ok((config, protection))
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
    fn only_addresses_of_this_host_itself_are_on_its_loopback() {
        let check = |authority: &str, expected: bool| {
            let (config, _) = read_url(&format!("postgres://u:p@{authority}/d")).unwrap();
            assert_eq!(is_on_loopback(&config), expected, "{authority}");
        };
        check("localhost:5432", true);
        check("127.0.0.1", true);
        check("127.8.9.1:1", true);
        check("[::1]", true);
        check("192.0.2.1", false);
        check("localhost.example", false);
        check("127.0.0.1,db.example", false);
    }

    #[test]
    fn ssl_modes_mean_what_they_mean_in_libpq() {
        use Protection::{Said, Unsaid};
        let file = || Roots::File("/a b.pem".into());
        let cases = [
            ("", Unsaid),
            ("?connect_timeout=3", Unsaid),
            ("?sslmode=prefer", Said(SslMode::Prefer, Trust::Nobody)),
            ("?sslmode=disable", Said(SslMode::Disable, Trust::Nobody)),
            ("?sslmode=require", Said(SslMode::Require, Trust::Nobody)),
            ("?sslmode=require&sslrootcert=/a%20b.pem", Said(SslMode::Require, Trust::ChainOnly(file()))),
            ("?sslmode=verify-ca", Said(SslMode::Require, Trust::ChainOnly(Roots::Native))),
            ("?connect_timeout=3&sslmode=verify-full", Said(SslMode::Require, Trust::Full(Roots::Native))),
            ("?sslmode=verify-full&sslrootcert=system", Said(SslMode::Require, Trust::Full(Roots::Native))),
            ("?sslrootcert=/a%20b.pem&sslmode=verify-full", Said(SslMode::Require, Trust::Full(file()))),
        ];
        for (query, protection) in cases {
            let (_, found) = read_url(&format!("postgres://u:p@h/d{query}")).unwrap();
            assert_eq!(found, protection, "{query}");
        }
        let error = read_url("postgres://u:hunter2@h/d?sslmode=maybe").unwrap_err().to_string();
        assert!(error.contains("maybe") && !error.contains("hunter2"));
        let error = read_url("postgres://u:hunter2@h:port/d").unwrap_err().to_string();
        assert!(!error.contains("hunter2"));
    }
}
