//! What a container's state means. Pure.

use crate::config::Levels;
use crate::model::{Container, ContainerHealth, ContainerState, Labels, Status};
use crate::observe::{high, verdict};
use jiff::{SignedDuration, Timestamp};

/// What a container's figures are held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub cpu: Levels,
    pub memory: Levels,
}

/// How long a kill for lack of memory stays critical once the container runs again: the engine forgets it only at a
/// start by hand.
const FRESH_KILL: SignedDuration = SignedDuration::from_hours(1);

/// Status of one container and why. `words` is the engine's own description (`Up 3 hours (healthy)`).
pub(super) fn judge(container: &Container, words: &str, limits: Limits, now: Timestamp) -> (Status, String) {
    let code = container.exit_code.unwrap_or(0);
    if container.oom_killed && container.state != ContainerState::Running {
        return (Status::Critical, format!("killed for lack of memory ({words})"));
    }
    match &container.state {
        ContainerState::Running => running(container, words, limits, now),
        ContainerState::Exited if code == 0 => (Status::Healthy, "exited 0".into()),
        ContainerState::Exited => (Status::Critical, format!("exited with code {code}")),
        ContainerState::Restarting => {
            let count = container.restart_count;
            (Status::Critical, format!("restarting after exit code {code}, {count} restarts so far"))
        }
        ContainerState::Dead => (Status::Critical, "dead: the engine could not remove it".into()),
        ContainerState::Created => (Status::Warning, "created but never started".into()),
        ContainerState::Paused => (Status::Warning, "paused".into()),
        ContainerState::Removing => (Status::Warning, "being removed".into()),
        ContainerState::Other(word) => (Status::Unknown, format!("in a state unknown here: {word}")),
    }
}

fn running(container: &Container, words: &str, limits: Limits, now: Timestamp) -> (Status, String) {
    let mut parts = Vec::new();
    if container.oom_killed {
        let old = container.finished_at.is_some_and(|end| now.duration_since(end) > FRESH_KILL);
        let status = if old { Status::Warning } else { Status::Critical };
        parts.push((status, format!("was killed for lack of memory, runs again ({words})")));
    }
    if container.health == Some(ContainerHealth::Unhealthy) {
        parts.push((Status::Critical, "its health check fails".to_owned()));
    }
    if let Some(count @ 1..) = container.restarts_since_last {
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        parts.push((Status::Warning, format!("restarted {times} since the last pass")));
    }
    if let Some(percent) = container.cpu_percent {
        parts.push((high(percent, limits.cpu), format!("CPU {percent:.0} %")));
    }
    if let Some(percent) = container.memory_percent {
        parts.push((high(percent, limits.memory), format!("memory {percent:.0} %")));
    }
    verdict(parts, words.to_owned())
}

/// The same with what is wrong with the container's own labels: at least a warning. `wanted` are the labels that the
/// configuration asks for, which mean what it says.
pub(super) fn with_labels(judged: (Status, String), labels: &Labels, wanted: &[String]) -> (Status, String) {
    let is_wanted = |key: &String| wanted.iter().any(|w| w.split('=').next() == Some(key.as_str()));
    let unknown = labels
        .unknown
        .iter()
        .filter(|key| !is_wanted(key))
        .map(|key| format!("label {key} is none that healer knows (healer.enable, healer.mode, healer.restart)"));
    let wrong: Vec<String> = labels.unclear.iter().cloned().chain(unknown).collect();
    if wrong.is_empty() {
        return judged;
    }
    let (status, message) = judged;
    let before = if status.is_red() { format!("{message}; ") } else { String::new() };
    (status.max(Status::Warning), format!("{before}{}", wrong.join("; ")))
}

