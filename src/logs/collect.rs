//! Counting: events become tallies, error groups and the report of a reading.
//!
//! Pure but for the state it is handed. Not here: reading, scanning.

use super::events::RawEvent;
use super::group::{Group, Handle};
use super::scan::Scan;
use super::signature::SignatureSet;
use super::state::LogState;
use super::time;
use crate::model::{ErrorGroup, LogEvent, LogGap, LogProblem, LogReport};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::cell::OnceCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// Groups of one reading; further ones are counted, but only by their signatures.
const MAX_GROUPS: usize = 1000;
/// Sources named in one group.
const MAX_SOURCES: usize = 50;
/// Bytes of a title.
const MAX_TITLE: usize = 500;

/// Gathers what one reading of the logs finds.
pub struct Collector<'a> {
    pub set: &'a SignatureSet,
    pub state: &'a mut LogState,
    pub now: Timestamp,
    // Finding it out can mean reading the whole time zone database: not for a pass with nothing new.
    zone: OnceCell<TimeZone>,
    groups: HashMap<Handle, ErrorGroup>,
    /// By signature id.
    matched: Vec<u64>,
    by_signature: BTreeMap<String, u64>,
    report: LogReport,
}

/// Where events come from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub source: &'a str,
    pub path: Option<&'a std::path::Path>,
}

impl<'a> Collector<'a> {
    pub fn new(set: &'a SignatureSet, state: &'a mut LogState, now: Timestamp) -> Collector<'a> {
        Collector {
            set,
            state,
            now,
            zone: OnceCell::new(),
            groups: HashMap::new(),
            matched: vec![0; set.len()],
            by_signature: BTreeMap::new(),
            report: LogReport::default(),
        }
    }

    /// Something could not be read.
    pub fn problem(&mut self, source: &str, message: impl Into<String>) {
        self.report.problems.push(LogProblem { source: source.to_owned(), message: message.into() });
    }

    /// Something cannot be read any more.
    pub fn gap(&mut self, source: &str, reason: impl Into<String>, bytes: Option<u64>) {
        self.report.gaps.push(LogGap { source: source.to_owned(), reason: reason.into(), bytes });
    }

    /// Takes the counts of a scan that has ended.
    pub fn scanned(&mut self, scan: &Scan<'_>, bytes: u64) {
        self.report.lines += scan.lines;
        self.report.bytes += bytes;
        for (sum, n) in self.matched.iter_mut().zip(&scan.matched) {
            *sum += n;
        }
    }

    /// Counts one event.
    pub fn event(&mut self, origin: Origin<'_>, raw: RawEvent) {
        let time = self.time_of(&raw);
        let title: String = raw.title.trim().chars().take(MAX_TITLE).collect();
        for id in &raw.signatures {
            let name = self.set.name(*id);
            match self.by_signature.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(self.by_signature.insert(name.to_owned(), 1)),
            }
            self.state.tally(origin.source, name, time.as_second(), &title);
        }
        if raw.counted {
            return;
        }
        self.report.events += 1;
        // Beyond the groups that can be known it is counted by its signatures alone.
        let Some(handle) = self.state.known_groups.add(&raw.title, time) else { return };
        if let Some(group) = self.groups.get_mut(&handle) {
            add(group, self.set, &raw, origin.source, time);
        } else if self.groups.len() < MAX_GROUPS {
            let event = self.shown(origin, raw, title, time);
            self.groups.insert(handle, first(event));
        }
    }

    /// The report of everything taken.
    pub fn finish(mut self) -> LogReport {
        let mut groups = self.settled_groups();
        groups.sort_by(|a, b| {
            (b.severity, b.count).cmp(&(a.severity, a.count)).then_with(|| a.template.cmp(&b.template))
        });
        self.report.groups = groups;
        self.report.by_signature = self.by_signature;
        self.report.matched_lines = (0..)
            .zip(&self.matched)
            .filter(|(_, n)| **n > 0)
            .map(|(id, n)| (self.set.name(id).to_owned(), *n))
            .collect();
        self.report.tallies = self.state.all_tallies();
        self.report
    }

    /// The groups as they are at the end of the reading: those that turned out to be one are one.
    fn settled_groups(&mut self) -> Vec<ErrorGroup> {
        let mut parts: Vec<(Handle, ErrorGroup)> = std::mem::take(&mut self.groups).into_iter().collect();
        parts.sort_unstable_by_key(|(handle, _)| *handle);
        let known = &self.state.known_groups;
        let mut whole: BTreeMap<Handle, ErrorGroup> = BTreeMap::new();
        for (handle, group) in parts {
            match whole.entry(known.resolve(handle)) {
                Entry::Vacant(free) => drop(free.insert(group)),
                Entry::Occupied(mut taken) => join(taken.get_mut(), group),
            }
        }
        for (handle, group) in &mut whole {
            if let Some(known) = known.get(*handle) {
                name(group, known, self.state.known_groups.is_new(*handle));
            }
        }
        self.state.known_groups.settle();
        whole.into_values().collect()
    }

    /// Its own timestamp, else its envelope's, else that of the line before it, else now. An envelope is believed more
    /// than a timestamp without a zone: a container's zone is often not the host's.
    fn time_of(&self, raw: &RawEvent) -> Timestamp {
        let read = |line: &String| time::own(line.as_bytes(), self.zone.get_or_init(TimeZone::system), self.now);
        let own = raw.lines.iter().find_map(read);
        if let Some(envelope) = raw.time {
            let zoned = own.filter(|stamp| stamp.zoned).map(|stamp| stamp.time);
            return zoned.unwrap_or_else(|| time::clamp(envelope, self.now));
        }
        own.or_else(|| raw.before.iter().rev().find_map(read)).map_or(self.now, |stamp| stamp.time)
    }

    fn shown(&self, origin: Origin<'_>, raw: RawEvent, title: String, time: Timestamp) -> LogEvent {
        let (category, severity) = self.set.verdict(&raw.signatures);
        LogEvent {
            source: origin.source.to_owned(),
            path: origin.path.map(|p| p.display().to_string()),
            offset: raw.offset,
            time,
            title,
            lines: raw.lines,
            before: raw.before,
            after: raw.after,
            signatures: raw.signatures.iter().map(|id| self.set.name(*id).to_owned()).collect(),
            category,
            severity,
            group: String::new(),
        }
    }
}

