//! What the engine's list says in words, read back: health, exit code, and the least age a container can have.
//!
//! The words are those of docker/go-units `HumanDuration` and of moby's `State.String`.

use crate::host::docker::ListedContainer;
use crate::model::{ContainerHealth, ContainerState};
use crate::observe::samples::ContainerSample;
use std::time::Duration;

/// Whether the list proves that what was learnt of this container at the last look still holds: it has been in the same
/// state for longer than that is ago. A container that was started anew meanwhile is younger than the last look.
pub(super) fn is_unchanged(listed: &ListedContainer, known: &ContainerSample, since_last: Duration) -> bool {
    let state = ContainerState::from_word(&listed.state);
    if state != known.state {
        return false;
    }
    match state {
        ContainerState::Running | ContainerState::Exited => {
            least_age(&listed.status).is_some_and(|age| age >= since_last.saturating_add(MARGIN))
        }
        ContainerState::Created | ContainerState::Dead => true,
        // For a paused one the age goes on counting from its start; the others are on their way to another state.
        _ => false,
    }
}

/// For the time that a look takes, and for two clocks that are not quite the same.
const MARGIN: Duration = Duration::from_secs(15);

/// The least time that the words of a state allow: `Up 3 hours` is at least two and a half, because hours are rounded.
fn least_age(status: &str) -> Option<Duration> {
    let words = status.strip_prefix("Up ").or_else(|| status.split_once(") ").map(|(_, rest)| rest))?;
    let words = words.split(" (").next()?.trim_end_matches(" ago");
    let seconds = match words {
        "Less than a second" => 0,
        "About a minute" => 60,
        "About an hour" => HOUR / 2,
        _ => {
            let (count, unit) = words.split_once(' ')?;
            let count: u64 = count.parse().ok()?;
            match unit {
                "second" | "seconds" => count,
                "minutes" => count * 60,
                "hours" => (count * HOUR).saturating_sub(HOUR / 2),
                "days" => (count * 24 * HOUR).saturating_sub(HOUR / 2),
                "weeks" => (count * 7 * 24 * HOUR).saturating_sub(HOUR / 2),
                "months" => (count * 30 * 24 * HOUR).saturating_sub(HOUR / 2),
                "years" => (count * 365 * 24 * HOUR).saturating_sub(HOUR / 2),
                _ => return None,
            }
        }
    };
    Some(Duration::from_secs(seconds))
}

const HOUR: u64 = 3600;

/// Result of the container's own health check, where the list shows one.
pub(super) fn health(status: &str) -> Option<ContainerHealth> {
    match status.rsplit_once('(')?.1.strip_suffix(')')? {
        "healthy" => Some(ContainerHealth::Healthy),
        "unhealthy" => Some(ContainerHealth::Unhealthy),
        "health: starting" => Some(ContainerHealth::Starting),
        _ => None,
    }
}

/// Exit code of a container that is not up.
pub(super) fn exit_code(status: &str) -> Option<i64> {
    let rest = status.strip_prefix("Exited (").or_else(|| status.strip_prefix("Restarting ("))?;
    rest.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_give_health_exit_code_and_least_age() {
        use ContainerHealth::{Healthy, Starting, Unhealthy};
        let check = |status: &str, expected_health, code, age: Option<u64>| {
            assert_eq!(health(status), expected_health, "{status}");
            assert_eq!(exit_code(status), code, "{status}");
            assert_eq!(least_age(status), age.map(Duration::from_secs), "{status}");
        };
        check("Up Less than a second", None, None, Some(0));
        check("Up 1 second", None, None, Some(1));
        check("Up 59 seconds (health: starting)", Some(Starting), None, Some(59));
        check("Up About a minute (healthy)", Some(Healthy), None, Some(60));
        check("Up 5 minutes (unhealthy)", Some(Unhealthy), None, Some(300));
        check("Up About an hour", None, None, Some(1800));
        check("Up 3 hours (Paused)", None, None, Some(9000));
        check("Up 2 days", None, None, Some(171_000));
        check("Up 3 weeks", None, None, Some(3 * 7 * 86_400 - 1800));
        check("Exited (0) 5 minutes ago", None, Some(0), Some(300));
        check("Exited (137) 2 years ago", None, Some(137), Some(2 * 365 * 86_400 - 1800));
        check("Restarting (1) 2 seconds ago", None, Some(1), Some(2));
        check("Created", None, None, None);
        check("Up ages", None, None, None);
    }

    #[test]
    fn only_what_the_list_proves_is_remembered() {
        let check = |state: &str, status: &str, known: ContainerState, since: u64, unchanged: bool| {
            let listed: ListedContainer =
                serde_json::from_value(serde_json::json!({"Id": "1", "State": state, "Status": status})).unwrap();
            let sample = ContainerSample {
                state: known,
                restart_count: 0,
                oom_killed: false,
                exit_code: None,
                started_at: None,
                finished_at: None,
                pid: None,
                cpu: None,
                ports: Vec::new(),
            };
            assert_eq!(is_unchanged(&listed, &sample, Duration::from_secs(since)), unchanged, "{state} {status}");
        };
        check("running", "Up 10 minutes", ContainerState::Running, 300, true);
        check("running", "Up 4 minutes", ContainerState::Running, 300, false);
        check("running", "Up 5 minutes", ContainerState::Running, 300, false);
        check("running", "Up 3 seconds", ContainerState::Running, 300, false);
        check("running", "Up 10 minutes", ContainerState::Exited, 300, false);
        check("exited", "Exited (1) 10 minutes ago", ContainerState::Exited, 300, true);
        check("exited", "Exited (1) 3 minutes ago", ContainerState::Exited, 300, false);
        check("created", "Created", ContainerState::Created, 300, true);
        check("paused", "Up 2 hours (Paused)", ContainerState::Paused, 300, false);
        check("restarting", "Restarting (1) 2 hours ago", ContainerState::Restarting, 1, false);
        check("running", "what", ContainerState::Running, 1, false);
    }
}
