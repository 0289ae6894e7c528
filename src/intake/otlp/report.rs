//! Whether a span reports a call, and what it says about it.

use super::attributes::{AGENT, ASKED_MODEL, Attributes, MODEL, PROVIDER, RESPONSE_ID, SERVICE_TIER};
use super::inside::{self, ProviderMetadata};
use super::proto::Value;
use crate::domain::{Report, TokenUsage, as_name};
use serde_json::{Map, Number};
use std::borrow::Cow;

/// What a span is to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A call to a model.
    Call,
    /// It repeats calls inside of it; a call only if it has usage, and nothing inside tells of one.
    Outer,
    /// Agents, workflows, tools, retrievals: their usage, if they tell one, is that of calls inside.
    Other,
}

/// `gen_ai.operation.name` of what is not a call to a model.
const NO_CALLS: &[&str] = &[
    "invoke_agent",
    "create_agent",
    "execute_tool",
    "invoke_workflow",
    "handoff",
    "retrieval",
    "search_memory",
    "create_memory",
    "update_memory",
    "delete_memory",
];

/// What frameworks call themselves where a provider is to be named: whose the model is they do not say.
const FRAMEWORKS: &[&str] = &[
    "strands-agents",
    "gcp.vertex.agent",
    "langchain",
    "langgraph",
    "llama_index",
    "crewai",
    "semantic_kernel",
];

/// Vercel's spans around its `.do…` ones.
const VERCEL_OUTER: &[&str] =
    &["ai.generateText", "ai.streamText", "ai.generateObject", "ai.streamObject", "ai.embed", "ai.embedMany"];

/// Its report, if the span is a call or may be one.
pub(super) fn of_span(
    attributes: &Attributes<'_>,
    name: &str,
    scope: &str,
    unknown_usage: &mut u64,
) -> Option<Report> {
    let role = role(attributes);
    if role == Role::Other {
        return None;
    }
    let metadata = ProviderMetadata::of(attributes);
    let provider_usage = metadata.anthropic_usage().filter(|_| role == Role::Call);
    let usage = match provider_usage.or_else(|| usage(attributes, scope, &metadata)) {
        Some(Ok(usage)) => Some(usage),
        Some(Err(_)) => {
            *unknown_usage += 1;
            None
        }
        None => None,
    };
    if role == Role::Outer && usage.is_none() {
        return None;
    }
    let response = inside::response(attributes);
    let service_tier = response.service_tier.or_else(|| metadata.service_tier());
    let response_id = attributes.text(RESPONSE_ID).and_then(as_name).or(response.id);
    let word = |keys: &[&str]| attributes.text(keys).and_then(as_name).unwrap_or_default();
    let asked_model = attributes.text(ASKED_MODEL).map(Cow::from).or_else(|| inside::asked_model(attributes));
    Some(Report {
        provider: provider(attributes),
        model: response.model.unwrap_or_else(|| word(MODEL)),
        asked_model: asked_model.as_deref().and_then(as_name).unwrap_or_default(),
        operation: operation(attributes, name),
        service_tier: self::service_tier(attributes, service_tier),
        response_id,
        usage,
        is_outer: role == Role::Outer,
        ..Report::default()
    })
}

fn role(attributes: &Attributes<'_>) -> Role {
    if let Some(role) = role_said(attributes) {
        return role;
    }
    // It does not say what it is: usage around of calls, or of one.
    let has_usage = attributes.iter().any(|(key, _)| is_count(key));
    if !has_usage {
        return Role::Other;
    }
    let names_model = attributes.text(MODEL).or_else(|| attributes.text(ASKED_MODEL)).is_some();
    if names_model && attributes.text(RESPONSE_ID).is_some() { Role::Call } else { Role::Outer }
}

