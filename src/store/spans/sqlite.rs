//! Taking spans in, in SQLite: what Postgres does in functions, as statements.

use super::kept::{Kept, Known, Part, ResponseKey, unpackable};
use super::{MAX_ROUNDS, PreparedSpans, REASON, TakenSpans, by_digest};
use crate::domain::{CallId, Digest, FinishRun, RunId, SpanRun, Status, Timestamp};
use crate::error::Result;
use crate::store::record::MAX_BATCH;
use crate::store::settle::settle_now_and_then;
use crate::store::sqlite::rows::Insert;
use crate::store::{SqliteStore, sqlite};
use serde_json::json;
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;
use uuid::Uuid;

impl SqliteStore {
    pub(super) async fn take_spans(&self, prepared: &mut PreparedSpans) -> Result<Option<TakenSpans>> {
        let now = self.clock.now();
        let mut tx = self.begin().await?;
        let known = known_spans(&mut tx, prepared).await?;
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
        keep_spans(&mut tx, &change.kept, now).await?;
        let mut purged = HashMap::new();
        if !change.withdrawn.is_empty() {
            purged = purged_texts(&mut tx, &change.withdrawn).await?;
            taken.withdrawn =
                sqlite::withdraw::withdraw_calls(&mut tx, &change.withdrawn, REASON, now).await?;
        }
        open_runs(&mut tx, &change.runs).await?;
        for step in &change.steps {
            sqlite::open_span_step(&mut tx, step, now).await?;
        }
        for part in change.recorded.chunks(MAX_BATCH) {
            taken.calls += sqlite::calls::record_calls(&mut tx, &self.prices, part, now).await?;
        }
        Self::keep_texts(&mut tx, change.texts.iter()).await?;
        for part in change.prompts(&purged)?.chunks(MAX_BATCH) {
            Self::record_prompts(&mut tx, part).await?;
        }
        for part in change.decided.chunks(MAX_BATCH) {
            Self::record_guard_events(&mut tx, part).await?;
        }
        close_runs(&mut tx, &change.ended(), now).await?;
        tx.commit().await?;
        Ok(Some(taken))
    }
}

/// As `known_spans` of Postgres, round by round.
async fn known_spans(db: &mut SqliteConnection, prepared: &PreparedSpans) -> Result<Known> {
    let mut known = Known::default();
    let (mut traces, mut keys) = known.look_for(prepared);
    for _ in 0..MAX_ROUNDS {
        let parts: Vec<Part> = sqlx::query_as(
            "with hour as materialized (
               select j.value ->> 0 as hour, j.value -> 1 as keys from json_each($2) j
             ), trace as (
               select unhex(j.value) as trace_id from json_each($1) j
               union
               select r.trace_id
               -- In this order (`cross join` keeps it): the other way round SQLite reads all responses of an hour.
               from hour h
               cross join json_each(h.keys) k
               cross join otel_response r on r.hour = h.hour and r.response_key = k.value
               -- A stub that answers with one id for all tells nothing by it.
               where (
                 select count(*)
                 from (
                   select 1
                   from otel_response o
                   where o.hour = r.hour and o.response_key = r.response_key
                   limit 17)) <= 16
             )
             select p.trace_id, p.part, p.spans
             from trace t
             join otel_part p on p.trace_id = t.trace_id
             where not exists (select 1 from otel_part o where o.trace_id = t.trace_id and o.part > 5000)",
        )
        .bind(hex_list(&std::mem::take(&mut traces)))
        .bind(by_hour(&keys)?)
        .fetch_all(&mut *db)
        .await?;
        keys = known.found(parts)?;
        if keys.is_empty() {
            break;
        }
    }
    Ok(known)
}

/// `[[hour, [key, …]], …]`: a list in JSON is read at once, while each pair of many would be looked into.
fn by_hour(keys: &[ResponseKey]) -> Result<String> {
    let mut hours: Vec<(i64, Vec<i64>)> = Vec::new();
    // They are sorted.
    for (hour, key) in keys {
        match hours.last_mut() {
            Some((last, keys)) if last == hour => keys.push(*key),
            _ => hours.push((*hour, vec![*key])),
        }
    }
    serde_json::to_string(&hours).map_err(|e| unpackable(&e))
}

/// As `purged_texts` of Postgres.
async fn purged_texts(
    db: &mut SqliteConnection,
    calls: &[(RunId, CallId)],
) -> Result<HashMap<Digest, Timestamp>> {
    let keys: Vec<_> =
        calls.iter().map(|(run, call)| [sqlite::calls::hex(run.0), sqlite::calls::hex(call.0)]).collect();
    let purged: Vec<(Option<Digest>, Option<Digest>, Timestamp)> = sqlx::query_as(
        "select p.text_sha256, p.output_sha256, p.purged_at
         from json_each($1) j
         join llm_call_prompt p on p.run_id = unhex(j.value ->> 0) and p.call_id = unhex(j.value ->> 1)
         where p.purged_at is not null",
    )
    .bind(json!(keys).to_string())
    .fetch_all(db)
    .await?;
    Ok(by_digest(purged))
}

