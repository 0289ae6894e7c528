//! What was sent to a model in one call.

use super::{CallId, Digest, RunId, StepId, Timestamp, canonical_json, required_name};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// The largest text of one call, in bytes of its canonical JSON; the same for its inputs.
pub const MAX_TEXT_BYTES: usize = 4 << 20;
/// The most messages of one call.
const MAX_MESSAGES: usize = 10_000;

/// Whether what was sent had been looked at for secrets and personal data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sanitisation {
    /// Looked at, and nothing was found.
    Clean,
    /// Something was found and replaced.
    Redacted,
    /// Something was found, and let through as the policy says.
    RawAllowed,
    /// Nobody looked.
    #[default]
    Unscanned,
    /// Somebody looked only after it had been sent, and found what the policy forbids.
    Exposed,
}

impl Sanitisation {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Clean, Self::Redacted, Self::RawAllowed, Self::Unscanned, Self::Exposed];

    /// The word in columns and JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Redacted => "redacted",
            Self::RawAllowed => "raw_allowed",
            Self::Unscanned => "unscanned",
            Self::Exposed => "exposed",
        }
    }
}

impl Sanitisation {
    /// Of two, which is more of a concern: the higher.
    #[must_use]
    pub const fn concern(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Redacted => 1,
            Self::RawAllowed => 2,
            Self::Unscanned => 3,
            Self::Exposed => 4,
        }
    }
}

impl TryFrom<String> for Sanitisation {
    type Error = Error;

    fn try_from(code: String) -> Result<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code).ok_or_else(|| {
            Error::input(format!("sanitisation `{code}` is unknown"))
                .hint("it is clean, redacted, raw_allowed, unscanned or exposed")
        })
    }
}

/// What was sent in a call: a registered version and its inputs, or the exact text, or its digest alone. And, where that is kept,
/// what was answered.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallPrompt {
    /// The registered version: its id, or `name@7`; `name` and `name@label` are what they meant when it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The template's inputs after sanitising.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Map<String, Value>>,
    /// The digest of the canonical JSON of the messages sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_sha256: Option<Digest>,
    /// The exact messages, from a pipeline that renders elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Value>>,
    /// The digest of the canonical JSON of `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_sha256: Option<Digest>,
    /// The messages that the model answered with, where they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Vec<Value>>,
    /// Whether it had been looked at for secrets and personal data.
    #[serde(default)]
    pub sanitisation: Sanitisation,
    /// When retention dropped the inputs and the text: only in a copied ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged_at: Option<Timestamp>,
    /// When inputs, messages or output were redacted, after the call: `text_sha256` and `output_sha256` are of what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted_at: Option<Timestamp>,
}

impl fmt::Debug for CallPrompt {
    /// Without inputs and texts: they may hold what nobody should see.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallPrompt")
            .field("version", &self.version)
            .field("inputs", &self.inputs.as_ref().map(Map::len))
            .field("text_sha256", &self.text_sha256)
            .field("messages", &self.messages.as_ref().map(Vec::len))
            .field("output_sha256", &self.output_sha256)
            .field("output", &self.output.as_ref().map(Vec::len))
            .field("sanitisation", &self.sanitisation)
            .field("purged_at", &self.purged_at)
            .field("redacted_at", &self.redacted_at)
            .finish()
    }
}

impl CallPrompt {
    /// Whether there is more of it than digests.
    #[must_use]
    pub const fn has_texts(&self) -> bool {
        self.inputs.is_some() || self.messages.is_some() || self.output.is_some()
    }

    /// What can be told of it without saying what was said.
    #[must_use]
    pub fn without_texts(self) -> Self {
        Self { inputs: None, messages: None, output: None, ..self }
    }

    /// The inputs as they are stored: canonical JSON.
    pub fn stored_inputs(&self) -> Result<Option<String>> {
        let Some(inputs) = &self.inputs else { return Ok(None) };
        let text = canonical_json(&Value::Object(inputs.clone())).map_err(|e| e.at("`inputs`"))?;
        check_size("inputs", text.len())?;
        Ok(Some(text))
    }

    /// The messages as they are stored: canonical JSON.
    pub fn stored_messages(&self) -> Result<Option<String>> {
        self.messages.as_deref().map(|messages| stored("messages", messages)).transpose()
    }

    /// The output as it is stored: canonical JSON.
    pub fn stored_output(&self) -> Result<Option<String>> {
        self.output.as_deref().map(|output| stored("output", output)).transpose()
    }

