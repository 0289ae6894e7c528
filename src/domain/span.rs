//! Spans as traces report them, as far as the ledger is concerned: who is inside whom, and which of them report a call
//! to a model.

mod groups;
mod merge;
mod resolve;
#[cfg(test)]
mod tests;

pub use resolve::{Resolved, SpanRun, resolve};

use super::{
    CallId, CallPrompt, GuardEvent, MAX_NAME_CHARS, Outcome, RunId, StepId, Timestamp, TokenUsage,
    optional_name, required_name,
};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use uuid::Uuid;

/// The id of a span, unique within its trace: eight bytes, written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

impl SpanId {
    /// As databases hold it.
    #[must_use]
    pub const fn to_column(self) -> i64 {
        i64::from_be_bytes(self.0)
    }

    /// From what databases hold.
    #[must_use]
    pub const fn from_column(column: i64) -> Self {
        Self(column.to_be_bytes())
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<SpanId> for String {
    fn from(id: SpanId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for SpanId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let digits = Some(text.as_str()).filter(|text| text.len() == 16 && text.is_ascii());
        digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(|number| Self(number.to_be_bytes()))
            .ok_or_else(|| Error::input("a span id is 16 hexadecimal digits"))
    }
}

impl Serialize for SpanId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SpanId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Its trace; also the id of the run that its calls belong to, unless a run is named.
    pub trace_id: Uuid,
    /// Its id.
    pub span_id: SpanId,
    /// The span that it is in; none for a trace's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<SpanId>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it is called.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What reported it: an instrumentation tells of a call once.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Whether it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// The service; a run that is the trace takes it as its pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// The agent that this and what is inside belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The conversation, or session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The run that this and what is inside belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// The step of that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<StepId>,
    /// The prompt version in use: an id or `name@7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_version: Option<String>,
    /// The call that it reports, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// What a span says about a call to a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The provider; `""` when it does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// The model that answered; `""` when it does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The model that was asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked_model: String,
    /// What was asked for: `chat`, `embeddings`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// The service tier, if it says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_tier: String,
    /// The provider's id of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// What it used; absent is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TokenUsage>,
    /// Whether it is known to repeat what is inside: it is a call only while nothing inside reports one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_outer: bool,
    /// What was sent and answered, where that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Box<CallPrompt>>,
    /// What the guard decided about that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<GuardEvent>,
}

const HOUR_MICROS: i64 = 3_600_000_000;
/// How far apart reports of one call may start to be found in different traces: five minutes.
const NEARBY_MICROS: i64 = 300_000_000;

/// The longest that a span may be, in microseconds: a year. Clocks that were set break more than this.
const MAX_LENGTH_MICROS: i64 = 366 * 86_400_000_000;

impl Span {
    /// Checks names, counts and times against what the ledger takes; `now` is the reader's clock.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        self.started_at.check("started_at", now)?;
        self.ended_at.check("ended_at", now)?;
        let length = self.ended_at.micros() - self.started_at.micros();
        if !(0..=MAX_LENGTH_MICROS).contains(&length) {
            return Err(Error::input(format!(
                "the span ends at {}, and started at {}",
                self.ended_at, self.started_at
            ))
            .hint("check the clock of the machine that recorded it"));
        }
        optional_name("name", &self.name)?;
        optional_name("scope", &self.scope)?;
        let names = [
            ("pipeline", &self.pipeline),
            ("agent", &self.agent),
            ("conversation", &self.conversation),
            ("prompt_version", &self.prompt_version),
        ];
        for (field, name) in names {
            name.as_ref().map_or(Ok(()), |name| required_name(field, name))?;
        }
        let Some(report) = &self.report else { return Ok(()) };
        for (field, name) in [
            ("provider", &report.provider),
            ("model", &report.model),
            ("model", &report.asked_model),
            ("operation", &report.operation),
            ("service_tier", &report.service_tier),
        ] {
            optional_name(field, name)?;
        }
        if let Some(response_id) = &report.response_id {
            required_name("response_id", response_id)?;
        }
        if let Some(prompt) = &report.prompt {
            if prompt.version.is_some() || prompt.inputs.is_some() {
                return Err(Error::input("`prompt` of a span has a `version` or `inputs`")
                    .hint("a span tells texts; its `prompt_version` says which version was used"));
            }
            prompt.check(now).map_err(|e| e.at("`prompt`"))?;
        }
        report.decided.iter().try_for_each(|event| event.check(now).map_err(|e| e.at("`decided`")))?;
        report.usage.map_or(Ok(()), |usage| usage.check())
    }

    /// The id of the call that it reports, where no response names it.
    #[must_use]
    pub fn own_call_id(&self) -> CallId {
        CallId::derived(&["otel-span", &self.trace_id.simple().to_string(), &self.span_id.to_string()])
    }

    /// What is known of it without the texts, whose digests stay.
    #[must_use]
    pub fn without_texts(&self) -> Cow<'_, Self> {
        let has_texts = |report: &Report| report.prompt.as_ref().is_some_and(|prompt| prompt.has_texts());
        if !self.report.as_ref().is_some_and(has_texts) {
            return Cow::Borrowed(self);
        }
        let mut span = self.clone();
        if let Some(report) = &mut span.report {
            report.prompt = report.prompt.take().map(|prompt| Box::new(prompt.without_texts()));
        }
        Cow::Owned(span)
    }

    /// A hash of the response's id, which finds the other reports of the same call in other traces. None if that is unknown.
    #[must_use]
    pub fn response_hash(&self) -> Option<i64> {
        let response_id = self.report.as_ref()?.response_id.as_ref()?;
        let (_, hash) = CallId::derived(&["otel-response", response_id]).0.as_u64_pair();
        Some(i64::from_be_bytes(hash.to_be_bytes()))
    }

    /// The hour in which it started, since 1970.
    #[must_use]
    pub const fn hour(&self) -> i64 {
        self.started_at.micros().div_euclid(HOUR_MICROS)
    }

    /// The hours in which other reports of the same call may have started, a few minutes earlier or later.
    pub fn hours_nearby(&self) -> impl Iterator<Item = i64> + use<> {
        let at = self.started_at.micros();
        let [first, last] = [at - NEARBY_MICROS, at + NEARBY_MICROS].map(|at| at.div_euclid(HOUR_MICROS));
        first..=last
    }

    /// Whether this and another one went on at the same time.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.started_at <= other.ended_at && other.started_at <= self.ended_at
    }

    /// How the call went, as this span sees it.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        if self.is_error { Outcome::Error } else { Outcome::Ok }
    }
}

/// A name as the ledger takes it: without control characters, trimmed, not too long. None if nothing is left.
#[must_use]
pub fn as_name(text: &str) -> Option<String> {
    let is_plain = text.len() <= MAX_NAME_CHARS && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if is_plain {
        return Some(text.to_owned()).filter(|text| !text.is_empty());
    }
    let kept: String = text.trim().chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    Some(kept).filter(|kept| !kept.trim().is_empty())
}
