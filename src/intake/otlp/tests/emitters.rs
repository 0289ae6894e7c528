//! What single emitters make of their spans: read in their sources, where no body of theirs is recorded.

use super::{Spans, calls, of_spans, traces};
use crate::domain::{Call, TokenUsage};
use serde_json::{Value, json};

/// The one call of a span with these attributes, which that instrumentation tells of.
fn call_of(scope: &str, attributes: &Value) -> Call {
    let mut body = of_spans(&[json!({"attributes": attributes})]);
    body["resourceSpans"][0]["scopeSpans"][0]["scope"]["name"] = scope.into();
    let mut calls = calls(&traces(&body).spans);
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

fn beside(name: &str, scope: &str, of: (u64, u64), attributes: &Value) -> (String, Value) {
    let start = 1_795_370_000_000_000_000_u64;
    let span = json!({"name": name, "parentSpanId": "00000000000000aa", "attributes": attributes,
        "startTimeUnixNano": (start + of.0 * 1_000_000).to_string(), "endTimeUnixNano": (start + of.1 * 1_000_000).to_string()});
    (scope.to_owned(), span)
}

/// Spans of several instrumentations in one trace.
fn of_scopes(spans: Vec<(String, Value)>) -> Spans {
    let (scopes, spans): (Vec<String>, Vec<Value>) = spans.into_iter().unzip();
    let mut body = of_spans(&spans);
    let of_resource = &mut body["resourceSpans"][0];
    let spans = of_resource["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    let of_scopes = scopes.into_iter().zip(spans);
    of_resource["scopeSpans"] =
        of_scopes.map(|(name, span)| json!({"scope": {"name": name}, "spans": [span]})).collect();
    traces(&body)
}

#[test]
fn bedrock_tells_the_input_without_the_cache() {
    let expected =
        TokenUsage { input: 10, cache_read: 50_000, cache_write: 2000, output: 300, ..TokenUsage::default() };
    let botocore = call_of(
        "opentelemetry.instrumentation.botocore.bedrock-runtime",
        &json!({"gen_ai.operation.name": "chat", "gen_ai.system": "aws.bedrock", "gen_ai.request.model": "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_read.input_tokens": 50_000,
            "gen_ai.usage.cache_creation.input_tokens": 2000, "gen_ai.usage.output_tokens": 300}),
    );
    assert_eq!(botocore.usage, Some(expected));
    let vercel = call_of(
        "ai",
        &json!({"ai.operationId": "ai.streamText.doStream", "ai.model.provider": "amazon-bedrock", "ai.model.id": "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "ai.usage.inputTokens": 10, "ai.usage.outputTokens": 300, "ai.usage.totalTokens": 310, "ai.usage.cachedInputTokens": 50_000,
            "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 300,
            "ai.response.providerMetadata": "{\"bedrock\":{\"usage\":{\"cacheWriteInputTokens\":2000}}}"}),
    );
    assert_eq!(vercel.usage, Some(expected));
}

/// Counts that no call has are unknown, and stop nobody.
#[test]
fn counts_that_cannot_be_are_unknown() {
    let most = u64::MAX.to_string();
    let call = call_of(
        "ai",
        &json!({"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "anthropic.messages", "ai.model.id": "m",
            "ai.usage.inputTokens": most, "ai.usage.cachedInputTokens": most, "gen_ai.usage.input_tokens": most}),
    );
    assert_eq!(call.usage, None);
    for usage in [
        format!("{{'prompt_tokens_details': {{'cached_tokens': {most}}}}}"),
        "{'prompt_tokens_details': {'cached_tokens': 200}}".to_owned(),
    ] {
        let call = call_of(
            "litellm",
            &json!({"llm.request.type": "completion", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 100,
                "metadata.usage_object": usage}),
        );
        assert_eq!(call.usage, None);
    }
}

#[test]
fn frameworks_are_no_providers() {
    let call = call_of(
        "strands.telemetry.tracer",
        &json!({"gen_ai.operation.name": "chat", "gen_ai.system": "strands-agents", "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.usage.prompt_tokens": 52_010, "gen_ai.usage.input_tokens": 52_010, "gen_ai.usage.completion_tokens": 300,
            "gen_ai.usage.output_tokens": 300, "gen_ai.usage.total_tokens": 52_310,
            "gen_ai.usage.cache_read_input_tokens": 50_000, "gen_ai.usage.cache_write_input_tokens": 2000}),
    );
    let usage = call.usage.unwrap();
    assert_eq!(
        (call.provider.as_str(), usage.cache_read, usage.cache_write, usage.input),
        ("", 50_000, 2000, 10)
    );
    // Google's ADK, which does not say what a span is.
    let call = call_of(
        "gcp.vertex.agent",
        &json!({"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini-2.5-flash",
            "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}),
    );
    assert_eq!((call.provider.as_str(), call.model.as_str()), ("", "gemini-2.5-flash"));
    assert_eq!(call.usage.unwrap().input, 100);
    // Semantic Kernel has names of its own for what is asked.
    let call = call_of(
        "semantic_kernel.utils.telemetry.model_diagnostics.decorators",
        &json!({"gen_ai.operation.name": "chat.completions", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}),
    );
    assert_eq!((call.provider.as_str(), call.usage.unwrap().output), ("openai", 10));
}

#[test]
fn what_litellm_answers_itself_is_no_call() {
    let hit = |is_hit: bool| {
        of_spans(&[json!({"attributes": {"llm.request.type": "completion", "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10, "litellm.cache_hit": {"boolValue": is_hit}}})])
    };
    assert_eq!(calls(&traces(&hit(true)).spans).len(), 0);
    assert_eq!(calls(&traces(&hit(false)).spans).len(), 1);
}

#[test]
fn responses_inside_of_attributes_say_their_tier() {
    let openinference = call_of(
        "openinference.instrumentation.openai",
        &json!({"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 100,
            "output.value": "{\"id\":\"chatcmpl-1\",\"service_tier\":\"flex\"}"}),
    );
    assert_eq!(
        (openinference.response_id.as_deref(), openinference.service_tier.as_str()),
        (Some("chatcmpl-1"), "flex")
    );
    let vercel = call_of(
        "ai",
        &json!({"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "openai.responses", "ai.model.id": "gpt-4o",
            "ai.usage.inputTokens": 100, "ai.response.providerMetadata": "{\"openai\":{\"serviceTier\":\"priority\"}}"}),
    );
    assert_eq!(vercel.service_tier, "priority");
}

/// Two instrumentations beside each other, of which one names the response.
#[test]
fn calls_told_beside_each_other_are_counted_once() {
    let named = |id: &str| {
        json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.id": id, "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10})
    };
    let nameless = |input: u64| {
        json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": input, "gen_ai.usage.output_tokens": 10})
    };
    let count = |spans: Vec<(String, Value)>| calls(&of_scopes(spans).spans).len();
    let sdk = |id: &str, from, to| beside("sdk", "sdk", (from, to), &named(id));
    let framework = |input, from, to| beside("framework", "framework", (from, to), &nameless(input));
    assert_eq!(count(vec![framework(100, 0, 9), sdk("a", 1, 8)]), 1);
    // At once, and one after the other.
    let pairs = |shift: u64| {
        (0..40).flat_map(move |n| {
            let at = n * shift;
            [framework(100, at, at + 9), sdk(&format!("r{n}"), at + 1, at + 8)]
        })
    };
    assert_eq!(count(pairs(1).collect()), 40);
    assert_eq!(count(pairs(20).collect()), 40);
    // Another usage, another time, another model, the same instrumentation: another call.
    assert_eq!(count(vec![framework(101, 0, 9), sdk("a", 1, 8)]), 2);
    assert_eq!(count(vec![framework(100, 0, 9), sdk("a", 10, 12)]), 2);
    assert_eq!(count(vec![framework(100, 0, 9), framework(100, 1, 8)]), 2);
    let mut other = nameless(100);
    other["gen_ai.request.model"] = "gpt-4o-mini".into();
    assert_eq!(count(vec![beside("framework", "framework", (0, 9), &other), sdk("a", 1, 8)]), 2);
}
