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
        2 => (0u8..3, 0u8..4).prop_map(|(before, lines)| Op::LateAppend(before, lines)),
        2 => (0u8..3).prop_map(Op::Pack),
        1 => (0u8..3).prop_map(Op::Remove),
        1 => Just(Op::RemoveOldest),
        1 => (0u8..3).prop_map(Op::Away),
        6 => Just(Op::Pass),
        2 => Just(Op::LostPass),
    ]
}

#[track_caller]
fn check(pattern: &str, ops: &[Op]) {
    check_on(Model::new(pattern), ops);
}

#[track_caller]
fn check_on(mut log: Model, ops: &[Op]) {
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
        older in prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec((1u8..3, any::<bool>()), 1..3)],
        ops in prop::collection::vec(any_op(), 1..40),
    ) {
        check_on(Model::beside(pattern, &older), &ops);
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
    use Op::{Append, Away, LateAppend, Pack, Pass, Remove, RemoveOldest, Rename, RenameAround, Unlink};
    for ops in [
        &[Rename(0), Op::Dated, Append(1), Pass, LateAppend(0, 1), Append(0), Pass][..],
        &[Rename(0), Rename(0), Append(1), Pass, LateAppend(0, 1), Pack(0)],
        &[Rename(0), Append(1), LateAppend(0, 1), RenameAround(1), RemoveOldest, RemoveOldest],
        &[Rename(0), LateAppend(0, 1), RenameAround(0), RemoveOldest],
        &[Unlink, Rename(1), LateAppend(0, 1), Pass, RenameAround(0), RemoveOldest],
        &[Rename(0), LateAppend(0, 1), Pass, Append(2), Rename(0), Append(1), LateAppend(0, 2), Pass],
        &[Rename(0), Op::CopyTruncate, Away(1), Remove(0)],
        &[Rename(0), Op::Dated, Away(1), Remove(1)],
        &[Rename(0), Pass, Rename(0), Away(1), Remove(0)],
    ] {
        check("app.log", ops);
        check("app*", ops);
    }
}

#[test]
fn what_was_rotated_before_its_log_was_first_seen_stays_unread_but_for_what_is_written_to_it_since() {
    use Op::{Append, Away, LateAppend, Pass, Remove, RenameAround};
    for (older, ops) in [
        (&[(1, true)][..], &[RenameAround(0)][..]),
        (&[(0, false)], &[RenameAround(1), Append(0), Remove(0)]),
        (&[(1, false)], &[LateAppend(0, 1), RenameAround(1), Remove(0), Append(0)]),
        (&[(2, true), (1, false)], &[LateAppend(1, 1), Pass, Remove(1), Pass, Away(1)]),
    ] {
        check_on(Model::beside("app.log", older), ops);
    }
}
