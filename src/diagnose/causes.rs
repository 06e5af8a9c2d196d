//! The built-in causes: what usually lies behind what was seen, known without a single rule. They have no fix; they
//! make `diagnose` and the alerts say more than 'something is red'.

use crate::attempts::Attempts;
use crate::config::Engine;
use crate::diagnose::Observed;
use crate::model::{
    Addend, CheckKind, CheckResult, Container, ContainerHealth, ContainerState, FixCategory, SignalKind, Status, Tally,
    Trigger,
};

/// A built-in cause that fits, before confidence is added up.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    pub issue_type: &'static str,
    pub cause: String,
    pub severity: Status,
    pub trigger: Trigger,
    /// The log signature that shows it, where a log does.
    pub signature: Option<&'static str>,
    /// What was seen, and what each counts.
    pub seen: Vec<(SignalKind, Addend)>,
    pub category: FixCategory,
    /// How long such a thing usually takes a human to mend, in seconds.
    pub estimated_seconds: u64,
}

/// Fewer events than this in the span are noise to the built-in causes.
pub(super) const ENOUGH_EVENTS: u64 = 3;
/// From here on the count itself is evidence.
const MANY_EVENTS: u64 = 10;

/// Every built-in cause that fits what was seen.
pub fn evaluate(engine: &Engine, seen: &Observed, attempts: &Attempts) -> Vec<Cause> {
    let mut causes = Vec::new();
    for tally in &seen.logs.tallies {
        let count = tally.count(seen.fresh_since(engine, tally, attempts), seen.now.t.as_second());
        if count >= ENOUGH_EVENTS {
            causes.extend(in_log(engine, tally, count, seen));
        }
    }
    for check in seen.checks {
        causes.extend(of_check(check, seen));
        causes.extend(check.containers.iter().filter_map(of_container));
    }
    causes
}

fn signal(kind: SignalKind, label: impl Into<String>, points: f64) -> (SignalKind, Addend) {
    (kind, Addend { label: label.into(), points })
}

/// Causes that a log alone shows, by signature: issue type, sentence, base, category, minutes.
const IN_LOG: &[(&str, &str, &str, f64, FixCategory, u64)] = &[
    ("rate_limit", "rate_limiting", "is rate limited: requests are sent too fast", 75.0, FixCategory::Code, 5),
    ("database_error", "database_connection", "has database errors", 60.0, FixCategory::Infrastructure, 10),
    (
        "timeout",
        "api_timeout",
        "waits for something that does not answer in time",
        60.0,
        FixCategory::Configuration,
        10,
    ),
    ("out_of_memory", "resource_overload", "runs out of memory", 75.0, FixCategory::Infrastructure, 15),
    ("disk_full", "resource_overload", "has no space left on a disk", 80.0, FixCategory::Infrastructure, 15),
    ("config_error", "configuration", "has a missing or wrong setting", 65.0, FixCategory::Configuration, 10),
];

fn in_log(engine: &Engine, tally: &Tally, count: u64, seen: &Observed) -> Option<Cause> {
    let (signature, issue_type, sentence, base, category, minutes) =
        IN_LOG.iter().find(|(signature, ..)| *signature == tally.signature)?;
    let shown = engine.signatures.iter().find(|s| s.name == tally.signature)?;
    let mut signals = vec![signal(SignalKind::Log, format!("{count} x {signature} in {}", tally.source), *base)];
    if count >= MANY_EVENTS {
        signals.push(signal(SignalKind::Log, format!("at least {MANY_EVENTS} of them"), 10.0));
    }
    if *issue_type == "database_connection" {
        for check in seen.checks.iter().filter(|c| c.kind == CheckKind::Postgres) {
            let points = if check.status.is_red() { 20.0 } else { -20.0 };
            signals.push(signal(SignalKind::Check, format!("{} is {}", check.name, check.status), points));
        }
    }
    Some(Cause {
        issue_type,
        cause: format!("{} {sentence}", tally.source),
        severity: if shown.severity >= crate::model::Severity::Critical { Status::Critical } else { Status::Warning },
        trigger: Trigger {
            seen: format!("{count} x {signature} in {}", tally.source),
            count,
            rate_per_second: None,
            component: tally.source.clone(),
            example: Some(tally.example.clone()),
        },
        signature: Some(signature),
        seen: signals,
        category: *category,
        estimated_seconds: minutes * 60,
    })
}

