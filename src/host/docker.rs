//! The Docker Engine behind a synchronous face: bollard on one current-thread runtime, every call under a deadline.
//!
//! Lives here: connecting, the calls the program makes, and their errors as cases it can branch on. May not live here:
//! what a container's state means (`observe::docker`), what its log says (`logs`).
//!
//! bollard's typed container list fails as a whole on one unknown word and keeps much that nobody reads, and its
//! decoder holds a terminal's output until a newline comes. So these two go as plain requests over the same transport.

mod facts;
mod settings;
mod transport;

pub use facts::{ContainerDetail, ListedContainer, Mount};
pub use settings::Settings;

use crate::model::{DockerTls, Labelled};
use bollard::errors::Error as BollardError;
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder, RestartContainerOptionsBuilder};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use jiff::Timestamp;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use transport::{Address, collect, get, io_kind, root, send};

/// A connection to one Docker Engine. Nothing is opened before the first call.
pub struct Docker {
    runtime: tokio::runtime::Runtime,
    client: bollard::Docker,
    address: Address,
    socket: String,
    tls: Option<DockerTls>,
    timeout: Duration,
}

/// Why a call to the Docker Engine failed, as far as the program acts differently on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerError {
    /// No such container.
    Absent {
        container: String,
    },
    /// The engine, or the permissions of its socket, refuse us.
    Denied(String),
    /// No engine answers there.
    Unreachable(String),
    /// No (whole) answer in time.
    Timeout(String),
    Other(String),
}

/// Which part of a container's log is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogQuery {
    /// Inclusive; the engine takes whole seconds, so up to one second more comes.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// At most so many entries from the end.
    pub tail: Option<u64>,
    /// From [`ContainerDetail::tty`]: the two kinds of stream cannot be told apart by looking at them.
    pub tty: bool,
}

/// Limits to be set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewLimits {
    pub memory: Option<i64>,
    pub memory_swap: Option<i64>,
    pub nano_cpus: Option<i64>,
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<i64>,
}

/// Where a container wrote something; a terminal has only `Stdout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    Stdout,
    Stderr,
}

/// A piece of a container's log. Without a terminal: one entry with its timestamp, of at most about 16 KiB, ended by a
/// newline unless the line goes on in the next entry. With one: any piece of the stream.
#[derive(Debug)]
pub struct LogChunk<'a> {
    pub stream: LogStream,
    pub bytes: &'a [u8],
}

impl Docker {
    /// An engine at `unix:///path` or `tcp://host:port`, the latter with TLS or without; each call is bound by `timeout`.
    ///
    /// # Errors
    /// [`DockerError::Other`] when the address is not of these forms, a file of TLS cannot be used, or no runtime can be
    /// made.
    pub fn connect(socket: &str, tls: Option<&DockerTls>, timeout: Duration) -> Result<Docker, DockerError> {
        let address = Address::parse(socket).ok_or_else(|| {
            DockerError::Other(format!("`{socket}` is no Docker address: write unix:///path or tcp://host:port"))
        })?;
        let address = match tls {
            None => address,
            Some(tls) => address
                .through(tls)
                .map_err(|e| DockerError::Other(format!("cannot reach Docker at {socket} through TLS: {e:#}")))?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|e| DockerError::Other(format!("cannot start a runtime for Docker: {e}")))?;
        let transport = {
            let address = address.clone();
            move |request: bollard::BollardRequest| send(address.clone(), request)
        };
        // The engine speaks the newest version it knows when the path names none, as bollard's do; ours is the deadline.
        let client = bollard::Docker::connect_with_custom_transport(
            transport,
            Some("http://docker"),
            transport::UNBOUNDED_SECS,
            bollard::API_DEFAULT_VERSION,
        )
        .map_err(|e| DockerError::Other(format!("cannot use Docker at {socket}: {e}")))?;
        Ok(Docker { runtime, client, address, socket: socket.to_owned(), tls: tls.cloned(), timeout })
    }

    /// The address as given.
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// How it is reached through TLS.
    pub fn tls(&self) -> Option<&DockerTls> {
        self.tls.as_ref()
    }

