//! Recording a batch of calls in SQLite.

use super::super::Recorded;
use super::super::archive::archived_ids;
use super::super::call::{CallRow, RecordedCall};
use super::super::record::{unknown_run, unknown_step};
use super::count::count_calls;
use super::price::{KeptBook, PriceBook};
use super::rows::{Insert, Texts};
use crate::domain::{Call, CallId, RunId, Status, StepId, Timestamp, TokenKind, Usd};
use crate::error::{Error, Result};
use crate::pricing::PricingState;
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

/// A call that is to be inserted, with its price.
pub(super) struct PricedCall<'c> {
    pub(super) call: &'c Call,
    pub(super) state: PricingState,
    pub(super) cost: Option<Usd>,
    /// The cost as the column holds it.
    pub(super) cost_pico: Option<i64>,
    pub(super) price_id: Option<i64>,
}

/// Calls of the journal by their keys.
type Known = HashMap<(RunId, CallId), Call>;

/// What a batch needs to know of a run.
pub(super) struct RunFacts {
    pub(super) pipeline: String,
    pub(super) is_finished: bool,
    pub(super) has_archive: bool,
}

/// Records a batch in the transaction that `db` is in. On an error the caller gives that up.
pub(in crate::store) async fn record_calls(
    db: &mut SqliteConnection,
    kept: &KeptBook,
    calls: &[Call],
    now: Timestamp,
) -> Result<Recorded> {
    let runs = open_runs(db, calls).await?;
    let calls = with_step_agents(db, calls).await?;
    let mut book = PriceBook::take(kept, db).await?;
    let archived = archived_calls(db, &runs).await?;
    // As if all others were new; only when one is not are the known ones read.
    let (fresh, mut recorded) = sort_out(&calls, &Known::new(), &archived);
    let mut priced = price(db, &mut book, fresh).await?;
    if !insert_calls(db, &priced).await? {
        let known = known_calls(db, &calls).await?;
        let (fresh, again) = sort_out(&calls, &known, &archived);
        recorded = again;
        priced = price(db, &mut book, fresh).await?;
        if !insert_calls(db, &priced).await? {
            return Err(Error::database("the journal refuses calls that it does not hold"));
        }
    }
    book.keep(kept);
    if priced.is_empty() {
        return Ok(recorded);
    }
    recorded.recorded = priced.len().try_into().unwrap_or(u64::MAX);
    recorded.unpriced = priced.iter().filter(|p| p.cost.is_none()).count().try_into().unwrap_or(u64::MAX);

    count_calls(db, &runs, &priced, 1, now).await?;
    Ok(recorded)
}

async fn price<'c>(
    db: &mut SqliteConnection,
    book: &mut PriceBook,
    calls: Vec<&'c Call>,
) -> Result<Vec<PricedCall<'c>>> {
    let mut priced = Vec::with_capacity(calls.len());
    for call in calls {
        let price = book.price(db, call).await?;
        let cost_pico = price.cost.map(Usd::to_column).transpose();
        let cost_pico = cost_pico.map_err(|e| e.at(format_args!("call `{}`", call.call_id)))?;
        priced.push(PricedCall {
            call,
            state: price.state,
            cost: price.cost,
            cost_pico,
            price_id: price.price_id,
        });
    }
    Ok(priced)
}

