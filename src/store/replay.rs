//! What was sent in a run's calls, given back and proven.
//!
//! A text is rendered again from its version and inputs, or read as it was captured; its digest must be the one
//! that was stored when it was sent. Where it is not, or something is missing, the verdict says so.

use super::{PromptVersion, Store, VersionEntry, on_pool};
use crate::domain::{CallId, Digest, RunId, Sanitisation, StepId, Timestamp};
use crate::error::Result;
use crate::prompt::Content;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::{Map, Value};
use sqlx::FromRow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Whether what was sent could be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The text has the digest that was stored when it was sent.
    Verified,
    /// It has another one: something was changed past the ledger's triggers.
    Mismatch {
        /// The digest of what the ledger gives back now.
        found: Digest,
    },
    /// Retention dropped the inputs or the text.
    Purged {
        /// When.
        at: Timestamp,
    },
    /// It was redacted after it had been sent: the digest is of what was sent, the text is not.
    Redacted {
        /// When.
        at: Timestamp,
    },
    /// Nothing was recorded of what was sent.
    NotRecorded,
    /// The text is there, but its digest was not recorded: nothing proves it.
    Unproven,
    /// Only the digest of the text was recorded, not the text.
    DigestOnly,
    /// It cannot be rendered again.
    Broken {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// Whether the text is what was sent.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        matches!(self, Self::Verified)
    }

    /// The word in JSON.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Mismatch { .. } => "mismatch",
            Self::Purged { .. } => "purged",
            Self::Redacted { .. } => "redacted",
            Self::NotRecorded => "not_recorded",
            Self::Unproven => "unproven",
            Self::DigestOnly => "digest_only",
            Self::Broken { .. } => "broken",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified => f.write_str("verified"),
            Self::Mismatch { found } => {
                write!(f, "mismatch: the text now has the digest {}", found.short())
            }
            Self::Purged { at } => write!(f, "inputs purged on {}", at.to_utc().format("%Y-%m-%d")),
            Self::Redacted { at } => {
                write!(f, "redacted after the fact, on {}", at.to_utc().format("%Y-%m-%d"))
            }
            Self::NotRecorded => f.write_str("no prompt was recorded"),
            Self::Unproven => f.write_str("unproven: no digest was recorded"),
            Self::DigestOnly => f.write_str("only the digest of the text was recorded"),
            Self::Broken { why } => write!(f, "broken: {why}"),
        }
    }
}

/// A version in use, with what it says if that could be read.
#[derive(Debug, Clone)]
pub struct UsedPrompt {
    /// The version.
    pub entry: VersionEntry,
    /// What it says, or why that is not known.
    pub content: Result<Content, String>,
}

/// A call and what was sent in it.
#[derive(Clone)]
pub struct ReplayedCall {
    /// The call.
    pub call_id: CallId,
    /// Its step, if it has one.
    pub step_id: Option<StepId>,
    /// The step's name.
    pub step: Option<String>,
    /// The agent; `""` when there is none.
    pub agent: String,
    /// When it was made, or sent.
    pub called_at: Timestamp,
    /// Whether the call itself is recorded, rather than only what was sent.
    pub has_call: bool,
    /// The provider as reported; `""` when it was not.
    pub provider: String,
    /// The model as reported; `""` when the call is not recorded.
    pub model: String,
    /// What was asked for: `chat`, `embeddings`, …
    pub operation: String,
    /// The version that was sent, or, where nothing was recorded of the call, the step's.
    pub version: Option<Arc<UsedPrompt>>,
    /// The inputs, as sent.
    pub inputs: Option<Map<String, Value>>,
    /// The digest stored when it was sent.
    pub text_sha256: Option<Digest>,
    /// Whether it had been looked at for secrets and personal data.
    pub sanitisation: Option<Sanitisation>,
    /// Whether the text is rendered from the version and the inputs, rather than captured.
    pub is_rendered: bool,
    /// The messages, where they could be given back; as they are now, if that is not what was sent.
    pub messages: Option<Vec<Value>>,
    /// Whether they are what was sent.
    pub verdict: Verdict,
    /// The digest of what was answered, where answers are kept.
    pub output_sha256: Option<Digest>,
    /// What was answered, where it could be given back.
    pub output: Option<Vec<Value>>,
    /// Whether that is what was answered; none where answers are not kept.
    pub output_verdict: Option<Verdict>,
}

