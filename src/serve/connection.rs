//! Connections: accepted, bounded per peer and in all, each with a time limit for the head of a request.
//!
//! May not live here: what is answered.

use crate::serve::answer::Answer;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The head of a request must be there within this time; an idle connection is closed after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that takes nothing of an answer for so long is gone.
const STALLED: Duration = Duration::from_secs(10);
/// Whatever is longer gets no answer in our own shape.
const BUFFER: usize = 64 << 10;
/// Connections of one address, and in all. One that is too many is closed at once.
const PER_PEER: usize = 384;
const IN_ALL: usize = 1_536;
/// Of all of them, so many are for peers that have few: several greedy ones shut out nobody either.
const RESERVED: usize = 256;
const FEW: usize = 8;
/// Descriptors that are needed for other things.
const SPARE: u64 = 128;

/// Connections by the address of their peer.
#[derive(Debug)]
pub struct Peers {
    open: RefCell<HashMap<IpAddr, usize>>,
    in_all: usize,
}

/// A place that is free again when this is dropped.
struct Place {
    peers: Rc<Peers>,
    peer: IpAddr,
}

impl Peers {
    /// As many as there are descriptors for.
    pub fn new() -> Rc<Peers> {
        let limit = usize::try_from(descriptors().saturating_sub(SPARE)).unwrap_or(IN_ALL);
        Rc::new(Peers { open: RefCell::default(), in_all: IN_ALL.min(limit) })
    }

    fn place(self: &Rc<Self>, peer: IpAddr) -> Option<Place> {
        let mut open = self.open.borrow_mut();
        let all: usize = open.values().sum();
        let own = open.get(&peer).copied().unwrap_or(0);
        let most = if own < FEW { self.in_all } else { self.in_all.saturating_sub(RESERVED) };
        if all >= most || own >= PER_PEER.min(self.in_all / 2) {
            return None;
        }
        open.insert(peer, own + 1);
        Some(Place { peers: Rc::clone(self), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open.borrow_mut();
        if let Some(own) = open.get_mut(&self.peer) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

/// How many descriptors this process may have: as many as it is allowed to ask for.
fn descriptors() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let raised = setrlimit(Resource::Nofile, wanted).is_ok();
    let now = if raised { limit.maximum } else { limit.current };
    now.unwrap_or(u64::MAX)
}

/// Accepts for ever. `answer` is asked for every request.
pub async fn accept<F, A>(listener: TcpListener, peers: Rc<Peers>, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + 'static,
    A: Future<Output = Answer> + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some(place) = peers.place(peer.ip().to_canonical()) {
                    tokio::task::spawn_local(serve(stream, place, answer.clone()));
                }
            }
            // The peer has gone already, or there is no descriptor left: one will be.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn serve<F, A>(stream: TcpStream, _place: Place, answer: F)
where
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Answer>,
{
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<Response<_>, Infallible>(answer.await) }
    });
    // A peer that breaks off or talks nonsense is its own trouble.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Moving::new(stream)), service)
        .await;
}

/// A stream whose writes fail when they make no progress for [`STALLED`].
struct Moving {
    stream: TcpStream,
    since: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Moving {
    fn new(stream: TcpStream) -> Self {
        Moving { stream, since: None }
    }

    /// What a write came to, and the time that it may wait.
    fn moved<T>(&mut self, cx: &mut Context<'_>, wrote: Poll<std::io::Result<T>>) -> Poll<std::io::Result<T>> {
        if wrote.is_ready() {
            self.since = None;
            return wrote;
        }
        let since = self.since.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALLED)));
        since.as_mut().poll(cx).map(|()| Err(std::io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Moving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Moving {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.moved(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.moved(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
