//! Runs and steps as the ledger answers them, and their totals.

use crate::domain::{RunId, Status, StepId, Timestamp, TokenUsage, Usd};
use serde::Deserialize;
use sqlx::FromRow;
use std::collections::BTreeMap;

/// Sums over calls. The token counts may be larger than one call's limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow, Deserialize)]
pub struct Totals {
    /// Calls recorded.
    #[sqlx(try_from = "i64")]
    pub llm_calls: u64,
    /// Calls without a known price; they are in no cost.
    #[sqlx(try_from = "i64")]
    pub unpriced_calls: u64,
    #[sqlx(try_from = "i64")]
    /// Prompt tokens neither read from nor written to a cache.
    pub input_tokens: u64,
    #[sqlx(try_from = "i64")]
    /// Prompt tokens served from a cache.
    pub cache_read_tokens: u64,
    #[sqlx(try_from = "i64")]
    /// Prompt tokens written to a cache at the short lifetime.
    pub cache_write_tokens: u64,
    #[sqlx(try_from = "i64")]
    /// Prompt tokens written to a cache at the long lifetime.
    pub cache_write_long_tokens: u64,
    #[sqlx(try_from = "i64")]
    /// Generated tokens other than reasoning.
    pub output_tokens: u64,
    #[sqlx(try_from = "i64")]
    /// Reasoning tokens.
    pub reasoning_tokens: u64,
    #[sqlx(try_from = "i64")]
    /// Tokens embedded.
    pub embedding_tokens: u64,
    #[sqlx(try_from = "i64")]
    /// Billed web searches.
    pub web_searches: u64,
    #[sqlx(rename = "cost_pico")]
    #[serde(rename = "estimated_cost_usd")]
    /// What the priced calls cost.
    pub cost: Usd,
}

impl Totals {
    /// `llm_tokens_input`: the whole prompts.
    #[must_use]
    pub const fn llm_tokens_input(&self) -> u64 {
        self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.cache_write_long_tokens
    }

    /// `llm_tokens_output`: everything generated.
    #[must_use]
    pub const fn llm_tokens_output(&self) -> u64 {
        self.output_tokens + self.reasoning_tokens
    }

    /// Adds one call.
    pub(crate) fn add_call(&mut self, usage: Option<&TokenUsage>, cost: Option<Usd>) {
        let usage = usage.copied().unwrap_or_default();
        *self += Totals {
            llm_calls: 1,
            unpriced_calls: u64::from(cost.is_none()),
            input_tokens: usage.input,
            cache_read_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
            cache_write_long_tokens: usage.cache_write_long,
            output_tokens: usage.output,
            reasoning_tokens: usage.reasoning,
            embedding_tokens: usage.embedding,
            web_searches: usage.web_searches,
            cost: cost.unwrap_or_default(),
        };
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.llm_calls += other.llm_calls;
        self.unpriced_calls += other.unpriced_calls;
        self.input_tokens += other.input_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.cache_write_long_tokens += other.cache_write_long_tokens;
        self.output_tokens += other.output_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
        self.embedding_tokens += other.embedding_tokens;
        self.web_searches += other.web_searches;
        self.cost += other.cost;
    }
}

/// A run with the totals of its calls. Its JSON form is what the Postgres functions answer.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Deserialize)]
pub struct Run {
    /// Its id.
    pub run_id: RunId,
    /// Its pipeline.
    pub pipeline: String,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub status: Status,
    /// Words to find it by.
    #[sqlx(json)]
    pub labels: BTreeMap<String, String>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// When its cost was last made final.
    pub costed_at: Option<Timestamp>,
    /// The run that started it.
    pub parent_run_id: Option<RunId>,
    /// The run whose prompts it sent again.
    pub replay_of: Option<RunId>,
    /// The sums of its calls.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub totals: Totals,
}

/// A step of a run. Its JSON form is what the Postgres functions answer.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Deserialize)]
pub struct Step {
    /// Its run.
    pub run_id: RunId,
    /// Its id.
    pub step_id: StepId,
    /// Its name.
    pub step: String,
    /// Its agent; `""` when it has none.
    pub agent: String,
    /// Which attempt it is, from 1.
    #[sqlx(try_from = "i32")]
    pub attempt: u32,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub status: Status,
    /// The prompt version it used, as `name@7`.
    pub prompt_version: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// What became of a batch of calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Calls recorded now.
    pub recorded: u64,
    /// Calls that were recorded before, with the same contents.
    pub duplicate: u64,
    /// Calls whose id is recorded with other contents; not applied.
    pub conflict: Vec<(RunId, crate::domain::CallId)>,
    /// Of the calls recorded now, those without a known price.
    pub unpriced: u64,
}

impl std::ops::AddAssign for Recorded {
    fn add_assign(&mut self, other: Self) {
        self.recorded += other.recorded;
        self.duplicate += other.duplicate;
        self.conflict.extend(other.conflict);
        self.unpriced += other.unpriced;
    }
}