/// Restarts by the engine between two looks. A start by hand sets the count back to zero and is none.
pub(super) fn restarts_between(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

/// Containers named in the check's message.
const NAMED: usize = 3;

/// The worst containers with their reasons, and how many more are not well.
pub(super) fn worst_first(containers: &[Container]) -> String {
    let mut bad: Vec<&Container> = containers.iter().filter(|c| c.status != Status::Healthy).collect();
    bad.sort_by(|a, b| b.status.cmp(&a.status).then_with(|| a.name.cmp(&b.name)));
    let named: Vec<String> = bad.iter().take(NAMED).map(|c| format!("{}: {}", c.name, c.message)).collect();
    let more = if bad.len() > NAMED { format!("; and {} more", bad.len() - NAMED) } else { String::new() };
    format!("{}{more}", named.join("; "))
}

/// Whether it runs by somebody's hand (or by a fix) after it had ended: engines leave the mark of a kill on it even then.
/// One that the engine itself has started again has restarts to its count.
pub fn is_started_by_hand(
    state: &ContainerState,
    restart_count: u64,
    ended: Option<Timestamp>,
    started: Option<Timestamp>,
) -> bool {
    let started_since = ended.zip(started).is_some_and(|(ended, started)| ended < started);
    started_since && *state == ContainerState::Running && restart_count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: ContainerState) -> Container {
        Container { status: Status::Unknown, state, ..Container::example("shop") }
    }

    #[test]
    fn every_state_has_its_status() {
        let check = |state: ContainerState, change: &dyn Fn(&mut Container), status: Status, words: &str| {
            let mut container = container(state);
            change(&mut container);
            let level = Levels { warning: Some(80.0), critical: Some(90.0) };
            let limits = Limits { cpu: level, memory: level };
            let now = Timestamp::from_second(100_000).unwrap();
            assert_eq!(judge(&container, "Up 3 hours", limits, now), (status, words.to_owned()));
        };
        use ContainerState::{Created, Dead, Exited, Other, Paused, Removing, Restarting, Running};
        use Status::{Critical, Healthy, Unknown, Warning};
        check(Running, &|_| (), Healthy, "Up 3 hours");
        check(Running, &|c| c.health = Some(ContainerHealth::Starting), Healthy, "Up 3 hours");
        check(Running, &|c| c.health = Some(ContainerHealth::Unhealthy), Critical, "its health check fails");
        check(Running, &|c| c.restarts_since_last = Some(0), Healthy, "Up 3 hours");
        check(Running, &|c| c.restarts_since_last = Some(1), Warning, "restarted once since the last pass");
        check(Running, &|c| c.restarts_since_last = Some(3), Warning, "restarted 3 times since the last pass");
        check(Running, &|c| c.cpu_percent = Some(79.9), Healthy, "Up 3 hours");
        check(Running, &|c| c.cpu_percent = Some(80.0), Warning, "CPU 80 %");
        check(Running, &|c| c.memory_percent = Some(95.0), Critical, "memory 95 %");
        let killed_at = |c: &mut Container, second| {
            c.oom_killed = true;
            c.finished_at = Timestamp::from_second(second).ok();
        };
        let words = "was killed for lack of memory, runs again (Up 3 hours)";
        check(Running, &|c| c.oom_killed = true, Critical, words);
        check(Running, &|c: &mut Container| killed_at(c, 99_000), Critical, words);
        check(Running, &|c: &mut Container| killed_at(c, 90_000), Warning, words);
        check(Exited, &|c| c.exit_code = Some(0), Healthy, "exited 0");
        check(Exited, &|c| c.exit_code = Some(1), Critical, "exited with code 1");
        check(Exited, &|c| c.oom_killed = true, Critical, "killed for lack of memory (Up 3 hours)");
        check(Restarting, &|c| c.restart_count = 7, Critical, "restarting after exit code 0, 7 restarts so far");
        check(Dead, &|_| (), Critical, "dead: the engine could not remove it");
        check(Created, &|_| (), Warning, "created but never started");
        check(Paused, &|_| (), Warning, "paused");
        check(Removing, &|_| (), Warning, "being removed");
        check(Other("stopping".into()), &|_| (), Unknown, "in a state unknown here: stopping");
    }

    #[test]
    fn restarts_are_counted_across_a_start_by_hand() {
        for (before, now, restarts) in [(0, 0, 0), (2, 5, 3), (5, 0, 0), (5, 2, 2)] {
            assert_eq!(restarts_between(before, now), restarts, "{before} {now}");
        }
    }

    #[test]
    fn the_worst_come_first_and_the_rest_are_counted() {
        let named = |name: &str, status| Container {
            name: name.into(),
            status,
            message: "m".into(),
            ..container(ContainerState::Dead)
        };
        let all = [
            named("a", Status::Healthy),
            named("b", Status::Warning),
            named("c", Status::Critical),
            named("d", Status::Warning),
            named("e", Status::Unknown),
        ];
        assert_eq!(worst_first(&all), "c: m; b: m; d: m; and 1 more");
    }

    #[test]
    fn a_start_by_hand_is_told_from_one_by_the_engine() {
        let check = |state, restart_count, ended: Option<i64>, started: i64, by_hand| {
            let at = |second| Timestamp::from_second(second).ok();
            let found = is_started_by_hand(&state, restart_count, ended.and_then(at), at(started));
            assert_eq!(found, by_hand, "{state:?} {restart_count} {ended:?} {started}");
        };
        use ContainerState::{Exited, Running};
        check(Running, 0, Some(5), 6, true);
        check(Running, 1, Some(5), 6, false);
        check(Running, 0, None, 6, false);
        check(Running, 0, Some(7), 6, false);
        check(Exited, 0, Some(5), 6, false);
    }
}
