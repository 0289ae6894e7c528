//! `OpenAI` and the many servers that answer in its format.

use super::{Counts, check_within, is_reasoning_outside, refused, with_reasoning};
use crate::domain::TokenUsage;
use crate::error::Result;
use serde_json::Value;

/// What the counts are called.
struct Names {
    input: &'static str,
    output: &'static str,
    input_details: &'static [&'static str],
    output_details: &'static [&'static str],
    /// Parts of the input that have prices of their own.
    unpriced_input: &'static [&'static str],
}

const CHAT: Names = Names {
    input: "prompt_tokens",
    output: "completion_tokens",
    input_details: &["prompt_tokens_details"],
    output_details: &["completion_tokens_details"],
    unpriced_input: &["audio_tokens"],
};

/// Also of images and of transcripts, which spell the details in the singular.
const RESPONSES: Names = Names {
    input: "input_tokens",
    output: "output_tokens",
    input_details: &["input_tokens_details", "input_token_details"],
    output_details: &["output_tokens_details", "output_token_details"],
    unpriced_input: &["audio_tokens", "image_tokens"],
};

/// Tokens written to the cache: `OpenAI`'s and `OpenRouter`'s name, and `LiteLLM`'s.
const CACHE_WRITE: &[&str] = &["cache_write_tokens", "cache_creation_tokens"];

impl TokenUsage {
    /// From the `usage` object of an `OpenAI` API:
    /// [Chat Completions](https://platform.openai.com/docs/api-reference/chat/object),
    /// [Responses](https://platform.openai.com/docs/api-reference/responses/object) or
    /// [Embeddings](https://platform.openai.com/docs/api-reference/embeddings/object), also as
    /// [DeepSeek](https://api-docs.deepseek.com/api/create-chat-completion) (`prompt_cache_hit_tokens`),
    /// [OpenRouter](https://openrouter.ai/docs/use-cases/usage-accounting) and other compatible servers answer it.
    ///
    /// [Cache reads and writes](https://platform.openai.com/docs/guides/prompt-caching) lie inside the input, and
    /// reasoning inside the output, except on xAI, which `total_tokens` gives away. A prompt and a total without
    /// a completion count is an embedding.
    ///
    /// ```
    /// use asmm::domain::TokenUsage;
    ///
    /// let usage = serde_json::json!({
    ///     "prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
    ///     "prompt_tokens_details": {"cached_tokens": 1920},
    ///     "completion_tokens_details": {"reasoning_tokens": 120},
    /// });
    /// let usage = TokenUsage::from_openai(&usage)?;
    /// assert_eq!((usage.input, usage.cache_read), (86, 1920));
    /// assert_eq!((usage.output, usage.reasoning), (180, 120));
    /// # Ok::<(), asmm::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no count, one is none, they do not add up, or some were for audio, images or live search,
    /// which the ledger has no kind for. Then the usage is unknown.
    pub fn from_openai(usage: &Value) -> Result<Self> {
        let usage = Counts::of(usage, "usage")?;
        usage.with_any_of("usage", &[CHAT.input, CHAT.output, RESPONSES.input, RESPONSES.output])?;
        let is_chat = usage.find(CHAT.input)?.or(usage.find(CHAT.output)?).is_some();
        let names = if is_chat { &CHAT } else { &RESPONSES };
        let (asked, said) = (usage.inner(names.input_details)?, usage.inner(names.output_details)?);
        asked.without(names.unpriced_input)?;
        said.without(&["audio_tokens", "image_tokens"])?;
        // xAI's, a fee a source.
        usage.without(&["num_sources_used"])?;

        let input = usage.get(names.input)?;
        let total = usage.find("total_tokens")?;
        let output = usage.find(names.output)?;
        if is_chat && output.is_none() {
            return embedding(input, total);
        }
        let output = output.unwrap_or(0);
        let read = cache_read(usage, asked, input)?;
        let write = asked.get_any(CACHE_WRITE)?;
        check_within(
            format_args!("{}` + `{}", asked.path("cached_tokens"), asked.path(CACHE_WRITE[0])),
            read + write,
            names.input,
            input,
        )?;
        let reasoning = said.get("reasoning_tokens")?;
        let is_outside = is_reasoning_outside(("total_tokens", total), input, output, reasoning, false)?;
        if !is_outside {
            check_within(said.path("reasoning_tokens"), reasoning, names.output, output)?;
        }
        with_reasoning(input, read, write, (output, reasoning), is_outside)
    }
}

/// An embedding, if the total says that there was nothing but a prompt. Without a total it may as well be half an
/// answer, at another price.
fn embedding(input: u64, total: Option<u64>) -> Result<TokenUsage> {
    match total {
        Some(total) if total == input => Ok(TokenUsage { embedding: input, ..TokenUsage::default() }),
        Some(total) => Err(refused(format!(
            "`total_tokens` is {total}, `prompt_tokens` {input}, and there is no `completion_tokens`"
        ))),
        None => Err(refused(
            "`usage` has `prompt_tokens` alone: with `completion_tokens` it were an answer, with `total_tokens` an \
             embedding"
                .into(),
        )),
    }
}

/// `DeepSeek` says its hits in a place of its own, and sometimes in `OpenAI`'s too.
fn cache_read(usage: Counts<'_>, asked: Counts<'_>, input: u64) -> Result<u64> {
    let cached = asked.get("cached_tokens")?;
    let hit = usage.get("prompt_cache_hit_tokens")?;
    if cached > 0 && hit > 0 && cached != hit {
        return Err(refused(format!(
            "`{}` is {cached} and `prompt_cache_hit_tokens`, the same count by another name, {hit}",
            asked.path("cached_tokens")
        )));
    }
    if let Some(miss) = usage.find("prompt_cache_miss_tokens")?
        && cached.max(hit) + miss != input
    {
        return Err(refused(format!(
            "`prompt_cache_hit_tokens` {hit} and `prompt_cache_miss_tokens` {miss} are not the whole prompt of {input}"
        )));
    }
    Ok(cached.max(hit))
}
