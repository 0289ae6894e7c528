//! What is recorded: a run starts, a step starts, calls are made, steps and runs finish.
//!
//! The serde form of these types is the native JSONL format of `asmm import jsonl` and `asmm export
//! jsonl`, and the keys of the Postgres functions.

use super::{
    CallId, CallPrompt, GuardEvent, RunId, SentPrompt, Span, Status, StepId, Timestamp, TokenUsage,
    optional_name, required_name,
};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest latency taken, in milliseconds: 30 days.
const MAX_LATENCY_MS: u64 = 30 * 86_400_000;
/// The most labels of one run.
const MAX_LABELS: usize = 64;

/// One line of the native format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A run starts.
    Run(StartRun),
    /// A step of a run starts (and, in an export, how it ended).
    Step(StartStep),
    /// A model was called.
    Call(Call),
    /// A prompt was sent, in a call that comes later.
    Prompt(SentPrompt),
    /// A run finishes.
    Finish(FinishRun),
    /// A step finishes, said apart from its start.
    FinishStep(FinishStep),
    /// The guard decided about something that it found.
    Guard(GuardEvent),
    /// A trace reported a span: what calls it tells of is resolved with the others of its trace.
    Span(Box<Span>),
}

impl Event {
    /// The start of a run, if it is one.
    #[must_use]
    pub fn as_run(&self) -> Option<&StartRun> {
        if let Self::Run(run) = self { Some(run) } else { None }
    }

    /// The start of a step, if it is one.
    #[must_use]
    pub fn as_step(&self) -> Option<&StartStep> {
        if let Self::Step(step) = self { Some(step) } else { None }
    }

    /// The span, if it is one.
    #[must_use]
    pub fn as_span(&self) -> Option<&Span> {
        if let Self::Span(span) = self { Some(span) } else { None }
    }

    /// Checks the event against what the ledger takes; `now` is the reader's clock.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        match self {
            Self::Run(run) => run.check(now),
            Self::Step(step) => step.check(now),
            Self::Call(call) => call.check(now),
            Self::Prompt(prompt) => prompt.check(now),
            Self::Finish(finish) => finish.check(now),
            Self::FinishStep(finish) => finish.check(now),
            Self::Guard(event) => event.check(now),
            Self::Span(span) => span.check(now),
        }
    }
}

/// A run starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// The run's id, made by the caller.
    pub run_id: RunId,
    /// Which pipeline it executes.
    pub pipeline: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The run that started this one; it may be in another ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_run_id: Option<RunId>,
    /// The run whose prompts this one sends again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<RunId>,
}

/// A step starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartStep {
    /// Its run.
    pub run_id: RunId,
    /// The step's id, made by the caller; unique within the run.
    pub step_id: StepId,
    /// The step's name.
    pub step: String,
    /// The agent that does it; `""` when there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// The prompt version it uses: an id or `name@7`; `name` and `name@label` are what they meant when it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_version: Option<String>,
    /// Which attempt this is, from 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// How it ended, if it has: only in the native format, where a step is one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// When it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

fn first_attempt() -> u32 {
    1
}

/// How a call went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The model answered.
    #[default]
    Ok,
    /// The request failed.
    Error,
}

impl Outcome {
    /// The word in columns and JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
        }
    }
}

impl TryFrom<String> for Outcome {
    type Error = Error;

    fn try_from(code: String) -> Result<Self> {
        match code.as_str() {
            "ok" => Ok(Outcome::Ok),
            "error" => Ok(Outcome::Error),
            _ => Err(Error::input(format!("outcome `{code}` is unknown")).hint("it is ok or error")),
        }
    }
}

/// One request to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Its run.
    pub run_id: RunId,
    /// The call's id, made by the caller: the same id again is the same call.
    pub call_id: CallId,
    /// Its step, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<StepId>,
    /// The agent that called; `""` takes the step's agent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// The provider as reported; `""` when unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// The model as reported.
    pub model: String,
    /// What was asked for: `chat`, `embeddings`, …
    #[serde(default = "chat")]
    pub operation: String,
    /// `standard`, `batch`, `flex`, `priority`, …
    #[serde(default = "standard")]
    pub service_tier: String,
    /// When the call was made.
    pub called_at: Timestamp,
    /// What it used; absent is unknown, which is not zero.
    #[serde(default)]
    pub usage: Option<TokenUsage>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// How it went.
    #[serde(default, skip_serializing_if = "is_ok")]
    pub outcome: Outcome,
    /// The provider's id of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// Names the pipeline of a run that may not have been started: the call then starts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// What was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Box<CallPrompt>>,
}

