//! A batch of calls as the Postgres core takes it: each run, step and name once, and a place for each call.

use super::Recorded;
use super::connections::Session;
use crate::domain::{Call, CallId, RunId, StepId, Timestamp, TokenKind};
use crate::error::{Error, Result};
use serde::Deserialize;
use sqlx::types::Json;
use std::collections::HashMap;
use std::hash::Hash;

/// What the recording functions answer.
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

impl From<Answer> for Recorded {
    fn from(answer: Answer) -> Self {
        Self {
            recorded: answer.recorded,
            duplicate: answer.duplicate,
            conflict: answer.conflict.into_iter().map(|key| (key.run_id, key.call_id)).collect(),
            unpriced: answer.unpriced,
        }
    }
}

/// Values that repeat, each with its place from 1, as arrays in SQL count.
struct Places<K> {
    known: HashMap<K, i32>,
    values: Vec<K>,
    last: Option<(K, i32)>,
}

impl<K: Copy + Eq + Hash> Places<K> {
    fn new() -> Self {
        Self { known: HashMap::new(), values: Vec::new(), last: None }
    }

    fn of(&mut self, value: K) -> i32 {
        // Neighbours are often alike.
        if let Some((last, place)) = self.last
            && last == value
        {
            return place;
        }
        let next = i32::try_from(self.values.len() + 1).unwrap_or(i32::MAX);
        let place = *self.known.entry(value).or_insert(next);
        if place == next {
            self.values.push(value);
        }
        self.last = Some((value, place));
        place
    }

    fn column<T>(&self, of: impl Fn(&K) -> T) -> Vec<T> {
        self.values.iter().map(of).collect()
    }
}

/// Agent, provider, model, operation and service tier.
type Names<'c> = [&'c str; 5];

/// Records a batch.
pub(super) async fn record(db: &mut Session, calls: &[&Call]) -> Result<Recorded> {
    if let [call] = calls {
        return record_one(db, call).await;
    }
    let mut runs: Places<RunId> = Places::new();
    let mut steps: Places<(i32, StepId)> = Places::new();
    let mut names: Places<Names<'_>> = Places::new();
    let mut starts: HashMap<(i32, &str), Timestamp> = HashMap::new();
    let mut run = Vec::with_capacity(calls.len());
    let mut step = Vec::with_capacity(calls.len());
    let mut kind = Vec::with_capacity(calls.len());
    for call in calls {
        let of_run = runs.of(call.run_id);
        run.push(of_run);
        step.push(call.step_id.map(|id| steps.of((of_run, id))));
        kind.push(names.of([&call.agent, &call.provider, &call.model, &call.operation, &call.service_tier]));
        if let Some(pipeline) = &call.pipeline {
            let start = starts.entry((of_run, pipeline)).or_insert(call.called_at);
            *start = call.called_at.min(*start);
        }
    }

    let mut query = sqlx::query_scalar(
        "select record_call_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
         $19, $20, $21, $22, $23, $24, $25, $26, $27)",
    )
    .bind(runs.column(|id| *id))
    .bind(starts.keys().map(|(run, _)| *run).collect::<Vec<_>>())
    .bind(starts.keys().map(|(_, pipeline)| *pipeline).collect::<Vec<_>>())
    .bind(starts.values().copied().collect::<Vec<_>>())
    .bind(steps.column(|(run, _)| *run))
    .bind(steps.column(|(_, id)| *id));
    for place in 0..5 {
        query = query.bind(names.column(|names| names[place]));
    }
    query = query
        .bind(run)
        .bind(step)
        .bind(kind)
        .bind(column(calls, |c| c.call_id))
        .bind(column(calls, |c| c.called_at));
    for kind in TokenKind::ALL {
        query = query.bind(calls.iter().map(|c| count(c, kind)).collect::<Result<Vec<_>>>()?);
    }
    let Json(answer): Json<Answer> = query
        .bind(column(calls, latency))
        .bind(column(calls, |c| c.outcome.code()))
        .bind(column(calls, |c| c.response_id.as_deref()))
        .fetch_one(db)
        .await?;
    Ok(answer.into())
}

async fn record_one(db: &mut Session, call: &Call) -> Result<Recorded> {
    let mut query = sqlx::query_scalar(
        "select record_call($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
         $21)",
    )
    .bind(call.run_id)
    .bind(call.call_id)
    .bind(call.step_id)
    .bind(call.pipeline.as_deref())
    .bind(&call.agent)
    .bind(&call.provider)
    .bind(&call.model)
    .bind(&call.operation)
    .bind(&call.service_tier)
    .bind(call.called_at);
    for kind in TokenKind::ALL {
        query = query.bind(count(call, kind)?);
    }
    let Json(answer): Json<Answer> = query
        .bind(latency(call))
        .bind(call.outcome.code())
        .bind(call.response_id.as_deref())
        .fetch_one(db)
        .await?;
    Ok(answer.into())
}

fn column<'c, T>(calls: &[&'c Call], of: impl Fn(&'c Call) -> T) -> Vec<T> {
    calls.iter().map(|call| of(call)).collect()
}

fn latency(call: &Call) -> Option<i64> {
    call.latency_ms.and_then(|ms| i64::try_from(ms).ok())
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