/// The batch's runs, which must be there; a call that names its pipeline starts its run.
async fn open_runs(db: &mut SqliteConnection, calls: &[Call]) -> Result<HashMap<RunId, RunFacts>> {
    let mut starts: BTreeMap<RunId, (&str, Timestamp)> = BTreeMap::new();
    for call in calls {
        if let Some(pipeline) = &call.pipeline {
            let start = starts.entry(call.run_id).or_insert((pipeline, call.called_at));
            start.0 = start.0.min(pipeline);
            start.1 = start.1.min(call.called_at);
        }
    }
    if !starts.is_empty() {
        let rows: Vec<_> =
            starts.iter().map(|(id, (pipeline, at))| json!([hex(id.0), pipeline, at.micros()])).collect();
        sqlx::query(
            "insert into pipeline_run (run_id, pipeline, status_id, started_at)
             select unhex(j.value ->> 0), j.value ->> 1, s.status_id, j.value ->> 2
             from json_each($1) j
             join status_lookup s on s.code = $2
             where not exists (select 1 from pipeline_run r where r.run_id = unhex(j.value ->> 0))",
        )
        .bind(Value::from(rows).to_string())
        .bind(Status::Running.code())
        .execute(&mut *db)
        .await?;
    }

    let ids: BTreeSet<RunId> = calls.iter().map(|c| c.run_id).collect();
    let rows: Vec<(RunId, String, bool, bool)> = sqlx::query_as(
        "select
           r.run_id, r.pipeline, r.completed_at is not null,
           exists (select 1 from archived_part p where p.run_id = r.run_id)
         from json_each($1) j
         join pipeline_run r on r.run_id = unhex(j.value)",
    )
    .bind(json!(ids.iter().map(|id| hex(id.0)).collect::<Vec<_>>()).to_string())
    .fetch_all(db)
    .await?;
    let runs: HashMap<RunId, RunFacts> = rows
        .into_iter()
        .map(|(id, pipeline, is_finished, has_archive)| (id, RunFacts { pipeline, is_finished, has_archive }))
        .collect();
    if let Some(call) = calls.iter().find(|call| !runs.contains_key(&call.run_id)) {
        return Err(unknown_run(call.run_id));
    }
    for call in calls {
        let pipeline = runs.get(&call.run_id).map(|run| &run.pipeline);
        if call.pipeline.is_some() && call.pipeline.as_ref() != pipeline {
            return Err(Error::conflict(format!(
                "run `{}` belongs to another pipeline than a call of it says",
                call.run_id
            ))
            .hint("leave `pipeline` out, or use a new run id"));
        }
    }
    Ok(runs)
}

/// The calls as the journal will hold them: the agent is the caller's, else the step's.
async fn with_step_agents<'c>(db: &mut SqliteConnection, calls: &'c [Call]) -> Result<Vec<Cow<'c, Call>>> {
    let keys: BTreeSet<(RunId, StepId)> =
        calls.iter().filter_map(|c| c.step_id.map(|step| (c.run_id, step))).collect();
    let mut agents: HashMap<(RunId, StepId), String> = HashMap::new();
    if !keys.is_empty() {
        let rows: Vec<(RunId, StepId, String)> = sqlx::query_as(
            "select t.run_id, t.step_id, t.agent
             from json_each($1) j
             join pipeline_step_run t on t.run_id = unhex(j.value ->> 0) and t.step_id = unhex(j.value ->> 1)",
        )
        .bind(json!(keys.iter().map(|(r, s)| [hex(r.0), hex(s.0)]).collect::<Vec<_>>()).to_string())
        .fetch_all(db)
        .await?;
        agents = rows.into_iter().map(|(run, step, agent)| ((run, step), agent)).collect();
    }
    calls
        .iter()
        .map(|call| {
            let agent = match call.step_id {
                Some(step) => {
                    let agent = agents.get(&(call.run_id, step));
                    Some(agent.ok_or_else(|| unknown_step(call.run_id, step))?)
                }
                None => None,
            };
            let agent = agent.filter(|_| call.agent.is_empty());
            if agent.is_none() && call.pipeline.is_none() && call.prompt.is_none() {
                return Ok(Cow::Borrowed(call));
            }
            let agent = agent.unwrap_or(&call.agent).clone();
            Ok(Cow::Owned(Call { agent, pipeline: None, prompt: None, ..call.clone() }))
        })
        .collect()
}

/// The calls of these runs that are in archives.
async fn archived_calls(
    db: &mut SqliteConnection,
    runs: &HashMap<RunId, RunFacts>,
) -> Result<HashSet<(RunId, CallId)>> {
    let mut archived = HashSet::new();
    for run_id in runs.iter().filter(|(_, facts)| facts.has_archive).map(|(id, _)| *id) {
        archived.extend(archived_ids(db, run_id).await?.into_iter().map(|call_id| (run_id, call_id)));
    }
    Ok(archived)
}

/// Puts calls back that had left for an archive, with the price they had.
pub(in crate::store) async fn restore_calls(db: &mut SqliteConnection, calls: &[RecordedCall]) -> Result<()> {
    if insert_calls(db, &as_priced(calls)?).await? {
        Ok(())
    } else {
        Err(Error::database("the journal holds a call that is in an archive as well"))
    }
}

/// Calls of the journal with the price that they have.
fn as_priced(calls: &[RecordedCall]) -> Result<Vec<PricedCall<'_>>> {
    let priced = calls.iter().map(|call| {
        Ok(PricedCall {
            call: &call.call,
            state: call.pricing_state,
            cost: call.cost,
            cost_pico: call.cost.map(Usd::to_column).transpose()?,
            price_id: call.price_id,
        })
    });
    priced.collect()
}

