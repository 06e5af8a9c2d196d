//! One setting of a Redis server, by `CONFIG SET`. It is not written into the server's file.

use super::act::{Applied, Means, Refused, check};
use crate::config::Probe;
use crate::host::bounded::within;
use crate::model::{Live, RedisStep};
use ::redis::{Client, Connection, RedisError, cmd};
use anyhow::{Result, bail};
use std::time::Duration;

/// The value of a setting now.
///
/// # Errors
/// When the server does not answer, or knows no such setting.
pub fn setting(check_name: &str, key: &str, means: Means) -> Result<String> {
    let key = key.to_owned();
    on_server(check_name, means, move |connection| get(connection, &key))
}

pub fn look(step: &RedisStep, means: Means) -> Result<Live> {
    Ok(step.live(&setting(&step.check, &step.key, means)?))
}

pub fn apply(step: &RedisStep, means: Means) -> Result<Applied> {
    let wanted = step.clone();
    on_server(&step.check, means, move |connection| {
        match wanted.live(&get(connection, &wanted.key)?) {
            Live::After => return Ok(Applied::Done("it is so already".to_owned())),
            Live::Foreign => return Ok(Applied::Foreign),
            Live::Before => {}
        }
        let set = cmd("CONFIG").arg("SET").arg(&wanted.key).arg(&wanted.new).query::<()>(connection);
        set.map_err(|e| told(&e, &wanted.key))?;
        match get(connection, &wanted.key)? {
            now if now == wanted.new => Ok(Applied::Done(String::new())),
            now => bail!(Refused(format!("Redis has made {} of {} = {}", now, wanted.key, wanted.new))),
        }
    })
}

fn get(connection: &mut Connection, key: &str) -> Result<String> {
    let pair: Vec<String> = cmd("CONFIG").arg("GET").arg(key).query(connection).map_err(|e| told(&e, key))?;
    match pair.into_iter().nth(1) {
        Some(value) => Ok(value),
        None => bail!(Refused(format!("this Redis has no setting `{key}`"))),
    }
}

/// What the server answered is a refusal; what came from the wire may be otherwise the next time.
fn told(error: &RedisError, key: &str) -> anyhow::Error {
    match (error.code(), error.detail()) {
        (Some(code), detail) => Refused(format!("Redis refuses {key}: {code} {}", detail.unwrap_or_default())).into(),
        (None, _) => anyhow::anyhow!("Redis does not answer: {error}"),
    }
}

/// Does it on the server of a check, within the check's time-out.
fn on_server<T: Send + 'static>(
    name: &str,
    means: Means,
    act: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
) -> Result<T> {
    let spec = check(means, name)?;
    let Probe::Redis(probe) = &spec.probe else { bail!("`{name}` is no Redis check") };
    let (url, limit) = (probe.url.clone(), spec.timeout);
    let done = within(limit, move || {
        let answer = || -> std::result::Result<Connection, RedisError> {
            let connection = Client::open(url.reveal())?.get_connection_with_timeout(limit)?;
            let limit = limit.max(Duration::from_millis(1));
            connection.set_read_timeout(Some(limit))?;
            connection.set_write_timeout(Some(limit))?;
            Ok(connection)
        };
        act(&mut answer().map_err(|e| anyhow::anyhow!("cannot connect to Redis: {e}"))?)
    });
    done.map_err(|e| e.context(format!("redis check `{name}`")))
}
