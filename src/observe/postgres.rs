//! PostgreSQL: does it answer, how fast, how many connections are left, what the operator's own queries count.

use super::pending::Attempt;
use super::{Check, Moment, Seen, grade, high, metric, milliseconds, verdict};
use crate::config::{CountQuery, Levels, PostgresProbe};
use crate::host::http::shown_url;
use crate::host::postgres::{Connected, connect, words};
use crate::model::{Metric, Status, Unit};
use anyhow::{Result, anyhow};
use postgres::error::SqlState;
use postgres::{Client, SimpleQueryMessage};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

pub(super) struct PostgresCheck(pub PostgresProbe);

impl Check for PostgresCheck {
    fn target(&self) -> String {
        shown_url(self.0.url.reveal())
    }

    fn look(&self, moment: &Moment) -> Option<Seen> {
        let deadline = moment.started + moment.timeout;
        let Some(_attempt) = Attempt::begin(self.0.url.reveal(), deadline) else {
            return Some(moment.silent(&self.target()));
        };
        Some(self.ask(moment).unwrap_or_else(|e| self.explain(&e, moment)))
    }
}

/// Connections in use by clients, and how many there may be without the reserved ones. A user without `pg_monitor`
/// does not see the kind of other users' backends, but that they have a user and a database.
const CONNECTIONS: &str = "select (select count(*) from pg_stat_activity \
       where coalesce(backend_type = 'client backend', usesysid is not null and datid is not null)), \
     current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int \
     - coalesce(current_setting('reserved_connections', true), '0')::int";

impl PostgresCheck {
    fn ask(&self, moment: &Moment) -> Result<Seen> {
        let Connected { mut client, only_tls } = connect(self.0.url.reveal(), moment.left())?;
        let start = Instant::now();
        number(&mut client, "select 1")?;
        let latency = milliseconds(start.elapsed());
        let mut metrics = vec![metric("latency_ms", latency, Unit::Milliseconds, self.0.query_ms)];
        let mut parts = vec![(high(latency, self.0.query_ms), format!("a trivial query took {latency:.0} ms"))];

        let row = first_row(&mut client, CONNECTIONS)?;
        if let [Some(used), Some(most)] = row.as_slice()
            && *most > 0.0
        {
            let percent = used * 100.0 / most;
            parts.push((
                high(percent, self.0.connections_percent),
                format!("{used:.0} of {most:.0} connections used ({percent:.0} %)"),
            ));
            metrics.push(Metric::new("connections", *used, Unit::Count));
            metrics.push(metric("connections_percent", percent, Unit::Percent, self.0.connections_percent));
        }
        for query in &self.0.queries {
            // Nobody listens any more; what is left need not be asked.
            if moment.left().is_zero() {
                return Ok(moment.silent(&self.target()));
            }
            match timed_number(&mut client, &query.sql, moment.left()) {
                Ok(count) => {
                    parts.push(judge_count(query, count));
                    metrics.push(count_metric(query, count));
                }
                Err(e) if is_cancelled(&e) => {
                    let words = format!("query {} was cancelled: it did not end in time", query.name);
                    parts.push((Status::Critical, words));
                }
                Err(e) => parts.push((Status::Unknown, format!("query {} failed: {}", query.name, words(&e)))),
            }
        }
        let remark = if only_tls { "; it takes only TLS, so write sslmode=require into the URL" } else { "" };
        let (status, message) = verdict(parts, format!("answers in {latency:.1} ms{remark}"));
        Ok(Seen { metrics, ..Seen::new(status, message, Some(true)) })
    }

    fn explain(&self, error: &anyhow::Error, moment: &Moment) -> Seen {
        let target = self.target();
        if let Some(error) = error.downcast_ref::<postgres::Error>() {
            if let Some(db) = error.as_db_error() {
                return Seen::new(Status::Critical, format!("{} at {target}", db.message()), Some(true));
            }
            match io_kind(error) {
                Some(ErrorKind::ConnectionRefused) => return Seen::down(format!("connection refused at {target}")),
                Some(ErrorKind::TimedOut) => return moment.silent(&target),
                _ => {}
            }
        }
        Seen::down(format!("cannot talk to {target}: {}", words(error)))
    }
}

/// The columns of the first row as numbers; whatever their type, their text is read.
fn first_row(client: &mut Client, sql: &str) -> Result<Vec<Option<f64>>> {
    // The simple protocol gives text, so that counts, sums and averages need no type of their own here.
    for message in client.simple_query(sql)? {
        if let SimpleQueryMessage::Row(row) = message {
            return Ok((0..row.len()).map(|i| row.try_get(i).ok().flatten().and_then(|t| t.parse().ok())).collect());
        }
    }
    Err(anyhow!("it returns no row"))
}

/// The first value of the first row. Not a number and infinity are beyond no level, so they are none.
fn number(client: &mut Client, sql: &str) -> Result<f64> {
    let value = first_row(client, sql)?.first().copied().flatten();
    value.filter(|v| v.is_finite()).ok_or_else(|| anyhow!("it returns no number"))
}

/// One of the operator's own queries, ended by the server while there is still time to tell: a slow query is not a
/// server that does not answer.
fn timed_number(client: &mut Client, sql: &str, left: Duration) -> Result<f64> {
    let most = (left - left / 5).max(Duration::from_millis(1));
    client.batch_execute(&format!("set statement_timeout = {}", most.as_millis()))?;
    number(client, sql)
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<postgres::Error>().and_then(postgres::Error::code);
    code == Some(&SqlState::QUERY_CANCELED)
}

fn judge_count(query: &CountQuery, count: f64) -> (Status, String) {
    let above = Levels { warning: query.warning_above, critical: query.critical_above };
    let below = Levels { warning: query.warning_below, critical: query.critical_below };
    let too_high = grade(above, |level| count > level);
    let too_low = grade(below, |level| count < level);
    let status = too_high.max(too_low);
    let (levels, side) = if too_high > too_low { (above, "above") } else { (below, "below") };
    let level = if status == Status::Critical { levels.critical } else { levels.warning };
    let words = match level {
        Some(level) => format!("query {} returns {count}, {side} {level}", query.name),
        None => format!("query {} returns {count}", query.name),
    };
    (status, words)
}

fn count_metric(query: &CountQuery, count: f64) -> Metric {
    Metric {
        warning: query.warning_above,
        critical: query.critical_above,
        warning_below: query.warning_below,
        critical_below: query.critical_below,
        ..Metric::new(format!("query_{}", query.name), count, Unit::Count)
    }
}

fn io_kind(error: &postgres::Error) -> Option<ErrorKind> {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        at = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_held_against_both_sides() {
        let query = CountQuery {
            name: "n".into(),
            sql: String::new(),
            warning_below: Some(10.0),
            critical_below: Some(5.0),
            warning_above: Some(100.0),
            critical_above: None,
        };
        for (count, status, words) in [
            (50.0, Status::Healthy, "query n returns 50"),
            (10.0, Status::Healthy, "query n returns 10"),
            (9.0, Status::Warning, "query n returns 9, below 10"),
            (4.0, Status::Critical, "query n returns 4, below 5"),
            (100.5, Status::Warning, "query n returns 100.5, above 100"),
        ] {
            let (found, said) = judge_count(&query, count);
            assert_eq!(found, status, "{count}");
            assert!(status == Status::Healthy || said == words, "{said}");
        }
    }
}
