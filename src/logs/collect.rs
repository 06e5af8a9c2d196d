//! Counting: events become tallies, error groups and the report of a reading.
//!
//! Pure but for the state it is handed. Not here: reading, scanning.

use super::event::{self, Frames, Kept, Known, RawEvent, Region, Seen, Sink};
use super::gathered::{self, Gathered};
use super::group::Handle;
use super::recent::Recent;
use super::scan::Scan;
use super::shape::folded_product;
use super::signature::{SigId, SignatureSet};
use super::state::LogState;
use super::tallies::Tallies;
use super::time::{Clock, Place, Stamp};
use crate::config::Redactor;
use crate::model::{ErrorGroup, LogEvent, LogGap, LogProblem, LogReport};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Groups of one reading; further ones are counted, but only by their signatures.
const MAX_GROUPS: usize = 500;
/// Built-in signatures that match the same lines of errors.
const PYTHON: &str = "python_exception";
const NODE: &str = "node_exception";
/// Seconds of a day.
const DAY: i64 = 86_400;
/// Characters of a title.
const MAX_TITLE: usize = 500;
/// An odd number whose bits are spread (that of Knuth).
const SPREADING: u64 = 0x9E37_79B9_7F4A_7C15;

/// Which events are counted over time. All are counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Those of so many last seconds: nothing asks for older ones.
    Recent(i64),
    /// All; older ones by the day.
    Whole(i64),
}

/// Gathers what one reading of the logs finds.
pub struct Collector<'a> {
    pub set: &'a SignatureSet,
    pub state: &'a mut LogState,
    pub now: Timestamp,
    // Finding it out can mean reading the whole time zone database: not for a pass with nothing new.
    clock: OnceCell<Clock>,
    /// By handle.
    groups: Vec<Option<Gathered>>,
    /// Those that are there: at most `MAX_GROUPS`.
    gathered: Vec<Handle>,
    /// Lines, by signature id.
    matched: Vec<u64>,
    counts: Counts,
    source: String,
    /// The number of this source: no other one in this reading has it.
    number: u32,
    /// What of the counts by signature is in the report by source.
    by_source: Vec<u64>,
    /// Events that need no closer look.
    tallies: Tallies,
    report: LogReport,
    redactor: Redactor,
    /// Signatures that match the same lines.
    of_python: Option<SigId>,
    of_node: Option<SigId>,
}

/// Where events come from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub source: &'a str,
    pub path: Option<&'a std::path::Path>,
}

/// Counts the events of one source.
pub struct Counter<'c, 'a> {
    collector: &'c mut Collector<'a>,
    origin: Origin<'c>,
}

impl<'c, 'a> Counter<'c, 'a> {
    /// Those that it is told of from now on come from there.
    pub fn new(collector: &'c mut Collector<'a>, origin: Origin<'c>) -> Counter<'c, 'a> {
        collector.go_to(origin);
        Counter { collector, origin }
    }
}

impl Sink for Counter<'_, '_> {
    fn event(&mut self, event: &RawEvent<'_>) -> Option<u32> {
        self.collector.event(self.origin, event)
    }

    fn expect(&self, shape: u64) {
        self.collector.tallies.expect(shape);
    }

    fn again(&mut self, event: &Seen<'_>) -> bool {
        self.collector.again(event).is_some()
    }

    fn settle(&mut self, region: &Region<'_>) {
        self.collector.add_up();
        self.collector.counts.recent.iter_mut().for_each(|recent| recent.settle(region));
    }

    fn after(&mut self, number: u32, lines: Vec<String>) {
        if let Some(Some(gathered)) = self.collector.groups.get_mut(number as usize) {
            gathered.group.example.after = lines;
        }
    }
}

