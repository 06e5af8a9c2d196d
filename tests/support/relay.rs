//! The engine's socket on a TCP port of the loopback address, as a proxy beside it or an engine elsewhere would have it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Ends with this value.
pub struct Relay {
    port: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// To a `unix:///path`.
    pub fn to(socket: &str) -> Relay {
        let path = socket.strip_prefix("unix://").unwrap().to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                for client in listener.incoming() {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    join(client.unwrap(), UnixStream::connect(&path).unwrap());
                }
            }
        });
        Relay { port, over, thread: Some(thread) }
    }

    /// `tcp://127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Copies both ways, each until its end.
fn join(client: TcpStream, engine: UnixStream) {
    let (to_engine, to_client) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
    copy(client, to_engine, |engine| drop(engine.shutdown(Shutdown::Write)));
    copy(engine, to_client, |client| drop(client.shutdown(Shutdown::Write)));
}

fn copy<R, W>(mut from: R, mut to: W, end: impl FnOnce(&W) + Send + 'static)
where
    R: Read + Send + 'static,
    W: Write + Send + 'static,
{
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        end(&to);
    });
}
