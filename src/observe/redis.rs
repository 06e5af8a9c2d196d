//! Redis: does it answer, how full is its memory, how long are its queues.

use super::{Check, Moment, Seen, high, metric, milliseconds, verdict};
use crate::config::RedisProbe;
use crate::host::http::shown_url;
use crate::model::{Metric, Status, Unit};
use ::redis::{Client, Connection, ErrorKind, RedisError, cmd};
use std::time::{Duration, Instant};

pub(super) struct RedisCheck(pub RedisProbe);

impl Check for RedisCheck {
    fn target(&self) -> String {
        shown_url(self.0.url.reveal())
    }

    fn look(&self, moment: &Moment) -> Option<Seen> {
        Some(self.ask(moment).unwrap_or_else(|error| self.explain(&error, moment)))
    }
}

impl RedisCheck {
    fn ask(&self, moment: &Moment) -> Result<Seen, RedisError> {
        let client = Client::open(self.0.url.reveal())?;
        let mut connection = client.get_connection_with_timeout(wait(moment))?;
        let start = Instant::now();
        query::<()>(&mut connection, moment, &["PING"])?;
        let latency = milliseconds(start.elapsed());
        let mut metrics = vec![Metric::new("latency_ms", latency, Unit::Milliseconds)];
        let mut parts = Vec::new();

        let info: String = query(&mut connection, moment, &["INFO", "memory"])?;
        if let Some((used, max)) = memory(&info) {
            let percent = used * 100.0 / max;
            let words = format!("{percent:.0} % of maxmemory used ({:.0} of {:.0} MiB)", mib(used), mib(max));
            parts.push((high(percent, self.0.memory_percent), words));
            metrics.push(metric("memory_percent", percent, Unit::Percent, self.0.memory_percent));
        }
        for queue in &self.0.queues {
            let name = format!("queue_{}", queue.key);
            match length(&mut connection, moment, &queue.key)? {
                Ok(length) => {
                    let words = format!("queue {} holds {length} entries", queue.key);
                    parts.push((high(length as f64, queue.length), words));
                    metrics.push(metric(name, length as f64, Unit::Count, queue.length));
                }
                Err(kind) => parts.push((Status::Unknown, format!("key {} is a {kind}, no queue", queue.key))),
            }
        }
        let (status, message) = verdict(parts, format!("answers in {latency:.1} ms"));
        Ok(Seen { metrics, ..Seen::new(status, message, Some(true)) })
    }

    fn explain(&self, error: &RedisError, moment: &Moment) -> Seen {
        let target = self.target();
        if error.is_timeout() {
            return moment.silent(&target);
        }
        if error.is_connection_refusal() {
            return Seen::down(format!("connection refused at {target}"));
        }
        if error.is_io_error() {
            return Seen::down(format!("cannot talk to {target}: {error}"));
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Seen::new(Status::Critical, format!("wrong user or password at {target}"), Some(true));
        }
        let words = match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => format!("{target} answers {code}: {detail}"),
            (Some(code), None) => format!("{target} answers {code}"),
            _ => format!("{target}: {error}"),
        };
        // It answers, if only to refuse.
        Seen::new(Status::Critical, words, Some(error.code().is_some()))
    }
}

/// Time left; zero would be refused.
fn wait(moment: &Moment) -> Duration {
    moment.left().max(Duration::from_millis(1))
}

fn query<T: ::redis::FromRedisValue>(
    connection: &mut Connection,
    moment: &Moment,
    words: &[&str],
) -> Result<T, RedisError> {
    connection.set_read_timeout(Some(wait(moment)))?;
    connection.set_write_timeout(Some(wait(moment)))?;
    let mut words = words.iter();
    let mut command = cmd(words.next().copied().unwrap_or_default());
    for word in words {
        command.arg(*word);
    }
    command.query(connection)
}

/// How many entries wait under a key, by its type; a missing key is an empty queue. `Err` names a type that is none.
fn length(connection: &mut Connection, moment: &Moment, key: &str) -> Result<Result<u64, String>, RedisError> {
    let kind: String = query(connection, moment, &["TYPE", key])?;
    let count = match kind.as_str() {
        "none" => return Ok(Ok(0)),
        "list" => "LLEN",
        "stream" => "XLEN",
        "zset" => "ZCARD",
        "set" => "SCARD",
        _ => return Ok(Err(kind)),
    };
    query(connection, moment, &[count, key]).map(Ok)
}

/// Used memory and maxmemory in bytes; `None` where no maximum is set.
fn memory(info: &str) -> Option<(f64, f64)> {
    let field = |name: &str| -> Option<f64> {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
    };
    Some((field("used_memory")?, field("maxmemory").filter(|max| *max > 0.0)?))
}

fn mib(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_known_only_against_a_maximum() {
        let info = "# Memory\r\nused_memory:50\r\nused_memory_human:50B\r\nmaxmemory:200\r\nmaxmemory_human:200B\r\n";
        assert_eq!(memory(info), Some((50.0, 200.0)));
        assert_eq!(memory(&info.replace("maxmemory:200", "maxmemory:0")), None);
        assert_eq!(memory("rubbish"), None);
    }
}