impl<'a> Collector<'a> {
    pub fn new(set: &'a SignatureSet, state: &'a mut LogState, now: Timestamp, counting: Counting) -> Collector<'a> {
        Collector {
            set,
            state,
            now,
            clock: OnceCell::new(),
            groups: Vec::new(),
            gathered: Vec::new(),
            matched: vec![0; set.len()],
            counts: Counts::new(set.len(), counting, now),
            source: String::new(),
            number: 0,
            by_source: vec![0; set.len()],
            tallies: Tallies::default(),
            report: LogReport::default(),
            redactor: Redactor::default(),
            of_python: set.id(PYTHON),
            of_node: set.id(NODE),
        }
    }

    /// Takes these secrets out of titles before anything is made of them: a template or a clipped title holds what is left
    /// of a secret, and no filter knows it any more.
    pub fn redacting(self, redactor: &Redactor) -> Collector<'a> {
        Collector { redactor: redactor.clone(), ..self }
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
    pub fn scanned(&mut self, scan: &Scan<'_>, source: &str, bytes: u64) {
        self.report.bytes += bytes;
        if bytes > 0 {
            *self.report.read.entry(source.to_owned()).or_default() += bytes;
        }
        for (sum, n) in self.matched.iter_mut().zip(&scan.matched) {
            *sum += n;
        }
    }

    /// Counts one event. A number when it is the example of its group and wants the lines after it.
    fn event(&mut self, origin: Origin<'_>, event: &RawEvent<'_>) -> Option<u32> {
        self.add_up();
        let time = self.time_of(event);
        let title = self.redacted(event.title());
        let own = self.without_foreign(event.frames, event.signatures);
        let signatures = own.as_deref().unwrap_or(event.signatures);
        self.counts.add(signatures, time, || String::from_utf8_lossy(&title).into_owned().into());
        if event.counted {
            return None;
        }
        self.report.events += 1;
        // Beyond the groups that can be known it is counted by its signatures alone.
        let handle = self.state.known_groups.add(&title, time)?;
        if self.groups.len() <= handle.index() {
            self.groups.resize_with(handle.index() + 1, || None);
        }
        let part = self.part_of(handle);
        if let Some(Some(gathered)) = self.groups.get_mut(part.index()) {
            gathered.add_signatures(self.set, signatures);
            gathered.add(1, (time, time), (self.number, origin.source));
            self.learn(event, &title, part, signatures);
            return None;
        }
        if self.gathered.len() >= MAX_GROUPS {
            return None;
        }
        self.gathered.push(handle);
        let example = self.example(origin, event, signatures, &title, time);
        if let Some(free) = self.groups.get_mut(handle.index()) {
            *free = Some(Gathered::first(example, signatures, self.number));
        }
        self.learn(event, &title, handle, signatures);
        event.wants_after().then(|| handle.number())
    }

    /// The group itself, or a part of it that is gathered, where there is no room for another one.
    fn part_of(&self, group: Handle) -> Handle {
        if self.gathered.len() < MAX_GROUPS || matches!(self.groups.get(group.index()), Some(Some(_))) {
            return group;
        }
        let is_part = |part: &&Handle| self.state.known_groups.resolve(**part) == group;
        self.gathered.iter().find(is_part).copied().unwrap_or(group)
    }

    /// Remembers what an event is by what is alike in others, once its group has an example.
    fn learn(&mut self, event: &RawEvent<'_>, title: &[u8], group: Handle, signatures: &[SigId]) {
        let Some(known) = event.known.filter(|_| *title == *event.title()) else { return };
        let Some(shape) = self.state.known_groups.shape(title) else { return };
        let key = key(known, shape, event.signatures);
        if self.tallies.get(shape, key).is_some() {
            return;
        }
        let time = match known {
            Known::Line => self.clock().place(event.first_line()),
            Known::Traceback => Place::Nowhere,
        };
        if self.tallies.is_full() {
            self.tell_groups();
            self.tallies.clear();
        }
        self.tallies.learn((shape, key), group, signatures, time);
    }

    /// Counts an event like one before, where the example of its group is known already.
    fn again(&mut self, event: &Seen<'_>) -> Option<()> {
        let title = event::kept(event.title);
        let place = (u32::try_from(event.title_at).ok()?, u32::try_from(event.title_at + title.len()).ok()?);
        let shape = event.shape.or_else(|| self.state.known_groups.shape(title))?;
        let alike = self.tallies.get(shape, key(event.known, shape, event.signatures))?;
        if matches!(self.redacted(title), Cow::Owned(changed) if changed != title) {
            return None;
        }
        let stamp = match event.record {
            Some(record) => self.clock().read(record),
            None => self.clock().read_at(event.title, alike.time),
        };
        let before = |read: &dyn Fn(&[u8]) -> Option<Stamp>| event.region.before(event.at).find_map(read);
        let time = self.time_from(stamp, (event.region.place)(event.at).1, before);
        self.report.events += 1;
        if self.tallies.note(alike, time, place) {
            self.add_up();
        }
        Some(())
    }

    /// Adds up the events that were like one before.
    fn add_up(&mut self) {
        let Collector { tallies, counts, .. } = self;
        tallies.add_up(|signatures, time, title| counts.add(signatures, time, || title.clone()));
    }

    /// Adds what was counted apart from the groups.
    fn tell_groups(&mut self) {
        self.add_up();
        let (known, groups) = (&mut self.state.known_groups, &mut self.groups);
        let source = (self.number, self.source.as_str());
        self.tallies.tell(|group, events, times| {
            let now = known.resolve(group);
            known.seen(now, times.0);
            known.seen(now, times.1);
            if let Some(Some(gathered)) = groups.get_mut(group.index()) {
                gathered.add(events, times, source);
            }
        });
    }

    fn go_to(&mut self, origin: Origin<'_>) {
        if self.source != origin.source {
            self.flush();
            origin.source.clone_into(&mut self.source);
            self.number += 1;
        }
    }

    /// A title without secrets.
    fn redacted<'t>(&self, title: &'t [u8]) -> Cow<'t, [u8]> {
        if self.redactor.is_empty() {
            return Cow::Borrowed(title);
        }
        Cow::Owned(self.redactor.redact(&String::from_utf8_lossy(title)).into_owned().into_bytes())
    }

    /// `TypeError: x` may be Python's or Node's; the frames beside it tell. None where that changes nothing.
    fn without_foreign(&self, frames: Frames, signatures: &[SigId]) -> Option<Vec<SigId>> {
        let [_, _, ..] = signatures else { return None };
        let foreign = match frames {
            Frames::Python => self.of_node,
            Frames::JavaOrNode => self.of_python,
            Frames::Other => return None,
        };
        let foreign = foreign.filter(|id| signatures.contains(id))?;
        Some(signatures.iter().copied().filter(|id| *id != foreign).collect())
    }

    /// Adds the counts of one source to the state.
    fn flush(&mut self) {
        self.tell_groups();
        for (id, recent) in (0..).zip(&mut self.counts.recent) {
            let (buckets, example) = recent.take();
            if !buckets.is_empty() {
                self.state.tally(&self.source, self.set.name(id), buckets, clipped(&example).to_owned());
            }
        }
        for ((id, count), told) in (0..).zip(&self.counts.by_signature).zip(&mut self.by_source) {
            let new = count - std::mem::replace(told, *count);
            if new > 0 {
                let of_source = self.report.by_source.entry(self.source.clone()).or_default();
                *of_source.entry(self.set.name(id).to_owned()).or_default() += new;
            }
        }
    }

    /// The report of everything taken. Counts older than anything asks for are forgotten.
    pub fn finish(mut self) -> LogReport {
        self.flush();
        if let Counting::Recent(span) = self.counts.counting {
            self.state.prune(self.now, span);
        }
        let mut groups = self.settled_groups();
        groups.sort_by(|a, b| {
            (b.severity, b.count).cmp(&(a.severity, a.count)).then_with(|| a.template.cmp(&b.template))
        });
        self.report.groups = groups;
        let named = |counts: &[u64]| {
            let counted = (0..).zip(counts).filter(|(_, n)| **n > 0);
            counted.map(|(id, n)| (self.set.name(id).to_owned(), *n)).collect()
        };
        self.report.by_signature = named(&self.counts.by_signature);
        self.report.matched_lines = named(&self.matched);
        self.report.tallies = self.state.all_tallies();
        self.report
    }

    /// The groups as they are at the end of the reading: those that turned out to be one are one.
    fn settled_groups(&mut self) -> Vec<ErrorGroup> {
        let known = &self.state.known_groups;
        let mut whole: BTreeMap<Handle, ErrorGroup> = BTreeMap::new();
        for (number, gathered) in (0..).zip(std::mem::take(&mut self.groups)) {
            let Some(Gathered { group, .. }) = gathered else { continue };
            match whole.entry(known.resolve(Handle::of(number))) {
                Entry::Vacant(free) => drop(free.insert(group)),
                Entry::Occupied(mut taken) => gathered::join(taken.get_mut(), group),
            }
        }
        for (handle, group) in &mut whole {
            if let Some(known) = known.get(*handle) {
                gathered::name(group, known, self.state.known_groups.is_new(*handle));
            }
        }
        self.state.known_groups.settle();
        whole.into_values().collect()
    }

    /// Its own timestamp, else its envelope's, else that of the line before it, else now. An envelope is believed more
    /// than a timestamp without a zone: a container's zone is often not the host's.
    fn time_of(&self, event: &RawEvent<'_>) -> Timestamp {
        let own = self.clock().read(event.first_line());
        self.time_from(own, event.place().1, |read| event.find_before(read))
    }

    fn time_from(
        &self,
        own: Option<Stamp>,
        envelope: Option<Timestamp>,
        before: impl FnOnce(&dyn Fn(&[u8]) -> Option<Stamp>) -> Option<Stamp>,
    ) -> Timestamp {
        if let Some(envelope) = envelope {
            let zoned = own.filter(|stamp| stamp.zoned).map(|stamp| stamp.time);
            return zoned.unwrap_or_else(|| self.clock().clamp(envelope));
        }
        own.or_else(|| before(&|line| self.clock().read(line))).map_or(self.now, |stamp| stamp.time)
    }

    fn clock(&self) -> &Clock {
        self.clock.get_or_init(|| Clock::new(TimeZone::system(), self.now))
    }

    fn example(
        &self,
        origin: Origin<'_>,
        event: &RawEvent<'_>,
        signatures: &[SigId],
        title: &[u8],
        time: Timestamp,
    ) -> LogEvent {
        let (category, severity) = self.set.verdict(signatures);
        LogEvent {
            source: origin.source.to_owned(),
            path: origin.path.map(|p| p.display().to_string()),
            offset: event.place().0,
            time,
            title: clipped(&String::from_utf8_lossy(title)).to_owned(),
            lines: event.lines(),
            before: event.before(),
            after: Vec::new(),
            signatures: signatures.iter().map(|id| self.set.name(*id).to_owned()).collect(),
            category,
            severity,
            group: String::new(),
        }
    }
}

