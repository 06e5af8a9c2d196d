//! `[serve]`: where the API and the dashboard listen, who may use them.

use crate::config::Secret;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A shorter token can be guessed.
pub const SHORTEST_TOKEN: usize = 32;

/// The section, sound.
#[derive(Debug, Clone)]
pub struct Serve {
    pub listen: SocketAddr,
    /// `None`: no token is set. Only `serve` needs it, so that it cannot be had is told there alone.
    pub token: Option<Result<Secret, String>>,
    /// Names under which it is reached, beside those of this host's loopback and of `listen`.
    pub hosts: Vec<String>,
}

impl Default for Serve {
    fn default() -> Self {
        Serve { listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787), token: None, hosts: Vec::new() }
    }
}

/// Whether this may be a token: long enough, and of characters that a header carries.
///
/// # Errors
/// Why not.
pub fn check_token(token: &str) -> Result<(), String> {
    if token.len() < SHORTEST_TOKEN {
        return Err(format!(
            "a token of under {SHORTEST_TOKEN} characters can be guessed: `openssl rand -hex 32` makes one"
        ));
    }
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a token must be of printable ASCII characters without spaces".to_owned());
    }
    Ok(())
}
