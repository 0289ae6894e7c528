//! What the guard decided, and what it has not looked at yet.

use super::connections::Session;
use super::sent::StoredPrompt;
use super::sqlite::calls::hex;
use super::{PostgresStore, SqliteStore, Store, on_pool};
use crate::domain::{
    CallId, Decision, Digest, GuardEvent, RunId, Sanitisation, SentPrompt, Timestamp, Window,
};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Which decisions to look at; `None` is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardFilter {
    /// Only of this run.
    pub run_id: Option<RunId>,
    /// Only by this detector.
    pub detector: Option<String>,
    /// Only this decision.
    pub decision: Option<Decision>,
    /// Only in runs of this pipeline.
    pub pipeline: Option<String>,
    /// Only about the value with this fingerprint.
    pub fingerprint: Option<Digest>,
}

/// A recorded decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedDecision {
    /// The row's number.
    pub guard_event_id: i64,
    /// The pipeline of its run, if it was decided in one; not read where all are read.
    pub pipeline: Option<String>,
    /// The decision.
    pub event: GuardEvent,
}

/// How many decisions of one sort there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct DecisionCount {
    /// The sort.
    #[sqlx(try_from = "String")]
    pub decision: Decision,
    /// How many.
    #[sqlx(try_from = "i64")]
    pub events: u64,
    /// How often what they are about was found.
    #[sqlx(try_from = "i64")]
    pub findings: u64,
}

/// How many calls of a pipeline were looked at, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub struct GuardCoverage {
    /// The pipeline.
    pub pipeline: String,
    /// All calls.
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
}

impl std::ops::AddAssign<&Self> for GuardCoverage {
    fn add_assign(&mut self, other: &Self) {
        self.calls += other.calls;
        self.clean += other.clean;
        self.redacted += other.redacted;
        self.raw_allowed += other.raw_allowed;
        self.exposed += other.exposed;
        self.unscanned += other.unscanned;
        self.not_recorded += other.not_recorded;
    }
}

/// What became of a batch of decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct RecordedDecisions {
    /// New ones.
    pub recorded: u64,
    /// Those that were there.
    pub duplicate: u64,
}

/// What a look at something that was sent found.
#[derive(Clone, PartialEq)]
pub struct Mark {
    /// The run.
    pub run_id: RunId,
    /// The call.
    pub call_id: CallId,
    /// What is known of it now.
    pub sanitisation: Sanitisation,
    /// When it was redacted, if it was.
    pub redacted_at: Option<Timestamp>,
    /// The redacted inputs, in canonical JSON.
    pub inputs: Option<String>,
    /// The redacted messages, in canonical JSON.
    pub body: Option<String>,
}

#[derive(FromRow)]
struct Row {
    guard_event_id: i64,
    event_id: Uuid,
    decided_at: Timestamp,
    run_id: Option<RunId>,
    call_id: Option<CallId>,
    pipeline: Option<String>,
    prompt: Option<String>,
    variable: Option<String>,
    detector: String,
    #[sqlx(try_from = "i32")]
    findings: u32,
    #[sqlx(try_from = "String")]
    decision: Decision,
    reason: String,
    fingerprint: Option<Digest>,
    token: Option<String>,
    rules_sha256: Digest,
    policy_sha256: Digest,
}

impl From<Row> for RecordedDecision {
    fn from(row: Row) -> Self {
        Self {
            guard_event_id: row.guard_event_id,
            pipeline: row.pipeline,
            event: GuardEvent {
                event_id: row.event_id,
                run_id: row.run_id,
                call_id: row.call_id,
                prompt: row.prompt,
                variable: row.variable,
                detector: row.detector,
                findings: row.findings,
                decision: row.decision,
                reason: row.reason,
                fingerprint: row.fingerprint,
                token: row.token,
                rules_sha256: row.rules_sha256,
                policy_sha256: row.policy_sha256,
                decided_at: row.decided_at,
            },
        }
    }
}

impl Store {
    /// Records decisions; all or none. One that is known is left alone.
    ///
    /// # Errors
    /// `NotFound` for an unknown run, `Input` for a value that the ledger does not take.
    pub async fn record_guard_events(&self, events: &[GuardEvent]) -> Result<RecordedDecisions> {
        let now = self.now();
        for (place, event) in events.iter().enumerate() {
            event.check(now).map_err(|e| e.at(format_args!("guard event {} of the batch", place + 1)))?;
        }
        match self {
            Store::Postgres(s) => s.record_some_guard_events(events).await,
            Store::Sqlite(s) => {
                let mut tx = s.begin().await?;
                let recorded = SqliteStore::record_guard_events(&mut tx, events).await?;
                tx.commit().await?;
                Ok(recorded)
            }
        }
    }

