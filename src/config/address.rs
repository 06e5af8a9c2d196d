//! Which port of this host a check looks at: what ties it to the container that publishes that port. May not live here:
//! resolving names.

use crate::config::Probe;
use std::net::IpAddr;

impl Probe {
    /// The port, where the address is one of this host itself.
    pub fn local_port(&self) -> Option<u16> {
        match self {
            Probe::Postgres(p) => of_url(p.url.reveal(), 5432),
            Probe::Redis(p) => of_url(p.url.reveal(), 6379),
            Probe::Http(p) => of_url(p.url.reveal(), if p.url.reveal().starts_with("https:") { 443 } else { 80 }),
            Probe::Tcp { address } => of_authority(address, None),
            Probe::Docker(_) | Probe::Command { .. } | Probe::Host(_) => None,
        }
    }
}

fn of_url(url: &str, default: u16) -> Option<u16> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    of_authority(authority.rsplit('@').next()?, Some(default))
}

fn of_authority(text: &str, default: Option<u16>) -> Option<u16> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':')))?,
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.filter(|p| !p.is_empty()).map_or(default, |p| p.parse().ok());
    port.filter(|_| is_local(host))
}

fn is_local(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback() || a.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_of_this_host_has_a_local_port() {
        let check = |url: &str, default: u16, port: Option<u16>| assert_eq!(of_url(url, default), port, "{url}");
        check("postgres://u:p%40@127.0.0.1/shop", 5432, Some(5432));
        check("postgres://u:p@localhost:6000/shop?x=y", 5432, Some(6000));
        check("http://[::1]:8000/health", 80, Some(8000));
        check("https://[::1]/", 443, Some(443));
        check("redis://0.0.0.0:6379", 6379, Some(6379));
        check("http://api.example.org:8000/", 80, None);
        check("http://192.0.2.1/", 80, None);
        check("http://127.0.0.1:99999/", 80, None);
        let tcp = |address: &str, port: Option<u16>| {
            assert_eq!(Probe::Tcp { address: address.into() }.local_port(), port, "{address}");
        };
        tcp("127.0.0.1:25", Some(25));
        tcp("[::1]:25", Some(25));
        tcp("mail:25", None);
    }
}