fn of_check(check: &CheckResult, seen: &Observed) -> Option<Cause> {
    if !check.status.is_red() {
        return None;
    }
    let unreachable = check.connected == Some(false);
    let (issue_type, sentence, base, category, minutes) = match check.kind {
        CheckKind::Postgres if unreachable => {
            ("database_connection", "cannot be reached", 85.0, FixCategory::Infrastructure, 10)
        }
        CheckKind::Postgres => ("database_connection", "is in trouble", 70.0, FixCategory::Configuration, 10),
        CheckKind::Host => ("resource_overload", "is overloaded", 85.0, FixCategory::Infrastructure, 15),
        CheckKind::Http if slow(check) => ("api_timeout", "answers too slowly", 75.0, FixCategory::Configuration, 10),
        CheckKind::Http | CheckKind::Tcp | CheckKind::Redis | CheckKind::Command => {
            ("service_unavailable", "is not available", 60.0, FixCategory::Infrastructure, 10)
        }
        CheckKind::Docker if unreachable => {
            ("service_unavailable", "cannot be reached", 85.0, FixCategory::Infrastructure, 10)
        }
        CheckKind::Docker => return None,
    };
    let mut signals = vec![signal(SignalKind::Check, format!("{} is {}", check.name, check.status), base)];
    if issue_type == "database_connection" {
        let errors = events(seen, "database_error") + events(seen, "connection_refused");
        if errors > 0 {
            let label = format!("{errors} database or connection errors in the logs");
            signals.push(signal(SignalKind::Log, label, 10.0));
        }
    }
    if issue_type == "api_timeout" && events(seen, "timeout") > 0 {
        let label = format!("{} time-outs in the logs", events(seen, "timeout"));
        signals.push(signal(SignalKind::Log, label, 10.0));
    }
    Some(Cause {
        issue_type,
        cause: format!("{} {sentence}: {}", check.name, check.message),
        severity: check.status,
        trigger: seen_once(&check.name, &check.message),
        signature: None,
        seen: signals,
        category,
        estimated_seconds: minutes * 60,
    })
}

/// Whether an HTTP check is red for its time rather than its answer.
fn slow(check: &CheckResult) -> bool {
    let over = |m: &crate::model::Metric| {
        m.name == "response_time_ms" && [m.warning, m.critical].into_iter().flatten().any(|level| m.value >= level)
    };
    check.metrics.iter().any(over) || check.message.starts_with("no answer within")
}

fn events(seen: &Observed, signature: &str) -> u64 {
    let (since, now) = (seen.since.as_second(), seen.now.t.as_second());
    seen.logs.tallies.iter().filter(|t| t.signature == signature).map(|t| t.count(since, now)).sum()
}

fn seen_once(component: &str, message: &str) -> Trigger {
    Trigger {
        seen: message.to_owned(),
        count: 1,
        rate_per_second: None,
        component: component.to_owned(),
        example: None,
    }
}

fn of_container(container: &Container) -> Option<Cause> {
    let component = format!("container:{}", container.name);
    let stopped = matches!(container.state, ContainerState::Exited | ContainerState::Dead | ContainerState::Restarting);
    let unhealthy = container.health == Some(ContainerHealth::Unhealthy);
    let restarted = container.restarts_since_last.is_some_and(|n| n > 0);
    let crashed = stopped || unhealthy || container.oom_killed || restarted;
    let counts = crashed || container.mislabelled || container.state == ContainerState::Running;
    if !container.status.is_red() || !counts {
        return None;
    }
    let (issue_type, category) = match crashed {
        _ if container.mislabelled => ("configuration", FixCategory::Configuration),
        true => ("container_crash", FixCategory::Infrastructure),
        false => ("resource_overload", FixCategory::Infrastructure),
    };
    let mut signals = vec![signal(SignalKind::Container, format!("{component} is {}", container.status), 75.0)];
    if container.oom_killed {
        signals.push(signal(SignalKind::Container, "killed for want of memory", 15.0));
    }
    if container.restart_count >= 3 {
        let label = format!("restarted {} times", container.restart_count);
        signals.push(signal(SignalKind::Container, label, 10.0));
    }
    Some(Cause {
        issue_type,
        cause: format!("{component}: {}", container.message),
        severity: container.status,
        trigger: seen_once(&component, &container.message),
        signature: None,
        seen: signals,
        category,
        estimated_seconds: 300,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_container_says_what_kind_of_trouble_it_is() {
        let check = |state: ContainerState, mislabelled: bool, expected: Option<(&str, FixCategory)>| {
            let container = Container {
                status: Status::Warning,
                message: "label healer.mode=aut means nothing: write suggest or auto".into(),
                state,
                mislabelled,
                ..Container::example("shop")
            };
            let cause = of_container(&container);
            assert_eq!(cause.as_ref().map(|c| (c.issue_type, c.category)), expected);
            assert!(cause.is_none_or(|c| c.cause.starts_with("container:shop: label healer.mode=aut")));
        };
        check(ContainerState::Running, false, Some(("resource_overload", FixCategory::Infrastructure)));
        check(ContainerState::Exited, false, Some(("container_crash", FixCategory::Infrastructure)));
        check(ContainerState::Running, true, Some(("configuration", FixCategory::Configuration)));
        check(ContainerState::Created, true, Some(("configuration", FixCategory::Configuration)));
        check(ContainerState::Created, false, None);
    }
}
