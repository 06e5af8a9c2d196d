//! Every noun that passes between the stages of a pass, as plain data.
//!
//! Lives here: types, their serialised names, and functions that need nothing but the value itself.
//! May not live here: I/O, clocks, imports of other modules of this crate. Only std, serde and jiff (for points in
//! time) are named.

mod check;
mod judgement;
mod label;
mod log;
mod moment;
mod outcome;
mod plan;
mod step;

pub use check::*;
pub use judgement::*;
pub use label::*;
pub use log::*;
pub use moment::*;
pub use outcome::*;
pub use plan::*;
pub use step::*;