    /// The decisions made in `window`, newest first, at most `limit`.
    pub async fn guard_events(
        &self,
        window: &Window,
        filter: &GuardFilter,
        limit: u32,
    ) -> Result<Vec<RecordedDecision>> {
        let rows: Vec<Row> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/guard_event_list.sql"))
                .bind(window.since)
                .bind(window.until)
                .bind(filter.run_id)
                .bind(&filter.detector)
                .bind(filter.decision.map(Decision::code))
                .bind(&filter.pipeline)
                .bind(filter.fingerprint)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        Ok(rows.into_iter().map(RecordedDecision::from).collect())
    }

    /// How many decisions were made in `window`, by what was decided.
    pub async fn guard_event_counts(
        &self,
        window: &Window,
        filter: &GuardFilter,
    ) -> Result<Vec<DecisionCount>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/guard_event_count.sql"))
            .bind(window.since)
            .bind(window.until)
            .bind(filter.run_id)
            .bind(&filter.detector)
            .bind(filter.decision.map(Decision::code))
            .bind(&filter.pipeline)
            .bind(filter.fingerprint)
            .fetch_all(pool)
            .await?))
    }

    /// Every decision in the order of its number, at most `limit`, after the number `after`.
    pub async fn guard_events_page(&self, after: i64, limit: u32) -> Result<Vec<RecordedDecision>> {
        let rows: Vec<Row> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/guard_event_page.sql"))
                .bind(after)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        Ok(rows.into_iter().map(RecordedDecision::from).collect())
    }

    /// The tokens that a run has given, with the fingerprints of their values.
    pub async fn guard_tokens(&self, run_id: RunId) -> Result<Vec<(String, Digest)>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/guard_token_list.sql"))
            .bind(run_id)
            .fetch_all(pool)
            .await?))
    }

    /// How many calls made in `window` were looked at, by pipeline.
    pub async fn guard_coverage(
        &self,
        window: &Window,
        pipeline: Option<&str>,
    ) -> Result<Vec<GuardCoverage>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/guard_coverage.sql"))
            .bind(window.since)
            .bind(window.until)
            .bind(pipeline)
            .fetch_all(pool)
            .await?))
    }

    /// What was sent and is to be looked at, in the order of its ids, at most `limit`, after a run and call. A version
    /// is named by its id; `redacted_at` is set where another call's look has redacted the text they share.
    pub async fn sent_to_scan(
        &self,
        after: Option<(RunId, CallId)>,
        with_exposed: bool,
        limit: u32,
    ) -> Result<Vec<SentPrompt>> {
        let rows: Vec<StoredPrompt> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/guard_to_scan.sql"))
                .bind(after.map(|(run, _)| run))
                .bind(after.map(|(_, call)| call))
                .bind(with_exposed)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        rows.into_iter().map(StoredPrompt::into_sent).collect()
    }

    /// Says what looks at sent prompts found, puts what is redacted in the place of what was there, and records the
    /// decisions; all or none. Answers how many were marked: others were faster with the rest.
    pub async fn mark_scanned(&self, marks: &[Mark], events: &[GuardEvent]) -> Result<u64> {
        let mut marked = 0;
        match self {
            Store::Postgres(s) => {
                let mut tx = s.pool.begin().await?;
                for mark in marks {
                    let is_marked: bool = sqlx::query_scalar("select mark_scanned($1, $2, $3, $4, $5, $6)")
                        .bind(mark.run_id)
                        .bind(mark.call_id)
                        .bind(mark.sanitisation.code())
                        .bind(mark.redacted_at)
                        .bind(&mark.inputs)
                        .bind(&mark.body)
                        .fetch_one(&mut *tx)
                        .await?;
                    marked += u64::from(is_marked);
                }
                PostgresStore::record_guard_events(&mut tx, events).await?;
                tx.commit().await?;
            }
            Store::Sqlite(s) => {
                let mut tx = s.begin().await?;
                for mark in marks {
                    marked += u64::from(SqliteStore::mark_scanned(&mut tx, mark).await?);
                }
                SqliteStore::record_guard_events(&mut tx, events).await?;
                tx.commit().await?;
            }
        }
        Ok(marked)
    }
}

impl PostgresStore {
    /// As [`PostgresStore::record_guard_events`], on its own.
    pub(super) async fn record_some_guard_events(&self, events: &[GuardEvent]) -> Result<RecordedDecisions> {
        let mut lease = self.pool.lease().await?;
        let recorded = Self::record_guard_events(&mut lease, events).await?;
        lease.commit().await?;
        Ok(recorded)
    }

    pub(super) async fn record_guard_events(
        db: &mut Session,
        events: &[GuardEvent],
    ) -> Result<RecordedDecisions> {
        if events.is_empty() {
            return Ok(RecordedDecisions::default());
        }
        let Json(answer) =
            sqlx::query_scalar("select record_guard_events($1)").bind(Json(events)).fetch_one(db).await?;
        Ok(answer)
    }
}

