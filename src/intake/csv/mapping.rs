//! Which column is what.

use super::time::TimeFormat;
use crate::domain::TokenKind;
use crate::error::{Error, Result, without_value};
use chrono_tz::Tz;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The largest file of a mapping, in bytes.
const MAX_MAPPING_BYTES: usize = 1 << 20;

/// What a column may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Field {
    /// The provider.
    Provider,
    /// The model.
    Model,
    /// When the call was made.
    CalledAt,
    /// The run: a UUID is its id, of anything else one is derived.
    Run,
    /// The pipeline.
    Pipeline,
    /// The agent.
    Agent,
    /// The call: a UUID is its id, of anything else one is derived.
    CallId,
    /// What was asked for: `chat`, `embeddings`, …
    Operation,
    /// `standard`, `batch`, …
    ServiceTier,
    /// The provider's id of the response.
    ResponseId,
    /// How long it took, in milliseconds.
    LatencyMs,
    /// How it went.
    Outcome,
    /// How much of a kind was used.
    Usage(TokenKind),
}

const PLAIN: [(Field, &str); 12] = [
    (Field::Provider, "provider"),
    (Field::Model, "model"),
    (Field::CalledAt, "called_at"),
    (Field::Run, "run"),
    (Field::Pipeline, "pipeline"),
    (Field::Agent, "agent"),
    (Field::CallId, "call_id"),
    (Field::Operation, "operation"),
    (Field::ServiceTier, "service_tier"),
    (Field::ResponseId, "response_id"),
    (Field::LatencyMs, "latency_ms"),
    (Field::Outcome, "outcome"),
];

impl Field {
    /// All of them, with their names.
    pub fn all() -> impl Iterator<Item = (Self, &'static str)> {
        PLAIN.into_iter().chain(TokenKind::ALL.into_iter().map(|kind| (Self::Usage(kind), kind.name())))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::all().find(|(field, _)| field == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Field {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::all().find(|(_, name)| *name == text).map(|(field, _)| field).ok_or_else(|| {
            let shown: String = text.chars().take(60).collect();
            let names: Vec<_> = Self::all().map(|(_, name)| name).collect();
            Error::usage(format!("`{shown}` is nothing that a column can be"))
                .hint(format!("it is one of {}", names.join(", ")))
        })
    }
}

impl TryFrom<String> for Field {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// What is counted inside of another count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Included {
    /// `input` is with what was read from and written to the cache, as `OpenAI` counts
    Cache,
    /// `output` is with reasoning, as `OpenAI` counts
    Reasoning,
    /// Each kind is apart, as Anthropic counts
    Nothing,
}

/// What a run is, when no column says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPer {
    /// The calls of a day in the zone of --tz, else UTC
    #[default]
    Day,
    /// The calls of a file, by its name
    File,
}

/// How a CSV is read. In YAML: `columns`, `constants`, `time`, `tz`, `includes`, `run_per`, `delimiter`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvMapping {
    /// The columns by what they are.
    pub columns: BTreeMap<Field, String>,
    /// What no column says, or a column leaves empty.
    pub constants: BTreeMap<Field, String>,
    /// How times are written.
    pub time: TimeFormat,
    /// The zone of times without an offset, and of days that are runs.
    pub tz: Option<String>,
    /// What is counted inside of another count.
    pub includes: Vec<Included>,
    /// What a run is, when no column says it.
    pub run_per: RunPer,
    /// What stands between fields, if not a comma.
    pub delimiter: Option<String>,
}

impl CsvMapping {
    /// Reads a mapping from YAML. `file` is its name, for errors.
    ///
    /// # Errors
    /// When it is no such mapping.
    pub fn from_yaml(file: &str, text: &str) -> Result<Self> {
        if text.len() > MAX_MAPPING_BYTES {
            return Err(Error::input(format!("`{file}` is larger than 1 MiB")).hint("is it a mapping?"));
        }
        serde_yaml::from_str(text).map_err(|error| {
            Error::input(format!("`{file}`: {}", without_value(&error.to_string()))).hint(
                "it may hold `columns`, `constants`, `time`, `tz`, `includes`, `run_per` and `delimiter`",
            )
        })
    }

    /// Checks that what every call needs is said.
    ///
    /// # Errors
    /// When something is missing or cannot be.
    pub fn check(&self) -> Result<()> {
        self.delimiter()?;
        self.zone()?;
        for needed in [Field::Model, Field::CalledAt] {
            if !self.columns.contains_key(&needed) && !self.constants.contains_key(&needed) {
                return Err(Error::usage(format!("no column is `{needed}`"))
                    .hint(format!("name it: --map {needed}=COLUMN")));
            }
        }
        let has = |kind| {
            self.columns.contains_key(&Field::Usage(kind)) || self.constants.contains_key(&Field::Usage(kind))
        };
        let (input, output) = (has(TokenKind::Input), has(TokenKind::Output));
        let cached =
            has(TokenKind::CacheRead) || has(TokenKind::CacheWrite) || has(TokenKind::CacheWriteLong);
        if self.includes.is_empty() && (input && cached || output && has(TokenKind::Reasoning)) {
            let whole = if input && cached {
                "`input` is with the cached tokens"
            } else {
                "`output` is with reasoning"
            };
            return Err(Error::usage(format!("it is not said whether {whole}"))
                .hint("--includes cache,reasoning as OpenAI counts, --includes nothing as Anthropic does"));
        }
        if self.includes.contains(&Included::Nothing) && self.includes.len() > 1 {
            return Err(Error::usage("--includes is `nothing` and something").hint("name one or the other"));
        }
        Ok(())
    }

    /// The byte between fields.
    pub(super) fn delimiter(&self) -> Result<u8> {
        match self.delimiter.as_deref() {
            None => Ok(b','),
            Some("tab" | "\t" | "\\t") => Ok(b'\t'),
            Some(text) => match text.as_bytes() {
                [byte] if byte.is_ascii_punctuation() && *byte != b'"' => Ok(*byte),
                _ => {
                    Err(Error::usage("the delimiter is not one character").hint("such as `;`, `|` or `tab`"))
                }
            },
        }
    }

    /// The zone of times without an offset.
    pub(super) fn zone(&self) -> Result<Option<Tz>> {
        let parse = |name: &String| {
            name.parse().map_err(|_| {
                let shown: String = name.chars().take(60).collect();
                Error::usage(format!("`{shown}` is not a time zone"))
                    .hint("use an IANA name such as Europe/Berlin, America/New_York or UTC")
            })
        };
        self.tz.as_ref().map(parse).transpose()
    }
}
