//! Pricing in SQLite: the same rules as the Postgres function `price_of_call`, by the reference itself.

use super::super::call::{CallRow, RecordedCall};
use super::super::prices::PriceRow;
use super::super::{PriceScope, Repriced};
use super::calls::hex;
use super::find_run;
use crate::domain::{Call, RunId, Timestamp, Usd};
use crate::error::Result;
use crate::pricing::{EntryKey, PriceEntry, PricingState, price, select};
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// The prices that have been looked up. Names and prices are only ever added to: as long as neither has a new row, what was
/// looked up holds.
#[derive(Debug, Default)]
pub(in crate::store) struct PriceBook {
    /// The last rows of `model_alias` and `model_price` that it knows of.
    until: (Option<i64>, Option<i64>),
    /// What a provider's models cost; nothing that is known, if there are no entries.
    names: HashMap<String, HashMap<String, Arc<[PriceEntry]>>>,
    entries: HashMap<EntryKey, Arc<[PriceEntry]>>,
}

/// A call's price, as the journal's columns hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallPrice {
    pub state: PricingState,
    pub cost: Option<Usd>,
    pub price_id: Option<i64>,
}

/// The book of the last batch, for the next one: a look-up costs as much as a hundred rows.
pub(in crate::store) type KeptBook = Arc<Mutex<PriceBook>>;

impl PriceBook {
    /// The kept book, if it still holds, for use in a transaction; [`PriceBook::keep`] puts it back.
    pub async fn take(kept: &KeptBook, db: &mut SqliteConnection) -> Result<Self> {
        let until = sqlx::query_as(
            "select (select max(alias_id) from model_alias), (select max(price_id) from model_price)",
        )
        .fetch_one(db)
        .await?;
        let book = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(if book.until == until { book } else { Self { until, ..Self::default() } })
    }

    pub fn keep(self, kept: &KeptBook) {
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = self;
    }

    /// What `call` costs by the catalogue in force when it was made.
    pub(super) async fn price(&mut self, db: &mut SqliteConnection, call: &Call) -> Result<CallPrice> {
        let known = self.names.get(&call.provider).and_then(|models| models.get(&call.model));
        let entries = match known {
            Some(entries) => entries,
            None => &self.look_up(db, &call.provider, &call.model).await?,
        };
        let whole_input = call.usage.map_or(0, |u| u.whole_input());
        let entry = select(entries, &call.service_tier, call.called_at, whole_input);
        let priced =
            price(call.usage.as_ref(), entry).map_err(|e| e.at(format_args!("call `{}`", call.call_id)))?;
        let price_id = priced.cost.and_then(|_| entry.and_then(|e| e.price_id));
        Ok(CallPrice { state: priced.state, cost: priced.cost, price_id })
    }

    async fn look_up(
        &mut self,
        db: &mut SqliteConnection,
        provider: &str,
        model: &str,
    ) -> Result<Arc<[PriceEntry]>> {
        let target = find_target(db, provider, model).await?;
        let entries = match &target {
            None => Arc::default(),
            Some(key) => {
                let known = self.entries.get(key).cloned();
                if let Some(entries) = known { entries } else { find_entries(db, key).await?.into() }
            }
        };
        if let Some(key) = target {
            self.entries.insert(key, Arc::clone(&entries));
        }
        let models = self.names.entry(provider.to_owned()).or_default();
        models.insert(model.to_owned(), Arc::clone(&entries));
        Ok(entries)
    }
}

/// What a call costs that is not recorded; none when that is not known.
pub(in crate::store) async fn price_of(
    db: &mut SqliteConnection,
    kept: &KeptBook,
    call: &Call,
) -> Result<Option<Usd>> {
    let mut book = PriceBook::take(kept, db).await?;
    let price = book.price(db, call).await?;
    book.keep(kept);
    Ok(price.cost)
}

/// The price entry that a reported name means.
async fn find_target(db: &mut SqliteConnection, provider: &str, model: &str) -> Result<Option<EntryKey>> {
    let target: Option<(Option<String>, Option<String>)> =
        sqlx::query_as(include_str!("../../../queries/name_target.sql"))
            .bind(provider)
            .bind(model)
            .fetch_optional(db)
            .await?;
    Ok(target.and_then(|(provider, model)| Some(EntryKey { provider: provider?, model: model? })))
}

async fn find_entries(db: &mut SqliteConnection, key: &EntryKey) -> Result<Vec<PriceEntry>> {
    let rows: Vec<PriceRow> = sqlx::query_as("select * from model_price where provider = $1 and model = $2")
        .bind(&key.provider)
        .bind(&key.model)
        .fetch_all(db)
        .await?;
    rows.into_iter().map(PriceEntry::try_from).collect()
}

/// Who prices after the fact, why and when.
pub(super) struct Act<'a> {
    pub reason: &'a str,
    pub recorded_by: &'a str,
    pub now: Timestamp,
}

