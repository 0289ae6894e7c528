//! Spans on their way into the journal.
//!
//! What a batch brings is resolved together with what is known of the same traces, in one transaction: the spans are kept,
//! calls that turn out to be others are withdrawn, and what is new is recorded. Whoever resolves is alone with it.

use super::record::MAX_BATCH;
use super::{PostgresStore, Recorded, SqliteStore, Store, batch, sqlite};
use crate::domain::{Call, CallId, Resolved, RunId, Span, SpanId, SpanRun, StartStep, Status, Timestamp, resolve};
use crate::error::{Error, Result};
use serde_json::json;
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// Why a call is withdrawn.
const REASON: &str = "other spans tell more of it";
/// How often the traces that report the same responses are looked up: each time brings those of the traces before.
const MAX_ROUNDS: usize = 8;

/// What became of spans.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct TakenSpans {
    /// Spans that were not known.
    pub new: u64,
    /// Spans that were.
    pub known: u64,
    /// What became of the calls that they tell of.
    pub calls: Recorded,
    /// Calls that were withdrawn, most of them recorded anew.
    pub withdrawn: u64,
}

impl std::ops::AddAssign for TakenSpans {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.known += other.known;
        self.calls += other.calls;
        self.withdrawn += other.withdrawn;
    }
}

/// A span as it is kept: by trace and id.
type Key = (Uuid, SpanId);

/// What a batch changes.
struct Change<'s> {
    fresh: Vec<&'s Span>,
    withdrawn: Vec<(RunId, CallId)>,
    recorded: Vec<Call>,
    runs: BTreeMap<RunId, SpanRun>,
    steps: Vec<StartStep>,
}

impl<'s> Change<'s> {
    fn of(spans: &'s [Span], known: &[Span]) -> Self {
        let mut seen: HashSet<Key> = known.iter().map(|span| (span.trace_id, span.span_id)).collect();
        let fresh: Vec<&Span> =
            spans.iter().filter(|span| seen.insert((span.trace_id, span.span_id))).collect();
        let before = if known.is_empty() { Resolved::default() } else { resolve(known) };
        let after = if fresh.is_empty() {
            Resolved::default()
        } else {
            resolve(known.iter().chain(fresh.iter().copied()))
        };
        if fresh.is_empty() {
            return Self { fresh, withdrawn: vec![], recorded: vec![], runs: BTreeMap::new(), steps: vec![] };
        }
        let is_other = |key: &(RunId, CallId), call: &Call, than: &Resolved| than.calls.get(key) != Some(call);
        let withdrawn =
            before.calls.iter().filter(|(key, call)| is_other(key, call, &after)).map(|(key, _)| *key).collect();
        let recorded: Vec<Call> = after
            .calls
            .into_iter()
            .filter(|(key, call)| is_other(key, call, &before))
            .map(|(_, call)| call)
            .collect();
        let mut runs = after.runs;
        runs.retain(|run_id, run| before.runs.get(run_id) != Some(run) || recorded.iter().any(|c| c.run_id == *run_id));
        let steps: BTreeSet<_> = recorded.iter().filter_map(|call| Some((call.run_id, call.step_id?))).collect();
        let steps = after.steps.into_iter().filter(|(key, _)| steps.contains(key)).map(|(_, step)| step).collect();
        Self { fresh, withdrawn, recorded, runs, steps }
    }

    /// Those that are over: whose root is known.
    fn ended(&self) -> Vec<(RunId, Status, Timestamp)> {
        self.runs.iter().filter_map(|(run_id, run)| run.end.map(|(status, at)| (*run_id, status, at))).collect()
    }
}

impl Store {
    /// Takes spans in, and records the calls that they and what is known of their traces tell of. Spans that are known
    /// change nothing. All of them are in the ledger when this returns, or none.
    ///
    /// # Errors
    /// `Input` for a span the ledger does not take, or more than [`MAX_BATCH`] of them.
    pub async fn take_spans(&self, spans: &[Span]) -> Result<TakenSpans> {
        if spans.len() > MAX_BATCH {
            return Err(Error::input(format!(
                "the batch has {} spans; the limit is {MAX_BATCH}",
                spans.len()
            ))
            .hint("send it in parts; a part that is sent twice changes nothing"));
        }
        let now = self.now();
        for (place, span) in spans.iter().enumerate() {
            span.check(now).map_err(|e| e.at(format_args!("span {} of the batch", place + 1)))?;
        }
        // Each name is asked for once a process; a call may take its provider from one span and its model from another.
        let mut names: HashSet<(String, String)> = resolve(spans).calls.into_values().map(name_of).collect();
        loop {
            self.resolve_names(names.iter().map(|(p, m)| (p.as_str(), m.as_str()))).await?;
            let taken = match self {
                Store::Postgres(s) => s.take_spans(spans, &names).await?,
                Store::Sqlite(s) => s.take_spans(spans, &names).await?,
            };
            match taken {
                Ok(taken) => return Ok(taken),
                Err(unknown) => names.extend(unknown),
            }
        }
    }

