//! Configuration: what was written (`raw`, serde) becomes what will be done ([`Engine`]) or a list of errors, each
//! with file, line and caret. May not live here: anything that acts on the world beyond reading the configuration.

mod address;
mod at;
mod compile;
mod duration;
mod engine;
mod evidence;
mod expand;
mod limits;
mod load;
mod mask;
mod raw;
mod read;
mod report;
mod rule_test;
mod secret;
mod selector;
mod serve;
mod stand_in;
#[cfg(test)]
mod tests;

pub use compile::{Surroundings, builtin_signatures, compile, compile_in, typed_pattern};
pub use duration::{DURATION_SYNTAX, parse_duration};
pub use engine::*;
pub use evidence::{Evidence, SignalSpec};
pub use expand::{Reference, SecretSource, SecretsWhereKnown, SystemSecrets};
pub use limits::*;
pub use load::{Options, load, load_with};
pub use report::{ConfigError, LoadError, closest};
pub use rule_test::{Expectation, RuleTest, TestState};
pub use secret::{Redactor, Secret};
pub use selector::{Format, MODULE_SCOPE, Segment, Selector};
pub use serve::{SHORTEST_TOKEN, Serve, check_token};
pub use stand_in::{Portable, Written};
