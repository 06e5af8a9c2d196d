//! The systemd journal, by its native protocol: one datagram of `FIELD=value` lines. Where there is no journal, nothing
//! is lost: the same text goes to stderr.

use crate::alert::Alert;
use std::os::unix::net::UnixDatagram;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Tells the journal, if there is one.
pub fn tell(alert: &Alert) {
    let Ok(socket) = UnixDatagram::unbound() else { return };
    // A journal that is not there or is full must not hold up a pass.
    let _ = socket.set_nonblocking(true);
    let _ = socket.send_to(&datagram(alert), SOCKET);
}

/// Format: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>. A value with a newline goes with its length in front.
fn datagram(alert: &Alert) -> Vec<u8> {
    let mut out = Vec::new();
    let mut field = |name: &str, value: &str| {
        out.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            out.push(b'\n');
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    };
    field("MESSAGE", &alert.text());
    field("PRIORITY", &alert.kind.priority().to_string());
    field("SYSLOG_IDENTIFIER", "healer");
    field("HEALER_KIND", alert.kind.word());
    field("HEALER_COMPONENT", &alert.component);
    if let Some(incident) = &alert.incident {
        field("HEALER_INCIDENT", incident);
    }
    out
}