    /// Drops spans that came before a time: what comes later of their traces is resolved without them. Answers how many.
    pub async fn forget_spans(&self, before: Timestamp) -> Result<u64> {
        const AT_MOST: i32 = 20_000;
        let mut forgotten = 0;
        loop {
            let part = match self {
                Store::Postgres(s) => {
                    let part: i32 = sqlx::query_scalar("select forget_spans($1, $2)")
                        .bind(before)
                        .bind(AT_MOST)
                        .fetch_one(&s.pool)
                        .await?;
                    u64::try_from(part).unwrap_or_default()
                }
                Store::Sqlite(s) => {
                    let deleted = sqlx::query(
                        "delete from otel_span
                         where (trace_id, span_id) in (
                           select trace_id, span_id
                           from otel_span
                           where received_at < $1
                           order by received_at
                           limit $2)",
                    )
                    .bind(before)
                    .bind(AT_MOST)
                    .execute(&s.pool)
                    .await?;
                    deleted.rows_affected()
                }
            };
            forgotten += part;
            if part < u64::from(AT_MOST.unsigned_abs()) {
                return Ok(forgotten);
            }
        }
    }
}

fn name_of(call: Call) -> (String, String) {
    (call.provider, call.model)
}

/// Names that nobody has asked for yet: then nothing was done.
type Unknown = Vec<(String, String)>;

fn unknown_names(change: &Change<'_>, asked: &HashSet<(String, String)>) -> Unknown {
    let names = change.recorded.iter().cloned().map(name_of);
    names.filter(|name| !asked.contains(name)).collect()
}

/// What is looked for: traces, and responses.
struct Search {
    traces: HashSet<Uuid>,
    responses: HashSet<Uuid>,
}

impl Search {
    fn of(spans: &[Span]) -> (Vec<Uuid>, Vec<Uuid>, Self) {
        let traces: HashSet<Uuid> = spans.iter().map(|span| span.trace_id).collect();
        let responses: HashSet<Uuid> = spans.iter().filter_map(Span::response_key).collect();
        let search = Self { traces, responses };
        (search.traces.iter().copied().collect(), search.responses.iter().copied().collect(), search)
    }

    /// What was found leads to: responses that were not looked for.
    fn next(&mut self, found: &[Span]) -> Vec<Uuid> {
        self.traces.extend(found.iter().map(|span| span.trace_id));
        let keys = found.iter().filter_map(Span::response_key);
        keys.filter(|key| self.responses.insert(*key)).collect()
    }
}

fn parse(rows: Vec<String>, known: &mut HashMap<Key, Span>) -> Result<Vec<Span>> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let span: Span = serde_json::from_str(&row)
            .map_err(|e| Error::database(format!("a span that is kept cannot be read: {e}")))?;
        if known.insert((span.trace_id, span.span_id), span.clone()).is_none() {
            found.push(span);
        }
    }
    Ok(found)
}

fn to_json(span: &Span) -> Result<String> {
    serde_json::to_string(span).map_err(|e| Error::input(format!("a span cannot be written as JSON: {e}")))
}

