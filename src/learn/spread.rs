//! Quantiles of durations in little memory, and what a share says of the truth.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Durations, each within a hundredth of its size.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// By the logarithm of the milliseconds.
    slots: BTreeMap<u16, u64>,
    pub count: u64,
}

const STEP: f64 = 1.02;

impl Spread {
    pub fn add(&mut self, ms: u64) {
        *self.slots.entry(((ms as f64 + 1.0).ln() / STEP.ln()) as u16).or_default() += 1;
        self.count += 1;
    }

    pub fn join(&mut self, other: &Spread) {
        for (slot, count) in &other.slots {
            *self.slots.entry(*slot).or_default() += count;
        }
        self.count += other.count;
    }

    /// The smallest duration, in milliseconds, that this share (0 to 1) of all do not exceed.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut passed = 0;
        let slot = self.slots.iter().find_map(|(slot, count)| {
            passed += count;
            (passed >= rank).then_some(*slot)
        })?;
        Some((STEP.powf(f64::from(slot) + 0.5) - 1.0).max(0.0) as u64)
    }
}

/// The 95 % interval of a share that was seen as `successes` of `total` (Wilson).
pub fn wilson(successes: u64, total: u64) -> Option<(f64, f64)> {
    const Z: f64 = 1.959_964;
    let n = (total > 0).then_some(total as f64)?;
    let share = successes as f64 / n;
    let middle = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + Z * Z / n;
    Some((((middle - spread) / whole).max(0.0), ((middle + spread) / whole).min(1.0)))
}