/// Prices the calls of a run that `scope` names and whose price is another one now, and notes each in
/// `price_event`.
pub(super) async fn price_run(
    db: &mut SqliteConnection,
    run_id: RunId,
    scope: &PriceScope,
    act: &Act<'_>,
) -> Result<Repriced> {
    let run = find_run(db, run_id).await?.ok_or_else(|| super::unknown_run(run_id))?;
    let rows: Vec<CallRow> = sqlx::query_as(
        "select *
         from llm_call
         where run_id = $1
           and ($2 or pricing_state = 'unpriced')
           and ($3 is null or called_at >= $3)
           and ($4 is null or called_at < $4)
           and ($5 is null or provider = $5)
           and ($6 is null or model = $6)",
    )
    .bind(run_id)
    .bind(scope.everything)
    .bind(scope.since)
    .bind(scope.until)
    .bind(&scope.provider)
    .bind(&scope.model)
    .fetch_all(&mut *db)
    .await?;

    let mut book = PriceBook::default();
    let mut changes: Vec<(RecordedCall, CallPrice)> = Vec::new();
    for row in rows {
        let before = RecordedCall::try_from(row)?;
        let after = book.price(db, &before.call).await?;
        let old = CallPrice { state: before.pricing_state, cost: before.cost, price_id: before.price_id };
        if after.cost.is_some() && after != old {
            changes.push((before, after));
        }
    }
    if changes.is_empty() {
        return Ok(Repriced::default());
    }
    changes.sort_by_key(|(c, _)| (c.call.called_at, c.call.call_id));
    write_prices(db, run_id, &changes, act).await?;
    move_counters(db, run_id, &run.pipeline, run.completed_at.map(|_| act.now), &changes).await?;
    Ok(Repriced {
        calls: changes.len().try_into().unwrap_or(u64::MAX),
        before: changes.iter().filter_map(|(c, _)| c.cost).sum(),
        after: changes.iter().filter_map(|(_, p)| p.cost).sum(),
    })
}

async fn write_prices(
    db: &mut SqliteConnection,
    run_id: RunId,
    changes: &[(RecordedCall, CallPrice)],
    act: &Act<'_>,
) -> Result<()> {
    let rows: Vec<Value> = changes
        .iter()
        .map(|(before, after)| {
            let cost = after.cost.map(Usd::to_column).transpose()?;
            Ok(json!([hex(before.call.call_id.0), after.state.code(), after.price_id, cost]))
        })
        .collect::<Result<_>>()?;
    let rows = Value::from(rows).to_string();
    // Both statements must read the list once and look each call up (`cross join` keeps that order): the other
    // way round SQLite reads the whole list for each call of the run.
    sqlx::query(
        "insert into price_event (
           run_id, call_id, state_before, price_before, cost_before, state_after, price_after, cost_after, reason,
           recorded_at, recorded_by)
         select
           c.run_id, c.call_id, c.pricing_state, c.price_id, c.cost_pico, j.value ->> 1, j.value ->> 2, j.value ->> 3,
           $3, $4, $5
         from json_each($2) j
         cross join llm_call c on c.run_id = $1 and c.call_id = unhex(j.value ->> 0)",
    )
    .bind(run_id)
    .bind(&rows)
    .bind(act.reason)
    .bind(act.now)
    .bind(act.recorded_by)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "with change (call_id, pricing_state, price_id, cost_pico) as materialized (
           select unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3
           from json_each($2)
         )
         update llm_call
         set pricing_state = change.pricing_state, price_id = change.price_id, cost_pico = change.cost_pico
         from change
         where run_id = $1 and llm_call.call_id = change.call_id",
    )
    .bind(run_id)
    .bind(&rows)
    .execute(db)
    .await?;
    Ok(())
}

/// Moves the run's counters and the rollup by what the changes make of them.
async fn move_counters(
    db: &mut SqliteConnection,
    run_id: RunId,
    pipeline: &str,
    costed_at: Option<Timestamp>,
    changes: &[(RecordedCall, CallPrice)],
) -> Result<()> {
    let mut by_key: BTreeMap<(i64, &str, &str, &str), (i64, Usd)> = BTreeMap::new();
    for (before, after) in changes {
        let call = &before.call;
        let moved =
            by_key.entry((call.called_at.bucket(), &call.agent, &call.provider, &call.model)).or_default();
        moved.0 += i64::from(before.cost.is_none());
        moved.1 += after.cost.unwrap_or_default() - before.cost.unwrap_or_default();
    }
    let rows: Vec<Value> = by_key
        .iter()
        .map(|((bucket, agent, provider, model), (now_priced, difference))| {
            Ok(json!([bucket, agent, provider, model, now_priced, difference.to_column()?]))
        })
        .collect::<Result<_>>()?;
    // What is settled stays so: the difference is in the open lane.
    sqlx::query(
        "insert into spend_rollup (
           bucket, pipeline, agent, provider, model, llm_calls, unpriced_calls, input_tokens, cache_read_tokens,
           cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens,
           web_searches, cost_pico, lane)
         select
           j.value ->> 0, $1, j.value ->> 1, j.value ->> 2, j.value ->> 3, 0, -(j.value ->> 4), 0, 0, 0, 0, 0, 0, 0,
           0, j.value ->> 5, 1
         from json_each($2) j
         where true
         on conflict (bucket, pipeline, agent, provider, model, lane) do update
         set unpriced_calls = unpriced_calls + excluded.unpriced_calls, cost_pico = cost_pico + excluded.cost_pico",
    )
    .bind(pipeline)
    .bind(Value::from(rows).to_string())
    .execute(&mut *db)
    .await?;

    let now_priced: i64 = by_key.values().map(|(n, _)| n).sum();
    let difference: Usd = by_key.values().map(|(_, d)| *d).sum();
    sqlx::query(
        "update pipeline_run
         set unpriced_calls = unpriced_calls - $2, cost_pico = cost_pico + $3, costed_at = coalesce($4, costed_at)
         where run_id = $1",
    )
    .bind(run_id)
    .bind(now_priced)
    .bind(difference.to_column()?)
    .bind(costed_at)
    .execute(db)
    .await?;
    Ok(())
}
