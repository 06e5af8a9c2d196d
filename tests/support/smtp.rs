//! A small mail server in threads: speaks SMTP (RFC 5321) with EHLO, STARTTLS and AUTH PLAIN, remembers what it was sent.

use super::DEADLINE;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

/// A message that was taken.
#[derive(Debug, Clone)]
pub struct Mail {
    pub hello: String,
    pub from: String,
    pub to: Vec<String>,
    /// What came with AUTH PLAIN: user and password.
    pub login: Option<(String, String)>,
    pub encrypted: bool,
    /// Names in lower case; folded lines are one, encoded words are read.
    pub headers: Vec<(String, String)>,
    /// Read from its transfer encoding; line ends are `\n`.
    pub body: String,
}

impl Mail {
    /// The value of the one header of this name.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let found: Vec<&str> = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        assert_eq!(found.len(), 1, "{name} in {:?}", self.headers);
        found[0]
    }
}

/// How it speaks.
#[derive(Debug, Clone, Default)]
pub struct Manners {
    /// TLS from the first byte on.
    pub tls: bool,
    /// STARTTLS is offered.
    pub starttls: bool,
    /// Who is let in; everybody else is told off, with what he sent.
    pub login: Option<(String, String)>,
    /// The answer to RCPT for this address.
    pub refuses: Option<(String, String)>,
    /// Replies to DATA before it begins to take mail.
    pub busy: usize,
}

struct Shared {
    manners: Manners,
    mails: Mutex<Vec<Mail>>,
    busy: Mutex<usize>,
    changed: Condvar,
}

/// Listens on a free port of 127.0.0.1.
pub struct SmtpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

impl SmtpServer {
    pub fn start(manners: Manners) -> SmtpServer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let busy = Mutex::new(manners.busy);
        let shared = Arc::new(Shared { manners, mails: Mutex::default(), busy, changed: Condvar::new() });
        std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for socket in listener.incoming().flatten() {
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || Session::new(socket, &shared).serve());
                }
            }
        });
        SmtpServer { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The certificate that vouches for this server's, made out to `localhost`.
    pub fn authority() -> PathBuf {
        fixture("ca.pem")
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.shared.mails.lock().unwrap().clone()
    }

    /// Waits until there were at least `count` messages; returns all.
    #[track_caller]
    pub fn wait_for_mails(&self, count: usize) -> Vec<Mail> {
        let mails = self.shared.mails.lock().unwrap();
        let (mails, timeout) = self.shared.changed.wait_timeout_while(mails, DEADLINE, |m| m.len() < count).unwrap();
        assert!(!timeout.timed_out(), "{} messages, not {count}", mails.len());
        mails.clone()
    }
}

enum Line {
    /// While it changes.
    None,
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Line {
    fn encrypt(self) -> Line {
        let Line::Plain(socket) = self else { return self };
        let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
        let chain = vec![CertificateDer::from_pem_file(fixture("server.pem")).unwrap()];
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Line::Tls(Box::new(StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), socket)))
    }

    fn say(&mut self, text: &str) -> std::io::Result<()> {
        let bytes = format!("{text}\r\n");
        match self {
            Line::None => Ok(()),
            Line::Plain(s) => s.write_all(bytes.as_bytes()),
            Line::Tls(s) => s.write_all(bytes.as_bytes()).and_then(|()| s.flush()),
        }
    }

    /// One line without its end; `None` when the client has gone. A bare CR or LF within is a defect of the client.
    fn hear(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            let read = match self {
                Line::None => return None,
                Line::Plain(s) => s.read(&mut byte),
                Line::Tls(s) => s.read(&mut byte),
            };
            if !read.is_ok_and(|n| n == 1) {
                return None;
            }
            line.push(byte[0]);
        }
        line.truncate(line.len() - 2);
        let text = String::from_utf8(line).unwrap();
        assert!(!text.contains(['\r', '\n']), "a bare line end: {text:?}");
        assert!(text.len() <= 998, "a line of {} bytes", text.len());
        Some(text)
    }
}

struct Session<'a> {
    line: Line,
    shared: &'a Shared,
    hello: String,
    login: Option<(String, String)>,
    encrypted: bool,
}