fn role_said(attributes: &Attributes<'_>) -> Option<Role> {
    // Answered from LiteLLM's own cache: nobody was asked.
    if matches!(attributes.get("litellm.cache_hit"), Some(Value::Bool(true))) {
        return Some(Role::Other);
    }
    if let Some(kind) = attributes.text(&["openinference.span.kind"]) {
        return Some(match kind.to_ascii_uppercase().as_str() {
            "LLM" | "EMBEDDING" => Role::Call,
            _ => Role::Other,
        });
    }
    // Traceloop's: its calls have a type, its workflows, tasks and agents a kind.
    if attributes.text(&["llm.request.type"]).is_some() {
        return Some(Role::Call);
    }
    if attributes.text(&["traceloop.span.kind"]).is_some() {
        return Some(Role::Other);
    }
    if let Some(operation) = attributes.text(&["ai.operationId"]) {
        return Some(match operation {
            outer if VERCEL_OUTER.contains(&outer) => Role::Outer,
            inner if inner.rsplit('.').next().is_some_and(|last| last.starts_with("do")) => Role::Call,
            _ => Role::Other,
        });
    }
    if let Some(kind) = attributes.text(&["langfuse.observation.type"]) {
        return Some(match kind {
            "generation" | "embedding" => Role::Call,
            _ => Role::Other,
        });
    }
    if let Some(kind) = attributes.text(&["mlflow.spanType"]) {
        return Some(match kind.trim_matches('"') {
            "LLM" | "CHAT_MODEL" | "EMBEDDING" => Role::Call,
            _ => Role::Other,
        });
    }
    let operation = attributes.text(&["gen_ai.operation.name"])?.to_ascii_lowercase();
    if NO_CALLS.contains(&operation.as_str()) {
        return Some(Role::Other);
    }
    let is_known = matches!(
        operation.as_str(),
        "chat"
            | "text_completion"
            | "completion"
            | "generate_content"
            | "embeddings"
            | "responses"
            | "messages"
    );
    // One that is not known is a call if it says what calls say.
    let says_model = || attributes.text(MODEL).or_else(|| attributes.text(ASKED_MODEL)).is_some();
    Some(if is_known || says_model() { Role::Call } else { Role::Other })
}

fn is_count(key: &str) -> bool {
    key.starts_with("gen_ai.usage.")
        || key.starts_with("llm.token_count.")
        || key.starts_with("ai.usage.")
        || key == "mlflow.chat.tokenUsage"
}

/// What it used; none if it says nothing about that.
fn usage(
    attributes: &Attributes<'_>,
    scope: &str,
    metadata: &ProviderMetadata,
) -> Option<crate::Result<TokenUsage>> {
    let mut counts = Map::new();
    for (key, value) in attributes.iter() {
        let is_split = key.starts_with("anthropic.usage.cache_creation.");
        if !is_count(key) && !is_split {
            continue;
        }
        match value {
            Value::Double(_) => {
                if let Some(count) = attributes.count(key) {
                    counts.insert(key.to_owned(), count.into());
                }
            }
            Value::Int(number) => {
                counts.insert(key.to_owned(), Number::from(*number).into());
            }
            Value::Text(text) if key == "mlflow.chat.tokenUsage" => inside::take_mlflow(text, &mut counts),
            Value::Text(text) => {
                counts.insert(key.to_owned(), text.trim().into());
            }
            _ => {}
        }
    }
    if !counts.keys().any(|key| is_count(key)) {
        return None;
    }
    // LiteLLM's, which may be on a span of the application's: it writes what it knows onto the one that is open.
    if let Some(text) = attributes.text(&["metadata.usage_object"]) {
        inside::take_litellm(text, &mut counts);
    }
    add_cache_outside(attributes, scope, metadata, &mut counts);
    for key in ["gen_ai.operation.name", "openinference.span.kind"] {
        if let Some(text) = attributes.text(&[key]) {
            counts.insert(key.to_owned(), text.into());
        }
    }
    if attributes.text(&["llm.request.type"]) == Some("embedding") {
        counts.insert("gen_ai.operation.name".to_owned(), "embeddings".into());
    }
    let usage = TokenUsage::from_otel(&counts).map(|usage| TokenUsage {
        web_searches: attributes.count("anthropic.usage.server_tool_use.web_search_requests").unwrap_or(0),
        ..usage
    });
    Some(usage)
}

