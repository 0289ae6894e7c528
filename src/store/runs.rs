//! Reading runs: the most expensive, the newest, one with everything in it.

use super::call::{CallRow, RecordedCall};
use super::{Filter, Run, Step, Store, Totals, on_pool};
use crate::domain::{CallId, RunId, Status, Timestamp, Window};
use crate::error::{Error, ErrorKind, Result};
use sqlx::FromRow;

/// What to sort runs by, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOrder {
    /// The cost.
    Cost,
    /// The start.
    Started,
    /// How many calls.
    Calls,
    /// How many tokens.
    Tokens,
}

impl RunOrder {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Started => "started",
            Self::Calls => "calls",
            Self::Tokens => "tokens",
        }
    }
}

/// How many runs there are, and what they cost together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct RunTotals {
    /// How many.
    #[sqlx(try_from = "i64")]
    pub runs: u64,
    /// Their totals.
    #[sqlx(flatten)]
    pub totals: Totals,
}

/// A step with the totals of its calls.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StepSpend {
    /// The step.
    #[sqlx(flatten)]
    pub step: Step,
    /// The sums of its calls.
    #[sqlx(flatten)]
    pub totals: Totals,
}

/// What a run spent on one model by one agent.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ModelSpend {
    /// The agent; `""` when calls had none.
    pub agent: String,
    /// The provider; `""` when calls reported none.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The sums of the calls.
    #[sqlx(flatten)]
    pub totals: Totals,
}

/// The shortest part of an id that names a run.
const MIN_ID_PART: usize = 4;

/// A prompt that a run used: any version of it, or one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedBy {
    /// The prompt's name.
    pub name: String,
    /// The version's number; `None` is any.
    pub version: Option<u32>,
}

impl Store {
    /// Runs that started in `window`, sorted, at most `limit`; with `prompt`, only those that used it.
    pub async fn runs(
        &self,
        window: &Window,
        filter: &Filter,
        prompt: Option<&UsedBy>,
        order: RunOrder,
        limit: u32,
    ) -> Result<Vec<Run>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/run_list.sql"))
            .bind(window.since)
            .bind(window.until)
            .bind(&filter.pipeline)
            .bind(filter.status.map(Status::code))
            .bind(&filter.agent)
            .bind(&filter.provider)
            .bind(&filter.model)
            .bind(order.code())
            .bind(i64::from(limit))
            .bind(prompt.map(|prompt| prompt.name.as_str()))
            .bind(prompt.and_then(|prompt| prompt.version).map(i64::from))
            .fetch_all(pool)
            .await?))
    }

    /// How many runs started in `window`, and their totals; with `prompt`, only of those that used it.
    pub async fn run_totals(
        &self,
        window: &Window,
        filter: &Filter,
        prompt: Option<&UsedBy>,
    ) -> Result<RunTotals> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/run_totals.sql"))
            .bind(window.since)
            .bind(window.until)
            .bind(&filter.pipeline)
            .bind(filter.status.map(Status::code))
            .bind(&filter.agent)
            .bind(&filter.provider)
            .bind(&filter.model)
            .bind(prompt.map(|prompt| prompt.name.as_str()))
            .bind(prompt.and_then(|prompt| prompt.version).map(i64::from))
            .fetch_one(pool)
            .await?))
    }

    /// The run that a person names: by its id, by an unambiguous beginning or ending of it, or as `last`.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Input` when several fit.
    pub async fn run_named(&self, name: &str) -> Result<Run> {
        if name == "last" {
            let newest: Option<RunId> = on_pool!(self, |pool| {
                sqlx::query_scalar(
                    "select run_id from pipeline_run order by started_at desc, run_id desc limit 1",
                )
                .fetch_optional(pool)
                .await?
            });
            let run_id = newest.ok_or_else(|| {
                Error::not_found("there is no run yet").hint("record one: `asmm runs exec`, `asmm import`")
            })?;
            return self.run(run_id).await;
        }
        if let Ok(run_id) = name.parse::<RunId>() {
            let run = self.run(run_id).await;
            return run.map_err(|e| match e.kind() {
                ErrorKind::NotFound => e.hint("`asmm runs list` shows the ids"),
                _ => e,
            });
        }
        let part: String = name.trim_start_matches('…').to_ascii_lowercase();
        if part.len() < MIN_ID_PART || !part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            let shown: String = name.chars().take(80).collect();
            return Err(Error::usage(format!("`{shown}` names no run")).hint(
                "give a run's id, at least 4 characters of its beginning or ending, or `last`; `asmm runs list` shows them",
            ));
        }
        let length = i32::try_from(part.len()).unwrap_or(i32::MAX);
        let found: Vec<String> = on_pool!(self, |pool| {
            sqlx::query_scalar(include_str!("../../queries/run_match.sql"))
                .bind(&part)
                .bind(length)
                .fetch_all(pool)
                .await?
        });
        match found.as_slice() {
            [] => Err(Error::not_found(format!("no run's id starts or ends with `{part}`"))
                .hint("`asmm runs list` shows the ids")),
            [only] => self.run(only.parse()?).await,
            several => Err(Error::input(format!("`{part}` fits more than one run: {}", several.join(", ")))
                .hint("give more of the id")),
        }
    }

    /// A run's steps in order, with the totals of their calls.
    pub async fn steps(&self, run_id: RunId) -> Result<Vec<StepSpend>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/step_list.sql"))
            .bind(run_id)
            .fetch_all(pool)
            .await?))
    }

    /// What a run spent by agent and model, the most expensive first.
    pub async fn run_spend(&self, run_id: RunId) -> Result<Vec<ModelSpend>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/run_spend.sql"))
            .bind(run_id)
            .fetch_all(pool)
            .await?))
    }

    /// A run's calls in order, at most `limit`, after the call `after`.
    pub async fn calls(
        &self,
        run_id: RunId,
        after: Option<(Timestamp, CallId)>,
        limit: u32,
    ) -> Result<Vec<RecordedCall>> {
        let rows: Vec<CallRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/call_list.sql"))
                .bind(run_id)
                .bind(after.map(|a| a.0))
                .bind(after.map(|a| a.1))
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        rows.into_iter().map(RecordedCall::try_from).collect()
    }

    /// One call of a run, if it is there.
    pub async fn find_call(&self, run_id: RunId, call_id: CallId) -> Result<Option<RecordedCall>> {
        let row: Option<CallRow> = on_pool!(self, |pool| {
            sqlx::query_as("select * from llm_call where run_id = $1 and call_id = $2")
                .bind(run_id)
                .bind(call_id)
                .fetch_optional(pool)
                .await?
        });
        row.map(RecordedCall::try_from).transpose()
    }

    /// Every run in the order they started, at most `limit`, after the run `after`.
    pub async fn runs_page(&self, after: Option<(Timestamp, RunId)>, limit: u32) -> Result<Vec<Run>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/run_export.sql"))
            .bind(after.map(|a| a.0))
            .bind(after.map(|a| a.1))
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?))
    }
}