fn chat() -> String {
    "chat".to_owned()
}

fn standard() -> String {
    "standard".to_owned()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_ok(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ok)
}

/// A run finishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishRun {
    /// The run.
    pub run_id: RunId,
    /// How it ended; a final status.
    pub status: Status,
    /// When it ended; absent means now, or, of a finished run, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// A step finishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishStep {
    /// Its run.
    pub run_id: RunId,
    /// The step.
    pub step_id: StepId,
    /// How it ended; a final status.
    pub status: Status,
    /// When it ended; absent means now, or, of a finished step, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// Checks a run's labels against what the ledger takes.
pub(super) fn check_labels(labels: &BTreeMap<String, String>) -> Result<()> {
    if labels.len() > MAX_LABELS {
        return Err(Error::input(format!(
            "`labels` has {} entries; the limit is {MAX_LABELS}",
            labels.len()
        ))
        .hint("labels are words to find a run by; record what there is much of elsewhere"));
    }
    for (key, value) in labels {
        required_name("labels", key)?;
        optional_name(key, value)?;
    }
    Ok(())
}

impl StartRun {
    /// Checks names, labels and times against what the ledger takes; `now` is the reader's clock.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        required_name("pipeline", &self.pipeline)?;
        self.started_at.check("started_at", now)?;
        check_labels(&self.labels)?;
        for (field, other) in [("parent_run_id", self.parent_run_id), ("replay_of", self.replay_of)] {
            if other == Some(self.run_id) {
                return Err(Error::input(format!("`{field}` names the run itself")));
            }
        }
        Ok(())
    }
}

impl StartStep {
    /// Checks names, the attempt and times against what the ledger takes; `now` is the reader's clock.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        required_name("step", &self.step)?;
        optional_name("agent", &self.agent)?;
        if let Some(version) = &self.prompt_version {
            required_name("prompt_version", version)?;
        }
        if self.attempt == 0 || self.attempt > 10_000 {
            return Err(Error::input(format!(
                "`attempt` is {}; attempts count from 1 to 10000",
                self.attempt
            ))
            .hint("leave `attempt` out for the first"));
        }
        for (field, time) in [("started_at", self.started_at), ("completed_at", self.completed_at)] {
            time.map_or(Ok(()), |t| t.check(field, now))?;
        }
        Ok(())
    }
}

impl Call {
    /// Checks names, counts and times against what the ledger takes; `now` is the reader's clock.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        required_name("model", &self.model)?;
        required_name("operation", &self.operation)?;
        required_name("service_tier", &self.service_tier)?;
        optional_name("agent", &self.agent)?;
        optional_name("provider", &self.provider)?;
        if let Some(response_id) = &self.response_id {
            required_name("response_id", response_id)?;
        }
        if let Some(pipeline) = &self.pipeline {
            required_name("pipeline", pipeline)?;
        }
        self.called_at.check("called_at", now)?;
        if let Some(usage) = &self.usage {
            usage.check()?;
        }
        if let Some(prompt) = &self.prompt {
            prompt.check(now).map_err(|e| e.at("`prompt`"))?;
        }
        match self.latency_ms {
            Some(ms) if ms > MAX_LATENCY_MS => {
                Err(Error::input(format!("`latency_ms` is {ms}; the limit is {MAX_LATENCY_MS} (30 days)"))
                    .hint("is it in milliseconds?"))
            }
            _ => Ok(()),
        }
    }
}

impl Call {
    /// What was sent, which is recorded apart from the call.
    #[must_use]
    pub fn sent_prompt(&self) -> Option<SentPrompt> {
        let (run_id, call_id, step_id, sent_at) = (self.run_id, self.call_id, self.step_id, self.called_at);
        let prompt = *self.prompt.clone()?;
        Some(SentPrompt { run_id, call_id, step_id, sent_at, prompt })
    }
}

impl FinishRun {
    /// Checks that the status is a final one and the time is one the ledger takes.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        check_finish(self.status, self.completed_at, now)
    }
}

impl FinishStep {
    /// Checks that the status is a final one and the time is one the ledger takes.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        check_finish(self.status, self.completed_at, now)
    }
}

fn check_finish(status: Status, completed_at: Option<Timestamp>, now: Timestamp) -> Result<()> {
    if !status.is_final() {
        return Err(Error::input(format!("status `{status}` does not finish anything"))
            .hint("finish with succeeded, failed, cancelled or abandoned"));
    }
    completed_at.map_or(Ok(()), |t| t.check("completed_at", now))
}
