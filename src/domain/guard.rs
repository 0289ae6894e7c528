//! What the guard decided, as it is logged and recorded: never the value it decided about.

use super::{CallId, Digest, RunId, Timestamp, optional_name, required_name};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// The longest reason, in characters.
const MAX_REASON_CHARS: usize = 500;

/// What is done about something that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is only reported: the value stays.
    Report,
    /// The value stays, because somebody allowed this kind; recorded each time.
    AllowRaw,
    /// A token takes the value's place.
    Redact,
    /// The text may not be sent.
    Block,
}

impl Decision {
    /// All of them, the mildest first.
    pub const ALL: [Self; 4] = [Self::Report, Self::AllowRaw, Self::Redact, Self::Block];

    /// Whether the value may not be seen.
    #[must_use]
    pub const fn hides(self) -> bool {
        matches!(self, Self::Redact | Self::Block)
    }

    /// The word in columns, files and JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::AllowRaw => "allow_raw",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl TryFrom<String> for Decision {
    type Error = Error;

    fn try_from(code: String) -> Result<Self> {
        Self::ALL.into_iter().find(|decision| decision.code() == code).ok_or_else(|| {
            Error::input(format!("decision `{code}` is unknown"))
                .hint("it is report, allow_raw, redact or block")
        })
    }
}

/// One decision about one value that was found: a row of `guard_event`, a line of the native format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardEvent {
    /// The event's id: the same decision about the same call has the same one, so that it counts once.
    pub event_id: Uuid,
    /// The run it was decided in; none outside one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// The call it was decided for, which may never have been sent; none outside one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<CallId>,
    /// The prompt it was about: `name@7`, or the name alone before there is a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The variable whose value it was found in; none for a template's own text and for captured messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The detector that found it.
    pub detector: String,
    /// How often it was found there.
    pub findings: u32,
    /// What was decided.
    pub decision: Decision,
    /// Why.
    pub reason: String,
    /// HMAC-SHA256 of the value, under a key kept outside the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
    /// What took the value's place, without its brackets: `EMAIL_1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The digest of the rules then in force.
    pub rules_sha256: Digest,
    /// The digest of the policy then in force.
    pub policy_sha256: Digest,
    /// When it was decided.
    pub decided_at: Timestamp,
}

impl GuardEvent {
    /// Checks names, counts and the time against what the ledger takes; `now` is the reader's clock.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        required_name("detector", &self.detector)?;
        for (field, name) in [("prompt", &self.prompt), ("variable", &self.variable), ("token", &self.token)]
        {
            optional_name(field, name.as_deref().unwrap_or_default())?;
        }
        if self.call_id.is_some() && self.run_id.is_none() {
            return Err(Error::input("the guard's event has a `call_id` but no `run_id`"));
        }
        if self.findings == 0 || i32::try_from(self.findings).is_err() {
            return Err(Error::input(format!("`findings` is {}; it counts from 1", self.findings)));
        }
        if self.reason.is_empty() || self.reason.chars().count() > MAX_REASON_CHARS {
            return Err(Error::input(format!(
                "`reason` is {} characters long; it has 1 to {MAX_REASON_CHARS}",
                self.reason.chars().count()
            )));
        }
        if self.reason.contains('\0') {
            return Err(Error::input("`reason` holds the character U+0000"));
        }
        self.decided_at.check("decided_at", now)
    }
}
