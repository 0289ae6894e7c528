//! Calls and charges on their way out.

use super::call::{CallRow, RecordedCall};
use super::usage::UsageRow;
use super::{Filter, Store, on_pool};
use crate::domain::{Status, Timestamp, TokenUsage, Usd};
use crate::error::{Error, Result};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sqlx::FromRow;
use std::collections::BTreeMap;

#[derive(FromRow)]
struct Row {
    #[sqlx(flatten)]
    call: CallRow,
    pipeline: String,
}

/// Calls, one after the other; see [`Store::export_calls`].
pub struct ExportedCalls<'a>(BoxStream<'a, sqlx::Result<Row>>);

impl ExportedCalls<'_> {
    /// The next call, and the pipeline of its run; none after the last.
    ///
    /// # Errors
    /// When the ledger fails.
    pub async fn next(&mut self) -> Result<Option<(String, RecordedCall)>> {
        let Some(row) = self.0.next().await.transpose()? else { return Ok(None) };
        Ok(Some((row.pipeline, RecordedCall::try_from(row.call)?)))
    }
}

/// What calls used that are charged to the same things at the same price.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChargeKey {
    /// The pipeline.
    pub pipeline: String,
    /// The agent; `""` when calls had none.
    pub agent: String,
    /// The provider as reported; `""` when it was not.
    pub provider: String,
    /// The model as reported.
    pub model: String,
    /// The service tier.
    pub service_tier: String,
    /// The labels of the runs.
    pub labels: BTreeMap<String, String>,
    /// The price row; none when the calls have no price.
    pub price_id: Option<i64>,
}

/// The sums of the calls of one [`ChargeKey`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChargeTotals {
    /// Calls.
    pub calls: u64,
    /// What they used.
    pub usage: TokenUsage,
    /// What they cost.
    pub cost: Usd,
}

impl std::ops::AddAssign for ChargeTotals {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.usage.input += other.usage.input;
        self.usage.cache_read += other.usage.cache_read;
        self.usage.cache_write += other.usage.cache_write;
        self.usage.cache_write_long += other.usage.cache_write_long;
        self.usage.output += other.usage.output;
        self.usage.reasoning += other.usage.reasoning;
        self.usage.embedding += other.usage.embedding;
        self.usage.web_searches += other.usage.web_searches;
        self.cost += other.cost;
    }
}

#[derive(FromRow)]
struct ChargeRow {
    pipeline: String,
    agent: String,
    provider: String,
    model: String,
    service_tier: String,
    labels: String,
    price_id: Option<i64>,
    #[sqlx(try_from = "i64")]
    llm_calls: u64,
    #[sqlx(flatten)]
    usage: UsageRow,
    cost_pico: Usd,
}

impl Store {
    /// The calls made from `since` to `until` in order, with their pipelines, of one instant of the ledger. They are
    /// read as they are asked for.
    #[must_use]
    pub fn export_calls<'a>(
        &'a self,
        since: Timestamp,
        until: Timestamp,
        filter: &'a Filter,
    ) -> ExportedCalls<'a> {
        ExportedCalls(on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/call_export.sql"))
                .bind(since)
                .bind(until)
                .bind(&filter.pipeline)
                .bind(&filter.agent)
                .bind(&filter.provider)
                .bind(&filter.model)
                .bind(filter.status.map(Status::code))
                .fetch(pool)
        }))
    }

    /// What calls made from `since` to `until` used, by what they are charged to and at which price.
    pub async fn charges(
        &self,
        since: Timestamp,
        until: Timestamp,
        filter: &Filter,
    ) -> Result<BTreeMap<ChargeKey, ChargeTotals>> {
        let rows: Vec<ChargeRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/charge_list.sql"))
                .bind(since)
                .bind(until)
                .bind(&filter.pipeline)
                .bind(&filter.agent)
                .bind(&filter.provider)
                .bind(&filter.model)
                .bind(filter.status.map(Status::code))
                .fetch_all(pool)
                .await?
        });
        let mut charges: BTreeMap<ChargeKey, ChargeTotals> = BTreeMap::new();
        for row in rows {
            let labels = serde_json::from_str(&row.labels)
                .map_err(|error| Error::database(format!("the labels of a run are no JSON: {error}")))?;
            let key = ChargeKey {
                pipeline: row.pipeline,
                agent: row.agent,
                provider: row.provider,
                model: row.model,
                service_tier: row.service_tier,
                labels,
                price_id: row.price_id,
            };
            *charges.entry(key).or_default() +=
                ChargeTotals { calls: row.llm_calls, usage: row.usage.into(), cost: row.cost_pico };
        }
        Ok(charges)
    }
}
