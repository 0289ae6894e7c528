//! Google's Gemini, of AI Studio and of Vertex AI.

use super::{Counts, check_within, is_reasoning_outside, refused, with_reasoning};
use crate::domain::TokenUsage;
use crate::error::Result;
use serde_json::Value;

// The REST API's spelling, and the Python SDK's.
const PROMPT: &[&str] = &["promptTokenCount", "prompt_token_count"];
const CACHED: &[&str] = &["cachedContentTokenCount", "cached_content_token_count"];
const TOOLS: &[&str] = &["toolUsePromptTokenCount", "tool_use_prompt_token_count"];
const THOUGHTS: &[&str] = &["thoughtsTokenCount", "thoughts_token_count"];
const TOTAL: &[&str] = &["totalTokenCount", "total_token_count"];
/// The Live API's name comes after the usual one.
const CANDIDATES: &[&str] =
    &["candidatesTokenCount", "candidates_token_count", "responseTokenCount", "response_token_count"];

impl TokenUsage {
    /// From the `usageMetadata` of Gemini's
    /// [`generateContent`](https://ai.google.dev/api/generate-content#UsageMetadata), in the API's `camelCase` or
    /// the Python SDK's `snake_case`.
    ///
    /// The cached content lies inside the prompt; what tools gave back lies outside of it, and is input. Thoughts
    /// lie outside the candidates; where a version of the API counted them inside, the total gives it away.
    ///
    /// ```
    /// use asmm::domain::TokenUsage;
    ///
    /// let usage = serde_json::json!({
    ///     "promptTokenCount": 80, "toolUsePromptTokenCount": 237, "candidatesTokenCount": 173,
    ///     "thoughtsTokenCount": 60, "totalTokenCount": 550,
    /// });
    /// let usage = TokenUsage::from_gemini(&usage)?;
    /// assert_eq!((usage.whole_input(), usage.output, usage.reasoning), (317, 173, 60));
    /// # Ok::<(), asmm::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no count, one is none, or they do not add up. Then the usage is unknown.
    pub fn from_gemini(usage: &Value) -> Result<Self> {
        const NAME: &str = "usageMetadata";
        let usage = Counts::of(usage, NAME)?;
        let (prompt, candidates) = (usage.find_any(PROMPT)?, usage.find_any(CANDIDATES)?);
        if prompt.is_none() && candidates.is_none() {
            return Err(refused(format!("`{NAME}` has neither `{}` nor `{}`", PROMPT[0], CANDIDATES[0])));
        }
        let (prompt, output) = (prompt.unwrap_or(0), candidates.unwrap_or(0));
        let read = usage.get_any(CACHED)?;
        check_within(CACHED[0], read, PROMPT[0], prompt)?;
        let input = prompt + usage.get_any(TOOLS)?;
        let reasoning = usage.get_any(THOUGHTS)?;
        let total = (TOTAL[0], usage.find_any(TOTAL)?);
        let is_outside = is_reasoning_outside(total, input, output, reasoning, true)?;
        if !is_outside {
            check_within(THOUGHTS[0], reasoning, CANDIDATES[0], output)?;
        }
        with_reasoning(input, read, 0, (output, reasoning), is_outside)
    }
}
