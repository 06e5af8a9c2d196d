//! `healer serve` beside a test, and a client of a few lines that sends whatever bytes a test wants.
//!
//! Every answer is held against what holds for all of them: the headers that restrain browsers, and the one shape of errors.

use super::{DEADLINE, Root, Running, Scene, spawn_command};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// The token that [`serving`] sets.
pub const TOKEN: &str = "canary-token-0123456789abcdef0123456789abcdef";

/// A section `[serve]` with [`TOKEN`].
pub const SERVING: &str = "[serve]\ntoken = \"canary-token-0123456789abcdef0123456789abcdef\"\n";

/// `healer serve`, killed when this is dropped.
pub struct Server {
    process: Running,
    pub address: SocketAddr,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Got {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Server {
    /// On a free port, with actions.
    #[track_caller]
    pub fn start(root: &Root) -> Server {
        Server::start_with(root, &["--enable-actions"])
    }

    #[track_caller]
    pub fn start_with(root: &Root, args: &[&str]) -> Server {
        Server::start_on(root, "127.0.0.1:0", args)
    }

    /// Where another one has listened before.
    #[track_caller]
    pub fn start_on(root: &Root, address: &str, args: &[&str]) -> Server {
        let args: Vec<&str> = ["serve", "--listen", address].iter().chain(args).copied().collect();
        let mut process = spawn_command(root.command(&args));
        let line = process.wait_for("is the dashboard");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
        Server { process, address: address.parse().unwrap() }
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Dies at once, as by `kill -9`.
    pub fn kill(self) {
        drop(self.process);
    }

    /// Asks it to stop, and waits for its end; the ends of what it has started are not waited for.
    #[track_caller]
    pub fn stop(self) -> Option<i32> {
        self.process.signal(rustix::process::Signal::TERM);
        self.process.code()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends exactly these bytes and reads one answer.
    #[track_caller]
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Got {
        let mut stream = self.connect();
        // Who answers before it has read everything may close.
        let _ = stream.write_all(bytes.as_ref());
        answer_of(BufReader::new(stream), bytes.as_ref().starts_with(b"HEAD ")).checked()
    }

    /// A request with these header lines, each with its line end, beside `Host`.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Got {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let host = format!("Host: {}\r\n", self.address);
        self.send(format!("{method} {path} HTTP/1.1\r\n{host}{headers}{length}\r\n{body}"))
    }

    /// With the token.
    #[track_caller]
    pub fn get(&self, path: &str) -> Got {
        self.ask("GET", path, &bearer(TOKEN), "")
    }

    /// `data` of a successful answer.
    #[track_caller]
    pub fn data(&self, call: &str) -> Value {
        let mut body = self.get(&format!("/api/monitoring/{call}")).expect(200).json();
        assert_eq!(body["status"], "success", "{body:#}");
        body["data"].take()
    }

    /// With the token.
    #[track_caller]
    pub fn post(&self, call: &str, body: &str) -> Got {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        self.ask("POST", &format!("/api/monitoring/{call}"), &format!("{}{kind}", bearer(TOKEN)), body)
    }

    /// Asks again and again until the run has ended.
    #[track_caller]
    pub fn ended_run(&self, id: &str) -> Value {
        let until = Instant::now() + DEADLINE;
        loop {
            let run = self.data(&format!("runs/{id}"));
            if !run["document"].is_null() {
                return run;
            }
            assert!(Instant::now() < until, "it does not end: {run:#}");
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }

    /// The event stream from now on, or after the event of this id; returns once the server has begun it.
    #[track_caller]
    pub fn events(&self, after: Option<&str>) -> Events {
        let mut stream = self.connect();
        let after = after.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let (host, bearer) = (self.address, bearer(TOKEN));
        let head = format!("GET /api/monitoring/events HTTP/1.1\r\nHost: {host}\r\n{bearer}{after}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut events = Events { lines: BufReader::new(stream), seen: Vec::new(), raw: String::new() };
        let status = events.line();
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        while !events.line().starts_with("retry:") {}
        events
    }
}

pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

impl Got {
    #[track_caller]
    pub fn expect(self, status: u16) -> Got {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }

    /// What holds for every answer.
    #[track_caller]
    fn checked(self) -> Got {
        let header = |name: &str| self.header(name).unwrap_or_default();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{self:#?}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let fixed = [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ];
        fixed.iter().for_each(|(name, value)| assert_eq!(header(name), *value, "{name}: {self:#?}"));
        assert!(self.header("access-control-allow-origin").is_none(), "{self:#?}");
        if self.status >= 400 && !self.body.is_empty() {
            let body = self.json();
            assert_eq!((&body["status"], &body["code"]), (&"error".into(), &self.status.into()), "{body:#}");
            assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body:#}");
        }
        self
    }
}

/// The answer to what was sent on this connection.
#[track_caller]
pub fn answer_on(stream: TcpStream) -> Got {
    answer_of(BufReader::new(stream), false).checked()
}

/// The next answer on a connection. Without a length it goes on to the end of the connection.
#[track_caller]
fn answer_of(mut reader: impl BufRead, is_head: bool) -> Got {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no answer: {line:?}"));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, v)| v.parse::<usize>().unwrap());
    let mut body = Vec::new();
    match length {
        // HEAD tells the length of what it does not send.
        _ if is_head => {}
        Some(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body).unwrap();
        }
        None => drop(reader.read_to_end(&mut body)),
    }
    Got { status, headers, body: String::from_utf8(body).unwrap() }
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

/// An event stream that is read.
pub struct Events {
    lines: BufReader<TcpStream>,
    pub seen: Vec<Event>,
    /// Everything so far, as it came.
    pub raw: String,
}

impl Events {
    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line);
        assert!(read.is_ok_and(|n| n > 0), "the stream ended; seen so far: {:#?}", self.seen);
        self.raw.push_str(&line);
        line.trim_end().to_owned()
    }

    /// The next event; comments and the lines around chunks are passed over.
    #[track_caller]
    pub fn next(&mut self) -> Event {
        let (mut id, mut kind) = (String::new(), String::new());
        loop {
            let line = self.line();
            match line.split_once(": ") {
                Some(("id", value)) => id = value.to_owned(),
                Some(("event", value)) => kind = value.to_owned(),
                Some(("data", value)) => {
                    let data = serde_json::from_str(value).unwrap_or_else(|e| panic!("{e}: {value}"));
                    let event = Event { id, kind, data };
                    self.seen.push(event.clone());
                    return event;
                }
                _ => {}
            }
        }
    }

    /// Reads on to the next event of this kind.
    #[track_caller]
    pub fn until(&mut self, kind: &str) -> Event {
        loop {
            let event = self.next();
            if event.kind == kind {
                return event;
            }
        }
    }

    pub fn kinds(&self) -> Vec<&str> {
        self.seen.iter().map(|event| event.kind.as_str()).collect()
    }
}

impl Scene {
    /// Every file of the state directory that is text, together.
    pub fn state_text(&self) -> String {
        let mut text = String::new();
        let mut todo = vec![self.root.state_dir()];
        while let Some(dir) = todo.pop() {
            for entry in std::fs::read_dir(&dir).into_iter().flatten().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    todo.push(entry.path());
                } else {
                    text.push_str(&String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()));
                }
            }
        }
        text
    }
}
