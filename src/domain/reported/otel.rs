//! The attributes of `OpenTelemetry`'s spans about generative AI, and of its dialects.

use super::{Counts, check_within, is_reasoning_outside, refused, with_reasoning};
use crate::domain::TokenUsage;
use crate::error::Result;
use serde_json::{Map, Value};

// In each: OpenTelemetry's names, the newest first; Strands' and pydantic-ai's; Sentry's; OpenInference's; the Vercel AI SDK's.
const INPUT: &[&str] = &[
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "ai.usage.inputTokens",
    "ai.usage.promptTokens",
    "ai.usage.tokens",
];
const OUTPUT: &[&str] = &[
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "ai.usage.outputTokens",
    "ai.usage.completionTokens",
];
const CACHE_READ: &[&str] = &[
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_tokens.cached",
    "llm.token_count.prompt_details.cache_read",
    "ai.usage.cachedInputTokens",
    "ai.usage.inputTokenDetails.cacheReadTokens",
];
const CACHE_WRITE: &[&str] = &[
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.input_tokens.cache_write",
    "llm.token_count.prompt_details.cache_write",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
];
const CACHE_WRITE_SHORT: &str = "anthropic.usage.cache_creation.ephemeral_5m_input_tokens";
const CACHE_WRITE_LONG: &str = "anthropic.usage.cache_creation.ephemeral_1h_input_tokens";
/// What pydantic-ai says of them, and nothing of the others.
const CACHE_WRITE_LONG_ALONE: &str = "gen_ai.usage.details.ephemeral_1h_input_tokens";
const REASONING: &[&str] = &[
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.details.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
    "ai.usage.reasoningTokens",
    "ai.usage.outputTokenDetails.reasoningTokens",
];
const TOTAL: &[&str] = &["gen_ai.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens"];
const AUDIO: &[&str] = &[
    "llm.token_count.prompt_details.audio",
    "llm.token_count.completion_details.audio",
    "gen_ai.usage.details.audio_tokens",
    "gen_ai.usage.details.input_audio_tokens",
    "gen_ai.usage.details.output_audio_tokens",
];

impl TokenUsage {
    /// From the attributes of a span: [OpenTelemetry's](https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/)
    /// by their new and old names, [Sentry's](https://develop.sentry.dev/sdk/telemetry/traces/modules/ai-agents/),
    /// [OpenInference's](https://arize-ai.github.io/openinference/spec/semantic_conventions.html) and
    /// [the Vercel AI SDK's](https://ai-sdk.dev/docs/ai-sdk-core/telemetry). A count is a number or, as in OTLP's
    /// JSON, a string of digits.
    ///
    /// The cache kinds lie inside the input and reasoning inside the output, unless a total gives it away. The
    /// span of an embedding gives embedded tokens.
    ///
    /// Whether a span is a call is the caller's to know: some instrumentations repeat the usage on agents' spans.
    ///
    /// ```
    /// use asmm::domain::TokenUsage;
    ///
    /// let attributes = serde_json::json!({
    ///     "gen_ai.operation.name": "chat",
    ///     "gen_ai.usage.input_tokens": "1200", "gen_ai.usage.cache_read.input_tokens": "1024",
    ///     "gen_ai.usage.output_tokens": "80", "gen_ai.usage.reasoning.output_tokens": "16",
    /// });
    /// let usage = TokenUsage::from_otel(attributes.as_object().expect("it is one"))?;
    /// assert_eq!((usage.input, usage.cache_read), (176, 1024));
    /// assert_eq!((usage.output, usage.reasoning), (64, 16));
    /// # Ok::<(), asmm::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no count, one is none, two names for one count disagree, the counts do not add up, or some
    /// were for audio, which the ledger has no kind for. Then the usage is unknown.
    pub fn from_otel(attributes: &Map<String, Value>) -> Result<Self> {
        let counts = Counts::of_attributes(attributes);
        let (input, output) = (counts.find_any(INPUT)?, counts.find_any(OUTPUT)?);
        if input.is_none() && output.is_none() {
            return Err(refused(format!("the span has neither `{}` nor `{}`", INPUT[0], OUTPUT[0])));
        }
        counts.without(AUDIO)?;
        let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
        let total = (TOTAL[0], counts.find_any(TOTAL)?);
        let reasoning = counts.get_any(REASONING)?;
        let is_outside = is_reasoning_outside(total, input, output, reasoning, false)?;
        if !is_outside {
            check_within(REASONING[0], reasoning, OUTPUT[0], output)?;
        }
        let (read, write, long) = cache(counts, input)?;
        if is_embedding(counts) {
            if output + reasoning + read + write > 0 {
                return Err(refused(format!("an embedding has only `{}`", INPUT[0])));
            }
            return Ok(Self { embedding: input, ..Self::default() });
        }
        let usage = with_reasoning(input, read, write, (output, reasoning), is_outside)?;
        Ok(Self { cache_write: write.saturating_sub(long), cache_write_long: long, ..usage })
    }
}

/// Tokens read from the cache, written to it, and of these at the long lifetime.
fn cache(counts: Counts<'_>, input: u64) -> Result<(u64, u64, u64)> {
    let read = counts.get_any(CACHE_READ)?;
    let (short, long) = (counts.find(CACHE_WRITE_SHORT)?, counts.find(CACHE_WRITE_LONG)?);
    let split = short.or(long).map(|_| short.unwrap_or(0) + long.unwrap_or(0));
    let total = counts.find_any(CACHE_WRITE)?;
    if let (Some(split), Some(total)) = (split, total)
        && split != total
    {
        return Err(refused(format!(
            "`{CACHE_WRITE_SHORT}` and `{CACHE_WRITE_LONG}` are {split}, and `{}` {total}",
            CACHE_WRITE[0]
        )));
    }
    let write = total.or(split).unwrap_or(0);
    check_within(format_args!("{}` + `{}", CACHE_READ[0], CACHE_WRITE[0]), read + write, INPUT[0], input)?;
    let long = if split.is_some() { long.unwrap_or(0) } else { counts.get(CACHE_WRITE_LONG_ALONE)? };
    check_within(CACHE_WRITE_LONG_ALONE, long, CACHE_WRITE[0], write)?;
    Ok((read, write, long))
}

/// `ai.usage.tokens` is on spans of embeddings only.
fn is_embedding(counts: Counts<'_>) -> bool {
    let says = |key: &str, word: &str| {
        counts.value(key).and_then(Value::as_str).is_some_and(|text| text.eq_ignore_ascii_case(word))
    };
    says("gen_ai.operation.name", "embeddings")
        || says("openinference.span.kind", "embedding")
        || counts.value("ai.usage.tokens").is_some()
}
