//! Arguments that several commands share.

use super::context::Ctx;
use crate::domain::{Status, Timestamp, Window};
use crate::error::{Error, Result};
use crate::report::Format;
use crate::store::Filter;
use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use std::str::FromStr;

/// The range of time.
#[derive(Debug, Args)]
pub(crate) struct WindowArgs {
    /// The last N local days, today included
    #[arg(long, value_name = "N", conflicts_with_all = ["since", "until"])]
    pub days: Option<u32>,
    /// From this day or time on: 2026-11-01, or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Up to this day (included) or time (excluded)
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// The time zone whose days are meant: an IANA name [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
}

impl WindowArgs {
    /// The range, of `default_days` where nothing is given, and its zone.
    pub fn resolve(&self, ctx: &Ctx, default_days: u32) -> Result<(Window, (Tz, &'static str))> {
        let zone = ctx.zone(self.tz.as_deref())?;
        let now = ctx.clock.now();
        let last = Window::last_days(self.days.unwrap_or(default_days), now, zone.0)?;
        let until = match &self.until {
            Some(text) => end_of("--until", text, zone.0)?,
            None => last.until,
        };
        let since = match &self.since {
            Some(text) => moment("--since", text, zone.0)?,
            None if self.until.is_some() => {
                Window::last_days(default_days, until.plus_micros(-1), zone.0)?.since
            }
            None => last.since,
        };
        Ok((Window::between(since, until, zone.0)?, zone))
    }
}

/// A time given by flag, or the midnight that a day begins with.
pub(crate) fn moment(flag: &str, text: &str, zone: Tz) -> Result<Timestamp> {
    match text.parse::<NaiveDate>() {
        Ok(day) => Ok(Window::dates(day, day, zone)?.since),
        Err(_) => parse_time(flag, text),
    }
}

/// A time given by flag as the end of a range, or the midnight that a day ends with.
pub(crate) fn end_of(flag: &str, text: &str, zone: Tz) -> Result<Timestamp> {
    match text.parse::<NaiveDate>() {
        Ok(day) => Ok(Window::dates(day, day, zone)?.until),
        Err(_) => parse_time(flag, text),
    }
}

/// A time given by flag.
pub(crate) fn parse_time(flag: &str, text: &str) -> Result<Timestamp> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(60).collect();
        Error::usage(format!("{flag} `{shown}` is neither a day nor a time"))
            .hint("write a day such as 2026-11-01, or a time with an offset such as 2026-11-01T12:00:00Z")
    })
}

/// An id that may be left empty, which is the same as not given: `ASMM_RUN_ID=` in the environment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IfGiven<T>(pub Option<T>);

impl<T: FromStr> FromStr for IfGiven<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(|id| Self(Some(id))) }
    }
}

/// What to look at.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Only this pipeline
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub pipeline: Option<String>,
    /// Only this agent
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub agent: Option<String>,
    /// Only this provider, as reported
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub provider: Option<String>,
    /// Only this model, as reported
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub model: Option<String>,
    /// Only runs with this status: running, succeeded, failed, cancelled, abandoned
    #[arg(long, value_name = "STATUS")]
    pub status: Option<Status>,
}

/// Which ledgers to look at.
#[derive(Debug, Args)]
pub(crate) struct SchemasArgs {
    /// Report on every ledger of the Postgres database, one a schema, in a column of its own
    #[arg(long)]
    pub all_schemas: bool,
}

impl FilterArgs {
    pub fn filter(&self) -> Filter {
        Filter {
            pipeline: self.pipeline.clone(),
            agent: self.agent.clone(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            status: self.status,
        }
    }
}

/// How to print.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = FormatArg::Table)]
    pub format: FormatArg,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// A table that fits the terminal
    Table,
    /// One object, with exact values: the contract for programs
    Json,
    /// Comma-separated values with a head
    Csv,
    /// A table for an issue or a chat
    Markdown,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Table => Self::Table,
            FormatArg::Json => Self::Json,
            FormatArg::Csv => Self::Csv,
            FormatArg::Markdown => Self::Markdown,
        }
    }
}