impl<'a> Session<'a> {
    fn new(socket: TcpStream, shared: &'a Shared) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let (line, encrypted) = match shared.manners.tls {
            true => (Line::Plain(socket).encrypt(), true),
            false => (Line::Plain(socket), false),
        };
        Session { line, shared, hello: String::new(), login: None, encrypted }
    }

    fn serve(mut self) -> Option<()> {
        let manners = self.shared.manners.clone();
        let (mut from, mut to) = (String::new(), Vec::new());
        self.line.say("220 mail.test ESMTP").ok()?;
        loop {
            let line = self.line.hear()?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let answer = match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    self.hello = rest.to_owned();
                    let tls = if manners.starttls && !self.encrypted { "250-STARTTLS\r\n" } else { "" };
                    format!("250-mail.test\r\n{tls}250-AUTH PLAIN\r\n250-8BITMIME\r\n250 SIZE 1000000")
                }
                "STARTTLS" if manners.starttls => {
                    self.line.say("220 go ahead").ok()?;
                    self.line = std::mem::replace(&mut self.line, Line::None).encrypt();
                    self.encrypted = true;
                    continue;
                }
                "AUTH" => self.authenticate(rest),
                _ if manners.login.is_some() && self.login != manners.login && verb != "QUIT" => {
                    "530 who are you".into()
                }
                "MAIL" => {
                    from = inside(rest);
                    "250 ok".into()
                }
                "RCPT" => match manners.refuses.as_ref().filter(|(address, _)| *address == inside(rest)) {
                    Some((_, answer)) => answer.clone(),
                    None => {
                        to.push(inside(rest));
                        "250 ok".into()
                    }
                },
                "DATA" => self.take(&from, &mut to)?,
                "QUIT" => {
                    let _ = self.line.say("221 bye");
                    return Some(());
                }
                _ => "502 what".into(),
            };
            self.line.say(&answer).ok()?;
        }
    }

    fn authenticate(&mut self, rest: &str) -> String {
        let sent = base64(rest.strip_prefix("PLAIN ").unwrap_or_default());
        let parts: Vec<String> = sent.split(|b| *b == 0).map(|p| String::from_utf8_lossy(p).into_owned()).collect();
        let [_, user, password] = parts.as_slice() else { return "501 no".into() };
        self.login = Some((user.clone(), password.clone()));
        match self.login == self.shared.manners.login {
            true => "235 welcome".into(),
            false => format!("535 5.7.8 nobody is called {user} with {password}"),
        }
    }

    fn take(&mut self, from: &str, to: &mut Vec<String>) -> Option<String> {
        {
            let mut busy = self.shared.busy.lock().unwrap();
            if *busy > 0 {
                *busy -= 1;
                return Some("451 later".into());
            }
        }
        self.line.say("354 go on").ok()?;
        let mut lines = Vec::new();
        loop {
            let line = self.line.hear()?;
            if line == "." {
                break;
            }
            lines.push(line.strip_prefix('.').map_or(line.clone(), str::to_owned));
        }
        let (headers, body) = parse(&lines);
        let mail = Mail {
            hello: self.hello.clone(),
            from: from.to_owned(),
            to: std::mem::take(to),
            login: self.login.clone(),
            encrypted: self.encrypted,
            headers,
            body,
        };
        self.shared.mails.lock().unwrap().push(mail);
        self.shared.changed.notify_all();
        Some("250 taken".into())
    }
}

/// What stands between `<` and `>`.
fn inside(text: &str) -> String {
    text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(inside, _)| inside).to_owned()
}

/// Headers and body of a message (RFC 5322, 2045, 2047).
fn parse(lines: &[String]) -> (Vec<(String, String)>, String) {
    let end = lines.iter().position(String::is_empty).unwrap();
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in &lines[..end] {
        if line.starts_with([' ', '\t']) {
            headers.last_mut().unwrap().1.push_str(line);
        } else {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}"));
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    let encoding = headers.iter().find(|(name, _)| name == "content-transfer-encoding").map(|(_, v)| v.clone());
    let body = &lines[end + 1..];
    let body = match encoding.as_deref() {
        Some("base64") => String::from_utf8(base64(&body.concat())).unwrap().replace("\r\n", "\n"),
        Some("quoted-printable") => String::from_utf8(quoted(&body.join("\n").replace("=\n", ""))).unwrap(),
        None | Some("7bit" | "8bit") => body.join("\n"),
        Some(other) => panic!("{other}"),
    };
    let headers = headers.into_iter().map(|(name, value)| (name, words(&value))).collect();
    (headers, body.replace('\r', ""))
}

/// Encoded words read; white space between two of them is none.
fn words(value: &str) -> String {
    let mut text = String::new();
    let mut encoded_before = false;
    for word in value.split([' ', '\t']).filter(|w| !w.is_empty()) {
        let inner = word.strip_prefix("=?utf-8?").and_then(|w| w.strip_suffix("?="));
        if !(text.is_empty() || encoded_before && inner.is_some()) {
            text.push(' ');
        }
        match inner.map(|inner| inner.split_at(2)) {
            Some(("b?", code)) => text.push_str(&String::from_utf8(base64(code)).unwrap()),
            Some(("q?", code)) => text.push_str(&String::from_utf8(quoted(&code.replace('_', " "))).unwrap()),
            _ => text.push_str(word),
        }
        encoded_before = inner.is_some();
    }
    text
}

fn quoted(text: &str) -> Vec<u8> {
    let mut parts = text.split('=');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for c in text.chars().filter(|c| *c != '=') {
        bits = (bits << 6) | u32::try_from(DIGITS.find(c).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
