//! Which finding is only a symptom of which: along `depends_on`, from what is red to the deepest thing that is critical.

use crate::model::{CheckKind, CheckResult, Status};

/// The root cause among the checks that this one depends on; `None` when it is its own root. A check that is critical
/// explains every red one that depends on it, however many steps away.
pub fn root_of<'a>(name: &str, checks: &'a [CheckResult]) -> Option<&'a str> {
    let mut root = None;
    let mut current = name.to_owned();
    // A configuration with a circle is refused; the bound keeps even that from hanging.
    for _ in 0..checks.len() {
        let Some(check) = checks.iter().find(|c| c.name == current) else { break };
        let Some(cause) =
            check.depends_on.iter().find_map(|d| checks.iter().find(|c| c.name == *d && c.status == Status::Critical))
        else {
            break;
        };
        root = Some(cause.name.as_str());
        current.clone_from(&cause.name);
    }
    root
}

/// Errors of this category in a log are what a dead database looks like from outside: the check of it, if critical.
pub fn root_of_errors<'a>(category: &str, checks: &'a [CheckResult]) -> Option<&'a str> {
    let kind = match category {
        "database" | "database_error" => CheckKind::Postgres,
        _ => return None,
    };
    checks.iter().find(|c| c.kind == kind && c.status == Status::Critical).map(|c| c.name.as_str())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A check result with just what diagnosis looks at.
    pub(crate) fn result(name: &str, kind: CheckKind, status: Status, depends_on: &[&str]) -> CheckResult {
        CheckResult {
            name: name.into(),
            kind,
            status,
            message: format!("{name} is {status}"),
            connected: Some(status != Status::Critical),
            metrics: Vec::new(),
            duration_ms: 1.0,
            containers: Vec::new(),
            depends_on: depends_on.iter().map(|d| (*d).to_owned()).collect(),
        }
    }

    #[test]
    fn the_deepest_critical_dependency_is_the_root() {
        use Status::{Critical, Healthy, Warning};
        let check = |database, pool, expected: Option<&str>| {
            let checks = [
                result("database", CheckKind::Postgres, database, &[]),
                result("pool", CheckKind::Tcp, pool, &["database"]),
                result("api", CheckKind::Http, Critical, &["pool"]),
            ];
            assert_eq!(root_of("api", &checks), expected);
        };
        check(Critical, Critical, Some("database"));
        check(Healthy, Critical, Some("pool"));
        check(Critical, Healthy, None);
        check(Warning, Warning, None);
    }

    #[test]
    fn a_circle_ends() {
        let checks = [
            result("a", CheckKind::Tcp, Status::Critical, &["b"]),
            result("b", CheckKind::Tcp, Status::Critical, &["a"]),
        ];
        assert!(root_of("a", &checks).is_some());
    }
}
