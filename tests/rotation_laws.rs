//! The cursor of a log file against a model: whatever is written, rotated, packed and removed between passes, and
//! whichever passes are killed before they save, each line is counted once or lies inside of a reported gap.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "rotation/model.rs"]
mod model;

use model::{Model, Op};
use proptest::prelude::*;

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u8..40).prop_map(Op::Append),
        1 => Just(Op::Half),
        3 => (0u8..3).prop_map(Op::Rename),
        1 => Just(Op::Dated),
        1 => Just(Op::DatedBefore),
        1 => (0u8..3).prop_map(Op::RenameAround),
        1 => Just(Op::DatedAround),
        2 => Just(Op::CopyTruncate),
        1 => Just(Op::Unlink),
        1 => Just(Op::Truncate),
        2 => (0u8..4).prop_map(Op::LateAppend),
        2 => Just(Op::Pack),
        1 => Just(Op::RemoveOldest),
        6 => Just(Op::Pass),
        2 => Just(Op::LostPass),
    ]
}

#[track_caller]
fn check(pattern: &str, ops: &[Op]) {
    let mut log = Model::new(pattern);
    for op in ops {
        log.apply(*op);
    }
    log.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_counted_once_or_inside_of_a_gap(
        pattern in prop::sample::select(vec!["app.log", "app*"]),
        ops in prop::collection::vec(any_op(), 1..40),
    ) {
        check(pattern, &ops);
    }
}

#[test]
fn an_empty_rotated_file_stays_one_of_its_log() {
    for pattern in ["app.log", "app*"] {
        check(pattern, &[Op::Unlink, Op::DatedAround, Op::RenameAround(1), Op::RemoveOldest]);
    }
}

#[test]
fn a_late_writer_to_a_rotated_file_hides_neither_what_it_writes_nor_what_came_after_it() {
    use Op::{Append, LateAppend, Pack, Pass, RemoveOldest, Rename, RenameAround, Unlink};
    for ops in [
        &[Rename(0), Op::Dated, Append(1), Pass, LateAppend(1), Append(0), Pass][..],
        &[Rename(0), Rename(0), Append(1), Pass, LateAppend(1), Pack],
        &[Rename(0), Append(1), LateAppend(1), RenameAround(1), RemoveOldest, RemoveOldest],
        &[Rename(0), LateAppend(1), RenameAround(0), RemoveOldest],
        &[Unlink, Rename(1), LateAppend(1), Pass, RenameAround(0), RemoveOldest],
        &[Rename(0), LateAppend(1), Pass, Append(2), Rename(0), Append(1), LateAppend(2), Pass],
    ] {
        check("app.log", ops);
    }
}
