//! Counters of runs and rows of the rollup, which change with the calls.

use super::super::Totals;
use super::super::record::unknown_run;
use super::calls::{PricedCall, RunFacts, hex};
use super::rows::{Insert, Texts};
use crate::domain::{RunId, Timestamp};
use crate::error::{Error, Result};
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// The rollup's key: bucket, pipeline, agent, provider, model.
type RollupKey<'c> = (i64, &'c str, &'c str, &'c str, &'c str);

/// Adds the calls to their runs' counters and to the rollup (sign 1), or takes them off (-1).
pub(super) async fn count_calls(
    db: &mut SqliteConnection,
    runs: &HashMap<RunId, RunFacts>,
    calls: &[PricedCall<'_>],
    sign: i64,
    now: Timestamp,
) -> Result<()> {
    let mut by_run: BTreeMap<RunId, Totals> = BTreeMap::new();
    let mut by_key: BTreeMap<RollupKey<'_>, Totals> = BTreeMap::new();
    for priced in calls {
        let call = priced.call;
        let Some(run) = runs.get(&call.run_id) else { return Err(unknown_run(call.run_id)) };
        let key = (
            call.called_at.bucket(),
            run.pipeline.as_str(),
            call.agent.as_str(),
            call.provider.as_str(),
            call.model.as_str(),
        );
        by_run.entry(call.run_id).or_default().add_call(call.usage.as_ref(), priced.cost);
        by_key.entry(key).or_default().add_call(call.usage.as_ref(), priced.cost);
    }

    let run_rows: Vec<Value> = by_run
        .iter()
        .map(|(id, totals)| {
            let costed_at = runs.get(id).filter(|r| r.is_finished).map(|_| now.micros());
            Ok(json!([hex(id.0), costed_at, totals_row(totals, sign)?]))
        })
        .collect::<Result<_>>()?;
    sqlx::query(
        "with d as materialized (select value from json_each($1))
         update pipeline_run
         set llm_calls = llm_calls + (d.value ->> '$[2][0]'),
             unpriced_calls = unpriced_calls + (d.value ->> '$[2][1]'),
             input_tokens = input_tokens + (d.value ->> '$[2][2]'),
             cache_read_tokens = cache_read_tokens + (d.value ->> '$[2][3]'),
             cache_write_tokens = cache_write_tokens + (d.value ->> '$[2][4]'),
             cache_write_long_tokens = cache_write_long_tokens + (d.value ->> '$[2][5]'),
             output_tokens = output_tokens + (d.value ->> '$[2][6]'),
             reasoning_tokens = reasoning_tokens + (d.value ->> '$[2][7]'),
             embedding_tokens = embedding_tokens + (d.value ->> '$[2][8]'),
             web_searches = web_searches + (d.value ->> '$[2][9]'),
             cost_pico = cost_pico + (d.value ->> '$[2][10]'),
             costed_at = d.value ->> 1
         from d
         where run_id = unhex(d.value ->> 0)",
    )
    .bind(Value::from(run_rows).to_string())
    .execute(&mut *db)
    .await?;

    let key_rows: Vec<_> = by_key.into_iter().collect();
    let mut texts = Texts::default();
    ROLLUP
        .run(db, &key_rows, |((bucket, pipeline, agent, provider, model), totals), row| {
            row.bind(*bucket)?;
            for text in [pipeline, agent, provider, model] {
                row.bind(texts.of(text))?;
            }
            for count in totals_row(totals, sign)? {
                row.bind(count)?;
            }
            row.bind(1_i64)?;
            Ok(())
        })
        .await?
}

static ROLLUP: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "spend_rollup (
           bucket, pipeline, agent, provider, model, llm_calls, unpriced_calls, input_tokens, cache_read_tokens,
           cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens,
           web_searches, cost_pico, lane)",
        "*",
        17,
        "on conflict (bucket, pipeline, agent, provider, model, lane) do update
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
    )
});

/// The totals in the order of the columns.
fn totals_row(totals: &Totals, sign: i64) -> Result<[i64; 11]> {
    let too_many = || Error::input("the calls of a batch sum up to more than the ledger holds");
    let counts = [
        totals.llm_calls,
        totals.unpriced_calls,
        totals.input_tokens,
        totals.cache_read_tokens,
        totals.cache_write_tokens,
        totals.cache_write_long_tokens,
        totals.output_tokens,
        totals.reasoning_tokens,
        totals.embedding_tokens,
        totals.web_searches,
    ];
    let mut row = [0; 11];
    for (column, count) in row.iter_mut().zip(counts) {
        *column = sign * i64::try_from(count).map_err(|_| too_many())?;
    }
    row[10] = sign * totals.cost.to_column()?;
    Ok(row)
}
