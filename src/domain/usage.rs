//! Token usage in one normal form: disjoint kinds that add up.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The most of one kind that one call may report: 10^9. More is a mistake of unit or of sign.
pub const MAX_COUNT: u64 = 1_000_000_000;

/// What one call used. The kinds are disjoint: no token is counted in two of them.
///
/// Providers disagree on what "input tokens" includes; the conversion is done once, where data enters: by
/// [`from_openai`](TokenUsage::from_openai), [`from_anthropic`](TokenUsage::from_anthropic),
/// [`from_gemini`](TokenUsage::from_gemini), [`from_bedrock`](TokenUsage::from_bedrock) or
/// [`from_otel`](TokenUsage::from_otel) for what those answer, else with [`TokenUsage::from_inclusive`] or by
/// filling the fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenUsage {
    /// Prompt tokens neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens served from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache at the provider's short lifetime.
    pub cache_write: u64,
    /// Prompt tokens written to a cache at the provider's long lifetime (Anthropic 1 h, OpenAI 12 h).
    pub cache_write_long: u64,
    /// Generated tokens other than reasoning.
    pub output: u64,
    /// Reasoning tokens.
    pub reasoning: u64,
    /// Tokens embedded.
    pub embedding: u64,
    /// Billed web searches; requests, not tokens.
    pub web_searches: u64,
}

/// A kind of usage, with its name in columns and JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenKind {
    /// [`TokenUsage::input`]
    Input,
    /// [`TokenUsage::cache_read`]
    CacheRead,
    /// [`TokenUsage::cache_write`]
    CacheWrite,
    /// [`TokenUsage::cache_write_long`]
    CacheWriteLong,
    /// [`TokenUsage::output`]
    Output,
    /// [`TokenUsage::reasoning`]
    Reasoning,
    /// [`TokenUsage::embedding`]
    Embedding,
    /// [`TokenUsage::web_searches`]
    WebSearches,
}

impl TokenKind {
    /// Every kind, in the order of the columns.
    pub const ALL: [TokenKind; 8] = [
        TokenKind::Input,
        TokenKind::CacheRead,
        TokenKind::CacheWrite,
        TokenKind::CacheWriteLong,
        TokenKind::Output,
        TokenKind::Reasoning,
        TokenKind::Embedding,
        TokenKind::WebSearches,
    ];

    /// The kind's name in the native format's `usage` object.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TokenKind::Input => "input",
            TokenKind::CacheRead => "cache_read",
            TokenKind::CacheWrite => "cache_write",
            TokenKind::CacheWriteLong => "cache_write_long",
            TokenKind::Output => "output",
            TokenKind::Reasoning => "reasoning",
            TokenKind::Embedding => "embedding",
            TokenKind::WebSearches => "web_searches",
        }
    }
}

impl TokenUsage {
    /// How much of `kind` was used.
    #[must_use]
    pub const fn of(&self, kind: TokenKind) -> u64 {
        match kind {
            TokenKind::Input => self.input,
            TokenKind::CacheRead => self.cache_read,
            TokenKind::CacheWrite => self.cache_write,
            TokenKind::CacheWriteLong => self.cache_write_long,
            TokenKind::Output => self.output,
            TokenKind::Reasoning => self.reasoning,
            TokenKind::Embedding => self.embedding,
            TokenKind::WebSearches => self.web_searches,
        }
    }

    /// The ledger's `llm_tokens_input`: the whole prompt. Also what a price's context threshold looks at.
    #[must_use]
    pub const fn whole_input(&self) -> u64 {
        self.input + self.cache_read + self.cache_write + self.cache_write_long
    }

    /// The ledger's `llm_tokens_output`: everything generated.
    #[must_use]
    pub const fn whole_output(&self) -> u64 {
        self.output + self.reasoning
    }

    /// From counts as `OpenAI` and OpenTelemetry report them: cache kinds inside `input`, reasoning inside
    /// `output`.
    ///
    /// # Errors
    /// When a part is larger than the whole that should include it.
    pub fn from_inclusive(
        input: u64,
        cache_read: u64,
        cache_write: u64,
        output: u64,
        reasoning: u64,
    ) -> Result<Self> {
        let too_large = |part: &str, of: u64, whole: &str, total: u64| {
            Error::input(format!("`{part}` {of} is larger than the `{whole}` {total} that includes it"))
                .hint("does this source count the cache outside of its input? then fill the kinds one by one")
        };
        let cached = cache_read.saturating_add(cache_write);
        let fresh = input
            .checked_sub(cached)
            .ok_or_else(|| too_large("cache_read + cache_write", cached, "input", input))?;
        let written = output
            .checked_sub(reasoning)
            .ok_or_else(|| too_large("reasoning", reasoning, "output", output))?;
        Ok(Self { input: fresh, cache_read, cache_write, output: written, reasoning, ..Self::default() })
    }

    /// Checks that every count is at most [`MAX_COUNT`].
    pub fn check(&self) -> Result<()> {
        for kind in TokenKind::ALL {
            let count = self.of(kind);
            if count > MAX_COUNT {
                return Err(Error::input(format!(
                    "usage `{}` is {count}; one call has at most {MAX_COUNT} of a kind",
                    kind.name()
                ))
                .hint("record one call per request to the model, not a sum over many"));
            }
        }
        Ok(())
    }
}
