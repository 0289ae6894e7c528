//! How well the method does on series whose anomalies are known, because they were put there.
//!
//! The table that it prints is the one in RUNBOOK.md. Everything is seeded: it prints the same each time.
#![expect(
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "series are made up from distributions; none of it is anybody's money"
)]

use super::{Calendar, Rules, Scale, Sensitivity, Spike, judge};
use crate::domain::{Usd, Window};
use chrono::{NaiveDate, TimeDelta};
use std::fmt::Write;

/// Weeks of history, and weeks that are judged.
const WEEKS: (usize, usize) = (8, 2);
/// Series of each kind.
const SERIES: u64 = 12;
const ZONE: &str = "Europe/Berlin";

/// Random numbers from a seed: `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// e to the power of a normal number with this deviation.
    fn noise(&mut self, deviation: f64) -> f64 {
        let sum: f64 = (0..12).map(|_| self.unit()).sum();
        ((sum - 6.0) * deviation).exp()
    }
}

/// A kind of series.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// What is spent at an hour (day of the series, weekend, hour) on average, in dollars.
    level: fn(usize, bool, u8) -> f64,
    /// The deviation of the noise.
    noise: f64,
    /// How often an hour has any spend, in percent.
    active: u64,
    /// How much is found at least, of hours at five and ten times the usual, days at three times it, and shifts; and how many
    /// false alarms there are at most in a hundred weeks.
    floors: (u32, u32, u32, u32, u32),
}

fn office(weekend: bool, hour: u8) -> f64 {
    match (weekend, hour) {
        (false, 9..=17) => 8.0,
        (false, 7..=21) => 3.0,
        (true, 9..=17) => 1.5,
        _ => 0.6,
    }
}

const KINDS: [Kind; 8] = [
    Kind {
        name: "by weekday and hour",
        level: |_, weekend, hour| office(weekend, hour),
        noise: 0.25,
        active: 100,
        floors: (95, 100, 95, 95, 5),
    },
    Kind {
        name: "office hours only",
        level: |_, weekend, hour| if !weekend && (9..=17).contains(&hour) { 8.0 } else { 0.0 },
        noise: 0.25,
        active: 100,
        floors: (95, 100, 95, 95, 5),
    },
    Kind {
        name: "growing 8 % a week",
        level: |day, weekend, hour| office(weekend, hour) * 1.08_f64.powf(day as f64 / 7.0),
        noise: 0.25,
        active: 100,
        floors: (95, 100, 95, 95, 15),
    },
    Kind {
        name: "noisy",
        level: |_, weekend, hour| office(weekend, hour),
        noise: 0.5,
        active: 100,
        floors: (25, 90, 90, 90, 20),
    },
    Kind { name: "very noisy", level: |_, _, _| 3.0, noise: 0.8, active: 100, floors: (0, 25, 90, 90, 35) },
    Kind { name: "now and then", level: |_, _, _| 10.0, noise: 0.4, active: 8, floors: (90, 95, 50, 70, 20) },
    Kind {
        name: "one job a night",
        level: |_, _, hour| if hour == 2 { 30.0 } else { 0.0 },
        noise: 0.15,
        active: 100,
        floors: (95, 100, 95, 95, 5),
    },
    Kind {
        name: "cents",
        level: |_, weekend, hour| office(weekend, hour) / 200.0,
        noise: 0.5,
        active: 100,
        floors: (0, 0, 25, 50, 0),
    },
];

/// A series, and what its hours would be without noise.
struct Made {
    hours: Vec<i128>,
    level: Vec<f64>,
}

fn pico(dollars: f64) -> i128 {
    (dollars * 1e6).round() as i128 * 1_000_000
}

fn make(kind: &Kind, calendar: &Calendar, seed: u64) -> Made {
    let mut random = Random(seed);
    let mut made = Made { hours: Vec::new(), level: Vec::new() };
    for (number, day) in calendar.days().iter().enumerate() {
        for hour in &calendar.hours()[day.hours.clone()] {
            let level = (kind.level)(number, day.is_weekend(), hour.hour);
            let is_active = random.next() % 100 < kind.active;
            let spent = if is_active { pico(level * random.noise(kind.noise)) } else { 0 };
            made.hours.push(spent);
            made.level.push(level);
        }
    }
    made
}

fn calendar() -> Calendar {
    // Clocks are put forward in it.
    let first = NaiveDate::from_ymd_opt(2026, 2, 2).unwrap();
    let days = i64::try_from((WEEKS.0 + WEEKS.1) * 7).unwrap();
    let last = first + TimeDelta::days(days - 1);
    Calendar::of(&Window::dates(first, last, ZONE.parse().unwrap()).unwrap())
}

/// What is put into a series.
#[derive(Clone, Copy)]
enum Planted {
    /// One hour, at so many times its level.
    Hour(f64),
    /// A day, all of whose hours are at so many times their level.
    Day(f64),
    /// From a day on, all hours.
    Shift(f64),
}

