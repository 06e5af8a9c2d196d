//! A recorded pass: everything that decided, as one JSON file without secrets, and deciding again from it.
//!
//! Lives here: the file's form, writing and reading it. What decides is `judging`'s, the same code as in a live pass.

use crate::attempts;
use crate::config::{Portable, Redactor, SystemSecrets};
use crate::diagnose::streaks::Streaks;
use crate::host::files;
use crate::learn::Knowledge;
use crate::model::{Labelling, RestartTarget, Service, TargetFile};
use crate::pass::judging::{self, Around, Given};
use crate::pass::{History, Options, Sight, permit};
use crate::pause::Pause;
use crate::plan::{FileMounts, Present};
use crate::show::decision::{self, Document};
use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The key by which a recording is known, and the version of its form.
const MARK: &str = "healer_recording";
const FORM: u64 = 1;

/// A larger file is no recording of ours.
const LARGEST: u64 = 512 << 20;

/// A recording as read.
#[derive(Debug, Deserialize)]
pub struct Recorded {
    /// The version of healer that wrote it.
    pub version: String,
    pub recorded: Timestamp,
    options: Asked,
    configuration: Portable,
    sight: Sight,
    streaks: Streaks,
    knowledge: Knowledge,
    /// The lines of `attempts.jsonl`.
    attempts: Vec<String>,
    around: Looked,
    /// Hashes that come out otherwise without the secrets, and what they were with them.
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    /// What was decided then.
    pub decision: Document,
}

/// What was asked of the pass.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Asked {
    only: Option<String>,
    approve: Option<String>,
}

/// [`Around`] in a form that JSON can hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Looked {
    files: Vec<(PathBuf, Result<File, String>)>,
    services: Vec<(RestartTarget, Result<Service, String>)>,
    mounts: FileMounts,
    present: Present,
    labels: Labelling,
    stop: Option<String>,
    pauses: Vec<Pause>,
    local: jiff::civil::DateTime,
    blocked: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct File {
    path: PathBuf,
    content: Content,
    sha256: String,
    age: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Content {
    Text(String),
    /// What is no UTF-8.
    Bytes(Vec<u8>),
}

/// Why a file cannot be decided again.
#[derive(Debug)]
pub enum ReadError {
    /// It is none of ours, or of a later form.
    Foreign(String),
    /// It is one, and not whole.
    Damaged(String),
}

/// A live pass, up to its decision.
pub struct Live<'a> {
    pub given: Given<'a>,
    pub around: &'a Around,
    pub options: &'a Options,
    pub decision: Document,
}

/// Writes the recording of a pass, readable by its owner alone. The value says why it will not be decided the same
/// again, where that is so.
///
/// # Errors
/// When it cannot be made or written.
pub fn write(path: &Path, live: Live) -> Result<Option<String>> {
    let engine = live.given.engine;
    let redactor = &engine.redactor;
    let configuration = engine.written.portable(&SystemSecrets, redactor);
    let configuration =
        configuration.map_err(|e| anyhow!("the configuration cannot be recorded without its secrets: {e}"))?;
    let decision = redacted(live.decision, redactor)?;
    let mut body = json!({
        MARK: FORM,
        "version": env!("CARGO_PKG_VERSION"),
        "recorded": live.given.sight.now.t,
        "options": Asked { only: live.options.only.clone(), approve: live.options.approve.clone() },
        "configuration": to_value(&configuration)?,
        "sight": to_value(live.given.sight)?,
        "streaks": to_value(live.given.streaks)?,
        "knowledge": to_value(&live.given.history.knowledge)?,
        "attempts": attempt_lines(&live.given.history.attempts_text, redactor),
        "around": to_value(&looked(live.around, redactor))?,
        "decision": to_value(&decision)?,
    });
    let text = redactor.redact(&body.to_string()).into_owned();
    let mut recorded: Recorded = serde_json::from_str(&text).context("the recording cannot be read again")?;
    body = serde_json::from_str(&text).context("the recording cannot be read again")?;
    let mut again = recorded.decide()?;
    if again != decision {
        let mut aliases = BTreeMap::new();
        collect_aliases(&decision.data, &again.data, &mut aliases);
        if let Some((without, _)) = aliases.iter().find(|(_, with)| Some(*with) == recorded.options.approve.as_ref()) {
            recorded.options.approve = Some(without.clone());
        }
        recorded.aliases.clone_from(&aliases);
        again = recorded.decide()?;
        if let Value::Object(body) = &mut body {
            body.insert("aliases".into(), to_value(&aliases)?);
            body.insert("options".into(), to_value(&recorded.options)?);
        }
    }
    // A bare name has no directory that could be synced.
    let whole = std::path::absolute(path).context("cannot write the recording")?;
    files::write_atomic(&whole, format!("{body}\n").as_bytes(), 0o600).context("cannot write the recording")?;
    Ok((again != decision)
        .then(|| format!("{} decides otherwise without the secrets that it leaves out", path.display())))
}

