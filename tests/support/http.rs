//! A tiny HTTP server in threads: answers from a queue, remembers what was asked.

use super::DEADLINE;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// What one request is answered with.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    held: bool,
}

impl Answer {
    pub fn new(status: u16, body: &str) -> Answer {
        Answer { status, headers: Vec::new(), body: body.to_owned(), held: false }
    }

    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes the request and never answers, until [`HttpServer::release`] or the server's end.
    pub fn held() -> Answer {
        Answer { held: true, ..Answer::new(200, "") }
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("the body is no JSON: {e}: {}", self.body))
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<Answer>,
    requests: Vec<Request>,
    released: bool,
    stopping: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Listens on a free port of 127.0.0.1 until it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Requests get the queue's answers in turn, then `otherwise` for ever.
    pub fn start(queue: impl IntoIterator<Item = Answer>, otherwise: Answer) -> HttpServer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.state.lock().unwrap().queue = queue.into_iter().collect();
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, &otherwise)
        });
        HttpServer { address, shared, acceptor: Some(acceptor) }
    }

    /// Every request gets `ok` with status 200.
    pub fn ok() -> HttpServer {
        HttpServer::start([], Answer::new(200, "ok"))
    }

    /// `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Adds an answer to the end of the queue.
    pub fn push(&self, answer: Answer) {
        self.shared.state.lock().unwrap().queue.push_back(answer);
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    /// Waits until there were at least `count` requests; returns all.
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        let state = self.shared.state.lock().unwrap();
        let (state, timeout) =
            self.shared.changed.wait_timeout_while(state, DEADLINE, |s| s.requests.len() < count).unwrap();
        assert!(!timeout.timed_out(), "{} requests in {DEADLINE:?}, not {count}", state.requests.len());
        state.requests.clone()
    }

    /// Lets go of every held request, and of those to come.
    pub fn release(&self) {
        self.shared.state.lock().unwrap().released = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().stopping = true;
        self.shared.changed.notify_all();
        // Wakes the acceptor, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, otherwise: &Answer) {
    for stream in listener.incoming() {
        if shared.state.lock().unwrap().stopping {
            return;
        }
        let (Ok(stream), shared, otherwise) = (stream, Arc::clone(shared), otherwise.clone()) else { continue };
        // A client that goes away in the middle is its own affair.
        std::thread::spawn(move || drop(serve(&stream, &shared, otherwise)));
    }
}

fn serve(mut stream: &TcpStream, shared: &Shared, otherwise: Answer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let Some(request) = read_request(stream)? else { return Ok(()) };
    let answer = {
        let mut state = shared.state.lock().unwrap();
        state.requests.push(request);
        shared.changed.notify_all();
        let answer = state.queue.pop_front().unwrap_or(otherwise);
        if answer.held {
            drop(shared.changed.wait_while(state, |s| !s.released && !s.stopping).unwrap());
        }
        answer
    };
    let mut head = format!("HTTP/1.1 {} Test\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", answer.body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(answer.body.as_bytes())?;
    stream.shutdown(Shutdown::Write)
}

/// `None` when the connection was closed without a request (a TCP check).
fn read_request(stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, path, headers, body: String::from_utf8(body).unwrap() }))
}
