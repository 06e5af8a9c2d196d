//! The laws of the fuzz targets, on bytes of chance: what `tests/fuzz` asserts keeps building, and holds.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unsafe_code)]

#[path = "fuzz/src/lib.rs"]
mod laws;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn lines_match_as_each_pattern_alone_says(data in prop::collection::vec(any::<u8>(), 0..300)) {
        laws::scanner::law(&data);
    }

    #[test]
    fn events_are_the_same_in_one_pass_and_in_many(data in prop::collection::vec(any::<u8>(), 0..200)) {
        laws::events::law(&data);
    }

    #[test]
    fn each_line_of_a_rotated_log_is_counted_once_or_lies_in_a_reported_gap(data in prop::collection::vec(any::<u8>(), 0..40)) {
        laws::cursor::law(&data);
    }
}
