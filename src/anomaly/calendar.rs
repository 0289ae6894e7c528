//! Local hours and days, whatever the clocks do.

use crate::domain::{Timestamp, Window};
use chrono::{Datelike, NaiveDate, Weekday};
use std::collections::HashMap;
use std::ops::Range;

const HOUR_SECONDS: i64 = 3600;
const SECOND_MICROS: i64 = 1_000_000;

/// A local hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    /// When it starts; it tells the two hours of one name apart when clocks are put back.
    pub start: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Its hour of the local day, 0 to 23.
    pub hour: u8,
}

/// A local day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Its date.
    pub date: NaiveDate,
    /// Its hours, by their places in the calendar: 23 to 25 of them.
    pub hours: Range<usize>,
}

impl Day {
    /// Whether it is a Saturday or a Sunday.
    #[must_use]
    pub fn is_weekend(&self) -> bool {
        matches!(self.date.weekday(), Weekday::Sat | Weekday::Sun)
    }
}

/// The local hours and days of a window, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    hours: Vec<Hour>,
    days: Vec<Day>,
    places: HashMap<Timestamp, usize>,
}

impl Calendar {
    /// The hours of `window`; the first and the last may lie outside of it in part.
    #[must_use]
    pub fn of(window: &Window) -> Self {
        let mut calendar = Self { hours: Vec::new(), days: Vec::new(), places: HashMap::new() };
        for segment in window.segments() {
            let offset = i64::from(segment.offset_seconds);
            let first = (segment.since.seconds() + offset).div_euclid(HOUR_SECONDS);
            let last = (segment.until.plus_micros(-1).seconds() + offset).div_euclid(HOUR_SECONDS);
            for number in first..=last {
                let start = Timestamp::from_micros((number * HOUR_SECONDS - offset) * SECOND_MICROS);
                let until = start.plus_micros(HOUR_SECONDS * SECOND_MICROS).min(segment.until);
                calendar.push(number, start, until.max(start));
            }
        }
        calendar
    }

    fn push(&mut self, number: i64, start: Timestamp, until: Timestamp) {
        let days = chrono::TimeDelta::try_days(number.div_euclid(24)).unwrap_or_default();
        let date = NaiveDate::default().checked_add_signed(days).unwrap_or_default();
        let place = self.hours.len();
        let hour = u8::try_from(number.rem_euclid(24)).unwrap_or(0);
        self.hours.push(Hour { start, until, hour });
        self.places.insert(start, place);
        match self.days.last_mut().filter(|day| day.date == date) {
            Some(day) => day.hours.end = place + 1,
            None => self.days.push(Day { date, hours: place..place + 1 }),
        }
    }

    /// The hours.
    #[must_use]
    pub fn hours(&self) -> &[Hour] {
        &self.hours
    }

    /// The days.
    #[must_use]
    pub fn days(&self) -> &[Day] {
        &self.days
    }

    /// The place of the hour that starts then.
    #[must_use]
    pub fn place(&self, start: Timestamp) -> Option<usize> {
        self.places.get(&start).copied()
    }

    /// The first day that is not before this date, by its place.
    #[must_use]
    pub fn day_from(&self, date: NaiveDate) -> usize {
        self.days.partition_point(|day| day.date < date)
    }
}
