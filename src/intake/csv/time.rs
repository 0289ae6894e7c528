//! Times as CSVs have them.

use crate::domain::Timestamp;
use crate::error::{Error, Result};
use chrono::{LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Deserialize;

/// How a column writes times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeFormat {
    /// RFC 3339, with a `T` or a space; without an offset only where --tz says the zone
    #[default]
    Rfc3339,
    /// Seconds since 1970, with or without decimals
    EpochSeconds,
    /// Milliseconds since 1970
    EpochMillis,
    /// Microseconds since 1970
    EpochMicros,
}

impl TimeFormat {
    /// Reads a time. One without an offset is of `zone`; of a time that a change of the clocks brings twice, the first is meant.
    pub(super) fn read(self, text: &str, zone: Option<Tz>) -> Result<Timestamp> {
        match self {
            Self::Rfc3339 => written(text, zone),
            Self::EpochSeconds => since_1970(text, 6),
            Self::EpochMillis => since_1970(text, 3),
            Self::EpochMicros => since_1970(text, 0),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn written(text: &str, zone: Option<Tz>) -> Result<Timestamp> {
    let text = text.strip_suffix(" UTC").map_or_else(|| text.to_owned(), |rest| format!("{rest}Z"));
    let mut text = text.replacen(' ', "T", 1);
    // Postgres writes offsets of whole hours without their minutes.
    if text.contains(':')
        && text
            .len()
            .checked_sub(3)
            .and_then(|at| text.get(at..))
            .is_some_and(|end| end.starts_with(['+', '-']))
    {
        text += ":00";
    }
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let wrong = || {
        Error::input(format!("`{}` is not a time like `2026-11-20T12:00:00Z`", shown(&text)))
            .hint("is it in epoch-seconds, epoch-millis or epoch-micros? --time says so")
    };
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .into_iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok())
        .ok_or_else(wrong)?;
    let zone = zone.ok_or_else(|| {
        Error::input(format!("`{}` has no offset from UTC", shown(&text))).hint("say its zone with --tz")
    })?;
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Ok(time.with_timezone(&Utc).into()),
        LocalResult::None => Err(Error::input(format!("`{}` does not exist in {zone}", shown(&text)))),
    }
}

/// Digits to microseconds, without a float in between; what is smaller is cut.
fn since_1970(text: &str, decimals: usize) -> Result<Timestamp> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: String = part.chars().chain("000000".chars()).take(decimals).collect();
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let micros = format!("{whole}{part}").parse().ok().filter(|_| is_number(whole) && is_number(&part));
    micros
        .map(Timestamp::from_micros)
        .filter(|time| *time <= Timestamp::FAR)
        .ok_or_else(|| Error::input(format!("`{}` is not a time since 1970", shown(text))))
}
