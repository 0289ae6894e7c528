//! Answers of every provider, and what is none.

mod random;

use crate::domain::{MAX_COUNT, TokenUsage};
use crate::error::{ErrorKind, Result};
use serde_json::{Map, Value, json};

type From = fn(&Value) -> Result<TokenUsage>;

fn otel(value: &Value) -> Result<TokenUsage> {
    TokenUsage::from_otel(value.as_object().unwrap_or(&Map::new()))
}

/// The counts that are not 0, in the kinds' order: input, cache read, write, long write, output, reasoning.
fn usage([input, cache_read, cache_write, cache_write_long, output, reasoning]: [u64; 6]) -> TokenUsage {
    TokenUsage {
        input,
        cache_read,
        cache_write,
        cache_write_long,
        output,
        reasoning,
        ..TokenUsage::default()
    }
}

fn embedding(embedding: u64) -> TokenUsage {
    TokenUsage { embedding, ..TokenUsage::default() }
}

fn assert_all(from: From, cases: &[(Value, TokenUsage)]) {
    for (reported, expected) in cases {
        assert_eq!(from(reported).unwrap(), *expected, "{reported}");
    }
}

/// Each is refused with a message that says `words` and a key, and with a hint.
fn assert_refused(from: From, cases: &[(Value, &str)]) {
    for (reported, words) in cases {
        let error = from(reported).expect_err(&reported.to_string());
        assert_eq!(error.kind(), ErrorKind::Input);
        let message = error.to_string();
        assert!(message.contains(words), "{message} does not say {words}");
        assert!(message.contains('`'), "{message}");
        assert!(error.next_step().is_some());
    }
}