/// The input of those who tell it as Anthropic and Bedrock do, without the cache: the Vercel AI SDK before its version 6, and
/// `OpenTelemetry`'s instrumentation of botocore.
fn add_cache_outside(
    attributes: &Attributes<'_>,
    scope: &str,
    metadata: &ProviderMetadata,
    counts: &mut Map<String, serde_json::Value>,
) {
    let provider = provider(attributes);
    let is_old_vercel = scope == "ai"
        && (provider.starts_with("anthropic") || provider.starts_with("amazon-bedrock"))
        && !attributes.iter().any(|(key, _)| key.starts_with("ai.usage.inputTokenDetails."));
    let is_botocore = scope.starts_with("opentelemetry.instrumentation.botocore");
    if !is_old_vercel && !is_botocore {
        return;
    }
    let count = |key: &str| attributes.count(key).unwrap_or(0);
    let written = metadata.bedrock_cache_writes();
    if written > 0 {
        counts.insert("ai.usage.inputTokenDetails.cacheWriteTokens".to_owned(), written.into());
    }
    let outside = [
        count("ai.usage.cachedInputTokens"),
        written,
        count("gen_ai.usage.cache_read.input_tokens"),
        count("gen_ai.usage.cache_creation.input_tokens"),
    ];
    for key in [
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
    ] {
        if let Some(input) = attributes.count(key) {
            counts.insert(key.to_owned(), outside.iter().fold(input, |sum, n| sum.saturating_add(*n)).into());
        }
    }
    // It no longer adds up.
    counts.remove("ai.usage.totalTokens");
    counts.remove("gen_ai.usage.total_tokens");
}

/// The provider in lower case. Vercel's have the API behind a dot: `openai.responses`. `LiteLLM` names some only before a model.
fn provider(attributes: &Attributes<'_>) -> String {
    let before_model = || {
        let (provider, _) = attributes.text(&["litellm.provider.model"])?.split_once('/')?;
        as_name(provider)
    };
    let Some(text) = attributes.text(PROVIDER).and_then(as_name).or_else(before_model) else {
        return String::new();
    };
    let lower = text.to_ascii_lowercase();
    let of_vercel = attributes.text(&["ai.model.provider"]).is_some();
    match lower.split_once('.') {
        _ if FRAMEWORKS.contains(&lower.as_str()) => String::new(),
        Some((first, _)) if of_vercel => first.to_owned(),
        _ => lower,
    }
}

fn operation(attributes: &Attributes<'_>, name: &str) -> String {
    match attributes.text(&["gen_ai.operation.name"]).and_then(as_name) {
        // LiteLLM's.
        Some(operation) if operation == "embedding" => return "embeddings".to_owned(),
        Some(operation) => return operation,
        None => {}
    }
    let is_embedding = attributes
        .text(&["openinference.span.kind"])
        .is_some_and(|kind| kind.eq_ignore_ascii_case("embedding"))
        || attributes.text(&["llm.request.type"]) == Some("embedding")
        || attributes.text(&["ai.operationId"]).is_some_and(|id| id.starts_with("ai.embed"))
        || attributes.has("ai.usage.tokens")
        || name.starts_with("embeddings");
    if is_embedding { "embeddings" } else { "chat" }.to_owned()
}

/// The tier in the ledger's words; providers call the usual one `default`.
fn service_tier(attributes: &Attributes<'_>, said_inside: Option<String>) -> String {
    let tier = attributes.text(SERVICE_TIER).and_then(as_name).or(said_inside).unwrap_or_default();
    let tier = tier.to_ascii_lowercase();
    if matches!(tier.as_str(), "default" | "auto" | "standard") { String::new() } else { tier }
}

/// Who does it, if the span says so.
pub(super) fn agent(attributes: &Attributes<'_>, name: &str) -> Option<String> {
    if let Some(agent) = attributes.text(AGENT) {
        return as_name(agent);
    }
    if let Some(agent) = inside::agent(attributes) {
        return Some(agent);
    }
    let is_agent = |key: &str| attributes.text(&[key]).is_some_and(|kind| kind.eq_ignore_ascii_case("agent"));
    if is_agent("traceloop.span.kind") {
        return attributes.text(&["traceloop.entity.name"]).and_then(as_name);
    }
    if is_agent("openinference.span.kind") || is_agent("langfuse.observation.type") {
        return as_name(name);
    }
    let invokes = attributes.text(&["gen_ai.operation.name"]) == Some("invoke_agent");
    name.strip_prefix("invoke_agent ").filter(|_| invokes).and_then(as_name)
}
