//! What only JSON inside of an attribute says: whole responses, and what SDKs keep beside their own counts.

use super::attributes::Attributes;
use crate::domain::{TokenUsage, as_name};
use crate::error::Result;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A response, as far as it is of interest.
#[derive(Default)]
pub(super) struct Response {
    pub id: Option<String>,
    /// The model that answered, where the span names the one that was asked.
    pub model: Option<String>,
    pub service_tier: Option<String>,
}

/// Of a provider's response, or of what `LangChain` makes of it.
#[derive(Default, Deserialize)]
struct Output<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    generations: Vec<Vec<Generation<'a>>>,
}

#[derive(Default, Deserialize)]
struct Generation<'a> {
    #[serde(borrow, default)]
    message: Message<'a>,
}

#[derive(Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    kwargs: Arguments<'a>,
}

#[derive(Default, Deserialize)]
struct Arguments<'a> {
    #[serde(borrow, default)]
    response_metadata: ResponseMetadata<'a>,
}

#[derive(Default, Deserialize)]
struct ResponseMetadata<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'a, str>>,
}

/// `OpenInference` writes the whole response into one attribute; nothing else says its id and its tier. Of `LangChain`'s streams
/// its `llm.model_name` is what was asked, and what answered is only there too.
pub(super) fn response(attributes: &Attributes<'_>) -> Response {
    if !attributes.has("openinference.span.kind") {
        return Response::default();
    }
    let Some(text) = attributes.text(&["output.value"]) else { return Response::default() };
    let Ok(output) = serde_json::from_str::<Output<'_>>(text) else { return Response::default() };
    let inner = output.generations.into_iter().flatten().next().unwrap_or_default().message.kwargs;
    let inner = inner.response_metadata;
    let name = |text: Option<Cow<'_, str>>| text.as_deref().and_then(as_name);
    Response {
        id: name(output.id.or(inner.id)),
        model: name(inner.model_name),
        service_tier: name(output.service_tier.or(inner.service_tier)),
    }
}

/// The agent that `LangChain` names in what `OpenInference` calls metadata.
pub(super) fn agent(attributes: &Attributes<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        lc_agent_name: Option<Cow<'a, str>>,
    }
    if !attributes.has("openinference.span.kind") {
        return None;
    }
    let metadata: Metadata<'_> = serde_json::from_str(attributes.text(&["metadata"])?).ok()?;
    metadata.lc_agent_name.as_deref().and_then(as_name)
}

/// The model that was asked, of a request that failed.
pub(super) fn asked_model<'a>(attributes: &Attributes<'a>) -> Option<Cow<'a, str>> {
    #[derive(Deserialize)]
    struct Parameters<'a> {
        #[serde(borrow)]
        model: Option<Cow<'a, str>>,
    }
    let text = attributes.text(&["llm.invocation_parameters", "embedding.invocation_parameters"])?;
    serde_json::from_str::<Parameters<'_>>(text).ok()?.model
}

/// What the Vercel AI SDK keeps of a provider's own words.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ProviderMetadata {
    anthropic: OfProvider,
    bedrock: OfProvider,
    openai: OfProvider,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OfProvider {
    usage: Option<Value>,
    service_tier: Option<String>,
}

impl ProviderMetadata {
    pub fn of(attributes: &Attributes<'_>) -> Self {
        let text = attributes.text(&["ai.response.providerMetadata"]);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Anthropic's own counts: before its version 6 the SDK left the cache out of its own.
    pub fn anthropic_usage(&self) -> Option<Result<TokenUsage>> {
        self.anthropic.usage.as_ref().map(TokenUsage::from_anthropic)
    }

    pub fn bedrock_cache_writes(&self) -> u64 {
        let usage = self.bedrock.usage.as_ref();
        usage.and_then(|usage| usage.get("cacheWriteInputTokens")?.as_u64()).unwrap_or(0)
    }

    pub fn service_tier(&self) -> Option<String> {
        let of_anthropic = || self.anthropic.usage.as_ref()?.get("service_tier")?.as_str();
        self.openai.service_tier.as_deref().or_else(of_anthropic).and_then(as_name)
    }
}

/// The counts that `MLflow` writes as one text.
pub(super) fn take_mlflow(text: &str, counts: &mut Map<String, Value>) {
    #[derive(Deserialize)]
    #[expect(clippy::struct_field_names, reason = "the names in the attribute")]
    struct Usage {
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
        cache_read_input_tokens: Option<u64>,
        cache_creation_input_tokens: Option<u64>,
    }
    let Ok(usage) = serde_json::from_str::<Usage>(text) else { return };
    for (key, count) in [
        ("gen_ai.usage.input_tokens", usage.input_tokens),
        ("gen_ai.usage.output_tokens", usage.output_tokens),
        ("gen_ai.usage.cache_read_input_tokens", usage.cache_read_input_tokens),
        ("gen_ai.usage.cache_creation_input_tokens", usage.cache_creation_input_tokens),
    ] {
        if let Some(count) = count {
            counts.entry(key).or_insert(count.into());
        }
    }
}

/// The longest text of `LiteLLM`'s counts that is read, in bytes.
const MAX_LITELLM_BYTES: usize = 16 << 10;

/// What `LiteLLM` says of caches and reasoning: only in one text, as Python writes it.
pub(super) fn take_litellm(text: &str, counts: &mut Map<String, Value>) {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Usage {
        prompt_tokens_details: Option<Prompt>,
        completion_tokens_details: Option<Completion>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Prompt {
        cached_tokens: Option<u64>,
        cache_creation_tokens: Option<u64>,
        audio_tokens: Option<u64>,
        cache_creation_token_details: Option<Lifetimes>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Lifetimes {
        ephemeral_5m_input_tokens: Option<u64>,
        ephemeral_1h_input_tokens: Option<u64>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Completion {
        reasoning_tokens: Option<u64>,
        audio_tokens: Option<u64>,
    }
    if text.len() > MAX_LITELLM_BYTES {
        return;
    }
    let json =
        text.replace('\'', "\"").replace("None", "null").replace("True", "true").replace("False", "false");
    let Ok(usage) = serde_json::from_str::<Usage>(&json) else { return };
    let prompt = usage.prompt_tokens_details.unwrap_or_default();
    let completion = usage.completion_tokens_details.unwrap_or_default();
    let lifetimes = prompt.cache_creation_token_details.unwrap_or_default();
    for (key, count) in [
        ("gen_ai.usage.cache_read.input_tokens", prompt.cached_tokens),
        ("gen_ai.usage.cache_creation.input_tokens", prompt.cache_creation_tokens),
        ("anthropic.usage.cache_creation.ephemeral_5m_input_tokens", lifetimes.ephemeral_5m_input_tokens),
        ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens", lifetimes.ephemeral_1h_input_tokens),
        ("gen_ai.usage.reasoning.output_tokens", completion.reasoning_tokens),
        ("llm.token_count.prompt_details.audio", prompt.audio_tokens),
        ("llm.token_count.completion_details.audio", completion.audio_tokens),
    ] {
        if let Some(count) = count {
            counts.entry(key).or_insert(count.into());
        }
    }
}
