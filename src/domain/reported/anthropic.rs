//! Anthropic's Messages.

use super::{Counts, check_within, refused};
use crate::domain::TokenUsage;
use crate::error::Result;
use serde_json::Value;

impl TokenUsage {
    /// From the `usage` object of Anthropic's [Messages](https://platform.claude.com/docs/en/api/messages).
    ///
    /// The [cache kinds](https://platform.claude.com/docs/en/build-with-claude/prompt-caching) lie beside the
    /// input; `cache_creation` splits the writes by lifetime. Thinking lies inside the output.
    ///
    /// ```
    /// use asmm::domain::TokenUsage;
    ///
    /// let usage = serde_json::json!({
    ///     "input_tokens": 10, "output_tokens": 300, "cache_read_input_tokens": 50_000,
    ///     "cache_creation_input_tokens": 2000,
    ///     "cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500},
    /// });
    /// let usage = TokenUsage::from_anthropic(&usage)?;
    /// assert_eq!((usage.cache_write, usage.cache_write_long), (1500, 500));
    /// assert_eq!(usage.whole_input(), 52_010);
    /// # Ok::<(), asmm::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no count, one is none, they do not add up, or the counts leave out a step that is billed
    /// besides: a [compaction](https://platform.claude.com/docs/en/build-with-claude/compaction), or an advisor
    /// of another model. Then the usage is unknown.
    pub fn from_anthropic(usage: &Value) -> Result<Self> {
        const NAME: &str = "usage";
        let usage = Counts::of(usage, NAME)?;
        usage.with_any_of(NAME, &["input_tokens", "output_tokens"])?;
        check_steps(usage)?;
        let (cache_write, cache_write_long) = cache_writes(usage)?;
        let output = usage.get("output_tokens")?;
        let details = usage.inner(&["output_tokens_details"])?;
        let reasoning = details.get("thinking_tokens")?;
        check_within(details.path("thinking_tokens"), reasoning, "output_tokens", output)?;
        let usage = Self {
            input: usage.get("input_tokens")?,
            cache_read: usage.get("cache_read_input_tokens")?,
            cache_write,
            cache_write_long,
            output: output.saturating_sub(reasoning),
            reasoning,
            web_searches: usage.inner(&["server_tool_use"])?.get("web_search_requests")?,
            ..Self::default()
        };
        usage.check()?;
        Ok(usage)
    }
}

/// Writes at the short and at the long lifetime.
fn cache_writes(usage: Counts<'_>) -> Result<(u64, u64)> {
    let total = usage.find("cache_creation_input_tokens")?;
    let split = usage.inner(&["cache_creation"])?;
    let short = split.find("ephemeral_5m_input_tokens")?;
    let long = split.find("ephemeral_1h_input_tokens")?;
    if short.is_none() && long.is_none() {
        return Ok((total.unwrap_or(0), 0));
    }
    let (short, long) = (short.unwrap_or(0), long.unwrap_or(0));
    match total {
        Some(total) if total != short + long => Err(refused(format!(
            "`cache_creation` has {short} tokens for 5 minutes and {long} for an hour, which are not the \
             `cache_creation_input_tokens` {total}"
        ))),
        _ => Ok((short, long)),
    }
}

/// The counts are the sum of the steps of type `message`. The others are billed too, and those of an advisor at
/// another model's price; a sum over steps would also cross a price's context threshold that no step crossed.
fn check_steps(usage: Counts<'_>) -> Result<()> {
    let steps = usage.value("iterations").and_then(Value::as_array);
    for step in steps.into_iter().flatten() {
        if step.get("type").is_some_and(|kind| kind != "message") {
            return Err(refused(
                "`iterations` has a step other than `message`, which the other counts leave out, and the ledger \
                 has no kind for it"
                    .into(),
            ));
        }
    }
    Ok(())
}
