//! Hours and days of a series that cost too much.

use super::Rules;
use super::baseline::{Baseline, Usual};
use super::calendar::Calendar;
use super::robust::{deviations, percent_of};
use crate::domain::{Timestamp, Usd};
use std::ops::Range;

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Hours.
    Hour,
    /// A day.
    Day,
}

/// Hours in a row, or a day, that were called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spike {
    /// Which of the two.
    pub scale: Scale,
    /// When it starts.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How many hours in a row, or 1.
    pub length: usize,
    /// What was spent.
    pub found: Usd,
    /// What is usually spent meanwhile.
    pub usual: Usd,
    /// What would not have been called.
    pub limit: Usd,
    /// The hour, or the day, that is farthest above what is usual.
    pub worst: Worst,
}

/// One hour, or one day, that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worst {
    /// When it starts.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// What was spent.
    pub found: Usd,
    /// What would not have been called.
    pub limit: Usd,
    /// What is usual.
    pub usual: Usual,
}

/// What was seen of a series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judged {
    /// What was called, in the order of time.
    pub spikes: Vec<Spike>,
    /// The longest history that something was compared with, in days.
    pub history_days: usize,
    /// When it began to spend, and how much since then, where the history was too short to compare with.
    pub unknown: Option<(Timestamp, Usd)>,
}

/// Compares the `judged` hours of a series with its history. `hours` is what was spent, by the calendar's hours.
#[must_use]
pub fn judge(calendar: &Calendar, hours: &[i128], judged: &Range<usize>, rules: &Rules) -> Judged {
    let mut seen = Judged::default();
    let Some(first) = calendar.days().iter().position(|day| hours[day.hours.clone()].iter().any(|&v| v > 0))
    else {
        return seen;
    };
    for (place, day) in calendar.days().iter().enumerate() {
        let wanted = day.hours.start.max(judged.start)..day.hours.end.min(judged.end);
        let at_least = rules.at_least.pico();
        // What is less than this is never called, whatever the history.
        if wanted.is_empty() || hours[day.hours.clone()].iter().sum::<i128>() < at_least {
            continue;
        }
        let Some(baseline) = Baseline::before(place, first, calendar, hours) else {
            seen.add_unknown(calendar, hours, wanted);
            continue;
        };
        seen.history_days = seen.history_days.max(baseline.days());
        let mut is_known = true;
        let mut called: Vec<Worst> = Vec::new();
        for place in wanted.clone().filter(|&place| hours[place] >= at_least) {
            let hour = calendar.hours()[place];
            match baseline.of_hour(day, hour.hour) {
                Some(usual) => called.extend(call(hours[place], usual, rules).map(|(found, limit)| Worst {
                    since: hour.start,
                    until: hour.until,
                    found,
                    limit,
                    usual,
                })),
                None => is_known = false,
            }
        }
        let is_calm = called.is_empty();
        seen.spikes.extend(merged(called));
        match baseline.of_day(day) {
            Some(usual) if is_calm && wanted == day.hours => {
                let sum = hours[day.hours.clone()].iter().sum();
                seen.spikes.extend(call(sum, usual, rules).map(|(found, limit)| {
                    let (since, until) = ends(calendar, &day.hours);
                    single(Scale::Day, Worst { since, until, found, limit, usual })
                }));
            }
            None if !is_known => seen.add_unknown(calendar, hours, wanted),
            _ => {}
        }
    }
    seen
}

impl Judged {
    fn add_unknown(&mut self, calendar: &Calendar, hours: &[i128], wanted: Range<usize>) {
        let spent: i128 = hours[wanted.clone()].iter().sum();
        let Some(first) = wanted.clone().find(|&place| hours[place] > 0) else { return };
        let (since, before) = self.unknown.unwrap_or((calendar.hours()[first].start, Usd::ZERO));
        self.unknown = Some((since, before + Usd::from_pico(spent)));
    }
}

/// Whether a series without a history is large: ten times the least that is called, and a tenth of what the whole
/// ledger spent in the same time.
#[must_use]
pub fn is_large_and_new(spent: Usd, whole: Usd, rules: &Rules) -> bool {
    spent >= rules.large() && spent.pico().saturating_mul(10) >= whole.pico()
}

/// What was found and what would not have been called, if it is called.
fn call(found: i128, usual: Usual, rules: &Rules) -> Option<(Usd, Usd)> {
    let median = usual.median.pico();
    let spread = usual.spread.pico().max(median / 10);
    let limit = [
        median.saturating_add(deviations(rules.deviations, spread)),
        median.saturating_add(rules.at_least.pico()),
        percent_of(median, rules.times_percent),
        percent_of(percent_of(median, usual.overshoot_percent), rules.overshoot_percent),
        usual.above.pico(),
    ];
    let limit = limit.into_iter().max().unwrap_or(i128::MAX);
    (found > limit).then_some((Usd::from_pico(found), Usd::from_pico(limit)))
}

fn single(scale: Scale, worst: Worst) -> Spike {
    let Worst { since, until, found, limit, usual } = worst;
    Spike { scale, since, until, length: 1, found, usual: usual.median, limit, worst }
}

/// Hours that follow each other are one spike.
fn merged(called: Vec<Worst>) -> Vec<Spike> {
    let mut spikes: Vec<Spike> = Vec::new();
    for hour in called {
        match spikes.last_mut().filter(|spike| spike.until == hour.since) {
            Some(spike) => {
                spike.until = hour.until;
                spike.length += 1;
                spike.found += hour.found;
                spike.usual += hour.usual.median;
                spike.limit += hour.limit;
                let over = |worst: &Worst| worst.found - worst.usual.median;
                if over(&hour) > over(&spike.worst) {
                    spike.worst = hour;
                }
            }
            None => spikes.push(single(Scale::Hour, hour)),
        }
    }
    spikes
}

fn ends(calendar: &Calendar, hours: &Range<usize>) -> (Timestamp, Timestamp) {
    let hours = &calendar.hours()[hours.clone()];
    let since = hours.first().map_or(Timestamp::EARLIEST, |hour| hour.start);
    (since, hours.last().map_or(since, |hour| hour.until))
}