impl PostgresStore {
    async fn take_spans(
        &self,
        spans: &[Span],
        asked: &HashSet<(String, String)>,
    ) -> Result<std::result::Result<TakenSpans, Unknown>> {
        let mut tx = self.pool.begin().await?;
        let mut known = HashMap::new();
        let (mut traces, mut responses, mut search) = Search::of(spans);
        for _ in 0..MAX_ROUNDS {
            let rows: Vec<String> = sqlx::query_scalar("select known_spans($1, $2)")
                .bind(std::mem::take(&mut traces))
                .bind(std::mem::take(&mut responses))
                .fetch_all(&mut *tx)
                .await?;
            responses = search.next(&parse(rows, &mut known)?);
            if responses.is_empty() {
                break;
            }
        }
        let known: Vec<Span> = known.into_values().collect();
        let change = Change::of(spans, &known);
        let unknown = unknown_names(&change, asked);
        if !unknown.is_empty() {
            tx.rollback().await?;
            return Ok(Err(unknown));
        }
        let new = change.fresh.len() as u64;
        let mut taken = TakenSpans { new, known: spans.len() as u64 - new, ..TakenSpans::default() };
        if change.fresh.is_empty() {
            tx.rollback().await?;
            return Ok(Ok(taken));
        }
        sqlx::query("select keep_spans($1, $2, $3, $4)")
            .bind(change.fresh.iter().map(|span| span.trace_id).collect::<Vec<_>>())
            .bind(change.fresh.iter().map(|span| span.span_id.to_column()).collect::<Vec<_>>())
            .bind(change.fresh.iter().map(|span| span.response_key()).collect::<Vec<_>>())
            .bind(change.fresh.iter().map(|span| to_json(span)).collect::<Result<Vec<_>>>()?)
            .execute(&mut *tx)
            .await?;
        if !change.withdrawn.is_empty() {
            let withdrawn: i32 = sqlx::query_scalar("select withdraw_calls($1, $2, $3)")
                .bind(change.withdrawn.iter().map(|(run, _)| *run).collect::<Vec<_>>())
                .bind(change.withdrawn.iter().map(|(_, call)| *call).collect::<Vec<_>>())
                .bind(REASON)
                .fetch_one(&mut *tx)
                .await?;
            taken.withdrawn = u64::try_from(withdrawn).unwrap_or_default();
        }
        if !change.runs.is_empty() {
            sqlx::query("select open_span_runs($1, $2, $3, $4)")
                .bind(change.runs.keys().copied().collect::<Vec<_>>())
                .bind(change.runs.values().map(|run| run.pipeline.as_str()).collect::<Vec<_>>())
                .bind(change.runs.values().map(|run| run.started_at).collect::<Vec<_>>())
                .bind(change.runs.values().map(|run| run.conversation.as_deref()).collect::<Vec<_>>())
                .execute(&mut *tx)
                .await?;
        }
        for step in &change.steps {
            sqlx::query("select open_span_step($1, $2, $3, $4, $5, $6)")
                .bind(step.run_id)
                .bind(step.step_id)
                .bind(&step.step)
                .bind(&step.agent)
                .bind(&step.prompt_version)
                .bind(step.started_at)
                .execute(&mut *tx)
                .await?;
        }
        for part in change.recorded.chunks(MAX_BATCH) {
            taken.calls += batch::record(&mut tx, &part.iter().collect::<Vec<_>>()).await?;
        }
        let ended = change.ended();
        if !ended.is_empty() {
            sqlx::query("select close_span_runs($1, $2, $3)")
                .bind(ended.iter().map(|(run, _, _)| *run).collect::<Vec<_>>())
                .bind(ended.iter().map(|(_, status, _)| status.code()).collect::<Vec<_>>())
                .bind(ended.iter().map(|(_, _, at)| *at).collect::<Vec<_>>())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(Ok(taken))
    }
}

impl SqliteStore {
    async fn take_spans(
        &self,
        spans: &[Span],
        asked: &HashSet<(String, String)>,
    ) -> Result<std::result::Result<TakenSpans, Unknown>> {
        let now = self.clock.now();
        let mut tx = self.begin().await?;
        let known = known_spans(&mut tx, spans).await?;
        let change = Change::of(spans, &known);
        let unknown = unknown_names(&change, asked);
        if !unknown.is_empty() {
            tx.rollback().await?;
            return Ok(Err(unknown));
        }
        let new = change.fresh.len() as u64;
        let mut taken = TakenSpans { new, known: spans.len() as u64 - new, ..TakenSpans::default() };
        if change.fresh.is_empty() {
            tx.rollback().await?;
            return Ok(Ok(taken));
        }
        keep_spans(&mut tx, &change.fresh, now).await?;
        if !change.withdrawn.is_empty() {
            taken.withdrawn = sqlite::withdraw::withdraw_calls(&mut tx, &change.withdrawn, REASON, now).await?;
        }
        open_runs(&mut tx, &change.runs).await?;
        for step in &change.steps {
            sqlite::open_span_step(&mut tx, step, now).await?;
        }
        for part in change.recorded.chunks(MAX_BATCH) {
            taken.calls += sqlite::calls::record_calls(&mut tx, &self.prices, part, now).await?;
        }
        close_runs(&mut tx, &change.ended(), now).await?;
        tx.commit().await?;
        Ok(Ok(taken))
    }
}

/// As `known_spans` of Postgres, round by round.
async fn known_spans(db: &mut SqliteConnection, spans: &[Span]) -> Result<Vec<Span>> {
    let mut known = HashMap::new();
    let (mut traces, mut responses, mut search) = Search::of(spans);
    for _ in 0..MAX_ROUNDS {
        let rows: Vec<String> = sqlx::query_scalar(
            "with trace as (
               select unhex(j.value) as trace_id from json_each($1) j
               union
               select s.trace_id
               from json_each($2) j
               join otel_span s on s.response_key = unhex(j.value)
             )
             select s.span
             from trace t
             join otel_span s on s.trace_id = t.trace_id
             where (select count(*) from (select 1 from otel_span o where o.trace_id = t.trace_id limit 50001)) <= 50000",
        )
        .bind(hex_list(&std::mem::take(&mut traces)))
        .bind(hex_list(&std::mem::take(&mut responses)))
        .fetch_all(&mut *db)
        .await?;
        responses = search.next(&parse(rows, &mut known)?);
        if responses.is_empty() {
            break;
        }
    }
    Ok(known.into_values().collect())
}

