//! The edge of the program: the only place, with the checks and the notifiers, that touches the world.
//!
//! Lives here: Docker, files, locks, processes, clocks, each behind a small synchronous face. May not live here:
//! decisions.

pub mod bounded;
pub mod clock;
pub mod docker;
pub mod files;
pub mod http;
mod lease;
pub mod lock;
pub mod postgres;
pub mod process;
pub mod replace;
pub mod signals;
pub mod tls;