#[derive(FromRow)]
struct Row {
    call_id: CallId,
    step_id: Option<StepId>,
    called_at: Timestamp,
    has_call: bool,
    agent: String,
    provider: String,
    model: String,
    operation: String,
    step: Option<String>,
    step_version_id: Option<i64>,
    prompt_version_id: Option<i64>,
    inputs: Option<String>,
    text_sha256: Option<Digest>,
    sanitisation: Option<String>,
    purged_at: Option<Timestamp>,
    redacted_at: Option<Timestamp>,
    body: Option<String>,
    output_sha256: Option<Digest>,
    output_body: Option<String>,
    output_redacted_at: Option<Timestamp>,
}

/// A run's calls, one after the other; see [`Store::replay`].
pub struct Replay<'a> {
    store: &'a Store,
    rows: BoxStream<'a, sqlx::Result<Row>>,
    versions: HashMap<i64, Option<Arc<UsedPrompt>>>,
}

impl Store {
    /// The calls of a run in order, with what was sent in them. They are read as they are asked for.
    #[must_use]
    pub fn replay(&self, run_id: RunId) -> Replay<'_> {
        self.replay_of(run_id, None)
    }

    /// As [`Store::replay`], of one call only where one is named.
    pub(super) fn replay_of(&self, run_id: RunId, call_id: Option<CallId>) -> Replay<'_> {
        let rows = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/replay_run.sql"))
                .bind(run_id)
                .bind(call_id)
                .fetch(pool)
        });
        Replay { store: self, rows, versions: HashMap::new() }
    }
}

impl Store {
    /// The runs in which something was sent that is recorded.
    pub async fn runs_with_prompts(&self) -> Result<Vec<RunId>> {
        on_pool!(self, |pool| Ok(sqlx::query_scalar(
            "select distinct run_id from llm_call_prompt order by run_id"
        )
        .fetch_all(pool)
        .await?))
    }
}

impl Replay<'_> {
    /// The next call; none after the last.
    ///
    /// # Errors
    /// When the ledger fails. That a text cannot be given back is a verdict, not an error.
    pub async fn next(&mut self) -> Result<Option<ReplayedCall>> {
        let Some(row) = self.rows.next().await.transpose()? else { return Ok(None) };
        // What a step was meant to use says nothing of a text that was captured in it.
        let is_recorded = row.sanitisation.is_some();
        let version = match if is_recorded { row.prompt_version_id } else { row.step_version_id } {
            Some(id) => self.version(id).await?,
            None => None,
        };
        Ok(Some(replayed(row, version)?))
    }

    async fn version(&mut self, id: i64) -> Result<Option<Arc<UsedPrompt>>> {
        if let Some(known) = self.versions.get(&id) {
            return Ok(known.clone());
        }
        let version: Option<PromptVersion> = self.store.find_version_by_id(id).await?;
        let used = version.map(|version| {
            let content = version.parsed().map_err(|error| error.to_string());
            Arc::new(UsedPrompt { entry: version.entry, content })
        });
        self.versions.insert(id, used.clone());
        Ok(used)
    }
}

