//! Configuration: what was written (`raw`, serde) becomes what will be done ([`Engine`]) or a list of errors, each
//! with file, line and caret. May not live here: anything that acts on the world beyond reading the configuration.

mod address;
mod at;
mod compile;
mod document;
mod duration;
mod effective;
mod engine;
mod evidence;
mod expand;
mod limits;
mod load;
mod manual;
mod mask;
mod raw;
mod read;
mod report;
mod rule_test;
mod schema;
mod secret;
mod selector;
mod serve;
mod stand_in;
#[cfg(test)]
pub(crate) mod tests;

pub use compile::mail::is_address as is_mail_address;
pub use compile::{Surroundings, builtin_signatures, compile, compile_in, typed_pattern};
pub use document::{Document, Node, Place, Tree, bare, quoted};
pub use duration::{DURATION_SYNTAX, parse_duration};
pub use effective::{Effective, Origin, Setting};
pub use engine::*;
pub use evidence::{Evidence, SignalSpec};
pub use expand::{Reference, SecretSource, SecretsWhereKnown, SystemSecrets};
pub use limits::*;
pub use load::{Options, is_usual, load, load_with, more_rules, option, target, usual_socket};
pub use manual::{EVERY_CHECK, HEALER_TOML_5, MANUAL_SECTIONS};
pub use report::{ConfigError, LoadError, closest};
pub use rule_test::{Expectation, RuleTest, TestState};
pub use schema::schema;
pub use secret::{Redactor, Secret};
pub use selector::{Format, MODULE_SCOPE, Segment, Selector};
pub use serve::{SHORTEST_TOKEN, Serve, check_token};
pub use stand_in::{Portable, Written};