fn hex_list(ids: &[Uuid]) -> String {
    json!(ids.iter().map(|id| id.simple().to_string()).collect::<Vec<_>>()).to_string()
}

async fn keep_spans(db: &mut SqliteConnection, spans: &[&Span], now: Timestamp) -> Result<()> {
    let rows: Vec<_> = spans
        .iter()
        .map(|span| {
            let response = span.response_key().map(|key| key.simple().to_string());
            Ok(json!([span.trace_id.simple().to_string(), span.span_id.to_column(), response, to_json(span)?]))
        })
        .collect::<Result<_>>()?;
    sqlx::query(
        "with j as materialized (select value from json_each($1))
         insert into otel_span (trace_id, span_id, response_key, received_at, span)
         select unhex(j.value ->> 0), j.value ->> 1, unhex(j.value ->> 2), $2, j.value ->> 3
         from j
         where true
         on conflict (trace_id, span_id) do nothing",
    )
    .bind(serde_json::Value::from(rows).to_string())
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

async fn open_runs(db: &mut SqliteConnection, runs: &BTreeMap<RunId, SpanRun>) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = runs
        .iter()
        .map(|(run_id, run)| {
            let labels = run.conversation.as_ref().map(|conversation| json!({"conversation": conversation}).to_string());
            json!([run_id.0.simple().to_string(), run.pipeline, run.started_at.micros(), labels])
        })
        .collect();
    let rows = serde_json::Value::from(rows).to_string();
    sqlx::query(
        "insert into pipeline_run (run_id, pipeline, status_id, started_at, labels)
         select unhex(j.value ->> 0), j.value ->> 1, s.status_id, j.value ->> 2, coalesce(j.value ->> 3, '{}')
         from json_each($1) j
         join status_lookup s on s.code = $2
         where not exists (select 1 from pipeline_run r where r.run_id = unhex(j.value ->> 0))",
    )
    .bind(&rows)
    .bind(Status::Running.code())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "update pipeline_run
         set labels = j.value ->> 3
         from json_each($1) j
         where run_id = unhex(j.value ->> 0) and labels = '{}' and j.value ->> 3 is not null",
    )
    .bind(&rows)
    .execute(db)
    .await?;
    Ok(())
}

/// Finishes those of the runs that are not finished.
async fn close_runs(
    db: &mut SqliteConnection,
    ended: &[(RunId, Status, Timestamp)],
    now: Timestamp,
) -> Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = ended.iter().map(|(run_id, _, _)| run_id.0).collect();
    let unpriced: Vec<RunId> = sqlx::query_scalar(
        "select r.run_id
         from json_each($1) j
         join pipeline_run r on r.run_id = unhex(j.value)
         where r.completed_at is null and r.unpriced_calls > 0",
    )
    .bind(hex_list(&ids))
    .fetch_all(&mut *db)
    .await?;
    let unpriced: HashSet<RunId> = unpriced.into_iter().collect();
    for (run_id, status, at) in ended.iter().filter(|(run_id, _, _)| unpriced.contains(run_id)) {
        // Those without a price are priced first, as far as prices are there by now.
        let finish = crate::domain::FinishRun { run_id: *run_id, status: *status, completed_at: Some(*at) };
        sqlite::finish_run(db, &finish, now).await?;
    }
    let rows: Vec<_> = ended
        .iter()
        .map(|(run_id, status, at)| json!([run_id.0.simple().to_string(), status.code(), at.micros()]))
        .collect();
    sqlx::query(
        "update pipeline_run
         set status_id = (select s.status_id from status_lookup s where s.code = j.value ->> 1),
             completed_at = j.value ->> 2,
             costed_at = $2
         from json_each($1) j
         where run_id = unhex(j.value ->> 0) and completed_at is null",
    )
    .bind(serde_json::Value::from(rows).to_string())
    .bind(now)
    .execute(&mut *db)
    .await?;
    super::settle::settle_now_and_then(db, now).await
}
