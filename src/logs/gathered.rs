//! Groups as one reading gathers them: counted, with an example, without a name before the end.
//!
//! Pure. Not here: which event is of which group (`group`), what is counted (`collect`).

use super::group::Group;
use super::signature::{SigId, SignatureSet};
use crate::model::{ErrorGroup, LogEvent};
use jiff::Timestamp;

/// Sources named in one group.
const MAX_SOURCES: usize = 50;

/// A group, with what it is cheaply added to.
pub struct Gathered {
    pub group: ErrorGroup,
    signatures: Vec<SigId>,
    /// The number of the source that was added last.
    source: u32,
}

impl Gathered {
    /// A group of one event, which matched these and comes from the source of this number. It has no name before the reading ends.
    pub fn first(example: LogEvent, signatures: &[SigId], source: u32) -> Gathered {
        let group = ErrorGroup {
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
        };
        Gathered { group, signatures: signatures.to_vec(), source }
    }

    /// Adds events, the first and the last of which were at these times.
    pub fn add(&mut self, events: u64, (first, last): (Timestamp, Timestamp), (number, source): (u32, &str)) {
        let group = &mut self.group;
        group.count += events;
        (group.first, group.last) = (group.first.min(first), group.last.max(last));
        if self.source != number {
            self.source = number;
            if group.sources.len() < MAX_SOURCES && !group.sources.iter().any(|s| s == source) {
                group.sources.push(source.to_owned());
            }
        }
    }

    /// Adds what an event of it matched.
    pub fn add_signatures(&mut self, set: &SignatureSet, signatures: &[SigId]) {
        let group = &mut self.group;
        for id in signatures {
            if !self.signatures.contains(id) {
                self.signatures.push(*id);
                group.signatures.push(set.name(*id).to_owned());
                let (category, severity) = set.verdict(&[*id]);
                if severity > group.severity {
                    (group.category, group.severity) = (category, severity);
                }
            }
        }
    }
}

/// Gives it the name that it has in the end.
pub fn name(group: &mut ErrorGroup, known: &Group, new: bool) {
    known.id.clone_into(&mut group.id);
    known.id.clone_into(&mut group.example.group);
    known.template.clone_into(&mut group.template);
    known.former.clone_into(&mut group.former);
    group.new = new;
}

/// Adds a group to another, which was seen first.
pub fn join(group: &mut ErrorGroup, part: ErrorGroup) {
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
