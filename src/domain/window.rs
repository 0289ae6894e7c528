//! A range of time in a time zone, cut so that local days are exact.

use super::{Period, Timestamp};
use crate::error::{Error, Result};
use chrono::{
    DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone, Utc, Weekday,
};
use chrono_tz::Tz;

/// The time from `since` (inclusive) to `until` (exclusive), read in `zone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first instant inside.
    pub since: Timestamp,
    /// The first instant after.
    pub until: Timestamp,
    /// The zone whose days are meant.
    pub zone: Tz,
}

/// A part of a [`Window`] with one offset from UTC.
///
/// Inside it, an instant's local day is `(seconds since the epoch + offset_seconds) / 86400`, which is
/// arithmetic that both databases can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySegment {
    /// The first instant inside.
    pub since: Timestamp,
    /// The first instant after.
    pub until: Timestamp,
    /// Seconds to add to UTC for local time.
    pub offset_seconds: i32,
}

/// The most days a window of `--days` may have: a century.
const MAX_DAYS: u32 = 36_525;

impl Window {
    /// The last `days` local days in `zone`, the day of `now` included and whole.
    pub fn last_days(days: u32, now: Timestamp, zone: Tz) -> Result<Self> {
        if days == 0 || days > MAX_DAYS {
            return Err(Error::usage(format!("--days is {days}; it takes 1 to {MAX_DAYS}"))
                .hint("1 is today; for a range in the past use --since and --until"));
        }
        let today = local_day(now, zone);
        let too_far =
            || Error::usage(format!("--days {days} reaches before the calendar")).hint("ask for fewer days");
        let first = today.checked_sub_days(Days::new(u64::from(days) - 1)).ok_or_else(too_far)?;
        Self::dates(first, today, zone)
    }

    /// The local days from `first` to `last`, both included.
    pub fn dates(first: NaiveDate, last: NaiveDate, zone: Tz) -> Result<Self> {
        let after = last.checked_add_days(Days::new(1)).ok_or_else(|| {
            Error::usage(format!("`{last}` is past the calendar")).hint("name an earlier day")
        })?;
        Self::between(day_start(first, zone)?, day_start(after, zone)?, zone)
    }

    /// The day, week (from Monday) or month that `now` is in, in `zone`.
    pub fn period(period: Period, now: Timestamp, zone: Tz) -> Result<Self> {
        let today = local_day(now, zone);
        let too_far = || Error::usage(format!("the {period} of {now} reaches past the calendar"));
        let (first, after) = match period {
            Period::Day => (today, today.checked_add_days(Days::new(1))),
            Period::Week => {
                let monday = today.week(Weekday::Mon).checked_first_day().ok_or_else(too_far)?;
                (monday, monday.checked_add_days(Days::new(7)))
            }
            Period::Month => {
                let first = today.with_day(1).ok_or_else(too_far)?;
                (first, first.checked_add_months(Months::new(1)))
            }
        };
        Self::between(day_start(first, zone)?, day_start(after.ok_or_else(too_far)?, zone)?, zone)
    }

    /// From `since` to `until`, which must come later.
    pub fn between(since: Timestamp, until: Timestamp, zone: Tz) -> Result<Self> {
        if since >= until {
            return Err(Error::usage(format!(
                "the range is empty: it starts at {since} and ends at {until}"
            ))
            .hint("--since must come before --until; dates are inclusive"));
        }
        Ok(Self { since, until, zone })
    }

    /// The window of the same length in local days (or in time, for odd ends) just before this one.
    pub fn previous(&self) -> Result<Self> {
        let (first, after) = (local_day(self.since, self.zone), local_day(self.until, self.zone));
        let whole_days =
            day_start(first, self.zone)? == self.since && day_start(after, self.zone)? == self.until;
        let since = if whole_days {
            let length = after - first;
            day_start(first - length, self.zone)?
        } else {
            Timestamp::from_micros(2 * self.since.micros() - self.until.micros())
        };
        Self::between(since, self.since, self.zone)
    }

    /// The window cut where the zone's offset changes.
    #[must_use]
    pub fn segments(&self) -> Vec<DaySegment> {
        const STEP_MICROS: i64 = 6 * 3600 * 1_000_000;
        let mut segments = Vec::new();
        let mut start = self.since;
        let mut at = self.since;
        let mut offset = offset_seconds(at, self.zone);
        while at < self.until {
            let next = at.plus_micros(STEP_MICROS).min(self.until);
            let next_offset = offset_seconds(next, self.zone);
            if next_offset == offset {
                at = next;
            } else {
                let change = first_change(at, next, offset, self.zone);
                segments.push(DaySegment { since: start, until: change, offset_seconds: offset });
                start = change;
                at = change;
                offset = offset_seconds(change, self.zone);
            }
        }
        if start < self.until {
            segments.push(DaySegment { since: start, until: self.until, offset_seconds: offset });
        }
        segments
    }