/// Reads a recording.
///
/// # Errors
/// See [`ReadError`]; the file's name is not repeated.
pub fn read(path: &Path) -> Result<Recorded, ReadError> {
    let foreign = |why: String| ReadError::Foreign(why);
    let size = std::fs::metadata(path).map_err(|e| foreign(format!("it cannot be read: {e}")))?;
    if !size.is_file() || size.len() > LARGEST {
        return Err(foreign("it is no file that `healer heal --record` wrote".into()));
    }
    let text = std::fs::read(path).map_err(|e| foreign(format!("it cannot be read: {e}")))?;
    let mark = format!("\"{MARK}\":");
    let marked = memchr::memmem::find(&text, mark.as_bytes()).is_some();
    let body: Value = serde_json::from_slice(&text).map_err(|e| match marked {
        true => ReadError::Damaged(format!("it is damaged: {e}")),
        false => foreign("it is no file that `healer heal --record` wrote".into()),
    })?;
    match body.get(MARK).map(Value::as_u64) {
        Some(Some(FORM)) => {}
        None => return Err(foreign("it is no file that `healer heal --record` wrote".into())),
        Some(form) => {
            let form = form.map_or_else(|| "unknown".to_owned(), |f| f.to_string());
            return Err(foreign(format!("it is a recording of form {form}, and this version reads form {FORM}")));
        }
    }
    serde_json::from_value(body).map_err(|e| ReadError::Damaged(format!("it is damaged: {e}")))
}

impl Recorded {
    /// Decides again.
    ///
    /// # Errors
    /// When its configuration is not sound to this version.
    pub fn decide(&self) -> Result<Document> {
        let engine = self.configuration.engine().map_err(|errors| {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            anyhow!("its configuration is not sound to this version: {first}")
        })?;
        let text = self.attempts.join("\n").into_bytes();
        let history =
            History { knowledge: self.knowledge.clone(), attempts: attempts::fold(&text), attempts_text: text };
        let options =
            Options { only: self.options.only.clone(), approve: self.options.approve.clone(), ..Options::default() };
        let document = decide(
            Given { engine: &engine, sight: &self.sight, streaks: &self.streaks, history: &history },
            &self.around.around(),
            &options,
        );
        document.replacing(&self.aliases)
    }
}

impl Looked {
    fn around(&self) -> Around {
        let file = |file: &File| TargetFile {
            path: file.path.clone(),
            bytes: match &file.content {
                Content::Text(text) => text.clone().into_bytes(),
                Content::Bytes(bytes) => bytes.clone(),
            },
            sha256: file.sha256.clone(),
            age: file.age,
        };
        let looked = self;
        Around {
            files: looked
                .files
                .iter()
                .map(|(name, f)| (name.clone(), f.as_ref().map(file).map_err(Clone::clone)))
                .collect(),
            services: looked.services.iter().cloned().collect(),
            mounts: looked.mounts.clone(),
            present: looked.present.clone(),
            labels: looked.labels.clone(),
            stop: looked.stop.clone(),
            pauses: looked.pauses.clone(),
            local: looked.local,
            blocked: looked.blocked,
        }
    }
}

/// Decides as a pass does.
pub fn decide(given: Given, around: &Around, options: &Options) -> Document {
    let analysis = judging::diagnose(given);
    let judged = judging::judge(given, &analysis, around, options);
    let act = permit(&judged, around.blocked, options).map(|p| p.plan().id.clone());
    decision::document(&analysis, &judged, act.as_deref())
}

fn looked(around: &Around, redactor: &Redactor) -> Looked {
    let file = |file: &TargetFile| File {
        path: file.path.clone(),
        content: match std::str::from_utf8(&file.bytes) {
            Ok(text) => Content::Text(redactor.redact(text).into_owned()),
            Err(_) => Content::Bytes(file.bytes.clone()),
        },
        sha256: file.sha256.clone(),
        age: file.age,
    };
    Looked {
        files: around
            .files
            .iter()
            .map(|(name, f)| (name.clone(), f.as_ref().map(file).map_err(Clone::clone)))
            .collect(),
        services: around.services.iter().map(|(target, service)| (target.clone(), service.clone())).collect(),
        mounts: around.mounts.clone(),
        present: around.present.clone(),
        labels: around.labels.clone(),
        stop: around.stop.clone(),
        pauses: around.pauses.clone(),
        local: around.local,
        blocked: around.blocked,
    }
}

