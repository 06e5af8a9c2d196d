//! Where to listen: the socket that systemd hands over, else the configured address.

use anyhow::{Context, Result, bail};
use listenfd::ListenFd;
use std::net::{SocketAddr, TcpListener};

/// The listening socket, not blocking.
///
/// # Errors
/// When the address is taken or may not be used, or what was handed over is no such socket.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let mut handed = ListenFd::from_env();
    let listener = match handed.len() {
        0 => TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address}: another port can be set with --listen"))?,
        1 => handed.take_tcp_listener(0).context("what systemd handed over is no TCP socket")?.context("no socket")?,
        n => bail!("systemd handed over {n} sockets, and one is needed"),
    };
    listener.set_nonblocking(true).context("cannot use the socket")?;
    Ok(listener)
}
