//! `healer stats`: what the knowledge base says.

use crate::attempts::{self, Debt};
use crate::commands::duration;
use crate::commands::open_fix;
use crate::config::{Engine, Format, Selector};
use crate::fix::act::Means;
use crate::fix::{edit, present};
use crate::host::{clock, files};
use crate::learn;
use crate::show::debt::{self, Owed};
use crate::show::{Output, json, stats};
use crate::state::{Memory, StateDir};
use anyhow::Result;

pub fn run(engine: &Engine, since: Option<&str>, out: &Output) -> Result<u8> {
    let span = since.map(|text| duration(text, "--since")).transpose()?;
    let from = span.and_then(|s| clock::now().checked_sub(jiff::SignedDuration::try_from(s).ok()?).ok());
    let (memory, warning) = Memory::load(&StateDir::of(engine));
    let knowledge = learn::read(&engine.knowledge_base, from)?.with_self_recovery(memory.unaided.by_issue);
    warning.iter().for_each(|w| out.note(&format!("healer: {w}")));
    let owed = owed(engine)?;
    out.document(|| {
        let mut body = json::stats(&knowledge);
        if let Some(body) = body.as_object_mut() {
            body.insert("mitigation_debt".into(), debt::json(&owed));
        }
        json::success(body)
    });
    out.text(&stats::text(&knowledge, since, out));
    debt::text(&owed, clock::now(), out).iter().for_each(|text| out.text(&format!("\n{text}")));
    if let Some((line, why)) = &knowledge.first_skipped {
        out.note(&format!(
            "{}: {} lines could not be read and were left out (the first is line {line}: {why})",
            engine.knowledge_base.display(),
            knowledge.skipped
        ));
    }
    Ok(0)
}

/// The literals and values that still stand as the last fix left them; one that a human has set since is owed no more.
fn owed(engine: &Engine) -> Result<Vec<Owed>> {
    let debts = attempts::read(&StateDir::of(engine).attempts())?.debts();
    let docker = open_fix::docker(engine);
    let means = Means { engine, docker: docker.as_ref() };
    Ok(debts.into_iter().filter_map(|debt| still_owed(debt, means)).collect())
}

fn still_owed(debt: Debt, means: Means) -> Option<Owed> {
    if let Some(now) = debt.path.to_str().and_then(|place| present::value_of(place, &debt.at, means)) {
        // What cannot be looked up now stands as the last fix left it, as far as is known.
        let changed = now.is_ok_and(|now| now != debt.now);
        let literals = Some((edit::bare_literal(&debt.human), edit::bare_literal(&debt.now)));
        return (!changed).then_some(Owed { debt, literals });
    }
    let found = || {
        let format = Format::of(&debt.path)?;
        let selector = Selector::parse(&debt.at, format).ok()?;
        let bytes = files::snapshot(&debt.path).ok()?.bytes;
        let now = edit::locate(&bytes, format, &selector).ok()?.literal;
        let before = edit::apply(&bytes, format, &selector, &debt.human).ok()?;
        Some((edit::locate(&before, format, &selector).ok()?.literal, now))
    };
    match found() {
        Some((_, now)) if now.raw != debt.now => None,
        literals => Some(Owed { debt, literals }),
    }
}