fn hex_list(ids: &[Uuid]) -> String {
    json!(ids.iter().map(|id| id.simple().to_string()).collect::<Vec<_>>()).to_string()
}

static KEEP_PART: LazyLock<Insert> = LazyLock::new(|| {
    let part =
        "max(column2, (select coalesce(max(o.part), 0) + 1 from otel_part o where o.trace_id = column1))";
    Insert::new(
        "otel_part (trace_id, part, received_at, spans)",
        &format!("column1, {part}, column3, column4"),
        4,
        "",
    )
});

static KEEP_RESPONSE: LazyLock<Insert> = LazyLock::new(|| {
    let known = "on conflict (hour, response_key, trace_id) do nothing";
    Insert::new("otel_response (hour, response_key, trace_id)", "*", 3, known)
});

async fn keep_spans(db: &mut SqliteConnection, kept: &Kept, now: Timestamp) -> Result<()> {
    KEEP_PART
        .run(db, &kept.parts, |(trace_id, part, packed), row| {
            row.bind(*trace_id)?.bind(*part)?.bind(now)?.bind(packed.as_slice())?;
            Ok(())
        })
        .await??;
    KEEP_RESPONSE
        .run(db, &kept.responses, |(hour, key, trace_id), row| {
            row.bind(*hour)?.bind(*key)?.bind(*trace_id)?;
            Ok(())
        })
        .await??;
    Ok(())
}

async fn open_runs(db: &mut SqliteConnection, runs: &BTreeMap<RunId, SpanRun>) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = runs
        .iter()
        .map(|(run_id, run)| {
            let labels = run
                .conversation
                .as_ref()
                .map(|conversation| json!({"conversation": conversation}).to_string());
            json!([run_id.0.simple().to_string(), run.pipeline, run.started_at.micros(), labels])
        })
        .collect();
    let rows = serde_json::Value::from(rows).to_string();
    sqlx::query(
        "insert into pipeline_run (run_id, pipeline, status_id, started_at, labels)
         select unhex(j.value ->> 0), j.value ->> 1, s.status_id, j.value ->> 2, coalesce(j.value ->> 3, '{}')
         from json_each($1) j
         join status_lookup s on s.code = $2
         where not exists (select 1 from pipeline_run r where r.run_id = unhex(j.value ->> 0))",
    )
    .bind(&rows)
    .bind(Status::Running.code())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "update pipeline_run
         set labels = j.value ->> 3
         from json_each($1) j
         where run_id = unhex(j.value ->> 0) and labels = '{}' and j.value ->> 3 is not null",
    )
    .bind(&rows)
    .execute(db)
    .await?;
    Ok(())
}

/// Finishes those of the runs that are not finished.
async fn close_runs(
    db: &mut SqliteConnection,
    ended: &[(RunId, Status, Timestamp)],
    now: Timestamp,
) -> Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = ended.iter().map(|(run_id, _, _)| run_id.0).collect();
    let unpriced: Vec<RunId> = sqlx::query_scalar(
        "select r.run_id
         from json_each($1) j
         join pipeline_run r on r.run_id = unhex(j.value)
         where r.completed_at is null and r.unpriced_calls > 0",
    )
    .bind(hex_list(&ids))
    .fetch_all(&mut *db)
    .await?;
    let unpriced: HashSet<RunId> = unpriced.into_iter().collect();
    for (run_id, status, at) in ended.iter().filter(|(run_id, _, _)| unpriced.contains(run_id)) {
        // Those without a price are priced first, as far as prices are there by now.
        let finish = FinishRun { run_id: *run_id, status: *status, completed_at: Some(*at) };
        sqlite::finish_run(db, &finish, now).await?;
    }
    let rows: Vec<_> = ended
        .iter()
        .map(|(run_id, status, at)| json!([run_id.0.simple().to_string(), status.code(), at.micros()]))
        .collect();
    sqlx::query(
        "update pipeline_run
         set status_id = (select s.status_id from status_lookup s where s.code = j.value ->> 1),
             completed_at = j.value ->> 2,
             costed_at = $2
         from json_each($1) j
         where run_id = unhex(j.value ->> 0) and completed_at is null",
    )
    .bind(serde_json::Value::from(rows).to_string())
    .bind(now)
    .execute(&mut *db)
    .await?;
    settle_now_and_then(db, now).await
}
