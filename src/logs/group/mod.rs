//! Error groups: events that differ only in their variable parts.
//!
//! Two stages, one setting for all logs. A title's variable parts are masked by their form ([`template`], `header`,
//! `mask`): equal templates are one group. Then a place in which many different words stand in otherwise equal templates
//! is learned to be a variable too ([`pattern`], `token`), and their groups become one ([`Groups`]). The same titles in
//! the same order make the same groups; memory is bounded, time linear. Pure. Not here: counting.

mod fingerprint;
mod header;
mod mask;
mod pattern;
mod template;
mod token;

#[cfg(test)]
mod tests;

use super::shape::{Memo, Shapes};
use super::spread::BySpread;
use fingerprint::Fingerprints;
use jiff::Timestamp;
use pattern::{Open, Pattern, Slot};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

pub use fingerprint::{is_mixed, is_plain, shape_of_mixed};
pub use template::of_title as template;

/// Groups remembered from pass to pass; those not seen for longest are forgotten.
const MAX_KEPT: usize = 3000;
/// Groups known at a time. What is new beyond that is of no group.
const MAX_KNOWN: usize = 4000;
/// Titles whose group is found without a look at their words.
const MAX_TITLES: usize = 10_000;
/// Places in which words are compared: what seven eighths of a table of 65,536 hold.
const MAX_SLOTS: usize = 57_344;
/// Groups with learned variables that are alike but for their words.
const MAX_ALIKE: usize = 64;
/// Ids of groups that became one.
const MAX_FORMER: usize = 16;

/// The groups known on a host.
///
/// A group is told by its id, and keeps it for as long as it is remembered. When several groups turn out to be one, it
/// goes on under the id of the one known longest; the other ids are kept with it. It is not new when any of them was
/// known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Groups {
    /// In the order in which they were first seen, but for what was learned since the last [`Groups::settle`].
    known: Vec<Group>,
    #[serde(skip)]
    index: Option<Index>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// 12 hex digits.
    pub id: String,
    pub template: String,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Ids of groups that became part of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<String>,
}

/// Names a group until the groups are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(u32);

impl Handle {
    /// The handle of a number.
    pub fn of(number: u32) -> Handle {
        Handle(number)
    }

    /// Its number: small, and never that of another group.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The same, as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What finds a title's group; rebuilt from the groups when it is needed.
#[derive(Debug, Clone, Default)]
struct Index {
    /// By position in the groups.
    nodes: Vec<Node>,
    fingerprints: Fingerprints,
    shapes: Shapes,
    /// The titles seen last: most differ from one of them in the values of numbers alone.
    by_shape: Memo<u32>,
    by_title: BySpread<u32>,
    by_key: BySpread<u32>,
    /// By the hash of an id, a former one too.
    by_id: HashMap<u64, u32>,
    slots: BySpread<Slot>,
    /// Groups with learned variables, by shape.
    wild: BySpread<Vec<u32>>,
}

#[derive(Debug, Clone)]
struct Node {
    /// Itself, or the group that it became part of.
    parent: u32,
    /// The oldest group in it.
    age: u32,
    /// It was known before this reading.
    told: bool,
    pattern: Pattern,
}

impl Groups {
    /// The group of a title seen at a time; none when too many are known already.
    pub fn add(&mut self, title: &[u8], time: Timestamp) -> Option<Handle> {
        self.build();
        let index = self.index.get_or_insert_default();
        let shape = fingerprint::shape(&index.shapes, title);
        let at = match index.by_shape.get(shape) {
            Some(at) => at,
            None => {
                let at = self.find_title(&String::from_utf8_lossy(title), time)?;
                self.index.get_or_insert_default().by_shape.put(shape, at);
                at
            }
        };
        let root = Handle(self.root(at));
        self.seen(root, time);
        Some(root)
    }

    /// A number that titles share only when they are of one group. None before the first title.
    pub fn shape(&self, title: &[u8]) -> Option<u64> {
        self.index.as_ref().map(|index| fingerprint::shape(&index.shapes, title))
    }

    /// Another title of a group was seen at a time.
    pub fn seen(&mut self, handle: Handle, time: Timestamp) {
        if let Some(group) = self.known.get_mut(handle.index()) {
            (group.first, group.last) = (group.first.min(time), group.last.max(time));
        }
    }

