//! The reference: the same columns under the same key in one bare table, and the statement that a program
//! would write which wants nothing but its rows.

use asmm::domain::{Call, TokenKind};
use serde_json::{Value, json};
use sqlx::{PgConnection, SqliteConnection};

/// Made in the schema `NAME_bare`, with the journal's types and key and nothing else.
pub(crate) const POSTGRES_TABLE: &str =
    "create table bare_call (like llm_call, primary key (run_id, call_id))";

pub(crate) const SQLITE_TABLE: &str = "create table bare_call (
  run_id blob not null, call_id blob not null, step_id blob, called_at integer not null,
  input_tokens integer, cache_read_tokens integer, cache_write_tokens integer, cache_write_long_tokens integer,
  output_tokens integer, reasoning_tokens integer, embedding_tokens integer, web_searches integer,
  latency_ms integer, cost_pico integer, price_id integer, agent text not null, provider text not null,
  model text not null, operation text not null, service_tier text not null, pricing_state text not null,
  outcome text not null, response_id text, primary key (run_id, call_id)) strict, without rowid";

/// A plausible cost: the reference prices nothing, but stores a price.
const COST: i64 = 1_234_567_890;

fn count(call: &Call, kind: TokenKind) -> Option<i32> {
    call.usage.as_ref().and_then(|usage| i32::try_from(usage.of(kind)).ok())
}

fn latency(call: &Call) -> Option<i64> {
    call.latency_ms.and_then(|ms| i64::try_from(ms).ok())
}

/// The agent that asmm looks up from the step; here the program knows it.
const AGENT: &str = "pipeline-0/agent-0";

pub(crate) async fn insert_postgres(db: &mut PgConnection, calls: &[Call]) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(
        "insert into bare_call (
           run_id, call_id, step_id, agent, provider, model, operation, service_tier, called_at, input_tokens,
           cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens,
           embedding_tokens, web_searches, latency_ms, outcome, response_id, price_id, pricing_state, cost_pico)
         select *
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
           $9::timestamptz[], $10::integer[], $11::integer[], $12::integer[], $13::integer[], $14::integer[],
           $15::integer[], $16::integer[], $17::integer[], $18::bigint[], $19::text[], $20::text[], $21::bigint[],
           $22::text[], $23::bigint[])",
    )
    .bind(calls.iter().map(|c| c.run_id.0).collect::<Vec<_>>())
    .bind(calls.iter().map(|c| c.call_id.0).collect::<Vec<_>>())
    .bind(calls.iter().map(|c| c.step_id.map(|s| s.0)).collect::<Vec<_>>())
    .bind(vec![AGENT; calls.len()])
    .bind(calls.iter().map(|c| c.provider.as_str()).collect::<Vec<_>>())
    .bind(calls.iter().map(|c| c.model.as_str()).collect::<Vec<_>>())
    .bind(calls.iter().map(|c| c.operation.as_str()).collect::<Vec<_>>())
    .bind(calls.iter().map(|c| c.service_tier.as_str()).collect::<Vec<_>>())
    .bind(calls.iter().map(|c| c.called_at.to_utc()).collect::<Vec<_>>());
    for kind in TokenKind::ALL {
        query = query.bind(calls.iter().map(|c| count(c, kind)).collect::<Vec<_>>());
    }
    query
        .bind(calls.iter().map(latency).collect::<Vec<_>>())
        .bind(calls.iter().map(|c| c.outcome.code()).collect::<Vec<_>>())
        .bind(calls.iter().map(|c| c.response_id.as_deref()).collect::<Vec<_>>())
        .bind(vec![1_i64; calls.len()])
        .bind(vec!["priced"; calls.len()])
        .bind(vec![COST; calls.len()])
        .execute(db)
        .await?;
    Ok(())
}

pub(crate) async fn insert_sqlite(db: &mut SqliteConnection, calls: &[Call]) -> Result<(), sqlx::Error> {
    let hex = |id: uuid::Uuid| id.as_simple().to_string();
    let rows: Vec<Value> = calls
        .iter()
        .map(|c| {
            let mut row = vec![
                json!(hex(c.run_id.0)),
                json!(hex(c.call_id.0)),
                json!(c.step_id.map(|s| hex(s.0))),
                json!(c.called_at.micros()),
            ];
            row.extend(TokenKind::ALL.map(|kind| json!(count(c, kind))));
            row.extend([json!(c.latency_ms), json!(COST), json!(1), json!(AGENT)]);
            row.extend([&c.provider, &c.model, &c.operation, &c.service_tier].map(|text| json!(text)));
            row.extend([json!("priced"), json!(c.outcome.code()), json!(c.response_id)]);
            Value::from(row)
        })
        .collect();
    sqlx::query(
        "with j as materialized (select value from json_each($1))
         insert into bare_call
         select
           unhex(j.value ->> 0), unhex(j.value ->> 1), unhex(j.value ->> 2), j.value ->> 3, j.value ->> 4,
           j.value ->> 5, j.value ->> 6, j.value ->> 7, j.value ->> 8, j.value ->> 9, j.value ->> 10, j.value ->> 11,
           j.value ->> 12, j.value ->> 13, j.value ->> 14, j.value ->> 15, j.value ->> 16, j.value ->> 17,
           j.value ->> 18, j.value ->> 19, j.value ->> 20, j.value ->> 21, j.value ->> 22
         from j",
    )
    .bind(Value::from(rows).to_string())
    .execute(db)
    .await?;
    Ok(())
}
