//! The systemd journal, by its native protocol: one datagram of `FIELD=value` lines. Where there is no journal, nothing
//! is lost: the same text goes to stderr.

use crate::alert::Alert;
use crate::config::AlertKind;
use std::os::unix::net::UnixDatagram;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Tells the journal, if there is one.
pub fn tell(alert: &Alert) {
    let Ok(socket) = UnixDatagram::unbound() else { return };
    // A journal that is not there or is full must not hold up a pass.
    let _ = socket.set_nonblocking(true);
    let _ = socket.send_to(&datagram(alert), SOCKET);
}

/// What `journalctl MESSAGE_ID=...` asks for; healer.toml(5) lists them. One that was used is never used for another kind.
pub fn message_id(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Held => "ce847974802640d09a59d9f382e4ec46",
        AlertKind::Healed => "9fe566480f2449c3a59402c12e5eaf58",
        AlertKind::Unproven => "81d855ddce9745b9b471ba00aaf54b2c",
        AlertKind::RolledBack => "8ed2ae6f820747d08dfabe772ceb344e",
        AlertKind::RollbackFailed => "68f335a9c1fb436397f8a1bf9c707277",
        AlertKind::Recurred => "1374ed6ead224a74807471c963569d22",
        AlertKind::Critical => "3a7d5845853f4d22ab22cab837c9b4e2",
        AlertKind::Resolved => "75e92c2bb1ad4bdfa096055519d23f71",
        AlertKind::Storm => "96c57db5ba474bb98b78fb0bf62a3285",
        AlertKind::CircuitOpen => "b5d5163d482f4ed18bf96b25e74e7719",
        AlertKind::Test => "1dddecf9dab146daaa7bdb86ff3b21ba",
    }
}

/// Syslog priority: 2 critical, 4 warning, 5 notice.
fn priority(kind: AlertKind) -> u8 {
    match kind {
        AlertKind::RollbackFailed | AlertKind::Critical | AlertKind::Storm => 2,
        AlertKind::Held
        | AlertKind::RolledBack
        | AlertKind::Unproven
        | AlertKind::Recurred
        | AlertKind::CircuitOpen => 4,
        AlertKind::Healed | AlertKind::Resolved | AlertKind::Test => 5,
    }
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
    field("MESSAGE_ID", message_id(alert.kind));
    field("PRIORITY", &priority(alert.kind).to_string());
    field("SYSLOG_IDENTIFIER", "healer");
    field("HEALER_KIND", alert.kind.word());
    field("HEALER_COMPONENT", &alert.component);
    field("HEALER_SEVERITY", alert.severity.word());
    let more = [
        ("HEALER_INCIDENT", &alert.incident),
        ("HEALER_ISSUE_TYPE", &alert.issue_type),
        ("HEALER_CAUSE", &alert.cause),
        ("HEALER_WHY", &alert.why),
        ("HEALER_DIFF", &alert.diff),
    ];
    more.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).for_each(|(n, v)| field(n, v));
    for next in &alert.next {
        field("HEALER_NEXT", next);
    }
    out
}
