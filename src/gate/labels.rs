//! What the labels of the containers that a plan touches say against it.

use super::HoldReason;
use crate::config::Engine;
use crate::model::{Act, Labelled, Labelling, Plan, RestartTarget, Step};
use crate::plan::Refusal;
use std::collections::BTreeSet;

/// What forbids it.
pub(super) fn forbidden(engine: &Engine, labelling: &Labelling, plan: &Plan) -> Option<HoldReason> {
    let named = named(engine, labelling, plan);
    if let Some(why) = labelling.unread.as_ref().filter(|_| !named.is_empty()) {
        let why = format!("the labels of its containers, which may forbid it, could not be read: {why}");
        return Some(HoldReason::NoPlan(Refusal::Unusable(why)));
    }
    let restarted = restarted(plan);
    touched(labelling, &named, plan).find_map(|Labelled { name, labels, .. }| {
        let why = if labels.enable == Some(false) {
            " has the label healer.enable=false: healer leaves it alone".to_owned()
        } else if let Some(unclear) = labels.unclear.first() {
            format!(": {unclear}; until then nothing is done that touches it")
        } else if labels.no_restart && restarted.contains(name.as_str()) {
            " has the label healer.restart=false: healer never restarts it".to_owned()
        } else {
            return None;
        };
        Some(HoldReason::ForbiddenByLabel(format!("container:{name}{why}")))
    })
}

/// What leaves it to a human.
pub(super) fn suggested(engine: &Engine, labelling: &Labelling, plan: &Plan) -> Option<HoldReason> {
    let named = named(engine, labelling, plan);
    touched(labelling, &named, plan).find(|container| container.labels.suggest).map(|container| {
        let name = &container.name;
        HoldReason::SuggestedByLabel(format!("container:{name} has the label healer.mode=suggest: a human decides"))
    })
}

/// The labelled containers that a plan touches: those that it names, and those that mount a file which it edits.
fn touched<'a>(
    labelling: &'a Labelling,
    named: &'a BTreeSet<String>,
    plan: &'a Plan,
) -> impl Iterator<Item = &'a Labelled> {
    let mounts = |container: &Labelled| plan.edits().any(|e| container.binds.iter().any(|b| e.path.starts_with(b)));
    labelling.containers.iter().filter(move |c| named.contains(&c.name) || mounts(c))
}

/// Those that it restarts or makes anew.
fn restarted(plan: &Plan) -> BTreeSet<&str> {
    plan.restarts().flat_map(containers_of).map(String::as_str).collect()
}

fn containers_of(target: &RestartTarget) -> &[String] {
    match target {
        RestartTarget::Container(name) => std::slice::from_ref(name),
        RestartTarget::Recreate(service) => &service.containers,
        RestartTarget::Unit(_) => &[],
    }
}

/// Those that it restarts, resizes, acts in, or mends the trouble of.
fn named(engine: &Engine, labelling: &Labelling, plan: &Plan) -> BTreeSet<String> {
    let of_check = |name: &str| {
        let check = engine.check(name)?;
        let port = check.probe.local_port();
        let publishes = |c: &&Labelled| port.is_some_and(|port| c.ports.contains(&port));
        check.container.clone().or_else(|| labelling.containers.iter().find(publishes).map(|c| c.name.clone()))
    };
    let acted_on = plan.steps.iter().filter_map(|step| match step {
        Step::Act(Act::Resize(step)) => Some(step.container.clone()),
        Step::Act(Act::Postgres(step)) => of_check(&step.check),
        Step::Act(Act::Redis(step)) => of_check(&step.check),
        Step::Act(Act::Run(_)) | Step::Edit(_) | Step::Restart(_) => None,
    });
    let seen_in = plan.component.strip_prefix("container:").map(str::to_owned);
    let restarted = restarted(plan).into_iter().map(str::to_owned);
    restarted.chain(acted_on).chain(seen_in).collect()
}
