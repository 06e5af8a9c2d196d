//! Connection attempts that nothing can end but their peer.
//!
//! Lives here: the process-wide note of them, so that a component that says nothing is not given one more abandoned
//! connection with every look. May not live here: what a check says about it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// An attempt counts as pending for as long as this lives. Has no `Debug`: the name of a peer may hold a password.
pub(super) struct Attempt {
    peer: String,
    deadline: Instant,
}

static PENDING: Mutex<Vec<Weak<Attempt>>> = Mutex::new(Vec::new());

/// For so long after its deadline an attempt keeps others back. A server ends a handshake that stands still by itself
/// (PostgreSQL: `authentication_timeout`, one minute); where it does not, a peer that answers again must be noticed.
const HOLDS_BACK: Duration = Duration::from_secs(60);

impl Attempt {
    /// Notes an attempt that should be over at `deadline`. `None` where an earlier one to the same peer should be over
    /// and is not: another one would only hang as well. Attempts side by side, each in its time, keep nobody back.
    pub(super) fn begin(peer: &str, deadline: Instant) -> Option<Arc<Attempt>> {
        Attempt::begin_at(peer, deadline, Instant::now())
    }

    fn begin_at(peer: &str, deadline: Instant, now: Instant) -> Option<Arc<Attempt>> {
        // Nothing in here panics half-way.
        let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|attempt| attempt.strong_count() > 0);
        let overdue =
            |other: Arc<Attempt>| other.peer == peer && now >= other.deadline && now < other.deadline + HOLDS_BACK;
        if pending.iter().filter_map(Weak::upgrade).any(overdue) {
            return None;
        }
        let attempt = Arc::new(Attempt { peer: peer.to_owned(), deadline });
        pending.push(Arc::downgrade(&attempt));
        Some(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_overdue_attempt_to_the_same_peer_keeps_others_back_and_not_for_ever() {
        let start = Instant::now();
        let check = |name: &str, peer: &str, after: u64, ended: bool, free: bool| {
            let (peer, ours) = (format!("{name}:{peer}"), format!("{name}:a"));
            let earlier = Attempt::begin_at(&ours, start + Duration::from_secs(5), start);
            assert!(earlier.is_some(), "{name}");
            let earlier = earlier.filter(|_| !ended);
            let now = start + Duration::from_secs(after);
            assert_eq!(Attempt::begin_at(&peer, now + Duration::from_secs(5), now).is_some(), free, "{name}");
            drop(earlier);
        };
        check("in its time", "a", 4, false, true);
        check("overdue", "a", 5, false, false);
        check("still overdue", "a", 64, false, false);
        check("overdue for long", "a", 65, false, true);
        check("another peer", "b", 6, false, true);
        check("it has ended", "a", 6, true, true);
    }
}
