//! Recording: the operations every pipeline uses, with one meaning on both databases.

use super::sent::Versions;
use super::{Recorded, Run, Step, Store, on_pool};
use crate::domain::{Call, FinishRun, FinishStep, RunId, StartRun, StartStep, StepId};
use crate::error::{Error, Result};

/// The most calls of one batch.
pub const MAX_BATCH: usize = 10_000;

pub(super) fn unknown_run(run_id: RunId) -> Error {
    Error::not_found(format!("run `{run_id}` is unknown"))
        .hint("start it first: start_run, or `asmm runs start --run-id`")
}

pub(super) fn unknown_step(run_id: RunId, step_id: StepId) -> Error {
    Error::not_found(format!("step `{step_id}` of run `{run_id}` is unknown"))
        .hint("start it first: start_step, or `asmm runs step`")
}

impl Store {
    /// Starts a run. The same run again is a no-op.
    ///
    /// # Errors
    /// `Conflict` when the id is recorded with other contents, `NotFound` for an unknown `replay_of`,
    /// `Input` for a value the ledger does not take.
    pub async fn start_run(&self, run: &StartRun) -> Result<Run> {
        run.check(self.now())?;
        match self {
            Store::Postgres(s) => s.start_run(run).await,
            Store::Sqlite(s) => {
                s.start_run(run).await?;
                self.run(run.run_id).await
            }
        }
    }

    /// Starts a step of a run. The same step again is a no-op. `status` and `completed_at` are not looked
    /// at: they are [`Store::finish_step`]'s.
    ///
    /// # Errors
    /// `Conflict` when the id is recorded with other contents, `NotFound` for an unknown run or prompt
    /// version, `Input` for a value the ledger does not take.
    pub async fn start_step(&self, step: &StartStep) -> Result<Step> {
        step.check(self.now())?;
        match self {
            Store::Postgres(s) => s.start_step(step).await,
            Store::Sqlite(s) => {
                s.start_step(step).await?;
                self.step(step.run_id, step.step_id).await
            }
        }
    }

    /// Records calls of any number of runs, all or none. Calls that are known are left alone; calls that
    /// differ from what is recorded under their id are reported as conflicts and left alone too.
    ///
    /// # Errors
    /// `NotFound` for an unknown run or step, `Input` for a value the ledger does not take or more than
    /// [`MAX_BATCH`] calls. Then nothing of the batch is recorded.
    pub async fn record_calls(&self, calls: &[Call]) -> Result<Recorded> {
        if calls.len() > MAX_BATCH {
            return Err(Error::input(format!(
                "the batch has {} calls; the limit is {MAX_BATCH}",
                calls.len()
            ))
            .hint("send it in parts; a part that is sent twice changes nothing"));
        }
        if calls.is_empty() {
            return Ok(Recorded::default());
        }
        let now = self.now();
        for (place, call) in calls.iter().enumerate() {
            call.check(now).map_err(|e| e.at(format_args!("call {} of the batch", place + 1)))?;
        }
        let mut versions = Versions::default();
        let mut prompts = Vec::new();
        for sent in calls.iter().filter_map(Call::sent_prompt) {
            prompts.push(self.prepare_prompt(&sent, &mut versions).await?);
        }
        self.resolve_names(calls.iter().map(|c| (c.provider.as_str(), c.model.as_str()))).await?;
        match self {
            Store::Postgres(s) => s.record_calls(calls, prompts).await,
            Store::Sqlite(s) => s.record_calls(calls, prompts).await,
        }
    }

    /// Finishes a step. The same finish again is a no-op.
    ///
    /// # Errors
    /// `NotFound` for an unknown step, `Conflict` when it is finished differently.
    pub async fn finish_step(&self, finish: &FinishStep) -> Result<Step> {
        finish.check(self.now())?;
        match self {
            Store::Postgres(s) => s.finish_step(finish).await,
            Store::Sqlite(s) => {
                s.finish_step(finish).await?;
                self.step(finish.run_id, finish.step_id).await
            }
        }
    }

    /// Finishes a run: prices what was unpriced, sums the journal, stores the final cost. The same finish
    /// again is a no-op.
    ///
    /// # Errors
    /// `NotFound` for an unknown run, `Conflict` when it is finished differently.
    pub async fn finish_run(&self, finish: &FinishRun) -> Result<Run> {
        finish.check(self.now())?;
        match self {
            Store::Postgres(s) => s.finish_run(finish).await,
            Store::Sqlite(s) => {
                s.finish_run(finish).await?;
                self.run(finish.run_id).await
            }
        }
    }

    /// The run, if it is there.
    pub async fn find_run(&self, run_id: RunId) -> Result<Option<Run>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/run_find.sql"))
            .bind(run_id)
            .fetch_optional(pool)
            .await?))
    }

    /// The run, which must be there.
    pub async fn run(&self, run_id: RunId) -> Result<Run> {
        self.find_run(run_id).await?.ok_or_else(|| unknown_run(run_id))
    }

    /// The step, which must be there.
    pub async fn step(&self, run_id: RunId, step_id: StepId) -> Result<Step> {
        let step = on_pool!(self, |pool| sqlx::query_as(include_str!("../../queries/step_find.sql"))
            .bind(run_id)
            .bind(step_id)
            .fetch_optional(pool)
            .await?);
        step.ok_or_else(|| unknown_step(run_id, step_id))
    }
}
