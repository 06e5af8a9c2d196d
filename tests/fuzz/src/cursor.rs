//! The cursor: any sequence of writing, rotating, packing, removing and passes, some of them killed.

#[path = "../../rotation/model.rs"]
mod model;

use model::{Model, Op};

/// A sequence costs files and passes: longer ones try little that shorter ones do not.
const MOST: usize = 40;

/// Asserts it of an input.
pub fn law(data: &[u8]) {
    let Some((first, ops)) = data.split_first() else { return };
    let mut log = Model::new(if first % 2 == 0 { "app.log" } else { "app*" });
    for byte in ops.iter().take(MOST) {
        log.apply(op(*byte));
    }
    log.check();
}

fn op(byte: u8) -> Op {
    let how_many = byte >> 4;
    match byte & 15 {
        0..=3 => Op::Append(how_many * 2),
        4 => Op::Half,
        5 => Op::Rename(how_many % 3),
        6 => Op::RenameAround(how_many % 3),
        7 => match how_many % 5 {
            0 => Op::Dated,
            1 => Op::DatedBefore,
            2 => Op::DatedAround,
            3 => Op::Away(how_many % 3),
            _ => Op::LateAppend(how_many % 2, how_many % 3),
        },
        8 => Op::CopyTruncate,
        9 => Op::Unlink,
        10 => Op::Truncate,
        11 => Op::Pack(how_many % 3),
        12 if how_many.is_multiple_of(2) => Op::RemoveOldest,
        12 => Op::Remove(how_many / 2 % 3),
        13 | 14 => Op::Pass,
        _ => Op::LostPass,
    }
}
