//! Ending sessions of a PostgreSQL server, or cancelling what they do. Nothing brings them back.

use super::act::{Means, Refused, check};
use crate::config::Probe;
use crate::host::bounded::within;
use crate::host::postgres::{connect, words};
use crate::model::{PostgresStep, Session, SessionAction};
use anyhow::{Result, bail};

/// Sessions that keep a backup or this program going are nobody's to end, whoever runs them.
const SPARED: &str = "^(healer$|pg_dump|pg_restore|pg_basebackup|pg_receivewal|pg_recvlogical|pgbackrest|pg_probackup\
    |barman|wal-g)";

/// The sessions that the step would be about now, oldest first.
///
/// # Errors
/// When the server does not answer or refuses.
pub fn sessions(step: &PostgresStep, means: Means) -> Result<Vec<Session>> {
    ask(step, means, "")
}

/// Chooses and ends in one statement, so that a session that goes on meanwhile is most likely spared.
pub fn apply(step: &PostgresStep, means: Means) -> Result<String> {
    let function = match step.action {
        SessionAction::TerminateIdleInTransaction => "pg_terminate_backend",
        SessionAction::CancelQueries => "pg_cancel_backend",
    };
    let ended = ask(step, means, &format!(", {function}(s.pid)"))?;
    if ended.is_empty() {
        return Ok("no session is so any more".to_owned());
    }
    let shown = |s: &Session| format!("{} of {} ({}, {:.0}s)", s.pid, s.user, s.application, s.seconds);
    let verb = if step.action == SessionAction::CancelQueries { "cancelled" } else { "ended" };
    Ok(format!("{verb} {}", ended.iter().map(shown).collect::<Vec<_>>().join(", ")))
}

fn statement(action: SessionAction, effect: &str) -> String {
    let (since, state) = match action {
        SessionAction::TerminateIdleInTransaction => {
            ("state_change", "a.state in ('idle in transaction', 'idle in transaction (aborted)')")
        }
        SessionAction::CancelQueries => ("query_start", "a.state = 'active'"),
    };
    // The limit keeps the inner query from being merged with the outer one: only what it chose is ended.
    format!(
        "select s.pid, s.usename, s.application_name, s.seconds{effect} from (
           select a.pid, a.usename::text, coalesce(a.application_name, '') as application_name,
             extract(epoch from clock_timestamp() - a.{since})::float8 as seconds
           from pg_stat_activity a join pg_roles r on r.oid = a.usesysid
           where a.backend_type = 'client backend' and a.pid <> pg_backend_pid() and {state}
             and a.{since} <= clock_timestamp() - make_interval(secs => $1::float8)
             and coalesce(a.application_name, '') !~* $4::text
             and case when cardinality($3::text[]) > 0 then a.usename::text = any($3::text[])
               else not r.rolsuper and not r.rolreplication end
           order by a.{since} limit $2::bigint) s"
    )
}

fn ask(step: &PostgresStep, means: Means, effect: &str) -> Result<Vec<Session>> {
    let name = &step.check;
    let spec = check(means, name)?;
    let Probe::Postgres(probe) = &spec.probe else { bail!("`{name}` is no PostgreSQL check") };
    let (url, limit) = (probe.url.clone(), spec.timeout);
    let (sql, wanted) = (statement(step.action, effect), step.clone());
    let rows = within(limit, move || {
        let mut client = connect(url.reveal(), limit)?.client;
        let (seconds, most) = (wanted.over_seconds as f64, i64::from(wanted.max));
        Ok(client.query(&sql, &[&seconds, &most, &wanted.users, &SPARED])?)
    });
    let rows = rows.map_err(|e| match e.downcast_ref::<postgres::Error>().and_then(|e| e.as_db_error()) {
        Some(_) => Refused(format!("PostgreSQL refuses: {}", words(&e))).into(),
        None => e.context(format!("postgres check `{name}`")),
    })?;
    let session = |row: &postgres::Row| -> Result<Session, postgres::Error> {
        Ok(Session {
            pid: row.try_get(0)?,
            user: row.try_get(1)?,
            application: row.try_get(2)?,
            seconds: row.try_get(3)?,
        })
    };
    Ok(rows.iter().map(session).collect::<Result<_, _>>()?)
}
