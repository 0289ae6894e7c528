//! What `asmm spend check` looks at: series of spend by hour, how large runs are, what the guard has not seen.

use super::spend::number;
use super::{Store, on_pool};
use crate::domain::{RunId, Status, Timestamp, Usd, Window};
use crate::error::{Error, Result};
use futures_util::StreamExt;
use sqlx::FromRow;
use std::collections::BTreeMap;

/// What the calls of a series have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeriesOf {
    /// Their pipeline.
    Pipeline(String),
    /// Their agent; `""` when calls had none.
    Agent(String),
    /// Their provider and model; the provider is `""` when calls reported none.
    Model(String, String),
}

/// What a series spent in one local hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourSpend {
    /// When the hour starts; where clocks are put back there are two of one name.
    pub start: Timestamp,
    /// Calls.
    pub llm_calls: u64,
    /// Calls without a known price.
    pub unpriced_calls: u64,
    /// What the priced ones cost.
    pub cost: Usd,
}

/// Which series matter: those that did this in a part of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matters {
    /// The part's first instant.
    pub since: Timestamp,
    /// The first instant after it.
    pub until: Timestamp,
    /// What was spent at least.
    pub cost: Usd,
    /// Or, of a pipeline, how many calls were unpriced at least.
    pub unpriced_calls: u32,
}

/// A run that is watched.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct WatchedRun {
    /// Its id.
    pub run_id: RunId,
    /// Its pipeline.
    pub pipeline: String,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub status: Status,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Its calls.
    #[sqlx(try_from = "i64")]
    pub llm_calls: u64,
    /// What they cost, as far as they are priced.
    #[sqlx(rename = "cost_pico")]
    pub cost: Usd,
}

/// How large a finished run was.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct SampledRun {
    /// Its pipeline.
    pub pipeline: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Timestamp,
    /// Its calls.
    #[sqlx(try_from = "i64")]
    pub llm_calls: u64,
    /// What they cost.
    #[sqlx(rename = "cost_pico")]
    pub cost: Usd,
}

/// How many calls of a pipeline nobody looked at before they were sent.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct UnscannedCalls {
    /// The pipeline.
    pub pipeline: String,
    /// Calls.
    #[sqlx(try_from = "i64")]
    pub llm_calls: u64,
    /// Those that nobody looked at.
    #[sqlx(try_from = "i64")]
    pub unscanned: u64,
}

#[derive(FromRow)]
struct HourRow {
    dimension: String,
    provider: String,
    name: String,
    hour: i64,
    #[sqlx(try_from = "i64")]
    llm_calls: u64,
    #[sqlx(try_from = "i64")]
    unpriced_calls: u64,
    #[sqlx(rename = "cost_pico")]
    cost: Usd,
}

impl HourRow {
    fn series(&self) -> SeriesOf {
        match self.dimension.as_str() {
            "pipeline" => SeriesOf::Pipeline(self.name.clone()),
            "agent" => SeriesOf::Agent(self.name.clone()),
            _ => SeriesOf::Model(self.provider.clone(), self.name.clone()),
        }
    }
}

impl Store {
    /// What each pipeline, each agent and each model that matters spent in `window`, by local hour. The rollup answers, so
    /// the window and the part are taken as whole quarters of an hour.
    pub async fn hourly_spend(
        &self,
        window: &Window,
        matters: &Matters,
        pipeline: Option<&str>,
    ) -> Result<BTreeMap<SeriesOf, Vec<HourSpend>>> {
        let at_least = matters.cost.to_column()?;
        let part = (number(matters.since.bucket()), number(matters.until.next_bucket_start().bucket()));
        let mut series: BTreeMap<SeriesOf, Vec<HourSpend>> = BTreeMap::new();
        for segment in window.segments() {
            let offset = i64::from(segment.offset_seconds);
            let rows: Vec<HourRow> = on_pool!(self, |pool| {
                sqlx::query_as(include_str!("../../queries/spend_hourly.sql"))
                    .bind(number(segment.since.bucket()))
                    .bind(number(segment.until.next_bucket_start().bucket()))
                    .bind(offset)
                    .bind(part.0)
                    .bind(part.1)
                    .bind(at_least)
                    .bind(i64::from(matters.unpriced_calls))
                    .bind(pipeline)
                    .fetch_all(pool)
                    .await?
            });
            for row in rows {
                let start = hour_start(row.hour, offset)?;
                let HourRow { llm_calls, unpriced_calls, cost, .. } = row;
                let hour = HourSpend { start, llm_calls, unpriced_calls, cost };
                series.entry(row.series()).or_default().push(hour);
            }
        }
        Ok(series)
    }

    /// How large the newest finished runs of each pipeline were that started in a range, at most `limit` of each.
    pub async fn sampled_runs(
        &self,
        (since, until): (Timestamp, Timestamp),
        pipeline: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SampledRun>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/run_sample.sql"))
            .bind(since)
            .bind(until)
            .bind(pipeline)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?))
    }

    /// Gives `each` the runs that started in a range and go on, or ended in `ended`.
    pub async fn watched_runs(
        &self,
        (since, until): (Timestamp, Timestamp),
        ended: &Window,
        pipeline: Option<&str>,
        mut each: impl FnMut(WatchedRun),
    ) -> Result<()> {
        on_pool!(self, |pool| {
            let mut runs = sqlx::query_as::<_, WatchedRun>(include_str!("../../queries/run_watched.sql"))
                .bind(since)
                .bind(until)
                .bind(ended.since)
                .bind(ended.until)
                .bind(pipeline)
                .fetch(pool);
            while let Some(run) = runs.next().await {
                each(run?);
            }
        });
        Ok(())
    }

    /// How many calls nobody looked at before they were sent, by pipeline: of the newest runs that started in a range, at
    /// most `limit`.
    pub async fn unscanned_calls(
        &self,
        (since, until): (Timestamp, Timestamp),
        pipeline: Option<&str>,
        limit: u32,
    ) -> Result<Vec<UnscannedCalls>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/guard_share.sql"))
            .bind(since)
            .bind(until)
            .bind(pipeline)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?))
    }
}

/// When a local hour starts that is counted from 1970-01-01.
fn hour_start(hour: i64, offset_seconds: i64) -> Result<Timestamp> {
    let micros = hour.checked_mul(3600).and_then(|s| s.checked_sub(offset_seconds)?.checked_mul(1_000_000));
    micros
        .map(Timestamp::from_micros)
        .ok_or_else(|| Error::database(format!("the hour {hour} is past all time")))
}
