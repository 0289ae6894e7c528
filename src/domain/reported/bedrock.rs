//! Amazon Bedrock.

use super::{Counts, kind_of, refused};
use crate::domain::TokenUsage;
use crate::error::Result;
use serde_json::Value;

impl TokenUsage {
    /// From the `usage` object of Bedrock's
    /// [Converse](https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html), or the
    /// answer of a [Titan embedding](https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html)
    /// (`inputTextTokenCount`).
    ///
    /// The [cache kinds](https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html) lie beside the
    /// input; `cacheDetails` splits the writes by lifetime.
    ///
    /// ```
    /// use asmm::domain::TokenUsage;
    ///
    /// let usage = serde_json::json!({
    ///     "inputTokens": 10, "outputTokens": 300, "totalTokens": 52_310,
    ///     "cacheReadInputTokens": 50_000, "cacheWriteInputTokens": 2000,
    ///     "cacheDetails": [{"ttl": "1h", "inputTokens": 500}, {"ttl": "5m", "inputTokens": 1500}],
    /// });
    /// let usage = TokenUsage::from_bedrock(&usage)?;
    /// assert_eq!((usage.input, usage.cache_read), (10, 50_000));
    /// assert_eq!((usage.cache_write, usage.cache_write_long), (1500, 500));
    /// # Ok::<(), asmm::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no count, one is none, or they do not add up. Then the usage is unknown.
    pub fn from_bedrock(usage: &Value) -> Result<Self> {
        const NAME: &str = "usage";
        let usage = Counts::of(usage, NAME)?;
        usage.with_any_of(NAME, &["inputTokens", "outputTokens", "inputTextTokenCount"])?;
        if let Some(embedding) = usage.find("inputTextTokenCount")? {
            return titan(usage, embedding);
        }
        let input = usage.get("inputTokens")?;
        let output = usage.get("outputTokens")?;
        let cache_read = usage.get("cacheReadInputTokens")?;
        let (cache_write, cache_write_long) = cache_writes(usage)?;
        let usage_of_kinds =
            Self { input, cache_read, cache_write, cache_write_long, output, ..Self::default() };
        // The total is documented without the cache, and answered with it.
        if let Some(total) = usage.find("totalTokens")?
            && total != input + output
            && total != usage_of_kinds.whole_input() + output
        {
            return Err(refused(format!(
                "`totalTokens` is {total}, the sum of neither `inputTokens` {input} and `outputTokens` {output} \
                 nor these and the cache's"
            )));
        }
        usage_of_kinds.check()?;
        Ok(usage_of_kinds)
    }
}

/// Titan's embeddings. Titan's texts have the same key for their prompt, and other prices.
fn titan(usage: Counts<'_>, embedding: u64) -> Result<TokenUsage> {
    for key in ["results", "totalOutputTextTokenCount", "inputTokens", "outputTokens"] {
        if usage.value(key).is_some() {
            return Err(refused(format!("`inputTextTokenCount` with `{key}` is no answer of an embedding")));
        }
    }
    Ok(TokenUsage { embedding, ..TokenUsage::default() })
}

/// Writes at the short and at the long lifetime.
fn cache_writes(usage: Counts<'_>) -> Result<(u64, u64)> {
    let total = usage.find("cacheWriteInputTokens")?;
    let details = match usage.value("cacheDetails") {
        None => return Ok((total.unwrap_or(0), 0)),
        Some(Value::Array(details)) if details.is_empty() => return Ok((total.unwrap_or(0), 0)),
        Some(Value::Array(details)) => details,
        Some(other) => return Err(refused(format!("`cacheDetails` is {}, not an array", kind_of(other)))),
    };
    let (mut short, mut long) = (0_u64, 0_u64);
    for detail in details {
        let count = Counts::of(detail, "cacheDetails")?.get("inputTokens")?;
        match detail.get("ttl").and_then(Value::as_str) {
            Some("5m") => short = short.saturating_add(count),
            Some("1h") => long = long.saturating_add(count),
            _ => {
                return Err(refused(
                    "`cacheDetails` has a `ttl` other than `5m` and `1h`, and the ledger has no kind for it"
                        .into(),
                ));
            }
        }
    }
    match total {
        Some(total) if total != short.saturating_add(long) => Err(refused(format!(
            "`cacheDetails` has {short} tokens for 5 minutes and {long} for an hour, which are not the \
             `cacheWriteInputTokens` {total}"
        ))),
        _ => Ok((short, long)),
    }
}
