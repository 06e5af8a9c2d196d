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
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
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
    request_trusting(of, Trust::Full(Roots::Native))
}

fn request_trusting(of: &HttpRequest<'_>, trust: Trust) -> Result<HttpAnswer, HttpError> {
    let start = Instant::now();
    let seen = Arc::new(Mutex::new(None));
    let connector = ().chain(TcpConnector::default()).chain(TlsConnector { trust, certificate: seen.clone() });
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
    let agent = ureq::Agent::with_parts(config, connector, AddressFirst::default());

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

/// A URL as it may be shown: without user, password, query and fragment. What is no URL is not shown at all.
pub fn shown_url(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let Some((scheme, rest)) = url.get(..end).unwrap_or_default().split_once("://") else { return "***".into() };
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    let port = authority.rsplit_once([':', ']']).map_or("", |(_, port)| port);
    let whole = authority.contains('@') || port.bytes().all(|b| b.is_ascii_digit());
    // A password with a slash in it that should have been encoded makes the 'port' no number.
    let host_and_path = match authority.rsplit_once('@') {
        Some((user, _)) => rest.get(user.len() + 1..).unwrap_or_default(),
        None if whole => rest,
        None => rest.rsplit_once('@').map_or("***", |(_, host)| host),
    };
    format!("{scheme}://{host_and_path}")
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
        ErrorKind::PermissionDenied => {
            let why = "the system forbids this connection: `IPAddressAllow=` in a drop-in of healer.service allows it";
            return HttpError::Failed(why.into());
        }
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
            Ok(tls) => HttpError::Failed(format!("TLS: {}", tls_words(&tls.to_string()))),
            Err(_) => HttpError::Failed(text),
        },
        None => HttpError::Failed(text),
    }
}

/// A certificate that `openssl req -x509` makes is an authority of its own: the library has only a code for that.
fn tls_words(error: &str) -> &str {
    if error.contains("CaUsedAsEndEntity") {
        return "invalid peer certificate: it is self-signed, made out as an authority and used by a server";
    }
    error
}

/// Resolves names as ureq does, on a thread that can be given up; an address needs neither.
#[derive(Debug, Default)]
struct AddressFirst(DefaultResolver);

impl Resolver for AddressFirst {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().or(match uri.scheme_str() {
            Some("http") => Some(80),
            Some("https") => Some(443),
            _ => None,
        });
        let (Ok(ip), Some(port)) = (host.parse::<std::net::IpAddr>(), port) else {
            return self.0.resolve(uri, config, timeout);
        };
        let mut addresses = self.empty();
        addresses.push((ip, port).into());
        Ok(addresses)
    }
}

/// The link of the chain that wraps https in TLS.
#[derive(Debug)]
struct TlsConnector {
    trust: Trust,
    certificate: Arc<Mutex<Option<Vec<u8>>>>,
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let config = tls::client_config(&self.trust).map_err(|e| ureq::Error::Other(e.into()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::io::Write;
    use std::net::{SocketAddr, TcpListener};
    use std::path::{Path, PathBuf};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
    }

    /// A server that says one thing over TLS and keeps what it was sent.
    fn secure_server() -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
        let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
        let chain = vec![CertificateDer::from_pem_file(fixture("server.pem")).unwrap()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let mut connection = rustls::ServerConnection::new(Arc::new(config.clone())).unwrap();
                let mut stream = rustls::Stream::new(&mut connection, &mut socket);
                let mut seen = vec![0; 4096];
                if let Ok(n) = stream.read(&mut seen) {
                    let _ = stream.write_all(b"HTTP/1.1 201 Made\r\nContent-Length: 10\r\n\r\n0123456789");
                    let _ = sender.send(String::from_utf8_lossy(&seen[..n]).into_owned());
                }
            }
        });
        (address, receiver)
    }

    fn to(url: &str) -> HttpRequest<'_> {
        let timeout = Duration::from_secs(20);
        HttpRequest { method: "POST", url, headers: &[("X-Test", "yes")], body: b"hi", timeout, max_body: 4 }
    }

    #[test]
    fn a_self_signed_certificate_is_told_in_words() {
        let check = |error: &str, expected: &str| assert!(tls_words(error).contains(expected), "{error}");
        check("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", "it is self-signed");
        check("invalid peer certificate: UnknownIssuer", "invalid peer certificate: UnknownIssuer");
    }

    #[test]
    fn https_shows_its_certificate_and_bodies_are_bounded() {
        let (address, seen) = secure_server();
        let url = format!("https://localhost:{}/hook", address.port());
        let answer = request_trusting(&to(&url), Trust::Full(Roots::File(fixture("ca.pem")))).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (201, &b"0123"[..]));
        let end = answer.certificate.as_deref().and_then(tls::certificate_end);
        assert_eq!(end.map(|e| e.to_string()).as_deref(), Some("2126-10-30T23:47:22Z"));
        let request = seen.recv().unwrap().to_ascii_lowercase();
        assert!(request.starts_with("post /hook http/1.1\r\n") && request.contains("x-test: yes"), "{request}");
    }

    #[test]
    fn a_certificate_nobody_vouches_for_is_refused() {
        let (address, _seen) = secure_server();
        let url = format!("https://127.0.0.1:{}/", address.port());
        let error = request_trusting(&to(&url), Trust::Full(Roots::File(fixture("utctime.pem")))).unwrap_err();
        assert!(matches!(&error, HttpError::Failed(why) if why.contains("certificate")), "{error:?}");
    }

    #[test]
    fn shown_urls_hold_no_secret() {
        for (url, shown) in [
            ("http://h/p", "http://h/p"),
            ("http://user:pass@h:1/p?token=x#y", "http://h:1/p"),
            ("postgres://u:p@ss@h/db?password=x", "postgres://h/db"),
            ("redis://:pw@h:6379", "redis://h:6379"),
            ("http://u:p/w@h/x", "http://h/x"),
            ("http://h?x=1", "http://h"),
            ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
            ("http://h/a@b", "http://h/a@b"),
            ("u:p@h", "***"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }

    #[test]
    fn errors_do_not_repeat_the_url() {
        for url in ["hunter2", "ftp://hunter2@h/", "http://a b/hunter2", "http://[hunter2/"] {
            let error = request(&to(url)).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{url}: {error}");
        }
    }
}