fn attempt_lines(text: &[u8], redactor: &Redactor) -> Vec<String> {
    let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| redactor.redact(&String::from_utf8_lossy(line)).into_owned()).collect()
}

fn redacted(document: Document, redactor: &Redactor) -> Result<Document> {
    let data = serde_json::from_str(&redactor.redact(&document.data.to_string()));
    Ok(Document {
        text: redactor.redact(&document.text).into_owned(),
        data: data.context("cannot redact the decision")?,
    })
}

fn to_value(of: &impl Serialize) -> Result<Value> {
    serde_json::to_value(of).context("the pass cannot be written as JSON")
}

/// Hashes and plan ids that stand at the same place of two decisions and differ: by the second's, the first's.
fn collect_aliases(with: &Value, without: &Value, into: &mut BTreeMap<String, String>) {
    match (with, without) {
        (Value::String(with), Value::String(without)) if with != without && is_hash(with) && is_hash(without) => {
            into.insert(without.clone(), with.clone());
        }
        (Value::Array(with), Value::Array(without)) => {
            with.iter().zip(without).for_each(|(a, b)| collect_aliases(a, b, into));
        }
        (Value::Object(with), Value::Object(without)) => {
            with.iter()
                .filter_map(|(key, a)| Some((a, without.get(key)?)))
                .for_each(|(a, b)| collect_aliases(a, b, into));
        }
        _ => {}
    }
}

fn is_hash(text: &str) -> bool {
    let hex = text.strip_prefix("plan_").filter(|id| id.len() == 12).unwrap_or(text);
    (hex.len() == 64 || hex.len() == 12) && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labelled, Labels, Moment};

    #[test]
    fn what_was_looked_at_is_read_as_it_was_written() {
        let file = |bytes: &[u8]| TargetFile {
            path: "/srv/real/a.py".into(),
            bytes: bytes.to_vec(),
            sha256: "0".repeat(64),
            age: Duration::new(7, 250),
        };
        let service = |run: Option<&str>, age: Option<Duration>, starting: bool| Service {
            run: run.map(str::to_owned),
            age,
            starting,
        };
        let now = Moment { t: Timestamp::UNIX_EPOCH, boot: "b".into(), up: 0.1 + 0.2 };
        let around = Around {
            files: [
                ("/srv/a.py".into(), Ok(file("sleep(0.8) # \u{2013}\r\n".as_bytes()))),
                ("/srv/b.py".into(), Ok(TargetFile { age: Duration::MAX, ..file(b"\xff\x00") })),
                ("/srv/c.py".into(), Err("it does not exist".to_owned())),
            ]
            .into(),
            services: [
                (RestartTarget::Container("a".into()), Ok(service(Some("1"), Some(Duration::from_millis(1)), true))),
                (RestartTarget::Unit("a.service".into()), Ok(service(None, None, false))),
                (RestartTarget::Container("b".into()), Err("there is none".to_owned())),
            ]
            .into(),
            present: Present::default(),
            labels: Labelling {
                containers: vec![Labelled {
                    name: "a".into(),
                    labels: Labels { enable: Some(false), suggest: true, no_restart: true, ..Labels::default() },
                    binds: vec!["/srv".into()],
                    ports: vec![5432],
                }],
                unread: Some("no answer".into()),
            },
            mounts: [("/srv/a.py".into(), vec!["a".to_owned()])].into(),
            stop: Some("/etc/healer/STOP".into()),
            pauses: vec![Pause { since: now, seconds: 5, reason: "r".into(), by: "b".into(), rule: None }],
            local: "2026-01-02T03:04:05".parse().unwrap(),
            blocked: true,
        };
        let text = serde_json::to_string(&looked(&around, &Redactor::default())).unwrap();
        let again: Looked = serde_json::from_str(&text).unwrap();
        assert_eq!(again.around(), around);
    }

    #[test]
    fn hashes_that_differ_for_the_lack_of_a_secret_are_told_apart_from_what_differs_otherwise() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let of = |hash: &str, id: &str, word: &str| json!({ "steps": [{ "before": hash }], "id": id, "word": word });
        let mut found = BTreeMap::new();
        collect_aliases(&of(&a, "plan_0123456789ab", "x"), &of(&b, "plan_ba9876543210", "y"), &mut found);
        let expected = [(b, a), ("plan_ba9876543210".into(), "plan_0123456789ab".into())];
        assert_eq!(found, BTreeMap::from(expected));
    }
}
