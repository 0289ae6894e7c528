//! Calls as the journal holds them.

use crate::domain::{Call, CallId, Outcome, RunId, StepId, Timestamp, TokenUsage, Usd};
use crate::error::Error;
use crate::pricing::PricingState;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

/// A call with its price.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedCall {
    /// The call; its agent is resolved, and it names no pipeline.
    pub call: Call,
    /// How its cost came to be.
    pub pricing_state: PricingState,
    /// Its cost; unknown when unpriced.
    pub cost: Option<Usd>,
    /// The `model_price` row that priced it.
    pub price_id: Option<i64>,
}

/// A row of `llm_call`. Its serde form, by the columns' names, is what an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallRow {
    pub run_id: RunId,
    pub call_id: CallId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step_id: Option<StepId>,
    agent: String,
    provider: String,
    model: String,
    operation: String,
    service_tier: String,
    called_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input_tokens: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_read_tokens: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_write_long_tokens: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output_tokens: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reasoning_tokens: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedding_tokens: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    web_searches: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_ms: Option<i64>,
    #[sqlx(try_from = "String")]
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_id: Option<String>,
    #[sqlx(try_from = "String")]
    pricing_state: PricingState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost_pico: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price_id: Option<i64>,
}

impl TryFrom<CallRow> for RecordedCall {
    type Error = Error;

    fn try_from(row: CallRow) -> Result<Self, Error> {
        let count = |stored: Option<i32>| stored.and_then(|n| u64::try_from(n).ok());
        let usage = match row.input_tokens {
            None => None,
            Some(_) => Some(TokenUsage {
                input: count(row.input_tokens).unwrap_or_default(),
                cache_read: count(row.cache_read_tokens).unwrap_or_default(),
                cache_write: count(row.cache_write_tokens).unwrap_or_default(),
                cache_write_long: count(row.cache_write_long_tokens).unwrap_or_default(),
                output: count(row.output_tokens).unwrap_or_default(),
                reasoning: count(row.reasoning_tokens).unwrap_or_default(),
                embedding: count(row.embedding_tokens).unwrap_or_default(),
                web_searches: count(row.web_searches).unwrap_or_default(),
            }),
        };
        Ok(RecordedCall {
            call: Call {
                run_id: row.run_id,
                call_id: row.call_id,
                step_id: row.step_id,
                agent: row.agent,
                provider: row.provider,
                model: row.model,
                operation: row.operation,
                service_tier: row.service_tier,
                called_at: row.called_at,
                usage,
                latency_ms: row.latency_ms.and_then(|ms| u64::try_from(ms).ok()),
                outcome: row.outcome,
                response_id: row.response_id,
                pipeline: None,
                prompt: None,
            },
            pricing_state: row.pricing_state,
            cost: row.cost_pico.map(|pico| Usd::from_pico(i128::from(pico))),
            price_id: row.price_id,
        })
    }
}
