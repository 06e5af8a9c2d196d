//! The Docker Engine behind a synchronous face: bollard on one current-thread runtime, every call under a deadline.
//!
//! Lives here: connecting, the calls the program makes, and their errors as cases it can branch on. May not live here:
//! what a container's state means (`observe::docker`), what its log says (`logs`).
//!
//! bollard's typed container list fails as a whole on one unknown word and keeps much that nobody reads, and its
//! decoder holds a terminal's output until a newline comes. So these two go as plain requests over the same transport.

use crate::model::ContainerHealth;
use crate::model::ContainerState;
use bollard::errors::Error as BollardError;
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder, RestartContainerOptionsBuilder};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection to one Docker Engine. Nothing is opened before the first call.
pub struct Docker {
    runtime: tokio::runtime::Runtime,
    client: bollard::Docker,
    address: Address,
    socket: String,
    timeout: Duration,
}

#[derive(Debug, Clone)]
enum Address {
    Unix(PathBuf),
    Tcp(String),
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

/// One line of the container list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedContainer {
    pub id: String,
    #[serde(default)]
    names: Vec<String>,
    /// The engine's own word (`running`); see [`ContainerState`].
    #[serde(default)]
    pub state: String,
    /// For people: `Up 3 hours (healthy)`, `Exited (1) 5 minutes ago`.
    #[serde(default)]
    pub status: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub labels: HashMap<String, String>,
}

/// All that is known of one container.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerDetail {
    /// Whole id, 64 hex digits.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    pub state: ContainerState,
    pub health: Option<ContainerHealth>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub restart_count: u64,
    pub oom_killed: bool,
    pub exit_code: Option<i64>,
    pub image: String,
    pub labels: HashMap<String, String>,
    pub mounts: Vec<Mount>,
    /// `json-file`, `local`, `journald`, ...
    pub log_driver: String,
    /// The file of the `json-file` driver.
    pub log_path: Option<PathBuf>,
    /// Its output is one raw stream, as a terminal would get it.
    pub tty: bool,
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, ...
    pub kind: String,
    /// Path on the host.
    pub source: PathBuf,
    /// Path in the container.
    pub destination: PathBuf,
    pub rw: bool,
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

/// Largest body taken of a plain request.
const MAX_BODY: usize = 64 << 20;

impl Docker {
    /// An engine at `unix:///path` or `tcp://host:port`; each call is bound by `timeout`.
    ///
    /// # Errors
    /// [`DockerError::Other`] when the address is not of these forms or no runtime can be made.
    pub fn connect(socket: &str, timeout: Duration) -> Result<Docker, DockerError> {
        let address = Address::parse(socket).ok_or_else(|| {
            DockerError::Other(format!("`{socket}` is no Docker address: write unix:///path or tcp://host:port"))
        })?;
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
            UNBOUNDED_SECS,
            bollard::API_DEFAULT_VERSION,
        )
        .map_err(|e| DockerError::Other(format!("cannot use Docker at {socket}: {e}")))?;
        Ok(Docker { runtime, client, address, socket: socket.to_owned(), timeout })
    }

    /// The address as given.
    pub fn socket(&self) -> &str {
        &self.socket
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
        serde_json::from_slice(&body).map_err(|e| {
            DockerError::Other(format!("Docker at {} sent an unreadable container list: {e}", self.socket))
        })
    }

    /// Everything about one container.
    ///
    /// # Errors
    /// [`DockerError::Absent`] when there is none of this id or name.
    pub fn inspect(&self, id_or_name: &str) -> Result<ContainerDetail, DockerError> {
        check_name(id_or_name)?;
        let answer = self.client.inspect_container(id_or_name, None::<InspectContainerOptions>);
        let answer = self.bounded(self.timeout, answer).map_err(|e| e.about(id_or_name))?;
        Ok(detail(answer))
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

    /// Bodies of plain `GET`s, all sent at once, in the order asked; one that fails leaves the others alone.
    fn get_all(&self, paths: Vec<String>, timeout: Duration) -> Vec<Result<Vec<u8>, DockerError>> {
        let until = std::time::Instant::now() + timeout;
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

impl Address {
    fn parse(socket: &str) -> Option<Address> {
        match socket.split_once("://")? {
            ("unix", path) if path.starts_with('/') => Some(Address::Unix(path.into())),
            ("tcp", at) if !at.is_empty() && !at.contains('/') => Some(Address::Tcp(at.to_owned())),
            _ => None,
        }
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

/// bollard's own time-out covers only the response's headers; ours covers everything and always comes first.
const UNBOUNDED_SECS: u64 = 1 << 20;

/// Sends one request over a connection of its own: the single transport of this module.
async fn send<B>(address: Address, request: Request<B>) -> Result<Response<Incoming>, BollardError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match address {
        Address::Unix(path) => exchange(tokio::net::UnixStream::connect(path).await?, request).await,
        Address::Tcp(at) => exchange(tokio::net::TcpStream::connect(at).await?, request).await,
    }
}

async fn exchange<S, B>(stream: S, mut request: Request<B>) -> Result<Response<Incoming>, BollardError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // An origin server wants the path alone on the request line.
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    *request.uri_mut() = path.parse::<Uri>()?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::Builder::new().max_buf_size(BUFFER).handshake(io).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// Read buffer of a connection, so that a hundred at once stay small.
const BUFFER: usize = 16 << 10;

/// The body of a plain `GET`, or the engine's refusal as bollard would report it.
async fn get(address: Address, path: &str) -> Result<Incoming, BollardError> {
    let request = Request::get(path).body(Empty::<Bytes>::new())?;
    let response = send(address, request).await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let body = collect(response.into_body()).await?;
    let message = serde_json::from_slice::<Refusal>(&body)
        .map_or_else(|_| String::from_utf8_lossy(&body).into_owned(), |refusal| refusal.message);
    Err(BollardError::DockerResponseServerError { status_code: status.as_u16(), message })
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

async fn collect(mut body: Incoming) -> Result<Vec<u8>, BollardError> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Some(bytes) = frame?.data_ref() {
            if all.len() + bytes.len() > MAX_BODY {
                return Err(std::io::Error::other("the answer is larger than 64 MiB").into());
            }
            all.extend_from_slice(bytes);
        }
    }
    Ok(all)
}

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

/// The kind of the I/O error at the bottom of an error, if one is there.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        // A transparent variant hides the error itself and shows only that one's source.
        if let Some(BollardError::IOError { err }) = error.downcast_ref::<BollardError>() {
            return Some(err.kind());
        }
        at = error.source();
    }
    None
}

