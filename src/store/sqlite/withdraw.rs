//! Taking calls out of the journal that turned out to be others: `withdraw_calls` of Postgres, as statements.

use super::super::call::CallRow;
use super::super::prices::who;
use super::calls::hex;
use crate::domain::{CallId, RunId, Timestamp};
use crate::error::{Error, Result};
use serde_json::{Value, json};
use sqlx::SqliteConnection;

/// Takes calls out of the journal, the counters and the rollup, and keeps them as they were. Answers how many: those in an
/// archive stay.
pub(in crate::store) async fn withdraw_calls(
    db: &mut SqliteConnection,
    calls: &[(RunId, CallId)],
    reason: &str,
    now: Timestamp,
) -> Result<u64> {
    let keys: Vec<_> = calls.iter().map(|(run, call)| [hex(run.0), hex(call.0)]).collect();
    let keys = json!(keys).to_string();
    let rows: Vec<CallRow> = sqlx::query_as(
        "select c.*
         from json_each($1) j
         join llm_call c on c.run_id = unhex(j.value ->> 0) and c.call_id = unhex(j.value ->> 1)",
    )
    .bind(&keys)
    .fetch_all(&mut *db)
    .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let kept: Vec<Value> = rows
        .iter()
        .map(|row| {
            let call = serde_json::to_string(row)
                .map_err(|e| Error::input(format!("a call cannot be written as JSON: {e}")))?;
            Ok(json!([hex(row.run_id.0), hex(row.call_id.0), call]))
        })
        .collect::<Result<_>>()?;
    sqlx::query(
        "insert into withdrawn_call (run_id, call_id, call, reason, withdrawn_at, withdrawn_by)
         select unhex(j.value ->> 0), unhex(j.value ->> 1), j.value ->> 2, $2, $3, $4
         from json_each($1) j",
    )
    .bind(Value::from(kept).to_string())
    .bind(reason)
    .bind(now)
    .bind(who())
    .execute(&mut *db)
    .await?;
    for statement in TAKING_OFF {
        sqlx::query(statement).bind(&keys).bind(now).execute(&mut *db).await?;
    }
    Ok(rows.len() as u64)
}

const TAKING_OFF: [&str; 3] = [
    "update pipeline_run
     set llm_calls = pipeline_run.llm_calls - s.llm_calls,
         unpriced_calls = pipeline_run.unpriced_calls - s.unpriced_calls,
         input_tokens = pipeline_run.input_tokens - s.input_tokens,
         cache_read_tokens = pipeline_run.cache_read_tokens - s.cache_read_tokens,
         cache_write_tokens = pipeline_run.cache_write_tokens - s.cache_write_tokens,
         cache_write_long_tokens = pipeline_run.cache_write_long_tokens - s.cache_write_long_tokens,
         output_tokens = pipeline_run.output_tokens - s.output_tokens,
         reasoning_tokens = pipeline_run.reasoning_tokens - s.reasoning_tokens,
         embedding_tokens = pipeline_run.embedding_tokens - s.embedding_tokens,
         web_searches = pipeline_run.web_searches - s.web_searches,
         cost_pico = pipeline_run.cost_pico - s.cost_pico,
         costed_at = case when pipeline_run.completed_at is not null then $2 end
     from (
       select
         c.run_id, count(*) as llm_calls, count(*) - count(c.cost_pico) as unpriced_calls,
         coalesce(sum(c.input_tokens), 0) as input_tokens, coalesce(sum(c.cache_read_tokens), 0) as cache_read_tokens,
         coalesce(sum(c.cache_write_tokens), 0) as cache_write_tokens,
         coalesce(sum(c.cache_write_long_tokens), 0) as cache_write_long_tokens,
         coalesce(sum(c.output_tokens), 0) as output_tokens, coalesce(sum(c.reasoning_tokens), 0) as reasoning_tokens,
         coalesce(sum(c.embedding_tokens), 0) as embedding_tokens, coalesce(sum(c.web_searches), 0) as web_searches,
         coalesce(sum(c.cost_pico), 0) as cost_pico
       from json_each($1) j
       join llm_call c on c.run_id = unhex(j.value ->> 0) and c.call_id = unhex(j.value ->> 1)
       group by c.run_id) s
     where pipeline_run.run_id = s.run_id",
    "insert into spend_rollup (
       bucket, pipeline, agent, provider, model, llm_calls, unpriced_calls, input_tokens, cache_read_tokens,
       cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches,
       cost_pico, lane)
     select
       c.called_at / 900000000, r.pipeline, c.agent, c.provider, c.model, -count(*), count(c.cost_pico) - count(*),
       -coalesce(sum(c.input_tokens), 0), -coalesce(sum(c.cache_read_tokens), 0),
       -coalesce(sum(c.cache_write_tokens), 0), -coalesce(sum(c.cache_write_long_tokens), 0),
       -coalesce(sum(c.output_tokens), 0), -coalesce(sum(c.reasoning_tokens), 0),
       -coalesce(sum(c.embedding_tokens), 0), -coalesce(sum(c.web_searches), 0), -coalesce(sum(c.cost_pico), 0), 1
     from json_each($1) j
     join llm_call c on c.run_id = unhex(j.value ->> 0) and c.call_id = unhex(j.value ->> 1)
     join pipeline_run r on r.run_id = c.run_id
     where $2 is not null
     group by 1, 2, 3, 4, 5
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
    "delete from llm_call
     where (run_id, call_id) in (select unhex(j.value ->> 0), unhex(j.value ->> 1) from json_each($1) j)
       and $2 is not null",
];
