//! Settling the rollup: what was spent an hour ago and before becomes sums of coarser grain, for reports of long stretches of
//! time. It changes no sum: see `migrations/postgres/0012_settled_spend.sql`.

use super::names::INSUFFICIENT_PRIVILEGE;
use super::{PostgresStore, SqliteStore, Store};
use crate::domain::Timestamp;
use crate::error::Result;
use sqlx::SqliteConnection;

/// How many rows are settled in one transaction, about.
const AT_MOST: i32 = 20_000;
/// Open rows become settled an hour after their calls: what is late by then is rare, and a busy ledger's open rows are what
/// its reports read most of.
const AFTER_MICROS: i64 = 3_600_000_000;
/// How often whoever finishes a run looks for something to settle.
const EVERY_MICROS: i64 = 3_600_000_000;

impl Store {
    /// Settles what was spent until an hour ago, so that reports stay fast: after an import, say. Whoever finishes a run does
    /// so too, a part at a time, once an hour. Answers how many rows of the rollup were settled. A role that may not settle
    /// leaves it to others.
    pub async fn settle(&self) -> Result<u64> {
        let before = self.now().plus_micros(-AFTER_MICROS);
        let mut settled = 0;
        loop {
            let part = match self {
                Store::Postgres(s) => s.settle(before).await?,
                Store::Sqlite(s) => s.settle(before).await?,
            };
            if part == 0 {
                return Ok(settled);
            }
            settled += part;
        }
    }
}