/// Takes calls of the journal off their runs' counters and the rollup.
pub(super) async fn discount_calls(
    db: &mut SqliteConnection,
    calls: &[RecordedCall],
    now: Timestamp,
) -> Result<()> {
    let bare: Vec<Call> = calls.iter().map(|call| call.call.clone()).collect();
    let runs = open_runs(db, &bare).await?;
    count_calls(db, &runs, &as_priced(calls)?, -1, now).await
}

/// Those of the calls that the journal holds.
async fn known_calls(db: &mut SqliteConnection, calls: &[Cow<'_, Call>]) -> Result<Known> {
    let keys: Vec<_> = calls.iter().map(|c| [hex(c.run_id.0), hex(c.call_id.0)]).collect();
    let rows: Vec<CallRow> = sqlx::query_as(
        "select c.*
         from json_each($1) j
         join llm_call c on c.run_id = unhex(j.value ->> 0) and c.call_id = unhex(j.value ->> 1)",
    )
    .bind(json!(keys).to_string())
    .fetch_all(db)
    .await?;
    let mut known = Known::new();
    for row in rows {
        let stored = RecordedCall::try_from(row)?.call;
        known.insert((stored.run_id, stored.call_id), stored);
    }
    Ok(known)
}

/// Splits off the calls that are known, or twice in the batch: the same contents are a duplicate, others a
/// conflict. Of what is in an archive the contents are not known here: it is a duplicate.
fn sort_out<'c>(
    calls: &'c [Cow<'_, Call>],
    known: &Known,
    archived: &HashSet<(RunId, CallId)>,
) -> (Vec<&'c Call>, Recorded) {
    let mut recorded = Recorded::default();
    let mut fresh: Vec<&Call> = Vec::with_capacity(calls.len());
    let mut places: HashMap<(RunId, CallId), &Call> = HashMap::with_capacity(calls.len());
    for call in calls {
        let call: &Call = call;
        let key = (call.run_id, call.call_id);
        match known.get(&key).or_else(|| places.get(&key).copied()) {
            None if archived.contains(&key) => recorded.duplicate += 1,
            Some(first) if first == call => recorded.duplicate += 1,
            Some(_) => recorded.conflict.push(key),
            None => {
                places.insert(key, call);
                fresh.push(call);
            }
        }
    }
    (fresh, recorded)
}

/// What the trigger says that keeps the journal's rows from being replaced.
const IS_KNOWN: &str = "llm_call is append-only: replacing a row is refused";

static INSERT: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "llm_call (
           run_id, call_id, step_id, called_at, input_tokens, cache_read_tokens, cache_write_tokens,
           cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches, latency_ms,
           cost_pico, price_id, agent, provider, model, operation, service_tier, pricing_state, outcome, response_id)",
        "*",
        23,
        "",
    )
});

/// Inserts the calls, or none of them if one is known: then the answer is `false`.
async fn insert_calls(db: &mut SqliteConnection, calls: &[PricedCall<'_>]) -> Result<bool> {
    let is_one = Insert::is_one(calls.len());
    if !is_one {
        sqlx::query("savepoint calls").execute(&mut *db).await?;
    }
    let mut texts = Texts::default();
    let inserted = INSERT
        .run(db, calls, |priced, row| {
            let call = priced.call;
            row.bind(call.run_id)?.bind(call.call_id)?.bind(call.step_id)?.bind(call.called_at)?;
            for kind in TokenKind::ALL {
                row.bind(call.usage.as_ref().map(|usage| column(usage.of(kind))).transpose()?)?;
            }
            row.bind(call.latency_ms.map(column).transpose()?)?
                .bind(priced.cost_pico)?
                .bind(priced.price_id)?;
            let names = [&call.agent, &call.provider, &call.model, &call.operation, &call.service_tier];
            for text in
                names.map(String::as_str).into_iter().chain([priced.state.code(), call.outcome.code()])
            {
                row.bind(texts.of(text))?;
            }
            row.bind(call.response_id.as_deref())?;
            Ok(())
        })
        .await;
    let is_new = match inserted {
        Ok(bound) => bound.map(|()| true)?,
        Err(sqlx::Error::Database(error)) if error.message() == IS_KNOWN => false,
        Err(error) => return Err(error.into()),
    };
    if !is_one {
        if !is_new {
            sqlx::query("rollback to calls").execute(&mut *db).await?;
        }
        sqlx::query("release calls").execute(db).await?;
    }
    Ok(is_new)
}

fn column(count: u64) -> Result<i64> {
    i64::try_from(count).map_err(|_| Error::input(format!("the count {count} does not fit")))
}

pub(in crate::store) fn hex(id: uuid::Uuid) -> String {
    id.as_simple().to_string()
}