    /// The group, as it is now; others may have become part of it.
    pub fn get(&self, handle: Handle) -> Option<&Group> {
        self.known.get(self.root(handle.0) as usize)
    }

    /// The handle of the group that a group is part of now.
    pub fn resolve(&self, handle: Handle) -> Handle {
        Handle(self.root(handle.0))
    }

    /// Whether no part of a group was known before this reading.
    pub fn is_new(&self, handle: Handle) -> bool {
        let root = self.root(handle.0) as usize;
        !self.index.as_ref().and_then(|index| index.nodes.get(root)).is_some_and(|node| node.told)
    }

    /// Ends a reading: all groups are known now, what became part of another is gone, and the oldest beyond what is kept
    /// are forgotten. Handles are void.
    pub fn settle(&mut self) {
        let Some(index) = self.index.take() else { return };
        let mut roots: Vec<(u32, Group)> = Vec::new();
        for ((at, group), node) in (0..).zip(std::mem::take(&mut self.known)).zip(&index.nodes) {
            if node.parent == at {
                roots.push((node.age, group));
            }
        }
        roots.sort_by_key(|(age, _)| *age);
        if roots.len() > MAX_KEPT {
            let mut seen: Vec<Timestamp> = roots.iter().map(|(_, group)| group.last).collect();
            seen.sort_unstable();
            let oldest = seen.get(seen.len() - MAX_KEPT).copied().unwrap_or_default();
            roots.retain(|(_, group)| group.last >= oldest);
            roots.truncate(MAX_KEPT);
        }
        self.known = roots.into_iter().map(|(_, group)| group).collect();
    }

    fn build(&mut self) {
        if self.index.is_some() {
            return;
        }
        self.index = Some(Index::default());
        for group in std::mem::take(&mut self.known) {
            let pattern = Pattern::of(&group.template);
            self.push(group, pattern, true);
        }
    }

    fn root(&self, mut at: u32) -> u32 {
        let Some(index) = &self.index else { return at };
        while let Some(node) = index.nodes.get(at as usize)
            && node.parent != at
        {
            at = node.parent;
        }
        at
    }

    /// Finds the group of a title or makes one.
    fn find_title(&mut self, title: &str, time: Timestamp) -> Option<u32> {
        let index = self.index.get_or_insert_default();
        let print = index.fingerprints.of(title);
        if let Some(at) = index.by_title.get(&print) {
            return Some(*at);
        }
        let at = self.place(template(title), time)?;
        let by_title = &mut self.index.get_or_insert_default().by_title;
        if by_title.len() >= MAX_TITLES {
            by_title.clear();
        }
        by_title.insert(print, at);
        Some(at)
    }

    /// Finds the group of a template or makes one.
    fn place(&mut self, template: String, time: Timestamp) -> Option<u32> {
        let pattern = Pattern::of(&template);
        if let Some(at) = self.find(&pattern) {
            return Some(at);
        }
        // What is kept of a template may have a secret blotted out; its id has not.
        let id = id(&template);
        if let Some(at) = self.index.as_ref().and_then(|index| index.by_id.get(&pattern::hash(&id))) {
            return Some(*at);
        }
        if self.known.len() >= MAX_KNOWN {
            return None;
        }
        let group = Group { id, template, first: time, last: time, former: Vec::new() };
        Some(self.push(group, pattern, false))
    }

    fn find(&self, pattern: &Pattern) -> Option<u32> {
        let index = self.index.as_ref()?;
        let takes = |at: &&u32| index.nodes.get(**at as usize).is_some_and(|node| node.pattern.takes(pattern));
        let wild = || index.wild.get(&pattern.shape)?.iter().find(takes);
        index.by_key.get(&pattern.key).or_else(wild).map(|at| self.root(*at))
    }

    /// Adds a group and learns from it.
    fn push(&mut self, group: Group, pattern: Pattern, told: bool) -> u32 {
        let at = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let index = self.index.get_or_insert_default();
        for id in std::iter::once(&group.id).chain(&group.former) {
            index.by_id.entry(pattern::hash(id)).or_insert(at);
        }
        self.known.push(group);
        index.by_key.insert(pattern.key, at);
        if pattern.wild {
            let alike = index.wild.entry(pattern.shape).or_default();
            if alike.len() < MAX_ALIKE {
                alike.push(at);
            }
        }
        index.nodes.push(Node { parent: at, age: at, told, pattern: pattern.learned() });
        for open in &pattern.open {
            self.learn(at, &pattern, *open);
        }
        at
    }

