//! The configuration as a whole: broken ones with the exact message, a sound one with everything in it.

mod effective;
mod errors;
mod valid;

use crate::config::Engine;
use crate::config::compile::{Surroundings, compile_with};
use crate::config::expand::{Reference, SecretSource};
use crate::config::report::{ConfigError, LoadError};

/// Secrets that are the same on every machine.
pub struct FixedSecrets;

impl SecretSource for FixedSecrets {
    fn resolve(&self, reference: &Reference) -> Result<String, String> {
        match reference {
            Reference::Credential(name) if name == "pg" => Ok("s3cr/et@pg".into()),
            Reference::Credential(name) if name == "slack" => Ok("https://hooks.example.org/T0/B0/slackpath-0".into()),
            Reference::Env(name) if name == "API_TOKEN" => Ok("api-token-value".into()),
            _ => Err("not there".into()),
        }
    }
}

/// Compiles a main file and files of `rules.d`; any selector will do.
pub fn compiled(main: &str, more: &[(&str, &str)]) -> Result<Engine, Vec<ConfigError>> {
    let sources = std::iter::once(("healer.toml", main)).chain(more.iter().copied());
    let sources = sources.map(|(path, text)| (path.into(), text.to_owned())).collect();
    compile_with(sources, &FixedSecrets, &Surroundings::default(), |_, _| Ok(()))
}

/// The errors of a configuration as people read them.
pub fn told(main: &str, more: &[(&str, &str)]) -> String {
    match compiled(main, more) {
        Ok(_) => "no error".into(),
        Err(errors) => LoadError::new(errors).to_string(),
    }
}
