//! A time limit for work that cannot be given one: a handshake with a peer that says nothing. May not live here: what
//! the work is.

use anyhow::{Context, Result, anyhow};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Enough for TLS handshakes in builds without optimisation.
const STACK: usize = 512 << 10;

/// Does the work on a thread of its own, and leaves it behind when it is not done in time.
///
/// # Errors
/// That of the work; or that it was not done in time, or broke.
pub fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = channel();
    let work = move || drop(sender.send(work()));
    std::thread::Builder::new().stack_size(STACK).spawn(work).context("cannot start a thread")?;
    receiver.recv_timeout(limit).map_err(|_| anyhow!("no answer within {limit:?}"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_done_in_time_is_an_error_and_is_not_waited_for() {
        let (hold, held) = channel::<()>();
        let start = std::time::Instant::now();
        let stuck = within(Duration::from_millis(50), move || Ok(held.recv().is_ok()));
        assert!(stuck.unwrap_err().to_string().contains("no answer within 50ms"));
        assert!(start.elapsed() < Duration::from_secs(20));
        drop(hold);
        assert_eq!(within(Duration::from_secs(20), || Ok(1)).unwrap(), 1);
        assert_eq!(within(Duration::from_secs(20), || Err::<(), _>(anyhow!("no"))).unwrap_err().to_string(), "no");
    }
}
