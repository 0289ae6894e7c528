//! What attributes mean: one table for `OpenTelemetry`'s old and new names and its dialects.
//!
//! | field | names, the first that is there counts |
//! |---|---|
//! | is it a call? | `gen_ai.operation.name`, `openinference.span.kind`, `llm.request.type` (Traceloop), `ai.operationId` (Vercel), `langfuse.observation.type`, `mlflow.spanType`: see [`super::report`] |
//! | provider | [`PROVIDER`] |
//! | model | LangChain's in OpenInference's `output.value`, else [`MODEL`]; of what was asked [`ASKED_MODEL`] |
//! | response id | [`RESPONSE_ID`], else the `id` in OpenInference's `output.value` |
//! | service tier | [`SERVICE_TIER`] |
//! | usage | [`TokenUsage::from_otel`](crate::domain::TokenUsage::from_otel) |
//! | agent | [`AGENT`] |
//! | conversation | [`CONVERSATION`] |
//! | pipeline | [`PIPELINE`], else the resource's [`SERVICE`] |
//! | run, step, prompt version | [`RUN`], [`STEP`], [`PROMPT_VERSION`], on a span or its resource; SDKs copy them from baggage |

use super::proto::{KeyValue, Value};
use std::collections::HashMap;

pub(super) const PROVIDER: &[&str] =
    &["gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"];
pub(super) const MODEL: &[&str] = &[
    "gen_ai.response.model",
    "llm.response.model_name",
    "llm.response.model",
    "ai.response.model",
    "llm.model_name",
    "embedding.model_name",
    "langfuse.observation.model.name",
];
pub(super) const ASKED_MODEL: &[&str] = &[
    "gen_ai.request.model",
    "llm.request.model_name",
    "llm.request.model",
    "ai.model.id",
    "model_name",
    "gen_ai.model.name",
];
pub(super) const RESPONSE_ID: &[&str] =
    &["gen_ai.response.id", "ai.response.id", "llm.response.id", "gen_ai.openai.response.id"];
pub(super) const SERVICE_TIER: &[&str] = &[
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "anthropic.response.service_tier",
    "gen_ai.response.service_tier",
    "openai.request.service_tier",
    "gen_ai.openai.request.service_tier",
];
pub(super) const AGENT: &[&str] =
    &["asmm.agent", "gen_ai.agent.name", "agent.name", "agent_name", "ai.telemetry.functionId"];
pub(super) const CONVERSATION: &[&str] = &[
    "gen_ai.conversation.id",
    "session.id",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
    "ai.telemetry.metadata.sessionId",
];
pub(super) const PIPELINE: &[&str] = &["asmm.pipeline", "asmm-pipeline"];
pub(super) const SERVICE: &[&str] = &["service.name"];
pub(super) const RUN: &[&str] =
    &["asmm.run.id", "asmm-run-id", "asmm.run_id", "baggage.asmm-run-id", "baggage.asmm.run.id"];
pub(super) const STEP: &[&str] =
    &["asmm.step.id", "asmm-step-id", "asmm.step_id", "baggage.asmm-step-id", "baggage.asmm.step.id"];
pub(super) const PROMPT_VERSION: &[&str] = &[
    "asmm.prompt.version",
    "asmm-prompt-version",
    "baggage.asmm-prompt-version",
    "baggage.asmm.prompt.version",
];

/// What names begin with that are never read, though there may be thousands of them: texts.
const TEXTS: &[&str] = &[
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.input",
    "gen_ai.output",
    "gen_ai.tool",
    "llm.input_messages",
    "llm.output_messages",
    "llm.prompts",
    "llm.completions",
    "llm.tools",
    "embedding.embeddings",
    "input.",
];

/// The attributes of a span that say something about calls.
pub(super) struct Attributes<'a> {
    by_key: HashMap<&'a str, &'a Value>,
}

impl<'a> Attributes<'a> {
    pub fn new(attributes: &'a [KeyValue]) -> Self {
        let said = attributes.iter().filter_map(|attribute| {
            let value = attribute.value.as_ref()?.value.as_ref()?;
            Some((attribute.key.as_str(), value))
        });
        let said = said.filter(|(key, _)| !TEXTS.iter().any(|text| key.starts_with(text)));
        Self { by_key: said.collect() }
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.by_key.get(key).copied()
    }

    pub fn has(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }

    /// The text under the first of `keys` that has one.
    pub fn text(&self, keys: &[&str]) -> Option<&'a str> {
        keys.iter().find_map(|key| match self.get(key) {
            Some(Value::Text(text)) if !text.trim().is_empty() => Some(text.as_str()),
            _ => None,
        })
    }

    /// A count, also as a string or a double.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
    pub fn count(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::Double(number) if number.fract() == 0.0 && (0.0..1e15).contains(number) => {
                Some(*number as u64)
            }
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + '_ {
        self.by_key.iter().map(|(key, value)| (*key, *value))
    }
}
