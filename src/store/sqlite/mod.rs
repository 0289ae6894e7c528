//! Writing to SQLite: what Postgres does in functions, as transactions.
//!
//! Each operation is one `BEGIN IMMEDIATE` transaction: it waits for the other writers first and never
//! fails half-way for a lock. Rows go in many at a time, since a statement costs more than a row: the journal's as parameters
//! (`rows.rs`), few of them by one statement over `json_each`.

pub(super) mod calls;
mod count;
pub(super) mod price;
pub(super) mod rows;
pub(super) mod withdraw;

use super::prices::who;
use super::prompts::RecordedReference;
use super::record::{unknown_run, unknown_step};
use super::sent::SentRow;
use super::settle::settle_now_and_then;
use super::{PriceScope, PromptVersion, Recorded, Repriced, Run, SqliteStore, Step};
use crate::domain::{Call, FinishRun, FinishStep, RunId, StartRun, StartStep, Status, StepId, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::prompt::{Reference, VersionRef};
use serde_json::json;
use sqlx::{Sqlite, SqliteConnection, Transaction};

impl SqliteStore {
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.pool.begin_with("begin immediate").await?)
    }

    pub(super) async fn start_run(&self, run: &StartRun) -> Result<()> {
        let mut tx = self.begin().await?;
        start_run(&mut tx, run).await?;
        Ok(tx.commit().await?)
    }

    pub(super) async fn start_step(&self, step: &StartStep) -> Result<()> {
        let mut tx = self.begin().await?;
        start_step(&mut tx, step, self.clock.now()).await?;
        Ok(tx.commit().await?)
    }

    pub(super) async fn record_calls(&self, calls: &[Call], mut sent: Vec<SentRow>) -> Result<Recorded> {
        let mut tx = self.begin().await?;
        let mut recorded = calls::record_calls(&mut tx, &self.prices, calls, self.clock.now()).await?;
        sent.retain(|row| !recorded.conflict.contains(&row.key()));
        recorded.conflict.extend(SqliteStore::record_prompts(&mut tx, &sent).await?.conflict);
        tx.commit().await?;
        Ok(recorded)
    }

    pub(super) async fn finish_step(&self, finish: &FinishStep) -> Result<()> {
        let mut tx = self.begin().await?;
        finish_step(&mut tx, finish, self.clock.now()).await?;
        Ok(tx.commit().await?)
    }

    pub(super) async fn finish_run(&self, finish: &FinishRun) -> Result<()> {
        let mut tx = self.begin().await?;
        finish_run(&mut tx, finish, self.clock.now()).await?;
        Ok(tx.commit().await?)
    }
}

/// Does `work` under a savepoint, so that what it had written when it was refused is taken back and the
/// transaction goes on.
pub(super) async fn guarded<T>(
    db: &mut SqliteConnection,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T>,
) -> Result<T> {
    sqlx::query("savepoint change").execute(&mut *db).await?;
    let outcome = work(db).await;
    match &outcome {
        Ok(_) => {}
        // A database that failed may have ended the transaction, and the savepoint with it.
        Err(error) if error.is_of_the_ledger() => return outcome,
        Err(_) => {
            sqlx::query("rollback to change").execute(&mut *db).await?;
        }
    }
    sqlx::query("release change").execute(db).await?;
    outcome
}

pub(super) async fn start_run(db: &mut SqliteConnection, run: &StartRun) -> Result<()> {
    if let Some(original) = run.replay_of {
        let stored = find_run(db, original).await?.ok_or_else(|| unknown_run(original))?;
        if stored.started_at >= run.started_at {
            return Err(Error::input(format!(
                "`started_at` {} is not after that of the run it replays",
                run.started_at
            ))
            .hint("a replay starts after its original"));
        }
    }
    match find_run(db, run.run_id).await? {
        None => insert_run(db, run).await,
        Some(stored) if is_same_run(&stored, run) => Ok(()),
        Some(_) => {
            Err(Error::conflict(format!("run `{}` is already recorded with other contents", run.run_id))
                .hint("a run's pipeline, start, labels, parent and original never change; use a new run id"))
        }
    }
}

