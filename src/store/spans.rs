//! Spans on their way into the journal.
//!
//! What a batch brings is resolved together with what is known of the same traces, in one transaction: the spans are kept,
//! calls that turn out to be others are withdrawn, and what is new is recorded. Whoever resolves is alone with it.

use super::record::MAX_BATCH;
use super::{PostgresStore, Recorded, SqliteStore, Store, batch, sqlite};
use crate::domain::{
    Call, CallId, Resolved, RunId, Span, SpanId, SpanRun, StartStep, Status, Timestamp, resolve,
};
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
        if fresh.is_empty() {
            return Self { fresh, withdrawn: vec![], recorded: vec![], runs: BTreeMap::new(), steps: vec![] };
        }
        let before = if known.is_empty() { Resolved::default() } else { resolve(known) };
        let after = resolve(known.iter().chain(fresh.iter().copied()));
        let is_other =
            |key: &(RunId, CallId), call: &Call, than: &Resolved| than.calls.get(key) != Some(call);
        let withdrawn = before
            .calls
            .iter()
            .filter(|(key, call)| is_other(key, call, &after))
            .map(|(key, _)| *key)
            .collect();
        let recorded: Vec<Call> = after
            .calls
            .into_iter()
            .filter(|(key, call)| is_other(key, call, &before))
            .map(|(_, call)| call)
            .collect();
        let touched: HashSet<RunId> = recorded.iter().map(|call| call.run_id).collect();
        let mut runs = after.runs;
        runs.retain(|run_id, run| touched.contains(run_id) || before.runs.get(run_id) != Some(run));
        let steps: BTreeSet<_> =
            recorded.iter().filter_map(|call| Some((call.run_id, call.step_id?))).collect();
        let steps =
            after.steps.into_iter().filter(|(key, _)| steps.contains(key)).map(|(_, step)| step).collect();
        Self { fresh, withdrawn, recorded, runs, steps }
    }

    /// Those that are over: whose root is known.
    fn ended(&self) -> Vec<(RunId, Status, Timestamp)> {
        self.runs
            .iter()
            .filter_map(|(run_id, run)| run.end.map(|(status, at)| (*run_id, status, at)))
            .collect()
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
        let mut names: HashSet<(String, String)> = spans.iter().filter_map(name_in).collect();
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

    /// For a process that writes much and for long: `SQLite` keeps more pages in memory, and moves them from its log into the
    /// file less often: 64 MiB of pages, 256 MiB of log.
    pub async fn prepare_for_load(&self) -> Result<()> {
        if let Store::Sqlite(s) = self {
            sqlx::query("pragma cache_size = -65536").execute(&s.pool).await?;
            sqlx::query("pragma wal_autocheckpoint = 65536").execute(&s.pool).await?;
        }
        Ok(())
    }

    /// Drops spans that came before a time: what comes later of their traces is resolved without them. Answers how many parts
    /// of traces that were.
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
                    let hour = before.seconds().div_euclid(3600);
                    sqlx::query("delete from otel_response where hour < $1")
                        .bind(hour)
                        .execute(&s.pool)
                        .await?;
                    let deleted = sqlx::query(
                        "delete from otel_part
                         where (trace_id, part) in (
                           select trace_id, part from otel_part where received_at < $1 order by received_at limit $2)",
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

/// The name that a span alone would be recorded by.
fn name_in(span: &Span) -> Option<(String, String)> {
    let report = span.report.as_ref()?;
    let model = [&report.model, &report.asked_model].into_iter().find(|name| !name.is_empty());
    Some((report.provider.clone(), model.cloned().unwrap_or_else(|| "unknown".to_owned())))
}

fn name_of(call: &Call) -> (String, String) {
    (call.provider.clone(), call.model.clone())
}

/// Names that nobody has asked for yet: then nothing was done.
type Unknown = Vec<(String, String)>;

fn unknown_names(change: &Change<'_>, asked: &HashSet<(String, String)>) -> Unknown {
    let mut unknown: Unknown = Vec::new();
    for call in &change.recorded {
        // Neighbours are often alike.
        if unknown.last().is_some_and(|(provider, model)| *provider == call.provider && *model == call.model)
        {
            continue;
        }
        let name = name_of(call);
        if !asked.contains(&name) {
            unknown.push(name);
        }
    }
    unknown
}

/// What is known of traces: their spans, and how many parts each of them has.
#[derive(Default)]
struct Known {
    spans: Vec<Span>,
    seen: HashSet<Key>,
    parts: HashMap<Uuid, i32>,
    /// Responses that were looked for, by hour and hash.
    looked_for: HashSet<(i64, i64)>,
}

/// A part of a trace as it is kept.
type Part = (Uuid, i32, Vec<u8>);

impl Known {
    /// What to look for first: the traces, and what these responses are found by.
    fn look_for(&mut self, spans: &[Span]) -> (Vec<Uuid>, Vec<(i64, i64)>) {
        let traces: BTreeSet<Uuid> = spans.iter().map(|span| span.trace_id).collect();
        (traces.into_iter().collect(), self.new_keys(spans))
    }

    fn new_keys(&mut self, spans: &[Span]) -> Vec<(i64, i64)> {
        let mut keys: Vec<_> = spans
            .iter()
            .flat_map(Span::response_keys_nearby)
            .filter(|key| self.looked_for.insert(*key))
            .collect();
        keys.sort_unstable();
        keys
    }

    /// Takes in what was found, and answers what that leads to.
    fn found(&mut self, parts: Vec<Part>) -> Result<Vec<(i64, i64)>> {
        let from = self.spans.len();
        for (trace_id, part, packed) in parts {
            let last = self.parts.entry(trace_id).or_default();
            if part > *last {
                *last = part;
            }
            for span in unpack(&packed)? {
                if self.seen.insert((span.trace_id, span.span_id)) {
                    self.spans.push(span);
                }
            }
        }
        let found = self.spans.split_off(from);
        let keys = self.new_keys(&found);
        self.spans.extend(found);
        Ok(keys)
    }
}

/// Fresh spans as they are kept: a part of each trace, and the responses that they report.
struct Kept {
    parts: Vec<Part>,
    responses: Vec<(i64, i64, Uuid)>,
}

impl Kept {
    fn of(fresh: &[&Span], known: &Known) -> Result<Self> {
        let mut by_trace: BTreeMap<Uuid, Vec<&Span>> = BTreeMap::new();
        for span in fresh {
            by_trace.entry(span.trace_id).or_default().push(span);
        }
        let mut packer = zstd::bulk::Compressor::new(1).map_err(|e| unpackable(&e))?;
        let parts = by_trace.into_iter().map(|(trace_id, spans)| {
            let part = known.parts.get(&trace_id).copied().unwrap_or(0).saturating_add(1);
            let json = serde_json::to_vec(&spans).map_err(|e| unpackable(&e))?;
            Ok((trace_id, part, packer.compress(&json).map_err(|e| unpackable(&e))?))
        });
        let parts = parts.collect::<Result<_>>()?;
        let responses = fresh.iter().filter_map(|span| {
            let (hour, key) = span.response_key()?;
            Some((hour, key, span.trace_id))
        });
        let responses: BTreeSet<_> = responses.collect();
        Ok(Self { parts, responses: responses.into_iter().collect() })
    }
}

/// The most that a part may unpack to, in bytes.
const MAX_PART_BYTES: usize = 64 << 20;

fn unpackable(error: &dyn std::fmt::Display) -> Error {
    Error::input(format!("a span cannot be kept: {error}"))
}

fn unpack(packed: &[u8]) -> Result<Vec<Span>> {
    let unreadable =
        |e: &dyn std::fmt::Display| Error::database(format!("spans that are kept cannot be read: {e}"));
    let json = zstd::bulk::decompress(packed, MAX_PART_BYTES).map_err(|e| unreadable(&e))?;
    serde_json::from_slice(&json).map_err(|e| unreadable(&e))
}

impl PostgresStore {
    async fn take_spans(
        &self,
        spans: &[Span],
        asked: &HashSet<(String, String)>,
    ) -> Result<std::result::Result<TakenSpans, Unknown>> {
        let mut tx = self.pool.begin().await?;
        let mut known = Known::default();
        let (mut traces, mut keys) = known.look_for(spans);
        for _ in 0..MAX_ROUNDS {
            let parts: Vec<Part> =
                sqlx::query_as("select trace_id, part, spans from known_spans($1, $2, $3)")
                    .bind(std::mem::take(&mut traces))
                    .bind(keys.iter().map(|(hour, _)| hour_column(*hour)).collect::<Vec<_>>())
                    .bind(keys.iter().map(|(_, key)| *key).collect::<Vec<_>>())
                    .fetch_all(&mut *tx)
                    .await?;
            keys = known.found(parts)?;
            if keys.is_empty() {
                break;
            }
        }
        let change = Change::of(spans, &known.spans);
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
        let kept = Kept::of(&change.fresh, &known)?;
        sqlx::query("select keep_spans($1, $2, $3, $4, $5, $6)")
            .bind(kept.parts.iter().map(|(trace, _, _)| *trace).collect::<Vec<_>>())
            .bind(kept.parts.iter().map(|(_, part, _)| *part).collect::<Vec<_>>())
            .bind(kept.parts.iter().map(|(_, _, packed)| packed.as_slice()).collect::<Vec<_>>())
            .bind(kept.responses.iter().map(|(hour, _, _)| hour_column(*hour)).collect::<Vec<_>>())
            .bind(kept.responses.iter().map(|(_, key, _)| *key).collect::<Vec<_>>())
            .bind(kept.responses.iter().map(|(_, _, trace)| *trace).collect::<Vec<_>>())
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
        let change = Change::of(spans, &known.spans);
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
        keep_spans(&mut tx, &Kept::of(&change.fresh, &known)?, now).await?;
        if !change.withdrawn.is_empty() {
            taken.withdrawn =
                sqlite::withdraw::withdraw_calls(&mut tx, &change.withdrawn, REASON, now).await?;
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

fn hour_column(hour: i64) -> i32 {
    i32::try_from(hour).unwrap_or(i32::MAX)
}

/// As `known_spans` of Postgres, round by round.
async fn known_spans(db: &mut SqliteConnection, spans: &[Span]) -> Result<Known> {
    let mut known = Known::default();
    let (mut traces, mut keys) = known.look_for(spans);
    for _ in 0..MAX_ROUNDS {
        let parts: Vec<Part> = sqlx::query_as(
            "with trace as (
               select unhex(j.value) as trace_id from json_each($1) j
               union
               select r.trace_id
               from json_each($2) j
               join otel_response r on r.hour = j.value ->> 0 and r.response_key = j.value ->> 1
             )
             select p.trace_id, p.part, p.spans
             from trace t
             join otel_part p on p.trace_id = t.trace_id
             where not exists (select 1 from otel_part o where o.trace_id = t.trace_id and o.part > 5000)",
        )
        .bind(hex_list(&std::mem::take(&mut traces)))
        .bind(json!(keys).to_string())
        .fetch_all(&mut *db)
        .await?;
        keys = known.found(parts)?;
        if keys.is_empty() {
            break;
        }
    }
    Ok(known)
}

fn hex_list(ids: &[Uuid]) -> String {
    json!(ids.iter().map(|id| id.simple().to_string()).collect::<Vec<_>>()).to_string()
}

async fn keep_spans(db: &mut SqliteConnection, kept: &Kept, now: Timestamp) -> Result<()> {
    let parts: Vec<_> = kept
        .parts
        .iter()
        .map(|(trace_id, part, packed)| json!([trace_id.simple().to_string(), part, hex(packed)]))
        .collect();
    sqlx::query(
        "with j as materialized (select value from json_each($1))
         insert into otel_part (trace_id, part, received_at, spans)
         select
           unhex(j.value ->> 0),
           max(j.value ->> 1, (select coalesce(max(o.part), 0) + 1 from otel_part o where o.trace_id = unhex(j.value ->> 0))),
           $2, unhex(j.value ->> 2)
         from j",
    )
    .bind(serde_json::Value::from(parts).to_string())
    .bind(now)
    .execute(&mut *db)
    .await?;
    let responses =
        kept.responses.iter().map(|(hour, key, trace)| json!([hour, key, trace.simple().to_string()]));
    sqlx::query(
        "insert into otel_response (hour, response_key, trace_id)
         select j.value ->> 0, j.value ->> 1, unhex(j.value ->> 2)
         from json_each($1) j
         where true
         on conflict (hour, response_key, trace_id) do nothing",
    )
    .bind(responses.collect::<serde_json::Value>().to_string())
    .execute(db)
    .await?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits =
        bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.collect()
}

async fn open_runs(db: &mut SqliteConnection, runs: &BTreeMap<RunId, SpanRun>) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = runs
        .iter()
        .map(|(run_id, run)| {
            let labels = run
                .conversation
                .as_ref()
                .map(|conversation| json!({"conversation": conversation}).to_string());
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