    /// Whether the engine runs on this host, so that paths it names can be opened here.
    pub fn is_local(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }

    /// Every container, running or not.
    ///
    /// # Errors
    /// When the engine does not answer, or not with a list.
    pub fn list(&self) -> Result<Vec<ListedContainer>, DockerError> {
        let body = self.get_all(vec!["/containers/json?all=1".to_owned()], self.timeout).pop();
        let body = body.unwrap_or_else(|| Err(self.silent(self.timeout)))?;
        serde_json::from_slice(&body).map_err(|e| self.unreadable_list(&e))
    }

    fn unreadable_list(&self, error: &serde_json::Error) -> DockerError {
        DockerError::Other(format!("Docker at {} sent an unreadable container list: {error}", self.socket))
    }

    /// Every bind mount of a running container: its name, and the path on the host.
    ///
    /// # Errors
    /// As for [`Docker::list`].
    pub fn bind_mounts(&self) -> Result<Vec<(String, PathBuf)>, DockerError> {
        let body = self.get_all(vec!["/containers/json".to_owned()], self.timeout).pop();
        let body = body.unwrap_or_else(|| Err(self.silent(self.timeout)))?;
        facts::bind_mounts(&body).map_err(|e| self.unreadable_list(&e))
    }

    /// Every container, running or not, whose labels say something of healer.
    ///
    /// # Errors
    /// As for [`Docker::list`].
    pub fn labelled(&self) -> Result<Vec<Labelled>, DockerError> {
        let body = self.get_all(vec!["/containers/json?all=1".to_owned()], self.timeout).pop();
        let body = body.unwrap_or_else(|| Err(self.silent(self.timeout)))?;
        facts::labelled(&body).map_err(|e| self.unreadable_list(&e))
    }

    /// Everything about one container.
    ///
    /// # Errors
    /// [`DockerError::Absent`] when there is none of this id or name.
    pub fn inspect(&self, id_or_name: &str) -> Result<ContainerDetail, DockerError> {
        check_name(id_or_name)?;
        let answer = self.client.inspect_container(id_or_name, None::<InspectContainerOptions>);
        let answer = self.bounded(self.timeout, answer).map_err(|e| e.about(id_or_name))?;
        Ok(facts::detail(answer))
    }

    /// [`Docker::inspect`] of many, a few at a time, in the order of `ids`; all within `timeout`, and one that fails
    /// leaves the others alone.
    pub fn inspect_all(&self, ids: &[String], timeout: Duration) -> Vec<Result<ContainerDetail, DockerError>> {
        let until = tokio::time::Instant::from_std(Instant::now() + timeout);
        let inspections = ids.iter().map(|id| async move {
            check_name(id)?;
            let answer = self.client.inspect_container(id, None::<InspectContainerOptions>);
            match tokio::time::timeout_at(until, answer).await {
                Ok(answer) => answer.map(facts::detail).map_err(|e| self.explain(&e).about(id)),
                Err(_) => Err(self.silent(timeout)),
            }
        });
        self.runtime.block_on(futures_util::stream::iter(inspections).buffered(AT_ONCE).collect())
    }

    /// How these containers are set up, a few at a time; all within `timeout`, and one that fails is left out.
    pub fn settings(&self, ids: &[String], timeout: Duration) -> Vec<(ContainerDetail, Settings)> {
        let until = tokio::time::Instant::from_std(Instant::now() + timeout);
        let inspections = ids.iter().filter(|id| check_name(id).is_ok()).map(|id| async move {
            let answer = self.client.inspect_container(id, None::<InspectContainerOptions>);
            let answer = tokio::time::timeout_at(until, answer).await.ok()?.ok()?;
            Some((facts::detail(answer.clone()), settings::of(answer)))
        });
        let all: Vec<_> = self.runtime.block_on(futures_util::stream::iter(inspections).buffered(AT_ONCE).collect());
        all.into_iter().flatten().collect()
    }

