//! What kind of trouble an error in a log speaks of: one that a dead dependency explains, or one of its own.

use crate::config::Signature;
use crate::model::CheckKind;

/// Of one kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Too many requests, no memory, no space, a wrong setting: nothing that is down elsewhere explains it.
    Own,
    /// Something does not answer, or not in time; which kind of service, where the words say so.
    Dependency(Option<CheckKind>),
    /// The words do not say.
    Other,
}

const OWN_CATEGORIES: [&str; 8] =
    ["rate_limit", "rate_limiting", "memory", "disk", "permission", "tls", "configuration", "resource_overload"];

const OWN_WORDS: [&str; 15] = [
    "too many requests",
    "rate limit",
    "ratelimit",
    "rate_limit",
    "throttl",
    "client error",
    "out of memory",
    "memoryerror",
    "no space left",
    "permission denied",
    "duplicate key",
    "integrityerror",
    "does not exist",
    "syntax error",
    "deadlock",
];

const DEPENDENCY_WORDS: [&str; 14] = [
    "connection",
    "connect:",
    "econn",
    "refused",
    "unreachable",
    "timeout",
    "timed out",
    "etimedout",
    "pool",
    "database",
    "postgres",
    "psycopg",
    "redis",
    "operationalerror",
];

const SERVER_WORDS: [&str; 4] = ["server error", "bad gateway", "unavailable", "gateway time"];

const POSTGRES_WORDS: [&str; 7] = ["postgres", "psycopg", "sqlalchemy", "queuepool", "pgbouncer", "5432", "database"];

/// What Redis answers when the trouble is its own, whatever category the words have.
const REDIS_REFUSALS: [&str; 3] = ["oom command not allowed", "misconf redis", "loading redis is loading"];

/// The shape of events of this signature, by its category and the words of one of them.
pub fn of(signature: &Signature, example: &str) -> Shape {
    let text = example.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let category = signature.category.as_str();
    if any(&REDIS_REFUSALS) {
        return Shape::Dependency(Some(CheckKind::Redis));
    }
    // The model of another company stands on nothing of this host.
    if OWN_CATEGORIES.contains(&category) || any(&OWN_WORDS) || signature.name == "groq_error" {
        return Shape::Own;
    }
    let named = if any(&["redis", "6379"]) {
        Some(CheckKind::Redis)
    } else {
        (is_database(category) || any(&POSTGRES_WORDS)).then_some(CheckKind::Postgres)
    };
    let of_server = any(&SERVER_WORDS) || has_server_status(&text);
    let speaks_of_another = match category {
        "connection" | "timeout" | "api_timeout" => true,
        "api_error" if !of_server => return Shape::Own,
        "api_error" => true,
        _ => is_database(category) || any(&DEPENDENCY_WORDS) || of_server,
    };
    if speaks_of_another { Shape::Dependency(named) } else { Shape::Other }
}

/// A number that is a status by which a server says that it is its own fault.
fn has_server_status(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| ["500", "502", "503", "504"].contains(&word))
}

fn is_database(category: &str) -> bool {
    ["database", "database_error", "database_connection"].contains(&category)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SignatureOrigin;
    use crate::model::Severity;

    #[test]
    fn only_what_a_dead_dependency_can_cause_is_shaped_so() {
        use CheckKind::{Postgres, Redis};
        let check = |category: &str, example: &str, shape: Shape| {
            let signature = Signature {
                name: "s".into(),
                category: category.into(),
                severity: Severity::Error,
                pattern: "x".into(),
                ignore: None,
                origin: SignatureOrigin::BuiltIn,
                matches: Vec::new(),
                ignores: Vec::new(),
            };
            assert_eq!(of(&signature, example), shape, "{category}: {example}");
        };
        check("database", "psycopg2.OperationalError: server closed the connection", Shape::Dependency(Some(Postgres)));
        check("database", "FATAL: the database system is starting up", Shape::Dependency(Some(Postgres)));
        check("database", "IntegrityError: duplicate key value violates unique constraint", Shape::Own);
        check("database", "ERROR: relation \"orders\" does not exist", Shape::Own);
        check("connection", "connect ECONNREFUSED 127.0.0.1:5432", Shape::Dependency(Some(Postgres)));
        check("connection", "redis.exceptions.ConnectionError: Connection refused", Shape::Dependency(Some(Redis)));
        check("timeout", "httpx.PoolTimeout", Shape::Dependency(None));
        check("timeout", "upstream timed out, rate limit reached", Shape::Own);
        check("api_error", "GET /orders HTTP 500 Internal Server Error", Shape::Dependency(None));
        check("api_error", "503 Server Error: Service Unavailable for url", Shape::Dependency(None));
        check("api_error", "{\"request_uri\":\"/\",\"status\":503}", Shape::Dependency(None));
        check("api_error", "{\"request_uri\":\"http://127.0.0.1:5000/\",\"status\":429}", Shape::Own);
        check("api_error", "404 Client Error: Not Found for url", Shape::Own);
        check("rate_limit", "HTTP 429", Shape::Own);
        check("memory", "cannot allocate", Shape::Own);
        check("disk", "write failed", Shape::Own);
        check("memory", "OOM command not allowed when used memory > 'maxmemory'.", Shape::Dependency(Some(Redis)));
        check("exception", "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5", Shape::Dependency(Some(Postgres)));
        check("exception", "KeyError: 'user_5'", Shape::Other);
        check("crash", "panicked at src/main.rs:5", Shape::Other);
        // A rule's own pattern has its issue type for a category.
        check("rate_limiting", "slow down", Shape::Own);
        check("pool_too_small", "PoolTimeout: no connection within 5 s", Shape::Dependency(None));
        check("broken_upload", "upload of a.txt failed", Shape::Other);
    }
}
