//! Writing to Postgres: calls of the functions in `migrations/postgres/0005_writing.sql` and `0006_calls.sql`.
//! What they answer is used as it is: a role that may only record may not read the tables.

use super::sent::SentRow;
use super::{PostgresStore, PriceScope, Recorded, Repriced, Run, Step};
use crate::domain::{Call, CallId, FinishRun, FinishStep, RunId, StartRun, StartStep, TokenKind, Usd};
use crate::error::{Error, Result};
use serde::Deserialize;
use sqlx::PgConnection;
use sqlx::types::Json;

/// `record_calls`' answer.
#[derive(Deserialize)]
struct Answer {
    recorded: u64,
    duplicate: u64,
    conflict: Vec<CallKey>,
    unpriced: u64,
}

#[derive(Deserialize)]
struct CallKey {
    run_id: RunId,
    call_id: CallId,
}

impl PostgresStore {
    pub(super) async fn start_run(&self, run: &StartRun) -> Result<Run> {
        let Json(run) = sqlx::query_scalar("select start_run($1, $2, $3, $4, $5, $6)")
            .bind(run.run_id)
            .bind(&run.pipeline)
            .bind(run.started_at)
            .bind(Json(&run.labels))
            .bind(run.parent_run_id)
            .bind(run.replay_of)
            .fetch_one(&self.pool)
            .await?;
        Ok(run)
    }

    pub(super) async fn start_step(&self, step: &StartStep) -> Result<Step> {
        let attempt = i32::try_from(step.attempt).unwrap_or(i32::MAX);
        let Json(step) = sqlx::query_scalar("select start_step($1, $2, $3, $4, $5, $6, $7)")
            .bind(step.run_id)
            .bind(step.step_id)
            .bind(&step.step)
            .bind(Some(&step.agent).filter(|a| !a.is_empty()))
            .bind(&step.prompt_version)
            .bind(attempt)
            .bind(step.started_at)
            .fetch_one(&self.pool)
            .await?;
        Ok(step)
    }

    pub(super) async fn finish_step(&self, finish: &FinishStep) -> Result<Step> {
        let Json(step) = sqlx::query_scalar("select finish_step($1, $2, $3, $4)")
            .bind(finish.run_id)
            .bind(finish.step_id)
            .bind(finish.status.code())
            .bind(finish.completed_at)
            .fetch_one(&self.pool)
            .await?;
        Ok(step)
    }

    pub(super) async fn finish_run(&self, finish: &FinishRun) -> Result<Run> {
        let Json(run) = sqlx::query_scalar("select finish_run($1, $2, $3)")
            .bind(finish.run_id)
            .bind(finish.status.code())
            .bind(finish.completed_at)
            .fetch_one(&self.pool)
            .await?;
        Ok(run)
    }

    pub(super) async fn price_run(
        &self,
        run_id: RunId,
        scope: &PriceScope,
        reason: &str,
        dry_run: bool,
    ) -> Result<Repriced> {
        let mut tx = self.pool.begin().await?;
        let (calls, before, after): (i64, Usd, Usd) = sqlx::query_as(
            "select calls, cost_before, cost_after from price_run($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(run_id)
        .bind(scope.everything)
        .bind(scope.since)
        .bind(scope.until)
        .bind(&scope.provider)
        .bind(&scope.model)
        .bind(reason)
        .bind(super::prices::who())
        .fetch_one(&mut *tx)
        .await?;
        if dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(Repriced { calls: u64::try_from(calls).unwrap_or_default(), before, after })
    }

    /// Records calls, and what was sent in them, together. Without prompts it is one statement.
    pub(super) async fn record_calls(&self, calls: &[Call], mut sent: Vec<SentRow>) -> Result<Recorded> {
        if sent.is_empty() {
            let mut connection = self.pool.acquire().await?;
            return Self::record_call_rows(&mut connection, calls).await;
        }
        let mut tx = self.pool.begin().await?;
        let mut recorded = Self::record_call_rows(&mut tx, calls).await?;
        sent.retain(|row| !recorded.conflict.contains(&row.key()));
        recorded.conflict.extend(Self::record_prompts(&mut tx, &sent).await?.conflict);
        tx.commit().await?;
        Ok(recorded)
    }

    /// The typed door: one array a column, which Postgres takes in faster than JSON.
    async fn record_call_rows(db: &mut PgConnection, calls: &[Call]) -> Result<Recorded> {
        let column = |text: fn(&Call) -> &str| calls.iter().map(text).collect::<Vec<_>>();
        let mut query = sqlx::query_scalar(
            "select record_call_rows($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
             $19, $20, $21)",
        )
        .bind(calls.iter().map(|c| c.run_id).collect::<Vec<_>>())
        .bind(calls.iter().map(|c| c.call_id).collect::<Vec<_>>())
        .bind(calls.iter().map(|c| c.step_id).collect::<Vec<_>>())
        .bind(calls.iter().map(|c| c.pipeline.as_deref()).collect::<Vec<_>>())
        .bind(calls.iter().map(|c| Some(c.agent.as_str()).filter(|a| !a.is_empty())).collect::<Vec<_>>())
        .bind(calls.iter().map(|c| c.provider.as_str()).collect::<Vec<_>>())
        .bind(column(|c| &c.model))
        .bind(column(|c| &c.operation))
        .bind(column(|c| &c.service_tier))
        .bind(calls.iter().map(|c| c.called_at).collect::<Vec<_>>());
        for kind in TokenKind::ALL {
            query = query.bind(calls.iter().map(|c| count(c, kind)).collect::<Result<Vec<_>>>()?);
        }
        let Json(answer): Json<Answer> = query
            .bind(
                calls.iter().map(|c| c.latency_ms.and_then(|ms| i64::try_from(ms).ok())).collect::<Vec<_>>(),
            )
            .bind(column(|c| c.outcome.code()))
            .bind(calls.iter().map(|c| c.response_id.as_deref()).collect::<Vec<_>>())
            .fetch_one(db)
            .await?;
        Ok(Recorded {
            recorded: answer.recorded,
            duplicate: answer.duplicate,
            conflict: answer.conflict.into_iter().map(|k| (k.run_id, k.call_id)).collect(),
            unpriced: answer.unpriced,
        })
    }
}

/// A count as the journal's column holds it.
fn count(call: &Call, kind: TokenKind) -> Result<Option<i32>> {
    call.usage
        .as_ref()
        .map(|usage| {
            i32::try_from(usage.of(kind)).map_err(|_| {
                Error::input(format!("usage `{}` of call `{}` does not fit", kind.name(), call.call_id))
            })
        })
        .transpose()
}