/// The innermost reason of an error.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

fn null_as_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

impl ListedContainer {
    /// Its own name without the slash; names with a further slash are links of other containers.
    pub fn name(&self) -> &str {
        let own = self.names.iter().map(|n| n.trim_start_matches('/')).find(|n| !n.contains('/'));
        own.unwrap_or(&self.id)
    }
}

impl ContainerState {
    /// The state of the engine's own word.
    pub fn from_word(word: &str) -> ContainerState {
        match word {
            "created" => ContainerState::Created,
            "running" => ContainerState::Running,
            "paused" => ContainerState::Paused,
            "restarting" => ContainerState::Restarting,
            "removing" => ContainerState::Removing,
            "exited" => ContainerState::Exited,
            "dead" => ContainerState::Dead,
            other => ContainerState::Other(other.to_owned()),
        }
    }
}

/// A point in time as the engine writes it; year 1 means never.
fn point(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok().filter(|t: &Timestamp| t.as_second() > 0)
}

fn detail(from: bollard::models::ContainerInspectResponse) -> ContainerDetail {
    let state = from.state.unwrap_or_default();
    let config = from.config.unwrap_or_default();
    let health = state.health.as_ref().and_then(|h| h.status).and_then(|word| match word.as_ref() {
        "starting" => Some(ContainerHealth::Starting),
        "healthy" => Some(ContainerHealth::Healthy),
        "unhealthy" => Some(ContainerHealth::Unhealthy),
        _ => None,
    });
    ContainerDetail {
        id: from.id.unwrap_or_default(),
        name: from.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        state: ContainerState::from_word(state.status.map_or(String::new(), |s| s.to_string()).as_str()),
        health,
        started_at: point(state.started_at.as_deref()),
        finished_at: point(state.finished_at.as_deref()),
        restart_count: from.restart_count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        oom_killed: state.oom_killed.unwrap_or(false),
        exit_code: state.exit_code,
        image: config.image.or(from.image).unwrap_or_default(),
        labels: config.labels.unwrap_or_default(),
        mounts: from.mounts.unwrap_or_default().into_iter().map(mount).collect(),
        log_driver: from.host_config.and_then(|h| h.log_config).and_then(|l| l.typ).unwrap_or_default(),
        log_path: from.log_path.filter(|p| !p.is_empty()).map(PathBuf::from),
        tty: config.tty.unwrap_or(false),
    }
}