/// A group of one event; named when the reading ends.
fn first(example: LogEvent) -> ErrorGroup {
    ErrorGroup {
        id: String::new(),
        template: String::new(),
        category: example.category.clone(),
        severity: example.severity,
        signatures: example.signatures.clone(),
        sources: vec![example.source.clone()],
        count: 1,
        first: example.time,
        last: example.time,
        example,
        new: false,
        former: Vec::new(),
    }
}

fn name(group: &mut ErrorGroup, known: &Group, new: bool) {
    known.id.clone_into(&mut group.id);
    known.id.clone_into(&mut group.example.group);
    known.template.clone_into(&mut group.template);
    known.former.clone_into(&mut group.former);
    group.new = new;
}

/// Adds a group to another, which was seen first.
fn join(group: &mut ErrorGroup, part: ErrorGroup) {
    group.count += part.count;
    (group.first, group.last) = (group.first.min(part.first), group.last.max(part.last));
    if part.severity > group.severity {
        (group.category, group.severity) = (part.category, part.severity);
    }
    for signature in part.signatures {
        if !group.signatures.contains(&signature) {
            group.signatures.push(signature);
        }
    }
    for source in part.sources {
        if group.sources.len() < MAX_SOURCES && !group.sources.contains(&source) {
            group.sources.push(source);
        }
    }
}

fn add(group: &mut ErrorGroup, set: &SignatureSet, raw: &RawEvent, source: &str, time: Timestamp) {
    group.count += 1;
    (group.first, group.last) = (group.first.min(time), group.last.max(time));
    for id in &raw.signatures {
        let name = set.name(*id);
        if !group.signatures.iter().any(|s| s == name) {
            group.signatures.push(name.to_owned());
            let (category, severity) = set.verdict(&[*id]);
            if severity > group.severity {
                (group.category, group.severity) = (category, severity);
            }
        }
    }
    if group.sources.len() < MAX_SOURCES && !group.sources.iter().any(|s| s == source) {
        group.sources.push(source.to_owned());
    }
}
