//! Many changes at once: what imports and the spool use.
//!
//! A chunk is put in order by kind (runs, steps, calls, prompts, the guard's decisions, finishes), so that its calls go in as one batch. A
//! change that is refused does not hold up the others. On SQLite a chunk is one transaction: a commit
//! there costs as much as a thousand rows.

use super::lanes::lanes_of;
use super::sent::{SentRow, Versions};
use super::sqlite::{self, calls};
use super::{MAX_BATCH, PostgresStore, Recorded, SqliteStore, Store};
use crate::domain::{Call, Event, FinishStep, GuardEvent, Span, StartStep, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use futures_util::future::try_join_all;
use sqlx::SqliteConnection;
use std::borrow::Borrow;
use std::collections::HashSet;

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
    pub async fn apply<E: Borrow<Event> + Sync>(&self, changes: &[E]) -> Result<Applied> {
        self.apply_over(changes, 1).await
    }

    /// [`Store::apply`] over several connections at once, which a Postgres with cores to spare takes in faster; what
    /// belongs to a run stays in order. `SQLite` has one writer, whatever is asked for.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub async fn apply_over<E: Borrow<Event> + Sync>(
        &self,
        changes: &[E],
        connections: usize,
    ) -> Result<Applied> {
        let changes: Vec<&Event> = changes.iter().map(Borrow::borrow).collect();
        let count = if matches!(self, Store::Sqlite(_)) { 1 } else { connections.max(1) };
        let mut lanes = vec![(Vec::new(), Vec::new()); count];
        for (place, lane) in lanes_of(&changes, count).into_iter().enumerate() {
            lanes[lane].0.push(place);
            lanes[lane].1.push(changes[place]);
        }
        lanes.retain(|(places, _)| !places.is_empty());
        let outcomes =
            try_join_all(lanes.iter().map(async |(_, changes)| self.apply_in_lane(changes).await)).await?;
        let mut applied = Applied::default();
        for ((places, _), outcome) in lanes.iter().zip(outcomes) {
            applied.calls += outcome.calls;
            applied.refused.extend(outcome.refused.into_iter().map(|(nth, error)| (places[nth], error)));
        }
        applied.refused.sort_by_key(|(place, _)| *place);
        Ok(applied)
    }

    async fn apply_in_lane(&self, changes: &[&Event]) -> Result<Applied> {
        let now = self.now();
        let mut applied = Applied::default();
        let mut valid: Vec<(usize, &Event)> = Vec::with_capacity(changes.len());
        for (place, change) in changes.iter().copied().enumerate() {
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
        let chunk = self.in_order(&valid, &mut applied).await?;
        match self {
            Store::Postgres(s) => s.apply(chunk, &mut applied).await?,
            Store::Sqlite(s) => s.apply_in_one(chunk, &mut applied).await?,
        }
        // They start runs of their own, and finish them.
        let spans = valid.iter().filter_map(|(place, change)| Some((*place, change.as_span()?.clone())));
        let (places, spans): (Vec<usize>, Vec<Span>) = spans.unzip();
        let (taken, refused) = self.take_each_span(&spans).await?;
        applied.calls += taken.calls;
        applied.refused.extend(refused.into_iter().map(|(nth, error)| (places[nth], error)));
        Ok(applied)
    }

    async fn in_order<'a>(&self, changes: &[(usize, &'a Event)], applied: &mut Applied) -> Result<Chunk<'a>> {
        let mut chunk = Chunk::default();
        let mut versions = Versions::default();
        let mut steps = Vec::new();
        let mut run_ends = Vec::new();
        for &(place, change) in changes {
            let sent = match change {
                Event::Call(call) => call.sent_prompt(),
                Event::Prompt(sent) => Some(sent.clone()),
                _ => None,
            };
            if let Some(sent) = sent {
                match self.prepare_prompt(&sent, &mut versions).await {
                    Ok(row) => chunk.prompts.push((place, row)),
                    outcome => {
                        note(applied, place, outcome.map(drop))?;
                        continue;
                    }
                }
            }
            match change {
                Event::Run(_) => chunk.starts.push((place, change)),
                Event::Step(_) => steps.push((place, change)),
                Event::Call(call) => chunk.calls.push((place, call)),
                Event::Prompt(_) | Event::Span(_) => {}
                Event::FinishStep(_) => chunk.ends.push((place, change)),
                Event::Finish(_) => run_ends.push((place, change)),
                Event::Guard(event) => chunk.decisions.push((place, event.clone())),
            }
        }
        chunk.starts.append(&mut steps);
        chunk.ends.append(&mut run_ends);
        Ok(chunk)
    }
}

