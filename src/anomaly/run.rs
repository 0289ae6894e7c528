//! Runs that run away.

use super::Rules;
use super::robust::{deviations, exp2, log2, median_and_spread, percent_of, percentile};

/// How many earlier runs of a pipeline make a norm.
pub const MIN_RUNS: usize = 20;
/// Nothing is called that is not three times the median.
const TIMES_PERCENT: i128 = 300;
/// A tenth, as a logarithm in 1/1024: runs that all cost the same are not exact.
const LEAST_SPREAD: i128 = 141;
/// How many calls above the median are too few to be called.
const CALLS_AT_LEAST: i128 = 50;
/// How long above the median is too short to be called: half an hour, in milliseconds.
const DURATION_AT_LEAST: i128 = 30 * 60 * 1000;

/// What of a run is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The cost, in picodollars.
    Cost,
    /// The number of calls.
    Calls,
    /// The time from start to end, in milliseconds.
    Duration,
}

/// How large a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunSize {
    /// What it cost, in picodollars.
    pub cost_pico: u64,
    /// Its calls.
    pub calls: u64,
    /// How long it took, or has taken so far, in milliseconds.
    pub duration_ms: u64,
}

impl RunSize {
    const fn of(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Cost => self.cost_pico,
            Measure::Calls => self.calls,
            Measure::Duration => self.duration_ms,
        }
    }
}

/// What is normal of one measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norm {
    /// The median.
    pub median: u64,
    /// What 99 of 100 runs are not above.
    pub high: u64,
    /// What is called above.
    pub limit: u64,
}

/// A measure in which a run is above its norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runaway {
    /// Which.
    pub measure: Measure,
    /// What it is.
    pub found: u64,
    /// What is normal.
    pub norm: Norm,
}

/// What is normal for runs of a pipeline.
///
/// The sizes of runs are spread by factors rather than by amounts, so they are compared by their logarithms: the limit is
/// the median + k × 1.4826 × MAD of the logarithms, where the MAD counts as at least a tenth. Where sizes differ so much
/// that this is beyond all reason, twice what 99 of 100 runs stay below is the limit. Earlier runaways change
/// neither by much. Nothing is called that is not three times the median, and a least amount above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunNorm {
    /// From how many runs.
    pub runs: usize,
    norms: [(Measure, Norm); 3],
}

impl RunNorm {
    /// The norm of earlier runs, if there are at least [`MIN_RUNS`].
    #[must_use]
    pub fn of(earlier: &[RunSize], rules: &Rules) -> Option<Self> {
        if earlier.len() < MIN_RUNS {
            return None;
        }
        let norm = |measure, at_least| (measure, norm(earlier, measure, at_least, rules));
        let norms = [
            norm(Measure::Cost, rules.at_least.pico()),
            norm(Measure::Calls, CALLS_AT_LEAST),
            norm(Measure::Duration, DURATION_AT_LEAST),
        ];
        Some(Self { runs: earlier.len(), norms })
    }

    /// In what a run is above it.
    pub fn exceeded_by(&self, run: &RunSize) -> impl Iterator<Item = Runaway> {
        let all = self.norms.iter().map(|&(measure, norm)| Runaway { measure, found: run.of(measure), norm });
        all.filter(|runaway| runaway.found > runaway.norm.limit)
    }
}

fn norm(earlier: &[RunSize], measure: Measure, at_least: i128, rules: &Rules) -> Norm {
    let sizes = || earlier.iter().map(|run| run.of(measure));
    let (middle, spread) = median_and_spread(sizes().map(log2).collect());
    let by_spread = exp2(middle.saturating_add(deviations(rules.deviations, spread.max(LEAST_SPREAD))));
    let (median, _) = median_and_spread(sizes().map(i128::from).collect());
    let high = percentile(sizes().map(i128::from).collect(), 99);
    let limit = i128::from(by_spread)
        .min(percent_of(high, 200))
        .max(percent_of(median, TIMES_PERCENT))
        .max(median.saturating_add(at_least));
    let as_size = |value: i128| u64::try_from(value).unwrap_or(u64::MAX);
    Norm { median: as_size(median), high: as_size(high), limit: as_size(limit) }
}
