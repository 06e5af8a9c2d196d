//! TLS as a client: which certificates are believed, and when the peer's ends.
//!
//! Lives here: rustls configurations, the host's own root certificates (read once, and only when something uses TLS),
//! the connector of the PostgreSQL client. May not live here: protocols on top of it.

use crate::model::TlsIdentity;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, NamedGroup, RootCertStore, SignatureScheme};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How far a server's certificate is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Signed by a known authority and made out to the name asked for.
    Full(Roots),
    /// Signed by a known authority, whatever its name (`sslmode=verify-ca`).
    ChainOnly(Roots),
    /// Not at all: encryption without knowing with whom (`sslmode=require`).
    Nobody,
}

/// Whose signatures are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// The host's own certificates; `SSL_CERT_FILE` and `SSL_CERT_DIR` are heeded.
    Native,
    /// Those of a PEM file.
    File(PathBuf),
}

/// A client configuration of this trust.
///
/// # Errors
/// When there are no root certificates to be had.
pub fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>> {
    config_of(trust, ring::default_provider())
}

/// A client configuration that holds the server to its name, and shows this identity where it is asked for one.
///
/// # Errors
/// When a file cannot be read or used, or there are no root certificates to be had.
pub fn mutual(roots: &Roots, identity: Option<&TlsIdentity>) -> Result<Arc<ClientConfig>> {
    let Some(TlsIdentity { certificate, key }) = identity else { return client_config(&Trust::Full(roots.clone())) };
    let unreadable = |path: &Path| format!("cannot read {}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unreadable(certificate))?;
    let secret = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?
        .with_root_certificates(root_store(roots)?)
        .with_client_auth_cert(chain, secret)
        .with_context(|| format!("cannot use {} with {}", certificate.display(), key.display()))?;
    Ok(Arc::new(config))
}

fn config_of(trust: &Trust, provider: CryptoProvider) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(provider);
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?;
    let config = match trust {
        Trust::Full(roots) => builder.with_root_certificates(root_store(roots)?).with_no_client_auth(),
        Trust::ChainOnly(roots) => {
            let inner = WebPkiServerVerifier::builder_with_provider(root_store(roots)?, provider.clone())
                .build()
                .context("cannot use the root certificates")?;
            lenient(builder.dangerous(), Some(inner), &provider)
        }
        Trust::Nobody => lenient(builder.dangerous(), None, &provider),
    };
    Ok(Arc::new(config))
}

fn lenient(
    builder: rustls::client::danger::DangerousClientConfigBuilder,
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: &CryptoProvider,
) -> ClientConfig {
    let verifier = Lenient { chain, algorithms: provider.signature_verification_algorithms };
    builder.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
}

fn root_store(roots: &Roots) -> Result<Arc<RootCertStore>> {
    match roots {
        Roots::Native => native_roots(),
        Roots::File(path) => file_roots(path),
    }
}

/// The host's roots are some 140 certificates: parsed once for all checks.
fn native_roots() -> Result<Arc<RootCertStore>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let why = found.errors.first().map_or_else(|| "none are installed".to_owned(), ToString::to_string);
        bail!("no root certificates on this host ({why}): install the package ca-certificates or set SSL_CERT_FILE");
    }
    Ok(ROOTS.get_or_init(|| Arc::new(store)).clone())
}

fn file_roots(path: &Path) -> Result<Arc<RootCertStore>> {
    let shown = path.display();
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).with_context(|| format!("cannot read {shown}"))? {
        let certificate = certificate.with_context(|| format!("no PEM certificate in {shown}"))?;
        store.add(certificate).with_context(|| format!("cannot use a certificate of {shown}"))?;
    }
    if store.is_empty() {
        bail!("no certificate in {shown}");
    }
    Ok(Arc::new(store))
}

/// Believes less than rustls does by itself: no name, or nothing at all. Signatures of the handshake are still checked,
/// so that the peer at least holds the key of the certificate it shows.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// When a certificate ends (`notAfter`, RFC 5280 section 4.1); `None` when it is not a certificate.
pub fn certificate_end(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    const VERSION: u8 = 0xa0;
    if rest.first() == Some(&VERSION) {
        (_, rest) = element(rest, VERSION)?;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?; // serial number, signature algorithm, issuer
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, not_after) = any_element(validity)?;
    let (tag, text, _) = tagged(not_after)?;
    let text = std::str::from_utf8(text).ok()?;
    // UTCTime has two digits of the year, of which 50 to 99 mean the last century.
    let text = match (tag, text.get(..2)?.parse::<u8>().ok()?) {
        (UTC_TIME, 50..) => format!("19{text}"),
        (UTC_TIME, _) => format!("20{text}"),
        (GENERALIZED_TIME, _) => text.to_owned(),
        _ => return None,
    };
    let digits = text.strip_suffix('Z').filter(|d| d.len() == 14 && d.is_ascii())?;
    let (date, time) = digits.split_at_checked(8)?;
    format!("{date}T{time}Z").parse().ok()
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;

/// Content of the first DER element, which must have this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = tagged(der)?;
    (found == tag).then_some((content, rest))
}

