//! What a series usually spends at an hour, or on a day.

use super::calendar::{Calendar, Day};
use super::robust::{median, median_and_spread, percent_of, percentile};
use crate::domain::Usd;
use chrono::{Datelike, Weekday};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

/// How many local days before a day are looked at: eight weeks.
pub const HISTORY_DAYS: usize = 56;
/// The shortest history, in local days, before which nothing is called.
pub const MIN_DAYS: usize = 3;
/// How many hours or days of one kind make a usual.
pub const MIN_SAME: usize = 5;
/// How many hours with spend make a usual where most have none.
pub const MIN_ACTIVE: usize = 8;
/// A silence that chance would give less often than once in so many is a habit.
const RARELY: u64 = 1000;
/// Of how many days the overshoot is that hours stay below.
const OVERSHOOT_DAYS_PERCENT: usize = 90;

/// What an hour or a day is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparable {
    /// The same weekday, and the same hour of it.
    Weekday,
    /// Weekdays, or weekends, and the same hour of them.
    Class,
    /// The last few days of the same class, and the same hour of them.
    Recent,
    /// Any day, and the same hour of it.
    AnyDay,
    /// All hours.
    AllHours,
    /// Those in which anything was spent.
    Active,
    /// Times at which nothing is ever spent.
    Silent,
}

/// What is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// What it was found from.
    pub of: Comparable,
    /// How many of them.
    pub samples: usize,
    /// Their median; for [`Comparable::Silent`] 0.
    pub median: Usd,
    /// Their median absolute deviation.
    pub spread: Usd,
    /// What must be exceeded at least: half of what is spent at other times, for [`Comparable::Silent`]; else 0.
    pub above: Usd,
    /// How many times the usual the series stays below on nine days of ten, in percent.
    pub overshoot_percent: i128,
}

/// A usual in the making: the samples that say it.
struct Found {
    of: Comparable,
    values: Vec<i128>,
}

/// The history of a series before a day.
pub(super) struct Baseline<'a> {
    calendar: &'a Calendar,
    /// What was spent, by the calendar's hours.
    hours: &'a [i128],
    /// The days of the history, by their places in the calendar.
    days: Range<usize>,
    /// What was spent in the hours in which anything was.
    active: Vec<i128>,
    /// What was spent on each day.
    sums: Vec<i128>,
    /// Kept, for all hours of a day need it.
    hourly: OnceCell<i128>,
}

impl<'a> Baseline<'a> {
    /// The history before `day`, from `first` on, if it is long enough.
    pub fn before(day: usize, first: usize, calendar: &'a Calendar, hours: &'a [i128]) -> Option<Self> {
        let days = first.max(day.saturating_sub(HISTORY_DAYS))..day;
        if days.len() < MIN_DAYS {
            return None;
        }
        let of = |day: &Day| &hours[day.hours.clone()];
        let history = &calendar.days()[days.clone()];
        let active = history.iter().flat_map(of).copied().filter(|&value| value > 0).collect();
        let sums = history.iter().map(|day| of(day).iter().sum()).collect();
        Some(Self { calendar, hours, days, active, sums, hourly: OnceCell::new() })
    }

    /// How many days it has.
    pub fn days(&self) -> usize {
        self.days.len()
    }

    /// What is usual at an hour of `day`.
    pub fn of_hour(&self, day: &Day, hour: u8) -> Option<Usual> {
        let mut usual = self.hour_unscaled(day, hour)?;
        usual.overshoot_percent = *self.hourly.get_or_init(|| self.hourly_overshoot());
        Some(usual)
    }

    /// What is usual on a day like `day`.
    pub fn of_day(&self, day: &Day) -> Option<Usual> {
        let mut usual = self.day_unscaled(day)?;
        let ratios = self.history().zip(&self.sums).filter_map(|(past, sum)| {
            let usual = self.day_unscaled(past)?.median.pico();
            (usual > 0).then(|| sum.saturating_mul(100) / usual)
        });
        usual.overshoot_percent = percentile(ratios.collect(), OVERSHOOT_DAYS_PERCENT);
        Some(usual)
    }

