//! What a ledger shows of the acceptance criteria, in numbers; of all of it, or of its newest part.

use super::laws::LawScope;
use super::{ReplayedCall, Store, on_pool};
use crate::domain::{CallId, RunId};
use crate::error::Result;
use sqlx::FromRow;

/// The part of a ledger that is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EvidenceScope {
    /// How many runs: the newest.
    pub runs: u64,
    /// Their calls.
    pub calls: u64,
    /// All runs there are.
    pub all_runs: u64,
    /// All calls there are.
    pub all_calls: u64,
    /// From which bucket on the rollup is looked at, and how many calls it has from there on; all of it, if not said.
    pub bucket: Option<(i64, u64)>,
}

impl EvidenceScope {
    /// Whether nothing is left out.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.runs == self.all_runs && self.bucket.is_none()
    }

    /// The part of the laws' statements.
    #[must_use]
    pub fn laws(&self) -> LawScope {
        let runs = (self.runs < self.all_runs).then(|| u32::try_from(self.runs).unwrap_or(u32::MAX));
        LawScope { runs, bucket: self.bucket.map(|(bucket, _)| bucket) }
    }

    fn limit(&self) -> i64 {
        i64::try_from(self.runs).unwrap_or(i64::MAX)
    }
}

/// What runs show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct RunEvidence {
    /// Runs.
    #[sqlx(try_from = "i64")]
    pub runs: u64,
    /// Those that have ended.
    #[sqlx(try_from = "i64")]
    pub finished: u64,
    /// Those of them whose cost was stored when they ended.
    #[sqlx(try_from = "i64")]
    pub costed: u64,
    /// Those of them with tokens and a cost above 0.
    #[sqlx(try_from = "i64")]
    pub with_cost: u64,
    /// Calls of the runs.
    #[sqlx(try_from = "i64")]
    pub calls: u64,
    /// Those of them without a price.
    #[sqlx(try_from = "i64")]
    pub unpriced: u64,
}

/// What step runs show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct StepEvidence {
    /// Step runs.
    #[sqlx(try_from = "i64")]
    pub steps: u64,
    /// Those that called a model.
    #[sqlx(try_from = "i64")]
    pub calling: u64,
    /// Those of them whose prompt version is known.
    #[sqlx(try_from = "i64")]
    pub versioned: u64,
}

/// What is known of the texts that were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct SentEvidence {
    /// Calls.
    #[sqlx(try_from = "i64")]
    pub calls: u64,
    /// Looked at before they were sent, and nothing was found.
    #[sqlx(try_from = "i64")]
    pub clean: u64,
    /// Something was found and replaced before they were sent.
    #[sqlx(try_from = "i64")]
    pub redacted: u64,
    /// Something was found and let through.
    #[sqlx(try_from = "i64")]
    pub raw_allowed: u64,
    /// Something was found after they had been sent.
    #[sqlx(try_from = "i64")]
    pub exposed: u64,
    /// Nobody looked.
    #[sqlx(try_from = "i64")]
    pub unscanned: u64,
    /// What was sent is not recorded.
    #[sqlx(try_from = "i64")]
    pub not_recorded: u64,
    /// Of those that were let through, those with a recorded decision that says so.
    #[sqlx(try_from = "i64")]
    pub raw_logged: u64,
}

impl SentEvidence {
    /// Calls that somebody looked at before they were sent.
    #[must_use]
    pub const fn scanned(&self) -> u64 {
        self.clean + self.redacted + self.raw_allowed
    }

    /// Calls of which it is recorded what was sent.
    #[must_use]
    pub const fn recorded(&self) -> u64 {
        self.scanned() + self.exposed + self.unscanned
    }
}

#[derive(FromRow)]
struct Counted {
    #[sqlx(try_from = "i64")]
    runs: u64,
    #[sqlx(try_from = "i64")]
    calls: u64,
}

impl Store {
    /// The newest runs that have at most `calls` calls together, and at most `runs` of them; all, where neither is said.
    /// One run is always in it.
    pub async fn evidence_scope(&self, limits: Option<(u64, u32)>) -> Result<EvidenceScope> {
        let all: Counted = on_pool!(self, |pool| {
            sqlx::query_as(
                "select count(*) as runs, cast(coalesce(sum(llm_calls), 0) as bigint) as calls from pipeline_run",
            )
            .fetch_one(pool)
            .await?
        });
        let whole = EvidenceScope {
            runs: all.runs,
            calls: all.calls,
            all_runs: all.runs,
            all_calls: all.calls,
            bucket: None,
        };
        let Some((calls, runs)) = limits else { return Ok(whole) };
        if all.calls <= calls && all.runs <= u64::from(runs) {
            return Ok(whole);
        }
        let calls = i64::try_from(calls).unwrap_or(i64::MAX);
        let newest: Counted = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/evidence_scope.sql"))
                .bind(calls)
                .bind(i64::from(runs))
                .fetch_one(pool)
                .await?
        });
        let first: Option<(i32, i64)> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/evidence_bucket.sql"))
                .bind(calls)
                .fetch_optional(pool)
                .await?
        });
        // The newest bucket alone may have more: then it is the one.
        let first = match first {
            Some(first) => Some(first),
            None => on_pool!(self, |pool| {
                sqlx::query_as(
                    "select bucket, cast(sum(llm_calls) as bigint) from spend_rollup
                     group by bucket order by bucket desc limit 1",
                )
                .fetch_optional(pool)
                .await?
            }),
        };
        Ok(EvidenceScope {
            runs: newest.runs.max(1),
            calls: if newest.runs == 0 { self.calls_of_newest().await? } else { newest.calls },
            bucket: first
                .map(|(bucket, calls)| (i64::from(bucket), u64::try_from(calls).unwrap_or_default())),
            ..whole
        })
    }

    async fn calls_of_newest(&self) -> Result<u64> {
        let calls: Option<i64> = on_pool!(self, |pool| {
            sqlx::query_scalar(
                "select llm_calls from pipeline_run order by started_at desc, run_id desc limit 1",
            )
            .fetch_optional(pool)
            .await?
        });
        Ok(calls.and_then(|calls| u64::try_from(calls).ok()).unwrap_or_default())
    }

    /// What runs show.
    pub async fn run_evidence(&self, scope: &EvidenceScope) -> Result<RunEvidence> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/evidence_runs.sql"))
            .bind(scope.limit())
            .fetch_one(pool)
            .await?))
    }

    /// What step runs show.
    pub async fn step_evidence(&self, scope: &EvidenceScope) -> Result<StepEvidence> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/evidence_steps.sql"))
            .bind(scope.limit())
            .fetch_one(pool)
            .await?))
    }

    /// What is known of the texts that were sent.
    pub async fn sent_evidence(&self, scope: &EvidenceScope) -> Result<SentEvidence> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/evidence_sent.sql"))
            .bind(scope.limit())
            .fetch_one(pool)
            .await?))
    }

    /// The calls of the newest runs of which it is recorded what was sent, at most `limit`.
    pub async fn newest_sent(&self, limit: u32) -> Result<Vec<(RunId, CallId)>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/evidence_sample.sql"))
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?))
    }

    /// One call, with what was sent in it.
    pub async fn replay_call(&self, run_id: RunId, call_id: CallId) -> Result<Option<ReplayedCall>> {
        self.replay_of(run_id, Some(call_id)).next().await
    }
}
