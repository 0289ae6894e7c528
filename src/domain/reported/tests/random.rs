//! Any value, and any counts.

use super::{From, otel, usage};
use crate::domain::{MAX_COUNT, TokenUsage};
use crate::error::ErrorKind;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Values that are counts more often than not, in objects whose keys the constructors look at.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        8 => (0_u64..50).prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => "[0-9a-z+-]{0,3}".prop_map(Value::from),
        1 => Just(json!("5m")),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 48, 8, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            6 => prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), inner, 0..10)
                .prop_map(|map| Value::Object(map.into_iter().map(|(key, v)| (key.to_owned(), v)).collect())),
        ]
    })
}

const KEYS: &[&str] = &[
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens",
    "input_tokens",
    "output_tokens",
    "input_tokens_details",
    "output_tokens_details",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
    "server_tool_use",
    "web_search_requests",
    "iterations",
    "promptTokenCount",
    "candidatesTokenCount",
    "cachedContentTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "totalTokenCount",
    "inputTokens",
    "outputTokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "cacheDetails",
    "ttl",
    "inputTextTokenCount",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
    "gen_ai.usage.reasoning_tokens",
];

proptest! {
    /// Whatever an endpoint answers, it is usage that the ledger holds, or an error.
    #[test]
    fn no_value_panics(value in values()) {
        let all: [From; 5] = [
            TokenUsage::from_openai,
            TokenUsage::from_anthropic,
            TokenUsage::from_gemini,
            TokenUsage::from_bedrock,
            otel,
        ];
        for from in all {
            match from(&value) {
                Ok(usage) => prop_assert!(usage.check().is_ok()),
                Err(error) => prop_assert!(error.kind() == ErrorKind::Input && error.next_step().is_some()),
            }
        }
    }

    /// No token is lost or counted twice between the providers' totals and the ledger's.
    #[test]
    fn totals_are_the_providers(parts in prop::array::uniform6(0..MAX_COUNT / 4)) {
        let [input, read, short, long, output, reasoning] = parts;
        let (write, written) = (short + long, output + reasoning);
        let whole = input + read + write;
        let inclusive = json!({"prompt_tokens": whole, "completion_tokens": written,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": write},
            "completion_tokens_details": {"reasoning_tokens": reasoning}});
        prop_assert_eq!(TokenUsage::from_openai(&inclusive).unwrap(), usage([input, read, write, 0, output, reasoning]));

        let anthropic = json!({"input_tokens": input, "cache_read_input_tokens": read, "output_tokens": written,
            "cache_creation_input_tokens": write, "output_tokens_details": {"thinking_tokens": reasoning},
            "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}});
        prop_assert_eq!(TokenUsage::from_anthropic(&anthropic).unwrap(), usage(parts));

        let gemini = json!({"promptTokenCount": input + read, "cachedContentTokenCount": read,
            "toolUsePromptTokenCount": short, "candidatesTokenCount": output, "thoughtsTokenCount": reasoning});
        let gemini = TokenUsage::from_gemini(&gemini).unwrap();
        prop_assert_eq!((gemini.whole_input(), gemini.whole_output()), (input + read + short, written));

        let bedrock = json!({"inputTokens": input, "cacheReadInputTokens": read, "cacheWriteInputTokens": write,
            "outputTokens": written,
            "cacheDetails": [{"ttl": "5m", "inputTokens": short}, {"ttl": "1h", "inputTokens": long}]});
        prop_assert_eq!(TokenUsage::from_bedrock(&bedrock).unwrap(), usage([input, read, short, long, written, 0]));

        let span = json!({"gen_ai.usage.input_tokens": whole.to_string(), "gen_ai.usage.output_tokens": written,
            "gen_ai.usage.cache_read.input_tokens": read, "gen_ai.usage.reasoning.output_tokens": reasoning,
            "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": short,
            "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": long});
        prop_assert_eq!(otel(&span).unwrap(), usage(parts));
    }
}