/// Changes in the order they are applied in.
#[derive(Default)]
struct Chunk<'a> {
    starts: Vec<(usize, &'a Event)>,
    calls: Vec<(usize, &'a Call)>,
    /// What was sent, in these calls or in calls that come later.
    prompts: Vec<(usize, SentRow)>,
    /// What the guard decided.
    decisions: Vec<(usize, GuardEvent)>,
    ends: Vec<(usize, &'a Event)>,
}

impl Chunk<'_> {
    /// The prompts of calls that were refused or are in conflict are not recorded either.
    fn drop_refused_prompts(&mut self, applied: &Applied) {
        let refused: HashSet<usize> = applied.refused.iter().map(|(place, _)| *place).collect();
        let conflicts: HashSet<_> = applied.calls.conflict.iter().collect();
        self.prompts.retain(|(place, row)| !refused.contains(place) && !conflicts.contains(&row.key()));
    }
}

impl PostgresStore {
    /// Applies a chunk in one transaction, and so with one commit; if something in it is refused, each on its own, to
    /// find out what.
    async fn apply(&self, chunk: Chunk<'_>, applied: &mut Applied) -> Result<()> {
        match self.apply_together(&chunk).await {
            Ok(recorded) => {
                applied.calls += recorded;
                Ok(())
            }
            Err(error) if is_unreachable(&error) => Err(error),
            Err(_) => self.apply_one_by_one(chunk, applied).await,
        }
    }

    async fn apply_together(&self, chunk: &Chunk<'_>) -> Result<Recorded> {
        let mut tx = self.pool.begin().await?;
        Self::apply_starts(&mut tx, &chunk.starts).await?;
        let mut recorded = Recorded::default();
        for part in chunk.calls.chunks(MAX_BATCH) {
            let batch: Vec<&Call> = part.iter().map(|(_, call)| *call).collect();
            recorded += super::batch::record(&mut tx, &batch).await?;
        }
        let conflicts: HashSet<_> = recorded.conflict.iter().copied().collect();
        let prompts = chunk.prompts.iter().map(|(_, row)| row).filter(|row| !conflicts.contains(&row.key()));
        let prompts: Vec<SentRow> = prompts.cloned().collect();
        for rows in prompts.chunks(MAX_BATCH) {
            recorded.conflict.extend(Self::record_prompts(&mut tx, rows).await?.conflict);
        }
        let decisions: Vec<GuardEvent> = chunk.decisions.iter().map(|(_, event)| event.clone()).collect();
        for events in decisions.chunks(MAX_BATCH) {
            Self::record_guard_events(&mut tx, events).await?;
        }
        let started = chunk.starts.iter().filter_map(|(_, event)| event.as_step()).filter_map(finish_of);
        let mut steps: Vec<FinishStep> = started.collect();
        let mut runs = Vec::new();
        for (_, event) in &chunk.ends {
            match event {
                Event::FinishStep(finish) => steps.push(finish.clone()),
                Event::Finish(finish) => runs.push(finish),
                _ => {}
            }
        }
        Self::apply_finishes(&mut tx, steps, runs).await?;
        tx.commit().await?;
        Ok(recorded)
    }

    async fn apply_one_by_one(&self, mut chunk: Chunk<'_>, applied: &mut Applied) -> Result<()> {
        for (place, change) in std::mem::take(&mut chunk.starts) {
            note(applied, place, self.apply_one(change).await)?;
        }
        let mut parts: Vec<&[(usize, &Call)]> = chunk.calls.chunks(MAX_BATCH).rev().collect();
        while let Some(part) = parts.pop() {
            let batch: Vec<&Call> = part.iter().map(|(_, call)| *call).collect();
            match self.record_calls(&batch, Vec::new()).await {
                Ok(recorded) => applied.calls += recorded,
                Err(error) if error.is_of_the_ledger() => return Err(error),
                Err(error) => split(part, error, &mut parts, applied),
            }
        }
        chunk.drop_refused_prompts(applied);
        let mut parts: Vec<&[(usize, SentRow)]> = chunk.prompts.chunks(MAX_BATCH).rev().collect();
        while let Some(part) = parts.pop() {
            let rows: Vec<SentRow> = part.iter().map(|(_, row)| row.clone()).collect();
            match self.record_some_prompts(&rows).await {
                Ok(recorded) => applied.calls.conflict.extend(recorded.conflict),
                Err(error) if error.is_of_the_ledger() => return Err(error),
                Err(error) => split(part, error, &mut parts, applied),
            }
        }
        let mut parts: Vec<&[(usize, GuardEvent)]> = chunk.decisions.chunks(MAX_BATCH).rev().collect();
        while let Some(part) = parts.pop() {
            let events: Vec<GuardEvent> = part.iter().map(|(_, event)| event.clone()).collect();
            match self.record_some_guard_events(&events).await {
                Ok(_) => {}
                Err(error) if error.is_of_the_ledger() => return Err(error),
                Err(error) => split(part, error, &mut parts, applied),
            }
        }
        for (place, change) in chunk.ends {
            note(applied, place, self.apply_one(change).await)?;
        }
        Ok(())
    }

    /// One change other than a call and what was sent in it.
    async fn apply_one(&self, change: &Event) -> Result<()> {
        match change {
            Event::Run(run) => self.start_run(run).await.map(drop),
            Event::Step(step) => {
                self.start_step(step).await?;
                match finish_of(step) {
                    Some(finish) => self.finish_step(&finish).await.map(drop),
                    None => Ok(()),
                }
            }
            Event::FinishStep(finish) => self.finish_step(finish).await.map(drop),
            Event::Finish(finish) => self.finish_run(finish).await.map(drop),
            Event::Call(_) | Event::Prompt(_) | Event::Guard(_) | Event::Span(_) => Ok(()),
        }
    }
}

/// Whether the ledger cannot be reached, rather than fails at something in the chunk.
fn is_unreachable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Ledger | ErrorKind::Io)
}