pub(super) async fn start_step(db: &mut SqliteConnection, step: &StartStep, now: Timestamp) -> Result<()> {
    find_run(db, step.run_id).await?.ok_or_else(|| unknown_run(step.run_id))?;
    let stored = find_step(db, step.run_id, step.step_id).await?;
    // A label means what it meant when the step started, also when the step is sent again later.
    let at = stored.as_ref().map(|stored| stored.started_at).or(step.started_at).unwrap_or(now);
    let version = match &step.prompt_version {
        Some(reference) => Some(find_prompt_version(db, reference, at).await?),
        None => None,
    };
    match stored {
        None => insert_step(db, step, version.as_ref().map(|(id, _)| *id), now).await,
        Some(stored) if is_same_step(&stored, step, version.as_ref().map(|(_, name)| name.as_str())) => {
            Ok(())
        }
        Some(_) => Err(Error::conflict(format!(
            "step `{}` of run `{}` is already recorded with other contents",
            step.step_id, step.run_id
        ))
        .hint("a step's name, agent, attempt, prompt version and start never change; use a new step id")),
    }
}

/// Starts a step if it is not there; with its prompt version, if there is such a one.
pub(super) async fn open_span_step(
    db: &mut SqliteConnection,
    step: &StartStep,
    now: Timestamp,
) -> Result<()> {
    if find_step(db, step.run_id, step.step_id).await?.is_some() {
        return Ok(());
    }
    match start_step(db, step, now).await {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Input) => {
            let step = StartStep { prompt_version: None, ..step.clone() };
            start_step(db, &step, now).await
        }
        outcome => outcome,
    }
}

pub(super) async fn finish_step(
    db: &mut SqliteConnection,
    finish: &FinishStep,
    now: Timestamp,
) -> Result<()> {
    let stored = find_step(db, finish.run_id, finish.step_id)
        .await?
        .ok_or_else(|| unknown_step(finish.run_id, finish.step_id))?;
    let is_open = still_open(
        &format!("step `{}` of run `{}`", finish.step_id, finish.run_id),
        (stored.status, stored.completed_at),
        (finish.status, finish.completed_at),
        "a finished step stays as it is",
    )?;
    if is_open {
        sqlx::query(
            "update pipeline_step_run
             set status_id = (select status_id from status_lookup where code = $3), completed_at = $4
             where run_id = $1 and step_id = $2",
        )
        .bind(finish.run_id)
        .bind(finish.step_id)
        .bind(finish.status.code())
        .bind(finish.completed_at.unwrap_or(now))
        .execute(db)
        .await?;
    }
    Ok(())
}

pub(super) async fn finish_run(db: &mut SqliteConnection, finish: &FinishRun, now: Timestamp) -> Result<()> {
    let stored = find_run(db, finish.run_id).await?.ok_or_else(|| unknown_run(finish.run_id))?;
    let is_open = still_open(
        &format!("run `{}`", finish.run_id),
        (stored.status, stored.completed_at),
        (finish.status, finish.completed_at),
        "a finished run stays as it is; calls that come late are still taken",
    )?;
    if is_open {
        if stored.totals.unpriced_calls > 0 {
            let (scope, who) = (PriceScope::unpriced(), who());
            let act = price::Act { reason: "run finished", recorded_by: &who, now };
            // Pricing writes more than once, and a sum that does not fit shows only at the end.
            guarded(db, async |db| price::price_run(db, finish.run_id, &scope, &act).await).await?;
        }
        sqlx::query(
            "update pipeline_run
             set status_id = (select status_id from status_lookup where code = $2),
                 completed_at = $3,
                 costed_at = $4,
                 cost_pico = (select coalesce(sum(c.cost_pico), 0) from llm_call c where c.run_id = $1)
             where run_id = $1",
        )
        .bind(finish.run_id)
        .bind(finish.status.code())
        .bind(finish.completed_at.unwrap_or(now))
        .bind(now)
        .execute(&mut *db)
        .await?;
        settle_now_and_then(db, now).await?;
    }
    Ok(())
}

impl SqliteStore {
    pub(super) async fn price_run(
        &self,
        run_id: RunId,
        scope: &PriceScope,
        reason: &str,
        dry_run: bool,
    ) -> Result<Repriced> {
        let mut tx = self.begin().await?;
        let act = price::Act { reason, recorded_by: &who(), now: self.clock.now() };
        let repriced = price::price_run(&mut tx, run_id, scope, &act).await?;
        if dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(repriced)
    }
}

/// Whether a finish is to be applied (`true`), or was before (`false`); another one is a conflict.
fn still_open(
    thing: &str,
    stored: (Status, Option<Timestamp>),
    finish: (Status, Option<Timestamp>),
    hint: &str,
) -> Result<bool> {
    let Some(completed_at) = stored.1 else { return Ok(true) };
    if stored.0 == finish.0 && finish.1.is_none_or(|t| t == completed_at) {
        return Ok(false);
    }
    Err(Error::conflict(format!("{thing} is already finished as `{}` at {completed_at}", stored.0))
        .hint(hint))
}