/// Puts it in, on one of the judged days; the places that it covers, until the end of the second day of a shift.
fn plant(
    made: &mut Made,
    calendar: &Calendar,
    planted: Planted,
    random: &mut Random,
) -> std::ops::Range<usize> {
    let days = calendar.days();
    let pick = |random: &mut Random, of: usize| usize::try_from(random.next()).unwrap_or(0) % of;
    loop {
        let number = WEEKS.0 * 7 + pick(random, WEEKS.1 * 7 - 2);
        let day = days[number].hours.clone();
        let place = day.start + pick(random, day.len());
        // What is three times nothing is nothing.
        let is_there = match planted {
            Planted::Hour(_) => made.level[place] > 0.0,
            _ => day.clone().any(|place| made.hours[place] > 0),
        };
        if !is_there {
            continue;
        }
        match planted {
            Planted::Hour(times) => {
                made.hours[place] = made.hours[place].max(pico(made.level[place] * times));
                return place..place + 1;
            }
            Planted::Day(times) => {
                day.clone()
                    .for_each(|place| made.hours[place] = pico(made.hours[place] as f64 / 1e12 * times));
                return day;
            }
            Planted::Shift(times) => {
                let all = day.start..made.hours.len();
                all.for_each(|place| made.hours[place] = pico(made.hours[place] as f64 / 1e12 * times));
                return day.start..days[number + 1].hours.end;
            }
        }
    }
}

fn spikes(calendar: &Calendar, hours: &[i128], judged: std::ops::Range<usize>, rules: &Rules) -> Vec<Spike> {
    judge(calendar, hours, &judged, rules).spikes
}

/// How much of what was planted is found, in percent.
fn recall(kind: &Kind, calendar: &Calendar, planted: Planted, rules: &Rules) -> u32 {
    let found = (0..SERIES).filter(|&seed| {
        let mut made = make(kind, calendar, 1000 + seed);
        let mut random = Random(7000 + seed);
        let places = plant(&mut made, calendar, planted, &mut random);
        let days =
            calendar.days().iter().filter(|day| day.hours.start < places.end && day.hours.end > places.start);
        let judged = days.clone().next().unwrap().hours.start..days.clone().next_back().unwrap().hours.end;
        let (since, until) = (calendar.hours()[places.start].start, calendar.hours()[places.end - 1].until);
        spikes(calendar, &made.hours, judged, rules)
            .iter()
            .any(|spike| spike.since < until && spike.until > since)
    });
    u32::try_from(found.count() as u64 * 100 / SERIES).unwrap()
}

/// False alarms, by hour and by day, in a hundred weeks of one series.
fn false_alarms(kind: &Kind, calendar: &Calendar, rules: &Rules) -> (u32, u32) {
    let judged = calendar.days()[WEEKS.0 * 7].hours.start..calendar.hours().len();
    let mut alarms = (0, 0);
    for seed in 0..SERIES {
        for spike in spikes(calendar, &make(kind, calendar, 1000 + seed).hours, judged.clone(), rules) {
            match spike.scale {
                Scale::Hour => alarms.0 += 1,
                Scale::Day => alarms.1 += 1,
            }
        }
    }
    let weeks = u32::try_from(SERIES).unwrap() * u32::try_from(WEEKS.1).unwrap();
    (alarms.0 * 100 / weeks, alarms.1 * 100 / weeks)
}

#[test]
fn recall_and_false_alarms_are_as_documented() {
    let calendar = calendar();
    let rules = Sensitivity::Normal.rules("1".parse::<Usd>().unwrap());
    let mut table = String::from(
        "| series | an hour at 5 times | an hour at 10 times | a day at 3 times | 3 times from a day on | false alarms in 100 weeks: hours, days |\n|---|---:|---:|---:|---:|---:|\n",
    );
    let mut too_bad = Vec::new();
    for kind in &KINDS {
        let found = [Planted::Hour(5.0), Planted::Hour(10.0), Planted::Day(3.0), Planted::Shift(3.0)]
            .map(|planted| recall(kind, &calendar, planted, &rules));
        let (hours, days) = false_alarms(kind, &calendar, &rules);
        let [five, ten, day, shift] = found;
        writeln!(table, "| {} | {five} % | {ten} % | {day} % | {shift} % | {hours}, {days} |", kind.name)
            .unwrap();
        let floors = kind.floors;
        let enough = five >= floors.0 && ten >= floors.1 && day >= floors.2 && shift >= floors.3;
        if !enough || hours + days > floors.4 {
            too_bad.push(kind.name);
        }
    }
    println!("{table}");
    assert!(too_bad.is_empty(), "worse than it has to be: {too_bad:?}\n{table}");
    let runbook = include_str!("../../RUNBOOK.md");
    assert!(runbook.contains(&table), "RUNBOOK.md should have this table:\n{table}");
}
