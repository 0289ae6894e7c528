//! Retention: dropping what was sent when its time is over. Versions, digests and spend stay.

use super::{PostgresStore, SqliteStore, Store, on_pool};
use crate::domain::{Digest, Timestamp};
use crate::error::Result;
use serde::Deserialize;
use serde_json::json;
use sqlx::types::Json;
use std::collections::BTreeSet;

/// What retention dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Purged {
    /// Calls whose inputs or texts went.
    pub calls: u64,
    /// Texts that went.
    pub texts: u64,
}

impl std::ops::AddAssign for Purged {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.texts += other.texts;
    }
}

/// How many calls are purged in one transaction: whoever records a text waits so long.
const PURGE_AT_ONCE: i64 = 10_000;

impl Store {
    /// How many calls sent before a time still have inputs or a text, and how many texts they alone need.
    pub async fn purgeable(&self, before: Timestamp) -> Result<Purged> {
        let (calls, texts): (i64, i64) = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/prompt_purgeable.sql"))
                .bind(before)
                .fetch_one(pool)
                .await?
        });
        Ok(Purged {
            calls: calls.try_into().unwrap_or_default(),
            texts: texts.try_into().unwrap_or_default(),
        })
    }

    /// Drops the inputs and texts of calls sent before a time. Versions, digests and spend stay.
    pub async fn purge_inputs(&self, before: Timestamp) -> Result<Purged> {
        let mut all = Purged::default();
        loop {
            let purged = match self {
                Store::Postgres(s) => s.purge_some(before).await?,
                Store::Sqlite(s) => s.purge_some(before).await?,
            };
            all += purged;
            if purged == Purged::default() {
                return Ok(all);
            }
        }
    }
}

impl PostgresStore {
    async fn purge_some(&self, before: Timestamp) -> Result<Purged> {
        let Json(purged) = sqlx::query_scalar("select purge_inputs($1, $2, $3::integer)")
            .bind(before)
            .bind(self.clock.now())
            .bind(PURGE_AT_ONCE)
            .fetch_one(&self.pool)
            .await?;
        Ok(purged)
    }
}

impl SqliteStore {
    async fn purge_some(&self, before: Timestamp) -> Result<Purged> {
        let mut tx = self.begin().await?;
        let digests: Vec<(Option<Digest>, Option<Digest>)> = sqlx::query_as(
            "update llm_call_prompt
             set inputs = null, purged_at = $2
             where (run_id, call_id) in (
               select p.run_id, p.call_id
               from llm_call_prompt p
               where p.sent_at < $1
                 and p.purged_at is null
                 and (p.inputs <> '{}'
                      or exists (select 1 from prompt_text t where t.text_sha256 in (p.text_sha256, p.output_sha256)))
               limit $3)
             returning text_sha256, output_sha256",
        )
        .bind(before)
        .bind(self.clock.now())
        .bind(PURGE_AT_ONCE)
        .fetch_all(&mut *tx)
        .await?;
        let due: Vec<Digest> = match digests.as_slice() {
            // Those that no call needs, for it was withdrawn, or another report of it counted.
            [] => {
                sqlx::query_scalar(
                    "select t.text_sha256
                     from prompt_text t
                     where t.recorded_at < $1
                       and not exists (
                         select 1 from llm_call_prompt p where p.text_sha256 = t.text_sha256 and p.purged_at is null)
                       and not exists (
                         select 1 from llm_call_prompt p where p.output_sha256 = t.text_sha256 and p.purged_at is null)
                     order by t.recorded_at
                     limit $2",
                )
                .bind(before)
                .bind(PURGE_AT_ONCE)
                .fetch_all(&mut *tx)
                .await?
            }
            purged => purged.iter().flat_map(|(text, output)| [text, output]).flatten().copied().collect(),
        };
        let distinct: BTreeSet<String> = due.iter().map(Digest::hex).collect();
        let texts = sqlx::query(
            "delete from prompt_text
             where text_sha256 in (select unhex(j.value) from json_each($1) j)
               and not exists (
                 select 1 from llm_call_prompt p where p.text_sha256 = prompt_text.text_sha256 and p.purged_at is null)
               and not exists (
                 select 1 from llm_call_prompt p where p.output_sha256 = prompt_text.text_sha256 and p.purged_at is null)",
        )
        .bind(json!(distinct).to_string())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Purged { calls: digests.len().try_into().unwrap_or(u64::MAX), texts: texts.rows_affected() })
    }
}
