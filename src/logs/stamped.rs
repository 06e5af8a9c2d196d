//! Lines that arrive one by one, each with its time, scanned in regions like files are.

use super::collect::{Collector, Counter, Origin};
use super::events::{Assembler, Suspended};
use super::regions::BUFFER;
use super::scan::{MAX_LINE, Scan};
use jiff::Timestamp;

/// Gathers lines and scans them when there are enough.
pub struct StampedLines<'s> {
    scan: Scan<'s>,
    source: &'s str,
    text: Vec<u8>,
    /// For each line: where it begins in `text`, its place in all that was read, its time.
    marks: Vec<(usize, u64, Timestamp)>,
    bytes: u64,
    base: u64,
}

impl<'s> StampedLines<'s> {
    /// Continues a source; `base` is how many bytes earlier readings took.
    pub fn new(
        set: &'s super::signature::SignatureSet,
        source: &'s str,
        open: Suspended,
        base: u64,
    ) -> StampedLines<'s> {
        let scan = Scan::new(set, Assembler::resume(open, set));
        StampedLines { scan, source, text: Vec::new(), marks: Vec::new(), bytes: 0, base }
    }

    /// Takes one line, without its newline.
    pub fn push(&mut self, collector: &mut Collector<'_>, line: &[u8], time: Timestamp) {
        self.marks.push((self.text.len(), self.base + self.bytes, time));
        self.text.extend_from_slice(line.get(..MAX_LINE).unwrap_or(line));
        self.text.push(b'\n');
        self.bytes += line.len() as u64 + 1;
        if self.text.len() >= BUFFER {
            self.flush(collector);
        }
    }

    /// Scans what is left and returns what is still open, and how many bytes were read in all.
    pub fn finish(mut self, collector: &mut Collector<'_>, tell_all: bool) -> (Suspended, u64) {
        self.flush(collector);
        let set = collector.set;
        let mut counter = Counter::new(collector, Origin { source: self.source, path: None });
        let open = self.scan.assembler.suspend(set, tell_all, &mut counter);
        collector.scanned(&self.scan, self.source, self.bytes);
        (open, self.base + self.bytes)
    }

    /// Bytes taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn flush(&mut self, collector: &mut Collector<'_>) {
        let marks = &self.marks;
        let place = |at: usize| {
            let mark = marks.partition_point(|m| m.0 <= at).checked_sub(1).and_then(|i| marks.get(i));
            mark.map_or((0, None), |m| (m.1, Some(m.2)))
        };
        let mut counter = Counter::new(collector, Origin { source: self.source, path: None });
        self.scan.region(&self.text, &place, &mut counter);
        self.text.clear();
        self.marks.clear();
    }
}
