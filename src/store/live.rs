//! What happens now: the runs that run, and the last hour by minute. Asked again and again, so that each question reads a
//! bounded part of the ledger however large it is.

use super::spend::number;
use super::{Filter, RunOrder, Store, Totals, on_pool};
use crate::domain::{RunId, Timestamp, Usd};
use crate::error::Result;
use sqlx::FromRow;

/// The most calls that are read for the minutes of an hour; what they do not cover is known by the quarter.
const MOST_CALLS: i64 = 100_000;
/// Runs that started longer ago are not looked at for minutes.
const MINUTES_OF: i64 = 24 * 3600 * 1_000_000;

/// A run that runs now.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct LiveRun {
    /// Its id.
    pub run_id: RunId,
    /// Its pipeline.
    pub pipeline: String,
    /// When it started.
    pub started_at: Timestamp,
    /// The agents at work, with commas; `""` when none has a name.
    pub agents: String,
    /// The sums of its calls so far.
    #[sqlx(flatten)]
    pub totals: Totals,
}

/// Runs that run now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveRuns {
    /// The first of them, as they were asked for.
    pub runs: Vec<LiveRun>,
    /// How many there are.
    pub running: u64,
}

/// Calls, and what those with a price cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Tally {
    /// How many calls.
    #[sqlx(try_from = "i64")]
    pub llm_calls: u64,
    /// How many of them have no price.
    #[sqlx(try_from = "i64")]
    pub unpriced_calls: u64,
    /// What the others cost.
    #[sqlx(rename = "cost_pico")]
    pub cost: Usd,
}

impl Tally {
    /// The cost, if it is known: if no call has a price it is not.
    #[must_use]
    pub fn known_cost(&self) -> Option<Usd> {
        (self.llm_calls == 0 || self.unpriced_calls < self.llm_calls).then_some(self.cost)
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.llm_calls += other.llm_calls;
        self.unpriced_calls += other.unpriced_calls;
        self.cost += other.cost;
    }
}

impl From<Totals> for Tally {
    fn from(totals: Totals) -> Self {
        Self { llm_calls: totals.llm_calls, unpriced_calls: totals.unpriced_calls, cost: totals.cost }
    }
}

/// An agent or a model, and what it spent.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Leader {
    /// Its name; `""` when calls had none.
    pub name: String,
    /// What it spent.
    #[sqlx(flatten)]
    pub tally: Tally,
}

/// What leaders are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// Agents.
    Agents,
    /// Models.
    Models,
}

#[derive(FromRow)]
struct RunRow {
    #[sqlx(flatten)]
    run: LiveRun,
    #[sqlx(try_from = "i64")]
    running: u64,
}

#[derive(FromRow)]
struct MinuteRow {
    minute: i64,
    #[sqlx(flatten)]
    tally: Tally,
}

#[derive(FromRow)]
struct QuarterRow {
    bucket: i64,
    #[sqlx(flatten)]
    tally: Tally,
}

impl Store {
    /// The runs that started at `since` or later and still run, sorted, at most `limit`.
    pub async fn live_runs(
        &self,
        since: Timestamp,
        filter: &Filter,
        order: RunOrder,
        limit: u32,
    ) -> Result<LiveRuns> {
        let rows: Vec<RunRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/live_run_list.sql"))
                .bind(since)
                .bind(&filter.pipeline)
                .bind(&filter.agent)
                .bind(&filter.provider)
                .bind(&filter.model)
                .bind(order.code())
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        let running = rows.first().map_or(0, |row| row.running);
        Ok(LiveRuns { runs: rows.into_iter().map(|row| row.run).collect(), running })
    }

    /// Calls by minute, from the start of the quarter of an hour `first` on: `(minute, calls in it)`, as far as they can be
    /// found cheaply.
    pub async fn live_minutes(&self, first: i64, after: i64, filter: &Filter) -> Result<Vec<(u64, Tally)>> {
        let (since, until) = (Timestamp::from_bucket(first), Timestamp::from_bucket(after));
        let rows: Vec<MinuteRow> = match self {
            Store::Postgres(store) => {
                sqlx::query_as(include_str!("../../queries/live_minute_list_postgres.sql"))
                    .bind(since)
                    .bind(until)
                    .bind(since.plus_micros(-MINUTES_OF))
                    .bind(MOST_CALLS)
                    .bind(&filter.pipeline)
                    .bind(&filter.agent)
                    .bind(&filter.provider)
                    .bind(&filter.model)
                    .fetch_all(&store.pool)
                    .await?
            }
            Store::Sqlite(store) => {
                sqlx::query_as(include_str!("../../queries/live_minute_list_sqlite.sql"))
                    .bind(since)
                    .bind(until)
                    .bind(since.plus_micros(-MINUTES_OF))
                    .bind(MOST_CALLS)
                    .bind(&filter.pipeline)
                    .bind(&filter.agent)
                    .bind(&filter.provider)
                    .bind(&filter.model)
                    .fetch_all(&store.pool)
                    .await?
            }
        };
        let minute = |row: MinuteRow| Some((u64::try_from(row.minute).ok()?, row.tally));
        Ok(rows.into_iter().filter_map(minute).collect())
    }

    /// All calls by quarter of an hour: `(bucket, calls in it)`, from the bucket `first` to the one before `after`.
    pub async fn live_quarters(&self, first: i64, after: i64, filter: &Filter) -> Result<Vec<(i64, Tally)>> {
        let rows: Vec<QuarterRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/live_quarter_list.sql"))
                .bind(number(first))
                .bind(number(after))
                .bind(&filter.pipeline)
                .bind(&filter.agent)
                .bind(&filter.provider)
                .bind(&filter.model)
                .fetch_all(pool)
                .await?
        });
        Ok(rows.into_iter().map(|row| (row.bucket, row.tally)).collect())
    }

    /// The agents or models that spent most from the bucket `first` to the one before `after`, at most `limit`.
    pub async fn leaders(
        &self,
        lead: Lead,
        (first, after): (i64, i64),
        filter: &Filter,
        limit: u32,
    ) -> Result<Vec<Leader>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/live_leader_list.sql"))
            .bind(number(first))
            .bind(number(after))
            .bind(&filter.pipeline)
            .bind(&filter.agent)
            .bind(&filter.provider)
            .bind(&filter.model)
            .bind(lead == Lead::Agents)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?))
    }
}
