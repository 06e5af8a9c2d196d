//! A configuration that is rebuilt elsewhere: its text, and a stand-in for every secret that it refers to. May not live
//! here: a value of a secret.

use crate::config::compile::{Surroundings, compile_in};
use crate::config::expand::{Reference, SecretSource};
use crate::config::report::{ConfigError, LoadError};
use crate::config::{Engine, Redactor, Secret};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The configuration as it was written, with what its surroundings said. The text may hold secrets in clear.
#[derive(Debug, Clone, Default)]
pub struct Written {
    pub sources: Vec<(PathBuf, Secret)>,
    pub surroundings: Surroundings,
}

/// The same without a secret: what a recording keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Portable {
    sources: Vec<(PathBuf, String)>,
    surroundings: Surroundings,
    /// By reference as written: what stands for its value.
    stand_ins: BTreeMap<String, String>,
}

impl Written {
    /// Without its secrets. What a secret decides (the scheme of a whole URL) its stand-in keeps.
    ///
    /// # Errors
    /// When the configuration would not be sound with the stand-ins, or a secret cannot be read any more.
    pub fn portable(&self, secrets: &dyn SecretSource, redactor: &Redactor) -> Result<Portable, LoadError> {
        let sources =
            self.sources.iter().map(|(path, text)| (path.clone(), redactor.redact(text.reveal()).into_owned()));
        let portable =
            Portable { sources: sources.collect(), surroundings: self.surroundings.clone(), ..Portable::default() };
        let gathering = Gathering { secrets, seen: RefCell::default() };
        compile_in(portable.sources.clone(), &gathering, &portable.surroundings).map_err(LoadError::new)?;
        Ok(Portable { stand_ins: gathering.seen.into_inner(), ..portable })
    }
}

impl Portable {
    /// Compiles it again.
    ///
    /// # Errors
    /// When this version does not find it sound.
    pub fn engine(&self) -> Result<Engine, Vec<ConfigError>> {
        compile_in(self.sources.clone(), &StandIns(&self.stand_ins), &self.surroundings)
    }
}

struct Gathering<'a> {
    secrets: &'a dyn SecretSource,
    seen: RefCell<BTreeMap<String, String>>,
}

impl SecretSource for Gathering<'_> {
    fn resolve(&self, reference: &Reference) -> Result<String, String> {
        let stand_in = stand_in(&self.secrets.resolve(reference)?);
        self.seen.borrow_mut().insert(name(reference), stand_in.clone());
        Ok(stand_in)
    }
}

struct StandIns<'a>(&'a BTreeMap<String, String>);

impl SecretSource for StandIns<'_> {
    fn resolve(&self, reference: &Reference) -> Result<String, String> {
        self.0.get(&name(reference)).cloned().ok_or_else(|| "nothing stands for it in the recording".into())
    }
}

fn name(reference: &Reference) -> String {
    match reference {
        Reference::Env(name) => name.clone(),
        Reference::File(path) => format!("file:{}", path.display()),
        Reference::Credential(name) => format!("credential:{name}"),
    }
}

/// Of the same kind as the secret: a URL of the same scheme, a number, or a word.
fn stand_in(secret: &str) -> String {
    match secret.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://redacted.invalid/"),
        None if secret.bytes().all(|b| b.is_ascii_digit()) => "1111".into(),
        None => "redacted".into(),
    }
}
