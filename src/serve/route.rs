//! Which path is what: the one table of routes. May not live here: how an answer is made.

use crate::serve::guard::Access;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'p> {
    Page,
    /// The inside of the page.
    Dashboard,
    Script,
    Style,
    OpenApi,
    Metrics,
    Health,
    Status,
    Backups,
    Stats,
    Incidents,
    History,
    Trends,
    Events,
    Run(&'p str),
    TriggerCheck,
    Rollback(&'p str),
    Apply(&'p str),
    Pause,
    Resume,
    Ack(&'p str),
}

const API: &str = "/api/monitoring/";

impl<'p> Route<'p> {
    /// The route of a path; `None` where there is nothing.
    pub fn of(path: &'p str) -> Option<Route<'p>> {
        let Some(call) = path.strip_prefix(API) else {
            return Some(match path {
                "/" => Route::Page,
                "/dashboard" => Route::Dashboard,
                "/app.js" => Route::Script,
                "/style.css" => Route::Style,
                "/openapi.json" => Route::OpenApi,
                "/metrics" => Route::Metrics,
                _ => return None,
            });
        };
        let parts: Vec<&str> = call.split('/').collect();
        Some(match parts.as_slice() {
            ["health"] => Route::Health,
            ["status"] => Route::Status,
            ["backups"] => Route::Backups,
            ["stats"] => Route::Stats,
            ["incidents"] => Route::Incidents,
            ["history"] => Route::History,
            ["trends"] => Route::Trends,
            ["events"] => Route::Events,
            ["runs", id] => Route::Run(id),
            ["trigger-check"] => Route::TriggerCheck,
            ["rollback", id] => Route::Rollback(id),
            ["plans", id, "apply"] => Route::Apply(id),
            ["pause"] => Route::Pause,
            ["resume"] => Route::Resume,
            ["incidents", id, "ack"] => Route::Ack(id),
            _ => return None,
        })
    }

    /// What it lets out.
    pub fn access(self) -> Access {
        match self {
            Route::Page | Route::Script | Route::Style | Route::OpenApi => Access::Open,
            Route::Dashboard
            | Route::Metrics
            | Route::Health
            | Route::Status
            | Route::Backups
            | Route::Stats
            | Route::Trends => Access::Read,
            Route::Incidents | Route::History | Route::Events | Route::Run(_) => Access::Private,
            Route::TriggerCheck
            | Route::Rollback(_)
            | Route::Apply(_)
            | Route::Pause
            | Route::Resume
            | Route::Ack(_) => Access::Act,
        }
    }

    /// The methods that it takes, as `Allow` names them.
    pub fn allowed(self) -> &'static str {
        if self.access() == Access::Act { "POST" } else { "GET, HEAD" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_route_or_none() {
        let check = |path: &str, route: Option<Route>| assert_eq!(Route::of(path), route, "{path}");
        check("/", Some(Route::Page));
        check("/metrics", Some(Route::Metrics));
        check("/api/monitoring/health", Some(Route::Health));
        check("/api/monitoring/rollback/backup_1", Some(Route::Rollback("backup_1")));
        check("/api/monitoring/plans/plan_1/apply", Some(Route::Apply("plan_1")));
        check("/api/monitoring/incidents", Some(Route::Incidents));
        check("/api/monitoring/incidents/inc_1/ack", Some(Route::Ack("inc_1")));
        for path in [
            "",
            "/x",
            "//",
            "/api/monitoring",
            "/api/monitoring/",
            "/api/monitoring/health/",
            "/api/monitoring/rollback/a/b",
            "/metrics/",
            "/../etc/passwd",
            "/API/monitoring/health",
        ] {
            check(path, None);
        }
        check("/api/monitoring/rollback/", Some(Route::Rollback("")));
    }

    #[test]
    fn the_description_of_the_api_holds_every_route_and_its_method() {
        let openapi: serde_json::Value = serde_json::from_str(crate::serve::OPENAPI).unwrap();
        let number = |route: Route| match route {
            Route::Page => 0,
            Route::Dashboard => 1,
            Route::Script => 2,
            Route::Style => 3,
            Route::OpenApi => 4,
            Route::Metrics => 5,
            Route::Health => 6,
            Route::Status => 7,
            Route::Backups => 8,
            Route::Stats => 9,
            Route::Incidents => 10,
            Route::History => 11,
            Route::Trends => 12,
            Route::Events => 13,
            Route::Run(_) => 14,
            Route::TriggerCheck => 15,
            Route::Rollback(_) => 16,
            Route::Apply(_) => 17,
            Route::Pause => 18,
            Route::Resume => 19,
            Route::Ack(_) => 20,
        };
        let mut described = Vec::new();
        for (path, operations) in openapi["paths"].as_object().unwrap() {
            let route = Route::of(path).unwrap_or_else(|| panic!("{path} is no route"));
            let methods: Vec<&String> = operations.as_object().unwrap().keys().collect();
            assert_eq!(methods, [if route.access() == Access::Act { "post" } else { "get" }], "{path}");
            described.push(number(route));
        }
        described.sort_unstable();
        assert_eq!(described, (0..=20).collect::<Vec<_>>());
    }
}
