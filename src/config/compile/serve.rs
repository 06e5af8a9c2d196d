//! `[serve]`. May not live here: sockets.

use super::context::Cx;
use crate::config::at::At;
use crate::config::raw::{RawServe, Section};
use crate::config::{Serve, serve};
use std::net::SocketAddr;

/// The section as written over its defaults.
pub fn serve(cx: Cx<'_>, raw: Section<RawServe>) -> Serve {
    let raw = raw.map(|r| r.value).unwrap_or_default();
    let default = Serve::default();
    let hosts = raw.hosts.map(|list| list.value).unwrap_or_default();
    Serve {
        listen: raw.listen.and_then(|l| address(cx, &l)).unwrap_or(default.listen),
        token: raw.token.map(|token| {
            let secret = cx.expand_later(&token)?;
            if let Err(why) = serve::check_token(secret.reveal()) {
                cx.error(&token.span, why);
            }
            Ok(secret)
        }),
        hosts: hosts.into_iter().filter_map(|host| name(cx, host)).collect(),
    }
}

fn address(cx: Cx<'_>, text: &At<String>) -> Option<SocketAddr> {
    let parsed = text.value.parse().ok();
    if parsed.is_none() {
        let help = "write an address and a port: `127.0.0.1:8787`, `[::1]:8787`";
        cx.error_help(&text.span, "this is no address to listen on", help);
    }
    parsed
}

fn name(cx: Cx<'_>, host: At<String>) -> Option<String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if host.value.is_empty() || !host.value.chars().all(sound) {
        cx.error_help(&host.span, "this is no name of a host", "write it without scheme, port and path");
        return None;
    }
    Some(host.value.to_ascii_lowercase())
}
