//! Taking spans in, in Postgres: the functions of `migrations/postgres/0015_spans.sql`.

use super::kept::{Known, Part};
use super::{MAX_ROUNDS, PreparedSpans, REASON, TakenSpans, by_digest};
use crate::error::Result;
use crate::store::record::MAX_BATCH;
use crate::store::{PostgresStore, batch};
use std::collections::HashMap;

impl PostgresStore {
    pub(super) async fn take_spans(&self, prepared: &mut PreparedSpans) -> Result<Option<TakenSpans>> {
        let mut tx = self.pool.begin().await?;
        let mut known = Known::default();
        let (mut traces, mut keys) = known.look_for(prepared);
        for _ in 0..MAX_ROUNDS {
            let parts: Vec<Part> =
                sqlx::query_as("select trace_id, part, spans from known_spans($1, $2, $3)")
                    .bind(std::mem::take(&mut traces))
                    .bind(keys.iter().map(|(hour, _)| hour_column(*hour)).collect::<Vec<_>>())
                    .bind(keys.iter().map(|(_, key)| *key).collect::<Vec<_>>())
                    .fetch_all(&mut *tx)
                    .await?;
            keys = known.found(parts)?;
            if keys.is_empty() {
                break;
            }
        }
        let Ok(change) = prepared.change(&known)? else {
            tx.rollback().await?;
            return Ok(None);
        };
        let (new, all) = (change.new, prepared.len() as u64);
        let mut taken = TakenSpans { new, known: all - new, ..TakenSpans::default() };
        if new == 0 {
            tx.rollback().await?;
            return Ok(Some(taken));
        }
        let kept = &change.kept;
        sqlx::query("select keep_spans($1, $2, $3, $4, $5, $6)")
            .bind(kept.parts.iter().map(|(trace, _, _)| *trace).collect::<Vec<_>>())
            .bind(kept.parts.iter().map(|(_, part, _)| *part).collect::<Vec<_>>())
            .bind(kept.parts.iter().map(|(_, _, packed)| packed.as_slice()).collect::<Vec<_>>())
            .bind(kept.responses.iter().map(|(hour, _, _)| hour_column(*hour)).collect::<Vec<_>>())
            .bind(kept.responses.iter().map(|(_, key, _)| *key).collect::<Vec<_>>())
            .bind(kept.responses.iter().map(|(_, _, trace)| *trace).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        let mut purged = HashMap::new();
        if !change.withdrawn.is_empty() {
            let texts =
                sqlx::query_as("select text_sha256, output_sha256, purged_at from purged_texts($1, $2)")
                    .bind(change.withdrawn.iter().map(|(run, _)| *run).collect::<Vec<_>>())
                    .bind(change.withdrawn.iter().map(|(_, call)| *call).collect::<Vec<_>>())
                    .fetch_all(&mut *tx)
                    .await?;
            purged = by_digest(texts);
            let withdrawn: i32 = sqlx::query_scalar("select withdraw_calls($1, $2, $3)")
                .bind(change.withdrawn.iter().map(|(run, _)| *run).collect::<Vec<_>>())
                .bind(change.withdrawn.iter().map(|(_, call)| *call).collect::<Vec<_>>())
                .bind(REASON)
                .fetch_one(&mut *tx)
                .await?;
            taken.withdrawn = u64::try_from(withdrawn).unwrap_or_default();
        }
        if !change.runs.is_empty() {
            sqlx::query("select open_span_runs($1, $2, $3, $4)")
                .bind(change.runs.keys().copied().collect::<Vec<_>>())
                .bind(change.runs.values().map(|run| run.pipeline.as_str()).collect::<Vec<_>>())
                .bind(change.runs.values().map(|run| run.started_at).collect::<Vec<_>>())
                .bind(change.runs.values().map(|run| run.conversation.as_deref()).collect::<Vec<_>>())
                .execute(&mut *tx)
                .await?;
        }
        for step in &change.steps {
            sqlx::query("select open_span_step($1, $2, $3, $4, $5, $6)")
                .bind(step.run_id)
                .bind(step.step_id)
                .bind(&step.step)
                .bind(&step.agent)
                .bind(&step.prompt_version)
                .bind(step.started_at)
                .execute(&mut *tx)
                .await?;
        }
        for part in change.recorded.chunks(MAX_BATCH) {
            taken.calls += batch::record(&mut tx, &part.iter().collect::<Vec<_>>()).await?;
        }
        Self::keep_texts(&mut tx, &change.texts).await?;
        for part in change.prompts(&purged)?.chunks(MAX_BATCH) {
            Self::record_prompts(&mut tx, part).await?;
        }
        for part in change.decided.chunks(MAX_BATCH) {
            Self::record_guard_events(&mut tx, part).await?;
        }
        let ended = change.ended();
        if !ended.is_empty() {
            sqlx::query("select close_span_runs($1, $2, $3)")
                .bind(ended.iter().map(|(run, _, _)| *run).collect::<Vec<_>>())
                .bind(ended.iter().map(|(_, status, _)| status.code()).collect::<Vec<_>>())
                .bind(ended.iter().map(|(_, _, at)| *at).collect::<Vec<_>>())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(Some(taken))
    }
}

fn hour_column(hour: i64) -> i32 {
    i32::try_from(hour).unwrap_or(i32::MAX)
}