fn any_element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    tagged(der).map(|(_, content, rest)| (content, rest))
}

/// Tag and content of the first DER element, and what follows it.
fn tagged(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, &byte| (sum << 8) | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// TLS for the PostgreSQL client, over tokio-rustls.
#[derive(Clone)]
pub struct PostgresTls(Arc<ClientConfig>);

impl PostgresTls {
    /// TLS of this trust.
    ///
    /// # Errors
    /// When there are no root certificates to be had.
    pub fn new(trust: &Trust) -> Result<Self> {
        let mut provider = ring::default_provider();
        // All that a server takes by default up to version 17 (`ssl_ecdh_curve`): another first guess costs a second
        // round of the handshake.
        provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::secp256r1);
        Ok(PostgresTls(config_of(trust, provider)?))
    }
}

/// One connection's part of [`PostgresTls`].
pub struct PostgresHandshake {
    connector: tokio_rustls::TlsConnector,
    name: ServerName<'static>,
}

impl<S> postgres::tls::MakeTlsConnect<S> for PostgresTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = PostgresStream<S>;
    type TlsConnect = PostgresHandshake;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<PostgresHandshake, Self::Error> {
        // Nothing is known of a socket's or an empty name; such a connection never gets as far as a handshake.
        let name = if domain.is_empty() { "localhost" } else { domain };
        Ok(PostgresHandshake { connector: self.0.clone().into(), name: ServerName::try_from(name.to_owned())? })
    }
}

impl<S> postgres::tls::TlsConnect<S> for PostgresHandshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = PostgresStream<S>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<PostgresStream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { Ok(PostgresStream(self.connector.connect(self.name, stream).await?)) })
    }
}

/// An encrypted connection of the PostgreSQL client.
pub struct PostgresStream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for PostgresStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PostgresStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> postgres::tls::TlsStream for PostgresStream<S> {
    fn channel_binding(&self) -> postgres::tls::ChannelBinding {
        postgres::tls::ChannelBinding::none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivateKeyDer;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
    }

    fn certificate(name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(fixture(name)).unwrap()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_notations() {
        let check = |der: &[u8], end: Option<&str>| assert_eq!(certificate_end(der), end.map(|e| e.parse().unwrap()));
        let generalized = certificate("server.pem");
        check(&generalized, Some("2126-10-30T23:47:22Z"));
        check(&certificate("utctime.pem"), Some("2029-08-19T23:49:29Z"));
        check(b"", None);
        for cut in 0..generalized.len() {
            assert_eq!(certificate_end(generalized.get(..cut).unwrap()), None, "{cut}");
        }
    }

    /// A handshake with a server that shows the fixture made out to `localhost`.
    fn handshake(trust: &Trust, name: &'static str) -> Result<(), String> {
        let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate("server.pem")], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut socket = listener.accept().unwrap().0;
            let mut connection = rustls::ServerConnection::new(Arc::new(server)).unwrap();
            let _ = rustls::Stream::new(&mut connection, &mut socket).write_all(b"x");
        });
        let mut socket = TcpStream::connect(address).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let mut connection = rustls::ClientConnection::new(client_config(trust).unwrap(), name).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        stream.read_exact(&mut [0]).map_err(|e| e.to_string())
    }

    #[test]
    fn trust_goes_as_far_as_it_says_and_no_further() {
        let ours = || Roots::File(fixture("ca.pem"));
        let other = || Roots::File(fixture("utctime.pem"));
        let cases = [
            (Trust::Full(ours()), "localhost", true),
            (Trust::Full(ours()), "127.0.0.1", true),
            (Trust::Full(ours()), "elsewhere", false),
            (Trust::Full(other()), "localhost", false),
            (Trust::ChainOnly(ours()), "elsewhere", true),
            (Trust::ChainOnly(other()), "localhost", false),
            (Trust::Nobody, "elsewhere", true),
        ];
        for (trust, name, believed) in cases {
            let done = handshake(&trust, name);
            assert_eq!(done.is_ok(), believed, "{trust:?} {name}: {done:?}");
        }
    }

    #[test]
    fn a_root_file_that_is_none_is_named() {
        for name in ["server.key", "absent.pem"] {
            let error = client_config(&Trust::Full(Roots::File(fixture(name)))).unwrap_err();
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
    }
}
