//! Shares of calls that should be small, and rise.

use super::Rules;
use super::robust::{deviations, median_and_spread};

/// How many calls a day needs for a share that says something.
pub const MIN_CALLS: u64 = 20;
/// How many such days make a usual.
pub const MIN_SHARE_DAYS: usize = 3;
const MILLION: i128 = 1_000_000;
/// Nothing is called that is not five points above the usual, in millionths.
const LEAST_RISE: i128 = 50_000;

/// A part of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// The part.
    pub part: u64,
    /// All.
    pub whole: u64,
}

impl Share {
    /// The share in millionths, if there are enough calls.
    #[must_use]
    pub fn millionths(self) -> Option<i128> {
        (self.whole >= MIN_CALLS).then(|| i128::from(self.part) * MILLION / i128::from(self.whole))
    }
}

impl std::ops::AddAssign for Share {
    fn add_assign(&mut self, other: Self) {
        self.part = self.part.saturating_add(other.part);
        self.whole = self.whole.saturating_add(other.whole);
    }
}

/// A share that has risen; shares in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Risen {
    /// What it is.
    pub found: i128,
    /// The median of the days before.
    pub usual: i128,
    /// Their median absolute deviation.
    pub spread: i128,
    /// What would not have been called.
    pub limit: i128,
    /// How many days.
    pub days: usize,
}

/// Whether the share of the last day is above that of the days before it: above their median + k × 1.4826 × MAD, and by five
/// points at least. Days of fewer than [`MIN_CALLS`] calls say nothing; with less than [`MIN_SHARE_DAYS`] nothing is called.
#[must_use]
pub fn risen(last: Share, before: &[Share], rules: &Rules) -> Option<Risen> {
    let found = last.millionths()?;
    let days: Vec<i128> = before.iter().filter_map(|day| day.millionths()).collect();
    let count = days.len();
    if count < MIN_SHARE_DAYS {
        return None;
    }
    let (usual, spread) = median_and_spread(days);
    let limit = usual + deviations(rules.deviations, spread).max(LEAST_RISE);
    (found > limit).then_some(Risen { found, usual, spread, limit, days: count })
}
