//! One way to the Docker Engine for bollard and for plain requests: a connection per request over hyper.

use crate::host::tls::{Roots, mutual};
use crate::model::DockerTls;
use anyhow::Context;
use bollard::errors::Error as BollardError;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// Where the engine listens.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Unix(PathBuf),
    Tcp(String),
    Tls { at: String, name: ServerName<'static>, config: Arc<ClientConfig> },
}

impl Address {
    pub(super) fn parse(socket: &str) -> Option<Address> {
        match socket.split_once("://")? {
            ("unix", path) if path.starts_with('/') => Some(Address::Unix(path.into())),
            ("tcp", at) if !at.is_empty() && !at.contains('/') => Some(Address::Tcp(at.to_owned())),
            _ => None,
        }
    }

    /// The same place, reached through TLS.
    pub(super) fn through(self, tls: &DockerTls) -> anyhow::Result<Address> {
        let Address::Tcp(at) = self else { anyhow::bail!("TLS is for tcp:// addresses") };
        let host = at.rsplit_once(':').map_or(at.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name =
            ServerName::try_from(host).with_context(|| format!("{at} holds no host name that TLS could check"))?;
        let roots = tls.ca.clone().map_or(Roots::Native, Roots::File);
        let config = mutual(&roots, tls.identity.as_ref())?;
        Ok(Address::Tls { at, name, config })
    }
}

/// Largest body taken of a plain request.
const MAX_BODY: usize = 64 << 20;

/// bollard's own time-out covers only the response's headers; ours covers everything and always comes first.
pub(super) const UNBOUNDED_SECS: u64 = 1 << 20;

/// Sends one request over a connection of its own: the single transport of this module.
pub(super) async fn send<B>(address: Address, request: Request<B>) -> Result<Response<Incoming>, BollardError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match address {
        Address::Unix(path) => exchange(tokio::net::UnixStream::connect(path).await?, request).await,
        Address::Tcp(at) => exchange(tokio::net::TcpStream::connect(at).await?, request).await,
        Address::Tls { at, name, config } => {
            let stream = tokio::net::TcpStream::connect(at).await?;
            exchange(TlsConnector::from(config).connect(name, stream).await?, request).await
        }
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
pub(super) async fn get(address: Address, path: &str) -> Result<Incoming, BollardError> {
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

pub(super) async fn collect(mut body: Incoming) -> Result<Vec<u8>, BollardError> {
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

/// The kind of the I/O error at the bottom of an error, if one is there.
pub(super) fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
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
pub(super) fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