impl SqliteStore {
    /// Records decisions in the transaction that `db` is in. On an error the caller gives that up.
    pub(super) async fn record_guard_events(
        db: &mut SqliteConnection,
        events: &[GuardEvent],
    ) -> Result<RecordedDecisions> {
        if events.is_empty() {
            return Ok(RecordedDecisions::default());
        }
        let runs: BTreeSet<String> = events.iter().filter_map(|e| Some(hex(e.run_id?.0))).collect();
        let missing: Option<String> = sqlx::query_scalar(
            "select j.value
             from json_each($1) j
             where not exists (select 1 from pipeline_run r where r.run_id = unhex(j.value))
             limit 1",
        )
        .bind(json!(runs).to_string())
        .fetch_optional(&mut *db)
        .await?;
        if let Some(run) = missing {
            return Err(super::record::unknown_run(run.parse()?));
        }
        let rows: Vec<Value> = events
            .iter()
            .map(|e| {
                json!([
                    hex(e.event_id),
                    e.run_id.map(|r| hex(r.0)),
                    e.call_id.map(|c| hex(c.0)),
                    e.prompt,
                    e.variable,
                    e.detector,
                    e.findings,
                    e.decision.code(),
                    e.reason,
                    e.fingerprint.map(|f| f.hex()),
                    e.token,
                    e.rules_sha256.hex(),
                    e.policy_sha256.hex(),
                    e.decided_at.micros(),
                ])
            })
            .collect();
        let done = sqlx::query(
            "with j as materialized (
               select key, value, row_number() over (partition by value ->> 0 order by key) as nth from json_each($1))
             insert into guard_event (
               event_id, run_id, call_id, prompt, variable, detector, findings, decision, reason, fingerprint, token,
               rules_sha256, policy_sha256, recorded_at)
             select
               unhex(j.value ->> 0), unhex(j.value ->> 1), unhex(j.value ->> 2), j.value ->> 3, j.value ->> 4,
               j.value ->> 5, j.value ->> 6, j.value ->> 7, j.value ->> 8, unhex(j.value ->> 9), j.value ->> 10,
               unhex(j.value ->> 11), unhex(j.value ->> 12), j.value ->> 13
             from j
             where j.nth = 1
               and not exists (select 1 from guard_event g where g.event_id = unhex(j.value ->> 0))
             order by j.key",
        )
        .bind(Value::from(rows).to_string())
        .execute(db)
        .await?;
        let all = u64::try_from(events.len()).unwrap_or(u64::MAX);
        Ok(RecordedDecisions { recorded: done.rows_affected(), duplicate: all - done.rows_affected() })
    }

    async fn mark_scanned(db: &mut SqliteConnection, mark: &Mark) -> Result<bool> {
        let digest: Option<Option<Digest>> = sqlx::query_scalar(
            "update llm_call_prompt
             set sanitisation = $3,
                 redacted_at = $4,
                 inputs = case when $4 is null then inputs else $5 end
             where run_id = $1
               and call_id = $2
               and sanitisation in ('unscanned', 'exposed')
               and (sanitisation <> $3 or $4 is not null)
               and redacted_at is null
               and purged_at is null
             returning text_sha256",
        )
        .bind(mark.run_id)
        .bind(mark.call_id)
        .bind(mark.sanitisation.code())
        .bind(mark.redacted_at)
        .bind(&mark.inputs)
        .fetch_optional(&mut *db)
        .await?;
        let Some(digest) = digest else { return Ok(false) };
        if let (Some(body), Some(digest)) = (&mark.body, digest) {
            sqlx::query(
                "update prompt_text set body = $2, redacted_at = $3 where text_sha256 = $1 and redacted_at is null",
            )
            .bind(digest)
            .bind(body)
            .bind(mark.redacted_at)
            .execute(db)
            .await?;
        }
        Ok(true)
    }
}

impl std::fmt::Debug for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mark({}, {}, {})", self.run_id, self.call_id, self.sanitisation.code())
    }
}

impl Store {
    /// The digest of what a call's version and inputs render to, for a caller who is about to redact the inputs.
    ///
    /// # Errors
    /// `NotFound` for an unknown version, `Input` for inputs that do not fit it.
    pub async fn digest_of_sent(&self, sent: &SentPrompt) -> Result<Option<Digest>> {
        let prompt = &sent.prompt;
        if prompt.text_sha256.is_some() || prompt.messages.is_some() {
            return Ok(prompt.text_sha256);
        }
        let Some(reference) = &prompt.version else { return Ok(None) };
        let content = self.recorded_version(reference, sent.sent_at).await?.parsed()?;
        let inputs = prompt.inputs.clone().unwrap_or_default();
        let rendered = content.render(&inputs).and_then(|text| text.digest());
        rendered
            .map(Some)
            .map_err(|e: Error| e.at(format_args!("call `{}`: prompt version `{reference}`", sent.call_id)))
    }
}