fn is_same_run(stored: &Run, run: &StartRun) -> bool {
    stored.pipeline == run.pipeline
        && stored.started_at == run.started_at
        && stored.labels == run.labels
        && stored.parent_run_id == run.parent_run_id
        && stored.replay_of == run.replay_of
}

fn is_same_step(stored: &Step, step: &StartStep, prompt_version: Option<&str>) -> bool {
    stored.step == step.step
        && stored.agent == step.agent
        && stored.attempt == step.attempt
        && stored.prompt_version.as_deref() == prompt_version
        && step.started_at.is_none_or(|t| t == stored.started_at)
}

pub(super) async fn find_run(db: &mut SqliteConnection, run_id: RunId) -> Result<Option<Run>> {
    Ok(sqlx::query_as(include_str!("../../../queries/run_find.sql")).bind(run_id).fetch_optional(db).await?)
}

async fn find_step(db: &mut SqliteConnection, run_id: RunId, step_id: StepId) -> Result<Option<Step>> {
    Ok(sqlx::query_as(include_str!("../../../queries/step_find.sql"))
        .bind(run_id)
        .bind(step_id)
        .fetch_optional(db)
        .await?)
}

async fn insert_run(db: &mut SqliteConnection, run: &StartRun) -> Result<()> {
    sqlx::query(
        "insert into pipeline_run (run_id, pipeline, status_id, labels, started_at, parent_run_id, replay_of)
         select $1, $2, status_id, $3, $4, $5, $6
         from status_lookup
         where code = $7",
    )
    .bind(run.run_id)
    .bind(&run.pipeline)
    .bind(json!(run.labels).to_string())
    .bind(run.started_at)
    .bind(run.parent_run_id)
    .bind(run.replay_of)
    .bind(Status::Running.code())
    .execute(db)
    .await?;
    Ok(())
}

async fn insert_step(
    db: &mut SqliteConnection,
    step: &StartStep,
    prompt_version_id: Option<i64>,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into pipeline_step_run
           (run_id, step_id, step, agent, attempt, status_id, prompt_version_id, started_at)
         select $1, $2, $3, $4, $5, status_id, $6, $7
         from status_lookup
         where code = $8",
    )
    .bind(step.run_id)
    .bind(step.step_id)
    .bind(&step.step)
    .bind(&step.agent)
    .bind(step.attempt)
    .bind(prompt_version_id)
    .bind(step.started_at.unwrap_or(now))
    .bind(Status::Running.code())
    .execute(db)
    .await?;
    Ok(())
}

/// The version that a reference meant at a time: its id, and its name as `name@7`.
async fn find_prompt_version(
    db: &mut SqliteConnection,
    reference: &str,
    at: Timestamp,
) -> Result<(i64, String)> {
    let found = match RecordedReference::from(reference) {
        RecordedReference::Id(id) => {
            sqlx::query_as(include_str!("../../../queries/prompt_version_by_id.sql"))
                .bind(id)
                .fetch_all(db)
                .await?
        }
        RecordedReference::Reference(reference) => find_by_reference(db, &reference, at).await?,
        RecordedReference::Neither => Vec::new(),
    };
    PromptVersion::only(found, reference).map(|v| (v.entry.prompt_version_id, v.entry.to_string()))
}

async fn find_by_reference(
    db: &mut SqliteConnection,
    reference: &Reference,
    at: Timestamp,
) -> Result<Vec<PromptVersion>> {
    let (number, label) = match &reference.version {
        VersionRef::Latest => (None, None),
        VersionRef::Number(number) => (Some(i64::from(*number)), None),
        VersionRef::Label(label) => (None, Some(label.as_str())),
        VersionRef::Digest(digits) => {
            return Ok(sqlx::query_as(include_str!("../../../queries/prompt_version_by_digest.sql"))
                .bind(&reference.name)
                .bind(format!("sha256:{digits}"))
                .fetch_all(db)
                .await?);
        }
    };
    Ok(sqlx::query_as(include_str!("../../../queries/prompt_version_find.sql"))
        .bind(&reference.name)
        .bind(number)
        .bind(label)
        .bind(at)
        .fetch_all(db)
        .await?)
}