    fn history(&self) -> impl DoubleEndedIterator<Item = &'a Day> + Clone {
        self.calendar.days()[self.days.clone()].iter()
    }

    /// What was spent at an hour of the days that are wanted; the same hour twice where clocks were put back.
    fn at(&self, hour: u8, wanted: impl Fn(&Day) -> bool) -> Vec<i128> {
        let days = self.history().filter(|day| wanted(day));
        days.flat_map(|day| self.at_hour(day, hour)).collect()
    }

    /// Clocks are put forward and back by two hours at most, so that an hour is not far from where it is on other days.
    fn at_hour(&self, day: &Day, hour: u8) -> impl Iterator<Item = i128> {
        let near = day.hours.start + usize::from(hour);
        let hours = near.saturating_sub(2).max(day.hours.start)..(near + 3).min(day.hours.end);
        hours.filter(move |&place| self.calendar.hours()[place].hour == hour).map(|place| self.hours[place])
    }

    fn hour_unscaled(&self, day: &Day, hour: u8) -> Option<Usual> {
        let weekday = day.date.weekday();
        let same = |class: bool| move |past: &Day| class == past.is_weekend();
        let of_class = self.at(hour, same(day.is_weekend()));
        if self.is_silent(&of_class) || self.is_silent_class(day) {
            return Some(silent(of_class.len(), median(self.active.clone())));
        }
        let of_weekday = self.at(hour, |past: &Day| past.date.weekday() == weekday);
        let found = if of_weekday.len() >= MIN_SAME {
            Found { of: Comparable::Weekday, values: of_weekday }
        } else if of_class.len() >= MIN_SAME {
            Found { of: Comparable::Class, values: of_class.clone() }
        } else {
            let any = self.at(hour, |_| true);
            if any.len() >= MIN_SAME {
                Found { of: Comparable::AnyDay, values: any }
            } else {
                Found { of: Comparable::AllHours, values: self.all().collect() }
            }
        };
        let recent = of_class[of_class.len().saturating_sub(MIN_SAME)..].to_vec();
        usual(found, recent, || self.active.clone(), MIN_ACTIVE)
    }

    fn day_unscaled(&self, day: &Day) -> Option<Usual> {
        let weekday = day.date.weekday();
        let sums = |wanted: &dyn Fn(&Day) -> bool| -> Vec<i128> {
            self.history().zip(&self.sums).filter(|(past, _)| wanted(past)).map(|(_, &sum)| sum).collect()
        };
        let all = &self.sums;
        if all.len() < MIN_SAME {
            return None;
        }
        let active = || all.iter().copied().filter(|&value| value > 0).collect::<Vec<_>>();
        let of_class = sums(&|past| past.is_weekend() == day.is_weekend());
        if self.is_silent_class(day) {
            return Some(silent(of_class.len(), median(active())));
        }
        let of_weekday = sums(&|past| past.date.weekday() == weekday);
        let found = if of_weekday.len() >= MIN_SAME {
            Found { of: Comparable::Weekday, values: of_weekday }
        } else if of_class.len() >= MIN_SAME {
            Found { of: Comparable::Class, values: of_class.clone() }
        } else {
            Found { of: Comparable::AnyDay, values: all.clone() }
        };
        let recent = of_class[of_class.len().saturating_sub(MIN_SAME)..].to_vec();
        usual(found, recent, active, MIN_SAME)
    }

    /// Every hour of the history.
    fn all(&self) -> impl Iterator<Item = i128> {
        self.history().flat_map(|day| self.hours[day.hours.clone()].iter().copied())
    }

    /// Whether nothing was ever spent in these hours, although the series spends so often that chance does not explain it.
    fn is_silent(&self, hours: &[i128]) -> bool {
        hours.iter().all(|&value| value == 0) && is_habit(self.active.len(), self.all().count(), hours.len())
    }

    /// The same of whole days: whether weekdays, or weekends, are ever used.
    fn is_silent_class(&self, day: &Day) -> bool {
        let is_weekend = day.is_weekend();
        let of_class = self.history().zip(&self.sums).filter(|(past, _)| past.is_weekend() == is_weekend);
        let active = self.sums.iter().filter(|&&sum| sum > 0).count();
        of_class.clone().all(|(_, &sum)| sum == 0) && is_habit(active, self.days.len(), of_class.count())
    }

    /// The ratio to the usual, in percent, that hours stay below on nine days of ten.
    fn hourly_overshoot(&self) -> i128 {
        let mut known: HashMap<(Weekday, u8), i128> = HashMap::new();
        let of_days = self.history().map(|day| {
            let ratios = day.hours.clone().filter_map(|place| {
                let (value, hour) = (self.hours[place], self.calendar.hours()[place].hour);
                if value == 0 {
                    return None;
                }
                let usual = *known
                    .entry((day.date.weekday(), hour))
                    .or_insert_with(|| self.hour_unscaled(day, hour).map_or(0, |usual| usual.median.pico()));
                (usual > 0).then(|| value.saturating_mul(100) / usual)
            });
            ratios.max().unwrap_or(0)
        });
        percentile(of_days.collect(), OVERSHOOT_DAYS_PERCENT)
    }
}

/// Whether `samples` silent ones in a row would come by chance less than once in [`RARELY`], if each were silent as
/// often as `active` of `all` are not.
fn is_habit(active: usize, all: usize, samples: usize) -> bool {
    const ONE: u64 = 1_000_000_000;
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let silent = (ONE / number(all).max(1)).saturating_mul(number(all.saturating_sub(active)));
    let mut chance = ONE;
    for _ in 0..samples {
        chance = chance * silent / ONE;
        if chance < ONE / RARELY {
            return true;
        }
    }
    false
}

fn silent(samples: usize, otherwise: i128) -> Usual {
    Usual {
        of: Comparable::Silent,
        samples,
        median: Usd::ZERO,
        spread: Usd::ZERO,
        above: Usd::from_pico(percent_of(otherwise, 50)),
        overshoot_percent: 0,
    }
}

/// The usual of what was found: of what is active where most of it is empty, and of the last few where these are more.
fn usual(found: Found, recent: Vec<i128>, active: impl Fn() -> Vec<i128>, enough: usize) -> Option<Usual> {
    let Found { mut of, values } = found;
    let mut samples = values.len();
    let (mut middle, mut spread) = median_and_spread(values);
    if middle == 0 {
        let active = active();
        if active.len() < enough {
            return None;
        }
        (of, samples) = (Comparable::Active, active.len());
        (middle, spread) = median_and_spread(active);
    } else if recent.len() >= MIN_SAME {
        let now = recent.len();
        let (level, _) = median_and_spread(recent);
        if level > middle {
            (of, samples, middle) = (Comparable::Recent, now, level);
        }
    }
    Some(Usual {
        of,
        samples,
        median: Usd::from_pico(middle),
        spread: Usd::from_pico(spread),
        above: Usd::ZERO,
        overshoot_percent: 0,
    })
}
