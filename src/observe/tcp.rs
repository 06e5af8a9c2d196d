//! TCP: does something accept connections there.

use super::{Check, Moment, Seen, milliseconds};
use crate::model::{Metric, Status, Unit};
use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

pub(super) struct TcpCheck {
    pub address: String,
}

impl Check for TcpCheck {
    fn target(&self) -> String {
        self.address.clone()
    }

    fn look(&self, moment: &Moment) -> Option<Seen> {
        Some(match self.address.to_socket_addrs() {
            Ok(addresses) => self.connect(addresses, moment),
            Err(e) => Seen::down(format!("cannot resolve {}: {e}", self.address)),
        })
    }
}

impl TcpCheck {
    fn connect(&self, addresses: impl Iterator<Item = std::net::SocketAddr>, moment: &Moment) -> Seen {
        let mut last = format!("{} has no address", self.address);
        for address in addresses {
            let start = Instant::now();
            // Zero is refused as a time-out.
            match TcpStream::connect_timeout(&address, moment.left().max(Duration::from_millis(1))) {
                Ok(_) => {
                    let latency = milliseconds(start.elapsed());
                    let message = format!("{} accepts connections ({latency:.1} ms)", self.address);
                    let mut seen = Seen::new(Status::Healthy, message, Some(true));
                    seen.metrics.push(Metric::new("latency_ms", latency, Unit::Milliseconds));
                    return seen;
                }
                Err(e) => last = self.explain(&e, moment),
            }
        }
        Seen::down(last)
    }

    fn explain(&self, error: &std::io::Error, moment: &Moment) -> String {
        match error.kind() {
            ErrorKind::ConnectionRefused => format!("connection refused at {}", self.address),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => super::no_answer(moment.timeout, &self.address),
            _ => format!("cannot connect to {}: {error}", self.address),
        }
    }
}
