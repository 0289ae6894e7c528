//! What is out of the ordinary: hours and days that cost too much, runs that run away, shares that rise.
//!
//! Everything here is pure arithmetic on integers: whoever reads the ledger brings the series. Nothing is trained, and
//! nothing is kept between two looks: the history in the ledger is the model, so that each answer can be checked by hand.
//!
//! # Spend
//!
//! A series is what one pipeline, one agent or one model spent, by local hour ([`Calendar`]). What an hour is compared with
//! is the history before its day: at most [`HISTORY_DAYS`] local days, from the first on which the series spent anything.
//! The first of these that is there in sufficient number ([`Comparable`]):
//!
//! 1. the same hour of the same weekday, if there are at least [`MIN_SAME`] of them;
//! 2. the same hour of weekdays, or of weekends, at least [`MIN_SAME`];
//! 3. the same hour of any day, at least [`MIN_SAME`];
//! 4. all hours, if the history has at least [`MIN_DAYS`] days. With less, nothing is called.
//!
//! The usual is their median, or that of the last [`MIN_SAME`] days of the same class if it is larger: a new level is
//! called for a few days, and then it is the level. An hour is called when it is above all of these:
//!
//! - median + k × 1.4826 × MAD, where the median absolute deviation counts as at least a tenth of the median;
//! - a multiple of the median, and the median and an amount of dollars ([`Rules::at_least`]), so that no trifle is called;
//! - what the series itself overshoots: the ratio to its usual that its hours stay below on nine days of ten, and a part more.
//!   That is what keeps noisy series quiet, where eight samples make a MAD that is small by chance.
//!
//! Where more than half of what is comparable is empty, the median of it says nothing. Then there are two cases. If the
//! series is silent at such times as a rule (it would be so by chance less than once in a thousand), anything large is
//! called: half of what its hours cost otherwise ([`Comparable::Silent`]). If it is of no regular habit, its hour is
//! compared with all that are not empty ([`Comparable::Active`]), at least [`MIN_ACTIVE`].
//!
//! Days are compared as hours are, with the same weekday, the same class and all days. A day is called only if none of its
//! hours is: it shows what creeps. What has not ended, an hour or a day, is compared by what has accrued with the whole of
//! the others: it can only be called early, never wrongly.
//!
//! A series without enough history is called only if it is large ([`is_large_and_new`]).
//!
//! # Runs and shares
//!
//! [`RunNorm`] and [`risen`] say how.
#![warn(clippy::float_arithmetic, clippy::as_conversions)]

mod baseline;
mod calendar;
mod robust;
mod run;
mod share;
mod spike;

#[cfg(test)]
mod evaluation;
#[cfg(test)]
mod tests;

pub use baseline::{Comparable, HISTORY_DAYS, MIN_ACTIVE, MIN_DAYS, MIN_SAME, Usual};
pub use calendar::{Calendar, Day, Hour};
pub use run::{MIN_RUNS, Measure, Norm, RunNorm, RunSize, Runaway};
pub use share::{MIN_CALLS, MIN_SHARE_DAYS, Risen, Share, risen};
pub use spike::{Judged, Scale, Spike, Worst, is_large_and_new, judge};

use crate::domain::Usd;

/// What has to be exceeded, and by how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// k: how many robust standard deviations above the median.
    pub deviations: i128,
    /// How many times the median, in percent.
    pub times_percent: i128,
    /// How much of the series' own overshoot, in percent.
    pub overshoot_percent: i128,
    /// How many dollars above the median.
    pub at_least: Usd,
}

/// How easily something is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensitivity {
    /// Only what nobody would overlook.
    Low,
    /// What somebody should look at.
    Normal,
    /// Also what may be nothing.
    High,
}

impl Sensitivity {
    /// Its rules, which call nothing that is less than `at_least` above the usual.
    #[must_use]
    pub const fn rules(self, at_least: Usd) -> Rules {
        let (deviations, times_percent, overshoot_percent) = match self {
            Self::Low => (6, 400, 200),
            Self::Normal => (4, 200, 150),
            Self::High => (3, 150, 110),
        };
        Rules { deviations, times_percent, overshoot_percent, at_least }
    }
}

impl Rules {
    /// How many dollars make a series without a history large.
    #[must_use]
    pub const fn large(&self) -> Usd {
        Usd::from_pico(self.at_least.pico().saturating_mul(10))
    }
}
