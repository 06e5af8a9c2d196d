//! The mitigation debt: literals that fixes have moved away from the value that a human last set.

use crate::attempts::Debt;
use crate::fix::edit::{Decimal, Literal};
use crate::host::clock;
use crate::show::{Output, ago, json};
use crate::text::clean;
use jiff::Timestamp;
use serde_json::{Value, json};

/// A literal with what stands there now.
pub struct Owed {
    pub debt: Debt,
    /// The two values, where both could be read.
    pub literals: Option<(Literal, Literal)>,
}

impl Owed {
    /// How many times the human's value it is now; `None` where that says nothing.
    fn factor(&self) -> Option<f64> {
        let (human, now) = self.literals.as_ref()?;
        let number = |l: &Literal| l.number().and_then(|n| Decimal::to_string(&n.value).parse::<f64>().ok());
        let (human, now) = (number(human)?, number(now)?);
        (human != 0.0).then(|| now / human)
    }
}

/// The body of `mitigation_debt`.
pub fn json(owed: &[Owed]) -> Value {
    let one = |o: &Owed| {
        json!({
            "file": o.debt.path, "at": o.debt.at, "human": o.debt.human, "now": o.debt.now,
            "since": clock::to_second(o.debt.since).to_string(), "factor": o.factor().map(json::rounded),
            "rules": o.debt.rules, "fixes": o.debt.rules.len(),
        })
    };
    owed.iter().map(one).collect()
}

/// As a table; nothing without any.
pub fn text(owed: &[Owed], now: Timestamp, out: &Output) -> Option<String> {
    if owed.is_empty() {
        return None;
    }
    let head =
        "mitigation debt: these literals differ from what a human last set; mend the cause, or make the value yours";
    let lines = owed.iter().map(|o| {
        let times = o.factor().map(|f| format!(", {} times as much", json::rounded(f))).unwrap_or_default();
        let (human, now_is, fixes) = (clean(&o.debt.human), clean(&o.debt.now), o.debt.rules.len() as u64);
        let place = format!("  {} `{}`", clean(&o.debt.path.display().to_string()), clean(&o.debt.at));
        let what = format!(
            "{human} -> {now_is}{times}, by {}, since {}",
            if fixes == 1 { "1 fix".to_owned() } else { format!("{fixes} fixes") },
            ago(o.debt.since, now)
        );
        out.wrapped(&format!("{place}\n      {}", what), 6)
    });
    let lines: Vec<String> = lines.collect();
    Some(format!("{}\n\n{}", out.wrapped(head, 0), lines.join("\n")))
}