/// Events, by signature id.
struct Counts {
    counting: Counting,
    /// In Unix time (s).
    now: i64,
    by_signature: Vec<u64>,
    /// Of the current source.
    recent: Vec<Recent>,
}

impl Counts {
    fn new(signatures: usize, counting: Counting, now: Timestamp) -> Counts {
        let (by_signature, recent) = (vec![0; signatures], vec![Recent::default(); signatures]);
        Counts { counting, now: now.as_second(), by_signature, recent }
    }

    /// Counts an event for these.
    fn add(&mut self, ids: &[SigId], time: Timestamp, title: impl Fn() -> Kept) {
        let (now, second) = (self.now, time.as_second());
        let bucket = match self.counting {
            Counting::Recent(span) => (second > now - span).then_some(second),
            Counting::Whole(span) if second > now - span => Some(second),
            Counting::Whole(span) => Some((second.div_euclid(DAY) * DAY + DAY - 1).min(now - span)),
        };
        for id in ids {
            if let Some(count) = self.by_signature.get_mut(usize::from(*id)) {
                *count += 1;
            }
            if let (Some(bucket), Some(recent)) = (bucket, self.recent.get_mut(usize::from(*id))) {
                recent.count(bucket, title());
            }
        }
    }
}

/// What events share whose titles are of one shape, and which matched the same.
fn key(known: Known, shape: u64, signatures: &[SigId]) -> u64 {
    let add = |key: u64, id: &SigId| folded_product(key ^ u64::from(*id), SPREADING);
    signatures.iter().fold(folded_product(shape ^ known as u64, SPREADING), add)
}

/// A title as it is kept: at most so many characters.
fn clipped(title: &str) -> &str {
    let title = title.trim();
    if title.len() <= MAX_TITLE {
        return title;
    }
    title.char_indices().nth(MAX_TITLE).map_or(title, |(end, _)| title.get(..end).unwrap_or(title))
}