    /// Adds a value to a slot; when that shows the place to be a variable, the groups it was seen in become one.
    fn learn(&mut self, at: u32, pattern: &Pattern, open: Open) {
        let Some(index) = &mut self.index else { return };
        let context = pattern.context(open);
        if index.slots.len() >= MAX_SLOTS && !index.slots.contains_key(&context) {
            return;
        }
        let slot = index.slots.entry(context).or_default();
        if !slot.add(pattern.value(open, at)) || !slot.is_variable(open) {
            return;
        }
        // What is part of a wider group already stays there: groups that share a template are not one for that.
        let is_root = |at: &u32| index.nodes.get(*at as usize).is_some_and(|node| node.parent == *at);
        let first = slot.values().iter().map(|value| value.owner).filter(is_root).min();
        index.slots.remove(&context);
        let first = first.and_then(|at| self.known.get(at as usize)).cloned();
        let widened = first.and_then(|group| Some((pattern::widened(&group.template, open)?, group)));
        let Some((template, first)) = widened else { return };
        let pattern = Pattern::of(&template);
        let wide = match self.find(&pattern) {
            Some(found) => found,
            None => self.push(Group { template, former: Vec::new(), ..first }, pattern.clone(), false),
        };
        let parts: Vec<u32> = (0..)
            .zip(self.index.iter().flat_map(|index| &index.nodes))
            .filter(|(at, node)| node.parent == *at && pattern.takes(&node.pattern))
            .map(|(at, _)| at)
            .collect();
        for part in parts {
            self.join(part, wide);
        }
    }

    /// Makes a group part of another. The id known longest is the id of both.
    fn join(&mut self, part: u32, whole: u32) {
        let (part, whole) = (self.root(part) as usize, self.root(whole) as usize);
        if part == whole {
            return;
        }
        let Some(nodes) = self.index.as_mut().map(|index| &mut index.nodes) else { return };
        let (Ok([from, to]), Ok([old, group])) =
            (nodes.get_disjoint_mut([part, whole]), self.known.get_disjoint_mut([part, whole]))
        else {
            return;
        };
        from.parent = u32::try_from(whole).unwrap_or(u32::MAX);
        to.told |= from.told;
        (group.first, group.last) = (group.first.min(old.first), group.last.max(old.last));
        if from.age < to.age {
            to.age = from.age;
            std::mem::swap(&mut group.id, &mut old.id);
        }
        let ids = std::iter::once(&old.id).chain(&old.former);
        for id in ids {
            if *id != group.id && group.former.len() < MAX_FORMER && !group.former.contains(id) {
                group.former.push(id.clone());
            }
        }
    }
}

/// Id of a group that began with this template.
pub fn id(template: &str) -> String {
    Sha256::digest(template.as_bytes()).iter().take(6).map(|b| format!("{b:02x}")).collect()
}

/// Titles grouped as one reading groups them, without events around them.
#[derive(Debug, Default)]
pub struct Titles {
    groups: Groups,
    of_title: Vec<Option<Handle>>,
    /// Templates of the titles that are of no group.
    alone: Vec<String>,
}

impl Titles {
    pub fn add(&mut self, title: &str) {
        let handle = self.groups.add(title.as_bytes(), Timestamp::UNIX_EPOCH);
        if handle.is_none() {
            self.alone.push(template(title));
        }
        self.of_title.push(handle);
    }

    /// Id and template of each title's group as it is now, in order.
    pub fn tell<E>(&self, mut tell: impl FnMut(&str, &str) -> Result<(), E>) -> Result<(), E> {
        let mut alone = self.alone.iter();
        for handle in &self.of_title {
            match handle.and_then(|handle| self.groups.get(handle)) {
                Some(group) => tell(&group.id, &group.template)?,
                None => {
                    let template = alone.next().map_or("", String::as_str);
                    tell(&id(template), template)?;
                }
            }
        }
        Ok(())
    }
}