    /// Bodies of `GET /containers/ID/stats` (one sample, no wait for a second), all asked at once: an engine that
    /// collects one after the other then answers all in the time of a few. In the order of `ids`.
    pub fn stats(&self, ids: &[String], timeout: Duration) -> Vec<Result<Vec<u8>, DockerError>> {
        let paths = ids.iter().map(|id| match check_name(id) {
            Ok(()) => format!("/containers/{id}/stats?stream=false&one-shot=true"),
            Err(_) => String::from("/containers/none/stats"),
        });
        self.get_all(paths.collect(), timeout)
    }

    /// Hands the log to `take`, entry by entry in the engine's order, with a timestamp before each.
    ///
    /// # Errors
    /// As for any call; what came before the error has been handed over.
    pub fn logs(&self, id: &str, query: LogQuery, take: &mut dyn FnMut(LogChunk<'_>)) -> Result<(), DockerError> {
        check_name(id)?;
        let read = async {
            if query.tty {
                self.terminal_log(id, query, take).await
            } else {
                self.multiplexed_log(id, query, take).await
            }
        };
        self.bounded(self.timeout, read).map_err(|e| e.about(id))
    }

    async fn multiplexed_log(
        &self,
        id: &str,
        query: LogQuery,
        take: &mut dyn FnMut(LogChunk<'_>),
    ) -> Result<(), BollardError> {
        let mut options = LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true);
        if let Some(since) = query.since {
            options = options.since(whole_seconds(since));
        }
        if let Some(until) = query.until {
            options = options.until(whole_seconds(until).saturating_add(1));
        }
        if let Some(tail) = query.tail {
            options = options.tail(&tail.to_string());
        }
        let mut entries = std::pin::pin!(self.client.logs(id, Some(options.build())));
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            let stream = match entry {
                bollard::container::LogOutput::StdErr { .. } => LogStream::Stderr,
                _ => LogStream::Stdout,
            };
            take(LogChunk { stream, bytes: entry.as_ref() });
        }
        Ok(())
    }

    async fn terminal_log(
        &self,
        id: &str,
        query: LogQuery,
        take: &mut dyn FnMut(LogChunk<'_>),
    ) -> Result<(), BollardError> {
        let mut path = format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1");
        if let Some(since) = query.since {
            path += &format!("&since={}", since.as_second());
        }
        if let Some(until) = query.until {
            path += &format!("&until={}", until.as_second().saturating_add(1));
        }
        path += &query.tail.map_or("&tail=all".to_owned(), |n| format!("&tail={n}"));
        let mut body = get(self.address.clone(), &path).await?;
        while let Some(frame) = body.frame().await {
            if let Some(bytes) = frame?.data_ref() {
                take(LogChunk { stream: LogStream::Stdout, bytes });
            }
        }
        Ok(())
    }

    /// Restarts a container, giving it `stop_timeout` (whole seconds) between SIGTERM and SIGKILL.
    ///
    /// # Errors
    /// [`DockerError::Timeout`] when the engine has not said done within the call's time-out on top of `stop_timeout`;
    /// the restart may then still happen.
    pub fn restart(&self, name: &str, stop_timeout: Duration) -> Result<(), DockerError> {
        check_name(name)?;
        let seconds = i32::try_from(stop_timeout.as_secs()).unwrap_or(i32::MAX);
        let options = RestartContainerOptionsBuilder::default().t(seconds).build();
        let call = self.client.restart_container(name, Some(options));
        self.bounded(self.timeout.saturating_add(stop_timeout), call).map_err(|e| e.about(name))
    }

    /// Gives a container other limits, whether it runs or not; what is `None` stays.
    ///
    /// # Errors
    /// [`DockerError::Other`] with the engine's words where it refuses them.
    pub fn update(&self, name: &str, limits: &NewLimits) -> Result<(), DockerError> {
        check_name(name)?;
        let body = bollard::models::ContainerUpdateBody {
            memory: limits.memory,
            memory_swap: limits.memory_swap,
            nano_cpus: limits.nano_cpus,
            cpu_quota: limits.cpu_quota,
            cpu_period: limits.cpu_period,
            ..Default::default()
        };
        self.bounded(self.timeout, self.client.update_container(name, body)).map_err(|e| e.about(name))
    }

    /// Bodies of plain `GET`s, all sent at once, in the order asked; one that fails leaves the others alone.
    fn get_all(&self, paths: Vec<String>, timeout: Duration) -> Vec<Result<Vec<u8>, DockerError>> {
        let until = Instant::now() + timeout;
        self.runtime.block_on(async {
            let tasks: Vec<_> = paths
                .into_iter()
                .map(|path| {
                    let address = self.address.clone();
                    tokio::spawn(async move { collect(get(address, &path).await?).await })
                })
                .collect();
            let mut bodies = Vec::with_capacity(tasks.len());
            for mut task in tasks {
                bodies.push(match tokio::time::timeout_at(until.into(), &mut task).await {
                    Ok(Ok(body)) => body.map_err(|e| self.explain(&e)),
                    Ok(Err(e)) => Err(DockerError::Other(format!("a request to Docker broke off: {e}"))),
                    Err(_) => {
                        task.abort();
                        Err(self.silent(timeout))
                    }
                });
            }
            bodies
        })
    }

    fn bounded<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, BollardError>>,
    ) -> Result<T, DockerError> {
        self.runtime.block_on(async {
            match tokio::time::timeout(limit, call).await {
                Ok(answer) => answer.map_err(|e| self.explain(&e)),
                Err(_) => Err(self.silent(limit)),
            }
        })
    }