impl PostgresStore {
    async fn settle(&self, before: Timestamp) -> Result<u64> {
        let part = sqlx::query_scalar::<_, i32>("select settle_spend($1, $2)")
            .bind(before)
            .bind(AT_MOST)
            .fetch_one(&self.pool)
            .await;
        match part {
            Ok(part) => Ok(u64::try_from(part).unwrap_or_default()),
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl SqliteStore {
    async fn settle(&self, before: Timestamp) -> Result<u64> {
        let mut tx = self.begin().await?;
        let settled = settle(&mut tx, before, self.clock.now()).await?;
        tx.commit().await?;
        Ok(settled)
    }
}

/// Once an hour, a part of what is to be settled.
pub(super) async fn settle_now_and_then(db: &mut SqliteConnection, now: Timestamp) -> Result<()> {
    let due = "select exists (select 1 from settlement where settled_at < $1)";
    if sqlx::query_scalar(due).bind(now.plus_micros(-EVERY_MICROS)).fetch_one(&mut *db).await? {
        settle(db, now.plus_micros(-AFTER_MICROS), now).await?;
    }
    Ok(())
}

/// Settles open rows of buckets before a time, the oldest first, until there are enough.
async fn settle(db: &mut SqliteConnection, before: Timestamp, now: Timestamp) -> Result<u64> {
    let last: Option<i64> = sqlx::query_scalar(
        "select bucket from spend_rollup where lane > 0 and bucket < $1 order by bucket limit 1 offset $2",
    )
    .bind(before.bucket())
    .bind(AT_MOST - 1)
    .fetch_optional(&mut *db)
    .await?;
    let until = last.map_or(before.bucket(), |last| last + 1);
    for statement in ADDING {
        sqlx::query(statement).bind(until).execute(&mut *db).await?;
    }
    let mut settled = 0;
    for statement in SETTLING {
        settled += sqlx::query(statement).bind(until).execute(&mut *db).await?.rows_affected();
    }
    if last.is_none() {
        sqlx::query("update settlement set settled_at = $1").bind(now).execute(db).await?;
    }
    Ok(settled)
}

/// Then the open lanes of keys that are settled already are gone, and the others are settled where they are.
const SETTLING: [&str; 2] = [
    "delete from spend_rollup
         where lane > 0 and bucket < $1
           and exists (
             select 1 from spend_rollup s
             where s.bucket = spend_rollup.bucket and s.pipeline = spend_rollup.pipeline
               and s.agent = spend_rollup.agent and s.provider = spend_rollup.provider
               and s.model = spend_rollup.model and s.lane = 0)",
    "update spend_rollup set lane = 0 where lane > 0 and bucket < $1",
];

/// First the open lanes before a bucket are added to the settled sums, and to the rows of keys that are settled already.
const ADDING: [&str; 3] = [
    "insert into settled_spend_day (
           day, pipeline, agent, provider, model,
           llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens,
           cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico)
         select
           bucket / 96, pipeline, agent, provider, model,
           sum(llm_calls), sum(unpriced_calls), sum(input_tokens), sum(cache_read_tokens),
           sum(cache_write_tokens), sum(cache_write_long_tokens), sum(output_tokens), sum(reasoning_tokens),
           sum(embedding_tokens), sum(web_searches), sum(cost_pico)
         from spend_rollup
         where lane > 0 and bucket < $1
         group by 1, 2, 3, 4, 5
         on conflict (day, pipeline, agent, provider, model) do update
         set llm_calls = llm_calls + excluded.llm_calls,
             unpriced_calls = unpriced_calls + excluded.unpriced_calls,
             input_tokens = input_tokens + excluded.input_tokens,
             cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
             cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
             cache_write_long_tokens = cache_write_long_tokens + excluded.cache_write_long_tokens,
             output_tokens = output_tokens + excluded.output_tokens,
             reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
             embedding_tokens = embedding_tokens + excluded.embedding_tokens,
             web_searches = web_searches + excluded.web_searches,
             cost_pico = cost_pico + excluded.cost_pico",
    "insert into settled_spend_bucket (
           bucket,
           llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens,
           cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico)
         select
           bucket,
           sum(llm_calls), sum(unpriced_calls), sum(input_tokens), sum(cache_read_tokens),
           sum(cache_write_tokens), sum(cache_write_long_tokens), sum(output_tokens), sum(reasoning_tokens),
           sum(embedding_tokens), sum(web_searches), sum(cost_pico)
         from spend_rollup
         where lane > 0 and bucket < $1
         group by 1
         on conflict (bucket) do update
         set llm_calls = llm_calls + excluded.llm_calls,
             unpriced_calls = unpriced_calls + excluded.unpriced_calls,
             input_tokens = input_tokens + excluded.input_tokens,
             cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
             cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
             cache_write_long_tokens = cache_write_long_tokens + excluded.cache_write_long_tokens,
             output_tokens = output_tokens + excluded.output_tokens,
             reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
             embedding_tokens = embedding_tokens + excluded.embedding_tokens,
             web_searches = web_searches + excluded.web_searches,
             cost_pico = cost_pico + excluded.cost_pico",
    "insert into spend_rollup (
           bucket, pipeline, agent, provider, model, lane,
           llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens,
           cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico)
         select
           bucket, pipeline, agent, provider, model, 0,
           llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens,
           cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico
         from spend_rollup o
         where lane > 0 and bucket < $1
           and exists (
             select 1 from spend_rollup s
             where s.bucket = o.bucket and s.pipeline = o.pipeline and s.agent = o.agent and s.provider = o.provider
               and s.model = o.model and s.lane = 0)
         on conflict (bucket, pipeline, agent, provider, model, lane) do update
         set llm_calls = llm_calls + excluded.llm_calls,
             unpriced_calls = unpriced_calls + excluded.unpriced_calls,
             input_tokens = input_tokens + excluded.input_tokens,
             cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
             cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
             cache_write_long_tokens = cache_write_long_tokens + excluded.cache_write_long_tokens,
             output_tokens = output_tokens + excluded.output_tokens,
             reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
             embedding_tokens = embedding_tokens + excluded.embedding_tokens,
             web_searches = web_searches + excluded.web_searches,
             cost_pico = cost_pico + excluded.cost_pico",
];
