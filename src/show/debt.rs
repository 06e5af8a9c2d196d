//! The mitigation debt: literals that fixes have moved away from the value that a human last set.

use crate::attempts::Debt;
use crate::diagnose::rules::shown;
use crate::fix::edit::{Decimal, Literal};
use crate::host::clock;
use crate::show::{Output, json};
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
    let mut table = out.table(&["file", "at", "human", "now", "factor", "fixes", "since"]);
    for o in owed {
        let factor = o.factor().map_or_else(|| "-".to_owned(), |f| format!("{}", json::rounded(f)));
        table.add_row(vec![
            clean(&o.debt.path.display().to_string()),
            clean(&o.debt.at),
            clean(&o.debt.human),
            clean(&o.debt.now),
            factor,
            o.debt.rules.len().to_string(),
            format!("{} ago", shown(clock::between(o.debt.since, now))),
        ]);
    }
    let head =
        "mitigation debt: these literals differ from what a human last set; mend the cause, or make the value yours";
    Some(format!("{head}\n\n{}", out.rendered(&table)))
}