    fn silent(&self, limit: Duration) -> DockerError {
        DockerError::Timeout(format!("no answer within {limit:?} from Docker at {}", self.socket))
    }

    /// Sorts an error into the cases, with the innermost reason as text.
    fn explain(&self, error: &BollardError) -> DockerError {
        use std::io::ErrorKind;
        if let BollardError::DockerResponseServerError { status_code, message } = error {
            return match status_code {
                404 => DockerError::Absent { container: String::new() },
                401 | 403 => DockerError::Denied(format!("Docker at {} refuses: {message}", self.socket)),
                _ => DockerError::Other(format!("Docker at {} answers {status_code}: {message}", self.socket)),
            };
        }
        match io_kind(error) {
            Some(ErrorKind::PermissionDenied) => DockerError::Denied(format!(
                "permission denied at {}: run as root or as a member of the group that owns the socket",
                self.socket
            )),
            Some(ErrorKind::NotFound) => {
                DockerError::Unreachable(format!("no Docker socket at {}: is the engine running?", self.socket))
            }
            Some(ErrorKind::ConnectionRefused) => {
                DockerError::Unreachable(format!("connection refused at {}: is Docker running?", self.socket))
            }
            Some(_) => DockerError::Unreachable(format!("cannot reach Docker at {}: {}", self.socket, root(error))),
            None => DockerError::Other(format!("Docker at {}: {}", self.socket, root(error))),
        }
    }
}

impl fmt::Debug for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Docker").field("socket", &self.socket).field("timeout", &self.timeout).finish()
    }
}

impl DockerError {
    /// Puts the container's name into an error that had none.
    fn about(self, name: &str) -> DockerError {
        match self {
            DockerError::Absent { .. } => DockerError::Absent { container: name.to_owned() },
            other => other,
        }
    }
}

impl fmt::Display for DockerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DockerError::Absent { container } => write!(f, "no such container: {container}"),
            DockerError::Denied(why)
            | DockerError::Unreachable(why)
            | DockerError::Timeout(why)
            | DockerError::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for DockerError {}

/// Inspections under way at the same time.
const AT_ONCE: usize = 8;

/// Names go into the path of a request: only what Docker itself allows may.
fn check_name(name: &str) -> Result<(), DockerError> {
    let mut bytes = name.bytes();
    let sound = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if sound { Ok(()) } else { Err(DockerError::Absent { container: name.escape_debug().to_string() }) }
}

fn whole_seconds(at: Timestamp) -> i32 {
    i32::try_from(at.as_second()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
