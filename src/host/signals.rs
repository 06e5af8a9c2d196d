//! SIGTERM and SIGINT as an event that a wait can end on.

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Knows whether the process was asked to stop.
#[derive(Debug)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
    pipe: UnixStream,
}

impl Interrupt {
    /// Takes over SIGTERM and SIGINT from here on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let (pipe, sender) = UnixStream::pair().context("cannot make a pipe for signals")?;
        pipe.set_nonblocking(true).context("cannot set up the pipe for signals")?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&asked)).context("cannot handle signals")?;
            let sender = sender.try_clone().context("cannot set up the pipe for signals")?;
            signal_hook::low_level::pipe::register(signal, sender).context("cannot handle signals")?;
        }
        Ok(Interrupt { asked, pipe })
    }

    /// Whether a signal has come.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits this long, or shorter when a signal comes; true when one has come.
    pub fn wait(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while !self.asked() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let wait = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            if poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&wait)).is_ok_and(|n| n > 0) {
                let _ = (&self.pipe).read(&mut [0; 16]);
            }
        }
        self.asked()
    }
}