    /// The local days inside, first and last included.
    #[must_use]
    pub fn days(&self) -> (NaiveDate, NaiveDate) {
        (local_day(self.since, self.zone), local_day(self.until.plus_micros(-1), self.zone))
    }
}

/// The local day of an instant.
fn local_day(time: Timestamp, zone: Tz) -> NaiveDate {
    time.to_utc().with_timezone(&zone).date_naive()
}

/// The first instant of a local day. A midnight that the clocks skip starts after the gap; one that comes
/// twice starts the first time.
fn day_start(day: NaiveDate, zone: Tz) -> Result<Timestamp> {
    const QUARTER: TimeDelta = TimeDelta::minutes(15);
    let mut local = NaiveDateTime::new(day, NaiveTime::MIN);
    for _ in 0..=200 {
        match zone.from_local_datetime(&local) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => {
                return Ok(Timestamp::from(time.with_timezone(&Utc)));
            }
            LocalResult::None => local += QUARTER,
        }
    }
    Err(Error::usage(format!("the day {day} does not exist in {zone}")).hint("name the day before or after"))
}

fn offset_seconds(time: Timestamp, zone: Tz) -> i32 {
    let utc: DateTime<Utc> = time.to_utc();
    zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc()
}

/// The first whole second in `(before, after]` whose offset is not `offset`, by bisection.
fn first_change(before: Timestamp, after: Timestamp, offset: i32, zone: Tz) -> Timestamp {
    let (mut same, mut changed) = (before.seconds(), after.seconds());
    while changed - same > 1 {
        let middle = same + (changed - same) / 2;
        if offset_seconds(Timestamp::from_micros(middle * 1_000_000), zone) == offset {
            same = middle;
        } else {
            changed = middle;
        }
    }
    Timestamp::from_micros(changed * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn days_of_23_and_25_hours_are_whole() {
        let zone: Tz = "Europe/Berlin".parse().unwrap();
        let spring = Window::dates(day("2026-03-29"), day("2026-03-29"), zone).unwrap();
        assert_eq!(spring.until.seconds() - spring.since.seconds(), 23 * 3600);
        assert_eq!(spring.segments().len(), 2);
        let autumn = Window::dates(day("2026-10-25"), day("2026-10-25"), zone).unwrap();
        assert_eq!(autumn.until.seconds() - autumn.since.seconds(), 25 * 3600);
        assert_eq!(
            autumn.previous().unwrap().until.seconds() - autumn.previous().unwrap().since.seconds(),
            86_400
        );
    }

    #[test]
    fn a_skipped_midnight_starts_after_the_gap() {
        let zone: Tz = "America/Sao_Paulo".parse().unwrap();
        let window = Window::dates(day("2018-11-04"), day("2018-11-04"), zone).unwrap();
        assert_eq!(window.since.to_string(), "2018-11-04T03:00:00Z");
        assert_eq!(window.until.seconds() - window.since.seconds(), 23 * 3600);
    }

    proptest! {
        /// In every zone, days start on buckets, the segments tile the window, and their arithmetic gives the
        /// day that the calendar gives.
        #[test]
        fn segments_give_local_days(zone in 0..chrono_tz::TZ_VARIANTS.len(), first in 0_i64..4000, length in 1_u32..400, quarter in 0_i64..100_000) {
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let first = day("2015-01-03") + TimeDelta::days(first);
            let last = first + TimeDelta::days(i64::from(length) - 1);
            let window = Window::dates(first, last, zone).unwrap();
            prop_assert_eq!(window.since, window.since.bucket_start());
            prop_assert_eq!(window.until, window.until.bucket_start());
            let segments = window.segments();
            prop_assert_eq!(segments[0].since, window.since);
            prop_assert_eq!(segments[segments.len() - 1].until, window.until);
            for pair in segments.windows(2) {
                prop_assert_eq!(pair[0].until, pair[1].since);
            }
            let span = window.until.micros() - window.since.micros();
            let at = window.since.plus_micros((quarter * 900_000_000) % span);
            let segment = segments.iter().find(|s| s.since <= at && at < s.until).unwrap();
            let number = (at.seconds() + i64::from(segment.offset_seconds)).div_euclid(86_400);
            prop_assert_eq!(day("1970-01-01") + TimeDelta::days(number), local_day(at, zone));
        }
    }
}