fn replayed(row: Row, version: Option<Arc<UsedPrompt>>) -> Result<ReplayedCall> {
    let inputs = row.inputs.as_deref().map(serde_json::from_str::<Map<String, Value>>);
    let is_rendered = row.body.is_none() && row.prompt_version_id.is_some();
    let given = given_back(&row, inputs.as_ref(), version.as_deref());
    let (messages, verdict) = match given {
        // A token may no longer fit its variable.
        Err(Verdict::Broken { .. }) if let Some(at) = row.redacted_at => (None, Verdict::Redacted { at }),
        Err(verdict) => (None, verdict),
        Ok((messages, found)) => {
            let verdict = match row.text_sha256 {
                _ if let Some(at) = row.redacted_at => Verdict::Redacted { at },
                None => Verdict::Unproven,
                Some(stored) if stored == found => Verdict::Verified,
                Some(_) => Verdict::Mismatch { found },
            };
            (Some(messages), verdict)
        }
    };
    let (output, output_verdict) = answered(&row);
    // What was answered is recorded with what was sent: a call is not exact when either was changed.
    let verdict = match &output_verdict {
        Some(changed @ (Verdict::Mismatch { .. } | Verdict::Broken { .. })) if verdict.is_verified() => {
            changed.clone()
        }
        _ => verdict,
    };
    Ok(ReplayedCall {
        call_id: row.call_id,
        step_id: row.step_id,
        step: row.step,
        agent: row.agent,
        called_at: row.called_at,
        has_call: row.has_call,
        provider: row.provider,
        model: row.model,
        operation: row.operation,
        version,
        inputs: inputs.and_then(Result::ok),
        text_sha256: row.text_sha256,
        is_rendered,
        sanitisation: row.sanitisation.map(Sanitisation::try_from).transpose()?,
        messages,
        verdict,
        output_sha256: row.output_sha256,
        output,
        output_verdict,
    })
}

/// What was answered as the ledger has it now, and whether that is what it was.
fn answered(row: &Row) -> (Option<Vec<Value>>, Option<Verdict>) {
    let Some(stored) = row.output_sha256 else { return (None, None) };
    let Some(body) = &row.output_body else {
        let verdict = row.purged_at.map_or(Verdict::DigestOnly, |at| Verdict::Purged { at });
        return (None, Some(verdict));
    };
    let found = Digest::of(body);
    match serde_json::from_str(body) {
        Err(error) => (None, Some(Verdict::Broken { why: format!("the answer is no JSON: {error}") })),
        Ok(output) => {
            let verdict = match row.output_redacted_at {
                Some(at) => Verdict::Redacted { at },
                None if found == stored => Verdict::Verified,
                None => Verdict::Mismatch { found },
            };
            (Some(output), Some(verdict))
        }
    }
}

/// The messages as the ledger has them now, and their digest.
fn given_back(
    row: &Row,
    inputs: Option<&serde_json::Result<Map<String, Value>>>,
    version: Option<&UsedPrompt>,
) -> Result<(Vec<Value>, Digest), Verdict> {
    let broken = |why: String| Verdict::Broken { why };
    let is_told = row.text_sha256.is_some() || row.prompt_version_id.is_some();
    if row.sanitisation.is_none() || !is_told && row.purged_at.is_none() {
        return Err(Verdict::NotRecorded);
    }
    if let Some(at) = row.purged_at {
        return Err(Verdict::Purged { at });
    }
    if let Some(body) = &row.body {
        let messages = serde_json::from_str(body)
            .map_err(|error| broken(format!("the captured text is no JSON: {error}")))?;
        return Ok((messages, Digest::of(body)));
    }
    let version = version.filter(|_| row.prompt_version_id.is_some()).ok_or(Verdict::DigestOnly)?;
    let empty = Map::new();
    let inputs = match inputs {
        None => &empty,
        Some(Ok(inputs)) => inputs,
        Some(Err(error)) => return Err(broken(format!("the stored inputs are no JSON: {error}"))),
    };
    let content = version.content.as_ref().map_err(|why| broken(why.clone()))?;
    let rendered = content.render(inputs).map_err(|error| broken(error.to_string()))?;
    let digest = rendered.digest().map_err(|error| broken(error.to_string()))?;
    Ok((rendered.to_values(), digest))
}
