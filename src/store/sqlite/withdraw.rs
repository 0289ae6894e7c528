//! Taking calls out of the journal that turned out to be others: `withdraw_calls` of Postgres, as statements.

use super::super::call::{CallRow, RecordedCall};
use super::super::prices::who;
use super::calls::{discount_calls, hex};
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
        "insert into withdrawn_call (run_id, call_id, call, prompt, reason, withdrawn_at, withdrawn_by)
         select
           unhex(j.value ->> 0), unhex(j.value ->> 1), j.value ->> 2,
           case when p.call_id is not null then json_object(
             'run_id', j.value ->> 0, 'call_id', j.value ->> 1, 'step_id', nullif(lower(hex(p.step_id)), ''), 'sent_at', p.sent_at,
             'prompt_version_id', p.prompt_version_id, 'text_sha256', nullif(lower(hex(p.text_sha256)), ''),
             'output_sha256', nullif(lower(hex(p.output_sha256)), ''), 'sanitisation', p.sanitisation,
             'purged_at', p.purged_at, 'redacted_at', p.redacted_at) end,
           $2, $3, $4
         from json_each($1) j
         left join llm_call_prompt p on p.run_id = unhex(j.value ->> 0) and p.call_id = unhex(j.value ->> 1)",
    )
    .bind(Value::from(kept).to_string())
    .bind(reason)
    .bind(now)
    .bind(who())
    .execute(&mut *db)
    .await?;
    let calls = rows.into_iter().map(RecordedCall::try_from).collect::<Result<Vec<_>>>()?;
    discount_calls(db, &calls, now).await?;
    sqlx::query(
        "delete from llm_call
         where (run_id, call_id) in (select unhex(j.value ->> 0), unhex(j.value ->> 1) from json_each($1) j)",
    )
    .bind(&keys)
    .execute(&mut *db)
    .await?;
    // Calls in an archive are not withdrawn, and keep what was sent.
    let withdrawn: Vec<_> =
        calls.iter().map(|call| [hex(call.call.run_id.0), hex(call.call.call_id.0)]).collect();
    sqlx::query(
        "delete from llm_call_prompt
         where (run_id, call_id) in (select unhex(j.value ->> 0), unhex(j.value ->> 1) from json_each($1) j)",
    )
    .bind(json!(withdrawn).to_string())
    .execute(db)
    .await?;
    Ok(calls.len() as u64)
}