#[test]
fn openai() {
    assert_all(
        TokenUsage::from_openai,
        &[
            // OpenAI's guide to prompt caching.
            (
                json!({"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
                    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
                        "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}),
                usage([86, 1920, 0, 0, 300, 0]),
            ),
            (
                json!({"input_tokens": 2600, "output_tokens": 50, "output_tokens_details": {"reasoning_tokens": 20},
                    "input_tokens_details": {"cached_tokens": 2000, "cache_write_tokens": 400}}),
                usage([200, 2000, 400, 0, 30, 20]),
            ),
            // OpenRouter's page on usage.
            (
                json!({"completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 0}, "cost": 0.95,
                    "cost_details": {"upstream_inference_cost": 19}, "prompt_tokens": 194, "total_tokens": 196,
                    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 100, "audio_tokens": 0}}),
                usage([94, 0, 100, 0, 2, 0]),
            ),
            // DeepSeek, of old and now.
            (
                json!({"prompt_tokens": 10, "completion_tokens": 11, "total_tokens": 21,
                    "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}),
                usage([6, 4, 0, 0, 11, 0]),
            ),
            (
                json!({"prompt_tokens": 214, "completion_tokens": 40, "total_tokens": 254,
                    "prompt_tokens_details": {"cached_tokens": 128}, "prompt_cache_hit_tokens": 128,
                    "prompt_cache_miss_tokens": 86, "completion_tokens_details": {"reasoning_tokens": 30}}),
                usage([86, 128, 0, 0, 10, 30]),
            ),
            // xAI: reasoning outside the completion, by the total.
            (
                json!({"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 133, "num_sources_used": 0,
                    "prompt_tokens_details": {"text_tokens": 30, "image_tokens": 0, "cached_tokens": 6},
                    "completion_tokens_details": {"reasoning_tokens": 94}}),
                usage([24, 6, 0, 0, 9, 94]),
            ),
            // Servers that fill what they do not know with null.
            (
                json!({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12,
                    "prompt_tokens_details": null, "completion_tokens_details": null}),
                usage([5, 0, 0, 0, 7, 0]),
            ),
            (json!({"prompt_tokens": 8, "total_tokens": 8}), embedding(8)),
            (json!({"prompt_tokens": 8, "total_tokens": 8, "completion_tokens": null}), embedding(8)),
        ],
    );
}

#[test]
fn openai_refuses() {
    let max = MAX_COUNT + 1;
    assert_refused(
        TokenUsage::from_openai,
        &[
            (Value::Null, "`usage` is null"),
            (json!([1]), "`usage` is an array"),
            (json!({}), "`prompt_tokens`"),
            (json!({"prompt_tokens": null, "total_tokens": 3}), "`prompt_tokens`"),
            (json!({"prompt_tokens": 3}), "`prompt_tokens` alone"),
            (json!({"prompt_tokens": 3, "total_tokens": 5}), "no `completion_tokens`"),
            (json!({"prompt_tokens": -1, "completion_tokens": 1}), "`prompt_tokens` is negative"),
            (json!({"prompt_tokens": 1, "completion_tokens": 1.5}), "`completion_tokens` is a fraction"),
            (json!({"prompt_tokens": "1", "completion_tokens": 1}), "`prompt_tokens` is a string"),
            (json!({"prompt_tokens": max, "completion_tokens": 1}), "`prompt_tokens` is more than"),
            (
                json!({"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": 3}),
                "`prompt_tokens_details` is a number",
            ),
            (
                json!({"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}),
                "`prompt_tokens_details.cached_tokens",
            ),
            (
                json!({"input_tokens": 1, "output_tokens": 1, "output_tokens_details": {"reasoning_tokens": 2}}),
                "`output_tokens_details.reasoning_tokens` 2 is larger than the `output_tokens` 1",
            ),
            (json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 9}), "`total_tokens` is 9"),
            (
                json!({"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 4,
                    "prompt_cache_miss_tokens": 5}),
                "`prompt_cache_miss_tokens` 5",
            ),
            (
                json!({"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 4,
                    "prompt_tokens_details": {"cached_tokens": 5}}),
                "`prompt_cache_hit_tokens`",
            ),
            (
                json!({"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"audio_tokens": 5}}),
                "no kind for it",
            ),
            // A transcript, and an image.
            (
                json!({"type": "tokens", "input_tokens": 14, "input_token_details": {"text_tokens": 0,
                    "audio_tokens": 14}, "output_tokens": 45, "total_tokens": 59}),
                "`input_token_details.audio_tokens` is 14",
            ),
            (
                json!({"input_tokens": 50, "output_tokens": 50, "total_tokens": 100,
                    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}),
                "`input_tokens_details.image_tokens` is 40",
            ),
            (json!({"type": "duration", "seconds": 3}), "neither"),
            (
                json!({"prompt_tokens": 1, "completion_tokens": 1, "num_sources_used": 4}),
                "`num_sources_used` is 4",
            ),
        ],
    );
}

#[test]
fn anthropic() {
    let searched = TokenUsage { web_searches: 1, ..usage([105, 7123, 7345, 0, 239, 0]) };
    assert_all(
        TokenUsage::from_anthropic,
        &[
            (json!({"input_tokens": 2095, "output_tokens": 503}), usage([2095, 0, 0, 0, 503, 0])),
            (
                json!({"input_tokens": 10, "cache_read_input_tokens": 50000, "cache_creation_input_tokens": 2000,
                    "cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500},
                    "output_tokens": 300, "service_tier": "standard", "server_tool_use": null,
                    "iterations": [{"type": "message", "input_tokens": 10, "output_tokens": 300}]}),
                usage([10, 50000, 1500, 500, 300, 0]),
            ),
            (
                json!({"input_tokens": 105, "output_tokens": 239, "cache_read_input_tokens": 7123,
                    "cache_creation_input_tokens": 7345, "server_tool_use": {"web_search_requests": 1,
                    "web_fetch_requests": 2}}),
                searched,
            ),
            (
                json!({"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4},
                    "cache_creation": {"ephemeral_1h_input_tokens": 3}}),
                usage([1, 0, 0, 3, 5, 4]),
            ),
        ],
    );
    assert_refused(
        TokenUsage::from_anthropic,
        &[
            (Value::Null, "null"),
            (json!({"cache_read_input_tokens": 3}), "`input_tokens`"),
            (json!({"input_tokens": 3, "output_tokens": true}), "`output_tokens` is a boolean"),
            (
                json!({"input_tokens": 3, "cache_creation_input_tokens": 4,
                    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2}}),
                "`cache_creation_input_tokens` 4",
            ),
            (
                json!({"input_tokens": 3, "output_tokens": 1, "output_tokens_details": {"thinking_tokens": 4}}),
                "`output_tokens_details.thinking_tokens` 4",
            ),
            // The documentation's example of a compaction.
            (
                json!({"input_tokens": 23000, "output_tokens": 1000, "iterations": [
                    {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
                    {"type": "message", "input_tokens": 23000, "output_tokens": 1000}]}),
                "`iterations`",
            ),
        ],
    );
}

#[test]
fn gemini() {
    assert_all(
        TokenUsage::from_gemini,
        &[
            (
                json!({"promptTokenCount": 500, "candidatesTokenCount": 120, "toolUsePromptTokenCount": 300,
                    "thoughtsTokenCount": 10, "totalTokenCount": 930, "cachedContentTokenCount": 400,
                    "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 500}]}),
                usage([400, 400, 0, 0, 120, 10]),
            ),
            (
                json!({"prompt_token_count": 80, "tool_use_prompt_token_count": 237, "candidates_token_count": 173,
                    "thoughts_token_count": 60, "total_token_count": 550, "cached_content_token_count": null}),
                usage([317, 0, 0, 0, 173, 60]),
            ),
            // Thoughts inside the candidates, by the total.
            (
                json!({"promptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 3,
                    "totalTokenCount": 12}),
                usage([5, 0, 0, 0, 4, 3]),
            ),
            (
                json!({"promptTokenCount": 5, "responseTokenCount": 7, "totalTokenCount": 12}),
                usage([5, 0, 0, 0, 7, 0]),
            ),
            // A refused prompt has no candidates.
            (json!({"promptTokenCount": 5, "totalTokenCount": 5}), usage([5, 0, 0, 0, 0, 0])),
        ],
    );
    assert_refused(
        TokenUsage::from_gemini,
        &[
            (json!({}), "`promptTokenCount`"),
            (
                json!({"promptTokenCount": 5, "cachedContentTokenCount": 6}),
                "`cachedContentTokenCount` 6 is larger",
            ),
            (
                json!({"promptTokenCount": 5, "candidatesTokenCount": 6, "totalTokenCount": 12}),
                "`totalTokenCount` is 12",
            ),
            (json!({"promptTokenCount": 5, "prompt_token_count": 6}), "`prompt_token_count`"),
            (json!({"promptTokenCount": 1.0}), "`promptTokenCount` is a fraction"),
        ],
    );
}

#[test]
fn bedrock() {
    assert_all(
        TokenUsage::from_bedrock,
        &[
            (
                json!({"inputTokens": 30, "outputTokens": 628, "totalTokens": 658}),
                usage([30, 0, 0, 0, 628, 0]),
            ),
            (
                json!({"inputTokens": 10, "outputTokens": 300, "totalTokens": 52310, "cacheReadInputTokens": 50000,
                    "cacheWriteInputTokens": 2000, "cacheDetails": [{"ttl": "1h", "inputTokens": 500},
                        {"ttl": "5m", "inputTokens": 1500}]}),
                usage([10, 50000, 1500, 500, 300, 0]),
            ),
            (
                json!({"inputTokens": 10, "outputTokens": 300, "totalTokens": 310, "cacheReadInputTokens": 5,
                    "cacheWriteInputTokens": 20, "cacheDetails": []}),
                usage([10, 5, 20, 0, 300, 0]),
            ),
            (json!({"embedding": [0.5], "inputTextTokenCount": 6}), embedding(6)),
        ],
    );
    assert_refused(
        TokenUsage::from_bedrock,
        &[
            (json!({"totalTokens": 4}), "`inputTokens`"),
            (json!({"inputTokens": 1, "outputTokens": 2, "totalTokens": 4}), "`totalTokens` is 4"),
            (
                json!({"inputTokens": 1, "cacheWriteInputTokens": 2,
                    "cacheDetails": [{"ttl": "1h", "inputTokens": 3}]}),
                "`cacheWriteInputTokens` 2",
            ),
            (
                json!({"inputTokens": 1, "cacheDetails": [{"ttl": "1d", "inputTokens": 3}]}),
                "`ttl` other than",
            ),
            (json!({"inputTokens": 1, "cacheDetails": {}}), "`cacheDetails` is an object"),
            (json!({"inputTokens": 1, "cacheDetails": [1]}), "`cacheDetails` is a number"),
            // Titan's texts, which are no embeddings.
            (json!({"inputTextTokenCount": 6, "results": [{"tokenCount": 3}]}), "`results`"),
        ],
    );
}

#[test]
fn opentelemetry() {
    let chat = usage([176, 1024, 0, 0, 64, 16]);
    assert_all(
        otel,
        &[
            // As the current instrumentations for OpenAI and for Anthropic send them.
            (
                json!({"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": "1200",
                    "gen_ai.usage.output_tokens": "80", "gen_ai.usage.cache_read.input_tokens": "1024",
                    "gen_ai.usage.reasoning.output_tokens": "16"}),
                chat,
            ),
            (
                json!({"gen_ai.operation.name": "chat", "gen_ai.request.max_tokens": "100",
                    "gen_ai.usage.input_tokens": "52010", "gen_ai.usage.cache_write.input_tokens": "2000",
                    "gen_ai.usage.cache_read.input_tokens": "50000", "gen_ai.usage.output_tokens": "300",
                    "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": "1500",
                    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": "500"}),
                usage([10, 50000, 1500, 500, 300, 0]),
            ),
            // Older names, and the same count by two of them.
            (
                json!({"gen_ai.usage.prompt_tokens": 1200, "gen_ai.usage.completion_tokens": 80,
                    "gen_ai.usage.input_tokens": "1200", "gen_ai.usage.reasoning_tokens": 16,
                    "gen_ai.usage.cache_creation.input_tokens": 1000}),
                usage([200, 0, 1000, 0, 64, 16]),
            ),
            // OpenInference.
            (
                json!({"llm.token_count.total": "1280", "llm.token_count.prompt": "1200",
                    "llm.token_count.completion": "80", "llm.token_count.prompt_details.cache_read": "1024",
                    "llm.token_count.prompt_details.audio": "0", "llm.token_count.completion_details.audio": "0",
                    "llm.token_count.completion_details.reasoning": "16", "openinference.span.kind": "LLM"}),
                chat,
            ),
            // The Vercel AI SDK.
            (
                json!({"ai.usage.inputTokens": 9191, "ai.usage.outputTokens": 93, "ai.usage.totalTokens": 9284,
                    "ai.usage.cachedInputTokens": 4429, "ai.usage.inputTokenDetails.cacheReadTokens": 4429,
                    "ai.usage.inputTokenDetails.cacheWriteTokens": 4761, "gen_ai.usage.input_tokens": 9191}),
                usage([1, 4429, 4761, 0, 93, 0]),
            ),
            (
                json!({"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": "42"}),
                embedding(42),
            ),
            (
                json!({"openinference.span.kind": "EMBEDDING", "llm.token_count.prompt": "42",
                    "llm.token_count.total": "42"}),
                embedding(42),
            ),
            (json!({"operation.name": "ai.embed.doEmbed", "ai.usage.tokens": 42}), embedding(42)),
        ],
    );
}

#[test]
fn opentelemetry_refuses() {
    let input = "gen_ai.usage.input_tokens";
    assert_refused(
        otel,
        &[
            (json!({"gen_ai.operation.name": "chat", "gen_ai.request.max_tokens": 3}), "neither"),
            (json!({input: 3, "gen_ai.usage.prompt_tokens": 4}), "the same count by another name"),
            (json!({input: "+3"}), "is a string"),
            (json!({input: ""}), "is empty"),
            (json!({input: "99999999999999999999"}), "too large"),
            (json!({input: {"intValue": "3"}}), "is an object"),
            (json!({input: 3, "gen_ai.usage.cache_read.input_tokens": 4}), "is larger than"),
            (
                json!({input: 3, "gen_ai.usage.output_tokens": 3, "gen_ai.usage.reasoning_tokens": 4}),
                "is larger than",
            ),
            (
                json!({input: 9, "gen_ai.usage.cache_write.input_tokens": 4,
                    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 3}),
                "ephemeral_1h",
            ),
            (json!({input: 9, "llm.token_count.prompt_details.audio": 1}), "no kind for it"),
            (
                json!({input: 9, "gen_ai.operation.name": "embeddings", "gen_ai.usage.output_tokens": 1}),
                "an embedding has only",
            ),
        ],
    );
}
