//! Spend by day, pipeline, agent and model.

use super::{Store, Totals, on_pool};
use crate::domain::{Status, Window};
use crate::error::Result;
use chrono::{Days, NaiveDate};
use sqlx::FromRow;
use std::collections::BTreeMap;

/// Which dimensions a report tells apart.
#[expect(clippy::struct_excessive_bools, reason = "the four are independent, and the query takes each")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpendBy {
    /// The local day.
    pub day: bool,
    /// The pipeline.
    pub pipeline: bool,
    /// The agent.
    pub agent: bool,
    /// The model, with its provider.
    pub model: bool,
}

/// What a report looks at; `None` is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this pipeline.
    pub pipeline: Option<String>,
    /// Only this agent.
    pub agent: Option<String>,
    /// Only this provider.
    pub provider: Option<String>,
    /// Only this model.
    pub model: Option<String>,
    /// Only runs with this status.
    pub status: Option<Status>,
}

/// What tells one row of a report from the others; absent dimensions are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpendKey {
    /// The local day.
    pub day: Option<NaiveDate>,
    /// The pipeline.
    pub pipeline: Option<String>,
    /// The agent; `""` when calls had none.
    pub agent: Option<String>,
    /// The provider; `""` when calls reported none.
    pub provider: Option<String>,
    /// The model.
    pub model: Option<String>,
}

#[derive(FromRow)]
struct SpendRow {
    day: Option<i64>,
    pipeline: Option<String>,
    agent: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    #[sqlx(flatten)]
    totals: Totals,
}

impl Store {
    /// What was spent in `window`, by the dimensions of `by`, in no promised order.
    ///
    /// The rollup answers; the journal does when a status is asked for, or when the window cuts a 15-minute
    /// bucket.
    pub async fn spend(
        &self,
        window: &Window,
        by: SpendBy,
        filter: &Filter,
    ) -> Result<BTreeMap<SpendKey, Totals>> {
        let from_rollup = filter.status.is_none() && window.is_bucket_aligned();
        let mut spend: BTreeMap<SpendKey, Totals> = BTreeMap::new();
        for segment in window.segments() {
            let offset = i64::from(segment.offset_seconds);
            let rows: Vec<SpendRow> = if from_rollup {
                on_pool!(self, |pool| {
                    sqlx::query_as(include_str!("../../queries/spend_by.sql"))
                        .bind(bucket(segment.since.bucket()))
                        .bind(bucket(segment.until.bucket()))
                        .bind(offset)
                        .bind(by.day)
                        .bind(by.pipeline)
                        .bind(by.agent)
                        .bind(by.model)
                        .bind(by.model)
                        .bind(&filter.pipeline)
                        .bind(&filter.agent)
                        .bind(&filter.provider)
                        .bind(&filter.model)
                        .fetch_all(pool)
                        .await?
                })
            } else {
                on_pool!(self, |pool| {
                    sqlx::query_as(include_str!("../../queries/spend_by_journal.sql"))
                        .bind(segment.since)
                        .bind(segment.until)
                        .bind(offset)
                        .bind(by.day)
                        .bind(by.pipeline)
                        .bind(by.agent)
                        .bind(by.model)
                        .bind(by.model)
                        .bind(&filter.pipeline)
                        .bind(&filter.agent)
                        .bind(&filter.provider)
                        .bind(&filter.model)
                        .bind(filter.status.map(Status::code))
                        .fetch_all(pool)
                        .await?
                })
            };
            for row in rows {
                let day = row
                    .day
                    .and_then(|n| NaiveDate::default().checked_add_days(Days::new(u64::try_from(n).ok()?)));
                let key = SpendKey {
                    day,
                    pipeline: row.pipeline,
                    agent: row.agent,
                    provider: row.provider,
                    model: row.model,
                };
                *spend.entry(key).or_default() += row.totals;
            }
        }
        Ok(spend)
    }
}

/// A bucket's number as the rollup's column holds it; past its end there is nothing.
fn bucket(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
