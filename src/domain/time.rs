//! Instants, in microseconds.

use crate::error::{Error, Result};
use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// An instant: microseconds since 1970-01-01T00:00:00Z, the resolution of both databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * MICROS_PER_SECOND;
/// The length of a rollup bucket: 15 minutes.
const BUCKET_MICROS: i64 = 900 * MICROS_PER_SECOND;

impl Timestamp {
    /// The earliest time the ledger takes, 2015-01-01: before it there was nothing to record.
    pub const EARLIEST: Timestamp = Timestamp(1_420_070_400 * MICROS_PER_SECOND);
    /// After every time the ledger takes: the end of the year 9999.
    pub const FAR: Timestamp = Timestamp(253_402_300_799 * MICROS_PER_SECOND);

    /// `micros` microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// The number of this instant's 15-minute bucket: seconds since the epoch by 900, rounded down.
    #[must_use]
    pub const fn bucket(self) -> i64 {
        self.0.div_euclid(BUCKET_MICROS)
    }

    /// When a bucket starts.
    #[must_use]
    pub const fn from_bucket(bucket: i64) -> Self {
        Self(bucket.saturating_mul(BUCKET_MICROS))
    }

    /// The start of this instant's bucket.
    #[must_use]
    pub const fn bucket_start(self) -> Self {
        Self(self.0 - self.0.rem_euclid(BUCKET_MICROS))
    }

    /// The first start of a bucket that is not before this instant.
    #[must_use]
    pub const fn next_bucket_start(self) -> Self {
        Self(self.0 + (-self.0).rem_euclid(BUCKET_MICROS))
    }

    /// This instant moved by `micros`, or the nearest representable one.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// As chrono's type.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        Utc.timestamp_micros(self.0).single().unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// Checks that an instant from outside is one the ledger takes: not before 2015, and not more than a
    /// day after `now`.
    pub fn check(self, field: &str, now: Timestamp) -> Result<()> {
        if self < Self::EARLIEST {
            return Err(Error::input(format!("`{field}` {self} is before 2015"))
                .hint("is it in the right unit? times are RFC 3339, such as `2026-11-20T12:00:00Z`"));
        }
        if self > now.plus_micros(DAY_MICROS) {
            return Err(Error::input(format!("`{field}` {self} is more than a day ahead"))
                .hint("check the clock and the time zone of the machine that recorded it"));
        }
        Ok(())
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads RFC 3339 with an offset; digits past the microsecond are cut.
    fn from_str(text: &str) -> Result<Self> {
        DateTime::parse_from_rfc3339(text).map(|t| Self::from(t.with_timezone(&Utc))).map_err(|_| {
            let shown: String = text.chars().take(60).collect();
            Error::input(format!("`{shown}` is not a time"))
                .hint("times are RFC 3339 with an offset, such as `2026-11-20T12:00:00Z`")
        })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
