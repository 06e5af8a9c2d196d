//! Who is told of alerts, against the addresses that the installed unit lets passes reach.

use super::systemd;
use crate::config::{ConfigError, Document, Engine, Place};
use std::net::{IpAddr, ToSocketAddrs};

/// Receivers of alerts that the sandbox of healer.service keeps passes from.
pub fn review(engine: &Engine, document: &Document) -> Vec<ConfigError> {
    let receivers = receivers(engine, document);
    if receivers.is_empty() {
        return Vec::new();
    }
    let Some(said) = systemd::show("healer.service", &["LoadState", "IPAddressDeny", "IPAddressAllow"]) else {
        return Vec::new();
    };
    let value = |key: &str| said.iter().find(|(k, _)| k == key).map_or("", |(_, value)| value.as_str());
    let (deny, allow) = (networks(value("IPAddressDeny")), networks(value("IPAddressAllow")));
    let is_in = |networks: &[Network], address: IpAddr| networks.iter().any(|network| holds(*network, address));
    let is_denied = |address: &IpAddr| is_in(&deny, *address) && !is_in(&allow, *address);
    receivers
        .into_iter()
        .filter_map(|(what, host, place)| Some((what, addresses(&host).into_iter().find(is_denied)?, host, place)))
        .map(|(what, address, host, place)| {
            let message = format!("healer.service may not reach {host}: {what}");
            let help = format!("`systemctl edit healer.service`: under [Service] write IPAddressAllow={address}");
            place.problem(&message, &help)
        })
        .collect()
}

/// Each with its host.
fn receivers<'d>(engine: &Engine, document: &'d Document) -> Vec<(&'static str, String, Place<'d>)> {
    let alerts = document.root().child("alerts");
    let mut found = Vec::new();
    for (number, webhook) in engine.alerts.webhooks.iter().enumerate() {
        let place = alerts.child("webhook").item(number).child("url");
        found.extend(host(webhook.url.reveal()).map(|host| ("this receiver will not be told", host, place)));
    }
    let smtp = engine.alerts.email.iter().map(|email| email.smtp.host.clone());
    found.extend(smtp.map(|host| ("no mail will be sent", host, alerts.child("email").child("smtp"))));
    let heartbeat = engine.alerts.heartbeat.iter().filter_map(|url| host(url.reveal()));
    found.extend(heartbeat.map(|host| ("the heartbeat will not be called", host, alerts.child("heartbeat"))));
    found
}

fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, _)| host.to_owned()),
        None => authority.split(':').next().map(str::to_owned),
    }
}

/// None where the name is not known here: whoever is told tries it again.
fn addresses(host: &str) -> Vec<IpAddr> {
    match host.parse() {
        Ok(address) => vec![address],
        Err(_) => (host, 0).to_socket_addrs().map(|all| all.map(|a| a.ip()).collect()).unwrap_or_default(),
    }
}

/// An address and how many of its first bits count.
type Network = (IpAddr, u32);

/// As `systemctl show` prints them: `127.0.0.0/8 ::1/128`.
fn networks(value: &str) -> Vec<Network> {
    let network = |word: &str| {
        let (address, bits) = word.split_once('/')?;
        Some((address.parse().ok()?, bits.parse().ok()?))
    };
    value.split_whitespace().filter_map(network).collect()
}

fn holds((network, bits): Network, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(32_u32.saturating_sub(bits)).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(128_u32.saturating_sub(bits)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_taken_out_of_it() {
        let check = |url: &str, expected: Option<&str>| assert_eq!(host(url).as_deref(), expected, "{url}");
        check("https://hooks.example.org/a/b", Some("hooks.example.org"));
        check("http://me:hunter2@203.0.113.7:8080?x=@y", Some("203.0.113.7"));
        check("https://[2001:db8::1]:8443/", Some("2001:db8::1"));
        check("example.org", None);
    }

    #[test]
    fn an_address_is_in_a_network_whose_first_bits_it_has() {
        let check = |network: &str, address: &str, expected: bool| {
            let held = networks(network).iter().any(|network| holds(*network, address.parse().unwrap()));
            assert_eq!(held, expected, "{network} {address}");
        };
        check("127.0.0.0/8 ::1/128", "127.9.0.1", true);
        check("127.0.0.0/8 ::1/128", "::1", true);
        check("127.0.0.0/8 ::1/128", "::2", false);
        check("172.16.0.0/12", "172.31.255.1", true);
        check("172.16.0.0/12", "172.32.0.1", false);
        check("0.0.0.0/0 ::/0", "203.0.113.7", true);
        check("0.0.0.0/0 ::/0", "2001:db8::1", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("203.0.113.7/32", "203.0.113.7", true);
        check("203.0.113.7/32", "203.0.113.6", false);
        check("", "203.0.113.7", false);
        check("any", "203.0.113.7", false);
    }
}
