//! Where to listen: the socket that systemd hands over, else the configured address.

use anyhow::{Context, Result, bail};
use listenfd::ListenFd;
use std::net::{SocketAddr, TcpListener};

/// Connections that wait to be accepted; the kernel's own limit goes before it.
const BACKLOG: i32 = 4_096;

/// The listening socket, not blocking.
///
/// # Errors
/// When the address is taken or may not be used, or what was handed over is no such socket.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let mut handed = ListenFd::from_env();
    let listener = match handed.len() {
        0 => {
            let listener = TcpListener::bind(address)
                .with_context(|| format!("cannot listen on {address}: another port can be set with --listen"))?;
            // A burst that does not fit is dropped by the kernel, and costs whoever is in it a second.
            rustix::net::listen(&listener, BACKLOG).context("cannot use the socket")?;
            listener
        }
        1 => handed.take_tcp_listener(0).context("what systemd handed over is no TCP socket")?.context("no socket")?,
        n => bail!("systemd handed over {n} sockets, and one is needed"),
    };
    listener.set_nonblocking(true).context("cannot use the socket")?;
    Ok(listener)
}
