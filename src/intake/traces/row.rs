//! The two formats' rows.

use crate::domain::{MAX_COUNT, Timestamp};
use crate::error::{Error, Result, without_value};
use chrono::NaiveDateTime;
use serde::Deserialize;
use std::collections::HashSet;

/// The header of the Azure LLM inference traces.
const AZURE_HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";
/// Tokens in one of Mooncake's cache blocks.
const BLOCK_TOKENS: u64 = 512;

/// One request of a trace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// When it was made; in Mooncake, time since the trace began.
    pub at: Timestamp,
    /// The whole prompt.
    pub input: u64,
    /// The part of `input` that was in the cache.
    pub cache_read: u64,
    /// Generated tokens.
    pub output: u64,
}

/// Which trace this is, and what reading it needs to remember.
pub(super) enum Format {
    Azure,
    Mooncake {
        /// The cache blocks that an earlier row has filled.
        seen: HashSet<u64>,
    },
}

#[derive(Deserialize)]
struct MooncakeRow {
    timestamp: u64,
    input_length: u64,
    output_length: u64,
    hash_ids: Vec<u64>,
}

impl Format {
    /// Tells the format by the first line.
    pub(super) fn of_first_line(text: &str, has_start: bool) -> Result<Self> {
        if text.trim() == AZURE_HEADER {
            return Ok(Format::Azure);
        }
        if serde_json::from_str::<MooncakeRow>(text).is_err() {
            return Err(Error::input("this is neither an Azure LLM inference trace nor a Mooncake trace").hint(
                format!("the first line must be `{AZURE_HEADER}`, or a JSON object with `timestamp`, `input_length`, `output_length` and `hash_ids`"),
            ));
        }
        if !has_start {
            return Err(Error::usage("a Mooncake trace has times since its beginning only")
                .hint("say when it began with --start"));
        }
        Ok(Format::Mooncake { seen: HashSet::new() })
    }

    pub(super) fn has_header(&self) -> bool {
        matches!(self, Format::Azure)
    }

    /// The format's part in derived ids.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Format::Azure => "azure-llm-trace",
            Format::Mooncake { .. } => "mooncake-trace",
        }
    }

    pub(super) fn row(&mut self, text: &str) -> Result<Row> {
        match self {
            Format::Azure => azure(text),
            Format::Mooncake { seen } => mooncake(text, seen),
        }
    }
}

fn azure(text: &str) -> Result<Row> {
    let columns: Vec<&str> = text.split(',').map(str::trim).collect();
    let &[time, context, generated] = &*columns else {
        return Err(Error::input(format!("the row has {} columns instead of 3", columns.len())));
    };
    Ok(Row {
        at: azure_time(time)?,
        input: count("ContextTokens", context)?,
        cache_read: 0,
        output: count("GeneratedTokens", generated)?,
    })
}

/// `2023-11-16 18:17:03.9799600`: UTC, with digits past the microsecond, which are cut.
fn azure_time(text: &str) -> Result<Timestamp> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .map(|time| Timestamp::from(time.and_utc()))
        .map_err(|_| {
            let shown: String = text.chars().take(60).collect();
            Error::input(format!("`TIMESTAMP` is `{shown}`, not a time like `2023-11-16 18:17:03.9799600`"))
        })
}

fn count(column: &str, text: &str) -> Result<u64> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(60).collect();
        Error::input(format!("`{column}` is `{shown}`, not a count"))
    })
}

/// A block's id stands for the block and all before it, so a hit is a prefix: the leading blocks that an
/// earlier row had. On the published conversation trace this gives 37.4 % of input, as does counting any
/// block seen before.
fn mooncake(text: &str, seen: &mut HashSet<u64>) -> Result<Row> {
    let row: MooncakeRow = serde_json::from_str(text).map_err(|error| {
        let whole = without_value(&error.to_string());
        let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _)| message);
        Error::input(format!("column {}: {message}", error.column()))
    })?;
    if row.input_length > MAX_COUNT || row.output_length > MAX_COUNT {
        return Err(Error::input(format!("a length is over {MAX_COUNT}")));
    }
    let micros = i64::try_from(row.timestamp)
        .ok()
        .and_then(|ms| ms.checked_mul(1000))
        .ok_or_else(|| Error::input(format!("`timestamp` {} is out of range", row.timestamp)))?;
    let hits = row.hash_ids.iter().take_while(|id| seen.contains(id)).count() as u64;
    seen.extend(&row.hash_ids);
    Ok(Row {
        at: Timestamp::from_micros(micros),
        input: row.input_length,
        cache_read: (hits * BLOCK_TOKENS).min(row.input_length),
        output: row.output_length,
    })
}
