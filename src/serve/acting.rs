//! What is asked to be done: each call begins a run, waits for what its caller wants to know, and says it in HTTP.
//!
//! May not live here: doing it (that is the command's).

use crate::event_log::Tail;
use crate::serve::answer::{self, Answer};
use crate::serve::events;
use crate::serve::runs::{Finished, NotBegun, Runs};
use crate::serve::verb::Verb;
use crate::state::StateDir;
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a rollback, a pause and the like are waited for; after it they are told by `runs`.
const WAIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where runs are begun and what they tell is read.
#[derive(Clone)]
pub struct Acting {
    pub runs: Rc<Runs>,
    pub dir: StateDir,
}

impl Acting {
    /// A whole pass. Answered when it has looked, unless `wait`; what it then goes on to do is a run's.
    pub async fn pass(&self, verb: Verb, wait: bool, by: &str) -> Answer {
        if let Err(why) = verb.check() {
            return answer::error(StatusCode::NOT_FOUND, &why);
        }
        let news = events::now(self.dir.events());
        let (run_id, finished) = match self.runs.begin(&verb, by) {
            Ok(begun) => begun,
            Err(not) => return not_begun(&not),
        };
        match looked(&run_id, finished, news, wait).await {
            Looked::Acting(event) => acting(&run_id, &event, &verb),
            Looked::Finished(finished) => passed(&run_id, finished, &verb),
        }
    }

    /// Anything else.
    pub async fn other(&self, verb: Verb, by: &str) -> Answer {
        if let Err(why) = verb.check() {
            let named = matches!(verb, Verb::Rollback { .. } | Verb::Ack { .. });
            return answer::error(if named { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST }, &why);
        }
        match self.runs.begin(&verb, by) {
            Err(not) => not_begun(&not),
            Ok((run_id, finished)) => match tokio::time::timeout(WAIT, finished).await {
                Ok(Ok(finished)) => done(&run_id, finished),
                Ok(Err(_)) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, "it was not seen how it ended"),
                Err(_) => begun(&run_id, json!({})),
            },
        }
    }
}

fn not_begun(not: &NotBegun) -> Answer {
    match not {
        NotBegun::TooMany => {
            answer::error(StatusCode::TOO_MANY_REQUESTS, "too much was asked for at once: wait for it")
        }
        NotBegun::Failed(error) => answer::error(StatusCode::SERVICE_UNAVAILABLE, &format!("{error:#}")),
    }
}

/// How far a pass has come.
enum Looked {
    /// It has looked, and goes on to a fix: its `pass` event.
    Acting(Value),
    Finished(Finished),
}

async fn looked(run_id: &str, mut finished: oneshot::Receiver<Finished>, mut news: Tail, wait: bool) -> Looked {
    let gone = || Finished { exit_code: 1, document: crate::show::json::error("it was not seen how it ended", 1) };
    if wait {
        return Looked::Finished(finished.await.unwrap_or_else(|_| gone()));
    }
    let begin = Instant::now();
    loop {
        if let Ok(ended) = tokio::time::timeout(LOOK_EVERY, &mut finished).await {
            return Looked::Finished(ended.unwrap_or_else(|_| gone()));
        }
        let read = news.read(usize::MAX).map(|news| news.events).unwrap_or_default();
        let events = read.iter().filter_map(|event| serde_json::from_str::<Value>(&event.line).ok());
        let mut own = events.filter(|event| event["run"] == run_id && event["kind"] == "pass");
        if let Some(event) = own.find(|event| event["acting"].is_string()) {
            return Looked::Acting(event);
        }
        if begin.elapsed() > WAIT * 5 {
            return Looked::Acting(json!({}));
        }
    }
}

/// 202: the pass has looked and goes on.
fn acting(run_id: &str, event: &Value, verb: &Verb) -> Answer {
    if let Verb::Apply { plan } = verb
        && event["acting"].as_str().is_some_and(|acting| acting != plan)
    {
        return answer::error(StatusCode::CONFLICT, "another plan goes first");
    }
    begun(
        run_id,
        json!({
            "status": event["status"], "issues": event["issues"], "timestamp": event["t"], "fixing": event["acting"],
        }),
    )
}

fn begun(run_id: &str, mut data: Value) -> Answer {
    if let Some(data) = data.as_object_mut() {
        data.insert("run_id".into(), run_id.into());
        data.insert("location".into(), format!("/api/monitoring/runs/{run_id}").into());
    }
    let body = json!({ "status": "success", "message": "begun, and goes on", "data": data });
    answer::json(StatusCode::ACCEPTED, &body)
}

/// How a pass has ended. That a fix failed, or that a human is needed, is an answer and no error.
fn passed(run_id: &str, finished: Finished, verb: &Verb) -> Answer {
    let Finished { exit_code, mut document } = finished;
    let Some(pass) = document.get_mut("data").and_then(Value::as_object_mut) else {
        return refused(exit_code, &document);
    };
    if let Verb::Apply { plan } = verb
        && pass.get("fix").is_none_or(Value::is_null)
    {
        return unapplied(pass, plan);
    }
    pass.insert("run_id".into(), run_id.into());
    pass.insert("exit_code".into(), exit_code.into());
    answer::json(StatusCode::OK, &document)
}

/// Why a plan that was approved was not applied.
fn unapplied(pass: &Map<String, Value>, plan: &str) -> Answer {
    let all = pass.get("diagnoses").and_then(Value::as_array).into_iter().flatten();
    let own = all.into_iter().find(|d| d.pointer("/plan/id").is_some_and(|id| id == plan));
    match own.and_then(|d| d["hold_reason"].as_str()) {
        Some(why) => answer::error(StatusCode::CONFLICT, &format!("plan {plan} is held: {why}")),
        None if own.is_some() => answer::error(
            StatusCode::CONFLICT,
            &format!("plan {plan} was not applied: its trouble is over, or it was called off"),
        ),
        None => answer::error(StatusCode::NOT_FOUND, &format!("plan {plan} is none of this pass's any more")),
    }
}

/// How anything else has ended.
fn done(run_id: &str, finished: Finished) -> Answer {
    let Finished { exit_code, mut document } = finished;
    if exit_code != 0 {
        return refused(exit_code, &document);
    }
    if let Some(body) = document.as_object_mut() {
        body.insert("run_id".into(), run_id.into());
    }
    answer::json(StatusCode::OK, &document)
}

fn refused(exit_code: u8, document: &Value) -> Answer {
    let status = match exit_code {
        2 => StatusCode::BAD_REQUEST,
        11 => StatusCode::LOCKED,
        13 => StatusCode::CONFLICT,
        14 => StatusCode::NOT_FOUND,
        130 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let message = document["message"].as_str().unwrap_or("it failed, and did not say why");
    answer::error(status, message)
}
