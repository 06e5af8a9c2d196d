//! Carrying out one step that is neither an edit nor a restart. An undo is the same with the inverse step.

use super::{postgres, redis, resize, run};
use crate::config::{CheckSpec, Engine};
use crate::host::docker::Docker;
use crate::model::{Act, Live, RedisStep};
use anyhow::{Result, anyhow};

/// What steps act through.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    pub engine: &'a Engine,
    pub docker: Option<&'a Docker>,
}

/// How a step went that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    /// With what is to be said of it.
    Done(String),
    /// Somebody else has changed the value meanwhile: theirs stays.
    Foreign,
}

/// Whoever was asked has refused or failed at it: to ask again would not help.
#[derive(Debug)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Where the change of a step stands now; `None` for what nobody can look up and only the journal knows.
///
/// # Errors
/// When whoever knows does not answer.
pub fn look(act: &Act, means: Means) -> Result<Option<Live>> {
    match act {
        Act::Resize(step) => resize::look(step, means).map(Some),
        Act::Redis(step) => redis::look(step, means).map(Some),
        Act::Run(_) | Act::Postgres(_) => Ok(None),
    }
}

/// The same step from the value that is there now.
///
/// # Errors
/// When whoever knows it does not answer.
pub fn from_now(act: Act, means: Means) -> Result<Act> {
    Ok(match act {
        Act::Resize(step) => Act::Resize(resize::from_now(step, means)?),
        Act::Redis(step) => {
            let old = redis::setting(&step.check, &step.key, means)?;
            Act::Redis(RedisStep { old, ..step })
        }
        Act::Run(_) | Act::Postgres(_) => act,
    })
}

/// Carries it out, from `old` to `new` and from nothing else.
///
/// # Errors
/// [`Refused`], or when whoever would do it does not answer.
pub fn apply(act: &Act, means: Means) -> Result<Applied> {
    match act {
        Act::Resize(step) => resize::apply(step, means),
        Act::Redis(step) => redis::apply(step, means),
        Act::Run(step) => run::apply(step).map(Applied::Done),
        Act::Postgres(step) => postgres::apply(step, means).map(Applied::Done),
    }
}

/// The same for the inverse of a step that was carried out.
///
/// # Errors
/// As [`apply`].
pub fn undo(inverse: &Act, means: Means) -> Result<Applied> {
    match inverse {
        Act::Resize(step) => resize::undo(step, means),
        other => apply(other, means),
    }
}

/// Why a container that a step has changed does not run now, in a sentence; `None` where it does.
///
/// # Errors
/// When the Docker Engine does not answer.
pub fn fallen(act: &Act, means: Means) -> Result<Option<String>> {
    match act {
        Act::Resize(step) => resize::fallen(step, means),
        Act::Run(_) | Act::Postgres(_) | Act::Redis(_) => Ok(None),
    }
}

/// The check of a name that a step refers to.
pub(super) fn check<'a>(means: Means<'a>, name: &str) -> Result<&'a CheckSpec> {
    means.engine.check(name).ok_or_else(|| anyhow!("there is no check `{name}` any more"))
}