fn mount(from: bollard::models::MountPoint) -> Mount {
    Mount {
        kind: from.typ.map(|t| t.to_string()).unwrap_or_default(),
        source: from.source.unwrap_or_default().into(),
        destination: from.destination.unwrap_or_default().into(),
        rw: from.rw.unwrap_or(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(20);

    /// An engine that answers every request with these bytes, or, with none, never.
    fn engine(answer: Option<&'static [u8]>) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().flatten() {
                if let Some(answer) = answer {
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = stream.write_all(answer);
                } else {
                    open.push(stream);
                }
            }
        });
        (dir, format!("unix://{}", path.display()))
    }

    #[test]
    fn addresses() {
        for (socket, sound) in [
            ("unix:///var/run/docker.sock", true),
            ("tcp://127.0.0.1:2375", true),
            ("unix://relative", false),
            ("/var/run/docker.sock", false),
            ("https://host", false),
            ("tcp://host:1/path", false),
        ] {
            assert_eq!(Address::parse(socket).is_some(), sound, "{socket}");
        }
    }

    #[test]
    fn names_that_docker_would_not_allow_never_reach_a_path() {
        let (_dir, socket) = engine(None);
        let docker = Docker::connect(&socket, LONG).unwrap();
        for name in ["", "../info", "a/b", "a?b", "-a", "a b", "a%2f", "ä"] {
            assert!(matches!(docker.inspect(name), Err(DockerError::Absent { .. })), "{name}");
            assert!(matches!(docker.restart(name, LONG), Err(DockerError::Absent { .. })), "{name}");
        }
    }

    #[test]
    fn a_silent_engine_is_a_timeout_on_every_call() {
        let (_dir, socket) = engine(None);
        let docker = Docker::connect(&socket, SHORT).unwrap();
        let start = Instant::now();
        let calls: [Result<(), DockerError>; 5] = [
            docker.list().map(drop),
            docker.inspect("a").map(drop),
            docker.logs("a", LogQuery::default(), &mut |_| ()),
            docker.logs("a", LogQuery { tty: true, ..LogQuery::default() }, &mut |_| ()),
            docker.restart("a", Duration::ZERO),
        ];
        assert!(start.elapsed() < LONG);
        for call in calls {
            assert!(matches!(call, Err(DockerError::Timeout(_))), "{call:?}");
        }
        assert!(docker.stats(&["a".into(), "b".into()], SHORT).iter().all(Result::is_err));
    }

    #[test]
    fn a_body_that_stops_half_way_is_an_error() {
        let (_dir, socket) = engine(Some(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{"));
        assert!(Docker::connect(&socket, LONG).unwrap().list().is_err());
    }

    #[test]
    fn no_engine_is_unreachable_and_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let gone = format!("unix://{}/docker.sock", dir.path().display());
        let refused = dir.path().join("left.sock");
        drop(UnixListener::bind(&refused).unwrap());
        for socket in [gone, format!("unix://{}", refused.display())] {
            let error = Docker::connect(&socket, LONG).unwrap().list().unwrap_err();
            assert!(matches!(&error, DockerError::Unreachable(why) if why.contains(&socket)), "{error:?}");
        }
    }

    #[test]
    fn refusals_are_cases() {
        let (_dir, socket) = engine(Some(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 37\r\n\r\n{\"message\":\"No such container: shop\"}\n",
        ));
        let docker = Docker::connect(&socket, LONG).unwrap();
        assert_eq!(docker.inspect("shop"), Err(DockerError::Absent { container: "shop".into() }));
        let (_dir, socket) = engine(Some(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"));
        let error = Docker::connect(&socket, LONG).unwrap().list().unwrap_err();
        assert!(matches!(&error, DockerError::Denied(why) if why.ends_with("refuses: no")), "{error:?}");
    }

    #[test]
    fn one_unknown_state_word_hides_no_container() {
        let (_dir, socket) = engine(Some(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"Id\":\"1\",\"Names\":[\"/other/link\",\"/one\"],\"State\":\"hibernating\",\"Status\":\"Zzz\",\"Labels\":null},{\"Id\":\"2\",\"Names\":[],\"State\":\"running\"}]",
        ));
        let listed = Docker::connect(&socket, LONG).unwrap().list().unwrap();
        let names: Vec<_> = listed.iter().map(|c| (c.name(), ContainerState::from_word(&c.state))).collect();
        assert_eq!(names, [("one", ContainerState::Other("hibernating".into())), ("2", ContainerState::Running)]);
    }

    #[test]
    fn both_kinds_of_log_stream_are_handed_over() {
        let collect = |socket: &str, tty| {
            let mut seen = Vec::new();
            let query = LogQuery { tty, ..LogQuery::default() };
            let docker = Docker::connect(socket, LONG).unwrap();
            docker.logs("a", query, &mut |c| seen.push((c.stream, c.bytes.to_vec()))).unwrap();
            seen
        };
        let (_dir, socket) = engine(Some(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x01\0\0\0\0\0\0\x03ab\n\x02\0\0\0\0\0\0\x02c\n",
        ));
        let expected = [(LogStream::Stdout, b"ab\n".to_vec()), (LogStream::Stderr, b"c\n".to_vec())];
        assert_eq!(collect(&socket, false), expected);
        let (_dir, socket) = engine(Some(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nno newline \x1b[1m"));
        let whole: Vec<u8> = collect(&socket, true).into_iter().flat_map(|(_, bytes)| bytes).collect();
        assert_eq!(whole, b"no newline \x1b[1m");
    }

    #[test]
    fn year_one_means_never() {
        assert_eq!(point(Some("0001-01-01T00:00:00Z")), None);
        assert_eq!(point(Some("2026-01-02T03:04:05.678Z")).map(|t| t.as_second()), Some(1_767_323_045));
        assert_eq!(point(Some("")), None);
    }
}
