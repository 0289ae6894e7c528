//! Many changes at once: what imports and the spool use.
//!
//! A chunk is put in order by kind (runs, steps, calls, finishes), so that its calls go in as one batch. A
//! change that is refused does not hold up the others. On SQLite a chunk is one transaction: a commit
//! there costs as much as a thousand rows.

use super::sqlite::{self, calls};
use super::{MAX_BATCH, Recorded, SqliteStore, Store};
use crate::domain::{Call, Event, FinishStep, StartStep, Timestamp};
use crate::error::{Error, Result};
use sqlx::SqliteConnection;

/// What became of a chunk.
#[derive(Debug, Default)]
pub struct Applied {
    /// What became of its calls.
    pub calls: Recorded,
    /// Changes that were refused, by their place in the chunk.
    pub refused: Vec<(usize, Error)>,
}

impl Store {
    /// Applies `changes`, each on its own: one that is refused (unknown run, conflict, a value the ledger does
    /// not take) is reported and the others are applied.
    ///
    /// # Errors
    /// When the ledger cannot be reached or fails; on SQLite the chunk is then not applied at all, on
    /// Postgres a part of it may be. Applying it again is safe.
    pub async fn apply(&self, changes: &[Event]) -> Result<Applied> {
        let now = self.now();
        let mut applied = Applied::default();
        let mut valid: Vec<(usize, &Event)> = Vec::with_capacity(changes.len());
        for (place, change) in changes.iter().enumerate() {
            match change.check(now) {
                Ok(()) => valid.push((place, change)),
                Err(error) => applied.refused.push((place, error)),
            }
        }
        // A name that is refused must not reach the database, which would stop at it.
        let names = valid.iter().filter_map(|(_, change)| match change {
            Event::Call(call) => Some((call.provider.as_str(), call.model.as_str())),
            _ => None,
        });
        self.resolve_names(names).await?;
        valid.sort_by_key(|(place, change)| {
            let kind = match change {
                Event::Run(_) => 0,
                Event::Step(_) => 1,
                Event::Call(_) => 2,
                Event::Prompt(_) => 3,
                Event::FinishStep(_) => 4,
                Event::Finish(_) => 5,
            };
            (kind, *place)
        });
        match self {
            Store::Postgres(_) => self.apply_one_by_one(&valid, &mut applied).await?,
            Store::Sqlite(s) => s.apply_in_one(&valid, &mut applied).await?,
        }
        applied.refused.sort_by_key(|(place, _)| *place);
        Ok(applied)
    }

    async fn apply_one_by_one(&self, changes: &[(usize, &Event)], applied: &mut Applied) -> Result<()> {
        let Store::Postgres(s) = self else { return Ok(()) };
        let mut calls: Vec<(usize, Call)> = Vec::new();
        for &(place, change) in changes {
            if !calls.is_empty() && !matches!(change, Event::Call(_)) {
                self.record_parts(std::mem::take(&mut calls), applied).await?;
            }
            let outcome = match change {
                Event::Run(run) => s.start_run(run).await.map(drop),
                Event::Step(step) => match s.start_step(step).await {
                    Ok(_) => match finish_of(step) {
                        Some(finish) => s.finish_step(&finish).await.map(drop),
                        None => Ok(()),
                    },
                    Err(error) => Err(error),
                },
                Event::Call(call) => {
                    calls.push((place, call.clone()));
                    Ok(())
                }
                Event::FinishStep(finish) => s.finish_step(finish).await.map(drop),
                Event::Finish(finish) => s.finish_run(finish).await.map(drop),
                Event::Prompt(_) => Ok(()),
            };
            note(applied, place, outcome)?;
        }
        self.record_parts(calls, applied).await
    }

