//! `healer serve`: the API, the event stream, the figures for Prometheus and the dashboard.
//!
//! It reads what passes have left and runs checks; it changes nothing: what is asked to be done is done by a command of
//! its own, which lives on when this process dies. One thread serves all connections; what reads files or waits for others
//! runs beside it. May not live here: what an answer says (`documents`, `show`, `page`).

mod acting;
mod answer;
mod connection;
mod events;
mod guard;
mod listen;
pub mod page;
mod reading;
mod route;
mod runs;
mod verb;

pub use runs::{BY_VARIABLE, Means, Program, carry_out};

use crate::config::{Engine, Serve};
use crate::host::signals::Interrupt;
use acting::Acting;
use answer::Answer;
use anyhow::{Context, Result, bail};
use connection::Peers;
use guard::{Access, Caller, Guard, Refusal, refuse};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use reading::Reading;
use route::Route;
use runs::Runs;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use verb::Verb;

/// What was asked of `serve`.
#[derive(Debug, Clone)]
pub struct Options {
    pub listen: SocketAddr,
    pub actions: bool,
    /// Whether checks are run for `health`; else it is what the last pass saw.
    pub checks: bool,
    pub means: Means,
}

/// A body must be there within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The description of the API.
const OPENAPI: &str = include_str!("openapi.json");

/// Serves until it is told to stop. `ready` is told the address once it listens.
///
/// # Errors
/// When it may not listen so, or cannot.
pub fn run(engine: Engine, options: Options, ready: impl FnOnce(SocketAddr)) -> Result<()> {
    let listener = listen::listen(options.listen)?;
    let address = listener.local_addr().context("cannot use the socket")?;
    let guard = guard(&engine.serve, address, options.actions)?;
    let interrupt = Interrupt::install()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .thread_keep_alive(Duration::from_secs(2))
        .build()
        .context("cannot start the server")?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener).context("cannot use the socket")?;
        let server = Rc::new(Server::new(engine, guard, &options));
        ready(address);
        let answer = move |request| {
            let server = Rc::clone(&server);
            async move { server.answer(request).await }
        };
        tokio::task::spawn_local(connection::accept(listener, Peers::new(), answer));
        let (tell, told) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                while !interrupt.wait(Duration::from_secs(3_600)) {}
                tell.send(())
            })
            .context("cannot start a thread for signals")?;
        let _ = told.await;
        anyhow::Ok(())
    })?;
    // Checks that hang are not waited for; runs go on by themselves.
    runtime.shutdown_background();
    Ok(())
}

/// What requests are held against.
///
/// # Errors
/// Where a token is needed and there is none.
fn guard(serve: &Serve, address: SocketAddr, actions: bool) -> Result<Guard> {
    let token = match &serve.token {
        Some(Ok(token)) => Some(token.clone()),
        Some(Err(why)) => bail!("`token` in [serve]: {why}"),
        None => None,
    };
    let loopback = address.ip().to_canonical().is_loopback();
    let make = "set `token` in [serve], of at least 32 characters: `openssl rand -hex 32` makes one";
    if token.is_none() && !loopback {
        bail!("{address} can be reached from elsewhere, so a token is needed: {make}");
    }
    if token.is_none() && actions {
        bail!("--enable-actions needs a token: {make}");
    }
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
    hosts.push(match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    });
    hosts.extend(serve.hosts.iter().cloned());
    let any_address = address.ip().to_canonical().is_unspecified();
    Ok(Guard { hosts, any_address, token, loopback, actions })
}

/// Everything that answers are made from.
struct Server {
    engine: Arc<Engine>,
    guard: Guard,
    reading: Reading,
    acting: Acting,
}

impl Server {
    fn new(engine: Engine, guard: Guard, options: &Options) -> Self {
        let engine = Arc::new(engine);
        let reading = Reading::new(Arc::clone(&engine), options.checks);
        let dir = reading.dir().clone();
        let acting = Acting { runs: Rc::new(Runs::new(options.means.clone(), &dir)), dir };
        Server { engine, guard, reading, acting }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let is_head = head.method == Method::HEAD;
        let answer = match self.admitted(&head, body).await {
            Ok(answer) | Err(answer) => answer,
        };
        if is_head { answer::headless(answer) } else { answer }
    }

    async fn admitted(&self, head: &Parts, body: Incoming) -> Result<Answer, Answer> {
        self.guard.admit(head)?;
        let Some(route) = Route::of(head.uri.path()) else {
            return Err(answer::error(
                StatusCode::NOT_FOUND,
                "there is nothing here: /openapi.json says what there is",
            ));
        };
        let acts = route.access() == Access::Act;
        let fits = if acts { head.method == Method::POST } else { [Method::GET, Method::HEAD].contains(&head.method) };
        if !fits {
            return Err(answer::wrong_method(route.allowed()));
        }
        let caller = self.guard.allow(head, route.access())?;
        if acts {
            let body = whole(body).await?;
            return self.act(route, head, &body).await;
        }
        Ok(self.read(route, head, caller).await.unwrap_or_else(|error| self.unreadable(&error)))
    }

    fn unreadable(&self, error: &anyhow::Error) -> Answer {
        let message = format!("{error:#}");
        answer::error(StatusCode::SERVICE_UNAVAILABLE, &self.engine.redactor.redact(&message))
    }