/// Puts the halves of a refused part back, or the one call aside.
fn split<'a, T>(
    part: &'a [(usize, T)],
    error: Error,
    parts: &mut Vec<&'a [(usize, T)]>,
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
    async fn apply_in_one(&self, mut chunk: Chunk<'_>, applied: &mut Applied) -> Result<()> {
        let now = self.clock.now();
        let mut tx = self.begin().await?;
        for (place, change) in std::mem::take(&mut chunk.starts) {
            note(applied, place, apply_one(&mut tx, change, now).await)?;
        }
        let mut parts: Vec<&[(usize, &Call)]> = chunk.calls.chunks(MAX_BATCH).rev().collect();
        while let Some(part) = parts.pop() {
            let batch: Vec<Call> = part.iter().map(|(_, call)| (*call).clone()).collect();
            let prices = &self.prices;
            let outcome =
                sqlite::guarded(&mut tx, async |db| calls::record_calls(db, prices, &batch, now).await).await;
            match outcome {
                Ok(recorded) => applied.calls += recorded,
                Err(error) if error.is_of_the_ledger() => return Err(error),
                Err(error) => split(part, error, &mut parts, applied),
            }
        }
        chunk.drop_refused_prompts(applied);
        let mut parts: Vec<&[(usize, SentRow)]> = chunk.prompts.chunks(MAX_BATCH).rev().collect();
        while let Some(part) = parts.pop() {
            let rows: Vec<SentRow> = part.iter().map(|(_, row)| row.clone()).collect();
            match sqlite::guarded(&mut tx, async |db| SqliteStore::record_prompts(db, &rows).await).await {
                Ok(recorded) => applied.calls.conflict.extend(recorded.conflict),
                Err(error) if error.is_of_the_ledger() => return Err(error),
                Err(error) => split(part, error, &mut parts, applied),
            }
        }
        let mut parts: Vec<&[(usize, GuardEvent)]> = chunk.decisions.chunks(MAX_BATCH).rev().collect();
        while let Some(part) = parts.pop() {
            let events: Vec<GuardEvent> = part.iter().map(|(_, event)| event.clone()).collect();
            let outcome =
                sqlite::guarded(&mut tx, async |db| SqliteStore::record_guard_events(db, &events).await)
                    .await;
            match outcome {
                Ok(_) => {}
                Err(error) if error.is_of_the_ledger() => return Err(error),
                Err(error) => split(part, error, &mut parts, applied),
            }
        }
        for (place, change) in chunk.ends {
            note(applied, place, apply_one(&mut tx, change, now).await)?;
        }
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
        Event::Call(_) | Event::Prompt(_) | Event::Guard(_) | Event::Span(_) => Ok(()),
    }
}
