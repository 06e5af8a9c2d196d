//! The journal of a systemd unit, read through `journalctl -o json` with its own cursor.

use super::collect::Collector;
use super::events::Suspended;
use super::stamped::StampedLines;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Time for one unit, in one reading.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of text taken in one reading; the next one goes on there.
const MAX_BYTES: u64 = 64 << 20;
/// A longer entry is skipped.
const MAX_ENTRY: usize = 1 << 20;
/// The first sight of a unit: so far back, and so many entries.
const FIRST_SIGHT: [&str; 4] = ["--since", "-1h", "--lines", "20000"];

/// Said of entries that were removed before they were read.
const GONE: &str = "the journal no longer holds the place where it was left: what came after it may be lost";

/// Where a unit's journal was left.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalCursor {
    /// The journal's own.
    pub cursor: Option<String>,
    pub bytes: u64,
    pub open: Suspended,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    /// Microseconds since 1970, as text.
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    time: String,
    #[serde(rename = "MESSAGE", default)]
    message: Message,
}

/// Text; bytes where it is not valid UTF-8; null where it is too long.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Message {
    Text(String),
    Bytes(Vec<u8>),
    #[default]
    Missing,
}

/// Reads what is new of one unit. `program` is `journalctl`.
pub fn read(collector: &mut Collector<'_>, source: &str, unit: &str, program: &str) {
    let mut cursor = collector.state.journals.remove(source).unwrap_or_default();
    if let Err(error) = follow(collector, source, unit, program, &mut cursor) {
        collector.problem(source, format!("{error:#}"));
        if cursor.cursor.is_some() && format!("{error:#}").contains("cursor") {
            collector.gap(source, GONE, None);
            cursor.cursor = None;
        }
    }
    collector.state.journals.insert(source.to_owned(), cursor);
}

fn follow(
    collector: &mut Collector<'_>,
    source: &str,
    unit: &str,
    program: &str,
    cursor: &mut JournalCursor,
) -> Result<()> {
    let mut command = Command::new(program);
    command.args(["--output", "json", "--all", "--quiet", "--no-pager", "--unit", unit]);
    // With the entry at the cursor, to see that it is there: `--after-cursor` leaves the next one out where it is not.
    match &cursor.cursor {
        Some(at) => command.args(["--cursor", at]),
        None => command.args(FIRST_SIGHT),
    };
    let mut left = cursor.cursor.clone();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(
        || format!("cannot start `{program}` to read the journal of {unit}: install systemd's journalctl or remove this source"),
    )?;
    let set = collector.set;
    let mut lines = StampedLines::new(set, source, std::mem::take(&mut cursor.open), cursor.bytes);
    let threads = entries(&mut child).and_then(|entries| Ok((entries, complaint(&mut child)?)));
    let (entries, complaint) = match threads {
        Ok(threads) => threads,
        Err(error) => {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(error).with_context(|| format!("cannot start a thread to read what `{program}` says"));
        }
    };
    let deadline = Instant::now() + TIMEOUT;
    let timed_out = loop {
        match entries.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let Ok(entry) = serde_json::from_slice::<Entry>(&line) else { continue };
                match left.take() {
                    Some(left) if left == entry.cursor => continue,
                    Some(_) => collector.gap(source, GONE, None),
                    None => {}
                }
                take(collector, &mut lines, cursor, entry);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break false,
            Err(mpsc::RecvTimeoutError::Timeout) => break true,
        }
        if lines.bytes() >= MAX_BYTES {
            break false;
        }
    };
    let full = lines.bytes() >= MAX_BYTES;
    let nothing_new = lines.bytes() == 0;
    (cursor.open, cursor.bytes) = lines.finish(collector, nothing_new);
    drop(entries);
    let emptied = left.is_some();
    if timed_out || full {
        let _ = child.kill();
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{program}`"))?;
    let complaint = complaint.join().unwrap_or_default();
    if timed_out {
        bail!(
            "`{program}` for {unit} was still running after {} s: what it gave until then was read",
            TIMEOUT.as_secs()
        );
    }
    if !status.success() && !full {
        bail!("`{program}` for {unit} failed ({status}): {complaint}");
    }
    if emptied {
        collector.gap(source, GONE, None);
        cursor.cursor = None;
    }
    Ok(())
}

/// What the program says on its standard error, read by a thread of its own.
fn complaint(child: &mut Child) -> std::io::Result<std::thread::JoinHandle<String>> {
    let stderr = child.stderr.take();
    std::thread::Builder::new().spawn(move || {
        let mut text = Vec::new();
        if let Some(pipe) = stderr {
            // What does not fit is of no interest; a full pipe ends with the program.
            let _ = pipe.take(4096).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).trim().to_owned()
    })
}

/// The program's output, line by line, from a thread of its own: a program that hangs holds nobody up.
fn entries(child: &mut Child) -> std::io::Result<mpsc::Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::sync_channel(64);
    if let Some(stdout) = child.stdout.take() {
        std::thread::Builder::new().spawn(move || {
            let mut reader = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                match reader.by_ref().take(MAX_ENTRY as u64).read_until(b'\n', &mut line) {
                    Ok(1..) if line.ends_with(b"\n") => {}
                    Ok(1..) => {
                        line.clear();
                        let _ = reader.skip_until(b'\n');
                    }
                    _ => break,
                }
                if sender.send(line).is_err() {
                    break;
                }
            }
        })?;
    }
    Ok(receiver)
}

fn take(collector: &mut Collector<'_>, lines: &mut StampedLines<'_>, cursor: &mut JournalCursor, entry: Entry) {
    let micros = entry.time.parse().ok();
    let time = micros.and_then(|m| Timestamp::from_microsecond(m).ok()).unwrap_or(collector.now);
    let text = match entry.message {
        Message::Text(text) => text.into_bytes(),
        Message::Bytes(bytes) => bytes,
        Message::Missing => Vec::new(),
    };
    for part in text.split(|b| *b == b'\n') {
        lines.push(collector, part, time);
    }
    cursor.cursor = Some(entry.cursor);
}
