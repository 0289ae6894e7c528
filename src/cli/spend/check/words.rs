//! How findings are said.

use crate::anomaly::{Comparable, Scale, Spike, Usual, Worst};
use crate::domain::{Timestamp, Usd};
use crate::report::Cell;
use chrono::{DateTime, Datelike, Weekday};
use chrono_tz::Tz;

pub(super) fn usd(usd: Usd) -> String {
    Cell::Usd(usd).in_words()
}

/// What an amount counts.
pub(super) const fn unit(cell: &Cell) -> &'static str {
    match cell {
        Cell::Usd(_) => "usd",
        Cell::Count(_) => "calls",
        Cell::Millis(_) => "milliseconds",
        _ => "share",
    }
}

/// An amount for programs: exact, and always a string, for what it counts differs.
pub(super) fn exact(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Usd(usd) => Some(usd.to_string()),
        Cell::Count(count) | Cell::Millis(count) => Some(count.to_string()),
        Cell::Share { part, whole } if *whole > 0 => {
            let millionths = part.saturating_mul(1_000_000) / whole;
            Some(format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000))
        }
        _ => None,
    }
}

/// A share in millionths.
pub(super) const fn share(millionths: i128) -> Cell {
    Cell::Share { part: millionths, whole: 1_000_000 }
}

/// How many times `usual` was found: `11 times`, `2.4 times`. There is no number for times nothing.
pub(super) fn times(found: i128, usual: i128) -> Option<String> {
    let tenths = (usual > 0).then(|| found.saturating_mul(10) / usual)?;
    let (whole, tenth) = (tenths / 10, tenths % 10);
    Some(if whole >= 10 { format!("{whole} times") } else { format!("{whole}.{tenth} times") })
}

fn local(time: Timestamp, zone: Tz) -> DateTime<Tz> {
    time.to_utc().with_timezone(&zone)
}

/// A stretch of time, as short as it can be said: `Tue 2026-02-24`, `Tue 2026-02-24 14:00–16:00`.
pub(super) fn period(since: Timestamp, until: Timestamp, zone: Tz) -> String {
    let (from, to) = (local(since, zone), local(until, zone));
    let (day, start, end) = (from.format("%a %Y-%m-%d"), from.format("%H:%M"), to.format("%H:%M"));
    let last = local(until.plus_micros(-1), zone).date_naive();
    let is_midnight = start.to_string() == "00:00" && end.to_string() == "00:00";
    if last != from.date_naive() {
        format!("{day} {start} – {} {end}", to.format("%a"))
    } else if is_midnight && to.date_naive() != last {
        day.to_string()
    } else {
        format!("{day} {start}–{end}")
    }
}

/// Why a spike is called one.
pub(super) fn why_spike(spike: &Spike, zone: Tz) -> String {
    let Spike { scale, since, until, length, found, usual, worst, .. } = spike;
    let when = period(*since, *until, zone);
    let compared = compared(worst, *scale, zone);
    if *length == 1 {
        let place = if *scale == Scale::Day { "on" } else { "in" };
        return format!("{} {place} {when}; {compared}", usd(*found));
    }
    format!(
        "{} in {length} hours, {when}, usually {}; at {} it was {}, and {compared}",
        usd(*found),
        usd(*usual),
        local(worst.since, zone).format("%H:%M"),
        usd(worst.found),
    )
}

/// What an hour or a day was compared with.
fn compared(worst: &Worst, scale: Scale, zone: Tz) -> String {
    let Usual { of, samples, median, spread, above, .. } = worst.usual;
    let who = comparable(of, samples, local(worst.since, zone), scale);
    if of == Comparable::Silent {
        let otherwise = usd(Usd::from_pico(above.pico().saturating_mul(2)));
        return format!(
            "nothing is ever spent on {who} ({samples} before), and other {} cost {otherwise}",
            noun(scale)
        );
    }
    let times = times(worst.found.pico(), median.pico()).unwrap_or_default();
    format!("{who} usually {} (median of {samples}, MAD {}): {times}", usd(median), usd(spread))
}

const fn noun(scale: Scale) -> &'static str {
    match scale {
        Scale::Hour => "hours",
        Scale::Day => "days",
    }
}

fn comparable(of: Comparable, samples: usize, time: DateTime<Tz>, scale: Scale) -> String {
    let weekday = match time.weekday() {
        Weekday::Mon => "Mondays",
        Weekday::Tue => "Tuesdays",
        Weekday::Wed => "Wednesdays",
        Weekday::Thu => "Thursdays",
        Weekday::Fri => "Fridays",
        Weekday::Sat => "Saturdays",
        Weekday::Sun => "Sundays",
    };
    let class = if time.weekday().number_from_monday() > 5 { "days of weekends" } else { "weekdays" };
    let at = match scale {
        Scale::Hour => format!(" at {}", time.format("%H:00")),
        Scale::Day => String::new(),
    };
    match of {
        Comparable::Weekday => format!("{weekday}{at}"),
        Comparable::Class | Comparable::Silent => format!("{class}{at}"),
        Comparable::Recent => format!("the last {samples} {class}{at}"),
        Comparable::AnyDay => format!("days{at}"),
        Comparable::AllHours => noun(scale).to_owned(),
        Comparable::Active => format!("{} with spend", noun(scale)),
    }
}

/// A word for a shell, quoted if it must be.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_time_is_said_shortly() {
        let zone: Tz = "Europe/Berlin".parse().expect("a zone");
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        for (since, until, said) in [
            ("2026-02-23T13:00:00Z", "2026-02-23T14:00:00Z", "Mon 2026-02-23 14:00–15:00"),
            ("2026-02-22T23:00:00Z", "2026-02-23T23:00:00Z", "Mon 2026-02-23"),
            ("2026-02-23T22:00:00Z", "2026-02-23T23:00:00Z", "Mon 2026-02-23 23:00–00:00"),
            ("2026-02-23T22:00:00Z", "2026-02-24T01:00:00Z", "Mon 2026-02-23 23:00 – Tue 02:00"),
        ] {
            assert_eq!(period(time(since), time(until), zone), said);
        }
    }

    #[test]
    fn a_word_is_one_word_to_a_shell() {
        assert_eq!(quoted("gpt-4o"), "gpt-4o");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
