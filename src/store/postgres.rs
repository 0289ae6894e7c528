//! Writing to Postgres: calls of the functions in `migrations/postgres/0005_writing.sql` and `0006_calls.sql`.
//! What they answer is used as it is: a role that may only record may not read the tables.

use super::connections::Session;
use super::sent::SentRow;
use super::{PostgresStore, PriceScope, Recorded, Repriced, Run, Step, batch};
use crate::domain::{Call, Event, FinishRun, FinishStep, RunId, StartRun, StartStep, Usd};
use crate::error::Result;
use sqlx::types::Json;
use std::borrow::Borrow;

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

    /// Starts of runs, then of steps, each in one statement and in the order of their runs' ids, in which others lock
    /// them too.
    pub(super) async fn apply_starts(db: &mut Session, starts: &[(usize, &Event)]) -> Result<()> {
        let mut runs: Vec<&StartRun> = starts.iter().filter_map(|(_, event)| event.as_run()).collect();
        runs.sort_by_key(|run| run.run_id);
        if !runs.is_empty() {
            let labels = runs.iter().map(|run| serde_json::to_value(&run.labels).unwrap_or_default());
            sqlx::query(
                "select count(start_run(r.run_id, r.pipeline, r.started_at, r.labels, r.parent_run_id, r.replay_of))
                 from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::jsonb[], $5::uuid[], $6::uuid[])
                   as r (run_id, pipeline, started_at, labels, parent_run_id, replay_of)",
            )
            .bind(runs.iter().map(|run| run.run_id).collect::<Vec<_>>())
            .bind(runs.iter().map(|run| run.pipeline.as_str()).collect::<Vec<_>>())
            .bind(runs.iter().map(|run| run.started_at).collect::<Vec<_>>())
            .bind(labels.collect::<Vec<_>>())
            .bind(runs.iter().map(|run| run.parent_run_id).collect::<Vec<_>>())
            .bind(runs.iter().map(|run| run.replay_of).collect::<Vec<_>>())
            .execute(&mut *db)
            .await?;
        }
        let mut steps: Vec<&StartStep> = starts.iter().filter_map(|(_, event)| event.as_step()).collect();
        steps.sort_by_key(|step| step.run_id);
        if !steps.is_empty() {
            sqlx::query(
                "select count(start_step(s.run_id, s.step_id, s.step, nullif(s.agent, ''), s.prompt_version, s.attempt, s.started_at))
                 from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::timestamptz[])
                   as s (run_id, step_id, step, agent, prompt_version, attempt, started_at)",
            )
            .bind(steps.iter().map(|step| step.run_id).collect::<Vec<_>>())
            .bind(steps.iter().map(|step| step.step_id).collect::<Vec<_>>())
            .bind(steps.iter().map(|step| step.step.as_str()).collect::<Vec<_>>())
            .bind(steps.iter().map(|step| step.agent.as_str()).collect::<Vec<_>>())
            .bind(steps.iter().map(|step| step.prompt_version.as_deref()).collect::<Vec<_>>())
            .bind(steps.iter().map(|step| i32::try_from(step.attempt).unwrap_or(i32::MAX)).collect::<Vec<_>>())
            .bind(steps.iter().map(|step| step.started_at).collect::<Vec<_>>())
            .execute(&mut *db)
            .await?;
        }
        Ok(())
    }

    /// Ends of steps, then of runs, each in one statement and in the order of their runs' ids.
    pub(super) async fn apply_finishes(
        db: &mut Session,
        mut steps: Vec<FinishStep>,
        mut runs: Vec<&FinishRun>,
    ) -> Result<()> {
        steps.sort_by_key(|step| step.run_id);
        if !steps.is_empty() {
            sqlx::query(
                "select count(finish_step(s.run_id, s.step_id, s.status, s.completed_at))
                 from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
                   as s (run_id, step_id, status, completed_at)",
            )
            .bind(steps.iter().map(|step| step.run_id).collect::<Vec<_>>())
            .bind(steps.iter().map(|step| step.step_id).collect::<Vec<_>>())
            .bind(steps.iter().map(|step| step.status.code()).collect::<Vec<_>>())
            .bind(steps.iter().map(|step| step.completed_at).collect::<Vec<_>>())
            .execute(&mut *db)
            .await?;
        }
        runs.sort_by_key(|run| run.run_id);
        if !runs.is_empty() {
            sqlx::query(
                "select count(finish_run(r.run_id, r.status, r.completed_at))
                 from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as r (run_id, status, completed_at)",
            )
            .bind(runs.iter().map(|run| run.run_id).collect::<Vec<_>>())
            .bind(runs.iter().map(|run| run.status.code()).collect::<Vec<_>>())
            .bind(runs.iter().map(|run| run.completed_at).collect::<Vec<_>>())
            .execute(&mut *db)
            .await?;
        }
        Ok(())
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
    pub(super) async fn record_calls<C: Borrow<Call>>(
        &self,
        calls: &[C],
        mut sent: Vec<SentRow>,
    ) -> Result<Recorded> {
        let calls: Vec<&Call> = calls.iter().map(Borrow::borrow).collect();
        if sent.is_empty() {
            let mut lease = self.pool.lease().await?;
            let recorded = batch::record(&mut lease, &calls).await?;
            lease.commit().await?;
            return Ok(recorded);
        }
        let mut tx = self.pool.begin().await?;
        let mut recorded = batch::record(&mut tx, &calls).await?;
        sent.retain(|row| !recorded.conflict.contains(&row.key()));
        recorded.conflict.extend(Self::record_prompts(&mut tx, &sent).await?.conflict);
        tx.commit().await?;
        Ok(recorded)
    }
}
