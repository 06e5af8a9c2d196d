//! How often: the cooldown of what is touched, and how many fixes a rule, a target and the host may have. Each limit can
//! say how far it is used up. May not live here: the circuit breaker (`breaker`).

use super::{DAY, Given, HOUR, HoldReason};
use crate::attempts::Attempt;
use crate::config::Rule;
use crate::model::Plan;
use std::time::Duration;

/// One limit on the number of fixes.
pub(super) struct Count {
    pub what: &'static str,
    pub made: usize,
    pub max: u32,
    pub per: Duration,
    /// What the gate says where it is used up.
    reason: HoldReason,
}

impl Count {
    pub(super) fn reason(&self) -> Option<HoldReason> {
        (self.made >= self.max as usize).then(|| self.reason.clone())
    }
}

/// The cooldown, then the limits in the order in which they are asked.
pub(super) fn limits(given: Given, rule: &Rule, plan: &Plan) -> Option<HoldReason> {
    cooldown(given, rule, plan).or_else(|| counts(given, rule, plan).iter().find_map(Count::reason))
}

/// Of everything that the plan touches.
pub(super) fn cooldown(given: Given, rule: &Rule, plan: &Plan) -> Option<HoldReason> {
    plan.touches().iter().find_map(|target| {
        let left = rule.limits.cooldown.saturating_sub(since_last(given, target)?);
        (!left.is_zero()).then(|| HoldReason::Cooldown { target: target.clone(), left })
    })
}

/// How long ago a fix last touched it.
pub(super) fn since_last(given: Given, target: &str) -> Option<Duration> {
    Some(given.now.since(given.attempts.last_on(target)?.last_moment()))
}

pub(super) fn counts(given: Given, rule: &Rule, plan: &Plan) -> Vec<Count> {
    let made = |per: Duration, counts: &dyn Fn(&Attempt) -> bool| {
        given.attempts.fixes.iter().filter(|a| given.now.since(&a.started) < per && counts(a)).count()
    };
    let limits = &given.engine.limits;
    let of_rule = {
        let (rule, max, per) = (rule.name.clone(), rule.limits.max_fixes, rule.limits.per);
        let made = made(per, &|a| a.rule == rule);
        Count { what: "of this rule", made, max, per, reason: HoldReason::RuleLimit { rule, max, per } }
    };
    let of_targets = plan.touches().into_iter().map(|target| {
        let max = limits.fixes_per_target;
        let made = made(DAY, &|a| a.touched(&target));
        Count { what: "of one target", made, max, per: DAY, reason: HoldReason::TargetLimit { target, max } }
    });
    let of_host = [(limits.fixes_per_hour, HOUR), (limits.fixes_per_day, DAY)].map(|(max, per)| {
        let made = made(per, &|_| true);
        Count { what: "of this host", made, max, per, reason: HoldReason::HostLimit { max, per } }
    });
    std::iter::once(of_rule).chain(of_targets).chain(of_host).collect()
}
