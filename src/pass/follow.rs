//! Looks again at fixes that earlier passes kept, and writes down what is to be said of them.
//!
//! Cheap where there is nothing to say: the length of one file. What is said is written to the knowledge base first and to
//! `attempts.jsonl` last, and not twice: a pass that is killed in between is gone on with by the next.

use crate::attempts::{self, Line};
use crate::follow_up::{FollowUp, FollowUps};
use crate::host::clock;
use crate::learn;
use crate::model::{Analysis, LaterVerdict, Moment};
use crate::pass::{World, send};
use crate::tell::{self, PassTell};
use anyhow::Result;

/// Looks again at every fix that is due; whether there was something to say. What cannot be written is told, and tried
/// again by the next pass.
pub fn follow_up(world: &mut World, analysis: &Analysis, now: &Moment, tell: &mut dyn PassTell) -> bool {
    let mut said = false;
    if let Err(error) = bring_up_to_date(world, now) {
        world.problems.push(format!("earlier fixes are not followed: {error:#}"));
        return false;
    }
    for follow_up in world.memory.follow_ups.open.clone() {
        // A rule that is gone cannot say whether its problem is back.
        let known = world.engine.rule(&follow_up.rule).is_some();
        let Some(verdict) = follow_up.verdict(analysis, now).filter(|_| known) else { continue };
        match write(world, &follow_up, verdict, now) {
            Ok(()) => {
                told(world, &follow_up, verdict, tell);
                said = true;
            }
            Err(error) => world.problems.push(format!("{}: {error:#}", follow_up.fix)),
        }
    }
    if let Err(error) = bring_up_to_date(world, now) {
        world.problems.push(format!("earlier fixes are not followed: {error:#}"));
    }
    said
}

/// Makes the index anew where the attempts have another length than it knows.
fn bring_up_to_date(world: &mut World, now: &Moment) -> Result<()> {
    let path = world.dir.attempts();
    let length = std::fs::metadata(&path).map_or(0, |m| m.len());
    if world.memory.follow_ups.made_from != length {
        world.memory.follow_ups = FollowUps::of(&attempts::read(&path)?, length, now);
    }
    Ok(())
}

fn write(world: &World, follow_up: &FollowUp, verdict: LaterVerdict, now: &Moment) -> Result<()> {
    let knowledge_base = world.dir.knowledge_base();
    if !learn::has_late_verdict(knowledge_base, &follow_up.fix, verdict.word())? {
        learn::append_verdict(knowledge_base, clock::to_second(now.t), &follow_up.fix, verdict.word())?;
    }
    attempts::append(&world.dir.attempts(), &Line::Later { at: now.clone(), fix: follow_up.fix.clone(), verdict })
}

fn told(world: &mut World, follow_up: &FollowUp, verdict: LaterVerdict, tell: &mut dyn PassTell) {
    let issue_type = world.engine.rule(&follow_up.rule).map(|rule| rule.issue_type.clone());
    tell.as_tell().event(
        verdict.word(),
        serde_json::json!({
            "fix_id": follow_up.fix, "rule": follow_up.rule, "issue_type": issue_type, "fix_type": follow_up.fix_type,
            "component": follow_up.component, "target": follow_up.target, "judged": follow_up.judged.t,
        }),
    );
    if verdict == LaterVerdict::Recurred {
        let alert = tell::of_recurred(world.engine, follow_up, issue_type, clock::now());
        send(world, vec![alert], tell);
    }
}