    /// Checks references, sizes and that the digest is that of the messages; `now` is the reader's clock.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        if let Some(version) = &self.version {
            required_name("version", version)?;
        }
        if let Some(purged_at) = self.purged_at {
            purged_at.check("purged_at", now)?;
            if self.inputs.is_some() || self.messages.is_some() || self.output.is_some() {
                return Err(Error::input("the prompt has both `purged_at` and what was purged"));
            }
        }
        if let Some(redacted_at) = self.redacted_at {
            redacted_at.check("redacted_at", now)?;
            if self.sanitisation != Sanitisation::Exposed {
                return Err(Error::input(format!(
                    "the prompt has `redacted_at`, and `sanitisation` is `{}`",
                    self.sanitisation.code()
                ))
                .hint("what was redacted after it was sent is `exposed`"));
            }
        }
        let is_sent_known = self.version.is_some() || self.text_sha256.is_some() || self.messages.is_some();
        if !is_sent_known && self.output.is_none() && self.output_sha256.is_none() {
            return Err(Error::input(
                "the prompt names neither a `version` nor `messages` nor `text_sha256`",
            )
            .hint("say what was sent: a version and its inputs, or the exact messages"));
        }
        if self.inputs.is_some() && self.version.is_none() {
            return Err(Error::input("the prompt has `inputs` but no `version` they belong to"));
        }
        self.stored_inputs()?;
        let messages = self.stored_messages()?;
        if self.redacted_at.is_some() && messages.is_some() && self.text_sha256.is_none() {
            return Err(Error::input(
                "the prompt has redacted `messages` but no `text_sha256` of what was sent",
            ));
        }
        let output = self.stored_output()?;
        if self.redacted_at.is_some() && output.is_some() && self.output_sha256.is_none() {
            return Err(Error::input(
                "the prompt has a redacted `output` but no `output_sha256` of what was answered",
            ));
        }
        self.check_digest(messages, self.text_sha256, ("text_sha256", "messages"))?;
        self.check_digest(output, self.output_sha256, ("output_sha256", "output"))
    }

    fn check_digest(
        &self,
        text: Option<String>,
        digest: Option<Digest>,
        (name, of): (&str, &str),
    ) -> Result<()> {
        match (text, digest) {
            (Some(text), Some(digest)) if self.redacted_at.is_none() && Digest::of(&text) != digest => {
                Err(Error::input(format!("`{name}` is not the digest of `{of}`")).hint(format!(
                    "it is SHA-256 of the canonical JSON of the {of}; leave it out, it is computed"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Messages as they are stored: canonical JSON.
fn stored(field: &str, messages: &[Value]) -> Result<String> {
    check_messages(field, messages)?;
    let text =
        canonical_json(&Value::Array(messages.to_vec())).map_err(|e| e.at(format_args!("`{field}`")))?;
    check_size(field, text.len())?;
    Ok(text)
}

fn check_messages(field: &str, messages: &[Value]) -> Result<()> {
    if messages.is_empty() || messages.len() > MAX_MESSAGES {
        return Err(Error::input(format!(
            "`{field}` has {} entries; it has 1 to {MAX_MESSAGES}",
            messages.len()
        )));
    }
    for (place, message) in messages.iter().enumerate() {
        if !message.get("role").is_some_and(Value::is_string) {
            return Err(Error::input(format!("message {} has no `role`", place + 1))
                .hint("a message is {\"role\": \"user\", \"content\": …}"));
        }
    }
    Ok(())
}

fn check_size(field: &str, bytes: usize) -> Result<()> {
    if bytes > MAX_TEXT_BYTES {
        return Err(Error::input(format!("`{field}` is {bytes} bytes long; the limit is {MAX_TEXT_BYTES}"))
            .hint("record its `text_sha256` alone"));
    }
    Ok(())
}

/// What was sent, recorded for a call that may be recorded later, or never be answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentPrompt {
    /// The run.
    pub run_id: RunId,
    /// The call, made by the caller; the call itself may come later, under this id.
    pub call_id: CallId,
    /// Its step, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<StepId>,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// What was sent.
    pub prompt: CallPrompt,
}

impl SentPrompt {
    /// Checks the prompt and the time; `now` is the reader's clock.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        self.sent_at.check("sent_at", now)?;
        self.prompt.check(now).map_err(|e| e.at("`prompt`"))
    }
}
