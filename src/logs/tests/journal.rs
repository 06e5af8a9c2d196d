//! Where a journal was left, and what is said when that place is gone.

use super::signature;
use crate::logs::collect::{Collector, Counting};
use crate::logs::{LogState, journal, signature_set};
use jiff::Timestamp;
use std::fs;
use std::path::Path;

/// `journalctl` with the entries that a file names: from the one at `--cursor` on, or the next that is still there.
#[test]
fn a_journal_goes_on_after_its_cursor_and_says_when_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("journalctl");
    let script = r#"#!/bin/sh
from=0
while [ $# -gt 0 ]; do case "$1" in --cursor) from=${2#c=}; shift;; esac; shift; done
while read n; do
  [ "$n" -ge "$from" ] && echo "{\"__CURSOR\":\"c=$n\",\"__REALTIME_TIMESTAMP\":\"1700000000000000\",\"MESSAGE\":[69,82,82,255]}"
done <entries
exit 0
"#;
    fs::write(&program, script.replace("<entries", &format!("<{}", dir.path().join("entries").display()))).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let set = signature_set(&[signature("err", "ERR")]);
    let mut state = LogState::default();
    let mut read = |program: &Path| {
        let mut collector = Collector::new(&set, &mut state, Timestamp::now(), Counting::Recent(3600));
        journal::read(&mut collector, "journal:x", "x.service", &program.display().to_string());
        collector.finish()
    };
    let mut check = |entries: &[u32], events: u64, gaps: usize| {
        let text: String = entries.iter().map(|n| format!("{n}\n")).collect();
        fs::write(dir.path().join("entries"), text).unwrap();
        let report = read(&program);
        assert_eq!((report.events, report.gaps.len(), report.problems.len()), (events, gaps, 0), "{entries:?}");
        report
    };
    let first = check(&[1, 2, 3], 3, 0);
    assert_eq!(first.groups[0].example.time.as_second(), 1_700_000_000);
    check(&[1, 2, 3], 0, 0);
    check(&[1, 2, 3, 4, 5], 2, 0);
    // Vacuumed: the entry where it was left is gone, and the one after it must not go with it.
    check(&[6, 7], 2, 1);
    check(&[7], 0, 0);
    check(&[], 0, 1);
    check(&[8], 1, 0);
    assert!(read(Path::new("/nonexistent/journalctl")).problems[0].message.contains("journalctl"));
}
