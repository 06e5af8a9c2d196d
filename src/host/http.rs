//! A small HTTP client: one request, one bounded answer, one deadline, no redirects, no proxy, no pool.
//!
//! Lives here: what the HTTP check and the webhooks share. May not live here: what an answer means.
//!
//! ureq panics on https without a TLS provider and does not show the peer's certificate, so TLS is a link of its
//! connector chain written here.

use super::tls::{self, Roots, Trust};
use std::fmt;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector, Transport, TransportAdapter,
};

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    pub method: &'a str,
    /// `http://` or `https://`; may hold secrets, which no error repeats.
    pub url: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    /// For the whole: name resolution, connect, TLS, sending, and reading the answer.
    pub timeout: Duration,
    /// Bytes of the answer that are kept; the rest is not read.
    pub max_body: usize,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Until the head of the answer was there.
    pub response_time: Duration,
    /// The peer's own certificate (DER), over https.
    pub certificate: Option<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    Timeout,
    /// The rest of a sentence about the peer: `connection refused`.
    Failed(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Timeout => f.write_str("no answer in time"),
            HttpError::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HttpError {}

/// Sends one request and reads its answer.
///
/// # Errors
/// When no whole head of an answer came in time, or the request cannot be made of what was given. A status such as 503
/// is an answer.
pub fn request(of: &HttpRequest<'_>) -> Result<HttpAnswer, HttpError> {
    let start = Instant::now();
    let seen = Arc::new(Mutex::new(None));
    let connector = ().chain(TcpConnector::default()).chain(TlsConnector { certificate: seen.clone() });
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .allow_non_standard_methods(true)
        .timeout_global(Some(of.timeout))
        .max_idle_connections(0)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .user_agent(concat!("healer/", env!("CARGO_PKG_VERSION")))
        .build();
    let agent = ureq::Agent::with_parts(config, connector, DefaultResolver::default());

    let mut request = ureq::http::Request::builder().method(of.method).uri(of.url);
    for (name, value) in of.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(of.body.to_vec()).map_err(|e| HttpError::Failed(e.to_string()))?;
    let mut answer = agent.run(request).map_err(explain)?;
    let response_time = start.elapsed();

    let mut body = Vec::new();
    let limit = u64::try_from(of.max_body).unwrap_or(u64::MAX);
    // A larger limit in the reader than in `take`: ureq's own would be an error and ours is an end.
    let reader = answer.body_mut().with_config().limit(limit.saturating_add(1)).reader();
    reader.take(limit).read_to_end(&mut body).map_err(|e| explain(ureq::Error::from(e)))?;
    let certificate = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(HttpAnswer { status: answer.status().as_u16(), body, response_time, certificate })
}

/// Enough for a head; a body goes through in as many rounds as it needs.
const BUFFER: usize = 16 << 10;

/// A URL as it may be shown: without user, password, query and fragment.
pub fn shown_url(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let url = url.get(..end).unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

fn explain(error: ureq::Error) -> HttpError {
    use ureq::Error;
    HttpError::Failed(match error {
        Error::Timeout(_) => return HttpError::Timeout,
        Error::Io(io) => return explain_io(io),
        Error::HostNotFound => "the host name does not resolve".into(),
        Error::BadUri(_) => "the URL is not one of http:// or https://".into(),
        Error::Protocol(e) => format!("the answer is no HTTP: {e}"),
        Error::Other(e) => e.to_string(),
        // Whatever may repeat the URL stays out.
        Error::Http(_) => "the request cannot be made: bad URL, method or header".into(),
        other => other.to_string(),
    })
}

/// TLS errors travel inside I/O errors, and ureq's own inside those again.
fn explain_io(error: std::io::Error) -> HttpError {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => return HttpError::Failed("connection refused".into()),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => return HttpError::Timeout,
        ErrorKind::ConnectionReset => return HttpError::Failed("connection reset by the server".into()),
        ErrorKind::UnexpectedEof => {
            return HttpError::Failed("the server closed the connection without an answer".into());
        }
        _ => {}
    }
    let text = error.to_string();
    let inner = error.into_inner();
    match inner.map(|inner| inner.downcast::<ureq::Error>()) {
        Some(Ok(inner)) => explain(*inner),
        Some(Err(other)) => match other.downcast::<rustls::Error>() {
            Ok(tls) => HttpError::Failed(format!("TLS: {tls}")),
            Err(_) => HttpError::Failed(text),
        },
        None => HttpError::Failed(text),
    }
}

/// The link of the chain that wraps https in TLS.
#[derive(Debug)]
struct TlsConnector {
    certificate: Arc<Mutex<Option<Vec<u8>>>>,
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let config = tls::client_config(&Trust::Full(Roots::Native)).map_err(|e| ureq::Error::Other(e.into()))?;
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = host.try_into().map_err(|_| ureq::Error::Tls("the host name is no DNS name"))?;
        let mut connection = rustls::ClientConnection::new(config, name).map_err(|e| ureq::Error::Other(e.into()))?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        if let Some(own) = connection.peer_certificates().and_then(|chain| chain.first()) {
            *self.certificate.lock().unwrap_or_else(PoisonError::into_inner) = Some(own.to_vec());
        }
        let stream = rustls::StreamOwned { conn: connection, sock: socket };
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: rustls::StreamOwned<rustls::ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        use std::io::Write;
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}
