//! Configuration: what was written (`raw`, serde) becomes what will be done ([`Engine`]) or a list of errors, each
//! with file, line and caret. May not live here: anything that acts on the world beyond reading the configuration.

mod engine;
mod secret;
mod selector;

pub use engine::*;
pub use secret::{Redactor, Secret};
pub use selector::{Format, MODULE_SCOPE, Segment, Selector};