    async fn read(&self, route: Route<'_>, head: &Parts, caller: Caller) -> Result<Answer> {
        let reading = &self.reading;
        let may_act = self.guard.actions;
        let text = |kind, text: String| answer::packed(answer::text(kind, text), head.headers.get(ACCEPT_ENCODING));
        Ok(match route {
            Route::Page if !caller.may_read => answer::text(HTML, page::locked()),
            Route::Page => text(HTML, reading.page(true, may_act, caller.may_read_all).await?),
            Route::Dashboard => text(HTML, reading.page(false, may_act, caller.may_read_all).await?),
            Route::Script => text("text/javascript; charset=utf-8", page::SCRIPT.to_owned()),
            Route::Style => text("text/css; charset=utf-8", page::STYLE.to_owned()),
            Route::OpenApi => answer::document(OPENAPI),
            Route::Metrics => answer::text("text/plain; version=0.0.4; charset=utf-8", reading.metrics().await?),
            Route::Health => answer::document(reading.health().await?.as_bytes().to_vec()),
            Route::Status => answer::document(reading.status().await?.1.clone()),
            Route::Backups => answer::document(reading.backups().await?.as_bytes().to_vec()),
            Route::Stats => answer::document(reading.stats().await?.to_vec()),
            Route::Incidents => answer::document(reading.success(reading.incidents().await?)),
            Route::History => answer::document(reading.success(reading.history().await?)),
            Route::Trends => answer::document(reading.success(reading.trends(caller.may_read_all).await?)),
            Route::Events => self.events(head),
            Route::Run(id) => match self.acting.runs.get(id) {
                Some(run) => answer::document(reading.success(serde_json::to_value(run)?)),
                None => {
                    answer::error(StatusCode::NOT_FOUND, "there is no run of this id since this server was started")
                }
            },
            _ => answer::error(StatusCode::NOT_FOUND, "there is nothing here"),
        })
    }

    fn events(&self, head: &Parts) -> Answer {
        const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
        let header = head.headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?"));
        match events::from(events::last_event_id(header, head.uri.query())) {
            Err(()) => answer::error(StatusCode::BAD_REQUEST, "this is no id of an event: GENERATION-OFFSET"),
            Ok(_) if head.method == Method::HEAD => answer::text("text/event-stream", ""),
            Ok(from) => {
                let redactor = self.engine.redactor.clone();
                answer::events(events::stream(self.reading.dir().events(), from, redactor))
            }
        }
    }

    async fn act(&self, route: Route<'_>, head: &Parts, body: &[u8]) -> Result<Answer, Answer> {
        let acting = &self.acting;
        let by = "the dashboard or API";
        let wait = wait(head.uri.query().unwrap_or_default())?;
        Ok(match route {
            Route::TriggerCheck => acting.pass(Verb::Heal {}, wait, by).await,
            Route::Apply(plan) => acting.pass(Verb::Apply { plan: plan.to_owned() }, wait, by).await,
            Route::Rollback(id) => acting.other(Verb::Rollback { backup: id.to_owned() }, by).await,
            Route::Resume => acting.other(Verb::Resume {}, by).await,
            Route::Pause => {
                let asked: AskedPause = parsed(body)?;
                if let Some(rule) = asked.rule.as_deref().filter(|rule| self.engine.rule(rule).is_none()) {
                    let message = format!("there is no rule {rule:?}: `healer rules list` shows all");
                    return Err(answer::error(StatusCode::NOT_FOUND, &message));
                }
                acting.other(Verb::Pause { time: asked.duration, reason: asked.reason, rule: asked.rule }, by).await
            }
            Route::Ack(id) => {
                let asked: AskedAck = if body.is_empty() { AskedAck::default() } else { parsed(body)? };
                acting.other(Verb::Ack { incident: id.to_owned(), time: asked.duration }, by).await
            }
            _ => answer::error(StatusCode::NOT_FOUND, "there is nothing here"),
        })
    }
}

const HTML: &str = "text/html; charset=utf-8";

/// The body of `pause`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedPause {
    duration: String,
    reason: String,
    rule: Option<String>,
}

/// The body of `ack`, where there is one.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedAck {
    duration: Option<String>,
}

/// An object of these keys; what could be read as one field after the other is none.
fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice::<serde_json::Map<_, _>>(body)
        .and_then(|body| serde_json::from_value(body.into()))
        .or_else(|error| refuse(StatusCode::BAD_REQUEST, format!("the body is not what this takes: {error}")))
}

/// Whether the answer waits until what begins has ended.
fn wait(query: &str) -> Result<bool, Refusal> {
    match query.split('&').filter_map(|pair| pair.strip_prefix("wait=")).next_back() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => refuse(StatusCode::BAD_REQUEST, "`wait` is true or false"),
    }
}

/// The whole body, bounded in size and time.
async fn whole(mut body: Incoming) -> Result<Vec<u8>, Refusal> {
    let read = async {
        let mut all = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.or_else(|_| refuse(StatusCode::BAD_REQUEST, "the body broke off"))?;
            let data: Bytes = frame.into_data().unwrap_or_default();
            if (all.len() + data.len()) as u64 > guard::LONGEST_BODY {
                let message = format!("a body may have {} bytes", guard::LONGEST_BODY);
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, message);
            }
            all.extend_from_slice(&data);
        }
        Ok(all)
    };
    let late = |_| refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    tokio::time::timeout(BODY_TIMEOUT, read).await.unwrap_or_else(late)
}
