//! Mail: the alert as plain text to one recipient, through the mail server of the configuration.

use crate::alert::Alert;
use crate::alert::notifier::{Failure, Notifier};
use crate::config::{Email, SmtpSecurity};
use anyhow::{Context, Result};
use lettre::address::Envelope;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, SmtpTransport, Transport};
use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

/// Of a subject, in characters.
const LONGEST_SUBJECT: usize = 160;

pub struct Recipient {
    email: Email,
    to: String,
}

impl Recipient {
    pub fn new(email: &Email, to: &str) -> Self {
        Recipient { email: email.clone(), to: to.to_owned() }
    }
}

impl Notifier for Recipient {
    fn name(&self) -> String {
        format!("email {}", self.to)
    }

    fn send(&self, alert: &Alert, within: Duration) -> Result<(), Failure> {
        let (envelope, message) =
            message(&self.email, &self.to, alert).map_err(|error| Failure::Refused(format!("{error:#}")))?;
        let server = server(&self.email, &alert.host, within).map_err(|error| Failure::Later(format!("{error:#}")))?;
        server.send_raw(&envelope, &message).map(drop).map_err(|error| judged(&error))
    }
}

fn server(email: &Email, host: &str, within: Duration) -> Result<SmtpTransport> {
    let smtp = &email.smtp;
    let tls = || TlsParameters::new(smtp.host.clone()).context("cannot set up TLS");
    let tls = match smtp.security {
        SmtpSecurity::None => Tls::None,
        SmtpSecurity::Starttls => Tls::Required(tls()?),
        SmtpSecurity::Tls => Tls::Wrapper(tls()?),
    };
    let login = smtp.login.as_ref();
    let login = login.map(|(user, password)| Credentials::new(user.reveal().into(), password.reveal().into()));
    // Nothing is kept open: a pass sends few and ends.
    let server = SmtpTransport::builder_dangerous(smtp.host.as_str())
        .port(smtp.port)
        .tls(tls)
        .hello_name(ClientId::Domain(domain(host)))
        .timeout(Some(within));
    Ok(login.into_iter().fold(server, |server, login| server.credentials(login)).build())
}

/// What a mail server's word means for the next try.
fn judged(error: &lettre::transport::smtp::Error) -> Failure {
    let why = explained(error);
    let code = error.status().map(|code| code.to_string());
    match code.as_deref() {
        // Who we are is not believed.
        Some("530" | "534" | "535" | "538") => Failure::Later(why),
        _ if error.is_permanent() => Failure::Refused(why),
        _ if error.is_transient() => Failure::Soon(why),
        _ if error.is_timeout() => Failure::Later("no answer in time".to_owned()),
        _ if error.is_tls() || error.is_client() => Failure::Later(why),
        _ => Failure::Soon(why),
    }
}

fn explained(error: &lettre::transport::smtp::Error) -> String {
    let mut source = error.source();
    while let Some(inner) = source {
        let kind = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        match kind {
            Some(ErrorKind::PermissionDenied) => {
                return "the system forbids this connection: `IPAddressAllow=` in a drop-in of healer.service allows it"
                    .to_owned();
            }
            Some(ErrorKind::ConnectionRefused) => return "connection refused".to_owned(),
            _ => {}
        }
        source = inner.source();
    }
    crate::text::clean(&error.to_string())
}

/// What the server is told, and the message.
fn message(email: &Email, to: &str, alert: &Alert) -> Result<(Envelope, Vec<u8>)> {
    let address = |text: &str| text.parse::<Address>().with_context(|| format!("`{text}` is no mail address"));
    let host = domain(&alert.host);
    let from = address(&email.from.clone().unwrap_or_else(|| format!("healer@{host}")))?;
    let sent: jiff::Timestamp = alert.time.parse().unwrap_or_default();
    let id = format!("<{}.{}@{host}>", sent.as_second(), message_hash(alert, to));
    let mut message = Message::builder()
        .from(Mailbox::new(Some("healer".to_owned()), from.clone()))
        .subject(subject(alert))
        .date(std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(sent.as_second()).unwrap_or(0)))
        .message_id(Some(id))
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN);
    for one in &email.to {
        message = message.to(Mailbox::new(None, address(one)?));
    }
    let envelope = Envelope::new(Some(from), vec![address(to)?]).context("no mail can be addressed")?;
    let message = message.body(alert.text() + "\n").context("no mail can be made of the alert")?;
    Ok((envelope, message.formatted()))
}

/// One line, whatever names and log lines have to say.
fn subject(alert: &Alert) -> String {
    let line = crate::text::clean(&format!("[healer] {}", alert.headline()));
    super::format::cut(&line, LONGEST_SUBJECT, |_| 1)
}

/// The same for the same alert, so that one that is told twice is known as such.
fn message_hash(alert: &Alert, to: &str) -> String {
    let text = format!("{to}\n{}", Alert { delayed: None, ..alert.clone() }.text());
    crate::host::files::sha256(text.as_bytes()).chars().take(24).collect()
}

/// The name of this host where it may stand in an address.
fn domain(host: &str) -> String {
    let sound = crate::config::is_mail_address(&format!("healer@{host}"));
    if sound { host.to_owned() } else { "localhost".to_owned() }
}

/// No out-of-office note answers to this (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