    /// Records calls in batches. A batch that is refused is halved until the call at fault stands alone.
    async fn record_parts(&self, calls: Vec<(usize, Call)>, applied: &mut Applied) -> Result<()> {
        let Store::Postgres(s) = self else { return Ok(()) };
        let mut parts: Vec<&[(usize, Call)]> = calls.chunks(MAX_BATCH).rev().collect();
        while let Some(part) = parts.pop() {
            let batch: Vec<Call> = part.iter().map(|(_, call)| call.clone()).collect();
            match s.record_calls(&batch).await {
                Ok(recorded) => applied.calls += recorded,
                Err(error) if error.is_of_the_ledger() => return Err(error),
                Err(error) => split(part, error, &mut parts, applied),
            }
        }
        Ok(())
    }
}

/// Puts the halves of a refused part back, or the one call aside.
fn split<'a>(
    part: &'a [(usize, Call)],
    error: Error,
    parts: &mut Vec<&'a [(usize, Call)]>,
    applied: &mut Applied,
) {
    if let [(place, _)] = part {
        applied.refused.push((*place, error));
    } else {
        let (first, second) = part.split_at(part.len() / 2);
        parts.push(second);
        parts.push(first);
    }
}

fn note(applied: &mut Applied, place: usize, outcome: Result<()>) -> Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) if error.is_of_the_ledger() => Err(error),
        Err(error) => {
            applied.refused.push((place, error));
            Ok(())
        }
    }
}

/// The end of a step that a native line carries with its start.
fn finish_of(step: &StartStep) -> Option<FinishStep> {
    let status = step.status.filter(|s| s.is_final())?;
    Some(FinishStep { run_id: step.run_id, step_id: step.step_id, status, completed_at: step.completed_at })
}

impl SqliteStore {
    async fn apply_in_one(&self, changes: &[(usize, &Event)], applied: &mut Applied) -> Result<()> {
        let now = self.clock.now();
        let mut tx = self.begin().await?;
        let mut calls: Vec<(usize, Call)> = Vec::new();
        for &(place, change) in changes {
            if !calls.is_empty() && !matches!(change, Event::Call(_)) {
                record_parts(&mut tx, std::mem::take(&mut calls), now, applied).await?;
            }
            if let Event::Call(call) = change {
                calls.push((place, call.clone()));
                continue;
            }
            note(applied, place, apply_one(&mut tx, change, now).await)?;
        }
        record_parts(&mut tx, calls, now, applied).await?;
        Ok(tx.commit().await?)
    }
}

/// One change other than a call, in the transaction that `db` is in. A refused one leaves nothing behind.
async fn apply_one(db: &mut SqliteConnection, change: &Event, now: Timestamp) -> Result<()> {
    match change {
        Event::Run(run) => sqlite::start_run(db, run).await,
        Event::Step(step) => {
            sqlite::start_step(db, step, now).await?;
            match finish_of(step) {
                Some(finish) => sqlite::finish_step(db, &finish, now).await,
                None => Ok(()),
            }
        }
        Event::FinishStep(finish) => sqlite::finish_step(db, finish, now).await,
        Event::Finish(finish) => sqlite::finish_run(db, finish, now).await,
        Event::Call(_) | Event::Prompt(_) => Ok(()),
    }
}

/// As [`Store::record_parts`], inside a transaction.
async fn record_parts(
    db: &mut SqliteConnection,
    all: Vec<(usize, Call)>,
    now: Timestamp,
    applied: &mut Applied,
) -> Result<()> {
    let mut parts: Vec<&[(usize, Call)]> = all.chunks(MAX_BATCH).rev().collect();
    while let Some(part) = parts.pop() {
        let batch: Vec<Call> = part.iter().map(|(_, call)| call.clone()).collect();
        match sqlite::guarded(db, async |db| calls::record_calls(db, &batch, now).await).await {
            Ok(recorded) => applied.calls += recorded,
            Err(error) if error.is_of_the_ledger() => return Err(error),
            Err(error) => split(part, error, &mut parts, applied),
        }
    }
    Ok(())
}
