//! The method, piece by piece.

use super::robust::{exp2, log2, median, median_and_spread, percentile};
use super::*;
use crate::domain::Window;
use chrono::{Datelike, NaiveDate, TimeDelta, Weekday};
use chrono_tz::Tz;
use proptest::prelude::*;
use std::ops::Range;

const USD: i128 = 1_000_000_000_000;

fn calendar(first: &str, days: i64, zone: &str) -> Calendar {
    let first: NaiveDate = first.parse().unwrap();
    let zone: Tz = zone.parse().unwrap();
    Calendar::of(&Window::dates(first, first + TimeDelta::days(days - 1), zone).unwrap())
}

/// What `level` says of each hour, in cents.
fn series(calendar: &Calendar, level: impl Fn(NaiveDate, u8) -> i128) -> Vec<i128> {
    let days = calendar.days().iter();
    days.flat_map(|day| {
        calendar.hours()[day.hours.clone()].iter().map(|hour| level(day.date, hour.hour) * USD / 100)
    })
    .collect()
}

fn rules() -> Rules {
    Sensitivity::Normal.rules(Usd::from_pico(USD))
}

/// The last day, judged.
fn last_day(calendar: &Calendar) -> Range<usize> {
    calendar.days().last().unwrap().hours.clone()
}

fn is_weekend(date: NaiveDate) -> bool {
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

#[test]
fn medians_and_percentiles_are_those_of_integers() {
    assert_eq!(median(vec![]), 0);
    assert_eq!(median(vec![3]), 3);
    assert_eq!(median(vec![4, 1]), 2);
    assert_eq!(median(vec![9, 1, 4]), 4);
    assert_eq!(median_and_spread(vec![1, 1, 2, 2, 4, 6, 9]), (2, 1));
    assert_eq!(percentile(vec![], 90), 0);
    assert_eq!(percentile((1..=100).collect(), 99), 99);
    assert_eq!(percentile((1..=10).collect(), 99), 10);
    assert_eq!(percentile(vec![5], 1), 5);
}

#[test]
fn logarithms_are_those_of_powers() {
    assert_eq!(log2(0), 0);
    assert_eq!(log2(1), 1024);
    assert_eq!(log2(1023), 10 * 1024);
    assert_eq!(log2(u64::MAX), 64 * 1024);
    // log2(3) = 1.58496…
    assert_eq!(log2(2), 1623);
    assert_eq!(exp2(10 * 1024), 1023);
    assert_eq!(exp2(i128::MAX), u64::MAX);
}

#[test]
fn a_calendar_has_the_hours_that_clocks_show() {
    let spring = calendar("2026-03-28", 3, "Europe/Berlin");
    let lengths: Vec<usize> = spring.days().iter().map(|day| day.hours.len()).collect();
    assert_eq!(lengths, [24, 23, 24]);
    let autumn = calendar("2026-10-25", 1, "Europe/Berlin");
    let names: Vec<u8> = autumn.hours().iter().map(|hour| hour.hour).collect();
    assert_eq!(names[..5], [0, 1, 2, 2, 3]);
    let india = calendar("2026-02-02", 1, "Asia/Kolkata");
    assert_eq!(india.hours().len(), 24);
    assert_eq!(india.hours()[0].start.to_string(), "2026-02-01T18:30:00Z");
    // Half an hour is put forward, and the hour that is cut short is one of its own.
    let howe = calendar("2026-10-04", 1, "Australia/Lord_Howe");
    let starts: std::collections::HashSet<_> = howe.hours().iter().map(|hour| hour.start).collect();
    assert_eq!(starts.len(), howe.hours().len());
    assert_eq!(howe.days().len(), 1);
}

/// Tuesdays at 14:00 cost a dollar and ten cents, the rest little.
#[test]
fn an_hour_is_compared_with_the_same_hour_of_its_weekday() {
    let calendar = calendar("2025-12-30", 57, "UTC");
    let mut hours = series(&calendar, |day, hour| {
        if day.weekday() == Weekday::Tue && hour == 14 { 100 + i128::from(day.day() % 3) * 10 } else { 30 }
    });
    let judged = last_day(&calendar);
    let place = judged.start + 14;
    hours[place] = 1240 * USD / 100;
    let found = judge(&calendar, &hours, &judged, &rules());
    let [spike] = found.spikes[..] else { panic!("{found:?}") };
    assert_eq!((spike.scale, spike.length, spike.found.pico()), (Scale::Hour, 1, 1240 * USD / 100));
    let usual = spike.worst.usual;
    assert_eq!((usual.of, usual.samples, usual.median.pico()), (Comparable::Weekday, 8, 105 * USD / 100));
    assert_eq!(found.history_days, 56);

    // With ten days before there are not enough Tuesdays, with four days not enough weekdays.
    for (days, of) in [(10, Comparable::Class), (6, Comparable::AnyDay), (4, Comparable::AllHours)] {
        let from = calendar.days().len() - 1 - days;
        let mut short = hours.clone();
        short[..calendar.days()[from].hours.start].fill(0);
        let found = judge(&calendar, &short, &judged, &rules());
        assert_eq!(found.spikes[0].worst.usual.of, of, "{days}");
    }
    // With two nothing is called.
    let mut short = hours;
    short[..calendar.days()[calendar.days().len() - 3].hours.start].fill(0);
    let found = judge(&calendar, &short, &judged, &rules());
    assert_eq!(found.spikes, []);
    assert!(found.unknown.is_some());
}

#[test]
fn hours_in_a_row_are_one_spike_and_a_day_that_creeps_is_another() {
    let calendar = calendar("2026-01-05", 57, "UTC");
    let judged = last_day(&calendar);
    let mut hours = series(&calendar, |_, _| 200);
    hours[judged.start + 3..judged.start + 6].fill(20 * USD);
    let found = judge(&calendar, &hours, &judged, &rules());
    let [spike] = found.spikes[..] else { panic!("{found:?}") };
    assert_eq!((spike.length, spike.found.pico(), spike.usual.pico()), (3, 60 * USD, 6 * USD));

    // No hour is a dollar above the usual, but the day is twelve.
    let mut hours = series(&calendar, |_, _| 20);
    hours[judged.clone()].fill(70 * USD / 100);
    let found = judge(&calendar, &hours, &judged, &rules());
    let [spike] = found.spikes[..] else { panic!("{found:?}") };
    assert_eq!((spike.scale, spike.found.pico()), (Scale::Day, 1680 * USD / 100));
}

#[test]
fn a_new_level_is_called_for_some_days_and_then_it_is_the_level() {
    let calendar = calendar("2026-01-05", 70, "UTC");
    let days = calendar.days();
    let mut hours = series(&calendar, |_, _| 200);
    hours[days[56].hours.start..].fill(10 * USD);
    let called: Vec<bool> =
        (56..70).map(|day| !judge(&calendar, &hours, &days[day].hours, &rules()).spikes.is_empty()).collect();
    // The 56th is a Monday: weekdays have their level after three, weekends theirs in the second week's.
    assert_eq!(called[..3], [true; 3]);
    assert_eq!(called[3..5], [false; 2]);
    assert_eq!(called[7..12], [false; 5]);
}

#[test]
fn what_is_silent_as_a_rule_is_called_and_what_is_rare_is_not() {
    let calendar = calendar("2026-01-05", 57, "UTC");
    let judged = last_day(&calendar);
    let mut hours =
        series(&calendar, |day, hour| if !is_weekend(day) && (9..18).contains(&hour) { 800 } else { 0 });
    hours[judged.start + 3] = 6 * USD;
    let found = judge(&calendar, &hours, &judged, &rules());
    assert_eq!(found.spikes[0].worst.usual.of, Comparable::Silent);
    hours[judged.start + 3] = 3 * USD;
    assert_eq!(judge(&calendar, &hours, &judged, &rules()).spikes, []);

    // Every 29th hour: no hour of a week is used often enough to say anything.
    let mut count = 0;
    let mut rare: Vec<i128> = calendar
        .hours()
        .iter()
        .map(|_| {
            count += 1;
            if count % 29 == 0 { 8 * USD } else { 0 }
        })
        .collect();
    rare[judged.start + 3] = 7 * USD;
    assert_eq!(judge(&calendar, &rare, &judged, &rules()).spikes, []);
    rare[judged.start + 3] = 40 * USD;
    assert_eq!(judge(&calendar, &rare, &judged, &rules()).spikes[0].worst.usual.of, Comparable::Active);
}

#[test]
fn an_hour_twice_as_long_by_the_clock_is_two() {
    // Clocks are put back on the last day.
    let calendar = calendar("2026-08-30", 57, "Europe/Berlin");
    let hours = series(&calendar, |_, _| 200);
    assert_eq!(judge(&calendar, &hours, &last_day(&calendar), &rules()).spikes, []);
    assert_eq!(last_day(&calendar).len(), 25);
}

#[test]
fn a_series_without_history_is_new_only_if_it_is_large() {
    let usd = |dollars: i128| Usd::from_pico(dollars * USD);
    assert!(is_large_and_new(usd(10), usd(100), &rules()));
    assert!(!is_large_and_new(usd(9), usd(20), &rules()));
    assert!(!is_large_and_new(usd(99), usd(1000), &rules()));
}

fn runs(costs: impl Iterator<Item = u64>) -> Vec<RunSize> {
    costs.map(|cents| RunSize { cost_pico: cents * 10_000_000_000, calls: 10, duration_ms: 60_000 }).collect()
}

#[test]
fn a_run_is_compared_with_earlier_runs() {
    let earlier = runs((0..200).map(|n| 80 + n % 40));
    let norm = RunNorm::of(&earlier, &rules()).unwrap();
    let cost = |cents: u64| RunSize { cost_pico: cents * 10_000_000_000, ..earlier[0] };
    assert_eq!(norm.exceeded_by(&cost(290)).count(), 0);
    let called: Vec<_> = norm.exceeded_by(&cost(400)).collect();
    assert_eq!(called.len(), 1);
    assert_eq!((called[0].measure, called[0].norm.median), (Measure::Cost, 995_000_000_000));
    // One in a hundred that ran away before hides no other.
    let mut tainted = earlier.clone();
    tainted.extend(runs([90_000, 120_000].into_iter()));
    assert_eq!(RunNorm::of(&tainted, &rules()).unwrap().exceeded_by(&cost(400)).count(), 1);
    let long = RunSize { duration_ms: 2 * 3_600_000, calls: 1000, ..earlier[0] };
    let measures: Vec<_> = norm.exceeded_by(&long).map(|runaway| runaway.measure).collect();
    assert_eq!(measures, [Measure::Calls, Measure::Duration]);
    assert_eq!(RunNorm::of(&earlier[..MIN_RUNS - 1], &rules()), None);
}

#[test]
fn a_share_is_called_when_it_rises() {
    let of = |part, whole| Share { part, whole };
    let days = [of(1, 100), of(0, 80), of(2, 90), of(3, 5)];
    assert_eq!(risen(of(3, 100), &days, &rules()), None);
    assert_eq!(risen(of(3, 19), &days, &rules()), None);
    let risen_share = risen(of(20, 100), &days, &rules()).unwrap();
    assert_eq!((risen_share.found, risen_share.usual, risen_share.days), (200_000, 10_000, 3));
    // What was always so is not rising, and two days are no history.
    assert_eq!(risen(of(100, 100), &[of(50, 50); 5], &rules()), None);
    assert_eq!(risen(of(100, 100), &days[..2], &rules()), None);
}

proptest! {
    #[test]
    fn a_logarithm_rises_and_goes_back(a in any::<u64>(), b in any::<u64>()) {
        prop_assert!(a > b || log2(a) <= log2(b));
        let back = exp2(log2(a));
        prop_assert!(back <= a && log2(back) == log2(a));
    }

    /// The unit of money does not matter, nor does what is spent elsewhere on the same day, and more is called as well.
    #[test]
    fn what_is_called_depends_on_ratios(
        cents in prop::collection::vec(0_i128..3000, 24 * 20),
        spike in 0_i128..100_000,
        factor in 1_i128..1000,
        more in 0_i128..100_000,
    ) {
        let calendar = calendar("2026-01-05", 20, "UTC");
        let judged = last_day(&calendar);
        let mut hours: Vec<i128> = cents.iter().map(|cents| cents * USD / 100).collect();
        let place = judged.start + 12;
        hours[place] = spike * USD / 100;
        let called = |hours: &[i128], rules: &Rules| {
            let spikes = judge(&calendar, hours, &judged, rules).spikes;
            let at = calendar.hours()[place].start;
            spikes.iter().any(|spike| spike.scale == Scale::Hour && spike.since <= at && spike.until > at)
        };
        let was = called(&hours, &rules());
        prop_assert!(!was || hours[place] > rules().at_least.pico());
        let scaled: Vec<i128> = hours.iter().map(|value| value * factor).collect();
        let at_least = Usd::from_pico(rules().at_least.pico() * factor);
        prop_assert_eq!(called(&scaled, &Sensitivity::Normal.rules(at_least)), was);
        prop_assert!(!called(&hours, &Sensitivity::Low.rules(rules().at_least)) || was);
        prop_assert!(!was || called(&hours, &Sensitivity::High.rules(rules().at_least)));
        hours[place] += more * USD / 100;
        prop_assert!(!was || called(&hours, &rules()));
    }

    /// Whatever comes, nothing panics, and what is steady is not called.
    #[test]
    fn steady_series_are_calm(cents in 1_i128..1_000_000, days in 4_i64..70, zone in 0..chrono_tz::TZ_VARIANTS.len(), first in 0_i64..3000) {
        let zone = chrono_tz::TZ_VARIANTS[zone];
        let first = NaiveDate::from_ymd_opt(2016, 1, 1).unwrap() + TimeDelta::days(first);
        let window = Window::dates(first, first + TimeDelta::days(days - 1), zone).unwrap();
        let calendar = Calendar::of(&window);
        let hours = series(&calendar, |_, _| cents);
        let judged = 0..hours.len();
        prop_assert_eq!(judge(&calendar, &hours, &judged, &rules()).spikes, vec![]);
    }
}
